"""The audit trail's events: their names and meanings, and one maker for the details of each.

Users grep for the names and for the keys of the details: change them only by adding.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import as_json
from liqctl.kernel.states import Explained, Margin, Product, TripCause
from liqctl.kernel.values import exposure_of

if TYPE_CHECKING:
    from liqctl.kernel.answers import VenueAnswer
    from liqctl.kernel.ledger import LegRecord
    from liqctl.kernel.machine import EventSink
    from liqctl.kernel.proof import Streak
    from liqctl.kernel.requests import EndpointSpec
    from liqctl.kernel.result import LiquidationResult, PositionReport
    from liqctl.kernel.retry import Decision
    from liqctl.kernel.values import (
        CloseOrder,
        Leg,
        OpenOrder,
        OrderAnswer,
        Position,
        Reading,
        Snapshot,
    )

TRAIL_NAME: Final = "audit.jsonl"
"""The file of the trail, in the log directory."""

_LISTED_MAX: Final = 50
"""Positions that a reading's event names, the largest; the others are counted."""

_IDS_MAX: Final = 200
"""Orders that a cancel's event names: with more the record would not fit its 8 kB."""


class AuditEventType(Explained):
    """What one line of the audit trail records."""

    LIQUIDATION_START = (
        "LIQUIDATION_START",
        "a run began; records who started it, why, and its settings",
    )
    SNAPSHOT_TAKEN = "SNAPSHOT_TAKEN", "the account was read; null is what could not be read"
    ORDER_CANCEL_SENT = "ORDER_CANCEL_SENT", "a cancel is about to be sent"
    ORDER_CANCELLED = "ORDER_CANCELLED", "the venue confirmed a cancel"
    ORDER_CANCEL_REJECTED = (
        "ORDER_CANCEL_REJECTED",
        "the venue refused a cancel or did not answer it",
    )
    ORDER_SENT = "ORDER_SENT", "a closing order is about to be sent"
    ORDER_PLACED = "ORDER_PLACED", "the venue took a closing order; records status and quantity"
    ORDER_REJECTED = "ORDER_REJECTED", "the venue refused a closing order"
    ORDER_UNKNOWN = (
        "ORDER_UNKNOWN",
        (
            "a closing order was not answered, so it may have been executed; liqctl looks it up "
            "before it sends anything else for that position"
        ),
    )
    POSITION_CLOSED = "POSITION_CLOSED", "a position is proven closed"
    POSITION_FAILED = "POSITION_FAILED", "a position was given up or was still open at the end"
    RETRY_SCHEDULED = (
        "RETRY_SCHEDULED",
        "an order or cancel will be sent again; records when and why",
    )
    FLAT_SEEN = "FLAT_SEEN", "nothing is listed any more; the watch for settle_seconds begins"
    REENTRY_SEEN = (
        "REENTRY_SEEN",
        "somebody else opened a position or order during the run; liqctl closes it too",
    )
    VERIFIED = "VERIFIED", "the last reading was judged: flat or not, and by which sources"
    LIQUIDATION_COMPLETE = "LIQUIDATION_COMPLETE", "the run ended COMPLETED"
    LIQUIDATION_PARTIAL = "LIQUIDATION_PARTIAL", "the run ended PARTIAL"
    LIQUIDATION_FAILED = "LIQUIDATION_FAILED", "the run ended FAILED"
    LIQUIDATION_BLOCKED = (
        "LIQUIDATION_BLOCKED",
        "no run began: another liquidation of this account was in progress",
    )
    LIQUIDATION_SKIPPED = "LIQUIDATION_SKIPPED", "no run began: emergency_liquidation is false"
    LIQUIDATION_ABANDONED = (
        "LIQUIDATION_ABANDONED",
        "a run's process died before its end; the next run of the account recorded this",
    )
    ARMED = "ARMED", "`arm` watches the account; records what would trip it, and the settings"
    ARM_DEGRADED = (
        "ARM_DEGRADED",
        "something that `arm` needs is missing, such as the stream or a reading; it watches on",
    )
    ARM_RESTORED = "ARM_RESTORED", "`arm` has everything again that it needs"
    ARM_TRIPPED = (
        "ARM_TRIPPED",
        "`arm` liquidates the account; records by what, with the figures that did it",
    )
    DISARMED = "DISARMED", "`arm` ended and watches the account no longer; records why"


END_BY_STATE: Final = {
    "COMPLETED": AuditEventType.LIQUIDATION_COMPLETE,
    "PARTIAL": AuditEventType.LIQUIDATION_PARTIAL,
    "FAILED": AuditEventType.LIQUIDATION_FAILED,
    "ABANDONED": AuditEventType.LIQUIDATION_ABANDONED,
}
"""How runs end, and the event that says so; a run that died is called ABANDONED by the next one."""

RUN_ENDS = frozenset(END_BY_STATE.values())
"""Exactly one of these follows each LIQUIDATION_START of a run."""

FAILURES = frozenset(
    {
        *RUN_ENDS - {AuditEventType.LIQUIDATION_COMPLETE},
        AuditEventType.ORDER_REJECTED,
        AuditEventType.ORDER_UNKNOWN,
        AuditEventType.ORDER_CANCEL_REJECTED,
        AuditEventType.POSITION_FAILED,
    }
)
"""What `audit tail --failed` shows."""

COUNTS: Final = (
    *("positions_found", "positions_closed", "positions_failed"),
    *("orders_found", "orders_cancelled", "orders_failed"),
)
"""What results and end records count, in this order."""

_END_DETAILS: Final = (
    *("state", "verified_flat", "deadline_exceeded", "settled_seconds", "unread", "error_message"),
    *COUNTS,
    *("duration_seconds", "requests", "retries", "time_spent_s", "notes"),
)
"""What the end record takes from the result, in this order."""

_WIDE: Final[Mapping[str, object]] = {
    "products": tuple(Product),
    "margin": Margin.STANDARD,
    "left_over": None,
    "witness": None,
}
"""What the end record takes only where it is something else: most runs need not say it."""

CORRELATION_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What an id may be that somebody chooses; several runs may be given the same one."""

_GENERATED = re.compile(r"liq_(\d{8}_\d{6})_[0-9a-f]{6}")

INTERRUPTED: Final = "interrupted before it was done"
"""What the end record's `error_message` holds when a signal stopped the run."""


def make_correlation_id(now: datetime, suffix: str) -> str:
    """Return `liq_YYYYMMDD_HHMMSS_` (UTC) and six lower-case hex digits given as `suffix`.

    >>> make_correlation_id(datetime(2026, 1, 2, 10, 30, tzinfo=UTC), "abc123")
    'liq_20260102_103000_abc123'
    """
    return f"liq_{now.astimezone(UTC):%Y%m%d_%H%M%S}_{suffix}"


def time_of_correlation_id(correlation_id: str) -> float | None:
    """Return when an id was generated, in epoch seconds; None for one that somebody chose.

    >>> time_of_correlation_id("liq_20260102_103000_abc123")
    1767349800.0
    """
    match = _GENERATED.fullmatch(correlation_id)
    if match is None:
        return None
    try:
        # `strptime` would import a module for it, before the first orders of a trip.
        return datetime.fromisoformat(f"{match[1]}+00:00").timestamp()
    except ValueError:
        return None


def is_correlation_id(text: str) -> bool:
    """Return whether the text is 1 to 64 letters, digits, `_` or `-`."""
    return CORRELATION_ID_PATTERN.fullmatch(text) is not None


def is_run_start(details: Mapping[str, object]) -> bool:
    """Return whether a LIQUIDATION_START with these details began a run.

    One logged by hand through `AuditLogger` names neither the process nor its time limit.
    """
    return "pid" in details and "timeout_seconds" in details


class AuditEvent(NamedTuple):
    """One event about to be recorded. The keys of its details are the trail's: add, never rename.

    Every event is made by one of the functions below, and read by the same keys in `trail.fold`,
    `desk.trail` and `desk.live`. Quantities and prices are plain decimal strings.
    """

    event_type: AuditEventType
    details: Mapping[str, object]

    def log_to(self, sink: "EventSink", correlation_id: str) -> None:
        """Have the sink take it as one of this run's."""
        sink.log_event(
            event_type=self.event_type, correlation_id=correlation_id, details=self.details
        )


def _event(
    event_type: AuditEventType, *parts: Mapping[str, object], **details: object
) -> AuditEvent:
    """Return the event with the details of all parts, decimals written out."""
    # Not `as_json`, which takes ten times as long: a thousand positions make thousands of events.
    told = {
        name: plain(value) if isinstance(value, Decimal) else value
        for part in (*parts, details)
        for name, value in part.items()
    }
    return AuditEvent(event_type, told)


def run_started(
    actor: Mapping[str, object],
    identity: Mapping[str, object],
    *,
    reason: str,
    config: Mapping[str, Any],
    lock: str | None,
) -> AuditEvent:
    """Return LIQUIDATION_START: who and what; `lock` is what there is to say of it."""
    return _event(
        AuditEventType.LIQUIDATION_START,
        actor,
        identity,
        reason=reason,
        timeout_seconds=config["timeout_seconds"],
        config=config,
        lock=lock,
    )


def run_blocked(actor: Mapping[str, object], holder: str) -> AuditEvent:
    """Return LIQUIDATION_BLOCKED: another run has the account."""
    return _event(AuditEventType.LIQUIDATION_BLOCKED, actor, holder=holder)


def run_skipped(actor: Mapping[str, object], reason: str) -> AuditEvent:
    """Return LIQUIDATION_SKIPPED: nothing was sent."""
    return _event(AuditEventType.LIQUIDATION_SKIPPED, actor, reason=reason)


def run_ended(result: "LiquidationResult") -> AuditEvent:
    """Return the event that ends a run, with the counts that status and reports tell."""
    details = {
        name: as_json(getattr(result, name), digits=6 if name == "duration_seconds" else 4)
        for name in (
            *_END_DETAILS,
            # A run that read nothing has no products to tell.
            *(name for name, usual in _WIDE.items() if getattr(result, name) not in (usual, ())),
        )
    }
    return _event(END_BY_STATE[result.state], details, exit_code=int(result.exit_code()))


def run_abandoned(
    *,
    closed_by: str,
    pid: int,
    host: str,
    user: str,
    started_at: str,
    last_event: str,
    unanswered: int,
    orders: Iterable[tuple[str, str, str]],
) -> AuditEvent:
    """Return LIQUIDATION_ABANDONED: a run that died, with symbol, id and fate of its orders."""
    names = ("symbol", "client_order_id", "fate")
    return _event(
        AuditEventType.LIQUIDATION_ABANDONED,
        closed_by=closed_by,
        pid=pid,
        host=host,
        user=user,
        started_at=started_at,
        last_event=last_event,
        unanswered=unanswered,
        orders=[dict(zip(names, order, strict=True)) for order in orders],
    )


def reading_taken(round_no: int, snapshot: "Snapshot") -> AuditEvent:
    """Return SNAPSHOT_TAKEN of a reading; a count is None where the source failed."""
    worst = sorted(snapshot.positions.items, key=lambda p: -p.notional)[:_LISTED_MAX]
    listed = [f"{p.symbol} {p.leg.position_side.value} {plain(p.quantity)}" for p in worst]
    return _event(
        AuditEventType.SNAPSHOT_TAKEN,
        {
            "round": round_no,
            **({"only": "positions"} if snapshot.is_brief else {}),
            **({"mirror_age_s": round(snapshot.age_s, 3)} if snapshot.age_s else {}),
            "positions": _count(snapshot.positions),
            "regular_orders": _count(snapshot.regular_orders),
            "algo_orders": _count(snapshot.algo_orders),
            "notional": _notional(snapshot.positions),
            "reading_s": round(snapshot.finished_at - snapshot.started_at, 4),
        },
        {"unread": snapshot.unread} if snapshot.unread else {},
        {"open": listed, "notionals": [plain(p.notional) for p in worst]} if worst else {},
    )


def look_taken(round_no: int, positions: "Reading[Position]") -> AuditEvent:
    """Return SNAPSHOT_TAKEN of a look at nothing but the positions."""
    return _event(
        AuditEventType.SNAPSHOT_TAKEN,
        {
            "round": round_no,
            "only": "positions",
            "positions": _count(positions),
            "notional": _notional(positions),
        },
        {"unread": {"positions": positions.error.describe()}} if positions.error else {},
    )


def flat_seen(round_no: int, *, settle_seconds: float, watch_seconds: float) -> AuditEvent:
    """Return FLAT_SEEN: nothing is listed, and how long that will be watched."""
    return _event(
        AuditEventType.FLAT_SEEN,
        round=round_no,
        settle_seconds=settle_seconds,
        watch_seconds=round(watch_seconds, 3),
    )


def reentry_seen(position: "Position", client_order_ids: Iterable[str]) -> AuditEvent:
    """Return REENTRY_SEEN: others opened something during the run, with the orders beside it."""
    return _event(
        AuditEventType.REENTRY_SEEN,
        _leg(position.leg),
        quantity=position.quantity,
        client_order_ids=sorted(client_order_ids),
    )


def flat_verified(streak: "Streak", *, kept: int) -> AuditEvent:
    """Return VERIFIED: flat is proven, by how many readings of which sources."""
    return _event(
        AuditEventType.VERIFIED,
        flat=True,
        readings_in_a_row=len(streak.looks),
        kept=kept,
        settled_seconds=round(streak.watched_s, 3),
        sources=sorted(streak.looks[-1].sources),
    )


def cancel_sent(
    symbol: str, spec: "EndpointSpec", orders: "Sequence[OpenOrder]", *, is_sweep: bool
) -> AuditEvent:
    """Return ORDER_CANCEL_SENT; its answer has the same details and more."""
    return _event(
        AuditEventType.ORDER_CANCEL_SENT,
        {
            "symbol": symbol,
            "endpoint": f"{spec.method} {spec.path}",
            "order_ids": [order.order_id for order in orders[:_IDS_MAX]],
        },
        {"sweep": True} if is_sweep else {},
    )


def cancel_answered(sent: AuditEvent) -> AuditEvent:
    """Return ORDER_CANCELLED: the venue took the cancel."""
    return AuditEvent(AuditEventType.ORDER_CANCELLED, sent.details)


def cancel_refused(sent: AuditEvent, why: "VenueAnswer | str") -> AuditEvent:
    """Return ORDER_CANCEL_REJECTED: refused, not answered, or not sent at all (a text)."""
    return _event(AuditEventType.ORDER_CANCEL_REJECTED, sent.details, _why(why))


def order_sent(order: "CloseOrder", *, attempt: int, mark: Decimal | None) -> AuditEvent:
    """Return ORDER_SENT of an order about to leave; `mark` is what fills are held to."""
    return _event(
        AuditEventType.ORDER_SENT,
        _leg(order.leg),
        {
            "side": order.side.value,
            "type": order.type.value,
            "quantity": order.quantity,
            "reduce_only": order.reduce_only,
            "client_order_id": order.client_order_id,
            "attempt": attempt,
        },
        {"price": order.price} if order.type.value == "LIMIT" and order.price is not None else {},
        {} if mark is None else {"mark_price": mark},
    )


def order_placed(order: "CloseOrder", answer: "OrderAnswer") -> AuditEvent:
    """Return ORDER_PLACED: what the venue says of an order it took."""
    return _event(
        AuditEventType.ORDER_PLACED,
        _order(order),
        order_id=answer.order_id,
        status=answer.status.value,
        quantity=order.quantity,
        executed=answer.executed,
        price=answer.average_price,
    )


def order_refused(order: "CloseOrder", why: "VenueAnswer | str") -> AuditEvent:
    """Return ORDER_REJECTED: refused, or not sent at all (a text)."""
    return _event(AuditEventType.ORDER_REJECTED, _order(order), _why(why))


def order_unknown(order: "CloseOrder", answer: "VenueAnswer") -> AuditEvent:
    """Return ORDER_UNKNOWN: nobody knows whether it arrived."""
    return _event(AuditEventType.ORDER_UNKNOWN, _order(order), _why(answer))


def retry_scheduled(leg: "Leg", decision: "Decision", *, repeat: int, reason: str) -> AuditEvent:
    """Return RETRY_SCHEDULED: how a leg is tried again, when and why."""
    return _event(
        AuditEventType.RETRY_SCHEDULED,
        _leg(leg),
        reaction=decision.reaction.value,
        adaptation=decision.adaptation.value if decision.adaptation else None,
        backoff_s=round(decision.backoff_s, 3),
        repeat=repeat,
        reason=reason,
    )


def position_closed(record: "LegRecord") -> AuditEvent:
    """Return POSITION_CLOSED: a reading shows the leg flat; `quantity` is what was found."""
    return _event(
        AuditEventType.POSITION_CLOSED,
        _leg(record.leg),
        quantity=record.first.size,
        executed=record.executed,
        attempts=record.attempts,
    )


def position_failed(leg: "Leg", *, attempts: int, answer: "VenueAnswer | None") -> AuditEvent:
    """Return POSITION_FAILED of a leg that is given up."""
    refusal = {} if answer is None else _why(answer)
    return _event(AuditEventType.POSITION_FAILED, _leg(leg), {"attempts": attempts}, refusal)


def position_left(position: "PositionReport") -> AuditEvent:
    """Return POSITION_FAILED of a position that is or may be open when the run ends."""
    return AuditEvent(AuditEventType.POSITION_FAILED, as_json(position))


def armed(  # noqa: PLR0913 - each is a key of the record
    actor: Mapping[str, object],
    identity: Mapping[str, object],
    *,
    config: Mapping[str, Any],
    guards: Iterable[object],
    heartbeat: str | None,
    countdown_seconds: float | None,
    hold_seconds: float,
    observe: bool,
    rearmed: bool,
    notes: Iterable[str] = (),
) -> AuditEvent:
    """Return ARMED: who arms what, and what would trip it.

    `config` are the settings of the run that a trip starts, `heartbeat` is the file that is watched
    and `countdown_seconds` the venue's own countdown, None for none. With `observe` a trip would
    only be recorded; `rearmed` says that an earlier trip's latch was lifted. `notes` are what is
    unusual, such as a state of the guards that begins anew.
    """
    return _event(
        AuditEventType.ARMED,
        actor,
        identity,
        config=config,
        guards=[str(guard) for guard in guards],
        heartbeat=heartbeat,
        countdown_seconds=countdown_seconds,
        hold_seconds=hold_seconds,
        observe=observe,
        rearmed=rearmed,
        notes=[*notes],
    )


def arm_degraded(causes: Iterable[str], *, is_blind: bool) -> AuditEvent:
    """Return ARM_DEGRADED: what is missing; blind is without any reading of the account."""
    return _event(AuditEventType.ARM_DEGRADED, causes=[*causes], blind=is_blind)


def arm_restored(*, degraded_seconds: float) -> AuditEvent:
    """Return ARM_RESTORED: nothing is missing any more."""
    return _event(AuditEventType.ARM_RESTORED, degraded_seconds=round(degraded_seconds, 3))


def arm_tripped(
    by: TripCause,
    *,
    reason: str,
    figures: Mapping[str, object],
    run: str | None,
    observe: bool,
) -> AuditEvent:
    """Return ARM_TRIPPED: by what, and the same in words, the reason of the liquidation.

    `figures` are of a guard `trip_details`; of a heartbeat the file, its age and limit; of a signal
    its name; of a handover the process and its correlation id. `run` is the liquidation's
    correlation id, None where it is only observed.
    """
    return _event(
        AuditEventType.ARM_TRIPPED,
        by=by.value,
        reason=reason,
        figures=as_json(figures),
        run=run,
        observe=observe,
    )


def disarmed(
    reason: str, *, tripped: bool, armed_seconds: float, countdowns_left: Iterable[str] = ()
) -> AuditEvent:
    """Return DISARMED: why, and on which symbols the venue's countdown may still run out."""
    return _event(
        AuditEventType.DISARMED,
        reason=reason,
        tripped=tripped,
        armed_seconds=round(armed_seconds, 3),
        countdowns_left=[*countdowns_left],
    )


def _leg(leg: "Leg") -> dict[str, object]:
    return {"symbol": leg.symbol, "position_side": leg.position_side.value}


def _order(order: "CloseOrder") -> dict[str, object]:
    return {**_leg(order.leg), "client_order_id": order.client_order_id}


def _why(why: "VenueAnswer | str") -> dict[str, object]:
    if isinstance(why, str):
        return {"message": why}
    return {
        "kind": why.kind.value,
        "code": why.code,
        "http_status": why.status,
        "message": why.message,
    }


def _count(reading: "Reading[Any]") -> int | None:
    return len(reading.items) if reading.complete else None


def _notional(positions: "Reading[Position]") -> Decimal | None:
    return exposure_of(positions.items) if positions.complete else None
