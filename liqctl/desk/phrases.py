"""What an event says, as people would put it: what was sent, what was answered, how long it took.

Where a record does not hold what its type promises (logged by hand, cut, altered), its details are
told as they are. Nothing here is safe to show yet: callers pass it through `clean`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from liqctl.desk.text import count, money
from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.answers import printable
from liqctl.kernel.events import AuditEventType
from liqctl.trail.fold import Outcome, TimedRecord, number, words

_LISTED_MAX: Final = 3
_SIGNIFICANT_MS: Final = 10
_VALUES_MAX: Final = 12
_PARTS_MAX: Final = 2
"""How many values of a list are shown, and how many where each is a record of its own."""

_VALUE_MAX: Final = 300

Details = Mapping[str, Any]

OUTCOME_WORDS: Final = {
    Outcome.DONE: "closed",
    Outcome.REFUSED: "not closed",
    Outcome.UNKNOWN: "unknown whether closed",
    Outcome.OPEN: "not closed as far as is recorded",
}
"""What became of a leg."""


def phrase(event: TimedRecord) -> str | None:
    """Return the event in words; None where only its details can be told."""
    details = event.record.details
    try:
        if event.event_type in _OF_ANSWERS:
            return _OF_ANSWERS[event.event_type](details, event.took_s)
        return _PHRASES[event.event_type](details)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None


def duration(seconds: float | None) -> str:
    """Return a time span for people.

    >>> duration(0.00412), duration(0.3), duration(2.5), duration(None)
    ('4.1 ms', '300 ms', '2.500 s', '? s')
    """
    if seconds is None:
        return "? s"
    ms = seconds * 1000
    if ms >= 1000:  # noqa: PLR2004 - a second
        return f"{seconds:.3f} s"
    return f"{ms:.1f} ms" if ms < _SIGNIFICANT_MS else f"{ms:.0f} ms"


def error_of(details: Details) -> tuple[str | None, float | None, float | None]:
    """Return message, code and HTTP status of a failure, of either form that events have."""
    error = details.get("error")
    source = error if isinstance(error, dict) else details
    return (
        words(source.get("message")),
        number(source.get("code")),
        number(source.get("http_status")),
    )


def reason_of(details: Details) -> str | None:
    """Return why something failed: the message with its code."""
    message, code, status = error_of(details)
    if message is None:
        return None if code is None else f"code {code:.0f}"
    if code is not None:
        return f"{message} (code {code:.0f})"
    return message if status is None else f"{message} (HTTP {status:.0f})"


def scope_of(details: Details) -> str:
    """Return what a START record says the run was for."""
    config = details["config"]
    symbols = config["symbols"]
    where = ", ".join(map(str, symbols)) if symbols else "the whole account"
    if not config["close_positions"]:
        return f"orders of {where}"
    return where if config["cancel_orders"] else f"positions of {where}"


def who_of(details: Details) -> str:
    """Return who started a run and from where, as its first record has it."""
    user = words(details.get("user")) or "somebody unnamed"
    sudo_user = words(details.get("sudo_user"))
    text = f"{sudo_user} (as {user})" if sudo_user and sudo_user != user else user
    text += f" on {words(details.get('host')) or 'an unnamed host'}"
    client = words(details.get("ssh_client"))
    if client:
        text += f", by ssh from {client.split(' ')[0]}"
    match details.get("terminal"):
        case True:
            return f"{text}, at a terminal"
        case False:
            return f"{text}, without a terminal"
        case _:
            return text


def describe_details(details: dict[str, object]) -> str:
    """Return details as words, the symbol aside.

    >>> describe_details({"symbol": "BTCUSDT", "quantity": "0.5", "reduce_only": True})
    'quantity 0.5, reduce only'
    """
    told = []
    for key, value in details.items():
        if key == "symbol" or value is None or value in ("", [], {}):
            continue
        name = printable(key, 64).replace("_", " ")
        match value:
            case True:
                told.append(name)
            case False:
                told.append(f"not {name}")
            case _:
                told.append(f"{name} {value_of(value)}")
    return ", ".join(told)


def value_of(value: object) -> str:
    """Return one detail as words, safe to show."""
    match value:
        case dict():
            return f"({describe_details(value)})"
        case list():
            is_deep = any(isinstance(item, dict) for item in value)
            values_max = _PARTS_MAX if is_deep else _VALUES_MAX
            shown = "; ".join(value_of(item) for item in value[:values_max])
            more = len(value) - values_max
            return f"[{shown}{f'; {more} more' if more > 0 else ''}]"
        case _:
            return printable(str(value), _VALUE_MAX)


def _started(details: Details) -> str:
    retries = details["config"]["max_retries"]
    return f"{scope_of(details)}, within {details['timeout_seconds']:g} s, retries {retries}"


def _read(details: Details) -> str:
    unread = details.get("unread")
    if details.get("only") == "positions":
        found = "no answer" if details["positions"] is None else _positions(details)
        return f"a look: {found}{_unread(unread)}"
    counts = [
        _positions(details) if details["positions"] is not None else "positions not read",
        _read_count(details["regular_orders"], "order"),
        _read_count(details["algo_orders"], "conditional order"),
    ]
    return f"{', '.join(counts)}, in {duration(number(details.get('reading_s')))}{_unread(unread)}"


def _positions(details: Details) -> str:
    positions, notional = details["positions"], parse_decimal(details["notional"])
    held = count(positions, "position")
    return f"{held} of {money(notional)}" if positions and notional is not None else held


def _read_count(number: float | None, noun: str) -> str:
    return f"{noun}s not read" if number is None else count(number, noun)


def _unread(unread: object) -> str:
    if not isinstance(unread, dict) or not unread:
        return ""
    return "; unread: " + "; ".join(f"{source}: {why}" for source, why in unread.items())


def _cancel_sent(details: Details) -> str:
    ids = details["order_ids"]
    noun = "conditional order" if "algo" in details["endpoint"].lower() else "order"
    listed = ", ".join(map(str, ids[:_LISTED_MAX]))
    more = ", …" if len(ids) > _LISTED_MAX else ""
    return f"{count(len(ids), noun)}: {listed}{more}" if ids else f"every {noun}"


def _cancelled(details: Details, took_s: float | None) -> str:
    return f"{_cancel_sent(details)}, after {duration(took_s)}"


def _sent(details: Details) -> str:
    parts = [f"{details['side']} {details['quantity']} {details['type']}"]
    if details.get("price"):
        parts[0] += f" at {details['price']}"
    parts += ["reduce only"] if details.get("reduce_only") else []
    parts += [f"{details['position_side']} leg"] if details["position_side"] != "BOTH" else []
    parts += [f"attempt {details['attempt']}"] if details["attempt"] != 1 else []
    return ", ".join(parts)


def _placed(details: Details, took_s: float | None) -> str:
    price = f" at {details['price']}" if details.get("price") else ""
    took = ", looked up" if took_s is None else f", after {duration(took_s)}"
    return f"{details['status']}, {details['executed']} of {details['quantity']}{price}{took}"


def _refused(details: Details, took_s: float | None) -> str:
    reason = reason_of(details)
    if reason is None:
        raise LookupError
    return reason if took_s is None else f"{reason}, after {duration(took_s)}"


def _retry(details: Details) -> str:
    how = details.get("adaptation") or details["reaction"]
    return f"{_HOW.get(how, how)} in {duration(details['backoff_s'])}: {details['reason']}"


def _closed(details: Details) -> str:
    return f"{details['quantity']}, {count(details['attempts'], 'order')} sent"


def _gave_up(details: Details) -> str:
    remaining = words(details.get("remaining"))
    left = f"{remaining} of {details['quantity']} left, " if remaining else ""
    return f"{left}{count(details['attempts'], 'order')} sent: {reason_of(details) or 'no reason'}"


def _verified(details: Details) -> str:
    readings = count(details["readings_in_a_row"], "reading")
    kept = f", {count(details['kept'], 'stop')} kept" if details.get("kept") else ""
    settled_s = number(details.get("settled_seconds"))
    watched = "" if settled_s is None else f" over {duration(settled_s)}"
    sources = details.get("sources")
    where = f" of {' and '.join(map(str, sources))}" if sources else ""
    return f"{'flat' if details['flat'] else 'not flat'}, by {readings}{where}{watched}{kept}"


def _flat_seen(details: Details) -> str:
    settle_s, watch_s = details["settle_seconds"], details["watch_seconds"]
    text = f"nothing is listed; watched for {watch_s:.1f} s at most"
    # A tenth of a second is what the engine's own readings take.
    is_short = watch_s < settle_s - 0.1
    return f"{text}: the deadline leaves no more of {settle_s:g} s" if is_short else text


def _reentry(details: Details) -> str:
    ids = details.get("client_order_ids") or []
    quantity = words(details.get("quantity"))
    opened = [f"{quantity} on {details['position_side']}"] if quantity else []
    if ids:
        more = ", …" if len(ids) > _LISTED_MAX else ""
        opened.append(f"orders {', '.join(map(str, ids[:_LISTED_MAX]))}{more}")
    return f"opened by others during the run: {'; '.join(opened) or details['position_side']}"


def _ended(details: Details) -> str:
    parts = [f"exit {details['exit_code']}"]
    for noun, done in (("order", "cancelled"), ("position", "closed")):
        found = details[f"{noun}s_found"]
        ended = f"{details[f'{noun}s_{done}']} of"
        parts.insert(
            0, f"{noun}s not read" if found is None else f"{ended} {count(found, noun)} {done}"
        )
    text = ", ".join(parts)
    return f"{text}: {details['error_message']}" if details.get("error_message") else text


def _abandoned(details: Details) -> str:
    fates = "; ".join(
        f"{order['symbol']} {order['client_order_id']}: {order['fate']}"
        for order in details["orders"]
    )
    unanswered = count(details["unanswered"], "order")
    text = f"process {details['pid']} is gone; {unanswered} unanswered"
    return f"{text}; {fates}" if fates else text


_HOW: Final = {
    "SEND_AGAIN": "again",
    "SYNC_CLOCK": "again with the clock set",
    "PLAN_AGAIN": "planned again",
    "AGAIN": "planned again",
    "CANCEL_FIRST": "again after cancelling",
    "SPLIT": "again in smaller parts",
    "ROUND": "again, rounded",
    "MODE": "again for the account's position mode",
    "LIMIT_IOC": "again, as a limit order inside the band and at market in turn",
    "REPRICE": "again from the bound that the venue named",
}
_PHRASES: Final[Mapping[str, Callable[[Details], str]]] = {
    AuditEventType.LIQUIDATION_START: _started,
    AuditEventType.SNAPSHOT_TAKEN: _read,
    AuditEventType.ORDER_CANCEL_SENT: _cancel_sent,
    AuditEventType.ORDER_SENT: _sent,
    AuditEventType.RETRY_SCHEDULED: _retry,
    AuditEventType.POSITION_CLOSED: _closed,
    AuditEventType.POSITION_FAILED: _gave_up,
    AuditEventType.FLAT_SEEN: _flat_seen,
    AuditEventType.REENTRY_SEEN: _reentry,
    AuditEventType.VERIFIED: _verified,
    AuditEventType.LIQUIDATION_COMPLETE: _ended,
    AuditEventType.LIQUIDATION_PARTIAL: _ended,
    AuditEventType.LIQUIDATION_FAILED: _ended,
    AuditEventType.LIQUIDATION_ABANDONED: _abandoned,
    AuditEventType.LIQUIDATION_BLOCKED: "nothing was sent: {holder} has the account".format_map,
    AuditEventType.LIQUIDATION_SKIPPED: "nothing was sent: {reason}".format_map,
}
_OF_ANSWERS: Final[Mapping[str, Callable[[Details, float | None], str]]] = {
    AuditEventType.ORDER_CANCELLED: _cancelled,
    AuditEventType.ORDER_CANCEL_REJECTED: _refused,
    AuditEventType.ORDER_PLACED: _placed,
    AuditEventType.ORDER_REJECTED: _refused,
    AuditEventType.ORDER_UNKNOWN: _refused,
}
