"""An armed process between its start and its trip: it reads, listens, judges, and waits.

streams ──▶ mirror ◀── readings, paced           every second: health, heartbeat, guards
│                                               │
└──────▶ the first orders of a trip ◀── trigger ┘  or a signal, or a handover
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, TYPE_CHECKING

from liqctl.kernel import pacing, requests
from liqctl.kernel.account import AccountReaders
from liqctl.kernel.answers import VenueAnswer
from liqctl.kernel.costs import look_weight, positions_weight
from liqctl.kernel.errors import VenueError
from liqctl.kernel.limits import MINUTE_S, Limits
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange, WallClock
from liqctl.kernel.protection import reduces_only
from liqctl.kernel.states import Margin, Product, TripCause
from liqctl.kernel.stream import StreamEvent
from liqctl.run.driver import Driver, Known
from liqctl.standby.mirror import Health, Mirror, StreamFacts, judge
from liqctl.standby.streams import StreamKeeper
from liqctl.venue.stream import StreamDoor

if TYPE_CHECKING:
    from liqctl.kernel.values import MarketRules, Snapshot

_TICK_S: Final = 1.0
_CALL_MAX_S: Final = 5.0
_DISARM_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Why the account is closed now.

    Attributes:
        by: signal, handover, heartbeat or guard.
        why: the same in words.
        figures: what it was decided by.
        policy: the scope, where another program handed it over.
        reason: its reason, in the operator's words.
        correlation_id: the name that the run gets; None for a generated one.
    """

    by: TripCause
    why: str
    figures: Mapping[str, object] = field(default_factory=dict)
    policy: LiquidationConfig | None = None
    reason: str = ""
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The file that somebody else touches, and how old it may become."""

    file: Path
    seconds: float

    def look(self, now_s: float) -> tuple[float | None, str | None]:
        """Return its age, None where it is not known, and what is to be said of it.

        Beside it a file that ends in `.paused` keeps an old heartbeat from tripping.
        """
        with contextlib.suppress(OSError):
            self.file.with_name(f"{self.file.name}.paused").stat()
            return None, "heartbeat paused"
        try:
            age_s = now_s - self.file.stat().st_mtime
        except FileNotFoundError:
            return float("inf"), None
        except OSError as error:
            return None, f"heartbeat file: {error.strerror}"
        if age_s < -self.seconds:
            return None, "heartbeat file: its time lies in the future"
        return max(age_s, 0.0), None


class Guarding(Protocol):
    """Judges the account by each reading."""

    async def look(self, armed: "Armed") -> Trigger | None:
        """Return what trips now, if anything does."""

    def describe(self) -> list[dict[str, Any]]:
        """Return where each guard stands, as `status` shows it."""

    @property
    def weight(self) -> int:
        """What looking costs of the address' weight."""


class Armed:
    """One account that is watched; `stand` ends with the trigger, or when told to stop."""

    def __init__(  # noqa: PLR0913 - what it stands between
        self,
        *,
        exchange: Exchange,
        door: StreamDoor,
        policy: LiquidationConfig,
        wall_clock: WallClock,
        tell: Callable[[Health, tuple[str, ...]], None],
        heartbeat: Heartbeat | None = None,
        countdown_s: float | None = None,
        guarding: "Guarding | None" = None,
        observe: Callable[[Trigger], None] | None = None,
    ) -> None:
        """Watch nothing yet.

        Args:
            exchange: the account on its venue.
            door: opens its streams.
            policy: what is in scope; its kind of account must be known.
            wall_clock: calendar time.
            tell: is called with each change of health.
            heartbeat: whose age trips.
            countdown_s: how long the venue's own countdown on opening orders is; None for none.
            guarding: judges by each reading; what it returns trips.
            observe: takes what would trip, in its place.
        """
        self.policy = policy
        self.health = Health.BLIND
        self.reasons: tuple[str, ...] = ("nothing was read yet",)
        self.margin = policy.margin or Margin.STANDARD
        self.mirrors = {product: Mirror(product) for product in policy.by_product}
        self.rules: dict[Product, Mapping[str, MarketRules]] = {}
        self.snapshots: dict[Product, Snapshot] = {}
        self.read_at = float("-inf")
        self.orders_seen: list[float] = []
        self.heartbeat_age_s: float | None = None
        self.heartbeat_note: str | None = None
        self.weight_used = 0
        self._exchange = exchange
        self._door = door
        self._wall_clock = wall_clock
        self._tell = tell
        self._heartbeat = heartbeat
        self._countdown_s = countdown_s
        self.guarding = guarding
        self._observe = observe
        self._observed: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._trigger: asyncio.Future[Trigger | None] = self._loop.create_future()
        self._woken = asyncio.Event()
        self._timers: dict[str, float] = {}
        self.streams = self._make_streams()

    def _make_streams(self) -> dict[Product, StreamFacts]:
        products = list(self.mirrors)
        if self.margin is Margin.PORTFOLIO:
            products = products[:1]  # One stream for both.
        return {product: StreamFacts(mirror=self.mirrors[product]) for product in products}

    @property
    def known(self) -> Known:
        """What a run that begins now may be made from."""
        now = self._loop.time()
        found = {product: mirror.first(now) for product, mirror in self.mirrors.items()}
        mirrored = {product: first for product, first in found.items() if first is not None}
        return Known(mirrored=mirrored, rules=self.rules)

    async def stand(self) -> Trigger | None:
        """Watch until something trips; return what, None when told to stop."""
        work = [
            *(self._keeper(product, facts).run() for product, facts in self.streams.items()),
            self._read_on(),
            self._tick(),
            self._keep_warm(),
        ]
        tasks = [self._loop.create_task(each) for each in work]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            return await self._trigger
        finally:
            for task in tasks:
                task.cancel()

    def listens_since(self, moment: float) -> bool:
        """Whether every stream has been connected since that moment."""
        connected = [facts.connected_at for facts in self.streams.values()]
        return all(at is not None and at <= moment for at in connected)

    @property
    def is_tripped(self) -> bool:
        """Whether something tripped, or it was told to stop."""
        return self._trigger.done()

    def trip(self, trigger: Trigger) -> None:
        """Let `stand` end with this, unless something tripped before."""
        if self._observe is not None:
            if trigger.why not in self._observed:
                self._observed.add(trigger.why)
                self._observe(trigger)
            return
        if not self._trigger.done():
            self._trigger.set_result(trigger)

    def stop(self) -> None:
        """Let `stand` end without a trigger."""
        if not self._trigger.done():
            self._trigger.set_result(None)

    # What streams call.

    def connected(self, product: Product) -> None:
        """Read anew: what happened before the connection was made was not told."""
        self.mirrors[product].forget_lists()
        self._woken.set()

    def heard(self, product: Product, event: StreamEvent) -> None:
        """Take one event into the mirror."""
        now = self._loop.time()
        for each, mirror in self.mirrors.items():
            legs = tuple(row for row in event.amounts if row[0].product is each)
            if each is product or legs:
                mirror.hear(replace(event, amounts=legs), now)
        if event.is_new_order:
            self.orders_seen.append(now)
        self._woken.set()

    def changed(self) -> None:
        """Judge the health again."""
        self._judge()

    # What runs beside one another.

    def _keeper(self, product: Product, facts: StreamFacts) -> StreamKeeper:
        return StreamKeeper(
            product=product,
            margin=self.margin,
            exchange=self._exchange,
            door=self._door,
            facts=facts,
            listener=self,
        )

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A part that ended by a fault of ours ends the watch: a watcher that sleeps is worse."""
        if not task.cancelled() and (error := task.exception()) and not self._trigger.done():
            self._trigger.set_exception(error)

    async def _read_on(self) -> None:
        """Read positions at the pace that the weight allows, order lists now and then."""
        loop = self._loop
        per_s = pacing.ARMED_WEIGHT_SHARE * Limits().weight_1m / MINUTE_S
        guards_w = self.guarding.weight if self.guarding else 0
        lists_w = look_weight(self.policy)
        positions_w = positions_weight(self.policy) + guards_w
        per_s -= lists_w / pacing.ARMED_LISTS_S
        gap_s = positions_w / per_s
        lists_at, budget, counted_at = float("-inf"), float(positions_w), loop.time()
        while True:
            is_whole = loop.time() >= lists_at
            began_at = loop.time()
            if await self._read(is_brief=not is_whole) and is_whole:
                lists_at = began_at + pacing.ARMED_LISTS_S
            self.weight_used += lists_w if is_whole else positions_w
            # Heard of something: read at once, as long as the weight of a minute allows it.
            self._woken.clear()
            budget = min(budget + (loop.time() - counted_at) * per_s, 2.0 * positions_w)
            budget, counted_at = budget - positions_w, loop.time()
            if budget >= 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), gap_s)
            else:
                await asyncio.sleep(gap_s)

    async def _read(self, *, is_brief: bool) -> bool:
        """Take one reading into the mirrors; return whether it succeeded."""
        driver = Driver.starting_now(self._exchange, _CALL_MAX_S, self._wall_clock)
        readers = AccountReaders(driver.machine, self.policy)
        for product, reader in readers.readers.items():
            reader.rules = self.rules.get(product, {})
        began_at = self._loop.time()
        try:
            snapshots = await driver.perform(
                readers.read_all(is_brief=is_brief, both_sources=False)
            )
        finally:
            driver.close()
        for snapshot in snapshots:
            self.mirrors[snapshot.product].take(snapshot)
            if snapshot.positions.complete:
                self.snapshots[snapshot.product] = snapshot
            for facts in self.streams.values():
                is_since = facts.connected_at is not None and facts.connected_at <= began_at
                covers = facts.mirror.product is snapshot.product
                facts.read_since |= is_since and covers and snapshot.positions.complete
        is_done = all(snapshot.positions.complete for snapshot in snapshots)
        if is_done:
            self.read_at = began_at
        for product, reader in readers.readers.items():
            if not self.rules.get(product):
                rules = await driver.perform(reader.fetch_rules())
                self.rules[product] = {} if isinstance(rules, VenueAnswer) else rules
        self._judge()
        if self.guarding is not None and (trigger := await self.guarding.look(self)) is not None:
            self.trip(trigger)
        return is_done

    async def _tick(self) -> None:
        while True:
            self._judge()
            if self._heartbeat is not None:
                await self._listen_for_heartbeat(self._heartbeat)
            await asyncio.sleep(_TICK_S)

    async def _listen_for_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Trip by a heartbeat that is too old; at the start everybody gets as long again."""
        looking = asyncio.to_thread(heartbeat.look, time.time())  # noqa: TID251 - a file's time
        try:
            age_s, note = await asyncio.wait_for(looking, _TICK_S)
        except TimeoutError:
            age_s, note = None, "heartbeat file: its disk does not answer"
        self.heartbeat_age_s, self.heartbeat_note = age_s, note
        has_begun = self._loop.time() - self._began_at > heartbeat.seconds
        if age_s is not None and age_s > heartbeat.seconds and has_begun:
            told = "is missing" if age_s == float("inf") else f"is {age_s:.0f} s old"
            self.trip(
                Trigger(
                    by=TripCause.HEARTBEAT,
                    why=f"the heartbeat file {told}; {heartbeat.seconds:g} s are allowed",
                    figures={
                        "file": str(heartbeat.file),
                        "age_seconds": None if age_s == float("inf") else round(age_s, 3),
                        "limit_seconds": heartbeat.seconds,
                    },
                )
            )

    async def _keep_warm(self) -> None:
        """Use spare connections now and then, and renew the countdown timers."""
        products: Sequence[Product] = list(self.mirrors)
        pinged_at = float("-inf")
        while True:
            if self._loop.time() - pinged_at >= pacing.ARMED_PINGS_S:
                pinged_at = self._loop.time()
                await self._exchange.warm_up(
                    products[0], pacing.WARM_CONNECTIONS, timeout_s=_CALL_MAX_S
                )
                self.weight_used += pacing.WARM_CONNECTIONS
            rest_s = pacing.ARMED_PINGS_S
            if self._countdown_s is not None and self.margin is Margin.STANDARD:
                await self._renew_countdowns(self._countdown_s)
                rest_s = self._countdown_s / pacing.COUNTDOWN_RENEWALS
            await asyncio.sleep(min(rest_s, pacing.ARMED_PINGS_S))

    async def _renew_countdowns(self, seconds: float) -> None:
        for product, mirror in self.mirrors.items():
            symbols = {order.symbol for order in mirror.orders if not reduces_only(order)}
            for symbol in sorted(symbols):
                request = requests.countdown(product, symbol, int(seconds * 1000))
                sent_at = self._loop.time()
                with contextlib.suppress(VenueError):
                    await self._exchange.send(request, timeout_s=_CALL_MAX_S)
                # Also where no answer came: it may run.
                self._timers[symbol] = sent_at + seconds
                self.weight_used += request.weight

    async def disarm_countdowns(self) -> tuple[str, ...]:
        """End every timer at the venue; return the symbols where one may still fire."""
        left = dict(self._timers)
        for _ in range(_DISARM_TRIES):
            for symbol in list(left):
                product = next(p for p in self.mirrors if self._is_of(p, symbol))
                with contextlib.suppress(VenueError):
                    await self._exchange.send(
                        requests.countdown(product, symbol, 0), timeout_s=_CALL_MAX_S
                    )
                    del left[symbol]
        now = self._loop.time()
        self._timers.clear()
        return tuple(symbol for symbol, ends_at in left.items() if ends_at > now)

    def _is_of(self, product: Product, symbol: str) -> bool:
        from liqctl.kernel.policy import product_of

        return product_of(symbol) is product

    def _judge(self) -> None:
        now = self._loop.time()
        found = judge(list(self.streams.values()), read_at=self.read_at, now=now)
        notes = (self.heartbeat_note,) if self.heartbeat_note else ()
        health, reasons = found[0], (*found[1], *notes)
        if notes and health is Health.ARMED:
            health = Health.DEGRADED
        is_news = (health, reasons) != (self.health, self.reasons)
        was = self.health
        self.health, self.reasons = health, reasons
        if is_news and (health is not was or health is not Health.ARMED):
            self._tell(health, reasons)


def describe(armed: Armed) -> dict[str, Any]:
    """Return what `status` and metrics show of an armed process."""
    return {
        "health": armed.health.value,
        "reasons": list(armed.reasons),
        "tripped": armed.is_tripped,
        "heartbeat_age_seconds": armed.heartbeat_age_s,
        "weight_used": armed.weight_used,
        "guards": armed.guarding.describe() if armed.guarding else [],
        "streams": {
            product.value: {"connections": facts.connections, "malformed": facts.malformed}
            for product, facts in armed.streams.items()
        },
    }
