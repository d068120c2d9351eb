"""How each leg, each order and the run ended: counted from records, never assumed."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from liqctl.kernel.amounts import rounded
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.ledger import LegRecord, OrderRecord
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import (
    ErrorReport,
    OrderReport,
    PositionReport,
    Residual,
    ResidualOrder,
    ResidualPosition,
)
from liqctl.kernel.states import LiquidationState, OrderState, PositionState
from liqctl.kernel.values import Leg, Position
from liqctl.kernel.verify import Verdict

_NOT_REACHED = VenueAnswer(
    kind=AnswerKind.TRANSIENT, message="the run ended before this could be done"
)
_NO_ANSWER = VenueAnswer(kind=AnswerKind.UNKNOWN, message="the venue never answered")


def report_position(
    record: LegRecord, policy: LiquidationConfig, prices: Mapping[str, Decimal]
) -> PositionReport:
    """Return what became of one leg."""
    state, remaining = _position_end(record, policy)
    error = record.error
    if state in {PositionState.FAILED, PositionState.PARTIAL} and error is None:
        error = _NOT_REACHED
    if state is PositionState.UNKNOWN and error is None:
        error = _NO_ANSWER
    if state in {PositionState.CLOSED, PositionState.SKIPPED}:
        error = None
    return PositionReport(
        symbol=record.leg.symbol,
        position_side=record.leg.position_side,
        side=record.first.direction,
        quantity=record.first.size,
        notional=record.first.notional,
        state=state,
        remaining=remaining,
        average_price=average_price(record, prices),
        attempts=record.attempts,
        orders=record.sent,
        error=ErrorReport.of(error) if error else None,
    )


def _position_end(
    record: LegRecord, policy: LiquidationConfig
) -> tuple[PositionState, Decimal | None]:
    if not policy.close_positions:
        return PositionState.SKIPPED, record.current.size if record.current else Decimal(0)
    was_read = record.seen_at >= record.settled_at and not record.in_flight
    if was_read and not record.unresolved and record.expected is None:
        return _read_end(record)
    if record.unresolved:
        return _read_end(record) if was_read else (PositionState.UNKNOWN, None)
    if record.expected is not None:
        remaining = abs(record.expected)
        if remaining == 0:
            return PositionState.CLOSED, remaining
        return PositionState.PARTIAL, remaining
    return _read_end(record)


def _read_end(record: LegRecord) -> tuple[PositionState, Decimal]:
    """Return the end as the last reading showed it."""
    if record.current is None:
        return PositionState.CLOSED, Decimal(0)
    remaining = record.current.size
    shrunk = remaining < record.first.size or record.executed > 0 or record.closed_before
    return (PositionState.PARTIAL if shrunk else PositionState.FAILED), remaining


def average_price(record: LegRecord, prices: Mapping[str, Decimal]) -> Decimal | None:
    """Return the quantity-weighted price of our executed orders, None unless all are known."""
    executed = [order for order in record.sent if order.executed > 0]
    if not executed or any(order.client_order_id not in prices for order in executed):
        return None
    total = sum((order.executed for order in executed), Decimal(0))
    if len(executed) == 1:
        return prices[executed[0].client_order_id]
    paid = sum((prices[o.client_order_id] * o.executed for o in executed), Decimal(0))
    return rounded(paid / total, Decimal("0.00000001")).normalize()


def report_order(record: OrderRecord, policy: LiquidationConfig, *, leg_open: bool) -> OrderReport:
    """Return what became of one order of others. `leg_open`: its leg was still open at the end."""
    order = record.order
    state = _order_end(record, policy, leg_open=leg_open)
    error = record.error
    if state is OrderState.FAILED and error is None:
        error = _NOT_REACHED
    if state is OrderState.UNKNOWN and error is None:
        error = _NO_ANSWER
    if state not in {OrderState.FAILED, OrderState.UNKNOWN}:
        error = None
    return OrderReport(
        symbol=order.symbol,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        kind=order.kind,
        type=order.type,
        side=order.side,
        position_side=order.position_side,
        trigger_price=order.trigger_price,
        protective=record.protective,
        state=state,
        error=ErrorReport.of(error) if error else None,
    )


def _order_end(record: OrderRecord, policy: LiquidationConfig, *, leg_open: bool) -> OrderState:
    if not policy.cancel_orders:
        return OrderState.SKIPPED
    if not record.present:
        return OrderState.GONE if record.gone else OrderState.CANCELLED
    read_after = record.cancelled_at is None or record.seen_at >= record.cancelled_at
    if not read_after:
        return OrderState.CANCELLED
    if record.protective and leg_open and not record.cancel_sent:
        return OrderState.KEPT
    if record.cancel_sent and record.cancelled_at is None and record.error is None:
        return OrderState.UNKNOWN
    return OrderState.FAILED


def residual_of(verdict: Verdict | None, *, readable: bool) -> Residual | None:
    """Return what the last reading showed still open; None when no reading succeeded."""
    if verdict is None or not readable:
        return None
    return Residual(
        positions=tuple(
            ResidualPosition(
                symbol=position.symbol,
                position_side=position.leg.position_side,
                quantity=position.quantity,
                notional=position.notional,
            )
            for position in verdict.positions
        ),
        orders=tuple(
            ResidualOrder(
                symbol=order.symbol,
                order_id=order.order_id,
                client_order_id=order.client_order_id,
                kind=order.kind,
                type=order.type,
                side=order.side,
                trigger_price=order.trigger_price,
            )
            for order in verdict.orders
        ),
    )


def end_state(
    *,
    verified_flat: bool,
    positions: Iterable[PositionReport],
    orders: Iterable[OrderReport],
) -> LiquidationState:
    """Return COMPLETED when flat was proven, PARTIAL when some work was, else FAILED."""
    if verified_flat:
        return LiquidationState.COMPLETED
    proven = any(
        position.state in {PositionState.CLOSED, PositionState.PARTIAL}
        and (position.attempts > 0 or position.state is PositionState.CLOSED)
        for position in positions
    ) or any(order.state is OrderState.CANCELLED for order in orders)
    return LiquidationState.PARTIAL if proven else LiquidationState.FAILED


def open_legs(records: Mapping[Leg, LegRecord]) -> dict[Leg, Position]:
    """Return the legs believed open."""
    return {leg: record.current for leg, record in records.items() if record.current is not None}
