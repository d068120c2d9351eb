"""Holding an account flat after a trip, in virtual time: how soon what appears is seen."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from liqctl.drill.runs import LoopClock
from liqctl.kernel import pacing
from liqctl.kernel.limits import Limits
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import TripCause
from liqctl.run.inspection import Inspection, Wakes, look_until_open
from liqctl.sim import checks
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import Scenario
from liqctl.sim.venue import Venue, WorldEvent
from liqctl.standby.armed import Trigger
from liqctl.venue.exchange import BinanceExchange
from tests.armed import Watch, make_armed, weights_of
from tests.standby.test_armed import event

TRIP_S = 5.0
HOLD_S = 600.0
ORDER = {"symbol": "ETHUSDT", "side": "BUY", "price": "2000", "quantity": "1"}


@dataclass(frozen=True)
class Held:
    """How a hold went."""

    found: Inspection | None
    ended_s: float
    wakes: Wakes


def make_venue() -> Venue:
    """Return a venue of an account that is flat."""
    return Scenario(name="held", account={}).make_venue()


def hold(venue: Venue, *, is_heard: bool = True) -> Held:
    """Let an armed process trip, and hold the account until something is open."""

    async def main() -> Held:
        loop = asyncio.get_running_loop()
        policy = LiquidationConfig()
        armed = make_armed(venue, Watch(), policy=policy)
        wakes = Wakes(armed.policy, armed.listens, now=0.0)
        loop.call_later(TRIP_S, armed.trip, Trigger(by=TripCause.SIGNAL, why="test"))
        await armed.stand()
        armed.wakes = wakes
        venue.account.journal.requests.clear()
        found = await look_until_open(
            BinanceExchange(MemoryTransport(venue, latency_s=0.05)),
            armed.policy,
            until=TRIP_S + HOLD_S,
            stop=asyncio.Event(),
            wall_clock=LoopClock(),
            wakes=wakes if is_heard else None,
        )
        armed.end_streams()
        return Held(found, loop.time(), wakes)

    return run_virtual(main)


@pytest.mark.parametrize(
    ("act", "settings"),
    [
        ("reopen", {"symbol": "BTCUSDT", "quantity": "0.2"}),
        ("reopen", {"symbol": "BTCUSD_PERP", "quantity": "3"}),
        ("place", ORDER),
    ],
    ids=["position", "coinm", "order"],
)
def test_what_appears_is_seen_within_a_reading_of_its_event(
    act: str, settings: dict[str, Any]
) -> None:
    """By the clock it would be seen within 2 s, an order within 15."""
    venue = make_venue()
    event(venue, act, 123.4, **settings)

    held = hold(venue)

    assert held.found is not None
    assert held.found.describe_open()
    assert held.ended_s - 123.4 < 0.3


def test_a_quiet_hold_takes_a_tenth_of_the_weight() -> None:
    """It used to be half, which the bots at this address need."""
    heard, deaf = make_venue(), make_venue()

    held = hold(heard)
    hold(deaf, is_heard=False)

    assert held.found is None
    assert held.ended_s >= TRIP_S + HOLD_S
    minutes = HOLD_S / 60
    assert sum(weights_of(heard).values()) / minutes <= 0.1 * Limits().weight_1m
    assert sum(weights_of(deaf).values()) / minutes <= 0.5 * Limits().weight_1m


def test_words_that_prove_untrue_do_not_take_more() -> None:
    """A bot that enters and leaves within a moment, or an event that is wrong."""
    venue = make_venue()
    lie = {"symbol": "BTCUSDT", "quantity": "1", "every_ms": 700, "times": 1000}
    event(venue, "lie", 10, **lie)

    held = hold(venue)

    assert held.found is None
    assert sum(weights_of(venue).values()) / (HOLD_S / 60) <= 0.15 * Limits().weight_1m


def test_a_silent_stream_is_not_relied_on_again() -> None:
    """What it did not tell is found by the next look, and then looks are as close as without."""
    venue = make_venue()
    venue.add_fault("stream_silent", times=0)
    event(venue, "reopen", 100, symbol="BTCUSDT", quantity="0.2")

    held = hold(venue)

    assert held.found is not None
    assert held.ended_s - 100 < pacing.HOLD_HEARD_LOOK_S + 1
    assert held.wakes.is_missed
    assert not held.wakes.is_heard


def test_a_stream_that_is_cut_brings_the_looks_back() -> None:
    """Nothing is told any more; what happens meanwhile is found by looking."""
    venue = make_venue()
    venue.add_fault("stream_refused", times=0, from_ms=50_000)
    event(venue, "cut_streams", 60)
    event(venue, "reopen", 100, symbol="BTCUSDT", quantity="0.2")

    held = hold(venue)

    assert held.found is not None
    assert held.ended_s - 100 < pacing.HOLD_LOOK_S + 1


def test_a_reading_that_lags_behind_its_event_is_repeated() -> None:
    """A new position may be missing from a list for two seconds."""
    venue = make_venue()
    venue.add_fault("blip", method="GET", times=0, from_ms=99_000, until_ms=101_500)
    event(venue, "reopen", 100, symbol="BTCUSDT", quantity="0.2")

    held = hold(venue)

    assert held.found is not None
    assert held.ended_s - 100 < pacing.LAG_GRACE_S + 1


def test_orders_that_come_and_go_do_not_use_up_the_weight() -> None:
    """Each word of one cost a whole look: the address was banned, and nothing closed any more."""
    venue = make_venue()
    venue.add_fault("stream_refused", times=0, from_ms=4000)
    event(venue, "cut_streams", 4.5, host="dapi")

    def come_and_go(venue: Venue) -> None:
        order = {
            **ORDER,
            "type": "LIMIT",
            "timeInForce": "GTC",
            "reduceOnly": "",
            "positionSide": "",
        }
        order["newClientOrderId"] = f"bot-{venue.account.next_id()}"
        venue.account.end(checks.place(venue.account, order, owner="bot"), "CANCELED")

    venue.events.append(
        WorldEvent(act=come_and_go, name="bot", at_ms=10_000, every_ms=1000, times=90)
    )
    event(venue, "reopen", 100.5, symbol="BTCUSDT", quantity="0.2")

    held = hold(venue)

    assert not venue.weights.banned_until_ms
    assert held.found is not None
    assert held.found.verdict.positions
    assert held.ended_s - 100.5 < pacing.HOLD_LOOK_S + 1


def test_an_order_that_was_told_is_seen_once_lists_can_be_read() -> None:
    """The look that failed counted as one that showed no order: the next came two minutes later."""
    venue = make_venue()
    venue.add_fault("internal_error", path="/openOrders", times=0, from_ms=99_000, until_ms=105_000)
    event(venue, "place", 100, **ORDER)

    held = hold(venue)

    assert held.found is not None
    assert held.ended_s - 100 < pacing.HOLD_LISTS_S + 10
