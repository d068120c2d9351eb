"""What follows an answer to an order or a cancel of ours: the only place that decides to repeat.

What was proven not executed (overload, a refused connection, a rate limit) is sent again until the
deadline. A repeat is counted when the venue refused the order for a reason of its own. What makes
the order a different one (split, other mode, price limit, cancelled obstacles) is an adaptation and
is free, so `max_retries: 0` still closes an oversized position. Most are made once for a leg;
halves are halved again as often as needed, and a thin book is met with limit and market orders in
turn until the deadline, because it is the market's state and passes.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from liqctl.kernel.answers import CODES, TIMESTAMP, Adaptation, AnswerKind, VenueAnswer
from liqctl.kernel.pacing import BACKOFF_FACTOR_MAX, SAFE_BACKOFF_MAX_S
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.values import OrderType


class Reaction(StrEnum):
    """What the run does with the leg next."""

    SEND_AGAIN = "SEND_AGAIN"
    LOOK_UP = "LOOK_UP"
    PLAN_AGAIN = "PLAN_AGAIN"
    GIVE_UP = "GIVE_UP"
    SYNC_CLOCK = "SYNC_CLOCK"
    PAUSE = "PAUSE"


class Decision(NamedTuple):
    """A reaction with its wait; `counts` says that it uses up one of the repeats."""

    reaction: Reaction
    backoff_s: float = 0.0
    counts: bool = False
    adaptation: Adaptation | None = None


_REPEATABLE: Final = frozenset({Adaptation.SPLIT, Adaptation.LIMIT_IOC})
"""Made as often as they are asked for: halves are other orders, and a book has to move."""

ROUND_CODES: Final = frozenset(
    code for code, row in CODES.items() if row.adaptation is Adaptation.ROUND
)

_TRIGGERING: Final = -4117
_OVERLOADED: Final = -1008
_BATCH_FAILED: Final = -2012
_DEFINITE: Final = frozenset({AnswerKind.DONE, AnswerKind.REJECTED, AnswerKind.LEG_FATAL})

_BY_KIND: Final = {
    AnswerKind.UNKNOWN: Reaction.LOOK_UP,
    AnswerKind.PAUSE: Reaction.PAUSE,
    AnswerKind.LEG_FATAL: Reaction.GIVE_UP,
    AnswerKind.DONE: Reaction.PLAN_AGAIN,
}
"""Kinds that leave nothing to weigh."""


def backoff_s(base_s: float, repeat_no: int, jitter: float) -> float:
    """Return `base x 2^(repeat - 1) x (1 + 0.2 jitter)`, the growth stopped at eightfold.

    Args:
        base_s: `retry_delay_seconds`.
        repeat_no: which repeat this precedes, from 1.
        jitter: a random number from -1 to 1.
    """
    factor = min(1 << max(repeat_no - 1, 0), BACKOFF_FACTOR_MAX)
    return base_s * factor * (1 + 0.2 * jitter)


def safe_backoff_s(answer: VenueAnswer, base_s: float, repeat_no: int, jitter: float) -> float:
    """Return how long to wait before what was proven not executed is sent again.

    As short late in a run as early in it, but for rate limits: asking on there is what gets an
    address banned, and the venue's own word on the wait counts.
    """
    wait_s = backoff_s(base_s, repeat_no, jitter)
    if not answer.is_rate_limit:
        wait_s = min(wait_s, max(base_s, SAFE_BACKOFF_MAX_S))
    return max(answer.retry_after_s or 0.0, wait_s)


def decide(
    answer: VenueAnswer,
    *,
    tries: int,
    repeats: int,
    adapted: frozenset[Adaptation],
    policy: LiquidationConfig,
    jitter: float,
) -> Decision:
    """Return what to do after a close was refused or not answered.

    Args:
        answer: what the venue said.
        tries: how often this order was sent, its predecessors and this time included.
        repeats: how many waves of this leg's orders were refused for a reason of the venue's own.
        adapted: the adaptations already made for this leg.
        policy: how many repeats are allowed, and how far apart.
        jitter: a random number from -1 to 1.
    """
    base_s = policy.retry_delay_seconds
    row = CODES.get(answer.code or 0)
    simple = _BY_KIND.get(answer.kind)
    if simple is not None:
        return Decision(reaction=simple)
    adaptation = next_adaptation(answer, adapted)
    if adaptation is Adaptation.LIMIT_IOC:
        return decide_expired(adapted=adapted, base_s=base_s, jitter=jitter)
    if adaptation is not None:
        return Decision(reaction=Reaction.PLAN_AGAIN, adaptation=adaptation)
    if answer.kind is not AnswerKind.REJECTED:
        # A refused key too: one that passed before, or nothing would be open to be closed.
        if answer.code == TIMESTAMP and tries == 1:
            return Decision(reaction=Reaction.SYNC_CLOCK)
        wait_s = safe_backoff_s(answer, base_s, tries, jitter)
        reaction = Reaction.SYNC_CLOCK if answer.code == TIMESTAMP else Reaction.SEND_AGAIN
        return Decision(reaction=reaction, backoff_s=wait_s)
    if row is not None and row.is_patient:
        wait_s = safe_backoff_s(answer, base_s, repeats + 1, jitter)
        return Decision(reaction=Reaction.PLAN_AGAIN, backoff_s=wait_s)
    if repeats >= policy.max_retries:
        return Decision(reaction=Reaction.GIVE_UP)
    wait_s = backoff_s(base_s, repeats + 1, jitter)
    return Decision(reaction=Reaction.PLAN_AGAIN, backoff_s=wait_s, counts=True)


def decide_cancel(
    answer: VenueAnswer, *, tries: int, repeats: int, policy: LiquidationConfig, jitter: float
) -> Decision:
    """Return what to do after a cancel was refused or not answered: as for a close, told by lists.

    `tries` and `repeats` are those of this order's cancels, as for a close.
    """
    if answer.kind in {AnswerKind.DONE, AnswerKind.UNKNOWN} or answer.code == _TRIGGERING:
        # Not open any more, it says, or nothing: the list decides, and lists can be late.
        return Decision(reaction=Reaction.LOOK_UP)
    return decide(
        answer,
        tries=tries,
        repeats=repeats,
        adapted=frozenset(Adaptation),
        policy=policy,
        jitter=jitter,
    )


def is_final_refusal(answer: VenueAnswer) -> bool:
    """Whether the venue has understood a book's cancel and refused it: again is of no use."""
    return answer.kind in _DEFINITE or answer.code == _BATCH_FAILED


def is_safe_if_unknown(answer: VenueAnswer) -> bool:
    """Whether "no such order" is enough to send again, once: documented as not executed."""
    return answer.kind is AnswerKind.UNKNOWN and answer.code == _OVERLOADED


def next_adaptation(answer: VenueAnswer, adapted: frozenset[Adaptation]) -> Adaptation | None:
    """Return how the next order has to differ after a refusal, None when nothing new is left.

    A price is taken from the bound that the refusal names, once; then it is MARKET's turn.
    """
    row = CODES.get(answer.code or 0)
    adaptation = row.adaptation if row is not None else None
    if adaptation is Adaptation.REPRICE:
        is_named = answer.price_bound is not None and adaptation not in adapted
        return adaptation if is_named else Adaptation.LIMIT_IOC
    return adaptation if adaptation in _REPEATABLE or adaptation not in adapted else None


def adapted_by(
    adapted: frozenset[Adaptation], adaptation: Adaptation | None, refused: OrderType
) -> frozenset[Adaptation]:
    """Return a leg's adaptations after one more; `refused` is the kind of order that did not do."""
    if adaptation is None:
        return adapted
    if adaptation is Adaptation.LIMIT_IOC and refused is OrderType.LIMIT:
        return adapted - {Adaptation.LIMIT_IOC, Adaptation.REPRICE} | {Adaptation.AGAIN}
    return adapted | {adaptation}


def decide_expired(*, adapted: frozenset[Adaptation], base_s: float, jitter: float) -> Decision:
    """Return what to do after the book was too thin: for a market order, or for all of an order.

    Limit and market order take turns, both at once first, then `base_s` apart. No repeat is used
    up: the book is what has to change, and it may do so at any moment.
    """
    wait_s = backoff_s(base_s, 1, jitter) if Adaptation.AGAIN in adapted else 0.0
    return Decision(reaction=Reaction.PLAN_AGAIN, backoff_s=wait_s, adaptation=Adaptation.LIMIT_IOC)
