"""Readings of the account: three lists in parallel, each with a second way when it fails.

Positions fall back from `v3/positionRisk` to `v3/account`; a whole-account order list falls back
to one list per symbol known to matter. A list that covers only some symbols is never complete.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final, TypeVar

from liqctl.kernel.answers import AnswerKind, VenueAnswer, unreadable_rows
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange
from liqctl.kernel.values import Leg, OpenOrder, OrderKind, Position, Reading, Rows, Snapshot
from liqctl.run.gate import Gate

T = TypeVar("T")

NARROW_SYMBOLS_MAX: Final = 8
"""Up to this many symbols in scope are read one by one: 1 + 1 + 5 weight each, not 85 at once."""

_FALLBACK_SYMBOLS_MAX: Final = 40
_LIST: Final = {
    OrderKind.REGULAR: Endpoint.OPEN_ORDERS,
    OrderKind.ALGO: Endpoint.OPEN_ALGO_ORDERS,
}


class Reader:
    """Reads snapshots through the gate."""

    def __init__(self, exchange: Exchange, gate: Gate, policy: LiquidationConfig) -> None:
        """Read what the policy has in scope."""
        self._exchange = exchange
        self._gate = gate
        self.shown: dict[Leg, tuple[float, Position]] = {}
        """What the lists of positions showed open, and when the last of them was answered."""
        self._narrow = policy.symbols if len(policy.symbols) <= NARROW_SYMBOLS_MAX else ()

    async def snapshot(
        self, known_symbols: Iterable[str], *, both_sources: bool = False
    ) -> Snapshot:
        """Return one reading; `known_symbols` are listed one by one if the whole list fails."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        symbols = tuple(sorted(set(known_symbols)))[:_FALLBACK_SYMBOLS_MAX]
        positions, regular, algo = await asyncio.gather(
            self.positions(both_sources=both_sources),
            self._orders(OrderKind.REGULAR, symbols),
            self._orders(OrderKind.ALGO, symbols),
        )
        return Snapshot(
            positions=positions,
            regular_orders=regular,
            algo_orders=algo,
            started_at=started_at,
            finished_at=loop.time(),
        )

    async def positions(self, *, both_sources: bool = False) -> Reading[Position]:
        """Return the positions alone.

        The second source is asked where the first one fails or has a row that cannot be read, or at
        the same time: then what either shows is open.
        """
        if both_sources:
            first, second = await asyncio.gather(self._by_risk(), self._by_account())
            found = _merged(first, second)
        else:
            found = await self._by_risk()
            if not (found.complete or self._is_useless_to_ask_on(found.error)):
                found = _merged(found, await self._by_account())
        now = asyncio.get_running_loop().time()
        self.shown.update({position.leg: (now, position) for position in found.items})
        return found

    async def _by_risk(self) -> Reading[Position]:
        if self._narrow:
            return await self._each(self._narrow, self._positions_of)
        return await self._try(
            Endpoint.POSITIONS, lambda s: self._exchange.fetch_positions(timeout_s=s)
        )

    async def _by_account(self) -> Reading[Position]:
        return await self._try(
            Endpoint.ACCOUNT, lambda s: self._exchange.fetch_account_positions(timeout_s=s)
        )

    async def _orders(self, kind: OrderKind, symbols: tuple[str, ...]) -> Reading[OpenOrder]:
        async def of(symbol: str) -> Reading[OpenOrder]:
            return await self._try(
                _LIST[kind],
                lambda s: self._exchange.fetch_open_orders(kind, symbol, timeout_s=s),
                narrow=True,
            )

        async def whole() -> Reading[OpenOrder]:
            return await self._try(
                _LIST[kind], lambda s: self._exchange.fetch_open_orders(kind, timeout_s=s)
            )

        if self._narrow:
            parts = await self._each(self._narrow, of)
            if parts.complete or parts.sources or self._is_useless_to_ask_on(parts.error):
                return parts
            everything = await whole()
            return everything if everything.complete else parts
        everything = await whole()
        if everything.complete or not symbols or self._is_useless_to_ask_on(everything.error):
            return everything
        parts = await self._each(symbols, of)
        return replace(everything, items=everything.items + _new(parts.items, everything.items))

    async def _each(
        self, symbols: tuple[str, ...], read: Callable[[str], Awaitable[Reading[T]]]
    ) -> Reading[T]:
        readings = await asyncio.gather(*(read(symbol) for symbol in symbols))
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

    async def _positions_of(self, symbol: str) -> Reading[Position]:
        return await self._try(
            Endpoint.POSITIONS,
            lambda s: self._exchange.fetch_positions(symbol, timeout_s=s),
            narrow=True,
        )

    async def _try(
        self,
        endpoint: Endpoint,
        call: Callable[[float], Awaitable[Rows[T]]],
        *,
        narrow: bool = False,
    ) -> Reading[T]:
        source = frozenset({endpoint.value.source})
        try:
            rows = await self._gate.read(endpoint, call, narrow=narrow)
        except VenueError as error:
            return Reading(complete=False, error=error.answer, silent=source)
        if rows.unreadable:
            trouble = unreadable_rows(rows.unreadable)
            return Reading(items=rows.items, complete=False, error=trouble, sources=source)
        return Reading(items=rows.items, sources=source)

    def _is_useless_to_ask_on(self, error: VenueAnswer | None) -> bool:
        """Whether the venue would refuse the second way too, and count it against us."""
        if error is None:
            return False
        is_refused = error.kind is AnswerKind.RUN_FATAL and not self._gate.is_key_accepted
        return error.is_rate_limit or is_refused


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


def _new(items: tuple[OpenOrder, ...], known: tuple[OpenOrder, ...]) -> tuple[OpenOrder, ...]:
    keys = {order.key for order in known}
    return tuple(order for order in items if order.key not in keys)
