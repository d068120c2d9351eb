"""Reads a plain `liquidate` command line without Typer, whose import is a sixth of the start.

Only words that need no judgement pass here. Help, an abbreviation, a number in another spelling, a
typing error: `read` returns None, and Typer reads the whole line.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from liqctl.cli.options import FIELDS, LIQUIDATE, OPTIONS, Options
from liqctl.kernel.states import Environment


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError
    return int(text)


def _number(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", text):
        raise ValueError
    return float(text)


def _path(text: str) -> Path:
    path = Path(text)
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise ValueError
    return path


_MAKERS: Final[Mapping[object, Callable[[str], object]]] = {
    str: str,
    list[str]: str,
    int | None: _whole,
    float | None: _number,
    Path | None: _path,
    Environment | None: Environment,
}
"""What makes a value of each type; ValueError means that Typer must judge."""

_NAMES: Final = {option: name for name in LIQUIDATE for option in OPTIONS[name].names}


def read(words: Sequence[str], environ: Mapping[str, str]) -> Options | None:
    """Return what the words after `liquidate` ask for, None where Typer must judge."""
    try:
        return Options(**_values(words, environ))
    except (LookupError, ValueError, OSError):
        return None


def _values(words: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values by name; raises what `read` catches at the first word that is not plain."""
    values: dict[str, Any] = {}
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        option, joined, value = word.partition("=")
        name = _NAMES[option]
        if FIELDS[name].type is bool:
            if joined:
                raise ValueError
            values[name] = True
            continue
        text = value if joined else rest.pop()
        if not text or (text.startswith("-") and not joined):
            raise ValueError
        made = _MAKERS[FIELDS[name].type](text)
        values[name] = [*values.get(name, ()), made] if FIELDS[name].type == list[str] else made
    for name in LIQUIDATE:
        variable = OPTIONS[name].variable
        if variable and name not in values and environ.get(variable):
            values[name] = _MAKERS[FIELDS[name].type](environ[variable])
    return values
