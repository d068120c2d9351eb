"""Readings of the account: three lists in parallel, each with a second way when it fails.

Positions fall back from `v3/positionRisk` to `v3/account`; a whole-account order list falls back
to one list per symbol known to matter. A list that covers only some symbols is never complete.

Beside the lists two questions are asked: what kind of account this is, and whether the venue knows
the symbols. Each has three ends: yes, no, and not answered. Nothing that is open waits for them,
and nothing is called flat before they are answered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from liqctl.kernel import pacing, requests
from liqctl.kernel.answers import AnswerKind, VenueAnswer, unreadable_rows
from liqctl.kernel.machine import Machine, Task, Work
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import Request
from liqctl.kernel.values import Leg, OpenOrder, OrderKind, Position, Reading, Rows, Snapshot

T = TypeVar("T")

NOTHING_READ: Final = Snapshot(
    positions=Reading(complete=False),
    regular_orders=Reading(complete=False),
    algo_orders=Reading(complete=False),
    started_at=float("-inf"),
    finished_at=float("-inf"),
)
"""What is known of an account before its first reading."""

_INVALID_SYMBOL: Final = -1121
"""A list narrowed to one symbol is refused like this where the venue does not know the symbol."""


class Reader:
    """Reads snapshots of what the policy has in scope."""

    def __init__(self, machine: Machine, policy: LiquidationConfig) -> None:
        self.shown: dict[Leg, tuple[float, Position]] = {}
        """What the lists of positions showed open, and when the last of them was answered."""
        self._machine = machine
        self._narrow = policy.symbols if len(policy.symbols) <= pacing.NARROW_SYMBOLS_MAX else ()

    async def snapshot(
        self, known_symbols: Iterable[str], *, both_sources: bool = False
    ) -> Snapshot:
        """Return one reading; `known_symbols` are listed one by one if the whole list fails."""
        machine = self._machine
        started_at = machine.now
        symbols = tuple(sorted(set(known_symbols)))[: pacing.FALLBACK_SYMBOLS_MAX]
        positions = machine.spawn(self.positions(both_sources=both_sources))
        books = [machine.spawn(self._orders(kind, symbols)) for kind in OrderKind]
        await machine.finish([positions, *books])
        return Snapshot(
            positions=positions.value,
            regular_orders=books[0].value,
            algo_orders=books[1].value,
            started_at=started_at,
            finished_at=machine.now,
        )

    async def positions(self, *, both_sources: bool = False) -> Reading[Position]:
        """Return the positions alone.

        The second source is asked where the first one fails or has a row that cannot be read, or at
        the same time: then what either shows is open.
        """
        second = requests.ACCOUNT_POSITIONS
        if both_sources:
            work = [self._by_risk(), self._list(second)]
            found = _merged(*await self._machine.together(work))
        else:
            found = await self._by_risk()
            if not (found.complete or self._is_useless_to_ask_on(found.error)):
                found = _merged(found, await self._list(second))
        now = self._machine.now
        self.shown.update({position.leg: (now, position) for position in found.items})
        return found

    async def _by_risk(self) -> Reading[Position]:
        if self._narrow:
            return await self._each([requests.positions(symbol) for symbol in self._narrow])
        return await self._list(requests.positions())

    async def _orders(self, kind: OrderKind, symbols: tuple[str, ...]) -> Reading[OpenOrder]:
        whole = requests.open_orders(kind)
        if self._narrow:
            parts = await self._each([requests.open_orders(kind, one) for one in self._narrow])
            if parts.complete or parts.sources or self._is_useless_to_ask_on(parts.error):
                return parts
            everything = await self._list(whole)
            return everything if everything.complete else parts
        everything = await self._list(whole)
        if everything.complete or not symbols or self._is_useless_to_ask_on(everything.error):
            return everything
        parts = await self._each([requests.open_orders(kind, symbol) for symbol in symbols])
        known = {order.key for order in everything.items}
        new = tuple(order for order in parts.items if order.key not in known)
        return replace(everything, items=everything.items + new)

    async def _each(self, lists: Sequence[Request[Rows[T]]]) -> Reading[T]:
        readings = await self._machine.together([self._list(request) for request in lists])
        errors = [reading.error for reading in readings if reading.error]
        silent = frozenset[str]().union(*(reading.silent for reading in readings))
        sources = frozenset[str]().union(*(reading.sources for reading in readings))
        return Reading(
            items=tuple(item for reading in readings for item in reading.items),
            complete=all(reading.complete for reading in readings),
            error=errors[0] if errors else None,
            sources=sources - silent,
            silent=silent,
        )

    async def _list(self, request: Request[Rows[T]]) -> Reading[T]:
        source = frozenset({request.endpoint.value.source})
        rows = await self._machine.ask(request)
        if isinstance(rows, VenueAnswer):
            return Reading(complete=False, error=rows, silent=source)
        trouble = unreadable_rows(rows.unreadable) if rows.unreadable else None
        return Reading(items=rows.items, complete=trouble is None, error=trouble, sources=source)

    def _is_useless_to_ask_on(self, error: VenueAnswer | None) -> bool:
        """Whether the venue would refuse the second way too, and count it against us."""
        if error is None:
            return False
        is_known = self._machine.limits.is_key_accepted
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


async def ask_unknown_symbols(machine: Machine, symbols: Sequence[str]) -> tuple[str, ...] | None:
    """Return which of the symbols the venue does not list, None when it did not answer."""
    rules = await machine.ask(requests.MARKET_RULES)
    if isinstance(rules, VenueAnswer):
        return None
    return tuple(symbol for symbol in symbols if symbol not in rules)


async def ask_portfolio_margin(machine: Machine) -> bool | None:
    """Return whether the account is in portfolio margin, None when the venue did not answer."""
    answer = await machine.ask(requests.PORTFOLIO_MARGIN)
    return None if isinstance(answer, VenueAnswer) else answer


class Questions:
    """What one run asks after its first reading, again until it is answered."""

    def __init__(self, machine: Machine, policy: LiquidationConfig) -> None:
        self.unknown_symbols: tuple[str, ...] | None = ()
        self.is_portfolio_margin: bool | None = False
        self._machine = machine
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
            self._start(self._ask_symbols())
        if not seen:
            # An account in portfolio margin looks like this here, whatever it holds.
            self.is_portfolio_margin = None
            self._start(self._ask_kind())

    @property
    def unanswered(self) -> str | None:
        """What the venue has not said, in words; None when it has answered everything."""
        if self.unknown_symbols is None:
            return f"the venue did not say whether it knows {', '.join(self._unseen)}"
        if self.is_portfolio_margin is None:
            return (
                "the venue did not say whether this account is in portfolio margin, where nothing "
                "is shown here"
            )
        return None

    async def answered(self, *, timeout_s: float) -> None:
        """Wait until everything asked is answered, no longer than `timeout_s`."""
        await self._machine.wait(self._tasks, until=self._machine.now + timeout_s)

    def end(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            self._machine.end(task)

    def _start(self, work: Work[None]) -> None:
        self._tasks.append(self._machine.spawn(work))

    async def _ask_symbols(self) -> None:
        while self.unknown_symbols is None:
            self.unknown_symbols = await ask_unknown_symbols(self._machine, self._unseen)
            if self.unknown_symbols is None:
                await self._machine.sleep(pacing.QUESTION_GAP_S)

    async def _ask_kind(self) -> None:
        while self.is_portfolio_margin is None:
            self.is_portfolio_margin = await ask_portfolio_margin(self._machine)
            if self.is_portfolio_margin is None:
                await self._machine.sleep(pacing.QUESTION_GAP_S)
