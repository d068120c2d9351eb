"""Unmodified ccxt works with portfolio margin and execution algorithms at the simulator."""

from functools import partial
from typing import Any

import pytest

from tests.sim.ccxt_client import with_client as with_any_client

SCENARIO = """
account:
  margin: PORTFOLIO
  positions: {BTCUSDT: "0.500", ETHUSDT: "-2", BTCUSD_PERP: "30"}
  orders:
    - {symbol: BTCUSDT, side: BUY, price: "58000", quantity: "0.1"}
    - {symbol: BTCUSD_PERP, side: BUY, price: "58000", quantity: "7"}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", quantity: "0.5", reduce_only: true}
    - {symbol: BTCUSD_PERP, side: SELL, trigger: "57000", quantity: "30", reduce_only: true}
  margin_assets: {BTC: {free: "2", borrowed: "0.5"}}
"""
PORTFOLIO = {"portfolioMargin": True}
LINEAR, INVERSE = "BTC/USDT:USDT", "BTC/USD:BTC"

with_client = partial(with_any_client, text=SCENARIO)
in_each_product = pytest.mark.parametrize(
    ("name", "symbol", "contracts"),
    [("binanceusdm", LINEAR, 0.5), ("binancecoinm", INVERSE, 30)],
    ids=["um", "cm"],
)


@in_each_product
def test_a_position_is_read_and_closed(name: str, symbol: str, contracts: float) -> None:
    """By the unified calls with their one parameter."""

    async def check(client: Any) -> None:
        positions = await client.fetch_positions([symbol], PORTFOLIO)
        order = await client.create_order(
            symbol, "market", "sell", contracts, None, {**PORTFOLIO, "reduceOnly": True}
        )
        found = await client.fetch_order(order["id"], symbol, PORTFOLIO)

        assert [(p["symbol"], p["side"], p["contracts"]) for p in positions] == [
            (symbol, "long", contracts)
        ]
        assert (order["status"], order["filled"]) == ("closed", contracts)
        assert (found["status"], found["average"]) == ("closed", 59994.0)
        assert await client.fetch_positions([symbol], PORTFOLIO) == []

    with_client(check, name=name)


@in_each_product
def test_each_book_is_listed_and_cancelled_by_itself(
    name: str, symbol: str, contracts: float
) -> None:
    """Algo orders for USDS-M, strategies for COIN-M."""
    trigger = {**PORTFOLIO, "trigger": True}

    async def check(client: Any) -> None:
        (regular,) = await client.fetch_open_orders(symbol, params=PORTFOLIO)
        (conditional,) = await client.fetch_open_orders(symbol, params=trigger)
        assert (regular["price"], conditional["triggerPrice"]) == (58000, 57000)
        assert conditional["amount"] == contracts

        await client.cancel_order(conditional["id"], symbol, trigger)
        assert await client.fetch_open_orders(symbol, params=trigger) == []
        await client.create_order(
            symbol, "market", "sell", contracts, None, {**PORTFOLIO, "triggerPrice": 56000}
        )
        assert len(await client.fetch_open_orders(symbol, params=trigger)) == 1
        await client.cancel_all_orders(symbol, trigger)
        assert await client.fetch_open_orders(symbol, params=trigger) == []
        assert len(await client.fetch_open_orders(symbol, params=PORTFOLIO)) == 1
        await client.cancel_all_orders(symbol, PORTFOLIO)
        assert await client.fetch_open_orders(symbol, params=PORTFOLIO) == []

    with_client(check, name=name)


def test_the_endpoints_answer_by_their_own_names() -> None:
    """And those of plain futures refuse the key."""

    async def check(client: Any) -> None:
        from ccxt.base.errors import AuthenticationError

        um = await client.papiGetUmPositionRisk()
        cm = await client.papiGetCmPositionRisk()
        account = await client.papiGetAccount()
        balances = {row["asset"]: row for row in await client.papiGetBalance()}
        done = await client.papiDeleteCmConditionalAllOpenOrders({"symbol": "BTCUSD_PERP"})

        assert {row["symbol"] for row in um} == {"BTCUSDT", "ETHUSDT"}
        assert {row["symbol"] for row in cm if row["positionAmt"] != "0"} == {"BTCUSD_PERP"}
        assert account["accountStatus"] == "NORMAL"
        assert balances["BTC"]["crossMarginBorrowed"] == "0.50000000"
        assert done["code"] == "200"
        for call in (client.fapiPrivateV3GetPositionRisk, client.dapiPrivateGetPositionRisk):
            with pytest.raises(AuthenticationError, match="-2015"):
                await call()

    with_client(check)


def test_a_standard_account_is_refused_by_portfolio_margin() -> None:
    """As a wrong key is."""

    async def check(client: Any) -> None:
        from ccxt.base.errors import AuthenticationError

        with pytest.raises(AuthenticationError, match="-2015"):
            await client.papiGetUmPositionRisk()

    with_client(check, text="account: {}")


def test_execution_algorithms_are_listed_and_cancelled() -> None:
    """On the spot host."""

    async def check(client: Any) -> None:
        listed = await client.sapiGetAlgoFuturesOpenOrders()
        (row,) = listed["orders"]
        done = await client.sapiDeleteAlgoFuturesOrder({"algoId": row["algoId"]})

        assert (row["symbol"], row["algoType"], row["totalQty"]) == ("BTCUSDT", "VP", "5")
        assert done["success"] is True
        assert (await client.sapiGetAlgoFuturesOpenOrders())["orders"] == []
        assert client.venue.account.is_flat

    with_client(
        check,
        text="account: {executions: [{symbol: BTCUSDT, side: BUY, quantity: 5, kind: VP}]}",
    )
