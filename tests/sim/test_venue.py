"""What the simulated venue answers is what the real one was seen to answer."""

from decimal import Decimal
from typing import Any

import pytest

from liqctl.sim.routes import ROUTES
from tests.sim.asking import HEDGE, LONG, MARKET, NOW_MS, SELL, SHORT, ask, make_venue, place

RESTING = """
account:
  positions: {BTCUSDT: "0.500"}
  orders: [{symbol: BTCUSDT, side: SELL, price: "61000", quantity: "0.500", reduce_only: true}]
"""
LIMIT = {
    "symbol": "BTCUSDT",
    "type": "LIMIT",
    "side": "BUY",
    "quantity": "0.1",
    "price": "59000",
    "timeInForce": "GTC",
}
BUY = {**MARKET, "side": "BUY", "quantity": "0.1"}

REFUSED: dict[str, tuple[str, dict[str, str], int]] = {
    "no symbol": (LONG, {**SELL, "symbol": ""}, -1102),
    "no such symbol": (LONG, {**SELL, "symbol": "NOUSDT"}, -1121),
    "no side": (LONG, {**SELL, "side": "HOLD"}, -1117),
    "no type": (LONG, {**SELL, "type": "MAGIC"}, -1116),
    "a stop on the regular book": (LONG, {**SELL, "type": "STOP_MARKET"}, -4120),
    "time in force on a market order": (LONG, {**SELL, "timeInForce": "IOC"}, -1106),
    "a limit without time in force": (LONG, {**LIMIT, "timeInForce": ""}, -1102),
    "an unknown time in force": (LONG, {**LIMIT, "timeInForce": "SOON"}, -1115),
    "no quantity": (LONG, {**SELL, "quantity": ""}, -1102),
    "quantity 0": (LONG, {**SELL, "quantity": "0"}, -4003),
    "negative quantity": (LONG, {**SELL, "quantity": "-0.5"}, -4003),
    "under the smallest quantity": (LONG, {**SELL, "quantity": "0.0001"}, -4004),
    "off the step": (LONG, {**SELL, "quantity": "0.1005"}, -1111),
    "over the market maximum": (LONG, {**SELL, "quantity": "120.001"}, -4005),
    "over the limit maximum": (LONG, {**LIMIT, "quantity": "1000.001"}, -4005),
    "off the tick": (LONG, {**LIMIT, "price": "59000.05"}, -4014),
    "price 0": (LONG, {**LIMIT, "price": "0"}, -4001),
    "over the price cap": (LONG, {**LIMIT, "price": "63000.1"}, -4016),
    "under the price floor": (LONG, {**LIMIT, "side": "SELL", "price": "56999.9"}, -4024),
    "under the smallest notional": (
        'account: {}\nmarkets: {BTCUSDT: {notional_min: "100"}}',
        {**BUY, "quantity": "0.001"},
        -4164,
    ),
    "a client order id too long": (LONG, {**SELL, "newClientOrderId": "x" * 37}, -4015),
    "a client order id of odd characters": (LONG, {**SELL, "newClientOrderId": "a b"}, -4015),
    "an open order's client order id": (RESTING, {**LIMIT, "newClientOrderId": "bot-1"}, -4116),
    "reduce-only when flat": ("account: {}", SELL, -2022),
    "reduce-only on the wrong side": (SHORT, SELL, -2022),
    "reduce-only claimed by a resting order": (RESTING, SELL, -4118),
    "the same, as some accounts say it": (
        f"{RESTING}venue: {{conflict_code: -2022}}",
        SELL,
        -2022,
    ),
    "no leg in hedge mode": (HEDGE, SELL, -4061),
    "a leg in one-way mode": (LONG, {**BUY, "positionSide": "LONG"}, -4061),
    "no such leg": (LONG, {**BUY, "positionSide": "UP"}, -4060),
    "reduce-only in hedge mode": (HEDGE, {**SELL, "positionSide": "LONG"}, -1106),
    "more than the hedge leg": (
        HEDGE,
        {**MARKET, "side": "SELL", "positionSide": "LONG", "quantity": "0.501"},
        -2022,
    ),
    "no margin": ('account: {}\nvenue: {balance: "10"}', BUY, -2019),
    "no price within the band": (
        f'{LONG}\nmarkets: {{BTCUSDT: {{spread_bps: "501"}}}}',
        SELL,
        -4131,
    ),
    "post-only that would take": (LONG, {**LIMIT, "price": "61000", "timeInForce": "GTX"}, -5022),
    "fill-or-kill that cannot": (
        f'{LONG}\nmarkets: {{BTCUSDT: {{depth: "0.05"}}}}',
        {**LIMIT, "price": "61000", "timeInForce": "FOK"},
        -5021,
    ),
    "a halted symbol": (f"{LONG}\nmarkets: {{BTCUSDT: {{status: TRADING_HALT}}}}", SELL, -1122),
    "a settling symbol": (f"{LONG}\nmarkets: {{BTCUSDT: {{status: SETTLING}}}}", SELL, -4140),
    "a closed symbol": (f"{LONG}\nmarkets: {{BTCUSDT: {{status: CLOSE}}}}", SELL, -4141),
    "opening before a delisting": (
        f"{LONG}\nmarkets: {{BTCUSDT: {{status: PRE_SETTLE}}}}",
        BUY,
        -4140,
    ),
    "trading forbidden": (f"{LONG}\nvenue: {{can_trade: false}}", SELL, -4088),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_order_is_refused_with_the_venues_code(name: str) -> None:
    """A refused order leaves nothing behind, not even a record."""
    text, params, code = REFUSED[name]
    venue = make_venue(text)
    orders = len(venue.account.orders)

    status, answer = place(venue, **params)

    assert (status, answer["code"]) == (400, code)
    assert len(venue.account.orders) == orders
    assert not venue.account.journal.fills


TAKEN: dict[str, tuple[str, dict[str, str], tuple[str, str, str]]] = {
    "a close": (LONG, SELL, ("FILLED", "0.500", "0")),
    "part of a close": (LONG, {**SELL, "quantity": "0.2"}, ("FILLED", "0.2", "0.300")),
    "more than there is is cut": (LONG, {**SELL, "quantity": "2"}, ("FILLED", "0.500", "0")),
    "dust": (
        f'{LONG}\nmarkets: {{BTCUSDT: {{notional_min: "100000"}}}}',
        SELL,
        ("FILLED", "0.500", "0"),
    ),
    "a thin book": (
        f'{LONG}\nmarkets: {{BTCUSDT: {{depth: "0.2"}}}}',
        SELL,
        ("EXPIRED", "0.2", "0.300"),
    ),
    "an empty book": (
        f'{LONG}\nmarkets: {{BTCUSDT: {{depth: "0"}}}}',
        SELL,
        ("EXPIRED", "0", "0.500"),
    ),
    "an order far from the market": (LONG, LIMIT, ("NEW", "0", "0.500")),
    "the same, immediate or cancel": (
        LONG,
        {**LIMIT, "timeInForce": "IOC"},
        ("EXPIRED", "0", "0.500"),
    ),
    "before a delisting": (
        f"{LONG}\nmarkets: {{BTCUSDT: {{status: PRE_SETTLE}}}}",
        SELL,
        ("FILLED", "0.500", "0"),
    ),
    "without the flag it turns the position": (
        LONG,
        {**MARKET, "side": "SELL", "quantity": "0.8"},
        ("FILLED", "0.8", "-0.300"),
    ),
}


@pytest.mark.parametrize("name", TAKEN)
def test_an_order_is_matched_as_on_the_venue(name: str) -> None:
    """Status and executed quantity as the answer says them, and what is then held."""
    text, params, (status, executed, held) = TAKEN[name]
    venue = make_venue(text)

    http, answer = place(venue, **{**params, "newOrderRespType": "RESULT"})

    amount = venue.account.holdings["BTCUSDT", "BOTH"].amount
    assert (http, answer["status"]) == (200, status)
    assert (Decimal(answer["executedQty"]), amount) == (Decimal(executed), Decimal(held))


def test_the_reply_to_a_write_has_the_shape_of_2026() -> None:
    """Since 2026-06-30 without average price and quote amount; strings and numbers as shown."""
    venue = make_venue(LONG)

    _, written = place(venue, **SELL, newClientOrderId="mine")
    _, queried = ask(venue, "GET", "/v1/order", symbol="BTCUSDT", origClientOrderId="mine")

    assert written == {
        "clientOrderId": "mine",
        "cumQty": "0.500",
        "executedQty": "0.500",
        "orderId": written["orderId"],
        "origQty": "0.500",
        "price": "0",
        "reduceOnly": True,
        "side": "SELL",
        "positionSide": "BOTH",
        "status": "FILLED",
        "stopPrice": "0",
        "closePosition": False,
        "symbol": "BTCUSDT",
        "timeInForce": "GTC",
        "type": "MARKET",
        "origType": "MARKET",
        "updateTime": NOW_MS,
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
    }
    assert isinstance(written["orderId"], int)
    assert queried.keys() - written.keys() == {"avgPrice", "cumQuote", "cumBase", "pair", "time"}
    assert Decimal(queried["avgPrice"]) == 59994


def test_an_acknowledgement_says_nothing_of_the_fill() -> None:
    """ACK is the venue's default: NEW and 0, though it is filled already."""
    venue = make_venue(LONG)
    _, answer = place(venue, **{**SELL, "newOrderRespType": "ACK"})
    assert (answer["status"], answer["executedQty"]) == ("NEW", "0")
    assert venue.account.is_flat


def test_an_id_is_free_again_once_its_order_is_filled() -> None:
    """So a client order id does not protect from a second execution; reduce-only does."""
    venue = make_venue(LONG)
    first, _ = place(venue, **{**SELL, "quantity": "0.1"}, newClientOrderId="same")
    second, _ = place(venue, **{**SELL, "quantity": "0.1"}, newClientOrderId="same")
    assert (first, second) == (200, 200)


@pytest.mark.parametrize(
    ("path", "shown"),
    [("/v3/positionRisk", ["BTCUSDT", "ETHUSDT"]), ("/v2/positionRisk", 6)],
)
def test_positions_list_what_the_version_lists(path: str, shown: Any) -> None:
    """v3: legs with a position or an order, so rows of zero occur; v2: every symbol."""
    venue = make_venue(
        f'{LONG[:-1]}, orders: [{{symbol: ETHUSDT, side: BUY, price: "2900", quantity: "1"}}]}}'
    )
    _, rows = ask(venue, "GET", path)
    if isinstance(shown, int):
        assert len(rows) == shown
    else:
        assert [row["symbol"] for row in rows] == shown
        assert [row["positionAmt"] for row in rows] == ["0.500", "0"]


def test_a_hedge_short_is_negative() -> None:
    """The sign stays although the leg is named."""
    _, rows = ask(make_venue(HEDGE), "GET", "/v3/positionRisk")
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [
        ("LONG", "0.500"),
        ("SHORT", "-0.200"),
    ]


def test_the_two_books_know_nothing_of_each_other() -> None:
    """An id of one is unknown to the other, and cancel-all of one leaves the other."""
    venue = make_venue(
        'account: {orders: [{symbol: BTCUSDT, side: BUY, price: "58000", quantity: "1"}], '
        'algo: [{symbol: BTCUSDT, side: SELL, trigger: "50000", quantity: "1"}]}'
    )
    order_id = str(next(iter(venue.account.orders)))
    algo_id = str(next(iter(venue.account.algo_orders)))

    assert ask(venue, "DELETE", "/v1/algoOrder", algoId=order_id)[1]["code"] == -2011
    assert ask(venue, "DELETE", "/v1/order", symbol="BTCUSDT", orderId=algo_id)[1]["code"] == -2011
    assert ask(venue, "DELETE", "/v1/allOpenOrders", symbol="BTCUSDT")[1]["code"] == 200
    assert len(venue.account.open_algo_orders()) == 1
    assert ask(venue, "DELETE", "/v1/algoOrder", algoId=algo_id)[1]["code"] == "200"
    assert venue.account.is_flat


@pytest.mark.parametrize("path", ["/v1/allOpenOrders", "/v1/algoOpenOrders"])
def test_cancelling_everything_needs_a_symbol_and_may_be_repeated(path: str) -> None:
    """There is no account-wide cancel; with nothing open it is done all the same."""
    venue = make_venue()
    assert ask(venue, "DELETE", path)[1]["code"] == -1102
    assert ask(venue, "DELETE", path, symbol="BTCUSDT") == (
        200,
        {"code": 200, "msg": "The operation of cancel all open order is done."},
    )


def test_a_close_position_order_has_no_quantity_and_leaves_with_its_leg() -> None:
    """A moment after the leg is flat; a plain stop stays and could open a position."""
    venue = make_venue(
        'account: {positions: {BTCUSDT: "0.500"}, algo: ['
        '{symbol: BTCUSDT, side: SELL, trigger: "50000", close_position: true}, '
        '{symbol: BTCUSDT, side: SELL, trigger: "51000", quantity: "0.5"}]}'
    )
    place(venue, **SELL)
    _, at_once = ask(venue, "GET", "/v1/openAlgoOrders")
    _, later = ask(venue, "GET", "/v1/openAlgoOrders", now_ms=NOW_MS + 300)

    assert [row["quantity"] for row in at_once] == [None, "0.5"]
    assert [row["triggerPrice"] for row in later] == ["51000"]


def test_resting_reduce_only_orders_expire_with_their_leg() -> None:
    """At once, as the venue does with er=4."""
    venue = make_venue(RESTING.replace('"0.500", reduce_only', '"0.200", reduce_only'))
    place(venue, **{**SELL, "quantity": "0.300"})
    (order,) = venue.account.open_orders()
    ask(venue, "DELETE", "/v1/order", symbol="BTCUSDT", orderId=str(order.order_id))
    place(venue, **{**SELL, "quantity": "0.200"})
    assert venue.account.is_flat


def test_a_batch_answers_200_whatever_became_of_its_orders() -> None:
    """Each element is an answer of its own; five at most."""
    import json

    venue = make_venue(LONG)
    good, bad = {**SELL, "quantity": "0.1"}, {**SELL, "quantity": "0.0015"}
    status, answers = ask(venue, "POST", "/v1/batchOrders", batchOrders=json.dumps([good, bad]))
    _, six = ask(venue, "POST", "/v1/batchOrders", batchOrders=json.dumps([good] * 6))

    assert (status, answers[0]["status"], answers[1]["code"]) == (200, "FILLED", -1111)
    assert six["code"] == -4082


@pytest.mark.parametrize("name", ["orderIdList", "orderidlist"])
def test_a_batch_cancel_takes_both_spellings(name: str) -> None:
    """Ccxt sends lower case; ten at most."""
    venue = make_venue(RESTING)
    order_id = next(iter(venue.account.orders))
    many = str(list(range(11)))

    _, answers = ask(
        venue, "DELETE", "/v1/batchOrders", symbol="BTCUSDT", **{name: f"[{order_id},1]"}
    )
    _, eleven = ask(venue, "DELETE", "/v1/batchOrders", symbol="BTCUSDT", **{name: many})

    assert (answers[0]["status"], answers[1]["code"]) == ("CANCELED", -2011)
    assert eleven["code"] == -4032


def test_readings_show_the_past_while_they_lag() -> None:
    """Positions and lists lag by themselves; the truth is at once."""
    venue = make_venue(f"{RESTING}venue: {{position_lag_ms: 500, order_lag_ms: 1000}}")
    ask(venue, "DELETE", "/v1/allOpenOrders", symbol="BTCUSDT")
    place(venue, **SELL)
    assert venue.account.is_flat

    def shown(now_ms: int) -> tuple[list[str], int]:
        positions = ask(venue, "GET", "/v3/positionRisk", now_ms=now_ms)[1]
        orders = ask(venue, "GET", "/v1/openOrders", now_ms=now_ms)[1]
        return [row["positionAmt"] for row in positions], len(orders)

    assert shown(NOW_MS + 400) == (["0.500"], 1)
    assert shown(NOW_MS + 600) == ([], 1)
    assert shown(NOW_MS + 1100) == ([], 0)


@pytest.mark.parametrize(
    "path", sorted({path for method, path in ROUTES if (method, path[:5]) == ("GET", "/fapi")})
)
def test_every_reading_answers_something(path: str) -> None:
    """A bot that asks for it must not meet our own mistake."""
    venue = make_venue(HEDGE + "\nvenue: {portfolio_margin: false}")
    params = {"symbol": "BTCUSDT", "orderId": "1", "algoId": "1"}
    name = path.removeprefix("/fapi")
    status, answer = ask(venue, "GET", name, **params)
    assert status == 200 or answer["code"] in {-2013, -4109}


def test_changing_the_mode_is_refused_while_anything_is_open() -> None:
    """And when it is that mode already."""
    venue = make_venue(HEDGE)
    wrong = ask(venue, "POST", "/v1/positionSide/dual", dualSidePosition="true")[1]["code"]
    held = ask(venue, "POST", "/v1/positionSide/dual", dualSidePosition="false")[1]["code"]
    resting = ask(make_venue(RESTING), "POST", "/v1/positionSide/dual", dualSidePosition="true")
    assert (wrong, held, resting[1]["code"]) == (-4059, -4068, -4067)


def test_an_unknown_path_is_not_found() -> None:
    """As every web server says it."""
    assert ask(make_venue(), "GET", "/v9/nothing")[0] == 404
