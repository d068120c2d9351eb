"""Readings beside the rounds: looks at the positions, market rules, marks, position mode, prices.

Each is asked for once a plan or the report wants it, and never waited for by anything that could go
on without it.

A look begins shortly after a close was sent and does not wait for its answer, so that stops may
leave a round trip sooner. Where it shows the leg gone, that is a reading like any other: the leg's
stops may go. Where it came too early, the next whole reading decides, as it would have without.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel import pacing, requests
from liqctl.kernel.answers import VenueAnswer
from liqctl.kernel.codes import Adaptation
from liqctl.kernel.gateway import Gateway
from liqctl.kernel.ledger import LegRecord
from liqctl.kernel.machine import Task, Work
from liqctl.kernel.plan import Mark, wants_mark
from liqctl.kernel.reading import Reader
from liqctl.kernel.values import Leg, MarketRules, Position, PositionMode, Reading

if TYPE_CHECKING:
    from decimal import Decimal

_PRICES: Final = "prices"


class Looks:
    """Shares looks among the symbols whose closes were sent before they began."""

    def __init__(
        self, gateway: Gateway, reader: Reader, tell: Callable[[Reading[Position], float], None]
    ) -> None:
        """Look through the reader; `tell` gets what each look showed, and when it began."""
        self._gateway = gateway
        self._reader = reader
        self._tell = tell
        self._by_symbol: dict[str, Task[Reading[Position]]] = {}
        self._all: list[Task[Reading[Position]]] = []
        self._due: Task[Reading[Position]] | None = None
        self._next_at = 0.0

    def close_sent(self, symbol: str) -> None:
        """Note that a close is leaving now; the look that begins next is the one to ask."""
        if self._due is None:
            if len(self._all) == pacing.LOOKS_MAX or self._gateway.limits.was_refused:
                self._by_symbol.pop(symbol, None)
                return
            self._due = self._gateway.spawn(self._look())
            self._all.append(self._due)
        self._by_symbol[symbol] = self._due

    async def sees_flat(self, symbol: str) -> bool:
        """Return whether a look that began after the symbol's last close shows nothing open."""
        look = self._by_symbol.get(symbol)
        if look is None:
            return False
        gateway = self._gateway
        patience_s = max(
            pacing.LOOK_PATIENCE_TRIPS * gateway.limits.rtt_s, pacing.LOOK_PATIENCE_MIN_S
        )
        await gateway.wait([look], until=gateway.now + patience_s)
        if not look.is_done or look.is_cut:
            return False
        return look.value.complete and all(p.symbol != symbol for p in look.value.items)

    def end(self) -> None:
        """Stop looking; what a look under way would have shown is not told any more."""
        for look in self._all:
            self._gateway.end(look)

    async def _look(self) -> Reading[Position]:
        gateway = self._gateway
        await gateway.sleep_until(max(gateway.now + pacing.LOOK_HEAD_START_S, self._next_at))
        self._due = None
        began_at = gateway.now
        self._next_at = began_at + pacing.LOOK_TRIPS_APART * gateway.limits.rtt_s
        positions = await self._reader.positions()
        self._tell(positions, began_at)
        return positions


class SideReadings:
    """What else was read beside the rounds, and what is being read: each once at a time."""

    def __init__(self, gateway: Gateway, reader: Reader) -> None:
        """Know nothing yet but the rules that the reader knows."""
        self.marks: dict[str, Mark] = {}
        self.mode: PositionMode | None = None
        self.prices: dict[str, Decimal] = {}
        self._gateway = gateway
        self._reader = reader
        self._asked: set[str] = set()
        self._tasks: dict[str, Task[Any]] = {}

    @property
    def rules(self) -> Mapping[str, MarketRules]:
        """The rules of every symbol, empty before they were asked for."""
        return self._reader.rules

    def want(self, legs: Mapping[Leg, LegRecord], *, rules: bool) -> None:
        """Start what the next plan is waiting for."""
        if rules and not self.rules:
            self._start("rules", self._reader.fetch_rules)
        for leg, record in legs.items():
            if record.current is None:
                continue
            if wants_mark(record, self.rules.get(leg.symbol)):
                self._start(f"mark {leg.symbol}", partial(self._fetch_mark, leg.symbol))
            if Adaptation.MODE in record.adapted and self.mode is None:
                self._start("mode", self._fetch_mode)

    def want_prices(self, legs: Mapping[Leg, LegRecord]) -> None:
        """Start asking what our orders were executed at: acknowledgements carry no price."""
        if self._gateway.limits.was_refused or not self._gateway.account.has_weight:
            return
        executed = [
            (record.leg.symbol, order.client_order_id)
            for record in sorted(legs.values(), key=lambda r: -r.first.notional)
            for order in record.sent
            if order.executed > 0 and order.client_order_id not in self._asked
        ]
        if wanted := executed[: max(pacing.PRICED_ORDERS_MAX - len(self._asked), 0)]:
            self._start(_PRICES, partial(self._fetch_prices, wanted))

    @property
    def awaited(self) -> list[Task[Any]]:
        """What a plan is waiting for; prices are for the report only."""
        return [task for name, task in self._tasks.items() if name != _PRICES and not task.is_done]

    async def settle_prices(self) -> None:
        """Wait briefly for the prices that were asked for alongside the last reading."""
        if _PRICES in self._tasks:
            gateway = self._gateway
            until = min(gateway.now + gateway.limits.call_max_s, gateway.deadline.ends)
            await gateway.wait([self._tasks[_PRICES]], until=until)

    def _start(self, name: str, begin: Callable[[], Work[Any]]) -> None:
        running = self._tasks.get(name)
        if running is None or running.is_done:
            self._tasks[name] = self._gateway.spawn(begin())

    async def _fetch_mark(self, symbol: str) -> None:
        asked_at = self._gateway.now
        price = await self._gateway.ask(requests.mark_price(self._gateway.product, symbol))
        if not isinstance(price, VenueAnswer):
            self.marks[symbol] = Mark(price, asked_at)

    async def _fetch_mode(self) -> None:
        mode = await self._gateway.ask(requests.position_mode(self._gateway.product))
        if not isinstance(mode, VenueAnswer):
            self.mode = mode

    async def _fetch_prices(self, wanted: list[tuple[str, str]]) -> None:
        self._asked.update(client_order_id for _, client_order_id in wanted)
        await self._gateway.together([self._fetch_price(*order) for order in wanted])

    async def _fetch_price(self, symbol: str, client_order_id: str) -> None:
        answer = await self._gateway.ask(
            requests.order_of(self._gateway.product, symbol, client_order_id)
        )
        if not isinstance(answer, VenueAnswer) and answer.average_price:
            self.prices[client_order_id] = answer.average_price
