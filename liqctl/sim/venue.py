"""The simulated venue: one request in, one answer out, time and faults given from outside.

Authentication, limits and faults are here; what orders do is in `account`, which endpoint does what
in `endpoints`. Both doors (`memory`, `server`) call `handle` and add only how the answer travels.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from liqctl.sim.account import Account
from liqctl.sim.authentication import check_key, check_signature, check_timestamp
from liqctl.sim.endpoints import ROUTES
from liqctl.sim.faults import Effect, Fault
from liqctl.sim.orders import Listing
from liqctl.sim.refusal import Refused
from liqctl.sim.routes import Route
from liqctl.sim.spoiling import readable_rows, rows_of, spoil

WEIGHT_LIMIT_1M: Final = 2400
ORDERS_LIMIT_10S: Final = 300
ORDERS_LIMIT_1M: Final = 1200
_STUBBORN_MAX: Final = 20
"""How many requests over the limit are answered 429 before the address is banned."""

_BAN_MS: Final = 120_000
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
class Event:
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


@dataclass(slots=True)
class _Window:
    length_ms: int
    used: int = 0
    started_ms: int = 0

    def add(self, amount: int, now_ms: int) -> int:
        start = now_ms - now_ms % self.length_ms
        if start != self.started_ms:
            self.used, self.started_ms = 0, start
        self.used += amount
        return self.used


@dataclass(slots=True, kw_only=True)
class Venue:
    """One venue with one account behind one key.

    `api_secret` is the HMAC secret, or the PEM public key of an RSA or Ed25519 account.
    `listed_ms` is the moment that the list under way shows.
    `clock_skew_ms` is how far the venue's clock is ahead of the caller's. `api_key` empty switches
    authentication off, for the door in memory.
    """

    account: Account
    api_key: str = ""
    api_secret: str = ""
    faults: list[Fault] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    clock_skew_ms: int = 0
    can_trade: bool = True
    can_withdraw: bool = False
    ip_restricted: bool = True
    portfolio_margin: bool = False
    other_weight: int = 0
    other_orders: int = 0
    weight_limit: int = WEIGHT_LIMIT_1M
    orders_limit_10s: int = ORDERS_LIMIT_10S
    orders_limit_1m: int = ORDERS_LIMIT_1M
    banned_until_ms: int = 0
    started_ms: int | None = None
    requests: int = 0
    now_ms: int = 0
    listed_ms: int = 0
    _weight: _Window = field(default_factory=lambda: _Window(60_000))
    _orders_10s: _Window = field(default_factory=lambda: _Window(10_000))
    _orders_1m: _Window = field(default_factory=lambda: _Window(60_000))
    _stubborn: int = 0

    def handle(self, request: Request, now_ms: int) -> Reply:
        """Answer one request that arrives at `now_ms` of the caller's clock."""
        params = request.params()
        self.tick(now_ms, request.path)
        self.requests += 1
        client_id = params.get("newClientOrderId") or params.get("origClientOrderId", "")
        self.account.journal.requests.append((self.now_ms, request.method, request.path, client_id))
        effect = self._effect(request, params)
        if effect.late_ms and (request.method, request.path) == ("POST", "/fapi/v1/order"):
            self.account.schedule(self.now_ms + effect.late_ms, lambda: self._land(params))
        if not effect.execute and (
            effect.drop or effect.refuse or effect.status or effect.delay_ms
        ):
            return self._replaced(effect, {})
        status, body, headers = self._answer(request, params, effect)
        if effect.garble:
            body = body[: max(len(body) // 2, 1)]
        reply = Reply(status=status, body=body, headers=headers | _JSON, effect=effect)
        if effect.status is not None or effect.body is not None:
            return self._replaced(effect, headers)
        return reply

    def tick(self, now_ms: int, path: str = "") -> None:
        """Let time pass, and the world act, up to a moment of the caller's clock."""
        now_ms += self.clock_skew_ms
        if self.started_ms is None:
            self.started_ms = now_ms
            self.account.begin(now_ms)
        since_ms = max(self.now_ms, now_ms) - self.started_ms
        timed = [event for event in self.events if not (event.on_path or event.on_request)]
        while timed:
            event = min(timed, key=lambda each: each.at_ms)
            if event.at_ms > since_ms:
                break
            self._pass(self.started_ms + event.at_ms)
            self._occur(event, event.at_ms)
            if event not in self.events:
                timed.remove(event)
        self._pass(now_ms)
        for event in list(self.events):
            is_due = since_ms >= event.at_ms and self.requests + 1 >= event.on_request
            if event not in timed and is_due and path.endswith(event.on_path):
                self._occur(event, since_ms)
        self.account.advance(self.now_ms)

    def calm(self) -> None:
        """Let nobody else do anything new from now on."""
        self.events.clear()
        self.account.calm()

    def _pass(self, now_ms: int) -> None:
        self.now_ms = max(self.now_ms, now_ms)
        self.account.advance(self.now_ms)

    def _land(self, params: Mapping[str, str]) -> None:
        """Carry out an order whose answer was given up long ago; nobody hears of a refusal."""
        with contextlib.suppress(Refused):
            self.account.place(params)

    def look(self, source: str) -> int:
        """Return the moment that the answer of a source shows, and keep it."""
        self.listed_ms = self.account.moment(source)
        return self.listed_ms

    def _occur(self, event: Event, since_ms: int) -> None:
        event.times -= 1
        if event.every_ms and event.times > 0:
            event.at_ms = since_ms + event.every_ms
        elif event.times <= 0 or not event.every_ms:
            self.events.remove(event)
        event.act(self)

    def _effect(self, request: Request, params: Mapping[str, str]) -> Effect:
        symbol = params.get("symbol", "")
        since_ms = self.now_ms - (self.started_ms or 0)
        for fault in self.faults:
            if fault.takes(request.method, request.path, symbol, since_ms):
                self.account.journal.faults.append(fault.name)
                return fault.effect
        return Effect()

    def _replaced(self, effect: Effect, headers: dict[str, str]) -> Reply:
        body = effect.body
        if body is None:
            error: dict[str, Any] = {"msg": effect.message}
            if effect.code:
                error = {"code": effect.code, **error}
            body = json.dumps(error)
        if effect.status == 418:  # noqa: PLR2004 - the venue's status for a ban
            body = body.replace("UNTIL", str(self.banned_until_ms))
        kind = {"Content-Type": "text/html"} if body.startswith("<") else _JSON
        return Reply(
            status=effect.status or 200,
            body=body,
            headers=headers | kind | dict(effect.headers),
            effect=effect,
        )

    def _answer(
        self, request: Request, params: dict[str, str], effect: Effect
    ) -> tuple[int, str, dict[str, str]]:
        """Carry the request out; return status, body and headers."""
        route = ROUTES.get((request.method, request.path))
        weight = route.weight_of(params) if route else 1
        used = self._weight.add(weight, self.now_ms) + self.other_weight
        headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
        try:
            self._check_limits(used)
            if route is None:
                return 404, '{"code":-5000,"msg":"Path not found"}', headers
            if route.signed:
                self._authenticate(request, params)
            if route.orders:
                headers |= self._count_orders(route, params)
            self.account.handling, self.listed_ms = effect, self.now_ms
            result = route.serve(self, params)
        except Refused as refusal:
            error = {"code": refusal.code, "msg": refusal.message}
            return refusal.status, json.dumps(error), headers
        finally:
            self.account.handling = Effect()
        if route.source:
            spoil(result, effect.spoil)
            self._note_listing(route.source, params, effect, result)
        return 200, json.dumps(result, ensure_ascii=False), headers

    def _note_listing(
        self, source: str, params: Mapping[str, str], effect: Effect, result: Any
    ) -> None:
        """Keep what a list showed, for the judges, if it was answered in full."""
        lost = effect.drop or effect.drip or effect.truncate or effect.garble
        if lost or effect.status is not None or effect.body is not None:
            return
        rows = readable_rows(result, effect.spoil)
        shown: frozenset[object]
        if source in {"positions", "account"}:
            shown = frozenset(
                (row["symbol"], row["positionSide"])
                for row in rows
                if row["positionAmt"].strip("-0.")
            )
        else:
            key = "orderId" if source == "orders" else "algoId"
            shown = frozenset(row[key] for row in rows)
        self.account.journal.listings.append(
            Listing(
                at_ms=self.now_ms,
                known_ms=self.now_ms + effect.delay_ms,
                source=source,
                moment_ms=self.listed_ms,
                symbol=params.get("symbol", ""),
                shown=shown,
                readable=len(rows) == len(rows_of(result) or []),
            )
        )

    def _check_limits(self, used: int) -> None:
        if self.now_ms < self.banned_until_ms:
            raise Refused(
                -1003,
                f"Way too many requests; IP(127.0.0.1) banned until {self.banned_until_ms}. "
                "Please use the websocket for live updates to avoid bans.",
                status=418,
            )
        if used <= self.weight_limit:
            return
        self._stubborn += 1
        if self._stubborn > _STUBBORN_MAX:
            self.banned_until_ms = self.now_ms + _BAN_MS
        raise Refused(
            -1003,
            f"Too many requests; current limit is {self.weight_limit} request weight per 1 MINUTE.",
            status=429,
        )

    def _count_orders(self, route: Route, params: Mapping[str, str]) -> dict[str, str]:
        count = route.orders_of(params)
        in_10s = self._orders_10s.add(count, self.now_ms) + self.other_orders
        in_1m = self._orders_1m.add(1 if count else 0, self.now_ms) + self.other_orders
        if in_10s > self.orders_limit_10s:
            raise Refused(
                -1015,
                f"Too many new orders; current limit is {self.orders_limit_10s} orders per 10 "
                "SECOND.",
                status=429,
            )
        if in_1m > self.orders_limit_1m:
            raise Refused(
                -1015,
                f"Too many new orders; current limit is {self.orders_limit_1m} orders per 1 "
                "MINUTE.",
                status=429,
            )
        return {"X-MBX-ORDER-COUNT-10S": str(in_10s), "X-MBX-ORDER-COUNT-1M": str(in_1m)}

    def _authenticate(self, request: Request, params: Mapping[str, str]) -> None:
        """Check key, then timestamp, then signature, as the venue does."""
        if self.api_key:
            check_key(request.headers, self.api_key)
        check_timestamp(params, self.now_ms)
        if self.api_key:
            check_signature(request.query, request.body, self.api_secret)
