"""Events on their way to the trail, told to people as well: `liqctl.log`, and stderr's reader."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from liqctl.cli import process
from liqctl.kernel.events import AuditEventType
from liqctl.trail.durability import LogFile, describe_event
from liqctl.trail.writer import END_WAIT_MAX_S, AuditLogger

if TYPE_CHECKING:
    from liqctl.cli.live import LiveView


class CommandSink:
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
        """Hand the event to the trail, then tell it; neither waits."""
        self._trail.post_event(
            event_type=event_type, correlation_id=correlation_id, details=details
        )
        line = describe_event(event_type, details)
        self._log.write(correlation_id, line)
        if self._aloud:
            process.print_progress(line)
        if self._view is not None:
            self._view.note(event_type, details)

    def finish(self, wait_max_s: float = END_WAIT_MAX_S) -> None:
        """Write what is still to be recorded, and told in the log; wait for the disk (bounded)."""
        self._trail.finish(wait_max_s)
        self._log.flush(wait_max_s)

    async def sync(self) -> None:
        """Wait (bounded) until every event so far is on disk: orders are about to be sent."""
        await self._trail.sync()

    async def drain(self, wait_max_s: float = END_WAIT_MAX_S) -> None:
        """Wait (bounded, longer) until every event so far is on disk: the run ends."""
        await self._trail.drain(wait_max_s)

    @property
    def complete(self) -> bool:
        """Whether every event so far reached the trail."""
        return self._trail.complete

    def head(self, correlation_id: str) -> str | None:
        """Return the SHA-256 of the run's last line."""
        return self._trail.head(correlation_id)

    async def continue_run(
        self, correlation_id: str, *, is_ours: bool
    ) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        """Continue a dead run's chain; return its last event's type and its unanswered orders."""
        return await self._trail.continue_run(correlation_id, is_ours=is_ours)
