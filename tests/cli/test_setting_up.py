"""`liqctl init` and `liqctl schema`: what they write is what the program takes and prints."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

import liqctl
from liqctl.cli.options import Document
from liqctl.desk.schemas import schema_of
from liqctl.kernel.states import Environment
from liqctl.settings.model import TABLE
from liqctl.settings.sources import load_settings
from liqctl.settings.values import SourceKind

DEPLOY: Final = Path(liqctl.__file__).parents[1] / "docs" / "deploy"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "liqctl", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ) | {"PYTHONPATH": str(Path(liqctl.__file__).parents[1])},
    )


@pytest.mark.parametrize("environment", Environment)
def test_a_first_file_is_valid_and_holds_every_setting_at_its_default(
    environment: Environment, tmp_path: Path
) -> None:
    """Who begins must not begin with an error, and not with another behaviour."""
    ended = run(tmp_path, "init", "--env", environment)

    file = tmp_path / "config" / "liqctl" / f"{environment}.yaml"
    assert ended.returncode == 0, ended.stderr
    assert str(file) in ended.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    made = load_settings(environment=environment, config_file=file, flags={}, environ={})
    bare = load_settings(
        environment=environment, config_file=None, flags={}, environ={"LIQCTL_CONFIG_DIR": "/none"}
    )
    assert {source.kind for source in made.sources.values()} == {SourceKind.FILE}
    assert (made.liquidation, made.exchange) == (bare.liquidation, bare.exchange)
    words = " ".join(file.read_text().replace("#", " ").split()).lower()
    assert [each.key for each in TABLE if each.help.lower() not in words] == []
    assert Draft202012Validator(schema_of("settings")).is_valid(yaml.safe_load(file.read_text()))


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    """It may be the one that an emergency needs."""
    (tmp_path / "own.yaml").write_text("environment: testnet\n")

    ended = run(tmp_path, "init", "--env", "testnet", "--config", "own.yaml")

    assert ended.returncode == 2
    assert "own.yaml exists already and was left as it is" in ended.stderr
    assert (tmp_path / "own.yaml").read_text() == "environment: testnet\n"


def test_without_an_environment_it_begins_with_the_simulator(tmp_path: Path) -> None:
    """The one that needs no key; the others are named."""
    ended = run(tmp_path, "init")

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "config" / "liqctl" / "simulator.yaml").is_file()
    assert "liqctl validate --env simulator --strict\n" in ended.stdout, "found without --config"
    assert "liqctl init --env production" in ended.stdout


def test_units_and_crontab_are_those_of_the_documentation(tmp_path: Path) -> None:
    """One source: what tests/deploy tries out is what an operator gets, for the environment."""
    arguments = ("init", "--env", "testnet", "--dir", "etc", "--systemd", "--cron")
    ended = run(tmp_path, *arguments)

    assert ended.returncode == 0, ended.stderr
    for pattern in (DEPLOY / "systemd").iterdir():
        assert (tmp_path / "etc" / pattern.name).read_text() == pattern.read_text()
    crontab = (tmp_path / "etc" / "liqctl.cron").read_text()
    assert "production" not in crontab.lower()
    assert crontab.replace("testnet", "production").replace("TESTNET", "PRODUCTION") == (
        (DEPLOY / "cron" / "liqctl").read_text()
    )
    assert "LIQCTL_TESTNET_API_KEY_FILE" in ended.stdout
    assert "liqctl validate --env testnet --config etc/testnet.yaml --strict\n" in ended.stdout
    assert "systemctl start liqctl-validate@testnet " in ended.stdout

    (tmp_path / "etc" / "testnet.yaml").unlink()
    again = run(tmp_path, *arguments)

    assert again.returncode == 0, "what is missing is written, the rest is left"
    assert (again.stdout.count(" written\n"), again.stderr.count("left as it is")) == (1, 7)


def test_a_folder_that_cannot_be_written_is_exit_1(tmp_path: Path) -> None:
    """A file stands where the folder should be: one line, no traceback."""
    (tmp_path / "etc").write_text("")

    ended = run(tmp_path, "init", "--env", "testnet", "--dir", "etc/liqctl")

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "liqctl: etc/liqctl/testnet.yaml cannot be written: Not a directory\n"


def test_whoever_has_no_settings_file_is_told_how_to_write_one(tmp_path: Path) -> None:
    """The next step stands in the message."""
    nothing = run(tmp_path, "validate")
    missing = run(tmp_path, "liquidate", "--env", "simulator", "--config", "none.yaml")

    assert nothing.returncode == 2
    assert missing.returncode == 4
    assert all("`liqctl init`" in ended.stderr for ended in (nothing, missing))


@pytest.mark.parametrize("document", Document)
def test_every_schema_is_one_and_is_printed(document: Document, tmp_path: Path) -> None:
    """Other programs check what they read against it."""
    ended = run(tmp_path, "schema", document)

    printed = json.loads(ended.stdout)
    assert printed == json.loads(json.dumps(schema_of(document)))
    Draft202012Validator.check_schema(printed)
