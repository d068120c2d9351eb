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
from liqctl.kernel.ledger import LegRecord
from liqctl.kernel.machine import Machine, Task, Work
from liqctl.kernel.plan import Mark, wants_mark
from liqctl.kernel.reading import Reader
from liqctl.kernel.values import Leg, MarketRules, Position, PositionMode, Reading

if TYPE_CHECKING:
    from decimal import Decimal

_PRICES: Final = "prices"


class Looks:
    """Shares looks among the symbols whose closes were sent before they began."""

    def __init__(
        self, machine: Machine, reader: Reader, tell: Callable[[Reading[Position], float], None]
    ) -> None:
        """Look through the reader; `tell` gets what each look showed, and when it began."""
        self._machine = machine
        self._reader = reader
        self._tell = tell
        self._by_symbol: dict[str, Task[Reading[Position]]] = {}
        self._all: list[Task[Reading[Position]]] = []
        self._due: Task[Reading[Position]] | None = None
        self._next_at = 0.0

    def close_sent(self, symbol: str) -> None:
        """Note that a close is leaving now; the look that begins next is the one to ask."""
        if self._due is None:
            if len(self._all) == pacing.LOOKS_MAX or self._machine.limits.was_refused:
                self._by_symbol.pop(symbol, None)
                return
            self._due = self._machine.spawn(self._look())
            self._all.append(self._due)
        self._by_symbol[symbol] = self._due

    async def sees_flat(self, symbol: str) -> bool:
        """Return whether a look that began after the symbol's last close shows nothing open."""
        look = self._by_symbol.get(symbol)
        if look is None:
            return False
        machine = self._machine
        patience_s = max(
            pacing.LOOK_PATIENCE_TRIPS * machine.limits.rtt_s, pacing.LOOK_PATIENCE_MIN_S
        )
        await machine.wait([look], until=machine.now + patience_s)
        if not look.is_done or look.is_cut:
            return False
        return look.value.complete and all(p.symbol != symbol for p in look.value.items)

    def end(self) -> None:
        """Stop looking; what a look under way would have shown is not told any more."""
        for look in self._all:
            self._machine.end(look)

    async def _look(self) -> Reading[Position]:
        machine = self._machine
        await machine.sleep_until(max(machine.now + pacing.LOOK_HEAD_START_S, self._next_at))
        self._due = None
        began_at = machine.now
        self._next_at = began_at + pacing.LOOK_TRIPS_APART * machine.limits.rtt_s
        positions = await self._reader.positions()
        self._tell(positions, began_at)
        return positions


class SideReadings:
    """What else was read beside the rounds, and what is being read: each once at a time."""

    def __init__(self, machine: Machine) -> None:
        self.rules: Mapping[str, MarketRules] = {}
        self.marks: dict[str, Mark] = {}
        self.mode: PositionMode | None = None
        self.prices: dict[str, Decimal] = {}
        self._machine = machine
        self._asked: set[str] = set()
        self._tasks: dict[str, Task[Any]] = {}

    def want(self, legs: Mapping[Leg, LegRecord], *, rules: bool) -> None:
        """Start what the next plan is waiting for."""
        if rules and not self.rules:
            self._start("rules", self._fetch_rules)
        for leg, record in legs.items():
            if record.current is None:
                continue
            if wants_mark(record, self.rules.get(leg.symbol)):
                self._start(f"mark {leg.symbol}", partial(self._fetch_mark, leg.symbol))
            if Adaptation.MODE in record.adapted and self.mode is None:
                self._start("mode", self._fetch_mode)

    def want_prices(self, legs: Mapping[Leg, LegRecord]) -> None:
        """Start asking what our orders were executed at: acknowledgements carry no price."""
        if self._machine.limits.was_refused:
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
            machine = self._machine
            until = min(machine.now + machine.limits.call_max_s, machine.deadline.ends)
            await machine.wait([self._tasks[_PRICES]], until=until)

    def _start(self, name: str, begin: Callable[[], Work[Any]]) -> None:
        running = self._tasks.get(name)
        if running is None or running.is_done:
            self._tasks[name] = self._machine.spawn(begin())

    async def _fetch_rules(self) -> None:
        rules = await self._machine.ask(requests.MARKET_RULES)
        if not isinstance(rules, VenueAnswer):
            self.rules = rules

    async def _fetch_mark(self, symbol: str) -> None:
        asked_at = self._machine.now
        price = await self._machine.ask(requests.mark_price(symbol))
        if not isinstance(price, VenueAnswer):
            self.marks[symbol] = Mark(price, asked_at)

    async def _fetch_mode(self) -> None:
        mode = await self._machine.ask(requests.POSITION_MODE)
        if not isinstance(mode, VenueAnswer):
            self.mode = mode

    async def _fetch_prices(self, wanted: list[tuple[str, str]]) -> None:
        self._asked.update(client_order_id for _, client_order_id in wanted)
        await self._machine.together([self._fetch_price(*order) for order in wanted])

    async def _fetch_price(self, symbol: str, client_order_id: str) -> None:
        answer = await self._machine.ask(requests.order_of(symbol, client_order_id))
        if not isinstance(answer, VenueAnswer) and answer.average_price:
            self.prices[client_order_id] = answer.average_price
