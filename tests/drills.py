"""Drills: the real engine against a scenario in virtual time, judged by what the file promises."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from liqctl.domain.result import LiquidationResult
from liqctl.domain.states import OrderState
from liqctl.engine.manager import LiquidationManager
from liqctl.exchange.adapter import BinanceExchange
from liqctl.planning.policy import LiquidationConfig
from liqctl.sim.memory import MemoryTransport
from liqctl.sim.scenario import Expectation, Scenario
from liqctl.sim.venue import Venue
from liqctl.sim.virtual import run_virtual
from tests import judges
from tests.simulation import ListSink, LoopClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One run against a scenario; `wrong` says what differs from its promise or broke a rule."""

    result: LiquidationResult
    venue: Venue
    sink: ListSink
    wrong: list[str]


def drill(scenario: Scenario, *, seed: int = 1, show: bool = False) -> Drill:
    """Run a scenario; the same seed gives the same run."""
    venue = scenario.make_venue()
    sink = ListSink(show=show)

    async def main() -> tuple[LiquidationResult, float]:
        manager = LiquidationManager(
            config=LiquidationConfig(),
            exchange=BinanceExchange(MemoryTransport(venue)),
            audit_logger=sink,
            wall_clock=LoopClock(),
            rng=random.Random(seed),
        )
        result = await manager.execute_liquidation(reason="drill")
        return result, asyncio.get_running_loop().time()

    result, duration_s = run_virtual(main)
    others_trade = any(event.get("every_ms") for event in scenario.events)
    wrong = [
        *judges.exposure(venue),
        *judges.client_order_ids(venue),
        *judges.stops(venue),
        *judges.truth(venue, result, others_trade=others_trade),
        *judges.deadline(result, duration_s),
        *judges.trail(sink.events),
        *judge_promise(venue, result, scenario.expect),
    ]
    return Drill(result=result, venue=venue, sink=sink, wrong=wrong)


def judge_promise(venue: Venue, result: LiquidationResult, expect: Expectation) -> list[str]:
    """Return where a run's end differs from what its scenario promises."""
    wrong = []
    if result.state.value not in expect.states:
        wrong.append(f"state is {result.state}, expected {' or '.join(expect.states)}")
    if int(result.exit_code()) not in expect.exits:
        wrong.append(f"exit code is {int(result.exit_code())}, expected {expect.exits}")
    if expect.within_s and result.duration_seconds > expect.within_s:
        wrong.append(f"took {result.duration_seconds:.3f} s, expected {expect.within_s} s")
    told = "; ".join([result.error_message or "", *result.notes])
    wrong += [f"does not say {words!r}: {told}" for words in expect.says if words not in told]
    return wrong + _judge_left(what_is_left(venue), expect.left) + _judge_kept(venue, result)


def what_is_left(venue: Venue) -> list[str]:
    """Return what is really open: legs by symbol and side, orders by client order id."""
    account = venue.account
    legs = [
        held.symbol if held.position_side == "BOTH" else f"{held.symbol} {held.position_side}"
        for held in account.holdings.values()
        if held.amount
    ]
    orders = [order.client_order_id for order in account.open_orders()]
    return legs + orders + [algo.client_algo_id for algo in account.open_algo_orders()]


def _judge_left(left: Iterable[str], patterns: Iterable[str]) -> list[str]:
    left, patterns = list(left), list(patterns)
    wrong = [
        f"{name} is left open"
        for name in left
        if not any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    return wrong + [
        f"{pattern} should be left open"
        for pattern in patterns
        if not any(fnmatchcase(name, pattern) for name in left)
    ]


def _judge_kept(venue: Venue, result: LiquidationResult) -> list[str]:
    """An order reported KEPT really rests."""
    resting = {str(algo.algo_id) for algo in venue.account.open_algo_orders()}
    return [
        f"{order.order_id} on {order.symbol} is reported KEPT but is gone"
        for order in result.orders
        if order.state is OrderState.KEPT and order.order_id not in resting
    ]
