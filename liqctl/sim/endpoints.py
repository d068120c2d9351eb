"""Every endpoint of the simulated venue: its weight, what it counts, and what it answers.

Weights and shapes: Binance USDS-M endpoint pages, read 2026-11-23.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from liqctl.domain.amounts import plain
from liqctl.sim.account import Account
from liqctl.sim.orders import AlgoOrder, Holding, LegKey, Order
from liqctl.sim.refusal import Refused

if TYPE_CHECKING:
    from liqctl.sim.venue import Venue

Params = Mapping[str, str]
Serve = Callable[["Venue", Params], Any]

_BATCH_MAX: Final = 5
_CANCEL_BATCH_MAX: Final = 10
_ZERO: Final = Decimal(0)
_DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One endpoint. `weight_all` is charged when no symbol narrows a list."""

    serve: Serve
    weight: int = 1
    weight_all: int | None = None
    signed: bool = True
    orders: bool = False

    def weight_of(self, params: Params) -> int:
        """Return what the request costs."""
        if self.weight_all is not None and not params.get("symbol"):
            return self.weight_all
        return self.weight

    def orders_of(self, params: Params) -> int:
        """Return how many orders the request counts as."""
        return len(_batch(params)) if "batchOrders" in params else 1


# -- public ------------------------------------------------------------------------------------


def _ping(_: "Venue", __: Params) -> Any:
    return {}


def _time(venue: "Venue", _: Params) -> Any:
    return {"serverTime": venue.now_ms}


def _exchange_info(venue: "Venue", _: Params) -> Any:
    markets = venue.account.markets.values()
    assets = sorted({market.quote_asset for market in markets})
    return {
        "timezone": "UTC",
        "serverTime": venue.now_ms - 86_400_000,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, venue.weight_limit),
            _limit("ORDERS", "MINUTE", 1, 1200),
            _limit("ORDERS", "SECOND", 10, venue.orders_limit_10s),
        ],
        "exchangeFilters": [],
        "assets": [
            {"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in assets
        ],
        "symbols": [market.describe() for market in markets],
    }


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
    }


def _premium_index(venue: "Venue", params: Params) -> Any:
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


def _book_ticker(venue: "Venue", params: Params) -> Any:
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


def _price(venue: "Venue", params: Params) -> Any:
    def row(symbol: str) -> dict[str, Any]:
        price = plain(venue.account.market(symbol).mark_price)
        return {"symbol": symbol, "price": price, "time": venue.now_ms}

    return _one_or_all(venue, params, row)


def _one_or_all(venue: "Venue", params: Params, row: Callable[[str], dict[str, Any]]) -> Any:
    symbol = params.get("symbol")
    return row(symbol) if symbol else [row(each) for each in venue.account.markets]


# -- account -----------------------------------------------------------------------------------


def _shown(venue: "Venue", params: Params) -> dict[LegKey, Holding]:
    """Return the legs that a v3 reading lists: with a position or an open order."""
    if venue.portfolio_margin:
        return {}
    account = venue.account
    symbol = params.get("symbol")
    if symbol:
        account.market(symbol)
    shown = {key: held for key, held in account.shown_holdings().items() if held.amount}
    for order in account.shown_orders()[0]:
        key = (order.symbol, order.position_side)
        shown.setdefault(key, _empty(key))
    return {key: held for key, held in shown.items() if not symbol or key[0] == symbol}


def _empty(key: LegKey) -> Holding:
    return Holding(symbol=key[0], position_side=key[1], amount=_ZERO, entry_price=_ZERO)


def _position_row(account: Account, held: Holding) -> dict[str, Any]:
    mark = account.markets[held.symbol].mark_price
    notional = held.amount * mark
    margin = abs(notional) / account.leverage
    return {
        "symbol": held.symbol,
        "positionSide": held.position_side,
        "positionAmt": plain(held.amount),
        "entryPrice": plain(held.entry_price),
        "breakEvenPrice": plain(held.entry_price),
        "markPrice": f"{mark:.8f}",
        "unRealizedProfit": f"{held.amount * (mark - held.entry_price):.8f}",
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": f"{notional:.8f}",
        "marginAsset": account.markets[held.symbol].quote_asset,
        "isolatedWallet": "0",
        "initialMargin": f"{margin:.8f}",
        "maintMargin": f"{margin / 10:.8f}",
        "positionInitialMargin": f"{margin:.8f}",
        "openOrderInitialMargin": "0",
        "adl": 2,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": held.update_ms,
    }


def _positions(venue: "Venue", params: Params) -> Any:
    return [_position_row(venue.account, held) for held in _shown(venue, params).values()]


def _positions_v2(venue: "Venue", params: Params) -> Any:
    account = venue.account
    sides = ["BOTH", "LONG", "SHORT"] if account.hedge else ["BOTH"]
    rows = []
    for symbol in account.markets:
        if params.get("symbol", symbol) != symbol:
            continue
        for side in sides:
            held = account.shown_holdings().get((symbol, side)) or _empty((symbol, side))
            row = _position_row(account, held)
            row |= {
                "leverage": str(account.leverage),
                "maxNotionalValue": "20000000",
                "marginType": "cross",
                "isAutoAddMargin": "false",
            }
            rows.append(row)
    return rows


def _totals(venue: "Venue") -> dict[str, str]:
    wallet = "0.00000000" if venue.portfolio_margin else f"{venue.account.balance:.8f}"
    zero = "0.00000000"
    return {
        "totalInitialMargin": zero,
        "totalMaintMargin": zero,
        "totalWalletBalance": wallet,
        "totalUnrealizedProfit": zero,
        "totalMarginBalance": wallet,
        "totalPositionInitialMargin": zero,
        "totalOpenOrderInitialMargin": zero,
        "totalCrossWalletBalance": wallet,
        "totalCrossUnPnl": zero,
        "availableBalance": wallet,
        "maxWithdrawAmount": wallet,
    }


def _account(venue: "Venue", params: Params) -> Any:
    keys = (
        "symbol",
        "positionSide",
        "positionAmt",
        "isolatedMargin",
        "notional",
        "isolatedWallet",
        "initialMargin",
        "maintMargin",
        "updateTime",
    )
    positions = []
    for held in _shown(venue, params).values():
        row = _position_row(venue.account, held)
        positions.append(
            {key: row[key] for key in keys} | {"unrealizedProfit": row["unRealizedProfit"]}
        )
    return {**_totals(venue), "assets": [_asset(venue)], "positions": positions}


def _account_v2(venue: "Venue", params: Params) -> Any:
    rows = _positions_v2(venue, params)
    positions = [
        {
            "symbol": row["symbol"],
            "positionSide": row["positionSide"],
            "positionAmt": row["positionAmt"],
            "entryPrice": row["entryPrice"],
            "unrealizedProfit": row["unRealizedProfit"],
            "leverage": row["leverage"],
            "isolated": False,
            "initialMargin": row["initialMargin"],
            "maintMargin": row["maintMargin"],
            "maxNotional": "20000000",
            "notional": row["notional"],
            "updateTime": row["updateTime"],
        }
        for row in rows
    ]
    return {
        **_config(venue),
        **_totals(venue),
        "feeBurn": True,
        "assets": [_asset(venue)],
        "positions": positions,
    }


def _asset(venue: "Venue") -> dict[str, Any]:
    wallet = _totals(venue)["totalWalletBalance"]
    return {
        "asset": "USDT",
        "walletBalance": wallet,
        "unrealizedProfit": "0.00000000",
        "marginBalance": wallet,
        "maintMargin": "0.00000000",
        "initialMargin": "0.00000000",
        "positionInitialMargin": "0.00000000",
        "openOrderInitialMargin": "0.00000000",
        "crossWalletBalance": wallet,
        "crossUnPnl": "0.00000000",
        "availableBalance": wallet,
        "maxWithdrawAmount": wallet,
        "marginAvailable": True,
        "updateTime": venue.now_ms,
    }


def _balance(venue: "Venue", _: Params) -> Any:
    wallet = _totals(venue)["totalWalletBalance"]
    return [
        {
            "accountAlias": "SgsR",
            "asset": "USDT",
            "balance": wallet,
            "crossWalletBalance": wallet,
            "crossUnPnl": "0.00000000",
            "availableBalance": wallet,
            "maxWithdrawAmount": wallet,
            "marginAvailable": True,
            "updateTime": venue.now_ms,
        }
    ]


def _config(venue: "Venue") -> dict[str, Any]:
    return {
        "feeTier": 0,
        "canTrade": venue.can_trade,
        "canDeposit": True,
        "canWithdraw": False,
        "dualSidePosition": venue.account.hedge,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def _account_config(venue: "Venue", _: Params) -> Any:
    return _config(venue)


def _symbol_config(venue: "Venue", params: Params) -> Any:
    return [
        {
            "symbol": symbol,
            "marginType": "CROSSED",
            "isAutoAddMargin": False,
            "leverage": venue.account.leverage,
            "maxNotionalValue": "20000000",
        }
        for symbol in venue.account.markets
        if params.get("symbol", symbol) == symbol
    ]


def _position_mode(venue: "Venue", _: Params) -> Any:
    return {"dualSidePosition": venue.account.hedge}


def _change_mode(venue: "Venue", params: Params) -> Any:
    wanted = params.get("dualSidePosition", "").lower() == "true"
    if wanted == venue.account.hedge:
        raise Refused(-4059, "No need to change position side.")
    if venue.account.open_orders():
        raise Refused(-4067, "Position side cannot be changed if there exists open orders.")
    if any(held.amount for held in venue.account.holdings.values()):
        raise Refused(-4068, "Position side cannot be changed if there exists position.")
    venue.account.hedge = wanted
    return {"code": 200, "msg": "success"}


def _multi_assets(_: "Venue", __: Params) -> Any:
    return {"multiAssetsMargin": False}


def _leverage_bracket(venue: "Venue", params: Params) -> Any:
    brackets = [
        {
            "bracket": 1,
            "initialLeverage": 125,
            "notionalCap": 50000,
            "notionalFloor": 0,
            "maintMarginRatio": 0.004,
            "cum": 0.0,
        }
    ]
    rows = [{"symbol": symbol, "brackets": brackets} for symbol in venue.account.markets]
    symbol = params.get("symbol")
    return next(row for row in rows if row["symbol"] == symbol) if symbol else rows


def _commission_rate(venue: "Venue", params: Params) -> Any:
    return {
        "symbol": venue.account.market(params.get("symbol")).symbol,
        "makerCommissionRate": "0.000200",
        "takerCommissionRate": "0.000500",
        "rpiCommissionRate": "0.000050",
    }


def _order_limits(venue: "Venue", _: Params) -> Any:
    return [
        _limit("ORDERS", "SECOND", 10, venue.orders_limit_10s),
        _limit("ORDERS", "MINUTE", 1, 1200),
    ]


def _trading_status(venue: "Venue", _: Params) -> Any:
    return {"indicators": {}, "updateTime": venue.now_ms}


def _adl_quantile(venue: "Venue", _: Params) -> Any:
    return [
        {"symbol": key[0], "adlQuantile": {key[1]: 2}} for key in venue.account.shown_holdings()
    ]


def _portfolio_margin(venue: "Venue", params: Params) -> Any:
    if not venue.portfolio_margin:
        raise Refused(-4109, "This account is not a portfolio margin account.")
    return {
        "maxWithdrawAmountUSD": "0.00000000",
        "asset": params.get("asset", "USDT"),
        "maxWithdrawAmount": "0.00000000",
    }


def _key_rights(venue: "Venue", _: Params) -> Any:
    return {
        "ipRestrict": True,
        "createTime": 1698645219000,
        "enableReading": True,
        "enableWithdrawals": False,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": venue.can_trade,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": venue.portfolio_margin,
    }


# -- regular orders ----------------------------------------------------------------------------


def _listed_orders(venue: "Venue", params: Params) -> list[Order]:
    if venue.portfolio_margin:
        return []
    symbol = params.get("symbol")
    if symbol:
        venue.account.market(symbol)
    return [o for o in venue.account.shown_orders()[0] if not symbol or o.symbol == symbol]


def _open_orders(venue: "Venue", params: Params) -> Any:
    return [order.describe() for order in _listed_orders(venue, params)]


def _open_order(venue: "Venue", params: Params) -> Any:
    order = venue.account.find_order(params)
    if order is None or not order.is_open:
        raise Refused(-2013, "Order does not exist.")
    return order.describe()


def _order(venue: "Venue", params: Params) -> Any:
    order = venue.account.find_order(params)
    if order is None:
        raise Refused(-2013, "Order does not exist.")
    return order.describe()


def _all_orders(venue: "Venue", params: Params) -> Any:
    symbol = params.get("symbol")
    return [
        order.describe()
        for order in venue.account.orders.values()
        if not symbol or order.symbol == symbol
    ]


def _user_trades(venue: "Venue", params: Params) -> Any:
    symbol = venue.account.market(params.get("symbol")).symbol
    wanted = params.get("orderId")
    return [
        trade.describe()
        for trade in venue.account.trades
        if trade.order.symbol == symbol and wanted in {None, str(trade.order.order_id)}
    ]


def _income(_: "Venue", __: Params) -> Any:
    return []


def _place(venue: "Venue", params: Params) -> Any:
    _check_may_trade(venue)
    order = venue.account.place(params)
    if params.get("newOrderRespType", "ACK") == "RESULT":
        return order.acknowledge()
    return order.acknowledge() | {"status": "NEW", "executedQty": "0", "cumQty": "0"}


def _test(venue: "Venue", params: Params) -> Any:
    _check_may_trade(venue)
    order = venue.account.place(params, test=True)
    return order.acknowledge() | {"avgPrice": "0.00000", "cumQuote": "0"}


def _check_may_trade(venue: "Venue") -> None:
    if not venue.can_trade:
        raise Refused(-4088, "User can not place order currently.")


def _batch(params: Params) -> list[dict[str, Any]]:
    try:
        batch = json.loads(params.get("batchOrders", ""))
    except ValueError:
        batch = None
    if not isinstance(batch, list) or not all(isinstance(item, dict) for item in batch):
        raise Refused(
            -1102, "Mandatory parameter 'batchOrders' was not sent, was empty/null, or malformed."
        )
    return batch


def _place_batch(venue: "Venue", params: Params) -> Any:
    _check_may_trade(venue)
    batch = _batch(params)
    if not batch or len(batch) > _BATCH_MAX:
        raise Refused(-4082, "Invalid number of batch place orders.")
    answers: list[dict[str, Any]] = []
    for item in batch:
        texts = {name: str(value) for name, value in item.items()}
        try:
            answers.append(_place(venue, texts))
        except Refused as refusal:
            answers.append({"code": refusal.code, "msg": refusal.message})
    return answers


def _cancel(venue: "Venue", params: Params) -> Any:
    order = venue.account.find_order(params)
    if order is None or not order.is_open:
        raise Refused(-2011, "Unknown order sent.")
    venue.account.cancel(order)
    return order.acknowledge()


def _cancel_batch(venue: "Venue", params: Params) -> Any:
    by_lower = {name.lower(): value for name, value in params.items()}
    ids, key = by_lower.get("orderidlist"), "orderId"
    if not ids:
        ids, key = by_lower.get("origclientorderidlist"), "origClientOrderId"
    try:
        wanted = json.loads(ids or "")
    except ValueError:
        wanted = None
    if not isinstance(wanted, list) or not wanted:
        raise Refused(
            -1102, "Mandatory parameter 'orderIdList' was not sent, was empty/null, or malformed."
        )
    if len(wanted) > _CANCEL_BATCH_MAX:
        raise Refused(-4032, "Exceed maximum cancel order size.")
    answers: list[dict[str, Any]] = []
    for one in wanted:
        try:
            answers.append(_cancel(venue, {"symbol": params.get("symbol", ""), key: str(one)}))
        except Refused as refusal:
            answers.append({"code": refusal.code, "msg": refusal.message})
    return answers


def _cancel_all(venue: "Venue", params: Params) -> Any:
    symbol = venue.account.market(params.get("symbol")).symbol
    for order in venue.account.open_orders():
        if order.symbol == symbol:
            venue.account.cancel(order)
    return dict(_DONE)


def _countdown(venue: "Venue", params: Params) -> Any:
    symbol = venue.account.market(params.get("symbol")).symbol
    return {"symbol": symbol, "countdownTime": params.get("countdownTime", "0")}


def _set_leverage(venue: "Venue", params: Params) -> Any:
    symbol = venue.account.market(params.get("symbol")).symbol
    leverage = params.get("leverage", "")
    if not leverage.isdigit() or not 1 <= int(leverage) <= 125:  # noqa: PLR2004 - the venue's range
        raise Refused(-4028, "Leverage is not valid.")
    venue.account.leverage = int(leverage)
    return {"leverage": int(leverage), "maxNotionalValue": "20000000", "symbol": symbol}


# -- conditional orders ------------------------------------------------------------------------


def _find_algo(venue: "Venue", params: Params) -> AlgoOrder | None:
    algo_id, client_id = params.get("algoId"), params.get("clientAlgoId")
    if not algo_id and not client_id:
        raise Refused(
            -1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!"
        )
    for algo in reversed(venue.account.algo_orders.values()):
        if (algo_id and str(algo.algo_id) == algo_id) or (
            not algo_id and algo.client_algo_id == client_id
        ):
            return algo
    return None


def _open_algo_orders(venue: "Venue", params: Params) -> Any:
    if venue.portfolio_margin:
        return []
    symbol = params.get("symbol")
    if symbol:
        venue.account.market(symbol)
    return [
        algo.describe()
        for algo in venue.account.shown_orders()[1]
        if not symbol or algo.symbol == symbol
    ]


def _all_algo_orders(venue: "Venue", params: Params) -> Any:
    symbol = venue.account.market(params.get("symbol")).symbol
    return [a.describe() for a in venue.account.algo_orders.values() if a.symbol == symbol]


def _algo_order(venue: "Venue", params: Params) -> Any:
    algo = _find_algo(venue, params)
    if algo is None:
        raise Refused(-2013, "Order does not exist.")
    actual = {"actualType": "", "actualQty": "0.000"}
    return algo.describe() | actual


def _place_algo(venue: "Venue", params: Params) -> Any:
    _check_may_trade(venue)
    return venue.account.place_algo(params).describe()


def _cancel_algo(venue: "Venue", params: Params) -> Any:
    algo = _find_algo(venue, params)
    if algo is None or not algo.is_open:
        raise Refused(-2011, "Unknown order sent.")
    venue.account.cancel_algo(algo)
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "code": "200",
        "msg": "success",
    }


def _cancel_all_algo(venue: "Venue", params: Params) -> Any:
    symbol = venue.account.market(params.get("symbol")).symbol
    for algo in venue.account.open_algo_orders():
        if algo.symbol == symbol:
            venue.account.cancel_algo(algo)
    return dict(_DONE)


ROUTES: Final[dict[tuple[str, str], Route]] = {
    ("GET", "/fapi/v1/ping"): Route(serve=_ping, signed=False),
    ("GET", "/fapi/v1/time"): Route(serve=_time, signed=False),
    ("GET", "/fapi/v1/exchangeInfo"): Route(serve=_exchange_info, signed=False),
    ("GET", "/fapi/v1/premiumIndex"): Route(serve=_premium_index, weight_all=10, signed=False),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(
        serve=_book_ticker, weight=2, weight_all=5, signed=False
    ),
    ("GET", "/fapi/v1/ticker/price"): Route(serve=_price, weight_all=2, signed=False),
    ("GET", "/fapi/v2/ticker/price"): Route(serve=_price, weight_all=2, signed=False),
    ("GET", "/fapi/v3/positionRisk"): Route(serve=_positions, weight=5),
    ("GET", "/fapi/v2/positionRisk"): Route(serve=_positions_v2, weight=5),
    ("GET", "/fapi/v3/account"): Route(serve=_account, weight=5),
    ("GET", "/fapi/v2/account"): Route(serve=_account_v2, weight=5),
    ("GET", "/fapi/v3/balance"): Route(serve=_balance, weight=5),
    ("GET", "/fapi/v2/balance"): Route(serve=_balance, weight=5),
    ("GET", "/fapi/v1/accountConfig"): Route(serve=_account_config, weight=5),
    ("GET", "/fapi/v1/symbolConfig"): Route(serve=_symbol_config, weight=5),
    ("GET", "/fapi/v1/positionSide/dual"): Route(serve=_position_mode, weight=30),
    ("POST", "/fapi/v1/positionSide/dual"): Route(serve=_change_mode),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(serve=_multi_assets, weight=30),
    ("GET", "/fapi/v1/leverageBracket"): Route(serve=_leverage_bracket),
    ("GET", "/fapi/v1/commissionRate"): Route(serve=_commission_rate, weight=20),
    ("GET", "/fapi/v1/rateLimit/order"): Route(serve=_order_limits),
    ("GET", "/fapi/v1/apiTradingStatus"): Route(serve=_trading_status, weight_all=10),
    ("GET", "/fapi/v1/adlQuantile"): Route(serve=_adl_quantile, weight=5),
    ("GET", "/fapi/v1/pmAccountInfo"): Route(serve=_portfolio_margin, weight=5),
    ("GET", "/sapi/v1/account/apiRestrictions"): Route(serve=_key_rights),
    ("GET", "/fapi/v1/openOrders"): Route(serve=_open_orders, weight_all=40),
    ("GET", "/fapi/v1/openOrder"): Route(serve=_open_order),
    ("GET", "/fapi/v1/order"): Route(serve=_order),
    ("GET", "/fapi/v1/allOrders"): Route(serve=_all_orders, weight=5),
    ("GET", "/fapi/v1/userTrades"): Route(serve=_user_trades, weight=5),
    ("GET", "/fapi/v1/income"): Route(serve=_income, weight=30),
    ("POST", "/fapi/v1/order"): Route(serve=_place, weight=0, orders=True),
    ("POST", "/fapi/v1/order/test"): Route(serve=_test),
    ("POST", "/fapi/v1/batchOrders"): Route(serve=_place_batch, weight=5, orders=True),
    ("DELETE", "/fapi/v1/order"): Route(serve=_cancel),
    ("DELETE", "/fapi/v1/batchOrders"): Route(serve=_cancel_batch),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(serve=_cancel_all),
    ("POST", "/fapi/v1/countdownCancelAll"): Route(serve=_countdown, weight=10),
    ("POST", "/fapi/v1/leverage"): Route(serve=_set_leverage),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(serve=_open_algo_orders, weight_all=40),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(serve=_all_algo_orders, weight=5),
    ("GET", "/fapi/v1/algoOrder"): Route(serve=_algo_order),
    ("POST", "/fapi/v1/algoOrder"): Route(serve=_place_algo, weight=0, orders=True),
    ("DELETE", "/fapi/v1/algoOrder"): Route(serve=_cancel_algo),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(serve=_cancel_all_algo),
}
"""The endpoints by method and path."""
