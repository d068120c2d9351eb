"""A whole drill: every scenario, as often as asked, and what deadline the failed ones would need.

Scenarios that should end better than they did are run again with longer deadlines, in virtual time,
until the shortest is found with which every seed ends as it should.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from liqctl.drill.armed import play
from liqctl.drill.runs import (
    Conditions,
    Exercise,
    Run,
    Stop,
    run_in_real_time,
    run_in_virtual_time,
)
from liqctl.kernel.policy import LIMITS
from liqctl.kernel.states import LiquidationState

VIRTUAL_TIME_ONLY: Final = frozenset({"weight_exhausted"})
"""Its end depends on when the venue's minute ends, which real time does not let anybody choose."""

DEADLINE_MAX_S: Final = LIMITS["timeout_seconds"].high
_STEP_S: Final = 0.1
"""How exactly the deadline that would have been enough is looked for."""


class Mode(StrEnum):
    """How time passes in a drill."""

    VIRTUAL = "virtual"
    REAL = "real"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How one scenario ended in all its runs.

    `needs_s` is the shortest deadline with which every run ends as it should; None where none is
    needed or none up to `DEADLINE_MAX_S` helps. `only_here` tells that the same run ends as it
    should in virtual time: it is this machine that was too slow.
    """

    exercise: Exercise
    runs: tuple[Run, ...]
    needs_s: float | None = None
    only_here: bool = False

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.exercise.scenario.name

    @property
    def worst(self) -> Run:
        """The run to show: one that broke a rule, else one that is wrong, else the slowest."""
        return max(
            self.runs,
            key=lambda run: (bool(run.broken), bool(run.wrong), run.result.flat_after_seconds),
        )

    @property
    def passed(self) -> bool:
        """Whether every run ended as it should."""
        return not any(run.wrong for run in self.runs)

    @property
    def broken(self) -> bool:
        """Whether a run broke a rule that none may break."""
        return any(run.broken for run in self.runs)

    @property
    def completed(self) -> bool:
        """Whether every run ended with the account proven flat in scope."""
        return all(run.result.state is LiquidationState.COMPLETED for run in self.runs)

    @property
    def seconds(self) -> tuple[float, float]:
        """The shortest and the longest run, until flat was seen for good or else to its end."""
        found = [run.result.flat_after_seconds for run in self.runs]
        return min(found), max(found)

    @property
    def settled_s(self) -> float:
        """How long flat was watched at least before it was called proven."""
        return min(run.result.settled_seconds for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a drill runs: each exercise once a seed, from 1 to `repeat`, one with a script once."""

    exercises: Sequence[Exercise]
    conditions: Conditions
    mode: Mode = Mode.VIRTUAL
    repeat: int = 1

    @property
    def chosen(self) -> tuple[Exercise, ...]:
        """The exercises that can be run in this mode."""
        return tuple(
            each
            for each in self.exercises
            if self.mode is Mode.VIRTUAL or each.scenario.name not in VIRTUAL_TIME_ONLY
        )


def hold(course: Course, stop: Stop, tell: Callable[[str], None]) -> Iterator[Score]:
    """Yield the score of each exercise as it ends; when stopped, of those that ran to their end.

    `tell` is told what comes next. What is played with armed processes comes last, side by side.
    """
    exercises = sorted(course.chosen, key=lambda each: each.script is not None)
    for number, exercise in enumerate(exercises, start=1):
        if exercise.script is not None:
            plays = exercises[number - 1 :]
            tell(f"{number} of {len(exercises)}: armed processes, side by side")
            played = play(plays, course.conditions, stop) or []
            yield from (
                Score(exercise=each, runs=(run,)) for each, run in zip(plays, played, strict=False)
            )
            return
        name = exercise.scenario.name
        tell(f"{number} of {len(exercises)}: {name}")
        runs = []
        for seed in range(1, course.repeat + 1):
            run = None if stop.requested else _run(course, exercise, stop, number, seed)
            if run is None:
                return
            runs.append(run)
        yield _explain(course, Score(exercise=exercise, runs=tuple(runs)), stop)


def _run(course: Course, exercise: Exercise, stop: Stop, number: int, seed: int) -> Run | None:
    """Run once; None when stopped.

    A trail that fails is one finding about the disk, and not one about every scenario after it:
    what it spoilt is run again without it.
    """
    name, scenario, policy = f"drill_{number}_{seed}", exercise.scenario, exercise.policy
    without = replace(course.conditions, trail=None)

    def run_once(conditions: Conditions) -> Run | None:
        if course.mode is Mode.REAL:
            return run_in_real_time(scenario, policy, conditions, stop, seed=seed, name=name)
        return run_in_virtual_time(scenario, policy, conditions, seed=seed, name=name)[0]

    trail = course.conditions.trail
    if trail is None or not trail.complete:
        return run_once(without)
    run = run_once(course.conditions)
    return run if run is None or trail.complete else run_once(without)


def _explain(course: Course, score: Score, stop: Stop) -> Score:
    """Return a failed score with the shortest deadline that would have been enough."""
    policy = score.exercise.policy
    if score.passed or score.broken or not policy.emergency_liquidation:
        return score
    conditions = replace(course.conditions, trail=None)
    seeds = [run.seed for run in score.runs if run.wrong]

    def is_enough(timeout_s: float) -> bool:
        longer = replace(policy, timeout_seconds=timeout_s)
        return all(
            not run_in_virtual_time(score.exercise.scenario, longer, conditions, seed=seed)[0].wrong
            for seed in seeds
        )

    if course.mode is Mode.REAL and is_enough(policy.timeout_seconds):
        return replace(score, only_here=True)
    # Every deadline that is told was tried itself; that none shorter would do is taken from those
    # that were tried.
    too_short, enough = int(policy.timeout_seconds / _STEP_S), round(DEADLINE_MAX_S / _STEP_S)
    if enough <= too_short or not is_enough(DEADLINE_MAX_S):
        return score
    while enough - too_short > 1 and not stop.requested:
        middle = (enough + too_short) // 2
        if is_enough(round(middle * _STEP_S, 1)):
            enough = middle
        else:
            too_short = middle
    return replace(score, needs_s=round(enough * _STEP_S, 1))
