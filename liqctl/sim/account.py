"""The simulated account: positions, both order books, and how orders change them.

Pure: time comes in as milliseconds, nothing is random. A refusal is a `Refused` with the venue's
HTTP status, code and words.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

from liqctl.domain.amounts import parse_decimal
from liqctl.sim.market import Market
from liqctl.sim.orders import AlgoOrder, Holding, Journal, Order, Trade

LegKey = tuple[str, str]

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
CONDITIONAL_TYPES: Final = frozenset(
    {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
)
_ALGO_EXPIRY_MS: Final = 300
_OPEN_ORDERS_MAX: Final = 200
_ZERO: Final = Decimal(0)


class Refused(Exception):  # noqa: N818 - the venue's word, not our error
    """The venue refuses a request."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        """Refuse with Binance's code and text."""
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


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
            raise Refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
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
        order = self._read_order(params, owner)
        self._check_filters(order)
        self._check_leg(order)
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
            raise Refused(-1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!")
        for order in reversed(self.orders.values()):
            if order.symbol != symbol:
                continue
            if order_id and str(order.order_id) == order_id:
                return order
            if not order_id and order.client_order_id == client_id:
                return order
        return None

    def _read_order(self, params: Mapping[str, str], owner: str) -> Order:
        market = self.market(params.get("symbol"))
        kind, side = params.get("type", ""), params.get("side", "")
        if side not in {"BUY", "SELL"}:
            raise Refused(-1117, "Invalid side.")
        if kind in CONDITIONAL_TYPES:
            raise Refused(-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.")
        if kind not in {"MARKET", "LIMIT"}:
            raise Refused(-1116, "Invalid orderType.")
        if kind == "MARKET" and params.get("timeInForce"):
            raise Refused(-1106, "Parameter 'timeInForce' sent when not required.")
        client_id = params.get("newClientOrderId") or f"auto{self.next_id()}"
        if not CLIENT_ID.fullmatch(client_id):
            raise Refused(-4015, "Client order id is not valid.")
        if any(order.client_order_id == client_id for order in self.open_orders()):
            raise Refused(-4116, "ClientOrderId is duplicated.")
        if len([o for o in self.open_orders() if o.symbol == market.symbol]) >= _OPEN_ORDERS_MAX:
            raise Refused(-2025, "Reach max open order limit.")
        return Order(
            order_id=self.next_id(),
            client_order_id=client_id,
            symbol=market.symbol,
            side=side,
            position_side=self._position_side(params),
            type=kind,
            quantity=_amount(params, "quantity"),
            price=_amount(params, "price") if kind == "LIMIT" else _ZERO,
            time_in_force=self._time_in_force(params, kind),
            reduce_only=params.get("reduceOnly", "false").lower() == "true",
            time_ms=self.now_ms,
            update_ms=self.now_ms,
            owner=owner,
        )

    def _position_side(self, params: Mapping[str, str]) -> str:
        position_side = params.get("positionSide") or "BOTH"
        if position_side not in {"BOTH", "LONG", "SHORT"}:
            raise Refused(-4060, "Invalid position side.")
        if self.hedge == (position_side == "BOTH"):
            raise Refused(-4061, "Order's position side does not match user's setting.")
        if self.hedge and params.get("reduceOnly"):
            raise Refused(-1106, "Parameter 'reduceonly' sent when not required.")
        return position_side

    @staticmethod
    def _time_in_force(params: Mapping[str, str], kind: str) -> str:
        if kind == "MARKET":
            return "GTC"
        time_in_force = params.get("timeInForce", "")
        if not time_in_force:
            raise Refused(-1102, "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed.")
        if time_in_force not in {"GTC", "IOC", "FOK", "GTX", "GTD"}:
            raise Refused(-1115, "Invalid timeInForce.")
        return time_in_force

    def _check_filters(self, order: Order) -> None:
        market = self.market(order.symbol)
        self._check_status(order, market)
        if order.quantity <= 0:
            raise Refused(-4003, "Quantity less than or equal to zero.")
        if order.quantity < market.quantity_min:
            raise Refused(-4004, "Quantity less than min quantity.")
        most = market.market_quantity_max if order.type == "MARKET" else market.quantity_max
        if order.quantity > most:
            raise Refused(-4005, "Quantity greater than max quantity.")
        if _rest(order.quantity, market.step_size):
            raise Refused(-1111, "Precision is over the maximum defined for this asset.")
        if order.type == "LIMIT":
            self._check_price(order, market)
        price = market.mark_price if order.type == "MARKET" else order.price
        if not self.reduces(order) and price * order.quantity < market.notional_min:
            raise Refused(
                -4164,
                f"Order's notional must be no smaller than {market.notional_min} "
                "(unless you choose reduce only).",
            )

    def _check_status(self, order: Order, market: Market) -> None:
        match market.status:
            case "TRADING":
                return
            case "CLOSE" | "DELIVERED":
                raise Refused(-4141, "Symbol is closed.")
            case "PRE_SETTLE" if self.reduces(order):
                return
            case "PRE_SETTLE" | "SETTLING":
                raise Refused(-4140, "Invalid symbol status for opening position.")
            case _:
                raise Refused(-1122, "Invalid symbol status.")

    def _check_price(self, order: Order, market: Market) -> None:
        if order.price <= 0:
            raise Refused(-4001, "Price less than 0.")
        if _rest(order.price, market.tick_size):
            raise Refused(-4014, "Price not increased by tick size.")
        if not market.is_in_band(order.price, order.side):
            if order.side == "BUY":
                raise Refused(-4016, "Limit price can't be higher than the cap.")
            raise Refused(-4024, "Limit price can't be lower than the floor.")

    def reduces(self, order: Order) -> bool:
        """Return whether the order is flagged, or in hedge mode sided, so that it can only reduce."""
        if order.position_side == "BOTH":
            return order.reduce_only
        return (order.position_side, order.side) in {("LONG", "SELL"), ("SHORT", "BUY")}

    def _check_leg(self, order: Order) -> None:
        """Refuse what reduces nothing, or opens without margin."""
        held = self.holding((order.symbol, order.position_side))
        if not self.reduces(order):
            cost = order.quantity * self.market(order.symbol).mark_price / self.leverage
            if cost > self.balance and not (held and _is_closing(order, held.amount)):
                raise Refused(-2019, "Margin is insufficient.")
            return
        if held is None or not _is_closing(order, held.amount):
            raise Refused(-2022, "ReduceOnly Order is rejected.")
        if order.position_side != "BOTH" and order.quantity > abs(held.amount):
            raise Refused(-2022, "ReduceOnly Order is rejected.")
        claimed = sum(
            (
                other.remaining
                for other in self.open_orders()
                if other.symbol == order.symbol
                and other.position_side == order.position_side
                and other.side == order.side
                and self.reduces(other)
            ),
            _ZERO,
        )
        if claimed and claimed + order.quantity > abs(held.amount):
            if self.conflict_code == -2022:  # noqa: PLR2004 - Binance's code
                raise Refused(-2022, "ReduceOnly Order is rejected.")
            raise Refused(
                -4118,
                "ReduceOnly Order Failed. Please check your existing position and open orders",
            )

    def _match(self, order: Order) -> None:
        market = self.market(order.symbol)
        best = market.best(order.side)
        if order.type == "MARKET" and not market.is_in_band(best, order.side):
            del self.orders[order.order_id]
            raise Refused(
                -4131,
                "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
            )
        crosses = order.type == "MARKET" or (
            best <= order.price if order.side == "BUY" else best >= order.price
        )
        if crosses and order.time_in_force == "GTX":
            del self.orders[order.order_id]
            raise Refused(-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.")
        quantity = order.quantity
        if order.reduce_only:
            held = self.holding((order.symbol, order.position_side))
            quantity = min(quantity, abs(held.amount)) if held else _ZERO
        if crosses:
            available = quantity if market.depth is None else min(quantity, market.depth)
            if order.time_in_force == "FOK" and available < quantity:
                del self.orders[order.order_id]
                raise Refused(-5021, "Due to the order could not be filled immediately, the FOK order has been rejected.")
            if market.depth is not None:
                market.depth -= available
            if available:
                self.fill(order, available, best)
        if order.is_open and order.executed >= quantity:
            order.quantity, order.status = order.executed, "FILLED"
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
            if (order.symbol, order.position_side) == key and self.reduces(order):
                order.status, order.update_ms = "EXPIRED", self.now_ms
        self._algo_expiries.append((self.now_ms + _ALGO_EXPIRY_MS, key))

    # -- conditional orders ------------------------------------------------------------------

    def place_algo(self, params: Mapping[str, str], *, owner: str = "key") -> AlgoOrder:
        """Check and rest a conditional order; its margin is looked at when it triggers."""
        market = self.market(params.get("symbol"))
        kind, side = params.get("type", ""), params.get("side", "")
        if params.get("algoType") != "CONDITIONAL":
            raise Refused(-1102, "Mandatory parameter 'algoType' was not sent, was empty/null, or malformed.")
        if side not in {"BUY", "SELL"}:
            raise Refused(-1117, "Invalid side.")
        if kind not in CONDITIONAL_TYPES:
            raise Refused(-1116, "Invalid orderType.")
        close_position = params.get("closePosition", "false").lower() == "true"
        if close_position and params.get("quantity"):
            raise Refused(-4137, "Quantity must be zero with closePosition equals true.")
        if close_position and params.get("reduceOnly"):
            raise Refused(-4138, "Reduce only must be true with closePosition equals true.")
        if len(self.open_algo_orders()) >= _OPEN_ORDERS_MAX:
            raise Refused(-4045, "Reach max stop order limit.")
        algo = AlgoOrder(
            algo_id=self.next_id(),
            client_algo_id=params.get("clientAlgoId") or f"algo{self._next_id}",
            symbol=market.symbol,
            side=side,
            position_side=self._position_side(params),
            type=kind,
            trigger_price=_amount(params, "triggerPrice"),
            quantity=None if close_position else _amount(params, "quantity"),
            price=parse_decimal(params.get("price", "0")) or _ZERO,
            time_in_force=params.get("timeInForce", "GTC"),
            reduce_only=params.get("reduceOnly", "false").lower() == "true",
            close_position=close_position,
            time_ms=self.now_ms,
            update_ms=self.now_ms,
            owner=owner,
        )
        self.algo_orders[algo.algo_id] = algo
        return algo

    def cancel_algo(self, algo: AlgoOrder) -> None:
        """Take a conditional order off the book."""
        self._note_orders()
        self.journal.cancelled_algo.append((algo, self._is_needed(algo)))
        algo.status, algo.update_ms = "CANCELED", self.now_ms

    def _is_needed(self, algo: AlgoOrder) -> bool:
        """Return whether the order is a protective stop of a leg that was never flat."""
        key = (algo.symbol, algo.position_side)
        held = self.holding(key)
        if held is None or key in self._been_flat or not _is_closing(algo, held.amount):
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


def _amount(params: Mapping[str, str], name: str) -> Decimal:
    value = parse_decimal(params.get(name, ""))
    if value is None:
        raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def _rest(value: Decimal, step: Decimal) -> Decimal:
    return value - (value / step).to_integral_value(ROUND_FLOOR) * step


def _is_closing(order: Order | AlgoOrder, amount: Decimal) -> bool:
    return (amount > 0) == (order.side == "SELL")
