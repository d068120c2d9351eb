"""The venue's REST endpoints that liqctl uses, with their request weights.

Weights: Binance USDS-M endpoint pages, read 2026-11-23. `weight_all` is charged when no symbol
narrows the list.
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Method, path and cost of one endpoint. `orders` counts against the order limits."""

    method: str
    path: str
    weight: int = 1
    weight_all: int = 1
    orders: int = 0
    signed: bool = True

    @property
    def is_write(self) -> bool:
        """Whether the request changes the account."""
        return self.method != "GET"

    @property
    def source(self) -> str:
        """What a reading by this endpoint is called in results: the last part of its path."""
        return self.path.rpartition("/")[2]


class Endpoint(Enum):
    """Every endpoint that liqctl calls."""

    PING = EndpointSpec("GET", "/fapi/v1/ping", signed=False)
    TIME = EndpointSpec("GET", "/fapi/v1/time", signed=False)
    EXCHANGE_INFO = EndpointSpec("GET", "/fapi/v1/exchangeInfo", signed=False)
    MARK_PRICE = EndpointSpec("GET", "/fapi/v1/premiumIndex", weight_all=10, signed=False)
    POSITIONS = EndpointSpec("GET", "/fapi/v3/positionRisk", 5, 5)
    ACCOUNT = EndpointSpec("GET", "/fapi/v3/account", 5, 5)
    ACCOUNT_CONFIG = EndpointSpec("GET", "/fapi/v1/accountConfig", 5, 5)
    POSITION_MODE = EndpointSpec("GET", "/fapi/v1/positionSide/dual", 30, 30)
    PORTFOLIO_MARGIN = EndpointSpec("GET", "/fapi/v1/pmAccountInfo", 5, 5)
    OPEN_ORDERS = EndpointSpec("GET", "/fapi/v1/openOrders", weight_all=40)
    OPEN_ALGO_ORDERS = EndpointSpec("GET", "/fapi/v1/openAlgoOrders", weight_all=40)
    ORDER = EndpointSpec("GET", "/fapi/v1/order")
    USER_TRADES = EndpointSpec("GET", "/fapi/v1/userTrades", 5, 5)
    SUBMIT_ORDER = EndpointSpec("POST", "/fapi/v1/order", 0, 0, orders=1)
    TEST_ORDER = EndpointSpec("POST", "/fapi/v1/order/test")
    CANCEL_ORDER = EndpointSpec("DELETE", "/fapi/v1/order")
    CANCEL_ORDERS = EndpointSpec("DELETE", "/fapi/v1/allOpenOrders")
    CANCEL_ALGO_ORDER = EndpointSpec("DELETE", "/fapi/v1/algoOrder")
    CANCEL_ALGO_ORDERS = EndpointSpec("DELETE", "/fapi/v1/algoOpenOrders")
    ORDER_LIMITS = EndpointSpec("GET", "/fapi/v1/rateLimit/order")
    API_RESTRICTIONS = EndpointSpec("GET", "/sapi/v1/account/apiRestrictions")
