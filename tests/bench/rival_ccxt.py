"""ccxt async: as people write it (`naive`), and tuned as a good engineer would (`tuned`).

The tuned one turns the throttle off, skips spot calls and the bracket call, and works on all
symbols at once; markets stay loaded because the high-level methods need them. The naive one's spot
calls, ccxt's default, are made where `BENCH_SPOT` is set; elsewhere it is spared them.
"""

import asyncio
import os
import re
import sys
from typing import Any

import ccxt.async_support as ccxt

BASE, KEY, SECRET = (os.environ[name] for name in ("BENCH_URL", "BENCH_KEY", "BENCH_SECRET"))
TUNED = sys.argv[1] == "tuned"
SPOT = "BENCH_SPOT" in os.environ and not TUNED


def make() -> ccxt.binanceusdm:
    """Return an exchange object that speaks to the bench's venue."""
    options: dict[str, Any] = {
        "fetchCurrencies": SPOT,
        "warnOnFetchOpenOrdersWithoutSymbol": False,
    }
    if TUNED:
        options |= {"leverageBrackets": {}, "fetchMargins": False}
    exchange = ccxt.binanceusdm(
        {"apiKey": KEY, "secret": SECRET, "enableRateLimit": not TUNED, "options": options}
    )
    exchange.cafile = os.environ.get("BENCH_AUTHORITY") or exchange.cafile
    for name, url in exchange.urls["api"].items():
        exchange.urls["api"][name] = re.sub(r"^https?://[^/]+", BASE, url)
    return exchange


async def read(exchange: ccxt.binanceusdm) -> Any:
    """Read positions and both order books."""
    calls = (
        exchange.fetch_positions,
        exchange.fetch_open_orders,
        lambda: exchange.fetch_open_orders(params={"trigger": True}),
    )
    if TUNED:
        return await asyncio.gather(*(call() for call in calls))
    return [await call() for call in calls]


async def flatten(exchange: ccxt.binanceusdm, symbol: str, position: Any) -> None:
    """Cancel both books of one symbol, then close it."""
    cancels = (
        exchange.cancel_all_orders(symbol),
        exchange.cancel_all_orders(symbol, {"trigger": True}),
    )
    if TUNED:
        await asyncio.gather(*cancels)
    else:
        for cancel in cancels:
            await cancel
    if position is not None:
        side = "sell" if position["side"] == "long" else "buy"
        quantity = position["contracts"]
        await exchange.create_order(symbol, "market", side, quantity, None, {"reduceOnly": True})


async def main() -> int:
    """Run once; exit 0 when the second reading is empty."""
    exchange = make()
    try:
        await exchange.load_markets()
        positions, orders, algo = await read(exchange)
        held = {row["symbol"]: row for row in positions}
        symbols = {row["symbol"] for row in (*orders, *algo)} | held.keys()
        jobs = [flatten(exchange, symbol, held.get(symbol)) for symbol in sorted(symbols)]
        if TUNED:
            await asyncio.gather(*jobs)
        else:
            for job in jobs:
                await job
        left = await read(exchange) if jobs else ([], [], [])
    finally:
        await exchange.close()
    print(" / ".join(f"{len(rows)} left" for rows in left))
    return int(any(left))


sys.exit(asyncio.run(main()))
