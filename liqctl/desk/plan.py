"""What a liquidation would send: shown before production is confirmed, and by a dry run."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from liqctl.desk.result import Asked, render_result
from liqctl.desk.text import Tone, clean, count, labelled, money, paint, table
from liqctl.kernel.amounts import plain
from liqctl.kernel.costs import make_forecast
from liqctl.kernel.limits import Limits
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.values import OrderKind, Position
from liqctl.kernel.words import explain_contradiction

if TYPE_CHECKING:
    from liqctl.run.inspection import Inspection

_ROWS_MIN: Final = 3
_TABLE_LINES: Final = 2
"""The head of the table and the empty line below it."""

_SYMBOLS_MAX: Final = 5
_NAMED_MAX: Final = 3


def render_confirmation(  # noqa: PLR0913 - what the question tells, one by one
    inspected: "Inspection | None",
    *,
    environment: str,
    base_url: str,
    key_fingerprint: str,
    policy: LiquidationConfig,
    width: int | None,
    height: int,
    colour: bool,
    config_file: str | None = None,
) -> str:
    """Return where, on whose account, what is open worst first, and what a run would take.

    None stands for a reading that never ended. Positions that would push the rest out of `height`
    lines are summed up, the smallest ones.
    """
    banner = paint(clean(environment).upper(), Tone.BAD, colour=colour)
    head = [f"{banner}  {clean(base_url)}  key {key_fingerprint}"]
    head += labelled(("settings", clean(config_file) if config_file else None), width=width)
    head.append("")
    if inspected is None or not inspected.snapshot.is_any_read:
        # To go on is the operator's choice.
        why = (inspected and inspected.why_unreadable()) or "no reading ended in time"
        unknown = "NOTHING COULD BE READ: what is open is not known"
        go_on = (
            f"the run reads for itself, for {policy.timeout_seconds:g} s at most, and cancels and "
            "closes what it finds"
        )
        blind = (("unread", clean(why)), ("scope", _scope(policy)), ("go on", go_on))
        head += [paint(unknown, Tone.DOUBT, colour=colour), *labelled(*blind, width=width)]
        return "\n".join(head) + "\n"
    positions = inspected.snapshot.positions
    told = "not known: positions could not be read"
    if positions.complete:
        told = _sum([p for p in positions.items if policy.covers(p.symbol)])
    # How many orders wait on which symbols, the most first.
    symbols = Counter(o.symbol for o in inspected.snapshot.orders if policy.covers(o.symbol))
    named = ", ".join(f"{number} {clean(s)}" for s, number in symbols.most_common(_SYMBOLS_MAX))
    more = len(symbols) - _SYMBOLS_MAX
    orders = f"{symbols.total()}: {named}" if symbols else "none"
    orders += f", and {count(more, 'symbol')} more" if more > 0 else ""
    doubts = [clean(explain_contradiction(o)) for o in inspected.contradictions[:_NAMED_MAX]]
    rows = [("open", told), ("orders", orders), *(("doubt", doubt) for doubt in doubts)]
    lines = labelled(*rows, *_forecast(inspected, policy), width=width)
    closes = [close.position for symbol in inspected.plan.symbols for close in symbol.closes]
    if closes:
        rows_max = max(height - len(head) - len(lines) - _TABLE_LINES, _ROWS_MIN)
        lines = [*_positions(closes, width, rows_max), "", *lines]
    return "\n".join([*head, *lines]) + "\n"


def render_plan(
    inspected: "Inspection",
    result: LiquidationResult,
    *,
    policy: LiquidationConfig,
    width: int | None,
    colour: bool,
    asked: Asked = Asked(),  # noqa: B008 - a frozen value
    height: int | None = None,
) -> str:
    """Return the end screen of a dry run, with what a real run would send and take."""
    head = paint("Plan", Tone.STRONG, colour=colour)
    forecast = [head, *labelled(*_forecast(inspected, policy), width=width)]
    return render_result(
        result, width=width, height=height, colour=colour, asked=asked, forecast=forecast
    )


def _forecast(inspected: "Inspection", policy: LiquidationConfig) -> list[tuple[str, str | None]]:
    plan, timeout_s = inspected.plan, policy.timeout_seconds
    kinds = Counter(
        order.kind
        for each in plan.symbols
        for orders in (*each.books.values(), each.alone)
        for order in orders
    )
    regular, conditional = kinds[OrderKind.REGULAR], kinds[OrderKind.ALGO]
    cancels = f"{count(regular, 'order')}, {count(conditional, 'conditional order')}"
    parts = sum(len(close.parts) for symbol in plan.symbols for close in symbol.closes)
    kept = f"{count(len(plan.kept), 'protective stop')}, until the position is flat"
    rows = [
        ("scope", _scope(policy)),
        ("cancel", cancels if regular or conditional else "nothing"),
        ("close", f"{count(parts, 'order')} at market, reducing only" if parts else "nothing"),
        ("keep", kept if plan.kept else None),
    ]
    unread = inspected.why_unreadable()
    if unread:
        return [*rows, ("unread", clean(unread)), ("lasts", f"{timeout_s:g} s at most")]
    snapshot, limits = inspected.snapshot, Limits()
    trip_s = snapshot.finished_at - snapshot.started_at
    forecast = make_forecast(snapshot, policy, round_trip_s=trip_s, limits=limits)
    takes = (
        f"{count(forecast.round_trips, 'round trip')} of {trip_s * 1000:.0f} ms, "
        f"{count(forecast.requests, 'request')}, weight {forecast.weight} of {limits.weight_1m}, "
        f"{count(forecast.closes, 'order')} of {limits.orders_10s} in 10 s"
    )
    fit = f"DOES NOT FIT the limit of {forecast.timeout_s:g} s; the largest go first"
    if forecast.fits:
        fit = f"fits the limit of {forecast.timeout_s:g} s"
    elif forecast.expected_s <= forecast.timeout_s:
        fit = f"not every repeat fits the limit of {forecast.timeout_s:g} s"
    lasts = f"{forecast.expected_s:.2f} s expected, {forecast.worst_s:.2f} s at worst: {fit}"
    settle_s = policy.settle_seconds
    then = f"flat is watched for {settle_s:g} s, or for what the limit leaves"
    return [*rows, ("takes", takes), ("lasts", lasts), ("then", then if settle_s else None)]


def _scope(policy: LiquidationConfig) -> str:
    return ", ".join(clean(symbol) for symbol in policy.symbols) or "the whole account"


def _positions(positions: list[Position], width: int | None, rows_max: int) -> list[str]:
    ranked = sorted(positions, key=lambda position: (-position.notional, position.leg))
    shown = ranked if len(ranked) <= rows_max else ranked[: rows_max - 1]
    rows = [
        (
            clean(position.symbol),
            position.direction.value,
            plain(position.size),
            money(position.notional),
            "?" if position.unrealized_pnl is None else f"{position.unrealized_pnl:+,.2f}",
        )
        for position in shown
    ]
    head = ("symbol", "side", "quantity", "notional", "PnL")
    lines = table(head, rows, right={2, 3, 4}, width=width).splitlines()
    rest = ranked[len(shown) :]
    return lines + ([f"and, smaller, {_sum(rest)}"] if rest else [])


def _sum(positions: Sequence[Position]) -> str:
    exposure = sum((position.notional for position in positions), Decimal(0))
    pnl = sum((position.unrealized_pnl or Decimal(0) for position in positions), Decimal(0))
    return f"{count(len(positions), 'position')} of {money(exposure)} notional, PnL {pnl:+,.2f}"
