"""Judges outside the code: what no run may do, whatever goes wrong.

They look at the venue's own journal and truth, never at what the run says of itself, except to hold
the two against one another.
"""

from collections.abc import Sequence
from typing import Any

from liqctl.domain.events import RUN_ENDS, AuditEventType
from liqctl.domain.result import LiquidationResult, LiquidationState
from liqctl.sim.venue import Venue

OWN_PREFIX = "liq-"
OVERSHOOT_MAX_S = 0.25


def judge(
    venue: Venue,
    result: LiquidationResult,
    *,
    events: Sequence[tuple[str, Any]],
    duration_s: float,
    others_trade: bool = False,
) -> list[str]:
    """Return every rule that the run broke, in words; `others_trade` excuses what they opened."""
    return [
        *exposure(venue),
        *client_order_ids(venue),
        *stops(venue),
        *truth(venue, result, others_trade=others_trade),
        *deadline(result, duration_s),
        *trail(events),
    ]


def exposure(venue: Venue) -> list[str]:
    """No order of ours increases a leg or turns it around."""
    return [
        f"{client_order_id} took {symbol} {side} from {before} to {after}"
        for client_order_id, owner, symbol, side, before, after in venue.account.journal.fills
        if owner == "key"
        and client_order_id.startswith(OWN_PREFIX)
        and (abs(after) > abs(before) or after * before < 0)
    ]


def client_order_ids(venue: Venue) -> list[str]:
    """No client order id is sent twice."""
    sent = [row[3] for row in venue.account.journal.requests if row[1] == "POST" and row[3]]
    return [f"{each} was sent twice" for each in sorted({x for x in sent if sent.count(x) > 1})]


def stops(venue: Venue) -> list[str]:
    """No protective stop is cancelled before its leg has been flat."""
    return [
        f"the stop {algo.algo_id} on {algo.symbol} was cancelled while its leg was open"
        for algo, needed in venue.account.journal.cancelled_algo
        if needed
    ]


def truth(venue: Venue, result: LiquidationResult, *, others_trade: bool) -> list[str]:
    """COMPLETED means flat; not flat is listed, or said to be unread."""
    found = []
    if result.state is LiquidationState.COMPLETED and not result.verified_flat:
        found.append("COMPLETED without a proof")
    if others_trade:
        return found
    if result.state is LiquidationState.COMPLETED and not venue.account.is_flat:
        found.append("COMPLETED while the venue is not flat")
    if result.residual is not None and not venue.account.is_flat and not result.error_message:
        found.append("not flat, and nothing says so")
    if result.residual is not None and "could not read" not in (result.error_message or ""):
        listed = {position.symbol for position in result.residual.positions}
        held = {h.symbol for h in venue.account.holdings.values() if h.amount}
        if held - listed:
            found.append(f"still open and not listed: {sorted(held - listed)}")
    return found


def deadline(result: LiquidationResult, duration_s: float) -> list[str]:
    """The run ends by its deadline."""
    if duration_s <= result.timeout_seconds + OVERSHOOT_MAX_S:
        return []
    return [f"took {duration_s:.3f} s of {result.timeout_seconds}"]


def trail(events: Sequence[tuple[str, Any]]) -> list[str]:
    """Each start has exactly one end, and every order was recorded before its answer."""
    names = [name for name, _ in events]
    starts = names.count(AuditEventType.LIQUIDATION_START)
    ends = sum(names.count(end) for end in RUN_ENDS)
    found = [] if starts == ends else [f"{starts} starts, {ends} ends"]
    sent: set[str] = set()
    for name, details in events:
        client_order_id = details.get("client_order_id")
        if name == AuditEventType.ORDER_SENT:
            sent.add(client_order_id)
        elif name.startswith("ORDER_") and client_order_id and client_order_id not in sent:
            found.append(f"{client_order_id} was answered before it was recorded")
    return found
