"""The record of drills: one whole line each, beside a trail, whatever stands there already."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from liqctl.drill import Drill, append_row, last_drill, last_passed_drill
from liqctl.drill.document import Report
from liqctl.drill.runs import Conditions, Course, Exercise, Stop, hold
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import Environment
from liqctl.settings.values import Settings
from liqctl.sim.scenario import load_scenario

AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def test_rows_are_appended_to_a_file_of_ours(tmp_path: Path) -> None:
    """The folder is made like the trail's, and nobody else may read what is in it."""
    path = tmp_path / "logs" / "drills.jsonl"

    problems = [append_row(path, {"n": n}) for n in range(2)]

    assert problems == [None, None]
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"n": 0}, {"n": 1}]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "part",
    [{"overridden": ("timeout_seconds",)}, {"whole_catalogue": False}, {"interrupted": True}],
)
def test_a_drill_of_less_than_the_settings_in_use_cannot_pass_for_one(
    part: dict[str, Any], tmp_path: Path
) -> None:
    """`drill --timeout 6` says nothing of the deadline that the next run will have."""
    conditions = Conditions(latency_s=0.06)
    exercise = Exercise(scenario=load_scenario("flat"), policy=LiquidationConfig())
    course = Course(exercises=[exercise], conditions=conditions)
    report = Report(
        course=course,
        scores=list(hold(course, Stop(), lambda _: None)),
        settings=Settings(environment=Environment.PRODUCTION),
        started_at=AT,
        finished_at=AT,
    )
    path, found = tmp_path / "drills.jsonl", []

    for each in (replace(report, **part), report):
        append_row(path, each.row())
        found.append(last_drill(path, "production"))

    assert found == [None, Drill(finished_at=AT, passed=True)]


def test_a_stump_of_an_earlier_row_is_stepped_over(tmp_path: Path) -> None:
    """A full disk once must not make the next row unreadable."""
    path = tmp_path / "drills.jsonl"
    path.write_text('{"environment": "produ')
    path.chmod(0o600)

    assert append_row(path, {"n": 1}) is None
    assert json.loads(path.read_text().splitlines()[-1]) == {"n": 1}


def test_what_stands_in_the_way_is_returned_and_not_raised(tmp_path: Path) -> None:
    """The drill is over when it is recorded: its result must reach the operator."""
    path = tmp_path / "drills.jsonl"
    path.mkdir()

    assert append_row(path, {"n": 1}) == "Is a directory"


def test_a_pipe_in_its_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    """`validate --online` and `status --prometheus` read it; a planted pipe hung both for ever."""
    path = tmp_path / "drills.jsonl"
    os.mkfifo(path)

    assert last_drill(path, "production") is None


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00", "0001-01-01T00:00:00", "soon", 7, None])
def test_a_row_whose_time_cannot_be_compared_does_not_count(tmp_path: Path, moment: object) -> None:
    """One such line must not keep every later check of the machine from being made."""
    path = tmp_path / "drills.jsonl"
    row = {"environment": "production", "passed": True}
    whole = json.dumps(row | {"finished_at": "2026-01-01T00:00:00Z"})
    path.write_text(whole + "\n" + json.dumps(row | {"finished_at": moment}) + "\n")

    found = last_passed_drill(path, "production")

    assert found is not None
    assert found.finished_at.isoformat() == "2026-01-01T00:00:00+00:00"
