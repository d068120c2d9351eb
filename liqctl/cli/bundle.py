"""`liqctl bundle`: what somebody needs who is asked for help, in one file and without a secret.

It is made on set-ups that are broken, so nothing that is missing keeps it from being made: a part
that cannot be made is named with the reason. It asks nothing of the venue unless told to, and
writes nothing but its own file.
"""

import contextlib
import hashlib
import locale
import os
import platform
import re
import resource
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli.audit import default_trail, find_accounts_runs, last_lines_of, settings_of, trail_at
from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.desk.bundle import (
    BUNDLE_SCHEMA,
    Missing,
    Part,
    Redactor,
    make_manifest,
    pack,
    secrets_of,
)
from liqctl.drill import DRILLS_NAME
from liqctl.kernel.as_json import dump, rfc3339
from liqctl.kernel.errors import ConfigurationError, LiqctlError, UsageError
from liqctl.kernel.events import TRAIL_NAME
from liqctl.kernel.states import Environment, ExitCode
from liqctl.run import SystemClock, create_private, nearest_existing
from liqctl.settings.credentials import find_source
from liqctl.trail.reading import LineFilter
from liqctl.trail.verify import verify

if TYPE_CHECKING:
    from liqctl.settings.values import Settings

LINES_MAX: Final = 5_000
RUN_LINES_MAX: Final = 200_000
BYTES_MAX: Final = 16_000_000
_DRILLS_MAX: Final = 50
_LOG_LINES_MAX: Final = 5_000
_LOG_NAMES: Final = ("liqctl.log.1", "liqctl.log")
_VERIFIED_MAX_BYTES: Final = 256_000_000
_UNLIKELY: Final = (OSError, ValueError, RecursionError, LiqctlError)

_STAMPED: Final = len('{"timestamp": "2026-01-02T10:30:00.000000Z"')
_NAMES_MAX: Final = 9
_ID_MAX: Final = 64
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")

_LIBRARIES: Final = (
    *("aiohttp", "ccxt", "certifi", "cryptography", "httpx", "jinja2", "prometheus-client"),
    *("pydantic", "pydantic-settings", "pyyaml", "rich", "typer", "yarl"),
)
_LIMITS: Final = ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_AS", "RLIMIT_NPROC")
_PREFIX: Final = "LIQCTL_"
_LOCALE: Final = ("LANG", "LC_ALL", "TZ", "TERM", "NO_COLOR", "PYTHONDONTWRITEBYTECODE")
_TEXT_MAX: Final = 65_536


@takes(
    *("any_run", "environment", "config_file", "log", "online", "as_json", "no_color"),
    environment="Whose settings; else all that are found.",
    online="Also ask the venue.",
)
def bundle(options: Options) -> ExitCode:
    """Write trail, log, settings, versions and facts about the machine into a .tar.gz.

    It holds no key, secret or signature. The --correlation-id of a run of several accounts collects
    them all. Without --online the venue is not asked.
    Exit codes: 0 a bundle was made, 1 none could be written, 2 usage.

    Example: liqctl bundle liq_20260102_103000_abc123 --env production
    """
    from liqctl import __version__
    from liqctl.desk.text import Part, Table, clean, show

    moment = SystemClock().now()
    collector = PartCollector(options)
    collector.gather()
    shown_id = collector.hide(options.any_run) if options.any_run else None
    manifest = make_manifest(
        collector.parts,
        collector.missing,
        moment=moment,
        version=__version__,
        correlation_id=shown_id,
        online=options.online,
    )
    name = f"liqctl_bundle_{moment:%Y%m%d_%H%M%S}"
    if shown_id:
        name += f"_{_UNSAFE.sub('_', shown_id)[:_ID_MAX]}"
    content = pack(name, collector.parts, manifest, moment=moment)
    path, problems = write(name, content)
    for problem in problems:
        out.error(f"liqctl: {problem}")
    if path is None:
        message = "no bundle was made: change to a folder with room that is yours, and run it again"
        out.error(f"liqctl: {message}")
        if options.as_json:
            out.answer(dump({"schema": BUNDLE_SCHEMA, "path": None, "error_message": message}))
        return ExitCode.FAILED
    document = {
        "schema": BUNDLE_SCHEMA,
        "path": str(path),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "manifest": manifest,
    }
    rows = [
        (clean(part.name), f"{len(part.content):,} bytes", f"{part.redacted_lines} lines masked")
        for part in collector.parts
    ]
    parts: list[Part] = [
        f"{path}: {len(content):,} bytes",
        Table(head=("part", "size", "redacted"), rows=rows, right={1}),
        *(("missing: ", clean(f"{each.name}: {each.why}")) for each in collector.missing),
        "Look through it before you send it; it holds what is open, traded and logged.",
    ]
    out.document(document, options, lambda _, *, width, **__: show(parts, width=width))
    return ExitCode.DONE


def write(name: str, content: bytes) -> tuple[Path | None, list[str]]:
    """Write the bundle into the current folder, else into the one for temporary files.

    Returns:
        Where it is, None when it is nowhere, and what went wrong on the way.
    """
    problems: list[str] = []
    folders = [Path()]
    with contextlib.suppress(OSError):  # it looks for a folder that can be written to
        folders.append(Path(tempfile.gettempdir()))
    for folder in folders:
        for number in range(1, _NAMES_MAX + 1):
            path = folder / (f"{name}.tar.gz" if number == 1 else f"{name}_{number}.tar.gz")
            try:
                create_private(path, content)
            except FileExistsError:
                continue
            except OSError as error:
                where = "the current folder" if folder == Path() else str(folder)
                why = error.strerror or type(error).__name__
                problems.append(f"the bundle cannot be written into {where}: {why}")
                break
            if problems:
                problems.append(f"it was written to {path} instead")
            return path, problems
    return None, problems


@dataclass(slots=True)
class PartCollector:
    """Makes the parts of one bundle.

    To add one, give `_add` what makes its bytes, text or document: whatever that raises of the
    expected kinds becomes a line of the manifest's `missing`.
    """

    options: Options
    parts: list[Part] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    _settings: "dict[Environment, Settings]" = field(default_factory=dict)
    _runs: list[str] = field(default_factory=list)
    _redactor: Redactor = field(default_factory=lambda: Redactor([]))

    def gather(self) -> None:
        """Make every part that can be made, in a fixed order."""
        from liqctl.checks.document import find_environments

        run, file = self.options.any_run, self.options.config_file
        environments = [self.options.environment] if self.options.environment else []
        try:
            environments = environments or find_environments(file)
        except (ConfigurationError, UsageError, ValueError) as error:
            self.missing.append(Missing(name="validation", why=self.hide(str(error))))
        for environment in environments:
            with contextlib.suppress(ConfigurationError, UsageError):  # `validate` tells of it
                self._settings[environment] = settings_of(environment, file)
        notifications = [n for each in self._settings.values() for n in each.notifications]
        self._redactor = Redactor(secrets_of(os.environ, notifications))
        configured = (each.audit.log_dir / TRAIL_NAME for each in self._settings.values())
        trail = trail_at(self.options.log or next(configured, None) or default_trail())
        self._runs = [run] if run else []
        with contextlib.suppress(OSError):  # That it cannot be read is said of the trail's part.
            if run and not _tail(trail, 1, LineFilter(correlation_id=run)):
                self._runs = find_accounts_runs([trail], run) or self._runs
        self._add_runs(trail, run)
        for environment in environments:
            self._add_environment(environment)
        self._add("versions.json", "of the installed packages", versions)
        accounts = {each: [*its.accounts] for each, its in self._settings.items()}
        self._add(
            "environment.json", "read on this machine", lambda: surroundings(trail.parent, accounts)
        )

    def _add_runs(self, trail: Path, run: str | None) -> None:
        """Add what trail, log and reports tell of the run, or of the last ones."""

        def verified() -> object:
            size = trail.stat().st_size
            if size > _VERIFIED_MAX_BYTES:
                many = f"{size} bytes are too many for a bundle; run `liqctl audit verify`"
                raise ValueError(many)
            return verify(trail)

        def logged() -> bytes:
            paths = [trail.parent / name for name in _LOG_NAMES]
            lines: list[bytes] = []
            for path in paths:
                if path.exists() or path == paths[-1]:
                    lines += _tail(path, _LOG_LINES_MAX)
            words = [f" {each} ".encode() for each in self._runs]
            lines = [line for line in lines if not words or any(word in line for word in words)]
            return _newest(lines[-_LOG_LINES_MAX:])

        which = f"the lines of run {run}" if run else f"the last {LINES_MAX} lines at most"
        self._add(f"trail/{TRAIL_NAME}", f"{which}, byte for byte", lambda: self._excerpt(trail))
        how = "liqctl audit verify --json, of the whole trail"
        self._add("trail/verification.json", how, verified)
        how = f"the last {_LOG_LINES_MAX} lines at most" + (f" that name {run}" if run else "")
        self._add("log/liqctl.log", how, logged)
        self._add(
            "log/drills.jsonl",
            f"the last {_DRILLS_MAX} lines",
            lambda: b"\n".join(_tail(trail.parent / DRILLS_NAME, _DRILLS_MAX)),
        )
        if run is None:
            return
        asked = "" if self.options.online else " --offline"
        for each in self._runs:
            # Of several accounts each has reports of its own.
            name = each.removeprefix(f"{run}-") if each != run else "report"
            for ending, option in (("md", ""), ("html", " --html")):
                self._add(
                    f"report/{name}.{ending}",
                    f"liqctl report {each if each != run else 'ID'}{option}{asked}",
                    partial(self._report, trail, each, html=bool(option)),
                )

    def hide(self, text: str) -> str:
        """Return a text without secrets, for what is told beside the parts."""
        return self._redactor.clean(text)[0]

    def _add(self, name: str, how: str, make: Callable[[], object]) -> None:
        """Add a part without secrets, or say why there is none."""
        try:
            made = make()
            if not isinstance(made, bytes):
                made = (made if isinstance(made, str) else dump(made)).encode()
        except _UNLIKELY as error:
            why = str(error) or type(error).__name__
            if isinstance(error, OSError) and error.strerror:
                why = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            self.missing.append(Missing(name=name, why=self.hide(why)))
            return
        content, redacted = self._redactor.clean_lines(made[-BYTES_MAX:])
        if content and not content.endswith(b"\n"):
            content += b"\n"
        self.parts.append(
            Part(name=name, content=content, how=self.hide(how), redacted_lines=redacted)
        )

    def _add_environment(self, environment: Environment) -> None:
        """Add what `validate` and `status` say of one environment."""
        import asyncio

        from liqctl.checks.document import check_environment
        from liqctl.cli.status import StatusReader, look_once
        from liqctl.cli.validate import ask_venue

        online, file = self.options.online, self.options.config_file
        document: dict[str, Any] = {}

        def validate() -> object:
            ask = ask_venue if online else None
            document.update(check_environment(environment, config_file=file, ask_venue=ask))
            return document

        def config() -> object:
            if not document.get("config"):
                raise ConfigurationError("the settings cannot be used, see validation")
            return document["config"]

        def status(account: str | None) -> object:
            if settings is None:
                raise ConfigurationError("the settings cannot be used, see validation")
            its = settings.of(account) if account else settings
            if online:
                return asyncio.new_event_loop().run_until_complete(look_once(its)).document
            why = "not asked: a bundle asks nothing of the venue without --online"
            return StatusReader(its).look_aside(why).document

        settings, name = self._settings.get(environment), environment.value
        asked = " --online" if online else ""
        self._add(f"validation/{name}.json", f"liqctl validate --json{asked}", validate)
        self._add(
            f"config/{name}.json",
            "every setting in force with its source; keys as set or not set",
            config,
        )
        for account in (settings and settings.accounts) or (None,):
            self._add(
                f"status/{name}-{account}.json" if account else f"status/{name}.json",
                "liqctl status --json"
                + (f" --account {account}" if account else "")
                + ("" if online else ", without asking the venue"),
                partial(status, account),
            )

    def _report(self, trail: Path, run: str, *, html: bool) -> str:
        from liqctl.cli.report import gather_incident, render_incident

        _refuse_link(trail)
        incident = gather_incident(
            [trail], run, config=self.options.config_file, is_offline=not self.options.online
        )
        if incident is None:
            raise UsageError(f"no run {run!r} in {trail}")
        return render_incident(incident, html=html)

    def _excerpt(self, trail: Path) -> bytes:
        """Return the run's lines or the last ones, byte for byte; of many the newest."""
        if not self._runs:
            return _newest(_tail(trail, LINES_MAX, LineFilter()))
        runs = [LineFilter(correlation_id=run) for run in self._runs]
        lines = [line for run in runs for line in _tail(trail, RUN_LINES_MAX, run)]
        if not lines:
            raise UsageError(f"no run {self.options.any_run!r} in {trail}")
        if len(runs) > 1:  # A line begins with its time stamp.
            lines.sort(key=lambda line: line[:_STAMPED])
        return _newest(lines)


def _tail(path: Path, count: int, wanted: LineFilter | None = None) -> list[bytes]:
    _refuse_link(path)
    return last_lines_of(path, count, wanted)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():  # The trail's writer follows none, so this is not our file.
        raise OSError(0, "a link, which is not followed", str(path))


def _newest(lines: list[bytes]) -> bytes:
    """Return the last whole lines that fit a part."""
    room, first = BYTES_MAX, len(lines)
    while first and room >= len(lines[first - 1]) + 1:
        first -= 1
        room -= len(lines[first]) + 1
    return b"\n".join(lines[first:])


def versions() -> dict[str, Any]:
    """Return what runs here, without importing it."""
    from liqctl import __version__

    libraries: dict[str, str | None] = dict.fromkeys(_LIBRARIES)
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            libraries[name] = metadata.version(name)
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
        "libraries": libraries,
    }


def surroundings(log_dir: Path, accounts: Mapping[Environment, Sequence[str]]) -> dict[str, Any]:
    """Return the facts that explain why a run behaves here as it does nowhere else.

    `accounts` are those with keys of their own, by environment.
    """
    from liqctl.checks.of_machine import has_bytecode

    environ = os.environ
    # Soft and hard; None is unlimited.
    limits = {
        name: [
            None if value == resource.RLIM_INFINITY else value
            for value in resource.getrlimit(getattr(resource, name))
        ]
        for name in _LIMITS
    }
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
            " ".join([environment.value, *([account] if account else [])]): {
                f"{name.lower()}_is_set": find_source(name, environment, environ, account)
                is not None
                for name in ("API_KEY", "API_SECRET")
            }
            for environment in Environment
            for account in (None, *accounts.get(environment, ()))
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
            "bytecode": has_bytecode(),
        },
        "limits": limits,
        "processors": os.cpu_count(),
        "memory_kb": {
            name: int(memory[name]) for name in ("MemTotal", "MemAvailable") if name in memory
        },
        "disks": {"current folder": _disk(Path.cwd), "log_dir": _disk(lambda: log_dir)},
    }


def _fields(path: str) -> dict[str, str]:
    """Return the first word after each name of a file of `/proc`."""
    rows = (line.partition(":") for line in _lines(path))
    return {name: values[0] for name, _, told in rows if (values := told.split())}


def _lines(path: str) -> list[str]:
    """Return the lines of a file of `/proc`; none where it cannot be read."""
    with contextlib.suppress(OSError), Path(path).open(encoding="utf-8", errors="replace") as file:
        return file.read(_TEXT_MAX).splitlines()
    return []


def _disk(find_folder: Callable[[], Path]) -> dict[str, Any] | None:
    """Return room and mount of a folder, or of its nearest parent that exists."""
    try:
        path = find_folder().absolute()
        nearest = nearest_existing(path)
        found = os.statvfs(nearest)
        mode = nearest.stat()
    except OSError:
        return None
    mount: dict[str, str] | None = None
    with contextlib.suppress(OSError, RuntimeError):
        real = nearest.resolve()
        for line in _lines("/proc/self/mountinfo"):
            left, _, right = line.partition(" - ")
            fields, kind = left.split(), right.split()
            if len(fields) <= 5 or not kind:  # noqa: PLR2004 - the fifth is the place
                continue
            point = fields[4].encode().decode("unicode_escape")
            # Of several that cover the path, the longest holds; of equals, what came last.
            if real.is_relative_to(point) and (mount is None or len(point) >= len(mount["point"])):
                mount = {"point": point, "options": fields[5], "type": kind[0]}
    return {
        "path": str(path),
        "exists": nearest == path,
        "mode": f"{mode.st_mode & 0o7777:04o}",
        "owner_is_us": mode.st_uid == os.geteuid(),
        "free_mb": found.f_bavail * found.f_frsize // 1_000_000,
        "free_files": found.f_favail,
        "mount": mount,
    }
