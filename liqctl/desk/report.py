"""The incident report in words: facts and tables once, which Markdown and the page both show.

Texts of others are marked as theirs. In Markdown each stands in a code span, which nothing inside
can leave: no link, no markup, no table cell of theirs. On the page Jinja escapes every value, and
the page's own policy lets nothing run or load but the style it names: no script, no outside
resource, fit for a phone and for paper. `clean` makes control characters visible in both.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Final

from liqctl.desk.incident import Incident, IncidentKind
from liqctl.desk.money import Costs
from liqctl.desk.text import clean, count, sized
from liqctl.desk.timeline import draw
from liqctl.desk.trail import LEG_ENDS, describe_details, duration, phrase
from liqctl.kernel.events import FAILURES, RUN_ENDS, AuditEventType
from liqctl.kernel.states import LiquidationState
from liqctl.trail.fold import TimedRecord

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
    return (
        *(() if chain.is_intact else (Fact(name="Take care", ours=not_whole),)),
        _known("Date (UTC)", _day(incident.started_at), ""),
        _known("Environment", incident.environment, ""),
        *([_known("Account", incident.account, "")] * bool(incident.account)),
        Fact(name="Type", ours=incident.type.value),
        Fact(name="Run", theirs=(incident.correlation_id,)),
        _state(incident),
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
        drawing=draw(incident),
        sections=sections_of(incident),
        rows_max=_PAGE_ROWS_MAX,
        to_fill_in=_TO_FILL_IN,
        events=_timeline_table(shown),
        events_left_out=len(incident.timeline) - len(shown),
    )


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


def _state(incident: Incident) -> Fact:
    """Return the state; a word that is none of ours is a text of others."""
    state = incident.state
    is_ours = state in set(LiquidationState)
    parts = [_NOT_TOLD] if state is None else [state] if state and is_ours else []
    parts += [f"exit {incident.exit_code}"] if incident.exit_code is not None else []
    match incident.verified_flat:
        case True if incident.settled_seconds:
            watched = duration(incident.settled_seconds)
            parts.append(f"flat, proven: nothing was listed for {watched}")
        case True:  # Trails of earlier versions do not tell how long; there one reading proved it.
            parts.append("flat, proven by a reading")
        case False:
            parts.append("not proven flat")
        case None:
            pass
    theirs = (state,) if state and not is_ours else ()
    return Fact(name="State", theirs=theirs, ours=", ".join(parts))


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
