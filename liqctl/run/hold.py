"""Watching an account that is held flat: until something is open again, or the time is over.

Positions are read every few seconds and order lists less often, at half of the address' request
weight. Where streams are listened to, their word wakes the watch, and looks without one are rare:
what appears is then read at once, for a tenth of the weight. Only a reading proves anything. A look
that finds what no stream told of ends the trust in them.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from liqctl.kernel import pacing
from liqctl.kernel.costs import Allowance, look_weight, positions_weight
from liqctl.kernel.ids import CLIENT_ORDER_ID_PREFIX
from liqctl.kernel.limits import LIMITS_BY_MARGIN
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange, WallClock
from liqctl.kernel.states import Margin
from liqctl.kernel.values import StreamEvent
from liqctl.run.inspection import Inspection, inspect_account

_LAST_LOOK_SHARE: Final = 0.5
_BOTH_SOURCES: Final = 2
"""A look asks for the positions twice."""


class Wakes:
    """What streams say while an account is held flat, and whether they can be relied on."""

    def __init__(
        self, policy: LiquidationConfig, listens: Callable[[], bool], *, now: float
    ) -> None:
        """Hear nothing yet; `listens` tells whether every stream is connected."""
        self.event = asyncio.Event()
        self.is_missed = False
        """Whether something appeared that was not told."""
        self._policy = policy
        self._listens = listens
        self.names_orders = False
        """Whether order lists have to be read to see what was told."""
        limit = LIMITS_BY_MARGIN[policy.margin or Margin.STANDARD].weight_1m
        self._allowance = Allowance(limit, now=now)
        self._used = 0

    @property
    def is_heard(self) -> bool:
        """Whether what appears would be told."""
        return self._listens() and not self.is_missed

    def hear(self, event: StreamEvent) -> None:
        """Take an event: whether it may be of something that is open now."""
        covers = self._policy.covers
        opens_leg = any(amount and covers(leg.symbol) for leg, amount in event.amounts)
        is_ours = event.client_order_id.startswith(CLIENT_ORDER_ID_PREFIX)
        if event.is_new_order and covers(event.symbol) and not is_ours:
            self.names_orders = True
            self.event.set()
        elif opens_leg:
            self.event.set()

    def look_again(self) -> None:
        """Take note that something may have happened that was not told."""
        self.names_orders = True
        self.event.set()

    def wait_s(self, now: float) -> float:
        """Return how long a look has to wait that only follows a word: bots may never stop."""
        self._allowance.note(self._used, now=now)
        brief = positions_weight(self._policy) * _BOTH_SOURCES
        return self._allowance.wait_s(look_weight(self._policy) if self.names_orders else brief)

    def note_look(self, *, is_brief: bool, is_told: bool) -> None:
        """Hear anew, and pay for a look that follows a word."""
        if is_told or not (is_brief and self.names_orders):
            self.names_orders = False
            self.event.clear()
        if is_told:
            policy = self._policy
            brief = positions_weight(policy) * _BOTH_SOURCES
            self._used += brief if is_brief else look_weight(policy)


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
    before: Inspection | None = None
    listed_at = loop.time()
    again_at, is_again_whole = float("inf"), False
    is_read = True
    while not stop.is_set():
        is_heard = is_read and wakes is not None and wakes.is_heard
        look_s = pacing.HOLD_HEARD_LOOK_S if is_heard else pacing.HOLD_LOOK_S
        due_at = min(loop.time() + look_s, until, again_at)
        is_told = await _rest(due_at, stop, wakes)
        is_over = loop.time() >= until
        if stop.is_set():
            break
        is_again = loop.time() >= again_at
        # Orders that are told cost a whole reading: one that the allowance has no room for waits.
        is_named = is_told and wakes is not None and wakes.names_orders
        names_orders = is_named or (is_again and is_again_whole)
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
        is_word = wakes is not None and wakes.event.is_set()
        if wakes is not None:
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
            if wakes is not None and not (is_word or is_again or wakes.event.is_set()):
                wakes.is_missed = True
            return now
        if is_over:
            return None if now.is_flat else now
    return None


async def _rest(due_at: float, stop: asyncio.Event, wakes: Wakes | None) -> bool:
    """Wait until the next look is due, or follows a word; return whether it does."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    await _first_of(due_at, stop, *([wakes.event] if wakes is not None else []))
    if wakes is None or not wakes.event.is_set():
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
