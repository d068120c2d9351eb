"""A `liquidate` whose work an armed process of the same account does.

Nothing heavy is imported here: an armed process has the first orders out before this one could have
loaded a library. Whatever goes wrong, the work comes back to who asked.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from liqctl.cli import process
from liqctl.cli.output import STDERR, STDOUT, out
from liqctl.kernel.errors import CredentialsError
from liqctl.kernel.states import ExitCode, FailureCause

if TYPE_CHECKING:
    from liqctl.cli.liquidate import ResultPrinter
    from liqctl.cli.options import Options
    from liqctl.settings.values import Settings


def hand_over_liquidation(
    options: "Options", settings: "Settings", printer: "ResultPrinter"
) -> ExitCode | None:
    """Let an armed process do the work and print its answer; None where there is none.

    It is looked for by its socket: without one this costs the look at a folder.
    """
    if settings.is_embedded or not settings.liquidation.emergency_liquidation:
        return None
    from liqctl.cli.wiring import identity_of
    from liqctl.settings.credentials import hide_keys, load_credentials

    try:
        credentials = load_credentials(settings.environment, os.environ, settings.account)
    except CredentialsError:
        return None  # Told by who opens the account.
    identity = identity_of(settings, credentials)
    from liqctl.run.who import state_folders

    if not (state_folders()[0] / f"{identity}.sock").exists():
        return None
    from liqctl.standby.handover import Handover, hand_over, scope_of

    own = (credentials.api_key, credentials.api_secret)
    process.signals.last_word(lambda: _leave_word(options, printer))
    asked = Handover(
        scope=scope_of(settings.liquidation),
        reason=hide_keys(options.reason, own, os.environ),
        correlation_id=printer.correlation_id,
        hold=options.hold,
        screen={
            "as_json": options.as_json,
            "width": out.width_of(STDOUT),
            "height": out.height_of(STDOUT),
            "colour": options.colour and out.width_of(STDOUT) is not None,
        },
    )
    is_aloud = options.verbose or out.is_terminal(STDERR)

    def show(event_type: str, details: Mapping[str, Any]) -> None:
        if is_aloud:
            from liqctl.trail.durability import describe_event

            out.progress(describe_event(event_type, details))

    answer = hand_over(identity, asked, show)
    if answer is None:
        process.signals.last_word(printer.interrupted)
        # The armed process may have begun a run of that name before it died.
        printer.take_back()
        return None
    out.answer(str(answer["document"]))
    return process.signals.received or ExitCode(int(answer["exit_code"]))


def _leave_word(options: "Options", printer: "ResultPrinter") -> None:
    """Say on a signal that the armed process goes on with what it was given."""
    why = "interrupted: the armed process goes on with it; see `liqctl status` and the audit trail"
    out.error(why)
    if options.as_json and not out.is_answered:
        printer.end(printer.joined([printer.refusal(FailureCause.NONE, why)]))
