"""The crontab: read as cron reads it, and its commands run as cron would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import liqctl
from liqctl.sim.scenario import load_scenario
from liqctl.sim.server import EmbeddedServer
from tests.deploy.containerfile import ROOT

CRONTAB: Final = ROOT / "docs" / "deploy" / "cron" / "liqctl"
TEXT: Final = CRONTAB.read_text(encoding="utf-8")
LINES: Final = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
VARIABLES: Final = dict(line.split("=", 1) for line in LINES if re.match(r"[A-Z_]+=", line))
JOBS: Final = [line.split(None, 6) for line in LINES if not re.match(r"[A-Z_]+=", line)]
TIMEOUT_S: Final = 60
COMMANDS: Final = {job[6].split("/liqctl ")[1].split()[0]: job[6] for job in JOBS}


def test_cron_can_read_every_line() -> None:
    """Cron ignores a file whose last line has no end, and turns a percent sign into a new line."""
    assert TEXT.endswith("\n")
    assert "." not in CRONTAB.name, "files with a dot in their name are skipped"
    for *fields, user, command in JOBS:
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields)
        assert user == "liqctl"
        assert "%" not in command
        assert len(command) < 999, "cron cuts longer ones"
    assert {"SHELL", "PATH", "MAILTO"} <= set(VARIABLES)
    assert VARIABLES["PATH"] == "/usr/bin:/bin"


def test_every_run_is_guarded_and_named_by_its_whole_path() -> None:
    """Cron's path does not hold the program, and a stalled machine needs a limit from outside."""
    assert set(COMMANDS) == {"liquidate", "validate"}
    for command in COMMANDS.values():
        assert "timeout -k 5 60 /opt/liqctl/bin/liqctl " in command
    assert " --yes " in COMMANDS["liquidate"], "nobody is there to answer"
    paths = [value for name, value in VARIABLES.items() if name.startswith(("LIQCTL_", "XDG_"))]
    assert all(path.startswith("/") for path in paths)
    assert not re.search(r"(KEY|SECRET)=", TEXT), "the key stands in a file, not here"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Return what cron gives a job, with the file's paths laid into a folder of the test."""
    own = {
        name: f"{tmp_path}{value}" if value.startswith(("/etc", "/var")) else value
        for name, value in VARIABLES.items()
        if name != "MAILTO"
    }
    (tmp_path / "etc" / "liqctl").mkdir(parents=True)
    return own | {"HOME": str(tmp_path), "LOGNAME": "liqctl", "SHELL": "/bin/sh"}


def as_cron(
    name: str, variables: dict[str, str], tmp_path: Path
) -> subprocess.CompletedProcess[str]:
    """Run a job's command by /bin/sh in cron's bare environment, on the simulator."""
    tool = tmp_path / "liqctl"
    tool.write_text(
        f'#!/bin/sh\nPYTHONPATH="{Path(liqctl.__file__).parent.parent}" exec "{sys.executable}" '
        '-m liqctl "$@"\n'
    )
    tool.chmod(0o755)
    command = COMMANDS[name].replace("/opt/liqctl/bin/liqctl", str(tool))
    command = command.replace("--env production", "--env simulator").replace("--online", "")
    words = [f"{key}={value}" for key, value in variables.items()]
    return subprocess.run(
        ["env", "-i", *words, "/bin/sh", "-c", command],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("name", ["liquidate", "validate"])
def test_a_job_that_succeeds_sends_no_mail(
    name: str, variables: dict[str, str], tmp_path: Path
) -> None:
    """A mail every day is read by nobody on the day it matters."""
    with EmbeddedServer(load_scenario("default")) as server:
        keys = {"KEY": server.api_key, "SECRET": server.api_secret}
        for kind, text in keys.items():
            file = Path(variables[f"LIQCTL_PRODUCTION_API_{kind}_FILE"])
            file.write_text(text)
            file.chmod(0o600)
            variables[f"LIQCTL_SIMULATOR_API_{kind}_FILE"] = str(file)
        variables["LIQCTL_EXCHANGE__BASE_URL"] = server.url
        ended = as_cron(name, variables, tmp_path)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    trail = Path(variables["LIQCTL_AUDIT__LOG_DIR"], "audit.jsonl")
    assert trail.exists() is (name == "liquidate")


def test_a_job_that_fails_mails_the_code_and_every_word(
    variables: dict[str, str], tmp_path: Path
) -> None:
    """What is not in the mail is gone; the code must survive the shell around it."""
    variables |= {"LIQCTL_EXCHANGE__BASE_URL": "http://127.0.0.1:9"}  # and no key at all

    ended = as_cron("liquidate", variables, tmp_path)

    assert ended.returncode == 7
    assert ended.stdout.startswith("liqctl exit 7\n")
    assert "LIQCTL_SIMULATOR_API_KEY" in ended.stdout
    assert os.access(CRONTAB, os.R_OK)
