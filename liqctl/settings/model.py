"""The one table of settings: a pydantic-settings model, which is also their only reader.

Names, kinds, ranges, defaults and meanings stand here. The README's table, the man page, the JSON
schema, the first file of `liqctl init`, the shipped files' check, the variables' names and what
`validate -v` lists are made from it. Where values come from, and what is said of wrong ones, is in
`liqctl.settings.sources`.

Importing pydantic takes a tenth of a second: only `liqctl.settings.sources` and what writes pages
import this module.
"""

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import (  # noqa: TID253 - this module is imported where settings are read
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict  # noqa: TID253

from liqctl.kernel.policy import LIMITS, LiquidationConfig, problems
from liqctl.kernel.states import Environment

_CCXT_SYMBOL: Final = re.compile(r"([^/:\s]+)/([^/:\s]+)(?::[^-\s]+)?(?:-(\d{6}))?")
_POLICY: Final = LiquidationConfig()


class Kind(StrEnum):
    """The type of a value, and how a text in the environment is read as one."""

    TEXT = "text"
    OPTIONAL_TEXT = "text or null"
    FLAG = "true or false"
    NUMBER = "number"
    WHOLE = "whole number"
    SYMBOLS = "list of symbols"
    LIST = "list"


def is_visible(text: str) -> bool:
    """Return whether the text holds something that can be seen, and no null byte."""
    return bool(text.strip()) and "\0" not in text


def normalise_symbol(symbol: str) -> str:
    """Return Binance's id of a symbol that may be written as ccxt does, or in small letters.

    >>> normalise_symbol("BTC/USDT:USDT")
    'BTCUSDT'
    >>> normalise_symbol("BTC/USDT:USDT-260925")
    'BTCUSDT_260925'
    >>> normalise_symbol("btcusdt")
    'BTCUSDT'
    """
    symbol = symbol.strip()
    if symbol.isascii():  # Binance has no small letters in a symbol.
        symbol = symbol.upper()
    match = _CCXT_SYMBOL.fullmatch(symbol)
    if match is None:
        return symbol
    base, quote, date = match.groups()
    return f"{base}{quote}_{date}" if date else f"{base}{quote}"


def _must(hold: Callable[[Any], object]) -> AfterValidator:
    """Return a validator without words: what is said of a wrong value is said by `sources`."""

    def check(value: Any) -> Any:  # noqa: ANN401 - of every type
        if not hold(value):
            raise ValueError
        return value

    return AfterValidator(check)


def _are_targets(items: list[dict[str, Any]]) -> bool:
    if not items:  # Nothing of targets is loaded where nobody is told.
        return True
    from liqctl.settings.targets import item_problems

    return not any(item_problems(items))


def _describe_targets(schema: dict[str, Any]) -> None:
    from liqctl.settings.targets import items_schema

    schema |= items_schema()


# A URL is kept in lower case, for the lock must know one account by one name.
_PLAIN_URL: Final = AfterValidator(lambda url: url.rstrip("/").lower())
_Text = Annotated[str, _must(is_visible)]
_Symbol = Annotated[str, _must(str.strip), AfterValidator(normalise_symbol)]
Text = Annotated[_Text, Kind.TEXT]
OptionalText = Annotated[_Text | None, Kind.OPTIONAL_TEXT]
Url = Annotated[Annotated[_Text, _PLAIN_URL] | None, Kind.OPTIONAL_TEXT]
Flag = Annotated[bool, Kind.FLAG]
Number = Annotated[float, Field(allow_inf_nan=False), Kind.NUMBER]
Whole = Annotated[int, Kind.WHOLE]
Symbols = Annotated[list[_Symbol], Kind.SYMBOLS]
Targets = Annotated[list[dict[str, Any]], _must(_are_targets), Kind.LIST]


class Section(BaseModel):
    """Settings that stand together; types are strict, unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Exchange(Section):
    """How to reach the venue."""

    product: Annotated[Literal["usdm"], Kind.TEXT] = Field(
        default="usdm", description="USDS-M futures, the only product"
    )
    base_url: Url = Field(
        default=None,
        description="another host for every request: a gateway, a proxy, a local venue; https, "
        "except for loopback; in production name it in LIQCTL_ALLOW_HOST, too",
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
    symbols: Symbols = Field(
        default=[],
        description="symbols in scope, such as [BTCUSDT]; empty is the whole account",
    )
    settle_seconds: Number = _policy(
        "settle_seconds",
        "seconds that flat is watched before it is called proven; 0 trusts one reading",
    )

    @model_validator(mode="after")
    def _flags_agree(self) -> "Liquidation":
        if problems(self.model_dump()):
            raise ValueError
        return self


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
    liquidation: Liquidation = Liquidation()
    audit: Audit = Audit()
    metrics: Metrics = Metrics()
    notifications: Targets = Field(
        default=[],
        description="who is notified after the end of a run; see the README",
        json_schema_extra=_describe_targets,
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
    def shown_default(self) -> str:
        """The default as YAML writes it."""
        if self.default is None or isinstance(self.default, bool | list):
            return json.dumps(self.default)
        return str(self.default)

    @property
    def shown_range(self) -> str:
        """What is allowed, in Markdown."""
        if self.allowed:
            return ", ".join(f"`{each}`" for each in self.allowed)
        if self.low is not None:
            unit = "whole number, " if self.kind is Kind.WHOLE else ""
            return f"{unit}{self.low} to {self.high}"
        return self.kind.value

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"LIQCTL_{self.key.replace('.', '__').upper()}"


def _rows(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _rows(field.annotation, f"{name}.")
            continue
        yield Setting(
            key=f"{prefix}{name}",
            kind=next(each for each in field.metadata if isinstance(each, Kind)),
            default=field.default,
            help=field.description or "",
            low=next((each.ge for each in field.metadata if hasattr(each, "ge")), None),
            high=next((each.le for each in field.metadata if hasattr(each, "le")), None),
            allowed=tuple(_choices(field.annotation)),
        )


def _choices(annotation: object) -> Iterator[str]:
    """Yield what a value must be one of: an enum's values, or a literal's."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        yield from annotation
    for part in get_args(annotation):
        if isinstance(part, str) and not isinstance(part, StrEnum):
            yield part
        else:
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
        f"| `{setting.key}` | `{setting.shown_default}` | {setting.shown_range} | {setting.help} |"
        for setting in TABLE
    ]
    return "\n".join(lines) + "\n"
