"""Listen keys live an hour, connections a day, and a wrong path is silent."""

import asyncio
import json
from typing import Any

import pytest

from liqctl.kernel.endpoints import EndpointSpec
from liqctl.kernel.errors import VenueError
from liqctl.kernel.states import Product
from liqctl.sim.memory import EPOCH_MS, MemoryTransport, run_virtual
from liqctl.sim.streams import WAITING_MAX, HandshakeError
from liqctl.sim.venue import Request, Venue
from tests.sim.asking import NOW_MS, ask, make_address, make_venue
from tests.sim.listening import Frame, MemoryStream, happen, hear, listen, names

SEED = """
account: {positions: {BTCUSDT: "0.5"}}
venue: {balance: "10000", coins: {BTC: "2"}}
"""
PORTFOLIO = "account: {margin: PORTFOLIO}"
FILL = ["NEW NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "TRADE FILLED"]
HOSTS = ("fapi", "dapi")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def _key(venue: Venue, host: str = "fapi", method: str = "POST", at_ms: int = 0) -> Any:
    """Return what the venue answers to a request for a listen key."""
    _, answer = ask(venue, method, f"/{host}/v1/listenKey", now_ms=EPOCH_MS + at_ms)
    return answer.get("listenKey") or answer.get("code")


def _trade(venue: Venue, quantity: str = "0.1") -> None:
    happen(venue, "add", symbol="BTCUSDT", quantity=quantity)


def _trade_coin(venue: Venue) -> None:
    happen(venue, "add", symbol="BTCUSD_PERP", quantity="5")


# -- listen keys -------------------------------------------------------------------------------


def test_an_account_has_one_key_for_each_host() -> None:
    """Whoever asks again gets the same: bots and the switch share it."""
    venue = make_venue(SEED)
    key = _key(venue)

    assert len(key) == 64
    assert _key(venue) == _key(venue, method="PUT") == key
    assert _key(venue, "dapi") not in {key, None}
    assert _key(make_venue(SEED)) == key


def test_a_key_lives_an_hour_from_when_it_was_last_extended() -> None:
    """POST and PUT both extend it; a dead one is refused, and the next is another."""
    venue = make_venue(SEED)
    key = _key(venue)

    assert _key(venue, method="PUT", at_ms=HOUR_MS - 1) == key
    assert _key(venue, at_ms=2 * HOUR_MS - 2) == key
    assert _key(venue, method="PUT", at_ms=3 * HOUR_MS - 2) == -1125
    assert _key(venue, at_ms=3 * HOUR_MS) not in {key, -1125}


def test_who_deletes_a_key_ends_it_for_all() -> None:
    """Nobody hears anything any more, and nothing says so (assumed)."""
    venue = make_venue(SEED)

    def act() -> None:
        assert _key(venue, method="DELETE") is None
        assert _key(venue, method="DELETE") == -1125
        _trade(venue)

    assert listen(venue, act) == []


def test_a_new_key_does_not_die_with_an_old_one() -> None:
    """Its hour is its own."""
    venue = make_venue(SEED)
    _key(venue)
    _key(venue, method="DELETE", at_ms=60_000)
    key = _key(venue, at_ms=120_000)

    assert _key(venue, method="PUT", at_ms=HOUR_MS + 60_000) == key


def test_what_extending_answers_depends_on_the_host() -> None:
    """USDS-M names the key, the others nothing (assumed)."""
    venue = make_venue(SEED)
    _key(venue, "fapi")
    _key(venue, "dapi")
    assert [ask(venue, "PUT", f"/{host}/v1/listenKey", now_ms=EPOCH_MS)[1] for host in HOSTS] == [
        {"listenKey": _key(venue)},
        {},
    ]


def test_a_key_needs_no_signature_and_costs_one() -> None:
    """The API key alone opens it; without one, or with a wrong one, nothing does."""
    address = make_address("accounts: {desk-a: {account: {}}, desk-b: {account: {}}}")
    path = "/fapi/v1/listenKey"
    replies = {
        name: address.handle(
            Request(method="POST", path=path, headers={"X-MBX-APIKEY": key}), NOW_MS
        )
        for name, key in {
            **{name: each.api_key for name, each in address.venues.items()},
            "none": "",
            "wrong": "x" * 64,
        }.items()
    }
    codes = {name: json.loads(reply.body).get("code") for name, reply in replies.items()}
    keys = {json.loads(reply.body).get("listenKey") for reply in replies.values()}

    assert codes == {"desk-a": None, "desk-b": None, "none": -2014, "wrong": -2015}
    assert len(keys) == 3  # Two, and none.
    assert address.master.weights.windows.describe() == {"futures": 4}


@pytest.mark.parametrize(("text", "hosts"), [(SEED, ["fapi", "dapi"]), (PORTFOLIO, ["papi"])])
def test_a_host_gives_keys_to_its_own_accounts(text: str, hosts: list[str]) -> None:
    """Portfolio margin has one stream, and the futures' hosts refuse its key."""
    venue = make_venue(text)
    keys = {host: _key(venue, host) for host in ("fapi", "dapi", "papi")}
    assert [host for host, key in keys.items() if key != -2015] == hosts


def test_the_door_in_memory_serves_listen_keys() -> None:
    """The armed process speaks to it as to any other endpoint."""
    venue = make_venue(SEED)
    transport = MemoryTransport(venue)

    async def ask_for(method: str) -> Any:
        spec = EndpointSpec(method, "/fapi/v1/listenKey", signed=False)
        return await transport.request(spec, {}, timeout_s=1)

    async def main() -> tuple[Any, Any, Any, int | None]:
        first, second = await ask_for("POST"), await ask_for("PUT")
        ended = await ask_for("DELETE")
        with pytest.raises(VenueError) as caught:
            await ask_for("PUT")
        return first, second, ended, caught.value.answer.code

    first, second, ended, code = run_virtual(main)
    assert (first, ended, code) == (second, {}, -1125)


def test_an_expired_key_is_told_and_the_connection_stays() -> None:
    """Silent from then on: the time of the event is a text, as in the venue's sample."""
    venue = make_venue(SEED)

    async def main() -> tuple[list[Frame], list[Frame], list[Frame]]:
        async with MemoryStream(venue, Product.USDM) as stream:
            key = _key(venue)
            expired = await hear(stream, HOUR_MS / 1000 + 1)
            _trade(venue)
            silent = await hear(stream, HOUR_MS / 2000)
            assert not stream.is_closed
            assert _key(venue, at_ms=2 * HOUR_MS) != key
            _trade(venue)
            return expired, silent, await hear(stream)

    expired, silent, after = run_virtual(main)
    (frame,) = expired
    assert frame.pop("listenKey")
    assert frame == {"e": "listenKeyExpired", "E": str(EPOCH_MS + HOUR_MS)}
    assert silent == after == []


@pytest.mark.parametrize(("host", "told"), [("fapi", 1), ("dapi", 0), (None, 1)])
def test_a_key_may_expire_before_its_time(host: str | None, told: int) -> None:
    """That of a host, or all."""
    venue = make_venue(SEED)
    settings = {} if host is None else {"host": host}

    def act() -> None:
        _key(venue, "dapi")
        happen(venue, "expire_listen_keys", **settings)

    assert [frame["e"] for frame in listen(venue, act)] == ["listenKeyExpired"] * told


# -- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "host", "is_live"),
    [
        ("/private/ws/{key}", "fapi", True),
        ("/private/ws?listenKey={key}", "fapi", True),
        ("wss://venue.example/private/ws?listenKey={key}", "fapi", True),
        ("/ws/{key}", "fapi", False),  # Since 2026-04-23.
        ("/pm/ws/{key}", "fapi", False),
        ("/ws/{key}", "dapi", True),
        ("/private/ws/{key}", "dapi", False),
        ("/pm/ws/{key}", "papi", True),
        ("/private/ws/{key}", "papi", False),
        ("/private/ws/unknown", "fapi", False),
        ("/private/ws", "fapi", False),
    ],
)
def test_a_key_is_served_on_its_own_path(path: str, host: str, is_live: bool) -> None:
    """Anywhere else the connection is accepted and silent."""
    venue = make_venue(PORTFOLIO if host == "papi" else SEED)
    path = path.format(key=_key(venue, host))

    def act() -> None:
        _trade(venue)
        _trade_coin(venue)

    heard = listen(venue, act, path=path)
    assert bool(heard) is is_live


@pytest.mark.parametrize("path", ["/", "/private", "/private/other/key", "/fapi/ws/key"])
def test_where_there_is_no_stream_the_handshake_fails(path: str) -> None:
    """Unlike with a wrong key, this is seen at once."""
    with pytest.raises(HandshakeError, match="404"):
        listen(make_venue(SEED), path=path)


def test_events_can_be_chosen() -> None:
    """None chosen means all; that a key expired is told in any case (assumed)."""
    venue = make_venue(SEED)
    path = f"/private/ws?listenKey={_key(venue)}&events=ACCOUNT_UPDATE/ALGO_UPDATE"

    def act() -> None:
        _trade(venue)
        happen(venue, "expire_listen_keys")

    assert names(listen(venue, act, path=path)) == ["ACCOUNT_UPDATE", "listenKeyExpired"]


def test_a_combined_stream_wraps_what_it_sends() -> None:
    """In the name of its key."""
    venue = make_venue(SEED)
    key = _key(venue)

    async def main() -> list[Frame]:
        path = f"/private/stream?listenKey={key}"
        async with MemoryStream(venue, Product.USDM, path=path) as stream:
            _trade(venue)
            return await hear(stream)

    heard = run_virtual(main)
    assert {frame["stream"] for frame in heard} == {key}
    assert names([frame["data"] for frame in heard]) == FILL


# -- connections -------------------------------------------------------------------------------


def _run_with_times(venue: Venue, latency_s: float) -> list[tuple[float, str]]:
    async def main() -> list[tuple[float, str]]:
        loop, heard = asyncio.get_running_loop(), []
        async with MemoryStream(venue, Product.USDM, latency_s=latency_s) as stream:
            while (frame := await stream.receive()) is not None:
                heard.append((round(loop.time(), 3), names([json.loads(frame)])[0]))
                if len(heard) == 4:
                    await stream.close()
            return heard

    return run_virtual(main)


def test_a_frame_travels_half_the_latency() -> None:
    """It is not known before it came."""
    events = "events: [{act: add, symbol: BTCUSDT, quantity: '1', at_ms: 300}]"
    assert _run_with_times(make_venue(SEED + events), 0.2) == [(0.4, name) for name in FILL]


def test_a_venue_whose_clock_is_ahead_tells_its_own_time() -> None:
    """Frames come when they should all the same."""
    text = SEED.replace("venue: {", "venue: {clock_skew_ms: 5000, ")
    venue = make_venue(text + "events: [{act: add, symbol: BTCUSDT, quantity: '1', at_ms: 300}]")
    heard = listen(venue, span_s=0.4)
    assert [frame["E"] for frame in heard] == [EPOCH_MS + 5300] * 4


def test_a_connection_ends_after_a_day() -> None:
    """In the venue's time, whoever keeps the key alive."""
    venue = make_venue(SEED)

    async def main() -> tuple[float, bool]:
        async with MemoryStream(venue, Product.USDM, latency_s=0) as stream:
            assert len(await hear(stream, 2 * DAY_MS / 1000)) == 1  # The key expired.
            return asyncio.get_running_loop().time(), stream.is_closed

    assert run_virtual(main) == (DAY_MS / 1000, True)


def test_closing_wakes_who_waits() -> None:
    """A program that ends does not hang on its own connection; closing again is safe."""
    venue = make_venue(SEED)

    async def main() -> tuple[str | None, float, int]:
        stream = MemoryStream(venue, Product.USDM)
        waiting = asyncio.create_task(stream.receive())
        await asyncio.sleep(2)
        await stream.close()
        await stream.close()
        return await waiting, asyncio.get_running_loop().time(), len(venue.streams.feeds)

    assert run_virtual(main) == (None, 2.0, 0)


def test_two_programs_hear_the_same() -> None:
    """Each on a connection of its own."""
    venue = make_venue(SEED)

    async def main() -> tuple[list[Frame], list[Frame]]:
        async with (
            MemoryStream(venue, Product.USDM) as one,
            MemoryStream(venue, Product.USDM) as other,
        ):
            _trade(venue)
            return await asyncio.gather(hear(one), hear(other))

    one, other = run_virtual(main)
    assert names(one) == FILL
    assert one == other


def test_what_is_set_off_while_somebody_waits_is_heard_in_time() -> None:
    """The wait was longer when it began: a timer, a planned act and a request shorten it."""
    orders = "orders: [{symbol: BTCUSDT, side: SELL, price: '70000', quantity: '1'}]"
    venue = make_venue(SEED.replace("account: {", f"account: {{{orders}, "))

    async def main() -> list[Frame]:
        async with MemoryStream(venue, Product.USDM) as stream:
            waiting = asyncio.create_task(hear(stream, 10))
            await asyncio.sleep(1)
            happen(venue, "enter", symbol="ETHUSDT", quantity="1", stop_after_ms=700)
            await asyncio.sleep(2)
            happen(venue, "add", symbol="BTCUSDT", quantity="1", at_ms=500)
            await asyncio.sleep(1)
            timer = {"symbol": "BTCUSDT", "countdownTime": 600}
            ask(venue, "POST", "/v1/countdownCancelAll", now_ms=EPOCH_MS + 4000, **timer)
            return await waiting

    heard = run_virtual(main)
    assert names(heard) == [*FILL, "algo NEW", *FILL, "CANCELED CANCELED"]
    since = [frame["E"] - EPOCH_MS for frame in heard]
    assert since == [1000] * 4 + [1700] + [3500] * 4 + [4600]


def test_who_does_not_read_is_cut_off() -> None:
    """Frames are not kept for ever."""
    venue = make_venue(SEED)

    async def main() -> int:
        async with MemoryStream(venue, Product.USDM) as stream:
            for _ in range(WAITING_MAX // 4 + 1):
                _trade(venue, "0.001")
            return len(await hear(stream))

    assert run_virtual(main) < 10


# -- faults ------------------------------------------------------------------------------------


def _listen_badly(fault: str, *acts: str, span_s: float = 5.0) -> tuple[Venue, list[Frame]]:
    """Return what is heard of one trade, and of each act, with a fault."""
    venue = make_venue(f"{SEED}faults: [{fault}]")

    async def act() -> None:
        _trade(venue)
        for each in acts:
            await asyncio.sleep(0.1)
            happen(venue, each)

    return venue, listen(venue, act, span_s=span_s)


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        ("{kind: stream_silent, times: 0}", []),
        ("{kind: stream_silent, skip: 1, times: 2}", [FILL[0], FILL[3]]),
        ("{kind: stream_silent, times: 0, event: TRADE_LITE}", [FILL[0], *FILL[2:]]),
        ("{kind: stream_silent, times: 0, symbol: ETHUSDT}", FILL),
        ("{kind: stream_silent, times: 0, product: COINM}", FILL),
        ("{kind: stream_silent, times: 0, product: USDM, symbol: BTCUSDT}", []),
        ("{kind: stream_silent, times: 0, from_ms: 1000}", FILL),
        ("{kind: stream_silent, times: 0, until_ms: 1000}", []),
        ("{kind: stream_twice, event: ACCOUNT_UPDATE}", [*FILL[:3], *FILL[2:]]),
        ("{kind: stream_late, event: ACCOUNT_UPDATE}", [*FILL[:2], FILL[3], FILL[2]]),
        ("{kind: stream_wrong_path}", []),
        ("{kind: stream_wrong_path, product: COINM}", FILL),
        ("{kind: stream_cut, skip: 2}", FILL[:2]),
    ],
)
def test_a_stream_goes_wrong(fault: str, heard: list[str]) -> None:
    """Silent, twice, out of order, on a wrong path, cut after so many frames."""
    venue, frames = _listen_badly(fault)
    assert names(frames) == heard
    is_hit = heard != FILL
    assert bool(venue.account.journal.faults) is is_hit


@pytest.mark.parametrize("late_ms", [2000, 700])
def test_a_late_frame_tells_when_it_happened(late_ms: int) -> None:
    """The lag can be measured: it comes later than the time that it names."""
    venue = make_venue(f"{SEED}faults: [{{kind: stream_late, times: 0, late_ms: {late_ms}}}]")

    async def main() -> tuple[int, float]:
        async with MemoryStream(venue, Product.USDM, latency_s=0) as stream:
            _trade(venue)
            frame = json.loads(await stream.receive() or "")
            return frame["E"] - EPOCH_MS, asyncio.get_running_loop().time()

    assert run_virtual(main) == (0, late_ms / 1000)


def test_a_malformed_frame_comes_among_good_ones() -> None:
    """One bad frame must not end who listens."""
    venue = make_venue(f"{SEED}faults: [{{kind: stream_malformed, skip: 1}}]")

    async def main() -> list[bool]:
        read = []
        async with MemoryStream(venue, Product.USDM) as stream:
            _trade(venue)
            for _ in range(4):
                frame = await stream.receive() or ""
                try:
                    json.loads(frame)
                except ValueError:
                    read.append(False)
                else:
                    read.append(True)
        return read

    assert run_virtual(main) == [True, False, True, True]


@pytest.mark.parametrize(("setting", "status"), [("", 503), (", status: 429", 429)])
def test_a_handshake_is_refused_so_many_times(setting: str, status: int) -> None:
    """The next one is accepted."""
    venue = make_venue(f"{SEED}faults: [{{kind: stream_refused{setting}}}]")
    with pytest.raises(HandshakeError) as caught:
        listen(venue)

    assert caught.value.status == status
    assert names(listen(venue, lambda: _trade(venue))) == FILL


def test_connections_are_cut_at_once() -> None:
    """All, or those of a host: the key lives on, and the next connection is served."""
    venue = make_venue(SEED)

    async def main() -> tuple[list[bool], list[bool]]:
        async with (
            MemoryStream(venue, Product.USDM) as usdm,
            MemoryStream(venue, Product.COINM) as coinm,
        ):
            closed = []
            for settings in ({"host": "dapi"}, {}):
                happen(venue, "cut_streams", **settings)
                await asyncio.gather(hear(usdm), hear(coinm))
                closed.append([usdm.is_closed, coinm.is_closed])
        return closed[0], closed[1]

    assert run_virtual(main) == ([False, True], [True, True])
    # Its clock goes on from where it was, while the loop begins anew.
    assert names(listen(venue, lambda: _trade(venue), span_s=5)) == FILL


@pytest.mark.parametrize(
    "fault",
    ["{kind: stream_meteor}", "{kind: stream_late, path: /order}", "{kind: stream_cut, x: 1}"],
)
def test_an_unknown_fault_is_no_scenario(fault: str) -> None:
    """A misspelt one would leave a run untroubled."""
    from liqctl.kernel.errors import ConfigurationError

    with pytest.raises(ConfigurationError):
        make_venue(f"faults: [{fault}]")
