"""The simulated account: positions, both order books, and how orders change them.

Pure: time comes in as milliseconds, nothing is random. A refusal is a `Refused` with the venue's
HTTP status, code and words.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from liqctl.sim.checks import (
    check_book,
    check_filters,
    check_leg,
    crosses,
    read_algo_order,
    read_order,
)
from liqctl.sim.market import Market
from liqctl.sim.orders import AlgoOrder, Holding, Journal, LegKey, Order, Trade, is_closing
from liqctl.sim.refusal import Refused, malformed, neither

_ALGO_EXPIRY_MS: Final = 300
_ZERO: Final = Decimal(0)


@dataclass(slots=True, kw_only=True)
class Account:
    """One account with its markets.

    `conflict_code` is what a reduce-only order meets when resting reduce-only orders already claim
    the position (-4118 or -2022). `position_lag_ms` and `order_lag_ms` delay what readings show.
    """

    markets: dict[str, Market]
    hedge: bool = False
    balance: Decimal = Decimal(1_000_000)
    leverage: int = 10
    conflict_code: int = -4118
    position_lag_ms: int = 0
    order_lag_ms: int = 0
    holdings: dict[LegKey, Holding] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    algo_orders: dict[int, AlgoOrder] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)
    now_ms: int = 0
    _next_id: int = 8_000_000
    _least: dict[LegKey, Decimal] = field(default_factory=dict)
    _been_flat: set[LegKey] = field(default_factory=set)
    _algo_expiries: list[tuple[int, LegKey]] = field(default_factory=list)
    _past_holdings: list[tuple[int, dict[LegKey, Holding]]] = field(default_factory=list)
    _past_orders: list[tuple[int, list[Order], list[AlgoOrder]]] = field(default_factory=list)

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

    def shown_holdings(self) -> dict[LegKey, Holding]:
        """Return the holdings as a reading shows them now, late by `position_lag_ms`."""
        for until_ms, past in self._past_holdings:
            if self.now_ms < until_ms:
                return past
        return self.holdings

    def shown_orders(self) -> tuple[list[Order], list[AlgoOrder]]:
        """Return both books as a reading shows them now, late by `order_lag_ms`."""
        for until_ms, orders, algo_orders in self._past_orders:
            if self.now_ms < until_ms:
                return orders, algo_orders
        return self.open_orders(), self.open_algo_orders()

    def advance(self, now_ms: int) -> None:
        """Let time pass: conditional orders of legs that went flat expire."""
        self.now_ms = max(self.now_ms, now_ms)
        due = [key for at_ms, key in self._algo_expiries if at_ms <= self.now_ms]
        self._algo_expiries = [e for e in self._algo_expiries if e[0] > self.now_ms]
        for symbol, position_side in due:
            if self.holding((symbol, position_side)):
                continue
            for algo in self.open_algo_orders():
                same_leg = (algo.symbol, algo.position_side) == (symbol, position_side)
                if same_leg and algo.expires_when_flat:
                    self._note_orders()
                    algo.status, algo.update_ms = "EXPIRED", self.now_ms
        self._past_holdings = [p for p in self._past_holdings if p[0] > self.now_ms]
        self._past_orders = [p for p in self._past_orders if p[0] > self.now_ms]

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
        self._note_orders()
        self.orders[order.order_id] = order
        self._match(order)
        return order

    def cancel(self, order: Order, status: str = "CANCELED") -> None:
        """Take an open order off the book."""
        self._note_orders()
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
            if available:
                self.fill(order, available, market.best(order.side))
        if order.is_open and (order.type == "MARKET" or order.time_in_force in {"IOC", "FOK"}):
            order.status = "EXPIRED"
        order.update_ms = self.now_ms

    def fill(self, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Execute part or all of an order and change the position by it."""
        key = (order.symbol, order.position_side)
        self._note_holdings()
        self._note_orders()
        held = self.holdings.get(key)
        before = held.amount if held else _ZERO
        if not before:
            self._been_flat.add(key)
        after = before + (quantity if order.side == "BUY" else -quantity)
        if before * after < 0:
            self._been_flat.add(key)
        self._least[key] = min(self._least.get(key, abs(before)), abs(after))
        closed = min(abs(before), quantity) if before * (after - before) < 0 else _ZERO
        entry = held.entry_price if held else price
        pnl = closed * (price - entry) * (1 if before > 0 else -1)
        if before * after <= 0 and after:
            entry = price
        elif abs(after) > abs(before):
            entry = (entry * abs(before) + price * quantity) / abs(after)
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
        self.trades.append(
            Trade(
                trade_id=self.next_id(),
                order=order,
                quantity=quantity,
                price=price,
                realized_pnl=pnl,
                time_ms=self.now_ms,
            )
        )
        self.journal.fills.append((order.client_order_id, order.owner, *key, before, after))
        if not after:
            self._went_flat(key)

    def _went_flat(self, key: LegKey) -> None:
        """Expire resting reduce-only orders now and conditional ones a moment later."""
        self._been_flat.add(key)
        for order in self.open_orders():
            if (order.symbol, order.position_side) == key and order.reduces:
                order.status, order.update_ms = "EXPIRED", self.now_ms
        self._algo_expiries.append((self.now_ms + _ALGO_EXPIRY_MS, key))

    # -- conditional orders ------------------------------------------------------------------

    def place_algo(self, params: Mapping[str, str], *, owner: str = "key") -> AlgoOrder:
        """Check and rest a conditional order; its margin is looked at when it triggers."""
        algo = read_algo_order(self, params, owner)
        self.algo_orders[algo.algo_id] = algo
        return algo

    def cancel_algo(self, algo: AlgoOrder) -> None:
        """Take a conditional order off the book."""
        self._note_orders()
        self.journal.cancelled_algo.append((algo, self.is_needed(algo)))
        algo.status, algo.update_ms = "CANCELED", self.now_ms

    def is_needed(self, algo: AlgoOrder) -> bool:
        """Return whether the order is a protective stop of a leg that was never flat."""
        key = (algo.symbol, algo.position_side)
        held = self.holding(key)
        if held is None or key in self._been_flat or not is_closing(algo, held.amount):
            return False
        flagged = algo.reduce_only or algo.close_position or algo.position_side != "BOTH"
        least = self._least.get(key, abs(held.amount))
        return flagged or (algo.quantity is not None and algo.quantity <= least)

    def trigger(self, algo: AlgoOrder) -> Order | None:
        """Turn a conditional order into a market order, as its trigger price would."""
        self._note_orders()
        algo.status, algo.update_ms = "TRIGGERED", self.now_ms
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

    def _note_holdings(self) -> None:
        if self.position_lag_ms:
            self._past_holdings.append(
                (self.now_ms + self.position_lag_ms, deepcopy(self.holdings))
            )

    def _note_orders(self) -> None:
        if self.order_lag_ms:
            self._past_orders.append(
                (
                    self.now_ms + self.order_lag_ms,
                    deepcopy(self.open_orders()),
                    deepcopy(self.open_algo_orders()),
                )
            )
