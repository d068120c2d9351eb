"""The venue's REST endpoints that liqctl uses, with their request weights.

`Endpoint` says what is asked; where, and at what weight, depends on the product and on the kind of
account: `spec_of`. Its own values are those of USDS-M on a standard account.

Sources: Binance USDS-M and COIN-M endpoint pages and the portfolio margin SDK 12.1.0, read
2026-11-23. `weight_all` is charged when no symbol narrows the list. Not documented: DELETE
/dapi/v1/algoOpenOrders (in ccxt and other clients).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from liqctl.kernel.states import Environment, Margin, Product

HOSTS: Final[Mapping[Environment, Mapping[str, str]]] = {
    Environment.PRODUCTION: {
        "fapi": "https://fapi.binance.com",
        "dapi": "https://dapi.binance.com",
        "papi": "https://papi.binance.com",
        "sapi": "https://api.binance.com",
    },
    Environment.TESTNET: {
        "fapi": "https://demo-fapi.binance.com",
        "dapi": "https://demo-dapi.binance.com",
    },
    Environment.SIMULATOR: {},
}
"""Where each API is. The spot host tells the rights of a key and runs the execution algorithms; the
demo has neither it nor portfolio margin (Binance, read 2026-11-23)."""


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """Method, path and cost of one endpoint. `orders` counts against the order limits.

    `reads` tells two questions apart that one path answers.
    """

    method: str
    path: str
    weight: int = 1
    weight_all: int = 1
    orders: int = 0
    signed: bool = True
    reads: str = ""

    @property
    def is_write(self) -> bool:
        """Whether the request changes the account."""
        return self.method != "GET"

    @property
    def api(self) -> str:
        """The first part of the path, which decides the host: `fapi`, `dapi`, `papi` or `sapi`."""
        return self.path.split("/", 2)[1]

    @property
    def source(self) -> str:
        """What a reading by this endpoint is called in results: `positionRisk`, `dapi account`."""
        _, api, _, tail = self.path.split("/", 3)
        return tail if api == "fapi" else f"{api} {tail}"


class Endpoint(Enum):
    """Everything that liqctl asks."""

    PING = EndpointSpec("GET", "/fapi/v1/ping", signed=False)
    TIME = EndpointSpec("GET", "/fapi/v1/time", signed=False)
    EXCHANGE_INFO = EndpointSpec("GET", "/fapi/v1/exchangeInfo", signed=False)
    MARK_PRICE = EndpointSpec("GET", "/fapi/v1/premiumIndex", weight_all=10, signed=False)
    POSITIONS = EndpointSpec("GET", "/fapi/v3/positionRisk", 5, 5)
    ACCOUNT = EndpointSpec("GET", "/fapi/v3/account", 5, 5)
    EQUITY = EndpointSpec("GET", "/fapi/v3/account", 5, 5, reads="equity")
    INCOME = EndpointSpec("GET", "/fapi/v1/income", 30, 30)
    ACCOUNT_CONFIG = EndpointSpec("GET", "/fapi/v1/accountConfig", 5, 5)
    POSITION_MODE = EndpointSpec("GET", "/fapi/v1/positionSide/dual", 30, 30)
    OPEN_ORDERS = EndpointSpec("GET", "/fapi/v1/openOrders", weight_all=40)
    OPEN_ALGO_ORDERS = EndpointSpec("GET", "/fapi/v1/openAlgoOrders", weight_all=40)
    BALANCE = EndpointSpec("GET", "/fapi/v3/balance", 5, 5)
    ORDER = EndpointSpec("GET", "/fapi/v1/order")
    USER_TRADES = EndpointSpec("GET", "/fapi/v1/userTrades", 5, 5)
    SUBMIT_ORDER = EndpointSpec("POST", "/fapi/v1/order", 0, 0, orders=1)
    TEST_ORDER = EndpointSpec("POST", "/fapi/v1/order/test")
    CANCEL_ORDER = EndpointSpec("DELETE", "/fapi/v1/order")
    CANCEL_ORDERS = EndpointSpec("DELETE", "/fapi/v1/allOpenOrders")
    CANCEL_ALGO_ORDER = EndpointSpec("DELETE", "/fapi/v1/algoOrder")
    CANCEL_ALGO_ORDERS = EndpointSpec("DELETE", "/fapi/v1/algoOpenOrders")
    LISTEN_KEY = EndpointSpec("POST", "/fapi/v1/listenKey")
    RENEW_LISTEN_KEY = EndpointSpec("PUT", "/fapi/v1/listenKey")
    COUNTDOWN = EndpointSpec("POST", "/fapi/v1/countdownCancelAll", 10, 10)
    ORDER_LIMITS = EndpointSpec("GET", "/fapi/v1/rateLimit/order")
    PORTFOLIO_MARGIN = EndpointSpec("GET", "/papi/v1/rateLimit/order")
    PORTFOLIO_BALANCE = EndpointSpec("GET", "/papi/v1/balance", 20, 20)
    MARGIN_ORDERS = EndpointSpec("GET", "/papi/v1/margin/openOrders", 5, 5)
    EXECUTIONS = EndpointSpec("GET", "/sapi/v1/algo/futures/openOrders")
    CANCEL_EXECUTION = EndpointSpec("DELETE", "/sapi/v1/algo/futures/order")
    API_RESTRICTIONS = EndpointSpec("GET", "/sapi/v1/account/apiRestrictions")
    SUB_ACCOUNTS = EndpointSpec("GET", "/sapi/v1/sub-account/list")
    SUB_POSITIONS = EndpointSpec("GET", "/sapi/v2/sub-account/futures/positionRisk")
    SUB_KEYS = EndpointSpec("GET", "/sapi/v1/sub-account/subAccountApi")


_SHARED: Final = {
    *(Endpoint.ACCOUNT_CONFIG, Endpoint.BALANCE),
    *(Endpoint.ORDER_LIMITS, Endpoint.TEST_ORDER),
}
"""What is one for both products: position mode, the account's alias, limits."""

_IN_PORTFOLIO_BY_PRODUCT: Final = (
    *(Endpoint.POSITIONS, Endpoint.ACCOUNT, Endpoint.INCOME, Endpoint.POSITION_MODE),
    *(Endpoint.OPEN_ORDERS, Endpoint.ORDER, Endpoint.USER_TRADES),
    *(Endpoint.SUBMIT_ORDER, Endpoint.CANCEL_ORDER, Endpoint.CANCEL_ORDERS),
)
_IN_PORTFOLIO_FOR_BOTH: Final = (
    *(Endpoint.LISTEN_KEY, Endpoint.RENEW_LISTEN_KEY),
    *(Endpoint.EQUITY, Endpoint.ORDER_LIMITS),
)
_CONDITIONAL: Final = (
    Endpoint.OPEN_ALGO_ORDERS,
    Endpoint.CANCEL_ALGO_ORDER,
    Endpoint.CANCEL_ALGO_ORDERS,
)
_CONDITIONAL_TAILS: Final = {
    Product.USDM: ("algo/openAlgoOrders", "algo/order", "algo/allOpenOrders"),
    Product.COINM: ("conditional/openOrders", "conditional/order", "conditional/allOpenOrders"),
}
_WEIGHTS: Final = {
    "/dapi/v1/positionRisk": 1,
    "/dapi/v1/premiumIndex": 10,
    "/dapi/v1/income": 20,
    "/papi/v1/account": 20,
    "/papi/v1/cm/positionRisk": 1,
    "/papi/v1/cm/userTrades": 20,
    "/papi/v1/um/order": 1,
    "/papi/v1/cm/order": 1,
}
"""Where they differ from those of USDS-M."""


def _moved(endpoint: Endpoint, prefix: str, tail: str | None = None) -> EndpointSpec:
    """Return where it is below another prefix: under its own last words, if under no others."""
    path = prefix + (tail or endpoint.value.path.split("/", 3)[3])
    spec = replace(endpoint.value, path=path)
    weight = _WEIGHTS.get(path)
    return spec if weight is None else replace(spec, weight=weight, weight_all=weight)


def _in_portfolio(product: Product) -> dict[Endpoint, EndpointSpec]:
    prefix = {Product.USDM: "/papi/v1/um/", Product.COINM: "/papi/v1/cm/"}[product]
    conditional = zip(_CONDITIONAL, _CONDITIONAL_TAILS[product], strict=True)
    return {
        **{each: _moved(each, prefix) for each in _IN_PORTFOLIO_BY_PRODUCT},
        **{each: _moved(each, prefix, tail) for each, tail in conditional},
        **{each: _moved(each, "/papi/v1/") for each in _IN_PORTFOLIO_FOR_BOTH},
        Endpoint.ACCOUNT_CONFIG: _moved(Endpoint.ACCOUNT_CONFIG, "/papi/v1/um/"),
    }


_COINM: Final = {
    endpoint: _moved(endpoint, "/dapi/v1/")
    for endpoint in Endpoint
    if endpoint.value.api == "fapi" and endpoint not in _SHARED
}
_ROWS: Final[Mapping[tuple[Product, Margin], Mapping[Endpoint, EndpointSpec]]] = {
    (Product.USDM, Margin.STANDARD): {},
    (Product.COINM, Margin.STANDARD): _COINM,
    (Product.USDM, Margin.PORTFOLIO): _in_portfolio(Product.USDM),
    (Product.COINM, Margin.PORTFOLIO): _COINM | _in_portfolio(Product.COINM),
}


def spec_of(endpoint: Endpoint, product: Product, margin: Margin) -> EndpointSpec:
    """Return where the question is asked for a product and a kind of account.

    >>> spec_of(Endpoint.CANCEL_ALGO_ORDERS, Product.COINM, Margin.PORTFOLIO).path
    '/papi/v1/cm/conditional/allOpenOrders'
    >>> spec_of(Endpoint.MARK_PRICE, Product.COINM, Margin.PORTFOLIO).path
    '/dapi/v1/premiumIndex'
    """
    return _ROWS[product, margin].get(endpoint, endpoint.value)
