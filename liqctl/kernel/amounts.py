"""Decimal amounts: parsing what a venue sent, splitting and rounding without a float.

Easy to get wrong: Python's own arithmetic (`-`, `*`, even `abs`) rounds to 28 digits without a
word. What passed `parse_decimal` has at most 60, so sums and splits here are made with enough
digits to stay exact, and none of them can raise.

>>> plain(Decimal("1E-8"))
'0.00000001'
>>> [plain(part) for part in split(Decimal("300.5"), Decimal("120"))]
['120', '120', '60.5']
>>> plain(floor_to_step(Decimal("0.0157"), Decimal("0.001")))
'0.015'
"""

from decimal import Context, Decimal, InvalidOperation
from typing import Final

_MAGNITUDE_MAX: Final = 40
"""1E+40 is beyond anything traded; `1E+999999` takes a megabyte to write."""

_DIGITS_MAX: Final = 60
_EXACT: Final = Context(prec=4 * _DIGITS_MAX)
"""Holds the quotient and the product of any two numbers that passed."""

PARTS_MAX: Final = 50
"""Parts of one quantity at a time; what is more waits for the next reading."""


def parse_decimal(value: object) -> Decimal | None:
    """Return the number of ordinary size that a venue wrote, or None when it wrote none.

    Strings, ints and Decimals are read exactly, with the digits they were written with. Floats and
    booleans are refused: a float has already lost digits.

    >>> parse_decimal("0.50"), parse_decimal("1E+41"), parse_decimal("1E-41"), parse_decimal("NaN")
    (Decimal('0.50'), None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    if not number.is_finite():
        return None
    _, digits, exponent = number.as_tuple()
    is_ordinary = (
        len(digits) <= _DIGITS_MAX
        and isinstance(exponent, int)
        and abs(exponent) <= _MAGNITUDE_MAX
        and (not number or abs(number.adjusted()) <= _MAGNITUDE_MAX)
    )
    return number if is_ordinary else None


def plain(value: Decimal) -> str:
    """Return the number without an exponent, keeping the digits it was written with."""
    return format(value, "f")


def count(number: float, noun: str) -> str:
    """Return the number and its noun.

    >>> count(1, "order"), count(2, "order")
    ('1 order', '2 orders')
    """
    return f"{number:.0f} {noun}{'' if number == 1 else 's'}"


def split(quantity: Decimal, part_max: Decimal) -> tuple[Decimal, ...]:
    """Return parts of at most `part_max` that sum exactly to `quantity`, all but the last full.

    At most `PARTS_MAX` parts are returned: of a quantity that needs more, the first ones.
    """
    if part_max <= 0 or quantity <= part_max:
        return (quantity,)
    full = min(int(_EXACT.divide_int(quantity, part_max)), PARTS_MAX)
    rest = _EXACT.subtract(quantity, _EXACT.multiply(part_max, Decimal(full)))
    return (part_max,) * full + ((rest,) if rest and full < PARTS_MAX else ())


def halve(quantity: Decimal) -> Decimal:
    """Return half of the quantity with no more decimals than it was written with.

    >>> plain(halve(Decimal("300.005"))), plain(halve(Decimal("0.001")))
    ('150.002', '0.0005')
    """
    half = _EXACT.divide(quantity, Decimal(2))
    exponent = quantity.as_tuple().exponent
    written = Decimal(1).scaleb(min(exponent, 0)) if isinstance(exponent, int) else Decimal(0)
    return floor_to_step(half, written) or half


def coarser_step(quantity: Decimal) -> Decimal:
    """Return the step that takes one digit from the quantity.

    >>> plain(coarser_step(Decimal("12.340"))), plain(coarser_step(Decimal("120")))
    ('0.1', '100')
    """
    exponent = quantity.normalize(_EXACT).as_tuple().exponent
    return Decimal(1).scaleb(exponent + 1) if isinstance(exponent, int) else Decimal(0)


def rounded(value: Decimal, unit: Decimal) -> Decimal:
    """Return the value rounded to the unit; of a long one `Decimal.quantize` would raise."""
    return _EXACT.quantize(value, unit)


def less(quantity: Decimal, part: Decimal) -> Decimal:
    """Return exactly what is left of a quantity without a part of it."""
    return _EXACT.subtract(quantity, part)


def floor_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of `step` not above `quantity`; `step` 0 leaves it as it is.

    A quantity that is a multiple already stays as it was written.
    """
    if step <= 0:
        return quantity
    # Steps come with trailing zeros, which would give the quantity more decimals than allowed.
    floor = _EXACT.multiply(_EXACT.divide_int(quantity, step), step.normalize(_EXACT))
    return quantity if floor == quantity else floor


def ceil_to_step(quantity: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of `step` not below `quantity`."""
    floor = floor_to_step(quantity, step)
    return quantity if floor == quantity else _EXACT.add(floor, step.normalize(_EXACT))
