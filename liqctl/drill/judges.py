"""Judges outside the code: what no run may do, whatever goes wrong.

They look at the venue's own journal and truth, never at what the run says of itself, except to hold
the two against one another.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from liqctl.domain.events import RUN_ENDS, AuditEventType
from liqctl.domain.ids import CLIENT_ORDER_ID_PREFIX
from liqctl.domain.result import LiquidationResult
from liqctl.domain.states import LiquidationState, OrderState
from liqctl.planning.policy import LiquidationConfig
from liqctl.sim.venue import Venue

OVERSHOOT_MAX_S: Final = 0.25
"""How long after its deadline a run may end."""

READS: Final = ("/fapi/v3/positionRisk", "/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders")

Events = Sequence[tuple[str, Mapping[str, Any]]]
"""What a run recorded: names of events and their details, in order."""

WHOLE_ACCOUNT: Final = LiquidationConfig()


def judge(
    venue: Venue,
    result: LiquidationResult,
    *,
    events: Events,
    duration_s: float,
    others_trade: bool = False,
) -> list[str]:
    """Return every rule that the run broke, in words; `others_trade` excuses what they opened."""
    return [
        *exposure(venue),
        *client_order_ids(venue),
        *stops(venue),
        *truth(venue, result, others_trade=others_trade),
        *proof(venue, result, events),
        *look_ups(venue, result, events),
        *duty(venue, result, others_trade=others_trade),
        *deadline(result, duration_s),
        *trail(events),
    ]


def exposure(venue: Venue) -> list[str]:
    """No order of ours increases a leg or turns it around."""
    return [
        f"{client_order_id} took {symbol} {side} from {before} to {after}"
        for client_order_id, owner, symbol, side, before, after in venue.account.journal.fills
        if owner == "key"
        and client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)
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


def truth(
    venue: Venue,
    result: LiquidationResult,
    *,
    others_trade: bool,
    policy: LiquidationConfig = WHOLE_ACCOUNT,
) -> list[str]:
    """COMPLETED means flat in scope; not flat is listed, or said to be unread."""
    found = []
    if result.state is LiquidationState.COMPLETED and not result.verified_flat:
        found.append("COMPLETED without a proof")
    if others_trade:
        return found
    left = [name for name, symbol in _open(venue, policy) if policy.covers(symbol)]
    if result.state is LiquidationState.COMPLETED and left:
        found.append("COMPLETED while the venue is not flat")
    if result.residual is not None and left and not result.error_message:
        found.append("not flat, and nothing says so")
    unread = "could not read" in (result.error_message or "")
    if result.residual is not None and policy.close_positions and not unread:
        listed = {position.symbol for position in result.residual.positions}
        open_now = {h.symbol for h in venue.account.holdings.values() if h.amount}
        held = {symbol for symbol in open_now if policy.covers(symbol)}
        if held - listed:
            found.append(f"still open and not listed: {sorted(held - listed)}")
    return found


def what_is_left(venue: Venue, policy: LiquidationConfig = WHOLE_ACCOUNT) -> list[str]:
    """Return what is really open: legs by symbol and side, orders by client order id.

    What the policy leaves alone by kind is not counted: positions with `close_positions` false,
    and then the stops that protect them; orders with `cancel_orders` false. A switch that is
    disarmed leaves everything open.
    """
    return [name for name, _ in _open(venue, policy)]


def _open(venue: Venue, policy: LiquidationConfig) -> Iterator[tuple[str, str]]:
    """Yield name and symbol of what is open."""
    account, armed = venue.account, policy.emergency_liquidation
    if policy.close_positions or not armed:
        for held in account.holdings.values():
            if held.amount:
                side = "" if held.position_side == "BOTH" else f" {held.position_side}"
                yield f"{held.symbol}{side}", held.symbol
    if policy.cancel_orders or not armed:
        for order in account.open_orders():
            yield order.client_order_id, order.symbol
        for algo in account.open_algo_orders():
            if policy.close_positions or not armed or not account.is_needed(algo):
                yield algo.client_algo_id, algo.symbol


def kept_orders(result: LiquidationResult) -> set[str]:
    """Return the ids of the orders that a result reports KEPT."""
    return {order.order_id for order in result.orders if order.state is OrderState.KEPT}


def proof(venue: Venue, result: LiquidationResult, events: Events) -> list[str]:
    """COMPLETED rests on all three lists read after the last write; twice where there was doubt."""
    if result.state is not LiquidationState.COMPLETED:
        return []
    requests = venue.account.journal.requests
    writes = [number for number, row in enumerate(requests) if row[1] in {"POST", "DELETE"}]
    after = [row[2] for row in requests[writes[-1] + 1 :]] if writes else [r[2] for r in requests]
    doubt = any(
        name == AuditEventType.ORDER_UNKNOWN or details.get("kind") == "UNKNOWN"
        for name, details in events
    )
    least = min(_reads(after, path) for path in READS)
    wanted = 1
    return [] if least >= wanted else [f"COMPLETED on {least} readings of {wanted}"]


def _reads(paths: Sequence[str], path: str) -> int:
    """Return how often a list was read, by its own way or by the second one."""
    second = {"/fapi/v3/positionRisk": "/fapi/v3/account"}.get(path)
    return sum(each in {path, second} for each in paths)


def look_ups(venue: Venue, result: LiquidationResult, events: Events) -> list[str]:
    """An order that was not answered is looked up, while there is time to."""
    if result.deadline_exceeded or result.state is not LiquidationState.COMPLETED:
        return []
    asked = {row[3] for row in venue.account.journal.requests if row[1] == "GET"}
    return [
        f"{details['client_order_id']} was never looked up"
        for name, details in events
        if name == AuditEventType.ORDER_UNKNOWN and details["client_order_id"] not in asked
    ]


def duty(venue: Venue, result: LiquidationResult, *, others_trade: bool) -> list[str]:
    """With nothing going wrong, the account is flat at the end."""
    account = venue.account
    troubled = account.journal.faults or account.position_lag_ms or account.order_lag_ms
    if others_trade or troubled or result.state is LiquidationState.COMPLETED:
        return []
    return [f"nothing went wrong, and it ended {result.state}"]


def deadline(result: LiquidationResult, duration_s: float) -> list[str]:
    """The run ends by its deadline."""
    if duration_s <= result.timeout_seconds + OVERSHOOT_MAX_S:
        return []
    return [f"took {duration_s:.3f} s of {result.timeout_seconds}"]


def trail(events: Events) -> list[str]:
    """Each start has one end and nothing after it; an order is recorded before its answer."""
    names = [name for name, _ in events]
    starts = names.count(AuditEventType.LIQUIDATION_START)
    ends = sum(names.count(end) for end in RUN_ENDS)
    found = [] if starts == ends else [f"{starts} starts, {ends} ends"]
    if ends and names[-1] not in RUN_ENDS:
        found.append(f"{names[-1]} was recorded after the end")
    sent: set[str | None] = set()
    for name, details in events:
        client_order_id = details.get("client_order_id")
        if name == AuditEventType.ORDER_SENT:
            sent.add(client_order_id)
        elif name.startswith("ORDER_") and client_order_id and client_order_id not in sent:
            found.append(f"{client_order_id} was answered before it was recorded")
    return found
