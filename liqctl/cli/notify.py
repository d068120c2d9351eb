"""`liqctl notify`: tries every notification target before the emergency."""

import os
import time
from typing import TYPE_CHECKING, Any

import typer

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.cli.settings import load
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import ExitCode
from liqctl.notify.send import make_document, render_deliveries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liqctl.notify.send import Delivery
    from liqctl.settings.values import Settings


@takes("environment", "config_file", "as_json", "no_color")
def notify(options: Options) -> None:
    """Send a test message to every notification target; touches no account.

    Exit codes: 0 all delivered, 1 one was not, or none is configured, 2 usage, 4 configuration.

    Example: liqctl notify --env production
    """
    try:
        settings = load(options)
    except UsageError as error:
        process.print_error(f"liqctl: {error}")
        _print(options, make_document(options.environment, [], error=str(error)))
        raise typer.Exit(ExitCode.USAGE) from None
    except ConfigurationError as error:
        process.print_error(f"the configuration is invalid\n{error}")
        _print(options, make_document(options.environment, [], error=str(error)))
        raise typer.Exit(ExitCode.CONFIGURATION) from None
    deliveries = _send(settings)
    _print(options, make_document(settings.environment.value, deliveries))
    if not deliveries:
        process.print_error(
            "nobody is told when a run ends: `notifications` is empty. Next: add a target, see "
            "the notifications section of the README"
        )
    is_done = deliveries and all(delivery.problem is None for delivery in deliveries)
    # Not by an ordinary exit: a thread that hangs in a name look-up would be waited for.
    process.leave(ExitCode.DONE if is_done else ExitCode.FAILED)


def _send(settings: "Settings") -> "list[Delivery]":
    """Send the test, in no more time than an end of a run is given."""
    if not settings.notifications:
        return []
    from liqctl.notify.courier import COURIER_S, plain_environment
    from liqctl.notify.notice import make_test_notice
    from liqctl.notify.send import deliver

    variables = plain_environment(os.environ)
    for name in set(os.environ) - set(variables):
        del os.environ[name]  # what follows a run has neither keys nor proxies
    notice = make_test_notice(settings.environment.value)
    return deliver(settings.notifications, [notice], ends_at=time.monotonic() + COURIER_S)


def _print(options: Options, document: "Mapping[str, Any]") -> None:
    if options.as_json:
        from liqctl.kernel.as_json import dump

        process.print_answer(dump(document))
    elif document["targets"]:
        process.print_answer(
            render_deliveries(
                document,
                width=process.width_of(1),
                colour=options.colour and process.is_terminal(1),
            )
        )
