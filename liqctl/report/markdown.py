"""The incident report as Markdown, to be pasted into a ticket and finished by hand.

Every text of others stands in a code span, which nothing inside can leave: no link, no markup, no
table cell of theirs. `clean` has made control characters visible before.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from liqctl.domain.events import FAILURES, RUN_ENDS, AuditEventType
from liqctl.report.audit import describe_details
from liqctl.report.facts import (
    OUTCOME_WORDS,
    TO_FILL_IN,
    Fact,
    facts_of,
    money_of,
    price,
    proof_of,
    resolution_of,
    signed,
)
from liqctl.report.incident import Incident
from liqctl.report.phrases import phrase
from liqctl.report.story import Event
from liqctl.report.text import clean

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
    lines = [f"# Incident: {incident.kind.value}", ""]
    lines += _list(facts_of(incident))
    lines += _section("Positions not proven closed", _failed(incident))
    lines += _section("Errors", _codes(incident))
    lines += _section("Resolution", _list(resolution_of(incident)))
    lines += _section("Profit, fees, slippage", [*_list(money_of(incident)), *_costs(incident)])
    lines += _section("Timeline", _timeline(incident))
    lines += _section("Proof", _list(proof_of(incident)))
    for name in TO_FILL_IN:
        lines += _section(name, ["(to be filled in)"])
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


def cell(text: str) -> str:
    """Return the text as a code span for a table, whose cell it cannot leave either."""
    return code(text).replace("|", "\\|")


def _section(name: str, lines: Iterable[str]) -> list[str]:
    return ["", f"## {name}", "", *lines]


def _list(facts: Iterable[Fact]) -> Iterator[str]:
    for fact in facts:
        parts = [fact.before, ", ".join(code(text) for text in fact.theirs), fact.ours]
        told = " ".join(part for part in parts if part)
        yield f"- **{clean(fact.name)}**: {told}" if fact.name else f"- {told}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _cut(rows: Sequence[Sequence[str]], noun: str) -> tuple[Sequence[Sequence[str]], list[str]]:
    more = len(rows) - _ROWS_MAX
    return rows[:_ROWS_MAX], [f"\nand {more} more {noun}"] if more > 0 else []


def _failed(incident: Incident) -> Iterator[str]:
    if not incident.failed:
        yield "none" if incident.story.legs else "no position is in the record"
        return
    rows, rest = _cut(
        [
            (
                cell(leg.symbol),
                cell(leg.direction or leg.position_side),
                cell(leg.quantity or "?"),
                cell(leg.remaining or "?"),
                OUTCOME_WORDS[leg.outcome],
                cell(leg.reason),
            )
            for leg in incident.failed
        ],
        "positions",
    )
    yield from _table(("symbol", "side", "quantity", "left", "state", "reason"), rows)
    yield from rest


def _codes(incident: Incident) -> Iterator[str]:
    if not incident.codes:
        yield "none"
        return
    rows, rest = _cut(
        [
            ("-" if e.code is None else str(e.code), str(e.count), e.meaning, cell(e.message))
            for e in incident.codes
        ],
        "errors",
    )
    yield from _table(("code", "times", "meaning", "what was said"), rows)
    yield from rest


def _costs(incident: Incident) -> Iterator[str]:
    if not incident.costs.legs:
        return
    yield ""
    rows, rest = _cut(
        [
            (
                cell(leg.symbol),
                f"{leg.side} {price(leg.quantity)}",
                price(leg.average_price),
                price(leg.mark_price),
                "?" if leg.slippage is None else _slippage(leg.slippage_bps),
                signed(leg.realized_pnl, leg.asset),
                ", ".join(signed(fee, asset) for asset, fee in leg.fees.items()),
            )
            for leg in incident.costs.legs
        ],
        "legs",
    )
    head = ("symbol", "traded", "average price", "mark price", "slippage", "PnL", "fees")
    yield from _table(head, rows)
    yield from rest


def _slippage(bps: object) -> str:
    return "?" if bps is None else f"{bps:+.2f} bps"


def _timeline(incident: Incident) -> Iterator[str]:
    events = incident.story.events
    chosen = [event for event in events if len(events) <= EVENTS_MAX or _is_told(event)]
    left_out = len(events) - len(chosen[:_ROWS_MAX])
    yield from _table(
        ("seconds", "event", "symbol", "what"),
        (
            (
                "?" if event.at_s is None else f"{event.at_s:.3f}",
                cell(event.record.event_type),
                cell(symbol)
                if isinstance(symbol := event.record.details.get("symbol"), str)
                else "",
                cell(phrase(event) or describe_details(event.record.details) or "-"),
            )
            for event in chosen[:_ROWS_MAX]
        ),
    )
    if left_out:
        yield ""
        yield f"{left_out} more events: `liqctl audit show ID`, or this report with `--html`."


def _is_told(event: Event) -> bool:
    """Whether an event stands in the timeline of a long run too."""
    return event.record.event_type in _ALWAYS_TOLD or (
        event.record.event_type == AuditEventType.SNAPSHOT_TAKEN
        and "only" not in event.record.details
    )
