"""`kill -9` at any moment: the next run ends flat and closes the dead run's record."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Final

import pytest

from tests.process.program import PATIENCE_S, Program, program, read_records, wait_until

MOMENTS: Final = int(os.environ.get("LIQCTL_SOAK", "6"))
"""How many random moments are tried; LIQCTL_SOAK=200 for a long watch."""

RECORDS: Final = 14
LATENCY_MS: Final = 30


def kill_when(running: Program, size: int) -> int:
    """Kill a run once its trail holds so many records; return how many it held then."""
    with running.start() as started:
        wait_until(
            lambda: count_lines(running.trail) >= size or started.poll() is not None,
            "the trail does not grow",
        )
        started.kill()
        started.wait(PATIENCE_S)
    return len(running.records())


def count_lines(trail: Path) -> int:
    """Return how many lines stand in the trail."""
    try:
        return trail.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def assert_next_run_ends_it(running: Program) -> None:
    """The next run closes what is left, proves it, and says what became of the dead one."""
    before = running.records()
    died = {r["correlation_id"] for r in before if r["event_type"] == "LIQUIDATION_START"} - {
        r["correlation_id"] for r in before if r["event_type"] in ENDS
    }
    ended = running.run()

    assert ended.code == 0, ended.stdout + ended.stderr
    assert running.is_flat
    running.assert_never_overclosed()
    after = [r for r in running.records() if r["correlation_id"] in died]
    assert {
        r["correlation_id"] for r in after if r["event_type"] == "LIQUIDATION_ABANDONED"
    } == died
    running.assert_trail_closed()


ENDS: Final = {
    "LIQUIDATION_COMPLETE",
    "LIQUIDATION_PARTIAL",
    "LIQUIDATION_FAILED",
    "LIQUIDATION_ABANDONED",
}


@pytest.mark.parametrize("size", range(1, RECORDS + 1))
def test_a_run_killed_after_any_record_is_finished_by_the_next(tmp_path: Path, size: int) -> None:
    """Each record is a point at which another thing is half done."""
    with program(tmp_path, latency_ms=LATENCY_MS) as running:
        assert kill_when(running, size) >= size

        assert_next_run_ends_it(running)


def test_a_run_killed_at_random_moments_is_finished_by_the_next(tmp_path: Path) -> None:
    """Most moments lie between records: in imports, in a request, in a write."""
    seed = int(os.environ.get("LIQCTL_SEED", "1"))
    rng = random.Random(seed)
    for moment in range(MOMENTS):
        folder = tmp_path / str(moment)
        folder.mkdir()
        after_s = rng.uniform(0.1, 0.7)
        with program(folder, latency_ms=LATENCY_MS) as running:
            with running.start() as started:
                time.sleep(after_s)
                started.kill()
                started.wait(PATIENCE_S)

            assert_next_run_ends_it(running)


def test_a_line_torn_by_a_power_cut_is_stepped_over(tmp_path: Path) -> None:
    """The stump is evidence: it is kept, and the next run's records stay whole."""
    with program(tmp_path) as running:
        kill_when(running, 3)
        whole = running.trail.read_bytes()
        running.trail.write_bytes(whole[:-20])

        assert_next_run_ends_it(running)

        assert running.trail.read_bytes().startswith(whole[:-20] + b"\n")


def test_a_run_that_dies_twice_is_abandoned_once_each(tmp_path: Path) -> None:
    """Out of memory strikes again: the third run has two to bury."""
    with program(tmp_path, latency_ms=LATENCY_MS) as running:
        kill_when(running, 3)
        kill_when(running, count_lines(running.trail) + 2)
        starts = [r for r in running.records() if r["event_type"] == "LIQUIDATION_START"]
        assert len(starts) == 2

        assert_next_run_ends_it(running)


def test_status_shows_a_dead_run_until_the_next_one_closes_it(tmp_path: Path) -> None:
    """Nobody must believe that a run that died had ended, nor that it still works."""
    with program(tmp_path, latency_ms=LATENCY_MS) as running:
        running.hang(method="POST")
        with running.start() as started:
            running.wait_for("ORDER_SENT")
            working = running.run("status", "--json").result
            started.kill()
            started.wait(PATIENCE_S)
        dead = running.run("status", "--json").result
        running.server.venue.faults.clear()
        running.run()
        buried = running.run("status", "--json").result

    start = running.records()[0]
    assert working["state"] == "IN_PROGRESS"
    assert working["in_progress"]["correlation_id"] == start["correlation_id"]
    assert dead["state"] == "IDLE"
    assert dead["in_progress"] is None
    assert dead["metrics"]["execution_count"] == dead["metrics"]["abandoned"] + sum(
        dead["metrics"][name] for name in ("completed", "partial", "failed", "skipped")
    ) or start["correlation_id"] in str(dead)
    assert buried["metrics"]["abandoned"] == 1
    assert buried["last_run"]["state"] == "COMPLETED"


def test_what_became_of_the_dead_runs_orders_is_recorded(tmp_path: Path) -> None:
    """An order whose answer nobody heard was executed or not: the venue knows."""
    with program(tmp_path) as running:
        running.hang(kind="hang_executed", method="POST")
        with running.start() as started:
            running.wait_for("ORDER_SENT", count=3)
            wait_until(lambda: sum(running.sent().values()) >= 4, "the orders did not arrive")
            started.send_signal(signal.SIGKILL)
            started.wait(PATIENCE_S)
        running.server.venue.faults.clear()

        assert_next_run_ends_it(running)

        (abandoned,) = [
            r for r in read_records(running.trail) if r["event_type"] == "LIQUIDATION_ABANDONED"
        ]
        assert abandoned["details"]["unanswered"] == 3
        assert {o["symbol"] for o in abandoned["details"]["orders"]} == {
            "BTCUSDT",
            "ETHUSDT",
            "SOLUSDT",
        }
        assert all(o["fate"].startswith("FILLED") for o in abandoned["details"]["orders"])
