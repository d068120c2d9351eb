"""Binance's hosts behind one origin: what a path tells of them, and the weight that each counts.

One origin serves what are four hosts in reality, told apart by the first part of the path: fapi
(USDS-M), dapi (COIN-M), papi (portfolio margin, both products as um and cm) and sapi.

Request weight is what an address has in common: every account behind it counts and is banned. What
counts for the account alone, orders and UID weight, `venue` keeps.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from liqctl.kernel.states import Product
from liqctl.sim.orders import Refused

MINUTE_MS: Final = 60_000

_STUBBORN_MAX: Final = 20
"""How many requests over the limit are answered 429 before the address is banned."""

# Binance bans for 2 minutes at first, and for up to 3 days whoever goes on.
_BAN_MS: Final = 120_000
_POOLS: Final = {"fapi": "futures", "dapi": "futures"}
"""Hosts that count weight together; any other counts alone (COIN-M notice, read 2026-06-10)."""

_OWN_LIMITS: Final = {"papi": 6000, "sapi": 12_000}
"""Request weight a minute of hosts with a pool of their own."""

UID_LIMIT: Final = 180_000
"""Weight a minute of an account, where a request counts for that instead of the address."""

# More than there are endpoints: each request asks several times, and anybody may ask for any path.
_REMEMBERED: Final = 512


@lru_cache(_REMEMBERED)
def host_of(path: str) -> str:
    """Return which of the hosts a path stands for.

    >>> host_of("/papi/v1/cm/order")
    'papi'
    """
    return path.split("/", maxsplit=2)[1] if path.startswith("/") else ""


@lru_cache(_REMEMBERED)
def dialect_of(path: str) -> str:
    """Return how rows are written there: the host, or in portfolio margin um or cm.

    >>> dialect_of("/papi/v1/cm/order"), dialect_of("/dapi/v1/order")
    ('cm', 'dapi')
    """
    host = host_of(path)
    return path.split("/")[3] if host == "papi" and path.count("/") > 2 else host  # noqa: PLR2004


@lru_cache(_REMEMBERED)
def product_of(path: str) -> Product:
    """Return the product that a path is about."""
    return Product.COINM if dialect_of(path) in {"dapi", "cm"} else Product.USDM


class Windows:
    """What was used by name, each sum within the window of time under way."""

    def __init__(self) -> None:
        """Start with nothing used."""
        self._sums: dict[str, tuple[int, int]] = {}

    def add(self, name: str, length_ms: int, amount: int, now_ms: int) -> int:
        """Add to what was used in the window under way; return the sum."""
        start_ms = now_ms - now_ms % length_ms
        began_ms, used = self._sums.get(name, (start_ms, 0))
        used = amount + (used if began_ms == start_ms else 0)
        self._sums[name] = (start_ms, used)
        return used

    def describe(self) -> dict[str, int]:
        """Return the sum of each name's last window."""
        return {name: used for name, (_, used) in self._sums.items()}


@dataclass(slots=True, kw_only=True)
class Weights:
    """What an address has used of its request weight, and until when it is banned.

    `limit` is that of the futures' pool, of which `others` have used so much beside these accounts.
    """

    limit: int = 2400
    others: int = 0
    banned_until_ms: int = 0
    windows: Windows = field(default_factory=Windows)
    _stubborn: int = 0

    def count(self, host: str, weight: int, now_ms: int) -> int:
        """Count a request to a host; return what its pool has used in this minute."""
        used = self.windows.add(_POOLS.get(host, host), MINUTE_MS, weight, now_ms)
        return used if host in _OWN_LIMITS else used + self.others

    def check(self, host: str, used: int, now_ms: int) -> None:
        """Refuse a banned address, and one whose pool is used up; ban who goes on all the same."""
        if now_ms < self.banned_until_ms:
            raise Refused(-1003, banned_text(self.banned_until_ms), status=418)
        limit = _OWN_LIMITS.get(host, self.limit)
        if used <= limit:
            return
        self._stubborn += 1
        if self._stubborn > _STUBBORN_MAX:
            self.banned_until_ms = now_ms + _BAN_MS
        raise used_up(limit)


def used_up(limit: int) -> Refused:
    """Return the refusal of a request for which there is no weight left in this minute."""
    message = f"Too many requests; current limit is {limit} request weight per 1 MINUTE."
    return Refused(-1003, message, status=429)


def banned_text(until_ms: int) -> str:
    """Return what the venue says to an address that is banned until a moment of its clock."""
    return (
        f"Way too many requests; IP(127.0.0.1) banned until {until_ms}. "
        "Please use the websocket for live updates to avoid bans."
    )
