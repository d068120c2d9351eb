"""An armed process after a day: as large as after an hour, and connected anew in time."""

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liqctl.kernel.limits import Limits
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import Product
from liqctl.kernel.values import StreamEvent
from liqctl.sim.events import make_event
from liqctl.sim.scenario import Scenario
from liqctl.sim.venue import Venue
from liqctl.standby.armed import Armed, Trigger
from liqctl.standby.mirror import Health
from tests.armed import Door, stand, weights_of

HOURS = 25
SAMPLES_S = [*range(3600, HOURS * 3600, 6 * 3600)]


class SlowGuards:
    """Guards that take so long that readings are as far apart as with every guard.

    A day of readings at their usual pace would take half a minute of processor time.
    """

    guards = ()
    rare = ()
    is_hurried = False

    def heard(self, event: StreamEvent) -> None:
        """Take nothing of it."""

    async def look(self, armed: Armed) -> Trigger | None:
        """Trip nothing."""
        await asyncio.sleep(8.5 if armed.health is Health.ARMED else 0.0)
        return None

    def describe(self) -> list[dict[str, Any]]:
        """Return nothing."""
        return []


@dataclass
class Measured:
    """What a process was made of, sample by sample."""

    tasks: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    objects: list[Counter[str]] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    weights: Counter[int] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    def take(self, venue: Venue, armed: Armed) -> None:
        """Take a sample, and let the venue forget what was asked."""
        self.tasks.append(len(asyncio.all_tasks()))
        self.descriptors.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
        gc.collect()
        kinds = Counter(
            f"{type(each).__module__}.{type(each).__name__}" for each in gc.get_objects()
        )
        ours = ("liqctl.standby", "liqctl.kernel", "liqctl.run", "asyncio", "_asyncio")
        self.objects.append(Counter({k: n for k, n in kinds.items() if k.startswith(ours)}))
        collections = [armed.orders_seen, armed._timers, armed._opened, armed._observed]
        for mirror in armed.mirrors.values():
            collections += [mirror._told, mirror._untold, mirror._worths, mirror._legs]
        self.held.append(sum(len(each) for each in collections))
        self.note(venue)

    def note(self, venue: Venue) -> None:
        """Count what was asked of the venue."""
        journal = venue.account.journal
        self.weights += weights_of(venue)
        self.requests += Counter(f"{row[1]} {row[2]}" for row in journal.requests)
        journal.requests.clear()
        journal.listings.clear()


def test_a_day_of_watching_grows_nothing_and_reconnects_in_time() -> None:
    """Whoever is armed for months may not end by memory, descriptors, weight, or a dead key."""
    venue = Scenario(
        name="day",
        account={
            "positions": {"BTCUSDT": "0.5"},
            "orders": [{"symbol": "BTCUSDT", "side": "SELL", "price": "61000", "quantity": "0.1"}],
        },
    ).make_venue()
    flips = {"act": "flip", "symbol": "BTCUSDT", "every_ms": 1_200_000, "times": 1000}
    venue.events.append(make_event({**flips, "at_ms": 60_000}))
    measured, door = Measured(), Door(venue)

    def sample_now_and_then(armed: Armed) -> None:
        for at_s in SAMPLES_S:
            asyncio.get_running_loop().call_later(at_s, measured.take, venue, armed)

    armed, watch = stand(
        venue,
        until_s=HOURS * 3600,
        during=sample_now_and_then,
        door=door,
        guarding=SlowGuards(),
        countdown_s=600.0,
        policy=LiquidationConfig(products=(Product.USDM,)),
    )
    measured.note(venue)

    assert watch.trigger is None
    # A sample may fall into a reading, which has tasks of its own.
    assert max(measured.tasks) <= measured.tasks[0] + 4
    assert max(measured.descriptors) <= measured.descriptors[0]
    assert max(measured.held) <= measured.held[0] + 2
    first, last = measured.objects[0], measured.objects[-1]
    grown = {kind: (first[kind], n) for kind, n in last.items() if n > first[kind] + 20}
    assert not grown
    # Keys live an hour, connections a day; nobody's key is ever deleted.
    assert [each for _, each in door.opened] == [Product.USDM] * 2
    assert door.opened[1][0] < 86_400
    assert measured.requests["PUT /fapi/v1/listenKey"] >= HOURS * 2
    assert not [each for each in measured.requests if each.startswith("DELETE")]
    minutes = [measured.weights[minute] for minute in sorted(measured.weights)]
    assert max(minutes[1:-1]) < 0.1 * Limits().weight_1m
    assert sum(minutes[-61:-1]) <= 1.05 * sum(minutes[60:120])
    # The countdown never ran out on an order that nobody else took away.
    assert venue.account.open_orders()
    assert not watch.left
    assert [health.value for _, health, _ in watch.told] == [
        "armed",
        "degraded",
        "degraded",
        "armed",
    ]
    assert armed.streams[Product.USDM].connections == 2


def test_the_readings_of_both_products_stay_within_a_tenth_of_the_weight() -> None:
    """Bots share the address: what an armed process takes is announced, and kept to."""
    venue = Scenario(
        name="both", account={"positions": {"BTCUSDT": "0.5", "BTCUSD_PERP": "10"}}
    ).make_venue()

    _, watch = stand(venue, until_s=1260)

    spent = weights_of(venue)
    minutes = [spent[minute] for minute in sorted(spent)]
    thirds = [sum(minutes[at : at + 3]) / 3 for at in range(1, len(minutes) - 3)]
    assert max(thirds) <= 0.1 * Limits().weight_1m
    assert min(thirds) > 0.05 * Limits().weight_1m
    assert watch.told[0][1].value == "armed"
