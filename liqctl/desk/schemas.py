"""The JSON documents of the contract, as schemas; adding a key is allowed, losing one is not."""

from typing import Any, Final

from liqctl.kernel.events import AuditEventType

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_COUNT_OR_NULL: Final = {"type": ["integer", "null"], "minimum": 0}
_MOMENT: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
_DECIMAL: Final = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
_DECIMAL_OR_NULL: Final = {"anyOf": [_DECIMAL, {"type": "null"}]}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_FLAG: Final = {"type": "boolean"}


def _object(**properties: object) -> dict[str, Any]:
    return {"type": "object", "required": sorted(properties), "properties": properties}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_ERROR: Final = {
    "anyOf": [
        {"type": "null"},
        _object(code={"type": ["integer", "null"]}, message=_TEXT, retryable=_FLAG),
    ]
}
_SENT: Final = _object(
    client_order_id=_TEXT,
    order_id=_TEXT_OR_NULL,
    quantity=_DECIMAL,
    executed=_DECIMAL,
    status=_TEXT,
)
_POSITION: Final = _object(
    symbol=_TEXT,
    position_side={"enum": ["BOTH", "LONG", "SHORT"]},
    side={"enum": ["LONG", "SHORT"]},
    quantity=_DECIMAL,
    notional=_DECIMAL,
    state={"enum": ["CLOSED", "PARTIAL", "FAILED", "UNKNOWN", "SKIPPED"]},
    remaining=_DECIMAL_OR_NULL,
    average_price=_DECIMAL_OR_NULL,
    attempts=_COUNT,
    orders=_list(_SENT),
    error=_ERROR,
)
_ORDER: Final = _object(
    symbol=_TEXT,
    order_id=_TEXT,
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
    dry_run=_FLAG,
    verified_flat=_FLAG,
    settled_seconds={"type": "number", "minimum": 0},
    unread=_list(_TEXT),
    deadline_exceeded=_FLAG,
    started_at=_MOMENT,
    finished_at=_MOMENT,
    duration_seconds={"type": "number", "minimum": 0},
    timeout_seconds={"type": "number"},
    positions_found=_COUNT_OR_NULL,
    positions_closed=_COUNT_OR_NULL,
    positions_failed=_COUNT_OR_NULL,
    orders_found=_COUNT_OR_NULL,
    orders_cancelled=_COUNT_OR_NULL,
    orders_failed=_COUNT_OR_NULL,
    positions=_list(_POSITION),
    orders=_list(_ORDER),
    residual={
        "anyOf": [
            {"type": "null"},
            _object(positions=_list({"type": "object"}), orders=_list({"type": "object"})),
        ]
    },
    requests=_COUNT,
    retries=_COUNT,
    audit_complete=_FLAG,
    audit_head={"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9a-f]{64}$"}]},
)

METRICS: Final = _object(
    execution_count=_COUNT,
    completed=_COUNT,
    partial=_COUNT,
    failed=_COUNT,
    skipped=_COUNT,
    abandoned=_COUNT,
    last_execution_time={"anyOf": [_MOMENT, {"type": "null"}]},
    last_state=_TEXT_OR_NULL,
    last_positions_closed={"type": ["integer", "null"]},
    last_orders_cancelled={"type": ["integer", "null"]},
    last_duration_seconds={"type": ["number", "null"]},
)

STATUS: Final = _object(
    schema={"const": "liqctl.status/1"},
    environment=_TEXT,
    state={"enum": ["IDLE", "IN_PROGRESS"]},
    in_progress={
        "anyOf": [
            {"type": "null"},
            _object(correlation_id=_TEXT, pid=_COUNT, started_at=_MOMENT),
        ]
    },
    account={
        "anyOf": [
            {"type": "null"},
            _object(
                flat=_FLAG,
                positions=_list({"type": "object"}),
                orders=_list({"type": "object"}),
                notional=_DECIMAL_OR_NULL,
            ),
        ]
    },
    account_error=_TEXT_OR_NULL,
    last_run={"type": ["object", "null"]},
    metrics=METRICS,
)

VALIDATION: Final = _object(
    schema={"const": "liqctl.validation/1"},
    environment=_TEXT_OR_NULL,
    is_valid=_FLAG,
    is_ready=_FLAG,
    issues=_list(
        _object(
            level={"enum": ["INFO", "WARNING", "ERROR", "CRITICAL"]},
            type={"enum": ["SECURITY", "PERFORMANCE", "CONFIGURATION", "DEPLOYMENT"]},
            field=_TEXT,
            message=_TEXT,
            recommendation=_TEXT,
        )
    ),
)

DRILL: Final = _object(
    schema={"const": "liqctl.drill/1"},
    environment=_TEXT_OR_NULL,
    passed=_FLAG,
    complete=_FLAG,
    recorded=_FLAG,
    error_message=_TEXT_OR_NULL,
    scenarios=_list(
        _object(
            scenario=_TEXT,
            description=_TEXT,
            passed=_FLAG,
            state={"enum": ["COMPLETED", "PARTIAL", "FAILED", "SKIPPED"]},
            exit_code=_COUNT,
            seconds={"type": "number", "minimum": 0},
            seconds_min={"type": "number", "minimum": 0},
            needs_seconds={"type": ["number", "null"]},
            left=_list(_TEXT),
            wrong=_list(_TEXT),
            broken=_list(_TEXT),
        )
    ),
)


EVENT: Final = _object(
    timestamp=_MOMENT,
    event_type={"enum": list(map(str, AuditEventType))},
    correlation_id=_TEXT,
    environment=_TEXT,
    seq={"type": "integer", "minimum": 1},
    prev_hash={"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9a-f]{64}$"}]},
    details={"type": "object"},
)

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DOCUMENTS: Final = {"result": RESULT, "status": STATUS, "validation": VALIDATION, "event": EVENT}


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON schema of a document, or of a settings file."""
    if name == "settings":
        from liqctl.settings.model import json_schema

        return json_schema()
    return {"$schema": _DIALECT, "title": f"liqctl {name}", **_DOCUMENTS[name]}
