"""What a liquidation of an account, as it stands now, would cost: trips, requests, weight, seconds.

    trips     read, cancel, close, cancel the stops of legs seen flat, read again
    expected  trips x round trip, the processor's share, and waiting for the order limit
    worst     expected, and every repeat of one refused order with its longest backoff

A forecast is made before the emergency and shown with the question; nothing is decided by it.
"""

from dataclasses import dataclass
from typing import Final

from liqctl.kernel.endpoints import Endpoint
from liqctl.kernel.limits import ORDER_BURST_S, Limits
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.protection import is_protective
from liqctl.kernel.values import OpenOrder, Snapshot

_REQUEST_S: Final = 0.0007
"""Processor time of one request, on a slow machine."""

_JITTER_MAX: Final = 1.2
_READ: Final = (Endpoint.POSITIONS, Endpoint.OPEN_ORDERS, Endpoint.OPEN_ALGO_ORDERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run would take; `timeout_s` is what it has."""

    positions: int
    orders: int
    round_trips: int
    requests: int
    weight: int
    closes: int
    order_limit: int
    expected_s: float
    worst_s: float
    timeout_s: float

    @property
    def fits(self) -> bool:
        """Whether even the worst of it ends before the deadline."""
        return self.worst_s <= self.timeout_s


def make_forecast(
    snapshot: Snapshot, policy: LiquidationConfig, *, round_trip_s: float, limits: Limits
) -> Forecast:
    """Return the forecast for what a reading shows in scope."""
    positions = [p for p in snapshot.positions.items if policy.covers(p.symbol)]
    orders = [order for order in snapshot.orders if policy.covers(order.symbol)]
    closes = len(positions) if policy.close_positions else 0
    by_leg = {position.leg: position for position in positions}
    cancelled = orders if policy.cancel_orders else []
    stops = [order for order in cancelled if is_protective(order, by_leg)]
    early = [order for order in cancelled if order not in stops]
    stops = stops if closes else []
    cancels = _requests_for(early) + _requests_for(stops)
    trips = 2 + bool(early) + bool(closes) + bool(stops) if closes or cancelled else 1
    readings = 2 if closes or cancelled else 1
    requests = len(_READ) * readings + int(bool(closes)) + closes + cancels
    reading_weight = sum(endpoint.value.weight_all for endpoint in _READ)
    weight = (
        reading_weight * readings + cancels + Endpoint.POSITIONS.value.weight_all * bool(closes)
    )
    waits_s = ORDER_BURST_S * (max(closes - 1, 0) // limits.orders_10s)
    expected_s = trips * round_trip_s + requests * _REQUEST_S + waits_s
    return Forecast(
        positions=len(positions),
        orders=len(orders),
        round_trips=trips,
        requests=requests,
        weight=weight,
        closes=closes,
        order_limit=limits.orders_10s,
        expected_s=expected_s,
        worst_s=expected_s + (_repeats_s(policy, round_trip_s) if closes or cancelled else 0.0),
        timeout_s=policy.timeout_seconds,
    )


def _requests_for(orders: list[OpenOrder]) -> int:
    """Return one request for each book of each symbol."""
    return len({(order.symbol, order.kind) for order in orders})


def _repeats_s(policy: LiquidationConfig, round_trip_s: float) -> float:
    """Return the time that all repeats of one order take, at their longest."""
    backoff_s = policy.retry_delay_seconds * float(2**policy.max_retries - 1) * _JITTER_MAX
    return backoff_s + policy.max_retries * round_trip_s
