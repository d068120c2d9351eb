"""The readings of one account: a gateway and a reader for each product in scope.

A module of its own: a run begins to read before what decides is loaded.
"""

from collections.abc import Mapping, Sequence

from liqctl.kernel import pacing, requests
from liqctl.kernel.costs import look_weight, positions_weight
from liqctl.kernel.gateway import Account, Gateway
from liqctl.kernel.machine import Machine, Task
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.reading import Reader
from liqctl.kernel.states import Product
from liqctl.kernel.values import Snapshot


class AccountReaders:
    """A gateway and a reader for each product in scope."""

    def __init__(self, machine: Machine, policy: LiquidationConfig) -> None:
        """Read nothing yet."""
        self.policies = policy.by_product
        share = machine.budget.share
        share.look, share.proof = positions_weight(policy), look_weight(policy)
        self.account = Account(machine, self.policies, policy.margin)
        self.readers = {
            product: Reader(Gateway(self.account, product), own)
            for product, own in self.policies.items()
        }

    @property
    def gateway(self) -> Gateway:
        """The gateway of the first product, for what is no product's own."""
        return next(iter(self.readers.values())).gateway

    def begin(
        self,
        *,
        both_sources: bool = False,
        is_brief: bool | None = None,
        products: Sequence[Product] | None = None,
        delay_s: float = 0.0,
    ) -> dict[Product, Task[Snapshot]]:
        """Begin one reading of each product; a brief one also where the weight is too little."""
        is_short = not self.account.has_weight if is_brief is None else is_brief

        async def read(product: Product) -> Snapshot:
            await self.account.machine.sleep(delay_s)
            symbols = self.policies[product].symbols
            return await self.readers[product].snapshot(
                symbols, both_sources=both_sources, is_brief=is_short
            )

        wanted = self.readers if products is None else products
        return {product: self.account.machine.spawn(read(product)) for product in wanted}

    async def find_twin(self, name: str, policy: LiquidationConfig) -> str | None:
        """Return the other name, if any, under which this account is being liquidated already.

        Not waited for beyond `pacing.ALIAS_WAIT_S`: a second close of the same leg does no harm.
        """
        machine = self.account.machine
        asking = machine.spawn(self.gateway.ask(requests.ALIAS))
        await machine.wait([asking], until=machine.now + pacing.ALIAS_WAIT_S)
        machine.end(asking)
        if not isinstance(asking.result, str):
            return None
        return machine.budget.address.claim(asking.result, name, policy)

    def recall(self, mirrored: Mapping[Product, Snapshot]) -> dict[Product, Task[Snapshot]]:
        """Begin one reading of each product; what an armed process knows stands for its own."""
        firsts = self.begin(
            products=[p for p in self.readers if p not in mirrored],
            delay_s=pacing.MIRRORED_FIRST_S if mirrored else 0.0,
        )
        for product, snapshot in mirrored.items():
            task = firsts[product] = Task[Snapshot](None)
            task.result = snapshot
            self.account.machine.complete(task)
        return {product: firsts[product] for product in self.readers}

    async def read_all(
        self, *, is_brief: bool | None = None, both_sources: bool = True
    ) -> list[Snapshot]:
        """Return one reading of each product, by both sources, with what contracts are worth."""
        firsts = self.begin(both_sources=both_sources, is_brief=is_brief)
        await self.account.machine.finish(list(firsts.values()))
        return [
            await reader.size(firsts[product].value) for product, reader in self.readers.items()
        ]
