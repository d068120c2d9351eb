"""A promise that is not kept is for the worse or for the better, and only the worse is alarming."""

from dataclasses import replace

import pytest

from liqctl.drill.runs import Conditions, Run, compare, run_in_virtual_time
from liqctl.kernel.policy import LiquidationConfig
from liqctl.sim.scenario import Expectation, Scenario, load_scenario

NEAR = Conditions(latency_s=0.05)


def run(scenario: Scenario, expect: Expectation, **config: object) -> Run:
    """Run a scenario with another promise."""
    policy = LiquidationConfig(**config)  # type: ignore[arg-type]
    return run_in_virtual_time(replace(scenario, expect=expect), policy, NEAR)[0]


def test_what_ends_as_promised_has_no_difference() -> None:
    """The catalogue's own promises are exact, in both directions."""
    scenario = load_scenario("halted_symbol")

    assert run(scenario, scenario.expect).differences == ()


@pytest.mark.parametrize(
    ("expect", "wrong"),
    [
        (Expectation(within_s=0.1), ("took 0.251 s, expected 0.1 s",)),
        (Expectation(says=("no such words",)), ("does not say 'no such words': ",)),
        (Expectation(exits=(3,)), ("exit code is 0, expected 3",)),
    ],
)
def test_duration_words_and_exit_code_are_part_of_the_promise(
    expect: Expectation, wrong: tuple[str, ...]
) -> None:
    """A runbook branches on them."""
    assert run(load_scenario("lost_reply_after"), expect).wrong == wrong


def test_better_than_promised_is_not_worse() -> None:
    """A longer deadline may close what the promise gave up: that must not turn a drill red."""
    gave_up = Expectation(
        exits=(1,), states=("FAILED",), says=("no words",), left=("BTCUSDT",), within_s=0.1
    )

    ended = run(load_scenario("lost_reply_after"), gave_up)

    assert [each.worse for each in ended.differences] == [False] * 5


def test_what_is_left_against_the_promise_is_always_worse() -> None:
    """An open position is what the switch is for, whatever the state says."""
    ended = run(
        load_scenario("halted_symbol"), Expectation(exits=(3,), states=("PARTIAL",), left=("x",))
    )

    assert ended.wrong == ("BTCUSDT is left open", "stop-1 is left open")
    assert [each.text for each in ended.differences if not each.worse] == ["x should be left open"]


def test_a_skipped_run_is_worse_than_every_promise() -> None:
    """A switch that is disarmed must not pass for one that failed as expected."""
    ended = run(
        load_scenario("key_refused"),
        Expectation(exits=(7,), states=("FAILED",), left=("*",)),
        emergency_liquidation=False,
        close_positions=False,
        cancel_orders=False,
    )

    assert ended.wrong[0] == "state is SKIPPED, expected FAILED"
    assert ended.left[:2] == ("BTCUSDT", "ETHUSDT")


def test_with_orders_only_positions_and_their_stops_may_stay() -> None:
    """Judged is what was asked for; a stop that protects nothing any more is left over."""
    scenario = load_scenario("default")
    policy = LiquidationConfig(close_positions=False)
    ended, venue, _ = run_in_virtual_time(scenario, policy, NEAR)

    assert (ended.left, ended.wrong) == ((), ())
    assert len(venue.account.open_algo_orders()) == 5
    assert [order.name for order in venue.account.open_orders()] == ["older-stop-1"]
    whole = compare(venue, ended.result, scenario.expect)
    assert "BTCUSDT is left open" in [each.text for each in whole]


def test_the_promise_is_until_flat_is_seen_and_told_later() -> None:
    """A longer watch must not turn a drill red: the account is flat as soon as before."""
    scenario = load_scenario("lost_reply_after")
    promise = Expectation(within_s=1.0)
    ended = run(scenario, promise)
    late = replace(ended.result, duration_seconds=ended.result.flat_after_seconds + 2.5)

    watched = compare(scenario.make_venue(), replace(late, settled_seconds=2.5), promise)
    unwatched = compare(scenario.make_venue(), replace(late, settled_seconds=0.0), promise)

    assert not [each for each in watched if each.text.startswith("took ")]
    assert [each.text[:5] for each in unwatched if each.text.startswith("took ")] == ["took "]
