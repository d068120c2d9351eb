r"""What screens are made of: safe words of others, and parts that rich lays out on a terminal.

`width` is the terminal's, or None when nobody looks: then every part is one line, a table's row
too, so that `grep` finds a whole message. That form needs no rich, which takes some 70 ms to
import: a pipe does not pay for it, and the last resort of a run can do without.

>>> print(clean("BTC" + chr(27) + "[31mUSDT"))
BTC\x1b[31mUSDT
>>> print(show([Table(head=("symbol", "quantity"), rows=[("BTCUSDT", "0.5")])], width=None), end="")
symbol   quantity
BTCUSDT  0.5
"""

import io
import math
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import starmap, zip_longest
from typing import TYPE_CHECKING, Final

from liqctl.kernel.amounts import count as count  # noqa: PLC0414 - asked for here too
from liqctl.kernel.states import Product

if TYPE_CHECKING:
    from rich.console import Console

WORDS_MAX: Final = 500
"""How much of a text of others is shown."""

EXECUTIONS_UNREAD: Final = "execution algorithms (spot host) could not be read"
"""What is said where the venue's TWAP and VP orders were not listed."""

NOT_READ: Final = "NOT READ"
"""What is said of an account whose positions are not known."""

NARROWEST: Final = 30
"""Less than the labels and the longest number need; such a terminal wraps by itself."""

_LABEL_COLUMNS: Final = 10
_COLUMNS: Final = 80
"""What a line that must stay one has where no terminal says so."""

_PROSE_MIN: Final = 16
"""Columns that are enough for prose: two words, or one and a number."""

_UNBOUNDED: Final = 1_000_000
"""Columns that hold any table, to see how many one needs."""

_NAMED_MAX: Final = 3
_SHOWN_AS_CODE: Final = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


class Tone(StrEnum):
    """What a colour says; the value is the terminal's code.

    Only codes that can be read on a light and on a dark ground: doubt is magenta, for yellow
    vanishes on white, blue on black. The words say the same without any.
    """

    GOOD = "32"
    BAD = "31"
    DOUBT = "35"
    QUIET = "2"
    STRONG = "1"


def clean(text: str) -> str:
    """Return a venue's or user's text with everything that could move a cursor shown as a code."""
    shown = text[:WORDS_MAX]
    safe = "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _SHOWN_AS_CODE
        else char
        for char in shown
    )
    return safe + ("…" if len(text) > WORDS_MAX else "")


def paint(text: str, tone: Tone, *, colour: bool) -> str:
    """Return the text in a tone, or as it is."""
    return f"\x1b[{tone.value}m{text}\x1b[0m" if colour else text


def money(amount: Decimal) -> str:
    """Return an amount of the quote asset, to the cent.

    >>> money(Decimal("25000"))
    '25,000.00'
    """
    return f"{amount:,.2f}"


def sized(quantity: object, product: object) -> str:
    """Return a quantity, of COIN-M with its unit.

    >>> sized("0.5", "USDM"), sized(1, "COINM"), sized("12", "COINM")
    ('0.5', '1 contract', '12 contracts')
    """
    if product != Product.COINM:
        return f"{quantity}"
    return f"{quantity} contract{'' if str(quantity) in {'1', '-1'} else 's'}"


def named(symbol: object, product: object) -> str:
    """Return a symbol made safe, with its product where that is not USDS-M.

    >>> named("BTCUSDT", "USDM"), named("BTCUSD_PERP", "COINM")
    ('BTCUSDT', 'BTCUSD_PERP COIN-M')
    """
    return clean(str(symbol)) + (f" {Product.COINM.shown}" if product == Product.COINM else "")


def scope_words(symbols: Sequence[object], products: Sequence[object]) -> str:
    """Return what is in scope: the symbols, one product, or the whole account."""
    if symbols:
        return ", ".join(map(str, symbols))
    if len(products) == 1:
        return f"all {Product(str(products[0])).shown} futures"
    return "the whole account"


def listed(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many more there are.

    >>> listed(["a", "b", "c"], 2), listed([], 2)
    ('a, b and 1 more', '')
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def grouped(told: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return each text once, with the names of those it is said of before it.

    >>> grouped([("a", "no key"), ("b", None), ("c", "no key")])
    ['a, c: no key']
    """
    names: dict[str, list[str]] = {}
    for name, text in told:
        if text is not None:
            names.setdefault(text, []).append(name)
    return [f"{listed(whose, _NAMED_MAX)}: {text}" for text, whose in names.items()]


def tally(words: Iterable[str] | Mapping[str, int]) -> str:
    """Return how often each word is there, or is counted, in their order; 0 is not told.

    >>> tally(["FAILED", "CLOSED", "CLOSED"])
    '1 FAILED, 2 CLOSED'
    """
    return ", ".join(f"{number} {word}" for word, number in Counter(words).items() if number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows below a head, none shorter than it; a last column that is not `right` is prose.

    `right` are the columns that are aligned at their right side, counted from 0.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[int] = ()


Part = str | tuple[str, str] | Table
"""A line, a line in two halves of which only the second one is wrapped, below itself, or a table.

What is painted in it must have been made by `paint`.
"""


def labelled(*rows: tuple[str, str | None]) -> list[Part]:
    """Return a line for each row with a text: the label, then the text."""
    return [(f"{label:<{_LABEL_COLUMNS}}", text) for label, text in rows if text is not None]


def in_one_line(rows: Iterable[tuple[str, str]], width: int | None) -> list[tuple[str, str]]:
    """Return rows for `labelled` whose texts are cut to the rest of one line."""
    room = max((width or _COLUMNS) - _LABEL_COLUMNS, _LABEL_COLUMNS)
    return [(label, textwrap.shorten(text, room, placeholder=" …")) for label, text in rows]


def lines_of(parts: Iterable[Part], *, width: int | None, is_drawn: bool = True) -> list[str]:
    """Return the lines of a screen for a terminal of this width; None, of a pipe, wraps nothing.

    What is not drawn needs no library: of 200 rows that is a tenth of a second of processor time.
    """
    if is_drawn and width is not None:
        return draw(parts, width=width)
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Table):
            lines += _aligned(part)
        else:
            lines.append("".join(part).rstrip())
    if width is None:
        return lines
    return [each for line in lines for each in textwrap.wrap(line, width) or [""]]


def _aligned(table: Table) -> list[str]:
    """Return a table's lines, each cell as wide as its column."""
    rows = (table.head, *table.rows)
    widths = [max(map(_columns_of, column)) for column in zip_longest(*rows, fillvalue="")]

    def pad(index: int, cell: str) -> str:
        space = " " * (widths[index] - _columns_of(cell))
        return space + cell if index in table.right else cell + space

    return ["  ".join(starmap(pad, enumerate(row))).rstrip() for row in rows]


def _columns_of(text: str) -> int:
    """Return how many columns a text takes; symbols of the venue may be Chinese, of two each."""
    if text.isascii():
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(char) in {"W", "F"} for char in text)


def make_console(*, width: int, height: int = 1, colour: bool = True) -> "Console":
    """Return what draws for a terminal of this size, whatever the environment says of one."""
    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard" if colour else None,
        no_color=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


def draw(parts: Iterable[Part], *, width: int) -> list[str]:
    """Return the lines of a screen, none wider than `width` columns or `NARROWEST`.

    Never called before a run has sent everything. No number and no symbol is ever cut.
    """
    from rich.ansi import AnsiDecoder
    from rich.padding import Padding
    from rich.table import Table as Grid
    from rich.text import Text

    console = make_console(width=max(width, NARROWEST))

    def as_text(painted: str) -> Text:
        return AnsiDecoder().decode_line(painted) if "\x1b" in painted else Text(painted)

    def write(rows: Sequence[Sequence[str]], *, gap: int = 0, right: Collection[int] = ()) -> None:
        """Print rows whose last column alone is wrapped, unless it is one of the `right` ones.

        Where the others leave it no room, each row's first cell has a line; the rest goes below.
        """
        grid = Grid.grid(padding=(0, gap, 0, 0))
        for index in range(len(rows[0])):
            grid.add_column(justify="right" if index in right else "left", no_wrap=True)
        last = grid.columns[-1]
        if len(grid.columns) - 1 not in right:
            last.max_width, last.no_wrap, last.overflow = _PROSE_MIN, False, "fold"
        for row in rows:
            grid.add_row(*map(as_text, row))
        unbounded = console.options.update_width(_UNBOUNDED)
        fits = console.measure(grid, options=unbounded).maximum <= console.width
        last.max_width = None
        if fits:
            console.print(grid)
            return
        for first, *others in rows:
            below = Padding(as_text("  ".join(others)), (0, 0, 0, 4))
            console.print(as_text(first), below, sep="\n")

    with console.capture() as captured:
        for part in parts:
            if isinstance(part, str):
                console.print(as_text(part))
            elif isinstance(part, tuple):
                write([part])
            else:
                write((part.head, *part.rows), gap=2, right=part.right)
    return [line.rstrip() for line in captured.get().split("\n")[:-1]]


def fit(
    whole: Sequence[Part],
    make: Callable[[int], Sequence[Part]],
    *,
    width: int | None,
    height: int | None,
    is_drawn: bool = True,
) -> list[str]:
    """Return the lines of the whole screen, or of what `make` makes of the most rows that fit."""
    if height is None:
        return lines_of(whole, width=width, is_drawn=is_drawn)
    parts, rows = whole, height
    while True:
        # Every part takes a line at least, and to draw a row takes a millisecond.
        lines = least = lines_of(parts, width=None, is_drawn=False)
        if len(least) <= height or not rows:
            lines = lines_of(parts, width=width, is_drawn=is_drawn)
            if len(lines) <= height or not rows:
                return lines
        if parts is not whole:
            rows = max(rows - math.ceil((len(lines) - height) * len(least) / len(lines)), 0)
        parts = make(rows)


def show(parts: Iterable[Part], *, width: int | None) -> str:
    """Return a screen as text that ends with its last line's end."""
    return "\n".join(lines_of(parts, width=width)) + "\n"
