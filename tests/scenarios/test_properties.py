"""Rules that hold for every account: it ends flat, nothing is opened, the rest is left alone."""

import random
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from liqctl import LiquidationConfig, LiquidationManager, LiquidationResult, LiquidationState
from liqctl.drill.judges import Case
from liqctl.kernel.states import OrderState, PositionState
from liqctl.sim.memory import EPOCH_MS, MemoryTransport, run_virtual
from liqctl.sim.scenario import PRICES, Scenario
from liqctl.sim.venue import Venue
from liqctl.venue.exchange import BinanceExchange
from tests.judging import judge_fully
from tests.simulation import ListSink

SYMBOLS = sorted(PRICES)
QUANTITIES = st.integers(min_value=1, max_value=9000).map(lambda n: Decimal(n) / 1000)
"""Steps of 0.001, below the largest market order."""


def near(symbol: str, percent: int) -> str:
    """Return a price that far from the mark, on the tick."""
    price = Decimal(PRICES[symbol]) * (100 + percent) / 100
    return str(price.quantize(Decimal("0.1") if price >= 1000 else Decimal("0.0001")))


@st.composite
def accounts(draw: st.DrawFn) -> Scenario:
    """Any mix of positions and of orders of both books, in either position mode."""
    hedge = draw(st.booleans())
    positions: dict[str, str] = {}
    for symbol in draw(st.lists(st.sampled_from(SYMBOLS), unique=True)):
        sides = draw(st.sets(st.sampled_from(["LONG", "SHORT"]), min_size=1)) if hedge else {""}
        for side in sorted(sides):
            short = side == "SHORT" or (not hedge and draw(st.booleans()))
            quantity = draw(QUANTITIES)
            positions[f"{symbol} {side}".strip()] = str(-quantity if short else quantity)
    return Scenario(
        name="drawn",
        account={
            "mode": "hedge" if hedge else "one_way",
            "positions": positions,
            "orders": draw(st.lists(resting(positions, hedge=hedge), max_size=6)),
            "algo": draw(st.lists(conditional(positions, hedge=hedge), max_size=6)),
        },
    )


@st.composite
def resting(draw: st.DrawFn, positions: dict[str, str], *, hedge: bool) -> dict[str, Any]:
    """Return a limit order away from the market."""
    symbol = draw(st.sampled_from(SYMBOLS))
    side = draw(st.sampled_from(["BUY", "SELL"]))
    closing = _closing_side(positions.get(symbol))
    return {
        "symbol": symbol,
        "side": side,
        "position_side": draw(st.sampled_from(["LONG", "SHORT"])) if hedge else "BOTH",
        "price": near(symbol, -3 if side == "BUY" else 3),
        "quantity": str(draw(QUANTITIES)),
        "reduce_only": not hedge and side == closing and draw(st.booleans()),
    }


@st.composite
def conditional(draw: st.DrawFn, positions: dict[str, str], *, hedge: bool) -> dict[str, Any]:
    """Return a stop: one that protects, one that opens, or one that closes the whole position."""
    symbol = draw(st.sampled_from(SYMBOLS))
    side = draw(st.sampled_from(["BUY", "SELL"]))
    whole = draw(st.booleans())
    return {
        "symbol": symbol,
        "side": side,
        "position_side": draw(st.sampled_from(["LONG", "SHORT"])) if hedge else "BOTH",
        "trigger": near(symbol, 5 if side == "BUY" else -5),
        "quantity": None if whole else str(draw(QUANTITIES)),
        "close_position": whole,
        "reduce_only": not hedge and not whole and draw(st.booleans()),
    }


def _closing_side(amount: str | None) -> str | None:
    if amount is None:
        return None
    return "BUY" if amount.startswith("-") else "SELL"


def liquidate(
    scenario: Scenario, *, seed: int, **config: Any
) -> tuple[LiquidationResult, Venue, ListSink]:
    """Run a liquidation of the account in virtual time."""
    venue = scenario.make_venue()
    sink = ListSink()

    async def main() -> LiquidationResult:
        manager = LiquidationManager(
            config=LiquidationConfig(**config),
            exchange=BinanceExchange(MemoryTransport(venue)),
            audit_logger=sink,
            rng=random.Random(seed),
        )
        return await manager.execute_liquidation()

    return run_virtual(main), venue, sink


def everything(venue: Venue, without: str = "") -> tuple[Any, ...]:
    """Return what is open, but for one symbol."""
    account = venue.account
    held = sorted(
        (h.symbol, h.position_side, h.amount)
        for h in account.holdings.values()
        if h.amount and h.symbol != without
    )
    orders = sorted(o.order_id for o in account.open_orders() if o.symbol != without)
    algo = sorted(o.algo_id for o in account.open_algo_orders() if o.symbol != without)
    return held, orders, algo


@settings(max_examples=150)
@given(scenario=accounts(), seed=st.integers(0, 2**32))
def test_every_account_ends_flat_and_no_rule_is_broken(scenario: Scenario, seed: int) -> None:
    """Nothing goes wrong, so nothing may be left; no order of ours opened or turned anything."""
    result, venue, sink = liquidate(scenario, seed=seed)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert result.verified_flat
    assert venue.account.is_flat
    assert {p.state for p in result.positions} <= {PositionState.CLOSED}
    assert {o.state for o in result.orders} <= {OrderState.CANCELLED, OrderState.GONE}
    duration_s = result.duration_seconds
    case = Case(
        venue=venue,
        result=result,
        events=sink.events,
        duration_s=duration_s,
        ended_ms=EPOCH_MS + round(duration_s * 1000),
    )
    assert judge_fully(case).broken == []


@settings(max_examples=100)
@given(scenario=accounts(), seed=st.integers(0, 2**32), symbol=st.sampled_from(SYMBOLS))
def test_one_symbol_is_closed_and_no_other_is_touched(
    scenario: Scenario, seed: int, symbol: str
) -> None:
    """Scope: what --symbol does not name is as it was, to the last order."""
    before = everything(scenario.make_venue(), without=symbol)

    result, venue, _ = liquidate(scenario, seed=seed, symbols=(symbol,))

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert everything(venue, without=symbol) == before
    assert not [h for h in venue.account.holdings.values() if h.amount and h.symbol == symbol]
    assert {fill[2] for fill in venue.account.journal.fills} <= {symbol}


@settings(max_examples=100)
@given(scenario=accounts(), seed=st.integers(0, 2**32))
def test_orders_only_moves_no_position_and_keeps_what_protects_it(
    scenario: Scenario, seed: int
) -> None:
    """Cancelled is not closed, and a stop is worth more than tidiness."""
    held_before = everything(scenario.make_venue())[0]

    result, venue, _ = liquidate(scenario, seed=seed, close_positions=False)

    assert result.state is LiquidationState.COMPLETED, result.error_message
    assert everything(venue)[0] == held_before
    assert not venue.account.journal.fills
    assert not list(venue.account.open_orders())
    kept = {o.order_id for o in result.orders if o.state is OrderState.KEPT}
    assert {str(algo.algo_id) for algo in venue.account.open_algo_orders()} == kept
