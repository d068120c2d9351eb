"""Answers that are no success, and no answers at all: what the transport makes of them."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.errors import VenueError
from liqctl.kernel.requests import Endpoint
from tests.venue.venue import (
    KEY,
    SECRET,
    TIMEOUT_S,
    Handler,
    ask,
    raw_serving,
    says,
    serving,
)

WRITE = Endpoint.SUBMIT_ORDER


READ = Endpoint.POSITIONS


OK = b"HTTP/1.1 200 OK\r\n"


def answer_of(
    handler: Handler, endpoint: Endpoint = READ, *, timeout_s: float = TIMEOUT_S
) -> VenueAnswer:
    """Return how a request to a server that does not succeed is understood."""

    async def run() -> VenueAnswer:
        async with serving(handler) as venue:
            with pytest.raises(VenueError) as caught:
                await ask(venue.url, endpoint, timeout_s=timeout_s)
            return caught.value.answer

    return asyncio.run(run())


def raw_answer_of(
    talk: Callable[[asyncio.StreamWriter, int], Awaitable[None]],
    endpoint: Endpoint = READ,
    *,
    timeout_s: float = TIMEOUT_S,
) -> tuple[VenueAnswer, int]:
    """Return how a misbehaving connection is understood, and how many requests the server saw."""

    async def run() -> tuple[VenueAnswer, int]:
        async with raw_serving(talk) as venue:
            with pytest.raises(VenueError) as caught:
                await ask(venue.url, endpoint, timeout_s=timeout_s)
            return caught.value.answer, len(venue.seen)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "body",
    ["", "  ", "null", "true", "200", '"ok"', "[1,2", '{"a":NaN}', "<html></html>", "[" * 99_999],
)
def test_a_success_that_is_no_json_object_or_list_is_unreadable(body: str) -> None:
    """Left alone, ccxt would return it as text, and a reader would find nothing open in it."""
    answer = answer_of(says(body))

    assert answer.kind is AnswerKind.UNKNOWN
    assert answer.message.startswith("unreadable answer")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 403, 404, 408, 418, 429, 451])
def test_no_other_status_is_a_success(status: int) -> None:
    """Whatever the body looks like."""
    assert answer_of(says([], status=status)).status == status


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 524, 599])
def test_a_server_error_on_a_write_may_have_been_executed(status: int) -> None:
    """524 is not in ccxt's table at all."""
    assert answer_of(says("<html>", status=status), WRITE).kind is AnswerKind.UNKNOWN


def test_a_refusal_inside_http_200_is_a_refusal() -> None:
    """Some gateways answer 200 to everything."""
    answer = answer_of(says({"code": -2022, "msg": "ReduceOnly Order is rejected."}), WRITE)

    assert (answer.kind, answer.code) == (AnswerKind.REJECTED, -2022)


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def _drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("handler", [_hang, _drip])
@pytest.mark.parametrize("endpoint", [READ, WRITE])
def test_silence_and_dripping_end_with_the_timeout(handler: Handler, endpoint: Endpoint) -> None:
    """A server that sends a byte now and then never runs into a socket time-out."""
    answer = answer_of(handler, endpoint, timeout_s=0.2)

    assert answer.kind is AnswerKind.UNKNOWN
    assert answer.message == "127.0.0.1 did not answer: no complete answer in time"


@pytest.mark.parametrize("endpoint", [READ, WRITE, Endpoint.CANCEL_ORDERS])
def test_a_lost_connection_is_unknown_and_the_request_is_sent_once(endpoint: Endpoint) -> None:
    """By itself aiohttp sends GET and DELETE a second time."""

    async def hang_up(writer: asyncio.StreamWriter, _: int) -> None:
        writer.transport.abort()

    answer, requests = raw_answer_of(hang_up, endpoint)

    assert answer.kind is AnswerKind.UNKNOWN
    assert answer.message == "127.0.0.1 did not answer: connection lost"
    assert requests == 1


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (OK + b"Content-Length: 50\r\n\r\n[]", "the answer was cut off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n", "the answer was cut off"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]", "the answer was cut off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "the answer was not HTTP"),
        (OK + b"Content-Le", "connection lost"),
    ],
)
def test_a_broken_answer_is_unknown(sent: bytes, message: str) -> None:
    """Left alone, ccxt calls it ExchangeError, as if the venue had refused."""

    async def talk(writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(sent)
        await writer.drain()

    answer, requests = raw_answer_of(talk, WRITE)

    assert answer.kind is AnswerKind.UNKNOWN
    assert answer.message == f"127.0.0.1 did not answer: {message}"
    assert requests == 1


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded as well as time."""
    monkeypatch.setattr("liqctl.venue.session.ANSWER_BYTES_MAX", 1000)

    assert answer_of(says("[" + " " * 2000 + "]")).message.endswith("the answer was cut off")


def test_a_refused_connection_never_left_and_names_the_host() -> None:
    """So it may be sent again at once."""

    async def run() -> VenueAnswer:
        async with serving(says({})) as venue:
            url = venue.url
        with pytest.raises(VenueError) as caught:
            await ask(url, WRITE)
        return caught.value.answer

    answer = asyncio.run(run())
    assert answer.kind is AnswerKind.TRANSIENT
    assert answer.message == "cannot reach 127.0.0.1: connection refused"


def test_an_unknown_name_never_left_and_names_the_host() -> None:
    """`.invalid` is reserved: no resolver knows it (RFC 6761)."""
    with pytest.raises(VenueError) as caught:
        asyncio.run(ask("https://venue.invalid", WRITE))

    assert caught.value.answer.kind is AnswerKind.TRANSIENT
    assert str(caught.value) == "cannot reach venue.invalid: name lookup failed"


@pytest.mark.parametrize(
    "handler",
    [
        says({"code": -2015, "msg": f"Invalid API-key {KEY} {SECRET}"}, status=401),
        says(f"no such page for {KEY}", status=404),
        says("<html>", status=502),
        says(""),
        _hang,
    ],
    ids=["refusal", "text", "page", "empty", "silence"],
)
def test_errors_hold_neither_key_nor_secret_nor_signature(handler: Handler) -> None:
    """Tracebacks, contexts and local variables included: the libraries' frames hold all three."""

    async def run() -> tuple[VenueError, str]:
        async with serving(handler) as venue:
            with pytest.raises(VenueError) as caught:
                await ask(venue.url, WRITE, timeout_s=0.3)
            return caught.value, venue.seen[-1].signed[1]

    error, signature = asyncio.run(run())
    assert (error.__cause__, error.__context__) == (None, None)
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if "/liqctl/venue/" in frame.filename]
    text = "".join([str(error), repr(error), *(str(frame.locals) for frame in frames)])
    assert frames
    for secret in (KEY, SECRET, signature):
        assert secret not in text
