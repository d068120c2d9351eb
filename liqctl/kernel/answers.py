"""What an answer of the venue means, by HTTP status and Binance code (`liqctl.kernel.codes`).

Easy to get wrong: the HTTP status outranks the code for bans (418), the firewall (403), limits
(429), time-outs (408) and forbidden places (451); the code outranks the status for everything
else. What is left, a code that is not listed or none at all, goes by the status: a 4xx refused the
request as it is, so nothing was executed; after a 5xx a write may have happened, and a read gave
nothing.
Facts: Binance USDS-M "Error Code" and "General Info" pages, read 2026-11-23.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from liqctl.kernel import codes
from liqctl.kernel.amounts import count, parse_decimal
from liqctl.kernel.codes import AnswerKind as AnswerKind  # noqa: PLC0414 - asked for here too
from liqctl.kernel.states import Product


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
            self.status == codes.TOO_MANY
            or self.code in {codes.TOO_MANY_REQUESTS, codes.TOO_MANY_ORDERS}
        )

    @property
    def banned_until(self) -> str | None:
        """When a ban ends, for people; None where the venue named no moment."""
        if self.banned_until_ms is None:
            return None
        return (
            f"{datetime.fromtimestamp(self.banned_until_ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
        )

    def describe(self) -> str:
        """Return one line for people: code or status, then what the venue said."""
        number = f"HTTP {self.status}" if self.code is None else f"code {self.code}"
        is_numbered = self.code is not None or self.status is not None
        return f"{self.message} ({number})" if is_numbered else self.message


_NOT_EXECUTED_TEXTS: Final = ("Service Unavailable", "Internal error; unable to process")
"""Two of the three texts of HTTP 503 mean "not executed"; the third, "Unknown error", does not."""

_HTML_PAGE: Final = "an HTML page instead of an answer"
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


def classify(
    status: int | None, code: int | None, message: str, product: Product = Product.USDM
) -> AnswerKind:
    """Return what an answer means.

    `status` is None when no answer came after the request left, `code` when the body had none. Two
    refusals of HTTP 503 differ only in their `message`, and a few codes by the `product`.
    """
    if "banned until" in message:
        return AnswerKind.PAUSE
    known = codes.HTTP_STATUSES.get(status or 0)
    if known is not None and known.outranks:
        return known.kind
    says_not_executed = any(text in message for text in _NOT_EXECUTED_TEXTS)
    row = codes.CODES_BY_PRODUCT[product].get(code or 0)
    if row is not None and not (code == codes.UNKNOWN_ERROR and says_not_executed):
        return row.kind
    if says_not_executed and (status == codes.OVERLOADED or code == codes.UNKNOWN_ERROR):
        return AnswerKind.TRANSIENT
    if known is not None:
        return known.kind
    # A 4xx refused the request as it is; so did a success that carries a code.
    is_refusal = status in range(400, 500) or (status in range(200, 300) and code is not None)
    return AnswerKind.REJECTED if is_refusal else AnswerKind.UNKNOWN


def refused(
    status: int, headers: Mapping[str, str], body: str, product: Product = Product.USDM
) -> VenueAnswer:
    """Return the translated refusal of an HTTP answer that is not a success.

    The headers' names may have any case; the body may be JSON, HTML or nothing.
    """
    code, message = None, _HTML_PAGE if "<" in body[:200] else _text(body)
    if len(body) <= _BODY_MAX:
        # A body nested too deeply is no answer of the venue either.
        with contextlib.suppress(ValueError, RecursionError):
            decoded = json.loads(body)
            if isinstance(decoded, dict):
                code, message = _code(decoded.get("code")), _text(decoded.get("msg"))
    kind = classify(status, code, message, product)
    said = {name.lower(): value.strip() for name, value in headers.items()}
    retry_after, answered_at_ms = said.get("retry-after", ""), None
    banned_until = _BANNED_UNTIL.search(message)
    if banned_until and "date" in said:
        from email.utils import parsedate_to_datetime  # 12 ms that only a banned run pays

        with contextlib.suppress(ValueError, OverflowError):
            answered_at_ms = int(parsedate_to_datetime(said["date"]).timestamp() * 1000)
    # The status tells an operator more than nothing does, or than a firewall's page.
    known = codes.HTTP_STATUSES.get(status)
    instead = known.said if known else None
    is_page = message == _HTML_PAGE and instead is not None
    if not message or is_page or (kind is AnswerKind.PAUSE and code is None):
        otherwise = "unexpected redirect" if status in range(300, 400) else "no explanation given"
        message = instead or otherwise
    return VenueAnswer(
        kind=kind,
        message=message,
        status=status,
        code=code,
        retry_after_s=float(retry_after) if _SECONDS.fullmatch(retry_after) else None,
        banned_until_ms=int(banned_until.group(1)) if banned_until else None,
        answered_at_ms=answered_at_ms,
    )


def element_refused(
    element: Mapping[str, object], product: Product = Product.USDM
) -> VenueAnswer | None:
    """Return the refusal inside one element of a batch answer, None when it is an order."""
    code, message = _code(element.get("code")), _text(element.get("msg"))
    if code is None:
        return None
    kind = classify(200, code, message, product)
    return VenueAnswer(kind=kind, message=message or "refused", status=200, code=code)


def unreadable(status: int, what: str) -> VenueAnswer:
    """Return the answer for a success status whose body is not what the endpoint promises."""
    return VenueAnswer(kind=AnswerKind.UNKNOWN, message=f"unreadable answer: {what}", status=status)


def unreadable_rows(names: Sequence[str]) -> VenueAnswer:
    """Return why a list is not complete: the rows of it that could not be read, the first named."""
    named = "; ".join(names[:_ROWS_NAMED_MAX])
    said = f"{count(len(names), 'row')} could not be read: {named}"
    return VenueAnswer(kind=AnswerKind.UNKNOWN, message=said)


def not_sent(message: str) -> VenueAnswer:
    """Return the answer for a request that provably never left (no connection)."""
    return VenueAnswer(kind=AnswerKind.TRANSIENT, message=message)


def no_answer(message: str) -> VenueAnswer:
    """Return the answer for a request that left and was not answered."""
    return VenueAnswer(kind=AnswerKind.UNKNOWN, message=message)


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
