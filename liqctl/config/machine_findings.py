"""What `validate` says of this machine: whether the record, the lock and the drills are in order.

Pure, like `findings`; the facts are gathered in `liqctl.cli.online`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from liqctl.config.findings import Issue, IssueType, Level
from liqctl.config.venue_findings import NOTHING_TO_DO, make_issue, mild
from liqctl.settings.values import Settings

DRILL_AGE_MAX: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """The last drill on record."""

    finished_at: datetime
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFacts:
    """What a run needs of this machine; problems in words, None where there is none.

    `room_problem` is about the disk under the trail, `key_problem` about a key that cannot sign.
    """

    trail_problem: str | None = None
    lock_problem: str | None = None
    running: str | None = None
    room_problem: str | None = None
    key_problem: str | None = None


def issues_of_drills(settings: Settings, drill: Drill | None, now: datetime) -> list[Issue]:
    """Return how long ago a drill passed."""
    field, advice = "drills", f"run `liqctl drill --env {settings.environment}`"
    if drill is None:
        text, level = "no drill is on record", mild(settings)
    elif not drill.passed:
        text, level = f"the last drill, on {drill.finished_at:%Y-%m-%d}, failed", mild(settings)
    else:
        days = max((now - drill.finished_at).days, 0)
        ago = f"{days} day{'' if days == 1 else 's'} ago" if days else "less than a day ago"
        text = f"the last drill passed {ago}, on {drill.finished_at:%Y-%m-%d}"
        level = mild(settings)
        if now - drill.finished_at <= DRILL_AGE_MAX:
            level, advice = Level.INFO, NOTHING_TO_DO
    return [make_issue(level, IssueType.DEPLOYMENT, field, text, advice)]


def issues_of_machine(settings: Settings, facts: LocalFacts) -> list[Issue]:
    """Return what a run would miss on this machine."""
    found = []
    if facts.trail_problem is not None:
        found.append(
            make_issue(
                mild(settings),
                IssueType.DEPLOYMENT,
                "audit.log_dir",
                f"the audit trail cannot be written: {facts.trail_problem}",
                "a run would close the account and exit 8; give the folder to this user",
            )
        )
    if facts.room_problem is not None:
        found.append(
            make_issue(
                mild(settings),
                IssueType.DEPLOYMENT,
                "audit.log_dir",
                f"there is little room for the audit trail: {facts.room_problem}",
                "make room; on a full disk a run closes the account and exits 8",
            )
        )
    if facts.key_problem is not None:
        found.append(
            make_issue(
                Level.ERROR,
                IssueType.DEPLOYMENT,
                "online.key",
                f"the key cannot be used: {facts.key_problem}",
                "correct the variable or the file; liquidate would exit 7",
            )
        )
    if facts.lock_problem is not None:
        found.append(
            make_issue(
                mild(settings),
                IssueType.DEPLOYMENT,
                "lock",
                f"nothing would keep a second run off the account: {facts.lock_problem}",
                "set XDG_STATE_HOME to a folder of this user",
            )
        )
    if facts.running is not None:
        found.append(
            make_issue(
                Level.INFO,
                IssueType.DEPLOYMENT,
                "lock",
                f"a liquidation is in progress: {facts.running}",
                "liqctl status",
            )
        )
    return found
