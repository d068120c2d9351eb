"""Questions beside the run: what kind of account this is, and whether the venue knows the symbols.

Each has three ends: yes, no, and not answered. Nothing that is open waits for them, and nothing is
called flat before they are answered.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.pacing import QUESTION_GAP_S
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange
from liqctl.kernel.values import Snapshot
from liqctl.run.gate import Gate

_INVALID_SYMBOL: Final = -1121
"""A list narrowed to one symbol is refused like this where the venue does not know the symbol."""


async def ask_unknown_symbols(
    exchange: Exchange, gate: Gate, symbols: Sequence[str]
) -> tuple[str, ...] | None:
    """Return which of the symbols the venue does not list, None when it did not answer."""
    try:
        rules = await gate.read(
            Endpoint.EXCHANGE_INFO, lambda s: exchange.fetch_market_rules(timeout_s=s)
        )
    except VenueError:
        return None
    return tuple(symbol for symbol in symbols if symbol not in rules)


async def ask_portfolio_margin(exchange: Exchange, gate: Gate) -> bool | None:
    """Return whether the account is in portfolio margin, None when the venue did not answer."""
    try:
        return await gate.read(
            Endpoint.PORTFOLIO_MARGIN, lambda s: exchange.is_portfolio_margin(timeout_s=s)
        )
    except VenueError:
        return None


class Questions:
    """What one run asks after its first reading, again until it is answered."""

    def __init__(self, exchange: Exchange, gate: Gate, policy: LiquidationConfig) -> None:
        """Ask nothing yet."""
        self.unknown_symbols: tuple[str, ...] | None = ()
        self.is_portfolio_margin: bool | None = False
        self._exchange = exchange
        self._gate = gate
        self._policy = policy
        self._tasks: list[asyncio.Task[None]] = []
        self._unseen: tuple[str, ...] = ()

    def begin(self, first: Snapshot) -> None:
        """Ask what the first reading leaves open: a symbol with something open is known."""
        seen = {p.symbol for p in first.positions.items} | {o.symbol for o in first.orders}
        self._unseen = tuple(s for s in self._policy.symbols if s not in seen)
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
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def cancel(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _ask_symbols(self) -> None:
        while self.unknown_symbols is None:
            self.unknown_symbols = await ask_unknown_symbols(
                self._exchange, self._gate, self._unseen
            )
            if self.unknown_symbols is None:
                await asyncio.sleep(QUESTION_GAP_S)

    async def _ask_kind(self) -> None:
        while self.is_portfolio_margin is None:
            self.is_portfolio_margin = await ask_portfolio_margin(self._exchange, self._gate)
            if self.is_portfolio_margin is None:
                await asyncio.sleep(QUESTION_GAP_S)
