"""`liqctl arm`: what trips it, what it does then, and how it ends."""

import json
import os
import signal
import ssl
import time
from pathlib import Path

import pytest
import trustme

from tests.process.armed import armed
from tests.process.program import PATIENCE_S, Program, end, program, wait_until

QUICK = {"hold_seconds": 0.0}


def orders_of(running: Program) -> set[tuple[str, str]]:
    """Return what was sent beside keys of streams and tests of orders, which never trade."""
    return {sent for sent in running.sent() if not sent[1].endswith(("/listenKey", "/order/test"))}


def test_a_signal_closes_the_account_and_latches(tmp_path: Path) -> None:
    """`systemctl kill -s USR1`: flat, held, latched until a human re-arms."""
    with program(tmp_path) as running:
        running.more["arm"] = {"hold_seconds": 2.0}
        with armed(running) as post:
            post.wait_for("armed")
            post.signal(signal.SIGUSR1)
            code = post.ended()

        assert code == 0, post.errors
        assert running.is_flat
        result = post.read()[-1]
        assert result["schema"] == "liqctl.result/1"
        assert result["held_seconds"] >= 2.0
        (tripped,) = [r for r in running.records() if r["event_type"] == "ARM_TRIPPED"]
        assert tripped["correlation_id"].startswith("arm_")
        assert tripped["details"]["by"] == "SIGNAL"
        running.assert_trail_closed()
        running.assert_never_overclosed()

        latched = running.run("arm", "--json")
        assert latched.code == 9
        assert "--rearm" in latched.stderr
        with armed(running, "--rearm") as post:
            post.wait_for("armed")


def test_nothing_is_imported_from_a_trip_on(tmp_path: Path) -> None:
    """A module takes a millisecond or more, and a disk that hangs takes for ever."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        running.hook(
            f"""
            import sys
            class Finder:
                @staticmethod
                def find_spec(name, path=None, target=None):
                    with open({str(tmp_path / "imported")!r}, "a") as file:
                        print(name, file=file)
            sys.meta_path.insert(0, Finder)
            """
        )
        with armed(running) as post:
            post.wait_for("armed")
            time.sleep(1)  # Its checks of the key begin with being armed.
            before = (tmp_path / "imported").read_text()
            post.signal(signal.SIGUSR1)
            assert post.ended() == 0, post.errors

        assert running.is_flat
        assert (tmp_path / "imported").read_text().removeprefix(before) == ""


def test_a_liquidation_is_handed_over_and_ends_the_same(tmp_path: Path) -> None:
    """Same result, same exit code; the armed process has done the work."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            ended = running.run("--reason", "by hand", "--correlation-id", "handed")
            code = post.ended()

        assert (ended.code, code) == (0, 0), ended.stderr + post.errors
        assert ended.result["correlation_id"] == "handed"
        assert ended.result["state"] == "COMPLETED"
        assert running.is_flat
        (start,) = [r for r in running.records() if r["event_type"] == "LIQUIDATION_START"]
        assert start["details"]["pid"] == post.process.pid
        assert start["details"]["reason"] == "by hand"
        (tripped,) = [r for r in running.records() if r["event_type"] == "ARM_TRIPPED"]
        assert tripped["details"]["by"] == "HANDOVER"
        assert tripped["details"]["run"] == "handed"


@pytest.mark.parametrize("why", ["--no-handover", "observed"])
def test_a_liquidation_that_is_not_taken_runs_by_itself(tmp_path: Path, why: str) -> None:
    """It was told to, or the armed process refuses."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        with armed(running, *(["--observe"] if why == "observed" else [])) as post:
            post.wait_for("armed")
            ended = running.run(*(["--no-handover"] if why != "observed" else []))
            assert post.process.poll() is None, "it was not tripped"

        assert ended.code == 0
        assert running.is_flat
        (start,) = [r for r in running.records() if r["event_type"] == "LIQUIDATION_START"]
        assert start["details"]["pid"] != post.process.pid


@pytest.mark.parametrize("lock_takes_s", [0.0, 0.05])
def test_an_armed_process_that_dies_with_the_work_leaves_it_to_who_asked(
    tmp_path: Path, lock_takes_s: float
) -> None:
    """`kill -9` in the middle: the command that handed over finishes it.

    Its lock is taken beside the orders: it died before that stood, and its START had no end.
    """
    with program(tmp_path, latency_ms=50) as running:
        running.more["arm"] = QUICK
        running.hook(
            f"""
            import fcntl, os, time
            take = fcntl.flock
            def flock(fd, how):
                if os.readlink(f"/proc/self/fd/{{fd}}").endswith(".lock"):
                    time.sleep({lock_takes_s})
                take(fd, how)
            fcntl.flock = flock
            """
        )
        running.hang(kind="slow", method="POST", path="/order")
        with armed(running) as post:
            post.wait_for("armed")
            with running.start() as started:
                running.wait_for("ORDER_SENT")
                post.process.kill()
                ended = end(started, time.monotonic())

        assert ended.code == 0, ended.stderr
        assert running.is_flat
        running.assert_trail_closed()
        running.assert_never_overclosed()


def test_an_armed_process_that_hangs_with_the_work_leaves_it_to_who_asked(tmp_path: Path) -> None:
    """Its lock is not waited for: the command ended with 5, and everything stayed open."""
    with program(tmp_path, timeout_s=10.0, latency_ms=50) as running:
        running.more["arm"] = QUICK
        running.hang(kind="slow", method="POST", path="/order")
        with armed(running) as post:
            post.wait_for("armed")
            with running.start() as started:
                running.wait_for("ORDER_SENT")
                post.signal(signal.SIGSTOP)
                ended = end(started, time.monotonic())
                is_flat = running.is_flat
            post.signal(signal.SIGCONT)
            post.ended()

        assert ended.code == 0, ended.stdout
        assert is_flat
        assert "fell silent" in " ".join(ended.result["notes"])
        running.assert_never_overclosed()


def test_a_heartbeat_that_stops_closes_the_account(tmp_path: Path) -> None:
    """The bot's host died: nobody touches the file any more."""
    beat = tmp_path / "beat"
    beat.touch()
    with program(tmp_path) as running:
        running.more["arm"] = {**QUICK, "heartbeat_file": str(beat), "heartbeat_seconds": 2.0}
        with armed(running) as post:
            post.wait_for("armed")
            os.utime(beat)
            assert post.process.poll() is None
            code = post.ended()

        assert code == 0, post.errors
        assert running.is_flat
        (tripped,) = [r for r in running.records() if r["event_type"] == "ARM_TRIPPED"]
        assert tripped["details"]["by"] == "HEARTBEAT"
        assert tripped["details"]["figures"]["age_seconds"] > 2.0


def test_a_paused_heartbeat_trips_nothing(tmp_path: Path) -> None:
    """A deployment stops the bot on purpose; that is said as long as it lasts."""
    beat = tmp_path / "beat"
    beat.touch()
    os.utime(beat, (0, 0))
    (tmp_path / "beat.paused").touch()
    with program(tmp_path) as running:
        running.more["arm"] = {**QUICK, "heartbeat_file": str(beat), "heartbeat_seconds": 1.0}
        with armed(running) as post:
            post.wait_for("degraded")
            wait_until(
                lambda: any("heartbeat paused" in str(line) for line in post.read()),
                "the pause was not told",
            )
            assert post.process.poll() is None
            assert not running.is_flat
            (tmp_path / "beat.paused").unlink()
            assert post.ended() == 0
        assert running.is_flat


def test_stopped_without_a_trip_it_ends_by_the_signals_code(tmp_path: Path) -> None:
    """A clean stop leaves no latch and sends nothing."""
    with program(tmp_path) as running:
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            with armed(running) as post:
                post.wait_for("armed")
                post.signal(number)
                assert post.ended() == code

        assert not running.is_flat
        assert not orders_of(running)
        events = [r["event_type"] for r in running.records()]
        assert events.count("ARMED") == events.count("DISARMED") == 2


def test_two_armed_processes_do_not_watch_one_account(tmp_path: Path) -> None:
    """The second one says so and leaves."""
    with program(tmp_path) as running, armed(running) as post:
        post.wait_for("armed")

        assert running.run("arm", "--json").code == 5


def test_only_the_same_user_reaches_the_socket(tmp_path: Path) -> None:
    """Mode 0600, in a folder that is ours; it is gone with the process."""
    with program(tmp_path) as running:
        with armed(running) as post:
            post.wait_for("armed")
            (socket,) = (tmp_path / "state" / "liqctl").glob("*.sock")
            assert socket.stat().st_mode & 0o777 == 0o600
        assert not socket.exists()


def test_what_would_trip_is_recorded_and_nothing_is_sent(tmp_path: Path) -> None:
    """`--observe`, to learn a week long what the limits would have done."""
    with program(tmp_path) as running:
        running.more["arm"] = {
            **QUICK,
            "heartbeat_file": str(tmp_path / "never"),
            "heartbeat_seconds": 1.0,
        }
        with armed(running, "--observe") as post:
            post.wait_for("would have tripped")
            assert post.process.poll() is None

        assert not orders_of(running)
        (tripped,) = [r for r in running.records() if r["event_type"] == "ARM_TRIPPED"]
        assert tripped["details"]["observe"] is True


def test_a_handover_of_a_narrower_scope_closes_that_scope(tmp_path: Path) -> None:
    """What the command was told is what is done."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            ended = running.run("--symbol", "BTCUSDT")
            assert post.ended() == 0

        assert [p["symbol"] for p in ended.result["positions"]] == ["BTCUSDT"]
        assert not running.is_flat


def test_twice_at_once_is_one_run_with_two_answers(tmp_path: Path) -> None:
    """Two operators in the same second: nobody is refused, nothing is closed twice."""
    with program(tmp_path, latency_ms=50) as running:
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            started = [running.start() for _ in range(2)]
            ended = [end(each, time.monotonic()) for each in started]
            assert post.ended() == 0

        assert [each.code for each in ended] == [0, 0]
        ids = {json.loads(each.stdout)["correlation_id"] for each in ended}
        assert len(ids) == 1
        running.assert_never_overclosed()
        assert PATIENCE_S


def test_a_hold_that_was_asked_for_is_handed_over_too(tmp_path: Path) -> None:
    """The settings hold for no time; who asked has the result at the proof all the same."""
    with program(tmp_path) as running:
        running.more["arm"] = QUICK
        with armed(running) as post:
            post.wait_for("armed")
            ended = running.run("--hold", "3")
            answered_at = time.monotonic()
            assert post.ended() == 0, post.errors
            held_s = time.monotonic() - answered_at

        assert ended.code == 0
        assert held_s > 2.0, "it ended with the proof"


def test_a_run_that_only_cancels_is_not_the_answer_to_one_that_closes(tmp_path: Path) -> None:
    """The second operator was told COMPLETED, with every position open."""
    with program(tmp_path) as running, armed(running) as watched:
        watched.wait_for("armed")
        with running.start("--orders-only", "--settle", "3") as started:
            running.wait_for("LIQUIDATION_START")
            second = running.run()
            started.communicate(timeout=PATIENCE_S)

        assert started.returncode == 0
        assert second.result["state"] == ("COMPLETED" if running.is_flat else "FAILED")
        assert second.code == (0 if running.is_flat else 5)


def test_a_symbol_that_no_venue_knows_disarms_nothing(tmp_path: Path) -> None:
    """A typing error tripped the switch: nothing was closed, and nothing watched any more."""
    with program(tmp_path) as running, armed(running) as watched:
        watched.wait_for("armed")
        ended = running.run("--symbol", "BTCUSTD")

        assert ended.code == 2, ended.stderr
        assert not watched.said("tripped")
        assert not list((tmp_path / "state" / "liqctl").glob("*.latch"))
        assert running.run().code == 0
        assert running.is_flat
        watched.wait_for("tripped")


@pytest.mark.parametrize("joined_s", [0.0, 0.5])
def test_who_meets_a_run_that_hangs_closes_the_account(tmp_path: Path, joined_s: float) -> None:
    """Its lock is held for a trip or another command: this one ended with 5, all open."""
    with program(tmp_path, timeout_s=10.0) as running:
        running.more["arm"] = QUICK
        running.hang(kind="slow", method="POST", path="/order")
        with armed(running) as watched:
            watched.wait_for("armed")
            watched.signal(signal.SIGUSR1)
            running.wait_for("ORDER_SENT")
            with running.start() as started:
                time.sleep(joined_s)  # By then it is told that its work is taken.
                watched.signal(signal.SIGSTOP)
                ended = end(started, time.monotonic())
                is_flat = running.is_flat
            watched.signal(signal.SIGCONT)
            watched.ended()

        assert ended.code == 0, ended.stdout
        assert is_flat
        running.assert_never_overclosed()


def test_streams_trust_whom_requests_trust(tmp_path: Path) -> None:
    """The program's own contexts: aiohttp's are left empty in it, so that it starts sooner."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with program(tmp_path, ssl_context=context) as running:
        running.variables["SSL_CERT_FILE"] = str(tmp_path / "authority.pem")
        with armed(running) as post:
            post.wait_for("armed")
