"""The one table of options: what each is called, takes, means and sets.

A field of `Options` is an option, its type and its default; an instance is what a command line
asked for. Typer's signatures, the quick reading of plain `liquidate` lines, what a shell offers at
Tab and the flags' names in errors are made from it. Typer is imported by the commands that it
reads, not here.
"""

import functools
import inspect
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from liqctl.kernel.states import Environment

Result = TypeVar("Result")


class Document(StrEnum):
    """What has a published schema."""

    SETTINGS = "settings"
    RESULT = "result"
    STATUS = "status"
    VALIDATION = "validation"
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How one option is written and read; an argument has no names.

    `sets` is the setting that it wins over, `low` and `high` are allowed values themselves, and
    `offers` names what `liqctl.cli.completion` knows of its values.
    """

    names: tuple[str, ...]
    help: str
    metavar: str | None = None
    variable: str | None = None
    sets: str | None = None
    low: float | None = None
    high: float | None = None
    offers: str | None = None
    required: bool = False


def _option(*names: str, default: Any = None, **said: Any) -> Any:  # noqa: ANN401 - as dataclasses.field
    metadata = {"option": Option(names=names, **said)}
    if default is list:
        return field(default_factory=list, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command line asked for; every command takes some of these."""

    run: str = _option(default="", help="The run.", metavar="ID", offers="runs", required=True)
    any_run: str | None = _option(
        help="The run. Default: the last runs.", metavar="ID", offers="runs"
    )
    document: Document = _option(
        default=Document.SETTINGS, help="Which document.", metavar="|".join(Document), required=True
    )
    words: list[str] = _option(
        default=list,
        help="What to explain: -4131, PARTIAL, ORDER_UNKNOWN, exit 8, http 418.",
        metavar="WORD",
        offers="words",
        required=True,
    )
    environment: Environment | None = _option(
        "--env",
        help="Whose account and settings.",
        metavar=f"[{'|'.join(Environment)}]",
        variable="LIQCTL_ENV",
    )
    config_file: Path | None = _option(
        "--config",
        help="Settings file. Default: the first one found for the environment.",
        metavar="FILE",
        variable="LIQCTL_CONFIG",
    )
    folder: Path | None = _option(
        "--dir",
        help="Folder to write to. Default: the first where liqctl looks for settings.",
        metavar="DIR",
    )
    systemd: bool = _option("--systemd", default=False, help="Also write systemd units.")
    cron: bool = _option("--cron", default=False, help="Also write a crontab.")
    yes: bool = _option("--yes", "-y", default=False, help="Do not ask for confirmation.")
    dry_run: bool = _option(
        "--dry-run", default=False, help="Read and show the plan; send nothing."
    )
    symbols: list[str] = _option(
        "--symbol",
        default=list,
        help="Only this symbol, e.g. BTCUSDT; repeatable.",
        metavar="SYMBOL",
        sets="liquidation.symbols",
    )
    orders_only: bool = _option(
        "--orders-only", default=False, help="Cancel orders, leave positions and their stops."
    )
    positions_only: bool = _option(
        "--positions-only", default=False, help="Close positions, leave orders."
    )
    timeout: float | None = _option(
        "--timeout",
        help="Hard deadline in seconds, 1 to 30. Default: timeout_seconds.",
        metavar="S",
        sets="liquidation.timeout_seconds",
    )
    max_retries: int | None = _option(
        "--max-retries",
        help="Repeats of one refused order or cancel, 0 to 10. Default: max_retries.",
        metavar="N",
        sets="liquidation.max_retries",
    )
    retry_delay: float | None = _option(
        "--retry-delay",
        help="Seconds before the first repeat, doubling, 0.1 to 5. Default: retry_delay_seconds.",
        metavar="S",
        sets="liquidation.retry_delay_seconds",
    )
    settle: float | None = _option(
        "--settle",
        help="Seconds to watch the flat account before it counts as proven, 0 to 30.",
        metavar="S",
        sets="liquidation.settle_seconds",
    )
    reason: str = _option(
        "--reason", default="", help="Why; recorded in the audit trail.", metavar="TEXT"
    )
    correlation_id: str = _option(
        "--correlation-id",
        default="",
        help="Name of this run: 1 to 64 letters, digits, _ or -. Default: generated.",
        metavar="ID",
    )
    only_run: str | None = _option(
        "--correlation-id", help="Only this run.", metavar="ID", offers="runs"
    )
    watch: bool = _option(
        "--watch",
        default=False,
        help="Repeat until Ctrl-C; less often if other programs use up the request limits.",
    )
    every: float = _option(
        "--every",
        # Twelve readings of 90 weight a minute: under half of the venue's 2400.
        default=5.0,
        help="Seconds between two readings of --watch, if the limits allow it.",
        metavar="S",
        low=1.0,
        high=3600.0,
    )
    exit_code: bool = _option(
        "--exit-code", default=False, help="Exit 3 if anything is open, 0 if flat."
    )
    prometheus: Path | None = _option(
        "--prometheus", help="Also write metrics for Prometheus to this file.", metavar="FILE"
    )
    strict: bool = _option("--strict", default=False, help="Treat warnings as errors.")
    online: bool = _option(
        "--online",
        default=False,
        help="Also ask the venue: key, permissions, clock, open positions.",
    )
    against: Path | None = _option(
        "--against", help="Also list the changes from this settings file.", metavar="FILE"
    )
    scenarios: list[str] = _option(
        "--scenario",
        default=list,
        help="Only this one of `liqctl simulator list`, or a YAML file; repeatable.",
        metavar="NAME",
        offers="scenarios",
    )
    real: bool = _option(
        "--real",
        default=False,
        help="Use real time, HTTP on loopback and real files; takes minutes.",
    )
    repeat: int = _option(
        "--repeat",
        default=1,
        help="Runs of each scenario, each with another seed.",
        metavar="N",
        low=1,
        high=1000,
    )
    latency: int = _option(
        "--latency",
        # A round trip from Europe to the venue and back through its gateway takes about so long.
        default=60,
        help="Round trip to simulate, in milliseconds.",
        metavar="MS",
        low=0,
        high=2000,
    )
    lines: int = _option(
        "--lines",
        "-n",
        default=10,
        help="Number of last events; 0 shows all.",
        metavar="N",
        low=0,
    )
    follow: bool = _option("--follow", "-f", default=False, help="Wait for new events.")
    event_types: list[str] = _option(
        "--event-type",
        default=list,
        help="Only this event, e.g. ORDER_REJECTED; repeatable.",
        metavar="TYPE",
        offers="event types",
    )
    failed: bool = _option("--failed", default=False, help="Only failures.")
    since: str | None = _option(
        "--since",
        help="Only newer events: 10m, 2h or 2026-01-02T10:30:00Z.",
        metavar="WHEN",
    )
    log: Path | None = _option(
        "--log",
        help="Trail file. Default: in log_dir, else ./logs, else the state folder.",
        metavar="FILE",
    )
    logs: list[Path] = _option(
        "--log",
        default=list,
        help="Trail file; repeatable, for rotated ones. Default: in log_dir.",
        metavar="FILE",
    )
    head: str | None = _option(
        "--head",
        help="A result's audit_head: also detects a cut or rewritten file.",
        metavar="HASH",
    )
    html: bool = _option("--html", default=False, help="Write one HTML page with a timeline.")
    offline: bool = _option(
        "--offline", default=False, help="Do not ask the venue for profit and fees."
    )
    port: int = _option(
        "--port",
        default=0,
        help="Port on 127.0.0.1; 0 takes a free one.",
        metavar="PORT",
        low=0,
        high=65535,
    )
    scenario: str = _option(
        "--scenario",
        default="default",
        help="A name from `liqctl simulator list`, or a YAML file.",
        metavar="NAME",
        offers="scenarios",
    )
    latency_ms: int = _option(
        "--latency-ms",
        default=0,
        help="Delay of every answer, in milliseconds.",
        metavar="MS",
        low=0,
        high=60_000,
    )
    as_json: bool = _option("--json", default=False, help="Print one JSON document.")
    no_color: bool = _option("--no-color", default=False, help="No colours.")
    verbose: bool = _option(
        "--verbose", "-v", default=False, help="Print each event to stderr as it happens."
    )

    @property
    def colour(self) -> bool:
        """Whether colours are wanted, where there is a terminal."""
        return not self.no_color and not os.environ.get("NO_COLOR")

    @property
    def flags(self) -> Mapping[str, object]:
        """The settings that the command line gave, by dotted key."""
        given = {
            option.sets: getattr(self, name)
            for name, option in OPTIONS.items()
            if option.sets and getattr(self, name) not in (None, [])
        }
        if self.orders_only != self.positions_only:
            given["liquidation.close_positions"] = self.positions_only
            given["liquidation.cancel_orders"] = self.orders_only
        return given

    def repeated(self) -> str:
        """Return the options that another run of the same scope needs, ready to be pasted.

        >>> Options(symbols=["BTCUSDT"], orders_only=True, timeout=10.0).repeated()
        '--symbol BTCUSDT --orders-only --timeout 10'
        """
        words = ["--config", str(self.config_file)] if self.config_file else []
        for symbol in self.symbols:
            words += ["--symbol", symbol]
        words += ["--orders-only"] * self.orders_only + ["--positions-only"] * self.positions_only
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if option.sets and isinstance(value, int | float):
                words += [option.names[0], str(value).removesuffix(".0")]
        return shlex.join(words)


FIELDS: Final[Mapping[str, Field[Any]]] = {each.name: each for each in fields(Options)}
OPTIONS: Final[Mapping[str, Option]] = {
    name: each.metadata["option"] for name, each in FIELDS.items()
}
FLAG_NAMES: Final = {
    **{option.sets: option.names[0] for option in OPTIONS.values() if option.sets},
    **dict.fromkeys(
        ("liquidation.close_positions", "liquidation.cancel_orders"),
        "--orders-only or --positions-only",
    ),
}
"""What errors call the flag that gave a setting."""

LIQUIDATE: Final = (
    *("environment", "config_file", "yes", "dry_run", "symbols", "orders_only", "positions_only"),
    *("timeout", "max_retries", "retry_delay", "settle", "reason", "correlation_id"),
    *("as_json", "no_color", "verbose"),
)
"""The options of the emergency: `liqctl.cli.quick` reads them too."""


def takes(
    *names: str, **helps: str
) -> Callable[[Callable[[Options], Result]], Callable[..., Result]]:
    """Make a function of `Options` a command with these options, as Typer wants it.

    Args:
        names: fields of `Options`, in the order that the help shows.
        helps: what some of them mean for this command, where it is not what the table says.
    """

    def make(function: Callable[[Options], Result]) -> Callable[..., Result]:
        @functools.wraps(function)
        def command(**given: Any) -> Result:  # noqa: ANN401 - Typer made them what the table says
            return function(Options(**{name: v for name, v in given.items() if v is not None}))

        signature = [_parameter(name, helps.get(name)) for name in names]
        command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in signature}
        return command

    return make


def _parameter(name: str, meaning: str | None) -> inspect.Parameter:
    import typer

    described, option = FIELDS[name], OPTIONS[name]
    info = typer.Option if option.names else typer.Argument
    said: dict[str, Any] = {
        "help": meaning or option.help,
        "metavar": option.metavar,
        "envvar": option.variable,
        "min": option.low,
        "max": option.high,
    }
    if option.offers:
        from liqctl.cli import completion

        said["autocompletion"] = completion.OFFERS[option.offers]
    default = described.default
    if described.default_factory is not MISSING:
        default = described.default_factory()
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.required else default,
        annotation=Annotated[described.type, info(*option.names, **said)],
    )
