"""All that `validate --online` finds: the venue's answers, and what a run needs of this machine."""

from collections.abc import Iterator

from liqctl.checks.issue import Issue
from liqctl.checks.of_machine import issue_of_drills, issues_of_run
from liqctl.checks.of_venue import issue_of_forecast, issues_of_venue
from liqctl.checks.preflight import VenueFacts
from liqctl.drill.record import DRILLS_NAME, last_drill
from liqctl.kernel.forecast import make_forecast
from liqctl.run.who import SystemClock
from liqctl.settings.values import Settings


def issues_online(
    settings: Settings, facts: VenueFacts, identity: str, key_problem: str | None
) -> Iterator[Issue]:
    """Yield everything that can be known before the emergency.

    Args:
        settings: as the run would have them.
        facts: what the venue told.
        identity: the account, as the lock names it.
        key_problem: why the key cannot sign.
    """
    yield from issues_of_venue(settings, facts)
    if facts.snapshot is not None and facts.round_trip_s is not None:
        policy, round_trip_s = settings.liquidation, facts.round_trip_s
        yield issue_of_forecast(
            settings,
            make_forecast(facts.snapshot, policy, round_trip_s=round_trip_s, limits=facts.limits),
        )
    yield from issues_of_run(settings, identity, key_problem)
    drill = last_drill(settings.audit.log_dir / DRILLS_NAME, settings.environment.value)
    yield issue_of_drills(settings, drill, SystemClock().now())
