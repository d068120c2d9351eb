"""What a run asks of the world.

Every method of `Exchange` raises `VenueError` (see `liqctl.kernel.answers` for what its kind
means) and nothing else but `asyncio.CancelledError`. No method repeats a request by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from liqctl.kernel.events import AuditEventType
from liqctl.kernel.requests import EndpointSpec, Request
from liqctl.kernel.states import Product

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the venue's headers last said of its limits; -1 when it said nothing.

    `weight_1m` counts for the whole IP address, order counts for the account; other programs use
    both up too.
    """

    requests: int = 0
    weight_1m: int = -1
    orders_10s: int = -1
    orders_1m: int = -1


class Connected(Protocol):
    """What both ends of the way to one venue know of it."""

    @property
    def base_url(self) -> str:
        """Scheme and host of every request, as configured."""

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""

    def serves(self, api: str) -> bool:
        """Whether there is a host for the API of this name (`papi`, `sapi` …)."""

    async def close(self) -> None:
        """Close connections at once; never raises."""


class Exchange(Connected, Protocol):
    """One account on one venue. `timeout_s` cuts a call that takes longer."""

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer."""

    async def warm_up(self, product: Product, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests; never raises."""


class EventSink(Protocol):
    """Where events go. Never raises: a trail that cannot be written is marked incomplete."""

    def log_event(
        self, *, event_type: AuditEventType, correlation_id: str, details: Mapping[str, Any]
    ) -> None:
        """Take one event; this never touches the disk."""

    async def sync(self) -> None:
        """Wait (bounded) until every event so far is on disk: orders are about to be sent."""

    async def drain(self, wait_max_s: float) -> None:
        """Wait (bounded, longer) until every event so far is on disk: the run ends."""

    @property
    def complete(self) -> bool:
        """Whether every event so far reached the trail."""

    def head(self, correlation_id: str) -> str | None:
        """Return the SHA-256 of the run's last line, None when nothing was written."""


class WallClock(Protocol):
    """The only source of calendar time."""

    def now(self) -> datetime:
        """Return the current time in UTC."""


class Transport(Connected, Protocol):
    """Carries one request to the venue: the ccxt client, or the simulator in memory."""

    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:  # noqa: ANN401 - decoded JSON
        """Send one request and return the decoded JSON object or array of a success.

        Numbers with a fraction arrive as Decimal, never as float. Refusals, silence, an unreadable
        or non-JSON success body raise VenueError, with the kinds of `liqctl.kernel.answers`.
        """

    async def sync_clock(self, spec: EndpointSpec, *, timeout_s: float) -> float:
        """Measure and apply the clock difference; return it in seconds, positive if ahead."""
