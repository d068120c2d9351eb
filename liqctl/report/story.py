"""A run's records as a story: when, what was sent and answered, what became of each leg.

Pure, and for records of any kind: what was logged by hand, altered or cut makes a shorter story,
never an error. Moments are seconds since the run began; None where a time stamp is unreadable.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from liqctl.domain.events import RUN_ENDS, AuditEventType, is_run_start
from liqctl.domain.trail import TrailRecord

_START_LAG_MAX_S: Final = 5.0
"""How long before its START record a run may have begun: the rest of the program was loading."""

_SENT: Final = frozenset({AuditEventType.ORDER_SENT, AuditEventType.ORDER_CANCEL_SENT})
_ANSWERS: Final = frozenset(
    {
        AuditEventType.ORDER_PLACED,
        AuditEventType.ORDER_REJECTED,
        AuditEventType.ORDER_UNKNOWN,
        AuditEventType.ORDER_CANCELLED,
        AuditEventType.ORDER_CANCEL_REJECTED,
    }
)
_CLOSED_BY: Final = {"SELL": "LONG", "BUY": "SHORT"}
LegKey = tuple[str, str]


class Outcome(StrEnum):
    """What became of a request or a leg."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"


class RequestKind(StrEnum):
    """What a bar of the timeline stands for; a watch is the time that flat was watched."""

    CLOSE = "close"
    CANCEL = "cancel"
    READING = "reading"
    WATCH = "watch"


@dataclass(slots=True, kw_only=True)
class Request:
    """One request: the record of its sending and those of its answers, in order."""

    kind: RequestKind
    sent: TrailRecord
    began_s: float | None
    ended_s: float | None = None
    outcome: Outcome = Outcome.OPEN
    answers: list[TrailRecord] = field(default_factory=list)

    @property
    def took_s(self) -> float | None:
        """How long the first answer took."""
        if self.began_s is None or self.ended_s is None:
            return None
        return self.ended_s - self.began_s


@dataclass(slots=True, kw_only=True)
class LegStory:
    """One leg: what the records say of it. `last_word` closed it or gave it up.

    `quantity` is absolute and `direction` LONG or SHORT, as the first record that tells has them.
    """

    symbol: str
    position_side: str
    quantity: str | None = None
    direction: str | None = None
    began_s: float | None = None
    ended_s: float | None = None
    outcome: Outcome = Outcome.OPEN
    last_word: TrailRecord | None = None
    retries: int = 0
    orders: list[Request] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One record, when it happened, and for an answer how long it took."""

    record: TrailRecord
    at_s: float | None
    took_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """The whole run. `start` is None for events that were logged by hand."""

    correlation_id: str
    environment: str
    events: tuple[Event, ...]
    start: TrailRecord | None
    end: TrailRecord | None
    began_at: str
    deadline_s: float | None
    spent_s: float | None
    legs: tuple[LegStory, ...]
    cancels: tuple[Request, ...]
    readings: tuple[Request, ...]
    watches: tuple[Request, ...] = ()

    @property
    def last_s(self) -> float:
        """The last known moment of the story."""
        return max((event.at_s for event in self.events if event.at_s is not None), default=0.0)


def tell(records: Sequence[TrailRecord]) -> RunStory:
    """Return the story of one run's records, which are in order and at least one."""
    start = next((r for r in records if _is_start(r)), None)
    ends = ends_of(records)
    end = ends[-1] if ends else None
    clock = _Clock(records[0], start, end)
    teller = _Teller(clock)
    events = tuple(teller.take(record) for record in records)
    if end is not None and end.event_type != AuditEventType.LIQUIDATION_ABANDONED:
        teller.settle()
    return RunStory(
        correlation_id=records[0].correlation_id,
        environment=next((r.environment for r in records if r.environment), ""),
        events=events,
        start=start,
        end=end,
        began_at=(start or records[0]).timestamp,
        deadline_s=number(start.details.get("timeout_seconds")) if start else None,
        spent_s=_spent_s(clock, start, end),
        legs=tuple(teller.legs.values()),
        cancels=tuple(teller.cancels),
        readings=tuple(teller.readings),
        watches=tuple(teller.watches),
    )


def ends_of(records: Sequence[TrailRecord]) -> list[TrailRecord]:
    """Return the end records that hold: a run that began anew under the same id takes them back."""
    found: list[TrailRecord] = []
    for record in records:
        if _is_start(record):
            found.clear()
        elif record.event_type in RUN_ENDS:
            found.append(record)
    return found


def number(value: object) -> float | None:
    """Return a plain number of seconds or a count; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e12 else None  # noqa: PLR2004 - no run has more of anything


def words(value: object) -> str | None:
    """Return a detail that is text or a number as text; None for anything else."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_start(record: TrailRecord) -> bool:
    return record.event_type == AuditEventType.LIQUIDATION_START and is_run_start(record.details)


class _Clock:
    """Turns time stamps into seconds since the run began.

    The deadline counts from the moment the run began, which is a little before its START record;
    the end record tells how long the run took and so gives that moment.
    """

    def __init__(
        self, first: TrailRecord, start: TrailRecord | None, end: TrailRecord | None
    ) -> None:
        self._zero = moment((start or first).timestamp)
        ended = moment(end.timestamp) if end else None
        took_s = number(end.details.get("duration_seconds")) if end else None
        if self._zero is None or ended is None or took_s is None:
            return
        lag_s = took_s - (ended - self._zero)
        if start is not None and 0 < lag_s < _START_LAG_MAX_S:
            self._zero -= lag_s

    def at_s(self, record: TrailRecord) -> float | None:
        now = moment(record.timestamp)
        return None if now is None or self._zero is None else now - self._zero


def moment(text: str) -> float | None:
    """Return a time stamp as seconds on the calendar; None where it is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _spent_s(clock: _Clock, start: TrailRecord | None, end: TrailRecord | None) -> float | None:
    if start is None or end is None or end.event_type == AuditEventType.LIQUIDATION_ABANDONED:
        return None
    return number(end.details.get("duration_seconds")) or clock.at_s(end)


class _Teller:
    """Takes records in order and finds which belong together."""

    def __init__(self, clock: _Clock) -> None:
        self.legs: dict[LegKey, LegStory] = {}
        self.cancels: list[Request] = []
        self.readings: list[Request] = []
        self.watches: list[Request] = []
        self._clock = clock
        self._waiting: dict[str, Request] = {}
        self._reopened: dict[LegKey, tuple[TrailRecord | None, float | None]] = {}

    def take(self, record: TrailRecord) -> Event:
        at_s = self._clock.at_s(record)
        took_s = None
        if record.event_type in _WATCH_ENDS:
            self._take_watch(record, at_s)
        match record.event_type:
            case AuditEventType.SNAPSHOT_TAKEN:
                self._take_reading(record, at_s)
            case sent if sent in _SENT:
                self._take_sent(record, at_s)
            case answer if answer in _ANSWERS:
                took_s = self._take_answer(record, at_s)
            case AuditEventType.RETRY_SCHEDULED if leg := self._leg(record):
                leg.retries += 1
            case AuditEventType.POSITION_CLOSED if leg := self._leg(record):
                self._end_leg(leg, record, at_s, Outcome.DONE)
            case AuditEventType.POSITION_FAILED if leg := self._leg(record):
                self._end_leg(leg, record, at_s, _failed(record))
            case _:
                pass
        return Event(record=record, at_s=at_s, took_s=took_s)

    def settle(self) -> None:
        """Say of each leg that has no last word how it stood when the run ended."""
        for leg in self.legs.values():
            if leg.last_word is None:
                refused = not leg.orders or leg.orders[-1].outcome is Outcome.REFUSED
                leg.outcome = Outcome.REFUSED if refused else Outcome.UNKNOWN

    def _take_watch(self, record: TrailRecord, at_s: float | None) -> None:
        """End the watch over flat where the record proves it or breaks it off; begin a new one."""
        if self.watches and not self.watches[-1].answers:
            watch = self.watches[-1]
            watch.answers.append(record)
            watch.ended_s, watch.outcome = at_s, _WATCH_ENDS[record.event_type]
        if record.event_type == AuditEventType.FLAT_SEEN:
            self.watches.append(Request(kind=RequestKind.WATCH, sent=record, began_s=at_s))

    def _take_reading(self, record: TrailRecord, at_s: float | None) -> None:
        took_s = number(record.details.get("reading_s"))
        began_s = at_s if at_s is None or took_s is None else max(at_s - took_s, 0.0)
        unread = bool(record.details.get("unread"))
        self.readings.append(
            Request(
                kind=RequestKind.READING,
                sent=record,
                began_s=began_s,
                ended_s=at_s,
                outcome=Outcome.UNKNOWN if unread else Outcome.DONE,
            )
        )
        listed = set()
        for symbol, position_side, quantity in listed_legs(record):
            key = (symbol, position_side)
            listed.add(key)
            leg = self.legs.setdefault(key, LegStory(symbol=symbol, position_side=position_side))
            if leg.outcome is Outcome.DONE and _is_before(leg.ended_s, began_s):
                self._open_again(leg)
            leg.quantity = leg.quantity or quantity.removeprefix("-")
            leg.direction = leg.direction or ("SHORT" if quantity.startswith("-") else "LONG")

        if number(record.details.get("positions")) == len(listed):
            self._close_again(listed)

    def _open_again(self, leg: LegStory) -> None:
        """Take back that a leg is closed: something shows it open, or sends to close it."""
        self._reopened[leg.symbol, leg.position_side] = (leg.last_word, leg.ended_s)
        leg.last_word, leg.outcome, leg.ended_s = None, Outcome.OPEN, None

    def _close_again(self, listed: set[LegKey]) -> None:
        """Close the legs that a whole reading shows gone: what showed them open was late."""
        for key in self._reopened.keys() - listed:
            leg, (word, ended_s) = self.legs[key], self._reopened.pop(key)
            if leg.last_word is None:
                leg.last_word, leg.outcome, leg.ended_s = word, Outcome.DONE, ended_s

    def _take_sent(self, record: TrailRecord, at_s: float | None) -> None:
        is_close = record.event_type == AuditEventType.ORDER_SENT
        request = Request(
            kind=RequestKind.CLOSE if is_close else RequestKind.CANCEL, sent=record, began_s=at_s
        )
        self._waiting[_thread(record)] = request
        if not is_close:
            self.cancels.append(request)
        elif leg := self._leg(record):
            if leg.outcome is Outcome.DONE:
                self._open_again(leg)
            leg.orders.append(request)
            leg.began_s = at_s if leg.began_s is None else leg.began_s
            leg.quantity = leg.quantity or words(record.details.get("quantity"))
            leg.direction = leg.direction or _CLOSED_BY.get(str(record.details.get("side")))

    def _take_answer(self, record: TrailRecord, at_s: float | None) -> float | None:
        request = self._waiting.get(_thread(record))
        if request is None:
            return None
        is_first = not request.answers
        request.answers.append(record)
        request.outcome = _outcome(record)
        if is_first:
            request.ended_s = at_s
        return request.took_s if is_first else None

    def _leg(self, record: TrailRecord) -> LegStory | None:
        symbol = words(record.details.get("symbol"))
        if symbol is None:
            return None
        side = words(record.details.get("position_side")) or "BOTH"
        return self.legs.setdefault((symbol, side), LegStory(symbol=symbol, position_side=side))

    @staticmethod
    def _end_leg(leg: LegStory, record: TrailRecord, at_s: float | None, outcome: Outcome) -> None:
        leg.last_word, leg.outcome, leg.ended_s = record, outcome, at_s
        leg.quantity = leg.quantity or words(record.details.get("quantity"))


def listed_legs(record: TrailRecord) -> Iterable[tuple[str, str, str]]:
    """Yield symbol, position side and signed quantity of each leg that a reading lists."""
    listed = record.details.get("open")
    for text in listed if isinstance(listed, list) else ():
        parts = text.split(" ") if isinstance(text, str) else []
        if len(parts) == 3:  # noqa: PLR2004 - symbol, side, quantity
            yield parts[0], parts[1], parts[2]


def _is_before(moment_s: float | None, later_s: float | None) -> bool:
    """Return whether a moment lies before another; where that is unknown, the records' order is."""
    return moment_s is None or later_s is None or moment_s <= later_s


def _thread(record: TrailRecord) -> str:
    """Return what an answer and its request have in common."""
    details = record.details
    client_order_id = details.get("client_order_id")
    if isinstance(client_order_id, str):
        return client_order_id
    return f"{details.get('symbol')} {details.get('endpoint')} {details.get('order_ids')}"


def _outcome(record: TrailRecord) -> Outcome:
    match record.event_type:
        case AuditEventType.ORDER_PLACED:
            return _OUTCOME_BY_STATUS.get(str(record.details.get("status")), Outcome.REFUSED)
        case AuditEventType.ORDER_CANCELLED:
            return Outcome.DONE
        case AuditEventType.ORDER_UNKNOWN:
            return Outcome.UNKNOWN
        case _:
            is_unknown = record.details.get("kind") == "UNKNOWN"
            return Outcome.UNKNOWN if is_unknown else Outcome.REFUSED


_WATCH_ENDS: Final[Mapping[str, Outcome]] = {
    AuditEventType.FLAT_SEEN: Outcome.OPEN,
    AuditEventType.REENTRY_SEEN: Outcome.OPEN,
    AuditEventType.ORDER_SENT: Outcome.OPEN,
    AuditEventType.VERIFIED: Outcome.DONE,
}
"""What ends a watch over flat, and how; a new FLAT_SEEN says that it began anew."""

_OUTCOME_BY_STATUS: Final = {
    "FILLED": Outcome.DONE,
    "NEW": Outcome.OPEN,
    "PARTIALLY_FILLED": Outcome.OPEN,
}
"""An order that ended otherwise (EXPIRED, CANCELED) did not do what it was sent for."""


def _failed(record: TrailRecord) -> Outcome:
    return Outcome.UNKNOWN if record.details.get("state") == "UNKNOWN" else Outcome.REFUSED
