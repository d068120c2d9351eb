"""The live view through the real program on a real terminal, and its absence everywhere else."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from liqctl.cli.live import can_redraw
from liqctl.sim.scenario import load_scenario
from tests.cli.house import house
from tests.process.program import (
    PATIENCE_S,
    Program,
    overshoot_max_s,
    overshoot_s,
    program,
)
from tests.terminal import needs_tmux, on_terminal

HALTED: Final = load_scenario("halted_symbol")
XTERM: Final = {"TERM": "xterm-256color", "CI": ""}


@pytest.fixture
def halted(tmp_path: Path) -> Iterator[Program]:
    """One of two symbols is halted: a run lasts until its deadline."""
    with program(tmp_path, HALTED, timeout_s=3.0) as running:
        running.variables |= XTERM
        yield running


@needs_tmux
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_a_run_is_seen_while_it_goes_on(halted: Program, width: int, height: int) -> None:
    """What is open, each leg's way, the time left and the reason for each retry."""
    with on_terminal(halted, "liquidate", width=width, height=height) as terminal:
        shown = terminal.wait_for("attempt 3", "flat", "s left of 3 s")
        code, ended = terminal.wait_for_end()
        history = terminal.history()

    assert "30,000.00 of 36,000.00 notional" in shown
    assert "trouble   BTCUSDT: Invalid symbol status. (code -1122)" in shown
    assert shown.index("BTCUSDT  LONG") < shown.index("ETHUSDT  SHORT")
    assert code == 3
    assert "PARTIAL" in ended
    assert "left of 3 s" not in history, "a frame was left above the end screen"
    assert "liqctl liquidate --env simulator" in ended


@needs_tmux
def test_two_hundred_positions_fit_and_the_rest_is_one_line(tmp_path: Path) -> None:
    """Worst first; a frame that scrolls would be drawn over the wrong lines."""
    with program(tmp_path, load_scenario("large"), timeout_s=3.0) as running:
        running.variables |= XTERM
        running.hang(method="POST")
        with on_terminal(running, "liquidate") as terminal:
            shown = terminal.wait_for("no answer for", "still open")
            code, ended = terminal.wait_for_end()
            history = terminal.history()

    rest = next(line for line in shown.splitlines() if "still open" in line)
    assert rest.startswith("and ")
    assert "left of 3 s" not in history
    assert ended.startswith(("FAILED", "PARTIAL")), "the word must not scroll away"
    assert code in {1, 3}


@needs_tmux
def test_the_interrupt_key_says_stopping_and_leaves_one_clean_screen(halted: Program) -> None:
    """The words stand above the frame, the frame goes, the cursor is there."""
    with on_terminal(halted, "liquidate") as terminal:
        terminal.wait_for("attempt 2")
        terminal.keys("C-c")
        code, ended = terminal.wait_for_end()
        history = terminal.history()
        assert terminal.cursor_is_shown()

    assert code == 130
    assert history.count("stopping: nothing new is sent") == 1
    assert "left of 3 s" not in history
    assert "PARTIAL" in ended


@needs_tmux
def test_the_interrupt_key_twice_leaves_what_is_known(halted: Program) -> None:
    """The result takes the frame's place, without another word to the venue."""
    with on_terminal(halted, "liquidate") as terminal:
        terminal.wait_for("attempt 2")
        halted.hang()
        terminal.keys("C-c")
        terminal.wait_for("stopping: nothing new", "s left of")
        terminal.keys("C-c")
        code, ended = terminal.wait_for_end()
        assert terminal.cursor_is_shown()

    assert code == 130
    assert "s left of" not in ended
    assert "PARTIAL" in ended
    assert ended.index("BTCUSDT") < ended.index("EXIT CODE")


@needs_tmux
@pytest.mark.parametrize("signal_name", ["loop blocked", "interpreter held"])
def test_the_deadline_leaves_a_usable_terminal(halted: Program, signal_name: str) -> None:
    """The watchdog prints over the frame; the last resort cannot print, and needs not."""
    halted.timeout_s = 2.0
    blocking = "time.sleep(60)" if signal_name == "loop blocked" else "hold(60)"
    halted.hook(
        f"""
        import asyncio, ctypes, time
        hold = ctypes.PyDLL(None).sleep
        make = asyncio.new_event_loop
        def made():
            loop = make()
            loop.call_later(1.2, lambda: {blocking})
            return loop
        asyncio.new_event_loop = made
        """
    )
    with on_terminal(halted, "liquidate") as terminal:
        terminal.wait_for("s left of")
        code, ended = terminal.wait_for_end()
        history = terminal.history()
        assert terminal.cursor_is_shown()

    assert code in {1, 3}
    frames = history.count("s left of")
    assert frames == (0 if signal_name == "loop blocked" else 1), history
    assert ("PARTIAL" in ended) == (signal_name == "loop blocked")


@needs_tmux
def test_a_result_that_goes_elsewhere_leaves_the_last_frame(halted: Program) -> None:
    """`--json > file` at a terminal: what was seen does not vanish."""
    with on_terminal(halted, "liquidate", "--json", redirect="> result.json") as terminal:
        terminal.wait_for("attempt 3")
        code, ended = terminal.wait_for_end()

    assert code == 3
    assert ended.count("s left of") == 1
    assert "partial" in ended
    assert (halted.folder / "result.json").read_text().count('"schema"') == 1


@needs_tmux
def test_a_short_run_shows_no_frame(tmp_path: Path) -> None:
    """Thirty milliseconds of a frame are a flicker."""
    with program(tmp_path) as running:
        running.variables |= XTERM
        with on_terminal(running, "liquidate", redirect="2> /dev/tty") as terminal:
            code, _ = terminal.wait_for_end()
            history = terminal.history()

    assert code == 0
    assert history.startswith("COMPLETED")


def on_pty(running: Program, *arguments: str, **variables: str) -> tuple[int, bytes]:
    """Run the program on a bare terminal; return its exit code and every byte it wrote there."""
    running.variables |= {"TERM": "xterm", "CI": "", **variables}
    ours, theirs = pty.openpty()
    seen = b""
    with running.start(
        "liquidate", *arguments, stdin=theirs, stdout=theirs, stderr=theirs
    ) as started:
        os.close(theirs)
        while block := _read(ours):
            seen += block
        code = started.wait(PATIENCE_S)
    os.close(ours)
    return code, seen


def _read(ours: int) -> bytes:
    try:
        return os.read(ours, 65536)
    except OSError:  # the program has left its side
        return b""


def test_the_view_changes_nothing_on_the_terminal_that_must_be_changed_back(
    halted: Program,
) -> None:
    """A hidden cursor stays hidden when the kernel ends the process."""
    _, seen = on_pty(halted)

    assert b"\x1b[J" in seen
    assert b"\x1b[?" not in seen


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [((), {"TERM": "dumb"}), ((), {"CI": "true"}), (("--verbose",), {})],
    ids=["dumb", "ci", "verbose"],
)
def test_plain_lines_where_lines_cannot_be_drawn_anew_or_are_asked_for(
    halted: Program, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    """A log of CI keeps every frame; a dumb terminal shows the escapes."""
    halted.timeout_s = 1.5
    _, seen = on_pty(halted, *arguments, "--no-color", **variables)

    assert b"\x1b" not in seen
    assert b"RETRY_SCHEDULED symbol=BTCUSDT" in seen


def test_no_colour_in_the_view_where_it_is_unwanted(halted: Program) -> None:
    """NO_COLOR is about colours: lines are still drawn anew."""
    halted.timeout_s = 2.0
    _, coloured = on_pty(halted)
    _, plain = on_pty(halted, NO_COLOR="1")

    assert b"35m" in coloured
    assert not re.findall(rb"\x1b\[(?:\d+;)*(?:3[346-8]|4\d|9\d|10\d)[;m]", coloured)
    assert b"s left of" in plain
    codes = {part.lstrip(b"0123456789")[:1] for part in plain.split(b"\x1b[")[1:]}
    assert codes <= {b"A", b"J", b"K", b"M"}


def test_a_terminal_that_stops_reading_delays_neither_the_run_nor_its_end(
    tmp_path: Path,
) -> None:
    """Ctrl-S, or a stalled SSH session: what fills the terminal are our own frames."""
    with program(tmp_path, HALTED, timeout_s=3.0) as running:
        running.variables |= XTERM
        ours, theirs = pty.openpty()
        os.set_blocking(theirs, False)
        room = 0
        try:
            while True:
                room += os.write(theirs, b"x" * 256)
        except BlockingIOError:
            os.set_blocking(theirs, True)
        os.read(ours, 700)  # room for a part of a frame
        with running.start(
            "liquidate", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        ) as started:
            running.wait_for("RETRY_SCHEDULED", count=3)
            started.send_signal(signal.SIGINT)
            code = started.wait(PATIENCE_S)
            gone_at = time.time()
        os.close(ours)
        os.close(theirs)

        assert code == 130
        assert overshoot_s(running.records(), gone_at, 3.0) < overshoot_max_s()
        held = {h.symbol for h in running.server.venue.account.holdings.values() if h.amount}
        assert held == {"BTCUSDT"}
        running.assert_trail_closed()


def imported(running: Program, stderr: int) -> set[str]:
    """Return the packages that a run has imported, told by a hook at its end."""
    listed = running.folder / "imported"
    running.hook(
        f"""
        import os, sys
        leave = os._exit
        def tell(code):
            with open({str(listed)!r}, "w") as file:
                file.write(" ".join(sys.modules))
            leave(code)
        os._exit = tell
        """
    )
    with running.start("liquidate", "--json", stderr=stderr) as started:
        started.wait(PATIENCE_S)
    return {name for name in listed.read_text().split() if name.startswith(("rich", "liqctl"))}


def test_nothing_of_the_view_is_imported_where_stderr_is_no_terminal(halted: Program) -> None:
    """Cron pays nothing for what it cannot see, however long the run."""
    seen = imported(halted, subprocess.DEVNULL)

    assert "liqctl.cli.live" in seen
    assert not [name for name in seen if name.startswith("rich")]
    assert "liqctl.desk.live" not in seen


def test_a_short_run_on_a_terminal_imports_no_rich(tmp_path: Path) -> None:
    """Most runs are over before anybody could read a frame."""
    with program(tmp_path) as running:
        running.variables |= XTERM | {"LIQCTL_LIQUIDATION__SETTLE_SECONDS": "0"}
        ours, theirs = pty.openpty()
        seen = imported(running, theirs)
        os.close(ours)
        os.close(theirs)

    assert "liqctl.cli.live" in seen
    assert not [name for name in seen if name.startswith("rich")]


@pytest.mark.parametrize(
    ("environ", "redraws"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "screen", "CI": "false"}, True),
        ({"TERM": "xterm", "CI": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_which_terminals_are_drawn_on(environ: dict[str, str], redraws: bool) -> None:
    """An unknown terminal gets lines."""
    assert can_redraw(environ) is redraws


@needs_tmux
def test_a_trail_that_cannot_be_written_is_told_around_the_frame(halted: Program) -> None:
    """Its events go to the same terminal and must stay there, each of them."""
    (halted.folder / "logs").write_text("not a folder")
    halted.timeout_s = 2.0
    with on_terminal(halted, "liquidate") as terminal:
        terminal.wait_for("s left of 2 s")
        terminal.wait_for_end()
        history = terminal.history()

    assert "cannot be written" in history
    events = [json.loads(line) for line in history.splitlines() if line.startswith("{")]
    tries = [
        event["details"]["attempt"]
        for event in events
        if event["event_type"] == "ORDER_SENT" and event["details"]["symbol"] == "BTCUSDT"
    ]
    assert tries == list(range(1, len(tries) + 1))
    retries = [event["event_type"] for event in events].count("RETRY_SCHEDULED")
    assert retries >= len(tries) - 1
    assert "LIQUIDATION_PARTIAL" in history
    assert "s left of" not in history


@needs_tmux
def test_nothing_is_drawn_once_the_result_is_told(halted: Program) -> None:
    """A late frame would stand below the end screen; the process may take long to end."""
    halted.timeout_s = 2.0
    halted.hook(
        """
        import os, threading
        leave = os._exit
        def late(code):
            threading.Event().wait(0.6)
            leave(code)
        os._exit = late
        """
    )
    with on_terminal(halted, "liquidate") as terminal:
        terminal.wait_for("s left of 2 s")
        code, _ = terminal.wait_for_end()
        history = terminal.history()

    assert code in {1, 3}
    assert "s left of" not in history


@needs_tmux
@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 50)])
def test_several_accounts_are_seen_side_by_side(tmp_path: Path, width: int, height: int) -> None:
    """The one that hangs keeps the frame alive, and the end screen takes its place."""
    with house(tmp_path, timeout_s=3.0) as running:
        running.variables |= XTERM
        with on_terminal(
            running, "liquidate", "--all-accounts", width=width, height=height
        ) as terminal:
            shown = terminal.wait_for("1 failed, 1 reading, 3 flat", "s left of 3 s")
            code, ended = terminal.wait_for_end()
            history = terminal.history()

    rows = [line.split()[:2] for line in shown.splitlines()[7:12]]
    assert rows == [
        ["refused", "failed"],
        ["silent", "reading"],
        ["desk-a", "flat"],
        ["desk-b", "flat"],
        ["portfolio", "flat"],
    ]
    assert "unread    what is open on 2 accounts is not known" in shown
    assert code == 1
    assert ended.startswith("FAILED: 3 of 5 accounts proven flat")
    assert "left of 3 s" not in history
    assert "--account silent" in ended
