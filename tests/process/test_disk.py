"""A disk that is slow, or never answers, delays no order by more than its bound."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liqctl.sim.scenario import make_large_account
from tests.process.program import Ended, Program, overshoot_max_s, program

TRAIL, PARTIAL = 8, 3
POSITIONS = 100
RATIO_MAX = 1.2
NOISE_MS = 100.0
TRIES_MAX = 3
"""What a busy test machine may add, and how often it may add more. Each append used to be waited
for: the first close left after 2 s with 20 ms an append, and never with 50."""

HANG = """
    import fcntl, os, threading, time
    def at(place, name):
        if isinstance(place, int):
            try:
                place = os.readlink(f"/proc/self/fd/{{place}}")
            except OSError:
                return False
        return os.fspath(place).endswith(name) if not isinstance(place, bytes) else False
    def patch(module, call):
        original = getattr(module, call)
        def patched(place, *rest, **named):
            if at(place, {name!r}):
                {action}
            return original(place, *rest, **named)
        setattr(module, call, patched)
    patch({module}, {call!r})
"""
"""Lets one kind of call on files of a name hang, or take its time."""

HUNG = "threading.Event().wait()"


def hang(running: Program, name: str, call: str, action: str = HUNG) -> None:
    """Let a call such as `os.write` on files of that name never return."""
    module, _, function = call.partition(".")
    running.hook(HANG.format(name=name, module=module, call=function, action=action))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account and the program beside it."""
    with program(tmp_path) as made:
        yield made


def assert_all_closed(running: Program, ended: Ended) -> dict[str, Any]:
    """Everything is closed and proven, and stdout holds one document."""
    assert ended.stdout, ended.stderr
    assert running.is_flat
    assert ended.result["state"] == "COMPLETED", ended.stdout
    assert ended.result["verified_flat"] is True
    ended.assert_clean()
    running.assert_never_overclosed()
    return ended.result


def spilled(ended: Ended) -> list[str]:
    """Return the types of the events that went to stderr."""
    lines = [line for line in ended.stderr.splitlines() if line.startswith("{")]
    return [json.loads(line)["event_type"] for line in lines]


def flat_after_ms(folder: Path, action: str | None) -> float:
    """Return how long after the first request the last close of a large account arrived."""
    folder.mkdir()
    scenario = make_large_account(symbols=POSITIONS, orders=0, algo=0)
    with program(folder, scenario, timeout_s=30.0) as running:
        if action is not None:
            hang(running, "audit.jsonl", "os.write", action)
        ended = running.run()
        assert_all_closed(running, ended)
        assert len(running.server.venue.account.journal.fills) == POSITIONS
        checked = running.run("audit", "verify", "--log", str(running.trail), "--json")
        assert checked.code == 0, checked.stdout
        requests = list(running.server.venue.account.journal.requests)
        closes = [at for at, method, *_ in requests if method == "POST"]
        written = [record["event_type"] for record in running.records()]
    assert ended.code == (0 if ended.result["audit_complete"] else TRAIL)
    told = written + spilled(ended)
    assert told.count("ORDER_SENT") == POSITIONS
    if ended.code == 0:
        assert written[-1] == "LIQUIDATION_COMPLETE"
    return float(closes[-1] - requests[0][0])


@pytest.mark.parametrize("append_s", [0.02, 0.05])
def test_a_slow_disk_closes_a_large_account_as_fast_as_a_quick_one(
    tmp_path: Path, append_s: float, record_property: Any
) -> None:
    """What it costs is a constant of the run, not one for each record or wave of orders."""
    pairs: list[tuple[float, float]] = []
    while not pairs or (pairs[-1][1] > RATIO_MAX * pairs[-1][0] + NOISE_MS):
        assert len(pairs) < TRIES_MAX, pairs
        number = len(pairs)
        quick_ms = flat_after_ms(tmp_path / f"quick-{number}", None)
        slow_ms = flat_after_ms(tmp_path / f"slow-{number}", f"time.sleep({append_s})")
        pairs.append((quick_ms, slow_ms))

    record_property("quick_and_slow_ms", pairs)


@pytest.mark.parametrize(
    "call", ["os.write", "os.open", "os.stat", "fcntl.flock", "os.fstat", "os.pread"]
)
def test_a_call_on_the_trail_that_hangs_stops_nothing(running: Program, call: str) -> None:
    """A dead disk in the night it matters: closed all the same, told on stderr and by exit 8."""
    if call == "os.pread":
        running.trail.parent.mkdir()
        running.trail.write_bytes(b"{}\n")
        running.trail.chmod(0o600)
    hang(running, "audit.jsonl", call)

    ended = running.run()

    result = assert_all_closed(running, ended)
    assert ended.code == TRAIL
    assert result["audit_complete"] is False
    assert "cannot be written: the disk did not answer in time" in ended.stderr
    assert spilled(ended)[0] == "LIQUIDATION_START"
    assert spilled(ended)[-1] == "LIQUIDATION_COMPLETE"
    assert result["duration_seconds"] < running.timeout_s - 1.0


def test_a_sync_that_hangs_stops_nothing_and_loses_nothing(running: Program) -> None:
    """The records are with the operating system; that they are on disk is not known."""
    hang(running, "audit.jsonl", "os.fdatasync")

    ended = running.run()

    result = assert_all_closed(running, ended)
    assert (ended.code, result["audit_complete"]) == (TRAIL, False)
    assert running.records()[-1]["event_type"] == "LIQUIDATION_COMPLETE"
    assert not spilled(ended)


def test_a_disk_that_comes_back_gets_every_record_and_no_blame(running: Program) -> None:
    """Late is not lost: what is on disk at the end makes the trail complete."""
    hang(running, "audit.jsonl", "os.fdatasync", "threading.Event().wait(0.1)")

    ended = running.run()

    result = assert_all_closed(running, ended)
    assert (ended.code, result["audit_complete"]) == (0, True)
    running.assert_trail_closed()


@pytest.mark.parametrize(
    "call", ["os.open", "os.fstat", "os.stat", "fcntl.flock", "os.pread", "os.pwrite"]
)
def test_a_call_on_the_lock_that_hangs_stops_nothing(running: Program, call: str) -> None:
    """The home directory is on a server that does not answer."""
    name = "state/liqctl" if call == "os.stat" else ".lock"
    hang(running, name, call)

    ended = running.run()

    result = assert_all_closed(running, ended)
    assert ended.code == 0
    assert "nothing keeps a second run off this account" in str(result["notes"])
    assert "did not answer" in str(result["notes"])
    assert result["duration_seconds"] < running.timeout_s - 1.0
    running.hook("")
    running.assert_trail_closed()


@pytest.mark.parametrize("call", ["os.open", "os.fstat", "os.stat"])
def test_a_call_on_the_log_that_hangs_stops_nothing(running: Program, call: str) -> None:
    """The log for people is worth nothing against a position that is open."""
    hang(running, "liqctl.log", call)

    ended = running.run()

    assert_all_closed(running, ended)
    assert ended.code == 0
    assert ended.seconds < running.timeout_s
    running.hook("")
    running.assert_trail_closed()


@pytest.mark.parametrize("call", ["os.write", "os.open"])
def test_past_the_deadline_the_document_comes_before_the_record(
    running: Program, call: str
) -> None:
    """The last resort prints first: a dead disk must not take the answer along."""
    running.timeout_s = 1.0
    running.hang(method="POST")
    running.hook(
        HANG.format(name="audit.jsonl", module="os", call=call.partition(".")[2], action=HUNG)
        + """
    import asyncio
    make = asyncio.new_event_loop
    def made():
        loop = make()
        loop.call_later(0.5, lambda: [None for _ in iter(int, 1)])
        return loop
    asyncio.new_event_loop = made
"""
    )

    ended = running.run()

    assert ended.code == PARTIAL, ended.stderr
    assert ended.result["deadline_exceeded"] is True
    assert ended.result["audit_complete"] is False
    assert "LIQUIDATION_PARTIAL" in spilled(ended)
    assert ended.seconds < running.timeout_s + overshoot_max_s() + 1.0
