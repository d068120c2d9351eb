"""The lock of one account, as a run sees it: taken, refused, or passed over."""

import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from liqctl.kernel.times import rfc3339
from liqctl.run.actor import describe_actor
from liqctl.run.lock import Acquired, Blocked, Holder, RunLock, acquire_lock, release
from liqctl.trail.durability import HelperThread

LOCK_WAIT_MAX_S: Final = 0.2
"""How long a run waits for the disk that holds its lock: a thousand times what it needs, once, and
less than an operator would notice. Without the lock a second run could work beside this one, which
reduce-only orders make harmless."""

RELEASE_WAIT_MAX_S: Final = 0.05
"""How long the end waits for the lock's text to be cleared; the next run copes with one left."""


@dataclass(slots=True, kw_only=True)
class AccountLock:
    """Keeps a second process off the account while a run works.

    Every call on its file is made in a helper thread. A disk that answers later than the run waits
    still gives it the lock then.

    Args:
        identity: which account, see `lock.lock_identity`.
        environment: its name, for whoever is kept off.
        log_path: the trail this run writes to.
    """

    identity: str
    environment: str
    log_path: Path
    taken: Acquired | None = None
    _thread: HelperThread = field(default_factory=lambda: HelperThread("lock"))
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _run_no: int = 0

    def acquire(
        self, correlation_id: str, started_at: datetime, timeout_s: float
    ) -> Blocked | None:
        """Take the lock without waiting; return who has it, None when the run may go on."""
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
                self.identity,
                holder,
                fallback_dir=self.log_path.parent,
                now=started_at.timestamp(),
            )
            with self._guard:
                is_wanted = run_no == self._run_no
                if isinstance(answer, Blocked):
                    refusals.append(answer)
                elif is_wanted:
                    self.taken = answer
            if isinstance(answer, Acquired) and not is_wanted:  # Its run has ended meanwhile.
                release(answer.lock)

        self._thread.call(take).wait(LOCK_WAIT_MAX_S)
        with self._guard:
            if refusals:
                return refusals[0]
            if self.taken is None:
                self.taken = Acquired(
                    lock=RunLock(path=None, fd=None),
                    unlocked_because=f"its disk did not answer in {LOCK_WAIT_MAX_S:g} s",
                )
        return None

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
            return (
                f"passed over {describe_holder(self.taken.overrun)}, which has overrun its own "
                "deadline"
            )
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
            self._thread.call(lambda: release(taken.lock)).wait(RELEASE_WAIT_MAX_S)


def describe_holder(holder: Holder | None) -> str:
    """Return who holds a lock, in words."""
    if holder is None:
        return "another run, which left no name"
    return (
        f"run {holder.correlation_id} of {holder.user} on {holder.host} (process {holder.pid}, "
        f"since {holder.started_at})"
    )
