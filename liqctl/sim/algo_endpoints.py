"""The conditional orders of the simulated venue, a book of their own."""

from typing import TYPE_CHECKING, Final

from liqctl.sim.orders import AlgoOrder
from liqctl.sim.refusal import Refused
from liqctl.sim.routes import Json, Params, Route, Routes, check_may_trade

if TYPE_CHECKING:
    from liqctl.sim.venue import Venue

_DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


def _find_algo(venue: "Venue", params: Params) -> AlgoOrder | None:
    algo_id, client_id = params.get("algoId"), params.get("clientAlgoId")
    if not algo_id and not client_id:
        raise Refused(
            -1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!"
        )
    for algo in reversed(venue.account.algo_orders.values()):
        if (algo_id and str(algo.algo_id) == algo_id) or (
            not algo_id and algo.client_algo_id == client_id
        ):
            return algo
    return None


def _open_algo_orders(venue: "Venue", params: Params) -> Json:
    if venue.portfolio_margin:
        return []
    symbol = params.get("symbol")
    if symbol:
        venue.account.market(symbol)
    return [
        algo.describe()
        for algo in venue.account.algo_orders_at(venue.look("algo"))
        if not symbol or algo.symbol == symbol
    ]


def _all_algo_orders(venue: "Venue", params: Params) -> Json:
    symbol = venue.account.market(params.get("symbol")).symbol
    return [a.describe() for a in venue.account.algo_orders.values() if a.symbol == symbol]


def _algo_order(venue: "Venue", params: Params) -> Json:
    algo = _find_algo(venue, params)
    if algo is None:
        raise Refused(-2013, "Order does not exist.")
    actual = {"actualType": "", "actualQty": "0.000"}
    return algo.describe() | actual


def _place_algo(venue: "Venue", params: Params) -> Json:
    check_may_trade(venue)
    return venue.account.place_algo(params).describe()


def _cancel_algo(venue: "Venue", params: Params) -> Json:
    algo = _find_algo(venue, params)
    if algo is None or not algo.is_open:
        raise Refused(-2011, "Unknown order sent.")
    venue.account.cancel_algo(algo)
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "code": "200",
        "msg": "success",
    }


def _cancel_all_algo(venue: "Venue", params: Params) -> Json:
    symbol = venue.account.market(params.get("symbol")).symbol
    for algo in venue.account.open_algo_orders():
        if algo.symbol == symbol:
            venue.account.cancel_algo(algo)
    return dict(_DONE)


ALGO_ROUTES: Final[Routes] = {
    ("GET", "/fapi/v1/openAlgoOrders"): Route(
        serve=_open_algo_orders, weight_all=40, source="algo"
    ),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(serve=_all_algo_orders, weight=5),
    ("GET", "/fapi/v1/algoOrder"): Route(serve=_algo_order),
    ("POST", "/fapi/v1/algoOrder"): Route(serve=_place_algo, weight=0, orders=True),
    ("DELETE", "/fapi/v1/algoOrder"): Route(serve=_cancel_algo),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(serve=_cancel_all_algo),
}
