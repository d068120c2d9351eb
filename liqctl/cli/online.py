"""`validate --online`: wires the preflight to a venue and returns what it found."""

import asyncio
import os
import stat
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from liqctl.cli import process
from liqctl.cli.wiring import Account, open_account
from liqctl.config.findings import Issue
from liqctl.config.machine_findings import LocalFacts, issues_of_drills, issues_of_machine
from liqctl.config.venue_findings import issues_of_forecast, issues_of_venue
from liqctl.domain.errors import CredentialsError
from liqctl.domain.events import TRAIL_NAME
from liqctl.drill.record import DRILLS_NAME, last_drill
from liqctl.engine.clock import SystemClock
from liqctl.engine.lock import lock_problem, read_lock
from liqctl.engine.preflight import ASK_MAX_S, Preflight
from liqctl.planning.forecast import make_forecast
from liqctl.planning.readiness import VenueFacts

if TYPE_CHECKING:
    from liqctl.settings.values import Settings

_ROOM_MIN_BYTES: Final = 20_000_000
_NO_KEY: Final = {"LIQCTL_ENV": ""}
"""Variables that set no key; an empty mapping would stand for the process's own."""


def check(settings: "Settings") -> list[Issue]:
    """Return everything that can be known before the emergency; changes nothing anywhere."""
    process.print_progress(f"asking the venue, {ASK_MAX_S:.0f} s at most")
    key_problem: str | None = None
    with ExitStack() as stack:
        try:
            account = stack.enter_context(open_account(settings, needs_key=False))
        except CredentialsError as error:  # a private key that cannot be read
            key_problem = str(error)
            account = stack.enter_context(open_account(settings, _NO_KEY, needs_key=False))
        # No asyncio.run: it would wait for a thread that hangs in a name look-up.
        facts = asyncio.new_event_loop().run_until_complete(_ask(settings, account))
        issues = issues_of_venue(settings, facts)
        if facts.snapshot is not None and facts.round_trip_s is not None:
            forecast = make_forecast(
                facts.snapshot,
                settings.liquidation,
                round_trip_s=facts.round_trip_s,
                limits=facts.limits,
            )
            issues += issues_of_forecast(settings, forecast)
        local = replace(_local_facts(settings, account), key_problem=key_problem)
        issues += issues_of_machine(settings, local)
    drill = last_drill(settings.audit.log_dir / DRILLS_NAME, settings.environment.value)
    return issues + issues_of_drills(settings, drill, SystemClock().now())


async def _ask(settings: "Settings", account: Account) -> VenueFacts:
    from liqctl.exchange.preflight import TransportProbe

    try:
        return await Preflight(account.exchange, TransportProbe(account.transport)).ask(
            settings.liquidation, has_key=account.has_key, wall_clock=SystemClock()
        )
    finally:
        await account.exchange.close()


def _local_facts(settings: "Settings", account: Account) -> LocalFacts:
    log_dir = settings.audit.log_dir
    held = read_lock(account.identity, fallback_dir=log_dir)
    running = (
        f"process {held.holder.pid}, {held.holder.correlation_id}" if held.holder else "unknown"
    )
    return LocalFacts(
        trail_problem=_trail_problem(log_dir),
        lock_problem=lock_problem(fallback_dir=log_dir),
        running=running if held.is_held else None,
        room_problem=_room_problem(log_dir),
    )


def _trail_problem(log_dir: Path) -> str | None:
    """Return why the trail could not be written, without writing; None when it could."""
    trail = log_dir / TRAIL_NAME
    try:
        if not (trail.is_symlink() or trail.exists()):
            folder = _nearest(log_dir)
            if not folder.is_dir():
                return f"{folder} is not a folder"
            usable = os.access(folder, os.W_OK | os.X_OK)
            return None if usable else f"{folder} is not ours to write"
        found = trail.lstat()
    except OSError as error:
        return error.strerror or type(error).__name__
    if not stat.S_ISREG(found.st_mode):
        return f"{trail} is not a regular file"
    if found.st_nlink > 1:
        return f"{trail} has a second name (a hard link), so it may be somebody else's file"
    return None if os.access(trail, os.W_OK) else f"{trail} is not ours to write"


def _room_problem(log_dir: Path) -> str | None:
    """Return why the disk under the trail is nearly full, None when it is not."""
    try:
        found = os.statvfs(_nearest(log_dir))
    except OSError:
        return None
    free = found.f_bavail * found.f_frsize
    if free < _ROOM_MIN_BYTES:
        return f"{free // 1_000_000} MB are free, less than {_ROOM_MIN_BYTES // 1_000_000}"
    if found.f_files and not found.f_favail:
        return "no further file can be made on that disk"
    return None


def _nearest(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next((p for p in (folder, *folder.absolute().parents) if p.exists()), Path("/"))
