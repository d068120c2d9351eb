r"""Plain text for people: safe words of others, aligned columns, colour only where asked for.

`width` is the terminal's, or None when nobody looks: then nothing is wrapped, so that `grep` finds
a whole message on one line.

>>> print(clean("BTC" + chr(27) + "[31mUSDT"))
BTC\x1b[31mUSDT
>>> print(table(("symbol", "quantity"), [("BTCUSDT", "0.5")], right={1}, width=None))
symbol   quantity
BTCUSDT       0.5
"""

import textwrap
import unicodedata
from collections.abc import Collection, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final

from liqctl.kernel.amounts import count as count  # noqa: PLC0414 - asked for here too

WORDS_MAX: Final = 500
"""How much of a text of others is shown."""

_GAP: Final = "  "
_NARROWEST: Final = 20
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


def listed(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many more there are.

    >>> listed(["a", "b", "c"], 2), listed([], 2)
    ('a, b and 1 more', '')
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def columns(text: str) -> int:
    """Return how many terminal columns the text takes; some symbols are not ASCII."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def cut(line: str, width: int | None) -> str:
    """Return a line that the terminal need not wrap; painted ones are short."""
    if width is None or "\x1b" in line or columns(line) <= width:
        return line
    shown = line[: width - 1]
    while columns(shown) > width - 1:
        shown = shown[:-1]
    return f"{shown}…"


def wrap(text: str, *, indent: str, width: int | None) -> list[str]:
    """Return the text as lines; every line after the first begins with the indent."""
    if width is None:
        return [text]
    room = max(width, len(indent) + _NARROWEST)
    return textwrap.wrap(
        text, room, subsequent_indent=indent, break_long_words=True, break_on_hyphens=False
    ) or [text]


def labelled(*rows: tuple[str, str | None], width: int | None) -> list[str]:
    """Return `label  text` for each row with a text, continued under the text."""
    return [
        line
        for label, text in rows
        if text is not None
        for line in wrap(f"{label:<10}{text}", indent=" " * 10, width=width)
    ]


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    width: int | None,
) -> str:
    """Return aligned columns; the last one is wrapped under itself to fit the width."""
    last = len(head) - 1
    sizes = [max(columns(row[index]) for row in (head, *rows)) for index in range(last + 1)]
    taken = sum(sizes[:-1]) + len(_GAP) * last
    lines = []
    for row in (head, *rows):
        spaces = [" " * (size - columns(cell)) for cell, size in zip(row, sizes, strict=True)]
        cells = [
            space + cell if index in right else cell + space
            for index, (cell, space) in enumerate(zip(row, spaces, strict=True))
        ]
        start, cell = "".join(f"{each}{_GAP}" for each in cells[:-1]), row[last]
        if last in right or width is None or taken + columns(cell) <= width:
            lines.append(start + cells[-1])
        elif width - taken >= _NARROWEST:
            first, *others = textwrap.wrap(cell, width - taken, break_on_hyphens=False)
            lines += [start + first, *(" " * taken + part for part in others)]
        else:  # No room beside the other columns: below them, a little to the right.
            below = textwrap.wrap(cell, max(width - 4, _NARROWEST))
            lines += [start, *("    " + part for part in below)]
    return "\n".join(line.rstrip() for line in lines)
