"""What is known of an account between two readings, by its streams, and how far to believe it.

The stream wakes, a reading proves: what the stream says is taken over into the mirror, so that the
first orders need no reading, and never into a verdict. A stream has no snapshot, no sequence number
and no heartbeat of the account: a dead one and a quiet account look the same. So health is what can
be checked: connected, key confirmed, read anew since the connection was made, events that come in
time, and no change between two readings that the stream did not tell.

What a reader would get wrong:
- Readings lag by about two seconds, and events overtake one another: of one leg the later stamp
  counts, and what was told shortly before a reading began may be newer than it.
- Two readings are compared with one another, not with the mirror: an event that is untrue is no
  sign of silence.
- The listen key is one for all programs of the account. It is renewed, never deleted: that would
  end the bots' streams too. Who deletes it ends ours, and the connection stays open and silent: so
  a stream that a reading found silent is connected anew.
- A key that has died is refused with -1125; renewing it again is refused again. It is asked anew.
- One frame that cannot be read is counted and skipped; it ends nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from liqctl.kernel import pacing
from liqctl.kernel.errors import Secret, VenueError
from liqctl.kernel.reading import NOT_ASKED, NOTHING_READ
from liqctl.kernel.requests import listen_key
from liqctl.kernel.states import Product
from liqctl.kernel.values import (
    Leg,
    OpenOrder,
    Position,
    Reading,
    Snapshot,
    StreamEvent,
    StreamKind,
)
from liqctl.venue.stream import Frames, StreamError
from liqctl.venue.wire import parse_stream_event

if TYPE_CHECKING:
    from liqctl.standby.armed import Armed

_AGE_MIN_S: Final = 0.001
"""What is kept is never as new as a reading, also where an event came this very moment."""

_TOLD_KEPT_S: Final = 60.0
"""How long it is remembered when a leg was told of: longer than two readings are apart."""

_CALL_MAX_S: Final = 5.0
_DOUBT_S: Final = 1.0
_NO_SUCH_KEY: Final = -1125
_EXPIRED: Final = "its listen key has expired"
_SILENT: Final = "a reading showed a change that it did not tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """The last thing that the stream said of a leg, and when it was heard."""

    at: float
    at_ms: int
    amount: Decimal
    entry_price: Decimal | None


class Mirror:
    """The positions and orders of one product, as last read and as the stream changed them."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.read_at = float("-inf")
        self.heard_at = float("-inf")
        self.lists_trouble = ""
        """Why the last order lists that were asked for could not be read."""
        self._legs: dict[Leg, Position] = {}
        self._worths: dict[str, Decimal] = {}  # of one unit, by symbol, as last read
        self.last: Snapshot | None = None  # whose positions could be read
        self._lists: Snapshot | None = None  # whose changes were told since
        self._regular = self._algo = NOTHING_READ  # the last ones at all of each list
        self._connected_at = float("inf")
        self._orders_changed_at = float("-inf")
        self._told: dict[Leg, _Told] = {}
        self._untold: dict[Leg, float] = {}

    @property
    def positions(self) -> tuple[Position, ...]:
        """What is held, as far as is known."""
        return tuple(self._legs.values())

    @property
    def orders(self) -> tuple[OpenOrder, ...]:
        """The orders that the last lists showed, be they still there or not."""
        return self._regular.regular_orders.items + self._algo.algo_orders.items

    @property
    def lists_at(self) -> float:
        """When the reading of the last lists began, of the one where that is longest ago."""
        return min(self._regular.started_at, self._algo.started_at)

    @property
    def regular_at(self) -> float:
        """When the reading of the last regular orders began, which alone a countdown cancels."""
        return self._regular.started_at

    @property
    def untold_at(self) -> float | None:
        """Since when a reading shows a change that the stream has not told; None where none is."""
        return min(self._untold.values(), default=None)

    def connect(self, now: float) -> None:
        """Begin anew with a connection: what happened before it was made has to be read."""
        self.disconnect()
        self._connected_at = now

    def disconnect(self) -> None:
        """Believe no order list any more, and expect nothing to be told."""
        self._lists, self._connected_at = None, float("inf")
        self._untold.clear()

    def take(self, snapshot: Snapshot) -> None:
        """Take over a reading, and what the stream said of later moments."""
        if not snapshot.is_brief:
            # Each list for itself: one that cannot be read hides nothing of the other.
            regular, algo = snapshot.regular_orders, snapshot.algo_orders
            if regular.complete:
                self._regular = snapshot
            if algo.complete:
                self._algo = snapshot
            if not snapshot.lists_missing and snapshot.started_at >= self._connected_at:
                self._lists = snapshot
            errors = filter(None, (regular.error, algo.error))
            self.lists_trouble = next((each.describe() for each in errors), "")
        if not snapshot.positions.complete or snapshot.started_at < self.read_at:
            return
        read = {position.leg: position for position in snapshot.positions.items}
        before = self.last
        # A reading may show what was so before the connection was made.
        if before and before.started_at >= self._connected_at + pacing.LAG_GRACE_S:
            self._compare(before, read, snapshot.finished_at)
        for position in read.values():
            if position.quantity and position.notional:
                self._worths[position.symbol] = position.notional / position.size
        self._legs, self.last, self.read_at = dict(read), snapshot, snapshot.started_at
        for leg, told in list(self._told.items()):
            row = read.get(leg)
            is_later = told.at >= snapshot.started_at - pacing.LAG_GRACE_S and (
                told.at_ms > (row.update_time_ms if row is not None else 0)
            )
            if told.at >= snapshot.started_at or is_later:
                self._apply(leg, told)
            elif told.at < snapshot.started_at - _TOLD_KEPT_S:
                del self._told[leg]

    def hear(self, event: StreamEvent, now: float) -> None:
        """Take over what the stream says."""
        self.heard_at = now
        prices = dict(event.entry_prices)
        for leg, amount in event.amounts:
            self._untold.pop(leg, None)
            before = self._told.get(leg)
            if before is not None and event.at_ms and event.at_ms < before.at_ms:
                continue
            told = self._told[leg] = _Told(
                at=now, at_ms=event.at_ms, amount=amount, entry_price=prices.get(leg)
            )
            self._apply(leg, told)
        if event.kind is StreamKind.ORDER:
            self._orders_changed_at = now

    def first(self, now: float) -> Snapshot | None:
        """Return what the first orders may be made from; None where it is too old, or nothing."""
        if self.last is None or not self._legs or now - self.read_at > pacing.MIRROR_AGE_MAX_S:
            return None
        lists = self._lists
        # Which stop protects a leg is decided by what a reading showed, never by what was told.
        read = {p.leg: p.quantity for p in self.last.positions.items}
        is_as_read = read == {leg: position.quantity for leg, position in self._legs.items()}
        is_whole = lists is not None and self._orders_changed_at < lists.started_at and is_as_read
        return self.last._replace(
            positions=Reading(items=self.positions, sources=self.last.positions.sources),
            regular_orders=lists.regular_orders if lists and is_whole else NOT_ASKED,
            algo_orders=lists.algo_orders if lists and is_whole else NOT_ASKED,
            started_at=now,
            finished_at=now,
            is_brief=not is_whole,
            age_s=max(now - max(self.read_at, self.heard_at), _AGE_MIN_S),
        )

    def _compare(self, before: Snapshot, read: dict[Leg, Position], now: float) -> None:
        """Note which legs changed between two readings without a word of the stream."""
        held = {position.leg: position for position in before.positions.items}
        for leg in held.keys() | read.keys():
            if _amount(held.get(leg)) == _amount(read.get(leg)):
                continue
            told = self._told.get(leg)
            if told is None or told.at < before.started_at - pacing.STREAM_LAG_MAX_S:
                self._untold.setdefault(leg, now)

    def _apply(self, leg: Leg, told: _Told) -> None:
        if not told.amount:
            self._legs.pop(leg, None)
            return
        # What one unit is worth decides which leg is closed first. Of COIN-M it is a contract's
        # size in dollars.
        worth = self._worths.get(leg.symbol)
        if worth is None and self.product is Product.COINM:
            worth = Decimal(100 if leg.symbol.startswith("BTCUSD") else 10)
        notional = (worth or told.entry_price or Decimal(0)) * told.amount.copy_abs()
        known = self._legs.get(leg) or Position(leg=leg, quantity=told.amount, notional=notional)
        self._legs[leg] = known._replace(quantity=told.amount, notional=notional)


def _amount(position: Position | None) -> Decimal:
    return position.quantity if position is not None else Decimal(0)


class Health(StrEnum):
    """How far the armed process can see."""

    ARMED = "armed"
    DEGRADED = "degraded"
    BLIND = "blind"


@dataclass(slots=True, kw_only=True)
class StreamFacts:
    """What is known of one stream, and the mirrors of the products that it tells of.

    Attributes:
        connected_at: when the connection was made; None without one.
        confirmed_at: when the venue last confirmed the listen key.
        read_since: whether a reading began since the connection was made and succeeded.
        trouble: why there is no connection, in words.
        malformed: frames that could not be read; they are skipped.
        connections: how often it was connected.
        late_at: when an event last came that was late.
    """

    mirrors: tuple[Mirror, ...]
    connected_at: float | None = None
    confirmed_at: float = float("-inf")
    read_since: bool = False
    trouble: str = "not connected yet"
    malformed: int = 0
    connections: int = 0
    late_at: float = float("-inf")

    def hear(self, event: StreamEvent, now: float, *, epoch_s: float) -> None:
        """Note whether an event came in time; `epoch_s` is this moment of the calendar."""
        if event.at_ms:
            is_late = epoch_s - event.at_ms / 1000 > pacing.STREAM_LAG_MAX_S
            self.late_at = now if is_late else float("-inf")

    def is_silent(self, now: float) -> bool:
        """Whether a reading showed a change that the stream has not told for too long."""
        untold = [mirror.untold_at for mirror in self.mirrors]
        return any(at is not None and now - at > pacing.STREAM_LAG_MAX_S for at in untold)

    def why_unhealthy(self, now: float) -> str | None:
        """Return why the stream cannot be relied on, None when it can."""
        if self.connected_at is None:
            return f"stream: {self.trouble}"
        if now - self.confirmed_at > pacing.KEY_CONFIRMED_S:
            return "stream: its listen key was not confirmed for too long"
        if not self.read_since:
            return "stream: nothing was read since it was connected"
        if self.is_silent(now):
            return f"stream silent: {_SILENT}"
        if now - self.late_at < pacing.STREAM_LATE_KEPT_S:
            return (
                f"stream late: an event came more than {pacing.STREAM_LAG_MAX_S:g} s after it "
                "happened, by this machine's clock"
            )
        return None


def judge(
    streams: Sequence[StreamFacts], *, read_at: float, now: float, trouble: str = ""
) -> tuple[Health, tuple[str, ...]]:
    """Return how far the process sees, and why not further.

    `read_at` is when the last reading began that succeeded for every product, `trouble` why the
    last one did not. The words are the same for as long as the cause is: each change is recorded.
    """
    found = [facts.why_unhealthy(now) for facts in streams]
    reasons = tuple(dict.fromkeys(reason for reason in found if reason))
    if now - read_at > pacing.BLIND_AFTER_S:
        why = f"no reading succeeded for more than {pacing.BLIND_AFTER_S:g} s"
        told = f"{why}: {trouble}" if trouble else why
        return (Health.BLIND if reasons else Health.DEGRADED), (told, *reasons)
    return (Health.DEGRADED if reasons else Health.ARMED), reasons


@dataclass(kw_only=True, eq=False)
class StreamKeeper:
    """Connects the stream of a product, renews its key, and connects anew for as long as it runs.

    The armed process is told what it says and how it is, which `facts` hold.
    """

    product: Product
    facts: StreamFacts
    armed: "Armed"

    async def run(self) -> None:
        """Keep the stream until cancelled."""
        pause_s = pacing.STREAM_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            try:
                self.facts.trouble = await self._once()
            except StreamError as error:
                self.facts.trouble = str(error)
            except VenueError as error:
                self.facts.trouble = f"its key: {error.answer.describe()}"
            self.armed.judge_health()
            if loop.time() - began_at > pacing.STREAM_RETRY_MAX_S:
                pause_s = pacing.STREAM_RETRY_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, pacing.STREAM_RETRY_MAX_S)

    async def _once(self) -> str:
        """Connect, take what comes, and return why that ended."""
        loop, facts, armed = asyncio.get_running_loop(), self.facts, self.armed
        key = await self._ask_key(renews=False)
        frames = await armed.door.open(self.product, armed.margin, Secret(key))
        began_at = facts.connected_at = facts.confirmed_at = loop.time()
        facts.read_since, facts.late_at = False, float("-inf")
        facts.connections += 1
        armed.connected(self.product)
        armed.judge_health()
        parts = [loop.create_task(part) for part in (self._take(frames), self._renew())]
        try:
            while not facts.is_silent(loop.time()):
                rest_s = began_at + pacing.STREAM_LIFE_S - loop.time()
                if rest_s <= 0:
                    return "the connection is made anew once a day"
                done, _ = await asyncio.wait(
                    parts, timeout=min(rest_s, _DOUBT_S), return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return next(task.result() for task in parts if task in done)
            return f"it was silent: {_SILENT}"
        finally:
            # First of all: closing may take its time, and nothing is told meanwhile.
            facts.connected_at = None
            armed.disconnected(self.product)
            for task in parts:
                task.cancel()
            await frames.close()

    async def _renew(self) -> str:
        """Renew the key again and again; return once it is dead."""
        pause_s = pacing.KEY_RENEWED_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._ask_key(renews=True)
            except VenueError as error:
                if error.answer.code == _NO_SUCH_KEY:
                    return _EXPIRED
                pause_s = pacing.KEY_AGAIN_S
                continue
            pause_s = pacing.KEY_RENEWED_S
            self.facts.confirmed_at = asyncio.get_running_loop().time()

    async def _take(self, frames: Frames) -> str:
        async for frame in frames:
            event = parse_stream_event(frame, self.product)
            if event is None:
                self.facts.malformed += 1
                continue
            if event.kind is StreamKind.KEY_EXPIRED:
                return _EXPIRED  # The socket stays open and silent from here on.
            self.armed.heard(self.product, event)
        return "the connection ended"

    async def _ask_key(self, *, renews: bool) -> str:
        request = listen_key(self.product, self.armed.margin, renews=renews)
        return await self.armed.exchange.send(request, timeout_s=_CALL_MAX_S)
