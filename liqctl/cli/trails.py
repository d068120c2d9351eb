"""Which trail a reading command reads, and how it answers when there is none.

A reader that goes away (`| head -1`) ends these commands quietly, and changes no exit code.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liqctl.cli.options import Options
from liqctl.cli.output import STDOUT, out
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.events import TRAIL_NAME
from liqctl.kernel.states import ExitCode
from liqctl.run.who import state_folders

if TYPE_CHECKING:
    from liqctl.settings.values import Settings
    from liqctl.trail.reading import LineFilter


def find_trail(options: Options, log: Path | None = None) -> Path:
    """Return the trail to read: the one named, the configured one, else `default_trail`."""
    if log is not None:
        return trail_at(log)
    if options.environment or options.config_file:
        try:
            settings = settings_of(options.environment, options.config_file)
            return settings.audit.log_dir / TRAIL_NAME
        except (ConfigurationError, UsageError) as error:
            where = default_trail().parent
            out.error(f"liqctl: reading {where}, for the settings cannot be used: {error}")
    return default_trail()


def settings_of(environment: str | None, config_file: Path | None) -> "Settings":
    """Return the settings without any flag; unlike `Options.settings` it keeps nothing of them."""
    from liqctl.settings.sources import load_settings

    return load_settings(
        environment=environment, config_file=config_file, flags={}, environ=os.environ
    )


def last_lines_of(path: Path, count: int, wanted: "LineFilter | None" = None) -> list[bytes]:
    """Return the last lines of a file that are wanted, at most so many, the oldest first."""
    from liqctl.trail.file import open_for_reading
    from liqctl.trail.reading import LineFilter, last_lines

    fd = open_for_reading(path)
    try:
        return last_lines(fd, os.fstat(fd).st_size, count, wanted or LineFilter())
    finally:
        os.close(fd)


def default_trail() -> Path:
    """Return the trail of ./logs where there is one, else that of the state folder."""
    here = Path("logs") / TRAIL_NAME
    return here if here.exists() else state_folders()[0] / "logs" / TRAIL_NAME


def trail_at(path: Path) -> Path:
    """Return the trail that a path names: itself, or the one in that folder."""
    return path / TRAIL_NAME if path.is_dir() else path


def reading(path: Path, read: Callable[[], int], *, as_json: bool = False) -> int:
    """Return what reading returns; a trail that cannot be read is explained, exit 1."""
    try:
        return read()
    except FileNotFoundError as error:
        message = (
            f"no audit trail at {shown(error.filename or path)}: nothing was logged there yet, or "
            "runs log elsewhere. Name the file with --log FILE, or the settings with --env or "
            "--config."
        )
    except OSError as error:
        why = error.strerror or type(error).__name__
        message = f"the audit trail {shown(error.filename or path)} cannot be read: {why}"
    return fail(message, as_json=as_json)


def fail_unknown_run(paths: Sequence[Path], correlation_id: str, *, as_json: bool) -> int:
    """Say where a run was looked for, which ones were likely meant, and where to look next."""
    from liqctl.trail.reading import near_ids, rotated_siblings

    parts = [f"no run {correlation_id!r} in {', '.join(map(shown, paths))}"]
    near = near_ids(paths, correlation_id)
    if near:
        parts.append(f"runs there: {', '.join(map(repr, near))}")
    older = [name for name in rotated_siblings(paths[0]) if paths[0].with_name(name) not in paths]
    if older:
        parts.append(f"older files beside it, for --log: {', '.join(map(shown, older))}")
    parts.append("a dry run leaves no record; `liqctl audit tail` shows what there is")
    return fail("; ".join(parts), as_json=as_json)


def fail(message: str, *, as_json: bool) -> int:
    """Say what is wrong on stderr, and on stdout too if JSON was asked for; return exit 1."""
    out.error(f"liqctl: {message}")
    if as_json:
        answer({"schema": "liqctl.error/1", "error_message": message})
    return ExitCode.FAILED


def shown(path: object) -> str:
    """Return a path as a terminal may show it."""
    from liqctl.desk.text import clean

    return clean(str(path))


def answer(told: object) -> None:
    """Print a text, or a document on one line.

    A pager may keep us waiting, a reader that is gone changes nothing.
    """
    from liqctl.kernel.as_json import as_json

    text = told if isinstance(told, str) else json.dumps(as_json(told))
    write(text.encode("utf-8", "replace") + (b"" if text.endswith("\n") else b"\n"))


def write(block: bytes) -> bool:
    """Write to stdout, waiting like `cat` for a slow reader; return whether one is there."""
    try:
        while block:
            block = block[os.write(STDOUT, block) :]
    except OSError:
        return False
    return True
