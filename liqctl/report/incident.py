"""The incident report's facts, from the trail: what operators keep of a run.

Pure. Texts of others (venue, user, trail) stand here as they are; who shows them makes them safe.
What the trail does not tell is None and is said to be unknown, never filled in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from liqctl.domain.events import INTERRUPTED, AuditEventType
from liqctl.domain.trail import RunChain, RunHeadline, TrailRecord
from liqctl.report.codes import explain_code
from liqctl.report.money import Costs, SentOrder, TradeReading, add_up, sent_orders
from liqctl.report.phrases import phrase, reason_of, scope_of, who_of
from liqctl.report.story import Event, LegStory, Outcome, RunStory, ends_of, number, tell, words

_CODED: Final = frozenset(
    {
        AuditEventType.ORDER_REJECTED,
        AuditEventType.ORDER_UNKNOWN,
        AuditEventType.ORDER_CANCEL_REJECTED,
        AuditEventType.POSITION_FAILED,
    }
)
_NO_REASON: Final = "no event says why"


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
class CodeCount:
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
class Incident:
    """Everything a report shows. `found` counts are None where no record tells.

    `settled_s` is how long flat was watched, `unread` names the sources that never answered,
    `others_on` the symbols on which others opened something during the run.
    """

    kind: IncidentKind
    story: RunStory
    chain: RunChain
    who: str | None
    reason: str | None
    scope: str | None
    version: str | None
    base_url: str | None
    state: str | None
    exit_code: int | None
    error_message: str | None
    verified_flat: bool | None
    settled_s: float | None
    unread: tuple[str, ...]
    others_on: tuple[str, ...]
    ended_at: str | None
    symbols: tuple[str, ...]
    positions_found: int | None
    positions_closed: int | None
    orders_found: int | None
    orders_cancelled: int | None
    failed: tuple[FailedPosition, ...]
    codes: tuple[CodeCount, ...]
    notes: tuple[str, ...]
    later: tuple[LaterRun, ...]
    orders: tuple[SentOrder, ...]
    reading: TradeReading
    costs: Costs


def make_incident(
    records: Sequence[TrailRecord],
    *,
    chain: RunChain,
    later: Iterable[RunHeadline],
    reading: TradeReading,
) -> Incident:
    """Return the facts of a run; `records` are its own in order, at least one."""
    story = tell(records)
    details = _details_of_end(story, records)
    first = story.start or records[0]
    orders = sent_orders(story)
    positions_found = _count(details.get("positions_found"))
    if positions_found is None:
        positions_found = _positions_seen(story)
    orders_found = _count(details.get("orders_found"))
    if orders_found is None:
        orders_found = _orders_read(story)
    return Incident(
        kind=kind_of(story, records),
        story=story,
        chain=chain,
        who=who_of(first.details) if _names_somebody(first) else None,
        reason=words(first.details.get("reason")),
        scope=_scope(story.start),
        version=words(first.details.get("version")),
        base_url=words(first.details.get("base_url")),
        state=words(details.get("state")),
        exit_code=_count(details.get("exit_code")),
        error_message=words(details.get("error_message")),
        verified_flat=_flag(details.get("verified_flat")),
        settled_s=number(details.get("settled_seconds")),
        unread=_texts(details.get("unread")),
        others_on=tuple(
            dict.fromkeys(
                words(record.details.get("symbol")) or "an unnamed symbol"
                for record in records
                if record.event_type == AuditEventType.REENTRY_SEEN
            )
        ),
        ended_at=story.end.timestamp if story.end else None,
        symbols=_symbols(records, story),
        positions_found=positions_found,
        positions_closed=None
        if positions_found is None
        else _or(
            details.get("positions_closed"),
            sum(leg.outcome is Outcome.DONE for leg in story.legs),
        ),
        orders_found=orders_found,
        orders_cancelled=None
        if orders_found is None
        else _or(details.get("orders_cancelled"), _orders_answered(story)),
        failed=tuple(_failed(leg, story) for leg in story.legs if leg.outcome is not Outcome.DONE),
        codes=_codes(records),
        notes=_notes(details, story, chain),
        later=tuple(_later(run) for run in later),
        orders=orders,
        reading=reading,
        costs=add_up(orders, reading),
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
    if story.end.event_type == AuditEventType.LIQUIDATION_ABANDONED:
        return IncidentKind.ABANDONED
    if INTERRUPTED in (words(story.end.details.get("error_message")) or ""):
        return IncidentKind.INTERRUPTED
    return _BY_END[AuditEventType(story.end.event_type)]


_BY_END: Final = {
    AuditEventType.LIQUIDATION_COMPLETE: IncidentKind.COMPLETED,
    AuditEventType.LIQUIDATION_PARTIAL: IncidentKind.PARTIAL,
    AuditEventType.LIQUIDATION_FAILED: IncidentKind.FAILED,
}


def _details_of_end(story: RunStory, records: Sequence[TrailRecord]) -> Mapping[str, object]:
    """Return the details of the run's own end; a run that others declared dead has none."""
    if story.end is None or story.end.event_type == AuditEventType.LIQUIDATION_ABANDONED:
        own = [end for end in ends_of(records) if end is not story.end]
        return own[-1].details if own else {}
    return story.end.details


def _names_somebody(record: TrailRecord) -> bool:
    return "user" in record.details or "host" in record.details


def _scope(start: TrailRecord | None) -> str | None:
    if start is None:
        return None
    try:
        return scope_of(start.details)
    except (LookupError, TypeError):
        return None


def _symbols(records: Sequence[TrailRecord], story: RunStory) -> tuple[str, ...]:
    """Return every symbol that a reading or an event names, those with a position first."""
    found: dict[str, None] = dict.fromkeys(leg.symbol for leg in story.legs)
    for record in records:
        symbol = record.details.get("symbol")
        if isinstance(symbol, str) and symbol:
            found[symbol] = None
    return tuple(found)


def _count(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _texts(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else ()
    return tuple(text for text in items if isinstance(text, str))


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _or(value: object, otherwise: int) -> int:
    found = _count(value)
    return otherwise if found is None else found


def _positions_seen(story: RunStory) -> int | None:
    """Return how many positions were seen; None where no reading showed them in full."""
    is_read = any(
        _count(reading.sent.details.get("positions")) is not None for reading in story.readings
    )
    return len(story.legs) if story.legs or is_read else None


def _orders_read(story: RunStory) -> int | None:
    """Return how many orders of others the first complete reading listed; None without one."""
    for reading in story.readings:
        regular = _count(reading.sent.details.get("regular_orders"))
        algo = _count(reading.sent.details.get("algo_orders"))
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


def _failed(leg: LegStory, story: RunStory) -> FailedPosition:
    details = leg.last_word.details if leg.last_word else {}
    return FailedPosition(
        symbol=leg.symbol,
        position_side=leg.position_side,
        direction=leg.direction,
        quantity=leg.quantity,
        remaining=words(details.get("remaining")),
        outcome=leg.outcome,
        reason=reason_of(details) or _last_refusal(leg) or _without_reason(story),
    )


def _last_refusal(leg: LegStory) -> str | None:
    for request in reversed(leg.orders):
        for answer in reversed(request.answers):
            reason = reason_of(answer.details)
            if reason is not None:
                return reason
    return None


def _without_reason(story: RunStory) -> str:
    return _NO_REASON if story.end else "the trail ends before this position does"


def _codes(records: Sequence[TrailRecord]) -> tuple[CodeCount, ...]:
    """Return the errors by code and message, the most frequent first."""
    counts: dict[tuple[int | None, str], int] = {}
    for record in records:
        if record.event_type not in _CODED:
            continue
        error = record.details.get("error")
        source = error if isinstance(error, dict) else record.details
        code, message = _count(source.get("code")), words(source.get("message"))
        if record.event_type == AuditEventType.POSITION_FAILED and (code, message) in counts:
            continue  # The same refusal, told again of the position.
        if code is not None or message:
            key = (code, message or "")
            counts[key] = counts.get(key, 0) + 1
    return tuple(
        CodeCount(
            code=code,
            count=count,
            meaning="no code of the venue" if code is None else explain_code(code),
            message=message,
        )
        for (code, message), count in sorted(counts.items(), key=lambda item: -item[1])
    )


def _notes(details: Mapping[str, object], story: RunStory, chain: RunChain) -> tuple[str, ...]:
    found = list(_texts(details.get("notes")))
    if details.get("deadline_exceeded") is True:
        found.append("it ended for want of time: part of the deadline is kept for the last reading")
    if story.end is not None and story.end.event_type == AuditEventType.LIQUIDATION_ABANDONED:
        told = phrase(Event(record=story.end, at_s=None))
        found += [told] if told else []
        by = words(story.end.details.get("closed_by"))
        found += [f"its record was ended by run {by}"] if by else []
    if chain.torn:
        found.append(f"{chain.torn} unfinished lines of a crash were stepped over")
    return tuple(found)


def _later(run: RunHeadline) -> LaterRun:
    first, end = run.start or run.end, run.end
    details = end.details if end else {}
    closed, found = _count(details.get("positions_closed")), _count(details.get("positions_found"))
    return LaterRun(
        correlation_id=run.correlation_id,
        at=first.timestamp if first else "",
        end=end.event_type if end else None,
        who=who_of(first.details) if first and _names_somebody(first) else None,
        reason=words(first.details.get("reason")) if first else None,
        counts=None if found is None else f"{closed} of {found} positions closed",
    )
