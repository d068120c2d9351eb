"""The request budget: limits are kept, and closes never wait for reads."""

from hypothesis import given
from hypothesis import strategies as st

from liqctl.domain.answers import refused
from liqctl.domain.endpoints import Endpoint, EndpointSpec
from liqctl.planning.budget import (
    WEIGHT_KEPT_FREE,
    Limits,
    Priority,
    RequestBudget,
    priority_of,
)

READ_ALL = Endpoint.OPEN_ORDERS.value
CANCEL = Endpoint.CANCEL_ORDERS.value
CLOSE = Endpoint.SUBMIT_ORDER.value
BATCH = Endpoint.SUBMIT_ORDERS.value
POSITIONS = Endpoint.POSITIONS.value


def heard(budget: RequestBudget, now: float, *, weight: int = -1, burst: int = -1) -> None:
    """Tell the budget what the venue's headers said."""
    budget.note_usage(now, weight_1m=weight, orders_10s=burst, orders_1m=-1)


def test_nothing_waits_while_nothing_is_used() -> None:
    """The first request of an emergency leaves at once."""
    budget = RequestBudget()

    waits = [
        budget.delay_s(spec, 5.0, whole_account=True) for spec in (READ_ALL, CANCEL, CLOSE, BATCH)
    ]

    assert waits == [0.0, 0.0, 0.0, 0.0]


def test_priorities_follow_the_method() -> None:
    """Orders close, DELETE cancels, GET reads."""
    assert [priority_of(spec) for spec in (CLOSE, BATCH, CANCEL, READ_ALL)] == [
        Priority.CLOSE,
        Priority.CLOSE,
        Priority.CANCEL,
        Priority.READ,
    ]


def test_reads_stop_before_cancels_and_cancels_before_closes() -> None:
    """What is left of the weight is kept for what reduces risk."""
    budget = RequestBudget()

    heard(budget, 0.0, weight=2400 - WEIGHT_KEPT_FREE[Priority.READ])
    assert budget.delay_s(POSITIONS, 1.0) > 0
    assert budget.delay_s(CANCEL, 1.0) == 0
    heard(budget, 1.0, weight=2400 - WEIGHT_KEPT_FREE[Priority.CANCEL])
    assert budget.delay_s(CANCEL, 2.0) > 0
    assert budget.delay_s(BATCH, 2.0) == 0
    heard(budget, 2.0, weight=2400)
    assert budget.delay_s(BATCH, 3.0) > 0


def test_a_reading_that_everything_waits_for_may_use_what_is_kept_free() -> None:
    """The last reading decides what the result says."""
    budget = RequestBudget()
    heard(budget, 0.0, weight=2390)

    assert budget.delay_s(POSITIONS, 1.0) > 0
    assert budget.delay_s(POSITIONS, 1.0, priority=Priority.CLOSE) == 0


def test_a_single_order_costs_no_weight() -> None:
    """POST order weighs nothing, so even a used-up address can close."""
    budget = RequestBudget()
    heard(budget, 0.0, weight=2400)

    assert budget.delay_s(CLOSE, 0.0) == 0


def test_the_301st_order_waits_until_the_first_is_ten_seconds_old() -> None:
    """300 orders in 10 seconds is the account's limit."""
    budget = RequestBudget()
    for number in range(300):
        budget.note_sent(CLOSE, number / 100)

    assert budget.delay_s(CLOSE, 3.0) == 7.0
    assert budget.delay_s(CLOSE, 10.0) == 0.0


def test_a_batch_counts_five_in_ten_seconds_and_one_in_a_minute() -> None:
    """Batches relieve the minute limit, not the burst limit."""
    budget = RequestBudget(Limits(orders_10s=10, orders_1m=3))
    budget.note_sent(BATCH, 0.0)
    budget.note_sent(BATCH, 0.0)

    assert budget.delay_s(BATCH, 0.0) == 10.0
    budget.note_sent(BATCH, 10.0)
    assert budget.delay_s(BATCH, 20.0) == 40.0


def test_other_programs_use_counts_until_the_venues_minute_ends() -> None:
    """With the venue's minute known, a full minute ends with it and not 60 seconds later."""
    known = RequestBudget(minute_start=-50.0)
    unknown = RequestBudget()
    for budget in (known, unknown):
        heard(budget, 0.0, weight=2390)

    assert known.delay_s(READ_ALL, 4.0, whole_account=True) == 6.0
    assert unknown.delay_s(READ_ALL, 4.0, whole_account=True) == 56.0


def test_what_was_sent_after_the_headers_is_added_to_them() -> None:
    """Many requests leave before the first answer's headers come back."""
    budget = RequestBudget(Limits(orders_10s=10))
    heard(budget, 0.0, burst=7)
    for moment in (0.1, 0.2, 0.3):
        budget.note_sent(CLOSE, moment)

    assert budget.delay_s(CLOSE, 0.4) > 0


def test_headers_that_say_nothing_change_nothing() -> None:
    """Test hosts answer -1."""
    budget = RequestBudget()
    heard(budget, 0.0, weight=-1, burst=-1)

    assert budget.delay_s(READ_ALL, 0.0, whole_account=True) == 0


def test_a_429_holds_reads_for_the_time_it_names_but_not_single_closes() -> None:
    """Going on after a 429 is what bans an address."""
    budget = RequestBudget()
    body = '{"code":-1003,"msg":"Too many requests"}'
    budget.note_refusal(refused(429, {"Retry-After": "7"}, body), 1.0)

    assert budget.delay_s(POSITIONS, 1.0) == 7.0
    assert budget.delay_s(CLOSE, 1.0) == 0.0


def test_too_many_orders_hold_orders_but_not_cancels() -> None:
    """Cancels carry no order cost."""
    budget = RequestBudget()
    budget.note_refusal(refused(429, {}, '{"code":-1015,"msg":"Too many new orders"}'), 1.0)

    assert budget.delay_s(CLOSE, 1.0) == 10.0
    assert budget.delay_s(CANCEL, 1.0) == 0.0


def test_other_refusals_hold_nothing() -> None:
    """Only "too many" says something about limits."""
    budget = RequestBudget()
    budget.note_refusal(refused(400, {}, '{"code":-2022,"msg":"ReduceOnly"}'), 1.0)

    assert budget.delay_s(CLOSE, 1.0) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from([READ_ALL, CANCEL, CLOSE, BATCH, POSITIONS]),
            st.floats(min_value=0, max_value=20, allow_nan=False),
        ),
        max_size=60,
    )
)
def test_who_waits_as_told_never_exceeds_a_limit_in_any_interval(
    wishes: list[tuple[EndpointSpec, float]],
) -> None:
    """Rule: in every interval of 10 s or 60 s, starting anywhere, the limit holds."""
    limits = Limits(weight_1m=260, orders_10s=10, orders_1m=12)
    budget = RequestBudget(limits)
    now = 0.0
    sent: list[tuple[float, EndpointSpec]] = []
    for spec, pause in wishes:
        now += pause
        now += budget.delay_s(spec, now, whole_account=True)
        budget.note_sent(spec, now, whole_account=True)
        sent.append((now, spec))

    for start, _ in sent:
        minute = [spec for moment, spec in sent if start <= moment < start + 59.999]
        burst = [spec for moment, spec in sent if start <= moment < start + 9.999]
        assert sum(spec.weight_all for spec in minute) <= limits.weight_1m
        assert sum(1 for spec in minute if spec.orders) <= limits.orders_1m
        assert sum(spec.orders for spec in burst) <= limits.orders_10s


def test_an_answer_that_was_overtaken_does_not_make_room() -> None:
    """Three readings leave together; the last to arrive may bear the oldest count."""
    budget = RequestBudget()

    heard(budget, 0.0, weight=2390)
    heard(budget, 0.0, weight=2300)
    assert budget.delay_s(CANCEL, 0.0) > 0

    heard(budget, 0.1, weight=5)
    assert budget.delay_s(CANCEL, 0.1) == 0
