"""The latch: only a human removes it."""

import os
from pathlib import Path

import pytest

from liqctl.standby.latch import close_latch, latch_of, open_latch, stand_alone

NAME = "identity"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the first of two state folders of a test's own."""
    folders = (tmp_path / "state" / "liqctl", tmp_path / "home" / "liqctl")
    monkeypatch.setattr("liqctl.standby.latch.state_folders", lambda: folders)
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
    monkeypatch.setattr("liqctl.standby.latch.state_folders", lambda: blocked)
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
    monkeypatch.setattr("liqctl.standby.latch.state_folders", tuple)

    assert not close_latch(NAME, {}, tmp_path / "file" / "logs")
    assert stand_alone(NAME, tmp_path / "file" / "logs") == -1


def test_the_folder_of_somebody_else_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may make /tmp/liqctl-UID, and could keep an account from being armed for ever."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / f"{NAME}.latch").write_text("{}")
    monkeypatch.setattr("liqctl.standby.latch.state_folders", lambda: (foreign,))
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
