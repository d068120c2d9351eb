"""What people are told of an armed process, and how often."""

from itertools import pairwise

import pytest

from liqctl.kernel.states import TripCause
from liqctl.notify.notice import APART_S, LASTS_S, TEXT_MAX, HealthNews, Notice, Post
from liqctl.notify.send import ping_address, posts_for
from liqctl.settings.targets import NoticeKind, Severity, Target, read_targets

POST = Post(environment="production", account="desk-a", correlation_id="arm_1")
PAGERDUTY = {"type": "pagerduty", "routing_key_env": "KEY"}
EVERY = ["armed", "degraded", "tripped"]


def told(changes: list[tuple[float, str]], until: float) -> list[tuple[float, str]]:
    """Return what is told, and when, of health that changes so; looked at each half second."""
    news, found, now = HealthNews(), [], 0.0
    health = "armed"
    while now <= until:
        for at, to in changes:
            health = to if at <= now else health
        news.note(health, now)
        if news.is_due(now):
            found.append((now, health))
        now += 0.5
    return found


def test_a_change_of_health_is_told_once_when_it_lasts() -> None:
    """A stream that is connected anew in a second wakes nobody."""
    assert told([(10, "degraded")], 300) == [(10 + LASTS_S, "degraded")]
    assert told([(10, "degraded"), (11, "armed")], 300) == []


def test_changes_are_told_a_minute_apart_and_what_came_and_went_is_not() -> None:
    """An account whose health flaps would else fill a channel."""
    flaps = [(10.0 * n, "degraded" if n % 2 else "armed") for n in range(1, 40)]
    moments = [at for at, _ in told(flaps, 400)]

    assert moments
    assert all(b - a >= APART_S for a, b in pairwise(moments))
    assert told([(10, "degraded"), (20, "blind"), (100, "armed")], 400) == [
        (15, "degraded"),
        (75, "blind"),
        (135, "armed"),
    ]


def test_the_messages_are_one_line_and_as_bad_as_what_happened() -> None:
    """Read on a telephone: which account, what, and where to read on."""
    tripped = POST.tripped(TripCause.GUARD, "guard max_loss 500 tripped: 612.30", "liq_7")

    assert tripped.text == (
        "liqctl production desk-a TRIPPED by GUARD: guard max_loss 500 tripped: 612.30; it closes "
        "the account now; run liq_7"
    )
    assert (tripped.kind, tripped.severity) == (NoticeKind.TRIPPED, Severity.CRITICAL)
    assert POST.tripped(TripCause.HANDOVER, "", "liq_7").severity is Severity.INFO
    assert POST.health("blind", ("no reading",)).severity is Severity.CRITICAL
    assert "\x1b" not in POST.health("degraded", ("stream\n\x1b[31m",)).text
    assert POST.armed("3 positions, 2 guards").text == (
        "liqctl production desk-a ARMED: 3 positions, 2 guards; arm_1"
    )
    assert len(POST.health("blind", ("x" * 5000,)).text) <= TEXT_MAX


def test_trips_are_for_everybody_and_the_rest_for_who_asks() -> None:
    """Targets that were set up before go on as they were, but for a trip."""
    slack = {"type": "slack", "url_env": "HOOK"}
    check = {"type": "healthchecks", "url_env": "HOOK"}
    by_default, on_ask, ends, pinged = read_targets(
        [slack, slack | {"events": EVERY}, slack | {"events": ["end"]}, check]
    )
    kinds = [NoticeKind.ARMED, NoticeKind.DEGRADED, NoticeKind.TRIPPED]

    def wanted(target: Target) -> list[bool]:
        return [target.wants(kind, Severity.CRITICAL) for kind in kinds]

    assert wanted(by_default) == [False, False, True]
    assert wanted(on_ask) == [True, True, True]
    assert wanted(ends) == wanted(pinged) == [False, False, False]


def test_what_is_there_again_resolves_the_alert_and_reaches_who_got_it() -> None:
    """PagerDuty hears of warnings only: an alert that nothing ends is taken for noise."""
    (target,) = read_targets([PAGERDUTY | {"events": EVERY}])
    bad, good = POST.health("degraded", ("stream",)), POST.health("armed", ())

    assert target.wants(bad.kind, bad.rank)
    assert target.wants(good.kind, good.rank)
    (trigger,) = posts_for(target, bad, secret="key")
    (resolve,) = posts_for(target, good, secret="key")
    assert trigger.document is not None
    assert resolve.document is not None
    assert (trigger.document["event_action"], resolve.document["event_action"]) == (
        "trigger",
        "resolve",
    )
    assert trigger.document["dedup_key"] == resolve.document["dedup_key"] == "arm_1"


def test_a_trip_is_resolved_by_the_end_of_its_run() -> None:
    """Its alert goes by the name of the run."""
    (target,) = read_targets([PAGERDUTY])
    (post,) = posts_for(target, POST.tripped(TripCause.GUARD, "loss", "liq_7"), secret="key")

    assert post.document is not None
    assert post.document["dedup_key"] == "liq_7"


@pytest.mark.parametrize(
    "notice",
    [
        POST.armed("nothing"),
        POST.health("blind", ("x",)),
        POST.tripped(TripCause.GUARD, "loss", "liq_7"),
    ],
    ids=EVERY,
)
def test_what_is_of_no_run_changes_nothing_of_a_check(notice: Notice) -> None:
    """healthchecks.io would take an unknown code for a failure of the run."""
    assert "/log?rid=" in ping_address("https://hc-ping.com/x", notice)
