"""The lock of one account, as a run sees it: taken, refused, or passed over."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from liqctl.domain.times import rfc3339
from liqctl.engine.actor import describe_actor
from liqctl.engine.lock import Acquired, Blocked, Holder, acquire_lock, release


@dataclass(slots=True, kw_only=True)
class AccountLock:
    """Keeps a second process off the account while a run works.

    Args:
        identity: which account, see `lock.lock_identity`.
        environment: its name, for whoever is kept off.
        log_path: the trail this run writes to.
    """

    identity: str
    environment: str
    log_path: Path
    taken: Acquired | None = None

    def acquire(
        self, correlation_id: str, started_at: datetime, timeout_s: float
    ) -> Blocked | None:
        """Take the lock without waiting; return who has it, None when the run may go on."""
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
        if isinstance(answer, Blocked):
            return answer
        self.taken = answer
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
        if self.taken is not None:
            release(self.taken.lock)
            self.taken = None


def describe_holder(holder: Holder | None) -> str:
    """Return who holds a lock, in words."""
    if holder is None:
        return "another run, which left no name"
    return (
        f"run {holder.correlation_id} of {holder.user} on {holder.host} (process {holder.pid}, "
        f"since {holder.started_at})"
    )
