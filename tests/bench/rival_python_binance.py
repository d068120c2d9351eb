"""python-binance, synchronous, as its examples have it."""

import os
import sys

from binance.client import Client

BASE, KEY, SECRET = (os.environ[name] for name in ("BENCH_URL", "BENCH_KEY", "BENCH_SECRET"))


def main() -> int:
    """Run once; exit 0 when the second reading is empty."""
    client = Client(KEY, SECRET, ping=False)
    client.FUTURES_URL = f"{BASE}/fapi"
    positions = [p for p in client.futures_position_information() if float(p["positionAmt"])]
    algo = client._request_futures_api("get", "openAlgoOrders", True, data={})  # noqa: SLF001
    orders = client.futures_get_open_orders()
    held = {row["symbol"]: row["positionAmt"] for row in positions}
    for symbol in sorted({row["symbol"] for row in (*orders, *algo)} | held.keys()):
        client.futures_cancel_all_open_orders(symbol=symbol)
        client._request_futures_api("delete", "algoOpenOrders", True, data={"symbol": symbol})  # noqa: SLF001
        if symbol in held:
            amount = held[symbol]
            client.futures_create_order(
                symbol=symbol,
                side="BUY" if amount.startswith("-") else "SELL",
                type="MARKET",
                quantity=amount.lstrip("-"),
                reduceOnly="true",
            )
    left = [p for p in client.futures_position_information() if float(p["positionAmt"])]
    return int(bool(left or client.futures_get_open_orders()))


sys.exit(main())
