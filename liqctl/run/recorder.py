"""One run's events: what was decided, sent and heard, in order.

`durable` is a group commit: every intent appended before it returns is on disk, and callers that
arrive while a sync is under way share the next one, so a wave of orders costs one sync.
"""

import asyncio
import os

from liqctl.kernel.events import AuditEvent
from liqctl.kernel.ids import ORDER_TAG_BYTES
from liqctl.kernel.ports import EventSink


class Recorder:
    """Writes events of one run to a sink.

    `order_tag` marks this run's client order ids: its correlation id may have been used before.
    """

    def __init__(self, sink: EventSink, correlation_id: str) -> None:
        """Record to `sink` under `correlation_id`."""
        self.correlation_id = correlation_id
        self.order_tag = os.urandom(ORDER_TAG_BYTES).hex()
        self._sink = sink
        self._next: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None

    def event(self, event: AuditEvent) -> None:
        """Append one event."""
        self._sink.log_event(
            event_type=event.event_type,
            correlation_id=self.correlation_id,
            details=event.details,
        )

    async def durable(self) -> None:
        """Return once everything appended so far is on disk, or the trail is marked incomplete."""
        if self._next is None:
            self._next = asyncio.create_task(self._sync_after(self._running))
        await asyncio.shield(self._next)

    async def _sync_after(self, running: "asyncio.Task[None] | None") -> None:
        if running is not None:
            await asyncio.shield(running)
        self._running, self._next = self._next, None
        await self._sink.sync()

    async def drain(self, wait_max_s: float) -> None:
        """Return once everything is on disk, or on stderr: the run ends here."""
        await self._sink.drain(wait_max_s)

    @property
    def complete(self) -> bool:
        """Whether every event so far reached the trail."""
        return self._sink.complete

    @property
    def head(self) -> str | None:
        """The hash of the run's last line."""
        return self._sink.head(self.correlation_id)
