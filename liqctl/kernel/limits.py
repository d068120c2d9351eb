"""How much may still be asked of the venue, and when: closes before cancels before reads.

Binance counts three things: request weight per minute for the whole IP address, and orders per
ten seconds and per minute for the whole account. Other programs use them up too, so what counts
is the larger of our own count and the venue's last word plus what we sent since:

    used = max(own in the last interval, header + own since the header)

Easy to get wrong: whose limits they are. Accounts of higher tiers may send many times as many
orders, other hosts allow more weight, and no header says so before a count goes over what we know.
So our numbers hold back reads that can wait; closes, cancels and the readings that decide are held
back by refusals only. Beyond our number they leave as probes, a few at a time: a count above the
number proves that the limit is higher (the number doubles, and the rest leaves at once), a refusal
that it is not. That costs an account with raised limits one round trip, and an ordinary one a
handful of refusals instead of hundreds: going on after refusals bans the address (418), and then
nothing can be closed at all.

After a refusal nothing leaves for the time that the venue names, else for a moment that doubles:
its intervals are its own and may end any time, and others' orders count too. Then one probe leaves
at a time. Our own requests are counted over a sliding interval, which is never too lenient whatever
moment the venue starts its intervals at.

Limits: Binance USDS-M "General Info" page, read 2026-11-23.
"""

import itertools
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, NamedTuple

from liqctl.kernel import pacing
from liqctl.kernel.answers import TOO_MANY_ORDERS, VenueAnswer
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import EndpointSpec, Request
from liqctl.kernel.states import Margin

MINUTE_S: Final = 60.0
ORDER_BURST_S: Final = 10.0


class Priority(IntEnum):
    """Who may use up what is left; smaller goes first."""

    CLOSE = 0
    CANCEL = 1
    READ = 2


WEIGHT_KEPT_FREE: Final = {Priority.CLOSE: 0, Priority.CANCEL: 40, Priority.READ: 120}
"""Weight that a request leaves to those before it, once the limit is certain: closes cost none, a
cancel leaves one reading of a symbol-less list, a reading also 80 cancels."""

_NAMED_LIMIT: Final = re.compile(
    r"current limit is ([0-9]{1,6}) [a-z ]{1,20} per [0-9 ]{0,4}(SECOND|MINUTE)", re.IGNORECASE
)
"""-1015 "Too many new orders; current limit is 300 orders per 10 SECOND.", -1003 likewise."""


class Limits(NamedTuple):
    """The venue's limits; the defaults are those of a normal account on production."""

    weight_1m: int = 2400
    orders_10s: int = 300
    orders_1m: int = 1200


class Usage(NamedTuple):
    """What the venue's headers last said of its limits; -1 when it said nothing.

    `weight_1m` counts for the whole IP address, order counts for the account; other programs use
    both up too.
    """

    requests: int = 0
    weight_1m: int = -1
    orders_10s: int = -1
    orders_1m: int = -1


LIMITS_BY_MARGIN: Final = {
    Margin.STANDARD: Limits(),
    Margin.PORTFOLIO: Limits(weight_1m=6000, orders_10s=1200, orders_1m=1200),
}
"""Portfolio margin has no limit for ten seconds: that of the minute stands for it (Binance
"General Info" of portfolio margin, read 2026-06-27)."""


def priority_of(spec: EndpointSpec) -> Priority:
    """Return who is asking: orders close, DELETE cancels, GET reads."""
    if spec.method == "POST":
        return Priority.CLOSE
    return Priority.CANCEL if spec.is_write else Priority.READ


class Deadline(NamedTuple):
    """The moments of one run, made once when it begins, on one monotonic clock in seconds.

    Attributes:
        began: when it began; `began_epoch_s` says what the calendar said then.
        ends: when everything is over.
        work_until: when the last write may start: what follows is kept for the last reading.
        last_resort: when a process that did not end by itself is ended.
    """

    began: float
    began_epoch_s: float
    work_until: float
    ends: float
    last_resort: float

    @classmethod
    def after(cls, timeout_s: float, *, began: float, epoch_s: float) -> "Deadline":
        """Return the deadline of what begins now and may take so long."""
        ends = began + timeout_s
        return cls(
            began=began,
            began_epoch_s=epoch_s,
            work_until=ends - min(timeout_s * pacing.RESERVE_SHARE, pacing.RESERVE_MAX_S),
            ends=ends,
            last_resort=ends + pacing.LAST_RESORT_S,
        )

    @property
    def minute_start(self) -> float:
        """When a minute of the calendar began."""
        return self.began - self.began_epoch_s % MINUTE_S

    @property
    def timeout_s(self) -> float:
        """How long there is in all."""
        return self.ends - self.began


class Address:
    """The request weight of one IP address, which the accounts behind it share.

    It is spent worst first. What closes, and looks at positions, waits for nobody: it is little.
    The reading that proves an account flat is most of what it needs, eight times as much as its
    positions; it waits for those of larger accounts, and for what is still to be cancelled. A ban
    is not shared: each account stops at the refusal that it hears, a wave of requests later at
    most, and what only one of them hears stops no other.

    `minute_start` is any moment of the accounts' clock at which a minute of the venue began; with
    it a full minute is known to end early, without it the worst is assumed.
    """

    def __init__(self, *, minute_start: float | None = None, accounts: int = 1) -> None:
        """Begin with nothing used, for so many accounts."""
        self.accounts = accounts
        self.minute_start = minute_start
        self._pools: dict[Limits, _Counter] = {}
        self._budgets: list[RequestBudget] = []
        self._claims: dict[str, tuple[str, LiquidationConfig]] = {}

    def join(self, budget: "RequestBudget") -> None:
        """Take in another account."""
        self._budgets.append(budget)

    def pool(self, limits: Limits) -> "_Counter":
        """Return the count of the weight under these limits."""
        if limits not in self._pools:
            reserve = WEIGHT_KEPT_FREE[Priority.CANCEL]
            self._pools[limits] = _Counter(
                limits.weight_1m, MINUTE_S, self.minute_start, reserve=reserve
            )
        return self._pools[limits]

    def claim(self, alias: str, name: str, policy: LiquidationConfig) -> str | None:
        """Return who else liquidates the account of this alias, with all that `policy` has in it.

        Where nobody does, it is `name` from now on.
        """
        known, its = self._claims.setdefault(alias, (name, policy))
        return known if known != name and its.includes(policy) else None

    def others(self, budget: "RequestBudget") -> Iterator["RequestBudget"]:
        """Yield the accounts under the same limits that need weight, too."""
        for other in self._budgets:
            is_there = not (other.is_over or other.is_silent)
            if is_there and other is not budget and other.limits == budget.limits:
                yield other


class RequestBudget:
    """Counts what leaves for one account, of both products, and says how long the next should wait.

    What the venue said of the address and the key is kept here too: a ban, the limit on readings.
    Pure but for that: every method is given `now`, a moment of one monotonic clock in seconds. The
    weight is that of an `address`, the account's own where it is alone; what this account needs of
    it is known to the others there.

    Attributes:
        limits: which limits it is under: portfolio margin has a pool of weight of its own.
        look: what the account's first reading of the positions costs.
        proof: what the reading costs that proves it flat.
        sweeps: what the last cancels before it still cost.
        notional: what it was seen to hold; None until its positions were read.
        is_over: whether it needs nothing any more.
        is_silent: whether its last request was not answered; nobody waits for what hangs.
    """

    def __init__(self, limits: Limits | None = None, *, address: Address | None = None) -> None:
        self.address = address or Address()
        self.address.join(self)
        self.look = self.proof = self.sweeps = 0
        self.notional: Decimal | None = None
        self.is_over = self.is_silent = False
        self.pause: VenueAnswer | None = None
        self.paused_until = 0.0
        self.is_stopped = False
        self.is_key_accepted = False
        self.clock_ahead_s = 0.0
        self.reads_not_before = 0.0
        self.reads_refused = 0
        self.begin(limits or Limits())

    def begin(self, limits: Limits) -> None:
        """Count by these limits from now on: portfolio margin has its own."""
        start = self.address.minute_start
        self.limits = limits
        self._weight = self.address.pool(limits)
        self._orders_10s = _Counter(limits.orders_10s, ORDER_BURST_S, start)
        self._orders_1m = _Counter(limits.orders_1m, MINUTE_S, start)

    def delay_s(
        self, request: Request[Any], now: float, *, priority: Priority | None = None
    ) -> float:
        """Return how many seconds to wait before this request may be sent; 0 for at once.

        A reading that everything waits for has another `priority` than its endpoint's own.
        """
        spec = request.spec
        priority = priority_of(spec) if priority is None else priority
        kept_free = WEIGHT_KEPT_FREE[priority]
        return max(
            self._weight.delay_s(request.weight, now, priority, kept_free=kept_free),
            self._orders_10s.delay_s(spec.orders, now, Priority.CLOSE),
            self._orders_1m.delay_s(spec.orders, now, Priority.CLOSE),
        )

    def weight_left(self, now: float) -> int:
        """Return the weight between what was used and the limit as far as it is known.

        What the other accounts of the address need for their proof is not left.
        """
        others = self.address.others(self)
        return self._weight.left(now) - sum(other.sweeps + other.proof for other in others)

    def has_turn(self, weight: int, now: float) -> bool:
        """Return whether a reading that decides may be taken before those of other accounts."""
        if self.address.accounts == 1:
            return True
        own, kept = self.notional or Decimal(0), 0
        for other in self.address.others(self):
            # What they cancel goes first, and the proof of those that hold more.
            kept += other.sweeps if other.notional is not None else other.look
            kept += other.proof if (other.notional or Decimal(0)) > own else 0
        return self._weight.left(now) - kept >= weight

    def note_sent(self, request: Request[Any], now: float) -> None:
        """Count a request that is being sent."""
        spec = request.spec
        self._weight.add(request.weight, now)
        if spec.orders:
            self._weight.make_way(now)
        self._orders_10s.add(spec.orders, now)
        self._orders_1m.add(spec.orders, now)

    def note_usage(self, usage: Usage, now: float) -> None:
        """Take over what the headers of an answer said; -1 stands for nothing said."""
        self._weight.hear(usage.weight_1m, now)
        self._orders_10s.hear(usage.orders_10s, now)
        self._orders_1m.hear(usage.orders_1m, now)

    def note_refusal(self, answer: VenueAnswer, now: float) -> None:
        """Take a "too many" as the venue's word that a limit is used up, and often how high it is.

        Only this holds back what is essential: until the time that the venue names, else until the
        interval ends.
        """
        if not answer.is_rate_limit:
            return
        named = _NAMED_LIMIT.search(answer.message)
        if answer.code != TOO_MANY_ORDERS:
            counter = self._weight
        elif named is not None and named.group(2).upper() == "MINUTE":
            counter = self._orders_1m
        else:
            counter = self._orders_10s
        limit = int(named.group(1)) if named is not None else None
        counter.refuse(now, limit=limit, retry_after_s=answer.retry_after_s)


@dataclass(slots=True)
class _Counter:
    """One limit: what was used of it in the interval before a moment."""

    limit: int
    interval_s: float
    anchor: float | None
    reserve: int = 0
    own: deque[tuple[float, int]] = field(default_factory=deque)
    own_sum: int = 0
    since_heard: int = 0
    heard: int = 0
    heard_at: float = 0.0
    heard_until: float = 0.0
    is_certain: bool = False
    refusals: int = 0
    refused_until: float = 0.0
    suspect_until: float = 0.0
    probes: int = 0
    sent_at: float = 0.0
    is_answered: bool = False
    way_until: float = 0.0

    def add(self, cost: int, now: float) -> None:
        """Count our own request."""
        self._forget(now)
        if cost:
            if now < self.suspect_until or self._used(now) + cost > self.limit - self.reserve:
                self.probes = 1 if now - self.sent_at >= pacing.PROBE_GAP_S else self.probes + 1
            else:
                # The first probe waits for an answer to what fits, which shall not be refused.
                self.probes = pacing.PROBES_MAX
            self.sent_at, self.is_answered = now, False
            self.own.append((now, cost))
            self.own_sum += cost
            self.since_heard += cost

    def make_way(self, now: float) -> None:
        """Let cancels beyond our number wait: a close was sent, and may have to be again."""
        self.way_until = now + pacing.CANCELS_MAKE_WAY_S

    def hear(self, used: int, now: float) -> None:
        """Take over the venue's count after an answer, valid until its interval ends.

        Answers overtake one another: a smaller count is an older one, unless it is so much smaller
        that a new interval has begun.
        """
        self.is_answered = True
        # A refused answer counts itself, and its headers may be read again after the interval.
        is_news = used not in {-1, self.heard} and now >= self.refused_until
        if is_news and used > self.limit:
            self.limit = used * pacing.LIMIT_RAISED
            self.is_certain = False
        if is_news and self.sent_at >= self.refused_until:
            self.suspect_until, self.refusals = now, 0
        is_older = now < self.heard_until and self.heard / 2 < used < self.heard
        if used < 0 or is_older:
            return
        self.heard, self.heard_at = used, now
        self.heard_until = self._interval_end(now)
        # What was sent at this very moment may not be in its count.
        latest = itertools.takewhile(lambda own: own[0] >= now, reversed(self.own))
        self.since_heard = sum(cost for _, cost in latest)

    def refuse(self, now: float, *, limit: int | None, retry_after_s: float | None) -> None:
        """Let nothing pass for the time the venue named, else for a moment; then one at a time."""
        if now >= self.refused_until:
            # Requests that left together and were refused together are one refusal.
            self.refusals += 1
        wait_s = pacing.REFUSED_WAIT_S * min(1 << (self.refusals - 1), pacing.REFUSED_FACTOR_MAX)
        self.refused_until = max(self.refused_until, now + (retry_after_s or wait_s))
        self.suspect_until = max(self._interval_end(now), self.refused_until)
        if limit:
            self.limit, self.is_certain = limit, True

    def delay_s(self, cost: int, now: float, priority: Priority, *, kept_free: int = 0) -> float:
        """Return the seconds until `cost` may be sent."""
        if not cost:
            return 0.0
        self._forget(now)
        if now < self.refused_until:
            return self.refused_until - now
        is_suspect = now < self.suspect_until
        room = max(self.limit - kept_free, cost)
        fits = self._used(now) + cost <= room
        if fits and not is_suspect:
            return 0.0
        if fits or not (priority is Priority.READ or self.is_certain):  # It leaves as a probe.
            if priority is Priority.CANCEL and now < self.way_until:
                return self.way_until - now
            is_beyond = self._used(now) + cost > self.limit
            is_alone = is_suspect or (priority is Priority.CANCEL and is_beyond)
            gap_s = pacing.PROBE_GAP_S if self.is_answered else pacing.PROBE_WAIT_S
            is_free = self.probes < (1 if is_alone else pacing.PROBES_MAX)
            return 0.0 if is_free or now - self.sent_at >= gap_s else pacing.PROBE_POLL_S
        moments = [now, self.heard_until, *(sent + self.interval_s for sent, _ in self.own)]
        for moment in sorted(moments):
            if moment >= now and self._used(moment) + cost <= room:
                return moment - now
        return self.interval_s

    def left(self, now: float) -> int:
        """Return what is left of the limit as far as it is known, never negative."""
        self._forget(now)
        return max(self.limit - self._used(now), 0)

    def _used(self, moment: float) -> int:
        own = self.own_sum
        for sent, cost in self.own:
            if sent + self.interval_s > moment:
                break
            own -= cost
        if moment >= self.heard_until:
            return own
        return max(own, self.heard + self.since_heard)

    def _interval_end(self, now: float) -> float:
        if self.anchor is None:
            return now + self.interval_s
        return now + self.interval_s - (now - self.anchor) % self.interval_s

    def _forget(self, now: float) -> None:
        while self.own and self.own[0][0] + self.interval_s <= now:
            sent, cost = self.own.popleft()
            self.own_sum -= cost
            if sent >= self.heard_at:
                self.since_heard -= cost
