"""Medians and ratios of interleaved runs, as text; which targets they meet.

A ratio is the median of one over the median of the other; its spread is the middle half of the
ratios of runs that stood side by side, so that a busy moment hits both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any, Final

from tests.bench.runs import Measured, Setting

OURS: Final = "liqctl"
Figure = Callable[[Measured], float]

FIGURES: Final[Mapping[str, Figure]] = {
    "first request": lambda run: run.signed_s,
    "positions closed": lambda run: run.closed_s,
    "flat": lambda run: run.flat_s,
    "process gone": lambda run: run.gone_s,
    "CPU": lambda run: run.cpu_s,
    "memory MB": lambda run: run.memory_mb,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The runs of several tools in one setting, interleaved."""

    setting: Setting
    runs: Mapping[str, Sequence[Measured]]
    measured_on: str = ""

    def median(self, tool: str, figure: Figure) -> float:
        """Return the median of a figure over the runs that have it; 0 when none does."""
        values = [value for run in self.runs.get(tool, ()) if (value := figure(run))]
        return median(values) if values else 0.0

    def ratio(self, figure: Figure, rival: str) -> float:
        """Return ours over the rival's, 0 when either is missing."""
        theirs = self.median(rival, figure)
        return self.median(OURS, figure) / theirs if theirs else 0.0

    def spread(self, figure: Figure, rival: str) -> tuple[float, float]:
        """Return the middle half of the ratios of neighbouring runs."""
        pairs = zip(self.runs.get(OURS, ()), self.runs.get(rival, ()), strict=False)
        ratios = [figure(a) / figure(b) for a, b in pairs if figure(a) and figure(b)]
        if len(ratios) < 2:
            return (ratios[0], ratios[0]) if ratios else (0.0, 0.0)
        low, _, high = quantiles(ratios, n=4, method="inclusive")
        return low, high

    def trips(self, tool: str, figure: Figure) -> float:
        """Return the round trips between the first signed request and a moment."""
        latency_s = self.setting.latency_ms / 1000
        if not latency_s:
            return 0.0
        waits = [(figure(run) - run.signed_s) / latency_s for run in self.runs[tool] if figure(run)]
        return median(waits) if waits else 0.0

    def title(self) -> str:
        """Return the setting in words."""
        way = "HTTPS" if self.setting.tls else "HTTP"
        account = f"{self.setting.symbols} symbols" if self.setting.symbols else "already flat"
        return f"{account}, {self.setting.latency_ms} ms a request, {way}"

    def lines(self) -> list[str]:
        """Return the table as Markdown."""
        lines = [
            f"### {self.title()}",
            "",
            *([f"Measured on {self.measured_on}.", ""] if self.measured_on else []),
            (
                "| tool | runs | first request | positions closed | flat | process gone "
                "| round trips | requests | CPU | memory | left open |"
            ),
            "| --- " * 11 + "|",
        ]
        for tool, runs in self.runs.items():
            seconds = [
                f"{self.median(tool, FIGURES[name]):.3f} s"
                for name in ("first request", "positions closed", "flat", "process gone", "CPU")
            ]
            left = max(run.positions_left + run.orders_left for run in runs)
            lines.append(
                f"| {tool} | {len(runs)} | {seconds[0]} | {seconds[1]} | {seconds[2]} "
                f"| {seconds[3]} | {self.trips(tool, FIGURES['flat']):.1f} "
                f"| {median(run.requests for run in runs):.0f} | {seconds[4]} "
                f"| {self.median(tool, FIGURES['memory MB']):.0f} MB | {left} |"
            )
        return [*lines, "", *self._ratios(), ""]

    def _ratios(self) -> list[str]:
        lines = []
        for rival in self.runs:
            if rival == OURS or OURS not in self.runs:
                continue
            parts = []
            for name, figure in FIGURES.items():
                if ratio := self.ratio(figure, rival):
                    low, high = self.spread(figure, rival)
                    parts.append(f"{name} {ratio:.2f} ({low:.2f} to {high:.2f})")
            lines.append(f"- liqctl / {rival}: {', '.join(parts)}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A ratio or number that must not be exceeded."""

    name: str
    limit: float
    measured: float

    def line(self) -> str:
        """Return the target as a row of Markdown."""
        verdict = "yes" if self.measured <= self.limit else "**no**"
        return f"| {self.name} | {self.limit:g} | {self.measured:.2f} | {verdict} |"


def targets(tables: Sequence[Table]) -> list[Target]:
    """Return what was promised, as far as it was measured, at 60 ms a request.

    The processor time counts over HTTPS, as it does on the real venue.
    """
    found = {
        (table.setting.symbols, table.setting.tls): table
        for table in tables
        if table.setting.latency_ms == 60
    }
    rows = [
        (5, "first request", "ccxt tuned", 0.42),
        (5, "positions closed", "ccxt tuned", 0.55),
        (5, "flat", "ccxt tuned", 0.55),
        (5, "flat", "bare aiohttp", 1.2),
        (5, "positions closed", "bare aiohttp", 1.15),
        (60, "positions closed", "ccxt tuned", 0.6),
        (60, "flat", "ccxt tuned", 0.6),
        (60, "positions closed", "bare aiohttp", 1.15),
        (60, "flat", "bare aiohttp", 1.25),
        (5, "memory MB", "ccxt tuned", 0.6),
        (200, "CPU", "bare aiohttp", 1.5),
    ]
    result = []
    for symbols, figure, rival, limit in rows:
        table = found.get((symbols, figure == "CPU"))
        if table is not None and rival in table.runs:
            way = ", HTTPS" if table.setting.tls else ""
            name = f"{figure} / {rival}, {symbols} symbols{way}"
            measured = table.ratio(FIGURES[figure], rival)
            result.append(Target(name=name, limit=limit, measured=measured))
    result += [
        Target(
            name=f"round trips from first request to {moment}, {symbols} symbols",
            limit=4,
            measured=found[symbols, False].trips(OURS, FIGURES[moment]),
        )
        for symbols in (5, 60, 200)
        if (symbols, False) in found
        for moment in ("positions closed", "flat")
    ]
    return result


def target_lines(rows: Sequence[Target]) -> list[str]:
    """Return the targets as Markdown, lost ones marked."""
    head = ["| target | at most | measured | met |", "| --- | --- | --- | --- |"]
    return [*head, *(row.line() for row in rows)]


def as_json(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return every single run, for other programs."""
    return [
        {
            "symbols": table.setting.symbols,
            "latency_ms": table.setting.latency_ms,
            "tls": table.setting.tls,
            "faults": list(table.setting.faults),
            "spot": table.setting.spot,
            "measured_on": table.measured_on,
            "runs": [
                {
                    "tool": tool,
                    "code": run.code,
                    **{name: round(figure(run), 4) for name, figure in FIGURES.items()},
                    "requests": run.requests,
                    "positions_left": run.positions_left,
                    "orders_left": run.orders_left,
                    "wrong_fills": run.wrong_fills,
                }
                for tool, runs in table.runs.items()
                for run in runs
            ],
        }
        for table in tables
    ]


def from_json(row: Mapping[str, Any]) -> Table:
    """Return a table of an earlier run."""
    runs: dict[str, list[Measured]] = {}
    for run in row["runs"]:
        runs.setdefault(run["tool"], []).append(
            Measured(
                tool=run["tool"],
                code=run["code"],
                signed_s=run["first request"],
                closed_s=run["positions closed"],
                flat_s=run["flat"],
                gone_s=run["process gone"],
                cpu_s=run["CPU"],
                memory_mb=run["memory MB"],
                requests=run["requests"],
                kinds={},
                positions_left=run["positions_left"],
                orders_left=run["orders_left"],
                wrong_fills=run["wrong_fills"],
                said="",
            )
        )
    setting = Setting(
        symbols=row["symbols"],
        latency_ms=row["latency_ms"],
        tls=row["tls"],
        faults=tuple(row["faults"]),
        spot=row.get("spot", False),
    )
    return Table(setting=setting, runs=runs, measured_on=row.get("measured_on", ""))
