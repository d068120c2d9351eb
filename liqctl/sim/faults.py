"""Things that go wrong, as data: which request or frame of a stream is hit, and what happens to it.

An effect says whether the request is executed all the same: that is the whole difficulty of a lost
reply. World events (a bot trades, a symbol halts, somebody else closes) are in `events`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from liqctl.sim.orders import WORDS

HTML: Final = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

UNKNOWN_TEXT: Final = "Unknown error, please check your request or try again later."


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What happens to a request, to a frame of a stream, or to a stream about to be opened."""

    execute: bool = True  # whether the venue carries the request out
    status: int | None = None  # with code and message: an answer instead of the true one
    code: int = 0  # 0 leaves it out
    message: str = ""
    body: str | None = None  # a raw body instead
    headers: tuple[tuple[str, str], ...] = ()  # added to the answer
    drop: bool = False  # the connection is cut and nothing is answered, or instead of a frame
    refuse: bool = False  # the connection is not accepted: the request provably never arrives
    delay_ms: int = 0  # how long the answer takes
    drip: bool = False  # the answer comes a byte a second
    truncate: bool = False  # the answer's body is cut in the middle
    garble: bool = False  # the answer's body, or a frame, is cut short, but framed as whole
    # A new order is carried out this much later, and nobody knows it until then; a frame leaves
    # this much later, after those that follow it.
    late_ms: int = 0
    hide_ms: int = 0  # look-ups deny a new order for this long, though it is carried out
    slices: int = 0  # a new order fills in so many slices,
    slice_ms: int = 0  # one each so many milliseconds
    ban_ms: int = 0  # the message says that the address is banned for so long
    spoil: str = ""  # what is done to the rows of a list, one of `SPOILT`
    at_handshake: bool = False  # a stream is refused with `status`; without one it stays silent
    copies: int = 1  # how often a frame is sent


@dataclass(slots=True, kw_only=True)
class Fault:
    """An effect, and what it hits: requests, or frames and handshakes, by every given condition."""

    effect: Effect
    name: str = "fault"
    method: str = ""
    path: str = ""  # its end
    host: str = ""  # its beginning: fapi, dapi, papi or sapi
    event: str = ""  # of a frame: ORDER_TRADE_UPDATE and so on
    product: str = ""  # what it is about: USDM or COINM
    symbol: str = ""
    whole_account: bool = False
    writes: bool = False
    reads: bool = False
    skip: int = 0  # so many that match pass first
    times: int = 1  # so many are hit, 0 for all
    from_ms: int = 0  # since the start
    until_ms: int = 0
    hits: int = 0
    passed: int = 0

    def takes(
        self,
        since_ms: int,
        *,
        product: str,
        symbol: str,
        method: str = "",
        path: str = "",
        host: str = "",
        event: str = "",
    ) -> bool:
        """Return whether what happens so long after the start is hit, and count it."""
        is_meant = (
            self.method in {"", method}
            and path.endswith(self.path)
            and self.host in {"", host}
            and self.event in {"", event}
            and self.product in {"", product}
            and self.symbol in {"", symbol}
            and not (self.whole_account and symbol)
            and not (self.writes and method == "GET")
            and not (self.reads and method != "GET")
        )
        is_time = self.from_ms <= since_ms < (self.until_ms or inf)
        if not (is_meant and is_time) or (self.times and self.hits >= self.times):
            return False
        if self.passed < self.skip:
            self.passed += 1
            return False
        self.hits += 1
        return True


def make_fault(kind: str, **settings: Any) -> Fault:
    """Return a fault of a kind; settings are those of the fault, or change its effect.

    Raises:
        KeyError: there is no such kind.
        TypeError: there is no such setting.
    """
    is_stream = kind in STREAM_KINDS
    if foreign := settings.keys() & (_OF_REQUESTS if is_stream else _OF_FRAMES):
        raise TypeError(f"the fault {kind} has no {', '.join(sorted(foreign))}")
    keys = STREAM_EFFECT_KEYS if is_stream else EFFECT_KEYS
    changes = {name: settings.pop(name) for name in list(settings) if name in keys}
    effect = STREAM_KINDS[kind] if is_stream else KINDS[kind]
    return Fault(name=kind, effect=replace(effect, **changes), **settings)


# -- how a list goes wrong while its answer looks well --------------------------------------------

Row = dict[str, Any]

_AMOUNTS: Final = ("positionAmt", "origQty", "quantity")
"""What a row of positions, of orders, of conditional orders calls its quantity."""

_STRANGER: Final[Row] = {
    "symbol": "LUNAUSDT",
    "positionSide": "NEITHER",
    "positionAmt": "0",
    "updateTime": 0,
}


def rows_of(answer: Any) -> list[Row] | None:
    """Return the rows of a list, None when the answer is none."""
    if isinstance(answer, dict):
        answer = answer.get("positions", answer.get("orders"))
    rows = answer
    return rows if isinstance(rows, list) else None


def _set(rows: list[Row], value: str, *names: str) -> None:
    for row in rows:
        row |= {name: value for name in names if name in row}


SPOILT: Final[Mapping[str, Callable[[list[Row]], object]]] = {
    "empty": lambda rows: rows.clear(),
    "row_missing": lambda rows: rows[:1] and rows.pop(0),
    "zero_amounts": lambda rows: _set(rows, "0", *_AMOUNTS),
    "empty_amount": lambda rows: _set(rows[:1], "", *_AMOUNTS),
    "huge_number": lambda rows: _set(rows[:1], "1E+999999", *_AMOUNTS),
    "unknown_side": lambda rows: _set(rows[:1], "NEITHER", "positionSide"),
    "stranger": lambda rows: rows.append(dict(_STRANGER)),
}
"""What is done to the rows; `stranger` adds one that nobody can place, with nothing on it."""

_SEEMS_WELL: Final = frozenset({"", "empty", "row_missing", "zero_amounts"})
"""After these every row can be read, and what is missing seems not to be there."""


def readable_rows(answer: Any, how: str) -> list[Row]:
    """Return the rows of an answer that can be read after it was spoilt."""
    rows = rows_of(answer) or []
    if how in _SEEMS_WELL:
        return rows
    return rows[:-1] if how == "stranger" else rows[1:]


def spoil(answer: Any, how: str) -> None:
    """Change the rows of an answer in place; what is no list stays as it is."""
    rows = rows_of(answer)
    if how and rows is not None:
        SPOILT[how](rows)


# -- the kinds of fault ----------------------------------------------------------------------------

EFFECT_KEYS: Final = frozenset(
    {"delay_ms", "late_ms", "hide_ms", "slices", "slice_ms", "ban_ms", "message"}
)
"""What a scenario may change of a kind's effect."""


def _refusal(code: int, message: str = "", status: int = 400) -> Effect:
    """Return a refusal: nothing is carried out, and the answer says so."""
    return Effect(execute=False, status=status, code=code, message=message or WORDS[code])


_UNKNOWN: Final = Effect(status=503, code=-1000, message=UNKNOWN_TEXT)
_BACKEND_TIMEOUT: Final = Effect(
    status=408,
    code=-1007,
    message="Timeout waiting for response from backend server. Send status unknown; "
    "execution status unknown.",
)
_OVERLOADED: Final = Effect(
    status=503,
    code=-1008,
    message="Request throttled by system-level protection. Reduce-only/close-position orders are "
    "exempt. Please try again.",
)
_TOO_MANY: Final = _refusal(-1003, "Too many requests.", 429)

KINDS: Final[Mapping[str, Effect]] = {
    # The connection.
    "drop_before": Effect(execute=False, drop=True),
    "drop_after": Effect(drop=True),
    "refused_connection": Effect(execute=False, refuse=True),
    "hang": Effect(execute=False, delay_ms=3_600_000),
    "hang_executed": Effect(delay_ms=3_600_000),
    "slow": Effect(delay_ms=400),
    "drip": Effect(drip=True),
    "truncated": Effect(truncate=True),
    "cut_json": Effect(garble=True),
    "empty_body": Effect(status=200, body=""),
    "garbage_body": Effect(status=200, body="<html>maintenance</html>"),
    "redirect": Effect(
        execute=False, status=302, body="", headers=(("Location", "http://127.0.0.2:1/"),)
    ),
    "bad_gateway_executed": Effect(status=502, body=HTML),
    "bad_gateway_not_executed": Effect(execute=False, status=502, body=HTML),
    "gateway_timeout": Effect(status=504, body=HTML),
    "firewall": Effect(execute=False, status=403, body=HTML),
    # What became of the request is not said.
    "unknown_executed": _UNKNOWN,
    "unknown_not_executed": replace(_UNKNOWN, execute=False),
    "unknown_without_code": replace(_UNKNOWN, code=0),
    "unknown_late": replace(_UNKNOWN, execute=False, late_ms=2000),
    "unknown_denied": replace(_UNKNOWN, hide_ms=2000),
    "denied": Effect(drop=True, hide_ms=2000),
    "executed_late": Effect(execute=False, drop=True, late_ms=2000),
    "backend_timeout_executed": _BACKEND_TIMEOUT,
    "backend_timeout_not_executed": replace(_BACKEND_TIMEOUT, execute=False),
    "service_unavailable": _refusal(-1000, "Service Unavailable.", 503),
    "internal_error": _refusal(
        -1001, "Internal error; unable to process your request. Please try again.", 503
    ),
    "overloaded": replace(_OVERLOADED, execute=False),
    "overloaded_executed": _OVERLOADED,
    "overloaded_late": replace(_OVERLOADED, execute=False, late_ms=2000),
    "sliced": Effect(slices=4, slice_ms=300),
    # A list looks well and is not.
    "blip": Effect(spoil="empty"),
    **{name: Effect(spoil=name) for name in SPOILT if name != "empty"},
    # Refusals: of the key, of the address, of the order.
    "signature_refused": _refusal(-1022),
    "not_authorised": _refusal(-1002, status=401),
    "unauthorised_without_code": _refusal(0, "Unauthorized", 401),
    "key_refused": _refusal(-2015, status=401),
    "restricted_location": _refusal(
        0,
        "Service unavailable from a restricted location according to 'b. Eligibility' in "
        "https://www.binance.com/en/terms.",
        451,
    ),
    "too_many_requests": _TOO_MANY,
    "too_many_requests_wait": replace(_TOO_MANY, headers=(("Retry-After", "1"),)),
    # Of this account's requests alone; the event `ban` bans the address. Shorter than any real ban,
    # so that a run outlives it where a scenario does not say otherwise.
    "banned": Effect(execute=False, status=418, code=-1003, ban_ms=200),
    "too_many_orders": _refusal(
        -1015, "Too many new orders; current limit is 300 orders per 10 SECOND.", 429
    ),
    "retired": _refusal(-5000, "Path is invalid.", 404),
    "matching_recv_window": _refusal(-5028),
    "orders_forbidden": _refusal(-4088),
    "cooling_off": _refusal(-4192),
    "quantitative_rules": _refusal(-4400),
    "agreement_unsigned": _refusal(-4411),
    "reduce_only_rejected": _refusal(-2022),
    "thin_book": _refusal(-4131),
    # A body without a code, as dapi answered while the engines were merged in 2026-06.
    "merge_error": Effect(
        execute=False, status=400, body='{"239999":"Service is being upgraded."}'
    ),
    "stop_triggering": _refusal(-4117),
    "unknown_order": _refusal(-2011),
    "batch_cancel_failed": _refusal(-2012),
    "duplicate_id": replace(_refusal(-4116), execute=True),
    "cancel_not_done": Effect(
        execute=False,
        status=200,
        body='{"code":200,"msg":"The operation of cancel all open order is done."}',
    ),
}
"""The faults of requests that scenarios and seeds name."""

STREAM_EFFECT_KEYS: Final = frozenset({"late_ms", "status"})

STREAM_KINDS: Final[Mapping[str, Effect]] = {
    "stream_refused": Effect(at_handshake=True, status=503),
    "stream_wrong_path": Effect(at_handshake=True),
    "stream_silent": Effect(copies=0),
    "stream_late": Effect(late_ms=2000),
    "stream_twice": Effect(copies=2),
    "stream_malformed": Effect(garble=True),
    "stream_cut": Effect(copies=0, drop=True),
}
"""A stream is silent from now on with `times: 0`, out of order where one frame is late, and cut
after so many frames with `skip`. At once: the acts `cut_streams`, `expire_listen_keys`, `lie`."""

_OF_REQUESTS: Final = {"method", "path", "host", "whole_account", "writes", "reads"}
_OF_FRAMES: Final = {"event"}
"""Conditions that faults of the other kind do not have."""
