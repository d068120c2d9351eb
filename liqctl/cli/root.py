"""The Typer application: which commands there are, each loaded only when it is invoked.

`--help` is answered from the table below, so that it imports no command's module. Typer completes
commands, options and choices by itself; the table of options names what is offered for the rest.

What a reader would get wrong of what a shell is offered at Tab:
- zsh evaluates what is printed: only plain words may get out, whatever stands in the trail.
- A shell asks at every Tab: no key is read, no venue started, nothing said on stderr.
- bash takes `--env=pro` apart at `=`; the three words are put together again before Typer looks.
"""

import importlib
import inspect
import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import MISSING, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

import liqctl
from liqctl.cli.options import COMPLETION, FIELDS, OPTIONS, Command, Options
from liqctl.cli.output import out
from liqctl.kernel.errors import ConfigurationError, UsageError, hide_secrets
from liqctl.kernel.events import TRAIL_NAME, AuditEventType
from liqctl.kernel.states import Environment, ExitCode, Product

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from liqctl.settings.values import Settings

_LINES_MAX: Final = 2000
"""Last lines of the trail in which runs are looked for at Tab: some hundred runs, 5 ms."""

_RUNS_MAX: Final = 50
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_EQUALS: Final = "="


@dataclass(frozen=True, slots=True)
class Entry:
    """What the list of commands says of one, and its module and functions in `liqctl.cli`.

    Without a home both are called as the command. Several functions are a group; one called
    `list_scenarios` makes a subcommand `list`.
    """

    summary: str
    home: str = ""


COMMANDS: Final = {
    "liquidate": Entry("Cancel every order, close every position, prove the account flat."),
    "arm": Entry("Watch the account; close it in milliseconds on a trigger."),
    "status": Entry("Show what is open now and how the last liquidation ended."),
    "validate": Entry("Check configuration, key and venue before the emergency."),
    "drill": Entry("Simulate every failure with your settings: enough time?"),
    "audit": Entry(
        "Read the audit trail; prove it complete and unaltered.", "audit:tail show verify"
    ),
    "notify": Entry("Send a test message to every notification target.", "validate:notify"),
    "report": Entry("Write the incident report of a run, as Markdown or a page."),
    "bundle": Entry("Collect what support needs, without secrets."),
    "explain": Entry("Explain a venue code, state, event or exit code."),
    "init": Entry("Write a commented settings file, systemd units, a crontab.", "validate:init"),
    "schema": Entry(
        "Print the JSON Schema of a document, event or settings file.", "validate:schema"
    ),
    "simulator": Entry(
        "Keep a simulated Binance Futures venue running for other shells.",
        "drill:serve list_scenarios",
    ),
}

_MAY_SEND: Final = {"liqctl", "liqctl liquidate", "liqctl arm"}
"""Where a mistaken line may have been meant to close something."""

_HELP: Final = """A kill switch for Binance USDS-M futures: cancels every open order, closes every
position, and reports flat only if a fresh reading proves it.

There is no default environment: name it with --env or LIQCTL_ENV."""

_EXAMPLES: Final = """\b
Examples:
  liqctl liquidate --env simulator             try it: no key, no network
  liqctl validate --env production --online    check key and venue beforehand
  liqctl drill --env production                is the deadline long enough?
  liqctl liquidate --env production --dry-run  show what would be sent
  liqctl liquidate --env production            the emergency; asks once
  liqctl status --env production               what is open now
  liqctl explain -2015 exit 8                  what a code on the screen means

\b
Exit codes: 0 flat or nothing to do, 1 failed, 2 usage, 3 partly done,
4 configuration, 5 already running, 6 not confirmed, 7 key refused,
8 flat but audit incomplete, 130/143 interrupted. Anything else: failed."""


class LazyGroup(TyperGroup):
    """A group whose commands are imported when invoked."""

    _lists_only = False  # while a shell asks which there are

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - Typer decides what comes
        super().__init__(**attributes)
        # The names only: suggestions for typing errors come from them.
        self.commands = dict.fromkeys(COMMANDS, TyperCommand(None))

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer's own
        """Return the names, in the order of the emergency."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Import a command and return it; while a shell lists them, only what is said of it."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if self._lists_only:
            return TyperCommand(cmd_name, short_help=entry.summary)
        return load(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the list of commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401
        """Return the commands, or options, that go on from what is typed; imports none of them."""
        self._lists_only = True
        return super().shell_complete(ctx, incomplete)


def load(name: str, entry: Entry) -> Any:  # noqa: ANN401 - what Typer makes of an application
    """Import a command's module and return the command under its name."""
    module, _, functions = (entry.home or f"{name}:{name}").partition(":")
    home = importlib.import_module(f"liqctl.cli.{module}")
    app = typer.Typer(
        help=entry.summary, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )
    # A venue's code begins like an option; without this -4131 would be refused as one.
    settings = {"ignore_unknown_options": True} if name == "explain" else None
    for function in functions.split():
        command: Command = getattr(home, function)
        app.command(
            function.partition("_")[0], short_help=command.short_help, context_settings=settings
        )(_typed(command))
    made = get_command(app)
    made.name = name
    return made


def _typed(command: Command) -> "Callable[..., int | None]":
    """Return the command as Typer wants it: with a parameter for each of its options."""

    def called(**given: Any) -> int | None:  # noqa: ANN401 - Typer made them what the table says
        return command.function(Options(**{name: v for name, v in given.items() if v is not None}))

    signature = []
    for name in command.names:
        described, option = FIELDS[name], OPTIONS[name]
        said: dict[str, Any] = {
            "help": command.helps.get(name, option.help),
            "metavar": option.metavar,
            "envvar": option.variable,
            "min": option.low,
            "max": option.high,
            # `Product` is in capitals in documents, and in small letters on a command line.
            "case_sensitive": described.type != list[Product],
        }
        if option.offers:
            said["autocompletion"] = _completer(option.offers)
        default: Any = inspect.Parameter.empty
        if not option.required:
            is_list = described.default_factory is not MISSING
            default = [] if is_list else described.default
        info = (typer.Option if option.names else typer.Argument)(*option.names, **said)
        parameter = inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[described.type, info],
        )
        signature.append(parameter)
    called.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in signature}
    called.__doc__ = command.function.__doc__
    return called


def make_app() -> typer.Typer:
    """Return the application; building it imports no command."""
    app = typer.Typer(
        name="liqctl",
        cls=LazyGroup,
        help=_HELP,
        epilog=_EXAMPLES,
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    def print_version(wanted: bool) -> None:  # noqa: FBT001 - as Typer calls it
        if wanted:
            out.answer(f"liqctl {liqctl.__version__}")
            raise typer.Exit

    @app.callback()
    def root(
        *,
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                help="Print the version and exit.",
                is_eager=True,
                callback=print_version,
            ),
        ] = False,
    ) -> None:
        del version

    return app


def run(arguments: "Sequence[str]") -> int:
    """Return the exit code of a command line.

    Raises:
        UsageError: the line cannot be understood.
    """
    command = get_command(make_app())
    if COMPLETION in os.environ:
        join_equals(os.environ)
    try:
        code = command.main(args=list(arguments), prog_name="liqctl", standalone_mode=False)
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            out.error(error.format_message())
            return ExitCode.USAGE
        context = getattr(error, "ctx", None)
        # Nothing in it may be a key that was typed in the wrong place.
        message = hide_secrets(error.format_message()).replace("Value error, ", "", 1)
        named = [word for word in arguments[:1] if word in COMMANDS]
        path = " ".join(["liqctl", *named]) if context is None else context.command_path
        for environment in Environment:
            if f"argument(s) ({environment})" in message:
                message += f"; did you mean --env {environment}?"
        sent = "Nothing was sent. " if path in _MAY_SEND else ""
        raise UsageError(f"{message}\n{sent}Try `{path} --help`.") from error
    except typer.Abort:
        out.error("liqctl: not confirmed; nothing was sent")
        return ExitCode.NOT_CONFIRMED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.DONE
    return code if isinstance(code, int) else ExitCode.DONE


def _completer(kind: str) -> "Callable[[typer.Context, str], list[tuple[str, str]]]":
    def complete(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        try:
            return words(_offers(kind, ctx.params), incomplete)
        except (OSError, ConfigurationError, UsageError):
            return []  # a Tab is no place to complain; the command itself will

    return complete


def _offers(kind: str, given: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what may stand there, each with what it means; `given` are the options typed so far.

    In any other place it is a run: the last ones of the trail, with when they began.
    """
    match kind:
        case "accounts":
            settings = _settings(given)
            return dict.fromkeys(settings.accounts, "") if settings else {}
        case "products":
            return {each.setting: each.shown for each in Product}
        case "event types":
            return dict.fromkeys(AuditEventType, "")
        case "scenarios":
            from liqctl.sim.scenario import list_scenarios

            return dict.fromkeys(list_scenarios(), "")
        case "words":
            from liqctl.cli.explain import all_meanings

            return {each.word: "" for each in all_meanings() if each.word[0].isalpha()}
        case _:
            from liqctl.cli.audit import default_trail, last_lines_of, trail_at
            from liqctl.trail.file import parse_line

            trail = default_trail()
            # `report` takes several: a list.
            if log := given.get("log") or given.get("logs"):
                trail = trail_at(Path(log[0] if isinstance(log, list | tuple) else log))
            elif (settings := _settings(given)) is not None:
                trail = settings.audit.log_dir / TRAIL_NAME
            lines = last_lines_of(trail, _LINES_MAX)
            records = [record for line in lines if (record := parse_line(line)) is not None]
            seen = {record.correlation_id: record.timestamp for record in reversed(records)}
            return dict(islice(seen.items(), _RUNS_MAX))


def _settings(given: Mapping[str, Any]) -> "Settings | None":
    """Return the settings that the options typed so far name, None where they name none."""
    environment: Any = given.get("environment") or os.environ.get("LIQCTL_ENV")
    config_file = given.get("config_file")
    if not (environment or config_file):
        return None
    return Options(environment=environment, config_file=config_file).settings(may_be_kept=True)


def words(names: Mapping[str, str], incomplete: str) -> list[tuple[str, str]]:
    """Return those of the names that go on from what is typed, each with what it means."""
    return [
        (name, meaning)
        for name, meaning in names.items()
        if name.startswith(incomplete) and _PLAIN.fullmatch(name)
    ]


def join_equals(environ: MutableMapping[str, str]) -> None:
    r"""Put `--env`, `=`, `pro` together again, as bash hands them over in COMP_WORDS.

    >>> asked = {"COMP_WORDS": "liqctl\nstatus\n--env\n=\npro", "COMP_CWORD": "4"}
    >>> join_equals(asked)
    >>> asked == {"COMP_WORDS": "liqctl\nstatus\n--env=pro", "COMP_CWORD": "2"}
    True
    """
    if _EQUALS not in environ.get("COMP_WORDS", ""):
        return
    typed = environ["COMP_WORDS"].split("\n")[: int(environ.get("COMP_CWORD", "0")) + 1]
    joined: list[str] = []
    for index, word in enumerate(typed):
        is_value = index > 1 and typed[index - 1] == _EQUALS and typed[index - 2].startswith("--")
        if joined and (is_value or (word == _EQUALS and typed[index - 1].startswith("--"))):
            joined[-1] += word
        else:
            joined.append(word)
    environ["COMP_WORDS"] = "\n".join(joined)
    environ["COMP_CWORD"] = str(len(joined) - 1)
