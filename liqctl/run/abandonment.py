"""Closing the record of a run that died: what it had sent and not heard of is looked up.

The next run of the account finds it through the lock. The dead run's own chain is continued, so its
start has an end and the file stays one proof.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from liqctl.kernel import pacing
from liqctl.kernel.amounts import plain
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.events import RUN_ENDS, run_abandoned
from liqctl.kernel.ports import EventSink
from liqctl.kernel.requests import order_of
from liqctl.run.driver import Driver
from liqctl.run.lock import Holder


class DeadRuns(Protocol):
    """What the trail tells of runs that died."""

    async def continue_run(
        self, correlation_id: str, *, is_ours: bool
    ) -> tuple[str | None, Sequence[tuple[str, str]]]:
        """Return the last event's type, and each order's symbol and id that was not answered.

        What is logged under the id from now on continues its chain. `is_ours`: the latest run of
        that name is this one, and the one before it is meant.
        """


async def close_dead_run(
    dead: Holder, *, by: str, trail: DeadRuns, sink: EventSink, driver: Driver
) -> None:
    """Write LIQUIDATION_ABANDONED for the dead run and for those it had not got to closing itself.

    A run that did end, and died before it could clear the lock, is left as it is.
    """
    for correlation_id in (*dead.unburied.split(), dead.correlation_id):
        try:
            async with asyncio.timeout(driver.remaining_s * pacing.DEAD_READING_SHARE):
                last_event, orders = await trail.continue_run(
                    correlation_id, is_ours=correlation_id == by
                )
        except TimeoutError:  # Its record stays open; this run's own end matters more.
            return
        if last_event is None or last_event in RUN_ENDS:
            continue
        fates = await asyncio.gather(
            *(_look_up(driver, *order) for order in orders[: pacing.DEAD_LOOK_UPS_MAX])
        )
        fated = zip(orders, fates, strict=False)
        event = run_abandoned(
            closed_by=by,
            pid=dead.pid,
            host=dead.host,
            user=dead.user,
            started_at=dead.started_at,
            last_event=last_event,
            unanswered=len(orders),
            orders=[(*order, fate) for order, fate in fated],
        )
        event.log_to(sink, correlation_id)


async def _look_up(driver: Driver, symbol: str, client_order_id: str) -> str:
    answer = await driver.ask(order_of(symbol, client_order_id))
    if not isinstance(answer, VenueAnswer):
        return f"{answer.status}, {plain(answer.executed)} executed"
    if answer.kind is AnswerKind.DONE:
        return "the venue does not know it"
    return f"not known: {answer.describe()}"
