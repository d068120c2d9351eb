# ruff: noqa: ANN401 - the border: what ccxt, aiohttp and JSON hand over has no types
"""Binance's rows as our values, and our orders as Binance's parameters; pure and strict.

A row that cannot be read is named beside those that can: the list is then known to be smaller than
the truth, but what is known to be open is closed. A list of orders says what to cancel, so a row
that names its symbol and id is kept however odd the rest is. An answer that is not of the promised
shape at all raises VenueError. Shapes: Binance USDS-M endpoint pages and the official SDK's
samples, read 2026-11-23.
"""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, Final, TypeVar

from liqctl.kernel.amounts import parse_decimal, plain, rounded
from liqctl.kernel.answers import printable, unreadable
from liqctl.kernel.errors import Secret, VenueError, invariant
from liqctl.kernel.policy import product_of
from liqctl.kernel.requests import (
    SUB_ACCOUNTS_MAX,
    SUB_KEYS_MAX,
    Balances,
    Endpoint,
    Request,
    SubAccount,
)
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import (
    DOLLAR,
    DOLLARS,
    CloseOrder,
    CoinPrice,
    Equity,
    Leg,
    MarketRules,
    OpenOrder,
    OrderAnswer,
    OrderKind,
    OrderStatus,
    OrderType,
    Pool,
    Position,
    PositionMode,
    PositionSide,
    Rows,
    Side,
    StreamEvent,
    StreamKind,
    Trade,
    Transfer,
    is_reducing,
)

_STRATEGY_ENDS: Final = frozenset({"CANCELED", "CANCELLED", "EXPIRED", "FINISHED", "TRIGGERED"})
_REDUCING_IN_HEDGE_MODE: Final = (("LONG", "SELL"), ("SHORT", "BUY"))
_LISTEN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{8,200}")
_NAME_MAX: Final = 80
_NAMES_MAX: Final = 50
_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999: what is later is no stamp."""

_LIMITS: Final = {
    "tick_size": ("PRICE_FILTER", "tickSize"),
    "step_size": ("LOT_SIZE", "stepSize"),
    "market_step_size": ("MARKET_LOT_SIZE", "stepSize"),
    "market_quantity_max": ("MARKET_LOT_SIZE", "maxQty"),
    "limit_quantity_max": ("LOT_SIZE", "maxQty"),
    "quantity_min": ("LOT_SIZE", "minQty"),
    "price_multiplier_up": ("PERCENT_PRICE", "multiplierUp"),
    "price_multiplier_down": ("PERCENT_PRICE", "multiplierDown"),
}
"""Which filter of a symbol holds each of our limits, and under which name."""

_NAMES: Final[Mapping[OrderKind, Mapping[str, str]]] = {
    OrderKind.ALGO: {
        "orderId": "algoId",
        "clientOrderId": "clientAlgoId",
        "origQty": "quantity",
        "type": "orderType",
        "stopPrice": "triggerPrice",
        "time": "createTime",
    },
    OrderKind.EXECUTION: {
        "orderId": "algoId",
        "clientOrderId": "clientAlgoId",
        "origQty": "totalQty",
        "type": "algoType",
        "time": "bookTime",
    },
}
"""What a conditional order's row, or an execution's, calls the fields of a regular order's."""

_STRATEGY_NAMES: Final = {
    "orderId": "strategyId",
    "clientOrderId": "newClientStrategyId",
    "type": "strategyType",
    "time": "bookTime",
}
"""The same of a conditional order for COIN-M in portfolio margin."""

_BALANCES: Final = {
    "borrowed": ("crossMarginBorrowed", "crossMarginInterest"),
    "negative": ("negativeBalance",),
    "locked": ("crossMarginLocked",),
    "held": ("crossMarginFree",),
}
"""Which fields of a portfolio margin balance add up to what we tell."""

_SUB_POSITIONS: Final = {
    Product.USDM: ("1", "futurePositionRiskVos"),
    Product.COINM: ("2", "deliveryPositionRiskVos"),
}
"""What a master's question calls a product, and its answer the list of positions."""
INCOME_MAX: Final = 1000
"""Rows that one request for income lists at most."""

_TRANSFER: Final = "TRANSFER"
_PERPETUAL: Final = "USD_PERP"

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


def parse_positions(rows: Any, product: Product = Product.USDM) -> Rows[Position]:
    """Return the open positions of a positionRisk list, rows of quantity zero left out."""
    found = _parse_rows(rows, partial(_parse_position, product), "positions")
    return found._replace(items=tuple(position for position in found.items if position.quantity))


def parse_account_positions(row: Any, product: Product = Product.USDM) -> Rows[Position]:
    """Return the open positions inside an account answer."""
    if not isinstance(row, dict) or "positions" not in row:
        raise _unreadable("the account has no positions list")
    return parse_positions(row["positions"], product)


def parse_open_orders(
    kind: OrderKind, rows: Any, product: Product = Product.USDM
) -> Rows[OpenOrder]:
    """Return the open orders of one book, or the running executions."""
    if isinstance(rows, dict):  # Executions come so, COIN-M's conditional orders may.
        rows = rows.get("orders")
    return _parse_rows(rows, partial(_parse_open_order, kind, product), "open orders")


def _parse_rows(rows: Any, parse: Callable[[Any], T | str], what: str) -> Rows[T]:
    """Return the rows as `parse` reads them; it answers a text for a row that it cannot read."""
    items: list[T] = []
    names: list[str] = []
    for row in _listed(rows, what):
        parsed = parse(row) if isinstance(row, dict) else "a row that is not an object"
        if isinstance(parsed, str):
            names.append(printable(parsed, _NAME_MAX))
        else:
            items.append(parsed)
    if len(names) > _NAMES_MAX:
        names[_NAMES_MAX:] = [f"{len(names) - _NAMES_MAX} others"]
    return Rows(items=tuple(items), unreadable=tuple(names))


def parse_order_answer(row: Any, sent: CloseOrder) -> OrderAnswer:
    """Return what the venue says of the order we sent, after checking that it is the one we sent.

    Raises:
        VenueError: it cannot be read, or it names another symbol, side, leg or id, or an order
            that is not reduce-only where ours was. The order may stand: kind UNKNOWN.
    """
    answer = parse_queried_order(row, sent.leg.symbol, sent.client_order_id, quantity=sent.quantity)
    promises = {"side": sent.side, "positionSide": sent.leg.position_side}
    for name, promised in promises.items():
        if row.get(name, promised) != promised:
            raise _unreadable(f"the order answered has another {name}")
    if sent.reduce_only and not _is_true(row.get("reduceOnly", True)):
        raise _unreadable("the order answered is not reduce-only")
    return answer


def parse_queried_order(
    row: Any, symbol: str, client_order_id: str, *, quantity: Decimal | None = None
) -> OrderAnswer:
    """Return the state of the order with this symbol and client order id.

    `quantity` stands in where the venue does not repeat it.
    """
    if not isinstance(row, dict):
        raise _unreadable("an order is not an object")
    if row.get("symbol") != symbol or row.get("clientOrderId") != client_order_id:
        raise _unreadable("the answer is about another order")
    order_id, executed = _id(row.get("orderId")), parse_decimal(row.get("executedQty"))
    ordered = parse_decimal(row.get("origQty", quantity))
    if order_id is None or executed is None or ordered is None or executed < 0:
        raise _unreadable("an order lacks its id or its quantities")
    average_price = parse_decimal(row.get("avgPrice"))
    return OrderAnswer(
        client_order_id=client_order_id,
        order_id=order_id,
        status=_member(OrderStatus, row.get("status")) or OrderStatus.UNREADABLE,
        quantity=ordered,
        executed=executed,
        average_price=average_price or None,
        update_time_ms=_milliseconds(row.get("updateTime")),
    )


def check_all_cancelled(row: Any) -> None:
    """Accept the answer of a cancel that names no order: code 200, a number or a text."""
    if _field(row, "code") not in (200, "200"):
        raise _unreadable("the cancel was not confirmed")


def check_algo_cancelled(row: Any, order: OpenOrder) -> None:
    """Accept the answer of a cancel of one conditional order, in any of the three dialects.

    Code 200; in portfolio margin `{"complete": true}`, or the strategy itself, finished.
    """
    if _field(row, "complete") is True:
        return
    if _id(_field(row, "strategyId")) == order.order_id:
        if row.get("strategyStatus") not in _STRATEGY_ENDS:
            raise _unreadable("the order is not cancelled")
        return
    check_all_cancelled(row)


def check_execution_cancelled(row: Any, order: OpenOrder) -> None:
    """Accept the answer of a cancel of one execution: success, for this one."""
    if _field(row, "success") is not True:
        raise _unreadable("the cancel was not confirmed")
    if _id(row.get("algoId", order.order_id)) != order.order_id:
        raise _unreadable("the answer is about another order")


def check_cancelled(row: Any, order: OpenOrder) -> None:
    """Accept the answer of a cancel of one regular order: the order itself, finished."""
    if _id(_field(row, "orderId")) != order.order_id:
        raise _unreadable("the cancel was not confirmed")
    status = _member(OrderStatus, row.get("status"))
    if status is None or not status.is_final:
        raise _unreadable("the order is not cancelled")


def parse_position_mode(row: Any) -> PositionMode:
    """Return the position mode of an accountConfig or positionSide/dual answer."""
    dual = _field(row, "dualSidePosition")
    if not isinstance(dual, bool):
        raise _unreadable("no position mode")
    return PositionMode.HEDGE if dual else PositionMode.ONE_WAY


def parse_mark_price(row: Any) -> Decimal:
    """Return the mark price of a premiumIndex answer; that of COIN-M is a list of one."""
    if isinstance(row, list) and len(row) == 1:
        row = row[0]
    price = parse_decimal(_field(row, "markPrice"))
    if price is None or price <= 0:
        raise _unreadable("no mark price")
    return price


def parse_market_rules(row: Any) -> dict[str, MarketRules]:
    """Return the rules of every symbol that can be read; a limit of 0 is no limit."""
    symbols = _field(row, "symbols")
    if not isinstance(symbols, list):
        raise _unreadable("no list of symbols")
    rules: dict[str, MarketRules] = {}
    for entry in symbols:
        if not _field(entry, "symbol"):
            continue
        filters = entry.get("filters")
        by_type: dict[object, Mapping[str, Any]] = {
            each.get("filterType"): each
            for each in (filters if isinstance(filters, list) else ())
            if isinstance(each, dict)
        }
        limits = {
            name: _positive(by_type.get(filter_type, {}).get(key))
            for name, (filter_type, key) in _LIMITS.items()
        }
        limits["market_quantity_max"] = (
            limits["market_quantity_max"] or limits["limit_quantity_max"]
        )
        rules[str(entry["symbol"])] = MarketRules(
            symbol=str(entry["symbol"]),
            status=str(entry.get("status") or entry.get("contractStatus") or ""),
            contract_type=str(entry.get("contractType") or ""),
            contract_size=_positive(entry.get("contractSize")),
            **limits,
        )
    return rules


def parse_listen_key(row: Any) -> str:
    """Return the key of the user data stream."""
    key = _text(row, "listenKey")
    if not _LISTEN_KEY.fullmatch(key):
        raise _unreadable("no listen key")
    return key


_TRADING: Final = frozenset({"ORDER", "FUNDING_FEE", "MARGIN_TRANSFER", "MARGIN_TYPE_CHANGE"})
"""Why a balance changes while nothing enters or leaves the account; any other reason may be one."""


def parse_stream_event(frame: str, product: Product) -> StreamEvent | None:
    """Return what a frame of the user data stream says, None for one that cannot be read.

    Portfolio margin names the product of each event (`fs`), and has conditional orders under `ao`.
    """
    try:
        row = json.loads(frame, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    row = row["data"] if isinstance(row.get("data"), dict) else row
    product = {"UM": Product.USDM, "CM": Product.COINM}.get(str(row.get("fs")), product)
    at_ms = _milliseconds(row.get("E"))
    match row.get("e"):
        case "ACCOUNT_UPDATE":
            legs = _changed_legs(row.get("a"), product)
            if legs is None:
                return None
            return StreamEvent(
                kind=StreamKind.POSITIONS,
                at_ms=at_ms,
                amounts=tuple((leg, amount) for leg, amount, _ in legs),
                entry_prices=tuple((leg, price) for leg, _, price in legs if price),
                moves_money=str(row["a"].get("m")) not in _TRADING,
            )
        case "ORDER_TRADE_UPDATE" | "ALGO_UPDATE" | "CONDITIONAL_ORDER_TRADE_UPDATE" as name:
            order = next((row[n] for n in ("o", "ao", "so") if isinstance(row.get(n), dict)), None)
            if order is None:
                return None
            is_new = "NEW" in (order.get("x", order.get("X")), order.get("os"))
            return StreamEvent(
                kind=StreamKind.ORDER,
                at_ms=at_ms,
                symbol=str(order.get("s", "")),
                client_order_id=str(order.get("c") or order.get("caid") or ""),
                is_new_order=is_new,
                # Whether it may rest and then open something, as far as it says.
                opens=is_new
                and name == "ORDER_TRADE_UPDATE"
                and order.get("o") != "MARKET"
                and order.get("R") is not True
                and order.get("cp") is not True
                and (order.get("ps"), order.get("S")) not in _REDUCING_IN_HEDGE_MODE,
            )
        case "listenKeyExpired":
            return StreamEvent(kind=StreamKind.KEY_EXPIRED, at_ms=at_ms)
        case str():
            return StreamEvent(kind=StreamKind.OTHER, at_ms=at_ms)
        case _:
            return None


def _changed_legs(
    account: object, product: Product
) -> tuple[tuple[Leg, Decimal, Decimal | None], ...] | None:
    """Return legs with their amounts and entry prices, None where one of them cannot be read."""
    rows = account.get("P", []) if isinstance(account, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    legs = []
    for row in rows:
        amount = parse_decimal(row.get("pa"))
        side = _member(PositionSide, row.get("ps", "BOTH"))
        if amount is None or side is None or not isinstance(row.get("s"), str):
            return None
        legs.append((Leg(row["s"], side, product), amount, parse_decimal(row.get("ep"))))
    return tuple(legs)


def parse_equity(row: Any, product: Product, margin: Margin | None = None) -> Equity:
    """Return what an account is worth, by `v3/account`, `dapi account` or `papi account`.

    What cannot be read is named. Totals that cannot be read at all raise VenueError.
    """
    if not isinstance(row, dict):
        raise _unreadable("the account is not an object")
    if margin is Margin.PORTFOLIO:
        total = _pool(row, DOLLAR, "actualEquity", "accountMaintMargin")
        if total is None:
            raise _unreadable("the account lacks its equity or maintenance margin")
        return Equity(
            pools=(total,),
            margin=margin,
            uni_mmr=parse_decimal(row.get("uniMMR")),
            account_equity=parse_decimal(row.get("accountEquity")),
        )
    if "assets" not in row:
        raise _unreadable("the account has no assets list")
    found = _parse_rows(row["assets"], _parse_pool, "assets")
    pools = tuple(pool for pool in found.items if pool.balance or pool.maintenance)
    if product is Product.COINM:
        return Equity(pools=pools, unreadable=found.unreadable)
    total = _pool(row, DOLLAR, "totalMarginBalance", "totalMaintMargin")
    if total is None:
        raise _unreadable("the account lacks its margin balance or maintenance margin")
    in_usdt = sum((pool.balance for pool in pools if pool.asset == "USDT"), Decimal(0))
    # The totals of single-asset mode are those of USDT alone; no field names the mode here.
    if total.balance != in_usdt or not pools:
        return Equity(pools=(total,), unreadable=found.unreadable)
    counted = tuple(pool._replace(counts=pool.asset in DOLLARS) for pool in pools)
    return Equity(pools=counted, unreadable=found.unreadable)


def parse_transfers(rows: Any) -> Rows[Transfer]:
    """Return the TRANSFER rows of an income list; a full page may lack some and says so."""

    def parse(row: Any) -> Transfer | str:
        kind, asset, written = row.get("incomeType"), _text(row, "asset"), row.get("income")
        amount, at_ms = parse_decimal(written), _milliseconds(row.get("time"))
        if kind == _TRANSFER and asset and amount is not None and at_ms:
            return Transfer(asset=asset, amount=amount, at_ms=at_ms)
        return f"{_shown(kind)} of {_shown(row.get('asset'))}: income {_shown(written)}"

    found = _parse_rows(rows, parse, "income")
    if len(rows) >= INCOME_MAX:
        more = f"{INCOME_MAX} transfers, and maybe more"
        found = found._replace(unreadable=(*found.unreadable, more))
    return found


def parse_coin_prices(rows: Any) -> dict[str, CoinPrice]:
    """Return mark and index price of each coin, by the perpetual contracts of a COIN-M list.

    A coin whose row cannot be read has no price: what is held of it is then unknown.
    """
    prices = {}
    for row in _listed(rows, "mark prices"):
        symbol = _text(row, "symbol")
        if not symbol.endswith(_PERPETUAL):
            continue
        mark, index = (_positive(row.get(name)) for name in ("markPrice", "indexPrice"))
        if mark is not None and index is not None:
            prices[symbol.removesuffix(_PERPETUAL)] = CoinPrice(mark, index)
    return prices


def parse_alias(rows: Any) -> str | None:
    """Return the code of the account that its balances name, None where none does."""
    named = (_text(row, "accountAlias") for row in _listed(rows, "balances"))
    return next(filter(None, named), None)


def parse_balances(rows: Any) -> Balances:
    """Return what a portfolio margin balance list shows beside the futures."""
    amounts: dict[str, dict[str, Decimal]] = {name: {} for name in _BALANCES}
    for row in _listed(rows, "balances"):
        if not isinstance(_field(row, "asset"), str):
            raise _unreadable("a balance without an asset")
        for name, theirs in _BALANCES.items():
            # Not every amount is filled in; an empty one is none.
            amount = sum(
                (parse_decimal(row.get(each)) or Decimal(0) for each in theirs), Decimal(0)
            )
            if amount:
                amounts[name][row["asset"]] = amount
    coins = tuple(sorted(set().union(*amounts.values())))
    owed = {name: amounts[name] for name in ("borrowed", "negative", "locked")}
    return Balances(coins=coins, **owed)


def parse_margin_orders(rows: Any) -> tuple[str, ...]:
    """Return the names of margin orders, `SYMBOL SIDE TYPE ID`."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _unreadable("margin orders are not a list")
    names = ("symbol", "side", "type", "orderId")
    return tuple(
        printable(" ".join(str(row.get(name, "")) for name in names), _NAME_MAX) for row in rows
    )


def parse_sub_accounts(row: Any) -> Rows[SubAccount]:
    """Return the accounts below a master's; one that names no email cannot be asked about."""

    def parse(entry: Any) -> SubAccount | str:
        email, remark = _text(entry, "email"), printable(_text(entry, "remark"), _NAME_MAX)
        if not email:
            return "a sub-account without an email"
        return SubAccount(email=email, remark=remark, is_frozen=_is_true(entry.get("isFreeze")))

    return _parse_rows(_field(row, "subAccounts"), parse, "sub-accounts")


def parse_sub_positions(row: Any, product: Product) -> Rows[str]:
    """Return the symbols on which a sub-account has a position, each once.

    A row of USDS-M does not tell its leg: two rows of one symbol may be both legs, and whether
    their sum is zero says nothing.
    """

    def parse(entry: Any) -> tuple[str, Decimal] | str:
        symbol, amount = _text(entry, "symbol"), parse_decimal(entry.get("positionAmount"))
        if not symbol:
            return "no symbol"
        return f"{symbol}: no amount" if amount is None else (printable(symbol, _NAME_MAX), amount)

    rows = _field(row, _SUB_POSITIONS[product][1])
    found = _parse_rows(rows, parse, "positions of a sub-account")
    symbols = dict.fromkeys(symbol for symbol, amount in found.items if amount)
    return Rows(items=tuple(symbols), unreadable=found.unreadable)


def parse_sub_keys(row: Any, email: str) -> tuple[Secret, ...]:
    """Return the API keys of the sub-account with this email."""
    rows = _field(row, "rows")
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise _unreadable("keys of a sub-account are not a list")
    if any(str(each.get("email", email)).lower() != email.lower() for each in rows):
        raise _unreadable("the answer is about another sub-account")
    return tuple(Secret(key) for each in rows if (key := _text(each, "apikey")))


def parse_trades(rows: Any, symbol: str, order_id: str) -> tuple[Trade, ...]:
    """Return the trades of one order, all of them readable: half a sum would be believed."""
    trades = []
    for row in _listed(rows, "trades"):
        if not isinstance(row, dict):
            raise _unreadable("a trade is not an object")
        if (row.get("symbol"), str(row.get("orderId"))) != (symbol, order_id):
            raise _unreadable("a trade of another order")
        # Only COIN-M counts in contracts, and portfolio margin tells USDS-M no `baseQty`.
        base = "baseQty" if product_of(symbol) is Product.COINM else "qty"
        names = ("price", "qty", base, "realizedPnl", "commission")
        numbers = [number for name in names if (number := parse_decimal(row.get(name))) is not None]
        settle_asset, fee_asset = row.get("marginAsset"), row.get("commissionAsset")
        if not (
            isinstance(settle_asset, str)
            and isinstance(fee_asset, str)
            and len(numbers) == len(names)
        ):
            raise _unreadable("a trade lacks price, quantity, profit, fee or asset")
        side = _member(Side, row.get("side"))
        if side is None:
            raise _unreadable("a trade has no side")
        price, quantity, base_quantity, profit, fee = numbers
        trades.append(
            Trade(
                symbol=symbol,
                order_id=order_id,
                trade_id=str(row.get("id")),
                side=side,
                price=price,
                quantity=quantity,
                base_quantity=base_quantity,
                realized_pnl=profit,
                settle_asset=settle_asset,
                fee=fee,
                fee_asset=fee_asset,
                time_ms=_milliseconds(row.get("time")),
            )
        )
    return tuple(trades)


def request_params(request: Request[Any]) -> dict[str, str]:
    """Return the parameters of a request; those of a close are checked again as they leave."""
    if request.close is not None:
        params = close_order_params(request.close)
        check_reducing(params)
        return params
    order, symbol = request.order, request.symbol or ""
    if order is not None and order.kind is not OrderKind.REGULAR:
        is_portfolio_coinm = (request.product, request.margin) == (Product.COINM, Margin.PORTFOLIO)
        if order.kind is OrderKind.ALGO and is_portfolio_coinm:  # They are "strategies" there.
            return {"symbol": order.symbol, "strategyId": order.order_id}
        return {"algoId": order.order_id}
    match request.endpoint:
        case Endpoint.SUB_ACCOUNTS:
            return {"page": str(request.page), "limit": str(SUB_ACCOUNTS_MAX)}
        case Endpoint.SUB_POSITIONS:
            return {"email": request.email, "futuresType": _SUB_POSITIONS[request.product][0]}
        case Endpoint.SUB_KEYS:
            return {"email": request.email, "size": str(SUB_KEYS_MAX)}
        case Endpoint.INCOME:
            since = {} if request.since_ms is None else {"startTime": str(request.since_ms)}
            return {"incomeType": _TRANSFER, "limit": str(INCOME_MAX), **since}
        case Endpoint.POSITIONS if request.product is Product.COINM and symbol:
            # Narrowed by the pair; unlike the whole list it then shows what is not trading, too.
            return {"pair": symbol.rpartition("_")[0] or symbol}
        case _:
            pass
    given = {
        "symbol": symbol,
        "orderId": order.order_id if order is not None else "",
        "origClientOrderId": request.client_order_id,
        "countdownTime": "" if request.milliseconds is None else str(request.milliseconds),
    }
    return {name: text for name, text in given.items() if text}


def close_order_params(order: CloseOrder) -> dict[str, str]:
    """Return the parameters of a closing order, after making sure that they can only reduce.

    Raises:
        InvariantError: the order, or what it became here, could open or enlarge a position.
    """
    invariant(is_reducing(order), f"an order for {order.leg.symbol} could open a position")
    params = {
        "symbol": order.leg.symbol,
        "side": order.side.value,
        "type": order.type.value,
        "quantity": plain(order.quantity),
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "RESULT",
    }
    if order.leg.position_side is PositionSide.BOTH:
        params["reduceOnly"] = "true"
    else:
        params["positionSide"] = order.leg.position_side.value
    if order.type is OrderType.LIMIT:
        invariant(order.price is not None, "a limit order needs a price")
        params |= {"price": plain(order.price or Decimal(0)), "timeInForce": "IOC"}
    return params


def check_reducing(params: Mapping[str, str]) -> None:
    """Refuse parameters that could open a position; called on what leaves, just before it does."""
    if "positionSide" in params:
        sides = (params["positionSide"], params.get("side"))
        reduces = sides in _REDUCING_IN_HEDGE_MODE and "reduceOnly" not in params
    else:
        reduces = params.get("reduceOnly") == "true"
    quantity = parse_decimal(params.get("quantity"))
    invariant(reduces, "the request could open a position")
    invariant(quantity is not None and quantity > 0, "the request has no quantity")
    lasting = params.get("type") != "MARKET" and params.get("timeInForce") != "IOC"
    invariant(not lasting, "the request could leave an order resting")


def _parse_position(product: Product, row: Mapping[str, Any]) -> Position | str:
    symbol, written = _text(row, "symbol"), row.get("positionAmt")
    if not symbol:
        return f"no symbol: positionAmt {_shown(written)}"
    quantity = parse_decimal(written)
    position_side = _member(PositionSide, row.get("positionSide", PositionSide.BOTH))
    if position_side is None:
        side = _shown(row.get("positionSide"))
        return f"{symbol}: positionSide {side}, positionAmt {_shown(written)}"
    if quantity is None:
        return f"{symbol} {position_side}: positionAmt {_shown(written)}"
    if position_side is not PositionSide.BOTH:  # A leg knows its sign better than the row does.
        quantity = quantity.copy_abs()
    if position_side is PositionSide.SHORT:
        quantity = quantity.copy_negate()
    mark_price, entry_price = (_positive(row.get(name)) for name in ("markPrice", "entryPrice"))
    notional = parse_decimal(row.get("notional"))
    if product is Product.COINM:
        # A contract is worth a whole number of the quote asset, whatever the price: the venue's
        # value in the coin, at its mark price, tells which one, or 0 where a row does not tell.
        # `Reader` puts exchangeInfo's own word in the place of the rest.
        in_coin, notional = parse_decimal(row.get("notionalValue")), Decimal(0)
        if quantity and in_coin and mark_price:
            notional = quantity * rounded(abs(in_coin * mark_price / quantity), Decimal(1))
    elif not notional:
        notional = quantity * (mark_price or entry_price or Decimal(0))
    profit = parse_decimal(row.get("unRealizedProfit", row.get("unrealizedProfit")))
    if product is Product.COINM and profit is not None:  # In the coin: told as the rest is.
        profit = profit * mark_price if mark_price else None
    return Position(
        leg=Leg(symbol=symbol, position_side=position_side, product=product),
        quantity=quantity,
        notional=abs(notional),
        entry_price=entry_price,
        mark_price=mark_price,
        unrealized_pnl=profit,
        update_time_ms=_milliseconds(row.get("updateTime")),
    )


def _parse_pool(row: Mapping[str, Any]) -> Pool | str:
    asset, names = _text(row, "asset"), ("marginBalance", "maintMargin")
    if not asset:
        return f"no asset: marginBalance {_shown(row.get('marginBalance'))}"
    written = (_shown(row.get(name)) for name in names)
    return _pool(row, asset, *names) or f"{asset}: {' and '.join(names)} {', '.join(written)}"


def _pool(row: Mapping[str, Any], asset: str, balance_in: str, maintenance_in: str) -> Pool | None:
    """Return what there is of an asset, by the names of two fields; None without either."""
    balance, maintenance = (parse_decimal(row.get(name)) for name in (balance_in, maintenance_in))
    if balance is None or maintenance is None:
        return None
    return Pool(asset=asset, balance=balance, maintenance=maintenance)


def _parse_open_order(kind: OrderKind, product: Product, row: Mapping[str, Any]) -> OpenOrder | str:
    is_strategy = kind is OrderKind.ALGO and "strategyId" in row
    names = _STRATEGY_NAMES if is_strategy else _NAMES.get(kind, {})
    row = {**row, **{name: row.get(theirs) for name, theirs in names.items()}}
    symbol, written = _text(row, "symbol"), row.get("orderId")
    order_id = _id(written)
    if not symbol:
        return f"no symbol: order {_shown(written)}"
    if order_id is None:
        return f"{symbol}: order {_shown(written)}"
    position_side = _member(PositionSide, row.get("positionSide", PositionSide.BOTH))
    close_position = _is_true(row.get("closePosition"))
    if "strategyId" in row:
        # This dialect has no such field; what trades nothing by itself closes what there is.
        close_position = close_position or parse_decimal(row.get("origQty")) == 0
    return OpenOrder(
        symbol=symbol,
        position_side=position_side or PositionSide.BOTH,
        kind=kind,
        order_id=order_id,
        client_order_id=_text(row, "clientOrderId"),
        type=_text(row, "type"),
        side=_member(Side, row.get("side")) if position_side else None,
        quantity=None if close_position else _positive(row.get("origQty")),
        executed=parse_decimal(row.get("executedQty")) or Decimal(0),
        price=_positive(row.get("price")),
        trigger_price=_positive(row.get("stopPrice")),
        reduce_only=_is_true(row.get("reduceOnly")),
        close_position=close_position,
        created_ms=_milliseconds(row.get("time")),
        product=product,
    )


def _listed(rows: Any, what: str) -> list[Any]:
    if not isinstance(rows, list):
        raise _unreadable(f"{what} are not a list")
    return rows


def _field(row: Any, name: str) -> Any:
    """Return a field of what should be an object, None where it is none or has no such field."""
    return row.get(name) if isinstance(row, dict) else None


def _text(row: Any, name: str) -> str:
    """Return a field of what should be an object, empty where it is no text."""
    value = _field(row, name)
    return value if isinstance(value, str) else ""


def _member(kind: type[E], value: Any) -> E | None:
    try:
        return kind(value)
    except ValueError:
        return None


def _id(value: object) -> str | None:
    """Return an order id as text; venues write numbers, gateways sometimes texts."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) or None


def _is_true(value: object) -> bool:
    return value is True or value == "true"


def _positive(value: object) -> Decimal | None:
    """Return a number above zero; Binance writes 0 for "none"."""
    number = parse_decimal(value)
    return number if number is not None and number > 0 else None


def _milliseconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value <= _MS_MAX else 0


def _shown(value: object) -> str:
    """Return what the venue wrote instead of a value, short; a container's type only."""
    if not isinstance(value, str | int | Decimal | None):
        return type(value).__name__
    return printable(repr(value)[:_NAME_MAX], _NAME_MAX // 2)


def _unreadable(what: str) -> VenueError:
    return VenueError(unreadable(200, what))
