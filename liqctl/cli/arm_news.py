"""Tells people of an armed process: by processes of their own, and never in the way of a trip.

A process is started in a thread, and for a trip only once its first orders are long out.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli.output import out
from liqctl.notify.notice import (
    COURIER_S,
    HealthNews,
    Notice,
    Post,
    make_message,
    start_courier,
    wait_for_courier,
)
from liqctl.settings.targets import read_targets

if TYPE_CHECKING:
    import subprocess

    from liqctl.settings.values import Settings

TRIP_TOLD_AFTER_S: Final = 0.5
"""How long after a trigger it is told: the first orders take some milliseconds. (guess)"""


class ArmNews:
    """Sends what targets want to hear of one armed process."""

    def __init__(self, settings: "Settings", correlation_id: str) -> None:
        self.post = Post(
            environment=settings.environment.value,
            account=settings.account,
            correlation_id=correlation_id,
        )
        self._settings = settings
        self._targets = read_targets(settings.notifications)
        self._health = HealthNews()
        self._reasons: tuple[str, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._trip: asyncio.TimerHandle | None = None
        self._starting: set[asyncio.Task[None]] = set()
        self._last: subprocess.Popen[bytes] | None = None

    def tell(self, notice: Notice) -> None:
        """Let a notice be sent, where somebody wants it."""
        if any(target.wants(notice.kind, notice.rank) for target in self._targets):
            self.carry_out(lambda: make_message(self._settings, [notice]))

    def carry_out(self, make_order: Callable[[], Mapping[str, Any]]) -> None:
        """Let another process carry out an order, which is made in a thread."""
        task = asyncio.get_running_loop().create_task(self._start(make_order))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _start(self, make_order: Callable[[], Mapping[str, Any]]) -> None:
        try:
            self._last = await asyncio.to_thread(lambda: start_courier(make_order()))
        except (OSError, ValueError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            out.error(f"no notification was sent: its process did not start: {why}")

    def health(self, health: str, reasons: tuple[str, ...]) -> None:
        """Take the present health; a change that lasts is told, at most once a minute."""
        loop = asyncio.get_running_loop()
        self._reasons = reasons
        if self._timer is not None:
            self._timer.cancel()
        due_at = self._health.note(health, loop.time())
        self._timer = None
        if due_at is not None:
            self._timer = loop.call_at(max(due_at, loop.time()), self._tell_health, health)

    def _tell_health(self, health: str) -> None:
        if self._health.is_due(asyncio.get_running_loop().time()):
            self.tell(self.post.health(health, self._reasons))

    def tell_trip_soon(self, make: Callable[[], Notice]) -> None:
        """Tell of a trip in a moment: its first orders come first."""
        self.no_more_health()
        loop = asyncio.get_running_loop()
        self._trip = loop.call_later(TRIP_TOLD_AFTER_S, self._tell_trip, make)
        self._make_trip = make

    def _tell_trip(self, make: Callable[[], Notice]) -> None:
        self._trip = None
        self.tell(make())

    def tell_trip_now(self) -> None:
        """Tell of a trip whose run is over before its message was sent."""
        if self._trip is not None:
            self._trip.cancel()
            self._tell_trip(self._make_trip)

    def no_more_health(self) -> None:
        """Tell of no change of health any more."""
        if self._timer is not None:
            self._timer.cancel()

    async def finish(self) -> None:
        """Wait for what is being sent, as long as it may take; a service manager ends the rest."""
        self.no_more_health()
        ends_at = time.monotonic() + COURIER_S
        if self._starting:
            await asyncio.wait(self._starting, timeout=COURIER_S)
        if self._last is not None:
            with contextlib.suppress(RuntimeError):
                await asyncio.to_thread(wait_for_courier, self._last, ends_at)
