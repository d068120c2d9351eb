"""Sentences for the operator: why a run did not end flat, and what else was noticed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.result import OrderReport, PositionReport
from liqctl.kernel.states import OrderState, PositionState
from liqctl.kernel.values import OpenOrder, PositionSide, Snapshot

LETS_NOTHING_THROUGH: Final = "the venue lets nothing through"
"""How a ban or a firewall is told; what follows is the venue's own word."""

_NAMED_MAX: Final = 5
_PREFIX_LENGTH: Final = 8
_KEY_REFUSED: Final = frozenset({-2014, -2015})
_KEY_UNKNOWN: Final = -2008
_SIGNATURE: Final = -1022
_UNAUTHORISED: Final = 401

_NOT_CLOSED: Final = {PositionState.PARTIAL, PositionState.FAILED, PositionState.UNKNOWN}


def explain_refusal(answer: VenueAnswer) -> str:
    """Return why the venue let nothing through, with every likely cause."""
    if answer.kind is AnswerKind.PAUSE:
        until = ""
        if answer.banned_until_ms is not None:
            moment = datetime.fromtimestamp(answer.banned_until_ms / 1000, tz=UTC)
            until = f"; banned until {moment:%Y-%m-%d %H:%M:%S} UTC"
        return f"{LETS_NOTHING_THROUGH}: {answer.describe()}{until}"
    if answer.code == _KEY_UNKNOWN:
        return (
            f"the venue does not know the key: {answer.describe()}; either the key was deleted, or "
            "a demo key was sent to the live venue or a live key to the demo venue"
        )
    if answer.code in _KEY_REFUSED or answer.status == _UNAUTHORISED:
        return (
            f"the venue refused the key: {answer.describe()}; either the key or secret is wrong or "
            "expired, or this machine's IP address is not on the key's list, or the key has no "
            "futures permission, or the account is in portfolio margin"
        )
    if answer.code == _SIGNATURE:
        return f"the venue refused the signature: {answer.describe()}; the secret is likely wrong"
    return f"the venue refused this key or machine: {answer.describe()}"


def explain_unread(snapshot: Snapshot) -> str | None:
    """Return what a reading could not read and why, None when it was complete."""
    names: dict[str, list[str]] = {}
    for name, reason in snapshot.unread.items():
        names.setdefault(reason, []).append(name)
    failed = [f"{' and '.join(those)} ({reason})" for reason, those in names.items()]
    return f"could not read: {', '.join(failed)}" if failed else None


def explain_positions(positions: Sequence[PositionReport]) -> str | None:
    """Return which positions are or may be open and why, None when all are closed."""
    left = [position for position in positions if position.state in _NOT_CLOSED]
    if not left:
        return None
    named = "; ".join(_one_position(position) for position in left[:_NAMED_MAX])
    more = f"; and {len(left) - _NAMED_MAX} more" if len(left) > _NAMED_MAX else ""
    verb = "is or may be" if len(left) == 1 else "are or may be"
    noun = "position" if len(positions) == 1 else "positions"
    return f"{len(left)} of {len(positions)} {noun} {verb} open: {named}{more}"


def explain_orders(orders: Sequence[OrderReport]) -> str | None:
    """Return how many orders are or may be open, None when all are settled."""
    left = [o for o in orders if o.state in {OrderState.FAILED, OrderState.UNKNOWN}]
    if not left:
        return None
    symbols = sorted({order.symbol for order in left})
    named = ", ".join(symbols[:_NAMED_MAX])
    verb = "is or may be" if len(left) == 1 else "are or may be"
    noun = "order" if len(orders) == 1 else "orders"
    return f"{len(left)} of {len(orders)} {noun} {verb} open, on {named}"


def explain_strangers(ids: Iterable[str], reopened: Sequence[str]) -> str | None:
    """Return that somebody else is trading on the account, with the ids and prefixes seen."""
    ids = list(ids)
    if not ids and not reopened:
        return None
    parts = []
    if reopened:
        parts.append(f"positions appeared again on {', '.join(reopened[:_NAMED_MAX])}")
    if ids:
        prefixes = Counter(order_id[:_PREFIX_LENGTH] for order_id in ids)
        common = ", ".join(f"{prefix}…" for prefix, _ in prefixes.most_common(_NAMED_MAX))
        parts.append(
            f"new orders appeared: {', '.join(ids[:_NAMED_MAX])} (client order ids begin {common})"
        )
    return (
        "something is still trading on this account: "
        + "; ".join(parts)
        + ". Stop that program or disable its key, then run again"
    )


def explain_watch(watched_s: float, missing: Sequence[str]) -> str:
    """Return why an account that reads flat was not proven flat."""
    why = "; ".join(missing) or "it was not watched for long enough"
    return f"nothing was listed for {watched_s:.1f} s, but that proves nothing: {why}"


def explain_failed_sweeps(unanswered: Iterable[str], refused: Iterable[str]) -> list[str]:
    """Return the sentences about the symbols whose last cancel of all orders had no success."""
    ends = {
        "sent twice and not answered; the lists show no order there": unanswered,
        "refused twice; the lists show no order there, but one that no list shows would still "
        "stand": refused,
    }
    return [
        f"the last cancel of all orders on {named} was {end}"
        for end, symbols in ends.items()
        if (named := ", ".join(sorted(symbols)[:_NAMED_MAX]))
    ]


def explain_kept(orders: Sequence[OrderReport]) -> list[str]:
    """Return one sentence for each protective stop that was kept."""
    sentences = []
    for order in orders:
        if order.state is not OrderState.KEPT:
            continue
        trigger = f" at {plain(order.trigger_price)}" if order.trigger_price is not None else ""
        sentences.append(
            f"kept the protective {order.type or 'stop'} on {order.symbol}{trigger} "
            f"(conditional order {order.order_id}): its position is still open"
        )
    return sentences


def explain_contradiction(order: OpenOrder) -> str:
    """Return what an order that can only reduce says of a leg that reads flat."""
    leg = order.symbol
    if order.position_side is not PositionSide.BOTH:
        leg += f" {order.position_side.value}"
    return (
        f"{leg} reads flat, but {order.type or 'an order'} {order.order_id} rests on it that can "
        "only reduce a position: one may be open that the list does not show yet"
    )


def explain_oversized(orders: Iterable[OpenOrder]) -> list[str]:
    """Return one sentence for each stop that was not kept although its leg was open."""
    return [
        f"did not keep the {order.type or 'stop'} on {order.symbol} (conditional order "
        f"{order.order_id}): it trades {plain(order.quantity)}, more than its position held, and "
        "would have opened the rest the other way"
        for order in orders
        if order.quantity is not None
    ]


def _one_position(position: PositionReport) -> str:
    remaining = "quantity unknown" if position.remaining is None else plain(position.remaining)
    reason = position.error.message if position.error else "no reason known"
    code = f" (code {position.error.code})" if position.error and position.error.code else ""
    return f"{position.symbol} {position.side} {remaining}: {reason}{code}"
