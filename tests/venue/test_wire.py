"""Reading the venue's rows and writing our orders, without a network."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.errors import VenueError
from liqctl.kernel.values import (
    CloseOrder,
    Leg,
    MarketRules,
    OpenOrder,
    OrderKind,
    Position,
    PositionMode,
    PositionSide,
    Rows,
    Side,
)
from liqctl.venue import wire

BOTH, LONG, SHORT = PositionSide.BOTH, PositionSide.LONG, PositionSide.SHORT


POSITION_ROW: dict[str, Any] = {
    "symbol": "ADAUSDT",
    "positionSide": "BOTH",
    "positionAmt": "30",
    "entryPrice": "0.385",
    "breakEvenPrice": "0.385077",
    "markPrice": "0.41047590",
    "unRealizedProfit": "0.76427700",
    "liquidationPrice": "0",
    "notional": "12.31427700",
    "marginAsset": "USDT",
    "adl": 2,
    "updateTime": 1720736417660,
}


ORDER_ROW: dict[str, Any] = {
    "avgPrice": "0.00000",
    "clientOrderId": "abc",
    "cumQuote": "0",
    "executedQty": "0",
    "orderId": 1917641,
    "origQty": "0.40",
    "origType": "LIMIT",
    "price": "0.2",
    "reduceOnly": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "status": "NEW",
    "stopPrice": "0",
    "closePosition": False,
    "symbol": "BTCUSDT",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "updateTime": 1579276756075,
}


ALGO_ROW: dict[str, Any] = {
    "algoId": 2148627,
    "clientAlgoId": "MRumok0dkhrP4kCm12AHaB",
    "algoType": "CONDITIONAL",
    "orderType": "TAKE_PROFIT",
    "symbol": "BNBUSDT",
    "side": "SELL",
    "positionSide": "BOTH",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "algoStatus": "NEW",
    "actualOrderId": "",
    "triggerPrice": "750.000",
    "price": "750.000",
    "closePosition": False,
    "reduceOnly": False,
    "createTime": 1750514941540,
}


NAMES = sorted({*ORDER_ROW, *ALGO_ROW, *POSITION_ROW})


ONE_WAY_CLOSE = CloseOrder(
    leg=Leg(symbol="BTCUSDT", position_side=BOTH),
    side=Side.SELL,
    quantity=Decimal("0.500"),
    client_order_id="liq-1",
)


def position_of(**changes: object) -> Position:
    """Return the position read from the sample row with changes."""
    (position,) = wire.parse_positions([POSITION_ROW | changes]).items
    return position


def order_of(kind: OrderKind = OrderKind.REGULAR, **changes: object) -> OpenOrder:
    """Return the open order read from the sample row with changes."""
    row = (ORDER_ROW if kind is OrderKind.REGULAR else ALGO_ROW) | changes
    (order,) = wire.parse_open_orders(kind, [row]).items
    return order


def test_a_position_is_read_with_the_digits_the_venue_wrote() -> None:
    """The quantity is sent back verbatim to close it."""
    assert position_of(positionAmt="30.500") == Position(
        leg=Leg(symbol="ADAUSDT", position_side=BOTH),
        quantity=Decimal("30.500"),
        notional=Decimal("12.31427700"),
        entry_price=Decimal("0.385"),
        mark_price=Decimal("0.41047590"),
        unrealized_pnl=Decimal("0.76427700"),
        update_time_ms=1720736417660,
    )
    assert str(position_of(positionAmt="30.500").quantity) == "30.500"


@pytest.mark.parametrize(
    ("position_side", "amount", "quantity"),
    [
        ("BOTH", "3", "3"),
        ("BOTH", "-3", "-3"),
        ("LONG", "3", "3"),
        ("SHORT", "-3", "-3"),
        ("SHORT", "3", "-3"),
    ],
)
def test_a_short_is_negative_in_hedge_mode_too(
    position_side: str, amount: str, quantity: str
) -> None:
    """Some gateways send the amount of a short leg without its sign."""
    read = position_of(positionSide=position_side, positionAmt=amount)

    assert read.quantity == Decimal(quantity)


@pytest.mark.parametrize("amount", ["0", "0.000", "-0", 0], ids=repr)
def test_rows_of_quantity_zero_are_no_positions(amount: object) -> None:
    """v3/positionRisk lists symbols that have only an open order."""
    assert wire.parse_positions([POSITION_ROW | {"positionAmt": amount}]) == Rows()


@pytest.mark.parametrize("rows", [None, "", {}, {"code": 200}, 5], ids=repr)
def test_what_is_no_list_of_positions_is_an_error(rows: object) -> None:
    """An empty list would say that everything is flat."""
    with pytest.raises(VenueError) as caught:
        wire.parse_positions(rows)

    assert caught.value.answer.kind is AnswerKind.UNKNOWN


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (None, "a row that is not an object"),
        ([], "a row that is not an object"),
        ({}, "no symbol: positionAmt None"),
        (POSITION_ROW | {"symbol": ""}, "no symbol: positionAmt '30'"),
        (POSITION_ROW | {"symbol": 7}, "no symbol: positionAmt '30'"),
        (POSITION_ROW | {"positionAmt": ""}, "ADAUSDT BOTH: positionAmt ''"),
        (POSITION_ROW | {"positionAmt": None}, "ADAUSDT BOTH: positionAmt None"),
        (POSITION_ROW | {"positionAmt": "x\n"}, "ADAUSDT BOTH: positionAmt 'x\\n'"),
        (POSITION_ROW | {"positionAmt": "NaN"}, "ADAUSDT BOTH: positionAmt 'NaN'"),
        (POSITION_ROW | {"positionAmt": "Infinity"}, "ADAUSDT BOTH: positionAmt 'Infinity'"),
        (POSITION_ROW | {"positionAmt": "1E+999999"}, "ADAUSDT BOTH: positionAmt '1E+999999'"),
        (POSITION_ROW | {"positionAmt": True}, "ADAUSDT BOTH: positionAmt True"),
        (POSITION_ROW | {"positionAmt": 0.1}, "ADAUSDT BOTH: positionAmt float"),
        (POSITION_ROW | {"positionAmt": ["1"]}, "ADAUSDT BOTH: positionAmt list"),
        (
            POSITION_ROW | {"positionSide": "SIDEWAYS"},
            "ADAUSDT: positionSide 'SIDEWAYS', positionAmt '30'",
        ),
        (
            POSITION_ROW | {"positionSide": None, "positionAmt": "0"},
            "ADAUSDT: positionSide None, positionAmt '0'",
        ),
        ({"symbol": "BTCUSDT"}, "BTCUSDT BOTH: positionAmt None"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_beside_those_that_can(bad: object, name: str) -> None:
    """One odd row once made whole lists unreadable, and nothing at all was closed."""
    good = POSITION_ROW | {"symbol": "BTCUSDT"}

    for rows in ([bad, good], [good, bad]):
        found = wire.parse_positions(rows)
        assert [position.symbol for position in found.items] == ["BTCUSDT"]
        assert found.unreadable == (name,)
        assert wire.parse_account_positions({"positions": rows}) == found


def test_names_of_odd_rows_are_short_and_few() -> None:
    """They stand in the result and in the trail; the venue does not decide how long those get."""
    rows = [{"symbol": "A" * 5000, "positionAmt": "9" * 5000} for _ in range(2000)]
    rows.append({"symbol": "BTC\u202eUSDT\n", "positionAmt": ""})

    names = wire.parse_positions(rows).unreadable

    assert len(names) == 51
    assert names[-1] == "1951 others"
    assert max(len(name) for name in names) <= 80
    assert all(name.isprintable() for name in names)


def test_a_position_without_entry_price_is_still_a_position() -> None:
    """By itself ccxt drops such rows; that would be a false flat."""
    assert position_of(entryPrice="0").quantity == Decimal(30)
    assert position_of(entryPrice="").entry_price is None


def test_a_missing_notional_is_worked_out_from_the_price() -> None:
    """It only decides the order of closing: amount x mark, else amount x entry."""
    assert position_of(notional="0", positionAmt="-2", markPrice="5").notional == 10
    assert position_of(notional=None, markPrice="0", entryPrice="4").notional == 120
    assert position_of(notional="-12.5", positionAmt="-2").notional == Decimal("12.5")


def test_the_account_answer_is_read_by_the_same_rules() -> None:
    """The second source must be as strict as the first; its profit is spelled differently."""
    row = {"symbol": "BTCUSDT", "positionSide": "SHORT", "positionAmt": "-1", "notional": "-9"}
    (position,) = wire.parse_account_positions(
        {"positions": [row | {"unrealizedProfit": "-2"}]}
    ).items

    assert (position.quantity, position.unrealized_pnl) == (Decimal(-1), Decimal(-2))
    unreadable: tuple[Any, ...] = ({}, [], None, {"positions": None})
    for bad in unreadable:
        with pytest.raises(VenueError):
            wire.parse_account_positions(bad)


def test_a_regular_order_is_read_by_its_own_names() -> None:
    """0 as a price stands for none."""
    assert order_of() == OpenOrder(
        symbol="BTCUSDT",
        position_side=BOTH,
        kind=OrderKind.REGULAR,
        order_id="1917641",
        client_order_id="abc",
        type="LIMIT",
        side=Side.BUY,
        quantity=Decimal("0.40"),
        price=Decimal("0.2"),
    )


def test_an_algo_order_is_read_by_its_other_names() -> None:
    """orderType, quantity, triggerPrice and algoId, not type, origQty, stopPrice and orderId."""
    assert order_of(OrderKind.ALGO) == OpenOrder(
        symbol="BNBUSDT",
        position_side=BOTH,
        kind=OrderKind.ALGO,
        order_id="2148627",
        client_order_id="MRumok0dkhrP4kCm12AHaB",
        type="TAKE_PROFIT",
        side=Side.SELL,
        quantity=Decimal("0.01"),
        price=Decimal("750.000"),
        trigger_price=Decimal("750.000"),
        created_ms=1750514941540,
    )


@pytest.mark.parametrize("quantity", [None, "0.0", "0", "5", "", "x"])
def test_a_close_position_order_has_no_quantity(quantity: object) -> None:
    """It closes whatever the leg holds; the venue writes null or "0.0" there."""
    order = order_of(OrderKind.ALGO, closePosition=True, quantity=quantity)

    assert (order.quantity, order.close_position) == (None, True)


@pytest.mark.parametrize(
    "oddity",
    [
        {"side": "HOLD"},
        {"side": None},
        {"side": ["BUY"]},
        {"positionSide": "SIDEWAYS"},
        {"positionSide": ["BOTH"]},
        {"origQty": "many", "price": {}, "type": 4, "clientOrderId": None, "stopPrice": []},
    ],
)
def test_an_odd_order_is_kept_as_one_that_could_open(oddity: dict[str, Any]) -> None:
    """An order that is skipped is an order that is not cancelled."""
    order = order_of(**oddity)

    assert (order.symbol, order.order_id) == ("BTCUSDT", "1917641")
    assert order.side is None or order.quantity is None


@pytest.mark.parametrize("rows", [None, {}, "", 5], ids=repr)
def test_what_is_no_list_of_orders_is_an_error(rows: object) -> None:
    """An empty list would say that nothing rests."""
    with pytest.raises(VenueError):
        wire.parse_open_orders(OrderKind.REGULAR, rows)


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (None, "a row that is not an object"),
        ({"symbol": "BTCUSDT"}, "BTCUSDT: order None"),
        ({"orderId": 1}, "no symbol: order 1"),
        (ORDER_ROW | {"orderId": None}, "BTCUSDT: order None"),
        (ORDER_ROW | {"orderId": ""}, "BTCUSDT: order ''"),
        (ORDER_ROW | {"orderId": True}, "BTCUSDT: order True"),
        (ORDER_ROW | {"symbol": 5}, "no symbol: order 1917641"),
    ],
)
def test_an_order_without_symbol_or_id_is_named_beside_the_others(bad: object, name: str) -> None:
    """It can neither be cancelled by itself nor shown to be gone."""
    found = wire.parse_open_orders(OrderKind.REGULAR, [bad, ORDER_ROW])

    assert [order.order_id for order in found.items] == ["1917641"]
    assert found.unreadable == (name,)


def test_an_algo_list_sent_in_regular_names_is_not_read_as_empty() -> None:
    """A row of the wrong book must not pass as an empty or a half-read one."""
    assert wire.parse_open_orders(OrderKind.ALGO, [ORDER_ROW]) == Rows(
        unreadable=("BTCUSDT: order None",)
    )


def test_an_order_of_odd_numbers_is_kept_as_one_that_could_open() -> None:
    """It has to go, whatever it is."""
    order = order_of(origQty="1E+999999", price="NaN", executedQty="x", side=5, time="soon")

    assert (order.side, order.quantity, order.price) == (None, None, None)
    assert (order.executed, order.created_ms) == (Decimal(0), 0)


def test_an_order_knows_when_it_was_made() -> None:
    """Whether a stop is older than our own fills decides whether it may go."""
    assert order_of(time=1579276756075).created_ms == 1579276756075
    assert order_of(time=10**30).created_ms == 0
    assert order_of().created_ms == 0
    assert order_of(OrderKind.ALGO).created_ms == 1750514941540


@pytest.mark.parametrize("code", [200, "200"], ids=repr)
def test_a_cancel_is_confirmed_by_a_number_or_a_text(code: object) -> None:
    """DELETE algoOrder answers with the code as text."""
    wire.check_all_cancelled({"code": code, "msg": "success"})


@pytest.mark.parametrize(
    "row", [None, [], {}, {"code": 0}, {"code": "OK"}, {"code": True}, "200"], ids=repr
)
def test_anything_else_confirms_no_cancel(row: object) -> None:
    """The orders may still rest."""
    with pytest.raises(VenueError):
        wire.check_all_cancelled(row)


def test_one_cancel_is_confirmed_by_the_finished_order_itself() -> None:
    """A still open order in the answer means that nothing happened yet."""
    order = order_of()

    wire.check_cancelled(ORDER_ROW | {"status": "CANCELED"}, order)
    for bad in (ORDER_ROW, ORDER_ROW | {"status": "CANCELED", "orderId": 2}, {}, None):
        with pytest.raises(VenueError):
            wire.check_cancelled(bad, order)


def test_position_mode_and_mark_price_are_read_or_refused() -> None:
    """A guess here would send orders for the wrong mode or at a wrong price."""
    assert wire.parse_position_mode({"dualSidePosition": True}) is PositionMode.HEDGE
    assert wire.parse_position_mode({"dualSidePosition": False}) is PositionMode.ONE_WAY
    assert wire.parse_mark_price({"markPrice": "10.5"}) == Decimal("10.5")
    unreadable: tuple[Any, ...] = (None, [], {}, {"dualSidePosition": "true", "markPrice": "0"})
    for row in unreadable:
        with pytest.raises(VenueError):
            wire.parse_position_mode(row)
        with pytest.raises(VenueError):
            wire.parse_mark_price(row)


def test_market_rules_take_the_step_of_one_filter_and_the_maximum_of_the_other() -> None:
    """For market orders LOT_SIZE gives the step and MARKET_LOT_SIZE the maximum; 0 is no limit."""
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "556.80", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0"},
        {"filterType": "MIN_NOTIONAL", "notional": "50"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    ]
    row = {"symbol": "BTCUSDT", "status": "TRADING", "contractType": "PERPETUAL"}
    rules = wire.parse_market_rules({"symbols": [row | {"filters": filters}, None, {"symbol": 1}]})

    assert rules["BTCUSDT"] == MarketRules(
        symbol="BTCUSDT",
        tick_size=Decimal("0.10"),
        step_size=Decimal("0.001"),
        market_quantity_max=Decimal(120),
        limit_quantity_max=Decimal(1000),
        quantity_min=Decimal("0.001"),
        price_multiplier_up=Decimal("1.05"),
        price_multiplier_down=Decimal("0.95"),
    )
    bare = wire.parse_market_rules({"symbols": [row | {"filters": "none"}]})["BTCUSDT"]
    assert (bare.step_size, bare.market_quantity_max) == (None, None)
    coarse = [
        {"filterType": "LOT_SIZE", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.1"},
    ]
    odd = wire.parse_market_rules({"symbols": [row | {"filters": coarse}]})["BTCUSDT"]
    assert (odd.step_size, odd.market_step_size) == (Decimal("0.001"), Decimal("0.1"))
    unreadable: tuple[Any, ...] = (None, [], {}, {"symbols": {}})
    for bad in unreadable:
        with pytest.raises(VenueError):
            wire.parse_market_rules(bad)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_or_refused_and_never_crashes(decoded: Any) -> None:
    """Only VenueError may leave the adapter."""
    for read in (
        wire.parse_positions,
        wire.parse_account_positions,
        wire.parse_position_mode,
        wire.parse_mark_price,
        wire.parse_market_rules,
        wire.check_all_cancelled,
        lambda row: wire.parse_open_orders(OrderKind.REGULAR, row),
        lambda row: wire.parse_open_orders(OrderKind.ALGO, row),
        lambda row: wire.parse_order_answer(row, ONE_WAY_CLOSE),
        lambda row: wire.check_cancelled(row, order_of()),
    ):
        try:
            read(decoded)
        except VenueError:
            continue
