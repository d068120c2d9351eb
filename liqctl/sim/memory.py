"""The door in memory: a `machine.Transport` over a venue, and the virtual time that it is tried in.

Requests travel for `latency_s / 2` each way. What the network can do to them is done here the way a
client sees it: silence until the time-out, a cut connection, a body that cannot be read.

In virtual time an event loop's clock jumps to the next timer instead of waiting for it: a run of
five seconds takes milliseconds, every run of the same seed is the same run, and a deadlock is an
error at once.
"""

import asyncio
import json
import selectors
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from typing_extensions import override

from liqctl.kernel.answers import (
    VenueAnswer,
    element_refused,
    no_answer,
    not_sent,
    refused,
    unreadable,
)
from liqctl.kernel.errors import VenueError
from liqctl.kernel.limits import Usage
from liqctl.kernel.requests import EndpointSpec
from liqctl.sim.venue import Request, Venue

T = TypeVar("T")

EPOCH_MS: Final = 1_767_225_600_000
"""The loop's time 0 on the calendar: 2026-01-01."""

_STUCK_MAX: Final = 100
"""Polls in a row without a timer or a ready callback before the loop is called stuck."""

_INSTANT_S: Final = 0.001
_TURNS_MAX: Final = 20_000
"""Turns of the loop within an instant before it is said to run in circles: the largest account of
the tests needs some hundred, and a million would take seconds."""


class MemoryTransport:
    """Implements `liqctl.kernel.machine.Transport` on a venue in this process."""

    def __init__(
        self, venue: Venue, *, latency_s: float = 0.05, recv_window_ms: int = 5000
    ) -> None:
        """Speak to the venue; it should have no key, since nothing is signed here."""
        self._venue = venue
        self._latency_s = latency_s
        self._recv_window_ms = recv_window_ms
        self._offset_ms = 0
        self._requests = 0
        self._under_way: dict[object, None] = {}
        self._headers: dict[str, str] = {}

    @property
    def base_url(self) -> str:
        """A name for results."""
        return "memory://venue"

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""
        return Usage(
            requests=self._requests,
            weight_1m=int(self._headers.get("X-MBX-USED-WEIGHT-1M", -1)),
            orders_10s=int(self._headers.get("X-MBX-ORDER-COUNT-10S", -1)),
            orders_1m=int(self._headers.get("X-MBX-ORDER-COUNT-1M", -1)),
        )

    def serves(self, _: str) -> bool:
        """Everything is here."""
        return True

    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        """Send one request and return the decoded JSON of a success."""
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._exchange(spec, params)
        except TimeoutError:
            answer = no_answer("no answer in time")
        if isinstance(answer, VenueAnswer):
            raise VenueError(answer)
        return answer

    async def sync_clock(self, spec: EndpointSpec, *, timeout_s: float) -> float:
        """Measure and apply the clock difference."""
        before_ms = _local_ms()
        row = await self.request(spec, {}, timeout_s=timeout_s)
        if not isinstance(row, dict) or not isinstance(row.get("serverTime"), int):
            raise VenueError(unreadable(200, "no serverTime"))
        ahead_ms = (before_ms + _local_ms()) / 2 - row["serverTime"]
        self._offset_ms = round(-ahead_ms)
        return float(ahead_ms) / 1000

    async def close(self) -> None:
        """Nothing to close."""

    async def _exchange(self, spec: EndpointSpec, params: Mapping[str, Any]) -> Any:
        """Carry a request there and its answer back; return JSON or what went wrong."""
        self._requests += 1
        texts = {
            name: json.dumps(value) if isinstance(value, bool | list | dict) else str(value)
            for name, value in params.items()
        }
        if spec.signed:
            texts |= {
                "timestamp": str(_local_ms() + self._offset_ms),
                "recvWindow": str(self._recv_window_ms),
            }
        request = Request(method=spec.method, path=spec.path, given=texts)
        turn = object()
        self._under_way[turn] = None
        try:
            await asyncio.sleep(self._latency_s / 2)
            # Timers of one moment fire in any order; what left first arrives first.
            while next(iter(self._under_way)) is not turn:  # noqa: ASYNC110 - for a turn of the loop
                await asyncio.sleep(0)
            reply = self._venue.handle(request, _local_ms())
        finally:
            del self._under_way[turn]
        effect = reply.effect
        if effect.refuse:
            return not_sent("connection refused")
        if effect.delay_ms:
            await asyncio.sleep(effect.delay_ms / 1000)
        if effect.drip:
            await asyncio.sleep(len(reply.body))
        await asyncio.sleep(self._latency_s / 2)
        if effect.drop or effect.truncate:
            return no_answer("the connection was cut")
        self._headers |= reply.headers
        if reply.status != 200:  # noqa: PLR2004 - HTTP's word for success
            return refused(reply.status, reply.headers, reply.body)
        try:
            decoded = json.loads(reply.body, parse_float=Decimal)
        except ValueError:
            return unreadable(reply.status, "not JSON")
        if not isinstance(decoded, dict | list):
            return unreadable(reply.status, "neither object nor array")
        return (isinstance(decoded, dict) and element_refused(decoded)) or decoded


def _local_ms() -> int:
    return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)


class DeadlockError(RuntimeError):
    """Everything waits and nothing is due."""


class StandstillError(RuntimeError):
    """Something is always ready, and time does not pass."""


class _NoWait(selectors.SelectSelector):
    """A selector that advances the loop's clock by the time it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._stuck = 0
        self._instant, self._turns = 0.0, 0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if self.now - self._instant > _INSTANT_S:
            self._instant, self._turns = self.now, 0
        elif self._turns > _TURNS_MAX:
            message = f"time stands still at {self.now:.3f} s: something never waits"
            raise StandstillError(message)
        ready = super().select(0)
        if ready or timeout == 0:
            self._stuck = 0
        elif timeout is None:
            self._stuck += 1
            if self._stuck > _STUCK_MAX:
                message = "every task waits and no timer is due"
                raise DeadlockError(message)
        else:
            self._stuck = 0
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, starting at 0."""

    def __init__(self) -> None:
        """Start at second 0."""
        self._clock = _NoWait()
        super().__init__(self._clock)

    @override
    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.now


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in virtual time and return its result; tasks left over are cancelled."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        return result
    finally:
        loop.close()
