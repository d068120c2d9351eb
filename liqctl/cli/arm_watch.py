"""The watch of an armed process: from its first reading until something trips, or it is stopped.

What a reader would get wrong:
- Between a trigger and the first order nothing is imported, resolved, connected or opened: modules
  are loaded before it is armed, the trail is open, and the lock is taken beside the run.
- SIGUSR1 trips from the first moment on, also before the account could be read: its default would
  end the process, and nobody would be told.
- A key loses its rights while a process stands for months: its address changes, or the venue takes
  trading from keys without a list of addresses. An armed process that cannot close is degraded, so
  what `validate --online` asks is asked at its start, and every hour.
"""

import asyncio
import importlib
import os
import random
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

from liqctl.checks import Level
from liqctl.checks.of_venue import NOT_CHECKED, issues_of_venue
from liqctl.checks.preflight import Preflight, Question
from liqctl.cli import process
from liqctl.cli.arm_trip import Teller, Trip
from liqctl.cli.execution import LOADED_MEANWHILE
from liqctl.cli.options import Options
from liqctl.cli.output import out
from liqctl.kernel import events
from liqctl.kernel.amounts import count
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.pacing import ARMED_CHECK_S
from liqctl.kernel.policy import product_of
from liqctl.kernel.states import ExitCode, TripCause
from liqctl.run import SystemClock, describe_actor
from liqctl.run.inspection import inspect_account
from liqctl.standby.armed import Armed, Heartbeat, Trigger, describe
from liqctl.standby.guarding import GuardWatch
from liqctl.standby.handover import Client, Doorkeeper, Handover, policy_of
from liqctl.standby.mirror import Health
from liqctl.standby.process import notify, notify_status, show_life
from liqctl.venue.exchange import KeptOpen, PatientExchange

if TYPE_CHECKING:
    from datetime import datetime

    from liqctl.cli.wiring import Account
    from liqctl.kernel.policy import LiquidationConfig
    from liqctl.run.inspection import Inspection
    from liqctl.settings.values import Settings

_KIND_AGAIN_S: Final = 3.0
_KIND_AGAIN_MAX_S: Final = 12.0
"""How far apart the account is asked for until it can be read for the first time: doubled each
time, so that even looks that ask again and again stay within the weight of an armed process."""

_LOADED: Final = ("liqctl.desk.result", "liqctl.desk.several", "liqctl.run.lock")
"""What a trip needs besides, and nothing here imports."""

_CHECK_AGAIN_S: Final = 60.0
_OF_KEY: Final = frozenset(
    {
        "online.clock",
        "online.key",
        "online.key.addresses",
        "online.key.futures",
        "online.key.trading",
        "online.key.withdrawals",
        "online.symbols",
    }
)
"""What readings do not tell: they know by themselves which product cannot be read."""


class ArmWatch:
    """One armed process: from its first reading to its end."""

    def __init__(
        self, options: Options, settings: "Settings", account: "Account", is_stopped: asyncio.Event
    ) -> None:
        """Watch nothing yet; `is_stopped` is set by whoever wants it to end."""
        self._options = options
        self._settings = settings
        self._account = account
        self._is_stopped = is_stopped
        self._armed: Armed | None = None
        self._armed_at: str | None = None
        self._was_armed = False
        self._screens: dict[Client, Handover] = {}
        self._handed_over: LiquidationConfig | None = None
        self._scope: LiquidationConfig | None = None
        self._positions: int | None = None
        self._early: Trigger | None = None
        self._late: Trigger | None = None
        self._trip: Trip | None = None

    async def stand(self) -> ExitCode:
        """Arm, watch, and do what a trigger asks for; return the exit code."""
        self._loop = asyncio.get_running_loop()
        self._began_at = self._degraded_at = self._loop.time()
        self._first_end: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_signal_handler(signal.SIGUSR1, self._trip_by_signal)
        for name in (*LOADED_MEANWHILE, *_LOADED):
            importlib.import_module(name)
        self._told = Teller(self._options, self._settings)
        beside = [self._loop.create_task(each) for each in (show_life(), self._stop_when_told())]
        try:
            seen = await self._first_look()
            if isinstance(seen, ExitCode):
                return seen
            if seen is None:
                return await self._end(None, self._early)
            return await self._watch(seen)
        finally:
            for task in beside:
                task.cancel()
            notify("STOPPING=1")
            await self._told.finish()
            await self._account.exchange.close()
            self._told.trail.finish()

    async def _stop_when_told(self) -> None:
        await self._is_stopped.wait()
        self._end_first_look()
        if self._armed is not None:
            self._armed.stop()

    def _end_first_look(self) -> None:
        if not self._first_end.done():
            self._first_end.set_result(None)

    async def _first_look(self) -> "Inspection | ExitCode | None":
        """Look until the account can be read: what kind it is decides what is watched.

        None where something tripped before that.
        """
        exchange = PatientExchange(self._account.exchange, SystemClock())
        is_told, again_s = False, _KIND_AGAIN_S
        while not (self._is_stopped.is_set() or self._first_end.done()):
            # Its positions tell what kind it is; orders are read once it is watched.
            looking = self._loop.create_task(
                inspect_account(
                    exchange, self._settings.liquidation, wall_clock=SystemClock(), is_brief=True
                )
            )
            both: list[asyncio.Future[Any]] = [looking, self._first_end]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
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
                self._told.line("blind", (why,))
            await asyncio.wait([self._first_end], timeout=max(again_s, exchange.wait_s))
            again_s = min(again_s * 2, _KIND_AGAIN_MAX_S)
        if self._early is not None:
            return None
        return process.signals.received or ExitCode.INTERRUPTED

    async def _watch(self, seen: "Inspection") -> ExitCode:
        settings, account, wanted = self._settings, self._account, self._settings.arm
        policy = self._scope = replace(settings.liquidation, margin=seen.margin)
        exchange = PatientExchange(account.exchange, SystemClock())
        guarding = GuardWatch(
            wanted.guards, exchange, policy, identity=account.identity, wall_clock=SystemClock()
        )
        heartbeat = None
        if wanted.heartbeat_file:
            heartbeat = Heartbeat(file=wanted.heartbeat_file, seconds=wanted.heartbeat_seconds)
        is_observing = self._options.observe
        door = account.stream_door(settings)
        armed = self._armed = Armed(
            exchange=exchange,
            door=door,
            policy=policy,
            wall_clock=SystemClock(),
            tell=self._tell_health,
            heartbeat=heartbeat,
            countdown_s=None if is_observing else wanted.countdown_seconds,
            guarding=guarding,
            observe=self._observe if is_observing else None,
        )
        self._armed_at = rfc3339(SystemClock().now())
        positions = self._positions = len(seen.verdict.positions)
        if self._early is not None:
            armed.trip(self._early)
        if self._is_stopped.is_set():  # In the moment in which the first look ended.
            armed.stop()
        keeper = Doorkeeper(account.identity, self._decide, self._describe)
        try:
            await keeper.open()
        except OSError as error:
            out.error(
                f"no liquidation can be handed over to this process: {error.strerror}. Whoever "
                "calls one closes the account by itself; everything else works"
            )
        self._told.record(
            events.armed(
                describe_actor(),
                account.describe(settings),
                config=asdict(policy),
                guards=wanted.guards,
                heartbeat=str(heartbeat.file) if heartbeat else None,
                countdown_seconds=wanted.countdown_seconds,
                hold_seconds=wanted.hold_seconds,
                observe=is_observing,
                rearmed=self._options.rearm,
                notes=guarding.notes,
            )
        )
        watched = [count(positions, "position"), count(len(wanted.guards), "guard")]
        watched += [f"heartbeat of {heartbeat.seconds:g} s"] if heartbeat else []
        watched += ["only observed"] if is_observing else []
        self._told.notice(self._told.post.armed(", ".join(watched)))
        checking = self._loop.create_task(
            check_on(settings, account, policy, exchange, armed.note_checks)
        )
        try:
            trigger = await armed.stand()
            checking.cancel()
            return await self._end(armed, trigger)
        finally:
            checking.cancel()
            armed.end_streams()
            await keeper.close()
            await door.close()

    # What happens while it stands.

    def _tell_health(self, health: Health, reasons: tuple[str, ...]) -> None:
        now = self._loop.time()
        is_first, told, held = False, {}, ""
        if self._positions is not None:
            is_first, told = True, {"positions": self._positions}
            held = f", {count(self._positions, 'position')}"
            self._positions = None
        if health is not Health.ARMED:
            self._told.record(events.arm_degraded(reasons, is_blind=health is Health.BLIND))
            if self._was_armed or is_first:
                self._degraded_at = now
        elif not is_first:
            self._told.record(events.arm_restored(degraded_seconds=now - self._degraded_at))
        self._was_armed = health is Health.ARMED
        why = f": {'; '.join(reasons)}" if reasons else ""
        notify_status(f"{health.value}{held}{why}", *(["READY=1"] if is_first else []))
        self._told.line(health.value, reasons, **told)
        if not is_first:
            self._told.health(health.value, reasons)

    def _observe(self, trigger: Trigger) -> None:
        self._told.record_trip(trigger, run=None)
        self._told.line("would have tripped", (trigger.why,))
        self._told.notice(self._told.post.tripped(trigger.by, trigger.why, None))

    def _trip_by_signal(self) -> None:
        figures = {"signal": "SIGUSR1"}
        trigger = Trigger(by=TripCause.SIGNAL, why="SIGUSR1", figures=figures)
        if self._armed is not None:
            done, watched = self._handed_over, self._scope
            if self._armed.is_tripped and done and watched and not done.suffices_for(watched):
                # What was handed over is less than a signal asks for: the rest comes after it.
                self._late = trigger
                if self._trip is not None:
                    self._trip.end_hold()
            self._armed.trip(trigger)
        elif self._options.observe:
            self._observe(trigger)
        else:
            self._early = self._early or trigger
            self._end_first_look()

    async def _decide(self, asked: Handover, client: Client) -> str | None:
        """Take over a liquidation, unless its scope is beyond what is watched."""
        armed, watched = self._armed, self._scope
        if armed is None or watched is None:
            return "not armed yet"
        if self._options.observe:
            return "it only observes"
        if armed.is_stopped or self._is_stopped.is_set():
            return "it is being stopped"
        if self._trip is not None and self._trip.is_answered:
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
        wanted = self._settings.arm
        told = {
            "armed_since": self._armed_at,
            "pid": os.getpid(),
            "correlation_id": self._told.correlation_id,
            "observe": self._options.observe,
            "hold_seconds": wanted.hold_seconds,
            "countdown_seconds": wanted.countdown_seconds,
            "heartbeat_limit_seconds": wanted.heartbeat_seconds if wanted.heartbeat_file else None,
        }
        return told | (describe(self._armed) if self._armed is not None else {})

    # How it ends.

    async def _end(self, armed: Armed | None, trigger: Trigger | None) -> ExitCode:
        """Close the account for the trigger, and for one that came meanwhile; without one, disarm.

        An account that could not be read yet, `armed` is None, is read by the run as by any other.
        """
        if trigger is None:
            left: Mapping[str, datetime] = await armed.disarm_countdowns() if armed else {}
            self._record_end("stopped", left, tripped=False)
            self._told.left(left)
            self._told.line("disarmed", ())
            code = process.signals.received or ExitCode.INTERRUPTED
            self._told.notice(self._told.post.disarmed(f"stopped, exit {int(code)}"))
            return code
        trip = self._trip = Trip(
            options=self._options,
            settings=self._settings,
            account=self._account,
            told=self._told,
            screens=self._screens,
            is_stopped=self._is_stopped,
            armed=armed,
            trigger=trigger,
        )
        left = await trip.close()
        if not self._late:
            await trip.hold()
        if (late := self._late) is not None and not self._is_stopped.is_set():
            self._late = self._handed_over = None
            self._screens.clear()
            return await self._end(None, late)
        self._record_end("tripped", left, tripped=True)
        return trip.printer.end(trip.results)

    def _record_end(self, reason: str, left: Iterable[str], *, tripped: bool) -> None:
        armed_s = self._loop.time() - self._began_at
        self._told.record(
            events.disarmed(reason, tripped=tripped, armed_seconds=armed_s, countdowns_left=left)
        )


async def check_on(
    settings: "Settings",
    account: "Account",
    policy: "LiquidationConfig",
    exchange: PatientExchange,
    note: Callable[[tuple[str, ...]], None],
) -> None:
    """Ask until cancelled; `note` takes what would keep a liquidation from closing anything.

    What is a risk only is told once on stderr. Nothing is asked while the venue wants to be left
    alone, as `exchange` knows; what it costs is not counted there, for it is asked once an hour.
    """
    told: set[str] = set()
    errors: dict[str, str] = {}
    while True:
        await asyncio.sleep(exchange.wait_s)
        asked = Preflight(KeptOpen(account.exchange), account.transport)
        try:
            facts = await asked.ask(policy, has_key=True)
            found = [each for each in issues_of_venue(settings, facts) if each.field in _OF_KEY]
        except Exception as error:  # noqa: BLE001 - a fault of ours in a check ends no watch
            found, facts = [], None
            out.error(f"the checks failed by a fault of liqctl itself: {type(error).__name__}")
        for each in found:
            if each.level is Level.ERROR:
                errors[each.field] = each.message
            elif not each.message.startswith(NOT_CHECKED):
                errors.pop(each.field, None)  # What was not answered takes no error back.
            if each.level is Level.WARNING and each.message not in told:
                told.add(each.message)
                out.error(f"{each.message}. Next: {each.recommendation}")
        note(tuple(errors.values()))
        # A venue that does not answer tells nothing of the key; health knows about the venue.
        is_over = facts is not None and Question.REACHABLE not in facts.refusals
        # Processes that were started together do not ask together for ever.
        pause_s = ARMED_CHECK_S if is_over else _CHECK_AGAIN_S
        await asyncio.sleep(random.uniform(0.9, 1.1) * pause_s)
