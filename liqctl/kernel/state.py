"""What one run knows: its records of legs and orders, and the events their changes make."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from liqctl.kernel import events, ledger, pacing
from liqctl.kernel.gateway import Gateway
from liqctl.kernel.ids import CLIENT_ORDER_ID_PREFIX
from liqctl.kernel.outcome import open_legs
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import (
    NO_STREAK,
    Look,
    Streak,
    Verdict,
    is_oversized,
    is_protective,
    reduces_only,
    verify,
)
from liqctl.kernel.states import Margin
from liqctl.kernel.values import Leg, OpenOrder, OrderKind, Position, Reading, Snapshot

T = TypeVar("T")
OrderKey = tuple[str, OrderKind, str]


class RunState:
    """The mutable memory of one run; every value in it is immutable and replaced whole."""

    def __init__(self, gateway: Gateway, policy: LiquidationConfig, order_tag: str) -> None:
        """Start with nothing known; `order_tag` marks this run's own orders."""
        self.gateway = gateway
        self.policy = policy
        self.legs: dict[Leg, ledger.LegRecord] = {}
        self.orders: dict[OrderKey, ledger.OrderRecord] = {}
        self.looks: list[Look] = []
        self.streak = NO_STREAK
        self.margin = Margin.STANDARD
        self.sweeps: dict[tuple[str, OrderKind], ledger.SweepRecord] = {}
        self.began_at = gateway.deadline.began
        self.last_known: Snapshot | None = None
        self.never_read: frozenset[str] | None = None
        self.retries = 0
        self.strangers: dict[str, None] = {}
        self.entered: dict[str, float] = {}
        self.last_write_at = float("-inf")
        self.last_sweep_at = float("-inf")
        self.began_ms = float("-inf")
        self._began_ms_most = float("inf")
        self._absent_at: dict[OrderKind | None, float] = {}
        self._own_prefix = CLIENT_ORDER_ID_PREFIX + order_tag

    @property
    def is_doubtful(self) -> bool:
        """Whether a leg's last reading contradicted a fill, or an order's fate is open."""
        return any(record.doubtful for record in self.legs.values())

    def has_listed(self, kind: OrderKind) -> bool:
        """Whether any reading listed this book in full."""
        return kind in self._absent_at

    def absorb(self, snapshot: Snapshot) -> Verdict:
        """Take in a reading and return its verdict."""
        if self.margin is not snapshot.margin:
            # What was read the other way says nothing about this account.
            self.margin, self.streak = snapshot.margin, NO_STREAK
            self.looks.clear()
        verdict = verify(snapshot, self.policy)
        self._absorb_positions(snapshot)
        positions = open_legs(self.legs)
        lists = {OrderKind.REGULAR: snapshot.regular_orders, OrderKind.ALGO: snapshot.algo_orders}
        for kind, reading in lists.items():
            self._absorb_listed(reading.items, positions, snapshot)
            if not reading.complete:
                continue
            self._absent_at[kind] = snapshot.started_at
            listed = {order.key for order in reading.items}
            for key, record in list(self.orders.items()):
                if key[1] is kind and key not in listed and record.present:
                    self.orders[key] = record._replace(
                        present=False, gone=record.cancelled_at is None, seen_at=snapshot.started_at
                    )
        self.last_known = _with_last_known(snapshot, self.last_known or snapshot)
        missing = snapshot.lists_missing
        self.never_read = missing if self.never_read is None else self.never_read & missing
        # Lengthen the row of readings that showed nothing, or begin it anew. What was known before
        # the run is no reading of it.
        if verdict.is_quiet and not snapshot.age_s and self._is_after_writes(snapshot):
            look = Look(snapshot.started_at, snapshot.positions.sources, frozenset())
            seen_flat = self.streak.seen_flat or verdict.is_flat
            self.streak = Streak(looks=(*self.streak.looks, look), seen_flat=seen_flat)
        else:
            self.streak = NO_STREAK
        return verdict

    def note_look(self, positions: Reading[Position], began_at: float) -> None:
        """Keep what a reading of the positions showed, for what has to be settled."""
        for position in positions.items:
            if (record := self.legs.get(position.leg)) is not None:
                self.legs[position.leg] = ledger.shown_open(record, position, at=began_at)
        if positions.complete:
            self.looks.append(
                Look(began_at, positions.sources, frozenset(p.leg for p in positions.items))
            )

    def _absorb_positions(self, snapshot: Snapshot) -> None:
        """Take in what is listed; what is not is flat only where the list is complete."""
        started_at = snapshot.started_at
        listed = {p.leg: p for p in snapshot.positions.items if self.policy.covers(p.symbol)}
        for leg, position in listed.items():
            if leg not in self.legs:
                self.legs[leg] = ledger.first_seen(position, started_at)
                if self._is_new(position.update_time_ms, None):
                    self._entered(position, snapshot)
        for leg, before in list(self.legs.items()):
            if leg not in listed and not snapshot.positions.complete:
                continue
            after = self.legs[leg] = ledger.after_reading(
                before, listed.get(leg), started_at=started_at, now=self.gateway.now
            )
            current = after.current
            if current is not None and after.reopened > before.reopened:
                if self._is_new(current.update_time_ms, None, after_ms=after.filled_ms):
                    self._entered(current, snapshot)
            elif current is None and before.current is not None:
                self.gateway.note(events.position_closed(after))
        if snapshot.positions.complete:
            self._absent_at[None] = started_at
        self.note_look(snapshot.positions, started_at)

    def note_stamp(self, stamp_ms: int, sent_at: float) -> None:
        """Learn from the venue's stamp of a fill what its clock said when this run began.

        The fill was after its order was sent, and before now.
        """
        if stamp_ms:
            least_ms = stamp_ms - (self.gateway.now - self.began_at) * 1000
            most_ms = stamp_ms - (sent_at - self.began_at) * 1000
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
        return self._absent_at.get(kind, float("-inf")) - self.began_at >= pacing.LAG_GRACE_S

    def _entered(self, position: Position, snapshot: Snapshot) -> None:
        self.entered[position.symbol] = snapshot.finished_at
        strange = (
            order.client_order_id
            for order in snapshot.orders
            if order.symbol == position.symbol and self._is_strange(order)
        )
        self.gateway.note(events.reentry_seen(position, strange))

    def _is_strange(self, order: OpenOrder) -> bool:
        return order.key not in self.orders and self._is_new(order.created_ms, order.kind)

    def _absorb_listed(
        self, orders: Iterable[OpenOrder], positions: dict[Leg, Position], snapshot: Snapshot
    ) -> None:
        at = snapshot.started_at
        for order in orders:
            if not self.policy.covers(order.symbol):
                continue
            if order.client_order_id.startswith(self._own_prefix):
                continue
            key = order.key
            known = self.orders.get(key)
            if known is None:
                if self._is_strange(order):
                    if len(self.strangers) < pacing.STRANGERS_MAX:
                        self.strangers[order.client_order_id or order.order_id] = None
                    if reduces_only(order):
                        # A new stop is set for a new position, shown or not.
                        self.entered[order.symbol] = snapshot.finished_at
                known = ledger.OrderRecord(
                    order=order, seen_at=at, first_at=at, listed_at=snapshot.finished_at
                )
            self.orders[key] = known._replace(
                # One odd row does not make an order unreadable that was read before.
                order=order if order.side or not known.order.side else known.order,
                present=True,
                gone=False,
                seen_at=at,
                shown_at=at,
                protective=known.protective or is_protective(order, positions),
                oversized=known.oversized or is_oversized(order, positions),
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

    def wrote(self, *, is_sweep: bool = False) -> None:
        """Note that a write was answered or cut off now."""
        if is_sweep:
            self.last_sweep_at = self.gateway.now
        else:
            self.last_write_at = self.gateway.now
        self.gateway.account.answered_at = self.gateway.now


def _with_last_known(now: Snapshot, before: Snapshot) -> Snapshot:
    """Return the reading, its failed sources standing as they were last read: unread, not empty."""

    def known(source: Reading[T], last: Reading[T]) -> Reading[T]:
        is_known = source.complete or not last.items
        return source if is_known else replace(source, items=last.items)

    return replace(
        now,
        positions=known(now.positions, before.positions),
        regular_orders=known(now.regular_orders, before.regular_orders),
        algo_orders=known(now.algo_orders, before.algo_orders),
    )
