"""The door on loopback breaks connections for real, and lets the truth be looked at."""

import asyncio
import gc
import socket
import ssl
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
import trustme

from liqctl.kernel import requests
from liqctl.kernel.errors import Secret, VenueError
from liqctl.kernel.states import Environment, Product
from liqctl.sim.address import MASTER, key_of, secret_of
from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.scenario import load_scenario, make_large_account, parse_scenario
from liqctl.sim.server import EmbeddedServer
from liqctl.venue.client import CcxtTransport
from liqctl.venue.exchange import BinanceExchange

PATH = "/fapi/v1/exchangeInfo"


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """Serve the default account."""
    with EmbeddedServer() as running:
        yield running


def _get(server: EmbeddedServer, path: str = PATH, timeout_s: float = 10) -> httpx.Response:
    return httpx.get(f"{server.url}{path}", trust_env=False, timeout=timeout_s)


def _break(server: EmbeddedServer, kind: str) -> None:
    server.venue.faults.append(Fault(effect=KINDS[kind]))


def test_it_listens_on_loopback_on_a_port_of_its_own(server: EmbeddedServer) -> None:
    """Nobody on the network may trade on it by mistake."""
    with EmbeddedServer() as other:
        assert server.url.startswith("http://127.0.0.1:")
        assert other.url != server.url
        assert _get(other, "/fapi/v1/ping").json() == {}


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "refused_connection"])
def test_a_dropped_connection_gives_no_answer(server: EmbeddedServer, kind: str) -> None:
    """The client cannot tell whether the request was executed."""
    _break(server, kind)
    with pytest.raises(httpx.TransportError):
        _get(server)
    assert _get(server).status_code == 200


def test_a_truncated_body_breaks_off(server: EmbeddedServer) -> None:
    """The head promises more than comes."""
    _break(server, "truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        _get(server)


def test_a_cut_document_is_framed_as_whole(server: EmbeddedServer) -> None:
    """HTTP is content; only JSON is not."""
    _break(server, "cut_json")
    answer = _get(server)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        answer.json()


def test_a_dripping_body_outlasts_a_read_timeout(server: EmbeddedServer) -> None:
    """Each byte comes in time, the whole never does: only a deadline over the call ends it."""
    _break(server, "drip")
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        came = b""
        while b"\r\n\r\n" not in came:
            came += connection.recv(4096)
        head, _, body = came.partition(b"\r\n\r\n")
        body = body or connection.recv(1)

    assert b" 200 " in head.splitlines()[0]
    assert body == b"{"


def test_a_hanging_request_is_not_answered(server: EmbeddedServer) -> None:
    """And does not hold up the next one."""
    _break(server, "hang")
    with pytest.raises(httpx.ReadTimeout):
        _get(server, timeout_s=0.2)
    assert _get(server).status_code == 200


def test_a_redirect_leads_away_from_the_host(server: EmbeddedServer) -> None:
    """A client that follows it gives its key to somebody else."""
    _break(server, "redirect")
    answer = _get(server)
    assert (answer.status_code, answer.headers["location"]) == (302, "http://127.0.0.2:1/")


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("bad_gateway_executed", 502, "text/html"),
        ("firewall", 403, "text/html"),
        ("too_many_requests_wait", 429, "application/json;charset=UTF-8"),
    ],
)
def test_a_replaced_answer_has_its_status_and_type(
    server: EmbeddedServer, kind: str, status: int, content_type: str
) -> None:
    """Pages of middlemen are HTML, whatever was asked for."""
    _break(server, kind)
    answer = _get(server)
    assert answer.status_code == status
    assert answer.headers["content-type"] == content_type


def test_latency_is_added_to_every_answer() -> None:
    """So that a demo feels like the real distance."""
    with EmbeddedServer(load_scenario("flat"), latency_ms=100) as server:
        began_at = time.monotonic()
        _get(server, "/fapi/v1/ping")
        assert time.monotonic() - began_at >= 0.1


def test_it_speaks_tls() -> None:
    """With a certificate that the client was told to trust, and with no other."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    with EmbeddedServer(ssl_context=context) as server:
        url = f"{server.url}/fapi/v1/ping"
        assert url.startswith("https://")
        assert httpx.get(url, verify=trusting, trust_env=False).json() == {}
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)


def test_the_truth_can_be_read_without_a_key(server: EmbeddedServer) -> None:
    """For people who watch a drill, and for judges in another process."""
    truth = _get(server, "/sim/state").json()
    assert truth["flat"] is False
    assert {"symbol": "BTCUSDT", "position_side": "BOTH", "amount": "0.500"} in truth["positions"]
    assert (len(truth["orders"]), len(truth["algo_orders"])) == (7, 6)


def test_a_fault_can_be_added_while_it_runs(server: EmbeddedServer) -> None:
    """An unknown one is refused with the list of those there are."""
    url = f"{server.url}/sim/fault"
    wrong = httpx.post(url, json={"kind": "meteor"}, trust_env=False)
    added = httpx.post(url, json={"kind": "firewall", "path": "/ping"}, trust_env=False)

    assert (wrong.status_code, added.json()) == (400, {"added": "firewall"})
    assert "firewall" in wrong.json()["kinds"]
    assert _get(server, "/fapi/v1/ping").status_code == 403
    assert _get(server, "/fapi/v1/ping").status_code == 200


HOUSE = """
accounts:
  desk-a: {account: {positions: {BTCUSDT: "0.500"}}}
  desk-b: {account: {positions: {ETHUSDT: "-2", SOLUSDT: "40"}}}
  desk-c: {key_of: desk-a}
uncovered: [desk-b]
"""


def _read(server: EmbeddedServer, name: str) -> set[str]:
    """Return the symbols that the program's own client reads with the key of a name."""

    async def read() -> set[str]:
        transport = CcxtTransport(
            key=Secret(key_of(name)),
            secret=Secret(secret_of(name)),
            environment=Environment.SIMULATOR,
            base_url=server.url,
        )
        try:
            request = requests.positions(Product.USDM)
            rows = await BinanceExchange(transport).send(request, timeout_s=10)
            return {position.symbol for position in rows.items}
        finally:
            await transport.close()

    return asyncio.run(read())


def test_a_house_is_served_at_one_url() -> None:
    """Each key reads its own account, over HTTP too; the server's own key is the master's."""
    with EmbeddedServer(parse_scenario(HOUSE, name="test")) as server:
        assert _read(server, "desk-a") == _read(server, "desk-c") == {"BTCUSDT"}
        assert _read(server, "desk-b") == {"ETHUSDT", "SOLUSDT"}
        with pytest.raises(VenueError) as caught:
            _read(server, "desk-d")
        assert server.address is not None
        assert server.venue is server.address.master
        assert (server.api_key, server.api_secret) == (key_of(MASTER), secret_of(MASTER))
    assert caught.value.answer.code == -2015


def test_the_truth_of_a_house_is_told_by_account() -> None:
    """What each holds, as of one account, and what all have used of the address."""
    with EmbeddedServer(parse_scenario(HOUSE, name="test")) as server:
        _read(server, "desk-a")
        _get(server, "/fapi/v1/ping")
        truth = _get(server, "/sim/state").json()
    with EmbeddedServer(load_scenario("flat")) as alone:
        keys = _get(alone, "/sim/state").json().keys()

    assert truth.keys() == {"accounts", "requests", "weight"}
    assert {name: len(each["positions"]) for name, each in truth["accounts"].items()} == {
        "desk-a": 1,
        "desk-b": 2,
        "desk-c": 1,
    }
    assert truth["accounts"]["desk-a"].keys() == keys
    assert (truth["requests"], truth["weight"]) == (2, {"futures": 6})


def test_a_fault_hits_the_account_that_it_names_or_all() -> None:
    """The master's too; one that does not exist is refused with the list of those that do."""
    with EmbeddedServer(parse_scenario(HOUSE, name="test")) as server:
        url = f"{server.url}/sim/fault"
        wrong, one, master, all_of_them = (
            httpx.post(url, json={"kind": "firewall", **account}, trust_env=False)
            for account in ({"account": "desk-d"}, {"account": "desk-c"}, {"account": MASTER}, {})
        )
        assert server.address is not None
        faults = {name: len(each.faults) for name, each in server.address.venues.items()}
        of_master = len(server.address.master.faults)
    with EmbeddedServer() as alone:
        of_one = httpx.post(
            f"{alone.url}/sim/fault", json={"kind": "hang", "account": "desk-a"}, trust_env=False
        )

    assert wrong.json()["accounts"] == ["desk-a", "desk-b", "desk-c", "master"]
    assert [each.status_code for each in (wrong, one, master, all_of_them)] == [400, 200, 200, 200]
    assert (faults, of_master) == ({"desk-a": 2, "desk-b": 1, "desk-c": 2}, 1)
    assert of_one.status_code == 400


def test_a_taken_port_is_an_error() -> None:
    """Not a venue that nobody can reach."""
    with EmbeddedServer() as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), EmbeddedServer(port=port):
            pass


def test_a_large_account_is_served_whole() -> None:
    """200 symbols, 600 orders: what speed is measured against."""
    with EmbeddedServer(make_large_account(symbols=200)) as server:
        truth = _get(server, "/sim/state").json()
    assert (len(truth["positions"]), len(truth["orders"])) == (200, 600)


def test_connections_that_just_came_are_closed_with_the_venue() -> None:
    """Left to the garbage collector they would be reported in some other test, once in a while."""
    lost: list[str] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda seen: lost.append(repr(seen.exc_value))
    try:
        for _ in range(10):
            with EmbeddedServer() as server:
                port = int(server.url.rpartition(":")[2])
                callers = [socket.socket() for _ in range(30)]
                for caller in callers:
                    caller.setblocking(False)
                    caller.connect_ex(("127.0.0.1", port))
            for caller in callers:
                caller.close()
        gc.collect()
    finally:
        sys.unraisablehook = hook

    assert lost == []
