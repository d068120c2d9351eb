"""`liqctl audit`: read the audit trail, tell one run as a story, prove the chain.

Reading commands: a reader that goes away (`| head -1`) ends them quietly, and changes no exit code.
"""

import os
import re
import select
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from liqctl.cli import process, trails
from liqctl.cli.options import Options, takes
from liqctl.kernel.errors import UsageError
from liqctl.kernel.events import FAILURES
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from liqctl.desk.trail import Style
    from liqctl.trail.reading import LineFilter

RUN_SCHEMA: Final = "liqctl.run/1"
_FOLLOW_POLL_MS: Final = 200
_STDOUT: Final = 1
_HASH = re.compile(r"[0-9a-fA-F]{64}")

audit_app = typer.Typer(
    name="audit",
    help="Read the audit trail; prove it complete and unaltered.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

_WHOSE: Final = "Whose log_dir to read."


@audit_app.command("tail")
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
    from liqctl.trail.reading import LineFilter, parse_since

    types = frozenset(name.upper() for name in options.event_types)
    now = datetime.now(UTC)  # noqa: TID251 - the command line is where the clock is read
    wanted = LineFilter(
        correlation_id=options.only_run,
        event_types=types | (frozenset(map(str, FAILURES)) if options.failed else frozenset()),
        since=parse_since(options.since, now) if options.since else None,
    )
    path = trails.find_trail(options.log, options.environment, options.config_file)
    show = _print_bytes if options.as_json else _printer(_style(options))
    return trails.reading(
        path, lambda: _tail(path, options.lines, wanted, show, follow=options.follow)
    )


@audit_app.command("show", short_help="Show one run in words.")
@takes(
    *("run", "log", "environment", "config_file", "as_json", "no_color"),
    environment=_WHOSE,
    as_json="Print JSON.",
)
def show(options: Options) -> int:
    """Show one run in words: who and why, what happened to each symbol, how it ended.

    Exit codes: 0, 1 there is no such run, 2 usage.

    Example: liqctl audit show liq_20260102_103000_abc123
    """
    path = trails.find_trail(options.log, options.environment, options.config_file)
    return trails.reading(
        path,
        lambda: _show(path, options.run, _style(options), as_json=options.as_json),
        as_json=options.as_json,
    )


@audit_app.command("verify")
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
    path = trails.find_trail(options.log, options.environment, options.config_file)
    return trails.reading(
        path,
        lambda: _verify(path, options.head, _style(options), as_json=options.as_json),
        as_json=options.as_json,
    )


def _tail(
    path: Path, lines: int, wanted: "LineFilter", show: "Callable[[bytes], bool]", *, follow: bool
) -> int:
    from liqctl.trail.file import open_for_reading
    from liqctl.trail.reading import Follower, all_lines, last_lines

    fd = open_for_reading(path)
    end = _end_of_lines(fd) if follow else os.fstat(fd).st_size
    follower = Follower(path, fd, end)
    try:
        found = last_lines(fd, end, lines, wanted) if lines else all_lines(fd, end, wanted)
        remaining = iter(found)
        first = next(remaining, None)
        if first is None and not follow:
            process.print_error(f"liqctl: {_nothing_found(path, wanted)}")
        is_read = first is None or (show(first) and all(map(show, remaining)))
        while follow and is_read and _wait():
            is_read = all(show(line) for line in follower.poll() if wanted.wants(line))
    finally:
        follower.close()
    return ExitCode.DONE


def _nothing_found(path: Path, wanted: "LineFilter") -> str:
    """Return that no event matched: silence would look as if nothing had happened."""
    from liqctl.kernel.events import AuditEventType

    told = f"no event in {trails.shown(path)}" + ("" if wanted.is_empty else " matches")
    unknown = sorted(wanted.event_types - set(AuditEventType))
    if unknown:
        names = ", ".join(map(repr, unknown))
        told += f"; {names} is no type of event; these are: {', '.join(AuditEventType)}"
    return told


def _show(path: Path, correlation_id: str, style: "Style", *, as_json: bool) -> int:
    from liqctl.desk.trail import render_run
    from liqctl.trail.reading import read_run

    records = read_run([path], correlation_id).records
    if not records:
        return trails.fail(trails.explain_unknown_run([path], correlation_id), as_json=as_json)
    if as_json:
        document = {
            "schema": RUN_SCHEMA,
            "correlation_id": correlation_id,
            "environment": records[0].environment,
            "started_at": records[0].timestamp,
            "last_event": records[-1].event_type,
            "last_at": records[-1].timestamp,
            "records": records,
        }
        trails.answer_json(document)
    else:
        trails.answer(render_run(records, style))
    return ExitCode.DONE


def _verify(path: Path, head: str | None, style: "Style", *, as_json: bool) -> int:
    from liqctl.desk.trail import render_verification
    from liqctl.trail.verify import verify as verify_trail

    found = verify_trail(path, head)
    if as_json:
        trails.answer_json(found)
    else:
        trails.answer(render_verification(found, style))
    return ExitCode.DONE if found.is_intact else ExitCode.AUDIT_INCOMPLETE


def _style(options: Options) -> "Style":
    from liqctl.desk.trail import Style

    if not os.isatty(_STDOUT):
        return Style()
    return Style(width=shutil.get_terminal_size().columns, colour=options.colour)


def _printer(style: "Style") -> "Callable[[bytes], bool]":
    from liqctl.desk.trail import render_record, render_unreadable
    from liqctl.trail.record import parse_line

    def show_line(line: bytes) -> bool:
        record = parse_line(line)
        text = render_record(record, style) if record else render_unreadable(line, style)
        return trails.write(text.encode("utf-8", "replace") + b"\n")

    return show_line


def _print_bytes(line: bytes) -> bool:
    """Print a record's own bytes; stdout holds JSON only, so what is no record goes to stderr."""
    from liqctl.trail.record import parse_line

    if parse_line(line) is None:
        process.print_error(f"liqctl: an unreadable line of {len(line)} bytes is left out")
        return True
    return trails.write(line + b"\n")


def _wait() -> bool:
    """Wait until the next look at the file; return whether stdout still has a reader."""
    poll = select.poll()
    poll.register(_STDOUT, 0)
    return not poll.poll(_FOLLOW_POLL_MS)


def _end_of_lines(fd: int) -> int:
    """Return the position after the last whole line: what is half written is followed."""
    from liqctl.trail.file import blocks_backwards

    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return size
    last = next(blocks_backwards(fd, size), b"").rpartition(b"\n")[2]
    return size - len(last)
