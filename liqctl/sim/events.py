"""What the world does to an account during a run: other programs, other people, the venue."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from liqctl.sim import checks
from liqctl.sim.faults import make_fault
from liqctl.sim.market import Market
from liqctl.sim.orders import Execution, LegKey, Order, Refused
from liqctl.sim.venue import Venue, WorldEvent

Entry = Mapping[str, Any]
Act = Callable[[Venue, Entry], None]


def _leg(entry: Entry) -> LegKey:
    return entry["symbol"], entry.get("position_side", "BOTH")


def _number(entry: Entry, name: str) -> Decimal:
    return Decimal(str(entry[name]))


def _market(venue: Venue, entry: Entry) -> Market:
    return venue.account.market(entry["symbol"])


def _trade(venue: Venue, entry: Entry, signed: Decimal, owner: str) -> None:
    """Execute somebody else's market order of a signed quantity, unchecked."""
    if not signed:
        return
    account = venue.account
    symbol, position_side = _leg(entry)
    order = Order(
        order_id=account.next_id(),
        client_order_id=str(entry.get("client_order_id", f"{owner}-{account.next_id()}")),
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
    account.fill(order, abs(signed), _market(venue, entry).mark_price)


def reopen(venue: Venue, entry: Entry) -> None:
    """A bot opens a position, if the leg is flat."""
    if venue.account.holding(_leg(entry)) is None:
        _trade(venue, entry, _number(entry, "quantity"), "bot")


def place(venue: Venue, entry: Entry) -> None:
    """A bot rests a limit order."""
    params = {
        "symbol": entry["symbol"],
        "side": entry["side"],
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": str(entry["quantity"]),
        "price": str(entry["price"]),
        "newClientOrderId": f"gridbot-{venue.account.next_id()}",
        "reduceOnly": "true" if entry.get("reduce_only") else "",
        "positionSide": entry.get("position_side", ""),
    }
    with contextlib.suppress(Refused):
        checks.place(venue.account, params, owner="bot").hidden = bool(entry.get("hidden"))


def enter(venue: Venue, entry: Entry) -> None:
    """A bot opens a position if the leg is flat, with a stop of its own.

    The stop comes `stop_after_ms` after the position, or before it where that is negative. It is
    a closePosition order, or as `stop` says: reduce_only, or plain.
    """
    account, quantity = venue.account, _number(entry, "quantity")
    is_long, is_hedge = quantity > 0, _leg(entry)[1] != "BOTH"
    kind, after_ms = entry.get("stop", "close_position"), int(entry.get("stop_after_ms", 0))
    params = {
        "algoType": "CONDITIONAL",
        "symbol": entry["symbol"],
        "side": "SELL" if is_long else "BUY",
        "type": "STOP_MARKET",
        "triggerPrice": str(
            _market(venue, entry).mark_price * Decimal("0.9" if is_long else "1.1")
        ),
        "clientAlgoId": f"botstop-{account.next_id()}",
        "positionSide": entry["position_side"] if is_hedge else "",
        "closePosition": "true" if kind == "close_position" else "",
        "quantity": "" if kind == "close_position" else str(abs(quantity)),
        "reduceOnly": "true" if kind == "reduce_only" and not is_hedge else "",
    }

    def protect() -> None:
        with contextlib.suppress(Refused):
            checks.place_algo(account, params, owner="bot")

    account.schedule(account.now_ms + max(-after_ms, 0), lambda: reopen(venue, entry), others=True)
    account.schedule(account.now_ms + max(after_ms, 0), protect, others=True)


def close(venue: Venue, entry: Entry) -> None:
    """Somebody closes the leg by hand, or the given share of it."""
    held = venue.account.holding(_leg(entry))
    if held is not None:
        share = Decimal(str(entry.get("share", "1")))
        signed = -held.amount * share
        if _market(venue, entry).contract_size:
            signed = Decimal(round(signed))  # There is no part of a contract.
        _trade(venue, entry, signed, str(entry.get("owner", "hand")))


def trigger(venue: Venue, entry: Entry) -> None:
    """Every conditional order of the symbol triggers."""
    for algo in venue.account.open_algo_orders():
        if algo.symbol == entry["symbol"]:
            checks.trigger(venue.account, algo)
    for order in venue.account.open_orders():
        if order.symbol == entry["symbol"] and order.trigger_price:
            checks.trigger_older(venue.account, order)


def fill(venue: Venue, entry: Entry) -> None:
    """Every resting limit order of the symbol fills: one that only reduces, what is left of it."""
    for order in venue.account.open_orders():
        # A market order that fills by and by does not rest, and a fill may end the next one.
        if order.symbol == entry["symbol"] and order.type == "LIMIT" and order.is_open:
            venue.account.fill(order, order.remaining, order.price)


def move_mark(venue: Venue, entry: Entry) -> None:
    """The mark price moves by some basis points, and with it what is allowed and bid."""
    market = _market(venue, entry)
    moved = market.mark_price * (1 + _number(entry, "bps") / 10000)
    market.mark_price = moved.quantize(market.tick_size)


def set_mark(venue: Venue, entry: Entry) -> None:
    """The mark price is another: what is open gains or loses by it."""
    _market(venue, entry).mark_price = _number(entry, "price")


def set_account_status(venue: Venue, entry: Entry) -> None:
    """Portfolio margin calls the account's state otherwise."""
    venue.account.status = str(entry["status"])
    venue.streams.risk_changed()


def expire_listen_keys(venue: Venue, entry: Entry) -> None:
    """Listen keys die before their time: that of a host, or all."""
    for host in [entry["host"]] if "host" in entry else [*venue.streams.keys]:
        venue.streams.expire(host)


def deliver(venue: Venue, entry: Entry) -> None:
    """A dated contract is delivered: its orders are gone, its legs closed at the mark price."""
    account, symbol = venue.account, entry["symbol"]
    _market(venue, entry).status = "DELIVERED"
    for order in account.resting():
        if order.symbol == symbol:
            account.end(order, "EXPIRED")
    for _, position_side in [key for key in account.holdings if key[0] == symbol]:
        name = f"delivery_autoclose-{account.next_id()}"
        leg = {"symbol": symbol, "position_side": position_side, "client_order_id": name}
        close(venue, {**leg, "owner": "venue"})


def trade_slice(venue: Venue, execution: Execution) -> None:
    """An execution algorithm trades its next slice, if it still runs."""
    if not execution.is_open:
        return
    account = venue.account
    params = {
        "symbol": execution.symbol,
        "side": execution.side,
        "type": "MARKET",
        "quantity": str(min(execution.slice, execution.quantity - execution.executed)),
        "newClientOrderId": f"{execution.client_algo_id}-{account.next_id()}",
        "positionSide": execution.position_side if account.hedge else "",
        "reduceOnly": "true" if execution.reduce_only else "",
    }
    with contextlib.suppress(Refused):
        order = checks.place(account, params, owner="bot")
        account.executions.note(account.now_ms, execution.algo_id)
        execution.executed += order.executed
        execution.paid += order.traded_quote
    if execution.executed >= execution.quantity:
        execution.status = "FINISHED"


def to_hedge(venue: Venue, _: Entry) -> None:
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
    for order in account.resting():
        order.position_side = "LONG" if order.side == "SELL" else "SHORT"


def ban(venue: Venue, entry: Entry) -> None:
    """The address is banned for a while."""
    venue.weights.banned_until_ms = venue.now_ms + int(entry["for_ms"])


def set_can_trade(venue: Venue, entry: Entry) -> None:
    """Trading is permitted or forbidden."""
    venue.can_trade = bool(entry["can_trade"])


def set_countdowns(venue: Venue, entry: Entry) -> None:
    """Timers that run out cancel orders, or in a maintenance do nothing."""
    venue.account.countdowns_work = bool(entry["work"])


def _setting(name: str, of: Callable[[str], object]) -> Act:
    """Return the act that gives something of the symbol's market the entry's value."""
    return lambda venue, entry: setattr(_market(venue, entry), name, of(str(entry[name])))


ACTS: Final[Mapping[str, Act]] = {
    **{
        act.__name__: act
        for act in (
            *(reopen, place, enter, close, trigger, fill, deliver, to_hedge, move_mark, set_mark),
            *(ban, set_can_trade, set_countdowns, set_account_status, expire_listen_keys),
        )
    },
    # A bot trades, whatever the leg holds.
    "add": lambda venue, entry: _trade(venue, entry, _number(entry, "quantity"), "bot"),
    # Somebody turns the position around.
    "flip": lambda venue, entry: close(venue, {**entry, "share": "2", "owner": "hand"}),
    # The venue liquidates the leg, or takes part of it for somebody else's loss.
    "liquidate": lambda venue, entry: close(
        venue, {**entry, "owner": "venue", "client_order_id": f"autoclose-{venue.now_ms}"}
    ),
    "deleverage": lambda venue, entry: close(
        venue, {"share": "0.5", **entry, "owner": "venue", "client_order_id": "adl_autoclose"}
    ),
    # The symbol changes its status, its book refills, the best prices move away from mark.
    "set_status": _setting("status", str),
    "set_depth": _setting("depth", Decimal),
    "set_spread": _setting("spread_bps", Decimal),
    # Somebody moves money into a wallet, or out of it where the amount is negative.
    "transfer": lambda venue, entry: venue.account.transfer(
        entry.get("asset", "USDT"), _number(entry, "amount")
    ),
    # A stream tells of a position that is not so; connections end, those of a host or all.
    "lie": lambda venue, entry: venue.streams.lie(*_leg(entry), _number(entry, "quantity")),
    "cut_streams": lambda venue, entry: venue.streams.cut(entry.get("host", "")),
    # The key is deleted: nothing signed passes any more.
    "revoke_key": lambda venue, _: venue.faults.insert(0, make_fault("key_refused", times=0)),
}
"""What an event of a scenario can do."""

_WHEN: Final = ("at_ms", "on_request", "on_path", "every_ms", "times")


def make_event(entry: Entry) -> WorldEvent:
    """Return the event that a scenario's entry describes; an unknown act is a KeyError."""
    act = ACTS[entry["act"]]
    when = {name: entry[name] for name in _WHEN if name in entry}
    return WorldEvent(act=lambda venue: act(venue, entry), name=entry["act"], **when)
