"""What an endpoint of the simulated venue is: what it costs, and what answers it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from liqctl.sim.refusal import Refused

if TYPE_CHECKING:
    from liqctl.sim.venue import Venue

Params = Mapping[str, str]
Json = dict[str, Any] | list[dict[str, Any]]
Serve = Callable[["Venue", Params], Json]
Routes = dict[tuple[str, str], "Route"]
"""Endpoints by method and path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint. `weight_all` is charged when no symbol narrows a list.

    `source` names the list, of those that lag by themselves.
    """

    serve: Serve
    weight: int = 1
    weight_all: int | None = None
    signed: bool = True
    orders: bool = False
    source: str = ""

    def weight_of(self, params: Params) -> int:
        """Return what the request costs."""
        if self.weight_all is not None and not params.get("symbol"):
            return self.weight_all
        return self.weight

    def orders_of(self, params: Params) -> int:
        """Return how many orders the request counts as."""
        return len(batch_of(params)) if "batchOrders" in params else 1


def batch_of(params: Params) -> list[dict[str, Any]]:
    """Return the orders of a batch request."""
    try:
        batch = json.loads(params.get("batchOrders", ""))
    except ValueError:
        batch = None
    if not isinstance(batch, list) or not all(isinstance(item, dict) for item in batch):
        raise Refused(
            -1102, "Mandatory parameter 'batchOrders' was not sent, was empty/null, or malformed."
        )
    return batch


def limit_row(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    """Return one row of the venue's list of limits."""
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
    }


def check_may_trade(venue: "Venue") -> None:
    """Refuse every new order while trading is forbidden."""
    if not venue.can_trade:
        raise Refused(-4088, "User can not place order currently.")
