"""Each exit code of the contract, from the installed program, with the document beside it."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from liqctl.kernel.states import ExitCode
from liqctl.sim.scenario import load_scenario
from tests.cli.documents import RESULT, STATUS, check, check_event
from tests.process.program import Ended, Program, program


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Program]:
    """The program and a venue with three positions, a resting order and a stop."""
    with program(tmp_path) as running:
        yield running


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        yield port


def assert_result(ended: Ended, code: ExitCode, state: str) -> None:
    """The exit code, the state, one whole document and nothing else on stdout."""
    ended.assert_clean()
    assert (ended.code, ended.result["state"]) == (code, state), ended.stderr
    check(ended.result, RESULT)


def test_0_when_the_account_is_proven_flat(served: Program) -> None:
    """The one answer a runbook may stop at."""
    ended = served.run()

    assert_result(ended, ExitCode.DONE, "COMPLETED")
    assert ended.result["verified_flat"]
    assert ended.result["positions_closed"] == 3
    assert ended.result["audit_complete"]
    assert served.is_flat


def test_0_when_nothing_was_open(served: Program) -> None:
    """Twice is no error: the second run proves what the first one did."""
    served.run()

    ended = served.run()

    assert_result(ended, ExitCode.DONE, "COMPLETED")
    assert ended.result["positions_found"] == 0


def test_0_for_a_dry_run_that_sent_nothing(served: Program) -> None:
    """A rehearsal leaves the venue and the trail as they were."""
    ended = served.run("liquidate", "--dry-run", "--json")

    assert_result(ended, ExitCode.DONE, "SKIPPED")
    assert ended.result["dry_run"]
    assert ended.result["positions_found"] == 3
    assert not served.sent()
    assert "LIQUIDATION_START" not in {r["event_type"] for r in served.records()}


def test_a_rehearsal_of_a_disarmed_switch_proves_nothing(served: Program) -> None:
    """Its scope is empty: nothing open in it is no proof that nothing is open."""
    for name in ("EMERGENCY_LIQUIDATION", "CLOSE_POSITIONS", "CANCEL_ORDERS"):
        served.variables[f"LIQCTL_LIQUIDATION__{name}"] = "false"

    ended = served.run("liquidate", "--dry-run", "--json")

    assert_result(ended, ExitCode.DONE, "SKIPPED")
    assert ended.result["verified_flat"] is False


def test_0_and_loud_when_the_switch_is_disarmed(served: Program) -> None:
    """A disarmed switch that says nothing is found out too late."""
    for name in ("EMERGENCY_LIQUIDATION", "CLOSE_POSITIONS", "CANCEL_ORDERS"):
        served.variables[f"LIQCTL_LIQUIDATION__{name}"] = "false"

    ended = served.run()

    assert_result(ended, ExitCode.DONE, "SKIPPED")
    assert "emergency_liquidation is false" in ended.stderr
    assert "Nothing was read" in ended.stderr
    assert not served.sent()
    (skipped,) = served.records()
    assert skipped["event_type"] == "LIQUIDATION_SKIPPED"
    check_event(skipped)


def test_1_when_the_venue_cannot_be_reached(served: Program, closed_port: int) -> None:
    """Nothing read is never flat."""
    served.url = f"http://127.0.0.1:{closed_port}"
    served.timeout_s = 1.0

    ended = served.run()

    assert_result(ended, ExitCode.FAILED, "FAILED")
    assert ended.result["residual"] is None
    assert not ended.result["verified_flat"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-such-option",),
        ("--orders-only", "--positions-only"),
        ("--correlation-id", "not allowed"),
        ("--env", "moon"),
    ],
)
def test_2_for_wrong_usage(served: Program, arguments: tuple[str, ...]) -> None:
    """A typing error in a runbook must not look like a failed liquidation."""
    ended = served.run("liquidate", *arguments)

    ended.assert_clean()
    assert ended.code == ExitCode.USAGE
    assert ended.stderr
    assert not served.sent()


@pytest.mark.parametrize("command", ["liquidate", "status"])
def test_2_without_an_environment(tmp_path: Path, served: Program, command: str) -> None:
    """There is no default: a switch that guesses closes the wrong account."""
    served.variables["LIQCTL_CONFIG"] = ""

    ended = served.run(command)

    assert ended.code == ExitCode.USAGE
    assert "--env" in ended.stderr


def test_2_for_a_symbol_the_venue_does_not_know(served: Program) -> None:
    """A mistyped symbol must not end as `nothing to do`."""
    ended = served.run("--symbol", "BTCUSDX")

    assert_result(ended, ExitCode.USAGE, "FAILED")
    assert "the venue does not know BTCUSDX" in ended.result["error_message"]
    assert not served.sent()


def test_3_when_part_of_it_stays_open(tmp_path: Path) -> None:
    """One halted symbol does not keep the others open, and is not hidden by them."""
    with program(tmp_path, load_scenario("halted_symbol"), timeout_s=2.0) as served:
        ended = served.run()

    assert_result(ended, ExitCode.PARTIAL, "PARTIAL")
    assert [p["symbol"] for p in ended.result["residual"]["positions"]] == ["BTCUSDT"]
    assert ended.result["positions_failed"] == 1


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("TIMEOUT_SECONDS", "0.5", "timeout_seconds must be between 1.0 and 30.0, got 0.5"),
        ("MAX_RETRIES", "-1", "max_retries must be between 0 and 10, got -1"),
        (
            "RETRY_DELAY_SECONDS",
            "0.01",
            "retry_delay_seconds must be between 0.1 and 5.0, got 0.01",
        ),
    ],
)
def test_4_for_an_invalid_setting(served: Program, name: str, value: str, text: str) -> None:
    """The texts are part of the contract: operators search for them."""
    served.variables[f"LIQCTL_LIQUIDATION__{name}"] = value

    ended = served.run()

    assert_result(ended, ExitCode.CONFIGURATION, "FAILED")
    assert text in ended.stderr
    assert text in ended.result["error_message"]
    assert not served.sent()


def test_5_while_another_run_works_on_the_account(served: Program) -> None:
    """Two at once: one works, the other says so at once and leaves a record."""
    served.timeout_s = 30.0
    served.hang(method="GET", kind="service_unavailable")
    with served.start("liquidate", "--json", "--correlation-id", "first") as first:
        served.wait_for("LIQUIDATION_START")
        second = served.run("liquidate", "--json", "--correlation-id", "second")
        served.server.venue.faults.clear()
        stdout, _ = first.communicate(timeout=30)

    assert_result(second, ExitCode.IN_PROGRESS, "FAILED")
    assert second.result["error_message"] == "Liquidation already in progress"
    assert (first.returncode, json.loads(stdout)["state"]) == (ExitCode.DONE, "COMPLETED")
    blocked = [r for r in served.records() if r["event_type"] == "LIQUIDATION_BLOCKED"]
    assert [r["correlation_id"] for r in blocked] == ["second"]
    served.assert_trail_closed()


def test_6_in_production_without_a_terminal(served: Program) -> None:
    """Cron cannot answer; the message names what to give instead."""
    settings = served.folder / "production.yaml"
    settings.write_text(f"exchange: {{base_url: '{served.server.url}'}}\n")

    ended = served.run("--env", "production", "--config", str(settings))

    assert_result(ended, ExitCode.NOT_CONFIRMED, "FAILED")
    assert "--yes" in ended.stderr
    assert not served.server.venue.account.journal.requests


def test_7_without_a_key(served: Program) -> None:
    """The message names the variables that would help."""
    served.variables |= {"LIQCTL_API_KEY": "", "LIQCTL_API_SECRET": ""}

    ended = served.run()

    assert_result(ended, ExitCode.CREDENTIALS, "FAILED")
    assert "LIQCTL_SIMULATOR_API_KEY" in ended.stderr


def test_7_when_the_venue_refuses_the_key(tmp_path: Path) -> None:
    """A refused key is final; nothing is tried until the deadline."""
    with program(tmp_path, load_scenario("key_refused")) as served:
        ended = served.run()

    assert_result(ended, ExitCode.CREDENTIALS, "FAILED")
    assert "-2015" in ended.result["error_message"]
    assert ended.result["duration_seconds"] < 2.0


@pytest.mark.parametrize(("flat", "code"), [(False, ExitCode.PARTIAL), (True, ExitCode.DONE)])
def test_status_exit_code_tells_open_from_flat(served: Program, flat: bool, code: ExitCode) -> None:
    """`status --exit-code && …` is what other programs wait on."""
    if flat:
        served.run()

    ended = served.run("status", "--exit-code", "--json")

    assert ended.code == code, ended.stderr
    check(ended.result, STATUS)
    assert ended.result["account"]["flat"] is flat


def test_status_exit_code_is_never_0_when_nothing_was_read(
    served: Program, closed_port: int
) -> None:
    """Unreadable is not flat."""
    served.url = f"http://127.0.0.1:{closed_port}"
    served.timeout_s = 1.0

    ended = served.run("status", "--exit-code", "--json")

    assert ended.code == ExitCode.FAILED
    check(ended.result, STATUS)
    assert ended.result["account"] is None
    assert ended.result["account_error"]


def test_status_exit_code_is_7_without_a_key_and_the_trail_is_still_told(
    served: Program,
) -> None:
    """What the trail alone can tell needs no key."""
    served.run("--correlation-id", "earlier")
    served.variables |= {"LIQCTL_API_KEY": "", "LIQCTL_API_SECRET": ""}

    ended = served.run("status", "--exit-code", "--json")

    assert ended.code == ExitCode.CREDENTIALS
    check(ended.result, STATUS)
    assert ended.result["last_run"]["correlation_id"] == "earlier"
    assert ended.result["metrics"]["completed"] == 1


@pytest.mark.parametrize(
    "command", ["status", "validate", "audit verify", "audit show", "simulator"]
)
def test_2_tells_why_in_json_too(served: Program, command: str) -> None:
    """A program that reads stdout must not find it empty, whatever was mistyped."""
    ended = served.run(*command.split(), "--jsn", "--json")

    assert (ended.code, ended.result["schema"]) == (ExitCode.USAGE, "liqctl.error/1")
    assert ended.result["exit_code"] == ExitCode.USAGE
    assert "--jsn" in ended.result["error_message"]


def test_2_for_an_unknown_option_of_liquidate_is_a_result(served: Program) -> None:
    """What reads results needs no second reader for mistakes."""
    ended = served.run("--bogus")

    assert_result(ended, ExitCode.USAGE, "FAILED")
    assert "--bogus" in ended.result["error_message"]
    assert not served.sent()
