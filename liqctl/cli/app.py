"""The program's entry: guards first, then the command, then exactly one exit.

The only blind `except` of the program is here. Nothing heavy is imported before the guards stand.
"""

import os
import sys
from typing import Final, NoReturn

from liqctl.cli import process

_COMPLETION: Final = "_LIQCTL_COMPLETE"
"""Set by a shell that asks Typer how a word goes on."""


def main() -> NoReturn:
    """Run the command line and leave with the exit code of the contract."""
    process.prepare()
    process.leave(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Return the exit code of a command line; what went wrong is said on stderr."""
    from liqctl.domain.errors import (
        ConfigurationError,
        CredentialsError,
        UsageError,
        VenueError,
    )
    from liqctl.domain.states import ExitCode

    try:
        if arguments[:1] == ["liquidate"] and _COMPLETION not in os.environ:
            from liqctl.cli import quick

            options = quick.read(arguments[1:], os.environ)
            if options is not None:
                from liqctl.cli import liquidate

                return liquidate.run(options)
        from liqctl.cli import root

        return root.run(arguments)
    except UsageError as error:
        return _fail(ExitCode.USAGE, str(error))
    except ConfigurationError as error:
        return _fail(ExitCode.CONFIGURATION, f"the configuration is invalid\n{error}")
    except (CredentialsError, VenueError) as error:
        return _fail(_exit_code(error), str(error))
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one place that catches everything
        return _fail(
            ExitCode.FAILED,
            f"unexpected error, a bug in liqctl: {process.describe_unexpected(error)}\n"
            "It is not known what was sent before it: positions and orders may still be open.\n"
            "Next: `liqctl status` shows what is open; then run the command again, or close by "
            "hand on the Binance website or app.",
        )


def _exit_code(error: Exception) -> int:
    from liqctl.domain.answers import AnswerKind
    from liqctl.domain.errors import VenueError
    from liqctl.domain.states import ExitCode

    if isinstance(error, VenueError) and error.answer.kind is not AnswerKind.RUN_FATAL:
        return ExitCode.FAILED
    return ExitCode.CREDENTIALS


def _fail(code: int, message: str) -> int:
    process.print_error(f"liqctl: {message}")
    return code
