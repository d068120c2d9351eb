"""The audit trail in words: lines in columns, one run as a story, and the state of the chain.

Everything shown went through `printable`: a symbol or a venue's message may hold anything. Without
a width nothing is wrapped, so that a pipe gets one line a message.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from liqctl.desk.phrases import describe_details, duration, phrase, reason_of, value_of, who_of
from liqctl.desk.text import Tone, count, paint
from liqctl.desk.text import wrap as wrap_text
from liqctl.kernel.answers import printable
from liqctl.kernel.events import FAILURES, RUN_ENDS, AuditEventType
from liqctl.trail.fold import LegStory, Outcome, RunStory, TimedRecord, fold_run
from liqctl.trail.record import TrailRecord
from liqctl.trail.verify import Verification

WIDE_COLUMNS: Final = 120
_EVENT_COLUMNS: Final = 21
_SYMBOL_COLUMNS: Final = 12
_ID_COLUMNS: Final = 26
_HANGING: Final = 15
_NARROWEST: Final = 40
_GOOD: Final = frozenset(
    {
        AuditEventType.LIQUIDATION_COMPLETE,
        AuditEventType.POSITION_CLOSED,
        AuditEventType.ORDER_CANCELLED,
        AuditEventType.VERIFIED,
    }
)
_PHRASE_COLUMN: Final = 36
_ROOM_MIN: Final = 76
"""A narrower terminal continues lines near its left edge."""

_PHRASE_MAX: Final = 600
_RUN: Final = ""
_LEG_WORDS: Final = {
    Outcome.DONE: "closed",
    Outcome.REFUSED: "NOT CLOSED",
    Outcome.UNKNOWN: "UNKNOWN whether closed",
    Outcome.OPEN: "NOT CLOSED as far as is recorded",
}
_ALONE: Final = {AuditEventType.LIQUIDATION_BLOCKED, AuditEventType.LIQUIDATION_SKIPPED}


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
        width = None if self.width is None else max(self.width, _NARROWEST)
        return "\n".join(wrap_text(line, indent=" " * indent, width=width))


def render_record(record: TrailRecord, style: Style) -> str:
    """Return one line of the trail in columns: time, run, event, symbol, details in words."""
    symbol = record.details.get("symbol")
    cells = [
        f"{printable(record.event_type):<{_EVENT_COLUMNS}}",
        f"{printable(symbol, 32) if isinstance(symbol, str) else '':<{_SYMBOL_COLUMNS}}",
        describe_details(record.details),
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
    """Return one run as a story.

    Args:
        records: the run's records in order; at least one.
        style: how to render.
    """
    story = fold_run(records)
    by_symbol: dict[str, list[TimedRecord]] = {_RUN: []}
    for event in story.events:
        name = _RUN if event.symbol is None else printable(event.symbol, 32)
        by_symbol.setdefault(name, []).append(event)
    parts = _title(story, records, style)
    for symbol, events in by_symbol.items():
        if events:
            parts += ["", style.paint(symbol or "The run", Tone.STRONG)]
            parts += [style.wrap(f"  {line}", 4) for line in _summary(story, symbol)]
            parts += [_line(event, style) for event in events]
    last = records[-1]
    ending = style.paint("No end is recorded: the run is under way, or it died.", Tone.BAD)
    if last.event_type in RUN_ENDS | _ALONE:
        ended = f"Ended {printable(last.timestamp)}: {printable(last.event_type)}"
        ending = style.paint_event(ended, last.event_type)
    return "\n".join([*parts, "", ending])


def _title(story: RunStory, records: Sequence[TrailRecord], style: Style) -> list[str]:
    first = records[0]
    spent = story.spent_s if story.spent_s is not None else story.last_s
    name = style.paint(printable(story.correlation_id), Tone.STRONG)
    limit = "" if story.deadline_s is None else f" of {story.deadline_s:g} s"
    lines = [
        (
            f"Run {name} in {printable(story.environment) or 'an unnamed environment'}, "
            f"{spent:.3f} s{limit} long"
        ),
        f"Started {printable(first.timestamp)} by {printable(who_of(first.details))}",
    ]
    why = first.details.get("reason")
    lines += [f"Reason: {value_of(why)}"] if why else []
    return [style.wrap(line) for line in lines]


def _summary(story: RunStory, symbol: str) -> Iterable[str]:
    """Yield what became of each leg of a symbol, how long it took, and with how many requests."""
    for leg in story.legs:
        if printable(leg.symbol, 32) != symbol or symbol == _RUN:
            continue
        side = "" if leg.position_side == "BOTH" else f"{printable(leg.position_side, 8)} leg "
        yield f"{side}{_LEG_WORDS[leg.outcome]}{_effort(leg)}"


def _effort(leg: LegStory) -> str:
    parts = [count(len(leg.orders), "order") + " sent"]
    parts += [count(leg.retries, "repeat")] if leg.retries else []
    if leg.began_s is not None and leg.ended_s is not None:
        parts.append(f"{duration(leg.ended_s - leg.began_s)} from the first to the proof")
    reason = reason_of(leg.last_word.details) if leg.last_word else None
    if reason and leg.outcome is not Outcome.DONE:
        parts.append(printable(reason))
    return f": {', '.join(parts)}"


def _line(event: TimedRecord, style: Style) -> str:
    at = "? s" if event.at_s is None else f"{event.at_s:.3f} s"
    words = phrase(event)
    details = event.record.details
    told = describe_details(details) if words is None else printable(words, _PHRASE_MAX)
    line = f"  {at:>9}  {printable(event.event_type):<{_EVENT_COLUMNS}}  {told}".rstrip()
    is_wide = style.width is None or style.width >= _ROOM_MIN
    return style.paint_event(
        style.wrap(line, _PHRASE_COLUMN if is_wide else _HANGING), event.event_type
    )
