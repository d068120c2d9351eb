"""What an armed process tells people: by processes of their own, after the first orders."""

import os
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.notify.receiver import Receiver, receiver
from tests.process.armed import armed
from tests.process.program import Program, program, wait_until

EVERY = ["armed", "degraded", "tripped"]


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A web hook that is there."""
    with receiver() as made:
        yield made


def listen_to(running: Program, hook: Receiver, **target: Any) -> None:
    """Let the program tell the web hook."""
    running.more["notifications"] = [{"type": "webhook", "url": hook.url, **target}]


def test_a_trip_is_told_and_so_is_the_run_that_follows(tmp_path: Path, hook: Receiver) -> None:
    """By default: the trip, then start and end, as of every other run."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 0.0}
        listen_to(running, hook)
        with armed(running) as post:
            post.wait_for("armed")
            post.signal(signal.SIGUSR1)
            assert post.ended() == 0, post.errors
        came = hook.wait_for(3)
        records = running.records()

    documents = {each.document["event"]: each.document for each in came}
    run = documents["end"]["correlation_id"]
    assert set(documents) == {"tripped", "start", "end"}
    assert documents["tripped"]["text"] == (
        "liqctl simulator TRIPPED by SIGNAL: SIGUSR1; it closes the account now; run " + run
    )
    assert documents["tripped"]["severity"] == "warning"
    # Nothing stands between the trigger and the first order, not even the making of the message.
    first = next(r["timestamp"] for r in records if r["event_type"] == "ORDER_SENT")
    assert moment(documents["tripped"]["at"]) > moment(first)


def moment(text: str) -> datetime:
    """Return when that was."""
    return datetime.fromisoformat(text)


def test_a_web_hook_that_hangs_delays_no_order(tmp_path: Path, hook: Receiver) -> None:
    """The message is the other process' trouble."""
    hook.silent = True
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 0.0}
        listen_to(running, hook, events=EVERY)
        with armed(running) as post:
            post.wait_for("armed")
            post.signal(signal.SIGUSR1)
            assert post.ended() == 0, post.errors
        assert running.is_flat
        by_type = {r["event_type"]: moment(r["timestamp"]) for r in reversed(running.records())}
        running.assert_trail_closed()

    waited = by_type["ORDER_SENT"] - by_type["ARM_TRIPPED"]
    assert waited.total_seconds() < 0.5


def test_being_armed_and_stopped_and_degraded_is_told_to_who_asks(
    tmp_path: Path, hook: Receiver
) -> None:
    """A paused heartbeat is a lack that lasts: told once, and so is its end."""
    beat = tmp_path / "beat"
    beat.touch()
    with program(tmp_path) as running:
        running.more["arm"] = {"heartbeat_file": str(beat), "heartbeat_seconds": 600.0}
        listen_to(running, hook, events=["armed", "degraded"])
        with armed(running) as post:
            post.wait_for("armed")
            hook.wait_for(1)
            (tmp_path / "beat.paused").touch()
            os.utime(beat)
            wait_until(lambda: "degraded" in hook.events, "it was not told")
            post.signal(signal.SIGTERM)
            assert post.ended() == 143
        came = hook.wait_for(3)

    texts = [each.document["text"] for each in came]
    assert hook.events == ["armed", "degraded", "armed"]
    assert "ARMED: 3 positions, 0 guards, heartbeat of 600 s; arm_" in texts[0]
    assert "DEGRADED: heartbeat paused; arm_" in texts[1]
    assert "DISARMED: stopped, exit 143; nothing watches the account; arm_" in texts[2]


def test_a_handed_over_run_is_told_once(tmp_path: Path, hook: Receiver) -> None:
    """Who handed it over tells nobody: the armed process has done the work and tells of it."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 0.0}
        listen_to(running, hook, events=["end"])
        with armed(running) as post:
            post.wait_for("armed")
            assert running.run("--reason", "by hand").code == 0
            assert post.ended() == 0
        (end,) = hook.wait_for(1)

    assert end.document["exit_code"] == 0
    assert hook.events == ["end"]
