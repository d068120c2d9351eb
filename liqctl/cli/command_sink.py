"""The trail of a command's run, whose events people are told as well.

A module of its own: it is loaded while the first reading is on its way.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from liqctl.cli.output import out
from liqctl.kernel.events import AuditEventType
from liqctl.trail.durability import LogFile, describe_event
from liqctl.trail.writer import END_WAIT_MAX_S, AuditLogger

if TYPE_CHECKING:
    from liqctl.cli.live import LiveView
    from liqctl.settings.values import Settings


class CommandSink(AuditLogger):
    """Hands each event to the trail, then tells it in `liqctl.log` and to who reads stderr."""

    def __init__(self, settings: "Settings", *, aloud: bool, view: "LiveView | None") -> None:
        """Tell events on stderr where they are wanted `aloud`, draw them where there is a view."""
        super().__init__(
            settings.audit.log_dir, environment=settings.environment.value, spill=out.aside
        )
        self.listeners: list[Callable[[str, Mapping[str, Any]], None]] = []
        """Who else hears of each event."""

        self._log = LogFile(settings.audit.log_dir)
        self._aloud = aloud
        self._view = view

    def log_event(
        self,
        *,
        event_type: AuditEventType | str,
        correlation_id: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Take one event; waits for nothing, also where no event loop runs."""
        self.post_event(event_type=event_type, correlation_id=correlation_id, details=details)
        line = describe_event(event_type, details or {})
        account = self.accounts.get(correlation_id)
        self._log.write(correlation_id, line)
        for listener in self.listeners:
            listener(str(event_type), details or {})
        self._show(line, str(event_type), details or {}, account)

    def tell(self, account: str | None, event_type: str, details: Mapping[str, Any]) -> None:
        """Tell an event that another process records; from any thread."""
        self._show(describe_event(event_type, details), event_type, details, account)

    def _show(
        self, line: str, event_type: str, details: Mapping[str, Any], account: str | None
    ) -> None:
        if self._aloud:
            out.progress(f"{account}: {line}" if account else line)
        if self._view is not None:
            self._view.note(event_type, details, account)

    def finish(self, wait_max_s: float = END_WAIT_MAX_S) -> None:
        """Write what is still to be recorded, and told in the log; wait for the disk (bounded)."""
        super().finish(wait_max_s)
        self._log.flush(wait_max_s)
