"""How a list goes wrong while its answer looks well: it is empty, or a row cannot be read."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Row = dict[str, Any]

_AMOUNTS: Final = ("positionAmt", "origQty", "quantity")
"""What a row of positions, of orders, of conditional orders calls its quantity."""

_STRANGER: Final[Row] = {
    "symbol": "LUNAUSDT",
    "positionSide": "NEITHER",
    "positionAmt": "0",
    "updateTime": 0,
}


def rows_of(answer: Any) -> list[Row] | None:
    """Return the rows of a list, None when the answer is none."""
    rows = answer.get("positions") if isinstance(answer, dict) else answer
    return rows if isinstance(rows, list) else None


def _first(rows: list[Row], change: Mapping[str, str]) -> None:
    if rows:
        rows[0] |= change


def _set_amounts(rows: list[Row], amount: str) -> None:
    for row in rows:
        row |= {name: amount for name in _AMOUNTS if name in row}


SPOILT: Final[Mapping[str, Callable[[list[Row]], object]]] = {
    "empty": lambda rows: rows.clear(),
    "row_missing": lambda rows: rows[:1] and rows.pop(0),
    "zero_amounts": lambda rows: _set_amounts(rows, "0"),
    "empty_amount": lambda rows: _set_amounts(rows[:1], ""),
    "huge_number": lambda rows: _set_amounts(rows[:1], "1E+999999"),
    "unknown_side": lambda rows: _first(rows, {"positionSide": "NEITHER"}),
    "stranger": lambda rows: rows.append(dict(_STRANGER)),
}
"""What is done to the rows; `stranger` adds one that nobody can place, with nothing on it."""

_SEEMS_WELL: Final = frozenset({"", "empty", "row_missing", "zero_amounts"})
"""After these every row can be read, and what is missing seems not to be there."""


def readable_rows(answer: Any, how: str) -> list[Row]:
    """Return the rows of an answer that can be read after it was spoilt."""
    rows = rows_of(answer) or []
    if how in _SEEMS_WELL:
        return rows
    return rows[:-1] if how == "stranger" else rows[1:]


def spoil(answer: Any, how: str) -> None:
    """Change the rows of an answer in place; what is no list stays as it is."""
    rows = rows_of(answer)
    if how and rows is not None:
        SPOILT[how](rows)
