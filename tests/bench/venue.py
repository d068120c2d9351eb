"""The venue of the benchmark, in a process of its own: a fresh account for every run.

It takes one JSON order a line on stdin and answers with one line on stdout. `open` starts serving
an account and tells where; `close` stops and tells what the venue saw, with the time in seconds
since the epoch of the first signed request, of the last position closed, of the last order gone.
Times are taken where the venue acts, half a latency after the request left the client; that of the
first write as it arrives.
"""

import asyncio
import gc
import json
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trustme
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_request import BaseRequest

from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.scenario import Scenario, make_large_account
from liqctl.sim.server import API_KEY, API_SECRET, LOOPBACK, RunningServer, start_server
from liqctl.sim.venue import Reply, Request, Venue

_NO_ORDERS: Final = ("/listenKey", "/order/test")
"""What is written and changes no account."""


@dataclass(slots=True)
class WatchedVenue:
    """A venue that notes when its account became flat."""

    venue: Venue
    kinds: Counter[str] = field(default_factory=Counter)
    first_signed_at: float = 0.0
    first_write_at: float = 0.0
    closed_at: float = 0.0
    flat_at: float = 0.0
    last_at: float = 0.0

    @property
    def subs(self) -> dict[str, Venue]:
        """There is one account only."""
        return {}

    @property
    def master(self) -> Venue:
        """The account that the streams are of."""
        return self.venue

    def holder_of(self, path: str) -> Venue:
        """Return whose stream a path is: there is one account only."""
        return self.venue.holder_of(path) or self.venue

    def handle(self, request: Request, now_ms: int) -> Reply:
        """Answer a request and look at the account afterwards."""
        self.last_at = time.time()
        if not self.first_signed_at and "signature=" in request.query + request.body:
            self.first_signed_at = self.last_at
        self.kinds[f"{request.method} {request.path.rpartition('/')[2]}"] += 1
        reply = self.venue.handle(request, now_ms)
        if request.method != "GET":
            self._look(time.time())
        return reply

    def arrived(self, method: str, path: str) -> None:
        """Note when the first write arrived: before the latency, and before its body was read."""
        is_order = method != "GET" and not path.partition("?")[0].endswith(_NO_ORDERS)
        if is_order and not self.first_write_at:
            self.first_write_at = time.time()

    def _look(self, now: float) -> None:
        account = self.venue.account
        if any(holding.amount for holding in account.holdings.values()):
            self.closed_at = self.flat_at = 0.0
            return
        self.closed_at = self.closed_at or now
        if account.is_flat:
            self.flat_at = self.flat_at or now
        else:
            self.flat_at = 0.0

    def report(self) -> dict[str, Any]:
        """Return what was seen and what is left."""
        account = self.venue.account
        return {
            "first_signed_at": self.first_signed_at,
            "first_write_at": self.first_write_at,
            "closed_at": self.closed_at,
            "flat_at": self.flat_at,
            "last_at": self.last_at,
            "requests": self.kinds.total(),
            "kinds": dict(self.kinds.most_common()),
            "flat": account.is_flat,
            "positions_left": sum(1 for h in account.holdings.values() if h.amount),
            "orders_left": len(account.open_orders()) + len(account.open_algo_orders()),
            "wrong_fills": sum(
                1 for *_, before, after in account.journal.fills if abs(after) > abs(before)
            ),
        }


@dataclass(slots=True)
class Service:
    """What is being served now, and the authority behind its certificate."""

    authority: Path
    context: ssl.SSLContext
    watched: WatchedVenue | None = None
    server: RunningServer | None = None

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order of the benchmark."""
        if order["act"] == "close":
            return await self._close()
        scenario = (
            make_large_account(symbols=order["symbols"]) if order["symbols"] else Scenario(name="")
        )
        venue = scenario.make_venue(api_key=API_KEY, api_secret=API_SECRET)
        for fault in order.get("faults", ()):
            kind = fault.pop("kind")
            venue.faults.append(Fault(name=kind, effect=KINDS[kind], **fault))
        self.watched = WatchedVenue(venue)
        self.server = await start_server(
            self.watched,  # type: ignore[arg-type]  # serves like the venue it watches
            host=LOOPBACK,
            latency_ms=order["latency_ms"],
            ssl_context=self.context if order["tls"] else None,
        )
        _tell_arrivals(self.server, self.watched)
        gc.collect()
        return {"url": self.server.url, "key": API_KEY, "secret": API_SECRET}

    async def _close(self) -> dict[str, Any]:
        if self.server is None or self.watched is None:
            return {}
        await self.server.close()
        return self.watched.report()


def _tell_arrivals(server: RunningServer, watched: WatchedVenue) -> None:
    arrivals = server.runner.server
    assert arrivals is not None
    make_request = arrivals.request_factory

    def make(message: RawRequestMessage, *parts: Any) -> BaseRequest:
        watched.arrived(message.method, message.path)
        return make_request(message, *parts)

    arrivals.request_factory = make


def make_service(folder: Path) -> Service:
    """Return a service whose certificate is good for loopback; the authority lies in `folder`."""
    authority = trustme.CA()
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOOPBACK, "localhost").configure_cert(context)
    return Service(authority=path, context=context)


async def main() -> None:
    """Obey until stdin ends."""
    service = make_service(Path(sys.argv[1]))
    while line := await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps(await service.obey(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
