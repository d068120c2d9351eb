"""`liqctl arm`: stays up, connected and warmed, and closes the account in milliseconds.

What a reader would get wrong:
- Between a trigger and the first order nothing is imported, resolved, connected or opened: modules
  are loaded before it is armed, the trail is open, and the lock is taken beside the run.
- A trip is a run like any other, with its own record, deadline and watchdog; then the account is
  held flat, and the process ends with that run's exit code. The latch stays until a human re-arms.
- SIGUSR1 trips from the first moment on, also before the account could be read: its default would
  end the process, and nobody would be told.
"""

import asyncio
import contextlib
import importlib
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.cli.output import STDERR, out
from liqctl.kernel.errors import UsageError
from liqctl.kernel.events import make_correlation_id
from liqctl.kernel.pacing import ORDERS_FIRST_S
from liqctl.kernel.states import ExitCode, TripCause
from liqctl.run.who import SystemClock, describe_actor

if TYPE_CHECKING:
    from datetime import datetime

    from liqctl.cli.arm_news import ArmNews
    from liqctl.cli.command_sink import CommandSink
    from liqctl.cli.execution import AccountRun, Execution
    from liqctl.cli.liquidate import ResultPrinter
    from liqctl.cli.wiring import Account
    from liqctl.kernel.events import AuditEvent
    from liqctl.kernel.policy import LiquidationConfig
    from liqctl.kernel.result import Results
    from liqctl.run.inspection import Inspection
    from liqctl.settings.values import Settings
    from liqctl.standby.armed import Armed, Trigger
    from liqctl.standby.handover import Client, Handover
    from liqctl.standby.mirror import Health

_KIND_AGAIN_S: Final = 3.0
_KIND_AGAIN_MAX_S: Final = 12.0
"""How far apart the account is asked for until it can be read for the first time: doubled each
time, so that even looks that ask again and again stay within the weight of an armed process."""

_BLOCKED_AGAIN_S: Final = 0.5
_BLOCKED_MAX_S: Final = 40.0
"""How far apart, and for how long, a trip looks whether another liquidation of the account has
ended: that may take 30 s, and it may die."""

_LATCH_MAX_S: Final = 0.2
"""How long the disk of the latch may take beyond the run."""

_LOADED: Final = (
    "liqctl.cli.command_sink",
    "liqctl.cli.liquidate",
    "liqctl.cli.last_resort",
    "liqctl.desk.result",
    "liqctl.desk.several",
    "liqctl.cli.arm_news",
    "liqctl.kernel.as_json",
    "liqctl.notify.notice",
    "liqctl.run.inspection",
    "liqctl.run.lock",
    "liqctl.run.manager",
    "liqctl.standby.armed",
    "liqctl.standby.guarding",
    "liqctl.standby.handover",
    "liqctl.standby.process",
    "liqctl.standby.patience",
)
"""What a trip needs and this command has no other use for."""


@takes(
    *("environment", "config_file", "symbols", "products", "accounts"),
    *("observe", "rearm", "yes"),
    *("as_json", "no_color", "verbose"),
    as_json="Print each line as one JSON object.",
    accounts="Which of the settings' accounts; one process for each.",
    yes="Do not ask for confirmation in production.",
)
def arm(options: Options) -> ExitCode:
    """Stay connected and watch the account; close it at once on a trigger, and hold it flat.

    Triggers: `liqctl liquidate` from any shell, SIGUSR1, a heartbeat file that is too old, a guard.
    Exit codes: that of the liquidation after a trip; 2 usage, 4 configuration, 5 armed already,
    6 not confirmed, 7 key refused, 9 tripped before and not re-armed, 130 or 143 stopped.

    Example: liqctl arm --env production --yes
    """
    settings = options.settings()
    chosen = options.chosen(settings)
    if len(chosen) != 1:
        raise UsageError("one armed process watches one account; give --account once")
    settings = chosen[0]
    from liqctl.cli.liquidate import needs_confirmation
    from liqctl.cli.wiring import open_account
    from liqctl.standby.process import latch_of, open_latch, stand_alone

    with open_account(settings) as account:
        log_dir, identity = settings.audit.log_dir, account.identity
        if options.rearm:
            try:
                open_latch(identity, log_dir)
            except OSError as error:
                why = f"the latch cannot be removed: {error.filename}: {error.strerror}"
                out.error(f"liqctl: {why}. Nothing is watched. Next: remove the file by hand")
                return ExitCode.LATCHED
        elif (latch := latch_of(identity, log_dir)) is not None:
            out.error(
                f"liqctl: this account was tripped at {latch.get('tripped_at', 'a time unknown')} "
                f"({latch.get('why', 'why is not known')}) and was not re-armed. Nothing is "
                "watched. Next: see `liqctl audit tail`, then arm it again with --rearm"
            )
            return ExitCode.LATCHED
        if needs_confirmation(account.environment, account.base_url) and not options.yes:
            word = account.environment.value
            if not (out.is_terminal(0) and out.is_terminal(STDERR)):
                out.error(
                    f"not confirmed: {word} asks before it arms, and there is no terminal to ask "
                    "on. Give --yes to arm without asking"
                )
                return ExitCode.NOT_CONFIRMED
            out.error(
                f"{word}  {account.base_url}  key {account.key_fingerprint}\n"
                "An armed process closes every position in scope by itself when something trips.\n"
                f"Type {word} to go on, anything else to leave:"
            )
            with contextlib.suppress(EOFError, OSError, UnicodeDecodeError):
                if input().strip() == word:
                    word = ""
            if word:
                out.error("not confirmed: nothing is armed")
                return ExitCode.NOT_CONFIRMED
        if (alone := stand_alone(identity, log_dir)) is None:
            out.error("liqctl: another process is armed for this account already")
            return ExitCode.IN_PROGRESS
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(_Post(options, settings, account, loop).stand())
        finally:
            if alone >= 0:
                os.close(alone)


class _Post:
    """One armed process: from its first reading to its end."""

    def __init__(
        self,
        options: Options,
        settings: "Settings",
        account: "Account",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._options = options
        self._settings = settings
        self._account = account
        self._loop = loop
        self._id = make_correlation_id(SystemClock().now(), os.urandom(3).hex()).replace(
            "liq_", "arm_", 1
        )
        self._armed: Armed | None = None
        self._armed_at: str | None = None
        self._began_at = self._degraded_at = loop.time()
        self._was_armed = False
        self._trail: CommandSink | None = None
        self._screens: dict[Client, Handover] = {}
        self._handed_over: LiquidationConfig | None = None
        self._is_stopped = asyncio.Event()
        self._scope: LiquidationConfig | None = None
        self._positions: int | None = None
        self._is_answered = False
        self._early: Trigger | None = None
        self._late: Trigger | None = None
        self._execution: Execution | None = None
        self._is_woken = asyncio.Event()

    async def stand(self) -> ExitCode:
        """Arm, watch, and do what a trigger asks for; return the exit code."""
        from liqctl.standby.process import notify, show_life

        self._loop.add_signal_handler(signal.SIGUSR1, self._trip_by_signal)
        process.signals.ignore_hangups()
        process.signals.shield(
            self._stop_soon,
            said="stopping: the account is not watched any more",
        )
        for name in _LOADED:
            importlib.import_module(name)
        self._trail = self._make_trail()
        self._news = self._make_news()
        living = self._loop.create_task(show_life())
        try:
            seen = await self._first_look()
            if isinstance(seen, ExitCode):
                return seen
            if seen is None:
                return await self._trip_early()
            return await self._watch(seen)
        finally:
            living.cancel()
            notify("STOPPING=1")
            await self._news.finish()
            await self._account.exchange.close()
            self._trail.finish()

    def _make_news(self) -> "ArmNews":
        from liqctl.cli.arm_news import ArmNews

        return ArmNews(self._settings, self._id)

    def _make_trail(self) -> "CommandSink":
        from liqctl.cli.command_sink import CommandSink

        trail = CommandSink(self._settings, aloud=self._options.verbose, view=None)
        if self._settings.account:
            trail.accounts[self._id] = self._settings.account
        return trail

    def _stop_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._is_stopped.set()
        self._is_woken.set()
        if self._armed is not None:
            self._armed.stop()

    async def _first_look(self) -> "Inspection | ExitCode | None":
        """Look until the account can be read: what kind it is decides what is watched.

        None where something tripped before that.
        """
        from liqctl.kernel.answers import AnswerKind
        from liqctl.run.inspection import inspect_account
        from liqctl.standby.patience import PatientExchange

        exchange = PatientExchange(self._account.exchange, SystemClock())
        is_told, again_s = False, _KIND_AGAIN_S
        while not self._is_stopped.is_set():
            # Its positions tell what kind it is; orders are read once it is watched.
            looking = self._loop.create_task(
                inspect_account(
                    exchange, self._settings.liquidation, wall_clock=SystemClock(), is_brief=True
                )
            )
            waking = self._loop.create_task(self._is_woken.wait())
            await asyncio.wait([looking, waking], return_when=asyncio.FIRST_COMPLETED)
            waking.cancel()
            if not looking.done():
                looking.cancel()
                break
            found = looking.result()
            if found.is_kind_known and found.read:
                return found  # What cannot be read is told of, and asked for again, once armed.
            refusal = found.refusal
            if refusal and refusal.kind is AnswerKind.RUN_FATAL and not found.read:
                out.error(f"liqctl: {found.why_unreadable()}. Nothing is watched")
                return ExitCode.CREDENTIALS
            if not is_told:
                is_told = True
                why = found.why_unreadable() or "the account is not read yet"
                self._tell_line("blind", (why,))
            with contextlib.suppress(TimeoutError):
                wait_s = max(again_s, exchange.wait_s)
                await asyncio.wait_for(self._is_woken.wait(), wait_s)
            again_s = min(again_s * 2, _KIND_AGAIN_MAX_S)
            if self._is_woken.is_set():
                break
        if self._early is not None:
            return None
        return process.signals.received or ExitCode.INTERRUPTED

    async def _watch(self, seen: "Inspection") -> ExitCode:
        from liqctl import __version__
        from liqctl.cli.arm_checks import check_on
        from liqctl.kernel import events
        from liqctl.kernel.as_json import rfc3339
        from liqctl.standby.armed import Armed, Heartbeat
        from liqctl.standby.guarding import GuardWatch
        from liqctl.standby.handover import Doorkeeper
        from liqctl.standby.patience import PatientExchange
        from liqctl.venue.stream import WebSocketDoor

        settings, account = self._settings, self._account
        arm_settings = settings.arm
        policy = self._scope = replace(settings.liquidation, margin=seen.margin)
        reached = settings.exchange
        if account.embedded:
            reached = replace(reached, base_url=account.base_url)
        door = WebSocketDoor(
            settings.environment, base_url=reached.stream_base_url, proxy=reached.proxy
        )
        exchange = PatientExchange(account.exchange, SystemClock())
        heartbeat = arm_settings.heartbeat_file
        guarding = GuardWatch(
            arm_settings.guards,
            exchange,
            policy,
            identity=account.identity,
            wall_clock=SystemClock(),
        )
        armed = self._armed = Armed(
            exchange=exchange,
            door=door,
            policy=policy,
            wall_clock=SystemClock(),
            tell=self._tell_health,
            heartbeat=Heartbeat(file=heartbeat, seconds=arm_settings.heartbeat_seconds)
            if heartbeat
            else None,
            countdown_s=None if self._options.observe else arm_settings.countdown_seconds,
            guarding=guarding,
            observe=self._observe if self._options.observe else None,
        )
        self._armed_at = rfc3339(SystemClock().now())
        self._positions = len(seen.verdict.positions)
        if self._early is not None:
            armed.trip(self._early)
        keeper = Doorkeeper(account.identity, self._decide, self._describe)
        try:
            await keeper.open()
        except OSError as error:
            out.error(
                f"no liquidation can be handed over to this process: {error.strerror}. Whoever "
                "calls one closes the account by itself; everything else works"
            )
        self._record(
            events.armed(
                describe_actor(),
                {
                    "version": __version__,
                    "base_url": account.base_url,
                    "key_fingerprint": account.key_fingerprint,
                    "config_file": str(settings.file) if settings.file else None,
                },
                config=asdict(policy),
                guards=arm_settings.guards,
                heartbeat=str(heartbeat) if heartbeat else None,
                countdown_seconds=arm_settings.countdown_seconds,
                hold_seconds=arm_settings.hold_seconds,
                observe=self._options.observe,
                rearmed=self._options.rearm,
                notes=guarding.notes,
            )
        )
        self._news.tell(self._news.post.armed(self._what_is_watched(len(seen.verdict.positions))))
        checking = self._loop.create_task(
            check_on(settings, account, policy, exchange, armed.note_checks)
        )
        try:
            trigger = await armed.stand()
            checking.cancel()
            if trigger is None:
                return await self._disarm(armed)
            return await self._trip(armed, trigger)
        finally:
            checking.cancel()
            armed.end_streams()
            await keeper.close()
            await door.close()

    # What happens while it stands.

    def _tell_health(self, health: "Health", reasons: tuple[str, ...]) -> None:
        from liqctl.kernel import events
        from liqctl.kernel.amounts import count
        from liqctl.standby.mirror import Health
        from liqctl.standby.process import notify_status

        now = self._loop.time()
        is_first, told, held = False, {}, ""
        if self._positions is not None:
            is_first, told = True, {"positions": self._positions}
            held = f", {count(self._positions, 'position')}"
            self._positions = None
        if health is not Health.ARMED:
            self._record(events.arm_degraded(reasons, is_blind=health is Health.BLIND))
            if self._was_armed or is_first:
                self._degraded_at = now
        elif not is_first:
            self._record(events.arm_restored(degraded_seconds=now - self._degraded_at))
        self._was_armed = health is Health.ARMED
        why = f": {'; '.join(reasons)}" if reasons else ""
        notify_status(f"{health.value}{held}{why}", *(["READY=1"] if is_first else []))
        self._tell_line(health.value, reasons, **told)
        if not is_first:
            self._news.health(health.value, reasons)

    def _observe(self, trigger: "Trigger") -> None:
        from liqctl.kernel import events

        self._record(
            events.arm_tripped(
                trigger.by, reason=trigger.why, figures=trigger.figures, run=None, observe=True
            )
        )
        self._tell_line("would have tripped", (trigger.why,))
        self._news.tell(self._news.post.tripped(trigger.by, trigger.why, None))

    def _trip_by_signal(self) -> None:
        from liqctl.standby.armed import Trigger

        figures = {"signal": "SIGUSR1"}
        trigger = Trigger(by=TripCause.SIGNAL, why="SIGUSR1", figures=figures)
        if self._armed is not None:
            done, watched = self._handed_over, self._scope
            if self._armed.is_tripped and done and watched and not done.suffices_for(watched):
                # What was handed over is less than a signal asks for: the rest comes after it.
                self._late = trigger
                if self._execution is not None:
                    self._execution.end_hold()
            self._armed.trip(trigger)
        elif self._options.observe:
            self._observe(trigger)
        else:
            self._early = self._early or trigger
            self._is_woken.set()

    async def _decide(self, asked: "Handover", client: "Client") -> str | None:
        """Take over a liquidation, unless its scope is beyond what is watched."""
        from liqctl.kernel.policy import product_of
        from liqctl.standby.armed import Trigger
        from liqctl.standby.handover import policy_of

        armed, watched = self._armed, self._scope
        if armed is None or watched is None:
            return "not armed yet"
        if self._options.observe:
            return "it only observes"
        if armed.is_stopped or self._is_stopped.is_set():
            return "it is being stopped"
        if self._is_answered:
            return "its liquidation has ended; the account is held flat"
        scope = policy_of(asked.scope, watched)
        if not watched.includes(scope):
            return "its scope is not watched"
        for symbol in scope.symbols:
            # A run of what the venue does not know closes nothing, and would disarm everything.
            if symbol not in armed.rules.get(product_of(symbol), ()):
                return f"whether the venue knows {symbol} is not known here"
        if armed.is_tripped and not (self._handed_over or watched).suffices_for(scope):
            return "another liquidation is in progress"
        client.accept()
        self._screens[client] = asked
        if armed.is_tripped:
            return None
        self._handed_over = scope
        armed.trip(
            Trigger(
                by=TripCause.HANDOVER,
                why="liqctl liquidate",
                figures={"correlation_id": asked.correlation_id},
                policy=scope,
                reason=asked.reason,
                correlation_id=asked.correlation_id,
            )
        )
        return None

    def _describe(self) -> Mapping[str, Any]:
        from liqctl.standby.armed import describe

        arm_settings = self._settings.arm
        told = {
            "armed_since": self._armed_at,
            "pid": os.getpid(),
            "correlation_id": self._id,
            "observe": self._options.observe,
            "hold_seconds": arm_settings.hold_seconds,
            "countdown_seconds": arm_settings.countdown_seconds,
            "heartbeat_limit_seconds": arm_settings.heartbeat_seconds
            if arm_settings.heartbeat_file
            else None,
        }
        return told | (describe(self._armed) if self._armed is not None else {})

    # How it ends.

    async def _disarm(self, armed: "Armed") -> ExitCode:
        left = await armed.disarm_countdowns()
        self._record(self._disarmed("stopped", left, tripped=False))
        self._tell_left(left)
        self._tell_line("disarmed", ())
        code = process.signals.received or ExitCode.INTERRUPTED
        self._news.tell(self._news.post.disarmed(f"stopped, exit {int(code)}"))
        return code

    async def _trip_early(self) -> ExitCode:
        """Close the account though it could not be read yet: the run reads it like any other."""
        assert self._early is not None  # noqa: S101 - asked by the caller
        return await self._trip(None, self._early)

    async def _trip(self, armed: "Armed | None", trigger: "Trigger") -> ExitCode:
        from liqctl.cli.execution import AccountRun, Execution
        from liqctl.cli.liquidate import ResultPrinter
        from liqctl.kernel import events
        from liqctl.kernel.as_json import rfc3339
        from liqctl.run.inspection import Wakes
        from liqctl.standby.process import close_latch

        settings, trail = self._settings, self._trail
        assert trail is not None  # noqa: S101 - made before anything is armed
        policy = trigger.policy or settings.liquidation
        if armed is not None:
            policy = replace(policy, margin=armed.margin)
        settings = replace(settings, liquidation=policy)
        options = replace(self._options, hold=settings.arm.hold_seconds)
        printer = ResultPrinter(options)
        printer.is_one_line = True  # It follows lines, whoever prints it.
        printer.settings, printer.reason = settings, trigger.reason or trigger.why
        name = trigger.correlation_id or printer.correlation_id
        printer.correlation_id = name
        run = AccountRun(
            settings=settings,
            correlation_id=name,
            account=self._account,
            known=armed.known if armed is not None else None,
        )
        if settings.account:
            trail.accounts[name] = settings.account
        told = {
            "by": trigger.by.value,
            "why": trigger.why,
            "tripped_at": rfc3339(SystemClock().now()),
            "correlation_id": name,
        }
        # In front of START: the trail tells what happened in the order in which it did.
        self._record(
            events.arm_tripped(
                trigger.by, reason=trigger.why, figures=trigger.figures, run=name, observe=False
            )
        )
        news = self._news
        news.tell_trip_soon(lambda: news.post.tripped(trigger.by, trigger.why, name))
        trail.listeners.append(self._pass_on)
        execution = self._execution = Execution(options, [run], printer)
        if armed is not None:
            armed.wakes = execution.wakes = Wakes(policy, armed.listens, now=self._loop.time())

        async def latch() -> bool:
            await asyncio.sleep(ORDERS_FIRST_S)
            log_dir = settings.audit.log_dir
            with contextlib.suppress(RuntimeError):  # No thread can be had.
                return await asyncio.to_thread(close_latch, self._account.identity, told, log_dir)
            return False

        closing = self._loop.create_task(latch())
        try:
            results = await execution.carry_out(self._loop, trail)
            if trigger.by is not TripCause.HANDOVER:
                execution, results = await self._wait_for_others(execution, results, run, printer)
            await self._answer(results, settings)
        finally:
            done, _ = await asyncio.wait([closing], timeout=_LATCH_MAX_S)
            if not (done and closing.result()):
                out.error(
                    "the latch could not be written: nothing keeps a restart from arming again"
                )
        left = await armed.disarm_countdowns() if armed is not None else {}
        news.tell_trip_now()
        self._follow_up(results, settings, printer.reason)
        self._tell_line("tripped", (trigger.why,), result=results.state.value)
        self._tell_left(left)
        hold_s = max([options.hold, *(asked.hold for asked in self._screens.values())])
        execution.options = replace(options, hold=hold_s)
        if hold_s and not self._late and not self._is_stopped.is_set():
            code = results.exit_code()
            results = await execution.hold(self._loop)
            if results.exit_code() != code:
                self._follow_up(results, settings, printer.reason)
        if (late := self._late) is not None and not self._is_stopped.is_set():
            self._late = self._handed_over = self._execution = None
            self._screens.clear()
            return await self._trip(None, late)
        self._record(self._disarmed("tripped", left, tripped=True))
        return printer.end(results)

    async def _wait_for_others(
        self,
        execution: "Execution",
        results: "Results",
        run: "AccountRun",
        printer: "ResultPrinter",
    ) -> "tuple[Execution, Results]":
        """Close the account once another liquidation of it has ended: that one may die, or less.

        One after another may have the lock; then the account is closed beside them. Whoever handed
        over is told instead, as by any `liquidate`.
        """
        from liqctl.cli.execution import Execution
        from liqctl.kernel.states import FailureCause

        trail = self._trail
        assert trail is not None  # noqa: S101 - made before anything is armed
        until = self._loop.time() + _BLOCKED_MAX_S
        if results.only.cause is FailureCause.BLOCKED:
            held = "; ".join(results.only.notes)
            out.error(
                f"another liquidation of this account is in progress ({held}): this one begins "
                f"when that has ended, {_BLOCKED_MAX_S:g} s from now at the latest"
            )
        while results.only.cause is FailureCause.BLOCKED:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_stopped.wait(), _BLOCKED_AGAIN_S)
            if self._is_stopped.is_set() or process.signals.received:
                break
            run.known, run.result = None, None
            run.passes_over = self._loop.time() >= until
            execution = Execution(execution.options, [run], printer, execution.wakes)
            results = await execution.carry_out(self._loop, trail)
            run.passes_over = False
        return execution, results

    def _tell_left(self, left: "Mapping[str, datetime]") -> None:
        if left:
            symbols = ", ".join(f"{name} until {at:%H:%M:%S} UTC" for name, at in left.items())
            out.error(
                f"a countdown at the venue may still cancel open orders on {symbols}: its end was "
                "not confirmed"
            )

    def _follow_up(self, results: "Results", settings: "Settings", reason: str) -> None:
        """Let figures be written and people be told of the run, as after every other one."""
        if not (settings.notifications or settings.metrics.textfile):
            return
        from liqctl.cli.wiring import identities_of
        from liqctl.notify.notice import make_order

        code = process.signals.received or results.exit_code()

        def make() -> Mapping[str, Any]:
            identities = identities_of(settings) if settings.metrics.textfile else None
            return make_order(settings, results, code, reason, identities)

        self._news.carry_out(make)

    def _what_is_watched(self, positions: int) -> str:
        from liqctl.desk.text import count

        arm_settings = self._settings.arm
        parts = [count(positions, "position"), count(len(arm_settings.guards), "guard")]
        if arm_settings.heartbeat_file:
            parts.append(f"heartbeat of {arm_settings.heartbeat_seconds:g} s")
        parts.append("only observed" if self._options.observe else "")
        return ", ".join(filter(None, parts))

    def _disarmed(self, reason: str, left: Iterable[str], *, tripped: bool) -> "AuditEvent":
        from liqctl.kernel import events

        armed_s = self._loop.time() - self._began_at
        return events.disarmed(reason, tripped=tripped, armed_seconds=armed_s, countdowns_left=left)

    def _pass_on(self, event_type: str, details: Mapping[str, Any]) -> None:
        for client in self._screens:
            client.event(event_type, details)

    async def _answer(self, results: "Results", settings: "Settings") -> None:
        """Give who handed over the result, drawn as was asked."""
        from liqctl.cli.liquidate import ResultPrinter
        from liqctl.kernel.as_json import as_json, dump_line

        for client, asked in self._screens.items():
            screen = asked.screen
            if screen.get("as_data"):
                whole = dump_line(as_json(results.only, is_whole=True))
                client.answer(whole, results.exit_code())
                continue
            options = Options(
                as_json=bool(screen.get("as_json")), no_color=not screen.get("colour")
            )
            printer = ResultPrinter(options)
            printer.settings = settings
            printer.size = (screen.get("width"), screen.get("height"))
            client.answer(printer.render(results), results.exit_code())
        self._is_answered = True
        # A process that ends at once takes along what has not left yet.
        await asyncio.gather(*(client.flush() for client in self._screens))

    def _record(self, event: "AuditEvent") -> None:
        if self._trail is not None:
            event.log_to(self._trail, self._id)

    def _tell_line(self, health: str, reasons: tuple[str, ...], **more: object) -> None:
        """Print one line on stdout: it is what this command answers."""
        if self._options.as_json:
            from liqctl.kernel.as_json import as_json, dump_line

            line = {"at": SystemClock().now(), "state": health, "reasons": list(reasons), **more}
            out.answer(dump_line(as_json(line)))
            return
        name = f" {self._settings.account}" if self._settings.account else ""
        told = "".join(
            f", {value}" if what == "result" else f", {value} {what}"
            for what, value in more.items()
        )
        why = f": {'; '.join(reasons)}" if reasons else ""
        out.answer(f"{self._settings.environment.value}{name} {health}{told}{why}")
