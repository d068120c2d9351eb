"""The simulated venue: one request in, one answer out, time and faults given from outside.

Limits and faults are here; what is checked is in `checks`, what orders do is in `account`, which
endpoint answers what in `endpoints` and `routes`. Both doors (`memory`, `server`) call `handle` and
add only how the answer travels.
"""

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from liqctl.kernel.states import Product
from liqctl.sim.account import Account
from liqctl.sim.checks import Params, check_key, check_signature, check_timestamp
from liqctl.sim.faults import (
    STREAM_KINDS,
    Effect,
    Fault,
    make_fault,
    readable_rows,
    rows_of,
    spoil,
)
from liqctl.sim.hosts import (
    MINUTE_MS,
    UID_LIMIT,
    Weights,
    Windows,
    banned_text,
    dialect_of,
    host_of,
    product_of,
    used_up,
)
from liqctl.sim.market import Market
from liqctl.sim.orders import Listing, Refused, invalid, malformed
from liqctl.sim.streams import Streams

_FUTURES: Final = frozenset({"fapi", "dapi"})
"""Hosts where nothing shows of an account in portfolio margin."""

_SERVES: Final = {"fapi": False, "dapi": False, "papi": True}
"""Whether a host is for accounts in portfolio margin; the rest is refused as a wrong key is."""

_COINM_NUMBERS: Final = {
    -4087: -4089,
    -4088: -4090,
    -4118: -4112,
    -4131: -4113,
    -4164: -4178,
    -5028: -4188,
}
"""What dapi says instead of USDS-M's codes (COIN-M error page, read 2026-07-01)."""

_NARROWS: Final = ("symbol", "pair", "marginAsset")
"""Parameters that leave part of a list out."""

_JSON: Final = {"Content-Type": "application/json;charset=UTF-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrives; the query and body are raw, as they were signed.

    A door that signs nothing may give the parameters as they are: reading them back from a query
    takes an eighth of a run in virtual time.
    """

    method: str
    path: str
    query: str = ""
    body: str = ""
    given: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def params(self) -> dict[str, str]:
        """Return the parameters; where both name one, the query's counts."""
        if self.given is not None:
            return dict(self.given)
        texts = [text for text in (self.body, self.query) if text]
        return dict(pair for text in texts for pair in parse_qsl(text, keep_blank_values=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, and what the door must do to it on the way."""

    status: int
    body: str
    headers: dict[str, str]
    effect: Effect = field(default_factory=Effect)


@dataclass(slots=True, kw_only=True)
class WorldEvent:
    """Something the world does: at a time, or when the n-th request, or one to a path, arrives.

    With `every_ms` it happens again, `times` in all.
    """

    act: Callable[["Venue"], None]
    name: str = "event"
    at_ms: int = 0
    on_request: int = 0
    on_path: str = ""
    every_ms: int = 0
    times: int = 1

    @property
    def is_timed(self) -> bool:
        """Whether it waits for its time alone."""
        return not (self.on_path or self.on_request)


Json = dict[str, Any] | list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: where it is, what answers it and what that costs.

    `weight_all` is charged when no symbol narrows a list, `weight_uid` to the account and not to
    the address. `keyed` asks for the key, `signed` for a signature too. `orders` counts as orders.
    `source` names the list, of those that lag by themselves. `host`, `dialect` and `product` are
    what the path tells.
    """

    method: str
    path: str
    serve: Callable[["Call"], Json]
    weight: int = 1
    weight_all: int | None = None
    weight_uid: int = 0
    signed: bool = True
    keyed: bool = False
    orders: bool = False
    source: str = ""

    host = property(lambda self: host_of(self.path))
    dialect = property(lambda self: dialect_of(self.path))
    product = property(lambda self: product_of(self.path))


@dataclass(frozen=True, slots=True)
class Call:
    """One request at its endpoint: the venue, where it was sent, and the parameters.

    A symbol of the other product is as unknown there as one that does not exist.
    """

    venue: "Venue"
    route: Route
    params: Params

    def __post_init__(self) -> None:
        """Refuse a symbol of the other product."""
        market = self.account.markets.get(self.params.get("symbol", ""))
        if market is not None and market.product is not self.route.product:
            raise Refused(-1121)

    @property
    def account(self) -> Account:
        """The account that the endpoint is about."""
        return self.venue.account

    @property
    def market(self) -> Market:
        """The market of the symbol, which must be given."""
        return self.account.market(self.params.get("symbol"))

    @property
    def is_shown_empty(self) -> bool:
        """Whether the account is in portfolio margin, and asked where nothing of it shows."""
        return self.venue.portfolio_margin and self.route.host in _FUTURES

    @property
    def symbol(self) -> str:
        """The symbol that narrows a list, empty when none does."""
        symbol = self.params.get("symbol")
        return self.account.market(symbol).symbol if symbol else ""

    @property
    def markets(self) -> dict[str, Market]:
        """The markets of the product, or those that a symbol or, for COIN-M, a pair names."""
        symbol, pair = self.symbol, self.params.get("pair")
        if symbol:
            return {symbol: self.account.market(symbol)}
        markets = self.account.markets_of(self.route.product)
        if not pair or self.route.product is Product.USDM:
            return markets
        return {name: market for name, market in markets.items() if market.pair == pair}

    def number(self, name: str) -> int | None:
        """Return a parameter that is a whole number, None when it was not given."""
        text = self.params.get(name)
        if text is not None and not text.isdecimal():
            raise malformed(name)
        return None if text is None else int(text)

    def count(self, name: str, *, usual: int, most: float = math.inf) -> int:
        """Return a parameter that counts from 1 to `most`, the usual one when it was not given."""
        number = self.number(name)
        if number is not None and not 1 <= number <= most:
            raise invalid(name)
        return usual if number is None else number

    @property
    def batch(self) -> list[dict[str, Any]]:
        """The orders of a batch."""
        try:
            batch = json.loads(self.params.get("batchOrders", ""))
        except ValueError:
            batch = None
        if not isinstance(batch, list) or not all(isinstance(item, dict) for item in batch):
            raise malformed("batchOrders")
        return batch

    def look(self) -> int:
        """Return the moment that the answer of the route's source shows, and keep it."""
        self.venue.listed_ms = self.account.moment(self.route.source, self.route.product)
        return self.venue.listed_ms


@dataclass(slots=True, kw_only=True)
class Venue:
    """One venue with one account, behind one key or several."""

    account: Account
    routes: Mapping[tuple[str, str], Route]  # its endpoints by method and path
    api_key: str = ""  # empty switches authentication off
    api_secret: str = ""  # HMAC's, or the PEM public key of an RSA or Ed25519 account
    other_keys: dict[str, str] = field(default_factory=dict)  # and their secrets
    subs: Mapping[str, "Venue"] | None = None  # by email, of a master's account alone
    alias: str = "SgsR"  # what the balances of both products call the account
    faults: list[Fault] = field(default_factory=list)
    events: list[WorldEvent] = field(default_factory=list)
    clock_skew_ms: int = 0  # how far its clock is ahead of the caller's
    can_trade: bool = True
    can_withdraw: bool = False
    ip_restricted: bool = True
    portfolio_margin: bool = False  # so is the account; fapi's and dapi's lists are empty then
    um_numbers: bool = False  # dapi says USDS-M's codes
    weights: Weights = field(default_factory=Weights)  # the address's, shared with other accounts
    other_orders: int = 0
    orders_limit_10s: int = 300
    orders_limit_1m: int = 1200
    started_ms: int | None = None
    requests: int = 0
    listed_ms: int = 0  # the moment that the list under way shows
    ping_s: float = 180.0  # how often it pings whoever is connected to a stream
    streams: Streams = field(init=False)
    _windows: Windows = field(default_factory=Windows)

    def __post_init__(self) -> None:
        """Let the account's changes be told to those who are connected."""
        self.account.listener = self.streams = Streams(self)

    @property
    def now_ms(self) -> int:
        """The moment on the venue's clock."""
        return self.account.now_ms

    @property
    def since_ms(self) -> int:
        """How long it has been since the first request."""
        return self.now_ms - (self.started_ms or 0)

    @property
    def keys(self) -> dict[str, str]:
        """All keys of the account and their secrets, none when authentication is off."""
        return {self.api_key: self.api_secret, **self.other_keys} if self.api_key else {}

    @property
    def is_portfolio(self) -> bool:
        """Whether the account is in portfolio margin."""
        return self.account.portfolio or self.portfolio_margin

    def handle(self, request: Request, now_ms: int) -> Reply:
        """Answer one request that arrives at `now_ms` of the caller's clock."""
        params = request.params()
        self.tick(now_ms, request.path)
        self.requests += 1
        client_id = params.get("newClientOrderId") or params.get("origClientOrderId", "")
        self.account.journal.requests.append((self.now_ms, request.method, request.path, client_id))
        route = self.routes.get((request.method, request.path))
        effect = Effect()
        hit = {
            "method": request.method,
            "path": request.path,
            "host": host_of(request.path),
            "product": product_of(request.path),
            "symbol": params.get("symbol", ""),
        }
        fault = next((each for each in self.faults if each.takes(self.since_ms, **hit)), None)
        if fault is not None:
            self.account.journal.faults.append(fault.name)
            effect = fault.effect
        if effect.late_ms and route is not None and route.orders:

            def land() -> None:  # The answer was given up long ago: nobody hears of a refusal.
                with contextlib.suppress(Refused):
                    route.serve(Call(self, route, params))

            self.account.schedule(self.now_ms + effect.late_ms, land)
        headers: dict[str, str] = {}
        if effect.execute:
            status, body, headers = self._answer(request, route, params, effect)
            if effect.garble:
                body = body[: max(len(body) // 2, 1)]
            if effect.status is None and effect.body is None:
                return Reply(status=status, body=body, headers=headers | _JSON, effect=effect)
        told = effect.body
        if told is None:
            message = effect.message
            if effect.ban_ms:
                message = banned_text(self.now_ms + effect.ban_ms)
            error = self.error(request.path, effect.code, message)
            told = json.dumps(error if effect.code else {"msg": message})
        kind = {"Content-Type": "text/html"} if told.startswith("<") else _JSON
        return Reply(
            status=effect.status or 200,
            body=told,
            headers=headers | kind | dict(effect.headers),
            effect=effect,
        )

    def add_fault(self, kind: str, **settings: Any) -> None:
        """Let something go wrong from now on; errors are those of `make_fault`."""
        faults = self.streams.faults if kind in STREAM_KINDS else self.faults
        faults.append(make_fault(kind, **settings))

    def happen(self, event: WorldEvent, now_ms: int) -> None:
        """Let the world do something that was not planned, `at_ms` after a moment of the caller."""
        self.pass_time(now_ms + self.clock_skew_ms)
        event.at_ms += self.since_ms
        self.events.append(event)
        self.pass_time(self.now_ms)
        self.streams.wake()

    def holder_of(self, _: str) -> "Venue":
        """Return who a stream's address is for: there is nobody else."""
        return self

    @property
    def due_ms(self) -> list[int]:
        """When the next things happen by themselves, in no order."""
        timed = [(self.started_ms or 0) + each.at_ms for each in self.events if each.is_timed]
        return timed if self.account.due_ms is None else [*timed, self.account.due_ms]

    def tick(self, now_ms: int, path: str = "") -> None:
        """Let time pass, and the world act, up to a moment of the caller's clock."""
        self.pass_time(now_ms + self.clock_skew_ms)
        for event in [each for each in self.events if not each.is_timed]:
            is_due = self.since_ms >= event.at_ms and self.requests + 1 >= event.on_request
            if is_due and path.endswith(event.on_path):
                self._occur(event, self.since_ms)
        self.account.advance(self.now_ms)

    def pass_time(self, now_ms: int) -> None:
        """Let time pass up to a moment of the venue's clock, without a request."""
        if self.started_ms is None:
            self.started_ms = now_ms
            self.account.begin(now_ms)
        since_ms = max(self.now_ms, now_ms) - self.started_ms
        while True:
            due = [e for e in self.events if e.is_timed and e.at_ms <= since_ms]
            if not due:
                break
            event = min(due, key=lambda each: each.at_ms)
            self.account.advance(self.started_ms + event.at_ms)
            self._occur(event, event.at_ms)
        self.account.advance(now_ms)

    def error(self, path: str, code: int, message: str) -> dict[str, Any]:
        """Return an error as it is said there: dapi has numbers of its own for some."""
        has_own = host_of(path) == "dapi" and not self.um_numbers
        return {"code": _COINM_NUMBERS.get(code, code) if has_own else code, "msg": message}

    def calm(self) -> None:
        """Let nobody else do anything new from now on."""
        self.events.clear()
        self.account.calm()

    def _occur(self, event: WorldEvent, since_ms: int) -> None:
        event.times -= 1
        if event.every_ms and event.times > 0:
            event.at_ms = since_ms + event.every_ms
        else:
            self.events.remove(event)
        event.act(self)

    def _answer(
        self, request: Request, route: Route | None, params: dict[str, str], effect: Effect
    ) -> tuple[int, str, dict[str, str]]:
        """Carry the request out; return status, body and headers."""
        host = host_of(request.path)
        weight = route.weight if route else 1
        if route and route.weight_all is not None and not params.get("symbol"):
            weight = route.weight_all
        used = self.weights.count(host, weight, self.now_ms)
        name = "X-SAPI-USED-IP-WEIGHT-1M" if host == "sapi" else "X-MBX-USED-WEIGHT-1M"
        headers = {name: str(used)}
        try:
            self.weights.check(host, used, self.now_ms)
            if route is None:
                return 404, '{"code":-5000,"msg":"Path not found"}', headers
            # Key, then timestamp, then signature, as the venue does. The door in memory signs
            # nothing, and is the account's own.
            keys, key = self.keys if request.given is None else {}, ""
            if route.signed or route.keyed:
                key = check_key(request.headers, keys) if keys else ""
                self._check_kind(host)
            if route.signed:
                check_timestamp(params, self.now_ms)
                if key:
                    check_signature(request.query, request.body, keys[key])
            call = Call(self, route, params)
            if route.weight_uid:
                # It is the account's own, not the address's.
                used = self._windows.add("uid", MINUTE_MS, route.weight_uid, self.now_ms)
                if used > UID_LIMIT:
                    raise used_up(UID_LIMIT)
                headers["X-SAPI-USED-UID-WEIGHT-1M"] = str(used)
            if route.orders:
                headers |= self._count_orders(call)
            self.account.handling, self.listed_ms = effect, self.now_ms
            result = route.serve(call)
        except Refused as refusal:
            error = self.error(request.path, refusal.code, refusal.message)
            return refusal.status, json.dumps(error), headers
        finally:
            self.account.handling = Effect()
        if route.source:
            spoil(result, effect.spoil)
            self._note_listing(route, params, effect, result)
        return 200, json.dumps(result, ensure_ascii=False), headers

    def _note_listing(
        self, route: Route, params: Mapping[str, str], effect: Effect, result: Any
    ) -> None:
        """Keep what a list showed, for the judges, if it was answered in full."""
        lost = effect.drop or effect.drip or effect.truncate or effect.garble
        if lost or effect.status is not None or effect.body is not None:
            return
        rows = readable_rows(result, effect.spoil)
        shown: frozenset[object]
        if route.source in {"positions", "account"}:
            shown = frozenset(
                (row["symbol"], row["positionSide"])
                for row in rows
                if row["positionAmt"].strip("-0.")
            )
        else:
            ids = ("orderId", "algoId", "strategyId")
            shown = frozenset(next(row[key] for key in ids if key in row) for row in rows)
        self.account.journal.listings.append(
            Listing(
                at_ms=self.now_ms,
                known_ms=self.now_ms + effect.delay_ms,
                source=route.source,
                product=route.product,
                moment_ms=self.listed_ms,
                symbol=next((params[name] for name in _NARROWS if params.get(name)), ""),
                shown=shown,
                readable=len(rows) == len(rows_of(result) or []),
            )
        )

    def _check_kind(self, host: str) -> None:
        is_shown_empty = self.portfolio_margin and host in _FUTURES
        if _SERVES.get(host, self.is_portfolio) is not self.is_portfolio and not is_shown_empty:
            raise Refused(-2015, status=401)

    def _count_orders(self, call: Call) -> dict[str, str]:
        """Count the orders of a request, a batch's each; return the headers that tell the sums."""
        count = len(call.batch) if "batchOrders" in call.params else 1
        if call.route.host == "papi":  # It counts for itself, and minutes only.
            in_10s, in_1m = 0, self._windows.add("papi 1m", MINUTE_MS, count, self.now_ms)
        else:
            in_10s = self._windows.add("10s", 10_000, count, self.now_ms) + self.other_orders
            in_1m = self._windows.add("1m", MINUTE_MS, 1 if count else 0, self.now_ms)
            in_1m += self.other_orders
        for used, limit, span in (
            (in_10s, self.orders_limit_10s, "10 SECOND"),
            (in_1m, self.orders_limit_1m, "1 MINUTE"),
        ):
            if used > limit:
                raise Refused(
                    -1015,
                    f"Too many new orders; current limit is {limit} orders per {span}.",
                    status=429,
                )
        told = {"X-MBX-ORDER-COUNT-1M": str(in_1m)}
        return told | ({"X-MBX-ORDER-COUNT-10S": str(in_10s)} if in_10s else {})
