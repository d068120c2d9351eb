"""The `Exchange` port on top of any `Transport`: the real venue and the simulator in memory alike.

Nothing is repeated and nothing is remembered here: each method is one request, its answer checked
and translated. That an order can only reduce is checked twice, on the order and on the parameters
that leave.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from liqctl.kernel.answers import AnswerKind, unreadable
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.ports import Transport, Usage
from liqctl.kernel.values import (
    CloseOrder,
    MarketRules,
    OpenOrder,
    OrderAnswer,
    OrderKind,
    Position,
    PositionMode,
    Rows,
    Trade,
)
from liqctl.venue import wire

_OPEN_ORDERS = {
    OrderKind.REGULAR: Endpoint.OPEN_ORDERS,
    OrderKind.ALGO: Endpoint.OPEN_ALGO_ORDERS,
}
TRADES_MAX: Final = 1000
"""What one request lists at most. An order of ours that traded more often is said to be cut."""

_TRADES_BEFORE_MS: Final = 60_000
_TRADES_SPAN_MS: Final = 86_400_000
"""A minute for clocks that differ; a market order or immediate-or-cancel trades at once."""

_NO_ANSWER = frozenset({AnswerKind.PAUSE, AnswerKind.TRANSIENT, AnswerKind.UNKNOWN})


class BinanceExchange:
    """One account on one venue: the ports `Exchange` and, for reports, `TradeHistory`."""

    def __init__(self, transport: Transport) -> None:
        """Speak through the transport."""
        self._transport = transport
        self._request = transport.request

    @property
    def base_url(self) -> str:
        """Scheme and host of every request, as configured."""
        return self._transport.base_url

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""
        return self._transport.usage

    async def fetch_positions(
        self, symbol: str | None = None, *, timeout_s: float
    ) -> Rows[Position]:
        """Return the open positions (quantity not zero); never empty for want of an answer."""
        params = {} if symbol is None else {"symbol": symbol}
        rows = await self._request(Endpoint.POSITIONS, params, timeout_s=timeout_s)
        return wire.parse_positions(rows)

    async def fetch_account_positions(self, *, timeout_s: float) -> Rows[Position]:
        """Return the open positions by the second, independent source (`v3/account`)."""
        row = await self._request(Endpoint.ACCOUNT, {}, timeout_s=timeout_s)
        return wire.parse_account_positions(row)

    async def fetch_open_orders(
        self, kind: OrderKind, symbol: str | None = None, *, timeout_s: float
    ) -> Rows[OpenOrder]:
        """Return the open orders of one book; without a symbol, of the whole account."""
        params = {} if symbol is None else {"symbol": symbol}
        rows = await self._request(_OPEN_ORDERS[kind], params, timeout_s=timeout_s)
        return wire.parse_open_orders(kind, rows)

    async def fetch_order(
        self, symbol: str, client_order_id: str, *, timeout_s: float
    ) -> OrderAnswer:
        """Return one order of ours; an order the venue does not know raises kind DONE (-2013)."""
        params = {"symbol": symbol, "origClientOrderId": client_order_id}
        row = await self._request(Endpoint.ORDER, params, timeout_s=timeout_s)
        return wire.parse_queried_order(row, symbol, client_order_id)

    async def fetch_position_mode(self, *, timeout_s: float) -> PositionMode:
        """Return the account's position mode, by accountConfig or else by positionSide/dual."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        try:
            row = await self._request(Endpoint.ACCOUNT_CONFIG, {}, timeout_s=timeout_s)
            return wire.parse_position_mode(row)
        except VenueError as error:
            if error.answer.kind in {AnswerKind.RUN_FATAL, AnswerKind.PAUSE}:
                raise
        row = await self._request(Endpoint.POSITION_MODE, {}, timeout_s=until - loop.time())
        return wire.parse_position_mode(row)

    async def is_portfolio_margin(self, *, timeout_s: float) -> bool:
        """Return whether the account is in portfolio margin, where this API shows nothing.

        pmAccountInfo answers only such an account; assumed: any definite refusal of it means "no".
        An answer that may come out otherwise when asked again is none.
        """
        try:
            row = await self._request(
                Endpoint.PORTFOLIO_MARGIN, {"asset": "USDT"}, timeout_s=timeout_s
            )
        except VenueError as error:
            if error.answer.code is None or error.answer.kind in _NO_ANSWER:
                raise
            return False
        return isinstance(row, dict) and "maxWithdrawAmountUSD" in row

    async def fetch_market_rules(self, *, timeout_s: float) -> Mapping[str, MarketRules]:
        """Return the rules of every symbol. Large: megabytes on the real venue."""
        row = await self._request(Endpoint.EXCHANGE_INFO, {}, timeout_s=timeout_s)
        return wire.parse_market_rules(row)

    async def fetch_mark_price(self, symbol: str, *, timeout_s: float) -> Decimal:
        """Return the symbol's mark price."""
        row = await self._request(Endpoint.MARK_PRICE, {"symbol": symbol}, timeout_s=timeout_s)
        return wire.parse_mark_price(row)

    async def sync_clock(self, *, timeout_s: float) -> float:
        """Measure and apply the clock difference in seconds, positive if we are ahead."""
        return await self._transport.sync_clock(timeout_s=timeout_s)

    async def submit_order(self, order: CloseOrder, *, timeout_s: float) -> OrderAnswer:
        """Send one closing order. Refuses, before sending, an order that could open.

        Raises:
            InvariantError: the order could open a position; nothing was sent.
        """
        params = wire.close_order_params(order)
        wire.check_reducing(params)
        row = await self._request(Endpoint.SUBMIT_ORDER, params, timeout_s=timeout_s)
        return wire.parse_order_answer(row, order)

    async def cancel_orders(self, symbol: str, *, timeout_s: float) -> None:
        """Cancel every regular order of a symbol; the answer does not prove them gone."""
        row = await self._request(Endpoint.CANCEL_ORDERS, {"symbol": symbol}, timeout_s=timeout_s)
        wire.check_all_cancelled(row)

    async def cancel_algo_orders(self, symbol: str, *, timeout_s: float) -> None:
        """Cancel every conditional order of a symbol."""
        row = await self._request(
            Endpoint.CANCEL_ALGO_ORDERS, {"symbol": symbol}, timeout_s=timeout_s
        )
        wire.check_all_cancelled(row)

    async def cancel_order(self, order: OpenOrder, *, timeout_s: float) -> None:
        """Cancel one order of either book."""
        if order.kind is OrderKind.ALGO:
            params = {"algoId": order.order_id}
            row = await self._request(Endpoint.CANCEL_ALGO_ORDER, params, timeout_s=timeout_s)
            wire.check_all_cancelled(row)
        else:
            params = {"symbol": order.symbol, "orderId": order.order_id}
            row = await self._request(Endpoint.CANCEL_ORDER, params, timeout_s=timeout_s)
            wire.check_cancelled(row, order)

    async def fetch_trades(
        self, symbol: str, order_id: str, *, sent_at_ms: int, timeout_s: float
    ) -> tuple[Trade, ...]:
        """Return the trades of one order, oldest first; empty when it traded nothing.

        For reports: an order's own answer carries no average price since 2026-06-30; its trades do,
        with fee and profit. The venue keeps three months of them and lists seven days a request
        (Binance USDS-M "Account Trade List", read 2026-11-23), so the moment of sending is named.
        """
        params = {
            "symbol": symbol,
            "orderId": order_id,
            "startTime": sent_at_ms - _TRADES_BEFORE_MS,
            "endTime": sent_at_ms + _TRADES_SPAN_MS,
            "limit": TRADES_MAX,
        }
        rows = await self._request(Endpoint.USER_TRADES, params, timeout_s=timeout_s)
        if isinstance(rows, list) and len(rows) >= TRADES_MAX:
            why = f"{TRADES_MAX} trades of one order, and maybe more"
            raise VenueError(unreadable(200, why))
        return wire.parse_trades(rows, symbol, order_id)

    async def warm_up(self, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests at the same time; never raises."""
        pings = (self._request(Endpoint.PING, {}, timeout_s=timeout_s) for _ in range(connections))
        await asyncio.gather(*pings, return_exceptions=True)

    async def close(self) -> None:
        """Close connections at once; never raises."""
        await self._transport.close()
