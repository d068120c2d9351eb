"""How answers and readings change what is known of a leg."""

from decimal import Decimal

from liqctl.kernel.answers import no_answer
from liqctl.kernel.ledger import (
    LegRecord,
    after_answer,
    after_reading,
    after_refusal,
    after_sent,
    first_seen,
)
from liqctl.kernel.pacing import LAG_GRACE_S
from liqctl.kernel.values import CloseOrder, OrderAnswer, OrderStatus, Side
from tests.kernel.builders import leg, position

ORDER = CloseOrder(
    leg=leg(), side=Side.SELL, quantity=Decimal(1), client_order_id="liq-1", reduce_only=True
)


def answer(executed: str, status: OrderStatus = OrderStatus.FILLED) -> OrderAnswer:
    """Return the venue's word on ORDER."""
    return OrderAnswer(
        client_order_id="liq-1",
        order_id="77",
        status=status,
        quantity=Decimal(1),
        executed=Decimal(executed),
        update_time_ms=5000,
    )


def sent() -> LegRecord:
    """Return the record of a long of 1 whose close has just been sent."""
    return after_sent(first_seen(position("1", update_time_ms=1000), 10.0), (ORDER,))


def filled(executed: str = "1", status: OrderStatus = OrderStatus.FILLED) -> LegRecord:
    """Return the record after the answer came at 10.1 and the leg's work ended."""
    return after_answer(sent(), answer(executed, status), 10.1)._replace(in_flight=False)


def test_a_reading_that_began_before_the_answer_changes_nothing() -> None:
    """It may show the account as it was before the order."""
    record = filled()

    assert after_reading(record, None, started_at=10.05, now=10.2) == record


def test_a_flat_reading_after_the_fill_closes_the_leg() -> None:
    """The proof that a close worked."""
    record = after_reading(filled(), None, started_at=10.2, now=10.3)

    assert record.current is None
    assert not record.doubtful


def test_a_reading_that_still_shows_a_filled_position_is_not_believed_at_first() -> None:
    """Position reads lag fills by up to 2 s; a second order would be one too many."""
    record = after_reading(filled(), position("1", update_time_ms=1000), started_at=10.2, now=10.3)

    assert record.doubtful
    assert record.expected == 0


def test_after_the_grace_the_reading_is_believed() -> None:
    """What is still there then is really there."""
    now = 10.1 + LAG_GRACE_S
    record = after_reading(filled(), position("1", update_time_ms=1000), started_at=now, now=now)

    assert not record.doubtful
    assert record.current == position("1", update_time_ms=1000)


def test_a_row_stamped_after_the_fill_is_new_exposure_at_once() -> None:
    """A bot that re-opens is chased without waiting for the grace to end."""
    record = after_reading(filled(), position("1", update_time_ms=5001), started_at=10.2, now=10.3)

    assert not record.doubtful
    assert record.reopened == 1


def test_the_rest_of_a_partial_fill_is_believed_at_once() -> None:
    """The reading agrees with what was executed, so the rest can be closed now."""
    record = after_reading(
        filled("0.4", OrderStatus.EXPIRED),
        position("0.6", update_time_ms=1000),
        started_at=10.2,
        now=10.3,
    )

    assert not record.doubtful
    assert record.reopened == 0
    assert record.current is not None
    assert record.current.quantity == Decimal("0.6")


def test_an_unanswered_order_holds_the_leg_until_a_reading_settles_it() -> None:
    """Nothing is sent twice for quantity that may be closed already."""
    lost = after_refusal(sent(), "liq-1", no_answer("lost"), 10.1)._replace(in_flight=False)

    unchanged = after_reading(lost, position("1"), started_at=10.2, now=10.3)
    assert unchanged.unresolved == ("liq-1",)
    assert unchanged.doubtful

    gone = after_reading(lost, None, started_at=10.2, now=10.3)
    assert gone.current is None
    assert gone.vanished, "nobody said yet that it was us"

    told = after_answer(gone, answer("1"), 10.4)
    assert told.unresolved == ()
    assert told.closed_at == 10.4
    assert not told.vanished


def test_an_order_the_venue_does_not_know_and_that_changed_nothing_was_not_executed() -> None:
    """Looked up by id, then by position: only then is the leg planned again."""
    lost = after_refusal(sent(), "liq-1", no_answer("lost"), 10.1)._replace(
        in_flight=False,
        lookup_failed=True,
    )

    record = after_reading(lost, position("1"), started_at=11.2, now=11.3)
    assert record.unresolved == ()
    assert not record.doubtful


def test_new_exposure_starts_the_count_of_repeats_anew() -> None:
    """max_retries is for one refused order, not for a bot's next position."""
    tired = first_seen(position("1"), 10.0)._replace(repeats=3, given_up=True)

    grown = after_reading(tired, position("2"), started_at=11.0, now=11.1)
    assert grown.repeats == 0
    assert not grown.given_up

    same = after_reading(tired, position("1"), started_at=11.0, now=11.1)
    assert same.given_up
