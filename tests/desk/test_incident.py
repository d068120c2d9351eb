"""What a run cost, worked by hand: nothing is added up that does not belong together."""

from decimal import Decimal
from typing import Any

from liqctl.desk.incident import ClosingOrder, TradeReading, add_up
from liqctl.kernel.values import Side, Trade


def make_order(name: str, **changes: Any) -> ClosingOrder:
    """Return a sale of BTC decided at a mark price of 100."""
    values: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "position_side": "BOTH",
        "side": "SELL",
        "client_order_id": name,
        "order_id": "1",
        "mark_price": Decimal(100),
        "sent_at_ms": 0,
    }
    return ClosingOrder(**(values | changes))


def make_trade(price: str, quantity: str, **changes: Any) -> Trade:
    """Return a sale of BTC with a profit of 1 USDT and a fee of 0.1 USDT."""
    values: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "order_id": "1",
        "trade_id": "1",
        "side": Side.SELL,
        "price": Decimal(price),
        "quantity": Decimal(quantity),
        "base_quantity": Decimal(quantity),
        "realized_pnl": Decimal(1),
        "settle_asset": "USDT",
        "fee": Decimal("0.1"),
        "fee_asset": "USDT",
        "time_ms": 0,
    }
    return Trade(**(values | changes))


def test_a_leg_closed_by_several_orders_is_one_leg() -> None:
    """Sold 1 at 99 and 3 at 98 with marks 100 and 99: (99 - 100) + 3 x (98 - 99) = -4."""
    orders = (make_order("a"), make_order("b", mark_price=Decimal(99)))
    reading = TradeReading(trades={"a": (make_trade("99", "1"),), "b": (make_trade("98", "3"),)})

    costs = add_up(orders, reading)
    (leg,) = costs.legs
    assert (leg.quantity, leg.average_price, leg.mark_price) == (
        Decimal(4),
        Decimal("98.25"),
        Decimal("99.25"),
    )
    assert leg.slippage == Decimal(-4)
    assert costs.realized_pnl == {"USDT": Decimal(2)}
    assert costs.fees == {"USDT": Decimal("0.2")}
    assert costs.complete


def test_a_purchase_above_mark_is_a_loss_too() -> None:
    """The sign tells better or worse, not up or down."""
    reading = TradeReading(trades={"a": (make_trade("101", "2", side=Side.BUY),)})

    costs = add_up((make_order("a", side="BUY"),), reading)
    assert costs.slippage == {"USDT": Decimal(-2)}


def test_a_contract_of_coin_m_costs_in_its_coin() -> None:
    """150 contracts of 100 USD sold at 59,994: 15000 / 60000 - 15000 / 59994 = -0.000025 BTC."""
    coin: dict[str, Any] = {"symbol": "BTCUSD_PERP", "settle_asset": "BTC", "fee_asset": "BTC"}
    trade = make_trade("59994", "150", base_quantity=Decimal("0.25002500"), **coin)
    order = make_order("a", symbol="BTCUSD_PERP", mark_price=Decimal(60000))

    costs = add_up((order,), TradeReading(trades={"a": (trade,)}))
    (leg,) = costs.legs
    prices = (Decimal(59994), Decimal(60000))
    assert (leg.quantity, (leg.average_price, leg.mark_price)) == (Decimal(150), prices)
    assert (leg.product, costs.slippage) == ("COINM", {"BTC": Decimal("-0.000025")})
    assert leg.json_fields()["slippage_bps"] == "-1.0000"


def test_what_was_not_read_makes_the_sums_incomplete() -> None:
    """An order that traded nothing was read; one without an answer was not."""
    orders = (make_order("a"), make_order("b"), make_order("c"))
    reading = TradeReading(trades={"a": (make_trade("100", "1"),), "b": ()}, unread={"c": "cut"})

    costs = add_up(orders, reading)
    assert (costs.orders_read, costs.orders, costs.complete) == (2, 3, False)


def test_without_a_mark_price_there_is_no_slippage() -> None:
    """Trails of older versions have none; the rest of the sums stands."""
    reading = TradeReading(trades={"a": (make_trade("100", "1"),)})

    costs = add_up((make_order("a", mark_price=None),), reading)
    assert (costs.slippage, costs.legs_without_mark) == ({}, 1)
    assert costs.realized_pnl == {"USDT": Decimal(1)}


def test_amounts_of_any_size_add_up_exactly() -> None:
    """Not with floats, nor with Decimal's usual 28 digits."""
    big, small = "12345678901234567890", "0.00000000000000000001"
    trades = (
        make_trade("1", "1", realized_pnl=Decimal(big)),
        make_trade("1", "1", realized_pnl=Decimal(small)),
    )

    costs = add_up((make_order("a"),), TradeReading(trades={"a": trades}))
    assert costs.realized_pnl == {"USDT": Decimal(f"{big}{small[1:]}")}
