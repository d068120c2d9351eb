"""One frame of the live view as lines of text, drawn by rich; the rows that need a look come first.

rich costs some thirty milliseconds to import. Only the thread that draws imports this module, and
only once a run takes long enough to be watched.
"""

import io
from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len  # noqa: TID253
from rich.console import Console  # noqa: TID253 - see above
from rich.progress_bar import ProgressBar  # noqa: TID253
from rich.table import Table  # noqa: TID253
from rich.text import Text  # noqa: TID253

from liqctl.desk.live import Frame, LiveRow, Stage
from liqctl.desk.text import clean, labelled, money
from liqctl.kernel.amounts import plain

_WIDE: Final = 100
"""From so many columns on the quantity is shown as well."""

_NARROW_HEAD: Final = ("symbol", "side", "notional")
_BAR: Final = 20
_LABEL: Final = 10
_VALUE: Final = 36
_TOLD_MAX: Final = 3
_OTHER_LINES: Final = 3
"""The second line of the grid, the empty line, and the head of the rows."""

_STYLES: Final = {
    Stage.FAILED: "bold red",
    Stage.UNKNOWN: "bold magenta",
    Stage.REFUSED: "magenta",
    Stage.CLOSING: "bold",
    Stage.CANCELLING: "bold",
    Stage.LEFT_ALONE: "dim",
    Stage.FILLED: "green",
    Stage.CANCELLED: "dim",
    Stage.FLAT: "dim green",
}


def draw(frame: Frame, *, title: str, width: int, height: int, colour: bool) -> list[str]:
    """Return the frame's lines: none wider than `width`, no more than `height`."""
    console = Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )
    first = Text(f"{clean(title)}  ", style="bold").append(frame.phase, style="bold magenta")
    parts: list[Table | Text] = [first, *_head(frame, width)]
    room = height - len(parts) - _OTHER_LINES
    if frame.rows and room > 0:
        fits = len(frame.rows) + bool(frame.unlisted) <= room
        shown = frame.rows if fits else frame.rows[: room - 1]
        rest = frame.rows[len(shown) :]
        parts += [Text(), _rows(shown, frame.now, width=width)]
        if rest or frame.unlisted:
            parts.append(Text(_summed(rest, frame), style="dim"))
    with console.capture() as captured:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ellipsis")
    return [line.rstrip() for line in captured.get().splitlines()[:height]]


def _head(frame: Frame, width: int) -> "list[Table | Text]":
    """Return exposure and time with their bars, then what happened."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(min_width=_LABEL - 2, no_wrap=True)
    grid.add_column(min_width=_VALUE, no_wrap=True, overflow="ellipsis")
    grid.add_column(width=_BAR)
    found = frame.found_notional
    exposure = f"{money(frame.open_notional)} of {money(found)} notional"
    if not frame.has_read:
        exposure = f"not known yet, reading for {frame.passed_s:.1f} s"
    bar = _bar(float(found), float(frame.open_notional)) if found else ""
    grid.add_row("open", exposure, bar)
    left = _bar(frame.timeout_s, frame.left_s)
    grid.add_row("time", f"{frame.left_s:.1f} s left of {frame.timeout_s:g} s", left)
    lines: list[Table | Text] = [grid]
    if frame.orders_found:
        done = f"{frame.orders_cancelled} of {frame.orders_found} cancelled"
        lines += _labelled("orders", done, width)
    if frame.retries:
        lines += _labelled("retries", str(frame.retries), width)
    for label, told in (("unread", frame.unread), ("trouble", frame.trouble)):
        lines += _labelled(label, told, width) if told else []
    return lines


def _labelled(label: str, told: str, width: int) -> list[Text]:
    """Return a label and what is told, in few lines: the rows need the room."""
    lines = labelled((label, clean(told)), width=width)
    cut = lines[:_TOLD_MAX]
    if len(lines) > _TOLD_MAX:
        cut[-1] = f"{cut[-1][: width - 2]} …"
    return [Text(line) for line in cut]


def _bar(total: float, completed: float) -> ProgressBar:
    """Return a bar in the terminal's own colour: rich's are not for every ground."""
    return ProgressBar(
        total=total,
        completed=completed,
        width=_BAR,
        style="dim",
        complete_style="bold",
        finished_style="bold",
    )


def _rows(rows: Sequence[LiveRow], now: float, *, width: int) -> Table:
    """Return the rows as a table whose last column alone is cut where the terminal ends."""
    cells = [_cells(row, wide=width >= _WIDE) for row in rows]
    head = ("symbol", "side", "quantity", "notional") if width >= _WIDE else _NARROW_HEAD
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    left = width
    for index, name in enumerate(head):
        size = max(len(name), *(cell_len(row[index]) for row in cells))
        table.add_column(name, width=size, justify="right" if index > 1 else "left")
        left -= size + 2
    table.add_column("way", no_wrap=True, overflow="ellipsis", width=max(left, 1))
    for row, texts in zip(rows, cells, strict=True):
        way = Text(clean(row.way(now)), style=_STYLES.get(row.stage, ""))
        table.add_row(*(Text(text, no_wrap=True) for text in texts), way)
    return table


def _cells(row: LiveRow, *, wide: bool) -> list[str]:
    is_leg = bool(row.position_side)
    about = "~" if row.is_estimated else ""
    cells = [clean(row.symbol), row.side if is_leg else "orders"]
    cells += [plain(abs(row.quantity)) if is_leg else ""] if wide else []
    return [*cells, f"{about}{money(row.still_open)}" if is_leg else ""]


def _summed(rest: Sequence[LiveRow], frame: Frame) -> str:
    """Return one line for what has no row: how many, how much, how they stand."""
    stages = Counter(row.stage.word for row in rest)
    if frame.unlisted:
        stages[Stage.OPEN.word] += frame.unlisted
    left = sum((row.still_open for row in rest), frame.unlisted_notional)
    ways = ", ".join(f"{number} {word}" for word, number in stages.items())
    return f"and {len(rest) + frame.unlisted} more, {money(left)} still open: {ways}"
