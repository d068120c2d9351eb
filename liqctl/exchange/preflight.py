# ruff: noqa: ANN401 - the border: what JSON hands over has no types
"""What `validate --online` asks the venue beyond the port: key rights, limits, speed, a rehearsal.

Nothing here is used while liquidating. The rights of a key are known to Binance's spot host only
and exist for production only; elsewhere that question is refused before anything is sent.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from liqctl.domain.answers import unreadable
from liqctl.domain.commands import CloseOrder
from liqctl.domain.endpoints import Endpoint
from liqctl.domain.errors import VenueError
from liqctl.exchange import wire
from liqctl.planning.budget import Limits
from liqctl.planning.readiness import KeyRights
from liqctl.ports import Transport

PINGS: Final = 5
_INTERVAL_S: Final = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


class TransportProbe:
    """Implements `liqctl.ports.Probe` over a transport."""

    def __init__(self, transport: Transport) -> None:
        """Ask through this transport."""
        self._transport = transport

    async def measure_pings_s(self, *, timeout_s: float) -> tuple[float, ...]:
        """Return the round trips of up to five pings, in seconds; at least one, in time."""
        return await measure_pings_s(self._transport, timeout_s=timeout_s)

    async def fetch_key_rights(self, *, timeout_s: float) -> KeyRights:
        """Return what the key may do."""
        return await fetch_key_rights(self._transport, timeout_s=timeout_s)

    async def fetch_limits(self, *, timeout_s: float) -> Limits:
        """Return the account's limits."""
        return await fetch_limits(self._transport, timeout_s=timeout_s)

    async def rehearse_order(self, order: CloseOrder, *, timeout_s: float) -> None:
        """Let the venue check a close without placing it."""
        await rehearse_order(self._transport, order, timeout_s=timeout_s)


async def measure_pings_s(transport: Transport, *, timeout_s: float) -> tuple[float, ...]:
    """Return the round trips of five pings on a warm connection; fewer where time runs out.

    Args:
        transport: what the pings go through.
        timeout_s: for all of them together.

    Raises:
        VenueError: not even one was answered.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    await transport.request(Endpoint.PING, {}, timeout_s=timeout_s)
    round_trips: list[float] = []
    for _ in range(PINGS):
        sent_at = loop.time()
        try:
            await transport.request(Endpoint.PING, {}, timeout_s=until - sent_at)
        except VenueError:
            if not round_trips:
                raise
            break
        round_trips.append(loop.time() - sent_at)
    return tuple(round_trips)


async def fetch_key_rights(transport: Transport, *, timeout_s: float) -> KeyRights:
    """Return what the key may do.

    Raises:
        VenueError: of kind REJECTED where the venue has no such question (not production).
    """
    row = await transport.request(Endpoint.API_RESTRICTIONS, {}, timeout_s=timeout_s)
    if not isinstance(row, dict) or not isinstance(row.get("enableFutures"), bool):
        raise VenueError(unreadable(200, "no rights of the key"))
    return KeyRights(
        futures=row["enableFutures"],
        withdrawals=_flag(row.get("enableWithdrawals")),
        ip_restricted=_flag(row.get("ipRestrict")),
    )


async def fetch_limits(transport: Transport, *, timeout_s: float) -> Limits:
    """Return the account's limits: orders as the account has them, weight as exchangeInfo says."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    general = await transport.request(Endpoint.EXCHANGE_INFO, {}, timeout_s=timeout_s)
    own = await transport.request(Endpoint.ORDER_LIMITS, {}, timeout_s=until - loop.time())
    rows = general.get("rateLimits") if isinstance(general, dict) else None
    if not isinstance(rows, list) or not isinstance(own, list):
        raise VenueError(unreadable(200, "no limits"))
    found = {_kind_of(row): row["limit"] for row in (*rows, *own) if _is_limit(row)}
    usual = Limits()
    return Limits(
        weight_1m=found.get(("REQUEST_WEIGHT", 60), usual.weight_1m),
        orders_10s=found.get(("ORDERS", 10), usual.orders_10s),
        orders_1m=found.get(("ORDERS", 60), usual.orders_1m),
    )


async def rehearse_order(transport: Transport, order: CloseOrder, *, timeout_s: float) -> None:
    """Let the venue check a close without placing it; returns when it would have been taken."""
    params = wire.close_order_params(order)
    wire.check_reducing(params)
    await transport.request(Endpoint.TEST_ORDER, params, timeout_s=timeout_s)


def _flag(value: Any) -> bool | None:
    """Return a flag of the venue, None for whatever else stands there."""
    return value if isinstance(value, bool) else None


def _is_limit(row: Any) -> bool:
    """Return whether a row states a usable limit."""
    return (
        isinstance(row, dict)
        and isinstance(row.get("limit"), int)
        and isinstance(row.get("intervalNum"), int)
        and row["limit"] > 0
        and row.get("interval") in _INTERVAL_S
    )


def _kind_of(row: Mapping[str, Any]) -> tuple[str, int]:
    """Return what a limit counts, and over how many seconds."""
    return str(row.get("rateLimitType")), row["intervalNum"] * _INTERVAL_S[row["interval"]]
