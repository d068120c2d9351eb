"""Closes: an order is recorded, sent once, and its fate found out before its leg is touched again.

An order that was proven not executed is sent again under a new id; one whose fate is unknown is
looked up, and if the venue does not know it, the next position reading decides.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from liqctl.kernel import events
from liqctl.kernel.amounts import plain
from liqctl.kernel.answers import AnswerKind, VenueAnswer, no_answer
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import InvariantError, VenueError
from liqctl.kernel.ids import make_client_order_id
from liqctl.kernel.ledger import after_adaptation, after_answer, after_refusal, after_sent
from liqctl.kernel.pacing import (
    ANSWER_TRIPS,
    LOOKUP_DELAY_MAX_S,
    LOOKUP_FIRST_S,
    LOOKUP_PATIENCE_S,
    NO_ROOM_PAUSE_S,
    SENDS_PER_LEG_MAX,
)
from liqctl.kernel.plan import ClosePart, LegClose
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange
from liqctl.kernel.retry import Decision, Reaction, decide, decide_expired
from liqctl.kernel.values import CloseOrder, Leg, OrderAnswer, PositionSide
from liqctl.run.gate import Gate, Halted
from liqctl.run.recorder import Recorder
from liqctl.run.state import RunState
from liqctl.run.together import together

_NO_ROOM: Final = VenueAnswer(
    kind=AnswerKind.TRANSIENT,
    message="not sent: the venue's order limit left no room for it before the deadline",
)
_OVERLOADED: Final = -1008


class _Sent(NamedTuple):
    """An order of ours, the number of the wave in which its first predecessor left, and when."""

    order: CloseOrder
    wave: int
    at: float


class Closer:
    """Carries out the closes of a plan."""

    def __init__(
        self,
        exchange: Exchange,
        gate: Gate,
        state: RunState,
        recorder: Recorder,
        policy: LiquidationConfig,
        rng: random.Random,
        on_sent: Callable[[str], None],
    ) -> None:
        """Close through the gate and note the answers; `on_sent` hears of each symbol's orders."""
        self._exchange = exchange
        self._gate = gate
        self._state = state
        self._recorder = recorder
        self._policy = policy
        self._rng = rng
        self._on_sent = on_sent
        self._order_no = 0
        self._sent: dict[str, _Sent] = {}

    async def close_leg(self, close: LegClose) -> None:
        """Send the parts of one leg in parallel; return when each fate is as known as it gets."""
        leg = close.position.leg
        if not self._gate.may_write:
            return
        if self._state.legs[leg].attempts >= SENDS_PER_LEG_MAX:
            self._give_up(leg, None)
            return
        self._order_no += 1
        number = self._order_no
        orders = tuple(
            self._make_order(close, part, number, part_no)
            for part_no, part in enumerate(close.parts, start=1)
        )
        self._intend(leg, orders, wave=number)
        try:
            await self._recorder.durable()
            await together([self._place(leg, order) for order in orders])
        except InvariantError as error:
            self.give_up(leg, str(error))
        finally:
            self._state.wrote()
            self._state.legs[leg] = self._state.legs[leg]._replace(in_flight=False)

    def _make_order(
        self, close: LegClose, part: ClosePart, number: int, part_no: int
    ) -> CloseOrder:
        return CloseOrder(
            leg=close.order_leg,
            side=close.side,
            quantity=part.quantity,
            client_order_id=make_client_order_id(self._recorder.order_tag, number, part_no=part_no),
            type=part.type,
            price=part.price,
            reduce_only=close.order_leg.position_side is PositionSide.BOTH,
        )

    def _intend(self, leg: Leg, orders: Sequence[CloseOrder], *, wave: int) -> None:
        """Record that the orders are about to be sent."""
        now = asyncio.get_running_loop().time()
        self._sent |= {order.client_order_id: _Sent(order, wave, now) for order in orders}
        record = after_sent(self._state.legs[leg], tuple(orders))
        self._state.legs[leg] = record
        mark = (record.current or record.first).mark_price
        for order in orders:
            event = events.order_sent(order, attempt=record.attempts, mark=mark)
            self._recorder.event(event)

    async def _place(self, leg: Leg, order: CloseOrder) -> None:
        """Send the order, again under new ids while it is proven not executed."""
        current: CloseOrder | None = order
        tries = 0
        while current is not None:
            answer = await self._send(leg, current)
            if answer is None:
                return
            tries += 1
            current = await self._react(leg, current, answer, tries=tries)

    async def _send(self, leg: Leg, order: CloseOrder) -> VenueAnswer | None:
        """Send once; return the refusal, None when there is nothing to react to."""
        self._on_sent(leg.symbol)
        try:
            placed = await self._gate.write(
                Endpoint.SUBMIT_ORDER,
                lambda s: self._exchange.submit_order(order, timeout_s=s),
                resync=False,
            )
        except Halted:
            self._not_sent(leg, order)
            return None
        except VenueError as error:
            return error.answer
        except asyncio.CancelledError:
            before = self._state.legs[leg].error
            after = f"; the last one said: {before.describe()}" if before else ""
            self._record_unknown(leg, order, no_answer(f"cut off before the venue answered{after}"))
            raise
        self._placed(leg, order, placed)
        if not placed.status.is_final:
            await self._look_up(leg, order, once=False)
        return None

    async def _react(
        self, leg: Leg, order: CloseOrder, answer: VenueAnswer, *, tries: int
    ) -> CloseOrder | None:
        """Act on a refusal; return the order to send next in its place, None for none."""
        if answer.kind is AnswerKind.UNKNOWN:
            self._record_unknown(leg, order, answer)
            once = answer.code == _OVERLOADED
            found = await self._look_up(leg, order, once=once)
            # Documented as not executed, so that the venue's own "no such order" is enough here.
            if found is not False or not once:
                return None
            answer = replace(answer, kind=AnswerKind.TRANSIENT)
        self._record_refusal(leg, order, answer)
        record = self._state.legs[leg]
        decision = decide(
            answer,
            tries=tries,
            repeats=record.repeats,
            repeats_max=self._policy.max_retries,
            adapted=record.adapted,
            base_s=self._policy.retry_delay_seconds,
            jitter=self._rng.uniform(-1, 1),
        )
        match decision.reaction:
            case Reaction.GIVE_UP:
                self._give_up(leg, answer)
            case Reaction.PAUSE:
                self._put_off(leg, self._gate.paused_until)
            case Reaction.LOOK_UP:
                pass
            case Reaction.PLAN_AGAIN:
                now = asyncio.get_running_loop().time()
                self._adapt(leg, order, decision, now)
                self._schedule(leg, answer, decision)
            case Reaction.SYNC_CLOCK | Reaction.SEND_AGAIN:
                return await self._send_again(leg, order, answer, decision)
        return None

    def _put_off(self, leg: Leg, until: float) -> None:
        self._state.legs[leg] = self._state.legs[leg]._replace(not_before=until)

    async def _send_again(
        self, leg: Leg, order: CloseOrder, answer: VenueAnswer, decision: Decision
    ) -> CloseOrder | None:
        """Wait, cut to fit, and return the order anew; None where the next round decides."""
        if decision.reaction is Reaction.SYNC_CLOCK:
            await self._gate.sync_clock()
        now = asyncio.get_running_loop().time()
        room_s = self._gate.work_until - now - ANSWER_TRIPS * self._gate.rtt_s
        if room_s <= 0:
            return None
        if decision.backoff_s > room_s:
            decision = replace(decision, backoff_s=room_s / 2)
        self._schedule(leg, answer, decision)
        await asyncio.sleep(decision.backoff_s)
        if not self._gate.may_write or self._state.legs[leg].attempts >= SENDS_PER_LEG_MAX:
            return None
        self._order_no += 1
        again = replace(
            order,
            client_order_id=make_client_order_id(
                self._recorder.order_tag, self._order_no, part_no=1
            ),
        )
        self._intend(leg, (again,), wave=self._sent[order.client_order_id].wave)
        await self._recorder.durable()
        return again

    def _adapt(self, leg: Leg, order: CloseOrder, decision: Decision, now: float) -> None:
        """Note how the leg's next order will differ, and when it may be sent.

        Parts of one wave that were refused together are one refusal.
        """
        record = after_adaptation(self._state.legs[leg], order, decision.adaptation)
        wave = self._sent[order.client_order_id].wave
        counts = decision.counts and record.refused_wave != wave
        self._state.legs[leg] = record._replace(
            repeats=record.repeats + int(counts),
            refused_wave=wave if decision.counts else record.refused_wave,
            not_before=max(record.not_before, now + decision.backoff_s),
        )

    def _schedule(self, leg: Leg, answer: VenueAnswer, decision: Decision) -> None:
        self._state.retries += 1
        self._recorder.event(
            events.retry_scheduled(
                leg,
                reaction=decision.reaction.value,
                adaptation=decision.adaptation.value if decision.adaptation else None,
                backoff_s=decision.backoff_s,
                repeat=self._state.legs[leg].repeats,
                reason=answer.describe(),
            )
        )

    def give_up(self, leg: Leg, why: str) -> None:
        """End one leg for a fault of our own; the others go on."""
        self._give_up(leg, VenueAnswer(kind=AnswerKind.LEG_FATAL, message=why))

    def _give_up(self, leg: Leg, answer: VenueAnswer | None) -> None:
        record = self._state.legs[leg]
        self._state.legs[leg] = record._replace(given_up=True, error=answer or record.error)
        event = events.position_failed(leg, attempts=record.attempts, answer=answer)
        self._recorder.event(event)

    async def follow_up(self, leg: Leg) -> None:
        """Look up, once, the orders of a leg whose fate is open."""
        ids = self._state.legs[leg].unresolved
        await asyncio.gather(*(self._look_up(leg, self._sent[i].order, once=True) for i in ids))

    async def _look_up(self, leg: Leg, order: CloseOrder, *, once: bool) -> bool | None:
        """Ask what became of the order; return whether the venue knows it, None for no answer.

        The venue may take a second or two to know an order that did arrive, so "no such order" is
        asked again until the patience ends. What stays unknown is left to the position reading.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LOOKUP_PATIENCE_S
        delay_s = LOOKUP_FIRST_S
        while True:
            known: bool | None = None
            try:
                found = await self._gate.read(
                    Endpoint.ORDER,
                    lambda s: self._exchange.fetch_order(
                        order.leg.symbol, order.client_order_id, timeout_s=s
                    ),
                    narrow=True,
                )
            except VenueError as error:
                if error.answer.kind is AnswerKind.DONE:
                    known = False
            else:
                known = True
                self._placed(leg, order, found)
                if found.status.is_final:
                    return True
            if known is not None and once:
                return known
            if loop.time() + delay_s >= min(until, self._gate.deadline_at):
                record = self._state.legs[leg]
                self._state.legs[leg] = record._replace(
                    lookup_failed=known is False, unresolved_at=loop.time()
                )
                return known
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LOOKUP_DELAY_MAX_S)

    def _placed(self, leg: Leg, order: CloseOrder, answer: OrderAnswer) -> None:
        """Note the venue's word on an order of ours, once for each thing it said."""
        now = asyncio.get_running_loop().time()
        self._state.wrote()
        if answer.executed:
            self._state.note_stamp(answer.update_time_ms, self._sent[order.client_order_id].at)
        before = self._state.legs[leg]
        record = after_answer(before, answer, now)
        self._state.legs[leg] = record
        if record.sent == before.sent:
            return
        self._recorder.event(events.order_placed(order, answer))
        if answer.status.is_final and answer.executed < order.quantity:
            self._expired(leg, order, answer, now)

    def _expired(self, leg: Leg, order: CloseOrder, answer: OrderAnswer, now: float) -> None:
        """Plan the rest of an order that the book could not fill."""
        record = self._state.legs[leg]
        decision = decide_expired(
            adapted=record.adapted,
            base_s=self._policy.retry_delay_seconds,
            jitter=self._rng.uniform(-1, 1),
        )
        reason = VenueAnswer(
            kind=AnswerKind.TRANSIENT,
            message=f"{order.type} order ended {answer.status} with {plain(answer.executed)} of "
            f"{plain(order.quantity)} executed",
        )
        self._state.legs[leg] = record._replace(error=reason)
        self._adapt(leg, order, decision, now)
        self._schedule(leg, reason, decision)

    def _record_refusal(self, leg: Leg, order: CloseOrder, answer: VenueAnswer) -> None:
        now = asyncio.get_running_loop().time()
        self._state.wrote()
        self._state.legs[leg] = after_refusal(
            self._state.legs[leg], order.client_order_id, answer, now
        )
        self._recorder.event(events.order_refused(order, answer))

    def _record_unknown(self, leg: Leg, order: CloseOrder, answer: VenueAnswer) -> None:
        now = asyncio.get_running_loop().time()
        self._state.wrote()
        self._state.legs[leg] = after_refusal(
            self._state.legs[leg], order.client_order_id, answer, now
        )
        self._recorder.event(events.order_unknown(order, answer))

    def _not_sent(self, leg: Leg, order: CloseOrder) -> None:
        """Take back an intent that the gate did not let pass."""
        record = self._state.legs[leg]
        self._state.legs[leg] = record._replace(
            sent=tuple(o for o in record.sent if o.client_order_id != order.client_order_id),
            unresolved=tuple(i for i in record.unresolved if i != order.client_order_id),
            attempts=record.attempts - 1,
            error=record.error or _NO_ROOM,
            not_before=asyncio.get_running_loop().time() + NO_ROOM_PAUSE_S,
        )
        why = "not sent: no order may leave any more"
        self._recorder.event(events.order_refused(order, why))
