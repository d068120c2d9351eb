"""When readings that show nothing are enough of a confirmation, and which stops outlive a leg."""

import pytest

from liqctl.kernel.proof import Look, is_confirmed, is_protective, may_protect, reduces_only
from liqctl.kernel.values import OpenOrder, PositionSide, Side
from tests.kernel.builders import limit, position, stop

ONE = frozenset({"account"})
BOTH = frozenset({"account", "positionRisk"})
LONG = position("1")
SHORT = position("-1")
HEDGE_LONG = position("1", side=PositionSide.LONG)
HEDGE_SHORT = position("-1", side=PositionSide.SHORT)


def looks(count: int, sources: frozenset[str]) -> list[Look]:
    """Return as many readings that showed nothing."""
    return [Look(number / 2, sources, frozenset()) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "sources", "is_doubted", "confirmed"),
    [
        (0, BOTH, False, False),
        (1, BOTH, False, True),
        (2, ONE, False, False),
        (3, ONE, False, True),
        # A position that vanished by itself: three wrong empty answers in a row were seen.
        (1, BOTH, True, True),
        (4, ONE, True, False),
        (5, ONE, True, True),
    ],
)
def test_one_source_alone_must_show_nothing_more_often(
    count: int, sources: frozenset[str], is_doubted: bool, confirmed: bool
) -> None:
    """A silent source is no second opinion."""
    assert is_confirmed(looks(count, sources), is_doubted=is_doubted) is confirmed


@pytest.mark.parametrize(
    "order",
    [
        stop(quantity=None, close_position=True),
        stop(reduce_only=True, quantity="5"),
        stop(quantity="1"),
        stop(quantity="0.4"),
        stop(side=Side.BUY, reduce_only=True),
    ],
)
def test_a_selling_stop_that_can_only_reduce_protects_a_long(order: OpenOrder) -> None:
    """Cancelled too early, it leaves the position naked if the close fails."""
    assert is_protective(order, {LONG.leg: LONG})


@pytest.mark.parametrize(
    "order",
    [
        stop(quantity="1.001"),
        stop(side=Side.BUY),
        stop(side=None),
        stop(quantity=None),
        limit(),
    ],
)
def test_a_stop_that_could_open_or_cannot_be_read_protects_nothing(order: OpenOrder) -> None:
    """What can open a position must go at once."""
    assert not is_protective(order, {LONG.leg: LONG})


@pytest.mark.parametrize(
    ("held", "position_side", "side", "expected"),
    [
        (HEDGE_LONG, PositionSide.LONG, Side.SELL, True),
        (HEDGE_LONG, PositionSide.LONG, Side.BUY, False),
        (HEDGE_SHORT, PositionSide.SHORT, Side.BUY, True),
        (HEDGE_SHORT, PositionSide.SHORT, Side.SELL, False),
        (HEDGE_LONG, PositionSide.SHORT, Side.BUY, False),
    ],
)
def test_in_hedge_mode_the_closing_side_of_its_own_leg_protects(
    held: object, position_side: PositionSide, side: Side, expected: bool
) -> None:
    """The wrong side of a leg opens it."""
    order = stop(position_side=position_side, side=side, quantity="7")

    assert isinstance(held, type(LONG))
    assert is_protective(order, {held.leg: held}) is expected


def test_a_stop_of_a_flat_leg_protects_nothing() -> None:
    """Without a position it can only open one."""
    assert not is_protective(stop(reduce_only=True), {})


def test_while_positions_are_unread_only_an_opening_hedge_order_is_surely_no_stop() -> None:
    """An unread position may be open, so its possible stops wait."""
    assert may_protect(stop())
    assert may_protect(stop(side=None))
    assert not may_protect(stop(position_side=PositionSide.LONG, side=Side.BUY))
    assert not may_protect(limit())


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (stop(reduce_only=True), True),
        (stop(quantity=None, close_position=True), True),
        (stop(side=Side.BUY, reduce_only=True), True),
        (limit()._replace(reduce_only=True), True),
        (stop(), False),
        (stop(side=None, reduce_only=True), False),
        (stop(position_side=PositionSide.LONG, side=Side.SELL), True),
        (stop(position_side=PositionSide.LONG, side=Side.BUY), False),
        (stop(position_side=PositionSide.SHORT, side=Side.BUY), True),
        (stop(position_side=PositionSide.SHORT, side=Side.SELL), False),
        (stop(position_side=PositionSide.SHORT, side=None), False),
        (limit()._replace(position_side=PositionSide.LONG), True),
    ],
)
def test_an_order_that_can_only_reduce_is_told_without_a_position(
    order: OpenOrder, *, expected: bool
) -> None:
    """On a leg that reads flat it contradicts the reading: somebody set it for a position."""
    assert reduces_only(order) is expected
