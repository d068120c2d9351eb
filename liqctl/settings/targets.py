"""The items of `notifications`: which keys each type takes, what is wrong, the target they make.

An address that lets anybody post is a secret: it stands in a variable or a file, and the item names
that. This knows no pydantic: whoever tells people reads items that were checked before.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from liqctl.settings.credentials import address_problem, is_secret_name, url_problem


class NoticeKind(StrEnum):
    """What a notice tells of.

    UNKNOWN is an end, too: of a run after which nobody can say what is open. ARMED, DEGRADED and
    TRIPPED are of an armed process.
    """

    START = "start"
    END = "end"
    UNKNOWN = "unknown"
    ARMED = "armed"
    DEGRADED = "degraded"
    TRIPPED = "tripped"
    TEST = "test"


class Severity(StrEnum):
    """How much a notice matters; from the least to the most."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class TargetType(StrEnum):
    """What kind of service a target is."""

    WEBHOOK = "webhook"
    SLACK = "slack"
    TELEGRAM = "telegram"
    PAGERDUTY = "pagerduty"
    HEALTHCHECKS = "healthchecks"
    APPRISE = "apprise"


class ReferenceKind(StrEnum):
    """Where a secret stands; TEXT is an address in the settings file that is none."""

    VARIABLE = "variable"
    FILE = "file"
    TEXT = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where to find a value: the name of a variable, the path of a file, or the value itself."""

    kind: ReferenceKind
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One service that is told, and what it wants to hear; it holds no secret.

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

    def wants(self, kind: NoticeKind, severity: Severity) -> bool:
        """Return whether such a notice is for this target.

        Whoever wants ends wants unknown ends. A test is for everybody.
        """
        asked_for = {kind} if kind is not NoticeKind.UNKNOWN else {kind, NoticeKind.END}
        ranks = list(Severity)
        is_wanted = bool(self.kinds & asked_for)
        is_bad_enough = ranks.index(severity) >= ranks.index(self.min_severity)
        return kind is NoticeKind.TEST or (is_wanted and is_bad_enough)


TARGETS_MAX: Final = 16
KINDS: Final = tuple(kind for kind in NoticeKind if kind is not NoticeKind.TEST)
"""What `events` may hold."""

_OF_RUNS: Final = (NoticeKind.START, NoticeKind.END, NoticeKind.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRule:
    """What one type takes besides `type`, `name` and `events`.

    Exactly one of `secret` is given, at most one of `token`, and `chat` where there is one. `kinds`
    and `min_severity` are the defaults; None where the type takes no `min_severity`.
    """

    secret: tuple[str, ...]
    token: tuple[str, ...] = ()
    chat: tuple[str, ...] = ()
    base_url: str | None = None
    kinds: tuple[NoticeKind, ...] = (NoticeKind.END, NoticeKind.UNKNOWN, NoticeKind.TRIPPED)
    min_severity: Severity | None = Severity.INFO

    @property
    def keys(self) -> tuple[str, ...]:
        """Return every key the type takes."""
        severity = ("min_severity",) if self.min_severity else ()
        base_url = ("base_url",) if self.base_url else ()
        common = ("type", "name", "events", *severity)
        return (*common, *self.secret, *self.token, *self.chat, *base_url)


_URL: Final = ("url_env", "url_file")
_TOKEN: Final = ("token_env", "token_file")
TARGET_RULES: Final[Mapping[TargetType, TargetRule]] = {
    TargetType.WEBHOOK: TargetRule(
        secret=("url", *_URL), token=_TOKEN, kinds=(*_OF_RUNS, NoticeKind.TRIPPED)
    ),
    TargetType.SLACK: TargetRule(secret=_URL),
    TargetType.TELEGRAM: TargetRule(
        secret=_TOKEN, chat=("chat_id",), base_url="https://api.telegram.org"
    ),
    TargetType.PAGERDUTY: TargetRule(
        secret=("routing_key_env", "routing_key_file"),
        base_url="https://events.pagerduty.com",
        min_severity=Severity.WARNING,
    ),
    # A check that only hears of failures would call every quiet week a failure. A trip is the start
    # of a run, which it hears of.
    TargetType.HEALTHCHECKS: TargetRule(secret=_URL, kinds=_OF_RUNS, min_severity=None),
    TargetType.APPRISE: TargetRule(secret=_URL),
}

_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LOOKS_SECRET: Final = re.compile(r"(?=[A-Z]*\d)[A-Z0-9]{20,}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}")
_CHAT: Final = re.compile(r"-?\d{1,20}|@[A-Za-z0-9_]{1,64}")
_SEGMENT_MAX: Final = 15
_SECRET_HOSTS: Final = (
    "hooks.slack.com",
    "api.telegram.org",
    "hc-ping.com",
    "discord.com",
    "webhook.office.com",
)


def item_problems(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield key and text of everything wrong with the items; values are never shown.

    Secret-like names that hold a value are refused by the reader itself.
    """
    if len(items) > TARGETS_MAX:
        yield "notifications", f"notifications must be {TARGETS_MAX} items at most"
        return
    for number, item in enumerate(items):
        place, kind = f"notifications[{number}]", item.get("type")
        if not isinstance(kind, str) or kind not in set(TargetType):
            yield f"{place}.type", f"type must be one of {', '.join(TargetType)}"
            continue
        rule = TARGET_RULES[TargetType(kind)]
        for key, value in item.items():
            if key in rule.keys:
                text = _value_problem(key, value)
                if text:
                    yield f"{place}.{key}", text
            elif not is_secret_name(key):
                hint = nearest(key, rule.keys)
                yield f"{place}.{key}", f"unknown key of a {kind} target{hint}"
        if len(item.keys() & set(rule.secret)) != 1:
            yield place, f"a {kind} target needs exactly one of {', '.join(rule.secret)}"
        if len(item.keys() & set(rule.token)) > 1:
            yield place, f"a {kind} target takes one of {', '.join(rule.token)}"
        if not item.keys() >= set(rule.chat):
            yield place, f"a {kind} target needs chat_id"


def _value_problem(key: str, value: Any) -> str | None:  # noqa: ANN401 - YAML holds anything
    is_text = isinstance(value, str)
    text = value if is_text else ""
    is_right: object
    match key:
        case "events":
            is_right = isinstance(value, list) and value and all(each in KINDS for each in value)
            allowed = f"a list of {', '.join(KINDS)}"
        case "min_severity":
            is_right = text in set(Severity)
            allowed = f"one of {', '.join(Severity)}"
        case "chat_id":
            is_number = isinstance(value, int) and not isinstance(value, bool)
            is_right = is_number or _CHAT.fullmatch(text)
            allowed = "a number such as -1001234567890, or @channel"
        case _ if not is_text:
            is_right, allowed = False, "text"
        case "type":
            is_right, allowed = True, ""
        case "name":
            is_right, allowed = _NAME.fullmatch(text), "1 to 40 letters, digits, blanks, ._-"
        case "url":
            return address_problem(text) or _revealing_problem(text)
        case "base_url":
            return url_problem(key, text) or address_problem(text)
        case _ if key.endswith("_file"):
            is_right = text.strip() and "\0" not in text
            allowed = "the path of a file"
        case _ if not _VARIABLE.fullmatch(text) or _LOOKS_SECRET.search(text):
            is_right, allowed = False, "the name of a variable, in capitals, such as SLACK_URL"
        case _ if text.startswith("LIQCTL_"):
            return f"{key} must name a variable of yours: LIQCTL_ is for settings and keys"
        case _:
            return None
    return None if is_right else f"{key} must be {allowed}"


def _revealing_problem(url: str) -> str | None:
    """Return why an address must not stand in the file: whoever has it could post there."""
    parts = urlsplit(url)
    host = f".{parts.hostname or ''}"
    if (
        "@" in parts.netloc
        or parts.query
        or parts.fragment
        or host.endswith(tuple(f".{each}" for each in _SECRET_HOSTS))
        or any(len(each) > _SEGMENT_MAX or ":" in each for each in parts.path.split("/"))
    ):
        return (
            "secrets are not allowed in the file, and this address looks like one; name the "
            "variable that holds it in url_env, or a file in url_file"
        )
    return None


def nearest(word: str, known: Collection[str], cutoff: float = 0.6) -> str:
    """Return a hint at the known word that is most like this one, empty when none is.

    What a mapping of the known words holds is named in their place.
    """
    import difflib

    for name in difflib.get_close_matches(word, known, n=1, cutoff=cutoff):
        return f"; the nearest known is {known[name] if isinstance(known, Mapping) else name}"
    return ""


def items_schema() -> dict[str, Any]:
    """Return the JSON schema of the list, for editors."""
    shapes: dict[str, Any] = {
        "events": {"type": "array", "minItems": 1, "items": {"enum": list(map(str, KINDS))}},
        "min_severity": {"enum": list(map(str, Severity))},
        "chat_id": {"type": ["integer", "string"]},
    }
    of_types = [
        {
            "type": "object",
            "title": f"{kind} target",
            "properties": {
                key: {"const": kind.value} if key == "type" else shapes.get(key, {"type": "string"})
                for key in rule.keys
            },
            "required": ["type", *rule.chat],
            "oneOf": [{"required": [key]} for key in rule.secret],
            "additionalProperties": False,
        }
        for kind, rule in TARGET_RULES.items()
    ]
    return {"type": "array", "maxItems": TARGETS_MAX, "items": {"oneOf": of_types}}


def read_targets(items: Sequence[Mapping[str, Any]]) -> tuple[Target, ...]:
    """Return the targets that valid items name."""
    targets = []
    for number, item in enumerate(items, start=1):
        kind = TargetType(item["type"])
        rule = TARGET_RULES[kind]
        (secret,) = _references(item, rule.secret)
        least = item.get("min_severity", rule.min_severity)
        target = Target(
            type=kind,
            name=item.get("name", f"{kind}-{number}"),
            kinds=frozenset(NoticeKind(each) for each in item.get("events", rule.kinds)),
            min_severity=Severity(least or Severity.INFO),
            secret=secret,
            token=next(iter(_references(item, rule.token)), None),
            chat_id=str(item["chat_id"]) if "chat_id" in item else None,
            base_url=item.get("base_url", rule.base_url),
        )
        targets.append(target)
    return tuple(targets)


def _references(item: Mapping[str, Any], keys: Sequence[str]) -> list[Reference]:
    kinds = {"env": ReferenceKind.VARIABLE, "file": ReferenceKind.FILE, "url": ReferenceKind.TEXT}
    return [
        Reference(kind=kinds[key.rpartition("_")[2]], where=item[key])
        for key in keys
        if key in item
    ]
