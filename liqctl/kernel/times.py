"""Moments as the outside reads them."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """Return the moment in UTC with microseconds and a `Z`."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
