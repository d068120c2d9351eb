"""What people are told of an armed process: that it is armed, what it lacks, that it tripped.

info: armed and disarmed; everything is there again; tripped by a handover, whose run is told too.
warning: degraded; tripped by a signal; would have tripped.
critical: blind; tripped by a guard or by the heartbeat.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from liqctl.desk.text import clean
from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.states import TripCause
from liqctl.notify.notice import TEXT_MAX, Notice
from liqctl.run.who import SystemClock
from liqctl.settings.targets import NoticeKind, Severity

LASTS_S: Final = 5.0
"""How long a change of health has to last to be told: connecting a stream anew takes less."""

APART_S: Final = 60.0
"""How far apart two changes of health are told at least."""

_ARMED: Final = "armed"
_BLIND: Final = "blind"
_REASONS_MAX: Final = 600
_SEVERITIES: Final[Mapping[str, Severity]] = {
    TripCause.GUARD: Severity.CRITICAL,
    TripCause.HEARTBEAT: Severity.CRITICAL,
    TripCause.SIGNAL: Severity.WARNING,
    TripCause.HANDOVER: Severity.INFO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Which armed process it is about."""

    environment: str
    account: str | None
    correlation_id: str

    def armed(self, told: str) -> Notice:
        """Return that it is armed; `told` says what it watches."""
        return self._make(NoticeKind.ARMED, Severity.INFO, f"ARMED: {told}")

    def disarmed(self, why: str) -> Notice:
        """Return that it ended without a trip."""
        text = f"DISARMED: {why}; nothing watches the account"
        return self._make(NoticeKind.ARMED, Severity.INFO, text)

    def health(self, health: str, reasons: Sequence[str]) -> Notice:
        """Return how much it can see now."""
        if health == _ARMED:
            text = "ARMED again: everything that it needs is there"
            return self._make(NoticeKind.DEGRADED, Severity.INFO, text, resolves=True)
        why = clean("; ".join(reasons))[:_REASONS_MAX]
        severity = Severity.CRITICAL if health == _BLIND else Severity.WARNING
        return self._make(NoticeKind.DEGRADED, severity, f"{health.upper()}: {why}")

    def tripped(self, by: TripCause, why: str, run: str) -> Notice:
        """Return that it closes the account; the end of that run resolves it."""
        text = f"TRIPPED by {by}: {clean(why)[:_REASONS_MAX]}; it closes the account now"
        return self._make(NoticeKind.TRIPPED, _SEVERITIES[by], text, run=run)

    def would_have_tripped(self, by: TripCause, why: str) -> Notice:
        """Return that it would have closed the account, and only observes."""
        text = f"WOULD HAVE TRIPPED by {by}: {clean(why)[:_REASONS_MAX]}; it only observes"
        return self._make(NoticeKind.TRIPPED, Severity.WARNING, text)

    def _make(
        self,
        kind: NoticeKind,
        severity: Severity,
        text: str,
        *,
        run: str | None = None,
        resolves: bool = False,
    ) -> Notice:
        name = clean(f"{self.environment} {self.account}" if self.account else self.environment)
        tail = f"; run {run}" if run else f"; {self.correlation_id}"
        return Notice(
            kind=kind,
            severity=severity,
            text=f"liqctl {name} {text[: TEXT_MAX - 200]}{tail}",
            at=rfc3339(SystemClock().now()),
            environment=self.environment,
            correlation_id=run or self.correlation_id,
            resolves=resolves,
        )


class HealthNews:
    """Decides which change of health is told, and when: one that lasts, and not too often.

    What went and came back in between is nobody's news.
    """

    def __init__(self) -> None:
        self._health = self._told = _ARMED
        self._changed_at = 0.0
        self._told_at = float("-inf")

    def note(self, health: str, now: float) -> float | None:
        """Take the present health; return when to ask `is_due`, None where nothing is to tell."""
        if health != self._health:
            self._health, self._changed_at = health, now
        if self._health == self._told:
            return None
        return max(self._changed_at + LASTS_S, self._told_at + APART_S)

    def is_due(self, now: float) -> bool:
        """Return whether the present health is told now, which then counts as told."""
        due_at = self.note(self._health, now)
        if due_at is None or now < due_at:
            return False
        self._told, self._told_at = self._health, now
        return True
