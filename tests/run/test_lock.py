"""The lock keeps a second run away and can never disarm the switch."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from liqctl.run import is_running
from liqctl.run.lock import (
    Acquired,
    Blocked,
    Holder,
    acquire_lock,
    lock_identity,
    read_lock,
    release,
)

_ROOT = Path(__file__).parents[2]
_NOW = 1_000.0
_IDENTITY = "testnet-0123"
_HOLD = """
import sys
from pathlib import Path
from liqctl.run.lock import Holder, acquire_lock
holder = Holder(correlation_id="theirs", pid=7, host="h", user="u", started_at="t",
                deadline_at=1005.0, log_path="/l", environment="testnet")
found = acquire_lock("testnet-0123", holder, fallback_dir=Path(sys.argv[1]), now=1000.0)
print(type(found).__name__, flush=True)
sys.stdin.read(1)
"""


def _holder(correlation_id: str = "ours", deadline_at: float = 1_005.0) -> Holder:
    return Holder(
        correlation_id=correlation_id,
        pid=os.getpid(),
        host="host",
        user="user",
        started_at="2026-01-02T10:30:00.000000Z",
        deadline_at=deadline_at,
        log_path="/logs/audit.jsonl",
        environment="testnet",
    )


def _text(**changes: object) -> bytes:
    return json.dumps({**_holder("theirs")._asdict(), **changes}).encode() + b"\n"


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the state directory of this test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def _acquire(holder: Holder, logs: Path, now: float = _NOW) -> Acquired | Blocked:
    return acquire_lock(_IDENTITY, holder, fallback_dir=logs, now=now)


def _taken(holder: Holder, logs: Path, now: float = _NOW) -> Acquired:
    found = _acquire(holder, logs, now)
    assert isinstance(found, Acquired)
    return found


def test_one_key_environment_and_host_share_one_lock() -> None:
    """Two runs of one account must meet, two accounts must not."""
    first = lock_identity(environment="testnet", key_fingerprint="ab", base_url="https://x/")
    assert first == lock_identity(environment="testnet", key_fingerprint="ab", base_url="https://X")
    assert first != lock_identity(environment="testnet", key_fingerprint="ac", base_url="https://x")
    assert first != lock_identity(
        environment="production", key_fingerprint="ab", base_url="https://x"
    )


def test_a_second_run_is_blocked_and_told_by_whom(tmp_path: Path) -> None:
    """Exit 5 names the run in progress."""
    first = _taken(_holder("first"), tmp_path)

    assert first.fd is not None
    assert (first.previous, first.overrun, first.unlocked_because) == (None, None, None)
    assert _acquire(_holder("second"), tmp_path) == Blocked(holder=_holder("first"))
    release(first)


def test_a_released_lock_leaves_no_trace(tmp_path: Path, state_home: Path) -> None:
    """A text that stays behind means a run that died."""
    release(_taken(_holder("first"), tmp_path))
    second = _taken(_holder("second"), tmp_path)

    assert second.previous is None
    assert (state_home / "liqctl").stat().st_mode & 0o777 == 0o700
    release(second)


def test_a_killed_run_blocks_nobody_and_is_found(tmp_path: Path) -> None:
    """The kernel lets go for the dead; the text tells the next run whom to declare abandoned."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "Acquired\n"
        blocked = _acquire(_holder(), tmp_path)
        seen = read_lock(_IDENTITY, fallback_dir=tmp_path)
        other.kill()

    assert isinstance(blocked, Blocked)
    assert seen == blocked
    taken = _taken(_holder(), tmp_path)
    assert taken.previous is not None
    assert taken.previous.correlation_id == "theirs"
    release(taken)


def test_a_holder_past_its_deadline_is_passed_over(tmp_path: Path) -> None:
    """A hung run must not keep the account from being closed."""
    first = _taken(_holder("hung", deadline_at=1_000.0), tmp_path)

    assert isinstance(_acquire(_holder(), tmp_path, now=1_000.9), Blocked)
    passed = _taken(_holder(), tmp_path, now=1_001.1)
    assert passed.overrun == _holder("hung", deadline_at=1_000.0)
    assert passed.fd is None
    release(passed)
    assert read_lock(_IDENTITY, fallback_dir=tmp_path) is not None
    release(first)


@pytest.mark.parametrize(
    ("text", "age_s", "is_blocked"),
    [
        (b"", 30.9, True),
        (b"", 31.1, False),
        (b"", 86_400.0, False),
        (b"", -0.9, True),
        (b"", -86_400.0, False),
        (_text(deadline_at=1e11), 30.9, True),
        (_text(deadline_at=1e11), 31.1, False),
        (_text(deadline_at=1_005.0), 86_400.0, False),
        (_text(deadline_at=1_005.0), -86_400.0, False),
    ],
)
def test_no_text_bars_for_longer_than_a_run_can_take(
    tmp_path: Path, state_home: Path, text: bytes, age_s: float, is_blocked: bool
) -> None:
    """Whoever sits on the lock, by accident or not, must not disarm the switch."""
    (state_home / "liqctl").mkdir(parents=True)
    path = state_home / "liqctl" / f"{_IDENTITY}.lock"
    path.write_bytes(text)
    os.utime(path, (_NOW - age_s, _NOW - age_s))

    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = _acquire(_holder(), tmp_path)

    assert isinstance(found, Blocked) is is_blocked
    if isinstance(found, Acquired):
        assert found.fd is None
        assert found.unlocked_because == "its holder has overrun its deadline"


def test_a_holder_that_writes_its_text_in_a_moment_is_waited_for(
    tmp_path: Path, state_home: Path
) -> None:
    """Between the lock and the text stands the old file of the run before."""
    (state_home / "liqctl").mkdir(parents=True)
    path = state_home / "liqctl" / f"{_IDENTITY}.lock"
    path.touch()
    os.utime(path, (_NOW - 86_400.0, _NOW - 86_400.0))

    with path.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def write() -> None:
            held.write(_text(deadline_at=1_005.0))
            held.flush()
            os.utime(path, (_NOW, _NOW))

        writing = threading.Timer(0.01, write)
        writing.start()
        found = _acquire(_holder(), tmp_path)
        writing.join()

    assert isinstance(found, Blocked)
    assert found.holder is not None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]\n",
        b"\xff\xfe\n",
        b"[" * 5000 + b"\n",
        b"{}\n",
        b"x" * 100_000,
        json.dumps({**_holder()._asdict(), "pid": "1"}).encode() + b"\n",
        json.dumps({**_holder()._asdict(), "pid": -1}).encode() + b"\n",
        json.dumps({**_holder()._asdict(), "deadline_at": None}).encode() + b"\n",
        json.dumps({**_holder()._asdict(), "deadline_at": float("nan")}).encode() + b"\n",
        json.dumps({**_holder()._asdict(), "user": "u" * 2000}).encode() + b"\n",
        json.dumps(_holder()._asdict()).encode(),
    ],
)
def test_hostile_text_is_an_unknown_holder(tmp_path: Path, state_home: Path, text: bytes) -> None:
    """Anybody of our user can write there; it must neither crash nor mislead us."""
    (state_home / "liqctl").mkdir(parents=True)
    path = state_home / "liqctl" / f"{_IDENTITY}.lock"
    path.write_bytes(text)
    os.utime(path, (_NOW, _NOW))

    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert _acquire(_holder(), tmp_path) == Blocked(holder=None)
        assert read_lock(_IDENTITY, fallback_dir=tmp_path) == Blocked(holder=None)
    taken = _taken(_holder(), tmp_path)
    assert taken.previous is None
    release(taken)


@pytest.mark.parametrize("planted", ["symlink", "fifo", "directory", "hard link"])
def test_what_is_planted_in_place_of_the_file_is_not_used(
    tmp_path: Path, state_home: Path, planted: str
) -> None:
    """A planted object neither redirects our writing nor blocks the run."""
    (state_home / "liqctl").mkdir(parents=True)
    path = state_home / "liqctl" / f"{_IDENTITY}.lock"
    victim = tmp_path / "victim"
    victim.write_text("mine")
    match planted:
        case "symlink":
            path.symlink_to(victim)
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case _:
            os.link(victim, path)
    taken = _taken(_holder(), tmp_path)

    assert taken.fd is not None
    assert not os.path.samestat(os.fstat(taken.fd), path.lstat())
    assert victim.read_text() == "mine"
    release(taken)


def test_where_nothing_can_be_written_the_run_goes_on_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch works first; it says that nothing keeps others away."""
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setattr("liqctl.run.lock.state_folders", lambda: (blocker / "a",))

    taken = _taken(_holder(), blocker / "b")
    assert taken.fd is None
    assert taken.unlocked_because == f"{blocker / 'b'}: Not a directory"
    release(taken)


def test_the_lock_is_found_without_any_environment(tmp_path: Path) -> None:
    """`env -i` and cron have no HOME: the account's own entry decides."""
    program = "from liqctl.run import state_folders\nprint(*state_folders(), sep='\\n')\n"
    places = subprocess.run(
        [sys.executable, "-c", program],
        cwd=_ROOT,
        env={},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert places[0].startswith("/")
    assert places[0].endswith("/.local/state/liqctl")
    assert places[1:] == [f"/tmp/liqctl-{os.geteuid()}"]


def test_status_that_looks_on_does_not_block_a_run(tmp_path: Path) -> None:
    """Looking takes the lock for an instant; a liquidation tries again."""
    release(_taken(_holder(), tmp_path))

    for _ in range(50):
        read_lock(_IDENTITY, fallback_dir=tmp_path)
        release(_taken(_holder(), tmp_path))
    assert read_lock(_IDENTITY, fallback_dir=tmp_path) is None


def test_a_living_process_is_told_from_a_dead_one() -> None:
    """`status` shows whether the pid in the text still runs."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()

    assert is_running(os.getpid())
    assert not is_running(ended.pid)
    assert not is_running(0)
    assert not is_running(2**40)
