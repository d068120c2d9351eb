"""The chart of the README: for each tool how long until its account was flat, as plain SVG."""

from typing import Final

from tests.bench.tables import FIGURES, OURS, Table

_WIDTH: Final = 720
_LEFT: Final = 130
_BAR: Final = 18
_ROW: Final = 30
_TOP: Final = 64


def draw(table: Table) -> str:
    """Return the picture: a light bar until the first request, a dark one until flat."""
    tools = sorted(table.runs, key=lambda tool: table.median(tool, FIGURES["flat"]))
    slowest_s = max(table.median(tool, FIGURES["flat"]) for tool in tools)
    scale = (_WIDTH - _LEFT - 80) / slowest_s
    height = _TOP + _ROW * len(tools) + 16
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            'font-family="system-ui, sans-serif" font-size="13" role="img">'
        ),
        f"<title>Seconds from start to flat: {table.title()}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff" rx="6"/>',
        (
            '<text x="16" y="26" font-size="16" font-weight="600" fill="#1f2328">'
            "Start of the process to a flat account</text>"
        ),
        (
            f'<text x="16" y="46" fill="#59636e">{table.title()}; medians; '
            "light: until the first request</text>"
        ),
    ]
    for place, tool in enumerate(tools):
        parts += _bar(table, tool, scale, _TOP + place * _ROW)
    return "\n".join([*parts, "</svg>\n"])


def _bar(table: Table, tool: str, scale: float, top: int) -> list[str]:
    first_s = table.median(tool, FIGURES["first request"])
    flat_s = table.median(tool, FIGURES["flat"])
    dark, light = ("#cf222e", "#ff8182") if tool == OURS else ("#57606a", "#afb8c1")
    start, end = _LEFT + first_s * scale, _LEFT + flat_s * scale
    return [
        f'<text x="{_LEFT - 8}" y="{top + 14}" text-anchor="end" fill="#1f2328">{tool}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{start - _LEFT:.1f}" height="{_BAR}" fill="{light}"/>',
        (
            f'<rect x="{start:.1f}" y="{top}" width="{end - start:.1f}" height="{_BAR}" '
            f'fill="{dark}"/>'
        ),
        f'<text x="{end + 6:.1f}" y="{top + 14}" fill="#1f2328">{flat_s:.2f} s</text>',
    ]
