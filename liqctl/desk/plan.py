"""What a liquidation would send: shown before production is confirmed, and by a dry run.

Of several accounts the one of which little is known comes first, for nobody may take it for one
that is flat. What the terminal has no room for is summed up, the smallest first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from liqctl.desk.result import Asked, render_result
from liqctl.desk.text import (
    NOT_READ,
    Part,
    Table,
    Tone,
    clean,
    count,
    fit,
    grouped,
    in_one_line,
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
from liqctl.kernel.values import OpenOrder, OrderKind, Position, exposure_of
from liqctl.kernel.words import explain_contradiction

if TYPE_CHECKING:
    from liqctl.run.inspection import Inspection

_ROWS_MIN: Final = 3
_SYMBOLS_MAX: Final = 5
_NAMED_MAX: Final = 3
_NO_KEY: Final = "no usable key"


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
    head = _head(environment, f"{base_url}  key {key_fingerprint}", config_file, colour=colour)
    if inspected is None or not inspected.snapshot.is_any_read:
        # To go on is the operator's choice.
        why = (inspected and inspected.why_unreadable()) or "no reading ended in time"
        blind = (("unread", clean(why)), ("scope", _scope(policy)))
        return show([*head, *_blind(policy, *blind, colour=colour)], width=width)
    positions = inspected.snapshot.positions
    told = "not known: positions could not be read"
    if positions.complete:
        told = _sum_up([p for p in positions.items if policy.covers(p.symbol)])
    # How many orders wait on which symbols, the most first.
    symbols = Counter(o.symbol for o in inspected.snapshot.orders if policy.covers(o.symbol))
    first = tally({clean(name): number for name, number in symbols.most_common(_SYMBOLS_MAX)})
    more = len(symbols) - _SYMBOLS_MAX
    orders = f"{symbols.total()}: {first}" if symbols else "none"
    orders += f", and {count(more, 'symbol')} more" if more > 0 else ""
    doubts = [clean(explain_contradiction(o)) for o in inspected.contradictions[:_NAMED_MAX]]
    rows = [("open", told), ("orders", orders), *(("doubt", doubt) for doubt in doubts)]
    scope = ("scope", _scope(policy))
    below = labelled(*rows, scope, *_forecast([inspected], policy))
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
            "?" if position.unrealized_pnl is None else _gain([position]),
        )
        for position in ranked
    ]

    def make(rows: int) -> list[Part]:
        most = max(rows, _ROWS_MIN)
        shown = len(ranked) if len(ranked) <= most else most - 1
        names = ("symbol", "side", "quantity", "notional", "PnL")
        table = Table(head=names, rows=cells[:shown], right={2, 3, 4})
        smaller = [f"and, smaller, {_sum_up(ranked[shown:])}"] if ranked[shown:] else []
        return [*head, table, *smaller, "", *below]

    return "\n".join(fit(make(len(closes)), make, width=width, height=height)) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """What the question shows of one account: what was read in scope, and why not everything."""

    name: str
    key: str | None
    twin_of: str | None
    seen: "Inspection | None" = None
    why: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        key: str | None,
        twin_of: str | None,
        found: "Inspection | None",
        policy: LiquidationConfig,
    ) -> "_Account":
        """Return what was read of it in scope, and why not everything."""
        seen, why = None, None
        if twin_of is None and key is None:
            why = f"{_NO_KEY}; NOTHING IS CLOSED there"
        elif twin_of is None:
            why = found.why_unreadable() if found else None
            if found is None or not found.snapshot.is_any_read:
                why = why or "no reading ended in time"
            else:
                snapshot, verdict = found.snapshot, found.verdict
                if not snapshot.positions.complete:
                    why = why or "positions could not be read in full"
                positions = verdict.positions
                if not policy.close_positions:  # Those that are left alone are all that are open.
                    items = snapshot.positions.items
                    positions = tuple(each for each in items if policy.covers(each.symbol))
                wanted = {order.order_id for order in (*verdict.orders, *verdict.kept)}
                orders = tuple(
                    each
                    for each in snapshot.orders
                    if (
                        each.order_id in wanted
                        if policy.cancel_orders
                        else policy.covers(each.symbol)
                    )
                )
                in_scope = snapshot._replace(
                    positions=snapshot.positions._replace(items=positions),
                    regular_orders=snapshot.regular_orders._replace(items=orders),
                    algo_orders=snapshot.algo_orders._replace(items=()),
                )
                seen = replace(found, snapshot=in_scope)
        why = clean(why) if why else None
        return cls(name=name, key=key, twin_of=twin_of, seen=seen, why=why)

    @property
    def positions(self) -> tuple[Position, ...]:
        return self.seen.snapshot.positions.items if self.seen else ()

    @property
    def orders(self) -> tuple[OpenOrder, ...]:
        """The orders in scope, those that stay too."""
        return self.seen.snapshot.orders if self.seen else ()

    @property
    def notional(self) -> Decimal:
        return exposure_of(self.positions)

    @property
    def has_positions(self) -> bool:
        return self.seen is not None and self.seen.snapshot.positions.complete

    @property
    def has_orders(self) -> bool:
        """Whether both books were read in full."""
        return self.seen is not None and self.seen.snapshot.lists_missing <= {"positions"}

    @property
    def is_unread(self) -> bool:
        """Whether it is an account of its own whose positions were not read in full."""
        return self.twin_of is None and not self.has_positions

    @property
    def rank(self) -> tuple[int, Decimal, str]:
        """The order of rows: what is not known first, then the largest, then twins."""
        place = 3 if self.twin_of is not None else 2 if self.has_positions else 0
        return place, -self.notional, self.name

    def cells(self, *, colour: bool) -> tuple[str, ...]:
        if self.twin_of is not None:
            return (self.name, "", "", "", "", f"same account as {clean(self.twin_of)}")
        number, notional, gained = str(len(self.positions)), money(self.notional), "?"
        if not self.has_positions:
            number = paint(NOT_READ, Tone.DOUBT, colour=colour)
            notional = f"at least {notional}" if self.notional else "?"
        elif all(position.unrealized_pnl is not None for position in self.positions):
            gained = _gain(self.positions)
        orders = str(len(self.orders)) if self.has_orders else "?"
        key = paint(_NO_KEY, Tone.BAD, colour=colour) if self.key is None else clean(self.key)
        return (self.name, number, notional, gained, orders, key)


def render_confirmations(
    accounts: "Sequence[tuple[str, str | None, str | None, Inspection | None]]",
    *,
    environment: str,
    base_url: str,
    policy: LiquidationConfig,
    width: int | None,
    height: int,
    colour: bool,
    config_file: str | None = None,
) -> str:
    """Return where, on whose accounts, what is open worst first.

    Each account is its name, its key's fingerprint (None: no usable key), the name that it is a
    twin of (None: none), and what was read (None: nothing in time).
    """
    head = _head(environment, base_url, config_file, colour=colour)
    rows = sorted(
        (
            _Account.of(clean(name), key, twin_of, found, policy)
            for name, key, twin_of, found in accounts
        ),
        key=lambda row: row.rank,
    )
    unread = [("unread", told) for told in grouped((row.name, row.why) for row in rows)]
    read = [row.seen for row in rows if row.seen]
    if not read:
        below: list[Part] = ["", *_blind(policy, *unread, colour=colour)]
        few = below
    else:
        doubts = [
            ("doubt", f"{row.name}: {clean(explain_contradiction(order))}")
            for row in rows
            if row.seen is not None
            for order in row.seen.contradictions
        ]
        # What is open on all accounts, twins aside, and on how many that is not known.
        whose = [row for row in rows if row.twin_of is None]
        total = _sum_up([position for row in whose for position in row.positions])
        held = sum(bool(row.positions) for row in whose)
        total += f", on {held} of {count(len(whose), 'account')}"
        if unknown := sum(row.is_unread for row in whose):
            total = f"at least {total}; {count(unknown, 'account')} {NOT_READ}"
        number, unlisted = sum(len(r.orders) for r in whose), sum(not r.has_orders for r in whose)
        orders = str(number or "none")
        orders += f", but not read on {count(unlisted, 'account')}" if unlisted else ""
        sums = [("open", total), ("orders", orders), *doubts[:_NAMED_MAX]]
        # The policy is the first account's: what is in scope of each was sorted out above.
        takes = [r for r in _forecast(read, replace(policy, symbols=())) if r[0] != "unread"]
        below = ["", *labelled(*unread, *sums, *takes)]
        first = in_one_line(unread[:_NAMED_MAX], width)
        if len(unread) > _NAMED_MAX:
            first.append(("unread", f"and for {len(unread) - _NAMED_MAX} more reasons"))
        few = labelled(*first, *sums, *(row for row in takes if row[0] in {"close", "lasts"}))

    def make(rows_max: int) -> list[Part]:
        return [*head, *_accounts(rows, max(rows_max, _ROWS_MIN), colour=colour), *few]

    whole = [*head, *_accounts(rows, len(rows), colour=colour), *below]
    return "\n".join(fit(whole, make, width=width, height=height)) + "\n"


def _accounts(rows: Sequence[_Account], rows_max: int, *, colour: bool) -> list[Part]:
    """Return the accounts as a table, and what has no row in it as one line."""
    shown = rows
    if len(rows) > rows_max:
        # Those that were not read are named below, so they leave the largest their rows.
        unread = sum(row.is_unread for row in rows)
        first = min(unread, max(rows_max // 2, rows_max - 1 - len(rows) + unread))
        shown = [*rows[:first], *rows[unread : unread + rows_max - 1 - first]]
    rest = [row for row in rows if row not in shown]
    head = ("account", "positions", "notional", "PnL", "orders", "key")
    table = Table(head=head, rows=[row.cells(colour=colour) for row in shown], right={1, 2, 3, 4})
    if not rest:
        return [table]
    notional = exposure_of([position for row in rest for position in row.positions])
    twins = sum(row.twin_of is not None for row in rest)
    unread = sum(row.is_unread for row in rest)
    told = f"and, smaller, {count(len(rest), 'account')} of {money(notional)} notional"
    told += f", {unread} {NOT_READ}" if unread else ""
    told += f", {count(twins, 'twin')} of others" if twins else ""
    return [table, told]


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
    rows = labelled(("scope", _scope(policy)), *_forecast([inspected], policy))
    return render_result(
        result, width=width, height=height, colour=colour, asked=asked, forecast=[head, *rows]
    )


def _head(environment: str, where: str, config_file: str | None, *, colour: bool) -> list[Part]:
    """Return what the question begins with: where a run would act, and by which settings."""
    banner = paint(clean(environment).upper(), Tone.BAD, colour=colour)
    settings = clean(config_file) if config_file else None
    return [f"{banner}  {clean(where)}", *labelled(("settings", settings)), ""]


def _blind(policy: LiquidationConfig, *rows: tuple[str, str | None], colour: bool) -> list[Part]:
    """Return the question where nothing could be read."""
    unknown = "NOTHING COULD BE READ: what is open is not known"
    go_on = (
        f"the run reads for itself, for {policy.timeout_seconds:g} s at most, and cancels and "
        "closes what it finds"
    )
    return [paint(unknown, Tone.DOUBT, colour=colour), *labelled(*rows, ("go on", go_on))]


def _forecast(
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


def _sum_up(positions: Sequence[Position]) -> str:
    """Return how much is open, and what it has gained or lost."""
    held = f"{count(len(positions), 'position')} of {money(exposure_of(positions))} notional"
    return f"{held}, PnL {_gain(positions)}"


def _gain(positions: Sequence[Position]) -> str:
    """Return the profit or loss with its sign, as far as it is known."""
    known = (position.unrealized_pnl or Decimal(0) for position in positions)
    return f"{sum(known, Decimal(0)):+,.2f}"
