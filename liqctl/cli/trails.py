"""Which trail a reading command reads, and how it answers when there is none.

A reader that goes away (`| head -1`) ends these commands quietly, and changes no exit code.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from liqctl.cli import process
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.events import TRAIL_NAME
from liqctl.kernel.states import ExitCode
from liqctl.run.who import state_folders

_STDOUT: Final = 1


def find_trail(log: Path | None, env: str | None, config: Path | None) -> Path:
    """Return the trail to read: the one named, the configured one, else `default_trail`."""
    if log is not None:
        return trail_at(log)
    if env or config:
        from liqctl.settings.sources import load_settings

        try:
            settings = load_settings(
                environment=env, config_file=config, flags={}, environ=os.environ
            )
            return Path(settings.audit.log_dir) / TRAIL_NAME
        except (ConfigurationError, UsageError) as error:
            where = default_trail().parent
            process.print_error(
                f"liqctl: reading {where}, for the settings cannot be used: {error}"
            )
    return default_trail()


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
        missing = shown(error.filename or path)
        message = (
            f"no audit trail at {missing}: nothing was logged there yet, or runs log elsewhere. "
            "Name the file with --log FILE, or the settings with --env or --config."
        )
        return fail(message, as_json=as_json)
    except OSError as error:
        why = error.strerror or type(error).__name__
        where = shown(error.filename or path)
        return fail(f"the audit trail {where} cannot be read: {why}", as_json=as_json)


def explain_unknown_run(paths: Sequence[Path], correlation_id: str) -> str:
    """Return where a run was looked for, which ones were likely meant, and where to look next."""
    from liqctl.trail.reading import near_ids, rotated_siblings

    where = ", ".join(map(shown, paths))
    near = near_ids(paths, correlation_id)
    parts = [f"no run {correlation_id!r} in {where}"]
    if near:
        parts.append(f"runs there: {', '.join(map(repr, near))}")
    older = [name for name in rotated_siblings(paths[0]) if paths[0].with_name(name) not in paths]
    if older:
        parts.append(
            f"older files beside it, to be named with --log: {', '.join(map(shown, older))}"
        )
    parts.append("a dry run leaves no record; `liqctl audit tail` shows what there is")
    return "; ".join(parts)


def fail(message: str, *, as_json: bool) -> int:
    """Say what is wrong on stderr, and on stdout too if JSON was asked for; return exit 1."""
    process.print_error(f"liqctl: {message}")
    if as_json:
        answer_json({"schema": "liqctl.error/1", "error_message": message})
    return ExitCode.FAILED


def shown(path: object) -> str:
    """Return a path as a terminal may show it."""
    from liqctl.desk.text import clean

    return clean(str(path))


def answer_json(document: object) -> None:
    """Print a document of ours on one line."""
    from liqctl.kernel.as_json import as_json

    answer(json.dumps(as_json(document)))


def answer(text: str) -> None:
    """Print the answer; a pager may keep us waiting, a reader that is gone changes nothing."""
    write(text.encode("utf-8", "replace") + (b"" if text.endswith("\n") else b"\n"))


def write(block: bytes) -> bool:
    """Write to stdout, waiting like `cat` for a slow reader; return whether one is there."""
    try:
        while block:
            block = block[os.write(_STDOUT, block) :]
    except OSError:
        return False
    return True
