"""Trades as the venue lists them become values, or nothing at all."""

import asyncio
from decimal import Decimal
from typing import Any, Final

import pytest

from liqctl.kernel.errors import VenueError
from liqctl.kernel.values import Side, Trade
from liqctl.venue.exchange import TRADES_MAX, BinanceExchange
from tests.checks.test_preflight import Canned, on_venue
from tests.venue.venue import TIMEOUT_S, says

ROW: Final = {
    "buyer": False,
    "commission": "0.07819010",
    "commissionAsset": "BNB",
    "id": 698759,
    "maker": False,
    "orderId": 7,
    "price": "7819.01",
    "qty": "0.002",
    "quoteQty": "15.63802",
    "baseQty": "0.002",
    "marginAsset": "USDT",
    "realizedPnl": "-0.91539999",
    "side": "SELL",
    "positionSide": "SHORT",
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "time": 1569514978020,
}
SENT_AT_MS: Final = 1_569_514_978_000


def test_a_trade_tells_price_fee_and_profit_with_their_assets() -> None:
    """Order answers carry no average price since 2026-06-30; fees may be paid in BNB."""
    trades, seen = on_venue(
        says([ROW]),
        lambda it: BinanceExchange(it).fetch_trades(
            "BTCUSDT", "7", sent_at_ms=SENT_AT_MS, timeout_s=TIMEOUT_S
        ),
    )

    assert trades == (
        Trade(
            symbol="BTCUSDT",
            order_id="7",
            trade_id="698759",
            side=Side.SELL,
            price=Decimal("7819.01"),
            quantity=Decimal("0.002"),
            base_quantity=Decimal("0.002"),
            realized_pnl=Decimal("-0.91539999"),
            settle_asset="USDT",
            fee=Decimal("0.07819010"),
            fee_asset="BNB",
            time_ms=1569514978020,
        ),
    )
    asked = seen[0].params
    assert (asked["symbol"], asked["orderId"], asked["limit"]) == ("BTCUSDT", "7", "1000")
    assert int(asked["startTime"]) < SENT_AT_MS < int(asked["endTime"])
    assert int(asked["endTime"]) - int(asked["startTime"]) < 7 * 86_400_000


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [None],
        [{}],
        [ROW | {"price": "x"}],
        [ROW | {"commission": 0.1}],
        [ROW | {"marginAsset": None}],
        [ROW | {"side": "LEFT"}],
        [ROW | {"orderId": 8}],
        [ROW | {"symbol": "ETHUSDT"}],
        [ROW] * TRADES_MAX,
    ],
)
def test_what_cannot_be_read_in_full_is_no_number(answer: Any) -> None:
    """A report that sums half of the trades would be believed."""
    history = BinanceExchange(Canned(answer))
    with pytest.raises(VenueError):
        asyncio.run(history.fetch_trades("BTCUSDT", "7", sent_at_ms=SENT_AT_MS, timeout_s=1))
