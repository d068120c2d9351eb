"""One suite for both doors: the venue in memory, and ccxt over HTTP, mean the same by every answer.

What the engine's tests prove in virtual time holds on the wire only if the two doors agree.
"""

import asyncio
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, Final

import pytest

from liqctl.kernel import requests
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.errors import InvariantError, Secret, VenueError
from liqctl.kernel.states import Environment, Product
from liqctl.kernel.values import (
    BOOKS,
    CloseOrder,
    Leg,
    OrderKind,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    Side,
)
from liqctl.sim.faults import KINDS, Effect, Fault
from liqctl.sim.memory import MemoryTransport
from liqctl.sim.scenario import parse_scenario
from liqctl.sim.server import EmbeddedServer
from liqctl.sim.venue import Venue
from liqctl.venue.client import CcxtTransport
from liqctl.venue.exchange import BinanceExchange

USDM: Final = Product.USDM

Check = Callable[[BinanceExchange, Venue], Coroutine[Any, Any, None]]
Door = Callable[[str, Check], None]

TIMEOUT_S = 10.0
SHORT_S = 0.3

ACCOUNT = """
account:
  positions: {BTCUSDT: "0.500", 币安人生USDT: "-3.5"}
  orders:
    - {symbol: BTCUSDT, side: BUY, price: "58000", quantity: "0.100", client_order_id: grid-1}
    - {symbol: ETHUSDT, side: BUY, price: "2900", quantity: "1", client_order_id: grid-2}
  algo:
    - {symbol: BTCUSDT, side: SELL, trigger: "57000", close_position: true, client_algo_id: stop-1}
    - {symbol: ETHUSDT, side: BUY, trigger: "3100", quantity: "2", client_algo_id: breakout-1}
"""
HEDGE = 'account: {mode: hedge, positions: {BTCUSDT LONG: "0.500", BTCUSDT SHORT: "-0.200"}}'

BITCOIN = Leg(symbol="BTCUSDT", position_side=PositionSide.BOTH)
CLOSE = CloseOrder(
    leg=BITCOIN, side=Side.SELL, quantity=Decimal("0.500"), client_order_id="liq-test-1"
)


def _in_memory(text: str, check: Check) -> None:
    venue = parse_scenario(text, name="conformance").make_venue()
    asyncio.run(check(BinanceExchange(MemoryTransport(venue, latency_s=0)), venue))


def _over_http(text: str, check: Check) -> None:
    async def run() -> None:
        with EmbeddedServer(parse_scenario(text, name="conformance")) as server:
            transport = CcxtTransport(
                key=Secret(server.api_key),
                secret=Secret(server.api_secret),
                environment=Environment.SIMULATOR,
                base_url=server.url,
            )
            try:
                await check(BinanceExchange(transport), server.venue)
            finally:
                await transport.close()

    asyncio.run(run())


@pytest.fixture(params=[_in_memory, _over_http], ids=["memory", "http"])
def through(request: pytest.FixtureRequest) -> Door:
    """Return a function that runs a check against an account behind one of the doors."""
    door: Door = request.param
    return door


def test_positions_are_read_with_their_sign(through: Door) -> None:
    """From both sources, non-ASCII symbols too; a row without a position is none."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        first = (await exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S)).items
        second = (await exchange.send(requests.account_positions(USDM), timeout_s=TIMEOUT_S)).items
        one = (
            await exchange.send(requests.positions(USDM, "币安人生USDT"), timeout_s=TIMEOUT_S)
        ).items

        assert [(p.symbol, p.quantity, p.notional) for p in first] == [
            ("BTCUSDT", Decimal("0.500"), Decimal(30000)),
            ("币安人生USDT", Decimal("-3.5"), Decimal(35)),
        ]
        assert [(p.leg, p.quantity) for p in second] == [(p.leg, p.quantity) for p in first]
        assert one == first[1:]

    through(ACCOUNT, check)


@pytest.mark.parametrize(
    ("amount", "side", "name"),
    [
        ('""', "BOTH", "BTCUSDT BOTH: positionAmt ''"),
        ('"1E+999999"', "BOTH", "BTCUSDT BOTH: positionAmt '1E+999999'"),
        ("1E+999999", "BOTH", "BTCUSDT BOTH: positionAmt Decimal('1E+999999')"),
        ("null", "BOTH", "BTCUSDT BOTH: positionAmt None"),
        ('"0"', "NET", "BTCUSDT: positionSide 'NET', positionAmt '0'"),
    ],
)
def test_a_row_that_cannot_be_read_leaves_the_others_readable(
    through: Door, amount: str, side: str, name: str
) -> None:
    """From every list, through both doors; numbers of JSON arrive as exactly as texts."""
    odd = f'{{"symbol":"BTCUSDT","positionSide":"{side}","positionAmt":{amount}}}'
    good = '{"symbol":"ETHUSDT","positionSide":"BOTH","positionAmt":"-2.000"}'
    order = '{"symbol":"ETHUSDT","orderId":7,"algoId":7,"side":"SIDEWAYS"}'

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        for path, body in (
            ("positionRisk", f"[{odd},{good}]"),
            ("account", f'{{"positions":[{odd},{good}]}}'),
            ("openOrders", f"[{order},{{}}]"),
            ("openAlgoOrders", f"[{order},{{}}]"),
        ):
            venue.faults.append(Fault(effect=Effect(body=body), path=path, times=0))
        for positions in (
            await exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S),
            await exchange.send(requests.account_positions(USDM), timeout_s=TIMEOUT_S),
        ):
            assert [(p.symbol, p.quantity) for p in positions.items] == [("ETHUSDT", Decimal(-2))]
            assert positions.unreadable == (name,)
        for kind in BOOKS:
            orders = await exchange.send(requests.open_orders(USDM, kind), timeout_s=TIMEOUT_S)
            assert [(o.order_id, o.side, o.quantity) for o in orders.items] == [("7", None, None)]
            assert orders.unreadable == ("no symbol: order None",)

    through(ACCOUNT, check)


def test_both_order_books_are_read(through: Door) -> None:
    """Their rows name the same things differently; ours do not."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        regular, algo, narrow = [
            (
                await exchange.send(requests.open_orders(USDM, kind, symbol), timeout_s=TIMEOUT_S)
            ).items
            for kind, symbol in (
                (OrderKind.REGULAR, None),
                (OrderKind.ALGO, None),
                (OrderKind.ALGO, "ETHUSDT"),
            )
        ]

        assert [(o.symbol, o.client_order_id, o.side, o.quantity, o.price) for o in regular] == [
            ("BTCUSDT", "grid-1", Side.BUY, Decimal("0.100"), Decimal(58000)),
            ("ETHUSDT", "grid-2", Side.BUY, Decimal(1), Decimal(2900)),
        ]
        assert [
            (o.client_order_id, o.quantity, o.trigger_price, o.close_position) for o in algo
        ] == [
            ("stop-1", None, Decimal(57000), True),
            ("breakout-1", Decimal(2), Decimal(3100), False),
        ]
        assert narrow == algo[1:]

    through(ACCOUNT, check)


def test_a_close_is_filled_and_found_again(through: Door) -> None:
    """The acknowledgement has no price, the query has."""

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        answer = await exchange.send(requests.submit(CLOSE), timeout_s=TIMEOUT_S)
        found = await exchange.send(
            requests.order_of(USDM, "BTCUSDT", "liq-test-1"), timeout_s=TIMEOUT_S
        )

        assert (answer.status, answer.executed) == (OrderStatus.FILLED, Decimal("0.500"))
        assert answer.average_price is None
        assert found.average_price == Decimal(59994)
        assert found.order_id == answer.order_id
        assert venue.account.holding(("BTCUSDT", "BOTH")) is None

    through(ACCOUNT, check)


def test_a_thin_book_expires_the_rest(through: Door) -> None:
    """HTTP 200 and EXPIRED: what was executed counts."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        answer = await exchange.send(requests.submit(CLOSE), timeout_s=TIMEOUT_S)
        assert (answer.status, answer.executed) == (OrderStatus.EXPIRED, Decimal("0.2"))

    through(f'{ACCOUNT}\nmarkets: {{BTCUSDT: {{depth: "0.2"}}}}', check)


def test_a_limit_order_is_immediate_or_cancel(through: Door) -> None:
    """What does not fill at once never rests."""

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        order = CLOSE._replace(type=OrderType.LIMIT, price=Decimal(61000))
        answer = await exchange.send(requests.submit(order), timeout_s=TIMEOUT_S)
        assert (answer.status, answer.executed) == (OrderStatus.EXPIRED, Decimal(0))
        assert len(venue.account.open_orders()) == 2

    through(ACCOUNT, check)


REFUSALS = {
    "flat": ("account: {}", CLOSE, -2022, AnswerKind.REJECTED),
    "wrong side": (
        'account: {positions: {BTCUSDT: "-0.5"}}',
        CLOSE,
        -2022,
        AnswerKind.REJECTED,
    ),
    "claimed": (
        (
            'account: {positions: {BTCUSDT: "0.5"}, orders: [{symbol: BTCUSDT, side: SELL, '
            'price: "61000", quantity: "0.5", reduce_only: true}]}'
        ),
        CLOSE,
        -4118,
        AnswerKind.REJECTED,
    ),
    "too large": (
        'account: {positions: {BTCUSDT: "300"}}',
        CLOSE._replace(quantity=Decimal(300)),
        -4005,
        AnswerKind.REJECTED,
    ),
    "off step": (ACCOUNT, CLOSE._replace(quantity=Decimal("0.0015")), -1111, AnswerKind.REJECTED),
    "too small": (ACCOUNT, CLOSE._replace(quantity=Decimal("0.0001")), -4004, AnswerKind.REJECTED),
    "thin": (
        f'{ACCOUNT}\nmarkets: {{BTCUSDT: {{spread_bps: "600"}}}}',
        CLOSE,
        -4131,
        AnswerKind.REJECTED,
    ),
    "halted": (
        f"{ACCOUNT}\nmarkets: {{BTCUSDT: {{status: TRADING_HALT}}}}",
        CLOSE,
        -1122,
        AnswerKind.TRANSIENT,
    ),
    "settling": (
        f"{ACCOUNT}\nmarkets: {{BTCUSDT: {{status: SETTLING}}}}",
        CLOSE,
        -4140,
        AnswerKind.TRANSIENT,
    ),
    "closed": (
        f"{ACCOUNT}\nmarkets: {{BTCUSDT: {{status: CLOSE}}}}",
        CLOSE,
        -4141,
        AnswerKind.LEG_FATAL,
    ),
    "unknown symbol": (
        ACCOUNT,
        CLOSE._replace(leg=Leg(symbol="NOUSDT", position_side=PositionSide.BOTH)),
        -1121,
        AnswerKind.LEG_FATAL,
    ),
    "hedge mode": (HEDGE, CLOSE, -4061, AnswerKind.REJECTED),
    "one-way mode": (
        ACCOUNT,
        CLOSE._replace(
            leg=Leg(symbol="BTCUSDT", position_side=PositionSide.LONG),
            reduce_only=False,
        ),
        -4061,
        AnswerKind.REJECTED,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_one_meaning(through: Door, name: str) -> None:
    """Code and kind decide what the engine does next."""
    text, order, code, kind = REFUSALS[name]

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        with pytest.raises(VenueError) as caught:
            await exchange.send(requests.submit(order), timeout_s=TIMEOUT_S)
        assert (caught.value.answer.code, caught.value.answer.kind) == (code, kind)

    through(text, check)


def test_an_order_that_could_open_never_leaves(through: Door) -> None:
    """The last check stands in the adapter, whatever carries the request."""

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        with pytest.raises(InvariantError):
            await exchange.send(
                requests.submit(CLOSE._replace(reduce_only=False)), timeout_s=TIMEOUT_S
            )
        assert venue.requests == 0

    through(ACCOUNT, check)


def test_hedge_legs_are_read_and_closed_by_name(through: Door) -> None:
    """No flag is sent; more than the leg holds is refused."""

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        short = Leg(symbol="BTCUSDT", position_side=PositionSide.SHORT)
        order = CLOSE._replace(leg=short, side=Side.BUY, quantity=Decimal("0.2"), reduce_only=False)
        assert (
            await exchange.send(requests.position_mode(USDM), timeout_s=TIMEOUT_S)
            is PositionMode.HEDGE
        )
        with pytest.raises(VenueError) as caught:
            await exchange.send(
                requests.submit(order._replace(quantity=Decimal("0.3"))), timeout_s=TIMEOUT_S
            )
        answer = await exchange.send(requests.submit(order), timeout_s=TIMEOUT_S)

        assert caught.value.answer.code == -2022
        assert answer.status is OrderStatus.FILLED
        assert venue.account.holding(("BTCUSDT", "SHORT")) is None
        assert venue.account.holding(("BTCUSDT", "LONG")) is not None

    through(HEDGE, check)


def test_cancelling_a_symbol_leaves_the_other_book_alone(through: Door) -> None:
    """Cancelling again is done again, without an error."""

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        await exchange.send(
            requests.cancel_book(USDM, OrderKind.REGULAR, "BTCUSDT"), timeout_s=TIMEOUT_S
        )
        await exchange.send(
            requests.cancel_book(USDM, OrderKind.REGULAR, "BTCUSDT"), timeout_s=TIMEOUT_S
        )
        assert [o.symbol for o in venue.account.open_orders()] == ["ETHUSDT"]
        assert len(venue.account.open_algo_orders()) == 2
        await exchange.send(
            requests.cancel_book(USDM, OrderKind.ALGO, "BTCUSDT"), timeout_s=TIMEOUT_S
        )
        assert [a.symbol for a in venue.account.open_algo_orders()] == ["ETHUSDT"]

    through(ACCOUNT, check)


@pytest.mark.parametrize("kind", BOOKS)
def test_one_order_is_cancelled_once(through: Door, kind: OrderKind) -> None:
    """The second time the venue does not know it: done, as far as a cancel goes."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        order = (await exchange.send(requests.open_orders(USDM, kind), timeout_s=TIMEOUT_S)).items[
            0
        ]
        await exchange.send(requests.cancel_one(order), timeout_s=TIMEOUT_S)
        with pytest.raises(VenueError) as caught:
            await exchange.send(requests.cancel_one(order), timeout_s=TIMEOUT_S)

        assert (caught.value.answer.code, caught.value.answer.kind) == (-2011, AnswerKind.DONE)
        left = await exchange.send(requests.open_orders(USDM, kind), timeout_s=TIMEOUT_S)
        assert order not in left.items

    through(ACCOUNT, check)


def test_an_order_that_never_arrived_is_not_found(through: Door) -> None:
    """-2013 is what a lost request looks like."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        with pytest.raises(VenueError) as caught:
            await exchange.send(
                requests.order_of(USDM, "BTCUSDT", "liq-never"), timeout_s=TIMEOUT_S
            )
        assert (caught.value.answer.code, caught.value.answer.kind) == (-2013, AnswerKind.DONE)

    through(ACCOUNT, check)


def test_market_rules_and_mark_prices_are_exact(through: Door) -> None:
    """They decide splits, steps and the edge of the price band."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        rules = (await exchange.send(requests.market_rules(USDM), timeout_s=TIMEOUT_S))["BTCUSDT"]
        assert rules.step_size == Decimal("0.001")
        assert rules.tick_size == Decimal("0.10")
        assert rules.market_quantity_max == 120
        assert rules.limit_quantity_max == 1000
        assert (rules.price_multiplier_down, rules.price_multiplier_up) == (
            Decimal("0.95"),
            Decimal("1.05"),
        )
        assert (
            await exchange.send(requests.mark_price(USDM, "BTCUSDT"), timeout_s=TIMEOUT_S) == 60000
        )

    through(ACCOUNT, check)


@pytest.mark.parametrize("expected", [True, False])
def test_portfolio_margin_is_noticed(through: Door, expected: bool) -> None:
    """There everything looks empty."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        assert await exchange.send(requests.PORTFOLIO_MARGIN, timeout_s=TIMEOUT_S) is expected
        held = await exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S)
        assert bool(held.items) is not expected

    through(f"{ACCOUNT}\nvenue: {{portfolio_margin: {str(expected).lower()}}}", check)


@pytest.mark.parametrize("skew_ms", [6000, -6000])
def test_a_wrong_clock_is_refused_then_set(through: Door, skew_ms: int) -> None:
    """-1021 is proven not executed; after the clock is set the same request passes."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        with pytest.raises(VenueError) as caught:
            await exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S)
        ahead_s = await exchange.send(requests.clock(USDM), timeout_s=TIMEOUT_S)

        assert (caught.value.answer.code, caught.value.answer.kind) == (
            -1021,
            AnswerKind.TRANSIENT,
        )
        assert ahead_s == pytest.approx(-skew_ms / 1000, abs=0.5)
        assert len((await exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S)).items) == 2

    through(f"{ACCOUNT}\nvenue: {{clock_skew_ms: {skew_ms}}}", check)


FAULTS = {
    "drop_before": (AnswerKind.UNKNOWN, None, None, False),
    "drop_after": (AnswerKind.UNKNOWN, None, None, True),
    "truncated": (AnswerKind.UNKNOWN, None, None, True),
    "cut_json": (AnswerKind.UNKNOWN, 200, None, True),
    "empty_body": (AnswerKind.UNKNOWN, 200, None, True),
    "garbage_body": (AnswerKind.UNKNOWN, 200, None, True),
    "unknown_executed": (AnswerKind.UNKNOWN, 503, -1000, True),
    "unknown_not_executed": (AnswerKind.UNKNOWN, 503, -1000, False),
    "unknown_without_code": (AnswerKind.UNKNOWN, 503, None, True),
    "backend_timeout_executed": (AnswerKind.UNKNOWN, 408, -1007, True),
    "backend_timeout_not_executed": (AnswerKind.UNKNOWN, 408, -1007, False),
    "bad_gateway_executed": (AnswerKind.UNKNOWN, 502, None, True),
    "gateway_timeout": (AnswerKind.UNKNOWN, 504, None, True),
    "overloaded": (AnswerKind.UNKNOWN, 503, -1008, False),
    "overloaded_executed": (AnswerKind.UNKNOWN, 503, -1008, True),
    "duplicate_id": (AnswerKind.UNKNOWN, 400, -4116, True),
    "redirect": (AnswerKind.UNKNOWN, 302, None, False),
    "service_unavailable": (AnswerKind.TRANSIENT, 503, -1000, False),
    "internal_error": (AnswerKind.TRANSIENT, 503, -1001, False),
    "matching_recv_window": (AnswerKind.TRANSIENT, 400, -5028, False),
    "too_many_requests": (AnswerKind.TRANSIENT, 429, -1003, False),
    "too_many_requests_wait": (AnswerKind.TRANSIENT, 429, -1003, False),
    "too_many_orders": (AnswerKind.TRANSIENT, 429, -1015, False),
    "firewall": (AnswerKind.PAUSE, 403, None, False),
    "key_refused": (AnswerKind.RUN_FATAL, 401, -2015, False),
    "cooling_off": (AnswerKind.TRANSIENT, 400, -4192, False),
    "hang": (AnswerKind.UNKNOWN, None, None, False),
    "hang_executed": (AnswerKind.UNKNOWN, None, None, True),
    "drip": (AnswerKind.UNKNOWN, None, None, True),
}
"""By fault: kind, HTTP status and code of the answer, and whether the close happened."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_one_meaning(through: Door, name: str) -> None:
    """Above all: nothing that may have been executed is called not executed."""
    kind, status, code, executed = FAULTS[name]

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        venue.faults.append(Fault(effect=KINDS[name], path="/v1/order"))
        timeout_s = SHORT_S if name in {"hang", "hang_executed", "drip"} else TIMEOUT_S
        with pytest.raises(VenueError) as caught:
            await exchange.send(requests.submit(CLOSE), timeout_s=timeout_s)

        answer = caught.value.answer
        assert (answer.kind, answer.status, answer.code) == (kind, status, code)
        assert (venue.account.holding(("BTCUSDT", "BOTH")) is None) is executed
        assert answer.retry_after_s == (1.0 if name == "too_many_requests_wait" else None)

    through(ACCOUNT, check)


def test_a_ban_says_until_when(through: Door) -> None:
    """HTTP 418: nothing is sent before that moment."""

    async def check(exchange: BinanceExchange, venue: Venue) -> None:
        await exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S)
        venue.weights.banned_until_ms = venue.now_ms + 60_000
        with pytest.raises(VenueError) as caught:
            await exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S)
        assert caught.value.answer.kind is AnswerKind.PAUSE
        assert caught.value.answer.banned_until_ms == venue.weights.banned_until_ms

    through(ACCOUNT, check)


def test_the_limits_are_told_after_each_request(through: Door) -> None:
    """The engine's budget is kept by the venue's own count."""

    async def check(exchange: BinanceExchange, _: Venue) -> None:
        await exchange.send(requests.open_orders(USDM, OrderKind.ALGO), timeout_s=TIMEOUT_S)
        await exchange.send(requests.submit(CLOSE), timeout_s=TIMEOUT_S)
        await exchange.warm_up(USDM, 2, timeout_s=TIMEOUT_S)

        usage = exchange.usage
        assert (usage.weight_1m, usage.orders_10s, usage.orders_1m) == (42, 1, 1)
        assert usage.requests == 4

    through(ACCOUNT, check)
