"""The liquidation as one call: start record, run, result, end record.

Whatever happens in between, a run that was started ends with exactly one end record and a result.
"""

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from liqctl.kernel import events, pacing
from liqctl.kernel.account import AccountLiquidation
from liqctl.kernel.amounts import plain
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.as_json import as_json
from liqctl.kernel.errors import Secret
from liqctl.kernel.events import EventSink
from liqctl.kernel.limits import Deadline
from liqctl.kernel.machine import Exchange, Machine, Task, WallClock
from liqctl.kernel.outcome import Ending, Outcome, summarise
from liqctl.kernel.policy import LiquidationConfig, product_of
from liqctl.kernel.reading import asks_executions
from liqctl.kernel.requests import order_of
from liqctl.kernel.result import (
    ALREADY_IN_PROGRESS,
    LAST_TOLD,
    LiquidationResult,
    make_metrics,
)
from liqctl.kernel.states import (
    FailureCause,
    LiquidationState,
    Margin,
    PositionState,
    Product,
    make_correlation_id,
)
from liqctl.kernel.values import ORDER_TAG_BYTES, Leg
from liqctl.kernel.witness import NOT_ASKED, Master, Statement, silent
from liqctl.kernel.words import DISARMED, explain_twin
from liqctl.run import SystemClock, describe_actor
from liqctl.run.driver import Driver, Opening
from liqctl.run.lock import AccountLock, Holder, describe_holder

if TYPE_CHECKING:
    from liqctl.trail.writer import AuditLogger


@dataclass(eq=False)
class Witness:
    """The master's key for every account of a command, asked beside the runs: `kernel.witness`.

    It asks from the moment it is opened, on a connection of its own; the runs know nothing of it
    but an answer that is there in a bounded time. `problem` is why it says nothing as long as it is
    not open.
    """

    deadline: Deadline
    problem: str = "its key could not be read in time"
    driver: Driver | None = None
    exchange: Exchange | None = None

    def open(
        self, exchange: Exchange, accounts: Mapping[Secret, str | None], *, own: Secret
    ) -> None:
        """Begin to ask; needs a running event loop. `accounts` are their names by their keys."""
        self.exchange = exchange
        # A machine of its own has limits of its own: the spot host's are not the futures'.
        self.driver = Driver(Machine(self.deadline), exchange)
        self.master = Master(self.driver.machine, accounts, own=own)
        self.driver.advance()

    def of(self, key: Secret) -> "AccountWitness":
        """Return the witness of the account with this key."""
        return AccountWitness(self, key)

    async def close(self) -> None:
        """Ask nothing more, and close the connection; never raises."""
        if self.driver is not None:
            self.driver.close()
        if self.exchange is not None:
            await self.exchange.close()


@dataclass(eq=False)
class AccountWitness:
    """What a master's key says of one account, asked for once and waited for later."""

    witness: Witness
    key: Secret
    _asking: Task[Statement] | None = None

    def ask(self, policy: LiquidationConfig, margin: Margin, *, answered_at: float) -> None:
        """Begin to ask about the account, which its own lists show flat."""
        driver = self.witness.driver
        if driver is not None:
            self._asking = driver.machine.spawn(
                self.witness.master.testify(self.key, policy, margin, answered_at=answered_at)
            )
            driver.advance()

    async def answer(self) -> Statement:
        """Return its word; a fault of ours in it is no fault of the run."""
        driver = self.witness.driver
        if driver is None or self._asking is None:
            return silent(self.witness.problem)
        await driver.perform(driver.machine.wait([self._asking]))
        return self._asking.result or silent("a fault of liqctl itself")

    def interrupt(self) -> None:
        """Let nobody wait for it any more."""
        if self.witness.driver is not None:
            self.witness.driver.interrupt()


@dataclass(slots=True)
class _Current:
    """The run under way, for whoever has to end it from outside the loop."""

    opening: Opening
    known: Outcome = field(default_factory=Outcome)


@dataclass(kw_only=True, eq=False, repr=False)
class LiquidationManager:
    """Liquidates one account, one run at a time; nothing is sent before `execute_liquidation`.

    Attributes:
        config: what a run may do, and for how long.
        exchange: the account on its venue.
        audit_logger: where events go.
        environment: the name shown in results.
        account: the account's name, None where it has none.
        identity: what the start record says besides who runs the process (base URL, key
            fingerprint, version). Never a key.
        lock: keeps other processes off the account; None within one process only.
        dead_runs: the trail, where runs that died are to be closed.
        witness: the master's key, that is asked about the account once it reads flat.
        wall_clock: calendar time; the machine's own by default.
        rng: jitter of the backoff.
    """

    config: LiquidationConfig
    exchange: Exchange
    audit_logger: EventSink
    environment: str = ""
    account: str | None = None
    identity: Mapping[str, object] = field(default_factory=dict)
    lock: AccountLock | None = None
    dead_runs: "AuditLogger | None" = None
    witness: AccountWitness | None = None
    wall_clock: WallClock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        """Have no run yet."""
        self._is_running = False
        self._current: _Current | None = None
        self._ended = threading.Lock()
        self._ending: LiquidationResult | None = None
        self._expired: tuple[_Current, LiquidationResult] | None = None
        self._results: list[LiquidationResult] = []

    @property
    def state(self) -> LiquidationState:
        """IDLE, IN_PROGRESS, or how the last run ended."""
        if self._is_running:
            return LiquidationState.IN_PROGRESS
        return self._results[-1].state if self._results else LiquidationState.IDLE

    def get_metrics(self) -> dict[str, object]:
        """Return the counts of this manager's runs, under the keys of `status`' metrics.

        A skipped run executed nothing: it is counted as skipped, and is not the last execution.
        """
        ends = Counter(result.state.value for result in self._results)
        executed = [r for r in self._results if r.state is not LiquidationState.SKIPPED]
        names = ("started_at", *LAST_TOLD)
        last = {name: as_json(getattr(each, name)) for each in executed[-1:] for name in names}
        return make_metrics(len(executed), ends, last)

    def interrupt(self) -> None:
        """Let the run send nothing new, read once more and end; without a run, nothing happens."""
        if self._current is not None:
            self._current.opening.driver.interrupt()
            if self.witness is not None:
                self.witness.interrupt()

    async def execute_liquidation(
        self, *, reason: str = "", correlation_id: str | None = None, opening: Opening | None = None
    ) -> LiquidationResult:
        """Cancel and close what is in scope, prove it, and return how it ended.

        Args:
            reason: why, in the operator's words; stands in the start record.
            correlation_id: 1 to 64 letters, digits, `_`, `-`; generated when None.
            opening: the run, where it was opened before; the name and the lock are its own.

        Returns:
            The result; also when another run is in progress (FAILED), when the configuration
            forbids it (SKIPPED) and when nothing could be reached (FAILED).
        """
        started_at = opening.started_at if opening else self.wall_clock.now()
        name = opening.correlation_id if opening else correlation_id
        name = name or make_correlation_id(started_at, os.urandom(3).hex())
        if self._is_running:
            return await self._drained(self._blocked(name, started_at, "a run of this process"))
        if not self.config.emergency_liquidation:
            return await self.skip(name, DISARMED, started_at=started_at)
        opening = opening or Opening(
            exchange=self.exchange,
            policy=self.config,
            correlation_id=name,
            wall_clock=self.wall_clock,
            lock=self.lock,
        )
        if opening.blocked is not None:
            holder = describe_holder(opening.blocked.holder)
            return await self._drained(self._blocked(name, started_at, holder))
        self._is_running = True
        try:
            twin = await opening.find_twin()
            if twin is not None:
                opening.close()
                return await self.skip(name, explain_twin(twin), started_at=started_at)
            return await self._execute(opening, reason)
        finally:
            # Also where the caller waits no more: the run has ended, and another one may begin.
            self._current, self._is_running = None, False
            if self.lock is not None:
                self.lock.release()

    async def _execute(self, opening: Opening, reason: str) -> LiquidationResult:
        driver = opening.driver
        run = AccountLiquidation(
            opening.readers,
            opening.firsts,
            order_tags={product: os.urandom(ORDER_TAG_BYTES).hex() for product in Product},
            jitter=lambda: self.rng.uniform(-1, 1),
            has_executions=asks_executions(self.exchange, self.config),
        )
        witness, said = self.witness, NOT_ASKED if self.witness else None
        current = self._current = _Current(opening, Outcome(witness=said))

        def publish() -> None:
            current.known = replace(run.outcome(), witness=said)

        if self.lock is not None and self.dead_runs is not None:
            # A run that died is found by its lock's text: no START stands in the trail before that.
            self.dead_runs.follow(self.lock.written)
        driver.record_to(self.audit_logger, opening.correlation_id, publish)
        driver.record(
            events.run_started(
                describe_actor(),
                self.identity,
                reason=reason,
                config=asdict(self.config),
                lock=self.lock.note if self.lock else None,
            )
        )
        ending = Ending.DEADLINE
        try:
            ending = await driver.perform(run.converge())
            if witness is not None and ending is Ending.FLAT:
                account = opening.readers.account
                witness.ask(self.config, account.margin, answered_at=account.answered_at)
            await driver.perform(run.settle_prices())
            if self.lock is not None:
                self.lock.look_again()
            dead = self.lock.dead_run if self.lock else None
            if dead is not None and self.dead_runs is not None:
                await close_dead_run(dead, trail=self.dead_runs, opening=opening)
            if witness is not None and ending is Ending.FLAT:
                said = await witness.answer()
        finally:
            opening.close()
            publish()
            result = self._end(current, ending, duration_s=driver.spent_s)
        return await self._drained(result)

    def expire(self, duration_s: float) -> LiquidationResult | None:
        """End the run from another thread because its loop did not; return what is known.

        Nothing is recorded before `record_expiry`, so that the caller can print the result first.
        A run that ended by itself and still waits for the disk has an incomplete trail. None when
        there was no run.
        """
        current = self._current
        if current is None or not self._ended.acquire(timeout=pacing.ENDING_MAX_S):
            return replace(self._ending, audit_complete=False) if self._ending else None
        if self._current is None and self._ending is not None:
            return replace(self._ending, audit_complete=False)
        result = self._make_result(current, Ending.DEADLINE, duration_s)
        self._expired = (current, result)
        return result

    def record_expiry(self) -> None:
        """Record the end of the run that `expire` ended, if it ended one."""
        if self._expired is not None:
            self._record_end(*self._expired)
            self._expired = None

    def _end(self, current: _Current, ending: Ending, *, duration_s: float) -> LiquidationResult:
        result = self._ending = self._make_result(current, ending, duration_s)
        self._results.append(result)
        if self._ended.acquire(blocking=False):
            try:
                self._record_end(current, result)
            finally:
                self._current = None
                self._ended.release()
        return result

    def _record_end(self, current: _Current, result: LiquidationResult) -> None:
        told = {leg for leg, record in current.known.legs.items() if record.given_up}
        for position in result.positions:
            leg = Leg(position.symbol, position.position_side, position.product)
            is_unknown = position.state in {PositionState.PARTIAL, PositionState.UNKNOWN}
            # Of a position not closed whose failure stands in no event yet.
            if is_unknown or (position.state is PositionState.FAILED and leg not in told):
                events.position_left(position).log_to(self.audit_logger, result.correlation_id)
        events.run_ended(result).log_to(self.audit_logger, result.correlation_id)

    def _make_result(
        self, current: _Current, ending: Ending, duration_s: float
    ) -> LiquidationResult:
        base = self._base_result(current.opening.correlation_id, current.opening.started_at)
        note = self.lock.note if self.lock else None
        base = replace(
            base,
            duration_seconds=duration_s,
            requests=self.exchange.usage.requests - current.opening.requests_before,
            notes=(note,) if note else (),
        )
        return summarise(base, current.known, ending, self.config)

    def _blocked(self, name: str, started_at: datetime, holder: str) -> LiquidationResult:
        events.run_blocked(describe_actor(), holder).log_to(self.audit_logger, name)
        return replace(
            self._base_result(name, started_at),
            error_message=ALREADY_IN_PROGRESS,
            cause=FailureCause.BLOCKED,
            notes=(f"held by {holder}",),
        )

    async def skip(
        self, name: str, why: str, *, started_at: datetime | None = None
    ) -> LiquidationResult:
        """Record and return that there is nothing to do here, and why."""
        started_at = started_at or self.wall_clock.now()
        events.run_skipped(describe_actor(), why).log_to(self.audit_logger, name)
        result = replace(
            self._base_result(name, started_at),
            state=LiquidationState.SKIPPED,
            error_message=why,
        )
        self._results.append(result)
        return await self._drained(result)

    def _base_result(self, name: str, started_at: datetime) -> LiquidationResult:
        finished_at = self.wall_clock.now()
        return LiquidationResult(
            correlation_id=name,
            environment=self.environment,
            account=self.account,
            state=LiquidationState.FAILED,
            started_at=started_at,
            finished_at=finished_at,
            duration_seconds=(finished_at - started_at).total_seconds(),
            timeout_seconds=self.config.timeout_seconds,
            audit_complete=self.audit_logger.complete,
            audit_head=self.audit_logger.head(name),
        )

    async def _drained(self, result: LiquidationResult) -> LiquidationResult:
        """Return the result once its records are on disk, or known not to be.

        The account is safe by now: a slow disk gets what the deadline left, within reason.
        """
        left_s = result.timeout_seconds - result.duration_seconds
        wait_s = min(max(left_s, pacing.DISK_END_MIN_S), pacing.DISK_END_MAX_S)
        await self.audit_logger.drain(wait_s)
        head = self.audit_logger.head(result.correlation_id)
        return replace(result, audit_complete=self.audit_logger.complete, audit_head=head)


async def close_dead_run(dead: Holder, *, trail: "AuditLogger", opening: Opening) -> None:
    """Close the records of the run that held the lock and died, and of those it had yet to close.

    Each gets a LIQUIDATION_ABANDONED in its own chain, so its start has an end and the file stays
    one proof: what it had sent and not heard of is looked up, in what time is left. A run that did
    end, and died before it could clear the lock, is left as it is.
    """
    driver, gateway = opening.driver, opening.readers.gateway

    async def look_up(symbol: str, client_order_id: str) -> str:
        request = order_of(product_of(symbol), symbol, client_order_id)
        answer = await driver.perform(gateway.ask(request))
        if not isinstance(answer, VenueAnswer):
            return f"{answer.status}, {plain(answer.executed)} executed"
        if answer.kind is AnswerKind.DONE:
            return "the venue does not know it"
        return f"not known: {answer.describe()}"

    for correlation_id in (*dead.unburied.split(), dead.correlation_id):
        try:
            async with asyncio.timeout(driver.remaining_s * pacing.DEAD_READING_SHARE):
                last_event, orders = await trail.continue_run(
                    correlation_id, is_ours=correlation_id == opening.correlation_id
                )
        except TimeoutError:  # Its record stays open; this run's own end matters more.
            return
        if last_event is None or last_event in events.RUN_ENDS:
            continue
        some = orders[: pacing.DEAD_LOOK_UPS_MAX]
        fates = await asyncio.gather(*(look_up(*order) for order in some))
        event = events.run_abandoned(
            closed_by=opening.correlation_id,
            pid=dead.pid,
            host=dead.host,
            user=dead.user,
            started_at=dead.started_at,
            last_event=last_event,
            unanswered=len(orders),
            orders=[(*order, fate) for order, fate in zip(some, fates, strict=True)],
        )
        event.log_to(trail, correlation_id)
