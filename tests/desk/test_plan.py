"""What an operator reads before typing `production`: where, whose, what, how much."""

from dataclasses import replace
from decimal import Decimal

import pytest

from liqctl.desk.plan import render_confirmation, render_plan
from liqctl.kernel.answers import no_answer
from liqctl.kernel.ledger import first_seen
from liqctl.kernel.plan import Memory, make_plan
from liqctl.kernel.states import LiquidationState
from liqctl.kernel.values import (
    Leg,
    OpenOrder,
    Position,
    PositionSide,
    Reading,
    Snapshot,
)
from liqctl.run.inspection import Inspection
from tests.desk.builders import POLICY, inspected, make_look, make_result


def confirmation(
    look: Inspection | None, *, width: int | None, height: int = 21, colour: bool = False
) -> str:
    """Return the screen for a production account."""
    return render_confirmation(
        look,
        environment="production",
        base_url="https://fapi.binance.com",
        key_fingerprint="0a1b2c3d",
        policy=POLICY,
        width=width,
        height=height,
        colour=colour,
    )


def test_the_question_names_the_settings_that_are_in_force() -> None:
    """Before anything is sent it must be seen whose deadline and scope hold."""
    screen = render_confirmation(
        None,
        environment="production",
        base_url="https://fapi.binance.com",
        key_fingerprint="0a1b2c3d",
        policy=POLICY,
        width=80,
        height=21,
        colour=False,
        config_file="/etc/liqctl/production.yaml",
    )

    assert screen.splitlines()[1] == "settings  /etc/liqctl/production.yaml"


def test_the_confirmation_shows_where_whose_what_and_how_much() -> None:
    """Worst first, so that a wrong account is noticed at the first row."""
    assert confirmation(make_look(), width=80) == (
        "PRODUCTION  https://fapi.binance.com  key 0a1b2c3d\n"
        "\n"
        "symbol   side   quantity   notional      PnL\n"
        "BTCUSDT  LONG        0.5  25,000.00  +100.00\n"
        "ETHUSDT  SHORT         2   6,000.00   -12.50\n"
        "\n"
        "open      2 positions of 31,000.00 notional, PnL +87.50\n"
        "orders    1: 1 BTCUSDT\n"
        "scope     the whole account\n"
        "cancel    1 order, 0 conditional orders\n"
        "close     2 orders at market, reducing only\n"
        "takes     4 round trips of 100 ms, 18 requests, weight 348 of 2400, 2 orders of\n"
        "          300 in 10 s\n"
        "lasts     0.41 s expected, 4.91 s at worst: fits the limit of 5 s\n"
        "then      flat is watched for 2 s, or for what the limit leaves\n"
    )


def test_what_could_not_be_read_is_said_before_the_question() -> None:
    """Confirming half an account must be a choice."""
    screen = confirmation(make_look("the venue did not answer"), width=80)

    assert "unread    the venue did not answer" in screen


@pytest.mark.parametrize("width", [80, 200])
def test_the_confirmation_fits_the_terminal(width: int) -> None:
    """A broken table is misread."""
    screen = confirmation(make_look("no answer " * 40), width=width)

    assert max(len(line) for line in screen.splitlines()) <= width


def test_a_dry_run_says_that_nothing_was_sent_and_what_would_be() -> None:
    """Nobody may take a rehearsal for the deed."""
    result = make_result(LiquidationState.SKIPPED, dry_run=True)

    screen = render_plan(make_look(), result, policy=POLICY, width=80, colour=False)

    assert screen.startswith("DRY RUN: nothing was sent")
    assert "\nPlan\nscope     the whole account\ncancel    1 order" in screen
    assert "to do it: liqctl liquidate --env production" in screen


def make_large(number: int) -> Inspection:
    """Return many positions, the smallest first."""
    positions = tuple(
        Position(
            leg=Leg(symbol=f"C{index:03}USDT", position_side=PositionSide.BOTH),
            quantity=Decimal(1),
            notional=Decimal(index + 1),
            unrealized_pnl=Decimal(-1),
        )
        for index in range(number)
    )
    snapshot = make_look().snapshot._replace(positions=Reading(items=positions))
    legs = {position.leg: first_seen(position, 0.0) for position in positions}
    memory = Memory(legs=legs, orders={}, rules={}, marks={})
    return inspected(snapshot, make_plan(snapshot, memory, POLICY))


@pytest.mark.parametrize("height", [21, 47])
@pytest.mark.parametrize("number", [4, 200])
def test_the_question_stays_in_sight(number: int, height: int) -> None:
    """A question below two hundred rows is answered unread."""
    screen = confirmation(make_large(number), width=80, height=height)

    lines = screen.splitlines()
    assert len(lines) <= height
    assert f"C{number - 1:03}USDT" in lines[3], "worst first"
    if number == 200:
        shown = sum(line.startswith("C") for line in lines)
        rest = sum(range(1, number - shown + 1))
        assert f"and, smaller, {number - shown} positions of {rest:,}.00 notional" in screen


def test_a_forecast_that_does_not_fit_is_said() -> None:
    """Better a longer limit now than half an account later."""
    slow = make_look().snapshot._replace(finished_at=2.0)
    screen = confirmation(replace(make_look(), snapshot=slow), width=80)

    assert "4 round trips of 2000 ms" in screen
    assert "DOES NOT FIT the limit of 5 s; the largest go first" in " ".join(screen.split())


@pytest.mark.parametrize("look", ["none", "failed"])
def test_nothing_read_is_never_shown_as_nothing_open(look: str) -> None:
    """`0 positions` before a yes is a lie; the operator may still go on."""
    failed: Reading[Position] = Reading(complete=False, error=no_answer("no answer in time"))
    lists: Reading[OpenOrder] = Reading(complete=False, error=no_answer("no answer in time"))
    snapshot = Snapshot(
        positions=failed, regular_orders=lists, algo_orders=lists, started_at=0.0, finished_at=3.0
    )
    memory = Memory(legs={}, orders={}, rules={}, marks={})
    plan = make_plan(snapshot, memory, POLICY)
    unread = inspected(snapshot, plan, refusal="no answer in time")

    screen = confirmation(None if look == "none" else unread, width=80)

    assert "NOTHING COULD BE READ: what is open is not known" in screen
    assert "0 positions" not in screen
    assert "go on     the run reads for itself" in screen


def test_a_stop_on_a_leg_that_reads_flat_is_told_before_the_question() -> None:
    """Somebody may have opened this very second; a second look costs nothing."""
    look = make_look()
    order = look.snapshot.orders[0]
    stop = order._replace(symbol="SOLUSDT", type="STOP_MARKET", reduce_only=True)

    verdict = look.verdict._replace(evidence=(stop,))
    screen = confirmation(replace(look, verdict=verdict), width=None)

    assert "doubt     SOLUSDT reads flat, but STOP_MARKET " in screen
