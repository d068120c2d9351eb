"""The Typer application: which commands there are, each loaded only when it is invoked.

`--help` is answered from the table below, so that it imports no command's module. A command is a
function or a Typer application; it returns an exit code, None for 0, or raises `typer.Exit`.
"""

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

import liqctl
from liqctl.cli import process
from liqctl.cli.app import COMPLETION
from liqctl.kernel.errors import UsageError, hide_secrets
from liqctl.kernel.states import Environment, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a command lives and what the list of commands says of it."""

    home: str
    summary: str


COMMANDS: Final = {
    "liquidate": Entry(
        home="liqctl.cli.liquidate_command:liquidate",
        summary="Cancel every order, close every position, prove the account flat.",
    ),
    "status": Entry(
        home="liqctl.cli.status:status",
        summary="Show what is open now and how the last liquidation ended.",
    ),
    "validate": Entry(
        home="liqctl.cli.validate:validate",
        summary="Check configuration, key and venue before the emergency.",
    ),
    "drill": Entry(
        home="liqctl.cli.drill:drill",
        summary="Simulate every failure with your settings: enough time?",
    ),
    "audit": Entry(
        home="liqctl.cli.audit:audit_app",
        summary="Read the audit trail; prove it complete and unaltered.",
    ),
    "notify": Entry(
        home="liqctl.cli.notify:notify",
        summary="Send a test message to every notification target.",
    ),
    "report": Entry(
        home="liqctl.cli.report:report",
        summary="Write the incident report of a run, as Markdown or a page.",
    ),
    "bundle": Entry(
        home="liqctl.cli.bundle:bundle",
        summary="Collect what support needs, without secrets.",
    ),
    "explain": Entry(
        home="liqctl.cli.explain:explain_app",
        summary="Explain a venue code, state, event or exit code.",
    ),
    "init": Entry(
        home="liqctl.cli.setting_up:init",
        summary="Write a commented settings file, systemd units, a crontab.",
    ),
    "schema": Entry(
        home="liqctl.cli.setting_up:schema",
        summary="Print the JSON Schema of a document, event or settings file.",
    ),
    "simulator": Entry(
        home="liqctl.cli.simulator:simulator_app",
        summary="Keep a simulated Binance Futures venue running for other shells.",
    ),
}

_MAY_SEND: Final = {"liqctl", "liqctl liquidate"}
"""Where a mistaken line may have been meant to close something."""

_HELP: Final = """A kill switch for Binance USDS-M futures: cancels every open order, closes every
position, and says flat only when a fresh reading proved it.

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

    _lists_only = False

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - Typer decides what comes
        """Know the names only; suggestions for typing errors come from them."""
        super().__init__(**attributes)
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
    module, _, attribute = entry.home.partition(":")
    target = getattr(importlib.import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name)(target)
        target = alone
    command = get_command(target)
    command.name = name
    return command


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
    app.callback()(_root)
    return app


def run(arguments: "Sequence[str]") -> int:
    """Return the exit code of a command line.

    Raises:
        UsageError: the line cannot be understood.
    """
    command = get_command(make_app())
    if COMPLETION in os.environ:
        from liqctl.cli import completion

        completion.join_equals(os.environ)
    try:
        code = command.main(args=list(arguments), prog_name="liqctl", standalone_mode=False)
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            process.print_error(error.format_message())
            return ExitCode.USAGE
        raise UsageError(_explain(error, arguments)) from error
    except typer.Abort:
        process.print_error("liqctl: not confirmed; nothing was sent")
        return ExitCode.NOT_CONFIRMED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.DONE
    return code if isinstance(code, int) else ExitCode.DONE


def _print_version(*, wanted: bool) -> None:
    if wanted:
        process.print_answer(f"liqctl {liqctl.__version__}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=lambda wanted: _print_version(wanted=wanted),
        ),
    ] = False,
) -> None:
    del version


def _explain(error: TyperException, arguments: "Sequence[str]") -> str:
    """Return a usage error as text, without anything in it that could be a key."""
    context = getattr(error, "ctx", None)
    message = hide_secrets(error.format_message()).replace("Value error, ", "", 1)
    named = [word for word in arguments[:1] if word in COMMANDS]
    path = " ".join(["liqctl", *named]) if context is None else context.command_path
    for environment in Environment:
        if f"argument(s) ({environment})" in message:
            message += f"; did you mean --env {environment}?"
    sent = "Nothing was sent. " if path in _MAY_SEND else ""
    return f"{message}\n{sent}Try `{path} --help`."
