"""Lists lag, lie for once or cannot be read, each by itself; what they show is dated honestly."""

from typing import Any

import pytest

from liqctl.sim.venue import Venue
from tests.sim.asking import HEDGE, LONG, NOW_MS, SELL, ask, make_venue, place

FRESH = """
account:
  positions: {BTCUSDT: {quantity: "1", opened_ms_ago: 1000}}
  orders:
    - {symbol: BTCUSDT, side: BUY, price: "58000", quantity: "0.1", opened_ms_ago: 500}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", close_position: true, opened_ms_ago: 200}
venue: {lag_ms: {positions: 1500, account: 1200, orders: 2000, algo: 300}}
"""
FAULTY = """
account:
  positions: {BTCUSDT: "1", ETHUSDT: "-2"}
  orders: [{symbol: BTCUSDT, side: BUY, price: "58000", quantity: "0.1"}]
  algo: [{symbol: BTCUSDT, side: SELL, trigger: "57000", close_position: true}]
faults: [{kind: KIND, method: GET, path: PATH}]
"""


def count(venue: Venue, ms: int) -> tuple[int, int, int, int]:
    """Return how many rows each list has so long after the first request."""

    def rows(path: str) -> list[Any]:
        answer = ask(venue, "GET", path, now_ms=NOW_MS + ms)[1]
        found: list[Any] = answer["positions"] if isinstance(answer, dict) else answer
        return [row for row in found if row.get("positionAmt") != "0"]

    positions, account = rows("/v3/positionRisk"), rows("/v3/account")
    return (
        len(positions),
        len(account),
        len(rows("/v1/openOrders")),
        len(rows("/v1/openAlgoOrders")),
    )


def test_what_came_to_be_just_before_is_shown_late_by_each_list_in_its_turn() -> None:
    """A bot opened a moment ago: no list of a run's first reading need be of the same moment."""
    venue = make_venue(FRESH)

    shown = {ms: count(venue, ms) for ms in (0, 99, 100, 200, 499, 500, 1499, 1500)}

    assert shown == {
        0: (0, 0, 0, 0),
        99: (0, 0, 0, 0),
        100: (0, 0, 0, 1),
        200: (0, 1, 0, 1),
        499: (0, 1, 0, 1),
        500: (1, 1, 0, 1),
        1499: (1, 1, 0, 1),
        1500: (1, 1, 1, 1),
    }


def test_rows_say_when_things_came_to_be() -> None:
    """An old thing shown late can be told from a new one."""
    venue = make_venue(FRESH)
    ask(venue, "GET", "/v1/time")
    late = NOW_MS + 5000

    (position,) = ask(venue, "GET", "/v3/positionRisk", now_ms=late)[1]
    (order,) = ask(venue, "GET", "/v1/openOrders", now_ms=late)[1]
    (stop,) = ask(venue, "GET", "/v1/openAlgoOrders", now_ms=late)[1]
    _, ack = place(venue, **SELL, now_ms=late)

    assert position["updateTime"] == NOW_MS - 1000
    assert (order["time"], order["updateTime"]) == (NOW_MS - 500, NOW_MS - 500)
    assert (stop["createTime"], stop["updateTime"]) == (NOW_MS - 200, NOW_MS - 200)
    assert ack["updateTime"] == late


def test_events_happen_in_their_own_moment_and_not_at_the_next_request() -> None:
    """A bot that traded while nobody asked is dated when it traded."""
    venue = make_venue(
        "events: [{act: add, symbol: BTCUSDT, quantity: '1', at_ms: 300, every_ms: 300, times: 3}]"
    )
    ask(venue, "GET", "/v1/time")

    (row,) = ask(venue, "GET", "/v3/positionRisk", now_ms=NOW_MS + 2000)[1]

    assert (row["positionAmt"], row["updateTime"]) == ("3", NOW_MS + 900)


def test_replicas_answer_in_turn() -> None:
    """One is fresh and one is behind, of each list by itself."""
    venue = make_venue(f"{LONG}\nvenue: {{lag_ms: {{positions: [0, 3000], orders: 100}}}}")
    place(venue, **SELL)

    shown = [count(venue, 10)[0] for _ in range(4)]

    assert shown == [0, 1, 0, 1]


def test_a_list_that_is_not_known_cannot_lag() -> None:
    """A mistyped name would make a scenario harmless."""
    with pytest.raises(Exception, match="no list is called trades"):
        make_venue("venue: {lag_ms: {trades: 100}}")


@pytest.mark.parametrize(
    ("kind", "path", "first"),
    [
        ("blip", "/v3/positionRisk", None),
        ("blip", "/v3/account", None),
        ("blip", "/openOrders", None),
        ("blip", "/openAlgoOrders", None),
        ("zero_amounts", "/v3/positionRisk", ("positionAmt", "0")),
        ("empty_amount", "/v3/positionRisk", ("positionAmt", "")),
        ("empty_amount", "/openOrders", ("origQty", "")),
        ("unknown_side", "/v3/positionRisk", ("positionSide", "NEITHER")),
        ("unknown_side", "/openAlgoOrders", ("positionSide", "NEITHER")),
        ("huge_number", "/v3/positionRisk", ("positionAmt", "1E+999999")),
        ("huge_number", "/openAlgoOrders", ("quantity", "1E+999999")),
    ],
)
def test_a_list_goes_wrong_once(kind: str, path: str, first: tuple[str, str] | None) -> None:
    """The answer looks well, and the truth stays what it is."""
    venue = make_venue(FAULTY.replace("KIND", kind).replace("PATH", path))
    url = path if path.startswith("/v3") else f"/v1{path}"

    def rows() -> list[dict[str, Any]]:
        answer = ask(venue, "GET", url)[1]
        found: list[dict[str, Any]] = answer["positions"] if isinstance(answer, dict) else answer
        return found

    wrong, right = rows(), rows()

    if first is None:
        assert wrong == []
    else:
        assert wrong[0][first[0]] == first[1]
        assert right[0][first[0]] != first[1]
    assert len(right) == (2 if "v3" in path else 1)


def test_a_row_that_nobody_can_place_stands_beside_the_others() -> None:
    """A side that is not known, with nothing on it."""
    venue = make_venue(FAULTY.replace("KIND", "stranger").replace("PATH", "/v3/positionRisk"))

    rows = ask(venue, "GET", "/v3/positionRisk")[1]

    assert [row["positionSide"] for row in rows] == ["BOTH", "BOTH", "NEITHER"]


def test_the_second_edition_of_a_list_lags_like_the_first() -> None:
    """Both are of one source."""
    venue = make_venue(f"{HEDGE}\nvenue: {{lag_ms: {{positions: 500, account: 500}}}}")
    place(
        venue, symbol="BTCUSDT", side="SELL", positionSide="LONG", type="MARKET", quantity="0.500"
    )

    rows = ask(venue, "GET", "/v2/positionRisk", symbol="BTCUSDT")[1]

    assert [row["positionAmt"] for row in rows] == ["0", "0.500", "-0.200"]
