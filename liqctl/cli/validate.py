"""`liqctl validate` and `notify`: what is wrong, risky or unheard, before the emergency.

One document an environment; without one, `validate` checks every environment whose file is found,
and the worst result is the exit code.
"""

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from liqctl.cli.options import Options, takes
from liqctl.cli.output import STDOUT, out
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from liqctl.checks.issue import Issue
    from liqctl.checks.preflight import Coverage, VenueFacts
    from liqctl.cli.wiring import Account
    from liqctl.kernel.errors import Secret
    from liqctl.settings.values import Settings

_NO_KEY: Final = {"LIQCTL_ENV": ""}
"""Variables that set no key; an empty mapping would stand for the process's own."""


@takes(
    *("environment", "config_file", "accounts", "all_accounts", "strict", "online", "against"),
    *("as_json", "no_color", "verbose"),
    verbose="Show every setting and its source.",
)
def validate(options: Options) -> ExitCode:
    """Check configuration, keys and files; changes nothing.

    Without --env every environment whose settings file is found is checked, without --account every
    account in it.
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
    choose = options.chosen if options.accounts or options.all_accounts else None
    ask = ask_venue if options.online else None
    try:
        documents = [
            check_environment(
                each, config_file=file, against=options.against, ask_venue=ask, choose=choose
            )
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


def ask_venue(chosen: "Sequence[Settings]") -> "Iterable[Issue]":
    """Return everything that can be known before the emergency; changes nothing anywhere."""
    import asyncio
    from contextlib import ExitStack

    from liqctl.checks.of_machine import same_account
    from liqctl.checks.of_venue import (
        issues_of_accounts_online,
        issues_of_sub_accounts,
        issues_online,
    )
    from liqctl.checks.preflight import ASK_MAX_S, Preflight
    from liqctl.cli.wiring import open_account
    from liqctl.kernel.limits import Address
    from liqctl.venue.stream import WebSocketDoor

    out.progress(f"asking the venue, {ASK_MAX_S:.0f} s at most")
    key_problems: dict[str | None, str] = {}
    with ExitStack() as stack:
        accounts, asking, address = [], [], Address(accounts=len(chosen))
        for its in chosen:
            try:
                account = stack.enter_context(open_account(its, needs_key=False))
            except CredentialsError as error:  # a private key that cannot be read
                key_problems[its.account] = str(error)
                account = stack.enter_context(open_account(its, _NO_KEY, needs_key=False))
            reached = its.exchange
            if account.embedded:
                reached = replace(reached, base_url=account.base_url)
            door = WebSocketDoor(
                its.environment, base_url=reached.stream_base_url, proxy=reached.proxy
            )
            preflight = Preflight(account.exchange, account.transport, address, door)
            accounts.append(account)
            asking.append(preflight.ask(its.liquidation, has_key=account.has_key))

        async def ask_all() -> "tuple[list[VenueFacts], Coverage | None]":
            return await asyncio.gather(asyncio.gather(*asking), _ask_master(chosen[0]))

        # No asyncio.run: it would wait for a thread that hangs in a name look-up.
        facts, coverage = asyncio.new_event_loop().run_until_complete(ask_all())
    found: dict[str | None, list[Issue]] = {}
    first_of: dict[str, Account] = {}
    for its, account, told in zip(chosen, accounts, facts, strict=True):
        problem = key_problems.get(its.account)
        found[its.account] = [*issues_online(its, told, account.identity, problem)]
        if told.alias is None or its.is_embedded:
            continue
        first = first_of.setdefault(told.alias, account)
        # Of two names with one key the settings tell already.
        if first.identity != account.identity:
            found[its.account].append(same_account(first.name or ""))
    yield from issues_of_accounts_online(found)
    if coverage is not None:
        yield from issues_of_sub_accounts(chosen[0].environment, coverage)


async def _ask_master(settings: "Settings") -> "Coverage | None":
    """Return which sub-accounts no account covers, chosen or not; None without a master key."""
    from contextlib import suppress

    from liqctl.checks.preflight import Coverage, survey_sub_accounts
    from liqctl.cli.wiring import has_master, open_master
    from liqctl.settings.credentials import MASTER, load_credentials

    environment = settings.environment
    if not has_master(settings):
        return None
    try:
        credentials = load_credentials(environment, os.environ, MASTER)
        exchange = open_master(settings, credentials)
    except CredentialsError as error:
        return Coverage(problem=str(error))
    keys: dict[Secret, str | None] = {}
    names: list[str | None] = [*settings.accounts]
    for name in names or [None]:
        with suppress(CredentialsError):
            keys[load_credentials(environment, os.environ, name).api_key] = name
    return await survey_sub_accounts(exchange, keys, own=credentials.api_key)


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
