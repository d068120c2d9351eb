"""Names of the audit trail's events. Users grep for them: change only by adding."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

TRAIL_NAME: Final = "audit.jsonl"
"""The file of the trail, in the log directory."""


class AuditEventType(StrEnum):
    """What one line of the audit trail records."""

    LIQUIDATION_START = "LIQUIDATION_START"
    SNAPSHOT_TAKEN = "SNAPSHOT_TAKEN"
    ORDER_CANCEL_SENT = "ORDER_CANCEL_SENT"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    ORDER_CANCEL_REJECTED = "ORDER_CANCEL_REJECTED"
    ORDER_SENT = "ORDER_SENT"
    ORDER_PLACED = "ORDER_PLACED"
    ORDER_REJECTED = "ORDER_REJECTED"
    ORDER_UNKNOWN = "ORDER_UNKNOWN"
    POSITION_CLOSED = "POSITION_CLOSED"
    POSITION_FAILED = "POSITION_FAILED"
    RETRY_SCHEDULED = "RETRY_SCHEDULED"
    FLAT_SEEN = "FLAT_SEEN"
    REENTRY_SEEN = "REENTRY_SEEN"
    VERIFIED = "VERIFIED"
    LIQUIDATION_COMPLETE = "LIQUIDATION_COMPLETE"
    LIQUIDATION_PARTIAL = "LIQUIDATION_PARTIAL"
    LIQUIDATION_FAILED = "LIQUIDATION_FAILED"
    LIQUIDATION_BLOCKED = "LIQUIDATION_BLOCKED"
    LIQUIDATION_SKIPPED = "LIQUIDATION_SKIPPED"
    LIQUIDATION_ABANDONED = "LIQUIDATION_ABANDONED"


RUN_ENDS = frozenset(
    {
        AuditEventType.LIQUIDATION_COMPLETE,
        AuditEventType.LIQUIDATION_PARTIAL,
        AuditEventType.LIQUIDATION_FAILED,
        AuditEventType.LIQUIDATION_ABANDONED,
    }
)
"""Exactly one of these follows each LIQUIDATION_START of a run."""

FAILURES = frozenset(
    {
        AuditEventType.ORDER_REJECTED,
        AuditEventType.ORDER_UNKNOWN,
        AuditEventType.ORDER_CANCEL_REJECTED,
        AuditEventType.POSITION_FAILED,
        AuditEventType.LIQUIDATION_FAILED,
        AuditEventType.LIQUIDATION_PARTIAL,
        AuditEventType.LIQUIDATION_ABANDONED,
    }
)
"""What `audit tail --failed` shows."""


INTERRUPTED: Final = "interrupted before it was done"
"""What the end record's `error_message` holds when a signal stopped the run."""


def is_run_start(details: Mapping[str, object]) -> bool:
    """Return whether a LIQUIDATION_START with these details began a run.

    One logged by hand through `AuditLogger` names neither the process nor its time limit.
    """
    return "pid" in details and "timeout_seconds" in details
