"""How much of the venue's limits is left, and how long a request has to wait for it.

Three limits (Binance "General Info", read 2026-11-23): 2400 weight a minute for the whole IP
address, 300 orders in 10 s and 1200 a minute for the account; minutes and ten-second windows are
aligned to the venue's clock, which is taken here as sliding from the first request of a window.
Other programs use the same limits up, so the venue's own word (the response headers) counts when
it is higher than ours.

Reads leave a reserve of weight to cancels, and cancels to closes: a new order costs no weight at
all, so closes wait for the order limits alone.
"""

from dataclasses import dataclass
from typing import Final

from liqctl.domain.endpoints import EndpointSpec

WEIGHT_PER_MINUTE: Final = 2400
ORDERS_PER_10_S: Final = 300
ORDERS_PER_MINUTE: Final = 1200
READ_RESERVE: Final = 300
"""Weight that wide reads leave for cancels: about as many symbols as can be open."""


@dataclass(slots=True)
class _Window:
    """Usage of one limit inside its current window."""

    limit: int
    length_s: float
    used: int = 0
    ends_at: float = float("-inf")

    def roll(self, now: float) -> None:
        """Start a new window when the last one is over."""
        if now >= self.ends_at:
            self.used = 0
            self.ends_at = now + self.length_s

    def spend(self, amount: int, now: float) -> None:
        """Count usage of ours."""
        self.roll(now)
        self.used += amount

    def observe(self, used: int, now: float) -> None:
        """Take the venue's count when it is higher than ours."""
        self.roll(now)
        self.used = max(self.used, used)

    def delay_s(self, amount: int, now: float, *, reserve: int = 0) -> float:
        """Return how long until `amount` fits, leaving `reserve` free."""
        self.roll(now)
        if amount == 0 or self.used + amount <= self.limit - reserve:
            return 0.0
        return self.ends_at - now


class RequestBudget:
    """The limits of one run. Times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        """Start with nothing used; the first answer's headers tell what others used."""
        self._weight = _Window(limit=WEIGHT_PER_MINUTE, length_s=60.0)
        self._orders_10s = _Window(limit=ORDERS_PER_10_S, length_s=10.0)
        self._orders_1m = _Window(limit=ORDERS_PER_MINUTE, length_s=60.0)

    def delay_s(self, spec: EndpointSpec, now: float, *, narrow: bool) -> float:
        """Return how long the request has to wait; `narrow` lists one symbol only."""
        if spec.orders:
            return max(
                self._orders_10s.delay_s(spec.orders, now),
                self._orders_1m.delay_s(spec.orders, now),
            )
        weight = spec.weight if narrow else spec.weight_all
        reserve = 0 if spec.is_write else READ_RESERVE
        return self._weight.delay_s(weight, now, reserve=reserve)

    def spend(self, spec: EndpointSpec, now: float, *, narrow: bool) -> None:
        """Count a request that is about to leave."""
        self._weight.spend(spec.weight if narrow else spec.weight_all, now)
        if spec.orders:
            self._orders_10s.spend(spec.orders, now)
            self._orders_1m.spend(spec.orders, now)

    def observe(self, *, weight_1m: int, orders_10s: int, orders_1m: int, now: float) -> None:
        """Take in what the venue's headers said; -1 means they said nothing."""
        self._weight.observe(weight_1m, now)
        self._orders_10s.observe(orders_10s, now)
        self._orders_1m.observe(orders_1m, now)
