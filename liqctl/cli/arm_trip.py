"""The trip of an armed process, and how everything that happens to one is told.

A trip is a run like any other, with its own record, deadline and watchdog; then the account is held
flat, and the process ends with that run's exit code. The latch stays until a human re-arms.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.execution import Execution
from liqctl.cli.handing_over import AccountRun
from liqctl.cli.liquidate import ResultPrinter
from liqctl.cli.live import CommandSink
from liqctl.cli.options import Options
from liqctl.cli.output import ERROR_STALL_S, out
from liqctl.cli.wiring import identities_of
from liqctl.kernel import events
from liqctl.kernel.as_json import as_json, dump_line, rfc3339
from liqctl.kernel.pacing import ORDERS_FIRST_S
from liqctl.kernel.states import FailureCause, TripCause, make_correlation_id
from liqctl.notify.notice import (
    COURIER_S,
    HealthNews,
    Notice,
    Post,
    make_message,
    make_order,
    start_courier,
    wait_for_courier,
)
from liqctl.run import SystemClock
from liqctl.run.inspection import Wakes
from liqctl.settings.targets import read_targets
from liqctl.standby.process import close_latch

if TYPE_CHECKING:
    import subprocess
    from datetime import datetime

    from liqctl.cli.wiring import Account
    from liqctl.kernel.events import AuditEvent
    from liqctl.kernel.result import Results
    from liqctl.settings.values import Settings
    from liqctl.standby.armed import Armed, Trigger
    from liqctl.standby.handover import Client, Handover

_BLOCKED_AGAIN_S: Final = 0.5
_BLOCKED_MAX_S: Final = 40.0
"""How far apart, and for how long, a trip looks whether another liquidation of the account has
ended: that may take 30 s, and it may die."""

_LATCH_MAX_S: Final = 0.2
"""How long the disk of the latch may take beyond the run."""

_TRIP_TOLD_AFTER_S: Final = 0.5
"""How long after a trigger it is told: the first orders take some milliseconds. (guess)"""


class Teller:
    """Tells what one armed process does: its trail, stdout, and who wants to be notified.

    Notices are sent by processes of their own, never in the way of a trip: each is started in a
    thread, and for a trip only once its first orders are long out.
    """

    def __init__(self, options: Options, settings: "Settings") -> None:
        """Open the trail; nothing is told yet."""
        name = make_correlation_id(SystemClock().now(), os.urandom(3).hex())
        self.correlation_id = name.replace("liq_", "arm_", 1)
        self.trail = CommandSink(settings, aloud=options.verbose, view=None)
        if settings.account:
            self.trail.accounts[self.correlation_id] = settings.account
        self.post = Post(
            environment=settings.environment.value,
            account=settings.account,
            correlation_id=self.correlation_id,
        )
        self._options = options
        self._settings = settings
        self._targets = read_targets(settings.notifications)
        self._health = HealthNews()
        self._timer: asyncio.TimerHandle | None = None
        self._starting: set[asyncio.Task[None]] = set()
        self._last: subprocess.Popen[bytes] | None = None

    def record(self, event: "AuditEvent") -> None:
        """Write an event of the armed process, not of a run, to the trail."""
        event.log_to(self.trail, self.correlation_id)

    def record_trip(self, trigger: "Trigger", *, run: str | None) -> None:
        """Record what tripped; without a `run` it is only observed."""
        self.record(
            events.arm_tripped(
                trigger.by,
                reason=trigger.why,
                figures=trigger.figures,
                run=run,
                observe=run is None,
            )
        )

    def line(self, health: str, reasons: tuple[str, ...], **more: object) -> None:
        """Print one line on stdout: it is what this command answers.

        A reader that takes nothing loses it soon: a trip waits while it is written.
        """
        if self._options.as_json:
            line = {"at": SystemClock().now(), "state": health, "reasons": list(reasons), **more}
            out.answer(dump_line(as_json(line)), stall_s=ERROR_STALL_S)
            return
        name = f" {self._settings.account}" if self._settings.account else ""
        told = "".join(
            f", {value}" if what == "result" else f", {value} {what}"
            for what, value in more.items()
        )
        why = f": {'; '.join(reasons)}" if reasons else ""
        text = f"{self._settings.environment.value}{name} {health}{told}{why}"
        out.answer(text, stall_s=ERROR_STALL_S)

    def left(self, left: "Mapping[str, datetime]") -> None:
        """Say on which symbols the venue's countdown may still run out."""
        if left:
            symbols = ", ".join(f"{name} until {at:%H:%M:%S} UTC" for name, at in left.items())
            out.error(
                f"a countdown at the venue may still cancel open orders on {symbols}: its end was "
                "not confirmed"
            )

    def notice(self, notice: Notice) -> None:
        """Let a notice be sent, where somebody wants it."""
        if any(target.wants(notice.kind, notice.rank) for target in self._targets):
            self._carry_out(lambda: make_message(self._settings, [notice]))

    def health(self, health: str, reasons: tuple[str, ...]) -> None:
        """Take the present health; a change that lasts is told, at most once a minute."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            if self._health.is_due(loop.time()):
                self.notice(self.post.health(health, reasons))

        self.no_more_health()
        due_at = self._health.note(health, loop.time())
        if due_at is not None:
            self._timer = loop.call_at(max(due_at, loop.time()), tell)

    def no_more_health(self) -> None:
        """Tell of no change of health any more."""
        if self._timer is not None:
            self._timer.cancel()

    def follow_up(self, results: "Results", settings: "Settings", reason: str) -> None:
        """Let figures be written and people be told of a run, as after every other one."""
        if not (settings.notifications or settings.metrics.textfile):
            return
        code = process.signals.received or results.exit_code()

        def make() -> Mapping[str, Any]:
            identities = identities_of(settings) if settings.metrics.textfile else None
            return make_order(settings, results, code, reason, identities)

        self._carry_out(make)

    def _carry_out(self, make_order: Callable[[], Mapping[str, Any]]) -> None:
        """Let another process carry out an order, which is made in a thread."""

        async def start() -> None:
            try:
                self._last = await asyncio.to_thread(lambda: start_courier(make_order()))
            except (OSError, ValueError, RuntimeError) as error:
                why = error.strerror if isinstance(error, OSError) else type(error).__name__
                out.error(f"no notification was sent: its process did not start: {why}")

        task = asyncio.get_running_loop().create_task(start())
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def finish(self) -> None:
        """Wait for what is being sent, as long as it may take; a service manager ends the rest."""
        self.no_more_health()
        ends_at = time.monotonic() + COURIER_S
        if self._starting:
            await asyncio.wait(self._starting, timeout=COURIER_S)
        if self._last is not None:
            with contextlib.suppress(RuntimeError):
                await asyncio.to_thread(wait_for_courier, self._last, ends_at)


@dataclass(kw_only=True, eq=False)
class Trip:
    """One closing of the account by an armed process.

    `armed` is None where the account was not read yet, and after another trip. `screens` are those
    who handed a liquidation over, each with what it asked for; more of them may come while it runs.
    """

    options: Options
    settings: "Settings"
    account: "Account"
    told: Teller
    screens: "Mapping[Client, Handover]"
    is_stopped: asyncio.Event
    armed: "Armed | None"
    trigger: "Trigger"
    printer: ResultPrinter = field(init=False)
    results: "Results" = field(init=False)
    _execution: Execution | None = None

    def __post_init__(self) -> None:
        """Decide what is closed, and by which name; nothing is sent yet."""
        policy = self.trigger.policy or self.settings.liquidation
        if self.armed is not None:
            policy = replace(policy, margin=self.armed.margin)
        self.settings = replace(self.settings, liquidation=policy)
        self.options = replace(self.options, hold=self.settings.arm.hold_seconds)
        printer = self.printer = ResultPrinter(self.options)
        printer.is_one_line = True  # It follows lines, whoever prints it.
        printer.settings = self.settings
        printer.reason = self.trigger.reason or self.trigger.why
        printer.correlation_id = self.trigger.correlation_id or printer.correlation_id
        # Where nothing is watched beside it, nobody joins it.
        self.is_answered = self.armed is None

    async def close(self) -> "Mapping[str, datetime]":
        """Close the account, answer who handed over, and tell of it.

        Returns:
            The symbols on which the venue's countdown may still run out, with its end.
        """
        trigger, armed, told = self.trigger, self.armed, self.told
        name = self.printer.correlation_id
        run = AccountRun(
            settings=self.settings,
            correlation_id=name,
            account=self.account,
            known=armed.known if armed is not None else None,
        )
        if self.settings.account:
            told.trail.accounts[name] = self.settings.account
        latched = {
            "by": trigger.by.value,
            "why": trigger.why,
            "tripped_at": rfc3339(SystemClock().now()),
            "correlation_id": name,
        }
        # In front of START: the trail tells what happened in the order in which it did.
        told.record_trip(trigger, run=name)
        told.no_more_health()
        loop = asyncio.get_running_loop()

        def tell() -> None:
            told.notice(told.post.tripped(trigger.by, trigger.why, name))

        telling = loop.call_later(_TRIP_TOLD_AFTER_S, tell)

        def pass_on(event_type: str, details: Mapping[str, Any]) -> None:
            for client in self.screens:
                client.event(event_type, details)

        told.trail.listeners.append(pass_on)
        execution = self._execution = Execution(self.options, [run], self.printer)
        if armed is not None:
            policy = self.settings.liquidation
            armed.wakes = execution.wakes = Wakes(policy, armed.listens, now=loop.time())

        async def latch() -> bool:
            await asyncio.sleep(ORDERS_FIRST_S)
            log_dir = self.settings.audit.log_dir
            with contextlib.suppress(RuntimeError):  # No thread can be had.
                return await asyncio.to_thread(close_latch, self.account.identity, latched, log_dir)
            return False

        closing = loop.create_task(latch())
        try:
            self.results = await execution.carry_out(loop, told.trail)
            if trigger.by is not TripCause.HANDOVER:
                await self._wait_for_others(run, execution)
            await self._answer()
        finally:
            done, _ = await asyncio.wait([closing], timeout=_LATCH_MAX_S)
            if not (done and closing.result()):
                out.error(
                    "the latch could not be written: nothing keeps a restart from arming again"
                )
        left = await armed.disarm_countdowns() if armed is not None else {}
        if telling.when() > loop.time():  # Its run is over before it was told.
            telling.cancel()
            tell()
        told.follow_up(self.results, self.settings, self.printer.reason)
        told.line("tripped", (trigger.why,), result=self.results.state.value)
        told.left(left)
        return left

    async def hold(self) -> None:
        """Hold the account flat for as long as the settings or a handover say, unless stopped."""
        hold_s = max([self.options.hold, *(asked.hold for asked in self.screens.values())])
        if not hold_s or self.is_stopped.is_set() or self._execution is None:
            return
        self._execution.options = replace(self.options, hold=hold_s)
        code = self.results.exit_code()
        self.results = await self._execution.hold(asyncio.get_running_loop())
        if self.results.exit_code() != code:
            self.told.follow_up(self.results, self.settings, self.printer.reason)

    def end_hold(self) -> None:
        """Hold the account no longer, or not at all."""
        if self._execution is not None:
            self._execution.end_hold()

    async def _wait_for_others(self, run: AccountRun, execution: Execution) -> None:
        """Close the account once another liquidation of it has ended: that one may die, or less.

        One after another may have the lock; then the account is closed beside them. Whoever handed
        over is told instead, as by any `liquidate`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + _BLOCKED_MAX_S
        if self.results.only.cause is FailureCause.BLOCKED:
            held = "; ".join(self.results.only.notes)
            out.error(
                f"another liquidation of this account is in progress ({held}): this one begins "
                f"when that has ended, {_BLOCKED_MAX_S:g} s from now at the latest"
            )
        while self.results.only.cause is FailureCause.BLOCKED:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.is_stopped.wait(), _BLOCKED_AGAIN_S)
            if self.is_stopped.is_set() or process.signals.received:
                break
            run.known, run.result = None, None
            run.passes_over = loop.time() >= until
            self._execution = Execution(self.options, [run], self.printer, execution.wakes)
            self.results = await self._execution.carry_out(loop, self.told.trail)
            run.passes_over = False

    async def _answer(self) -> None:
        """Give who handed over the result, drawn as was asked."""
        results = self.results
        for client, asked in self.screens.items():
            screen = asked.screen
            if screen.get("as_data"):
                whole = dump_line(as_json(results.only, is_whole=True))
                client.answer(whole, results.exit_code())
                continue
            options = Options(
                as_json=bool(screen.get("as_json")), no_color=not screen.get("colour")
            )
            printer = ResultPrinter(options)
            printer.settings = self.settings
            printer.size = (screen.get("width"), screen.get("height"))
            client.answer(printer.render(results), results.exit_code())
        self.is_answered = True
        # A process that ends at once takes along what has not left yet.
        await asyncio.gather(*(client.flush() for client in self.screens))
