"""What the venue's user data stream says, one event at a time."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from liqctl.kernel.values import Leg


class StreamKind(StrEnum):
    """What an event of the user data stream is about."""

    POSITIONS = "POSITIONS"
    ORDER = "ORDER"
    KEY_EXPIRED = "KEY_EXPIRED"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """One event: what changed, by the venue's clock.

    `amounts` are the signed quantities that legs have now, `entry_prices` what those cost that are
    open; `opens` says that an order of the regular book came to be that may open something;
    `client_order_id` names whose order it is about. `moves_money`: the balance changed by something
    else than trading, such as a deposit.
    """

    kind: StreamKind
    at_ms: int = 0
    amounts: tuple[tuple[Leg, Decimal], ...] = ()
    entry_prices: tuple[tuple[Leg, Decimal], ...] = ()
    client_order_id: str = ""
    symbol: str = ""
    is_new_order: bool = False
    opens: bool = False
    moves_money: bool = False
