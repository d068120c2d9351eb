"""What an answer of the venue means, by HTTP status and Binance code: the one table of them.

Easy to get wrong: the HTTP status outranks the code for bans (418), the firewall (403), limits
(429), time-outs (408) and forbidden places (451); the code outranks the status for everything
else. What is left, a code that is not listed or none at all, goes by the status: a 4xx refused the
request as it is, so nothing was executed; after a 5xx a write may have happened, and a read gave
nothing.
Facts: Binance USDS-M "Error Code" page, read 2026-11-23 and 2026-11-29, the COIN-M one of
2026-07-01, and "General Info", read 2026-11-23; codes that only others reported are in the table
too (-1131, -1135, -2008, -4105 to -4107, -4189, -4425, -5000).
"""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from liqctl.kernel.amounts import count, parse_decimal
from liqctl.kernel.states import Explained, Product

UNAUTHORISED: Final = 401
FIREWALL: Final = 403
BANNED: Final = 418
TOO_MANY: Final = 429
OVERLOADED: Final = 503

UNKNOWN_ERROR: Final = -1000
TOO_MANY_REQUESTS: Final = -1003
TOO_MANY_ORDERS: Final = -1015
TIMESTAMP: Final = -1021
NOT_PERMITTED: Final = -2015


class AnswerKind(Explained):
    """What an answer means for what was asked; `does` tells operators what liqctl does next."""

    DONE = (
        "DONE",
        "what was asked is already so",
        "Reads the account to confirm it, and sends nothing more for it if the reading agrees.",
    )
    TRANSIENT = (
        "TRANSIENT",
        "the request was not executed, and the reason may pass",
        "Sends it again until the deadline, after the wait that the venue names if it names one.",
    )
    UNKNOWN = (
        "UNKNOWN",
        "the request may have been executed",
        "Looks the order up before it sends anything else for that position.",
    )
    REJECTED = (
        "REJECTED",
        "the venue refused this order as it is",
        "Plans the order again, up to max_retries times, then reports the position as not closed.",
    )
    LEG_FATAL = (
        "LEG_FATAL",
        "this symbol cannot be closed now",
        "Reports it and goes on with the other symbols.",
    )
    RUN_FATAL = (
        "RUN_FATAL",
        "the key, its permissions or this machine's address are refused",
        (
            "Ends with exit code 7 if no request with this key succeeded before. Otherwise it "
            "takes the refusal for one of this request and sends it again until the deadline."
        ),
    )
    PAUSE = (
        "PAUSE",
        "this address is banned or blocked",
        (
            "Sends nothing until the time that the venue names, and goes on if that is before the "
            "deadline."
        ),
    )


class Adaptation(StrEnum):
    """How the next order for a leg differs from the refused one.

    LIMIT_IOC takes turns with MARKET: among a leg's adaptations it says that the next order is a
    limit order, and AGAIN that the turns have begun.
    """

    CANCEL_FIRST = "CANCEL_FIRST"
    SPLIT = "SPLIT"
    ROUND = "ROUND"
    MODE = "MODE"
    AGAIN = "AGAIN"
    LIMIT_IOC = "LIMIT_IOC"
    REPRICE = "REPRICE"


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
            self.status == TOO_MANY or self.code in {TOO_MANY_REQUESTS, TOO_MANY_ORDERS}
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
    known = HTTP_STATUSES.get(status or 0)
    if known is not None and known.outranks:
        return known.kind
    says_not_executed = any(text in message for text in _NOT_EXECUTED_TEXTS)
    row = CODES_BY_PRODUCT[product].get(code or 0)
    if row is not None and not (code == UNKNOWN_ERROR and says_not_executed):
        return row.kind
    if says_not_executed and (status == OVERLOADED or code == UNKNOWN_ERROR):
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
    known = HTTP_STATUSES.get(status)
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


def explain_code(code: int) -> str:
    """Return what a code means, in words an operator can act on.

    >>> explain_code(-4141)
    'the symbol is closed for trading'
    >>> explain_code(-9999)
    'not a code that liqctl knows: see Binance USDS-M "Error Code"'
    """
    row = CODES.get(code)
    return row.words if row else 'not a code that liqctl knows: see Binance USDS-M "Error Code"'


class Code(NamedTuple):
    """What one code means.

    `adaptation` is tried before the leg's repeats are used up. `is_patient` refusals are no use of
    a repeat: they are tried until the deadline, because asking again cannot harm.
    """

    kind: AnswerKind
    words: str
    adaptation: Adaptation | None = None
    is_patient: bool = False


class Status(NamedTuple):
    """What one HTTP status means.

    `said` stands in for an answer without words. With `outranks` it decides whatever the code says,
    else only where the body has no listed code.
    """

    kind: AnswerKind
    meaning: str
    said: str | None = None
    outranks: bool = False


HTTP_STATUSES: Final[Mapping[int, Status]] = {
    UNAUTHORISED: Status(AnswerKind.RUN_FATAL, "the key is not authorised"),
    FIREWALL: Status(
        AnswerKind.PAUSE,
        "the venue's firewall refused the request",
        "the venue's firewall refused the request",
    ),
    408: Status(
        AnswerKind.UNKNOWN,
        "the venue's backend did not answer in time; the order may have been executed",
        outranks=True,
    ),
    BANNED: Status(
        AnswerKind.PAUSE,
        "this address is banned for sending too many requests",
        "this IP address is banned",
        outranks=True,
    ),
    TOO_MANY: Status(
        AnswerKind.TRANSIENT,
        "too many requests from this address, or too many orders",
        "too many requests",
        outranks=True,
    ),
    451: Status(AnswerKind.RUN_FATAL, "the venue does not serve this place", outranks=True),
    OVERLOADED: Status(
        AnswerKind.UNKNOWN,
        "the venue is overloaded; its text decides whether the order may have been executed",
    ),
}

_TABLE: Final = """
# General server and network issues.
-1000 UNKNOWN   -             the venue had an unknown error; the order may have been executed
-1001 TRANSIENT -             the venue had an internal error; nothing was executed
-1002 RUN_FATAL -             the key is not authorised for this
-1003 TRANSIENT -             too many requests from this address
-1004 RUN_FATAL -             this address is already on the key's list
-1005 RUN_FATAL -             this address is not on the key's list
-1006 UNKNOWN   -             the venue's own parts misunderstood one another; the order may have
                              been executed
-1007 UNKNOWN   -             the venue's backend did not answer in time; the order may have been
                              executed
# Documented as not executed; one report says otherwise (banbox/banbot#114): it is looked up.
-1008 UNKNOWN   -             the venue was overloaded
-1010 REJECTED  -             the venue could not understand the message
-1011 RUN_FATAL -             this address may not use this part of the venue
-1013 REJECTED  ROUND         the order breaks one of the symbol's filters
-1014 REJECTED  -             this combination of order parameters is not supported
-1015 TRANSIENT -             too many orders in a short time
-1016 TRANSIENT -             this service is not available: maintenance
-1020 REJECTED  -             this operation is not supported
-1021 TRANSIENT -             the clock of this machine differs too much from the venue's, or the
                              request was late
-1022 RUN_FATAL -             the signature is wrong: most likely the secret
-1023 REJECTED  -             the start lies after the end
-1099 RUN_FATAL -             not found, or the key is not allowed to see it
# The request.
-1100 REJECTED  -             a parameter holds forbidden characters
-1101 REJECTED  -             too many parameters
-1102 REJECTED  -             a parameter is missing or malformed
-1103 REJECTED  -             an unknown parameter
-1104 REJECTED  -             not every parameter was read
-1105 REJECTED  -             a parameter is empty
-1106 REJECTED  MODE          a parameter is not wanted here: reduceOnly on an account in hedge
                              mode
-1108 REJECTED  -             the asset is not valid
-1109 TRANSIENT -             the account is not valid at the moment: seen during maintenance
-1110 REJECTED  -             the symbol type is not valid
-1111 REJECTED  ROUND         the quantity or price has more digits than the symbol allows
-1112 TRANSIENT LIMIT_IOC     there are no orders on the other side of the book
-1113 REJECTED  -             a withdrawal amount must be negative
-1114 REJECTED  -             timeInForce is not wanted here
-1115 REJECTED  -             timeInForce is not valid
-1116 REJECTED  -             the order type is not valid
-1117 REJECTED  -             the side is not valid
-1118 REJECTED  -             the new client order id is empty
-1119 REJECTED  -             the original client order id is empty
-1120 REJECTED  -             the interval is not valid
-1121 LEG_FATAL -             the symbol does not exist
-1122 TRANSIENT -             the symbol is halted or settling
-1125 RUN_FATAL -             the listen key is gone
-1126 REJECTED  -             the asset is not supported
-1127 REJECTED  -             the time range is too long
-1128 REJECTED  -             these optional parameters do not go together
-1130 REJECTED  -             a parameter's value is not valid
-1131 REJECTED  -             recvWindow is too large
-1135 TRANSIENT -             the status of the account is not valid at the moment
-1136 REJECTED  -             newOrderRespType is not valid
# Orders, keys and positions.
-2008 RUN_FATAL -             the venue does not know this key: it was deleted, or a live key and a
                              demo key are mixed up
-2010 REJECTED  -             the venue rejected the new order
-2011 DONE      -             the order to cancel is not open: filled, cancelled or expired before
-2012 TRANSIENT -             the venue could not cancel the batch
-2013 DONE      -             the venue does not know the order
-2014 RUN_FATAL -             the key has the wrong form
-2015 RUN_FATAL -             the key is wrong, or this address is not on its list, or it may not
                              trade futures, or the account is in portfolio margin
-2016 REJECTED  -             the symbol has no trading window
-2017 RUN_FATAL -             the key is locked
-2018 REJECTED  -             the balance is not sufficient
-2019 REJECTED  CANCEL_FIRST  the margin is not sufficient; a close that only reduces needs none
-2020 REJECTED  LIMIT_IOC     the book is too thin to fill the order
-2021 REJECTED  -             the order would trigger at once
# Reported for hours on end although the leg was open (2025-10-11), like -4118.
-2022 REJECTED  CANCEL_FIRST* nothing to reduce: the position is closed, or resting orders already
                              claim it
-2023 TRANSIENT -             the account is being liquidated by the venue
-2024 REJECTED  CANCEL_FIRST  the position is smaller than the order
-2025 REJECTED  CANCEL_FIRST  too many open orders
-2026 REJECTED  -             this order type cannot be reduce-only
-2027 REJECTED  -             above the largest position this leverage allows
-2028 REJECTED  -             the leverage is too low for this
# Filters, modes, permissions.
-4000 REJECTED  -             the order status is not valid
-4001 REJECTED  -             the price is below zero
-4002 REJECTED  -             the price is above the symbol's maximum
-4003 REJECTED  ROUND         the quantity is not positive
-4004 REJECTED  ROUND         the quantity is under the symbol's minimum
-4005 REJECTED  SPLIT         the quantity is over the symbol's maximum
-4006 REJECTED  -             the stop price is below zero
-4007 REJECTED  -             the stop price is above the symbol's maximum
-4008 REJECTED  -             the tick size is below zero
-4009 REJECTED  -             the maximum price is below the minimum price
-4010 REJECTED  -             the maximum quantity is below the minimum quantity
-4011 REJECTED  -             the step size is below zero
-4012 REJECTED  -             the maximum number of orders is below zero
-4013 REJECTED  -             the price is below the symbol's minimum
-4014 REJECTED  -             the price is off the symbol's tick
-4015 REJECTED  -             the client order id is malformed
-4016 REJECTED  REPRICE       the price is above what the mark price allows
-4017 REJECTED  -             the upper price multiplier is below zero
-4018 REJECTED  -             the lower price multiplier is below zero
-4019 REJECTED  -             the composite scale is too large
-4020 REJECTED  -             the strategy does not fit the order type or reduceOnly
-4021 REJECTED  -             the depth limit is not valid
-4022 REJECTED  -             the market status is not valid
-4023 REJECTED  ROUND         the quantity is off the symbol's step
-4024 REJECTED  REPRICE       the price is below what the mark price allows
-4025 REJECTED  -             the multiplier's number of decimals is below zero
-4026 REJECTED  -             the commission is not valid
-4027 REJECTED  -             the account type is not valid
-4028 REJECTED  -             the leverage is not valid
-4029 REJECTED  -             the precision of the tick size is not valid
-4030 REJECTED  -             the precision of the step size is not valid
-4031 REJECTED  -             the working type is not valid
-4032 REJECTED  -             too many orders in one cancel
-4033 REJECTED  -             the insurance account was not found
-4044 REJECTED  -             the balance type is not valid
-4045 REJECTED  -             too many conditional orders
-4046 DONE      -             the margin type is already so
-4047 REJECTED  -             open orders keep the margin type from changing
-4048 REJECTED  -             a position keeps the margin type from changing
-4049 REJECTED  -             margin can be added to isolated positions only
-4050 REJECTED  -             the cross balance is not sufficient
-4051 REJECTED  -             the isolated balance is not sufficient
-4052 DONE      -             adding margin automatically is already so
-4053 REJECTED  -             margin can be added automatically to isolated positions only
-4054 REJECTED  -             margin cannot be added: there is no position
-4055 REJECTED  -             the amount is not positive
-4056 REJECTED  -             the type of the key is not valid
-4057 REJECTED  -             the public key is not valid
-4058 REJECTED  -             the maximum price and its decimals are too large
-4059 DONE      -             the position mode is already so
-4060 REJECTED  MODE          the position side is not valid
-4061 REJECTED  MODE          the position side does not fit the account's position mode
-4062 REJECTED  MODE          reduce-only does not fit here
-4063 REJECTED  -             the request type of the options product is not valid
-4064 REJECTED  -             the time frame of the options product is not valid
-4065 REJECTED  -             the amount of the options product is not valid
-4066 REJECTED  -             the event type of the options product is not valid
-4067 REJECTED  -             open orders keep the position mode from changing
-4068 REJECTED  -             a position keeps the position mode from changing
-4069 REJECTED  -             the premium of the options product is not valid
-4070 REJECTED  -             the client id of the options product is not valid
-4071 REJECTED  -             the direction of the options product is not valid
-4072 REJECTED  -             the premium of the options product is out of date
-4073 REJECTED  -             the premium entered for the options product is below zero
-4074 REJECTED  -             the amount for the options product is out of range
-4075 REJECTED  -             the premium paid by the options product is below zero
-4076 REJECTED  -             the premium of the options product moved too far
-4077 REJECTED  -             the amount for the options product reached its limit
-4078 REJECTED  -             the options product had an internal error
-4079 REJECTED  -             the id of the options product is not valid
-4080 REJECTED  -             the options product does not know the user
-4081 REJECTED  -             the options product was not found
-4082 REJECTED  -             too many orders in one batch
-4083 UNKNOWN   -             the batch failed; each of its orders may have been executed
-4084 REJECTED  -             this method is not offered yet
-4085 REJECTED  -             the notional limit coefficient is not valid
-4086 REJECTED  -             the price spread threshold is not valid
-4087 TRANSIENT -             the account may only reduce positions
-4088 TRANSIENT -             the account may not place orders at the moment
-4104 REJECTED  -             the contract type is not valid
-4105 LEG_FATAL -             risk control: the account may only reduce
-4106 LEG_FATAL -             risk control: the account may only buy
-4107 LEG_FATAL -             risk control: the account may only sell
-4109 RUN_FATAL -             the account is not active
-4114 REJECTED  -             the client transfer id is not valid
-4115 REJECTED  -             the client transfer id was used before
# The earlier attempt arrived: look it up.
-4116 UNKNOWN   -             the client order id was used before: the earlier order arrived
-4117 TRANSIENT -             the stop is triggering right now
-4118 REJECTED  CANCEL_FIRST* resting orders and this one together would turn the position
-4120 REJECTED  -             this order type moved to the conditional order service
-4131 REJECTED  LIMIT_IOC     the best price is too far from the mark price: the book is thin
-4135 REJECTED  -             the activation price is not valid
-4136 REJECTED  -             the strategy type is not valid
-4137 REJECTED  -             closePosition takes no quantity
-4138 REJECTED  -             closePosition needs reduceOnly to be true, or left out
-4139 REJECTED  LIMIT_IOC     the symbol takes no market orders in this phase
-4140 TRANSIENT -             the symbol does not take new orders at the moment
-4141 LEG_FATAL -             the symbol is closed for trading
-4142 REJECTED  -             the order would trigger at once
-4144 REJECTED  -             the pair is not valid
-4161 REJECTED  -             leverage cannot be lowered while an isolated position is open
-4164 REJECTED  -             the notional is under the minimum, which counts unless the order is
                              reduce-only
-4165 REJECTED  -             the time interval is not valid
-4167 REJECTED  -             multi-assets mode cannot be set while symbols use isolated margin
-4168 REJECTED  -             isolated margin cannot be set in multi-assets mode
-4169 REJECTED  -             multi-assets mode cannot be changed: the margin balance is not
                              sufficient
-4170 REJECTED  -             multi-assets mode cannot be changed: there are open orders
-4171 DONE      -             the asset mode is already so
-4172 REJECTED  -             multi-assets mode cannot be changed: a margin asset has a negative
                              balance
-4183 REJECTED  REPRICE       the limit price is above its band
-4184 REJECTED  REPRICE       the limit price is below its band
-4189 LEG_FATAL -             risk control: the account may only reduce
-4192 TRANSIENT -             the account is in a cooling-off period, in which it may not trade
                              through the API
-4202 REJECTED  -             leverage over 20x needs identity verification
-4203 REJECTED  -             leverage over 20x needs an account older than one month
-4205 REJECTED  -             leverage over 20x needs an older account
-4206 REJECTED  -             the leverage is limited in this country
-4208 REJECTED  -             leverage over 20x does not go with an adjusted position limit
-4209 REJECTED  -             the leverage is above the symbol's maximum
-4210 REJECTED  -             the stop price is outside its band
-4211 REJECTED  -             the stop price is outside its band
-4400 LEG_FATAL -             quantitative rules: the account may only reduce
-4401 LEG_FATAL -             large-position risk control: the account may only reduce
-4402 TRANSIENT -             the venue does not offer this feature in this region
-4403 TRANSIENT -             the venue limits this feature in this region
-4411 LEG_FATAL -             the agreement for this kind of contract is not signed
-4425 LEG_FATAL -             not documented; one report names it
-4531 TRANSIENT -             the position mode is being synchronised between USDS-M and COIN-M
# Matching.
-5000 REJECTED  -             the venue does not offer this path, or not any more
-5021 REJECTED  -             fill-or-kill, and the book could not fill it
-5022 REJECTED  -             post-only, and it would have traded at once
-5024 REJECTED  -             the order cannot be amended
-5025 REJECTED  -             the order cannot be amended
-5026 REJECTED  -             the order cannot be amended
-5027 REJECTED  -             the order cannot be amended
-5028 TRANSIENT -             the request was too old when it reached the matching engine; nothing
                              was executed
-5029 REJECTED  -             the order cannot be amended
-5037 REJECTED  -             priceMatch is not valid
-5038 REJECTED  -             priceMatch takes no price
-5039 REJECTED  -             the self-trade prevention mode is not valid
-5040 REJECTED  -             goodTillDate is not valid
-5041 REJECTED  LIMIT_IOC     the book has no depth for priceMatch
-5043 REJECTED  -             the order is being amended
-5047 REJECTED  -             the order cannot be amended
"""
"""Code, kind, adaptation (`*`: patient), words. A line that begins with a space goes on."""


def _read_table() -> Iterator[tuple[int, Code]]:
    adaptations: dict[str, Adaptation | None] = {each.value: each for each in Adaptation}
    adaptations["-"] = None
    for line in re.sub("\n +", " ", _TABLE).split("\n"):
        if line and line[0] == "-":
            code, kind, change, words = line.split(None, 3)
            adaptation = adaptations[change.rstrip("*")]
            yield int(code), Code(AnswerKind(kind), words, adaptation, change[-1] == "*")


CODES: Final[Mapping[int, Code]] = dict(_read_table())
CODES_BY_PRODUCT: Final[Mapping[Product, Mapping[int, Code]]] = {
    Product.USDM: CODES,
    Product.COINM: {
        **CODES,
        # Numbers that USDS-M uses for permissions: here the product decides.
        -4087: Code(AnswerKind.REJECTED, "the pair is not valid"),
        -4088: Code(AnswerKind.REJECTED, "the interval is not valid"),
        # COIN-M's own numbers for what USDS-M says by another. Since the two share one engine
        # (2026-06) nobody knows which of the two comes, so both are read.
        -4089: CODES[-4087],
        -4090: CODES[-4088],
        -4112: CODES[-4118],
        -4113: CODES[-4131],
        -4178: CODES[-4164],
        -4188: CODES[-5028],
        -4220: CODES[-4531],
    },
}
