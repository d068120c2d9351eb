"""What follows a run whose result is printed: figures for Prometheus, and telling people.

Another process does it (`liqctl.notify.courier`). Waiting for it is worth the time: a service
manager or a container ends what is left of it with the process it watches. But this never outlives
the run's deadline, and never changes the exit code.
"""

import time
from typing import TYPE_CHECKING, Final

from liqctl.cli import process
from liqctl.cli.last_resort import LastResort
from liqctl.notify.courier import COURIER_S, make_order, start_courier, wait_for_courier
from liqctl.trail.durability import LogFile

if TYPE_CHECKING:
    from liqctl.kernel.result import LiquidationResult
    from liqctl.settings.values import Settings

_GUARD_S: Final = 0.08
"""How long after the patience is used up this process is ended by force."""

_LOG_NAME: Final = "liqctl.log"


def follow_up(
    settings: "Settings",
    result: "LiquidationResult",
    exit_code: int,
    *,
    reason: str,
    patience_s: float,
) -> None:
    """Let figures be written and people be told; wait for it no longer than the patience.

    A signal that comes meanwhile ends the process at once, with the signal's code.
    """
    now = time.monotonic()
    patience_s = max(min(patience_s, COURIER_S, process.Watchdog.output_until - now), 0.0)
    ends_at = now + patience_s
    guard = LastResort(patience_s + _GUARD_S, exit_code)
    process.signals.unshield()
    try:
        child = start_courier(make_order(settings, result, exit_code, reason))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        process.print_error(f"nobody was told: the process for it did not start: {why}")
        log = LogFile(settings.audit.log_dir)
        log.write(result.correlation_id, f"NOTIFICATION problem={why}")
        log.flush()
    else:
        code = wait_for_courier(child, ends_at)
        log_file = settings.audit.log_dir / _LOG_NAME
        if code is None and patience_s == COURIER_S:
            process.print_error(f"not everybody was told in {COURIER_S:g} s, see {log_file}")
        elif code:
            process.print_error(f"not everybody could be told, see {log_file}")
    guard.cancel()
