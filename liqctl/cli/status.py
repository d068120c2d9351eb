"""`liqctl status`: what is open, whether a liquidation runs, how the last one ended."""

import asyncio
import os
import time
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from liqctl.cli import process
from liqctl.cli.settings import load
from liqctl.domain.amounts import plain
from liqctl.domain.answers import AnswerKind
from liqctl.domain.errors import ConfigurationError, CredentialsError, UsageError
from liqctl.domain.states import ExitCode
from liqctl.engine.clock import SystemClock
from liqctl.planning.protection import is_protective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liqctl.audit.history import History
    from liqctl.cli.wiring import Account
    from liqctl.config.settings import Settings
    from liqctl.engine.inspection import Inspection

STATUS_SCHEMA: Final = "liqctl.status/1"
_WATCH_EVERY_S: Final = 5.0
"""85 weight a reading, 12 a minute: under half of the venue's 2400 a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asked for."""

    environment: str | None
    config_file: Path | None
    as_json: bool
    colour: bool
    watch: bool
    exit_code: bool
    verbose: bool
    prometheus: Path | None = None
    flags: "Mapping[str, object]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look: the document of the contract, and what it means for the exit code."""

    document: dict[str, Any]
    exit_code: ExitCode


def status(
    *,
    env: Annotated[
        str | None,
        typer.Option("--env", help="production, testnet or simulator.", envvar="LIQCTL_ENV"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings file.", envvar="LIQCTL_CONFIG")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 5 seconds.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 3 when anything is open, 0 when flat.")
    ] = False,
    prometheus: Annotated[
        Path | None, typer.Option(help="Also write figures for Prometheus to this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show prices too.")] = False,
) -> None:
    """Show open positions and orders, a running liquidation, the last run and the counts.

    What only the audit trail can tell needs no key.

    Example: liqctl status --env testnet --exit-code && echo flat
    """
    options = Options(
        environment=env,
        config_file=config,
        as_json=as_json,
        colour=not no_color and not os.environ.get("NO_COLOR"),
        watch=watch,
        exit_code=exit_code,
        verbose=verbose,
        prometheus=prometheus,
    )
    try:
        settings = load(options)
    except UsageError as error:
        process.print_error(f"liqctl: {error}")
        _print_refusal(options, str(error))
        process.leave(ExitCode.USAGE)
    except ConfigurationError as error:
        process.print_error(f"the configuration is invalid\n{error}")
        _print_refusal(options, str(error))
        process.leave(ExitCode.CONFIGURATION)
    process.leave(_show(options, settings))


def _show(options: Options, settings: "Settings") -> ExitCode:
    while True:
        view = _look(settings)
        _print(options, view.document)
        is_written = _write_figures(options, settings, view.document)
        if not options.watch:
            break
        time.sleep(_WATCH_EVERY_S)  # noqa: TID251 - nothing else runs here
    if not is_written:
        return ExitCode.FAILED
    return view.exit_code if options.exit_code else ExitCode.DONE


def _write_figures(options: Options, settings: "Settings", document: dict[str, Any]) -> bool:
    """Write the file for Prometheus, if one was asked for; return whether all is well."""
    if options.prometheus is None:
        return True
    from liqctl.cli.figures import write_figures

    try:
        write_figures(options.prometheus, document, log_dir=settings.audit.log_dir)
    except OSError as error:
        process.print_error(f"{options.prometheus} cannot be written: {error.strerror}")
        return False
    return True


def _look(settings: "Settings") -> View:
    """Take one look at the account, the lock and the trail."""
    from liqctl.cli.wiring import open_account

    account_document: dict[str, Any] | None = None
    account_error: str | None = None
    exit_code = ExitCode.FAILED
    in_progress: dict[str, Any] | None = None
    try:
        with open_account(settings) as account:
            in_progress = _in_progress(account, settings)
            inspection = asyncio.run(_inspect(settings, account))
            account_error = inspection.why_unreadable()
            if inspection.snapshot.is_any_read and not inspection.is_portfolio_margin:
                account_document = describe_account(inspection)
            exit_code = _exit_code(inspection)
    except CredentialsError as error:
        account_error = str(error)
        exit_code = ExitCode.CREDENTIALS
    document = _document(
        settings.environment.value,
        _read_history(settings),
        in_progress=in_progress,
        account=account_document,
        account_error=account_error,
    )
    return View(document=document, exit_code=exit_code)


def _document(
    environment: str,
    history: "History",
    *,
    in_progress: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
    account_error: str | None = None,
) -> dict[str, Any]:
    return {
        "schema": STATUS_SCHEMA,
        "environment": environment,
        "state": "IN_PROGRESS" if in_progress else "IDLE",
        "in_progress": in_progress,
        "account": account,
        "account_error": account_error,
        "last_run": history.last_run.as_json() if history.last_run else None,
        "unfinished_runs": [asdict(run) for run in history.unfinished],
        "metrics": history.metrics(),
    }


def _read_history(settings: "Settings") -> "History":
    """Return what the trail tells; one that cannot be read is said on stderr and tells nothing."""
    from liqctl.audit.history import History, read_history
    from liqctl.domain.events import TRAIL_NAME

    trail = settings.audit.log_dir / TRAIL_NAME
    try:
        return read_history(trail, environment=settings.environment.value)
    except OSError as error:
        process.print_error(f"the audit trail {trail} cannot be read: {error.strerror}")
        return History()


def _print_refusal(options: Options, why: str) -> None:
    """Print the document of a look that was not taken, if JSON was asked for."""
    if options.as_json:
        from liqctl.audit.history import History

        _print(options, _document(options.environment or "", History(), account_error=why))


async def _inspect(settings: "Settings", account: "Account") -> "Inspection":
    from liqctl.engine.inspection import inspect_account
    from liqctl.planning.policy import LiquidationConfig

    policy = LiquidationConfig(
        timeout_seconds=settings.liquidation.timeout_seconds,
        symbols=settings.liquidation.symbols,
    )
    try:
        return await inspect_account(account.exchange, policy, wall_clock=SystemClock())
    finally:
        await account.exchange.close()


def describe_account(inspection: "Inspection") -> dict[str, Any]:
    """Return what is open, as the status document has it."""
    verdict = inspection.verdict
    by_leg = {position.leg: position for position in verdict.positions}
    return {
        "flat": verdict.is_flat,
        "positions": [
            {
                "symbol": p.symbol,
                "position_side": p.leg.position_side.value,
                "side": p.direction.value,
                "quantity": plain(p.size),
                "notional": plain(p.notional),
                "entry_price": None if p.entry_price is None else plain(p.entry_price),
                "mark_price": None if p.mark_price is None else plain(p.mark_price),
                "unrealized_pnl": None if p.unrealized_pnl is None else plain(p.unrealized_pnl),
            }
            for p in sorted(verdict.positions, key=lambda p: -p.notional)
        ],
        "orders": [
            {
                "symbol": o.symbol,
                "order_id": o.order_id,
                "client_order_id": o.client_order_id,
                "kind": o.kind.value,
                "type": o.type,
                "side": o.side.value if o.side else None,
                "protective": is_protective(o, by_leg),
                "trigger_price": None if o.trigger_price is None else plain(o.trigger_price),
            }
            for o in verdict.orders
        ],
        "notional": plain(sum((p.notional for p in verdict.positions), start=Decimal(0))),
    }


def _exit_code(inspection: "Inspection") -> ExitCode:
    """Return what `--exit-code` says: open wins over unreadable, unreadable over flat."""
    verdict = inspection.verdict
    if verdict.positions or verdict.orders:
        return ExitCode.PARTIAL
    refusal = inspection.refusal
    if refusal is not None and refusal.kind is AnswerKind.RUN_FATAL:
        return ExitCode.CREDENTIALS
    if not verdict.is_flat or inspection.is_portfolio_margin:
        return ExitCode.FAILED
    return ExitCode.DONE


def _in_progress(account: "Account", settings: "Settings") -> dict[str, Any] | None:
    from liqctl.engine.lock import is_running, read_lock

    state = read_lock(account.identity, fallback_dir=settings.audit.log_dir)
    if not state.is_held or state.holder is None:
        return None
    holder = state.holder
    return {
        "correlation_id": holder.correlation_id,
        "pid": holder.pid,
        "started_at": holder.started_at,
        "host": holder.host,
        "user": holder.user,
        "running": is_running(holder.pid),
        "past_deadline": SystemClock().now().timestamp() > holder.deadline_at,
    }


def _print(options: Options, document: dict[str, Any]) -> None:
    if options.as_json:
        from liqctl.report.json import dump

        process.print_answer(dump(document))
        return
    from liqctl.report.status import render_status

    process.print_answer(
        render_status(
            document,
            width=process.width_of(1),
            colour=options.colour and process.is_terminal(1),
            verbose=options.verbose,
        )
    )
