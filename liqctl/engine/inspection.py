"""Looking without touching: what is open now, and what a liquidation would do about it."""

import asyncio
import contextlib
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from liqctl.domain.account import OpenOrder, OrderKind, Snapshot
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.endpoints import Endpoint
from liqctl.domain.errors import VenueError
from liqctl.domain.result import LiquidationResult, OrderReport, PositionReport
from liqctl.domain.states import FailureCause, LiquidationState, OrderState, PositionState
from liqctl.engine.gate import Gate
from liqctl.engine.reading import Reader
from liqctl.planning.explain import explain_contradiction, explain_refusal
from liqctl.planning.ledger import first_seen
from liqctl.planning.outcome import residual_of
from liqctl.planning.plan import Memory, Plan, make_plan
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.protection import is_protective, reduces_only
from liqctl.planning.verify import Verdict, verify
from liqctl.ports import Exchange, WallClock

POSITION_SOURCES: Final = ("positionRisk", "account")
"""The two lists that show positions, as `unread` names them."""

_READINGS_MIN: Final = 3
_READINGS_MAX: Final = 12
"""Readings of one watch: at least as many as prove flat where one of the two sources is silent; at
most 1,080 weight of the 2,400 a minute, whatever its length."""

_READINGS_APART_S: Final = 0.5
_FUTILE: Final = frozenset({AnswerKind.RUN_FATAL, AnswerKind.PAUSE})
"""Asking on after these is what gets a key or an address banned."""

_MARGIN_ASKED_MAX: Final = 2
"""One lost answer is common enough to ask once more; a second one is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One reading and what follows from it.

    Positions are those of both sources. `refusal` is why nothing, or not everything, could be read;
    `silent` names the sources of positions that did not answer, `silence` tells why. `plan` is what
    a liquidation would send first. `unknown_symbols` are symbols in scope that the venue does not
    list. `contradictions` are orders that can only reduce, on legs that read flat.
    `is_portfolio_margin` is None where nothing is listed and the question was not answered.
    `settled_s` is how long flat was watched when it is proven, else 0.
    """

    snapshot: Snapshot
    verdict: Verdict
    plan: Plan
    refusal: VenueAnswer | None
    silent: tuple[str, ...] = ()
    silence: VenueAnswer | None = None
    unknown_symbols: tuple[str, ...] = ()
    contradictions: tuple[OpenOrder, ...] = ()
    is_portfolio_margin: bool | None = False
    is_proven: bool = False
    settled_s: float = 0.0

    @property
    def shows_nothing(self) -> bool:
        """Whether nothing in scope is listed and everything was read, positions by one source."""
        is_standard = self.is_portfolio_margin is False
        return is_standard and self.verdict.is_flat and not self.contradictions

    @property
    def is_flat(self) -> bool:
        """Whether this reading shows the account flat: one silent source leaves it unknown."""
        return self.is_proven or (self.shows_nothing and not self.silent)

    @property
    def is_doubtful(self) -> bool:
        """Whether nothing is listed and that proves nothing."""
        seen = self.verdict.positions or self.verdict.orders
        return not (seen or self.is_flat)

    def why_unreadable(self) -> str | None:
        """Return why the account, or part of it, could not be read."""
        if self.is_portfolio_margin:
            return "this account is in portfolio margin: its positions do not show here"
        if self.refusal is not None:
            if self.refusal.kind in _FUTILE:
                return explain_refusal(self.refusal)
            return self.refusal.describe()
        if not self.is_doubtful:
            return None
        why = f" ({self.silence.describe()})" if self.silence else ""
        if self.is_portfolio_margin is None:
            return (
                "nothing is listed, and whether this account is in portfolio margin, where "
                f"positions do not show here, was not answered{why}"
            )
        if self.silent:
            return (
                f"nothing is listed, but {' and '.join(self.silent)} did not answer{why}: one "
                "source alone does not show that the account is flat"
            )
        return None


async def inspect_account(
    exchange: Exchange,
    policy: LiquidationConfig,
    *,
    wall_clock: WallClock,
    timeout_s: float | None = None,
) -> Inspection:
    """Return one reading of the account; sends no write.

    It is taken within `timeout_s`, the policy's timeout when None.
    """
    looked = await _look(exchange, policy, wall_clock, timeout_s or policy.timeout_seconds)
    unknown = await find_unknown_symbols(exchange, looked.gate, policy, looked.snapshot)
    return await _inspection(exchange, policy, looked, known_margin=None, unknown_symbols=unknown)


async def inspect_again(
    exchange: Exchange, policy: LiquidationConfig, before: Inspection, *, wall_clock: WallClock
) -> Inspection:
    """Return another reading of the account; what does not change is not asked for again."""
    looked = await _look(exchange, policy, wall_clock, policy.timeout_seconds)
    # While something is listed the question is not asked, and False only means that.
    was_asked = _is_empty(before.snapshot)
    return await _inspection(
        exchange,
        policy,
        looked,
        known_margin=before.is_portfolio_margin if was_asked else None,
        unknown_symbols=before.unknown_symbols,
    )


async def inspect_settled(
    exchange: Exchange, policy: LiquidationConfig, *, wall_clock: WallClock, settle_s: float
) -> Inspection:
    """Return the last of several readings over `settle_s`; flat is proven if all show nothing.

    Ends at the first reading that shows something. The last one begins at least `settle_s` after
    the first, and is confirmed by the second source; where one of the two is silent, three readings
    of the other are needed. A venue that does not answer is waited for as long as one reading may
    take, then it is not proven.
    """
    loop = asyncio.get_running_loop()
    now = await inspect_account(exchange, policy, wall_clock=wall_clock)
    began_at = now.snapshot.started_at
    wished = math.ceil(settle_s / _READINGS_APART_S) + 1
    # A millisecond more: rounding down would cost one more reading at the end.
    gap_s = settle_s / (min(max(wished, _READINGS_MIN), _READINGS_MAX) - 1) + 0.001
    give_up_at = began_at + settle_s + policy.timeout_seconds
    empty = 0
    while True:
        if now.verdict.positions or now.verdict.orders or now.is_portfolio_margin:
            return now
        if now.refusal is not None and now.refusal.kind in _FUTILE:
            return now
        empty += now.shows_nothing
        watched_s = now.snapshot.started_at - began_at
        is_over = watched_s >= settle_s and empty >= _READINGS_MIN
        if is_over and now.shows_nothing:
            return replace(now, is_proven=True, settled_s=watched_s)
        next_at = max(now.snapshot.started_at + gap_s, loop.time())
        if next_at >= give_up_at:
            return now
        await asyncio.sleep(next_at - loop.time())
        now = await inspect_again(exchange, policy, now, wall_clock=wall_clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What one look gave: both sources of positions, both books, and the gate it went through."""

    snapshot: Snapshot
    gate: Gate
    silent: tuple[str, ...]
    silence: VenueAnswer | None


async def _look(
    exchange: Exchange, policy: LiquidationConfig, wall_clock: WallClock, timeout_s: float
) -> _Looked:
    loop = asyncio.get_running_loop()
    gate = Gate(
        exchange,
        timeout_s=timeout_s,
        started_at=loop.time(),
        wall_clock=wall_clock,
    )
    gate.close()
    reader = Reader(exchange, gate, policy)
    snapshot, second = await asyncio.gather(reader.snapshot(policy.symbols), reader.second_source())
    errors = dict(zip(POSITION_SOURCES, (reader.first_error, second.error), strict=True))
    if second.complete:
        # A leg that only one of the two lists is open: lists lag in both directions.
        listed = {position.leg for position in snapshot.positions.items}
        more = tuple(p for p in second.items if p.leg not in listed and policy.covers(p.symbol))
        positions = replace(snapshot.positions, items=snapshot.positions.items + more)
        snapshot = replace(snapshot, positions=positions)
    silent = tuple(name for name, error in errors.items() if error is not None)
    silence = next((error for error in errors.values() if error is not None), None)
    return _Looked(snapshot=snapshot, gate=gate, silent=silent, silence=silence)


def _is_empty(snapshot: Snapshot) -> bool:
    """Return whether everything was read and nothing is open."""
    return not (snapshot.errors or snapshot.positions.items or snapshot.orders)


async def _inspection(
    exchange: Exchange,
    policy: LiquidationConfig,
    looked: _Looked,
    *,
    known_margin: bool | None,
    unknown_symbols: tuple[str, ...],
) -> Inspection:
    """Return what follows from a look; `known_margin` is an answer that was given before."""
    snapshot = looked.snapshot
    margin: bool | None = False
    if _is_empty(snapshot):
        margin = known_margin
        if margin is None:
            margin = await ask_portfolio_margin(exchange, looked.gate)
    legs = {
        position.leg: first_seen(position, snapshot.started_at)
        for position in snapshot.positions.items
    }
    memory = Memory(legs=legs, orders={}, rules={}, marks={}, now=snapshot.finished_at)
    errors = snapshot.errors
    verdict = verify(snapshot, policy)
    is_read = snapshot.positions.complete
    return Inspection(
        snapshot=snapshot,
        verdict=verdict,
        plan=make_plan(snapshot, memory, policy),
        refusal=errors[0] if errors else None,
        silent=looked.silent,
        silence=looked.silence,
        unknown_symbols=unknown_symbols,
        contradictions=tuple(
            order
            for order in snapshot.orders
            if is_read
            and policy.covers(order.symbol)
            and order.leg not in legs
            and reduces_only(order)
        ),
        is_portfolio_margin=margin,
    )


async def find_unknown_symbols(
    exchange: Exchange, gate: Gate, policy: LiquidationConfig, snapshot: Snapshot
) -> tuple[str, ...]:
    """Return the symbols in scope that the venue does not list; one with something open it does."""
    seen = {p.symbol for p in snapshot.positions.items} | {o.symbol for o in snapshot.orders}
    unseen = [symbol for symbol in policy.symbols if symbol not in seen]
    if not unseen:
        return ()
    try:
        rules = await gate.read(
            Endpoint.EXCHANGE_INFO, lambda s: exchange.fetch_market_rules(timeout_s=s)
        )
    except VenueError:
        return ()
    return tuple(symbol for symbol in unseen if symbol not in rules)


async def ask_portfolio_margin(exchange: Exchange, gate: Gate) -> bool | None:
    """Return whether an account that looks empty is in portfolio margin; None without an answer."""
    for _ in range(_MARGIN_ASKED_MAX):
        with contextlib.suppress(VenueError):
            return await gate.read(
                Endpoint.PORTFOLIO_MARGIN, lambda s: exchange.is_portfolio_margin(timeout_s=s)
            )
    return None


async def find_portfolio_margin(exchange: Exchange, gate: Gate) -> bool:
    """Return whether an account that looks empty is surely in portfolio margin."""
    return await ask_portfolio_margin(exchange, gate) is True


def dry_run_result(
    inspection: Inspection,
    policy: LiquidationConfig,
    *,
    correlation_id: str,
    environment: str,
    started_at: datetime,
    finished_at: datetime,
    requests: int,
) -> LiquidationResult:
    """Return the result of a rehearsal: everything found, nothing sent."""
    snapshot = inspection.snapshot
    positions = tuple(p for p in snapshot.positions.items if policy.covers(p.symbol))
    orders = tuple(o for o in snapshot.orders if policy.covers(o.symbol))
    by_leg = {position.leg: position for position in positions}
    state, cause, message = LiquidationState.SKIPPED, FailureCause.NONE, inspection.why_unreadable()
    if inspection.unknown_symbols:
        state, cause = LiquidationState.FAILED, FailureCause.USAGE
        message = f"the venue does not know {', '.join(inspection.unknown_symbols)}"
    elif message is not None:
        state = LiquidationState.FAILED
        if inspection.refusal and inspection.refusal.kind is AnswerKind.RUN_FATAL:
            cause = FailureCause.CREDENTIALS
    return LiquidationResult(
        correlation_id=correlation_id,
        environment=environment,
        state=state,
        error_message=message,
        dry_run=True,
        verified_flat=inspection.is_flat and policy.emergency_liquidation,
        started_at=started_at,
        finished_at=finished_at,
        duration_seconds=(finished_at - started_at).total_seconds(),
        timeout_seconds=policy.timeout_seconds,
        positions=tuple(
            PositionReport(
                symbol=p.symbol,
                position_side=p.leg.position_side,
                side=p.direction,
                quantity=p.size,
                notional=p.notional,
                state=PositionState.SKIPPED,
                remaining=p.size,
            )
            for p in sorted(positions, key=lambda p: (-p.notional, p.leg))
        ),
        orders=tuple(
            OrderReport(
                symbol=o.symbol,
                order_id=o.order_id,
                client_order_id=o.client_order_id,
                kind=o.kind,
                type=o.type,
                side=o.side,
                position_side=o.position_side,
                trigger_price=o.trigger_price,
                protective=o.kind is OrderKind.ALGO and is_protective(o, by_leg),
                state=OrderState.SKIPPED,
            )
            for o in orders
        ),
        residual=residual_of(inspection.verdict, readable=snapshot.is_any_read),
        requests=requests,
        cause=cause,
        unread=inspection.silent,
        notes=tuple(map(explain_contradiction, inspection.contradictions)),
    )
