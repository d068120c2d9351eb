"""One scenario, run once and judged: in virtual time, or in real time over HTTP on loopback.

No run speaks to anything but the venue in this process, and none needs a key.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from liqctl.drill import judges
from liqctl.drill.memory_sink import LoopClock, MemorySink
from liqctl.drill.promise import Difference, compare
from liqctl.kernel.errors import Secret, invariant
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import Environment
from liqctl.run.manager import LiquidationManager
from liqctl.run.who import SystemClock
from liqctl.sim.memory import EPOCH_MS, MemoryTransport
from liqctl.sim.scenario import Scenario
from liqctl.sim.venue import Venue
from liqctl.sim.virtual import run_virtual
from liqctl.trail.writer import AuditLogger
from liqctl.venue.exchange import BinanceExchange

REASON: Final = "drill"
_OVERDUE_S: Final = 2.0
"""How long after its deadline a run in real time is given up."""


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

    def latency_for(self, scenario: Scenario) -> float:
        """Return the round trip of a scenario in seconds."""
        return max(self.latency_s, scenario.latency_ms / 1000)


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
    """Asked from a signal's handler; ends the run under way, if it takes real time."""

    requested: bool = False
    _end_run: Callable[[], object] | None = field(default=None, repr=False)

    def request(self) -> None:
        """Run nothing more."""
        self.requested = True
        if self._end_run is not None:
            self._end_run()

    def ends(self, end_run: Callable[[], object] | None) -> None:
        """Name what ends the run under way, None when there is none."""
        self._end_run = end_run


def run_in_virtual_time(
    scenario: Scenario,
    policy: LiquidationConfig,
    conditions: Conditions,
    *,
    seed: int = 1,
    name: str | None = None,
) -> tuple[Run, Venue, MemorySink]:
    """Run a scenario in milliseconds; the same seed gives the same run.

    Args:
        scenario: account, trouble and promise.
        policy: what the run may do, and for how long.
        conditions: what all runs have in common.
        seed: of the backoff's jitter.
        name: the run's correlation id, which must be new to the trail.
    """
    venue, sink = scenario.make_venue(), MemorySink(trail=conditions.trail)

    async def main() -> tuple[LiquidationResult, float]:
        transport = MemoryTransport(
            venue,
            latency_s=conditions.latency_for(scenario),
            recv_window_ms=conditions.recv_window_ms,
        )
        manager = LiquidationManager(
            config=policy,
            exchange=BinanceExchange(transport),
            audit_logger=sink,
            environment=conditions.environment.value,
            wall_clock=LoopClock(),
            rng=random.Random(seed),
        )
        result = await manager.execute_liquidation(
            reason=REASON, correlation_id=name or f"drill_{scenario.name}_{seed}"
        )
        return result, asyncio.get_running_loop().time()

    result, duration_s = run_virtual(main)
    case = judges.Case(
        venue=venue,
        result=result,
        events=sink.events,
        duration_s=duration_s,
        ended_ms=EPOCH_MS + round(duration_s * 1000),
        latency_s=conditions.latency_for(scenario),
        policy=policy,
    )
    return judge(scenario, case, seed=seed), venue, sink


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
    from liqctl.sim.server import EmbeddedServer
    from liqctl.venue.client import CcxtTransport

    sink = MemorySink(trail=conditions.trail, syncs=True)
    latency_ms = round(conditions.latency_for(scenario) * 1000)

    async def main(server: EmbeddedServer) -> tuple[LiquidationResult, float]:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        exchange = BinanceExchange(
            CcxtTransport(
                key=Secret(server.api_key),
                secret=Secret(server.api_secret),
                environment=Environment.SIMULATOR,
                base_url=server.url,
                recv_window_ms=conditions.recv_window_ms,
                owns_process=True,
            )
        )
        manager = LiquidationManager(
            config=policy,
            exchange=exchange,
            audit_logger=sink,
            environment=conditions.environment.value,
            wall_clock=SystemClock(),
            rng=random.Random(seed),
        )
        task = asyncio.ensure_future(
            manager.execute_liquidation(reason=REASON, correlation_id=name)
        )
        stop.ends(lambda: loop.call_soon_threadsafe(task.cancel))
        try:
            result = await asyncio.wait_for(task, policy.timeout_seconds + _OVERDUE_S)
            return result, loop.time() - began_at
        except TimeoutError:
            duration_s = loop.time() - began_at
            overdue = manager.expire(duration_s)
            invariant(overdue is not None, "a run that was under way has a result")
            return cast("LiquidationResult", overdue), duration_s
        finally:
            stop.ends(None)
            await exchange.close()

    with EmbeddedServer(scenario, latency_ms=latency_ms) as server:
        try:
            result, duration_s = asyncio.run(main(server))
        except asyncio.CancelledError:
            return None
        case = judges.Case(
            venue=server.venue,
            result=result,
            events=sink.events,
            duration_s=duration_s,
            ended_ms=time.time_ns() // 1_000_000,
            latency_s=conditions.latency_for(scenario),
            policy=policy,
        )
        return judge(scenario, case, seed=seed)


def judge(scenario: Scenario, case: judges.Case, *, seed: int = 1) -> Run:
    """Return a run with everything that can be held against it."""
    case.venue.tick(case.ended_ms)
    differences = compare(case.venue, case.result, scenario.expect, policy=case.policy)
    left = judges.what_is_left(case.venue, case.policy)
    verdict = judges.judge(case, every_rule=False)
    return Run(
        seed=seed,
        result=case.result,
        left=tuple(left),
        broken=tuple(verdict.broken),
        differences=differences,
    )
