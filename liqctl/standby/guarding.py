"""Placeholder."""

from typing import Any


class GuardWatch:
    """Judges nothing yet."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.notes: tuple[str, ...] = ()

    async def look(self, armed: Any) -> None:
        """Return nothing."""

    def describe(self) -> list[dict[str, Any]]:
        """Return nothing."""
        return []
