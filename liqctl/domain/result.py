"""How a run ended: the result that `liquidate --json` prints."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from liqctl.domain.account import OrderKind, PositionSide, Side
from liqctl.domain.amounts import plain
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.commands import OrderStatus
from liqctl.domain.states import ExitCode, FailureCause, LiquidationState, OrderState, PositionState
from liqctl.domain.times import rfc3339

RESULT_SCHEMA = "liqctl.result/1"
ALREADY_IN_PROGRESS = "Liquidation already in progress"
_POSITIONS = "positions"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReport:
    """Why a position or order is not done."""

    code: int | None
    message: str
    retryable: bool

    @classmethod
    def of(cls, answer: VenueAnswer) -> "ErrorReport":
        """Return the report of a venue's answer."""
        retryable = answer.kind in {AnswerKind.TRANSIENT, AnswerKind.UNKNOWN, AnswerKind.PAUSE}
        return cls(code=answer.code, message=answer.message, retryable=retryable)

    def as_json(self) -> dict[str, object]:
        """Return the JSON object of the contract."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


class SentOrder(NamedTuple):
    """One order of ours, as far as it is known. `order_id` is None when no answer named it."""

    client_order_id: str
    order_id: str | None
    quantity: Decimal
    executed: Decimal
    status: OrderStatus | None

    def as_json(self) -> dict[str, object]:
        """Return the JSON object of the contract; status UNKNOWN when no answer came."""
        return {
            "client_order_id": self.client_order_id,
            "order_id": self.order_id,
            "quantity": plain(self.quantity),
            "executed": plain(self.executed),
            "status": self.status.value if self.status else "UNKNOWN",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionReport:
    """What became of one leg. `quantity` and `remaining` are absolute."""

    symbol: str
    position_side: PositionSide
    side: PositionSide
    quantity: Decimal
    notional: Decimal
    state: PositionState
    remaining: Decimal | None
    average_price: Decimal | None = None
    attempts: int = 0
    orders: tuple[SentOrder, ...] = ()
    error: ErrorReport | None = None

    def as_json(self) -> dict[str, object]:
        """Return the JSON object of the contract."""
        return {
            "symbol": self.symbol,
            "position_side": self.position_side.value,
            "side": self.side.value,
            "quantity": plain(self.quantity),
            "notional": plain(self.notional),
            "state": self.state.value,
            "remaining": _plain_or_none(self.remaining),
            "average_price": _plain_or_none(self.average_price),
            "attempts": self.attempts,
            "orders": [order.as_json() for order in self.orders],
            "error": self.error.as_json() if self.error else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """What became of one order of others."""

    symbol: str
    order_id: str
    kind: OrderKind
    type: str
    side: Side | None
    protective: bool
    state: OrderState
    position_side: PositionSide = PositionSide.BOTH
    trigger_price: Decimal | None = None
    client_order_id: str = ""
    error: ErrorReport | None = None

    def as_json(self) -> dict[str, object]:
        """Return the JSON object of the contract."""
        return {
            "symbol": self.symbol,
            "order_id": self.order_id,
            "client_order_id": self.client_order_id,
            "kind": self.kind.value,
            "type": self.type,
            "side": self.side.value if self.side else None,
            "position_side": self.position_side.value,
            "trigger_price": _plain_or_none(self.trigger_price),
            "protective": self.protective,
            "state": self.state.value,
            "error": self.error.as_json() if self.error else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualPosition:
    """A position that the last reading still showed."""

    symbol: str
    position_side: PositionSide
    quantity: Decimal
    notional: Decimal

    def as_json(self) -> dict[str, object]:
        """Return the JSON object; the quantity is signed, as the venue wrote it."""
        return {
            "symbol": self.symbol,
            "position_side": self.position_side.value,
            "quantity": plain(self.quantity),
            "notional": plain(self.notional),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualOrder:
    """An order that the last reading still showed."""

    symbol: str
    order_id: str
    client_order_id: str
    kind: OrderKind
    type: str
    side: Side | None
    trigger_price: Decimal | None = None

    def as_json(self) -> dict[str, object]:
        """Return the JSON object."""
        return {
            "symbol": self.symbol,
            "order_id": self.order_id,
            "client_order_id": self.client_order_id,
            "kind": self.kind.value,
            "type": self.type,
            "side": self.side.value if self.side else None,
            "trigger_price": _plain_or_none(self.trigger_price),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """What the last reading showed still open, in scope."""

    positions: tuple[ResidualPosition, ...] = ()
    orders: tuple[ResidualOrder, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the JSON object of the contract."""
        return {
            "positions": [position.as_json() for position in self.positions],
            "orders": [order.as_json() for order in self.orders],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationResult:
    """The end of one run; every number is counted from what was read and answered.

    `residual` is None when no reading succeeded. `time_spent_s` splits the duration by what the
    run waited for (`reading`, `cancelling`, `closing`, `waiting`). `notes` are sentences for the
    operator, worst first. `settled_seconds` is how long flat was watched up to the last reading, 0
    where flat was not seen. `unread` names the sources in scope that never answered. `never_read`
    names the lists (`positions`, `regular orders`, `conditional orders`) that no reading showed in
    full: what is counted in them is None, as it is without a `residual`, unless some were seen.
    """

    correlation_id: str
    environment: str
    state: LiquidationState
    started_at: datetime
    finished_at: datetime
    duration_seconds: float
    timeout_seconds: float
    error_message: str | None = None
    dry_run: bool = False
    verified_flat: bool = False
    deadline_exceeded: bool = False
    settled_seconds: float = 0.0
    unread: tuple[str, ...] = ()
    never_read: frozenset[str] = frozenset()
    positions: tuple[PositionReport, ...] = ()
    orders: tuple[OrderReport, ...] = ()
    residual: Residual | None = None
    requests: int = 0
    retries: int = 0
    audit_complete: bool = True
    audit_head: str | None = None
    cause: FailureCause = FailureCause.NONE
    notes: tuple[str, ...] = ()
    time_spent_s: dict[str, float] = field(default_factory=dict)

    def count_positions(self, *states: PositionState) -> int:
        """Return how many positions ended in one of the states."""
        return sum(position.state in states for position in self.positions)

    def count_orders(self, *states: OrderState) -> int:
        """Return how many orders ended in one of the states."""
        return sum(order.state in states for order in self.orders)

    @property
    def positions_found(self) -> int | None:
        """How many positions were ever read; None where no reading showed them."""
        is_read = self.residual is not None and _POSITIONS not in self.never_read
        return len(self.positions) if self.positions or is_read else None

    @property
    def positions_closed(self) -> int | None:
        """How many positions are proven closed; None where none could be found."""
        if self.positions_found is None:
            return None
        return self.count_positions(PositionState.CLOSED)

    @property
    def positions_failed(self) -> int | None:
        """How many positions are or may be open; None where none could be found."""
        if self.positions_found is None:
            return None
        return self.count_positions(
            PositionState.PARTIAL, PositionState.FAILED, PositionState.UNKNOWN
        )

    @property
    def orders_found(self) -> int | None:
        """How many orders were ever read; None where no reading showed both books."""
        is_read = self.residual is not None and self.never_read <= {_POSITIONS}
        return len(self.orders) if self.orders or is_read else None

    @property
    def orders_cancelled(self) -> int | None:
        """How many orders are proven cancelled by us; None where none could be found."""
        if self.orders_found is None:
            return None
        return self.count_orders(OrderState.CANCELLED)

    @property
    def orders_failed(self) -> int | None:
        """How many orders are or may be open against our will; None where none could be found."""
        if self.orders_found is None:
            return None
        return self.count_orders(OrderState.FAILED, OrderState.UNKNOWN)

    @property
    def flat_after_seconds(self) -> float:
        """When flat was seen for good, or the end where it never was; the proof comes later."""
        return max(self.duration_seconds - self.settled_seconds, 0.0)

    def exit_code(self) -> ExitCode:
        """Return the process exit code of this result, signals aside."""
        match self.cause:
            case FailureCause.BLOCKED:
                return ExitCode.IN_PROGRESS
            case FailureCause.CONFIGURATION:
                return ExitCode.CONFIGURATION
            case FailureCause.NOT_CONFIRMED:
                return ExitCode.NOT_CONFIRMED
            case FailureCause.USAGE:
                return ExitCode.USAGE
            case FailureCause.CREDENTIALS if self.state is LiquidationState.FAILED:
                return ExitCode.CREDENTIALS
            case _:
                pass
        match self.state:
            case LiquidationState.COMPLETED | LiquidationState.SKIPPED:
                return ExitCode.DONE if self.audit_complete else ExitCode.AUDIT_INCOMPLETE
            case LiquidationState.PARTIAL:
                return ExitCode.PARTIAL
            case _:
                return ExitCode.FAILED

    def as_json(self) -> dict[str, object]:
        """Return the JSON document of the contract."""
        return {
            "schema": RESULT_SCHEMA,
            "correlation_id": self.correlation_id,
            "environment": self.environment,
            "state": self.state.value,
            "error_message": self.error_message,
            "dry_run": self.dry_run,
            "verified_flat": self.verified_flat,
            "deadline_exceeded": self.deadline_exceeded,
            "settled_seconds": round(self.settled_seconds, 6),
            "unread": list(self.unread),
            "started_at": rfc3339(self.started_at),
            "finished_at": rfc3339(self.finished_at),
            "duration_seconds": round(self.duration_seconds, 6),
            "timeout_seconds": self.timeout_seconds,
            "positions_found": self.positions_found,
            "positions_closed": self.positions_closed,
            "positions_failed": self.positions_failed,
            "orders_found": self.orders_found,
            "orders_cancelled": self.orders_cancelled,
            "orders_failed": self.orders_failed,
            "positions": [position.as_json() for position in self.positions],
            "orders": [order.as_json() for order in self.orders],
            "residual": self.residual.as_json() if self.residual else None,
            "requests": self.requests,
            "retries": self.retries,
            "audit_complete": self.audit_complete,
            "audit_head": self.audit_head,
            "notes": list(self.notes),
            "time_spent_s": {name: round(spent, 6) for name, spent in self.time_spent_s.items()},
        }


def _plain_or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
