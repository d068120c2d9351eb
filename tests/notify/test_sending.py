"""Sending: all at once, in time, and without a word of an address or an answer."""

import logging
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import respx

from liqctl.notify.notice import Delivery, Holder, Notice, NoticeKind, Reference, Severity, Target
from liqctl.notify.notice import TargetType as Kind
from liqctl.notify.sending import Sender, has_apprise
from tests.notify.receiver import receiver
from tests.notify.test_payloads import make_notice, make_target

CANARY = "CANARY0secret0value"
PATIENCE_S = 20.0
ADDRESS = f"https://hooks.example/{CANARY}"


def send(
    targets: Sequence[Target],
    notices: Sequence[Notice] = (make_notice(),),
    *,
    seconds: float = PATIENCE_S,
    **environ: str,
) -> list[Delivery]:
    """Send the notices; `SECRET` is the address unless the environment says otherwise."""
    sender = Sender(
        environ={"SECRET": ADDRESS, **environ},
        tls=ssl.create_default_context(),
    )
    return sender.send(targets, notices, ends_at=time.monotonic() + seconds)


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
@respx.mock
def test_every_answer_is_told_in_our_own_words(
    answer: httpx.Response | Exception, problem: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The words of libraries and servers hold addresses, which are secrets here."""
    caplog.set_level(logging.DEBUG)
    route = respx.post(ADDRESS).mock(
        side_effect=answer if isinstance(answer, Exception) else None,
        return_value=answer if isinstance(answer, httpx.Response) else None,
    )

    (delivery,) = send([make_target(Kind.SLACK)])

    assert delivery.problem == problem
    assert route.call_count == 1
    assert CANARY not in f"{delivery} {caplog.text}"


@respx.mock
def test_one_targets_trouble_is_not_anothers() -> None:
    """Slack is down on exactly the days that matter."""
    respx.post(ADDRESS).mock(side_effect=httpx.ConnectError)
    respx.post("https://events.example/v2/enqueue").respond(202)
    pager = make_target(Kind.PAGERDUTY, base_url="https://events.example")

    deliveries = send([make_target(Kind.SLACK), pager])

    assert [delivery.problem is None for delivery in deliveries] == [False, True]


def test_a_target_gets_the_start_before_the_end() -> None:
    """The two are sent together, long after the start."""
    notices = [
        make_notice(NoticeKind.START, severity=Severity.INFO),
        make_notice(NoticeKind.UNKNOWN),
    ]
    with receiver() as own:
        deliveries = send([make_target(Kind.WEBHOOK)], notices, SECRET=f"{own.url}/a")

        assert own.events == ["start", "unknown"]
    assert [delivery.problem for delivery in deliveries] == [None, None]


def test_a_start_without_an_answer_does_not_keep_the_end_from_being_told() -> None:
    """A web hook that takes a second for each would hear that it began, and never how it ended."""
    notices = [
        make_notice(NoticeKind.START, severity=Severity.INFO),
        make_notice(NoticeKind.UNKNOWN),
    ]
    with receiver(silent_first=1) as own:
        deliveries = send([make_target(Kind.WEBHOOK)], notices, seconds=2.0, SECRET=f"{own.url}/a")

        assert own.events == ["start", "unknown"]
    assert [delivery.problem for delivery in deliveries] == ["timed out", None]


def test_a_target_that_never_answers_ends_in_time_and_delays_nobody() -> None:
    """A dead web hook takes the connection and says nothing."""
    by_name = {"SILENT": Reference(holder=Holder.VARIABLE, where="SILENT")}
    with receiver(silent=True) as silent, receiver() as quick:
        deliveries = send(
            [
                make_target(Kind.WEBHOOK, name="silent", secret=by_name["SILENT"]),
                make_target(Kind.WEBHOOK, name="quick"),
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
        (delivery,) = send([make_target(Kind.WEBHOOK)], SECRET=own.url)

        assert elsewhere.received == []
    assert delivery.problem == "HTTP 307: redirects are not followed"


def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy named for something else would read every message."""
    with receiver() as proxy, receiver() as own:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        (delivery,) = send([make_target(Kind.WEBHOOK)], SECRET=own.url)

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
def test_an_address_that_is_none_is_never_tried(address: str, problem: str) -> None:
    """Over http everybody on the way reads what is open."""
    (delivery,) = send([make_target(Kind.WEBHOOK)], SECRET=address)

    assert delivery.problem == problem


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """Docker, Kubernetes and systemd hand out secrets as files."""
    file = tmp_path / "url"
    with receiver() as own:
        file.write_text(f"{own.url}\n")
        secret = Reference(holder=Holder.FILE, where=str(file))
        (delivery,) = send([make_target(Kind.WEBHOOK, secret=secret)])
        file.unlink()
        (gone,) = send([make_target(Kind.WEBHOOK, secret=secret)])

        assert len(own.received) == 1
    assert delivery.problem is None
    assert gone.problem == f"notifications: {file}: No such file or directory"


@pytest.mark.parametrize(
    ("body", "problem"), [(b"OK", None), (b"OK (not found)", "there is no such check")]
)
def test_a_check_that_does_not_exist_is_no_delivery(body: bytes, problem: str | None) -> None:
    """healthchecks.io answers 200 all the same."""
    with receiver(body=body) as own:
        (delivery,) = send([make_target(Kind.HEALTHCHECKS)], SECRET=f"{own.url}/id")

    assert delivery.problem == problem


def test_apprise_is_an_extra_that_is_asked_for_by_name() -> None:
    """Its absence must not be a mystery at night."""
    if has_apprise():
        pytest.skip("apprise is installed here")
    (delivery,) = send([make_target(Kind.APPRISE)])

    assert delivery.problem == "apprise is not installed: pip install liqctl[apprise]"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # apprise's, of its own parts
def test_apprise_delivers_what_it_is_given() -> None:
    """The real library, against a real server."""
    if not has_apprise():
        pytest.skip("apprise is not installed: pip install liqctl[apprise]")
    with receiver() as own:
        address = own.url.replace("http://", "json://")
        good, bad = (
            send([make_target(Kind.APPRISE)], SECRET=secret)[0]
            for secret in (address, f"nonsense://{CANARY}")
        )

        assert own.received[0].document["type"] == "failure"
        assert own.received[0].document["message"] == make_notice().text
    assert (good.problem, bad.problem) == (None, "apprise does not know this address")


def test_nobody_asked_is_nothing_sent() -> None:
    """No thread, no connection, no library."""
    target = make_target(Kind.SLACK, min_severity=Severity.CRITICAL)

    assert send([target], [make_notice(severity=Severity.INFO)]) == []
