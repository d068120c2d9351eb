r"""One event as one line: made of ASCII JSON of at most 8 kB, and read back.

Only known types are written. Anything else becomes its type's name in angle brackets, never its
repr: a foreign object's words may hold a secret. Lines are read back as if an enemy had written them:
whatever is no record is None, never an error.

>>> clean({"quantity": Decimal("1E-3"), "at": datetime(2026, 1, 2, tzinfo=UTC), "key": object()})
{'quantity': '0.001', 'at': '2026-01-02T00:00:00.000000Z', 'key': '<object>'}
>>> Record(
...     timestamp=datetime(2026, 1, 2, tzinfo=UTC), event_type="VERIFIED", correlation_id="a",
...     environment="testnet", details={"note": "é\n"},
... ).line(seq=1, prev_hash=None)
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
from typing import Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import rfc3339

RECORD_MAX_BYTES: Final = 8192
"""With the newline. Small enough that one write is one step in practice, and for any reader."""

CUT_KEY: Final = "cut_bytes"
"""Stands in details that were cut: how long their JSON would have been."""

LINE_MAX_BYTES: Final = 1024 * 1024
"""Longer lines are not taken apart. We write 8 kB at most."""

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
class Record:
    """One event, before it has a place in a chain. `details` are clean (see `clean`)."""

    timestamp: datetime
    event_type: str
    correlation_id: str
    environment: str
    details: dict[str, object]

    def line(self, *, seq: int, prev_hash: str | None, torn_hash: str | None = None) -> bytes:
        """Return the record's bytes without a newline.

        Args:
            seq: its number within the correlation id, from 1.
            prev_hash: SHA-256 of the line it follows, None when there is none.
            torn_hash: SHA-256 of an unfinished line that the record steps over, when that is not
                `prev_hash` already: so a stump left by a crash is told from one left by tampering.
        """
        head: dict[str, object] = {
            "timestamp": rfc3339(self.timestamp),
            "event_type": self.event_type,
            "correlation_id": self.correlation_id,
            "environment": self.environment,
            "seq": seq,
            "prev_hash": prev_hash,
        }
        if torn_hash is not None:
            head["torn_hash"] = torn_hash
        line = _encode({**head, "details": self.details})
        if len(line) < RECORD_MAX_BYTES:
            return line
        whole = len(_encode(self.details))
        for text_max, items_max in _CUTS:
            details = dict(islice(self.details.items(), items_max))
            shorter = {key: _cut(value, text_max, items_max) for key, value in details.items()}
            line = _encode({**head, "details": {**shorter, CUT_KEY: whole}})
            if len(line) < RECORD_MAX_BYTES:
                return line
        return _encode({**head, "details": {CUT_KEY: whole}})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailRecord:
    """One line of the trail. `torn_hash` names an unfinished line that it stepped over."""

    timestamp: str
    event_type: str
    correlation_id: str
    environment: str
    seq: int
    prev_hash: str | None
    torn_hash: str | None
    details: dict[str, object]


def make_record(
    *, timestamp: datetime, event_type: str, correlation_id: str, environment: str, details: object
) -> Record:
    """Return the event with every part made safe to write; accepts anything as details."""
    cleaned = clean(details)
    return Record(
        timestamp=timestamp,
        event_type=_text(str(event_type), _NAME_MAX),
        correlation_id=_text(str(correlation_id), _CORRELATION_ID_MAX),
        environment=_text(str(environment), _NAME_MAX),
        details=cleaned if isinstance(cleaned, dict) else {"value": cleaned},
    )


def clean(value: object, depth: int = 0) -> object:
    """Return the value in JSON's own types: decimals and moments as strings, all of it bounded."""
    kind = type(value)
    if kind is str:
        return _text(value, _TEXT_MAX)  # type: ignore[arg-type]
    if value is None or kind is bool:
        return value
    match value:
        case Enum():
            return clean(value.value, depth)
        case int() | float() | Decimal():
            return _number(value)
        case dict() | list() | tuple() | set() | frozenset() | Mapping() if depth >= _DEPTH_MAX:
            return "<nested>"
        case dict() | Mapping():
            items = islice(value.items(), _ITEMS_MAX)
            return {_key(key): clean(item, depth + 1) for key, item in items}
        case list() | tuple() | set() | frozenset():
            return [clean(item, depth + 1) for item in islice(value, _ITEMS_MAX)]
        case _:
            return _words(value)


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
    return _as_record(found)


def _number(value: float | Decimal) -> object:
    match value:
        case bool():
            return bool(value)
        case int():
            return value if value.bit_length() <= _INTEGER_BITS_MAX else "<int>"
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            far = value.is_finite() and abs(value.adjusted()) > _EXPONENT_MAX
            return str(value) if far else plain(value)


def _words(value: object) -> str:
    match value:
        case str():
            return _text(value, _TEXT_MAX)
        case datetime():
            return rfc3339(value if value.tzinfo else value.replace(tzinfo=UTC))
        case PurePath():
            return _text(str(value), _TEXT_MAX)
        case _:
            return f"<{type(value).__name__}>"


def _encode(value: object) -> bytes:
    return json.dumps(value).encode("ascii")


def _text(text: str, text_max: int) -> str:
    """Return a plain string that every JSON reader takes: no lone surrogates, bounded."""
    if len(text) > text_max:
        text = text[: text_max - 1] + "…"
    return str(text) if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _key(key: object) -> str:
    match key:
        case Enum():
            return _key(key.value)
        case str() | int() | Decimal():
            return _text(str(key), _NAME_MAX)
        case _:
            return f"<{type(key).__name__}>"


def _cut(value: object, text_max: int, items_max: int) -> object:
    """Return clean details with long texts shortened and long lists and mappings cut."""
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


def _as_record(found: object) -> TrailRecord | str:
    if not isinstance(found, dict):
        return "not a JSON object"
    for name, kinds in _FIELDS:
        value = found.get(name, ...)
        if not isinstance(value, kinds) or value is True or value is False:
            return f"{name} is missing" if value is ... else f"{name} has the wrong type"
    if found["seq"] < 1:
        return "seq is below 1"
    return TrailRecord(
        timestamp=found["timestamp"],
        event_type=found["event_type"],
        correlation_id=found["correlation_id"],
        environment=found["environment"] or "",
        seq=found["seq"],
        prev_hash=found["prev_hash"],
        torn_hash=torn if isinstance(torn := found.get("torn_hash"), str) else None,
        details=found["details"],
    )


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a key stands twice")
    return found


def _refuse(constant: str) -> object:
    raise _RefusedError(f"{constant} is no number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
_FIELDS: Final[tuple[tuple[str, type | tuple[type, ...]], ...]] = (
    ("timestamp", str),
    ("event_type", str),
    ("correlation_id", str),
    ("environment", (str, type(None))),
    ("seq", int),
    ("prev_hash", (str, type(None))),
    ("details", dict),
)
