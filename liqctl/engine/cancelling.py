"""Cancels: sent once recorded, never trusted until a list confirms them."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from liqctl.domain.account import OpenOrder
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.endpoints import Endpoint
from liqctl.domain.errors import VenueError
from liqctl.domain.events import AuditEventType
from liqctl.engine.gate import Gate, Halted
from liqctl.engine.recorder import Recorder
from liqctl.engine.state import RunState
from liqctl.engine.together import together
from liqctl.planning.plan import SymbolPlan
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.retry import backoff_s
from liqctl.ports import Exchange

_RELIST_S: Final = 0.25
_RELIST_MAX_S: Final = 1.0
_TRIGGERING: Final = -4117
_INVALID_SYMBOL: Final = -1121

_IDS_PER_EVENT_MAX: Final = 200


class Canceller:
    """Carries out the cancels of a plan."""

    def __init__(
        self,
        exchange: Exchange,
        gate: Gate,
        state: RunState,
        recorder: Recorder,
        policy: LiquidationConfig,
        rng: random.Random,
    ) -> None:
        """Cancel through the gate and note the answers in the state."""
        self._exchange = exchange
        self._gate = gate
        self._state = state
        self._recorder = recorder
        self._policy = policy
        self._rng = rng

    async def cancel(self, plan: SymbolPlan) -> None:
        """Send every cancel of one symbol in parallel; returns when all are answered or cut."""
        symbol = plan.symbol
        jobs: list[Awaitable[None]] = []
        if plan.cancel_regular:
            jobs.append(
                self._send(
                    symbol,
                    plan.regular,
                    Endpoint.CANCEL_ORDERS,
                    lambda s: self._exchange.cancel_orders(symbol, timeout_s=s),
                )
            )
        if plan.cancel_all_algo:
            jobs.append(
                self._send(
                    symbol,
                    plan.swept,
                    Endpoint.CANCEL_ALGO_ORDERS,
                    lambda s: self._exchange.cancel_algo_orders(symbol, timeout_s=s),
                )
            )
        jobs.extend(self._cancel_one(order) for order in plan.cancel_algo)
        await together(jobs)

    def _cancel_one(self, order: OpenOrder) -> Awaitable[None]:
        return self._send(
            order.symbol,
            (order,),
            Endpoint.CANCEL_ALGO_ORDER,
            lambda s: self._exchange.cancel_order(order, timeout_s=s),
        )

    async def _send(
        self,
        symbol: str,
        orders: tuple[OpenOrder, ...],
        endpoint: Endpoint,
        call: Callable[[float], Awaitable[None]],
    ) -> None:
        if not self._gate.may_write:
            return
        details: dict[str, object] = {
            "symbol": symbol,
            "endpoint": f"{endpoint.value.method} {endpoint.value.path}",
            "order_ids": [order.order_id for order in orders[:_IDS_PER_EVENT_MAX]],
        }
        self._recorder.event(AuditEventType.ORDER_CANCEL_SENT, details)
        self._update(orders, cancel_sent=True)
        await self._recorder.durable()
        try:
            await self._gate.write(endpoint, call, resync=True)
        except Halted:
            self._recorder.event(
                AuditEventType.ORDER_CANCEL_REJECTED,
                {**details, "message": "not sent: the run may send nothing more"},
            )
            self._update(orders, cancel_sent=False)
        except VenueError as error:
            self._state.wrote()
            self._refused(orders, error.answer, details)
        else:
            self._state.wrote()
            now = asyncio.get_running_loop().time()
            self._recorder.event(AuditEventType.ORDER_CANCELLED, details)
            for order in orders:
                record = self._state.orders.get(order.key)
                if record is not None:
                    relists = record.relists + 1
                    self._state.orders[order.key] = record._replace(
                        cancelled_at=now,
                        error=None,
                        relists=relists,
                        not_before=now + relist_s(relists),
                    )

    def _refused(
        self, orders: tuple[OpenOrder, ...], answer: VenueAnswer, details: dict[str, object]
    ) -> None:
        """Note the refusal; the next reading shows whether the orders are gone all the same."""
        now = asyncio.get_running_loop().time()
        self._recorder.event(
            AuditEventType.ORDER_CANCEL_REJECTED,
            {**details, **describe(answer)},
        )
        if answer.kind is AnswerKind.RUN_FATAL:
            self._gate.fatal = answer
        if answer.kind is AnswerKind.UNKNOWN:
            self._state.doubt = True
        for order in orders:
            record = self._state.orders.get(order.key)
            if record is None:
                continue
            if answer.kind is AnswerKind.DONE or answer.code == _TRIGGERING:
                # Not open any more, it says: the list decides, and lists can be late.
                relists = record.relists + 1
                self._state.orders[order.key] = record._replace(
                    relists=relists, not_before=now + relist_s(relists)
                )
                continue
            repeats = record.repeats + 1
            wait_s = backoff_s(self._policy.retry_delay_seconds, repeats, self._rng.uniform(-1, 1))
            given_up = repeats > self._policy.max_retries or answer.code == _INVALID_SYMBOL
            if not given_up:
                self._state.retries += 1
            self._state.orders[order.key] = record._replace(
                error=answer,
                repeats=repeats,
                not_before=now + wait_s,
                given_up=given_up,
            )

    def _update(self, orders: tuple[OpenOrder, ...], **changes: object) -> None:
        for order in orders:
            record = self._state.orders.get(order.key)
            if record is not None:
                self._state.orders[order.key] = record._replace(**changes)  # type: ignore[arg-type]


def relist_s(relists: int) -> float:
    """Return how long to wait before an order that is still listed is cancelled again.

    A cancel is answered before it is finished, and lists show closed orders for up to 2 s.
    """
    return min(_RELIST_S * relists, _RELIST_MAX_S)


def describe(answer: VenueAnswer) -> dict[str, object]:
    """Return the details that an event keeps of a refusal."""
    return {
        "kind": answer.kind.value,
        "code": answer.code,
        "http_status": answer.status,
        "message": answer.message,
    }
