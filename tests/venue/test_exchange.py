"""The adapter over HTTP: parameters that leave, answers that come back."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final, TypeVar

import pytest
from aiohttp import web

from liqctl.kernel import requests
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.errors import InvariantError, VenueError
from liqctl.kernel.machine import Exchange
from liqctl.kernel.states import Product
from liqctl.kernel.values import (
    BOOKS,
    CloseOrder,
    Leg,
    OpenOrder,
    OrderAnswer,
    OrderKind,
    OrderStatus,
    PositionMode,
    PositionSide,
    Side,
)
from liqctl.venue.exchange import BinanceExchange
from tests.venue.venue import Handler, Seen, says, serving, transport_to

USDM: Final = Product.USDM

TIMEOUT_S = 5.0
T = TypeVar("T")
SIGNING = {"timestamp", "recvWindow", "signature"}


def close_of(number: int = 1, *, side: PositionSide = PositionSide.BOTH) -> CloseOrder:
    """Return a close of half a unit: a sell, or a buy for a short leg."""
    return CloseOrder(
        leg=Leg(symbol="BTCUSDT", position_side=side),
        side=Side.BUY if side is PositionSide.SHORT else Side.SELL,
        quantity=Decimal("0.500"),
        client_order_id=f"liq-{number}",
        reduce_only=side is PositionSide.BOTH,
    )


def row_of(order: CloseOrder, **changes: object) -> dict[str, Any]:
    """Return the venue's answer to a close."""
    return {
        "symbol": order.leg.symbol,
        "orderId": 7,
        "clientOrderId": order.client_order_id,
        "side": order.side.value,
        "positionSide": order.leg.position_side.value,
        "reduceOnly": order.reduce_only,
        "origQty": "0.500",
        "executedQty": "0.500",
        "status": "FILLED",
    } | changes


def filled(order: CloseOrder) -> OrderAnswer:
    """Return what that answer means."""
    return OrderAnswer(
        client_order_id=order.client_order_id,
        order_id="7",
        status=OrderStatus.FILLED,
        quantity=Decimal("0.500"),
        executed=Decimal("0.500"),
    )


def with_venue(
    handler: Handler, use: Callable[[Exchange], Awaitable[T]]
) -> tuple[T | VenueError, list[Seen]]:
    """Return what an exchange on a server gives or raises, and what the server saw."""

    async def run() -> tuple[T | VenueError, list[Seen]]:
        async with serving(handler) as venue, transport_to(venue.url) as transport:
            exchange: Exchange = BinanceExchange(transport)
            try:
                return await use(exchange), venue.seen
            except VenueError as error:
                return error, venue.seen

    return asyncio.run(run())


def sent(seen: list[Seen]) -> tuple[str, str, dict[str, str]]:
    """Return method, path and own parameters of the only request."""
    (request,) = seen
    params = {name: text for name, text in request.params.items() if name not in SIGNING}
    return request.method, request.path, params


@pytest.mark.parametrize("side", PositionSide)
def test_a_close_leaves_as_it_was_meant_and_comes_back_as_an_answer(side: PositionSide) -> None:
    """One request, the quantity verbatim, reduceOnly or the leg but never both."""
    order = close_of(side=side)
    answer, seen = with_venue(
        says(row_of(order)),
        lambda exchange: exchange.send(requests.submit(order), timeout_s=TIMEOUT_S),
    )

    assert answer == filled(order)
    flag = {"reduceOnly": "true"} if side is PositionSide.BOTH else {"positionSide": side.value}
    assert sent(seen) == (
        "POST",
        "/fapi/v1/order",
        {
            "symbol": "BTCUSDT",
            "side": order.side.value,
            "type": "MARKET",
            "quantity": "0.500",
            "newClientOrderId": "liq-1",
            "newOrderRespType": "RESULT",
        }
        | flag,
    )


def test_an_order_that_could_open_is_never_sent() -> None:
    """Whatever asked for it."""
    opening = CloseOrder(
        leg=Leg(symbol="BTCUSDT", position_side=PositionSide.LONG),
        side=Side.BUY,
        quantity=Decimal(1),
        client_order_id="liq-9",
        reduce_only=False,
    )

    async def use(exchange: Exchange) -> None:
        with pytest.raises(InvariantError):
            await exchange.send(requests.submit(opening), timeout_s=TIMEOUT_S)

    assert with_venue(says({}), use) == (None, [])


def test_reads_name_a_symbol_only_when_asked_to() -> None:
    """An empty parameter is refused with -1105."""

    async def use(exchange: Exchange) -> None:
        for symbol in (None, "BTCUSDT"):
            await exchange.send(requests.positions(USDM, symbol), timeout_s=TIMEOUT_S)
            for kind in BOOKS:
                await exchange.send(requests.open_orders(USDM, kind, symbol), timeout_s=TIMEOUT_S)

    _, seen = with_venue(says([]), use)
    assert [(request.path, request.params.get("symbol")) for request in seen] == [
        (f"/fapi/{path}", symbol)
        for symbol in (None, "BTCUSDT")
        for path in ("v3/positionRisk", "v1/openOrders", "v1/openAlgoOrders")
    ]


def test_an_order_that_the_venue_does_not_know_is_done_with() -> None:
    """The engine asks again before it concludes that the order never arrived."""
    answer, seen = with_venue(
        says({"code": -2013, "msg": "Order does not exist."}, status=400),
        lambda exchange: exchange.send(
            requests.order_of(USDM, "BTCUSDT", "liq-1"), timeout_s=TIMEOUT_S
        ),
    )

    assert isinstance(answer, VenueError)
    assert (answer.answer.kind, answer.answer.code) == (AnswerKind.DONE, -2013)
    assert sent(seen)[2] == {"symbol": "BTCUSDT", "origClientOrderId": "liq-1"}


@pytest.mark.parametrize(
    ("kind", "body", "request_line"),
    [
        (
            OrderKind.REGULAR,
            {"orderId": 5, "status": "CANCELED"},
            ("DELETE", "/fapi/v1/order", {"symbol": "BTCUSDT", "orderId": "5"}),
        ),
        (
            OrderKind.ALGO,
            {"algoId": 5, "code": "200", "msg": "success"},
            ("DELETE", "/fapi/v1/algoOrder", {"algoId": "5"}),
        ),
    ],
)
def test_one_order_is_cancelled_in_its_own_book(
    kind: OrderKind, body: object, request_line: tuple[str, str, dict[str, str]]
) -> None:
    """An algo id sent to the regular book is "unknown order", which looks like success."""
    order = OpenOrder(symbol="BTCUSDT", position_side=PositionSide.BOTH, kind=kind, order_id="5")
    answer, seen = with_venue(
        says(body), lambda exchange: exchange.send(requests.cancel_one(order), timeout_s=TIMEOUT_S)
    )

    assert answer is None
    assert sent(seen) == request_line


def test_all_orders_of_a_symbol_are_cancelled_book_by_book() -> None:
    """No call cancels both books, none cancels across symbols."""

    async def use(exchange: Exchange) -> None:
        await exchange.send(
            requests.cancel_book(USDM, OrderKind.REGULAR, "BTCUSDT"), timeout_s=TIMEOUT_S
        )
        await exchange.send(
            requests.cancel_book(USDM, OrderKind.ALGO, "BTCUSDT"), timeout_s=TIMEOUT_S
        )

    answer, seen = with_venue(says({"code": 200, "msg": "done"}), use)
    assert answer is None
    assert [(request.method, request.path) for request in seen] == [
        ("DELETE", "/fapi/v1/allOpenOrders"),
        ("DELETE", "/fapi/v1/algoOpenOrders"),
    ]


def test_the_position_mode_has_a_second_source() -> None:
    """The newer one is cheaper; it is not everywhere."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/accountConfig"):
            return web.json_response({"code": -1000, "msg": "?"}, status=500)
        return web.json_response({"dualSidePosition": True})

    mode, seen = with_venue(
        answer,
        lambda exchange: exchange.send(requests.position_mode(USDM), timeout_s=TIMEOUT_S),
    )
    assert mode is PositionMode.HEDGE
    assert len(seen) == 2


def test_a_refused_key_is_not_asked_about_twice() -> None:
    """A ban would only grow."""
    answer, seen = with_venue(
        says({"code": -2015, "msg": "Invalid API-key"}, status=401),
        lambda exchange: exchange.send(requests.position_mode(USDM), timeout_s=TIMEOUT_S),
    )

    assert isinstance(answer, VenueError)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, [{"rateLimitType": "ORDERS", "interval": "MINUTE", "limit": 1200}], True),
        (401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, False),
        (404, "<html>", False),
    ],
)
def test_portfolio_margin_is_told_by_its_own_api(
    status: int, body: object, expected: object
) -> None:
    """The standard APIs refuse its key, as they refuse a wrong one."""
    answer, _ = with_venue(
        says(body, status=status),
        lambda exchange: exchange.send(requests.PORTFOLIO_MARGIN, timeout_s=TIMEOUT_S),
    )

    assert answer is expected


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"code": -1003, "msg": "Too many requests"}),
        (503, {"code": -1008, "msg": "Request throttled by system-level protection."}),
        (503, {"code": -1000, "msg": "Service Unavailable."}),
        (200, {}),
    ],
)
def test_a_question_that_was_put_off_is_not_answered_with_no(status: int, body: object) -> None:
    """Who takes that for "no" calls an account in portfolio margin flat."""
    answer, _ = with_venue(
        says(body, status=status),
        lambda exchange: exchange.send(requests.PORTFOLIO_MARGIN, timeout_s=TIMEOUT_S),
    )

    assert isinstance(answer, VenueError)


@pytest.mark.parametrize("body", [{}, None, "x", {"symbols": 1}], ids=repr)
def test_no_reading_is_empty_for_want_of_an_answer(body: object) -> None:
    """Every odd body is an error of every reading."""
    reads: list[Callable[[Exchange], Awaitable[Any]]] = [
        lambda exchange: exchange.send(requests.positions(USDM), timeout_s=TIMEOUT_S),
        lambda exchange: exchange.send(requests.account_positions(USDM), timeout_s=TIMEOUT_S),
        lambda exchange: exchange.send(
            requests.open_orders(USDM, OrderKind.REGULAR), timeout_s=TIMEOUT_S
        ),
        lambda exchange: exchange.send(
            requests.open_orders(USDM, OrderKind.ALGO), timeout_s=TIMEOUT_S
        ),
        lambda exchange: exchange.send(requests.market_rules(USDM), timeout_s=TIMEOUT_S),
        lambda exchange: exchange.send(requests.mark_price(USDM, "BTCUSDT"), timeout_s=TIMEOUT_S),
        lambda exchange: exchange.send(requests.position_mode(USDM), timeout_s=TIMEOUT_S),
        lambda exchange: exchange.send(
            requests.order_of(USDM, "BTCUSDT", "liq-1"), timeout_s=TIMEOUT_S
        ),
    ]

    for read in reads:
        answer, _ = with_venue(says(body), read)
        assert isinstance(answer, VenueError)
