"""Virtual time: an event loop whose clock jumps to the next timer instead of waiting for it.

A run of five seconds takes milliseconds, every run of the same seed is the same run, and a
deadlock is an error at once.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from typing_extensions import override

T = TypeVar("T")

_STUCK_MAX: Final = 100
"""Polls in a row without a timer or a ready callback before the loop is called stuck."""

_INSTANT_S: Final = 0.001
_TURNS_MAX: Final = 20_000
"""Turns of the loop within an instant before it is said to run in circles: the largest account of
the tests needs some hundred, and a million would take seconds."""


class DeadlockError(RuntimeError):
    """Everything waits and nothing is due."""


class StandstillError(RuntimeError):
    """Something is always ready, and time does not pass."""


class _NoWait(selectors.SelectSelector):
    """A selector that advances the loop's clock by the time it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._stuck = 0
        self._instant, self._turns = 0.0, 0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._turns += 1
        if self.now - self._instant > _INSTANT_S:
            self._instant, self._turns = self.now, 0
        elif self._turns > _TURNS_MAX:
            message = f"time stands still at {self.now:.3f} s: something never waits"
            raise StandstillError(message)
        ready = super().select(0)
        if ready or timeout == 0:
            self._stuck = 0
        elif timeout is None:
            self._stuck += 1
            if self._stuck > _STUCK_MAX:
                message = "every task waits and no timer is due"
                raise DeadlockError(message)
        else:
            self._stuck = 0
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, starting at 0."""

    def __init__(self) -> None:
        """Start at second 0."""
        self._clock = _NoWait()
        super().__init__(self._clock)

    @override
    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._clock.now


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in virtual time and return its result; tasks left over are cancelled."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        return result
    finally:
        loop.close()
