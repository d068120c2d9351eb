"""Calls on files, made in a helper thread so that a disk that hangs holds up nobody.

A call on a dying disk can block without limit, in a state that no signal ends. Each file therefore
has a helper thread of its own: a daemon, which nobody joins at exit. Callers hand it calls, which
it makes one after another, and wait for the answer for a bounded time or not at all.

`liqctl.log` is written like that: the trail's events for people, one short line each, rotated. It
proves nothing and may be lost: whatever goes wrong with it is ignored.
"""

import asyncio
import contextlib
import json
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_IDLE_S: Final = 1.0
"""How long a thread without work stays; the next call starts another (guess)."""

FLUSH_MAX_S: Final = 0.2
"""How long the end of a command waits for its log: as long as for the trail."""

LOG_NAME: Final = "liqctl.log"
_LOG_MAX_BYTES: Final = 5_000_000
_OLDER_LOGS_MAX: Final = 3
_DETAILS_MAX: Final = 400
_LINES_MAX: Final = 256
_LOG_FLAGS: Final = (
    os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
)


class Ticket:
    """One call handed to a helper thread, to be waited for by any thread and by one loop."""

    def __init__(self) -> None:
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
        while True:
            with self._more:
                if not self._more.wait_for(lambda: self._calls, _IDLE_S):
                    # Said under the lock: whoever calls from now on starts another thread.
                    self._is_working = False
                    return
                function, ticket = self._calls.popleft()
            try:
                function()
            except BaseException:
                self._is_working = False
                raise
            finally:
                ticket.end()


class LogFile:
    """Appends lines to `<log_dir>/liqctl.log`, many at a time; never raises."""

    def __init__(self, log_dir: Path) -> None:
        """Nothing is opened before the first line."""
        self._path = log_dir / LOG_NAME
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

    def _write(self, lines: list[tuple[float, str]]) -> None:
        timed = ((datetime.fromtimestamp(at, UTC), line) for at, line in lines)
        text = "".join(
            f"{when:%Y-%m-%d %H:%M:%S},{when.microsecond // 1000:03d}Z {line}\n"
            for when, line in timed
        )
        block = text.encode("ascii", "backslashreplace")
        with contextlib.suppress(OSError, ValueError):
            for _ in range(2):  # Again where it had to be rotated.
                fd = os.open(self._path, _LOG_FLAGS, 0o600)
                try:
                    found = os.fstat(fd)
                    is_ours = found.st_uid == os.geteuid() and found.st_nlink == 1
                    if not stat.S_ISREG(found.st_mode) or not is_ours:
                        return  # A pipe or another's file, planted in its place.
                    if found.st_size == 0 or found.st_size + len(block) < _LOG_MAX_BYTES:
                        os.write(fd, block)
                        return
                finally:
                    os.close(fd)
                for number in range(_OLDER_LOGS_MAX, 0, -1):
                    newer = f"{self._path}.{number - 1}" if number > 1 else self._path
                    with contextlib.suppress(FileNotFoundError):
                        Path(newer).replace(f"{self._path}.{number}")


def describe_event(event_type: str, details: Mapping[str, Any]) -> str:
    """Return an event on one line of ASCII: its name, then what it tells, cut to a bound.

    >>> describe_event("ORDER_SENT", {"symbol": "BTCUSDT", "price": None, "quantity": "0.5"})
    'ORDER_SENT symbol=BTCUSDT quantity=0.5'
    """
    told = []
    for name, value in details.items():
        is_text = isinstance(value, str) and value.isascii() and value.isprintable()
        if value is not None:
            is_plain = is_text or isinstance(value, int)
            told.append(f"{name}={value if is_plain else _as_json(value)}")
    return f"{event_type} {' '.join(told)[:_DETAILS_MAX]}".rstrip()


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"


_as_json: Final = json.JSONEncoder(default=_type_name).encode
