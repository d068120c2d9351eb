"""`liqctl init` and `liqctl schema`: what they write is what the program takes and prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
    assert all(setting.help in file.read_text() for setting in TABLE)
    assert Draft202012Validator(schema_of("settings")).is_valid(yaml.safe_load(file.read_text()))


def test_a_file_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    """It may be the one that an emergency needs."""
    (tmp_path / "own.yaml").write_text("environment: testnet\n")

    ended = run(tmp_path, "init", "--env", "testnet", "--config", "own.yaml")

    assert ended.returncode == 2
    assert "own.yaml is there already" in ended.stderr
    assert (tmp_path / "own.yaml").read_text() == "environment: testnet\n"


@pytest.mark.parametrize("document", Document)
def test_every_schema_is_one_and_is_printed(document: Document, tmp_path: Path) -> None:
    """Other programs check what they read against it."""
    ended = run(tmp_path, "schema", document)

    printed = json.loads(ended.stdout)
    assert printed == json.loads(json.dumps(schema_of(document)))
    Draft202012Validator.check_schema(printed)


def test_the_trail_keeps_to_the_schema_of_its_events(tmp_path: Path) -> None:
    """A record that its schema refuses is a promise broken."""
    run(tmp_path, "liquidate", "--env", "simulator")
    trail = tmp_path / "state" / "liqctl" / "logs" / "audit.jsonl"

    records = [json.loads(line) for line in trail.read_text().splitlines()]

    assert records
    assert all(Draft202012Validator(schema_of("event")).is_valid(record) for record in records)
