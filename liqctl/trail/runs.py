"""What the trail's files tell of runs: one run's records, all runs' headlines, lifetime counts.

Reads several files as one trail: rotation renames, so a run's records, or what was done after it,
may stand in older files. Raw bytes are searched first; only lines that may matter are parsed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Final

from liqctl.kernel.events import AuditEventType
from liqctl.kernel.states import LiquidationState
from liqctl.trail.fold import (
    RunChain,
    RunFold,
    RunHeadline,
    UnfinishedRun,
    check_run,
    fold_run,
    split_runs,
)
from liqctl.trail.reading import LineFilter, headline_records, lines_in
from liqctl.trail.record import TrailRecord, parse_line

RUN_RECORDS_MAX: Final = 200_000
LATER_RUNS_MAX: Final = 20
_UNANSWERED_MAX: Final = 200
_IDS_MAX: Final = 50_000
_NEAR_MAX: Final = 3
_SIBLINGS_MAX: Final = 10
_STATES: Final[dict[str, str]] = {
    AuditEventType.LIQUIDATION_COMPLETE: LiquidationState.COMPLETED.value,
    AuditEventType.LIQUIDATION_PARTIAL: LiquidationState.PARTIAL.value,
    AuditEventType.LIQUIDATION_FAILED: LiquidationState.FAILED.value,
    AuditEventType.LIQUIDATION_ABANDONED: "ABANDONED",
}
_SUMMARY_KEYS: Final = (
    *("verified_flat", "settled_seconds", "unread"),
    *("positions_found", "positions_closed", "positions_failed"),
    *("orders_found", "orders_cancelled", "orders_failed"),
    *("duration_seconds", "error_message", "exit_code"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecords:
    """A run's records in order; `is_cut` when there were more than are kept."""

    records: tuple[TrailRecord, ...]
    chain: RunChain
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What status tells of past runs.

    Attributes:
        last_run: the last finished run: its state, and what its end record counts.
        unfinished_runs: those without an end.
        metrics: lifetime counts of real runs as the contract has them; what no run has set yet is
            None.
    """

    last_run: dict[str, object] | None
    unfinished_runs: tuple[UnfinishedRun, ...]
    metrics: dict[str, object]


def read_run(paths: Sequence[Path], correlation_id: str) -> RunRecords:
    """Return what the files hold of a run; they may be named in any order.

    Raises:
        OSError: a file cannot be read.
    """
    parts: list[list[bytes]] = []
    room = RUN_RECORDS_MAX
    for path in paths:
        wanted = LineFilter(correlation_id=correlation_id)
        lines = list(islice(lines_in(path, wanted), room + 1))
        room -= len(lines)
        parts.append(lines)
    parts.sort(key=_first_seq)
    lines = [line for part in parts for line in part]
    kept = lines[:RUN_RECORDS_MAX]
    records = [record for record in map(parse_line, kept) if record is not None]
    return RunRecords(records=tuple(records), chain=check_run(kept), is_cut=len(lines) > len(kept))


def _first_seq(lines: list[bytes]) -> int:
    record = parse_line(lines[0]) if lines else None
    return record.seq if record else 0


def read_headlines(paths: Sequence[Path]) -> Iterator[RunHeadline]:
    """Yield each run as it ends, those without an end last; events logged by hand are none.

    Raises:
        OSError: a file cannot be read.
    """
    fold = RunFold()
    for path in paths:
        for record in headline_records(path):
            run = fold.take(record)
            if run is not None:
                yield run
    yield from fold.open.values()


def read_history(path: Path, *, environment: str | None = None) -> History:
    """Return the history that the trail holds; a trail that is not there yet has none.

    Args:
        path: the trail.
        environment: count runs of this environment only; None counts all.

    Raises:
        OSError: the trail is there and cannot be read.
    """
    tally = _Tally()
    try:
        for record in headline_records(path):
            if environment in {None, record.environment}:
                tally.take(record)
    except FileNotFoundError:
        pass
    return tally.history()


def no_history() -> History:
    """Return the history of a trail without a run."""
    return _Tally().history()


@dataclass(slots=True)
class _Tally:
    """Counts runs as their records go by."""

    fold: RunFold = field(default_factory=RunFold)
    ends: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    last: dict[str, object] | None = None

    def take(self, record: TrailRecord) -> None:
        run = self.fold.take(record)
        if run is None or run.end is None:
            return
        self.skipped += record.event_type == AuditEventType.LIQUIDATION_SKIPPED
        if run.start is None:  # Blocked or skipped, logged by hand, or its start was rotated away.
            return
        state = _STATES[record.event_type]
        self.ends[state] += 1
        reason = run.start.details.get("reason")
        self.last = {
            "correlation_id": run.correlation_id,
            "environment": run.environment,
            "state": state,
            "started_at": run.start.timestamp,
            "finished_at": record.timestamp,
            "reason": reason if isinstance(reason, str) else None,
            **{key: record.details.get(key) for key in _SUMMARY_KEYS},
            "timeout_seconds": run.start.details.get("timeout_seconds"),
        }

    def history(self) -> History:
        last = self.last or {}
        return History(
            last_run=self.last,
            unfinished_runs=self.fold.unfinished,
            metrics={
                "execution_count": self.fold.starts,
                "completed": self.ends["COMPLETED"],
                "partial": self.ends["PARTIAL"],
                "failed": self.ends["FAILED"],
                "skipped": self.skipped,
                "abandoned": self.ends["ABANDONED"],
                "last_execution_time": last.get("started_at"),
                "last_state": last.get("state"),
                "last_positions_closed": last.get("positions_closed"),
                "last_orders_cancelled": last.get("orders_cancelled"),
                "last_duration_seconds": last.get("duration_seconds"),
            },
        )


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
        and run.heard_at >= after.timestamp
    )
    return tuple(nsmallest(LATER_RUNS_MAX, later, key=lambda run: run.heard_at))


def last_event_and_unanswered(
    path: Path, correlation_id: str, *, before_latest: bool
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return a run's last event's type, and (symbol, client order id) of its unanswered orders.

    At most 200 orders; a trail that cannot be read gives nothing.

    Args:
        path: the trail.
        correlation_id: the run's; of several runs of that name the latest is meant.
        before_latest: whether the one before it is meant, because the latest is our own.
    """
    try:
        runs = split_runs(read_run([path], correlation_id).records)
    except OSError:
        return None, ()
    records = runs[-2:][0] if before_latest else runs[-1]
    if not records:
        return None, ()
    unanswered = {
        client_order_id: str(order.sent.details.get("symbol", ""))
        for order in fold_run(records).orders
        if isinstance(client_order_id := order.sent.details.get("client_order_id"), str)
        and not order.is_answered
    }
    found = [(symbol, client_order_id) for client_order_id, symbol in unanswered.items()]
    return records[-1].event_type, tuple(found[:_UNANSWERED_MAX])


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
