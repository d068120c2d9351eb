"""Seeded runs of the whole engine in virtual time: an account, what goes wrong, a verdict.

One seed is one run, always the same. `python -m tests.simulation 17` shows seed 17 event by event.
What makes a venue harsh is drawn in `tests.harshness`, beside what was drawn first: a seed that
once found a bug stays the run that it was.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from liqctl.drill.judges import Case
from liqctl.drill.runs import LoopClock, MemorySink
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.result import LiquidationResult
from liqctl.run.manager import LiquidationManager
from liqctl.sim.events import make_event
from liqctl.sim.faults import KINDS, make_fault
from liqctl.sim.memory import EPOCH_MS, MemoryTransport, run_virtual
from liqctl.sim.scenario import make_large_account
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests import harshness
from tests.judging import is_false_alarm, judge_fully

TARGETS = (
    ("POST", "/order"),
    ("POST", "/order"),
    ("POST", "/order"),
    ("DELETE", ""),
    ("GET", "/positionRisk"),
    ("GET", "/openOrders"),
    ("GET", "/openAlgoOrders"),
    ("GET", "/order"),
    ("GET", ""),
    ("", ""),
)
HOUSES = 1_000_000
"""Seeds from here on draw the products and the kind of account, too."""

FIRST_KINDS = tuple(sorted(set(KINDS) - harshness.KINDS))
ACTS = ("reopen", "add", "close", "flip", "liquidate", "deleverage", "trigger", "fill")


@dataclass(slots=True)
class ListSink(MemorySink):
    """A sink that tells each event as it comes, if it is to `show` them."""

    show: bool = False
    lost: bool = False

    @property
    @override
    def complete(self) -> bool:
        """Whether every event is kept; a test says no."""
        return not self.lost

    @override
    def log_event(
        self, *, event_type: AuditEventType, correlation_id: str, details: Mapping[str, Any]
    ) -> None:
        """Keep the event."""
        # Not super(): a dataclass with slots is made twice, and super() finds the first.
        MemorySink.log_event(
            self, event_type=event_type, correlation_id=correlation_id, details=details
        )
        if self.show:
            at = asyncio.get_running_loop().time()
            text = json.dumps(details, default=str)[:180]
            sys.stdout.write(f"{at:7.3f} {event_type} {text}\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run and what the judges say of it; a run that raised has no result."""

    seed: int
    result: LiquidationResult | None
    broken: list[str]
    faults: Counter[str]
    excused: list[str] = field(default_factory=list)
    false_alarm: bool = False
    overshoot_s: float = 0.0

    @property
    def end(self) -> str:
        """How it ended, in a word."""
        return "RAISED" if self.result is None else self.result.state


def make_venue(rng: random.Random, seed: int) -> Venue:
    """Return a venue with faults drawn from the seed; from `HOUSES` on with both products."""
    house = random.Random(seed) if seed >= HOUSES else None
    scenario = make_large_account(
        coinm=house.choice([0, 1, 2, 4]) if house else 0,
        margin="PORTFOLIO" if house and house.random() < 0.2 else "STANDARD",
        symbols=rng.choice([1, 2, 3, 6]),
        orders=rng.choice([0, 1, 3]),
        algo=rng.choice([0, 1, 2]),
        hedge=rng.random() < 0.3,
        seed=seed,
    )
    venue = scenario.make_venue()
    account = venue.account
    account.conflict_code = rng.choice([-4118, -2022])
    if rng.random() < 0.2:
        lag_ms = rng.choice([200, 1000, 2000])
        account.lags |= {"positions": (lag_ms,), "account": (lag_ms,)}
    if rng.random() < 0.2:
        lag_ms = rng.choice([200, 1000, 2000])
        account.lags |= {"orders": (lag_ms,), "algo": (lag_ms,)}
    if rng.random() < 0.1:
        venue.clock_skew_ms = rng.choice([5000, -5000, -7000])
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        add_fault(venue, rng)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        add_event(venue, rng)
    if house and house.random() < 0.4:
        # One product alone is in trouble, or what is asked beside both of them.
        host = house.choice(["dapi", "dapi", "papi", "sapi"])
        times = house.choice([1, 2, 5, 0])
        kind = house.choice(["hang", "key_refused", "overloaded", "internal_error", "garbage_body"])
        venue.faults.append(make_fault(kind, host=host, times=times))
    return venue


def add_fault(venue: Venue, rng: random.Random) -> None:
    """Let the n-th request of some kind go wrong in some way."""
    kind = rng.choice(FIRST_KINDS)
    method, path = rng.choice(TARGETS)
    venue.faults.append(
        make_fault(
            kind,
            method=method,
            path=path,
            skip=rng.choice([0, 0, 1, 2, 5]),
            times=rng.choice([1, 1, 2, 5]),
        )
    )


def add_event(venue: Venue, rng: random.Random) -> None:
    """Let somebody else do something to a leg."""
    symbol, position_side = rng.choice(sorted(venue.account.holdings))
    venue.events.append(
        make_event(
            {
                "act": rng.choice(ACTS),
                "symbol": symbol,
                "position_side": position_side,
                "quantity": harshness.traded(
                    symbol, "-1" if position_side == "SHORT" else rng.choice(["0.5", "1"])
                ),
                "at_ms": rng.choice([0, 40, 80, 120, 300, 1000]),
                "every_ms": rng.choice([0, 0, 300]),
                "times": rng.choice([1, 3, 30]),
            }
        )
    )


def run_seed(seed: int, *, show: bool = False, harsh: bool = True) -> Outcome:
    """Run one seed and judge it."""
    rng = random.Random(seed)
    venue = make_venue(rng, seed)
    drawn = harshness.draw(venue, seed) if harsh else harshness.Drawn()
    sink = ListSink(show=show)
    latency_s = rng.choice([0.01, 0.06, 0.2])

    async def main() -> tuple[LiquidationResult, float]:
        manager = LiquidationManager(
            config=drawn.policy,
            exchange=BinanceExchange(MemoryTransport(venue, latency_s=latency_s)),
            audit_logger=sink,
            wall_clock=LoopClock(),
            rng=rng,
        )
        result = await manager.execute_liquidation()
        return result, asyncio.get_running_loop().time()

    try:
        result, duration_s = run_virtual(main)
    except Exception as error:  # noqa: BLE001 - whatever comes out of a run is what broke
        faults = Counter(venue.account.journal.faults)
        return Outcome(seed=seed, result=None, broken=[f"raised {error!r}"], faults=faults)
    case = Case(
        venue=venue,
        result=result,
        events=sink.events,
        duration_s=duration_s,
        ended_ms=EPOCH_MS + round(duration_s * 1000),
        latency_s=latency_s,
        policy=drawn.policy,
    )
    verdict = judge_fully(case, troubled=drawn.troubled)
    return Outcome(
        seed=seed,
        result=result,
        broken=verdict.broken,
        excused=verdict.excused,
        false_alarm=is_false_alarm(case),
        faults=Counter(venue.account.journal.faults),
        overshoot_s=duration_s - result.timeout_seconds,
    )


if __name__ == "__main__":
    outcome = run_seed(int(sys.argv[1]), show=True)
    sys.stdout.write(
        f"{outcome.end}: {outcome.result and outcome.result.error_message}\n"
        f"faults {dict(outcome.faults)}\nexcused {outcome.excused}\nbroken {outcome.broken}\n"
    )
    sys.exit(bool(outcome.broken))
