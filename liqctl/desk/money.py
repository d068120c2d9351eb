"""What a run cost: profit, fees and slippage of its orders, from the venue's own list of trades.

    slippage = (fill - mark) x quantity for a sale, (mark - fill) x quantity for a purchase

in COIN-M with the base quantity at mark, which makes it coin instead of dollars:

    slippage = (fill - mark) x contracts x contract size / (fill x mark), negated for a purchase

so minus is worse than the mark price at the moment the order was decided. Assets are never added up
across: fees may be paid in BNB, and profit is in what each market settles in. What was not read is
said, never guessed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal
from typing import Final

from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.policy import product_of
from liqctl.kernel.states import Product
from liqctl.kernel.values import Side, Trade
from liqctl.trail.fold import Fate, RunStory, moment, words

_EXACT: Final = Context(prec=100)
"""Sums of amounts within the bounds of `parse_decimal` are exact."""

_BPS: Final = Decimal(10_000)
_COIN_STEP: Final = Decimal("1E-8")
"""What COIN-M accounts for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingOrder:
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
    """What closing one leg cost. `slippage` is None where no mark price is on record.

    `quantity` is in contracts for COIN-M; profit and slippage are in `asset`.
    """

    product: Product
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

    def json_fields(self) -> dict[str, object]:
        """Return the fields; basis points are a quotient, which has no digits of its own."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        bps = self.slippage_bps
        return {**named, "slippage_bps": None if bps is None else f"{bps:.4f}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """All legs, and sums by asset, as a report's document has them.

    `orders_read` of `orders` were read; unless `complete` the sums are partial. Where nothing was
    `read` there are none. `legs_without_mark` counts legs that no slippage holds.
    """

    read: bool
    why_not: str | None
    how: str | None
    complete: bool
    orders: int
    orders_read: int
    unread: Mapping[str, str]
    realized_pnl: Mapping[str, Decimal] | None
    fees: Mapping[str, Decimal] | None
    slippage: Mapping[str, Decimal] | None
    legs_without_mark: int
    legs: tuple[LegCost, ...]


def closing_orders(story: RunStory) -> tuple[ClosingOrder, ...]:
    """Return the closing orders that may have traded; one that was refused did not."""
    found = []
    for leg in story.legs:
        for request in leg.orders:
            details = request.sent.details
            ids = (words(answer.details.get("order_id")) for answer in request.answers)
            order_id = next((i for i in ids if i and i.isascii() and i.isdecimal()), None)
            if request.outcome is Fate.REFUSED and order_id is None:
                continue
            found.append(
                ClosingOrder(
                    symbol=leg.symbol,
                    position_side=leg.position_side,
                    side=words(details.get("side")) or "",
                    client_order_id=words(details.get("client_order_id")) or "",
                    order_id=order_id,
                    mark_price=parse_decimal(details.get("mark_price")),
                    sent_at_ms=int((moment(request.sent.timestamp) or 0) * 1000),
                )
            )
    return tuple(found)


def add_up(orders: Sequence[ClosingOrder], reading: TradeReading) -> Costs:
    """Return what the orders cost, as far as their trades were read."""
    by_leg: dict[tuple[str, str, str], list[ClosingOrder]] = {}
    for order in orders:
        if reading.trades.get(order.client_order_id):
            key = (order.symbol, order.position_side, order.side)
            by_leg.setdefault(key, []).append(order)
    legs = tuple(_leg_cost(of_leg, reading.trades) for of_leg in by_leg.values())
    orders_read = sum(order.client_order_id in reading.trades for order in orders)
    slippage = ((leg.asset, leg.slippage) for leg in legs if leg.slippage is not None)
    is_read = reading.why_not is None
    return Costs(
        read=is_read,
        why_not=reading.why_not,
        how=reading.how,
        complete=is_read and orders_read == len(orders),
        orders=len(orders),
        orders_read=orders_read,
        unread=reading.unread,
        realized_pnl=_by_asset((leg.asset, leg.realized_pnl) for leg in legs) if is_read else None,
        fees=_by_asset(fee for leg in legs for fee in leg.fees.items()) if is_read else None,
        slippage=_by_asset(slippage) if is_read else None,
        legs_without_mark=sum(leg.slippage is None for leg in legs),
        legs=legs,
    )


def _leg_cost(orders: Sequence[ClosingOrder], trades: Mapping[str, tuple[Trade, ...]]) -> LegCost:
    own = [trade for order in orders for trade in trades[order.client_order_id]]
    product = product_of(orders[0].symbol)
    base = _sum(trade.base_quantity for trade in own)
    value = _sum(_EXACT.multiply(trade.price, trade.base_quantity) for trade in own)
    # Amounts whose products with a price are in the settle asset; a mark price of 0 is none.
    marked = [
        (
            order.mark_price,
            trade.price,
            _EXACT.divide(trade.base_quantity, order.mark_price)
            if product is Product.COINM
            else trade.base_quantity,
        )
        for order in orders
        if order.mark_price
        for trade in trades[order.client_order_id]
    ]
    mark_price = slippage = bps = None
    if len(marked) == len(own) and base:
        at_mark = _sum(_EXACT.multiply(mark, amount) for mark, _, amount in marked)
        paid = _sum(_EXACT.multiply(fill, amount) for _, fill, amount in marked)
        mark_price = value / paid if product is Product.COINM and paid else at_mark / base
        gain = _EXACT.subtract(*((paid, at_mark) if own[0].side is Side.SELL else (at_mark, paid)))
        bps = gain / at_mark * _BPS
        is_coin = product is Product.COINM
        slippage = gain.quantize(_COIN_STEP, context=_EXACT) if is_coin else gain
    return LegCost(
        product=product,
        symbol=orders[0].symbol,
        position_side=orders[0].position_side,
        side=own[0].side.value,
        quantity=_sum(trade.quantity for trade in own),
        average_price=value / base if base else Decimal(0),
        mark_price=mark_price,
        slippage=slippage,
        slippage_bps=bps,
        realized_pnl=_sum(trade.realized_pnl for trade in own),
        asset=own[0].settle_asset,
        fees=_by_asset((trade.fee_asset, trade.fee) for trade in own),
    )


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
