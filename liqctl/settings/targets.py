"""The items of `notifications`: which keys each type takes, what is wrong, the target they make.

Only loaded where a target is configured. An address that lets anybody post is a secret: it stands
in a variable or a file, and the item names that.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from liqctl.settings.credentials import address_problem, is_secret_name, url_problem


class NoticeKind(StrEnum):
    """What a notice tells of.

    UNKNOWN is an end, too: of a run after which nobody can say what is open.
    """

    START = "start"
    END = "end"
    UNKNOWN = "unknown"
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
KINDS: Final = (NoticeKind.START, NoticeKind.END, NoticeKind.UNKNOWN)
_ENDS: Final = (NoticeKind.END, NoticeKind.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRule:
    """What one type takes besides `type`, `name` and `events`.

    `hidden` is asked for as `hidden_env` or `hidden_file`, with `may_be_text` also as itself;
    `hidden_too` may be left out. `kinds` and `min_severity` are the defaults; None where the
    type takes no `min_severity`.
    """

    hidden: str
    may_be_text: bool = False
    hidden_too: str | None = None
    has_chat: bool = False
    base_url: str | None = None
    kinds: tuple[NoticeKind, ...] = _ENDS
    min_severity: Severity | None = Severity.INFO

    @property
    def hidden_keys(self) -> tuple[str, ...]:
        """Return the keys of which exactly one is given."""
        own = (self.hidden,) if self.may_be_text else ()
        return (*own, *_referring(self.hidden))

    @property
    def keys(self) -> tuple[str, ...]:
        """Return every key the type takes."""
        return (
            "type",
            "name",
            "events",
            *(["min_severity"] if self.min_severity else []),
            *self.hidden_keys,
            *(_referring(self.hidden_too) if self.hidden_too else ()),
            *(["chat_id"] if self.has_chat else []),
            *(["base_url"] if self.base_url else []),
        )


def _referring(secret: str) -> tuple[str, str]:
    return f"{secret}_env", f"{secret}_file"


TARGET_RULES: Final[Mapping[TargetType, TargetRule]] = {
    TargetType.WEBHOOK: TargetRule(hidden="url", may_be_text=True, hidden_too="token", kinds=KINDS),
    TargetType.SLACK: TargetRule(hidden="url"),
    TargetType.TELEGRAM: TargetRule(
        hidden="token", has_chat=True, base_url="https://api.telegram.org"
    ),
    TargetType.PAGERDUTY: TargetRule(
        hidden="routing_key",
        base_url="https://events.pagerduty.com",
        min_severity=Severity.WARNING,
    ),
    # A check that only hears of failures would call every quiet week a failure.
    TargetType.HEALTHCHECKS: TargetRule(hidden="url", kinds=KINDS, min_severity=None),
    TargetType.APPRISE: TargetRule(hidden="url"),
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
        for name, text in _problems(item):
            yield f"notifications[{number}]{f'.{name}' if name else ''}", text


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
    return {
        "type": "array",
        "maxItems": TARGETS_MAX,
        "items": {"oneOf": [_item_schema(kind, rule) for kind, rule in TARGET_RULES.items()]},
    }


def _item_schema(kind: TargetType, rule: TargetRule) -> dict[str, Any]:
    special: dict[str, Any] = {
        "type": {"const": kind.value},
        "events": {"type": "array", "minItems": 1, "items": {"enum": list(map(str, KINDS))}},
        "min_severity": {"enum": list(map(str, Severity))},
        "chat_id": {"type": ["integer", "string"]},
    }
    return {
        "type": "object",
        "title": f"{kind} target",
        "properties": {key: special.get(key, {"type": "string"}) for key in rule.keys},
        "required": ["type", *(["chat_id"] if rule.has_chat else [])],
        "oneOf": [{"required": [key]} for key in rule.hidden_keys],
        "additionalProperties": False,
    }


def read_targets(items: Sequence[Mapping[str, Any]]) -> tuple[Target, ...]:
    """Return the targets that valid items name."""
    return tuple(_read(number, item) for number, item in enumerate(items, start=1))


def _read(number: int, item: Mapping[str, Any]) -> Target:
    kind = TargetType(item["type"])
    rule = TARGET_RULES[kind]
    secret = _reference(item, rule.hidden)
    if secret is None:
        raise ValueError(rule.hidden)
    chat_id = item.get("chat_id")
    least = item.get("min_severity", rule.min_severity)
    return Target(
        type=kind,
        name=item.get("name", f"{kind}-{number}"),
        kinds=frozenset(NoticeKind(each) for each in item.get("events", rule.kinds)),
        min_severity=Severity(least) if least else Severity.INFO,
        secret=secret,
        token=_reference(item, rule.hidden_too) if rule.hidden_too else None,
        chat_id=None if chat_id is None else str(chat_id),
        base_url=item.get("base_url", rule.base_url),
    )


def _reference(item: Mapping[str, Any], secret: str) -> Reference | None:
    for key, holder in (
        (f"{secret}_env", Holder.VARIABLE),
        (f"{secret}_file", Holder.FILE),
        (secret, Holder.TEXT),
    ):
        if key in item:
            return Reference(holder=holder, where=item[key])
    return None


def _problems(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in set(TargetType):
        yield "type", f"type must be one of {', '.join(TargetType)}"
        return
    rule = TARGET_RULES[TargetType(kind)]
    for key, value in item.items():
        if key in rule.keys:
            text = value_problem(key, value)
            if text:
                yield key, text
        elif not is_secret_name(key):
            yield key, f"unknown key of a {kind} target{nearest(key, rule.keys)}"
    if len(set(rule.hidden_keys) & item.keys()) != 1:
        yield "", f"a {kind} target needs exactly one of {', '.join(rule.hidden_keys)}"
    if rule.hidden_too and set(_referring(rule.hidden_too)) <= item.keys():
        yield "", f"a {kind} target takes one of {', '.join(_referring(rule.hidden_too))}"
    if rule.has_chat and "chat_id" not in item:
        yield "", f"a {kind} target needs chat_id"


def value_problem(key: str, value: object) -> str | None:
    """Return what is wrong with the value of a known key, None when nothing is."""
    if key in _OWN_CHECKS:
        return _OWN_CHECKS[key](value)
    if not isinstance(value, str):
        return f"{key} must be text"
    if key in _TEXT_CHECKS:
        return _TEXT_CHECKS[key](value)
    if key.endswith("_env"):
        return _variable_problem(key, value)
    is_path = bool(value.strip()) and "\0" not in value
    return None if is_path else f"{key} must be the path of a file"


def _revealing_problem(url: str) -> str | None:
    """Return why an address must not stand in the file: whoever has it could post there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if (
        "@" in parts.netloc
        or parts.query
        or parts.fragment
        or any(host == each or host.endswith(f".{each}") for each in _SECRET_HOSTS)
        or any(len(each) > _SEGMENT_MAX or ":" in each for each in parts.path.split("/"))
    ):
        return (
            "secrets never stand in the file, and this address looks like one; name the variable "
            "that holds it in url_env, or a file in url_file"
        )
    return None


def _variable_problem(key: str, value: str) -> str | None:
    if not _VARIABLE.fullmatch(value) or _LOOKS_SECRET.search(value):
        return f"{key} must be the name of a variable, in capitals, such as SLACK_URL"
    if value.startswith("LIQCTL_"):
        return f"{key} must name a variable of yours: LIQCTL_ is for settings and keys"
    return None


def _events_problem(value: object) -> str | None:
    if isinstance(value, list) and value and all(each in KINDS for each in value):
        return None
    return f"events must be a list of {', '.join(KINDS)}"


def _severity_problem(value: object) -> str | None:
    is_known = isinstance(value, str) and value in set(Severity)
    return None if is_known else f"min_severity must be one of {', '.join(Severity)}"


def _chat_problem(value: object) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and _CHAT.fullmatch(value)):
        return None
    return "chat_id must be a number such as -1001234567890, or @channel"


def _name_problem(value: str) -> str | None:
    return None if _NAME.fullmatch(value) else "name must be 1 to 40 letters, digits, blanks, ._-"


_OWN_CHECKS: Final[Mapping[str, Callable[[object], str | None]]] = {
    "events": _events_problem,
    "min_severity": _severity_problem,
    "chat_id": _chat_problem,
}
_TEXT_CHECKS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "type": lambda _: None,
    "name": _name_problem,
    "url": lambda url: address_problem(url) or _revealing_problem(url),
    "base_url": lambda url: url_problem("base_url", url) or address_problem(url),
}
