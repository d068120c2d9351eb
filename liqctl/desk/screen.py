"""Screens: the parts of `liqctl.desk.text`, laid out by rich.

Never imported before a run has sent everything. No number and no symbol is ever cut.
"""

import io
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.ansi import AnsiDecoder  # noqa: TID253 - see above
from rich.console import Console  # noqa: TID253
from rich.padding import Padding  # noqa: TID253
from rich.table import Table as Grid  # noqa: TID253
from rich.text import Text  # noqa: TID253

if TYPE_CHECKING:
    from liqctl.desk.text import Part

NARROWEST: Final = 30
"""Less than the labels and the longest number need; such a terminal wraps by itself."""

_PROSE_MIN: Final = 16
"""Columns that are enough for prose: two words, or one and a number."""

_UNBOUNDED: Final = 1_000_000
"""Columns of a pipe: a message stays on one line, however long."""


def make_console(*, width: int, height: int = 1, colour: bool = True) -> Console:
    """Return what draws for a terminal of this size, whatever the environment says of one."""
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


def draw(parts: "Iterable[Part]", *, width: int | None) -> list[str]:
    """Return the lines of a screen, none wider than `width` columns or `NARROWEST`."""
    console = make_console(width=_UNBOUNDED if width is None else max(width, NARROWEST))
    with console.capture() as captured:
        for part in parts:
            if isinstance(part, str):
                console.print(_text(part))
            elif isinstance(part, tuple):
                _print(console, [part])
            else:
                _print(console, (part.head, *part.rows), gap=2, right=part.right)
    return [line.rstrip() for line in captured.get().split("\n")[:-1]]


def _print(
    console: Console, rows: Sequence[Sequence[str]], *, gap: int = 0, right: Collection[int] = ()
) -> None:
    """Print rows whose last column alone is wrapped, unless it is one of the `right` ones.

    Where the others leave it no room, each row's first cell has a line, and the rest goes below.
    """
    grid = Grid.grid(padding=(0, gap, 0, 0))
    for index in range(len(rows[0])):
        grid.add_column(justify="right" if index in right else "left", no_wrap=True)
    last = grid.columns[-1]
    if len(grid.columns) - 1 not in right:
        last.max_width, last.no_wrap, last.overflow = _PROSE_MIN, False, "fold"
    for row in rows:
        grid.add_row(*map(_text, row))
    unbounded = console.options.update_width(_UNBOUNDED)
    fits = console.measure(grid, options=unbounded).maximum <= console.width
    last.max_width = None
    if fits:
        console.print(grid)
        return
    for first, *others in rows:
        console.print(_text(first), Padding(_text("  ".join(others)), (0, 0, 0, 4)), sep="\n")


def _text(painted: str) -> Text:
    return AnsiDecoder().decode_line(painted) if "\x1b" in painted else Text(painted)
