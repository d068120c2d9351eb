"""What stands on a futures account, what is sent to it and what comes back, as values.

Easy to get wrong: `Position.quantity` is signed (a short is negative in hedge mode too), while
quantities of orders are always positive. Symbols are opaque strings; the venue lists some that
are not ASCII.

Values that are made on the way to the first request are named tuples, here and elsewhere: Python
3.11 takes 0.1 ms to define one and 0.6 ms for a frozen dataclass (measured).
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

from liqctl.kernel import pacing
from liqctl.kernel.answers import NOT_PERMITTED, AnswerKind, VenueAnswer
from liqctl.kernel.states import Explained, Margin, Product

T = TypeVar("T")

_TRIGGERED: Final = frozenset(
    {"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"}
)


class Side(StrEnum):
    """Buy or sell, of an order."""

    BUY = "BUY"
    SELL = "SELL"


class PositionSide(StrEnum):
    """Which leg of a symbol: BOTH in one-way mode, LONG or SHORT in hedge mode."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def shrunk_by(self) -> Side | None:
        """The order side that shrinks such a leg; None for BOTH, which may be either way round."""
        return {PositionSide.LONG: Side.SELL, PositionSide.SHORT: Side.BUY}.get(self)


class PositionMode(StrEnum):
    """The account-wide position mode: one for both products."""

    ONE_WAY = "ONE_WAY"
    HEDGE = "HEDGE"


class OrderKind(StrEnum):
    """The venue's two disjoint order books, regular and conditional (algo), and executions.

    An execution (TWAP, VP) is an algorithm of the venue that places orders by itself.
    """

    REGULAR = "REGULAR"
    ALGO = "ALGO"
    EXECUTION = "EXECUTION"


BOOKS: Final = (OrderKind.REGULAR, OrderKind.ALGO)


class Leg(NamedTuple):
    """One (symbol, position side) of a product: the unit that is closed.

    A tuple, because what is known of an account is looked up by it, many thousand times in a run.
    """

    symbol: str
    position_side: PositionSide
    product: Product = Product.USDM


class Position(NamedTuple):
    """What is open on one leg.

    `quantity` is signed base asset, of COIN-M contracts, and never zero in a snapshot; `notional`
    is the absolute value in quote asset, at mark price or contracts x contract size, and
    `unrealized_pnl` is in quote asset, of COIN-M at mark price.
    `update_time_ms` is the venue's own stamp, 0 when it sent none.
    """

    leg: Leg
    quantity: Decimal
    notional: Decimal
    entry_price: Decimal | None = None
    mark_price: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    update_time_ms: int = 0

    @property
    def symbol(self) -> str:
        """The symbol of the leg."""
        return self.leg.symbol

    @property
    def product(self) -> Product:
        """The product of the leg."""
        return self.leg.product

    @property
    def position_side(self) -> PositionSide:
        """The position side of the leg."""
        return self.leg.position_side

    @property
    def size(self) -> Decimal:
        """The absolute quantity: what an order must trade to close the leg."""
        return self.quantity.copy_abs()  # `abs` would round to 28 digits.

    @property
    def direction(self) -> PositionSide:
        """LONG or SHORT, by the leg in hedge mode and by the sign in one-way mode."""
        if self.leg.position_side is not PositionSide.BOTH:
            return self.leg.position_side
        return PositionSide.LONG if self.quantity > 0 else PositionSide.SHORT

    @property
    def closing_side(self) -> Side:
        """The order side that shrinks the position."""
        return Side.SELL if self.direction is PositionSide.LONG else Side.BUY


def exposure_of(positions: Iterable[Position]) -> Decimal:
    """Return the sum of the notionals."""
    return sum((position.notional for position in positions), Decimal(0))


class OpenOrder(NamedTuple):
    """An order resting on one of the two books.

    `side` and `quantity` are None when the venue's row could not be read: such an order is
    treated as able to open a position, never skipped. `quantity` is also None for
    `close_position` orders, which close whatever the leg holds. `created_ms` is the venue's stamp
    (epoch milliseconds), 0 when it sent none that can be read.
    """

    symbol: str
    position_side: PositionSide
    kind: OrderKind
    order_id: str
    client_order_id: str = ""
    type: str = ""
    side: Side | None = None
    quantity: Decimal | None = None
    executed: Decimal = Decimal(0)
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    reduce_only: bool = False
    close_position: bool = False
    created_ms: int = 0
    product: Product = Product.USDM

    @property
    def leg(self) -> Leg:
        """The leg the order acts on."""
        return Leg(self.symbol, self.position_side, self.product)

    @property
    def is_conditional(self) -> bool:
        """Whether it waits for a trigger; older ones of COIN-M rest among the regular orders."""
        return self.kind is OrderKind.ALGO or self.type in _TRIGGERED

    @property
    def key(self) -> tuple[str, OrderKind, str]:
        """Identity: order ids are unique per symbol and book only."""
        return (self.symbol, self.kind, self.order_id)


class MarketRules(NamedTuple):
    """Step, tick and limits of one symbol, from exchangeInfo.

    None stands for "the venue sets no such limit". `market_step_size` can be coarser than
    `step_size`: what is left under it goes as a limit order. `price_multiplier_*` bound limit
    prices to mark x multiplier (PERCENT_PRICE). `contract_size` is what one contract of COIN-M is
    worth in the quote asset.
    """

    symbol: str
    status: str = "TRADING"
    contract_type: str = "PERPETUAL"
    tick_size: Decimal | None = None
    step_size: Decimal | None = None
    market_step_size: Decimal | None = None
    market_quantity_max: Decimal | None = None
    limit_quantity_max: Decimal | None = None
    quantity_min: Decimal | None = None
    price_multiplier_up: Decimal | None = None
    price_multiplier_down: Decimal | None = None
    contract_size: Decimal | None = None


class Rows(NamedTuple, Generic[T]):
    """A list as the venue sent it: what could be read, and short names of the rows that could not.

    With a row that could not be read the list proves nothing absent.
    """

    items: tuple[T, ...] = ()
    unreadable: tuple[str, ...] = ()


class Reading(NamedTuple, Generic[T]):
    """What one source of readings gave.

    `complete` is False when the source failed or covered only part of the scope: then `items` are
    known to exist and others may exist too. An incomplete reading never proves absence. `sources`
    names the sources that answered in full, `silent` those that were asked and did not.
    """

    items: tuple[T, ...] = ()
    complete: bool = True
    error: VenueAnswer | None = None
    sources: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()


class Snapshot(NamedTuple):
    """Everything read of one product in one pass; times are of the loop's clock, in seconds.

    `is_brief`: only the positions were asked for. `age_s` is above 0 where this was not read but
    kept by an armed process, and heard of so long ago.
    """

    positions: Reading[Position]
    regular_orders: Reading[OpenOrder]
    algo_orders: Reading[OpenOrder]
    started_at: float
    finished_at: float
    product: Product = Product.USDM
    margin: Margin = Margin.STANDARD
    is_brief: bool = False
    age_s: float = 0.0

    @property
    def is_refused(self) -> bool:
        """Whether the key was refused for every list that was asked for."""
        lists = [self.positions] if self.is_brief else self.lists.values()
        return all(each.error and each.error.kind is AnswerKind.RUN_FATAL for each in lists)

    @property
    def may_be_portfolio(self) -> bool:
        """Whether the key was refused as it is for an account in portfolio margin."""
        return self.is_refused and any(error.code == NOT_PERMITTED for error in self.errors)

    @property
    def orders(self) -> tuple[OpenOrder, ...]:
        """Both books, regular orders first."""
        return self.regular_orders.items + self.algo_orders.items

    @property
    def symbols(self) -> set[str]:
        """The symbols that something is listed on."""
        return {p.symbol for p in self.positions.items} | {order.symbol for order in self.orders}

    @property
    def lists(self) -> dict[str, Reading[Position] | Reading[OpenOrder]]:
        """The three lists, positions first, by the names that results use."""
        return {
            "positions": self.positions,
            "regular orders": self.regular_orders,
            "conditional orders": self.algo_orders,
        }

    @property
    def is_any_read(self) -> bool:
        """Whether at least one list was read in full."""
        return any(reading.complete for reading in self.lists.values())

    @property
    def lists_missing(self) -> frozenset[str]:
        """The lists that were not read in full."""
        return frozenset(name for name, reading in self.lists.items() if not reading.complete)

    @property
    def lists_failed(self) -> frozenset[str]:
        """The lists that were asked for and not read in full."""
        return self.lists_missing & {"positions"} if self.is_brief else self.lists_missing

    @property
    def errors(self) -> tuple[VenueAnswer, ...]:
        """Why lists could not be read, positions first."""
        return tuple(reading.error for reading in self.lists.values() if reading.error is not None)

    @property
    def unread(self) -> dict[str, str]:
        """Why each list that failed could not be read, by its name."""
        errors = {name: reading.error for name, reading in self.lists.items()}
        return {name: error.describe() for name, error in errors.items() if error is not None}

    @property
    def silent(self) -> frozenset[str]:
        """The sources that were asked and did not answer in full."""
        return frozenset().union(*(reading.silent for reading in self.lists.values()))


def joined(readings: Sequence[Reading[T]]) -> Reading[T]:
    """Return several parts of a list as one; a source counts if it answered for any of them."""
    return Reading(
        items=tuple(item for each in readings for item in each.items),
        complete=all(each.complete for each in readings),
        error=next((each.error for each in readings if each.error), None),
        sources=frozenset().union(*(each.sources for each in readings)),
        silent=frozenset().union(*(each.silent for each in readings)),
    )


def merged(snapshots: Sequence[Snapshot], executions: tuple[OpenOrder, ...] = ()) -> Snapshot:
    """Return the readings of several products as one, for what is shown of an account."""
    regular_orders = [each.regular_orders for each in snapshots]
    return Snapshot(
        positions=joined([each.positions for each in snapshots]),
        regular_orders=joined([*regular_orders, Reading(items=executions)]),
        algo_orders=joined([each.algo_orders for each in snapshots]),
        started_at=min(each.started_at for each in snapshots),
        finished_at=max(each.finished_at for each in snapshots),
        margin=snapshots[0].margin,
    )


class OrderType(StrEnum):
    """The order types liqctl sends."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


class OrderStatus(Explained):
    """Binance's order states, and UNREADABLE for one it does not document."""

    NEW = "NEW", "the venue took the order; nothing is executed yet"
    PARTIALLY_FILLED = "PARTIALLY_FILLED", "part of the order is executed, the rest is still open"
    FILLED = "FILLED", "the whole order is executed"
    CANCELED = "CANCELED", "the order was cancelled; `executed` says how much was filled before"
    REJECTED = "REJECTED", "the venue refused the order"
    EXPIRED = "EXPIRED", "the rest of the order expired, usually because the book was too thin"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH", "self-trade prevention let the rest of the order expire"
    UNREADABLE = "UNREADABLE", "the venue named a status that liqctl does not know"

    @property
    def is_final(self) -> bool:
        """Whether the executed quantity can no longer grow."""
        return self not in {self.NEW, self.PARTIALLY_FILLED, self.UNREADABLE}


CLIENT_ORDER_ID_PREFIX = "liq-"
CLIENT_ORDER_ID_MAX: Final = 32
"""How long a client order id may be: 32 in portfolio margin, 36 elsewhere."""

ORDER_TAG_BYTES: Final = 6
"""Of randomness in a run's tag: among a million runs of one account two share it with a chance of
one in 500."""


def make_client_order_id(order_tag: str, order_no: int, *, part_no: int) -> str:
    """Return the id of a run's `order_no`-th close (from 1), part `part_no` (from 1).

    28 characters of `[a-z0-9-]`, never used twice: Binance frees an id once its order is no longer
    open, so an id identifies an order but does not protect from a double. The tag is drawn anew for
    each run, as a correlation id may be used for several.

    >>> make_client_order_id("0123456789ab", 7, part_no=2)
    'liq-0123456789ab-000007-0002'
    """
    return f"{CLIENT_ORDER_ID_PREFIX}{order_tag}-{order_no:06d}-{part_no:04d}"


class CloseOrder(NamedTuple):
    """An order that shrinks one leg. `quantity` is positive.

    `price` is given for LIMIT only, which is always sent immediate-or-cancel. In one-way mode
    `reduce_only` must be True; in hedge mode the venue refuses the flag and the position side
    plus the closing side do its work. The larger the `notional` of the leg, the earlier it leaves.
    """

    leg: Leg
    side: Side
    quantity: Decimal
    client_order_id: str
    type: OrderType = OrderType.MARKET
    price: Decimal | None = None
    reduce_only: bool = True
    notional: Decimal = Decimal(0)


def is_reducing(order: CloseOrder) -> bool:
    """Return whether the order can only shrink its leg, whatever the leg holds.

    BOTH needs the reduce-only flag; LONG is shrunk by selling and SHORT by buying, without it.
    """
    shrunk_by = order.leg.position_side.shrunk_by
    is_closing = shrunk_by in {None, order.side}
    return order.quantity > 0 and is_closing and order.reduce_only is (shrunk_by is None)


class OrderAnswer(NamedTuple):
    """What the venue said of an order of ours.

    `average_price` is None where the answer carries none (order acknowledgements, since
    2026-06-30). `executed` of an acknowledgement is advisory: the position reading decides.
    """

    client_order_id: str
    order_id: str
    status: OrderStatus
    quantity: Decimal
    executed: Decimal
    average_price: Decimal | None = None
    update_time_ms: int = 0


class Trade(NamedTuple):
    """One execution of an order of ours.

    `realized_pnl` is in `settle_asset` and is what the venue booked, fees not included; `fee` is in
    `fee_asset` and positive when it was paid. Both assets differ where fees are paid in BNB.
    `quantity` is in contracts for COIN-M, `base_quantity` in the base asset always.
    """

    symbol: str
    order_id: str
    trade_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    base_quantity: Decimal
    realized_pnl: Decimal
    settle_asset: str
    fee: Decimal
    fee_asset: str
    time_ms: int


DOLLAR: Final = "USD"
"""The asset of totals."""

DOLLARS: Final = frozenset(
    {DOLLAR, "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD1", "USDE", "BFUSD", "RWUSD", "LDUSDT"}
    | {"BNFCR"}
)
"""Assets that are counted as one dollar, and so in the quote currency of every symbol."""


class CoinPrice(NamedTuple):
    """Mark and index price of a coin in dollars, by its perpetual contract."""

    mark_price: Decimal
    index_price: Decimal


class Pool(NamedTuple):
    """Collateral that stands for its own positions: balance with profit, and what must stay.

    `counts` is False for coins beside the dollars of a single-asset USDS-M account, such as BNB for
    fees: they have a margin ratio, and are no part of the equity.
    """

    asset: str
    balance: Decimal
    maintenance: Decimal
    counts: bool = True


class Equity(NamedTuple):
    """One reading of what an account is worth; `unreadable` names what could not be read.

        USDS-M, multi-assets      totalMarginBalance, totalMaintMargin: of all coins, in dollars
        USDS-M, single-asset      marginBalance, maintMargin of each coin; the totals only USDT
        COIN-M                    marginBalance, maintMargin of each coin, in the coin
        portfolio margin          actualEquity, accountMaintMargin, uniMMR of the whole account

    Easy to get wrong: `actualEquity` counts coins in full, `accountEquity` with a haircut that the
    venue changes at will, so only the first one can tell a loss.

    `uni_mmr` and `account_equity` are of portfolio margin only. Of a reading with something
    unreadable no sum is believed.
    """

    pools: tuple[Pool, ...]
    margin: Margin = Margin.STANDARD
    uni_mmr: Decimal | None = None
    account_equity: Decimal | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def coins(self) -> tuple[str, ...]:
        """The assets that need a price to be counted."""
        return tuple(p.asset for p in self.pools if p.counts and p.asset not in DOLLARS)


class Transfer(NamedTuple):
    """Money moved into the futures wallet, or out of it where `amount` is negative."""

    asset: str
    amount: Decimal
    at_ms: int


def worth(asset: str, amount: Decimal, prices: Mapping[str, CoinPrice]) -> Decimal | None:
    """Return the amount in the quote currency, None where no believable price is known.

    Coins count at the index price, which several venues make; a mark price that is far from it says
    that one of the two is wrong.

    >>> prices = {"BTC": CoinPrice(Decimal(50100), Decimal(50000))}
    >>> worth("BTC", Decimal("0.5"), prices), worth("USDC", Decimal(7), prices)
    (Decimal('25000.0'), Decimal('7'))
    >>> worth("BTC", Decimal(1), {"BTC": CoinPrice(Decimal(45000), Decimal(50000))}) is None
    True
    """
    if asset in DOLLARS:
        return amount
    if not amount:
        return Decimal(0)
    price = prices.get(asset)
    if price is None:
        return None
    gap = abs(price.mark_price - price.index_price)
    is_believed = gap <= price.index_price * pacing.PRICE_GAP_MAX
    return amount * price.index_price if is_believed else None


class StreamKind(StrEnum):
    """What an event of the user data stream is about."""

    POSITIONS = "POSITIONS"
    ORDER = "ORDER"
    KEY_EXPIRED = "KEY_EXPIRED"
    OTHER = "OTHER"


class StreamEvent(NamedTuple):
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
