"""What is asked of the venue, and where: each question as a value that names its endpoint once.

The type of a request is that of its answer: `venue.send(positions())` gives rows of positions.
`Endpoint` says what is asked; where, and at what weight, depends on the product and on the kind of
account: `spec_of`. Its own values are those of USDS-M on a standard account.

Sources: Binance USDS-M and COIN-M endpoint pages and the portfolio margin SDK 12.1.0, read
2026-11-23. `weight_all` is charged when no symbol narrows the list. Not documented: DELETE
/dapi/v1/algoOpenOrders (in ccxt and other clients).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

from liqctl.kernel.errors import Secret
from liqctl.kernel.states import Environment, Margin, Product
from liqctl.kernel.values import (
    CloseOrder,
    CoinPrice,
    Equity,
    MarketRules,
    OpenOrder,
    OrderAnswer,
    OrderKind,
    Position,
    PositionMode,
    Rows,
    Transfer,
)

T_co = TypeVar("T_co", covariant=True)

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


class EndpointSpec(NamedTuple):
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
    spec = endpoint.value._replace(path=path)
    weight = _WEIGHTS.get(path)
    return spec if weight is None else spec._replace(weight=weight, weight_all=weight)


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
_USDM: Final = {endpoint: endpoint.value for endpoint in Endpoint}
_ROWS: Final[Mapping[tuple[Product, Margin], Mapping[Endpoint, EndpointSpec]]] = {
    (Product.USDM, Margin.STANDARD): _USDM,
    (Product.COINM, Margin.STANDARD): _USDM | _COINM,
    (Product.USDM, Margin.PORTFOLIO): _USDM | _in_portfolio(Product.USDM),
    (Product.COINM, Margin.PORTFOLIO): _USDM | _COINM | _in_portfolio(Product.COINM),
}


def spec_of(endpoint: Endpoint, product: Product, margin: Margin) -> EndpointSpec:
    """Return where the question is asked for a product and a kind of account.

    >>> spec_of(Endpoint.CANCEL_ALGO_ORDERS, Product.COINM, Margin.PORTFOLIO).path
    '/papi/v1/cm/conditional/allOpenOrders'
    >>> spec_of(Endpoint.MARK_PRICE, Product.COINM, Margin.PORTFOLIO).path
    '/dapi/v1/premiumIndex'
    """
    return _ROWS[product, margin][endpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T_co]):
    """One request; of its parameters those are set that its endpoint knows.

    Attributes:
        symbol: narrows a list, or names what is asked about.
        client_order_id: of the order of ours that is asked about.
        close: the order to be sent.
        order: the order of others to be cancelled.
        since_ms: from when on a history is asked for, in the venue's milliseconds.
        margin: the kind of account that it is asked of; None until it leaves.
        milliseconds: how long a countdown is.
        email: of the sub-account that a master's key asks about; personal, so it is never shown.
        page: which page of a list, from 1.
    """

    endpoint: Endpoint
    product: Product = Product.USDM
    symbol: str | None = None
    client_order_id: str = ""
    close: CloseOrder | None = None
    order: OpenOrder | None = None
    since_ms: int | None = None
    margin: Margin | None = None
    milliseconds: int | None = None
    email: str = field(default="", repr=False)
    page: int = 1

    @property
    def spec(self) -> EndpointSpec:
        """Where it goes, and what it costs."""
        return spec_of(self.endpoint, self.product, self.margin or Margin.STANDARD)

    @property
    def weight(self) -> int:
        """What it costs of the address's weight: more where no symbol narrows a list."""
        spec = self.spec
        return spec.weight_all if self.symbol is None else spec.weight


_LISTS: Final = {
    OrderKind.REGULAR: Endpoint.OPEN_ORDERS,
    OrderKind.ALGO: Endpoint.OPEN_ALGO_ORDERS,
    OrderKind.EXECUTION: Endpoint.EXECUTIONS,
}
_CANCELS_ONE: Final = {
    OrderKind.REGULAR: Endpoint.CANCEL_ORDER,
    OrderKind.ALGO: Endpoint.CANCEL_ALGO_ORDER,
    OrderKind.EXECUTION: Endpoint.CANCEL_EXECUTION,
}
_CANCELS_ALL: Final = {
    OrderKind.REGULAR: Endpoint.CANCEL_ORDERS,
    OrderKind.ALGO: Endpoint.CANCEL_ALGO_ORDERS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Balances:
    """What a portfolio margin account owes and holds beside its futures, by coin.

    `coins` are all that are held, borrowed, locked or owed, `locked` what open margin orders hold.
    """

    coins: tuple[str, ...]
    borrowed: Mapping[str, Decimal]
    negative: Mapping[str, Decimal]
    locked: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubAccount:
    """An account below a master's. `remark` is the owner's own word for it, often empty."""

    email: str = field(repr=False)
    remark: str = ""
    is_frozen: bool = False


SUB_ACCOUNTS_MAX: Final = 200
SUB_KEYS_MAX: Final = 100
"""The longest pages of the two lists: without a limit they show one account, and 30 keys."""

BALANCES: Final[Request[Balances]] = Request(
    endpoint=Endpoint.PORTFOLIO_BALANCE, margin=Margin.PORTFOLIO
)

ALIAS: Final[Request[str | None]] = Request(endpoint=Endpoint.BALANCE, margin=Margin.STANDARD)
"""The account's own code, the same for each of its keys; None where it shows no balance."""


def listen_key(product: Product, margin: Margin, *, renews: bool) -> Request[str]:
    """Ask for the key of the user data stream, which all programs of an account share.

    Asking returns the one that lives, and lengthens its life; renewing one that is dead is refused.
    """
    endpoint = Endpoint.RENEW_LISTEN_KEY if renews else Endpoint.LISTEN_KEY
    return Request(endpoint=endpoint, product=product, margin=margin)


def countdown(product: Product, symbol: str, milliseconds: int) -> Request[None]:
    """Let the venue cancel a symbol's open orders after so long; 0 ends that."""
    return Request(
        endpoint=Endpoint.COUNTDOWN,
        product=product,
        symbol=symbol,
        margin=Margin.STANDARD,
        milliseconds=milliseconds,
    )


PORTFOLIO_MARGIN: Final[Request[bool]] = Request(endpoint=Endpoint.PORTFOLIO_MARGIN)
"""Whether the account is in (retail) portfolio margin: then its own API answers, and no other."""


def account_positions(product: Product) -> Request[Rows[Position]]:
    """Read the open positions from the second, independent source."""
    return Request(endpoint=Endpoint.ACCOUNT, product=product)


def equity(product: Product) -> Request[Equity]:
    """Read what the account is worth; in portfolio margin either product gives the whole of it."""
    return Request(endpoint=Endpoint.EQUITY, product=product)


def transfers(product: Product, since_ms: int) -> Request[Rows[Transfer]]:
    """Read what was moved into the futures wallet and out of it, up to 1,000 rows.

    Portfolio margin has no such list: what its income calls a transfer stays inside the account.
    """
    return Request(endpoint=Endpoint.INCOME, product=product, since_ms=since_ms)


def coin_prices() -> Request[Mapping[str, CoinPrice]]:
    """Read mark and index price of every coin that has a perpetual contract in COIN-M."""
    return Request(endpoint=Endpoint.MARK_PRICE, product=Product.COINM)


def market_rules(product: Product) -> Request[Mapping[str, MarketRules]]:
    """Read the rules of every symbol: megabytes on the real venue."""
    return Request(endpoint=Endpoint.EXCHANGE_INFO, product=product)


def position_mode(product: Product) -> Request[PositionMode]:
    """Read the account's position mode, which both products share."""
    return Request(endpoint=Endpoint.ACCOUNT_CONFIG, product=product)


def clock(product: Product) -> Request[float]:
    """Measure and apply the clock difference: in seconds, positive if ours is ahead."""
    return Request(endpoint=Endpoint.TIME, product=product)


def positions(product: Product, symbol: str | None = None) -> Request[Rows[Position]]:
    """Read the open positions (quantity not zero), of one symbol or of all."""
    return Request(endpoint=Endpoint.POSITIONS, product=product, symbol=symbol)


def open_orders(
    product: Product, kind: OrderKind, symbol: str | None = None
) -> Request[Rows[OpenOrder]]:
    """Read the open orders of one book; without a symbol, of the whole account."""
    return Request(endpoint=_LISTS[kind], product=product, symbol=symbol)


EXECUTIONS: Final = open_orders(Product.USDM, OrderKind.EXECUTION)


def order_of(product: Product, symbol: str, client_order_id: str) -> Request[OrderAnswer]:
    """Read one order of ours; the venue refuses one it does not know with kind DONE (-2013)."""
    return Request(
        endpoint=Endpoint.ORDER, product=product, symbol=symbol, client_order_id=client_order_id
    )


def mark_price(product: Product, symbol: str) -> Request[Decimal]:
    """Read the symbol's mark price."""
    return Request(endpoint=Endpoint.MARK_PRICE, product=product, symbol=symbol)


def margin_orders(pair: str | None) -> Request[tuple[str, ...]]:
    """Read the open margin orders of a portfolio margin account, of one pair or of all."""
    return Request(endpoint=Endpoint.MARGIN_ORDERS, symbol=pair, margin=Margin.PORTFOLIO)


def submit(order: CloseOrder) -> Request[OrderAnswer]:
    """Send one closing order; refused before it leaves, if it could open a position."""
    leg = order.leg
    return Request(
        endpoint=Endpoint.SUBMIT_ORDER, product=leg.product, symbol=leg.symbol, close=order
    )


def cancel_book(product: Product, kind: OrderKind, symbol: str) -> Request[None]:
    """Cancel all orders of one book of a symbol; the answer does not prove them gone."""
    return Request(endpoint=_CANCELS_ALL[kind], product=product, symbol=symbol)


def cancel_one(order: OpenOrder) -> Request[None]:
    """Cancel one order of any kind."""
    return Request(
        endpoint=_CANCELS_ONE[order.kind], product=order.product, symbol=order.symbol, order=order
    )


def sub_accounts(page: int) -> Request[Rows[SubAccount]]:
    """Read the accounts below a master's, a page of them."""
    return Request(endpoint=Endpoint.SUB_ACCOUNTS, page=page)


def sub_positions(email: str, product: Product) -> Request[Rows[str]]:
    """Read the symbols on which a sub-account has a position, as its master sees them."""
    return Request(endpoint=Endpoint.SUB_POSITIONS, product=product, email=email)


def sub_keys(email: str) -> Request[tuple[Secret, ...]]:
    """Read the API keys of a sub-account; costs its owner 3,000 of 180,000 weight a minute."""
    return Request(endpoint=Endpoint.SUB_KEYS, email=email)
