"""Whether the account is flat, as far as one reading can tell.

flat      positions and both books were read in full and nothing in scope is left
residual  something in scope is left; it is listed
unknown   a source could not be read: what is listed is open, what is not listed may be
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.protection import is_protective, reduces_only
from liqctl.kernel.values import Leg, OpenOrder, Position, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one reading showed, in scope.

    `unread` names the sources that failed; `evidence` are those of `orders` that can only reduce a
    leg which reads flat: a position may be there that the list does not show yet.
    """

    positions: tuple[Position, ...]
    orders: tuple[OpenOrder, ...]
    kept: tuple[OpenOrder, ...]
    evidence: tuple[OpenOrder, ...]
    unread: tuple[str, ...]

    @property
    def is_flat(self) -> bool:
        """Whether nothing in scope is left and everything in scope was read."""
        return not (self.positions or self.orders or self.unread)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left but orders that wait for their leg to be settled."""
        return not (self.positions or self.unread) and len(self.orders) == len(self.evidence)

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
    by_leg: Mapping[Leg, Position] = {position.leg: position for position in positions}
    orders = tuple(order for order in snapshot.orders if policy.covers(order.symbol))
    kept = tuple(order for order in orders if is_protective(order, by_leg))
    if policy.close_positions:
        counted = orders
    else:
        counted = tuple(order for order in orders if order not in kept)
    sources = []
    if not snapshot.positions.complete:
        sources.append("positions")
    if policy.cancel_orders:
        if not snapshot.regular_orders.complete:
            sources.append("regular orders")
        if not snapshot.algo_orders.complete:
            sources.append("conditional orders")
    counted = counted if policy.cancel_orders else ()
    return Verdict(
        positions=positions if policy.close_positions else (),
        orders=counted,
        kept=kept,
        evidence=tuple(o for o in counted if o.leg not in by_leg and reduces_only(o)),
        unread=tuple(sources),
    )
