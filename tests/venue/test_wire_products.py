"""What COIN-M, portfolio margin and the execution algorithms write differently.

Samples: the official SDK's of COIN-M 13.1.0 and portfolio margin 12.1.0, read 2026-11-23.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import pytest

from liqctl.kernel import requests
from liqctl.kernel.errors import VenueError
from liqctl.kernel.proof import is_protective
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import Leg, OpenOrder, OrderKind, Position, PositionSide, Side
from liqctl.venue import wire

COINM: Final = Product.COINM
ROW: Final[dict[str, Any]] = {
    "symbol": "BTCUSD_PERP",
    "positionAmt": "150",
    "entryPrice": "59900.0",
    "markPrice": "60000.0",
    "unRealizedProfit": "0.00041736",
    "notionalValue": "0.25",
    "positionSide": "BOTH",
    "updateTime": 1627026881327,
}
STRATEGY: Final[dict[str, Any]] = {
    "newClientStrategyId": "stop-1",
    "strategyId": 123445,
    "strategyStatus": "NEW",
    "strategyType": "STOP_MARKET",
    "origQty": "150",
    "price": "0",
    "reduceOnly": True,
    "side": "SELL",
    "positionSide": "BOTH",
    "stopPrice": "57000",
    "symbol": "BTCUSD_PERP",
    "bookTime": 1566818724710,
}
EXECUTIONS: Final[dict[str, Any]] = {
    "total": 1,
    "orders": [
        {
            "algoId": 14517,
            "symbol": "ETHUSDT",
            "side": "SELL",
            "positionSide": "SHORT",
            "totalQty": "5.000",
            "executedQty": "0.000",
            "clientAlgoId": "d7096549481642f8a0bb69e9e2e31f2e",
            "bookTime": 1649756817004,
            "algoStatus": "WORKING",
            "algoType": "VP",
        }
    ],
}


def contract(**changes: object) -> Position:
    """Return the position read from the sample row of COIN-M with changes."""
    (position,) = wire.parse_positions([ROW | changes], COINM).items
    return position


def strategy(**changes: object) -> OpenOrder:
    """Return the conditional order of COIN-M in portfolio margin."""
    (order,) = wire.parse_open_orders(OrderKind.ALGO, [STRATEGY | changes], COINM).items
    return order


def test_contracts_are_worth_a_whole_number_of_dollars_whatever_the_price() -> None:
    """0.25 BTC at 60,000 is 150 contracts of 100; the profit in the coin is told in dollars."""
    position = contract()

    assert position.leg == Leg("BTCUSD_PERP", PositionSide.BOTH, COINM)
    assert (position.notional, position.size) == (Decimal(15000), Decimal(150))
    assert position.unrealized_pnl == Decimal("0.00041736") * 60000


@pytest.mark.parametrize("missing", ["notionalValue", "markPrice"])
def test_what_a_row_does_not_tell_is_left_to_the_rules(missing: str) -> None:
    """A live sample has it, the page has not; exchangeInfo says it for certain."""
    row = {name: value for name, value in ROW.items() if name != missing}

    (position,) = wire.parse_positions([row], COINM).items

    assert position.notional == 0


def test_exchange_info_of_coin_m_tells_status_and_size_by_other_names() -> None:
    """`contractStatus`, not `status`."""
    entry = {"symbol": "BTCUSD_PERP", "contractStatus": "DELIVERING", "contractSize": 100}

    rules = wire.parse_market_rules({"symbols": [entry]})["BTCUSD_PERP"]

    assert (rules.status, rules.contract_size) == ("DELIVERING", Decimal(100))


def test_the_mark_price_of_coin_m_is_a_list_of_one() -> None:
    """Also where one symbol was asked for."""
    assert wire.parse_mark_price([{"markPrice": "60000.1"}]) == Decimal("60000.1")
    with pytest.raises(VenueError):
        wire.parse_mark_price([])


def test_a_strategy_is_a_conditional_order_with_other_names() -> None:
    """COIN-M in portfolio margin has not moved to algo orders."""
    order = strategy()

    assert (order.order_id, order.client_order_id, order.type) == (
        "123445",
        "stop-1",
        "STOP_MARKET",
    )
    assert (order.quantity, order.trigger_price) == (Decimal(150), Decimal(57000))
    assert (order.created_ms, order.product) == (1566818724710, COINM)


def test_a_strategy_that_trades_nothing_by_itself_protects_its_leg() -> None:
    """This dialect cannot say `closePosition`."""
    order = strategy(origQty="0", reduceOnly=False)

    assert order.close_position
    assert is_protective(order, {order.leg: contract()})


def test_a_conditional_list_may_come_in_an_object() -> None:
    """Seen from COIN-M."""
    rows = wire.parse_open_orders(OrderKind.ALGO, {"orders": [STRATEGY]}, COINM)

    assert rows.items == (strategy(),)


def test_an_execution_algorithm_is_an_order_of_its_own_kind() -> None:
    """It is cancelled by its algoId."""
    (order,) = wire.parse_open_orders(OrderKind.EXECUTION, EXECUTIONS).items

    assert (order.kind, order.type, order.side) == (OrderKind.EXECUTION, "VP", Side.SELL)
    assert wire.request_params(requests.cancel_one(order)) == {"algoId": "14517"}


@pytest.mark.parametrize(
    "answer",
    [
        {"code": 200, "msg": "success"},
        {"code": "200", "msg": "The operation of cancel all conditional open order is done."},
        {"complete": True},
        {"strategyId": 123445, "strategyStatus": "CANCELED"},
    ],
)
def test_each_dialect_confirms_a_cancel_in_its_way(answer: dict[str, Any]) -> None:
    """A number, a text, a flag, or the order itself."""
    wire.check_algo_cancelled(answer, strategy())


@pytest.mark.parametrize(
    "answer",
    [
        {"complete": False},
        {"strategyId": 123445, "strategyStatus": "NEW"},
        {"strategyId": 1, "strategyStatus": "CANCELED"},
        {},
        None,
    ],
    ids=repr,
)
def test_what_confirms_nothing_is_no_cancel(answer: object) -> None:
    """The list decides then."""
    with pytest.raises(VenueError):
        wire.check_algo_cancelled(answer, strategy())


@pytest.mark.parametrize("answer", [{"algoId": 14517, "success": False}, {"algoId": 1}, [], None])
def test_an_execution_that_was_not_stopped_is_not_cancelled(answer: object) -> None:
    """Success has to be said."""
    (order,) = wire.parse_open_orders(OrderKind.EXECUTION, EXECUTIONS).items

    with pytest.raises(VenueError):
        wire.check_execution_cancelled(answer, order)


def test_parameters_follow_product_and_kind_of_account() -> None:
    """COIN-M's positions are narrowed by pair; its strategies are cancelled by symbol and id."""
    positions = requests.positions(COINM, "BTCUSD_PERP")
    cancel = requests.cancel_one(strategy())

    assert wire.request_params(positions) == {"pair": "BTCUSD"}
    assert wire.request_params(cancel) == {"algoId": "123445"}
    assert wire.request_params(replace(cancel, margin=Margin.PORTFOLIO)) == {
        "symbol": "BTCUSD_PERP",
        "strategyId": "123445",
    }


def test_balances_beside_the_futures_are_added_up_by_coin() -> None:
    """Borrowed with its interest; an empty text is none."""
    row = {"asset": "BTC", "crossMarginBorrowed": "0.5", "crossMarginInterest": "0.1"}
    empty = {"asset": "ETH", "crossMarginBorrowed": "", "negativeBalance": "-3"}

    told = wire.parse_balances([row, empty])

    assert (told.borrowed, told.negative) == ({"BTC": Decimal("0.6")}, {"ETH": Decimal(-3)})
    assert told.coins == ("BTC", "ETH")
