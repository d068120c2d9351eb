"""Documents as JSON text: always ASCII, so that no symbol or error text can break a terminal."""

import json
from collections.abc import Mapping


def dump(document: Mapping[str, object]) -> str:
    """Return one indented JSON document.

    >>> print(dump({"state": "COMPLETED"}))
    {
      "state": "COMPLETED"
    }
    """
    return json.dumps(document, indent=2, allow_nan=False)


def dump_line(document: Mapping[str, object]) -> str:
    """Return one JSON document on one line, for JSON Lines."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False)
