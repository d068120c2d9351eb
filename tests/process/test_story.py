"""The story of a drill, told by the program from outside: serve, check, rehearse, close, prove."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import liqctl
from liqctl.kernel.states import ExitCode

TIMEOUT_S = 60
PACKAGE = Path(liqctl.__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A folder and an environment, as an operator's shell has them."""

    folder: Path
    variables: dict[str, str]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the program to its end."""
        return subprocess.run(
            [sys.executable, "-m", "liqctl", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
        )

    def serve(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `liqctl simulator serve`."""
        return subprocess.Popen(
            [sys.executable, "-m", "liqctl", "simulator", "serve", "--json", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.variables,
        )


def make_shell(folder: Path, home: Path) -> Shell:
    """Return a shell whose program is the package beside `home`."""
    folder.mkdir(exist_ok=True)
    return Shell(
        folder=folder,
        variables={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(home),
        },
    )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in an empty folder."""
    return make_shell(tmp_path / "shell", PACKAGE.parent)


@pytest.fixture
def venue(shell: Shell) -> Iterator[str]:
    """A venue in a process of its own; the shell's folder has its file and its keys."""
    with shell.serve() as served:
        assert served.stdout is not None
        told = json.loads(served.stdout.readline())
        (shell.folder / "drill.yaml").write_text(
            f"environment: simulator\nexchange:\n  base_url: {told['base_url']}\n"
        )
        shell.variables.update(
            LIQCTL_CONFIG="drill.yaml",
            LIQCTL_SIMULATOR_API_KEY=told["api_key"],
            LIQCTL_SIMULATOR_API_SECRET=told["api_secret"],
        )
        yield told["base_url"]
        served.send_signal(signal.SIGTERM)
        served.wait(TIMEOUT_S)


def truth(url: str) -> Any:
    """Return what the venue really holds, without what was asked of it."""
    state = httpx.get(f"{url}/sim/state", trust_env=False, timeout=TIMEOUT_S).json()
    return {name: value for name, value in state.items() if name not in {"journal", "requests"}}


def rows(text: str) -> Sequence[dict[str, Any]]:
    """Return JSON Lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_drill_from_check_to_proof(shell: Shell, venue: str) -> None:
    """Everything the operations page promises, in its order."""
    before = truth(venue)
    checked = shell.run("validate", "--strict")
    rehearsed = shell.run("liquidate", "--dry-run", "--json")
    after_rehearsal = truth(venue)
    opened = shell.run("status", "--exit-code")
    closed = shell.run("liquidate", "--json", "--reason", "drill")
    flat = shell.run("status", "--exit-code")

    assert checked.returncode == ExitCode.DONE, checked.stdout + checked.stderr
    assert rehearsed.returncode == ExitCode.DONE, rehearsed.stderr
    assert after_rehearsal == before
    assert opened.returncode == ExitCode.PARTIAL
    assert closed.returncode == ExitCode.DONE, closed.stderr
    assert flat.returncode == ExitCode.DONE, flat.stdout
    result = json.loads(closed.stdout)
    run = result["correlation_id"]
    told = shell.run("audit", "tail", "--lines", "0", "--correlation-id", run, "--json")
    records = rows(told.stdout)
    assert told.returncode == ExitCode.DONE
    assert {record["correlation_id"] for record in records} == {run}
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert (records[0]["event_type"], records[-1]["event_type"]) == (
        "LIQUIDATION_START",
        "LIQUIDATION_COMPLETE",
    )
    trail = (shell.folder / "state" / "liqctl" / "logs" / "audit.jsonl").read_text()
    assert trail.count('"LIQUIDATION_START"') == 1
    assert json.loads(rehearsed.stdout)["correlation_id"] not in trail
    proof = shell.run("audit", "verify", "--head", result["audit_head"])
    assert proof.returncode == ExitCode.DONE, proof.stdout + proof.stderr
    assert run in shell.run("audit", "show", run).stdout


def test_the_installed_layout_works_from_another_folder(tmp_path: Path) -> None:
    """A wheel carries its scenarios and defaults; there is no `configs` beside it."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / "liqctl")
    shutil.copytree(PACKAGE.parent / "configs" / "scenarios", site / "liqctl" / "_scenarios")
    installed = make_shell(tmp_path / "elsewhere", site)

    listed = installed.run("simulator", "list", "--json")
    closed = installed.run("liquidate", "--env", "simulator", "--json")

    assert listed.returncode == ExitCode.DONE, listed.stderr
    assert "halted_symbol" in {row["name"] for row in json.loads(listed.stdout)["scenarios"]}
    assert closed.returncode == ExitCode.DONE, closed.stderr
    assert json.loads(closed.stdout)["positions_closed"] == 7
    assert (installed.folder / "state" / "liqctl" / "logs" / "audit.jsonl").exists()


def test_the_demo_needs_nothing(shell: Shell) -> None:
    """No key, no network, no set-up: what `make demo` runs."""
    ended = shell.run("liquidate", "--env", "simulator")

    assert ended.returncode == ExitCode.DONE, ended.stderr
    assert ended.stdout.startswith("COMPLETED: flat, proven")
    assert not ended.stderr
