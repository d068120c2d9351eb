"""Cancels: sent once recorded, never trusted until a list confirms them."""

from collections.abc import Callable
from typing import Final

from liqctl.kernel import events, requests
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.ledger import OrderRecord, after_cancel_refused, after_cancelled
from liqctl.kernel.limits import Halted
from liqctl.kernel.plan import SymbolPlan
from liqctl.kernel.protection import is_protective
from liqctl.kernel.reading import Reader
from liqctl.kernel.requests import Request
from liqctl.kernel.retry import is_final_refusal
from liqctl.kernel.state import RunState
from liqctl.kernel.values import (
    OpenOrder,
    OrderKind,
)

_SHOWN: Final = "a list shows a position that it may protect"


class Cancels:
    """Carries out the cancels of a plan."""

    def __init__(self, state: RunState, reader: Reader, jitter: Callable[[], float]) -> None:
        """Note the answers in the state; the reader tells what lists showed meanwhile."""
        self._state = state
        self._machine = state.machine
        self._reader = reader
        self._jitter = jitter

    async def cancel(self, plan: SymbolPlan) -> None:
        """Send every cancel of one symbol in parallel; returns when all are answered or cut."""
        planned_at = self._machine.now
        shown = self._reader.shown

        # It may wait for the venue's limits, and a list be there then that nobody weighed.
        def veto_book() -> str | None:
            at = max((at for leg, (at, _) in shown.items() if leg.symbol == plan.symbol), default=0)
            return _SHOWN if at > planned_at else None

        def veto_one(order: OpenOrder) -> Callable[[], str | None]:
            def veto() -> str | None:
                at, position = shown.get(order.leg, (planned_at, None))
                if position is None or at <= planned_at:
                    return None
                return _SHOWN if is_protective(order, {order.leg: position}) else None

            return veto

        jobs = []
        if plan.cancel_regular:
            request = requests.cancel_book(OrderKind.REGULAR, plan.symbol)
            jobs.append(self._send(plan, plan.regular, request, OrderKind.REGULAR))
        if plan.cancel_all_algo:
            request = requests.cancel_book(OrderKind.ALGO, plan.symbol)
            jobs.append(self._send(plan, plan.swept, request, OrderKind.ALGO, veto_book))
        for order in plan.alone:
            request = requests.cancel_one(order)
            jobs.append(self._send(plan, (order,), request, None, veto_one(order)))
        await self._machine.together(jobs)

    async def _send(
        self,
        plan: SymbolPlan,
        orders: tuple[OpenOrder, ...],
        request: Request[None],
        book: OrderKind | None,
        veto: Callable[[], str | None] | None = None,
    ) -> None:
        """Cancel a whole book, or with None one order."""
        machine, state = self._machine, self._state
        if not (machine.may_write or plan.is_sweep):
            return
        sent = events.cancel_sent(plan.symbol, request.endpoint, orders, is_sweep=plan.is_sweep)
        machine.note(sent)
        self._update(orders, lambda r: r._replace(cancel_sent=True, tries=r.tries + 1))
        await machine.on_disk()
        swept = (plan.symbol, book) if plan.is_sweep and book is not None else None
        if swept is not None:
            state.sweeps(*swept)
        answer = await machine.write(request, is_last=plan.is_sweep, veto=veto)
        if isinstance(answer, Halted):
            machine.note(events.cancel_refused(sent, f"not sent: {answer.message}"))
            self._update(orders, lambda r: r._replace(cancel_sent=False))
            if swept is not None:
                state.note_unswept(*swept)
            return
        state.wrote(is_sweep=plan.is_sweep)
        if answer is None:
            machine.note(events.cancel_answered(sent))
            self._update(orders, lambda r: after_cancelled(r, machine.now))
            if swept is not None:
                state.note_swept(*swept)
            return
        machine.note(events.cancel_refused(sent, answer))
        self._update(orders, lambda r: self._refused(r, answer, is_whole_book=book is not None))
        if swept is not None:
            # Whether a last cancel without success is the venue's word.
            if answer.kind is AnswerKind.DONE:
                state.note_swept(*swept)
            elif is_final_refusal(answer):
                state.refused_sweeps.add(swept)
            elif answer.kind is not AnswerKind.UNKNOWN:
                state.note_unswept(*swept)

    def _refused(
        self, record: OrderRecord, answer: VenueAnswer, *, is_whole_book: bool
    ) -> OrderRecord:
        refused, is_repeated = after_cancel_refused(
            record,
            answer,
            is_whole_book=is_whole_book,
            policy=self._state.policy,
            jitter=self._jitter(),
            paused_until=self._machine.limits.paused_until,
            at=self._machine.now,
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
        self, orders: tuple[OpenOrder, ...], change: Callable[[OrderRecord], OrderRecord]
    ) -> None:
        for order in orders:
            record = self._state.orders.get(order.key)
            if record is not None:
                self._state.orders[order.key] = change(record)
