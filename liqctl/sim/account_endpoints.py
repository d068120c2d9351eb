"""What the simulated venue tells of the account: positions, balances, settings."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from liqctl.kernel.amounts import plain
from liqctl.sim.account import Account
from liqctl.sim.orders import Holding, LegKey
from liqctl.sim.refusal import Refused
from liqctl.sim.routes import Json, Params, Route, Routes, limit_row

if TYPE_CHECKING:
    from liqctl.sim.venue import Venue

_ZERO: Final = Decimal(0)


def _shown(venue: "Venue", params: Params, source: str) -> dict[LegKey, Holding]:
    """Return the legs that a v3 reading lists: with a position or an open order."""
    if venue.portfolio_margin:
        return {}
    account = venue.account
    symbol = params.get("symbol")
    if symbol:
        account.market(symbol)
    moment_ms = venue.look(source)
    shown = {key: held for key, held in account.holdings_at(moment_ms).items() if held.amount}
    for order in account.orders_at(moment_ms):
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


def _positions(venue: "Venue", params: Params) -> Json:
    return [
        _position_row(venue.account, held) for held in _shown(venue, params, "positions").values()
    ]


def _positions_v2(
    venue: "Venue", params: Params, source: str = "positions"
) -> list[dict[str, Any]]:
    account = venue.account
    holdings = account.holdings_at(venue.look(source))
    sides = ["BOTH", "LONG", "SHORT"] if account.hedge else ["BOTH"]
    rows = []
    for symbol in account.markets:
        if params.get("symbol", symbol) != symbol:
            continue
        for side in sides:
            held = holdings.get((symbol, side)) or _empty((symbol, side))
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


def _account(venue: "Venue", params: Params) -> Json:
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
    for held in _shown(venue, params, "account").values():
        row = _position_row(venue.account, held)
        positions.append(
            {key: row[key] for key in keys} | {"unrealizedProfit": row["unRealizedProfit"]}
        )
    return {**_totals(venue), "assets": [_asset(venue)], "positions": positions}


def _account_v2(venue: "Venue", params: Params) -> Json:
    rows = _positions_v2(venue, params, "account")
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


def _balance(venue: "Venue", _: Params) -> Json:
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


def _account_config(venue: "Venue", _: Params) -> Json:
    return _config(venue)


def _symbol_config(venue: "Venue", params: Params) -> Json:
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


def _position_mode(venue: "Venue", _: Params) -> Json:
    return {"dualSidePosition": venue.account.hedge}


def _change_mode(venue: "Venue", params: Params) -> Json:
    wanted = params.get("dualSidePosition", "").lower() == "true"
    if wanted == venue.account.hedge:
        raise Refused(-4059, "No need to change position side.")
    if venue.account.open_orders():
        raise Refused(-4067, "Position side cannot be changed if there exists open orders.")
    if any(held.amount for held in venue.account.holdings.values()):
        raise Refused(-4068, "Position side cannot be changed if there exists position.")
    venue.account.hedge = wanted
    return {"code": 200, "msg": "success"}


def _multi_assets(_: "Venue", __: Params) -> Json:
    return {"multiAssetsMargin": False}


def _leverage_bracket(venue: "Venue", params: Params) -> Json:
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


def _commission_rate(venue: "Venue", params: Params) -> Json:
    return {
        "symbol": venue.account.market(params.get("symbol")).symbol,
        "makerCommissionRate": "0.000200",
        "takerCommissionRate": "0.000500",
        "rpiCommissionRate": "0.000050",
    }


def _order_limits(venue: "Venue", _: Params) -> Json:
    return [
        limit_row("ORDERS", "SECOND", 10, venue.orders_limit_10s),
        limit_row("ORDERS", "MINUTE", 1, venue.orders_limit_1m),
    ]


def _trading_status(venue: "Venue", _: Params) -> Json:
    return {"indicators": {}, "updateTime": venue.now_ms}


def _adl_quantile(venue: "Venue", _: Params) -> Json:
    return [{"symbol": key[0], "adlQuantile": {key[1]: 2}} for key in venue.account.holdings]


def _portfolio_margin(venue: "Venue", params: Params) -> Json:
    if not venue.portfolio_margin:
        raise Refused(-4109, "This account is not a portfolio margin account.")
    return {
        "maxWithdrawAmountUSD": "0.00000000",
        "asset": params.get("asset", "USDT"),
        "maxWithdrawAmount": "0.00000000",
    }


def _key_rights(venue: "Venue", _: Params) -> Json:
    return {
        "ipRestrict": venue.ip_restricted,
        "createTime": 1698645219000,
        "enableReading": True,
        "enableWithdrawals": venue.can_withdraw,
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


ACCOUNT_ROUTES: Final[Routes] = {
    ("GET", "/fapi/v3/positionRisk"): Route(serve=_positions, weight=5, source="positions"),
    ("GET", "/fapi/v2/positionRisk"): Route(serve=_positions_v2, weight=5, source="positions"),
    ("GET", "/fapi/v3/account"): Route(serve=_account, weight=5, source="account"),
    ("GET", "/fapi/v2/account"): Route(serve=_account_v2, weight=5, source="account"),
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
}
