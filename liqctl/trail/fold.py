"""Records folded into runs: which there were, how each ended, what each sent, heard and closed.

Pure, and for records of any kind: what was logged by hand, altered or cut makes less of a run,
never an error. Moments are seconds since the run began; None where a time stamp is unreadable.

What a reader would get wrong:
- A correlation id may be used again. `fold_run` takes all runs of an id as one, its end being the
  last; `split_runs` tells them apart.
- Each product is read, watched and proven by itself: a reading says nothing of another's legs.
- Readings lag. A leg that was closed is open again when a later reading lists it, and closed as it
  was before when the next whole reading does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from liqctl.kernel.events import RUN_ENDS, AuditEventType, is_run_start
from liqctl.trail.file import TrailRecord

_LegKey = tuple[str, str]
_START_LAG_MAX_S: Final = 5.0
"""How long before its START record a run may have begun: the rest of the program was loading."""

_NUMBER_MAX: Final = 1e12
"""No run has more of anything; a trail that was tampered with may say so."""

_ALONE: Final = frozenset({AuditEventType.LIQUIDATION_BLOCKED, AuditEventType.LIQUIDATION_SKIPPED})
"""What ends before it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeadline:
    """The first and the last word of a run, where the trail holds them.

    A run that was blocked or skipped has no start, one that is under way or died no end. `line` is
    that of the start, where it was asked.
    """

    correlation_id: str
    environment: str
    account: str | None = None
    start: TrailRecord | None = None
    end: TrailRecord | None = None
    line: int | None = None

    @property
    def began_at(self) -> str:
        """When the run began, or is first heard of."""
        record = self.start or self.end
        return record.timestamp if record else ""

    def json_fields(self) -> dict[str, object]:
        """Return an unfinished run as documents list it."""
        return {
            "correlation_id": self.correlation_id,
            "started_at": self.began_at,
            "line": self.line,
        }


class RunFold:
    """Tells the runs of a whole trail apart as their records go by; the rest is passed over."""

    def __init__(self) -> None:
        self.starts = 0
        self._open: dict[str, RunHeadline] = {}

    def take(self, record: TrailRecord, line: int | None = None) -> RunHeadline | None:
        """Take the next record; return the run that it ends, or that ended before it began.

        An end whose start was logged by hand, or rotated away, gives a run without a start.
        """
        name, begun = record.correlation_id, None
        if is_start(record):
            self.starts += 1
            self._open[name] = RunHeadline(
                correlation_id=name,
                environment=record.environment,
                account=record.account,
                start=record,
                line=line,
            )
            return None
        if record.event_type in RUN_ENDS:
            begun = self._open.pop(name, None)
        elif record.event_type not in _ALONE:
            return None
        return RunHeadline(
            correlation_id=name,
            environment=record.environment,
            account=record.account,
            start=begun.start if begun else None,
            end=record,
        )

    @property
    def unfinished(self) -> tuple[RunHeadline, ...]:
        """The runs that have no end so far."""
        return tuple(self._open.values())


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


class Fate(StrEnum):
    """What became of a request or a leg."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"
    OPEN = "OPEN"


_ANSWERS: Final = {
    AuditEventType.ORDER_PLACED,
    AuditEventType.ORDER_REJECTED,
    AuditEventType.ORDER_UNKNOWN,
    AuditEventType.ORDER_CANCELLED,
    AuditEventType.ORDER_CANCEL_REJECTED,
}
_BY_STATUS: Final = {"FILLED": Fate.DONE, "NEW": Fate.OPEN, "PARTIALLY_FILLED": Fate.OPEN}
_CLOSED_BY: Final = {"SELL": "LONG", "BUY": "SHORT"}
_WATCH_ENDS: Final[Mapping[str, Fate]] = {
    AuditEventType.FLAT_SEEN: Fate.OPEN,
    AuditEventType.REENTRY_SEEN: Fate.OPEN,
    AuditEventType.ORDER_SENT: Fate.OPEN,
    AuditEventType.VERIFIED: Fate.DONE,
}
"""What ends a watch over flat, and how; a new FLAT_SEEN says that it began anew."""


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
    outcome: Fate = Fate.OPEN
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

    `quantity` is absolute and `direction` LONG or SHORT, as the first record that tells has them;
    `product` is None in trails of versions that knew one only.
    """

    symbol: str
    position_side: str
    product: str | None = None
    quantity: str | None = None
    direction: str | None = None
    outcome: Fate = Fate.OPEN
    began_s: float | None = None
    ended_s: float | None = None
    orders: list[Request] = field(default_factory=list)
    retries: int = 0
    last_word: TrailRecord | None = None

    def json_fields(self) -> dict[str, object]:
        """Return what a report's document tells of the leg."""
        return {
            "product": self.product,
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


@dataclass(slots=True, kw_only=True)
class RunStory:
    """One run as the records say that it takes in order.

    `zero` is when it began, in seconds since the epoch. `start` is None for events that were logged
    by hand. `ends` holds the end records that count: a run that began anew under the same id takes
    back those before. `orders` and `cancels` are in the order of sending, whatever their legs.
    """

    zero: float | None = None
    start: TrailRecord | None = None
    ends: list[TrailRecord] = field(default_factory=list)
    events: list[TimedRecord] = field(default_factory=list)
    orders: list[Request] = field(default_factory=list)
    cancels: list[Request] = field(default_factory=list)
    readings: list[Request] = field(default_factory=list)
    watches: list[Request] = field(default_factory=list)
    _legs: dict[_LegKey, LegStory] = field(default_factory=dict)
    _waiting: dict[str, Request] = field(default_factory=dict)
    _reopened: dict[_LegKey, tuple[TrailRecord | None, float | None]] = field(default_factory=dict)

    @property
    def correlation_id(self) -> str:
        """The run's name."""
        return self.events[0].record.correlation_id

    @property
    def environment(self) -> str:
        """Where it ran; empty where no record tells."""
        return next((e.record.environment for e in self.events if e.record.environment), "")

    @property
    def account(self) -> str | None:
        """The name of its account, None where it has none."""
        return next((e.record.account for e in self.events if e.record.account), None)

    @property
    def began_at(self) -> str:
        """The time stamp of its start, or of its first record."""
        return (self.start or self.events[0].record).timestamp

    @property
    def end(self) -> TrailRecord | None:
        """Its last word, its own or that of the run that found it dead."""
        return self.ends[-1] if self.ends else None

    @property
    def legs(self) -> tuple[LegStory, ...]:
        """Its legs, in the order in which the records name them."""
        return tuple(self._legs.values())

    @property
    def deadline_s(self) -> float | None:
        """How long it was to take at most."""
        return number(self.start.details.get("timeout_seconds")) if self.start else None

    @property
    def spent_s(self) -> float | None:
        """How long it took; None where it has not said so itself."""
        if self.start is None or self.end is None or not is_own_end(self.end):
            return None
        return number(self.end.details.get("duration_seconds")) or self._at_s(self.end)

    @property
    def last_s(self) -> float:
        """The last known moment of the story."""
        return max((event.at_s for event in self.events if event.at_s is not None), default=0.0)

    def take(self, record: TrailRecord) -> TimedRecord:
        """Take in the next record, and return it with its times."""
        at_s, took_s = self._at_s(record), None
        # A watch over flat is proven or broken off by what comes; it may also begin anew.
        if record.event_type in _WATCH_ENDS:
            for watch in self.watches:
                if not watch.answers and product_of(watch.sent) == product_of(record):
                    watch.answers.append(record)
                    watch.ended_s, watch.outcome = at_s, _WATCH_ENDS[record.event_type]
        match record.event_type:
            case _ if is_start(record):
                self.start, self.ends = self.start or record, []
            case end if end in RUN_ENDS:
                self.ends.append(record)
            case AuditEventType.FLAT_SEEN:
                self.watches.append(Request(kind=RequestKind.WATCH, sent=record, began_s=at_s))
            case AuditEventType.SNAPSHOT_TAKEN:
                self._take_reading(record, at_s)
            case AuditEventType.ORDER_SENT | AuditEventType.ORDER_CANCEL_SENT:
                self._take_sent(record, at_s)
            case answer if answer in _ANSWERS:
                request = self._waiting.get(_common_key(record))
                if request is not None:
                    if not request.answers:
                        request.ended_s = at_s
                        took_s = request.took_s
                    request.answers.append(record)
                    request.outcome = _outcome(record)
            case AuditEventType.RETRY_SCHEDULED if leg := self._leg(record):
                leg.retries += 1
            case AuditEventType.POSITION_CLOSED | AuditEventType.POSITION_FAILED if leg := (
                self._leg(record)
            ):
                leg.last_word, leg.ended_s = record, at_s
                leg.quantity = leg.quantity or words(record.details.get("quantity"))
                leg.outcome = _outcome(record)
            case _:
                pass
        event = TimedRecord(record=record, at_s=at_s, took_s=took_s)
        self.events.append(event)
        return event

    def _at_s(self, record: TrailRecord) -> float | None:
        now = moment(record.timestamp)
        return None if now is None or self.zero is None else now - self.zero

    def _take_reading(self, record: TrailRecord, at_s: float | None) -> None:
        details = record.details
        took_s = number(details.get("reading_s"))
        began_s = at_s if at_s is None or took_s is None else max(at_s - took_s, 0.0)
        self.readings.append(
            Request(
                kind=RequestKind.READING,
                sent=record,
                began_s=began_s,
                ended_s=at_s,
                outcome=Fate.UNKNOWN if details.get("unread") else Fate.DONE,
            )
        )
        texts, product = details.get("open"), product_of(record)
        listed = set()
        for text in texts if isinstance(texts, list) else ():
            parts = text.split(" ") if isinstance(text, str) else []
            if len(parts) != 3:  # noqa: PLR2004 - symbol, position side, signed quantity
                continue
            symbol, position_side, quantity = parts
            key = (symbol, position_side)
            listed.add(key)
            leg = self._legs.setdefault(
                key, LegStory(symbol=symbol, position_side=position_side, product=product)
            )
            # Where a moment is unknown, the order of the records decides.
            is_later = leg.ended_s is None or began_s is None or leg.ended_s <= began_s
            if leg.outcome is Fate.DONE and is_later:
                self._open_again(leg)
            leg.quantity = leg.quantity or quantity.removeprefix("-")
            leg.direction = leg.direction or ("SHORT" if quantity.startswith("-") else "LONG")
        if number(details.get("positions")) == len(listed):
            # The legs that a whole reading shows gone: what showed them open was late.
            for key in self._reopened.keys() - listed:
                if self._legs[key].product != product:
                    continue
                leg, (word, ended_s) = self._legs[key], self._reopened.pop(key)
                if leg.last_word is None:
                    leg.last_word, leg.outcome, leg.ended_s = word, Fate.DONE, ended_s

    def _take_sent(self, record: TrailRecord, at_s: float | None) -> None:
        is_close = record.event_type == AuditEventType.ORDER_SENT
        request = Request(
            kind=RequestKind.CLOSE if is_close else RequestKind.CANCEL, sent=record, began_s=at_s
        )
        self._waiting[_common_key(record)] = request
        (self.orders if is_close else self.cancels).append(request)
        if is_close and (leg := self._leg(record)):
            if leg.outcome is Fate.DONE:
                self._open_again(leg)
            leg.orders.append(request)
            leg.began_s = at_s if leg.began_s is None else leg.began_s
            leg.quantity = leg.quantity or words(record.details.get("quantity"))
            leg.direction = leg.direction or _CLOSED_BY.get(str(record.details.get("side")))

    def _open_again(self, leg: LegStory) -> None:
        """Take back that a leg is closed: something shows it open, or sends to close it."""
        self._reopened[leg.symbol, leg.position_side] = (leg.last_word, leg.ended_s)
        leg.last_word, leg.outcome, leg.ended_s = None, Fate.OPEN, None

    def _leg(self, record: TrailRecord) -> LegStory | None:
        symbol = words(record.details.get("symbol"))
        if symbol is None:
            return None
        side = words(record.details.get("position_side")) or "BOTH"
        new = LegStory(symbol=symbol, position_side=side, product=product_of(record))
        return self._legs.setdefault((symbol, side), new)


def fold_run(records: Sequence[TrailRecord]) -> RunStory:
    """Return the story of one run's records, which are in order and at least one."""
    start = next(filter(is_start, records), None)
    zero = moment((start or records[0]).timestamp)
    ends = [record for record in split_runs(records)[-1] if record.event_type in RUN_ENDS]
    if start and ends and zero is not None:
        # The deadline counts from the moment the run began, a little before its START record; the
        # end record tells how long the run took, and so gives that moment.
        ended, took_s = moment(ends[-1].timestamp), number(ends[-1].details.get("duration_seconds"))
        if ended is not None and took_s is not None:
            lag_s = took_s - (ended - zero)
            zero -= lag_s if 0 < lag_s < _START_LAG_MAX_S else 0.0
    story = RunStory(zero=zero)
    for record in records:
        story.take(record)
    if story.end is not None and is_own_end(story.end):
        # How each leg that has no last word stood when the run ended.
        for leg in story.legs:
            if leg.last_word is None:
                refused = not leg.orders or leg.orders[-1].outcome is Fate.REFUSED
                leg.outcome = Fate.REFUSED if refused else Fate.UNKNOWN
    return story


def is_own_end(end: TrailRecord) -> bool:
    """Return whether a run said itself how it ended; others declare a dead one abandoned."""
    return end.event_type != AuditEventType.LIQUIDATION_ABANDONED


def product_of(record: TrailRecord) -> str | None:
    """Return the product that a record is about; None where it names none."""
    return words(record.details.get("product"))


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


def _common_key(record: TrailRecord) -> str:
    details = record.details
    client_order_id = details.get("client_order_id")
    if isinstance(client_order_id, str):
        return client_order_id
    return f"{details.get('symbol')} {details.get('endpoint')} {details.get('order_ids')}"


def _outcome(record: TrailRecord) -> Fate:
    """Return what an answer, or a leg's last word, says of what was asked for."""
    match record.event_type:
        case AuditEventType.ORDER_PLACED:
            # An order that ended otherwise (EXPIRED, CANCELED) did not do what it was sent for.
            return _BY_STATUS.get(str(record.details.get("status")), Fate.REFUSED)
        case AuditEventType.ORDER_CANCELLED | AuditEventType.POSITION_CLOSED:
            return Fate.DONE
        case AuditEventType.ORDER_UNKNOWN:
            return Fate.UNKNOWN
        case AuditEventType.POSITION_FAILED:
            is_unknown = record.details.get("state") == "UNKNOWN"
        case _:
            is_unknown = record.details.get("kind") == "UNKNOWN"
    return Fate.UNKNOWN if is_unknown else Fate.REFUSED
