"""Decimal amounts: parsing what a venue sent, splitting and rounding without a float.

>>> plain(Decimal("1E-8"))
'0.00000001'
>>> [plain(part) for part in split(Decimal("300.5"), Decimal("120"))]
['120', '120', '60.5']
>>> plain(floor_to_step(Decimal("0.0157"), Decimal("0.001")))
'0.015'
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Final

_MAGNITUDE_MAX: Final = 40


def parse_decimal(value: object) -> Decimal | None:
    """Return the finite number a venue wrote, or None when it wrote none.

    Strings and ints are read exactly. Floats and booleans are refused (None): a float has already
    lost digits.
    """
    if isinstance(value, Decimal):
        return value if value.is_finite() else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def parse_amount(value: object) -> Decimal | None:
    """Return a number of ordinary size; None for `1E+999999`, which takes a megabyte to write.

    >>> parse_amount("0.5"), parse_amount("1E+41"), parse_amount("1E-41")
    (Decimal('0.5'), None, None)
    """
    found = parse_decimal(value)
    if found is None or not found:
        return found
    exponent = found.as_tuple().exponent
    is_sane = isinstance(exponent, int) and abs(exponent) <= _MAGNITUDE_MAX
    return found if is_sane and abs(found.adjusted()) <= _MAGNITUDE_MAX else None


def plain(value: Decimal) -> str:
    """Return the number without an exponent, keeping the digits it was written with."""
    return format(value, "f")


def split(quantity: Decimal, part_max: Decimal) -> tuple[Decimal, ...]:
    """Return parts of at most `part_max` that sum exactly to `quantity`, all but the last full."""
    if part_max <= 0 or quantity <= part_max:
        return (quantity,)
    full = int(quantity // part_max)
    rest = quantity - part_max * full
    return (part_max,) * full + ((rest,) if rest else ())


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` not above `quantity`; `step` 0 leaves it as it is."""
    if step <= 0:
        return quantity
    return (quantity / step).to_integral_value(ROUND_FLOOR) * step


def floor_to_tick(price: Decimal, tick: Decimal) -> Decimal:
    """Return the highest price on the tick grid not above `price`."""
    return floor_to_step(price, tick)


def ceil_to_tick(price: Decimal, tick: Decimal) -> Decimal:
    """Return the lowest price on the tick grid not below `price`."""
    if tick <= 0:
        return price
    return (price / tick).to_integral_value(ROUND_CEILING) * tick
