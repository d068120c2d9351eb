"""The validation document of the contract as text for people: the worst first."""

from collections.abc import Mapping
from typing import Any, Final

from liqctl.checks.issue import NOTHING_TO_DO
from liqctl.desk.text import Tone, clean, count, paint, wrap
from liqctl.settings.values import BUILT_IN

_TONES: Final = {
    "CRITICAL": Tone.BAD,
    "ERROR": Tone.BAD,
    "WARNING": Tone.DOUBT,
    "INFO": Tone.QUIET,
}
_BLOCKING: Final = frozenset({"CRITICAL", "ERROR"})
_VALUE_MAX: Final = 100


def render_validation(
    document: Mapping[str, Any], *, width: int | None, colour: bool, verbose: bool
) -> str:
    """Return the verdict, every issue, what changed, and with `verbose` every setting."""
    lines = [_head(document, colour=colour)]
    if "config_file" in document:
        origin = clean(document["config_file"] or BUILT_IN)
        lines += wrap(f"settings  {origin}", indent=" " * 10, width=width)
    issues = document["issues"]
    for level, tone in _TONES.items():
        for issue in issues:
            if issue["level"] == level:
                lines += _issue(issue, tone, width=width, colour=colour)
    if "changes" in document:
        lines += _changes(document, width)
    if verbose and document["config"]:
        lines.append("")
        for key, setting in document["config"].items():
            where = f" {clean(setting['where'])}" if setting["where"] else ""
            text = f"{key} = {_value(setting['value'])}  ({setting['source']}{where})"
            lines += wrap(text, indent=" " * 4, width=width)
    return "\n".join(lines) + "\n"


def _head(document: Mapping[str, Any], *, colour: bool) -> str:
    if not document["is_valid"]:
        word, tone = "INVALID", Tone.BAD
    elif not document["is_ready"]:
        word, tone = "VALID, NOT READY", Tone.DOUBT
    else:
        word, tone = "VALID", Tone.GOOD
    levels = [issue["level"] for issue in document["issues"]]
    blockers = sum(level in _BLOCKING for level in levels)
    counted = (
        count(blockers, "blocker"),
        count(levels.count("WARNING"), "warning"),
        count(levels.count("INFO"), "note"),
    )
    name = clean(str(document["environment"]))
    return f"{paint(word, tone, colour=colour)}: {name}, {', '.join(counted)}"


def _issue(issue: Mapping[str, Any], tone: Tone, *, width: int | None, colour: bool) -> list[str]:
    level = issue["level"]
    advice = clean(issue["recommendation"])
    text = f"{level:<8}  {clean(issue['field'])}: {clean(issue['message'])}"
    if advice != NOTHING_TO_DO:
        text += f" ({advice})"
    first, *rest = wrap(text, indent=" " * 10, width=width)
    return [paint(level, tone, colour=colour) + first[len(level) :], *rest]


def _changes(document: Mapping[str, Any], width: int | None) -> list[str]:
    lines = ["", f"{count(len(document['changes']), 'change')} from {clean(document['against'])}"]
    for change in document["changes"]:
        text = (
            f"  {change['key']}: {_value(change['old'])} -> {_value(change['new'])} "
            f"({change['impact']})"
        )
        lines += wrap(text, indent=" " * 4, width=width)
    return lines


def _value(value: object) -> str:
    """Return a value as the YAML file would have it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(str, value))}]"
        case _:
            return clean(str(value))[:_VALUE_MAX]
