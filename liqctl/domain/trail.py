r"""What the audit trail holds, once read: lines, runs, and what a check of the chain found.

The trail is read as if an enemy had written it: whatever is not a record is None, never an error.

>>> parse_line(b'{"seq": 1}') is None
True
>>> parse_line(b"\xff\x00[") is None
True
"""

import json
from dataclasses import asdict, dataclass
from typing import Final

VERIFICATION_SCHEMA: Final = "liqctl.verification/1"
LINE_MAX_BYTES: Final = 1024 * 1024
"""Longer lines are not taken apart. We write 8 kB at most."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One place where the chain does not hold. Lines count from 1."""

    line: int
    correlation_id: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TornLine:
    """An unfinished line that a crash explains: the last one, or one a later line steps over."""

    line: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """A run that has a start and no end: it is still under way, or it died."""

    correlation_id: str
    started_at: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check of the whole trail found.

    `breaks` and `torn` list the first ones only; `break_count` and `torn_count` count all. `head`
    is the SHA-256 of the last record. `head_found` is None when no head was asked for.
    """

    path: str
    size_bytes: int
    lines: int
    records: int
    blank_lines: int
    correlation_ids: int
    runs: int
    unfinished: tuple[UnfinishedRun, ...]
    torn: tuple[TornLine, ...]
    torn_count: int
    breaks: tuple[Break, ...]
    break_count: int
    head: str | None
    head_found: bool | None

    @property
    def is_intact(self) -> bool:
        """Whether the chain holds, and the head that was asked for stands in the file."""
        return self.break_count == 0 and self.head_found is not False

    def as_json(self) -> dict[str, object]:
        """Return the JSON document of `audit verify --json`."""
        return {"schema": VERIFICATION_SCHEMA, "intact": self.is_intact, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChain:
    """Whether the records of one run follow one another, whatever stands between them.

    `head` is the SHA-256 of the last one. The line before the first is left to `audit verify`.
    """

    records: int
    head: str | None
    problems: tuple[str, ...] = ()
    torn: int = 0

    @property
    def is_intact(self) -> bool:
        """Whether no record is missing, doubled, moved or altered; a cut end does not show."""
        return not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeadline:
    """The first and the last word of a run, where the trail holds them."""

    correlation_id: str
    environment: str
    start: TrailRecord | None = None
    end: TrailRecord | None = None


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
