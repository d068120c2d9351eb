"""`validate --online`: wires the preflight to a venue and returns what it found."""

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli.wiring import Account, open_account
from liqctl.config.findings import Issue
from liqctl.config.venue_findings import (
    Drill,
    LocalFacts,
    issues_of_drills,
    issues_of_forecast,
    issues_of_machine,
    issues_of_venue,
)
from liqctl.domain.events import TRAIL_NAME
from liqctl.drill.record import DRILLS_NAME
from liqctl.engine.clock import SystemClock
from liqctl.engine.lock import lock_problem, read_lock
from liqctl.engine.preflight import Preflight
from liqctl.planning.forecast import make_forecast
from liqctl.planning.readiness import VenueFacts

if TYPE_CHECKING:
    from liqctl.config.settings import Settings

_DRILLS_BYTES_MAX: Final = 1_000_000


def check(settings: "Settings") -> list[Issue]:
    """Return everything that can be known before the emergency; changes nothing anywhere."""
    with open_account(settings, needs_key=False) as account:
        facts = asyncio.run(_ask(settings, account))
        issues = issues_of_venue(settings, facts)
        if facts.snapshot is not None and facts.round_trip_s is not None:
            forecast = make_forecast(
                facts.snapshot,
                settings.liquidation,
                round_trip_s=facts.round_trip_s,
                limits=facts.limits,
            )
            issues += issues_of_forecast(settings, forecast)
        issues += issues_of_machine(settings, _local_facts(settings, account))
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
    )


def _trail_problem(log_dir: Path) -> str | None:
    """Return why the trail could not be written, without writing; None when it could."""
    trail = log_dir / TRAIL_NAME
    try:
        if trail.is_symlink() or (trail.exists() and not trail.is_file()):
            return f"{trail} is not a regular file"
        if trail.exists():
            return None if os.access(trail, os.W_OK) else f"{trail} is not ours to write"
        folder = next((p for p in (log_dir, *log_dir.absolute().parents) if p.exists()), Path("/"))
        return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not ours to write"
    except OSError as error:
        return error.strerror or type(error).__name__


def last_drill(path: Path, environment: str) -> Drill | None:
    """Return the last drill of an environment on record; unreadable lines do not count.

    A drill of a part of the catalogue, with other settings, or one that was stopped, can fail but
    not pass: where nothing failed in it, the one before counts.
    """
    return next(_drills(path, environment), None)


def last_passed_drill(path: Path, environment: str) -> Drill | None:
    """Return the last drill of an environment that passed."""
    return next((drill for drill in _drills(path, environment) if drill.passed), None)


def _drills(path: Path, environment: str) -> Iterator[Drill]:
    """Yield the drills of an environment, the latest first."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(path.stat().st_size - _DRILLS_BYTES_MAX, 0))
            lines = stream.read(_DRILLS_BYTES_MAX).splitlines()
    except OSError:
        return
    for line in reversed(lines):
        drill = _drill(line, environment)
        if drill is not None:
            yield drill


def _drill(line: bytes, environment: str) -> Drill | None:
    try:
        row: Any = json.loads(line)
        if row["environment"] != environment:
            return None
        if row.get("complete") is False and not row.get("failed"):
            return None
        finished_at = datetime.fromisoformat(row["finished_at"])
        return Drill(finished_at=finished_at, passed=row["passed"] is True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
