"""Snapshot and memory in, plan out: what to cancel and close now, worst first.

Order of work inside a symbol: cancel what rests on the regular book and every conditional order
that could open something, then close the legs. Protective stops stay until their leg is flat, and
one on a leg that reads flat stays until that is settled: the position may not show yet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from liqctl.kernel.amounts import ceil_to_step, coarser_step, floor_to_step, less, split
from liqctl.kernel.codes import Adaptation
from liqctl.kernel.ledger import LegRecord, OrderRecord, is_left_over
from liqctl.kernel.pacing import (
    BAND_ASSUMED,
    BAND_INSIDE,
    MARK_AGE_MAX_S,
    SINGLE_CANCELS_MAX,
)
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import Look, is_leg_settled
from liqctl.kernel.protection import is_protective, may_protect, reduces_only
from liqctl.kernel.retry import ROUND_CODES
from liqctl.kernel.values import (
    Leg,
    MarketRules,
    OpenOrder,
    OrderKind,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    Side,
    Snapshot,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosePart:
    """One order of a close. `quantity` is positive; a LIMIT is sent immediate-or-cancel."""

    quantity: Decimal
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegClose:
    """One leg to close now: its parts are sent in parallel.

    `order_leg` names the leg in the account's present position mode; it differs from the
    position's own leg only when the mode was flipped since the reading.
    """

    position: Position
    order_leg: Leg
    side: Side
    parts: tuple[ClosePart, ...]


class Mark(NamedTuple):
    """A mark price and when it was asked for (loop time)."""

    price: Decimal
    read_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolPlan:
    """What to do on one symbol. `notional` ranks it.

    `cancel_regular` and `cancel_all_algo` cancel the whole of a book; `regular` and `swept` are
    the listed orders that this covers, `alone` those of either book that are cancelled by their
    id. `stops` are the protective ones that may go as soon as every leg was read flat, by the whole
    book where `stops_by_book`. `is_sweep` marks the last cancel of both books before flat is called
    proven.
    """

    symbol: str
    notional: Decimal = Decimal(0)
    cancel_regular: bool = False
    regular: tuple[OpenOrder, ...] = ()
    cancel_all_algo: bool = False
    swept: tuple[OpenOrder, ...] = ()
    alone: tuple[OpenOrder, ...] = ()
    closes: tuple[LegClose, ...] = ()
    stops: tuple[OpenOrder, ...] = ()
    stops_by_book: bool = False
    is_sweep: bool = False

    def after_closing(self) -> "SymbolPlan":
        """Return the plan that is left once every leg was read flat: to cancel the stops."""
        return SymbolPlan(
            symbol=self.symbol,
            alone=() if self.stops_by_book else self.stops,
            cancel_all_algo=self.stops_by_book,
            swept=self.stops if self.stops_by_book else (),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, worst first, and the orders that are kept for the time being.

    `wake_at` is when the earliest action that is only waiting may start (loop time), None when
    nothing waits. `needs_rules` names symbols whose market rules the next plan wants.
    """

    symbols: tuple[SymbolPlan, ...] = ()
    kept: tuple[OpenOrder, ...] = ()
    wake_at: float | None = None
    needs_rules: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send now."""
        return not self.symbols


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a plan is made from besides the snapshot.

    `mode` is set only after the venue refused an order for its position mode; `marks` are mark
    prices read for limit prices. `looks` are the complete readings of the positions since
    `began_at`, which was not before `began_ms` of the venue's clock, and `window_s` is how long a
    contradiction has to be gone. `entered` are symbols that somebody was seen entering anew,
    `swept` those whose conditional orders were cancelled without having been seen. `conditionals`
    is how many conditional orders the account has.
    """

    legs: Mapping[Leg, LegRecord]
    orders: Mapping[tuple[str, OrderKind, str], OrderRecord]
    rules: Mapping[str, MarketRules]
    marks: Mapping[str, Mark]
    mode: PositionMode | None = None
    looks: Sequence[Look] = ()
    began_at: float = 0.0
    began_ms: float = float("-inf")
    window_s: float = 0.0
    entered: frozenset[str] = frozenset()
    swept: frozenset[str] = frozenset()
    conditionals: int = 0
    now: float = 0.0


_Open = tuple[list[LegRecord], list[OpenOrder]]
"""What is open on one symbol."""


def make_plan(snapshot: Snapshot, memory: Memory, policy: LiquidationConfig) -> Plan:
    """Return what to do now about everything in scope that is still open.

    Legs that are in flight, held back, waiting or given up are left out; so are orders whose
    cancel is waiting or given up.
    """
    positions = {
        leg: record.current
        for leg, record in memory.legs.items()
        if record.current is not None and policy.covers(leg.symbol)
    }
    # Our own orders are not in anybody's way: what became of them is looked up.
    ours = {id_ for record in memory.legs.values() for id_ in record.unresolved}
    orders = [
        known.order if (known := memory.orders.get(order.key)) else order
        for order in snapshot.orders
        if policy.covers(order.symbol) and order.client_order_id not in ours
    ]
    kept = tuple(order for order in orders if is_protective(order, positions))
    unseen = set() if snapshot.algo_orders.complete else _settled_symbols(memory)
    by_symbol: dict[str, _Open] = {symbol: ([], []) for symbol in unseen}
    for leg in positions:
        by_symbol.setdefault(leg.symbol, ([], []))[0].append(memory.legs[leg])
    for order in orders:
        by_symbol.setdefault(order.symbol, ([], []))[1].append(order)
    # Of a leg that we did not close ourselves the list may not show the stop yet.
    symbols = {leg.symbol for leg in memory.legs}
    closed_by_us = symbols - {leg.symbol for leg, r in memory.legs.items() if not r.is_closed}
    plans = []
    needs_rules: set[str] = set()
    worst_first = sorted(by_symbol.items(), key=lambda item: (-_exposure(item[1][0]), item[0]))
    for symbol, (records, mine) in worst_first:
        plan, wants_rules = _plan_symbol(
            symbol,
            records,
            mine,
            snapshot,
            memory,
            policy,
            unseen=symbol in unseen,
            closed_by_us=symbol in closed_by_us,
        )
        if wants_rules:
            needs_rules.add(symbol)
        if plan is not None:
            plans.append(plan)
    waiting = [r.not_before for r in memory.legs.values() if not r.given_up]
    waiting += [r.not_before for r in memory.orders.values() if r.present and not r.given_up]
    return Plan(
        symbols=tuple(plans),
        kept=kept,
        wake_at=min((at for at in waiting if at > memory.now), default=None),
        needs_rules=frozenset(needs_rules),
    )


def _plan_symbol(
    symbol: str,
    records: list[LegRecord],
    orders: list[OpenOrder],
    snapshot: Snapshot,
    memory: Memory,
    policy: LiquidationConfig,
    *,
    unseen: bool,
    closed_by_us: bool,
) -> tuple[SymbolPlan | None, bool]:
    """Return the plan of one symbol, None when nothing can be sent, and whether it wants rules.

    `unseen` says that its conditional orders cannot be read, and that it is safe to take them all;
    `closed_by_us` that our own confirmed fills closed every leg of it.
    """
    open_legs = {record.leg: record.current for record in records if record.current}
    cancellable = (
        [order for order in orders if _may_cancel(order, memory)] if policy.cancel_orders else []
    )
    due = [order for order in cancellable if _is_due(order, open_legs, snapshot, memory)]
    ready = [record for record in records if policy.close_positions and _may_close(record, memory)]
    planned = [_plan_leg(record, memory) for record in ready]
    closes = [close for close, _ in planned if close is not None]
    wants_rules = any(wants for _, wants in planned)
    blind = (
        policy.cancel_orders
        and bool(closes)
        and (
            not snapshot.regular_orders.complete
            or any(Adaptation.CANCEL_FIRST in record.adapted for record in ready)
        )
    )
    regular, regular_alone = _by_book_or_id(
        OrderKind.REGULAR, due, orders, memory, closed_by_us=closed_by_us
    )
    algo, algo_alone = _by_book_or_id(
        OrderKind.ALGO, due, orders, memory, closed_by_us=closed_by_us
    )
    if not (due or closes or unseen):
        return None, wants_rules
    stops: tuple[OpenOrder, ...] = ()
    if closes and len(closes) == len(open_legs):
        stops = tuple(order for order in cancellable if is_protective(order, open_legs))
    others = sum(order.kind is OrderKind.ALGO for order in orders) - len(stops) - len(algo)
    plan = SymbolPlan(
        symbol=symbol,
        notional=sum((p.notional for p in open_legs.values() if p), Decimal(0)),
        cancel_regular=bool(regular) or blind,
        regular=regular,
        cancel_all_algo=bool(algo) or unseen,
        swept=algo,
        alone=regular_alone + algo_alone,
        closes=tuple(sorted(closes, key=lambda close: -close.position.notional)),
        stops=stops,
        stops_by_book=not others and _by_book(stops, memory),
    )
    return plan, wants_rules


def _is_due(
    order: OpenOrder, open_legs: Mapping[Leg, Position], snapshot: Snapshot, memory: Memory
) -> bool:
    """Return whether the order is to be cancelled now.

    A protective stop of an open leg is not; what can only reduce a leg that reads flat is evidence
    of a position and waits until it is litter; everything else goes at once.
    """
    if is_protective(order, open_legs):
        return False
    if order.kind is OrderKind.ALGO and order.side is None and open_legs:
        return False  # It may open a position, or be the stop of a leg that is not closed yet.
    known, leg = memory.orders.get(order.key), memory.legs.get(order.leg)
    is_older = leg is not None and known is not None and leg.seen_at < known.first_at
    # A list of a moment before our last fill may show the leg the other way round.
    is_stale = (
        leg is not None
        and leg.current is not None
        and (0 < leg.current.update_time_ms < leg.filled_ms)
    )
    if leg is not None and (leg.doubtful or is_older or is_stale) and may_protect(order):
        return False  # What the leg holds is not known now, nor what this order would do.
    # Without a flag it would be an order that opens, had it not been a stop of this leg before.
    was_stop = known is not None and known.protective and leg is not None and leg.vanished
    if order.leg not in open_legs and (reduces_only(order) or was_stop):
        return _is_litter(order, snapshot, memory)
    if order.kind is OrderKind.REGULAR:
        return True
    is_read = snapshot.positions.complete or order.leg in memory.legs
    return is_read or not may_protect(order)


def _is_litter(order: OpenOrder, snapshot: Snapshot, memory: Memory) -> bool:
    """Return whether the order's leg is surely flat: its position is no longer to be protected.

    Either our own confirmed fills closed the leg when the order was listed already, and a reading
    agrees; or the leg was read flat for the whole window since the order was listed.
    """
    known, leg = memory.orders.get(order.key), memory.legs.get(order.leg)
    if known is not None and is_left_over(known, leg, began_ms=memory.began_ms):
        return leg is not None and leg.current is None
    since = max(memory.began_at, known.listed_at if known else snapshot.finished_at)
    return is_leg_settled(memory.looks, order.leg, since=since, window_s=memory.window_s)


def _by_book_or_id(
    kind: OrderKind,
    due: Sequence[OpenOrder],
    listed: Sequence[OpenOrder],
    memory: Memory,
    *,
    closed_by_us: bool,
) -> tuple[tuple[OpenOrder, ...], tuple[OpenOrder, ...]]:
    """Return the orders due that the whole book's cancel covers, and those cancelled by id.

    The regular book goes whole, as long as nothing on it has to stay and its cancel has an effect.
    Conditional orders go by id: the whole book's cancel would take what no reading showed.
    """
    mine = [order for order in due if order.kind is kind]
    alone = {o.key for o in mine if (known := memory.orders.get(o.key)) and known.singly}
    singly = tuple(order for order in mine if order.key in alone)
    together = tuple(order for order in mine if order.key not in alone)
    is_whole = len(mine) == sum(order.kind is kind for order in listed)
    if kind is OrderKind.REGULAR:
        by_book = is_whole or len(together) > SINGLE_CANCELS_MAX
    else:
        by_book = is_whole and closed_by_us and _by_book(together, memory)
    return (together, singly) if by_book else ((), singly + together)


def _by_book(stops: Sequence[OpenOrder], memory: Memory) -> bool:
    """Whether these conditional orders of one symbol, all that are listed, go with their book.

    Where the account has some tens of them, one request for a symbol is what gets them all away.
    """
    is_many = memory.conditionals > SINGLE_CANCELS_MAX
    return len(stops) > 1 and is_many and stops[0].symbol not in memory.entered


def plan_sweeps(symbols: Iterable[str], memory: Memory) -> list[SymbolPlan]:
    """Return the last cancels of both books of symbols that nothing is listed on any more.

    The conditional book of a symbol that is open, or that somebody was seen entering anew, is left
    alone: a stop that no list shows may protect what was opened since.
    """
    is_open = {leg.symbol for leg, record in memory.legs.items() if record.current is not None}
    return [
        SymbolPlan(
            symbol=symbol,
            cancel_regular=True,
            cancel_all_algo=symbol not in is_open and symbol not in memory.entered,
            is_sweep=True,
        )
        for symbol in symbols
    ]


def _plan_leg(record: LegRecord, memory: Memory) -> tuple[LegClose | None, bool]:
    """Return how to close the leg now, and whether its market rules are wanted first.

    Without rules or a price the order goes out as it would without the adaptation that asked for
    them, but for an oversize one, which is halved, and an odd one, which loses a digit at a time:
    waiting would help nobody.
    """
    position = record.current
    if position is None:
        return None, False
    rules = memory.rules.get(position.symbol)
    wants_rules = rules is None and bool(
        record.adapted & {Adaptation.SPLIT, Adaptation.ROUND, Adaptation.LIMIT_IOC}
    )
    price = None if rules is None else _limit_price(position, record, rules, memory)
    close = LegClose(
        position=position,
        order_leg=_order_leg(position, memory.mode),
        side=position.closing_side,
        parts=_parts(record, position.size, rules, price),
    )
    return close, wants_rules


def _parts(
    record: LegRecord, size: Decimal, rules: MarketRules | None, price: Decimal | None
) -> tuple[ClosePart, ...]:
    """Return the orders that together close the size, or as much of it as fits the steps."""
    step, market_step = _steps(record, rules)
    limit = Decimal(0)
    if price is None:
        market = floor_to_step(size, market_step)
    elif Adaptation.LIMIT_IOC in record.adapted:
        market, limit = Decimal(0), floor_to_step(size, step)
    else:
        market = floor_to_step(size, market_step)
        limit = floor_to_step(less(size, market), step)
    if not (market or limit):
        # Less than one step: only the venue can say what becomes of it.
        return (ClosePart(quantity=size),)
    known = (rules.market_quantity_max, rules.limit_quantity_max) if rules else (None, None)
    return tuple(
        ClosePart(quantity=quantity) for quantity in _split(market, known[0], record.part_max)
    ) + tuple(
        ClosePart(quantity=quantity, type=OrderType.LIMIT, price=price)
        for quantity in _split(limit, known[1], record.part_max)
    )


def _steps(record: LegRecord, rules: MarketRules | None) -> tuple[Decimal, Decimal]:
    """Return the steps of limit and of market orders; 0 for none that has to be kept to."""
    step = market_step = Decimal(0)
    if rules is not None:
        # The coarser of the two steps decides for MARKET: a first order that would be refused
        # with -4023 is cut before that where the rules are known.
        coarse = rules.market_step_size or Decimal(0)
        if Adaptation.ROUND in record.adapted or coarse > (rules.step_size or Decimal(0)):
            step = rules.step_size or Decimal(0)
            market_step = max(step, coarse)
    elif record.error is not None and record.error.code in ROUND_CODES and record.sent:
        market_step = coarser_step(record.sent[-1].quantity)
    return step, market_step


def _split(
    quantity: Decimal, known_max: Decimal | None, halved: Decimal | None
) -> tuple[Decimal, ...]:
    """Return the parts of a quantity, by the rule unless the venue refused even what it allows."""
    if not quantity:
        return ()
    part_max = halved
    if known_max is not None and (halved is None or halved * 2 > known_max):
        part_max = known_max
    return (quantity,) if part_max is None else split(quantity, part_max)


def _limit_price(
    position: Position, record: LegRecord, rules: MarketRules, memory: Memory
) -> Decimal | None:
    """Return a price a little inside the allowed band, None when nothing fresh tells the band.

    SELL >= mark x multiplierDown, BUY <= mark x multiplierUp (PERCENT_PRICE, Binance "Common
    Definition", read 2026-11-23). The mark moves between reading and order, so an order at the
    exact edge is refused (-4016, -4024); such a refusal names the bound of its moment, which is
    newer than any mark price of ours.
    """
    sells = position.closing_side is Side.SELL
    bound = None if record.error is None else record.error.price_bound
    if bound is None:
        mark = _fresh_mark(position, record, memory)
        if mark is None:
            return None
        multiplier = rules.price_multiplier_down if sells else rules.price_multiplier_up
        bound = mark * (multiplier or (1 - BAND_ASSUMED if sells else 1 + BAND_ASSUMED))
    tick = rules.tick_size or Decimal(0)
    # Normalised, because a price that is on the tick already keeps the digits of the product.
    if sells:
        return ceil_to_step((bound * (1 + BAND_INSIDE)).normalize(), tick)
    return floor_to_step((bound * (1 - BAND_INSIDE)).normalize(), tick) or None


def wants_mark(record: LegRecord, rules: MarketRules | None) -> bool:
    """Return whether the leg needs a mark price that its position did not come with."""
    if record.current is None or record.current.mark_price is not None:
        return False
    steps = _steps(record, rules)
    return Adaptation.LIMIT_IOC in record.adapted or (rules is not None and steps[0] < steps[1])


def _fresh_mark(position: Position, record: LegRecord, memory: Memory) -> Decimal | None:
    """Return the newest mark price if it was read after the last answer or a moment ago."""
    known = memory.marks.get(position.symbol)
    if position.mark_price is not None and (known is None or known.read_at < record.seen_at):
        known = Mark(position.mark_price, record.seen_at)
    if known is None:
        return None
    is_fresh = known.read_at >= record.settled_at or memory.now - known.read_at <= MARK_AGE_MAX_S
    return known.price if is_fresh else None


def _order_leg(position: Position, mode: PositionMode | None) -> Leg:
    match mode:
        case PositionMode.HEDGE:
            return Leg(symbol=position.symbol, position_side=position.direction)
        case PositionMode.ONE_WAY:
            return Leg(symbol=position.symbol, position_side=PositionSide.BOTH)
        case None:
            return position.leg


def _may_close(record: LegRecord, memory: Memory) -> bool:
    return not (
        record.current is None
        or record.in_flight
        or record.doubtful
        or record.given_up
        or record.not_before > memory.now
        # The venue said it is closed: only a reading can say that there is more to close.
        or record.expected == 0
    )


def _may_cancel(order: OpenOrder, memory: Memory) -> bool:
    record = memory.orders.get(order.key)
    return record is None or not (record.given_up or record.not_before > memory.now)


def _settled_symbols(memory: Memory) -> set[str]:
    """Return the symbols whose conditional orders may be taken although no list shows them.

    The run has seen a leg of theirs, and every one has been flat for the whole window since.
    """
    by_symbol: dict[str, list[LegRecord]] = {}
    for leg, record in memory.legs.items():
        by_symbol.setdefault(leg.symbol, []).append(record)
    return {
        symbol
        for symbol, records in by_symbol.items()
        if symbol not in memory.swept
        and symbol not in memory.entered
        and all(
            record.current is None
            and is_leg_settled(
                memory.looks, record.leg, since=record.gone_at, window_s=memory.window_s
            )
            for record in records
        )
    }


def _exposure(records: Sequence[LegRecord]) -> Decimal:
    return sum((record.current.notional for record in records if record.current), Decimal(0))
