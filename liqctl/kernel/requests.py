"""What is asked of the venue, as values: each names its endpoint and its parameters once.

The type of a request is that of its answer: `venue.send(positions())` gives rows of positions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Generic, TypeVar

from liqctl.kernel.endpoints import Endpoint, EndpointSpec, spec_of
from liqctl.kernel.equity import CoinPrice, Equity, Transfer
from liqctl.kernel.errors import Secret
from liqctl.kernel.states import Margin, Product
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
