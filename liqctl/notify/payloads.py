"""What each service wants to be sent for a notice; pure.

Conventions of the services, read 2026-11-26:
- Slack, incoming webhooks: unescaped, `<!channel>` in `text` would call everybody.
- Telegram, `sendMessage`: without `parse_mode` nothing in `text` is markup, so nothing is escaped.
- PagerDuty, Events API v2: an alert is known by `dedup_key`; `resolve` of an unknown is ignored.
- healthchecks.io, pinging API: `/start`, `/log` and `/EXIT_CODE` after the address; `rid`, a UUID,
  ties a start to its end.
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never
from urllib.parse import urlsplit, urlunsplit

from liqctl.notify.notice import Notice, NoticeKind, Severity, Target, TargetType

NOTIFICATION_SCHEMA: Final = "liqctl.notification/1"

_DEDUP_MAX: Final = 255


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


def posts_for(
    target: Target, notice: Notice, *, secret: str, token: str | None = None
) -> Iterator[Post]:
    """Yield the requests that tell the target of the notice, to be sent in this order."""
    match target.type:
        case TargetType.WEBHOOK:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            yield Post(url=secret, document=document_of(notice), headers=headers)
        case TargetType.SLACK:
            unwanted = {"mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
            yield Post(url=secret, document={"text": escape_slack(notice.text), **unwanted})
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
            yield from _pagerduty(target, notice, secret)
        case TargetType.HEALTHCHECKS:
            yield Post(url=ping_address(secret, notice), text=notice.text)
        case TargetType.APPRISE:
            raise ValueError(target.type)  # its own library sends it
        case _:
            assert_never(target.type)


def document_of(notice: Notice) -> dict[str, object]:
    """Return the document that a webhook of one's own gets."""
    return {
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


def escape_slack(text: str) -> str:
    """Return the text with what Slack would read as a mention or a link escaped.

    >>> escape_slack("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def ping_address(address: str, notice: Notice) -> str:
    """Return where to ping healthchecks.io for a notice.

    An exit code of 0 is a success there, so the end of a disarmed switch, which did nothing and
    exits 0, is sent as a failure.
    """
    parts = urlsplit(address)
    match notice.kind:
        case NoticeKind.START:
            step = "/start"
        case NoticeKind.TEST:
            step = "/log"
        case NoticeKind.END | NoticeKind.UNKNOWN:
            is_false_success = notice.exit_code == 0 and notice.severity is not Severity.INFO
            step = "/fail" if is_false_success else f"/{notice.exit_code}"
        case _:
            assert_never(notice.kind)
    rid = f"rid={uuid.uuid5(uuid.NAMESPACE_OID, notice.correlation_id)}"
    query = f"{parts.query}&{rid}" if parts.query else rid
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + step, query, ""))


def _pagerduty(target: Target, notice: Notice, routing_key: str) -> Iterator[Post]:
    """Yield the alert; good news resolves what the same run triggered, and a test itself."""
    base = {
        "routing_key": routing_key,
        "dedup_key": notice.correlation_id[:_DEDUP_MAX],
        "client": "liqctl",
    }
    url = f"{target.base_url}/v2/enqueue"
    is_good_news = notice.kind is NoticeKind.END and notice.severity is Severity.INFO
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
