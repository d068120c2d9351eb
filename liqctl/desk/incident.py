"""The incident report as one model: what operators keep of a run, from its trail.

Pure. `Incident` is the document of `report --json`, field by field; `liqctl.desk.report` says it in
words. Texts of others (venue, user, trail) stand here as they are: who shows them makes them safe.
What the trail does not tell is None and is said to be unknown, never filled in.

What the run cost comes from the venue's own list of trades:

    slippage = (fill - mark) x quantity for a sale, (mark - fill) x quantity for a purchase

in COIN-M with the base quantity at mark, which makes it coin instead of dollars:

    slippage = (fill - mark) x contracts x contract size / (fill x mark), negated for a purchase

so minus is worse than the mark price at the moment the order was decided. Assets are never added up
across: fees may be paid in BNB, and profit is in what each market settles in.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal
from enum import StrEnum
from typing import Final

from liqctl.desk.trail import error_of, phrase, reason_of, scope_of, who_of
from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.answers import explain_code
from liqctl.kernel.events import FAILURES, INTERRUPTED, RUN_ENDS, AuditEventType
from liqctl.kernel.policy import product_of
from liqctl.kernel.states import Product
from liqctl.kernel.values import Side, Trade
from liqctl.trail.file import TrailRecord
from liqctl.trail.fold import (
    Fate,
    LegStory,
    RunHeadline,
    RunStory,
    TimedRecord,
    fold_run,
    is_own_end,
    moment,
    number,
    words,
)
from liqctl.trail.verify import RunChain

REPORT_SCHEMA: Final = "liqctl.report/1"
_EXACT: Final = Context(prec=100)
"""Sums of amounts within the bounds of `parse_decimal` are exact."""

_BPS: Final = Decimal(10_000)
_COIN_STEP: Final = Decimal("1E-8")
"""What COIN-M accounts for."""


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
    ARMED = "armed time, not a liquidation"
    BY_HAND = "events logged by hand, not a run"

    @classmethod
    def of(cls, story: RunStory) -> "IncidentKind":
        """Return what kind of thing it was: by its end, without a start by its events."""
        if story.start is None:
            types = {event.event_type for event in story.events}
            by_hand: Mapping[str, IncidentKind] = {
                AuditEventType.LIQUIDATION_BLOCKED: cls.BLOCKED,
                AuditEventType.ARMED: cls.ARMED,
                AuditEventType.LIQUIDATION_SKIPPED: cls.SKIPPED,
            }
            return next((kind for each, kind in by_hand.items() if each in types), cls.BY_HAND)
        if story.end is None:
            return cls.UNFINISHED
        kind = _KINDS[story.end.event_type]
        message = words(story.end.details.get("error_message")) or ""
        is_interrupted = INTERRUPTED in message and kind is not cls.ABANDONED
        return cls.INTERRUPTED if is_interrupted else kind


_KINDS: Final[Mapping[str, IncidentKind]] = {
    AuditEventType.LIQUIDATION_COMPLETE: IncidentKind.COMPLETED,
    AuditEventType.LIQUIDATION_PARTIAL: IncidentKind.PARTIAL,
    AuditEventType.LIQUIDATION_FAILED: IncidentKind.FAILED,
    AuditEventType.LIQUIDATION_ABANDONED: IncidentKind.ABANDONED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedPosition:
    """A leg that is not proven closed, and why; `product` is None where the trail names none."""

    symbol: str
    position_side: str
    product: str | None
    direction: str | None
    quantity: str | None
    remaining: str | None
    outcome: Fate
    reason: str

    @classmethod
    def of(cls, leg: LegStory, story: RunStory) -> "FailedPosition":
        """Return what is told of it: the reason of its last answer that has one."""
        details = leg.last_word.details if leg.last_word else {}
        answers = [
            word.details for order in reversed(leg.orders) for word in reversed(order.answers)
        ]
        reasons = (reason_of(each) for each in (details, *answers))
        unknown = "no event says why" if story.end else "the trail ends before this position does"
        return cls(
            symbol=leg.symbol,
            position_side=leg.position_side,
            product=leg.product,
            direction=leg.direction,
            quantity=leg.quantity,
            remaining=words(details.get("remaining")),
            outcome=leg.outcome,
            reason=next(filter(None, reasons), unknown),
        )


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

    @classmethod
    def of(cls, run: RunHeadline) -> "LaterRun":
        """Return what its first and its last word tell."""
        first = run.start or run.end
        details = run.end.details if run.end else {}
        closed = _whole(details.get("positions_closed"))
        found = _whole(details.get("positions_found"))
        return cls(
            correlation_id=run.correlation_id,
            at=run.began_at,
            end=run.end.event_type if run.end else None,
            who=_who(first) if first else None,
            reason=words(first.details.get("reason")) if first else None,
            counts=None if found is None else f"{closed} of {found} positions closed",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosingOrder:
    """One closing order of the run, as far as its records tell; `order_id` None if not known."""

    symbol: str
    position_side: str
    side: str
    client_order_id: str
    order_id: str | None
    mark_price: Decimal | None
    sent_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeReading:
    """What the venue told of the orders' trades.

    `trades` is by client order id; an order is missing where `unread` says why. `why_not` tells why
    nothing was asked at all, and `how` how to get it.
    """

    trades: Mapping[str, tuple[Trade, ...]] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    why_not: str | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegCost:
    """What closing one leg cost. `slippage` is None where no mark price is on record.

    `quantity` is in contracts for COIN-M; profit and slippage are in `asset`.
    """

    product: Product
    symbol: str
    position_side: str
    side: str
    quantity: Decimal
    average_price: Decimal
    mark_price: Decimal | None
    slippage: Decimal | None
    slippage_bps: Decimal | None
    realized_pnl: Decimal
    asset: str
    fees: Mapping[str, Decimal]

    @classmethod
    def of(
        cls, orders: Sequence[ClosingOrder], trades: Mapping[str, tuple[Trade, ...]]
    ) -> "LegCost":
        """Return what the orders of one leg cost, at least one of which traded."""
        own = [trade for order in orders for trade in trades[order.client_order_id]]
        product = product_of(orders[0].symbol)
        is_coin = product is Product.COINM
        base = _sum(trade.base_quantity for trade in own)
        value = _sum(_EXACT.multiply(trade.price, trade.base_quantity) for trade in own)
        # Amounts whose products with a price are in the settle asset; a mark price of 0 is none.
        marked = [
            (
                order.mark_price,
                trade.price,
                _EXACT.divide(trade.base_quantity, order.mark_price)
                if is_coin
                else trade.base_quantity,
            )
            for order in orders
            if order.mark_price
            for trade in trades[order.client_order_id]
        ]
        mark_price = slippage = bps = None
        if len(marked) == len(own) and base:
            at_mark = _sum(_EXACT.multiply(mark, amount) for mark, _, amount in marked)
            paid = _sum(_EXACT.multiply(fill, amount) for _, fill, amount in marked)
            mark_price = value / paid if is_coin and paid else at_mark / base
            is_sale = own[0].side is Side.SELL
            gain = _EXACT.subtract(*((paid, at_mark) if is_sale else (at_mark, paid)))
            bps = gain / at_mark * _BPS
            slippage = gain.quantize(_COIN_STEP, context=_EXACT) if is_coin else gain
        return cls(
            product=product,
            symbol=orders[0].symbol,
            position_side=orders[0].position_side,
            side=own[0].side.value,
            quantity=_sum(trade.quantity for trade in own),
            average_price=value / base if base else Decimal(0),
            mark_price=mark_price,
            slippage=slippage,
            slippage_bps=bps,
            realized_pnl=_sum(trade.realized_pnl for trade in own),
            asset=own[0].settle_asset,
            fees=_by_asset((trade.fee_asset, trade.fee) for trade in own),
        )

    def json_fields(self) -> dict[str, object]:
        """Return the fields; basis points are a quotient, which has no digits of its own."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        bps = self.slippage_bps
        return {**named, "slippage_bps": None if bps is None else f"{bps:.4f}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """All legs, and sums by asset, as a report's document has them.

    `orders_read` of `orders` were read; unless `complete` the sums are partial. Where nothing was
    `read` there are none. `legs_without_mark` counts legs that no slippage holds.
    """

    read: bool
    why_not: str | None
    how: str | None
    complete: bool
    orders: int
    orders_read: int
    unread: Mapping[str, str]
    realized_pnl: Mapping[str, Decimal] | None
    fees: Mapping[str, Decimal] | None
    slippage: Mapping[str, Decimal] | None
    legs_without_mark: int
    legs: tuple[LegCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Everything a report shows, in the order of its document.

    `account` is the name in the settings, None where it has none. `positions_found` and
    `orders_found` are None where no record tells. `settled_seconds` is how long flat was watched,
    `unread` names the sources that never answered, `others_on` the symbols on which others opened
    something during the run.
    """

    correlation_id: str
    environment: str
    account: str | None
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
    timeline: Sequence[TimedRecord]
    audit: RunChain
    story: RunStory

    def json_fields(self) -> dict[str, object]:
        """Return the document of `report --json`."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        del named["story"]
        named["timeline"] = [
            {
                "at_seconds": event.at_s,
                "took_seconds": event.took_s,
                "event_type": event.event_type,
                "symbol": event.symbol,
                "words": phrase(event),
            }
            for event in self.timeline
        ]
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
    scope = None
    with contextlib.suppress(LookupError, TypeError):  # A start that was altered has no scope.
        scope = scope_of(story.start.details) if story.start else None
    return Incident(
        correlation_id=story.correlation_id,
        environment=story.environment,
        account=story.account,
        type=IncidentKind.of(story),
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
        scope=scope,
        version=words(first.details.get("version")),
        base_url=words(first.details.get("base_url")),
        # Those with a position first, then every one that an event names.
        symbols=tuple(
            dict.fromkeys(
                [leg.symbol for leg in legs] + [e.symbol for e in story.events if e.symbol]
            )
        ),
        **_counts(end, story),
        positions_failed=tuple(
            FailedPosition.of(leg, story) for leg in legs if leg.outcome is not Fate.DONE
        ),
        errors=_errors(records),
        notes=_notes(end, story, chain),
        later_runs=tuple(map(LaterRun.of, later)),
        money=add_up(closing_orders(story), reading),
        legs=legs,
        timeline=story.events,
        audit=chain,
        story=story,
    )


def _counts(end: Mapping[str, object], story: RunStory) -> dict[str, int | None]:
    """Return what the end record counts, else what was seen; None where no reading showed it."""
    readings = [reading.sent.details for reading in story.readings]
    found, closed = _whole(end.get("positions_found")), _whole(end.get("positions_closed"))
    if found is None and (story.legs or (readings and not _unread_products(story))):
        found = len(story.legs)
    if closed is None:
        closed = sum(leg.outcome is Fate.DONE for leg in story.legs)
    orders, cancelled = _whole(end.get("orders_found")), _whole(end.get("orders_cancelled"))
    if orders is None:
        # The first whole reading of each product; where one has none, nobody knows how many.
        firsts: dict[object, int | None] = {}
        for reading in readings:
            both = _whole(reading.get("regular_orders")), _whole(reading.get("algo_orders"))
            product = words(reading.get("product"))
            if firsts.get(product) is None:
                firsts[product] = None if None in both else sum(filter(None, both))
        seen = [each for each in firsts.values() if each is not None]
        orders = sum(seen) if seen and len(seen) == len(firsts) else None
    if cancelled is None:
        answered: set[str] = set()
        for cancel in story.cancels:
            ids = cancel.sent.details.get("order_ids")
            if cancel.outcome is Fate.DONE and isinstance(ids, list):
                answered.update(map(str, ids))
        cancelled = len(answered)
    return {
        "positions_found": found,
        "positions_closed": None if found is None else closed,
        "orders_found": orders,
        "orders_cancelled": None if orders is None else cancelled,
    }


def _unread_products(story: RunStory) -> list[Product]:
    """Return the products of which positions were asked for and never read."""
    asked: dict[str, bool] = {}
    for reading in story.readings:
        details = reading.sent.details
        product = words(details.get("product")) or Product.USDM
        asked[product] = asked.get(product, False) or _whole(details.get("positions")) is not None
    return [product for product in Product if asked.get(product) is False]


def _who(record: TrailRecord) -> str | None:
    details = record.details
    return who_of(details) if "user" in details or "host" in details else None


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()


def _errors(records: Sequence[TrailRecord]) -> tuple[ErrorCount, ...]:
    """Return the errors by code and message, the most frequent first."""
    counts: Counter[tuple[int | None, str]] = Counter()
    for record in records:
        if record.event_type not in FAILURES - RUN_ENDS:
            continue
        message, code, _ = error_of(record.details)
        key = (None if code is None else int(code), message or "")
        # The refusal of an order is told again of its position, and counts once.
        is_told_again = record.event_type == AuditEventType.POSITION_FAILED and key in counts
        if (code is not None or message) and not is_told_again:
            counts[key] += 1
    return tuple(
        ErrorCount(
            code=code,
            count=times,
            meaning="no code of the venue" if code is None else explain_code(code),
            message=message,
        )
        for (code, message), times in counts.most_common()
    )


def _notes(end: Mapping[str, object], story: RunStory, chain: RunChain) -> tuple[str, ...]:
    found = list(_texts(end.get("notes")))
    # Of the other product some were seen, and only those were counted.
    unread = _unread_products(story) if story.legs else []
    found += [f"the positions of {product.shown} were never read" for product in unread]
    if end.get("deadline_exceeded") is True:
        found.append("time ran out: part of the deadline is kept for the last reading")
    if story.end and not is_own_end(story.end):
        told = phrase(TimedRecord(record=story.end, at_s=None))
        found += [told] if told else []
        by = words(story.end.details.get("closed_by"))
        found += [f"its record was ended by run {by}"] if by else []
    if chain.torn:
        found.append(f"{chain.torn} unfinished lines of a crash were stepped over")
    return tuple(found)


def closing_orders(story: RunStory) -> tuple[ClosingOrder, ...]:
    """Return the closing orders that may have traded; one that was refused did not."""
    found = []
    for leg in story.legs:
        for request in leg.orders:
            details = request.sent.details
            ids = (words(answer.details.get("order_id")) for answer in request.answers)
            order_id = next((i for i in ids if i and i.isascii() and i.isdecimal()), None)
            if request.outcome is Fate.REFUSED and order_id is None:
                continue
            found.append(
                ClosingOrder(
                    symbol=leg.symbol,
                    position_side=leg.position_side,
                    side=words(details.get("side")) or "",
                    client_order_id=words(details.get("client_order_id")) or "",
                    order_id=order_id,
                    mark_price=parse_decimal(details.get("mark_price")),
                    sent_at_ms=int((moment(request.sent.timestamp) or 0) * 1000),
                )
            )
    return tuple(found)


def add_up(orders: Sequence[ClosingOrder], reading: TradeReading) -> Costs:
    """Return what the orders cost, as far as their trades were read."""
    by_leg: dict[tuple[str, str, str], list[ClosingOrder]] = {}
    for order in orders:
        if reading.trades.get(order.client_order_id):
            key = (order.symbol, order.position_side, order.side)
            by_leg.setdefault(key, []).append(order)
    legs = tuple(LegCost.of(of_leg, reading.trades) for of_leg in by_leg.values())
    orders_read = sum(order.client_order_id in reading.trades for order in orders)
    slippage = ((leg.asset, leg.slippage) for leg in legs if leg.slippage is not None)
    is_read = reading.why_not is None
    return Costs(
        read=is_read,
        why_not=reading.why_not,
        how=reading.how,
        complete=is_read and orders_read == len(orders),
        orders=len(orders),
        orders_read=orders_read,
        unread=reading.unread,
        realized_pnl=_by_asset((leg.asset, leg.realized_pnl) for leg in legs) if is_read else None,
        fees=_by_asset(fee for leg in legs for fee in leg.fees.items()) if is_read else None,
        slippage=_by_asset(slippage) if is_read else None,
        legs_without_mark=sum(leg.slippage is None for leg in legs),
        legs=legs,
    )


def _sum(values: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, value)
    return total


def _by_asset(amounts: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for asset, value in amounts:
        sums[asset] = _EXACT.add(sums.get(asset, Decimal(0)), value)
    return dict(sorted(sums.items()))
