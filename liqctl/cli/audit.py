"""`liqctl audit`: read the audit trail, tell one run as a story, prove the chain.

Reading commands: a reader that goes away (`| head -1`) ends them quietly, and changes no exit code.
"""

import os
import re
import select
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from liqctl.cli import trails
from liqctl.cli.options import Options, takes
from liqctl.cli.output import STDOUT, out
from liqctl.kernel.errors import UsageError
from liqctl.kernel.events import FAILURES, AuditEventType
from liqctl.kernel.states import ExitCode

if TYPE_CHECKING:
    from liqctl.desk.trail import Style
    from liqctl.trail.reading import LineFilter
    from liqctl.trail.record import TrailRecord

RUN_SCHEMA: Final = "liqctl.run/1"
RUNS_SCHEMA: Final = "liqctl.runs/1"
_FOLLOW_POLL_MS: Final = 200
_HASH = re.compile(r"[0-9a-fA-F]{64}")
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
    from liqctl.desk.trail import render_record, render_unreadable
    from liqctl.trail.reading import LineFilter, parse_since
    from liqctl.trail.record import parse_line

    types = frozenset(name.upper() for name in options.event_types)
    now = datetime.now(UTC)  # noqa: TID251 - the command line is where the clock is read
    wanted = LineFilter(
        correlation_id=options.only_run,
        event_types=types | (frozenset(map(str, FAILURES)) if options.failed else frozenset()),
        since=parse_since(options.since, now) if options.since else None,
    )
    path = trails.find_trail(options, options.log)
    style = _style(options)

    def show_line(line: bytes) -> bool:
        record = parse_line(line)
        if not options.as_json:
            text = render_record(record, style) if record else render_unreadable(line, style)
            line = text.encode("utf-8", "replace")
        elif record is None:  # stdout holds JSON only
            out.error(f"liqctl: an unreadable line of {len(line)} bytes is left out")
            return True
        return trails.write(line + b"\n")

    return trails.reading(path, lambda: _tail(path, options, wanted, show_line))


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
    from liqctl.desk.trail import render_run
    from liqctl.trail.reading import read_run

    path = trails.find_trail(options, options.log)

    def read() -> int:
        records = read_run([path], options.run).records
        runs = [records] if records else []
        if not records:
            from liqctl.cli.report import find_accounts_runs

            names = find_accounts_runs([path], options.run)
            runs = [read_run([path], name).records for name in names]
        if not runs:
            return trails.fail_unknown_run([path], options.run, as_json=options.as_json)
        if not options.as_json:
            style = _style(options)
            trails.answer("\n\n\n".join(render_run(each, style) for each in runs))
            return ExitCode.DONE
        documents = [_describe_run(each) for each in runs]
        several = {
            "schema": RUNS_SCHEMA,
            "correlation_id": options.run,
            "runs": documents,
        }
        trails.answer(documents[0] if records else several)
        return ExitCode.DONE

    return trails.reading(path, read, as_json=options.as_json)


def _describe_run(records: "Sequence[TrailRecord]") -> dict[str, object]:
    return {
        "schema": RUN_SCHEMA,
        "correlation_id": records[0].correlation_id,
        "environment": records[0].environment,
        "account": records[0].account,
        "started_at": records[0].timestamp,
        "last_event": records[-1].event_type,
        "last_at": records[-1].timestamp,
        "records": records,
    }


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
    from liqctl.desk.trail import render_verification
    from liqctl.trail.verify import verify as verify_trail

    if options.head is not None and not _HASH.fullmatch(options.head):
        raise UsageError("--head takes the 64 hex digits of a result's audit_head")
    path = trails.find_trail(options, options.log)

    def read() -> int:
        found = verify_trail(path, options.head)
        trails.answer(found if options.as_json else render_verification(found, _style(options)))
        return ExitCode.DONE if found.is_intact else ExitCode.AUDIT_INCOMPLETE

    return trails.reading(path, read, as_json=options.as_json)


def _tail(path: Path, options: Options, wanted: "LineFilter", show: Callable[[bytes], bool]) -> int:
    from liqctl.trail.file import blocks_backwards, open_for_reading
    from liqctl.trail.reading import Follower, all_lines, last_lines

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
            told = f"no event in {trails.shown(path)}" + ("" if wanted.is_empty else " matches")
            unknown = sorted(wanted.event_types - set(AuditEventType))
            if unknown:
                names = ", ".join(map(repr, unknown))
                told += f"; {names} is not an event type; known are: {', '.join(AuditEventType)}"
            out.error(f"liqctl: {told}")
        # A poll of stdout that wants nothing tells only that its reader is gone.
        poll = select.poll()
        poll.register(STDOUT, 0)
        while options.follow and is_read and not poll.poll(_FOLLOW_POLL_MS):
            is_read = all(show(line) for line in follower.poll() if wanted.wants(line))
    finally:
        follower.close()
    return ExitCode.DONE


def _style(options: Options) -> "Style":
    from liqctl.desk.trail import Style

    if not os.isatty(STDOUT):
        return Style()
    return Style(width=shutil.get_terminal_size().columns, colour=options.colour)
