"""`liqctl.log` tells people what happened, and never stands in the way."""

import stat
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from liqctl.trail.durability import LOG_NAME, HelperThread, LogFile, describe_event
from tests.process.program import wait_until

PATIENCE_S = 20.0


def test_lines_are_kept_until_they_are_flushed(tmp_path: Path) -> None:
    """A run of a thousand events must not pay for a thousand writes."""
    log = LogFile(tmp_path)
    log.write("liq_1", "ORDER_SENT symbol=BTCUSDT")
    log.write("liq_1", "ORDER_PLACED symbol=BTCUSDT")
    before = (tmp_path / LOG_NAME).exists()

    log.flush()

    lines = (tmp_path / LOG_NAME).read_text().splitlines()
    assert not before
    assert [line.split("Z ", 1)[1] for line in lines] == [
        "liq_1 ORDER_SENT symbol=BTCUSDT",
        "liq_1 ORDER_PLACED symbol=BTCUSDT",
    ]
    assert stat.S_IMODE((tmp_path / LOG_NAME).stat().st_mode) == 0o600


def test_many_lines_are_written_without_being_asked(tmp_path: Path) -> None:
    """Memory is bounded too."""
    log = LogFile(tmp_path)
    for number in range(256):
        log.write("liq_1", str(number))

    written = tmp_path / LOG_NAME
    wait_until(
        lambda: written.exists() and len(written.read_text().splitlines()) == 256, "not written"
    )


def test_a_link_or_a_missing_folder_costs_the_log_and_nothing_else(tmp_path: Path) -> None:
    """A planted link must not make the program write somewhere else."""
    target = tmp_path / "elsewhere"
    target.write_text("")
    (tmp_path / LOG_NAME).symlink_to(target)
    for folder in (tmp_path, tmp_path / "missing"):
        log = LogFile(folder)
        log.write("liq_1", "ORDER_SENT")
        log.flush()

    assert target.read_text() == ""


def test_a_second_name_of_anothers_file_is_not_written_to(tmp_path: Path) -> None:
    """Who may write into the folder could let root append to any file of the same disk."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / LOG_NAME).hardlink_to(victim)
    log = LogFile(tmp_path)

    log.write("liq_1", "lost")
    log.flush()

    assert victim.read_text() == "precious"


def test_an_event_is_one_line_of_plain_text() -> None:
    """Words of the venue cannot start a line of their own."""
    line = describe_event(
        "ORDER_REJECTED", {"message": "a\nb\x1b[2J", "price": Decimal(1), "x": None}
    )

    assert line.isprintable()
    assert "\n" not in line
    assert "x=" not in line


def test_the_log_is_rotated_and_three_older_ones_are_kept(tmp_path: Path) -> None:
    """It may not fill the disk that the trail needs."""
    log = LogFile(tmp_path)
    for number in range(11):
        log.write("liq_1", f"{number} {'x' * 2_000_000}")
        log.flush(PATIENCE_S)

    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [LOG_NAME, *(f"{LOG_NAME}.{number}" for number in (1, 2, 3))]
    firsts = [(tmp_path / name).read_text().split(" ", 4)[3] for name in kept]
    assert firsts == ["10", "8", "6", "4"]


def test_a_call_that_fails_keeps_no_later_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours in one call must not cost the records after it."""
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    thread = HelperThread("failing")
    made: list[int] = []

    def fail() -> None:
        raise ValueError

    failed = thread.call(fail)
    assert failed.wait(PATIENCE_S)
    thread.call(lambda: made.append(1))

    # What came between the fault and its end waits for the next call, which starts a thread anew.
    wait_until(lambda: thread.call(lambda: made.append(2)).wait(0.1), "nothing was called")
    assert made[:2] == [1, 2]
    for each in threading.enumerate():
        if each.name == "failing":
            each.join(PATIENCE_S)
