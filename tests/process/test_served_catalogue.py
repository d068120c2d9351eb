"""The catalogue once more, through the installed program and a served simulator: real HTTP."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from liqctl.drill.runs import VIRTUAL_TIME_ONLY
from liqctl.sim.scenario import Scenario, list_scenarios, load_scenario
from liqctl.sim.server import EmbeddedServer
from tests import QUICK_SETTLE

PATIENCE_S = 60.0
SLACK_S = 1.5
"""A busy machine starts processes slowly; the deadline itself is measured elsewhere."""


def truth_of(url: str) -> dict[str, Any]:
    """Return what is really open at the venue."""
    with urllib.request.urlopen(f"{url}/sim/state", timeout=PATIENCE_S) as answer:  # noqa: S310 - loopback
        truth: dict[str, Any] = json.load(answer)
    return truth


def names_of(truth: dict[str, Any], result: dict[str, Any], arguments: Sequence[str]) -> list[str]:
    """Return what is open as scenario files name it, without what was to be left alone."""
    legs = [
        row["symbol"]
        if row["position_side"] == "BOTH"
        else f"{row['symbol']} {row['position_side']}"
        for row in truth["positions"]
    ]
    orders = [row["clientOrderId"] for row in truth["orders"]]
    kept = {row["order_id"] for row in result["orders"] if row["state"] == "KEPT"}
    stops = [row["clientAlgoId"] for row in truth["algo_orders"] if str(row["algoId"]) not in kept]
    if "--orders-only" in arguments:
        return orders + stops
    stops = [row["clientAlgoId"] for row in truth["algo_orders"]]
    return legs + orders + stops


def check_left(scenario: Scenario, left: list[str]) -> None:
    """What is left is what the file says, nothing more and nothing less."""
    patterns = scenario.expect.left
    surprising = [n for n in left if not any(fnmatchcase(n, pattern) for pattern in patterns)]
    missing = [p for p in patterns if not any(fnmatchcase(name, p) for name in left)]
    assert (surprising, missing) == ([], []), scenario.name


PLAIN_TOO = (
    "clock_behind",
    "cut_json_write",
    "gateway_timeout",
    "hedge_mode",
    "key_refused",
    "lost_reply_after",
    "rate_limited_orders",
    "unknown_executed",
)
"""A case of every way to hear of a fault; `LIQCTL_PLAIN_IMPORT=1` runs the rest that way too."""


NAMES = sorted(set(list_scenarios()) - VIRTUAL_TIME_ONLY)

AT_ONCE = 3
"""Most of a run is waiting: this many of them take half of a processor."""

ALONE = ("bot_reopens_briefly", "large", "large_hedge")
"""Their ends hang on tenths of a second of a processor: they run beside none of the others."""

TOGETHER = [name for name in NAMES if name not in ALONE]
COUNT = -(-len(TOGETHER) // (3 * AT_ONCE))
GROUPS = [*([name] for name in ALONE), *(TOGETHER[first::COUNT] for first in range(COUNT))]
"""While one waits for its deadline, others take turns beside it."""


@pytest.mark.parametrize("names", GROUPS, ids="+".join)
def test_the_program_ends_scenarios_as_their_files_promise(
    names: list[str], tmp_path: Path
) -> None:
    """What holds in virtual time holds over HTTP, with ccxt, in a process of its own."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        runs = {name: threads.submit(run_and_judge, name, tmp_path / name) for name in names}
    wrong = {name: error for name, run in runs.items() if (error := run.exception())}

    assert not wrong


@pytest.mark.parametrize("name", PLAIN_TOO)
def test_ccxt_imported_plainly_ends_it_alike(name: str, tmp_path: Path) -> None:
    """The lean import falls back to the plain one by itself: nothing may hang on which it was."""
    run_and_judge(name, tmp_path, LIQCTL_PLAIN_IMPORT="1")


def run_and_judge(name: str, tmp_path: Path, **variables: str) -> None:
    """Run the program against a scenario; what differs from its file's promise fails the test."""
    scenario = load_scenario(name)
    tmp_path.mkdir(exist_ok=True)
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), **variables}
    # No quick window: lists that lag prove nothing in it, and a bot comes back only after it.
    if "lag_ms" in scenario.venue or any("every_ms" in event for event in scenario.events):
        for variable in QUICK_SETTLE:
            del environ[variable]
    with EmbeddedServer(scenario) as venue:
        settings = tmp_path / "simulator.yaml"
        settings.write_text(
            f"environment: simulator\nexchange:\n  base_url: {venue.url}\n"
            f"audit:\n  log_dir: {tmp_path / 'logs'}\n"
        )
        environ |= {"LIQCTL_API_KEY": venue.api_key, "LIQCTL_API_SECRET": venue.api_secret}
        command = [sys.executable, "-m", "liqctl", "liquidate", "--config", str(settings), "--json"]
        run = subprocess.run(
            [*command, *scenario.expect.arguments],
            capture_output=True,
            text=True,
            env=environ,
            timeout=PATIENCE_S,
            check=False,
        )
        truth = truth_of(venue.url)

    result = json.loads(run.stdout)
    told = "; ".join([name, result["error_message"] or "", *result["notes"]])
    assert run.returncode in scenario.expect.exits, told
    assert result["state"] in scenario.expect.states, told
    assert [words for words in scenario.expect.says if words not in told] == [], told
    check_left(scenario, names_of(truth, result, scenario.expect.arguments))
    assert result["duration_seconds"] <= result["timeout_seconds"] + SLACK_S
    assert "Traceback" not in run.stderr
    for fill in truth["fills"]:
        if fill["client_order_id"].startswith("liq-"):
            assert abs(float(fill["after"])) <= abs(float(fill["before"]))
