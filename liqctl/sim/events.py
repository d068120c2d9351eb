"""What the world does to an account during a run: other programs, other people, the venue."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.orders import Order
from liqctl.sim.refusal import Refused
from liqctl.sim.venue import Event, Venue

Act = Callable[[Venue, Mapping[str, Any]], None]


def _trade(venue: Venue, row: Mapping[str, Any], signed: Decimal, owner: str) -> None:
    """Execute somebody else's market order of a signed quantity, unchecked."""
    if not signed:
        return
    account = venue.account
    side = "BUY" if signed > 0 else "SELL"
    order = Order(
        order_id=account.next_id(),
        client_order_id=str(row.get("client_order_id", f"{owner}-{account.next_id()}")),
        symbol=row["symbol"],
        side=side,
        position_side=row.get("position_side", "BOTH"),
        type="MARKET",
        quantity=abs(signed),
        time_ms=account.now_ms,
        update_ms=account.now_ms,
        owner=owner,
    )
    account.add(order)
    account.fill(order, abs(signed), account.market(order.symbol).mark_price)


def _reopen(venue: Venue, row: Mapping[str, Any]) -> None:
    """A bot opens a position, if the leg is flat."""
    if venue.account.holding(_key(row)) is None:
        _trade(venue, row, Decimal(str(row["quantity"])), "bot")


def _add(venue: Venue, row: Mapping[str, Any]) -> None:
    """A bot trades, whatever the leg holds."""
    _trade(venue, row, Decimal(str(row["quantity"])), "bot")


def _place(venue: Venue, row: Mapping[str, Any]) -> None:
    """A bot rests a limit order."""
    params = {
        "symbol": row["symbol"],
        "side": row["side"],
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": str(row["quantity"]),
        "price": str(row["price"]),
        "newClientOrderId": f"gridbot-{venue.account.next_id()}",
    }
    if row.get("reduce_only"):
        params["reduceOnly"] = "true"
    if "position_side" in row:
        params["positionSide"] = row["position_side"]
    try:
        order = venue.account.place(params, owner="bot")
    except Refused:
        return
    order.hidden = bool(row.get("hidden"))


def _enter(venue: Venue, row: Mapping[str, Any]) -> None:
    """A bot opens a position if the leg is flat, with a stop of its own.

    The stop comes `stop_after_ms` after the position, or before it where that is negative. It is
    a closePosition order, or as `stop` says: reduce_only, or plain.
    """
    quantity = Decimal(str(row["quantity"]))
    account, after_ms = venue.account, int(row.get("stop_after_ms", 0))
    is_hedge = row.get("position_side", "BOTH") != "BOTH"
    kind = row.get("stop", "close_position")
    mark = account.market(row["symbol"]).mark_price
    params = {
        "algoType": "CONDITIONAL",
        "symbol": row["symbol"],
        "side": "SELL" if quantity > 0 else "BUY",
        "type": "STOP_MARKET",
        "triggerPrice": str(mark * (Decimal("0.9") if quantity > 0 else Decimal("1.1"))),
        "clientAlgoId": f"botstop-{account.next_id()}",
    }
    if is_hedge:
        params["positionSide"] = row["position_side"]
    if kind == "close_position":
        params["closePosition"] = "true"
    else:
        params["quantity"] = str(abs(quantity))
        if kind == "reduce_only" and not is_hedge:
            params["reduceOnly"] = "true"

    def protect() -> None:
        with contextlib.suppress(Refused):
            account.place_algo(params, owner="bot")

    account.schedule(account.now_ms + max(-after_ms, 0), lambda: _reopen(venue, row), others=True)
    account.schedule(account.now_ms + max(after_ms, 0), protect, others=True)


def _close(venue: Venue, row: Mapping[str, Any]) -> None:
    """Somebody closes the leg by hand, or the given share of it."""
    held = venue.account.holding(_key(row))
    if held is not None:
        share = Decimal(str(row.get("share", "1")))
        _trade(venue, row, -held.amount * share, str(row.get("owner", "hand")))


def _flip(venue: Venue, row: Mapping[str, Any]) -> None:
    """Somebody turns the position around."""
    held = venue.account.holding(_key(row))
    if held is not None:
        _trade(venue, row, -2 * held.amount, "hand")


def _liquidate(venue: Venue, row: Mapping[str, Any]) -> None:
    """The venue liquidates the leg."""
    _close(venue, {**row, "owner": "venue", "client_order_id": f"autoclose-{venue.now_ms}"})


def _deleverage(venue: Venue, row: Mapping[str, Any]) -> None:
    """The venue takes part of the leg for somebody else's loss."""
    _close(venue, {"share": "0.5", **row, "owner": "venue", "client_order_id": "adl_autoclose"})


def _trigger(venue: Venue, row: Mapping[str, Any]) -> None:
    """Every conditional order of the symbol triggers."""
    for algo in venue.account.open_algo_orders():
        if algo.symbol == row["symbol"]:
            venue.account.trigger(algo)


def _fill(venue: Venue, row: Mapping[str, Any]) -> None:
    """Every resting limit order of the symbol fills: one that only reduces, what is left of it."""
    for order in venue.account.open_orders():
        # A market order that fills by and by does not rest, and a fill may end the next one.
        if order.symbol == row["symbol"] and order.type == "LIMIT" and order.is_open:
            venue.account.fill(order, order.remaining, order.price)


def _set_status(venue: Venue, row: Mapping[str, Any]) -> None:
    """The symbol changes its status."""
    venue.account.market(row["symbol"]).status = str(row["status"])


def _set_depth(venue: Venue, row: Mapping[str, Any]) -> None:
    """The book refills."""
    venue.account.market(row["symbol"]).depth = Decimal(str(row["depth"]))


def _set_spread(venue: Venue, row: Mapping[str, Any]) -> None:
    """The best prices move away from mark, or back."""
    venue.account.market(row["symbol"]).spread_bps = Decimal(str(row["spread_bps"]))


def _move_mark(venue: Venue, row: Mapping[str, Any]) -> None:
    """The mark price moves by some basis points, and with it what is allowed and bid."""
    market = venue.account.market(row["symbol"])
    moved = market.mark_price * (1 + Decimal(str(row["bps"])) / 10000)
    market.mark_price = moved.quantize(market.tick_size)


def _to_hedge(venue: Venue, _: Mapping[str, Any]) -> None:
    """The account is switched to hedge mode, through COIN-M, positions and all."""
    account = venue.account
    account.hedge = True
    for key, held in list(account.holdings.items()):
        if held.amount and key[1] == "BOTH":
            side = "LONG" if held.amount > 0 else "SHORT"
            account.note_holding(key)
            account.note_holding((held.symbol, side))
            del account.holdings[key]
            account.holdings[held.symbol, side] = replace(held, position_side=side)
    for order in account.open_orders():
        order.position_side = "LONG" if order.side == "SELL" else "SHORT"
    for algo in account.open_algo_orders():
        algo.position_side = "LONG" if algo.side == "SELL" else "SHORT"


def _ban(venue: Venue, row: Mapping[str, Any]) -> None:
    """The address is banned for a while."""
    venue.banned_until_ms = venue.now_ms + int(row["for_ms"])


def _revoke_key(venue: Venue, _: Mapping[str, Any]) -> None:
    """The key is deleted: nothing signed passes any more."""
    venue.faults.insert(0, Fault(name="key_refused", effect=KINDS["key_refused"], times=0))


def _set_can_trade(venue: Venue, row: Mapping[str, Any]) -> None:
    """Trading is permitted or forbidden."""
    venue.can_trade = bool(row["can_trade"])


ACTS: Final[Mapping[str, Act]] = {
    "add": _add,
    "ban": _ban,
    "close": _close,
    "deleverage": _deleverage,
    "enter": _enter,
    "fill": _fill,
    "flip": _flip,
    "liquidate": _liquidate,
    "move_mark": _move_mark,
    "place": _place,
    "reopen": _reopen,
    "revoke_key": _revoke_key,
    "set_can_trade": _set_can_trade,
    "set_depth": _set_depth,
    "set_spread": _set_spread,
    "set_status": _set_status,
    "to_hedge": _to_hedge,
    "trigger": _trigger,
}
"""What an event of a scenario can do."""

_WHEN: Final = ("at_ms", "on_request", "on_path", "every_ms", "times")


def make_event(row: Mapping[str, Any]) -> Event:
    """Return the event that a scenario's row describes; an unknown act is a KeyError."""
    act = ACTS[row["act"]]
    when = {name: row[name] for name in _WHEN if name in row}
    return Event(act=lambda venue: act(venue, row), name=row["act"], **when)


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["symbol"], row.get("position_side", "BOTH")
