"""The result of a run whose account was held flat afterwards."""

from dataclasses import replace
from decimal import Decimal

from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import ExitCode, LiquidationState, OrderState
from tests.desk.builders import make_partial, make_position, make_result

DONE = LiquidationState.COMPLETED


def held(first: LiquidationResult, last: LiquidationResult) -> LiquidationResult:
    """Return the first run's result after a hold whose last run ended so."""
    return first.after_hold(last, held_s=60.0, reopened=["a position on BTCUSDT"], times=1)


def test_a_hold_whose_last_run_did_nothing_does_not_undo_what_the_first_did() -> None:
    """FAILED would say that nothing was closed."""
    failed = make_result(LiquidationState.FAILED, error_message="no reading succeeded")

    ended = held(make_result(DONE, positions=(make_position(),)), failed)
    assert ended.state is LiquidationState.PARTIAL
    assert ended.exit_code() is ExitCode.PARTIAL
    assert ended.error_message == "no reading succeeded"
    assert not ended.verified_flat
    assert held(make_result(DONE), failed).state is LiquidationState.FAILED


def test_what_a_later_run_closed_is_told_as_closed() -> None:
    """COMPLETED beside a position that is told as FAILED is no word to rely on."""
    first = make_partial()
    later = make_result(
        DONE,
        positions=(make_position("ETHUSDT", average_price=Decimal(3000)), make_position()),
        orders=(replace(first.orders[0], state=OrderState.CANCELLED),),
    )

    ended = held(first.ended_by(later), later)
    assert (ended.positions_found, ended.positions_closed, ended.positions_failed) == (2, 2, 0)
    assert ended.positions[0] == first.positions[0], "it was closed, and came back"
    assert ended.positions[1].average_price == Decimal(3000)
    assert ended.positions[1].remaining == 0
    assert ended.positions[1].attempts == first.positions[1].attempts + 1
    assert ended.count_orders(OrderState.KEPT) == 0
    assert ended.state is DONE


def test_a_record_that_the_first_run_could_not_write_stays_missing() -> None:
    """Exit code 8 although the last run of the hold wrote all of its own."""
    ended = held(make_result(DONE, audit_complete=False), make_result(DONE))

    assert ended.exit_code() is ExitCode.AUDIT_INCOMPLETE
