"""The armed process on its machine: the only one of an account, its latch, its service manager.

After a trip a file, the latch, says that nobody has armed the account again. Only a human removes
it, with `--rearm`. It lies beside the lock, under the account's identity.

`status` and metrics show both the latch and what the process says of itself. That one may be of
another version, or hang: what it does not say is None, and it is never waited for longer than the
caller allows.
"""

import asyncio
import contextlib
import fcntl
import json
import math
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from liqctl.kernel.amounts import parse_decimal, plain
from liqctl.run import make_private, state_folders
from liqctl.standby.handover import ask_armed

LOOK_MAX_S: Final = 0.5
"""How long an answer is waited for beside a reading of the account, which takes about as long."""

LOOK_ASIDE_MAX_S: Final = 0.1
"""How long where nothing else is waited for: an armed process accepts a handover in that time."""

_BYTES_MAX: Final = 65_536
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_READS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LIFE_SHARE: Final = 0.4
"""Of the watchdog's time, how far apart signs of life are: two may be lost."""

_SAID: Final = (
    *("pid", "correlation_id", "armed_since", "health", "tripped", "observe"),
    *("hold_seconds", "countdown_seconds", "heartbeat_limit_seconds", "weight_used"),
)
_OF_GUARDS: Final = ("guard", "rule", "level", "limit", "value", "used", "words")
_AMOUNTS: Final = ("limit", "value", "used")
_OF_LATCH: Final = ("tripped_at", "by", "why", "correlation_id", "host")


def _folders(fallback_dir: Path) -> Iterator[Path]:
    """Yield where a latch may lie. One in a folder of somebody else's would be no word of ours."""
    for folder in state_folders():
        with contextlib.suppress(OSError):
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                yield folder
    yield fallback_dir


def latch_of(identity: str, fallback_dir: Path) -> dict[str, Any] | None:
    """Return what tripped the account and was not re-armed, None when nothing did.

    A latch that cannot be read is one all the same, and so is a link, which nobody of us made.
    """
    for folder in _folders(fallback_dir):
        path = folder / f"{identity}.latch"
        try:
            fd = os.open(path, _READS)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return {}
        text = b""
        with contextlib.suppress(OSError):  # A folder, or a disk that fails.
            text = os.read(fd, _BYTES_MAX)
        os.close(fd)
        with contextlib.suppress(ValueError, RecursionError):
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
            # Let a power cut not take the file's name; not every file system can.
            with contextlib.suppress(OSError):
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
            return True
    return False


def stand_alone(identity: str, fallback_dir: Path) -> int | None:
    """Return a descriptor that keeps a second armed process off; None where one is there.

    It lasts as long as the process. Where no file can be had it keeps nobody off, and is -1.
    """
    for folder in (*state_folders(), fallback_dir):
        with contextlib.suppress(OSError):
            make_private(folder, is_ours=folder != fallback_dir)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(folder / f"{identity}.armed", flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            except OSError:  # A file system without locks.
                os.close(fd)
                continue
            return fd
    return -1


def open_latch(identity: str, fallback_dir: Path) -> None:
    """Remove the latch wherever it lies; one that is not there is no error.

    Raises:
        OSError: one of them cannot be removed.
    """
    failure: OSError | None = None
    for folder in _folders(fallback_dir):
        try:
            (folder / f"{identity}.latch").unlink(missing_ok=True)
        except NotADirectoryError:
            continue
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure


def look_at_standby(
    identity: str, fallback_dir: Path, patience_s: float = LOOK_MAX_S
) -> dict[str, Any]:
    """Return `armed` and `latch` of the status document: each None where there is none."""
    said, latch = ask_armed(identity, patience_s), latch_of(identity, fallback_dir)
    return {
        "armed": None if said is None else armed_document(said),
        "latch": None if latch is None else {name: latch.get(name) for name in _OF_LATCH},
    }


def armed_document(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an armed process said of itself as the status document has it.

    A heartbeat file that is missing has no age, which JSON has no number for. Amounts are written
    as every other one: never with an exponent.
    """
    age_s = said.get("heartbeat_age_seconds")
    is_missing = isinstance(age_s, float) and math.isinf(age_s)
    guards: list[dict[str, Any]] = []
    for guard in said.get("guards") or ():
        amounts = {name: parse_decimal(guard.get(name)) for name in _AMOUNTS}
        shown = {
            name: None if amount is None else plain(amount) for name, amount in amounts.items()
        }
        guards.append({name: guard.get(name) for name in _OF_GUARDS} | shown)
    return {
        "answers": "armed_since" in said,
        **{name: said.get(name) for name in _SAID},
        "reasons": [str(each) for each in said.get("reasons") or ()],
        "heartbeat_age_seconds": None if is_missing or age_s is None else round(age_s, 3),
        "heartbeat_missing": is_missing,
        "guards": guards,
        "streams": said.get("streams") or {},
    }


def notify_status(status: str, *words: str) -> None:
    """Send how the process is, in words; what a venue wrote may stand in them, on one line."""
    notify("\n".join([*words, f"STATUS={' '.join(status.split())}"]))


def notify(text: str) -> None:
    """Send a message to the service manager, if there is one; never raises, never blocks."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError, ValueError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(0.0)
        sock.sendto(text.encode(), address)


async def show_life() -> None:
    """Tell the service manager's watchdog that the loop runs, until cancelled."""
    text, own = os.environ.get("WATCHDOG_USEC", ""), str(os.getpid())
    pause_s = int(text) / 1e6 * _LIFE_SHARE if text.isdecimal() else 0.0
    if not pause_s or os.environ.get("WATCHDOG_PID", own) != own:
        return
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(pause_s)
