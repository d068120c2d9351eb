"""What a service manager is told, over a datagram socket as its own."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from liqctl.standby.systemd import notify, notify_status, show_life


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Yield the service manager's end."""
    name = str(tmp_path / "s")[-90:] if request.param == "path" else f"@liqctl-{os.getpid()}"
    if request.param == "path":
        monkeypatch.chdir(tmp_path)
        name = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        sock.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield sock


def test_it_is_told_that_the_process_is_ready_and_how_it_is(manager: socket.socket) -> None:
    """One message; what a venue wrote is kept on its line."""
    notify_status("degraded: stream\nSTOPPING=1", "READY=1")

    assert manager.recv(1000) == b"READY=1\nSTATUS=degraded: stream STOPPING=1"


def test_it_is_told_again_and_again_that_the_process_lives(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two signs of life may be lost."""
    monkeypatch.setenv("WATCHDOG_USEC", "100000")

    async def main() -> None:
        task = asyncio.create_task(show_life())
        await asyncio.sleep(0.15)
        task.cancel()

    asyncio.run(main())
    assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize("text", ["", "0", "x", "-5"])
def test_without_a_watchdog_there_is_nothing_to_tell(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It returns, and does not spin."""
    monkeypatch.setenv("WATCHDOG_USEC", text)

    asyncio.run(asyncio.wait_for(show_life(), 1))


@pytest.mark.parametrize("name", ["", "relative", "/nowhere/at/all", "/" + "x" * 200])
def test_a_manager_that_is_not_there_stops_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never raises, never blocks."""
    monkeypatch.setenv("NOTIFY_SOCKET", name)

    notify("READY=1")
