"""What goes into a bundle, part by part; one that cannot be made is named with the reason.

To add a part, write a method that returns its bytes and name it in `gather`: whatever it raises of
the expected kinds becomes a line of the manifest's `missing`.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import surroundings
from liqctl.cli.trails import default_trail, trail_at
from liqctl.desk.bundle import Missing, Part, Redactor, secrets_of
from liqctl.drill.record import DRILLS_NAME
from liqctl.kernel.as_json import dump
from liqctl.kernel.errors import ConfigurationError, LiqctlError, UsageError
from liqctl.kernel.events import TRAIL_NAME
from liqctl.kernel.states import Environment

if TYPE_CHECKING:
    from liqctl.settings.values import Settings
    from liqctl.trail.reading import LineFilter

LINES_MAX: Final = 5_000
RUN_LINES_MAX: Final = 200_000
BYTES_MAX: Final = 16_000_000
_DRILLS_MAX: Final = 50
_LOG_LINES_MAX: Final = 5_000
_LOG_NAMES: Final = ("liqctl.log.1", "liqctl.log")
_VERIFIED_MAX_BYTES: Final = 256_000_000
_UNLIKELY: Final = (OSError, ValueError, RecursionError, LiqctlError)


@dataclass(slots=True, kw_only=True)
class PartCollector:
    """Collects the parts of one bundle.

    Attributes:
        correlation_id: the run that is asked about, None for the last runs.
        log: the trail that was named, None for the configured one.
    """

    correlation_id: str | None
    environment: str | None
    config_file: Path | None
    log: Path | None
    online: bool
    parts: list[Part] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    _settings: "dict[Environment, Settings]" = field(default_factory=dict)
    _redactor: Redactor = field(default_factory=lambda: Redactor([]))

    def gather(self) -> None:
        """Make every part that can be made, in a fixed order."""
        from liqctl.checks.of_machine import has_bytecode
        from liqctl.trail.verify import verify

        environments = self._environments()
        notifications = [n for each in self._settings.values() for n in each.notifications]
        self._redactor = Redactor(secrets_of(os.environ, notifications))
        configured = (each.audit.log_dir / TRAIL_NAME for each in self._settings.values())
        trail = trail_at(self.log or next(configured, None) or default_trail())
        run = self.correlation_id

        def verified() -> bytes:
            size = trail.stat().st_size
            if size > _VERIFIED_MAX_BYTES:
                many = f"{size} bytes are too many for a bundle; run `liqctl audit verify`"
                raise ValueError(many)
            return dump(verify(trail)).encode()

        def facts() -> bytes:
            return dump(
                surroundings.surroundings(
                    os.environ, log_dir=trail.parent, has_bytecode=has_bytecode()
                )
            ).encode()

        which = f"the lines of run {run}" if run else f"the last {LINES_MAX} lines at most"
        excerpt = f"{which}, byte for byte"
        self._add(f"trail/{TRAIL_NAME}", excerpt, lambda: self._excerpt(trail))
        self._add(
            "trail/verification.json",
            "liqctl audit verify --json, of the whole trail",
            verified,
        )
        log_lines = f"the last {_LOG_LINES_MAX} lines at most" + (
            f" that name {run}" if run else ""
        )
        self._add("log/liqctl.log", log_lines, lambda: self._log(trail.parent))
        self._add(
            "log/drills.jsonl",
            f"the last {_DRILLS_MAX} lines",
            lambda: b"\n".join(_tail(trail.parent / DRILLS_NAME, _DRILLS_MAX)),
        )
        if run is not None:
            self._add_report(trail, run)
        for environment in environments:
            self._add_environment(environment)
        self._add(
            "versions.json",
            "of the installed packages",
            lambda: dump(surroundings.versions()).encode(),
        )
        self._add("environment.json", "read on this machine", facts)

    def hide(self, text: str) -> str:
        """Return a text without secrets, for what is told beside the parts."""
        return self._redactor.clean(text)[0]

    def _add(self, name: str, how: str, make: Callable[[], bytes]) -> None:
        """Add a part without secrets, or say why there is none."""
        try:
            content = make()
        except _UNLIKELY as error:
            self.missing.append(Missing(name=name, why=self.hide(_reason(error))))
            return
        content, redacted = self._redactor.clean_lines(content[-BYTES_MAX:])
        if content and not content.endswith(b"\n"):
            content += b"\n"
        part = Part(name=name, content=content, how=self.hide(how), redacted_lines=redacted)
        self.parts.append(part)

    def _environments(self) -> list[Environment]:
        """Return whose settings are told, and load them; broken ones are told by `validate`."""
        from liqctl.checks.document import find_environments
        from liqctl.settings.sources import load_settings

        try:
            found = (
                [Environment(self.environment)]
                if self.environment
                else find_environments(self.config_file)
            )
        except (ConfigurationError, UsageError, ValueError) as error:
            self.missing.append(Missing(name="validation", why=self.hide(str(error))))
            return []
        for environment in found:
            try:
                self._settings[environment] = load_settings(
                    environment=environment.value,
                    config_file=self.config_file,
                    flags={},
                    environ=os.environ,
                )
            except (ConfigurationError, UsageError):
                continue
        return found

    def _add_environment(self, environment: Environment) -> None:
        """Add what `validate` and `status` say of one environment."""
        from liqctl.checks.document import check_environment
        from liqctl.cli.validate import ask_venue

        document: dict[str, Any] = {}

        def validate() -> bytes:
            ask = ask_venue if self.online else None
            found = check_environment(environment, config_file=self.config_file, ask_venue=ask)
            document.update(found)
            return dump(document).encode()

        def config() -> bytes:
            if not document.get("config"):
                raise ConfigurationError("the settings cannot be used, see validation")
            return dump(document["config"]).encode()

        name = environment.value
        asked = " --online" if self.online else ""
        self._add(f"validation/{name}.json", f"liqctl validate --json{asked}", validate)
        self._add(
            f"config/{name}.json",
            "every setting in force with its source; keys as set or not set",
            config,
        )
        self._add(
            f"status/{name}.json",
            "liqctl status --json" + ("" if self.online else ", without asking the venue"),
            lambda: self._status(environment),
        )

    def _add_report(self, trail: Path, correlation_id: str) -> None:
        """Add the run's incident report, for readers and for browsers."""
        from liqctl.cli.report import gather_incident, render_incident

        def report(*, html: bool) -> bytes:
            _refuse_link(trail)
            incident = gather_incident(
                [trail], correlation_id, config=self.config_file, is_offline=not self.online
            )
            if incident is None:
                raise UsageError(f"no run {correlation_id!r} in {trail}")
            return render_incident(incident, html=html).encode()

        asked = "" if self.online else " --offline"
        self._add("report/report.md", f"liqctl report ID{asked}", lambda: report(html=False))
        self._add(
            "report/report.html", f"liqctl report ID --html{asked}", lambda: report(html=True)
        )

    def _status(self, environment: Environment) -> bytes:
        import asyncio

        from liqctl.cli.status_reader import StatusReader

        if environment not in self._settings:
            raise ConfigurationError("the settings cannot be used, see validation")
        reader = StatusReader(self._settings[environment])
        if not self.online:
            why = "not asked: a bundle asks nothing of the venue without --online"
            return dump(reader.look_aside(why).document).encode()

        async def look() -> dict[str, Any]:
            async with reader:
                return (await reader.look()).document

        return dump(asyncio.new_event_loop().run_until_complete(look())).encode()

    def _excerpt(self, trail: Path) -> bytes:
        """Return the run's lines or the last ones, byte for byte; of many the newest."""
        from liqctl.trail.reading import LineFilter

        wanted = LineFilter(correlation_id=self.correlation_id)
        lines = _tail(trail, RUN_LINES_MAX if self.correlation_id else LINES_MAX, wanted)
        if not lines and self.correlation_id:
            raise UsageError(f"no run {self.correlation_id!r} in {trail}")
        return b"\n".join(_newest(lines))

    def _log(self, folder: Path) -> bytes:
        lines: list[bytes] = []
        for name in _LOG_NAMES:
            if (folder / name).exists() or name == _LOG_NAMES[-1]:
                lines += _tail(folder / name, _LOG_LINES_MAX)
        if self.correlation_id:
            word = f" {self.correlation_id} ".encode()
            lines = [line for line in lines if word in line]
        return b"\n".join(_newest(lines[-_LOG_LINES_MAX:]))


def _tail(path: Path, count: int, wanted: "LineFilter | None" = None) -> list[bytes]:
    from liqctl.trail.file import open_for_reading
    from liqctl.trail.reading import LineFilter, last_lines

    _refuse_link(path)
    fd = open_for_reading(path)
    try:
        return last_lines(fd, os.fstat(fd).st_size, count, wanted or LineFilter())
    finally:
        os.close(fd)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():  # The trail's writer follows none, so this is not our file.
        raise OSError(0, "a link, which is not followed", str(path))


def _reason(error: Exception) -> str:
    """Return why a part could not be made, with the file's name where there is one."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _newest(lines: list[bytes]) -> list[bytes]:
    """Return the last whole lines that fit a part."""
    kept: deque[bytes] = deque()
    room = BYTES_MAX
    for line in islice(reversed(lines), len(lines)):
        room -= len(line) + 1
        if room < 0:
            break
        kept.appendleft(line)
    return list(kept)


def describe(parts: list[Part], missing: list[Missing]) -> Iterator[str]:
    """Yield a line for each file, and for each that is not there."""
    size = max((len(part.name) for part in parts), default=0)
    for part in parts:
        masked = f", {part.redacted_lines} lines masked" if part.redacted_lines else ""
        yield f"  {part.name:<{size}}  {len(part.content):>9,} bytes{masked}"
    for each in missing:
        yield f"  missing: {each.name}: {each.why}"
