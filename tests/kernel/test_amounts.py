"""Numbers of the venue: what passes can be reckoned with, exactly and without an exception."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqctl.kernel.amounts import (
    PARTS_MAX,
    ceil_to_step,
    coarser_step,
    floor_to_step,
    halve,
    less,
    parse_decimal,
    plain,
    rounded,
    split,
)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "x",
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1E+999999",
        "1E-999999",
        "1E+41",
        "1E-41",
        "9" * 61,
        "0." + "1" * 61,
        "0E+999999",
        "1" * 100_000,
        10**61,
        Decimal("NaN"),
        Decimal("1E+999999"),
        0.5,
        True,
        None,
        [],
        {},
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_no_number_of_ordinary_size_is_not_read(written: object) -> None:
    """One such number abandoned every leg of a run."""
    assert parse_decimal(written) is None


@pytest.mark.parametrize("written", ["0", "-0", "30.500", "1E-40", "9" * 40, "0.00000001", "1e3"])
def test_an_ordinary_number_keeps_its_digits(written: str) -> None:
    """The quantity is sent back as the venue wrote it."""
    read = parse_decimal(written)

    assert read is not None
    assert read.as_tuple() == Decimal(written).as_tuple()


numbers = st.builds(
    lambda digits, exponent: Decimal((0, tuple(int(digit) for digit in str(digits)), exponent)),
    st.integers(1, 10**40),
    st.integers(-40, 40),
).filter(lambda value: parse_decimal(value) is not None)


@given(numbers, numbers)
def test_no_arithmetic_raises_on_two_numbers_that_passed(quantity: Decimal, step: Decimal) -> None:
    """Rule: parts and rest are exact, floors and ceilings enclose, nothing is written at length."""
    parts = split(quantity, step)
    floor, ceiling = floor_to_step(quantity, step), ceil_to_step(quantity, step)

    assert len(parts) <= PARTS_MAX + 1
    assert all(0 < part <= max(step, quantity) for part in parts)
    assert floor <= quantity <= ceiling
    assert less(quantity, floor) < step
    assert 0 < halve(quantity) < quantity
    assert coarser_step(quantity) > 0
    assert rounded(quantity, Decimal("1E-8")) >= 0
    assert len(plain(quantity)) < 120


@given(
    st.decimals(min_value="0.001", max_value="5000", places=3),
    st.decimals(min_value="100", max_value="1000", places=1),
)
def test_parts_sum_exactly_to_the_quantity(quantity: Decimal, part_max: Decimal) -> None:
    """What is left over would stay open."""
    assert sum(split(quantity, part_max), Decimal(0)) == quantity


def test_a_multiple_of_the_step_keeps_its_digits_and_a_floor_has_no_more_than_the_step() -> None:
    """Steps come with trailing zeros; a quantity with more decimals is refused."""
    assert plain(floor_to_step(Decimal("12.300"), Decimal("0.1"))) == "12.300"
    assert plain(floor_to_step(Decimal("12.34"), Decimal("0.100"))) == "12.3"
    assert plain(ceil_to_step(Decimal("95.28"), Decimal("0.10"))) == "95.3"
