"""Proves the trail complete and unaltered, or says where it is not.

    a run's later line      `seq` one more than, `prev_hash` the SHA-256 of, its previous line
    a run's first line      `seq` 1, `prev_hash` any earlier line of the file; null in an empty one
    an unreadable line      fine if it is the last and unfinished, or if a later line names its hash

The file is read in one direction and in constant memory (a few words for each correlation id): a
first, fast pass collects the hashes that first lines name, so that the second need not remember
every line's. What no chain can show without `--head`: that the end was cut off, or that all of it
was written anew.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from liqctl.trail.fold import RunFold, UnfinishedRun, why_not_next
from liqctl.trail.reading import BLOCK_BYTES, open_for_reading
from liqctl.trail.record import LINE_MAX_BYTES, TrailRecord, parse_or_reason

VERIFICATION_SCHEMA: Final = "liqctl.verification/1"
LISTED_MAX: Final = 100

_NAMED = re.compile(rb'(?:"seq": ?1, ?"prev_hash"|"torn_hash"): ?"([0-9a-f]{64})"')
_NAMED_MAX_BYTES: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One place where the chain does not hold. Lines count from 1."""

    line: int
    correlation_id: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TornLine:
    """An unfinished line that a crash explains: the last one, or one a later line steps over."""

    line: int
    length: int
    sha256: str


@dataclass(slots=True, kw_only=True)
class Verification:
    """What a check of the whole trail found, or has found so far.

    `breaks` and `torn` list the first ones only; `break_count` and `torn_count` count all. `head`
    is the SHA-256 of the last record. `head_found` is None when no head was asked for.
    """

    path: str
    size_bytes: int
    lines: int = 0
    records: int = 0
    blank_lines: int = 0
    correlation_ids: int = 0
    runs: int = 0
    unfinished: tuple[UnfinishedRun, ...] = ()
    torn: tuple[TornLine, ...] = ()
    torn_count: int = 0
    breaks: tuple[Break, ...] = ()
    break_count: int = 0
    head: str | None = None
    head_found: bool | None = None

    @property
    def is_intact(self) -> bool:
        """Whether the chain holds, and the head that was asked for stands in the file."""
        return self.break_count == 0 and self.head_found is not False

    def json_fields(self) -> dict[str, object]:
        """Return the document of `audit verify --json`."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"schema": VERIFICATION_SCHEMA, "intact": self.is_intact, **found}


def verify(path: Path, head: str | None = None) -> Verification:
    """Check the trail as it stands now; lines appended meanwhile are left for the next check.

    Args:
        path: the trail.
        head: a SHA-256 that must be one of its records', as a result's `audit_head` gave it.

    Raises:
        OSError: the file cannot be read.
    """
    fd = open_for_reading(path)
    try:
        size = os.fstat(fd).st_size
        named = set(_named_hashes(fd, size))
        check = _Check(path, size, named, head)
        check.read(fd)
        if not check.unlisted <= named:  # Lines written in another order of keys.
            check = _Check(path, size, named | check.unlisted, head)
            check.read(fd)
    finally:
        os.close(fd)
    return check.found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line; `text` is None where it is too long to be kept."""

    text: bytes | None
    length: int
    sha256: str


class _Check:
    """One pass over the file."""

    def __init__(self, path: Path, size: int, named: set[str], head: str | None) -> None:
        self.found = Verification(path=str(path), size_bytes=size)
        self.unlisted: set[str] = set()
        self._named = named
        self._wanted_head = head.lower() if head else None
        if head:
            self.found.head_found = False
        self._seen: set[str] = set()
        self._chains: dict[str, tuple[int, str]] = {}
        self._runs = RunFold()

    def read(self, fd: int) -> None:
        """Take in the lines of the file."""
        size = self.found.size_bytes
        ends_whole = size > 0 and os.pread(fd, 1, size - 1) == b"\n"
        previous: _Line | None = None
        for line in _lines(fd, size):
            if previous is not None:
                self._take(previous, is_unfinished=False)
            previous = line
        if previous is not None:
            self._take(previous, is_unfinished=not ends_whole)
        self.found.correlation_ids = len(self._chains)
        self.found.runs, self.found.unfinished = self._runs.starts, self._runs.unfinished

    def _take(self, line: _Line, *, is_unfinished: bool) -> None:
        self.found.lines += 1
        if line.text is None:
            self._take_unreadable(line, "too long for a record", is_torn=is_unfinished)
        elif not line.text.strip():
            self.found.blank_lines += 1
            return
        elif isinstance(record := parse_or_reason(line.text), TrailRecord):
            self._take_record(record, line.sha256)
        else:
            self._take_unreadable(line, record, is_torn=is_unfinished and _is_stump(line.text))
        if line.sha256 in self._named:
            self._seen.add(line.sha256)

    def _take_record(self, record: TrailRecord, digest: str) -> None:
        chain = self._chains.get(record.correlation_id)
        reason = self._why_not_first(record) if chain is None else why_not_next(record, *chain)
        if record.torn_hash is not None and not self._stands_before(record.torn_hash):
            reason = reason or "the unfinished line that it steps over is missing or altered"
        if reason is not None:
            self._break(record.correlation_id, reason)
        self.found.records += 1
        self.found.head = digest
        if digest == self._wanted_head:
            self.found.head_found = True
        self._chains[record.correlation_id] = (record.seq, digest)
        self._runs.take(record, self.found.lines)

    def _why_not_first(self, record: TrailRecord) -> str | None:
        """Return why the record cannot be the first of its correlation id."""
        if record.seq != 1:
            return f"its lines 1 to {record.seq - 1} (seq) are missing or stand later"
        if record.prev_hash is None:
            is_first = self.found.lines == self.found.blank_lines + 1
            return None if is_first else "it claims to be the first line of the file"
        if self._stands_before(record.prev_hash):
            return None
        return "the line that stood before this run is missing or altered"

    def _stands_before(self, named_hash: str) -> bool:
        if named_hash not in self._named:
            self.unlisted.add(named_hash)
        return named_hash in self._seen

    def _take_unreadable(self, line: _Line, reason: str, *, is_torn: bool) -> None:
        if is_torn or line.sha256 in self._named:
            self.found.torn_count += 1
            if len(self.found.torn) < LISTED_MAX:
                torn = TornLine(line=self.found.lines, length=line.length, sha256=line.sha256)
                self.found.torn += (torn,)
        else:
            self._break(None, f"unreadable line: {reason}")

    def _break(self, correlation_id: str | None, reason: str) -> None:
        self.found.break_count += 1
        if len(self.found.breaks) < LISTED_MAX:
            here = Break(line=self.found.lines, correlation_id=correlation_id, reason=reason)
            self.found.breaks += (here,)


def _is_stump(line: bytes) -> bool:
    """Return whether the line could be the beginning of a record, cut by a crash.

    A power cut may leave zero bytes. A whole object with something behind it is no stump.
    """
    try:
        json.JSONDecoder().raw_decode(line.rstrip(b"\0").decode("latin-1"))
    except (ValueError, RecursionError):
        return True
    return False


def _parts(fd: int, size: int) -> Iterator[bytes]:
    position = 0
    while position < size:
        part = os.pread(fd, min(BLOCK_BYTES, size - position), position)
        if not part:
            return
        position += len(part)
        yield part


def _lines(fd: int, size: int) -> Iterator[_Line]:
    """Yield every line; one of more than 1 MB is hashed as it passes and not kept."""

    def whole(text: bytes) -> _Line:
        return _Line(text=text, length=len(text), sha256=hashlib.sha256(text).hexdigest())

    rest, hasher, length = b"", None, 0
    for part in _parts(fd, size):
        block = part
        if hasher is not None:
            end, newline, block = part.partition(b"\n")
            hasher.update(end)
            length += len(end)
            if not newline:
                continue
            yield _Line(text=None, length=length, sha256=hasher.hexdigest())
            hasher = None
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield from map(whole, lines)
        if len(rest) > LINE_MAX_BYTES:
            hasher, length, rest = hashlib.sha256(rest), len(rest), b""
    if hasher is not None:
        yield _Line(text=None, length=length, sha256=hasher.hexdigest())
    elif rest:
        yield whole(rest)


def _named_hashes(fd: int, size: int) -> Iterator[str]:
    """Yield the hashes that first lines and lines after a stump name."""
    rest = b""
    for part in _parts(fd, size):
        block = rest + part
        for found in _NAMED.finditer(block):
            yield found[1].decode("ascii")
        rest = block[-_NAMED_MAX_BYTES:]
