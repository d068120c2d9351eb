"""How each leg, each order and the run ended: counted from records, never assumed.

What is known of a run at one moment is one value, `Outcome`; the result is made from it alone, so
that who ends a run from another thread sees nothing half-changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from liqctl.kernel import words
from liqctl.kernel.amounts import rounded
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.events import INTERRUPTED
from liqctl.kernel.ledger import LegRecord, OrderRecord, SweepRecord
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import NO_STREAK, Streak, Verdict, verify
from liqctl.kernel.result import (
    ErrorReport,
    LeftOver,
    LiquidationResult,
    OrderReport,
    PositionReport,
    Residual,
)
from liqctl.kernel.states import (
    FailureCause,
    LiquidationState,
    Margin,
    OrderState,
    PositionState,
    Product,
)
from liqctl.kernel.values import Leg, OrderKind, Position, Snapshot
from liqctl.kernel.witness import Statement

_NOT_REACHED: Final = VenueAnswer(
    kind=AnswerKind.TRANSIENT, message="the run ended before this could be done"
)
_NO_ANSWER: Final = VenueAnswer(kind=AnswerKind.UNKNOWN, message="the venue never answered")
_OTHERWISE: Final = {"FAILED": _NOT_REACHED, "PARTIAL": _NOT_REACHED, "UNKNOWN": _NO_ANSWER}
"""What is told of what was not done, where the venue said nothing; of the rest nothing is."""


class Ending(StrEnum):
    """Why the rounds ended."""

    FLAT = "FLAT"
    NOTHING_LEFT_TO_TRY = "NOTHING_LEFT_TO_TRY"
    DEADLINE = "DEADLINE"
    STOPPED = "STOPPED"
    INTERRUPTED = "INTERRUPTED"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of a run at one moment.

    Attributes:
        last_known: the last reading of each product, its failed lists as they were read before.
        unread: why the last reading was not complete; `silent` names its silent sources.
        never_read: the lists that were never read in full.
        missing: what is missing from the proof of an account that reads flat.
        unanswered: what the venue has not said of the account or its symbols.
        refusal: what stopped the run, a ban that outlasts it, or the refusal of the key.
        strangers: client order ids of others that came to be during the run.
        entered: symbols that others entered meanwhile.
        sweeps: the last cancels of whole books; `spared` are symbols of which none is sent.
        products: those in scope; `proven` are those that ended proven flat.
        unread_beside: what was never read and is never waited for.
        left_over: what stands beside the futures of a portfolio margin account.
        witness: what the master's key says of an account that reads flat; None without one.
    """

    legs: Mapping[Leg, LegRecord] = field(default_factory=dict)
    orders: tuple[OrderRecord, ...] = ()
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    last_known: tuple[Snapshot, ...] = ()
    unread: str | None = "the account was never read"
    silent: tuple[str, ...] = ()
    never_read: frozenset[str] = frozenset()
    streak: Streak = NO_STREAK
    missing: tuple[str, ...] = ()
    unknown_symbols: tuple[str, ...] = ()
    unanswered: str | None = None
    refusal: VenueAnswer | None = None
    strangers: tuple[str, ...] = ()
    entered: tuple[str, ...] = ()
    sweeps: Mapping[tuple[str, OrderKind], SweepRecord] = field(default_factory=dict)
    spared: tuple[str, ...] = ()
    retries: int = 0
    time_spent_s: dict[str, float] = field(default_factory=dict)
    products: tuple[Product, ...] = ()
    proven: tuple[Product, ...] = ()
    margin: Margin = Margin.STANDARD
    unread_beside: tuple[str, ...] = ()
    left_over: LeftOver | None = None
    witness: Statement | None = None


def together(parts: Sequence[Outcome]) -> Outcome:
    """Return what is known of several products of one account."""

    def every(name: str) -> list[Any]:
        return [item for part in parts for item in getattr(part, name)]

    def first(name: str) -> Any:  # noqa: ANN401 - whatever the field holds
        return next((found for part in parts if (found := getattr(part, name))), None)

    # A product on which nothing had to be done says nothing of what the key may do.
    refused = [part.refusal for part in parts if part.legs or part.orders]
    refused = refused or [part.refusal for part in parts]
    spent = [part.time_spent_s for part in parts]
    return Outcome(
        legs={leg: record for part in parts for leg, record in part.legs.items()},
        orders=tuple(every("orders")),
        prices={key: price for part in parts for key, price in part.prices.items()},
        last_known=tuple(every("last_known")),
        unread=words.join_unread([part.unread for part in parts]),
        silent=tuple(every("silent")),
        never_read=frozenset(every("never_read")),
        # The account was watched as long as the product that was watched the shortest.
        streak=min((part.streak for part in parts), key=lambda s: (s.seen_flat, s.watched_s)),
        missing=tuple(dict.fromkeys(every("missing"))),
        unknown_symbols=tuple(every("unknown_symbols")),
        unanswered=first("unanswered"),
        refusal=refused[0] if all(refused) else None,
        strangers=tuple(every("strangers")),
        entered=tuple(every("entered")),
        sweeps={book: sweep for part in parts for book, sweep in part.sweeps.items()},
        spared=tuple(every("spared")),
        retries=sum(part.retries for part in parts),
        time_spent_s={name: max(each[name] for each in spent) for name in spent[0]},
    )


def summarise(
    base: LiquidationResult, known: Outcome, ending: Ending, config: LiquidationConfig
) -> LiquidationResult:
    """Return the result with all that is known of the run."""
    # The witness is believed against the account's own lists, never for them.
    contradicted = words.explain_witness(known.witness)
    verified_flat = ending is Ending.FLAT and contradicted is None
    worst_first = sorted(known.legs.values(), key=lambda r: (-r.first.notional, r.leg))
    positions = tuple(report_position(record, config, known.prices) for record in worst_first)
    # A stop is not kept for a leg whose close was filled, even if no reading says so yet.
    closed = {leg for leg, record in known.legs.items() if record.expected == 0}
    still_open = open_legs(known.legs).keys() - closed
    orders = tuple(
        report_order(record, config, leg_open=record.order.leg in still_open)
        for record in known.orders
    )
    reasons = [contradicted] if contradicted else []
    if ending is not Ending.FLAT:
        reasons += _reasons(known, ending, positions, orders, config)
    cause = FailureCause.NONE
    if ending is Ending.UNKNOWN_SYMBOL:
        cause = FailureCause.USAGE
    elif known.refusal is not None and known.refusal.kind is AnswerKind.RUN_FATAL:
        cause = FailureCause.CREDENTIALS
    last = [verify(each, config) for each in known.last_known]
    strangers = words.explain_strangers(known.strangers, known.entered)
    failed = [(book[0], sweep) for book, sweep in known.sweeps.items() if sweep.is_given_up]
    return replace(
        base,
        state=end_state(
            verified_flat=verified_flat,
            positions=positions,
            orders=orders,
            is_part_flat=contradicted is not None
            or (bool(known.proven) and not (positions or orders)),
        ),
        error_message="; ".join(reasons) or None,
        verified_flat=verified_flat,
        deadline_exceeded=ending is Ending.DEADLINE,
        settled_seconds=known.streak.watched_s if known.streak.seen_flat else 0.0,
        unread=known.silent + known.unread_beside,
        never_read=known.never_read,
        positions=positions,
        orders=orders,
        residual=residual_of(last),
        products=known.products,
        margin=known.margin,
        left_over=known.left_over,
        witness=known.witness,
        retries=known.retries,
        cause=cause,
        notes=(
            *([strangers] if strangers else []),
            *base.notes,
            *words.explain_silence(known.witness),
            *words.explain_kept(orders),
            *words.explain_oversized(record.order for record in known.orders if record.oversized),
            *words.explain_failed_sweeps(
                {symbol for symbol, sweep in failed if not sweep.is_refused},
                {symbol for symbol, sweep in failed if sweep.is_refused},
                known.spared,
            ),
        ),
        time_spent_s=known.time_spent_s,
    )


def _reasons(
    known: Outcome,
    ending: Ending,
    positions: tuple[PositionReport, ...],
    orders: tuple[OrderReport, ...],
    config: LiquidationConfig,
) -> list[str]:
    """Return why the account is not proven flat, most telling first; never empty."""
    open_positions = words.explain_positions(positions)
    late = sorted(record.leg.symbol for record in known.legs.values() if record.doubtful)
    unknown = known.unknown_symbols
    is_quiet = known.streak.looks and not open_positions
    found = (
        words.explain_refusal(known.refusal) if known.refusal else None,
        f"the venue does not know {', '.join(unknown)}" if unknown else None,
        f"the deadline of {config.timeout_seconds:g} s was reached"
        if ending is Ending.DEADLINE
        else None,
        INTERRUPTED if ending is Ending.INTERRUPTED else None,
        None if unknown else known.unread,
        None if is_quiet else known.unanswered,
        open_positions,
        words.explain_orders(orders),
        f"the readings still show what the venue confirmed as closed, on {', '.join(late)}"
        if late and not open_positions
        else None,
        words.explain_watch(known.streak.watched_s, known.missing) if is_quiet else None,
    )
    return [reason for reason in found if reason] or ["the account could not be proven flat"]


def _error_of(state: PositionState | OrderState, error: VenueAnswer | None) -> ErrorReport | None:
    otherwise = _OTHERWISE.get(state.value)
    return None if otherwise is None else ErrorReport.of(error or otherwise)


def report_position(
    record: LegRecord, policy: LiquidationConfig, prices: Mapping[str, Decimal]
) -> PositionReport:
    """Return what became of one leg."""
    remaining: Decimal | None = record.current.size if record.current else Decimal(0)
    is_read = record.seen_at >= record.settled_at and not record.in_flight
    if not policy.close_positions:
        state = PositionState.SKIPPED
    elif record.unresolved and not is_read:
        state, remaining = PositionState.UNKNOWN, None
    elif record.expected is not None and not record.unresolved:
        remaining = abs(record.expected)
        state = PositionState.PARTIAL if remaining else PositionState.CLOSED
    elif not remaining:
        state = PositionState.CLOSED
    else:
        is_smaller = remaining < record.first.size or record.executed > 0 or record.closed_before
        state = PositionState.PARTIAL if is_smaller else PositionState.FAILED
    return PositionReport(
        product=record.leg.product,
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
        error=_error_of(state, record.error),
    )


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
    if not policy.cancel_orders:
        state = OrderState.SKIPPED
    elif not record.present:
        state = OrderState.GONE if record.gone else OrderState.CANCELLED
    elif record.cancelled_at is not None and record.seen_at < record.cancelled_at:
        state = OrderState.CANCELLED
    elif record.protective and leg_open and not record.cancel_sent:
        state = OrderState.KEPT
    else:
        is_answered = record.cancelled_at is not None or record.error is not None
        is_failed = is_answered or not record.cancel_sent
        state = OrderState.FAILED if is_failed else OrderState.UNKNOWN
    return OrderReport(
        product=order.product,
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
        error=_error_of(state, record.error),
    )


def residual_of(verdicts: Sequence[Verdict]) -> Residual | None:
    """Return what the last reading of each product still showed; None when none succeeded."""
    if not verdicts:
        return None
    return Residual(
        positions=tuple(position for each in verdicts for position in each.positions),
        orders=tuple(order for each in verdicts for order in each.orders),
    )


def end_state(
    *,
    verified_flat: bool,
    positions: Iterable[PositionReport],
    orders: Iterable[OrderReport],
    is_part_flat: bool,
) -> LiquidationState:
    """Return COMPLETED when flat is proven, PARTIAL when a part or some work is, else FAILED.

    That another product had nothing open is no work done where some was found.
    """
    if verified_flat:
        return LiquidationState.COMPLETED
    proven = (
        is_part_flat
        or any(p.state is PositionState.CLOSED for p in positions)
        or any(p.state is PositionState.PARTIAL and p.attempts > 0 for p in positions)
        or any(order.state is OrderState.CANCELLED for order in orders)
    )
    return LiquidationState.PARTIAL if proven else LiquidationState.FAILED


def open_legs(records: Mapping[Leg, LegRecord]) -> dict[Leg, Position]:
    """Return the legs believed open."""
    return {leg: record.current for leg, record in records.items() if record.current is not None}
