"""User data streams: listen keys, connections, and what is sent on them.

A product has a host and a key of its own; portfolio margin has one of both for both products. All
programs of an account share the key (assumed): who ends it ends it for all.

    /private/ws/KEY, /private/ws?listenKey=KEY&events=A/B, /private/stream?listenKey=KEY    USDS-M
    /ws/KEY, /stream?streams=KEY                                                            COIN-M
    /pm/ws/KEY                                                                    portfolio margin

A connection with any other key is accepted and stays silent: that is how a USDS-M key on the old
path /ws/KEY has behaved since 2026-04-23 (change log, read 2026-11-23); for an unknown key it is
assumed. Nothing is repeated: what happens while nobody is connected is never told.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from typing_extensions import override

from liqctl.kernel.states import Product
from liqctl.sim.account import Listener
from liqctl.sim.frames import account_body, algo_body, order_body, strategy_body, trade_body
from liqctl.sim.money import Purse, portfolio_of, purses_of, ratio_of
from liqctl.sim.orders import AlgoOrder, Holding, Order, Refused, Trade, Transfer

if TYPE_CHECKING:
    from liqctl.sim.faults import StreamFault
    from liqctl.sim.venue import Venue

KEY_LIFE_MS: Final = 3_600_000
CONNECTION_LIFE_MS: Final = 86_400_000
WAITING_MAX: Final = 10_000
"""Frames that wait for a reader before its connection is cut: nobody reads that late."""

_HOSTS: Final = {Product.USDM: "fapi", Product.COINM: "dapi"}
_PORTFOLIO: Final = "papi"
STREAM_PATHS: Final = {
    "/private/ws": "fapi",
    "/private/stream": "fapi",
    "/ws": "dapi",
    "/stream": "dapi",
    "/pm/ws": _PORTFOLIO,
}
"""Which host's keys a path serves; those that end in `stream` wrap what they send."""

_EXPIRED: Final = "listenKeyExpired"
_END: Final = ""
"""What is sent last: the connection ends."""


class HandshakeError(ConnectionError):
    """A connection is not accepted; an HTTP status answers it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the handshake was answered with HTTP {status}")
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an address asks for: whose key, of which host, and which events; none means all."""

    host: str
    key: str
    events: frozenset[str]
    is_wrapped: bool


def read_target(url: str) -> Target | None:
    """Return what a URL or a path asks for, None where there is no stream."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    path, key = parts.path.rstrip("/"), query.get("listenKey") or query.get("streams", "")
    if path not in STREAM_PATHS:
        path, _, key = path.rpartition("/")
    if path not in STREAM_PATHS:
        return None
    events = frozenset(filter(None, query.get("events", "").split("/")))
    return Target(
        host=STREAM_PATHS[path], key=key, events=events, is_wrapped=path.endswith("/stream")
    )


@dataclass(slots=True, kw_only=True)
class ListenKey:
    """A listen key and when it dies."""

    text: str
    ends_ms: int


class Feed:
    """What waits to be sent on one connection, by the moment when it leaves the venue."""

    def __init__(self, target: Target, *, is_deaf: bool, now_ms: int) -> None:
        """Open; one that is deaf never gets anything."""
        self.target, self.is_deaf = target, is_deaf
        self.changed = asyncio.Event()
        self.ends_ms = now_ms + CONNECTION_LIFE_MS
        self._waiting: list[tuple[int, int, str]] = []
        self._number = 0
        self.put(self.ends_ms, _END)

    @property
    def next_ms(self) -> int:
        """When the next frame leaves."""
        return self._waiting[0][0]

    def put(self, at_ms: int, text: str = _END) -> None:
        """Let a frame leave at a moment, or without one the connection end."""
        if len(self._waiting) > WAITING_MAX:
            text = _END
            self._waiting.clear()
        self._number += 1
        heappush(self._waiting, (at_ms, self._number, text))
        self.changed.set()

    def take(self, until_ms: int) -> str | None:
        """Return the next frame that has left by a moment, None when none has."""
        return heappop(self._waiting)[2] if self.next_ms <= until_ms else None


@dataclass(slots=True)
class Streams(Listener):
    """The listen keys of an account and its open connections."""

    venue: "Venue"
    keys: dict[str, ListenKey] = field(default_factory=dict)  # by host
    feeds: list[Feed] = field(default_factory=list)
    faults: "list[StreamFault]" = field(default_factory=list)
    _keys_made: int = 0

    # -- listen keys -------------------------------------------------------------------------

    def start(self, host: str) -> str:
        """Return the host's key, a new one where none lives, and let it live an hour from now."""
        if host not in self.keys:
            self._keys_made += 1
            seed = f"{self.venue.alias} {self._keys_made}"
            text = hashlib.sha256(seed.encode()).hexdigest()
            self.keys[host] = ListenKey(text=text, ends_ms=0)
        return self.extend(host)

    def extend(self, host: str) -> str:
        """Let the host's key live an hour from now; refuse one that is dead."""
        key = self._living(host)
        key.ends_ms = ends_ms = self.venue.now_ms + KEY_LIFE_MS

        def age() -> None:
            if self.keys.get(host) is key and key.ends_ms == ends_ms:
                self.expire(host)

        self.venue.account.schedule(ends_ms, age)
        return key.text

    def end(self, host: str) -> None:
        """Let nobody hear anything any more; refuse a key that is dead."""
        self._living(host)
        del self.keys[host]

    def expire(self, host: str) -> None:
        """Let a key die, and say so."""
        if host in self.keys:
            key = self.keys[host].text
            frame = {"e": _EXPIRED, "E": str(self.venue.now_ms), "listenKey": key}
            self._send(host, frame)
            del self.keys[host]

    def _living(self, host: str) -> ListenKey:
        if host not in self.keys:
            raise Refused(-1125)
        return self.keys[host]

    # -- connections -------------------------------------------------------------------------

    def path_of(self, product: Product) -> str:
        """Return the right path for a product's events, with a key of its own."""
        host = self._host(product)
        path = next(path for path, served in STREAM_PATHS.items() if served == host)
        return f"{path}/{self.start(host)}"

    def owns(self, key: str) -> bool:
        """Return whether a key is the account's and lives."""
        return any(key == each.text for each in self.keys.values())

    def open(self, url: str) -> Feed:
        """Accept a connection.

        Raises:
            HandshakeError: there is no stream at the path, or a fault refuses it.
        """
        target = read_target(url)
        if target is None:
            raise HandshakeError(404)
        product = next((name for name, host in _HOSTS.items() if host == target.host), "")
        fault = self._fault("", str(product), "", at_handshake=True)
        if fault is not None and fault.effect.status:
            raise HandshakeError(fault.effect.status)
        feed = Feed(target, is_deaf=fault is not None, now_ms=self.venue.now_ms)
        self.feeds.append(feed)
        return feed

    def cut(self, host: str = "") -> None:
        """End the connections of a host, or all."""
        for feed in self.feeds:
            if host in {"", feed.target.host}:
                feed.put(self.venue.now_ms)

    @override
    def wake(self) -> None:
        for feed in self.feeds:
            feed.changed.set()

    # -- what is sent ------------------------------------------------------------------------

    @override
    def order_changed(
        self, order: Order, what: str, *, trade: Trade | None = None, reason: int = 0
    ) -> None:
        if not self.feeds:
            return
        account = self.venue.account
        market = account.markets[order.symbol]
        if trade is not None:
            if market.product is Product.USDM:
                self._tell(market.product, "TRADE_LITE", trade_body(trade), order.symbol)
            self._tell_leg(account.holdings[order.leg])
        body = order_body(order, market, what=what, trade=trade, reason=reason)
        self._tell(market.product, "ORDER_TRADE_UPDATE", {"o": body}, order.symbol)

    @override
    def algo_changed(self, algo: AlgoOrder) -> None:
        if not self.feeds:
            return
        product = self.venue.account.markets[algo.symbol].product
        if not self.venue.is_portfolio:
            self._tell(product, "ALGO_UPDATE", {"o": algo_body(algo)}, algo.symbol)
        elif product is Product.USDM:
            self._tell(product, "ALGO_UPDATE", {"ao": algo_body(algo)}, algo.symbol)
        else:
            body = {"so": strategy_body(algo)}
            self._tell(product, "CONDITIONAL_ORDER_TRADE_UPDATE", body, algo.symbol)

    @override
    def wallet_changed(self, transfer: Transfer) -> None:
        if not self.feeds:
            return
        account, product = self.venue.account, transfer.product
        body = account_body(
            account,
            reason="DEPOSIT" if transfer.amount > 0 else "WITHDRAW",
            asset=transfer.asset,
            wallet=self._wallet(product, transfer.asset),
            moved=transfer.amount,
        )
        self._tell(product, "ACCOUNT_UPDATE", {"a": body})

    def risk_changed(self) -> None:
        """Tell portfolio margin's state."""
        account = self.venue.account
        purse = portfolio_of(account)
        frame = {
            "e": "riskLevelChange",
            "E": self.venue.now_ms,
            "u": f"{ratio_of(purse):.8f}",
            "s": account.status,
            "eq": f"{purse.equity:.8f}",
            "ae": f"{purse.equity:.8f}",
            "m": f"{purse.maintenance:.8f}",
        }
        self._send(_PORTFOLIO, frame)

    def lie(self, symbol: str, position_side: str, amount: Decimal) -> None:
        """Tell of a position that is not so."""
        price = self.venue.account.market(symbol).mark_price
        self._tell_leg(
            Holding(symbol=symbol, position_side=position_side, amount=amount, entry_price=price)
        )

    def _tell_leg(self, held: Holding) -> None:
        account = self.venue.account
        market = account.markets[held.symbol]
        asset = market.settle_asset
        wallet = self._wallet(market.product, asset)
        body = account_body(account, reason="ORDER", asset=asset, wallet=wallet, held=held)
        self._tell(market.product, "ACCOUNT_UPDATE", {"a": body}, held.symbol)

    def _tell(self, product: Product, event: str, body: dict[str, Any], symbol: str = "") -> None:
        now_ms = self.venue.now_ms
        told: dict[str, Any] = {"e": event, "E": now_ms, "T": now_ms}
        if self.venue.is_portfolio:
            told["fs"] = "UM" if product is Product.USDM else "CM"
        elif product is Product.COINM:
            told["i"] = self.venue.alias
        self._send(self._host(product), told | body, product, symbol)

    def _send(
        self, host: str, frame: dict[str, Any], product: Product | str = "", symbol: str = ""
    ) -> None:
        """Put a frame on each connection that has the host's living key and wants the event."""
        key, event = self.keys.get(host), frame["e"]
        text = json.dumps(frame)
        for feed in self.feeds:
            target = feed.target
            is_meant = key is not None and (target.host, target.key) == (host, key.text)
            is_wanted = not target.events or event in {_EXPIRED, *target.events}
            if not is_meant or not is_wanted or feed.is_deaf:
                continue
            sent = f'{{"stream":"{target.key}","data":{text}}}' if target.is_wrapped else text
            fault = self._fault(event, str(product), symbol)
            if fault is None:
                feed.put(self.venue.now_ms, sent)
                continue
            effect = fault.effect
            if effect.cut:
                feed.put(self.venue.now_ms)
            for _ in range(effect.copies):
                left_ms = self.venue.now_ms + effect.late_ms
                feed.put(left_ms, sent[: len(sent) // 2] if effect.garble else sent)

    def _wallet(self, product: Product, asset: str) -> Decimal:
        return purses_of(self.venue.account, product, ()).get(asset, Purse()).wallet

    def _host(self, product: Product) -> str:
        return _PORTFOLIO if self.venue.is_portfolio else _HOSTS[product]

    def _fault(
        self, event: str, product: str, symbol: str, *, at_handshake: bool = False
    ) -> "StreamFault | None":
        since_ms = self.venue.now_ms - (self.venue.started_ms or 0)
        for fault in self.faults:
            if fault.effect.at_handshake is at_handshake and fault.takes(
                event, product, symbol, since_ms
            ):
                self.venue.account.journal.faults.append(fault.name)
                return fault
        return None


class Connection:
    """One open connection, the way its client sees it: frames come after half the latency.

    The world goes on while somebody waits here, though no request arrives.
    """

    def __init__(
        self, venue: "Venue", url: str, *, clock: Callable[[], int], latency_s: float = 0.0
    ) -> None:
        """Connect; `clock` tells the client's milliseconds.

        Raises:
            HandshakeError: the connection is not accepted.
        """
        self._venue, self._clock = venue, clock
        self._travel_ms = round(latency_s * 1000 / 2)
        self._pass_time()
        self._feed = venue.streams.open(url)

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, from either side."""
        return self._feed not in self._venue.streams.feeds

    @property
    def is_old(self) -> bool:
        """Whether the venue ends it for its age."""
        return self._venue.now_ms >= self._feed.ends_ms

    def __aiter__(self) -> AsyncIterator[str]:
        """Return the frames until the connection ends."""
        return self

    async def __anext__(self) -> str:
        """Return the next frame."""
        frame = await self.receive()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def __aenter__(self) -> Self:
        """Return the connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def receive(self) -> str | None:
        """Return the next frame, None once the connection has ended."""
        feed = self._feed
        while not self.is_closed:
            now_ms = self._pass_time()
            frame = feed.take(now_ms - self._travel_ms)
            if frame == _END:
                await self.close()
            elif frame is not None:
                return frame
            else:
                feed.changed.clear()
                due = [feed.next_ms + self._travel_ms, *self._venue.due_ms]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout((min(due) - now_ms) / 1000):
                        await feed.changed.wait()
        return None

    async def close(self) -> None:
        """End it; whoever waits for a frame gets None. Closing twice is safe."""
        if not self.is_closed:
            self._venue.streams.feeds.remove(self._feed)
        self._feed.changed.set()

    def _pass_time(self) -> int:
        """Let the world act up to now; return the moment on the venue's clock."""
        now_ms = self._clock() + self._venue.clock_skew_ms
        self._venue.pass_time(now_ms)
        return now_ms
