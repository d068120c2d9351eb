"""The venue's own execution algorithms (TWAP, VP): listed beside the readings, and cancelled.

They place orders by themselves, so one that runs opens positions again after everything was closed.
They live on the spot host, which a run never needs: where it does not answer, nothing waits for it
and the result names it as unread. What it does list has to go before the account is called flat.
"""

from collections.abc import Callable
from typing import Any, Final

from liqctl.kernel import events, pacing, requests
from liqctl.kernel.answers import VenueAnswer
from liqctl.kernel.gateway import Gateway
from liqctl.kernel.ledger import OrderRecord
from liqctl.kernel.limits import Halted
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange
from liqctl.kernel.retry import is_final_refusal
from liqctl.kernel.states import Product
from liqctl.kernel.values import OpenOrder, OrderKind

EXECUTIONS: Final = requests.open_orders(Product.USDM, OrderKind.EXECUTION)


def asks_executions(exchange: Exchange, policy: LiquidationConfig) -> bool:
    """Whether executions are in scope, and there is a spot host to ask for them."""
    is_in_scope = Product.USDM in policy.by_product and policy.cancel_orders
    return is_in_scope and exchange.serves(EXECUTIONS.spec.api)


class Executions:
    """The execution algorithms of one account."""

    def __init__(
        self, gateway: Gateway, policy: LiquidationConfig, on_answer: Callable[[], None]
    ) -> None:
        """Ask nothing yet; `on_answer` is called when a cancel was answered."""
        self.records: dict[str, OrderRecord] = {}
        self.is_read = False
        self._gateway = gateway
        self._policy = policy
        self._on_answer = on_answer

    @property
    def running(self) -> list[OrderRecord]:
        """Those that the last list showed."""
        return [record for record in self.records.values() if record.present]

    @property
    def unread(self) -> tuple[str, ...]:
        """The list, if it never answered."""
        return () if self.is_read else (EXECUTIONS.spec.source,)

    async def end_all(self) -> None:
        """List and cancel, again and again; the run ends it."""
        account = self._gateway.account
        while True:
            listed = await self._gateway.ask(EXECUTIONS)
            if not isinstance(listed, VenueAnswer) and not listed.unreadable:
                self.is_read = True
                self._absorb(listed.items)
            elif isinstance(listed, VenueAnswer) and is_final_refusal(listed):
                return
            due = [r for r in self.running if r.tries <= self._policy.max_retries]
            if due and self._gateway.may_write:
                account.unproven.add(OrderKind.EXECUTION)
                await self._gateway.together([self._cancel(record) for record in due])
                await self._gateway.sleep(pacing.REREAD_MIN_S)
                continue
            account.unproven.drop(OrderKind.EXECUTION)
            await self._gateway.sleep(pacing.EXECUTIONS_GAP_S)

    def _absorb(self, listed: tuple[OpenOrder, ...]) -> None:
        present = {each.order_id: each for each in listed if self._policy.covers(each.symbol)}
        now = self._gateway.now
        for order_id, record in self.records.items():
            is_gone = order_id not in present and record.cancelled_at is None
            self.records[order_id] = record._replace(
                present=order_id in present, gone=is_gone, seen_at=now
            )
        for order_id, order in present.items():
            self.records.setdefault(order_id, OrderRecord(order=order, seen_at=now))

    async def _cancel(self, record: OrderRecord) -> None:
        gateway, order = self._gateway, record.order
        self._update(order, cancel_sent=True, tries=record.tries + 1)
        request = requests.cancel_one(order)
        sent = events.cancel_sent(order.symbol, request.spec, [order], is_sweep=False)
        gateway.note(sent)
        await gateway.on_disk()
        answer = await gateway.write(request)
        if isinstance(answer, Halted):
            gateway.note(events.cancel_refused(sent, f"not sent: {answer.message}"))
            return
        self._on_answer()
        if isinstance(answer, VenueAnswer):
            gateway.note(events.cancel_refused(sent, answer))
            self._update(order, error=answer)
        else:
            gateway.note(events.cancel_answered(sent))
            self._update(order, cancelled_at=gateway.now, error=None)

    def _update(self, order: OpenOrder, **changes: Any) -> None:  # noqa: ANN401 - a record's fields
        self.records[order.order_id] = self.records[order.order_id]._replace(**changes)
