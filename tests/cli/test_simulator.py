"""`liqctl simulator` serves until it is told to stop, and says what to paste where."""

import json
import signal
import subprocess
import sys

import httpx
import pytest
import yaml

from liqctl.kernel.states import ExitCode
from liqctl.sim.address import key_of, secret_of

COMMAND = [sys.executable, "-m", "liqctl", "simulator"]
TIMEOUT_S = 60


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_a_served_venue_answers_until_a_signal_ends_it(
    number: signal.Signals, code: ExitCode
) -> None:
    """Other shells rely on the address; supervisors rely on the exit code."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--json"], stdout=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        told = json.loads(served.stdout.readline())
        pong = httpx.get(f"{told['base_url']}/fapi/v1/ping", trust_env=False, timeout=TIMEOUT_S)
        served.send_signal(number)

        assert pong.status_code == httpx.codes.OK
        assert told["schema"] == "liqctl.simulator/1"
        assert served.wait(TIMEOUT_S) == code


def test_the_list_names_the_default_scenario() -> None:
    """Nobody can serve what nobody can find."""
    ended = subprocess.run(
        [*COMMAND, "list", "--json"], check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    )

    assert {"default", "house_of_five"} <= {
        row["name"] for row in json.loads(ended.stdout)["scenarios"]
    }


def test_a_served_house_says_how_to_set_each_accounts_variables() -> None:
    """Pasted as it is, it must work: the names are those that the settings ask for."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--scenario", "house_uncovered"], stdout=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        told = []
        while "    desk-b: {}" not in told:
            told.append(served.stdout.readline().rstrip("\n"))
        served.send_signal(signal.SIGTERM)
    url = told[0].split(" ")[3]

    assert url.startswith("http://127.0.0.1:")
    assert [line.strip() for line in told if line.startswith("  export")] == [
        f"export LIQCTL_SIMULATOR_{variable}_API_{kind}={of(name)}"
        for variable, name in (("DESK_A", "desk-a"), ("DESK_B", "desk-b"), ("MASTER", "master"))
        for kind, of in (("KEY", key_of), ("SECRET", secret_of))
    ]
    file = "\n".join(told[told.index("The file:") + 1 :])
    assert yaml.safe_load(file) == {
        "environment": "simulator",
        "exchange": {"base_url": url},
        "accounts": {"desk-a": {}, "desk-b": {}},
    }


def test_a_served_house_tells_programs_the_credentials_by_account() -> None:
    """Beside the master's own, which stand where those of one account do."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--scenario", "house_twins", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as served:
        assert served.stdout is not None
        told = json.loads(served.stdout.readline())
        served.send_signal(signal.SIGTERM)

    assert told["api_key"] == key_of("master")
    assert told["accounts"] == {
        name: {"api_key": key_of(name), "api_secret": secret_of(name)}
        for name in ("desk-a", "desk-b")
    }


def test_an_unknown_scenario_is_wrong_usage() -> None:
    """It is the command line that must be corrected, not a configuration file."""
    ended = subprocess.run(
        [*COMMAND, "serve", "--scenario", "no-such"],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert ended.returncode == ExitCode.USAGE
    assert "no-such" in ended.stderr
