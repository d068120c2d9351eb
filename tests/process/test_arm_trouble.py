"""`liqctl arm` where things go wrong: guards, streams, countdowns, disks, kills, and secrets."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from liqctl.sim.scenario import Scenario
from tests.process.armed import ArmedProcess, armed
from tests.process.program import PATIENCE_S, Program, end, program, wait_until
from tests.process.test_disk import hang

QUICK = {"hold_seconds": 0.0}
USDM = {"LIQCTL_EXCHANGE__PRODUCTS": "usdm"}
"""One product is read twice as often."""


def act(running: Program, act: str, **settings: Any) -> None:
    """Let something happen at the venue now."""
    url = f"{running.server.url}/sim/event"
    httpx.post(url, json={"act": act, **settings}, timeout=5).raise_for_status()


def fault(running: Program, kind: str, **settings: Any) -> None:
    """Let something go wrong at the venue from now on."""
    running.server.venue.add_fault(kind, **settings)


def kinds(running: Program) -> list[str]:
    """Return the types of the records, in order."""
    return [record["event_type"] for record in running.records()]


def is_latched(folder: Path) -> bool:
    """Return whether the account's latch is closed."""
    return bool(list((folder / "state" / "liqctl").glob("*.latch")))


def ask_for(post: ArmedProcess, text: str) -> None:
    """Return once a line says so."""
    wait_until(lambda: any(text in str(line) for line in post.read()), f"{text}: {post.errors}")


def test_a_guard_closes_a_losing_account(tmp_path: Path) -> None:
    """Flat, held, latched; the record names the figures. ARM_TRIPPED stands before START."""
    with program(tmp_path, variables=USDM) as running:
        guard = {"rule": "max_loss", "limit": 5000, "readings": 2}
        running.more["arm"] = {"hold_seconds": 1.0, "guards": [guard]}
        with armed(running) as post:
            post.wait_for("armed")
            time.sleep(8)  # Three readings make the level that a loss is measured from.
            assert post.process.poll() is None
            act(running, "set_mark", symbol="BTCUSDT", price="40000")
            code = post.ended()

        assert code == 0, post.errors
        assert running.is_flat
        assert post.read()[-1]["held_seconds"] >= 1.0
        (tripped,) = [r for r in running.records() if r["event_type"] == "ARM_TRIPPED"]
        assert tripped["details"]["by"] == "GUARD"
        assert float(tripped["details"]["figures"]["value"]) == 10_000
        assert tripped["details"]["figures"]["readings"] == 2
        assert kinds(running).index("ARM_TRIPPED") < kinds(running).index("LIQUIDATION_START")
        assert is_latched(tmp_path)
        running.assert_trail_closed()


def test_a_spike_trips_nothing(tmp_path: Path) -> None:
    """One wrong mark price tripped others' switches."""
    with program(tmp_path, variables=USDM) as running:
        guard = {"rule": "max_notional", "limit": 60_000, "readings": 3}
        running.more["arm"] = {**QUICK, "guards": [guard]}
        with armed(running) as post:
            post.wait_for("armed")
            act(running, "set_mark", symbol="BTCUSDT", price="600000")
            time.sleep(2)
            act(running, "set_mark", symbol="BTCUSDT", price="60000")
            time.sleep(6)
            assert post.process.poll() is None

        assert "ARM_TRIPPED" not in kinds(running)
        assert not running.is_flat


def test_a_stream_that_is_cut_is_recorded_and_connected_anew(tmp_path: Path) -> None:
    """Once when it goes, once when it is back."""
    with program(tmp_path) as running, armed(running) as post:
        post.wait_for("armed")
        act(running, "cut_streams", host="fapi")
        post.wait_for("armed", count=2)
        act(running, "expire_listen_keys")
        post.wait_for("armed", count=3)

        running.wait_for("ARM_RESTORED", count=2)
        assert kinds(running).count("ARM_DEGRADED") >= 2
        assert ("DELETE", "/fapi/v1/listenKey") not in running.sent()


def countdowns(running: Program) -> int:
    """Return how many countdowns were sent."""
    return running.sent()[("POST", "/fapi/v1/countdownCancelAll")]


def test_countdowns_are_ended_by_a_clean_stop(tmp_path: Path) -> None:
    """Renewed until then; nothing is cancelled afterwards."""
    with program(tmp_path) as running:
        running.more["arm"] = {"countdown_seconds": 10.0}
        with armed(running) as post:
            post.wait_for("armed")
            wait_until(lambda: countdowns(running) >= 3, "they were not renewed")
            post.signal(signal.SIGTERM)
            assert post.ended() == 143

        assert "countdown" not in post.errors
        (disarmed,) = [r for r in running.records() if r["event_type"] == "DISARMED"]
        assert disarmed["details"]["countdowns_left"] == []
        venue = running.server.venue
        assert venue.account.due_ms is None or venue.account.open_orders()


def test_a_countdown_whose_end_is_not_confirmed_is_said(tmp_path: Path) -> None:
    """It may take open orders of a healthy account, and cannot be asked for."""
    with program(tmp_path) as running:
        running.more["arm"] = {"countdown_seconds": 60.0}
        with armed(running) as post:
            post.wait_for("armed")
            wait_until(lambda: countdowns(running) >= 1, "none was set")
            running.hang(path="/countdownCancelAll")
            began = time.monotonic()
            post.signal(signal.SIGTERM)
            assert post.ended() == 143
            assert time.monotonic() - began < 8

        assert "BTCUSDT" in post.errors
        (disarmed,) = [r for r in running.records() if r["event_type"] == "DISARMED"]
        assert disarmed["details"]["countdowns_left"] == ["BTCUSDT"]


def test_an_account_in_portfolio_margin_is_armed_and_closed(tmp_path: Path) -> None:
    """One stream and one pool for both products."""
    account = {"margin": "PORTFOLIO", "positions": {"BTCUSDT": "0.5", "BTCUSD_PERP": "10"}}
    with program(tmp_path, Scenario(name="portfolio", account=account)) as running:
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            ended = running.run()
            assert post.ended() == 0

        assert ended.code == 0, ended.stderr
        assert ended.result["margin"] == "PORTFOLIO"
        assert running.is_flat
        assert running.sent()[("POST", "/papi/v1/listenKey")] == 1


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.05, 0.3, 1.0])
def test_killed_at_any_moment_of_a_handover_the_command_finishes_it(
    tmp_path: Path, after_s: float
) -> None:
    """Before it was taken, within the first orders, in the window: flat, exit 0, one trail."""
    with program(tmp_path, latency_ms=30) as running:
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            with running.start() as started:
                running.wait_for("ARM_TRIPPED")
                time.sleep(after_s)
                post.process.kill()
                ended = end(started, time.monotonic())

        assert ended.code == 0, ended.stderr
        assert running.is_flat
        running.assert_trail_closed()
        running.assert_never_overclosed()


def test_a_venue_that_is_down_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """It says that it is blind, and arms once the account can be read."""
    with program(tmp_path) as running:
        down = running.hang(kind="internal_error", reads=True)
        with armed(running) as post:
            post.wait_for("blind")
            assert post.process.poll() is None
            running.server.venue.faults.remove(down)
            post.wait_for("armed")
            post.signal(signal.SIGTERM)
            assert post.ended() == 143


def test_what_can_be_read_is_armed_and_what_cannot_is_named(tmp_path: Path) -> None:
    """A key that is not fit for COIN-M kept USDS-M unwatched; a trip ends as any run would."""
    account = {"positions": {"BTCUSDT": "0.5", "BTCUSD_PERP": "10"}}
    with program(tmp_path, Scenario(name="part", account=account)) as running:
        running.more["arm"] = QUICK
        fault(running, "not_authorised", host="dapi", times=0)
        with armed(running) as post:
            ask_for(post, "COIN-M cannot be read: ")
            (line,) = post.read()
            assert line["state"] == "degraded"
            post.signal(signal.SIGUSR1)
            assert post.ended() == 3, post.errors

        result = post.read()[-1]
        assert result["state"] == "PARTIAL"
        assert [each["symbol"] for each in result["positions"]] == ["BTCUSDT"]
        assert "COIN-M" in result["error_message"]


def test_a_key_that_may_not_trade_degrades_an_armed_process(tmp_path: Path) -> None:
    """It reads well and would close nothing: the checks of `validate --online` know."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        fault(running, "not_authorised", path="order/test", times=0)
        with armed(running) as post:
            ask_for(post, "the key may not place orders: ")
            post.signal(signal.SIGTERM)
            assert post.ended() == 143

        (record,) = (each for each in running.records() if each["event_type"] == "ARM_DEGRADED")
        assert "the key may not place orders" in str(record["details"])


def test_a_key_that_is_refused_everywhere_arms_nothing(tmp_path: Path) -> None:
    """Whoever started it has to know at once."""
    with program(tmp_path) as running:
        fault(running, "not_authorised", times=0)
        with armed(running) as post:
            assert post.ended() == 7

        assert "Nothing is watched" in post.errors


def test_a_hold_that_hangs_is_ended_and_not_called_flat(tmp_path: Path) -> None:
    """As that of `liquidate` is, by the end of the hold and one time limit."""
    with program(tmp_path) as running:
        running.hook(
            """
            import time
            import liqctl.run.inspection
            async def hang(*_, **__):
                time.sleep(3600)
            liqctl.run.inspection.look_until_open = hang
            """
        )
        running.more["arm"] = {"hold_seconds": 1.0}
        with armed(running) as post:
            post.wait_for("armed")
            post.signal(signal.SIGUSR1)
            post.wait_for("tripped")
            began = time.monotonic()
            assert post.ended() == 3, post.errors
            assert time.monotonic() - began < 1.0 + 5.0 + 2.0

        result = post.read()[-1]
        assert result["state"] == "PARTIAL"
        assert not result["verified_flat"]
        assert "the hold did not end in time" in result["error_message"]


def test_what_appears_within_the_hold_is_closed_when_it_is_told(tmp_path: Path) -> None:
    """By the stream, which goes on after the trip: no look by the clock would be as soon."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 30.0}
        with armed(running) as post:
            post.wait_for("armed")
            post.signal(signal.SIGUSR1)
            post.wait_for("tripped")
            time.sleep(3)  # The looks after the trip's own events are over.
            connections = running.sent()[("POST", "/fapi/v1/listenKey")]
            act(running, "reopen", symbol="BTCUSDT", quantity="0.2")
            began = time.monotonic()
            running.wait_for("LIQUIDATION_START", count=2)
            assert time.monotonic() - began < 1.5
            running.wait_for("LIQUIDATION_COMPLETE", count=2)
            assert running.sent()[("POST", "/fapi/v1/listenKey")] == connections
            post.signal(signal.SIGTERM)
            assert post.ended() == 143

        assert running.is_flat


def test_a_signal_before_it_is_armed_is_not_lost(tmp_path: Path) -> None:
    """It used to end the process: the default of SIGUSR1."""
    with program(tmp_path, timeout_s=10.0) as running:
        running.more["arm"] = QUICK
        down = running.hang(kind="internal_error", reads=True)
        with armed(running) as post:
            post.wait_for("blind")
            post.signal(signal.SIGUSR1)
            running.wait_for("LIQUIDATION_START")
            running.server.venue.faults.remove(down)
            assert post.ended() == 0, post.errors

        assert running.is_flat
        assert is_latched(tmp_path)
        assert kinds(running)[0] == "ARM_TRIPPED"
        running.assert_trail_closed()


def test_a_disk_of_the_latch_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Who handed over has the result within the deadline; that nothing latches is said."""
    with program(tmp_path) as running:
        hang(running, ".latch", "os.fsync")
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            ended = running.run()
            assert post.ended() == 0, post.errors

        assert ended.code == 0, ended.stderr
        assert ended.result["state"] == "COMPLETED"
        assert running.is_flat
        assert "the latch could not be written" in post.errors


def test_a_disk_of_the_heartbeat_that_hangs_stops_nothing(tmp_path: Path) -> None:
    """It is said, and a signal trips, closes and latches as ever."""
    with program(tmp_path) as running:
        running.hook(
            """
            import pathlib, time
            plain = pathlib.Path.stat
            def stat(self, **how):
                if self.name.startswith("beat"):
                    time.sleep(3600)
                return plain(self, **how)
            pathlib.Path.stat = stat
            """
        )
        running.more["arm"] = {**QUICK, "heartbeat_file": str(tmp_path / "beat")}
        with armed(running) as post:
            ask_for(post, "its disk does not answer")
            time.sleep(8)
            assert post.process.poll() is None
            threads = len(list(Path(f"/proc/{post.process.pid}/task").iterdir()))
            post.signal(signal.SIGUSR1)
            assert post.ended() == 0, post.errors

        assert threads < 12
        assert running.is_flat
        assert is_latched(tmp_path)


def test_a_stop_within_the_hold_ends_it(tmp_path: Path) -> None:
    """By the signal's code; what was done stays recorded, and the latch stays."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 600.0}
        with armed(running) as post:
            post.wait_for("armed")
            post.signal(signal.SIGUSR1)
            post.wait_for("tripped")
            ended = running.run()  # It is not kept waiting for the hold.
            assert ended.code == 0, ended.stderr
            assert ended.seconds < 10
            began = time.monotonic()
            post.signal(signal.SIGTERM)
            assert post.ended() == 143
            assert time.monotonic() - began < 5

        assert running.is_flat
        assert is_latched(tmp_path)
        assert kinds(running)[-1] == "DISARMED"
        running.assert_trail_closed()


def test_a_trip_beside_another_liquidation_closes_what_that_one_leaves(tmp_path: Path) -> None:
    """It waits for nobody's lock: two at once can only reduce, and the other one may die."""
    with program(tmp_path, latency_ms=20) as running:
        running.more["arm"] = QUICK
        fault(running, "hang", method="POST", path="/order", times=3)
        with armed(running) as post:
            post.wait_for("armed")
            with running.start("liquidate", "--json", "--no-handover") as started:
                running.wait_for("ORDER_SENT")
                post.signal(signal.SIGUSR1)
                running.wait_for("ARM_TRIPPED")
                started.kill()
                assert post.ended() == 0, post.errors

        assert running.is_flat
        running.assert_never_overclosed()


def test_no_listen_key_is_shown_anywhere(tmp_path: Path) -> None:
    """Whoever has it reads the account: not in trail, log, outputs or errors."""
    with program(tmp_path) as running:
        venue = running.server.venue
        running.more["arm"] = {**QUICK, "countdown_seconds": 10.0}
        fault(running, "stream_refused", times=1)
        with armed(running, "--verbose") as post:
            post.wait_for("armed")
            first = [key for key, _ in venue.streams.keys.values()]
            fault(running, "stream_malformed", times=2)
            act(running, "add", symbol="BTCUSDT", quantity="0.1")
            act(running, "expire_listen_keys")
            post.wait_for("armed", count=2)
            keys = {*first, *(key for key, _ in venue.streams.keys.values())}
            post.signal(signal.SIGUSR1)
            assert post.ended() == 0, post.errors

        assert len(keys) == 4
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert any(path.name == "liqctl.log" for path in files)
        for path in files:
            text = path.read_text(errors="replace")
            assert not [key for key in keys if key in text], path


def test_a_stop_in_the_moment_in_which_the_account_was_read_ends_it(tmp_path: Path) -> None:
    """It said that it stops: a service manager would wait for it until it kills it."""
    with program(tmp_path) as running:
        running.hook(
            """
            import os, signal
            from liqctl.run import inspection
            look = inspection.inspect_account
            async def stopped(*given, **more):
                found = await look(*given, **more)
                os.kill(os.getpid(), signal.SIGTERM)
                return found
            inspection.inspect_account = stopped
            """
        )
        with armed(running) as post:
            assert post.ended() == 143

        assert "stopping: the account is not watched any more" in post.errors
        assert not running.is_flat


def test_a_trip_does_not_wait_for_who_reads_what_is_said(tmp_path: Path) -> None:
    """A terminal that is halted, or a pipe that nobody reads, kept it from closing for 10 s."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        reader, writer = os.pipe()
        with running.start("arm", "--json", stdout=writer) as process:
            running.wait_for("ARMED")
            os.read(reader, 1)  # It says so only once it is ready.
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writer, b"." * 4096)
            act(running, "cut_streams")
            running.wait_for("ARM_DEGRADED")
            process.send_signal(signal.SIGUSR1)
            tripped_at = time.monotonic()
            wait_until(lambda: running.is_flat, "it did not close the account")
            took_s = time.monotonic() - tripped_at
            os.close(reader)
            assert process.wait(PATIENCE_S) == 0
        os.close(writer)

    assert took_s < 4
