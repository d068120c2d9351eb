"""What a run recorded, for its judges: events kept in memory on their way to a real trail."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from liqctl.kernel.events import AuditEventType
from liqctl.sim.memory import EPOCH_MS
from liqctl.trail.writer import AuditLogger

DISK_S: Final = 0.0005
"""How long a sync takes in virtual time."""


class LoopClock:
    """Calendar time that follows the loop's, as the door in memory does."""

    def now(self) -> datetime:
        """Return the loop's time as a date."""
        began = datetime.fromtimestamp(EPOCH_MS / 1000, tz=UTC)
        return began + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass(slots=True)
class MemorySink:
    """Keeps events in memory; implements `ports.EventSink`.

    With a `trail` every event is also appended to it. A disk cannot be waited for in virtual time:
    there a sync takes `DISK_S`, and only with `syncs` what the machine needs.
    """

    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    trail: AuditLogger | None = None
    syncs: bool = False

    def log_event(
        self, *, event_type: AuditEventType, correlation_id: str, details: Mapping[str, Any]
    ) -> None:
        """Keep the event and pass it on."""
        self.events.append((event_type.value, details))
        if self.trail is not None:
            self.trail.log_event(
                event_type=event_type, correlation_id=correlation_id, details=details
            )

    async def sync(self) -> None:
        """Take as long as a disk does."""
        if self.trail is not None and self.syncs:
            await self.trail.sync()
            return
        if self.trail is not None:
            self.trail.flush()
        await asyncio.sleep(DISK_S)

    async def drain(self, wait_max_s: float) -> None:
        """Take as long as a disk does; in virtual time the trail is only written."""
        await self.sync()
        if self.trail is not None and self.syncs:
            await self.trail.drain(wait_max_s)

    @property
    def complete(self) -> bool:
        """Whether every event reached the trail."""
        return self.trail is None or self.trail.complete

    def head(self, correlation_id: str) -> str | None:
        """Return the SHA-256 of the run's last line; there is no chain in memory."""
        return None if self.trail is None else self.trail.head(correlation_id)
