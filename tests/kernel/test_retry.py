"""What follows a refusal."""

import pytest

from liqctl.kernel.answers import CODES, Adaptation, AnswerKind, VenueAnswer, classify, not_sent
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.retry import (
    Decision,
    Reaction,
    adapted_by,
    backoff_s,
    decide,
    decide_expired,
    next_adaptation,
)
from liqctl.kernel.values import OrderType


def refusal(code: int, status: int = 400) -> VenueAnswer:
    """Return the venue's answer with a code, classified as in life."""
    return VenueAnswer(kind=classify(status, code, ""), message="refused", status=status, code=code)


def react(
    answer: VenueAnswer,
    *,
    tries: int = 1,
    repeats: int = 0,
    adapted: frozenset[Adaptation] = frozenset(Adaptation),
) -> Decision:
    """Return the decision with three repeats allowed and no jitter."""
    return decide(
        answer,
        tries=tries,
        repeats=repeats,
        adapted=adapted,
        policy=LiquidationConfig(max_retries=3, retry_delay_seconds=0.5),
        jitter=0.0,
    )


@pytest.mark.parametrize(
    ("repeat_no", "expected"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (9, 4.0)]
)
def test_backoff_doubles_up_to_eightfold(repeat_no: int, expected: float) -> None:
    """0.5 s x 1, 2, 4, 8, and 8 again."""
    assert backoff_s(0.5, repeat_no, 0.0) == expected


def test_jitter_is_a_fifth_either_way() -> None:
    """Programs that failed together must not come back together."""
    assert backoff_s(1.0, 1, 1.0) == 1.2
    assert backoff_s(1.0, 1, -1.0) == 0.8


ONCE = sorted(
    code
    for code, row in CODES.items()
    if row.adaptation in {Adaptation.CANCEL_FIRST, Adaptation.ROUND, Adaptation.MODE}
)


@pytest.mark.parametrize("code", ONCE)
def test_the_first_adaptation_is_free_and_is_made_once(code: int) -> None:
    """A changed order is another order; the same one again is a repeat."""
    expected = CODES[code].adaptation
    assert expected is not None

    assert react(refusal(code), repeats=3, adapted=frozenset()) == Decision(
        reaction=Reaction.PLAN_AGAIN, adaptation=expected
    )
    assert react(refusal(code), repeats=2, adapted=frozenset({expected})).adaptation is None


def test_an_oversize_order_is_halved_as_often_as_it_takes() -> None:
    """300 at a maximum of 40 takes three halvings; none waits or uses up a repeat."""
    adapted = frozenset({Adaptation.SPLIT})

    assert react(refusal(-4005), repeats=99, adapted=adapted) == Decision(
        reaction=Reaction.PLAN_AGAIN, adaptation=Adaptation.SPLIT
    )


@pytest.mark.parametrize("code", [-4131, -2020, -5041, -1112, -4139])
def test_a_thin_book_is_met_with_limit_and_market_in_turn_until_the_deadline(code: int) -> None:
    """It refills at a moment nobody knows; MARKET was once never tried again."""
    adapted: frozenset[Adaptation] = frozenset()
    next_is_limit, waits = [], []
    for _ in range(5):
        decision = react(refusal(code), repeats=99, adapted=adapted)
        last = OrderType.LIMIT if Adaptation.LIMIT_IOC in adapted else OrderType.MARKET
        adapted = adapted_by(adapted, decision.adaptation, last)
        next_is_limit.append(Adaptation.LIMIT_IOC in adapted)
        waits.append(decision.backoff_s)
        assert decision.reaction is Reaction.PLAN_AGAIN
        assert not decision.counts

    assert next_is_limit == [True, False, True, False, True]
    assert waits == [0.0, 0.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("code", [-4016, -4024])
def test_a_price_outside_the_band_is_taken_from_the_bound_named_once(code: int) -> None:
    """The bound is newer than any mark price of ours; refused again, it is MARKET's turn."""
    named = VenueAnswer(
        kind=AnswerKind.REJECTED, message="Limit price can't be lower than 95.", code=code
    )
    limit = frozenset({Adaptation.LIMIT_IOC})
    repriced = limit | {Adaptation.REPRICE}

    assert next_adaptation(named, limit) is Adaptation.REPRICE
    assert next_adaptation(refusal(code), limit) is Adaptation.LIMIT_IOC
    assert next_adaptation(named, repriced) is Adaptation.LIMIT_IOC
    assert adapted_by(repriced, Adaptation.LIMIT_IOC, OrderType.LIMIT) == {Adaptation.AGAIN}


def test_a_refused_order_is_given_up_when_its_repeats_are_used_up() -> None:
    """max_retries bounds the repeats of one refused order."""
    assert react(refusal(-2019), repeats=2).counts
    assert react(refusal(-2019), repeats=3).reaction is Reaction.GIVE_UP


@pytest.mark.parametrize("code", [-2022, -4118])
def test_a_refusal_that_cannot_harm_is_tried_until_the_deadline(code: int) -> None:
    """Reduce-only orders were refused for 106 minutes on 2025-10-11: asking again costs nothing."""
    decision = react(refusal(code), repeats=99)

    assert decision == Decision(reaction=Reaction.PLAN_AGAIN, backoff_s=1.0)


def test_what_was_not_executed_is_sent_again_as_soon_late_in_a_run_as_early_in_it() -> None:
    """A longer deadline must not close later."""
    waits = [react(not_sent("no connection"), tries=tries).backoff_s for tries in (1, 2, 3, 9)]

    assert waits == [0.5, 1.0, 1.0, 1.0]


PASSING = (-1016, -1109, -1122, -1135, -2023, -4087, -4088, -4140, -4192, -4402, -4403)


@pytest.mark.parametrize("code", PASSING)
def test_a_condition_that_passes_by_itself_is_tried_until_the_deadline(code: int) -> None:
    """A halted symbol may resume a second later; giving up early helps nobody."""
    decision = react(refusal(code), repeats=99, adapted=frozenset())

    assert decision.reaction is Reaction.SEND_AGAIN
    assert not decision.counts


def test_what_never_left_is_sent_again_without_counting() -> None:
    """No connection is no refusal."""
    decision = react(not_sent("no connection"), repeats=99, adapted=frozenset())

    assert decision.reaction is Reaction.SEND_AGAIN


def test_an_order_limit_waits_as_long_as_the_venue_says() -> None:
    """Hammering a 429 earns a ban."""
    answer = VenueAnswer(
        kind=AnswerKind.TRANSIENT, message="too many", status=429, code=-1015, retry_after_s=2.0
    )

    assert react(answer, adapted=frozenset()).backoff_s == 2.0


@pytest.mark.parametrize(
    ("code", "status", "reaction"),
    [
        (-1007, 408, Reaction.LOOK_UP),
        (-1000, 503, Reaction.LOOK_UP),
        (-1008, 503, Reaction.LOOK_UP),
        (-4116, 400, Reaction.LOOK_UP),
        (-99999, 503, Reaction.LOOK_UP),
        (-99999, 400, Reaction.PLAN_AGAIN),
        (-1003, 418, Reaction.PAUSE),
        (-2015, 401, Reaction.SEND_AGAIN),
        (-4141, 400, Reaction.GIVE_UP),
        (-2008, 401, Reaction.SEND_AGAIN),
        (-1021, 400, Reaction.SYNC_CLOCK),
    ],
)
def test_each_kind_of_answer_has_its_reaction(code: int, status: int, reaction: Reaction) -> None:
    """Unknown is looked up, never repeated blindly; one symbol's refusal stops that symbol."""
    assert react(refusal(code, status), adapted=frozenset()).reaction is reaction


def test_what_an_expired_order_left_goes_to_the_other_kind_of_order() -> None:
    """The first two turns wait for nothing, the others for the base delay."""
    first = decide_expired(adapted=frozenset(), base_s=0.5, jitter=0.0)
    later = decide_expired(adapted=frozenset({Adaptation.AGAIN}), base_s=0.5, jitter=0.0)

    assert first == Decision(reaction=Reaction.PLAN_AGAIN, adaptation=Adaptation.LIMIT_IOC)
    assert later == Decision(
        reaction=Reaction.PLAN_AGAIN, adaptation=Adaptation.LIMIT_IOC, backoff_s=0.5
    )
