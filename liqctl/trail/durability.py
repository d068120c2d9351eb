"""Calls on files, made in a helper thread so that a disk that hangs holds up nobody.

A call on a dying disk can block without limit, in a state that no signal ends. Each file therefore
has a helper thread of its own: a daemon, which nobody joins at exit. Callers hand it calls, which
it makes one after another, and wait for the answer for a bounded time or not at all.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

ORDERS_WAIT_MAX_S: Final = 0.025
"""How long all orders of a run together are held back for a slow disk. Measured: a sync takes
0.3 ms, one in a hundred 1 ms; a spinning disk needs 8 to 20 ms. A round trip to the venue takes
100 ms and more, so a disk that never answers costs a fraction of one round trip."""

ORDERS_WAIT_SHARE: Final = 0.01
"""The share of a run's time that is added to it: a long run forgives its disk now and then."""

_FREE_S: Final = 0.005
"""What one wait may take without being counted: five times what a healthy disk needs at worst."""

_IDLE_S: Final = 1.0
"""How long a thread without work stays; the next call starts another (guess)."""


class Patience:
    """How much longer orders may be held back for the disk, from the first question on."""

    def __init__(self) -> None:
        """Start with nothing waited yet."""
        self._began_at: float | None = None
        self._waited_s = 0.0

    def left_s(self) -> float:
        """Return how long the next wait may take."""
        now = time.monotonic()
        if self._began_at is None:
            self._began_at = now
        earned_s = (now - self._began_at) * ORDERS_WAIT_SHARE
        return max(ORDERS_WAIT_MAX_S + earned_s - self._waited_s, 0.0)

    def spend(self, waited_s: float) -> None:
        """Count a wait."""
        self._waited_s += max(waited_s - _FREE_S, 0.0)


class Ticket:
    """One call handed to a helper thread, to be waited for by any thread and by one loop."""

    def __init__(self) -> None:
        """The call is not over yet."""
        self._over = threading.Event()
        self._wake: Callable[[], object] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the call has returned."""
        return self._over.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Block until the call is over; return whether it is."""
        return self._over.wait(timeout_s)

    async def finished(self, timeout_s: float) -> bool:
        """Wait until the call is over; return whether it is."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def answer() -> None:
            if not future.done():
                future.set_result(None)

        self._wake = lambda: loop.call_soon_threadsafe(answer)
        if not self.is_over:  # Asked after the line above: one of the two sees the end.
            await asyncio.wait((future,), timeout=timeout_s)
        return self.is_over

    def end(self) -> None:
        """Note that the call is over."""
        self._over.set()
        if self._wake is not None:
            with contextlib.suppress(RuntimeError):  # The loop has gone: nobody waits any more.
                self._wake()


class HelperThread:
    """Makes calls one after another in a thread of its own, started when there is a first one."""

    def __init__(self, name: str) -> None:
        """Start nothing yet."""
        self._name = name
        self._calls: deque[tuple[Callable[[], object], Ticket]] = deque()
        self._is_working = False
        self._last: Ticket | None = None
        # Re-entrant: a signal's last word may come while its own thread is in here.
        self._more = threading.Condition(threading.RLock())

    def call(self, function: Callable[[], object]) -> Ticket:
        """Have the function called after those handed over before; return at once.

        Where no thread can be had it is called here: that machine lacks memory, not a disk.
        """
        ticket = self._last = Ticket()
        with self._more:
            self._calls.append((function, ticket))
            if self._is_working:
                self._more.notify()
                return ticket
            self._is_working = True
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                self._is_working = False
                self._calls.clear()
                function()
                ticket.end()
        return ticket

    def wait(self, timeout_s: float) -> None:
        """Block until every call handed over so far has returned."""
        if self._last is not None:
            self._last.wait(timeout_s)

    def _work(self) -> None:
        try:
            while (job := self._next()) is not None:
                function, ticket = job
                try:
                    function()
                finally:
                    ticket.end()
        finally:
            self._is_working = False

    def _next(self) -> tuple[Callable[[], object], Ticket] | None:
        with self._more:
            if not self._more.wait_for(lambda: self._calls, _IDLE_S):
                self._is_working = False
                return None
            return self._calls.popleft()
