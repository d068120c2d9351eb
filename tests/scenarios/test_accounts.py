"""Several accounts behind one address: nobody waits for another, and weight goes worst first."""

from dataclasses import replace
from decimal import Decimal

import pytest

from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import Results
from liqctl.kernel.states import ExitCode, LiquidationState, Margin, Product
from liqctl.sim.scenario import load_scenario
from tests.accounts import HouseRun, liquidate_all, make_large_house

USDM_ONLY = LiquidationConfig(products=(Product.USDM,))


def held(run: HouseRun, name: str) -> Decimal:
    """Return what the account held."""
    return sum((p.notional for p in run.results[name].positions), Decimal(0))


@pytest.mark.parametrize("name", ["desk-a", "desk-b", "portfolio"])
def test_an_account_is_flat_as_soon_as_alone_whatever_the_others_suffer(name: str) -> None:
    """One key is refused, one account hangs, one is in portfolio margin."""
    together = liquidate_all(load_scenario("house_of_five").make_address().venues).results
    venue = load_scenario("house_of_five").make_address().venues[name]
    alone = liquidate_all({name: venue}).results[name]

    result = together[name]

    assert result.verified_flat
    assert alone.verified_flat
    assert result.flat_after_seconds <= 1.05 * alone.flat_after_seconds
    assert result.duration_seconds <= 1.05 * alone.duration_seconds


def test_each_account_has_its_own_end_and_the_worst_one_is_the_commands() -> None:
    """What an account suffers is its own result."""
    house = load_scenario("house_of_five")
    address = house.make_address()

    run = liquidate_all(address.venues)

    ends = {name: (r.exit_code(), r.state) for name, r in run.results.items()}
    assert ends == {
        "desk-a": (ExitCode.DONE, LiquidationState.COMPLETED),
        "desk-b": (ExitCode.DONE, LiquidationState.COMPLETED),
        "portfolio": (ExitCode.DONE, LiquidationState.COMPLETED),
        "refused": (ExitCode.CREDENTIALS, LiquidationState.FAILED),
        "silent": (ExitCode.FAILED, LiquidationState.FAILED),
    }
    assert run.results["portfolio"].margin is Margin.PORTFOLIO
    results = Results(each=tuple(run.results.values()), are_several=True)
    assert (results.state, results.exit_code()) == (LiquidationState.FAILED, ExitCode.FAILED)
    assert {result.account for result in run.results.values()} == set(run.results)
    for name, sink in run.sinks.items():
        starts = [event for event, _ in sink.events if event == "LIQUIDATION_START"]
        assert len(starts) == 1, name


def test_two_names_of_one_account_close_it_once() -> None:
    """Another key of the same account is found by what the venue calls the account."""
    address = load_scenario("house_twins").make_address()

    run = liquidate_all(address.venues)

    states = sorted(result.state.value for result in run.results.values())
    assert states == ["COMPLETED", "SKIPPED"]
    (twin,) = [r for r in run.results.values() if r.state is LiquidationState.SKIPPED]
    (name,) = [r.account for r in run.results.values() if r.state is LiquidationState.COMPLETED]
    assert twin.error_message == f"the same account as {name}: it is closed once, under that name"
    events = [event for event, _ in run.sinks[twin.account or ""].events]
    assert events == ["LIQUIDATION_SKIPPED"], "no run began, and nothing was sent"
    assert twin.exit_code() is ExitCode.DONE


def test_a_twin_that_reaches_further_is_closed_too() -> None:
    """The name that was first may have been narrowed to a symbol."""
    address = load_scenario("house_twins").make_address()
    first, *_ = address.venues
    narrow = replace(LiquidationConfig(), symbols=("BTCUSDT",))

    run = liquidate_all(address.venues, policies={first: narrow})

    assert {result.exit_code() for result in run.results.values()} == {ExitCode.DONE}
    assert all(venue.account.is_flat for venue in address.venues.values())


@pytest.mark.parametrize(("accounts", "policy"), [(20, USDM_ONLY), (20, None), (40, USDM_ONLY)])
def test_of_many_accounts_all_are_closed_and_the_worst_are_proven(
    accounts: int, policy: LiquidationConfig | None
) -> None:
    """A minute's weight of one address cannot prove them all: what did not fit is named."""
    house = make_large_house(accounts=accounts, symbols=10, orders=1, algo=1)
    address = house.make_address()

    run = liquidate_all(address.venues, policy)

    weights = address.master.weights
    assert weights.banned_until_ms == 0
    assert weights.windows.describe()["futures"] <= 2400
    for name, result in run.results.items():
        assert result.positions_closed == 10, (name, result.error_message)
        holdings = address.venues[name].account.holdings.values()
        assert not any(holding.amount for holding in holdings), name
    worst_first = sorted(run.results, key=lambda name: -held(run, name))
    proven = len(run.proven)
    assert proven >= 1
    assert run.proven == [name for name in run.results if name in worst_first[:proven]]
    for name in worst_first[proven:]:
        result = run.results[name]
        assert result.state is LiquidationState.PARTIAL
        assert "weight" in (result.error_message or ""), result.error_message
        assert result.never_read, "nothing is called flat unread"


def test_what_fits_one_address_is_proven_whole() -> None:
    """Eight accounts of ten positions on both products fit a minute."""
    address = make_large_house(accounts=8, symbols=10, orders=1, algo=1).make_address()

    run = liquidate_all(address.venues)

    assert len(run.proven) == 8
    assert all(venue.account.is_flat for venue in address.venues.values())
