"""The units: what systemd itself says of them, and their command in their environment."""

import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import liqctl
from liqctl.cli.options import read_plain
from liqctl.sim.scenario import load_scenario
from liqctl.sim.server import EmbeddedServer
from tests.deploy.containerfile import ROOT

UNITS: Final = ROOT / "docs" / "deploy" / "systemd"
SERVICES: Final = ("liqctl@.service", "liqctl-validate@.service", "liqctl-arm@.service")
PAGE: Final = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
TIMEOUT_S: Final = 60
EXPOSURE_MAX: Final = 1.5
_PR_SET_MDWE: Final = 65
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings(unit: str) -> dict[str, list[str]]:
    """Return what a unit sets, each name with all its values."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("unit", SERVICES)
def test_the_unit_gives_the_program_nothing_it_does_not_need(unit: str) -> None:
    """What an intruder in the process could do is bounded by the unit, not by the program."""
    unit_settings = settings(unit)
    wanted = {
        "Type": "notify" if "arm" in unit else "oneshot",
        "User": "liqctl",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "MemoryDenyWriteExecute": "yes",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "LimitCORE": "0",
        "StateDirectory": "liqctl",
        "StateDirectoryMode": "0700",
        "SystemCallErrorNumber": "EPERM",
    }

    assert {name: unit_settings[name][-1] for name in wanted} == wanted
    assert unit_settings["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert len(unit_settings["LoadCredential"]) == 2
    assert not [
        value for value in unit_settings["Environment"] if re.search(r"KEY=|SECRET=", value)
    ]


def test_the_unit_lets_a_run_end_by_itself_and_hides_no_failure() -> None:
    """A oneshot has no limit of its own; 30 s is the longest run, and every code but 0 alarms."""
    unit = settings("liqctl@.service")

    assert 30 < int(unit["TimeoutStartSec"][0]) <= 90
    assert int(unit["TimeoutStopSec"][0]) > 30
    assert (unit["KillSignal"], unit["KillMode"]) == (["SIGTERM"], ["process"])
    assert "SuccessExitStatus" not in unit
    assert unit["OnFailure"] == ["liqctl-failed@%n.service"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    words = unit["ExecStart"][0].replace("%i", "production").split()
    assert words[1] == "liquidate"
    options = read_plain([word.strip('"') for word in words[2:7]], {})
    assert options is not None
    assert (options.environment, options.yes) == ("production", True)


def test_the_armed_unit_comes_back_after_a_crash_and_never_after_a_trip() -> None:
    """A latch is opened by a human: a restart that armed again would undo it."""
    unit = settings("liqctl-arm@.service")

    assert unit["Restart"] == ["on-failure"]
    assert "9" in unit["RestartPreventExitStatus"][0].split()
    assert unit["SuccessExitStatus"] == ["130 143"]
    assert unit["TimeoutStartSec"] == ["infinity"]
    assert 10 <= int(unit["WatchdogSec"][0]) <= 60
    assert int(unit["TimeoutStopSec"][0]) > 30
    words = unit["ExecStart"][0].split()
    assert words[1:] == ["arm", "--yes", "$ARM_OPTIONS"]
    assert unit["OnFailure"] == ["liqctl-failed@%n.service"]


def test_the_armed_units_command_tells_systemd_that_it_is_ready_and_lives(tmp_path: Path) -> None:
    """Type=notify waits for READY=1, and WatchdogSec for signs of life."""
    unit = settings("liqctl-arm@.service")
    state = tmp_path / "liqctl"
    (tmp_path / "credentials").mkdir()
    state.mkdir()
    text = " ".join(unit["Environment"])
    for specifier, value in {
        "%d": str(tmp_path / "credentials"),
        "%S": str(tmp_path),
        "%i": "testnet",
    }.items():
        text = text.replace(specifier, value)
    command = unit["ExecStart"][0].replace("/opt/liqctl/bin/liqctl", f"{sys.executable} -m liqctl")
    with (
        EmbeddedServer(load_scenario("default")) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(TIMEOUT_S)
        (tmp_path / "credentials" / "key").write_text(f"{server.api_key}\n")
        (tmp_path / "credentials" / "secret").write_text(f"{server.api_secret}\n")
        with subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=state,
            stdout=subprocess.DEVNULL,
            env=dict(word.split("=", 1) for word in text.split())
            | {
                "PYTHONPATH": str(Path(liqctl.__file__).parent.parent),
                "LIQCTL_EXCHANGE__BASE_URL": server.url,
                "NOTIFY_SOCKET": str(tmp_path / "notify"),
                "WATCHDOG_USEC": "1000000",
            },
        ) as armed:
            told = ""
            while "READY=1" not in told or told.count("WATCHDOG=1") < 3:
                told += manager.recv(4096).decode() + "\n"
            armed.terminate()
            assert armed.wait(TIMEOUT_S) == 143

    assert "STATUS=armed, 7 positions" in told


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    """A misspelt directive is ignored at run time, and with it what it should have prevented."""
    for file in UNITS.iterdir():
        text = file.read_text(encoding="utf-8").replace("/opt/liqctl/bin/liqctl", "/bin/true")
        (tmp_path / file.name.replace("@.", "@production.")).write_text(text)
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )

    said = [line for line in ended.stderr.splitlines() if "liqctl" in line]
    assert said == []
    assert ended.returncode == 0, ended.stderr


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES)
def test_the_exposure_is_the_one_that_the_page_states(unit: str) -> None:
    """The score falls when a directive is lost; the page must not promise the old one."""
    ended = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNITS / unit)],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if "unrecognized option" in ended.stderr:
        pytest.skip("this systemd cannot look at a unit that is not installed")
    score = re.search(r"Overall exposure level for .*: ([\d.]+)", ended.stdout)

    assert score is not None, ended.stderr
    assert float(score[1]) <= EXPOSURE_MAX
    assert f"exposure of {score[1]} " in PAGE or "252" not in version()


def version() -> str:
    """Return which systemd this is; another one weighs differently."""
    return subprocess.run(
        ["systemd-analyze", "--version"], check=True, capture_output=True, text=True, timeout=60
    ).stdout


@needs_systemd
@pytest.mark.parametrize("unit", ["liqctl@.timer", "liqctl-validate@.timer"])
def test_the_timers_name_moments_that_come(unit: str) -> None:
    """A moment that systemd cannot read never comes."""
    (moment,) = settings(unit)["OnCalendar"]

    assert moment.endswith(" UTC"), "not the machine's zone"
    subprocess.run(
        ["systemd-analyze", "calendar", moment], check=True, capture_output=True, timeout=TIMEOUT_S
    )


def test_a_missed_timer_closes_nothing_later() -> None:
    """A machine switched on after the weekend must not close what was opened since."""
    assert settings("liqctl@.timer")["Persistent"] == ["no"]
    assert settings("liqctl-validate@.timer")["Persistent"] == ["yes"]


def deny_write_and_execute() -> None:
    """Do in the child what MemoryDenyWriteExecute does; kernels before 6.3 cannot, and go on."""
    ctypes.CDLL(None).prctl(_PR_SET_MDWE, 1, 0, 0, 0)


def test_its_command_works_in_its_environment(tmp_path: Path) -> None:
    """The credentials' paths, the state's folder and the memory rule are the unit's own."""
    unit = settings("liqctl@.service")
    state = tmp_path / "liqctl"
    state.mkdir()
    specifiers = {"%d": str(tmp_path / "credentials"), "%S": str(tmp_path), "%i": "testnet"}
    (tmp_path / "credentials").mkdir()
    with EmbeddedServer(load_scenario("default")) as server:
        (tmp_path / "credentials" / "key").write_text(f"{server.api_key}\n")
        (tmp_path / "credentials" / "secret").write_text(f"{server.api_secret}\n")
        text = " ".join(unit["Environment"])
        command = unit["ExecStart"][0].replace("%n", "liqctl@testnet.service")
        for specifier, value in specifiers.items():
            text, command = text.replace(specifier, value), command.replace(specifier, value)
        program = f"{sys.executable} -m liqctl"
        ended = subprocess.run(
            ["sh", "-c", command.replace("/opt/liqctl/bin/liqctl", program) + " --json"],
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=state,
            preexec_fn=deny_write_and_execute,
            env=dict(word.split("=", 1) for word in text.split())
            | {
                "PYTHONPATH": str(Path(liqctl.__file__).parent.parent),
                "LIQCTL_EXCHANGE__BASE_URL": server.url,
            },
        )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["state"] == "COMPLETED"
    first = json.loads((state / "logs" / "audit.jsonl").read_text().splitlines()[0])
    assert first["details"]["reason"] == "systemd liqctl@testnet.service"
