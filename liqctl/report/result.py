"""The end screen of a liquidation: what is open now, why, and what to do next.

Read in an emergency, so the first line alone must tell it all, and everything that may still be
open comes with the exact next step.
"""

import shlex
from decimal import Decimal
from typing import Final, assert_never

from liqctl.domain.amounts import plain
from liqctl.domain.result import (
    ErrorReport,
    ExitCode,
    LiquidationResult,
    LiquidationState,
    OrderReport,
    OrderState,
    PositionReport,
    PositionState,
)
from liqctl.report.text import Tone, clean, count, labelled, money, paint, table, wrap

ROWS_MAX: Final = 250
_NAMED_MAX: Final = 10

_TONES: Final = {
    LiquidationState.COMPLETED: Tone.GOOD,
    LiquidationState.SKIPPED: Tone.DOUBT,
    LiquidationState.PARTIAL: Tone.DOUBT,
}
_SETTLED: Final = {OrderState.CANCELLED, OrderState.GONE, OrderState.SKIPPED}
_WEBSITES: Final = {"production": "www.binance.com", "testnet": "demo.binance.com"}


def render_result(result: LiquidationResult, *, width: int | None, colour: bool) -> str:
    """Return the end screen; a width of None leaves every message on one line."""
    word = "DRY RUN" if result.dry_run and not result.error_message else result.state.value
    head = paint(word, _TONES.get(result.state, Tone.BAD), colour=colour)
    lines = [f"{head}: {_meaning(result)}", ""]
    lines += _counts(result, width)
    if result.positions:
        lines += ["", _positions(result.positions, width)]
    orders = [order for order in result.orders if result.dry_run or order.state not in _SETTLED]
    if orders:
        lines += ["", _orders(orders, width)]
    lines += ["", *_reasons(result, width), *_record(result, width)]
    steps = next_steps(result)
    if steps:
        lines += ["", paint("Next", Tone.STRONG, colour=colour)]
        lines += [
            line for step in steps for line in wrap(f"  - {step}", indent="    ", width=width)
        ]
    return "\n".join(lines) + "\n"


def next_steps(result: LiquidationResult) -> list[str]:
    """Return what to do now, the most useful first; empty when nothing is left to do."""
    environment = shlex.quote(result.environment)
    again = f"liqctl liquidate --env {environment}"
    status = f"liqctl status --env {environment}"
    match result.exit_code():
        case ExitCode.DONE:
            return [f"to do it: {again}"] if result.dry_run and not result.verified_flat else []
        case ExitCode.IN_PROGRESS:
            return [f"see how the other run does: {status}"]
        case ExitCode.AUDIT_INCOMPLETE:
            return ["keep this screen: the trail lacks events", "liqctl audit verify"]
        case ExitCode.CREDENTIALS | ExitCode.CONFIGURATION:
            return [f"liqctl validate --env {environment} --online", *_by_hand(result)]
        case ExitCode.USAGE | ExitCode.NOT_CONFIRMED:
            return [f"look first: {status}", f"then: {again}"]
        case _:
            return [f"again, at once: {again}", f"look: {status}", *_by_hand(result)]


def _meaning(result: LiquidationResult) -> str:
    if result.dry_run:
        if result.error_message:
            return "nothing was sent; the account could not be read in full"
        flat = "; nothing is open" if result.verified_flat else "; this is open"
        return f"nothing was sent{flat}"
    match result.state:
        case LiquidationState.COMPLETED:
            return "flat, proven by a reading after the last order"
        case LiquidationState.SKIPPED:
            return "emergency_liquidation is false; nothing was sent"
        case LiquidationState.PARTIAL:
            return "some of it is closed, the rest is or may be open"
        case LiquidationState.FAILED:
            if result.residual is None:
                return "what is open is not known"
            return "nothing is proven closed or cancelled"
        case LiquidationState.IDLE | LiquidationState.IN_PROGRESS:
            return "not finished"
        case _:
            assert_never(result.state)


def _counts(result: LiquidationResult, width: int | None) -> list[str]:
    exposure = sum((position.notional for position in result.positions), Decimal(0))
    found = (
        f"{count(len(result.positions), 'position')} of {money(exposure)} notional, "
        f"{count(len(result.orders), 'order')}"
    )
    lines = labelled("found", found, width=width)
    if not result.dry_run:
        done = (
            f"{result.positions_closed} of {count(len(result.positions), 'position')}, "
            f"{result.orders_cancelled} of {count(len(result.orders), 'order')} cancelled"
        )
        lines += labelled("closed", done, width=width)
    return lines + labelled("left", _left(result), width=width)


def _left(result: LiquidationResult) -> str:
    if result.residual is None:
        return "not known: no reading succeeded"
    positions, orders = result.residual.positions, result.residual.orders
    if not positions and not orders:
        return "nothing" if result.verified_flat else "nothing was seen, but not all could be read"
    exposure = sum((abs(position.notional) for position in positions), Decimal(0))
    return (
        f"{count(len(positions), 'position')} of {money(exposure)} notional, "
        f"{count(len(orders), 'order')}"
    )


def _positions(positions: tuple[PositionReport, ...], width: int | None) -> str:
    rows = [
        (
            clean(position.symbol),
            position.side.value,
            plain(position.quantity),
            money(position.notional),
            _position_end(position),
        )
        for position in positions[:ROWS_MAX]
    ]
    shown = table(
        ("symbol", "side", "quantity", "notional", "result"), rows, right={2, 3}, width=width
    )
    return shown + _more(len(positions), "position")


def _position_end(position: PositionReport) -> str:
    words = position.state.value
    if position.state is PositionState.CLOSED and position.average_price is not None:
        words += f" at {plain(position.average_price)}"
    if position.state in {PositionState.PARTIAL, PositionState.FAILED, PositionState.UNKNOWN}:
        left = "an unknown quantity" if position.remaining is None else plain(position.remaining)
        words += f", {left} left after {count(position.attempts, 'attempt')}"
    return words + _because(position.error)


def _orders(orders: list[OrderReport], width: int | None) -> str:
    rows = [
        (
            clean(order.symbol),
            order.side.value if order.side else "?",
            clean(order.type),
            clean(order.order_id),
            _order_end(order),
        )
        for order in orders[:ROWS_MAX]
    ]
    shown = table(("symbol", "side", "order", "id", "result"), rows, width=width)
    return shown + _more(len(orders), "order")


def _order_end(order: OrderReport) -> str:
    kind = ", protective stop" if order.protective else ""
    return f"{order.state.value}{kind}{_because(order.error)}"


def _more(found: int, noun: str) -> str:
    hidden = found - ROWS_MAX
    return f"\nand {count(hidden, noun)} more; --json lists all" if hidden > 0 else ""


def _because(error: ErrorReport | None) -> str:
    if error is None:
        return ""
    code = "" if error.code is None else f" ({error.code})"
    return f": {clean(error.message)}{code}"


def _reasons(result: LiquidationResult, width: int | None) -> list[str]:
    lines = []
    if result.error_message:
        for part in result.error_message.splitlines():
            lines += labelled("why", clean(part), width=width)
    if result.deadline_exceeded:
        limit = f"the time limit of {result.timeout_seconds:g} s ended the run"
        lines += labelled("why", limit, width=width)
    for note in result.notes:
        if note != result.error_message:
            lines += labelled("note", clean(note), width=width)
    return lines


def _record(result: LiquidationResult, width: int | None) -> list[str]:
    spent = ", ".join(
        f"{name} {seconds:.2f} s" for name, seconds in result.time_spent_s.items() if seconds > 0
    )
    time = (
        f"{result.duration_seconds:.2f} s of {result.timeout_seconds:g} s"
        f"{f' ({spent})' if spent else ''}, {count(result.requests, 'request')}"
        f"{f', {result.retries} repeated' if result.retries else ''}"
    )
    lines = labelled("time", time, width=width)
    lines += labelled("run", f"{result.correlation_id} on {clean(result.environment)}", width=width)
    if result.audit_head is not None:
        lines += labelled("head", result.audit_head, width=width)
    if not result.audit_complete:
        lines += labelled("audit", "INCOMPLETE: not every event could be recorded", width=width)
    return lines


def _by_hand(result: LiquidationResult) -> list[str]:
    """Return where to click, with the rows to look for; the simulator has no website."""
    website = _WEBSITES.get(result.environment)
    if website is None:
        return []
    clicks = (
        f"by hand: {website} > Futures > USDⓈ-M > Positions > Close All Positions, "
        "then Open Orders > Cancel All, Conditional too"
    )
    if result.residual is None or not result.residual.positions:
        return [clicks]
    left = result.residual.positions
    rows = ", ".join(
        f"{clean(p.symbol)} {p.position_side.value} {plain(p.quantity)}" for p in left[:_NAMED_MAX]
    )
    more = f" and {len(left) - _NAMED_MAX} more" if len(left) > _NAMED_MAX else ""
    return [clicks, f"positions to look for: {rows}{more}"]
