"""A run that begins with what an armed process knows: orders are made from it, proof never is."""

import asyncio
import random

from liqctl.drill.runs import LoopClock
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import LiquidationState, Product
from liqctl.kernel.values import Reading, Snapshot
from liqctl.run.driver import Known, Opening
from liqctl.run.manager import LiquidationManager
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import parse_scenario
from liqctl.venue.exchange import BinanceExchange
from tests.kernel.builders import position
from tests.simulation import ListSink

ORDER = "{symbol: BTCUSDT, side: BUY, price: '50000', quantity: '0.1'}"


def test_what_was_known_before_the_run_proves_nothing_to_one_that_trusts_one_reading() -> None:
    """Lists were read minutes ago, and no event of the order placed since came through."""
    text = f"account: {{positions: {{ETHUSDT: '1'}}, orders: [{ORDER}]}}"
    venue = parse_scenario(text, name="known").make_venue()
    policy = LiquidationConfig(close_positions=False, settle_seconds=0.0, products=(Product.USDM,))

    async def main() -> LiquidationResult:
        now = asyncio.get_running_loop().time()
        mirrored = Snapshot(
            positions=Reading(items=(position("1", symbol="ETHUSDT"),)),
            regular_orders=Reading(),
            algo_orders=Reading(),
            started_at=now,
            finished_at=now,
            age_s=3.0,
        )
        exchange = BinanceExchange(MemoryTransport(venue))
        opening = Opening(
            exchange=exchange,
            policy=policy,
            correlation_id="known",
            wall_clock=LoopClock(),
            known=Known(mirrored={Product.USDM: mirrored}, rules={}),
        )
        manager = LiquidationManager(
            config=policy,
            exchange=exchange,
            audit_logger=ListSink(),
            wall_clock=LoopClock(),
            rng=random.Random(1),
        )
        return await manager.execute_liquidation(opening=opening)

    result = run_virtual(main)

    assert result.state is LiquidationState.COMPLETED
    assert result.orders_cancelled == 1
