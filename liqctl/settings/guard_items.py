"""The items of `arm.guards`: which keys a rule takes, and what is wrong with them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from liqctl.kernel import pacing
from liqctl.kernel.policy import Rule, found_value
from liqctl.settings.credentials import is_secret_name
from liqctl.settings.targets import nearest

GUARDS_MAX: Final = 32
READINGS_MIN: Final = 2
"""A single reading may be a spike: none trips alone."""

_KEYS: Final = ("rule", "limit", "readings")
_LIMITS_MAX: Final = {
    Rule.MAX_LOSS: 1_000_000_000_000,
    Rule.MAX_DRAWDOWN: 100,
    Rule.MAX_NOTIONAL: 1_000_000_000_000,
    Rule.MAX_POSITION_NOTIONAL: 1_000_000_000_000,
    Rule.MIN_MARGIN_RATIO: 1000,
    Rule.MAX_ORDERS_PER_MINUTE: 100_000,
}


def guard_problems(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield key and text of everything wrong with the guards."""
    if len(items) > GUARDS_MAX:
        yield "arm.guards", f"guards must be {GUARDS_MAX} items at most, got {len(items)}"
        return
    for number, item in enumerate(items):
        place, rule = f"arm.guards[{number}]", item.get("rule")
        if not isinstance(rule, str) or rule not in set(Rule):
            hint = nearest(rule, [*Rule]) if isinstance(rule, str) else ""
            yield f"{place}.rule", f"rule must be one of {', '.join(Rule)}{hint}"
            continue
        keys = _keys_of(Rule(rule))
        if "limit" not in item:
            yield place, f"a {rule} guard needs limit"
        for key, value in item.items():
            if key not in keys:
                if not is_secret_name(key):
                    yield f"{place}.{key}", f"unknown key of a {rule} guard{nearest(key, keys)}"
            elif text := _value_problem(Rule(rule), key, value):
                yield f"{place}.{key}", f"{key} must be {text}"


def _keys_of(rule: Rule) -> tuple[str, ...]:
    return (*_KEYS, "symbols") if rule is Rule.MAX_POSITION_NOTIONAL else _KEYS


def _value_problem(rule: Rule, key: str, value: Any) -> str | None:  # noqa: ANN401 - YAML
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match key:
        case "limit":
            most = _LIMITS_MAX[rule]
            if not is_number or value != value:  # noqa: PLR0124 - NaN is no number
                return f"a number, got {found_value(value)}"
            return None if 0 <= value <= most else f"between 0 and {most}, got {value}"
        case "readings":
            least, most = READINGS_MIN, pacing.GUARD_READINGS_MAX
            if not is_number or not isinstance(value, int):
                return f"a whole number, got {found_value(value)}"
            return None if least <= value <= most else f"between {least} and {most}, got {value}"
        case "symbols":
            is_list = isinstance(value, list)
            is_right = is_list and all(isinstance(each, str) and each.strip() for each in value)
            return None if is_right else f"a list of symbols, got {found_value(value)}"
        case _:
            return None


def guards_schema() -> dict[str, Any]:
    """Return the JSON schema of the list, for editors."""
    shapes: dict[str, Any] = {
        "readings": {
            "type": "integer",
            "minimum": READINGS_MIN,
            "maximum": pacing.GUARD_READINGS_MAX,
        },
        "symbols": {"type": "array", "items": {"type": "string"}},
    }
    of_rules = [
        {
            "type": "object",
            "title": f"{rule} guard",
            "description": rule.meaning,
            "properties": {
                "rule": {"const": rule.value},
                "limit": {"type": "number", "minimum": 0, "maximum": _LIMITS_MAX[rule]},
                **{key: shapes[key] for key in _keys_of(rule) if key in shapes},
            },
            "required": ["rule", "limit"],
            "additionalProperties": False,
        }
        for rule in Rule
    ]
    return {"type": "array", "maxItems": GUARDS_MAX, "items": {"oneOf": of_rules}}
