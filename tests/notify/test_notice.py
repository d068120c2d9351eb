"""What others are told of a run: one bounded line, the severity, and nothing that is not proven."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from liqctl.kernel.result import LiquidationResult, Residual, Results
from liqctl.kernel.states import FailureCause, LiquidationState, PositionState
from liqctl.kernel.values import Leg, Position, PositionSide
from liqctl.kernel.words import DISARMED, explain_twin
from liqctl.notify import notice
from liqctl.notify.notice import TEXT_MAX, Notice
from liqctl.settings.targets import NoticeKind, Severity
from tests.desk.builders import MOMENT, make_partial, make_position, make_result

HOSTILE = "a\x1b[31m\nb\u202e<!channel>" * 200

COMPLETED, PARTIAL, FAILED, SKIPPED = (
    LiquidationState.COMPLETED,
    LiquidationState.PARTIAL,
    LiquidationState.FAILED,
    LiquidationState.SKIPPED,
)


def make_notices(result: LiquidationResult, exit_code: int, **others: Any) -> tuple[Notice, ...]:
    """Return the notices of a command for one account."""
    return notice.make_notices(Results(each=(result,)), exit_code, **others)


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

    for each in make_notices(result, 3, reason=HOSTILE, symbols=(HOSTILE,)):
        assert each.text.isprintable()
        assert len(each.text) <= TEXT_MAX
        assert each.text.rpartition("run ")[2].startswith("liq_20260102_103000_abc123")
    *_, end = make_notices(result, 3)
    assert len(str(end.details)) < 60_000
    assert "\x1b" not in str(end.details["error_message"])


def make_several(exit_code: int, *results: LiquidationResult, **others: Any) -> tuple[Notice, ...]:
    """Return the notices of a command for accounts `a`, `b` and so on."""
    each = tuple(replace(r, account=name) for r, name in zip(results, "abcdefgh", strict=False))
    return notice.make_notices(Results(each=each, are_several=True), exit_code, **others)


FLAT = make_result(COMPLETED, positions=(make_position(), make_position("ETHUSDT")))
REFUSED = make_result(
    FAILED,
    cause=FailureCause.CREDENTIALS,
    residual=None,
    error_message="no api key",
    audit_head=None,
    requests=0,
)


def test_an_account_with_a_name_is_named() -> None:
    """Of five accounts the message must say which one."""
    start, end = make_notices(replace(FLAT, account="desk-a"), 0)

    assert start.text.startswith("liqctl production desk-a START: liquidation began ")
    assert end.text.startswith("liqctl production desk-a COMPLETED: flat, proven")
    assert end.details["account"] == "desk-a"


def test_several_accounts_are_told_once_what_is_open_first() -> None:
    """One telephone rings once; who is woken reads what is left before what is done."""
    open_one = replace(make_partial(), residual=make_residual(2))

    start, end = make_several(1, FLAT, open_one, REFUSED, FLAT, reason="runaway bot")

    assert start.text == (
        "liqctl production START: liquidation of 4 accounts began 2026-01-02T10:30:00.000000Z, "
        "reason: runaway bot; run liq_20260102_103000_abc123"
    )
    assert end.text == (
        "liqctl production UNKNOWN (FAILED): "
        "b PARTIAL, left: ETHUSDT -1.5 (4,500.00), ETHUSDT -1.5 (4,500.00); "
        "c UNKNOWN (FAILED), no api key; "
        "2 of 4 accounts flat in scope (4 positions closed, 0 orders cancelled); "
        "exit 1 after 0.84 s; run liq_20260102_103000_abc123"
    )
    assert (start.kind, end.kind, end.severity) == (
        NoticeKind.START,
        NoticeKind.UNKNOWN,
        Severity.CRITICAL,
    )
    assert end.exit_code == 1


def test_the_accounts_of_a_document_say_how_each_ended() -> None:
    """A program that gets the web hook must not have to read sentences."""
    *_, end = make_several(1, FLAT, REFUSED)

    rows = end.details["accounts"]
    assert isinstance(rows, list)
    assert [(row["name"], row["state"], row["exit_code"], row["unknown"]) for row in rows] == [
        ("a", "COMPLETED", 0, False),
        ("b", "FAILED", 7, True),
    ]
    assert rows[0]["positions_closed"] == 2
    assert rows[0]["residual_positions"] == 0
    assert rows[1]["residual_positions"] is None
    assert rows[1]["error_message"] == "no api key"
    assert set(end.details) == {"accounts"}


@pytest.mark.parametrize(
    ("results", "code", "kind", "severity"),
    [
        ((FLAT, FLAT), 0, "end", "info"),
        ((FLAT, FLAT), 130, "end", "warning"),
        ((FLAT, replace(FLAT, audit_complete=False)), 8, "end", "warning"),
        ((FLAT, make_partial()), 3, "end", "critical"),
        ((FLAT, REFUSED), 7, "unknown", "critical"),
        ((FLAT, make_result(SKIPPED, error_message=DISARMED)), 0, "end", "warning"),
        ((FLAT, make_result(SKIPPED, error_message=explain_twin("a"))), 0, "end", "info"),
        (
            (FLAT, make_result(FAILED, cause=FailureCause.BLOCKED, residual=None)),
            5,
            "end",
            "warning",
        ),
    ],
)
def test_several_are_as_bad_as_the_worst_of_them(
    results: tuple[LiquidationResult, ...], code: int, kind: str, severity: str
) -> None:
    """Four flat accounts do not make the fifth less open; a second name of one is no trouble."""
    *_, end = make_several(code, *results)

    assert (end.kind, end.severity) == (kind, severity)


def test_all_flat_is_one_short_line_and_a_second_name_does_not_count() -> None:
    """Good news is a number."""
    twin = make_result(SKIPPED, error_message=explain_twin("a"), audit_head=None)

    *_, end = make_several(8, FLAT, replace(FLAT, audit_complete=False), twin)

    assert end.text == (
        "liqctl production COMPLETED: 2 of 2 accounts flat in scope (4 positions closed, "
        "0 orders cancelled); the audit trail is incomplete; exit 8 after 0.84 s; "
        "run liq_20260102_103000_abc123"
    )


def test_none_that_began_has_no_start_and_one_that_did_has() -> None:
    """A start without a run would be looked for in the trail in vain."""
    assert len(make_several(7, REFUSED, REFUSED)) == 1
    start, _ = make_several(7, REFUSED, FLAT)
    assert start.at == "2026-01-02T10:30:00.000000Z"


def test_many_bad_ends_are_cut_and_their_sums_are_not() -> None:
    """Eight accounts with long reasons do not fit one message; how many they are does."""
    hostile = make_result(
        PARTIAL, error_message=HOSTILE, residual=make_residual(9, symbol=HOSTILE[:300])
    )
    different = [replace(hostile, residual=make_residual(n, symbol=HOSTILE[n:])) for n in range(7)]

    *_, end = make_several(3, FLAT, *different)

    assert len(end.text) <= TEXT_MAX
    assert end.text.isprintable()
    assert "…; 1 of 8 accounts flat in scope (2 positions closed, 0 orders cancelled); exit 3 " in (
        end.text
    )
    assert "\x1b" not in str(end.details)


def test_the_same_reason_is_told_once() -> None:
    """A venue that is down stops all of them alike."""
    *_, end = make_several(1, *[replace(REFUSED, error_message="down")] * 3)

    assert ": a, b, c UNKNOWN (FAILED), down; 0 of 3 accounts flat in scope; exit 1" in end.text
