"""The audit trail in words: lines in columns, and the state of the chain.

Everything shown went through `printable`: a symbol or a venue's message may hold anything. Without
a width nothing is wrapped, so that a pipe gets one line a message.
"""

import textwrap
from dataclasses import dataclass
from typing import Final

from liqctl.audit.record import TrailRecord
from liqctl.audit.verification import Verification
from liqctl.domain.answers import printable
from liqctl.domain.events import FAILURES, AuditEventType
from liqctl.report.text import count

WIDE_COLUMNS: Final = 120
_EVENT_COLUMNS: Final = 21
_SYMBOL_COLUMNS: Final = 12
_ID_COLUMNS: Final = 26
_HANGING: Final = 15
_VALUES_MAX: Final = 12
_PARTS_MAX: Final = 2
"""How many values of a list are shown, and how many where each is a record of its own."""

_VALUE_MAX: Final = 300
RED: Final = "31"
GREEN: Final = "32"
_BOLD: Final = "1"
_DIM: Final = "2"
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
    line = wrap("  ".join(cells).rstrip(), style)
    return line.replace(event.strip(), style.paint(event.strip(), colour_of(record.event_type)), 1)


def render_unreadable(line: bytes, style: Style) -> str:
    """Return what is shown for a line that is no record."""
    start = printable(line[:40].decode("utf-8", "replace"), 40)
    return style.paint(f"(unreadable line of {len(line)} bytes: {start})", _DIM)


def render_verification(found: Verification, style: Style) -> str:
    """Return what a check of the chain found, verdict first."""
    verdict = style.paint("intact", GREEN) if found.is_intact else style.paint("BROKEN", RED)
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
    return "\n".join(wrap(line, style) for line in lines)


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
                words.append(f"{name} {value_of(value)}")
    return ", ".join(words)


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


def _symbol(record: TrailRecord) -> str:
    symbol = record.details.get("symbol")
    return printable(symbol, 32) if isinstance(symbol, str) else ""


def colour_of(event_type: str) -> str:
    """Return the colour of an event: red for what went wrong, green for what is proven done."""
    if event_type in FAILURES:
        return RED
    if event_type in _GOOD:
        return GREEN
    return _BOLD if event_type.startswith("LIQUIDATION_") else ""


def _more(count: int, what: str) -> list[str]:
    return [f"and {count} more {what}"] if count > 0 else []


def wrap(line: str, style: Style, indent: int = _HANGING) -> str:
    """Return the line, continued under its own column where the terminal is narrower."""
    if style.width is None or len(line) <= style.width:
        return line
    return "\n".join(
        textwrap.wrap(
            line,
            width=max(style.width, 40),
            subsequent_indent=" " * indent,
            drop_whitespace=True,
            break_on_hyphens=False,
        )
    )
