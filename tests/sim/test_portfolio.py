"""Portfolio margin at the simulated venue: papi answers for both products, fapi and dapi refuse."""

from typing import Any

import pytest

from liqctl.kernel.errors import ConfigurationError
from liqctl.sim.routes import ROUTES
from liqctl.sim.venue import Request, Venue
from tests.sim.asking import NOW_MS, ask, make_venue

PORTFOLIO = """
account:
  margin: PORTFOLIO
  positions: {BTCUSDT: "0.500", BTCUSD_PERP: "30"}
  orders:
    - {symbol: ETHUSDT, side: BUY, price: "2900", quantity: "1"}
    - {symbol: BTCUSD_PERP, side: BUY, price: "58000", quantity: "7"}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", quantity: "0.5", reduce_only: true}
    - {symbol: BTCUSD_PERP, side: SELL, trigger: "57000", quantity: "30", client_algo_id: stop-c}
  margin_orders: [{symbol: BTCUSDT, side: BUY, price: "50000", quantity: "0.1"}]
  margin_assets: {BTC: {free: "2", borrowed: "0.5", interest: "0.001"}, USDT: {negative: "-12.5"}}
"""
CLOSES = {
    "um": {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.5"},
    "cm": {"symbol": "BTCUSD_PERP", "side": "SELL", "type": "MARKET", "quantity": "30"},
}


def papi(venue: Venue, method: str, path: str, **params: Any) -> tuple[int, Any]:
    """Return the answer of one request to papi."""
    return ask(venue, method, f"/papi/v1/{path}", **params)


@pytest.mark.parametrize(
    ("text", "refusing"), [(PORTFOLIO, ("fapi", "dapi")), ("account: {}", ("papi",))]
)
def test_a_host_for_the_other_kind_of_account_refuses_the_key(
    text: str, refusing: tuple[str, ...]
) -> None:
    """-2015, as for a wrong key; what needs no key is answered."""
    venue = make_venue(text)
    for (method, path), route in ROUTES.items():
        status, answer = ask(
            venue, method, path, symbol="", now_ms=NOW_MS + venue.requests * 60_000
        )
        is_refused = (route.signed or route.keyed) and path.split("/")[1] in refusing
        code = answer.get("code") if isinstance(answer, dict) else None
        assert ((status, code) == (401, -2015)) is is_refused, path


def test_the_wallet_tells_which_kind_the_account_is() -> None:
    """The account's kind, and the key's right."""
    for text, expected in ((PORTFOLIO, True), ("account: {}", False)):
        venue = make_venue(text)
        kind = ask(venue, "GET", "/sapi/v1/account/info")[1]
        rights = ask(venue, "GET", "/sapi/v1/account/apiRestrictions")[1]
        assert kind["isPortfolioMarginRetailEnabled"] is expected
        assert rights["enablePortfolioMarginTrading"] is expected


def test_positions_and_orders_are_listed_by_product() -> None:
    """Six lists, in rows of their own."""
    venue = make_venue(PORTFOLIO)
    um, cm = (papi(venue, "GET", f"{part}/positionRisk")[1] for part in ("um", "cm"))
    um_orders, cm_orders = (papi(venue, "GET", f"{part}/openOrders")[1] for part in ("um", "cm"))
    (algo,) = papi(venue, "GET", "um/algo/openAlgoOrders")[1]
    (strategy,) = papi(venue, "GET", "cm/conditional/openOrders")[1]

    assert [(row["symbol"], row["positionAmt"]) for row in um] == [
        ("BTCUSDT", "0.500"),
        ("ETHUSDT", "0"),
    ]
    assert um[0]["notional"] == "30000.00000000"
    assert "marginType" not in um[0]
    assert (cm[0]["positionAmt"], cm[0]["notionalValue"]) == ("30", "0.05000000")
    assert [row["symbol"] for row in um_orders] == ["ETHUSDT"]
    assert not {"stopPrice", "pair", "cumBase"} & set(um_orders[0])
    assert [(row["symbol"], row["pair"]) for row in cm_orders] == [("BTCUSD_PERP", "BTCUSD")]
    assert "selfTradePreventionMode" not in cm_orders[0]
    assert (algo["symbol"], algo["triggerPrice"]) == ("BTCUSDT", "57000")
    assert (strategy["strategyStatus"], strategy["stopPrice"]) == ("NEW", "57000")
    assert "algoId" not in strategy
    shown = [listing.shown for listing in venue.account.journal.listings]
    assert shown[0] == {("BTCUSDT", "BOTH")}
    assert shown[-1] == {strategy["strategyId"]}


def test_the_accounts_of_both_products_tell_positions_too() -> None:
    """A second source, for contracts that do not trade too."""
    venue = make_venue(PORTFOLIO + "markets: {BTCUSD_PERP: {status: TRADING_HALT}}")
    assert [row["symbol"] for row in papi(venue, "GET", "cm/positionRisk")[1]] == [
        "BTCUSD_261225",
        "ETHUSD_PERP",
        "SOLUSD_PERP",
    ]
    for path, symbol in (
        ("v1/um/account", "BTCUSDT"),
        ("v2/um/account", "BTCUSDT"),
        ("v1/cm/account", "BTCUSD_PERP"),
    ):
        _, answer = ask(venue, "GET", f"/papi/{path}")
        held = {row["symbol"] for row in answer["positions"] if row["positionAmt"] != "0"}
        assert held == {symbol}


@pytest.mark.parametrize("part", ["um", "cm"])
def test_an_order_closes_the_position(part: str) -> None:
    """Client order ids are shorter than elsewhere, and the reply tells less."""
    venue = make_venue(PORTFOLIO)
    close = {**CLOSES[part], "reduceOnly": "true", "newOrderRespType": "RESULT"}
    refused = papi(venue, "POST", f"{part}/order", **close, newClientOrderId="x" * 33)
    stop = papi(venue, "POST", f"{part}/order", **{**close, "type": "STOP_MARKET"})
    status, reply = papi(venue, "POST", f"{part}/order", **close, newClientOrderId="x" * 32)
    _, row = papi(venue, "GET", f"{part}/order", symbol=close["symbol"], orderId=reply["orderId"])

    assert (refused[1]["code"], stop[1]["code"]) == (-4015, -4120)
    assert (status, reply["status"], "avgPrice" in reply, "closePosition" in reply) == (
        200,
        "FILLED",
        False,
        False,
    )
    assert row["avgPrice"] == "59994.00000"
    held = venue.account.holding((close["symbol"], "BOTH"))
    assert held is None


def test_nothing_is_placed_in_batches() -> None:
    """There is no such path."""
    assert papi(make_venue(PORTFOLIO), "POST", "um/batchOrders", batchOrders="[]")[0] == 404


def test_both_products_are_refused_in_usdms_numbers() -> None:
    """Unlike dapi."""
    venue = make_venue(PORTFOLIO + "markets: {BTCUSD_PERP: {spread_bps: 501}}")
    assert papi(venue, "POST", "cm/order", **CLOSES["cm"])[1]["code"] == -4131


def test_every_cancel_has_a_reply_of_its_own() -> None:
    """A number, a text, or neither."""
    venue = make_venue(PORTFOLIO)
    (algo,) = papi(venue, "GET", "um/algo/openAlgoOrders")[1]
    one = papi(venue, "DELETE", "um/algo/order", symbol="BTCUSDT", algoId=algo["algoId"])[1]
    again = papi(venue, "DELETE", "um/algo/order", symbol="BTCUSDT", algoId=algo["algoId"])[1]
    stop = {"symbol": "BTCUSD_PERP", "newClientStrategyId": "stop-c"}
    strategy = papi(venue, "DELETE", "cm/conditional/order", **stop)[1]
    replies = [
        papi(venue, "DELETE", path, symbol=symbol)[1]["code"]
        for path, symbol in (
            ("um/allOpenOrders", "ETHUSDT"),
            ("um/algo/allOpenOrders", "BTCUSDT"),
            ("cm/allOpenOrders", "BTCUSD_PERP"),
            ("cm/conditional/allOpenOrders", "BTCUSD_PERP"),
        )
    ]

    assert (one, again["code"]) == ({"complete": True}, -2011)
    assert strategy["strategyStatus"] == "CANCELED"
    assert replies == [200, 200, 200, "200"]
    assert [*venue.account.open_orders(), *venue.account.open_algo_orders()] == []


def test_conditional_orders_are_placed_in_either_dialect() -> None:
    """Algo orders for USDS-M, strategies for COIN-M."""
    venue = make_venue(PORTFOLIO)
    _, algo = papi(
        venue,
        "POST",
        "um/algo/order",
        algoType="CONDITIONAL",
        symbol="BTCUSDT",
        side="SELL",
        type="STOP_MARKET",
        triggerPrice="50000",
        closePosition="true",
    )
    _, strategy = papi(
        venue,
        "POST",
        "cm/conditional/order",
        symbol="BTCUSD_PERP",
        side="SELL",
        strategyType="STOP_MARKET",
        stopPrice="50000",
        quantity="3",
        newClientStrategyId="mine",
    )
    _, found = papi(
        venue, "GET", "cm/conditional/openOrder", symbol="BTCUSD_PERP", newClientStrategyId="mine"
    )

    assert (algo["closePosition"], algo["triggerPrice"]) == (True, "50000")
    assert (strategy["strategyType"], strategy["origQty"]) == ("STOP_MARKET", "3")
    assert found == strategy


def test_what_is_left_beside_the_futures_can_be_read() -> None:
    """Margin orders by symbol only, debts by asset; some amounts are empty texts."""
    venue = make_venue(PORTFOLIO)
    balances = {row["asset"]: row for row in papi(venue, "GET", "balance")[1]}
    account = papi(venue, "GET", "account")[1]
    orders = papi(venue, "GET", "margin/openOrders", symbol="BTCUSDT")[1]

    assert papi(venue, "GET", "margin/openOrders")[1]["code"] == -1102
    assert [row["price"] for row in orders] == ["50000"]
    assert balances["BTC"]["crossMarginBorrowed"] == "0.50000000"
    assert balances["BTC"]["crossMarginInterest"] == "0.00100000"
    assert (balances["USDT"]["negativeBalance"], balances["USDT"]["cmUnrealizedPNL"]) == (
        "-12.50000000",
        "",
    )
    assert (account["accountStatus"], account["totalAvailableBalance"]) == ("NORMAL", "")
    papi(venue, "DELETE", "margin/allOpenOrders", symbol="BTCUSDT")
    assert papi(venue, "GET", "margin/openOrders", symbol="BTCUSDT")[1] == []


def test_limits_are_papis_own() -> None:
    """6000 a minute, and orders are counted by the minute alone."""
    venue = make_venue(PORTFOLIO + "venue: {other_weight: 2400}")

    def headers(method: str, path: str) -> dict[str, str]:
        request = Request(method=method, path=path, query=f"timestamp={NOW_MS}")
        return venue.handle(request, NOW_MS).headers

    assert headers("GET", "/papi/v1/um/openOrders")["X-MBX-USED-WEIGHT-1M"] == "40"
    told = headers("POST", "/papi/v1/um/order")
    assert (told["X-MBX-USED-WEIGHT-1M"], told["X-MBX-ORDER-COUNT-1M"]) == ("41", "1")
    assert "X-MBX-ORDER-COUNT-10S" not in told
    assert [row["interval"] for row in papi(venue, "GET", "rateLimit/order")[1]] == ["MINUTE"]
    assert ask(venue, "GET", "/v1/time")[0] == 429


@pytest.mark.parametrize(
    "path", sorted({path for method, path in ROUTES if (method, path[:5]) == ("GET", "/papi")})
)
def test_every_reading_answers_something(path: str) -> None:
    """A bot that asks for it must not meet our own mistake."""
    symbol = "BTCUSD_PERP" if "/cm/" in path else "BTCUSDT"
    ids = {"orderId": "1", "algoId": "1", "strategyId": "1"}
    if path.endswith("userTrades"):
        ids = {}
    status, answer = ask(make_venue(PORTFOLIO), "GET", path, symbol=symbol, **ids)
    assert status == 200 or answer["code"] == -2013


def test_a_row_of_the_unselected_product_is_left_out() -> None:
    """And an unknown kind of account, or part of one, is no scenario."""
    venue = make_venue(PORTFOLIO.replace("margin: PORTFOLIO", "products: [COINM]"))
    assert {key[0] for key in venue.account.holdings} == {"BTCUSD_PERP"}
    assert {order.symbol for order in venue.account.open_orders()} == {"BTCUSD_PERP"}
    assert {algo.symbol for algo in venue.account.open_algo_orders()} == {"BTCUSD_PERP"}
    for wrong in ("margin: MUCH", "products: [SPOT]", "kind: PORTFOLIO"):
        with pytest.raises(ConfigurationError):
            make_venue(f"account: {{{wrong}}}")
