"""What each service is sent: its own conventions, and no word of others taken for markup."""

import uuid
from typing import Any

import pytest

from liqctl.notify.notice import (
    Holder,
    Notice,
    NoticeKind,
    Reference,
    Severity,
    Target,
    TargetType,
)
from liqctl.notify.payloads import Post, ping_address, posts_for

TEXT = "liqctl production PARTIAL: <!channel> & <https://evil|x> _*`"


def make_target(kind: TargetType, **changes: Any) -> Target:
    """Return a target that wants everything."""
    values: dict[str, Any] = {
        "type": kind,
        "name": kind.value,
        "kinds": frozenset(NoticeKind),
        "min_severity": Severity.INFO,
        "secret": Reference(holder=Holder.VARIABLE, where="SECRET"),
        "base_url": "https://service.example",
    }
    return Target(**(values | changes))


def make_notice(kind: NoticeKind = NoticeKind.END, **changes: Any) -> Notice:
    """Return a notice of a run that ended badly."""
    values: dict[str, Any] = {
        "kind": kind,
        "severity": Severity.CRITICAL,
        "text": TEXT,
        "at": "2026-01-02T10:30:00.000000Z",
        "environment": "production",
        "correlation_id": "liq_1",
        "exit_code": 3,
        "details": {"state": "PARTIAL"},
    }
    return Notice(**(values | changes))


def posts(kind: TargetType, notice: Notice, **changes: Any) -> list[Post]:
    """Return what a target of this type is sent."""
    target = make_target(kind, **changes)
    return list(posts_for(target, notice, secret="https://secret.example/x", token="t0"))


def test_slack_takes_no_word_for_a_mention_or_a_link() -> None:
    """`<!channel>` in a symbol's name would call the whole company."""
    (post,) = posts(TargetType.SLACK, make_notice())

    assert post.document == {
        "text": "liqctl production PARTIAL: &lt;!channel&gt; &amp; &lt;https://evil|x&gt; _*`",
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_telegram_gets_plain_text_without_any_markup_mode() -> None:
    """A stray asterisk under `parse_mode` makes Telegram refuse the whole message."""
    (post,) = posts_for(
        make_target(TargetType.TELEGRAM, chat_id="-5"), make_notice(), secret="1:abc"
    )

    assert post.url == "https://service.example/bot1:abc/sendMessage"
    assert post.document == {
        "chat_id": "-5",
        "text": TEXT,
        "link_preview_options": {"is_disabled": True},
        "disable_notification": False,
    }


def test_pagerduty_is_triggered_under_the_runs_name() -> None:
    """The name ties what is sent of one run to one alert."""
    (post,) = posts_for(make_target(TargetType.PAGERDUTY), make_notice(), secret="key")

    assert post.url == "https://service.example/v2/enqueue"
    assert post.document == {
        "routing_key": "key",
        "dedup_key": "liq_1",
        "client": "liqctl",
        "event_action": "trigger",
        "payload": {
            "summary": TEXT,
            "source": "liqctl",
            "severity": "critical",
            "timestamp": "2026-01-02T10:30:00.000000Z",
            "component": "production",
            "class": "end",
            "custom_details": {"state": "PARTIAL"},
        },
    }


@pytest.mark.parametrize(
    ("notice", "actions"),
    [
        (make_notice(severity=Severity.INFO, exit_code=0), ["resolve"]),
        (make_notice(NoticeKind.START, severity=Severity.INFO, exit_code=None), ["trigger"]),
        (make_notice(NoticeKind.TEST, severity=Severity.INFO), ["trigger", "resolve"]),
        (make_notice(NoticeKind.UNKNOWN), ["trigger"]),
    ],
)
def test_pagerduty_is_resolved_by_good_news_only(notice: Notice, actions: list[str]) -> None:
    """An open alert that nobody caused keeps people awake; a closed one lets them sleep."""
    sent = [post.document or {} for post in posts(TargetType.PAGERDUTY, notice)]

    assert [document["event_action"] for document in sent] == actions


@pytest.mark.parametrize(
    ("notice", "step"),
    [
        (make_notice(NoticeKind.START, exit_code=None), "start"),
        (make_notice(severity=Severity.INFO, exit_code=0), "0"),
        (make_notice(severity=Severity.WARNING, exit_code=0), "fail"),
        (make_notice(NoticeKind.UNKNOWN, exit_code=7), "7"),
        (make_notice(exit_code=143), "143"),
        (make_notice(NoticeKind.TEST, exit_code=None), "log"),
    ],
)
def test_healthchecks_is_pinged_by_its_conventions(notice: Notice, step: str) -> None:
    """An exit code of 0 is a success there; a disarmed switch is none. A test changes no state."""
    rid = uuid.uuid5(uuid.NAMESPACE_OID, "liq_1")

    assert ping_address("https://hc-ping.com/id", notice) == (
        f"https://hc-ping.com/id/{step}?rid={rid}"
    )
    assert ping_address("https://hc-ping.com/key/slug/?create=1", notice) == (
        f"https://hc-ping.com/key/slug/{step}?create=1&rid={rid}"
    )


def test_a_webhook_of_ones_own_gets_the_whole_notice_and_a_bearer_token() -> None:
    """A program reads fields, not sentences."""
    (post,) = posts(TargetType.WEBHOOK, make_notice())

    assert post.headers == {"Authorization": "Bearer t0"}
    assert post.document == {
        "schema": "liqctl.notification/1",
        "event": "end",
        "severity": "critical",
        "text": TEXT,
        "at": "2026-01-02T10:30:00.000000Z",
        "environment": "production",
        "correlation_id": "liq_1",
        "exit_code": 3,
        "result": {"state": "PARTIAL"},
    }
    assert "secret" not in repr(post)


@pytest.mark.parametrize(
    ("kinds", "least", "kind", "severity", "is_wanted"),
    [
        ({NoticeKind.END}, "info", "unknown", "critical", True),
        ({NoticeKind.UNKNOWN}, "info", "end", "critical", False),
        ({NoticeKind.END}, "info", "start", "info", False),
        ({NoticeKind.END}, "warning", "end", "info", False),
        ({NoticeKind.END}, "warning", "end", "warning", True),
        ({NoticeKind.END}, "critical", "test", "info", True),
    ],
)
def test_a_target_hears_what_it_asked_for(
    kinds: set[NoticeKind], least: str, kind: str, severity: str, is_wanted: bool
) -> None:
    """Whoever asks for ends must hear of the worst of them."""
    target = make_target(TargetType.SLACK, kinds=frozenset(kinds), min_severity=Severity(least))

    assert target.wants(make_notice(NoticeKind(kind), severity=Severity(severity))) is is_wanted
