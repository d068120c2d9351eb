"""Correlation ids of runs and client order ids of our orders.

A client order id is 36 characters of `[a-z0-9-]`, unique per run, leg, round and part, and is
never used twice: Binance frees an id once its order is no longer open, so an id identifies an
order but does not protect from a double.

>>> make_correlation_id(datetime(2026, 1, 2, 10, 30, tzinfo=UTC), "abc123")
'liq_20260102_103000_abc123'
>>> make_client_order_id("liq_20260102_103000_abc123", 7, part_no=2)
'liq-20260102103000abc123-000007-0002'
"""

import hashlib
import re
from datetime import UTC, datetime

CORRELATION_ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
CLIENT_ORDER_ID_PREFIX = "liq-"
_GENERATED = re.compile(r"liq_(\d{8})_(\d{6})_([0-9a-f]{6})")


def make_correlation_id(now: datetime, suffix: str) -> str:
    """Return `liq_YYYYMMDD_HHMMSS_` (UTC) and six lower-case hex digits given as `suffix`."""
    return f"liq_{now.astimezone(UTC):%Y%m%d_%H%M%S}_{suffix}"


def is_correlation_id(text: str) -> bool:
    """Return whether the text is 1 to 64 letters, digits, `_` or `-`."""
    return CORRELATION_ID_PATTERN.fullmatch(text) is not None


def run_tag(correlation_id: str) -> str:
    """Return the 20 characters that name the run inside its client order ids.

    A generated correlation id is kept readable; any other is hashed.
    """
    match = _GENERATED.fullmatch(correlation_id)
    if match:
        return "".join(match.groups())
    return hashlib.sha256(correlation_id.encode()).hexdigest()[:20]


def make_client_order_id(correlation_id: str, order_no: int, *, part_no: int) -> str:
    """Return the id of the run's `order_no`-th close (from 1), part `part_no` (from 1)."""
    return f"{CLIENT_ORDER_ID_PREFIX}{run_tag(correlation_id)}-{order_no:06d}-{part_no:04d}"
