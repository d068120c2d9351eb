"""Behind one address the key chooses the account, and the request weight is everybody's."""

import asyncio
import contextlib
import json
import re
from decimal import Decimal
from typing import Any

import pytest

from liqctl.kernel.endpoints import Endpoint, spec_of
from liqctl.kernel.errors import ConfigurationError, VenueError
from liqctl.kernel.states import Margin, Product
from liqctl.sim.address import MASTER, Address, email_of, key_of, secret_of
from liqctl.sim.faults import make_fault
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import Scenario, load_scenario, parse_scenario
from liqctl.sim.venue import Request
from tests.accounts import make_large_house
from tests.sim.asking import NOW_MS, SELL, ask, ask_as, knock, make_address

TWO = """
accounts:
  desk-a: {account: {positions: {BTCUSDT: "0.500"}}}
  desk-b: {account: {positions: {BTCUSDT: "-0.200", LINKUSDT: "3"}}}
"""
KINDS = """
accounts:
  desk-a: {account: {positions: {BTCUSDT: "0.500"}}}
  desk-b: {account: {margin: PORTFOLIO, positions: {BTCUSDT: "0.700"}}}
"""
WEIGHT = "X-MBX-USED-WEIGHT-1M"


def held(answer: Any) -> dict[str, str]:
    """Return the amounts of a list of positions by symbol."""
    return {row["symbol"]: row["positionAmt"] for row in answer if row["positionAmt"] != "0"}


def test_the_key_chooses_the_account() -> None:
    """Each sees and closes its own positions, and no other's."""
    address = make_address(TWO)
    _, of_a = ask_as(address, "desk-a", "GET", "/v3/positionRisk")
    _, of_b = ask_as(address, "desk-b", "GET", "/v3/positionRisk")
    status, _ = ask_as(address, "desk-a", "POST", "/v1/order", **SELL)

    assert (held(of_a), held(of_b)) == (
        {"BTCUSDT": "0.500"},
        {"BTCUSDT": "-0.200", "LINKUSDT": "3"},
    )
    assert status == 200
    assert address.venues["desk-a"].account.is_flat
    assert not address.venues["desk-b"].account.is_flat


def test_an_unknown_key_is_refused_and_a_missing_one_is_malformed() -> None:
    """As with one account; the attempt costs the address its weight."""
    address = make_address(TWO)
    stranger, nobody = (knock(address, name, "GET", "/v3/positionRisk") for name in ("x", ""))

    assert (stranger.status, json.loads(stranger.body)["code"]) == (401, -2015)
    assert (nobody.status, json.loads(nobody.body)["code"]) == (401, -2014)
    assert nobody.headers[WEIGHT] == "10"


def test_a_key_with_the_secret_of_another_account_is_refused() -> None:
    """Credentials that were mixed up reach nothing."""
    address = make_address(TWO)
    right = "timestamp=1767225600000&signature="
    request = Request(
        method="GET",
        path="/fapi/v3/positionRisk",
        query=right + "0" * 64,
        headers={"x-mbx-apikey": key_of("desk-a")},
    )
    assert json.loads(address.handle(request, NOW_MS).body)["code"] == -1022


def test_what_everybody_may_know_needs_no_key_and_suffers_from_no_account() -> None:
    """Two accounts that hang do not stop the venue's clock; every symbol is listed."""
    address = make_address(TWO)
    for venue in address.venues.values():
        venue.faults.append(make_fault("hang", times=0))
    info = knock(address, "", "GET", "/v1/exchangeInfo")

    assert ask_as(address, "", "GET", "/v1/time") == (200, {"serverTime": NOW_MS})
    assert info.effect.delay_ms == 0
    assert "LINKUSDT" in {row["symbol"] for row in json.loads(info.body)["symbols"]}


def test_both_kinds_of_account_stand_behind_one_door() -> None:
    """A papi request reaches the one in portfolio margin and is refused to the other."""
    address = make_address(KINDS)
    _, of_b = ask_as(address, "desk-b", "GET", "/papi/v1/um/positionRisk")

    assert held(of_b) == {"BTCUSDT": "0.700"}
    assert ask_as(address, "desk-a", "GET", "/papi/v1/um/positionRisk")[1]["code"] == -2015
    assert ask_as(address, "desk-b", "GET", "/v3/positionRisk")[1]["code"] == -2015


def test_all_accounts_use_up_one_request_weight_a_host_pool() -> None:
    """USDS-M and COIN-M together, portfolio margin by itself, whoever asks."""
    address = make_address(KINDS)
    told = [
        knock(address, name, "GET", path).headers[WEIGHT]
        for name, path in (
            ("desk-a", "/v1/openOrders"),
            ("desk-b", "/v1/openOrders"),
            ("desk-a", "/dapi/v1/openOrders"),
            ("", "/v1/ping"),
            ("desk-b", "/papi/v1/um/openOrders"),
        )
    ]
    assert told == ["40", "80", "120", "121", "40"]


def test_orders_are_counted_by_account() -> None:
    """One account that trades much leaves the others their orders."""
    address = make_address(TWO)
    for venue in address.venues.values():
        venue.orders_limit_10s = 1
    sell, buy = SELL | {"quantity": "0.1"}, SELL | {"side": "BUY", "quantity": "0.1"}
    answers = [
        ask_as(address, name, "POST", "/v1/order", **order)[0]
        for name, order in (("desk-a", sell), ("desk-a", sell), ("desk-b", buy))
    ]
    assert answers == [200, 429, 200]


def test_a_ban_is_the_whole_addresss() -> None:
    """Whoever goes on in spite of 429 takes the others with him, on every host."""
    address = make_address(f"{TWO}venue: {{weight_limit: 10}}")
    for _ in range(25):
        knock(address, "desk-a", "GET", "/v1/openOrders")
    status, answer = ask_as(address, "desk-b", "GET", "/v3/positionRisk")

    assert (status, answer["code"]) == (418, -1003)
    assert ask_as(address, "", "GET", "/papi/v1/ping")[0] == 418
    assert ask_as(address, "desk-b", "GET", "/v1/time", now_ms=NOW_MS + 120_000)[0] == 200


def test_faults_and_events_are_an_accounts_own() -> None:
    """One hangs, in the other somebody trades, and neither notices."""
    address = make_address("""
accounts:
  desk-a: {account: {}, faults: [{kind: hang, times: 0}]}
  desk-b: {account: {}, events: [{act: add, symbol: BTCUSDT, quantity: "1", at_ms: 100}]}
""")
    answers = {}
    for name in ("desk-a", "desk-b"):
        knock(address, name, "GET", "/v3/positionRisk")
        answers[name] = knock(address, name, "GET", "/v3/positionRisk", now_ms=NOW_MS + 100)

    assert answers["desk-a"].effect.delay_ms == 3_600_000
    assert answers["desk-b"].effect.delay_ms == 0
    assert held(json.loads(answers["desk-b"].body)) == {"BTCUSDT": "1"}
    assert address.venues["desk-a"].account.is_flat


def test_an_account_is_banned_by_a_fault_alone() -> None:
    """The answer is that of a real ban, with the moment in its text, and hits nobody else."""
    address = make_address("""
accounts:
  desk-a: {account: {}, faults: [{kind: banned, times: 0, ban_ms: 1500}]}
  desk-b: {account: {}}
""")
    status, answer = ask_as(address, "desk-a", "GET", "/v3/positionRisk")

    assert (status, answer["code"]) == (418, -1003)
    assert f"banned until {NOW_MS + 1500}." in answer["msg"]
    assert ask_as(address, "desk-b", "GET", "/v3/positionRisk")[0] == 200


@pytest.mark.parametrize("setting", ["other_weight: 5", "weight_limit: 10", "clock_skew_ms: 9"])
def test_clock_and_weight_are_the_whole_houses(setting: str) -> None:
    """An account that set them for itself would only seem to."""
    address = make_address(f"{TWO}venue: {{other_weight: 7, clock_skew_ms: 3000}}")
    assert knock(address, "desk-b", "GET", "/v1/ping").headers[WEIGHT] == "8"
    assert {venue.clock_skew_ms for venue in address.venues.values()} == {3000}
    with pytest.raises(ConfigurationError, match="whole house"):
        make_address(f"accounts: {{desk-a: {{account: {{}}, venue: {{{setting}}}}}}}")


def test_two_names_can_lead_to_one_account() -> None:
    """With a key each, as when somebody names an account twice."""
    address = make_address("""
accounts:
  desk-a: {account: {positions: {BTCUSDT: "0.500"}}}
  desk-b: {key_of: desk-a}
""")
    status, _ = ask_as(address, "desk-b", "POST", "/v1/order", **SELL)

    assert status == 200
    assert held(ask_as(address, "desk-a", "GET", "/v3/positionRisk")[1]) == {}
    assert address.venues["desk-a"] is address.venues["desk-b"]


def test_the_alias_tells_accounts_apart_and_products_not() -> None:
    """Two keys of one account see the same one: that is how it is found out."""
    address = make_address(f"{TWO}  desk-c: {{key_of: desk-a}}\n")

    def alias(name: str, path: str) -> str:
        (alias,) = {row["accountAlias"] for row in ask_as(address, name, "GET", path)[1]}
        assert isinstance(alias, str)
        return alias

    seen = {
        name: {alias(name, path) for path in ("/v3/balance", "/v2/balance", "/dapi/v1/balance")}
        for name in ("desk-a", "desk-b", "desk-c", MASTER)
    }
    assert all(len(aliases) == 1 for aliases in seen.values())
    assert seen["desk-a"] == seen["desk-c"]
    assert len(set.union(*seen.values())) == 3


def test_credentials_are_as_long_as_real_ones_and_no_two_alike() -> None:
    """Names that differ in a dash or a digit too; nobody may take them for real ones."""
    names = ("desk-1", "desk-10", "desk1", "a-b", "ab", MASTER)
    made = [of(name) for of in (key_of, secret_of) for name in names]

    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"simulator(Key|Secret)[A-Za-z0-9]+", each) for each in made)
    assert {len(each) for each in made} == {64}


@pytest.mark.parametrize(
    "accounts",
    [
        "master: {}",
        "Desk-A: {}",
        "desk_a: {}",
        "",
        "desk-a: {key_of: desk-b}",
        "desk-a: {}, desk-b: {key_of: desk-a, account: {}}",
        "desk-a: {markets: {}}",
        "desk-a: {account: {kind: STANDARD}}",
    ],
)
def test_what_is_no_account_of_a_house_is_refused(accounts: str) -> None:
    """Before somebody drills against something else than meant."""
    with pytest.raises(ConfigurationError):
        make_address(f"accounts: {{{accounts}}}")
    for wrong in ("uncovered: [desk-c]", "  desk-b: {key_of: desk-c}"):
        with pytest.raises(ConfigurationError, match="called desk-c"):
            make_address(f"{TWO}{wrong}")


def test_a_house_is_not_one_account() -> None:
    """Whoever ran it as one would close an account that is empty, and call that a success."""
    with pytest.raises(ConfigurationError, match="several accounts"):
        parse_scenario(TWO, name="test").make_venue()


def test_the_masters_own_account_is_empty() -> None:
    """Its key trades nothing of the others."""
    address = make_address(TWO)
    assert held(ask_as(address, MASTER, "GET", "/v3/positionRisk")[1]) == {}
    assert ask_as(address, MASTER, "POST", "/v1/order", **SELL)[1]["code"] == -2022
    locked = make_address(f"{TWO}master: false")
    assert ask_as(locked, MASTER, "GET", "/v3/positionRisk")[1]["code"] == -2015
    assert (address.master_key, locked.master_key) == (key_of(MASTER), "")
    assert address.master_secret == secret_of(MASTER)


def make_mixed() -> Address:
    """Return a house of scenarios that were written for one account."""
    names = ("default", "hedge_mode", "reads_hang")
    return Scenario(
        name="mixed", accounts={name.replace("_", "-"): load_scenario(name) for name in names}
    ).make_address()


def test_any_scenarios_make_a_house() -> None:
    """For runs of the program with accounts of every kind."""
    address = make_mixed()
    flat = {name: venue.account.is_flat for name, venue in address.venues.items()}
    assert flat == {"default": False, "hedge-mode": False, "reads-hang": False}
    assert list(address.subs) == [email_of(name) for name in address.names]


def test_in_virtual_time_accounts_share_the_weight_too() -> None:
    """Each transport speaks to its own account; what is shared is in the venues."""
    address = make_address(TWO)
    orders = spec_of(Endpoint.OPEN_ORDERS, Product.USDM, Margin.STANDARD)

    async def main() -> list[int]:
        transports = [MemoryTransport(venue) for venue in address.venues.values()]
        for transport in transports:
            await transport.request(orders, {}, timeout_s=1)
        return [transport.usage.weight_1m for transport in transports]

    assert run_virtual(main) == [40, 80]


def test_side_by_side_one_that_hangs_delays_no_other() -> None:
    """And the same house is the same run again, to the millisecond."""

    def run() -> tuple[list[float], list[Any]]:
        address = make_mixed()
        positions = spec_of(Endpoint.POSITIONS, Product.USDM, Margin.STANDARD)

        async def one(name: str) -> float:
            transport = MemoryTransport(address.venues[name])
            with contextlib.suppress(VenueError):
                await transport.request(positions, {}, timeout_s=2)
            return asyncio.get_running_loop().time()

        async def main() -> list[float]:
            return await asyncio.gather(*map(one, address.names))

        journals = [venue.account.journal.requests for venue in address.venues.values()]
        return run_virtual(main), journals

    first, again = run(), run()
    assert first[0] == [0.05, 0.05, 2.0]
    assert first == again


def test_no_two_accounts_of_a_large_house_have_the_same_notional() -> None:
    """So that worst-first can be judged; the order of names is not that of sizes."""
    scenario = make_large_house(accounts=20, symbols=10, portfolio=2)
    address = scenario.make_address()
    notionals = [
        sum((abs(held.amount) * 100 for held in venue.account.holdings.values()), Decimal(0))
        for venue in address.venues.values()
    ]

    assert address.names[::19] == ("desk-01", "desk-20")
    assert {len(venue.account.holdings) for venue in address.venues.values()} == {10}
    assert sorted(notionals) == [min(notionals) * times for times in range(1, 21)]
    assert notionals != sorted(notionals)
    assert [venue.is_portfolio for venue in address.venues.values()] == [False] * 18 + [True] * 2
    assert ask(address.master, "GET", "/v1/ping")[0] == 200
