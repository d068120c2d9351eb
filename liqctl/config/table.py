"""The settings as the README's table; generated, so that it cannot be stale."""

from liqctl.config.rules import RULES, Kind, Rule


def markdown_table() -> str:
    """Return every setting with its variable, default, range and meaning as a Markdown table."""
    lines = ["| setting | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{rule.key}` | `{_default(rule)}` | {_allowed(rule)} | {rule.help} |" for rule in RULES
    ]
    return "\n".join(lines) + "\n"


def _default(rule: Rule) -> str:
    match rule.default:
        case None:
            return "null"
        case bool():
            return "true" if rule.default else "false"
        case tuple():
            return "[]"
        case _:
            return str(rule.default)


def _allowed(rule: Rule) -> str:
    if rule.allowed:
        return ", ".join(f"`{each}`" for each in rule.allowed)
    if rule.low is not None:
        unit = "whole number, " if rule.kind is Kind.WHOLE else ""
        return f"{unit}{rule.low} to {rule.high}"
    return rule.kind.value
