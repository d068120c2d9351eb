"""What is known of an account between two readings."""

from decimal import Decimal

import pytest

from liqctl.kernel import pacing
from liqctl.kernel.states import Product
from liqctl.kernel.values import (
    Leg,
    OpenOrder,
    OrderKind,
    Position,
    PositionSide,
    Reading,
    Side,
    Snapshot,
    StreamEvent,
    StreamKind,
)
from liqctl.standby.mirror import Health, Mirror, StreamFacts, judge

BTC = Leg("BTCUSDT", PositionSide.BOTH)
ETH = Leg("ETHUSDT", PositionSide.BOTH)
LONG = Leg("BTCUSDT", PositionSide.LONG)
SHORT = Leg("BTCUSDT", PositionSide.SHORT)
COIN = Leg("BTCUSD_PERP", PositionSide.BOTH, Product.COINM)
ORDER = OpenOrder(
    symbol="BTCUSDT",
    position_side=PositionSide.BOTH,
    kind=OrderKind.REGULAR,
    order_id="1",
    side=Side.BUY,
    quantity=Decimal(1),
)


def read(
    at: float, held: dict[Leg, str], *, orders: tuple[OpenOrder, ...] = (), **more: object
) -> Snapshot:
    """Return a reading that began at a moment and took a tenth of a second; one unit is 100."""
    items = tuple(
        Position(leg=leg, quantity=Decimal(text), notional=abs(Decimal(text)) * 100)
        for leg, text in held.items()
    )
    snapshot = Snapshot(
        positions=Reading(items=items),
        regular_orders=Reading(items=orders),
        algo_orders=Reading(),
        started_at=at,
        finished_at=at + 0.1,
    )
    return snapshot._replace(**more)  # type: ignore[arg-type]


def told(leg: Leg, amount: str, *, at_ms: int = 0, price: str | None = None) -> StreamEvent:
    """Return an event about one leg."""
    return StreamEvent(
        kind=StreamKind.POSITIONS,
        at_ms=at_ms,
        amounts=((leg, Decimal(amount)),),
        entry_prices=((leg, Decimal(price)),) if price else (),
    )


def amounts(mirror: Mirror) -> dict[Leg, str]:
    """Return what the mirror holds."""
    return {position.leg: str(position.quantity) for position in mirror.positions}


def test_an_event_after_a_reading_changes_it() -> None:
    """The first orders need no reading."""
    mirror = Mirror(Product.USDM)
    mirror.take(read(10, {BTC: "1", ETH: "2"}))
    mirror.hear(told(BTC, "0.4", at_ms=1), 11)
    mirror.hear(told(ETH, "0", at_ms=1), 11)

    assert amounts(mirror) == {BTC: "0.4"}
    assert mirror.positions[0].notional == 40


def test_an_event_during_a_reading_is_newer_than_it() -> None:
    """The reading may have been answered before it happened."""
    mirror = Mirror(Product.USDM)
    mirror.hear(told(BTC, "3", at_ms=1), 10.05)
    mirror.take(read(10, {BTC: "1"}))

    assert amounts(mirror) == {BTC: "3"}


def test_an_event_long_before_a_reading_is_over() -> None:
    """What a reading shows is so."""
    mirror = Mirror(Product.USDM)
    mirror.hear(told(BTC, "3", at_ms=1), 5)
    mirror.take(read(10, {BTC: "1"}))

    assert amounts(mirror) == {BTC: "1"}


def test_a_reading_that_lags_does_not_undo_what_was_told() -> None:
    """Lists lag by up to two seconds; a row's own stamp tells which is newer."""
    mirror = Mirror(Product.USDM)
    mirror.hear(told(BTC, "3", at_ms=2000), 9)
    mirror.hear(told(ETH, "5", at_ms=2000), 9)
    snapshot = read(10, {BTC: "1"})
    old = snapshot.positions.items[0]._replace(update_time_ms=1000)
    mirror.take(snapshot._replace(positions=Reading(items=(old,))))
    assert amounts(mirror) == {BTC: "3", ETH: "5"}

    new = old._replace(update_time_ms=2000)
    mirror.take(snapshot._replace(started_at=10.5, positions=Reading(items=(new,))))
    assert amounts(mirror) == {BTC: "1", ETH: "5"}


def test_events_out_of_order_are_sorted_by_their_stamps() -> None:
    """In busy hours one overtakes another."""
    mirror = Mirror(Product.USDM)
    mirror.take(read(10, {BTC: "1"}))
    mirror.hear(told(BTC, "0", at_ms=2000), 11)
    mirror.hear(told(BTC, "7", at_ms=1000), 12)

    assert amounts(mirror) == {}
    assert mirror.heard_at == 12


def test_the_same_event_twice_is_once() -> None:
    """Duplicates happen."""
    mirror = Mirror(Product.USDM)
    mirror.take(read(10, {}))
    for _ in range(2):
        mirror.hear(told(BTC, "1", at_ms=5, price="100"), 11)

    assert amounts(mirror) == {BTC: "1"}


def test_hedge_legs_are_apart() -> None:
    """Of a hedged symbol one leg may go while the other stays."""
    mirror = Mirror(Product.USDM)
    mirror.take(read(10, {LONG: "1", SHORT: "-2"}))
    mirror.hear(told(LONG, "0", at_ms=1), 11)

    assert amounts(mirror) == {SHORT: "-2"}


@pytest.mark.parametrize(
    ("known", "leg", "price", "worth"),
    [({LONG: "1"}, SHORT, "90", 300), ({}, SHORT, "90", 270), ({}, SHORT, None, 0)],
)
def test_a_leg_that_is_new_is_worth_something(
    known: dict[Leg, str], leg: Leg, price: str | None, worth: int
) -> None:
    """The worst legs are closed first: by an earlier row of the symbol, else its entry price."""
    mirror = Mirror(Product.USDM)
    mirror.take(read(10, known))
    mirror.hear(told(leg, "-3", at_ms=1, price=price), 11)

    assert mirror.positions[-1].notional == worth


def test_new_contracts_are_worth_their_size() -> None:
    """Of COIN-M the entry price says nothing of a contract's worth."""
    mirror = Mirror(Product.COINM)
    mirror.take(read(10, {}, product=Product.COINM))
    mirror.hear(told(COIN, "-3", at_ms=1, price="60000"), 11)

    assert mirror.positions[0].notional == 300


def test_an_incomplete_reading_changes_no_position() -> None:
    """It proves nothing absent."""
    mirror = Mirror(Product.USDM)
    mirror.take(read(10, {BTC: "1"}))
    mirror.take(read(12, {}, positions=Reading(complete=False)))
    mirror.take(read(9, {ETH: "1"}))

    assert amounts(mirror) == {BTC: "1"}
    assert mirror.read_at == 10


def test_the_first_orders_are_made_from_lists_that_nothing_changed_since() -> None:
    """An event about orders, or about positions, makes them stale."""
    mirror = Mirror(Product.USDM)
    mirror.connect(10)
    mirror.take(read(10, {BTC: "1"}, orders=(ORDER,)))
    first = mirror.first(11)
    assert first is not None
    assert not first.is_brief
    assert first.orders == (ORDER,)
    assert first.age_s == 1

    mirror.hear(StreamEvent(kind=StreamKind.ORDER, symbol="BTCUSDT"), 12)
    stale = mirror.first(12)
    assert stale is not None
    assert stale.is_brief
    assert stale.orders == ()
    assert 0 < stale.age_s < 0.01


def test_no_stop_goes_by_a_position_that_only_the_stream_told_of() -> None:
    """Seed 1011107: a leg told as long made the stop of a short leg look like an opening order."""
    mirror = Mirror(Product.USDM)
    mirror.connect(9)
    mirror.take(read(10, {BTC: "-1"}, orders=(ORDER,)))
    mirror.hear(told(BTC, "1", at_ms=1), 11)

    first = mirror.first(11)
    assert first is not None
    assert first.is_brief


def test_partial_lists_are_not_believed() -> None:
    """A list that failed does not replace the one before; a reconnect forgets both."""
    mirror = Mirror(Product.USDM)
    mirror.connect(9)
    mirror.take(read(10, {BTC: "1"}, orders=(ORDER,)))
    mirror.take(read(12, {BTC: "1"}, regular_orders=Reading(complete=False)))
    assert mirror.orders == (ORDER,)
    assert (mirror.lists_at, mirror.regular_at) == (10, 10)
    mirror.take(read(12.5, {BTC: "1"}, orders=(ORDER,), algo_orders=Reading(complete=False)))
    assert (mirror.lists_at, mirror.regular_at) == (12, 12.5)

    mirror.connect(13)
    mirror.take(read(12.9, {BTC: "1"}, orders=(ORDER,)))
    assert mirror.orders == (ORDER,)
    first = mirror.first(13)
    assert first is not None
    assert first.is_brief


def test_what_is_too_old_begins_nothing() -> None:
    """Then a run reads first, like any other; and so where nothing is held."""
    mirror = Mirror(Product.USDM)
    assert mirror.first(0) is None
    mirror.take(read(10, {BTC: "1"}))
    assert mirror.first(10 + pacing.MIRROR_AGE_MAX_S) is not None
    assert mirror.first(10.1 + pacing.MIRROR_AGE_MAX_S) is None
    mirror.hear(told(BTC, "0", at_ms=1), 11)
    assert mirror.first(11) is None


def test_a_change_that_was_not_told_is_noticed() -> None:
    """A dead stream and a quiet account look the same, until a reading shows a change."""
    mirror = Mirror(Product.USDM)
    mirror.connect(0)
    # The first reading may show what was before the connection.
    steps = [read(1, {BTC: "1"}), read(3, {BTC: "2"}), read(6, {BTC: "2", ETH: "1"})]
    found = []
    for snapshot in steps:
        mirror.take(snapshot)
        found.append(mirror.untold_at)
    for leg, amount in ((BTC, "2"), (ETH, "1")):
        mirror.hear(told(leg, amount, at_ms=1), 7)
        found.append(mirror.untold_at)

    assert found == [None, None, 6.1, 6.1, None]


def test_an_untrue_event_is_no_silence() -> None:
    """Readings are compared with one another."""
    mirror = Mirror(Product.USDM)
    mirror.connect(0)
    mirror.take(read(3, {BTC: "1"}))
    mirror.hear(told(BTC, "9", at_ms=1), 4)
    mirror.take(read(8, {BTC: "1"}))

    assert amounts(mirror) == {BTC: "1"}
    assert mirror.untold_at is None


def make_facts(**changes: object) -> StreamFacts:
    """Return a stream that is well at second 100."""
    well = {"connected_at": 90.0, "confirmed_at": 90.0, "read_since": True, "connections": 1}
    return StreamFacts(mirrors=(Mirror(Product.USDM),), **well | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"connected_at": None, "trouble": "refused"}, "stream: refused"),
        ({"confirmed_at": 100 - pacing.KEY_CONFIRMED_S - 1}, "not confirmed"),
        ({"read_since": False}, "nothing was read"),
        ({"late_at": 99.0}, "late"),
    ],
)
def test_what_makes_a_stream_unreliable(changes: dict[str, object], said: str) -> None:
    """Each is a check of its own."""
    health, (reason,) = judge([make_facts(**changes)], read_at=99, now=100)

    assert health is Health.DEGRADED
    assert said in reason


def test_health_says_the_same_words_for_as_long_as_the_cause_is_the_same() -> None:
    """A reason with an age in it was told, and recorded, each second."""
    facts = make_facts(connected_at=None)
    first = judge([facts], read_at=0, now=100, trouble="HTTP 503")
    assert first == judge([facts], read_at=0, now=101, trouble="HTTP 503")
    assert first[0] is Health.BLIND
    assert "HTTP 503" in first[1][0]
    assert judge([make_facts()], read_at=0, now=100)[0] is Health.DEGRADED
    assert judge([make_facts()], read_at=99, now=100) == (Health.ARMED, ())


def test_an_event_on_time_ends_lateness() -> None:
    """And a minute without any does."""
    facts = make_facts()
    facts.hear(told(BTC, "1", at_ms=1_000_000), 100, epoch_s=1010)
    assert "late" in str(facts.why_unhealthy(100))
    assert facts.why_unhealthy(100 + pacing.STREAM_LATE_KEPT_S) is None
    facts.hear(told(BTC, "1", at_ms=1_009_000), 100, epoch_s=1010)
    assert facts.why_unhealthy(100) is None
