"""Snapshot and memory in, plan out: what to cancel and close now, worst first.

Order of work inside a symbol: cancel what rests on the regular book and every conditional order
that could open something, then close the legs. Protective stops stay until their leg is flat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from liqctl.domain.account import (
    Leg,
    MarketRules,
    OpenOrder,
    OrderKind,
    Position,
    PositionMode,
    PositionSide,
    Side,
    Snapshot,
)
from liqctl.domain.amounts import ceil_to_tick, floor_to_step, floor_to_tick, split
from liqctl.domain.commands import OrderType
from liqctl.planning.ledger import LegRecord, OrderRecord
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.protection import is_protective, may_protect
from liqctl.planning.retry import Adaptation


@dataclass(frozen=True, slots=True, kw_only=True)
class LegClose:
    """One leg to close now: `parts` are positive quantities, sent in parallel.

    `order_leg` names the leg in the account's present position mode; it differs from the
    position's own leg only when the mode was flipped since the reading. A LIMIT is sent
    immediate-or-cancel at `price`.
    """

    position: Position
    order_leg: Leg
    side: Side
    parts: tuple[Decimal, ...]
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolPlan:
    """What to do on one symbol. `notional` ranks it; `cancel_all_algo` is the sweep once flat.

    `stops` are the protective ones that may go as soon as every leg was read flat.
    """

    symbol: str
    notional: Decimal
    cancel_regular: bool = False
    regular: tuple[OpenOrder, ...] = ()
    cancel_algo: tuple[OpenOrder, ...] = ()
    cancel_all_algo: bool = False
    swept: tuple[OpenOrder, ...] = ()
    closes: tuple[LegClose, ...] = ()
    stops: tuple[OpenOrder, ...] = ()

    def after_closing(self) -> "SymbolPlan":
        """Return the plan that is left once every leg was read flat: to cancel the stops."""
        whole_book = len(self.stops) > 1
        return SymbolPlan(
            symbol=self.symbol,
            notional=Decimal(0),
            cancel_algo=() if whole_book else self.stops,
            cancel_all_algo=whole_book,
            swept=self.stops if whole_book else (),
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
    prices read for limit prices; `swept` are symbols whose conditional orders were cancelled
    without having been seen.
    """

    legs: Mapping[Leg, LegRecord]
    orders: Mapping[tuple[str, OrderKind, str], OrderRecord]
    rules: Mapping[str, MarketRules]
    marks: Mapping[str, Decimal]
    mode: PositionMode | None = None
    swept: frozenset[str] = frozenset()
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
    orders = [order for order in snapshot.orders if policy.covers(order.symbol)]
    kept = tuple(order for order in orders if is_protective(order, positions))
    unseen = _flat_symbols(memory) if not snapshot.algo_orders.complete else set()
    by_symbol: dict[str, _Open] = {symbol: ([], []) for symbol in unseen}
    for leg in positions:
        by_symbol.setdefault(leg.symbol, ([], []))[0].append(memory.legs[leg])
    for order in orders:
        by_symbol.setdefault(order.symbol, ([], []))[1].append(order)
    plans = []
    needs_rules: set[str] = set()
    worst_first = sorted(by_symbol.items(), key=lambda item: (-_exposure(item[1][0]), item[0]))
    for symbol, (records, mine) in worst_first:
        plan = _plan_symbol(symbol, records, mine, snapshot, memory, policy, needs_rules)
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
    needs_rules: set[str],
) -> SymbolPlan | None:
    """Return the plan of one symbol, None when nothing can be sent for it now."""
    open_legs = {record.leg: record.current for record in records if record.current}
    cancellable = (
        [order for order in orders if _may_cancel(order, memory)] if policy.cancel_orders else []
    )
    regular = tuple(order for order in cancellable if order.kind is OrderKind.REGULAR)
    algo = tuple(
        order
        for order in cancellable
        if order.kind is OrderKind.ALGO
        and not is_protective(order, open_legs)
        and (_is_read(order.leg, snapshot, memory) or not may_protect(order))
    )
    ready = [record for record in records if policy.close_positions and _may_close(record, memory)]
    closes = []
    for record in ready:
        close, wants_rules = _plan_leg(record, memory)
        if wants_rules:
            needs_rules.add(symbol)
        if close is not None:
            closes.append(close)
    blind = (
        policy.cancel_orders
        and bool(closes)
        and (
            not snapshot.regular_orders.complete
            or any(Adaptation.CANCEL_FIRST in record.adapted for record in ready)
        )
    )
    blind_sweep = (
        policy.cancel_orders
        and not snapshot.algo_orders.complete
        and symbol in _flat_symbols(memory)
    )
    whole_book = len(algo) == sum(order.kind is OrderKind.ALGO for order in orders)
    sweep = blind_sweep or (not open_legs and whole_book and len(algo) > 1)
    if not (regular or algo or closes or sweep):
        return None
    return SymbolPlan(
        symbol=symbol,
        notional=sum((p.notional for p in open_legs.values() if p), Decimal(0)),
        cancel_regular=bool(regular) or blind,
        regular=regular,
        cancel_algo=() if sweep else algo,
        cancel_all_algo=sweep,
        swept=algo if sweep else (),
        closes=tuple(sorted(closes, key=lambda close: -close.position.notional)),
        stops=_stops(cancellable, algo) if len(closes) == len(open_legs) else (),
    )


def _stops(
    cancellable: Sequence[OpenOrder], dangerous: Sequence[OpenOrder]
) -> tuple[OpenOrder, ...]:
    return tuple(
        order for order in cancellable if order.kind is OrderKind.ALGO and order not in dangerous
    )


def _plan_leg(record: LegRecord, memory: Memory) -> tuple[LegClose | None, bool]:
    """Return how to close the leg now, and whether its market rules are wanted first.

    Without rules the order goes out as it would without the adaptation that asked for them, but
    for an oversize one, which is halved: waiting would help nobody.
    """
    position = record.current
    if position is None:
        return None, False
    rules = memory.rules.get(position.symbol)
    wants_rules = rules is None and bool(
        record.adapted & {Adaptation.SPLIT, Adaptation.ROUND, Adaptation.LIMIT_IOC}
    )
    as_limit = _limit_price(position, record, rules, memory)
    quantity = position.size
    if Adaptation.ROUND in record.adapted and rules and rules.step_size:
        quantity = floor_to_step(quantity, rules.step_size) or quantity
    part_max = _part_max(record, rules, limit=as_limit is not None)
    order_leg = _order_leg(position, memory.mode)
    close = LegClose(
        position=position,
        order_leg=order_leg,
        side=position.closing_side,
        parts=split(quantity, part_max) if part_max else (quantity,),
        type=OrderType.LIMIT if as_limit is not None else OrderType.MARKET,
        price=as_limit,
    )
    return close, wants_rules


def _part_max(record: LegRecord, rules: MarketRules | None, *, limit: bool) -> Decimal | None:
    if rules is None:
        return record.part_max
    known = rules.limit_quantity_max if limit else rules.market_quantity_max
    if known is None:
        return record.part_max
    return known if record.part_max is None else min(known, record.part_max)


def _limit_price(
    position: Position, record: LegRecord, rules: MarketRules | None, memory: Memory
) -> Decimal | None:
    """Return the edge of the allowed price band, None when a MARKET order is to be sent.

    SELL >= mark x multiplierDown, BUY <= mark x multiplierUp (PERCENT_PRICE, Binance "Common
    Definition", read 2026-11-23), rounded into the band.
    """
    mark = memory.marks.get(position.symbol)
    if Adaptation.LIMIT_IOC not in record.adapted or rules is None or mark is None:
        return None
    tick = rules.tick_size or Decimal(0)
    if position.closing_side is Side.SELL:
        return ceil_to_tick(mark * (rules.price_multiplier_down or Decimal(1)), tick)
    return floor_to_tick(mark * (rules.price_multiplier_up or Decimal(1)), tick)


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


def _is_read(leg: Leg, snapshot: Snapshot, memory: Memory) -> bool:
    """Whether it is known what the leg holds: from this reading or from an earlier one."""
    return snapshot.positions.complete or leg in memory.legs


def _flat_symbols(memory: Memory) -> set[str]:
    """Return the symbols on which the run has seen a leg go flat and none is open."""
    still_open = {leg.symbol for leg, record in memory.legs.items() if record.current is not None}
    return {leg.symbol for leg in memory.legs} - still_open - memory.swept


def _exposure(records: Sequence[LegRecord]) -> Decimal:
    return sum((record.current.notional for record in records if record.current), Decimal(0))
