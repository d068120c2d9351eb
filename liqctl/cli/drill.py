"""`liqctl drill`: the catalogue of trouble against the operator's own settings, in good time.

Speaks to the simulated venue in this process only, whatever the environment: its settings are used,
its host and its keys are not.
"""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.options import Options, takes
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from liqctl.drill.catalogue import Course, Exercise, Score
    from liqctl.drill.document import Report
    from liqctl.drill.runs import Stop
    from liqctl.kernel.policy import LiquidationConfig
    from liqctl.settings.values import Settings
    from liqctl.trail.writer import AuditLogger

_TELL_EVERY_S: Final = 1.0
_CARD_LINES: Final = 16
"""Lines of the card that are no scenario, and the prompt under it."""

_NOTE_LINES: Final = 3
_ROWS_MIN: Final = 5


@takes(
    *("environment", "config_file", "scenarios", "real", "repeat", "latency"),
    *("timeout", "max_retries", "retry_delay", "settle", "as_json", "no_color", "verbose"),
    environment="Whose settings.",
    timeout="Try this deadline instead, in seconds, 1 to 30.",
    max_retries="Try this number of repeats instead, 0 to 10.",
    retry_delay="Try this wait before the first repeat instead, in seconds, 0.1 to 5.",
    verbose="Show every scenario and every problem.",
)
def drill(options: Options) -> ExitCode:
    """Run every failure scenario with your settings; show whether the deadline is long enough.

    Uses a simulated venue in this process and the settings of --env; needs no key.
    Exit codes: 0 all ended as they should, 1 some ended worse, 2 usage, 4 configuration,
    8 all passed, but the drill could not be recorded, 130 stopped.

    Example: liqctl drill --env production
    """
    try:
        return run(options)
    except (UsageError, ConfigurationError) as error:
        if options.as_json:
            from liqctl.drill.document import refusal
            from liqctl.kernel.as_json import dump

            process.print_answer(dump(refusal(str(error), environment=options.environment)))
        raise


def run(options: Options) -> ExitCode:
    """Hold the drill, print the card, record it; return the exit code.

    Raises:
        UsageError: no environment was chosen, or there is no such scenario.
        ConfigurationError: every problem found.
    """
    from liqctl.cli.settings import load
    from liqctl.drill.record import DRILLS_NAME, append_row

    settings = load(options)
    exercises = _exercises(options, replace(settings.liquidation, symbols=()))
    report = _Holding(options, settings).hold(exercises)
    record = settings.audit.log_dir / DRILLS_NAME
    problem = append_row(record, report.row())
    _print(options, report, record, problem)
    if not report.passed:
        return ExitCode.FAILED
    return ExitCode.DONE if problem is None else ExitCode.AUDIT_INCOMPLETE


def _exercises(options: Options, policy: "LiquidationConfig") -> "list[Exercise]":
    """Return what to run.

    Raises:
        UsageError: a scenario is not known, cannot be read, or asks for what a drill cannot do.
    """
    from liqctl.drill.catalogue import Exercise
    from liqctl.sim.scenario import list_scenarios, load_scenario

    known = list_scenarios()
    exercises = []
    for name in dict.fromkeys(options.scenarios or known):
        try:
            scenario = load_scenario(name)
        except ConfigurationError as error:
            raise UsageError(str(error)) from error
        own = narrowed(policy, scenario.expect.arguments, name)
        exercises.append(Exercise(scenario=scenario, policy=own))
    return exercises


def narrowed(
    policy: "LiquidationConfig", arguments: Sequence[str], name: str
) -> "LiquidationConfig":
    """Return the policy with what a scenario gives `liqctl liquidate` besides."""
    from liqctl.cli import quick

    if not arguments:
        return policy
    options = quick.read(arguments, {})
    if options is None or options.dry_run:
        raise UsageError(f"scenario {name} has arguments that a drill cannot follow: {arguments}")
    if not policy.emergency_liquidation:
        return policy
    changes: dict[str, Any] = {
        key.rpartition(".")[2]: value for key, value in options.flags.items()
    }
    return replace(policy, **changes)


@dataclass(slots=True)
class _Holding:
    """A drill while it is held."""

    _options: Options
    _settings: "Settings"
    _told_at: float = field(default=0.0)

    def hold(self, exercises: "Sequence[Exercise]") -> "Report":
        """Run the exercises beside a scratch trail and return what came of it."""
        from liqctl import __version__
        from liqctl.drill.document import Report
        from liqctl.drill.record import find_fault, scratch_folder
        from liqctl.drill.runs import Stop
        from liqctl.run.who import SystemClock
        from liqctl.trail.writer import AuditLogger

        settings, clock, stop = self._settings, SystemClock(), Stop()
        started_at = clock.now()
        # Until the very end: a signal that comes while the drill is recorded changes the code only.
        process.signals.shield(stop.request, said="stopping the drill; again to leave at once")
        problem, events = None, 0
        with ExitStack() as stack:
            trail = None
            try:
                folder = stack.enter_context(scratch_folder(settings.audit.log_dir))
                trail = AuditLogger(folder, environment=settings.environment.value)
            except OSError as error:
                problem = error.strerror or type(error).__name__
            course = self._course(exercises, trail)
            scores = self._run(course, stop)
            if trail is not None:
                problem = find_fault(trail, stopped=stop.requested)
                events = _lines_in(trail.path)
                trail.close()
        return Report(
            course=course,
            scores=scores,
            policy=replace(settings.liquidation, symbols=()),
            environment=settings.environment.value,
            version=__version__,
            started_at=started_at,
            finished_at=clock.now(),
            log_dir=settings.audit.log_dir,
            config_file=settings.file,
            overridden=tuple(key.rpartition(".")[2] for key in self._options.flags),
            whole_catalogue=not self._options.scenarios,
            interrupted=stop.requested,
            trail_problem=problem,
            events=events,
            symbols=settings.liquidation.symbols,
        )

    def _course(self, exercises: "Sequence[Exercise]", trail: "AuditLogger | None") -> "Course":
        from liqctl.drill.catalogue import Course, Mode
        from liqctl.drill.runs import Conditions

        return Course(
            exercises=exercises,
            conditions=Conditions(
                latency_s=self._options.latency / 1000,
                recv_window_ms=self._settings.exchange.recv_window_ms,
                environment=self._settings.environment,
                trail=trail,
            ),
            mode=Mode.REAL if self._options.real else Mode.VIRTUAL,
            repeat=self._options.repeat,
        )

    def _run(self, course: "Course", stop: "Stop") -> "list[Score]":
        from liqctl.drill.catalogue import hold

        return list(hold(course, stop, self._tell))

    def _tell(self, text: str) -> None:
        """Say on stderr what is under way, once in a while."""
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            process.print_progress(f"drill {text}")


def _lines_in(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def _print(options: Options, report: "Report", record: Path, problem: str | None) -> None:
    document = report.as_json(record_problem=problem)
    if problem is not None:
        process.print_error(f"the drill could not be recorded in {record}: {problem}")
    if options.as_json:
        from liqctl.kernel.as_json import dump

        process.print_answer(dump(document))
        return
    from liqctl.drill.document import render_drill

    process.print_answer(
        render_drill(
            document,
            width=process.width_of(1),
            colour=options.colour and process.is_terminal(1),
            rows=None if options.verbose else _rows(len(report.notes())),
            record=str(record),
        )
    )


def _rows(notes: int) -> int:
    """Return how many scenarios fit a terminal's height together with the rest of the card."""
    from liqctl.drill.document import ROWS

    if not process.is_terminal(1):
        return ROWS
    try:
        return max(os.get_terminal_size(1).lines - _CARD_LINES - notes * _NOTE_LINES, _ROWS_MIN)
    except OSError:
        return ROWS
