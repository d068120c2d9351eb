"""A trail of its own for a drill, beside the real one: same disk, same rights, gone afterwards.

What a reader would get wrong: a drill that was killed leaves its folder behind. The folder is
locked while its drill lives, and the next drill removes those that nobody holds.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from liqctl.trail.verify import verify
from liqctl.trail.writer import AuditLogger

_PREFIX: Final = ".drill-"
_LEFT_BEHIND_MAX: Final = 100


@contextlib.contextmanager
def scratch_folder(log_dir: Path) -> Iterator[Path]:
    """Yield an empty folder in `log_dir`, which is made like a real run would; remove it again.

    Raises:
        OSError: nothing can be written there.
    """
    log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in sorted(log_dir.glob(f"{_PREFIX}*"))[:_LEFT_BEHIND_MAX]:
        _remove_unheld(folder)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=log_dir))
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # A file system without locks.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


def find_fault(trail: AuditLogger, *, stopped: bool = False) -> str | None:
    """Return what is wrong with a trail that drills wrote to, None when it is whole.

    Waits for the disk like the end of a run does: 200 ms at most. Where the drill was `stopped` a
    run without an end is none of the trail's faults.
    """
    trail.finish()
    if trail.failure is not None:
        return trail.failure
    try:
        checked = verify(trail.path)
    except FileNotFoundError:
        return None  # No run came to an event.
    except OSError as error:
        return error.strerror or type(error).__name__
    if checked.is_intact and (stopped or not checked.unfinished):
        return None
    return f"{checked.break_count} breaks, {len(checked.unfinished)} unfinished runs"


def _remove_unheld(folder: Path) -> None:
    """Remove a folder that a drill left behind when it died."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(fd)
