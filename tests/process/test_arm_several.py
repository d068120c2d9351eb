"""`liquidate` of several accounts, some of which armed processes watch: each goes its own way.

Where it matters they have one product: processes that begin in one minute, and then runs that each
believe to be alone, use up the weight of their address.
"""

import json
import os
import pty
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.process.armed import ArmedProcess, armed
from tests.process.program import PATIENCE_S, Program, assert_closed, end, wait_until
from tests.process.test_accounts import ALL, each, house, share_key, venues
from tests.process.test_arm import QUICK
from tests.process.test_arm_trouble import USDM

NAMES = ("desk-a", "desk-b", "desk-c")


@contextmanager
def standing(running: Program, *names: str) -> Iterator[dict[str, ArmedProcess]]:
    """Yield an armed process of each of these accounts."""
    running.more.setdefault("arm", QUICK)
    with ExitStack() as stack:
        posts = {
            name: stack.enter_context(armed(running, "--account", name, name=name))
            for name in names
        }
        for post in posts.values():
            post.wait_for("armed")
        yield posts


def starts(running: Program) -> dict[str, int]:
    """Return which process' run began last on each account."""
    return {
        record["account"]: record["details"]["pid"]
        for record in running.records()
        if record["event_type"] == "LIQUIDATION_START"
    }


def assert_flat(running: Program) -> None:
    """Every account is flat, and no fill grew a position."""
    for name, venue in venues(running).items():
        assert venue.account.is_flat, name
        for _, _, symbol, _, before, after in venue.account.journal.fills:
            assert abs(after) <= abs(before), symbol
    running.assert_trail_closed()


@pytest.mark.parametrize("watched", [NAMES[:1], NAMES[1:2], NAMES])
def test_each_armed_process_closes_its_account_and_the_others_are_closed_here(
    tmp_path: Path, watched: tuple[str, ...]
) -> None:
    """One document in the order of the settings, as if all had run here."""
    with (
        house(tmp_path, timeout_s=10.0, variables=USDM) as running,
        standing(running, *watched) as posts,
    ):
        with running.start(ALL, "--reason", "by hand", "--correlation-id", "all") as started:
            ended = end(started, time.monotonic())
        codes = [post.ended() for post in posts.values()]

        results = each(ended)
        assert (ended.code, set(codes)) == (0, {0}), ended.stdout
        assert list(results) == list(NAMES)
        for name, result in results.items():
            assert result["state"] == "COMPLETED"
            assert result["correlation_id"] == f"all-{name}"
            assert result["positions_closed"] == 3
            assert result["orders_cancelled"] == 1
            assert result["residual"] == {"positions": [], "orders": []}
            assert result["audit_complete"]
        pids = {name: post.process.pid for name, post in posts.items()}
        assert starts(running) == dict.fromkeys(NAMES, started.pid) | pids
        assert_flat(running)
        for record in running.records():
            if record["event_type"] == "LIQUIDATION_START":
                assert record["details"]["reason"] == "by hand"
        ended.assert_clean()


def test_one_that_dies_with_the_work_leaves_it_to_the_command(tmp_path: Path) -> None:
    """`kill -9` in the middle: the command finishes that account, and nobody waits for it."""
    with (
        house(tmp_path, timeout_s=10.0, variables=USDM, latency_ms=50) as running,
        standing(running, "desk-a", "desk-b") as posts,
    ):
        slow = running.hang(kind="slow", method="POST", path="/order")
        venues(running)["desk-b"].faults.append(slow)
        with running.start(ALL, "--correlation-id", "all") as started:
            wait_for_order(running, "desk-b")
            posts["desk-b"].process.kill()
            ended = end(started, time.monotonic())

        results = each(ended)
        assert ended.code == 0, ended.stderr
        assert results["desk-b"]["correlation_id"] == "all-desk-b-2"
        assert [results[name]["correlation_id"] for name in ("desk-a", "desk-c")] == [
            "all-desk-a",
            "all-desk-c",
        ]
        assert starts(running)["desk-b"] == started.pid
        assert moments(running, "all-desk-c")[1] < moments(running, "all-desk-b-2")[1]
        assert_flat(running)


def wait_for_order(running: Program, account: str) -> None:
    """Return once an order was sent on the account."""

    def is_sent() -> bool:
        types = [r["event_type"] for r in running.records() if r["account"] == account]
        return "ORDER_SENT" in types

    wait_until(is_sent, f"nothing was sent on {account}")


def moments(running: Program, correlation_id: str) -> tuple[float, float]:
    """Return when a run began and ended."""
    at = [
        datetime.fromisoformat(record["timestamp"]).timestamp()
        for record in running.records()
        if record["correlation_id"] == correlation_id
    ]
    return at[0], at[-1]


@pytest.mark.parametrize("hangs", ["before it accepts", "with the work"])
def test_one_that_hangs_gives_the_work_back_and_delays_nobody(tmp_path: Path, hangs: str) -> None:
    """100 ms for its answer, a second for a sign of life; its lock does not disarm the command."""
    with (
        house(tmp_path, timeout_s=10.0, variables=USDM, latency_ms=50) as running,
        standing(running, "desk-a", "desk-b") as posts,
    ):
        slow = running.hang(kind="slow", method="POST", path="/order")
        venues(running)["desk-b"].faults.append(slow)
        stuck = posts["desk-b"]
        if hangs == "before it accepts":
            stuck.signal(signal.SIGSTOP)
        with running.start(ALL, "--correlation-id", "all") as started:
            if hangs == "with the work":
                wait_for_order(running, "desk-b")
                stuck.signal(signal.SIGSTOP)
            ended = end(started, time.monotonic())
            is_flat = all(venue.account.is_flat for venue in venues(running).values())
        stuck.signal(signal.SIGCONT)
        if hangs == "with the work":
            stuck.ended()
        else:  # It answers in the order in which it is asked.
            told = running.run("status", "--json", "--account", "desk-b").result["armed"]
            assert not told["tripped"]

        results = each(ended)
        assert ended.code == 0, ended.stdout
        assert is_flat, "the command did it, not the process that hung"
        assert results["desk-b"]["correlation_id"] == "all-desk-b-2"
        assert starts(running) == {
            "desk-a": posts["desk-a"].process.pid,
            "desk-b": started.pid,
            "desk-c": started.pid,
        }
        began, ended_at = moments(running, "all-desk-c")
        if hangs == "before it accepts":
            assert moments(running, "all-desk-b-2")[0] - began < 0.3
        assert ended_at < moments(running, "all-desk-b-2")[1]
        told = " ".join(results["desk-b"]["notes"])
        assert ("fell silent" in told) == (hangs == "with the work")


@pytest.mark.parametrize("how", ["--no-handover", "--dry-run", "observed", "narrower"])
def test_what_is_not_handed_over_is_done_here(tmp_path: Path, how: str) -> None:
    """It was told to, it sends nothing, or the armed process refuses."""
    with house(tmp_path) as running:
        if how == "narrower":
            running.more["accounts"] = {"desk-a": {"symbols": ["BTCUSDT"]}, "desk-b": {}}
        with armed(running, "--account", "desk-a", *["--observe"] * (how == "observed")) as post:
            post.wait_for("armed")
            running.more["accounts"] = {"desk-a": {}, "desk-b": {}}
            ended = running.run(ALL, *[how] * how.startswith("--"))
            assert post.process.poll() is None, "it was not tripped"

        assert ended.code == 0, ended.stderr
        assert list(each(ended)) == ["desk-a", "desk-b"]
        assert post.process.pid not in starts(running).values()
        is_dry = how == "--dry-run"
        assert venues(running)["desk-a"].account.is_flat is not is_dry


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_word_and_the_armed_process_goes_on(
    tmp_path: Path, number: int, code: int
) -> None:
    """What runs here reads once more; the other one is not waited for."""
    with (
        house(tmp_path, timeout_s=10.0, variables=USDM) as running,
        standing(running, "desk-a") as posts,
    ):
        for venue in venues(running).values():
            venue.faults.append(running.hang(kind="slow", writes=True))
        with running.start(ALL, "--correlation-id", "all", "--settle", "5") as started:
            wait_for_order(running, "desk-c")
            os.kill(started.pid, number)
            ended = end(started, time.monotonic())
        assert posts["desk-a"].ended() == 0

        results = each(ended)
        assert ended.code == code == json.loads(ended.stdout)["exit_code"]
        assert "the armed process goes on with it" in results["desk-a"]["error_message"]
        assert results["desk-a"]["correlation_id"] == "all-desk-a"
        assert "desk-a: interrupted: the armed process goes on" in ended.stderr
        assert venues(running)["desk-a"].account.is_flat
        running.assert_trail_closed()


def test_a_signal_before_the_runs_here_began_leaves_word_too(tmp_path: Path) -> None:
    """While libraries are loaded an armed process works already: `nothing was sent` is not true."""
    with house(tmp_path) as running:
        with standing(running, "desk-a") as posts:
            running.hook(
                """
                import time
                from liqctl.cli import wiring
                wiring.open_account = lambda *_, **__: time.sleep(20)
                """
            )
            with running.start(ALL, "--correlation-id", "all") as started:
                running.wait_for("LIQUIDATION_START")
                started.terminate()
                ended = end(started, time.monotonic())
            assert posts["desk-a"].ended() == 0

        results = each(ended)
        assert ended.code == 143
        assert "the armed process goes on" in results["desk-a"]["error_message"]
        assert results["desk-b"]["error_message"] == "interrupted: nothing was sent"
        assert venues(running)["desk-a"].account.is_flat


@pytest.mark.parametrize("answer", ["production", "no"])
def test_production_is_handed_over_after_the_question(tmp_path: Path, answer: str) -> None:
    """Not before it, and not if the answer is no."""
    with house(tmp_path) as running:
        running.more["arm"] = QUICK
        settings = Path(running.environ()["LIQCTL_CONFIG"])
        production = tmp_path / "production.yaml"
        production.write_text(settings.read_text().replace("simulator", "production"))
        running.variables = {
            name.replace("SIMULATOR", "PRODUCTION"): text
            for name, text in running.variables.items()
        } | {"LIQCTL_CONFIG": str(production), "TERM": "xterm", "CI": ""}
        ours, theirs = pty.openpty()
        with armed(running, "--account", "desk-a", "--yes") as post:
            post.wait_for("armed")
            with running.start(ALL, stdin=theirs, stderr=theirs) as started:
                os.close(theirs)
                seen = b""
                while b"Type production to go on" not in seen:
                    seen += os.read(ours, 65536)
                assert not any(running.sent())
                assert post.process.poll() is None
                os.write(ours, f"{answer}\n".encode())
                stdout, _ = started.communicate(timeout=PATIENCE_S)
            is_yes = answer == "production"
            assert (post.ended() == 0) if is_yes else (post.process.poll() is None)
        os.close(ours)

        assert started.returncode == (0 if is_yes else 6), stdout
        document = json.loads(stdout)
        assert [result["account"] for result in document["results"]] == list(NAMES)
        assert starts(running).get("desk-a") == (post.process.pid if is_yes else None)
        assert all(venue.account.is_flat is is_yes for venue in venues(running).values())


def test_each_process_holds_what_it_closed(tmp_path: Path) -> None:
    """The armed one for as long as was asked, after its answer; the others are held here."""
    with (
        house(tmp_path, timeout_s=10.0, variables=USDM) as running,
        standing(running, "desk-a") as posts,
    ):
        ended = running.run(ALL, "--hold", "3")
        assert posts["desk-a"].ended() == 0

        results = each(ended)
        assert ended.code == 0, ended.stdout
        assert results["desk-a"]["held_seconds"] == 0.0
        assert results["desk-b"]["held_seconds"] >= 3.0
        assert posts["desk-a"].read()[-1]["held_seconds"] >= 3.0
        assert_flat(running)


def test_what_happens_in_an_armed_process_is_told_here(tmp_path: Path) -> None:
    """As of an account that runs here, each line with its name; the screen counts both."""
    with house(tmp_path) as running, standing(running, "desk-a") as posts:
        ended = running.run("liquidate", ALL, "--verbose")
        assert posts["desk-a"].ended() == 0

    assert ended.code == 0, ended.stderr
    for name in NAMES:
        assert f"{name}: POSITION_CLOSED" in ended.stderr, ended.stderr
    assert "3 of 3 accounts proven flat" in ended.stdout
    assert "9 of 9" in ended.stdout


def test_one_key_under_two_names_is_closed_here(tmp_path: Path) -> None:
    """No armed process watches what both names have in scope."""
    with house(tmp_path) as running:
        share_key(running)
        running.more["accounts"] = {"desk-a": {"symbols": ["BTCUSDT"]}, "desk-b": {}}
        with standing(running, "desk-b") as posts:
            ended = running.run(ALL)
            assert posts["desk-b"].process.poll() is None

        results = each(ended)
        assert ended.code == 0
        assert results["desk-b"]["state"] == "SKIPPED"
        assert venues(running)["desk-a"].account.is_flat


def test_a_second_signal_leaves_the_document_and_an_end_of_the_run(tmp_path: Path) -> None:
    """Also while work that came back goes on here, and the others have ended."""
    with (
        house(tmp_path, timeout_s=10.0, variables=USDM) as running,
        standing(running, "desk-a") as posts,
    ):
        faults = venues(running)["desk-a"].faults
        faults.append(running.hang(method="POST", path="/order"))

        def has(event_type: str, correlation_id: str) -> bool:
            return any(
                (record["event_type"], record["correlation_id"]) == (event_type, correlation_id)
                for record in running.records()
            )

        with running.start(ALL, "--correlation-id", "all") as started:
            wait_for_order(running, "desk-a")
            wait_until(lambda: has("LIQUIDATION_COMPLETE", "all-desk-c"), "c never ended")
            posts["desk-a"].process.kill()
            wait_until(lambda: has("ORDER_SENT", "all-desk-a-2"), "the work never came back")
            faults.append(running.hang(method="GET"))
            for number in (signal.SIGINT, signal.SIGTERM):  # Two of one kind may become one.
                started.send_signal(number)
            ended = end(started, time.monotonic())

        assert ended.code == 130
        assert each(ended)["desk-a"]["state"] != "COMPLETED"
        assert_closed([r for r in running.records() if r["correlation_id"] == "all-desk-a-2"])
