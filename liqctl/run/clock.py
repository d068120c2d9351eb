"""The calendar clock. Elapsed time is never measured with it."""

from datetime import UTC, datetime


class SystemClock:
    """`ports.WallClock` of the machine."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads the calendar
