"""Looking without touching: once, until flat is proven, or while an account is held flat.

An account is held until something is open again, or the time is over. Positions are read every few
seconds and order lists less often, at half of the address' request weight. Where streams are
listened to, their word wakes the watch, and looks without one are rare: what appears is then read
at once, for a tenth of the weight. Only a reading proves anything. A look that finds what no stream
told of ends the trust in them.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from liqctl.kernel import pacing, requests
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.costs import Allowance, look_weight, positions_weight
from liqctl.kernel.ledger import OrderRecord, first_seen
from liqctl.kernel.limits import LIMITS_BY_MARGIN, Address
from liqctl.kernel.machine import Exchange, Machine, WallClock
from liqctl.kernel.outcome import report_order, report_position, residual_of
from liqctl.kernel.plan import Memory, Plan, make_plan
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import Verdict, is_protective, verify
from liqctl.kernel.reading import AccountReaders, ask_unknown_symbols, asks_executions
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import FailureCause, LiquidationState, Margin, Product
from liqctl.kernel.values import (
    CLIENT_ORDER_ID_PREFIX,
    OpenOrder,
    Rows,
    Snapshot,
    StreamEvent,
    merged,
)
from liqctl.kernel.words import PREFIX_LENGTH, explain_contradiction, explain_refusal
from liqctl.run.driver import Driver

_NOTHING: Final = LiquidationConfig(
    emergency_liquidation=False, close_positions=False, cancel_orders=False
)
"""What a rehearsal does about anything."""

_FUTILE: Final = frozenset({AnswerKind.RUN_FATAL, AnswerKind.PAUSE})
"""Asking on after these is what gets a key or an address banned."""

_LAST_LOOK_SHARE: Final = 0.5
_BOTH_SOURCES: Final = 2
"""A look of a hold asks for the positions twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One reading and what follows from it.

    Positions are those of both sources. `refusal` is why nothing, or not everything, could be read;
    `silent` names the sources of positions that did not answer. `plan` is what a liquidation would
    send first. `unknown_symbols` are symbols in scope that the venue does not list, None where it
    did not say. `read` are the products whose positions were read. `is_kind_known`: whether
    `margin` is what the venue said, or what was seen proves.
    `unread_beside` was not answered and does not count against flat.
    `settled_s` is how long flat was watched when it is proven, else 0. `is_brief`: only positions
    were asked for, because the address has too little request weight for its accounts.
    """

    snapshot: Snapshot
    verdict: Verdict
    plan: Plan
    refusal: VenueAnswer | None
    silent: tuple[str, ...] = ()
    unknown_symbols: tuple[str, ...] | None = ()
    products: tuple[Product, ...] = ()
    read: tuple[Product, ...] = ()
    margin: Margin = Margin.STANDARD
    is_kind_known: bool = True
    unread_beside: tuple[str, ...] = ()
    is_proven: bool = False
    settled_s: float = 0.0
    is_brief: bool = False

    @property
    def contradictions(self) -> tuple[OpenOrder, ...]:
        """Orders that can only reduce, on legs that read flat."""
        return self.verdict.evidence if self.snapshot.positions.complete else ()

    @property
    def shows_nothing(self) -> bool:
        """Whether nothing in scope is listed and everything was read, positions by one source."""
        is_answered = self.is_kind_known and self.unknown_symbols is not None
        return is_answered and self.verdict.is_flat

    @property
    def is_flat(self) -> bool:
        """Whether this reading shows the account flat: one silent source leaves it unknown."""
        return self.is_proven or (self.shows_nothing and not self.silent)

    @property
    def is_doubtful(self) -> bool:
        """Whether nothing is listed and that proves nothing."""
        seen = self.verdict.positions or self.verdict.orders
        return not (seen or self.is_flat)

    def describe_open(self) -> list[str]:
        """Return what is open, in words: whose it may be stands in an order's id."""
        positions = [f"a position on {p.symbol}" for p in self.verdict.positions]
        ids = [order.client_order_id or order.order_id for order in self.verdict.orders]
        return [*positions, *(f"an order {each[:PREFIX_LENGTH]}…" for each in ids)]

    def why_unreadable(self) -> str | None:
        """Return why the account, or part of it, could not be read."""
        if self.refusal is not None:
            if self.refusal.kind in _FUTILE:
                return explain_refusal(self.refusal)
            return self.refusal.describe()
        if not self.is_doubtful:
            return None
        if not self.is_kind_known:
            return (
                "nothing is listed, and whether this account is in portfolio margin, where "
                "positions do not show here, was not answered"
            )
        if self.unknown_symbols is None:
            return "nothing is listed, and the venue did not say whether it knows every symbol"
        if self.silent:
            return (
                f"nothing is listed, but {' and '.join(self.silent)} did not answer: one "
                "source alone does not show that the account is flat"
            )
        return None


async def inspect_account(
    exchange: Exchange,
    policy: LiquidationConfig,
    *,
    wall_clock: WallClock,
    before: Inspection | None = None,
    timeout_s: float | None = None,
    address: Address | None = None,
    is_brief: bool | None = None,
) -> Inspection:
    """Return one reading of the account; sends no write.

    What does not change and was answered `before` is not asked for again. It is taken within
    `timeout_s`, the policy's timeout when None. Where the `address` has more accounts than its
    weight is enough for, or it `is_brief`, order lists are not read.
    """
    driver = Driver.starting_now(exchange, timeout_s or policy.timeout_seconds, wall_clock, address)
    has_executions = asks_executions(exchange, policy)
    return await driver.perform(
        _inspect(driver.machine, policy, before, has_executions=has_executions, is_brief=is_brief)
    )


async def inspect_settled(
    exchange: Exchange,
    policy: LiquidationConfig,
    *,
    wall_clock: WallClock,
    settle_s: float,
    address: Address | None = None,
) -> Inspection:
    """Return the last of several readings over `settle_s`; flat is proven if all show nothing.

    Ends at the first reading that shows something. The last one begins at least `settle_s` after
    the first, and is confirmed by the second source; where one of the two is silent, three readings
    of the other are needed. A venue that does not answer is waited for as long as one reading may
    take, then it is not proven.
    """
    now = await inspect_account(exchange, policy, wall_clock=wall_clock, address=address)
    began_at = now.snapshot.started_at
    wished = math.ceil(settle_s / pacing.INSPECTIONS_APART_S) + 1
    # A millisecond more: rounding down would cost one more reading at the end.
    gap_s = (
        settle_s / (min(max(wished, pacing.INSPECTIONS_MIN), pacing.INSPECTIONS_MAX) - 1) + 0.001
    )
    give_up_at = began_at + settle_s + policy.timeout_seconds
    loop = asyncio.get_running_loop()
    empty = 0
    while True:
        if now.verdict.positions or now.verdict.orders:
            return now
        if now.refusal is not None and now.refusal.kind in _FUTILE:
            return now
        empty += now.shows_nothing
        watched_s = now.snapshot.started_at - began_at
        is_over = watched_s >= settle_s and empty >= pacing.INSPECTIONS_MIN
        if is_over and now.shows_nothing:
            return replace(now, is_proven=True, settled_s=watched_s)
        next_at = max(now.snapshot.started_at + gap_s, loop.time())
        if next_at >= give_up_at:
            return now
        await asyncio.sleep(next_at - loop.time())
        now = await inspect_account(
            exchange, policy, wall_clock=wall_clock, before=now, address=address
        )


async def _inspect(
    machine: Machine,
    policy: LiquidationConfig,
    before: Inspection | None,
    *,
    has_executions: bool,
    is_brief: bool | None = None,
) -> Inspection:
    if before is not None and before.is_kind_known:
        policy = replace(policy, margin=before.margin)
    desk = AccountReaders(machine, policy)
    for reader in desk.readers.values():
        reader.gateway.end_writes()
    asks_listing = has_executions and not is_brief
    listing = machine.spawn(desk.gateway.ask(requests.EXECUTIONS)) if asks_listing else None
    snapshots = await desk.read_all(is_brief=is_brief)
    account = desk.account
    if any(each.symbols for each in snapshots):
        account.know()
    elif not all(each.lists_failed for each in snapshots):
        if not account.is_kind_known:
            wait_s = pacing.MARGIN_ASKED_MAX * desk.gateway.call_max_s
            await account.ask_kind(desk.gateway, until=machine.now + wait_s)
        if account.margin is not snapshots[0].margin:
            snapshots = await desk.read_all(is_brief=is_brief)
    unknown_symbols = before.unknown_symbols if before else None
    if unknown_symbols is None:
        unknown_symbols = await _ask_unknown_symbols(desk, snapshots)
    unread_beside: tuple[str, ...] = ()
    executions: tuple[OpenOrder, ...] = ()
    if listing is not None:
        # Nothing waits for the spot host longer than for a last look whether it has answered.
        await machine.wait([listing], until=machine.now + desk.gateway.rtt_s)
        machine.end(listing)
        if isinstance(listing.result, Rows):
            executions = tuple(o for o in listing.result.items if policy.covers(o.symbol))
        else:
            unread_beside = (requests.EXECUTIONS.spec.source,)
    snapshot = merged(snapshots, executions)
    legs = {
        position.leg: first_seen(position, snapshot.started_at)
        for position in snapshot.positions.items
    }
    memory = Memory(legs=legs, orders={}, rules={}, marks={}, now=snapshot.finished_at)
    errors = snapshot.errors
    return Inspection(
        snapshot=snapshot,
        verdict=verify(snapshot, policy),
        plan=make_plan(snapshot, memory, policy),
        refusal=errors[0] if errors else None,
        silent=tuple(sorted(snapshot.positions.silent)),
        unknown_symbols=unknown_symbols,
        products=tuple(desk.readers),
        read=tuple(each.product for each in snapshots if each.positions.complete),
        margin=account.margin,
        is_kind_known=account.is_kind_known,
        unread_beside=unread_beside,
        is_brief=any(each.is_brief for each in snapshots),
    )


async def _ask_unknown_symbols(
    desk: AccountReaders, snapshots: Sequence[Snapshot]
) -> tuple[str, ...] | None:
    unknown: tuple[str, ...] = ()
    for snapshot in snapshots:
        seen = snapshot.symbols
        symbols = desk.policies[snapshot.product].symbols
        if unseen := [symbol for symbol in symbols if symbol not in seen]:
            answer = await ask_unknown_symbols(desk.readers[snapshot.product], unseen)
            if answer is None:
                return None
            unknown += answer
    return unknown


def dry_run_result(
    inspection: Inspection,
    policy: LiquidationConfig,
    *,
    correlation_id: str,
    environment: str,
    started_at: datetime,
    finished_at: datetime,
    requests: int,
) -> LiquidationResult:
    """Return the result of a rehearsal: everything found, nothing sent."""
    snapshot = inspection.snapshot
    state, cause, message = LiquidationState.SKIPPED, FailureCause.NONE, inspection.why_unreadable()
    if inspection.unknown_symbols:
        state, cause = LiquidationState.FAILED, FailureCause.USAGE
        message = f"the venue does not know {', '.join(inspection.unknown_symbols)}"
    elif message is not None:
        state = LiquidationState.FAILED
        if inspection.refusal and inspection.refusal.kind is AnswerKind.RUN_FATAL:
            cause = FailureCause.CREDENTIALS
    positions = [p for p in snapshot.positions.items if policy.covers(p.symbol)]
    by_leg = {position.leg: position for position in positions}
    orders = [
        OrderRecord(order=order, seen_at=0.0, protective=is_protective(order, by_leg))
        for order in snapshot.orders
        if policy.covers(order.symbol)
    ]
    return LiquidationResult(
        correlation_id=correlation_id,
        environment=environment,
        state=state,
        error_message=message,
        dry_run=True,
        verified_flat=inspection.is_flat and policy.emergency_liquidation,
        started_at=started_at,
        finished_at=finished_at,
        duration_seconds=(finished_at - started_at).total_seconds(),
        timeout_seconds=policy.timeout_seconds,
        positions=tuple(
            report_position(first_seen(position, 0.0), _NOTHING, {})
            for position in sorted(positions, key=lambda p: (-p.notional, p.leg))
        ),
        orders=tuple(report_order(record, _NOTHING, leg_open=False) for record in orders),
        residual=residual_of([inspection.verdict] if snapshot.is_any_read else []),
        products=inspection.products,
        margin=inspection.margin,
        requests=requests,
        cause=cause,
        unread=inspection.silent + inspection.unread_beside,
        never_read=snapshot.lists_missing,
        notes=tuple(map(explain_contradiction, inspection.contradictions)),
    )


class Wakes:
    """What streams say while an account is held flat, and whether they can be relied on."""

    def __init__(
        self, policy: LiquidationConfig, listens: Callable[[], bool], *, now: float
    ) -> None:
        """Hear nothing yet; `listens` tells whether every stream is connected."""
        self.event = asyncio.Event()
        self.is_missed = False
        """Whether something appeared that was not told."""
        self.names_orders = False
        """Whether order lists have to be read to see what was told."""
        self._covers = policy.covers
        self._listens = listens
        self._brief_w = positions_weight(policy) * _BOTH_SOURCES
        self._whole_w = look_weight(policy)
        limit = LIMITS_BY_MARGIN[policy.margin or Margin.STANDARD].weight_1m
        self._allowance = Allowance(limit, now=now)
        self._used = 0

    @property
    def is_heard(self) -> bool:
        """Whether what appears would be told."""
        return self._listens() and not self.is_missed

    def hear(self, event: StreamEvent) -> None:
        """Take an event: whether it may be of something that is open now."""
        covers = self._covers
        is_ours = event.client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)
        if event.is_new_order and covers(event.symbol) and not is_ours:
            self.look_again()
        elif any(amount and covers(leg.symbol) for leg, amount in event.amounts):
            self.event.set()

    def look_again(self) -> None:
        """Take note that something may have happened that was not told."""
        self.names_orders = True
        self.event.set()

    def wait_s(self, now: float) -> float:
        """Return how long a look has to wait that only follows a word: bots may never stop."""
        self._allowance.note(self._used, now=now)
        return self._allowance.wait_s(self._whole_w if self.names_orders else self._brief_w)

    def note_look(self, *, is_brief: bool, is_told: bool) -> None:
        """Hear anew, and pay for a look that follows a word."""
        if is_told or not (is_brief and self.names_orders):
            self.names_orders = False
            self.event.clear()
        if is_told:
            self._used += self._brief_w if is_brief else self._whole_w


async def look_until_open(
    exchange: Exchange,
    policy: LiquidationConfig,
    *,
    until: float,
    stop: asyncio.Event,
    wall_clock: WallClock,
    wakes: Wakes | None = None,
) -> Inspection | None:
    """Return the first look that shows something open; None where none does, or told to stop.

    `until` is a moment of the loop's clock. A look that fails shows nothing, and the next one comes
    as if it had been answered: the venue's limits bind here too. The last one, at `until`, is also
    returned where it leaves open whether the account is flat.
    """
    loop = asyncio.get_running_loop()
    # Nothing is told where nobody listens.
    wakes = wakes or Wakes(policy, lambda: False, now=loop.time())
    before: Inspection | None = None
    listed_at = loop.time()
    again_at, is_again_whole = float("inf"), False
    is_read = True
    while not stop.is_set():
        is_heard = is_read and wakes.is_heard
        look_s = pacing.HOLD_HEARD_LOOK_S if is_heard else pacing.HOLD_LOOK_S
        due_at = min(loop.time() + look_s, until, again_at)
        is_told = await _rest(due_at, stop, wakes)
        is_over = loop.time() >= until
        if stop.is_set():
            break
        is_again = loop.time() >= again_at
        # Orders that are told cost a whole reading: one that the allowance has no room for waits.
        names_orders = (is_told and wakes.names_orders) or (is_again and is_again_whole)
        lists_s = pacing.HOLD_HEARD_LISTS_S if is_heard else pacing.HOLD_LISTS_S
        # The last look is a whole one, and leaves half of the time limit to what it asks for.
        is_brief = not (names_orders or is_over or loop.time() >= listed_at + lists_s)
        timeout_s = policy.timeout_seconds * (_LAST_LOOK_SHARE if is_over else 1.0)
        if not is_brief:
            listed_at = loop.time()
        if is_told or is_again:
            # Readings lag: what was told may be missing from the first one.
            again_at = loop.time() + pacing.LAG_GRACE_S if is_told else float("inf")
            is_again_whole = names_orders
        is_word = wakes.event.is_set()
        wakes.note_look(is_brief=is_brief, is_told=is_told or is_again)
        now = await inspect_account(
            exchange,
            policy,
            wall_clock=wall_clock,
            before=before,
            timeout_s=timeout_s,
            is_brief=is_brief,
        )
        before = now if now.is_kind_known else before
        is_read = now.snapshot.positions.complete
        if not is_brief and now.snapshot.lists_missing:  # What was told is still to be seen.
            listed_at = min(listed_at, loop.time() - lists_s + pacing.HOLD_LISTS_S)
        if now.verdict.positions or now.verdict.orders:
            if not (is_word or is_again or wakes.event.is_set()):
                wakes.is_missed = True
            return now
        if is_over:
            return None if now.is_flat else now
    return None


async def _rest(due_at: float, stop: asyncio.Event, wakes: Wakes) -> bool:
    """Wait until the next look is due, or follows a word; return whether it does."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    await _first_of(due_at, stop, wakes.event)
    if not wakes.event.is_set():
        return False
    now = loop.time()
    told_at = max(began_at + pacing.HOLD_WOKEN_MIN_S, now + wakes.wait_s(now))
    await _first_of(min(told_at, due_at), stop)
    return told_at <= due_at


async def _first_of(until: float, *events: asyncio.Event) -> None:
    """Wait until that moment, or until one of these is set."""
    loop = asyncio.get_running_loop()
    waits = [loop.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
