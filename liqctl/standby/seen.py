"""What `status` and metrics show of the armed process of an account, and of its latch.

The process that answers may be of another version, or hang: what it does not say is None, and it is
never waited for longer than the caller allows.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from liqctl.kernel.amounts import parse_decimal, plain
from liqctl.standby.handover import ask_armed
from liqctl.standby.latch import latch_of

LOOK_MAX_S: Final = 0.5
"""How long an answer is waited for beside a reading of the account, which takes about as long."""

LOOK_ASIDE_MAX_S: Final = 0.1
"""How long where nothing else is waited for: an armed process accepts a handover in that time."""

_SAID: Final = (
    *("pid", "correlation_id", "armed_since", "health", "tripped", "observe"),
    *("hold_seconds", "countdown_seconds", "heartbeat_limit_seconds", "weight_used"),
)
_OF_GUARDS: Final = ("guard", "rule", "level", "limit", "value", "used", "words")
_AMOUNTS: Final = ("limit", "value", "used")
_OF_LATCH: Final = ("tripped_at", "by", "why", "correlation_id", "host")


def look_at_standby(
    identity: str, fallback_dir: Path, patience_s: float = LOOK_MAX_S
) -> dict[str, Any]:
    """Return `armed` and `latch` of the status document: each None where there is none."""
    said, latch = ask_armed(identity, patience_s), latch_of(identity, fallback_dir)
    return {
        "armed": None if said is None else armed_document(said),
        "latch": None if latch is None else {name: latch.get(name) for name in _OF_LATCH},
    }


def armed_document(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an armed process said of itself as the status document has it.

    A heartbeat file that is missing has no age, which JSON has no number for.
    """
    age_s = said.get("heartbeat_age_seconds")
    is_missing = isinstance(age_s, float) and math.isinf(age_s)
    return {
        "answers": "armed_since" in said,
        **{name: said.get(name) for name in _SAID},
        "reasons": [str(each) for each in said.get("reasons") or ()],
        "heartbeat_age_seconds": None if is_missing or age_s is None else round(age_s, 3),
        "heartbeat_missing": is_missing,
        "guards": [_guard_document(each) for each in said.get("guards") or ()],
        "streams": said.get("streams") or {},
    }


def _guard_document(said: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {name: parse_decimal(said.get(name)) for name in _AMOUNTS}
    # As every other amount is written: never with an exponent.
    return {name: said.get(name) for name in _OF_GUARDS} | {
        name: None if amount is None else plain(amount) for name, amount in amounts.items()
    }
