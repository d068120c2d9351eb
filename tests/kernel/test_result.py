"""The result of a run whose account was held flat afterwards."""

from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import ExitCode, LiquidationState
from tests.desk.builders import make_position, make_result

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


def test_a_record_that_the_first_run_could_not_write_stays_missing() -> None:
    """Exit code 8 although the last run of the hold wrote all of its own."""
    ended = held(make_result(DONE, audit_complete=False), make_result(DONE))

    assert ended.exit_code() is ExitCode.AUDIT_INCOMPLETE
