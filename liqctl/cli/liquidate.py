"""`liqctl liquidate`: settings, confirmation, the run inside its deadline, the result.

Nothing is decided here but the precedence of exit codes: a signal outranks every other end.
"""

import asyncio
import contextlib
import math
import os
import select
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.handing_over import NOTHING_SENT, AccountRun, hand_over_runs
from liqctl.cli.options import LIQUIDATE, Options, takes
from liqctl.cli.output import STDERR, STDOUT, out
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.kernel.states import (
    Environment,
    ExitCode,
    FailureCause,
    LiquidationState,
    is_correlation_id,
    make_correlation_id,
)
from liqctl.run import SystemClock

if TYPE_CHECKING:
    from liqctl.kernel.result import LiquidationResult, Results
    from liqctl.run.inspection import Inspection
    from liqctl.settings.values import Settings
    from liqctl.sim.server import EmbeddedServer

READING_MAX_S: Final = 3.0
"""How long the question waits for a reading; an operator may know enough without it."""

_OVERTIME_S: Final = 0.5
_GUARD_S: Final = 0.08
"""How long after the patience with a follow-up is used up this process is ended by force."""

_SIGNALS_S: Final = 0.2
"""How long a signal at the question may wait to be obeyed."""

_LINES_OF_QUESTION: Final = 4
"""The line before the screen, the one of the settings, the question, and the answer."""

_NAME_MAX: Final = 62
"""Of a given correlation id, where a number is added to it."""

_RUN_TAKES: Final = 2
"""How many times the weight of one reading of all accounts a run needs after the question."""

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
        chosen = options.chosen(settings)
        printer.are_several = options.all_accounts or len(chosen) > 1
        if not printer.are_several:
            settings = printer.settings = chosen[0]
        if options.correlation_id and not is_correlation_id(printer.name_of(chosen[-1])):
            raise UsageError(  # noqa: TRY301
                "--correlation-id is too long: each account's name is added to it. Nothing was sent"
            )
    except UsageError as error:
        out.error(f"liqctl: {error}")
        return printer.end_without_run(FailureCause.USAGE, str(error))
    except ConfigurationError as error:
        out.error(f"the configuration is invalid; nothing was sent\n{error}\n{_CORRECT}")
        return printer.end_without_run(FailureCause.CONFIGURATION, str(error))
    is_asked = needs_confirmation(settings.environment, settings.exchange.base_url)
    if options.yes or not is_asked:
        process.signals.ignore_hangups()  # Nobody has to be there any more.
    runs = [AccountRun(settings=its, correlation_id=printer.name_of(its)) for its in chosen]
    if options.yes or not is_asked:
        code = hand_over_runs(options, runs, printer)
        if code is not None:
            return code
    with ExitStack() as stack:
        venue = None
        if len(runs) > 1 and settings.is_embedded:
            from liqctl.cli.wiring import embedded_venue

            venue = stack.enter_context(embedded_venue(chosen))
        for run in runs:
            _open(run, stack, printer, venue)
        if not any(run.account for run in runs):
            return printer.end_unopened(runs)
        note_twins(runs)
        return _with_accounts(options, runs, printer)


def _open(
    run: AccountRun, stack: ExitStack, printer: "ResultPrinter", venue: "EmbeddedServer | None"
) -> None:
    """Open the account of a run; one without a usable key has its result already."""
    from liqctl.cli.wiring import open_account

    try:
        run.account = stack.enter_context(open_account(run.settings, venue=venue))
    except CredentialsError as error:
        out.error(f"{error}\nNothing was sent{run.on_whom}; what is open stays open.")
        run.result = printer.refusal(FailureCause.CREDENTIALS, str(error), run.settings)


def note_twins(runs: Sequence[AccountRun]) -> None:
    """Find the runs of one key under several names: the first one gets what is in scope of all."""
    first_of: dict[str, AccountRun] = {}
    for run in runs:
        if run.account is None or run.account.embedded:
            continue
        first = first_of.setdefault(run.account.identity, run)
        if first is not run:
            its = first.settings
            policy = its.liquidation.joined(run.settings.liquidation)
            if policy is None:
                out.error(
                    f"{run.name} is the same account as {first.name}, and their scopes fit into no "
                    f"single run: its own meets the lock and closes nothing. Run `liqctl liquidate "
                    f"--account {run.name}` after this one"
                )
                continue
            run.twin_of = first.name
            first.settings = replace(its, liquidation=policy)


def _with_accounts(
    options: Options, runs: Sequence[AccountRun], printer: "ResultPrinter"
) -> ExitCode:
    # One loop for the question and the runs: connections belong to the loop that made them. It is
    # never closed, for that would wait for a thread that hangs in a name look-up.
    loop = asyncio.new_event_loop()
    accounts = [run.account for run in runs if run.account]
    for account in accounts:
        printer.reason = account.hide(printer.reason)
    if printer.reason != options.reason:
        out.error(
            "the reason holds the key or the secret: it is recorded without; replace that key, for "
            "the shell's history and the list of processes have it"
        )
    try:
        if options.dry_run:
            return _rehearse(runs, printer, loop)
        is_asked = runs[0].settings.liquidation.emergency_liquidation and not options.yes
        if is_asked and any(needs_confirmation(a.environment, a.base_url) for a in accounts):
            refusal = _confirm(options, runs, printer, loop)
            if refusal is not None:
                cause, why = refusal
                out.error(why)
                return printer.end_without_run(cause, why, [run.settings for run in runs])
            code = hand_over_runs(options, runs, printer)
            if code is not None:
                return code
        from liqctl.cli.execution import Execution

        return Execution(options, runs, printer).run(loop)
    finally:
        closing = [account.exchange.close() for account in accounts]
        loop.run_until_complete(asyncio.wait(map(loop.create_task, closing)))


def needs_confirmation(environment: Environment, base_url: str | None) -> bool:
    """Return whether real money may hang on it: production, or a testnet that is somewhere else.

    Without a `base_url` it is the environment's own.
    """
    from liqctl.settings.credentials import is_demo_host, is_loopback_url

    match environment:
        case Environment.PRODUCTION:
            return True
        case Environment.TESTNET:
            if base_url is None:
                return False
            return not (is_demo_host(base_url) or is_loopback_url(base_url))
        case Environment.SIMULATOR:
            return False


def _inspect(
    runs: Sequence[AccountRun],
    loop: asyncio.AbstractEventLoop,
    *,
    timeout_s: float | None = None,
    accounts: int = 0,
) -> "list[Inspection | None]":
    """Return what is open in each account, side by side; None where no reading ended.

    `accounts` is how many the address' weight has to be enough for, where more than these.
    """
    from liqctl.kernel.limits import Address
    from liqctl.run.inspection import inspect_account

    address = Address(accounts=max(accounts, len(runs)))

    async def look(run: AccountRun) -> "Inspection | None":
        if run.account is None or run.twin_of:
            return None
        looking = inspect_account(
            run.account.exchange,
            run.settings.liquidation,
            wall_clock=SystemClock(),
            timeout_s=timeout_s,
            address=address,
        )
        if timeout_s is None:
            return await looking
        with contextlib.suppress(TimeoutError):  # The question must come all the same.
            return await asyncio.wait_for(looking, timeout_s + _OVERTIME_S)
        return None

    async def look_at_all() -> "list[Inspection | None]":
        return await asyncio.gather(*map(look, runs))

    return loop.run_until_complete(look_at_all())


def _confirm(
    options: Options,
    runs: Sequence[AccountRun],
    printer: "ResultPrinter",
    loop: asyncio.AbstractEventLoop,
) -> tuple[FailureCause, str] | None:
    """Ask the operator; return why not, None for yes."""
    settings = runs[0].settings
    word = settings.environment.value
    if not can_ask():
        return FailureCause.NOT_CONFIRMED, (
            f"not confirmed: {word} asks before it acts, and there is no terminal "
            "to ask on. Nothing was sent. Give --yes to run without asking"
        )
    limit_s = min(READING_MAX_S, settings.liquidation.timeout_seconds)
    what = f"{len(runs)} accounts" if printer.are_several else "the account"
    out.progress(f"{word}: reading {what}, {limit_s:g} s at most")
    # The run has to find as much weight again.
    inspections = _inspect(
        runs, loop, timeout_s=limit_s, accounts=_RUN_TAKES * len(runs) if len(runs) > 1 else 1
    )
    for inspection in inspections:
        if inspection is not None and inspection.unknown_symbols:
            unknown = ", ".join(inspection.unknown_symbols)
            return FailureCause.USAGE, f"the venue does not know {unknown}. Nothing was sent"
    out.error(_question(options, runs, inspections, printer))
    if is_typed(word):
        return None
    return FailureCause.NOT_CONFIRMED, "not confirmed: nothing was sent"


def can_ask() -> bool:
    """Return whether somebody is there to read a question and to answer it."""
    return out.is_terminal(0) and out.is_terminal(STDERR)


def is_typed(word: str) -> bool:
    """Return whether the operator types the word, which says yes to what stands above."""
    out.error(f"Type {word} to go on, anything else to leave:")
    with contextlib.suppress(EOFError, OSError, UnicodeDecodeError):
        # A signal in the moment before `input` blocks would be heard after the next key only.
        while not select.select([0], [], [], _SIGNALS_S)[0]:
            pass
        return input().strip() == word
    return False


def _question(
    options: Options,
    runs: Sequence[AccountRun],
    inspections: "Sequence[Inspection | None]",
    printer: "ResultPrinter",
) -> str:
    width = out.width_of(STDERR) or 80
    height = (out.height_of(STDERR) or 24) - _LINES_OF_QUESTION
    settings, account = runs[0].settings, runs[0].account
    shared: dict[str, Any] = {
        "environment": settings.environment.value,
        "base_url": next(run.account.base_url for run in runs if run.account),
        "policy": settings.liquidation,
        "width": width,
        "height": height,
        "colour": options.colour,
        "config_file": settings.origin,
    }
    if printer.are_several or account is None:
        from liqctl.desk.plan import render_confirmations

        keys = [run.account.key_fingerprint if run.account else None for run in runs]
        rows = zip(runs, keys, inspections, strict=True)
        accounts = [(run.name or "", key, run.twin_of, seen) for run, key, seen in rows]
        return render_confirmations(accounts, **shared)
    from liqctl.desk.plan import render_confirmation

    return render_confirmation(inspections[0], key_fingerprint=account.key_fingerprint, **shared)


def _rehearse(
    runs: Sequence[AccountRun], printer: "ResultPrinter", loop: asyncio.AbstractEventLoop
) -> ExitCode:
    """Read, show what a run would do, send nothing."""
    from liqctl.kernel.words import explain_twin
    from liqctl.run.inspection import dry_run_result

    clock = SystemClock()
    started_at = clock.now()
    process.signals.install()
    inspections = _inspect(runs, loop)
    for run, inspection in zip(runs, inspections, strict=True):
        if run.account is None:
            continue
        if inspection is None:
            why = explain_twin(run.twin_of or "")
            refusal = printer.refusal(FailureCause.NONE, why, run.settings)
            run.result = replace(refusal, dry_run=True, state=LiquidationState.SKIPPED)
            continue
        result = dry_run_result(
            inspection,
            run.settings.liquidation,
            correlation_id=run.correlation_id,
            environment=run.settings.environment.value,
            started_at=started_at,
            finished_at=clock.now(),
            requests=run.account.exchange.usage.requests,
        )
        run.result = replace(result, account=run.name)
    results = printer.joined([run.result for run in runs if run.result])
    seen = None if printer.are_several else inspections[0]
    return printer.end(results, printer.render(results, seen))


class ResultPrinter:
    """Prints how the command ended, exactly once, and says which exit code that is.

    `are_several`: the results of several accounts are printed, not one account's. `is_one_line`:
    JSON follows other lines of JSON.
    """

    def __init__(self, options: Options) -> None:
        """Name the run from its first moment, so that even a refusal to start can be found."""
        self._options = options
        self.are_several = self.is_one_line = False
        self.size: tuple[int | None, int | None] | None = None
        """Columns and lines of another process' terminal, where this one draws for it."""

        self.reason = options.reason
        self._started_at = SystemClock().now()
        self.settings: Settings | None = None
        self.correlation_id = options.correlation_id or make_correlation_id(
            self._started_at, os.urandom(3).hex()
        )

    def take_back(self, run: AccountRun, taker: int | None) -> None:
        """Let the run of an account be one of this process: the armed one `taker` does not do it.

        It goes by another name, for the armed process may have used this one.
        """
        run.handed, run.taker, run.handed_as = None, taker, run.correlation_id
        run.correlation_id = (
            f"{run.correlation_id[:_NAME_MAX]}-2"
            if self._options.correlation_id
            else make_correlation_id(SystemClock().now(), os.urandom(3).hex())
        )
        if not self.are_several:
            self.correlation_id = run.correlation_id

    def name_of(self, settings: "Settings") -> str:
        """Return the correlation id of an account's run: with its name in it, if it was given."""
        if not self.are_several:
            return self.correlation_id
        if self._options.correlation_id:
            return f"{self.correlation_id}-{settings.account}"
        return make_correlation_id(self._started_at, os.urandom(3).hex())

    def joined(self, results: "Sequence[LiquidationResult]") -> "Results":
        """Return the results as what the command prints."""
        from liqctl.kernel.result import Results

        return Results(each=tuple(results), are_several=self.are_several)

    def end(self, results: "Results", document: str | None = None) -> ExitCode:
        """Print the results, as rendered, and return the exit code; a signal outranks it."""
        # What a glance at the exit code would miss is said on stderr.
        for result in results.each:
            of = f" on {result.account}" if results.are_several else ""
            if result.state is LiquidationState.SKIPPED and not result.dry_run:
                from liqctl.kernel.words import DISARMED

                if result.error_message == DISARMED:
                    out.error(
                        "WARNING: the switch is disarmed: emergency_liquidation is false. Nothing "
                        f"was read, cancelled or closed{of}; positions and orders may be open"
                    )
            if result.cause is FailureCause.NONE and (result.verified_flat or result.dry_run):
                found = {position.symbol for position in result.positions}
                found |= {order.symbol for order in result.orders}
                its = self.settings
                if its is not None and result.account:
                    its = its.of(result.account)
                for symbol in its.liquidation.symbols if its else ():
                    if symbol not in found:
                        out.error(f"nothing is open on {symbol}{of}")
        out.answer(self.render(results) if document is None else document)
        return process.signals.received or results.exit_code()

    def render(
        self, results: "Results", inspection: "Inspection | None" = None, *, is_drawn: bool = True
    ) -> str:
        """Return the results as JSON, or for people; what may not be drawn needs no rich."""
        if self._options.as_json:
            from liqctl.kernel.as_json import dump, dump_line

            code = process.signals.received or results.exit_code()
            return (dump_line if self.is_one_line else dump)(results.as_json(code))
        from liqctl.desk.result import Asked, render_result

        settings = self.settings
        asked = Asked(
            symbols=settings.liquidation.symbols if settings else (),
            options=self._options.repeated(),
            settle_s=settings.liquidation.settle_seconds if settings else None,
            config_file=settings.origin if settings else None,
            scopes={
                name: symbols
                for name in settings.accounts
                if (symbols := settings.of(name).liquidation.symbols)
            }
            if settings
            else None,
        )
        width, lines = self.size or (out.width_of(STDOUT), out.height_of(STDOUT))
        screen: dict[str, Any] = {
            "width": width,
            "height": None if lines is None else lines - _LINES_OF_PROMPT,
            "colour": self._options.colour and width is not None and is_drawn,
            "asked": asked,
        }
        if results.are_several:
            from liqctl.desk.several import render_results

            return render_results(results, is_drawn=is_drawn, **screen)
        if inspection is None or settings is None:
            return render_result(results.only, is_drawn=is_drawn, **screen)
        from liqctl.desk.plan import render_plan

        return render_plan(inspection, results.only, policy=settings.liquidation, **screen)

    def end_unopened(self, runs: Sequence[AccountRun]) -> ExitCode:
        """Print the results of accounts without a usable key, if JSON was asked for."""
        results = self.joined([run.result for run in runs if run.result])
        if not self._options.as_json:  # There the message must do.
            from liqctl.desk.result import next_steps

            steps = next_steps(results.only)
            out.error("\n".join(["Next", *(f"  - {step}" for step in steps)]))
        return self._end_refused(results)

    def end_without_run(
        self, cause: FailureCause, message: str, settings: "Sequence[Settings]" = ()
    ) -> ExitCode:
        """Print the results of runs that never started, if JSON was asked for."""
        self.are_several = self.are_several and bool(settings)
        whose = settings if self.are_several else (None,)
        return self._end_refused(self.joined([self.refusal(cause, message, its) for its in whose]))

    def _end_refused(self, results: "Results") -> ExitCode:
        if self._options.as_json:
            code = self.end(results)
        else:
            code = process.signals.received or results.exit_code()
        cause = results.only.cause
        is_left_alone = cause is FailureCause.NOT_CONFIRMED and not can_ask()
        if cause is FailureCause.CREDENTIALS or is_left_alone:
            self.follow_up(results, code)
        return code

    def interrupted(self) -> None:
        """Print the one document if a signal ends the command before there was a run."""
        if self._options.as_json and not out.is_answered:
            self.end(self.joined([self.refusal(FailureCause.NONE, NOTHING_SENT)]))

    def refusal(
        self,
        cause: FailureCause,
        message: str,
        its: "Settings | None" = None,
        *,
        name: str | None = None,
    ) -> "LiquidationResult":
        """Return the result of a run that never started here.

        `its` are the account's settings, and `name` is the correlation id of its own run.
        """
        from liqctl.kernel.result import LiquidationResult

        now, settings = SystemClock().now(), its or self.settings
        return LiquidationResult(
            correlation_id=name or self.correlation_id,
            environment=settings.environment.value if settings else self._options.environment or "",
            account=settings.account if settings else None,
            state=LiquidationState.FAILED,
            error_message=message,
            started_at=self._started_at,
            finished_at=now,
            duration_seconds=(now - self._started_at).total_seconds(),
            timeout_seconds=settings.liquidation.timeout_seconds if settings else 0.0,
            cause=cause,
        )

    def follow_up(
        self, results: "Results", code: ExitCode, *, patience_s: float = math.inf
    ) -> None:
        """Let figures be written and people be told of the end, where the settings ask for it.

        To be called when all that this process has to say and to record is out. Another process
        does it (`liqctl.notify.notice`). Waiting for it is worth the time: a service manager or a
        container ends what is left of it with the process it watches. But this never outlives the
        run's deadline, and never changes the exit code. A signal that comes meanwhile ends the
        process at once, with the signal's code.
        """
        settings = self.settings
        if settings is None or self._options.dry_run:
            return
        if not (settings.notifications or settings.metrics.textfile):
            return
        from liqctl.cli.wiring import identities_of
        from liqctl.notify.notice import COURIER_S, make_order, start_courier, wait_for_courier
        from liqctl.trail.durability import LOG_NAME, LogFile

        now = time.monotonic()
        patience_s = max(min(patience_s, COURIER_S, out.until - now), 0.0)
        guard = process.LastResort(patience_s + _GUARD_S, code)
        process.signals.unshield()
        try:
            identities = identities_of(settings) if settings.metrics.textfile else None
            order = make_order(settings, results, code, self.reason, identities)
            child = start_courier(order)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            out.error(f"no notification was sent: its process did not start: {why}")
            log = LogFile(settings.audit.log_dir)
            log.write(results.only.correlation_id, f"NOTIFICATION problem={why}")
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
