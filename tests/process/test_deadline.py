"""The deadline against everything that hangs: the process is gone in time, with the right code."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.process.program import Ended, Program, overshoot_max_s, overshoot_s, program

FAILED, PARTIAL, TRAIL = 1, 3, 8
TIMEOUT_S = 1.0
START_S = 3.0

SLOW_LOOK_UP = """
    import socket, threading
    socket.getaddrinfo = lambda *a, **k: threading.Event().wait()
"""
SLOW_DISK = """
    import os, threading
    os.fdatasync = os.fsync = lambda fd: threading.Event().wait()
"""
SLOW_LOG = """
    import logging.handlers, threading
    logging.handlers.RotatingFileHandler.emit = lambda *_: threading.Event().wait()
"""
SLOW_MODULES = """
    import importlib, threading
    original = importlib.import_module
    def import_module(name, *rest, **more):
        if name == "liqctl.kernel.rounds":
            threading.Event().wait()
        return original(name, *rest, **more)
    importlib.import_module = import_module
"""
BUSY_LOOP = """
    import asyncio, itertools
    make = asyncio.new_event_loop
    def made():
        loop = make()
        loop.call_later(0.6, lambda: [None for _ in iter(int, 1)])
        return loop
    asyncio.new_event_loop = made
"""
INTERPRETER_HELD = """
    import asyncio, re
    make = asyncio.new_event_loop
    def made():
        loop = make()
        loop.call_later(0.6, lambda: re.match("(a+)+$", "a" * 60 + "b"))
        return loop
    asyncio.new_event_loop = made
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account and a program that has one second."""
    with program(tmp_path, timeout_s=TIMEOUT_S) as made:
        yield made


def listen(stack: ExitStack, backlog: int) -> int:
    """Return the port of a listener that never accepts; what connects beyond the backlog hangs."""
    listener = stack.enter_context(closing(socket.socket()))
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    port: int = listener.getsockname()[1]
    return port


def fill(stack: ExitStack, port: int) -> None:
    """Take every place in a listener's queue."""
    for _ in range(4):
        client = stack.enter_context(closing(socket.socket()))
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))


def run_in_time(running: Program, record: Callable[[str, object], None]) -> Ended:
    """Run the program; it must be gone soon after its deadline, without a stray word."""
    ended = running.run()
    late_s = overshoot_s(running.records(), time.time(), running.timeout_s)
    record("overshoot_s", round(late_s, 3))
    assert late_s < overshoot_max_s()
    ended.assert_clean()
    return ended


@pytest.mark.parametrize("way", ["no answer", "no connection", "no handshake", "no look-up"])
def test_an_unreachable_venue_ends_in_time(
    running: Program, way: str, record_property: Callable[[str, object], None]
) -> None:
    """`asyncio.timeout` alone waits for a thread stuck in a name look-up."""
    with ExitStack() as stack:
        port = listen(stack, 0 if way == "no connection" else 100)
        scheme, host = "http", "127.0.0.1"
        if way == "no connection":
            fill(stack, port)
        if way == "no handshake":
            scheme = "https"
        if way == "no look-up":
            host = "localhost"
            running.hook(SLOW_LOOK_UP)
        running.url = f"{scheme}://{host}:{port}"

        ended = run_in_time(running, record_property)

    assert ended.code == FAILED
    assert ended.result["residual"] is None
    assert ended.result["deadline_exceeded"] is True
    running.assert_trail_closed()


@pytest.mark.parametrize(
    ("faults", "codes"),
    [
        ([{"reads": True}], {FAILED}),
        ([{"kind": "drip", "reads": True}], {FAILED}),
        ([{"writes": True}], {FAILED}),
        ([{"method": "POST"}], {PARTIAL}),
        # Proven where a second is enough to send the last cancels twice; flat in either case.
        ([{"kind": "hang_executed", "writes": True}], {0, PARTIAL}),
        ([{"reads": True, "skip": 3}], {PARTIAL}),
        ([{"kind": "drip"}], {FAILED}),
    ],
    ids=[
        "reads hang",
        "reads drip",
        "writes hang",
        "closes hang",
        "writes hang, executed",
        "later reads hang",
        "all drips",
    ],
)
def test_a_venue_that_hangs_ends_in_time_with_the_right_code(
    running: Program,
    faults: list[dict[str, Any]],
    codes: set[int],
    record_property: Callable[[str, object], None],
) -> None:
    """What is not proven is not claimed, and waiting for it has an end."""
    for fault in faults:
        running.hang(**fault)

    ended = run_in_time(running, record_property)

    assert ended.code in codes, ended.stdout
    assert ended.result["verified_flat"] is (ended.code == 0)
    assert running.is_flat or 0 not in codes
    running.assert_never_overclosed()
    running.assert_trail_closed()


def test_a_disk_that_hangs_does_not_stop_the_liquidation(
    running: Program, record_property: Callable[[str, object], None]
) -> None:
    """A dying disk blocks a sync without limit, in a state no signal ends."""
    running.hook(SLOW_DISK)

    ended = run_in_time(running, record_property)

    assert ended.code == TRAIL
    assert running.is_flat
    assert ended.result["audit_complete"] is False


def test_a_disk_that_hangs_and_a_venue_that_hangs_end_in_time(
    running: Program, record_property: Callable[[str, object], None]
) -> None:
    """The bounds of two troubles must not add up."""
    running.hook(SLOW_DISK)
    running.hang()

    ended = run_in_time(running, record_property)

    assert ended.code == FAILED
    assert ended.result["audit_complete"] is False
    running.assert_trail_closed()


@pytest.mark.parametrize(("fault", "code"), [({"method": "POST"}, PARTIAL), ({}, FAILED)])
def test_a_log_that_hangs_after_the_end_ends_in_time(
    running: Program,
    fault: dict[str, Any],
    code: int,
    record_property: Callable[[str, object], None],
) -> None:
    """The disk may die after the answer was printed: the process must be gone in time."""
    running.hook(SLOW_LOG)
    running.hang(**fault)

    ended = run_in_time(running, record_property)

    assert ended.code == code
    assert ended.result["deadline_exceeded"] is True
    running.assert_trail_closed()


def test_a_log_that_hangs_after_a_flat_end_keeps_the_exit_code(running: Program) -> None:
    """Monitoring must not read a failure from an account that is proven flat."""
    running.hook(SLOW_LOG)
    running.timeout_s = 5.0  # enough to become flat on a busy machine

    ended = running.run()

    assert ended.code == 0
    assert ended.result["verified_flat"] is True
    assert ended.seconds < running.timeout_s + overshoot_max_s() + START_S


def test_a_program_that_cannot_be_loaded_in_time_says_so(running: Program) -> None:
    """A file system that hangs: the caller's parser must still find its one document."""
    running.hook(SLOW_MODULES)

    ended = running.run()

    assert ended.code == FAILED
    assert ended.result["state"] == "FAILED"
    assert "no order and no cancel was sent" in ended.result["error_message"]
    assert ended.seconds < TIMEOUT_S + overshoot_max_s() + START_S
    assert not running.sent()


def test_a_busy_event_loop_is_ended_from_outside(
    running: Program, record_property: Callable[[str, object], None]
) -> None:
    """A loop that never comes back cannot time itself out."""
    running.hook(BUSY_LOOP)
    running.hang(method="POST")

    ended = run_in_time(running, record_property)

    assert ended.code in {FAILED, PARTIAL}
    assert ended.result["deadline_exceeded"] is True
    running.assert_trail_closed()


def test_a_process_that_cannot_run_python_is_ended_and_found_by_the_next_run(
    running: Program, record_property: Callable[[str, object], None]
) -> None:
    """Without the interpreter nothing can be recorded; the next run says so instead."""
    running.hook(INTERPRETER_HELD)
    held = running.hang(method="POST")

    assert run_in_time(running, record_property).code == FAILED

    running.hook("")
    running.server.venue.faults.remove(held)
    ended = running.run()
    assert ended.code == 0, ended.stdout
    assert [r["event_type"] for r in running.records()].count("LIQUIDATION_ABANDONED") == 1
    running.assert_trail_closed()


def test_a_dry_run_does_not_wait_for_a_look_up_either(running: Program) -> None:
    """`asyncio.run` joins the thread that looks the name up, for ever."""
    running.hook(SLOW_LOOK_UP)
    running.url = running.server.url.replace("127.0.0.1", "localhost")

    ended = running.run("--dry-run")

    assert ended.code == FAILED
    assert ended.seconds < TIMEOUT_S + overshoot_max_s() + START_S
    ended.assert_clean()
