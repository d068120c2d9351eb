"""`--all-accounts` in the installed program: one process, several keys, one answer."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from liqctl.settings.credentials import variable_part
from liqctl.sim.scenario import Scenario, load_scenario
from liqctl.sim.venue import Venue
from tests.process.program import PATIENCE_S, Ended, Program, program

ALL = "--all-accounts"
THREE = Scenario(
    name="three",
    accounts={
        name: Scenario(
            name=name,
            account={
                "positions": {"BTCUSDT": quantity, "ETHUSDT": "-2", "SOLUSDT": "10"},
                "orders": [
                    {"symbol": "BTCUSDT", "side": "SELL", "price": "61000", "quantity": "0.1"}
                ],
            },
        )
        for name, quantity in (("desk-a", "0.5"), ("desk-b", "0.3"), ("desk-c", "0.1"))
    },
)


@contextmanager
def house(
    folder: Path,
    scenario: Scenario = THREE,
    accounts: Mapping[str, Any] | None = None,
    **options: Any,
) -> Iterator[Program]:
    """Yield the program with a key for each account of the scenario."""
    with program(folder, scenario, **options) as running:
        address = running.server.address
        assert address is not None
        for name, (key, secret) in address.credentials.items():
            own = f"LIQCTL_SIMULATOR_{variable_part(name)}_API"
            running.variables |= {f"{own}_KEY": key, f"{own}_SECRET": secret}
        running.more["accounts"] = accounts or {name: {} for name in address.names}
        yield running


def venues(running: Program) -> Mapping[str, Venue]:
    """Return the accounts as the venue has them."""
    address = running.server.address
    assert address is not None
    return address.venues


def share_key(running: Program) -> None:
    """Give `desk-b` the key of `desk-a`: two names for one account."""
    for half in ("KEY", "SECRET"):
        own = running.variables[f"LIQCTL_SIMULATOR_DESK_A_API_{half}"]
        running.variables[f"LIQCTL_SIMULATOR_DESK_B_API_{half}"] = own


def each(ended: Ended) -> dict[str, dict[str, Any]]:
    """Return the results by account; the document is that of several."""
    document = json.loads(ended.stdout)
    assert document["schema"] == "liqctl.results/1"
    assert document["exit_code"] == ended.code
    return {result["account"]: result for result in document["results"]}


def test_a_house_ends_with_a_result_for_each_account_and_the_worst_code(tmp_path: Path) -> None:
    """A refused key, a silent account and one in portfolio margin beside two ordinary ones."""
    with house(tmp_path, load_scenario("house_of_five")) as running:
        ended = running.run(ALL)

        results = each(ended)
        assert ended.code == 1
        assert {name: result["state"] for name, result in results.items()} == {
            "desk-a": "COMPLETED",
            "desk-b": "COMPLETED",
            "portfolio": "COMPLETED",
            "refused": "FAILED",
            "silent": "FAILED",
        }
        assert results["portfolio"]["margin"] == "PORTFOLIO"
        for name in ("desk-a", "desk-b", "portfolio"):
            assert venues(running)[name].account.is_flat
            assert results[name]["duration_seconds"] < 4.0, "nobody waits for the silent one"
        records = running.records()
        assert {record["account"] for record in records} == set(results)
        for name, result in results.items():
            own = {r["account"] for r in records if r["correlation_id"] == result["correlation_id"]}
            assert own == {name}
        running.assert_trail_closed()
        ended.assert_clean()


def test_one_of_several_is_chosen_by_its_name(tmp_path: Path) -> None:
    """Without a choice nothing is sent; with one, the others are left alone."""
    with house(tmp_path) as running:
        unchosen = running.run()
        unknown = running.run("--account", "desk-x")
        chosen = running.run("--account", "desk-b")

        assert (unchosen.code, unknown.code, chosen.code) == (2, 2, 0)
        assert "desk-a, desk-b, desk-c" in unchosen.stderr
        assert "no account is called desk-x" in unknown.stderr
        assert chosen.result["schema"] == "liqctl.result/1"
        assert chosen.result["account"] == "desk-b"
        flat = {name for name, venue in venues(running).items() if venue.account.is_flat}
        assert flat == {"desk-b"}


def test_an_account_narrows_what_is_in_scope(tmp_path: Path) -> None:
    """What it leaves out is as for all; a flag wins over both."""
    accounts = {"desk-a": {"symbols": ["BTCUSDT"]}, "desk-b": {"products": ["coinm"]}}
    with house(tmp_path, accounts=accounts) as running:
        results = each(running.run(ALL))

        assert [p["symbol"] for p in results["desk-a"]["positions"]] == ["BTCUSDT"]
        assert results["desk-b"]["positions"] == []
        assert results["desk-b"]["products"] == ["COINM"]
        flagged = each(running.run(ALL, "--symbol", "ETHUSDT"))
        assert [p["symbol"] for p in flagged["desk-a"]["positions"]] == ["ETHUSDT"]
        assert [p["symbol"] for p in flagged["desk-b"]["positions"]] == ["ETHUSDT"]


def test_a_missing_key_is_that_accounts_result(tmp_path: Path) -> None:
    """Nothing less specific is taken in its place, and the others are closed."""
    with house(tmp_path) as running:
        del running.variables["LIQCTL_SIMULATOR_DESK_B_API_KEY"]
        ended = running.run(ALL)

        results = each(ended)
        assert ended.code == 7
        assert results["desk-b"]["state"] == "FAILED"
        assert "LIQCTL_SIMULATOR_DESK_B_API_KEY" in results["desk-b"]["error_message"]
        assert results["desk-a"]["state"] == results["desk-c"]["state"] == "COMPLETED"
        assert not venues(running)["desk-b"].account.is_flat


def test_one_key_under_two_names_is_closed_once_with_what_both_have_in_scope(
    tmp_path: Path,
) -> None:
    """Found before anything is asked of the venue."""
    accounts = {"desk-a": {"symbols": ["BTCUSDT"]}, "desk-b": {"symbols": ["ETHUSDT"]}}
    with house(tmp_path, accounts=accounts) as running:
        share_key(running)
        ended = running.run(ALL)

        results = each(ended)
        assert ended.code == 0
        assert {p["symbol"] for p in results["desk-a"]["positions"]} == {"BTCUSDT", "ETHUSDT"}
        assert results["desk-b"]["state"] == "SKIPPED"
        assert "the same account as desk-a" in results["desk-b"]["error_message"]
        assert venues(running)["desk-b"].requests == 0
        running.assert_trail_closed()


def test_one_key_with_scopes_that_fit_into_no_run_closes_nothing_beyond_them(
    tmp_path: Path,
) -> None:
    """The whole of one product and a contract of the other are not the whole of both."""
    accounts = {"desk-a": {"products": ["usdm"]}, "desk-b": {"symbols": ["ETHUSD_PERP"]}}
    with house(tmp_path, accounts=accounts) as running:
        share_key(running)
        ended = running.run(ALL)

        results = each(ended)
        assert ended.code == 5
        assert {p["product"] for p in results["desk-a"]["positions"]} == {"USDM"}
        assert results["desk-a"]["state"] == "COMPLETED"
        assert results["desk-b"]["error_message"] == "Liquidation already in progress"
        assert "desk-b is the same account as desk-a" in ended.stderr
        assert "liqctl liquidate --account desk-b" in ended.stderr
        running.assert_trail_closed()


def test_a_lock_that_another_run_holds_blocks_that_account_only(tmp_path: Path) -> None:
    """Somebody is closing one of them already."""
    with house(tmp_path) as running:
        venues(running)["desk-b"].faults.append(running.hang(kind="slow", writes=True))
        with running.start("--account", "desk-b") as first:
            running.wait_for("ORDER_SENT")
            ended = running.run(ALL)
            first.communicate(timeout=PATIENCE_S)

        results = each(ended)
        assert ended.code == 5
        assert results["desk-b"]["error_message"] == "Liquidation already in progress"
        assert results["desk-a"]["state"] == results["desk-c"]["state"] == "COMPLETED"
        running.assert_trail_closed()


@pytest.mark.parametrize("records", [1, 9, 20, 40])
def test_a_house_killed_in_the_middle_is_ended_by_the_next_run(
    tmp_path: Path, records: int
) -> None:
    """`kill -9`: each account's record is closed, every trail is whole, all are flat."""
    with house(tmp_path, latency_ms=30) as running:
        with running.start(ALL) as started:
            ends_at = time.monotonic() + PATIENCE_S
            while len(running.records()) < records and started.poll() is None:
                assert time.monotonic() < ends_at
            started.kill()
            started.communicate(timeout=PATIENCE_S)
        died = {r["correlation_id"] for r in running.records() if r["event_type"].endswith("START")}
        ended = running.run(ALL)

        assert ended.code == 0, ended.stdout + ended.stderr
        assert all(venue.account.is_flat for venue in venues(running).values())
        abandoned = {
            r["correlation_id"]: r["account"]
            for r in running.records()
            if r["event_type"] == "LIQUIDATION_ABANDONED"
        }
        ended_well = {
            r["correlation_id"]
            for r in running.records()
            if r["event_type"] in {"LIQUIDATION_COMPLETE", "LIQUIDATION_PARTIAL"}
        }
        assert died <= set(abandoned) | ended_well
        running.assert_trail_closed()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_every_account_with_what_is_known(
    tmp_path: Path, number: int, code: int
) -> None:
    """One document, with a result for each; nothing new is sent."""
    with house(tmp_path) as running:
        for venue in venues(running).values():
            venue.faults.append(running.hang(kind="slow", writes=True))
        with running.start(ALL) as started:
            running.wait_for("ORDER_SENT", count=3)
            os.kill(started.pid, number)
            stdout, _ = started.communicate(timeout=PATIENCE_S)

        document = json.loads(stdout)
        assert started.returncode == code == document["exit_code"]
        assert [result["account"] for result in document["results"]] == list(venues(running))
        running.assert_trail_closed()


def test_a_loop_that_hangs_still_ends_in_time_with_every_result(tmp_path: Path) -> None:
    """The watchdog tells what is known of each account."""
    with house(tmp_path, timeout_s=2.0) as running:
        running.hook(
            """
            import time
            from liqctl.run import driver
            feed = driver.Driver._feed
            def slow(self, event):
                feed(self, event)
                if self.machine.now - self.machine.deadline.began > 0.3:
                    time.sleep(30)
            driver.Driver._feed = slow
            """
        )
        ended = running.run(ALL, "--settle", "1")

        results = each(ended)
        assert set(results) == {"desk-a", "desk-b", "desk-c"}
        assert ended.seconds < 2.0 + 3.0
        assert all(result["deadline_exceeded"] for result in results.values())


def test_a_given_correlation_id_gets_each_accounts_name(tmp_path: Path) -> None:
    """Their trails can be told apart, and found by what they have in common."""
    with house(tmp_path) as running:
        ended = running.run(ALL, "--correlation-id", "drill-7")
        too_long = running.run(ALL, "--correlation-id", "x" * 60)

        names = [result["correlation_id"] for result in each(ended).values()]
        assert names == ["drill-7-desk-a", "drill-7-desk-b", "drill-7-desk-c"]
        assert too_long.code == 2


def test_production_asks_nobody_without_a_terminal_and_refuses_for_all(tmp_path: Path) -> None:
    """As for one account; each has its result."""
    with house(tmp_path) as running:
        environ = running.environ()
        settings = Path(environ["LIQCTL_CONFIG"])
        settings.write_text(settings.read_text().replace("simulator", "production"))
        environ = {
            name.replace("LIQCTL_SIMULATOR", "LIQCTL_PRODUCTION"): text
            for name, text in environ.items()
        }
        done = subprocess.run(
            [*command_line(), "liquidate", ALL, "--json"],
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
        )

        document = json.loads(done.stdout)
        assert done.returncode == document["exit_code"] == 6
        assert len(document["results"]) == 3
        assert not any(venue.account.is_flat for venue in venues(running).values())


def command_line() -> list[str]:
    """Return how the program is started."""
    from tests.process.program import command

    return command("liquidate")[:3]
