"""Unmodified ccxt, pointed at the simulator, works: what people's own bots will use against it."""

from functools import partial
from typing import Any

import pytest

from tests.sim.ccxt_client import with_client as with_any_client

SCENARIO = """
account:
  positions: {BTCUSDT: "0.500", ETHUSDT: "-2.000"}
  orders:
    - {symbol: BTCUSDT, side: SELL, price: "62000", quantity: "0.100", client_order_id: grid-1}
    - {symbol: SOLUSDT, side: BUY, price: "148", quantity: "1.000"}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", close_position: true}
    - {symbol: ETHUSDT, side: BUY, trigger: "3200", quantity: "2.000", reduce_only: true}
"""

with_client = partial(with_any_client, text=SCENARIO)


def test_markets_load_with_their_limits_and_precision() -> None:
    """Everything else in ccxt starts here."""

    async def check(client: Any) -> None:
        markets = await client.load_markets()
        bitcoin = markets["BTC/USDT:USDT"]

        assert bitcoin["id"] == "BTCUSDT"
        assert bitcoin["swap"] is True
        assert bitcoin["active"] is True
        assert bitcoin["precision"] == {
            "amount": 0.001,
            "price": 0.1,
            "base": 1e-08,
            "quote": 1e-08,
        }
        assert bitcoin["limits"]["market"]["max"] == 120
        assert bitcoin["limits"]["cost"]["min"] == 5

    with_client(check)


def test_a_dated_and_a_non_ascii_market_load() -> None:
    """Such symbols exist on the venue, and once broke clients that expected [A-Z0-9]+."""

    async def check(client: Any) -> None:
        markets = await client.load_markets()

        assert markets["BTC/USDT:USDT-260925"]["future"] is True
        assert markets["币安人生/USDT:USDT"]["id"] == "币安人生USDT"
        await client.create_order(
            "币安人生/USDT:USDT", "market", "sell", 10, None, {"reduceOnly": True}
        )
        assert client.venue.account.holding(("币安人生USDT", "BOTH")) is None

    with_client(
        check,
        text='account: {positions: {BTCUSDT_260925: "1", 币安人生USDT: "10"}}\n'
        "markets: {BTCUSDT_260925: {contract_type: CURRENT_QUARTER, delivery_ms: 1790323200000}}",
    )


def test_positions_show_side_and_contracts() -> None:
    """Both signs, with entry price and notional."""

    async def check(client: Any) -> None:
        positions = await client.fetch_positions()

        assert {(p["symbol"], p["side"], p["contracts"]) for p in positions} == {
            ("BTC/USDT:USDT", "long", 0.5),
            ("ETH/USDT:USDT", "short", 2.0),
        }

    with_client(check)


def test_the_two_order_books_are_disjoint() -> None:
    """Conditional orders show only when asked for, as on the venue since 2025-12-09."""

    async def check(client: Any) -> None:
        regular = await client.fetch_open_orders()
        conditional = await client.fetch_open_orders(params={"trigger": True})

        assert {order["symbol"] for order in regular} == {"BTC/USDT:USDT", "SOL/USDT:USDT"}
        assert {order["triggerPrice"] for order in conditional} == {57000.0, 3200.0}
        assert len(await client.fetch_open_orders("BTC/USDT:USDT")) == 1
        assert len(await client.fetch_open_orders("BTC/USDT:USDT", params={"trigger": True})) == 1

    with_client(check)


def test_a_market_close_fills_and_can_be_looked_up() -> None:
    """The acknowledgement has no average price; the query and the trades do."""

    async def check(client: Any) -> None:
        await client.cancel_all_orders("BTC/USDT:USDT")
        order = await client.create_order(
            "BTC/USDT:USDT", "market", "sell", 0.5, None, {"reduceOnly": True}
        )
        found = await client.fetch_order(order["id"], "BTC/USDT:USDT")
        trades = await client.fetch_my_trades("BTC/USDT:USDT")

        assert (order["status"], order["filled"], order["average"]) == ("closed", 0.5, None)
        assert (found["status"], found["average"]) == ("closed", 59994.0)
        assert [(t["side"], t["amount"], t["order"]) for t in trades] == [
            ("sell", 0.5, order["id"])
        ]
        assert await client.fetch_positions(["BTC/USDT:USDT"]) == []

    with_client(check)


def test_a_limit_order_rests_and_is_cancelled() -> None:
    """Cancelling it twice meets the venue's -2011."""

    async def check(client: Any) -> None:
        from ccxt.base.errors import OrderNotFound

        order = await client.create_order("SOL/USDT:USDT", "limit", "buy", 2, 147.5)
        cancelled = await client.cancel_order(order["id"], "SOL/USDT:USDT")

        assert (order["status"], order["price"], order["amount"]) == ("open", 147.5, 2.0)
        assert cancelled["status"] == "canceled"
        with pytest.raises(OrderNotFound):
            await client.cancel_order(order["id"], "SOL/USDT:USDT")

    with_client(check)


def test_a_stop_goes_to_the_conditional_book_and_is_cancelled_there() -> None:
    """One id means nothing to the other book."""

    async def check(client: Any) -> None:
        from ccxt.base.errors import OrderNotFound

        stop = await client.create_order(
            "SOL/USDT:USDT", "market", "sell", 1, None, {"triggerPrice": 140}
        )
        assert (stop["triggerPrice"], stop["status"]) == (140.0, "open")
        with pytest.raises(OrderNotFound):
            await client.cancel_order(stop["id"], "SOL/USDT:USDT")
        await client.cancel_order(stop["id"], "SOL/USDT:USDT", {"trigger": True})
        left = await client.fetch_open_orders("SOL/USDT:USDT", params={"trigger": True})
        assert left == []

    with_client(check)


def test_cancel_all_works_one_book_at_a_time() -> None:
    """Two calls for each symbol: the trap most scripts fall into."""

    async def check(client: Any) -> None:
        symbol = "BTC/USDT:USDT"
        await client.cancel_all_orders(symbol)
        assert await client.fetch_open_orders(symbol) == []
        assert len(await client.fetch_open_orders(symbol, params={"trigger": True})) == 1
        await client.cancel_all_orders(symbol, {"trigger": True})
        assert await client.fetch_open_orders(symbol, params={"trigger": True}) == []

    with_client(check)


def test_orders_are_sent_and_cancelled_in_batches() -> None:
    """Ccxt spells the list of ids in lower case; the venue takes it."""

    async def check(client: Any) -> None:
        symbol = "SOL/USDT:USDT"
        wanted = [
            {"symbol": symbol, "type": "limit", "side": "buy", "amount": 1, "price": price}
            for price in (146, 147)
        ]
        placed = await client.create_orders(wanted)
        cancelled = await client.cancel_orders([order["id"] for order in placed], symbol)

        assert [order["price"] for order in placed] == [146.0, 147.0]
        assert [order["status"] for order in cancelled] == ["canceled", "canceled"]

    with_client(check)


def test_the_balance_is_read() -> None:
    """Bots look at it before they trade."""

    async def check(client: Any) -> None:
        balance = await client.fetch_balance()
        # The wallet, and 600 that Bitcoin gained less 120 that ether lost.
        assert balance["USDT"]["total"] == 1_000_480

    with_client(check)


def test_a_reduce_only_flag_is_refused_in_hedge_mode() -> None:
    """-1106 becomes ccxt's BadRequest; the leg is closed by naming it."""

    async def check(client: Any) -> None:
        from ccxt.base.errors import BadRequest

        symbol, close = "BTC/USDT:USDT", {"positionSide": "LONG"}
        with pytest.raises(BadRequest, match="-1106"):
            await client.create_order(
                symbol, "market", "sell", 1, None, {**close, "reduceOnly": True}
            )
        await client.create_order(symbol, "market", "sell", 1, None, close)
        assert client.venue.account.is_flat

    with_client(check, text='account: {mode: hedge, positions: {BTCUSDT LONG: "1"}}')


def test_a_wrong_secret_is_an_authentication_error() -> None:
    """The signature is really checked."""

    async def check(client: Any) -> None:
        from ccxt.base.errors import AuthenticationError

        client.secret = "x" * 64
        with pytest.raises(AuthenticationError, match="-1022"):
            await client.fetch_balance()

    with_client(check)
