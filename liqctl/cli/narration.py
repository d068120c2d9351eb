"""Events on their way to the trail, told to people as well: `liqctl.log`, and stderr's reader."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from liqctl.audit.logfile import LogFile, describe_event
from liqctl.audit.trail import AuditLogger
from liqctl.cli import process
from liqctl.domain.events import AuditEventType

if TYPE_CHECKING:
    from liqctl.cli.live import LiveView


class Narrator:
    """Implements `ports.EventSink` and `engine.abandonment.DeadRuns` on top of a trail."""

    def __init__(
        self, trail: AuditLogger, log: LogFile, *, aloud: bool, view: "LiveView | None" = None
    ) -> None:
        """Pass events to the trail first; `aloud` tells them on stderr, a `view` draws them."""
        self._trail = trail
        self._log = log
        self._aloud = aloud
        self._view = view

    def log_event(
        self, *, event_type: AuditEventType, correlation_id: str, details: Mapping[str, Any]
    ) -> None:
        """Record the event, then tell it; telling never waits."""
        self._trail.log_event(event_type=event_type, correlation_id=correlation_id, details=details)
        line = describe_event(event_type, details)
        self._log.write(correlation_id, line)
        if self._aloud:
            process.print_progress(line)
        if self._view is not None:
            self._view.note(event_type, details)

    def flush(self) -> None:
        """Write what people are still to be told in the log."""
        self._log.flush()

    async def sync(self) -> None:
        """Wait (bounded) until what was appended is on disk."""
        await self._trail.sync()

    @property
    def complete(self) -> bool:
        """Whether every event so far reached the trail."""
        return self._trail.complete

    def head(self, correlation_id: str) -> str | None:
        """Return the SHA-256 of the run's last line."""
        return self._trail.head(correlation_id)

    def resume(self, correlation_id: str) -> str | None:
        """Continue a dead run's chain; return its last event's type."""
        return self._trail.resume(correlation_id)

    def unanswered(self, correlation_id: str) -> tuple[tuple[str, str], ...]:
        """Return the orders that a dead run sent and heard nothing of."""
        return self._trail.unanswered(correlation_id)
