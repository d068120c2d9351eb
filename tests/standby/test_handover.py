"""The socket by which work is handed over: whatever is at its other end."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import Product
from liqctl.standby.handover import (
    Client,
    Doorkeeper,
    Handover,
    ask_armed,
    hand_over,
    policy_of,
    scope_of,
)

NAME = "identity"
ASKED = Handover(scope=scope_of(LiquidationConfig()), reason="r", correlation_id="run-1", screen={})
Decide = Callable[[Handover, Client], Awaitable[str | None]]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the state folder of a test of its own; its path is longer than a socket's may be."""
    home = tmp_path / ("long" * 30)
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home / "liqctl"


async def _accept(_: Handover, client: Client) -> str | None:
    client.accept()
    client.event("LIQUIDATION_START", {"pid": 1})
    asyncio.get_running_loop().call_later(0.3, client.answer, "done", 0)
    return None


def serve(client: Callable[[], Any], decide: Decide = _accept) -> Any:
    """Return what a client gets that runs in a thread; what the server logs is a failure."""

    async def main() -> Any:
        keeper = Doorkeeper(NAME, decide, lambda: {"health": "armed"})
        await keeper.open()
        try:
            return await asyncio.to_thread(client)
        finally:
            await keeper.close()

    return asyncio.run(main())


def raw(*parts: bytes, pause_s: float = 0.0, patience_s: float = 2.0) -> bytes:
    """Return what is answered to these bytes, written bit by bit."""
    folder = Path(os.environ["XDG_STATE_HOME"]) / "liqctl"
    fd = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(patience_s)
            sock.connect(f"/proc/self/fd/{fd}/{NAME}.sock")
            for part in parts:
                sock.sendall(part)
                time.sleep(pause_s)
            answer = b""
            while block := sock.recv(65_536):
                answer += block
            return answer
    except (BrokenPipeError, ConnectionResetError):
        return b""
    finally:
        os.close(fd)


def _hear_nothing(*_: object) -> None:
    """Take what is told."""


def test_work_is_taken_told_of_and_answered(state: Path) -> None:
    """In a folder whose path is longer than the kernel's 107 bytes."""
    told: list[str] = []
    takers: list[int] = []

    answer = serve(
        lambda: hand_over(NAME, ASKED, lambda event, _: told.append(event), takers.append)
    )

    assert len(str(state)) > 107
    assert answer == {"document": "done", "exit_code": 0}
    assert told == ["LIQUIDATION_START"]
    assert takers == [os.getpid()]
    assert not (state / f"{NAME}.sock").exists()


def test_how_it_is_can_be_asked(state: Path) -> None:
    """`status` does."""
    assert serve(lambda: ask_armed(NAME)) == {"health": "armed"}
    assert ask_armed(NAME) is None
    assert hand_over(NAME, ASKED, _hear_nothing, _hear_nothing) is None


REQUEST = {"scope": {}, "reason": "", "correlation_id": "a", "screen": {}}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"garbage\n",
        b"\xff\xfe\n",
        b"17\n",
        b'"ask"x\n',
        b"[]\n",
        b"{}\n",
        b"[" * 50_000 + b"\n",
        b"x" * 200_000 + b"\n",
        b'{"scope": 1, "reason": "", "correlation_id": "a", "screen": {}}\n',
        json.dumps({**REQUEST, "screen": [1]}).encode() + b"\n",
        json.dumps({**REQUEST, "scope": None}).encode() + b"\n",
    ],
)
def test_what_is_no_request_is_not_answered(line: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """And nothing of it reaches a log; the next one is served."""

    def client() -> Any:
        assert raw(line, patience_s=3.0) == b""
        return ask_armed(NAME)

    with caplog.at_level(logging.WARNING):
        assert serve(client) == {"health": "armed"}
    assert not caplog.records


@pytest.mark.parametrize("name", ["", "../x", "a" * 65, "a b", "ü"])
def test_a_correlation_id_that_is_none_is_refused(name: str) -> None:
    """It becomes the name of a run in the trail."""
    line = json.dumps({**REQUEST, "correlation_id": name}).encode() + b"\n"

    assert b"refused" in serve(lambda: raw(line))


def test_a_slow_client_is_given_up_and_keeps_nobody_out() -> None:
    """A second for a whole line; others are served meanwhile."""

    def client() -> Any:
        began = time.monotonic()
        answer = raw(b'{"as', b"k", b'": 1', pause_s=0.5)
        assert time.monotonic() - began < 2.5
        return answer, ask_armed(NAME)

    assert serve(client) == (b"", {"health": "armed"})


def test_a_client_that_leaves_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The work goes on; nothing is logged of a socket that is gone."""
    clients: list[Client] = []

    async def decide(_: Handover, client: Client) -> str | None:
        clients.append(client)
        client.accept()
        return None

    def client() -> None:
        fd = os.open(Path(os.environ["XDG_STATE_HOME"]) / "liqctl", os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"/proc/self/fd/{fd}/{NAME}.sock")
            sock.sendall(json.dumps(REQUEST).encode() + b"\n")
            sock.recv(100)
            # Reset, and not closed in order.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(fd)
        time.sleep(0.7)
        for _ in range(20):
            clients[0].event("ORDER_SENT", {})
        clients[0].answer("done", 0)
        time.sleep(0.4)

    with caplog.at_level(logging.WARNING):
        serve(client, decide)
    assert not caplog.records


def test_work_of_who_has_left_is_not_taken(state: Path) -> None:
    """It does it by itself: a process that was stopped for an hour would close what came since."""
    asked: list[Handover] = []

    async def decide(handover: Handover, client: Client) -> str | None:
        asked.append(handover)
        return await _accept(handover, client)

    async def main() -> None:
        keeper = Doorkeeper(NAME, decide, lambda: {"health": "armed"})
        await keeper.open()
        fd = os.open(state, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"/proc/self/fd/{fd}/{NAME}.sock")
            sock.sendall(json.dumps(REQUEST).encode() + b"\n")
        os.close(fd)
        assert await asyncio.to_thread(ask_armed, NAME) == {"health": "armed"}
        await keeper.close()

    asyncio.run(main())

    assert not asked


def test_a_client_that_does_not_read_costs_no_memory() -> None:
    """It hears nothing more once a megabyte waits for it."""

    async def main() -> int:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        client = Client(writer)
        for _ in range(100):
            client.event("X", {"text": "x" * 100_000})
        size = writer.transport.get_write_buffer_size()
        writer.transport.abort()
        theirs.close()
        assert reader
        return size

    assert asyncio.run(main()) < 2_000_000


def _stranger(answers: Callable[[socket.socket], None]) -> tuple[Any, float]:
    """Return what `hand_over` makes of somebody else behind the socket, and how long it took."""
    folder = Path(os.environ["XDG_STATE_HOME"]) / "liqctl"
    folder.mkdir(parents=True)
    fd = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{fd}/{NAME}.sock")
        listening.listen()

        async def main() -> tuple[Any, float]:
            def accept() -> None:
                other, _ = listening.accept()
                with other:
                    answers(other)

            serving = asyncio.create_task(asyncio.to_thread(accept))
            began = time.monotonic()
            found = await asyncio.to_thread(hand_over, NAME, ASKED, _hear_nothing, _hear_nothing)
            took_s = time.monotonic() - began
            await serving
            return found, took_s

        try:
            return asyncio.run(main())
        finally:
            os.close(fd)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"garbage\n",
        b"[]\n",
        b'{"refused": "why"}\n',
        b'{"accepted": "yes"}\n',
        b"[" * 50_000 + b"\n",
        b'{"accepted": true}\n' + b"garbage\n",
        b'{"accepted": true}\n',
        b'{"accepted": true}\n{"document": {}, "exit_code": 0}\n',
        b'{"accepted": true}\n{"document": "done", "exit_code": 99}\n',
        b'{"accepted": true}\n{"document": "done"}\n',
        b'{"accepted": true}\n{"event": "X", "details": [1]}\n',
    ],
)
def test_who_does_not_answer_well_gives_the_work_back(said: bytes) -> None:
    """At once where the other end is gone or writes what is none."""
    found, took_s = _stranger(lambda sock: sock.sendall(said))

    assert found is None
    assert took_s < 0.5


def test_who_does_not_accept_within_100_ms_does_not_get_the_work() -> None:
    """The contract's number."""
    found, took_s = _stranger(lambda _: time.sleep(0.5))

    assert found is None
    assert 0.09 < took_s < 0.3


def test_who_falls_silent_with_the_work_loses_it() -> None:
    """After a second, for signs of life come four times as often."""

    def answers(sock: socket.socket) -> None:
        sock.sendall(b'{"accepted": true}\n{"alive": true}\n')
        time.sleep(1.5)

    found, took_s = _stranger(answers)

    assert found is None
    assert 0.9 < took_s < 1.4


def test_who_never_ends_does_not_keep_the_work_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It said all the time that it was alive, and nobody closed anything."""
    monkeypatch.setattr("liqctl.standby.handover.ANSWER_MAX_S", 0.3)

    def answers(sock: socket.socket) -> None:
        sock.sendall(b'{"accepted": true}\n')
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b'{"alive": true}\n')
                time.sleep(0.05)

    found, took_s = _stranger(answers)

    assert found is None
    assert took_s < 1.0


def test_a_scope_is_handed_over_as_it_is() -> None:
    """What it does not say is as it is watched; what it cannot be is refused."""
    watched = LiquidationConfig(timeout_seconds=3.0)
    asked = LiquidationConfig(symbols=("BTCUSDT",), products=(Product.USDM,), max_retries=1)
    sent: Mapping[str, Any] = json.loads(json.dumps(scope_of(asked)))

    assert policy_of(sent, watched) == asked
    assert policy_of({}, watched) == watched
    assert policy_of({"stranger": 1}, watched) == watched
    for wrong in ({"timeout_seconds": 1e9}, {"products": ["x"]}, {"products": 5}, {"symbols": 5}):
        with pytest.raises((ValueError, TypeError)):
            policy_of(wrong, watched)
