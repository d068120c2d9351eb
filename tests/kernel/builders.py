"""Short ways to write down accounts in tests."""

from decimal import Decimal

from liqctl.kernel.values import (
    Leg,
    OpenOrder,
    OrderKind,
    Position,
    PositionSide,
    Reading,
    Side,
    Snapshot,
)


def leg(symbol: str = "BTCUSDT", side: PositionSide = PositionSide.BOTH) -> Leg:
    """Return a leg."""
    return Leg(symbol=symbol, position_side=side)


def position(
    quantity: str,
    *,
    symbol: str = "BTCUSDT",
    side: PositionSide = PositionSide.BOTH,
    notional: str = "1000",
    update_time_ms: int = 0,
) -> Position:
    """Return a position of a signed quantity."""
    return Position(
        leg=leg(symbol, side),
        quantity=Decimal(quantity),
        notional=Decimal(notional),
        update_time_ms=update_time_ms,
    )


def limit(order_id: str = "1", *, symbol: str = "BTCUSDT", side: Side = Side.SELL) -> OpenOrder:
    """Return a resting limit order."""
    return OpenOrder(
        symbol=symbol,
        position_side=PositionSide.BOTH,
        kind=OrderKind.REGULAR,
        order_id=order_id,
        type="LIMIT",
        side=side,
        quantity=Decimal(1),
    )


def stop(
    order_id: str = "9",
    *,
    symbol: str = "BTCUSDT",
    side: Side | None = Side.SELL,
    position_side: PositionSide = PositionSide.BOTH,
    quantity: str | None = "1",
    reduce_only: bool = False,
    close_position: bool = False,
) -> OpenOrder:
    """Return a conditional order."""
    return OpenOrder(
        symbol=symbol,
        position_side=position_side,
        kind=OrderKind.ALGO,
        order_id=order_id,
        type="STOP_MARKET",
        side=side,
        quantity=None if quantity is None else Decimal(quantity),
        reduce_only=reduce_only,
        close_position=close_position,
    )


def snapshot(
    *positions: Position,
    regular: tuple[OpenOrder, ...] | None = (),
    algo: tuple[OpenOrder, ...] | None = (),
    positions_read: bool = True,
    started_at: float = 10.0,
) -> Snapshot:
    """Return a reading; None for a book stands for one that could not be read."""
    return Snapshot(
        positions=Reading(items=positions, complete=positions_read),
        regular_orders=Reading(items=regular or (), complete=regular is not None),
        algo_orders=Reading(items=algo or (), complete=algo is not None),
        started_at=started_at,
        finished_at=started_at + 0.05,
    )
