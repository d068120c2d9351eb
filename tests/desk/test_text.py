"""Words of others are made harmless, columns line up."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from liqctl.desk.text import WORDS_MAX, clean, columns, table


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
    shown = table(("symbol", "side"), [("龙虾USDT", "LONG"), ("BTCUSDT", "SHORT")], width=80)

    assert {columns(line[: line.rindex(" ") + 1]) for line in shown.splitlines()} == {10}


def test_a_last_column_without_room_goes_below_its_row() -> None:
    """Very long symbols leave no room for the reason."""
    shown = table(("symbol", "result"), [("X" * 70, "FAILED for a reason")], width=80)

    assert shown.splitlines()[1:] == ["X" * 70, "    FAILED for a reason"]
