"""Kept settings: found by all they were made from, and passed over when anything is odd."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import liqctl
from liqctl.run import state_folders
from liqctl.settings import kept
from liqctl.settings.values import Settings
from liqctl.trail.durability import HelperThread, Ticket

PATIENCE_S = 10.0

_TEXT: Final = """liquidation: {max_retries: 4}
exchange: {stream_url: "wss://demo-fstream.binance.com"}
arm:
  heartbeat_file: /run/bot/alive
  countdown_seconds: 120
  guards:
    - {rule: max_drawdown, limit: 0.1, readings: 2}
    - {rule: max_position_notional, limit: 1000, symbols: ["BTC/USDT:USDT"]}
"""


class Place:
    """A settings file and the state folder of one user."""

    def __init__(self, folder: Path) -> None:
        """Write a file that is valid."""
        self.file = folder / "testnet.yaml"
        self.file.write_text(_TEXT)
        self.folder = folder / "state" / "liqctl" / "settings"

    def load(self, *symbols: str, may_be_kept: bool = True, **environ: str) -> Settings:
        """Load as `liquidate` does."""
        return kept.load_settings(
            environment="testnet",
            config_file=self.file,
            flags={"liquidation.symbols": list(symbols)} if symbols else {},
            environ=environ,
            may_be_kept=may_be_kept,
        )

    def files(self, count: int) -> list[Path]:
        """Wait until so many are kept; return them."""
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:
            found = sorted(self.folder.glob("*")) if self.folder.exists() else []
            if len(found) == count and not any("." in each.name for each in found):
                return found
            time.sleep(0.005)
        raise AssertionError(f"not {count} kept")

    def mark(self) -> Path:
        """Give the one kept file a value that no reader would find; return it."""
        (path,) = self.files(1)
        _, _, text = path.read_bytes().partition(b"\n")
        document = json.loads(text)
        document["liquidation"]["timeout_seconds"] = 7.0
        text = json.dumps(document).encode()
        path.write_bytes(kept._seal(path.name, text) + b"\n" + text)
        return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Return a place with nothing kept.

    A thread that writes finds its folder when it gets to it: each is waited for, so that none
    writes into the folder of the next test.
    """
    tickets = []

    class WaitedFor(HelperThread):
        def call(self, function: Callable[[], object]) -> Ticket:
            tickets.append(super().call(function))
            return tickets[-1]

    for thread in threading.enumerate():
        if thread.name == "kept settings":
            thread.join(PATIENCE_S)
    monkeypatch.setattr(kept, "HelperThread", WaitedFor)
    yield Place(tmp_path)
    for ticket in tickets:
        ticket.wait(PATIENCE_S)


def test_the_same_input_is_taken_as_it_was_kept(place: Place) -> None:
    """Whole values are equal, sources and file too."""
    read = place.load()
    place.files(1)

    assert place.load() == read
    place.mark()
    assert place.load().liquidation.timeout_seconds == 7.0
    assert place.load(may_be_kept=False).liquidation.timeout_seconds == 5.0


@pytest.mark.parametrize("change", ["the bytes", "the path", "liqctl", "python"])
def test_another_input_is_read_anew(
    change: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was valid for another file or program says nothing of this one."""
    place.load()
    place.mark()

    if change == "the bytes":
        place.file.write_text("liquidation: {max_retries: 5}\n")
    elif change == "the path":
        place.file = place.file.rename(place.file.with_name("other.yaml"))
    elif change == "liqctl":
        monkeypatch.setattr(liqctl, "__version__", "9")
    else:
        monkeypatch.setattr(sys, "version", "3.99")

    assert place.load().liquidation.timeout_seconds == 5.0


def test_variables_and_flags_are_part_of_the_input_and_keys_are_not(place: Place) -> None:
    """A new key must not cost the next run its start, nor stand behind a hash."""
    place.load()
    place.mark()

    assert place.load(LIQCTL_API_KEY="k", OTHER="x").liquidation.timeout_seconds == 7.0
    assert place.load(LIQCTL_ALLOW_HOST="h").liquidation.timeout_seconds == 5.0
    assert place.load("BTCUSDT").liquidation.timeout_seconds == 5.0


def _move(path: Path) -> Path:
    return path.rename(path.with_name("elsewhere"))


ODD: Final[dict[str, Callable[[Path], object]]] = {
    "a bit": lambda path: path.write_bytes(path.read_bytes().replace(b"7.0", b"8.0")),
    "the end": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "all": lambda path: path.write_bytes(b""),
    "open to others": lambda path: path.chmod(0o644),
    "open folder": lambda path: path.parent.chmod(0o755),
    "a link": lambda path: path.symlink_to(_move(path)),
    "two names": lambda path: path.with_name("elsewhere").hardlink_to(path),
    "a pipe": lambda path: os.mkfifo(_move(path).with_name(path.name)),
    "another's": lambda path: path.write_bytes(kept._seal("0" * 64, b"{}") + b"\n{}"),
}


@pytest.mark.parametrize("how", ODD)
def test_a_kept_file_that_is_odd_is_passed_over(how: str, place: Place) -> None:
    """Whatever stands there, the file of the operator decides."""
    place.load()
    ODD[how](place.mark())

    assert place.load().liquidation.timeout_seconds == 5.0


def test_what_is_kept_is_private_and_holds_no_secret(place: Place) -> None:
    """State folders end in backups."""
    key = "Ab0" * 21 + "x"
    place.load(LIQCTL_API_KEY=key, LIQCTL_API_SECRET=key)
    (path,) = place.files(1)
    place.load(key, may_be_kept=False)  # a key pasted as a symbol
    time.sleep(0.1)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert place.files(1) == [path]
    assert key not in path.read_text()


def test_only_so_many_are_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that names another symbol each time must not fill a disk."""
    monkeypatch.setattr(kept, "_FILES_MAX", 2)
    for number in range(4):
        place.load(f"S{number}")
        place.files(min(number + 1, 2))


def test_a_folder_that_cannot_be_written_changes_nothing(place: Place, tmp_path: Path) -> None:
    """The state folder is a comfort, no condition."""
    (tmp_path / "state").write_text("a file")

    assert place.load().liquidation.max_retries == 4


def test_a_folder_that_hangs_is_not_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead mount would else disarm the switch."""
    free = threading.Event()

    def hang() -> tuple[Path, ...]:
        if threading.current_thread().name == "kept settings":
            free.wait(PATIENCE_S)
            return ()
        return state_folders()

    place.load()
    place.files(1)
    monkeypatch.setattr(kept, "state_folders", hang)
    began_at = time.monotonic()

    assert place.load().liquidation.max_retries == 4

    assert time.monotonic() - began_at < PATIENCE_S / 2
    free.set()


def _imported(folder: Path, *arguments: str) -> str:
    """Return what a command imported, as `-X importtime` tells it."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "liqctl", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=dict(os.environ) | {"PYTHONPATH": str(Path(liqctl.__file__).parent.parent)},
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_pydantic_settings_reads_for_every_command(tmp_path: Path) -> None:
    """One reader: what is kept only spares the second `liquidate` its price."""
    liquidate = ("liquidate", "--env", "simulator", "--dry-run")

    for arguments in (("validate", "--env", "simulator"), ("status", "--env", "simulator")):
        assert "pydantic_settings" in _imported(tmp_path, *arguments)
    assert "pydantic" not in _imported(tmp_path, *liquidate), "validate kept them"
    assert "pydantic_settings" in _imported(tmp_path, *liquidate, "--settle", "0"), "a first one"
    assert "pydantic" not in _imported(tmp_path, *liquidate, "--settle", "0")
