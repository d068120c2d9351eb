"""The door on loopback: Binance's REST paths over real HTTP, with real broken connections.

User data streams are served at the same address, told apart by their paths (see `streams`).

`/sim/state`, `/sim/fault` and `/sim/event` are not Binance's: they let people and tests look at the
truth and make things go wrong or happen. They answer loopback only, like everything here.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from liqctl.kernel.amounts import plain
from liqctl.sim.address import MASTER, Address
from liqctl.sim.events import ACTS, make_event
from liqctl.sim.faults import EFFECT_KEYS, KINDS, STREAM_EFFECT_KEYS, STREAM_KINDS
from liqctl.sim.orders import Refused, tell
from liqctl.sim.scenario import Scenario, load_scenario
from liqctl.sim.streams import STREAM_PATHS, Connection, HandshakeError
from liqctl.sim.venue import Request, Venue

if TYPE_CHECKING:
    from aiohttp import web

API_KEY: Final = "simulatorKey00000000000000000000000000000000000000000000000000"
API_SECRET: Final = "simulatorSecret0000000000000000000000000000000000000000000000"  # noqa: S105
LOOPBACK: Final = "127.0.0.1"
# Far beyond what a start takes: an overloaded machine was seen to need more than ten seconds.
_START_S: Final = 30.0
_STOP_S: Final = 1.0
_DRIP_S: Final = 1.0
_CLOSING_TURNS: Final = 5
_BACKLOG: Final = 1024
_FILL: Final = ("client_order_id", "owner", "symbol", "position_side", "before", "after")
_REQUEST: Final = ("time_ms", "method", "path", "client_order_id")
_FAULT_KEYS: Final = EFFECT_KEYS | {
    *("method", "path", "host", "product", "symbol"),
    *("times", "skip", "writes", "reads", "whole_account"),
}
_STREAM_FAULT_KEYS: Final = STREAM_EFFECT_KEYS | {"event", "product", "symbol", "times", "skip"}


@dataclass(slots=True)
class RunningServer:
    """A venue, or the address of several accounts, that listens."""

    url: str
    runner: "web.AppRunner"
    listener: socket.socket

    async def close(self) -> None:
        """Stop listening and cut what is open.

        A connection that was just accepted takes a few turns of the loop until aiohttp knows it:
        asyncio would lose it, socket and all, if it stopped listening meanwhile. A cut one takes a
        turn until its socket is closed.
        """
        asyncio.get_running_loop().remove_reader(self.listener)
        for _ in range(_CLOSING_TURNS):
            await asyncio.sleep(0)
        await self.runner.cleanup()
        for _ in range(_CLOSING_TURNS):
            await asyncio.sleep(0)


async def start_server(
    door: Venue | Address,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    latency_ms: int = 0,
    ssl_context: ssl.SSLContext | None = None,
) -> RunningServer:
    """Listen on loopback; port 0 takes a free one."""
    from aiohttp import web

    handlers = _Handlers(door, latency_ms)
    app = web.Application()
    app.router.add_get("/sim/state", handlers.state)
    app.router.add_post("/sim/fault", handlers.fault)
    app.router.add_post("/sim/event", handlers.event)
    for path in STREAM_PATHS:
        app.router.add_get(path, handlers.stream)
        app.router.add_get(f"{path}/{{key}}", handlers.stream)
    app.router.add_route("*", "/{path:.*}", handlers.serve)
    app.on_shutdown.append(handlers.hang_up)  # aiohttp waits for what goes on.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, keepalive_timeout=75)
    await runner.setup()
    listener = socket.create_server((host, port))
    await web.SockSite(runner, listener, ssl_context=ssl_context, backlog=_BACKLOG).start()
    scheme = "https" if ssl_context else "http"
    return RunningServer(
        url=f"{scheme}://{host}:{listener.getsockname()[1]}",
        runner=runner,
        listener=listener,
    )


class _Handlers:
    """What answers each kind of path."""

    def __init__(self, door: Venue | Address, latency_ms: int) -> None:
        self._door, self._latency_ms = door, latency_ms
        self._named: dict[str, Venue] = {}
        if isinstance(door, Address):
            self._named = {**door.venues, MASTER: door.master}

    async def serve(self, request: "web.Request") -> "web.StreamResponse":
        """Turn HTTP into a venue request, and do to the answer what its fault asks for."""
        from aiohttp import web

        latency_ms = self._latency_ms
        body = await request.text()
        if latency_ms:
            await asyncio.sleep(latency_ms / 2000)
        reply = self._door.handle(
            Request(
                method=request.method,
                path=request.path,
                query=request.raw_path.partition("?")[2],
                body=body,
                headers=dict(request.headers),
            ),
            now_ms(),
        )
        effect = reply.effect
        if effect.delay_ms:
            await asyncio.sleep(effect.delay_ms / 1000)
        if latency_ms:
            await asyncio.sleep(latency_ms / 2000)
        if (effect.drop or effect.refuse) and request.transport is not None:
            request.transport.abort()
        sent = reply.body.encode()
        if not (effect.drip or effect.truncate):
            return web.Response(status=reply.status, body=sent, headers=reply.headers)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        response.content_length = len(sent)
        await response.prepare(request)
        if effect.truncate:
            await response.write(sent[: len(sent) // 2])
            if request.transport is not None:
                request.transport.abort()
            return response
        with contextlib.suppress(ConnectionError):  # Whoever asked has lost patience.
            for byte in sent:
                await response.write(bytes([byte]))
                await asyncio.sleep(_DRIP_S)
        return response

    async def stream(self, request: "web.Request") -> "web.StreamResponse":
        """Send what happens to whoever connects, until the connection ends or is cut."""
        from aiohttp import web

        venue, latency_s = self._door.holder_of(request.raw_path), self._latency_ms / 1000
        try:
            connection = Connection(venue, request.raw_path, clock=now_ms, latency_s=latency_s)
        except HandshakeError as refusal:
            return web.Response(status=refusal.status)
        async with connection:
            peer = web.WebSocketResponse(heartbeat=venue.ping_s)
            await peer.prepare(request)

            async def send() -> None:
                with contextlib.suppress(ConnectionError):  # Whoever listened has gone.
                    async for frame in connection:
                        await peer.send_str(frame)
                if connection.is_old:
                    await peer.close()
                elif request.transport is not None:
                    request.transport.abort()

            sending = asyncio.create_task(send())
            try:
                async for _ in peer:  # aiohttp answers pings, and nothing else is asked for.
                    pass
            finally:
                sending.cancel()
        return peer

    async def hang_up(self, _: "web.Application") -> None:
        """Cut every stream."""
        door = self._door
        for venue in [door] if isinstance(door, Venue) else [*door.subs.values(), door.master]:
            venue.streams.cut()
        for _turn in range(_CLOSING_TURNS):
            await asyncio.sleep(0)

    async def state(self, _: "web.Request") -> "web.Response":
        """Tell the truth."""
        return _json(describe_truth(self._door))

    async def fault(self, request: "web.Request") -> "web.Response":
        """Add a fault: {"kind": …, "method": …, "path": …, "symbol": …, "times": …}."""
        wanted = await request.json()
        kind, hit = wanted.pop("kind", ""), self._pop_accounts(wanted)
        keys = _STREAM_FAULT_KEYS if kind in STREAM_KINDS else _FAULT_KEYS
        kinds = {*KINDS, *STREAM_KINDS}
        if kind not in kinds or not set(wanted) <= keys or not hit:
            known = {"kinds": sorted(kinds), "keys": sorted(keys), "accounts": [*self._named]}
            return _json(known, status=400)
        for venue in hit:
            venue.add_fault(kind, **wanted)
        return _json({"added": kind})

    async def event(self, request: "web.Request") -> "web.Response":
        """Let something happen that an entry of a scenario's events describes: {"act": …}.

        It happens now, or `at_ms` from now on.
        """
        wanted = await request.json()
        hit, reason = self._pop_accounts(wanted), "no such account"
        try:
            for venue in hit:
                venue.happen(make_event(wanted), now_ms())
        except (KeyError, TypeError, ValueError, ArithmeticError, Refused) as error:
            hit, reason = [], repr(error)
        if not hit:
            known = {"acts": sorted(ACTS), "accounts": [*self._named], "reason": reason}
            return _json(known, status=400)
        return _json({"happened": wanted["act"]})

    def _pop_accounts(self, wanted: dict[str, Any]) -> list[Venue]:
        """Return the `account` of that name, or all but the master's."""
        account = wanted.pop("account", None)
        if account is not None:
            return [self._named[account]] if account in self._named else []
        door = self._door
        return [door] if isinstance(door, Venue) else [*door.subs.values()]


def _json(document: dict[str, Any], status: int = 200) -> "web.Response":
    from aiohttp import web

    return web.json_response(document, status=status)


def now_ms() -> int:
    """Return the moment on this machine's clock."""
    return time.time_ns() // 1_000_000


def describe_truth(door: Venue | Address) -> dict[str, Any]:
    """Return what is really open, and what happened, without lag or faults: of many by account."""
    if isinstance(door, Address):
        everybody = [*door.subs.values(), door.master]
        return {
            "accounts": {name: describe_truth(each) for name, each in door.venues.items()},
            "requests": sum(each.requests for each in everybody),
            "weight": door.master.weights.windows.describe(),
        }
    venue, account = door, door.account
    return {
        "flat": account.is_flat,
        "positions": [
            tell(held, "symbol position_side amount")
            for held in account.holdings.values()
            if held.amount
        ],
        "orders": [order.describe() for order in account.open_orders()],
        "algo_orders": [algo.describe() for algo in account.open_algo_orders()],
        "executions": [each.describe() for each in account.executions.values() if each.is_open],
        "timers": [
            {"symbol": symbol, "runs_out_ms": at_ms} for symbol, at_ms in account.timers.items()
        ],
        "streams": [feed.target.host for feed in venue.streams.feeds],
        "requests": venue.requests,
        "faults": account.journal.faults,
        "fills": [
            dict(zip(_FILL, (*fill[:4], *map(plain, fill[4:])), strict=True))
            for fill in account.journal.fills
        ],
        "journal": [dict(zip(_REQUEST, each, strict=True)) for each in account.journal.requests],
    }


class EmbeddedServer:
    """A venue on a thread of its own, for as long as the block lasts.

    Of a house it serves the `address`; `venue`, `api_key` and `api_secret` are then the master's.
    """

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
        self.address = self.scenario.make_address() if self.scenario.accounts else None
        if self.address is None:
            self.venue = self.scenario.make_venue(api_key=api_key, api_secret=api_secret)
        else:
            self.venue = self.address.master
            self.api_key, self.api_secret = self.address.master_key, self.address.master_secret
        self._started: Future[str] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(
                self._serve(port, latency_ms or self.scenario.latency_ms, ssl_context)
            ),
            daemon=True,
            name="venue",
        )

    def __enter__(self) -> Self:
        """Start listening."""
        self._thread.start()
        self.url = self._started.result(_START_S)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_STOP_S)

    async def _serve(self, port: int, latency_ms: int, context: ssl.SSLContext | None) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await start_server(
                self.address or self.venue, port=port, latency_ms=latency_ms, ssl_context=context
            )
        except OSError as error:
            self._started.set_exception(error)
            return
        self._started.set_result(server.url)
        await self._stop.wait()
        await server.close()
