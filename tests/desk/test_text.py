"""Words of others are made harmless; numbers and symbols stay whole, whoever looks."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from liqctl.desk.text import (
    WORDS_MAX,
    Part,
    Table,
    Tone,
    clean,
    fit,
    labelled,
    lines_of,
    paint,
)

HEAD = ("symbol", "side", "quantity", "notional", "result")
ROWS = [
    ("1000000MOGUSDT", "SHORT", "1234567.891", "1,234,567.89", "CLOSED at 0.0012345"),
    ("1INCHUSDT", "LONG", "0.5", "25,000.00", "FAILED, 0.5 left after 3 attempts: closed (-4141)"),
]


@given(st.text())
def test_cleaned_text_holds_nothing_that_moves_a_cursor(text: str) -> None:
    """Escape sequences, line ends and right-to-left marks can fake a line of the screen."""
    harmless = {"Zs"}
    for char in clean(text):
        category = unicodedata.category(char)
        assert category in harmless or category[0] not in "CZ"


def test_cleaned_text_is_bounded() -> None:
    """A page of HTML instead of an answer must not fill the screen."""
    assert len(clean("x" * 10_000)) == WORDS_MAX + 1


def test_wide_symbols_keep_the_columns_aligned() -> None:
    """The venue lists symbols that are not ASCII and take two columns a letter."""
    rows = [("龙虾USDT", "LONG"), ("BTCUSDT", "SHORT")]
    lines = lines_of([Table(head=("symbol", "side"), rows=rows)], width=80)

    assert {cell_len(line[: line.rindex(" ") + 1]) for line in lines} == {10}


def test_prose_without_room_goes_below_its_row() -> None:
    """Very long symbols leave no room for the reason."""
    table = Table(head=("symbol", "result"), rows=[("X" * 70, "FAILED for a reason")])

    assert lines_of([table], width=80)[2:] == ["X" * 70, "    FAILED for a reason"]


@pytest.mark.parametrize("width", [200, 80, 60, 50, 40, 30])
def test_numbers_and_symbols_stay_whole_on_every_terminal(width: int) -> None:
    """A quantity that lost its last digits is a wrong quantity."""
    table = Table(head=HEAD, rows=ROWS, right={2, 3})
    figures = Table(head=(*HEAD[:4], "PnL"), rows=[(*ROWS[0][:4], "-12,345.67")], right={2, 3, 4})

    lines = lines_of([table, figures, *labelled(("open", "1,234,567.89 notional"))], width=width)

    assert max(map(cell_len, lines)) <= width
    shown = [word for line in lines for word in re.findall(r"[\w.,-]*\d[\w.,-]*", line)]
    rows = [re.findall(r"[\w.,-]*\d[\w.,-]*", " ".join(row)) for row in ROWS]
    assert shown == [*rows[0], *rows[1], *rows[0][:3], "-12,345.67", "1,234,567.89"]


def test_where_nobody_looks_a_row_is_a_line() -> None:
    """`grep` finds the symbol with everything that is said of it."""
    parts: list[Part] = [
        ("FAILED: ", "because" * 30),
        "",
        Table(head=HEAD, rows=ROWS, right={2, 3}),
    ]

    first, second, *table = lines_of(parts, width=None)
    columns = [re.split(" {2,}", line) for line in table]

    assert (first, second) == ("FAILED: " + "because" * 30, "")
    assert columns == [
        ["symbol", "side", "quantity", "notional", "result"],
        ["1000000MOGUSDT", "SHORT", "1234567.891", "1,234,567.89", "CLOSED at 0.0012345"],
        [
            "1INCHUSDT",
            "LONG",
            "0.5",
            "25,000.00",
            "FAILED, 0.5 left after 3 attempts: closed (-4141)",
        ],
    ]
    ends = {re.search(r"notional|,567.89|,000.00", line).end() for line in table}  # type: ignore[union-attr]
    assert len(ends) == 1


def test_a_pipe_gets_the_columns_that_a_wide_terminal_gets() -> None:
    """Two ways make them, so that a pipe does not wait for rich; symbols may be Chinese."""
    rows = [("币安人生USDT", "LONG", "7", "1.00", "CLOSED at 0.1 … not yet"), *ROWS]
    table = Table(head=HEAD, rows=rows, right={2, 3})

    assert lines_of([table], width=None) == lines_of([table], width=200)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("NO_COLOR", "1"), ("FORCE_COLOR", "1"), ("COLUMNS", "20"), ("TERM", "dumb")],
)
def test_the_environment_does_not_change_what_is_drawn(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Width and colour are decided once, by the options and the terminal itself."""
    monkeypatch.setenv(variable, value)
    painted = paint("FAILED", Tone.BAD, colour=True)

    assert lines_of([(f"{painted}: ", "one " * 12)], width=40) == [
        "\x1b[31mFAILED\x1b[0m: one one one one one one one one",
        "        one one one one",
    ]


@pytest.mark.parametrize("height", [1, 5, 9, 40])
def test_as_many_rows_are_drawn_as_fit(height: int) -> None:
    """What does not fit pushes the first line out of sight."""

    def make(rows: int) -> list[Part]:
        return ["head", Table(head=HEAD, rows=(ROWS * 50)[:rows], right={2, 3})]

    lines = fit(make(100), make, width=50, height=height)

    # A head and a row take two and three lines here.
    assert len(lines) <= max(height, 3)
    assert len(lines) > height - 6
