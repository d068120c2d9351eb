"""What this process writes to stdout and stderr, and lines on a terminal that are drawn anew.

What a reader would get wrong:
- `poll` calls a terminal writable that has room for one byte; writing more to it then blocks for as
  long as nobody reads. So terminals are written through a description of our own that never blocks;
  the inherited one is shared with the shell and must stay as it is.
- Nothing is switched on that would have to be switched off: no hidden cursor, no other screen. A
  process that is ended while a frame stands leaves a usable terminal behind, whoever ended it.
- Nothing heavy may be imported here: until `process.prepare` ran, a signal ends the process
  without us.
"""

import contextlib
import math
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from liqctl.cli.options import Options
    from liqctl.kernel.states import ExitCode

STDOUT: Final = 1
STDERR: Final = 2

ANSWER_STALL_S: Final = 10.0
ERROR_STALL_S: Final = 0.2
_ASIDE_STALL_S: Final = 0.05
"""How long a reader of each kind of text may take nothing before the rest is dropped."""

_CHUNK_BYTES: Final = 4096
"""PIPE_BUF on Linux: so much can be written without blocking once `poll` says writable."""

_FULL_PAUSE_S: Final = 0.002
"""A terminal with room for one byte is writable and yet takes no line's end, which needs two."""

_LOCK_MAX_S: Final = 0.05
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = b"\x1b[J"

# What a terminal is taken for that does not know its size.
_COLUMNS: Final = 80
_LINES: Final = 24


def open_unblocked(fd: int) -> int | None:
    """Return a new descriptor of the same terminal that never blocks; None where there is none."""
    try:
        return os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def write_patiently(fd: int, rest: bytes, patience_s: Callable[[], float]) -> bytes:
    """Write until a reader takes nothing for as long as the patience of that moment.

    Returns:
        What was not taken; empty when all was. What a broken descriptor loses counts as taken.
    """
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    full_since = None
    with contextlib.suppress(OSError):
        while rest:
            if not poll.poll(patience_s() * 1000):
                return rest
            try:
                rest = rest[os.write(fd, rest[:_CHUNK_BYTES]) :]
                full_since = None
            except BlockingIOError:
                now = time.monotonic()
                full_since = full_since or now
                if now - full_since >= patience_s():
                    return rest
                threading.Event().wait(_FULL_PAUSE_S)
    return b""


class Canvas:
    """The lines at the end of a terminal that one thread draws anew, and all others write around.

    Never waits for the terminal: a frame that it does not take is finished later, and no other is
    begun before.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._fd: int | None = None
        self._height = 0
        self._rest = b""

    @property
    def is_open(self) -> bool:
        """Whether frames may be drawn."""
        return self._fd is not None

    def open(self, fd: int) -> bool:
        """Draw on this terminal from now on; return whether that is possible."""
        self._fd = open_unblocked(fd)
        return self.is_open

    def draw(self, lines: Sequence[str]) -> None:
        """Draw a frame in the place of the last one; the cursor stands below it."""
        shown = "".join(f"{line}{_CLEAR_LINE}\n" for line in lines)
        with self._lock:
            if self._fd is None:
                return
            self._rest = write_patiently(self._fd, self._rest, lambda: 0.0)
            if self._rest:
                return
            frame = _to_top(self._height) + shown.encode(errors="backslashreplace")
            self._height = len(lines)
            self._rest = write_patiently(self._fd, frame + _CLEAR_BELOW, lambda: 0.0)

    @contextlib.contextmanager
    def aside(self) -> Iterator[bytes]:
        """Draw nothing meanwhile; yield what has to be written first so that no frame stands."""
        if self._fd is None and not self._height:
            yield b""
            return
        held = self._lock.acquire(timeout=_LOCK_MAX_S)
        try:
            before, self._rest = self._rest, b""
            if self._height:
                # Deleted, not cleared: tmux keeps what is cleared from the first line on.
                before += _to_top(self._height) + f"\x1b[{self._height}M".encode()
                self._height = 0
            yield before
        finally:
            if held:
                self._lock.release()

    def close(self) -> None:
        """Draw nothing any more; whatever is written next takes the last frame away."""
        held = self._lock.acquire(timeout=_LOCK_MAX_S)
        self._fd = None
        if held:
            self._lock.release()

    def keep(self) -> bytes:
        """Draw nothing any more and let the last frame stand; return what is missing of it."""
        self.close()
        rest, self._rest, self._height = self._rest, b"", 0
        return rest


def _to_top(height: int) -> bytes:
    """Return what moves the cursor from below a frame to its first line."""
    return b"\r" + (f"\x1b[{height}A".encode() if height else b"")


class Output:
    """Both streams of the process; a closed pipe or a full disk loses text silently.

    Attributes:
        until: the moment of `time.monotonic` after which no reader is waited for.
        is_answered: whether the answer was given: there is one only.
        speaker: the thread that speaks a signal's last word; every other goes no further.
        canvas: where the live view is drawn; everything else on a terminal is written around it.
    """

    def __init__(self) -> None:
        self.until = math.inf
        self.is_answered = False
        self.speaker: threading.Thread | None = None
        self.canvas: Final = Canvas()
        # Terminals by descriptor, opened once more so that writing to them never blocks.
        self._unblocked: dict[int, int | None] = {}

    def answer(self, text: str, *, stall_s: float = ANSWER_STALL_S) -> None:
        """Write the answer to stdout; what a reader does not take for so many seconds is lost."""
        self.give_way()
        self.is_answered = True
        self.write(STDOUT, _lines(text), stall_s)

    def error(self, text: str) -> None:
        """Write progress or an error to stderr."""
        self.write(STDERR, _lines(text), ERROR_STALL_S)

    def progress(self, text: str) -> None:
        """Write progress to stderr if it can be written at once; lose it otherwise."""
        self.write(STDERR, _lines(text), 0.0)

    def aside(self, block: bytes) -> None:
        """Write bytes to stderr that others made; what it does not take soon is lost."""
        self.write(STDERR, block, _ASIDE_STALL_S)

    def control(self, text: str) -> None:
        """Write to stdout without ending the line: what moves a terminal's cursor."""
        self.write(STDOUT, text.encode(errors="backslashreplace"), ANSWER_STALL_S)

    def document(self, document: object, options: "Options", render: Callable[..., str]) -> None:
        """Answer with a document: as JSON, or as `render` shows it at this width and colour."""
        if options.as_json:
            from liqctl.kernel.as_json import dump

            self.answer(dump(document))
            return
        width = self.width_of(STDOUT)
        self.answer(render(document, width=width, colour=options.colour and width is not None))

    def refusal(self, error: Exception, document: object, options: "Options") -> "ExitCode":
        """Say why a command cannot begin, in JSON by a document too; return its exit code."""
        from liqctl.kernel.errors import UsageError
        from liqctl.kernel.states import ExitCode

        is_usage = isinstance(error, UsageError)
        self.error(f"liqctl: {error}" if is_usage else f"the configuration is invalid\n{error}")
        if options.as_json:
            from liqctl.kernel.as_json import dump

            self.answer(dump(document))
        return ExitCode.USAGE if is_usage else ExitCode.CONFIGURATION

    def write(self, fd: int, text: bytes, stall_s: float) -> None:
        """Write everything; give up on a reader that takes nothing for `stall_s` seconds."""
        if not text:
            return
        if not self.is_terminal(fd):
            write_patiently(fd, text, lambda: self.patience_s(stall_s))
            return
        if fd not in self._unblocked:
            self._unblocked[fd] = open_unblocked(fd)
        unblocked = self._unblocked[fd]
        with self.canvas.aside() as before:
            write_patiently(
                fd if unblocked is None else unblocked,
                before + text,
                lambda: self.patience_s(stall_s),
            )

    def patience_s(self, stall_s: float) -> float:
        """Return how long to wait for a reader now."""
        return max(min(stall_s, self.until - time.monotonic()), 0.0)

    def give_way(self) -> None:
        """Go no further where a signal's last word is being spoken by another thread."""
        if self.speaker is not None and self.speaker is not threading.current_thread():
            threading.Event().wait()

    def is_terminal(self, fd: int) -> bool:
        """Return whether a person is at the other end; a closed descriptor is nobody."""
        try:
            return os.isatty(fd)
        except OSError:
            return False

    def has_lost_reader(self, wait_ms: int = 0) -> bool:
        """Return whether nobody reads stdout any more; a terminal's end comes as a signal."""
        # A poll that wants nothing tells only that.
        poll = select.poll()
        poll.register(STDOUT, 0)
        return bool(poll.poll(wait_ms))

    def width_of(self, fd: int) -> int | None:
        """Return the terminal's columns, None where nobody looks and nothing may be wrapped."""
        size = self._size_of(fd)
        return size and (size.columns or _COLUMNS)

    def height_of(self, fd: int) -> int | None:
        """Return the terminal's lines, None where nobody looks."""
        size = self._size_of(fd)
        return size and (size.lines or _LINES)

    def _size_of(self, fd: int) -> os.terminal_size | None:
        if not self.is_terminal(fd):
            return None
        try:
            return os.get_terminal_size(fd)
        except OSError:
            return os.terminal_size((_COLUMNS, _LINES))


def _lines(text: str) -> bytes:
    return (text if text.endswith("\n") else f"{text}\n").encode(errors="backslashreplace")


out: Final = Output()
"""The one pair of streams of the process."""
