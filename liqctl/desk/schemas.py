"""The JSON documents of the contract, as schemas; adding a key is allowed, losing one is not."""

from typing import Any, Final

from liqctl.kernel.events import AuditEventType

_NULL: Final = {"type": "null"}
_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_OBJECT: Final = {"type": "object"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_SECONDS: Final = {"type": "number", "minimum": 0}
_MOMENT: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
_DECIMAL: Final = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
_DIGEST: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_COUNT_OR_NULL: Final = {"type": ["integer", "null"], "minimum": 0}


def _object(**properties: object) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _either(*schemas: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": list(schemas)}


def _each(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    return dict.fromkeys(names, schema)


_ERROR: Final = _either(
    _NULL, _object(code={"type": ["integer", "null"]}, message=_TEXT, retryable=_FLAG)
)
_SENT: Final = _object(
    client_order_id=_TEXT,
    order_id=_TEXT_OR_NULL,
    **_each(_DECIMAL, "quantity", "executed"),
    status=_TEXT,
)
_POSITION: Final = _object(
    symbol=_TEXT,
    position_side={"enum": ["BOTH", "LONG", "SHORT"]},
    side={"enum": ["LONG", "SHORT"]},
    **_each(_DECIMAL, "quantity", "notional"),
    state={"enum": ["CLOSED", "PARTIAL", "FAILED", "UNKNOWN", "SKIPPED"]},
    **_each(_either(_DECIMAL, _NULL), "remaining", "average_price"),
    attempts=_COUNT,
    orders=_list(_SENT),
    error=_ERROR,
)
_ORDER: Final = _object(
    **_each(_TEXT, "symbol", "order_id"),
    kind={"enum": ["REGULAR", "ALGO"]},
    type=_TEXT,
    side={"enum": ["BUY", "SELL", None]},
    protective=_FLAG,
    state={"enum": ["CANCELLED", "GONE", "KEPT", "FAILED", "UNKNOWN", "SKIPPED"]},
    error=_ERROR,
)
RESULT: Final = _object(
    schema={"const": "liqctl.result/1"},
    correlation_id={"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    environment=_TEXT,
    state={"enum": ["COMPLETED", "PARTIAL", "FAILED", "SKIPPED"]},
    error_message=_TEXT_OR_NULL,
    **_each(_FLAG, "dry_run", "verified_flat"),
    settled_seconds=_SECONDS,
    unread=_list(_TEXT),
    deadline_exceeded=_FLAG,
    **_each(_MOMENT, "started_at", "finished_at"),
    duration_seconds=_SECONDS,
    timeout_seconds={"type": "number"},
    **_each(_COUNT_OR_NULL, "positions_found", "positions_closed", "positions_failed"),
    **_each(_COUNT_OR_NULL, "orders_found", "orders_cancelled", "orders_failed"),
    positions=_list(_POSITION),
    orders=_list(_ORDER),
    residual=_either(_NULL, _object(**_each(_list(_OBJECT), "positions", "orders"))),
    **_each(_COUNT, "requests", "retries"),
    audit_complete=_FLAG,
    audit_head=_either(_NULL, _DIGEST),
)
_METRICS: Final = _object(
    **_each(_COUNT, "execution_count", "completed", "partial", "failed", "skipped", "abandoned"),
    last_execution_time=_either(_MOMENT, _NULL),
    last_state=_TEXT_OR_NULL,
    last_positions_closed={"type": ["integer", "null"]},
    last_orders_cancelled={"type": ["integer", "null"]},
    last_duration_seconds={"type": ["number", "null"]},
)
STATUS: Final = _object(
    schema={"const": "liqctl.status/1"},
    environment=_TEXT,
    state={"enum": ["IDLE", "IN_PROGRESS"]},
    in_progress=_either(_NULL, _object(correlation_id=_TEXT, pid=_COUNT, started_at=_MOMENT)),
    account=_either(
        _NULL,
        _object(
            flat=_FLAG,
            **_each(_list(_OBJECT), "positions", "orders"),
            notional=_either(_DECIMAL, _NULL),
        ),
    ),
    account_error=_TEXT_OR_NULL,
    last_run={"type": ["object", "null"]},
    metrics=_METRICS,
)
_ISSUE: Final = _object(
    level={"enum": ["INFO", "WARNING", "ERROR", "CRITICAL"]},
    type={"enum": ["SECURITY", "PERFORMANCE", "CONFIGURATION", "DEPLOYMENT"]},
    **_each(_TEXT, "field", "message", "recommendation"),
)
_VALIDATION: Final = _object(
    schema={"const": "liqctl.validation/1"},
    environment=_TEXT_OR_NULL,
    **_each(_FLAG, "is_valid", "is_ready"),
    issues=_list(_ISSUE),
)
_EVENT: Final = _object(
    timestamp=_MOMENT,
    event_type={"enum": list(map(str, AuditEventType))},
    **_each(_TEXT, "correlation_id", "environment"),
    seq={"type": "integer", "minimum": 1},
    prev_hash=_either(_NULL, _DIGEST),
    details=_OBJECT,
)
_DOCUMENTS: Final = {
    "result": RESULT,
    "status": STATUS,
    "validation": _VALIDATION,
    "event": _EVENT,
}


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON schema of a document, or of a settings file."""
    if name == "settings":
        from liqctl.settings.model import json_schema

        return json_schema()
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": f"liqctl {name}", **_DOCUMENTS[name]}
