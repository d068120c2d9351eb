"""The request budget: limits are kept, and closes never wait for reads."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqctl.kernel.answers import refused
from liqctl.kernel.limits import (
    WEIGHT_KEPT_FREE,
    Address,
    Limits,
    Priority,
    RequestBudget,
    Usage,
    priority_of,
)
from liqctl.kernel.pacing import PROBE_WAIT_S, PROBES_MAX, REFUSED_WAIT_S
from liqctl.kernel.requests import Endpoint, Request

READ_ALL: Request[Any] = Request(endpoint=Endpoint.OPEN_ORDERS)
CANCEL: Request[Any] = Request(endpoint=Endpoint.CANCEL_ORDERS, symbol="BTCUSDT")
CLOSE: Request[Any] = Request(endpoint=Endpoint.SUBMIT_ORDER, symbol="BTCUSDT")
POSITIONS: Request[Any] = Request(endpoint=Endpoint.POSITIONS)


def heard(budget: RequestBudget, now: float, *, weight: int = -1, burst: int = -1) -> None:
    """Tell the budget what the venue's headers said."""
    budget.note_usage(Usage(weight_1m=weight, orders_10s=burst), now)


def refuse(
    budget: RequestBudget, now: float, code: int, text: str, *, retry_after: int | None = None
) -> None:
    """Tell the budget of a refusal."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = json.dumps({"code": code, "msg": f"Too many; {text}"})
    budget.note_refusal(refused(429, headers, body), now)


def send_while_free(budget: RequestBudget, now: float, *, orders: int) -> int:
    """Send orders at one moment until one would have to wait; return how many left."""
    for number in range(orders):
        if budget.delay_s(CLOSE, now) > 0:
            return number
        budget.note_sent(CLOSE, now)
    return orders


def test_nothing_waits_while_nothing_is_used() -> None:
    """The first request of an emergency leaves at once."""
    budget = RequestBudget()

    waits = [budget.delay_s(spec, 5.0) for spec in (READ_ALL, CANCEL, CLOSE)]

    assert waits == [0.0, 0.0, 0.0]


def test_priorities_follow_the_method() -> None:
    """Orders close, DELETE cancels, GET reads."""
    assert [priority_of(each.endpoint.value) for each in (CLOSE, CANCEL, READ_ALL)] == [
        Priority.CLOSE,
        Priority.CANCEL,
        Priority.READ,
    ]


def test_reads_that_can_wait_keep_to_our_number_and_cancels_do_not() -> None:
    """Beyond our number cancels go one by one, when no close was sent for more than a second."""
    budget = RequestBudget()

    heard(budget, 0.0, weight=2400 - WEIGHT_KEPT_FREE[Priority.READ])
    assert budget.delay_s(POSITIONS, 1.0) > 5
    assert budget.delay_s(CANCEL, 1.0) == 0
    heard(budget, 1.0, weight=2400)
    budget.note_sent(CLOSE, 1.5)
    assert budget.delay_s(CANCEL, 2.5) == pytest.approx(0.25)
    assert budget.delay_s(CANCEL, 2.75) == 0
    budget.note_sent(CANCEL, 2.75)
    assert budget.delay_s(CANCEL, 2.75) > 0
    heard(budget, 3.0, weight=2401)
    assert budget.delay_s(CANCEL, 3.0) == 0
    assert budget.delay_s(POSITIONS, 3.0) == 0


def test_a_limit_that_a_refusal_named_leaves_room_for_what_comes_first() -> None:
    """Once it is certain, a cancel leaves a reading's weight, and a reading that of cancels."""
    budget = RequestBudget()
    refuse(budget, 0.0, -1003, "current limit is 2400 request weight per 1 MINUTE.", retry_after=1)

    heard(budget, 2.0, weight=2400 - WEIGHT_KEPT_FREE[Priority.CANCEL])
    assert budget.delay_s(CANCEL, 3.0) > 0
    assert budget.delay_s(POSITIONS, 3.0, priority=Priority.CLOSE) == 0


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


def test_beyond_our_number_a_few_orders_leave_after_an_answer() -> None:
    """300 in 10 seconds is an ordinary account's limit; this one may be another."""
    budget = RequestBudget()
    assert send_while_free(budget, 0.0, orders=1000) == 300

    heard(budget, 0.1, burst=300)
    assert send_while_free(budget, 0.1, orders=1000) == PROBES_MAX
    heard(budget, 0.2, burst=300 + PROBES_MAX)
    assert send_while_free(budget, 0.2, orders=1000) > 300


def test_a_count_above_our_number_proves_that_the_limit_is_higher() -> None:
    """Accounts of higher tiers may send 5,000 to 15,000 a minute: 1,600 leave within a second."""
    budget = RequestBudget()
    sent = 0
    for tenth in range(9):
        sent += send_while_free(budget, tenth / 9, orders=1600 - sent)
        budget.note_usage(Usage(orders_10s=sent, orders_1m=sent), tenth / 9 + 0.05)

    assert sent == 1600


def test_a_venue_that_answers_nothing_holds_back_nothing_for_long() -> None:
    """Silence is no refusal: beyond our number the orders still leave, a few at a time."""
    budget = RequestBudget()
    send_while_free(budget, 0.0, orders=1000)

    assert budget.delay_s(CLOSE, 0.1) > 0
    for number in range(1, 9):
        assert send_while_free(budget, number * PROBE_WAIT_S, orders=1000) == PROBES_MAX


def test_headers_that_never_say_a_count_hold_back_nothing_for_long() -> None:
    """Test hosts answer -1: then every answer lets a few more pass."""
    budget = RequestBudget()
    send_while_free(budget, 0.0, orders=1000)

    for tenth in range(1, 9):
        heard(budget, tenth / 9)
        assert send_while_free(budget, tenth / 9, orders=1000) == PROBES_MAX


def test_the_headers_of_a_refusal_prove_nothing() -> None:
    """A refused request is counted too, and its count is read again with later answers."""
    budget = RequestBudget()
    refuse(budget, 0.0, -1015, "current limit is 300 orders per 10 SECOND.")
    heard(budget, 0.0, burst=305)
    heard(budget, 11.0, burst=305)

    assert send_while_free(budget, 30.0, orders=1000) == 300


def test_after_a_refusal_one_probe_at_a_time_asks_whether_it_is_over() -> None:
    """The venue's interval may end any moment, and a burst of refusals bans the address."""
    budget = RequestBudget()
    for moment, wait_s in ((1.0, 0.3), (1.4, 0.6), (2.1, 1.2)):
        refuse(budget, moment, -1015, "no limit named")
        refuse(budget, moment, -1015, "no limit named")
        assert budget.delay_s(CLOSE, moment) == pytest.approx(wait_s)
        assert send_while_free(budget, moment + wait_s, orders=1000) == 1

    heard(budget, 3.5, burst=17)
    assert send_while_free(budget, 3.6, orders=200) == 200


def test_other_programs_use_counts_until_the_venues_minute_ends() -> None:
    """With the venue's minute known, a full minute ends with it and not 60 seconds later."""
    known = RequestBudget(address=Address(minute_start=-50.0))
    unknown = RequestBudget()
    for budget in (known, unknown):
        heard(budget, 0.0, weight=2390)

    assert known.delay_s(READ_ALL, 4.0) == 6.0
    assert unknown.delay_s(READ_ALL, 4.0) == 56.0


def test_what_was_sent_after_the_headers_is_added_to_them() -> None:
    """Many requests leave before the first answer's headers come back."""
    budget = RequestBudget(Limits(weight_1m=200))
    heard(budget, 0.0, weight=70)
    assert budget.delay_s(POSITIONS, 0.4) == 0
    budget.note_sent(POSITIONS, 0.1)
    budget.note_sent(POSITIONS, 0.2)

    assert budget.delay_s(POSITIONS, 0.4) > 0


def test_headers_that_say_nothing_change_nothing() -> None:
    """Test hosts answer -1."""
    budget = RequestBudget()
    heard(budget, 0.0, weight=-1, burst=-1)

    assert budget.delay_s(READ_ALL, 0.0) == 0


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

    assert budget.delay_s(CLOSE, 1.0) == pytest.approx(REFUSED_WAIT_S)
    assert budget.delay_s(CANCEL, 1.0) == 0.0


@pytest.mark.parametrize(
    ("text", "interval_s", "room"),
    [
        ("current limit is 100 orders per 10 SECOND.", 10.0, 100),
        ("current limit is 400 orders per 10 SECOND.", 10.0, 400),
        ("current limit is 200 orders per 1 MINUTE.", 60.0, 200),
        ("current limit is 200 orders per MINUTE.", 60.0, 200),
    ],
)
def test_a_refusal_names_the_limit_and_the_interval(
    text: str, interval_s: float, room: int
) -> None:
    """It binds, higher or lower than what we knew: nothing is sent over it again."""
    budget = RequestBudget()
    refuse(budget, 1.0, -1015, text)
    at = 1.0 + interval_s

    assert send_while_free(budget, at, orders=1000) == room
    assert budget.delay_s(CLOSE, at) == interval_s


def test_other_refusals_hold_nothing() -> None:
    """Only "too many" says something about limits."""
    budget = RequestBudget()
    budget.note_refusal(refused(400, {}, '{"code":-2022,"msg":"ReduceOnly"}'), 1.0)

    assert budget.delay_s(CLOSE, 1.0) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from([READ_ALL, CANCEL, CLOSE, POSITIONS]),
            st.floats(min_value=0, max_value=20, allow_nan=False),
        ),
        max_size=60,
    )
)
def test_who_waits_as_told_never_exceeds_a_limit_in_any_interval(
    wishes: list[tuple[Request[Any], float]],
) -> None:
    """Rule: in every interval of 10 s or 60 s, starting anywhere, a limit that is certain holds."""
    limits = Limits(weight_1m=260, orders_10s=10, orders_1m=12)
    budget = RequestBudget(limits)
    for code, text in (
        (-1003, "current limit is 260 request weight per 1 MINUTE."),
        (-1015, "current limit is 10 orders per 10 SECOND."),
        (-1015, "current limit is 12 orders per 1 MINUTE."),
    ):
        refuse(budget, 0.0, code, text)
    now = 0.0
    sent: list[tuple[float, Request[Any]]] = []
    for wish, pause in wishes:
        now += pause
        now += budget.delay_s(wish, now)
        budget.note_sent(wish, now)
        sent.append((now, wish))

    for start, _ in sent:
        minute = [each for moment, each in sent if start <= moment < start + 59.999]
        burst = [each for moment, each in sent if start <= moment < start + 9.999]
        assert sum(each.weight for each in minute) <= limits.weight_1m
        assert sum(each is CLOSE for each in minute) <= limits.orders_1m
        assert sum(each is CLOSE for each in burst) <= limits.orders_10s


def test_an_answer_that_was_overtaken_does_not_make_room() -> None:
    """Three readings leave together; the last to arrive may bear the oldest count."""
    budget = RequestBudget()

    heard(budget, 0.0, weight=2290)
    heard(budget, 0.0, weight=2200)
    assert budget.delay_s(POSITIONS, 0.0) > 0

    heard(budget, 0.1, weight=5)
    assert budget.delay_s(POSITIONS, 0.1) == 0
