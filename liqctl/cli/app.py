"""The program's entry: guards first, then the command, then exactly one exit.

The only blind `except` of the program is here. Nothing heavy is imported before the guards stand.
"""

import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from liqctl.cli import process

if TYPE_CHECKING:
    from liqctl.kernel.states import ExitCode

COMPLETION: Final = "_LIQCTL_COMPLETE"
"""Set by a shell that asks Typer how a word goes on."""

_SENDS_NOTHING: Final = frozenset(
    {
        "status",
        "validate",
        "drill",
        "audit",
        "notify",
        "report",
        "bundle",
        "explain",
        "init",
        "schema",
        "simulator",
    }
)
"""Commands that close and cancel nothing; of any other it is not known what a crash left."""

_CRASHED_READING: Final = (
    "Nothing was sent to the account: this command closes and cancels nothing.\n"
    "Next: run it again. If it fails again, `liqctl bundle` collects what a bug report needs."
)
_CRASHED_SENDING: Final = (
    "It is not known what was sent before it: positions and orders may still be open.\n"
    "Next: `liqctl status` shows what is open; then run the command again, or close by "
    "hand on the Binance website or app."
)


def main() -> NoReturn:
    """Run the command line and leave with the exit code of the contract."""
    process.prepare()
    process.leave(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Return the exit code of a command line; what went wrong is said on stderr."""
    if arguments[:1] == ["liquidate"] and "--json" in arguments:
        process.signals.last_word(lambda: _interrupted(arguments))
    from liqctl.kernel.errors import (
        ConfigurationError,
        CredentialsError,
        UsageError,
        VenueError,
    )
    from liqctl.kernel.states import ExitCode

    try:
        if arguments[:1] == ["liquidate"] and COMPLETION not in os.environ:
            from liqctl.cli import quick

            options = quick.read(arguments[1:], os.environ)
            if options is not None:
                from liqctl.cli import liquidate

                return liquidate.run(options)
        from liqctl.cli import root

        return root.run(arguments)
    except UsageError as error:
        code, message = ExitCode.USAGE, str(error)
    except ConfigurationError as error:
        code, message = ExitCode.CONFIGURATION, f"the configuration is invalid\n{error}"
    except (CredentialsError, VenueError) as error:
        code, message = _exit_code(error), str(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place that catches everything
        code = ExitCode.FAILED
        sends_nothing = frozenset(arguments[:1]) & _SENDS_NOTHING
        message = (
            f"unexpected error, a bug in liqctl: {process.describe_unexpected(error)}\n"
            f"{_CRASHED_READING if sends_nothing else _CRASHED_SENDING}"
        )
    return _fail(code, message, arguments)


def _exit_code(error: Exception) -> "ExitCode":
    from liqctl.kernel.answers import AnswerKind
    from liqctl.kernel.errors import VenueError
    from liqctl.kernel.states import ExitCode

    if isinstance(error, VenueError) and error.answer.kind is not AnswerKind.RUN_FATAL:
        return ExitCode.FAILED
    return ExitCode.CREDENTIALS


def _fail(code: "ExitCode", message: str, arguments: list[str]) -> int:
    """Say why on stderr and, where JSON was asked for, in the one document on stdout."""
    process.print_error(f"liqctl: {message}")
    if "--json" in arguments and not process.Answer.given:
        process.print_answer(_document(code, message, arguments))
    return code


def _interrupted(arguments: list[str]) -> None:
    """Print the one document where a signal comes before the command line was read."""
    from liqctl.kernel.states import ExitCode

    if not process.Answer.given:
        message = "interrupted: nothing was sent"
        process.print_answer(_document(ExitCode.FAILED, message, arguments))


def _document(code: "ExitCode", message: str, arguments: list[str]) -> str:
    """Return a failed result for `liquidate`, an error for every other command."""
    from liqctl.kernel.as_json import dump

    if arguments[:1] != ["liquidate"]:
        return dump({"schema": "liqctl.error/1", "exit_code": int(code), "error_message": message})
    from liqctl.cli.options import Options
    from liqctl.cli.result_printer import ResultPrinter
    from liqctl.kernel.states import FailureCause

    return dump(ResultPrinter(Options()).refusal(FailureCause.NONE, message).as_json())
