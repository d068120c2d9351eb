"""`userTrades` of the simulated venue: what it lists, since when, and what ccxt makes of it."""

from typing import Any

import pytest

from tests.sim.asking import NOW_MS, SELL, ask, make_venue, place
from tests.sim.test_ccxt import with_client

DAY_MS = 86_400_000
LONG = 'account: {positions: {BTCUSDT: "0.500"}}'
HALF = {**SELL, "quantity": "0.250"}


def test_a_row_has_every_documented_field() -> None:
    """Names and forms: Binance's "Account Trade List"."""
    venue = make_venue(LONG)
    _, order = place(venue, **SELL)
    status, rows = ask(venue, "GET", "/v1/userTrades", symbol="BTCUSDT")

    assert status == 200
    assert rows == [
        {
            "buyer": False,
            "commission": "14.99850000",
            "commissionAsset": "USDT",
            "id": rows[0]["id"],
            "maker": False,
            "orderId": order["orderId"],
            "price": "59994.00",
            "qty": "0.500",
            "quoteQty": "29997.00000",
            "baseQty": "0.500",
            "marginAsset": "USDT",
            "realizedPnl": rows[0]["realizedPnl"],
            "side": "SELL",
            "positionSide": "BOTH",
            "symbol": "BTCUSDT",
            "pair": "BTCUSDT",
            "time": NOW_MS,
        }
    ]
    assert float(rows[0]["realizedPnl"]) == 0.5 * (59994 - 60000 * 0.98)


def test_fees_can_be_paid_in_another_asset_than_profit() -> None:
    """So they can on the venue; sums of both in one number would be wrong."""
    venue = make_venue(
        'account: {positions: {BTCUSDT: "0.5", BTCUSDC: "0.5"}}\n'
        "markets: {BTCUSDC: {quote_asset: USDC, mark_price: 60000}, BNBUSDC: {quote_asset: USDC}}\n"
    )
    place(venue, **SELL | {"symbol": "BTCUSDC"})
    venue.account.fee_asset = "BNB"
    place(venue, **SELL)
    rows = [
        ask(venue, "GET", "/v1/userTrades", symbol=symbol)[1][0]
        for symbol in ("BTCUSDC", "BTCUSDT")
    ]

    assert [(row["commissionAsset"], row["marginAsset"]) for row in rows] == [
        ("USDC", "USDC"),
        ("BNB", "USDT"),
    ]
    assert rows[1]["commission"] == "0.02999700"


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({}, 1),
        ({"orderId": "first"}, 0),
        ({"orderId": "second"}, 1),
        ({"startTime": NOW_MS, "endTime": NOW_MS + DAY_MS}, 1),
        ({"startTime": NOW_MS}, 1),
        ({"orderId": "first", "startTime": NOW_MS, "endTime": NOW_MS}, 1),
        ({"endTime": NOW_MS + DAY_MS}, 1),
        ({"endTime": NOW_MS + 20 * DAY_MS}, 1),
        ({"fromId": 0}, 2),
        ({"fromId": 0, "limit": 1}, 1),
        ({"startTime": NOW_MS, "now": NOW_MS + 91 * DAY_MS}, 0),
    ],
)
def test_trades_are_listed_seven_days_at_a_time(asked: dict[str, Any], count: int) -> None:
    """One trade is of day 0, one of day 20, and it is day 20 unless said otherwise."""
    venue = make_venue(LONG)
    orders = {
        "first": place(venue, **HALF)[1]["orderId"],
        "second": place(venue, **HALF, now_ms=NOW_MS + 20 * DAY_MS)[1]["orderId"],
    }
    now_ms = asked.pop("now", NOW_MS + 20 * DAY_MS)
    if "orderId" in asked:
        asked["orderId"] = orders[asked["orderId"]]
    status, rows = ask(venue, "GET", "/v1/userTrades", symbol="BTCUSDT", now_ms=now_ms, **asked)

    assert (status, len(rows)) == (200, count)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"symbol": ""}, -1102),
        ({"startTime": 2, "endTime": 1}, -1023),
        ({"startTime": 0, "endTime": 8 * DAY_MS}, -4165),
        ({"fromId": 1, "startTime": NOW_MS}, -1128),
        ({"limit": 1001}, -1130),
        ({"limit": "many"}, -1102),
    ],
)
def test_what_the_venue_would_refuse_is_refused(asked: dict[str, Any], code: int) -> None:
    """A client that asks wrongly must learn it here."""
    status, answer = ask(make_venue(), "GET", "/v1/userTrades", **{"symbol": "BTCUSDT"} | asked)

    assert (status, answer["code"]) == (400, code)


def test_ccxts_own_trades_work_unchanged() -> None:
    """With and without a beginning; fee and profit come through."""

    async def check(client: Any) -> None:
        began_at = client.milliseconds() - 1000
        order = await client.create_order(
            "ETH/USDT:USDT", "market", "buy", 2, None, {"reduceOnly": True}
        )
        every = await client.fetch_my_trades("ETH/USDT:USDT")
        since = await client.fetch_my_trades("ETH/USDT:USDT", began_at, 10)
        older = await client.fetch_my_trades("ETH/USDT:USDT", began_at - 20 * DAY_MS)

        assert [trade["order"] for trade in every] == [order["id"]]
        assert since == every
        assert older == []
        assert every[0]["fee"] == {"currency": "USDT", "cost": 3.0003}
        assert every[0]["cost"] == 6000.6

    with_client(check)
