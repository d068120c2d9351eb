"""Asks the venue everything that would stop a liquidation, while there is time to mend it.

Nothing is changed: the one order that is sent is sent to the venue's test endpoint, which never
reaches the market. Every question is bounded by itself; one without an answer stays open and is
told, it does not hide the others.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar

from liqctl.domain.account import Leg, MarketRules, PositionMode, PositionSide, Side, Snapshot
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

CALL_MAX_S: Final = 2.5
"""How long one question is waited for; four follow one another at most."""

_USUAL_SYMBOL: Final = "BTCUSDT"
_USUAL_QUANTITY: Final = Decimal("0.001")


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
        """Return what the venue told; without a key only what everybody may ask."""
        round_trip_s = await self._try(
            Question.REACHABLE, self._probe.measure_ping_s(timeout_s=CALL_MAX_S)
        )
        if round_trip_s is None:
            return VenueFacts(refusals=self._refusals, has_key=has_key)
        used_before = max(self._exchange.usage.weight_1m - self._probe.pings, -1)
        ahead_s = await self._try(Question.CLOCK, self._exchange.sync_clock(timeout_s=CALL_MAX_S))
        rules = await self._try(
            Question.SYMBOLS, self._exchange.fetch_market_rules(timeout_s=CALL_MAX_S)
        )
        public = VenueFacts(
            refusals=self._refusals,
            round_trip_s=round_trip_s,
            clock_ahead_s=ahead_s,
            has_key=has_key,
            weight_used_by_others=used_before,
        )
        return (
            await self._ask_account(public, policy, rules or {}, wall_clock) if has_key else public
        )

    async def _ask_account(
        self,
        public: VenueFacts,
        policy: LiquidationConfig,
        rules: Mapping[str, MarketRules],
        wall_clock: WallClock,
    ) -> VenueFacts:
        snapshot, mode, rights, limits, is_portfolio_margin = await asyncio.gather(
            self._read(policy, wall_clock),
            self._try(Question.MODE, self._exchange.fetch_position_mode(timeout_s=CALL_MAX_S)),
            self._try(Question.RIGHTS, self._probe.fetch_key_rights(timeout_s=CALL_MAX_S)),
            self._try(Question.LIMITS, self._probe.fetch_limits(timeout_s=CALL_MAX_S)),
            self._is_portfolio_margin(),
        )
        order = _rehearsal(snapshot, mode, rules)
        rehearsed = await self._try(Question.ORDER, self._rehearse(order))
        return VenueFacts(
            refusals=self._refusals,
            round_trip_s=public.round_trip_s,
            clock_ahead_s=public.clock_ahead_s,
            weight_used_by_others=public.weight_used_by_others,
            snapshot=snapshot,
            mode=mode,
            is_portfolio_margin=is_portfolio_margin,
            rights=rights,
            rehearsed=rehearsed,
            not_trading=_not_trading(snapshot, rules),
            limits=limits or Limits(),
        )

    async def _read(self, policy: LiquidationConfig, wall_clock: WallClock) -> Snapshot | None:
        """Return one reading, None when not even a part of it could be read."""
        loop = asyncio.get_running_loop()
        gate = Gate(
            self._exchange, timeout_s=CALL_MAX_S, started_at=loop.time(), wall_clock=wall_clock
        )
        gate.close()
        snapshot = await Reader(self._exchange, gate, policy).snapshot(policy.symbols)
        if snapshot.errors:
            self._refusals[Question.ACCOUNT] = snapshot.errors[0]
        return snapshot if snapshot.is_any_read else None

    async def _is_portfolio_margin(self) -> bool:
        try:
            return await self._exchange.is_portfolio_margin(timeout_s=CALL_MAX_S)
        except VenueError:
            return False

    async def _rehearse(self, order: CloseOrder) -> str:
        await self._probe.rehearse_order(order, timeout_s=CALL_MAX_S)
        return order.leg.symbol

    async def _try(self, question: Question, answer: Awaitable[T]) -> T | None:
        try:
            return await answer
        except VenueError as error:
            self._refusals[question] = error.answer
        return None


def _rehearsal(
    snapshot: Snapshot | None, mode: PositionMode | None, rules: Mapping[str, MarketRules]
) -> CloseOrder:
    """Return the order to test: the worst position's own close, else a small one that reduces."""
    positions = snapshot.positions.items if snapshot else ()
    if positions:
        worst = max(positions, key=lambda position: position.notional)
        leg, side, quantity = worst.leg, worst.closing_side, worst.size
    else:
        usual = rules.get(_USUAL_SYMBOL) or next(iter(rules.values()), None)
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


def _not_trading(snapshot: Snapshot | None, rules: Mapping[str, MarketRules]) -> tuple[str, ...]:
    """Return the symbols with something open that the venue does not trade now."""
    if snapshot is None:
        return ()
    held = {p.symbol for p in snapshot.positions.items} | {o.symbol for o in snapshot.orders}
    return tuple(sorted(s for s in held if s in rules and rules[s].status != "TRADING"))
