"""The `Exchange` port on top of any `Transport`: the real venue and the simulator in memory alike.

Nothing is repeated and nothing is remembered here: a request leaves once, its answer is checked and
translated. That an order can only reduce is checked twice, on the order and on the parameters that
leave.

Of the exchanges around it, `PatientExchange` asks nothing for as long as the venue asked for that.
An armed process reads for months, and what goes on asking after a 429 or during a ban gets its
address banned, for days in the end: then nothing can be closed either. A liquidation does not pass
through it: it has limits of its own, and may ask when nothing else may.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, TypeVar

from liqctl.kernel.answers import AnswerKind, VenueAnswer, not_sent, unreadable
from liqctl.kernel.costs import asked_to_wait_s
from liqctl.kernel.errors import VenueError
from liqctl.kernel.limits import Usage
from liqctl.kernel.machine import Exchange, Transport, WallClock
from liqctl.kernel.requests import Endpoint, Request, spec_of
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import OrderKind, PositionMode, Trade
from liqctl.venue import wire

T = TypeVar("T")

TRADES_MAX: Final = 1000
"""What one request lists at most. An order of ours that traded more often is said to be cut."""

_TRADES_BEFORE_MS: Final = 60_000
_TRADES_SPAN_MS: Final = 86_400_000
"""A minute for clocks that differ; a market order or immediate-or-cancel trades at once."""

_NO_ANSWER: Final = frozenset({AnswerKind.PAUSE, AnswerKind.TRANSIENT, AnswerKind.UNKNOWN})

_PARSERS: Final[dict[Endpoint, Callable[[Any, Any], Any]]] = {
    Endpoint.POSITIONS: lambda row, r: wire.parse_positions(row, r.product),
    Endpoint.ACCOUNT: lambda row, r: wire.parse_account_positions(row, r.product),
    Endpoint.OPEN_ORDERS: lambda row, r: wire.parse_open_orders(OrderKind.REGULAR, row, r.product),
    Endpoint.OPEN_ALGO_ORDERS: lambda row, r: wire.parse_open_orders(
        OrderKind.ALGO, row, r.product
    ),
    Endpoint.EXECUTIONS: lambda row, _: wire.parse_open_orders(OrderKind.EXECUTION, row),
    Endpoint.PORTFOLIO_BALANCE: lambda row, _: wire.parse_balances(row),
    Endpoint.BALANCE: lambda row, _: wire.parse_alias(row),
    Endpoint.LISTEN_KEY: lambda row, _: wire.parse_listen_key(row),
    Endpoint.RENEW_LISTEN_KEY: lambda _, __: "",  # Its answer is empty, or the key.
    Endpoint.COUNTDOWN: lambda _, __: None,
    Endpoint.MARGIN_ORDERS: lambda row, _: wire.parse_margin_orders(row),
    Endpoint.ORDER: lambda row, r: wire.parse_queried_order(row, r.symbol, r.client_order_id),
    Endpoint.EXCHANGE_INFO: lambda row, _: wire.parse_market_rules(row),
    Endpoint.SUB_ACCOUNTS: lambda row, _: wire.parse_sub_accounts(row),
    Endpoint.SUB_POSITIONS: lambda row, r: wire.parse_sub_positions(row, r.product),
    Endpoint.SUB_KEYS: lambda row, r: wire.parse_sub_keys(row, r.email),
    Endpoint.EQUITY: lambda row, r: wire.parse_equity(row, r.product, r.margin),
    Endpoint.INCOME: lambda row, _: wire.parse_transfers(row),
    Endpoint.MARK_PRICE: lambda row, r: (
        wire.parse_mark_price(row) if r.symbol else wire.parse_coin_prices(row)
    ),
    Endpoint.SUBMIT_ORDER: lambda row, r: wire.parse_order_answer(row, r.close),
    Endpoint.CANCEL_ORDERS: lambda row, _: wire.check_all_cancelled(row),
    Endpoint.CANCEL_ALGO_ORDERS: lambda row, _: wire.check_all_cancelled(row),
    Endpoint.CANCEL_ORDER: lambda row, r: wire.check_cancelled(row, r.order),
    Endpoint.CANCEL_ALGO_ORDER: lambda row, r: wire.check_algo_cancelled(row, r.order),
    Endpoint.CANCEL_EXECUTION: lambda row, r: wire.check_execution_cancelled(row, r.order),
}
"""What an endpoint's answer means; each raises VenueError for one that it does not understand."""


class BinanceExchange:
    """One account on one venue. Implements `liqctl.kernel.machine.Exchange`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def base_url(self) -> str:
        """Scheme and host of every request, as configured."""
        return self._transport.base_url

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""
        return self._transport.usage

    def serves(self, api: str) -> bool:
        """Whether there is a host for the API of this name (`papi`, `sapi` …)."""
        return self._transport.serves(api)

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer.

        Raises:
            VenueError: it was refused or not answered.
            InvariantError: the order could open a position; nothing was sent.
        """
        answer: Any
        match request.endpoint:
            case Endpoint.TIME:
                answer = await self._transport.sync_clock(request.spec, timeout_s=timeout_s)
            case Endpoint.ACCOUNT_CONFIG:
                answer = await self._position_mode(request, timeout_s)
            case Endpoint.PORTFOLIO_MARGIN:
                answer = await self._ask_portfolio_margin(request, timeout_s)
            case endpoint:
                params = wire.request_params(request)
                row = await self._transport.request(request.spec, params, timeout_s=timeout_s)
                answer = _PARSERS[endpoint](row, request)
        return answer  # type: ignore[no-any-return]

    async def _position_mode(self, request: Request[Any], timeout_s: float) -> PositionMode:
        """Return the account's position mode, by accountConfig or else by positionSide/dual."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        try:
            row = await self._transport.request(request.spec, {}, timeout_s=timeout_s)
            return wire.parse_position_mode(row)
        except VenueError as error:
            if error.answer.kind in {AnswerKind.RUN_FATAL, AnswerKind.PAUSE}:
                raise
        other = replace(request, endpoint=Endpoint.POSITION_MODE)
        row = await self._transport.request(other.spec, {}, timeout_s=until - loop.time())
        return wire.parse_position_mode(row)

    async def _ask_portfolio_margin(self, request: Request[Any], timeout_s: float) -> bool:
        """Return whether the account is in portfolio margin: whether its API answers this key.

        Assumed: any definite refusal of it means "no", and so does a venue without this API. An
        answer that may come out otherwise when asked again is none.
        """
        if not self.serves(request.spec.api):
            return False
        try:
            row = await self._transport.request(request.spec, {}, timeout_s=timeout_s)
        except VenueError as error:
            is_absent = error.answer.status == HTTPStatus.NOT_FOUND
            is_told = error.answer.code is not None and error.answer.kind not in _NO_ANSWER
            if not (is_absent or is_told):
                raise
            return False
        if not isinstance(row, list):
            raise VenueError(unreadable(200, "no order limits of portfolio margin"))
        return True

    async def fetch_trades(
        self,
        symbol: str,
        order_id: str,
        *,
        sent_at_ms: int,
        timeout_s: float,
        product: Product = Product.USDM,
        margin: Margin = Margin.STANDARD,
    ) -> tuple[Trade, ...]:
        """Return the trades of one order, oldest first; empty when it traded nothing.

        For reports: an order's own answer carries no average price since 2026-06-30; its trades do,
        with fee and profit. The venue keeps three months of them and lists seven days a request
        (Binance USDS-M "Account Trade List", read 2026-11-23), so about when it was sent is named.
        """
        params = {
            "symbol": symbol,
            "orderId": order_id,
            "startTime": sent_at_ms - _TRADES_BEFORE_MS,
            "endTime": sent_at_ms + _TRADES_SPAN_MS,
            "limit": TRADES_MAX,
        }
        spec = spec_of(Endpoint.USER_TRADES, product, margin)
        rows = await self._transport.request(spec, params, timeout_s=timeout_s)
        if isinstance(rows, list) and len(rows) >= TRADES_MAX:
            why = f"{TRADES_MAX} trades of one order, and maybe more"
            raise VenueError(unreadable(200, why))
        return wire.parse_trades(rows, symbol, order_id)

    async def warm_up(self, product: Product, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests at the same time; never raises."""
        ping = spec_of(Endpoint.PING, product, Margin.STANDARD)
        pings = (self._transport.request(ping, {}, timeout_s=timeout_s) for _ in range(connections))
        await asyncio.gather(*pings, return_exceptions=True)

    async def close(self) -> None:
        """Close connections at once; never raises."""
        await self._transport.close()


class KeptOpen:
    """One account on one venue, asked through an exchange that others go on using."""

    def __init__(self, exchange: Exchange) -> None:
        """Ask through this exchange."""
        self._exchange = exchange

    @property
    def base_url(self) -> str:
        """Scheme and host of every request, as configured."""
        return self._exchange.base_url

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""
        return self._exchange.usage

    def serves(self, api: str) -> bool:
        """Whether there is a host for the API of this name (`papi`, `sapi` …)."""
        return self._exchange.serves(api)

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer.

        Raises:
            VenueError: it was refused or not answered.
        """
        return await self._exchange.send(request, timeout_s=timeout_s)

    async def warm_up(self, product: Product, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests; never raises."""
        await self._exchange.warm_up(product, connections, timeout_s=timeout_s)

    async def close(self) -> None:
        """Do nothing: it stays open for the others."""


class RationedExchange(KeptOpen):
    """An exchange for one reading: what is repeated costs at most so much weight in all."""

    def __init__(self, exchange: Exchange, weight: int) -> None:
        """Ask through this exchange until the weight is used up."""
        super().__init__(exchange)
        self._weight = weight

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer.

        Raises:
            VenueError: it was refused or not answered, or the weight is used up.
        """
        if request.weight > self._weight:
            raise VenueError(not_sent("the venue refused too often to be asked once more"))
        self._weight -= request.weight
        return await self._exchange.send(request, timeout_s=timeout_s)


class PatientExchange(KeptOpen):
    """An exchange that asks nothing while the venue asked for that, and counts what it asks."""

    def __init__(self, exchange: Exchange, wall_clock: WallClock) -> None:
        """Ask through this exchange."""
        super().__init__(exchange)
        self._wall_clock = wall_clock
        self._refusal: VenueAnswer | None = None
        self._until_s = 0.0
        self.spent = 0
        """Request weight of everything that was sent."""

    @property
    def wait_s(self) -> float:
        """How long nothing may be asked yet; 0 where anything may."""
        if self._refusal is None:
            return 0.0
        return max(self._until_s - self._wall_clock.now().timestamp(), 0.0)

    async def send(self, request: Request[T], *, timeout_s: float) -> T:
        """Send one request and return its answer; while nothing may be asked, the last refusal.

        Raises:
            VenueError: it was refused or not answered.
        """
        if self._refusal is not None and self.wait_s:
            raise VenueError(self._refusal)
        self.spent += request.weight
        try:
            return await self._exchange.send(request, timeout_s=timeout_s)
        except VenueError as error:
            # A refused key keeps nobody else off: it may be fit for the other product.
            if error.answer.kind is not AnswerKind.RUN_FATAL:
                now_s = self._wall_clock.now().timestamp()
                wait_s = asked_to_wait_s(error.answer, now=now_s)
                if wait_s and now_s + wait_s > self._until_s:
                    self._refusal, self._until_s = error.answer, now_s + wait_s
            raise

    async def warm_up(self, product: Product, connections: int, *, timeout_s: float) -> None:
        """Open connections by sending cheap requests; never raises."""
        if not self.wait_s:
            self.spent += connections
            await self._exchange.warm_up(product, connections, timeout_s=timeout_s)
