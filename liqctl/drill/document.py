"""What a drill says of itself: the answer, the document, the line on record, the score card.

The card shows the worst first and the answer last: a terminal of 24 lines shows the end of a text,
so what must be seen stands there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from liqctl import __version__
from liqctl.desk.text import Part, Table, Tone, clean, count, labelled, listed, paint, show
from liqctl.drill.runs import DEADLINE_MAX_S, Course, Score
from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import Product
from liqctl.settings.values import Settings

DRILL_SCHEMA: Final = "liqctl.drill/1"
_POLICY: Final = (
    *("timeout_seconds", "max_retries", "retry_delay_seconds", "settle_seconds"),
    *("emergency_liquidation", "close_positions", "cancel_orders"),
)
"""The settings that a document names as they are."""

_NAMED_MAX: Final = 3
ROWS: Final = 10
"""How many scenarios are shown where nobody's terminal decides; failed ones always all are."""

_FAILED_MAX: Final = 40
"""How many failed scenarios are shown at most without `--verbose`."""

# What fits one line of a terminal beside the other columns.
_WHY_MAX: Final = 60
_TONES: Final = {"ok": Tone.GOOD, "WORSE": Tone.BAD, "BROKEN": Tone.BAD}
_COLUMNS: Final = ("verdict", "scenario", "end", "time", "left open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A drill that has ended.

    Attributes:
        settings: those of the operator; of their symbols and margin the simulated accounts know
            nothing.
        overridden: settings given on the command line of this drill.
        whole_catalogue: whether no scenario was picked.
        interrupted: whether a signal ended it.
        trail_problem: why a real run's trail could not be written, None when it could.
        events: how many events were written to the scratch trail.
    """

    course: Course
    scores: Sequence[Score]
    settings: Settings
    started_at: datetime
    finished_at: datetime
    overridden: Sequence[str] = ()
    whole_catalogue: bool = True
    interrupted: bool = False
    trail_problem: str | None = None
    events: int = 0

    @property
    def policy(self) -> LiquidationConfig:
        """What a real run may do."""
        return self.settings.liquidation

    @property
    def passed(self) -> bool:
        """Whether every scenario ended as it should and the trail holds it all."""
        is_whole = not self.interrupted and self.trail_problem is None
        return is_whole and bool(self.scores) and all(score.passed for score in self.scores)

    def as_json(self, *, record_problem: str | None = None) -> dict[str, object]:
        """Return the document of `drill --json`."""
        chosen, said = self.course.chosen, self._answer()
        if self.trail_problem is not None:
            said += " But the audit trail cannot be kept: every real run would end with exit 8."
        ranked = sorted(
            self.scores,
            # Worst first: broken rules, other failures, then the least time left.
            key=lambda score: (
                not score.broken,
                score.passed,
                -(score.needs_s or DEADLINE_MAX_S) if not score.passed else 0.0,
                not score.completed,
                score.exercise.policy.timeout_seconds - score.seconds[1],
                score.name,
            ),
        )
        return {
            **self._head(),
            "answer": said,
            "notes": list(self.notes()),
            "not_run": [e.scenario.name for e in self.course.exercises if e not in chosen],
            "trail": {"problem": self.trail_problem, "events": self.events},
            "recorded": record_problem is None,
            "record_problem": record_problem,
            "error_message": None,
            "scenarios": [_describe(score) for score in ranked],
        }

    def row(self) -> dict[str, object]:
        """Return the line for `drills.jsonl`."""
        ends = {score.name: _end(score) for score in self.scores}
        return {**self._head(), "trail_problem": self.trail_problem, "ends": ends}

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
        if policy.symbols:
            found.append(
                f"NARROWED: symbols names {', '.join(policy.symbols)}. A real run leaves all "
                "others alone; the simulated accounts know other symbols and were closed whole"
            )
        left_open = [each.shown for each in Product if each not in policy.products]
        if left_open:
            found.append(
                f"NARROWED: products leaves {' and '.join(left_open)} out. Their positions and "
                "orders stay open in a real run and in the drill; judged is the rest"
            )
        if policy.margin is not None:
            found.append(
                f"margin is {policy.margin.lower()}. The simulated accounts are of both kinds, "
                "and each was asked which it is"
            )
        return tuple(found)

    def _head(self) -> dict[str, object]:
        conditions, policy, slowest = self.course.conditions, self.policy, self._slowest()
        left_s = policy.timeout_seconds - slowest.seconds[1] if slowest else None
        return {
            "schema": DRILL_SCHEMA,
            "environment": self.settings.environment.value,
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "passed": self.passed,
            # The whole catalogue, with nothing but the environment's own settings.
            "complete": self.whole_catalogue and not self.interrupted and not self.overridden,
            "interrupted": self.interrupted,
            "version": __version__,
            "mode": self.course.mode.value,
            "latency_ms": round(conditions.latency_s * 1000),
            "repeat": self.course.repeat,
            "settings": {
                **{name: getattr(policy, name) for name in _POLICY},
                "account": self.settings.account,
                "symbols": list(policy.symbols),
                "products": [each.setting for each in policy.products],
                "margin": policy.margin.lower() if policy.margin else "auto",
                "recv_window_ms": conditions.recv_window_ms,
                "log_dir": str(self.settings.audit.log_dir),
                "file": str(self.settings.file) if self.settings.file else None,
                "overridden": list(self.overridden),
            },
            "total": len(self.course.chosen),
            "ran": len(self.scores),
            "failed": sum(not score.passed for score in self.scores),
            "completed": sum(score.completed for score in self.scores),
            "slowest": slowest.name if slowest else None,
            "slowest_seconds": round(slowest.seconds[1], 3) if slowest else None,
            "margin_seconds": None if left_s is None else round(left_s, 3),
        }

    def _slowest(self) -> Score | None:
        """Return the slowest that ended COMPLETED within the deadline the question is about.

        A few scenarios bring a deadline of their own (a venue that is overloaded for six seconds).
        Their times say nothing about the operator's deadline.
        """
        timeout_s = self.policy.timeout_seconds
        completed = [
            score
            for score in self.scores
            if score.completed and score.exercise.policy.timeout_seconds == timeout_s
        ]
        return max(completed, key=lambda score: score.seconds[1], default=None)

    def _answer(self) -> str:
        """Return whether the deadline is enough; every number in it stands in the scores."""
        scores, policy, chosen = self.scores, self.policy, self.course.chosen
        question = f"Would {policy.timeout_seconds:g} s have been enough?"
        if not policy.emergency_liquidation:
            return (
                f"{question} No: the switch is disarmed (emergency_liquidation: false); a real run "
                "would have read, cancelled and closed nothing."
            )
        failed = [score for score in scores if not score.passed]
        if failed:
            why = _why_failed(failed, len(scores), policy)
            return f"{question} No: {why} {self._how_others_ended()}"
        if len(scores) < len(chosen):
            return f"{question} Not known: stopped after {len(scores)} of {len(chosen)}."
        if not scores:
            return f"{question} Not known: no scenario was run."
        others = sum(not score.completed for score in scores)
        if others == len(scores):
            return f"{question} Not known: none of {others} was to end COMPLETED."
        rest = " The other one ended as its promise says." if others else ""
        if others > 1:
            rest = f" The other {others} ended as their promises say."
        return f"{question} Yes: {self._how_others_ended()}{rest}"

    def _how_others_ended(self) -> str:
        """Return how long the slowest scenario took that ended well, and what time was left."""
        policy, slowest = self.policy, self._slowest()
        completed = [score for score in self.scores if score.completed]
        if not completed:
            return "None ended COMPLETED."
        timeout_s = policy.timeout_seconds
        own = sum(score.exercise.policy.timeout_seconds != timeout_s for score in completed)
        apart = f", {own} of them by a deadline of their own" if own else ""
        word = "proven flat" if policy.close_positions and policy.cancel_orders else "COMPLETED"
        ended = f"{len(completed)} of {len(self.scores)} ended {word}{apart}"
        if slowest is None:
            return f"{ended}."
        seconds = round(slowest.seconds[1], 3)  # As the document has it: two roundings must agree.
        settled_s, watched = min(score.settled_s for score in completed), ""
        if settled_s < policy.settle_seconds:  # The deadline made it shorter than was asked for.
            watched = f" It left {settled_s:.2f} s at least to watch flat."
        return (
            f"{ended}; the slowest ({slowest.name}) after {seconds:.2f} s, "
            f"{timeout_s - seconds:.2f} s before the deadline.{watched}"
        )


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
        "seconds_min": round(score.seconds[0], 3),
        "settled_seconds": round(score.settled_s, 3),
        "timeout_seconds": score.exercise.policy.timeout_seconds,
        "completed": score.completed,
        "left": list(run.left),
        "wrong": list(run.wrong),
        "broken": list(run.broken),
        "only_here": score.only_here,
        "armed": score.exercise.script is not None,
    }


def _end(score: Score) -> dict[str, object]:
    return {
        "passed": score.passed,
        "state": score.worst.result.state.value,
        "seconds": round(score.seconds[1], 3),
        "needs_seconds": score.needs_s,
    }


def _why_failed(failed: Sequence[Score], total: int, policy: LiquidationConfig) -> str:
    parts = [f"{len(failed)} of {total} ended worse than they should"]
    if broken := [score for score in failed if score.broken]:
        parts.append(f"{_named(broken)} broke a rule that no run may break: do not rely on liqctl")
    if late := [score for score in failed if score.needs_s is not None]:
        most = max(late, key=lambda score: score.needs_s or 0.0)
        which = "all" if len(late) == len(failed) else str(len(late))
        parts.append(
            f"{which} because time ran out: the most, {most.needs_s:g} s, needs {most.name}"
        )
    if here := [score for score in failed if score.only_here]:
        parts.append(f"{_named(here)} on this machine only, not in virtual time")
    if armed := [score for score in failed if score.exercise.script]:
        parts.append(f"{_named(armed)} with an armed process")
    told = {id(score) for score in (*broken, *here, *armed)}
    lost = [score for score in failed if id(score) not in told and score.needs_s is None]
    if lost and policy.timeout_seconds < DEADLINE_MAX_S:
        parts.append(f"{_named(lost)} with every deadline up to {DEADLINE_MAX_S:g} s")
    return "; ".join(parts) + "."


def _named(scores: Sequence[Score]) -> str:
    return f"{len(scores)} ({listed([score.name for score in scores], _NAMED_MAX)})"


def render_drill(
    document: Mapping[str, Any],
    *,
    width: int | None,
    colour: bool,
    rows: int | None = ROWS,
    record: str = "",
) -> str:
    """Return the score card.

    Args:
        document: what `drill --json` prints.
        width: the terminal's, None where nobody looks.
        colour: whether verdicts are painted.
        rows: how many scenarios at least; None for all, each with everything that is wrong.
        record: where the drill is recorded.
    """
    parts: list[Part] = [_headline(document, colour=colour), *map(clean, document["notes"])]
    scores, failed = document["scenarios"], int(document["failed"])
    shown_max = len(scores) if rows is None else rows
    # With a disarmed switch all fail for the same reason, which is told once.
    if rows is not None and document["settings"]["emergency_liquidation"]:
        shown_max = max(rows, min(failed, _FAILED_MAX))
    shown = scores[:shown_max]
    if shown:
        cells = []
        for score in shown:
            verdict = "BROKEN" if score["broken"] else "ok" if score["passed"] else "WORSE"
            shortest = f"{score['seconds_min']:.2f}-" if document["repeat"] > 1 else ""
            time = f"{shortest}{score['seconds']:.2f} s"
            left = clean(_left(score, verbose=rows is None))
            verdict = paint(verdict, _TONES[verdict], colour=colour)
            cells.append((verdict, clean(score["scenario"]), score["state"], time, left))
        parts += ["", Table(head=_COLUMNS, rows=cells, right={3})]
    if len(shown) < len(scores):
        hidden, hidden_failed = len(scores) - len(shown), max(failed - len(shown), 0)
        which = "all failed" if hidden_failed == hidden else f"{hidden_failed} of them failed"
        which = which if hidden_failed else "all ok"
        parts.append(f"and {hidden} more, {which}; --verbose shows them")
    return show([*parts, "", *_foot(document, record)], width=width)


def _headline(document: Mapping[str, Any], *, colour: bool) -> tuple[str, str]:
    if document["passed"]:
        word, tone = "PASSED", Tone.GOOD
    elif document["interrupted"] and not document["failed"]:
        word, tone = "STOPPED", Tone.DOUBT
    else:
        word, tone = "FAILED", Tone.BAD
    ran, total = document["ran"], document["total"]
    well = f"{ran - document['failed']} of {count(total, 'scenario')} ended as they should"
    rest = f", {total - ran} were not run" if ran < total else ""
    rest += ", but the trail cannot be kept" if document["trail"]["problem"] else ""
    environment = clean(str(document["environment"]))
    return f"{paint(word, tone, colour=colour)}: ", f"settings of {environment}, {well}{rest}"


def _left(score: Mapping[str, Any], *, verbose: bool) -> str:
    """Return what is left open, and what else is wrong."""
    names, needs_s = score["left"], score["needs_seconds"]
    left = listed(names, _NAMED_MAX) or "nothing"
    if score["passed"]:
        return f"{left}, as promised" if names else left
    if not names and score["state"] != "COMPLETED":
        left += ", but not proven"
    parts = [left]
    if verbose:
        parts.append("; ".join(score["wrong"]))
    elif needs_s is None:  # Else a longer deadline is the remedy.
        others = [text for text in score["wrong"] if not text.endswith("is left open")]
        wrong = (score["broken"] or others or [""])[0]
        parts.append(wrong if len(wrong) <= _WHY_MAX else f"{wrong[:_WHY_MAX]}…")
    parts += [f"needs {needs_s:g} s"] if needs_s is not None else []
    parts += ["on this machine only"] if score["only_here"] else []
    return "; ".join(part for part in parts if part)


def _foot(document: Mapping[str, Any], record: str) -> list[Part]:
    settings, repeat, trail = document["settings"], document["repeat"], document["trail"]
    where = f" ({clean(settings['file'])})" if settings["file"] else " (defaults)"
    of = f" {clean(settings['account'])}" if settings["account"] else ""
    said = (
        f"{clean(str(document['environment']))}{of}{where}: {settings['timeout_seconds']:g} s, "
        f"{settings['max_retries']} retries, {settings['retry_delay_seconds']:g} s delay, "
        f"settle {settings['settle_seconds']:g} s"
    )
    if settings["overridden"]:
        said += f"; {', '.join(map(clean, settings['overridden']))} from the command line"
    time = "virtual time" if document["mode"] == "virtual" else "real time, HTTP on loopback"
    if armed := sum(score["armed"] for score in document["scenarios"]):
        time += f" ({count(armed, 'armed scenario')} in real time)"
    if document["not_run"]:
        time += f", without {', '.join(map(clean, document['not_run']))}"
    venue = f"simulated in this process, {document['latency_ms']} ms a round trip, {time}"
    if repeat > 1:
        venue += f", {repeat} seeds each"
    folder = clean(settings["log_dir"])
    kept = f"{trail['events']} events kept in {folder}, verified, removed again"
    if trail["problem"]:
        kept = f"CANNOT BE KEPT in {folder}: {clean(trail['problem'])}"
    recorded = clean(record)
    if not document["recorded"]:
        recorded = f"NOT RECORDED: {recorded}: {clean(str(document['record_problem']))}"
    rows = labelled(("settings", said), ("venue", venue), ("trail", kept), ("record", recorded))
    return [*rows, "", clean(document["answer"])]
