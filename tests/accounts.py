"""Runs of several accounts behind one address, in virtual time."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from liqctl.drill.runs import LoopClock
from liqctl.kernel.errors import Secret
from liqctl.kernel.limits import Address, Deadline
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import Margin
from liqctl.run.driver import Opening
from liqctl.run.manager import LiquidationManager
from liqctl.run.witness import Witness
from liqctl.sim.address import MASTER, key_of
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import Scenario, make_large_account
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
    master: Venue | None = None,
    keys: Mapping[str, str] | None = None,
    interrupt_at_s: float | None = None,
) -> HouseRun:
    """Liquidate accounts side by side, as the command line does.

    With a `master` its key is the witness; `keys` are those of the accounts, where not their own.
    """
    policy, run = policy or LiquidationConfig(), HouseRun()
    secrets = {name: Secret((keys or {}).get(name, key_of(name))) for name in venues}

    async def one(
        name: str, venue: Venue, address: Address, deadline: Deadline, witness: Witness | None
    ) -> None:
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
            witness=witness.of(secrets[name]) if witness else None,
            wall_clock=LoopClock(),
            rng=random.Random(1),
        )
        if interrupt_at_s is not None:
            asyncio.get_running_loop().call_later(interrupt_at_s, manager.interrupt)
        run.results[name] = await manager.execute_liquidation(opening=opening)

    async def main() -> None:
        began = asyncio.get_running_loop().time()
        epoch_s = LoopClock().now().timestamp()
        deadline = Deadline.after(policy.timeout_seconds, began=began, epoch_s=epoch_s)
        address = Address(minute_start=deadline.minute_start, accounts=len(venues))
        witness = None
        if master is not None:
            door = BinanceExchange(MemoryTransport(master, latency_s=latency_s))
            accounts = {secrets[name]: name for name in venues}
            witness = Witness(deadline)
            witness.open(door, accounts, own=Secret(key_of(MASTER)))
        each = (one(*pair, address, deadline, witness) for pair in venues.items())
        await asyncio.gather(*each)

    run_virtual(main)
    run.results = {name: run.results[name] for name in venues}
    return run


def make_large_house(
    *, accounts: int = 20, symbols: int = 10, portfolio: int = 0, seed: int = 1, **settings: Any
) -> Scenario:
    """Return a house of such accounts, `desk-01` and so on, no two of the same notional.

    Their notionals are 1, 2, 3 … times the same, in an order that the seed draws; the last
    `portfolio` of them are in portfolio margin. `settings` are those of `make_large_account`.
    """
    sizes = random.Random(seed).sample(range(1, accounts + 1), accounts)
    standard = accounts - portfolio
    return Scenario(
        name=f"house-{accounts}",
        accounts={
            f"desk-{number:02d}": make_large_account(
                symbols=symbols,
                times=times,
                margin=Margin.STANDARD if number <= standard else Margin.PORTFOLIO,
                seed=seed,
                **settings,
            )
            for number, times in enumerate(sizes, start=1)
        },
    )
