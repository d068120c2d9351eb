"""The simulated account: positions, both order books, and how orders change them.

Pure: time comes in as milliseconds, nothing is random. A refusal is a `Refused` with the venue's
HTTP status, code and words.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from decimal import Decimal
from heapq import heappop, heappush
from typing import Final

from liqctl.sim.checks import (
    check_book,
    check_filters,
    check_leg,
    crosses,
    read_algo_order,
    read_order,
)
from liqctl.sim.faults import Effect
from liqctl.sim.history import History
from liqctl.sim.market import Market
from liqctl.sim.orders import (
    AlgoOrder,
    CancelledStop,
    Holding,
    Journal,
    LegKey,
    Life,
    Order,
    Trade,
    is_closing,
)
from liqctl.sim.refusal import Refused, malformed, neither

SOURCES: Final = ("positions", "account", "orders", "algo")
"""The lists that can lag, each by itself."""

_ALGO_EXPIRY_MS: Final = 300
_TAKER_FEE: Final = Decimal("0.0005")
_ZERO: Final = Decimal(0)


@dataclass(slots=True, kw_only=True)
class Account:
    """One account with its markets.

    `conflict_code` is what a reduce-only order meets when resting reduce-only orders already claim
    the position (-4118 or -2022). `lags` says, for each of the `SOURCES`, by how many milliseconds
    its answers lag: one number after the other, as replicas answer in turn. `fee_asset` BNB pays
    fees in BNB; empty pays them in what the market settles in. `fresh` came to be so many
    milliseconds before the first request.
    """

    markets: dict[str, Market]
    hedge: bool = False
    balance: Decimal = Decimal(1_000_000)
    leverage: int = 10
    conflict_code: int = -4118
    lags: dict[str, tuple[int, ...]] = field(default_factory=dict)
    fee_asset: str = ""
    holdings: dict[LegKey, Holding] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    algo_orders: dict[int, AlgoOrder] = field(default_factory=dict)
    fresh: list[tuple[int, Holding | Order | AlgoOrder]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)
    handling: Effect = field(default_factory=Effect)
    now_ms: int = 0
    _next_id: int = 8_000_000
    _lives: dict[LegKey, Life] = field(default_factory=dict)
    _due: list[tuple[int, int, bool, Callable[[], object]]] = field(default_factory=list)
    _asked: dict[str, int] = field(default_factory=dict)
    _past_holdings: History[LegKey, Holding] = field(default_factory=History)
    _past_orders: History[int, Order] = field(default_factory=History)
    _past_algo: History[int, AlgoOrder] = field(default_factory=History)

    # -- reading -----------------------------------------------------------------------------

    def market(self, symbol: object) -> Market:
        """Return the market of a symbol."""
        if not symbol:
            raise malformed("symbol")
        market = self.markets.get(str(symbol))
        if market is None:
            raise Refused(-1121, "Invalid symbol.")
        return market

    def holding(self, key: LegKey) -> Holding | None:
        """Return what a leg holds, None when flat."""
        held = self.holdings.get(key)
        return held if held is not None and held.amount else None

    def open_orders(self) -> list[Order]:
        """Return the regular book."""
        return [order for order in self.orders.values() if order.is_open]

    def open_algo_orders(self) -> list[AlgoOrder]:
        """Return the conditional book."""
        return [order for order in self.algo_orders.values() if order.is_open]

    @property
    def is_flat(self) -> bool:
        """Whether nothing is open anywhere, in truth."""
        held = any(holding.amount for holding in self.holdings.values())
        return not (held or self.open_orders() or self.open_algo_orders())

    def life(self, key: LegKey) -> Life:
        """Return since when a leg is what it is; one that is flat has none yet."""
        held = self.holding(key)
        return self._lives.get(key) or Life(least=abs(held.amount) if held else _ZERO)

    def moment(self, source: str) -> int:
        """Return the moment that the next answer of a source shows."""
        lags = self.lags.get(source)
        if not lags:
            return self.now_ms
        asked = self._asked.get(source, 0)
        self._asked[source] = asked + 1
        return self.now_ms - lags[asked % len(lags)]

    def holdings_at(self, moment_ms: int) -> dict[LegKey, Holding]:
        """Return the holdings as they were."""
        return self._past_holdings.as_of(self.holdings, moment_ms)

    def orders_at(self, moment_ms: int) -> list[Order]:
        """Return the regular book as lists showed it then."""
        past = self._past_orders.as_of(self.orders, moment_ms)
        return [order for order in past.values() if order.is_open and not order.hidden]

    def algo_orders_at(self, moment_ms: int) -> list[AlgoOrder]:
        """Return the conditional book as it was."""
        past = self._past_algo.as_of(self.algo_orders, moment_ms)
        return [algo for algo in past.values() if algo.is_open]

    # -- time --------------------------------------------------------------------------------

    def begin(self, now_ms: int) -> None:
        """Date what came to be just before now."""
        self.now_ms = max(self.now_ms, now_ms)
        for ago_ms, thing in sorted(self.fresh, key=lambda each: -each[0]):
            at_ms = thing.update_ms = now_ms - ago_ms
            if isinstance(thing, Holding):
                key = (thing.symbol, thing.position_side)
                self._past_holdings.note(at_ms, key, None)
                self._lives[key] = Life(opened_ms=at_ms, opened_by="bot", least=abs(thing.amount))
                continue
            thing.time_ms = at_ms
            if isinstance(thing, Order):
                self._past_orders.note(at_ms, thing.order_id, None)
            else:
                self._past_algo.note(at_ms, thing.algo_id, None)
        self.fresh.clear()

    def schedule(self, at_ms: int, act: Callable[[], object], *, others: bool = False) -> None:
        """Let something happen later; `others` do it of their own will."""
        heappush(self._due, (at_ms, self.next_id(), others, act))

    def calm(self) -> None:
        """Forget what others were about to do."""
        self._due = sorted(due for due in self._due if not due[2])

    def advance(self, now_ms: int) -> None:
        """Let time pass, and what is due happen in its own moment."""
        while self._due and self._due[0][0] <= now_ms:
            at_ms, _, _, act = heappop(self._due)
            self.now_ms = max(self.now_ms, at_ms)
            act()
        self.now_ms = max(self.now_ms, now_ms)

    def _expire_algo(self, key: LegKey) -> None:
        """Take the conditional orders of a leg that is flat off the book."""
        if self.holding(key):
            return
        for algo in self.open_algo_orders():
            if (algo.symbol, algo.position_side) == key and algo.expires_when_flat:
                self._end_algo(algo, "EXPIRED")

    def next_id(self) -> int:
        """Return a fresh order, algo or trade id."""
        self._next_id += 1
        return self._next_id

    # -- regular orders ----------------------------------------------------------------------

    def place(self, params: Mapping[str, str], *, owner: str = "key", test: bool = False) -> Order:
        """Check and execute a new order; with `test` only check it."""
        order = read_order(self, params, owner)
        check_filters(self, order)
        check_leg(self, order)
        check_book(order, self.market(order.symbol))
        if test:
            return order
        if owner == "key" and self.handling.hide_ms:
            order.known_from_ms = self.now_ms + self.handling.hide_ms
        self.add(order)
        self._match(order)
        return order

    def add(self, order: Order) -> None:
        """Take an order into the book."""
        self._past_orders.note(self.now_ms, order.order_id, None)
        self.orders[order.order_id] = order
        self.journal.activity += order.owner != "key"

    def cancel(self, order: Order, status: str = "CANCELED") -> None:
        """Take an open order off the book."""
        self._note_order(order)
        order.status, order.update_ms = status, self.now_ms

    def find_order(self, params: Mapping[str, str]) -> Order | None:
        """Return the order that an orderId or origClientOrderId names, the newest first."""
        symbol = self.market(params.get("symbol")).symbol
        order_id, client_id = params.get("orderId"), params.get("origClientOrderId")
        if not order_id and not client_id:
            raise neither("origClientOrderId", "orderId")
        for order in reversed(self.orders.values()):
            if order.symbol != symbol:
                continue
            if order_id and str(order.order_id) == order_id:
                return order
            if not order_id and order.client_order_id == client_id:
                return order
        return None

    def _match(self, order: Order) -> None:
        """Execute what the book holds of the order; what may not rest expires."""
        market = self.market(order.symbol)
        if crosses(order, market):
            depth = market.reach(order.type)
            available = order.quantity if depth is None else min(order.quantity, depth)
            if market.depth is not None:
                market.depth -= available
            share = available
            if self.handling.slices and order.owner == "key":
                share = market.floor(available / self.handling.slices)
            if share and share < available:
                self._fill_slice(order, share, available, self.handling.slice_ms)
                return
            if available:
                self.fill(order, available, market.best(order.side))
        self._end_if_it_may_not_rest(order)

    def _end_if_it_may_not_rest(self, order: Order) -> None:
        if order.is_open and (order.type == "MARKET" or order.time_in_force in {"IOC", "FOK"}):
            order.status = "EXPIRED"
        order.update_ms = self.now_ms

    def _fill_slice(self, order: Order, share: Decimal, left: Decimal, every_ms: int) -> None:
        """Execute a share of what is left of an order now, and the rest by and by."""
        if not order.is_open:
            return
        left = min(left, order.remaining)
        if order.reduces:
            held = self.holding((order.symbol, order.position_side))
            is_against = held is not None and (held.amount > 0) is (order.side == "SELL")
            left = min(left, abs(held.amount)) if held is not None and is_against else _ZERO
        if left > 0:
            self.fill(order, min(share, left), self.market(order.symbol).best(order.side))
        left -= share
        if left > 0 and order.is_open:
            self.schedule(
                self.now_ms + every_ms, lambda: self._fill_slice(order, share, left, every_ms)
            )
        else:
            self._end_if_it_may_not_rest(order)

    def fill(self, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Execute part or all of an order and change the position by it."""
        key = (order.symbol, order.position_side)
        self._note_order(order)
        held = self.holdings.get(key)
        before = held.amount if held else _ZERO
        after = before + (quantity if order.side == "BUY" else -quantity)
        self._live(key, order.owner, before, after)
        closed = min(abs(before), quantity) if before * (after - before) < 0 else _ZERO
        entry = held.entry_price if held else price
        pnl = closed * (price - entry) * (1 if before > 0 else -1)
        if before * after <= 0 and after:
            entry = price
        elif abs(after) > abs(before):
            entry = (entry * abs(before) + price * quantity) / abs(after)
        self.note_holding(key)
        self.holdings[key] = Holding(
            symbol=order.symbol,
            position_side=order.position_side,
            amount=after,
            entry_price=entry,
            update_ms=self.now_ms,
        )
        order.executed += quantity
        order.paid += quantity * price
        order.status = "FILLED" if order.executed >= order.quantity else "PARTIALLY_FILLED"
        order.update_ms = self.now_ms
        self.balance += pnl
        self._note_trade(order, quantity, price, pnl)
        self.journal.fills.append((order.client_order_id, order.owner, *key, before, after))
        self.journal.activity += order.owner != "key"
        self._shrink(key, after)
        if not after:
            self.schedule(self.now_ms + _ALGO_EXPIRY_MS, lambda: self._expire_algo(key))

    def _live(self, key: LegKey, owner: str, before: Decimal, after: Decimal) -> None:
        """Follow a leg from one flat moment to the next."""
        life = self.life(key)
        if before * after < 0:  # Turned around: flat for no time at all.
            life = Life(flat_ms=self.now_ms)
            before = _ZERO
        if not before:
            life = replace(
                life, opened_ms=self.now_ms, opened_by=owner, flat_ms=max(life.flat_ms, 1)
            )
            self._lives[key] = replace(life, least=abs(after))
        elif after:
            self._lives[key] = replace(life, least=min(life.least, abs(after)))
        else:
            self._lives[key] = Life(flat_ms=self.now_ms)

    def _shrink(self, key: LegKey, held: Decimal) -> None:
        """Cut resting orders that only reduce to what their leg still holds, the newest first.

        Those on the other side of a leg that was turned around have nothing left to reduce.

        Binance shrinks and in the end expires them by itself (seen by others, see also reason 4 in
        "Event-Order-Update").
        """
        left = {"SELL": max(held, _ZERO), "BUY": max(-held, _ZERO)}
        for order in self.open_orders():
            if (order.symbol, order.position_side) != key or not order.reduces:
                continue
            most = left[order.side]
            excess = order.remaining - most
            left[order.side] -= min(order.remaining, most)
            if excess <= 0:
                continue
            self._note_order(order)
            order.quantity -= excess
            order.update_ms = self.now_ms
            if not order.remaining:
                order.quantity += excess
                order.status = "EXPIRED"

    def _note_trade(self, order: Order, quantity: Decimal, price: Decimal, pnl: Decimal) -> None:
        asset = self.market(order.symbol).quote_asset
        fee = quantity * price * _TAKER_FEE
        if self.fee_asset:
            fee /= self.market(f"{self.fee_asset}{asset}").mark_price
        self.trades.append(
            Trade(
                trade_id=self.next_id(),
                order=order,
                quantity=quantity,
                price=price,
                realized_pnl=pnl,
                fee=fee,
                fee_asset=self.fee_asset or asset,
                asset=asset,
                time_ms=self.now_ms,
            )
        )

    # -- conditional orders ------------------------------------------------------------------

    def place_algo(self, params: Mapping[str, str], *, owner: str = "key") -> AlgoOrder:
        """Check and rest a conditional order; its margin is looked at when it triggers."""
        algo = read_algo_order(self, params, owner)
        self._past_algo.note(self.now_ms, algo.algo_id, None)
        self.algo_orders[algo.algo_id] = algo
        self.journal.activity += owner != "key"
        return algo

    def cancel_algo(self, algo: AlgoOrder) -> None:
        """Take a conditional order off the book."""
        if self.is_needed(algo):
            life = self.life((algo.symbol, algo.position_side))
            stop = CancelledStop(algo=algo, at_ms=self.now_ms, life=life)
            self.journal.cancelled_stops.append(stop)
        self._end_algo(algo, "CANCELED")

    def _end_algo(self, algo: AlgoOrder, status: str) -> None:
        self._past_algo.note(self.now_ms, algo.algo_id, copy(algo))
        algo.status, algo.update_ms = status, self.now_ms

    def is_needed(self, algo: AlgoOrder) -> bool:
        """Return whether the order is a protective stop of a leg that is open.

        A stop from before its leg was last flat protected what is gone.
        """
        key = (algo.symbol, algo.position_side)
        held, life = self.holding(key), self.life(key)
        if held is None or not is_closing(algo, held.amount) or algo.time_ms < life.flat_ms:
            return False
        return algo.only_reduces or (algo.quantity is not None and algo.quantity <= life.least)

    def trigger(self, algo: AlgoOrder) -> Order | None:
        """Turn a conditional order into a market order, as its trigger price would."""
        self._end_algo(algo, "TRIGGERED")
        held = self.holding((algo.symbol, algo.position_side))
        quantity = algo.quantity
        if quantity is None:
            quantity = abs(held.amount) if held else _ZERO
        params = {
            "symbol": algo.symbol,
            "side": algo.side,
            "type": "MARKET",
            "quantity": str(quantity),
            "newClientOrderId": f"algo_{algo.algo_id}",
        }
        if self.hedge:
            params["positionSide"] = algo.position_side
        elif algo.reduce_only or algo.close_position:
            params["reduceOnly"] = "true"
        try:
            child = self.place(params, owner=algo.owner)
        except Refused:
            algo.status = "REJECTED"
            return None
        algo.child_id, algo.status = child.order_id, "FINISHED"
        return child

    # -- what readings show late -------------------------------------------------------------

    def note_holding(self, key: LegKey) -> None:
        """Remember what a leg holds, right before that changes."""
        self._past_holdings.note(self.now_ms, key, self.holdings.get(key))

    def _note_order(self, order: Order) -> None:
        self._past_orders.note(self.now_ms, order.order_id, copy(order))
