"""COIN-M at the simulated venue: the second product of the same account, with rules of its own."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from liqctl.sim.events import make_event
from liqctl.sim.routes import ROUTES
from liqctl.sim.scenario import load_scenario, make_large_account
from liqctl.sim.venue import Request, Venue
from tests.sim.asking import NOW_MS, ask, make_venue

BOTH = """
account:
  positions: {BTCUSDT: "0.500", BTCUSD_PERP: "30", BTCUSD_261225: "-20", ETHUSD_PERP: "-5"}
  orders:
    - {symbol: BTCUSDT, side: BUY, price: "58000", quantity: "0.1"}
    - {symbol: BTCUSD_PERP, side: BUY, price: "58000", quantity: "7"}
    - {symbol: ETHUSD_PERP, side: BUY, trigger: "3200", quantity: "5", client_order_id: older-1}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", close_position: true}
    - {symbol: BTCUSD_PERP, side: SELL, trigger: "57000", close_position: true}
"""
CLOSE = {
    "symbol": "BTCUSD_PERP",
    "side": "SELL",
    "type": "MARKET",
    "quantity": "30",
    "reduceOnly": "true",
    "newOrderRespType": "RESULT",
}


def dapi(venue: Venue, method: str, path: str, **params: Any) -> tuple[int, Any]:
    """Return the answer of one request to dapi."""
    return ask(venue, method, f"/dapi/v1/{path}", **params)


def symbols(answer: tuple[int, Any]) -> list[str]:
    """Return the symbols of a list's rows."""
    assert answer[0] == 200
    return [row["symbol"] for row in answer[1]]


def test_each_host_lists_its_product_and_refuses_the_others_symbols() -> None:
    """One account: what one host shows, the other does not."""
    venue = make_venue(BOTH)

    assert symbols(ask(venue, "GET", "/v3/positionRisk")) == ["BTCUSDT"]
    assert symbols(ask(venue, "GET", "/v1/openOrders")) == ["BTCUSDT"]
    assert symbols(ask(venue, "GET", "/v1/openAlgoOrders")) == ["BTCUSDT"]
    assert symbols(dapi(venue, "GET", "openOrders")) == ["BTCUSD_PERP", "ETHUSD_PERP"]
    assert symbols(dapi(venue, "GET", "openAlgoOrders")) == ["BTCUSD_PERP"]
    for answer in (
        dapi(venue, "GET", "openOrders", symbol="BTCUSDT"),
        dapi(venue, "GET", "openOrders", symbol="NOUSD_PERP"),
        dapi(venue, "POST", "order", **{**CLOSE, "symbol": "BTCUSDT"}),
        dapi(venue, "DELETE", "allOpenOrders", symbol="BTCUSD"),
        ask(venue, "POST", "/v1/order", **CLOSE),
    ):
        assert (answer[0], answer[1]["code"]) == (400, -1121)


def test_an_algo_id_is_unknown_to_the_other_host() -> None:
    """It is looked for by id alone, without a symbol."""
    venue = make_venue(BOTH)
    usdm, coinm = venue.account.open_algo_orders()

    assert ask(venue, "DELETE", "/v1/algoOrder", algoId=coinm.algo_id)[1]["code"] == -2011
    assert dapi(venue, "DELETE", "algoOrder", algoId=usdm.algo_id)[1]["code"] == -2011
    assert dapi(venue, "DELETE", "algoOrder", algoId=coinm.algo_id)[0] == 200


def test_positions_are_contracts_and_value_is_in_the_coin() -> None:
    """30 contracts of 100 dollars at 60000 are 0.05 BTC; zero rows are listed."""
    venue = make_venue(BOTH)
    _, rows = dapi(venue, "GET", "positionRisk")
    row = next(each for each in rows if each["symbol"] == "BTCUSD_PERP")

    assert row["positionAmt"] == "30"
    assert Decimal(row["notionalValue"]) == Decimal("0.05")
    # 3000 dollars divided by 58800, less the same divided by 60000.
    assert row["unRealizedProfit"] == "0.00102041"
    assert "notional" not in row
    assert [each["symbol"] for each in rows if each["positionAmt"] == "0"] == ["SOLUSD_PERP"]


def test_what_does_not_trade_is_missing_from_positions_but_not_from_the_account() -> None:
    """The trap of positionRisk without a pair."""
    venue = make_venue(BOTH + "markets: {BTCUSD_261225: {status: PRE_DELIVERING}}")

    assert "BTCUSD_261225" not in symbols(dapi(venue, "GET", "positionRisk"))
    assert "BTCUSD_261225" in symbols(dapi(venue, "GET", "positionRisk", pair="BTCUSD"))
    assert "BTCUSD_261225" in symbols(dapi(venue, "GET", "positionRisk", marginAsset="BTC"))
    _, account = dapi(venue, "GET", "account")
    row = next(each for each in account["positions"] if each["symbol"] == "BTCUSD_261225")
    assert (row["positionAmt"], "unrealizedProfit" in row) == ("-20", True)
    assert {asset["asset"] for asset in account["assets"]} == {"BTC", "ETH", "SOL"}
    assert {row["asset"] for row in dapi(venue, "GET", "balance")[1]} == {"BTC", "ETH", "SOL"}


def test_hedge_mode_lists_three_legs_of_each_contract_and_is_one_switch() -> None:
    """BOTH, LONG and SHORT."""
    venue = make_venue('account: {mode: hedge, positions: {BTCUSD_PERP SHORT: "-3"}}')
    _, rows = dapi(venue, "GET", "positionRisk", pair="BTCUSD")

    assert [(row["positionSide"], row["positionAmt"]) for row in rows[:3]] == [
        ("BOTH", "0"),
        ("LONG", "0"),
        ("SHORT", "-3"),
    ]
    assert dapi(venue, "GET", "positionSide/dual")[1] == {"dualSidePosition": True}
    assert ask(venue, "GET", "/v1/positionSide/dual")[1] == {"dualSidePosition": True}
    held = dapi(venue, "POST", "positionSide/dual", dualSidePosition="false")
    assert held[1]["code"] == -4068


def test_a_close_pays_profit_and_fee_in_the_coin() -> None:
    """The reply has neither average price nor base amount; the query has both."""
    venue = make_venue(BOTH)
    before = venue.account.coins["BTC"]
    dapi(venue, "DELETE", "allOpenOrders", symbol="BTCUSD_PERP")
    status, reply = dapi(venue, "POST", "order", **CLOSE, newClientOrderId="mine")
    _, row = dapi(venue, "GET", "order", symbol="BTCUSD_PERP", origClientOrderId="mine")
    _, (trade,) = dapi(venue, "GET", "userTrades", pair="BTCUSD")

    assert (status, reply["status"], reply["pair"]) == (200, "FILLED", "BTCUSD")
    assert not {"avgPrice", "cumBase", "cumQuote"} & set(reply)
    # The best bid is 1 bps under mark; 30 * 100 / 59994
    assert (row["avgPrice"], row["cumBase"]) == ("59994.00000", "0.05000500")
    assert (trade["marginAsset"], trade["commissionAsset"]) == ("BTC", "BTC")
    # 3000 dollars divided by 58800, less the same divided by 59994.
    assert round(Decimal(trade["realizedPnl"]), 8) == Decimal("0.00101541")
    assert round(venue.account.coins["BTC"] - before, 8) == Decimal("0.00101541")
    assert dapi(venue, "GET", "openAlgoOrders", now_ms=NOW_MS + 300)[1] == []


def test_the_entry_price_is_the_mean_that_keeps_the_profit() -> None:
    """Contracts bought at 50000 and 60000 were bought at the harmonic mean."""
    venue = make_venue('account: {positions: {BTCUSD_PERP: {quantity: "10"}}}')
    account = venue.account
    account.holdings["BTCUSD_PERP", "BOTH"].entry_price = Decimal(50_000)
    make_event({"act": "add", "symbol": "BTCUSD_PERP", "quantity": "10"}).act(venue)

    held = account.holding(("BTCUSD_PERP", "BOTH"))
    assert held is not None
    assert round(held.entry_price, 4) == Decimal("54545.4545")


TAKE_PROFIT = "{symbol: BTCUSD_PERP, side: SELL, price: 61000, quantity: 30, reduce_only: true}"
REFUSED: dict[str, tuple[str, dict[str, str], int, int]] = {
    # name: scenario, parameters, COIN-M's number, USDS-M's number
    "a fraction of a contract": ("", {"quantity": "1.5"}, -1111, -1111),
    "over the market maximum": ("", {"quantity": "60001"}, -4005, -4005),
    "a stop on the regular book": ("", {"type": "STOP_MARKET", "stopPrice": "1"}, -4120, -4120),
    "claimed by a resting order": (
        f"account: {{positions: {{BTCUSD_PERP: 30}}, orders: [{TAKE_PROFIT}]}}\n",
        {},
        -4112,
        -4118,
    ),
    "a book too far away": ('markets: {BTCUSD_PERP: {spread_bps: "501"}}\n', {}, -4113, -4131),
    "too small": (
        'markets: {BTCUSD_PERP: {notional_min: "500"}}\n',
        {"side": "BUY", "quantity": "4", "reduceOnly": ""},
        -4178,
        -4164,
    ),
    "no right to trade": ("venue: {can_trade: false}\n", {}, -4090, -4088),
    "halted": ("markets: {BTCUSD_PERP: {status: TRADING_HALT}}\n", {}, -1122, -1122),
    "delivering": ("markets: {BTCUSD_PERP: {status: DELIVERING}}\n", {}, -4140, -4140),
    "delivered": ("markets: {BTCUSD_PERP: {status: DELIVERED}}\n", {}, -4141, -4141),
    "a late matching engine": (
        "faults: [{kind: matching_recv_window, method: POST, host: dapi}]\n",
        {},
        -4188,
        -5028,
    ),
}


@pytest.mark.parametrize("is_usdm", [False, True], ids=["own numbers", "usdm numbers"])
@pytest.mark.parametrize("name", REFUSED)
def test_an_order_is_refused_in_coinms_numbers_or_usdms(name: str, is_usdm: bool) -> None:
    """Which of the two the merged engine says is not known: a switch gives either."""
    text, changes, own, usdms = REFUSED[name]
    if "account:" not in text:
        text += 'account: {positions: {BTCUSD_PERP: "30"}}\n'
    venue = make_venue(text)
    venue.um_numbers = is_usdm

    status, answer = dapi(venue, "POST", "order", **(CLOSE | changes))

    assert (status, answer["code"]) == (400, usdms if is_usdm else own)
    assert not venue.account.journal.fills


def test_an_order_of_a_batch_is_refused_in_the_same_numbers() -> None:
    """Under a 200 of the whole."""
    venue = make_venue(REFUSED["a book too far away"][0] + BOTH)
    status, (answer,) = dapi(venue, "POST", "batchOrders", batchOrders=json.dumps([CLOSE]))
    assert (status, answer["code"]) == (200, -4113)


def test_older_conditional_orders_rest_in_the_regular_book() -> None:
    """Under their own type, and they reserve nothing of the position."""
    venue = make_venue(BOTH)
    _, rows = dapi(venue, "GET", "openOrders", symbol="ETHUSD_PERP")
    close = {**CLOSE, "symbol": "ETHUSD_PERP", "side": "BUY", "quantity": "5"}

    assert [(row["type"], row["stopPrice"], row["origQty"]) for row in rows] == [
        ("STOP_MARKET", "3200", "5")
    ]
    assert dapi(venue, "POST", "order", **close)[0] == 200
    assert len(dapi(venue, "GET", "openOrders", symbol="ETHUSD_PERP")[1]) == 1
    dapi(venue, "DELETE", "allOpenOrders", symbol="ETHUSD_PERP")
    assert dapi(venue, "GET", "openOrders", symbol="ETHUSD_PERP")[1] == []
    assert not venue.account.journal.cancelled_stops


def test_cancelling_an_older_stop_of_an_open_leg_is_kept_for_the_judges() -> None:
    """As one of the conditional book."""
    venue = make_venue(BOTH)
    dapi(venue, "DELETE", "order", symbol="ETHUSD_PERP", origClientOrderId="older-1")
    assert [stop.algo.name for stop in venue.account.journal.cancelled_stops] == ["older-1"]


@pytest.mark.parametrize("closes_all", [False, True])
def test_older_conditional_orders_are_taken_and_trigger(closes_all: bool) -> None:
    """With the switch, as before the conditional book; a closePosition one leaves with its leg."""
    venue = make_venue('account: {positions: {BTCUSD_PERP: "30"}}\nvenue: {older_stops: true}')
    stop = {"symbol": "BTCUSD_PERP", "side": "SELL", "type": "STOP_MARKET", "stopPrice": "57000"}
    size = {"closePosition": "true"} if closes_all else {"quantity": "30", "reduceOnly": "true"}
    status, reply = dapi(venue, "POST", "order", **stop, **size)
    make_event({"act": "trigger", "symbol": "BTCUSD_PERP"}).act(venue)
    _, row = dapi(venue, "GET", "order", symbol="BTCUSD_PERP", orderId=reply["orderId"])

    assert (status, reply["type"], reply["status"]) == (200, "STOP_MARKET", "NEW")
    assert reply["closePosition"] is closes_all
    assert (row["status"], row["executedQty"]) == ("FILLED", "30")
    assert venue.account.is_flat
    dapi(venue, "POST", "order", **stop, closePosition="true")
    make_event({"act": "add", "symbol": "BTCUSD_PERP", "quantity": "1"}).act(venue)
    make_event({"act": "close", "symbol": "BTCUSD_PERP"}).act(venue)
    assert dapi(venue, "GET", "openOrders", now_ms=NOW_MS + 300)[1] == []


def test_a_delivery_takes_position_and_orders_away() -> None:
    """By the venue's own order; nobody trades the contract any more."""
    venue = make_venue(
        'account: {positions: {BTCUSD_261225: "20"}, '
        'orders: [{symbol: BTCUSD_261225, side: SELL, price: "61000", quantity: "3"}], '
        'algo: [{symbol: BTCUSD_261225, side: SELL, trigger: "57000", quantity: "20"}]}\n'
        "events: [{act: deliver, symbol: BTCUSD_261225, at_ms: 500}]"
    )
    dapi(venue, "GET", "time")
    dapi(venue, "GET", "time", now_ms=NOW_MS + 500)

    (fill,) = venue.account.journal.fills
    assert fill[0].startswith("delivery_autoclose-")
    assert venue.account.is_flat
    assert "BTCUSD_261225" not in symbols(dapi(venue, "GET", "positionRisk"))
    _, answer = dapi(venue, "POST", "order", **{**CLOSE, "symbol": "BTCUSD_261225"})
    assert answer["code"] == -4141


def test_public_lists_are_lists_for_one_symbol_too() -> None:
    """And a dated contract has no funding rate."""
    venue = make_venue()
    _, (one,) = dapi(venue, "GET", "premiumIndex", symbol="BTCUSD_PERP")
    _, pair = dapi(venue, "GET", "premiumIndex", pair="BTCUSD")
    _, (ticker,) = dapi(venue, "GET", "ticker/bookTicker", symbol="ETHUSD_PERP")

    assert (one["pair"], one["markPrice"]) == ("BTCUSD", "60000")
    assert [row["lastFundingRate"] for row in pair] == ["0.00010000", ""]
    assert ticker["symbol"] == "ETHUSD_PERP"


def test_exchange_info_tells_contracts() -> None:
    """Sizes differ; there is no smallest notional."""
    _, answer = dapi(make_venue(), "GET", "exchangeInfo")
    rows = {row["symbol"]: row for row in answer["symbols"]}
    dated, ether = rows["BTCUSD_261225"], rows["ETHUSD_PERP"]
    filters = {row["filterType"]: row for row in dated["filters"]}

    assert {name: row["contractSize"] for name, row in rows.items()} == {
        "BTCUSD_PERP": 100,
        "BTCUSD_261225": 100,
        "ETHUSD_PERP": 10,
        "SOLUSD_PERP": 10,
    }
    assert (dated["contractStatus"], dated["contractType"], dated["deliveryDate"]) == (
        "TRADING",
        "CURRENT_QUARTER",
        1798185600000,
    )
    assert (ether["marginAsset"], ether["quoteAsset"], "status" in ether) == ("ETH", "USD", False)
    assert filters["MARKET_LOT_SIZE"]["maxQty"] == "60000"
    assert filters["LOT_SIZE"]["stepSize"] == "1"
    assert "MIN_NOTIONAL" not in filters


def _headers(venue: Venue, method: str, path: str, query: str = "") -> dict[str, str]:
    query = f"{query}&timestamp={NOW_MS}"
    return venue.handle(Request(method=method, path=path, query=query), NOW_MS).headers


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("premiumIndex", "symbol=BTCUSD_PERP", 10),
        ("positionRisk", "", 1),
        ("account", "", 5),
        ("balance", "", 1),
        ("positionSide/dual", "", 30),
        ("openOrders", "", 40),
        ("openOrders", "pair=BTCUSD", 40),
        ("openOrders", "symbol=BTCUSD_PERP", 1),
        ("openAlgoOrders", "", 40),
        ("userTrades", "symbol=BTCUSD_PERP", 5),
    ],
)
def test_weights_add_up_with_those_of_the_other_product(path: str, query: str, weight: int) -> None:
    """One pool for the address."""
    venue = make_venue()
    _headers(venue, "GET", "/fapi/v3/positionRisk")
    headers = _headers(venue, "GET", f"/dapi/v1/{path}", query)
    assert headers["X-MBX-USED-WEIGHT-1M"] == str(5 + weight)


def test_orders_of_both_products_are_counted_together() -> None:
    """For the account."""
    venue = make_venue()
    _headers(venue, "POST", "/fapi/v1/order")
    headers = _headers(venue, "POST", "/dapi/v1/order")
    assert (headers["X-MBX-ORDER-COUNT-10S"], headers["X-MBX-ORDER-COUNT-1M"]) == ("2", "2")


@pytest.mark.parametrize("where", ["host: dapi", "product: COINM", "path: /dapi/v1/positionRisk"])
def test_a_fault_can_hit_one_product_alone(where: str) -> None:
    """The other host goes on."""
    venue = make_venue(f"faults: [{{kind: merge_error, method: GET, {where}, times: 0}}]")
    assert ask(venue, "GET", "/v3/positionRisk")[0] == 200
    assert dapi(venue, "GET", "positionRisk") == (400, {"239999": "Service is being upgraded."})


def test_lists_of_one_product_can_lag_alone() -> None:
    """The engines are one, their replicas are not."""
    venue = make_venue(BOTH + "venue: {lag_ms: {orders: 0, coinm_orders: 1000}}")
    dapi(venue, "GET", "time")
    for host, symbol in (("fapi", "BTCUSDT"), ("dapi", "BTCUSD_PERP")):
        ask(venue, "DELETE", f"/{host}/v1/allOpenOrders", symbol=symbol, now_ms=NOW_MS + 10)
    late = NOW_MS + 500

    assert ask(venue, "GET", "/v1/openOrders", now_ms=late)[1] == []
    assert "BTCUSD_PERP" in symbols(dapi(venue, "GET", "openOrders", now_ms=late))
    assert [each.product for each in venue.account.journal.listings] == ["USDM", "COINM"]


def test_a_late_order_lands_on_its_own_host() -> None:
    """Though the connection was cut."""
    venue = make_venue(
        'account: {positions: {BTCUSD_PERP: "30"}}\n'
        "faults: [{kind: unknown_late, method: POST, path: /dapi/v1/order}]"
    )
    assert dapi(venue, "POST", "order", **CLOSE)[0] == 503
    dapi(venue, "GET", "time", now_ms=NOW_MS + 2000)
    assert venue.account.is_flat


@pytest.mark.parametrize(
    "path", sorted({path for method, path in ROUTES if (method, path[:5]) == ("GET", "/dapi")})
)
def test_every_reading_answers_something(path: str) -> None:
    """A bot that asks for it must not meet our own mistake."""
    status, answer = ask(
        make_venue(BOTH), "GET", path, symbol="BTCUSD_PERP", orderId="1", algoId="1"
    )
    assert status == 200 or answer["code"] in {-2013, -1128}


def test_the_usual_account_holds_both_products_unless_a_line_leaves_one_out() -> None:
    """Whoever wants the account of one product alone changes nothing else in the file."""
    scenario = load_scenario("default")
    alone = replace(scenario, account={**scenario.account, "products": ["USDM"]})

    held = [
        sum("USD_" in key[0] for key in each.make_venue().account.holdings)
        for each in (scenario, alone)
    ]

    assert held == [3, 0]


@pytest.mark.parametrize("margin", ["STANDARD", "PORTFOLIO"])
def test_a_generated_account_can_hold_both_products(margin: str) -> None:
    """What is drawn for USDS-M stays as it was."""
    alone = make_large_account(symbols=3, hedge=True, seed=7).make_venue().account
    venue = make_large_account(symbols=3, coinm=2, hedge=True, margin=margin, seed=7).make_venue()
    account = venue.account

    assert [key for key in account.holdings if "USD_" not in key[0]] == list(alone.holdings)
    coinm = [held for key, held in account.holdings.items() if "USD_" in key[0]]
    assert [held.symbol for held in coinm] == ["C003USD_PERP", "C004USD_PERP"]
    assert all(held.amount == int(held.amount) for held in coinm)
    older = [order for order in account.open_orders() if order.trigger_price]
    assert [(order.symbol, order.name) for order in older] == [("C003USD_PERP", "stop-3-1")]
    path = "/dapi/v1/openOrders" if margin == "STANDARD" else "/papi/v1/cm/openOrders"
    assert len(ask(venue, "GET", path)[1]) == 7


def test_cancelling_a_whole_conditional_book_may_not_be_there() -> None:
    """It is documented nowhere; single cancels work."""
    where = "method: DELETE, path: /dapi/v1/algoOpenOrders"
    venue = make_venue(f"{BOTH}faults: [{{kind: retired, {where}, times: 0}}]")
    (row,) = dapi(venue, "GET", "openAlgoOrders")[1]

    assert dapi(venue, "DELETE", "algoOpenOrders", symbol="BTCUSD_PERP")[0] == 404
    assert dapi(venue, "DELETE", "algoOrder", algoId=row["algoId"])[0] == 200
    assert ask(venue, "DELETE", "/v1/algoOpenOrders", symbol="BTCUSDT")[0] == 200


def test_the_venue_takes_whole_contracts_away() -> None:
    """Half of five is not two and a half."""
    venue = make_venue('account: {positions: {BTCUSD_PERP: "5"}}')
    make_event({"act": "deleverage", "symbol": "BTCUSD_PERP"}).act(venue)
    held = venue.account.holding(("BTCUSD_PERP", "BOTH"))
    assert held is not None
    assert held.amount == 3
