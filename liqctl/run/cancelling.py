"""Cancels: sent once recorded, never trusted until a list confirms them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from liqctl.kernel import events
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.ledger import OrderRecord
from liqctl.kernel.pacing import RELIST_MAX_S, RELIST_S
from liqctl.kernel.plan import SymbolPlan
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange
from liqctl.kernel.protection import is_protective
from liqctl.kernel.retry import Reaction, decide_cancel
from liqctl.kernel.values import OpenOrder, OrderKind
from liqctl.run.gate import Gate, Halted
from liqctl.run.reading import Reader
from liqctl.run.recorder import Recorder
from liqctl.run.state import RunState
from liqctl.run.together import together

_ONE: Final = {
    OrderKind.REGULAR: Endpoint.CANCEL_ORDER,
    OrderKind.ALGO: Endpoint.CANCEL_ALGO_ORDER,
}
_BOOK: Final = {
    Endpoint.CANCEL_ORDERS: OrderKind.REGULAR,
    Endpoint.CANCEL_ALGO_ORDERS: OrderKind.ALGO,
}
_DEFINITE: Final = frozenset({AnswerKind.DONE, AnswerKind.REJECTED, AnswerKind.LEG_FATAL})
_BATCH_FAILED: Final = -2012
_SHOWN: Final = "a list shows a position that it may protect"


class Canceller:
    """Carries out the cancels of a plan."""

    def __init__(
        self,
        exchange: Exchange,
        gate: Gate,
        reader: Reader,
        state: RunState,
        recorder: Recorder,
        policy: LiquidationConfig,
        rng: random.Random,
    ) -> None:
        """Cancel through the gate and note the answers in the state."""
        self._exchange = exchange
        self._gate = gate
        self._reader = reader
        self._state = state
        self._recorder = recorder
        self._policy = policy
        self._rng = rng

    async def cancel(self, plan: SymbolPlan) -> None:
        """Send every cancel of one symbol in parallel; returns when all are answered or cut."""
        symbol, planned_at = plan.symbol, asyncio.get_running_loop().time()

        async def cancel_algo_orders(timeout_s: float) -> None:
            # It may have waited for the venue's limits, and a list be there that nobody weighed.
            shown = self._reader.shown.items()
            if any(leg.symbol == symbol and at > planned_at for leg, (at, _) in shown):
                raise Halted(_SHOWN)
            await self._exchange.cancel_algo_orders(symbol, timeout_s=timeout_s)

        jobs: list[Awaitable[None]] = []
        if plan.cancel_regular:
            jobs.append(
                self._send(
                    plan,
                    plan.regular,
                    Endpoint.CANCEL_ORDERS,
                    lambda s: self._exchange.cancel_orders(symbol, timeout_s=s),
                )
            )
        if plan.cancel_all_algo:
            jobs.append(
                self._send(
                    plan,
                    plan.swept,
                    Endpoint.CANCEL_ALGO_ORDERS,
                    cancel_algo_orders,
                )
            )
        jobs.extend(self._cancel_one(plan, order) for order in plan.alone)
        await together(jobs)

    def _cancel_one(self, plan: SymbolPlan, order: OpenOrder) -> Awaitable[None]:
        planned_at = asyncio.get_running_loop().time()

        async def call(timeout_s: float) -> None:
            shown_at, position = self._reader.shown.get(order.leg, (planned_at, None))
            is_later = position is not None and shown_at > planned_at
            if position and is_later and is_protective(order, {order.leg: position}):
                raise Halted(_SHOWN)
            await self._exchange.cancel_order(order, timeout_s=timeout_s)

        return self._send(plan, (order,), _ONE[order.kind], call)

    async def _send(
        self,
        plan: SymbolPlan,
        orders: tuple[OpenOrder, ...],
        endpoint: Endpoint,
        call: Callable[[float], Awaitable[None]],
    ) -> None:
        if not (self._gate.may_write or plan.is_sweep):
            return
        sent = events.cancel_sent(plan.symbol, endpoint, orders, is_sweep=plan.is_sweep)
        self._recorder.event(sent)
        for order in orders:
            self._update(order, lambda r: r._replace(cancel_sent=True, tries=r.tries + 1))
        await self._recorder.durable()
        if plan.is_sweep:
            self._state.sweeps(plan.symbol, _BOOK[endpoint])
        try:
            await self._gate.write(endpoint, call, resync=True, is_last=plan.is_sweep)
        except Halted as halted:
            why = str(halted) or "the run may send nothing more"
            self._recorder.event(events.cancel_refused(sent, f"not sent: {why}"))
            self._not_sent(plan, orders, endpoint)
            return
        except VenueError as error:
            answer = error.answer
            self._recorder.event(events.cancel_refused(sent, answer))
            self._state.wrote(is_sweep=plan.is_sweep)
            self._refused(orders, answer, is_whole_book=endpoint in _BOOK)
            self._note_failed_sweep(plan, endpoint, answer)
        else:
            self._recorder.event(events.cancel_answered(sent))
            self._state.wrote(is_sweep=plan.is_sweep)
            self._cancelled(orders)
            if plan.is_sweep:
                self._state.note_swept(plan.symbol, _BOOK[endpoint])

    def _not_sent(
        self, plan: SymbolPlan, orders: tuple[OpenOrder, ...], endpoint: Endpoint
    ) -> None:
        for order in orders:
            self._update(order, lambda r: r._replace(cancel_sent=False))
        if plan.is_sweep:
            self._state.note_unswept(plan.symbol, _BOOK[endpoint])

    def _note_failed_sweep(self, plan: SymbolPlan, endpoint: Endpoint, answer: VenueAnswer) -> None:
        """Note whether a last cancel without success is the venue's word."""
        if not plan.is_sweep:
            return
        book = plan.symbol, _BOOK[endpoint]
        if answer.kind is AnswerKind.DONE:
            self._state.note_swept(*book)
        elif _is_definite(answer):
            self._state.refused_sweeps.add(book)
        elif answer.kind is not AnswerKind.UNKNOWN:
            self._state.note_unswept(*book)

    def _cancelled(self, orders: tuple[OpenOrder, ...]) -> None:
        """Note the venue's word; an order that is listed later all the same is cancelled singly."""
        now = asyncio.get_running_loop().time()
        for order in orders:
            self._update(
                order,
                lambda r: r._replace(
                    cancelled_at=now,
                    error=None,
                    repeats=0,
                    tries=0,
                    relists=r.relists + 1,
                    singly=True,
                    not_before=now + relist_s(r.relists + 1),
                ),
            )

    def _refused(
        self, orders: tuple[OpenOrder, ...], answer: VenueAnswer, *, is_whole_book: bool
    ) -> None:
        """Note the refusal; the next reading shows whether the orders are gone all the same."""
        now = asyncio.get_running_loop().time()
        for order in orders:
            record = self._state.orders.get(order.key)
            if record is None:
                continue
            if is_whole_book and _is_definite(answer) and not record.singly:
                # By its own id, and at once: the whole book's cancel can be out of order alone.
                self._state.orders[order.key] = record._replace(error=answer, singly=True)
                continue
            decision = decide_cancel(
                answer,
                tries=record.tries,
                repeats=record.repeats,
                repeats_max=self._policy.max_retries,
                base_s=self._policy.retry_delay_seconds,
                jitter=self._rng.uniform(-1, 1),
            )
            match decision.reaction:
                case Reaction.LOOK_UP:
                    self._state.orders[order.key] = record._replace(
                        relists=record.relists + 1,
                        not_before=now + relist_s(record.relists + 1),
                    )
                    continue
                case Reaction.GIVE_UP:
                    not_before = now
                case Reaction.PAUSE:
                    not_before = self._gate.paused_until
                case _:
                    not_before = now + decision.backoff_s
                    self._state.retries += 1
            self._state.orders[order.key] = record._replace(
                error=answer,
                repeats=record.repeats + int(decision.counts),
                not_before=not_before,
                given_up=decision.reaction is Reaction.GIVE_UP,
            )

    def give_up(self, symbol: str, why: str) -> None:
        """End one symbol's cancels for a fault of our own; the others go on."""
        answer = VenueAnswer(kind=AnswerKind.LEG_FATAL, message=why)
        for key, record in self._state.orders.items():
            if key[0] == symbol and record.present:
                self._state.orders[key] = record._replace(error=answer, given_up=True)

    def _update(self, order: OpenOrder, change: Callable[[OrderRecord], OrderRecord]) -> None:
        record = self._state.orders.get(order.key)
        if record is not None:
            self._state.orders[order.key] = change(record)


def relist_s(relists: int) -> float:
    """Return how long to wait before an order that is still listed is cancelled again.

    A cancel is answered before it is finished, and lists show closed orders for up to 2 s.
    """
    return min(RELIST_S * relists, RELIST_MAX_S)


def _is_definite(answer: VenueAnswer) -> bool:
    """Whether the venue has understood a book's cancel and refused it: again is of no use."""
    return answer.kind in _DEFINITE or answer.code == _BATCH_FAILED
