"""How a run ended, gathered from its records: what stands in the result and why."""

from dataclasses import asdict, replace

from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.events import INTERRUPTED
from liqctl.kernel.ledger import LegRecord
from liqctl.kernel.outcome import (
    end_state,
    open_legs,
    report_order,
    report_position,
    residual_of,
)
from liqctl.kernel.pacing import SWEEPS_FAILED_MAX
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult, OrderReport, PositionReport
from liqctl.kernel.states import FailureCause
from liqctl.kernel.values import Leg
from liqctl.kernel.verify import verify
from liqctl.kernel.words import (
    explain_failed_sweeps,
    explain_kept,
    explain_orders,
    explain_oversized,
    explain_positions,
    explain_refusal,
    explain_strangers,
    explain_watch,
)
from liqctl.run.run import Ending, Run


def summarise(
    base: LiquidationResult, run: Run, ending: Ending, config: LiquidationConfig
) -> LiquidationResult:
    """Return the result with all that the run's records tell now.

    The records may still be changing in another thread: each is read once.
    """
    state = run.state
    legs = dict(state.legs)
    verified_flat = ending is Ending.FLAT
    positions = tuple(
        report_position(record, config, run.side.prices)
        for record in sorted(legs.values(), key=lambda r: (-r.first.notional, r.leg))
    )
    orders = _report_orders(run, legs, config)
    reasons = [] if verified_flat else _reasons(run, ending, legs, positions, orders, config)
    strangers = explain_strangers(list(state.strangers), sorted(state.entered))
    failed = {b for b, number in dict(state.failed_sweeps).items() if number >= SWEEPS_FAILED_MAX}
    known = verify(state.last_known, config) if state.last_known else None
    return replace(
        base,
        state=end_state(verified_flat=verified_flat, positions=positions, orders=orders),
        error_message="; ".join(reasons) or None,
        verified_flat=verified_flat,
        deadline_exceeded=ending is Ending.DEADLINE,
        settled_seconds=state.streak.watched_s if state.streak.seen_flat else 0.0,
        unread=run.unread_sources,
        never_read=state.never_read or frozenset(),
        positions=positions,
        orders=orders,
        residual=residual_of(
            known, readable=state.has_read and not run.questions.is_portfolio_margin
        ),
        retries=state.retries,
        cause=_cause(run, ending),
        notes=(
            *([strangers] if strangers else []),
            *base.notes,
            *explain_kept(orders),
            *explain_oversized(r.order for r in list(state.orders.values()) if r.oversized),
            *explain_failed_sweeps(
                {book[0] for book in failed - state.refused_sweeps},
                {book[0] for book in failed & state.refused_sweeps},
            ),
        ),
        time_spent_s=asdict(run.spent),
    )


def _report_orders(
    run: Run, legs: dict[Leg, LegRecord], config: LiquidationConfig
) -> tuple[OrderReport, ...]:
    # A stop is not kept for a leg whose close was filled, even if no reading says so yet.
    closed = {leg for leg, record in legs.items() if record.expected == 0}
    still_open = open_legs(legs).keys() - closed
    return tuple(
        report_order(record, config, leg_open=record.order.leg in still_open)
        for record in list(run.state.orders.values())
    )


def _cause(run: Run, ending: Ending) -> FailureCause:
    refusal = run.refusal()
    if ending is Ending.UNKNOWN_SYMBOL:
        return FailureCause.USAGE
    if refusal is not None and refusal.kind is AnswerKind.RUN_FATAL:
        return FailureCause.CREDENTIALS
    return FailureCause.NONE


def _reasons(
    run: Run,
    ending: Ending,
    legs: dict[Leg, LegRecord],
    positions: tuple[PositionReport, ...],
    orders: tuple[OrderReport, ...],
    config: LiquidationConfig,
) -> list[str]:
    """Return why the account is not proven flat, most telling first; never empty."""
    refusal = run.refusal()
    open_positions = explain_positions(positions)
    late = sorted(record.leg.symbol for record in legs.values() if record.doubtful)
    unknown_symbols = run.questions.unknown_symbols
    quiet = run.state.streak.looks and not open_positions
    found = (
        explain_refusal(refusal) if refusal else None,
        f"the venue does not know {', '.join(unknown_symbols)}" if unknown_symbols else None,
        _PORTFOLIO_MARGIN if run.questions.is_portfolio_margin else None,
        f"the deadline of {config.timeout_seconds:g} s was reached"
        if ending is Ending.DEADLINE
        else None,
        INTERRUPTED if ending is Ending.INTERRUPTED else None,
        None if unknown_symbols else run.unread,
        None if quiet else run.questions.unanswered,
        open_positions,
        explain_orders(orders),
        f"the readings still show what the venue confirmed as closed, on {', '.join(late)}"
        if late and not open_positions
        else None,
        explain_watch(run.state.streak.watched_s, run.why_unproven()) if quiet else None,
    )
    return [reason for reason in found if reason] or ["the account could not be proven flat"]


_PORTFOLIO_MARGIN = (
    "this account is in portfolio margin: its positions do not show here and nothing was closed; "
    "close them on the web page or through the portfolio margin API"
)
