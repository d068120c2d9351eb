"""What a run cost: profit, fees and slippage of its orders, from the venue's own list of trades.

    slippage = (fill - mark) x quantity for a sale, (mark - fill) x quantity for a purchase

so minus is worse than the mark price at the moment the order was decided. Assets are never added up
across: fees may be paid in BNB, and profit is in what each market settles in. What was not read is
said, never guessed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Final

from liqctl.domain.account import Side
from liqctl.domain.amounts import parse_decimal
from liqctl.domain.trades import Trade
from liqctl.report.story import Outcome, Request, RunStory, moment, words

_EXACT: Final = Context(prec=100)
"""Sums of amounts within the bounds below are exact."""

_BPS: Final = Decimal(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentOrder:
    """One closing order of the run, as far as its records tell; `order_id` None if not known."""

    symbol: str
    position_side: str
    side: str
    client_order_id: str
    order_id: str | None
    mark_price: Decimal | None
    sent_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeReading:
    """What the venue told of the orders' trades.

    `trades` is by client order id; an order is missing where `unread` says why. `why_not` tells why
    nothing was asked at all, and `how` how to get it.
    """

    trades: Mapping[str, tuple[Trade, ...]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    why_not: str | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegCost:
    """What closing one leg cost. `slippage` is None where no mark price is on record."""

    symbol: str
    position_side: str
    side: str
    quantity: Decimal
    average_price: Decimal
    mark_price: Decimal | None
    slippage: Decimal | None
    slippage_bps: Decimal | None
    realized_pnl: Decimal
    asset: str
    fees: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """All legs, and sums by asset. `orders_read` of `orders` were read; else the sums are partial.

    `unmarked` counts legs without a mark price, which no slippage holds.
    """

    legs: tuple[LegCost, ...]
    orders: int
    orders_read: int
    unmarked: int
    realized_pnl: Mapping[str, Decimal]
    fees: Mapping[str, Decimal]
    slippage: Mapping[str, Decimal]

    @property
    def is_complete(self) -> bool:
        """Whether every order of the run was read."""
        return self.orders_read == self.orders


def sent_orders(story: RunStory) -> tuple[SentOrder, ...]:
    """Return the closing orders that may have traded; one that was refused did not."""
    return tuple(
        _sent_order(leg.symbol, leg.position_side, request)
        for leg in story.legs
        for request in leg.orders
        if request.outcome is not Outcome.REFUSED or _order_id(request) is not None
    )


def add_up(orders: Sequence[SentOrder], reading: TradeReading) -> Costs:
    """Return what the orders cost, as far as their trades were read."""
    by_leg: dict[tuple[str, str, str], list[SentOrder]] = {}
    for order in orders:
        if reading.trades.get(order.client_order_id):
            key = (order.symbol, order.position_side, order.side)
            by_leg.setdefault(key, []).append(order)
    legs = tuple(_leg_cost(of_leg, reading.trades) for of_leg in by_leg.values())
    return Costs(
        legs=legs,
        orders=len(orders),
        orders_read=sum(order.client_order_id in reading.trades for order in orders),
        unmarked=sum(leg.slippage is None for leg in legs),
        realized_pnl=_by_asset((leg.asset, leg.realized_pnl) for leg in legs),
        fees=_by_asset(fee for leg in legs for fee in leg.fees.items()),
        slippage=_by_asset((leg.asset, leg.slippage) for leg in legs if leg.slippage is not None),
    )


def _leg_cost(orders: Sequence[SentOrder], trades: Mapping[str, tuple[Trade, ...]]) -> LegCost:
    own = [trade for order in orders for trade in trades[order.client_order_id]]
    quantity = _sum(trade.quantity for trade in own)
    paid = _sum(_EXACT.multiply(trade.price, trade.quantity) for trade in own)
    at_mark = _at_mark(orders, trades)
    slippage = bps = None
    if at_mark is not None:
        gain = _EXACT.subtract(paid, at_mark)
        slippage = gain if own[0].side is Side.SELL else -gain
        bps = slippage / at_mark * _BPS if at_mark else None
    return LegCost(
        symbol=orders[0].symbol,
        position_side=orders[0].position_side,
        side=own[0].side.value,
        quantity=quantity,
        average_price=paid / quantity if quantity else Decimal(0),
        mark_price=at_mark / quantity if at_mark is not None and quantity else None,
        slippage=slippage,
        slippage_bps=bps,
        realized_pnl=_sum(trade.realized_pnl for trade in own),
        asset=own[0].settle_asset,
        fees=_by_asset((trade.fee_asset, trade.fee) for trade in own),
    )


def _at_mark(
    orders: Sequence[SentOrder], trades: Mapping[str, tuple[Trade, ...]]
) -> Decimal | None:
    """Return what the trades would have paid at each order's mark price, if all are on record."""
    total = Decimal(0)
    for order in orders:
        if order.mark_price is None:
            return None
        for trade in trades[order.client_order_id]:
            total = _EXACT.add(total, _EXACT.multiply(order.mark_price, trade.quantity))
    return total


def _sum(values: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, value)
    return total


def _by_asset(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for asset, value in amounts:
        sums[asset] = _EXACT.add(sums.get(asset, Decimal(0)), value)
    return dict(sorted(sums.items()))


def _sent_order(symbol: str, position_side: str, request: Request) -> SentOrder:
    details = request.sent.details
    sent_at = moment(request.sent.timestamp)
    return SentOrder(
        symbol=symbol,
        position_side=position_side,
        side=words(details.get("side")) or "",
        client_order_id=words(details.get("client_order_id")) or "",
        order_id=_order_id(request),
        mark_price=parse_decimal(details.get("mark_price")),
        sent_at_ms=0 if sent_at is None else int(sent_at * 1000),
    )


def _order_id(request: Request) -> str | None:
    """Return the venue's id of the order, where one of its answers has it."""
    for answer in request.answers:
        found = words(answer.details.get("order_id"))
        if found is not None and found.isascii() and found.isdecimal():
            return found
    return None
