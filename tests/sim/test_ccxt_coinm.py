"""Unmodified ccxt trades COIN-M at the simulator, by its unified calls and by the endpoints."""

from functools import partial
from typing import Any

import pytest

from tests.sim.ccxt_client import with_client as with_any_client

SCENARIO = """
account:
  positions: {BTCUSDT: "0.500", BTCUSD_PERP: "30", BTCUSD_261225: "-20", ETHUSD_PERP: "-5"}
  orders:
    - {symbol: BTCUSD_PERP, side: SELL, price: "62000", quantity: "10", client_order_id: grid-1}
    - {symbol: ETHUSD_PERP, side: BUY, trigger: "3200", close_position: true}
  algo:
    - {symbol: BTCUSD_PERP, side: SELL, trigger: "57000", close_position: true}
"""
PERPETUAL, DATED = "BTC/USD:BTC", "BTC/USD:BTC-261225"

with_client = partial(with_any_client, text=SCENARIO, name="binancecoinm")


def test_contracts_load_with_their_sizes() -> None:
    """Inverse, in whole contracts."""

    async def check(client: Any) -> None:
        markets = await client.load_markets()
        perpetual, dated = markets[PERPETUAL], markets[DATED]

        assert (perpetual["id"], perpetual["inverse"], perpetual["contractSize"]) == (
            "BTCUSD_PERP",
            True,
            100,
        )
        assert (perpetual["settle"], perpetual["precision"]["amount"]) == ("BTC", 1)
        assert perpetual["limits"]["market"]["max"] == 60_000
        assert (dated["id"], dated["future"], dated["active"]) == ("BTCUSD_261225", True, True)
        assert markets["ETH/USD:ETH"]["contractSize"] == 10

    with_client(check)


def test_positions_are_read_as_contracts() -> None:
    """Zero rows are left out by ccxt."""

    async def check(client: Any) -> None:
        positions = await client.fetch_positions()

        assert {(p["symbol"], p["side"], p["contracts"]) for p in positions} == {
            (PERPETUAL, "long", 30),
            (DATED, "short", 20),
            ("ETH/USD:ETH", "short", 5),
        }

    with_client(check)


def test_a_close_fills_and_can_be_looked_up() -> None:
    """The reply has no average price, the query has."""

    async def check(client: Any) -> None:
        await client.cancel_all_orders(PERPETUAL)
        order = await client.create_order(
            PERPETUAL, "market", "sell", 30, None, {"reduceOnly": True}
        )
        found = await client.fetch_order(order["id"], PERPETUAL)
        trades = await client.fetch_my_trades(PERPETUAL)

        assert (order["status"], order["filled"]) == ("closed", 30)
        assert (found["status"], found["average"]) == ("closed", 59994.0)
        assert [(t["side"], t["amount"], t["order"]) for t in trades] == [("sell", 30, order["id"])]
        assert await client.fetch_positions([PERPETUAL]) == []

    with_client(check)


def test_each_book_is_listed_and_cancelled_by_itself() -> None:
    """A stop from before the conditional book stands in the regular one."""

    async def check(client: Any) -> None:
        regular = await client.fetch_open_orders()
        conditional = await client.fetch_open_orders(params={"trigger": True})
        assert {(o["symbol"], o["triggerPrice"]) for o in regular} == {
            (PERPETUAL, None),
            ("ETH/USD:ETH", 3200),
        }
        assert [(o["symbol"], o["triggerPrice"]) for o in conditional] == [(PERPETUAL, 57000)]

        await client.cancel_all_orders(PERPETUAL)
        assert len(await client.fetch_open_orders(PERPETUAL, params={"trigger": True})) == 1
        await client.cancel_all_orders(PERPETUAL, {"trigger": True})
        assert await client.fetch_open_orders(PERPETUAL, params={"trigger": True}) == []
        assert await client.fetch_open_orders(PERPETUAL) == []

    with_client(check)


def test_orders_are_placed_and_cancelled_one_by_one_and_in_batches() -> None:
    """Of both kinds."""

    async def check(client: Any) -> None:
        stop = await client.create_order(
            PERPETUAL, "market", "sell", 1, None, {"triggerPrice": 56000}
        )
        wanted = [
            {"symbol": DATED, "type": "limit", "side": "buy", "amount": 2, "price": price}
            for price in (58000, 58100)
        ]
        placed = await client.create_orders(wanted)
        cancelled = await client.cancel_orders([order["id"] for order in placed], DATED)
        gone = await client.cancel_order(stop["id"], PERPETUAL, {"trigger": True})

        assert [order["price"] for order in placed] == [58000, 58100]
        assert [order["status"] for order in cancelled] == ["canceled", "canceled"]
        assert gone["id"] == stop["id"]

    with_client(check)


def test_balances_are_in_coins() -> None:
    """One for each coin."""

    async def check(client: Any) -> None:
        balance = await client.fetch_balance()
        # The wallets, what Bitcoin's contracts gained, and what ether's lost.
        assert balance["BTC"]["total"] == 1_000_000.00034014
        assert balance["ETH"]["total"] == 999_999.99965986

    with_client(check)


def test_a_fraction_of_a_contract_is_refused() -> None:
    """By the venue, where ccxt lets it pass."""

    async def check(client: Any) -> None:
        from ccxt.base.errors import BadRequest

        order = {"symbol": "BTCUSD_PERP", "side": "SELL", "type": "MARKET", "quantity": "0.5"}
        with pytest.raises(BadRequest, match="-4004"):
            await client.dapiPrivatePostOrder(order)

    with_client(check)


def test_the_endpoints_answer_by_their_own_names() -> None:
    """They stand on every exchange of ccxt's."""

    async def check(client: Any) -> None:
        symbol = {"symbol": "BTCUSD_PERP"}
        rows = await client.dapiPrivateGetPositionRisk({"pair": "BTCUSD"})
        account = await client.dapiPrivateGetAccount()
        index = await client.dapiPublicGetPremiumIndex(symbol)
        mode = await client.dapiPrivateGetPositionSideDual()
        done = await client.dapiPrivateDeleteAllOpenOrders(symbol)

        assert [row["positionAmt"] for row in rows] == ["30", "-20"]
        assert len(account["positions"]) == 4
        assert [row["symbol"] for row in index] == ["BTCUSD_PERP"]
        assert mode == {"dualSidePosition": False}
        assert done["code"] == 200
        assert len(await client.dapiPrivateGetOpenAlgoOrders()) == 1
        await client.dapiPrivateDeleteAlgoOpenOrders(symbol)
        assert client.venue.account.open_algo_orders() == []

    with_client(check, name="binanceusdm")
