"""The JSON documents and the trail's events as JSON Schemas: `liqctl schema` and the reference.

A field means the same wherever its name stands, so its type and meaning stand here once; an object
is a list of names. Adding a field is allowed, losing one is not.
"""

from typing import Any, Final

from liqctl.kernel.events import AuditEventType
from liqctl.kernel.guards import GuardLevel
from liqctl.kernel.policy import Rule
from liqctl.kernel.states import (
    LiquidationState,
    Margin,
    OrderState,
    PositionState,
    Product,
    TripCause,
)
from liqctl.kernel.values import OrderKind
from liqctl.kernel.witness import Says

Schema = dict[str, Any]


def _or_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _one_of(*values: str | None) -> Schema:
    return {"enum": [None if each is None else str(each) for each in values]}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_CODE: Final = {"type": ["integer", "null"]}
_SECONDS: Final = {"type": "number", "minimum": 0}
_OBJECT: Final = {"type": "object"}
_MOMENT: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"}
_DECIMAL: Final = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
_HASH: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_ORDER_SIDE: Final = _one_of("BUY", "SELL", None)
_RUN_END: Final = _one_of(
    *(each for each in LiquidationState if each not in {"IDLE", "IN_PROGRESS"})
)

_FIELDS: Final[dict[str, tuple[Schema, str]]] = {
    "account": (_or_null(_TEXT), "the account's name in the settings; null: it has none"),
    "account_name": (_or_null(_TEXT), "the account's name in the settings; null: it has none"),
    "account_error": (_or_null(_TEXT), "why the account could not be read"),
    "adaptation": (_or_null(_TEXT), "how the next order differs from the refused one"),
    "algo_orders": (_or_null(_COUNT), "conditional orders listed; null: not read"),
    "attempt": (_COUNT, "which order for this position this is, from 1"),
    "attempts": (_COUNT, "orders sent for this position"),
    "audit_complete": (_FLAG, "whether every event of the run is in the trail"),
    "audit_head": (_or_null(_HASH), "SHA-256 of the run's last line, for `audit verify --head`"),
    "average_price": (_or_null(_DECIMAL), "price of the fills that are known"),
    "backoff_s": (_SECONDS, "seconds to wait before the next attempt"),
    "base_url": (_TEXT, "host that the requests go to"),
    "client_order_id": (_TEXT, "the order's id, chosen by who sent it"),
    "client_order_ids": (_list(_TEXT), "orders of others seen beside it"),
    "closed_by": (_TEXT, "correlation id of the run that recorded this"),
    "code": (_CODE, "the venue's code, for `liqctl explain`"),
    "config": (_OBJECT, "the settings of the run"),
    "config_file": (_or_null(_TEXT), "the settings file in force; null: none"),
    "contradiction": (_FLAG, "whether it can only reduce a position that no list shows"),
    "contradictions": (_list(_TEXT), "sentences about such orders"),
    "correlation_id": ({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}, "the run's id"),
    "deadline_at": (_or_null(_MOMENT), "when the run has to end"),
    "deadline_exceeded": (_FLAG, "whether the deadline ended the run"),
    "dry_run": (_FLAG, "whether nothing was to be sent"),
    "duration_seconds": (_SECONDS, "from start to end"),
    "endpoint": (_TEXT, "method and path of the request"),
    "entry_price": (_or_null(_DECIMAL), "average price of the position"),
    "environment": (_TEXT, "production, testnet or simulator"),
    "error_message": (_or_null(_TEXT), "why the run did not end flat"),
    "executed": (_DECIMAL, "quantity that was filled"),
    "exit_code": (_COUNT, "the process exit code"),
    "finished_at": (_MOMENT, "when the run ended"),
    "flat": (_FLAG, "whether nothing is open in scope"),
    "held_seconds": (_SECONDS, "how long the account was held flat after the proof"),
    "holder": (_TEXT, "the run that has the account"),
    "host": (_TEXT, "name of the machine"),
    "http_status": (_CODE, "HTTP status of the answer; null: no answer"),
    "hung": (_FLAG, "whether it should have ended long ago"),
    "is_ready": (_FLAG, "valid, and no warning about security or deployment"),
    "is_valid": (_FLAG, "no finding of level ERROR or CRITICAL"),
    "kept": (_COUNT, "protective stops that stay"),
    "key_fingerprint": (_TEXT, "first 8 hex digits of the SHA-256 of the key"),
    "kind": (_one_of(*OrderKind), "which book the order is in; ALGO: conditional"),
    "last_event": (_TEXT, "type of the dead run's last event"),
    "lock": (_or_null(_TEXT), "what is unusual about the lock; null: nothing"),
    "looked_at": (_MOMENT, "when this was read"),
    "margin": (_one_of(*Margin), "the kind of account"),
    "mark_price": (_or_null(_DECIMAL), "the venue's mark price"),
    "message": (_TEXT, "the venue's words, or why nothing was sent"),
    "notes": (_list(_TEXT), "sentences for the operator, worst first"),
    "notional": (_or_null(_DECIMAL), "absolute value in the quote asset; null: not read"),
    "notionals": (_list(_DECIMAL), "value of each position in `open`"),
    "only": (_TEXT, "`positions`: only the positions were read"),
    "open": (_list(_TEXT), "the 50 largest positions: symbol, position side, quantity"),
    "order_id": (_or_null(_TEXT), "the order's id at the venue; null: no answer named it"),
    "order_ids": (_list(_TEXT), "the orders to cancel, at most 200 of them"),
    "orders_cancelled": (_or_null(_COUNT), "orders proven cancelled by the run; null: not read"),
    "orders_failed": (_or_null(_COUNT), "orders that are or may be open; null: not read"),
    "orders_found": (_or_null(_COUNT), "orders of others ever listed; null: not read"),
    "past_deadline": (_FLAG, "whether the deadline is over"),
    "pid": (_COUNT, "the run's process"),
    "position_side": (_one_of("BOTH", "LONG", "SHORT"), "BOTH in one-way mode"),
    "positions_closed": (_or_null(_COUNT), "positions proven closed; null: not read"),
    "positions_failed": (_or_null(_COUNT), "positions that are or may be open; null: not read"),
    "positions_found": (_or_null(_COUNT), "positions ever listed; null: not read"),
    "price": (_or_null(_DECIMAL), "price of the order, or of its fills"),
    "product": (_one_of(*Product), "USDM: USDS-M, COINM: COIN-M"),
    "products": (_list(_one_of(*Product)), "the futures in scope"),
    "protective": (_FLAG, "whether it is a stop that protects an open position"),
    "proven": (_FLAG, "whether flat was watched for `settle_seconds`"),
    "quantity": (_DECIMAL, "in the base asset, of COIN-M in contracts"),
    "reaction": (_TEXT, "what happens next, such as SEND_AGAIN, PLAN_AGAIN or LOOK_UP"),
    "mirror_age_s": (_SECONDS, "not read but known to an armed process, for so long"),
    "reading_s": (_SECONDS, "how long the reading took"),
    "readings_in_a_row": (_COUNT, "readings that showed nothing, one after the other"),
    "reason": (_or_null(_TEXT), "why, in words"),
    "reduce_only": (_FLAG, "whether the order is marked reduce-only; never in hedge mode"),
    "regular_orders": (_or_null(_COUNT), "orders listed; null: not read"),
    "remaining": (_or_null(_DECIMAL), "quantity still open; null: not known"),
    "repeat": (_COUNT, "how many repeats of max_retries are used"),
    "requests": (_COUNT, "requests sent to the venue"),
    "retries": (_COUNT, "orders and cancels that were sent again"),
    "retryable": (_FLAG, "whether another run may succeed"),
    "round": (_COUNT, "the run's round, from 1"),
    "running": (_FLAG, "whether its process exists"),
    "scope": (_list(_TEXT), "symbols in scope; empty: all"),
    "seconds_past_deadline": (_SECONDS, "how late it is"),
    "settle_seconds": (_SECONDS, "how long flat is to be watched"),
    "settled_seconds": (_SECONDS, "how long flat was watched"),
    "side": (_ORDER_SIDE, "BUY or SELL; null: an order that liqctl cannot read"),
    "silent": (_list(_TEXT), "second sources that did not answer"),
    "sources": (_list(_TEXT), "lists that showed nothing"),
    "ssh_client": (_or_null(_TEXT), "SSH_CLIENT of who started it"),
    "started_at": (_MOMENT, "when the run began"),
    "status": (_TEXT, "the order's status at the venue, or UNKNOWN"),
    "sudo_user": (_or_null(_TEXT), "SUDO_USER of who started it"),
    "sweep": (_FLAG, "whether it is the symbol's last cancel, whatever is listed"),
    "symbol": (_TEXT, "the contract, such as BTCUSDT"),
    "terminal": (_FLAG, "whether it was started at a terminal"),
    "time_spent_s": (_OBJECT, "seconds spent reading, cancelling, closing and waiting"),
    "timeout_seconds": (_SECONDS, "the deadline in force"),
    "trail_error": (_or_null(_TEXT), "why the trail could not be read; its counts mean nothing"),
    "trigger_price": (_or_null(_DECIMAL), "price at which a conditional order starts"),
    "type": (_TEXT, "the order's type at the venue, such as STOP_MARKET"),
    "unanswered": (_COUNT, "orders of the dead run without an answer"),
    "unknown_symbols": (_list(_TEXT), "symbols in scope that the venue does not know"),
    "unread": (_list(_TEXT), "sources in scope that never answered"),
    "unread_beside": (_list(_TEXT), "sources beside it that did not answer: execution algorithms"),
    "unrealized_pnl": (_or_null(_DECIMAL), "profit or loss at the mark price"),
    "user": (_TEXT, "who started it"),
    "verified_flat": (_FLAG, "whether flat is proven"),
    "version": (_TEXT, "liqctl's version"),
    "watch_seconds": (_SECONDS, "how long it can be watched before the deadline"),
}
"""Type and meaning of each field by name."""


def _object(names: str, **others: tuple[Schema, str]) -> Schema:
    """Return the schema of an object with these fields.

    Args:
        names: fields of the table above or of `others`; one with a trailing `?` may be absent.
        others: fields that mean something else here, or occur here only.
    """
    properties, required = {}, []
    for word in names.split():
        name = word.removesuffix("?")
        schema, meaning = others.get(name) or _FIELDS[name]
        properties[name] = {**schema, "description": meaning}
        if name == word:
            required.append(name)
    return {"type": "object", "required": required, "properties": properties}


_ERROR: Final = (
    _or_null(
        _object("code message retryable", message=(_TEXT, "the venue's words, or what is missing"))
    ),
    "why it is not done",
)
_KIND: Final = _TEXT, "what kind of answer it was, such as REJECTED or UNKNOWN"
_LEG_SIDE: Final = _one_of("LONG", "SHORT"), "LONG or SHORT"
_SENT: Final = _object("client_order_id order_id quantity executed status")
_POSITION: Final = _object(
    "product symbol position_side side quantity notional state remaining average_price attempts "
    "orders error",
    side=_LEG_SIDE,
    notional=(_DECIMAL, "absolute value in the quote asset at the mark price"),
    state=(_one_of(*PositionState), "what became of it; `liqctl explain` tells more"),
    orders=(_list(_SENT), "the orders sent to close it"),
    error=_ERROR,
)
_ORDER: Final = _object(
    "product symbol order_id client_order_id kind type side position_side trigger_price protective "
    "state error",
    order_id=(_TEXT, "the order's id at the venue"),
    state=(_one_of(*OrderState), "what became of it; `liqctl explain` tells more"),
    error=_ERROR,
)
_RESIDUAL: Final = _object(
    "positions orders",
    positions=(
        _list(_object("product symbol position_side quantity notional")),
        "positions that the last reading still showed",
    ),
    orders=(
        _list(_object("product symbol order_id client_order_id kind type side trigger_price")),
        "orders that the last reading still showed",
    ),
)
_BY_COIN: Final = {"type": "object", "additionalProperties": _DECIMAL}
_LEFT_OVER: Final = _object(
    "borrowed negative_balances locked margin_orders is_partial",
    borrowed=(_or_null(_BY_COIN), "borrowed coins and their interest; null: not read"),
    negative_balances=(_or_null(_BY_COIN), "debts of futures by coin; null: not read"),
    locked=(_or_null(_BY_COIN), "coins that open margin orders hold; null: not read"),
    margin_orders=(_or_null(_list(_TEXT)), "open margin orders; null: not read"),
    is_partial=(_FLAG, "whether only some pairs were asked for margin orders"),
)
_WITNESS: Final = _object(
    "says symbols",
    says=(_one_of(*Says), "silent: it was not asked, not answered, or knows nothing of it"),
    symbols=(_list(_TEXT), "where the master key sees a position"),
)
_COUNTS: Final = (
    "positions_found positions_closed positions_failed orders_found orders_cancelled orders_failed"
)


def _schema_tag(name: str) -> tuple[Schema, str]:
    return {"const": f"liqctl.{name}/1"}, "name and version of the document"


RESULT: Final = _object(
    "schema correlation_id environment state error_message dry_run verified_flat deadline_exceeded "
    "account products margin settled_seconds held_seconds unread started_at finished_at "
    f"duration_seconds timeout_seconds {_COUNTS} positions orders residual left_over witness "
    "requests retries audit_complete audit_head notes time_spent_s",
    schema=_schema_tag("result"),
    state=(_RUN_END, "how the run ended"),
    positions=(_list(_POSITION), "every position that was found"),
    orders=(_list(_ORDER), "every order of others that was found"),
    residual=(_or_null(_RESIDUAL), "what the last reading still showed; null: nothing was read"),
    left_over=(_or_null(_LEFT_OVER), "in portfolio margin: what stands beside the futures"),
    witness=(_or_null(_WITNESS), "what the master key says of it; null: there is none, or no run"),
)
RESULTS: Final = _object(
    "schema state exit_code results",
    schema=_schema_tag("results"),
    state=(_RUN_END, "how the worst of the runs ended"),
    results=(_list(RESULT), "the `result` document of each account"),
)

_IN_PROGRESS: Final = _object(
    "correlation_id pid started_at host? user? deadline_at? running? past_deadline? "
    "seconds_past_deadline? hung?",
    correlation_id=(_or_null(_TEXT), "the run's id; null: the lock cannot be read"),
    pid=(_or_null(_COUNT), "the run's process"),
    started_at=(_or_null(_MOMENT), "when the run began"),
)
_ACCOUNT: Final = _object(
    "flat proven settled_seconds products margin positions orders notional scope unknown_symbols "
    "unread silent unread_beside contradictions",
    positions=(
        _list(
            _object(
                "product symbol position_side side quantity notional entry_price mark_price "
                "unrealized_pnl",
                side=_LEG_SIDE,
            )
        ),
        "open positions, the largest first",
    ),
    orders=(
        _list(
            _object(
                "product symbol order_id client_order_id kind type side protective contradiction "
                "trigger_price"
            )
        ),
        "open orders",
    ),
)
_LAST_RUN: Final = _object(
    "correlation_id environment account state started_at finished_at reason verified_flat "
    f"settled_seconds unread {_COUNTS} duration_seconds error_message exit_code timeout_seconds",
    state=(_one_of("COMPLETED", "PARTIAL", "FAILED", "ABANDONED"), "how the run ended"),
    # An abandoned run's end counts nothing.
    **{
        name: (_or_null(_FIELDS[name][0]), _FIELDS[name][1])
        for name in (
            *("verified_flat", "settled_seconds", "unread", "duration_seconds", "exit_code"),
            "timeout_seconds",
        )
    },
)
_METRICS: Final = _object(
    "execution_count completed partial failed skipped abandoned last_execution_time last_state "
    "last_positions_closed last_orders_cancelled last_duration_seconds",
    execution_count=(_COUNT, "runs that began"),
    **{
        name: (_COUNT, f"runs that ended {name.upper()}")
        for name in ("completed", "partial", "failed", "abandoned")
    },
    skipped=(_COUNT, "runs that sent nothing, because emergency_liquidation was false"),
    last_execution_time=(_or_null(_MOMENT), "start of the last run that ended"),
    last_state=(_or_null(_TEXT), "how it ended"),
    last_positions_closed=(_or_null(_COUNT), "positions that it closed"),
    last_orders_cancelled=(_or_null(_COUNT), "orders that it cancelled"),
    last_duration_seconds=(_or_null(_SECONDS), "how long it took"),
)
_ARMED: Final = _object(
    "answers pid correlation_id armed_since health reasons tripped observe hold_seconds "
    "countdown_seconds heartbeat_age_seconds heartbeat_limit_seconds heartbeat_missing guards "
    "streams weight_used",
    answers=(_FLAG, "whether it answered; without an answer it hangs, and the rest is null"),
    pid=(_or_null(_COUNT), "its process"),
    correlation_id=(_or_null(_TEXT), "the id of its events in the trail, `arm_…`"),
    armed_since=(_or_null(_MOMENT), "since when it watches the account"),
    health=(_one_of("armed", "degraded", "blind", None), "how much of the account it can see"),
    reasons=(_list(_TEXT), "what it lacks, in sentences"),
    tripped=(_or_null(_FLAG), "whether it tripped: it closes the account, or holds it flat"),
    observe=(_or_null(_FLAG), "whether a trip is only recorded, and nothing is closed"),
    hold_seconds=(_or_null(_SECONDS), "how long the account is held flat after a trip"),
    countdown_seconds=(_or_null(_SECONDS), "the venue's own countdown; null: none"),
    heartbeat_age_seconds=(_or_null(_SECONDS), "age of the heartbeat file; null: not known"),
    heartbeat_limit_seconds=(_or_null(_SECONDS), "age at which it trips; null: no heartbeat"),
    heartbeat_missing=(_FLAG, "whether the heartbeat file is not there"),
    guards=(
        _list(
            _object(
                "guard rule level limit value used words",
                guard=(_TEXT, "the guard as the settings name it"),
                rule=(_one_of(*Rule), "what it measures"),
                level=(_one_of(*GuardLevel), "where it stands"),
                limit=(_DECIMAL, "its limit"),
                value=(_or_null(_DECIMAL), "what was measured; null: not known"),
                used=(_or_null(_DECIMAL), "share of the limit that is used, 0 to 1"),
                words=(_TEXT, "the same as a sentence"),
            )
        ),
        "where each guard stands",
    ),
    streams=(
        {
            "type": "object",
            "additionalProperties": _object(
                "connections malformed",
                connections=(_COUNT, "how often it was connected"),
                malformed=(_COUNT, "messages that could not be read"),
            ),
        },
        "the user data stream of each product",
    ),
    weight_used=(_or_null(_COUNT), "request weight that it used since it was armed"),
)
_LATCH: Final = _object(
    "tripped_at by why correlation_id host",
    tripped_at=(_or_null(_TEXT), "when it tripped; null: the latch cannot be read"),
    by=(_or_null(_TEXT), "GUARD, HEARTBEAT, SIGNAL or HANDOVER"),
    why=(_or_null(_TEXT), "the same in words"),
    correlation_id=(_or_null(_TEXT), "the liquidation that followed"),
    host=(_or_null(_TEXT), "the machine on which it tripped"),
)
STATUS: Final = _object(
    "schema environment account_name config_file looked_at state in_progress account account_error "
    "trail_error armed? latch? last_run unfinished_runs metrics trips last_known? watch?",
    armed=(
        _or_null(_ARMED),
        "the armed process of this account; null: none; absent: without a key that is not known",
    ),
    latch=(
        _or_null(_LATCH),
        "what tripped and was not armed again; null: nothing; absent: not known, as for `armed`",
    ),
    trips=(
        _object(
            " ".join(TripCause), **{each: (_COUNT, f"trips: {each.meaning}") for each in TripCause}
        ),
        "how often an armed process closed the account, by what tripped it",
    ),
    schema=_schema_tag("status"),
    state=(_one_of("IDLE", "IN_PROGRESS"), "whether a run of this account is under way"),
    in_progress=(_or_null(_IN_PROGRESS), "the run under way"),
    account=(_or_null(_ACCOUNT), "what is open; null: it could not be read"),
    last_run=(_or_null(_LAST_RUN), "the last run that ended"),
    unfinished_runs=(
        _list(
            _object(
                "correlation_id started_at line?", line=(_CODE, "line of its start in the trail")
            )
        ),
        "runs without an end in the trail: under way, or dead",
    ),
    metrics=(_METRICS, "counts over all runs in the trail"),
    last_known=(
        _or_null(
            _object(
                "at age_seconds account",
                at=(_MOMENT, "when it was read"),
                age_seconds=(_SECONDS, "how long ago that was"),
                account=(_ACCOUNT, "what was open then"),
            )
        ),
        "with --watch: the last reading, where this one failed",
    ),
    watch=(
        _object(
            "next_look_seconds slowed weight_used weight_used_by_others weight_limit",
            next_look_seconds=(_SECONDS, "seconds until the venue is asked again"),
            slowed=(_FLAG, "whether others use so much weight that it is asked less often"),
            weight_used=(_or_null(_COUNT), "request weight of this address in this minute"),
            weight_used_by_others=(_COUNT, "how much of it others used"),
            weight_limit=(_COUNT, "how much the venue allows a minute"),
        ),
        "with --watch: its pace",
    ),
)
STATUSES: Final = _object(
    "schema environment exit_code statuses watch?",
    schema=_schema_tag("statuses"),
    exit_code=(_COUNT, "what --exit-code would exit with: the worst account's"),
    statuses=(_list(STATUS), "the status of each account, in the order of the settings"),
    watch=(STATUS["properties"]["watch"], "with --watch: its pace"),
)

_ISSUE: Final = _object(
    "level type field message recommendation environment?",
    level=(_one_of("INFO", "WARNING", "ERROR", "CRITICAL"), "how bad it is"),
    type=(_one_of("SECURITY", "PERFORMANCE", "CONFIGURATION", "DEPLOYMENT"), "what it is about"),
    field=(_TEXT, "the setting, or `online.` and what was asked"),
    message=(_TEXT, "what was found"),
    recommendation=(_TEXT, "what to do"),
    environment=(_or_null(_TEXT), "in a document about several environments: which one"),
)
_VALUE: Final = _object(
    "value source where",
    value=({}, "the value; a secret is `set` or `not set`"),
    source=(_one_of("flag", "variable", "file", "default"), "what gave it"),
    where=(_TEXT, "name of the flag or variable, or place in the file"),
)
_CHANGE: Final = _object(
    "key old new impact",
    key=(_TEXT, "the setting"),
    old=({}, "its value in the earlier file"),
    new=({}, "its value now"),
    impact=(_TEXT, "what that changes"),
)
VALIDATION: Final = _object(
    "schema environment is_valid is_ready issues config? config_file? against? changes? "
    "environments?",
    schema=_schema_tag("validation"),
    environment=(_or_null(_TEXT), "what was checked; null: several, or the file names none"),
    issues=(_list(_ISSUE), "every finding"),
    config=(
        {"type": "object", "additionalProperties": _VALUE},
        "every setting in force, by its name",
    ),
    against=(_TEXT, "the earlier file of `--against`"),
    changes=(_list(_CHANGE), "settings that differ from it"),
    environments=(_list(_OBJECT), "a document like this one for each environment"),
)

_LEG: Final = "product? symbol position_side "
_ACTOR: Final = "user sudo_user ssh_client terminal host pid "
_CANCEL: Final = "product? symbol endpoint order_ids sweep? "
_WHY: Final = "kind? code? http_status? message"
_END: Final = _object(
    f"state verified_flat deadline_exceeded settled_seconds unread error_message {_COUNTS} "
    "duration_seconds requests retries time_spent_s notes products? margin? left_over? witness? "
    "exit_code",
    state=(_RUN_END, "how the run ended"),
    left_over=(_LEFT_OVER, "in portfolio margin: what stands beside the futures"),
    witness=(_WITNESS, "what the master key says of it"),
)
_ARM: Final = {"observe": (_FLAG, "whether a trip is only recorded, and nothing is closed")}
DETAILS: Final[dict[AuditEventType, Schema]] = {
    AuditEventType.LIQUIDATION_START: _object(
        f"{_ACTOR} version? base_url? key_fingerprint? config_file? reason timeout_seconds config "
        "lock"
    ),
    AuditEventType.SNAPSHOT_TAKEN: _object(
        "product? round only? positions regular_orders? algo_orders? notional reading_s? open? "
        "notionals? unread? mirror_age_s?",
        positions=(_or_null(_COUNT), "positions listed; null: not read"),
        unread=(_OBJECT, "sources that did not answer, each with the reason"),
    ),
    AuditEventType.ORDER_CANCEL_SENT: _object(_CANCEL),
    AuditEventType.ORDER_CANCELLED: _object(_CANCEL),
    AuditEventType.ORDER_CANCEL_REJECTED: _object(_CANCEL + _WHY, kind=_KIND),
    AuditEventType.ORDER_SENT: _object(
        f"{_LEG} side type quantity reduce_only client_order_id attempt price? mark_price?"
    ),
    AuditEventType.ORDER_PLACED: _object(
        f"{_LEG} client_order_id order_id status quantity executed price"
    ),
    AuditEventType.ORDER_REJECTED: _object(f"{_LEG} client_order_id {_WHY}", kind=_KIND),
    AuditEventType.ORDER_UNKNOWN: _object(f"{_LEG} client_order_id {_WHY}", kind=_KIND),
    AuditEventType.POSITION_CLOSED: _object(f"{_LEG} quantity executed attempts"),
    AuditEventType.POSITION_FAILED: _object(
        f"{_LEG} attempts kind? code? http_status? message? side? quantity? notional? state? "
        "remaining? average_price? orders? error?",
        **{
            name: ({**schema}, schema["description"])
            for name, schema in _POSITION["properties"].items()
        },
        kind=_KIND,
    ),
    AuditEventType.RETRY_SCHEDULED: _object(f"{_LEG} reaction adaptation backoff_s repeat reason"),
    AuditEventType.FLAT_SEEN: _object("product? round settle_seconds watch_seconds"),
    AuditEventType.REENTRY_SEEN: _object(
        f"{_LEG} quantity client_order_ids", quantity=(_DECIMAL, "signed: negative is short")
    ),
    AuditEventType.VERIFIED: _object(
        "product? flat readings_in_a_row kept settled_seconds sources"
    ),
    AuditEventType.LIQUIDATION_COMPLETE: _END,
    AuditEventType.LIQUIDATION_PARTIAL: _END,
    AuditEventType.LIQUIDATION_FAILED: _END,
    AuditEventType.LIQUIDATION_BLOCKED: _object(f"{_ACTOR} holder"),
    AuditEventType.LIQUIDATION_SKIPPED: _object(f"{_ACTOR} reason"),
    AuditEventType.LIQUIDATION_ABANDONED: _object(
        "closed_by pid host user started_at last_event unanswered orders",
        orders=(
            _list(
                _object("symbol client_order_id fate", fate=(_TEXT, "what became of it, in words"))
            ),
            "those orders, each with what became of it",
        ),
    ),
    AuditEventType.ARMED: _object(
        f"{_ACTOR} version? base_url? key_fingerprint? config_file? config guards heartbeat "
        "countdown_seconds hold_seconds observe rearmed notes",
        config=(_OBJECT, "the settings of the run that a trip starts"),
        guards=(_list(_TEXT), "limits that trip it, in words"),
        heartbeat=(_or_null(_TEXT), "the heartbeat file; null: none"),
        countdown_seconds=(_or_null(_SECONDS), "the venue's own countdown; null: none"),
        hold_seconds=(_SECONDS, "how long the account is held flat after a trip"),
        rearmed=(_FLAG, "whether it tripped before and `--rearm` was given"),
        notes=(_list(_TEXT), "what is unusual, in sentences"),
        **_ARM,
    ),
    AuditEventType.ARM_DEGRADED: _object(
        "causes blind",
        causes=(_list(_TEXT), "what is missing"),
        blind=(_FLAG, "whether the account could not be read at all"),
    ),
    AuditEventType.ARM_RESTORED: _object(
        "degraded_seconds", degraded_seconds=(_SECONDS, "how long something was missing")
    ),
    AuditEventType.ARM_TRIPPED: _object(
        "by reason figures run observe",
        by=(_one_of(*TripCause), "what tripped it"),
        reason=(_TEXT, "the same in words: the reason of the liquidation"),
        figures=(
            _OBJECT,
            "what decided it; a guard: `rule`, `limit`, `value`, `readings`, `inputs`, `ages_s`",
        ),
        run=(_or_null(_TEXT), "correlation id of the liquidation; null: only observed"),
        **_ARM,
    ),
    AuditEventType.DISARMED: _object(
        "reason tripped armed_seconds countdowns_left",
        reason=(_TEXT, "why it ended"),
        tripped=(_FLAG, "whether it had tripped"),
        armed_seconds=(_SECONDS, "how long it was armed"),
        countdowns_left=(
            _list(_TEXT),
            "symbols on which the venue's countdown was not stopped and may cancel orders",
        ),
    ),
}
"""What each event records."""


def _event() -> Schema:
    """Return the schema of a line: its frame, and for each type the details that liqctl records."""
    frame = _object(
        "timestamp event_type correlation_id environment account? seq prev_hash torn_hash? details",
        timestamp=(_MOMENT, "when it happened, UTC"),
        event_type=(_one_of(*AuditEventType), "what happened"),
        correlation_id=(_TEXT, "the run's id"),
        account=(_TEXT, "the account's name in the settings; absent: it has none"),
        seq=({"type": "integer", "minimum": 1}, "its number in this run, from 1"),
        prev_hash=(_or_null(_HASH), "SHA-256 of the line before it in the chain"),
        torn_hash=(_HASH, "SHA-256 of an unfinished line that this one steps over"),
        details=(_OBJECT, "fields that depend on `event_type`"),
    )
    cut = {"cut_bytes": {**_COUNT, "description": "size of details that were cut to fit 8 kB"}}
    by_type = []
    for event_type, details in DETAILS.items():
        described = {
            "description": event_type.meaning,
            "type": "object",
            "properties": details["properties"] | cut,
            "anyOf": [{"required": details["required"]}, {"required": ["cut_bytes"]}],
        }
        by_type.append(
            {
                "if": {"properties": {"event_type": {"const": str(event_type)}}},
                "then": {"properties": {"details": described}},
            }
        )
    return {**frame, "allOf": by_type}


EVENT: Final = _event()

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: Final = {
    "result": RESULT,
    "results": RESULTS,
    "status": STATUS,
    "statuses": STATUSES,
    "validation": VALIDATION,
    "event": EVENT,
}


def schema_of(name: str) -> Schema:
    """Return the JSON schema of a document, or of a settings file."""
    if name == "settings":
        from liqctl.settings.model import json_schema

        return json_schema()
    return {"$schema": _DIALECT, "title": f"liqctl {name}", **DOCUMENTS[name]}
