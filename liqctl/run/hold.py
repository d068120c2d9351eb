"""Watching an account that is held flat: until something is open again, or the time is over.

Positions are read every few seconds and order lists less often, at half of the address' request
weight. Whoever hears of a fill by another way wakes the watch before that.
"""

import asyncio
from typing import Final

from liqctl.kernel import pacing
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.ports import Exchange, WallClock
from liqctl.run.inspection import Inspection, inspect_account

_LAST_LOOK_SHARE: Final = 0.5


async def look_until_open(
    exchange: Exchange,
    policy: LiquidationConfig,
    *,
    until: float,
    stop: asyncio.Event,
    wall_clock: WallClock,
    woken: asyncio.Event | None = None,
) -> Inspection | None:
    """Return the first look that shows something open; None where none does, or told to stop.

    `until` is a moment of the loop's clock. A look that fails shows nothing, and the next one comes
    as if it had been answered: the venue's limits bind here too. The last one, at `until`, is also
    returned where it leaves open whether the account is flat.
    """
    loop = asyncio.get_running_loop()
    before: Inspection | None = None
    lists_at = loop.time() + pacing.HOLD_LISTS_S
    while not stop.is_set():
        await _rest(min(loop.time() + pacing.HOLD_LOOK_S, until), stop, woken)
        is_over = loop.time() >= until
        if stop.is_set():
            break
        # The last look is a whole one, and leaves half of the time limit to what it asks for.
        is_brief = loop.time() < lists_at and not is_over
        timeout_s = policy.timeout_seconds * (_LAST_LOOK_SHARE if is_over else 1.0)
        if not is_brief:
            lists_at = loop.time() + pacing.HOLD_LISTS_S
        now = await inspect_account(
            exchange,
            policy,
            wall_clock=wall_clock,
            before=before,
            timeout_s=timeout_s,
            is_brief=is_brief,
        )
        before = now if now.is_kind_known else before
        if now.verdict.positions or now.verdict.orders:
            return now
        if is_over:
            return None if now.is_flat else now
    return None


async def _rest(until: float, stop: asyncio.Event, woken: asyncio.Event | None) -> None:
    """Wait until that moment, or until something is heard."""
    loop = asyncio.get_running_loop()
    events = [event for event in (stop, woken) if event is not None]
    waits = [loop.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    if woken is not None:
        woken.clear()
