"""The simulated account: positions, both order books, and how orders change them.

Pure: time comes in as milliseconds, nothing is random. What is refused before an order gets here
is in `checks`.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final, TypeVar

from liqctl.kernel.states import Product
from liqctl.sim.faults import Effect
from liqctl.sim.market import Market
from liqctl.sim.orders import (
    AlgoOrder,
    CancelledStop,
    Execution,
    Holding,
    Journal,
    LegKey,
    Life,
    Order,
    Refused,
    Trade,
    Transfer,
    is_closing,
    malformed,
    neither,
)

if TYPE_CHECKING:
    from liqctl.sim.streams import Streams

K = TypeVar("K")
V = TypeVar("V")

SOURCES: Final = ("positions", "account", "orders", "algo")
"""The lists that can lag, each by itself."""

_KEPT_MS: Final = 60_000
"""No list lags by a minute. What is older is forgotten: a venue may serve for days."""

# A closePosition stop leaves a moment after its leg, not with it.
_ALGO_EXPIRY_MS: Final = 300
# Why an order expired ("Event: Order Update", read 2026-11-23).
_UNFILLED: Final = 2
_PUSHED_OUT: Final = 4
_UNFILLED_MARKET: Final = 9
# Binance's for an account without a discount.
_TAKER_FEE: Final = Decimal("0.0005")
_ZERO: Final = Decimal(0)
# What there is of each coin: as good as endless.
_COINS: Final = Decimal(1_000_000)


class Book(dict[K, V]):
    """What stands under each key, and what stood there before, for readings that lag."""

    def __init__(self) -> None:
        """Start empty and without a past."""
        super().__init__()
        self._changes: deque[tuple[int, K, V | None]] = deque()

    def note(self, at_ms: int, key: K, *, is_new: bool = False) -> None:
        """Keep what stands under a key right before it changes; what `is_new` stood nowhere."""
        self._changes.append((at_ms, key, None if is_new else copy(self.get(key))))
        while self._changes[0][0] < at_ms - _KEPT_MS:
            self._changes.popleft()

    def as_of(self, moment_ms: int) -> dict[K, V]:
        """Return what stood there at a moment: the changes since then are undone for a look."""
        if not self._changes or self._changes[-1][0] <= moment_ms:
            return self
        past = dict(self)
        for at_ms, key, before in reversed(self._changes):
            if at_ms <= moment_ms:
                break
            if before is None:
                past.pop(key, None)
            else:
                past[key] = before
        return past


@dataclass(slots=True, kw_only=True)
class Account:
    """One account with its markets, those of both products.

    `lags` says, for each of the `SOURCES`, by how many milliseconds its answers lag: one number
    after the other, as replicas answer in turn. That of `coinm_positions` and so on is COIN-M's
    alone, where it lags otherwise.
    """

    markets: dict[str, Market]
    hedge: bool = False
    balance: Decimal = Decimal(1_000_000)
    coins: dict[str, Decimal] = field(default_factory=lambda: defaultdict(lambda: _COINS))
    leverage: int = 10
    # What a reduce-only order meets when resting reduce-only orders already claim the position:
    # -4118, or -2022.
    conflict_code: int = -4118
    lags: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # COIN-M's regular orders still take conditional types, as before 2026-06.
    older_stops: bool = False
    portfolio: bool = False  # portfolio margin: papi answers, fapi and dapi refuse
    status: str = "NORMAL"  # what portfolio margin calls the account's state
    margin_orders: list[Order] = field(default_factory=list)
    # What margin holds of an asset: free, borrowed, interest, negative.
    margin_assets: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    countdowns_work: bool = True  # not while COIN-M was maintained on 2026-06-29
    countdown_takes_algos: bool = False  # assumed: no page says that conditional orders go too
    fee_asset: str = ""  # BNB pays fees in BNB; empty pays them in what the market settles in
    holdings: Book[LegKey, Holding] = field(default_factory=Book)
    orders: Book[int, Order] = field(default_factory=Book)
    algo_orders: Book[int, AlgoOrder] = field(default_factory=Book)
    executions: Book[int, Execution] = field(default_factory=Book)
    # What came to be so many milliseconds before the first request.
    fresh: list[tuple[int, Holding | Order | AlgoOrder]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    timers: dict[str, int] = field(default_factory=dict)  # by symbol, when each runs out
    journal: Journal = field(default_factory=Journal)
    handling: Effect = field(default_factory=Effect)  # what happens to the request under way
    listener: "Streams" = field(init=False)  # hears what changes, in the moment when it does
    now_ms: int = 0
    _last_id: int = 8_000_000
    _lives: dict[LegKey, Life] = field(default_factory=dict)
    # (when, an id that keeps the order, whether others do it, what)
    _due: list[tuple[int, int, bool, Callable[[], object]]] = field(default_factory=list)
    _asked: dict[str, int] = field(default_factory=dict)

    # -- reading -----------------------------------------------------------------------------

    def market(self, symbol: object) -> Market:
        """Return the market of a symbol."""
        if not symbol:
            raise malformed("symbol")
        market = self.markets.get(str(symbol))
        if market is None:
            raise Refused(-1121, "Invalid symbol.")
        return market

    def markets_of(self, product: Product) -> dict[str, Market]:
        """Return the markets of a product by symbol."""
        return {name: each for name, each in self.markets.items() if each.product is product}

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

    def resting(self) -> list[Order | AlgoOrder]:
        """Return both books, the conditional one first."""
        return [*self.open_algo_orders(), *self.open_orders()]

    @property
    def is_flat(self) -> bool:
        """Whether nothing is open anywhere, in truth."""
        held = any(holding.amount for holding in self.holdings.values())
        runs = any(execution.is_open for execution in self.executions.values())
        return not (held or runs or self.resting())

    def life(self, key: LegKey) -> Life:
        """Return since when a leg is what it is; one that is flat has none yet."""
        held = self.holding(key)
        return self._lives.get(key) or Life(least=abs(held.amount) if held else _ZERO)

    def wallet(self, market: Market) -> Decimal:
        """Return the balance in what a market settles in."""
        return self.coins[market.base_asset] if market.contract_size else self.balance

    def moment(self, source: str, product: Product) -> int:
        """Return the moment that the next answer of a source shows."""
        lags = self.lags.get(source)
        if product is Product.COINM:
            source = f"coinm_{source}"
            lags = self.lags.get(source, lags)
        if not lags:
            return self.now_ms
        asked = self._asked.get(source, 0)
        self._asked[source] = asked + 1
        return self.now_ms - lags[asked % len(lags)]

    def find_order(self, params: Mapping[str, str]) -> Order | None:
        """Return the order that an orderId or origClientOrderId names, the newest first."""
        symbol = self.market(params.get("symbol")).symbol
        order_id, client_id = params.get("orderId"), params.get("origClientOrderId")
        if not order_id and not client_id:
            raise neither("origClientOrderId", "orderId")
        for order in reversed(self.orders.values()):
            name, wanted = (
                (str(order.order_id), order_id) if order_id else (order.client_order_id, client_id)
            )
            if name == wanted and order.symbol == symbol:
                return order
        return None

    # -- time --------------------------------------------------------------------------------

    def begin(self, now_ms: int) -> None:
        """Date what came to be just before now, and what began with it."""
        for execution in self.executions.values():
            execution.time_ms = execution.time_ms or now_ms
        self.now_ms = max(self.now_ms, now_ms)
        for ago_ms, thing in sorted(self.fresh, key=lambda each: -each[0]):
            at_ms = thing.update_ms = now_ms - ago_ms
            if isinstance(thing, Holding):
                self.holdings.note(at_ms, thing.leg, is_new=True)
                life = Life(opened_ms=at_ms, opened_by="bot", least=abs(thing.amount))
                self._lives[thing.leg] = life
            else:
                thing.time_ms = at_ms
                self._book(thing).note(at_ms, thing.number, is_new=True)
        self.fresh.clear()

    def schedule(self, at_ms: int, act: Callable[[], object], *, others: bool = False) -> None:
        """Let something happen later; `others` do it of their own will."""
        heappush(self._due, (at_ms, self.next_id(), others, act))
        self.listener.wake()

    @property
    def due_ms(self) -> int | None:
        """When the next thing happens, None when nothing is to."""
        return self._due[0][0] if self._due else None

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

    def next_id(self) -> int:
        """Return a fresh order, algo or trade id."""
        self._last_id += 1
        return self._last_id

    def transfer(self, asset: str, amount: Decimal) -> None:
        """Move so much into a wallet from elsewhere, or out of it where negative."""
        product = Product.USDM
        if any(each.settle_asset == asset for each in self.markets_of(Product.COINM).values()):
            product = Product.COINM
            self.coins[asset] += amount
        elif asset == "USDT":
            self.balance += amount
        else:
            raise malformed("asset")
        moved = Transfer(
            number=self.next_id(),
            product=product,
            asset=asset,
            amount=amount,
            time_ms=self.now_ms,
        )
        self.transfers.append(moved)
        self.listener.wallet_changed(moved)

    # -- regular orders ----------------------------------------------------------------------

    def add(self, order: Order | AlgoOrder) -> None:
        """Take an order into its book; a conditional one's margin is looked at when it triggers."""
        self.note(order)
        self._book(order)[order.number] = order
        self.journal.activity += order.owner != "key"
        self._tell(order, "NEW")

    def note(self, order: Order | AlgoOrder) -> None:
        """Keep what an order is right before it changes."""
        self._book(order).note(self.now_ms, order.number)

    def _book(self, order: Order | AlgoOrder) -> Book[int, Any]:
        return self.orders if isinstance(order, Order) else self.algo_orders

    def _tell(
        self, order: Order | AlgoOrder, what: str, *, trade: Trade | None = None, reason: int = 0
    ) -> None:
        if isinstance(order, Order):
            self.listener.order_changed(order, what, trade=trade, reason=reason)
        else:
            self.listener.algo_changed(order)

    def cancel(self, order: Order | AlgoOrder) -> None:
        """Take an open order off its book; judges hear of a stop that its leg needs."""
        is_stop = isinstance(order, AlgoOrder) or order.trigger_price
        if is_stop and self.is_needed(order):
            life = self.life(order.leg)
            cancelled = CancelledStop(algo=order, at_ms=self.now_ms, life=life)
            self.journal.cancelled_stops.append(cancelled)
        self.end(order, "CANCELED")

    def end(self, order: Order | AlgoOrder, status: str, *, reason: int = 0) -> None:
        """Let an order rest no longer; `reason` is why it expired, in the venue's numbers."""
        self.note(order)
        order.status, order.update_ms = status, self.now_ms
        self._tell(order, status, reason=reason)

    def cancel_all(self, symbol: str, orders: Iterable[Order | AlgoOrder]) -> None:
        """Take a symbol's orders off their book, whosever they are."""
        for order in orders:
            if order.symbol == symbol:
                self.cancel(order)

    def set_timer(self, symbol: str, span_ms: int) -> None:
        """Cancel the symbol's orders after a span of time, instead of what was set before.

        A span of 0 stops the timer.
        """
        self.timers.pop(symbol, None)
        if not span_ms:
            return
        at_ms = self.timers[symbol] = self.now_ms + span_ms

        def run_out() -> None:
            if self.timers.get(symbol) != at_ms:
                return
            del self.timers[symbol]
            if self.countdowns_work:
                self.cancel_all(symbol, self.open_orders())
            if self.countdowns_work and self.countdown_takes_algos:
                self.cancel_all(symbol, self.open_algo_orders())

        self.schedule(at_ms, run_out)

    def match(self, order: Order) -> None:
        """Execute what the book holds of the order; what may not rest expires."""
        market = self.market(order.symbol)
        if market.crosses(order):
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
        is_market = order.type == "MARKET"
        if order.is_open and (is_market or order.time_in_force in {"IOC", "FOK"}):
            self.end(order, "EXPIRED", reason=_UNFILLED_MARKET if is_market else _UNFILLED)
        order.update_ms = self.now_ms

    def _fill_slice(self, order: Order, share: Decimal, left: Decimal, every_ms: int) -> None:
        """Execute a share of what is left of an order now, and the rest by and by."""
        if not order.is_open:
            return
        left = min(left, order.remaining)
        if order.only_reduces:
            held = self.holding(order.leg)
            is_against = held is not None and is_closing(order, held.amount)
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
        key, held, market = order.leg, self.holdings.get(order.leg), self.market(order.symbol)
        self.note(order)
        before = held.amount if held else _ZERO
        after = before + (quantity if order.side == "BUY" else -quantity)
        self._lives[key] = self.life(key).traded(order.owner, before, after, at_ms=self.now_ms)
        closed = min(abs(before), quantity) if before * (after - before) < 0 else _ZERO
        entry = held.entry_price if held else price
        pnl = market.profit(closed if before > 0 else -closed, entry, price)
        if before * after <= 0 and after:
            entry = price
        elif abs(after) > abs(before):
            # The mean price is quote over base, in both products.
            entry = (market.quote(abs(before), entry) + market.quote(quantity, price)) / (
                market.base(abs(before), entry) + market.base(quantity, price)
            )
        self.holdings.note(self.now_ms, key)
        self.holdings[key] = Holding(
            symbol=order.symbol,
            position_side=order.position_side,
            amount=after,
            entry_price=entry,
            update_ms=self.now_ms,
        )
        order.executed += quantity
        base, quote = market.base(quantity, price), market.quote(quantity, price)
        order.traded_base += base
        order.traded_quote += quote
        order.status = "FILLED" if order.executed >= order.quantity else "PARTIALLY_FILLED"
        order.update_ms = self.now_ms
        asset = fee_asset = market.settle_asset
        fee = market.value(quantity, price) * _TAKER_FEE
        if market.contract_size:
            self.coins[asset] += pnl
        else:
            self.balance += pnl
            if self.fee_asset:
                fee_asset = self.fee_asset
                fee /= self.market(f"{fee_asset}{asset}").mark_price
        trade = Trade(
            trade_id=self.next_id(),
            order=order,
            quantity=quantity,
            price=price,
            base=base,
            quote=quote,
            realized_pnl=pnl,
            fee=fee,
            fee_asset=fee_asset,
            asset=asset,
            time_ms=self.now_ms,
        )
        self.trades.append(trade)
        self.journal.fills.append((order.client_order_id, order.owner, *key, before, after))
        self.journal.activity += order.owner != "key"
        self._tell(order, "CALCULATED" if order.owner == "venue" else "TRADE", trade=trade)
        self._shrink(key, after)
        if not after:
            self.schedule(self.now_ms + _ALGO_EXPIRY_MS, lambda: self._expire_algo(key))

    def _shrink(self, key: LegKey, held: Decimal) -> None:
        """Cut resting orders that only reduce to what their leg still holds, the newest first.

        Those on the other side of a leg that was turned around have nothing left to reduce.

        Binance shrinks and in the end expires them by itself (seen by others, see also reason 4 in
        "Event-Order-Update").
        """
        left = {"SELL": max(held, _ZERO), "BUY": max(-held, _ZERO)}
        for order in self.open_orders():
            if order.leg != key or not order.only_reduces or order.trigger_price:
                continue
            most = left[order.side]
            excess = order.remaining - most
            left[order.side] -= min(order.remaining, most)
            if excess <= 0:
                continue
            self.note(order)
            order.quantity -= excess
            order.update_ms = self.now_ms
            if order.remaining:
                self._tell(order, "AMENDMENT")
            else:
                order.quantity += excess
                self.end(order, "EXPIRED", reason=_PUSHED_OUT)

    def _expire_algo(self, key: LegKey) -> None:
        """Take the conditional orders of a leg that is flat off the book."""
        if self.holding(key):
            return
        for order in self.resting():
            expires = order.close_position or order.time_in_force == "GTE_GTC"  # Plain stops stay.
            if expires and order.leg == key:
                self.end(order, "EXPIRED")

    def is_needed(self, algo: AlgoOrder | Order) -> bool:
        """Return whether the order is a protective stop of a leg that is open.

        A stop from before its leg was last flat protected what is gone.
        """
        held, life = self.holding(algo.leg), self.life(algo.leg)
        if held is None or not is_closing(algo, held.amount) or algo.time_ms < life.flat_ms:
            return False
        return algo.only_reduces or (algo.quantity is not None and algo.quantity <= life.least)
