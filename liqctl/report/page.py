"""The incident report as one page: no script, no outside resource, fit for a phone and for paper.

Venue messages and symbols are hostile input: Jinja escapes every value, `clean` makes control
characters visible, and the page's own policy lets nothing run or load but the style it names.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import jinja2
from markupsafe import Markup

from liqctl.report.audit import describe_details
from liqctl.report.facts import (
    OUTCOME_WORDS,
    TO_FILL_IN,
    facts_of,
    money_of,
    price,
    proof_of,
    resolution_of,
    signed,
)
from liqctl.report.incident import Incident, IncidentKind
from liqctl.report.phrases import phrase
from liqctl.report.text import clean
from liqctl.report.timeline import draw

_ROWS_MAX: Final = 500
_EVENTS_MAX: Final = 3000
_TONES: Final = {
    IncidentKind.COMPLETED: "good",
    IncidentKind.PARTIAL: "bad",
    IncidentKind.FAILED: "bad",
    IncidentKind.ABANDONED: "bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table's cells as text; `more` rows were left out."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: int = 0


def render_page(incident: Incident) -> str:
    """Return the page."""
    home = files("liqctl.report")
    style = home.joinpath("page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["clean"] = clean
    template = environment.from_string(home.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        policy=_policy(style),
        style=Markup(style),  # noqa: S704 - our own file, and no value stands in it
        incident=incident,
        story=incident.story,
        tone=_tone(incident),
        verdict=_verdict(incident),
        facts=facts_of(incident),
        timeline=draw(incident),
        failed=_failed(incident),
        no_failed="none" if incident.story.legs else "no position is in the record",
        errors=_errors(incident),
        resolution=tuple(resolution_of(incident)),
        money=tuple(money_of(incident)),
        costs=_costs(incident),
        proof=proof_of(incident),
        to_fill_in=TO_FILL_IN,
        events=_events(incident),
    )


def _policy(style: str) -> str:
    """Return the page's Content-Security-Policy: nothing but the one style sheet in it."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _tone(incident: Incident) -> str:
    """Return what the head looks like: good only where the record proves it."""
    tone = _TONES.get(incident.kind, "doubt")
    is_proven = incident.verified_flat and incident.chain.is_intact and not incident.failed
    return "doubt" if tone == "good" and not is_proven else tone


def _verdict(incident: Incident) -> str:
    found = incident.positions_found
    if found is None:
        return incident.kind.value
    proven = "proven closed" if incident.chain.is_intact else "said to be closed"
    return f"{incident.positions_closed} of {found} positions {proven}"


def _cut(
    rows: Sequence[tuple[str, ...]], head: tuple[str, ...], rows_max: int = _ROWS_MAX
) -> Table:
    return Table(head=head, rows=tuple(rows[:rows_max]), more=max(len(rows) - rows_max, 0))


def _failed(incident: Incident) -> Table:
    rows = [
        (
            leg.symbol,
            leg.direction or leg.position_side,
            leg.quantity or "?",
            leg.remaining or "?",
            OUTCOME_WORDS[leg.outcome],
            leg.reason,
        )
        for leg in incident.failed
    ]
    return _cut(rows, ("symbol", "side", "quantity", "left", "state", "reason"))


def _errors(incident: Incident) -> Table:
    rows = [
        ("-" if e.code is None else str(e.code), str(e.count), e.meaning, e.message)
        for e in incident.codes
    ]
    return _cut(rows, ("code", "times", "meaning", "what was said"))


def _costs(incident: Incident) -> Table:
    rows = [
        (
            leg.symbol,
            f"{leg.side} {price(leg.quantity)}",
            price(leg.average_price),
            price(leg.mark_price),
            "?" if leg.slippage_bps is None else f"{leg.slippage_bps:+.2f} bps",
            signed(leg.realized_pnl, leg.asset),
            ", ".join(signed(fee, asset) for asset, fee in leg.fees.items()),
        )
        for leg in incident.costs.legs
    ]
    head = ("symbol", "traded", "average price", "mark price", "slippage", "PnL", "fees")
    return _cut(rows, head)


def _events(incident: Incident) -> Table:
    rows = []
    for event in incident.story.events[:_EVENTS_MAX]:
        details = event.record.details
        symbol = details.get("symbol")
        rows.append(
            (
                "?" if event.at_s is None else f"{event.at_s:.3f}",
                event.record.event_type,
                symbol if isinstance(symbol, str) else "",
                phrase(event) or describe_details(details),
            )
        )
    more = len(incident.story.events) - len(rows)
    return Table(head=("seconds", "event", "symbol", "what"), rows=tuple(rows), more=more)
