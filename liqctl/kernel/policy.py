"""The knobs that planning reads, the one table of their ranges, and the guards of `arm`.

`LiquidationConfig` is the public name. The settings file, the environment variables and the flags
are checked against the same `LIMITS` with the same texts. What a guard measures stands in
`liqctl.kernel.guards`, which only `arm` loads.

>>> LiquidationConfig(timeout_seconds=0.5)
Traceback (most recent call last):
    ...
liqctl.kernel.errors.ConfigurationError: timeout_seconds must be between 1.0 and 30.0, got 0.5
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Final, NamedTuple

from liqctl.kernel import pacing
from liqctl.kernel.amounts import plain
from liqctl.kernel.errors import ConfigurationError, hide_secrets
from liqctl.kernel.states import Explained, Margin, Product


class Limit(NamedTuple):
    """The allowed range of one number; both ends are allowed."""

    low: float
    high: float
    whole: bool = False


LIMITS: Final[Mapping[str, Limit]] = {
    "timeout_seconds": Limit(low=1.0, high=30.0),
    "max_retries": Limit(low=0, high=10, whole=True),
    "retry_delay_seconds": Limit(low=0.1, high=5.0),
    "settle_seconds": Limit(low=0.0, high=30.0),
}

_CONTRACT: Final = re.compile(r".+USD_(PERP|[0-9]{6})")

FLAGS: Final = ("emergency_liquidation", "close_positions", "cancel_orders")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationConfig:
    """What a liquidation may do, and for how long.

    Args:
        emergency_liquidation: False makes every run end SKIPPED.
        close_positions: close positions.
        cancel_orders: cancel open orders, conditional ones included.
        timeout_seconds: the hard deadline, 1.0 to 30.0.
        max_retries: repeats of one refused order or cancel, 0 to 10.
        retry_delay_seconds: base of the exponential backoff, 0.1 to 5.0.
        symbols: Binance symbols in scope; empty means the whole account.
        products: which futures are the account; symbols narrow them to their own.
        margin: the kind of account, None to find it out.
        settle_seconds: how long flat is watched before it is called proven, 0.0 to 30.0; lists
            lag what came to be by up to about 2 s. 0 trusts one reading.

    Raises:
        ConfigurationError: a value has the wrong type or lies outside its range, or the three
            flags contradict one another; every problem is named, one a line.
    """

    emergency_liquidation: bool = True
    close_positions: bool = True
    cancel_orders: bool = True
    timeout_seconds: float = 5.0
    max_retries: int = 3
    retry_delay_seconds: float = 0.5
    symbols: tuple[str, ...] = ()
    settle_seconds: float = 2.0
    products: tuple[Product, ...] = tuple(Product)
    margin: Margin | None = None

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        found = problems(values)
        if found:
            raise ConfigurationError("\n".join(text for _, text in found))
        object.__setattr__(self, "symbols", tuple(self.symbols))
        object.__setattr__(self, "products", tuple(dict.fromkeys(self.products)))

    @property
    def by_product(self) -> "dict[Product, LiquidationConfig]":
        """The policy of each product in scope, with its own symbols only."""
        own = {each: [s for s in self.symbols if product_of(s) is each] for each in self.products}
        return {
            product: replace(self, symbols=tuple(symbols))
            for product, symbols in own.items()
            if symbols or not self.symbols
        }

    def includes(self, other: "LiquidationConfig") -> bool:
        """Return whether everything that the other one has in scope is in this one's, too."""
        is_whole = not self.symbols or bool(other.symbols and {*other.symbols} <= {*self.symbols})
        return is_whole and other.by_product.keys() <= self.by_product.keys()

    def suffices_for(self, other: "LiquidationConfig") -> bool:
        """Return whether a run of this policy also does what one of the other would."""
        closes = self.close_positions or not other.close_positions
        cancels = self.cancel_orders or not other.cancel_orders
        proves = self.settle_seconds >= other.settle_seconds
        return closes and cancels and proves and self.includes(other)

    def joined(self, other: "LiquidationConfig") -> "LiquidationConfig | None":
        """Return this policy with everything in scope that is in either's, and nothing else.

        None where no policy says so: one is the whole of a product, and the other one has symbols
        of another product.
        """
        whole = [its for its in (self, other) if not its.symbols]
        products = self.by_product | other.by_product
        if len(whole) == 1 and products.keys() != whole[0].by_product.keys():
            return None
        symbols = () if whole else (*self.symbols, *other.symbols)
        return replace(self, symbols=tuple(dict.fromkeys(symbols)), products=tuple(products))

    def covers(self, symbol: str) -> bool:
        """Return whether the symbol is in scope."""
        return not self.symbols or symbol in self.symbols


def product_of(symbol: str) -> Product:
    """Return which product a symbol is of: contracts of COIN-M end in USD_PERP or USD_ and a date.

    >>> product_of("BTCUSD_261225").value, product_of("BTCUSDT_261225").value
    ('COINM', 'USDM')
    """
    return Product.COINM if _CONTRACT.fullmatch(symbol) else Product.USDM


def out_of_scope(symbols: Sequence[object], products: Sequence[Product]) -> str | None:
    """Return what is to be said of symbols whose product is not in scope, None if there is none.

    >>> out_of_scope(["BTCUSDT", "BTCUSD_PERP"], [Product.USDM])
    'BTCUSD_PERP is a COIN-M contract, but products has only usdm'
    """
    names = [s for s in symbols if isinstance(s, str) and product_of(s) not in products]
    if not names:
        return None
    kind = f"{product_of(names[0]).shown} contract"
    are = f"is a {kind}" if len(names) == 1 else f"are {kind}s"
    has = ", ".join(each.setting for each in products)
    return f"{hide_secrets(', '.join(names))} {are}, but products has only {has}"


def problems(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return every problem among the liquidation settings, as (key, text), in the table's order.

    Keys that are absent are not checked; relations are checked only between readable values.
    """
    found: list[tuple[str, str]] = []

    def refuse(name: str, expected: str, given: object) -> None:
        found.append((name, f"{name} must be {expected}, got {given}"))

    for name in FLAGS:
        if not isinstance(flag := values.get(name, True), bool):
            refuse(name, "true or false", found_value(flag))
    for name, limit in LIMITS.items():
        value = values.get(name, limit.low)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or (limit.whole and not isinstance(value, int))
            or not -math.inf < value < math.inf
        ):
            refuse(name, "a whole number" if limit.whole else "a number", found_value(value))
        elif not limit.low <= value <= limit.high:
            refuse(name, f"between {limit.low} and {limit.high}", value)
    symbols, products = values.get("symbols", ()), values.get("products", tuple(Product))
    if not isinstance(products, list | tuple) or not products or set(products) - set(Product):
        given = found_value(products) if products else "none"
        refuse("products", "a list of Product.USDM, Product.COINM or both", given)
    elif isinstance(symbols, list | tuple) and (outside := out_of_scope(symbols, products)):
        found.append(("symbols", outside))
    margin = values.get("margin")
    if not isinstance(margin, Margin | None):
        refuse("margin", "Margin.STANDARD, Margin.PORTFOLIO or None", found_value(margin))
    if not isinstance(symbols, list | tuple):
        refuse("symbols", "a list of symbols", found_value(symbols))
    elif odd := [s for s in symbols if not (isinstance(s, str) and s.strip())]:
        refuse("symbols", "a list of symbols", f"{found_value(odd[0])} in it")
    flags = [values.get(name, True) for name in FLAGS]
    if not all(isinstance(flag, bool) for flag in flags):
        return found
    # What the three flags say of one another.
    is_armed, *does = flags
    if bool(is_armed) is not any(does):
        closes, cancels = ("true" if flag else "false" for flag in does)
        must = (
            "or cancel_orders must be true" if is_armed else "and cancel_orders must both be false"
        )
        text = (
            f"close_positions {must} when emergency_liquidation is {str(is_armed).lower()}, got "
            f"close_positions {closes} and cancel_orders {cancels}"
        )
        found.append(("emergency_liquidation", text))
    return found


def found_value(value: object) -> str:
    """Return the value and its type as the error texts show them: `'5' (str)`.

    What a container holds is not shown, nor what looks like a key: it may have slipped there.
    """
    if isinstance(value, Mapping | list | tuple | set):
        return f"a {type(value).__name__}"
    return f"{hide_secrets(repr(value))} ({type(value).__name__})"


class Rule(Explained):
    """What a guard watches, as settings name it."""

    MAX_LOSS = "max_loss", "loss since 00:00 UTC in the quote currency, transfers excluded"
    MAX_DRAWDOWN = "max_drawdown", "per cent that the equity is below its peak since arming"
    MAX_NOTIONAL = "max_notional", "sum of all notionals in the quote currency"
    MAX_POSITION_NOTIONAL = (
        "max_position_notional",
        "notional of one symbol in the quote currency, both legs of a hedge together",
    )
    MIN_MARGIN_RATIO = (
        "min_margin_ratio",
        "margin balance divided by maintenance margin; in portfolio margin uniMMR",
    )
    MAX_ORDERS_PER_MINUTE = "max_orders_per_minute", "orders that the venue counts in a minute"

    @property
    def is_minimum(self) -> bool:
        """Whether the rule is over below its limit."""
        return self is Rule.MIN_MARGIN_RATIO

    @property
    def needs_transfers(self) -> bool:
        """Whether moving money would look like a loss to it."""
        return self in {Rule.MAX_LOSS, Rule.MAX_DRAWDOWN}

    @property
    def unit(self) -> str:
        """What stands behind its numbers."""
        return " %" if self is Rule.MAX_DRAWDOWN else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One guard of the settings.

    `symbols` narrow `max_position_notional` only; empty is every symbol. `readings` must agree
    before it trips, at least 2.
    """

    rule: Rule
    limit: Decimal
    symbols: tuple[str, ...] = ()
    readings: int = pacing.GUARD_READINGS

    def __str__(self) -> str:
        of = f" of {', '.join(self.symbols)}" if self.symbols else ""
        return f"{self.rule} {plain(self.limit)}{self.rule.unit}{of}"
