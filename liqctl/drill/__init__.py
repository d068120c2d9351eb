"""What a drill leaves on disk: a line in `drills.jsonl`, and of its own trail nothing.

The line stands beside the trail, is written after it and read by `validate`. The drill's own trail
lies in a folder beside the real one: same disk, same rights, gone afterwards. A drill that was
killed leaves its folder behind. The folder is locked while its drill lives, and the next drill
removes those that nobody holds.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.as_json import dump_line
from liqctl.trail.file import open_for_reading, open_trail

if TYPE_CHECKING:
    from liqctl.trail.writer import AuditLogger

DRILLS_NAME: Final = "drills.jsonl"
# The end of the file: some eighty drills of the whole catalogue.
_READ_MAX_BYTES: Final = 1_000_000
_FOLDER_PREFIX: Final = ".drill-"
# Each is one drill that was killed; the next drills remove the rest.
_LEFT_BEHIND_MAX: Final = 100


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
        # Whoever writes there besides us: what does not read as a drill of ours is passed over.
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            row: Any = json.loads(line)
            counts = row["environment"] == environment and (
                row.get("complete") is not False or row.get("failed")
            )
            finished_at = datetime.fromisoformat(row["finished_at"]) if counts else None
            # One without a zone is not ours, and not to be compared with the time of day.
            if finished_at is not None and finished_at.tzinfo is not None:
                yield Drill(finished_at=finished_at, passed=row["passed"] is True)


@contextlib.contextmanager
def scratch_folder(log_dir: Path) -> Iterator[Path]:
    """Yield an empty folder in `log_dir`, which is made like a real run would; remove it again.

    Raises:
        OSError: nothing can be written there.
    """
    # Here, as `validate` and the metrics only read the record.
    import shutil
    import tempfile

    log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    as_folder = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    for left_behind in sorted(log_dir.glob(f"{_FOLDER_PREFIX}*"))[:_LEFT_BEHIND_MAX]:
        with contextlib.suppress(OSError):  # Its drill lives and holds the lock, or it is gone.
            fd = os.open(left_behind, as_folder | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left_behind, ignore_errors=True)
            finally:
                os.close(fd)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=log_dir))
    fd = os.open(folder, as_folder)
    try:
        with contextlib.suppress(OSError):  # A file system without locks.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


def find_fault(trail: "AuditLogger", *, stopped: bool = False) -> str | None:
    """Return what is wrong with a trail that drills wrote to, None when it is whole.

    Waits for the disk like the end of a run does: 200 ms at most. Where the drill was `stopped` a
    run without an end is none of the trail's faults.
    """
    trail.finish()
    return trail.failure or fault_of(trail.path, stopped=stopped)


def fault_of(path: Path, *, stopped: bool = False) -> str | None:
    """Return what is wrong with a file that runs were recorded in, None when it is whole."""
    from liqctl.trail.verify import verify

    try:
        checked = verify(path)
    except FileNotFoundError:
        return None  # No run came to an event.
    except OSError as error:
        return error.strerror or type(error).__name__
    if checked.is_intact and (stopped or not checked.unfinished):
        return None
    return f"{checked.break_count} breaks, {len(checked.unfinished)} unfinished runs"
