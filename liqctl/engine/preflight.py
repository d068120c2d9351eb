"""Asks the venue everything that would stop a liquidation, while there is time to mend it.

Nothing is changed: the one order that is sent is sent to the venue's test endpoint, which never
reaches the market. Every question is bounded by itself; one without an answer stays open and is
told, it does not hide the others.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar

from liqctl.domain.account import Leg, MarketRules, PositionMode, PositionSide, Side, Snapshot
from liqctl.domain.answers import not_sent
from liqctl.domain.commands import CloseOrder, OrderType
from liqctl.domain.errors import VenueError
from liqctl.domain.ids import make_client_order_id
from liqctl.engine.gate import Gate
from liqctl.engine.reading import Reader
from liqctl.planning.budget import Limits
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.readiness import Question, VenueFacts
from liqctl.ports import Exchange, Probe, WallClock

if TYPE_CHECKING:
    from liqctl.domain.answers import VenueAnswer

T = TypeVar("T")

PINGS_MAX_S: Final = 5.0
CALL_MAX_S: Final = 2.5
"""How long one question is waited for."""

ASK_MAX_S: Final = PINGS_MAX_S + 4 * CALL_MAX_S
"""How long all of it may take: the pings, the clock, the symbols, the account, the test order."""

_BANNED: Final = 418
_USUAL_SYMBOL: Final = "BTCUSDT"
_USUAL_QUANTITY: Final = Decimal("0.001")
_UNKNOWN_MODE: Final = "nothing is open, and the position mode, which the order depends on, unknown"


class Preflight:
    """One round of questions. Keeps what stayed open, by question."""

    def __init__(self, exchange: Exchange, probe: Probe) -> None:
        """Ask nothing yet."""
        self._exchange = exchange
        self._probe = probe
        self._refusals: dict[Question, VenueAnswer] = {}

    async def ask(
        self, policy: LiquidationConfig, *, has_key: bool, wall_clock: WallClock
    ) -> VenueFacts:
        """Return what the venue told; without a key only what everybody may ask.

        A ban ends the questions: asking on makes it longer.
        """
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        facts = await self._ask(policy, has_key=has_key, wall_clock=wall_clock)
        return replace(
            facts, asked_s=loop.time() - began_at, requests=self._exchange.usage.requests
        )

    async def _ask(
        self, policy: LiquidationConfig, *, has_key: bool, wall_clock: WallClock
    ) -> VenueFacts:
        pings = await self._try(
            Question.REACHABLE, lambda: self._probe.measure_pings_s(timeout_s=PINGS_MAX_S)
        )
        if pings is None:
            return VenueFacts(refusals=self._refusals, has_key=has_key)
        usage = self._exchange.usage
        used_before = max(usage.weight_1m - usage.requests, 0) if usage.weight_1m >= 0 else -1
        ahead_s = await self._try(
            Question.CLOCK, lambda: self._exchange.sync_clock(timeout_s=CALL_MAX_S)
        )
        rules = await self._try(
            Question.SYMBOLS, lambda: self._exchange.fetch_market_rules(timeout_s=CALL_MAX_S)
        )
        public = VenueFacts(
            refusals=self._refusals,
            round_trip_s=statistics.median(pings),
            pings=len(pings),
            clock_ahead_s=ahead_s,
            has_key=has_key,
            weight_used_by_others=used_before,
        )
        return await self._ask_account(public, policy, rules, wall_clock) if has_key else public

    async def _ask_account(
        self,
        public: VenueFacts,
        policy: LiquidationConfig,
        rules: Mapping[str, MarketRules] | None,
        wall_clock: WallClock,
    ) -> VenueFacts:
        snapshot, mode, rights, limits, is_portfolio_margin = await asyncio.gather(
            self._read(policy, wall_clock),
            self._try(
                Question.MODE, lambda: self._exchange.fetch_position_mode(timeout_s=CALL_MAX_S)
            ),
            self._try(Question.RIGHTS, lambda: self._probe.fetch_key_rights(timeout_s=CALL_MAX_S)),
            self._try(Question.LIMITS, lambda: self._probe.fetch_limits(timeout_s=CALL_MAX_S)),
            self._try(
                Question.MARGIN, lambda: self._exchange.is_portfolio_margin(timeout_s=CALL_MAX_S)
            ),
        )
        order = _rehearsal(snapshot, mode, rules or {})
        rehearsed = None
        if order is None:
            self._refusals[Question.ORDER] = not_sent(_UNKNOWN_MODE)
        else:
            rehearsed = await self._try(Question.ORDER, lambda: self._rehearse(order))
        return replace(
            public,
            snapshot=snapshot,
            mode=mode,
            is_portfolio_margin=is_portfolio_margin,
            rights=rights,
            rehearsed=rehearsed,
            not_trading=() if rules is None else _not_trading(snapshot, rules),
            limits=limits or Limits(),
        )

    async def _read(self, policy: LiquidationConfig, wall_clock: WallClock) -> Snapshot | None:
        """Return one reading, None when not even a part of it could be read."""
        ban = self._ban()
        if ban is not None:
            self._refusals[Question.ACCOUNT] = ban
            return None
        loop = asyncio.get_running_loop()
        gate = Gate(
            self._exchange, timeout_s=CALL_MAX_S, started_at=loop.time(), wall_clock=wall_clock
        )
        gate.close()
        snapshot = await Reader(self._exchange, gate, policy).snapshot(policy.symbols)
        if snapshot.errors:
            self._refusals[Question.ACCOUNT] = snapshot.errors[0]
        return snapshot if snapshot.is_any_read else None

    async def _rehearse(self, order: CloseOrder) -> str:
        await self._probe.rehearse_order(order, timeout_s=CALL_MAX_S)
        return order.leg.symbol

    def _ban(self) -> "VenueAnswer | None":
        return next((a for a in self._refusals.values() if a.status == _BANNED), None)

    async def _try(self, question: Question, ask: Callable[[], Awaitable[T]]) -> T | None:
        ban = self._ban()
        if ban is not None:
            self._refusals[question] = ban
            return None
        try:
            return await ask()
        except VenueError as error:
            self._refusals[question] = error.answer
        return None


def _rehearsal(
    snapshot: Snapshot | None, mode: PositionMode | None, rules: Mapping[str, MarketRules]
) -> CloseOrder | None:
    """Return the order to test: a position's own close, else a small one.

    A resting order or a halted symbol gets a close refused that a run would send later: the worst
    position without them is taken. None where nothing is open and the position mode is unknown: the
    order would be a guess.
    """
    positions = snapshot.positions.items if snapshot else ()
    if snapshot is not None and positions:
        busy = {order.symbol for order in snapshot.regular_orders.items}
        trading = [p for p in positions if p.symbol not in rules or _trades(rules[p.symbol])]
        free = [position for position in trading if position.symbol not in busy]
        worst = max(free or trading or positions, key=lambda position: position.notional)
        leg, side = worst.leg, worst.closing_side
        most = rules[worst.symbol].market_quantity_max if worst.symbol in rules else None
        quantity = worst.size if most is None else min(worst.size, most)
    elif mode is None:
        return None
    else:
        symbols = [rules[_USUAL_SYMBOL]] if _USUAL_SYMBOL in rules else list(rules.values())
        usual = next(filter(_trades, symbols), None)
        symbol = usual.symbol if usual else _USUAL_SYMBOL
        hedged = mode is PositionMode.HEDGE
        leg = Leg(symbol=symbol, position_side=PositionSide.LONG if hedged else PositionSide.BOTH)
        side = Side.SELL
        quantity = (usual.quantity_min if usual else None) or _USUAL_QUANTITY
    return CloseOrder(
        leg=leg,
        side=side,
        quantity=quantity,
        client_order_id=make_client_order_id("preflight", 1, part_no=1),
        type=OrderType.MARKET,
        price=None,
        reduce_only=leg.position_side is PositionSide.BOTH,
    )


def _trades(rules: MarketRules) -> bool:
    return rules.status == "TRADING"


def _not_trading(snapshot: Snapshot | None, rules: Mapping[str, MarketRules]) -> tuple[str, ...]:
    """Return the symbols with something open that the venue does not trade now, or not list."""
    if snapshot is None:
        return ()
    held = {p.symbol for p in snapshot.positions.items} | {o.symbol for o in snapshot.orders}
    return tuple(sorted(s for s in held if s not in rules or not _trades(rules[s])))
