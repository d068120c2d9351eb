"""One run from the command line: opened first, ended in time, its last modules loaded in between.

The first reading takes a round trip, in which the processor would idle: what is only needed to
decide and to record is imported then, a module at a time, so that the connections get their turn.
"""

import asyncio
import importlib
import os
import time
from typing import TYPE_CHECKING, Final

from liqctl.cli import process
from liqctl.cli.last_resort import LastResort
from liqctl.kernel.limits import Deadline
from liqctl.kernel.states import ExitCode
from liqctl.run.driver import Opening
from liqctl.run.who import SystemClock

if TYPE_CHECKING:
    from liqctl.cli.command_sink import CommandSink
    from liqctl.cli.live import LiveView
    from liqctl.cli.options import Options
    from liqctl.cli.result_printer import ResultPrinter
    from liqctl.cli.wiring import Account
    from liqctl.kernel.result import LiquidationResult
    from liqctl.run.lock import AccountLock
    from liqctl.run.manager import LiquidationManager
    from liqctl.settings.values import Settings

LOADED_MEANWHILE: Final = (
    "liqctl.kernel.result",
    "liqctl.kernel.ledger",
    "liqctl.kernel.plan",
    "liqctl.kernel.outcome",
    "liqctl.kernel.words",
    "liqctl.kernel.state",
    "liqctl.kernel.closes",
    "liqctl.kernel.rounds",
    "liqctl.run.manager",
    "liqctl.trail.writer",
    "liqctl.trail.durability",
    "liqctl.cli.command_sink",
    "liqctl.desk.text",
)

_INTERRUPTED: Final = "interrupted: nothing was sent"
_OVER_BEFORE_IT_BEGAN: Final = (
    "the deadline was reached before the program was loaded; no order and no cancel was sent"
)
_LAST_WORD_S: Final = 0.3
"""How long a second signal may take to record and print what is known."""

_LAST_RECORDS_S: Final = 0.02
"""How long records and log, each, may keep a process that is past its deadline by 80 ms already; at
200 ms it is ended without a word."""

_STDERR: Final = 2
_TURNS: Final = 10
"""Turns of the loop before each module: so many a request takes until it waits for the network."""


class Execution:
    """The liquidation of one account inside its deadline."""

    def __init__(
        self, options: "Options", settings: "Settings", account: "Account", printer: "ResultPrinter"
    ) -> None:
        """Prepare; nothing is sent before `run`. The deadline counts from now."""
        self._options = options
        self._settings = settings
        self._account = account
        self._printer = printer
        self._deadline = Deadline.after(
            settings.liquidation.timeout_seconds,
            began=time.monotonic(),
            epoch_s=SystemClock().now().timestamp(),
        )
        self._manager: LiquidationManager | None = None
        self._trail: CommandSink | None = None
        self._view: LiveView | None = None

    def run(self, loop: asyncio.AbstractEventLoop) -> ExitCode:
        """Liquidate and print the result; return the exit code."""
        process.signals.ignore_hangups()
        watchdog = process.Watchdog(self._deadline, self._expire)

        def leave_a_word() -> None:
            LastResort(_LAST_WORD_S, process.signals.exit_code(ExitCode.FAILED))
            if watchdog.last_word.acquire(blocking=False):
                self._expire()

        process.signals.last_word(leave_a_word)
        result = loop.run_until_complete(self._liquidate(loop))
        watchdog.keep(process.signals.exit_code(result.exit_code()))
        return self._end(result)

    async def _liquidate(self, loop: asyncio.AbstractEventLoop) -> "LiquidationResult":
        opening = None
        lock = None if self._account.embedded else self._lock()
        if self._settings.liquidation.emergency_liquidation:
            opening = Opening(
                exchange=self._account.exchange,
                policy=self._settings.liquidation,
                correlation_id=self._printer.correlation_id,
                wall_clock=SystemClock(),
                lock=lock,
                deadline=self._deadline,
            )
        await _load_meanwhile()
        manager = self._manager = self._make_manager(lock)

        def interrupt() -> None:
            loop.call_soon_threadsafe(manager.interrupt)

        process.signals.shield(interrupt)
        return await manager.execute_liquidation(
            reason=self._printer.reason,
            correlation_id=self._printer.correlation_id,
            opening=opening,
        )

    def _lock(self) -> "AccountLock":
        from liqctl.kernel.events import TRAIL_NAME
        from liqctl.run.lock import AccountLock

        return AccountLock(
            identity=self._account.identity,
            environment=self._settings.environment.value,
            log_path=self._settings.audit.log_dir / TRAIL_NAME,
        )

    def _make_manager(self, lock: "AccountLock | None") -> "LiquidationManager":
        from liqctl import __version__
        from liqctl.cli.command_sink import CommandSink
        from liqctl.run.manager import LiquidationManager
        from liqctl.trail.durability import LogFile
        from liqctl.trail.writer import AuditLogger

        settings = self._settings
        aloud = self._options.verbose
        if not aloud and process.is_terminal(_STDERR):
            self._view = self._open_view()
            aloud = self._view is None
        trail = self._trail = CommandSink(
            AuditLogger(
                settings.audit.log_dir,
                environment=settings.environment.value,
                spill=process.print_aside,
            ),
            LogFile(settings.audit.log_dir),
            aloud=aloud,
            view=self._view,
        )
        return LiquidationManager(
            config=settings.liquidation,
            exchange=self._account.exchange,
            audit_logger=trail,
            environment=settings.environment.value,
            identity={
                "version": __version__,
                "base_url": self._account.base_url,
                "key_fingerprint": self._account.key_fingerprint,
                "config_file": str(settings.file) if settings.file else None,
            },
            lock=lock,
            dead_runs=trail,
        )

    def _open_view(self) -> "LiveView | None":
        """Return the view of this run; None where lines of a terminal cannot be drawn anew."""
        from liqctl.cli.live import LiveView, can_redraw

        if not can_redraw(os.environ):
            return None
        try:
            return LiveView(
                title=f"{self._settings.environment.value}  {self._printer.correlation_id}",
                timeout_s=self._settings.liquidation.timeout_seconds,
                began_at=self._deadline.began,
                colour=self._options.colour,
            )
        except RuntimeError:  # no thread can be had
            return None

    def _expire(self) -> ExitCode:
        """End the run from outside its loop, which did not or may not; print what is known.

        Printing comes first: a disk that hangs must not take the one document along.
        """
        duration_s = time.monotonic() - self._deadline.began
        result = self._manager.expire(duration_s) if self._manager else None
        if result is None:
            from liqctl.kernel.states import FailureCause

            why = _INTERRUPTED if process.signals.received else _OVER_BEFORE_IT_BEGAN
            result = self._printer.refusal(FailureCause.NONE, why)
        code = self._tell(result)
        if self._manager is not None:
            self._manager.record_expiry()
        if self._trail is not None:
            self._trail.finish(_LAST_RECORDS_S)
        self._printer.follow_up(result, code, patience_s=0.0)
        return code

    def _end(self, result: "LiquidationResult") -> ExitCode:
        code = self._tell(result)
        if self._trail is not None:
            self._trail.finish()
        self._printer.follow_up(result, code)
        return code

    def _tell(self, result: "LiquidationResult") -> ExitCode:
        if self._view is not None:
            self._view.close()
        return self._printer.end(result)


async def _load_meanwhile() -> None:
    for name in LOADED_MEANWHILE:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        importlib.import_module(name)
