"""Early connections: really early, really used, and no trouble of their own."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liqctl.venue import startup
from liqctl.venue.startup import EARLY_CONNECTIONS, EarlyConnections, make_resolver, make_socket
from tests.process.program import Program, program

PATIENCE_S = 20.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        yield listening


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """The program and a venue."""
    with program(tmp_path) as running:
        yield running


def address_info(port: int) -> startup.AddressInfo:
    """Return what aiohttp asks a socket for."""
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))


def connect(early: EarlyConnections, port: int) -> socket.socket:
    """Connect as aiohttp does: a socket from the factory, then the loop's `sock_connect`."""

    async def connected() -> socket.socket:
        chosen = make_socket([early], address_info(port))
        chosen.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(chosen, ("127.0.0.1", port))
        except OSError:
            chosen.close()
            raise
        return chosen

    return asyncio.run(connected())


def test_connections_stand_before_anybody_asks(listener: socket.socket) -> None:
    """The handshake is what is to be over when the first request is ready."""
    early = EarlyConnections("127.0.0.1", listener.getsockname()[1])

    accepted = [listener.accept()[0] for _ in range(EARLY_CONNECTIONS)]

    assert len(accepted) == EARLY_CONNECTIONS
    early.close()
    for each in accepted:
        assert each.recv(1) == b"", "what nobody wanted is given up"
        each.close()


def test_the_loop_is_handed_what_was_begun(listener: socket.socket) -> None:
    """A second handshake beside the first would save nothing."""
    port = listener.getsockname()[1]
    early = EarlyConnections("127.0.0.1", port)
    accepted = [listener.accept()[0] for _ in range(EARLY_CONNECTIONS)]
    peers = {each.getpeername() for each in accepted}

    with connect(early, port) as ours:
        ours.setblocking(True)
        ours.sendall(b"x")
        assert ours.getsockname() in peers

    early.close()
    for each in accepted:
        each.close()


def test_when_all_are_taken_new_ones_are_opened(listener: socket.socket) -> None:
    """Sixty closes at once need more than were begun."""
    port = listener.getsockname()[1]
    early = EarlyConnections("127.0.0.1", port)
    early.addresses()
    taken = [connect(early, port) for _ in range(EARLY_CONNECTIONS + 2)]

    assert len({each.getsockname() for each in taken}) == EARLY_CONNECTIONS + 2
    for each in taken:
        each.close()


def test_an_old_connection_is_not_used(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever thinks for a minute at the prompt must not start with a dead connection."""
    port = listener.getsockname()[1]
    early = EarlyConnections("127.0.0.1", port)
    accepted = [listener.accept()[0] for _ in range(EARLY_CONNECTIONS)]
    began = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: began + startup.AGE_MAX_S + 1)

    with make_socket([early], address_info(port)) as ours:
        assert type(ours) is socket.socket

    early.close()
    for each in accepted:
        each.close()


def test_a_refused_connection_is_refused_as_ever(listener: socket.socket) -> None:
    """That nothing listens must be known as such: it proves that nothing was sent."""
    port = listener.getsockname()[1]
    listener.close()
    early = EarlyConnections("127.0.0.1", port)
    early.addresses()

    for _ in range(EARLY_CONNECTIONS + 1):
        with pytest.raises(ConnectionRefusedError):
            connect(early, port)


def test_the_name_is_looked_up_once(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up may take as long as the first, and name another address."""
    port = listener.getsockname()[1]
    asked = []
    real = socket.getaddrinfo

    def noted(host: str, *rest: Any, **named: Any) -> Any:
        asked.append(threading.current_thread().name)
        return real("127.0.0.1", *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    early = EarlyConnections("venue.test", port)

    async def resolve() -> list[str]:
        found = await make_resolver([early]).resolve("venue.test", port)
        return [each["host"] for each in found]

    assert asyncio.run(resolve()) == ["127.0.0.1"]
    assert asked == ["early connections"]
    early.close()


def test_a_failed_look_up_leaves_the_answer_to_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is the one that is translated and told."""

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    early = EarlyConnections("venue.test", 443)

    async def resolve() -> None:
        await make_resolver([early]).resolve("venue.test", 443)

    with pytest.raises(socket.gaierror):
        asyncio.run(resolve())


def test_the_program_shakes_hands_while_it_imports(running: Program) -> None:
    """The import of aiohttp waits here for a connection that stands: there must be one."""
    port = int(running.server.url.rpartition(":")[2])
    running.hook(
        f"""
        import builtins, os, time
        original = builtins.__import__
        def noticed(name, *rest, **named):
            if name == "aiohttp":
                builtins.__import__ = original
                until = time.monotonic() + 20
                while not any(
                    line.split()[3] == "01" for line in list(open("/proc/self/net/tcp"))[1:]
                    if line.split()[2].endswith(":{port:04X}")
                ):
                    if time.monotonic() > until:
                        os._exit(97)
            return original(name, *rest, **named)
        builtins.__import__ = noticed
        """
    )

    ended = running.run()

    assert ended.code == 0, ended.stderr
    assert running.is_flat


def test_a_look_up_that_fails_in_an_unknown_way_is_over_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever waits for it would wait until the deadline."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError("embedded null character")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    early = EarlyConnections("venue.example", 443)

    assert early.addresses() == ()
