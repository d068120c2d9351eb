"""Single orders against `batchOrders` of five, both in bare aiohttp: which is flat earlier?

    python -m tests.bench.batches

The same reads and cancels, then the closes: one request each, or one for five. Prints the time
from the first signed request to the last position closed.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))  # the rivals' Python does not know us
from tests.bench import runs
from tests.bench.runs import Setting, measure, open_venues

RUNS: Final = 7
BATCH_MAX: Final = 5
WAYS: Final = ("singles", "batches")


async def close_all(way: str) -> None:
    """Read, cancel everything, close everything in one of the two ways."""
    import aiohttp

    from tests.bench.rival_aiohttp import call

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        rows: Any = await call(session, "GET", "/fapi/v3/positionRisk")
        held = [row for row in rows if float(row["positionAmt"])]
        paths = ("/fapi/v1/allOpenOrders", "/fapi/v1/algoOpenOrders")
        await asyncio.gather(
            *(call(session, "DELETE", path, symbol=r["symbol"]) for r in held for path in paths)
        )
        orders = [_close(row) for row in held]
        if way == "singles":
            posts = [call(session, "POST", "/fapi/v1/order", **order) for order in orders]
        else:
            posts = [
                call(
                    session,
                    "POST",
                    "/fapi/v1/batchOrders",
                    batchOrders=json.dumps(orders[start : start + BATCH_MAX]),
                )
                for start in range(0, len(orders), BATCH_MAX)
            ]
        answers = await asyncio.gather(*posts)
        sys.stdout.write(f"{answers[0]}"[:300])


def _close(row: dict[str, str]) -> dict[str, str]:
    amount = row["positionAmt"]
    return {
        "symbol": row["symbol"],
        "side": "BUY" if amount.startswith("-") else "SELL",
        "type": "MARKET",
        "quantity": amount.lstrip("-"),
        "reduceOnly": "true",
    }


def compare() -> None:
    """Measure both ways, interleaved."""
    for way in WAYS:
        runs.SCRIPTS[way] = (Path(__file__).name, way)
    with open_venues() as venues:
        for symbols in (5, 60, 200):
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(RUNS):
                for way in WAYS:
                    run = measure(way, venues, Setting(symbols=symbols, latency_ms=60))
                    assert not run.positions_left, run.said
                    seconds[way].append(run.closed_s - run.signed_s)
            found = " ".join(f"{way} {median(seconds[way]):.3f} s" for way in WAYS)
            sys.stdout.write(f"{symbols} symbols: {found}\n")


if __name__ == "__main__":
    if "BENCH_URL" in os.environ:
        asyncio.run(close_all(sys.argv[1]))
    else:
        compare()
