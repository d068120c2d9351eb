"""Quantities, books, limits and rows out of the ordinary: what can be closed is closed."""

import random
import re
from decimal import Decimal
from typing import Any

import pytest

from liqctl.drill.runs import LoopClock
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import LiquidationState, Product
from liqctl.run.manager import LiquidationManager
from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.memory import MemoryTransport, run_virtual
from liqctl.sim.scenario import make_large_account, parse_scenario
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.simulation import ListSink


def venue_of(text: str) -> Venue:
    """Return the venue that a scenario's text describes."""
    return parse_scenario(text, name="hard").make_venue()


def liquidate(venue: Venue, sink: ListSink, **config: Any) -> LiquidationResult:
    """Liquidate a venue with 50 ms a request, in virtual time, trusting the first flat reading."""

    async def main() -> LiquidationResult:
        manager = LiquidationManager(
            config=LiquidationConfig(**{"settle_seconds": 0.0, **config}),
            exchange=BinanceExchange(MemoryTransport(venue)),
            audit_logger=sink,
            wall_clock=LoopClock(),
            rng=random.Random(1),
        )
        return await manager.execute_liquidation()

    return run_virtual(main)


def sent(sink: ListSink) -> list[tuple[str, str]]:
    """Return type and quantity of every order that was sent."""
    return [(d["type"], d["quantity"]) for name, d in sink.events if name == "ORDER_SENT"]


def held(venue: Venue) -> dict[str, Decimal]:
    """Return what the venue holds at the end."""
    positions = venue.account.holdings.items()
    return {symbol: found.amount for (symbol, _), found in positions if found.amount}


COARSE = """
account: {positions: {BTCUSDT: "12.34"}}
markets: {BTCUSDT: {step_size: "0.01", quantity_min: "0.01", market_step_size: "0.1"}}
"""


@pytest.mark.parametrize("max_retries", [0, 3])
def test_a_market_step_coarser_than_the_quantity_leaves_nothing(max_retries: int) -> None:
    """12.34 was refused with -4023 until it was given up."""
    venue, sink = venue_of(COARSE), ListSink()

    result = liquidate(venue, sink, max_retries=max_retries)

    assert result.state is LiquidationState.COMPLETED
    assert ("LIMIT", "0.04") in sent(sink)
    assert result.duration_seconds < 1.0


@pytest.mark.parametrize("fault", ["bad_gateway_not_executed", "hang"])
def test_without_market_rules_the_part_that_fits_a_coarse_step_is_closed(fault: str) -> None:
    """ExchangeInfo may be down for the whole run."""
    venue, sink = venue_of(COARSE), ListSink()
    venue.faults.append(Fault(effect=KINDS[fault], path="exchangeInfo", times=0))

    liquidate(venue, sink)

    assert held(venue) == {"BTCUSDT": Decimal("0.04")}


LARGE = 'account: {positions: {BTCUSDT: "300"}}'


@pytest.mark.parametrize("max_retries", [0, 3])
@pytest.mark.parametrize("fault", ["", "bad_gateway_not_executed", "hang", "service_unavailable"])
def test_above_the_market_maximum_everything_goes_with_or_without_rules(
    fault: str, max_retries: int
) -> None:
    """300 at a maximum of 120: halved without a wait until the rules are there."""
    venue, sink = venue_of(LARGE), ListSink()
    if fault:
        venue.faults.append(Fault(effect=KINDS[fault], path="exchangeInfo", times=0))

    result = liquidate(venue, sink, max_retries=max_retries)

    assert result.state is LiquidationState.COMPLETED
    assert result.duration_seconds < 1.0


def test_an_odd_quantity_is_halved_on_its_own_digits() -> None:
    """300.005 / 2 has a digit more than the step allows, and was refused for that."""
    venue, sink = venue_of('account: {positions: {BTCUSDT: "300.005"}}'), ListSink()
    venue.faults.append(Fault(effect=KINDS["hang"], path="exchangeInfo", times=0))

    assert liquidate(venue, sink).state is LiquidationState.COMPLETED
    assert not [d for name, d in sink.events if name == "ORDER_REJECTED" and d["code"] == -1111]


@pytest.mark.parametrize("max_retries", [0, 3])
@pytest.mark.parametrize(
    ("market", "event"),
    [
        ('spread_bps: "600"', '{act: set_spread, symbol: BTCUSDT, spread_bps: "1", at_ms: 3000}'),
        ('depth: "0"', '{act: set_depth, symbol: BTCUSDT, depth: "10", at_ms: 3000}'),
    ],
)
def test_a_book_that_is_thin_for_long_is_met_by_limit_and_market_in_turn(
    market: str, event: str, max_retries: int
) -> None:
    """-4131 or EXPIRED with nothing filled: once given up after the third, with MARKET untried."""
    text = f'account: {{positions: {{BTCUSDT: "0.500"}}}}\nmarkets: {{BTCUSDT: {{{market}}}}}\n'
    venue, sink = venue_of(f"{text}events: [{event}]"), ListSink()

    # The other product is watched beside it, and both are read less often then.
    result = liquidate(venue, sink, max_retries=max_retries, products=(Product.USDM,))

    kinds = [kind for kind, _ in sent(sink)]
    assert result.state is LiquidationState.COMPLETED
    assert kinds[-4:].count("MARKET") == 2
    assert kinds[-4:].count("LIMIT") == 2
    assert result.duration_seconds < 4.2


def test_a_limit_order_of_a_thin_book_lies_inside_the_band() -> None:
    """At the exact edge it is refused whenever the mark moved the wrong way since."""
    text = 'account: {positions: {BTCUSDT: "0.500"}}\nmarkets: {BTCUSDT: {depth: "0"}}\n'
    venue, sink = venue_of(text), ListSink()

    liquidate(venue, sink)

    prices = {
        Decimal(d["price"]) for name, d in sink.events if name == "ORDER_SENT" and "price" in d
    }
    assert prices == {Decimal("57171.0")}  # 60000 x 0.95 x 1.003


@pytest.mark.parametrize("legs", [400, 1500])
def test_an_account_with_raised_limits_sends_everything(legs: int) -> None:
    """Our number of 300 orders in ten seconds is not this account's, and nothing was refused."""
    venue, sink = make_large_account(symbols=legs, orders=0, algo=0).make_venue(), ListSink()
    venue.orders_limit_10s, venue.orders_limit_1m = 5000, 15000

    result = liquidate(venue, sink)

    assert result.state is LiquidationState.COMPLETED
    assert result.positions_closed == legs
    assert result.duration_seconds < 2.0


def test_five_positions_of_many_parts_are_all_sent_on_a_raised_account() -> None:
    """4 of 5 positions were never sent, though nothing had been refused."""
    names = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT")
    amounts = ", ".join(f'{name}: "100"' for name in names)
    markets = ", ".join(f'{name}: {{market_quantity_max: "1"}}' for name in names)
    venue = venue_of(f"account: {{positions: {{{amounts}}}}}\nmarkets: {{{markets}}}")
    venue.orders_limit_10s, venue.orders_limit_1m = 5000, 15000
    sink = ListSink()

    result = liquidate(venue, sink)

    assert held(venue) == {}
    assert result.state is LiquidationState.COMPLETED


def test_a_host_that_allows_more_weight_is_not_left_with_orders_and_readings_undone() -> None:
    """The demo host allows 6,000 where the real one allows 2,400; others use it up."""
    venue, sink = make_large_account(symbols=60, orders=3, algo=1).make_venue(), ListSink()
    venue.weights.limit, venue.weights.others = 6000, 2250

    result = liquidate(venue, sink)

    assert result.state is LiquidationState.COMPLETED
    assert result.orders_cancelled == 240


def test_a_limit_that_a_refusal_proved_is_kept_and_the_address_is_not_banned() -> None:
    """An ordinary account with 350 positions: a handful of refusals, not fifty."""
    venue, sink = make_large_account(symbols=350, orders=0, algo=0).make_venue(), ListSink()

    liquidate(venue, sink)

    refused = [d for name, d in sink.events if name == "ORDER_REJECTED" and d.get("code") == -1015]
    assert len(refused) <= 10
    assert venue.weights.banned_until_ms == 0


ODD = ["empty_amount", "huge_number", "unknown_side", "stranger"]


@pytest.mark.parametrize("path", ["positionRisk", "openOrders", "openAlgoOrders"])
@pytest.mark.parametrize("kind", ODD)
def test_one_odd_row_keeps_nothing_open(kind: str, path: str) -> None:
    """A row that could not be read made its whole list unreadable, and nothing was closed."""
    venue, sink = venue_of(ACCOUNT), ListSink()
    venue.faults.append(Fault(effect=KINDS[kind], path=path, times=0))

    liquidate(venue, sink)

    assert held(venue) == {}


@pytest.mark.parametrize("kind", ["unknown_side", "stranger"])
def test_an_odd_row_in_both_sources_is_named_and_the_account_never_called_flat(kind: str) -> None:
    """What can be read is closed; what cannot may be open, and the operator must be told which."""
    venue, sink = venue_of(ACCOUNT), ListSink()
    for path in ("positionRisk", "v3/account"):
        venue.faults.append(Fault(effect=KINDS[kind], path=path, times=0))

    result = liquidate(venue, sink)

    message = result.error_message or ""
    assert result.state is LiquidationState.PARTIAL
    assert re.search(r"1 row could not be read: \w+: positionSide 'NEITHER'", message)
    assert "ETHUSDT" not in held(venue)


ACCOUNT = """
account:
  positions: {BTCUSDT: "0.500", ETHUSDT: "-2.000"}
  orders:
    - {symbol: BTCUSDT, side: BUY, price: "58000", quantity: "0.100", client_order_id: grid-1}
    - {symbol: ETHUSDT, side: BUY, price: "2900", quantity: "1", client_order_id: grid-2}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", close_position: true, client_algo_id: stop-1}
"""
