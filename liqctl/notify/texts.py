"""What people who are not at the terminal are told of a run: one line that tells it all.

info: flat, proven; and the start.
warning: SKIPPED, for the switch is disarmed; another run is at work; interrupted, yet flat; flat,
yet the record is incomplete.
critical: PARTIAL, FAILED, and whatever left the account unproven.
"""

import os
import socket
from typing import Final

from liqctl.desk.result import Asked, meaning, split_residual
from liqctl.desk.text import clean, count, money
from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import as_json, rfc3339
from liqctl.kernel.ids import make_correlation_id
from liqctl.kernel.result import LiquidationResult, Residual
from liqctl.kernel.states import (
    ExitCode,
    FailureCause,
    LiquidationState,
    OrderState,
    PositionState,
)
from liqctl.notify.notice import Notice, NoticeKind, Severity
from liqctl.run.who import SystemClock

TEXT_MAX: Final = 900
"""Characters of a message; PagerDuty takes 1,024, Telegram 4,096."""

_REASON_MAX: Final = 200
_NAMED_MAX: Final = 5
_LISTED_MAX: Final = 50
_NOTHING_TRIED: Final = {FailureCause.BLOCKED, FailureCause.NOT_CONFIRMED}


def make_notices(
    result: LiquidationResult,
    exit_code: int,
    *,
    reason: str = "",
    symbols: tuple[str, ...] = (),
) -> tuple[Notice, ...]:
    """Return the notices of a run that has ended: its start, where it got that far, and its end.

    Args:
        result: how it ended.
        exit_code: what the process leaves with; a signal's code outranks the result's.
        reason: the operator's words.
        symbols: the symbols in scope; empty for the whole account.
    """
    end = _end(result, exit_code, symbols)
    # A run that was refused before it began has no start to tell of.
    was_refused = result.state is LiquidationState.SKIPPED or result.cause is FailureCause.BLOCKED
    has_begun = not was_refused and (result.audit_head is not None or result.requests > 0)
    return (_start(result, reason), end) if has_begun else (end,)


def make_test_notice(environment: str) -> Notice:
    """Return what `notify` sends to see whether it arrives."""
    now = SystemClock().now()
    name = make_correlation_id(now, os.urandom(3).hex())
    return Notice(
        kind=NoticeKind.TEST,
        severity=Severity.INFO,
        text=f"liqctl {environment} TEST: sent by hand on {clean(socket.gethostname())} to see "
        f"that it arrives; no account was touched; {name}",
        at=rfc3339(now),
        environment=environment,
        correlation_id=name,
    )


def is_unproven(result: LiquidationResult) -> bool:
    """Return whether nobody can say what is open: nothing was read, or an answer never came."""
    if result.state is LiquidationState.SKIPPED or result.cause in _NOTHING_TRIED:
        return False
    is_unread = not result.verified_flat and result.residual is None
    return is_unread or bool(
        result.count_positions(PositionState.UNKNOWN) or result.count_orders(OrderState.UNKNOWN)
    )


def severity_of(result: LiquidationResult, exit_code: int) -> Severity:
    """Return how much the end matters."""
    if is_unproven(result):
        return Severity.CRITICAL
    if result.state is LiquidationState.COMPLETED:
        return Severity.INFO if exit_code == ExitCode.DONE else Severity.WARNING
    if result.state is LiquidationState.SKIPPED or result.cause is FailureCause.BLOCKED:
        return Severity.WARNING
    return Severity.CRITICAL


def _start(result: LiquidationResult, reason: str) -> Notice:
    began_at = rfc3339(result.started_at)
    text = f"liqctl {clean(result.environment)} START: liquidation began {began_at}"
    if reason:
        text += f", reason: {clean(reason[:_REASON_MAX])}"
    return Notice(
        kind=NoticeKind.START,
        severity=Severity.INFO,
        text=f"{text}; run {result.correlation_id}"[:TEXT_MAX],
        at=began_at,
        environment=result.environment,
        correlation_id=result.correlation_id,
    )


def _end(result: LiquidationResult, exit_code: int, symbols: tuple[str, ...]) -> Notice:
    unproven = is_unproven(result)
    return Notice(
        kind=NoticeKind.UNKNOWN if unproven else NoticeKind.END,
        severity=severity_of(result, exit_code),
        text=_end_text(result, exit_code, symbols),
        at=rfc3339(result.finished_at),
        environment=result.environment,
        correlation_id=result.correlation_id,
        exit_code=exit_code,
        details=_details(result, exit_code),
    )


def _end_text(result: LiquidationResult, exit_code: int, symbols: tuple[str, ...]) -> str:
    """Return the line; what tells most stands first, and the names by which it is found last."""
    word = f"UNKNOWN ({result.state})" if is_unproven(result) else result.state.value
    parts = [
        f"liqctl {clean(result.environment)} {word}: {meaning(result, Asked(symbols=symbols))}"
    ]
    if result.positions or result.orders:
        closed = f"{result.positions_closed}/{result.positions_found} positions closed"
        cancelled = f"{result.orders_cancelled}/{result.orders_found} orders cancelled"
        parts.append(
            ("positions not read" if result.positions_found is None else closed)
            + ", "
            + ("orders not read" if result.orders_found is None else cancelled)
        )
    left, listed = split_residual(result)
    if left.positions or left.orders:
        parts.append(f"left: {_left(left)}")
    if listed.positions or listed.orders:
        parts.append(f"still listed although confirmed: {_left(listed)}")
    if result.error_message and result.state is not LiquidationState.SKIPPED:
        parts.append(clean(result.error_message[:_REASON_MAX]))
    parts.append(f"exit {exit_code} after {result.duration_seconds:.2f} s")
    head = f"; head {result.audit_head}" if result.audit_head else ""
    tail = f"; run {result.correlation_id}{head}"
    return _cut("; ".join(parts), TEXT_MAX - len(tail)) + tail


def _left(residual: Residual) -> str:
    named = [
        f"{clean(p.symbol)} {plain(p.quantity)} ({money(abs(p.notional))})"
        for p in residual.positions[:_NAMED_MAX]
    ]
    more = len(residual.positions) - len(named)
    named += [f"{count(more, 'more position')}"] if more else []
    named += [count(len(residual.orders), "order")] if residual.orders else []
    return ", ".join(named)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _details(result: LiquidationResult, exit_code: int) -> dict[str, object]:
    """Return the result without its long lists; what is left open is named up to a bound."""
    document = result.as_json()
    for name in ("positions", "orders", "time_spent_s", "notes"):
        document.pop(name)
    if result.residual is not None:
        residual = result.residual
        document["residual"] = as_json(
            Residual(
                positions=residual.positions[:_LISTED_MAX], orders=residual.orders[:_LISTED_MAX]
            )
        )
        document["residual_positions"] = len(residual.positions)
        document["residual_orders"] = len(residual.orders)
    if result.error_message:
        document["error_message"] = _cut(clean(result.error_message), TEXT_MAX)
    return {**document, "exit_code": exit_code}
