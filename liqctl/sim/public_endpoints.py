"""What the simulated venue tells everybody: time, symbols, prices."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.amounts import plain
from liqctl.sim.routes import Json, Params, Route, Routes, limit_row

if TYPE_CHECKING:
    from liqctl.sim.venue import Venue


def _ping(_: "Venue", __: Params) -> Json:
    return {}


def _time(venue: "Venue", _: Params) -> Json:
    return {"serverTime": venue.now_ms}


def _exchange_info(venue: "Venue", _: Params) -> Json:
    markets = venue.account.markets.values()
    assets = sorted({market.quote_asset for market in markets})
    return {
        "timezone": "UTC",
        "serverTime": venue.now_ms - 86_400_000,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            limit_row("REQUEST_WEIGHT", "MINUTE", 1, venue.weight_limit),
            limit_row("ORDERS", "MINUTE", 1, venue.orders_limit_1m),
            limit_row("ORDERS", "SECOND", 10, venue.orders_limit_10s),
        ],
        "exchangeFilters": [],
        "assets": [
            {"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in assets
        ],
        "symbols": [market.describe() for market in markets],
    }


def _premium_index(venue: "Venue", params: Params) -> Json:
    def row(symbol: str) -> dict[str, Any]:
        mark = plain(venue.account.market(symbol).mark_price)
        return {
            "symbol": symbol,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": "0.00010000",
            "interestRate": "0.00010000",
            "nextFundingTime": venue.now_ms + 3_600_000,
            "time": venue.now_ms,
        }

    return _one_or_all(venue, params, row)


def _book_ticker(venue: "Venue", params: Params) -> Json:
    def row(symbol: str) -> dict[str, Any]:
        market = venue.account.market(symbol)
        depth = plain(market.depth) if market.depth is not None else "1000"
        return {
            "symbol": symbol,
            "bidPrice": plain(market.best("SELL")),
            "bidQty": depth,
            "askPrice": plain(market.best("BUY")),
            "askQty": depth,
            "time": venue.now_ms,
        }

    return _one_or_all(venue, params, row)


def _price(venue: "Venue", params: Params) -> Json:
    def row(symbol: str) -> dict[str, Any]:
        price = plain(venue.account.market(symbol).mark_price)
        return {"symbol": symbol, "price": price, "time": venue.now_ms}

    return _one_or_all(venue, params, row)


def _one_or_all(venue: "Venue", params: Params, row: Callable[[str], dict[str, Any]]) -> Json:
    symbol = params.get("symbol")
    return row(symbol) if symbol else [row(each) for each in venue.account.markets]


PUBLIC_ROUTES: Final[Routes] = {
    ("GET", "/fapi/v1/ping"): Route(serve=_ping, signed=False),
    ("GET", "/fapi/v1/time"): Route(serve=_time, signed=False),
    ("GET", "/fapi/v1/exchangeInfo"): Route(serve=_exchange_info, signed=False),
    ("GET", "/fapi/v1/premiumIndex"): Route(serve=_premium_index, weight_all=10, signed=False),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(
        serve=_book_ticker, weight=2, weight_all=5, signed=False
    ),
    ("GET", "/fapi/v1/ticker/price"): Route(serve=_price, weight_all=2, signed=False),
    ("GET", "/fapi/v2/ticker/price"): Route(serve=_price, weight_all=2, signed=False),
}
