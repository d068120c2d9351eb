"""Documents as JSON text: always ASCII, so that no symbol or error text can break a terminal."""

import json

from liqctl.kernel.as_json import as_json


def dump(document: object) -> str:
    """Return one indented JSON document.

    >>> print(dump({"state": "COMPLETED"}))
    {
      "state": "COMPLETED"
    }
    """
    return json.dumps(as_json(document), indent=2, allow_nan=False)


def dump_line(document: object) -> str:
    """Return one JSON document on one line, for JSON Lines."""
    return json.dumps(as_json(document), separators=(",", ":"), allow_nan=False)
