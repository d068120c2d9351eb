"""`liqctl validate` and `notify`: what is wrong, risky or unheard, before the emergency.

One document an environment; without one, `validate` checks every environment whose file is found,
and the worst result is the exit code.
"""

import os
import time
from typing import TYPE_CHECKING, Final

from liqctl.cli.options import Options, takes
from liqctl.cli.output import STDOUT, out
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liqctl.checks.issue import Issue
    from liqctl.settings.values import Settings

_NO_KEY: Final = {"LIQCTL_ENV": ""}
"""Variables that set no key; an empty mapping would stand for the process's own."""


@takes(
    *("environment", "config_file", "strict", "online", "against"),
    *("as_json", "no_color", "verbose"),
    verbose="Show every setting and its source.",
)
def validate(options: Options) -> ExitCode:
    """Check configuration, keys and files; changes nothing.

    Without --env every environment whose settings file is found is checked.
    Exit codes: 0 valid, 2 usage, 4 invalid (with --strict: or warnings).

    Example: liqctl validate --env production --strict --online
    """
    from liqctl.checks.document import (
        check_environment,
        find_environments,
        join_documents,
        unreadable_document,
    )

    file = options.config_file
    ask = ask_venue if options.online else None
    try:
        documents = [
            check_environment(each, config_file=file, against=options.against, ask_venue=ask)
            for each in ([options.environment] if options.environment else find_environments(file))
        ]
    except ConfigurationError as error:
        documents = [unreadable_document(error)]

    def render(_: object, *, width: int | None, colour: bool) -> str:
        from liqctl.checks.document import render_validation

        told = [
            render_validation(each, width=width, colour=colour, verbose=options.verbose)
            for each in documents
        ]
        text = "\n".join(told)
        height = out.height_of(STDOUT)
        if height is not None and text.count("\n") >= height - 1:
            # The verdicts have left the screen at its top: they are said again at its end.
            text += "\n" + "".join(each.partition("\n")[0] + "\n" for each in told)
        return text

    joined = documents[0] if len(documents) == 1 else join_documents(documents)
    out.document(joined, options, render)
    for document in documents:
        has_warnings = any(issue["level"] == "WARNING" for issue in document["issues"])
        if not document["is_valid"] or (options.strict and has_warnings):
            return ExitCode.CONFIGURATION
    return ExitCode.DONE


def ask_venue(settings: "Settings") -> "Iterable[Issue]":
    """Return everything that can be known before the emergency; changes nothing anywhere."""
    import asyncio
    from contextlib import ExitStack

    from liqctl.checks.of_venue import issues_online
    from liqctl.checks.preflight import ASK_MAX_S, Preflight
    from liqctl.cli.wiring import open_account

    out.progress(f"asking the venue, {ASK_MAX_S:.0f} s at most")
    key_problem: str | None = None
    with ExitStack() as stack:
        try:
            account = stack.enter_context(open_account(settings, needs_key=False))
        except CredentialsError as error:  # a private key that cannot be read
            key_problem = str(error)
            account = stack.enter_context(open_account(settings, _NO_KEY, needs_key=False))
        asking = Preflight(account.exchange, account.transport).ask(
            settings.liquidation, has_key=account.has_key
        )
        # No asyncio.run: it would wait for a thread that hangs in a name look-up.
        facts = asyncio.new_event_loop().run_until_complete(asking)
        return list(issues_online(settings, facts, account.identity, key_problem))


@takes("environment", "config_file", "as_json", "no_color")
def notify(options: Options) -> ExitCode:
    """Send a test message to every notification target; touches no account.

    Exit codes: 0 all delivered, 1 one was not, or none is configured, 2 usage, 4 configuration.

    Example: liqctl notify --env production
    """
    from liqctl.notify.send import make_document, render_deliveries

    try:
        settings = options.settings()
    except (UsageError, ConfigurationError) as error:
        document = make_document(options.environment, [], error=str(error))
        return out.refusal(error, document, options)
    deliveries = []
    if settings.notifications:
        from liqctl.notify.courier import COURIER_S, plain_environment
        from liqctl.notify.notice import make_test_notice
        from liqctl.notify.send import deliver

        for name in set(os.environ) - set(plain_environment(os.environ)):
            del os.environ[name]  # what follows a run has neither keys nor proxies
        notice = make_test_notice(settings.environment.value)
        # In no more time than an end of a run is given.
        deliveries = deliver(settings.notifications, [notice], ends_at=time.monotonic() + COURIER_S)
    document = make_document(settings.environment.value, deliveries)
    if deliveries or options.as_json:
        out.document(document, options, render_deliveries)
    if not deliveries:
        out.error(
            "no one is notified when a run ends: `notifications` is empty. Next: add a target, see "
            "the notifications section of the README"
        )
    is_done = deliveries and all(delivery.problem is None for delivery in deliveries)
    return ExitCode.DONE if is_done else ExitCode.FAILED
