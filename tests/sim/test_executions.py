"""Execution algorithms at the simulated venue: they go on trading until they are cancelled."""

import pytest

from liqctl.sim.venue import Venue
from tests.sim.asking import NOW_MS, ask, make_venue

RUNNING = """
account:
  executions: [{symbol: BTCUSDT, side: BUY, quantity: "0.03", slice: "0.01", every_ms: 500}]
"""
LIST, ONE = "/sapi/v1/algo/futures/openOrders", "/sapi/v1/algo/futures/order"


def held_at(venue: Venue, after_ms: int) -> str:
    """Return what the leg holds a while after the first request."""
    ask(venue, "GET", "/v1/time", now_ms=NOW_MS + after_ms)
    holding = venue.account.holding(("BTCUSDT", "BOTH"))
    return str(holding.amount) if holding else "0"


def test_it_buys_a_slice_every_so_often_until_it_is_done() -> None:
    """Then it is no longer listed."""
    venue = make_venue(RUNNING)
    assert [held_at(venue, each) for each in (0, 499, 500, 1000)] == ["0", "0", "0.01", "0.02"]
    _, listed = ask(venue, "GET", LIST, now_ms=NOW_MS + 1000)
    assert listed["total"] == 1
    (row,) = listed["orders"]
    assert (row["totalQty"], row["executedQty"], row["algoStatus"], row["algoType"]) == (
        "0.03",
        "0.02",
        "WORKING",
        "TWAP",
    )
    assert (row["bookTime"], row["endTime"]) == (NOW_MS, NOW_MS + 1500)
    assert held_at(venue, 9000) == "0.03"
    assert ask(venue, "GET", LIST, now_ms=NOW_MS + 9000)[1] == {"total": 0, "orders": []}


@pytest.mark.parametrize("name", ["algoId", "clientAlgoId"])
def test_a_cancelled_one_buys_nothing_more(name: str) -> None:
    """It is found by either id, once; what runs is not flat."""
    venue = make_venue(RUNNING)
    _, listed = ask(venue, "GET", LIST)
    value = listed["orders"][0][name]
    flat = [venue.account.is_flat]
    status, answer = ask(venue, "DELETE", ONE, **{name: value})
    flat.append(venue.account.is_flat)

    assert (status, answer["success"], answer["code"]) == (200, True, 0)
    assert flat == [False, True]
    assert held_at(venue, 9000) == "0"
    again = ask(venue, "DELETE", ONE, **{name: value}, now_ms=NOW_MS + 9000)
    nameless = ask(venue, "DELETE", ONE, now_ms=NOW_MS + 9000)
    assert (again[1]["code"], nameless[1]["code"]) == (-2011, -1102)


def test_one_that_only_reduces_opens_nothing() -> None:
    """A refused slice is tried again with the next."""
    venue = make_venue(RUNNING.replace("every_ms: 500", "every_ms: 500, reduce_only: true"))
    assert held_at(venue, 9000) == "0"


def test_the_spot_host_can_refuse_while_futures_answer() -> None:
    """A fault names the host; with the kind `hang` it would be silent."""
    venue = make_venue(f"{RUNNING}faults: [{{kind: key_refused, host: sapi, times: 0}}]")
    assert ask(venue, "GET", LIST)[1]["code"] == -2015
    assert ask(venue, "GET", "/v3/positionRisk")[0] == 200


def test_its_list_can_lag_and_lie() -> None:
    """Like every other."""
    venue = make_venue(
        f"{RUNNING}venue: {{lag_ms: {{executions: 1000}}}}\n"
        "faults: [{kind: blip, path: algo/futures/openOrders, skip: 2}]"
    )
    _, before = ask(venue, "GET", LIST)
    ask(venue, "DELETE", ONE, algoId=before["orders"][0]["algoId"])
    counts = [
        len(ask(venue, "GET", LIST, now_ms=NOW_MS + after_ms)[1]["orders"])
        for after_ms in (900, 950, 1001)
    ]
    assert counts == [1, 0, 0]
