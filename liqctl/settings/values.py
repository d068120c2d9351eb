"""What every command knows once the settings were read and found valid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from liqctl.kernel import pacing
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.states import Environment, Margin, Product
from liqctl.run import state_folders

BUILT_IN: Final = "built-in defaults"
"""What screens name where no settings file is in force."""


class SourceKind(StrEnum):
    """Where a value came from, strongest first."""

    FLAG = "flag"
    VARIABLE = "variable"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where one value came from; `where` names the flag, variable or file."""

    kind: SourceKind
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSettings:
    """How to reach the venue. `base_url` None is the environment's own host.

    `products` and `margin` are in the words of the file; the policy has what they mean.
    """

    products: tuple[str, ...] = tuple(each.setting for each in Product)
    margin: str = "auto"
    base_url: str | None = None
    stream_url: str | None = None
    recv_window_ms: int = 5000
    proxy: str | None = None

    @property
    def stream_base_url(self) -> str | None:
        """Where events come from: `stream_url`, else `base_url`'s own; None is the environment's.

        >>> ExchangeSettings(base_url="http://127.0.0.1:8080").stream_base_url
        'ws://127.0.0.1:8080'
        """
        if self.stream_url is not None or self.base_url is None:
            return self.stream_url
        return f"ws{self.base_url.removeprefix('http')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """What one of several accounts is, in the words of the file; nothing is left out any more."""

    symbols: tuple[str, ...]
    products: tuple[str, ...]
    margin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSettings:
    """What an armed process watches, and what happens after it tripped.

    `heartbeat_file` and `countdown_seconds` None are not used.
    """

    hold_seconds: float = 60.0
    heartbeat_file: Path | None = None
    heartbeat_seconds: float = 30.0
    countdown_seconds: float | None = None
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """Where the trail and the log are written; by default beside the lock, in the state folder."""

    log_dir: Path = field(default_factory=lambda: state_folders()[0] / "logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """Where figures for Prometheus are written after a run; None writes none."""

    textfile: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The configuration of one environment; `sources` is keyed by dotted key.

    `notifications` are the items as they stand in the file, checked; `liqctl.settings.targets`
    reads them where somebody is told. `accounts` are the configured ones; `account` is the one that
    these settings are for, None where it has no name.
    """

    environment: Environment
    exchange: ExchangeSettings = field(default_factory=ExchangeSettings)
    liquidation: LiquidationConfig = field(default_factory=LiquidationConfig)
    arm: ArmSettings = field(default_factory=ArmSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    notifications: tuple[Mapping[str, Any], ...] = ()
    sources: Mapping[str, Source] = field(default_factory=dict)
    file: Path | None = None
    accounts: Mapping[str, AccountSettings] = field(default_factory=dict)
    account: str | None = None

    def of(self, name: str) -> "Settings":
        """Return the settings of one of the accounts."""
        own = self.accounts[name]
        return replace(
            self,
            account=name,
            exchange=replace(self.exchange, products=own.products, margin=own.margin),
            liquidation=replace(self.liquidation, **_scope(own.symbols, own.products, own.margin)),
        )

    @property
    def origin(self) -> str:
        """Where the settings come from, as screens name it."""
        return str(self.file) if self.file else BUILT_IN

    @property
    def is_embedded(self) -> bool:
        """Return whether the venue is the one inside this process."""
        return self.environment is Environment.SIMULATOR and self.exchange.base_url is None


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Return checked settings; values of each section by name, paths may be texts.

    Raises:
        ConfigurationError: a number of the liquidation is none of the allowed ones.
    """
    exchange = values["exchange"] | {"products": tuple(values["exchange"]["products"])}
    symbols, log_dir = values["liquidation"]["symbols"], values["audit"]["log_dir"]
    scope = _scope(symbols, exchange["products"], exchange["margin"])
    heartbeat_file = values["arm"]["heartbeat_file"]
    guards = tuple(
        Guard(
            rule=Rule(item["rule"]),
            # By its shortest text: 0.1 means a tenth, not the float that is nearest to it. Kept
            # guards have their limits as texts.
            limit=Decimal(str(item["limit"])),
            symbols=tuple(item.get("symbols", ())),
            readings=item.get("readings", pacing.GUARD_READINGS),
        )
        for item in values["arm"]["guards"]
    )
    textfile, file = values["metrics"]["textfile"], values["file"]
    return Settings(
        environment=Environment(values["environment"]),
        exchange=ExchangeSettings(**exchange),
        liquidation=LiquidationConfig(**values["liquidation"] | scope),
        arm=ArmSettings(
            **values["arm"]
            | {
                "heartbeat_file": Path(heartbeat_file) if heartbeat_file else None,
                "guards": guards,
            }
        ),
        audit=AuditSettings(log_dir=Path(log_dir)) if log_dir else AuditSettings(),
        metrics=MetricsSettings(textfile=Path(textfile) if textfile else None),
        notifications=tuple(values["notifications"]),
        sources=values["sources"],
        file=Path(file) if file else None,
        accounts={
            name: AccountSettings(
                symbols=tuple(own["symbols"]),
                products=tuple(own["products"]),
                margin=own["margin"],
            )
            for name, own in values["accounts"].items()
        },
    )


def _scope(symbols: Sequence[str], products: Sequence[str], margin: str) -> dict[str, Any]:
    """Return what the words of the file mean for a policy."""
    return {
        "symbols": tuple(symbols),
        "products": tuple(Product(name.upper()) for name in products),
        "margin": None if margin == "auto" else Margin(margin.upper()),
    }
