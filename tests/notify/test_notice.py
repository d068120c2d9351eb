"""What others are told of a run: one bounded line, the severity, and nothing that is not proven."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from liqctl.kernel.result import LiquidationResult, Residual
from liqctl.kernel.states import FailureCause, LiquidationState, PositionState
from liqctl.kernel.values import Leg, Position, PositionSide
from liqctl.notify.notice import TEXT_MAX, make_notices
from liqctl.settings.targets import NoticeKind, Severity
from tests.desk.builders import MOMENT, make_partial, make_position, make_result

HOSTILE = "a\x1b[31m\nb\u202e<!channel>" * 200

COMPLETED, PARTIAL, FAILED, SKIPPED = (
    LiquidationState.COMPLETED,
    LiquidationState.PARTIAL,
    LiquidationState.FAILED,
    LiquidationState.SKIPPED,
)


def make_residual(count: int, symbol: str = "ETHUSDT") -> Residual:
    """Return what is left: so many positions of one and a half."""
    return Residual(
        positions=tuple(
            Position(
                leg=Leg(symbol=symbol, position_side=PositionSide.BOTH),
                quantity=Decimal("-1.5"),
                notional=Decimal(-4500),
            )
            for _ in range(count)
        )
    )


def test_the_end_of_a_good_run_is_one_line_that_tells_it_all() -> None:
    """Read on a telephone, in the dark."""
    result = make_result(COMPLETED, positions=(make_position(),))

    start, end = make_notices(result, 0, reason="runaway bot")

    assert end.text == (
        "liqctl production COMPLETED: flat, proven: nothing was listed for 2.0 s in both sources; "
        "1/1 positions closed, 0/0 orders cancelled; exit 0 after 0.84 s; "
        f"run liq_20260102_103000_abc123; head {'a' * 64}"
    )
    assert (end.kind, end.severity, end.exit_code) == (NoticeKind.END, Severity.INFO, 0)
    assert start.text == (
        "liqctl production START: liquidation began 2026-01-02T10:30:00.000000Z, "
        "reason: runaway bot; run liq_20260102_103000_abc123"
    )
    assert (start.kind, start.at) == (NoticeKind.START, "2026-01-02T10:30:00.000000Z")
    assert result.started_at == MOMENT


def test_what_is_left_is_named_up_to_a_bound() -> None:
    """The first question is what is still open."""
    result = replace(make_partial(), residual=make_residual(7))

    *_, end = make_notices(result, 3)

    assert "liqctl production PARTIAL: " in end.text
    assert "left: ETHUSDT -1.5 (4,500.00), " in end.text
    assert ", 2 more positions; " in end.text
    assert end.details["residual_positions"] == 7


@pytest.mark.parametrize(
    ("result", "code", "kind", "severity"),
    [
        (make_result(COMPLETED), 0, "end", "info"),
        (make_result(COMPLETED, audit_complete=False), 8, "end", "warning"),
        (make_result(COMPLETED), 130, "end", "warning"),
        (make_result(SKIPPED, audit_head=None, requests=0, residual=None), 0, "end", "warning"),
        (make_result(FAILED, cause=FailureCause.BLOCKED, residual=None), 5, "end", "warning"),
        (
            make_result(FAILED, cause=FailureCause.NOT_CONFIRMED, residual=None),
            6,
            "end",
            "critical",
        ),
        (make_result(PARTIAL, residual=make_residual(1)), 3, "end", "critical"),
        (make_result(FAILED, residual=make_residual(1)), 1, "end", "critical"),
        (make_result(FAILED, residual=None), 1, "unknown", "critical"),
        (
            make_result(FAILED, cause=FailureCause.CREDENTIALS, residual=None),
            7,
            "unknown",
            "critical",
        ),
        (
            make_result(PARTIAL, positions=(make_position(state=PositionState.UNKNOWN),)),
            3,
            "unknown",
            "critical",
        ),
    ],
)
def test_severity_follows_what_the_end_means_for_the_money(
    result: LiquidationResult, code: int, kind: str, severity: str
) -> None:
    """PagerDuty must not wake anybody for good news, and must for an unknown account."""
    *_, end = make_notices(result, code)

    assert (end.kind, end.severity) == (kind, severity)
    assert (f" UNKNOWN ({result.state}): " in end.text) is (kind == "unknown")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": SKIPPED},
        {"state": FAILED, "cause": FailureCause.BLOCKED},
        {"state": FAILED, "cause": FailureCause.CREDENTIALS, "audit_head": None, "requests": 0},
    ],
)
def test_a_run_that_never_began_has_no_start(changes: dict[str, Any]) -> None:
    """A start without a run would be looked for in the trail in vain."""
    (end,) = make_notices(make_result(**{"residual": None, **changes}), 1)

    assert end.kind is not NoticeKind.START


def test_others_words_are_made_harmless_and_short() -> None:
    """A symbol, an error text and a reason are others' words, and a message has a size."""
    result = make_result(
        PARTIAL, error_message=HOSTILE, residual=make_residual(60, symbol=HOSTILE[:300])
    )

    for notice in make_notices(result, 3, reason=HOSTILE, symbols=(HOSTILE,)):
        assert notice.text.isprintable()
        assert len(notice.text) <= TEXT_MAX
        assert notice.text.rpartition("run ")[2].startswith("liq_20260102_103000_abc123")
    *_, end = make_notices(result, 3)
    assert len(str(end.details)) < 60_000
    assert "\x1b" not in str(end.details["error_message"])
