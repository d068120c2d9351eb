"""The incident report as one model: what operators keep of a run, from its trail.

Pure. `Incident` is the document of `report --json`, field by field; `head_of` and `sections_of` say
it in words, as facts and tables that Markdown and the page render alike. Texts of others (venue,
user, trail) stand here as they are and are marked as theirs: who shows them makes them safe. What
the trail does not tell is None and is said to be unknown, never filled in.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from enum import StrEnum
from typing import Final

from liqctl.desk.money import Costs, LegCost, TradeReading, add_up, closing_orders
from liqctl.desk.phrases import describe_details, duration, phrase, reason_of, scope_of, who_of
from liqctl.desk.text import count
from liqctl.kernel.codes import explain_code
from liqctl.kernel.events import INTERRUPTED, AuditEventType
from liqctl.kernel.states import LiquidationState
from liqctl.trail.fold import (
    LegStory,
    Outcome,
    RunHeadline,
    RunStory,
    TimedRecord,
    fold_run,
    is_own_end,
    number,
    words,
)
from liqctl.trail.record import TrailRecord
from liqctl.trail.verify import RunChain

REPORT_SCHEMA: Final = "liqctl.report/1"
TO_FILL_IN: Final = ("Root cause", "Prevention", "Incident ticket")
NOT_TOLD: Final = "not told by the trail"
OUTCOME_WORDS: Final = {
    Outcome.DONE: "closed",
    Outcome.REFUSED: "not closed",
    Outcome.UNKNOWN: "unknown whether closed",
    Outcome.OPEN: "not closed as far as is recorded",
}
_NOT_WHOLE: Final = (
    "the record of this run is NOT WHOLE, see the proof: what it says below is not proven"
)
_SYMBOLS_MAX: Final = 40
_OURS: Final = re.compile(r"[0-9T:.-]{10,40}Z")
_CODED: Final = frozenset(
    {
        AuditEventType.ORDER_REJECTED,
        AuditEventType.ORDER_UNKNOWN,
        AuditEventType.ORDER_CANCEL_REJECTED,
        AuditEventType.POSITION_FAILED,
    }
)


class IncidentKind(StrEnum):
    """What kind of thing happened."""

    COMPLETED = "completed liquidation"
    PARTIAL = "partial liquidation"
    FAILED = "failed liquidation"
    INTERRUPTED = "interrupted liquidation"
    ABANDONED = "abandoned liquidation: its process died"
    UNFINISHED = "unfinished liquidation: under way, or its process died"
    BLOCKED = "blocked: another run had the account"
    SKIPPED = "skipped: the switch was disarmed"
    BY_HAND = "events logged by hand, not a run"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPosition:
    """A leg that is not proven closed, and why."""

    symbol: str
    position_side: str
    direction: str | None
    quantity: str | None
    remaining: str | None
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCount:
    """One error: how often it came, its code if it had one, what it means, what the venue said."""

    code: int | None
    count: int
    meaning: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaterRun:
    """What was done afterwards, by whom."""

    correlation_id: str
    at: str
    end: str | None
    who: str | None
    reason: str | None
    counts: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One event; `words` is None where only its details can be told."""

    at_seconds: float | None
    took_seconds: float | None
    event_type: str
    symbol: str | None
    words: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Everything a report shows, in the order of its document.

    `positions_found` and `orders_found` are None where no record tells. `settled_seconds` is how
    long flat was watched, `unread` names the sources that never answered, `others_on` the symbols
    on which others opened something during the run.
    """

    correlation_id: str
    environment: str
    type: IncidentKind
    started_at: str
    ended_at: str | None
    deadline_seconds: float | None
    spent_seconds: float | None
    state: str | None
    exit_code: int | None
    verified_flat: bool | None
    settled_seconds: float | None
    unread: tuple[str, ...]
    others_on: tuple[str, ...]
    error_message: str | None
    who: str | None
    reason: str | None
    scope: str | None
    version: str | None
    base_url: str | None
    symbols: tuple[str, ...]
    positions_found: int | None
    positions_closed: int | None
    orders_found: int | None
    orders_cancelled: int | None
    positions_failed: tuple[FailedPosition, ...]
    errors: tuple[ErrorCount, ...]
    notes: tuple[str, ...]
    later_runs: tuple[LaterRun, ...]
    money: Costs
    legs: tuple[LegStory, ...]
    timeline: tuple[TimelineEvent, ...]
    audit: RunChain
    story: RunStory

    def json_fields(self) -> dict[str, object]:
        """Return the document of `report --json`."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        del named["story"]
        return {"schema": REPORT_SCHEMA, **named, "type": self.type.name}


def make_incident(
    records: Sequence[TrailRecord],
    *,
    chain: RunChain,
    later: Iterable[RunHeadline],
    reading: TradeReading,
) -> Incident:
    """Return the facts of a run; `records` are its own in order, at least one."""
    story = fold_run(records)
    first, legs = story.start or records[0], story.legs
    # A run that others declared dead has told nothing of its own end, or told it before.
    own = [end for end in story.ends if is_own_end(end)]
    end: Mapping[str, object] = own[-1].details if own else {}
    done = sum(leg.outcome is Outcome.DONE for leg in legs)
    closed, cancelled = _whole(end.get("positions_closed")), _whole(end.get("orders_cancelled"))
    cancelled = _orders_answered(story) if cancelled is None else cancelled
    # The count of the end record; else what was seen, None where no reading showed it.
    found, orders = _whole(end.get("positions_found")), _whole(end.get("orders_found"))
    found = _positions_seen(story) if found is None else found
    orders = _orders_listed(story) if orders is None else orders
    return Incident(
        correlation_id=story.correlation_id,
        environment=story.environment,
        type=kind_of(story, records),
        started_at=story.began_at,
        ended_at=story.end.timestamp if story.end else None,
        deadline_seconds=story.deadline_s,
        spent_seconds=story.spent_s,
        state=words(end.get("state")),
        exit_code=_whole(end.get("exit_code")),
        verified_flat=flat if isinstance(flat := end.get("verified_flat"), bool) else None,
        settled_seconds=number(end.get("settled_seconds")),
        unread=_texts(end.get("unread")),
        others_on=tuple(
            dict.fromkeys(
                words(record.details.get("symbol")) or "an unnamed symbol"
                for record in records
                if record.event_type == AuditEventType.REENTRY_SEEN
            )
        ),
        error_message=words(end.get("error_message")),
        who=_who(first),
        reason=words(first.details.get("reason")),
        scope=_scope(story.start),
        version=words(first.details.get("version")),
        base_url=words(first.details.get("base_url")),
        # Those with a position first, then every one that an event names.
        symbols=tuple(
            dict.fromkeys(
                [leg.symbol for leg in legs] + [e.symbol for e in story.events if e.symbol]
            )
        ),
        positions_found=found,
        positions_closed=None if found is None else done if closed is None else closed,
        orders_found=orders,
        orders_cancelled=None if orders is None else cancelled,
        positions_failed=tuple(
            _failed_position(leg, story) for leg in legs if leg.outcome is not Outcome.DONE
        ),
        errors=_errors(records),
        notes=_notes(end, story, chain),
        later_runs=tuple(map(_later_run, later)),
        money=add_up(closing_orders(story), reading),
        legs=legs,
        timeline=tuple(
            TimelineEvent(
                at_seconds=event.at_s,
                took_seconds=event.took_s,
                event_type=event.event_type,
                symbol=event.symbol,
                words=phrase(event),
            )
            for event in story.events
        ),
        audit=chain,
        story=story,
    )


def kind_of(story: RunStory, records: Sequence[TrailRecord]) -> IncidentKind:
    """Return what kind of thing the records tell of."""
    types = {record.event_type for record in records}
    if story.start is None:
        if AuditEventType.LIQUIDATION_BLOCKED in types:
            return IncidentKind.BLOCKED
        if AuditEventType.LIQUIDATION_SKIPPED in types:
            return IncidentKind.SKIPPED
        return IncidentKind.BY_HAND
    if story.end is None:
        return IncidentKind.UNFINISHED
    if not is_own_end(story.end):
        return IncidentKind.ABANDONED
    if INTERRUPTED in (words(story.end.details.get("error_message")) or ""):
        return IncidentKind.INTERRUPTED
    return {
        AuditEventType.LIQUIDATION_COMPLETE: IncidentKind.COMPLETED,
        AuditEventType.LIQUIDATION_PARTIAL: IncidentKind.PARTIAL,
        AuditEventType.LIQUIDATION_FAILED: IncidentKind.FAILED,
    }[AuditEventType(story.end.event_type)]


def _who(record: TrailRecord) -> str | None:
    details = record.details
    return who_of(details) if "user" in details or "host" in details else None


def _scope(start: TrailRecord | None) -> str | None:
    try:
        return scope_of(start.details) if start else None
    except (LookupError, TypeError):
        return None


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _positions_seen(story: RunStory) -> int | None:
    """Return how many legs were seen open; None where no reading showed all positions."""
    read = (_whole(reading.sent.details.get("positions")) for reading in story.readings)
    return len(story.legs) if story.legs or any(n is not None for n in read) else None


def _orders_listed(story: RunStory) -> int | None:
    """Return how many orders of others the first complete reading listed; None without one."""
    for reading in story.readings:
        details = reading.sent.details
        regular, algo = _whole(details.get("regular_orders")), _whole(details.get("algo_orders"))
        if regular is not None and algo is not None:
            return regular + algo
    return None


def _orders_answered(story: RunStory) -> int:
    """Return how many distinct orders a cancel was answered for."""
    answered: set[str] = set()
    for cancel in story.cancels:
        ids = cancel.sent.details.get("order_ids")
        if cancel.outcome is Outcome.DONE and isinstance(ids, list):
            answered.update(map(str, ids))
    return len(answered)


def _failed_position(leg: LegStory, story: RunStory) -> FailedPosition:
    details = leg.last_word.details if leg.last_word else {}
    answers = [word.details for order in reversed(leg.orders) for word in reversed(order.answers)]
    reasons = (reason_of(each) for each in (details, *answers))
    unknown = "no event says why" if story.end else "the trail ends before this position does"
    return FailedPosition(
        symbol=leg.symbol,
        position_side=leg.position_side,
        direction=leg.direction,
        quantity=leg.quantity,
        remaining=words(details.get("remaining")),
        outcome=leg.outcome,
        reason=next(filter(None, reasons), unknown),
    )


def _errors(records: Sequence[TrailRecord]) -> tuple[ErrorCount, ...]:
    """Return the errors by code and message, the most frequent first."""
    counts: dict[tuple[int | None, str], int] = {}
    for record in records:
        if record.event_type not in _CODED:
            continue
        error = record.details.get("error")
        source = error if isinstance(error, dict) else record.details
        code, message = _whole(source.get("code")), words(source.get("message"))
        if record.event_type == AuditEventType.POSITION_FAILED and (code, message) in counts:
            continue  # The same refusal, told again of the position.
        if code is not None or message:
            key = (code, message or "")
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        ErrorCount(
            code=code,
            count=times,
            meaning="no code of the venue" if code is None else explain_code(code),
            message=message,
        )
        for (code, message), times in sorted(counts.items(), key=lambda item: -item[1])
    )


def _notes(end: Mapping[str, object], story: RunStory, chain: RunChain) -> tuple[str, ...]:
    found = list(_texts(end.get("notes")))
    if end.get("deadline_exceeded") is True:
        found.append("it ended for want of time: part of the deadline is kept for the last reading")
    if story.end is not None and not is_own_end(story.end):
        told = phrase(TimedRecord(record=story.end, at_s=None))
        found += [told] if told else []
        by = words(story.end.details.get("closed_by"))
        found += [f"its record was ended by run {by}"] if by else []
    if chain.torn:
        found.append(f"{chain.torn} unfinished lines of a crash were stepped over")
    return tuple(found)


def _later_run(run: RunHeadline) -> LaterRun:
    first = run.start or run.end
    details = run.end.details if run.end else {}
    closed, found = _whole(details.get("positions_closed")), _whole(details.get("positions_found"))
    return LaterRun(
        correlation_id=run.correlation_id,
        at=run.began_at,
        end=run.end.event_type if run.end else None,
        who=_who(first) if first else None,
        reason=words(first.details.get("reason")) if first else None,
        counts=None if found is None else f"{closed} of {found} positions closed",
    )


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
    symbols = incident.symbols[:_SYMBOLS_MAX]
    more = len(incident.symbols) - len(symbols)
    scope = f"liqctl liquidate: {incident.scope}" if incident.scope else None
    found = [
        _known("Date (UTC)", _day(incident.started_at), ""),
        _known("Environment", incident.environment, ""),
        Fact(name="Type", ours=incident.type.value),
        Fact(name="Run", theirs=(incident.correlation_id,)),
        _state(incident),
        _known("What was asked", scope, NOT_TOLD),
        _known("Reason", incident.reason, "none was given"),
        _known("Who", incident.who, NOT_TOLD),
        Fact(
            name="Affected symbols",
            ours=f"and {more} more" if more > 0 else "" if symbols else "none",
            theirs=symbols,
        ),
        Fact(
            name="Positions closed",
            ours=_of(incident.positions_closed, incident.positions_found),
        ),
        Fact(name="Orders cancelled", ours=_of(incident.orders_cancelled, incident.orders_found)),
        Fact(name="Time", ours=_time(incident)),
        _known("What the run said", incident.error_message, "no error"),
    ]
    if not incident.audit.is_intact:
        found.insert(0, Fact(name="Take care", ours=_NOT_WHOLE))
    if incident.unread:
        found.append(Fact(name="Never answered", theirs=incident.unread))
    if incident.others_on:
        found.append(Fact(name="Others opened on", theirs=incident.others_on))
    return (*found, *(Fact(name="Note", theirs=(note,)) for note in incident.notes))


def sections_of(incident: Incident) -> tuple[Section, ...]:
    """Return the parts below the head; `timeline` and what is to be filled in are not in it."""
    none = "none" if incident.legs else "no position is in the record"
    return (
        Section(
            name="failed",
            title="Positions not proven closed",
            table=_failed_table(incident.positions_failed),
            nothing=none,
        ),
        Section(name="errors", title="Errors", table=_error_table(incident.errors), nothing="none"),
        Section(
            name="resolution",
            title="Resolution",
            facts=tuple(map(_later_fact, incident.later_runs))
            or (Fact(name="", ours="no later run of this environment is in the trail"),),
        ),
        Section(
            name="money",
            title="Profit, fees, slippage",
            facts=tuple(_money_facts(incident.money)),
            table=_cost_table(incident.money.legs),
        ),
        Section(name="proof", title="Proof", facts=_proof_facts(incident)),
    )


def timeline_table(incident: Incident, events: Iterable[int]) -> Table:
    """Return the events of those numbers, counted from 0, as a table."""
    rows = []
    for index in events:
        event, record = incident.timeline[index], incident.story.events[index].record
        at = "?" if event.at_seconds is None else f"{event.at_seconds:.3f}"
        told = event.words or describe_details(record.details) or "-"
        rows.append((at, event.event_type, event.symbol, told))
    return Table(
        head=("seconds", "event", "symbol", "what"),
        theirs=frozenset({1, 2, 3}),
        rows=tuple(rows),
        noun="event",
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


def _day(timestamp: str) -> str:
    """Return `2026-01-02 10:30:00` of a time stamp of ours, any other text as it is."""
    return timestamp[:19].replace("T", " ") if _OURS.fullmatch(timestamp) else timestamp


def _state(incident: Incident) -> Fact:
    """Return the state; a word that is none of ours is a text of others."""
    state = incident.state
    is_ours = state in set(LiquidationState)
    parts = [NOT_TOLD] if state is None else [state] if state and is_ours else []
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


def _of(done: int | None, found: int | None) -> str:
    return "not read" if found is None else f"{done} of {found}"


def _time(incident: Incident) -> str:
    limit_s, spent_s = incident.deadline_seconds, incident.spent_seconds
    deadline = "no deadline" if limit_s is None else f"a deadline of {limit_s:g} s"
    if spent_s is None:
        return f"at least {duration(incident.story.last_s)}, the last record, of {deadline}"
    return f"{duration(spent_s)} of {deadline}"


def _failed_table(failed: Iterable[FailedPosition]) -> Table:
    return Table(
        head=("symbol", "side", "quantity", "left", "state", "reason"),
        theirs=frozenset({0, 1, 2, 3, 5}),
        rows=tuple(
            (
                leg.symbol,
                leg.direction or leg.position_side,
                leg.quantity or "?",
                leg.remaining or "?",
                OUTCOME_WORDS[leg.outcome],
                leg.reason,
            )
            for leg in failed
        ),
        noun="position",
    )


def _error_table(errors: Iterable[ErrorCount]) -> Table:
    return Table(
        head=("code", "times", "meaning", "what was said"),
        theirs=frozenset({3}),
        rows=tuple(
            ("-" if e.code is None else str(e.code), str(e.count), e.meaning, e.message)
            for e in errors
        ),
        noun="error",
    )


def _cost_table(legs: Iterable[LegCost]) -> Table:
    return Table(
        head=("symbol", "traded", "average price", "mark price", "slippage", "PnL", "fees"),
        theirs=frozenset({0}),
        rows=tuple(
            (
                leg.symbol,
                f"{leg.side} {price(leg.quantity)}",
                price(leg.average_price),
                price(leg.mark_price),
                "?" if leg.slippage_bps is None else f"{leg.slippage_bps:+.2f} bps",
                signed(leg.realized_pnl, leg.asset),
                ", ".join(signed(fee, asset) for asset, fee in leg.fees.items()),
            )
            for leg in legs
        ),
        noun="leg",
    )


def _later_fact(run: LaterRun) -> Fact:
    parts = (run.correlation_id, run.end or "no end is recorded", run.counts, run.who, run.reason)
    at = _day(run.at) if _OURS.fullmatch(run.at) else "at an unreadable time"
    return Fact(name=at, theirs=tuple(part for part in parts if part))


def _proof_facts(incident: Incident) -> tuple[Fact, ...]:
    chain = incident.audit
    intact = f"intact: {count(chain.records, 'record')} follow one another"
    verdict = intact if chain.is_intact else f"BROKEN: {'; '.join(chain.problems)}"
    check = (
        "the head must be the result's audit_head; the whole file is checked by liqctl audit "
        "verify --head HEAD"
    )
    return (
        Fact(name="Chain of this run", ours=verdict),
        _known("Head", chain.head, "none"),
        Fact(name="Check it", ours=check),
        _known("Version of liqctl", incident.version, ""),
        _known("Venue", incident.base_url, ""),
    )


def _money_facts(money: Costs) -> Iterator[Fact]:
    """Yield profit, fees and slippage by asset, or why they were not read and how to read them."""
    if money.why_not is not None:
        yield Fact(
            name="Realised PnL, fees, slippage",
            before="not read, because",
            theirs=(money.why_not,),
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
