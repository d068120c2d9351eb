"""What validate says of the machine: keys, files, and who would be told."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liqctl.checks import Level
from liqctl.checks.of_machine import (
    is_open_to_others,
    issues_of_heartbeat,
    issues_of_machine,
    issues_of_metrics,
    issues_of_targets,
)
from liqctl.checks.of_settings import issues_of_settings
from liqctl.kernel.states import Environment
from liqctl.settings.values import ArmSettings, ExchangeSettings, MetricsSettings, Settings


@pytest.mark.parametrize(
    ("environment", "level"),
    [
        (Environment.PRODUCTION, Level.WARNING),
        (Environment.TESTNET, Level.INFO),
        (Environment.SIMULATOR, Level.INFO),
    ],
)
def test_the_machine_is_judged_by_the_environment(
    environment: Environment, level: Level, tmp_path: Path
) -> None:
    """Outside production the shipped files must pass --strict."""
    secret, folder = tmp_path / "secret", tmp_path / "logs"
    secret.write_text("")
    secret.chmod(0o644)
    folder.mkdir()
    folder.chmod(0o770)
    exchange = ExchangeSettings(base_url="http://127.0.0.1:1")
    settings = Settings(environment=environment, exchange=exchange)

    found = [
        *issues_of_machine(
            environment,
            {"LIQCTL_API_SECRET_FILE": str(secret)},
            paths={"audit.log_dir": folder},
            needs_keys=True,
            is_compiled=False,
        ),
        *issues_of_settings(settings),
    ]

    assert {issue.level for issue in found} == {level}
    assert [issue.type.value for issue in found] == [
        "DEPLOYMENT",
        "SECURITY",
        "SECURITY",
        "PERFORMANCE",
        "SECURITY",
    ]


def test_paths_that_others_may_write_are_noticed(tmp_path: Path) -> None:
    """Who can write the trail's folder can rewrite the trail."""
    folder = tmp_path / "logs"
    assert not is_open_to_others(folder)

    folder.mkdir()
    folder.chmod(0o770)
    assert is_open_to_others(folder)
    assert is_open_to_others(folder / "deeper" / "still")

    folder.chmod(0o755)
    assert not is_open_to_others(folder)


def test_missing_broken_and_readable_keys_are_told(tmp_path: Path) -> None:
    """All that can be known is reported in one run."""
    secret = tmp_path / "secret"
    secret.write_text("")
    secret.chmod(0o644)
    environ = {"LIQCTL_API_KEY": "k", "LIQCTL_API_SECRET_FILE": str(secret)}

    def told(variables: dict[str, str]) -> list[tuple[str, str]]:
        found = issues_of_machine(
            Environment.TESTNET, variables, paths={}, needs_keys=True, is_compiled=True
        )
        return [(issue.field, issue.message) for issue in found]

    broken, readable = told(environ)
    assert broken[0] == "credentials"
    assert "is empty" in broken[1]
    assert readable[0] == "LIQCTL_API_SECRET_FILE"
    assert [field for field, _ in told({})] == ["api_key", "api_secret"]


def issues(environment: Environment, *items: dict[str, Any], **environ: str) -> list[str]:
    """Return level, type and message of each finding about targets."""
    settings = Settings(environment=environment, notifications=items)
    return [
        f"{issue.level} {issue.type} {issue.message}"
        for issue in issues_of_targets(settings, environ)
    ]


def test_validate_tells_whom_a_run_would_not_reach(tmp_path: Path) -> None:
    """A hidden broken web hook is worth nothing on the night it is needed."""
    unset = {"type": "slack", "url_env": "SLACK_URL"}
    plain = "ERROR SECURITY slack-1: the address must be https, but for loopback addresses; "
    file = tmp_path / "url"
    file.write_text("https://example.org")
    file.chmod(0o644)

    assert issues(Environment.PRODUCTION) == [
        "INFO CONFIGURATION no one is notified when a run ends"
    ]
    assert issues(Environment.PRODUCTION, unset) == [
        "WARNING DEPLOYMENT slack-1 would not be notified: the variable SLACK_URL is not set"
    ]
    assert issues(Environment.TESTNET, unset)[0].startswith("INFO DEPLOYMENT")
    assert issues(Environment.TESTNET, unset, SLACK_URL="http://example.org/x") == [
        f"{plain}nothing is sent there"
    ]
    assert issues(Environment.TESTNET, unset, SLACK_URL="https://example.org/x") == []
    assert issues(Environment.PRODUCTION, {"type": "slack", "url_file": str(file)}) == [
        f"WARNING SECURITY others may read {file}"
    ]
    assert issues(Environment.PRODUCTION, {"type": "slack", "url_file": "/nowhere"})[0].startswith(
        "WARNING DEPLOYMENT slack-1 would not be notified: notifications[0]: /nowhere: No such file"
    )


@pytest.mark.parametrize(
    ("path", "count"), [("liqctl.prom", 0), ("liqctl.txt", 1), ("no/such/liqctl.prom", 1)]
)
def test_validate_tells_why_prometheus_would_see_nothing(
    path: str, count: int, tmp_path: Path
) -> None:
    """node_exporter passes over other names without a word."""
    settings = Settings(
        environment=Environment.PRODUCTION, metrics=MetricsSettings(textfile=tmp_path / path)
    )

    assert len(list(issues_of_metrics(settings))) == count


def heartbeat(path: Path | None, *, age_s: float = 0.0) -> list[tuple[str, str]]:
    """Return area and message of what is said of a heartbeat file of this age."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    if path is not None and path.exists():
        at = (now - timedelta(seconds=age_s)).timestamp()
        os.utime(path, (at, at))
    arm = ArmSettings(heartbeat_file=path, heartbeat_seconds=30.0)
    found = [*issues_of_heartbeat(Settings(environment=Environment.PRODUCTION, arm=arm), now)]
    assert all(each.level is Level.WARNING and each.recommendation for each in found)
    return [(each.type.value, each.message) for each in found]


def test_a_heartbeat_that_would_trip_at_once_is_told(tmp_path: Path) -> None:
    """Better now than after `arm` closed the account."""
    file = tmp_path / "alive"

    (missing,) = heartbeat(file)
    file.touch(mode=0o644)
    (late,) = heartbeat(file, age_s=31.0)
    (early,) = heartbeat(file, age_s=-31.0)
    (folder,) = heartbeat(tmp_path)

    assert missing[0] == "DEPLOYMENT"
    assert "No such file" in missing[1]
    assert "was last touched 31 s ago, more than heartbeat_seconds 30" in late[1]
    assert "in the future" in early[1]
    assert "is not a regular file" in folder[1]
    assert heartbeat(file, age_s=30.0) == heartbeat(None) == []


def test_a_heartbeat_that_others_may_keep_fresh_is_told(tmp_path: Path) -> None:
    """The bot would be dead, and nobody would know."""
    file = tmp_path / "run" / "alive"
    file.parent.mkdir(mode=0o755)
    file.touch(mode=0o644)
    assert heartbeat(file) == []

    file.chmod(0o666)
    (writable,) = heartbeat(file)
    file.chmod(0o644)
    file.parent.chmod(0o777)
    (replaceable,) = heartbeat(file)
    file.parent.chmod(0o1777)

    assert writable[0] == replaceable[0] == "SECURITY"
    assert heartbeat(file) == []
