"""The audit trail in words: lines in columns, one run as a story, and the state of the chain.

Everything shown went through `printable`: a symbol or a venue's message may hold anything. Without
a width nothing is wrapped, so that a pipe gets one line a message.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from liqctl.domain.answers import printable
from liqctl.domain.events import FAILURES, RUN_ENDS, AuditEventType
from liqctl.domain.trail import TrailRecord, Verification

WIDE_COLUMNS: Final = 120
_EVENT_COLUMNS: Final = 21
_SYMBOL_COLUMNS: Final = 12
_ID_COLUMNS: Final = 26
_HANGING: Final = " " * 15
_VALUES_MAX: Final = 12
_VALUE_MAX: Final = 300
_RED: Final = "31"
_GREEN: Final = "32"
_CYAN: Final = "36"
_DIM: Final = "2"
_RUN_FIRST: Final = ""
_GOOD: Final = frozenset(
    {
        AuditEventType.LIQUIDATION_COMPLETE,
        AuditEventType.POSITION_CLOSED,
        AuditEventType.ORDER_CANCELLED,
        AuditEventType.VERIFIED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How to render: columns of the terminal (None: a pipe, nothing is wrapped), and colours."""

    width: int | None = None
    colour: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether there is no room for a correlation id and a full date."""
        return self.width is not None and self.width < WIDE_COLUMNS

    def paint(self, text: str, colour: str) -> str:
        """Return the text in a colour, or as it is."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.colour and colour else text


def render_record(record: TrailRecord, style: Style) -> str:
    """Return one line of the trail in columns: time, run, event, symbol, details in words."""
    event = f"{printable(record.event_type):<{_EVENT_COLUMNS}}"
    symbol = f"{_symbol(record):<{_SYMBOL_COLUMNS}}"
    words = describe_details(record.details)
    if style.is_narrow:
        cells = [printable(record.timestamp)[11:23], event, symbol, words]
    else:
        run = f"{printable(record.correlation_id):<{_ID_COLUMNS}}"
        cells = [printable(record.timestamp), run, event, symbol, words]
    line = _wrap("  ".join(cells).rstrip(), style)
    return line.replace(event.strip(), style.paint(event.strip(), _colour(record.event_type)), 1)


def render_unreadable(line: bytes, style: Style) -> str:
    """Return what is shown for a line that is no record."""
    start = printable(line[:40].decode("utf-8", "replace"), 40)
    return style.paint(f"(unreadable line of {len(line)} bytes: {start})", _DIM)


def render_run(records: Sequence[TrailRecord], style: Style) -> str:
    """Return one run as a story: who and why, the run's own events, each symbol's, the end.

    Args:
        records: the run's records in order; at least one.
        style: how to render.
    """
    first, last = records[0], records[-1]
    parts = [_title(first, last, style)]
    for symbol, events in _by_symbol(records).items():
        parts.append("")
        parts.append(style.paint(symbol or "The run", "1"))
        parts.extend(_timeline(events, first, style))
    parts += ["", _ending(last, style)]
    return "\n".join(parts)


def render_verification(found: Verification, style: Style) -> str:
    """Return what a check of the chain found, verdict first."""
    verdict = style.paint("intact", _GREEN) if found.is_intact else style.paint("BROKEN", _RED)
    lines = [
        f"{printable(found.path, 1000)}: the chain is {verdict}",
        (
            f"{found.records} records of {found.correlation_ids} correlation ids, "
            f"{found.runs} runs, {found.lines} lines, {found.size_bytes} bytes"
        ),
    ]
    lines += [
        f"line {item.line}: {printable(item.reason)}"
        + (f" (run {printable(item.correlation_id)})" if item.correlation_id else "")
        for item in found.breaks
    ]
    lines += _more(found.break_count - len(found.breaks), "breaks")
    lines += [
        f"line {item.line}: unfinished line of {item.length} bytes, kept as it was found"
        for item in found.torn
    ]
    lines += _more(found.torn_count - len(found.torn), "unfinished lines")
    lines += [
        f"unfinished run {printable(run.correlation_id)}, started {printable(run.started_at)}: "
        "under way, or it died"
        for run in found.unfinished
    ]
    if found.head_found is False:
        lines.append(
            "the head that was asked for is in none of the records: the file was cut, "
            "rewritten, or is another one"
        )
    lines.append(f"head {found.head or 'none'}")
    return "\n".join(_wrap(line, style) for line in lines)


def describe_details(details: dict[str, object]) -> str:
    """Return details as words, the symbol aside.

    >>> describe_details({"symbol": "BTCUSDT", "quantity": "0.5", "reduce_only": True})
    'quantity 0.5, reduce only'
    """
    words = []
    for key, value in details.items():
        if key == "symbol" or value is None or value in ("", [], {}):
            continue
        name = printable(key, 64).replace("_", " ")
        match value:
            case True:
                words.append(name)
            case False:
                words.append(f"not {name}")
            case _:
                words.append(f"{name} {_value(value)}")
    return ", ".join(words)


def _value(value: object) -> str:
    match value:
        case dict():
            return f"({describe_details(value)})"
        case list():
            shown = "; ".join(_value(item) for item in value[:_VALUES_MAX])
            more = len(value) - _VALUES_MAX
            return f"[{shown}{f'; {more} more' if more > 0 else ''}]"
        case _:
            return printable(str(value), _VALUE_MAX)


def _title(first: TrailRecord, last: TrailRecord, style: Style) -> str:
    details = first.details
    who = _value(details.get("sudo_user") or details.get("user") or "somebody unnamed")
    where = _value(details.get("host") or "an unnamed host")
    why = details.get("reason")
    lines = [
        (
            f"Run {style.paint(printable(first.correlation_id), '1')} in "
            f"{printable(first.environment) or 'an unnamed environment'}, "
            f"{_seconds(first, last)} long"
        ),
        f"Started {printable(first.timestamp)} by {who} on {where}",
    ]
    lines += [f"Reason: {_value(why)}"] if why else []
    return "\n".join(_wrap(line, style) for line in lines)


def _timeline(events: Iterable[TrailRecord], first: TrailRecord, style: Style) -> Iterable[str]:
    for record in events:
        event = printable(record.event_type)
        line = (
            f"  {_seconds(first, record):>9}  {event:<{_EVENT_COLUMNS}}  "
            f"{describe_details(record.details)}"
        )
        painted = style.paint(event, _colour(record.event_type))
        yield _wrap(line.rstrip(), style).replace(event, painted, 1)


def _ending(last: TrailRecord, style: Style) -> str:
    if last.event_type in RUN_ENDS:
        end = style.paint(printable(last.event_type), _colour(last.event_type))
        return f"Ended {printable(last.timestamp)}: {end}"
    return style.paint("No end is recorded: the run is under way, or it died.", _RED)


def _by_symbol(records: Sequence[TrailRecord]) -> dict[str, list[TrailRecord]]:
    """Return the records by symbol in order of appearance, those without a symbol first."""
    found: dict[str, list[TrailRecord]] = {_RUN_FIRST: []}
    for record in records:
        found.setdefault(_symbol(record), []).append(record)
    return {symbol: events for symbol, events in found.items() if events}


def _symbol(record: TrailRecord) -> str:
    symbol = record.details.get("symbol")
    return printable(symbol, 32) if isinstance(symbol, str) else ""


def _seconds(first: TrailRecord, later: TrailRecord) -> str:
    try:
        passed = datetime.fromisoformat(later.timestamp) - datetime.fromisoformat(first.timestamp)
        return f"{passed.total_seconds():.3f} s"
    except (ValueError, TypeError):
        return "? s"


def _colour(event_type: str) -> str:
    if event_type in FAILURES:
        return _RED
    if event_type in _GOOD:
        return _GREEN
    return _CYAN if event_type.startswith("LIQUIDATION_") else ""


def _more(count: int, what: str) -> list[str]:
    return [f"and {count} more {what}"] if count > 0 else []


def _wrap(line: str, style: Style) -> str:
    if style.width is None or len(line) <= style.width:
        return line
    return "\n".join(
        textwrap.wrap(
            line,
            width=max(style.width, 40),
            subsequent_indent=_HANGING,
            drop_whitespace=True,
            break_on_hyphens=False,
        )
    )
