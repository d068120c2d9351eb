"""A small HTTP server for the tests of the exchange: answers what it is told, keeps what it saw."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from liqctl.kernel.errors import Secret
from liqctl.kernel.requests import Endpoint
from liqctl.kernel.states import Environment
from liqctl.venue.client import CcxtTransport

KEY = "canaryKEY" + "k" * 55
TIMEOUT_S = 5.0
SECRET = "canarySECRET" + "s" * 52

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived: the signed text is exactly what was on the wire."""

    method: str
    path: str
    query: str
    body: str
    headers: dict[str, str]

    @property
    def params(self) -> dict[str, str]:
        """The decoded parameters of query and body."""
        return dict(parse_qsl(self.query) + parse_qsl(self.body))

    @property
    def signed(self) -> tuple[str, str]:
        """What was signed, and the signature."""
        payload, _, signature = (self.query + self.body).rpartition("&signature=")
        return payload, signature


@dataclass(slots=True)
class Venue:
    """A server on an ephemeral port of the loopback."""

    answer: Handler
    seen: list[Seen] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep the request, then answer it."""
        self.connections.add(id(request.transport))
        path, _, query = request.raw_path.partition("?")
        body = await request.text()
        headers = dict(request.headers)
        self.seen.append(
            Seen(method=request.method, path=path, query=query, body=body, headers=headers)
        )
        return await self.answer(request)


def says(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    """Return a handler that answers JSON, or a text as it stands."""

    async def answer(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return answer


@asynccontextmanager
async def serving(answer: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Venue]:
    """Run a venue; its handlers are cancelled at the end."""
    venue = Venue(answer=answer, scheme="https" if tls else "http")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", venue.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    venue.port = runner.addresses[0][1]
    try:
        yield venue
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_serving(
    talk: Callable[[asyncio.StreamWriter, int], Awaitable[None]],
) -> AsyncIterator[Venue]:
    """Run a server that reads one request head, then does what `talk` does, and hangs up.

    `talk` is given the writer and how many requests arrived so far.
    """
    venue = Venue(answer=says({}))
    count = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            await reader.readuntil(b"\r\n\r\n")
            count += 1
            venue.seen.append(Seen(method="", path="", query="", body="", headers={}))
            await talk(writer, count)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    venue.port = server.sockets[0].getsockname()[1]
    try:
        yield venue
    finally:
        server.close()


@asynccontextmanager
async def transport_to(
    base_url: str, *, key: str = KEY, secret: str = SECRET, proxy: str | None = None
) -> AsyncIterator[CcxtTransport]:
    """Open a transport to a venue and close it afterwards."""
    transport = CcxtTransport(
        key=Secret(key),
        secret=Secret(secret),
        environment=Environment.TESTNET,
        base_url=base_url,
        proxy=proxy,
        user_agent="liqctl/test",
    )
    try:
        yield transport
    finally:
        await transport.close()


async def ask(
    url: str,
    endpoint: Endpoint = Endpoint.POSITIONS,
    *,
    timeout_s: float = TIMEOUT_S,
    **options: Any,
) -> Any:
    """Send one request by a transport of its own."""
    async with transport_to(url, **options) as transport:
        return await transport.request(endpoint.value, {}, timeout_s=timeout_s)
