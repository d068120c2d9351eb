"""Which conditional orders protect a position, and so must outlive it.

A protective stop is the last line of defence if the close fails: it is cancelled only once its
leg has been read flat. Every other conditional order could open a position and goes at once.
"""

from collections.abc import Mapping

from liqctl.kernel.values import Leg, OpenOrder, Position, PositionSide


def is_protective(order: OpenOrder, positions: Mapping[Leg, Position]) -> bool:
    """Return whether the order can do nothing but shrink a leg that is open.

    True for a conditional order of an open leg that is reduce-only or closes the position (on
    either side: should somebody flip the position, the other one is the stop), and for one on the
    closing side that names its hedge leg or, one-way without a flag, trades no more than the leg
    holds. An order whose side could not be read is never protective.
    """
    if not order.is_conditional or order.side is None:
        return False
    position = positions.get(order.leg)
    if position is None:
        return False
    one_way = order.position_side is PositionSide.BOTH
    if one_way and (order.reduce_only or order.close_position):
        return True
    if order.side is not position.closing_side:
        return False
    if not one_way:
        return True
    return order.quantity is not None and 0 < order.quantity <= position.size


def is_oversized(order: OpenOrder, positions: Mapping[Leg, Position]) -> bool:
    """Return whether the order is a plain stop that trades more than its open leg holds.

    It closes the leg and opens the rest the other way, so it does not outlive the run: decided for
    the exposure that nobody watches, against the protection of a leg that is being closed anyway.
    """
    return (
        order.is_conditional
        and (position := positions.get(order.leg)) is not None
        and order.side is position.closing_side
        and order.quantity is not None
        and not is_protective(order, positions)
    )


def may_protect(order: OpenOrder) -> bool:
    """Return whether the order might protect a leg whose position could not be read.

    Only a hedge-mode order on its leg's opening side is surely none; everything else that is
    conditional waits until the positions have been read.
    """
    may_close = order.side is None or order.position_side.shrunk_by in {None, order.side}
    return order.is_conditional and may_close


def reduces_only(order: OpenOrder) -> bool:
    """Return whether the order can do nothing but shrink its leg, whatever the leg holds.

    Such an order on a leg that reads flat is evidence of a position that the list does not show
    yet. An order whose side could not be read may do anything.
    """
    if order.side is None:
        return False
    if order.position_side is PositionSide.BOTH:
        return order.reduce_only or order.close_position
    return order.side is order.position_side.shrunk_by
