"""Reading the trail fast and in constant memory, from either end, while others append to it.

Filters search the raw bytes first and take apart only lines that may match: jq parses them all.
What a reader would get wrong: a quoted word found in a line may stand in its details, so a line
found is still parsed before it counts.
"""

import contextlib
import json
import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.errors import UsageError
from liqctl.trail.record import LINE_MAX_BYTES, TrailRecord, parse_line

BLOCK_BYTES: Final = 1024 * 1024
_FIRST_BLOCK_BYTES: Final = 64 * 1024
_POLL_MAX_BYTES: Final = 16 * 1024 * 1024
_OLDER_MAX: Final = 4
_OLD_POLLS: Final = 300
"""How often a renamed file is looked at: a minute at five times a second, twice a run's longest."""

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"(\d{1,9})([smhd])")
_HEAD = re.compile(
    rb'\{"timestamp": "([^"\\]*)", "event_type": "([^"\\]*)", "correlation_id": "([^"\\]*)", '
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFilter:
    """Which lines are wanted; an empty filter wants all, unreadable ones too.

    `since` is an RFC 3339 moment in UTC with microseconds, as the trail writes them.
    """

    correlation_id: str | None = None
    event_types: frozenset[str] = frozenset()
    since: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every line is wanted."""
        return self.correlation_id is None and not self.event_types and self.since is None

    def needles(self) -> tuple[bytes, ...]:
        """Return byte strings of which a wanted line holds at least one; empty: no telling."""
        if self.correlation_id is not None:
            return (_quoted(self.correlation_id),)
        return tuple(sorted(_quoted(event_type) for event_type in self.event_types))

    def wants(self, line: bytes) -> bool:
        """Return whether the line is one that was asked for."""
        if self.is_empty:
            return bool(line.strip())
        head = _HEAD.match(line)
        if head is not None:
            timestamp, event_type, correlation_id = (
                part.decode("ascii", "replace") for part in head.groups()
            )
        elif (record := parse_line(line)) is not None:
            timestamp, event_type = record.timestamp, record.event_type
            correlation_id = record.correlation_id
        else:
            return False
        return (
            self.correlation_id in {None, correlation_id}
            and (not self.event_types or event_type in self.event_types)
            and (self.since is None or timestamp >= self.since)
        )


def open_for_reading(path: Path) -> int:
    """Return a descriptor of the trail.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "not a regular file")


def last_lines(fd: int, end: int, count: int, wanted: LineFilter) -> list[bytes]:
    """Return up to `count` last wanted lines before the position `end`, oldest first.

    With `since`, a whole block of older lines ends the search: clocks step, but not so far.
    """
    needles = wanted.needles()
    found: deque[bytes] = deque()
    for block in blocks_backwards(fd, end):
        for line in reversed(lines_of(block, needles)):
            if wanted.wants(line):
                found.appendleft(line)
                if len(found) >= count:
                    return list(found)
        if wanted.since is not None and _is_older(block, wanted.since):
            break
    return list(found)


def all_lines(fd: int, end: int, wanted: LineFilter) -> Iterator[bytes]:
    """Yield every wanted line before the position `end`, oldest first."""
    needles = wanted.needles()
    for block in blocks(fd, 0, end):
        for line in lines_of(block, needles):
            if wanted.wants(line):
                yield line


def lines_in(path: Path, wanted: LineFilter) -> Iterator[bytes]:
    """Yield every wanted line that stands in the file now, oldest first.

    Raises:
        OSError: it cannot be read.
    """
    fd = open_for_reading(path)
    try:
        yield from all_lines(fd, os.fstat(fd).st_size, wanted)
    finally:
        os.close(fd)


def headline_records(path: Path) -> Iterator[TrailRecord]:
    """Yield the records about whole runs; orders and readings are passed over as raw bytes.

    Raises:
        OSError: the file cannot be read.
    """
    fd = open_for_reading(path)
    try:
        for block in blocks(fd, 0, os.fstat(fd).st_size):
            for line in lines_of(block, (b'"LIQUIDATION_',)):
                record = parse_line(line)
                if record is not None:
                    yield record
    finally:
        os.close(fd)


def lines_of(block: bytes, needles: tuple[bytes, ...]) -> list[bytes]:
    """Return the lines of a block that hold one of the needles; without needles, all of them."""
    if not needles:
        return block.split(b"\n")
    starts: dict[int, int] = {}
    for needle in needles:
        at = block.find(needle)
        while at >= 0:
            end = block.find(b"\n", at)
            end = len(block) if end < 0 else end
            starts[block.rfind(b"\n", 0, at) + 1] = end
            at = block.find(needle, end)
    return [block[start : starts[start]] for start in sorted(starts)]


def blocks(fd: int, start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes of a range in blocks of whole lines, without each block's last newline.

    Lines of more than 1 MB are left out.
    """
    rest, is_skipping = b"", False
    while start < end:
        part = os.pread(fd, min(BLOCK_BYTES, end - start), start)
        if not part:
            break
        start += len(part)
        whole, newline, tail = part.rpartition(b"\n")
        if newline:
            if is_skipping:
                whole, is_skipping = whole.partition(b"\n")[2], False
            yield rest + whole
            rest = tail
        elif not is_skipping:
            rest += tail
        if len(rest) > LINE_MAX_BYTES:
            rest, is_skipping = b"", True
    if rest:
        yield rest


def blocks_backwards(fd: int, end: int) -> Iterator[bytes]:
    """Yield the bytes before `end` in blocks of whole lines, the last block first."""
    rest, is_skipping, size = b"", False, _FIRST_BLOCK_BYTES
    while end > 0:
        start = max(end - size, 0)
        part = os.pread(fd, end - start, start)
        end, size = start, BLOCK_BYTES
        head, newline, whole = part.partition(b"\n")
        if newline:
            if is_skipping:
                whole, is_skipping = whole.rpartition(b"\n")[0], False
            yield whole + rest
            rest = head
        elif not is_skipping:
            rest = head + rest
        if len(rest) > LINE_MAX_BYTES:
            rest, is_skipping = b"", True
    if rest:
        yield rest


class Follower:
    """Reads what is appended, over rotation by rename and over truncation.

    A run that is under way goes on in the file that it began, whatever that is called by now: a
    renamed file is read for a while beside the new one. Ask `poll` again and again; it never waits.
    """

    def __init__(self, path: Path, fd: int, position: int) -> None:
        """Follow the open file from a position at the start of a line."""
        self._path = path
        self._current = _Tail(fd, position)
        self._older: list[_Tail] = []

    def poll(self) -> list[bytes]:
        """Return the whole lines that came since the last call; OSErrors wait for the next one."""
        lines: list[bytes] = []
        for tail in (*self._older, self._current):
            with contextlib.suppress(OSError):
                lines += tail.read()
        with contextlib.suppress(OSError):
            if not self._is_current() and not self._current.is_behind():
                new = _Tail(open_for_reading(self._path), 0)
                self._older.append(self._current)
                self._current = new
                lines += new.read()
        return lines + self._forget_old()

    def close(self) -> None:
        """Close the files."""
        for tail in (*self._older, self._current):
            os.close(tail.fd)

    def _forget_old(self) -> list[bytes]:
        """Let go of files renamed long ago; return the unfinished line that one may end with."""
        lines: list[bytes] = []
        for tail in self._older:
            tail.polls_left -= 1
        while self._older and (self._older[0].polls_left <= 0 or len(self._older) > _OLDER_MAX):
            tail = self._older.pop(0)
            os.close(tail.fd)
            lines += [tail.rest] if tail.rest.strip() else []
        return lines

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._current.fd))
        except FileNotFoundError:  # Between the rename and the next writer.
            return True


class _Tail:
    """One open file and how far it was read."""

    def __init__(self, fd: int, position: int) -> None:
        self.fd = fd
        self.polls_left = _OLD_POLLS
        self._position = position
        self.rest = b""

    def is_behind(self) -> bool:
        """Return whether there is more to read now."""
        return self._position < os.fstat(self.fd).st_size

    def read(self) -> list[bytes]:
        """Return the whole lines that came since the last call."""
        size = os.fstat(self.fd).st_size
        if size < self._position:
            self._position, self.rest = 0, b""
        length = min(size - self._position, _POLL_MAX_BYTES)
        if length <= 0:
            return []
        block = os.pread(self.fd, length, self._position)
        self._position += len(block)
        lines = (self.rest + block).split(b"\n")
        self.rest = lines.pop()
        if len(self.rest) > LINE_MAX_BYTES:
            self.rest = self.rest[:LINE_MAX_BYTES]
        return [line for line in lines if line.strip()]


def parse_since(text: str, now: datetime) -> str:
    """Return the moment that `10m`, `2h` or an RFC 3339 time means, as the trail writes it.

    >>> parse_since("10m", datetime(2026, 1, 2, 10, 30, tzinfo=UTC))
    '2026-01-02T10:20:00.000000Z'
    >>> parse_since("2026-01-02T12:30:00+02:00", datetime(2026, 1, 2, tzinfo=UTC))
    '2026-01-02T10:30:00.000000Z'

    Raises:
        UsageError: the text is neither.
    """
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return rfc3339(now - timedelta(seconds=int(ago[1]) * _UNITS_S[ago[2]]))
        moment = datetime.fromisoformat(text.strip())
        return rfc3339(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise UsageError(
            "--since must be an age like 30s, 10m, 2h, 7d or a time like 2026-01-02T10:30:00Z"
        ) from error


def _is_older(block: bytes, since: str) -> bool:
    """Return whether the block holds records and none of them reaches `since`."""
    found = [head[1] for head in _HEAD.finditer(block)]
    return bool(found) and max(found) < since.encode("ascii")


def _quoted(text: str) -> bytes:
    return json.dumps(text).encode("ascii")
