"""The venue's own dead man: a timer per symbol that cancels orders when nobody renews it."""

import pytest

from liqctl.sim.server import describe_truth
from liqctl.sim.venue import Venue
from tests.sim.asking import NOW_MS, ask, make_venue

PATH = "/v1/countdownCancelAll"
SEED = """
account:
  positions: {BTCUSDT: "0.500", BTCUSD_PERP: "5"}
  orders:
  - {symbol: BTCUSDT, side: SELL, price: "62000", quantity: "0.1", client_order_id: bot-btc}
  - {symbol: ETHUSDT, side: BUY, price: "2900", quantity: "1", client_order_id: bot-eth}
  - {symbol: BTCUSD_PERP, side: BUY, price: "58000", quantity: "1", client_order_id: bot-coin}
  algo: [{symbol: BTCUSDT, side: SELL, trigger: "50000", close_position: true}]
"""


def _arm(venue: Venue, span_ms: int, *, at_ms: int = 0, symbol: str = "BTCUSDT") -> None:
    path = PATH if symbol.endswith("USDT") else f"/dapi{PATH}"
    status, answer = ask(
        venue, "POST", path, symbol=symbol, countdownTime=span_ms, now_ms=NOW_MS + at_ms
    )
    assert (status, answer) == (200, {"symbol": symbol, "countdownTime": str(span_ms)})


def _left(venue: Venue, at_ms: int) -> set[str]:
    """Return the regular orders that still rest at a moment."""
    venue.pass_time(NOW_MS + at_ms)
    return {order.client_order_id for order in venue.account.open_orders()}


@pytest.mark.parametrize(("symbol", "gone"), [("BTCUSDT", "bot-btc"), ("BTCUSD_PERP", "bot-coin")])
def test_a_timer_cancels_the_orders_of_its_symbol(symbol: str, gone: str) -> None:
    """Everybody's, at its moment, of this symbol alone; positions and stops stay."""
    venue = make_venue(SEED)
    _arm(venue, 1000, symbol=symbol)
    before, after = _left(venue, 999), _left(venue, 1000)

    assert before - after == {gone}
    assert len(after) == 2
    assert venue.account.holding(("BTCUSDT", "BOTH")) is not None
    assert len(venue.account.open_algo_orders()) == 1


def test_a_new_call_replaces_the_timer_and_zero_stops_it() -> None:
    """Renewed in time it never fires; a clean stop leaves nothing behind."""
    venue = make_venue(SEED)
    _arm(venue, 1000)
    _arm(venue, 1000, at_ms=900)

    assert "bot-btc" in _left(venue, 1800)
    _arm(venue, 0, at_ms=1850)
    assert "bot-btc" in _left(venue, 60_000)


def test_conditional_orders_go_too_where_the_scenario_says_so() -> None:
    """No page says which: both readings can be tried."""
    venue = make_venue(SEED + "venue: {countdown_takes_algos: true}")
    _arm(venue, 1000)
    venue.pass_time(NOW_MS + 1000)

    assert venue.account.open_algo_orders() == []


def test_a_timer_that_runs_out_in_a_maintenance_does_nothing() -> None:
    """As COIN-M's on 2026-06-29: it is gone without having fired."""
    events = """
events: [{act: set_countdowns, work: false, at_ms: 500}, {act: set_countdowns, work: true,
  at_ms: 2000}]
"""
    venue = make_venue(SEED + events)
    _arm(venue, 1000)

    assert "bot-btc" in _left(venue, 60_000)
    assert venue.account.timers == {}


def test_running_timers_are_told_with_the_truth() -> None:
    """The venue has no way to ask; who watches a drill has."""
    venue = make_venue(SEED)
    _arm(venue, 1000)

    assert describe_truth(venue)["timers"] == [{"symbol": "BTCUSDT", "runs_out_ms": NOW_MS + 1000}]


@pytest.mark.parametrize(
    "params", [{}, {"symbol": "BTCUSDT"}, {"symbol": "BTCUSDT", "countdownTime": "-1"}]
)
def test_symbol_and_time_are_mandatory(params: dict[str, str]) -> None:
    """There is no form for the whole account."""
    status, answer = ask(make_venue(SEED), "POST", PATH, **params)
    assert (status, answer["code"]) == (400, -1102)


def test_portfolio_margin_has_no_timers() -> None:
    """Nothing answers there."""
    venue = make_venue("account: {margin: PORTFOLIO}")
    status, _ = ask(venue, "POST", "/papi/v1/um/countdownCancelAll", symbol="BTCUSDT")
    assert status == 404
