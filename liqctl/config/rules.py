"""The one table of settings: key, type, default, range, meaning.

The plain reader, the pydantic models, the shipped files' check and the README's table are all made
from it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """The type of a value, and how a text in the environment is read as one."""

    TEXT = "text"
    OPTIONAL_TEXT = "text or null"
    FLAG = "true or false"
    NUMBER = "number"
    WHOLE = "whole number"
    SYMBOLS = "list of symbols"
    LIST = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One setting. `low` and `high` are allowed values themselves."""

    key: str
    kind: Kind
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the key, as error texts name it."""
        return self.key.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"LIQCTL_{self.key.replace('.', '__').upper()}"


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        key="environment",
        kind=Kind.OPTIONAL_TEXT,
        default=None,
        allowed=("production", "testnet", "simulator"),
        help="which account; must agree with --env when both are given",
    ),
    Rule(
        key="exchange.product",
        kind=Kind.TEXT,
        default="usdm",
        allowed=("usdm",),
        help="USDS-M futures, the only product",
    ),
    Rule(
        key="exchange.base_url",
        kind=Kind.OPTIONAL_TEXT,
        default=None,
        help="another host for every request: a gateway, a proxy, a local venue; https but for "
        "loopback",
    ),
    Rule(
        key="exchange.recv_window_ms",
        kind=Kind.WHOLE,
        default=5000,
        low=1,
        high=60000,
        help="milliseconds after which the venue refuses a request as too old",
    ),
    Rule(
        key="exchange.proxy",
        kind=Kind.OPTIONAL_TEXT,
        default=None,
        help="HTTP proxy; proxy variables of the environment are ignored",
    ),
    Rule(
        key="liquidation.emergency_liquidation",
        kind=Kind.FLAG,
        default=True,
        help="false disarms the switch: every run ends SKIPPED",
    ),
    Rule(
        key="liquidation.close_positions",
        kind=Kind.FLAG,
        default=True,
        help="close every open position in scope",
    ),
    Rule(
        key="liquidation.cancel_orders",
        kind=Kind.FLAG,
        default=True,
        help="cancel every open order in scope, conditional ones included",
    ),
    Rule(
        key="liquidation.timeout_seconds",
        kind=Kind.NUMBER,
        default=5.0,
        low=1.0,
        high=30.0,
        help="seconds from start to the hard end of a run",
    ),
    Rule(
        key="liquidation.max_retries",
        kind=Kind.WHOLE,
        default=3,
        low=0,
        high=10,
        help="repeats of one refused order or cancel",
    ),
    Rule(
        key="liquidation.retry_delay_seconds",
        kind=Kind.NUMBER,
        default=0.5,
        low=0.1,
        high=5.0,
        help="seconds before the first repeat; doubles each time, ±20 %",
    ),
    Rule(
        key="liquidation.symbols",
        kind=Kind.SYMBOLS,
        default=(),
        help="symbols in scope; empty is the whole account",
    ),
    Rule(
        key="liquidation.settle_seconds",
        kind=Kind.NUMBER,
        default=2.0,
        low=0.0,
        high=30.0,
        help="seconds that flat is watched before it is called proven; 0 trusts one reading",
    ),
    Rule(
        key="audit.log_dir",
        kind=Kind.TEXT,
        default="logs",
        help="folder of audit.jsonl and liqctl.log; created when missing",
    ),
    Rule(
        key="metrics.textfile",
        kind=Kind.OPTIONAL_TEXT,
        default=None,
        help="file for Prometheus' node_exporter, written after each run; ends in .prom",
    ),
    Rule(
        key="notifications",
        kind=Kind.LIST,
        default=(),
        help="where to tell people, after the end",
    ),
)

BY_KEY: Final = {rule.key: rule for rule in RULES}
