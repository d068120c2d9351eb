"""Keeps the user data stream of one product: its key, its connection, and what it says.

What a reader would get wrong:
- The listen key is one for all programs of the account. It is renewed, never deleted: that would
  end the bots' streams too. Who deletes it ends ours, and the connection stays open and silent: so
  a stream that a reading found silent is connected anew.
- A key that has died is refused with -1125; renewing it again is refused again. It is asked anew.
- One frame that cannot be read is counted and skipped; it ends nothing.
"""

import asyncio
from typing import Final, Protocol

from liqctl.kernel import pacing
from liqctl.kernel.errors import Secret, VenueError
from liqctl.kernel.ports import Exchange
from liqctl.kernel.requests import Request, listen_key
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import StreamEvent, StreamKind
from liqctl.standby.mirror import StreamFacts
from liqctl.venue.stream import Frames, StreamDoor, StreamError
from liqctl.venue.wire import parse_stream_event

_CALL_MAX_S: Final = 5.0
_DOUBT_S: Final = 1.0
_NO_SUCH_KEY: Final = -1125

_ENDED: Final = "the connection ended"
_OLD: Final = "the connection is made anew once a day"
_EXPIRED: Final = "its listen key has expired"
_SILENT: Final = "it was silent: a reading showed a change that it did not tell"


class Listener(Protocol):
    """Who wants to know what streams say and how they are."""

    def connected(self, product: Product) -> None:
        """Take note of a new connection: what happened before it was made has to be read."""

    def disconnected(self, product: Product) -> None:
        """Take note that nothing is told any more."""

    def heard(self, product: Product, event: StreamEvent) -> None:
        """Take one event."""

    def changed(self) -> None:
        """Take note that the health of a stream may have changed."""


class StreamKeeper:
    """Connects, renews, and connects anew for as long as it runs."""

    def __init__(
        self,
        *,
        product: Product,
        margin: Margin,
        exchange: Exchange,
        door: StreamDoor,
        facts: StreamFacts,
        listener: Listener,
    ) -> None:
        self._product = product
        self._margin = margin
        self._exchange = exchange
        self._door = door
        self._facts = facts
        self._listener = listener

    async def run(self) -> None:
        """Keep the stream until cancelled."""
        pause_s = pacing.STREAM_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            try:
                self._facts.trouble = await self._once()
            except StreamError as error:
                self._facts.trouble = str(error)
            except VenueError as error:
                self._facts.trouble = f"its key: {error.answer.describe()}"
            self._listener.changed()
            if loop.time() - began_at > pacing.STREAM_RETRY_MAX_S:
                pause_s = pacing.STREAM_RETRY_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, pacing.STREAM_RETRY_MAX_S)

    async def _once(self) -> str:
        """Connect, take what comes, and return why that ended."""
        loop = asyncio.get_running_loop()
        key = await self._ask(listen_key(self._product, self._margin, renews=False))
        frames = await self._door.open(self._product, self._margin, Secret(key))
        facts = self._facts
        facts.connected_at = facts.confirmed_at = loop.time()
        facts.read_since, facts.late_at = False, float("-inf")
        facts.connections += 1
        self._listener.connected(self._product)
        self._listener.changed()
        parts = [loop.create_task(part) for part in (self._take(frames), self._renew())]
        parts.append(loop.create_task(self._doubt()))
        try:
            done, _ = await asyncio.wait(
                parts, timeout=pacing.STREAM_LIFE_S, return_when=asyncio.FIRST_COMPLETED
            )
            return next((task.result() for task in parts if task in done), _OLD)
        finally:
            # First of all: closing may take its time, and nothing is told meanwhile.
            facts.connected_at = None
            self._listener.disconnected(self._product)
            for task in parts:
                task.cancel()
            await frames.close()

    async def _renew(self) -> str:
        """Renew the key again and again; return once it is dead."""
        pause_s = pacing.KEY_RENEWED_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._ask(listen_key(self._product, self._margin, renews=True))
            except VenueError as error:
                if error.answer.code == _NO_SUCH_KEY:
                    return _EXPIRED
                pause_s = pacing.KEY_AGAIN_S
                continue
            pause_s = pacing.KEY_RENEWED_S
            self._facts.confirmed_at = asyncio.get_running_loop().time()

    async def _doubt(self) -> str:
        """Return once a reading shows that the stream is silent."""
        loop = asyncio.get_running_loop()
        while not self._facts.is_silent(loop.time()):  # noqa: ASYNC110 - time makes it so
            await asyncio.sleep(_DOUBT_S)
        return _SILENT

    async def _take(self, frames: Frames) -> str:
        async for frame in frames:
            event = parse_stream_event(frame, self._product)
            if event is None:
                self._facts.malformed += 1
                continue
            if event.kind is StreamKind.KEY_EXPIRED:
                return _EXPIRED  # The socket stays open and silent from here on.
            self._listener.heard(self._product, event)
        return _ENDED

    async def _ask(self, request: Request[str]) -> str:
        return await self._exchange.send(request, timeout_s=_CALL_MAX_S)
