"""`liqctl status`: what is open, whether a liquidation runs, how the last one ended.

A `StatusReader` looks at account, lock and trail, and keeps its connections from look to look;
`StatusReaders` look at several accounts side by side. Without a key nothing is asked of the venue,
and what the trail and the lock files tell is told all the same. The same documents, or what of them
needs no venue, become the figures for Prometheus.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.cli.wiring import Account, open_account
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.as_json import as_json, rfc3339
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.kernel.events import TRAIL_NAME
from liqctl.kernel.limits import Address
from liqctl.kernel.pacing import OVERRUN_GRACE_S
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import is_protective
from liqctl.kernel.result import worst_exit
from liqctl.kernel.states import ExitCode
from liqctl.kernel.words import explain_contradiction
from liqctl.run import SystemClock, is_running
from liqctl.run.lock import find_held, read_lock
from liqctl.standby.process import LOOK_ASIDE_MAX_S, LOOK_MAX_S, look_at_standby
from liqctl.trail.reading import make_history, read_history

if TYPE_CHECKING:
    from liqctl.kernel.answers import VenueAnswer
    from liqctl.run.inspection import Inspection
    from liqctl.settings.values import Settings

STATUS_SCHEMA: Final = "liqctl.status/1"
STATUSES_SCHEMA: Final = "liqctl.statuses/1"

_OF_ORDER: Final = ("product", "symbol", "order_id", "client_order_id", "kind", "type", "side")
_UNDER_WAY: Final = "the venue has not answered yet; it is still waited for"
_TOO_MANY: Final = (
    "orders were not read: of so many accounts that would take more than half of what their "
    "address may request in a minute. Next: fewer at a time with --account"
)

_CHECKED_MAX_BYTES: Final = 50_000_000
"""A longer trail is not checked each minute; `audit verify` does it."""


@takes(
    *("environment", "config_file", "symbols", "products", "accounts", "all_accounts"),
    *("watch", "every", "settle", "exit_code", "prometheus"),
    *("as_json", "no_color", "verbose"),
    as_json="Print one JSON document; with --watch one line a look.",
    verbose="Show prices too.",
)
def status(options: Options) -> ExitCode:
    """Show open positions and orders, a running liquidation, the last run and the counts.

    Reading the account needs a key, the rest does not. Exit codes: 0, 2 usage, 4 configuration,
    1 or 7 nothing could be read; with --exit-code 0 flat, 3 open, 1 or 7 not known.

    Example: liqctl status --env testnet --exit-code && echo flat
    """
    try:
        if options.watch and options.settle is not None:
            raise UsageError("--settle and --watch do not go together: a watch has no end")  # noqa: TRY301
        chosen = options.chosen(options.settings())
    except (UsageError, ConfigurationError) as error:
        document = make_document(
            options.environment or "", make_history(()), account_error=str(error)
        )
        return out.refusal(error, document, options)
    # No asyncio.run: it would wait for a thread that hangs in a name look-up.
    view, is_well = asyncio.new_event_loop().run_until_complete(_show(options, chosen))
    if not is_well:
        return ExitCode.FAILED
    return view.exit_code if options.exit_code else view.unread_code


async def _show(options: Options, chosen: "Sequence[Settings]") -> "tuple[View, bool]":
    """Return the last look, and whether the file for Prometheus, if any, could be written."""
    from liqctl.desk.status import render_status

    def write(document: dict[str, Any]) -> bool:
        if options.prometheus is None:
            return True
        documents = document.get("statuses", [document])
        try:
            write_figures(options.prometheus, documents, log_dir=chosen[0].audit.log_dir)
        except OSError as error:
            out.error(f"{options.prometheus} cannot be written: {error.strerror}")
            return False
        return True

    are_several = options.all_accounts or len(chosen) > 1
    readers = StatusReaders(chosen, options.settle, are_several=are_several)
    async with contextlib.aclosing(readers):
        if options.watch:
            from liqctl.cli.watching import Watch

            watch = Watch(options, readers, also=write)
            return await watch.run(), watch.is_well
        view = readers.joined(await readers.look())
    out.document(
        view.document,
        options,
        lambda document, **size: render_status(document, verbose=options.verbose, **size),
    )
    return view, write(view.document)


async def look_once(settings: "Settings") -> "View":
    """Return one look at an account; the connections are closed again."""
    async with contextlib.aclosing(StatusReader(settings)) as reader:
        return await reader.look()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look: the document of the contract, and what it means for the exit code.

    `exit_code` is the one for `--exit-code`. Where nobody asked for that, what is open is no
    failure, but nobody may take an account that could not be read for one that was looked at:
    `unread_code`. `refusal` is why the venue did not show everything; `weight_1m` its word on the
    weight used.
    """

    document: dict[str, Any]
    exit_code: ExitCode
    unread_code: ExitCode
    refusal: "VenueAnswer | None" = None
    weight_1m: int = -1


@dataclass(slots=True)
class StatusReader:
    """Looks at one account again and again, from the first look on until it is closed."""

    settings: "Settings"
    settle_s: float | None = None
    """How long flat is watched before a look ends; None takes one reading."""

    _account: Account | None = None
    _before: "Inspection | None" = None
    _history: "tuple[tuple[int, ...] | None, dict[str, Any]] | None" = None
    """What changes whenever the trail does, and what it told then."""

    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    async def aclose(self) -> None:
        """Close the connections, and the venue that lives in this process."""
        if self._account is not None:
            await self._account.exchange.close()
        self._stack.close()

    async def look(self, address: Address | None = None) -> View:
        """Return what is open now; a key that was missing before is looked for again.

        The request weight is that of the `address`, the account's own where it is alone.
        """
        from liqctl.run.inspection import inspect_account, inspect_settled

        settings = self.settings
        try:
            if self._account is None:
                self._account = self._stack.enter_context(open_account(settings))
        except CredentialsError as error:
            return self.look_aside(str(error), exit_code=ExitCode.CREDENTIALS)
        exchange = self._account.exchange
        in_progress = self._in_progress()
        # Beside the reading: an armed process that hangs must not delay it.
        asking = asyncio.create_task(asyncio.to_thread(self._standby, LOOK_MAX_S))
        policy = LiquidationConfig(
            timeout_seconds=settings.liquidation.timeout_seconds,
            symbols=settings.liquidation.symbols,
            products=settings.liquidation.products,
            margin=settings.liquidation.margin,
        )
        clock = SystemClock()
        if self.settle_s is not None:
            of = f" {settings.account}" if settings.account else ""
            out.progress(f"watching{of} for {self.settle_s:g} s whether it stays flat")
            inspection = await inspect_settled(
                exchange, policy, wall_clock=clock, settle_s=self.settle_s, address=address
            )
        else:
            inspection = await inspect_account(
                exchange, policy, wall_clock=clock, before=self._before, address=address
            )
        self._before = inspection
        # In portfolio margin an empty list says nothing, and perhaps that is where we are.
        is_shown = inspection.snapshot.is_any_read and inspection.is_kind_known
        is_brief = inspection.is_brief and inspection.snapshot.positions.complete
        refusal, verdict = inspection.refusal, inspection.verdict
        # What `--exit-code` says: open wins over unreadable, unreadable over flat.
        exit_code = ExitCode.DONE if inspection.is_flat else ExitCode.FAILED
        if verdict.positions or verdict.orders:
            exit_code = ExitCode.PARTIAL
        elif refusal is not None and refusal.kind is AnswerKind.RUN_FATAL:
            exit_code = ExitCode.CREDENTIALS
        standby: dict[str, Any] = {}
        with contextlib.suppress(RuntimeError):  # no thread can be had
            standby = await asking
        view = self._view(
            in_progress,
            exit_code=exit_code,
            account=describe_account(inspection, settings) if is_shown else None,
            account_error=_TOO_MANY if is_brief else inspection.why_unreadable(),
            standby=standby,
        )
        return replace(view, refusal=refusal, weight_1m=exchange.usage.weight_1m)

    def look_aside(self, why: str, *, exit_code: ExitCode = ExitCode.FAILED) -> View:
        """Return what the lock and the trail tell; the venue is not asked, `why` says why."""
        return self._view(
            self._in_progress(),
            exit_code=exit_code,
            account_error=why,
            standby=self._standby(LOOK_ASIDE_MAX_S),
        )

    def look_aside_again(self, view: View) -> View:
        """Return a look with what the lock and the trail tell now, and the account as it was."""
        aside = self.look_aside("").document
        kept = {name: view.document[name] for name in ("looked_at", "account", "account_error")}
        return replace(view, document=aside | kept)

    def _standby(self, patience_s: float) -> dict[str, Any]:
        """Return the armed process and the latch; nothing where only a key would tell whose."""
        if self._account is None:
            return {}
        if self._account.embedded:
            return {"armed": None, "latch": None}
        return look_at_standby(self._account.identity, self.settings.audit.log_dir, patience_s)

    def _in_progress(self) -> dict[str, Any] | None:
        """Return who holds the lock; one whose text cannot be read is somebody all the same."""
        log_dir = self.settings.audit.log_dir
        if self._account is None:
            held = find_held(self.settings.environment.value, fallback_dir=log_dir)
            if self.settings.account and held is not None:
                # Without its key the account is known by its name in the trail alone.
                began = {run.correlation_id for run in self._told()["unfinished_runs"]}
                is_ours = held.holder is not None and held.holder.correlation_id in began
                held = held if is_ours else None
        else:
            held = read_lock(self._account.identity, fallback_dir=log_dir)
        if held is None:
            return None
        holder = held.holder
        if holder is None:
            return {"correlation_id": None, "pid": None, "started_at": None}
        late_s = SystemClock().now().timestamp() - holder.deadline_at
        try:
            deadline_at = rfc3339(datetime.fromtimestamp(holder.deadline_at, tz=UTC))
        except (ValueError, OverflowError, OSError):  # a moment that no calendar has
            deadline_at = None
        return {
            "correlation_id": holder.correlation_id,
            "pid": holder.pid,
            "started_at": holder.started_at,
            "host": holder.host,
            "user": holder.user,
            "deadline_at": deadline_at,
            "running": is_running(holder.pid),
            "past_deadline": late_s > 0,
            "seconds_past_deadline": max(round(late_s, 1), 0.0),
            "hung": late_s > OVERRUN_GRACE_S,
        }

    def _view(
        self,
        in_progress: dict[str, Any] | None,
        *,
        exit_code: ExitCode,
        account_error: str | None,
        standby: Mapping[str, Any],
        account: dict[str, Any] | None = None,
    ) -> View:
        """Return the look, with what the trail tells.

        A trail that cannot be read is said on stderr and in the document, and tells nothing.
        """
        trail_error = None
        try:
            history = self._told()
        except OSError as error:
            trail = self.settings.audit.log_dir / TRAIL_NAME
            trail_error = f"the audit trail {trail} cannot be read: {error.strerror}"
            out.error(trail_error)
            history = make_history(())
        document = make_document(
            self.settings.environment.value,
            history,
            in_progress=in_progress,
            account=account,
            account_error=account_error,
            trail_error=trail_error,
            config_file=self.settings.file,
            account_name=self.settings.account,
            standby=standby,
        )
        unread_code = exit_code if account is None else ExitCode.DONE
        return View(document=document, exit_code=exit_code, unread_code=unread_code)

    def _told(self) -> dict[str, Any]:
        """Return what the trail tells, which is read only when it changed; may raise OSError."""
        settings = self.settings
        trail = settings.audit.log_dir / TRAIL_NAME
        found = trail.stat() if trail.exists() else None
        mark = found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if self._history is None or self._history[0] != mark:
            environment, name = settings.environment.value, settings.account
            self._history = mark, read_history(trail, environment=environment, account=name)
        return self._history[1]


class StatusReaders:
    """Looks at accounts side by side, behind one address, until it is closed."""

    def __init__(
        self, chosen: "Sequence[Settings]", settle_s: float | None = None, *, are_several: bool
    ) -> None:
        """Open nothing yet; `are_several`: the document is that of several accounts."""
        self.each = [StatusReader(settings, settle_s) for settings in chosen]
        self.are_several = are_several
        self._looking: dict[int, asyncio.Task[View]] = {}

    async def aclose(self) -> None:
        """Close the connections."""
        for looking in self._looking.values():
            looking.cancel()
        await asyncio.gather(*(reader.aclose() for reader in self.each))

    async def look(
        self, *, patience_s: float | None = None, resting: Mapping[int, View] | None = None
    ) -> list[View]:
        """Return a look at each account, in order.

        Who does not answer within `patience_s` keeps the others waiting no longer: a later look
        tells what it answered. Who is `resting` is not asked, and seen as before.
        """
        resting = resting or {}
        address = Address(accounts=len(self.each))
        for number, reader in enumerate(self.each):
            if number not in resting and number not in self._looking:
                self._looking[number] = asyncio.create_task(reader.look(address))
        if self._looking:
            await asyncio.wait(self._looking.values(), timeout=patience_s)
        views = []
        for number, reader in enumerate(self.each):
            looking = self._looking.get(number)
            if looking is None:
                views.append(reader.look_aside_again(resting[number]))
            elif looking.done():
                views.append(self._looking.pop(number).result())
            else:
                views.append(reader.look_aside(_UNDER_WAY))
        return views

    def look_aside_again(self, views: Iterable[View]) -> list[View]:
        """Return looks with what the lock and the trail tell now, and each account as it was."""
        return [
            reader.look_aside_again(view) for reader, view in zip(self.each, views, strict=True)
        ]

    def joined(self, views: "Sequence[View]") -> View:
        """Return the looks as what the command shows; as of one, open wins over unreadable."""
        if not self.are_several:
            return views[0]
        codes = [view.exit_code for view in views]
        exit_code = ExitCode.PARTIAL if ExitCode.PARTIAL in codes else worst_exit(codes)
        document = {
            "schema": STATUSES_SCHEMA,
            "environment": self.each[0].settings.environment.value,
            "exit_code": int(exit_code),
            "statuses": [view.document for view in views],
        }
        unread_code = worst_exit(view.unread_code for view in views)
        return View(document=document, exit_code=exit_code, unread_code=unread_code)


def make_document(  # noqa: PLR0913 - the parts of the document
    environment: str,
    history: dict[str, Any],
    *,
    in_progress: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    account_error: str | None = None,
    trail_error: str | None = None,
    config_file: Path | None = None,
    account_name: str | None = None,
    standby: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the status document of the contract; with a `trail_error` its counts mean nothing.

    Without a `standby` it says nothing of an armed process: only a key tells which is whose.
    """
    return {
        "schema": STATUS_SCHEMA,
        "environment": environment,
        "account_name": account_name,
        "config_file": str(config_file) if config_file else None,
        "looked_at": rfc3339(SystemClock().now()),
        "state": "IN_PROGRESS" if in_progress else "IDLE",
        "in_progress": in_progress,
        "account": account,
        "account_error": account_error,
        "trail_error": trail_error,
        **(standby or {}),
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
            "products": inspection.products,
            "margin": inspection.margin,
            "positions": [
                {
                    "product": p.product,
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
                {name: getattr(o, name) for name in _OF_ORDER}
                | {
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
            "unread_beside": inspection.unread_beside,
            "contradictions": [explain_contradiction(o) for o in inspection.contradictions],
        }
    )
    return account


def write_figures(
    path: Path,
    documents: Sequence[Mapping[str, Any]],
    *,
    log_dir: Path,
    audit_complete: bool | None = None,
) -> None:
    """Write status documents and what trail and drills tell as figures for Prometheus.

    Args:
        path: the file, replaced as a whole.
        documents: one for each account, as `status --json` prints it.
        log_dir: where trail and drills are.
        audit_complete: what a run knows of its own record; None checks the trail.

    Raises:
        OSError: it cannot be written.
    """
    from liqctl import __version__
    from liqctl.desk.metrics import render_metrics, write_textfile
    from liqctl.drill import DRILLS_NAME, last_passed_drill

    if audit_complete is None:
        from liqctl.trail.verify import verify

        trail = log_dir / TRAIL_NAME
        # No trail, or one that cannot be read, is neither complete nor broken.
        with contextlib.suppress(OSError):
            if trail.stat().st_size <= _CHECKED_MAX_BYTES:
                audit_complete = verify(trail).is_intact
    drill = last_passed_drill(log_dir / DRILLS_NAME, str(documents[0].get("environment")))
    content = render_metrics(
        documents,
        version=__version__,
        written_at=SystemClock().now().timestamp(),
        audit_complete=audit_complete,
        drill_passed_at=drill.finished_at.timestamp() if drill else None,
    )
    write_textfile(path, content)
