"""The trades of the simulated account, as `userTrades` lists them.

Facts: Binance USDS-M "Account Trade List" and change log, read 2026-11-23: at most 7 days between
start and end, the last 7 days when neither is sent, at most 1000 rows, three months of history.
Assumed: an `orderId` alone is looked for within the last 7 days only, and the codes of refusals.
"""

from typing import TYPE_CHECKING, Final

from liqctl.sim.orders import Trade
from liqctl.sim.refusal import Refused, malformed
from liqctl.sim.routes import Json, Params, Route, Routes

if TYPE_CHECKING:
    from liqctl.sim.venue import Venue

_DAY_MS: Final = 86_400_000
_SPAN_MAX_MS: Final = 7 * _DAY_MS
_HISTORY_MS: Final = 90 * _DAY_MS
_LIMIT_USUAL: Final = 500
_LIMIT_MAX: Final = 1000


def _user_trades(venue: "Venue", params: Params) -> Json:
    symbol = venue.account.market(params.get("symbol")).symbol
    first_id, order_id = _number(params, "fromId"), _number(params, "orderId")
    limit = _limit(params)
    start_ms, end_ms = _span(params, venue.now_ms)
    found = [
        trade
        for trade in venue.account.trades
        if trade.order.symbol == symbol
        and order_id in {None, trade.order.order_id}
        and venue.now_ms - trade.time_ms <= _HISTORY_MS
        and _is_asked_for(trade, first_id, start_ms, end_ms)
    ]
    is_from_the_start = first_id is not None or "startTime" in params
    return [trade.describe() for trade in (found[:limit] if is_from_the_start else found[-limit:])]


def _is_asked_for(trade: Trade, first_id: int | None, start_ms: int, end_ms: int) -> bool:
    if first_id is not None:
        return trade.trade_id >= first_id
    return start_ms <= trade.time_ms <= end_ms


def _span(params: Params, now_ms: int) -> tuple[int, int]:
    """Return the milliseconds between which trades are listed, both ends included."""
    start_ms, end_ms = _number(params, "startTime"), _number(params, "endTime")
    if "fromId" in params and not (start_ms is None and end_ms is None):
        raise Refused(-1128, "Combination of optional parameters invalid.")
    if end_ms is None:
        end_ms = now_ms if start_ms is None else start_ms + _SPAN_MAX_MS
    if start_ms is None:
        start_ms = end_ms - _SPAN_MAX_MS
    if start_ms > end_ms:
        raise Refused(-1023, "Start time is greater than end time.")
    if end_ms - start_ms > _SPAN_MAX_MS:
        raise Refused(-4165, "Invalid time interval. Maximum time interval is 7 days.")
    return start_ms, end_ms


def _limit(params: Params) -> int:
    limit = _number(params, "limit")
    if limit is None:
        return _LIMIT_USUAL
    if not 1 <= limit <= _LIMIT_MAX:
        raise Refused(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def _number(params: Params, name: str) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise malformed(name)
    return int(text)


TRADE_ROUTES: Final[Routes] = {("GET", "/fapi/v1/userTrades"): Route(serve=_user_trades, weight=5)}
