"""Closes and cancels: recorded, sent once, and believed once a look agrees.

An order of ours that was proven not executed is sent again under a new id; one whose fate is
unknown is looked up, and if the venue does not know it, the next position reading decides. Its
leg is not touched again before. What a cancel did is for the lists to say.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from liqctl.kernel import events, ledger, pacing, requests
from liqctl.kernel.amounts import plain
from liqctl.kernel.answers import AnswerKind, VenueAnswer, no_answer
from liqctl.kernel.errors import InvariantError
from liqctl.kernel.gateway import Halted
from liqctl.kernel.machine import Ended, Work
from liqctl.kernel.plan import LegClose, SymbolPlan
from liqctl.kernel.proof import is_protective
from liqctl.kernel.reading import Reader
from liqctl.kernel.requests import Request
from liqctl.kernel.retry import Decision, Reaction, decide, decide_expired, is_safe_if_unknown
from liqctl.kernel.state import RunState
from liqctl.kernel.values import (
    CloseOrder,
    Leg,
    OpenOrder,
    OrderAnswer,
    OrderKind,
    Position,
    PositionSide,
    make_client_order_id,
)

_SHOWN: Final = "a list shows a position that it may protect"


class _Sent(NamedTuple):
    """An order of ours, the number of the wave in which its first predecessor left, and when."""

    order: CloseOrder
    wave: int
    at: float


class Closes:
    """Carries out the closes of a plan."""

    def __init__(
        self,
        state: RunState,
        order_tag: str,
        jitter: Callable[[], float],
        on_sent: Callable[[str], None],
    ) -> None:
        """Note the answers in the state; `on_sent` hears of each symbol whose order leaves."""
        self._state = state
        self._gateway = state.gateway
        self._order_tag = order_tag
        self._jitter = jitter
        self._on_sent = on_sent
        self._order_no = 0
        self._sent: dict[str, _Sent] = {}

    async def close_leg(self, close: LegClose) -> None:
        """Send the parts of one leg in parallel; return when each fate is as known as it gets."""
        leg = close.position.leg
        if not self._gateway.may_write:
            return
        if self._state.legs[leg].attempts >= pacing.SENDS_PER_LEG_MAX:
            self.give_up(leg, None)
            return
        self._order_no += 1
        wave = self._order_no
        orders = [
            CloseOrder(
                leg=close.order_leg,
                side=close.side,
                quantity=part.quantity,
                client_order_id=self._next_id(part_no),
                type=part.type,
                price=part.price,
                reduce_only=close.order_leg.position_side is PositionSide.BOTH,
                notional=close.position.notional,
            )
            for part_no, part in enumerate(close.parts, start=1)
        ]
        self._intend(leg, orders, wave)
        try:
            await self._gateway.on_disk()
            await self._gateway.together([self._place(leg, order) for order in orders])
        except InvariantError as error:
            self.give_up_for_fault(leg, str(error))
        finally:
            self._state.wrote()
            self._state.legs[leg] = self._state.legs[leg]._replace(in_flight=False)

    def _next_id(self, part_no: int = 1) -> str:
        return make_client_order_id(self._order_tag, self._order_no, part_no=part_no)

    def _intend(self, leg: Leg, orders: Sequence[CloseOrder], wave: int) -> None:
        now = self._gateway.now
        self._sent |= {order.client_order_id: _Sent(order, wave, now) for order in orders}
        record = self._state.legs[leg] = ledger.after_sent(self._state.legs[leg], orders)
        mark = (record.current or record.first).mark_price
        for order in orders:
            self._gateway.note(events.order_sent(order, attempt=record.attempts, mark=mark))

    async def _place(self, leg: Leg, order: CloseOrder) -> None:
        """Send the order, again under new ids while it is proven not executed."""
        current: CloseOrder | None = order
        tries = 0
        while current is not None:
            answer = await self._send(leg, current)
            tries += 1
            if isinstance(answer, OrderAnswer):
                if not answer.status.is_final:
                    await self._look_up(leg, current, once=False)
                return
            if isinstance(answer, Halted):
                return
            current = await self._react(leg, current, answer, tries)

    async def _send(self, leg: Leg, order: CloseOrder) -> OrderAnswer | VenueAnswer:
        """Send once, and note the answer, unless it may have to be looked up first."""
        self._on_sent(leg.symbol)
        try:
            answer = await self._gateway.write(requests.submit(order))
        except Ended:
            before = self._state.legs[leg].error
            after = f"; the last one said: {before.describe()}" if before else ""
            self._refused(leg, order, no_answer(f"cut off before the venue answered{after}"))
            raise
        if isinstance(answer, Halted):
            self._update(leg, ledger.never_sent, order.client_order_id, self._gateway.now)
            why = "not sent: no order may leave any more"
            self._gateway.note(events.order_refused(order, why))
        elif isinstance(answer, OrderAnswer):
            self._placed(leg, order, answer)
        return answer

    async def _react(
        self, leg: Leg, order: CloseOrder, answer: VenueAnswer, tries: int
    ) -> CloseOrder | None:
        """Act on a refusal; return the order to send next in its place, None for none."""
        if answer.kind is AnswerKind.UNKNOWN:
            self._refused(leg, order, answer)
            once = is_safe_if_unknown(answer)
            found = await self._look_up(leg, order, once=once)
            if found is not False or not once:
                return None
            answer = replace(answer, kind=AnswerKind.TRANSIENT)
        self._refused(leg, order, answer)
        record = self._state.legs[leg]
        decision = decide(
            answer,
            tries=tries,
            repeats=record.repeats,
            adapted=record.adapted,
            policy=self._state.policy,
            jitter=self._jitter(),
        )
        match decision.reaction:
            case Reaction.GIVE_UP:
                self.give_up(leg, answer)
            case Reaction.PAUSE:
                not_before = self._gateway.budget.paused_until
                self._state.legs[leg] = record._replace(not_before=not_before)
            case Reaction.PLAN_AGAIN:
                self._plan_again(leg, order, answer, decision)
            case Reaction.SYNC_CLOCK | Reaction.SEND_AGAIN:
                return await self._send_again(leg, order, answer, decision)
            case Reaction.LOOK_UP:
                pass  # Only what is unknown is looked up, and was.
        return None

    async def _send_again(
        self, leg: Leg, order: CloseOrder, answer: VenueAnswer, decision: Decision
    ) -> CloseOrder | None:
        """Wait, cut to fit, and return the order anew; None where the next round decides."""
        gateway = self._gateway
        if decision.reaction is Reaction.SYNC_CLOCK:
            await gateway.sync_clock()
        trips_s = pacing.ANSWER_TRIPS * gateway.rtt_s
        room_s = gateway.deadline.work_until - gateway.now - trips_s
        if room_s <= 0:
            return None
        if decision.backoff_s > room_s:
            decision = decision._replace(backoff_s=room_s / 2)
        self._schedule(leg, answer, decision)
        await gateway.sleep(decision.backoff_s)
        if not gateway.may_write or self._state.legs[leg].attempts >= pacing.SENDS_PER_LEG_MAX:
            return None
        self._order_no += 1
        again = order._replace(client_order_id=self._next_id())
        self._intend(leg, [again], self._sent[order.client_order_id].wave)
        await gateway.on_disk()
        return again

    def _plan_again(
        self, leg: Leg, order: CloseOrder, answer: VenueAnswer, decision: Decision
    ) -> None:
        wave = self._sent[order.client_order_id].wave
        self._update(leg, ledger.after_decision, order, decision, wave, self._gateway.now)
        self._schedule(leg, answer, decision)

    def _schedule(self, leg: Leg, answer: VenueAnswer, decision: Decision) -> None:
        self._state.retries += 1
        self._gateway.note(
            events.retry_scheduled(
                leg, decision, repeat=self._state.legs[leg].repeats, reason=answer.describe()
            )
        )

    def give_up_for_fault(self, leg: Leg, why: str) -> None:
        """End one leg for a fault of our own; the others go on."""
        self.give_up(leg, VenueAnswer(kind=AnswerKind.LEG_FATAL, message=why))

    def give_up(self, leg: Leg, answer: VenueAnswer | None) -> None:
        """Send nothing more for a leg, because of this answer."""
        record = self._state.legs[leg]
        self._state.legs[leg] = record._replace(given_up=True, error=answer or record.error)
        self._gateway.note(events.position_failed(leg, attempts=record.attempts, answer=answer))

    async def follow_up(self, leg: Leg) -> None:
        """Look up, once, the orders of a leg whose fate is open."""
        gateway = self._gateway
        orders = [self._sent[each].order for each in self._state.legs[leg].unresolved]
        # Begun one by one, so that they stay behind a reading that begins at the same moment.
        await gateway.finish(
            [gateway.spawn(self._look_up(leg, order, once=True)) for order in orders]
        )

    async def _look_up(self, leg: Leg, order: CloseOrder, *, once: bool) -> bool | None:
        """Ask what became of the order; return whether the venue knows it, None for no answer.

        The venue may take a second or two to know an order that did arrive, so "no such order" is
        asked again until the patience ends. What stays unknown is left to the position reading.
        """
        gateway = self._gateway
        until = min(gateway.now + pacing.LOOKUP_PATIENCE_S, gateway.deadline.ends)
        delay_s = pacing.LOOKUP_FIRST_S
        while True:
            known: bool | None = None
            found = await gateway.ask(
                requests.order_of(leg.product, leg.symbol, order.client_order_id)
            )
            if isinstance(found, OrderAnswer):
                known = True
                self._placed(leg, order, found)
                if found.status.is_final:
                    return True
            elif found.kind is AnswerKind.DONE:
                known = False
            if known is not None and once:
                return known
            if gateway.now + delay_s >= until:
                self._state.legs[leg] = self._state.legs[leg]._replace(
                    lookup_failed=known is False, unresolved_at=gateway.now
                )
                return known
            await gateway.sleep(delay_s)
            delay_s = min(delay_s * 2, pacing.LOOKUP_DELAY_MAX_S)

    def _placed(self, leg: Leg, order: CloseOrder, answer: OrderAnswer) -> None:
        now = self._gateway.now
        self._state.wrote()
        if answer.executed:
            self._state.note_stamp(answer.update_time_ms, self._sent[order.client_order_id].at)
        before = self._state.legs[leg]
        record = self._state.legs[leg] = ledger.after_answer(before, answer, now)
        if record.sent == before.sent:
            return
        self._gateway.note(events.order_placed(order, answer))
        if answer.status.is_final and answer.executed < order.quantity:
            # The book could not fill it: the rest is planned anew.
            decision = decide_expired(
                adapted=record.adapted,
                base_s=self._state.policy.retry_delay_seconds,
                jitter=self._jitter(),
            )
            reason = VenueAnswer(
                kind=AnswerKind.TRANSIENT,
                message=f"{order.type} order ended {answer.status} with {plain(answer.executed)} "
                f"of {plain(order.quantity)} executed",
            )
            self._state.legs[leg] = record._replace(error=reason)
            self._plan_again(leg, order, reason, decision)

    def _refused(self, leg: Leg, order: CloseOrder, answer: VenueAnswer) -> None:
        self._state.wrote()
        self._update(leg, ledger.after_refusal, order.client_order_id, answer, self._gateway.now)
        is_unknown = answer.kind is AnswerKind.UNKNOWN
        told = events.order_unknown if is_unknown else events.order_refused
        self._gateway.note(told(order, answer))

    def _update(self, leg: Leg, change: Callable[..., ledger.LegRecord], *what: object) -> None:
        self._state.legs[leg] = change(self._state.legs[leg], *what)


class Cancels:
    """Carries out the cancels of a plan."""

    def __init__(self, state: RunState, reader: Reader, jitter: Callable[[], float]) -> None:
        """Note the answers in the state; the reader tells what lists showed meanwhile."""
        self._state = state
        self._gateway = state.gateway
        self._reader = reader
        self._jitter = jitter

    async def cancel(self, plan: SymbolPlan) -> None:
        """Send every cancel of one symbol; returns when all are answered or cut."""
        planned_at, product = self._gateway.now, self._gateway.product
        shown = self._reader.shown

        # It may wait for the venue's limits, and a list be there then that nobody weighed.
        def shown_since(leg: Leg) -> Position | None:
            at, position = shown.get(leg, (planned_at, None))
            return position if at > planned_at else None

        def veto_book() -> str | None:
            legs = (Leg(plan.symbol, side, product) for side in PositionSide)
            return _SHOWN if any(map(shown_since, legs)) else None

        def veto_one(order: OpenOrder) -> str | None:
            position = shown_since(order.leg)
            is_stop = position is not None and is_protective(order, {order.leg: position})
            return _SHOWN if is_stop else None

        jobs: list[Callable[[], Work[None]]] = []
        for book, orders in plan.books.items():
            request = requests.cancel_book(product, book, plan.symbol)
            veto = veto_book if book is OrderKind.ALGO else None
            jobs.append(partial(self._send, plan, orders, request, book, veto))
        for order in plan.alone:
            request, veto = requests.cancel_one(order), partial(veto_one, order)
            jobs.append(partial(self._send, plan, (order,), request, None, veto))
        if plan.in_turn:
            for job in jobs:
                await job()
        else:
            await self._gateway.together([job() for job in jobs])

    async def _send(
        self,
        plan: SymbolPlan,
        orders: tuple[OpenOrder, ...],
        request: Request[None],
        book: OrderKind | None,
        veto: Callable[[], str | None] | None = None,
    ) -> None:
        """Cancel a whole book, or with None one order."""
        gateway, state = self._gateway, self._state
        if not (gateway.may_write or plan.is_sweep):
            return
        spec = gateway.addressed(request).spec
        sent = events.cancel_sent(plan.symbol, spec, orders, is_sweep=plan.is_sweep)
        gateway.note(sent)
        self._update(orders, lambda r: r._replace(cancel_sent=True, tries=r.tries + 1))
        await gateway.on_disk()
        swept = (plan.symbol, book) if plan.is_sweep and book is not None else None
        if swept is not None:
            sweep = state.sweeps.get(swept, ledger.NO_SWEEP)
            state.sweeps[swept] = sweep._replace(sent_at=gateway.now, failed=sweep.failed + 1)
        answer = await gateway.write(request, is_last=plan.is_sweep, veto=veto)
        if swept is not None:
            state.sweeps[swept] = ledger.after_sweep(state.sweeps[swept], answer)
        if isinstance(answer, Halted):
            gateway.note(events.cancel_refused(sent, f"not sent: {answer.message}"))
            self._update(orders, lambda r: r._replace(cancel_sent=False))
            return
        state.wrote(is_sweep=plan.is_sweep)
        if answer is None:
            gateway.note(events.cancel_answered(sent))
            self._update(orders, lambda r: ledger.after_cancelled(r, gateway.now))
        else:
            gateway.note(events.cancel_refused(sent, answer))
            self._update(orders, lambda r: self._refused(r, answer, is_whole_book=book is not None))

    def _refused(
        self, record: ledger.OrderRecord, answer: VenueAnswer, *, is_whole_book: bool
    ) -> ledger.OrderRecord:
        refused, is_repeated = ledger.after_cancel_refused(
            record,
            answer,
            is_whole_book=is_whole_book,
            policy=self._state.policy,
            jitter=self._jitter(),
            paused_until=self._gateway.budget.paused_until,
            at=self._gateway.now,
        )
        self._state.retries += is_repeated
        return refused

    def give_up(self, symbol: str, why: str) -> None:
        """End one symbol's cancels for a fault of our own; the others go on."""
        answer = VenueAnswer(kind=AnswerKind.LEG_FATAL, message=why)
        for key, record in self._state.orders.items():
            if key[0] == symbol and record.present:
                self._state.orders[key] = record._replace(error=answer, given_up=True)

    def _update(
        self,
        orders: tuple[OpenOrder, ...],
        change: Callable[[ledger.OrderRecord], ledger.OrderRecord],
    ) -> None:
        for order in orders:
            record = self._state.orders.get(order.key)
            if record is not None:
                self._state.orders[order.key] = change(record)
