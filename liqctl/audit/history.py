"""What the trail alone tells of past runs: the metrics and the last run, for `status`.

Only lines about whole runs are parsed; orders and readings are passed over as raw bytes.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from liqctl.audit.reading import blocks, lines_of, open_for_reading
from liqctl.domain.events import RUN_ENDS, AuditEventType, is_run_start
from liqctl.domain.states import LiquidationState
from liqctl.domain.trail import TrailRecord, UnfinishedRun, parse_line

_NEEDLES: Final = (b'"LIQUIDATION_',)
_STATES: Final = {
    AuditEventType.LIQUIDATION_COMPLETE: LiquidationState.COMPLETED,
    AuditEventType.LIQUIDATION_PARTIAL: LiquidationState.PARTIAL,
    AuditEventType.LIQUIDATION_FAILED: LiquidationState.FAILED,
}
_ABANDONED: Final = "ABANDONED"
_SUMMARY_KEYS: Final = (
    "verified_flat",
    "settled_seconds",
    "unread",
    "positions_found",
    "positions_closed",
    "positions_failed",
    "orders_found",
    "orders_cancelled",
    "orders_failed",
    "duration_seconds",
    "error_message",
    "exit_code",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One finished run: its state, and the counts that its end record holds."""

    correlation_id: str
    environment: str
    state: str
    started_at: str
    finished_at: str
    reason: str | None
    counts: dict[str, object]

    def as_json(self) -> dict[str, object]:
        """Return the JSON object that `status` shows as `last_run`."""
        return {
            "correlation_id": self.correlation_id,
            "environment": self.environment,
            "state": self.state,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "reason": self.reason,
            **self.counts,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Lifetime counts of real runs, the last finished run, and runs without an end."""

    execution_count: int = 0
    completed: int = 0
    partial: int = 0
    failed: int = 0
    skipped: int = 0
    abandoned: int = 0
    last_run: RunSummary | None = None
    unfinished: tuple[UnfinishedRun, ...] = ()

    def metrics(self) -> dict[str, object]:
        """Return the metrics of the contract; what no run has set yet is None."""
        last = self.last_run
        counts = last.counts if last else {}
        return {
            "execution_count": self.execution_count,
            "completed": self.completed,
            "partial": self.partial,
            "failed": self.failed,
            "skipped": self.skipped,
            "abandoned": self.abandoned,
            "last_execution_time": last.started_at if last else None,
            "last_state": last.state if last else None,
            "last_positions_closed": counts.get("positions_closed"),
            "last_orders_cancelled": counts.get("orders_cancelled"),
            "last_duration_seconds": counts.get("duration_seconds"),
        }


def read_history(path: Path, *, environment: str | None = None) -> History:
    """Return the history that the trail holds; a trail that is not there yet has none.

    Args:
        path: the trail.
        environment: count runs of this environment only; None counts all.

    Raises:
        OSError: the trail is there and cannot be read.
    """
    try:
        fd = open_for_reading(path)
    except FileNotFoundError:
        return History()
    tally = _Tally()
    try:
        for block in blocks(fd, 0, os.fstat(fd).st_size):
            for line in lines_of(block, _NEEDLES):
                record = parse_line(line)
                if record is not None and environment in {None, record.environment}:
                    tally.take(record)
    finally:
        os.close(fd)
    return tally.history()


class _Tally:
    """Counts runs as their records go by."""

    def __init__(self) -> None:
        self._started: dict[str, TrailRecord] = {}
        self._counts = dict.fromkeys([*_STATES, AuditEventType.LIQUIDATION_ABANDONED], 0)
        self._runs = 0
        self._skipped = 0
        self._last: RunSummary | None = None

    def take(self, record: TrailRecord) -> None:
        match record.event_type:
            case AuditEventType.LIQUIDATION_START if is_run_start(record.details):
                self._runs += 1
                self._started[record.correlation_id] = record
            case AuditEventType.LIQUIDATION_SKIPPED:
                self._skipped += 1
            case event_type if event_type in RUN_ENDS:
                self._end(AuditEventType(event_type), record)
            case _:
                pass

    def history(self) -> History:
        return History(
            execution_count=self._runs,
            completed=self._counts[AuditEventType.LIQUIDATION_COMPLETE],
            partial=self._counts[AuditEventType.LIQUIDATION_PARTIAL],
            failed=self._counts[AuditEventType.LIQUIDATION_FAILED],
            skipped=self._skipped,
            abandoned=self._counts[AuditEventType.LIQUIDATION_ABANDONED],
            last_run=self._last,
            unfinished=tuple(
                UnfinishedRun(correlation_id=name, started_at=record.timestamp)
                for name, record in self._started.items()
            ),
        )

    def _end(self, event_type: AuditEventType, record: TrailRecord) -> None:
        start = self._started.pop(record.correlation_id, None)
        if start is None:  # Logged by hand, or its start was rotated away.
            return
        self._counts[event_type] += 1
        reason = start.details.get("reason")
        self._last = RunSummary(
            correlation_id=record.correlation_id,
            environment=record.environment,
            state=_STATES[event_type].value if event_type in _STATES else _ABANDONED,
            started_at=start.timestamp,
            finished_at=record.timestamp,
            reason=reason if isinstance(reason, str) else None,
            counts={
                **{key: record.details.get(key) for key in _SUMMARY_KEYS},
                "timeout_seconds": start.details.get("timeout_seconds"),
            },
        )
