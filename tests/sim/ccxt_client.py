"""Ccxt as it is, pointed at the simulator."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from liqctl.sim.scenario import parse_scenario
from liqctl.sim.server import EmbeddedServer

Check = Callable[[Any], Awaitable[None]]


@asynccontextmanager
async def _client(server: EmbeddedServer, name: str) -> AsyncIterator[Any]:
    """Yield ccxt's own client with nothing changed but the hosts and a few options."""
    # Not `ccxt.async_support`: in a process that has run liqctl, that package is a lean stand-in.
    exchange = import_module(f"ccxt.async_support.{name}")
    client = getattr(exchange, name)(
        {
            "apiKey": server.api_key,
            "secret": server.api_secret,
            "enableRateLimit": False,
            "options": {
                "fetchCurrencies": False,
                "fetchMargins": False,
                "warnOnFetchOpenOrdersWithoutSymbol": False,
            },
        }
    )
    for section, url in client.urls["api"].items():
        if isinstance(url, str):
            path = url.partition("://")[2].partition("/")[2]
            client.urls["api"][section] = f"{server.url}/{path}"
    try:
        yield client
    finally:
        await client.close()


def with_client(check: Check, text: str, name: str = "binanceusdm") -> None:
    """Let the check use one of ccxt's exchanges against a served scenario."""
    scenario = parse_scenario(text, name="ccxt")

    async def run() -> None:
        with EmbeddedServer(scenario) as server:
            async with _client(server, name) as client:
                client.venue = server.venue
                await check(client)

    asyncio.run(run())
