"""One liquidation of an account at a time, by a lock that cannot disarm the switch.

The kernel holds the lock (`flock`), so it dies with its process, and it is never waited for. The
file beside it says who holds it; that text is a hint for people, so anything may stand there. A
text without a lock is the trace of a run that died.

    nobody holds it, no text        Acquired
    nobody holds it, text stands    Acquired, `previous` is the dead run
    held, within its own deadline   Blocked
    held, past its deadline + 1 s   Acquired without the lock, `overrun` is the other run
    held, no believable text        as if a run of the longest deadline began at the file's time
    nowhere to put the file         Acquired without the lock, `unlocked_because` says why
"""

import contextlib
import fcntl
import hashlib
import json
import math
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.pacing import (
    LOCK_TEXT_WAIT_S,
    LOCK_WAIT_MAX_S,
    OVERRUN_GRACE_S,
    RELEASE_WAIT_MAX_S,
)
from liqctl.kernel.policy import LIMITS
from liqctl.run import describe_actor, make_private, nearest_existing, state_folders
from liqctl.trail.durability import HelperThread, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

HELD_MAX_S: Final = LIMITS["timeout_seconds"].high + OVERRUN_GRACE_S
"""How long after its file's time a lock is believed to be a run's, whatever its text says."""

_TEXT_MAX_BYTES: Final = 4096
_FIELD_MAX: Final = 1024
_PID_END: Final = 2**31
_EPOCH_END_S: Final = 1e12
"""In the year 33658; NaN is no less than it either."""

_LOCKS_MAX: Final = 1000
_TRIES: Final = 3
_TRY_AGAIN_S: Final = 0.001
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Holder(NamedTuple):
    """Who holds the lock. `deadline_at` is in epoch seconds, `started_at` in RFC 3339.

    `unburied` are the correlation ids, space-separated, of earlier runs that died and whose record
    this one has yet to close.
    """

    correlation_id: str
    pid: int
    host: str
    user: str
    started_at: str
    deadline_at: float
    log_path: str
    environment: str
    unburied: str = ""


class Acquired(NamedTuple):
    """The run may go on; `fd` is None where it does without the lock.

    `previous` is a dead run that never cleared its text; `overrun` a living one that is passed
    over, where its name can be read; `unlocked_because` tells why nothing keeps others away.
    """

    fd: int | None = None
    previous: Holder | None = None
    overrun: Holder | None = None
    unlocked_because: str | None = None


class Blocked(NamedTuple):
    """Another run holds the lock; `holder` is None when its text cannot be read."""

    holder: Holder | None


def lock_identity(*, environment: str, key_fingerprint: str, base_url: str) -> str:
    """Return what one lock is for: one key in one environment at one host."""
    text = "\0".join((environment, key_fingerprint, base_url.rstrip("/").lower()))
    return f"{environment}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def acquire_lock(
    identity: str, holder: Holder, *, fallback_dir: Path, now: float
) -> Acquired | Blocked:
    """Take the lock of an identity if it is free; never waits and never raises.

    `holder` is who we are, for others to read; `fallback_dir` the log directory, used where no
    state directory can be had; `now`, in epoch seconds, is compared with the other's deadline.
    """
    problem = "no directory for its state"
    for directory in (*state_folders(), fallback_dir):
        path = directory / f"{identity}.lock"
        try:
            make_private(directory, is_ours=directory != fallback_dir)
            fd = _open(path)
        except OSError as error:
            problem = f"{directory}: {error.strerror or type(error).__name__}"
        else:
            break
    else:
        return Acquired(unlocked_because=problem)
    try:
        _flock(fd)
    except BlockingIOError:
        other, ends_at = _read_holder(fd, now)
        os.close(fd)
        if now <= ends_at:
            return Blocked(holder=other)
        return Acquired(overrun=other, unlocked_because="its holder has overrun its deadline")
    except OSError as error:
        os.close(fd)
        return Acquired(unlocked_because=f"{path}: {error.strerror}")
    previous = _read(fd)
    if previous is not None:
        dead = f"{previous.unburied} {previous.correlation_id}".strip()
        holder = holder._replace(unburied=dead[-_FIELD_MAX:])
    # In one step, so that a reader sees all of the text or knows that it does not. The file's time
    # is set by the clock that its readers compare it with.
    text = json.dumps(holder._asdict()).encode("ascii") + b"\n"
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, text, 0)
        os.utime(fd, (now, now))
    return Acquired(fd=fd, previous=previous)


def release(taken: Acquired) -> None:
    """Clear the text, then let go; never raises."""
    if taken.fd is None:
        return
    with contextlib.suppress(OSError):
        os.ftruncate(taken.fd, 0)
    with contextlib.suppress(OSError):
        os.close(taken.fd)


def read_lock(identity: str, *, fallback_dir: Path) -> Blocked | None:
    """Return which run holds the lock now, None for none; changes nothing and never raises."""
    for directory in (*state_folders(), fallback_dir):
        with contextlib.suppress(OSError):
            return _look_at(directory / f"{identity}.lock")
    return None


def find_held(environment: str, *, fallback_dir: Path) -> Blocked | None:
    """Return the first run that holds a lock of an environment now, of whatever key.

    For who has no key and so cannot name the account; changes nothing and never raises.
    """
    for directory in (*state_folders(), fallback_dir):
        for path in islice(directory.glob(f"{environment}-*.lock"), _LOCKS_MAX):
            with contextlib.suppress(OSError):
                if (held := _look_at(path)) is not None:
                    return held
    return None


def lock_problem(*, fallback_dir: Path) -> str | None:
    """Return why no lock could be taken here, None when one could; makes nothing."""
    for directory in (*state_folders(), fallback_dir):
        if os.access(nearest_existing(directory), os.W_OK | os.X_OK):
            return None
    return "no folder for it can be written"


@dataclass(kw_only=True, eq=False)
class AccountLock:
    """Keeps a second process off the account while a run works.

    Every call on its file is made in a helper thread. A disk that answers later than the run waits
    still gives it the lock then. Whoever is kept off is told `environment` and `log_path`, the
    trail this run writes to.
    """

    identity: str
    environment: str
    log_path: Path
    taken: Acquired | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Have no lock yet."""
        self._thread = HelperThread("lock")
        self._guard = threading.Lock()
        self._run_no = 0
        self.written: Ticket | None = None
        """When the lock's text stands, where it is taken beside the run."""

        self._again: Callable[[], Blocked | None] | None = None

    def acquire(
        self,
        correlation_id: str,
        started_at: datetime,
        timeout_s: float,
        *,
        wait_s: float = LOCK_WAIT_MAX_S,
    ) -> Blocked | None:
        """Take the lock without waiting; return who has it, None when the run may go on.

        The disk gets `wait_s` to answer; with 0 the lock is taken beside the run.
        """
        self._again = partial(self.acquire, correlation_id, started_at, timeout_s)
        self._run_no += 1
        run_no = self._run_no
        refusals: list[Blocked] = []

        def take() -> None:
            actor = describe_actor()
            holder = Holder(
                correlation_id=correlation_id,
                pid=int(str(actor["pid"])),
                host=str(actor["host"]),
                user=str(actor["user"]),
                started_at=rfc3339(started_at),
                deadline_at=started_at.timestamp() + timeout_s,
                log_path=str(self.log_path.absolute()),
                environment=self.environment,
            )
            answer = acquire_lock(
                self.identity, holder, fallback_dir=self.log_path.parent, now=started_at.timestamp()
            )
            with self._guard:
                is_wanted = run_no == self._run_no
                if isinstance(answer, Blocked):
                    refusals.append(answer)
                elif is_wanted:
                    self.taken = answer
            if isinstance(answer, Acquired) and not is_wanted:  # Its run has ended meanwhile.
                release(answer)

        written = self._thread.call(take)
        written.wait(wait_s)
        self.written = None if wait_s else written
        with self._guard:
            if refusals:
                return refusals[0]
            if self.taken is None:
                late = f"its disk did not answer in {wait_s:g} s" if wait_s else None
                self.taken = Acquired(unlocked_because=late)
        return None

    def look_again(self) -> None:
        """Take the lock after all, if who was passed over has died meanwhile."""
        passed = self.taken
        if passed is not None and passed.overrun is not None and self._again is not None:
            self.taken = None
            if self._again() is not None or not self._is_held:
                self.taken = passed

    @property
    def _is_held(self) -> bool:
        return self.taken is not None and self.taken.fd is not None

    def pass_over(self, holder: Holder | None, why: str) -> None:
        """Go on without the lock; `why` is what its holder did."""
        self.taken = Acquired(overrun=holder, unlocked_because=f"its holder {why}")

    @property
    def dead_run(self) -> Holder | None:
        """The run that held the lock before and died without a word."""
        return self.taken.previous if self.taken else None

    @property
    def note(self) -> str | None:
        """What the operator should know of how the run goes on without the lock."""
        if self.taken is None or self.taken.unlocked_because is None:
            return None
        if self.taken.overrun is not None:
            why = self.taken.unlocked_because.replace("its holder", "which")
            return f"passed over {describe_holder(self.taken.overrun)}, {why}"
        return (
            "nothing keeps a second run off this account: the lock could not be taken "
            f"({self.taken.unlocked_because})"
        )

    def release(self) -> None:
        """Give the lock back; never raises."""
        with self._guard:
            taken, self.taken = self.taken, None
            self._run_no += 1
        if taken is not None:
            self._thread.call(lambda: release(taken)).wait(RELEASE_WAIT_MAX_S)


def describe_holder(holder: Holder | None) -> str:
    """Return who holds a lock, in words."""
    if holder is None:
        return "another run, which left no name"
    return (
        f"run {holder.correlation_id} of {holder.user} on {holder.host} (process {holder.pid}, "
        f"since {holder.started_at})"
    )


def _read_holder(fd: int, now: float) -> tuple[Holder | None, float]:
    """Return who holds the lock, and until when that is believed.

    A run writes its text right after it has the lock, so a missing one is looked for again.
    """
    looks_until = time.monotonic() + LOCK_TEXT_WAIT_S
    while (holder := _read(fd)) is None and time.monotonic() < looks_until:
        time.sleep(_TRY_AGAIN_S)  # noqa: TID251 - a file has nothing to wait on
    try:
        began_at = os.fstat(fd).st_mtime
    except OSError:
        return holder, now
    if began_at > now + OVERRUN_GRACE_S:  # The clock was set back: nothing there can be believed.
        return holder, -math.inf
    ends_at = began_at + HELD_MAX_S
    return holder, ends_at if holder is None else min(ends_at, holder.deadline_at + OVERRUN_GRACE_S)


def _flock(fd: int) -> None:
    """Take the lock, or raise BlockingIOError; `status` may have it for an instant to see it."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_TRY_AGAIN_S)  # noqa: TID251 - flock has nothing to wait on
    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _look_at(path: Path) -> Blocked | None:
    """Return who holds a lock file, None for nobody; raises OSError where it cannot be opened."""
    fd = os.open(path, _READ_FLAGS)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # For an instant: a run tries again.
    except BlockingIOError:
        return Blocked(holder=_read(fd))
    except OSError:  # This file system has no locks: nobody can hold one.
        return None
    else:
        return None
    finally:
        os.close(fd)  # Lets go of the lock too.


def _open(path: Path) -> int:
    fd = os.open(path, _FLAGS, 0o600)
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1:
        return fd
    os.close(fd)
    raise OSError(0, "not a regular file of ours")


def _read(fd: int) -> Holder | None:
    """Return whom the text names; None for no text, half a text or any other."""
    try:
        text = os.pread(fd, _TEXT_MAX_BYTES, 0)
        found = json.loads(text) if text.endswith(b"\n") else None
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    values: dict[str, Any] = {"unburied": ""}
    for name, kind in Holder.__annotations__.items():
        value = values[name] = found.get(name, values.get(name))
        if kind is str:
            is_believed = isinstance(value, str) and len(value) <= _FIELD_MAX
        elif kind is int:
            is_believed = isinstance(value, int) and 0 < value < _PID_END
        else:
            is_believed = isinstance(value, int | float) and abs(value) < _EPOCH_END_S
        if isinstance(value, bool) or not is_believed:
            return None
    return Holder(**values)
