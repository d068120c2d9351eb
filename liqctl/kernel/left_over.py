"""What remains in a portfolio margin account beside its futures: told, never touched.

Borrowed coins cost interest by the hour, a negative balance is a debt, and a margin order may buy,
and borrow, by itself. None of it is a future, so none of it changes how the run ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from liqctl.kernel import requests
from liqctl.kernel.answers import VenueAnswer
from liqctl.kernel.gateway import Gateway
from liqctl.kernel.requests import Balances

_PAIRS_MAX: Final = 5
"""Pairs whose margin orders are asked for: each costs a request, and the run is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOver:
    """What stands beside the futures, amounts by coin; None is what the venue did not say.

    `locked` are coins that open margin orders hold. `margin_orders` are named as SYMBOL SIDE TYPE
    ID; without a symbol the venue may not list them, then only the pairs with USDT of the coins
    that are held, locked or borrowed were asked for, and `is_partial` says so.
    """

    borrowed: Mapping[str, Decimal] | None = None
    negative_balances: Mapping[str, Decimal] | None = None
    locked: Mapping[str, Decimal] | None = None
    margin_orders: tuple[str, ...] | None = None
    is_partial: bool = field(default=False)


async def read_left_over(gateway: Gateway) -> LeftOver:
    """Return what a portfolio margin account holds beside its futures."""
    balances, orders = await gateway.together(
        [gateway.ask(requests.BALANCES), gateway.ask(requests.margin_orders(None))]
    )
    told = balances if isinstance(balances, Balances) else None
    is_partial = not isinstance(orders, tuple)
    if is_partial and told is not None:
        pairs = [f"{coin}USDT" for coin in told.coins if coin != "USDT"][:_PAIRS_MAX]
        answers = await gateway.together(
            [gateway.ask(requests.margin_orders(pair)) for pair in pairs]
        )
        read = [answer for answer in answers if not isinstance(answer, VenueAnswer)]
        orders = sum(read, ()) if read else orders
    return LeftOver(
        borrowed=told.borrowed if told else None,
        negative_balances=told.negative if told else None,
        locked=told.locked if told else None,
        margin_orders=orders if isinstance(orders, tuple) else None,
        is_partial=is_partial,
    )
