"""Lets plain option values through without Typer's coercion, which imports pydantic for 60 ms.

Only texts that need no judgement pass here: a string for a string, digits for a number, a file that
is there for a path. All else,
and so every refusal with its words, is left to Typer. Read in typer 0.29: a parameter asks
`get_runtime_param()`, which builds what it has not got; a Typer without that is left alone.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typer._click import Command, Context

_DIGITS: Final = re.compile(r"[0-9]{1,15}")
_DECIMAL: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")


def _strings(value: Any) -> list[str]:  # noqa: ANN401 - what the command line held
    if isinstance(value, str):
        raise TypeError
    return [_string(each) for each in value]


def _string(value: Any) -> str:  # noqa: ANN401
    if type(value) is not str:
        raise TypeError
    return value


def _flag(value: Any) -> bool:  # noqa: ANN401
    if type(value) is not bool:
        raise TypeError
    return value


def _whole(value: Any) -> int:  # noqa: ANN401
    if type(value) is int:  # a default
        return value
    if not _DIGITS.fullmatch(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:  # noqa: ANN401
    if not _DECIMAL.fullmatch(value):
        raise ValueError
    return float(value)


def _path(value: Any) -> Path:  # noqa: ANN401
    path = Path(value)
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise ValueError
    return path


PLAIN: Final[Mapping[object, Callable[[Any], Any]]] = {
    str: _string,
    bool: _flag,
    list[str]: _strings,
    int: _whole,
    float: _number,
    Path: _path,
}
"""What makes a value of each annotation; TypeError and ValueError mean that Typer must judge."""


class PlainValues:
    """Stands in for one parameter's coercion until a value comes that is not plain."""

    def __init__(self, annotation: object, least: float | None, most: float | None) -> None:
        """Coerce to one of the annotations in `PLAIN`, numbers within the limits there are."""
        self._annotation = annotation
        self._least = -math.inf if least is None else least
        self._most = math.inf if most is None else most

    def coerce(self, value: Any, param: Any, ctx: "Context") -> Any:  # noqa: ANN401
        """Return the value as its type, by Typer's own coercion where there is doubt."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        try:
            return self._make(value)
        except (TypeError, ValueError, OSError):
            param._runtime_param = None  # noqa: SLF001 - the one place Typer keeps it
            return param.get_runtime_param().coerce(value, param=param, ctx=ctx)

    def _make(self, value: Any) -> Any:  # noqa: ANN401
        made = PLAIN[self._annotation](value)
        if isinstance(made, int | float) and not self._least <= made <= self._most:
            raise ValueError
        return made


def use_plain_values(command: "Command") -> None:
    """Give a command's simple options, and its subcommands', the quick way; safe to call twice."""
    for subcommand in getattr(command, "commands", {}).values():
        use_plain_values(subcommand)
    for option in command.params:
        _ease(option)
    make_help_option = command.get_help_option

    def get_help_option(ctx: "Context") -> Any:  # noqa: ANN401 - made when a command line is read
        option = make_help_option(ctx)
        _ease(option)
        return option

    command.get_help_option = get_help_option  # type: ignore[method-assign]


def _ease(param: Any) -> None:  # noqa: ANN401 - looked at for what it has
    descriptor = getattr(param, "type_descriptor", None)
    if descriptor is None or getattr(param, "_runtime_param", ...) is not None:
        return
    info = descriptor.parameter_info
    if descriptor.annotation in PLAIN and not _is_limited(info):
        param._runtime_param = PlainValues(  # noqa: SLF001
            descriptor.annotation, getattr(info, "min", None), getattr(info, "max", None)
        )


def _is_limited(info: Any) -> bool:  # noqa: ANN401 - Typer's, its class differs by kind
    """Return whether the option says more of its values than their type."""
    return getattr(info, "parser", None) is not None or any(
        getattr(info, name, False)
        for name in ("exists", "writable", "resolve_path", "allow_dash", "clamp")
    )
