"""The transport against a real server on the loopback: what leaves, and what comes back as what."""

import asyncio
import hashlib
import hmac
import sys
import threading
from decimal import Decimal
from typing import Any, Final

import pytest
from aiohttp import web

from liqctl.kernel import requests
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.errors import InvariantError, Secret, VenueError
from liqctl.kernel.limits import Usage
from liqctl.kernel.requests import Endpoint
from liqctl.kernel.states import Environment, Product
from liqctl.sim.server import EmbeddedServer
from liqctl.venue.client import CcxtTransport
from liqctl.venue.exchange import BinanceExchange
from liqctl.venue.session import GuardedSession, origin_of
from tests.venue.venue import (
    KEY,
    SECRET,
    TIMEOUT_S,
    Handler,
    ask,
    says,
    serving,
    transport_to,
)

USDM: Final = Product.USDM

WRITE = Endpoint.SUBMIT_ORDER


READ = Endpoint.POSITIONS


ORDER = {"symbol": "BTCUSDT", "newClientOrderId": "liq-1"}


STOPPED_S = 0.1


def test_every_endpoint_goes_out_by_its_own_method_and_path() -> None:
    """The names of ccxt's methods are made from the paths, and checked on the wire."""
    futures = [endpoint for endpoint in Endpoint if endpoint.value.path.startswith("/fapi/")]

    async def run() -> dict[Endpoint, tuple[str, str, bool]]:
        seen = {}
        async with serving(says({})) as venue, transport_to(venue.url) as transport:
            for endpoint in futures:
                await transport.request(endpoint.value, {}, timeout_s=TIMEOUT_S)
                last = venue.seen[-1]
                seen[endpoint] = (last.method, last.path, "X-MBX-APIKEY" in last.headers)
        return seen

    assert asyncio.run(run()) == {
        endpoint: (endpoint.value.method, endpoint.value.path, endpoint.value.signed)
        for endpoint in futures
    }


@pytest.mark.parametrize("symbol", ["BTCUSDT", "币安人生USDT", "1000🐸USDT", "A&B=C%20+/USDT"])
@pytest.mark.parametrize("endpoint", [Endpoint.OPEN_ORDERS, WRITE, Endpoint.CANCEL_ORDERS])
def test_what_is_signed_is_what_is_sent(symbol: str, endpoint: Endpoint) -> None:
    """Symbols outside ASCII must be percent-encoded before signing; checked by our own HMAC."""

    async def run() -> tuple[str, str, dict[str, str]]:
        async with serving(says({})) as venue, transport_to(venue.url) as transport:
            await transport.request(endpoint.value, {"symbol": symbol}, timeout_s=TIMEOUT_S)
            return (*venue.seen[-1].signed, venue.seen[-1].params)

    payload, signature, params = asyncio.run(run())
    expected = hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
    assert signature == expected
    assert payload.isascii()
    assert params["symbol"] == symbol
    assert params["recvWindow"] == "5000"


def test_numbers_with_a_fraction_arrive_exactly() -> None:
    """A float would already have lost digits."""
    body = '{"quantity":0.1000000000000000055511151231257827,"id":9007199254740993,"s":"1.50"}'
    answer = asyncio.run(_ask_once(says(body)))

    assert answer["quantity"] == Decimal("0.1000000000000000055511151231257827")
    assert answer["id"] == 9007199254740993
    assert answer["s"] == "1.50"


async def _ask_once(handler: Handler) -> Any:
    async with serving(handler) as venue:
        return await ask(venue.url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("endpoint", [READ, WRITE, Endpoint.CANCEL_ORDERS])
def test_a_redirect_is_not_followed(status: int, endpoint: Endpoint) -> None:
    """The key would follow in the header, and a POST would become a GET."""

    async def run() -> tuple[VenueAnswer, int, int]:
        async with serving(says({})) as elsewhere:
            location = {"Location": f"{elsewhere.url}/fapi/v1/order"}
            async with serving(says({}, status=status, headers=location)) as venue:
                with pytest.raises(VenueError) as caught:
                    await ask(venue.url, endpoint)
                return caught.value.answer, len(venue.seen), len(elsewhere.seen)

    answer, asked, followed = asyncio.run(run())
    assert (answer.status, answer.message) == (status, "unexpected redirect")
    assert (asked, followed) == (1, 0)


def test_proxy_variables_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the configuration names a proxy."""

    async def run() -> tuple[int, int]:
        async with serving(says({})) as proxy, serving(says({})) as venue:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url)
            await ask(venue.url)
            return len(proxy.seen), len(venue.seen)

    assert asyncio.run(run()) == (0, 1)


def test_the_configured_proxy_is_used() -> None:
    """All requests go by it; the venue's own port is never touched."""

    async def run() -> tuple[list[str], int]:
        async with serving(says({})) as proxy, serving(says({})) as venue:
            await ask(venue.url, Endpoint.PING, proxy=proxy.url)
            return [seen.path for seen in proxy.seen], len(venue.seen)

    paths, direct = asyncio.run(run())
    assert len(paths) == 1
    assert paths[0].endswith("/fapi/v1/ping")
    assert direct == 0


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [(READ, "fapi.binance.com:443"), (Endpoint.API_RESTRICTIONS, "api.binance.com:443")],
)
def test_production_speaks_to_binances_own_hosts(endpoint: Endpoint, host: str) -> None:
    """Seen from a proxy that refuses: no name is looked up, no Binance host is reached."""
    heads: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> VenueAnswer:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        transport = CcxtTransport(
            key=Secret(KEY),
            secret=Secret(SECRET),
            environment=Environment.PRODUCTION,
            proxy=f"http://127.0.0.1:{port}",
        )
        with pytest.raises(VenueError) as caught:
            await transport.request(endpoint.value, {}, timeout_s=TIMEOUT_S)
        await transport.close()
        server.close()
        return caught.value.answer

    answer = asyncio.run(run())
    assert heads[0].startswith(b"CONNECT " + host.encode())
    assert KEY.encode() not in heads[0]
    assert answer.kind is AnswerKind.TRANSIENT
    assert answer.message.endswith("the proxy refused the connection (HTTP 407)")


@pytest.mark.parametrize(
    ("environment", "base_url"),
    [
        (Environment.PRODUCTION, "https://fapi.binance.com"),
        (Environment.TESTNET, "https://demo-fapi.binance.com"),
    ],
)
def test_each_environment_has_its_host(environment: Environment, base_url: str) -> None:
    """Given as an option, ccxt's own switch for the demo host changes nothing."""
    transport = CcxtTransport(key=Secret(KEY), secret=Secret(SECRET), environment=environment)

    assert transport.base_url == base_url


def test_the_simulator_has_no_host_of_its_own() -> None:
    """It must never fall back to a real one."""
    with pytest.raises(InvariantError):
        CcxtTransport(key=Secret(KEY), secret=Secret(SECRET), environment=Environment.SIMULATOR)


def test_another_base_url_is_asked_for_the_rights_of_the_key_as_well() -> None:
    """A gateway or a test venue must not see half of the traffic go to Binance."""

    async def run() -> str:
        async with serving(says({})) as venue:
            await ask(venue.url, Endpoint.API_RESTRICTIONS)
            return venue.seen[-1].path

    assert asyncio.run(run()) == "/sapi/v1/account/apiRestrictions"


def test_a_base_url_may_have_a_path() -> None:
    """Gateways route by prefix."""

    async def run() -> str:
        async with serving(says({})) as venue:
            await ask(f"{venue.url}/gateway/binance/")
            return venue.seen[-1].path

    assert asyncio.run(run()) == "/gateway/binance/fapi/v3/positionRisk"


@pytest.mark.parametrize(
    "url",
    [
        "https://fapi.binance.com/fapi/v1/order",
        "http://127.0.0.1:9/fapi/v1/order",
        "https://127.0.0.1:8080/fapi/v1/order",
        "http://127.0.0.1@evil.example:8080/fapi/v1/order",
        "http://localhost:8080/fapi/v1/order",
    ],
)
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_the_session_sends_to_one_origin_only(url: str, method: str) -> None:
    """The last line of defence, against the URL that is about to leave."""
    ours = origin_of("http://127.0.0.1:8080")
    session = GuardedSession(origins={ours: frozenset({"GET", "DELETE", "POST"})}, proxy=None)

    with pytest.raises(InvariantError) as caught:
        getattr(session, method)(url)
    assert "/fapi" not in str(caught.value)


def test_nothing_is_ever_placed_on_the_spot_host() -> None:
    """Key information is read there, and execution algorithms are cancelled."""
    session = GuardedSession(
        origins={
            origin_of("https://fapi.binance.com"): frozenset({"GET", "POST"}),
            origin_of("https://api.binance.com"): frozenset({"GET", "DELETE"}),
        },
        proxy=None,
    )

    for method in (session.post, session.put):
        with pytest.raises(InvariantError):
            method("https://api.binance.com/sapi/v1/account/apiRestrictions")


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
def test_nothing_is_sent_without_time_left(timeout_s: float) -> None:
    """A request on a pooled connection would leave before any time-out could cut it."""

    async def run() -> tuple[AnswerKind, int]:
        async with serving(says({})) as venue, transport_to(venue.url) as transport:
            await transport.request(Endpoint.PING.value, {}, timeout_s=TIMEOUT_S)
            with pytest.raises(VenueError) as caught:
                await transport.request(WRITE.value, ORDER, timeout_s=timeout_s)
            return caught.value.answer.kind, len(venue.seen)

    assert asyncio.run(run()) == (AnswerKind.TRANSIENT, 1)


@pytest.mark.parametrize("is_connected", [False, True])
def test_a_process_that_was_stopped_sends_no_order_late(*, is_connected: bool) -> None:
    """Its connection made, or its body due, and its time over come in the same turn of the loop."""
    # Newer Pythons write the body at once where there is a connection, so in time.
    leaves_in_time = is_connected and sys.version_info >= (3, 12)

    async def run() -> list[str]:
        async with serving(says({})) as venue, transport_to(venue.url) as transport:
            if is_connected:
                await transport.request(Endpoint.PING.value, {}, timeout_s=TIMEOUT_S)
            order = asyncio.create_task(
                transport.request(WRITE.value, ORDER, timeout_s=STOPPED_S / 2)
            )
            await asyncio.sleep(0)
            threading.Event().wait(STOPPED_S)
            await asyncio.wait([order])
            # What has left is there by the time a later request is answered.
            await transport.request(Endpoint.PING.value, {}, timeout_s=TIMEOUT_S)
            assert isinstance(order.exception(), VenueError)
            return [seen.method for seen in venue.seen]

    assert ("POST" in asyncio.run(run())) == leaves_in_time


def test_without_a_key_signed_requests_are_fatal_and_public_ones_work() -> None:
    """`validate --online` without a key can still ping."""

    async def run() -> tuple[Any, AnswerKind, int]:
        async with serving(says({})) as venue:
            pong = await ask(venue.url, Endpoint.PING, key="", secret="")
            with pytest.raises(VenueError) as caught:
                await ask(venue.url, key="", secret="")
            return pong, caught.value.answer.kind, len(venue.seen)

    assert asyncio.run(run()) == ({}, AnswerKind.RUN_FATAL, 1)


def test_cancellation_passes_and_leaves_the_transport_usable() -> None:
    """The engine cuts calls at its deadline."""
    arrived = asyncio.Event()

    async def slow_first(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/order"):
            arrived.set()
            await asyncio.Event().wait()
        return web.json_response({})

    async def run() -> Any:
        async with serving(slow_first) as venue, transport_to(venue.url) as transport:
            task = asyncio.create_task(transport.request(WRITE.value, ORDER, timeout_s=TIMEOUT_S))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await transport.request(Endpoint.PING.value, {}, timeout_s=TIMEOUT_S)

    assert asyncio.run(run()) == {}


def test_many_requests_at_once_get_their_own_answers() -> None:
    """Left alone, ccxt keeps the last answer on the instance, shared by all."""

    async def echo(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)
        return web.json_response({"symbol": request.query["symbol"]})

    async def run() -> tuple[list[Any], int]:
        async with serving(echo) as venue, transport_to(venue.url) as transport:
            asked = (
                transport.request(READ.value, {"symbol": f"S{number}"}, timeout_s=TIMEOUT_S)
                for number in range(60)
            )
            return await asyncio.gather(*asked), transport.usage.requests

    answers, requests = asyncio.run(run())
    assert answers == [{"symbol": f"S{number}"} for number in range(60)]
    assert requests == 60


def test_orders_are_not_paced_by_ccxt() -> None:
    """Its throttle would let 100 orders out over 20 seconds; the budget is ours."""

    async def run() -> int:
        async with serving(says({})) as venue, transport_to(venue.url) as transport:
            sent = (transport.request(WRITE.value, ORDER, timeout_s=TIMEOUT_S) for _ in range(100))
            return len(await asyncio.gather(*sent))

    assert asyncio.run(run()) == 100


def test_warmed_connections_are_used_again() -> None:
    """Closes must not wait for handshakes."""
    arrived = 0
    everyone = asyncio.Event()

    async def together(request: web.Request) -> web.StreamResponse:
        nonlocal arrived
        if request.path.endswith("/ping"):
            arrived += 1
            if arrived == 6:
                everyone.set()
            await everyone.wait()
        return web.json_response([])

    async def run() -> tuple[int, int]:
        async with serving(together) as venue, transport_to(venue.url) as transport:
            exchange = BinanceExchange(transport)
            await exchange.warm_up(USDM, 6, timeout_s=TIMEOUT_S)
            warmed = len(venue.connections)
            reads = (exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S) for _ in range(6))
            await asyncio.gather(*reads)
            return warmed, len(venue.connections)

    assert asyncio.run(run()) == (6, 6)


def test_warming_up_never_raises() -> None:
    """It is never waited for and nobody looks at its result."""

    async def run() -> None:
        async with transport_to("http://127.0.0.1:1") as transport:
            await BinanceExchange(transport).warm_up(USDM, 3, timeout_s=TIMEOUT_S)

    asyncio.run(run())


def test_usage_follows_the_headers_in_any_case() -> None:
    """-1 and nonsense, as test hosts send them, change nothing."""
    headers = iter(
        [
            {"x-mbx-used-weight-1m": "42", "X-Mbx-Order-Count-10S": "3"},
            {"X-MBX-USED-WEIGHT-1M": "-1", "X-MBX-ORDER-COUNT-1M": "many"},
        ]
    )

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, headers=next(headers))

    async def run() -> Usage:
        async with serving(answer) as venue, transport_to(venue.url) as transport:
            for _ in range(2):
                await transport.request(Endpoint.PING.value, {}, timeout_s=TIMEOUT_S)
            return transport.usage

    assert asyncio.run(run()) == Usage(requests=2, weight_1m=42, orders_10s=3)


@pytest.mark.parametrize("ahead_ms", [-90_000, 7_000])
def test_the_clock_is_measured_and_corrected(ahead_ms: int) -> None:
    """Every later timestamp is the venue's, whatever our clock says."""

    async def run() -> tuple[float, int]:
        venue_ms = 0

        async def time(_: web.Request) -> web.StreamResponse:
            return web.json_response({"serverTime": venue_ms})

        async with serving(time) as venue, transport_to(venue.url) as transport:
            await transport.request(READ.value, {}, timeout_s=TIMEOUT_S)
            ours_ms = int(venue.seen[-1].params["timestamp"])
            venue_ms = ours_ms - ahead_ms
            ahead_s = await transport.sync_clock(Endpoint.TIME.value, timeout_s=TIMEOUT_S)
            await transport.request(READ.value, {}, timeout_s=TIMEOUT_S)
            return ahead_s, int(venue.seen[-1].params["timestamp"]) - venue_ms

    ahead_s, left_ms = asyncio.run(run())
    assert ahead_s == pytest.approx(ahead_ms / 1000, abs=2.0)
    assert abs(left_ms) < 2000


@pytest.mark.parametrize("body", [{}, [], {"serverTime": "x"}, {"serverTime": True}])
def test_a_clock_that_cannot_be_read_is_not_applied(body: object) -> None:
    """A wrong correction would make every later request fail."""

    async def run() -> None:
        async with serving(says(body)) as venue, transport_to(venue.url) as transport:
            with pytest.raises(VenueError):
                await transport.sync_clock(Endpoint.TIME.value, timeout_s=TIMEOUT_S)

    asyncio.run(run())


def test_a_closed_transport_sends_nothing() -> None:
    """A late task must not open a connection that nobody closes."""

    async def run() -> tuple[AnswerKind, int]:
        async with serving(says({})) as venue, transport_to(venue.url) as transport:
            await transport.request(Endpoint.PING.value, {}, timeout_s=TIMEOUT_S)
            await transport.close()
            await transport.close()
            with pytest.raises(VenueError) as caught:
                await transport.request(Endpoint.PING.value, {}, timeout_s=TIMEOUT_S)
            return caught.value.answer.kind, len(venue.seen)

    assert asyncio.run(run()) == (AnswerKind.TRANSIENT, 1)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_nothing_leaves_a_process_that_was_stopped_past_the_calls_time() -> None:
    """Stopped after any turn of the loop and continued later: the order of then is not sent now."""
    late: list[int] = []

    async def try_after(turns: int, server: EmbeddedServer) -> None:
        transport = CcxtTransport(
            key=Secret(server.api_key),
            secret=Secret(server.api_secret),
            environment=Environment.SIMULATOR,
            base_url=server.url,
        )
        loop, journal = asyncio.get_running_loop(), server.venue.account.journal.requests
        clock = loop.time
        sending = asyncio.create_task(
            transport.request(Endpoint.TEST_ORDER.value, {"symbol": "BTCUSDT"}, timeout_s=2.0)
        )
        await _turns(turns)
        assert server._loop is not None
        asyncio.run_coroutine_threadsafe(_turns(20), server._loop).result(TIMEOUT_S)
        before = len(journal)
        loop.time = lambda: clock() + 3.0  # type: ignore[method-assign]
        await asyncio.wait({sending})
        if len(journal) > before:
            late.append(turns)
        sending.exception()
        await transport.close()

    with EmbeddedServer() as server:
        for turns in range(1, 40):
            asyncio.run(try_after(turns, server))

    assert late == []
