"""How a run ended: the result that `liquidate --json` prints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.as_json import as_json
from liqctl.kernel.events import COUNTS
from liqctl.kernel.states import (
    ExitCode,
    FailureCause,
    LiquidationState,
    Margin,
    OrderState,
    PositionState,
    Product,
)
from liqctl.kernel.values import (
    Leg,
    OpenOrder,
    OrderKind,
    OrderStatus,
    Position,
    PositionSide,
    Side,
)
from liqctl.kernel.witness import Statement

RESULT_SCHEMA = "liqctl.result/1"
RESULTS_SCHEMA = "liqctl.results/1"
ALREADY_IN_PROGRESS = "Liquidation already in progress"
_EXIT_BY_CAUSE: Final = {
    FailureCause.BLOCKED: ExitCode.IN_PROGRESS,
    FailureCause.CONFIGURATION: ExitCode.CONFIGURATION,
    FailureCause.NOT_CONFIRMED: ExitCode.NOT_CONFIRMED,
    FailureCause.USAGE: ExitCode.USAGE,
}
"""Causes that decide, whatever the state."""


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


class SentOrder(NamedTuple):
    """One order of ours, as far as it is known. `order_id` is None when no answer named it."""

    client_order_id: str
    order_id: str | None
    quantity: Decimal
    executed: Decimal
    status: OrderStatus | None

    def json_fields(self) -> dict[str, object]:
        """Return the fields; the status is UNKNOWN when no answer came."""
        return {**self._asdict(), "status": self.status or "UNKNOWN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionReport:
    """What became of one leg. `quantity` and `remaining` are absolute."""

    product: Product = Product.USDM
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

    @property
    def leg(self) -> Leg:
        """Which leg it was."""
        return Leg(self.symbol, self.position_side, self.product)

    def ended_by(self, later: "PositionReport") -> "PositionReport":
        """Return the report of a leg that a later run went on with.

        The average price is known where all was closed in one of the two.
        """
        prices = [price for price in (self.average_price, later.average_price) if price is not None]
        return replace(
            self,
            state=later.state,
            remaining=later.remaining,
            average_price=prices[0] if len(prices) == 1 else None,
            attempts=self.attempts + later.attempts,
            orders=(*self.orders, *later.orders),
            error=later.error,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReport:
    """What became of one order of others."""

    product: Product = Product.USDM
    symbol: str
    order_id: str
    client_order_id: str = ""
    kind: OrderKind
    type: str
    side: Side | None
    position_side: PositionSide = PositionSide.BOTH
    trigger_price: Decimal | None = None
    protective: bool
    state: OrderState
    error: ErrorReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """What the last reading showed still open, in scope."""

    positions: tuple[Position, ...] = ()
    orders: tuple[OpenOrder, ...] = ()

    def json_fields(self) -> dict[str, object]:
        """Return both lists; of a position or order only what names it and tells its size."""
        position_names = ("product", "symbol", "position_side", "quantity", "notional")
        order_names = (
            *("product", "symbol", "order_id", "client_order_id", "kind", "type", "side"),
            "trigger_price",
        )
        return {
            "positions": [{n: getattr(each, n) for n in position_names} for each in self.positions],
            "orders": [{n: getattr(each, n) for n in order_names} for each in self.orders],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOver:
    """What remains in a portfolio margin account beside its futures: told, never touched.

    Borrowed coins cost interest by the hour, a negative balance is a debt, and a margin order may
    buy, and borrow, by itself. None of it is a future, so none of it changes how the run ended.

    Amounts are by coin; None is what the venue did not say. `locked` are coins that open margin
    orders hold. `margin_orders` are named as SYMBOL SIDE TYPE ID; without a symbol the venue may
    not list them, then only the pairs with USDT of the coins that are held, locked or borrowed were
    asked for, and `is_partial` says so.
    """

    borrowed: Mapping[str, Decimal] | None = None
    negative_balances: Mapping[str, Decimal] | None = None
    locked: Mapping[str, Decimal] | None = None
    margin_orders: tuple[str, ...] | None = None
    is_partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationResult:
    """The end of one run; every number is counted from what was read and answered.

    `residual` is None when no reading succeeded. `time_spent_s` splits the duration by what the
    run waited for (`reading`, `cancelling`, `closing`, `waiting`). `notes` are sentences for the
    operator, worst first. `settled_seconds` is how long flat was watched up to the last reading, 0
    where flat was not seen. `unread` names the sources in scope that never answered. `never_read`
    names the lists (`positions`, `regular orders`, `conditional orders`) that no reading showed in
    full: what is counted in them is None, as it is without a `residual`, unless some were seen.
    `witness` is None where there is no master key.
    """

    correlation_id: str
    environment: str
    state: LiquidationState
    error_message: str | None = None
    dry_run: bool = False
    verified_flat: bool = False
    deadline_exceeded: bool = False
    account: str | None = None
    products: tuple[Product, ...] = ()
    margin: Margin = Margin.STANDARD
    settled_seconds: float = 0.0
    held_seconds: float = 0.0
    unread: tuple[str, ...] = ()
    started_at: datetime
    finished_at: datetime
    duration_seconds: float
    timeout_seconds: float
    positions: tuple[PositionReport, ...] = ()
    orders: tuple[OrderReport, ...] = ()
    residual: Residual | None = None
    left_over: LeftOver | None = None
    witness: Statement | None = None
    requests: int = 0
    retries: int = 0
    audit_complete: bool = True
    audit_head: str | None = None
    notes: tuple[str, ...] = ()
    time_spent_s: dict[str, float] = field(default_factory=dict)
    cause: FailureCause = FailureCause.NONE
    never_read: frozenset[str] = frozenset()

    def as_json(self) -> dict[str, object]:
        """Return the JSON document of the contract."""
        document: dict[str, object] = as_json(self, digits=6)
        return document

    def json_fields(self) -> dict[str, object]:
        """Return the fields in the document's order, the counts before what was counted."""
        names = [each.name for each in fields(self) if each.name not in {"cause", "never_read"}]
        at = names.index("positions")
        names[at:at] = COUNTS
        return {"schema": RESULT_SCHEMA, **{name: getattr(self, name) for name in names}}

    def count_positions(self, *states: PositionState) -> int:
        """Return how many positions ended in one of the states."""
        return sum(position.state in states for position in self.positions)

    def count_orders(self, *states: OrderState) -> int:
        """Return how many orders ended in one of the states."""
        return sum(order.state in states for order in self.orders)

    # Where none was found, None or 0, there is nothing to count either: hence `found and count`.

    @property
    def positions_found(self) -> int | None:
        """How many legs were seen open; None where no reading showed the positions."""
        is_read = self.residual is not None and "positions" not in self.never_read
        return len(self.positions) if self.positions or is_read else None

    @property
    def positions_closed(self) -> int | None:
        """How many positions are proven closed; None where none could be found."""
        return self.positions_found and self.count_positions(PositionState.CLOSED)

    @property
    def positions_failed(self) -> int | None:
        """How many positions are or may be open; None where none could be found."""
        open_states = (PositionState.PARTIAL, PositionState.FAILED, PositionState.UNKNOWN)
        return self.positions_found and self.count_positions(*open_states)

    @property
    def orders_found(self) -> int | None:
        """How many orders of others were seen; None where no reading showed both books."""
        is_read = self.residual is not None and self.never_read <= {"positions"}
        return len(self.orders) if self.orders or is_read else None

    @property
    def orders_cancelled(self) -> int | None:
        """How many orders are proven cancelled by us; None where none could be found."""
        return self.orders_found and self.count_orders(OrderState.CANCELLED)

    @property
    def orders_failed(self) -> int | None:
        """How many orders are or may be open against our will; None where none could be found."""
        return self.orders_found and self.count_orders(OrderState.FAILED, OrderState.UNKNOWN)

    @property
    def was_carried_out(self) -> bool:
        """Whether a run began: it was not refused, blocked or skipped."""
        is_refused = self.cause in {*_EXIT_BY_CAUSE, FailureCause.CREDENTIALS}
        return not (is_refused or self.dry_run or self.state is LiquidationState.SKIPPED)

    def ended_by(self, later: "LiquidationResult") -> "LiquidationResult":
        """Return this result with what became of what it left open, by a later run."""
        legs = {report.leg: report for report in later.positions}
        orders = {(each.product, each.kind, each.order_id): each for each in later.orders}
        return replace(
            self,
            positions=tuple(
                report.ended_by(legs[report.leg])
                if report.state is not PositionState.CLOSED and report.leg in legs
                else report
                for report in self.positions
            ),
            orders=tuple(
                orders.get((each.product, each.kind, each.order_id), each) for each in self.orders
            ),
        )

    def after_hold(
        self, last: "LiquidationResult", *, held_s: float, reopened: Sequence[str], times: int
    ) -> "LiquidationResult":
        """Return this result as it is after the account was held flat.

        Args:
            last: the last run within the hold, or this one.
            held_s: how long it was held.
            reopened: what re-appeared, in words, each once.
            times: how often something was closed again.
        """
        note = f"while it was held flat {', '.join(reopened)} re-appeared; closed {times} times"
        # FAILED says that nothing was done.
        is_partly_done = last.state is LiquidationState.FAILED and bool(
            self.positions_closed or self.orders_cancelled
        )
        return replace(
            self,
            state=LiquidationState.PARTIAL if is_partly_done else last.state,
            error_message=last.error_message,
            verified_flat=last.verified_flat,
            deadline_exceeded=last.deadline_exceeded,
            residual=last.residual,
            unread=last.unread,
            never_read=last.never_read,
            held_seconds=held_s,
            finished_at=last.finished_at,
            audit_complete=self.audit_complete and last.audit_complete,
            notes=(*((note,) if reopened else ()), *self.notes),
        )

    @property
    def flat_after_seconds(self) -> float:
        """When flat was seen for good, or the end where it never was; the proof comes later."""
        return max(self.duration_seconds - self.settled_seconds, 0.0)

    def exit_code(self) -> ExitCode:
        """Return the process exit code of this result, signals aside."""
        if self.cause in _EXIT_BY_CAUSE:
            return _EXIT_BY_CAUSE[self.cause]
        match self.state:
            case LiquidationState.COMPLETED | LiquidationState.SKIPPED:
                return ExitCode.DONE if self.audit_complete else ExitCode.AUDIT_INCOMPLETE
            case LiquidationState.PARTIAL:
                return ExitCode.PARTIAL
            case _ if self.cause is FailureCause.CREDENTIALS:
                return ExitCode.CREDENTIALS
            case _:
                return ExitCode.FAILED


WORST_STATES: Final = (
    LiquidationState.FAILED,
    LiquidationState.PARTIAL,
    LiquidationState.COMPLETED,
    LiquidationState.SKIPPED,
)
_WORST_EXITS: Final = (
    *(ExitCode.FAILED, ExitCode.CREDENTIALS, ExitCode.PARTIAL, ExitCode.IN_PROGRESS),
    *(ExitCode.AUDIT_INCOMPLETE, ExitCode.CONFIGURATION, ExitCode.NOT_CONFIRMED, ExitCode.USAGE),
    ExitCode.LATCHED,
    ExitCode.DONE,
)


def worst_exit(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the worst of several exit codes: that of a command for several accounts."""
    return min(codes, key=_WORST_EXITS.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """How one command ended: the result of an account, or those of several side by side."""

    each: tuple[LiquidationResult, ...]
    are_several: bool = False

    @property
    def only(self) -> LiquidationResult:
        """The result of a command for one account."""
        return self.each[0]

    @property
    def state(self) -> LiquidationState:
        """The worst state."""
        return min((result.state for result in self.each), key=WORST_STATES.index)

    def exit_code(self) -> ExitCode:
        """Return the process exit code, signals aside: that of the worst result."""
        return worst_exit(result.exit_code() for result in self.each)

    def as_json(self, exit_code: int) -> dict[str, object]:
        """Return the JSON document of the contract."""
        if not self.are_several:
            return self.only.as_json()
        return {
            "schema": RESULTS_SCHEMA,
            "state": self.state.value,
            "exit_code": int(exit_code),
            "results": [result.as_json() for result in self.each],
        }


LAST_TOLD: Final = ("state", "positions_closed", "orders_cancelled", "duration_seconds")


def make_metrics(
    executions: int, ends: Mapping[str, int], last: Mapping[str, object]
) -> dict[str, object]:
    """Return the counts of runs as `status` has them.

    `ends` counts how runs ended, by state; `last` is what the last one's document tells.
    """
    states = ("COMPLETED", "PARTIAL", "FAILED", "SKIPPED", "ABANDONED")
    return {
        "execution_count": executions,
        **{state.lower(): ends.get(state, 0) for state in states},
        "last_execution_time": last.get("started_at"),
        **{f"last_{name}": last.get(name) for name in LAST_TOLD},
    }
