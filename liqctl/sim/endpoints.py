"""Every endpoint of the simulated venue.

Weights and shapes: Binance USDS-M endpoint pages, read 2026-11-23.
"""

from typing import Final

from liqctl.sim.account_endpoints import ACCOUNT_ROUTES
from liqctl.sim.algo_endpoints import ALGO_ROUTES
from liqctl.sim.order_endpoints import ORDER_ROUTES
from liqctl.sim.public_endpoints import PUBLIC_ROUTES
from liqctl.sim.routes import Routes
from liqctl.sim.trade_endpoints import TRADE_ROUTES

ROUTES: Final[Routes] = PUBLIC_ROUTES | ACCOUNT_ROUTES | ORDER_ROUTES | ALGO_ROUTES | TRADE_ROUTES
"""The endpoints by method and path."""
