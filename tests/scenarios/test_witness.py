"""The master's key as a witness: it delays nothing, and only makes a verdict worse."""

from typing import Any

import pytest

from liqctl.kernel import pacing
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import ExitCode, LiquidationState, Product
from liqctl.sim.address import MASTER, Address, key_of
from liqctl.sim.faults import make_fault
from liqctl.sim.scenario import Scenario
from tests.accounts import HouseRun, liquidate_all, make_large_house

AGREES = {"says": "agrees", "symbols": []}
SILENT = {"says": "silent", "symbols": []}
POSITIONS = "/sapi/v2/sub-account/futures/positionRisk"
KEYS = "/sapi/v1/sub-account/subAccountApi"
LIST = "/sapi/v1/sub-account/list"
ONE: dict[str, Any] = {"account": {"positions": {"BTCUSDT": "0.5"}}}


def make_house(**accounts: Any) -> Address:
    """Return a house of these accounts, by default of one with a position."""
    named = {name.replace("_", "-"): Scenario(name=name, **each) for name, each in accounts.items()}
    return Scenario(
        name="house", accounts=named or {"desk-a": Scenario(name="a", **ONE)}
    ).make_address()


def house_with(*faults: dict[str, Any], **accounts: Any) -> Address:
    """Return a house whose master suffers these faults."""
    address = make_house(**accounts)
    address.master.faults.extend(make_fault(each.pop("kind"), **each) for each in faults)
    return address


def swap(address: Address, name: str, other: str) -> None:
    """Let the master see another account where it should see this one: it has positions left."""
    venue, shown = address.venues[name], address.venues[other]
    shown.other_keys.update(venue.keys)
    subs = {email: each for email, each in address.subs.items() if each is not venue}
    address.subs = address.master.subs = subs


def run_one(
    address: Address, policy: LiquidationConfig | None = None, **options: Any
) -> tuple[LiquidationResult, HouseRun]:
    """Liquidate desk-a with its master looking on."""
    venues = {"desk-a": address.venues["desk-a"]}
    run = liquidate_all(venues, policy, master=address.master, **options)
    return run.results["desk-a"], run


def told(result: LiquidationResult) -> Any:
    """Return the witness's word as the document has it."""
    return result.as_json()["witness"]


def end_of(run: HouseRun, name: str = "desk-a") -> Any:
    """Return the event that ended a run."""
    return run.sinks[name].events[-1]


def test_without_a_master_key_there_is_no_witness() -> None:
    """And the trail of a run that has none is as it was."""
    run = liquidate_all(make_house().venues)

    assert told(run.results["desk-a"]) is None
    assert "witness" not in end_of(run)[1]


def test_a_master_that_sees_nothing_agrees() -> None:
    """After one more round trip; asked of nothing but the spot host."""
    calm = liquidate_all(make_house().venues).results["desk-a"]
    address = make_house()
    result, run = run_one(address)

    assert (result.state, told(result)) == (LiquidationState.COMPLETED, AGREES)
    assert result.duration_seconds == pytest.approx(calm.duration_seconds + 0.06, abs=0.005)
    assert result.flat_after_seconds == pytest.approx(calm.flat_after_seconds, abs=0.07)
    assert end_of(run)[1]["witness"] == AGREES
    assert {path for _, _, path, _ in address.master.account.journal.requests} == {
        LIST,
        KEYS,
        POSITIONS,
    }


def test_a_position_that_only_the_master_sees_makes_it_partial() -> None:
    """The account's own lists may be another account's: a mixed-up key, a stale replica."""
    address = make_house(
        desk_a=ONE,
        other={
            "account": {"mode": "hedge", "positions": {"SOLUSDT LONG": "4", "SOLUSDT SHORT": "-4"}}
        },
    )
    swap(address, "desk-a", "other")

    result, run = run_one(address)

    assert (result.state, result.exit_code()) == (LiquidationState.PARTIAL, ExitCode.PARTIAL)
    assert told(result) == {"says": "contradicts", "symbols": ["SOLUSDT"]}
    assert not result.verified_flat
    assert result.error_message == (
        "the account's own lists show nothing open, but the master key sees a position on SOLUSDT: "
        "look at the account on Binance's website, close there what is open, and run again"
    )
    name, details = end_of(run)
    assert name == "LIQUIDATION_PARTIAL"
    assert (details["verified_flat"], details["witness"]) == (False, told(result))


def test_an_account_in_which_nothing_was_found_is_contradicted_too() -> None:
    """That is how a wrong key looks: flat at once."""
    address = make_house(
        desk_a={"account": {}}, other={"account": {"positions": {"BTCUSD_PERP": "5"}}}
    )
    swap(address, "desk-a", "other")

    result, _ = run_one(address)

    assert result.exit_code() is ExitCode.PARTIAL
    assert told(result)["symbols"] == ["BTCUSD_PERP"]


@pytest.mark.parametrize(
    "policy",
    [
        LiquidationConfig(symbols=("BTCUSDT",)),
        LiquidationConfig(products=(Product.COINM,)),
    ],
)
def test_what_is_out_of_scope_is_no_contradiction(policy: LiquidationConfig) -> None:
    """It was never to be closed."""
    address = make_house(desk_a=ONE, other={"account": {"positions": {"SOLUSDT": "4"}}})
    swap(address, "desk-a", "other")

    result, _ = run_one(address, policy)

    assert (result.state, told(result)) == (LiquidationState.COMPLETED, AGREES)


@pytest.mark.parametrize(("settle_s", "lag_s"), [(0.0, 1.9), (2.0, 0.4)])
def test_a_list_of_the_masters_that_lags_is_no_contradiction(settle_s: float, lag_s: float) -> None:
    """What was closed a moment ago may still be listed: it is asked for once more.

    The lag counts from the master's first look.
    """
    address = make_house(
        desk_a=ONE,
        other={
            "account": {"positions": {"BTCUSDT": "0.5"}},
            "events": [
                {
                    "act": "close",
                    "symbol": "BTCUSDT",
                    "quantity": "0.5",
                    "at_ms": round(lag_s * 1000),
                }
            ],
        },
    )
    swap(address, "desk-a", "other")

    result, _ = run_one(address, LiquidationConfig(settle_seconds=settle_s))

    asked = [path for _, _, path, _ in address.master.account.journal.requests]
    assert asked.count(POSITIONS) == 3, "both products, then the one that was doubted"
    assert (result.state, told(result)) == (LiquidationState.COMPLETED, AGREES)


def test_where_no_time_is_left_one_look_counts() -> None:
    """Nobody has seen it flat then: the worse word is believed."""
    address = make_house(desk_a=ONE, other={"account": {"positions": {"BTCUSDT": "0.5"}}})
    swap(address, "desk-a", "other")

    result, _ = run_one(address, LiquidationConfig(timeout_seconds=2.7))

    assert result.exit_code() is ExitCode.PARTIAL
    assert result.duration_seconds < 2.5


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "key_refused", "times": 0}, "-2015"),
        ({"kind": "banned", "times": 0}, "banned"),
        ({"kind": "hang", "times": 0}, "did not answer in time which sub-account"),
        ({"kind": "hang", "path": POSITIONS, "times": 0}, "could not be read: no answer"),
        ({"kind": "hang", "path": KEYS, "times": 0}, "did not answer in time which sub-account"),
        ({"kind": "garbage_body", "path": POSITIONS, "times": 0}, "could not be read: unreadable"),
        ({"kind": "cut_json", "path": LIST, "times": 0}, "unreadable"),
        ({"kind": "key_refused", "path": KEYS, "times": 0}, "-2015"),
        ({"kind": "too_many_requests", "path": LIST, "times": 0}, "-1003"),
    ],
)
@pytest.mark.parametrize("settle_s", [0.0, 2.0])
def test_a_master_that_says_nothing_changes_nothing(
    fault: dict[str, Any], why: str, settle_s: float
) -> None:
    """Neither the verdict nor, beyond a second at the end, the time; a note tells why."""
    policy = LiquidationConfig(settle_seconds=settle_s)
    calm = liquidate_all(make_house().venues, policy).results["desk-a"]

    result, _ = run_one(house_with(dict(fault)), policy)

    assert (result.state, told(result)) == (LiquidationState.COMPLETED, SILENT)
    assert result.verified_flat
    assert result.duration_seconds <= calm.duration_seconds + pacing.WITNESS_WAIT_S + 0.01
    (note,) = [note for note in result.notes if "master key" in note]
    assert why in note
    assert "simulator.invalid" not in note
    assert key_of(MASTER) not in note


@pytest.mark.parametrize("path", [LIST, KEYS])
def test_one_lost_answer_is_asked_for_again(path: str) -> None:
    """Common enough, and there are two seconds of watching."""
    result, _ = run_one(house_with({"kind": "hang", "path": path, "times": 1}))
    assert told(result) == AGREES


@pytest.mark.parametrize("kind", ["key_refused", "banned", "too_many_requests"])
@pytest.mark.parametrize(("path", "asked"), [(LIST, 1), (KEYS, 1 + pacing.WITNESS_AT_ONCE)])
def test_a_refused_master_is_asked_no_more(kind: str, path: str, asked: int) -> None:
    """Going on is what bans an address."""
    accounts: dict[str, Any] = {f"x{number}": {"account": {}} for number in range(20)}
    address = house_with({"kind": kind, "path": path, "times": 0}, desk_a=ONE, **accounts)
    run_one(address)
    assert len(address.master.account.journal.requests) == asked


def test_a_contradiction_that_is_not_taken_back_stands() -> None:
    """The second look was not answered, so the first one is all there is."""
    address = house_with(
        {"kind": "hang", "path": POSITIONS, "skip": 2, "times": 0},
        desk_a=ONE,
        other={"account": {"positions": {"BTCUSDT": "0.5"}}},
    )
    swap(address, "desk-a", "other")
    result, _ = run_one(address)
    assert (result.exit_code(), told(result)["symbols"]) == (ExitCode.PARTIAL, ["BTCUSDT"])


def test_an_account_that_the_master_does_not_have_is_not_matched() -> None:
    """The key of a stranger's account, or of another master's."""
    address = make_house(desk_a=ONE, other={"account": {"positions": {"BTCUSDT": "1"}}})
    result, _ = run_one(address, keys={"desk-a": "x" * 64})

    assert (result.state, told(result)) == (LiquidationState.COMPLETED, SILENT)
    assert "none of its sub-accounts has this account's key" in result.notes[-1]


def test_the_masters_own_account_has_no_witness() -> None:
    """Its key among the accounts: what it says of itself is said by the same key."""
    result, _ = run_one(make_house(), keys={"desk-a": key_of(MASTER)})

    assert told(result) == SILENT
    assert "the master's own" in result.notes[-1]


def test_in_portfolio_margin_only_a_position_says_something() -> None:
    """Whether the master is shown any there is not documented."""
    pm: dict[str, Any] = {"account": {"margin": "PORTFOLIO", "positions": {"BTCUSDT": "0.5"}}}
    quiet, _ = run_one(make_house(desk_a=pm))
    loud_house = make_house(desk_a=pm, other={"account": {"positions": {"BTCUSDT": "0.5"}}})
    swap(loud_house, "desk-a", "other")
    loud, _ = run_one(loud_house)

    assert (quiet.state, told(quiet)) == (LiquidationState.COMPLETED, SILENT)
    assert "portfolio margin" in quiet.notes[-1]
    assert (loud.exit_code(), told(loud)["says"]) == (ExitCode.PARTIAL, "contradicts")


def test_with_orders_only_positions_are_nobodys_business() -> None:
    """The master lists no orders."""
    result, _ = run_one(make_house(), LiquidationConfig(close_positions=False))
    assert (result.state, told(result)) == (LiquidationState.COMPLETED, SILENT)


def test_a_run_that_is_not_flat_is_not_asked_about() -> None:
    """Its verdict is bad enough, and nothing waits for a witness."""
    address = make_house(desk_a={**ONE, "faults": [{"kind": "hang", "host": "dapi", "times": 0}]})
    result, _ = run_one(address)

    asked = {path for _, _, path, _ in address.master.account.journal.requests}
    assert (result.state, told(result)) == (LiquidationState.PARTIAL, SILENT)
    assert POSITIONS not in asked
    assert not [note for note in result.notes if "master key" in note]


def test_an_interrupt_ends_the_waiting_for_the_witness() -> None:
    """Who presses Ctrl-C then sees what is known at once."""
    address = house_with({"kind": "hang", "path": POSITIONS, "times": 0})
    result, _ = run_one(address, LiquidationConfig(settle_seconds=0.0), interrupt_at_s=0.5)

    assert (result.verified_flat, told(result)) == (True, SILENT)
    assert result.duration_seconds == pytest.approx(0.5, abs=0.01)


def test_all_accounts_share_one_list_and_one_round_of_keys() -> None:
    """Each question about keys costs the owner 3,000 of 180,000 weight a minute."""
    house = make_large_house(accounts=8, symbols=2)
    address = house.make_address()
    run = liquidate_all(address.venues, master=address.master)

    asked = [path for _, _, path, _ in address.master.account.journal.requests]
    assert [told(result) for result in run.results.values()] == [AGREES] * 8
    assert (asked.count(LIST), asked.count(KEYS), asked.count(POSITIONS)) == (1, 8, 16)


def test_the_futures_weight_is_not_touched() -> None:
    """The master's questions have a pool of their own."""
    used = []
    for has_master in (False, True):
        address = make_house()
        liquidate_all(address.venues, master=address.master if has_master else None)
        used.append(address.master.weights.windows.describe()["futures"])
    assert used[0] == used[1]


def test_of_many_sub_accounts_the_one_that_is_named_like_the_account_is_asked_first() -> None:
    """A hundred questions would be more than a minute's weight."""
    accounts: dict[str, Any] = {f"x{number:03}": {"account": {}} for number in range(100)}
    address = make_house(**accounts, desk_a=ONE)
    result, _ = run_one(address)
    asked = [path for _, _, path, _ in address.master.account.journal.requests]
    assert (told(result), asked.count(KEYS)) == (AGREES, pacing.WITNESS_AT_ONCE)

    address = make_house(**accounts, desk_a=ONE)
    address.subs = address.master.subs = {
        "zz@simulator.invalid" if email.startswith("desk-a") else email: venue
        for email, venue in address.subs.items()
    }
    result, _ = run_one(address)
    asked = [path for _, _, path, _ in address.master.account.journal.requests]
    assert asked.count(KEYS) <= pacing.WITNESS_KEYS_MAX + pacing.WITNESS_AT_ONCE
    assert told(result) == SILENT
    assert "51 sub-accounts were not asked" in result.notes[-1]
