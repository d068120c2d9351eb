"""Each service is sent what it takes: in time, and with no word of an address or an answer."""

import logging
import ssl
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from liqctl.notify.notice import Notice
from liqctl.notify.send import Delivery, Post, has_apprise, ping_address, posts_for, send
from liqctl.settings.targets import (
    NoticeKind,
    Reference,
    ReferenceKind,
    Severity,
    Target,
    TargetType,
)
from tests.notify.receiver import receiver

CANARY = "CANARY0secret0value"
PATIENCE_S = 20.0
ADDRESS = f"https://hooks.example/{CANARY}"
TEXT = "liqctl production PARTIAL: <!channel> & <https://evil|x> _*`"


def make_target(kind: TargetType, **changes: Any) -> Target:
    """Return a target that wants everything."""
    values: dict[str, Any] = {
        "type": kind,
        "name": kind.value,
        "kinds": frozenset(NoticeKind),
        "min_severity": Severity.INFO,
        "secret": Reference(kind=ReferenceKind.VARIABLE, where="SECRET"),
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


def test_a_web_hook_is_told_of_each_account_and_of_one_as_ever() -> None:
    """Who reads `result` of one account finds it where it was."""
    accounts = [{"name": "desk-a", "state": "COMPLETED", "exit_code": 0}]

    (one,) = posts(TargetType.WEBHOOK, make_notice())
    (several,) = posts(TargetType.WEBHOOK, make_notice(details={"accounts": accounts}))

    assert one.document is not None
    assert several.document == {**one.document, "result": None, "accounts": accounts}
    assert one.document["result"] == {"state": "PARTIAL"}


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

    assert target.wants(NoticeKind(kind), Severity(severity)) is is_wanted


@pytest.fixture
def web() -> Iterator[respx.MockRouter]:
    """Stand for the network: what a test did not expect to be sent fails it."""
    with respx.mock(assert_all_called=False) as router:
        yield router


def deliver(
    targets: Sequence[Target],
    notices: Sequence[Notice] = (make_notice(),),
    *,
    seconds: float = PATIENCE_S,
    **environ: str,
) -> list[Delivery]:
    """Send the notices; `SECRET` is the address unless the environment says otherwise."""
    return send(
        targets,
        notices,
        ends_at=time.monotonic() + seconds,
        environ={"SECRET": ADDRESS, **environ},
        tls=ssl.create_default_context(),
    )


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (httpx.Response(200), None),
        (httpx.Response(204), None),
        (httpx.Response(404, text=CANARY), "HTTP 404"),
        (httpx.Response(500, text=CANARY), "HTTP 500"),
        (
            httpx.Response(302, headers={"Location": f"https://other/{CANARY}"}),
            "HTTP 302: redirects are not followed",
        ),
        (httpx.ConnectError(ADDRESS), "no connection: host, port or certificate"),
        (httpx.ReadTimeout(ADDRESS), "timed out"),
        (httpx.RemoteProtocolError(ADDRESS), "the connection broke, or the address is none"),
    ],
)
def test_every_answer_is_told_in_our_own_words(
    answer: httpx.Response | Exception,
    problem: str | None,
    web: respx.MockRouter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The words of libraries and servers hold addresses, which are secrets here."""
    caplog.set_level(logging.DEBUG)
    route = web.post(ADDRESS).mock(
        side_effect=answer if isinstance(answer, Exception) else None,
        return_value=answer if isinstance(answer, httpx.Response) else None,
    )

    (delivery,) = deliver([make_target(TargetType.SLACK)])

    assert delivery.problem == problem
    assert route.call_count == 1
    assert CANARY not in f"{delivery} {caplog.text}"


def test_one_targets_trouble_is_not_anothers(web: respx.MockRouter) -> None:
    """Slack is down on exactly the days that matter."""
    web.post(ADDRESS).mock(side_effect=httpx.ConnectError)
    web.post("https://events.example/v2/enqueue").respond(202)
    pager = make_target(TargetType.PAGERDUTY, base_url="https://events.example")

    deliveries = deliver([make_target(TargetType.SLACK), pager])

    assert [delivery.problem is None for delivery in deliveries] == [False, True]


def test_a_target_gets_the_start_before_the_end() -> None:
    """The two are sent together, long after the start."""
    notices = [
        make_notice(NoticeKind.START, severity=Severity.INFO),
        make_notice(NoticeKind.UNKNOWN),
    ]
    with receiver() as own:
        deliveries = deliver([make_target(TargetType.WEBHOOK)], notices, SECRET=f"{own.url}/a")

        assert own.events == ["start", "unknown"]
    assert [delivery.problem for delivery in deliveries] == [None, None]


def test_a_start_without_an_answer_does_not_keep_the_end_from_being_told() -> None:
    """A web hook that takes a second for each would hear that it began, and never how it ended."""
    notices = [
        make_notice(NoticeKind.START, severity=Severity.INFO),
        make_notice(NoticeKind.UNKNOWN),
    ]
    with receiver(silent_first=1) as own:
        deliveries = deliver(
            [make_target(TargetType.WEBHOOK)], notices, seconds=2.0, SECRET=f"{own.url}/a"
        )

        assert own.events == ["start", "unknown"]
    assert [delivery.problem for delivery in deliveries] == ["timed out", None]


def test_a_target_that_never_answers_ends_in_time_and_delays_nobody() -> None:
    """A dead web hook takes the connection and says nothing."""
    by_name = {"SILENT": Reference(kind=ReferenceKind.VARIABLE, where="SILENT")}
    with receiver(silent=True) as silent, receiver() as quick:
        deliveries = deliver(
            [
                make_target(TargetType.WEBHOOK, name="silent", secret=by_name["SILENT"]),
                make_target(TargetType.WEBHOOK, name="quick"),
            ],
            seconds=1.0,
            SILENT=silent.url,
            SECRET=quick.url,
        )

        assert len(quick.received) == 1
    assert [delivery.problem for delivery in deliveries] == ["timed out", None]


def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token would follow to wherever it leads."""
    with receiver() as elsewhere, receiver(status=307, location=elsewhere.url) as own:
        (delivery,) = deliver([make_target(TargetType.WEBHOOK)], SECRET=own.url)

        assert elsewhere.received == []
    assert delivery.problem == "HTTP 307: redirects are not followed"


def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy named for something else would read every message."""
    with receiver() as proxy, receiver() as own:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        (delivery,) = deliver([make_target(TargetType.WEBHOOK)], SECRET=own.url)

        assert (len(own.received), proxy.received) == (1, [])
    assert delivery.problem is None


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://example.org/x", "the address must be https, but for loopback addresses"),
        ("not a url", "the address must be a URL such as https://host/path"),
        ("", "the variable SECRET is not set"),
    ],
)
def test_an_address_that_is_none_is_never_tried(
    address: str, problem: str, web: respx.MockRouter
) -> None:
    """Over http everybody on the way reads what is open."""
    (delivery,) = deliver([make_target(TargetType.WEBHOOK)], SECRET=address)

    assert delivery.problem == problem
    assert not web.calls


def test_a_secret_may_stand_in_a_file(web: respx.MockRouter, tmp_path: Path) -> None:
    """Docker, Kubernetes and systemd hand out secrets as files."""
    file = tmp_path / "url"
    file.write_text(f"{ADDRESS}\n")
    route = web.post(ADDRESS)
    secret = Reference(kind=ReferenceKind.FILE, where=str(file))
    (delivery,) = deliver([make_target(TargetType.WEBHOOK, secret=secret)])
    file.unlink()
    (gone,) = deliver([make_target(TargetType.WEBHOOK, secret=secret)])

    assert route.call_count == 1
    assert delivery.problem is None
    assert gone.problem == f"notifications: {file}: No such file or directory"


@pytest.mark.parametrize(
    ("body", "problem"), [(b"OK", None), (b"OK (not found)", "there is no such check")]
)
def test_a_check_that_does_not_exist_is_no_delivery(
    body: bytes, problem: str | None, web: respx.MockRouter
) -> None:
    """healthchecks.io answers 200 all the same."""
    web.post(url__startswith=ADDRESS).respond(content=body)
    (delivery,) = deliver([make_target(TargetType.HEALTHCHECKS)])

    assert delivery.problem == problem


def test_apprise_is_an_extra_that_is_asked_for_by_name() -> None:
    """Its absence must not be a mystery at night."""
    if has_apprise():
        pytest.skip("apprise is installed here")
    (delivery,) = deliver([make_target(TargetType.APPRISE)])

    assert delivery.problem == "apprise is not installed: pip install liqctl[apprise]"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise's, of its own parts
def test_apprise_delivers_what_it_is_given() -> None:
    """The real library, against a real server."""
    if not has_apprise():
        pytest.skip("apprise is not installed: pip install liqctl[apprise]")
    with receiver() as own:
        address = own.url.replace("http://", "json://")
        good, bad = (
            deliver([make_target(TargetType.APPRISE)], SECRET=secret)[0]
            for secret in (address, f"nonsense://{CANARY}")
        )

        assert own.received[0].document["type"] == "failure"
        assert own.received[0].document["message"] == make_notice().text
    assert (good.problem, bad.problem) == (None, "apprise does not know this address")


def test_nobody_asked_is_nothing_sent(web: respx.MockRouter) -> None:
    """No thread, no connection, no library."""
    target = make_target(TargetType.SLACK, min_severity=Severity.CRITICAL)

    assert deliver([target], [make_notice(severity=Severity.INFO)]) == []
