"""What follows an answer to one of our orders: the only place that decides to repeat.

A repeat is counted when the same order is sent again after a refusal. What makes the order a
different one (split, other mode, price limit, cancelled obstacles) is an adaptation: the first of
its kind for a leg is free, so `max_retries: 0` still closes an oversized position.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from liqctl.domain.answers import AnswerKind, VenueAnswer


class Adaptation(StrEnum):
    """How the next order for a leg differs from the refused one."""

    CANCEL_FIRST = "CANCEL_FIRST"
    SPLIT = "SPLIT"
    ROUND = "ROUND"
    MODE = "MODE"
    AGAIN = "AGAIN"
    LIMIT_IOC = "LIMIT_IOC"


class Reaction(StrEnum):
    """What the engine does with the leg next."""

    SEND_AGAIN = "SEND_AGAIN"
    LOOK_UP = "LOOK_UP"
    PLAN_AGAIN = "PLAN_AGAIN"
    GIVE_UP = "GIVE_UP"
    SYNC_CLOCK = "SYNC_CLOCK"
    PAUSE = "PAUSE"
    STOP_RUN = "STOP_RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A reaction with its wait; `counts` says that it uses up one of the leg's repeats."""

    reaction: Reaction
    backoff_s: float = 0.0
    counts: bool = False
    adaptation: Adaptation | None = None


ADAPTATIONS: Final[dict[int, tuple[Adaptation, ...]]] = {
    -2022: (Adaptation.CANCEL_FIRST,),
    -2024: (Adaptation.CANCEL_FIRST,),
    -4118: (Adaptation.CANCEL_FIRST,),
    -2019: (Adaptation.CANCEL_FIRST,),
    -2025: (Adaptation.CANCEL_FIRST,),
    -4005: (Adaptation.SPLIT,),
    -1013: (Adaptation.ROUND,),
    -1111: (Adaptation.ROUND,),
    -4003: (Adaptation.ROUND,),
    -4004: (Adaptation.ROUND,),
    -4023: (Adaptation.ROUND,),
    -1106: (Adaptation.MODE,),
    -4060: (Adaptation.MODE,),
    -4061: (Adaptation.MODE,),
    -4062: (Adaptation.MODE,),
    -4131: (Adaptation.AGAIN, Adaptation.LIMIT_IOC),
    -2020: (Adaptation.AGAIN, Adaptation.LIMIT_IOC),
    -5041: (Adaptation.AGAIN, Adaptation.LIMIT_IOC),
    -1112: (Adaptation.AGAIN, Adaptation.LIMIT_IOC),
}
"""The changes tried for a code, in order, before the leg's repeats are used up."""

_PATIENT: Final = frozenset({-1016, -1109, -1122, -2023, -4140, -4531})
"""Conditions of the symbol or the venue that pass by themselves: tried until the deadline."""

_TIMESTAMP: Final = -1021
_TOO_MANY_ORDERS: Final = -1015
_BACKOFF_FACTOR_MAX: Final = 8

_BY_KIND: Final = {
    AnswerKind.UNKNOWN: Reaction.LOOK_UP,
    AnswerKind.PAUSE: Reaction.PAUSE,
    AnswerKind.RUN_FATAL: Reaction.STOP_RUN,
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
    factor = min(1 << max(repeat_no - 1, 0), _BACKOFF_FACTOR_MAX)
    return base_s * factor * (1 + 0.2 * jitter)


def decide(
    answer: VenueAnswer,
    *,
    repeats: int,
    repeats_max: int,
    adapted: frozenset[Adaptation],
    base_s: float,
    jitter: float,
) -> Decision:
    """Return what to do after a close was refused or not answered.

    Args:
        answer: what the venue said.
        repeats: how often this leg's order was repeated already.
        repeats_max: `max_retries`.
        adapted: the adaptations already made for this leg.
        base_s: base of the backoff.
        jitter: a random number from -1 to 1.
    """
    simple = _BY_KIND.get(answer.kind)
    if simple is not None:
        return Decision(reaction=simple)
    for adaptation in ADAPTATIONS.get(answer.code or 0, ()):
        if adaptation not in adapted:
            return Decision(reaction=Reaction.PLAN_AGAIN, adaptation=adaptation)
    wait_s = backoff_s(base_s, repeats + 1, jitter)
    is_transient = answer.kind is AnswerKind.TRANSIENT
    if is_transient and _is_patient(answer):
        wait_s = max(answer.retry_after_s or 0.0, wait_s)
        return Decision(reaction=Reaction.SEND_AGAIN, backoff_s=wait_s)
    if repeats >= repeats_max:
        return Decision(reaction=Reaction.GIVE_UP)
    if answer.code == _TIMESTAMP:
        return Decision(reaction=Reaction.SYNC_CLOCK, counts=True)
    again = Reaction.SEND_AGAIN if is_transient else Reaction.PLAN_AGAIN
    return Decision(reaction=again, backoff_s=wait_s, counts=True)


def decide_expired(
    *,
    executed: bool,
    repeats: int,
    repeats_max: int,
    adapted: frozenset[Adaptation],
    base_s: float,
    jitter: float,
) -> Decision:
    """Return what to do after an order ended short of its quantity in a thin book.

    The rest goes to market once more, then to the edge of the allowed price band. An order that
    executed something has made progress and uses up no repeat.
    """
    for adaptation in (Adaptation.AGAIN, Adaptation.LIMIT_IOC):
        if adaptation not in adapted:
            return Decision(reaction=Reaction.PLAN_AGAIN, adaptation=adaptation)
    wait_s = backoff_s(base_s, repeats + 1, jitter)
    if executed:
        return Decision(reaction=Reaction.PLAN_AGAIN, backoff_s=min(wait_s, base_s))
    if repeats >= repeats_max:
        return Decision(reaction=Reaction.GIVE_UP)
    return Decision(reaction=Reaction.PLAN_AGAIN, backoff_s=wait_s, counts=True)


def _is_patient(answer: VenueAnswer) -> bool:
    """Whether repeats are bounded by the deadline alone: never sent, throttled, or passing."""
    if answer.is_rate_limit:
        return answer.code == _TOO_MANY_ORDERS or answer.retry_after_s is not None
    return answer.status is None or answer.code in _PATIENT
