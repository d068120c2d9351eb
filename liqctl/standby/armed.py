"""An armed process between its start and its trip: it reads, listens, judges, and waits.

    streams ──▶ mirror ◀── readings, paced           every second: health, heartbeat, guards
                  │                                               │
                  └──────▶ the first orders of a trip ◀── trigger ┘  or a signal, or a handover

What a reader would get wrong:
- Nothing that may hang stands in the way of anything else: the heartbeat's disk, a countdown that
  is not answered, and spare connections each have a task or a thread of their own.
- A countdown at the venue that is not renewed cancels a healthy book. So it is renewed until an
  order list shows nothing that opens, and then ended; not knowing is no reason to let it run out.
- Everything but countdowns is paid from one allowance. Readings follow one another as fast as that
  lets them, so what costs more is read less often, and no period has to be right for the sum to be.
- A product that cannot be read is asked aside from the others, and seldom: it delays nothing.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.costs import (
    Allowance,
    Rare,
    armed_costs,
    countdowns_max,
    look_weight,
    positions_weight,
)
from liqctl.kernel.errors import VenueError
from liqctl.kernel.limits import LIMITS_BY_MARGIN, MINUTE_S
from liqctl.kernel.machine import WallClock
from liqctl.kernel.policy import LiquidationConfig, product_of
from liqctl.kernel.proof import reduces_only
from liqctl.kernel.reading import AccountReaders
from liqctl.kernel.states import Margin, Product, TripCause
from liqctl.kernel.values import OpenOrder, Position, Reading, Snapshot, StreamEvent
from liqctl.run.driver import Driver, Known
from liqctl.standby.mirror import Health, Mirror, StreamFacts, StreamKeeper, judge
from liqctl.venue.exchange import PatientExchange, RationedExchange
from liqctl.venue.stream import StreamDoor

if TYPE_CHECKING:
    from liqctl.kernel.values import MarketRules
    from liqctl.run.inspection import Wakes
    from liqctl.standby.guarding import GuardWatch

T = TypeVar("T", Position, OpenOrder)

_TICK_S: Final = 1.0
_CALL_MAX_S: Final = 5.0
_REPEATS: Final = 1.5
_BESIDE_W: Final = 12
"""What one reading may cost, in readings, for what is repeated; and what else it asks: the second
source where the first one fails, the clock, the rules. A venue in trouble would be asked some
thirty times in five seconds."""

_CONNECTED_BY_S: Final = 2.0
"""How long streams may take to connect before order lists are read without them."""

_RULES_BY_S: Final = 2.0
_DISARM_CALL_S: Final = 1.6
_ORDERS_SEEN_MAX: Final = 100_000
"""New orders of a minute that are counted at most; the venue lets one account place a hundredth."""

_EPISODE_S: Final = 60.0
"""How long a cause must be gone before what would trip is told of it again."""


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


@dataclass(kw_only=True, eq=False, repr=False)
class Armed:
    """One account that is watched; `stand` ends with the trigger, or when told to stop.

    Attributes:
        exchange: the account on its venue; nobody else uses it.
        door: opens its streams.
        policy: what is in scope; its kind of account must be known.
        wall_clock: calendar time.
        tell: is called with each change of health.
        guarding: judges by each reading; what it returns trips.
        heartbeat: whose age trips.
        countdown_s: how long the venue's own countdown on opening orders is; None for none.
        observe: takes what would trip, in its place.
    """

    exchange: PatientExchange
    door: StreamDoor
    policy: LiquidationConfig
    wall_clock: WallClock
    tell: Callable[[Health, tuple[str, ...]], None]
    guarding: "GuardWatch"
    heartbeat: Heartbeat | None = None
    countdown_s: float | None = None
    observe: Callable[[Trigger], None] | None = None

    def __post_init__(self) -> None:
        """Watch nothing yet; needs a running event loop."""
        policy, guards = self.policy, self.guarding.guards
        self.health = Health.BLIND
        self.reasons: tuple[str, ...] = ("nothing was read yet",)
        self.margin = policy.margin or Margin.STANDARD
        self.mirrors = {product: Mirror(product) for product in policy.by_product}
        self.streams = {p: StreamFacts(mirrors=(mirror,)) for p, mirror in self.mirrors.items()}
        if self.margin is Margin.PORTFOLIO:  # One stream for both.
            first = next(iter(self.mirrors))
            self.streams = {first: StreamFacts(mirrors=tuple(self.mirrors.values()))}
        self.rules: dict[Product, Mapping[str, MarketRules]] = {}
        self.orders_seen: deque[float] = deque(maxlen=_ORDERS_SEEN_MAX)
        self.unread: dict[Product, str] = {}
        """Why products cannot be read that are only asked now and then."""
        self.heartbeat_age_s: float | None = None
        self.wakes: Wakes | None = None
        """Who holds the account flat after a trip and wants to know what is heard."""
        self._heartbeat_note: str | None = None
        self._check_notes: tuple[str, ...] = ()
        self._trouble = ""
        # Of many symbols the account is read as a whole: each would cost as much.
        usdm = policy.by_product.get(Product.USDM)
        is_wide = usdm is not None and len(usdm.symbols) > 1
        whole = replace(policy, symbols=(), products=tuple(policy.by_product))
        self._read_policy = whole if is_wide else policy
        self._observed: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._trigger: asyncio.Future[Trigger | None] = self._loop.create_future()
        self._woken = asyncio.Event()
        self._timers: dict[str, float] = {}
        self._renewed: dict[str, float] = {}
        self._covered = set[str]()
        self._countdowns_w = 0
        self._opened: dict[str, float] = {}
        self._uncovered = 0
        self._is_refused = False
        self._has_told = False
        self._keeping: list[asyncio.Task[None]] = []
        limit = LIMITS_BY_MARGIN[self.margin].weight_1m
        self._allowance = Allowance(limit, now=self._began_at)
        costs = armed_costs(guards, self._read_policy)
        self._reading_w, self._kept_w, self._lists = costs.reading, costs.kept, costs.lists
        # The first lists are read when streams are connected, for older ones are not believed.
        self._lists.asked_at = self._began_at + _CONNECTED_BY_S - self._lists.every_s
        self._rules_at: dict[Product, float] = {}
        self._beating: asyncio.Future[tuple[float | None, str | None]] | None = None
        # One thread, so that a disk that hangs has nobody else's.
        self._beats = ThreadPoolExecutor(max_workers=1)

    @property
    def readable(self) -> tuple[Product, ...]:
        """The products that are read, of those in scope."""
        return tuple(product for product in self.mirrors if product not in self.unread)

    @property
    def known(self) -> Known:
        """What a run that begins now may be made from."""
        now = self._loop.time()
        found = {product: mirror.first(now) for product, mirror in self.mirrors.items()}
        mirrored = {product: first for product, first in found.items() if first is not None}
        return Known(mirrored=mirrored, rules=self.rules)

    async def stand(self) -> Trigger | None:
        """Watch until something trips; return what, None when told to stop."""
        keepers = [
            StreamKeeper(product=product, facts=facts, armed=self).run()
            for product, facts in self.streams.items()
        ]
        work = [
            self._read_on(),
            self._read_aside(),
            self._tick(),
            self._keep_warm(),
            self._keep_countdowns(),
        ]
        tasks = [self._loop.create_task(each) for each in work]
        self._keeping = [self._loop.create_task(each) for each in keepers]
        for task in (*tasks, *self._keeping):
            task.add_done_callback(self._ended)
        try:
            return await self._trigger
        finally:
            for task in tasks:
                task.cancel()
            self._beats.shutdown(wait=False)
            if not self.is_tripped:
                self.end_streams()

    def end_streams(self) -> None:
        """Listen no more; after a trip streams go on, for the time in which it is held flat."""
        for task in self._keeping:
            task.cancel()

    def listens(self) -> bool:
        """Whether every stream is connected, and its key confirmed."""
        now = self._loop.time()
        return all(
            facts.connected_at is not None and now - facts.confirmed_at <= pacing.KEY_CONFIRMED_S
            for facts in self.streams.values()
        )

    def listens_since(self, moment: float) -> bool:
        """Whether every stream of what can be read has been connected since that moment."""
        connected = [facts.connected_at for facts in self._streams_read()]
        return all(at is not None and at <= moment for at in connected)

    def _streams_read(self) -> Iterator[StreamFacts]:
        readable = self.readable
        for facts in self.streams.values():
            if any(mirror.product in readable for mirror in facts.mirrors):
                yield facts

    @property
    def is_tripped(self) -> bool:
        """Whether something tripped."""
        return self._trigger.done() and not self.is_stopped

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop, or failed, before anything tripped."""
        trigger = self._trigger
        if not trigger.done() or trigger.cancelled():
            return trigger.done()
        return trigger.exception() is not None or trigger.result() is None

    def trip(self, trigger: Trigger) -> None:
        """Let `stand` end with this, unless something tripped before."""
        if self.observe is not None:
            # The words hold figures, which change each time; what is told is each episode, once.
            rule = [trigger.figures.get(name) for name in ("rule", "limit", "symbols")]
            cause = f"{trigger.by} {rule}"
            now = self._loop.time()
            is_new = now - self._observed.get(cause, float("-inf")) > _EPISODE_S
            self._observed[cause] = now
            if is_new or trigger.by is TripCause.SIGNAL:
                self.observe(trigger)
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
        now = self._loop.time()
        for mirror in self.streams[product].mirrors:
            mirror.connect(now)
        if self.listens_since(now):
            self._lists.hasten(now, pacing.ARMED_LISTS_MIN_S)
        if self.wakes is not None:
            self.wakes.look_again()
        self._woken.set()

    def disconnected(self, product: Product) -> None:
        """Believe the lists no more."""
        for mirror in self.streams[product].mirrors:
            mirror.disconnect()
        if self.wakes is not None:
            self.wakes.event.set()

    def heard(self, product: Product, event: StreamEvent) -> None:
        """Take one event into the mirrors of the stream."""
        now = self._loop.time()
        facts = self.streams[product]
        facts.hear(event, now, epoch_s=self.wall_clock.now().timestamp())
        for mirror in facts.mirrors:
            legs = tuple(row for row in event.amounts if row[0].product is mirror.product)
            is_its_own = not event.symbol or product_of(event.symbol) is mirror.product
            if legs or (is_its_own and not event.amounts):
                mirror.hear(event._replace(amounts=legs), now)
        if event.is_new_order:
            self.orders_seen.append(now)
            while self.orders_seen[0] <= now - MINUTE_S:
                self.orders_seen.popleft()
        if event.opens and self.policy.covers(event.symbol):
            self._opened[event.symbol] = now
        self.guarding.heard(event)
        if self.wakes is not None:
            self.wakes.hear(event)
        self._woken.set()

    def note_checks(self, notes: tuple[str, ...]) -> None:
        """Be degraded by what would keep a liquidation from closing anything, if there is any."""
        self._check_notes = notes
        self.judge_health()

    # What runs beside one another.

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """A part that ended by a fault of ours ends the watch: a watcher that sleeps is worse."""
        if not task.cancelled() and (error := task.exception()) and not self._trigger.done():
            self._trigger.set_exception(error)

    async def _read_on(self) -> None:
        """Read positions at the pace that the weight allows, order lists now and then."""
        loop = self._loop
        while True:
            # What is heard while one is under way may be in none yet.
            self._woken.clear()
            began_at = loop.time()
            self._note_used(began_at)
            needed_w = self._lists.weight + self._reading_w
            # A guard that is over its limit is decided first: that takes a minute or two at most.
            is_whole = self._lists.is_due(began_at) and not self.guarding.is_hurried
            is_whole &= not self._allowance.wait_s(needed_w)
            if is_whole:
                self._lists.asked_at = began_at
            is_done = await self._read(self.readable, is_brief=not is_whole)
            if is_whole and not (is_done and self.listens_since(began_at)):
                # Also where it fails: lists cost a fifteenth of a minute's weight each time.
                self._lists.hasten(loop.time(), pacing.ARMED_LISTS_MIN_S)
            if trigger := await self.guarding.look(self):
                self.trip(trigger)
            if self._is_refused:
                await asyncio.sleep(pacing.ARMED_REFUSED_S)
            else:
                await self._rest(began_at)

    async def _rest(self, began_at: float) -> None:
        """Wait until the next reading may leave, or sooner if something is heard."""
        now, allowance = self._loop.time(), self._allowance
        self._note_used(now)
        if self.guarding.is_hurried:
            # What was saved for that is used.
            read_at = max(began_at + pacing.ARMED_OVER_S, now + allowance.wait_s(self._reading_w))
            await asyncio.sleep(read_at - now)
            return
        kept = self._kept_w + sum(each.aside(now) for each in self._rare)
        per_s = sum(each.per_s for each in self._rare)
        read_at = now + allowance.wait_s(kept, aside_per_s=per_s)
        last_at = began_at + pacing.ARMED_READ_MAX_S
        read_at = max(min(read_at, last_at), began_at + pacing.ARMED_READ_MIN_S)
        # One reading ahead of its time: then the next one has to wait.
        woken_at = now + allowance.wait_s(kept - self._reading_w, aside_per_s=per_s)
        woken_at = min(max(woken_at, began_at + pacing.ARMED_WOKEN_MIN_S), read_at)
        least_at = now + allowance.wait_s(self._reading_w)
        await asyncio.sleep(max(woken_at, least_at) - now)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(max(read_at, least_at)):
                await self._woken.wait()

    @property
    def _rare(self) -> list[Rare]:
        """What is asked beside some readings only, order lists first."""
        return [self._lists, *self.guarding.rare]

    def holds(self, weight: float) -> bool:
        """Whether there is so much weight, what is set aside included."""
        self._note_used(self._loop.time())
        return self._allowance.saved >= weight

    def spares(self, rare: Rare) -> bool:
        """Whether a question may be asked before its time.

        What is set aside for others stays, and a third of what is kept for a guard over its limit:
        who is told of moved money all the time would read no order lists, and everything else late.
        """
        now = self._loop.time()
        aside = sum(each.aside(now) for each in self._rare if each is not rare)
        return self.holds(rare.weight + aside + self._kept_w / 3)

    def _note_used(self, now: float) -> None:
        """Let everything be paid from the allowance but countdowns, which may not wait."""
        self._allowance.note(self.exchange.spent - self._countdowns_w, now=now)

    async def _read_aside(self) -> None:
        """Ask now and then for what cannot be read, so that it is watched once it can."""
        while True:
            await asyncio.sleep(pacing.ARMED_REFUSED_S)
            if self.unread:
                await self._read(tuple(self.unread), is_brief=True)

    async def _read(self, products: Sequence[Product], *, is_brief: bool) -> bool:
        """Take one reading into the mirrors; return whether all that was asked for was read."""
        symbols = tuple(s for s in self._read_policy.symbols if product_of(s) in products)
        policy = replace(self._read_policy, symbols=symbols, products=tuple(products))
        weight = positions_weight(policy) if is_brief else look_weight(policy)
        exchange = RationedExchange(self.exchange, int(weight * _REPEATS) + _BESIDE_W)
        driver = Driver.starting_now(exchange, _CALL_MAX_S, self.wall_clock)
        readers = AccountReaders(driver.machine, policy)
        for product, reader in readers.readers.items():
            reader.rules = self.rules.get(product, {})
        began_at = self._loop.time()
        try:
            snapshots = await driver.perform(
                readers.read_all(is_brief=is_brief, both_sources=False)
            )
            self._take(snapshots, began_at)
            await self._renew_rules(driver, readers)
        finally:
            driver.close()
        self.judge_health()
        return not any(snapshot.lists_failed for snapshot in snapshots)

    def _take(self, snapshots: Sequence[Snapshot], began_at: float) -> None:
        """Take over a reading, and part what cannot be read: it would delay what can."""
        now, covers = self._loop.time(), self.policy.covers

        def in_scope(reading: Reading[T]) -> Reading[T]:
            return reading._replace(items=tuple(i for i in reading.items if covers(i.symbol)))

        read = {each.product for each in snapshots if each.positions.complete}
        for each in snapshots:
            snapshot = each._replace(
                positions=in_scope(each.positions),
                regular_orders=in_scope(each.regular_orders),
                algo_orders=in_scope(each.algo_orders),
            )
            self.mirrors[snapshot.product].take(snapshot)
        for facts in self.streams.values():
            is_since = facts.connected_at is not None and facts.connected_at <= began_at
            products = {mirror.product for mirror in facts.mirrors} - self.unread.keys()
            facts.read_since |= is_since and bool(products) and read >= products
        for product in read & self.unread.keys():
            del self.unread[product]
            self._lists.hasten(now, pacing.ARMED_LISTS_MIN_S)
            self._woken.set()
        failed = {s.product: s.positions.error for s in snapshots if s.product not in read}
        refused = {p for p, e in failed.items() if e and e.kind is AnswerKind.RUN_FATAL}
        if not failed.keys() & self.unread.keys():
            self._trouble = next((error.describe() for error in failed.values() if error), "")
            self._is_refused = bool(refused) and not read
        for product, error in failed.items():
            read_at = max(self.mirrors[product].read_at, self._began_at)
            is_over = product in refused or now - read_at > pacing.BLIND_AFTER_S
            if product in self.unread or (read and is_over):
                self.unread[product] = error.describe() if error else "it was not answered"

    async def _renew_rules(self, driver: Driver, readers: AccountReaders) -> None:
        """Read the market rules, now and then anew; those that are known stay until then."""
        for product, reader in readers.readers.items():
            if driver.spent_s > _RULES_BY_S:
                return  # The venue is in trouble: positions matter more.
            at = self._rules_at.get(product, float("-inf"))
            if self._loop.time() - at < pacing.ARMED_RULES_S:
                continue
            reader.rules = {}
            rules = await driver.perform(reader.fetch_rules())
            if not isinstance(rules, VenueAnswer):
                self.rules[product], self._rules_at[product] = rules, self._loop.time()

    async def _tick(self) -> None:
        """Judge each second, and trip by a heartbeat that is too old.

        At the start everybody gets as long again.
        """
        while True:
            self.judge_health()
            if self.heartbeat is not None:
                age_s = await self._ask_heartbeat(self.heartbeat)
                limit_s = self.heartbeat.seconds
                has_begun = self._loop.time() - self._began_at > limit_s
                if age_s is not None and age_s > limit_s and has_begun:
                    is_missing = age_s == float("inf")
                    told = "is missing" if is_missing else f"is {age_s:.0f} s old"
                    figures = {
                        "file": str(self.heartbeat.file),
                        "age_seconds": None if is_missing else round(age_s, 3),
                        "limit_seconds": limit_s,
                    }
                    why = f"the heartbeat file {told}; {limit_s:g} s are allowed"
                    self.trip(Trigger(by=TripCause.HEARTBEAT, why=why, figures=figures))
            await asyncio.sleep(_TICK_S)

    async def _ask_heartbeat(self, heartbeat: Heartbeat) -> float | None:
        """Return its age, None where its disk does not tell it within a tick."""
        if self._beating is None:
            epoch_s = self.wall_clock.now().timestamp()
            self._beating = self._loop.run_in_executor(self._beats, heartbeat.look, epoch_s)
        await asyncio.wait([self._beating], timeout=_TICK_S)
        if self._beating.done():
            self.heartbeat_age_s, self._heartbeat_note = self._beating.result()
            self._beating = None
        else:  # Asked no further: each would take one more thread for ever.
            self.heartbeat_age_s = None
            self._heartbeat_note = "heartbeat file: its disk does not answer"
        return self.heartbeat_age_s

    async def _keep_warm(self) -> None:
        """Use spare connections now and then, so that closes wait for no handshake."""
        while True:
            warm_up, spares = self.exchange.warm_up, pacing.WARM_CONNECTIONS
            pings = [warm_up(product, spares, timeout_s=_CALL_MAX_S) for product in self.mirrors]
            await asyncio.gather(*pings)
            await asyncio.sleep(pacing.ARMED_PINGS_S)

    async def _keep_countdowns(self) -> None:
        """Renew the venue's own countdowns; portfolio margin has none."""
        seconds = self.countdown_s
        if seconds is None or self.margin is not Margin.STANDARD:
            return
        while True:
            began_at = self._loop.time()
            await self._renew_countdowns(seconds)
            rest_s = seconds / pacing.COUNTDOWN_RENEWALS - (self._loop.time() - began_at)
            # The first lists may show what is to be covered at any moment.
            is_read = all(self.mirrors[p].regular_at > float("-inf") for p in self.readable)
            await asyncio.sleep(max(rest_s if is_read or self._timers else 0.0, _TICK_S))

    async def _renew_countdowns(self, seconds: float) -> None:
        """Renew what may open something, and end what no longer does; all at once."""
        now = self._loop.time()
        self._timers = {symbol: at for symbol, at in self._timers.items() if at > now}
        # What came to be after the last list, or shortly before it, may be on none yet.
        since = {p: mirror.regular_at - pacing.LAG_GRACE_S for p, mirror in self.mirrors.items()}
        self._opened = {
            symbol: at
            for symbol, at in self._opened.items()
            if at >= since.get(product_of(symbol), float("inf"))
        }
        orders = [order for mirror in self.mirrors.values() for order in mirror.orders]
        listed = {order.symbol for order in orders if not reduces_only(order)}
        opening = listed | self._opened.keys()
        ended = self._timers.keys() - opening
        most = countdowns_max(seconds)
        # Those that run go first: one that is dropped would run out.
        wanted = sorted(opening, key=lambda symbol: (symbol not in self._timers, symbol))
        self._uncovered = max(len(wanted) - most, 0)
        self._covered = {*wanted[:most]}
        self._renewed = {
            symbol: self._renewed.get(symbol, now) for symbol in {*self._covered, *self._timers}
        }
        call_s = min(_CALL_MAX_S, seconds / pacing.COUNTDOWN_RENEWALS)
        await asyncio.gather(
            *(self._set_countdown(symbol, seconds, call_s) for symbol in wanted[:most]),
            *(self._set_countdown(symbol, 0.0, call_s) for symbol in ended),
        )

    async def _set_countdown(self, symbol: str, seconds: float, timeout_s: float) -> None:
        if self.exchange.wait_s:
            return  # Nothing would leave: what was sent before runs on.
        request = requests.countdown(product_of(symbol), symbol, int(seconds * 1000))
        sent_at = self._loop.time()
        if seconds:
            # Before it leaves, and also where no answer comes: it may run.
            self._timers[symbol] = sent_at + seconds + timeout_s
        self._countdowns_w += request.weight
        with contextlib.suppress(VenueError):
            await self.exchange.send(request, timeout_s=timeout_s)
            self._renewed[symbol] = sent_at
            if not seconds:
                self._timers.pop(symbol, None)

    async def disarm_countdowns(self) -> dict[str, datetime]:
        """End every countdown at the venue; return until when one may still run out, by symbol.

        Repeated until it is answered, but takes a few seconds at most, whatever the venue does.
        """
        again_s = pacing.DISARM_AGAIN_S
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pacing.DISARM_MAX_S):
                while True:
                    ends = [self._set_countdown(s, 0.0, _DISARM_CALL_S) for s in self._timers]
                    await asyncio.gather(*ends)
                    if not self._timers:
                        break
                    await asyncio.sleep(again_s)
                    again_s *= 2
        now, moment = self._loop.time(), self.wall_clock.now()
        left = {
            symbol: moment + timedelta(seconds=ends_at - now)
            for symbol, ends_at in sorted(self._timers.items())
            if ends_at > now
        }
        self._timers.clear()
        return left

    def _notes(self) -> Iterator[str]:
        """Yield what keeps it from being armed, besides its streams and readings."""
        now, seconds = self._loop.time(), self.countdown_s or 0.0
        for product, why in self.unread.items():
            yield f"{product.shown} cannot be read: {why}"
        # Without order lists no countdown is set on what was open at the start, and a trip begins
        # without cancels.
        old_at = now - pacing.LISTS_MISSED * self._lists.every_s
        for product in self.readable:
            mirror = self.mirrors[product]
            why = mirror.lists_trouble
            # Those that were never asked for are only late; those that failed were never read.
            at = mirror.lists_at if why else max(mirror.lists_at, self._began_at)
            if at < old_at:
                why = why or "other readings left too little request weight"
                yield f"order lists of {product.shown} cannot be read: {why}"
        yield from self._check_notes
        if self._heartbeat_note is not None:
            yield self._heartbeat_note
        # The venue cannot be asked whether a countdown runs, so this is by the last one answered.
        late_s = pacing.COUNTDOWN_LATE * seconds / pacing.COUNTDOWN_RENEWALS
        late = {s: self._renewed[s] for s in self._covered if now - self._renewed[s] > late_s}
        if late:
            left_s = min(late.values()) + seconds - now
            runs_out = self.wall_clock.now() + timedelta(seconds=left_s)
            yield (
                f"countdown: not renewed on {', '.join(sorted(late))}, so the venue cancels open "
                f"orders there from {runs_out:%H:%M:%S} UTC on"
            )
        if self._uncovered:
            yield f"countdown: too little weight for {self._uncovered} more symbols"

    def judge_health(self) -> None:
        """Find how far it sees, and tell of a change."""
        if self._trigger.done():
            return  # Streams go on after a trip, and nobody reads any more.
        now = self._loop.time()
        # Of the product whose last reading that succeeded is longest ago.
        read_ats = [self.mirrors[product].read_at for product in self.readable]
        read_at = min(read_ats, default=float("-inf"))
        streams = [*self._streams_read()]
        health, reasons = judge(streams, read_at=read_at, now=now, trouble=self._trouble)
        notes = (*self._notes(),)
        if notes and health is Health.ARMED:
            health = Health.DEGRADED
        was, before = self.health, self.reasons
        self.health, self.reasons = health, (*reasons, *notes)
        if not self._has_told:
            # What is missing while it connects is no news.
            is_over = now - self._began_at >= pacing.ARMED_GRACE_S
            self._has_told = is_news = health is Health.ARMED or is_over
        else:
            is_changed = self.reasons != before and health is not Health.ARMED
            is_news = health is not was or is_changed
        if is_news:
            self.tell(health, self.reasons)


def describe(armed: Armed) -> dict[str, Any]:
    """Return what `status` and metrics show of an armed process."""
    return {
        "health": armed.health.value,
        "reasons": list(armed.reasons),
        "tripped": armed.is_tripped,
        "heartbeat_age_seconds": armed.heartbeat_age_s,
        "weight_used": armed.exchange.spent,
        "guards": armed.guarding.describe(),
        "streams": {
            product.value: {"connections": facts.connections, "malformed": facts.malformed}
            for product, facts in armed.streams.items()
        },
    }
