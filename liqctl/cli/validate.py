"""`liqctl validate`: what is wrong or risky in the configuration, before the emergency.

One document an environment; without one, every environment whose file is found is checked, and
the worst result is the exit code.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.kernel.errors import ConfigurationError, CredentialsError
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
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
    from liqctl.checks.document import check_environment, find_environments, unreadable_document

    file = options.config_file
    ask = ask_venue if options.online else None
    try:
        documents = [
            check_environment(each, config_file=file, against=options.against, ask_venue=ask)
            for each in ([options.environment] if options.environment else find_environments(file))
        ]
    except ConfigurationError as error:
        documents = [unreadable_document(error)]
    _print(documents, options)
    return max(exit_code(document, options) for document in documents)


def exit_code(document: Mapping[str, Any], options: Options) -> ExitCode:
    """Return what the document means for scripts."""
    has_warnings = any(issue["level"] == "WARNING" for issue in document["issues"])
    if document["is_valid"] and not (options.strict and has_warnings):
        return ExitCode.DONE
    return ExitCode.CONFIGURATION


def ask_venue(settings: "Settings") -> "Iterable[Issue]":
    """Return everything that can be known before the emergency; changes nothing anywhere."""
    import asyncio
    from contextlib import ExitStack

    from liqctl.checks.of_venue import issues_online
    from liqctl.checks.preflight import ASK_MAX_S, Preflight
    from liqctl.cli.wiring import open_account

    process.print_progress(f"asking the venue, {ASK_MAX_S:.0f} s at most")
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


def _print(documents: list[dict[str, Any]], options: Options) -> None:
    if options.as_json:
        from liqctl.checks.document import join_documents
        from liqctl.kernel.as_json import dump

        process.print_answer(
            dump(documents[0] if len(documents) == 1 else join_documents(documents))
        )
        return
    from liqctl.checks.document import render_validation

    told = [
        render_validation(
            document,
            width=process.width_of(1),
            colour=options.colour and process.is_terminal(1),
            verbose=options.verbose,
        )
        for document in documents
    ]
    text = "\n".join(told)
    height = process.height_of(1)
    if height is not None and text.count("\n") >= height - 1:
        # The verdicts have left the screen at its top: they are said again at its end.
        text += "\n" + "".join(each.partition("\n")[0] + "\n" for each in told)
    process.print_answer(text)
