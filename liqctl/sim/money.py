"""What a simulated account is worth: wallets, what open positions gain or lose, and margin.

Equity of a product, by asset: `wallet + Σ unrealised profit at mark price`. Assumed: maintenance is
a tenth of the initial margin, and fees leave wallets as they are. Portfolio margin's equity counts
every asset at its mark price, without a haircut.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Final

from liqctl.kernel.states import Product
from liqctl.sim.account import Account
from liqctl.sim.orders import Holding

_ZERO: Final = Decimal(0)
_DOLLAR: Final = "USDT"
_SAFEST: Final = Decimal(99999999)
"""What uniMMR is without a position (assumed)."""
_MAINTENANCE: Final = Decimal("0.1")
"""Of the initial margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What an account has of one asset in a product, and what a leg adds to that."""

    wallet: Decimal = _ZERO
    profit: Decimal = _ZERO
    initial: Decimal = _ZERO
    for_orders: ClassVar = _ZERO  # the margin of resting orders, which need none here

    @property
    def maintenance(self) -> Decimal:
        """The maintenance margin."""
        return self.initial * _MAINTENANCE

    @property
    def equity(self) -> Decimal:
        """The margin balance."""
        return self.wallet + self.profit

    @property
    def available(self) -> Decimal:
        """What is left for new positions."""
        return max(self.equity - self.initial, _ZERO)

    def __add__(self, other: "Purse") -> "Purse":
        """Return both together."""
        return Purse(
            wallet=self.wallet + other.wallet,
            profit=self.profit + other.profit,
            initial=self.initial + other.initial,
        )

    def describe(self, names: str) -> dict[str, str]:
        """Return the amounts that the venue calls by these names, `total` in front or not."""
        parts = {name: _PARTS[name.lower().removeprefix("total")] for name in names.split()}
        return {name: f"{getattr(self, part):.8f}" for name, part in parts.items()}


_CALLED: Final = {
    "wallet": "balance walletbalance crosswalletbalance",
    "profit": "unrealizedprofit crossunpnl",
    "equity": "marginbalance accountequity actualequity",
    "initial": "initialmargin positioninitialmargin accountinitialmargin",
    "maintenance": "maintmargin accountmaintmargin",
    "for_orders": "openorderinitialmargin",
    "available": "availablebalance maxwithdrawamount withdrawavailable virtualmaxwithdrawamount",
}
"""What the venue calls each part of a purse."""

_PARTS: Final = {name: part for part, names in _CALLED.items() for name in names.split()}


def leg_of(account: Account, held: Holding) -> Purse:
    """Return what a leg gains and needs, in what its market settles in."""
    if not held.amount:
        return Purse()
    market = account.markets[held.symbol]
    return Purse(
        profit=market.profit(held.amount, held.entry_price, market.mark_price),
        initial=abs(market.value(held.amount, market.mark_price)) / account.leverage,
    )


def purses_of(
    account: Account, product: Product, legs: Iterable[Holding] | None = None
) -> dict[str, Purse]:
    """Return the purses of a product by asset, with these of its legs, or all."""
    markets = account.markets_of(product)
    purses = {_DOLLAR: Purse(wallet=account.balance)}
    if product is Product.COINM:
        purses = {
            market.settle_asset: Purse(wallet=account.wallet(market)) for market in markets.values()
        }
    for held in account.holdings.values() if legs is None else legs:
        if held.symbol in markets:
            asset = markets[held.symbol].settle_asset
            purses[asset] = purses.get(asset, Purse()) + leg_of(account, held)
    return purses


def portfolio_of(account: Account) -> Purse:
    """Return what an account in portfolio margin has of everything, in dollars."""
    total = Purse()
    for product in Product:
        for asset, purse in purses_of(account, product).items():
            price = price_of(account, asset)
            wallet, profit, initial = purse.wallet, purse.profit, purse.initial
            total += Purse(wallet=wallet * price, profit=profit * price, initial=initial * price)
    for asset, held in account.margin_assets.items():
        owed = held.get("borrowed", _ZERO) + held.get("interest", _ZERO)
        own = held.get("free", _ZERO) + held.get("negative", _ZERO) - owed
        total += Purse(wallet=own * price_of(account, asset))
    return total


def ratio_of(purse: Purse) -> Decimal:
    """Return uniMMR, the equity over the maintenance margin."""
    return purse.equity / purse.maintenance if purse.initial else _SAFEST


def price_of(account: Account, asset: str) -> Decimal:
    """Return what an asset costs in dollars, 0 when nothing here is traded in it."""
    if asset == _DOLLAR:
        return Decimal(1)
    markets = account.markets
    of_coin = (each.mark_price for each in markets.values() if each.base_asset == asset)
    own = markets.get(f"{asset}{_DOLLAR}")
    return own.mark_price if own is not None else next(of_coin, _ZERO)
