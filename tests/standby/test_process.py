"""The latch: only a human removes it; and what a service manager is told, over a socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from liqctl.standby.process import (
    close_latch,
    latch_of,
    notify,
    notify_status,
    open_latch,
    show_life,
    stand_alone,
)

NAME = "identity"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the first of two state folders of a test's own."""
    folders = (tmp_path / "state" / "liqctl", tmp_path / "home" / "liqctl")
    monkeypatch.setattr("liqctl.standby.process.state_folders", lambda: folders)
    return folders[0]


def test_a_latch_keeps_what_tripped_until_it_is_opened(state: Path, tmp_path: Path) -> None:
    """Written, read, removed; removing what is not there is no error."""
    assert latch_of(NAME, tmp_path) is None
    assert close_latch(NAME, {"by": "SIGNAL", "why": "SIGUSR1"}, tmp_path)
    found = latch_of(NAME, tmp_path)
    assert found is not None
    assert found["why"] == "SIGUSR1"
    assert (state / f"{NAME}.latch").stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        open_latch(NAME, tmp_path)
    assert latch_of(NAME, tmp_path) is None


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"\xff", b"[" * 60_000, b"x" * 1_000_000])
def test_a_latch_that_cannot_be_read_is_one(state: Path, tmp_path: Path, text: bytes) -> None:
    """A disk that was full when it tripped must not re-arm it."""
    state.mkdir(parents=True)
    (state / f"{NAME}.latch").write_bytes(text)

    assert latch_of(NAME, tmp_path) == {}


def test_what_is_no_file_is_a_latch_and_blocks_nothing(state: Path, tmp_path: Path) -> None:
    """A pipe would be waited for for ever, a link may lead anywhere; a folder is neither."""
    state.mkdir(parents=True)
    path = state / f"{NAME}.latch"
    os.mkfifo(path)
    assert latch_of(NAME, tmp_path) == {}
    path.unlink()
    path.symlink_to("/dev/zero")
    assert latch_of(NAME, tmp_path) == {}
    path.unlink()
    path.mkdir()
    assert latch_of(NAME, tmp_path) == {}


def test_a_latch_is_not_written_through_a_link(state: Path, tmp_path: Path) -> None:
    """It goes to the next folder; what the link leads to stays as it is."""
    state.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (state / f"{NAME}.latch").symlink_to(victim)

    assert close_latch(NAME, {"why": "x"}, tmp_path)
    assert victim.read_text() == "mine"
    assert latch_of(NAME, tmp_path) is not None


def test_without_a_state_folder_the_latch_lies_beside_the_trail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where the folders would be."""
    (tmp_path / "file").touch()
    blocked = (tmp_path / "file" / "liqctl",)
    monkeypatch.setattr("liqctl.standby.process.state_folders", lambda: blocked)
    logs = tmp_path / "logs"

    assert latch_of(NAME, logs) is None
    assert close_latch(NAME, {"why": "x"}, logs)
    assert (logs / f"{NAME}.latch").exists()
    assert latch_of(NAME, logs) is not None
    open_latch(NAME, logs)
    assert latch_of(NAME, logs) is None


def test_nowhere_to_write_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing keeps a restart from arming again then."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("liqctl.standby.process.state_folders", tuple)

    assert not close_latch(NAME, {}, tmp_path / "file" / "logs")
    assert stand_alone(NAME, tmp_path / "file" / "logs") == -1


def test_the_folder_of_somebody_else_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may make /tmp/liqctl-UID, and could keep an account from being armed for ever."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / f"{NAME}.latch").write_text("{}")
    monkeypatch.setattr("liqctl.standby.process.state_folders", lambda: (foreign,))
    monkeypatch.setattr(os, "geteuid", lambda: foreign.stat().st_uid + 1)

    assert latch_of(NAME, tmp_path / "logs") is None
    open_latch(NAME, tmp_path / "logs")
    assert (foreign / f"{NAME}.latch").exists()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """As long as the first one lives."""
    first = stand_alone(NAME, tmp_path)
    assert first is not None
    assert stand_alone(NAME, tmp_path) is None
    os.close(first)
    again = stand_alone(NAME, tmp_path)
    assert again is not None
    os.close(again)


# The service manager.


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
