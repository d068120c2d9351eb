"""One symbol of the simulated venue, and what positions on all of them are worth.

Defaults are BTCUSDT's of the real venue (filters read 2026-09): market orders up to 120 while limit
orders go up to 1000, prices within 5 % of mark, and a market order may walk 5 % of the book before
the rest of it expires.

A symbol with a contract size is COIN-M's: quantities are contracts of so many dollars, profit and
margin are in the coin.

Equity of a product, by asset: `wallet + Σ unrealised profit at mark price`. Assumed: maintenance is
a tenth of the initial margin, and fees leave wallets as they are. Portfolio margin's equity counts
every asset at its mark price, without a haircut.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.states import Product
from liqctl.sim.orders import Holding, Order, tell

if TYPE_CHECKING:
    from liqctl.sim.account import Account

CONDITIONAL_TYPES: Final = (
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
)
TIMES_IN_FORCE: Final = ("GTC", "IOC", "FOK", "GTX", "GTD")
OPEN_ORDERS_MAX: Final = 200
"""Of a symbol in the regular book, and of an account in the conditional one."""

_DOLLAR: Final = "USDT"
_SAFEST: Final = Decimal(99999999)
"""What uniMMR is without a position (assumed)."""
_MAINTENANCE: Final = Decimal("0.1")
"""Of the initial margin."""
_ZERO: Final = Decimal(0)

_ROW: Final = (
    "symbol pair contractType=contract_type deliveryDate=delivery_ms baseAsset=base_asset "
    "quoteAsset=quote_asset marginAsset=settle_asset marketTakeBound=take_bound"
)


@dataclass(slots=True, kw_only=True)
class Market:
    """The state of one symbol.

    `depth` is how much base asset stands on each side of the book inside the bound; None is
    endless. `market_step_size` is the step of market orders where it is another. `spread_bps` is
    how far the best price is from mark: beyond PERCENT_PRICE a market order is refused (-4131),
    beyond `take_bound` it expires unfilled, while a limit order fills.
    """

    symbol: str
    base_asset: str
    mark_price: Decimal
    quote_asset: str = "USDT"
    contract_size: int = 0  # in dollars; 0 is USDS-M
    status: str = "TRADING"
    contract_type: str = "PERPETUAL"
    delivery_ms: int = 4133404800000
    tick_size: Decimal = Decimal("0.10")
    step_size: Decimal = Decimal("0.001")
    market_step_size: Decimal | None = None
    quantity_min: Decimal = Decimal("0.001")
    quantity_max: Decimal = Decimal(1000)
    market_quantity_max: Decimal = Decimal(120)
    notional_min: Decimal = Decimal(5)
    multiplier_up: Decimal = Decimal("1.0500")
    multiplier_down: Decimal = Decimal("0.9500")
    depth: Decimal | None = None
    spread_bps: Decimal = Decimal(1)
    take_bound: Decimal = Decimal("0.05")

    @property
    def product(self) -> Product:
        """The product that the symbol belongs to."""
        return Product.COINM if self.contract_size else Product.USDM

    @property
    def pair(self) -> str:
        """The pair that the contract is one of."""
        return self.symbol.split("_", maxsplit=1)[0]

    @property
    def settle_asset(self) -> str:
        """What margin, profit and fees are in."""
        return self.base_asset if self.contract_size else self.quote_asset

    def base(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return how much of the base asset a quantity is at a price."""
        return quantity * self.contract_size / price if self.contract_size else quantity

    def quote(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return how much of the quote asset a quantity is at a price: for COIN-M at any price."""
        return quantity * (self.contract_size or price)

    def value(self, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the notional in the settle asset."""
        return (self.base if self.contract_size else self.quote)(quantity, price)

    def profit(self, amount: Decimal, entry: Decimal, leave: Decimal) -> Decimal:
        """Return what a signed amount earns between two prices, in the settle asset.

        USDS-M: `amount * (leave - entry)`; COIN-M: `amount * size * (1 / entry - 1 / leave)`.
        """
        change = self.value(amount, leave) - self.value(amount, entry)
        return -change if self.contract_size else change

    def best(self, side: str) -> Decimal:
        """Return the best price that an order of this side meets."""
        shift = self.mark_price * self.spread_bps / 10000
        price = self.mark_price + shift if side == "BUY" else self.mark_price - shift
        return price.quantize(self.tick_size)

    def edge(self, side: str) -> Decimal:
        """Return the last price that PERCENT_PRICE allows an order of this side."""
        return self.mark_price * (self.multiplier_up if side == "BUY" else self.multiplier_down)

    def is_in_band(self, price: Decimal, side: str) -> bool:
        """Return whether PERCENT_PRICE allows the price."""
        return price <= self.edge(side) if side == "BUY" else price >= self.edge(side)

    def floor(self, quantity: Decimal) -> Decimal:
        """Return the quantity rounded down to a whole number of steps."""
        return (quantity / self.step_size).to_integral_value(ROUND_FLOOR) * self.step_size

    def reach(self, order_type: str) -> Decimal | None:
        """Return how much an order of this type finds in the book; None is endless."""
        is_bounded = order_type == "MARKET" and self.spread_bps > self.take_bound * 10000
        return Decimal(0) if is_bounded else self.depth

    def crosses(self, order: Order) -> bool:
        """Return whether the order would trade at once."""
        best = self.best(order.side)
        is_met = best <= order.price if order.side == "BUY" else best >= order.price
        return order.type == "MARKET" or is_met

    def describe(self) -> dict[str, Any]:
        """Return the symbol's row of exchangeInfo."""
        is_coinm = self.product is Product.COINM
        row: dict[str, Any] = {
            **tell(self, _ROW),
            "onboardDate": 1569398400000,
            "contractStatus" if is_coinm else "status": self.status,
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "pricePrecision": 2,
            "quantityPrecision": 0 if is_coinm else 3,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": ["PoW"],
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012500",
            "maxMoveOrderLimit": 10000,
            "filters": [
                {
                    "filterType": "PRICE_FILTER",
                    **tell(self, "minPrice=tick_size tickSize=tick_size"),
                    "maxPrice": "4529764",
                },
                self._lot("LOT_SIZE", self.quantity_max, self.step_size),
                self._lot(
                    "MARKET_LOT_SIZE",
                    self.market_quantity_max,
                    self.market_step_size or self.step_size,
                ),
                {"filterType": "MAX_NUM_ORDERS", "limit": OPEN_ORDERS_MAX},
                {
                    "filterType": "PERCENT_PRICE",
                    **tell(self, "multiplierUp=multiplier_up multiplierDown=multiplier_down"),
                    "multiplierDecimal": "4",
                },
            ],
            "orderTypes": ["LIMIT", "MARKET", *CONDITIONAL_TYPES],
            "timeInForce": list(TIMES_IN_FORCE),
        }
        if is_coinm:
            return row | {"contractSize": self.contract_size, "equalQtyPrecision": 4}
        row["filters"] += [
            {"filterType": "MIN_NOTIONAL", "notional": plain(self.notional_min)},
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ]
        return row | {"permissionSets": ["GRID", "COPY"]}

    def _lot(self, kind: str, most: Decimal, step: Decimal) -> dict[str, str]:
        least = plain(self.quantity_min)
        return {"filterType": kind, "minQty": least, "maxQty": plain(most), "stepSize": plain(step)}


# -- what an account is worth -------------------------------------------------------------------


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


def leg_of(account: "Account", held: Holding) -> Purse:
    """Return what a leg gains and needs, in what its market settles in."""
    if not held.amount:
        return Purse()
    market = account.markets[held.symbol]
    return Purse(
        profit=market.profit(held.amount, held.entry_price, market.mark_price),
        initial=abs(market.value(held.amount, market.mark_price)) / account.leverage,
    )


def purses_of(
    account: "Account", product: Product, legs: Iterable[Holding] | None = None
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


def portfolio_of(account: "Account") -> Purse:
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


def price_of(account: "Account", asset: str) -> Decimal:
    """Return what an asset costs in dollars, 0 when nothing here is traded in it."""
    if asset == _DOLLAR:
        return Decimal(1)
    markets = account.markets
    of_coin = (each.mark_price for each in markets.values() if each.base_asset == asset)
    own = markets.get(f"{asset}{_DOLLAR}")
    return own.mark_price if own is not None else next(of_coin, _ZERO)
