"""What a frame of the user data stream says, whatever stands in it."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqctl.kernel.states import Product
from liqctl.kernel.values import Leg, PositionSide, StreamEvent, StreamKind
from liqctl.venue.wire import parse_stream_event

KEYS = st.sampled_from(["e", "E", "a", "P", "o", "ao", "so", "fs", "s", "ps", "pa", "ep", "data"])
NAMES = st.sampled_from(
    ["ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ALGO_UPDATE", "listenKeyExpired", "BOTH", "NEW", "UM"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


def parse(row: dict[str, Any], product: Product = Product.USDM) -> StreamEvent | None:
    """Return what a row says."""
    return parse_stream_event(json.dumps(row), product)


@given(st.text())
def test_no_text_raises(text: str) -> None:
    """One frame that cannot be read ends nothing."""
    parse_stream_event(text, Product.USDM)


@given(VALUES, NAMES, VALUES, VALUES)
def test_no_shape_raises(value: Any, name: str, first: Any, second: Any) -> None:
    """Nor one whose parts are not what they should be."""
    for row in (value, {"e": name, "a": first, "o": second}, {"e": name, "a": {"P": [first]}}):
        found = parse_stream_event(json.dumps(row), Product.COINM)
        assert found is None or isinstance(found, StreamEvent)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"E": ' + "9" * 5000 + "}", '{"e": null}', "1"])
def test_what_is_too_deep_or_too_long_is_none(text: str) -> None:
    """It is counted as malformed."""
    assert parse_stream_event(text, Product.USDM) is None


def test_legs_and_what_they_cost() -> None:
    """Hedge legs are apart; portfolio margin names the product."""
    rows = [
        {"s": "BTCUSDT", "pa": "-1.5", "ps": "SHORT", "ep": "60000"},
        {"s": "ETHUSDT", "pa": "0", "ep": "0"},
    ]
    short = Leg("BTCUSDT", PositionSide.SHORT)
    both = Leg("ETHUSDT", PositionSide.BOTH)

    account = {"m": "ORDER", "P": rows}
    assert parse({"e": "ACCOUNT_UPDATE", "E": 5, "a": account}) == StreamEvent(
        kind=StreamKind.POSITIONS,
        at_ms=5,
        amounts=((short, Decimal("-1.5")), (both, Decimal(0))),
        entry_prices=((short, Decimal(60000)),),
    )
    coin = {"s": "BTCUSD_PERP", "pa": "3", "ps": "BOTH"}
    found = parse({"e": "ACCOUNT_UPDATE", "fs": "CM", "a": {"P": [coin]}})
    assert found is not None
    assert found.amounts[0][0].product is Product.COINM


@pytest.mark.parametrize(
    ("reason", "moves"),
    [("ORDER", False), ("FUNDING_FEE", False), ("WITHDRAW", True), ("BRAND_NEW", True), ([], True)],
)
def test_a_balance_that_changes_without_a_trade_may_be_a_transfer(
    reason: object, *, moves: bool
) -> None:
    """It would look like a loss; a reason that nobody knows may be one, too."""
    found = parse({"e": "ACCOUNT_UPDATE", "a": {"m": reason, "P": []}})

    assert found is not None
    assert found.moves_money is moves


def test_one_row_that_cannot_be_read_makes_the_frame_none() -> None:
    """Half of an event is no event."""
    rows = [{"s": "BTCUSDT", "pa": "1"}, {"s": "ETHUSDT", "pa": "x"}]

    assert parse({"e": "ACCOUNT_UPDATE", "a": {"P": rows}}) is None


@pytest.mark.parametrize(
    ("order", "opens"),
    [
        ({"x": "NEW", "S": "BUY", "ps": "BOTH"}, True),
        ({"x": "NEW", "S": "BUY", "ps": "BOTH", "R": True}, False),
        ({"x": "NEW", "S": "BUY", "ps": "BOTH", "o": "MARKET"}, False),
        ({"x": "NEW", "S": "SELL", "ps": "LONG"}, False),
        ({"x": "NEW", "S": "SELL", "ps": "SHORT"}, True),
        ({"x": "TRADE", "S": "BUY", "ps": "BOTH"}, False),
    ],
)
def test_a_new_order_may_open_something(order: dict[str, Any], *, opens: bool) -> None:
    """The venue's countdown covers its symbol then."""
    found = parse({"e": "ORDER_TRADE_UPDATE", "o": {**order, "s": "BTCUSDT"}})
    assert found is not None
    assert found.opens is opens
    conditional = parse({"e": "ALGO_UPDATE", "o": {"X": "NEW", "s": "BTCUSDT", "S": "BUY"}})
    assert conditional is not None
    assert conditional.is_new_order
    assert not conditional.opens


def test_a_frame_may_be_wrapped() -> None:
    """As `/stream` does."""
    found = parse({"stream": "k", "data": {"e": "listenKeyExpired", "E": "7"}})

    assert found == StreamEvent(kind=StreamKind.KEY_EXPIRED)
