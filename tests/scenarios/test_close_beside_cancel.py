"""A close waits for the cancels of its symbol only where what rests could refuse it."""

import random

import pytest

from liqctl.drill.runs import LoopClock
from liqctl.kernel.policy import LiquidationConfig
from liqctl.run.manager import LiquidationManager
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import parse_scenario
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink

LATENCY_S = 0.05


def closed_after_ms(venue: Venue) -> int:
    """Liquidate in virtual time; return when the close reached the venue, from the start."""

    async def main() -> bool:
        manager = LiquidationManager(
            config=LiquidationConfig(settle_seconds=0.0),
            exchange=BinanceExchange(MemoryTransport(venue, latency_s=LATENCY_S)),
            audit_logger=ListSink(),
            wall_clock=LoopClock(),
            rng=random.Random(1),
        )
        return (await manager.execute_liquidation()).verified_flat

    assert run_virtual(main)
    assert venue.account.is_flat
    journal = venue.account.journal.requests
    return next(at for at, method, _, _ in journal if method == "POST") - journal[0][0]


def account(orders: str, algo: str = "[]", position: str = '{BTCUSDT: "0.5"}') -> Venue:
    """Return a venue with a position and what rests beside it."""
    text = f"account: {{positions: {position}, orders: {orders}, algo: {algo}}}"
    return parse_scenario(text, name="beside").make_venue()


def order(side: str, price: str, more: str = "") -> str:
    """Return one resting order."""
    return f'[{{symbol: BTCUSDT, side: {side}, price: "{price}", quantity: "0.1"{more}}}]'


OPENER = '[{symbol: BTCUSDT, side: BUY, trigger: "63000", quantity: "0.1"}]'


@pytest.mark.parametrize(
    ("orders", "algo", "trips"),
    [
        ("[]", "[]", 1),
        (order("BUY", "58000"), "[]", 1),
        (order("SELL", "62000"), "[]", 2),
        (order("SELL", "62000", ", reduce_only: true"), "[]", 2),
        ("[]", OPENER, 2),
    ],
    ids=["nothing", "an order that opens", "a closing side", "reduce-only", "a conditional opener"],
)
def test_a_close_waits_only_for_what_could_refuse_it(orders: str, algo: str, trips: int) -> None:
    """What only opens claims nothing of the position: a round trip is saved."""
    after_ms = closed_after_ms(account(orders, algo))

    assert after_ms == pytest.approx(trips * LATENCY_S * 1000, abs=10)


def test_the_other_leg_of_a_hedge_counts_too() -> None:
    """Its closing side may claim, whichever leg the order names."""
    hedge = (
        'account: {mode: hedge, positions: {BTCUSDT LONG: "0.5", BTCUSDT SHORT: "-0.3"}, orders: '
        '[{symbol: BTCUSDT, position_side: LONG, side: BUY, price: "58000", quantity: "0.1"}]}'
    )
    venue = parse_scenario(hedge, name="hedge").make_venue()

    assert closed_after_ms(venue) == pytest.approx(2 * LATENCY_S * 1000, abs=10)
