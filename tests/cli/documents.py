"""Documents of the program, held to the schemas that it publishes, which must name every field."""

from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]

from liqctl.desk.schemas import DOCUMENTS

__all__ = [
    "BY_TAG",
    "DRILL",
    "RESULT",
    "RESULTS",
    "STATUS",
    "STATUSES",
    "VALIDATION",
    "check",
    "check_event",
]

RESULT: Final = DOCUMENTS["result"]
RESULTS: Final = DOCUMENTS["results"]
STATUS: Final = DOCUMENTS["status"]
STATUSES: Final = DOCUMENTS["statuses"]
VALIDATION: Final = DOCUMENTS["validation"]
EVENT: Final = DOCUMENTS["event"]
_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_FLAG: Final = {"type": "boolean"}
_SCENARIO: Final = {
    "scenario": _TEXT,
    "description": _TEXT,
    "passed": _FLAG,
    "state": {"enum": ["COMPLETED", "PARTIAL", "FAILED", "SKIPPED"]},
    "exit_code": {"type": "integer", "minimum": 0},
    "seconds": {"type": "number", "minimum": 0},
    "seconds_min": {"type": "number", "minimum": 0},
    "needs_seconds": {"type": ["number", "null"]},
    "left": _TEXTS,
    "wrong": _TEXTS,
    "broken": _TEXTS,
}
_DRILL: Final = {
    "schema": {"const": "liqctl.drill/1"},
    "environment": {"type": ["string", "null"]},
    "passed": _FLAG,
    "complete": _FLAG,
    "recorded": _FLAG,
    "error_message": {"type": ["string", "null"]},
    "scenarios": {"items": {"required": list(_SCENARIO), "properties": _SCENARIO}},
}
DRILL: Final = {"required": list(_DRILL), "properties": _DRILL}
BY_TAG: Final = {
    "liqctl.result/1": RESULT,
    "liqctl.results/1": RESULTS,
    "liqctl.status/1": STATUS,
    "liqctl.statuses/1": STATUSES,
    "liqctl.validation/1": VALIDATION,
    "liqctl.drill/1": DRILL,
}
"""The schema of a document by its `schema` field."""


def strict(schema: Any) -> Any:
    """Return the schema with every object closed: a field that it does not name is an error."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(each) for name, each in schema.items()}
    is_object = schema.get("type") == "object" and "properties" in schema
    return closed | {"additionalProperties": False} if is_object else closed


def check(document: Any, schema: dict[str, Any]) -> None:
    """Raise unless the document is what the schema says, and the schema says all of it.

    Raises:
        jsonschema.ValidationError: a key is missing, is not named, or has the wrong type.
    """
    jsonschema.Draft202012Validator(strict(schema)).validate(document)


_DETAILS: Final = {
    each["if"]["properties"]["event_type"]["const"]: jsonschema.Draft202012Validator(
        strict(each["then"]["properties"]["details"])
    )
    for each in EVENT["allOf"]
}
_FRAME: Final = jsonschema.Draft202012Validator(strict(EVENT | {"allOf": []}))


def check_event(record: Any) -> None:
    """Raise unless a line of the trail is what the schema says; ten times faster than the whole.

    Raises:
        jsonschema.ValidationError: a key is missing, is not named, or has the wrong type.
    """
    _FRAME.validate(record)
    _DETAILS[record["event_type"]].validate(record["details"])
