"""Every error code of the venue that is documented or was seen: what it means, and in which words.

The one table. A code that is not in it is decided by its HTTP status (`liqctl.kernel.answers`).
Facts: Binance USDS-M "Error Code" page, read 2026-11-23 and 2026-11-29, and the COIN-M one of
2026-07-01; codes that only others reported are in the table too (-1131, -1135, -2008, -4105 to
-4107, -4189, -4425, -5000).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from liqctl.kernel.states import Product


class AnswerKind(StrEnum):
    """What the caller does next; `liqctl.kernel.answers` says when."""

    DONE = "DONE"
    TRANSIENT = "TRANSIENT"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTED"
    LEG_FATAL = "LEG_FATAL"
    RUN_FATAL = "RUN_FATAL"
    PAUSE = "PAUSE"


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


class Code(NamedTuple):
    """What one code means.

    `adaptation` is tried before the leg's repeats are used up. `is_patient` refusals are no use of
    a repeat: they are tried until the deadline, because asking again cannot harm.
    """

    kind: AnswerKind
    words: str
    adaptation: Adaptation | None = None
    is_patient: bool = False


_DONE: Final = AnswerKind.DONE
_TRANSIENT: Final = AnswerKind.TRANSIENT
_UNKNOWN: Final = AnswerKind.UNKNOWN
_REJECTED: Final = AnswerKind.REJECTED
_LEG_FATAL: Final = AnswerKind.LEG_FATAL
_RUN_FATAL: Final = AnswerKind.RUN_FATAL

CODES: Final[Mapping[int, Code]] = {
    # General server and network issues.
    -1000: Code(_UNKNOWN, "the venue had an unknown error; the order may have been executed"),
    -1001: Code(_TRANSIENT, "the venue had an internal error; nothing was executed"),
    -1002: Code(_RUN_FATAL, "the key is not authorised for this"),
    -1003: Code(_TRANSIENT, "too many requests from this address"),
    -1004: Code(_RUN_FATAL, "this address is already on the key's list"),
    -1005: Code(_RUN_FATAL, "this address is not on the key's list"),
    -1006: Code(
        _UNKNOWN,
        "the venue's own parts misunderstood one another; the order may have been executed",
    ),
    -1007: Code(
        _UNKNOWN, "the venue's backend did not answer in time; the order may have been executed"
    ),
    # Documented as not executed; one report says otherwise (banbox/banbot#114), so it is looked up.
    -1008: Code(_UNKNOWN, "the venue was overloaded"),
    -1010: Code(_REJECTED, "the venue could not understand the message"),
    -1011: Code(_RUN_FATAL, "this address may not use this part of the venue"),
    -1013: Code(_REJECTED, "the order breaks one of the symbol's filters", Adaptation.ROUND),
    -1014: Code(_REJECTED, "this combination of order parameters is not supported"),
    -1015: Code(_TRANSIENT, "too many orders in a short time"),
    -1016: Code(_TRANSIENT, "this service is not available: maintenance"),
    -1020: Code(_REJECTED, "this operation is not supported"),
    -1021: Code(
        _TRANSIENT,
        "the clock of this machine differs too much from the venue's, or the request was late",
    ),
    -1022: Code(_RUN_FATAL, "the signature is wrong: most likely the secret"),
    -1023: Code(_REJECTED, "the start lies after the end"),
    -1099: Code(_RUN_FATAL, "not found, or the key is not allowed to see it"),
    # The request.
    -1100: Code(_REJECTED, "a parameter holds forbidden characters"),
    -1101: Code(_REJECTED, "too many parameters"),
    -1102: Code(_REJECTED, "a parameter is missing or malformed"),
    -1103: Code(_REJECTED, "an unknown parameter"),
    -1104: Code(_REJECTED, "not every parameter was read"),
    -1105: Code(_REJECTED, "a parameter is empty"),
    -1106: Code(
        _REJECTED,
        "a parameter is not wanted here: reduceOnly on an account in hedge mode",
        Adaptation.MODE,
    ),
    -1108: Code(_REJECTED, "the asset is not valid"),
    -1109: Code(_TRANSIENT, "the account is not valid at the moment: seen during maintenance"),
    -1110: Code(_REJECTED, "the symbol type is not valid"),
    -1111: Code(
        _REJECTED, "the quantity or price has more digits than the symbol allows", Adaptation.ROUND
    ),
    -1112: Code(
        _TRANSIENT, "there are no orders on the other side of the book", Adaptation.LIMIT_IOC
    ),
    -1113: Code(_REJECTED, "a withdrawal amount must be negative"),
    -1114: Code(_REJECTED, "timeInForce is not wanted here"),
    -1115: Code(_REJECTED, "timeInForce is not valid"),
    -1116: Code(_REJECTED, "the order type is not valid"),
    -1117: Code(_REJECTED, "the side is not valid"),
    -1118: Code(_REJECTED, "the new client order id is empty"),
    -1119: Code(_REJECTED, "the original client order id is empty"),
    -1120: Code(_REJECTED, "the interval is not valid"),
    -1121: Code(_LEG_FATAL, "the symbol does not exist"),
    -1122: Code(_TRANSIENT, "the symbol is halted or settling"),
    -1125: Code(_RUN_FATAL, "the listen key is gone"),
    -1126: Code(_REJECTED, "the asset is not supported"),
    -1127: Code(_REJECTED, "the time range is too long"),
    -1128: Code(_REJECTED, "these optional parameters do not go together"),
    -1130: Code(_REJECTED, "a parameter's value is not valid"),
    -1131: Code(_REJECTED, "recvWindow is too large"),
    -1135: Code(_TRANSIENT, "the status of the account is not valid at the moment"),
    -1136: Code(_REJECTED, "newOrderRespType is not valid"),
    # Orders, keys and positions.
    -2008: Code(
        _RUN_FATAL,
        "the venue does not know this key: it was deleted, or a live key and a demo key are "
        "mixed up",
    ),
    -2010: Code(_REJECTED, "the venue rejected the new order"),
    -2011: Code(_DONE, "the order to cancel is not open: filled, cancelled or expired before"),
    -2012: Code(_TRANSIENT, "the venue could not cancel the batch"),
    -2013: Code(_DONE, "the venue does not know the order"),
    -2014: Code(_RUN_FATAL, "the key has the wrong form"),
    -2015: Code(
        _RUN_FATAL,
        "the key is wrong, or this address is not on its list, or it may not trade futures, or "
        "the account is in portfolio margin",
    ),
    -2016: Code(_REJECTED, "the symbol has no trading window"),
    -2017: Code(_RUN_FATAL, "the key is locked"),
    -2018: Code(_REJECTED, "the balance is not sufficient"),
    -2019: Code(
        _REJECTED,
        "the margin is not sufficient; a close that only reduces needs none",
        Adaptation.CANCEL_FIRST,
    ),
    -2020: Code(_REJECTED, "the book is too thin to fill the order", Adaptation.LIMIT_IOC),
    -2021: Code(_REJECTED, "the order would trigger at once"),
    # Reported for hours on end although the leg was open (2025-10-11), like -4118.
    -2022: Code(
        _REJECTED,
        "nothing to reduce: the position is closed, or resting orders already claim it",
        Adaptation.CANCEL_FIRST,
        is_patient=True,
    ),
    -2023: Code(_TRANSIENT, "the account is being liquidated by the venue"),
    -2024: Code(_REJECTED, "the position is smaller than the order", Adaptation.CANCEL_FIRST),
    -2025: Code(_REJECTED, "too many open orders", Adaptation.CANCEL_FIRST),
    -2026: Code(_REJECTED, "this order type cannot be reduce-only"),
    -2027: Code(_REJECTED, "above the largest position this leverage allows"),
    -2028: Code(_REJECTED, "the leverage is too low for this"),
    # Filters, modes, permissions.
    -4000: Code(_REJECTED, "the order status is not valid"),
    -4001: Code(_REJECTED, "the price is below zero"),
    -4002: Code(_REJECTED, "the price is above the symbol's maximum"),
    -4003: Code(_REJECTED, "the quantity is not positive", Adaptation.ROUND),
    -4004: Code(_REJECTED, "the quantity is under the symbol's minimum", Adaptation.ROUND),
    -4005: Code(_REJECTED, "the quantity is over the symbol's maximum", Adaptation.SPLIT),
    -4006: Code(_REJECTED, "the stop price is below zero"),
    -4007: Code(_REJECTED, "the stop price is above the symbol's maximum"),
    -4008: Code(_REJECTED, "the tick size is below zero"),
    -4009: Code(_REJECTED, "the maximum price is below the minimum price"),
    -4010: Code(_REJECTED, "the maximum quantity is below the minimum quantity"),
    -4011: Code(_REJECTED, "the step size is below zero"),
    -4012: Code(_REJECTED, "the maximum number of orders is below zero"),
    -4013: Code(_REJECTED, "the price is below the symbol's minimum"),
    -4014: Code(_REJECTED, "the price is off the symbol's tick"),
    -4015: Code(_REJECTED, "the client order id is malformed"),
    -4016: Code(_REJECTED, "the price is above what the mark price allows", Adaptation.REPRICE),
    -4017: Code(_REJECTED, "the upper price multiplier is below zero"),
    -4018: Code(_REJECTED, "the lower price multiplier is below zero"),
    -4019: Code(_REJECTED, "the composite scale is too large"),
    -4020: Code(_REJECTED, "the strategy does not fit the order type or reduceOnly"),
    -4021: Code(_REJECTED, "the depth limit is not valid"),
    -4022: Code(_REJECTED, "the market status is not valid"),
    -4023: Code(_REJECTED, "the quantity is off the symbol's step", Adaptation.ROUND),
    -4024: Code(_REJECTED, "the price is below what the mark price allows", Adaptation.REPRICE),
    -4025: Code(_REJECTED, "the multiplier's number of decimals is below zero"),
    -4026: Code(_REJECTED, "the commission is not valid"),
    -4027: Code(_REJECTED, "the account type is not valid"),
    -4028: Code(_REJECTED, "the leverage is not valid"),
    -4029: Code(_REJECTED, "the precision of the tick size is not valid"),
    -4030: Code(_REJECTED, "the precision of the step size is not valid"),
    -4031: Code(_REJECTED, "the working type is not valid"),
    -4032: Code(_REJECTED, "too many orders in one cancel"),
    -4033: Code(_REJECTED, "the insurance account was not found"),
    -4044: Code(_REJECTED, "the balance type is not valid"),
    -4045: Code(_REJECTED, "too many conditional orders"),
    -4046: Code(_DONE, "the margin type is already so"),
    -4047: Code(_REJECTED, "open orders keep the margin type from changing"),
    -4048: Code(_REJECTED, "a position keeps the margin type from changing"),
    -4049: Code(_REJECTED, "margin can be added to isolated positions only"),
    -4050: Code(_REJECTED, "the cross balance is not sufficient"),
    -4051: Code(_REJECTED, "the isolated balance is not sufficient"),
    -4052: Code(_DONE, "adding margin automatically is already so"),
    -4053: Code(_REJECTED, "margin can be added automatically to isolated positions only"),
    -4054: Code(_REJECTED, "margin cannot be added: there is no position"),
    -4055: Code(_REJECTED, "the amount is not positive"),
    -4056: Code(_REJECTED, "the type of the key is not valid"),
    -4057: Code(_REJECTED, "the public key is not valid"),
    -4058: Code(_REJECTED, "the maximum price and its decimals are too large"),
    -4059: Code(_DONE, "the position mode is already so"),
    -4060: Code(_REJECTED, "the position side is not valid", Adaptation.MODE),
    -4061: Code(
        _REJECTED, "the position side does not fit the account's position mode", Adaptation.MODE
    ),
    -4062: Code(_REJECTED, "reduce-only does not fit here", Adaptation.MODE),
    -4063: Code(_REJECTED, "the request type of the options product is not valid"),
    -4064: Code(_REJECTED, "the time frame of the options product is not valid"),
    -4065: Code(_REJECTED, "the amount of the options product is not valid"),
    -4066: Code(_REJECTED, "the event type of the options product is not valid"),
    -4067: Code(_REJECTED, "open orders keep the position mode from changing"),
    -4068: Code(_REJECTED, "a position keeps the position mode from changing"),
    -4069: Code(_REJECTED, "the premium of the options product is not valid"),
    -4070: Code(_REJECTED, "the client id of the options product is not valid"),
    -4071: Code(_REJECTED, "the direction of the options product is not valid"),
    -4072: Code(_REJECTED, "the premium of the options product is out of date"),
    -4073: Code(_REJECTED, "the premium entered for the options product is below zero"),
    -4074: Code(_REJECTED, "the amount for the options product is out of range"),
    -4075: Code(_REJECTED, "the premium paid by the options product is below zero"),
    -4076: Code(_REJECTED, "the premium of the options product moved too far"),
    -4077: Code(_REJECTED, "the amount for the options product reached its limit"),
    -4078: Code(_REJECTED, "the options product had an internal error"),
    -4079: Code(_REJECTED, "the id of the options product is not valid"),
    -4080: Code(_REJECTED, "the options product does not know the user"),
    -4081: Code(_REJECTED, "the options product was not found"),
    -4082: Code(_REJECTED, "too many orders in one batch"),
    -4083: Code(_UNKNOWN, "the batch failed; each of its orders may have been executed"),
    -4084: Code(_REJECTED, "this method is not offered yet"),
    -4085: Code(_REJECTED, "the notional limit coefficient is not valid"),
    -4086: Code(_REJECTED, "the price spread threshold is not valid"),
    -4087: Code(_TRANSIENT, "the account may only reduce positions"),
    -4088: Code(_TRANSIENT, "the account may not place orders at the moment"),
    -4104: Code(_REJECTED, "the contract type is not valid"),
    -4105: Code(_LEG_FATAL, "risk control: the account may only reduce"),
    -4106: Code(_LEG_FATAL, "risk control: the account may only buy"),
    -4107: Code(_LEG_FATAL, "risk control: the account may only sell"),
    -4109: Code(_RUN_FATAL, "the account is not active"),
    -4114: Code(_REJECTED, "the client transfer id is not valid"),
    -4115: Code(_REJECTED, "the client transfer id was used before"),
    # The earlier attempt arrived: look it up.
    -4116: Code(_UNKNOWN, "the client order id was used before: the earlier order arrived"),
    -4117: Code(_TRANSIENT, "the stop is triggering right now"),
    -4118: Code(
        _REJECTED,
        "resting orders and this one together would turn the position",
        Adaptation.CANCEL_FIRST,
        is_patient=True,
    ),
    -4120: Code(_REJECTED, "this order type moved to the conditional order service"),
    -4131: Code(
        _REJECTED,
        "the best price is too far from the mark price: the book is thin",
        Adaptation.LIMIT_IOC,
    ),
    -4135: Code(_REJECTED, "the activation price is not valid"),
    -4136: Code(_REJECTED, "the strategy type is not valid"),
    -4137: Code(_REJECTED, "closePosition takes no quantity"),
    -4138: Code(_REJECTED, "closePosition needs reduceOnly to be true, or left out"),
    -4139: Code(_REJECTED, "the symbol takes no market orders in this phase", Adaptation.LIMIT_IOC),
    -4140: Code(_TRANSIENT, "the symbol does not take new orders at the moment"),
    -4141: Code(_LEG_FATAL, "the symbol is closed for trading"),
    -4142: Code(_REJECTED, "the order would trigger at once"),
    -4144: Code(_REJECTED, "the pair is not valid"),
    -4161: Code(_REJECTED, "leverage cannot be lowered while an isolated position is open"),
    -4164: Code(
        _REJECTED, "the notional is under the minimum, which counts unless the order is reduce-only"
    ),
    -4165: Code(_REJECTED, "the time interval is not valid"),
    -4167: Code(_REJECTED, "multi-assets mode cannot be set while symbols use isolated margin"),
    -4168: Code(_REJECTED, "isolated margin cannot be set in multi-assets mode"),
    -4169: Code(
        _REJECTED, "multi-assets mode cannot be changed: the margin balance is not sufficient"
    ),
    -4170: Code(_REJECTED, "multi-assets mode cannot be changed: there are open orders"),
    -4171: Code(_DONE, "the asset mode is already so"),
    -4172: Code(
        _REJECTED, "multi-assets mode cannot be changed: a margin asset has a negative balance"
    ),
    -4183: Code(_REJECTED, "the limit price is above its band", Adaptation.REPRICE),
    -4184: Code(_REJECTED, "the limit price is below its band", Adaptation.REPRICE),
    -4189: Code(_LEG_FATAL, "risk control: the account may only reduce"),
    -4192: Code(
        _TRANSIENT,
        "the account is in a cooling-off period, in which it may not trade through the API",
    ),
    -4202: Code(_REJECTED, "leverage over 20x needs identity verification"),
    -4203: Code(_REJECTED, "leverage over 20x needs an account older than one month"),
    -4205: Code(_REJECTED, "leverage over 20x needs an older account"),
    -4206: Code(_REJECTED, "the leverage is limited in this country"),
    -4208: Code(_REJECTED, "leverage over 20x does not go with an adjusted position limit"),
    -4209: Code(_REJECTED, "the leverage is above the symbol's maximum"),
    -4210: Code(_REJECTED, "the stop price is outside its band"),
    -4211: Code(_REJECTED, "the stop price is outside its band"),
    -4400: Code(_LEG_FATAL, "quantitative rules: the account may only reduce"),
    -4401: Code(_LEG_FATAL, "large-position risk control: the account may only reduce"),
    -4402: Code(_TRANSIENT, "the venue does not offer this feature in this region"),
    -4403: Code(_TRANSIENT, "the venue limits this feature in this region"),
    -4411: Code(_LEG_FATAL, "the agreement for this kind of contract is not signed"),
    -4425: Code(_LEG_FATAL, "not documented; one report names it"),
    -4531: Code(_TRANSIENT, "the position mode is being synchronised between USDS-M and COIN-M"),
    # Matching.
    -5000: Code(_REJECTED, "the venue does not offer this path, or not any more"),
    -5021: Code(_REJECTED, "fill-or-kill, and the book could not fill it"),
    -5022: Code(_REJECTED, "post-only, and it would have traded at once"),
    -5024: Code(_REJECTED, "the order cannot be amended"),
    -5025: Code(_REJECTED, "the order cannot be amended"),
    -5026: Code(_REJECTED, "the order cannot be amended"),
    -5027: Code(_REJECTED, "the order cannot be amended"),
    -5028: Code(
        _TRANSIENT,
        "the request was too old when it reached the matching engine; nothing was executed",
    ),
    -5029: Code(_REJECTED, "the order cannot be amended"),
    -5037: Code(_REJECTED, "priceMatch is not valid"),
    -5038: Code(_REJECTED, "priceMatch takes no price"),
    -5039: Code(_REJECTED, "the self-trade prevention mode is not valid"),
    -5040: Code(_REJECTED, "goodTillDate is not valid"),
    -5041: Code(_REJECTED, "the book has no depth for priceMatch", Adaptation.LIMIT_IOC),
    -5043: Code(_REJECTED, "the order is being amended"),
    -5047: Code(_REJECTED, "the order cannot be amended"),
}

CODES_BY_PRODUCT: Final[Mapping[Product, Mapping[int, Code]]] = {
    Product.USDM: CODES,
    Product.COINM: {
        **CODES,
        # Numbers that USDS-M uses for permissions: here the product decides.
        -4087: Code(_REJECTED, "the pair is not valid"),
        -4088: Code(_REJECTED, "the interval is not valid"),
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
