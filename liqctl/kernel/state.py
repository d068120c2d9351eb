"""What one run knows, what it asks beside its rounds, and when that proves the account flat."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from liqctl.kernel import events, ledger, pacing, requests
from liqctl.kernel.answers import Adaptation, VenueAnswer
from liqctl.kernel.gateway import Gateway
from liqctl.kernel.ledger import LegRecord
from liqctl.kernel.machine import Task, Work
from liqctl.kernel.outcome import open_legs
from liqctl.kernel.plan import (
    Mark,
    SymbolPlan,
    has_regular_stops,
    plan_sweep,
    wants_mark,
)
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import (
    NO_STREAK,
    Look,
    Streak,
    Verdict,
    is_confirmed,
    is_oversized,
    is_protective,
    reduces_only,
    verify,
)
from liqctl.kernel.reading import Questions, Reader
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import (
    CLIENT_ORDER_ID_PREFIX,
    Leg,
    MarketRules,
    OpenOrder,
    OrderKind,
    Position,
    PositionMode,
    Reading,
    Snapshot,
)

if TYPE_CHECKING:
    from decimal import Decimal

T = TypeVar("T")
OrderKey = tuple[str, OrderKind, str]

_PRICES: Final = "prices"


class RunState:
    """The mutable memory of one run; every value in it is immutable and replaced whole."""

    def __init__(self, gateway: Gateway, policy: LiquidationConfig, order_tag: str) -> None:
        """Start with nothing known; `order_tag` marks this run's own orders."""
        self.gateway = gateway
        self.policy = policy
        self.legs: dict[Leg, LegRecord] = {}
        self.orders: dict[OrderKey, ledger.OrderRecord] = {}
        self.looks: list[Look] = []
        self.streak = NO_STREAK
        self.margin = Margin.STANDARD
        self.sweeps: dict[tuple[str, OrderKind], ledger.SweepRecord] = {}
        self.began_at = gateway.deadline.began
        self.last_known: Snapshot | None = None
        self.never_read: frozenset[str] | None = None
        self.rounds = 0
        self.retries = 0
        self.strangers: dict[str, None] = {}
        self.entered: dict[str, float] = {}
        self.last_write_at = float("-inf")
        self.last_sweep_at = float("-inf")
        self.began_ms = float("-inf")
        self._began_ms_most = float("inf")
        self._absent_at: dict[OrderKind | None, float] = {}
        self._own_prefix = CLIENT_ORDER_ID_PREFIX + order_tag

    @property
    def is_doubtful(self) -> bool:
        """Whether a leg's last reading contradicted a fill, or an order's fate is open."""
        return any(record.doubtful for record in self.legs.values())

    def has_listed(self, kind: OrderKind) -> bool:
        """Whether any reading listed this book in full."""
        return kind in self._absent_at

    def absorb(self, snapshot: Snapshot) -> Verdict:
        """Take in a reading and return its verdict."""
        if self.margin is not snapshot.margin:
            # What was read the other way says nothing about this account.
            self.margin, self.streak = snapshot.margin, NO_STREAK
            self.looks.clear()
        verdict = verify(snapshot, self.policy)
        self._absorb_positions(snapshot)
        positions = open_legs(self.legs)
        lists = {OrderKind.REGULAR: snapshot.regular_orders, OrderKind.ALGO: snapshot.algo_orders}
        for kind, reading in lists.items():
            self._absorb_listed(reading.items, positions, snapshot)
            if not reading.complete:
                continue
            self._absent_at[kind] = snapshot.started_at
            listed = {order.key for order in reading.items}
            for key, record in list(self.orders.items()):
                if key[1] is kind and key not in listed and record.present:
                    self.orders[key] = record._replace(
                        present=False, gone=record.cancelled_at is None, seen_at=snapshot.started_at
                    )
        self.last_known = _with_last_known(snapshot, self.last_known or snapshot)
        missing = snapshot.lists_missing
        self.never_read = missing if self.never_read is None else self.never_read & missing
        # Lengthen the row of readings that showed nothing, or begin it anew. What was known before
        # the run is no reading of it.
        if verdict.is_quiet and not snapshot.age_s and self._is_after_writes(snapshot):
            look = Look(snapshot.started_at, snapshot.positions.sources, frozenset())
            seen_flat = self.streak.seen_flat or verdict.is_flat
            self.streak = Streak(looks=(*self.streak.looks, look), seen_flat=seen_flat)
        else:
            self.streak = NO_STREAK
        return verdict

    def note_look(self, positions: Reading[Position], began_at: float) -> None:
        """Keep what a reading of the positions showed, for what has to be settled."""
        for position in positions.items:
            if (record := self.legs.get(position.leg)) is not None:
                self.legs[position.leg] = ledger.shown_open(record, position, at=began_at)
        if positions.complete:
            self.looks.append(
                Look(began_at, positions.sources, frozenset(p.leg for p in positions.items))
            )

    def _absorb_positions(self, snapshot: Snapshot) -> None:
        """Take in what is listed; what is not is flat only where the list is complete."""
        started_at = snapshot.started_at
        listed = {p.leg: p for p in snapshot.positions.items if self.policy.covers(p.symbol)}
        for leg, position in listed.items():
            if leg not in self.legs:
                self.legs[leg] = ledger.first_seen(position, started_at)
                if self._is_new(position.update_time_ms, None):
                    self._entered(position, snapshot)
        for leg, before in list(self.legs.items()):
            if leg not in listed and not snapshot.positions.complete:
                continue
            after = self.legs[leg] = ledger.after_reading(
                before, listed.get(leg), started_at=started_at, now=self.gateway.now
            )
            current = after.current
            if current is not None and after.reopened > before.reopened:
                if self._is_new(current.update_time_ms, None, after_ms=after.filled_ms):
                    self._entered(current, snapshot)
            elif current is None and before.current is not None:
                self.gateway.note(events.position_closed(after))
        if snapshot.positions.complete:
            self._absent_at[None] = started_at
        self.note_look(snapshot.positions, started_at)

    def note_stamp(self, stamp_ms: int, sent_at: float) -> None:
        """Learn from the venue's stamp of a fill what its clock said when this run began.

        The fill was after its order was sent, and before now.
        """
        if stamp_ms:
            least_ms = stamp_ms - (self.gateway.now - self.began_at) * 1000
            most_ms = stamp_ms - (sent_at - self.began_at) * 1000
            self.began_ms = max(self.began_ms, least_ms)
            self._began_ms_most = min(self._began_ms_most, most_ms)

    def _is_new(self, stamp_ms: int, kind: OrderKind | None, *, after_ms: int = 0) -> bool:
        """Whether what appeared came to be during this run: not merely shown late by a list.

        The venue's own stamps tell where both sides have one, for a leg the one of our own last
        fill. Without, whatever is old has been shown once the longest lag has passed: by a list of
        this kind that was read in full then, None for the positions.
        """
        if stamp_ms and self._began_ms_most < float("inf"):
            return stamp_ms > max(self._began_ms_most, after_ms)
        return self._absent_at.get(kind, float("-inf")) - self.began_at >= pacing.LAG_GRACE_S

    def _entered(self, position: Position, snapshot: Snapshot) -> None:
        self.entered[position.symbol] = snapshot.finished_at
        strange = (
            order.client_order_id
            for order in snapshot.orders
            if order.symbol == position.symbol and self._is_strange(order)
        )
        self.gateway.note(events.reentry_seen(position, strange))

    def _is_strange(self, order: OpenOrder) -> bool:
        return order.key not in self.orders and self._is_new(order.created_ms, order.kind)

    def _absorb_listed(
        self, orders: Iterable[OpenOrder], positions: dict[Leg, Position], snapshot: Snapshot
    ) -> None:
        at = snapshot.started_at
        for order in orders:
            if not self.policy.covers(order.symbol):
                continue
            if order.client_order_id.startswith(self._own_prefix):
                continue
            key = order.key
            known = self.orders.get(key)
            if known is None:
                if self._is_strange(order):
                    if len(self.strangers) < pacing.STRANGERS_MAX:
                        self.strangers[order.client_order_id or order.order_id] = None
                    if reduces_only(order):
                        # A new stop is set for a new position, shown or not.
                        self.entered[order.symbol] = snapshot.finished_at
                known = ledger.OrderRecord(
                    order=order, seen_at=at, first_at=at, listed_at=snapshot.finished_at
                )
            self.orders[key] = known._replace(
                # One odd row does not make an order unreadable that was read before.
                order=order if order.side or not known.order.side else known.order,
                present=True,
                gone=False,
                seen_at=at,
                shown_at=at,
                protective=known.protective or is_protective(order, positions),
                oversized=known.oversized or is_oversized(order, positions),
            )

    def is_settled(self, snapshot: Snapshot) -> bool:
        """Whether no order is under way and the reading began after the last answer."""
        return snapshot.started_at >= self.last_sweep_at and self._is_after_writes(snapshot)

    def _is_after_writes(self, snapshot: Snapshot) -> bool:
        """Whether it is settled but for the sweeps.

        A sweep takes what no list shows, so its answer does not begin the watch anew: a venue that
        answers slowly would be swept and watched until the deadline.
        """
        return snapshot.started_at >= self.last_write_at and not any(
            record.in_flight for record in self.legs.values()
        )

    def wrote(self, *, is_sweep: bool = False) -> None:
        """Note that a write was answered or cut off now."""
        if is_sweep:
            self.last_sweep_at = self.gateway.now
        else:
            self.last_write_at = self.gateway.now
        self.gateway.account.answered_at = self.gateway.now


class Looks:
    """Looks at the positions, shared among the symbols whose closes were sent before they began.

    A look begins shortly after a close was sent and does not wait for its answer, so that stops may
    leave a round trip sooner. Where it shows the leg gone, that is a reading like any other: the
    leg's stops may go. Where it came too early, the next whole reading decides, as it would have
    without.
    """

    def __init__(self, state: RunState, reader: Reader) -> None:
        self._state = state
        self._gateway = state.gateway
        self._reader = reader
        self._by_symbol: dict[str, Task[Reading[Position]]] = {}
        self._all: list[Task[Reading[Position]]] = []
        self._due: Task[Reading[Position]] | None = None
        self._next_at = 0.0

    def close_sent(self, symbol: str) -> None:
        """Note that a close is leaving now; the look that begins next is the one to ask."""
        if self._due is None:
            if len(self._all) == pacing.LOOKS_MAX or self._gateway.was_refused:
                self._by_symbol.pop(symbol, None)
                return
            self._due = self._gateway.spawn(self._look())
            self._all.append(self._due)
        self._by_symbol[symbol] = self._due

    async def sees_flat(self, symbol: str) -> bool:
        """Return whether a look that began after the symbol's last close shows nothing open."""
        look = self._by_symbol.get(symbol)
        if look is None:
            return False
        gateway = self._gateway
        patience_s = max(pacing.LOOK_PATIENCE_TRIPS * gateway.rtt_s, pacing.LOOK_PATIENCE_MIN_S)
        await gateway.wait([look], until=gateway.now + patience_s)
        if not look.is_done or look.is_cut:
            return False
        return look.value.complete and all(p.symbol != symbol for p in look.value.items)

    def end(self) -> None:
        """Stop looking; what a look under way would have shown is not told any more."""
        for look in self._all:
            self._gateway.end(look)

    async def _look(self) -> Reading[Position]:
        gateway = self._gateway
        await gateway.sleep_until(max(gateway.now + pacing.LOOK_HEAD_START_S, self._next_at))
        self._due = None
        began_at = gateway.now
        self._next_at = began_at + pacing.LOOK_TRIPS_APART * gateway.rtt_s
        positions = await self._reader.positions()
        self._state.note_look(positions, began_at)
        gateway.note(events.look_taken(self._state.rounds, positions))
        return positions


class SideReadings:
    """What else was read beside the rounds, and what is being read: each once at a time.

    Each is asked for once a plan or the report wants it, and never waited for by anything that
    could go on without it.
    """

    def __init__(self, reader: Reader) -> None:
        self.marks: dict[str, Mark] = {}
        self.mode: PositionMode | None = None
        self.prices: dict[str, Decimal] = {}
        self._gateway = reader.gateway
        self._reader = reader
        self._asked: set[str] = set()
        self._tasks: dict[str, Task[Any]] = {}

    @property
    def rules(self) -> Mapping[str, MarketRules]:
        """The rules of every symbol, empty before they were asked for."""
        return self._reader.rules

    def want(self, legs: Mapping[Leg, LegRecord], *, rules: bool) -> None:
        """Start what the next plan is waiting for."""
        if rules and not self.rules:
            self._start("rules", self._reader.fetch_rules)
        for leg, record in legs.items():
            if record.current is None:
                continue
            if wants_mark(record, self.rules.get(leg.symbol)):
                self._start(f"mark {leg.symbol}", partial(self._fetch_mark, leg.symbol))
            if Adaptation.MODE in record.adapted and self.mode is None:
                self._start("mode", self._fetch_mode)

    def want_prices(self, legs: Mapping[Leg, LegRecord]) -> None:
        """Start asking what our orders were executed at: acknowledgements carry no price."""
        if self._gateway.was_refused or not self._gateway.account.has_weight:
            return
        executed = [
            (record.leg.symbol, order.client_order_id)
            for record in sorted(legs.values(), key=lambda r: -r.first.notional)
            for order in record.sent
            if order.executed > 0 and order.client_order_id not in self._asked
        ]
        if wanted := executed[: max(pacing.PRICED_ORDERS_MAX - len(self._asked), 0)]:
            self._start(_PRICES, partial(self._fetch_prices, wanted))

    @property
    def awaited(self) -> list[Task[Any]]:
        """What a plan is waiting for; prices are for the report only."""
        return [task for name, task in self._tasks.items() if name != _PRICES and not task.is_done]

    async def settle_prices(self) -> None:
        """Wait briefly for the prices that were asked for alongside the last reading."""
        if _PRICES in self._tasks:
            gateway = self._gateway
            until = min(gateway.now + gateway.call_max_s, gateway.deadline.ends)
            await gateway.wait([self._tasks[_PRICES]], until=until)

    def _start(self, name: str, begin: Callable[[], Work[Any]]) -> None:
        running = self._tasks.get(name)
        if running is None or running.is_done:
            self._tasks[name] = self._gateway.spawn(begin())

    async def _fetch_mark(self, symbol: str) -> None:
        asked_at = self._gateway.now
        price = await self._gateway.ask(requests.mark_price(self._gateway.product, symbol))
        if not isinstance(price, VenueAnswer):
            self.marks[symbol] = Mark(price, asked_at)

    async def _fetch_mode(self) -> None:
        mode = await self._gateway.ask(requests.position_mode(self._gateway.product))
        if not isinstance(mode, VenueAnswer):
            self.mode = mode

    async def _fetch_prices(self, wanted: list[tuple[str, str]]) -> None:
        self._asked.update(client_order_id for _, client_order_id in wanted)
        await self._gateway.together([self._fetch_price(*order) for order in wanted])

    async def _fetch_price(self, symbol: str, client_order_id: str) -> None:
        answer = await self._gateway.ask(
            requests.order_of(self._gateway.product, symbol, client_order_id)
        )
        if not isinstance(answer, VenueAnswer) and answer.average_price:
            self.prices[client_order_id] = answer.average_price


class Watch:
    """What the run's readings prove so far, and what is missing from the proof.

    Flat is watched for a window, read by two sources, and both books of each symbol that held
    something are swept once at its end. What was seen a moment ago and cannot be accounted for
    begins it anew.
    """

    def __init__(self, state: RunState, questions: Questions) -> None:
        self._state = state
        self._gateway = state.gateway
        self._questions = questions

    @property
    def window_s(self) -> float:
        """How long flat is watched: as asked, and no shorter than the longest lag seen here."""
        asked_s = self._state.policy.settle_seconds
        lags = (record.lag_s for record in self._state.legs.values())
        return max(asked_s, *lags, 0.0) if asked_s else 0.0

    @property
    def gap_s(self) -> float:
        """How far readings within the window are apart."""
        return max(self.window_s / pacing.WATCH_READINGS, pacing.WATCH_GAP_MIN_S)

    @property
    def due_at(self) -> float:
        """When the last reading may begin, from which on flat is proven."""
        return min(self._watched_from, self._gateway.deadline.work_until)

    @property
    def _watched_from(self) -> float:
        since = self._state.streak.since
        since = self._gateway.now if since is None else since
        doubted_at = max((at for at, _ in self._doubts()), default=since)
        # A timer may fire a hair early, and a window that is a hair short is none.
        return max(since, doubted_at) + self.window_s + pacing.TIMER_SLACK_S

    @property
    def sweep_lead_s(self) -> float:
        """How long before its end the books are swept."""
        return self._wave_s * (2 if self._is_in_turn else 1)

    @property
    def _wave_s(self) -> float:
        """How long cancels that leave together may take until all are answered."""
        trips_s = pacing.SWEEP_TRIPS * self._gateway.rtt_s
        return max(trips_s, self._gateway.write_s, pacing.SWEEP_MIN_S)

    @property
    def _is_in_turn(self) -> bool:
        """Whether the two books of a symbol are swept one after the other."""
        return len(self._touched()) > pacing.SWEPT_AT_ONCE_MAX

    def _touched(self) -> set[str]:
        """Return the symbols that held a position or an order."""
        return {leg.symbol for leg in self._state.legs} | {key[0] for key in self._state.orders}

    def is_proven(self, *, late: bool = False) -> bool:
        """Whether flat is proven by the readings so far, the last one included.

        `late` says that no time is left to watch any longer: then a shorter watch counts, unless
        something was open a moment ago that nobody can account for.
        """
        streak = self._state.streak
        if self._questions.unanswered or self._questions.unknown_symbols or not streak.looks:
            return False
        if not self.window_s:
            return True
        is_watched = late or streak.watched_s >= self.window_s
        return (
            is_watched
            and not self._contradictions()
            and self._is_confirmed()
            and not self.unswept()
        )

    @property
    def spared(self) -> tuple[str, ...]:
        """The symbols whose regular book is not swept: stops of a position that stays may be there.

        COIN-M may have stops on that book, and of some accounts trailing stops are in no list.
        """
        state, policy = self._state, self._state.policy
        if policy.close_positions or not policy.cancel_orders:
            return ()
        may_hide = self._gateway.product is Product.COINM and state.margin is Margin.STANDARD
        symbols = sorted({leg.symbol for leg in open_legs(state.legs)})
        return tuple(symbol for symbol in symbols if may_hide or self._lists_stops(symbol))

    def unswept(self) -> list[SymbolPlan]:
        """Return the sweeps that are missing: both books of each symbol that held something."""
        state, since = self._state, self._state.streak.since
        if not state.policy.cancel_orders or since is None:
            return []
        # A stop that no list shows may protect what is open or was opened since.
        guarded = set(state.entered)
        if self._gateway.now < self._watched_from - 2 * self._wave_s:
            # Cut short by the deadline: what vanished may be there, and its stop with it.
            guarded |= {leg.symbol for leg, record in state.legs.items() if record.vanished}
        guarded |= {leg.symbol for leg, record in state.legs.items() if record.current is not None}
        plans = []
        in_turn, spared = self._is_in_turn, self.spared
        is_listed = state.has_listed(OrderKind.REGULAR)
        for symbol in sorted(self._touched()):
            # Stops of the regular book go with it; a book not listed yet may hold some.
            is_guarded = symbol in guarded and (not is_listed or self._lists_stops(symbol))
            if is_guarded or symbol in spared:
                continue
            plan = plan_sweep(symbol, with_stops=symbol not in guarded, in_turn=in_turn)
            sweeps = [state.sweeps.get((symbol, book), ledger.NO_SWEEP) for book in plan.books]
            if not all(s.sent_at >= since and (s.is_given_up or not s.failed) for s in sweeps):
                plans.append(plan)
        return plans

    def _lists_stops(self, symbol: str) -> bool:
        """Whether stops are listed on the symbol's regular book."""
        orders = (record.order for record in self._state.orders.values() if record.present)
        return has_regular_stops(order for order in orders if order.symbol == symbol)

    def missing(self, verdict: Verdict, snapshot: Snapshot) -> tuple[str, ...]:
        """Return what is missing from the proof of an account that reads flat."""
        if not self._state.streak.looks:
            return ()
        missing = [self._questions.unanswered] if self._questions.unanswered else []
        missing += self._contradictions()
        if verdict.evidence:
            symbols = ", ".join(sorted({order.symbol for order in verdict.evidence}))
            missing.append(f"a stop on {symbols} may belong to a position that no list shows yet")
        if not self._is_confirmed():
            missing.append(f"{' and '.join(sorted(snapshot.silent))} did not answer")
        if not missing and (unswept := sorted({plan.symbol for plan in self.unswept()})):
            missing.append(f"no last cancel of all orders was answered on {', '.join(unswept[:5])}")
        return tuple(missing)

    def _is_confirmed(self) -> bool:
        vanished = any(record.vanished for record in self._state.legs.values())
        return is_confirmed(self._state.streak.looks, is_doubted=vanished)

    def _contradictions(self) -> list[str]:
        """Return why a shorter watch proves nothing: what was open a moment ago.

        A leg that our own confirmed fills closed needs no watch for itself.
        """
        since = self._state.streak.looks[-1].began_at - self.window_s
        return [why for seen_at, why in self._doubts() if seen_at > since]

    def _doubts(self) -> Iterator[tuple[float, str]]:
        """Yield what was seen without an explanation since: when last, and in words."""
        legs, orders = self._state.legs, self._state.orders
        vanished = [record for record in legs.values() if record.vanished]
        for record in sorted(vanished, key=lambda r: (r.leg.symbol, r.last_open_at)):
            why = f"{record.leg.symbol} was open a moment ago and vanished without our order"
            yield record.last_open_at, why
        for symbol, at in sorted(self._state.entered.items()):
            yield at, f"somebody opened {symbol} a moment ago"
        # Its owner or the venue took it, or a list that is older than the one before it.
        gone = [stop for stop in orders.values() if stop.gone and reduces_only(stop.order)]
        for stop in sorted(gone, key=lambda r: (r.order.symbol, r.shown_at)):
            leg = legs.get(stop.order.leg)
            if not ledger.is_left_over(stop, leg, began_ms=self._state.began_ms):
                what = f"a stop on {stop.order.symbol} was there a moment ago"
                yield stop.shown_at, f"{what} and vanished without our cancel"


def _with_last_known(now: Snapshot, before: Snapshot) -> Snapshot:
    """Return the reading, its failed sources standing as they were last read: unread, not empty."""

    def known(source: Reading[T], last: Reading[T]) -> Reading[T]:
        is_known = source.complete or not last.items
        return source if is_known else source._replace(items=last.items)

    return now._replace(
        positions=known(now.positions, before.positions),
        regular_orders=known(now.regular_orders, before.regular_orders),
        algo_orders=known(now.algo_orders, before.algo_orders),
    )
