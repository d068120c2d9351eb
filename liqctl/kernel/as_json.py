"""Values as JSON and moments as text, the one way in every document that liqctl prints.

Quantities and moments become strings, members of an enumeration their values, a dataclass an object
of its fields in their order, a named tuple a list. A class whose object has other names, or that is
a named tuple and an object all the same, has a method `json_fields`, which returns them with values
that are still to be encoded. Between two processes of liqctl a value goes
whole, by its fields' own names, and `from_json` makes it anew.

>>> as_json({"quantity": Decimal("1E-3"), "at": datetime(2026, 1, 2, tzinfo=UTC), "of": (1, None)})
{'quantity': '0.001', 'at': '2026-01-02T00:00:00.000000Z', 'of': [1, None]}
>>> as_json(0.1 + 0.2, digits=6)
0.3
"""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

from liqctl.kernel.amounts import plain


def as_json(value: Any, *, digits: int | None = None, is_whole: bool = False) -> Any:  # noqa: ANN401 - JSON
    """Return the value in JSON's own types.

    Args:
        value: a value of ours, or a collection of such values.
        digits: how many decimals floats keep; None for all.
        is_whole: every field under its own name, as `from_json` reads it.

    Raises:
        TypeError: the value is of a type that no document holds.
    """
    if hasattr(value, "json_fields") and not is_whole:
        value = value.json_fields()
    match value:
        case Enum():
            return value.value
        case float():
            return value if digits is None else round(value, digits)
        case None | bool() | int() | str():
            return value
        case Decimal():
            return plain(value)
        case datetime():
            return rfc3339(value)
        case list() | tuple() | frozenset():
            return [as_json(item, digits=digits, is_whole=is_whole) for item in value]
        case Mapping():
            return {
                as_json(key): as_json(item, digits=digits, is_whole=is_whole)
                for key, item in value.items()
            }
        case _:
            # Not `asdict`: it copies deeply, and knows no `json_fields`.
            named = {field.name: getattr(value, field.name) for field in fields(value)}
            return as_json(named, digits=digits, is_whole=is_whole)


def from_json(kind: Any, value: Any) -> Any:  # noqa: ANN401 - of that kind
    """Return the value of a kind that `as_json` made this of, whole.

    Names that the kind does not know are passed over: the other process may be a newer liqctl.

    Raises:
        ValueError, TypeError, ArithmeticError, LookupError: it is none of that kind.

    >>> from_json(tuple[Decimal, ...] | None, ["1.50"]), from_json(Decimal | None, None)
    ((Decimal('1.50'),), None)
    """
    of = get_args(kind)
    match get_origin(kind) or kind:
        case _ if type(None) in of:
            (wanted,) = (each for each in of if each is not type(None))
            return None if value is None else from_json(wanted, value)
        case origin if origin in {tuple, frozenset}:
            return origin(from_json(of[0], each) for each in _checked(list, value))
        case origin if of and issubclass(origin, Mapping):
            return {key: from_json(of[1], each) for key, each in _checked(dict, value).items()}
        case type() if issubclass(kind, Enum):
            return kind(value)
        case type() if kind is datetime:
            return datetime.fromisoformat(value)
        case type() if kind is Decimal:
            return Decimal(_checked(str, value))
        case type() if is_dataclass(kind) or issubclass(kind, tuple):
            hints = get_type_hints(kind)
            given = (
                _checked(dict, value)
                if is_dataclass(kind)
                else dict(zip(hints, _checked(list, value), strict=True))
            )
            return kind(
                **{
                    name: from_json(hints[name], each)
                    for name, each in given.items()
                    if name in hints
                }
            )
        case _:
            return _checked((int, float) if kind is float else kind, value)


def _checked(kind: Any, value: Any) -> Any:  # noqa: ANN401 - of that kind
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} is no {kind}")
    return value


def rfc3339(moment: datetime) -> str:
    """Return the moment in UTC with microseconds and a `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def dump(document: object) -> str:
    """Return one indented JSON document; ASCII, so that no text of others breaks a terminal.

    >>> print(dump({"state": "COMPLETED"}))
    {
      "state": "COMPLETED"
    }
    """
    return json.dumps(as_json(document), indent=2, allow_nan=False)


def dump_line(document: object) -> str:
    """Return one JSON document on one line, for JSON Lines."""
    return json.dumps(as_json(document), separators=(",", ":"), allow_nan=False)
