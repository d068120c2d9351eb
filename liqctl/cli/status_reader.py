"""One look for `status`: the account, the lock and the trail, as the document of the contract.

A `StatusReader` keeps its connections from look to look. Without a key it asks nothing of the
venue, and what the trail and the lock files tell is told all the same.
"""

import contextlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from liqctl.cli import process
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.as_json import as_json, rfc3339
from liqctl.kernel.errors import CredentialsError
from liqctl.kernel.protection import is_protective
from liqctl.kernel.states import ExitCode
from liqctl.kernel.words import explain_contradiction
from liqctl.run.who import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from liqctl.cli.wiring import Account
    from liqctl.kernel.answers import VenueAnswer
    from liqctl.run.inspection import Inspection
    from liqctl.run.lock import Blocked
    from liqctl.settings.values import Settings

STATUS_SCHEMA: Final = "liqctl.status/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look: the document of the contract, and what it means for the exit code.

    `refusal` is why the venue did not show everything; `weight_1m` its word on the weight used.
    """

    document: dict[str, Any]
    exit_code: ExitCode
    refusal: "VenueAnswer | None" = None
    weight_1m: int = -1


@dataclass(slots=True)
class StatusReader:
    """Looks at one account again and again; use as an asynchronous context."""

    settings: "Settings"
    settle_s: float | None = None
    """How long flat is watched before a look ends; None takes one reading."""

    _account: "Account | None" = None
    _before: "Inspection | None" = None
    _history: "tuple[tuple[int, ...] | None, dict[str, Any]] | None" = None
    """What changes whenever the trail does, and what it told then."""

    _trail_error: str | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    async def __aenter__(self) -> Self:
        """Open nothing yet: the first look does."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections, and the venue that lives in this process."""
        if self._account is not None:
            await self._account.exchange.close()
        self._stack.close()

    async def look(self) -> View:
        """Return what is open now; a key that was missing before is looked for again."""
        from liqctl.cli.wiring import open_account

        try:
            if self._account is None:
                self._account = self._stack.enter_context(open_account(self.settings))
        except CredentialsError as error:
            return self.look_aside(str(error), exit_code=ExitCode.CREDENTIALS)
        account = self._account
        in_progress = _in_progress(self._lock_of(account))
        inspection = await self._inspect(account)
        history = self._read_history()
        self._before = inspection
        # In portfolio margin an empty list says nothing, and perhaps that is where we are.
        is_shown = inspection.snapshot.is_any_read and inspection.is_portfolio_margin is False
        document = make_document(
            self.settings.environment.value,
            history,
            in_progress=in_progress,
            account=describe_account(inspection, self.settings) if is_shown else None,
            account_error=inspection.why_unreadable(),
            trail_error=self._trail_error,
            config_file=self.settings.file,
        )
        return View(
            document=document,
            exit_code=_exit_code(inspection),
            refusal=inspection.refusal,
            weight_1m=account.exchange.usage.weight_1m,
        )

    def look_aside(self, why: str, *, exit_code: ExitCode = ExitCode.FAILED) -> View:
        """Return what the lock and the trail tell; the venue is not asked, `why` says why."""
        history = self._read_history()
        document = make_document(
            self.settings.environment.value,
            history,
            in_progress=_in_progress(self._lock_of(self._account)),
            account_error=why,
            trail_error=self._trail_error,
            config_file=self.settings.file,
        )
        return View(document=document, exit_code=exit_code)

    def look_aside_again(self, view: View) -> View:
        """Return a look with what the lock and the trail tell now, and the account as it was."""
        aside = self.look_aside("").document
        kept = {name: view.document[name] for name in ("looked_at", "account", "account_error")}
        return replace(view, document=aside | kept)

    async def _inspect(self, account: "Account") -> "Inspection":
        from liqctl.kernel.policy import LiquidationConfig
        from liqctl.run.inspection import inspect_account, inspect_again, inspect_settled

        policy = LiquidationConfig(
            timeout_seconds=self.settings.liquidation.timeout_seconds,
            symbols=self.settings.liquidation.symbols,
        )
        clock = SystemClock()
        if self.settle_s is not None:
            process.print_progress(f"watching for {self.settle_s:g} s whether it stays flat")
            return await inspect_settled(
                account.exchange, policy, wall_clock=clock, settle_s=self.settle_s
            )
        if self._before is None:
            return await inspect_account(account.exchange, policy, wall_clock=clock)
        return await inspect_again(account.exchange, policy, self._before, wall_clock=clock)

    def _lock_of(self, account: "Account | None") -> "Blocked | None":
        from liqctl.run.lock import find_held, read_lock

        log_dir = self.settings.audit.log_dir
        if account is None:
            return find_held(self.settings.environment.value, fallback_dir=log_dir)
        return read_lock(account.identity, fallback_dir=log_dir)

    def _read_history(self) -> dict[str, Any]:
        """Return what the trail tells, read again only when it changed.

        A trail that cannot be read is said on stderr and in the document, and tells nothing.
        """
        from liqctl.kernel.events import TRAIL_NAME
        from liqctl.trail.reading import make_history, read_history

        trail = self.settings.audit.log_dir / TRAIL_NAME
        try:
            found = trail.stat() if trail.exists() else None
            mark = found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            if self._history is None or self._history[0] != mark:
                history = read_history(trail, environment=self.settings.environment.value)
                self._history = (mark, history)
        except OSError as error:
            self._trail_error = f"the audit trail {trail} cannot be read: {error.strerror}"
            process.print_error(self._trail_error)
            return make_history(())
        self._trail_error = None
        return self._history[1]


def make_document(
    environment: str,
    history: dict[str, Any],
    *,
    in_progress: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    account_error: str | None = None,
    trail_error: str | None = None,
    config_file: "Path | None" = None,
) -> dict[str, Any]:
    """Return the status document of the contract; with a `trail_error` its counts mean nothing."""
    return {
        "schema": STATUS_SCHEMA,
        "environment": environment,
        "config_file": str(config_file) if config_file else None,
        "looked_at": rfc3339(SystemClock().now()),
        "state": "IN_PROGRESS" if in_progress else "IDLE",
        "in_progress": in_progress,
        "account": account,
        "account_error": account_error,
        "trail_error": trail_error,
        **as_json(history),
    }


def describe_account(inspection: "Inspection", settings: "Settings") -> dict[str, Any]:
    """Return what is open, as the status document has it; positions come worst first."""
    verdict = inspection.verdict
    by_leg = {position.leg: position for position in verdict.positions}
    contradicting = {order.key for order in inspection.contradictions}
    # Where a source is silent and nothing is listed, nobody knows how many positions there are.
    unread = dict.fromkeys(["positions"] if inspection.is_doubtful else [])
    unread |= dict.fromkeys(verdict.unread)
    account: dict[str, Any] = as_json(
        {
            "flat": inspection.is_flat,
            "proven": inspection.is_proven,
            "settled_seconds": round(inspection.settled_s, 6),
            "positions": [
                {
                    "symbol": p.symbol,
                    "position_side": p.leg.position_side,
                    "side": p.direction,
                    "quantity": p.size,
                    "notional": p.notional,
                    "entry_price": p.entry_price,
                    "mark_price": p.mark_price,
                    "unrealized_pnl": p.unrealized_pnl,
                }
                for p in sorted(verdict.positions, key=lambda p: -p.notional)
            ],
            "orders": [
                {
                    "symbol": o.symbol,
                    "order_id": o.order_id,
                    "client_order_id": o.client_order_id,
                    "kind": o.kind,
                    "type": o.type,
                    "side": o.side,
                    "protective": is_protective(o, by_leg),
                    "contradiction": o.key in contradicting,
                    "trigger_price": o.trigger_price,
                }
                for o in verdict.orders
            ],
            "notional": None
            if "positions" in unread and not verdict.positions
            else sum((p.notional for p in verdict.positions), start=Decimal(0)),
            "scope": settings.liquidation.symbols,
            "unknown_symbols": inspection.unknown_symbols or (),
            "unread": list(unread),
            "silent": inspection.silent,
            "contradictions": [explain_contradiction(o) for o in inspection.contradictions],
        }
    )
    return account


def _exit_code(inspection: "Inspection") -> ExitCode:
    """Return what `--exit-code` says: open wins over unreadable, unreadable over flat."""
    verdict = inspection.verdict
    if verdict.positions or verdict.orders:
        return ExitCode.PARTIAL
    refusal = inspection.refusal
    if refusal is not None and refusal.kind is AnswerKind.RUN_FATAL:
        return ExitCode.CREDENTIALS
    return ExitCode.DONE if inspection.is_flat else ExitCode.FAILED


def _in_progress(held: "Blocked | None") -> dict[str, Any] | None:
    """Return who holds the lock; one whose text cannot be read is somebody all the same."""
    from liqctl.run.lock import OVERRUN_GRACE_S
    from liqctl.run.who import is_running

    if held is None:
        return None
    holder = held.holder
    if holder is None:
        return {"correlation_id": None, "pid": None, "started_at": None}
    late_s = SystemClock().now().timestamp() - holder.deadline_at
    return {
        "correlation_id": holder.correlation_id,
        "pid": holder.pid,
        "started_at": holder.started_at,
        "host": holder.host,
        "user": holder.user,
        "deadline_at": _moment(holder.deadline_at),
        "running": is_running(holder.pid),
        "past_deadline": late_s > 0,
        "seconds_past_deadline": max(round(late_s, 1), 0.0),
        "hung": late_s > OVERRUN_GRACE_S,
    }


def _moment(at: float) -> str | None:
    """Return an epoch second as the documents have it; None for one that no calendar has."""
    try:
        return rfc3339(datetime.fromtimestamp(at, tz=UTC))
    except (ValueError, OverflowError, OSError):
        return None
