"""The timeline of a report's page as plain values: lanes of bars in per cent of the width.

Everything is placed by percentages, so that the drawing fits any screen without a script. Outcomes
are told by a sign and a pattern too: a third of the readers print it or do not see red.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from liqctl.desk.incident import Incident
from liqctl.desk.text import clean, count, named, sized
from liqctl.desk.trail import LEG_ENDS, duration, phrase, reason_of
from liqctl.trail.fold import (
    Fate,
    LegStory,
    Request,
    RequestKind,
    RunStory,
    TimedRecord,
    product_of,
)

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


def draw(incident: Incident) -> Timeline:
    """Return the timeline of a run."""
    story = incident.story
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
