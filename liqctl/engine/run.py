"""One liquidation: rounds of reading, planning, sending and reading again, until proven flat.

A round never waits for a straggler: what is still under way when the patience ends keeps its leg
out of the next plan, and nothing else. Flat is believed only from a reading that began after the
last answer, and from two in a row once anything was unknown, partial or contradictory.
"""

import asyncio
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from liqctl.domain.account import Position, Reading, Snapshot
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.events import AuditEventType
from liqctl.engine.cancelling import Canceller
from liqctl.engine.closing import Closer
from liqctl.engine.inspection import find_portfolio_margin, find_unknown_symbols
from liqctl.engine.lookout import Lookout
from liqctl.engine.opening import Opening
from liqctl.engine.recorder import Recorder
from liqctl.engine.side_readings import SideReadings
from liqctl.engine.state import RunState
from liqctl.engine.together import together
from liqctl.planning.explain import describe_look, describe_reading, explain_unread
from liqctl.planning.plan import Memory, Plan, SymbolPlan, make_plan
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.verify import Verdict
from liqctl.ports import Exchange

ROUNDS_MAX: Final = 400
_PATIENCE_MIN_S: Final = 0.4
_CANCEL_PATIENCE_MIN_S: Final = 0.3
_PATIENCE_SHARE: Final = 0.25
_ROUND_TRIPS: Final = 4
_GRACE_S: Final = 2.0
"""How long an interrupted run may still read before it says what it knows."""

_QUIET_S: Final = 0.6
"""How long the account must read flat once others were seen trading: bots act every few 100 ms."""

_REREAD_MIN_S: Final = 0.05
_REREAD_MAX_S: Final = 0.8
_QUICK_READINGS: Final = 6
_SPACED_READINGS: Final = 16
"""A whole reading costs 85 weight of 2400 a minute: 6 quick ones, then 16 at most."""


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
        self.state = RunState(policy, recorder)
        self.spent = TimeSpent()
        self.side = SideReadings(exchange, gate)
        self.unknown_symbols: tuple[str, ...] = ()
        self.is_portfolio_margin = False
        self._exchange = exchange
        self._gate = gate
        self._recorder = recorder
        self._policy = policy
        self._opening = opening
        self._canceller = Canceller(exchange, gate, self.state, recorder, policy, rng)
        self._lookout = Lookout(opening.reader, gate, self._note_look)
        self._closer = Closer(
            exchange, gate, self.state, recorder, policy, rng, self._lookout.close_sent
        )
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._swept: set[str] = set()
        self._interrupted = asyncio.Event()
        self._rounds = 0
        self._flat_since: float | None = None
        self._snapshot: Snapshot | None = None

    def interrupt(self) -> None:
        """Send nothing new; take one last reading and end."""
        self._gate.close()
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
        if ending in {Ending.FLAT, Ending.UNKNOWN_SYMBOL} or self.is_portfolio_margin:
            # In portfolio margin every further reading would look flat, and prove nothing.
            return ending
        await self._cut_off()
        return await self._last_reading(ending)

    async def _rounds_until_done(self) -> Ending:
        clean = 0
        reread_s = _REREAD_MIN_S
        while self._rounds < ROUNDS_MAX:
            if self._interrupted.is_set():
                return Ending.INTERRUPTED
            snapshot = await self._read()
            verdict = self.state.absorb(snapshot)
            if self._rounds == 1 and await self._is_misdirected(snapshot):
                return Ending.UNKNOWN_SYMBOL if self.unknown_symbols else Ending.STOPPED
            if self._is_fatal(snapshot):
                return Ending.STOPPED
            if verdict.is_flat and self.state.is_settled(snapshot) and not self._tasks:
                clean += 1
                if self._is_proven(clean, verdict):
                    return Ending.FLAT
                await self._watch()
                continue
            clean = 0
            self._flat_since = None
            plan = make_plan(snapshot, self._memory(), self._policy)
            self.side.want(self.state.legs, rules=bool(plan.needs_rules))
            launched = self._launch(plan)
            if launched:
                reread_s = _REREAD_MIN_S
            if self._is_hopeless(plan, verdict):
                return Ending.NOTHING_LEFT_TO_TRY
            await self._wait(plan, reread_s, launched=launched)
            if not launched:
                reread_s = min(reread_s * 2, _REREAD_MAX_S)
        return Ending.NOTHING_LEFT_TO_TRY

    async def _read(self) -> Snapshot:
        loop = asyncio.get_running_loop()
        await self._space_out()
        began_at = loop.time()
        self._rounds += 1
        known = {leg.symbol for leg in self.state.legs}
        known |= {key[0] for key in self.state.orders} | set(self._policy.symbols)
        self.side.want_prices(self.state.legs)
        if self._snapshot is None:
            snapshot = await self._opening.first_reading()
        else:
            snapshot = await self._opening.reader.snapshot(known)
        self._snapshot = snapshot
        self._gate.has_read = self._gate.has_read or snapshot.is_any_read
        self.spent.reading += loop.time() - began_at
        details = {"round": self._rounds, **describe_reading(snapshot)}
        self._recorder.event(AuditEventType.SNAPSHOT_TAKEN, details)
        return snapshot

    async def _space_out(self) -> None:
        """Keep readings apart once there were many: the weight of a minute is about 28 of them."""
        if self._snapshot is None or self._rounds < _QUICK_READINGS or self._gate.is_closed:
            return
        gap_s = (self._gate.deadline_at - self._gate.started_at) / _SPACED_READINGS
        now = asyncio.get_running_loop().time()
        wait_s = self._snapshot.started_at + gap_s - now
        if wait_s > 0:
            self.spent.waiting += wait_s
            await asyncio.sleep(wait_s)

    async def _is_misdirected(self, snapshot: Snapshot) -> bool:
        """Whether the first reading shows that this is not the account or symbol that was meant."""
        empty = not (snapshot.positions.items or snapshot.orders)
        readable = snapshot.positions.complete and snapshot.regular_orders.complete
        if self._policy.symbols:
            self.unknown_symbols = await find_unknown_symbols(
                self._exchange, self._gate, self._policy, snapshot
            )
            return bool(self.unknown_symbols)
        if empty and readable:
            self.is_portfolio_margin = await find_portfolio_margin(self._exchange, self._gate)
        return self.is_portfolio_margin

    def _is_fatal(self, snapshot: Snapshot) -> bool:
        """Whether the key is refused, by a write or by every reading, or a ban outlasts the run."""
        errors = snapshot.errors
        refused = [error for error in errors if error.kind is AnswerKind.RUN_FATAL]
        if refused and len(refused) == len(errors) and not self.state.has_read:
            self._gate.fatal = refused[0]
        return self._gate.fatal is not None or self._gate.outlasts_deadline

    def _is_proven(self, clean: int, verdict: Verdict) -> bool:
        began_at = self._snapshot.started_at if self._snapshot else 0.0
        self._flat_since = began_at if self._flat_since is None else self._flat_since
        if clean < (2 if self.state.doubt else 1):
            return False
        if self.state.others_trade and began_at - self._flat_since < _QUIET_S:
            return False
        self._recorder.event(
            AuditEventType.VERIFIED,
            {"flat": True, "readings_in_a_row": clean, "kept": len(verdict.kept)},
        )
        return True

    async def _watch(self) -> None:
        """Let a bot that was seen trading show itself again before the account is called flat."""
        if self.state.others_trade:
            self.spent.waiting += _QUIET_S / 3
            await asyncio.sleep(_QUIET_S / 3)

    def _memory(self) -> Memory:
        return Memory(
            legs=self.state.legs,
            orders=self.state.orders,
            rules=self.side.rules,
            marks=self.side.marks,
            mode=self.side.mode,
            swept=frozenset(self._swept),
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
            self._swept.add(plan.symbol)
        try:
            patience_s = self._patience(_CANCEL_PATIENCE_MIN_S)
            if plan.cancel_regular or plan.cancel_algo:
                await asyncio.wait({cancels}, timeout=patience_s if plan.closes else None)
            self.spent.cancelling = max(self.spent.cancelling, loop.time() - began_at)
            closing_at = loop.time()
            await together([self._closer.close_leg(close) for close in plan.closes])
            if plan.closes:
                self.spent.closing = max(self.spent.closing, loop.time() - closing_at)
            if plan.stops and await self._is_seen_flat(plan):
                await self._canceller.cancel(plan.after_closing())
            await cancels
        finally:
            cancels.cancel()

    async def _is_seen_flat(self, plan: SymbolPlan) -> bool:
        """Whether the answers say that every leg is closed, and a look agrees."""
        filled = all(self.state.legs[close.position.leg].is_filled for close in plan.closes)
        return filled and await self._lookout.sees_flat(plan.symbol)

    def _note_look(self, positions: Reading[Position]) -> None:
        details = {"round": self._rounds, **describe_look(positions)}
        self._recorder.event(AuditEventType.SNAPSHOT_TAKEN, details)

    async def _wait(self, plan: Plan, reread_s: float, *, launched: bool) -> None:
        """Wait for what was started, or for what is due next, whichever the round needs."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        if self._tasks and launched:
            await asyncio.wait(self._tasks, timeout=self._patience(_PATIENCE_MIN_S))
        else:
            wait_s = reread_s
            if plan.wake_at is not None and not self._tasks:
                wait_s = max(min(plan.wake_at - began_at, _REREAD_MAX_S), 0.0)
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
        """Forget finished work; what failed for our own fault is raised."""
        for task in [task for task in self._tasks if task.done()]:
            del self._tasks[task]
            task.result()

    def _patience(self, least_s: float) -> float:
        most_s = _PATIENCE_SHARE * (self._gate.deadline_at - self._gate.started_at)
        return min(max(least_s, _ROUND_TRIPS * self._gate.rtt_s), most_s)

    def _is_hopeless(self, plan: Plan, verdict: Verdict) -> bool:
        """Whether nothing is under way, nothing waits, and nothing unread could still be read."""
        if self._tasks or self.side.awaited or not plan.is_empty or not verdict.is_readable:
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
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.state.wrote()

    async def _last_reading(self, ending: Ending) -> Ending:
        """Read once more, twice where there was doubt, in the time kept for it."""
        if self._gate.fatal is not None and not self.state.has_read:
            return ending
        if self._gate.outlasts_deadline:
            return ending
        until = self._gate.deadline_at
        interrupted = ending is Ending.INTERRUPTED
        if interrupted:
            until = min(until, asyncio.get_running_loop().time() + _GRACE_S)
        clean = 0
        delay_s = _REREAD_MIN_S
        try:
            async with asyncio.timeout_at(until):
                while True:
                    snapshot = await self._read()
                    verdict = self.state.absorb(snapshot)
                    clean = clean + 1 if verdict.is_flat else 0
                    if clean and self._is_proven(clean, verdict):
                        return Ending.FLAT
                    is_enough = interrupted or not self.state.is_doubtful
                    if verdict.is_readable and not clean and is_enough:
                        return ending
                    if self._is_fatal(snapshot) or _is_key_refused(snapshot):
                        return ending
                    await asyncio.sleep(delay_s)
                    await self._watch()
                    delay_s = _REREAD_MIN_S if clean else min(delay_s * 2, _REREAD_MAX_S)
        except TimeoutError:
            return ending

    @property
    def unread(self) -> str | None:
        """Why the account could not be read, None when the last reading was complete."""
        if self._snapshot is None:
            return "the account was never read"
        return explain_unread(self._snapshot)

    def refusal(self) -> VenueAnswer | None:
        """Return the refusal that stopped the run, or the ban that outlasts it."""
        return self._gate.fatal or (self._gate.pause if self._gate.outlasts_deadline else None)


def _is_key_refused(snapshot: Snapshot) -> bool:
    return any(error.kind is AnswerKind.RUN_FATAL for error in snapshot.errors)
