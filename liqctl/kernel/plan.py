"""Snapshot and memory in, plan out: what to cancel and close now, worst first.

Order of work inside a symbol: cancel what rests on the regular book and every conditional order
that could open something, then close the legs. Protective stops stay until their leg is flat, and
one on a leg that reads flat stays until that is settled: the position may not show yet.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from liqctl.kernel import pacing
from liqctl.kernel.amounts import ceil_to_step, coarser_step, floor_to_step, less, split
from liqctl.kernel.answers import Adaptation
from liqctl.kernel.ledger import LegRecord, OrderRecord, is_left_over
from liqctl.kernel.policy import LiquidationConfig, product_of
from liqctl.kernel.proof import Look, is_leg_settled, is_protective, may_protect, reduces_only
from liqctl.kernel.retry import ROUND_CODES
from liqctl.kernel.states import Product
from liqctl.kernel.values import (
    BOOKS,
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
    exposure_of,
)


class ClosePart(NamedTuple):
    """One order of a close. `quantity` is positive; a LIMIT is sent immediate-or-cancel."""

    quantity: Decimal
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None


class LegClose(NamedTuple):
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

    `books` are cancelled as a whole, each with the listed orders that this covers; `alone` are
    those of either book that are cancelled by their id. `blocks`: the closes wait for the cancels,
    for something may rest that claims what they sell. `then` cancels the protective stops, as
    soon as every leg was read flat. `is_sweep` marks the last cancel of both books before flat is
    called proven; the two go one after the other where `in_turn`.
    """

    symbol: str
    notional: Decimal = Decimal(0)
    books: Mapping[OrderKind, tuple[OpenOrder, ...]] = field(default_factory=dict)
    alone: tuple[OpenOrder, ...] = ()
    closes: tuple[LegClose, ...] = ()
    blocks: bool = True
    then: "SymbolPlan | None" = None
    is_sweep: bool = False
    in_turn: bool = False


class Plan(NamedTuple):
    """What to do now, worst first, and the orders that are kept for the time being."""

    symbols: tuple[SymbolPlan, ...] = ()
    kept: tuple[OpenOrder, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send now."""
        return not self.symbols


class Memory(NamedTuple):
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


_RULED: Final = frozenset({Adaptation.SPLIT, Adaptation.ROUND, Adaptation.LIMIT_IOC})
"""Adaptations that are made by the market's rules, where they are known."""


def make_plan(snapshot: Snapshot, memory: Memory, policy: LiquidationConfig) -> Plan:
    """Return everything that `Planner` plans, at once."""
    planner = Planner(snapshot, memory, policy)
    return Plan(symbols=tuple(planner.symbols()), kept=planner.kept)


def plan_sweep(symbol: str, *, with_stops: bool, in_turn: bool = False) -> SymbolPlan:
    """Return the last cancel of the books of a symbol that nothing is listed on any more.

    The conditional book is left alone without `with_stops`, and waits for the regular one where
    they go `in_turn`.
    """
    kinds = BOOKS if with_stops else [OrderKind.REGULAR]
    books = dict.fromkeys(kinds, ())
    return SymbolPlan(symbol=symbol, books=books, is_sweep=True, in_turn=in_turn)


def has_regular_stops(orders: Iterable[OpenOrder]) -> bool:
    """Return whether conditional orders rest on the regular book: its cancel takes them too."""
    return any(order.kind is OrderKind.REGULAR and order.is_conditional for order in orders)


class _OnSymbol(NamedTuple):
    """What is known of one symbol: every leg that was ever seen, the orders that are listed."""

    symbol: str
    records: list[LegRecord]
    orders: list[OpenOrder]

    @property
    def is_coinm(self) -> bool:
        return product_of(self.symbol) is Product.COINM

    @property
    def open(self) -> dict[Leg, Position]:
        return {record.leg: record.current for record in self.records if record.current}

    @property
    def notional(self) -> Decimal:
        return exposure_of(self.open.values())


class Planner:
    """What to do now about everything in scope that is still open, one symbol after the other.

    Legs that are in flight, held back, waiting or given up are left out; so are orders whose
    cancel is waiting or given up.
    """

    def __init__(self, snapshot: Snapshot, memory: Memory, policy: LiquidationConfig) -> None:
        """Sort what is known by symbol; `kept` are the orders that stay for the time being."""
        self.snapshot, self.memory, self.policy = snapshot, memory, policy
        self._by_symbol: dict[str, _OnSymbol] = {}
        for leg, record in memory.legs.items():
            if policy.covers(leg.symbol):
                self._on(leg.symbol).records.append(record)
        # Our own orders are not in anybody's way: what became of them is looked up.
        ours = {id_ for record in memory.legs.values() for id_ in record.unresolved}
        kept = []
        for listed in snapshot.orders:
            if policy.covers(listed.symbol) and listed.client_order_id not in ours:
                known = memory.orders.get(listed.key)
                order = known.order if known else listed
                on_symbol = self._on(order.symbol)
                on_symbol.orders.append(order)
                if is_protective(order, on_symbol.open):
                    kept.append(order)
        self.kept = tuple(kept)

    def _on(self, symbol: str) -> _OnSymbol:
        return self._by_symbol.setdefault(symbol, _OnSymbol(symbol, [], []))

    def symbols(self) -> Iterator[SymbolPlan]:
        """Yield what to do on each symbol where there is something to do, worst first."""
        notional = {symbol: each.notional for symbol, each in self._by_symbol.items()}
        for symbol in sorted(notional, key=lambda each: (-notional[each], each)):
            plan = self._symbol(symbol, self._by_symbol[symbol])
            if plan is not None:
                yield plan

    @property
    def wake_at(self) -> float | None:
        """When the earliest action that only waits may start (loop time), None without one."""
        memory = self.memory
        waiting = [r.not_before for r in memory.legs.values() if not r.given_up]
        waiting += [r.not_before for r in memory.orders.values() if r.present and not r.given_up]
        return min((at for at in waiting if at > memory.now), default=None)

    @property
    def needs_rules(self) -> bool:
        """Whether the next plan wants the market rules of a symbol."""
        return any(
            record.leg.symbol not in self.memory.rules and record.adapted & _RULED
            for on_symbol in self._by_symbol.values()
            for record in self._ready(on_symbol)
        )

    def _ready(self, on_symbol: _OnSymbol) -> list[LegRecord]:
        return [
            record
            for record in on_symbol.records
            if self.policy.close_positions
            and record.current is not None
            and not (record.in_flight or record.doubtful or record.given_up)
            and record.not_before <= self.memory.now
            # The venue said it is closed: only a reading can say that there is more to close.
            and record.expected != 0
        ]

    def _symbol(self, symbol: str, on_symbol: _OnSymbol) -> SymbolPlan | None:
        policy, memory, open_legs = self.policy, self.memory, on_symbol.open
        cancellable = [
            order
            for order in on_symbol.orders
            if policy.cancel_orders
            and not (
                (known := memory.orders.get(order.key))
                and (known.given_up or known.not_before > memory.now)
            )
        ]
        due = [order for order in cancellable if self._is_due(order, open_legs)]
        ready = self._ready(on_symbol)
        closes = [_close_of(record, memory) for record in ready]
        # With `--positions-only` an unread book is out of scope, too.
        is_hidden = policy.cancel_orders and not self.snapshot.algo_orders.complete
        is_unseen = is_hidden and self._may_sweep(symbol, on_symbol)
        if not (due or closes or is_unseen):
            return None
        is_unread = not self.snapshot.regular_orders.complete
        is_blocked = any(Adaptation.CANCEL_FIRST in record.adapted for record in ready)
        # Older stops of COIN-M rest on the regular book: nothing unlisted is taken from there.
        is_blind = (is_unread or is_blocked) and not on_symbol.is_coinm
        unlisted = {
            OrderKind.REGULAR: policy.cancel_orders and bool(closes) and is_blind,
            OrderKind.ALGO: is_unseen,
        }
        books: dict[OrderKind, tuple[OpenOrder, ...]] = {}
        alone = tuple(order for order in due if order.kind is OrderKind.EXECUTION)
        for kind, is_forced in unlisted.items():
            together, singly = self._by_book_or_id(kind, due, on_symbol)
            alone += singly
            if together or is_forced:
                books[kind] = together
        stops: tuple[OpenOrder, ...] = ()
        if closes and len(closes) == len(open_legs):
            stops = tuple(order for order in cancellable if is_protective(order, open_legs))
        then = SymbolPlan(symbol=symbol, alone=stops) if stops else None
        listed = sum(order.kind is OrderKind.ALGO for order in on_symbol.orders)
        is_all = listed == len(stops) + len(books.get(OrderKind.ALGO, ()))
        if is_all and not has_regular_stops(stops) and self._by_book(stops):
            then = SymbolPlan(symbol=symbol, books={OrderKind.ALGO: stops})
        return SymbolPlan(
            symbol=symbol,
            notional=on_symbol.notional,
            books=books,
            alone=alone,
            closes=tuple(sorted(closes, key=lambda close: -close.position.notional)),
            # A conditional order that is due may open a position: our own close could trigger it.
            blocks=any(unlisted.values())
            or any(order.kind is not OrderKind.REGULAR for order in due)
            or any(map(self._may_block, on_symbol.orders)),
            then=then,
        )

    def _may_block(self, order: OpenOrder) -> bool:
        """Return whether a close may be refused while the order rests (-2022, -4118, -4112).

        Resting orders that reduce, or that trade to the side of a close, claim the position. What
        only opens claims nothing: a close that meets it lets it expire (EXPIRE_MAKER, the default
        of self-trade prevention), and it is being cancelled beside it.
        """
        if order.kind is not OrderKind.REGULAR or order.is_conditional:
            return False
        if order.side is None or order.reduce_only or order.close_position:
            return True
        legs = [r.current for r in self.memory.legs.values() if r.leg.symbol == order.symbol]
        return any(leg is not None and leg.closing_side is order.side for leg in legs)

    def _is_due(self, order: OpenOrder, open_legs: Mapping[Leg, Position]) -> bool:
        """Return whether the order is to be cancelled now.

        A protective stop of an open leg is not; what can only reduce a leg that reads flat is
        evidence of a position and waits until it is litter; everything else goes at once.
        """
        if is_protective(order, open_legs):
            return False
        if order.is_conditional and order.side is None and open_legs:
            return False  # It may open a position, or be the stop of a leg not closed yet.
        memory = self.memory
        known, leg = memory.orders.get(order.key), memory.legs.get(order.leg)
        if leg is not None and may_protect(order):
            is_older = known is not None and leg.seen_at < known.first_at
            # A list of a moment before our last fill may show the leg the other way round.
            stamp_ms = leg.current.update_time_ms if leg.current is not None else 0
            if leg.doubtful or is_older or 0 < stamp_ms < leg.filled_ms:
                return False  # What the leg holds is not known now, nor what this order would do.
        # Without a flag it would be an order that opens, had it not been a stop of this leg before.
        was_stop = known is not None and known.protective and leg is not None and leg.vanished
        if order.leg not in open_legs and (reduces_only(order) or was_stop):
            # It is litter when our own confirmed fills closed the leg, the order was listed then,
            # and a reading agrees; or when the leg was read flat for the whole window since.
            if known is not None and is_left_over(known, leg, began_ms=memory.began_ms):
                return leg is not None and leg.current is None
            listed_at = known.listed_at if known else self.snapshot.finished_at
            since = max(memory.began_at, listed_at)
            return is_leg_settled(memory.looks, order.leg, since=since, window_s=memory.window_s)
        if not order.is_conditional:
            return True
        return leg is not None or self.snapshot.positions.complete or not may_protect(order)

    def _by_book_or_id(
        self, kind: OrderKind, due: Sequence[OpenOrder], on_symbol: _OnSymbol
    ) -> tuple[tuple[OpenOrder, ...], tuple[OpenOrder, ...]]:
        """Return the orders due that the whole book's cancel covers, and those cancelled by id.

        The regular book goes whole, as long as nothing on it has to stay and its cancel has an
        effect. Conditional orders go by id: the whole book's cancel would take what no reading
        showed. So do the orders of COIN-M while a leg is or may be open, for older stops are among
        them.
        """
        orders = self.memory.orders
        mine = tuple(order for order in due if order.kind is kind)
        singly = tuple(o for o in mine if (known := orders.get(o.key)) and known.singly)
        together = tuple(order for order in mine if order not in singly)
        is_whole = len(mine) == sum(order.kind is kind for order in on_symbol.orders)
        if kind is OrderKind.REGULAR:
            is_many = len(together) > pacing.SINGLE_CANCELS_MAX
            may_be_open = bool(on_symbol.open) or not self.snapshot.positions.complete
            may_hide = on_symbol.is_coinm and may_be_open
            is_free = not has_regular_stops(on_symbol.orders)
            # Of many the speed counts, but not where what may stand there has to outlive the run.
            is_kept = may_hide and not self.policy.close_positions
            by_book = (is_whole and not may_hide) or (is_many and is_free and not is_kept)
        else:
            # Of a leg that we did not close ourselves the list may not show the stop yet.
            legs = on_symbol.records
            is_ours = bool(legs) and all(record.is_closed for record in legs)
            by_book = is_whole and is_ours and self._by_book(together)
        return (together, singly) if by_book else ((), singly + together)

    def _by_book(self, stops: Sequence[OpenOrder]) -> bool:
        """Whether these conditional orders of one symbol, all that are listed, go with their book.

        Where the account has some tens of them, one request for a symbol gets them all away.
        """
        is_many = self.memory.conditionals > pacing.SINGLE_CANCELS_MAX
        return len(stops) > 1 and is_many and stops[0].symbol not in self.memory.entered

    def _may_sweep(self, symbol: str, on_symbol: _OnSymbol) -> bool:
        """Whether its conditional orders may be taken, once, although no list shows them.

        The run has seen a leg of it, and every one has been flat for the whole window since.
        """
        memory = self.memory
        if not on_symbol.records or symbol in memory.swept or symbol in memory.entered:
            return False
        return not on_symbol.open and all(
            is_leg_settled(memory.looks, record.leg, since=record.gone_at, window_s=memory.window_s)
            for record in on_symbol.records
        )


def _close_of(record: LegRecord, memory: Memory) -> LegClose:
    """Return how to close an open leg now.

    Without rules or a price the order goes out as it would without the adaptation that asked for
    them, but for an oversize one, which is halved, and an odd one, which loses a digit at a time:
    waiting would help nobody.
    """
    position = record.current or record.first
    rules = memory.rules.get(position.symbol)
    price = None if rules is None else _limit_price(position, record, rules, memory)
    side = {
        None: position.leg.position_side,
        PositionMode.HEDGE: position.direction,
        PositionMode.ONE_WAY: PositionSide.BOTH,
    }[memory.mode]
    return LegClose(
        position=position,
        order_leg=position.leg._replace(position_side=side),
        side=position.closing_side,
        parts=_parts(record, position.size, rules, price),
    )


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
        known = memory.marks.get(position.symbol)
        if position.mark_price is not None and (known is None or known.read_at < record.seen_at):
            known = Mark(position.mark_price, record.seen_at)
        if known is None or (
            known.read_at < record.settled_at and memory.now - known.read_at > pacing.MARK_AGE_MAX_S
        ):
            return None
        multiplier = rules.price_multiplier_down if sells else rules.price_multiplier_up
        bound = known.price * (
            multiplier or (1 - pacing.BAND_ASSUMED if sells else 1 + pacing.BAND_ASSUMED)
        )
    tick = rules.tick_size or Decimal(0)
    # Normalised, because a price that is on the tick already keeps the digits of the product.
    if sells:
        return ceil_to_step((bound * (1 + pacing.BAND_INSIDE)).normalize(), tick)
    return floor_to_step((bound * (1 - pacing.BAND_INSIDE)).normalize(), tick) or None


def wants_mark(record: LegRecord, rules: MarketRules | None) -> bool:
    """Return whether the leg needs a mark price that its position did not come with."""
    if record.current is None or record.current.mark_price is not None:
        return False
    steps = _steps(record, rules)
    return Adaptation.LIMIT_IOC in record.adapted or (rules is not None and steps[0] < steps[1])
