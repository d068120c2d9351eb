"""The process that follows a run: writes figures, then tells people, then is gone.

It gets its order on stdin from `liqctl.cli.afterwards`, has no terminal and no key, and says what
became of it in `liqctl.log`. It has a session of its own, so that Ctrl-C and a dropped line do not
reach it, and a moment at which it ends whatever hangs.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from liqctl.cli import process
from liqctl.cli.last_resort import LastResort
from liqctl.domain.notices import Delivery, Notice, NoticeKind, Severity
from liqctl.trail.logfile import LogFile, describe_event

_LOGGING_S: Final = 0.15
"""How long before its end the sending stops, so that the outcome is logged in time."""

_FIGURES_FIRST_S: Final = 0.3
"""How long the figures may keep messages waiting; a trail of gigabytes takes longer."""


def main() -> NoReturn:
    """Carry out the order; exit 0 when all of it was done, else 1."""
    process.hide_memory()
    order = json.load(sys.stdin)
    LastResort(max(order["ends_at"] - time.monotonic(), 0.0))
    log = LogFile(Path(order["log_dir"]))
    name = order["correlation_id"]

    def tell_of_bug(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        log.write(name, f"NOTIFICATION problem={process.describe_unexpected(error)}")
        log.flush()

    sys.excepthook = tell_of_bug
    lines = carry_out(order)
    for line, _ in lines:
        log.write(name, line)
    log.flush()
    os._exit(0 if all(is_done for _, is_done in lines) else 1)


def carry_out(order: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return what became of each part of the order: a line for the log, and whether it is done."""
    ends_at = order["ends_at"] - _LOGGING_S
    figures: list[tuple[str, bool]] = []
    writing = threading.Thread(target=lambda: figures.append(_write(order)), daemon=True)
    if order["textfile"]:
        writing.start()
        writing.join(_FIGURES_FIRST_S)
    told: list[tuple[str, bool]] = []
    if order["notifications"]:
        from liqctl.cli.delivery import deliver

        notices = [read_notice(each) for each in order["notices"]]
        deliveries = deliver(order["notifications"], notices, ends_at=ends_at)
        told = [(describe(delivery), delivery.problem is None) for delivery in deliveries]
    if order["textfile"]:
        writing.join(max(ends_at - time.monotonic(), 0.0))
        told = [*(figures or [(_describe_file(order, "timed out"), False)]), *told]
    return told


def read_notice(row: Mapping[str, Any]) -> Notice:
    """Return the notice that was written as JSON."""
    return Notice(**{**row, "kind": NoticeKind(row["kind"]), "severity": Severity(row["severity"])})


def describe(delivery: Delivery) -> str:
    """Return the line of the log for one delivery."""
    return describe_event(
        "NOTIFICATION",
        {
            "target": delivery.target.name,
            "type": delivery.target.type.value,
            "event": delivery.notice.kind.value,
            "result": "delivered" if delivery.problem is None else "failed",
            "problem": delivery.problem,
            "seconds": f"{delivery.seconds:.3f}",
        },
    )


def _write(order: Mapping[str, Any]) -> tuple[str, bool]:
    from liqctl.cli.figures import document_of_trail, write_figures

    log_dir = Path(order["log_dir"])
    try:
        document = document_of_trail(log_dir, order["environment"], order["account"])
        write_figures(
            Path(order["textfile"]),
            document,
            log_dir=log_dir,
            audit_complete=order["audit_complete"],
        )
    except OSError as error:
        return _describe_file(order, error.strerror or type(error).__name__), False
    return _describe_file(order, None), True


def _describe_file(order: Mapping[str, Any], problem: str | None) -> str:
    return describe_event(
        "METRICS",
        {
            "file": order["textfile"],
            "result": "written" if problem is None else "failed",
            "problem": problem,
        },
    )


if __name__ == "__main__":
    main()
