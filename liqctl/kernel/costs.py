"""What looking at an account and liquidating it cost of the venue's limits, and of time.

A forecast is made before the emergency and shown with the question; nothing is decided by it:

    trips     read, cancel, close, cancel the stops of legs seen flat, read again
    expected  trips x round trip, the processor's share, and waiting for the order limit
    worst     expected, and every repeat of one refused order with its longest backoff

A watched account is read at a pace that never costs a liquidation its turn. The venue counts
request weight for the whole IP address, by calendar minutes; bots share it:

    others   the venue's count less our own looks, in this minute or the last, the larger one
    free     limit - kept free for a liquidation - others, at most half of the limit for us
    wait     a minute divided among the looks that `free` pays for; never under the wished interval

>>> pace = Pace(wished_s=5.0, weight=90)
>>> pace.note(now=60.0, weight_1m=90)
>>> pace.wait_s(now=60.0)
5.0
>>> pace.note(now=65.0, weight_1m=1700 + 180)
>>> pace.others, pace.wait_s(now=65.0), pace.is_slowed
(1700, 20.0, True)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from liqctl.kernel import pacing
from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.limits import LIMITS_BY_MARGIN, MINUTE_S, ORDER_BURST_S, Limits
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.proof import is_protective
from liqctl.kernel.requests import Endpoint, spec_of
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import OpenOrder, Snapshot

_READ: Final = (Endpoint.POSITIONS, Endpoint.OPEN_ORDERS, Endpoint.OPEN_ALGO_ORDERS)

_REQUEST_S: Final = 0.0007
"""Processor time of one request, on a slow machine."""

_JITTER_MAX: Final = 1.2


class Forecast(NamedTuple):
    """What a run would take; `timeout_s` is what it has."""

    positions: int
    orders: int
    round_trips: int
    requests: int
    weight: int
    closes: int
    order_limit: int
    expected_s: float
    worst_s: float
    timeout_s: float

    @property
    def fits(self) -> bool:
        """Whether even the worst of it ends before the deadline."""
        return self.worst_s <= self.timeout_s


def make_forecast(
    snapshot: Snapshot, policy: LiquidationConfig, *, round_trip_s: float, limits: Limits
) -> Forecast:
    """Return the forecast for what a reading shows in scope."""
    positions = [p for p in snapshot.positions.items if policy.covers(p.symbol)]
    orders = [order for order in snapshot.orders if policy.covers(order.symbol)]
    closes = len(positions) if policy.close_positions else 0
    by_leg = {position.leg: position for position in positions}
    cancelled = orders if policy.cancel_orders else []
    stops = [order for order in cancelled if is_protective(order, by_leg)]
    early = [order for order in cancelled if order not in stops]
    stops = stops if closes else []
    cancels = _requests_for(early) + _requests_for(stops)
    trips = 2 + bool(early) + bool(closes) + bool(stops) if closes or cancelled else 1
    readings = 2 if closes or cancelled else 1
    reads = _weights(_READ, policy)
    requests = len(reads) * readings + int(bool(closes)) + closes + cancels
    look = Endpoint.POSITIONS.value.weight_all * bool(closes)
    weight = sum(reads) * readings + cancels + look
    waits_s = ORDER_BURST_S * (max(closes - 1, 0) // limits.orders_10s)
    expected_s = trips * round_trip_s + requests * _REQUEST_S + waits_s
    repeats_s = policy.retry_delay_seconds * float(2**policy.max_retries - 1) * _JITTER_MAX
    repeats_s += policy.max_retries * round_trip_s
    return Forecast(
        positions=len(positions),
        orders=len(orders),
        round_trips=trips,
        requests=requests,
        weight=weight,
        closes=closes,
        order_limit=limits.orders_10s,
        expected_s=expected_s,
        worst_s=expected_s + (repeats_s if closes or cancelled else 0.0),
        timeout_s=policy.timeout_seconds,
    )


def _requests_for(orders: list[OpenOrder]) -> int:
    return len({(order.symbol, order.kind) for order in orders})


def look_weight(policy: LiquidationConfig) -> int:
    """Return what one reading of every product costs: of few symbols one by one, else as a whole.

    >>> look_weight(LiquidationConfig()), look_weight(LiquidationConfig(symbols=("BTCUSDT",)))
    (176, 12)
    """
    weight = 0
    for product, its in policy.by_product.items():
        margin = policy.margin or Margin.STANDARD
        specs = [spec_of(endpoint, product, margin) for endpoint in _READ]
        symbols = len(its.symbols)
        weight += spec_of(Endpoint.ACCOUNT, product, margin).weight_all
        if 0 < symbols <= pacing.NARROW_SYMBOLS_MAX:
            weight += symbols * sum(spec.weight for spec in specs)
        else:
            weight += sum(spec.weight_all for spec in specs)
    return weight


def positions_weight(policy: LiquidationConfig) -> int:
    """Return what looking at the positions of every product costs, however few are in scope.

    >>> positions_weight(LiquidationConfig())
    11
    """
    return sum(_weights([Endpoint.POSITIONS], policy))


@dataclass(slots=True, kw_only=True)
class Rare:
    """A question that an armed process asks rarely, for which weight is set aside meanwhile."""

    weight: int
    every_s: float
    asked_at: float = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether it is to be asked."""
        return bool(self.weight) and now - self.asked_at >= self.every_s

    def hasten(self, now: float, apart_s: float) -> None:
        """Let it be asked at once, but so long after the last time at least."""
        self.asked_at = min(self.asked_at, max(self.asked_at + apart_s, now) - self.every_s)

    def aside(self, now: float) -> float:
        """Return what has to be there of its weight by now."""
        return self.weight * min((now - self.asked_at) / self.every_s, 1.0)

    @property
    def per_s(self) -> float:
        """What it costs a second on average."""
        return self.weight / self.every_s


class ArmedCosts(NamedTuple):
    """What an armed process costs of the weight, and how often it may read the account by that.

    Attributes:
        reading: what one reading of positions and equity costs.
        equity: its share; 0 where no guard needs it.
        lists: the order lists.
        transfers: the lists of transfers, for the guards that measure a loss.
        prices: the prices of coins, for the same guards.
        gap_s: how far apart the account is read.
        kept: what is kept for a guard that goes over its limit, beside what is set aside.
        over_s: how long it takes from the first reading over a limit to the one that trips.
    """

    reading: int
    equity: int
    lists: Rare
    transfers: Rare
    prices: Rare
    gap_s: float
    kept: float
    over_s: float


def armed_costs(guards: Sequence[Guard], policy: LiquidationConfig) -> ArmedCosts:
    """Return what an armed process with these guards costs.

    What is kept pays for all readings that must agree, `ARMED_OVER_S` apart, of which the first and
    the last one ask everything. Of more readings than are paid for at once, the last ones wait for
    weight.

    >>> from decimal import Decimal
    >>> def costs_of(readings: int) -> ArmedCosts:
    ...     guard = Guard(rule=Rule.MAX_LOSS, limit=Decimal(500), readings=readings)
    ...     return armed_costs([guard], LiquidationConfig())
    >>> [(round(each.kept), round(each.over_s)) for each in map(costs_of, (3, 5, 20))]
    [(165, 6), (177, 16), (177, 121)]
    >>> [round(each.gap_s, 1) for each in (costs_of(3), armed_costs([], LiquidationConfig()))]
    [10.3, 4.3]
    """
    margin, products = policy.margin or Margin.STANDARD, [*policy.by_product]

    def weigh(endpoint: Endpoint, of: Iterable[Product]) -> int:
        return sum(spec_of(endpoint, each, margin).weight_all for each in of)

    positions, rules = positions_weight(policy), {guard.rule for guard in guards}
    measures_loss = any(rule.needs_transfers for rule in rules)
    equity = transfers_weight = prices_weight = 0
    if measures_loss or Rule.MIN_MARGIN_RATIO in rules:
        # In portfolio margin either product gives the whole account's.
        equity = weigh(Endpoint.EQUITY, products[: 1 if margin is Margin.PORTFOLIO else None])
    # Portfolio margin has no list of transfers, and counts in dollars by itself.
    if measures_loss and margin is Margin.STANDARD:
        transfers_weight = weigh(Endpoint.INCOME, products)
        prices_weight = weigh(Endpoint.MARK_PRICE, {Product.COINM} & {*products})
    lists_s = pacing.ARMED_LISTS_GUARDED_S if equity else pacing.ARMED_LISTS_S
    lists = Rare(weight=look_weight(policy) - positions, every_s=lists_s)
    transfers = Rare(weight=transfers_weight, every_s=pacing.GUARD_TRANSFERS_S)
    prices = Rare(weight=prices_weight, every_s=pacing.GUARD_PRICES_S)
    # Spare connections are kept warm.
    pings_weight = pacing.WARM_CONNECTIONS * len(products)
    pings = Rare(weight=pings_weight, every_s=pacing.ARMED_PINGS_S)
    allowance = Allowance(LIMITS_BY_MARGIN[margin].weight_1m, now=0.0)
    reading = positions + equity
    gap_s = reading / (
        allowance.per_s - sum(each.per_s for each in (lists, transfers, prices, pings))
    )
    # What the readings that must agree cost together, and what comes in a second meanwhile.
    more = max((guard.readings for guard in guards), default=pacing.GUARD_READINGS) - 1
    whole = reading + transfers_weight + prices_weight
    agreeing = 2 * whole + (more - 1) * reading
    over_per_s = allowance.per_s - sum(each.per_s for each in (prices, pings))
    wanted = max(agreeing - more * pacing.ARMED_OVER_S * over_per_s, 2 * whole)
    # The order lists have to fit in beside it, or they would be read no more.
    kept = min(wanted, allowance.saved_max - lists.weight)
    return ArmedCosts(
        reading=reading,
        equity=equity,
        lists=lists,
        transfers=transfers,
        prices=prices,
        gap_s=max(gap_s, pacing.ARMED_READ_MIN_S),
        kept=kept,
        over_s=max(more * pacing.ARMED_OVER_S, (agreeing - kept) / over_per_s) if more else 0.0,
    )


class Allowance:
    """The weight that an armed process may use: so much a second, and what of it was saved.

    Everything that it asks is taken from it, so on average it can use no more:

        saved    what was allowed since the beginning less what was used, at most `saved_max`
        reading  leaves when enough is saved for it, beside what is set aside for rare questions

    >>> allowance = Allowance(2400, now=0.0)
    >>> allowance.saved, allowance.wait_s(100)
    (342.0, 0.0)
    >>> allowance.note(292, now=0.0)
    >>> allowance.wait_s(88)  # 38 are lacking, and 3.8 come in a second
    10.0
    """

    def __init__(self, weight_1m: int, *, now: float) -> None:
        """Begin with everything saved that can be, for a venue that allows so much a minute."""
        share = pacing.ARMED_WEIGHT_SHARE * pacing.ARMED_PLANNED_SHARE
        self.per_s = share * weight_1m / MINUTE_S
        self.saved_max = self.saved = self.per_s * pacing.ARMED_SAVED_S
        self._used, self._at = 0, now

    def note(self, used: int, *, now: float) -> None:
        """Take note of what was used in all since the beginning."""
        self.saved = min(self.saved + (now - self._at) * self.per_s, self.saved_max)
        self.saved -= used - self._used
        self._used, self._at = used, now

    def wait_s(self, weight: float, *, aside_per_s: float = 0.0) -> float:
        """Return how long until so much is saved, while so much a second is set aside."""
        lacking = min(weight, self.saved_max) - self.saved
        return max(lacking, 0.0) / max(self.per_s - aside_per_s, self.per_s / 10)


def countdowns_max(seconds: float) -> int:
    """Return on how many symbols countdowns of so many seconds can be renewed.

    >>> countdowns_max(30.0), countdowns_max(120.0)
    (3, 12)
    """
    a_minute = MINUTE_S * pacing.COUNTDOWN_RENEWALS / seconds
    share = pacing.COUNTDOWN_WEIGHT_SHARE * Limits().weight_1m
    return max(int(share / (Endpoint.COUNTDOWN.value.weight_all * a_minute)), 1)


def _weights(endpoints: Iterable[Endpoint], policy: LiquidationConfig) -> list[int]:
    """Return what each list of every product costs; COIN-M's positions have both sources."""
    margin = policy.margin or Margin.STANDARD
    return [
        spec_of(endpoint, product, margin).weight_all
        for product in policy.by_product
        for endpoint in (*endpoints, *([Endpoint.ACCOUNT] if product is Product.COINM else []))
    ]


class Pace:
    """Counts looks and says when the next one may be taken; `now` is in epoch seconds."""

    def __init__(self, *, wished_s: float, weight: int) -> None:
        """Start with nothing counted; a look costs `weight`."""
        self.others = 0
        self.used = -1
        self.limit = Limits().weight_1m
        self._weight = weight
        self._wished_s = wished_s
        self._minute = -1
        self._own = 0
        self._others_before = 0
        self._others_now = 0

    def note(self, *, now: float, weight_1m: int) -> None:
        """Count a look; `weight_1m` is the venue's word after it, -1 when it said nothing."""
        minute = int(now // MINUTE_S)
        if minute != self._minute:
            is_next = minute == self._minute + 1
            self._others_before = self._others_now if is_next else 0
            self._minute, self._own, self._others_now = minute, 0, 0
        self._own += self._weight
        if weight_1m >= 0:
            self.used = weight_1m
            self._others_now = max(weight_1m - self._own, 0)
        self.others = max(self._others_now, self._others_before)

    def wait_s(self, *, now: float) -> float:
        """Return how long to wait for the next look: up to what is left of a minute and a bit."""
        looks = self._looks_a_minute(self.others)
        if looks < 1:
            return MINUTE_S - now % MINUTE_S + 1.0
        return max(self._wished_s, MINUTE_S / looks)

    @property
    def is_slowed(self) -> bool:
        """Whether looks are rarer than they would be, for others use the weight up."""
        alone = min(self._looks_a_minute(0), MINUTE_S / self._wished_s)
        return self._looks_a_minute(self.others) < alone

    def _looks_a_minute(self, others: int) -> int:
        free = min(
            self.limit - pacing.WATCHED_WEIGHT_KEPT - others, int(self.limit * pacing.WATCHED_SHARE)
        )
        return max(free, 0) // self._weight


def asked_to_wait_s(refusal: VenueAnswer | None, *, now: float) -> float:
    """Return how long the venue must be left alone after a refusal; 0 where it asked for nothing.

    A ban lasts until the moment it names; asking during one makes it longer.
    """
    if refusal is None:
        return 0.0
    if refusal.banned_until_ms is not None:
        return max(refusal.banned_until_ms / 1000 - now, 0.0) + 1.0
    if refusal.retry_after_s is not None:
        return refusal.retry_after_s
    if refusal.kind is AnswerKind.PAUSE:
        return pacing.WATCHED_PAUSE_S
    if refusal.kind is AnswerKind.RUN_FATAL:
        return pacing.WATCHED_KEY_PAUSE_S
    return pacing.WATCHED_PAUSE_S if refusal.is_rate_limit else 0.0
