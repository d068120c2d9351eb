"""The incident report in words: facts and tables once, which Markdown and the page both show.

Texts of others are marked as theirs. In Markdown each stands in a code span, which nothing inside
can leave: no link, no markup, no table cell of theirs. On the page Jinja escapes every value, and
the page's own policy lets nothing run or load but the style it names: no script, no outside
resource, fit for a phone and for paper. `clean` makes control characters visible in both.

The page's timeline is lanes of bars, placed in per cent of the width, so that it fits any screen
without a script. Outcomes are told by a sign and a pattern too: a third of the readers print it or
do not see red.
"""

import base64
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Final

from liqctl.desk.incident import Costs, Incident, IncidentKind
from liqctl.desk.text import clean, count, named, sized
from liqctl.desk.trail import LEG_ENDS, describe_details, duration, phrase, reason_of
from liqctl.kernel.events import FAILURES, RUN_ENDS, AuditEventType
from liqctl.kernel.states import LiquidationState
from liqctl.trail.fold import (
    Fate,
    LegStory,
    Request,
    RequestKind,
    RunStory,
    TimedRecord,
    product_of,
)

_TO_FILL_IN: Final = ("Root cause", "Prevention", "Incident ticket")
_NOT_TOLD: Final = "not in the trail"
# More symbols than anybody reads in one line; the timeline names all.
_SYMBOLS_MAX: Final = 40
_OURS: Final = re.compile(r"[0-9T:.-]{10,40}Z")
_BACKTICKS: Final = re.compile("`+")
# Markdown is pasted into a ticket, whose text is limited. The page holds what a browser can scroll.
_MARKDOWN_EVENTS_MAX: Final = 60
_MARKDOWN_ROWS_MAX: Final = 250
_PAGE_EVENTS_MAX: Final = 3000
_PAGE_ROWS_MAX: Final = 500
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
"""What stands in the Markdown timeline of a long run too, beside whole readings."""

_TONES: Final = {
    IncidentKind.COMPLETED: "good",
    IncidentKind.PARTIAL: "bad",
    IncidentKind.FAILED: "bad",
    IncidentKind.ABANDONED: "bad",
}


# Pixels down: a leg's bar holds its sign, a request's is half as high.
_LEG_HEIGHT: Final = 12
_REQUEST_HEIGHT: Final = 7
_GAP: Final = 3
# As many labels as stand side by side on a phone.
_TICKS_MAX: Final = 5
# The drawing reaches a little beyond the end, for the sign behind the last bar.
_SPARE: Final = 1.06
_LABEL: Final = 0.3
_MARGIN: Final = 0.05
"""Parts of the width that the deadline's label and a tick's label take on a phone."""

# A deadline that the run hardly used is left out: its line would squeeze all bars to the left.
_DEADLINE_NEAR: Final = 0.4
# More readings would be one band without gaps.
_READINGS_MAX: Final = 60
_SIGNS: Final = {Fate.DONE: "✓", Fate.REFUSED: "✗", Fate.UNKNOWN: "?", Fate.OPEN: "…"}
_REQUEST_WORDS: Final = {
    Fate.DONE: "done",
    Fate.REFUSED: "refused",
    Fate.UNKNOWN: "unknown",
    Fate.OPEN: "not answered",
}
_WATCH_WORDS: Final = {
    Fate.DONE: "✓ flat, proven",
    Fate.REFUSED: "not proven",
    Fate.UNKNOWN: "not proven",
    Fate.OPEN: "… not proven: the watch was broken off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One field: texts of others (`theirs`) stand between two parts of our own."""

    name: str
    before: str = ""
    ours: str = ""
    theirs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of texts under a head; the cells of the columns `theirs` are texts of others.

    None is an empty cell. `noun` is what a row stands for.
    """

    head: tuple[str, ...]
    theirs: frozenset[int]
    rows: tuple[tuple[str | None, ...], ...]
    noun: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the report: facts, then a table, or why there is neither."""

    name: str
    title: str
    facts: tuple[Fact, ...] = ()
    table: Table | None = None
    nothing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: place and size (per cent across, pixels down), what it is, and its sign."""

    start: float
    end: float
    y: int
    height: int
    kind: str
    outcome: str
    title: str
    sign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The bars of one symbol or of the run's readings, with a caption for each request."""

    label: str
    outcome: str
    verdicts: Sequence[str]
    height: int
    bars: Sequence[Bar]
    captions: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All lanes, the ticks of the axis, and where the deadline is; `used` is its part that passed.

    `deadline_x` is None where the deadline lies beyond the drawing.
    """

    lanes: Sequence[Lane]
    ticks: Sequence[tuple[float, str]]
    deadline_x: float | None
    deadline_words: str
    used: float | None
    used_words: str
    is_late: bool


def head_of(incident: Incident) -> tuple[Fact, ...]:
    """Return the fields at the head of the report, in the order operators read them."""
    chain, limit_s, spent_s = incident.audit, incident.deadline_seconds, incident.spent_seconds
    symbols = incident.symbols[:_SYMBOLS_MAX]
    more = len(incident.symbols) - len(symbols)
    scope = f"liqctl liquidate: {incident.scope}" if incident.scope else None
    deadline = "no deadline" if limit_s is None else f"a deadline of {limit_s:g} s"
    time = f"at least {duration(incident.story.last_s)}, the last record, of {deadline}"
    if spent_s is not None:
        time = f"{duration(spent_s)} of {deadline}"
    not_whole = (
        "the record of this run is NOT WHOLE, see the proof: what it says below is not proven"
    )
    # A state that is none of ours is a text of others.
    state = incident.state
    is_ours = state in set(LiquidationState)
    parts = [_NOT_TOLD] if state is None else [state] if state and is_ours else []
    parts += [f"exit {incident.exit_code}"] if incident.exit_code is not None else []
    if incident.verified_flat and incident.settled_seconds:
        watched = duration(incident.settled_seconds)
        parts.append(f"flat, proven: nothing was listed for {watched}")
    elif incident.verified_flat:  # Trails of earlier versions: there one reading proved it.
        parts.append("flat, proven by a reading")
    elif incident.verified_flat is False:
        parts.append("not proven flat")
    theirs = (state,) if state and not is_ours else ()
    return (
        *(() if chain.is_intact else (Fact(name="Take care", ours=not_whole),)),
        _known("Date (UTC)", _day(incident.started_at), ""),
        _known("Environment", incident.environment, ""),
        *([_known("Account", incident.account, "")] * bool(incident.account)),
        Fact(name="Type", ours=incident.type.value),
        Fact(name="Run", theirs=(incident.correlation_id,)),
        Fact(name="State", theirs=theirs, ours=", ".join(parts)),
        _known("What was asked", scope, _NOT_TOLD),
        _known("Reason", incident.reason, "none was given"),
        _known("Who", incident.who, _NOT_TOLD),
        Fact(
            name="Affected symbols",
            ours=f"and {more} more" if more > 0 else "" if symbols else "none",
            theirs=symbols,
        ),
        _counted("Positions closed", incident.positions_closed, incident.positions_found),
        _counted("Orders cancelled", incident.orders_cancelled, incident.orders_found),
        Fact(name="Time", ours=time),
        _known("What the run said", incident.error_message, "no error"),
        *([Fact(name="Never answered", theirs=incident.unread)] * bool(incident.unread)),
        *([Fact(name="Others opened on", theirs=incident.others_on)] * bool(incident.others_on)),
        *(Fact(name="Note", theirs=(note,)) for note in incident.notes),
    )


def sections_of(incident: Incident) -> tuple[Section, ...]:
    """Return the parts below the head; the timeline and what is to be filled in are not in it."""
    chain = incident.audit
    failed = Table(
        head=("symbol", "side", "quantity", "left", "state", "reason"),
        theirs=frozenset({0, 1, 2, 3, 5}),
        rows=tuple(
            (
                leg.symbol,
                leg.direction or leg.position_side,
                sized(leg.quantity, leg.product) if leg.quantity else "?",
                sized(leg.remaining, leg.product) if leg.remaining else "?",
                LEG_ENDS[leg.outcome].lower(),
                leg.reason,
            )
            for leg in incident.positions_failed
        ),
        noun="position",
    )
    errors = Table(
        head=("code", "times", "meaning", "what was said"),
        theirs=frozenset({3}),
        rows=tuple(
            ("-" if e.code is None else str(e.code), str(e.count), e.meaning, e.message)
            for e in incident.errors
        ),
        noun="error",
    )
    costs = Table(
        head=("symbol", "traded", "average price", "mark price", "slippage", "PnL", "fees"),
        theirs=frozenset({0}),
        rows=tuple(
            (
                leg.symbol,
                f"{leg.side} {sized(price(leg.quantity), leg.product)}",
                price(leg.average_price),
                price(leg.mark_price),
                "?" if leg.slippage_bps is None else f"{leg.slippage_bps:+.2f} bps",
                signed(leg.realized_pnl, leg.asset),
                ", ".join(signed(fee, asset) for asset, fee in leg.fees.items()),
            )
            for leg in incident.money.legs
        ),
        noun="leg",
    )
    later = []
    for run in incident.later_runs:
        told = (run.correlation_id, run.end or "no end is recorded", run.counts, run.who)
        at = _day(run.at) if _OURS.fullmatch(run.at) else "at an unreadable time"
        later.append(Fact(name=at, theirs=tuple(part for part in (*told, run.reason) if part)))
    whose = "account" if incident.account else "environment"
    no_later = Fact(name="", ours=f"no later run of this {whose} is in the trail")
    intact = f"intact: {count(chain.records, 'record')} follow one another"
    check = (
        "the head must be the result's audit_head; the whole file is checked by liqctl audit "
        "verify --head HEAD"
    )
    proof = (
        Fact(
            name="Chain of this run",
            ours=intact if chain.is_intact else f"BROKEN: {'; '.join(chain.problems)}",
        ),
        _known("Head", chain.head, "none"),
        Fact(name="Check it", ours=check),
        _known("Version of liqctl", incident.version, ""),
        _known("Venue", incident.base_url, ""),
    )
    return (
        Section(
            name="failed",
            title="Positions not proven closed",
            table=failed,
            nothing="none" if incident.legs else "no position is in the record",
        ),
        Section(name="errors", title="Errors", table=errors, nothing="none"),
        Section(name="resolution", title="Resolution", facts=tuple(later or [no_later])),
        Section(
            name="money",
            title="Profit, fees, slippage",
            facts=tuple(_money_facts(incident.money)),
            table=costs,
        ),
        Section(name="proof", title="Proof", facts=proof),
    )


def _timeline_table(events: Iterable[TimedRecord]) -> Table:
    rows = []
    for event in events:
        at = "?" if event.at_s is None else f"{event.at_s:.3f}"
        told = phrase(event) or describe_details(event.record.details) or "-"
        rows.append((at, event.event_type, event.symbol, told))
    return Table(
        head=("seconds", "event", "symbol", "what"),
        theirs=frozenset({1, 2, 3}),
        rows=tuple(rows),
        noun="event",
    )


def render_markdown(incident: Incident) -> str:
    """Return the report, to be pasted into a ticket and finished by hand."""
    *sections, proof = sections_of(incident)
    events = incident.timeline
    told = [
        event
        for event in events
        if len(events) <= _MARKDOWN_EVENTS_MAX
        or event.event_type in _ALWAYS_TOLD
        or (
            event.event_type == AuditEventType.SNAPSHOT_TAKEN and "only" not in event.record.details
        )
    ]
    shown = told[:_MARKDOWN_ROWS_MAX]
    timeline = list(_rows_of(_timeline_table(shown)))
    if len(events) > len(shown):
        how = "`liqctl audit show ID`, or this report with `--html`"
        timeline += ["", f"{len(events) - len(shown)} more events: {how}."]
    lines = [f"# Incident: {incident.type.value}", "", *_list(head_of(incident))]
    for title, body in (
        *((section.title, _body(section)) for section in sections),
        ("Timeline", timeline),
        (proof.title, _body(proof)),  # Last, as what a reader checks last.
        *((name, ["(to be filled in)"]) for name in _TO_FILL_IN),
    ):
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def render_all(correlation_id: str, incidents: Sequence[Incident]) -> str:
    """Return the reports of several accounts' runs below one table, in the order given."""
    overview = Table(
        head=("account", "run", "type", "positions closed", "orders cancelled"),
        theirs=frozenset({0, 1}),
        rows=tuple(
            (
                incident.account,
                incident.correlation_id,
                incident.type.value,
                _counted("", incident.positions_closed, incident.positions_found).ours,
                _counted("", incident.orders_cancelled, incident.orders_found).ours,
            )
            for incident in incidents
        ),
        noun="account",
    )
    head = [f"# Incident: {code(correlation_id)}, {count(len(incidents), 'account')}", ""]
    return "\n".join([*head, *_rows_of(overview), "", *map(render_markdown, incidents)])


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


def _body(section: Section) -> Iterator[str]:
    yield from _list(section.facts)
    if section.table and section.table.rows:
        yield from [""] * bool(section.facts)
        yield from _rows_of(section.table)
    elif section.nothing:
        yield section.nothing


def _list(facts: Iterable[Fact]) -> Iterator[str]:
    for fact in facts:
        parts = [fact.before, ", ".join(code(text) for text in fact.theirs), fact.ours]
        told = " ".join(part for part in parts if part)
        yield f"- **{clean(fact.name)}**: {told}" if fact.name else f"- {told}"


def _rows_of(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(table.head)} |"
    yield f"|{' --- |' * len(table.head)}"
    for row in table.rows[:_MARKDOWN_ROWS_MAX]:
        # A pipe would end the cell in a code span too.
        cells = [
            code(text).replace("|", "\\|") if text is not None and at in table.theirs else text
            for at, text in enumerate(row)
        ]
        yield f"| {' | '.join(text or '' for text in cells)} |"
    more = len(table.rows) - _MARKDOWN_ROWS_MAX
    if more > 0:
        yield f"\nand {more} more {table.noun}s"


def render_page(incident: Incident) -> str:
    """Return the page."""
    import jinja2
    from markupsafe import Markup

    home = files("liqctl.desk")
    style = home.joinpath("page.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["clean"] = lambda text: clean(text or "")
    template = environment.from_string(home.joinpath("page.html.j2").read_text(encoding="utf-8"))
    # The policy lets nothing in but the one style sheet.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    shown = incident.timeline[:_PAGE_EVENTS_MAX]
    # The head looks good only where the record proves it.
    tone, is_intact = _TONES.get(incident.type, "doubt"), incident.audit.is_intact
    is_proven = incident.verified_flat and is_intact and not incident.positions_failed
    verdict = incident.type.value
    if incident.positions_found is not None:
        proven = "proven closed" if is_intact else "said to be closed"
        verdict = f"{incident.positions_closed} of {incident.positions_found} positions {proven}"
    return template.render(
        policy=policy,
        style=Markup(style),  # noqa: S704 - our own file, and no value stands in it
        incident=incident,
        tone="doubt" if tone == "good" and not is_proven else tone,
        verdict=verdict,
        facts=head_of(incident),
        drawing=draw_timeline(incident.story),
        sections=sections_of(incident),
        rows_max=_PAGE_ROWS_MAX,
        to_fill_in=_TO_FILL_IN,
        events=_timeline_table(shown),
        events_left_out=len(incident.timeline) - len(shown),
    )


def draw_timeline(story: RunStory) -> Timeline:
    """Return the timeline of a run."""
    ended_s, deadline_s = max(story.last_s, story.spent_s or 0.0), story.deadline_s
    span_s = max(ended_s * _SPARE, 0.001)
    if deadline_s is not None and ended_s >= deadline_s * _DEADLINE_NEAR:
        span_s = max(span_s, deadline_s * _SPARE)
    shown_s = deadline_s if deadline_s is not None and deadline_s <= span_s else None

    def at(seconds: float | None) -> float:
        """Return the place of a moment; what has no end reaches to the end of the run."""
        return min(max(100.0 * (ended_s if seconds is None else seconds) / span_s, 0.0), 100.0)

    # At most six ticks, at 1, 2 or 5 times a power of ten; none stands under the deadline's label,
    # which ends at its line.
    step, factors = 10.0**-4, itertools.cycle((2.0, 2.5, 2.0))
    while span_s / step > _TICKS_MAX:
        step *= next(factors)
    ticks = []
    for number in range(int(span_s / step) + 1):
        seconds = number * step
        is_free = shown_s is None or shown_s - seconds > span_s * _LABEL
        if seconds <= span_s * (1 - _MARGIN) and is_free:
            in_seconds = step >= 1 or not seconds
            label = f"{seconds:g} s" if in_seconds else f"{seconds * 1000:g} ms"
            ticks.append((100 * seconds / span_s, label))
    return Timeline(
        lanes=list(_lanes(story, at)),
        ticks=ticks,
        deadline_x=None if shown_s is None else at(shown_s),
        deadline_words="no deadline" if deadline_s is None else f"deadline {deadline_s:g} s",
        used=min(100.0 * ended_s / deadline_s, 100.0) if deadline_s else None,
        used_words=f"{duration(ended_s)} used" + ("" if story.end else " as far as is recorded"),
        is_late=deadline_s is not None and ended_s > deadline_s,
    )


def _lanes(story: RunStory, at: Callable[[float | None], float]) -> Iterator[Lane]:
    """Yield readings and watches in one row each, then a row for each symbol, legs first."""

    def bars(parts: Iterable[LegStory | Request], y: int, height: int, step: int) -> Iterator[Bar]:
        for part in parts:
            began_s, outcome, sign = part.began_s, part.outcome, _SIGNS[part.outcome]
            if isinstance(part, LegStory):
                kind, title = "leg", _verdict(part)
                began_s = part.ended_s if began_s is None else began_s
            else:
                kind, title, began_s = part.kind.value, _caption(part), began_s or 0.0
                sign = "" if outcome is Fate.DONE else sign
            if began_s is not None:
                start = at(began_s)
                yield Bar(
                    start=start,
                    end=max(at(part.ended_s), start),
                    y=y,
                    height=height,
                    kind=kind,
                    outcome=outcome.value.lower(),
                    title=title,
                    sign=sign,
                )
            y += step

    readings, watches = story.readings[:_READINGS_MAX], story.watches
    more = len(story.readings) - len(readings)
    told = count(len(story.readings), "reading") + (f", {more} not drawn" if more else "")
    rows = [("Readings", readings, Fate.DONE, told)]
    by_product: dict[str | None, list[Request]] = {}
    for watch in watches:
        by_product.setdefault(product_of(watch.sent), []).append(watch)
    for product, own in by_product.items():
        watched = own[-1].outcome
        rows.append((named("Flat, watched", product), own, watched, _WATCH_WORDS[watched]))
    for label, requests, outcome, verdict in rows:
        if requests:
            yield Lane(
                label=label,
                outcome=outcome.value.lower(),
                verdicts=(verdict,),
                height=_LEG_HEIGHT,
                bars=list(bars(requests, 0, _LEG_HEIGHT, 0)),
            )
    by_symbol: dict[str, tuple[list[LegStory], list[Request]]] = {}
    products: dict[str, str | None] = {}
    for leg in story.legs:
        products[leg.symbol] = leg.product
        legs, sent = by_symbol.setdefault(leg.symbol, ([], []))
        legs.append(leg)
        sent.extend(leg.orders)
    for cancel in story.cancels:
        symbol = str(cancel.sent.details.get("symbol", ""))
        products.setdefault(symbol, product_of(cancel.sent))
        by_symbol.setdefault(symbol, ([], []))[1].append(cancel)
    order = [Fate.REFUSED, Fate.UNKNOWN, Fate.OPEN, Fate.DONE]
    leg_step, request_step = _LEG_HEIGHT + _GAP, _REQUEST_HEIGHT + _GAP
    for symbol, (legs, sent) in by_symbol.items():
        sent.sort(key=lambda request: request.began_s or 0.0)
        outcomes = {part.outcome for part in (legs or sent)}
        below = len(legs) * leg_step
        yield Lane(
            label=named(symbol, products[symbol]) if symbol else "no symbol",
            outcome=min(outcomes, key=order.index).value.lower(),
            verdicts=[_verdict(leg) for leg in legs] or ["orders only"],
            height=max(below + len(sent) * request_step - _GAP, _LEG_HEIGHT),
            bars=[
                *bars(legs, 0, _LEG_HEIGHT, leg_step),
                *bars(sent, below, _REQUEST_HEIGHT, request_step),
            ],
            captions=[_caption(request) for request in sent],
        )


def _verdict(leg: LegStory) -> str:
    """Return what became of a leg, its sign first."""
    side = leg.direction or leg.position_side
    size = sized(leg.quantity, leg.product) if leg.quantity else ""
    text = f"{_SIGNS[leg.outcome]} {side} {size} {LEG_ENDS[leg.outcome].lower()}"
    if leg.retries:
        text += f", {count(leg.retries, 'repeat')}"
    reason = reason_of(leg.last_word.details) if leg.last_word else None
    if reason and leg.outcome is not Fate.DONE:
        text += f": {reason}"
    return clean(text.replace("  ", " "))


def _caption(request: Request) -> str:
    """Return what was sent, and what was answered after how long."""
    sent = phrase(TimedRecord(record=request.sent, at_s=request.began_s)) or "sent"
    if request.kind in {RequestKind.READING, RequestKind.WATCH}:
        return clean(sent)
    verb = "" if request.kind is RequestKind.CLOSE else "cancel "
    took = "" if request.took_s is None else f" after {duration(request.took_s)}"
    text = f"{_SIGNS[request.outcome]} {verb}{sent} → {_REQUEST_WORDS[request.outcome]}{took}"
    reason = reason_of(request.answers[-1].details) if request.answers else None
    return clean(f"{text}: {reason}" if reason else text)


def signed(value: Decimal, asset: str) -> str:
    """Return an amount with its sign and asset, to the cent; when smaller, to eight digits.

    >>> signed(Decimal("-3"), "USDT"), signed(Decimal("-0.6000"), "USDT")
    ('-3.00 USDT', '-0.60 USDT')
    >>> signed(Decimal("0.0299970"), "BNB")
    '+0.029997 BNB'
    """
    if abs(value) >= 1:
        return f"{value:+,.2f} {asset}"
    whole, _, decimals = f"{value:+.8f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2} {asset}"


def price(value: Decimal | None) -> str:
    """Return a price with at most eight decimals, without needless zeros.

    >>> price(Decimal("59994.00000")), price(Decimal("0.123456789")), price(None)
    ('59994', '0.12345679', '?')
    """
    if value is None:
        return "?"
    return f"{value:.8f}".rstrip("0").rstrip(".")


def _known(name: str, theirs: str | None, otherwise: str) -> Fact:
    """Return a text of others, or what we say where there is none."""
    return Fact(name=name, theirs=(theirs,)) if theirs else Fact(name=name, ours=otherwise)


def _counted(name: str, done: int | None, found: int | None) -> Fact:
    return Fact(name=name, ours="not read" if found is None else f"{done} of {found}")


def _day(timestamp: str) -> str:
    """Return `2026-01-02 10:30:00` of a time stamp of ours, any other text as it is."""
    return timestamp[:19].replace("T", " ") if _OURS.fullmatch(timestamp) else timestamp


def _money_facts(money: Costs) -> Iterator[Fact]:
    """Yield profit, fees and slippage by asset, or why they were not read and how to read them."""
    if money.why_not is not None:
        yield Fact(
            name="Realised PnL, fees, slippage", before="not read, because", theirs=(money.why_not,)
        )
        if money.how:
            yield Fact(name="How to get them", ours=money.how)
        return
    part = "" if money.complete else "INCOMPLETE, "
    orders = count(money.orders, "order")
    yield Fact(name="Read", ours=f"{part}from the trades of {money.orders_read} of {orders}")
    by_reason: dict[str, list[str]] = {}
    for order_id, why in money.unread.items():
        by_reason.setdefault(why, []).append(order_id)
    for why, ids in by_reason.items():
        first = f"first of {count(len(ids), 'order')}"
        yield Fact(name="Not read", ours=first, theirs=(why, ids[0]))
    unmarked = count(money.legs_without_mark, "leg")
    missing = f"; {unmarked} without a mark price on record" if money.legs_without_mark else ""
    yield Fact(name="Realised PnL, fees not included", ours=_sums(money.realized_pnl))
    yield Fact(name="Fees paid", ours=_sums(money.fees))
    yield Fact(name="Slippage against mark", ours=f"{_sums(money.slippage)}{missing}")


def _sums(by_asset: Mapping[str, Decimal] | None) -> str:
    amounts = [signed(value, asset) for asset, value in (by_asset or {}).items()]
    return ", ".join(amounts) or "nothing traded"
