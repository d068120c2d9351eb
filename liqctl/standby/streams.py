"""Keeps the user data stream of one product: its key, its connection, and what it says.

What a reader would get wrong:
- The listen key is one for all programs of the account. It is renewed, never deleted: that would
  end the bots' streams too.
- A key that has died is refused with -1125; renewing it again is refused again. It is asked anew.
- One frame that cannot be read is counted and skipped; it ends nothing.
"""

import asyncio
import contextlib
from typing import Protocol

from liqctl.kernel import pacing
from liqctl.kernel.errors import Secret, VenueError
from liqctl.kernel.ports import Exchange
from liqctl.kernel.requests import Request, listen_key
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.stream import StreamEvent, StreamKind
from liqctl.standby.mirror import StreamFacts
from liqctl.venue.stream import Frames, StreamDoor, StreamError
from liqctl.venue.wire import parse_stream_event

_CALL_MAX_S = 5.0


class Listener(Protocol):
    """Who wants to know what streams say and how they are."""

    def connected(self, product: Product) -> None:
        """Take note of a new connection: what happened before it was made has to be read."""

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
        self._key: Secret | None = None

    async def run(self) -> None:
        """Keep the stream until cancelled."""
        pause_s = pacing.STREAM_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            connected_at = loop.time()
            try:
                await self._once()
                self._facts.trouble = "the connection ended"
            except StreamError as error:
                self._facts.trouble = str(error)
            except VenueError as error:
                self._facts.trouble = f"its key: {error.answer.describe()}"
            self._facts.connected_at = None
            self._listener.changed()
            if loop.time() - connected_at > pacing.STREAM_RETRY_MAX_S:
                pause_s = pacing.STREAM_RETRY_S
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, pacing.STREAM_RETRY_MAX_S)

    async def _once(self) -> None:
        """Connect, and take what comes until the connection ends or is too old."""
        loop = asyncio.get_running_loop()
        key = await self._ask(listen_key(self._product, self._margin, renews=False))
        frames = await self._door.open(self._product, self._margin, Secret(key))
        facts = self._facts
        facts.connected_at = facts.confirmed_at = loop.time()
        facts.read_since = False
        facts.connections += 1
        self._listener.connected(self._product)
        self._listener.changed()
        renewing = loop.create_task(self._renew())
        taking = loop.create_task(self._take(frames))
        try:
            done, _ = await asyncio.wait(
                [renewing, taking],
                timeout=pacing.STREAM_LIFE_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                task.result()
        finally:
            for task in (renewing, taking):
                task.cancel()
            with contextlib.suppress(Exception):
                await frames.close()

    async def _renew(self) -> None:
        """Renew the key again and again; return once it is dead."""
        while True:
            await asyncio.sleep(pacing.KEY_RENEWED_S)
            try:
                await self._ask(listen_key(self._product, self._margin, renews=True))
            except VenueError as error:
                if error.answer.code == _NO_SUCH_KEY:
                    self._facts.trouble = "its listen key has expired"
                    return
                continue  # Asked again later; the key is believed for as long as it lives.
            self._facts.confirmed_at = asyncio.get_running_loop().time()

    async def _take(self, frames: Frames) -> None:
        async for frame in frames:
            event = parse_stream_event(frame, self._product)
            if event is None:
                self._facts.malformed += 1
                continue
            if event.kind is StreamKind.KEY_EXPIRED:
                # The socket stays open and silent from here on.
                self._facts.trouble = "its listen key has expired"
                return
            self._listener.heard(self._product, event)

    async def _ask(self, request: Request[str]) -> str:
        return await self._exchange.send(request, timeout_s=_CALL_MAX_S)


_NO_SUCH_KEY = -1125
