"""Gathers what the trail and the drills tell and writes it as figures for Prometheus."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from liqctl import __version__
from liqctl.desk.metrics import render_metrics, write_textfile
from liqctl.drill.record import DRILLS_NAME, last_passed_drill
from liqctl.kernel.events import TRAIL_NAME
from liqctl.run.who import SystemClock

_CHECKED_MAX_BYTES: Final = 50_000_000
"""A longer trail is not checked each minute; `audit verify` does it."""


def write_figures(
    path: Path, document: Mapping[str, Any], *, log_dir: Path, audit_complete: bool | None = None
) -> None:
    """Write the file.

    Args:
        path: the file, replaced as a whole.
        document: as `status --json` prints it.
        log_dir: where trail and drills are.
        audit_complete: what a run knows of its own record; None checks the trail.

    Raises:
        OSError: it cannot be written.
    """
    content = render_metrics(
        document,
        version=__version__,
        written_at=SystemClock().now().timestamp(),
        audit_complete=_is_trail_whole(log_dir) if audit_complete is None else audit_complete,
        drill_passed_at=_drill_passed_at(log_dir, str(document.get("environment"))),
    )
    write_textfile(path, content)


def document_of_trail(
    log_dir: Path, environment: str, account: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the part of the status document that needs no venue, and the account as given.

    Raises:
        OSError: the trail is there and cannot be read.
    """
    from liqctl.cli.status_reader import make_document
    from liqctl.trail.reading import read_history

    history = read_history(log_dir / TRAIL_NAME, environment=environment)
    return make_document(environment, history, account=account)


def _is_trail_whole(log_dir: Path) -> bool | None:
    """Return whether the chain holds; None when there is no trail, or too much of it."""
    from liqctl.trail.verify import verify

    trail = log_dir / TRAIL_NAME
    try:
        if trail.stat().st_size > _CHECKED_MAX_BYTES:
            return None
        return verify(trail).is_intact
    except OSError:
        return None


def _drill_passed_at(log_dir: Path, environment: str) -> float | None:
    drill = last_passed_drill(log_dir / DRILLS_NAME, environment)
    return drill.finished_at.timestamp() if drill else None
