"""Every error code of the venue that is documented or was seen: what it means, and in which words.

The one table. A code that is not in it is decided by its HTTP status (`liqctl.kernel.answers`).
Facts: Binance USDS-M "Error Code" page, read 2026-11-23 and 2026-11-29; codes that only others
reported are in the table too (-1131, -1135, -2008, -4105 to -4107, -4189, -4425, -5000).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class AnswerKind(StrEnum):
    """What the caller does next; `liqctl.kernel.answers` says when."""

    DONE = "DONE"
    TRANSIENT = "TRANSIENT"
    UNKNOWN = "UNKNOWN"
    REJECTED = "REJECTED"
    LEG_FATAL = "LEG_FATAL"
    RUN_FATAL = "RUN_FATAL"
    PAUSE = "PAUSE"


_DONE: Final = AnswerKind.DONE
_TRANSIENT: Final = AnswerKind.TRANSIENT
_UNKNOWN: Final = AnswerKind.UNKNOWN
_REJECTED: Final = AnswerKind.REJECTED
_LEG_FATAL: Final = AnswerKind.LEG_FATAL
_RUN_FATAL: Final = AnswerKind.RUN_FATAL

CODES: Final[Mapping[int, tuple[AnswerKind, str]]] = {
    # General server and network issues.
    -1000: (_UNKNOWN, "the venue had an unknown error; the order may have been executed"),
    -1001: (_TRANSIENT, "the venue had an internal error; nothing was executed"),
    -1002: (_RUN_FATAL, "the key is not authorised for this"),
    -1003: (_TRANSIENT, "too many requests from this address"),
    -1004: (_RUN_FATAL, "this address is already on the key's list"),
    -1005: (_RUN_FATAL, "this address is not on the key's list"),
    -1006: (
        _UNKNOWN,
        "the venue's own parts misunderstood one another; the order may have been executed",
    ),
    -1007: (
        _UNKNOWN,
        "the venue's backend did not answer in time; the order may have been executed",
    ),
    # Documented as not executed; one report says otherwise (banbox/banbot#114), so it is looked up.
    -1008: (_UNKNOWN, "the venue was overloaded"),
    -1010: (_REJECTED, "the venue could not understand the message"),
    -1011: (_RUN_FATAL, "this address may not use this part of the venue"),
    -1013: (_REJECTED, "the order breaks one of the symbol's filters"),
    -1014: (_REJECTED, "this combination of order parameters is not supported"),
    -1015: (_TRANSIENT, "too many orders in a short time"),
    -1016: (_TRANSIENT, "this service is not available: maintenance"),
    -1020: (_REJECTED, "this operation is not supported"),
    -1021: (
        _TRANSIENT,
        "the clock of this machine differs too much from the venue's, or the request was late",
    ),
    -1022: (_RUN_FATAL, "the signature is wrong: most likely the secret"),
    -1023: (_REJECTED, "the start lies after the end"),
    -1099: (_RUN_FATAL, "not found, or the key is not allowed to see it"),
    # The request.
    -1100: (_REJECTED, "a parameter holds forbidden characters"),
    -1101: (_REJECTED, "too many parameters"),
    -1102: (_REJECTED, "a parameter is missing or malformed"),
    -1103: (_REJECTED, "an unknown parameter"),
    -1104: (_REJECTED, "not every parameter was read"),
    -1105: (_REJECTED, "a parameter is empty"),
    -1106: (_REJECTED, "a parameter is not wanted here: reduceOnly on an account in hedge mode"),
    -1108: (_REJECTED, "the asset is not valid"),
    -1109: (_TRANSIENT, "the account is not valid at the moment: seen during maintenance"),
    -1110: (_REJECTED, "the symbol type is not valid"),
    -1111: (_REJECTED, "the quantity or price has more digits than the symbol allows"),
    -1112: (_TRANSIENT, "there are no orders on the other side of the book"),
    -1113: (_REJECTED, "a withdrawal amount must be negative"),
    -1114: (_REJECTED, "timeInForce is not wanted here"),
    -1115: (_REJECTED, "timeInForce is not valid"),
    -1116: (_REJECTED, "the order type is not valid"),
    -1117: (_REJECTED, "the side is not valid"),
    -1118: (_REJECTED, "the new client order id is empty"),
    -1119: (_REJECTED, "the original client order id is empty"),
    -1120: (_REJECTED, "the interval is not valid"),
    -1121: (_LEG_FATAL, "the symbol does not exist"),
    -1122: (_TRANSIENT, "the symbol is halted or settling"),
    -1125: (_RUN_FATAL, "the listen key is gone"),
    -1126: (_REJECTED, "the asset is not supported"),
    -1127: (_REJECTED, "the time range is too long"),
    -1128: (_REJECTED, "these optional parameters do not go together"),
    -1130: (_REJECTED, "a parameter's value is not valid"),
    -1131: (_REJECTED, "recvWindow is too large"),
    -1135: (_TRANSIENT, "the status of the account is not valid at the moment"),
    -1136: (_REJECTED, "newOrderRespType is not valid"),
    # Orders, keys and positions.
    -2008: (
        _RUN_FATAL,
        (
            "the venue does not know this key: it was deleted, or a live key and a demo key are "
            "mixed up"
        ),
    ),
    -2010: (_REJECTED, "the venue rejected the new order"),
    -2011: (_DONE, "the order to cancel is not open: filled, cancelled or expired before"),
    -2012: (_TRANSIENT, "the venue could not cancel the batch"),
    -2013: (_DONE, "the venue does not know the order"),
    -2014: (_RUN_FATAL, "the key has the wrong form"),
    -2015: (
        _RUN_FATAL,
        (
            "the key is wrong, or this address is not on its list, or it may not trade futures, or "
            "the account is in portfolio margin"
        ),
    ),
    -2016: (_REJECTED, "the symbol has no trading window"),
    -2017: (_RUN_FATAL, "the key is locked"),
    -2018: (_REJECTED, "the balance is not sufficient"),
    -2019: (_REJECTED, "the margin is not sufficient; a close that only reduces needs none"),
    -2020: (_REJECTED, "the book is too thin to fill the order"),
    -2021: (_REJECTED, "the order would trigger at once"),
    -2022: (
        _REJECTED,
        "nothing to reduce: the position is closed, or resting orders already claim it",
    ),
    -2023: (_TRANSIENT, "the account is being liquidated by the venue"),
    -2024: (_REJECTED, "the position is smaller than the order"),
    -2025: (_REJECTED, "too many open orders"),
    -2026: (_REJECTED, "this order type cannot be reduce-only"),
    -2027: (_REJECTED, "above the largest position this leverage allows"),
    -2028: (_REJECTED, "the leverage is too low for this"),
    # Filters, modes, permissions.
    -4000: (_REJECTED, "the order status is not valid"),
    -4001: (_REJECTED, "the price is below zero"),
    -4002: (_REJECTED, "the price is above the symbol's maximum"),
    -4003: (_REJECTED, "the quantity is not positive"),
    -4004: (_REJECTED, "the quantity is under the symbol's minimum"),
    -4005: (_REJECTED, "the quantity is over the symbol's maximum"),
    -4006: (_REJECTED, "the stop price is below zero"),
    -4007: (_REJECTED, "the stop price is above the symbol's maximum"),
    -4008: (_REJECTED, "the tick size is below zero"),
    -4009: (_REJECTED, "the maximum price is below the minimum price"),
    -4010: (_REJECTED, "the maximum quantity is below the minimum quantity"),
    -4011: (_REJECTED, "the step size is below zero"),
    -4012: (_REJECTED, "the maximum number of orders is below zero"),
    -4013: (_REJECTED, "the price is below the symbol's minimum"),
    -4014: (_REJECTED, "the price is off the symbol's tick"),
    -4015: (_REJECTED, "the client order id is malformed"),
    -4016: (_REJECTED, "the price is above what the mark price allows"),
    -4017: (_REJECTED, "the upper price multiplier is below zero"),
    -4018: (_REJECTED, "the lower price multiplier is below zero"),
    -4019: (_REJECTED, "the composite scale is too large"),
    -4020: (_REJECTED, "the strategy does not fit the order type or reduceOnly"),
    -4021: (_REJECTED, "the depth limit is not valid"),
    -4022: (_REJECTED, "the market status is not valid"),
    -4023: (_REJECTED, "the quantity is off the symbol's step"),
    -4024: (_REJECTED, "the price is below what the mark price allows"),
    -4025: (_REJECTED, "the multiplier's number of decimals is below zero"),
    -4026: (_REJECTED, "the commission is not valid"),
    -4027: (_REJECTED, "the account type is not valid"),
    -4028: (_REJECTED, "the leverage is not valid"),
    -4029: (_REJECTED, "the precision of the tick size is not valid"),
    -4030: (_REJECTED, "the precision of the step size is not valid"),
    -4031: (_REJECTED, "the working type is not valid"),
    -4032: (_REJECTED, "too many orders in one cancel"),
    -4033: (_REJECTED, "the insurance account was not found"),
    -4044: (_REJECTED, "the balance type is not valid"),
    -4045: (_REJECTED, "too many conditional orders"),
    -4046: (_DONE, "the margin type is already so"),
    -4047: (_REJECTED, "open orders keep the margin type from changing"),
    -4048: (_REJECTED, "a position keeps the margin type from changing"),
    -4049: (_REJECTED, "margin can be added to isolated positions only"),
    -4050: (_REJECTED, "the cross balance is not sufficient"),
    -4051: (_REJECTED, "the isolated balance is not sufficient"),
    -4052: (_DONE, "adding margin automatically is already so"),
    -4053: (_REJECTED, "margin can be added automatically to isolated positions only"),
    -4054: (_REJECTED, "margin cannot be added: there is no position"),
    -4055: (_REJECTED, "the amount is not positive"),
    -4056: (_REJECTED, "the type of the key is not valid"),
    -4057: (_REJECTED, "the public key is not valid"),
    -4058: (_REJECTED, "the maximum price and its decimals are too large"),
    -4059: (_DONE, "the position mode is already so"),
    -4060: (_REJECTED, "the position side is not valid"),
    -4061: (_REJECTED, "the position side does not fit the account's position mode"),
    -4062: (_REJECTED, "reduce-only does not fit here"),
    -4063: (_REJECTED, "the request type of the options product is not valid"),
    -4064: (_REJECTED, "the time frame of the options product is not valid"),
    -4065: (_REJECTED, "the amount of the options product is not valid"),
    -4066: (_REJECTED, "the event type of the options product is not valid"),
    -4067: (_REJECTED, "open orders keep the position mode from changing"),
    -4068: (_REJECTED, "a position keeps the position mode from changing"),
    -4069: (_REJECTED, "the premium of the options product is not valid"),
    -4070: (_REJECTED, "the client id of the options product is not valid"),
    -4071: (_REJECTED, "the direction of the options product is not valid"),
    -4072: (_REJECTED, "the premium of the options product is out of date"),
    -4073: (_REJECTED, "the premium entered for the options product is below zero"),
    -4074: (_REJECTED, "the amount for the options product is out of range"),
    -4075: (_REJECTED, "the premium paid by the options product is below zero"),
    -4076: (_REJECTED, "the premium of the options product moved too far"),
    -4077: (_REJECTED, "the amount for the options product reached its limit"),
    -4078: (_REJECTED, "the options product had an internal error"),
    -4079: (_REJECTED, "the id of the options product is not valid"),
    -4080: (_REJECTED, "the options product does not know the user"),
    -4081: (_REJECTED, "the options product was not found"),
    -4082: (_REJECTED, "too many orders in one batch"),
    -4083: (_UNKNOWN, "the batch failed; each of its orders may have been executed"),
    -4084: (_REJECTED, "this method is not offered yet"),
    -4085: (_REJECTED, "the notional limit coefficient is not valid"),
    -4086: (_REJECTED, "the price spread threshold is not valid"),
    -4087: (_TRANSIENT, "the account may only reduce positions"),
    -4088: (_TRANSIENT, "the account may not place orders at the moment"),
    -4104: (_REJECTED, "the contract type is not valid"),
    -4105: (_LEG_FATAL, "risk control: the account may only reduce"),
    -4106: (_LEG_FATAL, "risk control: the account may only buy"),
    -4107: (_LEG_FATAL, "risk control: the account may only sell"),
    -4109: (_RUN_FATAL, "the account is not active"),
    -4114: (_REJECTED, "the client transfer id is not valid"),
    -4115: (_REJECTED, "the client transfer id was used before"),
    # The earlier attempt arrived: look it up.
    -4116: (_UNKNOWN, "the client order id was used before: the earlier order arrived"),
    -4117: (_TRANSIENT, "the stop is triggering right now"),
    -4118: (_REJECTED, "resting orders and this one together would turn the position"),
    -4120: (_REJECTED, "this order type moved to the conditional order service"),
    -4131: (_REJECTED, "the best price is too far from the mark price: the book is thin"),
    -4135: (_REJECTED, "the activation price is not valid"),
    -4136: (_REJECTED, "the strategy type is not valid"),
    -4137: (_REJECTED, "closePosition takes no quantity"),
    -4138: (_REJECTED, "closePosition needs reduceOnly to be true, or left out"),
    -4139: (_REJECTED, "the symbol takes no market orders in this phase"),
    -4140: (_TRANSIENT, "the symbol does not take new orders at the moment"),
    -4141: (_LEG_FATAL, "the symbol is closed for trading"),
    -4142: (_REJECTED, "the order would trigger at once"),
    -4144: (_REJECTED, "the pair is not valid"),
    -4161: (_REJECTED, "leverage cannot be lowered while an isolated position is open"),
    -4164: (
        _REJECTED,
        "the notional is under the minimum, which counts unless the order is reduce-only",
    ),
    -4165: (_REJECTED, "the time interval is not valid"),
    -4167: (_REJECTED, "multi-assets mode cannot be set while symbols use isolated margin"),
    -4168: (_REJECTED, "isolated margin cannot be set in multi-assets mode"),
    -4169: (_REJECTED, "multi-assets mode cannot be changed: the margin balance is not sufficient"),
    -4170: (_REJECTED, "multi-assets mode cannot be changed: there are open orders"),
    -4171: (_DONE, "the asset mode is already so"),
    -4172: (
        _REJECTED,
        "multi-assets mode cannot be changed: a margin asset has a negative balance",
    ),
    -4183: (_REJECTED, "the limit price is above its band"),
    -4184: (_REJECTED, "the limit price is below its band"),
    -4189: (_LEG_FATAL, "risk control: the account may only reduce"),
    -4192: (
        _TRANSIENT,
        "the account is in a cooling-off period, in which it may not trade through the API",
    ),
    -4202: (_REJECTED, "leverage over 20x needs identity verification"),
    -4203: (_REJECTED, "leverage over 20x needs an account older than one month"),
    -4205: (_REJECTED, "leverage over 20x needs an older account"),
    -4206: (_REJECTED, "the leverage is limited in this country"),
    -4208: (_REJECTED, "leverage over 20x does not go with an adjusted position limit"),
    -4209: (_REJECTED, "the leverage is above the symbol's maximum"),
    -4210: (_REJECTED, "the stop price is outside its band"),
    -4211: (_REJECTED, "the stop price is outside its band"),
    -4400: (_LEG_FATAL, "quantitative rules: the account may only reduce"),
    -4401: (_LEG_FATAL, "large-position risk control: the account may only reduce"),
    -4402: (_TRANSIENT, "the venue does not offer this feature in this region"),
    -4403: (_TRANSIENT, "the venue limits this feature in this region"),
    -4411: (_LEG_FATAL, "the agreement for this kind of contract is not signed"),
    -4425: (_LEG_FATAL, "not documented; one report names it"),
    -4531: (_TRANSIENT, "the position mode is being synchronised between USDS-M and COIN-M"),
    # Matching.
    -5000: (_REJECTED, "the venue does not offer this path, or not any more"),
    -5021: (_REJECTED, "fill-or-kill, and the book could not fill it"),
    -5022: (_REJECTED, "post-only, and it would have traded at once"),
    -5024: (_REJECTED, "the order cannot be amended"),
    -5025: (_REJECTED, "the order cannot be amended"),
    -5026: (_REJECTED, "the order cannot be amended"),
    -5027: (_REJECTED, "the order cannot be amended"),
    -5028: (
        _TRANSIENT,
        "the request was too old when it reached the matching engine; nothing was executed",
    ),
    -5029: (_REJECTED, "the order cannot be amended"),
    -5037: (_REJECTED, "priceMatch is not valid"),
    -5038: (_REJECTED, "priceMatch takes no price"),
    -5039: (_REJECTED, "the self-trade prevention mode is not valid"),
    -5040: (_REJECTED, "goodTillDate is not valid"),
    -5041: (_REJECTED, "the book has no depth for priceMatch"),
    -5043: (_REJECTED, "the order is being amended"),
    -5047: (_REJECTED, "the order cannot be amended"),
}


def explain_code(code: int) -> str:
    """Return what a code means, in words an operator can act on.

    >>> explain_code(-4141)
    'the symbol is closed for trading'
    >>> explain_code(-9999)
    'not a code that liqctl knows: see Binance USDS-M "Error Code"'
    """
    if code not in CODES:
        return 'not a code that liqctl knows: see Binance USDS-M "Error Code"'
    return CODES[code][1]
