# ruff: noqa: ANN401 - the border: what JSON hands over has no types
"""The trades of an order, for reports: nothing here is used while liquidating.

An order's own answer carries no average price since 2026-06-30; its trades do, with fee and profit.
The venue keeps three months of them and lists seven days a request (Binance USDS-M "Account Trade
List", read 2026-11-23), so the moment the order was sent at is always named.
"""

from typing import Any, Final

from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.answers import unreadable
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.ports import Transport
from liqctl.kernel.values import Side, Trade

ROWS_MAX: Final = 1000
"""What one request lists at most. An order of ours that traded more often is said to be cut."""

_BEFORE_MS: Final = 60_000
_SPAN_MS: Final = 86_400_000
"""A minute for clocks that differ; a market order or immediate-or-cancel trades at once."""


class TransportTradeHistory:
    """Implements `liqctl.kernel.ports.TradeHistory` over a transport."""

    def __init__(self, transport: Transport) -> None:
        """Ask through this transport."""
        self._transport = transport

    async def fetch_trades(
        self, symbol: str, order_id: str, *, sent_at_ms: int, timeout_s: float
    ) -> tuple[Trade, ...]:
        """Return the trades of one order, oldest first; empty when it traded nothing."""
        params = {
            "symbol": symbol,
            "orderId": order_id,
            "startTime": sent_at_ms - _BEFORE_MS,
            "endTime": sent_at_ms + _SPAN_MS,
            "limit": ROWS_MAX,
        }
        rows = await self._transport.request(Endpoint.USER_TRADES, params, timeout_s=timeout_s)
        if not isinstance(rows, list):
            raise VenueError(unreadable(200, "trades are not a list"))
        if len(rows) >= ROWS_MAX:
            raise VenueError(unreadable(200, f"{ROWS_MAX} trades of one order, and maybe more"))
        return tuple(_parse_trade(row, symbol, order_id) for row in rows)


def _parse_trade(row: Any, symbol: str, order_id: str) -> Trade:
    """Return the trade; one that is not of this order, or lacks a number, is refused."""
    if not isinstance(row, dict):
        raise VenueError(unreadable(200, "a trade is not an object"))
    if (row.get("symbol"), str(row.get("orderId"))) != (symbol, order_id):
        raise VenueError(unreadable(200, "a trade of another order"))
    price, quantity = parse_decimal(row.get("price")), parse_decimal(row.get("qty"))
    pnl, fee = parse_decimal(row.get("realizedPnl")), parse_decimal(row.get("commission"))
    settle_asset, fee_asset = row.get("marginAsset"), row.get("commissionAsset")
    is_named = isinstance(settle_asset, str) and isinstance(fee_asset, str)
    if not is_named or price is None or quantity is None or pnl is None or fee is None:
        raise VenueError(unreadable(200, "a trade lacks price, quantity, profit, fee or asset"))
    if row.get("side") not in set(Side):
        raise VenueError(unreadable(200, "a trade has no side"))
    time_ms = row.get("time")
    return Trade(
        symbol=symbol,
        order_id=order_id,
        trade_id=str(row.get("id")),
        side=Side(row["side"]),
        price=price,
        quantity=quantity,
        realized_pnl=pnl,
        settle_asset=str(settle_asset),
        fee=fee,
        fee_asset=str(fee_asset),
        time_ms=time_ms if isinstance(time_ms, int) else 0,
    )
