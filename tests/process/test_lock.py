"""One liquidation of an account at a time, between real processes."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.process.program import (
    PATIENCE_S,
    Program,
    end,
    program,
    wait_until,
)

BLOCKED = 5


def events(running: Program) -> Counter[str]:
    """Return how often each type of event stands in the trail."""
    return Counter(record["event_type"] for record in running.records())


def test_the_second_of_two_runs_is_refused_and_told_who_works(tmp_path: Path) -> None:
    """Two operators, one account: one of them works, the other knows whom to ask."""
    with program(tmp_path) as running:
        running.hang(kind="slow", writes=True)
        with running.start() as first:
            running.wait_for("ORDER_SENT")
            second = running.run()
            ended = end(first, time.monotonic())

        assert ended.code == 0
        assert second.code == BLOCKED
        assert second.result["state"] == "FAILED"
        assert second.result["error_message"] == "Liquidation already in progress"
        assert str(first.pid) in str(second.result["notes"])
        assert ended.result["correlation_id"] in str(second.result["notes"])
        assert events(running)["LIQUIDATION_BLOCKED"] == 1
        assert events(running)["LIQUIDATION_START"] == 1
        second.assert_clean()
        running.assert_never_overclosed()
        running.assert_trail_closed()


def test_of_many_runs_at_once_one_works_and_nothing_is_closed_twice(tmp_path: Path) -> None:
    """An alarm, a cron job and two people press the button in the same second."""
    with program(tmp_path, latency_ms=50) as running:
        started = [running.start() for _ in range(5)]
        ended = [end(each, time.monotonic()) for each in started]

        assert set(Counter(each.code for each in ended)) <= {0, BLOCKED}
        assert 0 in {each.code for each in ended}
        assert running.is_flat
        assert running.sent()["POST", "/fapi/v1/order"] == 3
        running.assert_never_overclosed()
        running.assert_trail_closed()


def test_runs_that_share_no_lock_close_nothing_twice(tmp_path: Path) -> None:
    """Two machines have two locks: only reduce-only keeps them from turning a position."""
    with program(tmp_path, latency_ms=50) as running:
        started = []
        for number in range(3):
            running.variables["XDG_STATE_HOME"] = str(tmp_path / f"state-{number}")
            started.append(running.start())
        ended = [end(each, time.monotonic()) for each in started]

        assert {each.code for each in ended} == {0}
        assert running.is_flat
        running.assert_never_overclosed()
        running.assert_trail_closed()


def test_a_stopped_holder_is_passed_over_after_its_deadline_and_not_declared_dead(
    tmp_path: Path,
) -> None:
    """A suspended process keeps its lock; it must not disarm the switch."""
    with program(tmp_path, timeout_s=1.0) as running:
        running.hang(method="POST")
        with running.start() as first:
            try:
                running.wait_for("ORDER_SENT")
                first.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
                running.server.venue.faults.clear()
                early = running.run()
                time.sleep(2.1)
                running.timeout_s = 5.0
                late = running.run()
            finally:
                first.kill()
                first.wait(PATIENCE_S)

        assert early.code == BLOCKED
        assert late.code == 0, late.stdout
        assert "passed over" in str(late.result["notes"])
        assert events(running)["LIQUIDATION_ABANDONED"] == 0
        start = [r for r in running.records() if r["event_type"] == "LIQUIDATION_START"][-1]
        assert "passed over" in start["details"]["lock"]
        running.assert_never_overclosed()

        ended = running.run()

        assert ended.code == 0
        assert events(running)["LIQUIDATION_ABANDONED"] == 1
        running.assert_trail_closed()


def test_a_dead_holder_blocks_nobody(tmp_path: Path) -> None:
    """The kernel lets go of the lock of a process that died, however it died."""
    with program(tmp_path) as running:
        held = running.hang(method="POST")
        with running.start() as first:
            running.wait_for("ORDER_SENT")
            first.kill()
            first.wait(PATIENCE_S)
        running.server.venue.faults.remove(held)

        assert running.run().code == 0


@pytest.mark.parametrize("mode", ["two venues", "two keys"])
def test_other_accounts_are_not_kept_off(tmp_path: Path, mode: str) -> None:
    """The lock is for one key at one host: the neighbour's emergency is his own."""
    (tmp_path / "other").mkdir()
    with program(tmp_path) as running, program(tmp_path / "other") as other:
        running.hang(kind="slow", writes=True)
        other.variables["XDG_STATE_HOME"] = str(tmp_path / "state")
        if mode == "two keys":
            other.server.venue.api_key = "another" * 8
            other.variables["LIQCTL_API_KEY"] = "another" * 8
        with running.start() as first:
            running.wait_for("ORDER_SENT")
            second = other.run()
            assert end(first, time.monotonic()).code == 0

        assert second.code == 0, second.stdout


def test_without_a_place_for_its_lock_the_run_goes_on_and_says_so(tmp_path: Path) -> None:
    """A lock that cannot be taken must not disarm the switch."""
    with program(tmp_path) as running:
        running.hook(
            """
            import fcntl, errno
            def refused(*_):
                raise OSError(errno.ENOLCK, "No locks available")
            fcntl.flock = refused
            """
        )

        ended = running.run()

        assert ended.code == 0, ended.stdout
        assert "nothing keeps a second run off" in str(ended.result["notes"])
        assert "nothing keeps a second run off" in str(running.records()[0]["details"]["lock"])
        running.assert_trail_closed()


def test_looking_at_the_status_does_not_block_a_run(tmp_path: Path) -> None:
    """`status --watch` looks at the lock all the time."""
    with program(tmp_path) as running:
        with running.start("status", "--watch") as watching:
            ended = [running.run() for _ in range(3)]
            watching.terminate()
            watching.communicate(timeout=PATIENCE_S)

        assert {each.code for each in ended} == {0}
        wait_until(lambda: watching.returncode is not None, "status does not end")
