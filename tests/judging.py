"""The drill's judges, and what only seeds are held to: that a run did all that it could.

A scenario's promise says that better.
"""

from dataclasses import replace

from liqctl.drill.judges import Case, Judgement, judge
from liqctl.kernel.events import AuditEventType


def judge_fully(case: Case, *, troubled: bool = False) -> Judgement:
    """Return the verdict by every rule; `troubled` excuses the run from ending flat."""
    case.venue.tick(case.ended_ms)
    broken = [*look_ups(case), *duty(case, troubled=troubled)]
    verdict = judge(case)
    return replace(verdict, broken=[*broken, *verdict.broken])


def look_ups(case: Case) -> list[str]:
    """An order that was not answered is looked up, while there is time to."""
    if case.result.deadline_exceeded or not case.completed:
        return []
    asked = {row[3] for row in case.venue.account.journal.requests if row[1] == "GET"}
    return [
        f"{details['client_order_id']} was never looked up"
        for name, details in case.events
        if name == AuditEventType.ORDER_UNKNOWN and details["client_order_id"] not in asked
    ]


def duty(case: Case, *, troubled: bool) -> list[str]:
    """With nothing going wrong, the account is flat at the end."""
    account = case.venue.account
    journal = account.journal
    if troubled or journal.faults or journal.activity or account.lags or case.completed:
        return []
    return [f"nothing went wrong, and it ended {case.result.state}"]


def is_false_alarm(case: Case) -> bool:
    """Return whether the run says that somebody trades, though nobody did."""
    told = [case.result.error_message or "", *case.result.notes]
    alarmed = any("still trading" in text for text in told) or any(
        name == AuditEventType.REENTRY_SEEN for name, _ in case.events
    )
    return alarmed and not case.venue.account.journal.activity
