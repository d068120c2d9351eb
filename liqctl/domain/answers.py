"""What an answer of the venue means: the one table, by HTTP status and Binance code.

    DONE       what was asked is already so; confirm by reading
    TRANSIENT  proven not executed; back off, send again
    UNKNOWN    may have executed; look up, read, then plan again
    REJECTED   the venue refused this order as it is; change the plan for this leg
    LEG_FATAL  this symbol cannot be closed now; report, go on with the others
    RUN_FATAL  key, IP or permission; nothing else will work either
    PAUSE      banned: send nothing to this venue until the time it names

Easy to get wrong: the HTTP status outranks the code for bans (418), the firewall (403), limits
(429), time-outs (408) and forbidden places (451); the code outranks the status for everything
else. A code that is not listed is UNKNOWN: a write may have happened, and a read gave nothing.
Facts: Binance USDS-M "Error Code" and "General Info" pages, read 2026-11-23.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class AnswerKind(StrEnum):
    """What the caller does next."""

    DONE = "DONE"
    TRANSIENT = "TRANSIENT"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTED"
    LEG_FATAL = "LEG_FATAL"
    RUN_FATAL = "RUN_FATAL"
    PAUSE = "PAUSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueAnswer:
    """One refusal or silence of the venue, free of secrets.

    `status` is None when no HTTP answer came; `code` is Binance's (negative) code when it sent
    one. `message` is cut and stripped of control characters. `retry_after_s` is how long the venue
    asked us to wait; `banned_until_ms` and `answered_at_ms` are moments on the venue's clock (epoch
    milliseconds), the second one from the answer's `Date` header, to a second.
    """

    kind: AnswerKind
    message: str
    status: int | None = None
    code: int | None = None
    retry_after_s: float | None = None
    banned_until_ms: int | None = None
    answered_at_ms: int | None = None

    @property
    def is_rate_limit(self) -> bool:
        """Whether the venue said "too many" (weight or orders) without banning us."""
        return self.kind is AnswerKind.TRANSIENT and (
            self.status == _TOO_MANY or self.code in {-1003, -1015}
        )

    def describe(self) -> str:
        """Return one line for people: code or status, then what the venue said."""
        if self.code is not None:
            return f"{self.message} (code {self.code})"
        if self.status is not None:
            return f"{self.message} (HTTP {self.status})"
        return self.message


_BY_KIND: Final[dict[AnswerKind, tuple[int, ...]]] = {
    AnswerKind.DONE: (
        -2011,  # cancel: unknown order, so not open (confirm by list)
        -2013,  # query: no such order (right after an unknown write: ask again)
        -4046,  # margin type already so
        -4059,  # position mode already so
    ),
    AnswerKind.TRANSIENT: (
        -1001,  # internal error, not executed
        -1003,  # too many requests (429; a 418 is PAUSE by its status)
        -1015,  # too many orders
        -1016,  # service shutting down: maintenance
        -1021,  # timestamp: refused at the gateway; resync the clock once
        -1109,  # invalid account, seen during maintenance
        -1112,  # no orders on the book
        -1122,  # symbol status: settling or halted for the moment
        -2012,  # batch cancel failed
        -2023,  # user in liquidation: the engine is closing
        -4117,  # stop is triggering: list again
        -4140,  # symbol status forbids opening
        -4531,  # mode being synchronised between USDS-M and COIN-M
        -5028,  # recvWindow at the matching engine: not executed
    ),
    AnswerKind.UNKNOWN: (
        -1000,  # unknown error
        -1006,  # unexpected response from the message bus
        -1007,  # timeout waiting for the backend: "execution status unknown"
        -1008,  # overloaded: documented as not executed, one report says otherwise
        -4083,  # batch failed: each element may or may not have arrived
        -4116,  # client order id duplicated: the earlier attempt arrived
    ),
    AnswerKind.REJECTED: (
        -1010,  # generic invalid message
        -1013,  # invalid message: a filter
        -1014,  # unsupported order composition
        -1020,  # operation unsupported
        -1023,  # start after end
        -1100,  # illegal characters
        -1101,  # too many parameters
        -1102,  # mandatory parameter missing or malformed
        -1103,  # unknown parameter
        -1104,  # not all parameters read
        -1105,  # parameter empty
        -1106,  # parameter not required: reduceOnly on a hedge account
        -1111,  # precision
        -1114,  # timeInForce not required
        -1115,  # timeInForce
        -1116,  # type
        -1117,  # side
        -1130,  # parameter data
        -2010,  # new order rejected
        -2018,  # balance insufficient: a real reduce never needs margin
        -2019,  # margin insufficient: likewise
        -2020,  # unable to fill: thin book
        -2021,  # would trigger immediately
        -2022,  # reduce-only rejected: flat, wrong side, or covered by resting orders
        -2024,  # position not sufficient
        -2025,  # too many open orders
        -2026,  # order type not with reduce-only
        -2027,  # above the maximum position: we would be opening
        -2028,  # leverage too small
        -4003,  # quantity not positive
        -4004,  # quantity under the minimum
        -4005,  # quantity over the maximum: split
        -4014,  # price off the tick
        -4015,  # client order id malformed
        -4016,  # price above mark x multiplier
        -4023,  # quantity off the step
        -4024,  # price below mark x multiplier
        -4032,  # too many ids in a cancel
        -4045,  # too many conditional orders
        -4047,  # mode change blocked by orders
        -4048,  # mode change blocked by positions
        -4060,  # positionSide invalid
        -4061,  # positionSide does not match the account's mode
        -4062,  # reduce-only improper
        -4067,  # mode change blocked by open orders
        -4068,  # mode change blocked by a position
        -4082,  # batch too large
        -4118,  # reduce-only with resting orders would flip: cancel them first
        -4120,  # type moved to the algo service
        -4131,  # best price outside PERCENT_PRICE: thin book
        -4136,  # strategy type
        -4137,  # closePosition with quantity
        -4138,  # closePosition with reduceOnly
        -4142,  # would trigger at once
        -4164,  # notional under the minimum, unless reduce-only
        -4184,  # price band
        -4210,  # stop price band
        -4211,  # stop price band
        -5021,  # FOK not filled
        -5022,  # post-only rejected
        -5024,  # amendment errors: we never amend
        -5025,
        -5026,
        -5027,
        -5029,
        -5037,  # priceMatch
        -5038,  # priceMatch with price
        -5039,  # self-trade prevention mode
        -5040,  # goodTillDate
        -5041,  # no depth for priceMatch
        -5043,  # amendment
        -5047,  # amendment
    ),
    AnswerKind.LEG_FATAL: (
        -1121,  # invalid symbol
        -4087,  # account may only reduce: a correctly flagged close passes
        -4088,  # account may not place orders now: cancels may still work
        -4105,  # risk control: reduce-only
        -4106,  # risk control: buy-only
        -4107,  # risk control: sell-only
        -4141,  # symbol closed
        -4189,  # risk control: reduce-only
        -4192,  # cooling-off period
        -4400,  # quantitative rules: only reduce-only
        -4401,  # large-position risk control: only reduce-only
        -4402,  # region
        -4403,  # region
        -4411,  # TradFi agreement not signed
        -4425,  # named by one report, meaning not confirmed
    ),
    AnswerKind.RUN_FATAL: (
        -1002,  # not authorised
        -1004,  # IP whitelist administration
        -1005,  # IP not whitelisted
        -1011,  # IP cannot access this route
        -1022,  # signature
        -1099,  # not found, unauthenticated or unauthorised
        -1125,  # listen key gone: we use none
        -2014,  # API-key format
        -2015,  # key, IP or permission
        -2017,  # API keys locked
        -4109,  # inactive account
    ),
}

KIND_BY_CODE: Final[Mapping[int, AnswerKind]] = {
    code: kind for kind, codes in _BY_KIND.items() for code in codes
}
"""Every listed Binance code. Unlisted codes are UNKNOWN."""

_TOO_MANY: Final = 429
_BANNED: Final = 418
_OVERLOADED: Final = 503
_REDIRECTION: Final = 3
_UNKNOWN_ERROR: Final = -1000

_KIND_BY_STATUS: Final[Mapping[int | None, AnswerKind]] = {
    408: AnswerKind.UNKNOWN,
    _TOO_MANY: AnswerKind.TRANSIENT,
    451: AnswerKind.RUN_FATAL,
}
"""Statuses that decide whatever the code says; 418 too."""

_KIND_BY_STATUS_ALONE: Final[Mapping[int | None, AnswerKind]] = {
    401: AnswerKind.RUN_FATAL,
    403: AnswerKind.PAUSE,
}
"""Statuses that decide when the body has no code. All others are UNKNOWN."""

_NOT_EXECUTED_TEXTS: Final = ("Service Unavailable", "Internal error; unable to process")
"""Two of the three texts of HTTP 503 mean "not executed"; the third, "Unknown error", does not."""

_TEXT_MAX: Final = 200
_BODY_MAX: Final = 4096
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")
_CODE_AS_TEXT = re.compile(r"-?[0-9]{1,9}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_SIGNATURE = re.compile(r"(signature=)[^&\s\"']+", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


def printable(text: str, limit: int = _TEXT_MAX) -> str:
    """Return the text on one line, without control or bidi characters, cut to `limit`."""
    cleaned = _CONTROL.sub(" ", text).strip()
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def classify(status: int | None, code: int | None, message: str) -> AnswerKind:
    """Return what an answer means.

    Args:
        status: the HTTP status; None when no answer came after the request left.
        code: Binance's code, None when the body had none.
        message: Binance's text; two refusals of HTTP 503 differ only in it.
    """
    if status == _BANNED or "banned until" in message:
        return AnswerKind.PAUSE
    if status in _KIND_BY_STATUS:
        return _KIND_BY_STATUS[status]
    says_not_executed = any(text in message for text in _NOT_EXECUTED_TEXTS)
    if code is not None:
        if code == _UNKNOWN_ERROR and says_not_executed:
            return AnswerKind.TRANSIENT
        return KIND_BY_CODE.get(code, AnswerKind.UNKNOWN)
    if status == _OVERLOADED and says_not_executed:
        return AnswerKind.TRANSIENT
    return _KIND_BY_STATUS_ALONE.get(status, AnswerKind.UNKNOWN)


def refused(status: int, headers: Mapping[str, str], body: str) -> VenueAnswer:
    """Return the translated refusal of an HTTP answer that is not a success.

    Args:
        status: the HTTP status.
        headers: the answer's headers, names in any case.
        body: the answer's text; JSON, HTML or nothing.
    """
    code, message = _code_and_message(body)
    kind = classify(status, code, message)
    banned_until_ms = _banned_until_ms(message)
    if kind is AnswerKind.PAUSE and code is None:
        message = _status_words(status)  # A firewall's page says nothing an operator can use.
    return VenueAnswer(
        kind=kind,
        message=_status_words(status) if _says_nothing(status, message) else message,
        status=status,
        code=code,
        retry_after_s=_retry_after_s(headers),
        banned_until_ms=banned_until_ms,
        answered_at_ms=_answered_at_ms(headers) if banned_until_ms else None,
    )


def element_refused(element: Mapping[str, object]) -> VenueAnswer | None:
    """Return the refusal inside one element of a batch answer, None when it is an order."""
    code, message = _code(element.get("code")), _text(element.get("msg"))
    if code is None:
        return None
    return VenueAnswer(
        kind=classify(200, code, message), message=message or "refused", status=200, code=code
    )


def unreadable(status: int, what: str) -> VenueAnswer:
    """Return the answer for a success status whose body is not what the endpoint promises."""
    return VenueAnswer(kind=AnswerKind.UNKNOWN, message=f"unreadable answer: {what}", status=status)


def not_sent(message: str) -> VenueAnswer:
    """Return the answer for a request that provably never left (no connection)."""
    return VenueAnswer(kind=AnswerKind.TRANSIENT, message=message)


def no_answer(message: str) -> VenueAnswer:
    """Return the answer for a request that left and was not answered."""
    return VenueAnswer(kind=AnswerKind.UNKNOWN, message=message)


def _code_and_message(body: str) -> tuple[int | None, str]:
    if len(body) <= _BODY_MAX:
        try:
            decoded = json.loads(body)
        except (ValueError, RecursionError):
            decoded = None
        if isinstance(decoded, dict):
            return _code(decoded.get("code")), _text(decoded.get("msg"))
    if "<" in body[:200]:
        return None, _HTML_PAGE
    return None, _text(body)


def _code(value: object) -> int | None:
    """Return Binance's code, a negative number or the same as text; 0 and 200 are no refusal."""
    if isinstance(value, str) and _CODE_AS_TEXT.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value >= 0:
        return None
    return value


def _text(value: object) -> str:
    """Return the venue's words fit to be shown: one line, and no signature a gateway echoed."""
    return printable(_SIGNATURE.sub(r"\1…", value[:_BODY_MAX])) if isinstance(value, str) else ""


def _says_nothing(status: int, message: str) -> bool:
    """Whether the status tells an operator more than the body does."""
    return not message or (message == _HTML_PAGE and status in {403, 418, 429})


_HTML_PAGE: Final = "an HTML page instead of an answer"


def _status_words(status: int) -> str:
    match status:
        case 403:
            return "the venue's firewall refused the request"
        case 418:
            return "this IP address is banned"
        case 429:
            return "too many requests"
        case _ if status // 100 == _REDIRECTION:
            return "unexpected redirect"
        case _:
            return "no explanation given"


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    for name, value in headers.items():
        if name.lower() == "retry-after" and _SECONDS.fullmatch(value.strip()):
            return float(value)
    return None


def _answered_at_ms(headers: Mapping[str, str]) -> int | None:
    from email.utils import parsedate_to_datetime  # 12 ms that only a banned run pays

    for name, value in headers.items():
        if name.lower() == "date":
            try:
                return int(parsedate_to_datetime(value).timestamp() * 1000)
            except (ValueError, OverflowError):
                return None
    return None


def _banned_until_ms(message: str) -> int | None:
    match = _BANNED_UNTIL.search(message)
    return int(match.group(1)) if match else None
