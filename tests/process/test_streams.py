"""Broken outputs: what is sent and how the program ends do not depend on who listens."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.program import Program, command, overshoot_max_s, overshoot_s, program

DONE = 0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account and the program beside it."""
    with program(tmp_path) as made:
        yield made


def shell(running: Program, redirections: str) -> int:
    """Run the program under a shell's redirections; return its own exit code."""
    words = " ".join(command())
    ended = subprocess.run(
        ["bash", "-c", f"{words} {redirections}; exit ${{PIPESTATUS[0]}}"],
        check=False,
        env=running.environ(),
        cwd=running.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    return ended.returncode


@pytest.mark.parametrize(
    "redirections",
    [
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        "> /dev/full",
        "> /dev/full 2> /dev/full",
        "| head -c 1",
        "2>&1 | true",
        "| head -c 0",
    ],
)
def test_broken_outputs_change_neither_what_is_sent_nor_the_exit_code(
    running: Program, redirections: str
) -> None:
    """A naive tool piped into `head` closed one of five positions and died."""
    assert shell(running, redirections) == DONE

    assert running.is_flat
    # Three closes, an order and a stop cancelled, both books of three symbols swept at the end.
    assert sum(running.sent().values()) == 3 + 2 + 3 * 2
    running.assert_never_overclosed()
    running.assert_trail_closed()


def test_closed_descriptors_do_not_make_the_trail_the_output(running: Program) -> None:
    """A result printed into the audit trail would break the proof."""
    assert shell(running, "<&- >&- 2>&-") == DONE

    assert all("event_type" in record for record in running.records())


def test_nobody_reading_a_full_pipe_does_not_hold_the_program_past_its_deadline(
    tmp_path: Path,
) -> None:
    """A pager that was stopped must not keep a kill switch alive for ever."""
    with program(tmp_path, timeout_s=1.0) as running:
        running.hang(reads=True)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
        try:
            with running.start(stdout=writer, stderr=writer) as started:
                assert started.wait(30) == 1
                gone_at = time.time()
        finally:
            os.close(reader)
            os.close(writer)

        assert overshoot_s(running.records(), gone_at, 1.0) < overshoot_max_s()
        running.assert_trail_closed()
