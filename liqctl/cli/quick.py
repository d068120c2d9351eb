"""Reads a plain `liquidate` command line without Typer, whose import is a sixth of the start.

Only words that need no judgement pass here. Help, an abbreviation, a number in another spelling, a
typing error: `read` returns None, and Typer reads the whole line.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from liqctl.cli.coercion import PLAIN
from liqctl.cli.options import Options, make_options

_SWITCHES: Final = {
    "--yes": "yes",
    "-y": "yes",
    "--dry-run": "dry_run",
    "--orders-only": "orders_only",
    "--positions-only": "positions_only",
    "--json": "as_json",
    "--no-color": "no_color",
    "--verbose": "verbose",
    "-v": "verbose",
}
_VALUES: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "--env": ("env", PLAIN[str]),
    "--config": ("config", PLAIN[Path]),
    "--symbol": ("symbol", PLAIN[str]),
    "--timeout": ("timeout", PLAIN[float]),
    "--max-retries": ("max_retries", PLAIN[int]),
    "--retry-delay": ("retry_delay", PLAIN[float]),
    "--settle": ("settle", PLAIN[float]),
    "--reason": ("reason", PLAIN[str]),
    "--correlation-id": ("correlation_id", PLAIN[str]),
}
_VARIABLES: Final = {"env": ("LIQCTL_ENV", PLAIN[str]), "config": ("LIQCTL_CONFIG", PLAIN[Path])}


def read(words: Sequence[str], environ: Mapping[str, str]) -> Options | None:
    """Return what the words after `liquidate` ask for, None where Typer must judge."""
    try:
        return make_options(**_values(words, environ))
    except (LookupError, TypeError, ValueError, OSError):
        return None


def _values(words: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the values by name; raises what `read` catches at the first word that is not plain."""
    values: dict[str, Any] = {}
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word in _SWITCHES:
            values[_SWITCHES[word]] = True
            continue
        option, joined, value = word.partition("=")
        name, make = _VALUES[option]
        text = value if joined else rest.pop()
        if not text or (text.startswith("-") and not joined):
            raise ValueError
        values[name] = [*values.get(name, ()), text] if name == "symbol" else make(text)
    for name, (variable, make) in _VARIABLES.items():
        if name not in values and environ.get(variable):
            values[name] = make(environ[variable])
    return values
