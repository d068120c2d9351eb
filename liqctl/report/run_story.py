"""One run on a terminal: who and why, the run's own events, each symbol's timeline, the end.

Everything shown went through `printable`. Without a width nothing is wrapped, so that a pipe gets
one line a message.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from liqctl.audit.fold import LegStory, Outcome, RunStory, TimedRecord, fold_run
from liqctl.audit.record import TrailRecord
from liqctl.domain.answers import printable
from liqctl.domain.events import RUN_ENDS, AuditEventType
from liqctl.report.audit import RED, Style, colour_of, describe_details, value_of, wrap
from liqctl.report.phrases import duration, phrase, reason_of, who_of
from liqctl.report.text import count

_EVENT_COLUMNS: Final = 21
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


def render_run(records: Sequence[TrailRecord], style: Style) -> str:
    """Return one run as a story.

    Args:
        records: the run's records in order; at least one.
        style: how to render.
    """
    story = fold_run(records)
    parts = _title(story, records, style)
    for symbol, events in _by_symbol(story.events).items():
        parts += ["", style.paint(symbol or "The run", "1")]
        parts += [wrap(f"  {line}", style, 4) for line in _summary(story, symbol)]
        parts += [_line(event, style) for event in events]
    parts += ["", _ending(records[-1], style)]
    return "\n".join(parts)


def _title(story: RunStory, records: Sequence[TrailRecord], style: Style) -> list[str]:
    first = records[0]
    spent = story.spent_s if story.spent_s is not None else story.last_s
    limit = "" if story.deadline_s is None else f" of {story.deadline_s:g} s"
    lines = [
        (
            f"Run {style.paint(printable(story.correlation_id), '1')} in "
            f"{printable(story.environment) or 'an unnamed environment'}, {spent:.3f} s{limit} long"
        ),
        f"Started {printable(first.timestamp)} by {printable(who_of(first.details))}",
    ]
    why = first.details.get("reason")
    lines += [f"Reason: {value_of(why)}"] if why else []
    return [wrap(line, style) for line in lines]


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
    record = event.record
    name = printable(record.event_type)
    at = "? s" if event.at_s is None else f"{event.at_s:.3f} s"
    words = phrase(event)
    told = describe_details(record.details) if words is None else printable(words, _PHRASE_MAX)
    line = f"  {at:>9}  {name:<{_EVENT_COLUMNS}}  {told}".rstrip()
    is_wide = style.width is None or style.width >= _ROOM_MIN
    wrapped = wrap(line, style, _PHRASE_COLUMN if is_wide else 15)
    return wrapped.replace(name, style.paint(name, colour_of(record.event_type)), 1)


def _ending(last: TrailRecord, style: Style) -> str:
    event_type = AuditEventType.LIQUIDATION_BLOCKED, AuditEventType.LIQUIDATION_SKIPPED
    if last.event_type in RUN_ENDS or last.event_type in event_type:
        end = style.paint(printable(last.event_type), colour_of(last.event_type))
        return f"Ended {printable(last.timestamp)}: {end}"
    return style.paint("No end is recorded: the run is under way, or it died.", RED)


def _by_symbol(events: Sequence[TimedRecord]) -> dict[str, list[TimedRecord]]:
    """Return the events by symbol in order of appearance, those without a symbol first."""
    found: dict[str, list[TimedRecord]] = {_RUN: []}
    for event in events:
        symbol = event.record.details.get("symbol")
        name = printable(symbol, 32) if isinstance(symbol, str) else _RUN
        found.setdefault(name, []).append(event)
    return {symbol: listed for symbol, listed in found.items() if listed}
