"""The guards that settings name; `liqctl.kernel.guards` tells what each measures.

They stand alone because every command reads settings, and only `arm` measures.
"""

from dataclasses import dataclass
from decimal import Decimal

from liqctl.kernel import pacing
from liqctl.kernel.amounts import plain
from liqctl.kernel.states import Explained


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
