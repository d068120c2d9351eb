"""The incident report as Markdown, to be pasted into a ticket and finished by hand.

Every text of others stands in a code span, which nothing inside can leave: no link, no markup, no
table cell of theirs. `clean` has made control characters visible before.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from liqctl.desk.incident import (
    TO_FILL_IN,
    Fact,
    Incident,
    Section,
    Table,
    head_of,
    sections_of,
    timeline_table,
)
from liqctl.desk.text import clean
from liqctl.kernel.events import FAILURES, RUN_ENDS, AuditEventType
from liqctl.trail.fold import TimedRecord

EVENTS_MAX: Final = 60
_ROWS_MAX: Final = 250
_BACKTICKS = re.compile("`+")
_ALWAYS_TOLD: Final = (
    FAILURES
    | RUN_ENDS
    | {
        AuditEventType.LIQUIDATION_START,
        AuditEventType.RETRY_SCHEDULED,
        AuditEventType.FLAT_SEEN,
        AuditEventType.REENTRY_SEEN,
        AuditEventType.VERIFIED,
    }
)


def render_markdown(incident: Incident) -> str:
    """Return the report."""
    sections = sections_of(incident)
    lines = [f"# Incident: {incident.type.value}", "", *_list(head_of(incident))]
    for section in sections:
        if section is sections[-1]:  # Below the timeline, as what a reader checks last.
            lines += _titled("Timeline", _timeline(incident))
        lines += _titled(section.title, _body(section))
    for name in TO_FILL_IN:
        lines += _titled(name, ["(to be filled in)"])
    return "\n".join(lines) + "\n"


def code(text: str) -> str:
    """Return the text as a code span that nothing in it can leave.

    >>> print(code("BTCUSDT"), code("a`b"))
    `BTCUSDT` ``a`b``
    """
    shown = clean(text)
    if not shown.strip():
        return '""'
    ticks = "`" * (max((len(run) for run in _BACKTICKS.findall(shown)), default=0) + 1)
    pad = " " if shown[0] in "` " or shown[-1] in "` " else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _body(section: Section) -> Iterator[str]:
    yield from _list(section.facts)
    if section.table and section.table.rows:
        yield from [""] * bool(section.facts)
        yield from _table(section.table)
    elif section.nothing:
        yield section.nothing


def _list(facts: Iterable[Fact]) -> Iterator[str]:
    for fact in facts:
        parts = [fact.before, ", ".join(code(text) for text in fact.theirs), fact.ours]
        told = " ".join(part for part in parts if part)
        yield f"- **{clean(fact.name)}**: {told}" if fact.name else f"- {told}"


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.head)} |"
    yield f"|{' --- |' * len(table.head)}"
    for row in table.rows[:_ROWS_MAX]:
        # A pipe would end the cell in a code span too.
        cells = [
            code(text).replace("|", "\\|") if text is not None and at in table.theirs else text
            for at, text in enumerate(row)
        ]
        yield f"| {' | '.join(text or '' for text in cells)} |"
    more = len(table.rows) - _ROWS_MAX
    if more > 0:
        yield f"\nand {more} more {table.noun}s"


def _timeline(incident: Incident) -> Iterator[str]:
    events = incident.story.events
    chosen = [at for at, e in enumerate(events) if len(events) <= EVENTS_MAX or _is_told(e)]
    shown = chosen[:_ROWS_MAX]
    yield from _table(timeline_table(incident, shown))
    if len(events) > len(shown):
        yield ""
        left_out = len(events) - len(shown)
        yield f"{left_out} more events: `liqctl audit show ID`, or this report with `--html`."


def _is_told(event: TimedRecord) -> bool:
    """Whether an event stands in the timeline of a long run too."""
    is_whole_reading = event.event_type == AuditEventType.SNAPSHOT_TAKEN and (
        "only" not in event.record.details
    )
    return is_whole_reading or event.event_type in _ALWAYS_TOLD
