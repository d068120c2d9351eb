"""`liqctl validate --online` against the simulated venue: what would fail in the emergency."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liqctl.drill import DRILLS_NAME
from liqctl.sim.address import MASTER, key_of, secret_of
from liqctl.sim.faults import KINDS, Fault, make_fault
from liqctl.sim.scenario import Scenario, load_scenario
from liqctl.sim.server import EmbeddedServer
from tests.accounts import make_large_house
from tests.cli.documents import VALIDATION, check
from tests.process.program import Program, house

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60


def validate(
    cwd: Path, *arguments: str, url: str | None = None, keys: bool = True, env: str = "production"
) -> subprocess.CompletedProcess[str]:
    """Run `validate --online --json`; the venue is at `url`, with its own keys."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("LIQCTL_")}
    if url is not None:
        environ["LIQCTL_EXCHANGE__BASE_URL"] = url
    if keys and url is not None:
        from liqctl.sim.server import API_KEY, API_SECRET

        environ |= {"LIQCTL_API_KEY": API_KEY, "LIQCTL_API_SECRET": API_SECRET}
    environ["LIQCTL_AUDIT__LOG_DIR"] = "logs"
    return subprocess.run(
        [sys.executable, "-m", "liqctl", "validate", "--env", env, "--online", *arguments],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={
            **environ,
            "PYTHONPATH": str(ROOT),
            "XDG_STATE_HOME": str(cwd / "state"),
        },
    )


def findings(ended: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Return the issues by field, of the one document on stdout."""
    document = json.loads(ended.stdout)
    check(document, VALIDATION)
    return {issue["field"]: issue for issue in document["issues"]}


def level_of(found: dict[str, dict[str, Any]], field: str) -> str:
    """Return the level of the issue about a field."""
    level: str = found[field]["level"]
    return level


def test_the_embedded_venue_passes_strictly(tmp_path: Path) -> None:
    """The first try of a stranger, without key and network, must be green."""
    ended = validate(tmp_path, "--json", "--strict", env="simulator")

    assert ended.returncode == 0, ended.stdout
    found = findings(ended)
    assert level_of(found, "online.latency") == "INFO"
    assert "7 positions" in found["online.exposure"]["message"]
    assert "round trips" in found["online.forecast"]["message"]


def test_nothing_is_placed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """Looking must not touch: no order reaches the book, no file appears."""
    with EmbeddedServer() as server:
        before = len(server.venue.account.open_orders())
        ended = validate(tmp_path, "--json", url=server.url)
        orders = server.venue.account.journal.fills

    assert ended.returncode == 0, ended.stdout
    assert not orders
    assert len(server.venue.account.open_orders()) == before
    left = [str(each.relative_to(tmp_path)) for each in tmp_path.glob("*/*/*")]
    assert left == ["state/liqctl/settings"], "what it read, kept for the next start"


@pytest.mark.parametrize(
    ("venue", "field", "level"),
    [
        ({"clock_skew_ms": 900}, "online.clock", "WARNING"),
        ({"clock_skew_ms": 6000}, "online.clock", "ERROR"),
        ({"can_withdraw": True}, "online.key.withdrawals", "WARNING"),
        ({"ip_restricted": False}, "online.key.addresses", "WARNING"),
        ({"can_trade": False}, "online.key.futures", "ERROR"),
        ({"portfolio_margin": True}, "online.margin", "INFO"),
    ],
)
def test_what_would_fail_in_the_emergency_is_said_before(
    tmp_path: Path, venue: dict[str, object], field: str, level: str
) -> None:
    """Each of these closes nothing, or too late, at three in the morning."""
    with EmbeddedServer(Scenario(name="", venue=venue)) as server:
        ended = validate(tmp_path, "--json", url=server.url)

    assert level_of(findings(ended), field) == level
    assert ended.returncode == (4 if level == "ERROR" else 0)


def test_a_slow_way_is_a_warning(tmp_path: Path) -> None:
    """Over 100 ms a request, five seconds are soon over."""
    with EmbeddedServer(latency_ms=150) as server:
        ended = validate(tmp_path, "--json", url=server.url)

    assert level_of(findings(ended), "online.latency") == "WARNING"


def test_a_symbol_that_does_not_trade_is_named(tmp_path: Path) -> None:
    """Nobody can close it: better known today."""
    with EmbeddedServer(load_scenario("halted_symbol")) as server:
        found = findings(validate(tmp_path, "--json", url=server.url))

    assert level_of(found, "online.symbols") == "WARNING"
    assert "BTCUSDT" in found["online.symbols"]["message"]


def test_a_refused_key_names_every_likely_cause(tmp_path: Path) -> None:
    """Binance's one code stands for a wrong key, a wrong address and a missing right."""
    with EmbeddedServer(load_scenario("key_refused")) as server:
        ended = validate(tmp_path, "--json", url=server.url)

    found = findings(ended)
    assert ended.returncode == 4
    assert level_of(found, "online.key") == "ERROR"
    assert "IP address" in found["online.key"]["message"]


def test_without_a_key_the_public_part_is_checked(tmp_path: Path) -> None:
    """The key may come last; way, clock and weight need none."""
    with EmbeddedServer() as server:
        found = findings(validate(tmp_path, "--json", url=server.url, keys=False))

    assert level_of(found, "online.clock") == "INFO"
    assert level_of(found, "online.key") == "WARNING"
    assert "online.exposure" not in found


@pytest.mark.parametrize("trouble", ["dead", "reads_hang", "all_reads_down"])
def test_a_venue_that_does_not_answer_gives_findings(tmp_path: Path, trouble: str) -> None:
    """A hang in a check of readiness would itself be the outage."""
    if trouble == "dead":
        ended = validate(tmp_path, "--json", url="http://127.0.0.1:9")
    else:
        with EmbeddedServer(load_scenario(trouble)) as server:
            ended = validate(tmp_path, "--json", url=server.url)

    assert ended.returncode == 4
    assert any(issue["level"] == "ERROR" for issue in findings(ended).values())


@pytest.mark.parametrize(
    ("days", "passed", "level"), [(1, True, "INFO"), (40, True, "WARNING"), (1, False, "WARNING")]
)
def test_the_last_drill_is_remembered(
    tmp_path: Path, days: int, *, passed: bool, level: str
) -> None:
    """A switch nobody tried for a month is a hope, not a plan."""
    row = {
        "schema": "liqctl.drill/1",
        "finished_at": (datetime.now(UTC) - timedelta(days=days)).isoformat(),
        "environment": "production",
        "passed": passed,
    }
    (tmp_path / "logs").mkdir(mode=0o700)
    (tmp_path / "logs" / DRILLS_NAME).write_text(f"not json\n{json.dumps(row)}\n")
    with EmbeddedServer() as server:
        found = findings(validate(tmp_path, "--json", url=server.url))

    assert level_of(found, "drills") == level


def test_people_read_the_verdict_first(tmp_path: Path) -> None:
    """Ready or not, and how many things stand in the way, in one line."""
    with EmbeddedServer(Scenario(name="", venue={"can_withdraw": True})) as server:
        ended = validate(tmp_path, url=server.url)

    first = ended.stdout.splitlines()[0]
    assert first.startswith("VALID, NOT READY: production, 0 blockers, ")
    assert "warning" in first
    assert "the key may withdraw money" in ended.stdout


def of_house(ended: Any) -> dict[str, dict[str, Any]]:
    """Return the findings by field of the program's document."""
    return {issue["field"]: issue for issue in ended.result["issues"]}


def test_each_account_is_asked_and_what_they_share_is_said_once(tmp_path: Path) -> None:
    """A refused key and an account that hangs are their own findings; the others are whole."""
    with house(tmp_path) as running:
        ended = running.run("validate", "--online", "--json")

    found = of_house(ended)
    assert ended.code == 4
    assert ended.seconds < 12  # Side by side: the hanging account alone takes five.
    assert level_of(found, "accounts.refused.online.key") == "ERROR"
    assert "silent" in "".join(f for f, each in found.items() if each["level"] == "ERROR")
    for name in ("desk-a", "desk-b", "portfolio"):
        about = {f: each["level"] for f, each in found.items() if f.split(".")[1:2] == [name]}
        assert set(about.values()) == {"INFO"}, about
        assert f"accounts.{name}.online.exposure" in about
    assert "3 positions" in found["accounts.desk-a.online.exposure"]["message"]
    fields = [issue["field"] for issue in ended.result["issues"]]
    for shared in ("reachable", "latency", "clock", "weight"):
        assert [f for f in fields if f.endswith(f"online.{shared}")] == [f"online.{shared}"]
    assert fields.count("drills") == 1


def test_two_names_of_one_account_are_found_by_what_the_venue_calls_it(tmp_path: Path) -> None:
    """Each has a key of its own, so no file shows it."""
    with house(tmp_path, load_scenario("house_twins")) as running:
        offline = of_house(running.run("validate", "--json"))
        online = of_house(running.run("validate", "--online", "--json"))

    assert "accounts.desk-b.key" not in offline
    assert online["accounts.desk-b.key"]["level"] == "WARNING"
    assert "the same account as desk-a" in online["accounts.desk-b.key"]["message"]
    assert "accounts.desk-a.key" not in online


def test_more_accounts_than_can_be_read_whole_are_no_fault_of_theirs(tmp_path: Path) -> None:
    """Their order lists are left out, so that bots and a liquidation find weight."""
    with house(tmp_path, make_large_house(accounts=7, symbols=2)) as running:
        ended = running.run("validate", "--online", "--json")

    found = of_house(ended)
    told = found["accounts.desk-07.online.exposure"]["message"]
    assert "2 positions of " in told
    assert told.endswith("orders not read: too many accounts at once")
    assert "accounts.desk-07.online.account" not in found


def with_master(running: Program) -> Program:
    """Give the program the master's key beside those of the accounts."""
    own = "LIQCTL_SIMULATOR_MASTER_API"
    running.variables |= {f"{own}_KEY": key_of(MASTER), f"{own}_SECRET": secret_of(MASTER)}
    return running


def test_a_sub_account_that_no_name_covers_is_named(tmp_path: Path) -> None:
    """It was opened after the settings were written: a liquidation would leave it alone."""
    with house(tmp_path, load_scenario("house_uncovered")) as running:
        alone = of_house(running.run("validate", "--online", "--json"))
        ended = with_master(running).run("validate", "--online", "--json")
        one = of_house(running.run("validate", "--online", "--json", "--account", "desk-a"))

    issue = of_house(ended)["online.sub_accounts"]
    assert "online.sub_accounts" not in alone
    assert issue == one["online.sub_accounts"], "the other name covers its account all the same"
    assert (ended.code, issue["level"]) == (0, "WARNING")
    assert issue["message"] == (
        "1 of 3 sub-accounts of the master key has no account here, so nothing closes it: "
        "fo…@… (2 positions)"
    )
    assert "simulator.invalid" not in ended.stdout + ended.stderr


def test_sub_accounts_that_are_all_covered_are_only_told(tmp_path: Path) -> None:
    """Two names of one account cover it once."""
    with house(tmp_path, load_scenario("house_twins")) as running:
        found = of_house(with_master(running).run("validate", "--online", "--json"))

    assert found["online.sub_accounts"]["level"] == "INFO"
    assert "all 1 sub-account" in found["online.sub_accounts"]["message"]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"kind": "key_refused"}, "-2015"),
        ({"kind": "key_refused", "path": "/subAccountApi"}, "-2015"),
    ],
)
def test_a_master_that_does_not_tell_claims_nothing(
    tmp_path: Path, fault: dict[str, str], why: str
) -> None:
    """An account whose keys were not read may be one of ours."""
    with house(tmp_path, load_scenario("house_uncovered")) as running:
        assert running.server.address is not None
        running.server.address.master.faults.append(make_fault(**fault, times=0))
        found = of_house(with_master(running).run("validate", "--online", "--json"))

    message = found["online.sub_accounts"]["message"]
    assert message.startswith("not checked: whether every sub-account has a name here")
    assert why in message


def test_the_listen_key_and_the_stream_are_tried_and_the_key_is_never_deleted(
    tmp_path: Path,
) -> None:
    """The key is one for all programs of the account: deleting it would end the bots' streams."""
    with EmbeddedServer(load_scenario("default")) as server:
        ended = validate(tmp_path, "--json", url=server.url, env="simulator")
        asked = {(method, path) for _, method, path, _ in server.venue.account.journal.requests}

    told = [
        issue for issue in json.loads(ended.stdout)["issues"] if issue["field"] == "online.stream"
    ]
    assert [(issue["level"], issue["message"]) for issue in told] == [
        ("INFO", f"the user data stream of {each} was connected; `arm` listens to it")
        for each in ("USDS-M", "COIN-M")
    ]
    keys = {method for method, path in asked if path.endswith("/listenKey")}
    assert keys == {"POST"}


def test_a_stream_that_cannot_be_had_is_said_and_matters_to_who_arms(tmp_path: Path) -> None:
    """The rest of the check goes on: `liquidate` needs no stream."""
    (tmp_path / "armed.yaml").write_text("arm: {guards: [{rule: max_loss, limit: 500}]}\n")
    with EmbeddedServer(load_scenario("default")) as server:
        server.venue.faults.append(
            Fault(name="no key", effect=KINDS["service_unavailable"], times=0, path="/listenKey")
        )
        plain = findings(validate(tmp_path, "--json", url=server.url))
        arming = findings(validate(tmp_path, "--json", "--config", "armed.yaml", url=server.url))

    assert "could not be connected: no listen key: " in plain["online.stream"]["message"]
    assert (level_of(plain, "online.stream"), level_of(arming, "online.stream")) == (
        "INFO",
        "WARNING",
    )
    assert "online.forecast" in plain
