"""How much may still be asked of the venue, and when: closes before cancels before reads.

Binance counts three things: request weight per minute for the whole IP address, and orders per
ten seconds and per minute for the whole account. Other programs use them up too, so what counts
is the larger of our own count and the venue's last word plus what we sent since:

    used = max(own in the last interval, header + own since the header)

Easy to get wrong: going over is not only refused (429), going on after that bans the address
(418), and then nothing can be closed at all. Our own requests are counted over a sliding
interval, which is never too lenient whatever moment the venue starts its intervals at.

Limits: Binance USDS-M "General Info" page, read 2026-11-23.
"""

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from liqctl.domain.answers import VenueAnswer
from liqctl.domain.endpoints import EndpointSpec

MINUTE_S: Final = 60.0
ORDER_BURST_S: Final = 10.0
TOO_MANY_ORDERS: Final = -1015


class Priority(IntEnum):
    """Who may use up what is left; smaller goes first."""

    CLOSE = 0
    CANCEL = 1
    READ = 2


WEIGHT_KEPT_FREE: Final = {Priority.CLOSE: 0, Priority.CANCEL: 40, Priority.READ: 120}
"""Weight a request must leave to those before it: 8 batches of closes; those and 80 cancels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The venue's limits; the defaults are those of a normal account on production."""

    weight_1m: int = 2400
    orders_10s: int = 300
    orders_1m: int = 1200


def priority_of(spec: EndpointSpec) -> Priority:
    """Return who is asking: orders close, DELETE cancels, GET reads."""
    if spec.method == "POST":
        return Priority.CLOSE
    return Priority.CANCEL if spec.is_write else Priority.READ


class RequestBudget:
    """Counts requests and says how long the next one should wait.

    Pure but for its counts: every method is given `now`, a moment of one monotonic clock in
    seconds. `minute_start` is any moment of that clock at which a minute of the venue began; with
    it a full minute is known to end early, without it the worst is assumed.
    """

    def __init__(self, limits: Limits | None = None, *, minute_start: float | None = None) -> None:
        """Start with nothing used."""
        limits = limits or Limits()
        self._weight = _Counter(limits.weight_1m, MINUTE_S, minute_start)
        self._orders_10s = _Counter(limits.orders_10s, ORDER_BURST_S, minute_start)
        self._orders_1m = _Counter(limits.orders_1m, MINUTE_S, minute_start)

    def delay_s(
        self,
        spec: EndpointSpec,
        now: float,
        *,
        whole_account: bool = False,
        priority: Priority | None = None,
    ) -> float:
        """Return how many seconds to wait before this request may be sent; 0 for at once.

        Args:
            spec: the endpoint.
            now: the moment of asking.
            whole_account: no symbol narrows the request, which then costs more.
            priority: another than the endpoint's own, for a reading that everything waits for.
        """
        weight = spec.weight_all if whole_account else spec.weight
        kept_free = WEIGHT_KEPT_FREE[priority_of(spec) if priority is None else priority]
        # A batch is charged once in a minute and per order in ten seconds (binance endpoint page).
        return max(
            self._weight.delay_s(weight, now, kept_free=kept_free) if weight else 0.0,
            self._orders_10s.delay_s(spec.orders, now) if spec.orders else 0.0,
            self._orders_1m.delay_s(1, now) if spec.orders else 0.0,
        )

    def note_sent(self, spec: EndpointSpec, now: float, *, whole_account: bool = False) -> None:
        """Count a request that is being sent."""
        self._weight.add(spec.weight_all if whole_account else spec.weight, now)
        self._orders_10s.add(spec.orders, now)
        self._orders_1m.add(1 if spec.orders else 0, now)

    def note_usage(self, now: float, *, weight_1m: int, orders_10s: int, orders_1m: int) -> None:
        """Take over what the headers of an answer said; -1 stands for nothing said."""
        self._weight.hear(weight_1m, now)
        self._orders_10s.hear(orders_10s, now)
        self._orders_1m.hear(orders_1m, now)

    def note_refusal(self, answer: VenueAnswer, now: float) -> None:
        """Take a "too many" as the venue's word that the limit is used up."""
        if not answer.is_rate_limit:
            return
        counter = self._orders_10s if answer.code == TOO_MANY_ORDERS else self._weight
        counter.exhaust(now, answer.retry_after_s)


class _Counter:
    """One limit: what was used of it in the interval before a moment."""

    def __init__(self, limit: int, interval_s: float, anchor: float | None) -> None:
        self._limit = limit
        self._interval_s = interval_s
        self._anchor = anchor
        self._own: deque[tuple[float, int]] = deque()
        self._own_sum = 0
        self._since_heard = 0
        self._heard = 0
        self._heard_at = 0.0
        self._heard_until = 0.0

    def add(self, cost: int, now: float) -> None:
        """Count our own request."""
        self._forget(now)
        if cost:
            self._own.append((now, cost))
            self._own_sum += cost
            self._since_heard += cost

    def hear(self, used: int, now: float) -> None:
        """Take over the venue's count, valid until its interval ends.

        Answers overtake one another: a smaller count is an older one, unless it is so much smaller
        that a new interval has begun.
        """
        is_older = now < self._heard_until and self._heard / 2 < used < self._heard
        if used < 0 or is_older:
            return
        self._heard, self._heard_at = used, now
        self._heard_until = self._interval_end(now)
        self._since_heard = self._sent_since(now)

    def exhaust(self, now: float, retry_after_s: float | None) -> None:
        """Allow nothing before the time the venue named, else before its interval ends."""
        self.hear(self._limit, now)
        if retry_after_s is not None:
            self._heard_until = now + retry_after_s

    def delay_s(self, cost: int, now: float, *, kept_free: int = 0) -> float:
        """Return the seconds until `cost` fits below the limit less `kept_free`."""
        self._forget(now)
        room = max(self._limit - kept_free, cost)
        heard = self._heard + self._since_heard if now < self._heard_until else 0
        if max(self._own_sum, heard) + cost <= room:
            return 0.0
        moments = [now, self._heard_until, *(sent + self._interval_s for sent, _ in self._own)]
        for moment in sorted(moments):
            if moment >= now and self._used(moment) + cost <= room:
                return moment - now
        return self._interval_s

    def _used(self, moment: float) -> int:
        own = sum(cost for sent, cost in self._own if sent + self._interval_s > moment)
        if moment >= self._heard_until:
            return own
        return max(own, self._heard + self._since_heard)

    def _sent_since(self, moment: float) -> int:
        """Return what was sent at that moment or later; looks at the latest first."""
        since = 0
        for sent, cost in reversed(self._own):
            if sent < moment:
                break
            since += cost
        return since

    def _interval_end(self, now: float) -> float:
        if self._anchor is None:
            return now + self._interval_s
        return now + self._interval_s - (now - self._anchor) % self._interval_s

    def _forget(self, now: float) -> None:
        while self._own and self._own[0][0] + self._interval_s <= now:
            sent, cost = self._own.popleft()
            self._own_sum -= cost
            if sent >= self._heard_at:
                self._since_heard -= cost
