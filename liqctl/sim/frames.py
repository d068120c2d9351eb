"""The bodies of user data events, as the venue writes them: short names, numbers as texts.

Binance USDS-M, COIN-M and portfolio margin user data stream pages, read 2026-01 and 2026-11-23.
Ids and times are numbers. Assumed: what portfolio margin's rows lack, and COIN-M's `ALGO_UPDATE`,
which other clients handle and no page names.
"""

from decimal import Decimal
from typing import Any

from liqctl.kernel.amounts import plain
from liqctl.sim.account import Account
from liqctl.sim.market import Market
from liqctl.sim.money import leg_of
from liqctl.sim.orders import AlgoOrder, Holding, Order, Trade

Body = dict[str, Any]


def order_body(
    order: Order, market: Market, *, what: str, trade: Trade | None, reason: int
) -> Body:
    """Return what ORDER_TRADE_UPDATE says of an order; `reason` is why it expired."""
    row = order.describe()
    body = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": row["origQty"],
        "p": row["price"],
        "ap": row["avgPrice"],
        "sp": row["stopPrice"],
        "x": what,
        "X": order.status,
        "i": order.order_id,
        "l": plain(trade.quantity) if trade else "0",
        "z": row["executedQty"],
        "L": plain(trade.price) if trade else "0",
        "T": order.update_ms,
        "t": trade.trade_id if trade else 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": order.reduce_only,
        "wt": row["workingType"],
        "ot": order.type,
        "ps": order.position_side,
        "cp": order.close_position,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": plain(trade.realized_pnl) if trade else "0",
        "V": row["selfTradePreventionMode"],
        "pm": row["priceMatch"],
        "gtd": 0,
        "er": str(reason),
    }
    if trade:
        body |= {"N": trade.fee_asset, "n": f"{trade.fee:.8f}"}
    return body | ({"ma": market.settle_asset} if market.contract_size else {})


def trade_body(trade: Trade) -> Body:
    """Return what TRADE_LITE says of a fill: neither the order's state nor its leg."""
    order = trade.order
    return {
        "s": order.symbol,
        "q": plain(order.quantity),
        "p": plain(order.price),
        "m": False,
        "c": order.client_order_id,
        "S": order.side,
        "L": plain(trade.price),
        "l": plain(trade.quantity),
        "t": trade.trade_id,
        "i": order.order_id,
    }


def account_body(
    account: Account,
    *,
    reason: str,
    asset: str,
    wallet: Decimal,
    moved: Decimal = Decimal(0),
    held: Holding | None = None,
) -> Body:
    """Return what ACCOUNT_UPDATE says: the one wallet and the one leg that changed."""
    rows = []
    if held is not None:
        rows.append(
            {
                "s": held.symbol,
                "pa": plain(held.amount),
                "ep": plain(held.entry_price if held.amount else Decimal(0)),
                "bep": plain(held.entry_price if held.amount else Decimal(0)),
                "cr": "0",
                "up": f"{leg_of(account, held).profit:.8f}",
                "mt": "cross",
                "iw": "0",
                "ps": held.position_side,
                "ma": asset,
            }
        )
    balance = {"a": asset, "wb": f"{wallet:.8f}", "cw": f"{wallet:.8f}", "bc": plain(moved)}
    return {"m": reason, "B": [balance], "P": rows}


def algo_body(algo: AlgoOrder) -> Body:
    """Return what ALGO_UPDATE says of a conditional order."""
    row = algo.describe()
    return {
        "caid": algo.client_algo_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": algo.type,
        "s": algo.symbol,
        "S": algo.side,
        "ps": algo.position_side,
        "f": algo.time_in_force,
        "q": row["quantity"] or "0",
        "X": algo.status,
        "ai": row["actualOrderId"],
        "ap": "0",
        "aq": "0",
        "act": "",
        "tp": row["triggerPrice"],
        "p": row["price"],
        "V": row["selfTradePreventionMode"],
        "wt": row["workingType"],
        "pm": row["priceMatch"],
        "cp": algo.close_position,
        "pP": False,
        "R": algo.reduce_only,
        "tt": 0,
        "gtd": 0,
        "rm": algo.rejection,
        "ia": True,
    }


def strategy_body(algo: AlgoOrder) -> Body:
    """Return what CONDITIONAL_ORDER_TRADE_UPDATE says, portfolio margin's word for COIN-M."""
    row = algo.describe_strategy()
    return {
        "s": algo.symbol,
        "c": algo.client_algo_id,
        "si": algo.algo_id,
        "S": algo.side,
        "st": algo.type,
        "f": algo.time_in_force,
        "q": row["origQty"],
        "p": row["price"],
        "sp": row["stopPrice"],
        "os": algo.status,
        "T": algo.time_ms,
        "ut": algo.update_ms,
        "R": algo.reduce_only,
        "wt": row["workingType"],
        "ps": algo.position_side,
        "cp": algo.close_position,
        "AP": row["activatePrice"],
        "cr": row["priceRate"],
        "i": algo.child_id or 0,
        "V": "EXPIRE_MAKER",
        "gtd": 0,
    }
