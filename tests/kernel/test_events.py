"""Every event's maker and its readers agree on keys: what is made is told in words."""

from decimal import Decimal

import pytest

from liqctl.desk.trail import phrase
from liqctl.kernel import events
from liqctl.kernel.answers import Adaptation, AnswerKind, VenueAnswer
from liqctl.kernel.ledger import first_seen
from liqctl.kernel.proof import Look, Streak
from liqctl.kernel.requests import Endpoint
from liqctl.kernel.retry import Decision, Reaction
from liqctl.kernel.states import LiquidationState, OrderState, PositionState, TripCause
from liqctl.kernel.values import (
    CloseOrder,
    Leg,
    OpenOrder,
    OrderAnswer,
    OrderKind,
    OrderStatus,
    OrderType,
    Position,
    PositionSide,
    Reading,
    Side,
    Snapshot,
)
from liqctl.trail.file import TrailRecord, clean
from liqctl.trail.fold import TimedRecord
from tests.desk.builders import make_order, make_position, make_result

LEG = Leg(symbol="BTCUSDT", position_side=PositionSide.BOTH)
HELD = Position(leg=LEG, quantity=Decimal("-0.5"), notional=Decimal(25000))
ORDER = CloseOrder(
    leg=LEG,
    side=Side.BUY,
    quantity=Decimal("0.5"),
    client_order_id="liq-a-1",
    type=OrderType.LIMIT,
    price=Decimal(49000),
)
ANSWER = OrderAnswer(
    client_order_id="liq-a-1",
    order_id="7",
    status=OrderStatus.FILLED,
    quantity=Decimal("0.5"),
    executed=Decimal("0.5"),
    average_price=Decimal("48999.5"),
)
REFUSAL = VenueAnswer(kind=AnswerKind.REJECTED, code=-4131, status=400, message="no counterparty")
RESTING = OpenOrder(
    symbol="BTCUSDT", position_side=PositionSide.BOTH, kind=OrderKind.REGULAR, order_id="9"
)
SENT = events.cancel_sent("BTCUSDT", Endpoint.CANCEL_ORDERS.value, [RESTING], is_sweep=True)
CONFIG = {
    "timeout_seconds": 5.0,
    "max_retries": 3,
    "symbols": (),
    "close_positions": True,
    "cancel_orders": True,
}
SNAPSHOT = Snapshot(
    positions=Reading(items=(HELD,)),
    regular_orders=Reading(items=(RESTING,)),
    algo_orders=Reading(complete=False, error=REFUSAL),
    started_at=1.0,
    finished_at=1.25,
)
STREAK = Streak(
    looks=tuple(Look(at, frozenset({"account"}), frozenset()) for at in (0.0, 1.0, 2.0, 2.05))
)
UNREAD = "conditional orders not read, in 250 ms; unread: conditional orders"
MADE = (
    (
        events.run_started({"pid": 1}, {}, reason="why", config=CONFIG, lock=None),
        "the whole account, within 5 s, retries 3",
    ),
    (events.run_blocked({}, "process 3"), "nothing was sent: process 3 has the account"),
    (events.run_skipped({}, "disarmed"), "nothing was sent: disarmed"),
    (
        events.run_ended(
            make_result(
                LiquidationState.COMPLETED,
                positions=(make_position(),),
                orders=(make_order(OrderState.CANCELLED),),
            )
        ),
        "1 of 1 position closed, 1 of 1 order cancelled, exit 0",
    ),
    (
        events.run_abandoned(
            closed_by="liq_2",
            pid=7,
            host="h",
            user="u",
            started_at="then",
            last_event="ORDER_SENT",
            unanswered=1,
            orders=[("BTCUSDT", "liq-a-1", "FILLED, 0.5 executed")],
        ),
        "process 7 is gone; 1 order unanswered; BTCUSDT liq-a-1: FILLED, 0.5 executed",
    ),
    (
        events.reading_taken(1, SNAPSHOT),
        f"1 position of 25,000.00, 1 order, {UNREAD}: {REFUSAL.describe()}",
    ),
    (
        events.look_taken(2, SNAPSHOT.positions),
        "a look: 1 position of 25,000.00",
    ),
    (
        events.flat_seen(3, settle_seconds=2.0, watch_seconds=2.0),
        "nothing is listed; watched for 2.0 s at most",
    ),
    (
        events.reentry_seen(HELD, ["bot_1"]),
        "opened by others during the run: -0.5 on BOTH; orders bot_1",
    ),
    (
        events.flat_verified(STREAK, kept=0),
        "flat, by 4 readings of account over 2.050 s",
    ),
    (SENT, "1 order: 9"),
    (events.cancel_answered(SENT), "1 order: 9, after 10 ms"),
    (events.cancel_refused(SENT, "not sent"), "not sent, after 10 ms"),
    (
        events.order_sent(ORDER, attempt=2, mark=Decimal(50000)),
        "BUY 0.5 LIMIT at 49000, reduce only, attempt 2",
    ),
    (events.order_placed(ORDER, ANSWER), "FILLED, 0.5 of 0.5 at 48999.5, after 10 ms"),
    (events.order_refused(ORDER, REFUSAL), "no counterparty (code -4131), after 10 ms"),
    (events.order_unknown(ORDER, REFUSAL), "no counterparty (code -4131), after 10 ms"),
    (
        events.retry_scheduled(
            LEG,
            Decision(reaction=Reaction.PLAN_AGAIN, adaptation=Adaptation.SPLIT, backoff_s=0.5),
            repeat=1,
            reason="too large",
        ),
        "again in smaller parts in 500 ms: too large",
    ),
    (
        events.position_closed(first_seen(HELD, 0.0)._replace(attempts=1)),
        "0.5, 1 order sent",
    ),
    (
        events.position_left(make_position(state=PositionState.UNKNOWN, remaining=Decimal("0.5"))),
        "0.5 of 0.500 left, 1 order sent: no reason",
    ),
    (
        events.armed(
            {"pid": 1},
            {},
            config=CONFIG,
            guards=["max_loss 500"],
            heartbeat="/run/bot/alive",
            countdown_seconds=120.0,
            hold_seconds=60.0,
            observe=True,
            rearmed=True,
            notes=["the kept state is of another account"],
        ),
        (
            "max_loss 500, heartbeat /run/bot/alive; held flat for 60 s after a trip; only "
            "observed, nothing would be closed; armed again after a trip; the kept state is of "
            "another account"
        ),
    ),
    (
        events.arm_degraded(["the stream is silent"], is_blind=False),
        "degraded: the stream is silent",
    ),
    (events.arm_degraded(["nothing was read"], is_blind=True), "blind: nothing was read"),
    (events.arm_restored(degraded_seconds=12.3456), "everything is there again, after 12.346 s"),
    (
        events.arm_tripped(
            TripCause.GUARD,
            reason="guard max_loss 500 tripped",
            figures={"rule": "max_loss", "value": Decimal("612.30")},
            run="liq_2",
            observe=False,
        ),
        "guard max_loss 500 tripped; run liq_2",
    ),
    (
        events.disarmed("SIGTERM", tripped=True, armed_seconds=3.5, countdowns_left=["BTCUSDT"]),
        "SIGTERM, armed for 3.5 s, after a trip; the venue's countdown may run out on BTCUSDT",
    ),
)


@pytest.mark.parametrize(
    ("event", "told"), MADE, ids=[f"{at} {event.event_type}" for at, (event, _) in enumerate(MADE)]
)
def test_what_is_made_is_told_in_words(event: events.AuditEvent, told: str) -> None:
    """A key that only one side knows would be told as raw details, or not at all."""
    details = clean(event.details)
    assert isinstance(details, dict)
    record = TrailRecord(
        timestamp="2026-01-02T10:30:00.000000Z",
        event_type=event.event_type,
        correlation_id="liq_1",
        environment="testnet",
        account=None,
        seq=1,
        prev_hash=None,
        torn_hash=None,
        details=details,
    )

    assert phrase(TimedRecord(record=record, at_s=0.0, took_s=0.01)) == told


def test_every_event_has_a_maker() -> None:
    """And none is made whose name is not in the list that users grep."""
    made = {event.event_type for event, _ in MADE}
    ends = (LiquidationState.PARTIAL, LiquidationState.FAILED)

    made |= {events.run_ended(make_result(state)).event_type for state in ends}
    assert made == set(events.AuditEventType)
