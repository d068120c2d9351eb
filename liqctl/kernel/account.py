"""One account: its products side by side, the algorithms beside them, one verdict.

Each product has a liquidation of its own (`liqctl.kernel.rounds`) and waits for no other; what they
have in common is the deadline, the limits, the clock and the kind of account. The account is flat
when every product is proven flat by readings that began after the last answer to anything sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from liqctl.kernel import pacing
from liqctl.kernel.executions import Executions
from liqctl.kernel.left_over import LeftOver, read_left_over
from liqctl.kernel.machine import Task
from liqctl.kernel.outcome import Ending, Outcome, together
from liqctl.kernel.readers import AccountReaders
from liqctl.kernel.rounds import Liquidation
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import Snapshot

_WORST_FIRST: Final = (
    Ending.UNKNOWN_SYMBOL,
    Ending.INTERRUPTED,
    Ending.DEADLINE,
    Ending.STOPPED,
    Ending.NOTHING_LEFT_TO_TRY,
    Ending.FLAT,
)


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
                reader.gateway,
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
        try:
            return await self._converge_all()
        finally:
            self._machine.budget.share.is_over = True

    async def _converge_all(self) -> Ending:
        machine = self._machine
        executing = machine.spawn(self._executions.end_all()) if self._executions else Task(None)
        again = tuple(self._products)
        while again:
            await machine.together([self._converge(product) for product in again])
            # One may have been proven before another's last answer, by readings of that moment.
            is_flat = set(self._endings.values()) == {Ending.FLAT}
            again = tuple(p for p in self._products if is_flat and self._products[p].is_stale)
        machine.end(executing)
        if self._account.margin is Margin.PORTFOLIO:
            until = min(machine.now + pacing.LEFT_OVER_MAX_S, machine.deadline.ends)
            reading = machine.spawn(read_left_over(self._gateway))
            await machine.wait([reading], until=until)
            machine.end(reading)
            self._left_over = reading.result
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
            self._account.note_over(product)
