# ruff: noqa: ANN401 - the border: what ccxt, aiohttp and JSON hand over has no types
"""The `Exchange` port on top of any `Transport`: the real venue and the simulator in memory alike.

Nothing is repeated and nothing is remembered here: each method is one request, its answer checked
and translated. That an order can only reduce is checked twice, on the order and on the parameters
that leave.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

from liqctl.kernel.account import MarketRules, OpenOrder, OrderKind, Position, PositionMode, Rows
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.commands import CloseOrder, OrderAnswer
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.ports import Transport, Usage
from liqctl.kernel.requests import Request
from liqctl.venue import wire

T = TypeVar("T")

_OPEN_ORDERS = {
    OrderKind.REGULAR: Endpoint.OPEN_ORDERS,
    OrderKind.ALGO: Endpoint.OPEN_ALGO_ORDERS,
}
_NO_ANSWER = frozenset({AnswerKind.PAUSE, AnswerKind.TRANSIENT, AnswerKind.UNKNOWN})


class BinanceExchange:
    """One account on one venue, through a transport. Implements `liqctl.kernel.ports.Exchange`."""

    def __init__(self, transport: Transport) -> None:
        """Speak through the transport."""
        self._transport = transport

    @property
    def base_url(self) -> str:
        """Scheme and host of every request, as configured."""
        return self._transport.base_url

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""
        return self._transport.usage

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer."""
        answer: T = await _SENDERS[request.endpoint](self, request, timeout_s)
        return answer

    async def fetch_positions(
        self, symbol: str | None = None, *, timeout_s: float
    ) -> Rows[Position]:
        """Return the open positions (quantity not zero); never empty for want of an answer."""
        rows = await self._request(Endpoint.POSITIONS, _only(symbol), timeout_s=timeout_s)
        return wire.parse_positions(rows)

    async def fetch_account_positions(self, *, timeout_s: float) -> Rows[Position]:
        """Return the open positions by the second, independent source (`v3/account`)."""
        row = await self._request(Endpoint.ACCOUNT, {}, timeout_s=timeout_s)
        return wire.parse_account_positions(row)

    async def fetch_open_orders(
        self, kind: OrderKind, symbol: str | None = None, *, timeout_s: float
    ) -> Rows[OpenOrder]:
        """Return the open orders of one book; without a symbol, of the whole account."""
        rows = await self._request(_OPEN_ORDERS[kind], _only(symbol), timeout_s=timeout_s)
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
        match order.kind:
            case OrderKind.REGULAR:
                params = {"symbol": order.symbol, "orderId": order.order_id}
                row = await self._request(Endpoint.CANCEL_ORDER, params, timeout_s=timeout_s)
                wire.check_cancelled(row, order)
            case OrderKind.ALGO:
                params = {"algoId": order.order_id}
                row = await self._request(Endpoint.CANCEL_ALGO_ORDER, params, timeout_s=timeout_s)
                wire.check_all_cancelled(row)

    async def warm_up(self, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests at the same time; never raises."""
        pings = (self._request(Endpoint.PING, {}, timeout_s=timeout_s) for _ in range(connections))
        await asyncio.gather(*pings, return_exceptions=True)

    async def close(self) -> None:
        """Close connections at once; never raises."""
        await self._transport.close()

    async def _request(
        self, endpoint: Endpoint, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        return await self._transport.request(endpoint, params, timeout_s=timeout_s)


def _only(symbol: str | None) -> dict[str, str]:
    return {} if symbol is None else {"symbol": symbol}


_SENDERS: dict[Endpoint, Any] = {
    Endpoint.POSITIONS: lambda x, r, s: x.fetch_positions(r.symbol, timeout_s=s),
    Endpoint.ACCOUNT: lambda x, r, s: x.fetch_account_positions(timeout_s=s),
    Endpoint.OPEN_ORDERS: lambda x, r, s: x.fetch_open_orders(
        OrderKind.REGULAR, r.symbol, timeout_s=s
    ),
    Endpoint.OPEN_ALGO_ORDERS: lambda x, r, s: x.fetch_open_orders(
        OrderKind.ALGO, r.symbol, timeout_s=s
    ),
    Endpoint.ORDER: lambda x, r, s: x.fetch_order(r.symbol, r.client_order_id, timeout_s=s),
    Endpoint.ACCOUNT_CONFIG: lambda x, r, s: x.fetch_position_mode(timeout_s=s),
    Endpoint.PORTFOLIO_MARGIN: lambda x, r, s: x.is_portfolio_margin(timeout_s=s),
    Endpoint.EXCHANGE_INFO: lambda x, r, s: x.fetch_market_rules(timeout_s=s),
    Endpoint.MARK_PRICE: lambda x, r, s: x.fetch_mark_price(r.symbol, timeout_s=s),
    Endpoint.TIME: lambda x, r, s: x.sync_clock(timeout_s=s),
    Endpoint.SUBMIT_ORDER: lambda x, r, s: x.submit_order(r.close, timeout_s=s),
    Endpoint.CANCEL_ORDERS: lambda x, r, s: x.cancel_orders(r.symbol, timeout_s=s),
    Endpoint.CANCEL_ALGO_ORDERS: lambda x, r, s: x.cancel_algo_orders(r.symbol, timeout_s=s),
    Endpoint.CANCEL_ORDER: lambda x, r, s: x.cancel_order(r.order, timeout_s=s),
    Endpoint.CANCEL_ALGO_ORDER: lambda x, r, s: x.cancel_order(r.order, timeout_s=s),
}
