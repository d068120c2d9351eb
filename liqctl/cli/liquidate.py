"""`liqctl liquidate`: settings, confirmation, the run inside its deadline, the result.

Nothing is decided here but the precedence of exit codes: a signal outranks every other end.
"""

import asyncio
import contextlib
import math
import os
import time
from typing import TYPE_CHECKING, Final

from liqctl.cli import process
from liqctl.cli.options import LIQUIDATE, Options, takes
from liqctl.cli.output import STDERR, STDOUT, out
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.kernel.ids import is_correlation_id, make_correlation_id
from liqctl.kernel.states import Environment, ExitCode, FailureCause, LiquidationState
from liqctl.run.who import SystemClock

if TYPE_CHECKING:
    from liqctl.cli.wiring import Account
    from liqctl.kernel.result import LiquidationResult
    from liqctl.run.inspection import Inspection
    from liqctl.settings.values import Settings

READING_MAX_S: Final = 3.0
"""How long the question waits for a reading; an operator may know enough without it."""

_OVERTIME_S: Final = 0.5
_GUARD_S: Final = 0.08
"""How long after the patience with a follow-up is used up this process is ended by force."""

_LINES_OF_QUESTION: Final = 4
"""The line before the screen, the one of the settings, the question, and the answer."""

_LINES_OF_PROMPT: Final = 2
"""What the shell writes below the end screen; its first line must not be pushed out for it."""

_CORRECT: Final = (
    "What is open stays open. Next: correct what is named, then run it again; `liqctl validate` "
    "shows every setting"
)


@takes(*LIQUIDATE)
def liquidate(options: Options) -> ExitCode:
    """Cancel every open order, close every open position, prove the account flat.

    Works on the whole account unless --symbol narrows it. Asks in production only.
    Exit codes: 0 flat, 1 failed, 2 usage, 3 partly, 4 configuration, 5 already running,
    6 not confirmed, 7 key refused, 8 flat but the audit trail is incomplete,
    130 or 143 interrupted.

    Example: liqctl liquidate --env testnet --reason "bot runs wild"
    """
    printer = ResultPrinter(options)
    process.signals.last_word(printer.interrupted)
    try:
        if options.orders_only and options.positions_only:
            raise UsageError(  # noqa: TRY301 - answered like what the settings refuse
                "--orders-only and --positions-only exclude one another; give one. Nothing was sent"
            )
        if options.correlation_id and not is_correlation_id(options.correlation_id):
            raise UsageError(  # noqa: TRY301
                "--correlation-id takes 1 to 64 letters, digits, _ or -. Nothing was sent"
            )
        settings = printer.settings = options.settings(may_be_kept=True)
    except UsageError as error:
        out.error(f"liqctl: {error}")
        return printer.end_without_run(FailureCause.USAGE, str(error))
    except ConfigurationError as error:
        out.error(f"the configuration is invalid; nothing was sent\n{error}\n{_CORRECT}")
        return printer.end_without_run(FailureCause.CONFIGURATION, str(error))
    if options.yes or settings.environment is not Environment.PRODUCTION:
        process.signals.ignore_hangups()  # Nobody has to be there any more.
    from liqctl.cli.wiring import open_account

    try:
        with open_account(settings) as account:
            return _with_account(options, settings, account, printer)
    except CredentialsError as error:
        out.error(f"{error}\nNothing was sent; what is open stays open.")
        if not options.as_json:  # There the message must do.
            from liqctl.desk.result import next_steps

            steps = next_steps(printer.refusal(FailureCause.CREDENTIALS, str(error)))
            out.error("\n".join(["Next", *(f"  - {step}" for step in steps)]))
        return printer.end_without_run(FailureCause.CREDENTIALS, str(error))


def _with_account(
    options: Options, settings: "Settings", account: "Account", printer: "ResultPrinter"
) -> ExitCode:
    # One loop for the question and the run: connections belong to the loop that made them. It is
    # never closed, for that would wait for a thread that hangs in a name look-up.
    loop = asyncio.new_event_loop()
    printer.reason = account.hide(options.reason)
    if printer.reason != options.reason:
        out.error(
            "the reason holds the key or the secret: it is recorded without; replace that key, for "
            "the shell's history and the list of processes have it"
        )
    try:
        if options.dry_run:
            return _rehearse(settings, account, printer, loop)
        is_asked = settings.liquidation.emergency_liquidation and not options.yes
        if is_asked and needs_confirmation(account):
            refusal = _confirm(options, settings, account, loop)
            if refusal is not None:
                cause, why = refusal
                out.error(why)
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
    options: Options, settings: "Settings", account: "Account", loop: asyncio.AbstractEventLoop
) -> tuple[FailureCause, str] | None:
    """Ask the operator; return why not, None for yes."""
    from liqctl.desk.plan import render_confirmation
    from liqctl.run.inspection import inspect_account

    word = account.environment.value
    if not (out.is_terminal(0) and out.is_terminal(STDERR)):
        return FailureCause.NOT_CONFIRMED, (
            f"not confirmed: {word} asks before it acts, and there is no terminal "
            "to ask on. Nothing was sent. Give --yes to run without asking"
        )
    limit_s = min(READING_MAX_S, settings.liquidation.timeout_seconds)
    out.progress(f"{word}: reading the account, {limit_s:g} s at most")
    looking = inspect_account(
        account.exchange, settings.liquidation, wall_clock=SystemClock(), timeout_s=limit_s
    )
    inspection: Inspection | None = None
    with contextlib.suppress(TimeoutError):  # The question must come all the same.
        inspection = loop.run_until_complete(asyncio.wait_for(looking, limit_s + _OVERTIME_S))
    if inspection is not None and inspection.unknown_symbols:
        unknown = ", ".join(inspection.unknown_symbols)
        return FailureCause.USAGE, f"the venue does not know {unknown}. Nothing was sent"
    out.error(
        render_confirmation(
            inspection,
            environment=word,
            base_url=account.base_url,
            key_fingerprint=account.key_fingerprint,
            policy=settings.liquidation,
            width=out.width_of(STDERR) or 80,
            height=(out.height_of(STDERR) or 24) - _LINES_OF_QUESTION,
            colour=options.colour,
            config_file=settings.origin,
        )
    )
    out.error(f"Type {word} to go on, anything else to leave:")
    try:
        typed = input().strip()
    except (EOFError, UnicodeDecodeError, OSError):
        typed = ""
    if typed == word:
        return None
    return FailureCause.NOT_CONFIRMED, "not confirmed: nothing was sent"


def _rehearse(
    settings: "Settings",
    account: "Account",
    printer: "ResultPrinter",
    loop: asyncio.AbstractEventLoop,
) -> ExitCode:
    """Read, show what a run would do, send nothing."""
    from liqctl.run.inspection import dry_run_result, inspect_account

    clock = SystemClock()
    started_at = clock.now()
    before = account.exchange.usage.requests
    process.signals.install()
    inspection = loop.run_until_complete(
        inspect_account(account.exchange, settings.liquidation, wall_clock=clock)
    )
    result = dry_run_result(
        inspection,
        settings.liquidation,
        correlation_id=printer.correlation_id,
        environment=settings.environment.value,
        started_at=started_at,
        finished_at=clock.now(),
        requests=account.exchange.usage.requests - before,
    )
    return printer.end(result, printer.render(result, inspection))


class ResultPrinter:
    """Prints how the command ended, exactly once, and says which exit code that is."""

    def __init__(self, options: Options) -> None:
        """Name the run from its first moment, so that even a refusal to start can be found."""
        self._options = options
        self.reason = options.reason
        self._started_at = SystemClock().now()
        self.settings: Settings | None = None
        self.correlation_id = options.correlation_id or make_correlation_id(
            self._started_at, os.urandom(3).hex()
        )

    def end(self, result: "LiquidationResult", document: str | None = None) -> ExitCode:
        """Print the result, as it was rendered, and return its exit code; a signal outranks it."""
        # What a glance at the exit code would miss is said on stderr.
        if result.state is LiquidationState.SKIPPED and not result.dry_run:
            out.error(
                "WARNING: the switch is disarmed: emergency_liquidation is false. Nothing was "
                "read, cancelled or closed; positions and orders may be open"
            )
        if result.cause is FailureCause.NONE and (result.verified_flat or result.dry_run):
            found = {position.symbol for position in result.positions}
            found |= {order.symbol for order in result.orders}
            for symbol in self.settings.liquidation.symbols if self.settings else ():
                if symbol not in found:
                    out.error(f"nothing is open on {symbol}")
        out.answer(self.render(result) if document is None else document)
        return process.signals.received or result.exit_code()

    def render(
        self,
        result: "LiquidationResult",
        inspection: "Inspection | None" = None,
        *,
        is_drawn: bool = True,
    ) -> str:
        """Return the result as JSON, or for people; what may not be drawn needs no rich."""
        if self._options.as_json:
            from liqctl.kernel.as_json import dump

            return dump(result.as_json())
        from liqctl.desk.result import Asked, render_result

        settings = self.settings
        asked = Asked(
            symbols=settings.liquidation.symbols if settings else (),
            options=self._options.repeated(),
            settle_s=settings.liquidation.settle_seconds if settings else None,
            config_file=settings.origin if settings else None,
        )
        width, lines = out.width_of(STDOUT), out.height_of(STDOUT)
        height = None if lines is None else lines - _LINES_OF_PROMPT
        colour = self._options.colour and width is not None and is_drawn
        if inspection is None or settings is None:
            return render_result(
                result,
                width=width,
                height=height,
                colour=colour,
                asked=asked,
                is_drawn=is_drawn,
            )
        from liqctl.desk.plan import render_plan

        return render_plan(
            inspection,
            result,
            policy=settings.liquidation,
            width=width,
            height=height,
            colour=colour,
            asked=asked,
        )

    def end_without_run(self, cause: FailureCause, message: str) -> ExitCode:
        """Print the result of a run that never started, if JSON was asked for."""
        result = self.refusal(cause, message)
        if self._options.as_json:
            code = self.end(result)
        else:
            code = process.signals.received or result.exit_code()
        is_answered_in_person = out.is_terminal(0) and out.is_terminal(STDERR)
        if cause is FailureCause.CREDENTIALS or (
            cause is FailureCause.NOT_CONFIRMED and not is_answered_in_person
        ):
            self.follow_up(result, code)
        return code

    def interrupted(self) -> None:
        """Print the one document if a signal ends the command before there was a run."""
        if self._options.as_json and not out.is_answered:
            self.end(self.refusal(FailureCause.NONE, "interrupted: nothing was sent"))

    def refusal(self, cause: FailureCause, message: str) -> "LiquidationResult":
        """Return the result of a run that never started."""
        from liqctl.kernel.result import LiquidationResult

        now, settings = SystemClock().now(), self.settings
        return LiquidationResult(
            correlation_id=self.correlation_id,
            environment=settings.environment.value if settings else self._options.environment or "",
            state=LiquidationState.FAILED,
            error_message=message,
            started_at=self._started_at,
            finished_at=now,
            duration_seconds=(now - self._started_at).total_seconds(),
            timeout_seconds=settings.liquidation.timeout_seconds if settings else 0.0,
            cause=cause,
        )

    def follow_up(
        self, result: "LiquidationResult", code: ExitCode, *, patience_s: float = math.inf
    ) -> None:
        """Let figures be written and people be told of the end, where the settings ask for it.

        To be called when all that this process has to say and to record is out. Another process
        does it (`liqctl.notify.courier`). Waiting for it is worth the time: a service manager or a
        container ends what is left of it with the process it watches. But this never outlives the
        run's deadline, and never changes the exit code. A signal that comes meanwhile ends the
        process at once, with the signal's code.
        """
        settings = self.settings
        if settings is None or self._options.dry_run:
            return
        if not (settings.notifications or settings.metrics.textfile):
            return
        from liqctl.cli.last_resort import LastResort
        from liqctl.notify.courier import COURIER_S, make_order, start_courier, wait_for_courier
        from liqctl.trail.durability import LOG_NAME, LogFile

        now = time.monotonic()
        patience_s = max(min(patience_s, COURIER_S, out.until - now), 0.0)
        guard = LastResort(patience_s + _GUARD_S, code)
        process.signals.unshield()
        try:
            child = start_courier(make_order(settings, result, code, self.reason))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            out.error(f"no notification was sent: its process did not start: {why}")
            log = LogFile(settings.audit.log_dir)
            log.write(result.correlation_id, f"NOTIFICATION problem={why}")
            log.flush()
        else:
            ended = wait_for_courier(child, now + patience_s)
            log_file = settings.audit.log_dir / LOG_NAME
            if ended is None and patience_s == COURIER_S:
                out.error(
                    f"not all notifications were delivered in {COURIER_S:g} s, see {log_file}"
                )
            elif ended:
                out.error(f"not all notifications could be delivered, see {log_file}")
        guard.cancel()
