"""Watching an account must never use up what a liquidation or a bot needs."""

import doctest

import pytest

from liqctl.kernel import costs
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.costs import Pace, asked_to_wait_s, look_weight
from liqctl.kernel.pacing import WATCHED_WEIGHT_KEPT
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import Product

LOOK_WEIGHT = look_weight(LiquidationConfig(products=(Product.USDM,)))
MINUTE = 1_700_000_040.0
"""A moment at which a minute begins."""


def test_its_own_example_is_true() -> None:
    """The docstring is where the rule is read."""
    assert doctest.testmod(costs).failed == 0


@pytest.mark.parametrize("others", [0, 500, 900, 1500, 1900, 2100, 2400])
def test_a_minute_of_looks_leaves_the_kept_weight_free(others: int) -> None:
    """Whatever others use, all looks of a minute and they stay under the limit less the reserve."""
    watch = Pace(wished_s=5.0, weight=LOOK_WEIGHT)
    now, used, looks = MINUTE, others, 0
    while now < MINUTE + 60.0:
        used += LOOK_WEIGHT
        looks += 1
        watch.note(now=now, weight_1m=used)
        now += watch.wait_s(now=now)

    # The first look is taken before anything is known.
    assert used <= max(2400 - WATCHED_WEIGHT_KEPT, others) + LOOK_WEIGHT
    assert looks == (12 if others <= 900 else looks)
    assert watch.is_slowed == (looks < 12)


def test_a_new_minute_remembers_the_others_of_the_last() -> None:
    """At a minute's turn the count is near zero; that does not mean that the bots have stopped."""
    watch = Pace(wished_s=5.0, weight=LOOK_WEIGHT)
    watch.note(now=MINUTE + 50, weight_1m=1900 + LOOK_WEIGHT)
    watch.note(now=MINUTE + 61, weight_1m=LOOK_WEIGHT)

    assert watch.others == 1900
    watch.note(now=MINUTE + 200, weight_1m=LOOK_WEIGHT)
    assert watch.others == 0


def test_a_venue_that_says_nothing_of_its_weight_is_watched_as_wished() -> None:
    """A gateway may strip the headers."""
    watch = Pace(wished_s=5.0, weight=LOOK_WEIGHT)
    watch.note(now=MINUTE, weight_1m=-1)

    assert (watch.used, watch.wait_s(now=MINUTE)) == (-1, 5.0)


@pytest.mark.parametrize(
    ("changes", "wait_s"),
    [
        ({"kind": AnswerKind.PAUSE, "status": 418, "banned_until_ms": 100_000}, 41.0),
        ({"kind": AnswerKind.TRANSIENT, "status": 429, "retry_after_s": 7.0}, 7.0),
        ({"kind": AnswerKind.TRANSIENT, "status": 429}, 30.0),
        ({"kind": AnswerKind.PAUSE, "status": 403}, 30.0),
        ({"kind": AnswerKind.RUN_FATAL, "code": -2015}, 60.0),
        ({"kind": AnswerKind.UNKNOWN}, 0.0),
    ],
)
def test_a_refusal_is_waited_out(changes: dict[str, object], wait_s: float) -> None:
    """Asking on during a ban makes it longer."""
    answer = VenueAnswer(message="", **changes)  # type: ignore[arg-type]

    assert asked_to_wait_s(answer, now=60.0) == wait_s
    assert asked_to_wait_s(None, now=60.0) == 0.0
