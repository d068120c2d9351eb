"""What a bundle tells of the machine: versions, limits, disks, clock; never a secret's value."""

import locale
import os
import platform
import resource
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.states import Environment
from liqctl.run.who import SystemClock
from liqctl.settings.credentials import find_source

_LIBRARIES: Final = (
    *("aiohttp", "ccxt", "certifi", "cryptography", "httpx", "jinja2", "prometheus-client"),
    *("pydantic", "pydantic-settings", "pyyaml", "rich", "typer", "yarl"),
)
_LIMITS: Final = ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_AS", "RLIMIT_NPROC")
_PREFIX: Final = "LIQCTL_"
_LOCALE: Final = ("LANG", "LC_ALL", "TZ", "TERM", "NO_COLOR", "PYTHONDONTWRITEBYTECODE")
_TEXT_MAX: Final = 65_536


def versions() -> dict[str, Any]:
    """Return what runs here, without importing it."""
    from liqctl import __version__

    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        system = "unknown"
    return {
        "liqctl": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "openssl": ssl.OPENSSL_VERSION,
        "os": system,
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "libraries": {name: _version_of(name) for name in _LIBRARIES},
    }


def surroundings(
    environ: Mapping[str, str], *, log_dir: Path, has_bytecode: bool
) -> dict[str, Any]:
    """Return the facts that explain why a run behaves here as it does nowhere else."""
    timesync, memory = Path("/run/systemd/timesync"), _fields("/proc/meminfo")
    return {
        "now": rfc3339(SystemClock().now()),
        "clock": {
            "time_zone": list(time.tzname),
            "ntp_synchronised": (timesync / "synchronized").exists() if timesync.is_dir() else None,
            "monotonic_s": round(time.monotonic(), 3),
        },
        "variables_set": sorted(name for name in environ if name.startswith(_PREFIX)),
        "keys": {
            environment.value: {
                f"{name.lower()}_is_set": find_source(name, environment, environ) is not None
                for name in ("API_KEY", "API_SECRET")
            }
            for environment in Environment
        },
        "locale": {name: environ[name] for name in _LOCALE if name in environ},
        "encoding": locale.getpreferredencoding(False),  # noqa: FBT003 - the library's own
        "process": {
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "umask": _fields("/proc/self/status").get("Umask"),
            "terminal": {name: os.isatty(fd) for fd, name in enumerate(("in", "out", "err"))},
            "python_flags": [name for name in ("isolated", "optimize") if getattr(sys.flags, name)],
            "prefix": sys.prefix,
            "bytecode": has_bytecode,
        },
        "limits": {name: _limit(name) for name in _LIMITS},
        "processors": os.cpu_count(),
        "memory_kb": {
            name: int(memory[name]) for name in ("MemTotal", "MemAvailable") if name in memory
        },
        "disks": {
            "current folder": _disk(Path.cwd),
            "log_dir": _disk(lambda: log_dir),
        },
    }


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _limit(name: str) -> list[int | None]:
    """Return the soft and hard limit; None is unlimited."""
    values = resource.getrlimit(getattr(resource, name))
    return [None if value == resource.RLIM_INFINITY else value for value in values]


def _fields(path: str) -> dict[str, str]:
    """Return the first word after each name of a file of `/proc`."""
    rows = (line.partition(":") for line in _text(Path(path)).splitlines())
    return {name: values[0] for name, _, told in rows if (values := told.split())}


def _disk(find_folder: Callable[[], Path]) -> dict[str, Any] | None:
    """Return room and mount of a folder, or of its nearest parent that exists."""
    try:
        path = find_folder().absolute()
        nearest = next(each for each in (path, *path.parents) if each.exists())
        found = os.statvfs(nearest)
        mode = nearest.stat()
    except (OSError, StopIteration):
        return None
    return {
        "path": str(path),
        "exists": nearest == path,
        "mode": f"{mode.st_mode & 0o7777:04o}",
        "owner_is_us": mode.st_uid == os.geteuid(),
        "free_mb": found.f_bavail * found.f_frsize // 1_000_000,
        "free_files": found.f_favail,
        "mount": _mount_of(nearest),
    }


def _mount_of(path: Path) -> dict[str, str] | None:
    """Return where the path's file system is mounted, its type and options."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):
        return None
    best: tuple[str, dict[str, str]] | None = None
    for line in _text(Path("/proc/self/mountinfo")).splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        point = fields[4].encode().decode("unicode_escape") if len(fields) > 5 else ""  # noqa: PLR2004
        covers = bool(kind) and real.is_relative_to(point or "?")
        if covers and (best is None or len(point) >= len(best[0])):
            best = (point, {"point": point, "options": fields[5], "type": kind[0]})
    return best[1] if best else None


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_TEXT_MAX)
    except OSError:
        return ""
