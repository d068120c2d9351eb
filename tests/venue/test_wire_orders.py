"""Closing orders as parameters, and what the venue says of them; without a network."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.errors import InvariantError, VenueError
from liqctl.kernel.values import (
    CloseOrder,
    Leg,
    OrderAnswer,
    OrderStatus,
    OrderType,
    PositionSide,
    Side,
)
from liqctl.venue import wire

BOTH, LONG, SHORT = PositionSide.BOTH, PositionSide.LONG, PositionSide.SHORT


ONE_WAY_CLOSE = CloseOrder(
    leg=Leg(symbol="BTCUSDT", position_side=BOTH),
    side=Side.SELL,
    quantity=Decimal("0.500"),
    client_order_id="liq-1",
)


ACKNOWLEDGED = {
    "clientOrderId": "liq-1",
    "cumQty": "0.500",
    "executedQty": "0.500",
    "orderId": 22542179,
    "origQty": "0.500",
    "reduceOnly": True,
    "side": "SELL",
    "positionSide": "BOTH",
    "status": "FILLED",
    "symbol": "BTCUSDT",
    "type": "MARKET",
    "updateTime": 1566818724722,
}


def test_an_acknowledgement_is_read_without_average_price() -> None:
    """Order answers carry none since 2026-06-30."""
    assert wire.parse_order_answer(ACKNOWLEDGED, ONE_WAY_CLOSE) == OrderAnswer(
        client_order_id="liq-1",
        order_id="22542179",
        status=OrderStatus.FILLED,
        quantity=Decimal("0.500"),
        executed=Decimal("0.500"),
        update_time_ms=1566818724722,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "ETHUSDT"},
        {"side": "BUY"},
        {"positionSide": "LONG"},
        {"reduceOnly": False},
        {"reduceOnly": None},
        {"clientOrderId": "someone-else"},
        {"orderId": None},
        {"executedQty": None},
        {"executedQty": "-1"},
        {"origQty": "x"},
    ],
)
def test_an_echo_that_differs_is_an_unknown_answer(change: dict[str, object]) -> None:
    """An order that was taken without its reduce-only flag must not count as placed."""
    with pytest.raises(VenueError) as caught:
        wire.parse_order_answer(ACKNOWLEDGED | change, ONE_WAY_CLOSE)

    assert caught.value.answer.kind is AnswerKind.UNKNOWN


@pytest.mark.parametrize("row", [None, [], "FILLED", 200], ids=repr)
def test_an_answer_that_is_no_order_is_unknown(row: object) -> None:
    """The order may stand."""
    with pytest.raises(VenueError):
        wire.parse_order_answer(row, ONE_WAY_CLOSE)


def test_an_undocumented_status_is_not_final() -> None:
    """What is not understood may still fill."""
    answer = wire.parse_order_answer(ACKNOWLEDGED | {"status": "SLEEPING"}, ONE_WAY_CLOSE)

    assert answer.status is OrderStatus.UNREADABLE
    assert not answer.status.is_final


def test_a_one_way_close_is_reduce_only_and_names_no_leg() -> None:
    """In one-way mode the flag is what keeps the order from opening."""
    assert wire.close_order_params(ONE_WAY_CLOSE) == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "MARKET",
        "quantity": "0.500",
        "newClientOrderId": "liq-1",
        "newOrderRespType": "RESULT",
        "reduceOnly": "true",
    }


def test_a_hedge_close_names_its_leg_and_carries_no_flag() -> None:
    """Hedge mode refuses reduceOnly with -1106."""
    order = CloseOrder(
        leg=Leg(symbol="BTCUSDT", position_side=SHORT),
        side=Side.BUY,
        quantity=Decimal("1E-8"),
        client_order_id="liq-2",
        reduce_only=False,
    )
    params = wire.close_order_params(order)

    assert params["positionSide"] == "SHORT"
    assert params["quantity"] == "0.00000001"
    assert "reduceOnly" not in params


def test_a_limit_close_never_rests() -> None:
    """It is the fallback for thin books: immediate or cancel."""
    order = CloseOrder(
        leg=ONE_WAY_CLOSE.leg,
        side=Side.SELL,
        quantity=Decimal(1),
        client_order_id="liq-3",
        type=OrderType.LIMIT,
        price=Decimal("95.10"),
    )
    params = wire.close_order_params(order)

    assert (params["price"], params["timeInForce"]) == ("95.10", "IOC")


SAFE = wire.close_order_params(ONE_WAY_CLOSE)


@pytest.mark.parametrize(
    "change",
    [
        {"reduceOnly": "false"},
        {"reduceOnly": None},
        {"positionSide": "LONG"},
        {"positionSide": "SHORT", "reduceOnly": None},
        {"positionSide": "LONG", "side": "BUY", "reduceOnly": None},
        {"positionSide": "BOTH"},
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": None},
        {"type": "LIMIT", "timeInForce": "GTC"},
        {"type": "LIMIT"},
        {"type": None},
    ],
)
def test_parameters_that_could_open_or_rest_are_stopped(change: dict[str, Any]) -> None:
    """The last check looks at what leaves, not at what was meant."""
    changed = {name: value for name, value in (SAFE | change).items() if value is not None}

    wire.check_reducing(SAFE)
    with pytest.raises(InvariantError):
        wire.check_reducing(changed)


@given(
    position_side=st.sampled_from(PositionSide),
    side=st.sampled_from(Side),
    reduce_only=st.booleans(),
    quantity=st.decimals(min_value=-2, max_value=2, places=3),
)
def test_an_order_gets_parameters_only_if_it_can_do_nothing_but_reduce(
    position_side: PositionSide, side: Side, reduce_only: bool, quantity: Decimal
) -> None:
    """Rule 7 of the design, for every combination there is."""
    order = CloseOrder(
        leg=Leg(symbol="X", position_side=position_side),
        side=side,
        quantity=quantity,
        client_order_id="c",
        reduce_only=reduce_only,
    )
    reduces = quantity > 0 and (
        (position_side, side, reduce_only)
        in {
            (BOTH, Side.BUY, True),
            (BOTH, Side.SELL, True),
            (LONG, Side.SELL, False),
            (SHORT, Side.BUY, False),
        }
    )

    if reduces:
        wire.check_reducing(wire.close_order_params(order))
    else:
        with pytest.raises(InvariantError):
            wire.close_order_params(order)
