"""The fields of an incident report in words, the same for the Markdown text and the page.

Texts are as they are: who shows them makes them safe. Each `Fact` says which part of it is ours and
which is a text of others, to be marked as such.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from liqctl.domain.states import LiquidationState
from liqctl.report.incident import Incident, LaterRun
from liqctl.report.phrases import duration, plural
from liqctl.report.story import Outcome

PROVEN_BY_READING: Final = "flat, proven by a reading"
NOT_TOLD: Final = "not told by the trail"
TO_FILL_IN: Final = ("Root cause", "Prevention", "Incident ticket")
_SYMBOLS_MAX: Final = 40
_OURS: Final = re.compile(r"[0-9T:.-]{10,40}Z")
OUTCOME_WORDS: Final = {
    Outcome.DONE: "closed",
    Outcome.REFUSED: "not closed",
    Outcome.UNKNOWN: "unknown whether closed",
    Outcome.OPEN: "not closed as far as is recorded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One field: texts of others (`theirs`) stand between two parts of our own."""

    name: str
    before: str = ""
    ours: str = ""
    theirs: tuple[str, ...] = ()


_NOT_WHOLE: Final = Fact(
    name="Take care",
    ours="the record of this run is NOT WHOLE, see the proof: what it says below is not proven",
)


def facts_of(incident: Incident) -> tuple[Fact, ...]:
    """Return the fields at the head of the report, in the order operators read them."""
    story = incident.story
    symbols = incident.symbols[:_SYMBOLS_MAX]
    more = len(incident.symbols) - len(symbols)
    return (
        *([] if incident.chain.is_intact else [_NOT_WHOLE]),
        Fact(name="Date (UTC)", theirs=(_day(story.began_at),)),
        Fact(name="Environment", theirs=_known(story.environment)),
        Fact(name="Type", ours=incident.kind.value),
        Fact(name="Run", theirs=(story.correlation_id,)),
        _state(incident),
        Fact(
            name="What was asked", ours="" if incident.scope else NOT_TOLD, theirs=_scope(incident)
        ),
        Fact(
            name="Reason",
            ours="" if incident.reason else "none was given",
            theirs=_known(incident.reason),
        ),
        Fact(name="Who", ours="" if incident.who else NOT_TOLD, theirs=_known(incident.who)),
        Fact(
            name="Affected symbols",
            ours=f"and {more} more" if more > 0 else "" if symbols else "none",
            theirs=symbols,
        ),
        Fact(
            name="Positions closed", ours=_of(incident.positions_closed, incident.positions_found)
        ),
        Fact(name="Orders cancelled", ours=_of(incident.orders_cancelled, incident.orders_found)),
        Fact(name="Time", ours=_time(incident)),
        Fact(
            name="What the run said",
            ours="" if incident.error_message else "no error",
            theirs=_known(incident.error_message),
        ),
        *([Fact(name="Never answered", theirs=incident.unread)] if incident.unread else []),
        *([Fact(name="Others opened on", theirs=incident.others_on)] if incident.others_on else []),
        *(Fact(name="Note", theirs=(note,)) for note in incident.notes),
    )


def proof_of(incident: Incident) -> tuple[Fact, ...]:
    """Return what proves the record."""
    chain = incident.chain
    count = plural(chain.records, "record")
    verdict = (
        f"intact: {count} follow one another"
        if chain.is_intact
        else f"BROKEN: {'; '.join(chain.problems)}"
    )
    return (
        Fact(name="Chain of this run", ours=verdict),
        Fact(name="Head", ours="" if chain.head else "none", theirs=_known(chain.head)),
        Fact(
            name="Check it",
            ours="the head must be the result's audit_head; the whole file is checked by "
            "liqctl audit verify --head HEAD",
        ),
        Fact(name="Version of liqctl", theirs=_known(incident.version)),
        Fact(name="Venue", theirs=_known(incident.base_url)),
    )


def resolution_of(incident: Incident) -> Iterator[Fact]:
    """Yield what was done afterwards, as far as the trail tells."""
    if not incident.later:
        yield Fact(name="", ours="no later run of this environment is in the trail")
    for run in incident.later:
        yield _later(run)


def money_of(incident: Incident) -> Iterator[Fact]:
    """Yield profit, fees and slippage by asset, or why they were not read and how to read them."""
    reading, costs = incident.reading, incident.costs
    if reading.why_not is not None:
        yield Fact(
            name="Realised PnL, fees, slippage",
            before="not read, because",
            theirs=(reading.why_not,),
        )
        if reading.how:
            yield Fact(name="How to get them", ours=reading.how)
        return
    part = "" if costs.is_complete else "INCOMPLETE, "
    count = f"{part}from the trades of {costs.orders_read} of {plural(costs.orders, 'order')}"
    yield Fact(name="Read", ours=count)
    by_reason: dict[str, list[str]] = {}
    for order_id, why in reading.unread.items():
        by_reason.setdefault(why, []).append(order_id)
    for why, ids in by_reason.items():
        yield Fact(
            name="Not read", ours=f"first of {plural(len(ids), 'order')}", theirs=(why, ids[0])
        )
    yield Fact(name="Realised PnL, fees not included", ours=_sums(costs.realized_pnl))
    yield Fact(name="Fees paid", ours=_sums(costs.fees))
    unmarked = (
        f"; {plural(costs.unmarked, 'leg')} without a mark price on record"
        if costs.unmarked
        else ""
    )
    yield Fact(name="Slippage against mark", ours=f"{_sums(costs.slippage)}{unmarked}")


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


def _sums(by_asset: Mapping[str, Decimal]) -> str:
    return ", ".join(signed(value, asset) for asset, value in by_asset.items()) or "nothing traded"


def _known(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()


def _day(timestamp: str) -> str:
    """Return `2026-01-02 10:30:00` of a time stamp of ours, any other text as it is."""
    return timestamp[:19].replace("T", " ") if _OURS.fullmatch(timestamp) else timestamp


def _scope(incident: Incident) -> tuple[str, ...]:
    return (f"liqctl liquidate: {incident.scope}",) if incident.scope else ()


def _state(incident: Incident) -> Fact:
    """Return the state; a word that is none of ours is a text of others."""
    is_ours = incident.state in set(LiquidationState)
    parts = [incident.state] if incident.state and is_ours else []
    parts += [NOT_TOLD] if incident.state is None else []
    parts += [f"exit {incident.exit_code}"] if incident.exit_code is not None else []
    match incident.verified_flat:
        case True:
            watched = f"nothing was listed for {duration(incident.settled_s)}"
            # Trails of earlier versions do not tell how long; there one reading was the proof.
            parts.append(f"flat, proven: {watched}" if incident.settled_s else PROVEN_BY_READING)
        case False:
            parts.append("not proven flat")
        case None:
            pass
    theirs = () if is_ours else _known(incident.state)
    return Fact(name="State", theirs=theirs, ours=", ".join(parts))


def _of(done: int | None, found: int | None) -> str:
    return "not read" if found is None else f"{done} of {found}"


def _time(incident: Incident) -> str:
    story = incident.story
    deadline = (
        "no deadline" if story.deadline_s is None else f"a deadline of {story.deadline_s:g} s"
    )
    if story.spent_s is None:
        return f"at least {duration(story.last_s)}, the last record, of {deadline}"
    return f"{duration(story.spent_s)} of {deadline}"


def _later(run: LaterRun) -> Fact:
    parts: Iterable[str | None] = (
        run.correlation_id,
        run.end or "no end is recorded",
        run.counts,
        run.who,
        run.reason,
    )
    at = _day(run.at) if _OURS.fullmatch(run.at) else "at an unreadable time"
    return Fact(name=at, theirs=tuple(part for part in parts if part))
