"""What answers each endpoint of the simulated venue; which one is where is in `routes`.

Shapes: Binance USDS-M, COIN-M and portfolio margin endpoint pages, read 2026-11-23.

Trades: at most 7 days between start and end, the last 7 days when neither is sent, at most 1000
rows, three months of history ("Account Trade List" and change log, read 2026-11-23). Assumed: an
`orderId` alone is looked for within the last 7 days only, and the codes of refusals.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from liqctl.kernel.amounts import plain
from liqctl.kernel.states import Product
from liqctl.sim.checks import Params, place, place_algo
from liqctl.sim.market import Market, Purse, leg_of, portfolio_of, purses_of, ratio_of
from liqctl.sim.orders import (
    AlgoOrder,
    Holding,
    Order,
    Refused,
    malformed,
    neither,
    pick,
    refuse_if,
    tell,
)
from liqctl.sim.venue import Call, Json

_ZERO: Final = Decimal(0)
_NOTHING: Final = "0.00000000"
_DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}
_MAX_NOTIONAL: Final = "20000000"
_MAX_CONTRACTS: Final = "1000000"
_BATCH_MAX: Final = 5
_CANCEL_BATCH_MAX: Final = 10
_LEVERAGE_MAX: Final = 125
_CLIENT_ID_MAX: Final = {"um": 32, "cm": 32}
"""Where it is less than everywhere else."""
_DAY_MS: Final = 86_400_000
_SPAN_MAX_MS: Final = 7 * _DAY_MS
_HISTORY_MS: Final = 90 * _DAY_MS
_TRADES_USUAL: Final = 500
_TRADES_MAX: Final = 1000
_INCOME_USUAL: Final = 100
_INCOME_MAX: Final = 1000

# -- what everybody may know -------------------------------------------------------------------


def ping(_: Call) -> Json:
    return {}


def time(call: Call) -> Json:
    return {"serverTime": call.venue.now_ms}


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def order_limits(call: Call) -> list[dict[str, Any]]:
    return [_limit("ORDERS", "SECOND", 10, call.venue.orders_limit_10s), *order_limit(call)]


def order_limit(call: Call) -> list[dict[str, Any]]:
    return [_limit("ORDERS", "MINUTE", 1, call.venue.orders_limit_1m)]


def exchange_info(call: Call) -> Json:
    markets = call.account.markets_of(call.route.product).values()
    in_ten_seconds, in_a_minute = order_limits(call)
    answer: dict[str, Any] = {
        "timezone": "UTC",
        "serverTime": call.venue.now_ms - _DAY_MS,
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, call.venue.weights.limit),
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


@_of_each
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


@_of_each
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


@_of_each
def price(call: Call, market: Market) -> dict[str, Any]:
    mark = plain(market.mark_price)
    return {"symbol": market.symbol, "price": mark, "time": call.venue.now_ms}


# -- the account -------------------------------------------------------------------------------

_OF_PORTFOLIO: Final = (
    "symbol positionAmt initialMargin maintMargin unrealizedProfit positionInitialMargin "
    "openOrderInitialMargin leverage positionSide entryPrice updateTime"
)
_OF_LEGS: Final = {
    "/fapi/v3/positionRisk": "symbol positionSide positionAmt entryPrice breakEvenPrice markPrice "
    "unRealizedProfit liquidationPrice isolatedMargin notional marginAsset isolatedWallet "
    "initialMargin maintMargin positionInitialMargin openOrderInitialMargin adl bidNotional "
    "askNotional updateTime",
    "/fapi/v2/positionRisk": "symbol positionSide positionAmt entryPrice breakEvenPrice markPrice "
    "unRealizedProfit liquidationPrice isolatedMargin notional isolatedWallet updateTime leverage "
    "maxNotionalValue marginType isAutoAddMargin",
    "/dapi/v1/positionRisk": "symbol positionAmt entryPrice breakEvenPrice markPrice "
    "unRealizedProfit liquidationPrice leverage maxQty marginType isolatedMargin isAutoAddMargin "
    "positionSide notionalValue updateTime",
    "/papi/v1/um/positionRisk": "symbol positionSide positionAmt entryPrice breakEvenPrice "
    "markPrice unRealizedProfit liquidationPrice leverage maxNotionalValue notional updateTime",
    "/papi/v1/cm/positionRisk": "symbol positionSide positionAmt entryPrice breakEvenPrice "
    "markPrice unRealizedProfit liquidationPrice leverage maxQty notionalValue updateTime",
    "/fapi/v3/account": "symbol positionSide positionAmt isolatedMargin notional isolatedWallet "
    "initialMargin maintMargin updateTime unrealizedProfit",
    "/fapi/v2/account": "symbol positionSide positionAmt entryPrice unrealizedProfit leverage "
    "isolated initialMargin maintMargin maxNotional notional updateTime",
    "/dapi/v1/account": f"{_OF_PORTFOLIO} isolated breakEvenPrice maxQty notionalValue",
    "/papi/v1/um/account": f"{_OF_PORTFOLIO} maxNotional bidNotional askNotional",
    "/papi/v1/cm/account": f"{_OF_PORTFOLIO} maxQty",
    "/papi/v2/um/account": "symbol initialMargin maintMargin unrealizedProfit positionSide "
    "positionAmt updateTime notional",
}
"""What each endpoint tells of a leg."""

_TOTALS: Final = (
    "totalInitialMargin totalMaintMargin totalWalletBalance totalUnrealizedProfit "
    "totalMarginBalance totalPositionInitialMargin totalOpenOrderInitialMargin "
    "totalCrossWalletBalance totalCrossUnPnl availableBalance maxWithdrawAmount"
)
_ASSET: Final = (
    "walletBalance unrealizedProfit marginBalance maintMargin initialMargin positionInitialMargin "
    "openOrderInitialMargin crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount"
)
_PORTFOLIO_ASSET: Final = (
    "crossWalletBalance crossUnPnl maintMargin initialMargin positionInitialMargin "
    "openOrderInitialMargin"
)
_LEG_MARGIN: Final = "initialMargin maintMargin positionInitialMargin"
_NOTHING_OF_A_LEG: Final = (
    "liquidationPrice isolatedMargin isolatedWallet openOrderInitialMargin bidNotional askNotional"
)
_PORTFOLIO: Final = (
    "accountEquity actualEquity accountInitialMargin accountMaintMargin virtualMaxWithdrawAmount"
)
_BALANCE: Final = "balance crossWalletBalance crossUnPnl availableBalance maxWithdrawAmount"
_BALANCE_COINM: Final = "balance withdrawAvailable crossWalletBalance crossUnPnl availableBalance"


def _purses(call: Call, legs: Iterable[Holding] | None = None) -> dict[str, Purse]:
    """Return what the product's margin is taken from, by asset, with these legs or all."""
    purses = purses_of(call.account, call.route.product, legs)
    return dict.fromkeys(purses, Purse()) if call.is_shown_empty else purses


def _rows(call: Call, legs: Iterable[Holding]) -> list[dict[str, Any]]:
    return [pick(wide_position(call, held), _OF_LEGS[call.route.path]) for held in legs]


def positions(call: Call) -> Json:
    return _rows(call, _shown_legs(call))


def positions_of_all(call: Call) -> Json:
    return _rows(call, _all_legs(call, call.markets))


def positions_coinm(call: Call) -> Json:
    """Return all legs there could be; without a pair or coin, of contracts that trade only."""
    coin, pair = call.params.get("marginAsset"), call.params.get("pair")
    markets = {
        symbol: market
        for symbol, market in call.account.markets_of(Product.COINM).items()
        if (not coin or market.settle_asset == coin) and (not pair or market.pair == pair)
        if coin or pair or market.status == "TRADING"
    }
    return _rows(call, _all_legs(call, markets))


def _shown_legs(call: Call) -> list[Holding]:
    """Return the legs with a position or an open order."""
    if call.is_shown_empty:
        return []
    markets, moment_ms = call.markets, call.look()
    holdings = call.account.holdings.as_of(moment_ms)
    shown = {leg: held for leg, held in holdings.items() if held.amount}
    for order in _resting(call, moment_ms):
        shown.setdefault(order.leg, _empty(*order.leg))
    return [held for held in shown.values() if held.symbol in markets]


def _all_legs(call: Call, markets: Iterable[str]) -> list[Holding]:
    account = call.account
    moment_ms = call.look()
    if call.is_shown_empty:
        return []
    holdings = account.holdings.as_of(moment_ms)
    sides = ("BOTH", "LONG", "SHORT") if account.hedge else ("BOTH",)
    legs = [(symbol, side) for symbol in markets for side in sides]
    return [holdings.get(leg) or _empty(*leg) for leg in legs]


def _empty(symbol: str, position_side: str) -> Holding:
    return Holding(symbol=symbol, position_side=position_side, amount=_ZERO, entry_price=_ZERO)


def wide_position(call: Call, held: Holding) -> dict[str, Any]:
    """Return all that any reading tells of a leg of the call's account."""
    market = call.account.markets[held.symbol]
    entry = plain(held.entry_price if held.amount else _ZERO)
    notional = f"{market.value(held.amount, market.mark_price):.8f}"
    leg = leg_of(call.account, held)
    return {
        **tell(held, "symbol positionSide=position_side positionAmt=amount updateTime=update_ms"),
        **leg.describe(_LEG_MARGIN),
        **dict.fromkeys(("entryPrice", "breakEvenPrice"), entry),
        **dict.fromkeys(("unRealizedProfit", "unrealizedProfit"), f"{leg.profit:.8f}"),
        **dict.fromkeys(("notional", "notionalValue"), notional),
        **dict.fromkeys(_NOTHING_OF_A_LEG.split(), "0"),
        **dict.fromkeys(("maxNotionalValue", "maxNotional"), _MAX_NOTIONAL),
        "maxQty": _MAX_CONTRACTS,
        "markPrice": f"{market.mark_price:.8f}",
        "marginAsset": market.settle_asset,
        "marginType": "cross",
        "leverage": str(call.account.leverage),
        "isAutoAddMargin": "false",
        "isolated": False,
        "adl": 2,
    }


def account(call: Call) -> Json:
    legs = _shown_legs(call)
    return _totals(call, legs) | _with_positions(call, legs)


def account_v2(call: Call) -> Json:
    legs = _all_legs(call, call.markets)
    return config(call) | _totals(call, legs) | {"feeBurn": True} | _with_positions(call, legs)


def _totals(call: Call, legs: list[Holding]) -> dict[str, str]:
    return sum(_purses(call, legs).values(), start=Purse()).describe(_TOTALS)


def account_of_all(call: Call) -> dict[str, Any]:
    """Return assets and all legs there could be, of contracts that do not trade too."""
    return _with_positions(call, _all_legs(call, call.account.markets_of(call.route.product)))


def account_coinm(call: Call) -> Json:
    rights = pick(config(call), "feeTier canTrade canDeposit canWithdraw updateTime")
    return rights | account_of_all(call)


def account_um_v2(call: Call) -> Json:
    return _with_positions(call, _shown_legs(call))


def _with_positions(call: Call, legs: list[Holding]) -> dict[str, Any]:
    """Return the assets and the positions."""
    columns = _ASSET if call.route.dialect in {"fapi", "dapi"} else _PORTFOLIO_ASSET
    assets = [
        {"asset": asset, **purse.describe(columns), **_margin_asset(call)}
        for asset, purse in _purses(call, legs).items()
    ]
    return {"assets": assets, "positions": _rows(call, legs)}


def _margin_asset(call: Call) -> dict[str, Any]:
    is_fapi = call.route.dialect == "fapi"
    return ({"marginAvailable": True} if is_fapi else {}) | {"updateTime": call.venue.now_ms}


def balance(call: Call) -> Json:
    names = _BALANCE if call.route.product is Product.USDM else _BALANCE_COINM
    return [
        {
            "accountAlias": call.venue.alias,
            "asset": asset,
            **purse.describe(names),
            **_margin_asset(call),
        }
        for asset, purse in _purses(call).items()
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


@_of_each
def leverage_bracket(_: Call, market: Market) -> dict[str, Any]:
    # In dollars of notional, or for COIN-M in coins.
    unit = "notional" if market.product is Product.USDM else "qty"
    bracket = {
        "bracket": 1,
        "initialLeverage": _LEVERAGE_MAX,
        f"{unit}Cap": 50000,
        f"{unit}Floor": 0,
        "maintMarginRatio": 0.004,
        "cum": 0.0,
    }
    return {"symbol": market.symbol, "brackets": [bracket]}


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
    refuse_if((not call.venue.is_portfolio, -4109))
    return {
        "maxWithdrawAmountUSD": _NOTHING,
        "asset": call.params.get("asset", "USDT"),
        "maxWithdrawAmount": _NOTHING,
    }


_NO_RIGHTS: Final = (
    "enableInternalTransfer enableMargin permitsUniversalTransfer enableVanillaOptions "
    "enableFixApiTrade enableFixReadOnly enableSpotAndMarginTrading"
)


def key_rights(call: Call) -> Json:
    return {
        **dict.fromkeys(_NO_RIGHTS.split(), False),
        "ipRestrict": call.venue.ip_restricted,
        "createTime": 1698645219000,
        "enableReading": True,
        "enableWithdrawals": call.venue.can_withdraw,
        "enableFutures": call.venue.can_trade,
        "enablePortfolioMarginTrading": call.venue.is_portfolio,
    }


def account_kind(call: Call) -> Json:
    return {
        "vipLevel": 0,
        "isMarginEnabled": call.venue.is_portfolio,
        "isFutureEnabled": True,
        "isOptionsEnabled": False,
        "isPortfolioMarginRetailEnabled": call.venue.is_portfolio,
    }


def user_trades(call: Call) -> Json:
    # COIN-M takes a pair instead of the symbol.
    now_ms = call.venue.now_ms
    is_pair = call.route.product is Product.COINM and not call.params.get("symbol")
    if not is_pair or not call.params.get("pair"):
        call.account.market(call.params.get("symbol"))
    markets = call.markets
    first_id, order_id = call.number("fromId"), call.number("orderId")
    limit = call.count("limit", usual=_TRADES_USUAL, most=_TRADES_MAX)
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
    return found[:limit] if is_from_the_start else found[-limit:]


def income(call: Call) -> Json:
    """Return transfers, the only income that is kept: trades tell their own profit and fee.

    The span is that of the last 7 days when no time is sent, and there are 100 rows when no limit
    is ("Get Income History", read 2026-11-23). Assumed: with a start the oldest rows are shown, and
    without one the newest.
    """
    start_ms, end_ms = call.number("startTime"), call.number("endTime")
    limit = call.count("limit", usual=_INCOME_USUAL, most=_INCOME_MAX)
    end = call.venue.now_ms if end_ms is None else end_ms
    start = end - _SPAN_MAX_MS if start_ms is None else start_ms
    refuse_if((start > end, -1023))
    is_asked_for = not call.symbol and call.params.get("incomeType") in {None, "", "TRANSFER"}
    rows = [
        each.describe()
        for each in call.account.transfers
        if is_asked_for
        and each.product is call.route.product
        and start <= each.time_ms <= end
        and call.venue.now_ms - each.time_ms <= _HISTORY_MS
    ]
    return rows[-limit:] if start_ms is None else rows[:limit]


# -- listen keys -------------------------------------------------------------------------------


def start_listen_key(call: Call) -> Json:
    return {"listenKey": call.venue.streams.start(call.route.host)}


def extend_listen_key(call: Call) -> Json:
    key = call.venue.streams.extend(call.route.host)
    return {"listenKey": key} if call.route.host == "fapi" else {}  # Assumed for the others.


def end_listen_key(call: Call) -> Json:
    call.venue.streams.end(call.route.host)
    return {}


# -- regular orders ----------------------------------------------------------------------------


def open_orders(call: Call) -> Json:
    if call.is_shown_empty:
        return []
    markets, orders = call.markets, _resting(call, call.look())
    return [_read(call, order) for order in orders if order.symbol in markets]


_NO_STOPS: Final = {"stopPrice", "closePosition", "workingType", "priceProtect"}
_NO_PREVENTION: Final = {"selfTradePreventionMode", "goodTillDate", "priceMatch"}
_UNWRITTEN: Final = {
    "dapi": {"goodTillDate"},
    "um": _NO_STOPS | {"origType"},
    "cm": _NO_STOPS | _NO_PREVENTION | {"origType"},
}
_UNREAD: Final = {
    "dapi": {"cumQty"},
    "um": _NO_STOPS | {"cumQty", "cumBase", "pair"},
    "cm": _NO_STOPS | _NO_PREVENTION | {"cumQty", "cumQuote"},
}
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
    longest = _CLIENT_ID_MAX.get(call.route.dialect, math.inf)
    is_too_long = len(call.params.get("newClientOrderId", "")) > longest
    refuse_if((not call.venue.can_trade, -4088), (is_too_long, -4015))
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
    call.account.cancel_all(call.market.symbol, call.account.open_orders())
    return dict(_DONE)


def countdown(call: Call) -> Json:
    symbol, span_ms = call.market.symbol, call.number("countdownTime")
    if span_ms is None:
        raise malformed("countdownTime")
    call.account.set_timer(symbol, span_ms)
    return {"symbol": symbol, "countdownTime": str(span_ms)}


# -- conditional orders, a book of their own ---------------------------------------------------


def _find_algo(call: Call, missing: int, *, ended: bool = False) -> AlgoOrder:
    """Return the conditional order that is named, an ended one too if asked for; else refuse."""
    # Portfolio margin's COIN-M calls them strategies still.
    is_cm = call.route.dialect == "cm"
    number, name = ("strategyId", "newClientStrategyId") if is_cm else ("algoId", "clientAlgoId")
    algo_id, client_id = call.params.get(number), call.params.get(name)
    if not algo_id and not client_id:
        raise neither(number, name)
    for algo in reversed(call.account.algo_orders.values()):
        is_named = str(algo.algo_id) == algo_id
        if is_named or (not algo_id and algo.client_algo_id == client_id):
            is_there = call.account.market(algo.symbol).product is call.route.product
            refuse_if((not is_there or not (ended or algo.is_open), missing))
            return algo
    raise Refused(missing)


def open_algo_orders(call: Call) -> Json:
    if call.is_shown_empty:
        return []
    markets, past = call.markets, call.account.algo_orders.as_of(call.look())
    algos = [algo for algo in past.values() if algo.is_open and algo.symbol in markets]
    is_cm = call.route.dialect == "cm"
    return [algo.describe_strategy() if is_cm else algo.describe() for algo in algos]


def all_algo_orders(call: Call) -> Json:
    symbol, algos = call.market.symbol, call.account.algo_orders.values()
    return [algo.describe() for algo in algos if algo.symbol == symbol]


def algo_order(call: Call) -> Json:
    algo = _find_algo(call, -2013, ended=True)
    return algo.describe() | {"actualType": "", "actualQty": "0.000"}


def new_algo_order(call: Call) -> Json:
    refuse_if((not call.venue.can_trade, -4088))
    return place_algo(call.account, call.params).describe()


def new_strategy(call: Call) -> Json:
    refuse_if((not call.venue.can_trade, -4088))
    params = {
        **call.params,
        "algoType": "CONDITIONAL",
        "type": call.params.get("strategyType", ""),
        "triggerPrice": call.params.get("stopPrice", ""),
        "clientAlgoId": call.params.get("newClientStrategyId", ""),
    }
    return place_algo(call.account, params).describe_strategy()


def open_strategy(call: Call) -> Json:
    return _find_algo(call, -2013).describe_strategy()


def _end_algo(call: Call) -> AlgoOrder:
    algo = _find_algo(call, -2011)
    call.account.cancel(algo)
    return algo


def cancel_strategy(call: Call) -> Json:
    return _end_algo(call).describe_strategy()


def complete_algo(call: Call) -> Json:
    _end_algo(call)
    return {"complete": True}


def cancel_all_strategies(call: Call) -> Json:
    cancel_all_algo(call)
    # The one reply whose code is a text.
    message = "The operation of cancel all conditional open order is done."
    return {"code": "200", "msg": message}


def cancel_algo(call: Call) -> Json:
    algo = _end_algo(call)
    told = {"algoId": algo.algo_id, "clientAlgoId": algo.client_algo_id}
    return told | {"code": "200", "msg": "success"}


def cancel_all_algo(call: Call) -> Json:
    call.account.cancel_all(call.market.symbol, call.account.open_algo_orders())
    return dict(_DONE)


# -- portfolio margin beside the futures ---------------------------------------------------------


def portfolio_account(call: Call) -> Json:
    purse = portfolio_of(call.account)
    return {
        **purse.describe(_PORTFOLIO),
        **dict.fromkeys(("totalAvailableBalance", "totalMarginOpenLoss"), ""),
        "uniMMR": f"{ratio_of(purse):.8f}",
        "accountStatus": call.account.status,
        "updateTime": call.venue.now_ms,
    }


def portfolio_balance(call: Call) -> Json:
    """Return an asset's wallets in both futures and in margin, where it may be borrowed."""
    account = call.account
    of_usdm, of_coinm = (purses_of(account, product) for product in Product)
    rows = []
    for asset in sorted({*of_usdm, *of_coinm, *account.margin_assets}):
        held = account.margin_assets.get(asset, {})
        usdm, coinm = of_usdm.get(asset, Purse()), of_coinm.get(asset, Purse())
        parts = {
            "crossMarginFree": held.get("free", _ZERO),
            "crossMarginBorrowed": held.get("borrowed", _ZERO),
            "crossMarginInterest": held.get("interest", _ZERO),
            "umWalletBalance": usdm.wallet,
            "cmWalletBalance": coinm.wallet,
            "negativeBalance": held.get("negative", _ZERO),
        }
        total = parts["crossMarginFree"] + parts["umWalletBalance"] + parts["cmWalletBalance"]
        rows.append(
            {
                "asset": asset,
                "totalWalletBalance": f"{total:.8f}",
                "crossMarginAsset": f"{parts['crossMarginFree']:.8f}",
                "crossMarginLocked": _NOTHING,
                "umUnrealizedPNL": f"{usdm.profit:.8f}",
                "cmUnrealizedPNL": f"{coinm.profit:.8f}" if asset in of_coinm else "",
                **{name: f"{amount:.8f}" for name, amount in parts.items()},
                "updateTime": call.venue.now_ms,
            }
        )
    return rows


def margin_orders(call: Call) -> Json:
    symbol = call.market.symbol  # There is no list of all symbols.
    return [_margin_row(each) for each in call.account.margin_orders if each.symbol == symbol]


def cancel_margin_orders(call: Call) -> Json:
    symbol, account = call.market.symbol, call.account
    gone = [each for each in account.margin_orders if each.symbol == symbol]
    account.margin_orders = [each for each in account.margin_orders if each.symbol != symbol]
    return [_margin_row(each) | {"status": "CANCELED"} for each in gone]


def _margin_row(order: Order) -> dict[str, Any]:
    names = "symbol orderId clientOrderId price origQty executedQty status timeInForce type side"
    times = {"time": order.time_ms, "updateTime": order.update_ms}
    return pick(order.describe(), names) | {"isWorking": True, "accountId": 1} | times


# -- execution algorithms ------------------------------------------------------------------------


def open_executions(call: Call) -> Json:
    running = call.account.executions.as_of(call.look()).values()
    rows = [each.describe() for each in running if each.is_open]
    return {"total": len(rows), "orders": rows}


def cancel_execution(call: Call) -> Json:
    number, name = call.params.get("algoId"), call.params.get("clientAlgoId")
    if not number and not name:
        raise neither("algoId", "clientAlgoId")
    for each in call.account.executions.values():
        is_named = str(each.algo_id) == number if number else each.client_algo_id == name
        if is_named and each.is_open:
            call.account.executions.note(call.venue.now_ms, each.algo_id)
            each.status = "CANCELLED"
            return {"algoId": each.algo_id, "success": True, "code": 0, "msg": "OK"}
    raise Refused(-2011)
