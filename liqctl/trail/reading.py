"""Reading the trail fast and in constant memory: lines from either end, and what it tells of runs.

Filters search the raw bytes first and take apart only lines that may match: jq parses them all.

What a reader would get wrong:
- A quoted word found in a line may stand in its details, so a line found is still parsed before it
  counts.
- Rotation renames: a run's records, or what was done after it, may stand in older files. So
  several files are read as one trail. A file that cannot be read is an OSError everywhere.
"""

import contextlib
import json
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.errors import UsageError
from liqctl.kernel.events import COUNTS, END_BY_STATE, AuditEventType
from liqctl.kernel.result import make_metrics
from liqctl.kernel.states import TripCause
from liqctl.trail.file import (
    LINE_MAX_BYTES,
    TrailRecord,
    blocks,
    blocks_backwards,
    open_for_reading,
    parse_line,
)
from liqctl.trail.fold import RunFold, RunHeadline, fold_run, split_runs
from liqctl.trail.verify import RunChain, check_run

RUN_RECORDS_MAX: Final = 200_000
LATER_RUNS_MAX: Final = 20
# A trail that somebody filled on purpose must not fill memory, nor a message the screen.
_UNANSWERED_MAX: Final = 200
_IDS_MAX: Final = 50_000
_NEAR_MAX: Final = 3
_SIBLINGS_MAX: Final = 10
_POLL_MAX_BYTES: Final = 16 * 1024 * 1024
_OLDER_MAX: Final = 4
_OLD_POLLS: Final = 300
"""How often a renamed file is looked at: a minute at five times a second, twice a run's longest."""

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"(\d{1,9})([smhd])")
_HEAD = re.compile(
    rb'\{"timestamp": "([^"\\]*)", "event_type": "([^"\\]*)", "correlation_id": "([^"\\]*)", '
)
_HEADLINES: Final = (b'"LIQUIDATION_', b'"ARM_TRIPPED"')
"""What lines about whole runs hold, and those about what an armed process started."""

_STATES: Final[dict[str, str]] = {event: state for state, event in END_BY_STATE.items()}
_SUMMARY_KEYS: Final = (
    *("verified_flat", "settled_seconds", "unread", *COUNTS),
    *("duration_seconds", "error_message", "exit_code"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFilter:
    """Which lines are wanted; an empty filter wants all, unreadable ones too.

    `since` is an RFC 3339 moment in UTC with microseconds, as the trail writes them. With
    `any_account` the runs of several accounts that were given this name are wanted as well.
    """

    correlation_id: str | None = None
    any_account: bool = False
    event_types: frozenset[str] = frozenset()
    since: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every line is wanted."""
        return self.correlation_id is None and not self.event_types and self.since is None

    def wanted_in(self, block: bytes) -> Iterator[bytes]:
        """Yield the block's lines that are wanted."""
        texts = sorted(self.event_types) if self.correlation_id is None else [self.correlation_id]
        needles = [json.dumps(text).encode("ascii") for text in texts]
        if self.any_account and self.correlation_id is not None:
            needles = [needle.removesuffix(b'"') for needle in needles]
        return filter(self.wants, _lines_with(block, needles))

    def wants(self, line: bytes) -> bool:
        """Return whether the line is one that was asked for."""
        if self.is_empty:
            return bool(line.strip())
        head = _HEAD.match(line)
        if head is not None:
            timestamp, event_type, correlation_id = (
                part.decode("ascii", "replace") for part in head.groups()
            )
        elif (record := parse_line(line)) is not None:  # Keys in another order, or escapes.
            timestamp, event_type = record.timestamp, record.event_type
            correlation_id = record.correlation_id
        else:
            return False
        return (
            (self.correlation_id in {None, correlation_id} or self._is_of(correlation_id, line))
            and (not self.event_types or event_type in self.event_types)
            and (self.since is None or timestamp >= self.since)
        )

    def _is_of(self, correlation_id: str, line: bytes) -> bool:
        if not self.any_account or not correlation_id.startswith(f"{self.correlation_id}-"):
            return False
        record = parse_line(line)
        return record is not None and is_accounts_run(record, self.correlation_id)


def is_accounts_run(of: TrailRecord | RunHeadline, name: str | None) -> bool:
    """Return whether this is of a run of several accounts that was given the name.

    `liquidate --correlation-id NAME` calls each of them NAME-ACCOUNT.
    """
    return bool(of.account) and of.correlation_id == f"{name}-{of.account}"


def _lines_with(block: bytes, needles: Sequence[bytes]) -> list[bytes]:
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


def last_lines(fd: int, end: int, count: int, wanted: LineFilter) -> list[bytes]:
    """Return up to `count` last wanted lines before the position `end`, oldest first.

    With `since`, a whole block of older lines ends the search: clocks step, but not so far.
    """
    found: deque[bytes] = deque()
    for block in blocks_backwards(fd, end):
        for line in reversed(list(wanted.wanted_in(block))):
            found.appendleft(line)
            if len(found) >= count:
                return list(found)
        moments = [head[1] for head in _HEAD.finditer(block)] if wanted.since else []
        if wanted.since and moments and max(moments) < wanted.since.encode("ascii"):
            break
    return list(found)


def all_lines(fd: int, end: int, wanted: LineFilter) -> Iterator[bytes]:
    """Yield every wanted line before the position `end`, oldest first."""
    for block in blocks(fd, 0, end):
        yield from wanted.wanted_in(block)


def _blocks_of(path: Path) -> Iterator[bytes]:
    fd = open_for_reading(path)
    try:
        yield from blocks(fd, 0, os.fstat(fd).st_size)
    finally:
        os.close(fd)


class Follower:
    """Reads what is appended, over rotation by rename and over truncation.

    A run that is under way goes on in the file that it began, whatever that is called by now: a
    renamed file is read for a while beside the new one. Ask `poll` again and again; it never waits.
    """

    def __init__(self, path: Path, fd: int, position: int) -> None:
        """Follow the open file from a position at the start of a line."""
        self._path = path
        self._tails = [_Tail(fd, position)]

    def poll(self) -> list[bytes]:
        """Return the whole lines that came since the last call; OSErrors wait for the next one."""
        lines: list[bytes] = []
        for tail in self._tails:
            with contextlib.suppress(OSError):
                lines += tail.read()
        # No file of that name is there between the rename and the next writer.
        with contextlib.suppress(OSError):
            found = os.fstat(self._tails[-1].fd)
            is_read = self._tails[-1].position >= found.st_size
            if is_read and not os.path.samestat(self._path.stat(), found):
                self._tails.append(_Tail(open_for_reading(self._path), 0))
                lines += self._tails[-1].read()
        *older, _ = self._tails
        for tail in older:
            tail.polls_left -= 1
        while older and (older[0].polls_left <= 0 or len(older) > _OLDER_MAX):
            tail = older.pop(0)
            self._tails.remove(tail)
            os.close(tail.fd)
            lines += [tail.rest] if tail.rest.strip() else []  # Nobody will finish that line.
        return lines

    def close(self) -> None:
        """Close the files."""
        for tail in self._tails:
            os.close(tail.fd)


class _Tail:
    def __init__(self, fd: int, position: int) -> None:
        self.fd = fd
        self.polls_left = _OLD_POLLS
        self.position = position
        self.rest = b""

    def read(self) -> list[bytes]:
        """Return the whole lines that came since the last call."""
        size = os.fstat(self.fd).st_size
        if size < self.position:
            self.position, self.rest = 0, b""
        block = os.pread(self.fd, min(size - self.position, _POLL_MAX_BYTES), self.position)
        self.position += len(block)
        *lines, rest = (self.rest + block).split(b"\n")
        self.rest = rest[:LINE_MAX_BYTES]
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


class RunRecords(NamedTuple):
    """A run's records in order, up to a bound, and whether they are a chain."""

    records: tuple[TrailRecord, ...]
    chain: RunChain


def read_run(paths: Sequence[Path], correlation_id: str) -> RunRecords:
    """Return what the files hold of a run; they may be named in any order."""
    wanted = LineFilter(correlation_id=correlation_id)
    parts: list[tuple[int, list[bytes]]] = []
    room = RUN_RECORDS_MAX
    for path in paths:
        found = (line for block in _blocks_of(path) for line in wanted.wanted_in(block))
        lines = list(islice(found, room + 1))
        room -= len(lines)
        first = parse_line(lines[0]) if lines else None
        parts.append((first.seq if first else 0, lines))
    parts.sort(key=lambda part: part[0])
    lines = [line for _, part in parts for line in part][:RUN_RECORDS_MAX]
    records = tuple(record for record in map(parse_line, lines) if record is not None)
    return RunRecords(records, check_run(lines))


def last_event_and_unanswered(
    path: Path, correlation_id: str, *, before_latest: bool
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return a run's last event's type, and (symbol, client order id) of its unanswered orders.

    At most 200 orders; a trail that cannot be read gives nothing. Of several runs of that name the
    latest is meant, or the one before it.
    """
    try:
        runs = split_runs(read_run([path], correlation_id).records)
    except OSError:
        return None, ()
    records = runs[-2:][0] if before_latest else runs[-1]
    if not records:
        return None, ()
    found: dict[tuple[str, str], None] = {}
    for order in fold_run(records).orders:
        client_order_id = order.sent.details.get("client_order_id")
        if isinstance(client_order_id, str) and not order.is_answered:
            found[str(order.sent.details.get("symbol", "")), client_order_id] = None
    return records[-1].event_type, tuple(found)[:_UNANSWERED_MAX]


def _headline_records(path: Path) -> Iterator[TrailRecord]:
    """Yield the records about whole runs; orders and readings are passed over as raw bytes."""
    for block in _blocks_of(path):
        for line in _lines_with(block, _HEADLINES):
            record = parse_line(line)
            if record is not None:
                yield record


def read_headlines(paths: Sequence[Path]) -> Iterator[RunHeadline]:
    """Yield each run as it ends, those without an end last; events logged by hand are none."""
    fold = RunFold()
    for path in paths:
        for record in _headline_records(path):
            run = fold.take(record)
            if run is not None:
                yield run
    yield from fold.unfinished


def read_later_runs(
    paths: Sequence[Path], *, after: TrailRecord, correlation_id: str
) -> tuple[RunHeadline, ...]:
    """Return the next runs of the same account, oldest first; at most 20."""
    later = (
        run
        for run in read_headlines(paths)
        if (run.environment, run.account) == (after.environment, after.account)
        and run.correlation_id != correlation_id
        and run.began_at >= after.timestamp
    )
    return tuple(nsmallest(LATER_RUNS_MAX, later, key=lambda run: run.began_at))


def read_history(
    path: Path, *, environment: str | None = None, account: str | None = None
) -> dict[str, Any]:
    """Return the history of an environment, or of all; a trail that is not there yet has none.

    Of one `account` alone, if it is named.
    """
    records = _headline_records(path)
    try:
        return make_history(
            r
            for r in records
            if environment in {None, r.environment} and account in {None, r.account}
        )
    except FileNotFoundError:
        return make_history(())


def make_history(records: Iterable[TrailRecord]) -> dict[str, Any]:
    """Return what the status document tells of past runs; what no run has set yet is None."""
    fold = RunFold()
    ends: Counter[str] = Counter()
    trips = dict.fromkeys(map(str, TripCause), 0)
    last: dict[str, Any] = {}
    for record in records:
        if record.event_type == AuditEventType.ARM_TRIPPED:
            by = record.details.get("by")
            # What was only observed closed nothing.
            if isinstance(by, str) and by in trips and not record.details.get("observe"):
                trips[by] += 1
            continue
        run = fold.take(record)
        if run is None:
            continue
        ends["SKIPPED"] += record.event_type == AuditEventType.LIQUIDATION_SKIPPED
        if run.start is None:  # Blocked or skipped, logged by hand, or its start was rotated away.
            continue
        state = _STATES[record.event_type]
        ends[state] += 1
        reason = run.start.details.get("reason")
        last = {
            "correlation_id": run.correlation_id,
            "environment": run.environment,
            "account": run.account,
            "state": state,
            "started_at": run.start.timestamp,
            "finished_at": record.timestamp,
            "reason": reason if isinstance(reason, str) else None,
            **{key: record.details.get(key) for key in _SUMMARY_KEYS},
            "timeout_seconds": run.start.details.get("timeout_seconds"),
        }
    return {
        "last_run": last or None,
        "unfinished_runs": fold.unfinished,
        "metrics": make_metrics(fold.starts, ends, last),
        "trips": trips,
    }


def near_ids(paths: Sequence[Path], correlation_id: str) -> tuple[str, ...]:
    """Return the ids that were most likely meant; the last ones where none is like it."""
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
