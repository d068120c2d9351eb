"""What is asked of the venue, as values: each names its endpoint and its parameters once.

The type of a request is that of its answer: `venue.send(positions())` gives rows of positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Generic, TypeVar

from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.values import (
    CloseOrder,
    MarketRules,
    OpenOrder,
    OrderAnswer,
    OrderKind,
    Position,
    PositionMode,
    Rows,
)

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T_co]):
    """One request; of its parameters those are set that its endpoint knows.

    Attributes:
        symbol: narrows a list, or names what is asked about.
        client_order_id: of the order of ours that is asked about.
        close: the order to be sent.
        order: the order of others to be cancelled.
    """

    endpoint: Endpoint
    symbol: str | None = None
    client_order_id: str = ""
    close: CloseOrder | None = None
    order: OpenOrder | None = None

    @property
    def weight(self) -> int:
        """What it costs of the address's weight: more where no symbol narrows a list."""
        spec = self.endpoint.value
        return spec.weight_all if self.symbol is None else spec.weight


LISTS: Final = {OrderKind.REGULAR: Endpoint.OPEN_ORDERS, OrderKind.ALGO: Endpoint.OPEN_ALGO_ORDERS}
CANCELS_ONE: Final = {
    OrderKind.REGULAR: Endpoint.CANCEL_ORDER,
    OrderKind.ALGO: Endpoint.CANCEL_ALGO_ORDER,
}
CANCELS_ALL: Final = {
    OrderKind.REGULAR: Endpoint.CANCEL_ORDERS,
    OrderKind.ALGO: Endpoint.CANCEL_ALGO_ORDERS,
}

ACCOUNT_POSITIONS: Final[Request[Rows[Position]]] = Request(endpoint=Endpoint.ACCOUNT)
"""The second, independent source of positions."""

MARKET_RULES: Final[Request[Mapping[str, MarketRules]]] = Request(endpoint=Endpoint.EXCHANGE_INFO)
"""The rules of every symbol: megabytes on the real venue."""

POSITION_MODE: Final[Request[PositionMode]] = Request(endpoint=Endpoint.ACCOUNT_CONFIG)

PORTFOLIO_MARGIN: Final[Request[bool]] = Request(endpoint=Endpoint.PORTFOLIO_MARGIN)
"""Whether the account is in portfolio margin, where this API shows nothing."""

CLOCK: Final[Request[float]] = Request(endpoint=Endpoint.TIME)
"""Measure and apply the clock difference: in seconds, positive if ours is ahead."""


def positions(symbol: str | None = None) -> Request[Rows[Position]]:
    """Read the open positions (quantity not zero), of one symbol or of all."""
    return Request(endpoint=Endpoint.POSITIONS, symbol=symbol)


def open_orders(kind: OrderKind, symbol: str | None = None) -> Request[Rows[OpenOrder]]:
    """Read the open orders of one book; without a symbol, of the whole account."""
    return Request(endpoint=LISTS[kind], symbol=symbol)


def order_of(symbol: str, client_order_id: str) -> Request[OrderAnswer]:
    """Read one order of ours; the venue refuses one it does not know with kind DONE (-2013)."""
    return Request(endpoint=Endpoint.ORDER, symbol=symbol, client_order_id=client_order_id)


def mark_price(symbol: str) -> Request[Decimal]:
    """Read the symbol's mark price."""
    return Request(endpoint=Endpoint.MARK_PRICE, symbol=symbol)


def submit(order: CloseOrder) -> Request[OrderAnswer]:
    """Send one closing order; refused before it leaves, if it could open a position."""
    return Request(endpoint=Endpoint.SUBMIT_ORDER, symbol=order.leg.symbol, close=order)


def cancel_book(kind: OrderKind, symbol: str) -> Request[None]:
    """Cancel all orders of one book of a symbol; the answer does not prove them gone."""
    return Request(endpoint=CANCELS_ALL[kind], symbol=symbol)


def cancel_one(order: OpenOrder) -> Request[None]:
    """Cancel one order of either book."""
    return Request(endpoint=CANCELS_ONE[order.kind], symbol=order.symbol, order=order)
