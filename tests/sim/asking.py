"""Asks a venue directly, as a door would, without signatures."""

import json
from typing import Any
from urllib.parse import urlencode

from liqctl.sim.address import Address, key_of, secret_of
from liqctl.sim.checks import sign
from liqctl.sim.scenario import parse_scenario
from liqctl.sim.venue import Reply, Request, Venue

NOW_MS = 1_767_225_600_000


def make_venue(text: str = "account: {}") -> Venue:
    """Return the venue of a scenario's text."""
    return parse_scenario(text, name="test").make_venue()


def ask(venue: Venue, method: str, path: str, **params: Any) -> tuple[int, Any]:
    """Return status and decoded body of one request; `now_ms` is when it arrives.

    A path that begins with a version is fapi's.
    """
    now_ms = params.pop("now_ms", NOW_MS)
    query = urlencode({**params, "timestamp": str(now_ms)})
    is_post = method == "POST"
    reply = venue.handle(
        Request(
            method=method,
            path=f"/fapi{path}" if path.startswith("/v") else path,
            query="" if is_post else query,
            body=query if is_post else "",
        ),
        now_ms,
    )
    return reply.status, json.loads(reply.body)


def place(venue: Venue, **params: Any) -> tuple[int, Any]:
    """Return the answer to a new order."""
    return ask(venue, "POST", "/v1/order", **params)


def make_address(text: str) -> Address:
    """Return the address of a house's text."""
    return parse_scenario(text, name="test").make_address()


def knock(address: Address, name: str, method: str, path: str, **params: Any) -> Reply:
    """Return the reply to a request that is signed with the key of a name; empty for no key."""
    now_ms = params.pop("now_ms", NOW_MS)
    query = urlencode({**params, "timestamp": str(now_ms)})
    signature = sign(query.encode(), secret_of(name))
    request = Request(
        method=method,
        path=f"/fapi{path}" if path.startswith("/v") else path,
        query=f"{query}&signature={signature}",
        headers={"X-MBX-APIKEY": key_of(name)} if name else {},
    )
    return address.handle(request, now_ms)


def ask_as(address: Address, name: str, method: str, path: str, **params: Any) -> tuple[int, Any]:
    """Return status and decoded body of a request that is signed with the key of a name."""
    reply = knock(address, name, method, path, **params)
    return reply.status, json.loads(reply.body)


MARKET = {"symbol": "BTCUSDT", "type": "MARKET", "newOrderRespType": "RESULT"}
SELL = {**MARKET, "side": "SELL", "quantity": "0.500", "reduceOnly": "true"}
LONG = 'account: {positions: {BTCUSDT: "0.500"}}'
SHORT = 'account: {positions: {BTCUSDT: "-0.500"}}'
HEDGE = 'account: {mode: hedge, positions: {BTCUSDT LONG: "0.500", BTCUSDT SHORT: "-0.200"}}'
