"""The regular orders of the simulated venue: listed, placed, cancelled."""

import json
from typing import TYPE_CHECKING, Any, Final

from liqctl.sim.orders import Order
from liqctl.sim.refusal import Refused
from liqctl.sim.routes import Json, Params, Route, Routes, batch_of, check_may_trade

if TYPE_CHECKING:
    from liqctl.sim.venue import Venue

_BATCH_MAX: Final = 5
_CANCEL_BATCH_MAX: Final = 10
_DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


def _listed_orders(venue: "Venue", params: Params) -> list[Order]:
    if venue.portfolio_margin:
        return []
    symbol = params.get("symbol")
    if symbol:
        venue.account.market(symbol)
    orders = venue.account.orders_at(venue.look("orders"))
    return [order for order in orders if not symbol or order.symbol == symbol]


def _open_orders(venue: "Venue", params: Params) -> Json:
    return [order.describe() for order in _listed_orders(venue, params)]


def _open_order(venue: "Venue", params: Params) -> Json:
    order = venue.account.find_order(params)
    if order is None or not order.is_open or venue.now_ms < order.known_from_ms:
        raise Refused(-2013, "Order does not exist.")
    return order.describe()


def _order(venue: "Venue", params: Params) -> Json:
    order = venue.account.find_order(params)
    if order is None or venue.now_ms < order.known_from_ms:
        raise Refused(-2013, "Order does not exist.")
    return order.describe()


def _all_orders(venue: "Venue", params: Params) -> Json:
    symbol = params.get("symbol")
    return [
        order.describe()
        for order in venue.account.orders.values()
        if not symbol or order.symbol == symbol
    ]


def _income(_: "Venue", __: Params) -> Json:
    return []


def _place(venue: "Venue", params: Params) -> dict[str, Any]:
    check_may_trade(venue)
    order = venue.account.place(params)
    if params.get("newOrderRespType", "ACK") == "RESULT":
        return order.acknowledge()
    return order.acknowledge() | {"status": "NEW", "executedQty": "0", "cumQty": "0"}


def _test(venue: "Venue", params: Params) -> Json:
    check_may_trade(venue)
    order = venue.account.place(params, test=True)
    return order.acknowledge() | {"avgPrice": "0.00000", "cumQuote": "0"}


def _place_batch(venue: "Venue", params: Params) -> Json:
    check_may_trade(venue)
    batch = batch_of(params)
    if not batch or len(batch) > _BATCH_MAX:
        raise Refused(-4082, "Invalid number of batch place orders.")
    answers: list[dict[str, Any]] = []
    for item in batch:
        texts = {name: str(value) for name, value in item.items()}
        try:
            answers.append(_place(venue, texts))
        except Refused as refusal:
            answers.append({"code": refusal.code, "msg": refusal.message})
    return answers


def _cancel(venue: "Venue", params: Params) -> dict[str, Any]:
    order = venue.account.find_order(params)
    if order is None or not order.is_open:
        raise Refused(-2011, "Unknown order sent.")
    venue.account.cancel(order)
    return order.acknowledge()


def _cancel_batch(venue: "Venue", params: Params) -> Json:
    by_lower = {name.lower(): value for name, value in params.items()}
    ids, key = by_lower.get("orderidlist"), "orderId"
    if not ids:
        ids, key = by_lower.get("origclientorderidlist"), "origClientOrderId"
    try:
        wanted = json.loads(ids or "")
    except ValueError:
        wanted = None
    if not isinstance(wanted, list) or not wanted:
        raise Refused(
            -1102, "Mandatory parameter 'orderIdList' was not sent, was empty/null, or malformed."
        )
    if len(wanted) > _CANCEL_BATCH_MAX:
        raise Refused(-4032, "Exceed maximum cancel order size.")
    answers: list[dict[str, Any]] = []
    for one in wanted:
        try:
            answers.append(_cancel(venue, {"symbol": params.get("symbol", ""), key: str(one)}))
        except Refused as refusal:
            answers.append({"code": refusal.code, "msg": refusal.message})
    return answers


def _cancel_all(venue: "Venue", params: Params) -> Json:
    symbol = venue.account.market(params.get("symbol")).symbol
    for order in venue.account.open_orders():
        if order.symbol == symbol:
            venue.account.cancel(order)
    return dict(_DONE)


def _countdown(venue: "Venue", params: Params) -> Json:
    symbol = venue.account.market(params.get("symbol")).symbol
    return {"symbol": symbol, "countdownTime": params.get("countdownTime", "0")}


def _set_leverage(venue: "Venue", params: Params) -> Json:
    symbol = venue.account.market(params.get("symbol")).symbol
    leverage = params.get("leverage", "")
    if not leverage.isdigit() or not 1 <= int(leverage) <= 125:  # noqa: PLR2004 - the venue's range
        raise Refused(-4028, "Leverage is not valid.")
    venue.account.leverage = int(leverage)
    return {"leverage": int(leverage), "maxNotionalValue": "20000000", "symbol": symbol}


ORDER_ROUTES: Final[Routes] = {
    ("GET", "/fapi/v1/openOrders"): Route(serve=_open_orders, weight_all=40, source="orders"),
    ("GET", "/fapi/v1/openOrder"): Route(serve=_open_order),
    ("GET", "/fapi/v1/order"): Route(serve=_order),
    ("GET", "/fapi/v1/allOrders"): Route(serve=_all_orders, weight=5),
    ("GET", "/fapi/v1/income"): Route(serve=_income, weight=30),
    ("POST", "/fapi/v1/order"): Route(serve=_place, weight=0, orders=True),
    ("POST", "/fapi/v1/order/test"): Route(serve=_test),
    ("POST", "/fapi/v1/batchOrders"): Route(serve=_place_batch, weight=5, orders=True),
    ("DELETE", "/fapi/v1/order"): Route(serve=_cancel),
    ("DELETE", "/fapi/v1/batchOrders"): Route(serve=_cancel_batch),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(serve=_cancel_all),
    ("POST", "/fapi/v1/countdownCancelAll"): Route(serve=_countdown, weight=10),
    ("POST", "/fapi/v1/leverage"): Route(serve=_set_leverage),
}
