r"""The trail's file and its lines: opened safely, appended to in one write, read from either end.

One event is one line of ASCII JSON of at most 8 kB. Only known types are written. Anything else
becomes its type's name in angle brackets, never its repr: a foreign object's words may hold a
secret. Lines are read back as if an enemy had written them: whatever is no record is None, never an
error.

What a reader would get wrong: several processes append at once and any of them may die in the
middle of a write, so the end of the file is looked at before each append. The lock around looking
and writing is a courtesy, given up after 50 ms: somebody who sits on it delays a record and cannot
stop it.

>>> clean({"quantity": Decimal("1E-3"), "at": datetime(2026, 1, 2, tzinfo=UTC), "key": object()})
{'quantity': '0.001', 'at': '2026-01-02T00:00:00.000000Z', 'key': '<object>'}
>>> TrailRecord(
...     timestamp="2026-01-02T00:00:00.000000Z", event_type="VERIFIED", correlation_id="a",
...     environment="testnet", account=None, seq=1, prev_hash=None, torn_hash=None,
...     details={"note": "é\n"},
... ).line()
b'{"timestamp": "2026-01-02T00:00:00.000000Z", "event_type": "VERIFIED", "correlation_id": "a", "environment": "testnet", "seq": 1, "prev_hash": null, "details": {"note": "\\u00e9\\n"}}'
>>> parse_line(b'{"seq": 1}') is None
True
>>> parse_line(b"\xff\x00[") is None
True
"""  # noqa: E501 - a line of the trail is long

import contextlib
import fcntl
import hashlib
import json
import math
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, Final, NamedTuple

from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import rfc3339

RECORD_MAX_BYTES: Final = 8192
"""With the newline. Small enough that one write is one step in practice, and for any reader."""

CUT_KEY: Final = "cut_bytes"
"""Stands in details that were cut: how long their JSON would have been."""

LINE_MAX_BYTES: Final = 1024 * 1024
"""Longer lines are not taken apart. We write 8 kB at most."""

# What keeps one record from filling memory or a reader's stack; our own stay far below.
_NAME_MAX: Final = 64
_CORRELATION_ID_MAX: Final = 128
_TEXT_MAX: Final = 6000
_ITEMS_MAX: Final = 1000
_DEPTH_MAX: Final = 8
_EXPONENT_MAX: Final = 100
_INTEGER_BITS_MAX: Final = 4096

_CUTS: Final = ((1000, 100), (250, 50), (100, 20), (40, 8))
"""How far details are cut, text length and items, until the record fits."""

BLOCK_BYTES: Final = 1024 * 1024
_FIRST_BLOCK_BYTES: Final = 64 * 1024
"""What is looked for from the end stands near it most of the time."""

_LAST_LINE_MAX_BYTES: Final = 16 * 1024 * 1024
"""A longer last line, which is not ours, is no anchor for a run's first."""

_COURTESY_MAX_S: Final = 0.05
_COURTESY_PAUSE_S: Final = 0.0002
_COURTESY_YIELDS: Final = 5
_DISCOURTEOUS_S: Final = 0.5
"""After waiting in vain the lock is not asked for again for so long: a tenth of our time at most
goes to somebody who sits on it."""

_SETTLE_LOOKS: Final = 20
_SETTLE_PAUSE_S: Final = 0.0005
"""An unfinished line that stays so for 10 ms is a stump; a living writer needs microseconds."""

_STANDARD_STREAMS: Final = 3
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class TrailRecord(NamedTuple):
    """One event; its fields are those of its line, in their order.

    `account` is the name of the account in the settings, None and left out where it has none.
    `seq` is 0 before the record has a place in a chain. `torn_hash` is the SHA-256 of an unfinished
    line that it stepped over, when that is not `prev_hash` already: so a stump left by a crash is
    told from one left by tampering. `details` are clean (see `clean`).
    """

    timestamp: str
    event_type: str
    correlation_id: str
    environment: str
    account: str | None
    seq: int
    prev_hash: str | None
    torn_hash: str | None
    details: dict[str, object]

    def json_fields(self) -> dict[str, object]:
        """Return the record as an object under its fields' names."""
        return self._asdict()

    def line(self) -> bytes:
        """Return the record's bytes without a newline, its details cut until they fit."""
        named = self._asdict()
        for name in _LEFT_OUT:
            if named[name] is None:
                del named[name]
        line = json.dumps(named).encode("ascii")
        if len(line) < RECORD_MAX_BYTES:
            return line
        whole = len(json.dumps(self.details))
        for text_max, items_max in _CUTS:
            shorter = _cut(self.details, text_max, items_max)
            named["details"] = {**shorter, CUT_KEY: whole}
            line = json.dumps(named).encode("ascii")
            if len(line) < RECORD_MAX_BYTES:
                return line
        return json.dumps(named | {"details": {CUT_KEY: whole}}).encode("ascii")


def make_record(
    *,
    timestamp: datetime,
    event_type: str,
    correlation_id: str,
    environment: str,
    details: object,
    account: str | None = None,
) -> TrailRecord:
    """Return the event with every part made safe to write; accepts anything as details."""
    try:
        cleaned = clean(details)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        # A foreign mapping or text that cannot even be walked through.
        cleaned = {"unreadable_details": type(error).__name__}
    return TrailRecord(
        timestamp=rfc3339(timestamp),
        event_type=_text(str(event_type), _NAME_MAX),
        correlation_id=_text(str(correlation_id), _CORRELATION_ID_MAX),
        environment=_text(str(environment), _NAME_MAX),
        account=None if account is None else _text(account, _NAME_MAX),
        seq=0,
        prev_hash=None,
        torn_hash=None,
        details=cleaned if isinstance(cleaned, dict) else {"value": cleaned},
    )


def clean(value: object, depth: int = 0) -> object:
    """Return the value in JSON's own types: decimals and moments as strings, all of it bounded."""
    if value is None or type(value) is str:  # As most are: a large run records 20,000 values.
        return value and _text(value, _TEXT_MAX)
    if isinstance(value, Enum):
        value = value.value
    match value:
        case str() | PurePath():
            return _text(str(value), _TEXT_MAX)
        case None | int():
            is_short = value is None or value.bit_length() <= _INTEGER_BITS_MAX
            return value if is_short else "<int>"
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            is_far = value.is_finite() and abs(value.adjusted()) > _EXPONENT_MAX
            return str(value) if is_far else plain(value)
        case dict() | Mapping() | list() | tuple() | set() | frozenset() if depth >= _DEPTH_MAX:
            return "<nested>"
        case dict() | Mapping():
            items = islice(value.items(), _ITEMS_MAX)
            return {_key(key): clean(item, depth + 1) for key, item in items}
        case list() | tuple() | set() | frozenset():
            return [clean(item, depth + 1) for item in islice(value, _ITEMS_MAX)]
        case datetime():
            return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
        case _:
            return f"<{type(value).__name__}>"


def parse_line(line: bytes) -> TrailRecord | None:
    """Return the record that the bytes of a line hold, None when they hold none."""
    found = parse_or_reason(line)
    return found if isinstance(found, TrailRecord) else None


def parse_or_reason(line: bytes) -> TrailRecord | str:
    """Return the record, or why the line is none."""
    if len(line) > LINE_MAX_BYTES:
        return "too long for a record"
    try:
        found = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return str(error) if isinstance(error, _RefusedError) else "not JSON"
    if not isinstance(found, dict):
        return "not a JSON object"
    for name, kinds in _FIELDS.items():
        value = found.get(name, ...)
        if not isinstance(value, kinds) or value is True or value is False:
            return f"{name} is missing" if value is ... else f"{name} has the wrong type"
    if found["seq"] < 1:
        return "seq is below 1"
    fields = {name: found[name] for name in _FIELDS} | {"environment": found["environment"] or ""}
    for name in _LEFT_OUT:
        fields[name] = text if isinstance(text := found.get(name), str) else None
    return TrailRecord(**fields)


def _text(text: str, text_max: int) -> str:
    """Return a plain string that every JSON reader takes: no lone surrogates, bounded."""
    if len(text) > text_max:
        text = text[: text_max - 1] + "…"
    if text.isascii():
        return text if type(text) is str else str(text)
    return text.encode("utf-8", "replace").decode("utf-8")


def _key(key: object) -> str:
    if type(key) is str:
        return _text(key, _NAME_MAX)
    match key:
        case Enum():
            return _key(key.value)
        case str() | int() | Decimal():
            return _text(str(key), _NAME_MAX)
        case _:
            return f"<{type(key).__name__}>"


def _cut(value: Any, text_max: int, items_max: int) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return _text(value, text_max)
        case dict():
            items = islice(value.items(), items_max)
            return {key: _cut(item, text_max, items_max) for key, item in items}
        case list():
            return [_cut(item, text_max, items_max) for item in value[:items_max]]
        case _:
            return value


class _RefusedError(ValueError):
    """JSON that Python would take and we do not."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a key occurs twice")
    return found


def _refuse(constant: str) -> object:
    raise _RefusedError(f"{constant} is not a number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
_FIELDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "timestamp": str,
    "event_type": str,
    "correlation_id": str,
    "environment": (str, type(None)),
    "seq": int,
    "prev_hash": (str, type(None)),
    "details": dict,
}
_LEFT_OUT: Final = ("account", "torn_hash")
"""Fields that most lines do without."""


class TrailRefusedError(OSError):
    """What stands at the trail's path is not a file that only we may write."""


class TrailFile:
    """One open trail. Every method may raise OSError, and waits as long as the file system does."""

    def __init__(self, path: Path, fd: int, *, is_new: bool) -> None:
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
        asked_at, yields, held = time.monotonic(), _COURTESY_YIELDS, False
        while not held and asked_at >= self._courtesy_from:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except BlockingIOError:
                if time.monotonic() - asked_at > _COURTESY_MAX_S:
                    self._courtesy_from = time.monotonic() + _DISCOURTEOUS_S
                elif yields:
                    # Most writers are done in microseconds: let them, before any sleep.
                    yields -= 1
                    os.sched_yield()
                else:
                    time.sleep(_COURTESY_PAUSE_S)  # noqa: TID251 - flock has nothing to wait on
            except OSError:  # A file system without locks: the chain needs none.
                break
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

    def settle(self, size: int) -> tuple[int, bool]:
        """Return the file's length and whether its last line is whole, or stays unfinished.

        The length of a file grows while somebody else's write is under way: what looks like the
        stump of a crash may be a record in the making.
        """
        if size == self._whole_to:
            return size, True
        for look in range(_SETTLE_LOOKS + 1):
            if size == 0 or os.pread(self.fd, 1, size - 1) == b"\n":
                return size, True
            if size == self._stump_to:  # A full disk: known already, do not wait at each event.
                break
            if look < _SETTLE_LOOKS:
                time.sleep(_SETTLE_PAUSE_S)  # noqa: TID251 - a file has nothing to wait on
                size = self.size()
        self._stump_to = size
        return size, False

    def last_line_digest(self, size: int, *, whole: bool = False) -> str | None:
        """Return the SHA-256 of the last line that is not blank, None when there is none.

        With `whole`, a last line without its newline does not count.
        """
        for block in blocks_backwards(self.fd, size, line_max=_LAST_LINE_MAX_BYTES):
            lines = block.split(b"\n")
            if whole:
                lines.pop()  # What stands after the last newline, if anything does.
                whole = False
            for line in reversed(lines):
                if line.strip():
                    return hashlib.sha256(line).hexdigest()
        return None

    def find_last(
        self, correlation_id: str, start: int, end: int
    ) -> tuple[TrailRecord, str] | None:
        """Return the last record of a correlation id between two positions, and its SHA-256."""
        needle = json.dumps(correlation_id).encode("ascii")
        for block in blocks_backwards(self.fd, end, start):
            upper = len(block)
            while (at := block.rfind(needle, 0, upper)) >= 0:
                upper, line_end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
                line = block[upper : line_end if line_end >= 0 else len(block)]
                record = parse_line(line)
                # The name may also stand in another run's details.
                if record is not None and record.correlation_id == correlation_id:
                    return record, hashlib.sha256(line).hexdigest()
        return None


def open_trail(path: Path) -> TrailFile:
    """Open the trail for appending, creating it and its directory when missing.

    Raises:
        TrailRefusedError: a symbolic link, a FIFO, a device, a file of somebody else or one with a
            second name stands at the path.
        OSError: it cannot be opened.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not path.exists()
    fd = os.open(path, _FLAGS, 0o600)
    try:
        if fd < _STANDARD_STREAMS:  # A trail in place of a closed stdout would swallow our output.
            moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _STANDARD_STREAMS)
            os.close(fd)
            fd = moved
        found = os.fstat(fd)
        why = None
        if not stat.S_ISREG(found.st_mode):
            why = "it is not a regular file"
        elif found.st_uid != os.geteuid():
            why = f"it belongs to user {found.st_uid}, not to us"
        elif found.st_nlink != 1:
            why = f"it has {found.st_nlink} names (hard links), not one"
        elif found.st_mode & 0o022:  # What others wrote before, the chain shows.
            os.fchmod(fd, stat.S_IMODE(found.st_mode) & ~0o022)
        if why is not None:
            raise TrailRefusedError(0, why)
    except OSError:
        os.close(fd)
        raise
    return TrailFile(path, fd, is_new=is_new)


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


def blocks_backwards(
    fd: int, end: int, start: int = 0, *, line_max: int = LINE_MAX_BYTES
) -> Iterator[bytes]:
    """Yield the bytes of a range in blocks of whole lines, the last block first.

    The first line of the last block may be cut, where the range begins within a line. Lines longer
    than `line_max` are left out.
    """
    rest, is_skipping, size = b"", False, _FIRST_BLOCK_BYTES
    while end > start:
        lower = max(end - size, start)
        part = os.pread(fd, end - lower, lower)
        end, size = lower, BLOCK_BYTES
        head, newline, whole = part.partition(b"\n")
        if newline:
            if is_skipping:
                whole, is_skipping = whole.rpartition(b"\n")[0], False
            yield whole + rest
            rest = head
        elif not is_skipping:
            rest = head + rest
        if len(rest) > line_max:
            rest, is_skipping = b"", True
    if rest:
        yield rest


def lines_and_digests(fd: int, size: int) -> Iterator[tuple[bytes | None, int, str]]:
    """Yield every line, its length and its SHA-256.

    One of more than 1 MB is hashed as it passes and not kept: None.
    """
    rest, hasher, length, position = b"", None, 0, 0
    while position < size:
        block = os.pread(fd, min(BLOCK_BYTES, size - position), position)
        if not block:  # Cut short by somebody since.
            break
        position += len(block)
        if hasher is not None:
            end, newline, block = block.partition(b"\n")
            hasher.update(end)
            length += len(end)
            if not newline:
                continue
            yield None, length, hasher.hexdigest()
            hasher = None
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line, len(line), hashlib.sha256(line).hexdigest()
        if len(rest) > LINE_MAX_BYTES:
            hasher, length, rest = hashlib.sha256(rest), len(rest), b""
    if hasher is not None:
        yield None, length, hasher.hexdigest()
    elif rest:
        yield rest, len(rest), hashlib.sha256(rest).hexdigest()
