"""What is known of each leg and order during a run, and how readings and answers change it.

Readings lag (positions by up to about 2 s, order lists likewise), when things go and when they
come, so a reading counts for a leg only when it began after the leg's last answer, and one that
contradicts a confirmed fill is not believed until `LAG_GRACE_S` has passed or the venue's own stamp
shows it to be newer than the fill. A leg that vanishes without a fill of ours is a contradiction
too: `closed_at` tells the two apart.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from liqctl.kernel import pacing
from liqctl.kernel.amounts import halve
from liqctl.kernel.answers import Adaptation, AnswerKind, VenueAnswer
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import SentOrder
from liqctl.kernel.retry import Decision, Reaction, adapted_by, decide_cancel, is_final_refusal
from liqctl.kernel.values import CloseOrder, Leg, OpenOrder, OrderAnswer, OrderStatus, Position

_NO_ROOM: Final = VenueAnswer(
    kind=AnswerKind.TRANSIENT,
    message="not sent: the venue's order limit left no room for it before the deadline",
)


class LegRecord(NamedTuple):
    """One leg during a run. Times are of the event loop's clock, in seconds.

    Attributes:
        first: the position as first read, or as it was when it appeared again.
        current: the position as last believed; None when flat.
        lost: an order of ours was given up without a word on its fate.
        expected: the signed quantity that confirmed fills leave, None when a reading agreed.
        doubtful: the last reading contradicted a fill, or an order's fate is open.
        in_flight: a request for this leg is under way.
        settled_at: when the last answer came; only later readings count.
        seen_at: when the last reading that counted began; -inf when none did.
        last_open_at: when the last reading that showed the leg open began.
        open_ms: the venue's newest stamp with which any list showed it open.
        closed_at: when our own confirmed fills had closed the whole leg; None while it is open,
            and for a leg that vanished without them.
        gone_at: when the first reading that showed it flat again began.
        held: what it held then.
        peak: the most that it was read to hold since it was opened.
        lag_s: the longest contradiction that its readings showed.
    """

    leg: Leg
    first: Position
    current: Position | None
    sent: tuple[SentOrder, ...] = ()
    unresolved: tuple[str, ...] = ()
    lookup_failed: bool = False
    lost: bool = False
    unresolved_at: float = 0.0
    before_unresolved: Decimal = Decimal(0)
    executed_before: Decimal = Decimal(0)
    expected: Decimal | None = None
    filled_at: float = float("-inf")
    filled_ms: int = 0
    doubtful: bool = False
    in_flight: bool = False
    settled_at: float = float("-inf")
    seen_at: float = float("-inf")
    last_open_at: float = float("-inf")
    open_ms: int = 0
    closed_at: float | None = None
    gone_at: float = float("-inf")
    held: Decimal = Decimal(0)
    peak: Decimal = Decimal(0)
    lag_s: float = 0.0
    attempts: int = 0
    repeats: int = 0
    refused_wave: int = 0
    adapted: frozenset[Adaptation] = frozenset()
    part_max: Decimal | None = None
    not_before: float = 0.0
    given_up: bool = False
    error: VenueAnswer | None = None
    reopened: int = 0
    closed_before: bool = False

    @property
    def executed(self) -> Decimal:
        """How much of our orders is known to have been executed."""
        return sum((order.executed for order in self.sent), Decimal(0))

    @property
    def is_filled(self) -> bool:
        """Whether the venue's answers alone say that nothing is left; a reading has to agree."""
        return self.expected == 0 and not (self.unresolved or self.in_flight)

    @property
    def live(self) -> tuple[SentOrder, ...]:
        """Our orders that the venue knows and that may still be filling."""
        return tuple(
            order
            for order in self.sent
            if order.client_order_id in self.unresolved and order.status is not None
        )

    @property
    def is_closed(self) -> bool:
        """Whether our own confirmed fills closed the leg, and a reading agrees."""
        return self.current is None and self.closed_at is not None and not self.is_shown_since

    @property
    def is_shown_since(self) -> bool:
        """Whether a list showed it open after our last fill."""
        return self.is_filled_before(self.open_ms)

    def is_filled_before(self, stamp_ms: int) -> bool:
        """Whether the venue's stamp is no older than our last fill; False where one is missing."""
        return 0 < self.filled_ms <= stamp_ms

    @property
    def vanished(self) -> bool:
        """Whether the leg reads flat and no fill of ours says why."""
        return self.current is None and not self.is_closed


def first_seen(position: Position, at: float) -> LegRecord:
    """Return the record of a leg that a reading shows for the first time."""
    return LegRecord(
        leg=position.leg,
        first=position,
        current=position,
        seen_at=at,
        last_open_at=at,
        peak=position.quantity,
    )


def after_sent(record: LegRecord, orders: Sequence[CloseOrder]) -> LegRecord:
    """Return the record once the orders are about to leave; each is unresolved until answered."""
    intents = (
        SentOrder(order.client_order_id, None, order.quantity, executed=Decimal(0), status=None)
        for order in orders
    )
    return record._replace(
        sent=(*record.sent, *intents),
        unresolved=record.unresolved + tuple(order.client_order_id for order in orders),
        attempts=record.attempts + len(orders),
        in_flight=True,
        before_unresolved=_held(record),
        executed_before=record.executed,
    )


def after_answer(record: LegRecord, answer: OrderAnswer, at: float) -> LegRecord:
    """Return the record after the venue told the state of one of our orders.

    An answer that is not final leaves the order unresolved, but counts what it executed. What is
    expected is counted from what the leg held when the orders left: a reading since then may show
    part of the same fill. An order that a reading has settled changes nothing but its own record.
    """
    before = (o.executed for o in record.sent if o.client_order_id == answer.client_order_id)
    grown = answer.executed - next(before, Decimal(0))
    expected, closed_at = record.expected, record.closed_at
    if grown > 0 and answer.client_order_id in record.unresolved:
        filled = record.executed + grown - record.executed_before
        rest = max(abs(record.before_unresolved) - filled, Decimal(0))
        left = rest.copy_sign(record.before_unresolved) if rest else Decimal(0)
        closed_at = closed_at if left else at
        if filled > abs(record.before_unresolved):
            closed_at = None  # More than the leg held: somebody entered it meanwhile.
        expected = left if record.current else None
    unresolved = record.unresolved
    if answer.status.is_final:
        unresolved = _without(unresolved, answer.client_order_id)
    return record._replace(
        sent=_changed(
            record.sent,
            answer.client_order_id,
            lambda order: order._replace(
                order_id=answer.order_id, executed=answer.executed, status=answer.status
            ),
        ),
        unresolved=unresolved,
        expected=expected,
        closed_at=closed_at,
        filled_at=at if grown > 0 else record.filled_at,
        filled_ms=max(record.filled_ms, answer.update_time_ms) if grown > 0 else record.filled_ms,
        settled_at=at,
        repeats=0 if grown > 0 else record.repeats,
        error=None if answer.status is OrderStatus.FILLED else record.error,
        doubtful=record.doubtful or answer.status is not OrderStatus.FILLED,
    )


def after_refusal(
    record: LegRecord, client_order_id: str, answer: VenueAnswer, at: float
) -> LegRecord:
    """Return the record after an order was refused, or its fate stayed unknown."""
    unknown = answer.kind is AnswerKind.UNKNOWN
    if not unknown:
        record = record._replace(
            sent=_changed(
                record.sent, client_order_id, lambda o: o._replace(status=OrderStatus.REJECTED)
            ),
            unresolved=_without(record.unresolved, client_order_id),
        )
    return record._replace(
        error=answer,
        settled_at=at,
        unresolved_at=at if unknown else record.unresolved_at,
        doubtful=record.doubtful or unknown,
    )


def never_sent(record: LegRecord, client_order_id: str, at: float) -> LegRecord:
    """Return the record once an intent was taken back: the limits did not let the order pass."""
    return record._replace(
        sent=tuple(o for o in record.sent if o.client_order_id != client_order_id),
        unresolved=_without(record.unresolved, client_order_id),
        attempts=record.attempts - 1,
        error=record.error or _NO_ROOM,
        not_before=at + pacing.NO_ROOM_PAUSE_S,
    )


def after_decision(
    record: LegRecord, order: CloseOrder, decision: Decision, wave: int, at: float
) -> LegRecord:
    """Return the record once it is decided how and when the leg is tried again.

    `order` is the one that did not do. Parts of one wave that were refused together are one
    refusal.
    """
    part_max = record.part_max
    if decision.adaptation is Adaptation.SPLIT:
        half = halve(order.quantity)
        # Siblings of one wave are refused together; the smallest of them says most.
        part_max = half if part_max is None else min(part_max, half)
    counts = decision.counts and record.refused_wave != wave
    return record._replace(
        adapted=adapted_by(record.adapted, decision.adaptation, order.type),
        part_max=part_max,
        repeats=record.repeats + int(counts),
        refused_wave=wave if decision.counts else record.refused_wave,
        not_before=max(record.not_before, at + decision.backoff_s),
    )


def shown_open(record: LegRecord, position: Position, *, at: float) -> LegRecord:
    """Return the record once a list that was asked for at this moment showed the leg open."""
    return record._replace(
        last_open_at=max(record.last_open_at, at),
        open_ms=max(record.open_ms, position.update_time_ms),
    )


def after_reading(
    record: LegRecord, position: Position | None, *, started_at: float, now: float
) -> LegRecord:
    """Return the record after a complete reading of the positions; `position` None is flat.

    A reading that began before the leg's last answer, or while a request is under way, changes
    nothing but when the leg was last shown open, unless it shows more than the leg ever held.
    """
    if position is not None:
        record = shown_open(record, position, at=started_at)
    quantity = position.quantity if position else Decimal(0)
    if record.in_flight and quantity * record.peak > record.peak * record.peak:
        # More than it ever held: what is under way closes a part of it.
        record = record._replace(
            current=position, peak=quantity, before_unresolved=quantity, expected=None
        )
    if record.in_flight or started_at < record.settled_at:
        return record
    if _is_stale(record, position, quantity, now):
        return record._replace(
            doubtful=True, lag_s=max(record.lag_s, started_at - record.filled_at)
        )
    before = record.current
    # One empty list ends no order that is filling by and by.
    may_fill = record.unresolved and (before is not None or record.live)
    if may_fill and not _settles(record, quantity, started_at):
        return record._replace(current=position, seen_at=started_at, doubtful=True)
    settled = record._replace(
        current=position,
        seen_at=started_at,
        # On a flat leg they are still looked up: whether it was us who closed it matters.
        unresolved=record.unresolved if position is None else (),
        lost=record.lost or (position is not None and bool(record.unresolved)),
        expected=None,
        doubtful=False,
        closed_before=record.closed_before or position is None,
    )
    if position is None:
        if before is None:
            return settled
        return settled._replace(gone_at=started_at, held=before.quantity)
    if _is_new_exposure(record, position):
        return settled._replace(
            peak=quantity,
            closed_at=None,
            repeats=0,
            adapted=frozenset(),
            given_up=False,
            error=None,
            not_before=0.0,
            reopened=record.reopened + 1,
        )
    if before is None:
        return settled._replace(lag_s=max(record.lag_s, started_at - record.gone_at))
    return settled._replace(closed_at=None)


def _is_stale(record: LegRecord, position: Position | None, quantity: Decimal, now: float) -> bool:
    """Whether the reading still shows quantity that a confirmed fill has closed.

    It may do so after another reading agreed with the fill: two replicas answer in turn.
    """
    if position is None:
        return False
    if record.current is not None and record.expected is not None:
        left = record.expected
    elif record.current is None and record.closed_at is not None:
        left = Decimal(0)
    else:
        return False
    # A list can be older than the one before it: whatever was held once may be shown again.
    if quantity * record.peak < 0 or not abs(left) < abs(quantity) <= abs(record.peak):
        return False
    is_newer = record.is_filled_before(position.update_time_ms)
    return not is_newer and now - record.filled_at < pacing.LAG_GRACE_S


def _settles(record: LegRecord, quantity: Decimal, started_at: float) -> bool:
    """Whether the reading answers what became of orders that were never answered.

    A position that shrank by less than they asked for does not: they may still be filling, and
    nothing is sent beside them.
    """
    before = record.before_unresolved
    asked = sum(
        (o.quantity - o.executed for o in record.sent if o.client_order_id in record.unresolved),
        Decimal(0),
    )
    explained = record.executed - record.executed_before
    if quantity * before <= 0 or abs(before) - abs(quantity) - explained >= asked:
        return True
    if record.live:
        return False
    return record.lookup_failed or started_at - record.unresolved_at >= pacing.LAG_GRACE_S


def _is_new_exposure(record: LegRecord, position: Position) -> bool:
    if record.current is None:
        if record.closed_at is not None:
            return True
        # It vanished without a fill of ours: no more than it held is the same position again.
        held = record.held
    else:
        held = _held(record)
    return position.quantity * held <= 0 or abs(position.quantity) > abs(held)


def _held(record: LegRecord) -> Decimal:
    """Return the signed quantity that the leg should hold now: as read, less confirmed fills."""
    if record.expected is not None:
        return record.expected
    return record.current.quantity if record.current else Decimal(0)


def _changed(
    sent: tuple[SentOrder, ...], client_order_id: str, change: Callable[[SentOrder], SentOrder]
) -> tuple[SentOrder, ...]:
    return tuple(change(o) if o.client_order_id == client_order_id else o for o in sent)


def _without(ids: tuple[str, ...], client_order_id: str) -> tuple[str, ...]:
    return tuple(other for other in ids if other != client_order_id)


class OrderRecord(NamedTuple):
    """One order of others during a run.

    Attributes:
        first_at: when the reading that first showed it began.
        shown_at: when the last reading that showed it began.
        listed_at: when the list that first showed it was answered.
        present: whether the last reading that covered its book and symbol showed it.
        seen_at: when that reading began.
        cancel_sent: a cancel that covers it was sent.
        cancelled_at: when a cancel that covers it was answered with success; None before.
        protective: it was a protective stop when last read.
        oversized: it was a stop that trades more than its leg held.
        relists: how often a cancel was answered while the order was still listed.
        singly: the whole book's cancel was refused or had no effect: by its own id from now on.
    """

    order: OpenOrder
    seen_at: float
    first_at: float = float("-inf")
    shown_at: float = float("-inf")
    listed_at: float = float("-inf")
    present: bool = True
    protective: bool = False
    oversized: bool = False
    cancel_sent: bool = False
    cancelled_at: float | None = None
    gone: bool = False
    relists: int = 0
    singly: bool = False
    tries: int = 0
    repeats: int = 0
    not_before: float = 0.0
    given_up: bool = False
    error: VenueAnswer | None = None


def is_left_over(record: OrderRecord, leg: LegRecord | None, *, began_ms: float) -> bool:
    """Return whether the order was there already when our own confirmed fills closed its leg.

    What was made before the run, at `began_ms` of the venue's clock, was there, listed or not. An
    answer can come long after its fill, and somebody may have entered anew by then: the stamps tell
    where both have one. Beside an order of unknown fate it may have been the new leg that we closed
    a part of.
    """
    if leg is None or leg.closed_at is None or leg.is_shown_since:
        return False
    created_ms = record.order.created_ms
    if 0 < created_ms < began_ms:
        return True
    is_newer = leg.is_filled_before(created_ms)
    return record.listed_at <= leg.closed_at and not (is_newer or leg.lost)


def after_cancelled(record: OrderRecord, at: float) -> OrderRecord:
    """Return the record once a cancel was answered with success.

    An order that is listed later all the same is cancelled singly.
    """
    return _relisted(record, at)._replace(
        cancelled_at=at, error=None, repeats=0, tries=0, singly=True
    )


def after_cancel_refused(
    record: OrderRecord,
    answer: VenueAnswer,
    *,
    is_whole_book: bool,
    policy: LiquidationConfig,
    jitter: float,
    paused_until: float,
    at: float,
) -> tuple[OrderRecord, bool]:
    """Return the record once a cancel was refused or not answered, and whether it is repeated.

    The next reading shows whether the order is gone all the same.
    """
    if is_whole_book and is_final_refusal(answer) and not record.singly:
        # By its own id, and at once: the whole book's cancel can be out of order alone.
        return record._replace(error=answer, singly=True), False
    decision = decide_cancel(
        answer, tries=record.tries, repeats=record.repeats, policy=policy, jitter=jitter
    )
    if decision.reaction is Reaction.LOOK_UP:
        return _relisted(record, at), False
    is_over = decision.reaction is Reaction.GIVE_UP
    is_paused = decision.reaction is Reaction.PAUSE
    refused = record._replace(
        error=answer,
        repeats=record.repeats + int(decision.counts),
        not_before=paused_until if is_paused else at + decision.backoff_s,
        given_up=is_over,
    )
    return refused, not (is_over or is_paused)


def _relisted(record: OrderRecord, at: float) -> OrderRecord:
    """Return the record of an order that is cancelled again if it is still listed after a while.

    A cancel is answered before it is finished, and lists show closed orders for up to 2 s.
    """
    relists = record.relists + 1
    return record._replace(
        relists=relists, not_before=at + min(pacing.RELIST_S * relists, pacing.RELIST_MAX_S)
    )


class SweepRecord(NamedTuple):
    """The last cancel of one book of a symbol, sent before flat is called proven.

    Attributes:
        sent_at: when it left; -inf while it did not, or was proven not executed.
        failed: how often it was sent without success. It counts as failed until it is answered: one
            may be cut at the end of the time.
        is_refused: the venue has understood and refused it.
    """

    sent_at: float = float("-inf")
    failed: int = 0
    is_refused: bool = False

    @property
    def is_given_up(self) -> bool:
        """Whether it failed so often that the lists alone decide."""
        return self.failed >= pacing.SWEEPS_FAILED_MAX


NO_SWEEP: Final = SweepRecord()


def after_sweep(record: SweepRecord, answer: VenueAnswer | None) -> SweepRecord:
    """Return the record once the sweep was answered, with None for success, or did not leave."""
    if answer is None or answer.kind is AnswerKind.DONE:
        return record._replace(failed=0, is_refused=False)
    if is_final_refusal(answer):
        return record._replace(is_refused=True)
    if answer.kind is AnswerKind.UNKNOWN:
        return record
    return record._replace(failed=record.failed - 1, sent_at=NO_SWEEP.sent_at)
