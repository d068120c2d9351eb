"""What people are told of a run, and whom: notices and the targets they are sent to.

A target holds no secret, only where its secret is to be found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class NoticeKind(StrEnum):
    """What a notice tells of.

    UNKNOWN is an end, too: of a run after which nobody can say what is open.
    """

    START = "start"
    END = "end"
    UNKNOWN = "unknown"
    TEST = "test"


class Severity(StrEnum):
    """How much a notice matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return a number that grows with the severity."""
        return list(Severity).index(self)


class TargetType(StrEnum):
    """What kind of service a target is."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    TELEGRAM = "telegram"
    PAGERDUTY = "pagerduty"
    HEALTHCHECKS = "healthchecks"
    APPRISE = "apprise"


class Holder(StrEnum):
    """Where a secret stands; TEXT is an address in the settings file that is none."""

    VARIABLE = "variable"
    FILE = "file"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where to find a value: the name of a variable, the path of a file, or the value itself."""

    holder: Holder
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message, ready to be sent.

    `text` is one line, safe to show. `at` is when what it tells of happened, in RFC 3339.
    `exit_code` is None before the end. `details` is bounded and JSON.
    """

    kind: NoticeKind
    severity: Severity
    text: str
    at: str
    environment: str
    correlation_id: str
    exit_code: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One service that is told, and what it wants to hear.

    `secret` leads to the address or the key, `token` to a bearer token. `base_url` None is the
    service's own host.
    """

    type: TargetType
    name: str
    kinds: frozenset[NoticeKind]
    min_severity: Severity
    secret: Reference
    token: Reference | None = None
    chat_id: str | None = None
    base_url: str | None = None

    def wants(self, notice: Notice) -> bool:
        """Return whether the notice is for this target; whoever wants ends wants unknown ends."""
        if notice.kind is NoticeKind.TEST:
            return True
        is_asked_for = notice.kind in self.kinds or (
            notice.kind is NoticeKind.UNKNOWN and NoticeKind.END in self.kinds
        )
        return is_asked_for and notice.severity.rank >= self.min_severity.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of one notice at one target; `problem` None is delivered."""

    target: Target
    notice: Notice
    problem: str | None
    seconds: float
