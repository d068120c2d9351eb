"""The one table of settings: a pydantic-settings model, which is also their only reader.

Names, kinds, ranges, defaults and meanings stand here. The README's table, the man page, the JSON
schema, the first file, the shipped files' check, the variables' names and what `validate -v` lists
are made from it. `liqctl.settings.sources` tells where values come from and what is said of wrong
ones: what is refused here is refused there in the contract's words.

Importing pydantic takes a tenth of a second: only what reads settings or writes pages imports this.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import EnumType, StrEnum
from itertools import groupby
from typing import Annotated, Any, Final, Literal, get_args

from annotated_types import MinLen, Predicate
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict  # noqa: TID253 - this module is imported where settings are read
from pydantic_settings import BaseSettings, SettingsConfigDict  # noqa: TID253

from liqctl.kernel import pacing
from liqctl.kernel.policy import LIMITS, LiquidationConfig, found_value, problems
from liqctl.kernel.rules import Rule
from liqctl.kernel.states import Environment
from liqctl.settings.credentials import is_secret_name, name_problems
from liqctl.settings.targets import item_problems, items_schema, nearest

_CCXT_SYMBOL: Final = re.compile(r"([^/:\s]+)/([^/:\s]+)(?::([^-\s]+))?(?:-(\d{6}))?")
_POLICY: Final = LiquidationConfig()
_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
_NUMBER: Final = re.compile(r"[+-]?(\d{1,18}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")

GUARDS_MAX: Final = 32
READINGS_MIN: Final = 2
"""A single reading may be a spike: none trips alone."""

_GUARD_KEYS: Final = ("rule", "limit", "readings")
_LIMITS_MAX: Final = {
    Rule.MAX_LOSS: 1_000_000_000_000,
    Rule.MAX_DRAWDOWN: 100,
    Rule.MAX_NOTIONAL: 1_000_000_000_000,
    Rule.MAX_POSITION_NOTIONAL: 1_000_000_000_000,
    Rule.MIN_MARGIN_RATIO: 1000,
    Rule.MAX_ORDERS_PER_MINUTE: 100_000,
}


class Kind(StrEnum):
    """The type of a value, and how a text in the environment is read as one."""

    TEXT = "text"
    OPTIONAL_TEXT = "text or null"
    FLAG = "true or false"
    NUMBER = "number"
    OPTIONAL_NUMBER = "number or null"
    WHOLE = "whole number"
    SYMBOLS = "list of symbols"
    PRODUCTS = "list of products"
    LIST = "list"
    GUARDS = "list of guards"
    ACCOUNTS = "accounts by name"

    def read(self, text: str) -> object:
        """Return a variable's text as a value of the kind; the text itself when it is none."""
        bare = text.strip()
        match self:
            case Kind.FLAG:
                return _FLAGS.get(bare.lower(), text)
            case Kind.WHOLE if re.fullmatch(r"[+-]?\d{1,18}", bare):
                return int(bare)
            case Kind.NUMBER | Kind.OPTIONAL_NUMBER if _NUMBER.fullmatch(bare):
                return float(bare)
            case Kind.SYMBOLS | Kind.PRODUCTS:
                return [part.strip() for part in text.split(",") if part.strip()]
            case Kind.OPTIONAL_TEXT | Kind.OPTIONAL_NUMBER if bare in {"", "null"}:
                return None
            case _:
                return text


def is_visible(text: str) -> bool:
    """Return whether the text holds something that can be seen, and no null byte."""
    return bool(text.strip()) and "\0" not in text


def normalise_symbol(symbol: str) -> str:
    """Return Binance's id of a symbol that may be written as ccxt does, or in small letters.

    >>> normalise_symbol("BTC/USDT:USDT")
    'BTCUSDT'
    >>> normalise_symbol("BTC/USDT:USDT-260925")
    'BTCUSDT_260925'
    >>> normalise_symbol("BTC/USD:BTC"), normalise_symbol("BTC/USD:BTC-261225")
    ('BTCUSD_PERP', 'BTCUSD_261225')
    >>> normalise_symbol("btcusdt")
    'BTCUSDT'
    """
    symbol = symbol.strip()
    if symbol.isascii():  # Binance has no small letters in a symbol.
        symbol = symbol.upper()
    match = _CCXT_SYMBOL.fullmatch(symbol)
    if match is None:
        return symbol
    base, quote, settle, date = match.groups()
    # What is paid in the coin itself is COIN-M, whose perpetual has a name of its own.
    date = date or ("PERP" if settle == base else None)
    return f"{base}{quote}_{date}" if date else f"{base}{quote}"


def guard_problems(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield key and text of everything wrong with the guards."""
    if len(items) > GUARDS_MAX:
        yield "arm.guards", f"guards must be {GUARDS_MAX} items at most, got {len(items)}"
        return
    for number, item in enumerate(items):
        place, rule = f"arm.guards[{number}]", item.get("rule")
        if not isinstance(rule, str) or rule not in set(Rule):
            hint = nearest(rule, [*Rule]) if isinstance(rule, str) else ""
            yield f"{place}.rule", f"rule must be one of {', '.join(Rule)}{hint}"
            continue
        keys = _guard_keys_of(Rule(rule))
        if "limit" not in item:
            yield place, f"a {rule} guard needs limit"
        for key, value in item.items():
            if key not in keys:
                if not is_secret_name(key):
                    yield f"{place}.{key}", f"unknown key of a {rule} guard{nearest(key, keys)}"
            elif text := _guard_value_problem(Rule(rule), key, value):
                yield f"{place}.{key}", f"{key} must be {text}"


def _guard_keys_of(rule: Rule) -> tuple[str, ...]:
    return (*_GUARD_KEYS, "symbols") if rule is Rule.MAX_POSITION_NOTIONAL else _GUARD_KEYS


def _guard_value_problem(rule: Rule, key: str, value: Any) -> str | None:  # noqa: ANN401 - YAML
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match key:
        case "limit":
            most = _LIMITS_MAX[rule]
            if not is_number or value != value:  # noqa: PLR0124 - NaN is no number
                return f"a number, got {found_value(value)}"
            return None if 0 <= value <= most else f"between 0 and {most}, got {value}"
        case "readings":
            least, most = READINGS_MIN, pacing.GUARD_READINGS_MAX
            if not is_number or not isinstance(value, int):
                return f"a whole number, got {found_value(value)}"
            return None if least <= value <= most else f"between {least} and {most}, got {value}"
        case "symbols":
            is_list = isinstance(value, list)
            is_right = is_list and all(isinstance(each, str) and each.strip() for each in value)
            return None if is_right else f"a list of symbols, got {found_value(value)}"
        case _:
            return None


def guards_schema() -> dict[str, Any]:
    """Return the JSON schema of the list, for editors."""
    shapes: dict[str, Any] = {
        "readings": {
            "type": "integer",
            "minimum": READINGS_MIN,
            "maximum": pacing.GUARD_READINGS_MAX,
        },
        "symbols": {"type": "array", "items": {"type": "string"}},
    }
    of_rules = [
        {
            "type": "object",
            "title": f"{rule} guard",
            "description": rule.meaning,
            "properties": {
                "rule": {"const": rule.value},
                "limit": {"type": "number", "minimum": 0, "maximum": _LIMITS_MAX[rule]},
                **{key: shapes[key] for key in _guard_keys_of(rule) if key in shapes},
            },
            "required": ["rule", "limit"],
            "additionalProperties": False,
        }
        for rule in Rule
    ]
    return {"type": "array", "maxItems": GUARDS_MAX, "items": {"oneOf": of_rules}}


def _with_plain_symbols(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return guards with their symbols as Binance writes them."""
    return [
        item | {"symbols": [normalise_symbol(each) for each in item["symbols"]]}
        if "symbols" in item
        else item
        for item in items
    ]


_Visible = Annotated[str, Predicate(is_visible)]
# In lower case, for the lock must know one account by one name.
_Host = Annotated[_Visible, AfterValidator(lambda url: url.rstrip("/").lower())]
_Symbol = Annotated[
    str, Predicate(lambda text: bool(text.strip())), AfterValidator(normalise_symbol)
]

_Symbols = Annotated[list[_Symbol], Kind.SYMBOLS]
_Products = Annotated[
    list[Literal["usdm", "coinm"]],
    MinLen(1),
    AfterValidator(lambda names: list(dict.fromkeys(names))),
    Kind.PRODUCTS,
]
_Margin = Annotated[Literal["auto", "standard", "portfolio"], Kind.TEXT]

OptionalText = Annotated[_Visible | None, Kind.OPTIONAL_TEXT]
Flag = Annotated[bool, Kind.FLAG]
Number = Annotated[float, Field(allow_inf_nan=False), Kind.NUMBER]
OptionalNumber = Annotated[float | None, Field(allow_inf_nan=False), Kind.OPTIONAL_NUMBER]
Whole = Annotated[int, Kind.WHOLE]


class Section(BaseModel):
    """Settings that stand together; types are strict, unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Exchange(Section):
    """How to reach the venue."""

    products: _Products = Field(
        default=["usdm", "coinm"],
        description="which futures are the account: USDS-M, COIN-M or both",
    )
    margin: _Margin = Field(
        default="auto",
        description="the kind of account: auto asks the venue; portfolio is retail portfolio "
        "margin (the papi endpoints), which the testnet does not have",
    )
    base_url: Annotated[_Host | None, Kind.OPTIONAL_TEXT] = Field(
        default=None,
        description="another host for every request: a gateway, a proxy, a local venue; https, "
        "except for loopback; in production name it in LIQCTL_ALLOW_HOST, too",
    )
    stream_url: Annotated[_Host | None, Kind.OPTIONAL_TEXT] = Field(
        default=None,
        description="another host for the events that `arm` listens to; wss, except for loopback; "
        "null is base_url with ws or wss in place of http or https, else the environment's own; in "
        "production name it in LIQCTL_ALLOW_HOST, too",
    )
    recv_window_ms: Whole = Field(
        default=5000,
        ge=1,
        le=60000,
        description="milliseconds after which the venue refuses a request as too old",
    )
    proxy: OptionalText = Field(
        default=None,
        description="HTTP proxy, such as http://127.0.0.1:3128; HTTPS_PROXY and similar variables "
        "are ignored",
    )


def _policy(name: str, description: str) -> Any:  # noqa: ANN401 - as pydantic's own Field
    """Return a field with the default and range that the public `LiquidationConfig` has."""
    limit = LIMITS.get(name)
    return Field(
        default=getattr(_POLICY, name),
        description=description,
        ge=limit.low if limit else None,
        le=limit.high if limit else None,
    )


class Liquidation(Section):
    """What a liquidation may do, and for how long."""

    emergency_liquidation: Flag = _policy(
        "emergency_liquidation",
        "whether the switch is armed; with false every run ends SKIPPED, and close_positions and "
        "cancel_orders must be false, too",
    )
    close_positions: Flag = _policy("close_positions", "close every open position in scope")
    cancel_orders: Flag = _policy(
        "cancel_orders", "cancel every open order in scope, conditional ones included"
    )
    timeout_seconds: Number = _policy(
        "timeout_seconds", "seconds from start to the hard end of a run"
    )
    max_retries: Whole = _policy("max_retries", "repeats of one refused order or cancel")
    retry_delay_seconds: Number = _policy(
        "retry_delay_seconds", "seconds before the first repeat; doubles each time, ±20 %"
    )
    symbols: _Symbols = Field(
        default=[], description="symbols in scope, such as [BTCUSDT]; empty is the whole account"
    )
    settle_seconds: Number = _policy(
        "settle_seconds",
        "seconds that flat is watched before it is called proven; 0 trusts one reading",
    )


class Arm(Section):
    """What `arm` watches, and what happens after it tripped."""

    hold_seconds: Number = Field(
        default=60.0,
        ge=0.0,
        le=86400.0,
        description="seconds that the account is held flat after a trip",
    )
    heartbeat_file: OptionalText = Field(
        default=None,
        description="file that somebody else, such as a bot, touches; when it gets too old, the "
        "switch trips",
    )
    heartbeat_seconds: Number = Field(
        default=30.0,
        ge=1.0,
        le=3600.0,
        description="age in seconds at which the heartbeat file is too old",
    )
    countdown_seconds: OptionalNumber = Field(
        default=None,
        ge=10.0,
        le=600.0,
        description="seconds after which the venue itself cancels the orders of a symbol when "
        "liqctl stops renewing the countdown; it closes no position; null sets none",
    )
    guards: Annotated[
        list[dict[str, Any]],
        Predicate(lambda items: not [*guard_problems(items)]),
        AfterValidator(_with_plain_symbols),
        Kind.GUARDS,
    ] = Field(
        default=[],
        description="limits that trip the switch, such as [{rule: max_loss, limit: 500}]; see the "
        "README",
        json_schema_extra=guards_schema(),
    )


class NamedAccount(Section):
    """One of several accounts: what it narrows; what is left out is as for all."""

    symbols: _Symbols | None = None
    products: _Products | None = None
    margin: _Margin | None = None


class Audit(Section):
    """Where the trail and the log are written."""

    log_dir: OptionalText = Field(
        default=None,
        description="folder of audit.jsonl and liqctl.log, created when missing; null is `logs` in "
        "the state folder",
    )


class Metrics(Section):
    """Where figures are written after a run."""

    textfile: OptionalText = Field(
        default=None,
        description="file for Prometheus' node_exporter, written after each run; ends in .prom",
    )


class SettingsModel(BaseSettings):
    """A settings file of liqctl. Flags and variables win over it; keys never stand in it."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, strict=True, title="liqctl settings"
    )

    environment: Annotated[
        Annotated[Environment, Strict(strict=False)] | None, Kind.OPTIONAL_TEXT
    ] = Field(default=None, description="which account; must agree with --env when both are given")
    exchange: Exchange = Exchange()
    liquidation: Annotated[
        Liquidation, Predicate(lambda given: not problems(given.model_dump()))
    ] = Liquidation()
    accounts: Annotated[
        dict[str, Annotated[NamedAccount, BeforeValidator(lambda given: given or {})]],
        Predicate(lambda given: not [*name_problems(given)]),
        Kind.ACCOUNTS,
    ] = Field(
        default={},
        description="several accounts, each with a key of its own: NAME: {symbols: [...], "
        "products: [...], margin: ...}; what an account leaves out is as for all; empty is one "
        "account without a name",
    )
    arm: Arm = Arm()
    audit: Audit = Audit()
    metrics: Metrics = Metrics()
    notifications: Annotated[
        list[dict[str, Any]], Predicate(lambda items: not [*item_problems(items)]), Kind.LIST
    ] = Field(
        default=[],
        description="who is notified after the end of a run; see the README",
        json_schema_extra=items_schema(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table. `low` and `high` are allowed values themselves."""

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

    @property
    def shown_default(self) -> str:
        """The default as it stands in a file."""
        if isinstance(self.default, list):
            return f"[{', '.join(self.default)}]"
        return self.default if isinstance(self.default, str) else json.dumps(self.default)

    @property
    def shown_range(self) -> str:
        """What is allowed, for the tables."""
        if self.low is None:
            return ", ".join(f"`{each}`" for each in self.allowed) or self.kind
        unit = "whole number, " if self.kind is Kind.WHOLE else ""
        or_null = " or null" if self.kind is Kind.OPTIONAL_NUMBER else ""
        return f"{unit}{self.low} to {self.high}{or_null}"


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{name}.")
            continue
        kind = next(each for each in field.metadata if isinstance(each, Kind))
        yield Setting(
            key=f"{prefix}{name}",
            kind=kind,
            default=field.default,
            help=field.description or "",
            low=next((each.ge for each in field.metadata if hasattr(each, "ge")), None),
            high=next((each.le for each in field.metadata if hasattr(each, "le")), None),
            allowed=tuple(_choices(field.annotation)),
        )


def _choices(annotation: object) -> Iterator[str]:
    if isinstance(annotation, EnumType):
        yield from annotation
    elif isinstance(annotation, str):
        yield annotation
    for part in get_args(annotation):
        yield from _choices(part)


TABLE: Final = tuple(_rows(SettingsModel))
BY_KEY: Final = {setting.key: setting for setting in TABLE}
SECTIONS: Final = frozenset(key.partition(".")[0] for key in BY_KEY if "." in key)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file, for editors and for `liqctl schema settings`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **SettingsModel.model_json_schema(),
    }


def first_file(environment: Environment, *, schema: str, log_dir: str = "null") -> str:
    """Return a settings file with every setting at its default, each with its meaning.

    Args:
        environment: whose settings.
        schema: where editors find the JSON schema.
        log_dir: what `audit.log_dir` is set to.
    """
    lines = [
        f"# yaml-language-server: $schema={schema}",
        f"# Settings of liqctl for {environment}. Options and environment variables, such as",
        "# LIQCTL_LIQUIDATION__TIMEOUT_SECONDS=10, take precedence. After each change run:",
        f"# liqctl validate --env {environment}. Keys and secrets are not allowed here.",
    ]
    given = {"environment": environment, "audit.log_dir": log_dir}
    for section, settings in groupby(TABLE, lambda each: each.key.rpartition(".")[0]):
        lines += ["", *([f"{section}:"] if section else [])]
        indent = "  " if section else ""
        for setting in settings:
            text = f"{setting.help} ({setting.shown_range.replace('`', '')})."
            text = f"{text[0].upper()}{text[1:]}"
            lines += [f"{indent}# {line}" for line in textwrap.wrap(text, 96 - len(indent))]
            lines.append(f"{indent}{setting.name}: {given.get(setting.key, setting.shown_default)}")
    return "\n".join(lines) + "\n"


def markdown_table() -> str:
    """Return every setting with its variable, default, range and meaning as a Markdown table."""
    lines = ["| setting | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{each.key}` | `{each.shown_default}` | {each.shown_range} | {each.help} |"
        for each in TABLE
    ]
    return "\n".join(lines) + "\n"
