"""The table of the simulated venue: every endpoint, what answers it, and what it costs.

Weights: Binance USDS-M, COIN-M, portfolio margin and wallet endpoint pages, read 2026-11-23.
"""

from dataclasses import replace
from typing import Final

from liqctl.sim import address as master
from liqctl.sim import endpoints as serve
from liqctl.sim.venue import Route

_HOSTS: Final = ("/fapi/v1", "/dapi/v1")
_UM: Final = "/papi/v1/um"
_CM: Final = "/papi/v1/cm"
_PRODUCTS: Final = (_UM, _CM)
"""Of portfolio margin."""

_OF_ONE_HOST: Final = (
    Route("GET", "/fapi/v1/premiumIndex", serve.premium_index, weight_all=10, signed=False),
    Route("GET", "/fapi/v2/ticker/price", serve.price, weight_all=2, signed=False),
    Route("GET", "/fapi/v3/positionRisk", serve.positions, 5, source="positions"),
    Route("GET", "/fapi/v2/positionRisk", serve.positions_of_all, 5, source="positions"),
    Route("GET", "/fapi/v3/account", serve.account, 5, source="account"),
    Route("GET", "/fapi/v2/account", serve.account_v2, 5, source="account"),
    Route("GET", "/fapi/v3/balance", serve.balance, 5),
    Route("GET", "/fapi/v2/balance", serve.balance, 5),
    Route("GET", "/fapi/v1/accountConfig", serve.config, 5),
    Route("GET", "/fapi/v1/symbolConfig", serve.symbol_config, 5),
    Route("GET", "/fapi/v1/multiAssetsMargin", lambda _: {"multiAssetsMargin": False}, 30),
    Route("GET", "/fapi/v1/leverageBracket", serve.leverage_bracket),
    Route("GET", "/fapi/v1/rateLimit/order", serve.order_limits),
    Route("GET", "/fapi/v1/apiTradingStatus", serve.trading_status, weight_all=10),
    Route("GET", "/fapi/v1/pmAccountInfo", serve.portfolio_margin, 5),
    Route("GET", "/fapi/v1/income", serve.income, 30),
    Route("POST", "/fapi/v1/order/test", serve.test_order),
    Route("GET", "/dapi/v1/premiumIndex", serve.premium_index, 10, signed=False),
    Route("GET", "/dapi/v1/positionRisk", serve.positions_coinm, source="positions"),
    Route("GET", "/dapi/v1/account", serve.account_coinm, 5, source="account"),
    Route("GET", "/dapi/v1/balance", serve.balance),
    Route("GET", "/dapi/v2/leverageBracket", serve.leverage_bracket, weight_all=2),
    Route("GET", "/dapi/v1/income", serve.income, 20),
    # The spot host.
    Route("GET", "/sapi/v1/account/apiRestrictions", serve.key_rights),
    Route("GET", "/sapi/v1/account/info", serve.account_kind),
    Route("GET", "/sapi/v1/algo/futures/openOrders", serve.open_executions, source="executions"),
    Route("DELETE", "/sapi/v1/algo/futures/order", serve.cancel_execution),
    Route("GET", "/sapi/v1/sub-account/list", master.sub_accounts),
    Route("GET", "/sapi/v2/sub-account/futures/positionRisk", master.positions_of_sub),
    Route("GET", "/sapi/v1/sub-account/subAccountApi", master.keys_of_sub, 0, weight_uid=3000),
)

_OF_PORTFOLIO_MARGIN: Final = (
    Route("GET", "/papi/v1/ping", serve.ping, signed=False),
    Route("GET", "/papi/v1/account", serve.portfolio_account, 20),
    Route("GET", "/papi/v1/balance", serve.portfolio_balance, 20),
    Route("GET", "/papi/v1/rateLimit/order", serve.order_limit),
    Route("GET", "/papi/v1/margin/openOrders", serve.margin_orders, 5),
    Route("GET", "/papi/v1/margin/openOrderList", lambda _: [], 5),
    Route("DELETE", "/papi/v1/margin/allOpenOrders", serve.cancel_margin_orders, 5),
    Route("GET", f"{_UM}/positionRisk", serve.positions, 5, source="positions"),
    Route("GET", "/papi/v2/um/account", serve.account_um_v2, 5, source="account"),
    Route("GET", f"{_UM}/accountConfig", serve.config, 5),
    Route("GET", f"{_UM}/symbolConfig", serve.symbol_config, 5),
    Route("GET", f"{_UM}/apiTradingStatus", serve.trading_status, weight_all=10),
    Route("GET", f"{_UM}/userTrades", serve.user_trades, 5),
    Route("GET", f"{_UM}/algo/openAlgoOrders", serve.open_algo_orders, 1, 40, source="algo"),
    Route("GET", f"{_UM}/algo/allAlgoOrders", serve.all_algo_orders, 5),
    Route("GET", f"{_UM}/algo/algoOrder", serve.algo_order),
    Route("POST", f"{_UM}/algo/order", serve.new_algo_order, orders=True),
    Route("DELETE", f"{_UM}/algo/order", serve.complete_algo),
    Route("DELETE", f"{_UM}/algo/allOpenOrders", serve.cancel_all_algo),
    Route("GET", f"{_CM}/positionRisk", serve.positions_coinm, source="positions"),
    Route("GET", f"{_CM}/userTrades", serve.user_trades, 20),
    Route("GET", f"{_CM}/conditional/openOrders", serve.open_algo_orders, 1, 40, source="algo"),
    Route("GET", f"{_CM}/conditional/openOrder", serve.open_strategy),
    Route("POST", f"{_CM}/conditional/order", serve.new_strategy, orders=True),
    Route("DELETE", f"{_CM}/conditional/order", serve.cancel_strategy),
    Route("DELETE", f"{_CM}/conditional/allOpenOrders", serve.cancel_all_strategies),
)

_OF_ALL: Final = (  # method, path, what answers it, weight, weight without a symbol
    Route("GET", "/positionSide/dual", serve.position_mode, 30),
    Route("POST", "/positionSide/dual", serve.change_mode),
    Route("POST", "/leverage", serve.set_leverage),
    Route("GET", "/adlQuantile", serve.adl_quantile, 5),
    Route("GET", "/openOrders", serve.open_orders, weight_all=40, source="orders"),
    Route("GET", "/openOrder", serve.open_order),
    Route("GET", "/order", serve.order),
    Route("DELETE", "/order", serve.cancel),
    Route("DELETE", "/allOpenOrders", serve.cancel_all),
)

_OF_HOSTS: Final = (
    Route("GET", "/ping", serve.ping, signed=False),
    Route("GET", "/time", serve.time, signed=False),
    Route("GET", "/exchangeInfo", serve.exchange_info, signed=False),
    Route("GET", "/ticker/bookTicker", serve.book_ticker, 2, 5, signed=False),
    Route("GET", "/ticker/price", serve.price, weight_all=2, signed=False),
    Route("GET", "/commissionRate", serve.commission_rate, 20),
    Route("GET", "/userTrades", serve.user_trades, 5),
    Route("GET", "/allOrders", serve.all_orders, 5),
    Route("POST", "/order", serve.new_order, 0, orders=True),
    Route("POST", "/batchOrders", serve.place_batch, 5, orders=True),
    Route("DELETE", "/batchOrders", serve.cancel_batch),
    Route("POST", "/countdownCancelAll", serve.countdown, 10),
    Route("GET", "/openAlgoOrders", serve.open_algo_orders, weight_all=40, source="algo"),
    Route("GET", "/allAlgoOrders", serve.all_algo_orders, 5),
    Route("GET", "/algoOrder", serve.algo_order),
    Route("POST", "/algoOrder", serve.new_algo_order, 0, orders=True),
    Route("DELETE", "/algoOrder", serve.cancel_algo),
    Route("DELETE", "/algoOpenOrders", serve.cancel_all_algo),
)

_OF_PRODUCTS: Final = (
    Route("GET", "/leverageBracket", serve.leverage_bracket),
    Route("GET", "/income", serve.income, 30),
    Route("GET", "/account", serve.account_of_all, 5, source="account"),
    Route("POST", "/order", serve.new_order, orders=True),
)

_OF_LISTEN_KEYS: Final = (
    Route("POST", "/listenKey", serve.start_listen_key, signed=False, keyed=True),
    Route("PUT", "/listenKey", serve.extend_listen_key, signed=False, keyed=True),
    Route("DELETE", "/listenKey", serve.end_listen_key, signed=False, keyed=True),
)

_ALL: Final = (
    replace(route, path=f"{place}{route.path}")
    for routes, places in (
        (_OF_ALL, (*_HOSTS, *_PRODUCTS)),
        (_OF_HOSTS, _HOSTS),
        (_OF_PRODUCTS, _PRODUCTS),
        (_OF_LISTEN_KEYS, (*_HOSTS, "/papi/v1")),
        ((*_OF_ONE_HOST, *_OF_PORTFOLIO_MARGIN), ("",)),
    )
    for place in places
    for route in routes
)

ROUTES: Final = {(route.method, route.path): route for route in _ALL}
"""The endpoints by method and path."""
