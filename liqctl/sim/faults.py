"""Things that go wrong, as data: which request is hit, and what happens to it.

An effect says whether the request is executed all the same: that is the whole difficulty of a lost
reply. World events (a bot trades, a symbol halts, somebody else closes) are in `events`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

UNKNOWN_TEXT: Final = "Unknown error, please check your request or try again later."


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What happens to a request.

    Attributes:
        execute: whether the venue carries the request out.
        status, code, message: an answer given instead of the true one; code 0 leaves it out.
        body: a raw body given instead.
        headers: headers added to the answer.
        drop: the connection is cut and nothing is answered.
        refuse: the connection is not accepted: the request provably never arrives.
        delay_ms: how long the answer takes.
        drip: the answer comes a byte a second.
        truncate: the answer's body is cut in the middle.
        garble: the answer's body is cut short, but framed as whole.
        late_ms: a new order is carried out this much later, and nobody knows it until then.
        hide_ms: look-ups deny a new order for this long, though it is carried out.
        slices, slice_ms: a new order fills in so many slices, one each so many milliseconds.
        spoil: what is done to the rows of a list, see `liqctl.sim.spoiling`.
    """

    execute: bool = True
    status: int | None = None
    code: int = 0
    message: str = ""
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    drop: bool = False
    refuse: bool = False
    delay_ms: int = 0
    drip: bool = False
    truncate: bool = False
    garble: bool = False
    late_ms: int = 0
    hide_ms: int = 0
    slices: int = 0
    slice_ms: int = 0
    spoil: str = ""


@dataclass(slots=True, kw_only=True)
class Fault:
    """An effect and the requests it hits.

    Matches when every given condition does. `skip` lets that many matching requests pass first;
    `times` bounds the hits, 0 for all. `from_ms` and `until_ms` bound the time since the start.
    """

    effect: Effect
    name: str = "fault"
    method: str = ""
    path: str = ""
    symbol: str = ""
    whole_account: bool = False
    writes: bool = False
    reads: bool = False
    skip: int = 0
    times: int = 1
    from_ms: int = 0
    until_ms: int = 0
    hits: int = 0
    passed: int = 0

    def takes(self, method: str, path: str, symbol: str, since_ms: int) -> bool:
        """Return whether the request is hit, and count it."""
        if self.times and self.hits >= self.times:
            return False
        if not (self._matches(method, path, symbol) and self._is_on(since_ms)):
            return False
        if self.passed < self.skip:
            self.passed += 1
            return False
        self.hits += 1
        return True

    def _matches(self, method: str, path: str, symbol: str) -> bool:
        wanted = (
            self.method in {"", method} and path.endswith(self.path) and self.symbol in {"", symbol}
        )
        narrowed = self.whole_account and bool(symbol)
        wrong_way = (self.writes and method == "GET") or (self.reads and method != "GET")
        return wanted and not narrowed and not wrong_way

    def _is_on(self, since_ms: int) -> bool:
        return self.from_ms <= since_ms and not (self.until_ms and since_ms >= self.until_ms)


def make_fault(kind: str, **settings: Any) -> Fault:
    """Return a fault of a kind; settings are those of the fault, or change its effect.

    Raises:
        KeyError: there is no such kind.
        TypeError: there is no such setting.
    """
    changes = {name: settings.pop(name) for name in list(settings) if name in EFFECT_KEYS}
    return Fault(name=kind, effect=replace(KINDS[kind], **changes), **settings)


def _refusal(code: int, message: str, status: int = 400) -> Effect:
    return Effect(execute=False, status=status, code=code, message=message)


EFFECT_KEYS: Final = frozenset({"delay_ms", "late_ms", "hide_ms", "slices", "slice_ms", "message"})
"""What a scenario may change of a kind's effect."""

_OVERLOADED: Final = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. "
    "Please try again."
)

KINDS: Final[Mapping[str, Effect]] = {
    "drop_before": Effect(execute=False, drop=True),
    "drop_after": Effect(drop=True),
    "refused_connection": Effect(execute=False, refuse=True),
    "unknown_executed": Effect(status=503, code=-1000, message=UNKNOWN_TEXT),
    "unknown_not_executed": Effect(execute=False, status=503, code=-1000, message=UNKNOWN_TEXT),
    "unknown_without_code": Effect(status=503, message=UNKNOWN_TEXT),
    "backend_timeout_executed": Effect(
        status=408,
        code=-1007,
        message="Timeout waiting for response from backend server. Send status unknown; "
        "execution status unknown.",
    ),
    "backend_timeout_not_executed": Effect(
        execute=False,
        status=408,
        code=-1007,
        message="Timeout waiting for response from backend server. Send status unknown; "
        "execution status unknown.",
    ),
    "bad_gateway_executed": Effect(status=502, body=HTML),
    "bad_gateway_not_executed": Effect(execute=False, status=502, body=HTML),
    "gateway_timeout": Effect(status=504, body=HTML),
    "service_unavailable": Effect(
        execute=False, status=503, code=-1000, message="Service Unavailable."
    ),
    "internal_error": Effect(
        execute=False,
        status=503,
        code=-1001,
        message="Internal error; unable to process your request. Please try again.",
    ),
    "overloaded": _refusal(-1008, _OVERLOADED, 503),
    "overloaded_executed": Effect(status=503, code=-1008, message=_OVERLOADED),
    "overloaded_late": Effect(
        execute=False, status=503, code=-1008, message=_OVERLOADED, late_ms=2000
    ),
    "executed_late": Effect(execute=False, drop=True, late_ms=2000),
    "unknown_late": Effect(
        execute=False, status=503, code=-1000, message=UNKNOWN_TEXT, late_ms=2000
    ),
    "denied": Effect(drop=True, hide_ms=2000),
    "unknown_denied": Effect(status=503, code=-1000, message=UNKNOWN_TEXT, hide_ms=2000),
    "sliced": Effect(slices=4, slice_ms=300),
    "blip": Effect(spoil="empty"),
    "row_missing": Effect(spoil="row_missing"),
    "zero_amounts": Effect(spoil="zero_amounts"),
    "empty_amount": Effect(spoil="empty_amount"),
    "unknown_side": Effect(spoil="unknown_side"),
    "huge_number": Effect(spoil="huge_number"),
    "stranger": Effect(spoil="stranger"),
    "signature_refused": _refusal(-1022, "Signature for this request is not valid."),
    "not_authorised": _refusal(-1002, "You are not authorized to execute this request.", 401),
    "unauthorised_without_code": Effect(execute=False, status=401, message="Unauthorized"),
    "restricted_location": Effect(
        execute=False,
        status=451,
        message="Service unavailable from a restricted location according to 'b. Eligibility' in "
        "https://www.binance.com/en/terms.",
    ),
    "orders_forbidden": _refusal(-4088, "User can not place order currently."),
    "batch_cancel_failed": _refusal(-2012, "Batch cancel failure."),
    "retired": _refusal(-5000, "Path is invalid.", 404),
    "matching_recv_window": Effect(
        execute=False,
        status=400,
        code=-5028,
        message="Timestamp for this request is outside of the ME recvWindow.",
    ),
    "empty_body": Effect(status=200, body=""),
    "garbage_body": Effect(status=200, body="<html>maintenance</html>"),
    "cut_json": Effect(garble=True),
    "truncated": Effect(truncate=True),
    "too_many_requests": Effect(
        execute=False, status=429, code=-1003, message="Too many requests."
    ),
    "too_many_requests_wait": Effect(
        execute=False,
        status=429,
        code=-1003,
        message="Too many requests.",
        headers=(("Retry-After", "1"),),
    ),
    "too_many_orders": Effect(
        execute=False,
        status=429,
        code=-1015,
        message="Too many new orders; current limit is 300 orders per 10 SECOND.",
    ),
    "firewall": Effect(execute=False, status=403, body=HTML),
    "hang": Effect(execute=False, delay_ms=3_600_000),
    "hang_executed": Effect(delay_ms=3_600_000),
    "slow": Effect(delay_ms=400),
    "drip": Effect(drip=True),
    "redirect": Effect(
        execute=False, status=302, body="", headers=(("Location", "http://127.0.0.2:1/"),)
    ),
    "key_refused": Effect(
        execute=False,
        status=401,
        code=-2015,
        message="Invalid API-key, IP, or permissions for action.",
    ),
    "cooling_off": Effect(
        execute=False, status=400, code=-4192, message="Trade forbidden due to Cooling-off Period."
    ),
    "quantitative_rules": Effect(
        execute=False,
        status=400,
        code=-4400,
        message="Futures Trading Quantitative Rules violated.",
    ),
    "agreement_unsigned": Effect(
        execute=False,
        status=400,
        code=-4411,
        message="Please sign TradFi-Perps agreement contract.",
    ),
    "duplicate_id": Effect(status=400, code=-4116, message="ClientOrderId is duplicated."),
    "stop_triggering": Effect(
        execute=False, status=400, code=-4117, message="Stop order is triggering."
    ),
    "cancel_not_done": Effect(
        execute=False,
        status=200,
        body='{"code":200,"msg":"The operation of cancel all open order is done."}',
    ),
    "unknown_order": Effect(execute=False, status=400, code=-2011, message="Unknown order sent."),
    "reduce_only_rejected": Effect(
        execute=False, status=400, code=-2022, message="ReduceOnly Order is rejected."
    ),
    "thin_book": Effect(
        execute=False,
        status=400,
        code=-4131,
        message="The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    ),
}
"""The faults that scenarios and seeds name."""
