"""What a liquidation may cost, counted and not timed: imports, requests, weight, round trips.

A slow machine cannot turn these red, a careless import or an extra reading does.
"""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from liqctl.kernel.endpoints import Endpoint, EndpointSpec
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import LiquidationState
from liqctl.run.manager import LiquidationManager
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import Scenario, make_large_account
from liqctl.sim.server import API_KEY, API_SECRET
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink

LATENCY_S: Final = 0.1
SLACK_TRIPS: Final = 0.1
"""Syncs of the trail are not free in virtual time either."""

FORBIDDEN: Final = (
    "typer",
    "pydantic",
    "rich",
    "httpx",
    "yaml",
    "requests",
    "urllib3",
    "cryptography",
)
MODULES_MAX: Final = 420
CCXT_MODULES_MAX: Final = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one run cost, as the venue counted."""

    state: LiquidationState
    kinds: Counter[str]
    weight: int
    closed_trips: float
    flat_trips: float
    ended_trips: float
    most_at_once: int


class Watch(MemoryTransport):
    """A transport that notes when the account became flat."""

    def __init__(self, venue: Venue) -> None:
        """Watch the account of a venue."""
        super().__init__(venue, latency_s=LATENCY_S)
        self.kinds: Counter[str] = Counter()
        self.closed_at = self.flat_at = 0.0
        self.under_way = self.most_at_once = 0
        self.account = venue.account

    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        """Send the request and look at the account when the answer is there."""
        self.kinds[Endpoint(spec).name] += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        answer = await super().request(spec, params, timeout_s=timeout_s)
        self.under_way -= 1
        now = asyncio.get_running_loop().time()
        if not any(holding.amount for holding in self.account.holdings.values()):
            self.closed_at = self.closed_at or now
        if self.account.is_flat:
            self.flat_at = self.flat_at or now
        return answer


def run_once(scenario: Scenario, *, settle_seconds: float = 0.0) -> Cost:
    """Liquidate in virtual time; moments are those of the answers, so a trip counts whole.

    What the watch over a flat account costs is counted apart.
    """
    transport = Watch(scenario.make_venue())

    async def main() -> tuple[LiquidationState, float]:
        manager = LiquidationManager(
            config=LiquidationConfig(settle_seconds=settle_seconds),
            exchange=BinanceExchange(transport),
            audit_logger=ListSink(),
        )
        result = await manager.execute_liquidation()
        return result.state, asyncio.get_running_loop().time()

    state, ended_at = run_virtual(main)
    return Cost(
        state=state,
        kinds=transport.kinds,
        weight=transport.usage.weight_1m,
        closed_trips=transport.closed_at / LATENCY_S,
        flat_trips=transport.flat_at / LATENCY_S,
        ended_trips=ended_at / LATENCY_S,
        most_at_once=transport.most_at_once,
    )


@pytest.mark.parametrize("symbols", [1, 5, 60])
def test_any_number_of_positions_costs_the_same_round_trips(symbols: int) -> None:
    """Read, cancel, close and look; cancel the stops of legs seen flat; read once more."""
    cost = run_once(make_large_account(symbols=symbols))

    assert cost.state is LiquidationState.COMPLETED
    assert cost.closed_trips <= 3 + SLACK_TRIPS
    assert cost.flat_trips <= 4 + SLACK_TRIPS
    assert cost.ended_trips <= 5 + SLACK_TRIPS


@pytest.mark.parametrize("symbols", [1, 5, 60])
def test_requests_grow_by_four_a_position(symbols: int) -> None:
    """One cancel, one close, the stops, and a bounded number of prices for the report."""
    cost = run_once(make_large_account(symbols=symbols))

    assert cost.kinds["SUBMIT_ORDER"] == symbols
    assert cost.kinds["CANCEL_ORDERS"] <= symbols
    assert cost.kinds["CANCEL_ALGO_ORDERS"] + cost.kinds["CANCEL_ALGO_ORDER"] <= 2 * symbols
    assert cost.kinds["POSITIONS"] <= 3
    assert cost.kinds["OPEN_ORDERS"] <= 3
    assert cost.kinds["OPEN_ALGO_ORDERS"] <= 3
    assert cost.kinds["ORDER"] <= min(symbols, 20)
    assert cost.kinds["PING"] <= 6
    assert cost.kinds.total() <= 15 + 5 * symbols
    assert cost.weight <= 3 * 85 + 10 + 5 * symbols


def test_a_flat_account_costs_one_reading() -> None:
    """Asking in vain must be cheap: three lists, and whether the key is of another account kind."""
    cost = run_once(Scenario(name="flat"))

    assert cost.state is LiquidationState.COMPLETED
    del cost.kinds["PING"]
    assert cost.kinds == Counter(
        {"POSITIONS": 1, "OPEN_ORDERS": 1, "OPEN_ALGO_ORDERS": 1, "PORTFOLIO_MARGIN": 1}
    )
    assert cost.ended_trips <= 2 + SLACK_TRIPS


def test_a_watch_costs_four_readings_and_one_sweep_of_each_symbol() -> None:
    """Others share the weight of the address: 2 s of watching take a sixth of a minute's."""
    apart, watched = (
        run_once(make_large_account(symbols=5), settle_seconds=settle_s) for settle_s in (0.0, 2.0)
    )

    more = watched.kinds - apart.kinds
    assert more == Counter(
        {
            "POSITIONS": 4,
            "ACCOUNT": 4,
            "OPEN_ORDERS": 4,
            "OPEN_ALGO_ORDERS": 4,
            "CANCEL_ORDERS": 5,
            "CANCEL_ALGO_ORDERS": 5,
        }
    )
    assert watched.weight - apart.weight <= 400
    assert watched.flat_trips == apart.flat_trips


def test_a_sweep_of_many_symbols_opens_no_second_connection_for_each() -> None:
    """Handshakes take longer than answers: the two books go one after the other, and in time."""
    symbols = 40

    cost = run_once(make_large_account(symbols=symbols), settle_seconds=2.0)

    assert cost.state is LiquidationState.COMPLETED
    assert cost.kinds["CANCEL_ORDERS"] == cost.kinds["CANCEL_ALGO_ORDERS"] == 2 * symbols
    assert cost.most_at_once <= symbols + 10
    assert cost.ended_trips <= cost.flat_trips + 20 + 2


def test_nothing_heavy_is_imported_on_the_way_to_the_first_request(tmp_path: Path) -> None:
    """Each of these packages costs more than a round trip to the venue.

    `validate` has read the settings before, as in every runbook: the run takes what it kept.
    """
    environ = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LIQCTL_API_KEY": API_KEY,
        "LIQCTL_API_SECRET": API_SECRET,
        "LIQCTL_EXCHANGE__BASE_URL": "http://127.0.0.1:9",
        "LIQCTL_LIQUIDATION__TIMEOUT_SECONDS": "1",
    }

    def run(*words: str) -> str:
        ended = subprocess.run(
            [sys.executable, *words, "--env", "simulator"],
            env=environ,
            cwd=tmp_path,
            check=False,
            timeout=60,
            capture_output=True,
            text=True,
        )
        return ended.stderr

    run("-m", "liqctl", "validate")
    told = run("-X", "importtime", "-m", "liqctl", "liquidate")

    lines = [line for line in told.splitlines() if line.startswith("import time:")]
    modules = {line.rpartition("|")[2].strip() for line in lines}
    packages = {module.partition(".")[0] for module in modules}
    assert "ccxt.async_support.binance" in modules
    assert packages & {*FORBIDDEN} == set()
    assert len([module for module in modules if module.startswith("ccxt")]) <= CCXT_MODULES_MAX
    assert len(modules) <= MODULES_MAX
