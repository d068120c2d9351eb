"""What people who are not at the terminal are told of a run: one line that tells it all.

info: flat, proven; and the start.
warning: SKIPPED, for the switch is disarmed; another run is at work; interrupted, yet flat; flat,
yet the record is incomplete.
critical: PARTIAL, FAILED, and whatever left the account unproven.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from liqctl.desk.result import Asked, meaning, split_residual
from liqctl.desk.text import clean, count, money, sized
from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import as_json, rfc3339
from liqctl.kernel.ids import make_correlation_id
from liqctl.kernel.result import LiquidationResult, Residual
from liqctl.kernel.states import ExitCode, FailureCause, LiquidationState, OrderState, PositionState
from liqctl.run.who import SystemClock
from liqctl.settings.targets import NoticeKind, Severity

TEXT_MAX: Final = 900
"""Characters of a message; PagerDuty takes 1,024, Telegram 4,096."""

_REASON_MAX: Final = 200
_NAMED_MAX: Final = 5
_LISTED_MAX: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message, ready to be sent.

    `text` is one line, safe to show. `at` is when what it tells of happened, in RFC 3339.
    `exit_code` is None before the end. `details` is bounded and JSON.
    """

    kind: NoticeKind
    severity: Severity
    text: str
    at: str
    environment: str
    correlation_id: str
    exit_code: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


def make_notices(
    result: LiquidationResult, exit_code: int, *, reason: str = "", symbols: tuple[str, ...] = ()
) -> tuple[Notice, ...]:
    """Return the notices of a run that has ended: its start, where it got that far, and its end.

    `exit_code` is what the process leaves with: a signal's outranks the result's.
    """
    was_refused = result.state is LiquidationState.SKIPPED or result.cause is FailureCause.BLOCKED
    has_tried = not was_refused and result.cause is not FailureCause.NOT_CONFIRMED
    # Whether nobody can say what is open: nothing was read, or an answer never came.
    is_unproven = has_tried and bool(
        (not result.verified_flat and result.residual is None)
        or result.count_positions(PositionState.UNKNOWN)
        or result.count_orders(OrderState.UNKNOWN)
    )
    severity = Severity.CRITICAL
    if was_refused:
        severity = Severity.WARNING
    elif result.state is LiquidationState.COMPLETED and not is_unproven:
        severity = Severity.INFO if exit_code == ExitCode.DONE else Severity.WARNING
    end = Notice(
        kind=NoticeKind.UNKNOWN if is_unproven else NoticeKind.END,
        severity=severity,
        text=_end_text(
            result,
            f"UNKNOWN ({result.state})" if is_unproven else result.state.value,
            exit_code,
            symbols,
        ),
        at=rfc3339(result.finished_at),
        environment=result.environment,
        correlation_id=result.correlation_id,
        exit_code=exit_code,
        details=_details(result, exit_code),
    )
    # A run that was refused before it began has no start to tell of.
    if was_refused or (result.audit_head is None and result.requests == 0):
        return (end,)
    began_at = rfc3339(result.started_at)
    text = f"liqctl {clean(result.environment)} START: liquidation began {began_at}"
    text += f", reason: {clean(reason[:_REASON_MAX])}" if reason else ""
    start = Notice(
        kind=NoticeKind.START,
        severity=Severity.INFO,
        text=f"{text}; run {result.correlation_id}"[:TEXT_MAX],
        at=began_at,
        environment=result.environment,
        correlation_id=result.correlation_id,
    )
    return start, end


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


def _end_text(
    result: LiquidationResult, word: str, exit_code: int, symbols: tuple[str, ...]
) -> str:
    """Return the line; what tells most stands first, and the names by which it is found last."""
    told = meaning(result, Asked(symbols=symbols))
    parts = [f"liqctl {clean(result.environment)} {word}: {told}"]
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
        f"{clean(p.symbol)} {sized(plain(p.quantity), p.product)} ({money(abs(p.notional))})"
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
