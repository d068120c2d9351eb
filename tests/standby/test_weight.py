"""What an armed process takes of the request weight, which bots at its address share."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from liqctl.kernel import pacing
from liqctl.kernel.limits import LIMITS_BY_MARGIN
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.states import Margin, Product
from liqctl.sim.events import make_event
from liqctl.sim.scenario import Scenario
from liqctl.sim.venue import Venue
from tests.armed import Watch, stand, weights_of

USDM = (Product.USDM,)
COINM = (Product.COINM,)
BOTH = (Product.USDM, Product.COINM)
LIMITS = {
    Rule.MAX_LOSS: 1_000_000,
    Rule.MAX_DRAWDOWN: 90,
    Rule.MAX_NOTIONAL: 10_000_000,
    Rule.MAX_POSITION_NOTIONAL: 10_000_000,
    Rule.MIN_MARGIN_RATIO: Decimal("1.01"),
    Rule.MAX_ORDERS_PER_MINUTE: 1000,
}
GUARDS = tuple(Guard(rule=rule, limit=Decimal(str(limit))) for rule, limit in LIMITS.items())
HOUR_S = 3600.0
ORDERS = [
    {"symbol": symbol, "side": "SELL", "price": price, "quantity": "20"}
    for symbol, price in {"BTCUSDT": "61000", "ETHUSDT": "3100", "SOLUSDT": "160"}.items()
]


def make_venue(**account: Any) -> Venue:
    """Return a venue of an account with something open in both products."""
    return Scenario(
        name="weight",
        account={
            "positions": {"BTCUSDT": "0.5", "BTCUSD_PERP": "10", "ETHUSD_PERP": "-20"},
            **account,
        },
        venue={"balance": "100000", "coins": {"BTC": "2", "ETH": "10"}},
    ).make_venue()


def each_hour(spent: Counter[int]) -> list[int]:
    """Return the sum of each sixty minutes in a row, the first ones included."""
    minutes = range(min(spent), max(spent) + 1)
    every = [spent[minute] for minute in minutes]
    return [sum(every[at : at + 60]) for at in range(max(len(every) - 60, 0) + 1)]


@pytest.mark.parametrize(
    ("margin", "products", "guards"),
    [
        (Margin.STANDARD, USDM, GUARDS),
        (Margin.STANDARD, COINM, GUARDS),
        (Margin.STANDARD, BOTH, GUARDS),
        (Margin.STANDARD, BOTH, ()),
        (Margin.PORTFOLIO, BOTH, GUARDS),
    ],
    ids=["usdm", "coinm", "both", "both-without-guards", "portfolio"],
)
def test_every_guard_together_takes_a_tenth_of_the_weight(
    margin: Margin, products: tuple[Product, ...], guards: Sequence[Guard]
) -> None:
    """On one product or both, in any hour, also the first one with its anchor and its lists."""
    venue = make_venue(margin=margin.value)
    policy = LiquidationConfig(products=products)

    _, watch = stand(venue, until_s=HOUR_S + 600, policy=policy, guards=guards)

    assert watch.trigger is None
    limit = LIMITS_BY_MARGIN[margin].weight_1m
    hours = each_hour(weights_of(venue))
    assert 0.09 * limit * 60 < max(hours) <= 0.1 * limit * 60


def test_nothing_that_goes_on_takes_more_of_the_weight() -> None:
    """Bots that trade all the time, streams that are cut, money that moves, guards that are over.

    Each of them lets something be read sooner than in its turn.
    """
    venue = make_venue()
    for act, every_ms, more in (
        ("flip", 1_400, {"symbol": "BTCUSDT"}),
        ("cut_streams", 50_000, {}),
        ("transfer", 7_000, {"amount": "1"}),
        ("set_mark", 61_000, {"symbol": "ETHUSD_PERP", "price": "3100"}),
    ):
        entry = {"act": act, "every_ms": every_ms, "times": 100_000, "at_ms": 5000, **more}
        venue.events.append(make_event(entry))
    venue.add_fault("internal_error", path="/v3/positionRisk", times=0, from_ms=1_800_000)
    over = Guard(rule=Rule.MAX_NOTIONAL, limit=Decimal(1), readings=20)
    loss = Guard(rule=Rule.MAX_LOSS, limit=Decimal("0.01"), readings=20)
    watch = Watch()

    stand(venue, until_s=HOUR_S, guards=(*GUARDS, over, loss), observe=watch.observe)

    assert watch.observed
    spent = weights_of(venue)
    assert max(each_hour(spent)) <= 0.1 * LIMITS_BY_MARGIN[Margin.STANDARD].weight_1m * 60
    assert min(spent.values()) > 0


def test_a_guard_that_is_over_now_and_then_takes_no_more_of_the_weight() -> None:
    """Each time its first reading asks everything, which is paid for before the next one leaves."""
    venue = make_venue()
    for at_ms, price in ((400_000, "55000"), (406_000, "60000")):
        mark = {"act": "set_mark", "symbol": "BTCUSDT", "price": price, "at_ms": at_ms}
        venue.events.append(make_event({**mark, "every_ms": 25_000, "times": 1000}))
    loss = Guard(rule=Rule.MAX_LOSS, limit=Decimal(500), readings=5)

    _, watch = stand(venue, until_s=HOUR_S, guards=(loss, *GUARDS[1:]))

    assert watch.trigger is None
    spent = weights_of(venue)
    assert max(each_hour(spent)) <= 0.1 * LIMITS_BY_MARGIN[Margin.STANDARD].weight_1m * 60
    journal = venue.account.journal.requests
    looks = [at_ms for at_ms, _, path, _ in journal if path == "/fapi/v3/positionRisk"]
    assert max(later - at for at, later in pairwise(looks)) < pacing.MIRROR_AGE_MAX_S * 1000


def test_a_countdown_comes_on_top_and_is_bounded() -> None:
    """It is renewed at its own pace: one that waits for weight cancels a healthy book."""
    venue = make_venue(orders=ORDERS)

    stand(venue, until_s=HOUR_S, guards=GUARDS, countdown_s=30.0)

    pool = LIMITS_BY_MARGIN[Margin.STANDARD].weight_1m * 60
    assert max(each_hour(weights_of(venue))) <= 0.1 * pool
    assert 0.05 * pool < max(each_hour(weights_of(venue, countdowns=True))) <= 0.1 * pool
