"""The process around a command: descriptors, signals, output, the last line of the deadline, exit.

What a reader would get wrong:
- Python's own exit turns 0 into 120 when stdout is full, waits for threads that may hang in a name
  look-up, and takes 0.3 s; `leave` flushes inside a guard and uses `os._exit`.
- A closed descriptor 0, 1 or 2 would be taken by the next file opened: the audit trail would then
  be what `print` writes to.
- A deadline inside the event loop does not end a blocked system call. The layers are the loop's own
  timeout, a watchdog thread that records and prints what is known, and `faulthandler`, which needs
  no interpreter lock.
"""

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from liqctl.domain.result import ExitCode

LAST_RESORT_S: Final = 0.2
"""How long after the deadline the process is ended even if the watchdog thread cannot run."""

_WATCHDOG_S: Final = 0.08
_PR_SET_DUMPABLE: Final = 4
_EXIT_BY_SIGNAL: Final = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
}
_IGNORED_WHILE_WORKING: Final = (signal.SIGHUP, signal.SIGPIPE, signal.SIGTSTP)


def fill_descriptors() -> None:
    """Open closed descriptors 0, 1 and 2 on /dev/null, and give Python streams for them."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115, PTH123
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115, PTH123


def hide_memory() -> None:
    """Write no core and let no other process of the same user read this one's memory."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Signals:
    """SIGINT and SIGTERM from the first line on.

    Before a run works, the first signal ends the process. While one works, the first calls
    `on_first` and the run ends by itself; the second ends the process at once.
    """

    def __init__(self) -> None:
        """Nothing is caught before `install`."""
        self.received: ExitCode | None = None
        self._on_first: Callable[[], None] | None = None

    def install(self) -> None:
        """Catch SIGINT and SIGTERM from now on."""
        for number in _EXIT_BY_SIGNAL:
            signal.signal(number, self._handle)
        with contextlib.suppress(ValueError, OSError):
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def shield(self, on_first: Callable[[], None]) -> None:
        """Let the first signal call `on_first`; ignore hang-ups, pipes and the stop key."""
        for number in _IGNORED_WHILE_WORKING:
            signal.signal(number, signal.SIG_IGN)
        self._on_first = on_first

    def unshield(self) -> None:
        """Let the next signal end the process again."""
        self._on_first = None

    def _handle(self, number: int, _: FrameType | None) -> None:
        code = _EXIT_BY_SIGNAL[signal.Signals(number)]
        if self._on_first is None or self.received is not None:
            self.received = self.received or code
            leave(self.received)
        self.received = code
        print_error("stopping: nothing new is sent, reading once more; again to leave at once")
        self._on_first()


class Deadline:
    """Ends the process shortly after a moment that the event loop should have kept."""

    def __init__(self, seconds: float, on_expiry: Callable[[], ExitCode]) -> None:
        """Start counting now; `on_expiry` records and prints what is known, from a thread."""
        self._on_expiry = on_expiry
        self._ends_at = time.monotonic() + seconds
        self._done = threading.Event()
        faulthandler.dump_traceback_later(
            seconds + LAST_RESORT_S, exit=True, file=_null_stream()
        )
        threading.Thread(target=self._watch, daemon=True, name="deadline").start()

    def cancel(self) -> None:
        """The run has ended by itself."""
        self._done.set()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        if self._done.wait(max(self._ends_at + _WATCHDOG_S - time.monotonic(), 0.0)):
            return
        try:
            code = self._on_expiry()
        except Exception:  # noqa: BLE001 - nothing may keep the process from ending
            code = ExitCode.FAILED
        leave(code)


def _null_stream() -> int:
    return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def print_answer(text: str) -> None:
    """Write the answer to stdout; a closed pipe or full disk loses it silently."""
    _write(1, text)


def print_error(text: str) -> None:
    """Write progress or an error to stderr; a closed pipe or full disk loses it silently."""
    _write(2, text)


def _write(fd: int, text: str) -> None:
    rest = (text if text.endswith("\n") else f"{text}\n").encode(errors="replace")
    with contextlib.suppress(OSError):
        while rest:
            rest = rest[os.write(fd, rest) :]


def leave(code: int) -> NoReturn:
    """End the process with exactly this code, whatever the streams or threads do."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(int(code))


signals: Final = Signals()
"""The one set of signal handlers of the process."""
