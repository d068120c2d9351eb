"""What is sent for a reading: properties of every plan, and the cases behind them."""

import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqctl.kernel.amounts import PARTS_MAX, plain
from liqctl.kernel.answers import Adaptation, AnswerKind, VenueAnswer
from liqctl.kernel.ledger import LegRecord, OrderRecord, first_seen
from liqctl.kernel.plan import LegClose, Mark, Memory, Plan, Planner, make_plan, wants_mark
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import Look, is_protective
from liqctl.kernel.result import SentOrder
from liqctl.kernel.values import (
    CloseOrder,
    Leg,
    MarketRules,
    OpenOrder,
    OrderKind,
    OrderStatus,
    Position,
    PositionMode,
    PositionSide,
    Side,
    Snapshot,
    is_reducing,
)
from tests.kernel.builders import limit, position, snapshot, stop

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
        marks={"BTCUSDT": Mark(Decimal(mark), reading.started_at)} if mark else {},
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
    assert OrderKind.REGULAR in plan.symbols[0].books
    assert OrderKind.ALGO not in plan.symbols[0].books


def test_a_stop_on_a_leg_that_reads_flat_stays_and_what_could_open_goes() -> None:
    """A stop that can only reduce is evidence of a position that the list does not show yet."""
    evidence, entry = stop("1", reduce_only=True), stop("2")

    plan = plan_of(snapshot(algo=(evidence, entry)))

    assert plan.symbols[0].alone == (entry,)
    assert OrderKind.ALGO not in plan.symbols[0].books


def test_stops_wait_while_the_positions_could_not_be_read() -> None:
    """An unread account may hold the position that they protect."""
    reading = snapshot(algo=(stop("1", reduce_only=True),), positions_read=False)

    assert plan_of(reading).is_empty


def test_unseen_stops_are_not_swept_before_their_leg_was_read_flat() -> None:
    """With positions and stops both unread, a blind sweep would leave an open leg naked."""
    reading = snapshot(regular=(limit(),), algo=None, positions_read=False)

    assert OrderKind.ALGO not in plan_of(reading).symbols[0].books


@pytest.mark.parametrize("cancels", [True, False])
def test_unseen_stops_are_swept_only_where_orders_are_in_scope(cancels: bool) -> None:
    """With `--positions-only` nobody asked for their cancel, read or not."""
    reading = snapshot(position("1", symbol="ETHUSDT"), algo=None)
    closed = first_seen(position("1"), 0.0)._replace(current=None, closed_at=0.5, gone_at=1.0)
    known = memory(reading)._replace(
        legs={**memory(reading).legs, closed.leg: closed},
        looks=[Look(float(second), frozenset(), frozenset()) for second in range(9)],
        window_s=2.0,
        now=9.0,
    )

    plan = make_plan(reading, known, replace(ALL, cancel_orders=cancels))

    swept = [each.symbol for each in plan.symbols if OrderKind.ALGO in each.books]
    assert swept == (["BTCUSDT"] if cancels else [])


def test_an_unread_order_book_is_cancelled_blindly_before_the_close() -> None:
    """A resting order that was not seen blocks the close all the same."""
    plan = plan_of(snapshot(position("1"), regular=None))

    assert OrderKind.REGULAR in plan.symbols[0].books
    assert plan.symbols[0].closes


def closing(
    held: Position,
    *,
    rules: MarketRules | None = RULES,
    mark: str | None = None,
    **record: object,
) -> LegClose:
    """Return how a lone position is closed; `record` changes what is known of its leg."""
    reading = snapshot(held)
    known = memory(reading, changes={held.leg: record}, rules=rules, mark=mark)
    return make_plan(reading, known, ALL).symbols[0].closes[0]


def shown(close: LegClose) -> list[tuple[str, str, str | None]]:
    """Return type, quantity and price of each part."""
    return [
        (part.type.value, plain(part.quantity), None if part.price is None else plain(part.price))
        for part in close.parts
    ]


def test_an_oversize_position_is_split_exactly() -> None:
    """MARKET_LOT_SIZE bounds market orders; the parts sum to the position."""
    close = closing(position("300.5"), adapted=frozenset({Adaptation.SPLIT}))

    assert shown(close) == [("MARKET", q, None) for q in ("120", "120", "60.5")]


def test_rules_that_arrive_replace_the_halves_by_exact_parts() -> None:
    """75 was a guess; 120 is what the venue takes."""
    close = closing(position("300"), adapted=frozenset({Adaptation.SPLIT}), part_max=Decimal(75))

    assert shown(close) == [("MARKET", q, None) for q in ("120", "120", "60")]


def test_a_venue_that_refuses_what_its_rules_allow_is_believed() -> None:
    """Rules can be older than the refusal: 120 was refused, so 60 is tried."""
    close = closing(position("120"), adapted=frozenset({Adaptation.SPLIT}), part_max=Decimal(60))

    assert shown(close) == [("MARKET", "60", None)] * 2


def test_without_market_rules_an_oversize_position_is_halved() -> None:
    """The rules may be unreachable; the position still has to go."""
    held = position("300")
    reading = snapshot(held)
    changes: dict[Leg, dict[str, object]] = {
        held.leg: {"adapted": frozenset({Adaptation.SPLIT}), "part_max": Decimal(150)}
    }

    plan = make_plan(reading, memory(reading, changes=changes), ALL)

    assert shown(plan.symbols[0].closes[0]) == [("MARKET", "150", None)] * 2
    assert Planner(reading, memory(reading, changes=changes), ALL).needs_rules


def test_an_absurd_quantity_makes_a_bounded_number_of_parts() -> None:
    """What passed as a number must neither raise nor fill the memory."""
    close = closing(
        position("1E+40"), adapted=frozenset({Adaptation.SPLIT}), part_max=Decimal("1E-40")
    )

    assert len(close.parts) == PARTS_MAX


COARSE = RULES._replace(market_step_size=Decimal("0.1"), step_size=Decimal("0.01"))


def test_what_the_market_step_leaves_goes_as_a_limit_order_in_the_same_wave() -> None:
    """12.34 with a market step of 0.1: -4023 for ever, where 12.3 fits and 0.04 fits a limit."""
    held = position("12.34")._replace(mark_price=Decimal(10000))

    assert shown(closing(held, rules=COARSE)) == [
        ("MARKET", "12.3", None),
        ("LIMIT", "0.04", "9528.5"),
    ]


def test_less_than_a_market_step_goes_as_a_limit_order_alone() -> None:
    """After the market part was filled, only the rest is left."""
    held = position("-0.04")._replace(mark_price=Decimal(10000))

    assert shown(closing(held, rules=COARSE)) == [("LIMIT", "0.04", "10468.5")]


def test_a_quantity_on_the_market_step_needs_no_limit_order_and_keeps_its_digits() -> None:
    """Trailing zeros stay as the venue wrote them."""
    held = position("12.300")._replace(mark_price=Decimal(10000))

    assert shown(closing(held, rules=COARSE)) == [("MARKET", "12.300", None)]


def test_without_a_mark_price_the_part_that_fits_does_not_wait() -> None:
    """The account's own list has no mark prices; premiumIndex is asked beside."""
    held = position("12.34")
    reading = snapshot(held)
    record = memory(reading).legs[held.leg]

    assert shown(closing(held, rules=COARSE)) == [("MARKET", "12.3", None)]
    assert wants_mark(record, COARSE)
    assert not wants_mark(record, RULES)
    assert not wants_mark(record, None)


@pytest.mark.parametrize(
    ("refused", "expected"), [("12.34", "12.3"), ("12.3", "12"), ("12", "10"), ("10", "12.34")]
)
def test_without_rules_an_odd_quantity_loses_a_digit_with_each_refusal(
    refused: str, expected: str
) -> None:
    """ExchangeInfo may be down for the whole run."""
    sent = SentOrder(
        client_order_id="liq-1",
        order_id=None,
        quantity=Decimal(refused),
        executed=Decimal(0),
        status=OrderStatus.REJECTED,
    )
    close = closing(
        position("12.34"),
        rules=None,
        adapted=frozenset({Adaptation.ROUND}),
        sent=(sent,),
        error=VenueAnswer(kind=AnswerKind.REJECTED, message="step", code=-4023),
    )

    assert shown(close) == [("MARKET", expected, None)]


THIN = frozenset({Adaptation.LIMIT_IOC})


@pytest.mark.parametrize(("quantity", "price"), [("1", "9528.6"), ("-1", "10468.5")])
def test_a_thin_book_is_met_with_a_limit_a_little_inside_the_band(
    quantity: str, price: str
) -> None:
    """SELL 0.3 % above mark x 0.95, BUY 0.3 % below mark x 1.05: the mark moves meanwhile."""
    close = closing(position(quantity), mark="10000.04", adapted=THIN)

    assert shown(close) == [("LIMIT", "1", price)]


def test_limit_orders_are_split_by_the_maximum_of_limit_orders() -> None:
    """LOT_SIZE, not MARKET_LOT_SIZE."""
    close = closing(position("2300"), mark="10000", adapted=THIN | {Adaptation.SPLIT})

    assert [quantity for _, quantity, _ in shown(close)] == ["1000", "1000", "300"]


def test_the_bound_that_a_refusal_named_outranks_the_mark_price() -> None:
    """It is the band of the moment of refusal."""
    error = VenueAnswer(
        kind=AnswerKind.REJECTED, message="Limit price can't be lower than 9800.", code=-4024
    )
    close = closing(position("1"), mark="10000", adapted=THIN, error=error)

    assert shown(close) == [("LIMIT", "1", "9829.4")]


def test_a_mark_price_older_than_the_refusal_is_not_used() -> None:
    """Priced from it, a limit order is refused until given up; a market order goes meanwhile."""
    held = position("1")._replace(mark_price=Decimal(10000))
    refused_at_9_5 = partial(closing, held, adapted=THIN, seen_at=8.0, settled_at=9.5)

    assert shown(refused_at_9_5()) == [("MARKET", "1", None)]
    assert shown(refused_at_9_5(mark="10000"))[0][0] == "LIMIT"


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
    assert OrderKind.REGULAR in plan.symbols[0].books


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
            total = sum((part.quantity for part in close.parts), Decimal(0))
            assert total == held[close.position.leg].size
            for part in close.parts:
                one_way = close.order_leg.position_side is PositionSide.BOTH
                order = CloseOrder(
                    leg=close.order_leg,
                    side=close.side,
                    quantity=part.quantity,
                    client_order_id="x",
                    reduce_only=one_way,
                )
                assert is_reducing(order)


@given(accounts())
def test_no_plan_cancels_a_protective_stop_of_an_open_leg(account: Snapshot) -> None:
    """Stops last, whatever else is on the account."""
    held = {p.leg: p for p in account.positions.items}
    for symbol_plan in plan_of(account).symbols:
        for order in (*symbol_plan.alone, *symbol_plan.books.get(OrderKind.ALGO, ())):
            assert not is_protective(order, held)
        if OrderKind.ALGO in symbol_plan.books:
            assert not any(leg.symbol == symbol_plan.symbol for leg in held)


def lines_run(work: Callable[[], object]) -> int:
    """Return how many lines of Python the work executes: its cost, whatever the machine does."""
    lines = 0

    def trace(_: FrameType, event: str, __: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("are_stops_read", [True, False])
@pytest.mark.parametrize("is_flat", [True, False])
def test_four_times_the_symbols_cost_four_times_as_much(
    are_stops_read: bool, is_flat: bool
) -> None:
    """A round of 1,000 symbols must not take long before the first order leaves."""

    def planning_of(symbols: int) -> int:
        held = [position("1", symbol=f"S{number}USDT") for number in range(symbols)]
        stops = tuple(stop(str(number), symbol=f"S{number}USDT") for number in range(symbols))
        reading = snapshot(*([] if is_flat else held), algo=stops if are_stops_read else None)
        legs = {each.leg: first_seen(each, 0.0) for each in held}
        if is_flat:
            legs = {leg: record._replace(current=None) for leg, record in legs.items()}
        known = Memory(
            legs=legs,
            orders={each.key: OrderRecord(order=each, seen_at=0.0) for each in stops},
            rules={},
            marks={},
            looks=[Look(float(second), frozenset(), frozenset()) for second in range(9)],
            window_s=2.0,
            conditionals=symbols,
            now=9.0,
        )

        def plan() -> None:
            assert make_plan(reading, known, ALL).symbols

        return lines_run(plan)

    assert planning_of(1000) < 4.4 * planning_of(250)
