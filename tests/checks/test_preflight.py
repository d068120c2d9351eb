"""What `validate --online` asks, read as strictly as the rest."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from liqctl.checks.preflight import (
    PINGS,
    KeyRights,
    fetch_key_rights,
    fetch_limits,
    measure_pings_s,
    rehearse_order,
)
from liqctl.kernel.errors import InvariantError, VenueError
from liqctl.kernel.limits import Limits, Usage
from liqctl.kernel.requests import EndpointSpec
from liqctl.kernel.values import CloseOrder, Leg, PositionSide, Side
from liqctl.venue.client import CcxtTransport
from tests.venue.venue import Handler, Seen, says, serving, transport_to

TIMEOUT_S = 5.0


class Canned:
    """A transport with one answer to everything: the spot host has no local stand-in."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    base_url = "canned"
    usage = Usage()

    def serves(self, _: str) -> bool:
        """Everything has a host."""
        return True

    async def request(self, spec: EndpointSpec, params: Any, *, timeout_s: float) -> Any:
        """Return the answer."""
        return self._answer

    async def sync_clock(self, _: EndpointSpec, *, timeout_s: float) -> float:
        """Return no difference."""
        return 0.0

    async def close(self) -> None:
        """Do nothing."""


def on_venue(
    handler: Handler, use: Callable[[CcxtTransport], Awaitable[Any]]
) -> tuple[Any, list[Seen]]:
    """Return what a question gives on a server, and what the server saw."""

    async def run() -> tuple[Any, list[Seen]]:
        async with serving(handler) as venue, transport_to(venue.url) as transport:
            return await use(transport), venue.seen

    return asyncio.run(run())


def test_pings_are_measured_on_a_warm_connection() -> None:
    """The first request pays for the handshake and is not counted."""
    pings_s, seen = on_venue(says({}), lambda it: measure_pings_s(it, timeout_s=TIMEOUT_S))

    assert len(pings_s) == PINGS
    assert all(0 < ping_s < TIMEOUT_S for ping_s in pings_s)
    assert len(seen) == PINGS + 1


def test_pings_share_one_time_limit_and_give_what_there_is() -> None:
    """Five slow pings one after another would be the hang that the check is to find."""

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return web.json_response({})

    pings_s, _ = on_venue(slow, lambda it: measure_pings_s(it, timeout_s=0.75))

    assert 1 <= len(pings_s) < PINGS


def test_the_rights_of_a_key_are_read() -> None:
    """What is absent or no flag is not claimed; the one everything depends on must be there."""
    row = {"ipRestrict": True, "enableFutures": True, "enableWithdrawals": False}

    assert asyncio.run(fetch_key_rights(Canned(row), timeout_s=1)) == KeyRights(
        futures=True, withdrawals=False, ip_restricted=True
    )
    vague = {"enableFutures": True, "enableWithdrawals": "false"}
    assert asyncio.run(fetch_key_rights(Canned(vague), timeout_s=1)) == KeyRights(
        futures=True, withdrawals=None, ip_restricted=None
    )
    unreadable: tuple[Any, ...] = ({}, [], {"enableFutures": "true"})
    for bad in unreadable:
        with pytest.raises(VenueError):
            asyncio.run(fetch_key_rights(Canned(bad), timeout_s=1))


def test_the_accounts_own_order_limits_win() -> None:
    """Large accounts have larger ones; the general ones are only the usual ones."""
    general = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    ]
    own = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 10000},
        {"rateLimitType": "ORDERS", "interval": "AEON", "intervalNum": 1, "limit": 1},
    ]

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/exchangeInfo"):
            return web.json_response({"rateLimits": general, "symbols": []})
        return web.json_response(own)

    limits, _ = on_venue(answer, lambda it: fetch_limits(it, timeout_s=TIMEOUT_S))
    assert limits == Limits(weight_1m=6000, orders_10s=10000, orders_1m=1200)


def test_a_rehearsal_goes_to_the_test_endpoint_and_can_only_reduce() -> None:
    """It must never become an order by a slip."""
    leg = Leg(symbol="BTCUSDT", position_side=PositionSide.BOTH)
    order = CloseOrder(leg=leg, side=Side.SELL, quantity=Decimal(1), client_order_id="liq-1")
    opening = CloseOrder(
        leg=leg, side=Side.SELL, quantity=Decimal(1), client_order_id="c", reduce_only=False
    )

    _, seen = on_venue(says({}), lambda it: rehearse_order(it, order, timeout_s=TIMEOUT_S))
    assert [(request.method, request.path) for request in seen] == [("POST", "/fapi/v1/order/test")]
    with pytest.raises(InvariantError):
        asyncio.run(rehearse_order(Canned({}), opening, timeout_s=1))
