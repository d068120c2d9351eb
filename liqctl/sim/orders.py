"""Orders, positions and trades of the simulated venue, how it shows them, and how it says no.

Field names and types follow the real venue's replies: regular and conditional orders name the same
things differently, prices and quantities are strings, ids and times are numbers, and since
2026-06-30 the reply to a write carries neither average price nor quote amount.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.states import Product

LegKey = tuple[str, str]
"""Symbol and position side."""


WORDS: Final[Mapping[int, str]] = {
    -1002: "You are not authorized to execute this request.",
    -1022: "Signature for this request is not valid.",
    -1023: "Start time is greater than end time.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1121: "Invalid symbol.",
    -1122: "Invalid symbol status.",
    -1125: "This listenKey does not exist.",
    -1128: "Combination of optional parameters invalid.",
    -1131: "recvWindow must be less than 60000",
    -2011: "Unknown order sent.",
    -2012: "Batch cancel failure.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2022: "ReduceOnly Order is rejected.",
    -2025: "Reach max open order limit.",
    -4001: "Price less than 0.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id is not valid.",
    -4023: "Qty not increased by step size.",
    -4028: "Leverage is not valid.",
    -4032: "Exceed maximum cancel order size.",
    -4045: "Reach max stop order limit.",
    -4059: "No need to change position side.",
    -4060: "Invalid position side.",
    -4061: "Order's position side does not match user's setting.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4082: "Invalid number of batch place orders.",
    -4088: "User can not place order currently.",
    -4109: "This account is not a portfolio margin account.",
    -4116: "ClientOrderId is duplicated.",
    -4117: "Stop order is triggering.",
    -4118: "ReduceOnly Order Failed. Please check your existing position and open orders",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints "
    "instead.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4137: "Quantity must be zero with closePosition equals true.",
    -4138: "Reduce only must be true with closePosition equals true.",
    -4140: "Invalid symbol status for opening position.",
    -4141: "Symbol is closed.",
    -4165: "Invalid time interval. Maximum time interval is 7 days.",
    -4192: "Trade forbidden due to Cooling-off Period.",
    -4400: "Futures Trading Quantitative Rules violated.",
    -4411: "Please sign TradFi-Perps agreement contract.",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    -5028: "Timestamp for this request is outside of the ME recvWindow.",
    -9000: "This two users are not in parent-child relation.",
}
"""What the venue says with a code, where it says one thing."""


class Refused(Exception):  # noqa: N818 - the venue's word, not our error
    """The venue refuses a request, with Binance's code and text, under an HTTP status."""

    def __init__(self, code: int, message: str = "", status: int = 400) -> None:
        super().__init__(message or WORDS[code])
        self.code, self.message, self.status = code, str(self), status


def refuse_if(*checks: tuple[object, int]) -> None:
    """Refuse with the code of the first check that is true."""
    for is_wrong, code in checks:
        if is_wrong:
            raise Refused(code)


def malformed(name: str) -> Refused:
    """Return the refusal of a parameter that is missing or cannot be read."""
    return Refused(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def invalid(name: str) -> Refused:
    """Return the refusal of a parameter that is out of its range."""
    return Refused(-1130, f"Data sent for parameter '{name}' is not valid.")


def neither(first: str, second: str) -> Refused:
    """Return the refusal of a request that names an order in no way."""
    return Refused(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


@cache  # There are as many texts as there are kinds of rows.
def _columns(text: str) -> tuple[tuple[str, str], ...]:
    parts = (column.partition("=") for column in text.split())
    return tuple((name, origin or name) for name, _, origin in parts)


def pick(row: Mapping[str, Any], columns: str) -> dict[str, Any]:
    """Return some columns of a row, `new=old` under another name.

    >>> pick({"symbol": "BTCUSDT", "side": "BUY"}, "s=symbol side")
    {'s': 'BTCUSDT', 'side': 'BUY'}
    """
    return {name: row[origin] for name, origin in _columns(columns)}


def tell(thing: object, columns: str) -> dict[str, Any]:
    """Return a row of what a thing has, amounts as texts; `name=attribute` where they differ."""
    row = {name: getattr(thing, origin) for name, origin in _columns(columns)}
    return {name: plain(v) if isinstance(v, Decimal) else v for name, v in row.items()}


_OF_BOTH_BOOKS: Final = {
    "workingType": "CONTRACT_PRICE",
    "priceProtect": False,
    "priceMatch": "NONE",
    "selfTradePreventionMode": "EXPIRE_MAKER",
    "goodTillDate": 0,
}
_INSTRUCTION: Final = (
    "symbol side positionSide=position_side price timeInForce=time_in_force "
    "reduceOnly=reduce_only updateTime=update_ms"
)
_ORDER: Final = (
    f"{_INSTRUCTION} clientOrderId=client_order_id orderId=order_id status type origType=type "
    "origQty=quantity cumQty=executed executedQty=executed stopPrice=trigger_price "
    "closePosition=close_position"
)
_ALGO: Final = (
    f"{_INSTRUCTION} algoId=algo_id clientAlgoId=client_algo_id orderType=type algoStatus=status "
    "triggerPrice=trigger_price quantity closePosition=close_position createTime=time_ms"
)
_STRATEGY: Final = (
    f"{_INSTRUCTION} strategyId=algo_id newClientStrategyId=client_algo_id strategyType=type "
    "strategyStatus=status stopPrice=trigger_price bookTime=time_ms"
)
_EXECUTION: Final = (
    "algoId=algo_id symbol side positionSide=position_side totalQty=quantity "
    "executedQty=executed executedAmt=paid clientAlgoId=client_algo_id bookTime=time_ms "
    "algoStatus=status algoType=kind"
)
_OF_TRADE: Final = (
    "id=trade_id price qty=quantity quoteQty=quote baseQty=base marginAsset=asset "
    "commissionAsset=fee_asset realizedPnl=realized_pnl time=time_ms"
)
_OF_ITS_ORDER: Final = "orderId=order_id side positionSide=position_side symbol pair"


@dataclass(slots=True, kw_only=True)
class Instruction:
    """What orders of both books have; `owner` is "key" for what came over the API."""

    symbol: str
    side: str
    position_side: str
    type: str
    price: Decimal = Decimal(0)
    time_in_force: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    status: str = "NEW"
    time_ms: int = 0
    update_ms: int = 0
    owner: str = "key"

    @property
    def leg(self) -> LegKey:
        """The leg that it trades."""
        return self.symbol, self.position_side

    @property
    def pair(self) -> str:
        """The pair of its contract."""
        return self.symbol.split("_", maxsplit=1)[0]

    @property
    def only_reduces(self) -> bool:
        """Whether its flags, or in hedge mode its side, keep it from opening anything."""
        if self.position_side == "BOTH":
            return self.reduce_only or self.close_position
        return (self.position_side, self.side) in {("LONG", "SELL"), ("SHORT", "BUY")}


@dataclass(slots=True, kw_only=True)
class Order(Instruction):
    """One order of the regular book.

    A `hidden` order is in no list. Look-ups deny an order until `known_from_ms`. One with a
    `trigger_price` is a conditional order from before the conditional book (COIN-M until 2026-06):
    it rests here under its own type; with `close_position` its quantity is 0.
    """

    order_id: int
    client_order_id: str
    quantity: Decimal
    executed: Decimal = Decimal(0)
    traded_base: Decimal = Decimal(0)  # what was executed, in the base asset
    traded_quote: Decimal = Decimal(0)  # and in the quote asset
    trigger_price: Decimal = Decimal(0)
    hidden: bool = False
    known_from_ms: int = 0

    listed_in: ClassVar = "orders"  # the source
    number = property(attrgetter("order_id"))
    name = property(attrgetter("client_order_id"))

    @property
    def is_open(self) -> bool:
        """Whether the order still rests."""
        return self.status in {"NEW", "PARTIALLY_FILLED"}

    @property
    def remaining(self) -> Decimal:
        """What is not executed yet."""
        return self.quantity - self.executed

    def acknowledge(self) -> dict[str, Any]:
        """Return the reply to a write (ORDER-W)."""
        return tell(self, _ORDER) | _OF_BOTH_BOOKS

    def describe(self) -> dict[str, Any]:
        """Return the row of a query (ORDER-R)."""
        average = self.traded_quote / self.traded_base if self.executed else Decimal(0)
        return {
            **self.acknowledge(),
            "avgPrice": f"{average:.5f}",
            "cumQuote": plain(self.traded_quote),
            "cumBase": f"{self.traded_base:.8f}",
            "pair": self.pair,
            "time": self.time_ms,
        }


@dataclass(slots=True, kw_only=True)
class AlgoOrder(Instruction):
    """One order of the conditional book. `quantity` is None for closePosition orders."""

    algo_id: int
    client_algo_id: str
    trigger_price: Decimal
    quantity: Decimal | None = None
    child_id: int | None = None
    rejection: str = ""  # why its order was refused when it triggered

    listed_in: ClassVar = "algo"  # the source
    number = property(attrgetter("algo_id"))
    name = property(attrgetter("client_algo_id"))

    @property
    def is_open(self) -> bool:
        """Whether the order still waits for its trigger."""
        return self.status == "NEW"

    def describe(self) -> dict[str, Any]:
        """Return the row of a reply (ALGO-R)."""
        nothing = ("tpTriggerPrice", "tpPrice", "slTriggerPrice", "slPrice")
        return {
            **tell(self, _ALGO),
            **_OF_BOTH_BOOKS,
            **dict.fromkeys(nothing, "0.000"),
            **dict.fromkeys(("tpOrderType", "activatePrice", "callbackRate"), ""),
            "algoType": "CONDITIONAL",
            "actualOrderId": "" if self.child_id is None else str(self.child_id),
            "actualPrice": "0.00000",
            "icebergQuantity": None,
            "triggerTime": 0,
        }

    def describe_strategy(self) -> dict[str, Any]:
        """Return the row of portfolio margin's COIN-M, where it is a strategy."""
        return {
            **tell(self, _STRATEGY),
            "origQty": plain(self.quantity or Decimal(0)),
            "activatePrice": "0",
            "priceRate": "0",
            **pick(_OF_BOTH_BOOKS, "workingType priceProtect"),
        }


@dataclass(slots=True, kw_only=True)
class Execution:
    """An execution algorithm: it trades a slice every so often, until all of it is traded."""

    algo_id: int
    client_algo_id: str
    symbol: str
    side: str
    quantity: Decimal
    slice: Decimal
    every_ms: int
    position_side: str = "BOTH"
    kind: str = "TWAP"  # or VP
    reduce_only: bool = False
    executed: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    status: str = "WORKING"
    time_ms: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it still runs."""
        return self.status == "WORKING"

    @property
    def slices(self) -> int:
        """How many slices there are in all."""
        return math.ceil(self.quantity / self.slice)

    def describe(self) -> dict[str, Any]:
        """Return the row of a list."""
        return {
            **tell(self, _EXECUTION),
            "avgPrice": plain(self.paid / self.executed if self.executed else Decimal(0)),
            "endTime": self.time_ms + self.slices * self.every_ms,
            "urgency": "LOW",
        }


@dataclass(slots=True, kw_only=True)
class Holding:
    """One leg of the account; `amount` is signed, negative on a short leg."""

    symbol: str
    position_side: str
    amount: Decimal
    entry_price: Decimal
    update_ms: int = 0

    @property
    def leg(self) -> LegKey:
        """The leg that it is."""
        return self.symbol, self.position_side


@dataclass(slots=True, kw_only=True)
class Trade:
    """One execution. `asset` is what profit is paid in, `fee` is in `fee_asset`."""

    trade_id: int
    order: Order
    quantity: Decimal
    price: Decimal
    base: Decimal
    quote: Decimal
    realized_pnl: Decimal
    fee: Decimal
    fee_asset: str
    asset: str
    time_ms: int

    def describe(self) -> dict[str, Any]:
        """Return the row of userTrades."""
        return {
            **tell(self, _OF_TRADE),
            **tell(self.order, _OF_ITS_ORDER),
            "buyer": self.order.side == "BUY",
            "commission": f"{self.fee:.8f}",
            "maker": False,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Money that came into a product's wallet from elsewhere, or left it where negative."""

    number: int
    product: Product
    asset: str
    amount: Decimal
    time_ms: int

    def describe(self) -> dict[str, Any]:
        """Return the row of income."""
        return {
            **tell(self, "asset time=time_ms tranId=number"),
            **dict.fromkeys(("symbol", "tradeId"), ""),
            **dict.fromkeys(("incomeType", "info"), "TRANSFER"),
            "income": f"{self.amount:.8f}",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A leg since it was last flat."""

    opened_ms: int = 0  # 0 when it was open long before the start
    opened_by: str = ""
    flat_ms: int = 0  # when it was last flat, 0 when never since the start
    least: Decimal = Decimal(0)  # the smallest it has been

    def traded(self, owner: str, before: Decimal, after: Decimal, *, at_ms: int) -> "Life":
        """Return the life of the leg after a trade: from one flat moment to the next."""
        if not after:
            return Life(flat_ms=at_ms)
        if before * after > 0:
            return replace(self, least=min(self.least, abs(after)))
        # One that turns around was flat for no time at all.
        flat_ms = at_ms if before else max(self.flat_ms, 1)
        return Life(opened_ms=at_ms, opened_by=owner, flat_ms=flat_ms, least=abs(after))


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelledStop:
    """A conditional order that was cancelled while it protected an open leg, and that leg."""

    algo: AlgoOrder | Order
    at_ms: int
    life: Life


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list as it was answered: what it showed, and the moment it showed.

    Legs are shown by symbol and position side, orders by their ids. `symbol` is what narrowed the
    list, for COIN-M perhaps a pair or coin. `readable` is false when a row was spoilt: then what is
    missing may have stood there.
    """

    at_ms: int
    known_ms: int
    source: str
    moment_ms: int
    symbol: str
    shown: frozenset[object]
    readable: bool = True
    product: Product = Product.USDM


@dataclass(slots=True, kw_only=True)
class Journal:
    """What happened, for judges outside the code under test.

    `fills` are (client order id, owner, symbol, position side, amount before, amount after);
    `requests` are (time, method, path, client order id or "").
    """

    fills: list[tuple[str, str, str, str, Decimal, Decimal]] = field(default_factory=list)
    cancelled_stops: list[CancelledStop] = field(default_factory=list)
    requests: list[tuple[int, str, str, str]] = field(default_factory=list)
    listings: list[Listing] = field(default_factory=list)  # those that were answered in full
    faults: list[str] = field(default_factory=list)
    activity: int = 0  # how often others placed or traded


def is_closing(order: Instruction, amount: Decimal) -> bool:
    """Return whether the order trades against a signed amount."""
    return (amount > 0) == (order.side == "SELL")
