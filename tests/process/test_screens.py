"""What draws screens: loaded when everything is sent, and never waited for."""

import os
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from liqctl.sim.scenario import load_scenario
from tests.process.program import PATIENCE_S, Program, overshoot_max_s, overshoot_s, program
from tests.terminal import needs_tmux, on_terminal

NO_VIEW = {"TERM": "dumb"}  # the live view loads rich in a thread of its own
WATCHED_IMPORT = """
    import sys, threading, time
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "rich" or name.startswith("rich."):
                with open({place!r}, "a") as file:
                    print(time.time(), file=file)
                if {hangs}:
                    threading.Event().wait()
    sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account and a program without a live view."""
    with program(tmp_path) as running:
        running.variables |= NO_VIEW
        yield running


def watch_import(running: Program, *, hangs: bool = False) -> Path:
    """Return the file that tells when something of rich was looked for."""
    place = running.folder / "rich"
    running.hook(WATCHED_IMPORT.format(place=str(place), hangs=hangs))
    return place


def on_pty(running: Program, *arguments: str) -> tuple[int, str]:
    """Return exit code and stdout of the program on a terminal that is 80 columns wide."""
    ours, theirs = os.openpty()
    with running.start(*arguments, stdout=theirs) as started:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the other end was closed
                break
        os.close(ours)
        return started.wait(PATIENCE_S), shown.decode().replace("\r\n", "\n")


def test_rich_is_loaded_after_the_last_order(running: Program) -> None:
    """Its 70 ms may cost a screen's reader some, and no position."""
    place = watch_import(running)

    code, shown = on_pty(running, "liquidate")

    asked = {"ORDER_SENT", "ORDER_CANCEL_SENT"}
    sent = [r["timestamp"] for r in running.records() if r["event_type"] in asked]
    assert code == 0
    assert re.search(r"\nsymbol   +side   +quantity +notional  result\n", shown), shown
    first_import = float(place.read_text().split()[0])
    assert first_import > datetime.fromisoformat(max(sent)).timestamp()


def test_a_disk_that_does_not_give_rich_away_costs_the_colours_only(running: Program) -> None:
    """The last resort prints the same rows without it, in time and with the run's own code."""
    place = watch_import(running, hangs=True)

    code, shown = on_pty(running, "liquidate")
    gone_at = time.time()

    assert place.exists(), "nothing was drawn"
    assert code == 0
    assert shown.startswith("COMPLETED: flat, proven")
    assert re.search(r"\nsymbol   +side   +quantity +notional  result\n", shown), shown
    assert "\x1b" not in shown
    assert overshoot_s(running.records(), gone_at, 5.0) < overshoot_max_s()
    running.hook("")
    running.assert_trail_closed()


@pytest.mark.parametrize("command", ["liquidate", "status", "validate"])
def test_a_pipe_gets_a_message_a_line_and_nothing_but_text(running: Program, command: str) -> None:
    """Cron, grep and a ticket."""
    ended = running.run(command)

    assert ended.code == 0
    assert not re.search(r"\x1b|[\u2500-\u257f…]", ended.stdout)
    assert not [line for line in ended.stdout.splitlines() if re.match(r" {4,}\S", line)]


@needs_tmux
@pytest.mark.parametrize("width", [80, 50])
def test_a_narrow_terminal_keeps_every_number_whole(tmp_path: Path, width: int) -> None:
    """What is left to close by hand is read off this screen."""
    with program(tmp_path, load_scenario("halted_symbol")) as running:
        running.variables |= NO_VIEW
        with on_terminal(running, "liquidate", width=width, height=60) as terminal:
            code, shown = terminal.wait_for_end()

    assert code == 3
    lines = [line.strip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= width
    words = shown.split()
    for number in ("30,000.00", "6,000.00", "36,000.00", "-1122"):
        assert number in {word.strip(",()") for word in words}, shown
    assert "PARTIAL: some of it is closed" in shown
