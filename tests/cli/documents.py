"""Documents of the program, held to the schemas that it publishes."""

from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]

from liqctl.desk.schemas import RESULT, STATUS

__all__ = ["DRILL", "RESULT", "STATUS", "check"]


TEXT: Final = {"type": "string"}
TEXTS: Final = {"type": "array", "items": TEXT}
FLAG: Final = {"type": "boolean"}
SECONDS: Final = {"type": "number", "minimum": 0}
SCENARIO: Final = {
    "scenario": TEXT,
    "description": TEXT,
    "passed": FLAG,
    "state": {"enum": ["COMPLETED", "PARTIAL", "FAILED", "SKIPPED"]},
    "exit_code": {"type": "integer", "minimum": 0},
    "seconds": SECONDS,
    "seconds_min": SECONDS,
    "needs_seconds": {"type": ["number", "null"]},
    "left": TEXTS,
    "wrong": TEXTS,
    "broken": TEXTS,
}
HEAD: Final = {
    "schema": {"const": "liqctl.drill/1"},
    "environment": {"type": ["string", "null"]},
    "passed": FLAG,
    "complete": FLAG,
    "recorded": FLAG,
    "error_message": {"type": ["string", "null"]},
    "scenarios": {
        "type": "array",
        "items": {"type": "object", "required": sorted(SCENARIO), "properties": SCENARIO},
    },
}
DRILL: Final = {"type": "object", "required": sorted(HEAD), "properties": HEAD}


def check(document: Any, schema: dict[str, Any]) -> None:
    """Raise unless the document is what the contract says.

    Raises:
        jsonschema.ValidationError: a key is missing or has the wrong type.
    """
    jsonschema.validate(document, schema)
