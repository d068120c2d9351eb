"""`liqctl liquidate`: settings, confirmation, the run inside its deadline, the result.

Nothing is decided here but the precedence of exit codes: a signal outranks every other end.
"""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from liqctl.cli import process
from liqctl.cli.options import Options
from liqctl.cli.result_printer import ResultPrinter
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.kernel.ids import is_correlation_id
from liqctl.kernel.states import Environment, ExitCode, FailureCause
from liqctl.run.who import SystemClock

if TYPE_CHECKING:
    from liqctl.cli.wiring import Account
    from liqctl.run.inspection import Inspection
    from liqctl.settings.values import Settings

READING_MAX_S: Final = 3.0
"""How long the question waits for a reading; an operator may know enough without it."""

_CORRECT: Final = (
    "What is open stays open. Next: correct what is named, then run it again; `liqctl validate` "
    "shows every setting"
)
_OVERTIME_S: Final = 0.5
_PROMPT_LINES: Final = 4
"""The line before the screen, the one of the settings, the question, and the answer."""


def run(options: Options) -> ExitCode:
    """Carry out the command and return its exit code; everything it had to say is printed."""
    from liqctl.cli.settings import load

    printer = ResultPrinter(options)
    process.signals.last_word(printer.interrupted)
    try:
        _check(options)
        settings = load(options, may_be_kept=True)
    except UsageError as error:
        process.print_error(f"liqctl: {error}")
        return printer.end_without_run(FailureCause.USAGE, str(error))
    except ConfigurationError as error:
        process.print_error(f"the configuration is invalid; nothing was sent\n{error}\n{_CORRECT}")
        return printer.end_without_run(FailureCause.CONFIGURATION, str(error))
    printer.settings = settings
    if options.yes or settings.environment is not Environment.PRODUCTION:
        process.signals.ignore_hangups()  # Nobody has to be there any more.
    from liqctl.cli.wiring import open_account

    try:
        with open_account(settings) as account:
            return _with_account(options, settings, account, printer)
    except CredentialsError as error:
        process.print_error(f"{error}\nNothing was sent; what is open stays open.")
        printer.say_next(FailureCause.CREDENTIALS, str(error))
        return printer.end_without_run(FailureCause.CREDENTIALS, str(error))


def _check(options: Options) -> None:
    """Refuse options that make no sense.

    Raises:
        UsageError: they contradict one another, or the run cannot bear that name.
    """
    if options.orders_only and options.positions_only:
        raise UsageError(
            "--orders-only and --positions-only exclude one another; give one. Nothing was sent"
        )
    if options.correlation_id and not is_correlation_id(options.correlation_id):
        raise UsageError("--correlation-id takes 1 to 64 letters, digits, _ or -. Nothing was sent")


def _with_account(
    options: Options, settings: "Settings", account: "Account", printer: "ResultPrinter"
) -> ExitCode:
    # One loop for the question and the run: connections belong to the loop that made them. It is
    # never closed, for that would wait for a thread that hangs in a name look-up.
    loop = asyncio.new_event_loop()
    printer.reason = account.hide(options.reason)
    if printer.reason != options.reason:
        process.print_error(
            "the reason holds the key or the secret: it is recorded without; replace that key, for "
            "the shell's history and the list of processes have it"
        )
    try:
        if options.dry_run:
            return _rehearse(settings, account, printer, loop)
        if settings.liquidation.emergency_liquidation and needs_confirmation(account):
            refusal = _confirm(options, settings, account, loop)
            if refusal is not None:
                cause, why = refusal
                process.print_error(why)
                return printer.end_without_run(cause, why)
        from liqctl.cli.execution import Execution

        return Execution(options, settings, account, printer).run(loop)
    finally:
        loop.run_until_complete(account.exchange.close())


def needs_confirmation(account: "Account") -> bool:
    """Return whether real money may hang on it: production, or a testnet that is somewhere else."""
    from liqctl.settings.credentials import is_demo_host, is_loopback_url

    match account.environment:
        case Environment.PRODUCTION:
            return True
        case Environment.TESTNET:
            return not (is_demo_host(account.base_url) or is_loopback_url(account.base_url))
        case Environment.SIMULATOR:
            return False


def _confirm(
    options: Options,
    settings: "Settings",
    account: "Account",
    loop: asyncio.AbstractEventLoop,
) -> tuple[FailureCause, str] | None:
    """Ask the operator; return why not, None for yes."""
    from liqctl.desk.plan import render_confirmation

    if options.yes:
        return None
    if not (process.is_terminal(0) and process.is_terminal(2)):
        return FailureCause.NOT_CONFIRMED, (
            f"not confirmed: {account.environment} asks before it acts, and there is no terminal "
            "to ask on. Nothing was sent. Give --yes to run without asking"
        )
    word = account.environment.value
    limit_s = min(READING_MAX_S, settings.liquidation.timeout_seconds)
    process.print_progress(f"{word}: reading the account, {limit_s:g} s at most")
    inspection = loop.run_until_complete(_look(settings, account, limit_s))
    if inspection is not None and inspection.unknown_symbols:
        unknown = ", ".join(inspection.unknown_symbols)
        return FailureCause.USAGE, f"the venue does not know {unknown}. Nothing was sent"
    process.print_error(
        render_confirmation(
            inspection,
            environment=word,
            base_url=account.base_url,
            key_fingerprint=account.key_fingerprint,
            policy=settings.liquidation,
            width=process.width_of(2) or 80,
            height=(process.height_of(2) or 24) - _PROMPT_LINES,
            colour=options.colour,
            config_file=settings.origin,
        )
    )
    process.print_error(f"Type {word} to go on, anything else to leave:")
    if _read_line() == word:
        return None
    return FailureCause.NOT_CONFIRMED, "not confirmed: nothing was sent"


def _read_line() -> str:
    try:
        return input().strip()
    except (EOFError, UnicodeDecodeError, OSError):
        return ""


async def _look(settings: "Settings", account: "Account", limit_s: float) -> "Inspection | None":
    """Return what is open; None when even that did not end: the question must come all the same."""
    try:
        return await asyncio.wait_for(
            _inspect(settings, account, timeout_s=limit_s), limit_s + _OVERTIME_S
        )
    except TimeoutError:
        return None


async def _inspect(
    settings: "Settings", account: "Account", timeout_s: float | None = None
) -> "Inspection":
    from liqctl.run.inspection import inspect_account

    return await inspect_account(
        account.exchange,
        settings.liquidation,
        wall_clock=SystemClock(),
        timeout_s=timeout_s,
    )


def _rehearse(
    settings: "Settings",
    account: "Account",
    printer: "ResultPrinter",
    loop: asyncio.AbstractEventLoop,
) -> ExitCode:
    """Read, show what a run would do, send nothing."""
    from liqctl.run.inspection import dry_run_result

    started_at = datetime.now(UTC)  # noqa: TID251 - the command line is where the clock is read
    before = account.exchange.usage.requests
    process.signals.install()
    inspection = loop.run_until_complete(_inspect(settings, account))
    result = dry_run_result(
        inspection,
        settings.liquidation,
        correlation_id=printer.correlation_id,
        environment=settings.environment.value,
        started_at=started_at,
        finished_at=datetime.now(UTC),  # noqa: TID251
        requests=account.exchange.usage.requests - before,
    )
    return printer.end(result, inspection)
