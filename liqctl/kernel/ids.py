"""Correlation ids of runs and client order ids of our orders.

A client order id is 28 characters of `[a-z0-9-]`, of the 32 that the strictest venue takes. It is
unique per run, leg, round and part, and is never used twice: Binance frees an id once its order is
no longer open, so an id identifies an order but does not protect from a double. A correlation id
may be used for several runs; what tells their orders apart is a tag drawn anew for each. Which run
sent an order stands in the trail.

>>> make_correlation_id(datetime(2026, 1, 2, 10, 30, tzinfo=UTC), "abc123")
'liq_20260102_103000_abc123'
>>> time_of_correlation_id("liq_20260102_103000_abc123")
1767349800.0
>>> make_client_order_id("0123456789ab", 7, part_no=2)
'liq-0123456789ab-000007-0002'
"""

import re
from datetime import UTC, datetime
from typing import Final

CORRELATION_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
CLIENT_ORDER_ID_PREFIX = "liq-"
CLIENT_ORDER_ID_MAX: Final = 32
"""How long a client order id may be: 32 in portfolio margin, 36 elsewhere."""

ORDER_TAG_BYTES: Final = 6
"""Of randomness in a run's tag: among a million runs of one account two share it with a chance of
one in 500."""

_GENERATED = re.compile(r"liq_(\d{8}_\d{6})_[0-9a-f]{6}")


def make_correlation_id(now: datetime, suffix: str) -> str:
    """Return `liq_YYYYMMDD_HHMMSS_` (UTC) and six lower-case hex digits given as `suffix`."""
    return f"liq_{now.astimezone(UTC):%Y%m%d_%H%M%S}_{suffix}"


def time_of_correlation_id(correlation_id: str) -> float | None:
    """Return when an id was generated, in epoch seconds; None for one that somebody chose."""
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


def make_client_order_id(order_tag: str, order_no: int, *, part_no: int) -> str:
    """Return the id of a run's `order_no`-th close (from 1), part `part_no` (from 1)."""
    return f"{CLIENT_ORDER_ID_PREFIX}{order_tag}-{order_no:06d}-{part_no:04d}"
