"""Orders land late, are denied, fill in slices; what rests shrinks; what is hidden can be taken."""

from decimal import Decimal
from typing import Any

import pytest

from liqctl.sim.venue import Venue
from tests.sim.asking import LONG, MARKET, NOW_MS, SELL, SHORT, ask, make_venue, place

CLOSE = {**SELL, "newClientOrderId": "liq-1"}


def look_up(venue: Venue, ms: int) -> Any:
    """Return what the venue says of the close so long after it was sent."""
    answer = ask(
        venue, "GET", "/v1/order", symbol="BTCUSDT", origClientOrderId="liq-1", now_ms=NOW_MS + ms
    )[1]
    return answer.get("code") or (answer["status"], answer["executedQty"])


@pytest.mark.parametrize(
    ("kind", "told"),
    [("executed_late", None), ("unknown_late", -1000), ("overloaded_late", -1008)],
)
def test_a_late_order_is_not_there_until_it_lands(kind: str, told: int | None) -> None:
    """Look-ups are right to deny it, and wrong a moment later."""
    venue = make_venue(f"{LONG}\nfaults: [{{kind: {kind}, method: POST, late_ms: 1500}}]")

    _, answer = place(venue, **CLOSE)

    assert answer.get("code") == told
    assert look_up(venue, 1499) == -2013
    assert look_up(venue, 1500) == ("FILLED", "0.500")
    assert venue.account.orders.popitem()[1].time_ms == NOW_MS + 1500


def test_a_late_order_that_has_become_impossible_lands_nowhere() -> None:
    """Somebody else closed meanwhile: it only reduces, and there is nothing left."""
    venue = make_venue(f"{LONG}\nfaults: [{{kind: executed_late, method: POST, late_ms: 1500}}]")
    place(venue, **CLOSE)
    place(venue, **SELL)

    assert look_up(venue, 2000) == -2013
    assert venue.account.is_flat


@pytest.mark.parametrize("kind", ["denied", "unknown_denied"])
def test_an_executed_order_is_denied_for_a_while(kind: str) -> None:
    """The position is gone, the order is said not to exist."""
    venue = make_venue(f"{LONG}\nfaults: [{{kind: {kind}, method: POST, hide_ms: 1000}}]")
    place(venue, **CLOSE)

    assert venue.account.is_flat
    assert [look_up(venue, 999), look_up(venue, 1000)] == [-2013, ("FILLED", "0.500")]


def test_an_order_fills_in_slices() -> None:
    """Look-ups grow, the list shows it as open, and a second close beside it is refused."""
    venue = make_venue(
        f"{LONG}\nfaults: [{{kind: sliced, method: POST, slices: 4, slice_ms: 100}}]"
    )

    _, answer = place(venue, **CLOSE)
    (listed,) = ask(venue, "GET", "/v1/openOrders")[1]
    second = place(venue, **SELL)[1]

    assert (answer["status"], answer["executedQty"]) == ("PARTIALLY_FILLED", "0.125")
    assert (listed["status"], second["code"]) == ("PARTIALLY_FILLED", -4118)
    assert [look_up(venue, ms)[1] for ms in (99, 100, 250, 300)] == [
        "0.125",
        "0.250",
        "0.375",
        "0.500",
    ]
    assert venue.account.is_flat


def test_a_cancel_stops_an_order_that_is_still_filling() -> None:
    """What is executed stays executed."""
    venue = make_venue(
        f"{LONG}\nfaults: [{{kind: sliced, method: POST, slices: 4, slice_ms: 100}}]"
    )
    place(venue, **CLOSE)
    ask(venue, "DELETE", "/v1/allOpenOrders", symbol="BTCUSDT", now_ms=NOW_MS + 150)

    assert look_up(venue, 1000) == ("CANCELED", "0.250")
    assert venue.account.holdings["BTCUSDT", "BOTH"].amount == Decimal("0.250")


def test_resting_orders_that_only_reduce_shrink_with_their_leg() -> None:
    """The newest first, and with the last of the leg they are gone."""
    venue = make_venue(
        """
account:
  positions: {BTCUSDT: "0.500"}
  orders:
    - {symbol: BTCUSDT, side: SELL, price: "62000", quantity: "0.2", reduce_only: true}
    - {symbol: BTCUSDT, side: SELL, price: "63000", quantity: "0.3", reduce_only: true}
    - {symbol: BTCUSDT, side: SELL, price: "63000", quantity: "0.4"}
events:
  - {act: close, symbol: BTCUSDT, share: "0.5", at_ms: 100}
  - {act: close, symbol: BTCUSDT, at_ms: 200}
"""
    )

    def quantities(ms: int) -> list[str]:
        return [r["origQty"] for r in ask(venue, "GET", "/v1/openOrders", now_ms=NOW_MS + ms)[1]]

    assert quantities(0) == ["0.2", "0.3", "0.4"]
    assert quantities(150) == ["0.2", "0.0500", "0.4"]
    assert quantities(250) == ["0.4"]


def test_an_order_that_no_list_shows_can_be_cancelled_all_the_same() -> None:
    """By its symbol or by its id, and until then it can fill."""
    text = """
account:
  orders: [{symbol: BTCUSDT, side: BUY, price: "58000", quantity: "1", hidden: true}]
events: [{act: fill, symbol: BTCUSDT, at_ms: 500}]
"""
    filled, swept = make_venue(text), make_venue(text)
    ask(swept, "DELETE", "/v1/allOpenOrders", symbol="BTCUSDT")
    for venue in (filled, swept):
        assert ask(venue, "GET", "/v1/openOrders")[1] == []
        assert ask(venue, "GET", "/v3/positionRisk")[1] == []
        venue.tick(NOW_MS + 1000)

    assert (filled.account.is_flat, swept.account.is_flat) == (False, True)


@pytest.mark.parametrize(
    ("stop", "after_ms", "flags"),
    [
        ("close_position", 0, (False, True)),
        ("reduce_only", 400, (True, False)),
        ("plain", -400, (False, False)),
    ],
)
def test_a_bot_enters_with_a_stop_of_its_own(
    stop: str, after_ms: int, flags: tuple[bool, bool]
) -> None:
    """Before the position or after it."""
    venue = make_venue(
        "events:\n  - {act: enter, symbol: BTCUSDT, quantity: '0.3', at_ms: 1000, "
        f"stop: {stop}, stop_after_ms: {after_ms}}}"
    )
    venue.tick(NOW_MS)
    venue.tick(NOW_MS + 2000)

    (algo,) = venue.account.open_algo_orders()
    life = venue.account.life(("BTCUSDT", "BOTH"))
    assert (algo.reduce_only, algo.close_position) == flags
    assert (algo.time_ms - life.opened_ms, life.opened_by) == (after_ms, "bot")
    assert venue.account.is_needed(algo)


def test_a_stop_from_before_its_leg_was_flat_protects_what_is_gone() -> None:
    """The leg is open again, but by somebody who set no stop."""
    venue = make_venue(
        """
account:
  positions: {BTCUSDT: "0.500"}
  algo: [{symbol: BTCUSDT, side: SELL, trigger: "57000", quantity: "0.1", reduce_only: true}]
events: [{act: reopen, symbol: BTCUSDT, quantity: "0.3", at_ms: 500}]
"""
    )
    (algo,) = venue.account.open_algo_orders()
    before = venue.account.is_needed(algo)
    place(venue, **SELL)
    venue.tick(NOW_MS + 1000)

    assert (before, venue.account.is_needed(algo)) == (True, False)


def test_a_market_order_off_its_own_step_is_refused_and_a_limit_order_is_not() -> None:
    """MARKET_LOT_SIZE may have the coarser step of the two."""
    venue = make_venue(f"{LONG}\nmarkets: {{BTCUSDT: {{market_step_size: '0.1'}}}}")
    limit = {"type": "LIMIT", "timeInForce": "IOC", "price": "58000"}

    off = place(venue, **{**SELL, "quantity": "0.45"})[1]
    rest = place(venue, **{**SELL, **limit, "quantity": "0.45"})[1]
    filters = ask(venue, "GET", "/v1/exchangeInfo")[1]["symbols"][0]["filters"]

    assert (off["code"], rest["status"]) == (-4023, "FILLED")
    steps = {row["filterType"]: row.get("stepSize") for row in filters}
    assert (steps["LOT_SIZE"], steps["MARKET_LOT_SIZE"]) == ("0.001", "0.1")


def test_a_price_outside_the_band_is_told_where_it_ends_now() -> None:
    """The mark moved between the reading and the order."""
    venue = make_venue(
        f"{SHORT}\nevents: [{{act: move_mark, symbol: BTCUSDT, bps: '-100', on_path: /v1/order}}]"
    )
    order = {**MARKET, "type": "LIMIT", "timeInForce": "IOC", "side": "BUY", "quantity": "0.5"}

    _, refused = place(venue, **order, price="63000", reduceOnly="true")

    assert refused == {"code": -4016, "msg": "Limit price can't be higher than 62370."}


def test_raised_limits_and_what_others_use_stand_in_the_headers() -> None:
    """A count above the usual limit proves that it is no limit here."""
    venue = make_venue(
        f"{LONG}\nvenue: {{orders_limit_10s: 10000, orders_limit_1m: 20000, other_orders: 2000}}"
    )

    assert place(venue, **SELL)[0] == 200
    limits = ask(venue, "GET", "/v1/rateLimit/order")[1]
    told = ask(venue, "GET", "/v1/exchangeInfo")[1]["rateLimits"]
    assert [row["limit"] for row in limits] == [10_000, 20_000]
    assert [row["limit"] for row in told] == [2400, 20_000, 10_000]


def test_lowered_limits_refuse_with_their_own_number() -> None:
    """The account may do less than most."""
    venue = make_venue(f"{LONG}\nvenue: {{orders_limit_1m: 2, other_orders: 2}}")

    status, answer = place(venue, **SELL)

    assert (status, answer["code"]) == (429, -1015)
    assert "2 orders per 1 MINUTE" in answer["msg"]
