"""The document of a drill as a score card: the worst first, the answer last.

A terminal of 24 lines shows the end of a text, so what must be seen stands there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from liqctl.report.text import Tone, clean, count, labelled, paint, table, wrap

ROWS: Final = 10
"""How many scenarios are shown where nobody's terminal decides; failed ones always all are."""

_NAMED_MAX: Final = 3
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
    shown = scores if rows is None else scores[: max(rows, document["failed"])]
    if shown:
        lines += ["", *_table(shown, document, width, colour=colour, verbose=rows is None)]
    if len(shown) < len(scores):
        lines.append(f"and {len(scores) - len(shown)} more that are ok; --verbose shows all")
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
    wrong = score["broken"] or score["wrong"]
    told = "; ".join(wrong) if verbose or not score["left"] else wrong[0] if score["broken"] else ""
    parts = [left, told]
    if score["needs_seconds"] is not None:
        parts.append(f"needs {score['needs_seconds']:g} s")
    if score["only_here"]:
        parts.append("on this machine only")
    return "; ".join(part for part in parts if part)


def _foot(document: Mapping[str, Any], width: int | None, record: str) -> list[str]:
    settings, repeat = document["settings"], document["repeat"]
    where = f" ({clean(settings['file'])})" if settings["file"] else " (defaults)"
    said = (
        f"{clean(str(document['environment']))}{where}: {settings['timeout_seconds']:g} s, "
        f"{settings['max_retries']} retries, {settings['retry_delay_seconds']:g} s delay"
    )
    if settings["overridden"]:
        said += f"; {', '.join(map(clean, settings['overridden']))} from the command line"
    time = "virtual time" if document["mode"] == "virtual" else "real time, HTTP on loopback"
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
