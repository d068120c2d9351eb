"""The process around a command: descriptors, signals, the last line of the deadline, exit.

What a reader would get wrong:
- Python's own exit turns 0 into 120 when stdout is full, waits for threads that may hang in a name
  look-up, and takes 0.3 s; `leave` flushes inside a guard and uses `os._exit`.
- A closed descriptor 0, 1 or 2 would be taken by the next file opened: the audit trail would then
  be what `print` writes to.
- A deadline inside the event loop does not end a blocked system call. The layers are the loop's own
  timeout, a watchdog thread that records and prints what is known, and a last resort that needs no
  interpreter lock, for a C call that holds it stops every Python thread and signal handler.
- Nothing heavy may be imported here: until `prepare` ran, a signal ends the process without us.
"""

import contextlib
import faulthandler
import gc
import io
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

from liqctl.cli.output import ERROR_STALL_S, STDERR, STDOUT, out

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from liqctl.kernel.limits import Deadline
    from liqctl.kernel.states import ExitCode

_WATCHDOG_S: Final = 0.08
_DROP_OUTPUT_S: Final = 0.15
"""How long after the deadline nobody's reading the answer is waited for."""

_SWITCH_S: Final = 0.0001
"""How long a busy loop may keep the watchdog waiting, at each of its hundred reads and writes."""

_LAST_WORD_S: Final = 1.0
"""How long the answer to a signal may take to be loaded and printed; it needs 0.05 s."""

_PAGE_STALL_S: Final = 3600.0
"""How long a pager may take nothing before its page is dropped."""

_COLLECT_AFTER: Final = 50_000
"""New objects before Python looks for garbage; its 700 means a hundred vain searches at start."""

_PR_SET_DUMPABLE: Final = 4
_CLOCK_MONOTONIC: Final = 1
_SIGEV_THREAD: Final = 2
_SIGEVENT: Final = "PiiPP32x"
"""`struct sigevent` of C, what a timer does when it expires: the value given to a function, a
signal, the kind of notice, the function, a thread's attributes; it is filled up to 64 bytes."""

_ITIMERSPEC: Final = "4l"
"""`struct itimerspec`, when a timer expires: seconds and nanoseconds, of each next time (0: never)
and of the first."""

_AT_ONCE_S: Final = 0.001
"""What a timer gets whose moment is past: 0 would never expire, and less than 0 is refused."""

_FAILED: Final = 1
_EXIT_BY_SIGNAL: Final = {signal.SIGINT: 130, signal.SIGTERM: 143}
_FRAMES_MAX: Final = 20
_STOPPING: Final = "stopping: nothing new is sent, reading once more; again to leave at once"


def prepare() -> None:
    """Do everything that must stand before the first import: signals, descriptors, secrecy."""
    import resource

    gc.set_threshold(_COLLECT_AFTER)
    signals.install()
    # Closed descriptors are opened on /dev/null, and Python has no streams for them either.
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for name, fd in (("stdout", STDOUT), ("stderr", STDERR)):
        stream = io.TextIOWrapper(
            io.BufferedWriter(Sink(fd, "w", closefd=False)),
            encoding=getattr(getattr(sys, name), "encoding", "utf-8"),
            errors="backslashreplace",
            line_buffering=os.isatty(fd) or fd == STDERR,
        )
        setattr(sys, name, stream)
    # As many files as we may, not as few as a login shell thinks proper.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    hide_memory()
    sys.excepthook = lambda _, error, __: _print_unexpected(error)
    threading.excepthook = lambda args: _print_unexpected(args.exc_value)
    # Errors of finalisers concern nobody here, and their text may hold anything.
    sys.unraisablehook = lambda _: None


def hide_memory() -> None:
    """Write no core and let no other process of the same user read this one's memory."""
    import ctypes
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Sink(io.FileIO):
    """A descriptor whose failures to write are silent: a full disk must not change an exit code."""

    def write(self, block: "Buffer", /) -> int:
        """Write the block, or drop what cannot be written."""
        out.write(self.fileno(), bytes(block), _PAGE_STALL_S)
        return memoryview(block).nbytes


class Signals:
    """SIGINT and SIGTERM from the first line on.

    Before a run works, the first signal ends the process. While one works, the first calls
    `on_first` and the run ends by itself; the second ends the process at once.

    What a reader would get wrong: after the first signal the last word is spoken in a thread of its
    own. It needs modules that may be half loaded at that moment; the main thread finishes loading
    them and then waits in `out.give_way`.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._on_first: Callable[[], None] | None = None
        self._before_leaving: Callable[[], None] | None = None
        self._is_spoken = False
        self._said = _STOPPING

    @property
    def received(self) -> "ExitCode | None":
        """The exit code of the first signal that came, None when none did."""
        if self._received is None:
            return None
        from liqctl.kernel.states import ExitCode

        return ExitCode(self._received)

    def exit_code(self, code: int) -> int:
        """Return the code to leave with: a signal's wins over every other."""
        return int(code) if self._received is None else self._received

    def install(self) -> None:
        """Catch SIGINT and SIGTERM from now on; SIGQUIT shows where the threads stand."""
        for number in _EXIT_BY_SIGNAL:
            signal.signal(number, self._handle)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        with contextlib.suppress(OSError, ValueError, AttributeError):
            faulthandler.register(signal.SIGQUIT, file=STDERR, all_threads=True)

    def ignore_hangups(self) -> None:
        """Ignore hang-ups, pipes and the stop key from now on."""
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGTSTP):
            signal.signal(number, signal.SIG_IGN)

    def shield(self, on_first: Callable[[], None], *, said: str = _STOPPING) -> None:
        """Let the first signal call `on_first`; `said` is what the operator reads then."""
        out.give_way()
        self.ignore_hangups()
        self._on_first, self._said = on_first, said

    def unshield(self) -> None:
        """Let the next signal end the process again."""
        self._on_first = None

    def before_leaving(self, restore: Callable[[], None]) -> None:
        """Let a signal that ends the process call `restore` first: the terminal is somebody's."""
        self._before_leaving, self._is_spoken = restore, False

    def last_word(self, speak: Callable[[], None]) -> None:
        """Let a signal that ends the process call `speak` first: the answer is still owed."""
        self._before_leaving, self._is_spoken = speak, True

    def _handle(self, number: int, _: FrameType | None) -> None:
        code = _EXIT_BY_SIGNAL[signal.Signals(number)]
        if self._on_first is not None and self._received is None:
            self._received = code
            out.error(self._said)
            self._on_first()
            return
        is_first, self._received = self._received is None, self._received or code
        last, self._before_leaving = self._before_leaving, None

        def leave_after() -> None:
            try:
                if last is not None:
                    last()
            finally:
                leave(0)

        def speak() -> None:
            LastResort(_LAST_WORD_S, self.exit_code(0))
            leave_after()

        if is_first and last is not None and self._is_spoken:
            speaker = threading.Thread(target=speak, daemon=True)
            with contextlib.suppress(RuntimeError):  # No thread can be had: spoken here then.
                out.speaker = speaker
                speaker.start()
                return
        out.speaker = None
        leave_after()


class LastResort:
    """Ends the process after some seconds, also one that cannot run Python, unless cancelled.

    Where nothing is left of them it ends the process at once.

    A timer of the kernel calls `_exit` in a thread of the C library's own. `faulthandler` does
    nearly the same, and serves where there is no such timer; but it walks the frames of running
    threads first, which once in a dozen resumed processes ended in a segmentation fault, and it
    always leaves with 1. Both need a thread; where none can be had, an alarm ends the process as
    the kernel does it, by a signal nobody handles, which a shell shows as 142.
    """

    def __init__(self, seconds: float, code: int = _FAILED) -> None:
        """Start counting."""
        import ctypes

        seconds = max(seconds, _AT_ONCE_S)
        self._library = ctypes.CDLL(None)
        self._timer = ctypes.c_void_p()
        self._nowhere: int | None = None
        if not self._start_timer(seconds, code):
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
            self._library.timer_delete(self._timer)
            return
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.close(self._nowhere)

    def _start_timer(self, seconds: float, code: int) -> bool:
        """Return whether the C library has such timers and started one."""
        import ctypes
        import struct

        library, timer = self._library, self._timer
        try:
            leave = ctypes.cast(library._exit, ctypes.c_void_p)  # noqa: SLF001 - its name in C
            create, settime = library.timer_create, library.timer_settime
        except AttributeError:
            return False
        event = struct.pack(_SIGEVENT, code, 0, _SIGEV_THREAD, leave.value, 0)
        if create(_CLOCK_MONOTONIC, event, ctypes.byref(timer)):
            return False
        whole, rest = divmod(seconds, 1.0)
        times = struct.pack(_ITIMERSPEC, 0, 0, int(whole), int(rest * 1e9))
        return not settime(timer, 0, times, None)


class Watchdog:
    """Ends the process shortly after a moment that the event loop should have kept.

    From its start on no output waits for a reader until later than shortly after that moment.
    """

    def __init__(self, deadline: "Deadline", on_expiry: "Callable[[], ExitCode]") -> None:
        """Start counting now; `on_expiry` records and prints what is known, from a thread."""
        self._on_expiry = on_expiry
        self._ends_at = deadline.ends
        self._last_resort_at = deadline.last_resort
        out.until = self._ends_at + _DROP_OUTPUT_S
        self._done = threading.Event()
        self.last_word = threading.Lock()
        # Who was stopped until after that moment still says what is known.
        left_s = self._last_resort_at - time.monotonic()
        self._last_resort = LastResort(max(left_s, _WATCHDOG_S))
        with contextlib.suppress(RuntimeError):  # no thread can be had; the others keep the time
            threading.Thread(target=self._watch, daemon=True, name="deadline").start()

    def keep(self, code: int) -> None:
        """The run has ended by itself; end the process with this code if the rest takes too long.

        Does not return when the watchdog has begun to print: there is one answer only.
        """
        if not self.last_word.acquire(blocking=False):
            threading.Event().wait()
        self._done.set()
        left_s = self._last_resort_at - time.monotonic()
        before, self._last_resort = self._last_resort, LastResort(max(left_s, _WATCHDOG_S), code)
        before.cancel()

    def stand_down(self) -> None:
        """End nothing: the run is over, and the process has more to do."""
        if not self.last_word.acquire(blocking=False):
            threading.Event().wait()
        self._done.set()
        self._last_resort.cancel()
        out.until = math.inf

    def _watch(self) -> None:
        if self._done.wait(max(self._ends_at + _WATCHDOG_S - time.monotonic(), 0.0)):
            return
        if not self.last_word.acquire(blocking=False):
            return
        sys.setswitchinterval(_SWITCH_S)
        code = 1
        with contextlib.suppress(Exception):  # nothing may keep the process from ending
            code = int(self._on_expiry())
        leave(code)


def leave(code: int) -> NoReturn:
    """End the process with this code, or a received signal's, whatever streams or threads do."""
    out.give_way()
    out.write(STDERR, out.canvas.keep(), ERROR_STALL_S)
    for fd, stream in ((STDOUT, sys.stdout), (STDERR, sys.stderr)):
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            if poll.poll(out.patience_s(ERROR_STALL_S) * 1000):
                stream.flush()
    os._exit(signals.exit_code(code))


def describe_unexpected(error: BaseException) -> str:
    """Return the type of an error and where in our code it came from; never its text.

    The text is a library's as often as ours and may hold a header or a signed URL.
    """
    frames = []
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if isinstance(name, str) and name.split(".")[0] == "liqctl":
            frames.append(f"{name}:{trace.tb_lineno}")
        trace = trace.tb_next
    where = " > ".join(frames[-_FRAMES_MAX:])
    return f"{type(error).__name__} at {where}" if where else type(error).__name__


def _print_unexpected(error: BaseException | None) -> None:
    if error is not None:
        out.error(f"liqctl: unexpected error: {describe_unexpected(error)}")


signals: Final = Signals()
"""The one set of signal handlers of the process."""
