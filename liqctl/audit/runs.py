"""One run's records, whether they follow one another, and the headlines of all runs.

Reads several files as one trail: rotation renames, so a run's records, or what was done after it,
may stand in older files. Raw bytes are searched first; only lines that may matter are parsed.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import nsmallest
from pathlib import Path
from typing import Final

from liqctl.audit.reading import LineFilter, all_lines, blocks, lines_of, open_for_reading
from liqctl.audit.verification import why_not_next
from liqctl.domain.events import RUN_ENDS, AuditEventType, is_run_start
from liqctl.domain.trail import RunChain, RunHeadline, TrailRecord, parse_line

RUN_RECORDS_MAX: Final = 200_000
LATER_RUNS_MAX: Final = 20
_IDS_MAX: Final = 50_000
_NEAR_MAX: Final = 3
_PROBLEMS_MAX: Final = 10
_SIBLINGS_MAX: Final = 10
_HEADLINES: Final = (b'"LIQUIDATION_',)
_ALONE: Final = frozenset({AuditEventType.LIQUIDATION_BLOCKED, AuditEventType.LIQUIDATION_SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """A run's records in order; `is_cut` when there were more than are kept."""

    records: tuple[TrailRecord, ...]
    chain: RunChain
    is_cut: bool = False


def read_run(paths: Sequence[Path], correlation_id: str) -> RunRecords:
    """Return what the files hold of a run; they may be named in any order.

    Raises:
        OSError: a file cannot be read.
    """
    parts: list[list[bytes]] = []
    room = RUN_RECORDS_MAX
    for path in paths:
        lines = list(_lines_of_run(path, correlation_id, room + 1))
        room -= len(lines)
        parts.append(lines)
    parts.sort(key=_first_seq)
    lines = [line for part in parts for line in part]
    kept = lines[:RUN_RECORDS_MAX]
    records = [record for record in map(parse_line, kept) if record is not None]
    return RunRecords(records=tuple(records), chain=check_run(kept), is_cut=len(lines) > len(kept))


def check_run(lines: Sequence[bytes]) -> RunChain:
    """Return whether the lines of one run, in order, are a chain of their own."""
    problems: list[str] = []
    torn, last, seq = 0, None, 0
    for line in lines:
        record = parse_line(line)
        if record is None:
            continue
        torn += record.torn_hash is not None
        if last is not None:
            why = why_not_next(record, seq, last)
        elif record.seq != 1:
            why = f"its lines 1 to {record.seq - 1} (seq) are missing or stand in another file"
        else:
            why = None
        if why is not None and len(problems) < _PROBLEMS_MAX:
            problems.append(why)
        last, seq = hashlib.sha256(line).hexdigest(), record.seq
    return RunChain(records=len(lines), head=last, problems=tuple(problems), torn=torn)


def read_headlines(paths: Sequence[Path]) -> Iterator[RunHeadline]:
    """Yield each run as it ends, those without an end last; events logged by hand are none.

    Raises:
        OSError: a file cannot be read.
    """
    begun: dict[str, TrailRecord] = {}
    for path in paths:
        for record in _headline_records(path):
            if record.event_type == AuditEventType.LIQUIDATION_START:
                if is_run_start(record.details):
                    begun[record.correlation_id] = record
            elif record.event_type in RUN_ENDS:
                start = begun.pop(record.correlation_id, None)
                yield _headline(record, start=start, end=record)
            elif record.event_type in _ALONE:
                yield _headline(record, start=None, end=record)
    for record in begun.values():
        yield _headline(record, start=record, end=None)


def read_later_runs(
    paths: Sequence[Path], *, after: TrailRecord, correlation_id: str
) -> tuple[RunHeadline, ...]:
    """Return the next runs of the same environment, oldest first; at most 20.

    Raises:
        OSError: a file cannot be read.
    """
    later = (
        run
        for run in read_headlines(paths)
        if run.environment == after.environment
        and run.correlation_id != correlation_id
        and _moment(run) >= after.timestamp
    )
    return tuple(nsmallest(LATER_RUNS_MAX, later, key=_moment))


def near_ids(paths: Sequence[Path], correlation_id: str) -> tuple[str, ...]:
    """Return the ids that were most likely meant; the last ones where none is like it.

    Raises:
        OSError: a file cannot be read.
    """
    ids: dict[str, None] = {}
    for run in read_headlines(paths):
        ids.pop(run.correlation_id, None)
        ids[run.correlation_id] = None
        if len(ids) > _IDS_MAX:
            del ids[next(iter(ids))]
    near = get_close_matches(correlation_id, ids, n=_NEAR_MAX, cutoff=0.8)
    begins_so = [known for known in ids if known.startswith(correlation_id)]
    return tuple(dict.fromkeys([*begins_so[-_NEAR_MAX:], *near])) or tuple(ids)[-_NEAR_MAX:]


def rotated_siblings(path: Path) -> tuple[str, ...]:
    """Return the names of files beside the trail that look like older parts of it."""
    try:
        names = sorted(other.name for other in path.parent.iterdir() if other.is_file())
    except OSError:
        return ()
    like = [name for name in names if name.startswith(path.stem) and name != path.name]
    return tuple(like[:_SIBLINGS_MAX])


def _lines_of_run(path: Path, correlation_id: str, limit: int) -> Iterator[bytes]:
    fd = open_for_reading(path)
    try:
        wanted = LineFilter(correlation_id=correlation_id)
        for count, line in enumerate(all_lines(fd, os.fstat(fd).st_size, wanted)):
            if count >= limit:
                return
            yield line
    finally:
        os.close(fd)


def _first_seq(lines: list[bytes]) -> int:
    record = parse_line(lines[0]) if lines else None
    return record.seq if record else 0


def _headline_records(path: Path) -> Iterator[TrailRecord]:
    fd = open_for_reading(path)
    try:
        for block in blocks(fd, 0, os.fstat(fd).st_size):
            for line in lines_of(block, _HEADLINES):
                record = parse_line(line)
                if record is not None:
                    yield record
    finally:
        os.close(fd)


def _headline(
    record: TrailRecord, *, start: TrailRecord | None, end: TrailRecord | None
) -> RunHeadline:
    return RunHeadline(
        correlation_id=record.correlation_id,
        environment=record.environment,
        start=start,
        end=end,
    )


def _moment(run: RunHeadline) -> str:
    """Return when the run began, or when it is first heard of."""
    record = run.start or run.end
    return record.timestamp if record else ""
