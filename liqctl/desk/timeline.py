"""The timeline of a report's page as plain values: rows of bars in per cent of the width.

Everything is placed by percentages, so that the drawing fits any screen without a script. Outcomes
are told by a sign and a pattern too: a third of the readers print it or do not see red.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from liqctl.desk.incident import OUTCOME_WORDS, Incident
from liqctl.desk.phrases import duration, phrase, reason_of
from liqctl.desk.text import clean, count
from liqctl.trail.fold import LegStory, Outcome, Request, RequestKind, RunStory, TimedRecord

_LEG_HEIGHT: Final = 12
_REQUEST_HEIGHT: Final = 7
_GAP: Final = 3
_TICKS_MAX: Final = 5
_FAR: Final = 93.0
"""A sign that would stand beyond this per cent stands before the end of its bar instead."""

_SPARE: Final = 1.06
_LABEL: Final = 0.3
_MARGIN: Final = 0.05
"""Parts of the width that the deadline's label and a tick's label take on a phone."""

_DEADLINE_NEAR: Final = 0.4
_READINGS_MAX: Final = 60
SIGNS: Final = {
    Outcome.DONE: "✓",
    Outcome.REFUSED: "✗",
    Outcome.UNKNOWN: "?",
    Outcome.OPEN: "…",
}
_REQUEST_WORDS: Final = {
    Outcome.DONE: "done",
    Outcome.REFUSED: "refused",
    Outcome.UNKNOWN: "unknown",
    Outcome.OPEN: "not answered",
}
_WATCH_WORDS: Final = {
    Outcome.DONE: "✓ flat, proven",
    Outcome.REFUSED: "not proven",
    Outcome.UNKNOWN: "not proven",
    Outcome.OPEN: "… not proven: the watch was broken off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar: place and size (per cent across, pixels down), what it is, and its sign."""

    x: str
    width: str
    y: int
    height: int
    kind: str
    outcome: str
    title: str
    sign: str = ""
    sign_x: str = ""
    anchor: str = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The bars of one symbol or of the run's readings, with a caption for each request."""

    label: str
    outcome: str
    verdicts: tuple[str, ...]
    height: int
    bars: tuple[Bar, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All rows, the ticks of the axis, and where the deadline is; `used` is its part that passed.

    `deadline_x` is None where the deadline lies beyond the drawing.
    """

    rows: tuple[Row, ...]
    ticks: tuple[tuple[str, str], ...]
    deadline_x: str | None
    deadline_words: str
    used: str | None
    used_words: str
    is_late: bool


def draw(incident: Incident) -> Timeline:
    """Return the timeline of a run."""
    story = incident.story
    ended_s = max(story.last_s, story.spent_s or 0.0)
    span_s = max(ended_s * _SPARE, 0.001)
    deadline_s = story.deadline_s
    if deadline_s is not None and ended_s >= deadline_s * _DEADLINE_NEAR:
        span_s = max(span_s, deadline_s * _SPARE)
    is_on = deadline_s is not None and deadline_s <= span_s
    scale = _Scale(span_s, ended_s)
    used = None
    if deadline_s:
        used = f"{min(100.0 * ended_s / deadline_s, 100.0):.2f}%"
    return Timeline(
        rows=tuple(_rows(story, scale)),
        ticks=tuple(_ticks(span_s, deadline_s if is_on else None)),
        deadline_x=scale.at(deadline_s) if is_on and deadline_s is not None else None,
        deadline_words="no deadline" if deadline_s is None else f"deadline {deadline_s:g} s",
        used=used,
        used_words=f"{duration(ended_s)} used" + ("" if story.end else " as far as is recorded"),
        is_late=deadline_s is not None and ended_s > deadline_s,
    )


class _Scale:
    """Turns seconds into per cent of the width."""

    def __init__(self, span_s: float, ended_s: float) -> None:
        self._span_s = span_s
        self._ended_s = ended_s

    def per_cent(self, seconds: float) -> float:
        return min(max(100.0 * seconds / self._span_s, 0.0), 100.0)

    def at(self, seconds: float) -> str:
        return f"{self.per_cent(seconds):.3f}%"

    def bar(
        self,
        began_s: float,
        ended_s: float | None,
        *,
        y: int,
        height: int,
        kind: str,
        outcome: Outcome,
        title: str,
        sign: str,
    ) -> Bar:
        """Return a bar; one without an end reaches to the end of the run."""
        start = self.per_cent(began_s)
        end = max(self.per_cent(self._ended_s if ended_s is None else ended_s), start)
        is_far = end > _FAR
        return Bar(
            x=f"{start:.3f}%",
            width=f"{end - start:.3f}%",
            y=y,
            height=height,
            kind=kind,
            outcome=outcome.value.lower(),
            title=clean(title),
            sign=sign,
            sign_x=f"{start if is_far else end:.3f}%",
            anchor="end" if is_far else "start",
        )


def _rows(story: RunStory, scale: _Scale) -> Iterator[Row]:
    readings = story.readings[:_READINGS_MAX]
    if readings:
        more = len(story.readings) - len(readings)
        left_out = f", {more} not drawn" if more else ""
        yield Row(
            label="Readings",
            outcome="done",
            verdicts=(count(len(story.readings), "reading") + left_out,),
            height=_LEG_HEIGHT,
            bars=tuple(_lane(reading, scale, y=0, height=_LEG_HEIGHT) for reading in readings),
            captions=(),
        )
    if story.watches:
        yield Row(
            label="Flat, watched",
            outcome=story.watches[-1].outcome.value.lower(),
            verdicts=(_WATCH_WORDS[story.watches[-1].outcome],),
            height=_LEG_HEIGHT,
            bars=tuple(_lane(watch, scale, y=0, height=_LEG_HEIGHT) for watch in story.watches),
            captions=(),
        )
    for symbol, (legs, requests) in _by_symbol(story).items():
        yield _row(symbol, legs, requests, scale)


def _by_symbol(story: RunStory) -> dict[str, tuple[list[LegStory], list[Request]]]:
    """Return legs and requests by symbol, symbols with a leg first."""
    found: dict[str, tuple[list[LegStory], list[Request]]] = {}
    for leg in story.legs:
        legs, requests = found.setdefault(leg.symbol, ([], []))
        legs.append(leg)
        requests.extend(leg.orders)
    for cancel in story.cancels:
        symbol = str(cancel.sent.details.get("symbol", ""))
        found.setdefault(symbol, ([], []))[1].append(cancel)
    for _, requests in found.values():
        requests.sort(key=lambda request: request.began_s or 0.0)
    return found


def _row(symbol: str, legs: list[LegStory], requests: list[Request], scale: _Scale) -> Row:
    bars = []
    y = 0
    for leg in legs:
        began_s = leg.began_s if leg.began_s is not None else leg.ended_s
        if began_s is not None:
            bars.append(
                scale.bar(
                    began_s,
                    leg.ended_s,
                    y=y,
                    height=_LEG_HEIGHT,
                    kind="leg",
                    outcome=leg.outcome,
                    title=_verdict(leg),
                    sign=SIGNS[leg.outcome],
                )
            )
        y += _LEG_HEIGHT + _GAP
    for request in requests:
        bars.append(_lane(request, scale, y=y, height=_REQUEST_HEIGHT))
        y += _REQUEST_HEIGHT + _GAP
    outcomes = [leg.outcome for leg in legs] or [request.outcome for request in requests]
    return Row(
        label=clean(symbol) or "no symbol",
        outcome=_worst(outcomes).value.lower(),
        verdicts=tuple(_verdict(leg) for leg in legs) or ("orders only",),
        height=max(y - _GAP, _LEG_HEIGHT),
        bars=tuple(bars),
        captions=tuple(_caption(request) for request in requests),
    )


def _lane(request: Request, scale: _Scale, *, y: int, height: int) -> Bar:
    return scale.bar(
        request.began_s or 0.0,
        request.ended_s,
        y=y,
        height=height,
        kind=request.kind.value,
        outcome=request.outcome,
        title=_caption(request),
        sign="" if request.outcome is Outcome.DONE else SIGNS[request.outcome],
    )


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    order = [Outcome.REFUSED, Outcome.UNKNOWN, Outcome.OPEN, Outcome.DONE]
    return min(outcomes, key=order.index, default=Outcome.DONE)


def _verdict(leg: LegStory) -> str:
    """Return what became of a leg, its sign first."""
    side = leg.direction or leg.position_side
    text = f"{SIGNS[leg.outcome]} {side} {leg.quantity or ''} {OUTCOME_WORDS[leg.outcome]}"
    if leg.retries:
        text += f", {count(leg.retries, 'repeat')}"
    reason = reason_of(leg.last_word.details) if leg.last_word else None
    if reason and leg.outcome is not Outcome.DONE:
        text += f": {reason}"
    return clean(text.replace("  ", " "))


def _caption(request: Request) -> str:
    """Return what was sent, and what was answered after how long."""
    sent = phrase(TimedRecord(record=request.sent, at_s=request.began_s)) or "sent"
    if request.kind in {RequestKind.READING, RequestKind.WATCH}:
        return clean(sent)
    verb = "" if request.kind is RequestKind.CLOSE else "cancel "
    took = "" if request.took_s is None else f" after {duration(request.took_s)}"
    text = f"{SIGNS[request.outcome]} {verb}{sent} → {_REQUEST_WORDS[request.outcome]}{took}"
    reason = reason_of(request.answers[-1].details) if request.answers else None
    return clean(f"{text}: {reason}" if reason else text)


def _ticks(span_s: float, deadline_s: float | None) -> Iterator[tuple[str, str]]:
    """Yield place and label of at most six ticks, at 1, 2 or 5 times a power of ten.

    Those that would stand under the deadline's label, which ends at its line, are left out.
    """
    step = 10.0**-4
    factors = (2.0, 2.5, 2.0)
    count = 0
    while span_s / step > _TICKS_MAX:
        step *= factors[count % 3]
        count += 1
    for number in range(int(span_s / step) + 1):
        seconds = number * step
        is_free = deadline_s is None or deadline_s - seconds > span_s * _LABEL
        if seconds <= span_s * (1 - _MARGIN) and is_free:
            yield f"{100 * seconds / span_s:.3f}%", _tick(seconds, step)


def _tick(seconds: float, step: float) -> str:
    return f"{seconds:g} s" if step >= 1 or not seconds else f"{seconds * 1000:g} ms"
