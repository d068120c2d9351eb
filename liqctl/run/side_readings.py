"""Readings beside the rounds: market rules, mark prices, position mode, prices for the report.

Each is asked for once a plan or the report wants it, never waited for by anything that could go on
without it, and at most once at a time.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.codes import Adaptation
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.ledger import LegRecord
from liqctl.kernel.plan import Mark, wants_mark
from liqctl.kernel.ports import Exchange
from liqctl.kernel.values import Leg, MarketRules, PositionMode
from liqctl.run.gate import Gate

if TYPE_CHECKING:
    from decimal import Decimal

_PRICED_ORDERS_MAX: Final = 20
"""Average prices are asked for one by one: the worst legs' are worth the weight."""

_PRICES: Final = "prices"


class SideReadings:
    """What was read beside the rounds, and what is being read."""

    def __init__(self, exchange: Exchange, gate: Gate) -> None:
        """Know nothing yet."""
        self.rules: dict[str, MarketRules] = {}
        self.marks: dict[str, Mark] = {}
        self.mode: PositionMode | None = None
        self.prices: dict[str, Decimal] = {}
        self._exchange = exchange
        self._gate = gate
        self._asked: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def want(self, legs: Mapping[Leg, LegRecord], *, rules: bool) -> None:
        """Start what the next plan is waiting for."""
        if rules and not self.rules:
            self._start("rules", self._fetch_rules())
        for leg, record in legs.items():
            if record.current is None:
                continue
            if wants_mark(record, self.rules.get(leg.symbol)):
                self._start(f"mark {leg.symbol}", self._fetch_mark(leg.symbol))
            if Adaptation.MODE in record.adapted and self.mode is None:
                self._start("mode", self._fetch_mode())

    def want_prices(self, legs: Mapping[Leg, LegRecord]) -> None:
        """Start asking what our orders were executed at: acknowledgements carry no price."""
        wanted = [] if self._gate.was_refused else self._unpriced(legs)
        if wanted:
            self._start(_PRICES, self._fetch_prices(wanted))

    @property
    def awaited(self) -> list["asyncio.Task[None]"]:
        """What a plan is waiting for; prices are for the report only."""
        self._tasks = {name: task for name, task in self._tasks.items() if not task.done()}
        return [task for name, task in self._tasks.items() if name != _PRICES]

    async def settle_prices(self) -> None:
        """Wait briefly for the prices that were asked for alongside the last reading."""
        prices = self._tasks.get(_PRICES)
        if prices is not None:
            timeout_s = min(self._gate.call_max_s, self._gate.remaining_s())
            await asyncio.wait({prices}, timeout=timeout_s)

    def cancel(self) -> None:
        """Stop whatever is still being read."""
        for task in self._tasks.values():
            task.cancel()

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        running = self._tasks.get(name)
        if running is not None and not running.done():
            work.close()
            return
        self._tasks[name] = asyncio.create_task(work)

    async def _fetch_rules(self) -> None:
        try:
            self.rules = dict(
                await self._gate.read(
                    Endpoint.EXCHANGE_INFO,
                    lambda s: self._exchange.fetch_market_rules(timeout_s=s),
                )
            )
        except VenueError:
            return

    async def _fetch_mark(self, symbol: str) -> None:
        asked_at = asyncio.get_running_loop().time()
        try:
            price = await self._gate.read(
                Endpoint.MARK_PRICE,
                lambda s: self._exchange.fetch_mark_price(symbol, timeout_s=s),
                narrow=True,
            )
        except VenueError:
            return
        self.marks[symbol] = Mark(price, asked_at)

    async def _fetch_mode(self) -> None:
        try:
            self.mode = await self._gate.read(
                Endpoint.ACCOUNT_CONFIG,
                lambda s: self._exchange.fetch_position_mode(timeout_s=s),
            )
        except VenueError:
            return

    async def _fetch_prices(self, wanted: list[tuple[str, str]]) -> None:
        self._asked.update(client_order_id for _, client_order_id in wanted)
        await asyncio.gather(*(self._fetch_price(*order) for order in wanted))

    async def _fetch_price(self, symbol: str, client_order_id: str) -> None:
        try:
            answer = await self._gate.read(
                Endpoint.ORDER,
                lambda s: self._exchange.fetch_order(symbol, client_order_id, timeout_s=s),
                narrow=True,
            )
        except VenueError:
            return
        if answer.average_price:
            self.prices[client_order_id] = answer.average_price

    def _unpriced(self, legs: Mapping[Leg, LegRecord]) -> list[tuple[str, str]]:
        """Return symbol and id of executed orders not asked for yet, worst first and bounded."""
        executed = [
            (record.leg.symbol, order.client_order_id)
            for record in sorted(legs.values(), key=lambda r: -r.first.notional)
            for order in record.sent
            if order.executed > 0 and order.client_order_id not in self._asked
        ]
        return executed[: max(_PRICED_ORDERS_MAX - len(self._asked), 0)]
