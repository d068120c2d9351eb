"""What people who are not at the terminal are told, and the order for the process that tells it.

A process of its own sends messages and writes figures. In the run's, httpx and its threads would
live under the deadline's watchdog, a hanging name look-up would have to be left behind, and the
secrets of the account would lie beside code that speaks to strangers. The other process gets none
of them, no terminal and a limit of its own, and goes on when the run's must leave. It has a session
of its own, so that Ctrl-C and a dropped line do not reach it.

A message is one line that tells it all.

Of a run:
info: flat, proven; and the start.
warning: SKIPPED, for the switch is disarmed; another run is at work; interrupted, yet flat; flat,
yet the record is incomplete.
critical: PARTIAL, FAILED, and whatever left the account unproven.

Of an armed process:
info: armed and disarmed; everything is there again; tripped by a handover, whose run is told too.
warning: degraded; tripped by a signal; would have tripped.
critical: blind; tripped by a guard or by the heartbeat.
"""

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from liqctl.desk.result import Asked, meaning, split_residual
from liqctl.desk.text import clean, count, money, sized
from liqctl.kernel.amounts import plain
from liqctl.kernel.as_json import as_json, rfc3339
from liqctl.kernel.events import COUNTS
from liqctl.kernel.result import LiquidationResult, Residual, Results
from liqctl.kernel.states import (
    ExitCode,
    FailureCause,
    LiquidationState,
    OrderState,
    PositionState,
    TripCause,
    make_correlation_id,
)
from liqctl.kernel.values import exposure_of
from liqctl.kernel.words import DISARMED
from liqctl.run import SystemClock
from liqctl.settings.targets import NoticeKind, Severity

if TYPE_CHECKING:
    from liqctl.settings.values import Settings

COURIER_S: Final = 2.0
"""How long the other process may live, and how long it is waited for at most."""

_ARGUMENTS: Final = ("-P", "-m", "liqctl.cli.courier")
"""-P: no module of the working folder may stand in for one of ours."""

_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})

TEXT_MAX: Final = 900
"""Characters of a message; PagerDuty takes 1,024, Telegram 4,096."""

_REASON_MAX: Final = 200
_WHY_MAX: Final = 100
"""Of one of several accounts."""

_NAMED_MAX: Final = 5
_LISTED_MAX: Final = 50
_SEVERITIES: Final = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
"""Worst last."""

LASTS_S: Final = 5.0
"""How long a change of health has to last to be told: connecting a stream anew takes less."""

APART_S: Final = 60.0
"""How far apart two changes of health are told at least."""

_ARMED: Final = "armed"
_BLIND: Final = "blind"
_REASONS_MAX: Final = 600
_OF_TRIPS: Final[Mapping[str, Severity]] = {
    TripCause.GUARD: Severity.CRITICAL,
    TripCause.HEARTBEAT: Severity.CRITICAL,
    TripCause.SIGNAL: Severity.WARNING,
    TripCause.HANDOVER: Severity.INFO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message, ready to be sent.

    `text` is one line, safe to show. `at` is when what it tells of happened, in RFC 3339.
    `exit_code` is None before the end. `details` is bounded and JSON. What `resolves` says that the
    trouble of an earlier notice with the same `correlation_id` is over.
    """

    kind: NoticeKind
    severity: Severity
    text: str
    at: str
    environment: str
    correlation_id: str
    exit_code: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    resolves: bool = False

    @property
    def rank(self) -> Severity:
        """How much it matters to who hears of it: the end of trouble as much as the trouble."""
        return Severity.WARNING if self.resolves else self.severity


def make_notices(
    results: Results, exit_code: int, *, reason: str = "", symbols: tuple[str, ...] = ()
) -> tuple[Notice, ...]:
    """Return the notices of a command that has ended: its start, where it got that far, its end.

    Of several accounts there is one of each, as bad as the worst account's would be. `exit_code` is
    what the process leaves with: a signal's outranks the result's.
    """
    only = results.only
    judged = [_Judgement.of(result, exit_code, results) for result in results.each]
    if results.are_several:
        text, details = _tell_all(results, judged, exit_code)
    else:
        text, details = _tell_one(only, judged[0].word, exit_code, symbols)
    end = Notice(
        kind=NoticeKind.UNKNOWN if any(each.is_unproven for each in judged) else NoticeKind.END,
        severity=max((each.severity for each in judged), key=_SEVERITIES.index),
        text=text,
        at=rfc3339(max(result.finished_at for result in results.each)),
        environment=only.environment,
        correlation_id=only.correlation_id,
        exit_code=exit_code,
        details=details,
    )
    # A run that was refused before it began has no start to tell of.
    begun = [its.result for its in judged if its.has_begun]
    if not begun:
        return (end,)
    began_at = rfc3339(min(result.started_at for result in begun))
    of = f" of {count(len(results.each), 'account')}" if results.are_several else ""
    whose = _whose(only.environment, None if results.are_several else only.account)
    text = f"liqctl {whose} START: liquidation{of} began {began_at}"
    text += f", reason: {clean(reason[:_REASON_MAX])}" if reason else ""
    start = Notice(
        kind=NoticeKind.START,
        severity=Severity.INFO,
        text=f"{text}; run {only.correlation_id}"[:TEXT_MAX],
        at=began_at,
        environment=only.environment,
        correlation_id=only.correlation_id,
    )
    return start, end


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgement:
    """What the end of an account's run means; `word` is its state, or UNKNOWN with it."""

    result: LiquidationResult
    severity: Severity
    is_unproven: bool
    has_begun: bool
    exit_code: int
    word: str

    @classmethod
    def of(cls, result: LiquidationResult, exit_code: int, results: Results) -> "_Judgement":
        if results.are_several and exit_code not in {ExitCode.INTERRUPTED, ExitCode.TERMINATED}:
            exit_code = result.exit_code()
        was_refused = (
            result.state is LiquidationState.SKIPPED or result.cause is FailureCause.BLOCKED
        )
        has_tried = not was_refused and result.cause is not FailureCause.NOT_CONFIRMED
        # Whether nobody can say what is open: nothing was read, or an answer never came.
        is_unproven = has_tried and bool(
            (not result.verified_flat and result.residual is None)
            or result.count_positions(PositionState.UNKNOWN)
            or result.count_orders(OrderState.UNKNOWN)
        )
        severity = Severity.CRITICAL
        if results.are_several and _is_twin(result):
            severity = Severity.INFO
        elif was_refused:
            severity = Severity.WARNING
        elif result.state is LiquidationState.COMPLETED and not is_unproven:
            severity = Severity.INFO if exit_code == ExitCode.DONE else Severity.WARNING
        return cls(
            result=result,
            severity=severity,
            is_unproven=is_unproven,
            has_begun=not was_refused and (result.audit_head is not None or result.requests > 0),
            exit_code=exit_code,
            word=_word(result.state, is_unproven=is_unproven),
        )


def _word(state: LiquidationState, *, is_unproven: bool) -> str:
    return f"UNKNOWN ({state})" if is_unproven else state.value


def _is_twin(result: LiquidationResult) -> bool:
    """Return whether the account is closed under another name: that name tells how it ended."""
    return result.state is LiquidationState.SKIPPED and result.error_message != DISARMED


def _whose(environment: str, account: str | None) -> str:
    """Return the environment, with the account where it is one that has a name."""
    return clean(f"{environment} {account}" if account else environment)


def _tell_all(
    results: Results, judged: Sequence[_Judgement], exit_code: int
) -> tuple[str, dict[str, object]]:
    """Return the line: the accounts that are not flat, worst first, then the sum of the others.

    The details tell of each account without any list.
    """
    flat = [its.result for its in judged if its.result.verified_flat and not its.is_unproven]
    twins = [result for result in results.each if _is_twin(result)]
    told: dict[str, list[str]] = {}
    for its in sorted(judged, key=lambda its: -_SEVERITIES.index(its.severity)):
        result = its.result
        if result in flat or result in twins:
            continue
        residual, why = result.residual, clean((result.error_message or "")[:_WHY_MAX])
        if residual is not None and (residual.positions or residual.orders):
            why = f"left: {_left(residual)}"
        name = clean(result.account or "")
        told.setdefault(f"{its.word}{', ' if why else ''}{why}", []).append(name)
    total = count(len(results.each) - len(twins), "account")
    closed = sum(result.positions_closed or 0 for result in flat)
    cancelled = sum(result.orders_cancelled or 0 for result in flat)
    sums = f" ({count(closed, 'position')} closed, {count(cancelled, 'order')} cancelled)"
    parts = [f"{len(flat)} of {total} flat in scope{sums if flat else ''}"]
    if not all(result.audit_complete for result in results.each):
        parts.append("the audit trail is incomplete")
    took_s = max(result.duration_seconds for result in results.each)
    parts.append(f"exit {exit_code} after {took_s:.2f} s")
    tail = "; ".join([*parts, f"run {results.only.correlation_id}"])
    word = _word(results.state, is_unproven=any(its.is_unproven for its in judged))
    head = f"liqctl {clean(results.only.environment)} {word}: "
    open_ones = "; ".join(f"{', '.join(names)} {what}" for what, names in told.items())
    # The sums and the end are never cut off.
    open_ones = _cut(open_ones, TEXT_MAX - len(head) - len(tail) - 2)
    names = ("state", "correlation_id", "verified_flat", *COUNTS, "duration_seconds", "audit_head")
    rows = []
    for its in judged:
        result, document, residual = its.result, its.result.as_json(), its.result.residual
        message = result.error_message and _cut(clean(result.error_message), _REASON_MAX)
        rows.append(
            {
                "name": result.account,
                "exit_code": its.exit_code,
                "severity": its.severity.value,
                "unknown": its.is_unproven,
                **{name: document[name] for name in names},
                "residual_positions": None if residual is None else len(residual.positions),
                "residual_orders": None if residual is None else len(residual.orders),
                "error_message": message,
            }
        )
    return f"{head}{open_ones}{'; ' if open_ones else ''}{tail}", {"accounts": rows}


def make_test_notice(environment: str) -> Notice:
    """Return what `notify` sends to see whether it arrives."""
    now = SystemClock().now()
    name = make_correlation_id(now, os.urandom(3).hex())
    return Notice(
        kind=NoticeKind.TEST,
        severity=Severity.INFO,
        text=f"liqctl {environment} TEST: sent by hand on {clean(socket.gethostname())} to see "
        f"that it arrives; no account was touched; {name}",
        at=rfc3339(now),
        environment=environment,
        correlation_id=name,
    )


def _tell_one(
    result: LiquidationResult, word: str, exit_code: int, symbols: tuple[str, ...]
) -> tuple[str, dict[str, object]]:
    """Return the line; what tells most stands first, and the names by which it is found last.

    The details are the result without its long lists; what is left is named up to a bound.
    """
    told = meaning(result, Asked(symbols=symbols))
    parts = [f"liqctl {_whose(result.environment, result.account)} {word}: {told}"]
    if result.positions or result.orders:
        closed = f"{result.positions_closed}/{result.positions_found} positions closed"
        cancelled = f"{result.orders_cancelled}/{result.orders_found} orders cancelled"
        parts.append(
            ("positions not read" if result.positions_found is None else closed)
            + ", "
            + ("orders not read" if result.orders_found is None else cancelled)
        )
    left, listed = split_residual(result)
    if left.positions or left.orders:
        parts.append(f"left: {_left(left)}")
    if listed.positions or listed.orders:
        parts.append(f"still listed although confirmed: {_left(listed)}")
    if result.error_message and result.state is not LiquidationState.SKIPPED:
        parts.append(clean(result.error_message[:_REASON_MAX]))
    parts.append(f"exit {exit_code} after {result.duration_seconds:.2f} s")
    head = f"; head {result.audit_head}" if result.audit_head else ""
    tail = f"; run {result.correlation_id}{head}"
    text = _cut("; ".join(parts), TEXT_MAX - len(tail)) + tail
    document = result.as_json()
    for name in ("positions", "orders", "time_spent_s", "notes"):
        document.pop(name)
    if (residual := result.residual) is not None:
        positions, orders = residual.positions, residual.orders
        bounded = Residual(positions=positions[:_LISTED_MAX], orders=orders[:_LISTED_MAX])
        document["residual"] = as_json(bounded)
        document["residual_positions"] = len(positions)
        document["residual_orders"] = len(orders)
    if result.error_message:
        document["error_message"] = _cut(clean(result.error_message), TEXT_MAX)
    return text, {**document, "exit_code": exit_code}


def _left(residual: Residual) -> str:
    named = [
        f"{clean(p.symbol)} {sized(plain(p.quantity), p.product)} ({money(abs(p.notional))})"
        for p in residual.positions[:_NAMED_MAX]
    ]
    more = len(residual.positions) - len(named)
    named += [f"{count(more, 'more position')}"] if more else []
    named += [count(len(residual.orders), "order")] if residual.orders else []
    return ", ".join(named)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """Which armed process it is about."""

    environment: str
    account: str | None
    correlation_id: str

    def armed(self, told: str) -> Notice:
        """Return that it is armed; `told` says what it watches."""
        return self._make(NoticeKind.ARMED, Severity.INFO, f"ARMED: {told}")

    def disarmed(self, why: str) -> Notice:
        """Return that it ended without a trip."""
        text = f"DISARMED: {why}; nothing watches the account"
        return self._make(NoticeKind.ARMED, Severity.INFO, text)

    def health(self, health: str, reasons: Sequence[str]) -> Notice:
        """Return how much it can see now."""
        if health == _ARMED:
            text = "ARMED again: everything that it needs is there"
            return self._make(NoticeKind.DEGRADED, Severity.INFO, text, resolves=True)
        why = clean("; ".join(reasons))[:_REASONS_MAX]
        severity = Severity.CRITICAL if health == _BLIND else Severity.WARNING
        return self._make(NoticeKind.DEGRADED, severity, f"{health.upper()}: {why}")

    def tripped(self, by: TripCause, why: str, run: str | None) -> Notice:
        """Return that it closes the account; the end of that run resolves it; without: observes."""
        told, then = "TRIPPED", "it closes the account now"
        if run is None:
            told, then = "WOULD HAVE TRIPPED", "it only observes"
        text = f"{told} by {by}: {clean(why)[:_REASONS_MAX]}; {then}"
        severity = Severity.WARNING if run is None else _OF_TRIPS[by]
        return self._make(NoticeKind.TRIPPED, severity, text, run=run)

    def _make(
        self,
        kind: NoticeKind,
        severity: Severity,
        text: str,
        *,
        run: str | None = None,
        resolves: bool = False,
    ) -> Notice:
        tail = f"; run {run}" if run else f"; {self.correlation_id}"
        return Notice(
            kind=kind,
            severity=severity,
            text=f"liqctl {_whose(self.environment, self.account)} {text[: TEXT_MAX - 200]}{tail}",
            at=rfc3339(SystemClock().now()),
            environment=self.environment,
            correlation_id=run or self.correlation_id,
            resolves=resolves,
        )


class HealthNews:
    """Decides which change of health is told, and when: one that lasts, and not too often.

    What went and came back in between is nobody's news.
    """

    def __init__(self) -> None:
        self._health = self._told = _ARMED
        self._changed_at = 0.0
        self._told_at = float("-inf")

    def note(self, health: str, now: float) -> float | None:
        """Take the present health; return when to ask `is_due`, None where nothing is to tell."""
        if health != self._health:
            self._health, self._changed_at = health, now
        if self._health == self._told:
            return None
        return max(self._changed_at + LASTS_S, self._told_at + APART_S)

    def is_due(self, now: float) -> bool:
        """Return whether the present health is told now, which then counts as told."""
        due_at = self.note(self._health, now)
        if due_at is None or now < due_at:
            return False
        self._told, self._told_at = self._health, now
        return True


def make_order(
    settings: "Settings",
    results: Results,
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


def make_message(settings: "Settings", notices: Sequence[Notice]) -> dict[str, Any]:
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


def account_after(settings: "Settings", result: LiquidationResult | None) -> dict[str, Any] | None:
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
