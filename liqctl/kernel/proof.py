"""Whether the account is flat, by one reading and proven, and which stops must outlive a leg.

A reading shows it flat (all lists were read in full and nothing in scope is left), shows what is
left, or leaves it unknown: where a list could not be read, what is not listed may be there.

A position or an order can be missing from a list for about two seconds after it came to be, single
answers are sometimes empty, and two sources may be served by two replicas. So one flat reading
proves nothing: what counts is a window of readings that all show nothing, the last one by both
sources of positions.

A protective stop is the last line of defence if a close fails: it is cancelled only once its leg
has been read flat. Every other conditional order could open a position and goes at once.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from liqctl.kernel import pacing
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.values import Leg, OpenOrder, Position, PositionSide, Snapshot

_SOURCES: Final = 2


class Verdict(NamedTuple):
    """What one reading showed, in scope.

    `unread` names the lists that were not read, `failed` those of them that were asked for;
    `evidence` are those of `orders` that can only reduce a
    leg which reads flat: a position may be there that the list does not show yet.
    """

    positions: tuple[Position, ...]
    orders: tuple[OpenOrder, ...]
    kept: tuple[OpenOrder, ...]
    evidence: tuple[OpenOrder, ...]
    unread: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def is_flat(self) -> bool:
        """Whether nothing in scope is left and everything in scope was read."""
        return not (self.positions or self.orders or self.unread)

    @property
    def is_quiet(self) -> bool:
        """Whether what was asked shows nothing but orders that wait for their leg to be settled."""
        return not (self.positions or self.failed) and len(self.orders) == len(self.evidence)

    @property
    def is_readable(self) -> bool:
        """Whether everything in scope was read."""
        return not self.unread


def verify(snapshot: Snapshot, policy: LiquidationConfig) -> Verdict:
    """Return the verdict on a reading.

    Positions out of scope by symbol never count. With `close_positions` False positions do not
    count and protective stops of open legs are `kept`; with `cancel_orders` False orders do not.
    """
    positions = tuple(p for p in snapshot.positions.items if policy.covers(p.symbol))
    by_leg = {position.leg: position for position in positions}
    orders = tuple(order for order in snapshot.orders if policy.covers(order.symbol))
    kept = tuple(order for order in orders if is_protective(order, by_leg))
    wanted = tuple(snapshot.lists) if policy.cancel_orders else ("positions",)
    counted = orders if policy.cancel_orders else ()
    if not policy.close_positions:
        counted = tuple(order for order in counted if not is_protective(order, by_leg))
    return Verdict(
        positions=positions if policy.close_positions else (),
        orders=counted,
        kept=kept,
        evidence=tuple(o for o in counted if o.leg not in by_leg and reduces_only(o)),
        unread=tuple(name for name in wanted if name in snapshot.lists_missing),
        failed=tuple(name for name in wanted if name in snapshot.lists_failed),
    )


class Look(NamedTuple):
    """One complete reading of the positions.

    Attributes:
        began_at: when it was asked for, on the loop's clock.
        sources: the names of the sources that answered in full.
        open_legs: the legs that any of them showed open.
    """

    began_at: float
    sources: frozenset[str]
    open_legs: frozenset[Leg]


def is_confirmed(looks: Sequence[Look], *, is_doubted: bool = False) -> bool:
    """Return whether these looks, which all showed nothing, are enough of a confirmation.

    `is_doubted` says that a position was open and no fill of ours closed it.
    """
    if not looks:
        return False
    needed = pacing.READINGS_OF_ONE_DOUBTED if is_doubted else pacing.READINGS_OF_ONE
    return len(looks[-1].sources) >= _SOURCES or len(looks) >= needed


def is_leg_settled(looks: Sequence[Look], leg: Leg, *, since: float, window_s: float) -> bool:
    """Return whether the leg was read flat for the whole window, counted from `since` at least.

    A look that shows the leg open begins the window anew: what was open then was there then. Looks
    that began before `since` say nothing: they may be older than what is asked about.
    """
    flat: list[Look] = []
    for look in reversed(looks):
        if look.began_at < since:
            break
        if leg in look.open_legs:
            since = look.began_at
            break
        flat.append(look)
    is_watched = bool(flat) and flat[0].began_at >= since + window_s
    return is_watched and is_confirmed(flat[::-1], is_doubted=True)


class Streak(NamedTuple):
    """Readings in a row that showed nothing: no position, and no order but stops that wait.

    A stop on a leg that reads flat waits until its leg is settled; it keeps the account from being
    called flat, not from being watched.
    """

    looks: tuple[Look, ...] = ()
    seen_flat: bool = False

    @property
    def since(self) -> float | None:
        """When the first of them began, None without one."""
        return self.looks[0].began_at if self.looks else None

    @property
    def watched_s(self) -> float:
        """How long nothing was seen, from the first to the last reading."""
        return self.looks[-1].began_at - self.looks[0].began_at if self.looks else 0.0


NO_STREAK: Final = Streak()


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
