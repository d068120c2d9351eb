"""Orders of the simulated venue, and the shapes in which it shows them.

Field names and types follow the real venue's replies: regular and conditional orders name the same
things differently, prices and quantities are strings, ids and times are numbers, and since
2026-06-30 the reply to a write carries neither average price nor quote amount.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from liqctl.kernel.amounts import plain

LegKey = tuple[str, str]
"""Symbol and position side."""

OPEN_STATES = frozenset({"NEW", "PARTIALLY_FILLED"})


@dataclass(slots=True, kw_only=True)
class Order:
    """One order of the regular book. `owner` is "key" for what came over the API.

    A `hidden` order is in no list. Look-ups deny an order until `known_from_ms`.
    """

    order_id: int
    client_order_id: str
    symbol: str
    side: str
    position_side: str
    type: str
    quantity: Decimal
    price: Decimal = Decimal(0)
    time_in_force: str = "GTC"
    reduce_only: bool = False
    status: str = "NEW"
    executed: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    time_ms: int = 0
    update_ms: int = 0
    owner: str = "key"
    hidden: bool = False
    known_from_ms: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the order still rests."""
        return self.status in OPEN_STATES

    @property
    def remaining(self) -> Decimal:
        """What is not executed yet."""
        return self.quantity - self.executed

    @property
    def reduces(self) -> bool:
        """Whether its flag, or in hedge mode its side, lets the order only reduce."""
        if self.position_side == "BOTH":
            return self.reduce_only
        return (self.position_side, self.side) in {("LONG", "SELL"), ("SHORT", "BUY")}

    def acknowledge(self) -> dict[str, Any]:
        """Return the reply to a write (ORDER-W)."""
        return {
            "clientOrderId": self.client_order_id,
            "cumQty": plain(self.executed),
            "executedQty": plain(self.executed),
            "orderId": self.order_id,
            "origQty": plain(self.quantity),
            "price": plain(self.price),
            "reduceOnly": self.reduce_only,
            "side": self.side,
            "positionSide": self.position_side,
            "status": self.status,
            "stopPrice": "0",
            "closePosition": False,
            "symbol": self.symbol,
            "timeInForce": self.time_in_force,
            "type": self.type,
            "origType": self.type,
            "updateTime": self.update_ms,
            "workingType": "CONTRACT_PRICE",
            "priceProtect": False,
            "priceMatch": "NONE",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "goodTillDate": 0,
        }

    def describe(self) -> dict[str, Any]:
        """Return the row of a query (ORDER-R)."""
        average = self.paid / self.executed if self.executed else Decimal(0)
        return {
            **self.acknowledge(),
            "avgPrice": f"{average:.5f}",
            "cumQuote": plain(self.paid),
            "cumBase": "0",
            "pair": self.symbol.split("_", maxsplit=1)[0],
            "time": self.time_ms,
        }


@dataclass(slots=True, kw_only=True)
class AlgoOrder:
    """One order of the conditional book. `quantity` is None for closePosition orders."""

    algo_id: int
    client_algo_id: str
    symbol: str
    side: str
    position_side: str
    type: str
    trigger_price: Decimal
    quantity: Decimal | None = None
    price: Decimal = Decimal(0)
    time_in_force: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    status: str = "NEW"
    child_id: int | None = None
    time_ms: int = 0
    update_ms: int = 0
    owner: str = "key"

    @property
    def is_open(self) -> bool:
        """Whether the order still waits for its trigger."""
        return self.status == "NEW"

    @property
    def only_reduces(self) -> bool:
        """Whether its flags, or in hedge mode its side, keep it from opening anything."""
        if self.position_side == "BOTH":
            return self.reduce_only or self.close_position
        return (self.position_side, self.side) in {("LONG", "SELL"), ("SHORT", "BUY")}

    @property
    def expires_when_flat(self) -> bool:
        """Whether the venue removes the order once its leg is flat; plain stops stay."""
        return self.close_position or self.time_in_force == "GTE_GTC"

    def describe(self) -> dict[str, Any]:
        """Return the row of a reply (ALGO-R)."""
        return {
            "algoId": self.algo_id,
            "clientAlgoId": self.client_algo_id,
            "algoType": "CONDITIONAL",
            "orderType": self.type,
            "symbol": self.symbol,
            "side": self.side,
            "positionSide": self.position_side,
            "timeInForce": self.time_in_force,
            "quantity": None if self.quantity is None else plain(self.quantity),
            "algoStatus": self.status,
            "actualOrderId": "" if self.child_id is None else str(self.child_id),
            "actualPrice": "0.00000",
            "triggerPrice": plain(self.trigger_price),
            "price": plain(self.price),
            "icebergQuantity": None,
            "tpTriggerPrice": "0.000",
            "tpPrice": "0.000",
            "slTriggerPrice": "0.000",
            "slPrice": "0.000",
            "tpOrderType": "",
            "selfTradePreventionMode": "EXPIRE_MAKER",
            "workingType": "CONTRACT_PRICE",
            "priceMatch": "NONE",
            "closePosition": self.close_position,
            "priceProtect": False,
            "reduceOnly": self.reduce_only,
            "activatePrice": "",
            "callbackRate": "",
            "createTime": self.time_ms,
            "updateTime": self.update_ms,
            "triggerTime": 0,
            "goodTillDate": 0,
        }


@dataclass(slots=True, kw_only=True)
class Holding:
    """One leg of the account; `amount` is signed, negative on a short leg."""

    symbol: str
    position_side: str
    amount: Decimal
    entry_price: Decimal
    update_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Trade:
    """One execution. `asset` is what profit is paid in, `fee` is in `fee_asset`."""

    trade_id: int
    order: Order
    quantity: Decimal
    price: Decimal
    realized_pnl: Decimal
    fee: Decimal
    fee_asset: str
    asset: str
    time_ms: int

    def describe(self) -> dict[str, Any]:
        """Return the row of userTrades."""
        return {
            "buyer": self.order.side == "BUY",
            "commission": f"{self.fee:.8f}",
            "commissionAsset": self.fee_asset,
            "id": self.trade_id,
            "maker": False,
            "orderId": self.order.order_id,
            "price": plain(self.price),
            "qty": plain(self.quantity),
            "quoteQty": plain(self.quantity * self.price),
            "baseQty": plain(self.quantity),
            "marginAsset": self.asset,
            "realizedPnl": plain(self.realized_pnl),
            "side": self.order.side,
            "positionSide": self.order.position_side,
            "symbol": self.order.symbol,
            "pair": self.order.symbol.split("_", maxsplit=1)[0],
            "time": self.time_ms,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A leg since it was last flat.

    `opened_ms` is 0 when it was open long before the start. `flat_ms` is when it was last flat, 0
    when never since the start. `least` is the smallest it has been.
    """

    opened_ms: int = 0
    opened_by: str = ""
    flat_ms: int = 0
    least: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledStop:
    """A conditional order that was cancelled while it protected an open leg, and that leg."""

    algo: AlgoOrder
    at_ms: int
    life: Life


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list as it was answered: what it showed, and the moment it showed.

    Legs are shown by symbol and position side, orders by their ids. `readable` is false when a row
    was spoilt: then what is missing may have stood there.
    """

    at_ms: int
    known_ms: int
    source: str
    moment_ms: int
    symbol: str
    shown: frozenset[object]
    readable: bool = True


@dataclass(slots=True, kw_only=True)
class Journal:
    """What happened, for judges outside the code under test.

    `fills` are (client order id, owner, symbol, position side, amount before, amount after);
    `requests` are (time, method, path, client order id or ""). `listings` are the lists that were
    answered in full; `activity` is how often others placed or traded.
    """

    fills: list[tuple[str, str, str, str, Decimal, Decimal]] = field(default_factory=list)
    cancelled_stops: list[CancelledStop] = field(default_factory=list)
    requests: list[tuple[int, str, str, str]] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    activity: int = 0


def is_closing(order: Order | AlgoOrder, amount: Decimal) -> bool:
    """Return whether the order trades against a signed amount."""
    return (amount > 0) == (order.side == "SELL")
