"""Weights, order counts, refusals and bans are counted as the real venue counts them."""

import json

import pytest

from liqctl.sim.venue import Request, Venue
from tests.sim.asking import LONG, NOW_MS, SELL, ask, make_venue, place

QUERY = f"timestamp={NOW_MS}"


def _headers(venue: Venue, method: str, path: str, query: str = QUERY) -> dict[str, str]:
    return venue.handle(Request(method=method, path=f"/fapi{path}", query=query), NOW_MS).headers


@pytest.mark.parametrize(
    ("method", "path", "query", "weight"),
    [
        ("GET", "/v1/ping", "", 1),
        ("GET", "/v1/time", "", 1),
        ("GET", "/v1/exchangeInfo", "", 1),
        ("GET", "/v1/premiumIndex", "", 10),
        ("GET", "/v1/premiumIndex", "symbol=BTCUSDT", 1),
        ("GET", "/v1/ticker/bookTicker", "symbol=BTCUSDT", 2),
        ("GET", "/v3/positionRisk", QUERY, 5),
        ("GET", "/v3/account", QUERY, 5),
        ("GET", "/v1/accountConfig", QUERY, 5),
        ("GET", "/v1/positionSide/dual", QUERY, 30),
        ("GET", "/v1/openOrders", QUERY, 40),
        ("GET", "/v1/openOrders", f"symbol=BTCUSDT&{QUERY}", 1),
        ("GET", "/v1/openAlgoOrders", QUERY, 40),
        ("GET", "/v1/openAlgoOrders", f"symbol=BTCUSDT&{QUERY}", 1),
        ("GET", "/v1/userTrades", f"symbol=BTCUSDT&{QUERY}", 5),
        ("POST", "/v1/order", f"symbol=BTCUSDT&{QUERY}", 0),
        ("POST", "/v1/batchOrders", f"batchOrders=[]&{QUERY}", 5),
        ("DELETE", "/v1/allOpenOrders", f"symbol=BTCUSDT&{QUERY}", 1),
        ("DELETE", "/v1/algoOpenOrders", f"symbol=BTCUSDT&{QUERY}", 1),
        ("POST", "/v1/countdownCancelAll", f"symbol=BTCUSDT&{QUERY}", 10),
    ],
)
def test_a_request_costs_its_documented_weight(
    method: str, path: str, query: str, weight: int
) -> None:
    """A refused request costs as much; the header tells the sum of the minute."""
    venue = make_venue()
    assert _headers(venue, method, path, query)["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_order_counts_stand_on_order_replies_only() -> None:
    """A batch of five counts five in ten seconds and one in the minute."""
    venue = make_venue(LONG)
    batch = json.dumps([{**SELL, "quantity": "0.001"}] * 5)

    single = _headers(venue, "POST", "/v1/order", "&".join(f"{k}={v}" for k, v in SELL.items()))
    five = _headers(venue, "POST", "/v1/batchOrders", f"batchOrders={batch}&{QUERY}")

    assert "X-MBX-ORDER-COUNT-10S" not in single  # refused for want of a timestamp
    assert (five["X-MBX-ORDER-COUNT-10S"], five["X-MBX-ORDER-COUNT-1M"]) == ("5", "1")
    assert "X-MBX-ORDER-COUNT-10S" not in _headers(venue, "GET", "/v1/openOrders")


def test_too_many_orders_wait_for_the_next_ten_seconds() -> None:
    """Cancels and readings pass meanwhile."""
    venue = make_venue(f"{LONG}\nvenue: {{orders_limit_10s: 3}}")
    sell = {**SELL, "quantity": "0.001"}
    answers = [place(venue, **sell)[0] for _ in range(4)]

    assert answers == [200, 200, 200, 429]
    assert place(venue, **sell)[1]["code"] == -1015
    assert ask(venue, "DELETE", "/v1/allOpenOrders", symbol="BTCUSDT")[0] == 200
    assert place(venue, **sell, now_ms=NOW_MS + 10_000)[0] == 200


def test_weight_runs_out_for_the_rest_of_the_minute() -> None:
    """What other programs of the same address use counts too."""
    venue = make_venue("venue: {other_weight: 2390}")

    assert ask(venue, "GET", "/v3/positionRisk")[0] == 200
    status, answer = ask(venue, "GET", "/v1/openOrders")
    assert (status, answer["code"]) == (429, -1003)
    venue.weights.others = 0
    assert ask(venue, "GET", "/v1/openOrders", now_ms=NOW_MS + 60_000)[0] == 200


def test_who_goes_on_in_spite_of_429_is_banned_until_a_named_moment() -> None:
    """HTTP 418 with the epoch in milliseconds in its text, and nothing passes before it."""
    venue = make_venue("venue: {weight_limit: 10}")
    statuses = [ask(venue, "GET", "/v1/openOrders")[0] for _ in range(25)]
    status, answer = ask(venue, "GET", "/v1/ping")

    assert statuses[0] == 429
    assert statuses[-1] == status == 418
    assert f"banned until {NOW_MS + 120_000}." in answer["msg"]
    assert ask(venue, "GET", "/v1/ping", now_ms=NOW_MS + 119_999)[0] == 418
    assert ask(venue, "GET", "/v1/ping", now_ms=NOW_MS + 120_000)[0] == 200


def test_the_stale_clock_of_exchange_info_is_no_clock() -> None:
    """As on the demo venue: days late, so nobody may set a clock from it."""
    venue = make_venue("venue: {clock_skew_ms: 3000}")
    assert ask(venue, "GET", "/v1/time")[1] == {"serverTime": NOW_MS + 3000}
    assert ask(venue, "GET", "/v1/exchangeInfo")[1]["serverTime"] < NOW_MS - 80_000_000
