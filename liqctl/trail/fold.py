"""Records folded into runs: which there were, how each ended, what each sent, heard and closed.

Pure, and for records of any kind: what was logged by hand, altered or cut makes less of a run,
never an error. Moments are seconds since the run began; None where a time stamp is unreadable.

What a reader would get wrong:
- A correlation id may be used again. `fold_run` takes all runs of an id as one, its end being the
  last; `split_runs` tells them apart.
- Readings lag. A leg that was closed is open again when a later reading lists it, and closed as it
  was before when the next whole reading does not.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from liqctl.kernel.events import RUN_ENDS, AuditEventType, is_run_start
from liqctl.trail.record import TrailRecord, parse_line

LegKey = tuple[str, str]
_START_LAG_MAX_S: Final = 5.0
"""How long before its START record a run may have begun: the rest of the program was loading."""

_PROBLEMS_MAX: Final = 10
_NUMBER_MAX: Final = 1e12
"""No run has more of anything; a trail that was tampered with may say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """A run that has a start and no end: it is still under way, or it died."""

    correlation_id: str
    started_at: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeadline:
    """The first and the last word of a run, where the trail holds them.

    A run that was blocked or skipped has no start. `line` is that of the start, where it was asked.
    """

    correlation_id: str
    environment: str
    start: TrailRecord | None = None
    end: TrailRecord | None = None
    line: int | None = None

    @property
    def heard_at(self) -> str:
        """When the run began, or is first heard of."""
        record = self.start or self.end
        return record.timestamp if record else ""


class RunFold:
    """Tells the runs of a whole trail apart as their records go by; the rest is passed over."""

    def __init__(self) -> None:
        """Know of no run yet."""
        self.starts = 0
        self.open: dict[str, RunHeadline] = {}

    def take(self, record: TrailRecord, line: int | None = None) -> RunHeadline | None:
        """Take the next record; return the run that it ends, or that ended before it began.

        An end whose start was logged by hand, or rotated away, gives a run without a start.
        """
        if is_start(record):
            self.starts += 1
            self.open[record.correlation_id] = RunHeadline(
                correlation_id=record.correlation_id,
                environment=record.environment,
                start=record,
                line=line,
            )
            return None
        begun = None
        if record.event_type in RUN_ENDS:
            begun = self.open.pop(record.correlation_id, None)
        elif record.event_type not in _ALONE:
            return None
        return RunHeadline(
            correlation_id=record.correlation_id,
            environment=record.environment,
            start=begun.start if begun else None,
            end=record,
        )

    @property
    def unfinished(self) -> tuple[UnfinishedRun, ...]:
        """The runs that have no end so far."""
        return tuple(
            UnfinishedRun(correlation_id=name, started_at=run.heard_at, line=run.line)
            for name, run in self.open.items()
        )


def is_start(record: TrailRecord) -> bool:
    """Return whether the record began a run."""
    return record.event_type == AuditEventType.LIQUIDATION_START and is_run_start(record.details)


def split_runs(records: Iterable[TrailRecord]) -> list[list[TrailRecord]]:
    """Return the runs of one correlation id, oldest first; what came before the first start too."""
    runs: list[list[TrailRecord]] = [[]]
    for record in records:
        if is_start(record):
            runs.append([])
        runs[-1].append(record)
    return runs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChain:
    """Whether the records of one run follow one another, whatever stands between them.

    `head` is the SHA-256 of the last one. The line before the first is left to `audit verify`.
    """

    records: int
    head: str | None
    problems: tuple[str, ...] = ()
    torn: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether no record is missing, doubled, moved or altered; a cut end does not show."""
        return not self.problems

    def json_fields(self) -> dict[str, object]:
        """Return the fields, and what they come to."""
        return {
            "records": self.records,
            "head": self.head,
            "problems": self.problems,
            "torn": self.torn,
            "intact": self.is_intact,
        }


def check_run(lines: Sequence[bytes]) -> RunChain:
    """Return whether the lines of one run, in order, are a chain of their own."""
    problems: list[str] = []
    torn, last, seq = 0, None, 0
    for line in lines:
        record = parse_line(line)
        if record is None:
            continue
        torn += record.torn_hash is not None
        if last is not None:
            why = why_not_next(record, seq, last)
        elif record.seq != 1:
            why = f"its lines 1 to {record.seq - 1} (seq) are missing or stand in another file"
        else:
            why = None
        if why is not None and len(problems) < _PROBLEMS_MAX:
            problems.append(why)
        last, seq = hashlib.sha256(line).hexdigest(), record.seq
    return RunChain(records=len(lines), head=last, problems=tuple(problems), torn=torn)


def why_not_next(record: TrailRecord, seq: int, digest: str) -> str | None:
    """Return why the record cannot follow its run's line with that number and hash."""
    if record.seq != seq + 1:
        return f"seq is {record.seq}, {seq + 1} was due: a line is missing, doubled or moved"
    if record.prev_hash != digest:
        return f"prev_hash does not fit the line with seq {seq}: one of the two was altered"
    return None


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

    @property
    def is_answered(self) -> bool:
        """Whether the venue said what became of it; "unknown" is no answer."""
        return any(word.event_type != AuditEventType.ORDER_UNKNOWN for word in self.answers)


@dataclass(slots=True, kw_only=True)
class LegStory:
    """One leg: what the records say of it. `last_word` closed it or gave it up.

    `quantity` is absolute and `direction` LONG or SHORT, as the first record that tells has them.
    """

    symbol: str
    position_side: str
    quantity: str | None = None
    direction: str | None = None
    outcome: Outcome = Outcome.OPEN
    began_s: float | None = None
    ended_s: float | None = None
    orders: list[Request] = field(default_factory=list)
    retries: int = 0
    last_word: TrailRecord | None = None

    def json_fields(self) -> dict[str, object]:
        """Return what a report's document tells of the leg."""
        return {
            "symbol": self.symbol,
            "position_side": self.position_side,
            "direction": self.direction,
            "quantity": self.quantity,
            "outcome": self.outcome,
            "began_seconds": self.began_s,
            "ended_seconds": self.ended_s,
            "orders": len(self.orders),
            "retries": self.retries,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedRecord:
    """One record, when it happened, and for an answer how long it took."""

    record: TrailRecord
    at_s: float | None
    took_s: float | None = None

    @property
    def event_type(self) -> str:
        """The record's."""
        return self.record.event_type

    @property
    def symbol(self) -> str | None:
        """The symbol that the record names."""
        symbol = self.record.details.get("symbol")
        return symbol if isinstance(symbol, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """The whole run. `start` is None for events that were logged by hand.

    `orders` and `cancels` are in the order of sending, whatever their legs.
    """

    correlation_id: str
    environment: str
    events: tuple[TimedRecord, ...]
    start: TrailRecord | None
    end: TrailRecord | None
    began_at: str
    deadline_s: float | None
    spent_s: float | None
    legs: tuple[LegStory, ...]
    orders: tuple[Request, ...]
    cancels: tuple[Request, ...]
    readings: tuple[Request, ...]
    watches: tuple[Request, ...] = ()

    @property
    def last_s(self) -> float:
        """The last known moment of the story."""
        return max((event.at_s for event in self.events if event.at_s is not None), default=0.0)


def fold_run(records: Sequence[TrailRecord]) -> RunStory:
    """Return the story of one run's records, which are in order and at least one."""
    start = next(filter(is_start, records), None)
    ends = ends_of(records)
    end = ends[-1] if ends else None
    is_own_end = end is not None and end.event_type != AuditEventType.LIQUIDATION_ABANDONED
    took_s = number(end.details.get("duration_seconds")) if end else None
    # The deadline counts from the moment the run began, which is a little before its START record;
    # the end record tells how long the run took, and so gives that moment.
    zero = moment((start or records[0]).timestamp)
    ended = moment(end.timestamp) if end else None
    if start and zero is not None and ended is not None and took_s is not None:
        lag_s = took_s - (ended - zero)
        zero -= lag_s if 0 < lag_s < _START_LAG_MAX_S else 0.0
    fold = _StoryFold(zero)
    events = tuple(fold.take(record) for record in records)
    if is_own_end:
        fold.settle()
    return RunStory(
        correlation_id=records[0].correlation_id,
        environment=next((r.environment for r in records if r.environment), ""),
        events=events,
        start=start,
        end=end,
        began_at=(start or records[0]).timestamp,
        deadline_s=number(start.details.get("timeout_seconds")) if start else None,
        spent_s=(took_s or fold.at_s(end)) if start and end and is_own_end else None,
        legs=tuple(fold.legs.values()),
        orders=tuple(fold.orders),
        cancels=tuple(fold.cancels),
        readings=tuple(fold.readings),
        watches=tuple(fold.watches),
    )


def ends_of(records: Iterable[TrailRecord]) -> list[TrailRecord]:
    """Return the end records that hold: a run that began anew under the same id takes them back."""
    return [r for r in split_runs(records)[-1] if r.event_type in RUN_ENDS]


def number(value: object) -> float | None:
    """Return a plain number of seconds or a count; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _NUMBER_MAX else None


def words(value: object) -> str | None:
    """Return a detail that is text or a number as text; None for anything else."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def moment(text: object) -> float | None:
    """Return an RFC 3339 time stamp as seconds since the epoch; None where it is none."""
    try:
        found = datetime.fromisoformat(str(text))
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def listed_legs(record: TrailRecord) -> Iterable[tuple[str, str, str]]:
    """Yield symbol, position side and signed quantity of each leg that a reading lists."""
    listed = record.details.get("open")
    for text in listed if isinstance(listed, list) else ():
        parts = text.split(" ") if isinstance(text, str) else []
        if len(parts) == 3:  # noqa: PLR2004 - symbol, side, quantity
            yield parts[0], parts[1], parts[2]


class _StoryFold:
    """Takes records in order and finds which belong together."""

    def __init__(self, zero: float | None) -> None:
        self.legs: dict[LegKey, LegStory] = {}
        self.orders: list[Request] = []
        self.cancels: list[Request] = []
        self.readings: list[Request] = []
        self.watches: list[Request] = []
        self._zero = zero
        self._waiting: dict[str, Request] = {}
        self._reopened: dict[LegKey, tuple[TrailRecord | None, float | None]] = {}

    def at_s(self, record: TrailRecord) -> float | None:
        now = moment(record.timestamp)
        return None if now is None or self._zero is None else now - self._zero

    def take(self, record: TrailRecord) -> TimedRecord:
        at_s = self.at_s(record)
        took_s = None
        if record.event_type in _WATCH_ENDS:
            self._take_watch(record, at_s)
        match record.event_type:
            case AuditEventType.SNAPSHOT_TAKEN:
                self._take_reading(record, at_s)
            case AuditEventType.ORDER_SENT | AuditEventType.ORDER_CANCEL_SENT:
                self._take_sent(record, at_s)
            case answer if answer in _ANSWERS:
                took_s = self._take_answer(record, at_s)
            case AuditEventType.RETRY_SCHEDULED if leg := self._leg(record):
                leg.retries += 1
            case AuditEventType.POSITION_CLOSED if leg := self._leg(record):
                self._end_leg(leg, record, at_s, Outcome.DONE)
            case AuditEventType.POSITION_FAILED if leg := self._leg(record):
                is_unknown = record.details.get("state") == "UNKNOWN"
                outcome = Outcome.UNKNOWN if is_unknown else Outcome.REFUSED
                self._end_leg(leg, record, at_s, outcome)
            case _:
                pass
        return TimedRecord(record=record, at_s=at_s, took_s=took_s)

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
        self.readings.append(
            Request(
                kind=RequestKind.READING,
                sent=record,
                began_s=began_s,
                ended_s=at_s,
                outcome=Outcome.UNKNOWN if record.details.get("unread") else Outcome.DONE,
            )
        )
        listed = set()
        for symbol, position_side, quantity in listed_legs(record):
            key = (symbol, position_side)
            listed.add(key)
            leg = self.legs.setdefault(key, LegStory(symbol=symbol, position_side=position_side))
            # Where a moment is unknown, the order of the records decides.
            is_later = leg.ended_s is None or began_s is None or leg.ended_s <= began_s
            if leg.outcome is Outcome.DONE and is_later:
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
        (self.orders if is_close else self.cancels).append(request)
        if is_close and (leg := self._leg(record)):
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


def _thread(record: TrailRecord) -> str:
    """Return what an answer and its request have in common."""
    details = record.details
    client_order_id = details.get("client_order_id")
    if isinstance(client_order_id, str):
        return client_order_id
    return f"{details.get('symbol')} {details.get('endpoint')} {details.get('order_ids')}"


def _outcome(answer: TrailRecord) -> Outcome:
    match answer.event_type:
        case AuditEventType.ORDER_PLACED:
            # An order that ended otherwise (EXPIRED, CANCELED) did not do what it was sent for.
            return _BY_STATUS.get(str(answer.details.get("status")), Outcome.REFUSED)
        case AuditEventType.ORDER_CANCELLED:
            return Outcome.DONE
        case AuditEventType.ORDER_UNKNOWN:
            return Outcome.UNKNOWN
        case _:
            is_unknown = answer.details.get("kind") == "UNKNOWN"
            return Outcome.UNKNOWN if is_unknown else Outcome.REFUSED


_ALONE: Final = frozenset({AuditEventType.LIQUIDATION_BLOCKED, AuditEventType.LIQUIDATION_SKIPPED})
_ANSWERS: Final = frozenset(
    {
        AuditEventType.ORDER_PLACED,
        AuditEventType.ORDER_REJECTED,
        AuditEventType.ORDER_UNKNOWN,
        AuditEventType.ORDER_CANCELLED,
        AuditEventType.ORDER_CANCEL_REJECTED,
    }
)
_BY_STATUS: Final = {
    "FILLED": Outcome.DONE,
    "NEW": Outcome.OPEN,
    "PARTIALLY_FILLED": Outcome.OPEN,
}
_CLOSED_BY: Final = {"SELL": "LONG", "BUY": "SHORT"}
_WATCH_ENDS: Final[Mapping[str, Outcome]] = {
    AuditEventType.FLAT_SEEN: Outcome.OPEN,
    AuditEventType.REENTRY_SEEN: Outcome.OPEN,
    AuditEventType.ORDER_SENT: Outcome.OPEN,
    AuditEventType.VERIFIED: Outcome.DONE,
}
"""What ends a watch over flat, and how; a new FLAT_SEEN says that it began anew."""
