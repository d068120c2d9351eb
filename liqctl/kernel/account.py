"""One account: its products side by side, the algorithms beside them, one verdict.

Each product has a liquidation of its own (`liqctl.kernel.rounds`) and waits for no other; what they
have in common is the deadline, the limits, the clock and the kind of account. The account is flat
when every product is proven flat by readings that began after the last answer to anything sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from liqctl.kernel import events, pacing, requests
from liqctl.kernel.answers import VenueAnswer
from liqctl.kernel.gateway import Gateway, Halted
from liqctl.kernel.ledger import OrderRecord
from liqctl.kernel.machine import Task
from liqctl.kernel.outcome import Ending, Outcome, together
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.reading import AccountReaders
from liqctl.kernel.requests import Balances
from liqctl.kernel.result import LeftOver
from liqctl.kernel.retry import is_final_refusal
from liqctl.kernel.rounds import Liquidation
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import OpenOrder, OrderKind, Snapshot

_WORST_FIRST: Final = (
    Ending.UNKNOWN_SYMBOL,
    Ending.INTERRUPTED,
    Ending.DEADLINE,
    Ending.STOPPED,
    Ending.NOTHING_LEFT_TO_TRY,
    Ending.FLAT,
)


_PAIRS_MAX: Final = 5
"""Pairs whose margin orders are asked for: each costs a request, and the run is over."""


class AccountLiquidation:
    """The liquidation of one account; `converge` is the procedure, `outcome` what is known."""

    def __init__(
        self,
        desk: AccountReaders,
        firsts: Mapping[Product, Task[Snapshot]],
        *,
        order_tags: Mapping[Product, str],
        jitter: Callable[[], float],
        has_executions: bool,
    ) -> None:
        """Go on from the first readings, which are under way; nothing is sent before `converge`.

        `order_tags` mark the run's client order ids, another for each product; `jitter` gives a
        number from -1 to 1 for each backoff. With `has_executions` the spot host is asked for them.
        """
        self._account = desk.account
        self._gateway = desk.gateway
        self._machine = desk.account.machine
        self._products = {
            product: Liquidation(
                reader,
                firsts,
                desk.policies[product],
                order_tag=order_tags[product],
                jitter=jitter,
            )
            for product, reader in desk.readers.items()
        }
        self._executions: Executions | None = None
        if has_executions:
            gateway, policy = desk.readers[Product.USDM].gateway, desk.policies[Product.USDM]
            on_answer = self._products[Product.USDM].note_write
            self._executions = Executions(gateway, policy, on_answer)
        self._endings: dict[Product, Ending] = {}
        self._left_over: LeftOver | None = None

    async def converge(self) -> Ending:
        """Work until every product is proven flat, or is as far as it gets."""
        machine = self._machine
        executing = machine.spawn(self._executions.end_all()) if self._executions else Task(None)
        again = tuple(self._products)
        try:
            while again:
                await machine.together([self._converge(product) for product in again])
                # One may have been proven before another's last answer, by readings of then.
                is_flat = set(self._endings.values()) == {Ending.FLAT}
                again = tuple(p for p in self._products if is_flat and self._products[p].is_stale)
            machine.end(executing)
            if self._account.margin is Margin.PORTFOLIO:
                until = min(machine.now + pacing.LEFT_OVER_MAX_S, machine.deadline.ends)
                reading = machine.spawn(_read_left_over(self._gateway))
                await machine.wait([reading], until=until)
                machine.end(reading)
                self._left_over = reading.result
        finally:
            machine.budget.is_over = True
        ending = min(self._endings.values(), key=_WORST_FIRST.index)
        is_executing = self._executions is not None and self._executions.running
        return Ending.NOTHING_LEFT_TO_TRY if ending is Ending.FLAT and is_executing else ending

    async def settle_prices(self) -> None:
        """Wait briefly for the prices that were asked for alongside the last readings."""
        await self._machine.together(
            [each.side.settle_prices() for each in self._products.values()]
        )

    def outcome(self) -> Outcome:
        """Return what is known of the account at this moment, as a value that no longer changes."""
        parts = [each.outcome() for each in self._products.values()]
        known = parts[0] if len(parts) == 1 else together(parts)
        executions = self._executions
        return replace(
            known,
            products=tuple(self._products),
            proven=tuple(p for p, ending in self._endings.items() if ending is Ending.FLAT),
            margin=self._account.margin,
            orders=known.orders + (tuple(executions.records.values()) if executions else ()),
            unread_beside=executions.unread if executions else (),
            left_over=self._left_over,
        )

    async def _converge(self, product: Product) -> None:
        try:
            self._endings[product] = await self._products[product].converge()
        finally:
            # Nobody needs to wait for it any more.
            self._account.working.drop(product)
            self._account.unproven.drop(product)


class Executions:
    """The venue's own execution algorithms (TWAP, VP): listed beside the readings, and cancelled.

    They place orders by themselves, so one that runs opens positions again after everything was
    closed. They live on the spot host, which a run never needs: where it does not answer, nothing
    waits for it and the result names it as unread. What it does list has to go before the account
    is called flat.
    """

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
        return () if self.is_read else (requests.EXECUTIONS.spec.source,)

    async def end_all(self) -> None:
        """List and cancel, again and again; the run ends it."""
        account = self._gateway.account
        await self._gateway.sleep(pacing.ORDERS_FIRST_S)
        while True:
            listed = await self._gateway.ask(requests.EXECUTIONS)
            if not isinstance(listed, VenueAnswer) and not listed.unreadable:
                self.is_read = True
                covered = [each for each in listed.items if self._policy.covers(each.symbol)]
                present = {each.order_id: each for each in covered}
                for order_id, record in self.records.items():
                    is_present = order_id in present
                    self.records[order_id] = record._replace(
                        present=is_present,
                        gone=not is_present and record.cancelled_at is None,
                        seen_at=self._gateway.now,
                    )
                for order_id, order in present.items():
                    new = OrderRecord(order=order, seen_at=self._gateway.now)
                    self.records.setdefault(order_id, new)
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


async def _read_left_over(gateway: Gateway) -> LeftOver:
    """Return what a portfolio margin account holds beside its futures."""
    balances, orders = await gateway.together(
        [gateway.ask(requests.BALANCES), gateway.ask(requests.margin_orders(None))]
    )
    told = balances if isinstance(balances, Balances) else None
    is_partial = not isinstance(orders, tuple)
    if is_partial and told is not None:
        pairs = [f"{coin}USDT" for coin in told.coins if coin != "USDT"][:_PAIRS_MAX]
        answers = await gateway.together(
            [gateway.ask(requests.margin_orders(pair)) for pair in pairs]
        )
        read = [answer for answer in answers if not isinstance(answer, VenueAnswer)]
        orders = sum(read, ()) if read else orders
    return LeftOver(
        borrowed=told.borrowed if told else None,
        negative_balances=told.negative if told else None,
        locked=told.locked if told else None,
        margin_orders=orders if isinstance(orders, tuple) else None,
        is_partial=is_partial,
    )
