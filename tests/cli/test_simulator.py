"""`liqctl simulator` serves until it is told to stop, and says what to paste where."""

import json
import signal
import subprocess
import sys

import httpx
import pytest

from liqctl.kernel.states import ExitCode

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

    assert "default" in {row["name"] for row in json.loads(ended.stdout)["scenarios"]}


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
