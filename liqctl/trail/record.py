r"""One event as one line: made of ASCII JSON of at most 8 kB, and read back.

Only known types are written. Anything else becomes its type's name in angle brackets, never its
repr: a foreign object's words may hold a secret. Lines are read back as if an enemy had written them:
whatever is no record is None, never an error.

>>> clean({"quantity": Decimal("1E-3"), "at": datetime(2026, 1, 2, tzinfo=UTC), "key": object()})
{'quantity': '0.001', 'at': '2026-01-02T00:00:00.000000Z', 'key': '<object>'}
>>> TrailRecord(
...     timestamp="2026-01-02T00:00:00.000000Z", event_type="VERIFIED", correlation_id="a",
...     environment="testnet", seq=1, details={"note": "é\n"},
... ).line()
b'{"timestamp": "2026-01-02T00:00:00.000000Z", "event_type": "VERIFIED", "correlation_id": "a", "environment": "testnet", "seq": 1, "prev_hash": null, "details": {"note": "\\u00e9\\n"}}'
>>> parse_line(b'{"seq": 1}') is None
True
>>> parse_line(b"\xff\x00[") is None
True
"""  # noqa: E501 - a line of the trail is long

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import rfc3339

RECORD_MAX_BYTES: Final = 8192
"""With the newline. Small enough that one write is one step in practice, and for any reader."""

CUT_KEY: Final = "cut_bytes"
"""Stands in details that were cut: how long their JSON would have been."""

LINE_MAX_BYTES: Final = 1024 * 1024
"""Longer lines are not taken apart. We write 8 kB at most."""

# What keeps one record from filling memory or a reader's stack; our own stay far below.
_NAME_MAX: Final = 64
_CORRELATION_ID_MAX: Final = 128
_TEXT_MAX: Final = 6000
_ITEMS_MAX: Final = 1000
_DEPTH_MAX: Final = 8
_EXPONENT_MAX: Final = 100
_INTEGER_BITS_MAX: Final = 4096

_CUTS: Final = ((1000, 100), (250, 50), (100, 20), (40, 8))
"""How far details are cut, text length and items, until the record fits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailRecord:
    """One event; its fields are those of its line, in their order.

    `account` is the name of the account in the settings, None and left out where it has none.
    `seq` is 0 before the record has a place in a chain. `torn_hash` is the SHA-256 of an unfinished
    line that it stepped over, when that is not `prev_hash` already: so a stump left by a crash is
    told from one left by tampering. `details` are clean (see `clean`).
    """

    timestamp: str
    event_type: str
    correlation_id: str
    environment: str
    account: str | None = None
    seq: int = 0
    prev_hash: str | None = None
    torn_hash: str | None = None
    details: dict[str, object]

    def line(self) -> bytes:
        """Return the record's bytes without a newline, its details cut until they fit."""
        named = {name: getattr(self, name) for name in self.__slots__}
        for name in _LEFT_OUT:
            if named[name] is None:
                del named[name]
        line = json.dumps(named).encode("ascii")
        if len(line) < RECORD_MAX_BYTES:
            return line
        whole = len(json.dumps(self.details))
        for text_max, items_max in _CUTS:
            shorter = _cut(self.details, text_max, items_max)
            named["details"] = {**shorter, CUT_KEY: whole}
            line = json.dumps(named).encode("ascii")
            if len(line) < RECORD_MAX_BYTES:
                return line
        return json.dumps(named | {"details": {CUT_KEY: whole}}).encode("ascii")


def make_record(
    *,
    timestamp: datetime,
    event_type: str,
    correlation_id: str,
    environment: str,
    details: object,
    account: str | None = None,
) -> TrailRecord:
    """Return the event with every part made safe to write; accepts anything as details."""
    try:
        cleaned = clean(details)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        # A foreign mapping or text that cannot even be walked through.
        cleaned = {"unreadable_details": type(error).__name__}
    return TrailRecord(
        timestamp=rfc3339(timestamp),
        event_type=_text(str(event_type), _NAME_MAX),
        correlation_id=_text(str(correlation_id), _CORRELATION_ID_MAX),
        environment=_text(str(environment), _NAME_MAX),
        account=None if account is None else _text(account, _NAME_MAX),
        details=cleaned if isinstance(cleaned, dict) else {"value": cleaned},
    )


def clean(value: object, depth: int = 0) -> object:
    """Return the value in JSON's own types: decimals and moments as strings, all of it bounded."""
    if value is None or type(value) is str:  # As most are: a large run records 20,000 values.
        return value and _text(value, _TEXT_MAX)
    if isinstance(value, Enum):
        value = value.value
    match value:
        case str() | PurePath():
            return _text(str(value), _TEXT_MAX)
        case bool() | int():
            return value if value.bit_length() <= _INTEGER_BITS_MAX else "<int>"
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            is_far = value.is_finite() and abs(value.adjusted()) > _EXPONENT_MAX
            return str(value) if is_far else plain(value)
        case dict() | Mapping() | list() | tuple() | set() | frozenset() if depth >= _DEPTH_MAX:
            return "<nested>"
        case dict() | Mapping():
            items = islice(value.items(), _ITEMS_MAX)
            return {_key(key): clean(item, depth + 1) for key, item in items}
        case list() | tuple() | set() | frozenset():
            return [clean(item, depth + 1) for item in islice(value, _ITEMS_MAX)]
        case datetime():
            return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
        case _:
            return f"<{type(value).__name__}>"


def parse_line(line: bytes) -> TrailRecord | None:
    """Return the record that the bytes of a line hold, None when they hold none."""
    found = parse_or_reason(line)
    return found if isinstance(found, TrailRecord) else None


def parse_or_reason(line: bytes) -> TrailRecord | str:
    """Return the record, or why the line is none."""
    if len(line) > LINE_MAX_BYTES:
        return "too long for a record"
    try:
        found = _DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return str(error) if isinstance(error, _RefusedError) else "not JSON"
    if not isinstance(found, dict):
        return "not a JSON object"
    for name, kinds in _FIELDS.items():
        value = found.get(name, ...)
        if not isinstance(value, kinds) or value is True or value is False:
            return f"{name} is missing" if value is ... else f"{name} has the wrong type"
    if found["seq"] < 1:
        return "seq is below 1"
    fields = {name: found[name] for name in _FIELDS} | {"environment": found["environment"] or ""}
    for name in _LEFT_OUT:
        fields[name] = text if isinstance(text := found.get(name), str) else None
    return TrailRecord(**fields)


def _text(text: str, text_max: int) -> str:
    """Return a plain string that every JSON reader takes: no lone surrogates, bounded."""
    if len(text) > text_max:
        text = text[: text_max - 1] + "…"
    if text.isascii():
        return text if type(text) is str else str(text)
    return text.encode("utf-8", "replace").decode("utf-8")


def _key(key: object) -> str:
    if type(key) is str:
        return _text(key, _NAME_MAX)
    match key:
        case Enum():
            return _key(key.value)
        case str() | int() | Decimal():
            return _text(str(key), _NAME_MAX)
        case _:
            return f"<{type(key).__name__}>"


def _cut(value: Any, text_max: int, items_max: int) -> Any:  # noqa: ANN401 - JSON
    match value:
        case str():
            return _text(value, text_max)
        case dict():
            items = islice(value.items(), items_max)
            return {key: _cut(item, text_max, items_max) for key, item in items}
        case list():
            return [_cut(item, text_max, items_max) for item in value[:items_max]]
        case _:
            return value


class _RefusedError(ValueError):
    """JSON that Python would take and we do not."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a key occurs twice")
    return found


def _refuse(constant: str) -> object:
    raise _RefusedError(f"{constant} is not a number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
_FIELDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "timestamp": str,
    "event_type": str,
    "correlation_id": str,
    "environment": (str, type(None)),
    "seq": int,
    "prev_hash": (str, type(None)),
    "details": dict,
}
_LEFT_OUT: Final = ("account", "torn_hash")
"""Fields that most lines do without."""
