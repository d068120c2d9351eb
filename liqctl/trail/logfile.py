"""`liqctl.log`: the same events for people, one short line each, rotated.

Unlike the trail it proves nothing and may be lost: whatever goes wrong with it is ignored, and
lines are written many at a time, in a helper thread: a disk that hangs holds up nobody.
"""

import contextlib
import functools
import json
import logging
import logging.handlers
import os
import stat
import time
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

from liqctl.trail.durability import HelperThread

FLUSH_MAX_S: Final = 0.2
"""How long the end of a command waits for its log: as long as for the trail."""

LOG_NAME: Final = "liqctl.log"
_BYTES_MAX: Final = 5_000_000
_FILES_MAX: Final = 3
_DETAILS_MAX: Final = 400
_LINES_MAX: Final = 256
_FLAGS: Final = (
    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
)


def describe_event(event_type: str, details: Mapping[str, Any]) -> str:
    """Return an event on one line of ASCII: its name, then what it tells, cut to a bound.

    >>> describe_event("ORDER_SENT", {"symbol": "BTCUSDT", "price": None, "quantity": "0.5"})
    'ORDER_SENT symbol=BTCUSDT quantity=0.5'
    """
    told = " ".join(
        f"{name}={value if _is_plain(value) else json.dumps(value, default=_name_of)}"
        for name, value in details.items()
        if value is not None
    )
    return f"{event_type} {told[:_DETAILS_MAX]}".rstrip()


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isprintable()
    return isinstance(value, int)


def _name_of(value: object) -> str:
    return f"<{type(value).__name__}>"


class LogFile:
    """Appends lines to `<log_dir>/liqctl.log`; never raises."""

    def __init__(self, log_dir: Path) -> None:
        """Nothing is opened before the first line."""
        self._handler = _Handler(log_dir / LOG_NAME)
        self._lines: list[tuple[float, str]] = []
        self._thread = HelperThread("log")

    def write(self, correlation_id: str, line: str) -> None:
        """Take one line; it is written with others, at the latest by `flush`."""
        self._lines.append((time.time(), f"{correlation_id} {line}"))  # noqa: TID251 - for people
        if len(self._lines) >= _LINES_MAX:
            self._hand_over()

    def flush(self, wait_max_s: float = FLUSH_MAX_S) -> None:
        """Write the lines that were taken; a disk that does not take them in time loses them."""
        self._hand_over()
        self._thread.wait(wait_max_s)

    def _hand_over(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._thread.call(lambda: self._write(lines))

    def _write(self, lines: Sequence[tuple[float, str]]) -> None:
        text = "\n".join(f"{_moment(at)} {line}" for at, line in lines)
        record = logging.LogRecord("liqctl", logging.INFO, "", 0, text, None, None)
        with contextlib.suppress(OSError, ValueError):
            self._handler.handle(record)
            self._handler.close()


def _moment(at: float) -> str:
    """Return seconds since the epoch as people read them, in UTC.

    >>> _moment(0.25)
    '1970-01-01 00:00:00,250Z'
    """
    return f"{_second(int(at))},{int(at % 1 * 1000):03d}Z"


@functools.lru_cache(maxsize=64)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


class _Handler(logging.handlers.RotatingFileHandler):
    """A rotating file of ours alone; a link or pipe planted in its place is not written to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_BYTES_MAX, backupCount=_FILES_MAX, delay=True)

    def _open(self) -> TextIOWrapper:
        fd = os.open(self.baseFilename, _FLAGS, 0o600)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_uid != os.geteuid():
            os.close(fd)
            raise OSError(0, "not a file of ours alone")
        return os.fdopen(fd, "a", encoding="ascii", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Lose the line."""
