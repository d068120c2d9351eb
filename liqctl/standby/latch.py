"""The latch: after a trip a file says that nobody has armed the account again.

Only a human removes it, with `--rearm`. It lies beside the lock, under the account's identity.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from liqctl.run.who import make_private, state_folders

_BYTES_MAX: Final = 65_536
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def latch_of(identity: str, fallback_dir: Path) -> dict[str, Any] | None:
    """Return what tripped the account and was not re-armed, None when nothing did.

    A latch that cannot be read is one all the same.
    """
    for folder in (*state_folders(), fallback_dir):
        try:
            text = (folder / f"{identity}.latch").read_bytes()[:_BYTES_MAX]
        except FileNotFoundError:
            continue
        except OSError:
            return {}
        with contextlib.suppress(ValueError):
            found = json.loads(text)
            if isinstance(found, dict):
                return found
        return {}
    return None


def close_latch(identity: str, told: Mapping[str, object], fallback_dir: Path) -> bool:
    """Write the latch, on disk when this returns; return whether that worked."""
    for folder in (*state_folders(), fallback_dir):
        with contextlib.suppress(OSError):
            make_private(folder, is_ours=folder != fallback_dir)
            fd = os.open(folder / f"{identity}.latch", _FLAGS, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(json.dumps({**told, "host": socket.gethostname()}).encode())
                file.flush()
                os.fsync(file.fileno())
            return True
    return False


def stand_alone(identity: str, fallback_dir: Path) -> int | None:
    """Return a descriptor that keeps a second armed process off; None where one is there.

    It lasts as long as the process. Where no file can be had it keeps nobody off, and is -1.
    """
    for folder in (*state_folders(), fallback_dir):
        with contextlib.suppress(OSError):
            make_private(folder, is_ours=folder != fallback_dir)
            fd = os.open(folder / f"{identity}.armed", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            return fd
    return -1


def open_latch(identity: str, fallback_dir: Path) -> None:
    """Remove the latch; one that is not there is no error.

    Raises:
        OSError: it cannot be removed.
    """
    for folder in (*state_folders(), fallback_dir):
        (folder / f"{identity}.latch").unlink(missing_ok=True)
