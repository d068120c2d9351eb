"""The end of a process that cannot run Python any more.

A C call that holds the interpreter lock stops every Python thread and signal handler. A timer of
the kernel then calls `_exit` in a thread of the C library's own. `faulthandler` does nearly the
same, and serves where there is no such timer; but it walks the frames of running threads first,
which once in a dozen resumed processes ended in a segmentation fault. Both need a thread; where
none can be had, an alarm ends the process as the kernel does it, by a signal nobody handles.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_SIGEV_THREAD: Final = 2
_FAILED: Final = 1


class _SigEvent(ctypes.Structure):
    """`struct sigevent`: what a timer does when it expires."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_byte * 32),
    )


class _Times(ctypes.Structure):
    """`struct itimerspec`: when a timer expires, once."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class LastResort:
    """Ends the process after some seconds, unless cancelled.

    The code is kept where the C library has such timers; `faulthandler` always leaves with 1, the
    alarm with what a shell shows as 142.
    """

    def __init__(self, seconds: float, code: int = _FAILED) -> None:
        """Start counting."""
        self._code = code
        self._timer = ctypes.c_void_p()
        self._nowhere: int | None = None
        if not self._start_timer(seconds):
            self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            try:
                faulthandler.dump_traceback_later(seconds, exit=True, file=self._nowhere)
            except RuntimeError:
                with contextlib.suppress(ValueError):  # not in the main thread
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_REAL, seconds)

    def cancel(self) -> None:
        """Let the process live; to be called once."""
        if self._nowhere is None:
            ctypes.CDLL(None).timer_delete(self._timer)
            return
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.close(self._nowhere)

    def _start_timer(self, seconds: float) -> bool:
        """Return whether the C library has such timers and started one."""
        library = ctypes.CDLL(None)
        try:
            leave = ctypes.cast(library._exit, ctypes.c_void_p)  # noqa: SLF001 - its name in C
            create, settime = library.timer_create, library.timer_settime
        except AttributeError:
            return False
        event = _SigEvent(value=self._code, notify=_SIGEV_THREAD, function=leave.value)
        if create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)):
            return False
        whole, rest = divmod(seconds, 1.0)
        times = _Times(value_s=int(whole), value_ns=int(rest * 1e9))
        return not settime(self._timer, 0, ctypes.byref(times), None)
