"""The JSON documents and the trail's events as JSON Schemas: `liqctl schema` and the reference.

A field means the same wherever its name stands, so its type and meaning stand here once; an object
is a list of names. Adding a field is allowed, losing one is not.

A line of the table is a list of names, or `name: type: meaning` of a field that means something
else here. A name's `?` says that it may be absent, its `|null` that it may be null too;
`object.name` is the field as it is in that object, and `+object` all of its fields. Of types, `[t]`
is a list, `{t}` an object with values of one type, `t?` that or null, `A|B` one of these words.
"""

import re
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

_RUN_ENDS: Final = [each for each in LiquidationState if each not in {"IDLE", "IN_PROGRESS"}]
_ENUMS: Final = (
    *(AuditEventType, GuardLevel, Margin, OrderKind, OrderState, PositionState, Product, Rule),
    *(Says, TripCause),
)
_PLAIN: Final[dict[str, Schema]] = {
    "any": {},
    "text": {"type": "string"},
    "flag": {"type": "boolean"},
    "integer": {"type": "integer"},
    "count": {"type": "integer", "minimum": 0},
    "ordinal": {"type": "integer", "minimum": 1},
    "seconds": {"type": "number", "minimum": 0},
    "object": {"type": "object"},
    "moment": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"},
    "decimal": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
    "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "RunEnd": {"enum": list(map(str, _RUN_ENDS))},
    **{each.__name__: {"enum": list(map(str, each))} for each in _ENUMS},
}
"""The types beside the objects of the table, by name."""

_TABLE: Final = r"""
# fields
account: text?: the account's name in the settings; null: it has none
account_name: text?: the account's name in the settings; null: it has none
account_error: text?: why the account could not be read
adaptation: text?: how the next order differs from the refused one
algo_orders: count?: conditional orders listed; null: not read
attempt: count: which order for this position this is, from 1
attempts: count: orders sent for this position
audit_complete: flag: whether every event of the run is in the trail
audit_head: hash?: SHA-256 of the run's last line, for `audit verify --head`
average_price: decimal?: price of the fills that are known
backoff_s: seconds: seconds to wait before the next attempt
base_url: text: host that the requests go to
client_order_id: text: the order's id, chosen by who sent it
client_order_ids: [text]: orders of others seen beside it
closed_by: text: correlation id of the run that recorded this
code: integer?: the venue's code, for `liqctl explain`
config: object: the settings of the run
config_file: text?: the settings file in force; null: none
contradiction: flag: whether it can only reduce a position that no list shows
contradictions: [text]: sentences about such orders
correlation_id: id: the run's id
deadline_at: moment?: when the run has to end
deadline_exceeded: flag: whether the deadline ended the run
dry_run: flag: whether nothing was to be sent
duration_seconds: seconds: from start to end
endpoint: text: method and path of the request
entry_price: decimal?: average price of the position
environment: text: production, testnet or simulator
error_message: text?: why the run did not end flat
executed: decimal: quantity that was filled
exit_code: count: the process exit code
finished_at: moment: when the run ended
flat: flag: whether nothing is open in scope
held_seconds: seconds: how long the account was held flat after the proof
holder: text: the run that has the account
host: text: name of the machine
http_status: integer?: HTTP status of the answer; null: no answer
hung: flag: whether it should have ended long ago
is_ready: flag: valid, and no warning about security or deployment
is_valid: flag: no finding of level ERROR or CRITICAL
kept: count: protective stops that stay
key_fingerprint: text: first 8 hex digits of the SHA-256 of the key
kind: OrderKind: which book the order is in; ALGO: conditional
last_event: text: type of the dead run's last event
lock: text?: what is unusual about the lock; null: nothing
looked_at: moment: when this was read
margin: Margin: the kind of account
mark_price: decimal?: the venue's mark price
message: text: the venue's words, or why nothing was sent
notes: [text]: sentences for the operator, worst first
notional: decimal?: absolute value in the quote asset; null: not read
notionals: [decimal]: value of each position in `open`
only: text: `positions`: only the positions were read
open: [text]: the 50 largest positions: symbol, position side, quantity
order_id: text?: the order's id at the venue; null: no answer named it
order_ids: [text]: the orders to cancel, at most 200 of them
orders_cancelled: count?: orders proven cancelled by the run; null: not read
orders_failed: count?: orders that are or may be open; null: not read
orders_found: count?: orders of others ever listed; null: not read
past_deadline: flag: whether the deadline is over
pid: count: the run's process
position_side: BOTH|LONG|SHORT: BOTH in one-way mode
positions_closed: count?: positions proven closed; null: not read
positions_failed: count?: positions that are or may be open; null: not read
positions_found: count?: positions ever listed; null: not read
price: decimal?: price of the order, or of its fills
product: Product: USDM: USDS-M, COINM: COIN-M
products: [Product]: the futures in scope
protective: flag: whether it is a stop that protects an open position
proven: flag: whether flat was watched for `settle_seconds`
quantity: decimal: in the base asset, of COIN-M in contracts
reaction: text: what happens next, such as SEND_AGAIN, PLAN_AGAIN or LOOK_UP
mirror_age_s: seconds: not read but known to an armed process, for so long
reading_s: seconds: how long the reading took
readings_in_a_row: count: readings that showed nothing, one after the other
reason: text?: why, in words
reduce_only: flag: whether the order is marked reduce-only; never in hedge mode
regular_orders: count?: orders listed; null: not read
remaining: decimal?: quantity still open; null: not known
repeat: count: how many repeats of max_retries are used
requests: count: requests sent to the venue
retries: count: orders and cancels that were sent again
retryable: flag: whether another run may succeed
round: count: the run's round, from 1
running: flag: whether its process exists
scope: [text]: symbols in scope; empty: all
seconds_past_deadline: seconds: how late it is
settle_seconds: seconds: how long flat is to be watched
settled_seconds: seconds: how long flat was watched
side: BUY|SELL|null: BUY or SELL; null: an order that liqctl cannot read
silent: [text]: second sources that did not answer
sources: [text]: lists that showed nothing
ssh_client: text?: SSH_CLIENT of who started it
started_at: moment: when the run began
status: text: the order's status at the venue, or UNKNOWN
sudo_user: text?: SUDO_USER of who started it
sweep: flag: whether it is the symbol's last cancel, whatever is listed
symbol: text: the contract, such as BTCUSDT
terminal: flag: whether it was started at a terminal
time_spent_s: object: seconds spent reading, cancelling, closing and waiting
timeout_seconds: seconds: the deadline in force
trail_error: text?: why the trail could not be read; its counts mean nothing
trigger_price: decimal?: price at which a conditional order starts
type: text: the order's type at the venue, such as STOP_MARKET
unanswered: count: orders of the dead run without an answer
unknown_symbols: [text]: symbols in scope that the venue does not know
unread: [text]: sources in scope that never answered
unread_beside: [text]: sources beside it that did not answer: execution algorithms
unrealized_pnl: decimal?: profit or loss at the mark price
user: text: who started it
verified_flat: flag: whether flat is proven
version: text: liqctl's version
watch_seconds: seconds: how long it can be watched before the deadline
# counts
positions_found positions_closed positions_failed orders_found orders_cancelled orders_failed
# error
code
message: text: the venue's words, or what is missing
retryable
# sent
client_order_id order_id quantity executed status
# position
product symbol position_side
side: LONG|SHORT: LONG or SHORT
quantity
notional: decimal: absolute value in the quote asset at the mark price
state: PositionState: what became of it; `liqctl explain` tells more
remaining average_price attempts
orders: [sent]: the orders sent to close it
error: error?: why it is not done
# order
product symbol
order_id: text: the order's id at the venue
client_order_id kind type side position_side trigger_price protective
state: OrderState: what became of it; `liqctl explain` tells more
position.error
# left_position
product symbol position_side quantity notional
# left_order
product symbol order_id client_order_id kind type side trigger_price
# residual
positions: [left_position]: positions that the last reading still showed
orders: [left_order]: orders that the last reading still showed
# left_over
borrowed: {decimal}?: borrowed coins and their interest; null: not read
negative_balances: {decimal}?: debts of futures by coin; null: not read
locked: {decimal}?: coins that open margin orders hold; null: not read
margin_orders: [text]?: open margin orders; null: not read
is_partial: flag: whether only some pairs were asked for margin orders
# witness
says: Says: silent: it was not asked, not answered, or knows nothing of it
symbols: [text]: where the master key sees a position
# result
schema: result/1: name and version of the document
correlation_id environment
state: RunEnd: how the run ended
error_message dry_run verified_flat deadline_exceeded account products margin settled_seconds
held_seconds unread started_at finished_at duration_seconds timeout_seconds
+counts
positions: [position]: every position that was found
orders: [order]: every order of others that was found
residual: residual?: what the last reading still showed; null: nothing was read
left_over: left_over?: in portfolio margin: what stands beside the futures
witness: witness?: what the master key says of it; null: there is none, or no run
requests retries audit_complete audit_head notes time_spent_s
# results
schema: results/1: name and version of the document
state: RunEnd: how the worst of the runs ended
exit_code
results: [result]: the `result` document of each account
# in_progress
correlation_id: text?: the run's id; null: the lock cannot be read
pid: count?: the run's process
started_at: moment?: when the run began
host? user? deadline_at? running? past_deadline? seconds_past_deadline? hung?
# open_position
product symbol position_side
position.side
quantity notional entry_price mark_price unrealized_pnl
# open_order
product symbol order_id client_order_id kind type side protective contradiction trigger_price
# account
flat proven settled_seconds products margin
positions: [open_position]: open positions, the largest first
orders: [open_order]: open orders
notional scope unknown_symbols unread silent unread_beside contradictions
# last_run
correlation_id environment account
state: COMPLETED|PARTIAL|FAILED|ABANDONED: how the run ended
started_at finished_at reason
verified_flat|null settled_seconds|null unread|null
+counts
duration_seconds|null error_message exit_code|null timeout_seconds|null
# metrics
execution_count: count: runs that began
completed: count: runs that ended COMPLETED
partial: count: runs that ended PARTIAL
failed: count: runs that ended FAILED
skipped: count: runs that sent nothing, because emergency_liquidation was false
abandoned: count: runs that ended ABANDONED
last_execution_time: moment?: start of the last run that ended
last_state: text?: how it ended
last_positions_closed: count?: positions that it closed
last_orders_cancelled: count?: orders that it cancelled
last_duration_seconds: seconds?: how long it took
# guard
guard: text: the guard as the settings name it
rule: Rule: what it measures
level: GuardLevel: where it stands
limit: decimal: its limit
value: decimal?: what was measured; null: not known
used: decimal?: share of the limit that is used, 0 to 1
words: text: the same as a sentence
# stream
connections: count: how often it was connected
malformed: count: messages that could not be read
# armed
answers: flag: whether it answered; without an answer it hangs, and the rest is null
pid: count?: its process
correlation_id: text?: the id of its events in the trail, `arm_…`
armed_since: moment?: since when it watches the account
health: armed|degraded|blind|null: how much of the account it can see
reasons: [text]: what it lacks, in sentences
tripped: flag?: whether it tripped: it closes the account, or holds it flat
observe: flag?: whether a trip is only recorded, and nothing is closed
hold_seconds: seconds?: how long the account is held flat after a trip
countdown_seconds: seconds?: the venue's own countdown; null: none
heartbeat_age_seconds: seconds?: age of the heartbeat file; null: not known
heartbeat_limit_seconds: seconds?: age at which it trips; null: no heartbeat
heartbeat_missing: flag: whether the heartbeat file is not there
guards: [guard]: where each guard stands
streams: {stream}: the user data stream of each product
weight_used: count?: request weight that it used since it was armed
# latch
tripped_at: text?: when it tripped; null: the latch cannot be read
by: text?: GUARD, HEARTBEAT, SIGNAL or HANDOVER
why: text?: the same in words
correlation_id: text?: the liquidation that followed
host: text?: the machine on which it tripped
# unfinished
correlation_id started_at
line?: integer?: line of its start in the trail
# last_known
at: moment: when it was read
age_seconds: seconds: how long ago that was
account: account: what was open then
# watch
next_look_seconds: seconds: seconds until the venue is asked again
slowed: flag: whether others use so much weight that it is asked less often
weight_used: count?: request weight of this address in this minute
weight_used_by_others: count: how much of it others used
weight_limit: count: how much the venue allows a minute
# status
schema: status/1: name and version of the document
environment account_name config_file looked_at
state: IDLE|IN_PROGRESS: whether a run of this account is under way
in_progress: in_progress?: the run under way
account: account?: what is open; null: it could not be read
account_error trail_error
armed?: armed?: the armed process of this account; null: none; absent: without a key that is
 not known
latch?: latch?: what tripped and was not armed again; null: nothing; absent: not known, as
 for `armed`
last_run: last_run?: the last run that ended
unfinished_runs: [unfinished]: runs without an end in the trail: under way, or dead
metrics: metrics: counts over all runs in the trail
trips: trips: how often an armed process closed the account, by what tripped it
last_known?: last_known?: with --watch: the last reading, where this one failed
watch?: watch: with --watch: its pace
# statuses
schema: statuses/1: name and version of the document
environment
exit_code: count: what --exit-code would exit with: the worst account's
statuses: [status]: the status of each account, in the order of the settings
status.watch?
# issue
level: INFO|WARNING|ERROR|CRITICAL: how bad it is
type: SECURITY|PERFORMANCE|CONFIGURATION|DEPLOYMENT: what it is about
field: text: the setting, or `online.` and what was asked
message: text: what was found
recommendation: text: what to do
environment?: text?: in a document about several environments: which one
# setting
value: any: the value; a secret is `set` or `not set`
source: flag|variable|file|default: what gave it
where: text: name of the flag or variable, or place in the file
# change
key: text: the setting
old: any: its value in the earlier file
new: any: its value now
impact: text: what that changes
# validation
schema: validation/1: name and version of the document
environment: text?: what was checked; null: several, or the file names none
is_valid is_ready
issues: [issue]: every finding
config?: {setting}: every setting in force, by its name
config_file?
against?: text: the earlier file of `--against`
changes?: [change]: settings that differ from it
environments?: [object]: a document like this one for each environment
# actor
user sudo_user ssh_client terminal host pid
# leg
product? symbol position_side
# LIQUIDATION_START
+actor
version? base_url? key_fingerprint? config_file? reason timeout_seconds config lock
# SNAPSHOT_TAKEN
product? round only?
positions: count?: positions listed; null: not read
regular_orders? algo_orders? notional reading_s? open? notionals?
unread?: object: sources that did not answer, each with the reason
mirror_age_s?
# ORDER_CANCEL_SENT ORDER_CANCELLED
product? symbol endpoint order_ids sweep?
# ORDER_CANCEL_REJECTED
product? symbol endpoint order_ids sweep?
kind?: text: what kind of answer it was, such as REJECTED or UNKNOWN
code? http_status? message
# ORDER_SENT
+leg
side type quantity reduce_only client_order_id attempt price? mark_price?
# ORDER_PLACED
+leg
client_order_id order_id status quantity executed price
# ORDER_REJECTED ORDER_UNKNOWN
+leg
client_order_id ORDER_CANCEL_REJECTED.kind? code? http_status? message
# POSITION_CLOSED
+leg
quantity executed attempts
# POSITION_FAILED
+leg
attempts ORDER_CANCEL_REJECTED.kind? code? http_status? message? position.side? quantity?
position.notional? position.state? remaining? average_price? position.orders? position.error?
# RETRY_SCHEDULED
+leg
reaction adaptation backoff_s repeat reason
# FLAT_SEEN
product? round settle_seconds watch_seconds
# REENTRY_SEEN
+leg
quantity: decimal: signed: negative is short
client_order_ids
# VERIFIED
product? flat readings_in_a_row kept settled_seconds sources
# LIQUIDATION_COMPLETE LIQUIDATION_PARTIAL LIQUIDATION_FAILED
state: RunEnd: how the run ended
verified_flat deadline_exceeded settled_seconds unread error_message
+counts
duration_seconds requests retries time_spent_s notes products? margin?
left_over?: left_over: in portfolio margin: what stands beside the futures
witness?: witness: what the master key says of it
exit_code
# LIQUIDATION_BLOCKED
+actor
holder
# LIQUIDATION_SKIPPED
+actor
reason
# fate
symbol client_order_id
fate: text: what became of it, in words
# LIQUIDATION_ABANDONED
closed_by pid host user started_at last_event unanswered
orders: [fate]: those orders, each with what became of it
# ARMED
+actor
version? base_url? key_fingerprint? config_file?
config: object: the settings of the run that a trip starts
guards: [text]: limits that trip it, in words
heartbeat: text?: the heartbeat file; null: none
countdown_seconds: seconds?: the venue's own countdown; null: none
hold_seconds: seconds: how long the account is held flat after a trip
observe: flag: whether a trip is only recorded, and nothing is closed
rearmed: flag: whether it tripped before and `--rearm` was given
notes: [text]: what is unusual, in sentences
# ARM_DEGRADED
causes: [text]: what is missing
blind: flag: whether the account could not be read at all
# ARM_RESTORED
degraded_seconds: seconds: how long something was missing
# ARM_TRIPPED
by: TripCause: what tripped it
reason: text: the same in words: the reason of the liquidation
figures: object: what decided it; a guard: `rule`, `limit`, `value`, `readings`, `inputs`, `ages_s`
run: text?: correlation id of the liquidation; null: only observed
ARMED.observe
# DISARMED
reason: text: why it ended
tripped: flag: whether it had tripped
armed_seconds: seconds: how long it was armed
countdowns_left: [text]: symbols on which the venue's countdown was not stopped and may cancel
 orders
# event
timestamp: moment: when it happened, UTC
event_type: AuditEventType: what happened
correlation_id: text: the run's id
environment
account?: text: the account's name in the settings; absent: it has none
seq: ordinal: its number in this run, from 1
prev_hash: hash?: SHA-256 of the line before it in the chain
torn_hash?: hash: SHA-256 of an unfinished line that this one steps over
details: object: fields that depend on `event_type`
"""


def _read(table: str) -> dict[str, Schema]:
    """Return the plain types and the objects of the table, by name."""
    types = {**_PLAIN}
    for section in re.sub("\n +", " ", table).split("\n# ")[1:]:
        names, *lines = section.splitlines()
        made: Schema = {"type": "object", "required": [], "properties": {}}
        for line in lines:
            first, *own = line.split(": ", 2)
            for word in [first] if own else line.split():
                if word.startswith("+"):
                    made["required"] += types[word[1:]]["required"]
                    made["properties"] |= types[word[1:]]["properties"]
                    continue
                path, _, null = word.removesuffix("?").partition("|")
                source, _, name = path.rpartition(".")
                if own:
                    schema = {**_type(own[0], types), "description": own[1]}
                else:
                    schema = types[source or "fields"]["properties"][name]
                made["properties"][name] = _or_null(schema) if null else schema
                made["required"] += [] if word.endswith("?") else [name]
        types |= dict.fromkeys(names.split(), made)
    return types


def _type(kind: str, types: dict[str, Schema]) -> Schema:
    if kind.endswith("?"):
        return _or_null(_type(kind[:-1], types))
    if kind.startswith("["):
        return {"type": "array", "items": _type(kind[1:-1], types)}
    if kind.startswith("{"):
        return {"type": "object", "additionalProperties": _type(kind[1:-1], types)}
    if "|" in kind:
        return {"enum": [None if each == "null" else each for each in kind.split("|")]}
    return {"const": f"liqctl.{kind}"} if "/" in kind else types[kind]


def _or_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


_TRIPS: Final = "".join(f"\n{each}: count: trips: {each.meaning}" for each in TripCause)
_OBJECTS: Final = _read(f"\n# trips{_TRIPS}{_TABLE}")
DETAILS: Final = {AuditEventType(name): _OBJECTS[name] for name in AuditEventType.__members__}
"""What each event records."""

_CUT: Final = {**_PLAIN["count"], "description": "size of details that were cut to fit 8 kB"}
DOCUMENTS: Final = {
    **{name: _OBJECTS[name] for name in ("result", "results", "status", "statuses", "validation")},
    # The frame of a line, and for each type the details that liqctl records.
    "event": {
        **_OBJECTS["event"],
        "allOf": [
            {
                "if": {"properties": {"event_type": {"const": str(event_type)}}},
                "then": {
                    "properties": {
                        "details": {
                            "description": event_type.meaning,
                            "type": "object",
                            "properties": {**details["properties"], "cut_bytes": _CUT},
                            "anyOf": [
                                {"required": details["required"]},
                                {"required": ["cut_bytes"]},
                            ],
                        }
                    }
                },
            }
            for event_type, details in DETAILS.items()
        ],
    },
}


def schema_of(name: str) -> Schema:
    """Return the JSON schema of a document, or of a settings file."""
    if name == "settings":
        from liqctl.settings.model import json_schema

        return json_schema()
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "title": f"liqctl {name}", **DOCUMENTS[name]}
