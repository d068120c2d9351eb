"""The venue's limits: what fits is done worst first, the rest is said, and nothing is banned."""

import random
import re
from decimal import Decimal

import pytest

from liqctl.drill.runs import LoopClock
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import LiquidationState, PositionState
from liqctl.run.manager import LiquidationManager
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import load_scenario, make_large_account
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink


def liquidate(venue: Venue, sink: ListSink, *, latency_s: float = 0.06) -> LiquidationResult:
    """Liquidate a venue in virtual time."""

    async def main() -> LiquidationResult:
        manager = LiquidationManager(
            config=LiquidationConfig(),
            exchange=BinanceExchange(MemoryTransport(venue, latency_s=latency_s)),
            audit_logger=sink,
            wall_clock=LoopClock(),
            rng=random.Random(1),
        )
        return await manager.execute_liquidation()

    return run_virtual(main)


def test_200_positions_and_800_orders_are_flat_within_six_round_trips() -> None:
    """The largest ordinary account fits the limits of 300 orders in 10 s and 2400 weight."""
    venue = make_large_account(symbols=200, orders=3, algo=1).make_venue()

    result = liquidate(venue, ListSink())

    assert result.state is LiquidationState.COMPLETED
    assert result.positions_closed == 200
    assert result.orders_cancelled == 800
    assert result.duration_seconds - result.settled_seconds < 7.5 * 0.06


def test_beyond_the_order_limit_the_worst_300_are_closed_and_the_rest_is_said() -> None:
    """350 positions need 350 orders; 300 may be sent in ten seconds."""
    venue = make_large_account(symbols=350, orders=0, algo=0).make_venue()
    sink = ListSink()

    result = liquidate(venue, sink)

    closed = [p.notional for p in result.positions if p.state is PositionState.CLOSED]
    left = [p for p in result.positions if p.state is not PositionState.CLOSED]
    assert (len(closed), len(left)) == (300, 50)
    assert min(closed) >= max(p.notional for p in left)
    assert all(
        p.error and re.search("order limit|Too many new orders", p.error.message) for p in left
    )
    assert result.residual is not None
    assert sum((p.notional for p in result.residual.positions), Decimal(0)) == sum(
        (p.notional for p in left), Decimal(0)
    )
    assert sum(name == "ORDER_SENT" for name, _ in sink.events) <= 550


@pytest.mark.parametrize("latency_s", [0.001, 0.02, 0.06, 0.15])
@pytest.mark.parametrize("used_by_others", [1700, 1800, 1900])
def test_both_products_are_proven_flat_with_what_others_left(
    used_by_others: int, latency_s: float
) -> None:
    """Neither reads before the other's last answer what it would have to read again after it."""
    venue = load_scenario("weight_used_up").make_venue()
    venue.weights.others = used_by_others

    result = liquidate(venue, ListSink(), latency_s=latency_s)

    assert result.state is LiquidationState.COMPLETED, result.error_message


def test_weight_used_up_by_others_ends_partial_and_never_in_a_ban() -> None:
    """The address is shared with the bots; what is left goes to cancels, and nothing over it."""
    for used_by_others in (2000, 2150):
        venue = make_large_account(symbols=60, orders=3, algo=1).make_venue()
        venue.weights.others = used_by_others

        result = liquidate(venue, ListSink())

        assert venue.weights.banned_until_ms == 0
        assert result.positions_closed == 60
        assert result.state is LiquidationState.PARTIAL
        assert "request limits are used up" in (result.error_message or "")
