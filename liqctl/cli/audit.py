"""`liqctl audit`: read the audit trail, tell one run as a story, prove the chain.

Below the commands stands what every reading command needs: which trail it reads, and how it answers
when there is none. A reader that goes away (`| head -1`) ends these commands quietly, and changes
no exit code.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from liqctl.cli.options import Options, takes
from liqctl.cli.output import STDOUT, out
from liqctl.desk.text import clean
from liqctl.desk.trail import (
    Style,
    render_record,
    render_run,
    render_unreadable,
    render_verification,
)
from liqctl.kernel.as_json import as_json
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.events import FAILURES, TRAIL_NAME, AuditEventType
from liqctl.kernel.states import ExitCode
from liqctl.run import state_folders
from liqctl.trail import verify as chain
from liqctl.trail.file import blocks_backwards, open_for_reading, parse_line
from liqctl.trail.reading import (
    Follower,
    LineFilter,
    all_lines,
    is_accounts_run,
    last_lines,
    near_ids,
    parse_since,
    read_headlines,
    read_run,
    rotated_siblings,
)

if TYPE_CHECKING:
    from liqctl.settings.values import Settings

RUN_SCHEMA: Final = "liqctl.run/1"
RUNS_SCHEMA: Final = "liqctl.runs/1"
_FOLLOW_POLL_MS: Final = 200
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_NEEDS_NOBODY: Final = {AuditEventType.LIQUIDATION_COMPLETE, AuditEventType.LIQUIDATION_SKIPPED}
_WHOSE: Final = "Whose log_dir to read."


@takes(
    *("lines", "follow", "only_run", "event_types", "failed", "since"),
    *("log", "environment", "config_file", "as_json", "no_color"),
    environment=_WHOSE,
    as_json="Print JSON.",
)
def tail(options: Options) -> int:
    """Show the last events; with --follow also new ones.

    With --json: JSON Lines, the bytes of the trail itself. Exit codes: 0, 1 no
    trail can be read, 2 usage.

    Example: liqctl audit tail -f --failed
    """
    types = frozenset(name.upper() for name in options.event_types)
    now = datetime.now(UTC)  # noqa: TID251 - the command line is where the clock is read
    wanted = LineFilter(
        correlation_id=options.only_run,
        any_account=True,
        event_types=types | (frozenset(map(str, FAILURES)) if options.failed else frozenset()),
        since=parse_since(options.since, now) if options.since else None,
    )
    path = find_trail(options, options.log)
    style = _style(options)

    def show_line(line: bytes) -> bool:
        record = parse_line(line)
        if not options.as_json:
            text = render_record(record, style) if record else render_unreadable(line, style)
            line = text.encode("utf-8", "replace")
        elif record is None:  # stdout holds JSON only
            out.error(f"liqctl: an unreadable line of {len(line)} bytes is left out")
            return True
        return write(line + b"\n")

    return reading(path, lambda: _tail(path, options, wanted, show_line))


@takes(
    *("run", "log", "environment", "config_file", "as_json", "no_color"),
    short_help="Show one run in words.",
    environment=_WHOSE,
    as_json="Print JSON.",
)
def show(options: Options) -> int:
    """Show one run in words: who and why, what happened to each symbol, how it ended.

    The --correlation-id of a run of several accounts shows each of them, the worst first.
    Exit codes: 0, 1 there is no such run, 2 usage.

    Example: liqctl audit show liq_20260102_103000_abc123
    """
    path = find_trail(options, options.log)

    def read() -> int:
        records = read_run([path], options.run).records
        runs = [records] if records else []
        if not records:
            names = find_accounts_runs([path], options.run)
            runs = [read_run([path], name).records for name in names]
        if not runs:
            return fail_unknown_run([path], options.run, as_json=options.as_json)
        if not options.as_json:
            style = _style(options)
            answer("\n\n\n".join(render_run(each, style) for each in runs))
            return ExitCode.DONE
        documents = [
            {
                "schema": RUN_SCHEMA,
                "correlation_id": each[0].correlation_id,
                "environment": each[0].environment,
                "account": each[0].account,
                "started_at": each[0].timestamp,
                "last_event": each[-1].event_type,
                "last_at": each[-1].timestamp,
                "records": each,
            }
            for each in runs
        ]
        several = {"schema": RUNS_SCHEMA, "correlation_id": options.run, "runs": documents}
        answer(documents[0] if records else several)
        return ExitCode.DONE

    return reading(path, read, as_json=options.as_json)


@takes(
    *("head", "log", "environment", "config_file", "as_json", "no_color"),
    environment=_WHOSE,
    as_json="Print JSON.",
)
def verify(options: Options) -> int:
    """Check the whole chain; exit 0 if it holds, 8 if it is broken.

    Other exit codes: 1 no trail can be read, 2 usage. A run without an end is reported and breaks
    nothing.

    Example: liqctl audit verify --env production
    """
    if options.head is not None and not _HASH.fullmatch(options.head):
        raise UsageError("--head takes the 64 hex digits of a result's audit_head")
    path = find_trail(options, options.log)

    def read() -> int:
        found = chain.verify(path, options.head)
        answer(found if options.as_json else render_verification(found, _style(options)))
        return ExitCode.DONE if found.is_intact else ExitCode.AUDIT_INCOMPLETE

    return reading(path, read, as_json=options.as_json)


def _tail(path: Path, options: Options, wanted: LineFilter, show: Callable[[bytes], bool]) -> int:
    fd = open_for_reading(path)
    end = os.fstat(fd).st_size
    if options.follow and end and os.pread(fd, 1, end - 1) != b"\n":
        # What is half written is followed: the position after the last whole line.
        end -= len(next(blocks_backwards(fd, end), b"").rpartition(b"\n")[2])
    follower = Follower(path, fd, end)
    is_read = True
    try:
        count = options.lines
        found = iter(last_lines(fd, end, count, wanted) if count else all_lines(fd, end, wanted))
        first = next(found, None)
        if first is not None:
            is_read = show(first) and all(map(show, found))
        elif not options.follow:
            # Silence would look as if nothing had happened.
            told = f"no event in {shown(path)}" + ("" if wanted.is_empty else " matches")
            unknown = sorted(wanted.event_types - set(AuditEventType))
            if unknown:
                names = ", ".join(map(repr, unknown))
                told += f"; {names} is not an event type; known are: {', '.join(AuditEventType)}"
            out.error(f"liqctl: {told}")
        while options.follow and is_read and not out.has_lost_reader(_FOLLOW_POLL_MS):
            is_read = all(show(line) for line in follower.poll() if wanted.wants(line))
    finally:
        follower.close()
    return ExitCode.DONE


def _style(options: Options) -> Style:
    if not os.isatty(STDOUT):
        return Style()
    return Style(width=shutil.get_terminal_size().columns, colour=options.colour)


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


def last_lines_of(path: Path, count: int, wanted: LineFilter | None = None) -> list[bytes]:
    """Return the last lines of a file that are wanted, at most so many, the oldest first."""
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
    return clean(str(path))


def answer(told: object) -> None:
    """Print a text, or a document on one line.

    A pager may keep us waiting, a reader that is gone changes nothing.
    """
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


def find_accounts_runs(paths: Sequence[Path], name: str) -> list[str]:
    """Return the runs of several accounts that were given one name, those not flat first."""
    ends: dict[str, str] = {}
    for run in read_headlines(paths):
        if is_accounts_run(run, name):
            ends[run.correlation_id] = run.end.event_type if run.end else ""
    return sorted(ends, key=lambda run: (ends[run] in _NEEDS_NOBODY, run))
