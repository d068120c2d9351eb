"""The audit trail in words: records, runs as a story, and the state of the chain.

`phrase` says an event as people would put it: what was sent, what was answered, how long it took.
Where a record does not hold what its type promises (logged by hand, cut, altered), its details are
told as they are. Phrases are not safe to show yet: callers pass them through `clean`. What is
rendered here went through `printable`: a symbol or a venue's message may hold anything. Without a
width nothing is wrapped, so that a pipe gets one line a message.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from liqctl.desk.text import Tone, count, money, named, paint, scope_words, sized
from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.answers import printable
from liqctl.kernel.events import FAILURES, RUN_ENDS, AuditEventType
from liqctl.kernel.states import Product
from liqctl.trail.file import TrailRecord
from liqctl.trail.fold import Fate, LegStory, TimedRecord, fold_run, number, words
from liqctl.trail.verify import Verification

# A terminal of this width shows the date and the run too.
WIDE_COLUMNS: Final = 120
# The longest event's name, most symbols, and an id as liqctl makes them.
_EVENT_COLUMNS: Final = 21
_SYMBOL_COLUMNS: Final = 12
_ID_COLUMNS: Final = 26
_HANGING: Final = 15
_NARROWEST: Final = 40
# Where the words begin, behind moment and event.
_PHRASE_COLUMN: Final = 36
_ROOM_MIN: Final = 76
"""A narrower terminal continues lines near its left edge."""

_PHRASE_MAX: Final = 600
# So many ids tell which orders are meant; a book may have hundreds.
_LISTED_MAX: Final = 3
# Below this a tenth of a millisecond is told.
_SIGNIFICANT_MS: Final = 10
_VALUES_MAX: Final = 12
_PARTS_MAX: Final = 2
"""How many values of a list are shown, and how many where each is a record of its own."""

_VALUE_MAX: Final = 300

Details = Mapping[str, Any]

_GOOD: Final = {
    AuditEventType.LIQUIDATION_COMPLETE,
    AuditEventType.POSITION_CLOSED,
    AuditEventType.ORDER_CANCELLED,
    AuditEventType.VERIFIED,
}
LEG_ENDS: Final = {
    Fate.DONE: "closed",
    Fate.REFUSED: "NOT CLOSED",
    Fate.UNKNOWN: "UNKNOWN whether closed",
    Fate.OPEN: "NOT CLOSED as far as is recorded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How to render: columns of the terminal (None: a pipe, nothing is wrapped), and colours."""

    width: int | None = None
    colour: bool = False

    def paint(self, text: str, tone: Tone | None) -> str:
        """Return the text in a tone, or as it is."""
        return paint(text, tone, colour=self.colour) if tone else text

    def paint_event(self, line: str, event_type: str) -> str:
        """Return the line with the event in it painted: bad, or proven done."""
        tone = Tone.STRONG if event_type.startswith("LIQUIDATION_") else None
        tone = Tone.GOOD if event_type in _GOOD else tone
        tone = Tone.BAD if event_type in FAILURES else tone
        name = printable(event_type)
        return line.replace(name, self.paint(name, tone), 1)

    def wrap(self, line: str, indent: int = _HANGING) -> str:
        """Return the line, continued under its own column where the terminal is narrower."""
        if self.width is None:
            return line
        width, hanging = max(self.width, _NARROWEST), " " * indent
        return textwrap.fill(line, width, subsequent_indent=hanging, break_on_hyphens=False)


def render_record(record: TrailRecord, style: Style) -> str:
    """Return one line of the trail in columns: time, run, event, symbol, details in words."""
    symbol = record.details.get("symbol")
    # Not a column of its own: most trails name no account.
    of = f"account {printable(record.account)}, " if record.account else ""
    cells = [
        f"{printable(record.event_type):<{_EVENT_COLUMNS}}",
        f"{printable(symbol, 32) if isinstance(symbol, str) else '':<{_SYMBOL_COLUMNS}}",
        f"{of}{describe_details(record.details)}",
    ]
    at = printable(record.timestamp)
    if style.width is not None and style.width < WIDE_COLUMNS:
        cells = [at[11:23], *cells]
    else:
        cells = [at, f"{printable(record.correlation_id):<{_ID_COLUMNS}}", *cells]
    line = style.wrap("  ".join(cells).rstrip())
    return style.paint_event(line, record.event_type)


def render_unreadable(line: bytes, style: Style) -> str:
    """Return what is shown for a line that is no record."""
    start = printable(line[:40].decode("utf-8", "replace"), 40)
    return style.paint(f"(unreadable line of {len(line)} bytes: {start})", Tone.QUIET)


def render_verification(found: Verification, style: Style) -> str:
    """Return what a check of the chain found, verdict first."""
    verdict = style.paint("BROKEN", Tone.BAD)
    if found.is_intact:
        verdict = style.paint("intact", Tone.GOOD)
    lines = [
        f"{printable(found.path, 1000)}: the chain is {verdict}",
        (
            f"{count(found.records, 'record')} of "
            f"{count(found.correlation_ids, 'correlation id')}, "
            f"{count(found.runs, 'run')}, {count(found.lines, 'line')}, "
            f"{count(found.size_bytes, 'byte')}"
        ),
    ]
    lines += [
        f"line {item.line}: {printable(item.reason)}"
        + (f" (run {printable(item.correlation_id)})" if item.correlation_id else "")
        for item in found.breaks
    ]
    more = found.break_count - len(found.breaks)
    lines += [f"and {more} more breaks"] if more else []
    lines += [
        f"line {item.line}: unfinished line of {item.length} bytes, kept as it was found"
        for item in found.torn
    ]
    more = found.torn_count - len(found.torn)
    lines += [f"and {more} more unfinished lines"] if more else []
    lines += [
        f"unfinished run {printable(run.correlation_id)}, started {printable(run.began_at)}: "
        "under way, or it died"
        for run in found.unfinished
    ]
    if found.head_found is False:
        lines.append(
            "the head that was asked for is in none of the records: the file was cut, "
            "rewritten, or is another one"
        )
    lines.append(f"head {found.head or 'none'}")
    return "\n".join(style.wrap(line) for line in lines)


def render_run(records: Sequence[TrailRecord], style: Style) -> str:
    """Return one run, or one armed time, as a story; `records` are its own, in order, not none."""
    story, first, last = fold_run(records), records[0], records[-1]
    spent = story.spent_s if story.spent_s is not None else story.last_s
    name = style.paint(printable(story.correlation_id), Tone.STRONG)
    limit = "" if story.deadline_s is None else f" of {story.deadline_s:g} s"
    where = printable(story.environment) or "an unnamed environment"
    of = f" of account {printable(story.account)}" if story.account else ""
    is_armed = first.event_type == AuditEventType.ARMED
    noun = "Armed time" if is_armed else "Run"
    title = [
        f"{noun} {name}{of} in {where}, {spent:.3f} s{limit} long",
        f"Started {printable(first.timestamp)} by {printable(who_of(first.details))}",
    ]
    why = first.details.get("reason")
    title += [f"Reason: {value_of(why)}"] if why else []
    parts = [style.wrap(line) for line in title]
    whole = "The armed process" if is_armed else "The run"
    is_wide = style.width is None or style.width >= _ROOM_MIN
    indent = _PHRASE_COLUMN if is_wide else _HANGING
    # What names no symbol is told first, as the run's own; then the symbols as they come up.
    by_symbol: dict[str | None, list[TimedRecord]] = {None: []}
    for event in story.events:
        symbol = None if event.symbol is None else printable(event.symbol, 32)
        by_symbol.setdefault(symbol or None, []).append(event)
    for symbol, events in by_symbol.items():
        if not events:
            continue
        product = events[0].record.details.get("product")
        parts += ["", style.paint(named(symbol, product) if symbol else whole, Tone.STRONG)]
        parts += [
            style.wrap(f"  {_end_of(leg)}", 4)
            for leg in story.legs
            if symbol is not None and printable(leg.symbol, 32) == symbol
        ]
        for event in events:
            at = "? s" if event.at_s is None else f"{event.at_s:.3f} s"
            if (told := phrase(event)) is None:
                told = describe_details(event.record.details)
            else:
                told = printable(told, _PHRASE_MAX)
            line = f"  {at:>9}  {printable(event.event_type):<{_EVENT_COLUMNS}}  {told}".rstrip()
            parts.append(style.paint_event(style.wrap(line, indent), event.event_type))
    goes_on = "it is armed" if is_armed else "the run is under way"
    ending = style.paint(f"No end is recorded: {goes_on}, or it died.", Tone.BAD)
    alone = {
        *(AuditEventType.LIQUIDATION_BLOCKED, AuditEventType.LIQUIDATION_SKIPPED),
        AuditEventType.DISARMED,
    }
    if last.event_type in RUN_ENDS | alone:
        ended = f"Ended {printable(last.timestamp)}: {printable(last.event_type)}"
        ending = style.paint_event(ended, last.event_type)
    return "\n".join([*parts, "", ending])


def _end_of(leg: LegStory) -> str:
    """Return what became of a leg, how long it took, and with how many requests."""
    side = "" if leg.position_side == "BOTH" else f"{printable(leg.position_side, 8)} leg "
    parts = [count(len(leg.orders), "order") + " sent"]
    parts += [count(leg.retries, "repeat")] if leg.retries else []
    if leg.began_s is not None and leg.ended_s is not None:
        parts.append(f"{duration(leg.ended_s - leg.began_s)} from the first to the proof")
    reason = reason_of(leg.last_word.details) if leg.last_word else None
    if reason and leg.outcome is not Fate.DONE:
        parts.append(printable(reason))
    return f"{side}{LEG_ENDS[leg.outcome]}: {', '.join(parts)}"


def phrase(event: TimedRecord) -> str | None:
    """Return the event in words; None where only its details can be told."""
    details = event.record.details
    try:
        if event.event_type in _OF_ANSWERS:
            return _OF_ANSWERS[event.event_type](details, event.took_s)
        told = _PHRASES[event.event_type](details)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    is_beside = event.symbol is None and details.get("product") == Product.COINM
    return f"{Product.COINM.shown}: {told}" if is_beside else told


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
    where = scope_words(symbols, config.get("products") or ())
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
        if key == "product" and value == Product.USDM:  # What nothing is said of.
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


def _size(details: Details, name: str) -> str:
    return sized(details[name], details.get("product"))


def _at_price(details: Details) -> str:
    return f" at {details['price']}" if details.get("price") else ""


def _read(details: Details) -> str:
    unread = details.get("unread")
    left_out = ""
    if isinstance(unread, dict) and unread:
        left_out = "; unread: " + "; ".join(f"{source}: {why}" for source, why in unread.items())

    def counted(number: float | None, noun: str) -> str:
        return f"{noun}s not read" if number is None else count(number, noun)

    positions = details["positions"]
    held = counted(positions, "position")
    if positions and (notional := parse_decimal(details["notional"])) is not None:
        held = f"{held} of {money(notional)}"
    if details.get("only") == "positions":
        return f"a look: {'no answer' if positions is None else held}{left_out}"
    orders = counted(details["regular_orders"], "order")
    conditional = counted(details["algo_orders"], "conditional order")
    took = duration(number(details.get("reading_s")))
    return f"{held}, {orders}, {conditional}, in {took}{left_out}"


def _cancel_sent(details: Details) -> str:
    ids = details["order_ids"]
    path = details["endpoint"].lower()
    noun = "conditional order" if "algo" in path or "conditional" in path else "order"
    noun = "execution algorithm" if "/sapi/" in path else noun
    return f"{count(len(ids), noun)}: {_some(ids)}" if ids else f"every {noun}"


def _some(ids: Sequence[object]) -> str:
    return ", ".join(map(str, ids[:_LISTED_MAX])) + (", …" if len(ids) > _LISTED_MAX else "")


def _sent(details: Details) -> str:
    parts = [f"{details['side']} {_size(details, 'quantity')} {details['type']}"]
    parts[0] += _at_price(details)
    parts += ["reduce only"] if details.get("reduce_only") else []
    parts += [f"{details['position_side']} leg"] if details["position_side"] != "BOTH" else []
    parts += [f"attempt {details['attempt']}"] if details["attempt"] != 1 else []
    return ", ".join(parts)


def _refused(details: Details, took_s: float | None) -> str:
    reason = reason_of(details)
    if reason is None:
        raise LookupError
    return reason if took_s is None else f"{reason}, after {duration(took_s)}"


def _gave_up(details: Details) -> str:
    remaining = words(details.get("remaining"))
    left = f"{remaining} of {_size(details, 'quantity')} left, " if remaining else ""
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
    # A tenth of a second is what a run's own readings take.
    is_short = watch_s < settle_s - 0.1
    return f"{text}: the deadline leaves less than {settle_s:g} s" if is_short else text


def _reentry(details: Details) -> str:
    ids = details.get("client_order_ids") or []
    quantity = _size(details, "quantity") if words(details.get("quantity")) else None
    opened = [f"{quantity} on {details['position_side']}"] if quantity else []
    opened += [f"orders {_some(ids)}"] if ids else []
    return f"opened by others during the run: {'; '.join(opened) or details['position_side']}"


def _ended(details: Details) -> str:
    parts = []
    for noun, done in (("position", "closed"), ("order", "cancelled")):
        found = details[f"{noun}s_found"]
        ended = f"{details[f'{noun}s_{done}']} of"
        parts.append(
            f"{noun}s not read" if found is None else f"{ended} {count(found, noun)} {done}"
        )
    text = ", ".join([*parts, f"exit {details['exit_code']}"])
    return f"{text}: {details['error_message']}" if details.get("error_message") else text


def _armed(details: Details) -> str:
    watched = [str(guard) for guard in details["guards"]]
    watched += [f"heartbeat {details['heartbeat']}"] if details.get("heartbeat") else []
    hold = f"held flat for {details['hold_seconds']:g} s after a trip"
    only = "; only observed, nothing would be closed" if details.get("observe") else ""
    again = "; armed again after a trip" if details.get("rearmed") else ""
    notes = "".join(f"; {note}" for note in details.get("notes") or ())
    return f"{', '.join(watched) or 'no guard'}; {hold}{only}{again}{notes}"


def _disarmed(details: Details) -> str:
    tripped = ", after a trip" if details["tripped"] and details["reason"] != "tripped" else ""
    left = details.get("countdowns_left")
    timers = f"; the venue's countdown may run out on {_some(left)}" if left else ""
    return f"{details['reason']}, armed for {details['armed_seconds']:g} s{tripped}{timers}"


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
    AuditEventType.LIQUIDATION_START: lambda details: (
        f"{scope_of(details)}, within {details['timeout_seconds']:g} s, "
        f"retries {details['config']['max_retries']}"
    ),
    AuditEventType.SNAPSHOT_TAKEN: _read,
    AuditEventType.ORDER_CANCEL_SENT: _cancel_sent,
    AuditEventType.ORDER_SENT: _sent,
    AuditEventType.RETRY_SCHEDULED: lambda details: (
        f"{_HOW.get(how := details.get('adaptation') or details['reaction'], how)} in "
        f"{duration(details['backoff_s'])}: {details['reason']}"
    ),
    AuditEventType.POSITION_CLOSED: lambda details: (
        f"{_size(details, 'quantity')}, {count(details['attempts'], 'order')} sent"
    ),
    AuditEventType.POSITION_FAILED: _gave_up,
    AuditEventType.FLAT_SEEN: _flat_seen,
    AuditEventType.REENTRY_SEEN: _reentry,
    AuditEventType.VERIFIED: _verified,
    AuditEventType.LIQUIDATION_COMPLETE: _ended,
    AuditEventType.LIQUIDATION_PARTIAL: _ended,
    AuditEventType.LIQUIDATION_FAILED: _ended,
    AuditEventType.LIQUIDATION_ABANDONED: lambda details: "; ".join(
        (
            f"process {details['pid']} is gone; {count(details['unanswered'], 'order')} unanswered",
            *("{symbol} {client_order_id}: {fate}".format_map(each) for each in details["orders"]),
        )
    ),
    AuditEventType.LIQUIDATION_BLOCKED: "nothing was sent: {holder} has the account".format_map,
    AuditEventType.LIQUIDATION_SKIPPED: "nothing was sent: {reason}".format_map,
    AuditEventType.ARMED: _armed,
    AuditEventType.ARM_DEGRADED: lambda details: (
        f"{'blind' if details['blind'] else 'degraded'}: {'; '.join(map(str, details['causes']))}"
    ),
    AuditEventType.ARM_RESTORED: lambda details: (
        f"everything is there again, after {details['degraded_seconds']:g} s"
    ),
    AuditEventType.ARM_TRIPPED: lambda details: (
        "{reason}; only observed" if details.get("observe") else "{reason}; run {run}"
    ).format_map(details),
    AuditEventType.DISARMED: _disarmed,
}
_OF_ANSWERS: Final[Mapping[str, Callable[[Details, float | None], str]]] = {
    AuditEventType.ORDER_CANCELLED: lambda details, took_s: (
        f"{_cancel_sent(details)}, after {duration(took_s)}"
    ),
    AuditEventType.ORDER_CANCEL_REJECTED: _refused,
    AuditEventType.ORDER_PLACED: lambda details, took_s: (
        f"{details['status']}, {details['executed']} of {_size(details, 'quantity')}"
        f"{_at_price(details)}{', looked up' if took_s is None else f', after {duration(took_s)}'}"
    ),
    AuditEventType.ORDER_REJECTED: _refused,
    AuditEventType.ORDER_UNKNOWN: _refused,
}
