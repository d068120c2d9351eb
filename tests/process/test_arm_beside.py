"""A trip of an armed process that meets another liquidation of its account: it is never lost."""

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.process.armed import ArmedProcess, armed
from tests.process.program import PATIENCE_S, Program, end, program, wait_until
from tests.process.test_arm import QUICK

NARROW = (("--orders-only",), ("--symbol", "BTCUSDT"))


def tripped_beside(post: ArmedProcess, running: Program, *arguments: str) -> int:
    """Return how it ended after a signal that came while a command of its own was at work."""
    with running.start(
        "liquidate", "--json", "--no-handover", "--settle", "3", *arguments
    ) as other:
        running.wait_for("LIQUIDATION_START")
        post.signal(signal.SIGUSR1)
        code = post.ended()
        other.communicate(timeout=PATIENCE_S)
    return code


@pytest.mark.parametrize("narrow", NARROW)
def test_a_trip_beside_a_narrower_run_closes_the_rest(
    tmp_path: Path, narrow: tuple[str, ...]
) -> None:
    """The other one holds the lock for its three seconds, and does a part of the work."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            assert tripped_beside(post, running, *narrow) == 0, post.errors

        assert running.is_flat
        assert post.read()[-1]["state"] == "COMPLETED"
        running.assert_trail_closed()
        running.assert_never_overclosed()


@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("dies", [False, True])
def test_a_trip_before_it_could_see_waits_for_the_other_run_to_end(
    tmp_path: Path, narrow: tuple[str, ...], *, dies: bool
) -> None:
    """It knows nothing, so it takes the lock first, and finds it taken."""
    with program(tmp_path, timeout_s=8.0) as running:
        running.more["arm"] = QUICK
        down = running.hang(kind="internal_error", reads=True)
        with armed(running) as post:
            post.wait_for("blind")
            with running.start("liquidate", "--json", "--no-handover", *narrow) as other:
                running.wait_for("LIQUIDATION_START")
                post.signal(signal.SIGUSR1)
                running.wait_for("LIQUIDATION_BLOCKED", count=2)
                running.server.venue.faults.remove(down)
                if dies:
                    other.kill()
                other.communicate(timeout=PATIENCE_S)
                assert post.ended() == 0, post.errors

        assert running.is_flat
        assert "another liquidation" in post.errors
        running.assert_trail_closed()


@contextmanager
def kept_by_others(running: Program) -> Iterator[None]:
    """Yield while one liquidation after another has the lock."""
    (path,) = (running.folder / "state" / "liqctl").glob("*.lock")
    is_over = threading.Event()

    def keep() -> None:
        while not is_over.wait(0.1):
            os.utime(path)

    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        holder = dict.fromkeys(("host", "user", "started_at", "log_path", "environment"), "x")
        more = {"correlation_id": "others", "pid": os.getpid(), "deadline_at": time.time() + 300}
        file.write(json.dumps(holder | more).encode() + b"\n")
        file.flush()
        keeping = threading.Thread(target=keep)
        keeping.start()
        try:
            yield
        finally:
            is_over.set()
            keeping.join()


def test_a_lock_that_others_keep_for_ever_loses_no_trip(tmp_path: Path) -> None:
    """It ended with 5, every position open and nobody watching."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        running.hook("from liqctl.cli import arm_trip; arm_trip._BLOCKED_MAX_S = 2.0")
        assert running.run("--no-handover", "--symbol", "XRPUSDT").code == 0
        down = running.hang(kind="internal_error", reads=True)
        with armed(running) as post:
            post.wait_for("blind")
            with kept_by_others(running):
                post.signal(signal.SIGUSR1)
                running.wait_for("LIQUIDATION_BLOCKED")
                running.server.venue.faults.remove(down)
                assert post.ended() == 0, post.errors

        assert running.is_flat
        told = " ".join(post.read()[-1]["notes"])
        assert "passed over run others" in told
        assert "which was waited for long enough" in told
        running.assert_trail_closed()


@pytest.mark.parametrize("narrow", NARROW)
@pytest.mark.parametrize("is_held", [False, True])
def test_a_signal_beside_a_narrower_run_that_was_handed_over_closes_the_rest(
    tmp_path: Path, narrow: tuple[str, ...], *, is_held: bool
) -> None:
    """Within that run or the hold after it: the process was armed for the whole account."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 600.0 if is_held else 0.0}
        with armed(running) as post:
            post.wait_for("armed")
            with running.start("liquidate", "--json", "--settle", "3", *narrow) as other:
                running.wait_for("LIQUIDATION_START")
                if is_held:
                    post.wait_for("tripped")
                post.signal(signal.SIGUSR1)
                ended = end(other, time.monotonic())
            wait_until(lambda: running.is_flat, "the signal was lost")
            post.signal(signal.SIGTERM)
            post.ended()

        assert ended.code == 0
        assert ended.result["state"] == "COMPLETED"
        tripped = [r for r in running.records() if r["event_type"] == "ARM_TRIPPED"]
        assert [r["details"]["by"] for r in tripped] == ["HANDOVER", "SIGNAL"]
        assert [r["event_type"] for r in running.records()].count("DISARMED") == 1
        running.assert_trail_closed()
        running.assert_never_overclosed()
