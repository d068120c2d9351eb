"""What a master's key may read of the accounts below it; it can trade nothing there.

Shapes, defaults and limits: Binance sub-account pages and connector, read 2026-11-23. Assumed: that
positions of an account in portfolio margin are shown too, that no row is empty, and the codes of
refusals but -9000 (seen for another reading of a strange email).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from liqctl.kernel.states import Product
from liqctl.sim.endpoints import wide_position
from liqctl.sim.orders import Refused, malformed, pick, refuse_if
from liqctl.sim.venue import Call, Json, Venue

_FIRST_USER: Final = 10_000_001
_CREATED_MS: Final = 1_544_433_328_000
_LIST_MAX: Final = 200
_KEYS_MAX: Final = 100
_KEYS_USUAL: Final = 30
_USDM_ROW: Final = (
    "entryPrice leverage maxNotional liquidationPrice markPrice positionAmount symbol "
    "unrealizedProfit"
)
"""It does not tell the leg: in hedge mode two rows may have one symbol."""
_COINM_ROW: Final = (
    "entryPrice markPrice leverage isolated isolatedWallet isolatedMargin isAutoAddMargin "
    "positionSide positionAmount symbol unrealizedProfit"
)
_FUTURES: Final = {
    "1": (Product.USDM, "futurePositionRiskVos", _USDM_ROW),
    "2": (Product.COINM, "deliveryPositionRiskVos", _COINM_ROW),
}
"""By futuresType: the product, what its list is called, and what a row tells."""


def sub_accounts(call: Call) -> Json:
    """Return the sub-accounts; one a page, where no limit is sent."""
    email, is_frozen = call.params.get("email"), call.params.get("isFreeze") == "true"
    rows = [
        {
            "subUserId": user,
            "email": name,
            "remark": "",
            "isFreeze": False,
            "createTime": _CREATED_MS,
            "isManagedSubAccount": False,
            "isAssetManagementSubAccount": False,
        }
        for user, name in enumerate(_subs(call), start=_FIRST_USER)
        if email in {None, "", name} and not is_frozen
    ]
    return {"subAccounts": _page(call, rows, "limit", usual=1, most=_LIST_MAX)}


def positions_of_sub(call: Call) -> Json:
    """Return the open positions of a sub-account in one of the products, as they are."""
    sub = _sub(call)
    if call.params.get("futuresType") not in _FUTURES:
        raise malformed("futuresType")
    product, name, columns = _FUTURES[call.params["futuresType"]]
    sub.pass_time(call.venue.now_ms)
    markets = sub.account.markets_of(product)
    rows = [
        wide_position(replace(call, venue=sub), held)
        for held in sub.account.holdings.values()
        if held.amount and held.symbol in markets
    ]
    for row in rows:
        row |= {
            "positionAmount": row["positionAmt"],
            "unrealizedProfit": row["unRealizedProfit"],
            "maxNotional": row["maxNotionalValue"],
            "isolated": "false",
        }
    return {name: [pick(row, columns) for row in rows]}


def keys_of_sub(call: Call) -> Json:
    """Return the keys of a sub-account, in full."""
    sub, email, wanted = _sub(call), call.params["email"], call.params.get("subAccountApiKey")
    rows = [
        {
            "email": email,
            "apiName": f"key-{number}",
            "apikey": key,
            "canTrade": False,
            "canMarginLoanRepay": False,
            "canFuturesTrade": sub.can_trade,
            "canUniversalTransfer": False,
            "canVanillaOptions": False,
            "timestamp": _CREATED_MS,
        }
        for number, key in enumerate(sub.keys, start=1)
        if wanted in {None, "", key}
    ]
    shown = _page(call, rows, "size", usual=_KEYS_USUAL, most=_KEYS_MAX)
    return {"total": len(rows), "rows": shown}


def _subs(call: Call) -> Mapping[str, Venue]:
    if call.venue.subs is None:
        raise Refused(-1002, status=401)
    return call.venue.subs


def _sub(call: Call) -> Venue:
    subs, email = _subs(call), call.params.get("email")
    if not email:
        raise malformed("email")
    refuse_if((email not in subs, -9000))
    return subs[email]


def _page(
    call: Call, rows: list[dict[str, Any]], size: str, *, usual: int, most: int
) -> list[dict[str, Any]]:
    page, length = call.count("page", usual=1), call.count(size, usual=usual, most=most)
    return rows[(page - 1) * length : page * length]
