"""What is kept of checked settings for the next `liquidate`.

pydantic-settings costs a `liquidate` some 140 ms before its first request. What an earlier command
found valid for the same bytes and the same versions need not be read again, as Python need not
compile again: settings are kept by the hash of all they were made from. This is no second reader:
nothing is looked at here but the hash.

A kept file that is damaged, somebody else's or of another input is passed over. Each call on the
folder is made in a helper thread, so that a disk that hangs costs a run `_WAIT_MAX_S`.
"""

import contextlib
import hashlib
import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import liqctl
from liqctl.kernel.errors import ConfigurationError, hide_secrets
from liqctl.run import make_private, state_folders
from liqctl.settings.credentials import CREDENTIAL, ELSEWHERE
from liqctl.settings.values import Settings, Source, SourceKind, make_settings
from liqctl.settings.yaml_file import find_file, read_bounded
from liqctl.trail.durability import HelperThread

_WAIT_MAX_S: Final = 0.05
"""How long a run waits for the kept file: a hundred times what a disk needs, a third of what it
saves."""

_WRITE_WAIT_S: Final = 0.5
"""How long a command that is in no hurry lets the disk take: it may end a moment later."""

_FOLDER: Final = "settings"
_FILES_MAX: Final = 64
"""How many are kept: one for each file, variables and flags that somebody uses."""

_BYTES_MAX: Final = 1_048_576
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def load_settings(
    *,
    environment: str | None,
    config_file: Path | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    flag_names: Mapping[str, str] | None = None,
    may_be_kept: bool = False,
) -> Settings:
    """Do what `sources.load_settings` does, and keep what it returns for the next `liquidate`.

    `may_be_kept` takes kept ones, where there are any for the same input.
    """
    environment = environment or environ.get("LIQCTL_ENV") or None
    name = _name_of(environment, config_file or find_file(environment, environ), flags, environ)
    thread = HelperThread("kept settings")
    if may_be_kept and name:
        kept: list[Settings] = []
        thread.call(lambda: kept.extend(_read(name))).wait(_WAIT_MAX_S)
        if kept:
            return kept[0]
    from liqctl.settings.sources import load_settings as read_settings

    settings = read_settings(
        environment=environment,
        config_file=config_file,
        flags=flags,
        environ=environ,
        flag_names=flag_names,
    )
    if name:
        written = thread.call(lambda: _write(name, settings))
        if not may_be_kept:  # A `liquidate` waits for nothing; the next one may read again.
            written.wait(_WRITE_WAIT_S)
    return settings


def _name_of(
    environment: str | None,
    file: Path | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
) -> str | None:
    """Return the name for all that settings are made from; None where the file cannot be read."""
    try:
        content = read_bounded(file) if file else b""
        with os.scandir(Path(__file__).parent) as folder:
            code = sorted((e.name, e.stat().st_mtime_ns) for e in folder if e.is_file())
    except (OSError, ConfigurationError):
        return None
    variables = sorted(
        (name, value)
        for name, value in environ.items()
        if name == "XDG_STATE_HOME"
        or (name.startswith("LIQCTL_") and name not in ELSEWHERE and not CREDENTIAL.fullmatch(name))
    )
    versions = (liqctl.__version__, sys.version, code)
    name = environment and str(environment)  # An enum's repr is another one than its text's.
    told = (versions, name, file and str(file), variables, sorted(flags.items()))
    return hashlib.sha256(repr(told).encode("utf-8", "surrogateescape") + content).hexdigest()


def _read(name: str) -> list[Settings]:
    """Return the settings kept under the name, if they can be believed."""
    for folder in state_folders():
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, ConfigurationError):
            fd = os.open(folder / _FOLDER / name, _READ_FLAGS)
            with os.fdopen(fd, "rb") as file:
                if not (_is_private(os.fstat(fd)) and _is_private((folder / _FOLDER).lstat())):
                    continue
                seal, _, text = file.read(_BYTES_MAX).partition(b"\n")
            if seal == _seal(name, text):
                values = json.loads(text)
                values["sources"] = {
                    key: Source(kind=SourceKind(each["kind"]), where=each["where"])
                    for key, each in values["sources"].items()
                }
                return [make_settings(values)]
    return []


def _write(name: str, settings: Settings) -> None:
    symbols = [*settings.liquidation.symbols]
    for own in settings.accounts.values():
        symbols += own.symbols
    if any(hide_secrets(symbol) != symbol for symbol in symbols):
        return  # A key was pasted as a symbol, the one text that may be anything.
    text = json.dumps(asdict(settings), default=str)
    for folder in state_folders():
        with contextlib.suppress(OSError):
            for each in (folder, folder / _FOLDER):
                make_private(each, is_ours=True)
            beside = folder / _FOLDER / f"{name}.{os.getpid()}"
            with os.fdopen(os.open(beside, _WRITE_FLAGS, 0o600), "wb") as file:
                file.write(_seal(name, text.encode()) + b"\n" + text.encode())
            beside.replace(folder / _FOLDER / name)
            kept = sorted((folder / _FOLDER).iterdir(), key=lambda each: each.lstat().st_mtime)
            for old in kept[:-_FILES_MAX]:
                old.unlink()
            return


def _seal(name: str, text: bytes) -> bytes:
    """Return what binds a text to its name: half a file, or another's, has another."""
    return hashlib.sha256(name.encode() + text).hexdigest().encode()


def _is_private(found: os.stat_result) -> bool:
    is_ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return is_ours and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1)
