"""What the simulated venue checks before it takes an order, in the venue's order of checks."""

import re
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Final

from liqctl.kernel.amounts import parse_decimal
from liqctl.sim.market import Market
from liqctl.sim.orders import AlgoOrder, Order, is_closing
from liqctl.sim.refusal import Refused, malformed

if TYPE_CHECKING:
    from liqctl.sim.account import Account

Params = Mapping[str, str]

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
CONDITIONAL_TYPES: Final = frozenset(
    {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
)
_OPEN_ORDERS_MAX: Final = 200
_ZERO: Final = Decimal(0)


def read_order(account: "Account", params: Params, owner: str) -> Order:
    """Return the order that the parameters ask for; nothing is checked against the account."""
    market = account.market(params.get("symbol"))
    kind, side = params.get("type", ""), params.get("side", "")
    if side not in {"BUY", "SELL"}:
        raise Refused(-1117, "Invalid side.")
    if kind in CONDITIONAL_TYPES:
        raise Refused(
            -4120,
            "Order type not supported for this endpoint. Please use the Algo Order API "
            "endpoints instead.",
        )
    if kind not in {"MARKET", "LIMIT"}:
        raise Refused(-1116, "Invalid orderType.")
    if kind == "MARKET" and params.get("timeInForce"):
        raise Refused(-1106, "Parameter 'timeInForce' sent when not required.")
    client_id = params.get("newClientOrderId") or f"auto{account.next_id()}"
    if not CLIENT_ID.fullmatch(client_id):
        raise Refused(-4015, "Client order id is not valid.")
    if any(order.client_order_id == client_id for order in account.open_orders()):
        raise Refused(-4116, "ClientOrderId is duplicated.")
    if len([o for o in account.open_orders() if o.symbol == market.symbol]) >= _OPEN_ORDERS_MAX:
        raise Refused(-2025, "Reach max open order limit.")
    return Order(
        order_id=account.next_id(),
        client_order_id=client_id,
        symbol=market.symbol,
        side=side,
        position_side=_position_side(account, params),
        type=kind,
        quantity=_amount(params, "quantity"),
        price=_amount(params, "price") if kind == "LIMIT" else _ZERO,
        time_in_force=_time_in_force(params, kind),
        reduce_only=params.get("reduceOnly", "false").lower() == "true",
        time_ms=account.now_ms,
        update_ms=account.now_ms,
        owner=owner,
    )


def _position_side(account: "Account", params: Params) -> str:
    position_side = params.get("positionSide") or "BOTH"
    if position_side not in {"BOTH", "LONG", "SHORT"}:
        raise Refused(-4060, "Invalid position side.")
    if account.hedge == (position_side == "BOTH"):
        raise Refused(-4061, "Order's position side does not match user's setting.")
    if account.hedge and params.get("reduceOnly"):
        raise Refused(-1106, "Parameter 'reduceonly' sent when not required.")
    return position_side


def _time_in_force(params: Params, kind: str) -> str:
    if kind == "MARKET":
        return "GTC"
    time_in_force = params.get("timeInForce", "")
    if not time_in_force:
        raise malformed("timeInForce")
    if time_in_force not in {"GTC", "IOC", "FOK", "GTX", "GTD"}:
        raise Refused(-1115, "Invalid timeInForce.")
    return time_in_force


def check_filters(account: "Account", order: Order) -> None:
    """Refuse what the symbol's status, lot, price band or smallest notional do not allow."""
    market = account.market(order.symbol)
    _check_status(order, market)
    if order.quantity <= 0:
        raise Refused(-4003, "Quantity less than or equal to zero.")
    if order.quantity < market.quantity_min:
        raise Refused(-4004, "Quantity less than min quantity.")
    most = market.market_quantity_max if order.type == "MARKET" else market.quantity_max
    if order.quantity > most:
        raise Refused(-4005, "Quantity greater than max quantity.")
    if _rest(order.quantity, market.step_size):
        raise Refused(-1111, "Precision is over the maximum defined for this asset.")
    if order.type == "LIMIT":
        _check_price(order, market)
    elif market.market_step_size and _rest(order.quantity, market.market_step_size):
        raise Refused(-4023, "Qty not increased by step size.")
    price = market.mark_price if order.type == "MARKET" else order.price
    if not order.reduces and price * order.quantity < market.notional_min:
        raise Refused(
            -4164,
            f"Order's notional must be no smaller than {market.notional_min} "
            "(unless you choose reduce only).",
        )


def _check_status(order: Order, market: Market) -> None:
    match market.status:
        case "TRADING":
            return
        case "CLOSE" | "DELIVERED":
            raise Refused(-4141, "Symbol is closed.")
        case "PRE_SETTLE" if order.reduces:
            return
        case "PRE_SETTLE" | "SETTLING":
            raise Refused(-4140, "Invalid symbol status for opening position.")
        case _:
            raise Refused(-1122, "Invalid symbol status.")


def _check_price(order: Order, market: Market) -> None:
    if order.price <= 0:
        raise Refused(-4001, "Price less than 0.")
    if _rest(order.price, market.tick_size):
        raise Refused(-4014, "Price not increased by tick size.")
    if not market.is_in_band(order.price, order.side):
        edge = f"{market.edge(order.side).normalize():f}"
        if order.side == "BUY":
            raise Refused(-4016, f"Limit price can't be higher than {edge}.")
        raise Refused(-4024, f"Limit price can't be lower than {edge}.")


def check_leg(account: "Account", order: Order) -> None:
    """Refuse what reduces nothing, or opens without margin; cut what reduces too much."""
    held = account.holding((order.symbol, order.position_side))
    if not order.reduces:
        cost = order.quantity * account.market(order.symbol).mark_price / account.leverage
        if cost > account.balance and not (held and is_closing(order, held.amount)):
            raise Refused(-2019, "Margin is insufficient.")
        return
    if held is None or not is_closing(order, held.amount):
        raise Refused(-2022, "ReduceOnly Order is rejected.")
    if order.position_side != "BOTH" and order.quantity > abs(held.amount):
        raise Refused(-2022, "ReduceOnly Order is rejected.")
    claimed = sum(
        (
            other.remaining
            for other in account.open_orders()
            if other.symbol == order.symbol
            and other.position_side == order.position_side
            and other.side == order.side
            and other.reduces
        ),
        _ZERO,
    )
    if claimed and claimed + order.quantity > abs(held.amount):
        if account.conflict_code == -2022:  # noqa: PLR2004 - Binance's code
            raise Refused(-2022, "ReduceOnly Order is rejected.")
        raise Refused(
            -4118,
            "ReduceOnly Order Failed. Please check your existing position and open orders",
        )
    order.quantity = min(order.quantity, abs(held.amount))


def crosses(order: Order, market: Market) -> bool:
    """Return whether the order would trade at once."""
    best = market.best(order.side)
    if order.type == "MARKET":
        return True
    return best <= order.price if order.side == "BUY" else best >= order.price


def check_book(order: Order, market: Market) -> None:
    """Refuse what the book of the moment does not allow."""
    if order.type == "MARKET" and not market.is_in_band(market.best(order.side), order.side):
        raise Refused(
            -4131,
            "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
        )
    if order.time_in_force == "GTX" and crosses(order, market):
        raise Refused(
            -5022,
            "Due to the order could not be executed as maker, the Post Only order will be "
            "rejected.",
        )
    short = market.depth is not None and market.depth < order.quantity
    if order.time_in_force == "FOK" and (short or not crosses(order, market)):
        raise Refused(
            -5021,
            "Due to the order could not be filled immediately, the FOK order has been rejected.",
        )


def read_algo_order(account: "Account", params: Params, owner: str) -> AlgoOrder:
    """Return the conditional order that the parameters ask for."""
    market = account.market(params.get("symbol"))
    kind, side = params.get("type", ""), params.get("side", "")
    if params.get("algoType") != "CONDITIONAL":
        raise malformed("algoType")
    if side not in {"BUY", "SELL"}:
        raise Refused(-1117, "Invalid side.")
    if kind not in CONDITIONAL_TYPES:
        raise Refused(-1116, "Invalid orderType.")
    close_position = params.get("closePosition", "false").lower() == "true"
    if close_position and params.get("quantity"):
        raise Refused(-4137, "Quantity must be zero with closePosition equals true.")
    if close_position and params.get("reduceOnly"):
        raise Refused(-4138, "Reduce only must be true with closePosition equals true.")
    if len(account.open_algo_orders()) >= _OPEN_ORDERS_MAX:
        raise Refused(-4045, "Reach max stop order limit.")
    return AlgoOrder(
        algo_id=account.next_id(),
        client_algo_id=params.get("clientAlgoId") or f"algo{account.next_id()}",
        symbol=market.symbol,
        side=side,
        position_side=_position_side(account, params),
        type=kind,
        trigger_price=_amount(params, "triggerPrice"),
        quantity=None if close_position else _amount(params, "quantity"),
        price=parse_decimal(params.get("price", "0")) or _ZERO,
        time_in_force=params.get("timeInForce", "GTC"),
        reduce_only=params.get("reduceOnly", "false").lower() == "true",
        close_position=close_position,
        time_ms=account.now_ms,
        update_ms=account.now_ms,
        owner=owner,
    )


def _amount(params: Params, name: str) -> Decimal:
    value = parse_decimal(params.get(name, ""))
    if value is None:
        raise malformed(name)
    return value


def _rest(value: Decimal, step: Decimal) -> Decimal:
    return value - (value / step).to_integral_value(ROUND_FLOOR) * step
