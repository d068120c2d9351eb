"""The program's entry: guards first, then the command, then exactly one exit.

The only blind `except` of the program is here. Nothing heavy is imported before the guards stand.
"""

import os
import sys
from typing import Final, NoReturn

from liqctl.cli import process
from liqctl.cli.output import out

_SENDS_NOTHING: Final = frozenset(
    (
        *("status", "validate", "drill", "audit", "notify", "report", "bundle", "explain"),
        *("init", "schema", "simulator"),
    )
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
        # From before the first import on: whoever reads JSON is owed one document.
        process.signals.last_word(
            lambda: _answer_in_json(1, "interrupted: nothing was sent", arguments)
        )
    from liqctl.cli.options import COMPLETION, read_plain
    from liqctl.kernel.answers import AnswerKind
    from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError, VenueError
    from liqctl.kernel.states import ExitCode

    try:
        if arguments[:1] == ["liquidate"] and COMPLETION not in os.environ:
            options = read_plain(arguments[1:], os.environ)
            if options is not None:
                from liqctl.cli.liquidate import liquidate

                return liquidate.function(options) or 0
        from liqctl.cli import root

        return root.run(arguments)
    except UsageError as error:
        code, message = ExitCode.USAGE, str(error)
    except ConfigurationError as error:
        code, message = ExitCode.CONFIGURATION, f"the configuration is invalid\n{error}"
    except CredentialsError as error:
        code, message = ExitCode.CREDENTIALS, str(error)
    except VenueError as error:
        is_refused = error.answer.kind is AnswerKind.RUN_FATAL
        code, message = ExitCode.CREDENTIALS if is_refused else ExitCode.FAILED, str(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place that catches everything
        code = ExitCode.FAILED
        sends_nothing = frozenset(arguments[:1]) & _SENDS_NOTHING
        message = (
            f"unexpected error, a bug in liqctl: {process.describe_unexpected(error)}\n"
            f"{_CRASHED_READING if sends_nothing else _CRASHED_SENDING}"
        )
    out.error(f"liqctl: {message}")
    if "--json" in arguments:
        _answer_in_json(int(code), message, arguments)
    return code


def _answer_in_json(code: int, message: str, arguments: list[str]) -> None:
    """Print a failed result for `liquidate`, an error for every other command; once at most."""
    if out.is_answered:
        return
    from liqctl.kernel.as_json import dump

    if arguments[:1] != ["liquidate"]:
        document = {"schema": "liqctl.error/1", "exit_code": code, "error_message": message}
        out.answer(dump(document))
        return
    from liqctl.cli.liquidate import ResultPrinter
    from liqctl.cli.options import Options
    from liqctl.kernel.states import FailureCause

    out.answer(dump(ResultPrinter(Options()).refusal(FailureCause.NONE, message).as_json()))
