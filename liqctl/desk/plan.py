"""What a liquidation would send: shown before production is confirmed, and by a dry run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from liqctl.desk.result import Asked, render_result
from liqctl.desk.text import (
    Part,
    Table,
    Tone,
    clean,
    count,
    fit,
    labelled,
    money,
    named,
    paint,
    scope_words,
    show,
    sized,
    tally,
)
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
    head = make_head(environment, f"{base_url}  key {key_fingerprint}", config_file, colour=colour)
    if inspected is None or not inspected.snapshot.is_any_read:
        # To go on is the operator's choice.
        why = (inspected and inspected.why_unreadable()) or "no reading ended in time"
        blind = (("unread", clean(why)), ("scope", _scope(policy)))
        return show([*head, *make_blind(policy, *blind, colour=colour)], width=width)
    positions = inspected.snapshot.positions
    told = "not known: positions could not be read"
    if positions.complete:
        told = sum_up([p for p in positions.items if policy.covers(p.symbol)])
    # How many orders wait on which symbols, the most first.
    symbols = Counter(o.symbol for o in inspected.snapshot.orders if policy.covers(o.symbol))
    first = tally({clean(name): number for name, number in symbols.most_common(_SYMBOLS_MAX)})
    more = len(symbols) - _SYMBOLS_MAX
    orders = f"{symbols.total()}: {first}" if symbols else "none"
    orders += f", and {count(more, 'symbol')} more" if more > 0 else ""
    doubts = [clean(explain_contradiction(o)) for o in inspected.contradictions[:_NAMED_MAX]]
    rows = [("open", told), ("orders", orders), *(("doubt", doubt) for doubt in doubts)]
    scope = ("scope", _scope(policy))
    below = labelled(*rows, scope, *forecast([inspected], policy))
    closes = [close.position for symbol in inspected.plan.symbols for close in symbol.closes]
    if not closes:
        return show([*head, *below], width=width)

    ranked = sorted(closes, key=lambda position: (-position.notional, position.leg))
    cells = [
        (
            named(position.symbol, position.product),
            position.direction.value,
            sized(plain(position.size), position.product),
            money(position.notional),
            "?" if position.unrealized_pnl is None else gain(position.unrealized_pnl),
        )
        for position in ranked
    ]

    def make(rows: int) -> list[Part]:
        most = max(rows, _ROWS_MIN)
        shown = len(ranked) if len(ranked) <= most else most - 1
        names = ("symbol", "side", "quantity", "notional", "PnL")
        table = Table(head=names, rows=cells[:shown], right={2, 3, 4})
        smaller = [f"and, smaller, {sum_up(ranked[shown:])}"] if ranked[shown:] else []
        return [*head, table, *smaller, "", *below]

    return "\n".join(fit(make(len(closes)), make, width=width, height=height)) + "\n"


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
    rows = labelled(("scope", _scope(policy)), *forecast([inspected], policy))
    return render_result(
        result, width=width, height=height, colour=colour, asked=asked, forecast=[head, *rows]
    )


def make_head(environment: str, where: str, config_file: str | None, *, colour: bool) -> list[Part]:
    """Return what the question begins with: where a run would act, and by which settings."""
    banner = paint(clean(environment).upper(), Tone.BAD, colour=colour)
    settings = clean(config_file) if config_file else None
    return [f"{banner}  {clean(where)}", *labelled(("settings", settings)), ""]


def make_blind(
    policy: LiquidationConfig, *rows: tuple[str, str | None], colour: bool
) -> list[Part]:
    """Return the question where nothing could be read."""
    unknown = "NOTHING COULD BE READ: what is open is not known"
    go_on = (
        f"the run reads for itself, for {policy.timeout_seconds:g} s at most, and cancels and "
        "closes what it finds"
    )
    return [paint(unknown, Tone.DOUBT, colour=colour), *labelled(*rows, ("go on", go_on))]


def forecast(
    inspected: "Sequence[Inspection]", policy: LiquidationConfig
) -> list[tuple[str, str | None]]:
    """Return what a run would send and take, of several accounts side by side."""
    plans, timeout_s = [each.plan for each in inspected], policy.timeout_seconds
    symbols = [each for plan in plans for each in plan.symbols]
    kinds = Counter(
        order.kind
        for each in symbols
        for orders in (*each.books.values(), each.alone)
        for order in orders
    )
    regular, conditional = kinds[OrderKind.REGULAR], kinds[OrderKind.ALGO]
    cancels = f"{count(regular, 'order')}, {count(conditional, 'conditional order')}"
    parts = sum(len(close.parts) for each in symbols for close in each.closes)
    stops = sum(len(plan.kept) for plan in plans)
    kept = f"{count(stops, 'protective stop')}, until the position is flat"
    rows = [
        ("cancel", cancels if regular or conditional else "nothing"),
        ("close", f"{count(parts, 'order')} at market, reducing only" if parts else "nothing"),
        ("keep", kept if stops else None),
    ]
    if len(inspected) == 1 and (unread := inspected[0].why_unreadable()):
        return [*rows, ("unread", clean(unread)), ("lasts", f"{timeout_s:g} s at most")]
    limits = Limits()
    trips_s = [each.snapshot.finished_at - each.snapshot.started_at for each in inspected]
    forecasts = [
        make_forecast(
            each.snapshot,
            replace(policy, products=each.products or policy.products),
            round_trip_s=trip_s,
            limits=limits,
        )
        for each, trip_s in zip(inspected, trips_s, strict=True)
    ]
    # Accounts wait for the network side by side, and for the processor one after the other.
    beside = [
        (each.expected_s, each.expected_s - each.round_trips * trip_s)
        for each, trip_s in zip(forecasts, trips_s, strict=True)
    ]
    slowest_s, own_s = max(beside)
    others_s = sum(share_s for _, share_s in beside) - own_s
    expected_s, worst_s = slowest_s + others_s, max(each.worst_s for each in forecasts) + others_s
    takes = (
        f"{count(max(each.round_trips for each in forecasts), 'round trip')} of "
        f"{max(trips_s) * 1000:.0f} ms, "
        f"{count(sum(each.requests for each in forecasts), 'request')}, "
        f"weight {sum(each.weight for each in forecasts)} of {limits.weight_1m}, "
        f"{count(max(each.closes for each in forecasts), 'order')} of {limits.orders_10s} in 10 s"
        f"{' for one account' if len(inspected) > 1 else ''}"
    )
    fit = f"DOES NOT FIT the limit of {timeout_s:g} s; the largest go first"
    if worst_s <= timeout_s:
        fit = f"fits the limit of {timeout_s:g} s"
    elif expected_s <= timeout_s:
        fit = f"not every repeat fits the limit of {timeout_s:g} s"
    lasts = f"{expected_s:.2f} s expected, {worst_s:.2f} s at worst: {fit}"
    settle_s = policy.settle_seconds
    then = f"flat is watched for {settle_s:g} s, or for what the limit leaves"
    return [*rows, ("takes", takes), ("lasts", lasts), ("then", then if settle_s else None)]


def _scope(policy: LiquidationConfig) -> str:
    return scope_words([clean(symbol) for symbol in policy.symbols], policy.products)


def sum_up(positions: Sequence[Position]) -> str:
    """Return how much is open, and what it has gained or lost."""
    exposure = sum((position.notional for position in positions), Decimal(0))
    gained = gain(sum_gains(positions))
    return f"{count(len(positions), 'position')} of {money(exposure)} notional, PnL {gained}"


def sum_gains(positions: Sequence[Position]) -> Decimal:
    """Return the profit or loss, as far as it is known."""
    return sum((position.unrealized_pnl or Decimal(0) for position in positions), Decimal(0))


def gain(amount: Decimal) -> str:
    """Return a profit or loss with its sign.

    >>> gain(Decimal("-12.5"))
    '-12.50'
    """
    return f"{amount:+,.2f}"
