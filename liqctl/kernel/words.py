"""What is said in words: what names mean, why a run did not end flat, what else was noticed.

`liqctl explain` and the README's table of exit codes are made of the tables; the venue's codes
stand in `liqctl.kernel.codes`. A new member of one of these enumerations needs its line here.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.answers import VenueAnswer
from liqctl.kernel.codes import AnswerKind
from liqctl.kernel.events import AuditEventType
from liqctl.kernel.result import OrderReport, PositionReport
from liqctl.kernel.states import ExitCode, LiquidationState, OrderState, PositionState
from liqctl.kernel.values import OpenOrder, OrderStatus, PositionSide, Snapshot

LETS_NOTHING_THROUGH: Final = "the venue lets nothing through"
"""How a ban or a firewall is told; what follows is the venue's own word."""

_NAMED_MAX: Final = 5
_PREFIX_LENGTH: Final = 8
_UNAUTHORISED: Final = 401
_NOT_CLOSED: Final = {PositionState.PARTIAL, PositionState.FAILED, PositionState.UNKNOWN}

EXIT_CODES: Final[Mapping[ExitCode, tuple[str, str]]] = {
    ExitCode.DONE: (
        "the account is proven flat in scope, or there was nothing to do; for other commands: done",
        "Nothing. Keep the result's audit_head.",
    ),
    ExitCode.FAILED: (
        "nothing could be closed or cancelled, nothing could be read, or an unexpected error",
        "Run `liqctl status`. If positions are open, run the command again or close by hand.",
    ),
    ExitCode.USAGE: (
        "wrong usage; nothing was sent",
        "Correct the command line. The message names the option.",
    ),
    ExitCode.PARTIAL: (
        (
            "some of the work is proven done, the rest is or may be open (`status --exit-code`: "
            "something is open)"
        ),
        "Read what is left on the screen, run the command again, or close the rest by hand.",
    ),
    ExitCode.CONFIGURATION: (
        "the configuration is invalid; nothing was sent (`validate --strict`: or has warnings)",
        "Correct the keys that the message names, or use flags; then run the command again.",
    ),
    ExitCode.IN_PROGRESS: (
        "a liquidation of this account is already in progress; this run sent nothing",
        "Follow the other run with `liqctl status --watch`. Do not end it.",
    ),
    ExitCode.NOT_CONFIRMED: (
        "not confirmed; nothing was sent",
        "Type the word that the question asks for, or add `--yes` where there is no terminal.",
    ),
    ExitCode.CREDENTIALS: (
        "the key is missing or the venue refused it, and nothing is proven done",
        "Run `liqctl validate --online`, or close by hand now.",
    ),
    ExitCode.AUDIT_INCOMPLETE: (
        (
            "the account is flat, but the audit trail is incomplete or broken (`audit verify`: the "
            "trail is broken)"
        ),
        "The account needs nothing. Keep the output, check the disk, run `liqctl audit verify`.",
    ),
    ExitCode.INTERRUPTED: (
        "interrupted by SIGINT (Ctrl-C); what is known is recorded and printed",
        "Run `liqctl status`: positions and orders may still be open.",
    ),
    ExitCode.TERMINATED: (
        "interrupted by SIGTERM; what is known is recorded and printed",
        "Run `liqctl status`: positions and orders may still be open.",
    ),
}
"""What each exit code means, and what the operator does next."""

KINDS: Final[Mapping[AnswerKind, tuple[str, str]]] = {
    AnswerKind.DONE: (
        "what was asked is already so",
        "Reads the account to confirm it, and sends nothing more for it if the reading agrees.",
    ),
    AnswerKind.TRANSIENT: (
        "the request was not executed, and the reason may pass",
        "Sends it again until the deadline, after the wait that the venue names if it names one.",
    ),
    AnswerKind.UNKNOWN: (
        "the request may have been executed",
        "Looks the order up before it sends anything else for that position.",
    ),
    AnswerKind.REJECTED: (
        "the venue refused this order as it is",
        "Plans the order again, up to max_retries times, then reports the position as not closed.",
    ),
    AnswerKind.LEG_FATAL: (
        "this symbol cannot be closed now",
        "Reports it and goes on with the other symbols.",
    ),
    AnswerKind.RUN_FATAL: (
        "the key, its permissions or this machine's address are refused",
        (
            "Ends with exit code 7 if no request with this key succeeded before. Otherwise it "
            "takes the refusal for one of this request and sends it again until the deadline."
        ),
    ),
    AnswerKind.PAUSE: (
        "this address is banned or blocked",
        (
            "Sends nothing until the time that the venue names, and goes on if that is before the "
            "deadline."
        ),
    ),
}
"""What each kind of answer means, and what liqctl does about it."""

HTTP_STATUSES: Final[Mapping[int, str]] = {
    401: "the key is not authorised",
    403: "the venue's firewall refused the request",
    408: "the venue's backend did not answer in time; the order may have been executed",
    418: "this address is banned for sending too many requests",
    429: "too many requests from this address, or too many orders",
    451: "the venue does not serve this place",
    503: "the venue is overloaded; its text decides whether the order may have been executed",
}
"""The HTTP statuses that operators ask about."""

RUN_STATES: Final[Mapping[LiquidationState, str]] = {
    LiquidationState.IDLE: "no run has started yet",
    LiquidationState.IN_PROGRESS: "a run is under way",
    LiquidationState.COMPLETED: "the account is proven flat in scope, or there was nothing to do",
    LiquidationState.PARTIAL: "some of the work is proven done, the rest is or may be open",
    LiquidationState.FAILED: "nothing is proven closed or cancelled",
    LiquidationState.SKIPPED: "emergency_liquidation is false, so nothing was sent",
}

POSITION_STATES: Final[Mapping[PositionState, str]] = {
    PositionState.CLOSED: "proven closed",
    PositionState.PARTIAL: "part of it is closed, `remaining` is open",
    PositionState.FAILED: "not closed; `error` says why",
    PositionState.UNKNOWN: "an answer or the last reading is missing: it may be open",
    PositionState.SKIPPED: "not touched: a dry run, or positions were not to be closed",
}

ORDER_STATES: Final[Mapping[OrderState, str]] = {
    OrderState.CANCELLED: "proven cancelled by this run",
    OrderState.GONE: "no longer open, by its own fill, expiry or somebody else's cancel",
    OrderState.KEPT: "a protective stop that stays because its position is or may be open",
    OrderState.FAILED: "not cancelled; `error` says why",
    OrderState.UNKNOWN: "an answer or the last reading is missing: it may be open",
    OrderState.SKIPPED: "not touched: a dry run, or orders were not to be cancelled",
}

ORDER_STATUSES: Final[Mapping[OrderStatus, str]] = {
    OrderStatus.NEW: "the venue took the order; nothing is executed yet",
    OrderStatus.PARTIALLY_FILLED: "part of the order is executed, the rest is still open",
    OrderStatus.FILLED: "the whole order is executed",
    OrderStatus.CANCELED: "the order was cancelled; `executed` says how much was filled before",
    OrderStatus.REJECTED: "the venue refused the order",
    OrderStatus.EXPIRED: "the rest of the order expired, usually because the book was too thin",
    OrderStatus.EXPIRED_IN_MATCH: "self-trade prevention let the rest of the order expire",
    OrderStatus.UNREADABLE: "the venue named a status that liqctl does not know",
}

EVENTS: Final[Mapping[AuditEventType, str]] = {
    AuditEventType.LIQUIDATION_START: "a run began; records who started it, why, and its settings",
    AuditEventType.SNAPSHOT_TAKEN: "the account was read; null is what could not be read",
    AuditEventType.ORDER_CANCEL_SENT: "a cancel is about to be sent",
    AuditEventType.ORDER_CANCELLED: "the venue confirmed a cancel",
    AuditEventType.ORDER_CANCEL_REJECTED: "the venue refused a cancel or did not answer it",
    AuditEventType.ORDER_SENT: "a closing order is about to be sent",
    AuditEventType.ORDER_PLACED: "the venue took a closing order; records status and quantity",
    AuditEventType.ORDER_REJECTED: "the venue refused a closing order",
    AuditEventType.ORDER_UNKNOWN: (
        "a closing order was not answered, so it may have been executed; liqctl looks it up before "
        "it sends anything else for that position"
    ),
    AuditEventType.POSITION_CLOSED: "a position is proven closed",
    AuditEventType.POSITION_FAILED: "a position was given up or was still open at the end",
    AuditEventType.RETRY_SCHEDULED: "an order or cancel will be sent again; records when and why",
    AuditEventType.FLAT_SEEN: "nothing is listed any more; the watch for settle_seconds begins",
    AuditEventType.REENTRY_SEEN: (
        "somebody else opened a position or order during the run; liqctl closes it too"
    ),
    AuditEventType.VERIFIED: "the last reading was judged: flat or not, and by which sources",
    AuditEventType.LIQUIDATION_COMPLETE: "the run ended COMPLETED",
    AuditEventType.LIQUIDATION_PARTIAL: "the run ended PARTIAL",
    AuditEventType.LIQUIDATION_FAILED: "the run ended FAILED",
    AuditEventType.LIQUIDATION_BLOCKED: (
        "no run began: another liquidation of this account was in progress"
    ),
    AuditEventType.LIQUIDATION_SKIPPED: "no run began: emergency_liquidation is false",
    AuditEventType.LIQUIDATION_ABANDONED: (
        "a run's process died before its end; the next run of the account recorded this"
    ),
}


def exit_code_table() -> str:
    """Return the table of the exit codes in Markdown."""
    rows = ["| exit code | meaning | next |", "| --- | --- | --- |"]
    rows += [f"| {code:d} | {meaning} | {then} |" for code, (meaning, then) in EXIT_CODES.items()]
    return "\n".join(rows)


def explain_refusal(answer: VenueAnswer) -> str:
    """Return why the venue let nothing through, with every likely cause."""
    if answer.kind is AnswerKind.PAUSE:
        until = ""
        if answer.banned_until_ms is not None:
            moment = datetime.fromtimestamp(answer.banned_until_ms / 1000, tz=UTC)
            until = f"; banned until {moment:%Y-%m-%d %H:%M:%S} UTC"
        return f"{LETS_NOTHING_THROUGH}: {answer.describe()}{until}"
    said = answer.describe()
    match answer.code:
        case -2008:
            return (
                f"the venue does not know the key: {said}; either the key was deleted, or a demo "
                "key was sent to the live venue or a live key to the demo venue"
            )
        case code if code in {-2014, -2015} or answer.status == _UNAUTHORISED:
            return (
                f"the venue refused the key: {said}; either the key or secret is wrong or expired, "
                "or this machine's IP address is not on the key's list, or the key has no futures "
                "permission, or the account is in portfolio margin"
            )
        case -1022:
            return f"the venue refused the signature: {said}; the secret is likely wrong"
        case _:
            return f"the venue refused this key or machine: {said}"


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
    named = []
    for each in left[:_NAMED_MAX]:
        remaining = "quantity unknown" if each.remaining is None else plain(each.remaining)
        reason = each.error.message if each.error else "no reason known"
        code = f" (code {each.error.code})" if each.error and each.error.code else ""
        named.append(f"{each.symbol} {each.side} {remaining}: {reason}{code}")
    if len(left) > _NAMED_MAX:
        named.append(f"and {len(left) - _NAMED_MAX} more")
    return f"{_open_of(len(left), len(positions), 'position')}: {'; '.join(named)}"


def explain_orders(orders: Sequence[OrderReport]) -> str | None:
    """Return how many orders are or may be open, None when all are settled."""
    left = [o for o in orders if o.state in {OrderState.FAILED, OrderState.UNKNOWN}]
    if not left:
        return None
    symbols = sorted({order.symbol for order in left})
    return f"{_open_of(len(left), len(orders), 'order')}, on {', '.join(symbols[:_NAMED_MAX])}"


def _open_of(left: int, total: int, noun: str) -> str:
    verb = "is or may be" if left == 1 else "are or may be"
    return f"{left} of {total} {noun}{'' if total == 1 else 's'} {verb} open"


def explain_strangers(ids: Iterable[str], reopened: Sequence[str]) -> str | None:
    """Return that somebody else is trading on the account, with the ids and prefixes seen."""
    ids = list(ids)
    if not ids and not reopened:
        return None
    seen = []
    if reopened:
        seen.append(f"positions appeared again on {', '.join(reopened[:_NAMED_MAX])}")
    if ids:
        prefixes = Counter(order_id[:_PREFIX_LENGTH] for order_id in ids)
        common = ", ".join(f"{prefix}…" for prefix, _ in prefixes.most_common(_NAMED_MAX))
        named = ", ".join(ids[:_NAMED_MAX])
        seen.append(f"new orders appeared: {named} (client order ids begin {common})")
    return (
        f"something is still trading on this account: {'; '.join(seen)}. Stop that program or "
        "disable its key, then run again"
    )


def explain_watch(watched_s: float, missing: Sequence[str]) -> str:
    """Return why an account that reads flat was not proven flat."""
    why = "; ".join(missing) or "it was not watched for long enough"
    return f"nothing was listed for {watched_s:.1f} s, but that proves nothing: {why}"


def explain_failed_sweeps(unanswered: Iterable[str], refused: Iterable[str]) -> list[str]:
    """Return the sentences about the symbols whose last cancel of all orders had no success."""
    ends = {
        "sent twice and not answered; the lists show no order there": unanswered,
        "refused twice; the lists show no order there, but one that no list shows "
        "would remain": refused,
    }
    return [
        f"the last cancel of all orders on {named} was {end}"
        for end, symbols in ends.items()
        if (named := ", ".join(sorted(symbols)[:_NAMED_MAX]))
    ]


def explain_kept(orders: Sequence[OrderReport]) -> list[str]:
    """Return one sentence for each protective stop that was kept."""
    return [
        f"kept the protective {order.type or 'stop'} on {order.symbol}"
        f"{'' if order.trigger_price is None else f' at {plain(order.trigger_price)}'} "
        f"(conditional order {order.order_id}): its position is still open"
        for order in orders
        if order.state is OrderState.KEPT
    ]


def explain_contradiction(order: OpenOrder) -> str:
    """Return what an order that can only reduce says of a leg that reads flat."""
    is_one_way = order.position_side is PositionSide.BOTH
    leg = order.symbol if is_one_way else f"{order.symbol} {order.position_side.value}"
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
