"""`liqctl validate` from outside: the document, the exit codes, nothing shown that is secret."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.documents import VALIDATION, check
from tests.process.program import program
from tests.terminal import needs_tmux, on_terminal

CONFIGS = Path(__file__).parents[2] / "configs"
CANARY = "CANARY0secret0value"
TIMEOUT_S = 60


def run(cwd: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `liqctl validate` in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "liqctl", "validate", *arguments],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": str(CONFIGS.parent), **environ},
    )


def document(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one document on stdout."""
    found: dict[str, Any] = json.loads(ended.stdout)
    check(found, VALIDATION)
    return found


@pytest.mark.parametrize("environment", ["testnet", "simulator"])
def test_the_shipped_files_pass_strictly(tmp_path: Path, environment: str) -> None:
    """Who starts with them must not start with warnings."""
    file = str(CONFIGS / f"{environment}.yaml")

    ended = run(tmp_path, "--env", environment, "--config", file, "--strict", "--json")

    assert ended.returncode == 0, ended.stdout
    found = document(ended)
    keys = ["schema", "environment", "is_valid", "is_ready", "issues", "config", "config_file"]
    assert list(found) == keys
    assert found["config_file"] == file
    assert found["schema"] == "liqctl.validation/1"
    assert found["is_valid"]
    assert found["is_ready"]


def test_production_without_keys_is_valid_and_not_ready(tmp_path: Path) -> None:
    """The keys may be set elsewhere later; --strict refuses all the same."""
    ended = run(tmp_path, "--env", "production", "--json")
    found = document(ended)

    assert ended.returncode == 0
    assert found["is_valid"]
    assert not found["is_ready"]
    assert set(found["issues"][0]) == {"level", "type", "field", "message", "recommendation"}
    assert run(tmp_path, "--env", "production", "--strict").returncode == 4


def test_values_come_with_their_source_and_secrets_without_value(tmp_path: Path) -> None:
    """`validate` is pasted into tickets."""
    ended = run(
        tmp_path,
        *("--env", "testnet", "--json"),
        LIQCTL_LIQUIDATION__TIMEOUT_SECONDS="9",
        LIQCTL_API_KEY=CANARY,
        LIQCTL_API_SECRET=CANARY,
    )
    config = document(ended)["config"]

    assert config["liquidation.timeout_seconds"] == {
        "value": 9.0,
        "source": "variable",
        "where": "LIQCTL_LIQUIDATION__TIMEOUT_SECONDS",
    }
    assert config["liquidation.max_retries"]["source"] == "default"
    assert config["api_key"]["value"] == "set"
    assert CANARY not in ended.stdout + ended.stderr


def test_every_problem_is_an_issue_and_the_exit_is_4(tmp_path: Path) -> None:
    """One run tells all, about the keys too."""
    file = tmp_path / "bad.yaml"
    file.write_text(f"liquidation: {{timeout_seconds: 0.5, max_retries: 11}}\napi_key: {CANARY}")

    ended = run(tmp_path, "--env", "production", "--config", str(file), "--json")
    found = document(ended)

    assert ended.returncode == 4
    assert not found["is_valid"]
    messages = [issue["message"] for issue in found["issues"]]
    assert "timeout_seconds must be between 1.0 and 30.0, got 0.5" in messages
    assert "max_retries must be between 0 and 10, got 11" in messages
    assert "no api_secret is set for production" in messages
    assert CANARY not in ended.stdout + ended.stderr


def test_without_an_environment_every_file_found_is_checked(tmp_path: Path) -> None:
    """The worst of them is the exit code."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "testnet.yaml").write_text("environment: testnet")
    (folder / "production.yaml").write_text("liquidation: {timeout_seconds: 2.0}")

    ended = run(tmp_path, "--json")
    found = document(ended)

    assert ended.returncode == 4
    assert [each["environment"] for each in found["environments"]] == ["production", "testnet"]
    assert [each["is_valid"] for each in found["environments"]] == [False, True]


def test_nothing_to_check_is_wrong_usage(tmp_path: Path) -> None:
    """Success without having looked at anything would be a lie."""
    ended = run(tmp_path)

    assert ended.returncode == 2
    assert "--env" in ended.stderr


def test_a_file_that_cannot_be_read_is_still_one_document(tmp_path: Path) -> None:
    """With --json stdout holds one document, whatever happens."""
    ended = run(tmp_path, "--config", str(tmp_path / "missing.yaml"), "--json")

    assert ended.returncode == 4
    assert "cannot be read" in document(ended)["issues"][0]["message"]


def test_against_lists_what_changed(tmp_path: Path) -> None:
    """For reviews of a change to the emergency's own settings."""
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text("liquidation: {max_retries: 2}")
    new.write_text("liquidation: {max_retries: 4, retry_delay_seconds: 0.1}")
    arguments = ("--env", "testnet", "--config", str(new), "--against", str(old))

    found = document(run(tmp_path, *arguments, "--json"))
    told = run(tmp_path, *arguments)

    assert [change["key"] for change in found["changes"]] == [
        "liquidation.max_retries",
        "liquidation.retry_delay_seconds",
    ]
    assert "liquidation.max_retries: 2 -> 4" in told.stdout


@needs_tmux
def test_the_verdict_is_in_sight_where_the_findings_fill_the_screen(tmp_path: Path) -> None:
    """Who sees only the end of a long list must not take a missing verdict for a good one."""
    with (
        program(tmp_path) as running,
        on_terminal(running, "validate", "--online", "--verbose") as terminal,
    ):
        code, shown = terminal.wait_for_end()

    assert code == 0
    assert "VALID: simulator, 0 blockers" in shown


ACCOUNTS = """
environment: production
accounts:
  desk-a: {}
  desk-b: {symbols: [BTCUSDT]}
  house: {products: [usdm]}
"""


def keys(*names: str, **others: str) -> dict[str, str]:
    """Return the variables of accounts with a key each, and others."""
    made = {f"LIQCTL_PRODUCTION_{name}_API_KEY": f"key-of-{name}" for name in names}
    made |= {f"LIQCTL_PRODUCTION_{name}_API_SECRET": CANARY for name in names}
    return made | others


def findings(tmp_path: Path, *arguments: str, **environ: str) -> dict[str, dict[str, Any]]:
    """Return the findings about three accounts by field."""
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    words = ("--config", "accounts.yaml", "--json", *arguments)
    found = document(run(tmp_path, *words, **environ))
    return {issue["field"]: issue for issue in found["issues"]}


def test_every_account_of_the_file_is_checked_and_named(tmp_path: Path) -> None:
    """A key that is missing in one account is that account's finding, and no other's."""
    found = findings(tmp_path, **keys("DESK_A", "DESK_B"))

    about = {field for field in found if field.startswith("accounts.")}
    assert about == {
        "accounts.desk-b.symbols",
        "accounts.house.products",
        "accounts.house.api_key",
        "accounts.house.api_secret",
    }
    missing = found["accounts.house.api_key"]
    assert missing["level"] == "WARNING"
    assert missing["recommendation"] == (
        "set LIQCTL_PRODUCTION_HOUSE_API_KEY or LIQCTL_PRODUCTION_HOUSE_API_KEY_FILE"
    )


def test_only_the_accounts_that_were_asked_for_are_checked(tmp_path: Path) -> None:
    """Who repairs one must not read the findings of twenty."""
    found = findings(tmp_path, "--account", "desk-b", **keys("DESK_A", "DESK_B"))
    every = findings(tmp_path, "--all-accounts", **keys("DESK_A", "DESK_B"))
    unknown = run(tmp_path, "--config", "accounts.yaml", "--account", "desk-x")

    assert {f for f in found if f.startswith("accounts.")} == {"accounts.desk-b.symbols"}
    assert "accounts.house.api_key" in every
    assert unknown.returncode == 2
    assert "no account is called desk-x" in unknown.stderr


def test_a_key_of_no_account_and_one_that_nobody_uses_are_told(tmp_path: Path) -> None:
    """A typing error in a variable would be noticed in the emergency."""
    found = findings(
        tmp_path,
        **keys("DESK_A", "DESK_B", "HOUSE", "MASTER"),
        LIQCTL_PRODUCTION_DESK_C_API_KEY="k",
        LIQCTL_TESTNET_DESK_D_API_KEY="another environment's",
        LIQCTL_API_KEY="common",
    )

    typo = found["LIQCTL_PRODUCTION_DESK_C_API_KEY"]
    assert typo["level"] == "WARNING"
    assert typo["message"].endswith("accounts.yaml; the nearest known is desk-b")
    assert found["LIQCTL_API_KEY"]["level"] == "INFO"
    assert [field for field in found if field.startswith("LIQCTL")] == [
        "LIQCTL_API_KEY",
        "LIQCTL_PRODUCTION_DESK_C_API_KEY",
    ]


def test_two_accounts_with_one_key_are_told(tmp_path: Path) -> None:
    """It is closed once: the second name is a mistake, or the second account stays open."""
    environ = keys("DESK_A", "DESK_B", "HOUSE")
    environ["LIQCTL_PRODUCTION_HOUSE_API_KEY"] = environ["LIQCTL_PRODUCTION_DESK_A_API_KEY"]

    found = findings(tmp_path, **environ)

    twin = found["accounts.house.key"]
    assert (twin["level"], twin["message"]) == (
        "WARNING",
        "the same account as desk-a: it is closed once, under that name",
    )


def test_the_document_tells_each_accounts_keys_as_set_or_not(tmp_path: Path) -> None:
    """And never a value."""
    findings(tmp_path)
    words = ("--config", "accounts.yaml")
    ended = run(tmp_path, *words, "--json", **keys("DESK_A"))
    shown = run(tmp_path, *words, "-v", **keys("DESK_A"))

    config = document(ended)["config"]
    assert config["accounts.desk-a.api_key"] == {
        "value": "set",
        "source": "variable",
        "where": "LIQCTL_PRODUCTION_DESK_A_API_KEY",
    }
    assert config["accounts.desk-b.api_secret"]["value"] == "not set"
    assert config["accounts"]["value"]["desk-b"]["symbols"] == ["BTCUSDT"]
    assert "api_key" not in config
    assert "\naccounts = {desk-a, desk-b, house}  (file " in shown.stdout
    assert "key-of-" not in ended.stdout + shown.stdout
    assert CANARY not in ended.stdout + shown.stdout
