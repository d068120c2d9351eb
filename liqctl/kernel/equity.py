"""What an account is worth and what was moved in and out of it, as one request shows it.

Formulas, by kind of account:

    USDS-M, multi-assets      totalMarginBalance, totalMaintMargin: of all coins, in dollars
    USDS-M, single-asset      marginBalance, maintMargin of each coin; the totals count USDT only
    COIN-M                    marginBalance, maintMargin of each coin, in the coin
    portfolio margin          actualEquity, accountMaintMargin, uniMMR of the whole account

Easy to get wrong: `actualEquity` counts coins in full, `accountEquity` with a haircut that the
venue changes at will, so only the first one can tell a loss. Dollar coins count as one dollar each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from liqctl.kernel import pacing
from liqctl.kernel.states import Margin

DOLLAR: Final = "USD"
"""The asset of totals."""

DOLLARS: Final = frozenset(
    {DOLLAR, "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD1", "USDE", "BFUSD", "RWUSD", "LDUSDT"}
    | {"BNFCR"}
)
"""Assets that are counted as one dollar, and so in the quote currency of every symbol."""


class CoinPrice(NamedTuple):
    """Mark and index price of a coin in dollars, by its perpetual contract."""

    mark_price: Decimal
    index_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Collateral that stands for its own positions: balance with profit, and what must stay.

    `counts` is False for coins beside the dollars of a single-asset USDS-M account, such as BNB for
    fees: they have a margin ratio, and are no part of the equity.
    """

    asset: str
    balance: Decimal
    maintenance: Decimal
    counts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Equity:
    """One reading of what an account is worth; `unreadable` names what could not be read.

    `uni_mmr` and `account_equity` are of portfolio margin only. Of a reading with something
    unreadable no sum is believed.
    """

    pools: tuple[Pool, ...]
    margin: Margin = Margin.STANDARD
    uni_mmr: Decimal | None = None
    account_equity: Decimal | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def coins(self) -> tuple[str, ...]:
        """The assets that need a price to be counted."""
        return tuple(p.asset for p in self.pools if p.counts and p.asset not in DOLLARS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Money moved into the futures wallet, or out of it where `amount` is negative."""

    asset: str
    amount: Decimal
    at_ms: int


def worth(asset: str, amount: Decimal, prices: Mapping[str, CoinPrice]) -> Decimal | None:
    """Return the amount in the quote currency, None where no believable price is known.

    Coins count at the index price, which several venues make; a mark price that is far from it says
    that one of the two is wrong.

    >>> prices = {"BTC": CoinPrice(Decimal(50100), Decimal(50000))}
    >>> worth("BTC", Decimal("0.5"), prices), worth("USDC", Decimal(7), prices)
    (Decimal('25000.0'), Decimal('7'))
    >>> worth("BTC", Decimal(1), {"BTC": CoinPrice(Decimal(45000), Decimal(50000))}) is None
    True
    """
    if asset in DOLLARS:
        return amount
    if not amount:
        return Decimal(0)
    price = prices.get(asset)
    if price is None:
        return None
    gap = abs(price.mark_price - price.index_price)
    is_believed = gap <= price.index_price * pacing.PRICE_GAP_MAX
    return amount * price.index_price if is_believed else None
