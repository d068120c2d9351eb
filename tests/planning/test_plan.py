"""What is sent for a reading: properties of every plan, and the cases behind them."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from liqctl.domain.account import (
    Leg,
    MarketRules,
    OpenOrder,
    Position,
    PositionMode,
    PositionSide,
    Side,
    Snapshot,
)
from liqctl.domain.commands import CloseOrder, OrderType, is_reducing
from liqctl.planning.ledger import LegRecord, first_seen
from liqctl.planning.plan import Memory, Plan, make_plan
from liqctl.planning.policy import LiquidationConfig
from liqctl.planning.protection import is_protective
from liqctl.planning.retry import Adaptation
from tests.planning.builders import limit, position, snapshot, stop

ALL = LiquidationConfig()
RULES = MarketRules(
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    step_size=Decimal("0.001"),
    market_quantity_max=Decimal(120),
    limit_quantity_max=Decimal(1000),
    price_multiplier_up=Decimal("1.05"),
    price_multiplier_down=Decimal("0.95"),
)


def memory(
    reading: Snapshot,
    *,
    changes: dict[Leg, dict[str, object]] | None = None,
    rules: MarketRules | None = None,
    mark: str | None = None,
    mode: PositionMode | None = None,
) -> Memory:
    """Return a memory in which every position of the reading was seen just now."""
    legs: dict[Leg, LegRecord] = {}
    for held in reading.positions.items:
        record = first_seen(held, reading.started_at)
        legs[held.leg] = record._replace(**(changes or {}).get(held.leg, {}))  # type: ignore[arg-type]
    return Memory(
        legs=legs,
        orders={},
        rules={rules.symbol: rules} if rules else {},
        marks={"BTCUSDT": Decimal(mark)} if mark else {},
        mode=mode,
        now=reading.started_at,
    )


def plan_of(reading: Snapshot, policy: LiquidationConfig = ALL) -> Plan:
    """Return the first plan for a reading."""
    return make_plan(reading, memory(reading), policy)


def test_the_largest_exposure_comes_first() -> None:
    """What a deadline or an order limit cuts off is the tail."""
    reading = snapshot(
        position("1", symbol="AUSDT", notional="10"),
        position("-1", symbol="BUSDT", notional="900"),
        position("1", symbol="CUSDT", notional="200"),
    )

    assert [plan.symbol for plan in plan_of(reading).symbols] == ["BUSDT", "CUSDT", "AUSDT"]


def test_protective_stops_are_kept_and_dangerous_ones_go() -> None:
    """The stop of an open leg is the last line of defence."""
    protective = stop("1", reduce_only=True)
    dangerous = stop("2", side=Side.BUY)
    reading = snapshot(position("1"), algo=(protective, dangerous), regular=(limit(),))

    plan = plan_of(reading)

    assert plan.kept == (protective,)
    assert plan.symbols[0].alone == (dangerous,)
    assert plan.symbols[0].cancel_regular
    assert not plan.symbols[0].cancel_all_algo


def test_a_stop_on_a_leg_that_reads_flat_stays_and_what_could_open_goes() -> None:
    """A stop that can only reduce is evidence of a position that the list does not show yet."""
    evidence, entry = stop("1", reduce_only=True), stop("2")

    plan = plan_of(snapshot(algo=(evidence, entry)))

    assert plan.symbols[0].alone == (entry,)
    assert not plan.symbols[0].cancel_all_algo


def test_stops_wait_while_the_positions_could_not_be_read() -> None:
    """An unread account may hold the position that they protect."""
    reading = snapshot(algo=(stop("1", reduce_only=True),), positions_read=False)

    assert plan_of(reading).is_empty


def test_unseen_stops_are_not_swept_before_their_leg_was_read_flat() -> None:
    """With positions and stops both unread, a blind sweep would leave an open leg naked."""
    reading = snapshot(regular=(limit(),), algo=None, positions_read=False)

    assert not plan_of(reading).symbols[0].cancel_all_algo


def test_an_unread_order_book_is_cancelled_blindly_before_the_close() -> None:
    """A resting order that was not seen blocks the close all the same."""
    plan = plan_of(snapshot(position("1"), regular=None))

    assert plan.symbols[0].cancel_regular
    assert plan.symbols[0].closes


def test_an_oversize_position_is_split_exactly() -> None:
    """MARKET_LOT_SIZE bounds market orders; the parts sum to the position."""
    held = position("300.5")
    reading = snapshot(held)
    known = memory(
        reading, changes={held.leg: {"adapted": frozenset({Adaptation.SPLIT})}}, rules=RULES
    )

    close = make_plan(reading, known, ALL).symbols[0].closes[0]

    assert close.parts == (Decimal(120), Decimal(120), Decimal("60.5"))


def test_without_market_rules_an_oversize_position_is_halved() -> None:
    """The rules may be unreachable; the position still has to go."""
    held = position("300")
    reading = snapshot(held)
    changes: dict[Leg, dict[str, object]] = {
        held.leg: {"adapted": frozenset({Adaptation.SPLIT}), "part_max": Decimal(150)}
    }

    plan = make_plan(reading, memory(reading, changes=changes), ALL)

    assert plan.symbols[0].closes[0].parts == (Decimal(150), Decimal(150))
    assert plan.needs_rules == {"BTCUSDT"}


def test_a_thin_book_is_met_with_a_limit_at_the_edge_of_the_band() -> None:
    """SELL >= mark x 0.95, rounded up into the band; BUY <= mark x 1.05, rounded down."""
    for quantity, price in (("1", "9500.1"), ("-1", "10500.0")):
        held = position(quantity)
        reading = snapshot(held)
        changes: dict[Leg, dict[str, object]] = {
            held.leg: {"adapted": frozenset({Adaptation.LIMIT_IOC})}
        }
        known = memory(reading, changes=changes, rules=RULES, mark="10000.04")

        close = make_plan(reading, known, ALL).symbols[0].closes[0]

        assert close.type is OrderType.LIMIT
        assert close.price == Decimal(price)


def test_a_flipped_position_mode_renames_the_leg_of_the_order() -> None:
    """COIN-M can flip the mode: a long on BOTH is then closed as LONG."""
    reading = snapshot(position("-2"))

    close = make_plan(reading, memory(reading, mode=PositionMode.HEDGE), ALL).symbols[0].closes[0]

    assert close.order_leg.position_side is PositionSide.SHORT
    assert close.side is Side.BUY


def test_orders_only_leaves_positions_and_their_stops_alone() -> None:
    """Out of scope is out of scope."""
    reading = snapshot(position("1"), algo=(stop(reduce_only=True),), regular=(limit(),))

    plan = plan_of(reading, LiquidationConfig(close_positions=False))

    assert plan.symbols[0].closes == ()
    assert plan.symbols[0].alone == ()
    assert plan.symbols[0].cancel_regular


def test_nothing_outside_the_chosen_symbols_is_touched() -> None:
    """--symbol narrows everything."""
    reading = snapshot(position("1"), position("1", symbol="ETHUSDT"), regular=(limit(),))

    plan = plan_of(reading, LiquidationConfig(symbols=("ETHUSDT",)))

    assert [plan.symbol for plan in plan.symbols] == ["ETHUSDT"]


quantities = st.decimals(min_value="-500", max_value="500", places=3).filter(bool)
legs = st.sampled_from(["AUSDT", "BUSDT", "币安人生USDT"])
stops = st.builds(
    stop,
    order_id=st.integers(1, 99).map(str),
    symbol=legs,
    side=st.sampled_from([Side.BUY, Side.SELL, None]),
    quantity=st.sampled_from(["0.1", "1", "1000", None]),
    reduce_only=st.booleans(),
    close_position=st.booleans(),
)


@st.composite
def accounts(draw: st.DrawFn) -> Snapshot:
    """Draw an account in either mode with any mix of conditional orders."""
    hedge = draw(st.booleans())
    held: dict[Leg, Position] = {}
    for symbol in draw(st.lists(legs, unique=True)):
        sides = [PositionSide.LONG, PositionSide.SHORT] if hedge else [PositionSide.BOTH]
        for side in sides:
            quantity = draw(quantities)
            if side is not PositionSide.BOTH:
                quantity = abs(quantity) if side is PositionSide.LONG else -abs(quantity)
            one = Position(
                leg=Leg(symbol=symbol, position_side=side),
                quantity=quantity,
                notional=abs(quantity),
            )
            held[one.leg] = one
    algo: list[OpenOrder] = draw(st.lists(stops, unique_by=lambda order: order.order_id))
    return snapshot(*held.values(), algo=tuple(algo))


@given(accounts())
def test_every_planned_order_can_only_reduce_and_never_exceeds_its_leg(account: Snapshot) -> None:
    """The rule that makes everything else forgivable."""
    held = {p.leg: p for p in account.positions.items}
    for symbol_plan in plan_of(account).symbols:
        for close in symbol_plan.closes:
            assert sum(close.parts) == held[close.position.leg].size
            for part in close.parts:
                one_way = close.order_leg.position_side is PositionSide.BOTH
                order = CloseOrder(
                    leg=close.order_leg,
                    side=close.side,
                    quantity=part,
                    client_order_id="x",
                    reduce_only=one_way,
                )
                assert is_reducing(order)


@given(accounts())
def test_no_plan_cancels_a_protective_stop_of_an_open_leg(account: Snapshot) -> None:
    """Stops last, whatever else is on the account."""
    held = {p.leg: p for p in account.positions.items}
    for symbol_plan in plan_of(account).symbols:
        for order in (*symbol_plan.alone, *symbol_plan.swept):
            assert not is_protective(order, held)
        if symbol_plan.cancel_all_algo:
            assert not any(leg.symbol == symbol_plan.symbol for leg in held)
