"""What orders really traded at: the executions behind an order, as the venue lists them."""

from dataclasses import dataclass
from decimal import Decimal

from liqctl.kernel.account import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One execution of an order of ours.

    `realized_pnl` is in `settle_asset` and is what the venue booked, fees not included; `fee` is in
    `fee_asset` and positive when it was paid. Both assets differ where fees are paid in BNB.
    """

    symbol: str
    order_id: str
    trade_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    realized_pnl: Decimal
    settle_asset: str
    fee: Decimal
    fee_asset: str
    time_ms: int
