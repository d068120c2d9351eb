"""What is known of an account between two readings, and how far that can be believed.

The stream wakes, a reading proves: what the stream says is taken over into the mirror, so that the
first orders need no reading, and never into a verdict. A stream has no snapshot, no sequence number
and no heartbeat of the account: a dead one and a quiet account look the same. So health is what can
be checked: connected, key confirmed, read anew since the connection was made, and no change seen by
a reading that the stream did not tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from liqctl.kernel import pacing
from liqctl.kernel.reading import NOT_ASKED
from liqctl.kernel.states import Product
from liqctl.kernel.stream import StreamEvent, StreamKind
from liqctl.kernel.values import Leg, OpenOrder, Position, Reading, Snapshot


class Mirror:
    """The positions and orders of one product, as last read and as the stream changed them."""

    def __init__(self, product: Product) -> None:
        self.product = product
        self.read_at = float("-inf")
        self.heard_at = float("-inf")
        self.untold_at: float | None = None
        """When a reading showed a change that the stream has not told since."""

        self._legs: dict[Leg, Position] = {}
        self._last: Snapshot | None = None
        self._lists: Snapshot | None = None
        self._orders_changed_at = float("-inf")
        self._events: list[tuple[float, StreamEvent]] = []

    @property
    def positions(self) -> tuple[Position, ...]:
        """What is held, as far as is known."""
        return tuple(self._legs.values())

    @property
    def orders(self) -> tuple[OpenOrder, ...]:
        """The orders that the last list showed."""
        return self._lists.orders if self._lists is not None else ()

    def take(self, snapshot: Snapshot) -> None:
        """Take over a reading, and what the stream said while it was under way."""
        if not snapshot.is_brief and not snapshot.lists_missing:
            self._lists = snapshot
        if not snapshot.positions.complete:
            return
        read = {position.leg: position for position in snapshot.positions.items}
        self._events = [each for each in self._events if each[0] >= snapshot.started_at]
        told = {leg for _, event in self._events for leg, _ in event.amounts}
        if self._last is not None and any(
            _amount(read.get(leg)) != _amount(self._legs.get(leg))
            for leg in (read.keys() | self._legs.keys()) - told
        ):
            self.untold_at = snapshot.finished_at
        self._legs, self._last, self.read_at = read, snapshot, snapshot.started_at
        for _, event in self._events:
            self._apply(event)

    def hear(self, event: StreamEvent, now: float) -> None:
        """Take over what the stream says."""
        self.heard_at, self.untold_at = now, None
        self._events.append((now, event))
        self._apply(event)
        if event.kind is StreamKind.ORDER:
            self._orders_changed_at = now

    def forget_lists(self) -> None:
        """Believe no order list any more: what happened since may not have been told."""
        self._lists = None

    def first(self, now: float) -> Snapshot | None:
        """Return what the first orders may be made from; None where it is too old, or nothing."""
        if self._last is None or not self._legs or now - self.read_at > pacing.MIRROR_AGE_MAX_S:
            return None
        lists = self._lists
        is_whole = lists is not None and self._orders_changed_at < lists.started_at
        return replace(
            self._last,
            positions=Reading(items=self.positions, sources=self._last.positions.sources),
            regular_orders=lists.regular_orders if lists and is_whole else NOT_ASKED,
            algo_orders=lists.algo_orders if lists and is_whole else NOT_ASKED,
            started_at=now,
            finished_at=now,
            is_brief=not is_whole,
            age_s=now - max(self.read_at, self.heard_at),
        )

    def _apply(self, event: StreamEvent) -> None:
        for leg, amount in event.amounts:
            known = self._legs.get(leg)
            if not amount:
                self._legs.pop(leg, None)
            elif known is not None:
                worth = known.notional / abs(known.quantity) if known.quantity else Decimal(0)
                self._legs[leg] = replace(known, quantity=amount, notional=worth * abs(amount))
            else:
                self._legs[leg] = Position(leg=leg, quantity=amount, notional=Decimal(0))


def _amount(position: Position | None) -> Decimal:
    return position.quantity if position is not None else Decimal(0)


class Health(StrEnum):
    """How far the armed process can see."""

    ARMED = "armed"
    DEGRADED = "degraded"
    BLIND = "blind"


@dataclass(slots=True, kw_only=True)
class StreamFacts:
    """What is known of the stream of one product.

    Attributes:
        connected_at: when the connection was made; None without one.
        confirmed_at: when the venue last confirmed the listen key.
        read_since: whether a reading began since the connection was made and succeeded.
        trouble: why there is no connection, in words.
        malformed: frames that could not be read; they are skipped.
        connections: how often it was connected.
    """

    connected_at: float | None = None
    confirmed_at: float = float("-inf")
    read_since: bool = False
    trouble: str = "not connected yet"
    malformed: int = 0
    connections: int = 0
    mirror: Mirror = field(default_factory=lambda: Mirror(Product.USDM))

    def why_unhealthy(self, now: float) -> str | None:
        """Return why the stream cannot be relied on, None when it can."""
        if self.connected_at is None:
            return f"stream: {self.trouble}"
        if now - self.confirmed_at > pacing.KEY_CONFIRMED_S:
            return "stream: its listen key was not confirmed for too long"
        if not self.read_since:
            return "stream: nothing was read since it was connected"
        untold_at = self.mirror.untold_at
        if untold_at is not None and now - untold_at > pacing.STREAM_LAG_MAX_S:
            return "stream silent: a reading showed a change that it did not tell"
        return None


_BLIND: Final = "no reading succeeded for {age:.0f} s"


def judge(
    streams: Sequence[StreamFacts], *, read_at: float, now: float
) -> tuple[Health, tuple[str, ...]]:
    """Return how far the process sees, and why not further.

    `read_at` is when the last reading began that succeeded for every product.
    """
    found = [facts.why_unhealthy(now) for facts in streams]
    reasons = tuple(dict.fromkeys(reason for reason in found if reason))
    age_s = now - read_at
    if age_s > pacing.BLIND_AFTER_S:
        why = _BLIND.format(age=min(age_s, 1e6))
        return (Health.BLIND if reasons else Health.DEGRADED), (why, *reasons)
    return (Health.DEGRADED if reasons else Health.ARMED), reasons
