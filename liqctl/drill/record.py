"""`drills.jsonl`: a line for each drill, beside the trail; written after it, read by `validate`."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from liqctl.kernel.as_json import dump_line
from liqctl.trail.file import open_trail
from liqctl.trail.reading import open_for_reading

DRILLS_NAME: Final = "drills.jsonl"
_READ_MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One drill on record."""

    finished_at: datetime
    passed: bool


def append_row(path: Path, row: Mapping[str, object]) -> str | None:
    """Append one line in one write; return why it is not on disk, None when it is. Never raises."""
    try:
        file = open_trail(path)  # Ours alone, 0600, no link followed: as careful as with the trail.
        with file.courtesy() as is_alone:
            size, after_newline = file.settle(file.size())
            whole, _ = file.append(
                [dump_line(row).encode("ascii")],
                after_newline=after_newline,
                alone_at=size if is_alone else None,
            )
        os.fsync(file.fd)
        file.close()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None if whole else "the line was written in part only"


def last_drill(path: Path, environment: str) -> Drill | None:
    """Return the last drill of an environment on record; unreadable lines do not count.

    A drill of a part of the catalogue, with other settings, or one that was stopped, can fail but
    not pass: where nothing failed in it, the one before counts.
    """
    return next(_drills(path, environment), None)


def last_passed_drill(path: Path, environment: str) -> Drill | None:
    """Return the last drill of an environment that passed."""
    return next((drill for drill in _drills(path, environment) if drill.passed), None)


def _drills(path: Path, environment: str) -> Iterator[Drill]:
    """Yield the drills of an environment, the latest first."""
    try:
        with os.fdopen(open_for_reading(path), "rb") as stream:  # No pipe keeps us waiting.
            stream.seek(max(os.fstat(stream.fileno()).st_size - _READ_MAX_BYTES, 0))
            lines = stream.read(_READ_MAX_BYTES).splitlines()
    except OSError:
        return
    for line in reversed(lines):
        drill = _drill(line, environment)
        if drill is not None:
            yield drill


def _drill(line: bytes, environment: str) -> Drill | None:
    try:
        row: Any = json.loads(line)
        if row["environment"] != environment:
            return None
        if row.get("complete") is False and not row.get("failed"):
            return None
        finished_at = datetime.fromisoformat(row["finished_at"])
        if finished_at.tzinfo is None:  # Not ours, and not to be compared with the time of day.
            return None
        return Drill(finished_at=finished_at, passed=row["passed"] is True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
