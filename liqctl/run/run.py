"""One liquidation: rounds of reading, planning, sending and reading again, until proven flat.

A round never waits for a straggler: what is still under way when the patience ends keeps its leg
out of the next plan, and nothing else. Flat is *seen* in one reading and *proven* by a window of
them (`liqctl.kernel.proof`); nothing that is open waits for the window.
"""

import asyncio
import random
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from liqctl.kernel import events
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.outcome import open_legs
from liqctl.kernel.pacing import (
    CALL_MARGIN_S,
    CANCEL_PATIENCE_MIN_S,
    EARLY_READINGS,
    GRACE_S,
    LAST_TRIP_MIN_S,
    LAST_TRIPS,
    LATE_READING_GAP_S,
    PATIENCE_MAX_S,
    PATIENCE_MIN_S,
    PATIENCE_ROUND_TRIPS,
    QUICK_READINGS,
    READING_GAP_S,
    REREAD_MAX_S,
    REREAD_MIN_S,
    ROUNDS_MAX,
    SWEEP_MIN_S,
    SWEEP_TRIPS,
    TIMER_SLACK_S,
    WATCH_GAP_MIN_S,
    WATCH_READINGS,
    WATCH_WEIGHT_KEPT,
)
from liqctl.kernel.plan import Memory, Plan, SymbolPlan, make_plan, plan_sweep
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange
from liqctl.kernel.proof import is_confirmed
from liqctl.kernel.values import Leg, OrderKind, Position, Reading, Snapshot
from liqctl.kernel.verify import Verdict
from liqctl.kernel.words import explain_unread
from liqctl.run.cancelling import Canceller
from liqctl.run.closing import Closer
from liqctl.run.lookout import Lookout
from liqctl.run.opening import Opening
from liqctl.run.questions import Questions
from liqctl.run.recorder import Recorder
from liqctl.run.side_readings import SideReadings
from liqctl.run.state import RunState
from liqctl.run.together import together

_LAST_LOOK_UPS_MAX: Final = 20
"""Orders cut off at the end are looked up beside the last reading, the worst legs' first."""

_LAST_LOOK_UPS_S: Final = 0.2
"""How long they are waited for once the reading is there. (guess)"""


class Ending(StrEnum):
    """Why the rounds ended."""

    FLAT = "FLAT"
    NOTHING_LEFT_TO_TRY = "NOTHING_LEFT_TO_TRY"
    DEADLINE = "DEADLINE"
    STOPPED = "STOPPED"
    INTERRUPTED = "INTERRUPTED"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"


@dataclass(slots=True)
class TimeSpent:
    """Seconds the run waited, by what it waited for."""

    reading: float = 0.0
    cancelling: float = 0.0
    closing: float = 0.0
    waiting: float = 0.0


class Run:
    """The rounds of one liquidation."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        opening: Opening,
        recorder: Recorder,
        policy: LiquidationConfig,
        rng: random.Random,
    ) -> None:
        """Take over what was opened; nothing more is sent before `converge`."""
        gate = opening.gate
        self.state = RunState(policy, recorder, opening.began_at)
        self.spent = TimeSpent()
        self.side = SideReadings(exchange, gate)
        self.questions = Questions(exchange, gate, policy)
        self._gate = gate
        self._recorder = recorder
        self._policy = policy
        self._opening = opening
        self._canceller = Canceller(
            exchange, gate, opening.reader, self.state, recorder, policy, rng
        )
        self._lookout = Lookout(opening.reader, gate, self._note_look)
        self._closer = Closer(
            exchange, gate, self.state, recorder, policy, rng, self._lookout.close_sent
        )
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._follow_ups: dict[Leg, asyncio.Task[None]] = {}
        self._swept_unseen: set[str] = set()
        self._sweeps: set[asyncio.Task[None]] = set()
        self._interrupted = asyncio.Event()
        self._rounds = 0
        self._reread_s = REREAD_MIN_S
        self._snapshot: Snapshot | None = None
        self._verdict: Verdict | None = None

    def interrupt(self) -> None:
        """Send nothing new; take one last reading and end."""
        self._gate.stop()
        self._interrupted.set()

    async def converge(self) -> Ending:
        """Work until the account is proven flat or no write may start; then read once more."""
        try:
            async with asyncio.timeout_at(self._gate.work_until):
                ending = await self._rounds_until_done()
        except TimeoutError:
            ending = Ending.DEADLINE
        self._opening.end_warm_up()
        self._lookout.cancel()
        if ending in {Ending.FLAT, Ending.UNKNOWN_SYMBOL} or self.questions.is_portfolio_margin:
            # In portfolio margin every further reading would look flat, and prove nothing.
            self.questions.cancel()
            return ending
        await self._cut_off()
        try:
            return await self._last_reading(ending)
        finally:
            self.questions.cancel()
            await self._end_tasks()

    async def _rounds_until_done(self) -> Ending:
        while self._rounds < ROUNDS_MAX:
            if self._interrupted.is_set():
                return Ending.INTERRUPTED
            verdict = await self._read()
            if self.questions.is_portfolio_margin or self._is_fatal():
                return Ending.STOPPED
            if verdict.is_flat and self._is_settled() and not self.questions.unknown_symbols:
                if not self.state.window_s:
                    await self.questions.answered(timeout_s=self._gate.call_max_s)
                if self._is_proven():
                    return Ending.FLAT
                await self._watch_on()
                continue
            if verdict.is_flat and self._tasks and self._tasks.keys() <= self._sweeps:
                await self._sweeps_answered()
                continue
            ending = await self._pursue(verdict)
            if ending is not None:
                return ending
        return Ending.NOTHING_LEFT_TO_TRY

    async def _pursue(self, verdict: Verdict) -> Ending | None:
        """Do what the last reading asks for; return why nothing more is to be tried, if so."""
        plan = make_plan(self._last_snapshot, self._memory(), self._policy)
        self.side.want(self.state.legs, rules=bool(plan.needs_rules))
        launched = self._launch(plan)
        self._follow_up()
        if self.questions.unknown_symbols and not self._tasks:
            return Ending.UNKNOWN_SYMBOL
        if self._is_hopeless(plan, verdict):
            return Ending.NOTHING_LEFT_TO_TRY
        if launched:
            self._reread_s = REREAD_MIN_S
        await self._wait(plan, self._reread_s, launched=launched)
        if not launched:
            self._reread_s = min(self._reread_s * 2, REREAD_MAX_S)
        return None

    @property
    def _last_snapshot(self) -> Snapshot:
        if self._snapshot is None:
            message = "nothing was read yet"
            raise RuntimeError(message)
        return self._snapshot

    async def _read(self) -> Verdict:
        """Take one reading in and return what it shows."""
        loop = asyncio.get_running_loop()
        await self._space_out()
        began_at = loop.time()
        self._rounds += 1
        known = {leg.symbol for leg in self.state.legs}
        known |= {key[0] for key in self.state.orders} | set(self._policy.symbols)
        self.side.want_prices(self.state.legs)
        if self._snapshot is None:
            snapshot = await self._opening.first_reading()
            self.questions.begin(snapshot)
        else:
            # While something is open the first source is enough: only flat has to be doubted.
            is_evidence = self._verdict is not None and bool(self._verdict.evidence)
            is_vanished = any(record.vanished for record in self.state.legs.values())
            is_doubted = is_evidence or is_vanished or not open_legs(self.state.legs)
            both_sources = is_doubted and self._policy.settle_seconds > 0
            snapshot = await self._opening.reader.snapshot(known, both_sources=both_sources)
        self._snapshot = snapshot
        self._gate.has_read = self._gate.has_read or snapshot.is_any_read
        self.spent.reading += loop.time() - began_at
        self._recorder.event(events.reading_taken(self._rounds, snapshot))
        was_seen = self.state.streak.seen_flat
        verdict = self._verdict = self.state.absorb(snapshot)
        self._gate.is_proving = False
        if self.state.streak.seen_flat and not was_seen:
            settle_s, watch_s = self._policy.settle_seconds, self._proven_from() - loop.time()
            self._recorder.event(
                events.flat_seen(
                    self._rounds, settle_seconds=settle_s, watch_seconds=max(watch_s, 0.0)
                )
            )
        return verdict

    async def _space_out(self) -> None:
        """Keep readings apart once there were many: the weight of a minute is about 28 of them.

        The one after a sweep's answer is what the proof waits for; there are two at most.
        """
        if self._snapshot is None or self._rounds < QUICK_READINGS or self._gate.is_closed:
            return
        if self._snapshot.started_at < self.state.last_sweep_at and not self._tasks:
            return
        gap_s = READING_GAP_S if self._rounds < EARLY_READINGS else LATE_READING_GAP_S
        await self._rest(self._snapshot.started_at + gap_s)

    async def _rest(self, until: float) -> None:
        """Wait until a moment of the loop's clock, or until somebody interrupts."""
        began_at = asyncio.get_running_loop().time()
        if until <= began_at:
            return
        try:
            async with asyncio.timeout_at(until):
                await self._interrupted.wait()
        except TimeoutError:
            pass
        self.spent.waiting += asyncio.get_running_loop().time() - began_at

    def _is_fatal(self) -> bool:
        """Whether the key is refused for everything signed, or a ban outlasts the run."""
        errors = self._last_snapshot.errors
        refused = [error for error in errors if error.kind is AnswerKind.RUN_FATAL]
        if refused and len(refused) == len(errors) and not self._gate.is_key_accepted:
            self._gate.fatal = refused[0]
        return self._gate.fatal is not None or self._gate.outlasts_deadline

    def _is_settled(self) -> bool:
        """Whether nothing is under way and the last reading began after the last answer."""
        return self.state.is_settled(self._last_snapshot) and not self._tasks

    def _proven_from(self) -> float:
        """Return when the last reading may begin, from which on flat is proven."""
        return min(self._watched_from(), self._gate.work_until)

    def _watched_from(self) -> float:
        """Return the same without the deadline's say in it."""
        since = self.state.streak.since
        since = asyncio.get_running_loop().time() if since is None else since
        # A timer may fire a hair early, and a window that is a hair short is none.
        return max(since, self.state.doubted_at) + self.state.window_s + TIMER_SLACK_S

    @property
    def _sweep_lead_s(self) -> float:
        return max(SWEEP_TRIPS * self._gate.rtt_s, self._gate.write_s, SWEEP_MIN_S)

    def _is_proven(self, *, late: bool = False) -> bool:
        """Record and return that flat is proven by the readings so far, the last one included.

        `late` says that no time is left to watch any longer: then a shorter watch counts, unless
        something was open a moment ago that nobody can account for.
        """
        streak, window_s = self.state.streak, self.state.window_s
        doubted = streak.looks and self.state.contradictions(streak.looks[-1].began_at)
        if self.questions.unanswered or self.questions.unknown_symbols or not streak.looks:
            return False
        if window_s:
            is_watched = (late or streak.watched_s >= window_s) and not doubted
            if not (is_watched and self._is_confirmed()) or self._unswept():
                return False
        self._recorder.event(
            events.flat_verified(
                readings=len(streak.looks),
                kept=len(self._verdict.kept) if self._verdict else 0,
                settled_seconds=streak.watched_s,
                sources=streak.looks[-1].sources,
            )
        )
        return True

    def _is_confirmed(self) -> bool:
        vanished = any(record.vanished for record in self.state.legs.values())
        return is_confirmed(self.state.streak.looks, is_doubted=vanished)

    async def _watch_on(self) -> None:
        """Wait for the next reading of a flat account; sweep the books shortly before the last.

        Whatever appears meanwhile ends the watch with the next reading.
        """
        loop = asyncio.get_running_loop()
        due_at = self._proven_from()
        sweep_at = due_at - self._sweep_lead_s
        if loop.time() < sweep_at:
            next_at = self._last_snapshot.started_at + self._watch_gap_s
            # Short of weight nothing is read in between: the last reading is what counts.
            if next_at < sweep_at and self._gate.weight_left() > WATCH_WEIGHT_KEPT:
                await self._rest(next_at)
                return
            await self._rest(sweep_at)
            if self._interrupted.is_set():
                return
        self._gate.is_proving = True
        if plans := self._unswept():
            await self._sweep(plans)
        elif loop.time() >= due_at:
            # Proven but for an answer that is missing: asked again at the pace of the watch.
            await self._rest(loop.time() + self._watch_gap_s)
        await self._rest(due_at)

    @property
    def _watch_gap_s(self) -> float:
        return max(self.state.window_s / WATCH_READINGS, WATCH_GAP_MIN_S)

    def _unswept(self) -> list[SymbolPlan]:
        """Return the sweeps that are missing: both books of each symbol that held something."""
        since = self.state.streak.since
        if not self._policy.cancel_orders or since is None:
            return []
        memory = self._memory()
        if asyncio.get_running_loop().time() < self._watched_from() - 2 * self._sweep_lead_s:
            # Cut short by the deadline: what vanished may be there, and its stop with it.
            vanished = {leg.symbol for leg, record in self.state.legs.items() if record.vanished}
            memory = replace(memory, entered=memory.entered | vanished)
        symbols = {leg.symbol for leg in self.state.legs} | {key[0] for key in self.state.orders}
        plans = []
        for symbol in sorted(symbols):
            plan = plan_sweep(symbol, memory)
            books = [OrderKind.REGULAR, *([OrderKind.ALGO] if plan.cancel_all_algo else [])]
            if not all(self.state.is_swept(symbol, book, since) for book in books):
                plans.append(plan)
        return plans

    async def _sweep(self, plans: list[SymbolPlan], *, timeout_s: float = float("inf")) -> None:
        for plan in plans:
            task = asyncio.create_task(self._canceller.cancel(plan))
            self._tasks[task] = plan.symbol
            self._sweeps.add(task)
        await self._sweeps_answered(timeout_s=timeout_s)

    async def _sweeps_answered(self, *, timeout_s: float = float("inf")) -> None:
        """Wait for every sweep, or until it is time to look again whether anything appeared."""
        await asyncio.wait(self._tasks, timeout=min(timeout_s, self._watch_gap_s))
        self._reap()

    def _memory(self) -> Memory:
        return Memory(
            legs=self.state.legs,
            orders=self.state.orders,
            rules=self.side.rules,
            marks=self.side.marks,
            mode=self.side.mode,
            looks=self.state.looks,
            began_at=self.state.began_at,
            began_ms=self.state.began_ms,
            window_s=self.state.window_s,
            entered=frozenset(self.state.entered),
            swept=frozenset(self._swept_unseen),
            conditionals=sum(
                record.present and key[1] is OrderKind.ALGO
                for key, record in self.state.orders.items()
            ),
            now=asyncio.get_running_loop().time(),
        )

    def _launch(self, plan: Plan) -> bool:
        """Start the plan's symbols, worst first; return whether anything was started."""
        busy = set(self._tasks.values())
        launched = False
        for symbol_plan in plan.symbols:
            if symbol_plan.symbol in busy or not self._gate.may_write:
                continue
            task = asyncio.create_task(self._work(symbol_plan))
            self._tasks[task] = symbol_plan.symbol
            launched = True
        return launched

    async def _work(self, plan: SymbolPlan) -> None:
        """Cancel, then close one symbol's legs; a slow cancel holds the close back only briefly."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        cancels = asyncio.create_task(self._canceller.cancel(plan))
        if plan.cancel_all_algo:
            self._swept_unseen.add(plan.symbol)
        try:
            patience_s = self._patience(CANCEL_PATIENCE_MIN_S)
            if plan.cancel_regular or plan.alone:
                await asyncio.wait({cancels}, timeout=patience_s if plan.closes else None)
            self.spent.cancelling = max(self.spent.cancelling, loop.time() - began_at)
            closing_at = loop.time()
            await together([self._closer.close_leg(close) for close in plan.closes])
            if plan.closes:
                self.spent.closing = max(self.spent.closing, loop.time() - closing_at)
            # A whole book would take what was set since the look, where the answers took long.
            is_late = loop.time() - closing_at > patience_s
            by_next_reading = plan.stops_by_book and is_late
            if plan.stops and not by_next_reading and await self._is_seen_flat(plan):
                await self._canceller.cancel(plan.after_closing())
            await cancels
        finally:
            cancels.cancel()

    async def _is_seen_flat(self, plan: SymbolPlan) -> bool:
        """Whether the answers say that every leg is closed, and a look agrees."""
        legs = [self.state.legs[close.position.leg] for close in plan.closes]
        filled = all(leg.is_filled and not (leg.lost or leg.is_shown_since) for leg in legs)
        return filled and await self._lookout.sees_flat(plan.symbol)

    def _follow_up(self) -> None:
        """Ask again about orders whose fate is open, beside everything else.

        Those that were still filling keep a second close back; those of a leg that reads flat tell
        whether it was us who closed it.
        """
        for leg, record in self.state.legs.items():
            running = self._follow_ups.get(leg)
            is_asked = record.live or (record.unresolved and record.current is None)
            if is_asked and not record.in_flight and (running is None or running.done()):
                self._follow_ups[leg] = asyncio.create_task(self._closer.follow_up(leg))

    def _note_look(self, positions: Reading[Position], began_at: float) -> None:
        self.state.note_look(positions, began_at)
        self._recorder.event(events.look_taken(self._rounds, positions))

    async def _wait(self, plan: Plan, reread_s: float, *, launched: bool) -> None:
        """Wait for what was started, or for what is due next, whichever the round needs."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        if self._tasks and launched:
            await asyncio.wait(self._tasks, timeout=self._patience(PATIENCE_MIN_S))
        else:
            wait_s = reread_s
            if plan.wake_at is not None and not self._tasks:
                wait_s = max(min(plan.wake_at - began_at, REREAD_MAX_S), 0.0)
            waiting = asyncio.create_task(self._interrupted.wait())
            await asyncio.wait(
                {*self._tasks, waiting, *self.side.awaited},
                timeout=wait_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            waiting.cancel()
            self.spent.waiting += loop.time() - began_at
        self._reap()

    def _reap(self) -> None:
        """Forget finished work; what failed for our own fault ends its symbol, not the run."""
        for task in [task for task in self._tasks if task.done()]:
            symbol = self._tasks.pop(task)
            fault = None if task.cancelled() else task.exception()
            if fault is None:
                continue
            # The fault's own words may hold anything, a key too: its name has to do.
            why = f"a fault of liqctl itself: {type(fault).__name__}"
            self.state.faults[symbol] = why
            for leg in [leg for leg in self.state.legs if leg.symbol == symbol]:
                self._closer.give_up(leg, why)
            self._canceller.give_up(symbol, why)

    def _patience(self, least_s: float) -> float:
        return min(max(least_s, PATIENCE_ROUND_TRIPS * self._gate.rtt_s), PATIENCE_MAX_S)

    def _is_hopeless(self, plan: Plan, verdict: Verdict) -> bool:
        """Whether nothing is under way, nothing waits, and nothing unread could still be read.

        A list that still shows what a fill has closed is not the last word.
        """
        if self._tasks or self.side.awaited or not plan.is_empty or not verdict.is_readable:
            return False
        if self.state.is_doubtful or verdict.is_quiet:
            return False
        waiting = any(
            record.current is not None and not record.given_up
            for record in self.state.legs.values()
        )
        pending = any(
            record.present and not record.given_up and not self._is_kept(record.order.key, plan)
            for record in self.state.orders.values()
        )
        closes = self._policy.close_positions and waiting
        return not (closes or (self._policy.cancel_orders and pending))

    @staticmethod
    def _is_kept(key: object, plan: Plan) -> bool:
        return any(order.key == key for order in plan.kept)

    async def _cut_off(self) -> None:
        """Stop what is still under way; an order without an answer is unknown from here on."""
        self._gate.close()
        if self._interrupted.is_set() and self._tasks:
            await asyncio.wait(self._tasks, timeout=self._gate.call_max_s)
        await self._end_tasks()
        self.state.wrote()

    async def _end_tasks(self) -> None:
        """End what is under way: whoever reads the result finds nothing that goes on."""
        under_way = [*self._tasks, *self._follow_ups.values()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._tasks.clear()

    async def _last_reading(self, ending: Ending) -> Ending:
        """Read once more in the time kept for it, and again while that could prove something."""
        if self._gate.fatal is not None or self._gate.outlasts_deadline:
            return ending
        loop = asyncio.get_running_loop()
        until = self._gate.deadline_at
        if ending is Ending.INTERRUPTED:
            until = min(until, loop.time() + GRACE_S)
        unresolved = [leg for leg, record in self.state.legs.items() if record.unresolved]
        look_ups = asyncio.create_task(
            together([self._closer.follow_up(leg) for leg in unresolved[:_LAST_LOOK_UPS_MAX]])
        )
        delay_s = REREAD_MIN_S
        try:
            async with asyncio.timeout_at(until):
                while True:
                    verdict = await self._read()
                    # A reading that is cut by the deadline would only hide what this one showed.
                    trip_s = max(LAST_TRIPS * self._gate.rtt_s, LAST_TRIP_MIN_S) + CALL_MARGIN_S
                    if verdict.is_flat and self._is_settled():
                        late = loop.time() >= self._gate.work_until
                        if self._is_proven(late=late):
                            return Ending.FLAT
                        is_due = late or self.state.streak.watched_s >= self.state.window_s
                        plans = self._unswept() if is_due and not self._gate.is_stopped else []
                        sweep_s = until - 2 * trip_s - loop.time()
                        if plans and sweep_s > 0:
                            await self._sweep(plans, timeout_s=sweep_s)
                            await self._end_tasks()
                            continue
                    is_hopeful = verdict.is_quiet or self.state.is_doubtful
                    if verdict.is_readable and (ending is Ending.INTERRUPTED or not is_hopeful):
                        await asyncio.wait({look_ups}, timeout=_LAST_LOOK_UPS_S)
                        return ending
                    if self._is_fatal() or loop.time() + delay_s + trip_s > until:
                        return ending
                    await asyncio.sleep(delay_s)
                    delay_s = min(delay_s * 2, REREAD_MAX_S)
        except TimeoutError:
            return ending
        finally:
            look_ups.cancel()

    def why_unproven(self) -> list[str]:
        """Return what is missing from the proof of an account that read flat at the end."""
        streak = self.state.streak
        missing = [self.questions.unanswered] if self.questions.unanswered else []
        if streak.looks:
            missing += self.state.contradictions(streak.looks[-1].began_at)
        if self._verdict is not None and self._verdict.evidence:
            symbols = sorted({order.symbol for order in self._verdict.evidence})
            missing.append(
                f"a stop on {', '.join(symbols)} may belong to a position that no list shows yet"
            )
        if not self._is_confirmed() and self._snapshot is not None:
            missing.append(f"{' and '.join(sorted(self._snapshot.silent))} did not answer")
        if not missing and (unswept := sorted({plan.symbol for plan in self._unswept()})):
            missing.append(f"no last cancel of all orders was answered on {', '.join(unswept[:5])}")
        return missing

    @property
    def unread_sources(self) -> tuple[str, ...]:
        """The sources in scope that did not answer the last reading."""
        return tuple(sorted(self._snapshot.silent)) if self._snapshot else ()

    @property
    def unread(self) -> str | None:
        """Why the account could not be read, None when the last reading was complete."""
        if self._snapshot is None:
            return "the account was never read"
        return explain_unread(self._snapshot)

    def refusal(self) -> VenueAnswer | None:
        """Return the refusal that stopped the run, a ban that outlasts it, or that of the key."""
        ban = self._gate.pause if self._gate.outlasts_deadline else None
        return self._gate.fatal or ban or self._gate.key_refusal
