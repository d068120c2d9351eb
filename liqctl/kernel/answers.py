"""What an answer of the venue means, by HTTP status and Binance code (`liqctl.kernel.codes`).

    DONE       what was asked is already so; confirm by reading
    TRANSIENT  proven not executed; back off, send again
    UNKNOWN    may have executed; look up, read, then plan again
    REJECTED   the venue refused this order as it is; change the plan for this leg
    LEG_FATAL  this symbol cannot be closed now; report, go on with the others
    RUN_FATAL  key, IP or permission: the key is refused
    PAUSE      banned: send nothing to this venue until the time it names

Easy to get wrong: the HTTP status outranks the code for bans (418), the firewall (403), limits
(429), time-outs (408) and forbidden places (451); the code outranks the status for everything
else. What is left, a code that is not listed or none at all, goes by the status: a 4xx refused the
request as it is, so nothing was executed; after a 5xx a write may have happened, and a read gave
nothing.
Facts: Binance USDS-M "Error Code" and "General Info" pages, read 2026-11-23.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from liqctl.kernel.amounts import parse_decimal
from liqctl.kernel.codes import CODES, AnswerKind

__all__ = (
    "AnswerKind",
    "VenueAnswer",
    "classify",
    "element_refused",
    "no_answer",
    "not_sent",
    "printable",
    "refused",
    "unreadable",
    "unreadable_rows",
)


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
    def price_bound(self) -> Decimal | None:
        """The bound of the limit price that the venue named, None when it named none."""
        match = _PRICE_BOUND.search(self.message)
        return parse_decimal(match.group(1)) if match else None

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


_TOO_MANY: Final = 429
_BANNED: Final = 418
_OVERLOADED: Final = 503
_SUCCESS: Final = 2
_REDIRECTION: Final = 3
_REFUSAL: Final = 4
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
"""Statuses that decide when the body has no listed code."""

_NOT_EXECUTED_TEXTS: Final = ("Service Unavailable", "Internal error; unable to process")
"""Two of the three texts of HTTP 503 mean "not executed"; the third, "Unknown error", does not."""

_TEXT_MAX: Final = 200
_ROWS_NAMED_MAX: Final = 3
_BODY_MAX: Final = 4096
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")
_PRICE_BOUND = re.compile(r"price can.t be (?:higher|lower) than ([0-9]{1,20}(?:\.[0-9]{1,20})?)")
"""-4016 "Limit price can't be higher than 1.05." and -4024 "… lower than 0.95."."""

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
    if code is not None and code in CODES and not (code == _UNKNOWN_ERROR and says_not_executed):
        return CODES[code][0]
    if says_not_executed and (status == _OVERLOADED or code == _UNKNOWN_ERROR):
        return AnswerKind.TRANSIENT
    if status in _KIND_BY_STATUS_ALONE:
        return _KIND_BY_STATUS_ALONE[status]
    is_refusal = status is not None and (
        status // 100 == _REFUSAL or (code is not None and status // 100 == _SUCCESS)
    )
    return AnswerKind.REJECTED if is_refusal else AnswerKind.UNKNOWN


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


def unreadable_rows(names: Sequence[str]) -> VenueAnswer:
    """Return why a list is not complete: the rows of it that could not be read, the first named."""
    count = "1 row" if len(names) == 1 else f"{len(names)} rows"
    return VenueAnswer(
        kind=AnswerKind.UNKNOWN,
        message=f"{count} could not be read: {'; '.join(names[:_ROWS_NAMED_MAX])}",
    )


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
