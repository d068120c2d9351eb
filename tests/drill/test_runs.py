"""A drill as a whole: it stops when told, counts its worst seed, and survives a failing trail."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from liqctl.drill.runs import Conditions, Course, Exercise, Mode, Score, Stop, hold
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.policy import LiquidationConfig
from liqctl.sim.scenario import Expectation, list_scenarios, load_scenario
from liqctl.trail.writer import AuditLogger
from tests.cli.documents import check_event

DEFAULTS = LiquidationConfig()


def course(
    *names: str,
    policy: LiquidationConfig = DEFAULTS,
    trail: AuditLogger | None = None,
    repeat: int = 1,
) -> Course:
    """Return a drill of some scenarios in virtual time."""
    return Course(
        exercises=[Exercise(scenario=load_scenario(name), policy=policy) for name in names],
        conditions=Conditions(latency_s=0.06, trail=trail),
        repeat=repeat,
    )


def scores(course: Course) -> Sequence[Score]:
    """Return how everything ended."""
    return list(hold(course, Stop(), lambda _: None))


def test_nothing_more_is_run_once_it_is_to_stop() -> None:
    """Ctrl-C after the first of three."""
    stop = Stop()
    told: list[str] = []
    run = hold(course("flat", "default", "dust"), stop, told.append)

    first = next(run)
    stop.request()

    assert first.passed
    assert list(run) == []
    assert told == ["1 of 3: flat", "2 of 3: default"]


def test_a_trail_that_fails_is_no_fault_of_the_scenarios(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One finding about the disk, not one about every scenario after it."""
    (tmp_path / "audit.jsonl").mkdir()
    trail = AuditLogger(tmp_path)

    ended = scores(course("default", "lost_reply_after", trail=trail))

    assert [score.passed for score in ended] == [True, True]
    assert not trail.complete
    assert "cannot be written" in capfd.readouterr().err


def test_every_line_of_every_scenarios_trail_keeps_to_the_published_schema(tmp_path: Path) -> None:
    """Whoever reads the trail by `liqctl schema event` must never meet a line that it refuses."""
    trail = AuditLogger(tmp_path)
    scores(course(*list_scenarios(), trail=trail))
    trail.finish()
    records = [json.loads(line) for line in trail.path.read_text().splitlines()]

    for record in records:
        check_event(record)
    assert len(records) > 5000
    assert set(AuditEventType) - {record["event_type"] for record in records} == {
        "LIQUIDATION_BLOCKED",
        "LIQUIDATION_SKIPPED",
        "LIQUIDATION_ABANDONED",
        *(event for event in AuditEventType if "ARM" in event),
    }, "the tests of the process show these"


def test_the_worst_seed_counts() -> None:
    """One lucky run does not make a deadline long enough."""
    policy = LiquidationConfig(timeout_seconds=4.2)

    (score,) = scores(course("halted_for_a_while", policy=policy, repeat=8))

    assert len(score.runs) == 8
    assert score.worst.result.flat_after_seconds == score.seconds[1]
    assert score.seconds[0] < score.seconds[1]


def test_a_deadline_at_its_limit_needs_no_longer_one() -> None:
    """No advice that the settings would refuse."""
    never_flat = replace(load_scenario("halted_symbol"), expect=Expectation())
    policy = LiquidationConfig(timeout_seconds=30.0)
    exercise = Exercise(scenario=never_flat, policy=policy)

    (score,) = scores(Course(exercises=[exercise], conditions=Conditions(latency_s=0.06)))

    assert (score.passed, score.needs_s) == (False, None)


def test_what_needs_virtual_time_is_left_out_of_real_time() -> None:
    """Its end would depend on the second of the minute in which the drill is started."""
    chosen = course("flat", "weight_exhausted").chosen
    real = Course(
        exercises=course("flat", "weight_exhausted").exercises,
        conditions=Conditions(latency_s=0.06),
        mode=Mode.REAL,
    ).chosen

    assert [each.scenario.name for each in chosen] == ["flat", "weight_exhausted"]
    assert [each.scenario.name for each in real] == ["flat"]
