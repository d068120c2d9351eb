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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from liqctl.audit.reading import BLOCK_BYTES, open_for_reading
from liqctl.domain.events import RUN_ENDS, AuditEventType, is_run_start
from liqctl.domain.trail import (
    LINE_MAX_BYTES,
    Break,
    TornLine,
    TrailRecord,
    UnfinishedRun,
    Verification,
    parse_or_reason,
)

LISTED_MAX: Final = 100

_NAMED = re.compile(rb'(?:"seq": ?1, ?"prev_hash"|"torn_hash"): ?"([0-9a-f]{64})"')
_NAMED_MAX_BYTES: Final = 128


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
        check = _check(fd, size, named, head)
        if not check.unlisted <= named:  # Lines written in another order of keys.
            check = _check(fd, size, named | check.unlisted, head)
    finally:
        os.close(fd)
    return check.result(str(path), size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _LongLine:
    """A line too long to be kept: only what is needed to find it again."""

    length: int
    sha256: str


@dataclass(slots=True)
class _Check:
    """One pass over the file."""

    named: set[str]
    wanted_head: str | None
    lines: int = 0
    records: int = 0
    blank_lines: int = 0
    runs: int = 0
    torn_count: int = 0
    break_count: int = 0
    head: str | None = None
    head_found: bool = False
    seen: set[str] = field(default_factory=set)
    unlisted: set[str] = field(default_factory=set)
    chains: dict[str, tuple[int, str]] = field(default_factory=dict)
    open_runs: dict[str, UnfinishedRun] = field(default_factory=dict)
    torn: list[TornLine] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)

    def take(self, line: bytes, *, is_unfinished: bool) -> None:
        """Take in the next line."""
        self.lines += 1
        if not line.strip():
            self.blank_lines += 1
            return
        digest = hashlib.sha256(line).hexdigest()
        found = parse_or_reason(line)
        if isinstance(found, TrailRecord):
            self._take_record(found, digest)
        else:
            self._take_unreadable(
                _LongLine(length=len(line), sha256=digest),
                found,
                is_torn=is_unfinished and _is_stump(line),
            )
        if digest in self.named:
            self.seen.add(digest)

    def take_long(self, line: _LongLine, *, is_unfinished: bool) -> None:
        """Take in the next line, which is longer than any of ours."""
        self.lines += 1
        self._take_unreadable(line, "too long for a record", is_torn=is_unfinished)
        if line.sha256 in self.named:
            self.seen.add(line.sha256)

    def result(self, path: str, size: int) -> Verification:
        """Return what was found."""
        return Verification(
            path=path,
            size_bytes=size,
            lines=self.lines,
            records=self.records,
            blank_lines=self.blank_lines,
            correlation_ids=len(self.chains),
            runs=self.runs,
            unfinished=tuple(self.open_runs.values()),
            torn=tuple(self.torn),
            torn_count=self.torn_count,
            breaks=tuple(self.breaks),
            break_count=self.break_count,
            head=self.head,
            head_found=None if self.wanted_head is None else self.head_found,
        )

    def _take_record(self, record: TrailRecord, digest: str) -> None:
        chain = self.chains.get(record.correlation_id)
        reason = self._first(record) if chain is None else why_not_next(record, *chain)
        if record.torn_hash is not None and not self._stands_before(record.torn_hash):
            reason = reason or "the unfinished line that it steps over is missing or altered"
        if reason is not None:
            self._break(record.correlation_id, reason)
        self.records += 1
        self.head = digest
        self.head_found = self.head_found or digest == self.wanted_head
        self.chains[record.correlation_id] = (record.seq, digest)
        self._follow_run(record)

    def _first(self, record: TrailRecord) -> str | None:
        """Return why the record cannot be the first of its correlation id."""
        if record.seq != 1:
            return f"its lines 1 to {record.seq - 1} (seq) are missing or stand later"
        if record.prev_hash is None:
            is_first = self.lines == self.blank_lines + 1
            return None if is_first else "it claims to be the first line of the file"
        if self._stands_before(record.prev_hash):
            return None
        return "the line that stood before this run is missing or altered"

    def _stands_before(self, named_hash: str) -> bool:
        if named_hash not in self.named:
            self.unlisted.add(named_hash)
        return named_hash in self.seen

    def _take_unreadable(self, line: _LongLine, reason: str, *, is_torn: bool) -> None:
        if is_torn or line.sha256 in self.named:
            self.torn_count += 1
            if len(self.torn) < LISTED_MAX:
                self.torn.append(TornLine(line=self.lines, length=line.length, sha256=line.sha256))
        else:
            self._break(None, f"unreadable line: {reason}")

    def _break(self, correlation_id: str | None, reason: str) -> None:
        self.break_count += 1
        if len(self.breaks) < LISTED_MAX:
            self.breaks.append(Break(line=self.lines, correlation_id=correlation_id, reason=reason))

    def _follow_run(self, record: TrailRecord) -> None:
        if record.event_type in RUN_ENDS:
            self.open_runs.pop(record.correlation_id, None)
        elif record.event_type == AuditEventType.LIQUIDATION_START and is_run_start(record.details):
            self.runs += 1
            self.open_runs[record.correlation_id] = UnfinishedRun(
                correlation_id=record.correlation_id,
                line=self.lines,
                started_at=record.timestamp,
            )


def why_not_next(record: TrailRecord, seq: int, digest: str) -> str | None:
    """Return why the record cannot follow its run's line with that number and hash."""
    if record.seq != seq + 1:
        return f"seq is {record.seq}, {seq + 1} was due: a line is missing, doubled or moved"
    if record.prev_hash != digest:
        return f"prev_hash does not fit the line with seq {seq}: one of the two was altered"
    return None


def _is_stump(line: bytes) -> bool:
    """Return whether the line could be the beginning of a record, cut by a crash.

    A power cut may leave zero bytes. A whole object with something behind it is no stump.
    """
    try:
        json.JSONDecoder().raw_decode(line.rstrip(b"\0").decode("latin-1"))
    except (ValueError, RecursionError):
        return True
    return False


def _check(fd: int, size: int, named: set[str], head: str | None) -> _Check:
    check = _Check(named=named, wanted_head=head.lower() if head else None)
    ends_whole = size > 0 and os.pread(fd, 1, size - 1) == b"\n"
    previous: bytes | _LongLine | None = None
    for line in _lines(fd, size):
        if previous is not None:
            _take(check, previous, is_unfinished=False)
        previous = line
    if previous is not None:
        _take(check, previous, is_unfinished=not ends_whole)
    return check


def _take(check: _Check, line: bytes | _LongLine, *, is_unfinished: bool) -> None:
    if isinstance(line, _LongLine):
        check.take_long(line, is_unfinished=is_unfinished)
    else:
        check.take(line, is_unfinished=is_unfinished)


def _parts(fd: int, size: int) -> Iterator[bytes]:
    position = 0
    while position < size:
        part = os.pread(fd, min(BLOCK_BYTES, size - position), position)
        if not part:
            return
        position += len(part)
        yield part


def _lines(fd: int, size: int) -> Iterator[bytes | _LongLine]:
    """Yield every line; one of more than 1 MB is hashed as it passes and not kept."""
    rest, hasher, length = b"", None, 0
    for part in _parts(fd, size):
        block = part
        if hasher is not None:
            end, newline, block = part.partition(b"\n")
            hasher.update(end)
            length += len(end)
            if not newline:
                continue
            yield _LongLine(length=length, sha256=hasher.hexdigest())
            hasher = None
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield from lines
        if len(rest) > LINE_MAX_BYTES:
            hasher, length, rest = hashlib.sha256(rest), len(rest), b""
    if hasher is not None:
        yield _LongLine(length=length, sha256=hasher.hexdigest())
    elif rest:
        yield rest


def _named_hashes(fd: int, size: int) -> Iterator[str]:
    """Yield the hashes that first lines and lines after a stump name."""
    rest = b""
    for part in _parts(fd, size):
        block = rest + part
        for found in _NAMED.finditer(block):
            yield found[1].decode("ascii")
        rest = block[-_NAMED_MAX_BYTES:]
