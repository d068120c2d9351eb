"""Figures and messages after a run: the order for another process, and its carrying out.

A process of its own does it. In the run's, httpx and its threads would live under the deadline's
watchdog, a hanging name look-up would have to be left behind, and the secrets of the account would
lie beside code that speaks to strangers. The other process gets none of them, no terminal and a
limit of its own, and goes on when the run's must leave. It has a session of its own, so that Ctrl-C
and a dropped line do not reach it.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import as_json
from liqctl.kernel.values import exposure_of
from liqctl.notify.notice import Notice, make_notices
from liqctl.settings.targets import NoticeKind, Severity
from liqctl.trail.durability import describe_event

if TYPE_CHECKING:
    from liqctl.kernel.result import LiquidationResult, Results
    from liqctl.settings.values import Settings

COURIER_S: Final = 2.0
"""How long the other process may live, and how long it is waited for at most."""

_LOGGING_S: Final = 0.15
"""How long before its end the sending stops, so that the outcome is logged in time."""

_FIGURES_FIRST_S: Final = 0.3
"""How long the figures may keep messages waiting; a trail of gigabytes takes longer."""

_ARGUMENTS: Final = ("-P", "-m", "liqctl.cli.courier")
"""-P: no module of the working folder may stand in for one of ours."""

_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})


def make_order(
    settings: "Settings",
    results: "Results",
    exit_code: int,
    reason: str,
    identities: Mapping[str | None, str] | None = None,
) -> dict[str, Any]:
    """Return what the other process needs to know; it holds no secret.

    By their `identities` it finds the armed process and the latch of accounts, which a key tells.
    """
    notices = make_notices(results, exit_code, reason=reason, symbols=settings.liquidation.symbols)
    textfile = settings.metrics.textfile
    order = make_message(settings, notices)
    by_name = {result.account: result for result in results.each}
    # A run of one of several accounts replaces the whole file: it must keep the others' counts.
    names: tuple[str | None, ...] = tuple(settings.accounts) or (None,)
    return order | {
        "textfile": str(textfile) if textfile else None,
        "accounts": [
            (name, account_after(settings, by_name.get(name)), (identities or {}).get(name))
            for name in names
        ],
        "audit_complete": all(result.audit_complete for result in results.each),
    }


def make_message(settings: "Settings", notices: "Sequence[Notice]") -> dict[str, Any]:
    """Return an order to send notices and nothing else."""
    return {
        "ends_at": time.monotonic() + COURIER_S,
        "environment": settings.environment.value,
        "correlation_id": notices[-1].correlation_id,
        "log_dir": str(settings.audit.log_dir),
        "textfile": None,
        "notifications": [dict(item) for item in settings.notifications],
        "notices": [asdict(notice) for notice in notices],
    }


def start_courier(order: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start the process that carries out the order.

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


def wait_for_courier(child: subprocess.Popen[bytes], ends_at: float) -> int | None:
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


def plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without our settings and keys, and without proxies."""
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith("LIQCTL_") and name.lower() not in _PROXIES
    }


def account_after(
    settings: "Settings", result: "LiquidationResult | None"
) -> dict[str, Any] | None:
    """Return what is open as `status` has it; None where no run saw the whole account."""
    if result is None:
        return None
    its = settings.of(result.account) if result.account else settings
    policy = its.liquidation
    is_whole = policy.close_positions and policy.cancel_orders and not policy.symbols
    residual = result.residual
    if not is_whole or residual is None:
        return None
    if not result.verified_flat and not residual.positions and not residual.orders:
        return None  # nothing was seen, but not all could be read
    # Where flat was not proven, an empty list may be one that nobody could read.
    closed = result.positions_closed
    is_seen = {
        "positions": residual.positions or (closed and closed == len(result.positions)),
        "orders": residual.orders,
    }
    unread = [name for name, seen in is_seen.items() if not (seen or result.verified_flat)]
    notional = None if "positions" in unread else plain(exposure_of(residual.positions))
    known = {"flat": result.verified_flat, "notional": notional, "unread": unread}
    return {**known, **as_json(residual)}


def carry_out(
    order: Mapping[str, Any], write_figures: Callable[[Mapping[str, Any]], None]
) -> list[tuple[str, bool]]:
    """Return what became of each part of the order: a line for the log, and whether it is done.

    `write_figures` writes the order's `textfile`, and raises OSError where it cannot.
    """
    ends_at = order["ends_at"] - _LOGGING_S
    told: list[tuple[str, bool]] = []
    figures: list[str | None] = []

    def write() -> None:
        try:
            write_figures(order)
            figures.append(None)
        except OSError as error:
            figures.append(error.strerror or type(error).__name__)

    writing = threading.Thread(target=write, daemon=True)
    if order["textfile"]:
        writing.start()
        writing.join(_FIGURES_FIRST_S)
    if order["notifications"]:
        from liqctl.notify.send import deliver

        notices = [
            Notice(
                **{**row, "kind": NoticeKind(row["kind"]), "severity": Severity(row["severity"])}
            )
            for row in order["notices"]
        ]
        for delivery in deliver(order["notifications"], notices, ends_at=ends_at):
            is_done = delivery.problem is None
            details = {
                "target": delivery.target.name,
                "type": delivery.target.type.value,
                "event": delivery.notice.kind.value,
                "result": "delivered" if is_done else "failed",
                "problem": delivery.problem,
                "seconds": f"{delivery.seconds:.3f}",
            }
            told.append((describe_event("NOTIFICATION", details), is_done))
    if order["textfile"]:
        writing.join(max(ends_at - time.monotonic(), 0.0))
        problem = figures[0] if figures else "timed out"
        result = "written" if problem is None else "failed"
        details = {"file": order["textfile"], "result": result, "problem": problem}
        told.insert(0, (describe_event("METRICS", details), problem is None))
    return told
