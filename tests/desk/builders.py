"""Results and readings for screens, small enough to be checked by eye."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from liqctl.kernel.answers import no_answer
from liqctl.kernel.ledger import first_seen
from liqctl.kernel.plan import Memory, Plan, make_plan
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import Verdict
from liqctl.kernel.result import (
    ErrorReport,
    LiquidationResult,
    OrderReport,
    PositionReport,
    Residual,
)
from liqctl.kernel.states import LiquidationState, OrderState, PositionState
from liqctl.kernel.values import (
    Leg,
    OpenOrder,
    OrderKind,
    Position,
    PositionSide,
    Reading,
    Side,
    Snapshot,
)
from liqctl.run.inspection import Inspection

POLICY = LiquidationConfig()
MOMENT = datetime(2026, 1, 2, 10, 30, tzinfo=UTC)


def make_position(symbol: str = "BTCUSDT", **changes: Any) -> PositionReport:
    """Return a closed long of half a bitcoin, or what the changes make of it."""
    values: dict[str, Any] = {
        "symbol": symbol,
        "position_side": PositionSide.BOTH,
        "side": PositionSide.LONG,
        "quantity": Decimal("0.500"),
        "notional": Decimal("25000.0"),
        "state": PositionState.CLOSED,
        "remaining": Decimal(0),
        "average_price": Decimal("50000.0"),
        "attempts": 1,
    }
    return PositionReport(**(values | changes))


def make_order(state: OrderState) -> OrderReport:
    """Return a resting limit order that ended in a state."""
    return OrderReport(
        symbol="BTCUSDT",
        order_id="8389765512345678",
        kind=OrderKind.REGULAR,
        type="LIMIT",
        side=Side.SELL,
        protective=False,
        state=state,
    )


def make_result(state: LiquidationState, **changes: Any) -> LiquidationResult:
    """Return a result in a state, with nothing found unless the changes say so."""
    values: dict[str, Any] = {
        "correlation_id": "liq_20260102_103000_abc123",
        "environment": "production",
        "state": state,
        "started_at": MOMENT,
        "finished_at": MOMENT,
        "duration_seconds": 0.84,
        "timeout_seconds": 5.0,
        "verified_flat": state is LiquidationState.COMPLETED,
        "settled_seconds": 2.04 if state is LiquidationState.COMPLETED else 0.0,
        "residual": Residual(),
        "requests": 12,
        "audit_head": "a" * 64,
    }
    return LiquidationResult(**(values | changes))


def make_partial(
    message: str = "the symbol is closed for trading", **changes: Any
) -> LiquidationResult:
    """Return a run that closed one of two positions and kept the other's stop."""
    return make_result(
        LiquidationState.PARTIAL,
        error_message="1 of 2 positions is or may be open",
        positions=(
            make_position(),
            make_position(
                "ETHUSDT",
                state=PositionState.FAILED,
                remaining=Decimal("0.5"),
                average_price=None,
                error=ErrorReport(code=-4141, message=message, retryable=False),
            ),
        ),
        orders=(
            OrderReport(
                symbol="ETHUSDT",
                order_id="8389765512345678",
                kind=OrderKind.ALGO,
                type="STOP_MARKET",
                side=Side.SELL,
                protective=True,
                state=OrderState.KEPT,
            ),
        ),
        residual=Residual(
            positions=(
                Position(
                    leg=Leg(symbol="ETHUSDT", position_side=PositionSide.BOTH),
                    quantity=Decimal("0.5"),
                    notional=Decimal("1700.0"),
                ),
            )
        ),
        **changes,
    )


def inspected(snapshot: Snapshot, plan: Plan, refusal: str | None = None) -> Inspection:
    """Return an inspection that reads this, or says why it could not."""
    verdict = Verdict(
        positions=snapshot.positions.items,
        orders=snapshot.orders,
        kept=(),
        evidence=(),
        failed=(),
        unread=(),
    )
    answer = no_answer(refusal) if refusal else None
    return Inspection(snapshot=snapshot, verdict=verdict, plan=plan, refusal=answer)


def make_look(refusal: str | None = None) -> Inspection:
    """Return two positions and one resting order, the smaller position first."""
    positions = (
        Position(
            leg=Leg(symbol="ETHUSDT", position_side=PositionSide.BOTH),
            quantity=Decimal(-2),
            notional=Decimal(6000),
            unrealized_pnl=Decimal("-12.5"),
        ),
        Position(
            leg=Leg(symbol="BTCUSDT", position_side=PositionSide.BOTH),
            quantity=Decimal("0.5"),
            notional=Decimal(25000),
            unrealized_pnl=Decimal(100),
        ),
    )
    order = OpenOrder(
        symbol="BTCUSDT",
        position_side=PositionSide.BOTH,
        kind=OrderKind.REGULAR,
        order_id="1",
        type="LIMIT",
        side=Side.BUY,
        quantity=Decimal(1),
    )
    snapshot = Snapshot(
        positions=Reading(items=positions),
        regular_orders=Reading(items=(order,)),
        algo_orders=Reading(),
        started_at=0.0,
        finished_at=0.1,
    )
    memory = Memory(
        legs={position.leg: first_seen(position, 0.0) for position in positions},
        orders={},
        rules={},
        marks={},
    )
    return inspected(snapshot, make_plan(snapshot, memory, POLICY), refusal)
