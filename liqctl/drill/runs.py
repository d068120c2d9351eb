"""A drill: every scenario, as often as asked, in virtual time or over HTTP on loopback, and judged.

No run speaks to anything but the venue in this process, and none needs a key. Scenarios that should
end better than they did are run again with longer deadlines, in virtual time, until the shortest is
found with which every seed ends as it should.

The promises of scenarios were written for the default configuration. A longer deadline may end
better than one: that is a difference, and nothing to be alarmed at. A promised time is that until
flat is seen for good; the result is told `settle_seconds` later, or as much later as the deadline
leaves.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from liqctl.drill.judges import WHOLE_ACCOUNT, Case, judge, what_is_left
from liqctl.kernel.errors import Secret, invariant
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.machine import Transport, WallClock
from liqctl.kernel.policy import LIMITS, LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import Environment, LiquidationState, OrderState, Product
from liqctl.run import SystemClock
from liqctl.run.manager import LiquidationManager
from liqctl.sim.memory import EPOCH_MS, MemoryTransport, run_virtual
from liqctl.sim.scenario import Expectation, Scenario
from liqctl.sim.venue import Venue
from liqctl.trail.writer import AuditLogger
from liqctl.venue.exchange import BinanceExchange

if TYPE_CHECKING:
    from liqctl.drill.armed import Post

T = TypeVar("T")
Script = Callable[["Post"], Awaitable[None]]
"""What happens to an armed process, until it is over."""

_DISK_S: Final = 0.0005
"""How long a sync takes in virtual time."""

# Far more than a judge allows, so that what is late is judged and not cut off.
_OVERDUE_S: Final = 2.0
"""How long after its deadline a run in real time is given up."""

VIRTUAL_TIME_ONLY: Final = frozenset({"weight_exhausted"})
"""Its end depends on when the venue's minute ends, which real time does not let anybody choose."""

DEADLINE_MAX_S: Final = LIMITS["timeout_seconds"].high
_STEP_S: Final = 0.1
"""How exactly the deadline that would have been enough is looked for."""

_FROM_WORST_TO_BEST: Final = (
    LiquidationState.SKIPPED.value,
    LiquidationState.FAILED.value,
    LiquidationState.PARTIAL.value,
    LiquidationState.COMPLETED.value,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What every run of a drill has in common.

    Attributes:
        latency_s: round trip of a request; a scenario that is slower by itself stays so.
        trail: where events are also written; None keeps them in memory only.
    """

    latency_s: float
    recv_window_ms: int = 5000
    environment: Environment = Environment.SIMULATOR
    trail: AuditLogger | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One scenario with what a run against it may do; with a `script` an armed process runs it."""

    scenario: Scenario
    policy: LiquidationConfig
    script: Script | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as promised."""

    text: str
    worse: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How one run ended; `broken` names rules that no run may break, whatever was promised."""

    seed: int
    result: LiquidationResult
    left: tuple[str, ...]
    broken: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is worse than it should be, in words."""
        return self.broken + tuple(each.text for each in self.differences if each.worse)


@dataclass(slots=True)
class Stop:
    """Asked from a signal's handler; `end_run` ends the run under way, if it takes real time."""

    requested: bool = False
    end_run: Callable[[], object] | None = field(default=None, repr=False)

    def request(self) -> None:
        """Run nothing more."""
        self.requested = True
        if self.end_run is not None:
            self.end_run()

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Return what a coroutine gives, on an event loop of its own; None when stopped."""

        async def run() -> T:
            loop = asyncio.get_running_loop()
            task = loop.create_task(main())
            self.end_run = lambda: loop.call_soon_threadsafe(task.cancel)
            try:
                return await task
            finally:
                self.end_run = None

        try:
            return None if self.requested else asyncio.run(run())
        except asyncio.CancelledError:
            return None


class LoopClock:
    """Calendar time that follows the loop's, as the door in memory does."""

    def now(self) -> datetime:
        """Return the loop's time as a date."""
        began = datetime.fromtimestamp(EPOCH_MS / 1000, tz=UTC)
        return began + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass(slots=True)
class MemorySink:
    """Keeps events in memory for the judges; implements `events.EventSink`.

    With a `trail` every event is also appended to it. A disk cannot be waited for in virtual time:
    there a sync takes `_DISK_S`, and only with `syncs` what the machine needs.
    """

    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    trail: AuditLogger | None = None
    syncs: bool = False

    def log_event(
        self, *, event_type: AuditEventType, correlation_id: str, details: Mapping[str, Any]
    ) -> None:
        """Keep the event and pass it on."""
        self.events.append((event_type.value, details))
        if self.trail is not None:
            self.trail.log_event(
                event_type=event_type, correlation_id=correlation_id, details=details
            )

    async def sync(self) -> None:
        """Take as long as a disk does."""
        if self.trail is not None and self.syncs:
            await self.trail.sync()
            return
        if self.trail is not None:
            self.trail.flush()
        await asyncio.sleep(_DISK_S)

    async def drain(self, wait_max_s: float) -> None:
        """Take as long as a disk does; in virtual time the trail is only written."""
        await self.sync()
        if self.trail is not None and self.syncs:
            await self.trail.drain(wait_max_s)

    @property
    def complete(self) -> bool:
        """Whether every event reached the trail."""
        return self.trail is None or self.trail.complete

    def head(self, correlation_id: str) -> str | None:
        """Return the SHA-256 of the run's last line; there is no chain in memory."""
        return None if self.trail is None else self.trail.head(correlation_id)


def run_in_virtual_time(
    scenario: Scenario,
    policy: LiquidationConfig,
    conditions: Conditions,
    *,
    seed: int = 1,
    name: str | None = None,
) -> tuple[Run, Venue, MemorySink]:
    """Run a scenario in milliseconds; the same seed, of the back-off's jitter, gives the same run.

    `name` is the run's correlation id, which must be new to the trail.
    """
    venue, sink = scenario.make_venue(), MemorySink(trail=conditions.trail)
    latency_s = _latency(scenario, conditions)
    transport = MemoryTransport(
        venue, latency_s=latency_s, recv_window_ms=conditions.recv_window_ms
    )
    name = name or f"drill_{scenario.name}_{seed}"
    result, duration_s = run_virtual(
        lambda: _carry_out(transport, policy, conditions, sink, LoopClock(), seed=seed, name=name)
    )
    case = Case(
        venue=venue,
        result=result,
        events=sink.events,
        duration_s=duration_s,
        ended_ms=EPOCH_MS + round(duration_s * 1000),
        latency_s=latency_s,
        policy=policy,
    )
    return judged(case, scenario.expect, seed), venue, sink


def run_in_real_time(
    scenario: Scenario,
    policy: LiquidationConfig,
    conditions: Conditions,
    stop: Stop,
    *,
    seed: int = 1,
    name: str,
) -> Run | None:
    """Run a scenario over HTTP on loopback, with ccxt, clock and disk; None when stopped."""
    from liqctl.sim.server import EmbeddedServer, now_ms
    from liqctl.venue.client import CcxtTransport

    sink = MemorySink(trail=conditions.trail, syncs=True)
    latency_s = _latency(scenario, conditions)

    async def main() -> tuple[LiquidationResult, float]:
        transport = CcxtTransport(
            key=Secret(server.api_key),
            secret=Secret(server.api_secret),
            environment=Environment.SIMULATOR,
            base_url=server.url,
            recv_window_ms=conditions.recv_window_ms,
            owns_process=True,
        )
        return await _carry_out(
            transport, policy, conditions, sink, SystemClock(), seed=seed, name=name
        )

    with EmbeddedServer(scenario, latency_ms=round(latency_s * 1000)) as server:
        ended = stop.run(main)
        if ended is None:
            return None
        case = Case(
            venue=server.venue,
            result=ended[0],
            events=sink.events,
            duration_s=ended[1],
            ended_ms=now_ms(),
            latency_s=latency_s,
            policy=policy,
        )
        return judged(case, scenario.expect, seed)


async def _carry_out(
    transport: Transport,
    policy: LiquidationConfig,
    conditions: Conditions,
    sink: MemorySink,
    clock: WallClock,
    *,
    seed: int,
    name: str,
) -> tuple[LiquidationResult, float]:
    """Return how a run ends and how long it takes; one that does not end is given up."""
    loop = asyncio.get_running_loop()
    exchange, began_at = BinanceExchange(transport), loop.time()
    manager = LiquidationManager(
        config=policy,
        exchange=exchange,
        audit_logger=sink,
        environment=conditions.environment.value,
        wall_clock=clock,
        rng=random.Random(seed),
    )
    running = manager.execute_liquidation(reason="drill", correlation_id=name)
    try:
        result = await asyncio.wait_for(running, policy.timeout_seconds + _OVERDUE_S)
        return result, loop.time() - began_at
    except TimeoutError:
        duration_s = loop.time() - began_at
        overdue = manager.expire(duration_s)
        invariant(overdue is not None, "a run that was under way has a result")
        return cast("LiquidationResult", overdue), duration_s
    finally:
        await exchange.close()


def _latency(scenario: Scenario, conditions: Conditions) -> float:
    return max(conditions.latency_s, scenario.latency_ms / 1000)


def judged(case: Case, promise: Expectation, seed: int) -> Run:
    """Return a run with everything that can be held against it."""
    case.venue.tick(case.ended_ms)
    differences = compare(case.venue, case.result, promise, policy=case.policy)
    left = what_is_left(case.venue, case.policy)
    # Judged last: the venue goes on for a while, to see whether flat holds.
    broken = judge(case).broken
    return Run(
        seed=seed,
        result=case.result,
        left=tuple(left),
        broken=tuple(broken),
        differences=differences,
    )


def compare(
    venue: Venue,
    result: LiquidationResult,
    expect: Expectation,
    *,
    policy: LiquidationConfig = WHOLE_ACCOUNT,
) -> tuple[Difference, ...]:
    """Return every difference between a run's end and the promise.

    A state better than every one promised takes exit code, words and duration with it. So does a
    scope of positions, orders or one product only, where the promise is not COMPLETED: what can be
    closed and what is said of it depends on the scope. Something left open in scope that should not
    be is always for the worse.
    """
    state, code = result.state.value, int(result.exit_code())
    worse = _FROM_WORST_TO_BEST.index(state) <= max(map(_FROM_WORST_TO_BEST.index, expect.states))
    is_whole = policy.close_positions and policy.cancel_orders and {*policy.products} == {*Product}
    if policy.emergency_liquidation and not is_whole:
        completed = LiquidationState.COMPLETED.value
        worse = expect.states == (completed,) and state != completed
    found = []
    if state not in expect.states:
        found.append(f"state is {state}, expected {' or '.join(expect.states)}")
    if code not in expect.exits:
        found.append(f"exit code is {code}, expected {' or '.join(map(str, expect.exits))}")
    if expect.within_s and result.flat_after_seconds > expect.within_s:
        found.append(f"took {result.flat_after_seconds:.3f} s, expected {expect.within_s:g} s")
    told = "; ".join([result.error_message or "", *result.notes])
    found += [f"does not say {words!r}: {told}" for words in expect.says if words not in told]
    left = what_is_left(venue, policy)
    resting = {str(order.order_id) for order in venue.account.open_orders()}
    resting |= {str(algo.algo_id) for algo in venue.account.open_algo_orders()}
    kept = {order.order_id for order in result.orders if order.state is OrderState.KEPT}
    unexpected = [
        name for name in left if not any(fnmatchcase(name, pattern) for pattern in expect.left)
    ]
    missing = [
        pattern for pattern in expect.left if not any(fnmatchcase(name, pattern) for name in left)
    ]
    return (
        *(Difference(text=text, worse=worse) for text in found),
        *(Difference(text=f"{name} is left open", worse=True) for name in unexpected),
        *(Difference(text=f"{name} should be left open", worse=False) for name in missing),
        *(
            Difference(text=f"{order_id} is reported KEPT but is gone", worse=True)
            for order_id in sorted(kept - resting)
        ),
    )


# -- the whole drill ----------------------------------------------------------------------------


class Mode(StrEnum):
    """How time passes in a drill."""

    VIRTUAL = "virtual"
    REAL = "real"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one scenario ended in all its runs.

    `needs_s` is the shortest deadline with which every run ends as it should; None where none is
    needed or none up to `DEADLINE_MAX_S` helps. `only_here` tells that the same run ends as it
    should in virtual time: it is this machine that was too slow.
    """

    exercise: Exercise
    runs: tuple[Run, ...]
    needs_s: float | None = None
    only_here: bool = False

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.exercise.scenario.name

    @property
    def worst(self) -> Run:
        """The run to show: one that broke a rule, else one that is wrong, else the slowest."""
        return max(
            self.runs,
            key=lambda run: (bool(run.broken), bool(run.wrong), run.result.flat_after_seconds),
        )

    @property
    def passed(self) -> bool:
        """Whether every run ended as it should."""
        return not any(run.wrong for run in self.runs)

    @property
    def broken(self) -> bool:
        """Whether a run broke a rule that none may break."""
        return any(run.broken for run in self.runs)

    @property
    def completed(self) -> bool:
        """Whether every run ended with the account proven flat in scope."""
        return all(run.result.state is LiquidationState.COMPLETED for run in self.runs)

    @property
    def seconds(self) -> tuple[float, float]:
        """The shortest and the longest run, until flat was seen for good or else to its end."""
        found = [run.result.flat_after_seconds for run in self.runs]
        return min(found), max(found)

    @property
    def settled_s(self) -> float:
        """How long flat was watched at least before it was called proven."""
        return min(run.result.settled_seconds for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a drill runs: each exercise once a seed, from 1 to `repeat`, one with a script once."""

    exercises: Sequence[Exercise]
    conditions: Conditions
    mode: Mode = Mode.VIRTUAL
    repeat: int = 1

    @property
    def chosen(self) -> tuple[Exercise, ...]:
        """The exercises that can be run in this mode."""
        return tuple(
            each
            for each in self.exercises
            if self.mode is Mode.VIRTUAL or each.scenario.name not in VIRTUAL_TIME_ONLY
        )


def hold(course: Course, stop: Stop, tell: Callable[[str], None]) -> Iterator[Score]:
    """Yield the score of each scenario as it ends; when stopped, of those that ran to their end.

    `tell` is told what comes next. Those with a script are `armed.play`'s, and come last.
    """
    scenarios = [each for each in course.chosen if each.script is None]
    for number, exercise in enumerate(scenarios, start=1):
        tell(f"{number} of {len(course.chosen)}: {exercise.scenario.name}")
        runs = []
        for seed in range(1, course.repeat + 1):
            run = None if stop.requested else _run(course, exercise, stop, number, seed)
            if run is None:
                return
            runs.append(run)
        yield _explain(course, Score(exercise=exercise, runs=tuple(runs)), stop)


def _run(course: Course, exercise: Exercise, stop: Stop, number: int, seed: int) -> Run | None:
    """Run once; None when stopped.

    A trail that fails is one finding about the disk, and not one about every scenario after it:
    what it spoilt is run again without it.
    """
    name, scenario, policy = f"drill_{number}_{seed}", exercise.scenario, exercise.policy
    without = replace(course.conditions, trail=None)

    def run_once(conditions: Conditions) -> Run | None:
        if course.mode is Mode.REAL:
            return run_in_real_time(scenario, policy, conditions, stop, seed=seed, name=name)
        return run_in_virtual_time(scenario, policy, conditions, seed=seed, name=name)[0]

    trail = course.conditions.trail
    if trail is None or not trail.complete:
        return run_once(without)
    run = run_once(course.conditions)
    return run if run is None or trail.complete else run_once(without)


def _explain(course: Course, score: Score, stop: Stop) -> Score:
    """Return a failed score with the shortest deadline that would have been enough."""
    policy = score.exercise.policy
    if score.passed or score.broken or not policy.emergency_liquidation:
        return score
    conditions = replace(course.conditions, trail=None)
    seeds = [run.seed for run in score.runs if run.wrong]

    def is_enough(timeout_s: float) -> bool:
        longer = replace(policy, timeout_seconds=timeout_s)
        return all(
            not run_in_virtual_time(score.exercise.scenario, longer, conditions, seed=seed)[0].wrong
            for seed in seeds
        )

    if course.mode is Mode.REAL and is_enough(policy.timeout_seconds):
        return replace(score, only_here=True)
    # Every deadline that is told was tried itself; that none shorter would do is taken from those
    # that were tried.
    too_short, enough = int(policy.timeout_seconds / _STEP_S), round(DEADLINE_MAX_S / _STEP_S)
    if enough <= too_short or not is_enough(DEADLINE_MAX_S):
        return score
    while enough - too_short > 1 and not stop.requested:
        middle = (enough + too_short) // 2
        if is_enough(round(middle * _STEP_S, 1)):
            enough = middle
        else:
            too_short = middle
    return replace(score, needs_s=round(enough * _STEP_S, 1))
