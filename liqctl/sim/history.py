"""What a book was a moment ago, for readings that lag: changes are kept and undone for a look."""

from collections import deque
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

_KEPT_MS: Final = 60_000
"""No list lags by a minute. What is older is forgotten: a venue may serve for days."""


class History(Generic[K, V]):
    """The changes of one dictionary, oldest first."""

    def __init__(self) -> None:
        """Start without a past."""
        self._changes: deque[tuple[int, K, V | None]] = deque()

    def note(self, at_ms: int, key: K, before: V | None) -> None:
        """Keep what stood under a key until this moment, None when nothing did."""
        self._changes.append((at_ms, key, before))
        while self._changes[0][0] < at_ms - _KEPT_MS:
            self._changes.popleft()

    def as_of(self, now: dict[K, V], moment_ms: int) -> dict[K, V]:
        """Return the dictionary as it stood at a moment, given as it stands now."""
        if not self._changes or self._changes[-1][0] <= moment_ms:
            return now
        past = dict(now)
        for at_ms, key, before in reversed(self._changes):
            if at_ms <= moment_ms:
                break
            if before is None:
                past.pop(key, None)
            else:
                past[key] = before
        return past
