"""Listens to a venue's user data streams in virtual time."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from liqctl.kernel.states import Product
from liqctl.sim.events import make_event
from liqctl.sim.memory import EPOCH_MS, run_virtual
from liqctl.sim.streams import HOSTS, PORTFOLIO, STREAM_PATHS, Connection
from liqctl.sim.venue import Venue

Frame = dict[str, Any]


def now_ms() -> int:
    """Return the moment on the clock of the virtual loop."""
    return EPOCH_MS + round(asyncio.get_running_loop().time() * 1000)


def path_of(venue: Venue, product: Product) -> str:
    """Return the right path for a product's events, with a key of its own."""
    host = PORTFOLIO if venue.is_portfolio else HOSTS[product]
    path = next(path for path, served in STREAM_PATHS.items() if served == host)
    return f"{path}/{venue.streams.start(host)}"


class MemoryStream(Connection):
    """A user data stream in virtual time: what a WebSocket's client sees of one connection.

    The path is the product's right one with a living key, unless another is given.
    """

    def __init__(
        self, venue: Venue, product: Product, *, path: str = "", latency_s: float = 0.05
    ) -> None:
        """Connect at once."""
        venue.pass_time(now_ms() + venue.clock_skew_ms)
        url = path or path_of(venue, product)
        super().__init__(venue, url, clock=now_ms, latency_s=latency_s)


def happen(venue: Venue, act: str, **settings: Any) -> None:
    """Let something happen now, or `at_ms` from now on."""
    venue.happen(make_event({"act": act, **settings}), now_ms())


async def hear(stream: MemoryStream, span_s: float = 1.0) -> list[Frame]:
    """Return what comes within a span of time, or until the connection ends."""
    heard: list[Frame] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(span_s):
            async for frame in stream:
                heard.append(json.loads(frame))  # noqa: PERF401 - those before a time-out count
    return heard


def listen(
    venue: Venue,
    act: Callable[[], Awaitable[None] | None] = lambda: None,
    *,
    product: Product = Product.USDM,
    path: str = "",
    span_s: float = 1.0,
) -> list[Frame]:
    """Return what a stream tells from the moment when something is done."""

    async def main() -> list[Frame]:
        async with MemoryStream(venue, product, path=path) as stream:
            done = act()
            if done is not None:
                await done
            return await hear(stream, span_s)

    return run_virtual(main)


def names(frames: list[Frame]) -> list[str]:
    """Return the events in short: what happened to orders and positions, and how they are now.

    An order's is `TRADE FILLED`, a conditional order's `algo FINISHED`.
    """
    told = []
    for frame in frames:
        if frame["e"] == "ORDER_TRADE_UPDATE":
            told.append(f"{frame['o']['x']} {frame['o']['X']}")
        elif frame["e"] == "ALGO_UPDATE":
            told.append(f"algo {frame['o']['X']}")
        else:
            told.append(frame["e"])
    return told
