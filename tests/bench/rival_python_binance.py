"""python-binance, synchronous, as its examples have it.

Its constructor pings the spot host: so it does where `BENCH_SPOT` is set; elsewhere it is spared.
"""

import os
import sys

from binance.client import Client  # type: ignore[import-not-found]

BASE, KEY, SECRET = (os.environ[name] for name in ("BENCH_URL", "BENCH_KEY", "BENCH_SECRET"))


def main() -> int:
    """Run once; exit 0 when the second reading is empty."""
    Client.API_URL = f"{BASE}/api"
    client = Client(KEY, SECRET, ping="BENCH_SPOT" in os.environ, requests_params=_tls())
    client.FUTURES_URL = f"{BASE}/fapi"
    positions = [p for p in client.futures_position_information() if float(p["positionAmt"])]
    algo = client._request_futures_api("get", "openAlgoOrders", True, data={})
    orders = client.futures_get_open_orders()
    held = {row["symbol"]: row["positionAmt"] for row in positions}
    for symbol in sorted({row["symbol"] for row in (*orders, *algo)} | held.keys()):
        client.futures_cancel_all_open_orders(symbol=symbol)
        client._request_futures_api("delete", "algoOpenOrders", True, data={"symbol": symbol})
        if symbol in held:
            amount = held[symbol]
            client.futures_create_order(
                symbol=symbol,
                side="BUY" if amount.startswith("-") else "SELL",
                type="MARKET",
                quantity=amount.lstrip("-"),
                reduceOnly="true",
            )
    if not (held or orders or algo):
        print("nothing is open")
        return 0
    left = [p for p in client.futures_position_information() if float(p["positionAmt"])]
    orders = client.futures_get_open_orders()
    print(f"{len(left)} positions and {len(orders)} orders left")
    return int(bool(left or orders))


def _tls() -> dict[str, str]:
    """Return how to verify the venue's certificate."""
    authority = os.environ.get("BENCH_AUTHORITY")
    return {"verify": authority} if authority else {}


sys.exit(main())
