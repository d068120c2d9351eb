"""Asks the venue everything that would stop a liquidation, while there is time to mend it.

Nothing is changed: the one order that is sent is sent to the venue's test endpoint, which never
reaches the market. Every question is bounded by itself; one without an answer stays open and is
told, it does not hide the others. The rights of a key are known to Binance's spot host only and
exist for production only; elsewhere that question is refused before anything is sent.
"""

import asyncio
import contextlib
import statistics
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from liqctl.kernel import requests
from liqctl.kernel.answers import BANNED, VenueAnswer, not_sent, unreadable
from liqctl.kernel.errors import Secret, VenueError
from liqctl.kernel.limits import Address, Limits
from liqctl.kernel.machine import Exchange, Transport
from liqctl.kernel.policy import LiquidationConfig, product_of
from liqctl.kernel.reading import AccountReaders
from liqctl.kernel.requests import Endpoint, SubAccount
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import (
    CloseOrder,
    Leg,
    MarketRules,
    OrderType,
    PositionMode,
    PositionSide,
    Side,
    Snapshot,
    make_client_order_id,
    merged,
)
from liqctl.kernel.witness import Master
from liqctl.run import SystemClock
from liqctl.run.driver import Driver
from liqctl.venue import wire
from liqctl.venue.stream import StreamDoor, StreamError

T = TypeVar("T")

PINGS: Final = 5
PINGS_MAX_S: Final = 5.0
CALL_MAX_S: Final = 2.5
"""How long one question is waited for."""

ASK_MAX_S: Final = PINGS_MAX_S + 4 * CALL_MAX_S
"""How long all of it may take: the pings, the clock, the symbols, the account, the test order."""

SURVEY_MAX_S: Final = ASK_MAX_S
"""How long the master's key is asked, beside all that."""

_USUAL_SYMBOL: Final = "BTCUSDT"
_USUAL_QUANTITY: Final = Decimal("0.001")
_UNKNOWN_MODE: Final = "nothing is open, and the position mode, which the order depends on, unknown"
_INTERVAL_S: Final = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


class Question(StrEnum):
    """What is asked of the venue."""

    REACHABLE = "reachable"
    CLOCK = "clock"
    SYMBOLS = "symbols"
    ACCOUNT = "account"
    MODE = "position mode"
    RIGHTS = "key rights"
    LIMITS = "limits"
    ORDER = "test order"
    MARGIN = "margin"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRights:
    """What a key may do; a switch that sits unused wants futures, a bound IP and no withdrawals.

    None is what the venue did not tell: nothing is claimed of it.
    """

    futures: bool
    withdrawals: bool | None
    ip_restricted: bool | None


@dataclass(slots=True, kw_only=True)
class VenueFacts:
    """Answers to the questions of a preflight; None where there was none.

    `unread` names the products that could not be read in full, and why; `is_brief`: orders were not
    asked for, because the address has too little request weight for its accounts. `alias` is what
    the venue calls the account, the same whatever key it is asked with.
    `streams` holds of each product why its user data stream could not be connected, None where it
    was: the listen key was asked for, which prolongs it, and is never deleted.
    `refusals` holds why a question stayed open. `round_trip_s` is the median of `pings` pings,
    `clock_ahead_s` our clock less the venue's. `rehearsed` is the symbol on which the venue
    accepted a test of a reducing order; `not_trading` holds symbols with a position or order that
    it does not trade now, or does not list. `weight_used_by_others` is the request weight of this
    address in the minute, before ours; -1 when the venue did not say.
    """

    refusals: dict[Question, VenueAnswer] = field(default_factory=dict)
    round_trip_s: float | None = None
    pings: int = 0
    clock_ahead_s: float | None = None
    has_key: bool = True
    snapshot: Snapshot | None = None
    mode: PositionMode | None = None
    products: tuple[Product, ...] = ()
    margin: Margin = Margin.STANDARD
    is_kind_known: bool = True
    unread: dict[Product, VenueAnswer] = field(default_factory=dict)
    is_brief: bool = False
    alias: str | None = None
    rights: KeyRights | None = None
    streams: dict[Product, str | None] = field(default_factory=dict)
    rehearsed: str | None = None
    not_trading: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    weight_used_by_others: int = -1
    asked_s: float = 0.0
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which of a master's sub-accounts no account of the settings is.

    `uncovered` tells how many positions each has, None where that could not be read; `listed` is
    how many sub-accounts there are, `problem` why not all of this is known.
    """

    uncovered: tuple[tuple[SubAccount, int | None], ...] = ()
    listed: int = 0
    problem: str | None = None


async def survey_sub_accounts(
    exchange: Exchange, accounts: Mapping[Secret, str | None], *, own: Secret
) -> Coverage:
    """Return what the master's key tells of sub-accounts, and close its connection.

    `accounts` are the names by their keys, `own` is the master's key.
    """
    driver = Driver.starting_now(exchange, SURVEY_MAX_S, SystemClock())
    master = Master(driver.machine, accounts, own=own)
    try:
        uncovered = await driver.perform(master.survey())
    finally:
        driver.close()
        await exchange.close()
    return Coverage(uncovered=tuple(uncovered), listed=len(master.listed), problem=master.problem)


@dataclass(eq=False)
class Preflight:
    """One round of questions; the request weight is that of the `address`.

    Streams are tried through the `door`, if there is one.
    """

    exchange: Exchange
    transport: Transport
    address: Address | None = None
    door: StreamDoor | None = None
    _facts: VenueFacts = field(default_factory=VenueFacts, init=False)

    async def ask(self, policy: LiquidationConfig, *, has_key: bool) -> VenueFacts:
        """Return what the venue told, and close the connections.

        Without a key only what everybody may ask is asked. A ban ends the questions: asking on
        makes it longer.
        """
        facts, loop = self._facts, asyncio.get_running_loop()
        began_at = loop.time()
        facts.has_key = has_key
        try:
            await self._ask(policy)
            facts.asked_s = loop.time() - began_at
            facts.requests = self.exchange.usage.requests
            return facts
        finally:
            await self.exchange.close()
            if self.door is not None:
                await self.door.close()

    async def _ask(self, policy: LiquidationConfig) -> None:
        facts = self._facts
        products = facts.products = tuple(policy.by_product)
        pings = await self._try(
            Question.REACHABLE, measure_pings_s, self.transport, timeout_s=PINGS_MAX_S
        )
        if pings is None:
            return
        facts.round_trip_s, facts.pings = statistics.median(pings), len(pings)
        usage = self.exchange.usage
        if usage.weight_1m >= 0:
            facts.weight_used_by_others = max(usage.weight_1m - usage.requests, 0)
        facts.clock_ahead_s = await self._try(
            Question.CLOCK, self.exchange.send, requests.clock(products[0])
        )
        rules: dict[str, MarketRules] | None = {}
        for product in products:
            asked = requests.market_rules(product)
            told = await self._try(Question.SYMBOLS, self.exchange.send, asked)
            if told is None:
                rules = None
                break
            rules |= told
        if not facts.has_key:
            return
        snapshot = await self._read(policy)
        if self.address and self.address.accounts > 1 and not self._ban():
            # Where it is refused, as in portfolio margin, nothing is said of it.
            with contextlib.suppress(VenueError):
                facts.alias = await self.exchange.send(requests.ALIAS, timeout_s=CALL_MAX_S)
        mode_of = replace(requests.position_mode(products[0]), margin=facts.margin)
        # In portfolio margin one stream tells of both products.
        streamed = products[:1] if facts.margin is Margin.PORTFOLIO else products
        mode, facts.rights, limits, *_ = await asyncio.gather(
            self._try(Question.MODE, self.exchange.send, mode_of),
            self._try(Question.RIGHTS, fetch_key_rights, self.transport),
            self._try(Question.LIMITS, fetch_limits, self.transport),
            *(self._connect(each) for each in streamed if self.door and not self._ban()),
        )
        facts.snapshot, facts.mode, facts.limits = snapshot, mode, limits or Limits()
        order = _rehearsal(snapshot, mode, rules or {})
        if facts.margin is Margin.PORTFOLIO:
            order = None  # It has no test orders; USDS-M's endpoint refuses its key.
        if order is None:
            self._facts.refusals[Question.ORDER] = not_sent(_UNKNOWN_MODE)
        else:
            await self._try(Question.ORDER, rehearse_order, self.transport, order)
            if Question.ORDER not in self._facts.refusals:
                facts.rehearsed = order.leg.symbol
        if rules is not None and snapshot is not None:
            stuck = (s for s in snapshot.symbols if s not in rules or not _trades(rules[s]))
            facts.not_trading = tuple(sorted(stuck))

    async def _connect(self, product: Product) -> None:
        """Try the stream of one product; never raises."""
        assert self.door is not None  # noqa: S101 - the caller looked
        margin = self._facts.margin
        try:
            key = await self.exchange.send(
                requests.listen_key(product, margin, renews=False), timeout_s=CALL_MAX_S
            )
            frames = await asyncio.wait_for(
                self.door.open(product, margin, Secret(key)), CALL_MAX_S
            )
            await frames.close()
        except VenueError as error:
            self._facts.streams[product] = f"no listen key: {error.answer.describe()}"
        except StreamError as error:
            self._facts.streams[product] = str(error)
        except TimeoutError:
            self._facts.streams[product] = f"no connection within {CALL_MAX_S:g} s"
        else:
            self._facts.streams[product] = None

    async def _read(self, policy: LiquidationConfig) -> Snapshot | None:
        ban = self._ban()
        if ban is not None:
            self._facts.refusals[Question.ACCOUNT] = ban
            return None
        driver = Driver.starting_now(self.exchange, CALL_MAX_S, SystemClock(), self.address)
        desk = AccountReaders(driver.machine, policy)
        snapshots = await driver.perform(desk.read_all())
        self._facts.is_brief = any(each.is_brief for each in snapshots)
        for snapshot in snapshots:
            if snapshot.lists_failed:
                self._facts.unread[snapshot.product] = snapshot.errors[0]
                self._facts.refusals.setdefault(Question.ACCOUNT, snapshot.errors[0])
        shown = [each for each in snapshots if each.is_any_read]
        if shown and not desk.account.is_kind_known:
            until = driver.machine.now + CALL_MAX_S
            await driver.perform(desk.account.ask_kind(desk.gateway, until=until))
        self._facts.margin = desk.account.margin
        self._facts.is_kind_known = desk.account.is_kind_known
        return merged(shown) if shown else None

    def _ban(self) -> VenueAnswer | None:
        return next((a for a in self._facts.refusals.values() if a.status == BANNED), None)

    async def _try(
        self,
        question: Question,
        ask: Callable[..., Awaitable[T]],
        *what: object,
        timeout_s: float = CALL_MAX_S,
    ) -> T | None:
        ban = self._ban()
        if ban is not None:
            self._facts.refusals[question] = ban
            return None
        try:
            return await ask(*what, timeout_s=timeout_s)
        except VenueError as error:
            self._facts.refusals[question] = error.answer
        return None


async def measure_pings_s(transport: Transport, *, timeout_s: float) -> tuple[float, ...]:
    """Return the round trips of five pings on a warm connection; fewer where time runs out.

    The limit is for all of them together. Raises VenueError if not even one was answered.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    await transport.request(Endpoint.PING.value, {}, timeout_s=timeout_s)
    round_trips: list[float] = []
    for _ in range(PINGS):
        sent_at = loop.time()
        try:
            await transport.request(Endpoint.PING.value, {}, timeout_s=until - sent_at)
        except VenueError:
            if not round_trips:
                raise
            break
        round_trips.append(loop.time() - sent_at)
    return tuple(round_trips)


async def fetch_key_rights(transport: Transport, *, timeout_s: float) -> KeyRights:
    """Return what the key may do.

    Raises:
        VenueError: of kind REJECTED where the venue has no such question (not production).
    """
    row = await transport.request(Endpoint.API_RESTRICTIONS.value, {}, timeout_s=timeout_s)
    if not isinstance(row, dict) or not isinstance(row.get("enableFutures"), bool):
        raise VenueError(unreadable(200, "no rights of the key"))
    flags = {name: value for name, value in row.items() if isinstance(value, bool)}
    return KeyRights(
        futures=flags["enableFutures"],
        withdrawals=flags.get("enableWithdrawals"),
        ip_restricted=flags.get("ipRestrict"),
    )


async def fetch_limits(transport: Transport, *, timeout_s: float) -> Limits:
    """Return the account's limits: orders as the account has them, weight as exchangeInfo says."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    general = await transport.request(Endpoint.EXCHANGE_INFO.value, {}, timeout_s=timeout_s)
    own = await transport.request(Endpoint.ORDER_LIMITS.value, {}, timeout_s=until - loop.time())
    rows = general.get("rateLimits") if isinstance(general, dict) else None
    if not isinstance(rows, list) or not isinstance(own, list):
        raise VenueError(unreadable(200, "no limits"))
    found: dict[tuple[str, int], int] = {}
    for row in (*rows, *own):
        if not isinstance(row, dict):
            continue
        length, interval, limit = row.get("intervalNum"), row.get("interval"), row.get("limit")
        seconds = _INTERVAL_S.get(str(interval))
        if isinstance(length, int) and isinstance(limit, int) and seconds and limit > 0:
            found[str(row.get("rateLimitType")), length * seconds] = limit
    usual = Limits()
    return Limits(
        weight_1m=found.get(("REQUEST_WEIGHT", 60), usual.weight_1m),
        orders_10s=found.get(("ORDERS", 10), usual.orders_10s),
        orders_1m=found.get(("ORDERS", 60), usual.orders_1m),
    )


async def rehearse_order(transport: Transport, order: CloseOrder, *, timeout_s: float) -> None:
    """Let the venue check a close without placing it; returns when it would have been taken."""
    params = wire.close_order_params(order)
    wire.check_reducing(params)
    await transport.request(Endpoint.TEST_ORDER.value, params, timeout_s=timeout_s)


def _rehearsal(
    snapshot: Snapshot | None, mode: PositionMode | None, rules: Mapping[str, MarketRules]
) -> CloseOrder | None:
    """Return the order to test: a position's own close, else a small one.

    A resting order or a halted symbol gets a close refused that a run would send later: the worst
    position without them is taken. None where nothing is open and the position mode is unknown: the
    order would be a guess.
    """
    # The test endpoint is USDS-M's.
    listed = snapshot.positions.items if snapshot else ()
    positions = [position for position in listed if position.product is Product.USDM]
    if snapshot is not None and positions:
        busy = {order.symbol for order in snapshot.regular_orders.items}
        trading = [p for p in positions if p.symbol not in rules or _trades(rules[p.symbol])]
        free = [position for position in trading if position.symbol not in busy]
        worst = max(free or trading or positions, key=lambda position: position.notional)
        leg, side = worst.leg, worst.closing_side
        most = rules[worst.symbol].market_quantity_max if worst.symbol in rules else None
        quantity = worst.size if most is None else min(worst.size, most)
    elif mode is None:
        return None
    else:
        known = [each for each in rules.values() if product_of(each.symbol) is Product.USDM]
        symbols = [rules[_USUAL_SYMBOL]] if _USUAL_SYMBOL in rules else known
        usual = next(filter(_trades, symbols), None)
        symbol = usual.symbol if usual else _USUAL_SYMBOL
        hedged = mode is PositionMode.HEDGE
        leg = Leg(symbol=symbol, position_side=PositionSide.LONG if hedged else PositionSide.BOTH)
        side = Side.SELL
        quantity = (usual.quantity_min if usual else None) or _USUAL_QUANTITY
    return CloseOrder(
        leg=leg,
        side=side,
        quantity=quantity,
        client_order_id=make_client_order_id("preflight", 1, part_no=1),
        type=OrderType.MARKET,
        price=None,
        reduce_only=leg.position_side is PositionSide.BOTH,
    )


def _trades(rules: MarketRules) -> bool:
    return rules.status == "TRADING"
