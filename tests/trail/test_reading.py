"""Reading finds the right lines from either end, and follows the file wherever it goes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from liqctl.kernel.errors import UsageError
from liqctl.trail.file import blocks, blocks_backwards, open_for_reading, parse_line
from liqctl.trail.reading import (
    Follower,
    LineFilter,
    all_lines,
    last_lines,
    parse_since,
    read_history,
)
from liqctl.trail.writer import AuditLogger


def _log(trail: AuditLogger, event_type: str, correlation_id: str, **details: object) -> None:
    trail.log_event(event_type=event_type, correlation_id=correlation_id, details=details)


def _read(path: Path, wanted: LineFilter, count: int) -> tuple[list[bytes], list[bytes]]:
    """Return the last wanted lines, and all of them."""
    fd = open_for_reading(path)
    size = path.stat().st_size
    return last_lines(fd, size, count, wanted), list(all_lines(fd, size, wanted))


def _numbers(lines: list[bytes]) -> list[object]:
    records = [parse_line(line) for line in lines]
    return [record.details["number"] for record in records if record]


@pytest.fixture
def trail(tmp_path: Path) -> AuditLogger:
    """Return a trail of several blocks: 3,000 lines of two runs."""
    made = AuditLogger(tmp_path)
    for number in range(3000):
        kind = "ORDER_REJECTED" if number % 100 == 7 else "ORDER_SENT"
        _log(made, kind, f"run_{number % 2}", number=number, padding="x" * 500)
    return made


def test_the_last_lines_are_read_from_the_end(trail: AuditLogger) -> None:
    """`audit tail` on a huge file costs one block."""
    last, everything = _read(trail.path, LineFilter(), 10)

    assert _numbers(last) == list(range(2990, 3000))
    assert _numbers(everything) == list(range(3000))


def test_one_name_finds_the_runs_of_several_accounts(tmp_path: Path) -> None:
    """`liquidate --all-accounts --correlation-id night` calls them night-ACCOUNT."""
    made = AuditLogger(tmp_path)
    made.accounts.update({"night-a": "a", "night-b": "b", "night-a-2": "c"})
    for number, name in enumerate(("night-a", "night-b", "night-a-2", "nightly", "night", "day")):
        _log(made, "ORDER_SENT", name, number=number)

    exactly, everything = (
        LineFilter(correlation_id="night", any_account=each) for each in (False, True)
    )
    assert _numbers(_read(made.path, exactly, 9)[0]) == [4]
    assert _numbers(_read(made.path, everything, 9)[0]) == [0, 1, 4]


def test_filters_look_through_all_blocks_in_order(trail: AuditLogger) -> None:
    """Backwards and forwards agree."""
    wanted = LineFilter(correlation_id="run_1", event_types=frozenset({"ORDER_REJECTED", "X"}))
    last, everything = _read(trail.path, wanted, 3)

    assert _numbers(last) == [2707, 2807, 2907]
    assert _numbers(everything) == list(range(7, 3000, 100))


def test_a_word_in_the_details_is_not_the_field(tmp_path: Path) -> None:
    """LIQUIDATION_BLOCKED names another run in its details."""
    trail = AuditLogger(tmp_path)
    trail.log_event(
        event_type="LIQUIDATION_BLOCKED",
        correlation_id="mine",
        details={"correlation_id": "theirs"},
    )

    assert _read(trail.path, LineFilter(correlation_id="theirs"), 10) == ([], [])


def test_since_compares_moments(tmp_path: Path) -> None:
    """Lines of before are left out, the exact moment is in."""
    moments = iter(range(1, 30))
    trail = AuditLogger(tmp_path, now=lambda: datetime(2026, 1, next(moments), tzinfo=UTC))
    for number in range(1, 10):
        _log(trail, "ORDER_SENT", "a", number=number)
    wanted = LineFilter(since="2026-01-08T00:00:00.000000Z")

    assert [_numbers(found) for found in _read(trail.path, wanted, 10)] == [[8, 9], [8, 9]]


def test_huge_and_binary_lines_are_passed_over(tmp_path: Path) -> None:
    """A line of 3 MB must not be held in memory, nor hide its neighbours."""
    trail = AuditLogger(tmp_path)
    _log(trail, "ORDER_SENT", "a", number=1)
    with trail.path.open("ab") as file:
        file.write(b"\xff" * 3_000_000 + b"\n\xfe\n")
    _log(trail, "ORDER_SENT", "a", number=2)
    fd, size = open_for_reading(trail.path), trail.path.stat().st_size

    forwards = b"\n".join(blocks(fd, 0, size)).split(b"\n")
    backwards = b"\n".join(reversed(list(blocks_backwards(fd, size)))).split(b"\n")
    assert _numbers(forwards) == _numbers(backwards) == [1, 2]
    assert max(map(len, forwards)) < 2_000_000


def test_following_goes_over_rotation_and_truncation(tmp_path: Path) -> None:
    """`audit tail -f` must not fall silent at midnight."""
    trail = AuditLogger(tmp_path)
    _log(trail, "ORDER_SENT", "a", number=1)
    follower = Follower(trail.path, open_for_reading(trail.path), trail.path.stat().st_size)
    assert follower.poll() == []

    _log(trail, "ORDER_SENT", "a", number=2)
    assert _numbers(follower.poll()) == [2]
    trail.path.rename(tmp_path / "audit.1")
    _log(trail, "ORDER_SENT", "a", number=3)
    assert _numbers(follower.poll()) == [3]
    _log(trail, "ORDER_SENT", "b", number=4)
    assert _numbers(follower.poll()) == [4]
    trail.path.write_bytes(b"")
    assert follower.poll() == []
    _log(trail, "ORDER_SENT", "b", number=5)
    assert _numbers(follower.poll()) == [5]
    follower.close()


def test_following_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    """A reader may look in the middle of a write."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"")
    follower = Follower(path, open_for_reading(path), 0)
    with path.open("ab", buffering=0) as file:
        file.write(b'{"half')
        assert follower.poll() == []
        file.write(b'": 1}\nnext\n')
        assert follower.poll() == [b'{"half": 1}', b"next"]
    follower.close()


@pytest.mark.parametrize("text", ["", "10", "m", "10 parsecs", "yesterday", "999999999d"])
def test_a_since_that_means_nothing_is_refused(text: str) -> None:
    """The message names what would do."""
    with pytest.raises(UsageError, match="30s, 10m, 2h, 7d"):
        parse_since(text, datetime(2026, 1, 2, tzinfo=UTC))


def test_history_counts_runs_from_the_trail_alone(tmp_path: Path) -> None:
    """`status` needs no key for what the trail can tell."""
    trail = AuditLogger(tmp_path, now=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    ends = ("COMPLETE", "COMPLETE", "PARTIAL", "FAILED", "ABANDONED")
    for number, end in enumerate(ends):
        _log(trail, "LIQUIDATION_START", f"run_{number}", pid=1, timeout_seconds=5.0, reason="why")
        _log(trail, "ORDER_SENT", f"run_{number}")
        _log(trail, f"LIQUIDATION_{end}", f"run_{number}", positions_closed=number)
    _log(trail, "LIQUIDATION_SKIPPED", "skipped")
    _log(trail, "LIQUIDATION_START", "by hand", test=True)
    _log(trail, "LIQUIDATION_FAILED", "by hand")
    _log(trail, "LIQUIDATION_START", "dead", pid=1, timeout_seconds=5.0)

    history = read_history(trail.path)
    assert history["metrics"] == {
        "execution_count": 6,
        "completed": 2,
        "partial": 1,
        "failed": 1,
        "skipped": 1,
        "abandoned": 1,
        "last_execution_time": "2026-01-02T00:00:00.000000Z",
        "last_state": "ABANDONED",
        "last_positions_closed": 4,
        "last_orders_cancelled": None,
        "last_duration_seconds": None,
    }
    assert history["last_run"] is not None
    assert history["last_run"]["reason"] == "why"
    assert [run.correlation_id for run in history["unfinished_runs"]] == ["dead"]


def test_a_trail_that_is_not_there_has_no_history(tmp_path: Path) -> None:
    """Before the first run `status` shows zeros, not an error."""
    assert read_history(tmp_path / "audit.jsonl")["metrics"]["execution_count"] == 0
