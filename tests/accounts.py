"""Runs of several accounts behind one address, in virtual time."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from liqctl.drill.runs import LoopClock
from liqctl.kernel.limits import Address, Deadline
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.run.driver import Opening
from liqctl.run.manager import LiquidationManager
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink


@dataclass
class HouseRun:
    """How a run of several accounts ended, and what it recorded."""

    results: dict[str, LiquidationResult] = field(default_factory=dict)
    sinks: dict[str, ListSink] = field(default_factory=dict)

    @property
    def proven(self) -> list[str]:
        """The accounts that are proven flat."""
        return [name for name, result in self.results.items() if result.verified_flat]


def liquidate_all(
    venues: Mapping[str, Venue],
    policy: LiquidationConfig | None = None,
    *,
    policies: Mapping[str, LiquidationConfig] | None = None,
    latency_s: float = 0.06,
) -> HouseRun:
    """Liquidate accounts side by side, as the command line does."""
    policy, run = policy or LiquidationConfig(), HouseRun()

    async def one(name: str, venue: Venue, address: Address, deadline: Deadline) -> None:
        own = (policies or {}).get(name, policy)
        exchange = BinanceExchange(MemoryTransport(venue, latency_s=latency_s))
        opening = Opening(
            exchange=exchange,
            policy=own,
            correlation_id=f"run-{name}",
            wall_clock=LoopClock(),
            deadline=deadline,
            address=address,
            account=name,
        )
        manager = LiquidationManager(
            config=own,
            exchange=exchange,
            audit_logger=run.sinks.setdefault(name, ListSink()),
            account=name,
            wall_clock=LoopClock(),
            rng=random.Random(1),
        )
        run.results[name] = await manager.execute_liquidation(opening=opening)

    async def main() -> None:
        began = asyncio.get_running_loop().time()
        epoch_s = LoopClock().now().timestamp()
        deadline = Deadline.after(policy.timeout_seconds, began=began, epoch_s=epoch_s)
        address = Address(minute_start=deadline.minute_start, accounts=len(venues))
        await asyncio.gather(*(one(*each, address, deadline) for each in venues.items()))

    run_virtual(main)
    run.results = {name: run.results[name] for name in venues}
    return run
