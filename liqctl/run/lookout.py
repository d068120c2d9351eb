"""Looks at the positions while closes are under way, so that stops may leave a round trip sooner.

A look begins shortly after a close was sent and does not wait for its answer. Where it shows the
leg gone, that is a reading like any other: the leg's stops may go. Where it came too early, the
next whole reading decides, as it would have without.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from liqctl.run.gate import Gate
from liqctl.run.reading import Reader

if TYPE_CHECKING:
    from liqctl.kernel.values import Position, Reading

LOOKS_MAX: Final = 12
"""Looks of one run: 60 weight of the 2400 a minute."""

_HEAD_START_S: Final = 0.003
"""How long closes sent together are waited for, and how far a look stays behind them."""

_TRIPS_APART: Final = 0.4
"""The least time from one look to the next, in round trips."""

_PATIENCE_TRIPS: Final = 2.0
_PATIENCE_MIN_S: Final = 0.1


class Lookout:
    """Shares looks among the symbols whose closes were sent before they began."""

    def __init__(
        self, reader: Reader, gate: Gate, tell: Callable[["Reading[Position]", float], None]
    ) -> None:
        """Look through the reader; `tell` gets what each look showed, and when it began."""
        self._reader = reader
        self._gate = gate
        self._tell = tell
        self._looks: dict[str, asyncio.Task[Reading[Position]]] = {}
        self._all: list[asyncio.Task[Reading[Position]]] = []
        self._due: asyncio.Task[Reading[Position]] | None = None
        self._left = LOOKS_MAX
        self._next_at = 0.0

    def close_sent(self, symbol: str) -> None:
        """Note that a close is leaving now; the look that begins next is the one to ask."""
        if self._due is None:
            if not self._left or self._gate.was_refused:
                self._looks.pop(symbol, None)
                return
            self._left -= 1
            self._due = asyncio.create_task(self._look())
            self._all.append(self._due)
        self._looks[symbol] = self._due

    async def sees_flat(self, symbol: str) -> bool:
        """Return whether a look that began after the symbol's last close shows nothing open."""
        look = self._looks.get(symbol)
        if look is None:
            return False
        patience_s = max(_PATIENCE_TRIPS * self._gate.rtt_s, _PATIENCE_MIN_S)
        await asyncio.wait({look}, timeout=patience_s)
        if not look.done() or look.cancelled():
            return False
        positions = look.result()
        return positions.complete and all(p.symbol != symbol for p in positions.items)

    def cancel(self) -> None:
        """Stop looking; what a look under way would have shown is not told any more."""
        for look in self._all:
            look.cancel()

    async def _look(self) -> "Reading[Position]":
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(_HEAD_START_S, self._next_at - now))
        self._due = None
        self._next_at = asyncio.get_running_loop().time() + _TRIPS_APART * self._gate.rtt_s
        began_at = asyncio.get_running_loop().time()
        positions = await self._reader.positions()
        self._tell(positions, began_at)
        return positions
