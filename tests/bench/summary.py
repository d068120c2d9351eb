"""The table of the README, made from the last `make bench`: nothing in it is typed by hand."""

import json
from pathlib import Path
from statistics import median
from typing import Any, Final

RESULTS: Final = Path(__file__).parents[2] / "docs" / "bench.json"
_SHOWN: Final = ("first request", "positions closed", "flat", "process gone")
_ORDER: Final = ("bare aiohttp", "liqctl", "ccxt tuned", "ccxt naive", "python-binance")


def readme_table(*, symbols: int = 5, latency_ms: int = 60) -> str:
    """Return medians of one setting and what a lost reply left open, as Markdown."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    plain = _runs(results, symbols=symbols, latency_ms=latency_ms)
    lost = _runs(results, symbols=5, latency_ms=60, trouble="lost reply")
    down = _runs(results, symbols=5, latency_ms=60, trouble="spot host down")
    tools = [tool for tool in _ORDER if tool in plain]
    lines = [
        "| | " + " | ".join(_SHOWN) + " | CPU | memory | left open after one lost reply "
        "| left open, spot host down |",
        "| --- " * (len(_SHOWN) + 5) + "|",
    ]
    for tool in tools:
        seconds = [f"{_median(plain[tool], name):.2f} s" for name in (*_SHOWN, "CPU")]
        memory = f"{_median(plain[tool], 'memory MB'):.0f} MB"
        name = f"**{tool}**" if tool == "liqctl" else tool
        left = f"{_left(lost.get(tool))} | {_left(down.get(tool))}"
        lines.append(f"| {name} | {' | '.join(seconds)} | {memory} | {left} |")
    return "\n".join(lines)


def machine() -> str:
    """Return on what was measured, in words."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    return f"Python {results['python']}, {results['processors']} processors"


def _runs(
    results: dict[str, Any], *, symbols: int, latency_ms: int, trouble: str = ""
) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of a setting by tool."""
    for table in results["tables"]:
        setting = (table["symbols"], table["latency_ms"], table["tls"])
        found = ("spot host down" if table.get("spot") else "lost reply") if table["faults"] else ""
        if setting == (symbols, latency_ms, False) and found == trouble:
            by_tool: dict[str, list[dict[str, Any]]] = {}
            for run in table["runs"]:
                by_tool.setdefault(run["tool"], []).append(run)
            return by_tool
    return {}


def _median(runs: list[dict[str, Any]], figure: str) -> float:
    values = [float(run[figure]) for run in runs if run[figure]]
    return median(values) if values else 0.0


def _left(runs: list[dict[str, Any]] | None) -> str:
    if not runs:
        return ""
    positions, orders = runs[0]["positions_left"], runs[0]["orders_left"]
    left = f"{positions} positions, {orders} orders" if positions or orders else "nothing"
    return f"{left}, exit {runs[0]['code']}"


def section(heading: str) -> str:
    """Return one section of the last run's Markdown, without its heading."""
    text = RESULTS.with_suffix(".md").read_text(encoding="utf-8")
    parts = text.split("### ")
    found = [part.partition("\n")[2].strip() for part in parts if part.startswith(f"{heading}\n")]
    if not found:
        message = f"the last benchmark has no section {heading!r}"
        raise LookupError(message)
    return found[0]
