"""What follows a run whose result is printed: figures for Prometheus, and telling people.

A process of its own does it (`liqctl.cli.courier`). In this one, httpx and its threads would live
under the deadline's watchdog, a hanging name look-up would have to be left behind, and the secrets
of the account would lie beside code that speaks to strangers. The other process gets none of them,
no terminal and a limit of its own, and goes on when this one must leave.

Waiting for it is worth the time: a service manager or a container ends what is left of it with the
process it watches. But this never outlives the run's deadline, and never changes the exit code.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.last_resort import LastResort
from liqctl.domain.amounts import plain
from liqctl.domain.as_json import as_json

if TYPE_CHECKING:
    from liqctl.domain.result import LiquidationResult
    from liqctl.settings.values import Settings

COURIER_S: Final = 2.0
"""How long the other process may live, and how long it is waited for at most."""

_GUARD_S: Final = 0.08
"""How long after the patience is used up this process is ended by force."""

_ARGUMENTS: Final = ("-P", "-m", "liqctl.cli.courier")
"""-P: no module of the working folder may stand in for one of ours."""

_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})
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
    patience_s = max(min(patience_s, COURIER_S, process.Deadline.output_until - now), 0.0)
    ends_at = now + patience_s
    guard = LastResort(patience_s + _GUARD_S, exit_code)
    process.signals.unshield()
    try:
        child = _start(_order(settings, result, exit_code, reason))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        process.print_error(f"nobody was told: the process for it did not start: {why}")
        _log(settings, result, f"NOTIFICATION problem={why}")
    else:
        code = _wait(child, ends_at)
        log = settings.audit.log_dir / _LOG_NAME
        if code is None and patience_s == COURIER_S:
            process.print_error(f"not everybody was told in {COURIER_S:g} s, see {log}")
        elif code:
            process.print_error(f"not everybody could be told, see {log}")
    guard.cancel()


def plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without our settings and keys, and without proxies."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("LIQCTL_") and name.lower() not in _PROXIES
    }


def account_after(settings: "Settings", result: "LiquidationResult") -> dict[str, Any] | None:
    """Return what is open as `status` has it; None where the run did not see the whole account."""
    policy = settings.liquidation
    is_whole = policy.close_positions and policy.cancel_orders and not policy.symbols
    residual = result.residual
    if not is_whole or residual is None:
        return None
    if not result.verified_flat and not residual.positions and not residual.orders:
        return None  # nothing was seen, but not all could be read
    exposure = sum((abs(position.notional) for position in residual.positions), Decimal(0))
    # Where flat was not proven, an empty list may be one that nobody could read.
    closed = result.positions_closed
    is_seen = {
        "positions": residual.positions or (closed and closed == len(result.positions)),
        "orders": residual.orders,
    }
    unread = [name for name, seen in is_seen.items() if not (seen or result.verified_flat)]
    notional = None if "positions" in unread else plain(exposure)
    known = {"flat": result.verified_flat, "notional": notional, "unread": unread}
    return {**known, **as_json(residual)}


def _order(
    settings: "Settings", result: "LiquidationResult", exit_code: int, reason: str
) -> dict[str, Any]:
    """Return what the other process needs to know; it holds no secret."""
    from liqctl.desk.notices import make_notices

    notices = make_notices(result, exit_code, reason=reason, symbols=settings.liquidation.symbols)
    textfile = settings.metrics.textfile
    return {
        "ends_at": time.monotonic() + COURIER_S,
        "environment": settings.environment.value,
        "correlation_id": result.correlation_id,
        "log_dir": str(settings.audit.log_dir),
        "textfile": str(textfile) if textfile else None,
        "notifications": [dict(item) for item in settings.notifications],
        "notices": [asdict(notice) for notice in notices],
        "account": account_after(settings, result),
        "audit_complete": result.audit_complete,
    }


def _start(order: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
    """Start the other process.

    It reads its order from memory: a pipe would have to be fed, and could block.
    """
    stdin = os.memfd_create("order", os.MFD_CLOEXEC)
    with os.fdopen(stdin, "w+", encoding="ascii") as file:
        json.dump(order, file)
        file.flush()
        file.seek(0)
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, *_ARGUMENTS],
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=plain_environment(os.environ),
            start_new_session=True,
        )


def _wait(child: "subprocess.Popen[bytes]", ends_at: float) -> int | None:
    """Return the exit code of the other process, None when it was not waited for any longer."""
    try:
        descriptor = os.pidfd_open(child.pid)
    except OSError:
        return child.poll()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(max(ends_at - time.monotonic(), 0.0) * 1000)
    os.close(descriptor)
    return child.poll()


def _log(settings: "Settings", result: "LiquidationResult", line: str) -> None:
    from liqctl.trail.logfile import LogFile

    log = LogFile(settings.audit.log_dir)
    log.write(result.correlation_id, line)
    log.flush()
