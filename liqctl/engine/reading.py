"""Readings of the account: three lists in parallel, each with a second way when it fails.

Positions fall back from `v3/positionRisk` to `v3/account`; a whole-account order list falls back
to one list per symbol known to matter. A list that covers only some symbols is never complete.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from liqctl.domain.account import OpenOrder, OrderKind, Position, Reading, Snapshot
from liqctl.domain.answers import AnswerKind, VenueAnswer
from liqctl.domain.endpoints import Endpoint
from liqctl.domain.errors import VenueError
from liqctl.engine.gate import Gate
from liqctl.planning.policy import LiquidationConfig
from liqctl.ports import Exchange

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
        self._narrow = policy.symbols if len(policy.symbols) <= NARROW_SYMBOLS_MAX else ()
        self.first_error: VenueAnswer | None = None
        """Why `v3/positionRisk` did not answer in the last reading of positions."""

    async def snapshot(self, known_symbols: Iterable[str]) -> Snapshot:
        """Return one reading; `known_symbols` are listed one by one if the whole list fails."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        symbols = tuple(sorted(set(known_symbols)))[:_FALLBACK_SYMBOLS_MAX]
        positions, regular, algo = await asyncio.gather(
            self.positions(),
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

    async def positions(self) -> Reading[Position]:
        """Return the positions alone."""
        if self._narrow:
            return await self._each(self._narrow, self._positions_of, complete=True)
        first = await self._try(
            Endpoint.POSITIONS, lambda s: self._exchange.fetch_positions(timeout_s=s)
        )
        self.first_error = first.error
        if first.complete or _is_useless_to_ask_on(first.error):
            return first
        second = await self.second_source()
        return second if second.complete else first

    async def second_source(self) -> Reading[Position]:
        """Return the positions by `v3/account` alone, of the whole account."""
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

        if self._narrow:
            return await self._each(self._narrow, of, complete=True)
        whole = await self._try(
            _LIST[kind], lambda s: self._exchange.fetch_open_orders(kind, timeout_s=s)
        )
        if whole.complete or not symbols or _is_useless_to_ask_on(whole.error):
            return whole
        parts = await self._each(symbols, of, complete=False)
        return Reading(items=parts.items, complete=False, error=whole.error)

    async def _positions_of(self, symbol: str) -> Reading[Position]:
        return await self._try(
            Endpoint.POSITIONS,
            lambda s: self._exchange.fetch_positions(symbol, timeout_s=s),
            narrow=True,
        )

    async def _each(
        self,
        symbols: tuple[str, ...],
        read: Callable[[str], Awaitable[Reading[T]]],
        *,
        complete: bool,
    ) -> Reading[T]:
        readings = await asyncio.gather(*(read(symbol) for symbol in symbols))
        errors = [reading.error for reading in readings if reading.error]
        return Reading(
            items=tuple(item for reading in readings for item in reading.items),
            complete=complete and all(reading.complete for reading in readings),
            error=errors[0] if errors else None,
        )

    async def _try(
        self,
        endpoint: Endpoint,
        call: Callable[[float], Awaitable[tuple[T, ...]]],
        *,
        narrow: bool = False,
    ) -> Reading[T]:
        try:
            items = await self._gate.read(endpoint, call, narrow=narrow)
        except VenueError as error:
            return Reading(complete=False, error=error.answer)
        return Reading(items=items)


def _is_useless_to_ask_on(error: VenueAnswer | None) -> bool:
    """Whether the venue would refuse the second way too, and count it against us."""
    return error is not None and (error.is_rate_limit or error.kind is AnswerKind.RUN_FATAL)
