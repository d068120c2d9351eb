"""Writing to a terminal that may not read, and lines on it that are drawn anew in place.

What a reader would get wrong:
- `poll` calls a terminal writable that has room for one byte; writing more to it then blocks for as
  long as nobody reads. So terminals are written through a description of our own that never blocks;
  the inherited one is shared with the shell and must stay as it is.
- Nothing is switched on that would have to be switched off: no hidden cursor, no other screen. A
  process that is ended while a frame stands leaves a usable terminal behind, whoever ended it.
"""

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_CHUNK_BYTES: Final = 4096
"""PIPE_BUF on Linux: so much can be written without blocking once `poll` says writable."""

_FULL_PAUSE_S: Final = 0.002
"""A terminal with room for one byte is writable and yet takes no line's end, which needs two."""

_LOCK_MAX_S: Final = 0.05
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = b"\x1b[J"


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
        """Draw nowhere yet."""
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
            self._rest = _write_now(self._fd, self._rest)
            if self._rest:
                return
            frame = _to_top(self._height) + shown.encode(errors="backslashreplace")
            self._height = len(lines)
            self._rest = _write_now(self._fd, frame + _CLEAR_BELOW)

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


def _write_now(fd: int, rest: bytes) -> bytes:
    """Write what is taken at once; return the rest."""
    return write_patiently(fd, rest, lambda: 0.0)
