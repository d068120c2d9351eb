"""Every endpoint of the simulated venue: one table of routes, and what answers them.

Weights and shapes: Binance USDS-M and COIN-M endpoint pages, read 2026-11-23.

Trades: at most 7 days between start and end, the last 7 days when neither is sent, at most 1000
rows, three months of history ("Account Trade List" and change log, read 2026-11-23). Assumed: an
`orderId` alone is looked for within the last 7 days only, and the codes of refusals.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.states import Product
from liqctl.sim.checks import Params, place, place_algo
from liqctl.sim.market import Market
from liqctl.sim.orders import AlgoOrder, Holding, Order, Refused, malformed, neither, refuse_if
from liqctl.sim.venue import Call, Json, Route

_ZERO: Final = Decimal(0)
_NOTHING: Final = "0.00000000"
_DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}
_MAX_NOTIONAL: Final = "20000000"
_MAX_CONTRACTS: Final = "1000000"
_BATCH_MAX: Final = 5
_CANCEL_BATCH_MAX: Final = 10
_LEVERAGE_MAX: Final = 125
_DAY_MS: Final = 86_400_000
_SPAN_MAX_MS: Final = 7 * _DAY_MS
_HISTORY_MS: Final = 90 * _DAY_MS
_TRADES_USUAL: Final = 500
_TRADES_MAX: Final = 1000

# -- what everybody may know -------------------------------------------------------------------


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def order_limits(call: Call) -> list[dict[str, Any]]:
    return [
        _limit("ORDERS", "SECOND", 10, call.venue.orders_limit_10s),
        _limit("ORDERS", "MINUTE", 1, call.venue.orders_limit_1m),
    ]


def exchange_info(call: Call) -> Json:
    markets = call.account.markets_of(call.route.product).values()
    in_ten_seconds, in_a_minute = order_limits(call)
    answer: dict[str, Any] = {
        "timezone": "UTC",
        "serverTime": call.venue.now_ms - _DAY_MS,
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, call.venue.weight_limit),
            in_a_minute,
            in_ten_seconds,
        ],
        "exchangeFilters": [],
        "symbols": [market.describe() for market in markets],
    }
    if call.route.product is Product.COINM:
        return answer
    assets = [
        {"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"}
        for asset in sorted({market.quote_asset for market in markets})
    ]
    return answer | {"futuresType": "U_MARGINED", "assets": assets}


def _of_each(row: Callable[[Call, Market], dict[str, Any]]) -> Callable[[Call], Json]:
    """Return what answers the row of the symbol that was given, or those of all.

    COIN-M answers a list for one symbol too.
    """

    def serve(call: Call) -> Json:
        rows = [row(call, market) for market in call.markets.values()]
        is_one = call.symbol and call.route.product is Product.USDM
        return rows[0] if is_one else rows

    return serve


def premium_index(call: Call, market: Market) -> dict[str, Any]:
    mark = plain(market.mark_price)
    row = {
        "symbol": market.symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": "0.00010000",
        "interestRate": "0.00010000",
        "nextFundingTime": call.venue.now_ms + 3_600_000,
        "time": call.venue.now_ms,
    }
    if market.product is Product.COINM:
        row["pair"] = market.pair
        if market.contract_type != "PERPETUAL":
            row |= {"lastFundingRate": "", "interestRate": "", "nextFundingTime": 0}
    return row


def book_ticker(call: Call, market: Market) -> dict[str, Any]:
    depth = plain(market.depth) if market.depth is not None else "1000"
    return {
        "symbol": market.symbol,
        "bidPrice": plain(market.best("SELL")),
        "bidQty": depth,
        "askPrice": plain(market.best("BUY")),
        "askQty": depth,
        "time": call.venue.now_ms,
    }


def price(call: Call, market: Market) -> dict[str, Any]:
    mark = plain(market.mark_price)
    return {"symbol": market.symbol, "price": mark, "time": call.venue.now_ms}


# -- the account -------------------------------------------------------------------------------

_ACCOUNT_ROW: Final = (
    "symbol positionSide positionAmt isolatedMargin notional isolatedWallet initialMargin "
    "maintMargin updateTime unrealizedProfit"
)
_ACCOUNT_ROW_V2: Final = (
    "symbol positionSide positionAmt entryPrice unrealizedProfit leverage isolated initialMargin "
    "maintMargin maxNotional notional updateTime"
)
_POSITION_ROWS: Final = {
    "fapi": "symbol positionSide positionAmt entryPrice breakEvenPrice markPrice unRealizedProfit "
    "liquidationPrice isolatedMargin notional isolatedWallet updateTime leverage maxNotionalValue "
    "marginType isAutoAddMargin",
    "dapi": "symbol positionAmt entryPrice breakEvenPrice markPrice unRealizedProfit "
    "liquidationPrice leverage maxQty marginType isolatedMargin isAutoAddMargin positionSide "
    "notionalValue updateTime",
}
"""What a row of positionRisk tells where it is not fapi's v3."""
_ACCOUNT_ROW_COINM: Final = (
    "symbol positionAmt initialMargin maintMargin unrealizedProfit positionInitialMargin "
    "openOrderInitialMargin leverage isolated positionSide entryPrice breakEvenPrice maxQty "
    "notionalValue updateTime"
)
_TOTALS: Final = (
    "totalInitialMargin totalMaintMargin totalWalletBalance totalUnrealizedProfit "
    "totalMarginBalance totalPositionInitialMargin totalOpenOrderInitialMargin "
    "totalCrossWalletBalance totalCrossUnPnl availableBalance maxWithdrawAmount"
)
_ASSET: Final = (
    "walletBalance unrealizedProfit marginBalance maintMargin initialMargin positionInitialMargin "
    "openOrderInitialMargin crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount"
)
_BALANCE: Final = "balance crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount"
_BALANCE_COINM: Final = "balance withdrawAvailable crossWalletBalance crossUnPnl availableBalance"
_WALLETS: Final = ("balance", "withdrawamount", "withdrawavailable")


def _money(call: Call, names: str, amount: Decimal) -> dict[str, str]:
    """Return amounts of money by name: balances are the wallet's, everything else is zero."""
    wallet = _NOTHING if call.venue.portfolio_margin else f"{amount:.8f}"
    return {name: wallet if name.lower().endswith(_WALLETS) else _NOTHING for name in names.split()}


def _wallets(call: Call) -> dict[str, Decimal]:
    """Return the balances that the product's margin is taken from, by asset."""
    account = call.account
    if call.route.product is Product.USDM:
        return {"USDT": account.balance}
    coins = account.markets_of(Product.COINM).values()
    return {market.settle_asset: account.wallet(market) for market in coins}


def _pick(row: Mapping[str, Any], names: str) -> dict[str, Any]:
    return {name: row[name] for name in names.split()}


def positions(call: Call) -> list[dict[str, Any]]:
    """Return the legs that a v3 reading lists: with a position or an open order."""
    if call.venue.portfolio_margin:
        return []
    markets, moment_ms = call.markets, call.look()
    holdings = call.account.holdings.as_of(moment_ms)
    shown = {leg: held for leg, held in holdings.items() if held.amount}
    for order in _resting(call, moment_ms):
        shown.setdefault(order.leg, _empty(*order.leg))
    return [_position(call, held) for held in shown.values() if held.symbol in markets]


def positions_v2(call: Call) -> list[dict[str, Any]]:
    """Return the legs that a v2 reading lists: all there could be."""
    names = _POSITION_ROWS["fapi"]
    return [_pick(row, names) for row in _all_legs(call, call.markets)]


def positions_coinm(call: Call) -> list[dict[str, Any]]:
    """Return all legs there could be; without a pair or coin, of contracts that trade only."""
    coin, pair = call.params.get("marginAsset"), call.params.get("pair")
    markets = {
        symbol: market
        for symbol, market in call.account.markets_of(Product.COINM).items()
        if (not coin or market.settle_asset == coin) and (not pair or market.pair == pair)
        if coin or pair or market.status == "TRADING"
    }
    names = _POSITION_ROWS[call.route.dialect]
    return [_pick(row, names) for row in _all_legs(call, markets)]


def _all_legs(call: Call, markets: Iterable[str]) -> list[dict[str, Any]]:
    account = call.account
    moment_ms = call.look()
    if call.venue.portfolio_margin:
        return []
    holdings = account.holdings.as_of(moment_ms)
    sides = ("BOTH", "LONG", "SHORT") if account.hedge else ("BOTH",)
    legs = [(symbol, side) for symbol in markets for side in sides]
    rows = [_position(call, holdings.get(leg) or _empty(*leg)) for leg in legs]
    for row in rows:
        row |= {
            "notionalValue": row["notional"],
            "leverage": str(account.leverage),
            "maxNotionalValue": _MAX_NOTIONAL,
            "maxQty": _MAX_CONTRACTS,
            "marginType": "cross",
            "isAutoAddMargin": "false",
        }
    return rows


def _empty(symbol: str, position_side: str) -> Holding:
    return Holding(symbol=symbol, position_side=position_side, amount=_ZERO, entry_price=_ZERO)


def _position(call: Call, held: Holding) -> dict[str, Any]:
    market = call.account.markets[held.symbol]
    notional = market.value(held.amount, market.mark_price)
    entry = held.entry_price if held.amount else _ZERO
    profit = market.profit(held.amount, entry, market.mark_price) if held.amount else _ZERO
    margin = abs(notional) / call.account.leverage
    return {
        "symbol": held.symbol,
        "positionSide": held.position_side,
        "positionAmt": plain(held.amount),
        "entryPrice": plain(entry),
        "breakEvenPrice": plain(entry),
        "markPrice": f"{market.mark_price:.8f}",
        "unRealizedProfit": f"{profit:.8f}",
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": f"{notional:.8f}",
        "marginAsset": market.settle_asset,
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


def account(call: Call) -> Json:
    totals = _money(call, _TOTALS, call.account.balance)
    return totals | _with_positions(call, positions(call), _ACCOUNT_ROW)


def account_v2(call: Call) -> Json:
    rest = _with_positions(call, _all_legs(call, call.markets), _ACCOUNT_ROW_V2)
    totals = _money(call, _TOTALS, call.account.balance)
    return config(call) | totals | {"feeBurn": True} | rest


def account_coinm(call: Call) -> Json:
    """Return coins and all legs there could be, of contracts that do not trade too."""
    legs = _all_legs(call, call.account.markets_of(Product.COINM))
    rights = _pick(config(call), "feeTier canTrade canDeposit canWithdraw updateTime")
    return rights | _with_positions(call, legs, _ACCOUNT_ROW_COINM)


def _with_positions(call: Call, rows: list[dict[str, Any]], names: str) -> dict[str, Any]:
    """Return the assets, and of each position what the account's version tells."""
    assets = [
        {"asset": asset, **_money(call, _ASSET, amount), **_margin_asset(call)}
        for asset, amount in _wallets(call).items()
    ]
    for row in rows:
        row |= {
            "unrealizedProfit": row["unRealizedProfit"],
            "isolated": False,
            "maxNotional": _MAX_NOTIONAL,
        }
    return {"assets": assets, "positions": [_pick(row, names) for row in rows]}


def _margin_asset(call: Call) -> dict[str, Any]:
    is_usdm = call.route.product is Product.USDM
    return ({"marginAvailable": True} if is_usdm else {}) | {"updateTime": call.venue.now_ms}


def balance(call: Call) -> Json:
    names = _BALANCE if call.route.product is Product.USDM else _BALANCE_COINM
    return [
        {
            "accountAlias": "SgsR",
            "asset": asset,
            **_money(call, names, amount),
            **_margin_asset(call),
        }
        for asset, amount in _wallets(call).items()
    ]


def config(call: Call) -> dict[str, Any]:
    return {
        "feeTier": 0,
        "canTrade": call.venue.can_trade,
        "canDeposit": True,
        "canWithdraw": False,
        "dualSidePosition": call.account.hedge,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def symbol_config(call: Call) -> Json:
    return [
        {
            "symbol": symbol,
            "marginType": "CROSSED",
            "isAutoAddMargin": False,
            "leverage": call.account.leverage,
            "maxNotionalValue": _MAX_NOTIONAL,
        }
        for symbol in call.markets
    ]


def trading_status(call: Call) -> Json:
    return {"indicators": {}, "updateTime": call.venue.now_ms}


def adl_quantile(call: Call) -> Json:
    markets = call.markets
    return [
        {"symbol": symbol, "adlQuantile": {side: 2}}
        for symbol, side in call.account.holdings
        if symbol in markets
    ]


def position_mode(call: Call) -> Json:
    return {"dualSidePosition": call.account.hedge}


def change_mode(call: Call) -> Json:
    account = call.account
    wanted = call.params.get("dualSidePosition", "").lower() == "true"
    refuse_if(
        (wanted == account.hedge, -4059),
        (account.open_orders(), -4067),
        (any(held.amount for held in account.holdings.values()), -4068),
    )
    account.hedge = wanted
    return {"code": 200, "msg": "success"}


def leverage_bracket(call: Call) -> Json:
    # In dollars of notional, or for COIN-M in coins.
    unit = "notional" if call.route.product is Product.USDM else "qty"
    bracket = {
        "bracket": 1,
        "initialLeverage": _LEVERAGE_MAX,
        f"{unit}Cap": 50000,
        f"{unit}Floor": 0,
        "maintMarginRatio": 0.004,
        "cum": 0.0,
    }
    rows = [{"symbol": symbol, "brackets": [bracket]} for symbol in call.markets]
    is_one = call.symbol and call.route.product is Product.USDM
    return rows[0] if is_one else rows


def set_leverage(call: Call) -> Json:
    symbol, leverage = call.market.symbol, call.params.get("leverage", "")
    if not leverage.isdigit() or not 1 <= int(leverage) <= _LEVERAGE_MAX:
        raise Refused(-4028)
    call.account.leverage = int(leverage)
    return {"leverage": int(leverage), "maxNotionalValue": _MAX_NOTIONAL, "symbol": symbol}


def commission_rate(call: Call) -> Json:
    return {
        "symbol": call.market.symbol,
        "makerCommissionRate": "0.000200",
        "takerCommissionRate": "0.000500",
        "rpiCommissionRate": "0.000050",
    }


def portfolio_margin(call: Call) -> Json:
    refuse_if((not call.venue.portfolio_margin, -4109))
    return {
        "maxWithdrawAmountUSD": _NOTHING,
        "asset": call.params.get("asset", "USDT"),
        "maxWithdrawAmount": _NOTHING,
    }


def key_rights(call: Call) -> Json:
    return {
        "ipRestrict": call.venue.ip_restricted,
        "createTime": 1698645219000,
        "enableReading": True,
        "enableWithdrawals": call.venue.can_withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": call.venue.can_trade,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": False,
        "enablePortfolioMarginTrading": call.venue.portfolio_margin,
    }


def user_trades(call: Call) -> Json:
    # COIN-M takes a pair instead of the symbol.
    now_ms = call.venue.now_ms
    is_pair = call.route.product is Product.COINM and not call.params.get("symbol")
    if not is_pair or not call.params.get("pair"):
        call.account.market(call.params.get("symbol"))
    markets = call.markets
    first_id, order_id, limit = (call.number(name) for name in ("fromId", "orderId", "limit"))
    if limit is not None and not 1 <= limit <= _TRADES_MAX:
        raise Refused(-1130, "Data sent for parameter 'limit' is not valid.")
    start_ms, end_ms = call.number("startTime"), call.number("endTime")
    refuse_if((first_id is not None and not (start_ms is None and end_ms is None), -1128))
    refuse_if((is_pair and not (first_id is None and order_id is None), -1128))
    is_from_the_start = first_id is not None or start_ms is not None
    if end_ms is None:
        end_ms = now_ms if start_ms is None else start_ms + _SPAN_MAX_MS
    if start_ms is None:
        start_ms = end_ms - _SPAN_MAX_MS
    refuse_if((start_ms > end_ms, -1023), (end_ms - start_ms > _SPAN_MAX_MS, -4165))
    found = [
        trade.describe()
        for trade in call.account.trades
        if trade.order.symbol in markets
        and order_id in {None, trade.order.order_id}
        and now_ms - trade.time_ms <= _HISTORY_MS
        and (
            trade.trade_id >= first_id
            if first_id is not None
            else start_ms <= trade.time_ms <= end_ms
        )
    ]
    limit = limit or _TRADES_USUAL
    return found[:limit] if is_from_the_start else found[-limit:]


# -- regular orders ----------------------------------------------------------------------------


def open_orders(call: Call) -> Json:
    if call.venue.portfolio_margin:
        return []
    markets, orders = call.markets, _resting(call, call.look())
    return [_read(call, order) for order in orders if order.symbol in markets]


_UNWRITTEN: Final = {"dapi": {"goodTillDate"}}
_UNREAD: Final = {"dapi": {"cumQty"}}
"""What an order's row lacks, as the reply to a write and in a reading, where it is not fapi's."""


def _written(call: Call, order: Order) -> dict[str, Any]:
    """Return the reply to a write."""
    row = order.acknowledge()
    if call.route.product is Product.COINM:
        row["pair"] = order.pair
    lacks = _UNWRITTEN.get(call.route.dialect, set())
    return {name: value for name, value in row.items() if name not in lacks}


def _read(call: Call, order: Order) -> dict[str, Any]:
    """Return the row of a query."""
    lacks = _UNREAD.get(call.route.dialect, set())
    return {name: value for name, value in order.describe().items() if name not in lacks}


def _resting(call: Call, moment_ms: int) -> list[Order]:
    """Return the regular book as lists showed it then."""
    past = call.account.orders.as_of(moment_ms).values()
    return [order for order in past if order.is_open and not order.hidden]


def all_orders(call: Call) -> Json:
    markets, orders = call.markets, call.account.orders.values()
    return [_read(call, order) for order in orders if order.symbol in markets]


def order(call: Call) -> Json:
    return _read(call, _find_known(call))


def open_order(call: Call) -> Json:
    order = _find_known(call)
    refuse_if((not order.is_open, -2013))
    return _read(call, order)


def _find_known(call: Call) -> Order:
    order = call.account.find_order(call.params)
    if order is None or call.venue.now_ms < order.known_from_ms:
        raise Refused(-2013)
    return order


def new_order(call: Call) -> dict[str, Any]:
    refuse_if((not call.venue.can_trade, -4088))
    answer = _written(call, place(call.account, call.params))
    if call.params.get("newOrderRespType", "ACK") == "RESULT":
        return answer
    return answer | {"status": "NEW", "executedQty": "0", "cumQty": "0"}


def test_order(call: Call) -> Json:
    refuse_if((not call.venue.can_trade, -4088))
    order = place(call.account, call.params, test=True)
    return order.acknowledge() | {"avgPrice": "0.00000", "cumQuote": "0"}


def place_batch(call: Call) -> Json:
    refuse_if((not call.venue.can_trade, -4088))
    orders = [{name: str(value) for name, value in item.items()} for item in call.batch]
    refuse_if((not 1 <= len(orders) <= _BATCH_MAX, -4082))
    return _each(call, new_order, orders)


def _each(call: Call, act: Callable[[Call], dict[str, Any]], requests: Sequence[Params]) -> Json:
    """Return what becomes of each part of a batch, one by one; a refusal is an answer too."""
    answers = []
    for params in requests:
        try:
            answers.append(act(replace(call, params=params)))
        except Refused as refusal:
            answers.append(call.venue.error(call.route.path, refusal.code, refusal.message))
    return answers


def cancel(call: Call) -> dict[str, Any]:
    order = call.account.find_order(call.params)
    if order is None or not order.is_open:
        raise Refused(-2011)
    call.account.cancel(order)
    return _written(call, order)


def cancel_batch(call: Call) -> Json:
    # ccxt writes these two names in small letters, and the venue takes it.
    by_lower = {name.lower(): value for name, value in call.params.items()}
    ids, key = by_lower.get("orderidlist"), "orderId"
    if not ids:
        ids, key = by_lower.get("origclientorderidlist"), "origClientOrderId"
    try:
        wanted = json.loads(ids or "")
    except ValueError:
        wanted = None
    if not isinstance(wanted, list) or not wanted:
        raise malformed("orderIdList")
    refuse_if((len(wanted) > _CANCEL_BATCH_MAX, -4032))
    symbol = call.params.get("symbol", "")
    return _each(call, cancel, [{"symbol": symbol, key: str(one)} for one in wanted])


def cancel_all(call: Call) -> Json:
    symbol = call.market.symbol
    for order in call.account.open_orders():
        if order.symbol == symbol:
            call.account.cancel(order)
    return dict(_DONE)


def countdown(call: Call) -> Json:
    return {
        "symbol": call.market.symbol,
        "countdownTime": call.params.get("countdownTime", "0"),
    }


# -- conditional orders, a book of their own ---------------------------------------------------


def _find_algo(call: Call) -> AlgoOrder | None:
    algo_id, client_id = call.params.get("algoId"), call.params.get("clientAlgoId")
    if not algo_id and not client_id:
        raise neither("algoId", "clientAlgoId")
    for algo in reversed(call.account.algo_orders.values()):
        is_named = str(algo.algo_id) == algo_id
        if is_named or (not algo_id and algo.client_algo_id == client_id):
            is_there = call.account.market(algo.symbol).product is call.route.product
            return algo if is_there else None
    return None


def open_algo_orders(call: Call) -> Json:
    if call.venue.portfolio_margin:
        return []
    markets, past = call.markets, call.account.algo_orders.as_of(call.look())
    return [algo.describe() for algo in past.values() if algo.is_open and algo.symbol in markets]


def all_algo_orders(call: Call) -> Json:
    symbol, algos = call.market.symbol, call.account.algo_orders.values()
    return [algo.describe() for algo in algos if algo.symbol == symbol]


def algo_order(call: Call) -> Json:
    algo = _find_algo(call)
    if algo is None:
        raise Refused(-2013)
    return algo.describe() | {"actualType": "", "actualQty": "0.000"}


def new_algo_order(call: Call) -> Json:
    refuse_if((not call.venue.can_trade, -4088))
    return place_algo(call.account, call.params).describe()


def cancel_algo(call: Call) -> Json:
    algo = _find_algo(call)
    if algo is None or not algo.is_open:
        raise Refused(-2011)
    call.account.cancel_algo(algo)
    return {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_algo_id,
        "code": "200",
        "msg": "success",
    }


def cancel_all_algo(call: Call) -> Json:
    symbol = call.market.symbol
    for algo in call.account.open_algo_orders():
        if algo.symbol == symbol:
            call.account.cancel_algo(algo)
    return dict(_DONE)


# -- the table ---------------------------------------------------------------------------------

_TABLE: Final = (  # method, path, what answers it, weight, weight without a symbol
    Route("GET", "/fapi/v1/ping", lambda _: {}, signed=False),
    Route("GET", "/fapi/v1/time", lambda call: {"serverTime": call.venue.now_ms}, signed=False),
    Route("GET", "/fapi/v1/exchangeInfo", exchange_info, signed=False),
    Route("GET", "/fapi/v1/premiumIndex", _of_each(premium_index), weight_all=10, signed=False),
    Route("GET", "/fapi/v1/ticker/bookTicker", _of_each(book_ticker), 2, 5, signed=False),
    Route("GET", "/fapi/v1/ticker/price", _of_each(price), weight_all=2, signed=False),
    Route("GET", "/fapi/v2/ticker/price", _of_each(price), weight_all=2, signed=False),
    Route("GET", "/fapi/v3/positionRisk", positions, 5, source="positions"),
    Route("GET", "/fapi/v2/positionRisk", positions_v2, 5, source="positions"),
    Route("GET", "/fapi/v3/account", account, 5, source="account"),
    Route("GET", "/fapi/v2/account", account_v2, 5, source="account"),
    Route("GET", "/fapi/v3/balance", balance, 5),
    Route("GET", "/fapi/v2/balance", balance, 5),
    Route("GET", "/fapi/v1/accountConfig", config, 5),
    Route("GET", "/fapi/v1/symbolConfig", symbol_config, 5),
    Route("GET", "/fapi/v1/positionSide/dual", position_mode, 30),
    Route("POST", "/fapi/v1/positionSide/dual", change_mode),
    Route("GET", "/fapi/v1/multiAssetsMargin", lambda _: {"multiAssetsMargin": False}, 30),
    Route("GET", "/fapi/v1/leverageBracket", leverage_bracket),
    Route("POST", "/fapi/v1/leverage", set_leverage),
    Route("GET", "/fapi/v1/commissionRate", commission_rate, 20),
    Route("GET", "/fapi/v1/rateLimit/order", order_limits),
    Route("GET", "/fapi/v1/apiTradingStatus", trading_status, weight_all=10),
    Route("GET", "/fapi/v1/adlQuantile", adl_quantile, 5),
    Route("GET", "/fapi/v1/pmAccountInfo", portfolio_margin, 5),
    Route("GET", "/sapi/v1/account/apiRestrictions", key_rights),
    Route("GET", "/fapi/v1/userTrades", user_trades, 5),
    Route("GET", "/fapi/v1/income", lambda _: [], 30),
    Route("GET", "/fapi/v1/openOrders", open_orders, weight_all=40, source="orders"),
    Route("GET", "/fapi/v1/allOrders", all_orders, 5),
    Route("GET", "/fapi/v1/openOrder", open_order),
    Route("GET", "/fapi/v1/order", order),
    Route("POST", "/fapi/v1/order", new_order, 0, orders=True),
    Route("POST", "/fapi/v1/order/test", test_order),
    Route("POST", "/fapi/v1/batchOrders", place_batch, 5, orders=True),
    Route("DELETE", "/fapi/v1/order", cancel),
    Route("DELETE", "/fapi/v1/batchOrders", cancel_batch),
    Route("DELETE", "/fapi/v1/allOpenOrders", cancel_all),
    Route("POST", "/fapi/v1/countdownCancelAll", countdown, 10),
    Route("GET", "/fapi/v1/openAlgoOrders", open_algo_orders, weight_all=40, source="algo"),
    Route("GET", "/fapi/v1/allAlgoOrders", all_algo_orders, 5),
    Route("GET", "/fapi/v1/algoOrder", algo_order),
    Route("POST", "/fapi/v1/algoOrder", new_algo_order, 0, orders=True),
    Route("DELETE", "/fapi/v1/algoOrder", cancel_algo),
    Route("DELETE", "/fapi/v1/algoOpenOrders", cancel_all_algo),
    # COIN-M.
    Route("GET", "/dapi/v1/ping", lambda _: {}, signed=False),
    Route("GET", "/dapi/v1/time", lambda call: {"serverTime": call.venue.now_ms}, signed=False),
    Route("GET", "/dapi/v1/exchangeInfo", exchange_info, signed=False),
    Route("GET", "/dapi/v1/premiumIndex", _of_each(premium_index), 10, signed=False),
    Route("GET", "/dapi/v1/ticker/bookTicker", _of_each(book_ticker), 2, 5, signed=False),
    Route("GET", "/dapi/v1/ticker/price", _of_each(price), weight_all=2, signed=False),
    Route("GET", "/dapi/v1/positionRisk", positions_coinm, source="positions"),
    Route("GET", "/dapi/v1/account", account_coinm, 5, source="account"),
    Route("GET", "/dapi/v1/balance", balance),
    Route("GET", "/dapi/v1/positionSide/dual", position_mode, 30),
    Route("POST", "/dapi/v1/positionSide/dual", change_mode),
    Route("GET", "/dapi/v2/leverageBracket", leverage_bracket, weight_all=2),
    Route("POST", "/dapi/v1/leverage", set_leverage),
    Route("GET", "/dapi/v1/commissionRate", commission_rate, 20),
    Route("GET", "/dapi/v1/adlQuantile", adl_quantile, 5),
    Route("GET", "/dapi/v1/userTrades", user_trades, 5),
    Route("GET", "/dapi/v1/income", lambda _: [], 20),
    Route("GET", "/dapi/v1/openOrders", open_orders, weight_all=40, source="orders"),
    Route("GET", "/dapi/v1/allOrders", all_orders, 5),
    Route("GET", "/dapi/v1/openOrder", open_order),
    Route("GET", "/dapi/v1/order", order),
    Route("POST", "/dapi/v1/order", new_order, 0, orders=True),
    Route("POST", "/dapi/v1/batchOrders", place_batch, 5, orders=True),
    Route("DELETE", "/dapi/v1/order", cancel),
    Route("DELETE", "/dapi/v1/batchOrders", cancel_batch),
    Route("DELETE", "/dapi/v1/allOpenOrders", cancel_all),
    Route("POST", "/dapi/v1/countdownCancelAll", countdown, 10),
    Route("GET", "/dapi/v1/openAlgoOrders", open_algo_orders, weight_all=40, source="algo"),
    Route("GET", "/dapi/v1/allAlgoOrders", all_algo_orders, 5),
    Route("GET", "/dapi/v1/algoOrder", algo_order),
    Route("POST", "/dapi/v1/algoOrder", new_algo_order, 0, orders=True),
    Route("DELETE", "/dapi/v1/algoOrder", cancel_algo),
    Route("DELETE", "/dapi/v1/algoOpenOrders", cancel_all_algo),
)

ROUTES: Final = {(route.method, route.path): route for route in _TABLE}
"""The endpoints by method and path."""
