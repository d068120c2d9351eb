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
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from liqctl.trail.file import (
    TrailRecord,
    blocks,
    lines_and_digests,
    open_for_reading,
    parse_line,
    parse_or_reason,
)
from liqctl.trail.fold import RunFold, RunHeadline

VERIFICATION_SCHEMA: Final = "liqctl.verification/1"
LISTED_MAX: Final = 100
_PROBLEMS_MAX: Final = 10

_NAMED = re.compile(rb'(?:"seq": ?1, ?"prev_hash"|"torn_hash"): ?"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChain:
    """Whether the records of one run follow one another, whatever stands between them.

    `head` is the SHA-256 of the last one. The line before the first is left to `audit verify`.
    """

    records: int
    head: str | None
    problems: tuple[str, ...] = ()
    torn: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether no record is missing, doubled, moved or altered; a cut end does not show."""
        return not self.problems

    def json_fields(self) -> dict[str, object]:
        """Return the fields, and what they come to."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**named, "intact": self.is_intact}


def check_run(lines: Sequence[bytes]) -> RunChain:
    """Return whether the lines of one run, in order, are a chain of their own."""
    problems: list[str] = []
    before: tuple[int, str] | None = None
    torn = 0
    for line in lines:
        record = parse_line(line)
        if record is None:
            continue
        torn += record.torn_hash is not None
        why = _why_not_next(record, before, "in another file")
        if why is not None and len(problems) < _PROBLEMS_MAX:
            problems.append(why)
        before = (record.seq, hashlib.sha256(line).hexdigest())
    head = before[1] if before else None
    return RunChain(records=len(lines), head=head, problems=tuple(problems), torn=torn)


def _why_not_next(
    record: TrailRecord, before: tuple[int, str] | None, elsewhere: str
) -> str | None:
    """Return why the record cannot follow its run's line with that number and hash, or begin it."""
    if before is None:
        told = f"its lines 1 to {record.seq - 1} (seq) are missing or {elsewhere}"
        return None if record.seq == 1 else told
    seq, digest = before
    if record.seq != seq + 1:
        return f"seq is {record.seq}, {seq + 1} was due: a line is missing, doubled or moved"
    if record.prev_hash != digest:
        return f"prev_hash does not fit the line with seq {seq}: one of the two was altered"
    return None


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
    unfinished: tuple[RunHeadline, ...] = ()
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

    One of its records must have the SHA-256 `head`, which a result's `audit_head` gave. Raises
    OSError where the file cannot be read.
    """
    fd = open_for_reading(path)
    try:
        size = os.fstat(fd).st_size
        named = {
            found[1].decode("ascii")
            for block in blocks(fd, 0, size)
            for found in _NAMED.finditer(block)
        }
        check = _Check(path, size, named, head)
        check.read(fd)
        if not check.unlisted <= named:  # Lines written in another order of keys.
            check = _Check(path, size, named | check.unlisted, head)
            check.read(fd)
    finally:
        os.close(fd)
    return check.found


class _Check:
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
        found, position = self.found, 0
        for text, length, digest in lines_and_digests(fd, found.size_bytes):
            found.lines += 1
            position += length + 1
            if text is not None and not text.strip():
                found.blank_lines += 1
                continue
            record = "too long for a record" if text is None else parse_or_reason(text)
            is_unfinished = position > found.size_bytes  # It has no newline: the last one.
            if isinstance(record, TrailRecord):
                self._take_record(record, digest)
            elif digest in self._named or (is_unfinished and _is_stump(text)):
                found.torn_count += 1
                if len(found.torn) < LISTED_MAX:
                    found.torn += (TornLine(line=found.lines, length=length, sha256=digest),)
            else:
                self._break(None, f"unreadable line: {record}")
            if digest in self._named:
                self._seen.add(digest)
        found.correlation_ids = len(self._chains)
        found.runs, found.unfinished = self._runs.starts, self._runs.unfinished

    def _take_record(self, record: TrailRecord, digest: str) -> None:
        name, found = record.correlation_id, self.found
        reason = _why_not_next(record, self._chains.get(name), "come later")
        if reason is None and name not in self._chains:
            if record.prev_hash is not None:
                if not self._stands_before(record.prev_hash):
                    reason = "the line that stood before this run is missing or altered"
            elif found.lines != found.blank_lines + 1:
                reason = "it claims to be the first line of the file"
        if record.torn_hash is not None and not self._stands_before(record.torn_hash):
            reason = reason or "the unfinished line that it steps over is missing or altered"
        if reason is not None:
            self._break(name, reason)
        found.records += 1
        found.head = digest
        if digest == self._wanted_head:
            found.head_found = True
        self._chains[name] = (record.seq, digest)
        self._runs.take(record, found.lines)

    def _stands_before(self, named_hash: str) -> bool:
        if named_hash not in self._named:
            self.unlisted.add(named_hash)
        return named_hash in self._seen

    def _break(self, correlation_id: str | None, reason: str) -> None:
        self.found.break_count += 1
        if len(self.found.breaks) < LISTED_MAX:
            here = Break(line=self.found.lines, correlation_id=correlation_id, reason=reason)
            self.found.breaks += (here,)


def _is_stump(line: bytes | None) -> bool:
    """Return whether the line could be the beginning of a record, cut by a crash.

    A power cut may leave zero bytes. A whole object with something behind it is no stump.
    """
    try:
        if line is not None:
            json.JSONDecoder().raw_decode(line.rstrip(b"\0").decode("latin-1"))
            return False
    except (ValueError, RecursionError):
        pass
    return True
