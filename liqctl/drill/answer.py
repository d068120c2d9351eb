"""Would the deadline have been enough? One sentence, with the numbers that it rests on."""

from collections.abc import Sequence
from typing import Final

from liqctl.drill.catalogue import DEADLINE_MAX_S, Course, Score
from liqctl.kernel.policy import LiquidationConfig

_NAMED_MAX: Final = 3


def sort_scores(scores: Sequence[Score]) -> list[Score]:
    """Return the scores worst first: broken rules, other failures, then the least time left."""
    return sorted(
        scores,
        key=lambda score: (
            not score.broken,
            score.passed,
            -(score.needs_s or DEADLINE_MAX_S) if not score.passed else 0.0,
            not score.completed,
            score.exercise.policy.timeout_seconds - score.seconds[1],
            score.name,
        ),
    )


def answer(course: Course, scores: Sequence[Score], policy: LiquidationConfig) -> str:
    """Return the sentence; every number in it stands in the scores."""
    question = f"Would {policy.timeout_seconds:g} s have been enough?"
    if not policy.emergency_liquidation:
        return (
            f"{question} No: the switch is disarmed (emergency_liquidation: false); a real run "
            "would have read, cancelled and closed nothing."
        )
    missing = len(course.chosen) - len(scores)
    failed = [score for score in scores if not score.passed]
    if failed:
        failures = _failures(failed, len(scores), policy)
        return f"{question} No: {failures} {_slowest(scores, policy)}"
    if missing:
        return f"{question} Not known: stopped after {len(scores)} of {len(course.chosen)}."
    if not scores:
        return f"{question} Not known: no scenario was run."
    others = sum(not score.completed for score in scores)
    if others == len(scores):
        return f"{question} Not known: none of {others} was to end COMPLETED."
    rest = f" {_others(others)}" if others else ""
    return f"{question} Yes: {_slowest(scores, policy)}{rest}"


def slowest_of(scores: Sequence[Score], policy: LiquidationConfig) -> Score | None:
    """Return the slowest that ended COMPLETED within the deadline that the question is about.

    A few scenarios bring a deadline of their own (a venue that is overloaded for six seconds).
    Their times say nothing about the operator's deadline.
    """
    return max(
        (
            score
            for score in scores
            if score.completed and score.exercise.policy.timeout_seconds == policy.timeout_seconds
        ),
        key=lambda score: score.seconds[1],
        default=None,
    )


def _slowest(scores: Sequence[Score], policy: LiquidationConfig) -> str:
    """Return how long the slowest scenario took that ended well, and what was left of the time."""
    completed = [score for score in scores if score.completed]
    slowest = slowest_of(scores, policy)
    own = sum(
        score.exercise.policy.timeout_seconds != policy.timeout_seconds for score in completed
    )
    apart = f", {own} of them by a deadline of their own" if own else ""
    if not completed:
        return "None ended COMPLETED."
    whole = policy.close_positions and policy.cancel_orders
    ended = (
        f"{len(completed)} of {len(scores)} ended {'proven flat' if whole else 'COMPLETED'}{apart}"
    )
    if slowest is None:
        return f"{ended}."
    seconds = round(slowest.seconds[1], 3)  # As the document has it: two roundings must agree.
    settled_s = min(score.settled_s for score in completed)
    # Said only where the deadline made it shorter than the settings want.
    watched = (
        f" It left {settled_s:.2f} s at least to watch flat."
        if settled_s < policy.settle_seconds
        else ""
    )
    return (
        f"{ended}; the slowest ({slowest.name}) after {seconds:.2f} s, "
        f"{policy.timeout_seconds - seconds:.2f} s before the deadline.{watched}"
    )


def _others(number: int) -> str:
    return (
        f"The other {number} ended as their promises say."
        if number > 1
        else "The other one ended as its promise says."
    )


def _failures(failed: Sequence[Score], total: int, policy: LiquidationConfig) -> str:
    parts = [f"{len(failed)} of {total} ended worse than they should;"]
    broken = [score for score in failed if score.broken]
    if broken:
        parts.append(f"{_named(broken)} broke a rule that no run may break: do not rely on liqctl;")
    late = [score for score in failed if score.needs_s is not None]
    if late:
        most = max(late, key=lambda score: score.needs_s or 0.0)
        which = "all" if len(late) == len(failed) else str(len(late))
        parts.append(f"{which} for want of time: the most, {most.needs_s:g} s, needs {most.name};")
    here = [score for score in failed if score.only_here]
    if here:
        parts.append(f"{_named(here)} on this machine only, not in virtual time;")
    lost = [s for s in failed if not s.broken and not s.only_here and s.needs_s is None]
    if lost and policy.timeout_seconds < DEADLINE_MAX_S:
        parts.append(f"{_named(lost)} with every deadline up to {DEADLINE_MAX_S:g} s;")
    return " ".join(parts).removesuffix(";") + "."


def _named(scores: Sequence[Score]) -> str:
    names = ", ".join(score.name for score in scores[:_NAMED_MAX])
    more = len(scores) - _NAMED_MAX
    return f"{len(scores)} ({names}{f' and {more} more' if more > 0 else ''})"
