"""What the world does to an account during a run: other programs, other people, the venue."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from liqctl.sim import checks
from liqctl.sim.faults import make_fault
from liqctl.sim.market import Market
from liqctl.sim.orders import LegKey, Order, Refused
from liqctl.sim.venue import Event, Venue

Row = Mapping[str, Any]
Act = Callable[[Venue, Row], None]


def _leg(row: Row) -> LegKey:
    return row["symbol"], row.get("position_side", "BOTH")


def _number(row: Row, name: str) -> Decimal:
    return Decimal(str(row[name]))


def _market(venue: Venue, row: Row) -> Market:
    return venue.account.market(row["symbol"])


def _trade(venue: Venue, row: Row, signed: Decimal, owner: str) -> None:
    """Execute somebody else's market order of a signed quantity, unchecked."""
    if not signed:
        return
    account = venue.account
    symbol, position_side = _leg(row)
    order = Order(
        order_id=account.next_id(),
        client_order_id=str(row.get("client_order_id", f"{owner}-{account.next_id()}")),
        symbol=symbol,
        side="BUY" if signed > 0 else "SELL",
        position_side=position_side,
        type="MARKET",
        quantity=abs(signed),
        time_ms=account.now_ms,
        update_ms=account.now_ms,
        owner=owner,
    )
    account.add(order)
    account.fill(order, abs(signed), _market(venue, row).mark_price)


def reopen(venue: Venue, row: Row) -> None:
    """A bot opens a position, if the leg is flat."""
    if venue.account.holding(_leg(row)) is None:
        _trade(venue, row, _number(row, "quantity"), "bot")


def place(venue: Venue, row: Row) -> None:
    """A bot rests a limit order."""
    params = {
        "symbol": row["symbol"],
        "side": row["side"],
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": str(row["quantity"]),
        "price": str(row["price"]),
        "newClientOrderId": f"gridbot-{venue.account.next_id()}",
        "reduceOnly": "true" if row.get("reduce_only") else "",
        "positionSide": row.get("position_side", ""),
    }
    with contextlib.suppress(Refused):
        checks.place(venue.account, params, owner="bot").hidden = bool(row.get("hidden"))


def enter(venue: Venue, row: Row) -> None:
    """A bot opens a position if the leg is flat, with a stop of its own.

    The stop comes `stop_after_ms` after the position, or before it where that is negative. It is
    a closePosition order, or as `stop` says: reduce_only, or plain.
    """
    account, quantity = venue.account, _number(row, "quantity")
    is_long, is_hedge = quantity > 0, _leg(row)[1] != "BOTH"
    kind, after_ms = row.get("stop", "close_position"), int(row.get("stop_after_ms", 0))
    params = {
        "algoType": "CONDITIONAL",
        "symbol": row["symbol"],
        "side": "SELL" if is_long else "BUY",
        "type": "STOP_MARKET",
        "triggerPrice": str(_market(venue, row).mark_price * Decimal("0.9" if is_long else "1.1")),
        "clientAlgoId": f"botstop-{account.next_id()}",
        "positionSide": row["position_side"] if is_hedge else "",
        "closePosition": "true" if kind == "close_position" else "",
        "quantity": "" if kind == "close_position" else str(abs(quantity)),
        "reduceOnly": "true" if kind == "reduce_only" and not is_hedge else "",
    }

    def protect() -> None:
        with contextlib.suppress(Refused):
            checks.place_algo(account, params, owner="bot")

    account.schedule(account.now_ms + max(-after_ms, 0), lambda: reopen(venue, row), others=True)
    account.schedule(account.now_ms + max(after_ms, 0), protect, others=True)


def close(venue: Venue, row: Row) -> None:
    """Somebody closes the leg by hand, or the given share of it."""
    held = venue.account.holding(_leg(row))
    if held is not None:
        share = Decimal(str(row.get("share", "1")))
        _trade(venue, row, -held.amount * share, str(row.get("owner", "hand")))


def trigger(venue: Venue, row: Row) -> None:
    """Every conditional order of the symbol triggers."""
    for algo in venue.account.open_algo_orders():
        if algo.symbol == row["symbol"]:
            checks.trigger(venue.account, algo)


def fill(venue: Venue, row: Row) -> None:
    """Every resting limit order of the symbol fills: one that only reduces, what is left of it."""
    for order in venue.account.open_orders():
        # A market order that fills by and by does not rest, and a fill may end the next one.
        if order.symbol == row["symbol"] and order.type == "LIMIT" and order.is_open:
            venue.account.fill(order, order.remaining, order.price)


def move_mark(venue: Venue, row: Row) -> None:
    """The mark price moves by some basis points, and with it what is allowed and bid."""
    market = _market(venue, row)
    moved = market.mark_price * (1 + _number(row, "bps") / 10000)
    market.mark_price = moved.quantize(market.tick_size)


def to_hedge(venue: Venue, _: Row) -> None:
    """The account is switched to hedge mode, through COIN-M, positions and all."""
    account = venue.account
    account.hedge = True
    for held in list(account.holdings.values()):
        if held.amount and held.position_side == "BOTH":
            moved = replace(held, position_side="LONG" if held.amount > 0 else "SHORT")
            account.holdings.note(account.now_ms, held.leg)
            account.holdings.note(account.now_ms, moved.leg)
            del account.holdings[held.leg]
            account.holdings[moved.leg] = moved
    for order in (*account.open_orders(), *account.open_algo_orders()):
        order.position_side = "LONG" if order.side == "SELL" else "SHORT"


def ban(venue: Venue, row: Row) -> None:
    """The address is banned for a while."""
    venue.banned_until_ms = venue.now_ms + int(row["for_ms"])


def set_can_trade(venue: Venue, row: Row) -> None:
    """Trading is permitted or forbidden."""
    venue.can_trade = bool(row["can_trade"])


def _setting(name: str, of: Callable[[str], object]) -> Act:
    """Return the act that gives something of the symbol's market the row's value."""
    return lambda venue, row: setattr(_market(venue, row), name, of(str(row[name])))


ACTS: Final[Mapping[str, Act]] = {
    **{act.__name__: act for act in (reopen, place, enter, close, trigger, fill)},
    # A bot trades, whatever the leg holds.
    "add": lambda venue, row: _trade(venue, row, _number(row, "quantity"), "bot"),
    # Somebody turns the position around.
    "flip": lambda venue, row: close(venue, {**row, "share": "2", "owner": "hand"}),
    # The venue liquidates the leg, or takes part of it for somebody else's loss.
    "liquidate": lambda venue, row: close(
        venue, {**row, "owner": "venue", "client_order_id": f"autoclose-{venue.now_ms}"}
    ),
    "deleverage": lambda venue, row: close(
        venue, {"share": "0.5", **row, "owner": "venue", "client_order_id": "adl_autoclose"}
    ),
    # The symbol changes its status, its book refills, the best prices move away from mark.
    "set_status": _setting("status", str),
    "set_depth": _setting("depth", Decimal),
    "set_spread": _setting("spread_bps", Decimal),
    **{act.__name__: act for act in (move_mark, to_hedge, ban, set_can_trade)},
    # The key is deleted: nothing signed passes any more.
    "revoke_key": lambda venue, _: venue.faults.insert(0, make_fault("key_refused", times=0)),
}
"""What an event of a scenario can do."""

_WHEN: Final = ("at_ms", "on_request", "on_path", "every_ms", "times")


def make_event(row: Row) -> Event:
    """Return the event that a scenario's row describes; an unknown act is a KeyError."""
    act = ACTS[row["act"]]
    when = {name: row[name] for name in _WHEN if name in row}
    return Event(act=lambda venue: act(venue, row), name=row["act"], **when)
