"""Sends notices to every target at once, each in a thread of its own, and stops at one moment.

A thread that hangs in a name look-up or reads a dripping answer cannot be ended: it is left behind
and its delivery counts as timed out. So the caller's process ends by `os._exit`, or must not mind.

No word of a library, an answer or an address gets out: problems are told in our own words.

Conventions of the services, read 2026-11-26:
- Slack, incoming webhooks: unescaped, `<!channel>` in `text` would call everybody.
- Telegram, `sendMessage`: without `parse_mode` nothing in `text` is markup, so nothing is escaped.
- PagerDuty, Events API v2: an alert is known by `dedup_key`; `resolve` of an unknown is ignored.
- healthchecks.io, pinging API: `/start`, `/log` and `/EXIT_CODE` after the address; `rid`, a UUID,
  ties a start to its end.
"""

import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, assert_never
from urllib.parse import urlsplit, urlunsplit

from liqctl import __version__
from liqctl.desk.result import steps_of
from liqctl.desk.text import Table, Tone, clean, count, paint, show
from liqctl.kernel.errors import CredentialsError
from liqctl.notify.notice import Notice
from liqctl.settings.credentials import address_problem, read_secret_file
from liqctl.settings.targets import (
    NoticeKind,
    Reference,
    ReferenceKind,
    Severity,
    Target,
    TargetType,
    read_targets,
)
from liqctl.trail.durability import describe_event

if TYPE_CHECKING:
    import ssl

    import httpx

NOTIFICATION_SCHEMA: Final = "liqctl.notification/1"
NOTIFY_SCHEMA: Final = "liqctl.notify/1"

_LOGGING_S: Final = 0.15
"""How long before its end the sending stops, so that the outcome is logged in time."""

_FIGURES_FIRST_S: Final = 0.3
"""How long the figures may keep messages waiting; a trail of gigabytes takes longer."""

# PagerDuty's own limits; with 0 s left a request would not even be tried.
_DEDUP_MAX: Final = 255
_SHORTEST_S: Final = 0.05
_EARLIER_SHARE: Final = 0.5
"""How much of the time that is left a notice may take that another one waits for."""

# Enough for "OK (not found)"; nobody reads more of an answer, which may drip for ever.
_REPLY_MAX_BYTES: Final = 64
_SUCCESS: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)
_OF_ARM: Final = {NoticeKind.ARMED, NoticeKind.DEGRADED, NoticeKind.TRIPPED}
_APPRISE_TYPES: Final = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "failure",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One request: JSON, or plain text where `text` is given."""

    url: str
    document: Mapping[str, Any] | None = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return nothing of what it holds: the address and the body may be secrets."""
        return "Post(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one notice at one target; `problem` None is delivered."""

    target: Target
    notice: Notice
    problem: str | None
    seconds: float


class DeliveryError(Exception):
    """Why a notice could not be delivered, in words that hold no secret."""


def posts_for(
    target: Target, notice: Notice, *, secret: str, token: str | None = None
) -> Iterator[Post]:
    """Yield the requests that tell the target of the notice, to be sent in this order."""
    match target.type:
        case TargetType.WEBHOOK:
            document: dict[str, object] = {
                "schema": NOTIFICATION_SCHEMA,
                "event": notice.kind.value,
                "severity": notice.severity.value,
                "text": notice.text,
                "at": notice.at,
                "environment": notice.environment,
                "correlation_id": notice.correlation_id,
                "exit_code": notice.exit_code,
                "result": dict(notice.details) or None,
            }
            if "accounts" in notice.details:
                document |= {"accounts": notice.details["accounts"], "result": None}
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            yield Post(url=secret, document=document, headers=headers)
        case TargetType.SLACK:
            escaped = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            unwanted = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
            yield Post(url=secret, document={"text": escaped, **unwanted})
        case TargetType.TELEGRAM:
            yield Post(
                url=f"{target.base_url}/bot{secret}/sendMessage",
                document={
                    "chat_id": target.chat_id,
                    "text": notice.text,
                    "link_preview_options": {"is_disabled": True},
                    "disable_notification": notice.severity is Severity.INFO,
                },
            )
        case TargetType.PAGERDUTY:
            yield from _pagerduty_posts(target, notice, secret)
        case TargetType.HEALTHCHECKS:
            yield Post(url=ping_address(secret, notice), text=notice.text)
        case TargetType.APPRISE:
            raise ValueError(target.type)  # its own library sends it
        case _:
            assert_never(target.type)


def _pagerduty_posts(target: Target, notice: Notice, routing_key: str) -> Iterator[Post]:
    """Yield the alert; good news resolves what the same run triggered, and a test itself."""
    base = {
        "routing_key": routing_key,
        "dedup_key": notice.correlation_id[:_DEDUP_MAX],
        "client": "liqctl",
    }
    url = f"{target.base_url}/v2/enqueue"
    is_over = notice.kind is NoticeKind.END or notice.resolves
    is_good_news = is_over and notice.severity is Severity.INFO
    if not is_good_news:
        payload = {
            "summary": notice.text,
            "source": "liqctl",
            "severity": notice.severity.value,
            "timestamp": notice.at,
            "component": notice.environment,
            "class": notice.kind.value,
            "custom_details": dict(notice.details),
        }
        yield Post(url=url, document={**base, "event_action": "trigger", "payload": payload})
    if is_good_news or notice.kind is NoticeKind.TEST:
        yield Post(url=url, document={**base, "event_action": "resolve"})


def ping_address(address: str, notice: Notice) -> str:
    """Return where to ping healthchecks.io for a notice.

    An exit code of 0 is a success there, so the end of a disarmed switch, which did nothing and
    exits 0, is sent as a failure.
    """
    parts = urlsplit(address)
    is_false_success = notice.exit_code == 0 and notice.severity is not Severity.INFO
    # What is of no run changes nothing of the check: it is written into its log.
    step = {NoticeKind.START: "start", NoticeKind.TEST: "log"}.get(
        notice.kind, "fail" if is_false_success else f"{notice.exit_code}"
    )
    step = "log" if notice.kind in _OF_ARM else step
    path = f"{parts.path.rstrip('/')}/{step}"
    rid = f"rid={uuid.uuid5(uuid.NAMESPACE_OID, notice.correlation_id)}"
    query = f"{parts.query}&{rid}" if parts.query else rid
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))


def carry_out(
    order: Mapping[str, Any], write_figures: Callable[[Mapping[str, Any]], None]
) -> list[tuple[str, bool]]:
    """Return what became of each part of the order: a line for the log, and whether it is done.

    `write_figures` writes the order's `textfile`, and raises OSError where it cannot.
    """
    ends_at = order["ends_at"] - _LOGGING_S
    told: list[tuple[str, bool]] = []
    figures: list[str | None] = []

    def write() -> None:
        try:
            write_figures(order)
            figures.append(None)
        except OSError as error:
            figures.append(error.strerror or type(error).__name__)

    writing = threading.Thread(target=write, daemon=True)
    if order["textfile"]:
        writing.start()
        writing.join(_FIGURES_FIRST_S)
    if order["notifications"]:
        notices = [
            Notice(
                **{**row, "kind": NoticeKind(row["kind"]), "severity": Severity(row["severity"])}
            )
            for row in order["notices"]
        ]
        for delivery in deliver(order["notifications"], notices, ends_at=ends_at):
            is_done = delivery.problem is None
            details = {
                "target": delivery.target.name,
                "type": delivery.target.type.value,
                "event": delivery.notice.kind.value,
                "result": "delivered" if is_done else "failed",
                "problem": delivery.problem,
                "seconds": f"{delivery.seconds:.3f}",
            }
            told.append((describe_event("NOTIFICATION", details), is_done))
    if order["textfile"]:
        writing.join(max(ends_at - time.monotonic(), 0.0))
        problem = figures[0] if figures else "timed out"
        result = "written" if problem is None else "failed"
        details = {"file": order["textfile"], "result": result, "problem": problem}
        told.insert(0, (describe_event("METRICS", details), problem is None))
    return told


def deliver(
    items: Sequence[Mapping[str, Any]], notices: Sequence[Notice], *, ends_at: float
) -> list[Delivery]:
    """Send the notices to those targets of the settings that want them; return what became of it.

    Each target gets them in their order. `ends_at` is a moment on the monotonic clock.
    """
    from liqctl.venue.session import make_tls_context

    targets, tls = read_targets(items), make_tls_context()
    return send(targets, notices, ends_at=ends_at, environ=os.environ, tls=tls)


def send(
    targets: Sequence[Target],
    notices: Sequence[Notice],
    *,
    ends_at: float,
    environ: Mapping[str, str],
    tls: "ssl.SSLContext",
) -> list[Delivery]:
    """Do what `deliver` does; the result is in the order of the targets and of the notices."""
    pending = [
        (target, notice)
        for target in targets
        for notice in notices
        if target.wants(notice.kind, notice.rank)
    ]
    if not pending:
        return []
    import logging

    import httpx

    for name in ("httpx", "httpcore"):
        logging.getLogger(name).disabled = True  # they tell whole addresses
    began_at = time.monotonic()
    client = httpx.Client(
        verify=tls,
        trust_env=False,  # no proxy of the environment's
        follow_redirects=False,
        timeout=max(ends_at - began_at, _SHORTEST_S),
        headers={"User-Agent": f"liqctl/{__version__}"},
    )
    done: queue.SimpleQueue[tuple[int, Delivery]] = queue.SimpleQueue()

    def tell(target: Target, mine: Sequence[tuple[int, Notice]]) -> None:
        for left, (number, notice) in zip(range(len(mine), 0, -1), mine, strict=True):
            asked_at = time.monotonic()
            # The last one says what is open: no slow answer to the start may use up its time.
            until = ends_at if left == 1 else asked_at + (ends_at - asked_at) * _EARLIER_SHARE
            problem: str | None = "an unexpected error, a bug in liqctl"
            try:
                _send_one(client, target, notice, environ, until)
                problem = None
            except DeliveryError as error:
                problem = str(error)
            finally:
                took_s = time.monotonic() - asked_at
                made = Delivery(target=target, notice=notice, problem=problem, seconds=took_s)
                done.put((number, made))

    for target in targets:
        mine = [(number, each[1]) for number, each in enumerate(pending) if each[0] is target]
        if mine:
            threading.Thread(target=tell, args=(target, mine), daemon=True).start()
    found: dict[int, Delivery] = {}
    while len(found) < len(pending):
        try:
            number, made = done.get(timeout=max(ends_at - time.monotonic(), 0.0))
        except queue.Empty:
            break
        found[number] = made
    spent_s = time.monotonic() - began_at
    return [
        found.get(number)
        or Delivery(target=target, notice=notice, problem="timed out", seconds=spent_s)
        for number, (target, notice) in enumerate(pending)
    ]


def _send_one(
    client: "httpx.Client",
    target: Target,
    notice: Notice,
    environ: Mapping[str, str],
    ends_at: float,
) -> None:
    import httpx

    secret = look_up(target.secret, environ)
    token = look_up(target.token, environ) if target.token else None
    if target.type is TargetType.APPRISE:
        if not has_apprise():
            raise DeliveryError("apprise is not installed: pip install liqctl[apprise]")
        import apprise

        asset = apprise.AppriseAsset(app_id="liqctl", secure_logging=True, async_mode=False)
        service = apprise.Apprise(asset=asset)
        if not service.add(secret):
            raise DeliveryError("apprise does not know this address")
        told = {"title": "liqctl", "body": notice.text, "body_format": "text"}
        if not service.notify(**told, notify_type=_APPRISE_TYPES[notice.severity]):
            raise DeliveryError("apprise could not deliver it")
        return
    for post in posts_for(target, notice, secret=secret, token=token):
        problem = address_problem(post.url)
        if problem:
            raise DeliveryError(f"the address {problem}")
        try:
            with client.stream(
                "POST",
                post.url,
                json=post.document,
                content=post.text,
                headers=dict(post.headers),
                timeout=max(ends_at - time.monotonic(), _SHORTEST_S),
            ) as response:
                # Only healthchecks.io, which is sent text, has something to say.
                begin = next(response.iter_raw(_REPLY_MAX_BYTES), b"") if post.text else b""
        except httpx.TimeoutException:
            raise DeliveryError("timed out") from None
        except httpx.ConnectError:
            raise DeliveryError("no connection: host, port or certificate") from None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            raise DeliveryError("the connection broke, or the address is none") from None
        status = response.status_code
        if status in _REDIRECT:
            raise DeliveryError(f"HTTP {status}: redirects are not followed")
        if status not in _SUCCESS:
            raise DeliveryError(f"HTTP {status}")
        # healthchecks.io answers 200 for checks that do not exist, and says so in its text only.
        if target.type is TargetType.HEALTHCHECKS and b"not found" in begin:
            raise DeliveryError("there is no such check")


def look_up(reference: Reference, environ: Mapping[str, str], source: str = "notifications") -> str:
    """Return what a reference leads to; `source` says whose it is where a file is the problem.

    Raises:
        DeliveryError: the variable is not set, or the file cannot be read.
    """
    match reference.kind:
        case ReferenceKind.VARIABLE:
            value = environ.get(reference.where, "").strip()
            if not value:
                raise DeliveryError(f"the variable {reference.where} is not set")
            return value
        case ReferenceKind.FILE:
            try:
                return read_secret_file(Path(reference.where), source)
            except CredentialsError as error:
                raise DeliveryError(str(error)) from None
        case ReferenceKind.TEXT:
            return reference.where


def has_apprise() -> bool:
    """Return whether apprise is there (`pip install liqctl[apprise]`); looks, and imports nothing.

    It knows a hundred services more.
    """
    return find_spec("apprise") is not None


def make_document(
    environment: str | None, deliveries: Sequence[Delivery], *, error: str | None = None
) -> dict[str, Any]:
    """Return what `notify --json` prints."""
    return {
        "schema": NOTIFY_SCHEMA,
        "environment": environment,
        "error": error,
        "targets": [
            {
                "name": delivery.target.name,
                "type": delivery.target.type.value,
                "delivered": delivery.problem is None,
                "problem": delivery.problem,
                "seconds": round(delivery.seconds, 3),
            }
            for delivery in deliveries
        ],
    }


def render_deliveries(document: Mapping[str, Any], *, width: int | None, colour: bool) -> str:
    """Return whether everybody can be reached, then each target and why not."""
    targets = document["targets"]
    missed = [target for target in targets if not target["delivered"]]
    word, tone = "DELIVERED", Tone.GOOD
    told = f"{count(len(targets), 'target')} accepted the test message"
    advice: list[str] = []
    if missed:
        word, tone = "FAILED", Tone.BAD
        told = f"{count(len(missed), 'target')} of {len(targets)} would not be notified"
        again = f"liqctl notify --env {document['environment']}"
        advice = [f"correct the variable, file or address, then again: {again}"]
    rows = [
        (
            clean(target["name"]),
            target["type"],
            f"{target['seconds']:.2f} s",
            "delivered" if target["delivered"] else clean(target["problem"]),
        )
        for target in targets
    ]
    listed = Table(head=("target", "type", "took", "result"), rows=rows, right={2})
    head = f"{paint(word, tone, colour=colour)}: ", told
    steps = steps_of(advice, colour=colour)
    return show([head, "", listed, *[""] * bool(steps), *steps], width=width)
