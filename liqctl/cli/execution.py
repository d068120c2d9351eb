"""One run from the command line: opened first, ended in time, its last modules loaded in between.

The first reading takes a round trip, in which the processor would idle: what is only needed to
decide and to record is imported then, a module at a time, so that the connections get their turn.
"""

import asyncio
import contextlib
import importlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from liqctl.cli import process
from liqctl.cli.last_resort import LastResort
from liqctl.cli.output import STDERR, out
from liqctl.kernel.limits import Deadline
from liqctl.kernel.states import ExitCode
from liqctl.run.driver import Opening
from liqctl.run.who import SystemClock

if TYPE_CHECKING:
    from liqctl.cli.command_sink import CommandSink
    from liqctl.cli.liquidate import ResultPrinter
    from liqctl.cli.live import LiveView
    from liqctl.cli.options import Options
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
    "liqctl.kernel.sending",
    "liqctl.kernel.watch",
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

_TURNS: Final = 10
"""Turns of the loop before each module: so many a request takes until it waits for the network."""


@dataclass(slots=True)
class Execution:
    """The liquidation of one account inside its deadline; nothing is sent before `run`."""

    options: "Options"
    settings: "Settings"
    account: "Account"
    printer: "ResultPrinter"
    _deadline: Deadline = field(init=False)
    _manager: "LiquidationManager | None" = None
    _trail: "CommandSink | None" = None
    _view: "LiveView | None" = None
    _ended: "tuple[LiquidationResult, str] | None" = None

    def __post_init__(self) -> None:
        """Let the deadline count from now."""
        self._deadline = Deadline.after(
            self.settings.liquidation.timeout_seconds,
            began=time.monotonic(),
            epoch_s=SystemClock().now().timestamp(),
        )

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
        # The watchdog has a screen and still watches while this one is drawn, for what draws takes
        # its time, and may have to be loaded from a disk that hangs.
        screen = self.printer.render(result, is_drawn=False)
        self._ended = result, screen
        screen = self.printer.render(result)
        watchdog.keep(process.signals.exit_code(result.exit_code()))
        code = self._tell(result, screen)
        if self._trail is not None:
            self._trail.finish()
        self.printer.follow_up(result, code)
        return code

    async def _liquidate(self, loop: asyncio.AbstractEventLoop) -> "LiquidationResult":
        settings = self.settings
        opening = lock = None
        if not self.account.embedded:
            from liqctl.kernel.events import TRAIL_NAME
            from liqctl.run.lock import AccountLock

            lock = AccountLock(
                identity=self.account.identity,
                environment=settings.environment.value,
                log_path=settings.audit.log_dir / TRAIL_NAME,
            )
        if settings.liquidation.emergency_liquidation:
            opening = Opening(
                exchange=self.account.exchange,
                policy=settings.liquidation,
                correlation_id=self.printer.correlation_id,
                wall_clock=SystemClock(),
                lock=lock,
                deadline=self._deadline,
            )
        for name in LOADED_MEANWHILE:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            importlib.import_module(name)
        manager = self._manager = self._make_manager(lock)

        def interrupt() -> None:
            loop.call_soon_threadsafe(manager.interrupt)

        process.signals.shield(interrupt)
        return await manager.execute_liquidation(
            reason=self.printer.reason,
            correlation_id=self.printer.correlation_id,
            opening=opening,
        )

    def _make_manager(self, lock: "AccountLock | None") -> "LiquidationManager":
        from liqctl import __version__
        from liqctl.cli.command_sink import CommandSink
        from liqctl.run.manager import LiquidationManager

        settings = self.settings
        aloud = self.options.verbose
        if not aloud and out.is_terminal(STDERR):
            from liqctl.cli.live import LiveView, can_redraw

            if can_redraw(os.environ):
                with contextlib.suppress(RuntimeError):  # no thread can be had
                    self._view = LiveView(
                        title=f"{settings.environment.value}  {self.printer.correlation_id}",
                        timeout_s=settings.liquidation.timeout_seconds,
                        began_at=self._deadline.began,
                        colour=self.options.colour,
                    )
            aloud = self._view is None
        trail = self._trail = CommandSink(settings, aloud=aloud, view=self._view)
        return LiquidationManager(
            config=settings.liquidation,
            exchange=self.account.exchange,
            audit_logger=trail,
            environment=settings.environment.value,
            identity={
                "version": __version__,
                "base_url": self.account.base_url,
                "key_fingerprint": self.account.key_fingerprint,
                "config_file": str(settings.file) if settings.file else None,
            },
            lock=lock,
            dead_runs=trail,
        )

    def _expire(self) -> ExitCode:
        """End the run from outside its loop, which did not or may not; print what is known.

        Printing comes first: a disk that hangs must not take the one document along. Nothing is
        drawn, for that takes rich, and time.
        """
        if self._ended is None:
            duration_s = time.monotonic() - self._deadline.began
            result = self._manager.expire(duration_s) if self._manager else None
            if result is None:
                from liqctl.kernel.states import FailureCause

                why = _INTERRUPTED if process.signals.received else _OVER_BEFORE_IT_BEGAN
                result = self.printer.refusal(FailureCause.NONE, why)
            self._ended = result, self.printer.render(result, is_drawn=False)
        result, screen = self._ended
        code = self._tell(result, screen)
        if self._manager is not None:
            self._manager.record_expiry()
        if self._trail is not None:
            self._trail.finish(_LAST_RECORDS_S)
        self.printer.follow_up(result, code, patience_s=0.0)
        return code

    def _tell(self, result: "LiquidationResult", screen: str) -> ExitCode:
        if self._view is not None:
            self._view.close()
        return self.printer.end(result, screen)
