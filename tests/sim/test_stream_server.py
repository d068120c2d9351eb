"""User data streams over real WebSockets, with aiohttp's client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from liqctl.sim.address import key_of
from liqctl.sim.memory import EPOCH_MS
from liqctl.sim.scenario import Scenario, load_scenario, parse_scenario
from liqctl.sim.server import EmbeddedServer
from liqctl.sim.streams import CONNECTION_LIFE_MS
from tests.sim.listening import Frame, names

PATIENCE_S = 10
FILL = ["NEW NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "TRADE FILLED"]
TRADE = {"act": "add", "symbol": "BTCUSDT", "quantity": "0.1"}
HOUSE = "accounts: {desk-a: {account: {}}, desk-b: {account: {}}}"


class Client:
    """A program that speaks to a server over HTTP and WebSockets."""

    def __init__(self, server: EmbeddedServer, session: aiohttp.ClientSession) -> None:
        """Speak to the server."""
        self.server, self.session = server, session

    async def post(self, path: str, /, **body: Any) -> Any:
        """Return the answer to one of the simulator's own requests."""
        async with self.session.post(f"{self.server.url}{path}", json=body) as answer:
            return await answer.json()

    async def listen_key(self, host: str = "fapi", *, name: str = "", method: str = "POST") -> Any:
        """Return what a request for a listen key is answered."""
        headers = {"X-MBX-APIKEY": key_of(name) if name else self.server.api_key}
        url = f"{self.server.url}/{host}/v1/listenKey"
        async with self.session.request(method, url, headers=headers) as answer:
            return await answer.json()

    @asynccontextmanager
    async def connect(self, path: str, **settings: Any) -> AsyncIterator[Any]:
        """Open a WebSocket."""
        url = f"{self.server.url}{path}"
        async with self.session.ws_connect(url, **settings) as socket:
            yield socket


async def hear(socket: Any, number: int) -> list[Frame]:
    """Return so many frames."""
    return [json.loads(await socket.receive_str()) for _ in range(number)]


def talk(
    check: Callable[[Client], Awaitable[None]], scenario: Scenario | str = "", **settings: Any
) -> None:
    """Let a client speak to a server of its own, for so long at most."""
    if isinstance(scenario, str):
        scenario = parse_scenario(scenario or "account: {}", name="test")

    async def main(server: EmbeddedServer) -> None:
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            await check(Client(server, session))

    with EmbeddedServer(scenario, **settings) as server:
        asyncio.run(main(server))


@pytest.mark.parametrize(
    ("host", "path", "margin", "told"),
    [
        ("fapi", "/private/ws/{key}", "STANDARD", FILL),
        ("fapi", "/private/ws?listenKey={key}&events=ACCOUNT_UPDATE", "STANDARD", FILL[2:3]),
        ("dapi", "/ws/{key}", "STANDARD", [FILL[0], *FILL[2:]]),
        ("papi", "/pm/ws/{key}", "PORTFOLIO", FILL),
    ],
)
def test_what_happens_is_heard(host: str, path: str, margin: str, told: list[str]) -> None:
    """A key by REST, a connection with it, and what somebody else does is told at once."""
    symbol = "BTCUSD_PERP" if host == "dapi" else "BTCUSDT"

    async def check(client: Client) -> None:
        key = (await client.listen_key(host))["listenKey"]
        async with client.connect(path.format(key=key)) as socket:
            done = await client.post("/sim/event", **{**TRADE, "symbol": symbol, "quantity": "1"})
            assert done == {"happened": "add"}
            assert names(await hear(socket, len(told))) == told

    talk(check, f"account: {{margin: {margin}}}")


def test_a_planned_act_is_heard_though_nobody_asks() -> None:
    """The venue's time passes while a connection waits."""

    async def check(client: Client) -> None:
        key = (await client.listen_key())["listenKey"]
        async with client.connect(f"/private/ws/{key}") as socket:
            assert names(await hear(socket, 4)) == FILL

    talk(check, "events: [{act: add, symbol: BTCUSDT, quantity: '1', at_ms: 300}]")


def test_the_old_path_answers_pings_and_tells_nothing() -> None:
    """A handshake that works proves nothing."""

    async def check(client: Client) -> None:
        key = (await client.listen_key())["listenKey"]
        async with (
            client.connect(f"/ws/{key}", autoping=False) as old,
            client.connect(f"/private/ws/{key}") as new,
        ):
            await client.post("/sim/event", **TRADE)
            await hear(new, 4)
            await old.ping(b"there?")
            message = await old.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"there?")

    talk(check)


def test_the_venue_pings() -> None:
    """And hangs up on who does not answer."""

    async def check(client: Client) -> None:
        key = (await client.listen_key())["listenKey"]
        async with client.connect(f"/private/ws/{key}", autoping=False) as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.PING
            assert (await socket.receive()).type in {
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
            }

    talk(check, "venue: {ping_s: 0.2}")


@pytest.mark.parametrize("path", ["/private/ws/{key}", "/ws/{key}"])
def test_a_refused_handshake_has_a_status(path: str) -> None:
    """Once, by a fault that was added over HTTP; then the next one is accepted."""

    async def check(client: Client) -> None:
        key = (await client.listen_key())["listenKey"]
        await client.post("/sim/fault", kind="stream_refused", status=429)
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with client.connect(path.format(key=key)):
                pass
        assert caught.value.status == 429
        async with client.connect(path.format(key=key)) as socket:
            assert not socket.closed

    talk(check)


def test_a_connection_is_cut_after_so_many_frames_or_at_once() -> None:
    """Without a word of farewell."""
    ended = {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}

    async def check(client: Client) -> None:
        path = f"/private/ws/{(await client.listen_key())['listenKey']}"
        await client.post("/sim/fault", kind="stream_cut", skip=2)
        async with client.connect(path) as socket:
            await client.post("/sim/event", **TRADE)
            assert names(await hear(socket, 2)) == FILL[:2]
            assert (await socket.receive()).type in ended
        async with client.connect(path) as socket:
            await client.post("/sim/event", act="cut_streams")
            assert (await socket.receive()).type in ended

    talk(check)


def test_a_day_old_connection_is_closed() -> None:
    """In the venue's time."""

    async def check(client: Client) -> None:
        path = f"/private/ws/{(await client.listen_key())['listenKey']}"
        async with client.connect(path) as socket:
            client.server.venue.clock_skew_ms = CONNECTION_LIFE_MS
            await client.post("/sim/event", **TRADE)
            (frame,) = await hear(socket, 1)
            assert frame["e"] == "listenKeyExpired"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE

    talk(check)


def test_a_dead_key_is_refused_over_http() -> None:
    """PUT on it does not help; POST gives another."""

    async def check(client: Client) -> None:
        first = await client.listen_key()
        assert await client.listen_key(method="DELETE") == {}
        refused = await client.listen_key(method="PUT")
        assert refused == {"code": -1125, "msg": "This listenKey does not exist."}
        assert await client.listen_key() != first

    talk(check)


def test_an_account_of_a_house_hears_of_itself() -> None:
    """Its key leads there, whoever asked for the connection."""

    async def check(client: Client) -> None:
        key = (await client.listen_key(name="desk-b"))["listenKey"]
        async with client.connect(f"/private/ws/{key}") as socket:
            await client.post("/sim/event", **TRADE, account="desk-a")
            await client.post("/sim/event", **TRADE | {"quantity": "7"}, account="desk-b")
            heard = await hear(socket, 4)
        assert {frame["o"]["q"] for frame in heard if "o" in frame} == {"7"}

    talk(check, HOUSE)


def test_who_is_connected_is_told_with_the_truth() -> None:
    """And no more once it has gone."""

    async def check(client: Client) -> None:
        async def streams() -> list[str]:
            async with client.session.get(f"{client.server.url}/sim/state") as answer:
                return list((await answer.json())["streams"])

        async with client.connect("/private/ws/x"), client.connect("/ws/x"):
            assert await streams() == ["fapi", "dapi"]
        while await streams():
            pass

    talk(check)


def test_frames_take_half_the_latency() -> None:
    """A far venue's events are late as its answers are."""

    async def check(client: Client) -> None:
        key = (await client.listen_key())["listenKey"]
        async with client.connect(f"/private/ws/{key}") as socket:
            began_at = asyncio.get_running_loop().time()
            await client.post("/sim/event", **TRADE)
            await hear(socket, 4)
            assert asyncio.get_running_loop().time() - began_at >= 0.1

    talk(check, latency_ms=200)


def test_what_cannot_happen_is_refused() -> None:
    """With what can, and for whom."""

    async def check(client: Client) -> None:
        wrong = (
            {"act": "meteor"},
            {"act": "set_mark", "symbol": "BTCUSDT"},
            {"act": "set_mark", "symbol": "BTCUSDT", "price": "much"},
            {"act": "add", "symbol": "NONEUSDT", "quantity": "1"},
            {**TRADE, "account": "desk-c"},
        )
        for event in wrong:
            refused = await client.post("/sim/event", **event)
            assert "set_mark" in refused["acts"], event
            assert refused["accounts"] == ["desk-a", "desk-b", "master"]
        unknown = await client.post("/sim/fault", kind="stream_late", path="/order")
        assert "event" in unknown["keys"]

    talk(check, HOUSE)


def test_an_act_may_happen_later() -> None:
    """So many milliseconds from now, not from the start."""

    async def check(client: Client) -> None:
        key = (await client.listen_key())["listenKey"]
        async with client.connect(f"/private/ws/{key}") as socket:
            await asyncio.sleep(0.3)
            began_ms = client.server.venue.now_ms
            await client.post("/sim/event", **TRADE, at_ms=200)
            (frame, *_) = await hear(socket, 4)
        assert frame["E"] - began_ms >= 200
        assert frame["E"] > EPOCH_MS

    talk(check)


def test_the_server_closes_with_connections_open() -> None:
    """A drill does not hang on who listens to it."""
    server = EmbeddedServer(load_scenario("flat"))

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            with server:
                socket = await session.ws_connect(f"{server.url}/private/ws/x")
            assert not server._thread.is_alive()
            assert (await socket.receive()).type in {
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            }

    asyncio.run(main())
