"""Looking without touching: what is open now, and what a liquidation would do about it."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from liqctl.domain.account import OrderKind, Snapshot
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.endpoints import Endpoint
from liqctl.domain.errors import VenueError
from liqctl.domain.result import LiquidationResult, OrderReport, PositionReport
from liqctl.domain.states import FailureCause, LiquidationState, OrderState, PositionState
from liqctl.engine.gate import Gate
from liqctl.engine.reading import Reader
from liqctl.planning.explain import explain_refusal
from liqctl.planning.ledger import first_seen
from liqctl.planning.outcome import residual_of
from liqctl.planning.plan import Memory, Plan, make_plan
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.protection import is_protective
from liqctl.planning.verify import Verdict, verify
from liqctl.ports import Exchange, WallClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One reading and what follows from it.

    `refusal` is why nothing, or not everything, could be read; `plan` is what a liquidation would
    send first. `unknown_symbols` are symbols in scope that the venue does not list.
    """

    snapshot: Snapshot
    verdict: Verdict
    plan: Plan
    refusal: VenueAnswer | None
    unknown_symbols: tuple[str, ...] = ()
    is_portfolio_margin: bool = False
    reading_s: float = 0.0

    @property
    def is_readable(self) -> bool:
        """Whether everything in scope was read."""
        return self.verdict.is_readable

    def why_unreadable(self) -> str | None:
        """Return why the account, or part of it, could not be read."""
        if self.is_portfolio_margin:
            return "this account is in portfolio margin: its positions do not show here"
        if self.refusal is None:
            return None
        if self.refusal.kind in {AnswerKind.RUN_FATAL, AnswerKind.PAUSE}:
            return explain_refusal(self.refusal)
        return self.refusal.describe()


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
    limit_s = timeout_s or policy.timeout_seconds
    snapshot, gate = await _read(exchange, policy, wall_clock, limit_s)
    return _inspection(
        snapshot,
        policy,
        unknown_symbols=await find_unknown_symbols(exchange, gate, policy, snapshot),
        is_portfolio_margin=_is_empty(snapshot) and await find_portfolio_margin(exchange, gate),
    )


async def inspect_again(
    exchange: Exchange, policy: LiquidationConfig, before: Inspection, *, wall_clock: WallClock
) -> Inspection:
    """Return another reading of the account; what does not change is not asked for again."""
    limit_s = policy.timeout_seconds
    snapshot, gate = await _read(exchange, policy, wall_clock, limit_s)
    is_portfolio_margin = before.is_portfolio_margin
    if not _is_empty(before.snapshot):
        is_portfolio_margin = _is_empty(snapshot) and await find_portfolio_margin(exchange, gate)
    return _inspection(
        snapshot,
        policy,
        unknown_symbols=before.unknown_symbols,
        is_portfolio_margin=is_portfolio_margin and _is_empty(snapshot),
    )


async def _read(
    exchange: Exchange, policy: LiquidationConfig, wall_clock: WallClock, timeout_s: float
) -> tuple[Snapshot, Gate]:
    loop = asyncio.get_running_loop()
    gate = Gate(
        exchange,
        timeout_s=timeout_s,
        started_at=loop.time(),
        wall_clock=wall_clock,
    )
    gate.close()
    return await Reader(exchange, gate, policy).snapshot(policy.symbols), gate


def _is_empty(snapshot: Snapshot) -> bool:
    """Return whether everything was read and nothing is open."""
    return not (snapshot.errors or snapshot.positions.items or snapshot.orders)


def _inspection(
    snapshot: Snapshot,
    policy: LiquidationConfig,
    *,
    unknown_symbols: tuple[str, ...],
    is_portfolio_margin: bool,
) -> Inspection:
    legs = {
        position.leg: first_seen(position, snapshot.started_at)
        for position in snapshot.positions.items
    }
    memory = Memory(legs=legs, orders={}, rules={}, marks={}, now=snapshot.finished_at)
    errors = snapshot.errors
    return Inspection(
        snapshot=snapshot,
        verdict=verify(snapshot, policy),
        plan=make_plan(snapshot, memory, policy),
        refusal=errors[0] if errors else None,
        unknown_symbols=unknown_symbols,
        is_portfolio_margin=is_portfolio_margin,
        reading_s=snapshot.finished_at - snapshot.started_at,
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


async def find_portfolio_margin(exchange: Exchange, gate: Gate) -> bool:
    """Return whether an account that looks empty is one in portfolio margin."""
    try:
        return await gate.read(
            Endpoint.PORTFOLIO_MARGIN, lambda s: exchange.is_portfolio_margin(timeout_s=s)
        )
    except VenueError:
        return False


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
    is_seen_flat = inspection.verdict.is_flat and not inspection.is_portfolio_margin
    if inspection.unknown_symbols:
        state, cause = LiquidationState.FAILED, FailureCause.USAGE
        message = f"the venue does not know {', '.join(inspection.unknown_symbols)}"
    elif inspection.refusal is not None or inspection.is_portfolio_margin:
        state = LiquidationState.FAILED
        if inspection.refusal and inspection.refusal.kind is AnswerKind.RUN_FATAL:
            cause = FailureCause.CREDENTIALS
    return LiquidationResult(
        correlation_id=correlation_id,
        environment=environment,
        state=state,
        error_message=message,
        dry_run=True,
        verified_flat=is_seen_flat and policy.emergency_liquidation,
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
    )
