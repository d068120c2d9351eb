"""Values as JSON and moments as text, the one way in every document that liqctl prints.

Quantities and moments become strings, members of an enumeration their values, a dataclass an object
of its fields in their order. A class whose object has other names has a method `json_fields`, which
returns them with values that are still to be encoded.

>>> as_json({"quantity": Decimal("1E-3"), "at": datetime(2026, 1, 2, tzinfo=UTC), "of": (1, None)})
{'quantity': '0.001', 'at': '2026-01-02T00:00:00.000000Z', 'of': [1, None]}
>>> as_json(0.1 + 0.2, digits=6)
0.3
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from liqctl.kernel.amounts import plain


def as_json(value: Any, *, digits: int | None = None) -> Any:  # noqa: ANN401 - JSON
    """Return the value in JSON's own types.

    Args:
        value: a value of ours, or a collection of such values.
        digits: how many decimals floats keep; None for all.

    Raises:
        TypeError: the value is of a type that no document holds.
    """
    if hasattr(value, "json_fields"):
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
        case list() | tuple():
            return [as_json(item, digits=digits) for item in value]
        case Mapping():
            return {as_json(key): as_json(item, digits=digits) for key, item in value.items()}
        case _:
            # Not `asdict`: it copies deeply, and knows no `json_fields`.
            named = {field.name: getattr(value, field.name) for field in fields(value)}
            return as_json(named, digits=digits)


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
