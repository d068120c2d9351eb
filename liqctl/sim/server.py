"""The door on loopback: Binance's REST paths over real HTTP, with real broken connections.

`/sim/state` and `/sim/fault` are not Binance's: they let people and tests look at the truth and
make things go wrong. They answer loopback only, like everything here.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from liqctl.kernel.amounts import plain
from liqctl.sim.faults import EFFECT_KEYS, KINDS, make_fault
from liqctl.sim.scenario import Scenario, load_scenario
from liqctl.sim.venue import Reply, Request, Venue

if TYPE_CHECKING:
    from aiohttp import web

API_KEY: Final = "simulatorKey00000000000000000000000000000000000000000000000000"
API_SECRET: Final = "simulatorSecret0000000000000000000000000000000000000000000000"  # noqa: S105
LOOPBACK: Final = "127.0.0.1"
_START_S: Final = 10.0
_DRIP_S: Final = 1.0
_CLOSING_TURNS: Final = 5
_BACKLOG: Final = 1024


@dataclass(slots=True)
class RunningServer:
    """A venue that listens."""

    url: str
    venue: Venue
    runner: "web.AppRunner"
    listener: socket.socket

    async def close(self) -> None:
        """Stop listening and cut what is open.

        A connection that was just accepted takes a few turns of the loop until aiohttp knows it:
        asyncio would lose it, socket and all, if it stopped listening meanwhile. A cut one takes a
        turn until its socket is closed.
        """
        asyncio.get_running_loop().remove_reader(self.listener)
        await _turns()
        await self.runner.cleanup()
        await _turns()


async def start_server(
    venue: Venue,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    latency_ms: int = 0,
    ssl_context: ssl.SSLContext | None = None,
) -> RunningServer:
    """Listen on loopback; port 0 takes a free one."""
    from aiohttp import web

    door = _Door(venue, latency_ms / 1000)
    app = web.Application()
    app.router.add_get("/sim/state", door.state)
    app.router.add_post("/sim/fault", door.fault)
    app.router.add_route("*", "/{path:.*}", door.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, keepalive_timeout=75)
    await runner.setup()
    listener = socket.create_server((host, port))
    await web.SockSite(runner, listener, ssl_context=ssl_context, backlog=_BACKLOG).start()
    scheme = "https" if ssl_context else "http"
    return RunningServer(
        url=f"{scheme}://{host}:{listener.getsockname()[1]}",
        venue=venue,
        runner=runner,
        listener=listener,
    )


async def _turns() -> None:
    for _ in range(_CLOSING_TURNS):
        await asyncio.sleep(0)


class _Door:
    """Turns HTTP into venue requests and does to the answers what the faults ask for."""

    def __init__(self, venue: Venue, latency_s: float) -> None:
        self._venue = venue
        self._latency_s = latency_s

    async def serve(self, request: "web.Request") -> "web.StreamResponse":
        body = await request.text()
        if self._latency_s:
            await asyncio.sleep(self._latency_s / 2)
        reply = self._venue.handle(
            Request(
                method=request.method,
                path=request.path,
                query=request.raw_path.partition("?")[2],
                body=body,
                headers=dict(request.headers),
            ),
            time.time_ns() // 1_000_000,
        )
        effect = reply.effect
        if effect.delay_ms:
            await asyncio.sleep(effect.delay_ms / 1000)
        if self._latency_s:
            await asyncio.sleep(self._latency_s / 2)
        if (effect.drop or effect.refuse) and request.transport is not None:
            request.transport.abort()
        if effect.drip or effect.truncate:
            return await self._badly(request, reply)
        return _response(reply)

    async def _badly(self, request: "web.Request", reply: Reply) -> "web.StreamResponse":
        """Send a body a byte a second, or half of it and then nothing."""
        from aiohttp import web

        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        body = reply.body.encode()
        response.content_length = len(body)
        await response.prepare(request)
        if reply.effect.truncate:
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.abort()
            return response
        with contextlib.suppress(ConnectionError):  # Whoever asked has lost patience.
            for byte in body:
                await response.write(bytes([byte]))
                await asyncio.sleep(_DRIP_S)
        return response

    async def state(self, _: "web.Request") -> "web.Response":
        from aiohttp import web

        return web.json_response(describe_truth(self._venue))

    async def fault(self, request: "web.Request") -> "web.Response":
        """Add a fault: {"kind": …, "method": …, "path": …, "symbol": …, "times": …}."""
        from aiohttp import web

        wanted = await request.json()
        kind = wanted.pop("kind", "")
        allowed = {"method", "path", "symbol", "times", "skip", "writes", "reads", "whole_account"}
        allowed |= EFFECT_KEYS
        if kind not in KINDS or not set(wanted) <= allowed:
            return web.json_response({"kinds": sorted(KINDS), "keys": sorted(allowed)}, status=400)
        self._venue.faults.append(make_fault(kind, **wanted))
        return web.json_response({"added": kind})


def _response(reply: Reply) -> "web.Response":
    from aiohttp import web

    return web.Response(status=reply.status, body=reply.body.encode(), headers=reply.headers)


def describe_truth(venue: Venue) -> dict[str, Any]:
    """Return what is really open, and what happened, without lag or faults."""
    account = venue.account
    return {
        "flat": account.is_flat,
        "positions": [
            {"symbol": h.symbol, "position_side": h.position_side, "amount": plain(h.amount)}
            for h in account.holdings.values()
            if h.amount
        ],
        "orders": [order.describe() for order in account.open_orders()],
        "algo_orders": [algo.describe() for algo in account.open_algo_orders()],
        "requests": venue.requests,
        "faults": account.journal.faults,
        "fills": [
            {
                "client_order_id": client_order_id,
                "owner": owner,
                "symbol": symbol,
                "position_side": side,
                "before": plain(before),
                "after": plain(after),
            }
            for client_order_id, owner, symbol, side, before, after in account.journal.fills
        ],
        "journal": [
            {"time_ms": at_ms, "method": method, "path": path, "client_order_id": client_order_id}
            for at_ms, method, path, client_order_id in account.journal.requests
        ],
    }


class EmbeddedServer:
    """A venue on a thread of its own, for as long as the block lasts."""

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        port: int = 0,
        latency_ms: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        api_key: str = API_KEY,
        api_secret: str = API_SECRET,
    ) -> None:
        """Serve the scenario, the default one when None.

        `api_secret` may be the PEM public key of an RSA or Ed25519 account.
        """
        self.api_key = api_key
        self.api_secret = api_secret
        self.scenario = scenario or load_scenario("default")
        self.venue = self.scenario.make_venue(api_key=api_key, api_secret=api_secret)
        self.url = ""
        self._port = port
        self._latency_ms = latency_ms or self.scenario.latency_ms
        self._ssl_context = ssl_context
        self._ready = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="venue")

    def __enter__(self) -> Self:
        """Start listening."""
        self._thread.start()
        self._ready.wait(_START_S)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(1.0)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await start_server(
            self.venue,
            port=self._port,
            latency_ms=self._latency_ms,
            ssl_context=self._ssl_context,
        )
        self.url = server.url
        self._ready.set()
        await self._stop.wait()
        await server.close()
