"""Who runs this process, where its private files go, and what time it is.

Who runs it stands in the start record: nobody shall say "I did not press it".
"""

import contextlib
import os
import pwd
import socket
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_PRIVATE: Final = 0o700
_CREATED: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def describe_actor() -> dict[str, object]:
    """Return user, sudo user, SSH client, terminal or not, host and pid."""
    user, is_terminal = str(os.getuid()), False
    with contextlib.suppress(KeyError):  # Containers run as users that no file lists.
        user = pwd.getpwuid(os.getuid()).pw_name
    with contextlib.suppress(ValueError):  # Standard input may be closed.
        is_terminal = sys.stdin is not None and sys.stdin.isatty()
    return {
        "user": user,
        "sudo_user": os.environ.get("SUDO_USER"),
        "ssh_client": os.environ.get("SSH_CLIENT") or os.environ.get("SSH_CONNECTION"),
        "terminal": is_terminal,
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }


def is_running(pid: int) -> bool:
    """Return whether a process of that number lives on this machine."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def state_folders() -> tuple[Path, ...]:
    """Return where private state may live, best first; two runs of one user find the same place."""
    found = []
    state_home = os.environ.get("XDG_STATE_HOME", "")
    if state_home.startswith("/"):
        found.append(Path(state_home) / "liqctl")
    with contextlib.suppress(KeyError):
        home = pwd.getpwuid(os.geteuid()).pw_dir
        if home.startswith("/"):
            found.append(Path(home) / ".local" / "state" / "liqctl")
    found.append(Path(f"/tmp/liqctl-{os.geteuid()}"))  # noqa: S108 - checked to be ours and 0700
    return tuple(found)


def nearest_existing(path: Path) -> Path:
    """Return the path, or its nearest parent that exists."""
    return next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))


def make_private(directory: Path, *, is_ours: bool) -> None:
    """Make the directory, 0700; one that stands there must be ours, closed to others, no link.

    Raises:
        OSError: it is none of that, or cannot be made.
    """
    directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if not is_ours:
        return
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(0, "not a directory")
    if found.st_uid != os.geteuid():
        raise OSError(0, f"it belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        directory.chmod(_PRIVATE)


def create_private(path: Path, content: bytes) -> None:
    """Create a file, 0600, and bring it to the disk; what stands there, or a link, stays as it is.

    Raises:
        OSError: something stands there, or it cannot be written: then no half of it is left.
    """
    with os.fdopen(os.open(path, _CREATED, 0o600), "wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise


class SystemClock:
    """`machine.WallClock` of the machine. Elapsed time is never measured with it."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads the calendar
