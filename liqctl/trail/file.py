"""The trail's file: opened safely, appended to in one write, read from its end.

What a reader would get wrong: several processes append at once and any of them may die in the
middle of a write, so the end of the file is looked at before each append. The lock around looking
and writing is a courtesy, given up after 50 ms: somebody who sits on it delays a record and cannot
stop it.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from liqctl.trail.record import parse_line

LINE_SPAN_MAX_BYTES: Final = 16 * 1024 * 1024
"""How far back the start of the last line is looked for."""

_COURTESY_MAX_S: Final = 0.05
_COURTESY_PAUSE_S: Final = 0.0002
_COURTESY_YIELDS: Final = 5
_DISCOURTEOUS_S: Final = 0.5
"""After waiting in vain the lock is not asked for again for so long: a tenth of our time at most
goes to somebody who sits on it."""

_SETTLE_LOOKS: Final = 20
_SETTLE_PAUSE_S: Final = 0.0005
"""An unfinished line that stays so for 10 ms is a stump; a living writer needs microseconds."""

_SPANS: Final = (16 * 1024, 1024 * 1024, LINE_SPAN_MAX_BYTES)
_BLOCK_BYTES: Final = 1024 * 1024
_STANDARD_STREAMS: Final = 3
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class TrailRefusedError(OSError):
    """What stands at the trail's path is not a file that only we may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A line of one correlation id: its number, its event and the SHA-256 of its bytes."""

    seq: int
    event_type: str
    digest: str


class TrailFile:
    """One open trail. Every method may raise OSError, and waits as long as the file system does."""

    def __init__(self, path: Path, fd: int, *, is_new: bool) -> None:
        """Hold the descriptor; use `open_trail`."""
        self.path = path
        self.fd = fd
        self.is_new = is_new
        self._courtesy_from = 0.0
        self._stump_to = 0
        self._whole_to = -1

    def close(self) -> None:
        """Close the descriptor; calling twice is safe."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        """Close with the last chain that is written here: a rotated file stays open until then."""
        with contextlib.suppress(OSError):
            self.close()

    def is_current(self) -> bool:
        """Return whether the path still names this file: it was not rotated away or removed."""
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self.fd))
        except OSError:
            return False

    def sync(self) -> None:
        """Return once the file's bytes are on disk, and its name where it was just created."""
        os.fdatasync(self.fd)
        if self.is_new:
            for directory in (self.path.parent, self.path.parent.parent):
                fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
            self.is_new = False

    def size(self) -> int:
        """Return the file's length in bytes."""
        return os.fstat(self.fd).st_size

    @contextlib.contextmanager
    def courtesy(self) -> Iterator[bool]:
        """Hold the lock among well-behaved writers, or go on without it (False) after 50 ms."""
        held = self._try_lock()
        try:
            yield held
        finally:
            if held:
                with contextlib.suppress(OSError):
                    fcntl.flock(self.fd, fcntl.LOCK_UN)

    def append(
        self, lines: Sequence[bytes], *, after_newline: bool, alone_at: int | None
    ) -> tuple[int, int]:
        """Write the lines in one step; return how many are whole and the file's length after it.

        A short write (a full disk, a limit) leaves a stump, which the next append must step over.
        Where only the newline is missing a line is whole, and the next append brings it.
        `alone_at` is the file's length where nobody else writes, None where somebody may.
        """
        block = b"\n".join(lines if after_newline else (b"", *lines)) + b"\n"
        written = os.write(self.fd, block)
        whole, line_end = 0, 0 if after_newline else 1
        for line in lines:
            line_end += len(line)
            if line_end > written:
                break
            whole += 1
            line_end += 1
        if alone_at is None:
            return whole, os.lseek(self.fd, 0, os.SEEK_CUR)
        end = alone_at + written
        self._whole_to = end if written == len(block) else -1
        return whole, end

    def ends_with_newline(self, size: int) -> bool:
        """Return whether the last line is whole; true of an empty file."""
        return size == 0 or os.pread(self.fd, 1, size - 1) == b"\n"

    def settle(self, size: int) -> tuple[int, bool]:
        """Return the file's length and whether its last line is whole, or stays unfinished.

        The length of a file grows while somebody else's write is under way: what looks like the
        stump of a crash may be a record in the making.
        """
        if size == self._whole_to:
            return size, True
        for _ in range(_SETTLE_LOOKS):
            if self.ends_with_newline(size):
                return size, True
            if size == self._stump_to:  # A full disk: known already, do not wait at each event.
                return size, False
            time.sleep(_SETTLE_PAUSE_S)  # noqa: TID251 - a file has nothing to wait on
            size = self.size()
        self._stump_to = size
        return size, self.ends_with_newline(size)

    def last_line_digest(self, size: int, *, whole: bool = False) -> str | None:
        """Return the SHA-256 of the last line that is not blank, None when there is none.

        With `whole`, a last line without its newline does not count.
        """
        for span in _SPANS:
            start = max(size - span, 0)
            lines = self._read(start, size).split(b"\n")
            first, last = int(start > 0), len(lines) - int(whole)
            for line in reversed(lines[first:last]):
                if line.strip():
                    return hashlib.sha256(line).hexdigest()
            if start == 0:
                return None
        return None

    def find_last(self, correlation_id: str, start: int, end: int) -> Link | None:
        """Return the last line of a correlation id between two positions, None without one."""
        needle = json.dumps(correlation_id).encode("ascii")
        upper, rest = end, b""
        while upper > start:
            lower = max(upper - _BLOCK_BYTES, start)
            block = self._read(lower, upper) + rest
            found = _last_link(block, needle, correlation_id)
            if found is not None:
                return found
            first, newline, _ = block.partition(b"\n")
            rest = (first + newline)[:_BLOCK_BYTES]
            upper = lower
        return None

    def _read(self, start: int, end: int) -> bytes:
        parts = []
        while start < end:
            part = os.pread(self.fd, end - start, start)
            if not part:
                break
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def _try_lock(self) -> bool:
        now = time.monotonic()
        if now < self._courtesy_from:
            return False
        yields = _COURTESY_YIELDS
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() - now > _COURTESY_MAX_S:
                    self._courtesy_from = time.monotonic() + _DISCOURTEOUS_S
                    return False
            except OSError:  # A file system without locks: the chain needs none.
                return False
            else:
                return True
            if yields:
                yields -= 1
                os.sched_yield()
            else:
                time.sleep(_COURTESY_PAUSE_S)  # noqa: TID251 - flock has nothing to wait on


def open_trail(path: Path) -> TrailFile:
    """Open the trail for appending, creating it and its directory when missing.

    Raises:
        TrailRefusedError: a symbolic link, a FIFO, a device, a file of somebody else or one with a
            second name stands at the path.
        OSError: it cannot be opened.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    fd = _above_standard_streams(os.open(path, _FLAGS, 0o600))
    try:
        _check(fd)
    except OSError:
        os.close(fd)
        raise
    return TrailFile(path, fd, is_new=is_new)


def _check(fd: int) -> None:
    """Refuse what is not a regular file of ours with one name; take others' right to write away."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        raise TrailRefusedError(0, "it is not a regular file")
    if found.st_uid != os.geteuid():
        raise TrailRefusedError(0, f"it belongs to user {found.st_uid}, not to us")
    if found.st_nlink != 1:
        raise TrailRefusedError(0, f"it has {found.st_nlink} names (hard links), not one")
    if found.st_mode & 0o022:
        os.fchmod(fd, stat.S_IMODE(found.st_mode) & ~0o022)


def _above_standard_streams(fd: int) -> int:
    """Return the descriptor, moved away from 0 to 2: a trail there would swallow our output."""
    if fd >= _STANDARD_STREAMS:
        return fd
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _STANDARD_STREAMS)
    os.close(fd)
    return moved


def _last_link(block: bytes, needle: bytes, correlation_id: str) -> Link | None:
    """Return the last whole line of the block that is a record of the correlation id."""
    upper = len(block)
    while True:
        at = block.rfind(needle, 0, upper)
        if at < 0:
            return None
        start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
        line = block[start : end if end >= 0 else len(block)]
        record = parse_line(line)
        if record is not None and record.correlation_id == correlation_id:
            digest = hashlib.sha256(line).hexdigest()
            return Link(seq=record.seq, event_type=record.event_type, digest=digest)
        upper = start
