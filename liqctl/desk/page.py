"""The incident report as one page: no script, no outside resource, fit for a phone and for paper.

Venue messages and symbols are hostile input: Jinja escapes every value, `clean` makes control
characters visible, and the page's own policy lets nothing run or load but the style it names.
"""

import base64
import hashlib
from importlib.resources import files
from typing import Final

import jinja2
from markupsafe import Markup

from liqctl.desk.incident import (
    TO_FILL_IN,
    Incident,
    IncidentKind,
    head_of,
    sections_of,
    timeline_table,
)
from liqctl.desk.text import clean
from liqctl.desk.timeline import draw

_ROWS_MAX: Final = 500
_EVENTS_MAX: Final = 3000
_TONES: Final = {
    IncidentKind.COMPLETED: "good",
    IncidentKind.PARTIAL: "bad",
    IncidentKind.FAILED: "bad",
    IncidentKind.ABANDONED: "bad",
}


def render_page(incident: Incident) -> str:
    """Return the page."""
    home = files("liqctl.desk")
    style = home.joinpath("page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["clean"] = lambda text: clean(text or "")
    template = environment.from_string(home.joinpath("page.html.j2").read_text(encoding="utf-8"))
    # The policy lets nothing in but the one style sheet.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    shown = min(len(incident.timeline), _EVENTS_MAX)
    return template.render(
        policy=policy,
        style=Markup(style),  # noqa: S704 - our own file, and no value stands in it
        incident=incident,
        tone=_tone(incident),
        verdict=_verdict(incident),
        facts=head_of(incident),
        drawing=draw(incident),
        sections=sections_of(incident),
        rows_max=_ROWS_MAX,
        to_fill_in=TO_FILL_IN,
        events=timeline_table(incident, range(shown)),
        events_left_out=len(incident.timeline) - shown,
    )


def _tone(incident: Incident) -> str:
    """Return what the head looks like: good only where the record proves it."""
    tone = _TONES.get(incident.type, "doubt")
    is_proven = incident.verified_flat and incident.audit.is_intact
    return "doubt" if tone == "good" and not (is_proven and not incident.positions_failed) else tone


def _verdict(incident: Incident) -> str:
    found = incident.positions_found
    if found is None:
        return incident.type.value
    proven = "proven closed" if incident.audit.is_intact else "said to be closed"
    return f"{incident.positions_closed} of {found} positions {proven}"
