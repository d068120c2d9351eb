"""Hand-written aiohttp, the floor: reads, cancels, closes, reads again, and proves little else.

It stands for what could be reached by writing every line oneself: no money is safe with it, because
a lost reply or one refusal ends it with a traceback.
"""

import asyncio
import hashlib
import hmac
import os
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp
from yarl import URL

BASE, KEY, SECRET = (os.environ[name] for name in ("BENCH_URL", "BENCH_KEY", "BENCH_SECRET"))


async def call(session: aiohttp.ClientSession, method: str, path: str, **params: object) -> Any:
    """Sign and send one request."""
    query = urlencode({**params, "recvWindow": 5000, "timestamp": int(time.time() * 1000)})
    signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    url = URL(f"{BASE}{path}?{query}&signature={signature}", encoded=True)
    async with session.request(method, url, headers={"X-MBX-APIKEY": KEY}) as answer:
        return await answer.json()


async def read(session: aiohttp.ClientSession) -> Any:
    """Read positions and both order books at once."""
    return await asyncio.gather(
        call(session, "GET", "/fapi/v3/positionRisk"),
        call(session, "GET", "/fapi/v1/openOrders"),
        call(session, "GET", "/fapi/v1/openAlgoOrders"),
    )


async def flatten(session: aiohttp.ClientSession, symbol: str, amount: str) -> None:
    """Cancel both books of one symbol, then close it."""
    await asyncio.gather(
        call(session, "DELETE", "/fapi/v1/allOpenOrders", symbol=symbol),
        call(session, "DELETE", "/fapi/v1/algoOpenOrders", symbol=symbol),
    )
    if amount:
        await call(
            session,
            "POST",
            "/fapi/v1/order",
            symbol=symbol,
            side="BUY" if amount.startswith("-") else "SELL",
            type="MARKET",
            quantity=amount.lstrip("-"),
            reduceOnly="true",
        )


async def main() -> int:
    """Run once; exit 0 when the second reading is empty."""
    authority = os.environ.get("BENCH_AUTHORITY")
    tls = ssl.create_default_context(cafile=authority) if authority else True
    connector = aiohttp.TCPConnector(limit=0, ssl=tls)
    async with aiohttp.ClientSession(connector=connector) as session:
        positions, orders, algo = await read(session)
        amounts = {row["symbol"]: "" for row in (*orders, *algo)}
        amounts |= {r["symbol"]: r["positionAmt"] for r in positions if float(r["positionAmt"])}
        if amounts:
            await asyncio.gather(*(flatten(session, *item) for item in amounts.items()))
            positions, orders, algo = await read(session)
    left = [row for row in positions if float(row["positionAmt"])]
    print(f"{len(left)} positions and {len(orders) + len(algo)} orders left")
    return int(bool(left or orders or algo))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
