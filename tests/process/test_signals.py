"""Signals, the stopped process and the terminal, through the real program."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.program import (
    PATIENCE_S,
    Program,
    command,
    end,
    overshoot_max_s,
    overshoot_s,
    program,
    wait_until,
)

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
READ_LAST_S = 4.0  # what is under way may end (1.7 s), then doubt is read away (2 s)

KILLED_AT = """
    import os, sys
    class Noticed:
        def find_spec(self, name, *_):
            if name == "{module}":
                sys.meta_path.remove(self)
                os.kill(os.getpid(), {number})
    sys.meta_path.insert(0, Noticed())
"""
"""Sends the program a signal when it begins to load a module."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account and the program beside it."""
    with program(tmp_path) as made:
        yield made


@pytest.mark.parametrize(("number", "code"), CODES)
def test_the_first_signal_stops_sending_reads_once_more_and_tells(
    running: Program, number: signal.Signals, code: int
) -> None:
    """What is known must be recorded and printed all the same."""
    running.hang(method="POST")
    began_at = time.monotonic()
    with running.start() as started:
        running.wait_for("ORDER_CANCELLED")
        running.wait_for("ORDER_SENT", count=3)
        wait_until(lambda: sum(running.sent().values()) == 4, "four writes")
        signalled_at = time.monotonic()
        readings = [r["event_type"] for r in running.records()].count("SNAPSHOT_TAKEN")
        sent = running.sent()
        started.send_signal(number)
        ended = end(started, began_at)

    assert ended.code == code
    assert time.monotonic() - signalled_at < READ_LAST_S + overshoot_max_s()
    assert running.sent() == sent
    assert [r["event_type"] for r in running.records()].count("SNAPSHOT_TAKEN") > readings
    assert ended.result["state"] == "PARTIAL"
    assert len(ended.result["residual"]["positions"]) == 3
    assert "interrupted" in ended.result["error_message"]
    assert "again to leave at once" in ended.stderr
    ended.assert_clean()
    running.assert_trail_closed()


@pytest.mark.parametrize(("number", "code"), CODES)
def test_the_second_signal_leaves_at_once(
    running: Program, number: signal.Signals, code: int
) -> None:
    """A second Ctrl-C is the operator's last word."""
    running.hang()
    began_at = time.monotonic()
    with running.start() as started:
        running.wait_for("LIQUIDATION_START")
        started.send_signal(number)
        assert started.stderr is not None
        assert b"stopping" in started.stderr.readline()
        signalled_at = time.monotonic()
        started.send_signal(number)
        ended = end(started, began_at)

    assert ended.code == code
    assert time.monotonic() - signalled_at < overshoot_max_s()
    assert ended.result["state"] == "FAILED"
    ended.assert_clean()
    running.assert_trail_closed()


def test_a_signal_while_the_program_loads_still_leaves_one_document(running: Program) -> None:
    """Whoever parses the output must not have to guess what an empty one means."""
    running.hook(KILLED_AT.format(module="liqctl.kernel.rounds", number=int(signal.SIGINT)))

    ended = running.run()

    assert ended.code == 130
    assert "nothing was sent" in ended.result["error_message"]
    assert not running.sent()
    ended.assert_clean()


@pytest.mark.parametrize(("number", "code"), CODES)
@pytest.mark.parametrize(
    "module",
    [
        "liqctl.kernel.errors",
        "liqctl.cli.options",
        "liqctl.cli.liquidate",
        "liqctl.settings.sources",
        "liqctl.cli.wiring",
        "aiohttp",
        "liqctl.kernel.result",
        "liqctl.kernel.as_json",
    ],
)
def test_a_signal_in_the_first_moments_still_leaves_one_document(
    running: Program, number: signal.Signals, code: int, module: str
) -> None:
    """Also in the middle of loading what the answer is made with."""
    running.hook(KILLED_AT.format(module=module, number=int(number)))

    ended = running.run()

    assert ended.code == code, ended.stderr
    assert ended.result["state"] == ("COMPLETED" if running.is_flat else "FAILED")
    assert running.is_flat or not running.sent()
    ended.assert_clean()


def test_a_last_word_that_cannot_be_loaded_keeps_nobody(running: Program) -> None:
    """A dead disk must not keep the process that was told to go."""
    running.hook(
        KILLED_AT.format(module="liqctl.settings.sources", number=int(signal.SIGTERM))
        + """
    import threading
    class Hung:
        def find_spec(self, name, *_):
            if name == "liqctl.kernel.result":
                open("hung", "w").close()
                threading.Event().wait()
    sys.meta_path.insert(0, Hung())
    """
    )

    ended = running.run()

    assert (running.folder / "hung").exists()
    assert ended.code == 143
    assert ended.seconds < 1.0 + overshoot_max_s()
    assert not running.sent()


def test_a_signal_wins_over_a_run_that_ends_flat(running: Program) -> None:
    """The exit code tells that the operator stopped it, the result that nothing is left."""
    running.hang(kind="slow", writes=True)
    began_at = time.monotonic()
    with running.start() as started:
        running.wait_for("ORDER_SENT", count=3)
        started.send_signal(signal.SIGINT)
        ended = end(started, began_at)

    assert ended.code == 130
    ended.assert_clean()
    running.assert_trail_closed()


@pytest.mark.parametrize(("number", "code"), CODES)
@pytest.mark.parametrize("stdio", ["import sys", "import asyncio", "import ccxt", "import yaml"])
def test_a_signal_during_imports_ends_with_its_code(
    running: Program, number: signal.Signals, code: int, stdio: str
) -> None:
    """Nothing was sent, and no traceback of a library's import is shown."""
    name = stdio.removeprefix("import ")
    running.hook(
        f"""
        import builtins, os
        original = builtins.__import__
        def noticed(name, *rest, **named):
            started = globals().get("started", False)
            if name == "liqctl.cli.options":
                globals()["started"] = True
            if started and name.split(".")[0] == "{name}":
                builtins.__import__ = original
                os.kill(os.getpid(), {int(number)})
            return original(name, *rest, **named)
        builtins.__import__ = noticed
        """
    )

    ended = running.run()

    assert ended.code == code, ended.stderr
    assert not running.sent()
    ended.assert_clean()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGPIPE, signal.SIGTSTP])
def test_a_dropped_session_a_closed_pipe_and_the_stop_key_change_nothing(
    running: Program, number: signal.Signals
) -> None:
    """A stopped kill is half a kill; a dropped SSH session left two of five open."""
    running.hang(kind="slow", writes=True)
    began_at = time.monotonic()
    with running.start() as started:
        running.wait_for("LIQUIDATION_START")
        started.send_signal(number)
        running.wait_for("ORDER_SENT", count=3)
        started.send_signal(number)
        ended = end(started, began_at)

    assert ended.code == 0, ended.stderr
    assert running.is_flat
    sent = running.sent()
    assert sent.pop(("DELETE", "/fapi/v1/algoOrder"), 0) <= 1, "the stop may expire by itself"
    assert sent == {
        ("POST", "/fapi/v1/order"): 3,
        ("DELETE", "/fapi/v1/allOpenOrders"): 1 + 3,  # One before the closes, one for each symbol
        ("DELETE", "/fapi/v1/algoOpenOrders"): 3,  # at the end of the window, of either book.
    }
    ended.assert_clean()
    running.assert_trail_closed()


@pytest.mark.parametrize("module", ["liqctl.cli.wiring", "aiohttp", "liqctl.kernel.rounds"])
def test_a_session_dropped_while_the_program_loads_changes_nothing(
    running: Program, module: str
) -> None:
    """Enter was pressed, then the line went dead: the account must be closed all the same."""
    running.hook(KILLED_AT.format(module=module, number=int(signal.SIGHUP)))

    ended = running.run()

    assert ended.code == 0, ended.stderr
    assert running.is_flat


def test_a_run_that_was_stopped_and_continued_ends_as_it_would_have(running: Program) -> None:
    """A suspended laptop or debugger must not lead to doubled orders."""
    running.hang(kind="slow", writes=True)
    began_at = time.monotonic()
    with running.start() as started:
        running.wait_for("ORDER_SENT")
        started.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, started.pid, os.WSTOPPED | os.WNOWAIT)
        time.sleep(0.7)
        started.send_signal(signal.SIGCONT)
        ended = end(started, began_at)

    assert ended.code == 0, ended.stdout
    assert running.is_flat
    running.assert_never_overclosed()
    running.assert_trail_closed()


def test_a_run_that_was_stopped_past_its_deadline_sends_nothing_more(tmp_path: Path) -> None:
    """Hours later the orders of then are wrong; the process says what it knows and goes."""
    with program(tmp_path, timeout_s=1.0) as running:
        running.hang(method="POST")
        began_at = time.monotonic()
        with running.start() as started:
            running.wait_for("ORDER_SENT")
            started.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, started.pid, os.WSTOPPED | os.WNOWAIT)
            time.sleep(1.5)
            running.server.venue.faults.clear()
            sent = running.sent()
            started.send_signal(signal.SIGCONT)
            ended = end(started, began_at)

        assert ended.code in {1, 3}, ended.stdout
        assert running.sent() == sent
        ended.assert_clean()


def open_terminal(running: Program) -> "tuple[subprocess.Popen[bytes], int]":
    """Start a production run on a terminal of its own; return it and the operator's side."""
    environ = running.environ()
    settings = Path(environ["LIQCTL_CONFIG"])
    settings.write_text(settings.read_text().replace("simulator", "production"))
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        command("--env", "production"),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environ,
        cwd=running.folder,
        start_new_session=True,
    )
    os.close(theirs)
    return started, ours


def read_until(fd: int, word: bytes) -> bytes:
    """Return what the terminal shows up to a word."""
    seen = b""
    ends_at = time.monotonic() + PATIENCE_S
    while word not in seen:
        assert time.monotonic() < ends_at, seen
        if select.select([fd], [], [], 0.1)[0]:
            seen += os.read(fd, 4096)
    return seen


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_at_the_prompt_ends_with_its_code_and_sends_nothing(
    running: Program, number: signal.Signals, code: int
) -> None:
    """Ctrl-C is the natural way to say no."""
    started, ours = open_terminal(running)
    with started:
        seen = read_until(ours, b"to go on")
        assert b"BTCUSDT" in seen
        started.send_signal(number)
        ended = end(started, time.monotonic())
    os.close(ours)

    assert ended.code == code
    assert ended.result["error_message"] == "interrupted: nothing was sent"
    assert not running.sent()
    assert not running.records()


def test_the_typed_word_starts_the_run_and_a_vanished_terminal_does_not_stop_it(
    running: Program,
) -> None:
    """The SSH session drops right after the answer: the account must still be closed."""
    started, ours = open_terminal(running)
    running.hang(kind="slow", writes=True)
    with started:
        read_until(ours, b"to go on")
        os.write(ours, b"production\n")
        running.wait_for("LIQUIDATION_START")
        os.close(ours)
        ended = end(started, time.monotonic())

    assert ended.code == 0
    assert running.is_flat
    running.assert_trail_closed()


def test_a_terminal_that_is_stopped_does_not_stop_the_run(tmp_path: Path) -> None:
    """Ctrl-S, or a selection in a terminal window, blocks every write to it."""
    with program(tmp_path, timeout_s=2.0) as running:
        ours, theirs = pty.openpty()
        os.set_blocking(theirs, False)
        try:
            while True:
                os.write(theirs, b"x" * 1024)
        except BlockingIOError:
            os.set_blocking(theirs, True)
        with running.start(
            "liquidate", stdout=theirs, stderr=theirs, start_new_session=True
        ) as started:
            assert started.wait(PATIENCE_S) == 0
            gone_at = time.time()
        os.close(ours)
        os.close(theirs)

        assert overshoot_s(running.records(), gone_at, 2.0) < overshoot_max_s()
        assert running.is_flat
        running.assert_trail_closed()
