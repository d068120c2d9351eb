"""Documents of the program, held to the schemas that it publishes."""

from typing import Any

import jsonschema  # type: ignore[import-untyped]

from liqctl.desk.schemas import DRILL, RESULT, STATUS

__all__ = ["DRILL", "RESULT", "STATUS", "check"]


def check(document: Any, schema: dict[str, Any]) -> None:
    """Raise unless the document is what the contract says.

    Raises:
        jsonschema.ValidationError: a key is missing or has the wrong type.
    """
    jsonschema.validate(document, schema)
