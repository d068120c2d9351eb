"""Asks the venue what a run's orders traded at, for its report: bounded in time, weight and number.

Only with the key that the run used, on the venue that it used: order ids mean nothing elsewhere.
The settings and the key come from where they always do, never from the trail.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from liqctl.desk.money import ClosingOrder, TradeReading
from liqctl.kernel import requests
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.errors import ConfigurationError, CredentialsError, UsageError, VenueError
from liqctl.kernel.states import Environment
from liqctl.trail.fold import is_start
from liqctl.trail.record import TrailRecord

if TYPE_CHECKING:
    from liqctl.cli.wiring import Account
    from liqctl.kernel.ports import TradeHistory
    from liqctl.kernel.values import Trade
    from liqctl.settings.values import Settings

READING_MAX_S: Final = 15.0
_CALL_MAX_S: Final = 5.0
_AT_A_TIME: Final = 4
_ORDERS_MAX: Final = 400
_WEIGHT_MAX: Final = 1200
"""Half of what an address has a minute: a liquidation may need the other half at any moment."""

_CLOCK_OFF: Final = -1021
_END_ALL: Final = {AnswerKind.RUN_FATAL, AnswerKind.PAUSE}

_AGAIN: Final = (
    "run the same command where the run's key is set (LIQCTL_API_KEY and LIQCTL_API_SECRET), "
    "within the three months that the venue keeps trades; or look at the website's trade history"
)


def read_trades(
    records: Sequence[TrailRecord],
    orders: Sequence[ClosingOrder],
    *,
    config: Path | None,
    is_offline: bool,
) -> TradeReading:
    """Return what the venue told, or why it was not asked; never raises for what the venue does."""
    from liqctl.settings.sources import load_settings

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
        settings = load_settings(
            environment=start.environment, config_file=config, flags={}, environ=os.environ
        )
    except (ConfigurationError, UsageError, ValueError) as error:
        why = str(error).replace("\n", "; ")
        return TradeReading(why_not=f"there are no usable settings for it: {why}", how=_AGAIN)
    return _ask(settings, start, orders)


def _ask(settings: "Settings", start: TrailRecord, orders: Sequence[ClosingOrder]) -> TradeReading:
    from liqctl.cli.wiring import open_account

    if settings.is_embedded:
        return TradeReading(
            why_not="the simulated venue ended with its run",
            how="serve one that stays with `liqctl simulator serve` and name its base_url",
        )
    try:
        with open_account(settings) as account:
            why_not = _why_another(account, start)
            if why_not is not None:
                return TradeReading(why_not=why_not, how=_AGAIN)
            return asyncio.run(_read(account, orders))
    except CredentialsError as error:
        why = str(error).replace("\n", "; ")
        return TradeReading(why_not=f"no key is at hand: {why}", how=_AGAIN)


def _why_another(account: "Account", start: TrailRecord) -> str | None:
    """Return why this is not the account of the run, None when nothing says so."""
    base_url, fingerprint = start.details.get("base_url"), start.details.get("key_fingerprint")
    if isinstance(base_url, str) and base_url != account.base_url:
        return f"the settings lead to {account.base_url}, which is not where the run was"
    if isinstance(fingerprint, str) and fingerprint != account.key_fingerprint:
        return f"the key that is set ({account.key_fingerprint}) is not the run's"
    return None


async def _read(account: "Account", orders: Sequence[ClosingOrder]) -> TradeReading:
    from liqctl.venue.exchange import BinanceExchange

    asking = _Asking(account=account, history=BinanceExchange(account.transport))
    try:
        async with asyncio.timeout(READING_MAX_S):
            await asking.all(orders[:_ORDERS_MAX])
            if asking.refusal is not None and asking.refusal.code == _CLOCK_OFF:
                await account.exchange.send(requests.CLOCK, timeout_s=_CALL_MAX_S)
                await asking.all_again()
    except VenueError as error:  # of the clock
        asking.refusal = error.answer
    except TimeoutError:
        asking.stopped = asking.stopped or f"{READING_MAX_S:.0f} s were over"
    finally:
        await account.exchange.close()
    for order in orders:
        if order.client_order_id not in asking.trades:
            why = asking.stopped or f"more than {_ORDERS_MAX} orders"
            asking.unread.setdefault(order.client_order_id, f"not asked: {why}")
    if not asking.trades and asking.refusal is not None:
        return TradeReading(why_not=f"the venue said: {asking.refusal.describe()}", how=_AGAIN)
    return TradeReading(trades=asking.trades, unread=asking.unread)


@dataclass(slots=True, kw_only=True)
class _Asking:
    """The questions of one report, a few at a time, until the venue or a limit says stop."""

    account: "Account"
    history: "TradeHistory"
    trades: "dict[str, tuple[Trade, ...]]" = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None
    refusal: VenueAnswer | None = None
    orders: Sequence[ClosingOrder] = ()
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_A_TIME))

    async def all(self, orders: Sequence[ClosingOrder]) -> None:
        """Ask for the trades of every order that has not been told of."""
        self.orders = orders
        left = [order for order in orders if order.client_order_id not in self.trades]
        await asyncio.gather(*(self.one(order) for order in left))

    async def all_again(self) -> None:
        """Ask once more for what was refused."""
        self.unread.clear()
        self.refusal = None
        await self.all(self.orders)

    async def one(self, order: ClosingOrder) -> None:
        """Ask for one order's trades."""
        async with self._room:
            if self.account.exchange.usage.weight_1m > _WEIGHT_MAX:
                self.stopped = (
                    "half of the minute's request weight is used up, try again in a minute"
                )
            if self.stopped is not None:
                return
            try:
                order_id = order.order_id or await self._order_id_of(order)
                self.trades[order.client_order_id] = (
                    await self.history.fetch_trades(
                        order.symbol, order_id, sent_at_ms=order.sent_at_ms, timeout_s=_CALL_MAX_S
                    )
                    if order_id
                    else ()
                )
            except VenueError as error:
                answer = error.answer
                self.unread[order.client_order_id] = answer.describe()
                self.refusal = self.refusal or answer
                if answer.kind in _END_ALL or answer.is_rate_limit:
                    self.stopped = f"the venue said: {answer.describe()}"

    async def _order_id_of(self, order: ClosingOrder) -> str | None:
        """Return the venue's id of an order whose answer was lost; None if it never arrived."""
        try:
            found = await self.account.exchange.send(
                requests.order_of(order.symbol, order.client_order_id), timeout_s=_CALL_MAX_S
            )
        except VenueError as error:
            if error.answer.kind is AnswerKind.DONE:
                return None
            raise
        return found.order_id
