"""How a run begins: the account's lock taken, the first reading and spare connections on their way.

A program whose other half is still being loaded can open a run; `LiquidationManager` takes over
from there. Nothing but readings is sent before it does.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange, WallClock
from liqctl.run.gate import Gate
from liqctl.run.reading import Reader

if TYPE_CHECKING:
    from liqctl.kernel.values import Snapshot
    from liqctl.run.lock import AccountLock, Blocked

WARM_CONNECTIONS: Final = 6
"""Connections opened while the first reading is under way, so that closes wait for no handshake."""

_READING_FIRST_S: Final = 0.002
"""How far the spare connections stay behind: signing for them would hold the reading up."""


class Opening:
    """A run that has begun: its deadline is set and its first reading has left.

    `blocked` tells who else has the account; then nothing is sent.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        policy: LiquidationConfig,
        correlation_id: str,
        wall_clock: WallClock,
        lock: "AccountLock | None" = None,
    ) -> None:
        """Take the lock and start reading; needs a running event loop."""
        self.correlation_id = correlation_id
        self.started_at = wall_clock.now()
        self.began_at = asyncio.get_running_loop().time()
        self.requests_before = exchange.usage.requests
        self.blocked: Blocked | None = None
        if lock is not None:
            self.blocked = lock.acquire(correlation_id, self.started_at, policy.timeout_seconds)
        self.gate = Gate(
            exchange,
            timeout_s=policy.timeout_seconds,
            started_at=self.began_at,
            wall_clock=wall_clock,
        )
        self.reader = Reader(exchange, self.gate, policy)
        self._first: asyncio.Task[Snapshot] | None = None
        self._warm_up: asyncio.Task[None] | None = None
        if self.blocked is None:
            self._first = _start(self.reader.snapshot(policy.symbols))
            self._warm_up = _start(self._open_spares(exchange))

    async def first_reading(self) -> "Snapshot":
        """Return the reading that was begun: also to who asks again because he was cut off."""
        if self._first is None:
            message = "nothing is read where others have the account"
            raise RuntimeError(message)
        return await asyncio.shield(self._first)

    async def _open_spares(self, exchange: Exchange) -> None:
        await asyncio.sleep(_READING_FIRST_S)
        await exchange.warm_up(WARM_CONNECTIONS, timeout_s=self.gate.call_max_s)

    def end_warm_up(self) -> None:
        """Open no more spare connections."""
        if self._warm_up is not None:
            self._warm_up.cancel()


def _start(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(work)
