"""`liqctl report`: the incident report of a run, from the trail, to be finished by hand.

The venue is asked what the run's orders traded at: bounded in time, weight and number, only with
the key that the run used, on the venue that it used, for order ids mean nothing elsewhere. The
settings and the key come from where they always do, never from the trail.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from liqctl.cli.audit import (
    answer,
    fail,
    fail_unknown_run,
    find_accounts_runs,
    find_trail,
    reading,
    settings_of,
)
from liqctl.cli.options import Options, takes
from liqctl.cli.output import out
from liqctl.cli.wiring import Account, open_account
from liqctl.desk.incident import ClosingOrder, Incident, TradeReading, closing_orders, make_incident
from liqctl.kernel import requests
from liqctl.kernel.answers import TIMESTAMP, AnswerKind, VenueAnswer
from liqctl.kernel.as_json import dump
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError, VenueError
from liqctl.kernel.policy import product_of
from liqctl.kernel.states import Environment, ExitCode, Margin
from liqctl.trail.file import TrailRecord
from liqctl.trail.fold import fold_run, is_start
from liqctl.trail.reading import read_later_runs, read_run

if TYPE_CHECKING:
    from liqctl.kernel.values import Trade
    from liqctl.venue.exchange import BinanceExchange

REPORTS_SCHEMA: Final = "liqctl.reports/1"
READING_MAX_S: Final = 15.0
_CALL_MAX_S: Final = 5.0
_AT_A_TIME: Final = 4
_ORDERS_MAX: Final = 400
_WEIGHT_MAX: Final = 1200
"""Half of what an address has a minute: a liquidation may need the other half at any moment."""

_END_ALL: Final = {AnswerKind.RUN_FATAL, AnswerKind.PAUSE}

_AGAIN: Final = (
    "run the same command where the run's key is set (LIQCTL_API_KEY and LIQCTL_API_SECRET), "
    "within the three months that the venue keeps trades; or look at the website's trade history"
)


@takes(
    *("run", "html", "logs", "environment", "config_file", "offline", "as_json"),
    environment="Whose log_dir to read.",
    as_json="Print the facts as JSON.",
)
def report(options: Options) -> int:
    """Write the incident report of a run as Markdown: what happened, to what, what it cost.

    The --correlation-id of a run of several accounts tells each of them, the worst first.
    Needs no key. If the key of the run is set, it asks the venue for profit and fees, too; else
    the report says why they are missing. Exit codes: 0 written, 1 there is no such run, 2 usage.

    Example: liqctl report liq_20260102_103000_abc123 --html > incident.html
    """
    paths = [find_trail(options, log) for log in (options.logs or (None,))]

    def read() -> int:
        until = time.monotonic() + READING_MAX_S

        def gather(run: str) -> Incident | None:
            incident = gather_incident(
                paths, run, config=options.config_file, is_offline=options.offline, until=until
            )
            if incident is not None and not incident.audit.is_intact:
                out.error(
                    f"liqctl: the record of run {run} is not whole, see the report's proof: "
                    + "; ".join(incident.audit.problems)
                )
            return incident

        incident = gather(options.run)
        if incident is not None:
            html = options.html
            answer(dump(incident) if options.as_json else render_incident(incident, html=html))
            return ExitCode.DONE
        runs = find_accounts_runs(paths, options.run)
        if not runs:
            return fail_unknown_run(paths, options.run, as_json=options.as_json)
        if options.html and not options.as_json:
            return fail(
                f"{options.run!r} names the runs of {len(runs)} accounts, and a page is about "
                f"one: give {', '.join(runs)}, or leave out --html",
                as_json=False,
            )
        incidents = [each for each in map(gather, runs) if each is not None]
        if options.as_json:
            reports = {"schema": REPORTS_SCHEMA, "correlation_id": options.run}
            answer(dump(reports | {"reports": incidents}))
            return ExitCode.DONE
        from liqctl.desk.report import render_all

        answer(render_all(options.run, incidents))
        return ExitCode.DONE

    return reading(paths[0], read, as_json=options.as_json)


def gather_incident(
    paths: Sequence[Path],
    correlation_id: str,
    *,
    config: Path | None,
    is_offline: bool,
    until: float | None = None,
) -> Incident | None:
    """Return what the trail, and the venue unless `is_offline`, tell of a run; None if nothing.

    The venue is asked `until` a moment of `time.monotonic`, or for 15 s.
    """
    run = read_run(paths, correlation_id)
    if not run.records:
        return None
    first = run.records[0]
    orders = closing_orders(fold_run(run.records))
    return make_incident(
        run.records,
        chain=run.chain,
        later=read_later_runs(paths, after=first, correlation_id=correlation_id),
        reading=_read_trades(
            run.records,
            orders,
            config=config,
            is_offline=is_offline,
            until=time.monotonic() + READING_MAX_S if until is None else until,
        ),
    )


def render_incident(incident: Incident, *, html: bool) -> str:
    """Return the report as a page or as Markdown."""
    from liqctl.desk.report import render_markdown, render_page

    return render_page(incident) if html else render_markdown(incident)


def _read_trades(
    records: Sequence[TrailRecord],
    orders: Sequence[ClosingOrder],
    *,
    config: Path | None,
    is_offline: bool,
    until: float,
) -> TradeReading:
    """Return what the venue told, or why it was not asked; never raises for what the venue does."""
    start = next(filter(is_start, records), None)
    if start is None:
        return TradeReading(why_not="no run began in these records")
    if not orders:
        return TradeReading(why_not="the run sent no closing order")
    if is_offline:
        return TradeReading(why_not="--offline was given", how="run the command without --offline")
    try:
        if start.environment not in set(Environment):
            raise ValueError("the trail names no environment that liqctl knows")  # noqa: TRY301
        settings = settings_of(start.environment, config)
        if start.account is not None:
            if start.account not in settings.accounts:
                raise ValueError(f"they name no account {start.account}")  # noqa: TRY301
            settings = settings.of(start.account)
    except (ConfigurationError, UsageError, ValueError) as error:
        why = str(error).replace("\n", "; ")
        return TradeReading(why_not=f"there are no usable settings for it: {why}", how=_AGAIN)
    if settings.is_embedded:
        return TradeReading(
            why_not="the simulated venue ended with its run",
            how="serve one that stays with `liqctl simulator serve` and name its base_url",
        )
    try:
        with open_account(settings) as account:
            url, key = start.details.get("base_url"), start.details.get("key_fingerprint")
            why = ""
            if isinstance(url, str) and url != account.base_url:
                why = f"the settings lead to {account.base_url}, which is not where the run was"
            elif isinstance(key, str) and key != account.key_fingerprint:
                why = f"the key that is set ({account.key_fingerprint}) is not the run's"
            if why:
                return TradeReading(why_not=why, how=_AGAIN)
            told = [record.details.get("margin") for record in reversed(records)]
            # The kind of account that the run's end names.
            named = next((margin for each in told for margin in Margin if margin == each), None)
            margin = named or settings.liquidation.margin or Margin.STANDARD
            left_s = until - time.monotonic()
            if left_s <= 0:
                how = f"liqctl report {start.correlation_id}"
                return TradeReading(why_not="other accounts used up the time for it", how=how)
            return asyncio.run(_TradeReader(account, margin, left_s).read(orders))
    except CredentialsError as error:
        why = str(error).replace("\n", "; ")
        return TradeReading(why_not=f"no key is at hand: {why}", how=_AGAIN)


@dataclass(slots=True)
class _TradeReader:
    """Asks a few orders' trades at a time, until the venue or a limit says stop."""

    account: Account
    margin: Margin
    left_s: float
    trades: "dict[str, tuple[Trade, ...]]" = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None
    refusal: VenueAnswer | None = None

    async def read(self, orders: Sequence[ClosingOrder]) -> TradeReading:
        """Return the trades of the orders, or why some or all cannot be had."""
        from liqctl.venue.exchange import BinanceExchange

        history, room = BinanceExchange(self.account.transport), asyncio.Semaphore(_AT_A_TIME)
        some = orders[:_ORDERS_MAX]
        try:
            async with asyncio.timeout(self.left_s):
                await asyncio.gather(*(self._ask(history, room, order) for order in some))
                if self.refusal is not None and self.refusal.code == TIMESTAMP:
                    await self.account.exchange.send(
                        requests.clock(product_of(orders[0].symbol)), timeout_s=_CALL_MAX_S
                    )
                    self.unread.clear()
                    self.refusal = None
                    await asyncio.gather(*(self._ask(history, room, order) for order in some))
        except VenueError as error:  # of the clock
            self.refusal = error.answer
        except TimeoutError:
            self.stopped = self.stopped or f"{self.left_s:.0f} s were over"
        finally:
            await self.account.exchange.close()
        for order in orders:
            if order.client_order_id not in self.trades:
                why = self.stopped or f"more than {_ORDERS_MAX} orders"
                self.unread.setdefault(order.client_order_id, f"not asked: {why}")
        if not self.trades and self.refusal is not None:
            return TradeReading(why_not=f"the venue said: {self.refusal.describe()}", how=_AGAIN)
        return TradeReading(trades=self.trades, unread=self.unread)

    async def _ask(
        self, history: "BinanceExchange", room: asyncio.Semaphore, order: ClosingOrder
    ) -> None:
        """Ask for one order's trades, unless it told them before."""
        name = order.client_order_id
        if name in self.trades:
            return
        async with room:
            if self.account.exchange.usage.weight_1m > _WEIGHT_MAX:
                self.stopped = (
                    "half of the minute's request weight is used up, try again in a minute"
                )
            if self.stopped is not None:
                return
            try:
                order_id = order.order_id or await self._order_id_of(order)
                found: tuple[Trade, ...] = ()  # an order that never arrived traded nothing
                if order_id:
                    found = await history.fetch_trades(
                        order.symbol,
                        order_id,
                        sent_at_ms=order.sent_at_ms,
                        timeout_s=_CALL_MAX_S,
                        product=product_of(order.symbol),
                        margin=self.margin,
                    )
                self.trades[name] = found
            except VenueError as error:
                answer = error.answer
                self.unread[name] = answer.describe()
                self.refusal = self.refusal or answer
                if answer.kind in _END_ALL or answer.is_rate_limit:
                    self.stopped = f"the venue said: {answer.describe()}"

    async def _order_id_of(self, order: ClosingOrder) -> str | None:
        """Return the venue's id of an order whose answer was lost; None if it never arrived."""
        try:
            asked = requests.order_of(product_of(order.symbol), order.symbol, order.client_order_id)
            found = await self.account.exchange.send(
                replace(asked, margin=self.margin), timeout_s=_CALL_MAX_S
            )
        except VenueError as error:
            if error.answer.kind is AnswerKind.DONE:
                return None
            raise
        return found.order_id
