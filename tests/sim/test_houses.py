"""The houses of the catalogue: found apart from the other scenarios, and as their files promise."""

import asyncio
import random

import pytest

from liqctl.drill.runs import Conditions, LoopClock, MemorySink, run_in_virtual_time
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.run.manager import LiquidationManager
from liqctl.sim.address import MASTER
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import list_houses, list_scenarios, load_scenario
from liqctl.venue.exchange import BinanceExchange
from tests.sim.asking import ask_as

ACCOUNTS = [(house, name) for house in list_houses() for name in load_scenario(house).accounts]


def test_houses_are_listed_apart_by_the_names_of_their_files() -> None:
    """What runs every scenario as one account must not find them, nor read 170 files to know."""
    houses = {name for name in list_scenarios() if load_scenario(name).accounts}

    assert houses == set()
    assert list(list_houses()) == ["house_of_five", "house_twins", "house_uncovered"]
    assert all(load_scenario(name).accounts for name in list_houses())


@pytest.mark.parametrize("name", list_houses())
def test_a_house_is_described_in_one_line(name: str) -> None:
    """`liqctl simulator list` shows it among the others."""
    description = load_scenario(name).description
    assert 10 < len(description) < 120
    assert description.endswith(".")


@pytest.mark.parametrize(("house", "name"), ACCOUNTS)
def test_each_account_alone_ends_as_its_file_promises(house: str, name: str) -> None:
    """As the other scenarios do."""
    run, _, sink = run_in_virtual_time(
        load_scenario(house).accounts[name], LiquidationConfig(), Conditions(latency_s=0.05)
    )
    told = "\n".join([*run.wrong, *map(str, sink.events)])
    assert (run.broken, run.differences) == ((), ()), told


def test_side_by_side_each_account_ends_as_it_would_alone() -> None:
    """Neither the one that hangs nor the one that is refused takes time from the others."""
    scenario = load_scenario("house_of_five")
    address = scenario.make_address()

    async def liquidate(name: str) -> LiquidationResult:
        manager = LiquidationManager(
            config=LiquidationConfig(),
            exchange=BinanceExchange(MemoryTransport(address.venues[name])),
            audit_logger=MemorySink(),
            wall_clock=LoopClock(),
            rng=random.Random(name),
        )
        return await manager.execute_liquidation()

    async def main() -> list[LiquidationResult]:
        return await asyncio.gather(*map(liquidate, address.names))

    results = dict(zip(address.names, run_virtual(main), strict=True))

    assert {name: (str(each.state),) for name, each in results.items()} == {
        name: each.expect.states for name, each in scenario.accounts.items()
    }
    assert {name: venue.account.is_flat for name, venue in address.venues.items()} == {
        "desk-a": True,
        "desk-b": True,
        "portfolio": True,
        "refused": False,
        "silent": False,
    }
    assert max(results[name].duration_seconds for name in ("desk-a", "desk-b", "portfolio")) < 3


def test_the_twins_have_one_alias() -> None:
    """By which a program notices that it was given one account twice."""
    address = load_scenario("house_twins").make_address()
    aliases = {
        ask_as(address, name, "GET", "/v3/balance")[1][0]["accountAlias"] for name in address.names
    }
    assert (address.names, len(aliases)) == (("desk-a", "desk-b"), 1)


def test_only_the_master_sees_the_uncovered_account() -> None:
    """It is on no list of keys that somebody is given."""
    address = load_scenario("house_uncovered").make_address()
    _, answer = ask_as(address, MASTER, "GET", "/sapi/v1/sub-account/list", limit=200)

    assert address.names == ("desk-a", "desk-b") == tuple(address.credentials)
    assert "forgotten@simulator.invalid" in {row["email"] for row in answer["subAccounts"]}
