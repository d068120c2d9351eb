"""The document of a drill as a score card: the worst first, the answer last.

A terminal of 24 lines shows the end of a text, so what must be seen stands there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from liqctl.desk.text import Tone, clean, count, labelled, paint, table, wrap

ROWS: Final = 10
"""How many scenarios are shown where nobody's terminal decides; failed ones always all are."""

FAILED_MAX: Final = 40
"""How many failed scenarios are shown at most without `--verbose`."""

_NAMED_MAX: Final = 3
_WHY_MAX: Final = 60
_TONES: Final = {"ok": Tone.GOOD, "WORSE": Tone.BAD, "BROKEN": Tone.BAD}
_COLUMNS: Final = ("verdict", "scenario", "end", "time", "left open")


def render_drill(
    document: Mapping[str, Any],
    *,
    width: int | None,
    colour: bool,
    rows: int | None = ROWS,
    record: str = "",
) -> str:
    """Return the score card.

    Args:
        document: what `drill --json` prints.
        width: the terminal's, None where nobody looks.
        colour: whether verdicts are painted.
        rows: how many scenarios at least; None for all, each with everything that is wrong.
        record: where the drill is recorded.
    """
    lines = [_head(document, colour=colour)]
    for note in document["notes"]:
        lines += wrap(clean(note), indent="  ", width=width)
    scores = document["scenarios"]
    shown = scores[: _count_shown(document, rows)]
    if shown:
        lines += ["", *_table(shown, document, width, colour=colour, verbose=rows is None)]
    if len(shown) < len(scores):
        hidden = len(scores) - len(shown)
        failed = max(document["failed"] - len(shown), 0)
        which = "all failed" if failed == hidden else f"{failed} of them failed"
        which = which if failed else "all ok"
        lines.append(f"and {hidden} more, {which}; --verbose shows them")
    return "\n".join([*lines, "", *_foot(document, width, record)]) + "\n"


def _count_shown(document: Mapping[str, Any], rows: int | None) -> int:
    """Return how many scenarios to show; with a disarmed switch all fail for the same reason."""
    if rows is None:
        return len(document["scenarios"])
    if not document["settings"]["emergency_liquidation"]:
        return rows
    return max(rows, min(int(document["failed"]), FAILED_MAX))


def _head(document: Mapping[str, Any], *, colour: bool) -> str:
    if document["passed"]:
        word, tone = "PASSED", Tone.GOOD
    elif document["interrupted"] and not document["failed"]:
        word, tone = "STOPPED", Tone.DOUBT
    else:
        word, tone = "FAILED", Tone.BAD
    ran, total = document["ran"], document["total"]
    well = f"{ran - document['failed']} of {count(total, 'scenario')} ended as they should"
    rest = f", {total - ran} were not run" if ran < total else ""
    rest += ", but the trail cannot be kept" if document["trail"]["problem"] else ""
    environment = clean(str(document["environment"]))
    return f"{paint(word, tone, colour=colour)}: settings of {environment}, {well}{rest}"


def _table(
    scores: Sequence[Mapping[str, Any]],
    document: Mapping[str, Any],
    width: int | None,
    *,
    colour: bool,
    verbose: bool,
) -> list[str]:
    rows = [
        (
            verdict_of(score),
            clean(score["scenario"]),
            score["state"],
            _seconds(score, spread=document["repeat"] > 1),
            clean(_left(score, verbose=verbose)),
        )
        for score in scores
    ]
    lines = table(_COLUMNS, rows, right={3}, width=width).splitlines()
    return [_painted(line, colour=colour) for line in lines]


def verdict_of(score: Mapping[str, Any]) -> str:
    """Return the word for how a scenario ended."""
    if score["broken"]:
        return "BROKEN"
    return "ok" if score["passed"] else "WORSE"


def _painted(line: str, *, colour: bool) -> str:
    """Paint the verdict that a line begins with; the table was made without colours in it."""
    word = line.split(" ", 1)[0]
    if word not in _TONES:
        return line
    return paint(word, _TONES[word], colour=colour) + line[len(word) :]


def _seconds(score: Mapping[str, Any], *, spread: bool) -> str:
    longest = f"{score['seconds']:.2f} s"
    return f"{score['seconds_min']:.2f}-{longest}" if spread else longest


def _left(score: Mapping[str, Any], *, verbose: bool) -> str:
    names = score["left"]
    left = ", ".join(names[:_NAMED_MAX]) or "nothing"
    if len(names) > _NAMED_MAX:
        left += f" and {len(names) - _NAMED_MAX} more"
    if score["passed"]:
        return f"{left}, as promised" if names else left
    if not names and score["state"] != "COMPLETED":
        left += ", but not proven"
    parts = [left, _why(score, verbose=verbose)]
    if score["needs_seconds"] is not None:
        parts.append(f"needs {score['needs_seconds']:g} s")
    if score["only_here"]:
        parts.append("on this machine only")
    return "; ".join(part for part in parts if part)


def _why(score: Mapping[str, Any], *, verbose: bool) -> str:
    """Return what is wrong besides what is left; nothing where a longer deadline is the remedy."""
    if verbose:
        return "; ".join(score["wrong"])
    if score["needs_seconds"] is not None:
        return ""
    wrong = score["broken"] or [
        text for text in score["wrong"] if not text.endswith("is left open")
    ]
    if not wrong:
        return ""
    return wrong[0] if len(wrong[0]) <= _WHY_MAX else f"{wrong[0][:_WHY_MAX]}…"


def _foot(document: Mapping[str, Any], width: int | None, record: str) -> list[str]:
    settings, repeat = document["settings"], document["repeat"]
    where = f" ({clean(settings['file'])})" if settings["file"] else " (defaults)"
    said = (
        f"{clean(str(document['environment']))}{where}: {settings['timeout_seconds']:g} s, "
        f"{settings['max_retries']} retries, {settings['retry_delay_seconds']:g} s delay, "
        f"settle {settings['settle_seconds']:g} s"
    )
    if settings["overridden"]:
        said += f"; {', '.join(map(clean, settings['overridden']))} from the command line"
    time = "virtual time" if document["mode"] == "virtual" else "real time, HTTP on loopback"
    if document["not_run"]:
        time += f", without {', '.join(map(clean, document['not_run']))}"
    venue = f"simulated in this process, {document['latency_ms']} ms a round trip, {time}"
    if repeat > 1:
        venue += f", {repeat} seeds each"
    lines = labelled("settings", said, width=width)
    lines += labelled("venue", venue, width=width)
    lines += labelled("trail", _trail(document), width=width)
    if document["recorded"]:
        lines += labelled("record", clean(record), width=width)
    else:
        problem = f"NOT RECORDED: {clean(record)}: {clean(str(document['record_problem']))}"
        lines += labelled("record", problem, width=width)
    return [*lines, "", *wrap(clean(document["answer"]), indent="", width=width)]


def _trail(document: Mapping[str, Any]) -> str:
    trail, folder = document["trail"], clean(document["settings"]["log_dir"])
    if trail["problem"]:
        return f"CANNOT BE KEPT in {folder}: {clean(trail['problem'])}"
    return f"{trail['events']} events kept in {folder}, verified, removed again"
