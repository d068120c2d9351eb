"""The document of a drill as a score card: the worst first, the answer last.

A terminal of 24 lines shows the end of a text, so what must be seen stands there.
"""

from collections.abc import Mapping
from typing import Any, Final

from liqctl.desk.text import Tone, clean, count, labelled, listed, paint, table, wrap

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
    scores, failed = document["scenarios"], int(document["failed"])
    shown_max = len(scores) if rows is None else rows
    # With a disarmed switch all fail for the same reason, which is told once.
    if rows is not None and document["settings"]["emergency_liquidation"]:
        shown_max = max(rows, min(failed, FAILED_MAX))
    shown = scores[:shown_max]
    if shown:
        cells = []
        for score in shown:
            verdict = "BROKEN" if score["broken"] else "ok" if score["passed"] else "WORSE"
            shortest = f"{score['seconds_min']:.2f}-" if document["repeat"] > 1 else ""
            time = f"{shortest}{score['seconds']:.2f} s"
            left = clean(_left(score, verbose=rows is None))
            cells.append((verdict, clean(score["scenario"]), score["state"], time, left))
        # Painted afterwards: colours in a table's cells would count as columns.
        lines.append("")
        for line in table(_COLUMNS, cells, right={3}, width=width).splitlines():
            word = line.split(" ", 1)[0]
            tone = _TONES.get(word)
            painted = paint(word, tone, colour=colour) if tone else word
            lines.append(painted + line[len(word) :])
    if len(shown) < len(scores):
        hidden, hidden_failed = len(scores) - len(shown), max(failed - len(shown), 0)
        which = "all failed" if hidden_failed == hidden else f"{hidden_failed} of them failed"
        which = which if hidden_failed else "all ok"
        lines.append(f"and {hidden} more, {which}; --verbose shows them")
    return "\n".join([*lines, "", *_foot(document, width, record)]) + "\n"


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


def _left(score: Mapping[str, Any], *, verbose: bool) -> str:
    """Return what is left open, and what else is wrong."""
    names, needs_s = score["left"], score["needs_seconds"]
    left = listed(names, _NAMED_MAX) or "nothing"
    if score["passed"]:
        return f"{left}, as promised" if names else left
    if not names and score["state"] != "COMPLETED":
        left += ", but not proven"
    parts = [left]
    if verbose:
        parts.append("; ".join(score["wrong"]))
    elif needs_s is None:  # Else a longer deadline is the remedy.
        others = [text for text in score["wrong"] if not text.endswith("is left open")]
        wrong = (score["broken"] or others or [""])[0]
        parts.append(wrong if len(wrong) <= _WHY_MAX else f"{wrong[:_WHY_MAX]}…")
    parts += [f"needs {needs_s:g} s"] if needs_s is not None else []
    parts += ["on this machine only"] if score["only_here"] else []
    return "; ".join(part for part in parts if part)


def _foot(document: Mapping[str, Any], width: int | None, record: str) -> list[str]:
    settings, repeat, trail = document["settings"], document["repeat"], document["trail"]
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
    folder = clean(settings["log_dir"])
    kept = f"{trail['events']} events kept in {folder}, verified, removed again"
    if trail["problem"]:
        kept = f"CANNOT BE KEPT in {folder}: {clean(trail['problem'])}"
    recorded = clean(record)
    if not document["recorded"]:
        recorded = f"NOT RECORDED: {recorded}: {clean(str(document['record_problem']))}"
    lines = labelled(
        ("settings", said), ("venue", venue), ("trail", kept), ("record", recorded), width=width
    )
    return [*lines, "", *wrap(clean(document["answer"]), indent="", width=width)]
