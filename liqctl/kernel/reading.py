"""Readings of the account: three lists in parallel, each with a second way when it fails.

Positions fall back from `v3/positionRisk` to `v3/account`; a whole-account order list falls back
to one list per symbol known to matter. A list that covers only some symbols is never complete.

Beside the lists two questions are asked: what kind of account this is, and whether the venue knows
the symbols. Each has three ends: yes, no, and not answered. Nothing that is open waits for them,
and nothing is called flat before they are answered.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.answers import AnswerKind, VenueAnswer, not_sent, unreadable_rows
from liqctl.kernel.costs import look_weight, positions_weight
from liqctl.kernel.gateway import Account, Gateway
from liqctl.kernel.machine import Exchange, Machine, Task
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import Request
from liqctl.kernel.states import Product
from liqctl.kernel.values import (
    BOOKS,
    Leg,
    MarketRules,
    OpenOrder,
    OrderKind,
    Position,
    Reading,
    Rows,
    Snapshot,
    joined,
)

T = TypeVar("T")

NOTHING_READ: Final = Snapshot(
    positions=Reading(complete=False),
    regular_orders=Reading(complete=False),
    algo_orders=Reading(complete=False),
    started_at=float("-inf"),
    finished_at=float("-inf"),
)
"""What is known of an account before its first reading."""

NOT_ASKED: Final[Reading[OpenOrder]] = Reading(
    complete=False,
    error=not_sent(
        "the address' request weight was needed for the proof of accounts with more open"
    ),
)

_INVALID_SYMBOL: Final = -1121
"""A list narrowed to one symbol is refused like this where the venue does not know the symbol."""


_USUAL_SIZES: Final = {True: Decimal(100), False: Decimal(10)}
"""What a contract of COIN-M is worth in dollars, on bitcoin and on other coins: for the order of
closing until exchangeInfo has said it."""


class Reader:
    """Reads snapshots of what the policy has in scope of one product."""

    def __init__(self, gateway: Gateway, policy: LiquidationConfig) -> None:
        self.rules: Mapping[str, MarketRules] = {}
        self.shown: dict[Leg, tuple[float, Position]] = {}
        """What the lists of positions showed open, and when the last of them was answered."""
        self.gateway = gateway
        self._sizing: Task[object] | None = None
        self._narrow = policy.symbols if len(policy.symbols) <= pacing.NARROW_SYMBOLS_MAX else ()

    async def snapshot(
        self, known_symbols: Iterable[str], *, both_sources: bool = False, is_brief: bool = False
    ) -> Snapshot:
        """Return one reading; `known_symbols` are listed one by one if the whole list fails.

        A brief one asks for the positions only: the order lists cost eight times as much.

        A key that everything refuses may be that of an account in portfolio margin: that is asked
        first. What was read before the kind of account was known to be another one is read anew.
        """
        gateway, account = self.gateway, self.gateway.account
        symbols = tuple(sorted(set(known_symbols)))[: pacing.FALLBACK_SYMBOLS_MAX]
        while True:
            started_at, margin = gateway.now, account.margin
            positions = gateway.spawn(self.positions(both_sources=both_sources))
            asked = () if is_brief else BOOKS
            books = [gateway.spawn(self._orders(kind, symbols)) for kind in asked]
            await gateway.finish([positions, *books])
            regular, algo = [each.value for each in books] or [NOT_ASKED] * len(BOOKS)
            snapshot = Snapshot(
                positions=positions.value,
                regular_orders=regular,
                algo_orders=algo,
                started_at=started_at,
                finished_at=gateway.now,
                product=gateway.product,
                margin=margin,
                is_brief=is_brief,
            )
            if not account.is_kind_known and snapshot.may_be_portfolio:
                await account.ask_kind(gateway, until=gateway.now + gateway.call_max_s)
            if account.margin is margin:
                return snapshot

    async def positions(self, *, both_sources: bool = False) -> Reading[Position]:
        """Return the positions alone.

        The second source is asked where the first one fails or has a row that cannot be read, or at
        the same time: then what either shows is open. The first one of COIN-M hides contracts that
        are not trading, so there both are always asked.
        """
        product = self.gateway.product
        second = requests.account_positions(product)
        is_hiding = product is Product.COINM and not self._narrow
        if both_sources or is_hiding:
            work = [self._by_risk(), self._list(second)]
            by_risk, by_account = await self.gateway.together(work)
            found = _merged(by_risk, by_account)
            if is_hiding and by_risk.complete and not by_account.complete:
                # The whole list hides contracts that are not trading.
                rules = await self.fetch_rules()
                if isinstance(rules, VenueAnswer):
                    hidden: Reading[Position] = Reading(complete=False, error=rules)
                else:
                    names = sorted(name for name, its in rules.items() if its.status != "TRADING")
                    hidden = await self._each([requests.positions(product, n) for n in names])
                both = joined([found, hidden])
                found = both._replace(sources=found.sources, silent=found.silent)
        else:
            found = await self._by_risk()
            if not (found.complete or self._is_useless_to_ask_on(found.error)):
                found = _merged(found, await self._list(second))
        if product is Product.COINM:
            found = found._replace(items=tuple(map(self._sized, found.items)))
        now = self.gateway.now
        self.shown.update({position.leg: (now, position) for position in found.items})
        return found

    async def fetch_rules(self) -> Mapping[str, MarketRules] | VenueAnswer:
        """Return the rules of every symbol, asked for unless they are known."""
        if not self.rules:
            rules = await self.gateway.ask(requests.market_rules(self.gateway.product))
            if isinstance(rules, VenueAnswer):
                return rules
            self.rules = rules
        return self.rules

    async def size(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with every contract's worth as the venue says it."""
        if self._sizing is None:
            return snapshot
        await self.gateway.wait([self._sizing])
        await self.fetch_rules()  # Once more, where no answer came.
        positions = snapshot.positions._replace(
            items=tuple(map(self._sized, snapshot.positions.items))
        )
        return snapshot._replace(positions=positions)

    def worth(self, symbol: str, contracts: Decimal) -> Decimal | None:
        """Return what contracts of COIN-M are worth in the quote asset, None if not known."""
        rules = self.rules.get(symbol)
        return contracts * rules.contract_size if rules and rules.contract_size else None

    def _sized(self, position: Position) -> Position:
        """Return a position of COIN-M with its worth, which no price changes."""
        worth = self.worth(position.symbol, position.size)
        if worth is None and not position.notional:
            worth = position.size * _USUAL_SIZES[position.symbol.startswith("BTCUSD")]
            if self._sizing is None or (self._sizing.is_done and not self.rules):
                self._sizing = self.gateway.spawn(self.fetch_rules())
        return position if worth is None else position._replace(notional=worth)

    async def _by_risk(self) -> Reading[Position]:
        product = self.gateway.product
        if self._narrow:
            return await self._each([requests.positions(product, one) for one in self._narrow])
        return await self._list(requests.positions(product))

    async def _orders(self, kind: OrderKind, symbols: tuple[str, ...]) -> Reading[OpenOrder]:
        def of(symbol: str | None) -> Request[Rows[OpenOrder]]:
            return requests.open_orders(self.gateway.product, kind, symbol)

        if self._narrow:
            parts = await self._each(list(map(of, self._narrow)))
            if parts.complete or parts.sources or self._is_useless_to_ask_on(parts.error):
                return parts
            everything = await self._list(of(None))
            return everything if everything.complete else parts
        everything = await self._list(of(None))
        if everything.complete or not symbols or self._is_useless_to_ask_on(everything.error):
            return everything
        parts = await self._each(list(map(of, symbols)))
        known = {order.key for order in everything.items}
        new = tuple(order for order in parts.items if order.key not in known)
        return everything._replace(items=everything.items + new)

    async def _each(self, lists: Sequence[Request[Rows[T]]]) -> Reading[T]:
        found = joined(await self.gateway.together([self._list(request) for request in lists]))
        return found._replace(sources=found.sources - found.silent)

    async def _list(self, request: Request[Rows[T]]) -> Reading[T]:
        request = self.gateway.addressed(request)
        source = frozenset({request.spec.source})
        rows = await self.gateway.ask(request)
        if isinstance(rows, VenueAnswer):
            return Reading(complete=False, error=rows, silent=source)
        trouble = unreadable_rows(rows.unreadable) if rows.unreadable else None
        return Reading(items=rows.items, complete=trouble is None, error=trouble, sources=source)

    def _is_useless_to_ask_on(self, error: VenueAnswer | None) -> bool:
        """Whether the venue would refuse the second way too, and count it against us."""
        if error is None:
            return False
        is_known = self.gateway.budget.is_key_accepted
        return error.is_rate_limit or (error.kind is AnswerKind.RUN_FATAL and not is_known)


def _merged(first: Reading[Position], second: Reading[Position]) -> Reading[Position]:
    """Return what two sources of one list show together.

    Either alone completes the list, unless the other one answered with a row that could not be
    read. Where both show a leg, the first one's row counts.
    """
    legs = {position.leg for position in first.items}
    one_is_torn = any(r.sources and not r.complete for r in (first, second))
    complete = (first.complete or second.complete) and not one_is_torn
    return Reading(
        items=first.items + tuple(p for p in second.items if p.leg not in legs),
        complete=complete,
        error=None if complete else first.error or second.error,
        sources=first.sources | second.sources,
        silent=first.silent | second.silent,
    )


async def ask_unknown_symbols(reader: Reader, symbols: Sequence[str]) -> tuple[str, ...] | None:
    """Return which of the symbols the venue does not list, None when it did not answer."""
    rules = await reader.fetch_rules()
    if isinstance(rules, VenueAnswer):
        return None
    return tuple(symbol for symbol in symbols if symbol not in rules)


def asks_executions(exchange: Exchange, policy: LiquidationConfig) -> bool:
    """Whether executions are in scope, and there is a spot host to ask for them."""
    is_in_scope = Product.USDM in policy.by_product and policy.cancel_orders
    return is_in_scope and exchange.serves(requests.EXECUTIONS.spec.api)


class Questions:
    """What one run asks after its first reading, again until it is answered."""

    def __init__(
        self, reader: Reader, policy: LiquidationConfig, firsts: Sequence[Task[Snapshot]]
    ) -> None:
        """Ask nothing yet; `firsts` are the first readings of all products."""
        self.unknown_symbols: tuple[str, ...] | None = ()
        self._gateway = reader.gateway
        self._reader = reader
        self._firsts = firsts
        self._symbols = policy.symbols
        self._unseen: tuple[str, ...] = ()
        self._tasks: list[Task[Any]] = []

    def begin(self, first: Snapshot) -> None:
        """Ask what the first reading leaves open: a symbol with something open is known."""
        seen = first.symbols
        self._unseen = tuple(symbol for symbol in self._symbols if symbol not in seen)
        if len(self._unseen) == 1 and any(e.code == _INVALID_SYMBOL for e in first.errors):
            self.unknown_symbols = self._unseen
        elif self._unseen:
            self.unknown_symbols = None
            self._tasks.append(self._gateway.spawn(self._ask_symbols()))
        if seen:
            self._gateway.account.know()
        else:
            # An account in portfolio margin may look like this here, whatever it holds.
            self._tasks.append(self._gateway.spawn(self._ask_kind()))

    @property
    def unanswered(self) -> str | None:
        """What the venue has not said, in words; None when it has answered everything."""
        if self.unknown_symbols is None:
            return f"the venue did not say whether it knows {', '.join(self._unseen)}"
        if not self._gateway.account.is_kind_known:
            return (
                "the venue did not say whether this account is in portfolio margin, where nothing "
                "is shown here"
            )
        return None

    async def answered(self, *, timeout_s: float) -> None:
        """Wait until everything asked is answered, no longer than `timeout_s`."""
        await self._gateway.wait(self._tasks, until=self._gateway.now + timeout_s)

    def end(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            self._gateway.end(task)

    async def _ask_symbols(self) -> None:
        while self.unknown_symbols is None:
            self.unknown_symbols = await ask_unknown_symbols(self._reader, self._unseen)
            if self.unknown_symbols is None:
                await self._gateway.sleep(pacing.QUESTION_GAP_S)

    async def _ask_kind(self) -> None:
        # What another product shows answers it.
        await self._gateway.wait(self._firsts)
        shown = [task.value for task in self._firsts if task.is_done and not task.error]
        if any(first.symbols for first in shown):
            self._gateway.account.know()
        await self._gateway.account.ask_kind(self._gateway, until=self._gateway.deadline.ends)


class AccountReaders:
    """A gateway and a reader for each product in scope."""

    def __init__(self, machine: Machine, policy: LiquidationConfig) -> None:
        self.policies = policy.by_product
        machine.budget.look, machine.budget.proof = positions_weight(policy), look_weight(policy)
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
            delay_s=pacing.ORDERS_FIRST_S if mirrored else 0.0,
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
