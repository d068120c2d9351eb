"""What a path tells: which of Binance's hosts it stands for, and which product it is about.

One origin serves what are four hosts in reality, told apart by the first part of the path: fapi
(USDS-M), dapi (COIN-M), papi (portfolio margin, both products as um and cm) and sapi.
"""

from functools import lru_cache
from typing import Final

from liqctl.kernel.states import Product

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
