"""The one door every request passes: deadline, pauses, stops, limits, the clock.

It repeats nothing but a read or cancel that was refused for its timestamp, once, after setting the
clock from the venue's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from liqctl.kernel.answers import AnswerKind, VenueAnswer, not_sent
from liqctl.kernel.budget import MINUTE_S, Priority, RequestBudget
from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.errors import VenueError
from liqctl.kernel.pacing import (
    CALL_MARGIN_S,
    CALL_MAX_S,
    CALL_MIN_S,
    CALL_SHARE,
    LARGE_ANSWER_MAX_S,
    RESERVE_MAX_S,
    RESERVE_SHARE,
)
from liqctl.kernel.ports import Exchange, WallClock

T = TypeVar("T")
Call = Callable[[float], Awaitable[T]]

_FIREWALL_PAUSE_S: Final = 1.0
_BAN_PAUSE_S: Final = 60.0
_READ_BACKOFF_S: Final = 0.15
"""Tripled with each refusal: asking on after a 429 is what gets an address banned."""
_TIMESTAMP: Final = -1021
_TOO_MANY_ORDERS: Final = -1015
_FORBIDDEN: Final = 403
_SYNC_REPEATS_MAX: Final = 3


class Halted(Exception):  # noqa: N818 - a state, not an error
    """The run may send nothing more: it is stopping, or its time is up."""


class Gate:
    """What one run may still send, and until when. Times are of the event loop's clock."""

    def __init__(
        self, exchange: Exchange, *, timeout_s: float, started_at: float, wall_clock: WallClock
    ) -> None:
        """Open the gate for a run that began at `started_at` and may take `timeout_s`."""
        self.started_at = started_at
        self.deadline_at = started_at + timeout_s
        self.reserve_s = min(timeout_s * RESERVE_SHARE, RESERVE_MAX_S)
        self.call_max_s = min(max(timeout_s * CALL_SHARE, CALL_MIN_S), CALL_MAX_S)
        self.fatal: VenueAnswer | None = None
        self.pause: VenueAnswer | None = None
        self.paused_until = 0.0
        self.is_closed = False
        self.is_stopped = False
        self.is_key_accepted = False
        self._key_refusals: dict[bool, VenueAnswer] = {}
        self.has_read = False
        self.is_proving = False
        self.rtt_s = 0.1
        self.write_s = 0.0
        self._exchange = exchange
        self._wall_clock = wall_clock
        minute_start = started_at - wall_clock.now().timestamp() % MINUTE_S
        self._budget = RequestBudget(minute_start=minute_start)
        self._reads_not_before = 0.0
        self._reads_refused = 0
        self._sync: asyncio.Task[float] | None = None
        self._syncs = 0
        self._ahead_s = 0.0

    @property
    def work_until(self) -> float:
        """When the last write may start: what follows is reserved for the last reading."""
        return self.deadline_at - self.reserve_s

    def remaining_s(self) -> float:
        """Return the seconds left until the deadline, never negative."""
        return max(self.deadline_at - asyncio.get_running_loop().time(), 0.0)

    def close(self) -> None:
        """Let no further close or cancel pass; readings, and the last sweep, still do."""
        self.is_closed = True

    def stop(self) -> None:
        """Let no write pass at all: somebody asked the run to end."""
        self.is_closed = self.is_stopped = True

    @property
    def key_refusal(self) -> VenueAnswer | None:
        """The refusal of the key that every later write met too, else every later reading."""
        return self._key_refusals.get(True) or self._key_refusals.get(False)

    def weight_left(self) -> int:
        """Return how much request weight the venue is known to leave in this minute."""
        return self._budget.weight_left(asyncio.get_running_loop().time())

    @property
    def was_refused(self) -> bool:
        """Whether a reading met the rate limit: from then on only what is needed is asked."""
        return self._reads_refused > 0

    @property
    def may_write(self) -> bool:
        """Whether a write could still pass."""
        now = asyncio.get_running_loop().time()
        return not self.is_closed and self.fatal is None and now < self.work_until

    async def read(self, endpoint: Endpoint, call: Call[T], *, narrow: bool = False) -> T:
        """Pass a reading, waiting for a pause or the weight limit to end."""
        return await self._pass(endpoint, call, until=self.deadline_at, narrow=narrow, resync=True)

    async def write(
        self, endpoint: Endpoint, call: Call[T], *, resync: bool, is_last: bool = False
    ) -> T:
        """Pass a write. Raises Halted when none may leave any more.

        `is_last` marks the sweep, which may leave in the time kept for the last reading.
        """
        if is_last:
            if self.is_stopped or self.fatal is not None:
                raise Halted
            return await self._pass(
                endpoint, call, until=self.deadline_at, narrow=True, resync=resync
            )
        if not self.may_write:
            raise Halted
        return await self._pass(endpoint, call, until=self.work_until, narrow=True, resync=resync)

    async def _pass(
        self, endpoint: Endpoint, call: Call[T], *, until: float, narrow: bool, resync: bool
    ) -> T:
        await self._wait_turn(endpoint, until=until, narrow=narrow)
        try:
            return await self._call(endpoint, call)
        except VenueError as error:
            if error.answer.code != _TIMESTAMP or not resync:
                raise
            await self.sync_clock()
        await self._wait_turn(endpoint, until=until, narrow=narrow)
        return await self._call(endpoint, call)

    async def _wait_turn(self, endpoint: Endpoint, *, until: float, narrow: bool) -> None:
        """Wait out a pause and the venue's limits; raise when that would outlast `until`."""
        loop = asyncio.get_running_loop()
        spec = endpoint.value
        while True:
            now = loop.time()
            # Nothing can be decided without the first reading nor proven without the last.
            essential = not spec.is_write and (
                self.is_closed or self.is_proving or not self.has_read
            )
            delay_s = self._budget.delay_s(
                spec,
                now,
                whole_account=not narrow,
                priority=Priority.CLOSE if essential else None,
            )
            ready_at = max(now + delay_s, self.paused_until)
            if not spec.is_write:
                ready_at = max(ready_at, self._reads_not_before)
            if ready_at >= until:
                if spec.is_write:
                    raise Halted
                raise VenueError(not_sent(self._why_unready(delay_s)))
            if ready_at <= now:
                self._budget.note_sent(spec, now, whole_account=not narrow)
                return
            await asyncio.sleep(ready_at - now)
            if spec.is_write and not self.may_write and until < self.deadline_at:
                raise Halted

    def _why_unready(self, delay_s: float) -> str:
        if self.pause is not None:
            return self.pause.message
        if delay_s > 0:
            return "the venue's request limits are used up, by this or by other programs"
        return "the venue asked to wait until after the deadline"

    async def _call(self, endpoint: Endpoint, call: Call[T]) -> T:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        most_s = self.call_max_s
        if endpoint is Endpoint.EXCHANGE_INFO:
            most_s = max(most_s, LARGE_ANSWER_MAX_S)
        timeout_s = min(most_s, self.remaining_s() - CALL_MARGIN_S)
        if timeout_s <= 0:
            raise VenueError(not_sent("the deadline left no time for a request"))
        try:
            result = await call(timeout_s)
        except VenueError as error:
            if error.answer.kind is AnswerKind.RUN_FATAL:
                self._key_refusals[endpoint.value.is_write] = error.answer
            self._note(error.answer, loop.time())
            raise
        finally:
            if endpoint.value.is_write:
                self.write_s = loop.time() - began_at
            usage = self._exchange.usage
            self._budget.note_usage(
                loop.time(),
                weight_1m=usage.weight_1m,
                orders_10s=usage.orders_10s,
                orders_1m=usage.orders_1m,
            )
        if endpoint.value.signed:
            self.is_key_accepted = True
            self._key_refusals.pop(endpoint.value.is_write, None)
        self.rtt_s = 0.7 * self.rtt_s + 0.3 * (loop.time() - began_at)
        return result

    def _note(self, answer: VenueAnswer, now: float) -> None:
        self._budget.note_refusal(answer, now)
        if answer.is_rate_limit and answer.code != _TOO_MANY_ORDERS:
            # Readings that left together and were refused together are one refusal.
            self._reads_refused += int(now >= self._reads_not_before)
            wait_s = _READ_BACKOFF_S * 3**self._reads_refused
            if answer.retry_after_s is not None:
                wait_s = answer.retry_after_s
            self._reads_not_before = max(self._reads_not_before, now + wait_s)
        if answer.kind is not AnswerKind.PAUSE:
            return
        self.pause = answer
        wait_s = _FIREWALL_PAUSE_S if answer.status == _FORBIDDEN else _BAN_PAUSE_S
        if answer.retry_after_s is not None:
            wait_s = answer.retry_after_s
        if answer.banned_until_ms is not None:
            # The moment is of the venue's clock, which the answer's own date tells to a second.
            venue_s = self._wall_clock.now().timestamp() - self._ahead_s
            if answer.answered_at_ms is not None:
                venue_s = answer.answered_at_ms / 1000
            wait_s = answer.banned_until_ms / 1000 - venue_s
        self.paused_until = max(self.paused_until, now + max(wait_s, 0.0))

    @property
    def outlasts_deadline(self) -> bool:
        """Whether a pause forbids every request until the deadline."""
        return self.paused_until >= self.deadline_at

    async def sync_clock(self) -> None:
        """Set the clock from the venue's; concurrent callers share one measurement."""
        if self._sync is None or self._sync.done():
            if self._syncs >= _SYNC_REPEATS_MAX:
                return
            self._syncs += 1
            self._sync = asyncio.create_task(self._exchange.sync_clock(timeout_s=self.call_max_s))
        try:
            self._ahead_s = await asyncio.shield(self._sync)
        except VenueError as error:
            self._note(error.answer, asyncio.get_running_loop().time())
