"""Correlation ids: the names of runs.

A module of their own, because `liquidate` checks one before it reads its settings: what else is
loaded until then delays the first connection, and keeps a process waiting on a disk that hangs.
"""

import re
from datetime import UTC, datetime

CORRELATION_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What an id may be that somebody chooses; several runs may be given the same one."""

_GENERATED = re.compile(r"liq_(\d{8}_\d{6})_[0-9a-f]{6}")


def make_correlation_id(now: datetime, suffix: str) -> str:
    """Return `liq_YYYYMMDD_HHMMSS_` (UTC) and six lower-case hex digits given as `suffix`.

    >>> make_correlation_id(datetime(2026, 1, 2, 10, 30, tzinfo=UTC), "abc123")
    'liq_20260102_103000_abc123'
    """
    return f"liq_{now.astimezone(UTC):%Y%m%d_%H%M%S}_{suffix}"


def time_of_correlation_id(correlation_id: str) -> float | None:
    """Return when an id was generated, in epoch seconds; None for one that somebody chose.

    >>> time_of_correlation_id("liq_20260102_103000_abc123")
    1767349800.0
    """
    match = _GENERATED.fullmatch(correlation_id)
    if match is None:
        return None
    try:
        return datetime.strptime(f"{match[1]}+0000", "%Y%m%d_%H%M%S%z").timestamp()
    except ValueError:
        return None


def is_correlation_id(text: str) -> bool:
    """Return whether the text is 1 to 64 letters, digits, `_` or `-`."""
    return CORRELATION_ID_PATTERN.fullmatch(text) is not None
