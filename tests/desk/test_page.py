"""The report's page in a real browser: what is shown, and that it fits a phone, dark and light."""

import json
import re
import shutil
import subprocess
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Final

import pytest

from liqctl.desk.incident import Incident, TradeReading, make_incident
from liqctl.desk.report import render_page
from liqctl.trail.file import TrailRecord
from liqctl.trail.verify import RunChain

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
)
LONG_WORD: Final = "W" * 300
HOSTILE: Final = f"<script>document.title='taken'</script><img src=x> {LONG_WORD} \x1b[2J\u202e"
PROBE: Final = """<!DOCTYPE html><meta charset=utf-8><body>
<iframe src="page.html" style="border:0;width:WIDTHpx;height:900px"></iframe><script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const all = (query) => [...page.querySelectorAll(query)];
  const box = (e) => e.getBoundingClientRect();
  const style = (e, name) => page.defaultView.getComputedStyle(e)[name];
  const found = {
    title: page.title, width: page.documentElement.clientWidth,
    scroll: page.documentElement.scrollWidth,
    beyond: all("body *:not(.defs *)").filter((e) => box(e).right > WIDTH + 1)
      .map((e) => e.tagName),
    text: page.body.innerText, paper: style(page.body, "backgroundColor"),
    ink: style(page.body, "color"), scripts: all("script").length, images: all("img").length,
    bars: all("rect.bar[x]").filter((e) => e.querySelector("title")).map((e) => ({
      kind: e.getAttribute("class"), left: box(e).left, right: box(e).right,
      title: e.querySelector("title").textContent, fill: style(e, "fill")})),
    deadlines: all(".row:not(.axis) line.deadline").map((e) => box(e).left),
    chart: all(".row svg[role=img]").map((e) => [box(e).left, box(e).right])[0],
  };
  const shown = document.createElement("pre");
  shown.id = "found"; shown.textContent = JSON.stringify(found);
  document.body.replaceChildren(shown);
});</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def make_record(seq: int, event_type: str, at_s: float, **details: Any) -> TrailRecord:
    """Return a record so many seconds after half past ten."""
    return TrailRecord(
        timestamp=f"2026-01-02T10:30:{at_s:09.6f}Z",
        event_type=event_type,
        correlation_id="liq_20260102_103000_abc123",
        environment="production",
        account=None,
        seq=seq,
        prev_hash=None,
        torn_hash=None,
        details=details,
    )


def make_trouble(reason: str = HOSTILE) -> Incident:
    """Return a run that closed BTC, was refused ETH, and never heard of SOL."""
    rows: tuple[tuple[str, float, dict[str, Any]], ...] = (
        (
            "LIQUIDATION_START",
            0.0,
            {"pid": 1, "timeout_seconds": 5.0, "user": "ops", "host": "h", "reason": reason},
        ),
        ("SNAPSHOT_TAKEN", 0.5, {"reading_s": 0.5, "open": ["BTCUSDT BOTH 1"]}),
        ("ORDER_SENT", 1.0, {"symbol": "BTCUSDT", "client_order_id": "b", "side": "SELL"}),
        ("ORDER_SENT", 1.0, {"symbol": "ETHUSDT", "client_order_id": "e", "side": "BUY"}),
        ("ORDER_SENT", 1.0, {"symbol": "SOLUSDT", "client_order_id": "s", "side": "BUY"}),
        ("ORDER_PLACED", 2.0, {"symbol": "BTCUSDT", "client_order_id": "b", "status": "FILLED"}),
        (
            "ORDER_REJECTED",
            2.0,
            {"symbol": "ETHUSDT", "client_order_id": "e", "code": -4141, "message": reason},
        ),
        ("POSITION_CLOSED", 3.0, {"symbol": "BTCUSDT"}),
        ("POSITION_FAILED", 3.0, {"symbol": "ETHUSDT", "code": -4141, "message": reason}),
        ("LIQUIDATION_PARTIAL", 4.0, {"state": "PARTIAL", "exit_code": 3}),
    )
    records = [
        make_record(seq, name, at_s, **details)
        for seq, (name, at_s, details) in enumerate(rows, start=1)
    ]
    chain = RunChain(records=len(records), head="a" * 64)
    reading = TradeReading(why_not="no key is at hand", how="set the key")
    return make_incident(records, chain=chain, later=(), reading=reading)


def browse(*arguments: str) -> str:
    """Return what Chromium prints; its profile is a fresh one."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        ended = subprocess.run(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    return ended.stdout


def look(folder: Path, incident: Incident, width: int, *flags: str) -> dict[str, Any]:
    """Return what a browser of that width makes of the page."""
    (folder / "page.html").write_text(render_page(incident), encoding="utf-8")
    probe = folder / "probe.html"
    probe.write_text(PROBE.replace("WIDTH", str(width)))
    shown = browse("--window-size=1400,1000", *flags, "--dump-dom", probe.as_uri())
    match = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert match is not None, shown[-2000:]
    found = match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    document = json.loads(found)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_draws_time_to_scale(tmp_path: Path, width: int) -> None:
    """Nothing lies beyond the edge, with a word of 300 letters too; a second is a second wide."""
    seen = look(tmp_path, make_trouble(), width)

    assert (seen["width"], seen["scroll"], seen["beyond"]) == (width, width, [])
    left, right = seen["chart"]
    second = (right - left) / (5.0 * 1.06)
    bars = {bar["kind"].removeprefix("bar "): bar for bar in seen["bars"]}
    assert set(bars) == {
        "reading done",
        "leg done",
        "leg refused",
        "leg unknown",
        "close done",
        "close refused",
        "close open",
    }
    for kind, began_s, ended_s in (
        ("leg done", 1, 3),
        ("close done", 1, 2),
        ("close open", 1, 4),
        ("reading done", 0, 0.5),
    ):
        assert abs(bars[kind]["left"] - left - began_s * second) < 2, kind
        assert abs(bars[kind]["right"] - left - ended_s * second) < 2, kind
    assert all(abs(at - left - 5 * second) < 2 for at in seen["deadlines"])
    assert len(seen["deadlines"]) == 4


def test_failures_show_without_colour(tmp_path: Path) -> None:
    """By a pattern in the bar and by a sign in the text."""
    seen = look(tmp_path, make_trouble("closed for trading"), 1280)
    fills = {bar["kind"]: bar["fill"] for bar in seen["bars"]}

    assert "hatch" in fills["bar leg refused"]
    assert "dots" in fills["bar leg unknown"]
    assert "url" not in fills["bar leg done"]
    for words in (
        "✓ LONG 1 closed",
        "✗ SHORT not closed: closed for trading (code -4141)",
        "? SHORT unknown whether closed",
        "deadline 5 s",
        "1 of 3 positions proven closed",
        "the symbol is closed for trading",
        "not read, because no key is at hand",
        "Root cause",
    ):
        assert words in seen["text"], words


def test_hostile_words_run_and_load_nothing(tmp_path: Path) -> None:
    """They are shown as they were recorded; the policy would stop them even unescaped."""
    page = render_page(make_trouble())
    seen = look(tmp_path, make_trouble(), 390)

    assert seen["title"].startswith("Incident liq_")
    assert (seen["scripts"], seen["images"]) == (0, 0)
    assert "<script>document.title" in seen["text"]
    assert "\\x1b[2J\\u202e" in seen["text"]
    assert not re.search(r"""(src|href)=["']|@import|https?://""", page)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;; style-src &#39;sha256-")


def test_the_policy_stops_what_would_get_through(tmp_path: Path) -> None:
    """The second line of defence is there: tried by putting a script and a style in."""
    page = render_page(make_trouble())
    broken = page.replace(
        "</body>", "<script>document.title='taken'</script><style>body{color:red}</style></body>"
    )
    (tmp_path / "page.html").write_text(broken)
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("WIDTH", "800"))

    shown = browse("--dump-dom", probe.as_uri())
    assert escape('"title":"Incident liq_', quote=False) in shown
    assert '"ink":"rgb(255, 0, 0)"' not in shown


def test_light_and_dark_are_readable(tmp_path: Path) -> None:
    """Contrast of at least 7 to 1 between ink and paper, whichever the reader prefers."""
    papers = set()
    for scheme in ("0", "1"):
        seen = look(
            tmp_path, make_trouble(), 1280, f"--blink-settings=preferredColorScheme={scheme}"
        )
        papers.add(seen["paper"])
        assert contrast(seen["ink"], seen["paper"]) >= 7

    assert len(papers) == 2


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2 defines it."""
    lights = sorted(luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_prints_on_paper(tmp_path: Path) -> None:
    """The report ends up in a folder."""
    page = tmp_path / "page.html"
    page.write_text(render_page(make_trouble("short")))
    paper = tmp_path / "page.pdf"
    browse("--no-pdf-header-footer", f"--print-to-pdf={paper}", page.as_uri())

    printed = paper.read_bytes()
    assert printed.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 3
