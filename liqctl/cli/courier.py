"""The process that follows a run: writes figures, then tells people, then is gone.

It gets its order on stdin from `liqctl.notify.notice`, has no terminal and no key, says what
became of it in `liqctl.log`, and has a moment at which it ends whatever hangs.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from liqctl.cli import process
from liqctl.notify.send import carry_out
from liqctl.trail.durability import LogFile

_LATE_S: Final = 0.5
"""How long one may take that began after its moment: figures get 0.3 s, and the log 0.2 s."""


def main() -> NoReturn:
    """Carry out the order; exit 0 when all of it was done, else 1."""
    process.hide_memory()
    order = json.load(sys.stdin)
    process.LastResort(max(order["ends_at"] - time.monotonic(), _LATE_S))
    log = LogFile(Path(order["log_dir"]))
    name = order["correlation_id"]

    def tell_of_bug(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        log.write(name, f"NOTIFICATION problem={process.describe_unexpected(error)}")
        log.flush()

    sys.excepthook = tell_of_bug
    lines = carry_out(order, _write_figures)
    for line, _ in lines:
        log.write(name, line)
    log.flush()
    os._exit(0 if all(is_done for _, is_done in lines) else 1)


def _write_figures(order: Mapping[str, Any]) -> None:
    from liqctl.cli.status import make_document, write_figures
    from liqctl.kernel.events import TRAIL_NAME
    from liqctl.standby.process import LOOK_ASIDE_MAX_S, look_at_standby
    from liqctl.trail.reading import read_history

    log_dir, environment = Path(order["log_dir"]), order["environment"]
    trail = log_dir / TRAIL_NAME
    documents = [
        make_document(
            environment,
            read_history(trail, environment=environment, account=name),
            account=account,
            account_name=name,
            standby=look_at_standby(identity, log_dir, LOOK_ASIDE_MAX_S) if identity else None,
        )
        for name, account, identity in order["accounts"]
    ]
    write_figures(
        Path(order["textfile"]), documents, log_dir=log_dir, audit_complete=order["audit_complete"]
    )


if __name__ == "__main__":
    main()
