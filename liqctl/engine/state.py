"""What one run knows: its records of legs and orders, and the events their changes make."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, TypeVar

from liqctl.domain.account import Leg, OpenOrder, OrderKind, Position, Reading, Snapshot
from liqctl.domain.amounts import plain
from liqctl.domain.events import AuditEventType
from liqctl.domain.ids import CLIENT_ORDER_ID_PREFIX
from liqctl.engine.recorder import Recorder
from liqctl.planning.ledger import LegRecord, OrderRecord, after_reading, first_seen
from liqctl.planning.outcome import open_legs
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.protection import is_protective
from liqctl.planning.verify import Verdict, verify

T = TypeVar("T")
OrderKey = tuple[str, OrderKind, str]

STRANGERS_MAX: Final = 50
"""How many foreign client order ids are remembered for the report."""


class RunState:
    """The mutable memory of one run; every value in it is immutable and replaced whole."""

    def __init__(self, policy: LiquidationConfig, recorder: Recorder) -> None:
        """Start with nothing known."""
        self.legs: dict[Leg, LegRecord] = {}
        self.orders: dict[OrderKey, OrderRecord] = {}
        self.last_known: Snapshot | None = None
        self.readings = 0
        self.doubt = False
        self.retries = 0
        self.strangers: dict[str, None] = {}
        self.last_write_at = float("-inf")
        self._policy = policy
        self._recorder = recorder
        self._own_prefix = CLIENT_ORDER_ID_PREFIX + recorder.order_tag

    @property
    def has_read(self) -> bool:
        """Whether any source was ever read in full."""
        return self.readings > 0

    @property
    def others_trade(self) -> bool:
        """Whether exposure that was not there before appeared during the run."""
        return bool(self.strangers) or any(record.reopened for record in self.legs.values())

    @property
    def is_doubtful(self) -> bool:
        """Whether a leg's last reading contradicted a fill, or an order's fate is open."""
        return any(record.doubtful for record in self.legs.values())

    def absorb(self, snapshot: Snapshot) -> Verdict:
        """Take in a reading and return its verdict."""
        now = asyncio.get_running_loop().time()
        verdict = verify(snapshot, self._policy)
        if snapshot.positions.complete:
            self._absorb_positions(verdict_positions(snapshot, self._policy), snapshot, now)
        positions = open_legs(self.legs)
        for kind, reading in (
            (OrderKind.REGULAR, snapshot.regular_orders),
            (OrderKind.ALGO, snapshot.algo_orders),
        ):
            self._absorb_listed(reading.items, positions, snapshot.started_at)
            if reading.complete:
                self._absorb_absent(kind, {order.key for order in reading.items}, snapshot)
        if snapshot.is_any_read:
            self.readings += 1
        self.last_known = with_last_known(snapshot, self.last_known)
        if self.is_doubtful or not verdict.is_readable:
            self.doubt = True
        return verdict

    def _absorb_positions(
        self, positions: tuple[Position, ...], snapshot: Snapshot, now: float
    ) -> None:
        by_leg = {position.leg: position for position in positions}
        for leg, position in by_leg.items():
            if leg not in self.legs:
                self.legs[leg] = first_seen(position, snapshot.started_at)
        for leg, before in list(self.legs.items()):
            after = after_reading(before, by_leg.get(leg), started_at=snapshot.started_at, now=now)
            self.legs[leg] = after
            if before.current is not None and after.current is None:
                self._recorder.event(
                    AuditEventType.POSITION_CLOSED,
                    {
                        "symbol": leg.symbol,
                        "position_side": leg.position_side.value,
                        "quantity": plain(before.first.size),
                        "executed": plain(after.executed),
                        "attempts": after.attempts,
                    },
                )

    def _absorb_listed(
        self, orders: Iterable[OpenOrder], positions: dict[Leg, Position], started_at: float
    ) -> None:
        for order in orders:
            if not self._policy.covers(order.symbol):
                continue
            if order.client_order_id.startswith(self._own_prefix):
                continue
            protective = is_protective(order, positions)
            known = self.orders.get(order.key)
            if known is None:
                self.orders[order.key] = OrderRecord(
                    order=order, seen_at=started_at, protective=protective
                )
                if self.readings and len(self.strangers) < STRANGERS_MAX:
                    self.strangers[order.client_order_id or order.order_id] = None
            else:
                self.orders[order.key] = known._replace(
                    order=order,
                    present=True,
                    gone=False,
                    seen_at=started_at,
                    protective=known.protective or protective,
                )

    def _absorb_absent(self, kind: OrderKind, listed: set[OrderKey], snapshot: Snapshot) -> None:
        for key, record in list(self.orders.items()):
            if key[1] is kind and key not in listed and record.present:
                answered = record.cancelled_at is not None
                self.orders[key] = record._replace(
                    present=False, gone=not answered, seen_at=snapshot.started_at
                )

    def is_settled(self, snapshot: Snapshot) -> bool:
        """Whether no request is under way and the reading began after the last answer."""
        return snapshot.started_at >= self.last_write_at and not any(
            record.in_flight for record in self.legs.values()
        )

    def wrote(self) -> None:
        """Note that a write was answered or cut off now."""
        self.last_write_at = asyncio.get_running_loop().time()


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
