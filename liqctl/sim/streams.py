"""User data streams: listen keys, connections, and what is sent on them.

A product has a host and a key of its own; portfolio margin has one of both for both products. All
programs of an account share the key (assumed): who ends it ends it for all.

    /private/ws/KEY, /private/ws?listenKey=KEY&events=A/B, /private/stream?listenKey=KEY    USDS-M
    /ws/KEY, /stream?streams=KEY                                                            COIN-M
    /pm/ws/KEY                                                                    portfolio margin

A connection with any other key is accepted and stays silent: that is how a USDS-M key on the old
path /ws/KEY has behaved since 2026-04-23 (change log, read 2026-11-23); for an unknown key it is
assumed. Nothing is repeated: what happens while nobody is connected is never told.

Bodies: Binance USDS-M, COIN-M and portfolio margin user data stream pages, read 2026-01 and
2026-11-23. Assumed: what portfolio margin's rows lack, and COIN-M's `ALGO_UPDATE`, which other
clients handle and no page names.
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

from liqctl.kernel.amounts import plain
from liqctl.kernel.states import Product
from liqctl.sim.market import Purse, leg_of, portfolio_of, purses_of, ratio_of
from liqctl.sim.orders import AlgoOrder, Holding, Order, Refused, Trade, Transfer, pick, tell

if TYPE_CHECKING:
    from liqctl.sim.faults import Fault
    from liqctl.sim.venue import Venue

KEY_LIFE_MS: Final = 3_600_000
CONNECTION_LIFE_MS: Final = 86_400_000
WAITING_MAX: Final = 10_000
"""Frames that wait for a reader before its connection is cut: nobody reads that late."""

Body = dict[str, Any]

HOSTS: Final = {Product.USDM: "fapi", Product.COINM: "dapi"}
PORTFOLIO: Final = "papi"
STREAM_PATHS: Final = {
    "/private/ws": "fapi",
    "/private/stream": "fapi",
    "/ws": "dapi",
    "/stream": "dapi",
    "/pm/ws": PORTFOLIO,
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


@dataclass(slots=True)
class Streams:
    """The listen keys of an account and its open connections; the account tells what changes."""

    venue: "Venue"
    keys: dict[str, tuple[str, int]] = field(default_factory=dict)  # by host, and when each dies
    feeds: list["Connection"] = field(default_factory=list)
    faults: "list[Fault]" = field(default_factory=list)
    _keys_made: int = 0

    # -- listen keys -------------------------------------------------------------------------

    def start(self, host: str) -> str:
        """Return the host's key, a new one where none lives, and let it live an hour from now."""
        if host not in self.keys:
            self._keys_made += 1
            seed = f"{self.venue.alias} {self._keys_made}"
            self.keys[host] = (hashlib.sha256(seed.encode()).hexdigest(), 0)
        return self.extend(host)

    def extend(self, host: str) -> str:
        """Let the host's key live an hour from now; refuse one that is dead."""
        ends_ms = self.venue.now_ms + KEY_LIFE_MS
        key = self.keys[host] = (self._living(host), ends_ms)

        def age() -> None:
            if self.keys.get(host) == key:
                self.expire(host)

        self.venue.account.schedule(ends_ms, age)
        return key[0]

    def end(self, host: str) -> None:
        """Let nobody hear anything any more; refuse a key that is dead."""
        self._living(host)
        del self.keys[host]

    def expire(self, host: str) -> None:
        """Let a key die, and say so."""
        if host in self.keys:
            frame = {"e": _EXPIRED, "E": str(self.venue.now_ms), "listenKey": self._living(host)}
            self._send(host, frame)
            del self.keys[host]

    def _living(self, host: str) -> str:
        if host not in self.keys:
            raise Refused(-1125)
        return self.keys[host][0]

    # -- connections -------------------------------------------------------------------------

    def owns(self, key: str) -> bool:
        """Return whether a key is the account's and lives."""
        return any(key == text for text, _ in self.keys.values())

    def accept(self, target: Target) -> bool:
        """Return whether a connection is to hear what happens; one that is not never gets anything.

        Raises:
            HandshakeError: a fault refuses it.
        """
        product = next((name for name, host in HOSTS.items() if host == target.host), "")
        fault = self._fault("", str(product), "", at_handshake=True)
        if fault is not None and fault.effect.status:
            raise HandshakeError(fault.effect.status)
        return fault is None

    def cut(self, host: str = "") -> None:
        """End the connections of a host, or all."""
        for feed in self.feeds:
            if host in {"", feed.target.host}:
                feed.put(self.venue.now_ms)

    def wake(self) -> None:
        """Let whoever waits look again: something is to happen later."""
        for feed in self.feeds:
            feed.changed.set()

    # -- what is sent ------------------------------------------------------------------------

    def order_changed(
        self, order: Order, what: str, *, trade: Trade | None = None, reason: int = 0
    ) -> None:
        """Tell of an order: what happened to it (`x` of the venue), and why it expired (`er`)."""
        if not self.feeds:
            return
        account = self.venue.account
        market = account.markets[order.symbol]
        body = {
            **pick(order.describe(), _ORDER),
            "x": what,
            **dict.fromkeys(("l", "L", "b", "a", "rp"), "0"),
            **dict.fromkeys(("t", "si", "ss"), 0),
            "m": False,
            "er": str(reason),
        }
        if market.contract_size:
            body["ma"] = market.settle_asset
        if trade is not None:
            body |= tell(trade, "l=quantity L=price t=trade_id rp=realized_pnl N=fee_asset")
            body["n"] = f"{trade.fee:.8f}"
            if market.product is Product.USDM:  # Neither the order's state nor its leg.
                self._tell(market.product, "TRADE_LITE", pick(body, _TRADE_LITE), order.symbol)
            self._tell_leg(account.holdings[order.leg])
        self._tell(market.product, "ORDER_TRADE_UPDATE", {"o": body}, order.symbol)

    def algo_changed(self, algo: AlgoOrder) -> None:
        """Tell of a conditional order."""
        if not self.feeds:
            return
        product = self.venue.account.markets[algo.symbol].product
        if not self.venue.is_portfolio:
            self._tell(product, "ALGO_UPDATE", {"o": _algo_body(algo)}, algo.symbol)
        elif product is Product.USDM:
            self._tell(product, "ALGO_UPDATE", {"ao": _algo_body(algo)}, algo.symbol)
        else:
            # Portfolio margin's word for COIN-M.
            body = pick(algo.describe_strategy(), _STRATEGY) | {"cp": algo.close_position}
            body |= {"i": algo.child_id or 0, "V": "EXPIRE_MAKER", "gtd": 0}
            self._tell(product, "CONDITIONAL_ORDER_TRADE_UPDATE", {"so": body}, algo.symbol)

    def wallet_changed(self, transfer: Transfer) -> None:
        """Tell of money that came or left."""
        if self.feeds:
            reason = "DEPOSIT" if transfer.amount > 0 else "WITHDRAW"
            self._tell_wallet(transfer.product, transfer.asset, reason, moved=transfer.amount)

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
        self._send(PORTFOLIO, frame)

    def lie(self, symbol: str, position_side: str, amount: Decimal) -> None:
        """Tell of a position that is not so."""
        price = self.venue.account.market(symbol).mark_price
        self._tell_leg(
            Holding(symbol=symbol, position_side=position_side, amount=amount, entry_price=price)
        )

    def _tell_leg(self, held: Holding) -> None:
        account = self.venue.account
        market = account.markets[held.symbol]
        entry = held.entry_price if held.amount else Decimal(0)
        row = {
            **tell(held, "s=symbol pa=amount ps=position_side"),
            **dict.fromkeys(("ep", "bep"), plain(entry)),
            **dict.fromkeys(("cr", "iw"), "0"),
            "up": f"{leg_of(account, held).profit:.8f}",
            "mt": "cross",
            "ma": market.settle_asset,
        }
        self._tell_wallet(market.product, market.settle_asset, "ORDER", row, symbol=held.symbol)

    def _tell_wallet(
        self,
        product: Product,
        asset: str,
        reason: str,
        *legs: Body,
        moved: Decimal = Decimal(0),
        symbol: str = "",
    ) -> None:
        """Tell of the one wallet and the one leg that changed."""
        wallet = purses_of(self.venue.account, product, ()).get(asset, Purse()).wallet
        balance = {"a": asset, **dict.fromkeys(("wb", "cw"), f"{wallet:.8f}"), "bc": plain(moved)}
        body = {"m": reason, "B": [balance], "P": legs}
        self._tell(product, "ACCOUNT_UPDATE", {"a": body}, symbol)

    def _tell(self, product: Product, event: str, body: dict[str, Any], symbol: str = "") -> None:
        now_ms = self.venue.now_ms
        told: dict[str, Any] = {"e": event, "E": now_ms, "T": now_ms}
        host = HOSTS[product]
        if self.venue.is_portfolio:
            host = PORTFOLIO
            told["fs"] = "UM" if product is Product.USDM else "CM"
        elif product is Product.COINM:
            told["i"] = self.venue.alias
        self._send(host, told | body, product, symbol)

    def _send(
        self, host: str, frame: dict[str, Any], product: Product | str = "", symbol: str = ""
    ) -> None:
        """Put a frame on each connection that has the host's living key and wants the event."""
        (key, _), event = self.keys.get(host, ("", 0)), frame["e"]
        text = json.dumps(frame)
        for feed in self.feeds:
            target = feed.target
            is_meant = key and (target.host, target.key) == (host, key)
            is_wanted = not target.events or event in {_EXPIRED, *target.events}
            if not is_meant or not is_wanted or not feed.hears:
                continue
            sent = f'{{"stream":"{target.key}","data":{text}}}' if target.is_wrapped else text
            fault = self._fault(event, str(product), symbol)
            if fault is None:
                feed.put(self.venue.now_ms, sent)
                continue
            effect = fault.effect
            if effect.drop:
                feed.put(self.venue.now_ms)
            for _ in range(effect.copies):
                left_ms = self.venue.now_ms + effect.late_ms
                feed.put(left_ms, sent[: len(sent) // 2] if effect.garble else sent)

    def _fault(
        self, event: str, product: str, symbol: str, *, at_handshake: bool = False
    ) -> "Fault | None":
        hit = {"event": event, "product": product, "symbol": symbol}
        for fault in self.faults:
            is_meant = fault.effect.at_handshake is at_handshake
            if is_meant and fault.takes(self.venue.since_ms, **hit):
                self.venue.account.journal.faults.append(fault.name)
                return fault
        return None


# -- the bodies of events: short names, numbers as texts, ids and times as numbers ----------------

_ORDER: Final = (
    "s=symbol c=clientOrderId S=side o=type f=timeInForce q=origQty p=price ap=avgPrice "
    "sp=stopPrice X=status i=orderId z=executedQty T=updateTime R=reduceOnly wt=workingType "
    "ot=origType ps=positionSide cp=closePosition pP=priceProtect V=selfTradePreventionMode "
    "pm=priceMatch gtd=goodTillDate"
)
_ALGO: Final = (
    "caid=clientAlgoId aid=algoId at=algoType o=orderType s=symbol S=side ps=positionSide "
    "f=timeInForce X=algoStatus ai=actualOrderId tp=triggerPrice p=price "
    "V=selfTradePreventionMode wt=workingType pm=priceMatch cp=closePosition pP=priceProtect "
    "R=reduceOnly tt=triggerTime gtd=goodTillDate"
)
_STRATEGY: Final = (
    "s=symbol c=newClientStrategyId si=strategyId S=side st=strategyType f=timeInForce q=origQty "
    "p=price sp=stopPrice os=strategyStatus T=bookTime ut=updateTime R=reduceOnly wt=workingType "
    "ps=positionSide AP=activatePrice cr=priceRate"
)
_TRADE_LITE: Final = "s q p m c S L l t i"


def _algo_body(algo: AlgoOrder) -> Body:
    """Return what ALGO_UPDATE says of a conditional order."""
    row = algo.describe()
    return {
        **pick(row, _ALGO),
        "q": row["quantity"] or "0",
        "ap": "0",
        "aq": "0",
        "act": "",
        "rm": algo.rejection,
        "ia": True,
    }


class Connection:
    """One open connection: what waits to be sent on it, by the moment when it leaves the venue.

    Its client gets frames half the latency later. The world goes on while somebody waits here,
    though no request arrives.
    """

    def __init__(
        self, venue: "Venue", url: str, *, clock: Callable[[], int], latency_s: float = 0.0
    ) -> None:
        """Connect; `clock` tells the client's milliseconds.

        Raises:
            HandshakeError: there is no stream at the URL, or a fault refuses it.
        """
        self._venue, self._clock = venue, clock
        self._travel_ms = round(latency_s * 1000 / 2)
        self._pass_time()
        target = read_target(url)
        if target is None:
            raise HandshakeError(404)
        self.target, self.hears = target, venue.streams.accept(target)
        self.changed = asyncio.Event()
        self._waiting: list[tuple[int, int, str]] = []
        self._number = 0
        self._ends_ms = venue.now_ms + CONNECTION_LIFE_MS
        self.put(self._ends_ms, _END)
        venue.streams.feeds.append(self)

    def put(self, at_ms: int, text: str = _END) -> None:
        """Let a frame leave at a moment, or without one the connection end."""
        if len(self._waiting) > WAITING_MAX:
            text = _END
            self._waiting.clear()
        self._number += 1
        heappush(self._waiting, (at_ms, self._number, text))
        self.changed.set()

    @property
    def is_closed(self) -> bool:
        """Whether it has ended, from either side."""
        return self not in self._venue.streams.feeds

    @property
    def is_old(self) -> bool:
        """Whether the venue ends it for its age."""
        return self._venue.now_ms >= self._ends_ms

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
        while not self.is_closed:
            now_ms = self._pass_time()
            arrives_ms = self._waiting[0][0] + self._travel_ms
            if arrives_ms > now_ms:
                self.changed.clear()
                wait_ms = min([arrives_ms, *self._venue.due_ms]) - now_ms
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_ms / 1000):
                        await self.changed.wait()
                continue
            frame = heappop(self._waiting)[2]
            if frame != _END:
                return frame
            await self.close()
        return None

    async def close(self) -> None:
        """End it; whoever waits for a frame gets None. Closing twice is safe."""
        if not self.is_closed:
            self._venue.streams.feeds.remove(self)
        self.changed.set()

    def _pass_time(self) -> int:
        """Let the world act up to now; return the moment on the venue's clock."""
        now_ms = self._clock() + self._venue.clock_skew_ms
        self._venue.pass_time(now_ms)
        return now_ms
