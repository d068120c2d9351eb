"""The one table of options: what each is called, takes, means and sets.

A field of `Options` is an option, its type and its default; an instance is what a command line
asked for. Typer's signatures, what a shell offers at Tab and the flags' names in errors are made
from the table. Typer, whose import is a sixth of the start, is not needed here: `read_plain` reads
a `liquidate` line of words that need no judgement. Help, an abbreviation, a number in another
spelling, a typing error: it returns None, and Typer reads the whole line.
"""

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_origin

from liqctl.kernel.errors import UsageError, hide_secrets
from liqctl.kernel.states import Environment, Product

if TYPE_CHECKING:
    from liqctl.settings.values import Settings

_NAME_MAX: Final = 40

COMPLETION: Final = "_LIQCTL_COMPLETE"
"""Set by a shell that asks Typer how a word goes on."""


class Document(StrEnum):
    """What has a published schema."""

    SETTINGS = "settings"
    RESULT = "result"
    RESULTS = "results"
    STATUS = "status"
    STATUSES = "statuses"
    VALIDATION = "validation"
    EVENT = "event"


class Option(NamedTuple):
    """How one option is written and read; an argument has no names.

    `sets` is the setting that it wins over, `low` and `high` are allowed values themselves, and
    `offers` names what a shell is offered for its value.
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


def _option(usage: str, meaning: str, *, default: Any = None, **said: Any) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Describe an option by its names and what is typed for its value, as help shows them."""
    names = tuple(word for word in usage.split() if word.startswith("-"))
    metavar = " ".join(word for word in usage.split() if word not in names) or None
    option = Option(names=names, metavar=metavar, help=meaning, **said)
    if default is list:
        return field(default_factory=list, metadata={"option": option})
    return field(default=default, metadata={"option": option})


def _flag(names: str, meaning: str) -> Any:  # noqa: ANN401 - as dataclasses.field
    return _option(names, meaning, default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command line asked for; every command takes some of these."""

    run: str = _option("ID", "The run.", default="", offers="runs", required=True)
    any_run: str | None = _option("ID", "The run. Default: the last runs.", offers="runs")
    document: Document = _option(
        "|".join(Document), "Which document.", default=Document.SETTINGS, required=True
    )
    words: list[str] = _option(
        "WORD",
        "What to explain: -4131, PARTIAL, ORDER_UNKNOWN, exit 8, http 418.",
        default=list,
        offers="words",
        required=True,
    )
    environment: Environment | None = _option(
        f"--env [{'|'.join(Environment)}]", "Whose account and settings.", variable="LIQCTL_ENV"
    )
    config_file: Path | None = _option(
        "--config FILE",
        "Settings file. Default: the first one found for the environment.",
        variable="LIQCTL_CONFIG",
    )
    folder: Path | None = _option(
        "--dir DIR", "Folder to write to. Default: the first where liqctl looks for settings."
    )
    systemd: bool = _flag("--systemd", "Also write systemd units.")
    cron: bool = _flag("--cron", "Also write a crontab.")
    yes: bool = _flag("--yes -y", "Do not ask for confirmation.")
    dry_run: bool = _flag("--dry-run", "Read and show the plan; send nothing.")
    symbols: list[str] = _option(
        "--symbol SYMBOL",
        "Only this symbol, e.g. BTCUSDT; repeatable.",
        default=list,
        sets="liquidation.symbols",
    )
    products: list[Product] = _option(
        "--product usdm|coinm",
        "Only these futures: USDS-M or COIN-M; repeatable.",
        default=list,
        sets="exchange.products",
        offers="products",
    )
    accounts: list[str] = _option(
        "--account NAME",
        "Only this one of the settings' accounts; repeatable.",
        default=list,
        offers="accounts",
    )
    all_accounts: bool = _flag("--all-accounts", "Every account of the settings, side by side.")
    orders_only: bool = _flag("--orders-only", "Cancel orders, leave positions and their stops.")
    positions_only: bool = _flag("--positions-only", "Close positions, leave orders.")
    timeout: float | None = _option(
        "--timeout S",
        "Hard deadline in seconds, 1 to 30. Default: timeout_seconds.",
        sets="liquidation.timeout_seconds",
    )
    max_retries: int | None = _option(
        "--max-retries N",
        "Repeats of one refused order or cancel, 0 to 10. Default: max_retries.",
        sets="liquidation.max_retries",
    )
    retry_delay: float | None = _option(
        "--retry-delay S",
        "Seconds before the first repeat, doubling, 0.1 to 5. Default: retry_delay_seconds.",
        sets="liquidation.retry_delay_seconds",
    )
    settle: float | None = _option(
        "--settle S",
        "Seconds to watch the flat account before it counts as proven, 0 to 30.",
        sets="liquidation.settle_seconds",
    )
    hold: float = _option(
        "--hold S",
        "Seconds to keep the account flat after the proof: what re-appears is closed again.",
        default=0.0,
        low=0.0,
        high=86_400.0,
    )
    no_handover: bool = _flag(
        "--no-handover", "Do the work in this process, also where an armed one watches."
    )
    observe: bool = _flag("--observe", "Record what would trip, and send nothing.")
    rearm: bool = _flag("--rearm", "Arm again after a trip: removes the latch.")
    reason: str = _option("--reason TEXT", "Why; recorded in the audit trail.", default="")
    correlation_id: str = _option(
        "--correlation-id ID",
        "Name of this run: 1 to 64 letters, digits, _ or -. Default: generated.",
        default="",
    )
    only_run: str | None = _option("--correlation-id ID", "Only this run.", offers="runs")
    watch: bool = _flag(
        "--watch", "Repeat until Ctrl-C; less often if other programs use up the request limits."
    )
    # Twelve readings of 90 weight a minute: under half of the venue's 2400.
    every: float = _option(
        "--every S",
        "Seconds between two readings of --watch, if the limits allow it.",
        default=5.0,
        low=1.0,
        high=3600.0,
    )
    exit_code: bool = _flag("--exit-code", "Exit 3 if anything is open, 0 if flat.")
    prometheus: Path | None = _option(
        "--prometheus FILE", "Also write metrics for Prometheus to this file."
    )
    strict: bool = _flag("--strict", "Treat warnings as errors.")
    online: bool = _flag("--online", "Also ask the venue: key, permissions, clock, open positions.")
    against: Path | None = _option(
        "--against FILE", "Also list the changes from this settings file."
    )
    scenarios: list[str] = _option(
        "--scenario NAME",
        "Only this one of `liqctl simulator list`, or a YAML file; repeatable.",
        default=list,
        offers="scenarios",
    )
    real: bool = _flag("--real", "Use real time, HTTP on loopback and real files; takes minutes.")
    repeat: int = _option(
        "--repeat N", "Runs of each scenario, each with another seed.", default=1, low=1, high=1000
    )
    # A round trip from Europe to the venue and back through its gateway takes about so long.
    latency: int = _option(
        "--latency MS", "Round trip to simulate, in milliseconds.", default=60, low=0, high=2000
    )
    lines: int = _option("--lines -n N", "Number of last events; 0 shows all.", default=10, low=0)
    follow: bool = _flag("--follow -f", "Wait for new events.")
    event_types: list[str] = _option(
        "--event-type TYPE",
        "Only this event, e.g. ORDER_REJECTED; repeatable.",
        default=list,
        offers="event types",
    )
    failed: bool = _flag("--failed", "Only failures.")
    since: str | None = _option(
        "--since WHEN", "Only newer events: 10m, 2h or 2026-01-02T10:30:00Z."
    )
    log: Path | None = _option(
        "--log FILE", "Trail file. Default: in log_dir, else ./logs, else the state folder."
    )
    logs: list[Path] = _option(
        "--log FILE", "Trail file; repeatable, for rotated ones. Default: in log_dir.", default=list
    )
    head: str | None = _option(
        "--head HASH", "A result's audit_head: also detects a cut or rewritten file."
    )
    html: bool = _flag("--html", "Write one HTML page with a timeline.")
    offline: bool = _flag("--offline", "Do not ask the venue for profit and fees.")
    port: int = _option(
        "--port PORT", "Port on 127.0.0.1; 0 takes a free one.", default=0, low=0, high=65535
    )
    scenario: str = _option(
        "--scenario NAME",
        "A name from `liqctl simulator list`, or a YAML file.",
        default="default",
        offers="scenarios",
    )
    latency_ms: int = _option(
        "--latency-ms MS", "Delay of every answer, in milliseconds.", default=0, low=0, high=60_000
    )
    as_json: bool = _flag("--json", "Print one JSON document.")
    no_color: bool = _flag("--no-color", "No colours.")
    verbose: bool = _flag("--verbose -v", "Print each event to stderr as it happens.")

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
        if self.products:
            given["exchange.products"] = [each.setting for each in self.products]
        if self.orders_only != self.positions_only:
            given["liquidation.close_positions"] = self.positions_only
            given["liquidation.cancel_orders"] = self.orders_only
        return given

    def settings(self, *, may_be_kept: bool = False) -> "Settings":
        """Return the settings; kept ones only where they may be.

        Raises:
            UsageError: no environment was chosen.
            ConfigurationError: every problem found.
        """
        from liqctl.settings.kept import load_settings

        return load_settings(
            environment=self.environment,
            config_file=self.config_file,
            flags=self.flags,
            flag_names=FLAG_NAMES,
            environ=os.environ,
            may_be_kept=may_be_kept,
        )

    def chosen(self, settings: "Settings") -> "tuple[Settings, ...]":
        """Return the settings of each account that was asked for, in the order of the file.

        Raises:
            UsageError: which accounts was not said, or there is none of that name.
        """
        names = tuple(settings.accounts)
        if not (names or self.accounts or self.all_accounts):
            return (settings,)
        from liqctl.kernel.answers import printable
        from liqctl.settings.targets import nearest

        known = f"the settings name {', '.join(names)}" if names else "the settings name no account"
        if self.accounts and self.all_accounts:
            why = "--account and --all-accounts exclude one another; give one"
        elif (self.accounts or self.all_accounts) and not names:
            why = f"{known} ({settings.origin}); leave the option out, or add `accounts:`"
        elif unknown := [name for name in self.accounts if name not in names]:
            shown = printable(hide_secrets(unknown[0]), _NAME_MAX)
            why = f"no account is called {shown}{nearest(unknown[0], names)}; {known}"
        elif len(names) > 1 and not (self.accounts or self.all_accounts):
            why = f"which account? {known}; give --account NAME, again for more, or --all-accounts"
        else:
            wanted = self.accounts or names
            return tuple(settings.of(name) for name in names if name in wanted)
        raise UsageError(f"{why}. Nothing was sent")

    def repeated(self) -> str:
        """Return the options that another run of the same scope needs, ready to be pasted.

        >>> Options(symbols=["BTCUSDT"], orders_only=True, timeout=10.0).repeated()
        '--symbol BTCUSDT --orders-only --timeout 10'
        """
        words = ["--config", str(self.config_file)] if self.config_file else []
        for symbol in self.symbols:
            words += ["--symbol", symbol]
        for product in self.products:
            words += ["--product", product.setting]
        for account in self.accounts:
            words += ["--account", account]
        words += ["--all-accounts"] * self.all_accounts
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
    *("environment", "config_file", "yes", "dry_run", "symbols", "products"),
    *("accounts", "all_accounts", "orders_only", "positions_only"),
    *("timeout", "max_retries", "retry_delay", "settle", "hold", "no_handover"),
    *("reason", "correlation_id"),
    *("as_json", "no_color", "verbose"),
)
"""The options of the emergency: those that `read_plain` knows."""

_PLAIN_NAMES: Final = {option: name for name in LIQUIDATE for option in OPTIONS[name].names}


class Command(NamedTuple):
    """A function of `Options`, and which of them it takes, in the order that help shows.

    `helps` tells what some options mean for this command, where it is not what the table says.
    """

    function: Callable[[Options], int | None]
    names: tuple[str, ...]
    helps: Mapping[str, str]
    short_help: str | None


def takes(
    *names: str, short_help: str | None = None, **helps: str
) -> Callable[[Callable[[Options], int | None]], Command]:
    """Make a function of `Options` a command with these options; see `Command`."""
    return lambda function: Command(function, names, helps, short_help)


def read_plain(words: Sequence[str], environ: Mapping[str, str]) -> Options | None:
    """Return what the words after `liquidate` ask for, None where Typer must judge."""
    values: dict[str, Any] = {}
    rest = list(reversed(words))
    try:
        while rest:
            option, joined, value = rest.pop().partition("=")
            name = _PLAIN_NAMES[option]
            if FIELDS[name].type is bool:
                if joined:
                    return None
                values[name] = True
                continue
            text = value if joined else rest.pop()
            if not text or (text.startswith("-") and not joined):
                return None
            made = _plain_value(name, text)
            is_list = get_origin(FIELDS[name].type) is list
            values[name] = [*values.get(name, ()), made] if is_list else made
        for name in LIQUIDATE:
            variable = OPTIONS[name].variable
            if variable and name not in values and environ.get(variable):
                values[name] = _plain_value(name, environ[variable])
    except (LookupError, ValueError, OSError):
        return None
    return Options(**values)


def _plain_value(name: str, text: str) -> object:
    """Return the value of a plain word; ValueError means that Typer must judge."""
    kind = FIELDS[name].type
    if kind in {str, list[str]}:
        return text
    if kind == list[Product]:
        return Product(text.upper())
    if kind == Environment | None:
        return Environment(text)
    if kind == Path | None and Path(text).is_file() and os.access(text, os.R_OK):
        return Path(text)
    if kind == int | None and re.fullmatch(r"[0-9]{1,15}", text):
        return int(text)
    if kind in {float, float | None} and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text):
        number, option = float(text), OPTIONS[name]
        if option.low is None or option.high is None or option.low <= number <= option.high:
            return number
    raise ValueError(text)
