"""What a drill says of itself: the document of `drill --json`, and the line for the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from liqctl.drill.answer import answer, slowest_of, sort_scores
from liqctl.drill.catalogue import Course, Score
from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.policy import LiquidationConfig

DRILL_SCHEMA: Final = "liqctl.drill/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A drill that has ended.

    Attributes:
        policy: the operator's settings, before a scenario narrows them.
        log_dir: where the trail of a real run would be.
        config_file: where the settings came from; None for defaults.
        overridden: settings given on the command line of this drill.
        whole_catalogue: whether no scenario was picked.
        interrupted: whether a signal ended it.
        trail_problem: why a real run's trail could not be written, None when it could.
        events: how many events were written to the scratch trail.
    """

    course: Course
    scores: Sequence[Score]
    policy: LiquidationConfig
    environment: str
    version: str
    started_at: datetime
    finished_at: datetime
    log_dir: Path
    config_file: Path | None = None
    overridden: Sequence[str] = ()
    whole_catalogue: bool = True
    interrupted: bool = False
    trail_problem: str | None = None
    events: int = 0
    symbols: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether every scenario ended as it should and the trail holds it all."""
        return (
            not self.interrupted
            and self.trail_problem is None
            and bool(self.scores)
            and all(score.passed for score in self.scores)
        )

    @property
    def failed(self) -> int:
        """How many scenarios ended worse than they should."""
        return sum(not score.passed for score in self.scores)

    @property
    def complete(self) -> bool:
        """Whether the whole catalogue was run with nothing but the environment's own settings."""
        return self.whole_catalogue and not self.interrupted and not self.overridden

    def as_json(self, *, record_problem: str | None = None) -> dict[str, object]:
        """Return the document of `drill --json`."""
        return {
            **self._head(),
            "answer": self._answer(),
            "notes": list(self.notes()),
            "not_run": [
                each.scenario.name
                for each in self.course.exercises
                if each not in self.course.chosen
            ],
            "trail": {"problem": self.trail_problem, "events": self.events},
            "recorded": record_problem is None,
            "record_problem": record_problem,
            "error_message": None,
            "scenarios": [_describe(score) for score in sort_scores(self.scores)],
        }

    def row(self) -> dict[str, object]:
        """Return the line for `drills.jsonl`."""
        return {
            **self._head(),
            "trail_problem": self.trail_problem,
            "ends": {score.name: _end(score) for score in self.scores},
        }

    def notes(self) -> tuple[str, ...]:
        """Return what narrows a real run, and how the drill judged that."""
        policy, found = self.policy, []
        if not policy.emergency_liquidation:
            found.append(
                "DISARMED: emergency_liquidation is false. A real run sends nothing, so every "
                "scenario is judged as failed"
            )
        elif not policy.close_positions:
            found.append(
                "NARROWED: close_positions is false. Positions and the stops that protect them "
                "stay open in a real run. Judged is the rest: COMPLETED where promised, and no "
                "other order left that should be gone"
            )
        elif not policy.cancel_orders:
            found.append(
                "NARROWED: cancel_orders is false. Orders stay in a real run, and some of them "
                "keep positions from closing. Judged are the positions: COMPLETED where promised, "
                "and none left that should be closed"
            )
        if self.symbols:
            found.append(
                f"NARROWED: symbols names {', '.join(self.symbols)}. A real run leaves all others "
                "alone; the simulated accounts know other symbols and were closed whole"
            )
        return tuple(found)

    def _answer(self) -> str:
        said = answer(self.course, self.scores, self.policy)
        if self.trail_problem is None:
            return said
        return f"{said} But the audit trail cannot be kept: every real run would end with exit 8."

    def _head(self) -> dict[str, object]:
        conditions, policy = self.course.conditions, self.policy
        completed = [score for score in self.scores if score.completed]
        slowest = slowest_of(self.scores, policy)
        return {
            "schema": DRILL_SCHEMA,
            "environment": self.environment,
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "passed": self.passed,
            "complete": self.complete,
            "interrupted": self.interrupted,
            "version": self.version,
            "mode": self.course.mode.value,
            "latency_ms": round(conditions.latency_s * 1000),
            "repeat": self.course.repeat,
            "settings": {
                "timeout_seconds": policy.timeout_seconds,
                "max_retries": policy.max_retries,
                "retry_delay_seconds": policy.retry_delay_seconds,
                "settle_seconds": policy.settle_seconds,
                "emergency_liquidation": policy.emergency_liquidation,
                "close_positions": policy.close_positions,
                "cancel_orders": policy.cancel_orders,
                "symbols": list(self.symbols),
                "recv_window_ms": conditions.recv_window_ms,
                "log_dir": str(self.log_dir),
                "file": str(self.config_file) if self.config_file else None,
                "overridden": list(self.overridden),
            },
            "total": len(self.course.chosen),
            "ran": len(self.scores),
            "failed": self.failed,
            "completed": len(completed),
            "slowest": slowest.name if slowest else None,
            "slowest_seconds": _rounded(slowest.seconds[1]) if slowest else None,
            "margin_seconds": _rounded(policy.timeout_seconds - slowest.seconds[1])
            if slowest
            else None,
        }


def refusal(message: str, *, environment: str | None) -> dict[str, object]:
    """Return the document of a drill that was not held, and why."""
    return {
        "schema": DRILL_SCHEMA,
        "environment": environment,
        "passed": False,
        "complete": False,
        "recorded": False,
        "error_message": message,
        "scenarios": [],
    }


def _describe(score: Score) -> Mapping[str, object]:
    run = score.worst
    return {
        "scenario": score.name,
        "description": score.exercise.scenario.description,
        **_end(score),
        "exit_code": int(run.result.exit_code()),
        "seed": run.seed,
        "seconds_min": _rounded(score.seconds[0]),
        "settled_seconds": _rounded(score.settled_s),
        "timeout_seconds": score.exercise.policy.timeout_seconds,
        "completed": score.completed,
        "left": list(run.left),
        "wrong": list(run.wrong),
        "broken": list(run.broken),
        "only_here": score.only_here,
    }


def _end(score: Score) -> dict[str, object]:
    return {
        "passed": score.passed,
        "state": score.worst.result.state.value,
        "seconds": _rounded(score.seconds[1]),
        "needs_seconds": score.needs_s,
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
