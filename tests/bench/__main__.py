"""`make bench`: liqctl as installed and the rivals, interleaved, whole processes.

python -m tests.bench                the whole matrix, about half an hour
python -m tests.bench --quick        what the targets need, inside three minutes
python -m tests.bench --json F --svg F --markdown F
python -m tests.bench --latency 60 ...       only this; the tables of F that are not measured stay
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench import chart, trails
from tests.bench.runs import SCRIPTS, Measured, Setting, Venues, measure, open_venues
from tests.bench.tables import OURS, Table, as_json, from_json, target_lines, targets

RUNS: Final = 7
SLOW_RUNS: Final = 3
"""Rivals that send one request after another need minutes at 200 symbols; they only lose there."""

FAST: Final = ("ccxt tuned", "bare aiohttp", OURS)
SLOW: Final = ("ccxt naive", "python-binance")
SLOW_SECONDS_MAX: Final = 20.0
LOST_REPLY: Final = ({"kind": "drop_after", "method": "POST", "path": "/order", "times": 1},)
SPOT_DOWN: Final = tuple(
    {"kind": "bad_gateway_not_executed", "path": path, "times": 0}
    for path in ("/capital/config/getall", "/margin/allPairs", "/api/v3/ping")
)
"""What ccxt and python-binance ask of the spot host unless told not to."""


def interleave(venues: Venues, setting: Setting, tools: Sequence[str], runs: int) -> Table:
    """Run every tool in turn, again and again."""
    counted: dict[str, list[Measured]] = {tool: [] for tool in tools}
    for number in range(runs):
        for tool in tools:
            if tool in SLOW and number >= SLOW_RUNS:
                continue
            counted[tool].append(measure(tool, venues, setting))
        sys.stderr.write(".")
        sys.stderr.flush()
    today = datetime.now(UTC).date().isoformat()
    return Table(setting=setting, runs=counted, measured_on=today)


def matrix(*, quick: bool) -> list[tuple[Setting, tuple[str, ...]]]:
    """Return what is measured: every setting and who takes part."""
    if quick:
        plain = [Setting(symbols=symbols, latency_ms=60) for symbols in (5, 60, 0)]
        return [(s, FAST) for s in (*plain, Setting(symbols=200, latency_ms=60, tls=True))]
    rows: list[tuple[Setting, tuple[str, ...]]] = [(Setting(symbols=0, latency_ms=60), FAST)]
    for latency_ms in (0, 20, 60, 200):
        for symbols in (1, 5, 60, 200):
            requests = 4 + 3 * symbols
            is_short = requests * (latency_ms / 1000 + 0.06) <= SLOW_SECONDS_MAX
            tools = (*SLOW, *FAST) if is_short else FAST
            rows.append((Setting(symbols=symbols, latency_ms=latency_ms), tools))
    rows += [(Setting(symbols=n, latency_ms=60, tls=True), FAST) for n in (5, 60, 200)]
    return rows


def residue(venues: Venues) -> list[Table]:
    """Return one run of everybody with a lost reply, and with the spot host down."""
    tools = (*SCRIPTS, OURS)
    settings = (
        Setting(symbols=5, latency_ms=60, faults=LOST_REPLY),
        Setting(symbols=5, latency_ms=60, faults=SPOT_DOWN, spot=True),
    )
    return [interleave(venues, setting, tools, 1) for setting in settings]


def residue_lines(tables: Sequence[Table]) -> list[str]:
    """Return what stayed open when something went wrong, as Markdown."""
    lines = ["| what goes wrong | tool | positions left | orders left | exit code |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for table, name in zip(tables, ("reply to one close lost", "spot host down"), strict=True):
        for tool, runs in table.runs.items():
            run = runs[0]
            lines.append(
                f"| {name} | {tool} | {run.positions_left} | {run.orders_left} | {run.code} |"
            )
    return lines


def with_earlier(measured: Sequence[Table], results: Path | None) -> list[Table]:
    """Return the tables in the matrix' order, those that were not measured now from the file."""
    found = {table.setting: table for table in measured}
    if results is not None and results.exists():
        rows = json.loads(results.read_text(encoding="utf-8"))["tables"]
        earlier = [from_json(row) for row in rows if not row["faults"]]
        found = {table.setting: table for table in earlier} | found
    return [found[setting] for setting, _ in matrix(quick=False) if setting in found]


def main() -> int:
    """Measure, print, write; return 0 however the targets turned out."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--symbols", type=int, help="only settings with so many symbols")
    parser.add_argument("--latency", type=int, help="only settings with this latency in ms")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    rows = [
        (setting, tools)
        for setting, tools in matrix(quick=options.quick)
        if options.symbols in {None, setting.symbols}
        and options.latency in {None, setting.latency_ms}
    ]
    with open_venues() as venues:
        measured = [interleave(venues, setting, tools, options.runs) for setting, tools in rows]
        wrong = residue(venues)
    tables = with_earlier(measured, options.json)
    text = [
        "# The whole matrix",
        "",
        "Written by `make bench`; what it means is in [speed](speed.md).",
        "",
        (
            f"Python {platform.python_version()}, {os.cpu_count()} processors, load at the end "
            f"{os.getloadavg()[0]:.1f}. Medians; in brackets the middle half."
        ),
        "",
    ]
    for table in tables:
        text += table.lines()
    text += ["### When something goes wrong", "", *residue_lines(wrong), ""]
    text += ["### Targets", "", *target_lines([*targets(tables), *trails.targets(options.quick)])]
    sys.stdout.write("\n".join(text) + "\n")
    if options.markdown:
        options.markdown.write_text("\n".join(text) + "\n", encoding="utf-8")
    if options.json:
        results = {
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "load_at_end": round(os.getloadavg()[0], 2),
            "tables": as_json([*tables, *wrong]),
        }
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    five = [t for t in tables if t.setting == Setting(symbols=5, latency_ms=60)]
    if options.svg and five:
        options.svg.parent.mkdir(parents=True, exist_ok=True)
        options.svg.write_text(chart.draw(five[0]), encoding="utf-8")
    return 0


sys.exit(main())
