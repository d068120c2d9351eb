"""What is sent to the venue and what comes back: closing orders and their answers.

The rule of the house stands in `is_reducing`: an order leaves only if it can do nothing but
shrink the leg it names.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from liqctl.kernel.account import Leg, PositionSide, Side


class OrderType(StrEnum):
    """The order types liqctl sends."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


class OrderStatus(StrEnum):
    """Binance's order states, and UNREADABLE for one it does not document."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    UNREADABLE = "UNREADABLE"

    @property
    def is_final(self) -> bool:
        """Whether the executed quantity can no longer grow."""
        return self in _FINAL


_FINAL = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
        OrderStatus.EXPIRED_IN_MATCH,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseOrder:
    """An order that shrinks one leg. `quantity` is positive.

    `price` is given for LIMIT only, which is always sent immediate-or-cancel. In one-way mode
    `reduce_only` must be True; in hedge mode the venue refuses the flag and the position side
    plus the closing side do its work.
    """

    leg: Leg
    side: Side
    quantity: Decimal
    client_order_id: str
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    reduce_only: bool = True


def is_reducing(order: CloseOrder) -> bool:
    """Return whether the order can only shrink its leg, whatever the leg holds.

    BOTH needs the reduce-only flag; LONG is shrunk by selling and SHORT by buying, without it.
    """
    if order.quantity <= 0:
        return False
    match order.leg.position_side:
        case PositionSide.BOTH:
            return order.reduce_only
        case PositionSide.LONG:
            return order.side is Side.SELL and not order.reduce_only
        case PositionSide.SHORT:
            return order.side is Side.BUY and not order.reduce_only


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAnswer:
    """What the venue said of an order of ours.

    `average_price` is None where the answer carries none (order acknowledgements, since
    2026-06-30). `executed` of an acknowledgement is advisory: the position reading decides.
    """

    client_order_id: str
    order_id: str
    status: OrderStatus
    quantity: Decimal
    executed: Decimal
    average_price: Decimal | None = None
    update_time_ms: int = 0
