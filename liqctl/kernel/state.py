"""What one run knows: its records of legs and orders, and the events their changes make."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from liqctl.kernel import events
from liqctl.kernel.ids import CLIENT_ORDER_ID_PREFIX
from liqctl.kernel.ledger import (
    LegRecord,
    OrderRecord,
    after_reading,
    first_seen,
    is_left_over,
    shown_open,
)
from liqctl.kernel.machine import Machine
from liqctl.kernel.outcome import open_legs
from liqctl.kernel.pacing import LAG_GRACE_S, STRANGERS_MAX, SWEEPS_FAILED_MAX
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import Look, Streak, Verdict, verify
from liqctl.kernel.protection import is_oversized, is_protective, reduces_only
from liqctl.kernel.values import (
    Leg,
    OpenOrder,
    OrderKind,
    Position,
    Reading,
    Snapshot,
)

T = TypeVar("T")
OrderKey = tuple[str, OrderKind, str]


class RunState:
    """The mutable memory of one run; every value in it is immutable and replaced whole."""

    def __init__(self, machine: Machine, policy: LiquidationConfig, order_tag: str) -> None:
        """Start with nothing known; `order_tag` marks this run's own orders."""
        self.machine = machine
        self.policy = policy
        self.legs: dict[Leg, LegRecord] = {}
        self.orders: dict[OrderKey, OrderRecord] = {}
        self.looks: list[Look] = []
        self.streak = Streak()
        self.swept_at: dict[tuple[str, OrderKind], float] = {}
        self.failed_sweeps: Counter[tuple[str, OrderKind]] = Counter()
        self.refused_sweeps: set[tuple[str, OrderKind]] = set()
        self.began_at = machine.deadline.began
        self.last_known: Snapshot | None = None
        self.never_read: frozenset[str] | None = None
        self.readings = 0
        self.retries = 0
        self.strangers: dict[str, None] = {}
        self.entered: dict[str, float] = {}
        self.faults: dict[str, str] = {}
        self.last_write_at = float("-inf")
        self.last_sweep_at = float("-inf")
        self.began_ms = float("-inf")
        self._began_ms_most = float("inf")
        self._absent_at: dict[OrderKind | None, float] = {}
        self._own_prefix = CLIENT_ORDER_ID_PREFIX + order_tag

    @property
    def has_read(self) -> bool:
        """Whether any source was ever read in full."""
        return self.readings > 0

    @property
    def is_doubtful(self) -> bool:
        """Whether a leg's last reading contradicted a fill, or an order's fate is open."""
        return any(record.doubtful for record in self.legs.values())

    @property
    def window_s(self) -> float:
        """How long flat is watched: as asked, and no shorter than the longest lag seen here."""
        if not self.policy.settle_seconds:
            return 0.0
        lags = (record.lag_s for record in self.legs.values())
        return max(self.policy.settle_seconds, *lags, 0.0)

    def contradictions(self, at: float) -> list[str]:
        """Return why a shorter watch up to `at` proves nothing: what was open a moment ago.

        A leg that our own confirmed fills closed needs no watch for itself.
        """
        since = at - self.window_s
        return [why for seen_at, why in self._doubts() if seen_at > since]

    @property
    def doubted_at(self) -> float:
        """When something was last seen that nobody can account for; -inf when never."""
        return max((seen_at for seen_at, _ in self._doubts()), default=float("-inf"))

    def _doubts(self) -> list[tuple[float, str]]:
        """Return what was seen without an explanation since, when last, and in words."""
        vanished = sorted(
            (record.leg.symbol, record.last_open_at)
            for record in self.legs.values()
            if record.vanished
        )
        stops = sorted(
            (record.order.symbol, record.shown_at)
            for record in self.orders.values()
            # Its owner or the venue took it, or a list that is older than the one before it.
            if record.gone
            and reduces_only(record.order)
            and not is_left_over(record, self.legs.get(record.order.leg), began_ms=self.began_ms)
        )
        return [
            *(
                (at, f"{symbol} was open a moment ago and vanished without our order")
                for symbol, at in vanished
            ),
            *(
                (at, f"somebody opened {symbol} a moment ago")
                for symbol, at in sorted(self.entered.items())
            ),
            *(
                (at, f"a stop on {symbol} was there a moment ago and vanished without our cancel")
                for symbol, at in stops
            ),
        ]

    def absorb(self, snapshot: Snapshot) -> Verdict:
        """Take in a reading and return its verdict."""
        now = self.machine.now
        verdict = verify(snapshot, self.policy)
        self._absorb_positions(verdict_positions(snapshot, self.policy), snapshot, now)
        positions = open_legs(self.legs)
        for kind, reading in (
            (OrderKind.REGULAR, snapshot.regular_orders),
            (OrderKind.ALGO, snapshot.algo_orders),
        ):
            self._absorb_listed(reading.items, positions, snapshot)
            if reading.complete:
                self._absorb_absent(kind, {order.key for order in reading.items}, snapshot)
                self._absent_at[kind] = snapshot.started_at
        if snapshot.is_any_read:
            self.readings += 1
        self.last_known = with_last_known(snapshot, self.last_known)
        missing = snapshot.lists_missing
        self.never_read = missing if self.never_read is None else self.never_read & missing
        self._watch(verdict, snapshot)
        return verdict

    def note_look(self, positions: Reading[Position], began_at: float) -> None:
        """Keep what a reading of the positions showed, for what has to be settled."""
        for position in positions.items:
            if (record := self.legs.get(position.leg)) is not None:
                self.legs[position.leg] = shown_open(record, position, at=began_at)
        if positions.complete:
            self.looks.append(
                Look(began_at, positions.sources, frozenset(p.leg for p in positions.items))
            )

    def _watch(self, verdict: Verdict, snapshot: Snapshot) -> None:
        """Lengthen the row of readings that showed nothing, or begin it anew."""
        if not (verdict.is_quiet and self._is_after_writes(snapshot)):
            self.streak = Streak()
            return
        look = Look(snapshot.started_at, snapshot.positions.sources, frozenset())
        self.streak = Streak(
            looks=(*self.streak.looks, look), seen_flat=self.streak.seen_flat or verdict.is_flat
        )

    def _absorb_positions(
        self, positions: tuple[Position, ...], snapshot: Snapshot, now: float
    ) -> None:
        """Take in what is listed; what is not is flat only where the list is complete."""
        by_leg = {position.leg: position for position in positions}
        for leg, position in by_leg.items():
            if leg not in self.legs:
                self.legs[leg] = first_seen(position, snapshot.started_at)
                if self._is_new(position.update_time_ms, None):
                    self._entered(position, snapshot)
        for leg, before in list(self.legs.items()):
            if leg not in by_leg and not snapshot.positions.complete:
                continue
            after = after_reading(before, by_leg.get(leg), started_at=snapshot.started_at, now=now)
            self.legs[leg] = after
            reopened = after.current if after.reopened > before.reopened else None
            if reopened is not None and self._is_new(
                reopened.update_time_ms, None, after_ms=after.filled_ms
            ):
                self._entered(reopened, snapshot)
            if before.current is not None and after.current is None:
                found, executed = before.first.size, after.executed
                self.machine.note(
                    events.position_closed(
                        leg, quantity=found, executed=executed, attempts=after.attempts
                    )
                )
        if snapshot.positions.complete:
            self._absent_at[None] = snapshot.started_at
        self.note_look(snapshot.positions, snapshot.started_at)

    def note_stamp(self, stamp_ms: int, sent_at: float) -> None:
        """Learn from the venue's stamp of a fill what its clock said when this run began.

        The fill was after its order was sent, and before now.
        """
        if stamp_ms:
            known_at = self.machine.now
            least_ms, most_ms = (
                stamp_ms - (at - self.began_at) * 1000 for at in (known_at, sent_at)
            )
            self.began_ms = max(self.began_ms, least_ms)
            self._began_ms_most = min(self._began_ms_most, most_ms)

    def _is_new(self, stamp_ms: int, kind: OrderKind | None, *, after_ms: int = 0) -> bool:
        """Whether what appeared came to be during this run: not merely shown late by a list.

        The venue's own stamps tell where both sides have one, for a leg the one of our own last
        fill. Without, whatever is old has been shown once the longest lag has passed: by a list of
        this kind that was read in full then, None for the positions.
        """
        if stamp_ms and self._began_ms_most < float("inf"):
            return stamp_ms > max(self._began_ms_most, after_ms)
        return self._absent_at.get(kind, float("-inf")) - self.began_at >= LAG_GRACE_S

    def _entered(self, position: Position, snapshot: Snapshot) -> None:
        """Note that somebody else opened a position during the run."""
        self.entered[position.symbol] = snapshot.finished_at
        strange = (
            order.client_order_id
            for order in snapshot.orders
            if order.symbol == position.symbol and self._is_strange(order)
        )
        self.machine.note(events.reentry_seen(position, strange))

    def _is_strange(self, order: OpenOrder) -> bool:
        return order.key not in self.orders and self._is_new(order.created_ms, order.kind)

    def _absorb_listed(
        self, orders: Iterable[OpenOrder], positions: dict[Leg, Position], snapshot: Snapshot
    ) -> None:
        for order in orders:
            if not self.policy.covers(order.symbol):
                continue
            if order.client_order_id.startswith(self._own_prefix):
                continue
            protective = is_protective(order, positions)
            oversized = is_oversized(order, positions)
            known = self.orders.get(order.key)
            if known is None:
                if self._is_strange(order):
                    if len(self.strangers) < STRANGERS_MAX:
                        self.strangers[order.client_order_id or order.order_id] = None
                    if reduces_only(order):
                        # A new stop is set for a new position, shown or not.
                        self.entered[order.symbol] = snapshot.finished_at
                self.orders[order.key] = OrderRecord(
                    order=order,
                    seen_at=snapshot.started_at,
                    first_at=snapshot.started_at,
                    shown_at=snapshot.started_at,
                    listed_at=snapshot.finished_at,
                    protective=protective,
                    oversized=oversized,
                )
            else:
                # One odd row does not make an order unreadable that was read before.
                self.orders[order.key] = known._replace(
                    order=order if order.side or not known.order.side else known.order,
                    present=True,
                    gone=False,
                    seen_at=snapshot.started_at,
                    shown_at=snapshot.started_at,
                    protective=known.protective or protective,
                    oversized=known.oversized or oversized,
                )

    def _absorb_absent(self, kind: OrderKind, listed: set[OrderKey], snapshot: Snapshot) -> None:
        for key, record in list(self.orders.items()):
            if key[1] is kind and key not in listed and record.present:
                answered = record.cancelled_at is not None
                self.orders[key] = record._replace(
                    present=False, gone=not answered, seen_at=snapshot.started_at
                )

    def is_settled(self, snapshot: Snapshot) -> bool:
        """Whether no order is under way and the reading began after the last answer."""
        return snapshot.started_at >= self.last_sweep_at and self._is_after_writes(snapshot)

    def _is_after_writes(self, snapshot: Snapshot) -> bool:
        """Whether it is settled but for the sweeps.

        A sweep takes what no list shows, so its answer does not begin the watch anew: a venue that
        answers slowly would be swept and watched until the deadline.
        """
        return snapshot.started_at >= self.last_write_at and not any(
            record.in_flight for record in self.legs.values()
        )

    def sweeps(self, symbol: str, book: OrderKind) -> None:
        """Note that the last cancel of a symbol's book leaves now.

        It counts as failed until it is answered: one may be cut at the end of the time.
        """
        self.failed_sweeps[symbol, book] += 1
        self.swept_at[symbol, book] = self.machine.now

    def note_swept(self, symbol: str, book: OrderKind) -> None:
        """Note that the last cancel of a symbol's book was answered."""
        self.failed_sweeps.pop((symbol, book), None)
        self.refused_sweeps.discard((symbol, book))

    def note_unswept(self, symbol: str, book: OrderKind) -> None:
        """Note that the last cancel of a symbol's book was proven not executed."""
        self.failed_sweeps[symbol, book] -= 1
        del self.swept_at[symbol, book]

    def is_swept(self, symbol: str, book: OrderKind, since: float) -> bool:
        """Whether the book was cancelled after `since`, as far as the venue can be made to say."""
        failed = self.failed_sweeps[symbol, book]
        is_last = failed == 0 or failed >= SWEEPS_FAILED_MAX
        return is_last and self.swept_at.get((symbol, book), float("-inf")) >= since

    def wrote(self, *, is_sweep: bool = False) -> None:
        """Note that a write was answered or cut off now."""
        now = self.machine.now
        if is_sweep:
            self.last_sweep_at = now
        else:
            self.last_write_at = now


def with_last_known(snapshot: Snapshot, before: Snapshot | None) -> Snapshot:
    """Return the reading, its failed sources standing as they were last read: unread, not empty."""
    if before is None:
        return snapshot
    return replace(
        snapshot,
        positions=_known(snapshot.positions, before.positions),
        regular_orders=_known(snapshot.regular_orders, before.regular_orders),
        algo_orders=_known(snapshot.algo_orders, before.algo_orders),
    )


def _known(now: Reading[T], before: Reading[T]) -> Reading[T]:
    if now.complete or not before.items:
        return now
    return replace(now, items=before.items)


def verdict_positions(snapshot: Snapshot, policy: LiquidationConfig) -> tuple[Position, ...]:
    """Return the positions of the reading that are in scope by symbol."""
    return tuple(p for p in snapshot.positions.items if policy.covers(p.symbol))
