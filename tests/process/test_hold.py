"""`--hold`: the account is kept flat after the proof, and what comes back is closed again."""

import json
import os
import signal
import time
from pathlib import Path

from liqctl.sim.scenario import Scenario
from tests.process.program import PATIENCE_S, SMALL, Program, program

RETURNS = Scenario(
    name="returns",
    account=SMALL.account,
    events=(
        {"act": "reopen", "symbol": "BTCUSDT", "quantity": "0.2", "at_ms": 2500},
        {
            "act": "place",
            "symbol": "ETHUSDT",
            "side": "BUY",
            "price": "2000",
            "quantity": "1",
            "client_order_id": "x-bot-77",
            "at_ms": 2600,
        },
    ),
)


def starts(running: Program) -> list[str]:
    """Return the correlation ids of the runs that began."""
    records = running.records()
    return [r["correlation_id"] for r in records if r["event_type"] == "LIQUIDATION_START"]


def test_what_reappears_is_closed_again_and_told_once(tmp_path: Path) -> None:
    """A bot that nobody stopped opens again two seconds after the proof."""
    with program(tmp_path, RETURNS) as running:
        ended = running.run("--hold", "8", "--correlation-id", "night")

        result = ended.result
        assert ended.code == 0, ended.stdout + ended.stderr
        assert result["state"] == "COMPLETED"
        assert result["verified_flat"]
        assert result["held_seconds"] >= 8.0
        (note,) = [note for note in result["notes"] if "re-appeared" in note]
        assert "a position on BTCUSDT" in note
        assert running.is_flat
        assert starts(running)[:2] == ["night", "night-h1"]
        running.assert_trail_closed()


def test_a_quiet_hold_costs_half_of_the_weight_and_sends_nothing(tmp_path: Path) -> None:
    """Nothing re-appears: positions are looked at, and no more."""
    with program(tmp_path) as running:
        before = sum(running.sent().values())
        ended = running.run("--hold", "5")

        assert ended.code == 0
        assert 5.0 <= ended.result["held_seconds"] < 8.0
        assert sum(running.sent().values()) > before
        assert len(starts(running)) == 1


def test_a_signal_ends_the_hold_with_the_result(tmp_path: Path) -> None:
    """Ctrl-C after the proof: the result is printed, with the signal's code."""
    with program(tmp_path) as running, running.start("--hold", "60") as started:
        running.wait_for("LIQUIDATION_COMPLETE")
        began_at = time.monotonic()
        os.kill(started.pid, signal.SIGINT)
        stdout, _ = started.communicate(timeout=PATIENCE_S)

        assert started.returncode == 130
        assert time.monotonic() - began_at < 10.0
        result = json.loads(stdout)
        assert result["state"] == "COMPLETED"
        assert result["held_seconds"] < 30.0


def test_a_hold_ends_also_where_something_cannot_be_closed(tmp_path: Path) -> None:
    """Each look found it again, also after the end: the command never came back."""
    with program(tmp_path) as running:
        running.hang(kind="overloaded", method="POST", path="/order", symbol="SOLUSDT")
        ended = running.run("--hold", "2")

        assert ended.code in {1, 3}
        assert len(starts(running)) == 2
        assert ended.seconds < 5.0 + 2.0 + 5.0 + 2.0


def test_what_is_closed_within_the_hold_is_counted_as_closed(tmp_path: Path) -> None:
    """The venue took no order for one symbol, and takes it a moment later."""
    with program(tmp_path) as running:
        refused = running.hang(kind="overloaded", method="POST", path="/order", symbol="SOLUSDT")
        with running.start("--hold", "8") as started:
            running.wait_for("LIQUIDATION_PARTIAL")
            running.server.venue.faults.remove(refused)
            stdout, _ = started.communicate(timeout=PATIENCE_S)

        result = json.loads(stdout)
        assert started.returncode == 0
        assert result["state"] == "COMPLETED"
        assert result["verified_flat"]
        assert result["positions_failed"] == 0
        assert result["positions_closed"] == result["positions_found"] == len(result["positions"])
        assert running.is_flat


def test_a_hold_at_whose_end_nothing_can_be_read_is_not_called_flat(tmp_path: Path) -> None:
    """The proof was of before the hold; what came to be since is not known."""
    with program(tmp_path) as running, running.start("--hold", "4") as started:
        running.wait_for("LIQUIDATION_COMPLETE")
        running.hang(kind="internal_error", method="GET")
        stdout, _ = started.communicate(timeout=PATIENCE_S)

        result = json.loads(stdout)
        assert started.returncode in {1, 3}
        assert not result["verified_flat"]
        assert result["state"] != "COMPLETED"


def test_a_second_signal_within_the_hold_still_gets_the_result(tmp_path: Path) -> None:
    """The look under way is not waited for, and the document is owed all the same."""
    with program(tmp_path) as running, running.start("--hold", "60") as started:
        running.wait_for("LIQUIDATION_COMPLETE")
        running.hang(method="GET")
        time.sleep(2.6)  # A look is under way by now.
        os.kill(started.pid, signal.SIGTERM)
        time.sleep(0.1)
        os.kill(started.pid, signal.SIGTERM)
        stdout, _ = started.communicate(timeout=PATIENCE_S)

        assert started.returncode == 143
        assert json.loads(stdout)["positions_closed"] == 3


def test_a_hold_at_whose_end_the_venue_hangs_ends_within_one_time_limit(tmp_path: Path) -> None:
    """The last look and the run after it share it."""
    with program(tmp_path) as running, running.start("--hold", "3") as started:
        running.wait_for("LIQUIDATION_COMPLETE")
        began_at = time.monotonic()
        running.hang()
        stdout, _ = started.communicate(timeout=PATIENCE_S)

        assert time.monotonic() - began_at < 3.0 + 5.0 + 1.0
        assert started.returncode in {1, 3}
        assert not json.loads(stdout)["verified_flat"]
