"""The trail keeps every event, whoever else writes and whatever the disk says."""

import asyncio
import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path

import pytest

from liqctl.kernel.errors import Secret
from liqctl.kernel.events import AuditEventType
from liqctl.trail.file import CUT_KEY, RECORD_MAX_BYTES, open_trail
from liqctl.trail.verify import verify
from liqctl.trail.writer import ORDERS_WAIT_MAX_S, AuditLogger
from tests.process.program import wait_until

_ROOT = Path(__file__).parents[2]
_WRITER = """
import sys
from liqctl.trail.writer import AuditLogger
trail = AuditLogger(sys.argv[1], environment="testnet")
print("ready", flush=True)
sys.stdin.read(1)
for number in range(int(sys.argv[3])):
    trail.log_event(
        event_type="ORDER_SENT",
        correlation_id=sys.argv[2],
        details={"number": number, "padding": "x" * (number * 7919 % int(sys.argv[4]))},
    )
print("complete" if trail.complete else trail.failure, flush=True)
"""


def _start(
    directory: Path, correlation_id: str, *, records: int, size: int, stderr: Path | None = None
) -> subprocess.Popen[str]:
    with (stderr or Path(os.devnull)).open("wb") as errors:
        return subprocess.Popen(
            [
                sys.executable,
                "-c",
                _WRITER,
                str(directory),
                correlation_id,
                *map(str, (records, size)),
            ],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def _let_go(writers: list[subprocess.Popen[str]]) -> None:
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("g")
        writer.stdin.flush()


def _log(trail: AuditLogger, correlation_id: str, **details: object) -> None:
    trail.log_event(event_type="ORDER_SENT", correlation_id=correlation_id, details=details)


def _records(trail: AuditLogger) -> list[dict[str, object]]:
    return [json.loads(line) for line in trail.path.read_bytes().split(b"\n") if line]


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[AuditLogger]:
    """Return a trail in a directory that does not exist yet."""
    made = AuditLogger(
        tmp_path / "logs",
        environment="testnet",
        now=lambda: datetime(2026, 1, 2, 10, 30, tzinfo=UTC),
    )
    yield made
    made.close()


def test_a_line_has_the_keys_of_the_contract_in_order(trail: AuditLogger) -> None:
    """Readers grep for `"event_type": "LIQUIDATION_START"`, so even the spaces count."""
    trail.log_event(
        event_type=AuditEventType.LIQUIDATION_START,
        correlation_id="liq_1",
        details={"quantity": Decimal("0.500"), "deadline": datetime(2026, 1, 2, tzinfo=UTC)},
    )

    assert trail.path.read_text() == (
        '{"timestamp": "2026-01-02T10:30:00.000000Z", "event_type": "LIQUIDATION_START", '
        '"correlation_id": "liq_1", "environment": "testnet", "seq": 1, "prev_hash": null, '
        '"details": {"quantity": "0.500", "deadline": "2026-01-02T00:00:00.000000Z"}}\n'
    )
    assert trail.path.stat().st_mode & 0o777 == 0o600
    assert trail.path.parent.stat().st_mode & 0o777 == 0o700


def test_each_line_hashes_its_runs_previous_line_and_the_first_the_last_standing(
    trail: AuditLogger,
) -> None:
    """This is the chain; it must hold with two runs interleaved."""
    for correlation_id in ("a", "a", "b", "a", "b"):
        _log(trail, correlation_id)

    lines = trail.path.read_bytes().splitlines()
    hashes = [hashlib.sha256(line).hexdigest() for line in lines]
    found = [(record["seq"], record["prev_hash"]) for record in _records(trail)]
    assert found == [(1, None), (2, hashes[0]), (1, hashes[1]), (3, hashes[1]), (2, hashes[2])]
    assert trail.head("a") == hashes[3]
    assert trail.head("b") == hashes[4]
    assert trail.head("unknown") is None


def test_the_chain_can_be_checked_with_sed_and_sha256sum(trail: AuditLogger) -> None:
    """The contract promises a check by hand."""
    _log(trail, "a", note="é ✓")
    _log(trail, "a")

    command = f"sed -n 1p {trail.path} | tr -d '\\n' | sha256sum"
    found = subprocess.run(["sh", "-c", command], capture_output=True, check=True, text=True)
    assert found.stdout.split()[0] == _records(trail)[1]["prev_hash"]


def test_sixteen_processes_lose_and_mix_nothing(tmp_path: Path) -> None:
    """Appends are one write each, so no line of one process stands inside another's.

    Who had to wait too long, as on a busy machine, tells it and has the rest on stderr.
    """
    count = 500
    errors = [tmp_path / f"stderr_{n}" for n in range(16)]
    writers = [
        _start(tmp_path, f"run_{n}", records=count, size=300, stderr=error)
        for n, error in enumerate(errors)
    ]
    _let_go(writers)

    answers = [writer.communicate()[0] for writer in writers]
    found = verify(tmp_path / "audit.jsonl")
    told = [error.read_text().splitlines() for error in errors]
    kept: dict[str, set[object]] = {f"run_{n}": set() for n in range(16)}
    for line in [*(tmp_path / "audit.jsonl").read_text().splitlines(), *itertools.chain(*told)]:
        if line.startswith("{"):
            record = json.loads(line)
            kept[record["correlation_id"]].add(record["details"]["number"])
    assert [answer == "complete\n" for answer in answers] == [not each for each in told]
    assert all(numbers == set(range(count)) for numbers in kept.values())
    assert (found.correlation_ids, found.breaks) == (16, ())
    assert found.records > 16 * count / 2


def test_processes_sharing_one_correlation_id_keep_one_chain(tmp_path: Path) -> None:
    """`--correlation-id drill` may run twice at once: each must see the other's lines."""
    writers = [_start(tmp_path, "drill", records=200, size=300) for _ in range(6)]
    _let_go(writers)
    for writer in writers:
        writer.communicate()

    found = verify(tmp_path / "audit.jsonl")
    assert (found.records, found.correlation_ids, found.breaks) == (1200, 1, ())


def test_a_storm_of_kills_leaves_a_trail_that_verifies(tmp_path: Path) -> None:
    """SIGKILL may tear a line; the next writer steps over it and nothing else is lost."""
    path = tmp_path / "audit.jsonl"
    for wave in range(3):
        writers = [
            _start(tmp_path, f"run_{wave}_{n}", records=100_000, size=7000) for n in range(4)
        ]
        _let_go(writers)
        while not path.exists() or path.stat().st_size < (wave + 1) * 3_000_000:
            assert all(writer.poll() is None for writer in writers)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.communicate()
    survivor = AuditLogger(tmp_path)
    _log(survivor, "survivor")

    found = verify(path, survivor.head("survivor"))
    assert found.breaks == ()
    assert found.head_found is True


@pytest.mark.parametrize("stump", [b'{"timestamp": "20', b"\xff\xfe", b"\0\0\0\0", b"{"])
def test_a_torn_last_line_is_kept_and_stepped_over(trail: AuditLogger, stump: bytes) -> None:
    """It is evidence of the crash, and must not swallow the next record."""
    _log(trail, "a")
    with trail.path.open("ab") as file:
        file.write(stump)
    _log(trail, "a", after="the crash")
    _log(trail, "b")

    lines = trail.path.read_bytes().split(b"\n")
    assert lines[1] == stump
    assert json.loads(lines[2])["torn_hash"] == hashlib.sha256(stump).hexdigest()
    found = verify(trail.path)
    assert (found.breaks, [torn.line for torn in found.torn], found.records) == ((), [2], 3)


def test_a_run_that_starts_after_a_torn_line_hashes_it(trail: AuditLogger) -> None:
    """So the stump is anchored, and tampering with it shows."""
    trail.path.parent.mkdir()
    trail.path.write_bytes(b'{"torn')
    trail.path.chmod(0o600)
    _log(trail, "a")

    assert json.loads(trail.path.read_bytes().split(b"\n")[1])["prev_hash"] == (
        hashlib.sha256(b'{"torn').hexdigest()
    )
    assert verify(trail.path).is_intact


def test_a_second_process_continues_the_same_correlation_id(trail: AuditLogger) -> None:
    """A name used twice must not begin at 1 again: seq counts within the id."""
    _log(trail, "drill")
    _log(trail, "drill")
    _log(AuditLogger(trail.path.parent), "drill")

    assert [record["seq"] for record in _records(trail)] == [1, 2, 3]
    assert verify(trail.path).is_intact


def test_a_dead_runs_chain_is_continued_from_far_back(trail: AuditLogger) -> None:
    """LIQUIDATION_ABANDONED must fit the chain of a run that died long ago."""
    _log(trail, "dead", symbol="BTCUSDT", client_order_id="liq_1")
    for number in range(400):
        _log(trail, "other", padding="x" * 6000, number=number)
    later = AuditLogger(trail.path.parent)

    found = asyncio.run(later.continue_run("dead", is_ours=False))
    assert found == ("ORDER_SENT", (("BTCUSDT", "liq_1"),))
    assert asyncio.run(later.continue_run("never", is_ours=False)) == (None, ())
    later.log_event(event_type="LIQUIDATION_ABANDONED", correlation_id="dead", details={})
    assert _records(trail)[-1]["seq"] == 2
    assert verify(trail.path).is_intact


def test_details_of_any_kind_fit_into_eight_kilobytes(trail: AuditLogger) -> None:
    """Too much is cut with a mark, never dropped; foreign objects show their type only."""
    cyclic: dict[str, object] = {}
    cyclic["self"] = cyclic
    _log(trail, "a", text="\u202e\n" * 50_000, symbols=["BTCUSDT"] * 5000, last="kept")
    _log(trail, "a", **{f"key{n}": "v" * 90 for n in range(500)})
    _log(trail, "a", key=Secret("hunter2"), odd=object(), nan=float("nan"), cyclic=cyclic)

    lines = trail.path.read_bytes().splitlines()
    first, second, third = (json.loads(line)["details"] for line in lines)
    assert max(map(len, lines)) < RECORD_MAX_BYTES
    assert first[CUT_KEY] > 30_000
    assert first["last"] == "kept"
    assert second[CUT_KEY] > 40_000
    assert (third["key"], third["odd"], third["nan"]) == ("<Secret>", "<object>", "nan")
    assert trail.path.read_bytes().isascii()
    assert verify(trail.path).is_intact


def test_a_member_of_an_enum_is_recorded_as_its_value(trail: AuditLogger) -> None:
    """The library's callers bring their own; one that stands for nothing is null."""
    which = Enum("which", {"NOTHING": None, "AMOUNT": Decimal("1.50"), "WORD": "a"})

    _log(trail, "a", **{each.name: each for each in which})

    assert _records(trail)[0]["details"] == {"NOTHING": None, "AMOUNT": "1.50", "WORD": "a"}


def test_threads_share_one_trail(trail: AuditLogger) -> None:
    """The watchdog writes the last record while the loop may be writing too."""

    def log(number: int) -> None:
        for _ in range(200):
            _log(trail, f"run_{number % 3}")

    threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert verify(trail.path).records == 1600
    assert verify(trail.path).is_intact


def test_a_run_stays_with_a_renamed_file_and_the_next_run_makes_a_new_one(
    trail: AuditLogger,
) -> None:
    """Rotation by rename splits no run, and a long-lived process does not log into the past."""
    _log(trail, "old")
    rotated = trail.path.rename(trail.path.with_suffix(".1"))
    _log(trail, "old")
    _log(trail, "new")

    assert verify(rotated).records == 2
    assert [record["prev_hash"] for record in _records(trail)] == [None]


@pytest.mark.parametrize("planted", ["symlink", "fifo", "hard link", "directory"])
def test_what_is_planted_at_the_path_is_refused(
    trail: AuditLogger, tmp_path: Path, planted: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The trail must not be led elsewhere, and a FIFO without a reader must not hang the switch."""
    trail.path.parent.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("")
    match planted:
        case "symlink":
            trail.path.symlink_to(victim)
        case "fifo":
            os.mkfifo(trail.path)
        case "hard link":
            os.link(victim, trail.path)
        case _:
            trail.path.mkdir()
    _log(trail, "a", canary=1)
    _log(trail, "a", canary=2)

    said = capfd.readouterr().err.splitlines()
    assert not trail.complete
    assert victim.read_text() == ""
    assert "cannot be written" in said[0]
    assert [json.loads(line)["details"]["canary"] for line in said[1:]] == [1, 2]


def test_a_file_that_others_may_write_is_closed_to_them(trail: AuditLogger) -> None:
    """Refusing it would lose the record of an emergency; the chain shows what was done before."""
    trail.path.parent.mkdir()
    trail.path.touch()
    trail.path.chmod(0o666)
    _log(trail, "a")

    assert trail.path.stat().st_mode & 0o777 == 0o644
    assert trail.complete


def test_a_full_disk_loses_nothing_but_the_events_that_came_meanwhile(tmp_path: Path) -> None:
    """A write cut short leaves a stump; what is written when there is room again is readable."""
    program = """
import resource, sys
from liqctl.trail.writer import AuditLogger
trail = AuditLogger(sys.argv[1])
def log(number):
    trail.log_event(event_type="ORDER_SENT", correlation_id="a", details={"number": number})
log(1)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (trail.path.stat().st_size + 100, hard))
log(2)
log(3)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log(4)
print(trail.complete)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    said = ended.stderr.splitlines()
    found = verify(tmp_path / "audit.jsonl")
    assert ended.stdout == "False\n"
    assert os.strerror(errno.EFBIG) in said[0]
    assert [json.loads(line)["details"]["number"] for line in said[1:]] == [2, 3]
    assert (found.records, found.torn_count, found.breaks) == (2, 1, ())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_that_cannot_be_written_marks_the_trail_incomplete(tmp_path: Path) -> None:
    """The liquidation goes on; exit 8 says so."""
    tmp_path.chmod(0o500)
    trail = AuditLogger(tmp_path / "logs")
    _log(trail, "a")
    tmp_path.chmod(0o700)

    assert not trail.complete


def test_a_file_in_place_of_the_directory_marks_the_trail_incomplete(tmp_path: Path) -> None:
    """Works for root too, unlike a read-only directory."""
    (tmp_path / "logs").write_text("")
    trail = AuditLogger(tmp_path / "logs")
    _log(trail, "a")

    assert not trail.complete
    assert trail.head("a") is None


def test_sync_returns_on_a_healthy_disk_and_without_a_file(trail: AuditLogger) -> None:
    """It is awaited before every wave of orders, so it must come back."""

    async def check() -> None:
        await trail.sync()
        await trail.drain()
        _log(trail, "a")
        await trail.sync()
        await trail.drain()
        await trail.drain()

    asyncio.run(check())

    assert trail.complete
    assert verify(trail.path).records == 1


def test_a_dying_disk_delays_a_sync_by_its_bound_only(
    trail: AuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync may block for ever; no file system here does, so the call itself is held up."""
    dying, answered = threading.Event(), threading.Event()

    def fdatasync(fd: int) -> None:
        dying.wait(60)
        answered.set()

    async def check() -> None:
        _log(trail, "a")
        async with asyncio.timeout(10):
            await trail.sync()
            await trail.sync()

    monkeypatch.setattr("os.fdatasync", fdatasync)
    asyncio.run(check())

    assert trail.failure == "the disk did not confirm in time"
    dying.set()
    assert answered.wait(60)


def test_a_slow_disk_holds_up_a_run_once_and_not_each_wave(
    trail: AuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty waves of 50 ms would be two seconds in which nothing is closed."""

    def fdatasync(fd: int) -> None:
        slow.wait(0.05)

    async def check() -> float:
        began_at = time.monotonic()
        for number in range(40):
            _log(trail, "a", number=number)
            await trail.sync()
        waited_s = time.monotonic() - began_at
        await trail.drain()
        return waited_s

    slow = threading.Event()
    monkeypatch.setattr("os.fdatasync", fdatasync)

    assert asyncio.run(check()) < 20 * ORDERS_WAIT_MAX_S
    assert trail.complete
    assert verify(trail.path).records == 40


def test_a_wave_is_written_in_one_step_and_never_by_the_loop(
    trail: AuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred orders cost one append, and the loop that sends them touches no file."""
    writers: list[str] = []
    write = os.write

    def noticed(fd: int, block: bytes) -> int:
        if block.startswith(b'{"timestamp"'):
            writers.append(threading.current_thread().name)
        return write(fd, block)

    async def check() -> None:
        for number in range(300):
            _log(trail, f"run_{number % 3}", number=number)
        await trail.drain()

    monkeypatch.setattr("os.write", noticed)
    asyncio.run(check())

    assert set(writers) == {"audit"}
    assert len(writers) <= 10
    assert [record["details"] for record in _records(trail)] == [{"number": n} for n in range(300)]
    assert verify(trail.path).is_intact


def test_a_disk_that_takes_nothing_leaves_the_events_on_stderr(
    trail: AuditLogger, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In order and once; the file goes on as one chain when the disk comes back."""
    dying = threading.Event()
    write = os.write

    def hung(fd: int, block: bytes) -> int:
        if threading.current_thread().name == "audit":
            dying.wait(60)
        return write(fd, block)

    async def check() -> None:
        for number in range(3):
            _log(trail, "a", number=number)
            await trail.sync()
        await trail.drain()
        _log(trail, "a", number=3)
        await trail.drain()

    monkeypatch.setattr("os.write", hung)
    asyncio.run(check())
    said = capfd.readouterr().err.splitlines()
    dying.set()
    numbers = itertools.count(4)

    def goes_on() -> bool:
        number = next(numbers)
        _log(trail, "a", number=number)
        return [record["details"] for record in _records(trail)][-1:] == [{"number": number}]

    wait_until(goes_on, "the disk came back and took nothing")

    assert trail.failure == "the disk did not answer in time"
    assert [json.loads(line)["details"]["number"] for line in said[1:]] == [0, 1, 2, 3]
    assert verify(trail.path).is_intact


def test_a_program_that_ends_in_its_loop_leaves_its_events(tmp_path: Path) -> None:
    """`asyncio.run` does not wait for a daemon thread."""
    program = """
import asyncio, sys
from liqctl import AuditLogger
async def main():
    trail = AuditLogger(sys.argv[1])
    for number in range(50):
        trail.log_event(event_type="ORDER_SENT", correlation_id="a", details={"number": number})
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=_ROOT, check=True)

    assert verify(tmp_path / "audit.jsonl").records == 50


@pytest.mark.parametrize("room", [1, 100, 5_000, 20_000, 20_001])
def test_a_disk_that_fills_up_within_a_wave_keeps_what_fitted(tmp_path: Path, room: int) -> None:
    """Whole lines stay, one stump is stepped over, the rest is on stderr in order."""
    program = """
import asyncio, resource, sys
from liqctl import AuditLogger
trail = AuditLogger(sys.argv[1])
def log(number):
    trail.log_event(event_type="ORDER_SENT", correlation_id=f"run_{number % 2}", details={"n": number})
async def main():
    log(0)
    await trail.drain()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    size = trail.path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + int(sys.argv[2]), hard))
    for number in range(1, 101):
        log(number)
    await trail.drain()
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    log(101)
    await trail.drain()
asyncio.run(main())
"""  # noqa: E501 - a program
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(room)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    lines = (tmp_path / "audit.jsonl").read_bytes().split(b"\n")
    written = []
    for line in lines:
        with contextlib.suppress(ValueError):
            written.append(json.loads(line)["details"]["n"])
    aside = [json.loads(line)["details"]["n"] for line in ended.stderr.splitlines()[1:]]
    assert written[:-1] + aside == list(range(101))
    assert written[-1] == 101
    found = verify(tmp_path / "audit.jsonl")
    assert found.breaks == ()
    assert found.torn_count <= 1


def test_a_sync_that_failed_marks_the_trail_incomplete_for_good(
    trail: AuditLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells once of a lost write; a later success proves nothing."""

    def fdatasync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def check() -> None:
        _log(trail, "a")
        with monkeypatch.context() as broken:
            broken.setattr("os.fdatasync", fdatasync)
            await trail.sync()
        await trail.sync()

    asyncio.run(check())

    assert trail.failure == "Input/output error"


def test_a_writer_waits_for_nobody_who_sits_on_the_lock(trail: AuditLogger) -> None:
    """The lock is a courtesy: 50 ms once, then not asked for again."""
    import fcntl

    _log(trail, "a")
    sitter = open_trail(trail.path)
    fcntl.flock(sitter.fd, fcntl.LOCK_EX)
    for _ in range(50):
        _log(trail, "a")
    sitter.close()

    assert trail.complete
    assert verify(trail.path).records == 51


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_jq_and_grep_find_events(trail: AuditLogger) -> None:
    """Runbooks are written with these."""
    _log(trail, "a")
    trail.log_event(event_type="ORDER_REJECTED", correlation_id="a", details={"code": -2019})

    query = ["jq", "-c", 'select(.event_type == "ORDER_REJECTED") | .details', str(trail.path)]
    grep = ["grep", "-c", '"event_type": "ORDER_REJECTED"', str(trail.path)]
    assert subprocess.check_output(query) == b'{"code":-2019}\n'
    assert subprocess.check_output(grep) == b"1\n"
