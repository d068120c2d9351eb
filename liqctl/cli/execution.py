"""Runs from the command line: opened first, ended in time, the last modules loaded in between.

The first reading takes a round trip, in which the processor would idle: what is only needed to
decide and to record is imported then, a module at a time, so that the connections get their turn.
"""

import asyncio
import contextlib
import importlib
import os
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.handing_over import GOES_ON, NOTHING_SENT, AccountRun, result_of
from liqctl.cli.output import STDERR, out
from liqctl.kernel.errors import CredentialsError
from liqctl.kernel.limits import Address, Deadline
from liqctl.kernel.policy import LIMITS
from liqctl.kernel.states import ExitCode, FailureCause, LiquidationState
from liqctl.run import SystemClock
from liqctl.run.driver import Opening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from liqctl.cli.handing_over import HandingOver
    from liqctl.cli.liquidate import ResultPrinter
    from liqctl.cli.live import CommandSink, LiveView
    from liqctl.cli.options import Options
    from liqctl.cli.wiring import Account
    from liqctl.kernel.result import LiquidationResult, Results
    from liqctl.run.inspection import Wakes
    from liqctl.run.lock import AccountLock
    from liqctl.run.manager import Witness
    from liqctl.settings.values import Settings

LOADED_MEANWHILE: Final = (
    "liqctl.kernel.result",
    "liqctl.kernel.ledger",
    "liqctl.kernel.plan",
    "liqctl.kernel.outcome",
    "liqctl.kernel.words",
    "liqctl.kernel.state",
    "liqctl.kernel.sending",
    "liqctl.kernel.rounds",
    "liqctl.kernel.account",
    "liqctl.run.manager",
    "liqctl.trail.writer",
    "liqctl.trail.durability",
    "liqctl.cli.live",
    "liqctl.desk.text",
)

_OVER_BEFORE_IT_BEGAN: Final = (
    "the deadline was reached before the program was loaded; no order and no cancel was sent"
)
_HOLD_HUNG: Final = (
    "the account was flat before the hold, and the hold did not end in time: what is open now is "
    "not known"
)
_LAST_WORD_S: Final = 0.3
"""How long a second signal may take to record and print what is known."""

_LAST_RECORDS_S: Final = 0.02
"""How long records and log, each, may keep a process that is past its deadline by 80 ms already; at
200 ms it is ended without a word."""

_HELD_NAME_MAX: Final = 56
"""Of a correlation id that a run within a hold is called by, with its number."""

_HOLD_SLACK_S: Final = 0.5
"""How far the end of a hold stays behind that of the last run in it, which tells more."""

_TURNS: Final = 10
"""Turns of the loop before each module: so many a request takes until it waits for the network."""


@dataclass(slots=True)
class Execution:
    """Liquidations inside one deadline, side by side; nothing is sent before `run`.

    `wakes` is what streams say of the account while it is held.
    """

    options: "Options"
    runs: "Sequence[AccountRun]"
    printer: "ResultPrinter"
    wakes: "Wakes | None" = None
    _deadline: Deadline = field(init=False)
    _trail: "CommandSink | None" = None
    _view: "LiveView | None" = None
    _ended: "tuple[Results, str] | None" = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _armed: "list[asyncio.Task[None]]" = field(default_factory=list)
    _watchdog: "process.Watchdog | None" = None
    _is_holding: bool = False

    def __post_init__(self) -> None:
        """Let the deadline count from now."""
        self._deadline = self._from_now(self._timeout_s)

    @property
    def _timeout_s(self) -> float:
        return self._settings.liquidation.timeout_seconds

    def _from_now(self, seconds: float) -> Deadline:
        return Deadline.after(
            seconds, began=time.monotonic(), epoch_s=SystemClock().now().timestamp()
        )

    @property
    def _settings(self) -> "Settings":
        """What is the same for every account: where it is recorded, how long it may take."""
        return self.runs[0].settings

    def run(self, loop: asyncio.AbstractEventLoop) -> ExitCode:
        """Liquidate and print the results; return the exit code."""
        process.signals.ignore_hangups()
        self._watch(self._deadline)

        def leave_a_word() -> None:
            process.LastResort(_LAST_WORD_S, process.signals.exit_code(ExitCode.FAILED))
            watchdog = self._watchdog
            if watchdog is None or watchdog.last_word.acquire(blocking=False):
                self._expire()

        process.signals.last_word(leave_a_word)
        loop.run_until_complete(self._liquidate(loop))
        if self._armed:
            from liqctl.standby.handover import ANSWER_MAX_S

            # Each armed process keeps its own deadline, as does what came back from one.
            self._watch(self._from_now(ANSWER_MAX_S + LIMITS["timeout_seconds"].high))
            loop.run_until_complete(asyncio.gather(*self._armed))
            self._watch(self._from_now(self._timeout_s))
        if self.options.hold:
            loop.run_until_complete(self.hold(loop))
        watchdog = self._watchdog or self._watch(self._from_now(self._timeout_s))
        results = self._results()
        # The watchdog has a screen and still watches while this one is drawn, for what draws takes
        # its time, and may have to be loaded from a disk that hangs.
        screen = self.printer.render(results, is_drawn=False)
        self._ended = results, screen
        screen = self.printer.render(results)
        watchdog.keep(process.signals.exit_code(results.exit_code()))
        code = self._tell(results, screen)
        if self._trail is not None:
            self._trail.finish()
        self.printer.follow_up(results, code)
        return code

    async def carry_out(self, loop: asyncio.AbstractEventLoop, trail: "CommandSink") -> "Results":
        """Liquidate within a process that has more to do; return the results, and print nothing.

        The process ends only where the run does not, past its deadline.
        """
        self._trail = trail
        self._watch(self._deadline)
        await self._liquidate(loop)
        self._stand_down()
        return self._results()

    async def hold(self, loop: asyncio.AbstractEventLoop) -> "Results":
        """Hold the accounts flat for as long as the options say; return the results after it."""
        # It also owes the document to a second signal within the hold.
        self._watch(self._from_now(self.options.hold + self._timeout_s + _HOLD_SLACK_S))
        self._is_holding = True
        if self._view is not None:
            self._view.close()
        out.progress(f"holding the account flat for {self.options.hold:g} s; Ctrl-C ends the hold")
        until = loop.time() + self.options.hold
        # An armed process holds its account by itself.
        held = [run for run in self.runs if run.account and run.handed is None]
        await asyncio.gather(*(self._hold(run, until) for run in held))
        self._is_holding = False
        self._stand_down()
        return self._results()

    def end_hold(self) -> None:
        """Hold the accounts no longer, or not at all; a run within the hold ends by itself."""
        self._stop.set()

    def _results(self) -> "Results":
        return self.printer.joined([run.result for run in self.runs if run.result])

    def _watch(self, deadline: Deadline) -> process.Watchdog:
        """Let the process be ended after this deadline, and no longer after the one before."""
        self._stand_down()
        self._watchdog = process.Watchdog(deadline, self._expire)
        return self._watchdog

    def _stand_down(self) -> None:
        """Let the process live: the runs are over, and it has more to do."""
        if self._watchdog is not None:
            self._watchdog.stand_down()
        self._watchdog = None

    async def _liquidate(self, loop: asyncio.AbstractEventLoop) -> None:
        address = Address(minute_start=self._deadline.minute_start, accounts=len(self.runs))
        for run in self.runs:
            if run.handed is not None and run.handed.is_refused:
                self.printer.take_back(run, run.handed.taker)
            elif run.handed is not None:
                self._armed.append(loop.create_task(self._wait_for_armed(run, run.handed)))
        begun = [
            (run, *self._begin(run, run.account, address))
            for run in self.runs
            if run.account and run.handed is None
        ]
        for name in LOADED_MEANWHILE:
            if name not in sys.modules:
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                importlib.import_module(name)
        trail = self._trail = self._trail or self._make_trail()
        for run in self.runs:
            if run.handed is not None:
                run.handed.listen(partial(trail.tell, run.name))

        def interrupt() -> None:
            loop.call_soon_threadsafe(self._stop.set)
            for run in self.runs:
                if run.manager is not None:
                    loop.call_soon_threadsafe(run.manager.interrupt)

        process.signals.shield(interrupt)
        if begun:
            await self._carry_on(begun, trail, self._deadline)

    async def _carry_on(
        self,
        begun: "Sequence[tuple[AccountRun, Opening | None, AccountLock | None]]",
        trail: "CommandSink",
        deadline: Deadline,
        *,
        reason: str | None = None,
    ) -> None:
        """Carry out runs that were begun, beside what the master's key says of them.

        A `reason` of its own has a run within a hold, beside which that key is not asked.
        """
        async with self._witness(None if reason else deadline) as witness:
            await asyncio.gather(
                *(
                    self._liquidate_one(run, opening, lock, trail, witness=witness, reason=reason)
                    for run, opening, lock in begun
                )
            )

    async def _run_alone(
        self, run: AccountRun, account: "Account", seconds: float, *, reason: str | None = None
    ) -> None:
        """Carry out the run of one account by itself, within a time limit that begins now."""
        deadline = run.deadline = self._from_now(seconds)
        run.result = None
        watchdog = process.Watchdog(deadline, self._expire)
        trail = self._trail = self._trail or self._make_trail()
        if run.name:
            trail.accounts[run.correlation_id] = run.name
        begun = self._begin(run, account, Address(minute_start=deadline.minute_start))
        await self._carry_on([(run, *begun)], trail, deadline, reason=reason)
        watchdog.stand_down()

    async def _wait_for_armed(self, run: AccountRun, handed: "HandingOver") -> None:
        """Take the result of an account from its armed process, or the work back.

        Told to stop, it waits no more, and the armed process goes on.
        """
        stopping = asyncio.create_task(self._stop.wait())
        answering = asyncio.wrap_future(handed.answer)
        both: list[asyncio.Future[Any]] = [stopping, answering]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not answering.done():
            run.result = self._known(run, 0.0)
            out.error(f"{run.name}: {run.result.error_message}")
            return
        result = result_of(answering.result())
        if result is not None:
            run.result = replace(result, account=run.name)
            return
        self.printer.take_back(run, handed.taker)
        if run.account is not None:
            await self._run_alone(run, run.account, self._timeout_s)

    @contextlib.asynccontextmanager
    async def _witness(self, deadline: Deadline | None) -> "AsyncIterator[Witness | None]":
        """Let the master's key, if there is one, be asked beside runs until their deadline."""
        from liqctl.cli.wiring import has_master, open_master
        from liqctl.run.manager import Witness
        from liqctl.settings.credentials import MASTER, load_credentials

        if deadline is None or not has_master(self._settings):
            yield None
            return
        witness = Witness(deadline)

        async def open_witness() -> None:
            try:
                # In a thread: its files may be on a disk that hangs, and the runs do not need them.
                credentials = await asyncio.to_thread(
                    load_credentials, self._settings.environment, os.environ, MASTER
                )
                exchange = open_master(self._settings, credentials)
            except (CredentialsError, RuntimeError) as error:  # or no thread can be had
                witness.problem = str(error)
                out.error(f"{error}\nThe master key is not asked; nothing else changes.")
                return
            here = [run for run in self.runs if run.handed is None]
            keys = {run.account.key: run.name for run in here if run.account}
            witness.open(exchange, keys, own=credentials.api_key)

        opening = asyncio.create_task(open_witness())
        try:
            yield witness
        finally:
            opening.cancel()
            await witness.close()

    def _begin(
        self, run: AccountRun, account: "Account", address: Address
    ) -> "tuple[Opening | None, AccountLock | None]":
        """Take the account's lock and begin its first reading."""
        settings = run.settings
        opening = lock = None
        if not account.embedded:
            from liqctl.kernel.events import TRAIL_NAME
            from liqctl.run.lock import AccountLock

            lock = AccountLock(
                identity=account.identity,
                environment=settings.environment.value,
                log_path=settings.audit.log_dir / TRAIL_NAME,
            )
        if settings.liquidation.emergency_liquidation and run.twin_of is None:
            make_opening = partial(
                Opening,
                exchange=account.exchange,
                policy=settings.liquidation,
                correlation_id=run.correlation_id,
                wall_clock=SystemClock(),
                deadline=run.deadline or self._deadline,
                address=address,
                account=run.name,
                known=run.known,
            )
            opening = make_opening(lock=lock)
            if lock and opening.blocked:
                holder = opening.blocked.holder
                if run.passes_over:
                    lock.pass_over(holder, "was waited for long enough")
                    opening = make_opening()
                elif holder and (holder.correlation_id == run.handed_as or holder.pid == run.taker):
                    # The armed process that was asked hangs, or dies at this moment; its lock must
                    # not disarm this run too. It may be held for another command, or a trip.
                    lock.pass_over(holder, "fell silent")
                    opening = make_opening()
        return opening, lock

    async def _liquidate_one(
        self,
        run: AccountRun,
        opening: Opening | None,
        lock: "AccountLock | None",
        trail: "CommandSink",
        *,
        witness: "Witness | None" = None,
        reason: str | None = None,
    ) -> None:
        from liqctl.kernel.words import explain_twin
        from liqctl.run.manager import LiquidationManager

        settings, account = run.settings, run.account
        if account is None:
            return
        manager = run.manager = LiquidationManager(
            config=settings.liquidation,
            exchange=account.exchange,
            audit_logger=trail,
            environment=settings.environment.value,
            account=run.name,
            identity=account.describe(settings),
            lock=lock,
            dead_runs=trail,
            witness=witness.of(account.key) if witness else None,
        )
        if run.twin_of is not None:
            run.result = await manager.skip(run.correlation_id, explain_twin(run.twin_of))
            return
        try:
            run.result = await manager.execute_liquidation(
                reason=reason or self.printer.reason,
                correlation_id=run.correlation_id,
                opening=opening,
            )
        except Exception as error:
            if len(self.runs) == 1:
                raise
            # A fault of ours in one account stops none of the others.
            why = f"a fault of liqctl itself: {process.describe_unexpected(error)}"
            run.result = self.printer.refusal(FailureCause.NONE, why, run.settings)

    async def _hold(self, run: AccountRun, until: float) -> None:
        """Close what re-appears, each time in a run of its own with the whole time limit."""
        from liqctl.run.inspection import look_until_open
        from liqctl.venue.exchange import PatientExchange

        account, first = run.account, run.result
        if account is None or first is None or not first.was_carried_out:
            return
        loop = asyncio.get_running_loop()
        name, strangers = run.correlation_id, dict[str, None]()
        policy = replace(run.settings.liquidation, margin=first.margin)
        last, number = first, 0
        patient = PatientExchange(account.exchange, SystemClock())
        while not self._stop.is_set():
            found = await look_until_open(
                patient,
                policy,
                until=until,
                stop=self._stop,
                wall_clock=SystemClock(),
                wakes=self.wakes,
            )
            if found is None:
                break
            number += 1
            strangers |= dict.fromkeys(found.describe_open())
            run.correlation_id, run.known = f"{name[:_HELD_NAME_MAX]}-h{number}", None
            left_s = max(until + self._timeout_s - time.monotonic(), 0.0)
            reason = f"held flat after {name}"
            await self._run_alone(run, account, min(self._timeout_s, left_s), reason=reason)
            assert run.result is not None  # noqa: S101 - it has an account
            last = run.result
            first = first.ended_by(last)
            if loop.time() >= until:
                break  # What it could not close, the next one would find again, for ever.
        run.correlation_id = name
        run.result = first.after_hold(
            last,
            held_s=loop.time() - until + self.options.hold,
            reopened=tuple(strangers),
            times=number,
        )

    def _make_trail(self) -> "CommandSink":
        from liqctl.cli.live import CommandSink

        aloud = self.options.verbose
        if not aloud and out.is_terminal(STDERR):
            from liqctl.cli.live import LiveView, can_redraw

            if can_redraw(os.environ):
                title = f"{self._settings.environment.value}  {self.printer.correlation_id}"
                with contextlib.suppress(RuntimeError):  # no thread can be had
                    self._view = LiveView(
                        title=title,
                        timeout_s=self._settings.liquidation.timeout_seconds,
                        began_at=self._deadline.began,
                        colour=self.options.colour,
                        accounts=[run.name for run in self.runs if run.name],
                    )
            aloud = self._view is None
        trail = CommandSink(self._settings, aloud=aloud, view=self._view)
        trail.accounts.update({run.correlation_id: run.name for run in self.runs if run.name})
        return trail

    def _expire(self) -> ExitCode:
        """End the runs from outside their loop, which did not or may not; print what is known.

        Printing comes first: a disk that hangs must not take the one document along. Nothing is
        drawn, for that takes rich, and time.
        """
        if self._ended is None:
            duration_s = time.monotonic() - self._deadline.began
            results = self.printer.joined([self._known(run, duration_s) for run in self.runs])
            self._ended = results, self.printer.render(results, is_drawn=False)
        results, screen = self._ended
        code = self._tell(results, screen)
        for run in self.runs:
            if run.manager is not None:
                run.manager.record_expiry()
        if self._trail is not None:
            self._trail.finish(_LAST_RECORDS_S)
        self.printer.follow_up(results, code, patience_s=0.0)
        return code

    def _known(self, run: AccountRun, duration_s: float) -> "LiquidationResult":
        """Return how a run ended, or as far as it came."""
        known = run.result or (run.manager.expire(duration_s) if run.manager else None)
        is_cut = self._is_holding and not process.signals.received
        if known is not None and is_cut and known.verified_flat and not known.held_seconds:
            # Its proof was of before the hold.
            return replace(
                known,
                state=LiquidationState.PARTIAL,
                verified_flat=False,
                deadline_exceeded=True,
                error_message=_HOLD_HUNG,
            )
        if known is not None:
            return known
        why = NOTHING_SENT if process.signals.received else _OVER_BEFORE_IT_BEGAN
        if run.handed is not None:
            why = f"interrupted: {GOES_ON}" if process.signals.received else GOES_ON
        return self.printer.refusal(FailureCause.NONE, why, run.settings, name=run.correlation_id)

    def _tell(self, results: "Results", screen: str) -> ExitCode:
        if self._view is not None:
            self._view.close()
        return self.printer.end(results, screen)
