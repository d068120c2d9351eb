"""Armed processes in virtual time: an account, what goes wrong while it is watched, a trip.

One seed is one run, always the same. `python -m tests.armed 17` shows seed 17 event by event. The
run that a trip begins is judged as any other; what is said here is said of the time before it.
"""

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from liqctl.drill.judges import Case
from liqctl.drill.runs import LoopClock
from liqctl.kernel.errors import Secret
from liqctl.kernel.limits import LIMITS_BY_MARGIN
from liqctl.kernel.policy import Guard, LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import Margin, Product, TripCause
from liqctl.run.driver import Opening
from liqctl.run.manager import LiquidationManager
from liqctl.sim.events import make_event
from liqctl.sim.memory import EPOCH_MS, MemoryTransport, run_virtual
from liqctl.sim.streams import HandshakeError
from liqctl.sim.venue import Venue
from liqctl.standby.armed import Armed, Trigger
from liqctl.standby.guarding import GuardWatch
from liqctl.standby.mirror import Health
from liqctl.venue.exchange import BinanceExchange, PatientExchange
from liqctl.venue.stream import Frames, StreamError, api_of
from tests import harshness
from tests.judging import judge_fully
from tests.sim.listening import MemoryStream
from tests.simulation import HOUSES, ListSink, make_venue

PATHS = {"fapi": "/private/ws/", "dapi": "/ws/", "papi": "/pm/ws/"}
STREAM_FAULTS = (
    "stream_silent",
    "stream_late",
    "stream_twice",
    "stream_malformed",
    "stream_cut",
    "stream_refused",
    "stream_wrong_path",
)
READ_FAULTS = ("hang", "internal_error", "garbage_body", "too_many_requests", "slow", "blip")
"""The last one is for runs that do not trust a single reading."""

BOTS = ("reopen", "add", "close", "flip", "fill", "trigger", "deleverage")
MINUTE_MS = 60_000
PEAK_SHARE = 0.25
"""Of the weight of a minute, while armed: order lists are read in one minute of three, and may be
asked for once more. Countdowns may cost a tenth beside that."""


@dataclass(slots=True)
class Door:
    """Opens streams of a venue in this process; implements `StreamDoor`."""

    venue: Venue
    latency_s: float = 0.05
    opened: list[tuple[float, Product]] = field(default_factory=list)

    async def open(self, product: Product, margin: Margin, key: Secret) -> Frames:
        """Return a connection; the handshake takes a round trip."""
        await asyncio.sleep(self.latency_s)
        path = PATHS[api_of(product, margin)] + key.reveal()
        try:
            stream = MemoryStream(self.venue, product, path=path, latency_s=self.latency_s)
        except HandshakeError as error:
            raise StreamError(str(error)) from None
        self.opened.append((asyncio.get_running_loop().time(), product))
        return stream

    async def close(self) -> None:
        """Nothing to close."""


@dataclass(slots=True)
class Watch:
    """What an armed process said while it stood, and what became of it."""

    told: list[tuple[float, Health, tuple[str, ...]]] = field(default_factory=list)
    observed: list[tuple[float, Trigger]] = field(default_factory=list)
    tripped_at: float | None = None
    trigger: Trigger | None = None
    left: dict[str, datetime] = field(default_factory=dict)

    def note(self, health: Health, reasons: tuple[str, ...]) -> None:
        """Take a change of health."""
        self.told.append((asyncio.get_running_loop().time(), health, reasons))

    def observe(self, trigger: Trigger) -> None:
        """Take what would have tripped."""
        self.observed.append((asyncio.get_running_loop().time(), trigger))


def make_armed(
    venue: Venue,
    watch: Watch,
    *,
    policy: LiquidationConfig | None = None,
    latency_s: float = 0.05,
    guards: Sequence[Guard] = (),
    **settings: Any,
) -> Armed:
    """Return an armed process of a venue's account; needs a running loop."""
    margin = Margin.PORTFOLIO if venue.is_portfolio else Margin.STANDARD
    policy = replace(policy or LiquidationConfig(), margin=margin)
    transport = MemoryTransport(venue, latency_s=latency_s)
    exchange = PatientExchange(BinanceExchange(transport), LoopClock())
    defaults: dict[str, Any] = {
        "exchange": exchange,
        "door": Door(venue, latency_s),
        "policy": policy,
        "wall_clock": LoopClock(),
        "tell": watch.note,
        "guarding": GuardWatch(guards, exchange, policy, identity="armed", wall_clock=LoopClock()),
    }
    return Armed(**(defaults | settings))


def stand(
    venue: Venue,
    *,
    until_s: float,
    during: Callable[[Armed], None] = lambda _: None,
    **settings: Any,
) -> tuple[Armed, Watch]:
    """Let an armed process stand for a while, and stop it."""
    watch = Watch()

    async def main() -> Armed:
        armed = make_armed(venue, watch, **settings)
        loop = asyncio.get_running_loop()
        loop.call_later(until_s, armed.stop)
        during(armed)
        watch.trigger = await armed.stand()
        watch.tripped_at = loop.time()
        armed.end_streams()
        watch.left = await armed.disarm_countdowns()
        return armed

    return run_virtual(main), watch


def weights_of(
    venue: Venue, until_ms: float = float("inf"), *, countdowns: bool = False
) -> Counter[int]:
    """Return what each minute of the calendar cost of the futures' pool at most, by what it was."""
    spent: Counter[int] = Counter()
    for at_ms, method, path, _ in venue.account.journal.requests:
        route = venue.routes.get((method, path))
        if route is None or at_ms > until_ms or path.startswith("/sapi"):
            continue
        if path.endswith("/countdownCancelAll") is not countdowns:
            continue
        weight = route.weight if route.weight_all is None else route.weight_all
        spent[at_ms // MINUTE_MS] += weight
    return spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One armed run and what the judges say of it."""

    seed: int
    result: LiquidationResult | None
    broken: list[str]
    faults: Counter[str]
    watch: Watch
    excused: list[str] = field(default_factory=list)

    @property
    def end(self) -> str:
        """How it ended, in a word."""
        return "RAISED" if self.result is None else self.result.state


def _draw(venue: Venue, rng: random.Random, trip_at_s: float, *, watches: bool) -> None:
    """Let things go wrong while it is armed, in its streams and its readings, and bots trade."""
    trip_ms = round(trip_at_s * 1000)
    for fault in venue.faults:
        fault.from_ms += trip_ms
    for event in venue.events:
        event.at_ms += trip_ms
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        kind = rng.choice(STREAM_FAULTS)
        at_handshake = kind in {"stream_refused", "stream_wrong_path"}
        venue.add_fault(
            kind,
            skip=rng.choice([0, 0, 1, 3]),
            times=rng.choice([1, 1, 3] if at_handshake else [1, 3, 0]),
        )
    for _ in range(rng.choice([0, 0, 1, 2])):
        venue.add_fault(
            rng.choice(READ_FAULTS if watches else READ_FAULTS[:-1]),
            method="GET",
            path=rng.choice(["/v3/positionRisk", "/openOrders", "/v3/account", ""]),
            skip=rng.choice([0, 1, 5, 20]),
            times=rng.choice([1, 2, 6]),
            until_ms=max(trip_ms, 1),
        )
    legs = sorted(venue.account.holdings)
    for _ in range(rng.choice([0, 1, 2, 4])):
        symbol, position_side = rng.choice(legs)
        act = rng.choice([*BOTS, "lie", "lie", "cut_streams", "expire_listen_keys"])
        quantity = "-1" if position_side == "SHORT" else "1"
        entry = {"act": act, "at_ms": rng.randint(0, trip_ms + 500)}
        if act not in {"cut_streams", "expire_listen_keys"}:
            entry |= {"symbol": symbol, "position_side": position_side, "quantity": quantity}
            entry |= {"every_ms": rng.choice([0, 700]), "times": rng.choice([1, 5])}
        venue.events.append(make_event(entry))


def _trip_moment(rng: random.Random) -> float:
    """Return when it trips: before the first reading, within one, in a reconnect, or any time."""
    return rng.choice(
        [
            0.0,
            rng.uniform(0.0, 0.3),
            rng.uniform(0.3, 4.0),
            rng.uniform(4.0, 30.0),
            rng.uniform(30.0, 120.0),
        ]
    )


def run_seed(seed: int, *, show: bool = False) -> Outcome:
    """Run one seed and judge it."""
    rng = random.Random(f"armed {seed}")
    venue = make_venue(rng, seed)
    drawn = harshness.draw(venue, seed) if rng.random() < 0.4 else harshness.Drawn()
    latency_s = rng.choice([0.01, 0.06, 0.2])
    trip_at_s = _trip_moment(rng)
    countdown_s = rng.choice([None, None, 30.0, 120.0])
    is_twice = rng.random() < 0.3
    _draw(venue, rng, trip_at_s, watches=drawn.policy.settle_seconds > 0)
    watch, sink = Watch(), ListSink(show=show)
    policy = drawn.policy
    door = Door(venue, latency_s)
    began: list[float] = []

    async def main() -> tuple[LiquidationResult, Armed, float]:
        loop = asyncio.get_running_loop()
        armed = make_armed(
            venue, watch, policy=policy, latency_s=latency_s, countdown_s=countdown_s, door=door
        )

        def trip() -> None:
            armed.trip(Trigger(by=TripCause.SIGNAL, why="first"))
            if is_twice:
                armed.trip(Trigger(by=TripCause.GUARD, why="second"))

        loop.call_later(trip_at_s, trip)
        watch.trigger = await armed.stand()
        watch.tripped_at = loop.time()
        armed.end_streams()
        exchange = BinanceExchange(MemoryTransport(venue, latency_s=latency_s))
        began.append(loop.time())
        manager = LiquidationManager(
            config=armed.policy,
            exchange=exchange,
            audit_logger=sink,
            wall_clock=LoopClock(),
            rng=rng,
        )
        opening = Opening(
            exchange=exchange,
            policy=armed.policy,
            correlation_id="tripped",
            wall_clock=LoopClock(),
            known=armed.known,
        )
        result = await manager.execute_liquidation(opening=opening)
        return result, armed, loop.time()

    try:
        result, armed, ended_s = run_virtual(main)
    except Exception as error:  # noqa: BLE001 - whatever comes out of a run is what broke
        faults = Counter(venue.account.journal.faults)
        broken = [f"raised {error!r}"]
        return Outcome(seed=seed, result=None, broken=broken, faults=faults, watch=watch)
    before = list(_judge_watch(venue, watch, armed, door, trip_at_s))
    verdict = judge_fully(
        Case(
            venue=venue,
            result=result,
            events=sink.events,
            duration_s=ended_s - began[0],
            ended_ms=EPOCH_MS + round(ended_s * 1000),
            latency_s=latency_s,
            policy=policy,
        ),
        troubled=drawn.troubled,
    )
    return Outcome(
        seed=seed,
        result=result,
        broken=before + verdict.broken,
        excused=verdict.excused,
        faults=Counter(venue.account.journal.faults),
        watch=watch,
    )


def _judge_watch(
    venue: Venue, watch: Watch, armed: Armed, door: Door, trip_at_s: float
) -> Iterable[str]:
    """Yield what an armed process may not do before it trips."""
    if watch.trigger is None or watch.trigger.why != "first":
        yield f"the trigger was lost: {watch.trigger}"
    if watch.tripped_at is not None and watch.tripped_at - trip_at_s > 0.001:
        yield f"tripped {watch.tripped_at - trip_at_s:.3f} s late"
    trip_ms = EPOCH_MS + round(trip_at_s * 1000) + venue.clock_skew_ms
    yield from judge_requests(venue, trip_ms)
    connections = sum(facts.connections for facts in armed.streams.values())
    if connections != len(door.opened):
        yield f"{len(door.opened)} connections were made and {connections} counted"
    for product in armed.streams:
        for at in [at for at, each in door.opened if each is product][1:]:
            before = [health for said_at, health, _ in watch.told if said_at <= at]
            if before and set(before) == {Health.ARMED}:
                yield f"connected anew at {at:.3f} s, and nobody was told"
    told = [row[1:] for row in watch.told]
    if any(one == other for one, other in pairwise(told)):
        yield "the same health was told twice"


def judge_requests(venue: Venue, until_ms: float) -> Iterable[str]:
    """Yield what was sent while armed and may not be."""
    requests = [row for row in venue.account.journal.requests if row[0] < until_ms]
    for at_ms, method, path, _ in requests:
        if method == "DELETE" or path.endswith("/order"):
            yield f"{method} {path} was sent {at_ms - EPOCH_MS} ms after the start"
    margin = Margin.PORTFOLIO if venue.is_portfolio else Margin.STANDARD
    pool = LIMITS_BY_MARGIN[margin].weight_1m
    for countdowns, share in ((False, PEAK_SHARE), (True, 0.15)):
        spent = weights_of(venue, until_ms, countdowns=countdowns)
        over = sorted(weight for weight in spent.values() if weight > share * pool)
        if over:
            what = "countdowns" if countdowns else "readings"
            yield f"weight of minutes for {what} while armed: {over}"


def broken_seeds(first: int, count: int) -> dict[int, list[str]]:
    """Return what broke, by seed; every second one draws both products and the kind of account."""
    seeds = range(first, first + count)
    outcomes = (run_seed(seed + HOUSES if seed % 2 else seed) for seed in seeds)
    return {each.seed: each.broken for each in outcomes if each.broken}


if __name__ == "__main__":
    outcome = run_seed(int(sys.argv[1]), show=True)
    for at, health, reasons in outcome.watch.told:
        sys.stdout.write(f"{at:7.3f} {health.value} {reasons}\n")
    sys.stdout.write(
        f"tripped at {outcome.watch.tripped_at}\n"
        f"{outcome.end}: {outcome.result and outcome.result.error_message}\n"
        f"faults {dict(outcome.faults)}\nexcused {outcome.excused}\nbroken {outcome.broken}\n"
    )
    sys.exit(bool(outcome.broken))
