"""`liqctl status`: what is open, what runs, and what only the trail knows."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from liqctl.kernel.states import ExitCode
from liqctl.sim.faults import KINDS, Effect, Fault
from liqctl.sim.scenario import Scenario, load_scenario
from tests.accounts import make_large_house
from tests.cli.documents import STATUS, STATUSES, check
from tests.process.program import Program, house, program


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Program]:
    """The program and an account on an ordinary trading day."""
    with program(tmp_path, load_scenario("default")) as running:
        yield running


def test_the_document_tells_the_whole_account(served: Program) -> None:
    """Worst first, as decimal strings, with every order of both books."""
    ended = served.run("status", "--json")

    check(ended.result, STATUS)
    account = ended.result["account"]
    assert ended.code == ExitCode.DONE
    assert (account["flat"], Decimal(account["notional"])) == (False, Decimal(67500))
    assert account["positions"][0]["symbol"] == "BTCUSDT"
    assert len(account["orders"]) == 13
    assert sum(order["kind"] == "ALGO" for order in account["orders"]) == 6
    assert (ended.result["state"], ended.result["last_run"]) == ("IDLE", None)
    assert not served.sent()


def test_looking_changes_nothing(served: Program) -> None:
    """Status is asked every minute; it must not leave a mark in the trail."""
    served.run("status")

    assert not served.sent()
    assert not served.trail.exists()


def test_a_run_under_way_is_seen_from_another_shell(served: Program) -> None:
    """The second operator's first question is whether somebody is already at it."""
    served.timeout_s = 30.0
    served.variables["LIQCTL_LIQUIDATION__MAX_RETRIES"] = "10"
    served.hang(method="POST", kind="service_unavailable")
    served.hang(method="DELETE", kind="service_unavailable")
    with served.start("liquidate", "--json", "--correlation-id", "other-shell") as running:
        served.wait_for("LIQUIDATION_START")
        ended = served.run("status", "--json", "--exit-code")
        running.terminate()
        running.communicate(timeout=40)

    check(ended.result, STATUS)
    assert ended.result["state"] == "IN_PROGRESS"
    assert ended.result["in_progress"]["correlation_id"] == "other-shell"
    assert ended.result["in_progress"]["pid"] == running.pid
    assert ended.code == ExitCode.PARTIAL


def test_metrics_count_the_runs_of_a_lifetime(served: Program) -> None:
    """Counts come from the trail, so they outlive every process."""
    served.run("--orders-only")
    served.run()
    for name in ("EMERGENCY_LIQUIDATION", "CLOSE_POSITIONS", "CANCEL_ORDERS"):
        served.variables[f"LIQCTL_LIQUIDATION__{name}"] = "false"
    served.run()

    metrics = served.run("status", "--json").result["metrics"]

    assert (metrics["completed"], metrics["skipped"], metrics["failed"]) == (2, 1, 0)
    assert (metrics["execution_count"], metrics["last_state"]) == (2, "COMPLETED")


def test_the_screen_begins_with_the_answer(served: Program) -> None:
    """OPEN or FLAT is the first word; the rest is detail."""
    before = served.run("status")
    served.run("--correlation-id", "the-run")
    after = served.run("status")

    assert before.stdout.startswith("OPEN: simulator")
    assert after.stdout.startswith("FLAT at this reading: simulator")
    assert "COMPLETED, the-run" in after.stdout


def test_a_refused_key_is_7_and_not_flat(tmp_path: Path) -> None:
    """An account that could not be read is UNKNOWN, with the likely causes."""
    with program(tmp_path, load_scenario("key_refused")) as served:
        ended = served.run("status", "--exit-code")

    assert ended.code == ExitCode.CREDENTIALS
    assert ended.stdout.startswith("UNKNOWN: simulator")
    assert "refused the key" in ended.stdout


def test_an_invalid_setting_is_4_with_a_document(served: Program) -> None:
    """A program that asked for JSON gets JSON, and the reason."""
    served.variables["LIQCTL_LIQUIDATION__TIMEOUT_SECONDS"] = "0.5"

    ended = served.run("status", "--json")

    assert ended.code == ExitCode.CONFIGURATION
    check(ended.result, STATUS)
    assert "timeout_seconds" in ended.result["account_error"]


def test_figures_for_prometheus_are_written_beside_the_answer(served: Program) -> None:
    """A cron job each minute keeps the alerts seeing."""
    path = served.folder / "liqctl.prom"

    ended = served.run("status", "--json", "--prometheus", str(path))

    assert ended.code == ExitCode.DONE
    text = path.read_text()
    assert 'liqctl_account_flat{environment="simulator"} 0.0' in text
    assert 'liqctl_account_exposure{environment="simulator",product="USDM"} 43500.0' in text
    assert 'liqctl_account_exposure{environment="simulator",product="COINM"} 24000.0' in text
    assert 'liqctl_account_open_orders{environment="simulator",product="COINM"} 5.0' in text
    assert not served.trail.exists()


def test_figures_without_a_key_tell_what_the_trail_knows(served: Program) -> None:
    """An account that nobody could read is absent, not empty."""
    path = served.folder / "liqctl.prom"
    assert served.run().code == ExitCode.DONE
    served.variables["LIQCTL_API_KEY"] = ""

    ended = served.run("status", "--prometheus", str(path))

    assert ended.code == ExitCode.CREDENTIALS
    text = path.read_text()
    assert 'liqctl_runs_total{environment="simulator",state="COMPLETED"} 1.0' in text
    assert 'liqctl_audit_complete{environment="simulator"} 1.0' in text
    assert "liqctl_account" not in text


def test_figures_that_cannot_be_written_are_said_and_are_no_success(served: Program) -> None:
    """A cron job that fails in silence is found after the emergency."""
    ended = served.run("status", "--prometheus", "/nowhere/liqctl.prom")

    assert ended.code == ExitCode.FAILED
    assert "/nowhere/liqctl.prom cannot be written: No such file or directory" in ended.stderr


def test_a_broken_trail_and_the_last_passed_drill_are_figures_too(served: Program) -> None:
    """Both are alerts that nobody would look for by hand."""
    path = served.folder / "liqctl.prom"
    assert served.run().code == ExitCode.DONE
    served.trail.write_text(served.trail.read_text().replace("BTCUSDT", "BTCUSDC"))
    (served.trail.parent / "drills.jsonl").write_text(
        '{"environment": "simulator", "finished_at": "2026-01-02T10:30:00Z", "passed": true}\n'
        '{"environment": "simulator", "finished_at": "2026-01-03T10:30:00Z", "passed": false}\n'
    )

    served.run("status", "--prometheus", str(path))

    text = path.read_text()
    assert 'liqctl_audit_complete{environment="simulator"} 0.0' in text
    drilled = 'liqctl_drill_last_passed_timestamp_seconds{environment="simulator"} 1.7673498e+09'
    assert drilled in text


def test_a_trail_that_cannot_be_read_is_unknown_and_not_empty(served: Program) -> None:
    """`runs 0` beside a trail of another user says that nothing ever happened."""
    served.trail.mkdir(parents=True)
    path = served.folder / "liqctl.prom"

    shown = served.run("status", "--prometheus", str(path))
    told = served.run("status", "--json").result

    check(told, STATUS)
    assert "cannot be read: not a regular file" in told["trail_error"]
    assert "last run  unknown, the audit trail" in shown.stdout
    assert "runs      0" not in shown.stdout
    assert "liqctl_runs_total" not in path.read_text()
    assert "liqctl_account_flat" in path.read_text()


FLAT: Final = Scenario(name="flat", account={"positions": {}})
STOP: Final = Scenario(
    name="stop",
    account={
        "positions": {},
        "algo": [{"symbol": "BTCUSDT", "side": "SELL", "trigger": "57000", "close_position": True}],
    },
)
"""A stop that closes a position, and no position: what a list shows that is late."""


@pytest.mark.parametrize("options", [(), ("--exit-code",)])
@pytest.mark.parametrize(
    ("scenario", "code"),
    [
        ("all_reads_down", ExitCode.FAILED),
        ("key_refused", ExitCode.CREDENTIALS),
    ],
)
def test_an_account_that_could_not_be_read_is_never_0(
    tmp_path: Path, scenario: str, code: ExitCode, options: tuple[str, ...]
) -> None:
    """A cron job that looks at the exit code only must not sleep on."""
    with program(tmp_path, load_scenario(scenario), timeout_s=1.0) as served:
        ended = served.run("status", "--json", *options)

    assert ended.code == code
    check(ended.result, STATUS)
    assert ended.result["account"] is None
    assert ended.result["account_error"]


def test_a_stop_on_a_leg_that_reads_flat_is_a_contradiction(tmp_path: Path) -> None:
    """The bot has just opened: its stop is listed, its position is not yet."""
    with program(tmp_path, STOP) as served:
        shown = served.run("status", "--exit-code")
        told = served.run("status", "--json").result["account"]

    assert shown.code == ExitCode.PARTIAL
    assert shown.stdout.startswith("OPEN: simulator")
    assert "one may be open that the list does not show yet" in shown.stdout
    assert (told["flat"], [order["contradiction"] for order in told["orders"]]) == (False, [True])
    assert told["contradictions"][0].startswith("BTCUSDT reads flat, but STOP_MARKET ")


def test_a_position_that_one_source_alone_shows_is_open(tmp_path: Path) -> None:
    """Either list may lag; what one of them shows is there."""
    with program(tmp_path) as served:
        empty = Effect(status=200, body="[]")
        fault = Fault(name="empty", effect=empty, method="GET", path="/positionRisk", times=0)
        served.server.venue.faults.append(fault)
        ended = served.run("status", "--json", "--exit-code")

    assert ended.code == ExitCode.PARTIAL
    assert len(ended.result["account"]["positions"]) == 3


@pytest.mark.parametrize(
    ("path", "source"), [("/positionRisk", "positionRisk"), ("/account", "account")]
)
def test_one_source_alone_does_not_make_it_flat_but_a_watch_does(
    tmp_path: Path, path: str, source: str
) -> None:
    """A silent source is unknown; three readings of the other one are a proof."""
    with program(tmp_path, FLAT) as served:
        served.hang(method="GET", path=path, kind="service_unavailable")
        once = served.run("status", "--json", "--exit-code")
        figures = served.folder / "liqctl.prom"
        served.run("status", "--prometheus", str(figures))
        watched = served.run("status", "--json", "--exit-code", "--settle", "0.2")

    account = once.result["account"]
    assert once.code == ExitCode.FAILED
    assert (account["flat"], {*account["silent"]}) == (False, {source, f"dapi {source}"})
    assert f"{source} did not answer" in once.result["account_error"]
    assert "liqctl_account_flat" not in figures.read_text()
    assert watched.code == ExitCode.DONE
    assert watched.result["account"]["proven"] is True


def test_a_watch_says_proven_and_how_long(tmp_path: Path) -> None:
    """One reading is one reading; what appears late needs a watch."""
    with program(tmp_path, FLAT) as served:
        once = served.run("status")
        watched = served.run("status", "--settle", "0.3")
        told = served.run("status", "--settle", "0.3", "--json").result["account"]

    assert once.stdout.startswith("FLAT at this reading: simulator")
    assert watched.stdout.startswith("FLAT, proven over 0.3 s: simulator")
    assert (told["flat"], told["proven"]) == (True, True)
    assert told["settled_seconds"] >= 0.3


def test_a_watch_of_an_open_account_ends_at_once(served: Program) -> None:
    """Nothing is waited for that is known already."""
    ended = served.run("status", "--settle", "20", "--exit-code")

    assert ended.code == ExitCode.PARTIAL
    assert ended.stdout.startswith("OPEN: simulator")
    assert ended.seconds < 15


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--settle", "31"), ExitCode.CONFIGURATION, "settle_seconds must be between 0.0 and 30.0"),
        (("--settle", "1", "--watch"), ExitCode.USAGE, "do not go together"),
    ],
)
def test_a_watch_that_cannot_be_is_refused(
    served: Program, options: tuple[str, ...], code: ExitCode, words: str
) -> None:
    """In JSON as in words."""
    ended = served.run("status", "--json", *options)

    assert ended.code == code
    check(ended.result, STATUS)
    assert words in ended.result["account_error"]


def test_positions_that_were_not_read_are_null_and_said_to_be_not_read(served: Program) -> None:
    """0 positions of 0.00 notional would be taken for a flat account."""
    served.timeout_s = 1.0
    for path in ("/fapi/v3/positionRisk", "/fapi/v3/account"):
        served.hang(path=path)

    both = served.run("status").stdout
    served.variables["LIQCTL_EXCHANGE__PRODUCTS"] = "usdm"
    account = served.run("status", "--json").result["account"]
    screen = served.run("status").stdout

    assert account["positions"] == []
    assert account["notional"] is None
    assert "positions not read, 8 orders" in screen
    assert "at least 3 positions of 24,000.00 notional, 13 orders" in both
    assert "account, positionRisk did not answer\n" in both, "there is no other source"


def test_portfolio_margin_is_read_and_named(tmp_path: Path) -> None:
    """The lists of a standard account are empty there: that was taken for nothing."""
    with program(tmp_path, load_scenario("portfolio_margin")) as served:
        shown = served.run("status", "--exit-code")

    assert shown.code == ExitCode.PARTIAL
    assert "2 positions of 36,000.00 notional, 3 orders" in shown.stdout
    assert re.search("^margin +PORTFOLIO$", shown.stdout, re.MULTILINE)


def statuses_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each account's status by name, held to its schema."""
    check(document, STATUSES)
    return {each["account_name"]: each for each in document["statuses"]}


def test_which_of_several_accounts_is_asked_back(tmp_path: Path) -> None:
    """Looking at one by chance, and calling it the answer, would leave the others open."""
    with house(tmp_path) as running:
        ended = running.run("status")

    assert ended.code == ExitCode.USAGE
    assert "the settings name desk-a, desk-b, portfolio, refused, silent" in ended.stderr
    assert ended.stdout == ""


def test_one_account_alone_is_the_document_of_one(tmp_path: Path) -> None:
    """With its own key and scope, and its name in it and on the screen."""
    with house(tmp_path) as running:
        running.more["accounts"]["desk-a"] = {"symbols": ["ETHUSDT"]}
        ended = running.run("status", "--account", "desk-a", "--json")
        shown = running.run("status", "--account", "desk-a")

    check(ended.result, STATUS)
    assert ended.result["account_name"] == "desk-a"
    assert [row["symbol"] for row in ended.result["account"]["positions"]] == ["ETHUSDT"]
    assert shown.stdout.startswith("OPEN: simulator desk-a (ETHUSDT only), no liquidation runs\n")


def test_several_accounts_are_one_document_and_none_waits_for_another(tmp_path: Path) -> None:
    """One key is refused and one account hangs: the others were read long before it gave up."""
    with house(tmp_path) as running:
        ended = running.run("status", "--all-accounts", "--json")
        open_wins = running.run("status", "--all-accounts", "--json", "--exit-code")

    document = ended.result
    found = statuses_of(document)
    read = {name: datetime.fromisoformat(each["looked_at"]) for name, each in found.items()}
    slowest = read.pop("silent")
    assert list(found) == ["desk-a", "desk-b", "portfolio", "refused", "silent"]
    assert [len(each["account"]["positions"]) for each in list(found.values())[:3]] == [3, 2, 2]
    assert found["refused"]["account"] is found["silent"]["account"] is None
    assert all((slowest - moment).total_seconds() > 0.5 for moment in read.values())
    assert (document["environment"], document["exit_code"]) == ("simulator", ExitCode.PARTIAL)
    # What was not read is no success, even where nobody asked for the exit code.
    assert ended.code == ExitCode.FAILED
    assert open_wins.code == ExitCode.PARTIAL


def test_flat_accounts_are_0_and_an_unread_one_among_them_is_not(tmp_path: Path) -> None:
    """A cron job that asks for all must not take a refused key for good news."""
    with house(tmp_path) as running:
        two = ("--account", "desk-a", "--account", "desk-b")
        assert running.run("liquidate", *two).code == ExitCode.DONE
        flat = running.run("status", *two, "--exit-code")
        with_refused = running.run("status", *two, "--account", "refused", "--exit-code")

    assert flat.code == ExitCode.DONE
    assert flat.stdout.startswith("FLAT at this reading: simulator, 2 accounts: 2 FLAT; no liq")
    assert with_refused.code == ExitCode.CREDENTIALS
    assert with_refused.stdout.startswith("UNKNOWN: simulator, 3 accounts: 1 UNKNOWN, 2 FLAT;")


def test_the_screen_has_a_row_for_each_account_with_its_run(tmp_path: Path) -> None:
    """Worst first, and who is at work or was is told with the account, not of them all."""
    with house(tmp_path, timeout_s=30.0) as running:
        running.run("liquidate", "--account", "desk-b", "--correlation-id", "before")
        address = running.server.address
        assert address is not None
        for method in ("POST", "DELETE"):
            stuck = Fault(name="", effect=KINDS["service_unavailable"], times=0, method=method)
            address.venues["desk-a"].faults.append(stuck)
        running.variables["LIQCTL_LIQUIDATION__MAX_RETRIES"] = "10"
        with running.start(
            "liquidate", "--json", "--account", "desk-a", "--correlation-id", "at-work"
        ) as busy:
            running.wait_for("LIQUIDATION_START", count=2)
            words = ("--account", "desk-a", "--account", "desk-b", "--account", "refused")
            ended = running.run("status", *words)
            # Without their keys accounts are known by name: the run is one account's, not all's.
            for name in ("DESK_A", "DESK_B"):
                del running.variables[f"LIQCTL_SIMULATOR_{name}_API_KEY"]
            keyless = running.run("status", *words, "--json")
            busy.terminate()
            busy.communicate(timeout=40)

    head, _, _, *rows = ended.stdout.splitlines()
    assert head == ("OPEN: simulator, 3 accounts: 1 OPEN, 1 UNKNOWN, 1 FLAT; 1 liquidation running")
    assert re.match(
        rf"desk-a   OPEN     +3  51,000.00 +3  running at-work, process {busy.pid} ", rows[0]
    )
    assert re.match(r"refused  UNKNOWN  +\? +\? +\?  the venue refused the key: ", rows[1])
    assert re.match(
        r"desk-b   FLAT     +0 +0.00 +0  last run COMPLETED \d\d:\d\d:\d\d UTC", rows[2]
    )
    assert rows[4] == "open      at least 3 positions of 51,000.00 notional, 3 orders"
    found = statuses_of(keyless.result)
    assert found["desk-a"]["in_progress"]["correlation_id"] == "at-work"
    assert found["desk-b"]["in_progress"] is found["refused"]["in_progress"] is None


def test_figures_of_all_accounts_are_in_one_file(tmp_path: Path) -> None:
    """One cron job, one file, and an alert names the account."""
    path = tmp_path / "liqctl.prom"
    with house(tmp_path) as running:
        running.run("status", "--all-accounts", "--prometheus", str(path))

    figures = path.read_text()
    assert 'liqctl_account_flat{account="desk-a",environment="simulator"} 0.0' in figures
    assert 'liqctl_account_flat{account="desk-b",environment="simulator"} 0.0' in figures
    assert 'liqctl_build_info{account="silent",environment="simulator",' in figures
    assert 'liqctl_account_flat{account="silent"' not in figures


def test_more_accounts_than_the_address_can_read_show_positions_and_say_why(
    tmp_path: Path,
) -> None:
    """Order lists cost eight times as much; a liquidation started now must find its weight."""
    with house(tmp_path, make_large_house(accounts=6, symbols=2)) as running:
        ended = running.run("status", "--all-accounts", "--json", "--exit-code")
        five = running.run(
            "status", "--json", *(w for n in range(1, 6) for w in ("--account", f"desk-{n:02}"))
        )

    found = statuses_of(ended.result)
    assert ended.code == ExitCode.PARTIAL
    assert all(len(each["account"]["positions"]) == 2 for each in found.values())
    assert all("--account" in each["account_error"] for each in found.values())
    assert all("regular orders" in each["account"]["unread"] for each in found.values())
    assert [each["account_error"] for each in statuses_of(five.result).values()] == [None] * 5
