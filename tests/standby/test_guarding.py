"""How guards are fed while a process is armed, in virtual time: how soon they trip, and by what."""

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from itertools import product as combinations
from typing import Any

import pytest

from liqctl.kernel import pacing
from liqctl.kernel.costs import armed_costs
from liqctl.kernel.policy import Guard, LiquidationConfig, Rule
from liqctl.kernel.states import Margin, Product, TripCause
from liqctl.sim import checks
from liqctl.sim.events import make_event
from liqctl.sim.venue import Venue, WorldEvent
from tests.armed import stand
from tests.standby.test_armed import event, sent
from tests.standby.test_weight import BOTH, COINM, GUARDS, USDM, make_venue

LOSS = Guard(rule=Rule.MAX_LOSS, limit=Decimal(5000))
DRAWDOWN = Guard(rule=Rule.MAX_DRAWDOWN, limit=Decimal(5))
DROP_S = 400.0


def trip_after(venue: Any, at_s: float, **settings: Any) -> float:
    """Return how long after a moment it trips."""
    _, watch = stand(venue, until_s=at_s + 300, **settings)
    assert watch.trigger is not None
    assert watch.tripped_at is not None
    return watch.tripped_at - at_s


@pytest.mark.parametrize(
    ("margin", "products", "symbol", "price", "within_s"),
    [
        (Margin.STANDARD, USDM, "BTCUSDT", "30000", 11.0),
        (Margin.STANDARD, COINM, "BTCUSD_PERP", "30000", 30.0),
        (Margin.STANDARD, BOTH, "BTCUSDT", "30000", 18.0),
        (Margin.PORTFOLIO, BOTH, "BTCUSDT", "30000", 12.0),
    ],
    ids=["usdm", "coinm", "both", "portfolio"],
)
def test_a_loss_trips_as_soon_as_is_announced(
    margin: Margin, products: tuple[Product, ...], symbol: str, price: str, within_s: float
) -> None:
    """One gap, and two more readings that agree; with every guard on."""
    guards = (LOSS, *GUARDS[1:])
    policy = LiquidationConfig(products=products)
    took_s = []
    for phase in range(6):
        venue = make_venue(margin=margin.value)
        at_s = DROP_S + phase * 2.3
        event(venue, "set_mark", at_s, symbol=symbol, price=price)
        took_s.append(trip_after(venue, at_s, policy=policy, guards=guards))

    assert max(took_s) <= within_s
    assert min(took_s) >= 2 * pacing.ARMED_OVER_S


@pytest.mark.parametrize("readings", [5, 10, 20])
@pytest.mark.parametrize("products", [USDM, BOTH], ids=["usdm", "both"])
def test_many_readings_take_as_long_as_is_announced(
    products: tuple[Product, ...], readings: int
) -> None:
    """Ten readings of both products took three minutes: each of them asked for transfers."""
    guards = (replace(LOSS, readings=readings), *GUARDS[1:])
    policy = LiquidationConfig(products=products)
    for at_s in (615.0, 709.0):
        venue = make_venue()
        event(venue, "set_mark", at_s, symbol="BTCUSDT", price="30000")

        took_s = trip_after(venue, at_s, policy=policy, guards=guards)

        least_s = (readings - 1) * pacing.ARMED_OVER_S
        assert least_s <= took_s <= pacing.ARMED_READ_MAX_S + armed_costs(guards, policy).over_s + 1
        asked = [at for at in sent(venue, "/fapi/v1/income") if at_s < at < at_s + took_s]
        assert len(asked) == 2, "with the first reading over the limit, and with the last one"


def test_money_that_is_moved_all_the_time_delays_nothing() -> None:
    """Order lists were read once and never again, and readings were 24 s apart."""
    venue, at_s = make_venue(), 1300.0
    transfers = {"act": "transfer", "amount": "1", "at_ms": 60_000, "every_ms": 8000}
    venue.events.append(make_event({**transfers, "times": 10_000}))
    event(venue, "set_mark", at_s, symbol="BTCUSDT", price="30000")

    _, watch = stand(venue, until_s=at_s + 300, guards=(LOSS, *GUARDS[1:]))

    assert watch.tripped_at is not None
    assert watch.tripped_at - at_s <= 18
    looks = sent(venue, "/fapi/v3/positionRisk")
    assert max(later - at for at, later in pairwise(looks)) <= pacing.ARMED_READ_MAX_S + 0.5
    lists = sent(venue, "GET /fapi/v1/openOrders")
    most_s = pacing.ARMED_LISTS_GUARDED_S + pacing.ARMED_READ_MAX_S + 1
    assert max(later - at for at, later in pairwise([*lists, at_s])) <= most_s
    assert [told.value for _, told, _ in watch.told] == ["degraded", "armed"], "while it connects"
    assert len(sent(venue, "/fapi/v1/income")) > at_s / pacing.GUARD_TRANSFERS_S, "sooner as well"


@pytest.mark.parametrize(
    ("margin", "products"), [*combinations(Margin, (USDM, COINM, BOTH))], ids=str
)
def test_the_weight_suffices_for_readings_that_are_close_enough(
    margin: Margin, products: tuple[Product, ...]
) -> None:
    """Farther apart, a trip would begin with a reading, and values would not be known any more."""
    policy = LiquidationConfig(products=products, margin=margin)

    gap_s = armed_costs(GUARDS, policy).gap_s

    assert gap_s < pacing.ARMED_READ_MAX_S
    assert 2 * gap_s < pacing.MIRROR_AGE_MAX_S
    assert pacing.GUARD_PRICES_S + gap_s / 2 < pacing.GUARD_AGE_MAX_S
    assert pacing.GUARD_TRANSFERS_S + gap_s < pacing.TRANSFERS_AGE_MAX_S


@pytest.mark.parametrize("amount", ["-60000", "60000"])
@pytest.mark.parametrize("is_told", [True, False])
def test_money_that_is_moved_trips_nothing(amount: str, *, is_told: bool) -> None:
    """A withdrawal is no loss, a deposit no peak; a stream that says nothing proves nothing."""
    venue = make_venue()
    event(venue, "transfer", DROP_S, amount=amount)
    if not is_told:
        venue.add_fault("stream_silent", event="ACCOUNT_UPDATE", times=0)

    _, watch = stand(venue, until_s=DROP_S + 600, guards=(LOSS, DRAWDOWN))

    assert watch.trigger is None
    after = [at_s for at_s in sent(venue, "/fapi/v1/income") if at_s > DROP_S]
    if is_told:
        assert after[0] < DROP_S + 12


def test_transfers_that_cannot_be_read_slow_nothing_down() -> None:
    """What is unknown for ever is left to its turn, and the other guards go on."""
    venue = make_venue()
    venue.add_fault("internal_error", path="/income", times=0)
    event(venue, "set_mark", DROP_S, symbol="BTCUSDT", price="600000")
    notional = Guard(rule=Rule.MAX_NOTIONAL, limit=Decimal(250_000))

    _, watch = stand(venue, until_s=DROP_S + 60, guards=(LOSS, notional))

    assert watch.trigger is not None
    assert watch.trigger.by is TripCause.GUARD
    assert watch.tripped_at is not None
    assert watch.tripped_at < DROP_S + 25
    assert len(sent(venue, "/fapi/v1/income")) <= pacing.GUARD_UNKNOWN_TRIES + 5


def test_a_product_that_is_not_read_leaves_a_sum_that_is_over_over() -> None:
    """Its part could only add to it; of a loss nothing is known without it."""
    venue = make_venue()
    venue.add_fault("not_authorised", host="dapi", times=0)
    event(venue, "set_mark", 60, symbol="BTCUSDT", price="600000")
    notional = Guard(rule=Rule.MAX_NOTIONAL, limit=Decimal(250_000))

    armed, watch = stand(venue, until_s=120, guards=(LOSS, notional))

    assert watch.trigger is not None
    assert watch.trigger.figures["rule"] == "max_notional"
    levels = {each["rule"]: each["level"] for each in armed.guarding.describe()}
    assert levels == {"max_loss": "unknown", "max_notional": "over"}


def test_too_many_orders_trip_also_while_something_is_degraded() -> None:
    """What was heard is the least that there was: a bot runs wild while COIN-M is not read."""
    venue = make_venue()
    venue.add_fault("not_authorised", host="dapi", times=0)

    def come_and_go(venue: Venue) -> None:
        order = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        order |= {"price": "2000", "quantity": "1", "reduceOnly": "", "positionSide": ""}
        order["newClientOrderId"] = f"bot-{venue.account.next_id()}"
        venue.account.end(checks.place(venue.account, order, owner="bot"), "CANCELED")

    venue.events.append(
        WorldEvent(act=come_and_go, name="bot", at_ms=70_000, every_ms=500, times=400)
    )
    guard = Guard(rule=Rule.MAX_ORDERS_PER_MINUTE, limit=Decimal(30))

    assert trip_after(venue, 70.0, guards=[guard]) < 40
