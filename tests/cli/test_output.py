"""Drawing on a terminal that may not read: never waited for, never left with half a frame."""

import os
import pty
from collections.abc import Iterator

import pytest

from liqctl.cli.output import Canvas, open_unblocked, write_patiently


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """The operator's and the program's side of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def fill(theirs: int) -> int:
    """Write until the terminal takes nothing more; return how much it took."""
    unblocked = open_unblocked(theirs)
    assert unblocked is not None
    taken = 0
    try:
        while True:
            taken += os.write(unblocked, b"x" * 512)
    except BlockingIOError:
        os.close(unblocked)
        return taken


def test_the_shells_own_descriptor_goes_on_blocking(ends: tuple[int, int]) -> None:
    """A description is shared: made non-blocking, it breaks the shell after us."""
    unblocked = open_unblocked(ends[1])

    assert unblocked is not None
    assert os.get_blocking(ends[1])
    assert not os.get_blocking(unblocked)
    os.close(unblocked)


def test_there_is_no_terminal_behind_a_pipe() -> None:
    """Frames in a file are rubbish."""
    reader, writer = os.pipe()

    assert open_unblocked(writer) is None
    assert not Canvas().open(writer)
    os.close(reader)
    os.close(writer)


def test_a_frame_that_is_not_taken_is_finished_before_the_next(ends: tuple[int, int]) -> None:
    """Half a frame, then another: the lines would stand in each other."""
    ours, theirs = ends
    canvas = Canvas()
    assert canvas.open(theirs)
    filled = fill(theirs)

    for number in range(100):
        canvas.draw([f"frame {number}"])
    seen = read_all(ours, filled)
    canvas.draw(["last frame"])
    seen += read_all(ours, 0)

    assert seen.count(b"frame 0") == 1
    assert b"frame 1\x1b" not in seen
    assert seen.endswith(b"\r\x1b[1Alast frame\x1b[K\r\n\x1b[J")


def read_all(ours: int, least: int) -> bytes:
    """Return what the terminal shows: at least so much, and all that can be had now."""
    os.set_blocking(ours, False)
    seen = b""
    try:
        while True:
            seen += os.read(ours, 65536)
    except BlockingIOError:
        assert len(seen) >= least
        return seen


def test_words_take_the_place_of_the_frame_and_the_next_stands_below(
    ends: tuple[int, int],
) -> None:
    """A message in the middle of a frame would be drawn over."""
    ours, theirs = ends
    canvas = Canvas()
    canvas.open(theirs)
    canvas.draw(["one", "two"])
    with canvas.aside() as before:
        os.write(theirs, before + b"words\n")
    canvas.draw(["three"])

    assert read_all(ours, 0).endswith(b"\r\x1b[2A\x1b[2Mwords\r\n\rthree\x1b[K\r\n\x1b[J")


def test_a_closed_canvas_draws_nothing_and_still_clears_its_frame(ends: tuple[int, int]) -> None:
    """The end screen takes the frame's place; a late thread must not draw over it."""
    canvas = Canvas()
    canvas.open(ends[1])
    canvas.draw(["one", "two", "three"])
    canvas.close()
    read_all(ends[0], 0)
    canvas.draw(["late"])

    with canvas.aside() as before:
        assert before == b"\r\x1b[3A\x1b[3M"
    with canvas.aside() as before:
        assert before == b""
    assert read_all(ends[0], 0) == b""


def test_a_kept_frame_stays(ends: tuple[int, int]) -> None:
    """Where nothing follows, the last frame is all the operator has."""
    canvas = Canvas()
    canvas.open(ends[1])
    canvas.draw(["one"])

    assert canvas.keep() == b""
    with canvas.aside() as before:
        assert before == b""


def test_a_reader_that_is_gone_loses_the_text_and_nothing_else() -> None:
    """Neither an exception nor a wait."""
    reader, writer = os.pipe()
    os.close(reader)

    assert write_patiently(writer, b"text", lambda: 1.0) == b""
    os.close(writer)


def test_a_full_terminal_is_given_up_when_the_patience_is_over(ends: tuple[int, int]) -> None:
    """What is left is told, so that a frame can be finished later."""
    fill(ends[1])
    unblocked = open_unblocked(ends[1])
    assert unblocked is not None

    assert write_patiently(unblocked, b"text\n", lambda: 0.0).endswith(b"\n")
    os.close(unblocked)
