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

from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import EndpointSpec
from liqctl.kernel.states import LiquidationState, Product
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

USDM: Final = (Product.USDM,)
READING: Final = Counter(
    {"GET /fapi/v3/positionRisk": 1, "GET /fapi/v1/openOrders": 1, "GET /fapi/v1/openAlgoOrders": 1}
)
READING_COINM: Final = Counter(
    {
        "GET /dapi/v1/positionRisk": 1,
        "GET /dapi/v1/account": 1,
        "GET /dapi/v1/openOrders": 1,
        "GET /dapi/v1/openAlgoOrders": 1,
    }
)
"""Of a whole account; COIN-M's list of positions hides contracts, so both sources are asked."""
ASKED_ONCE: Final = Counter(
    {"GET /papi/v1/rateLimit/order": 1, "GET /sapi/v1/algo/futures/openOrders": 1}
)
"""Whether the account is of another kind, and its executions."""

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
    """What one run cost, as the venue counted; requests are named as in `READING`."""

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
        self.weight = 0
        self.account = venue.account

    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        """Send the request and look at the account when the answer is there."""
        self.kinds[f"{spec.method} {spec.path}"] += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        answer = await super().request(spec, params, timeout_s=timeout_s)
        self.under_way -= 1
        # Of answers that come together the last may tell an older count.
        self.weight = max(self.weight, self.usage.weight_1m)
        now = asyncio.get_running_loop().time()
        if not any(holding.amount for holding in self.account.holdings.values()):
            self.closed_at = self.closed_at or now
        if self.account.is_flat:
            self.flat_at = self.flat_at or now
        return answer


def run_once(scenario: Scenario, **policy: Any) -> Cost:
    """Liquidate in virtual time; moments are those of the answers, so a trip counts whole.

    What the watch over a flat account costs is counted apart.
    """
    policy = dict[str, Any](settle_seconds=0.0, products=USDM) | policy
    transport = Watch(scenario.make_venue())

    async def main() -> tuple[LiquidationState, float]:
        manager = LiquidationManager(
            config=LiquidationConfig(**policy),
            exchange=BinanceExchange(transport),
            audit_logger=ListSink(),
        )
        result = await manager.execute_liquidation()
        return result.state, asyncio.get_running_loop().time()

    state, ended_at = run_virtual(main)
    return Cost(
        state=state,
        kinds=transport.kinds,
        weight=transport.weight,
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

    assert cost.kinds["POST /fapi/v1/order"] == symbols
    assert cost.kinds["DELETE /fapi/v1/allOpenOrders"] <= symbols
    assert (
        cost.kinds["DELETE /fapi/v1/algoOpenOrders"] + cost.kinds["DELETE /fapi/v1/algoOrder"]
        <= 2 * symbols
    )
    assert cost.kinds["GET /fapi/v3/positionRisk"] <= 3
    assert cost.kinds["GET /fapi/v1/openOrders"] <= 3
    assert cost.kinds["GET /fapi/v1/openAlgoOrders"] <= 3
    assert cost.kinds["GET /fapi/v1/order"] <= min(symbols, 20)
    assert cost.kinds["GET /fapi/v1/ping"] <= 6
    assert cost.kinds.total() <= 15 + 5 * symbols
    assert cost.weight <= 3 * 85 + 10 + 5 * symbols


def test_a_flat_account_costs_one_reading() -> None:
    """Asking in vain must be cheap: three lists, and whether the key is of another account kind."""
    cost = run_once(Scenario(name="flat"))

    assert cost.state is LiquidationState.COMPLETED
    del cost.kinds["GET /fapi/v1/ping"]
    assert cost.kinds == READING + ASKED_ONCE
    assert cost.ended_trips <= 2 + SLACK_TRIPS


def test_a_flat_account_with_both_products_costs_one_reading_of_each() -> None:
    """The two are read side by side, and the account's kind is asked once for both."""
    cost = run_once(Scenario(name="flat"), products=tuple(Product))

    assert cost.state is LiquidationState.COMPLETED
    del cost.kinds["GET /fapi/v1/ping"]
    assert cost.kinds == READING + READING_COINM + ASKED_ONCE
    assert cost.ended_trips <= 2 + SLACK_TRIPS


@pytest.mark.parametrize("settle_seconds", [0.0, 2.0])
def test_a_narrowed_account_asks_nothing_of_other_products(settle_seconds: float) -> None:
    """Whoever has no COIN-M says so, and pays for none of it; nor for the kind of the account."""
    cost = run_once(make_large_account(symbols=5), settle_seconds=settle_seconds)

    assert cost.state is LiquidationState.COMPLETED
    assert {kind.split("/")[1] for kind in cost.kinds} == {"fapi", "sapi"}


@pytest.mark.parametrize("symbols", [1, 5, 60])
def test_the_other_product_costs_no_round_trip_until_flat(symbols: int) -> None:
    """Nothing that is open waits for COIN-M, whose reading ends the run at most one trip later."""
    account = make_large_account(symbols=symbols)
    alone, both = (run_once(account, products=products) for products in (USDM, tuple(Product)))

    assert both.state is LiquidationState.COMPLETED
    assert both.closed_trips == alone.closed_trips
    assert both.flat_trips == alone.flat_trips
    assert both.ended_trips <= alone.ended_trips + 1 + SLACK_TRIPS
    assert {kind.split("/")[1] for kind in both.kinds} == {"fapi", "dapi", "sapi"}


def test_a_watch_costs_four_readings_and_one_sweep_of_each_symbol() -> None:
    """Others share the weight of the address: 2 s of watching take a sixth of a minute's."""
    apart, watched = (
        run_once(make_large_account(symbols=5), settle_seconds=settle_s) for settle_s in (0.0, 2.0)
    )

    more = watched.kinds - apart.kinds
    assert more == Counter(
        {
            "GET /fapi/v3/positionRisk": 4,
            "GET /fapi/v3/account": 4,
            "GET /fapi/v1/openOrders": 4,
            "GET /fapi/v1/openAlgoOrders": 4,
            "DELETE /fapi/v1/allOpenOrders": 5,
            "DELETE /fapi/v1/algoOpenOrders": 5,
            "GET /sapi/v1/algo/futures/openOrders": 2,
        }
    )
    assert watched.weight - apart.weight <= 400
    assert watched.flat_trips == apart.flat_trips


def test_a_sweep_of_many_symbols_opens_no_second_connection_for_each() -> None:
    """Handshakes take longer than answers: the two books go one after the other, and in time."""
    symbols = 40

    cost = run_once(make_large_account(symbols=symbols), settle_seconds=2.0)

    assert cost.state is LiquidationState.COMPLETED
    regular, conditional = "DELETE /fapi/v1/allOpenOrders", "DELETE /fapi/v1/algoOpenOrders"
    assert cost.kinds[regular] == cost.kinds[conditional] == 2 * symbols
    assert cost.most_at_once <= symbols + 10
    assert cost.ended_trips <= cost.flat_trips + 20 + 2


def test_a_watch_over_both_products_ends_with_that_of_one() -> None:
    """The windows run side by side; the second product costs weight and no time."""
    account = make_large_account(symbols=5)
    alone, both = (
        run_once(account, products=products, settle_seconds=2.0)
        for products in (USDM, tuple(Product))
    )

    more = both.kinds - alone.kinds
    assert both.state is LiquidationState.COMPLETED
    assert both.flat_trips == alone.flat_trips
    assert both.ended_trips <= alone.ended_trips + 1 + SLACK_TRIPS
    assert {kind.split("/")[1] for kind in more} <= {"fapi", "dapi"}
    assert max(more.values()) <= 6
    assert both.weight - alone.weight <= 6 * 95


def test_nothing_heavy_is_imported_on_the_way_to_the_first_request(tmp_path: Path) -> None:
    """Each of these packages costs more than a round trip to the venue.

    `validate` has read the settings before, as in every runbook: the run takes what it kept. What
    draws the screen is loaded once everything is sent, so the result is asked for as JSON.
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
    told = run("-X", "importtime", "-m", "liqctl", "liquidate", "--json")

    lines = [line for line in told.splitlines() if line.startswith("import time:")]
    modules = {line.rpartition("|")[2].strip() for line in lines}
    packages = {module.partition(".")[0] for module in modules}
    assert "ccxt.async_support.binance" in modules
    assert packages & {*FORBIDDEN} == set()
    assert len([module for module in modules if module.startswith("ccxt")]) <= CCXT_MODULES_MAX
    assert len(modules) <= MODULES_MAX
