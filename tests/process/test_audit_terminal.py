"""`liqctl audit` on a real terminal: tmux draws it, as an operator's window does."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import liqctl
from liqctl.sim.scenario import load_scenario
from liqctl.trail.writer import AuditLogger
from tests.process.program import program

PATIENCE_S = 40.0
RUN = "liq_20260102_103000_abc123"

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@dataclass(frozen=True, slots=True)
class Window:
    """One tmux window of a server of its own."""

    socket: Path
    columns: int

    def tmux(self, *arguments: str) -> str:
        """Run a tmux command."""
        ended = subprocess.run(
            ["tmux", "-f", "/dev/null", "-S", str(self.socket), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return ended.stdout

    def open(self, words: str) -> None:
        """Open the window with a command; it stays when the command has ended."""
        size = ("-x", str(self.columns), "-y", "60")
        script = f"{words}; echo '[ended]'; exec cat"
        self.tmux("new-session", "-d", *size, script)

    def wait_for(self, words: str) -> str:
        """Return what the window shows, with colours, once it shows the words."""
        until = time.monotonic() + PATIENCE_S
        while words not in (shown := self.tmux("capture-pane", "-p", "-e", "-S", "-")):
            assert time.monotonic() < until, shown
            time.sleep(0.05)
        return shown


@pytest.fixture(params=[80, 200])
def window(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Window]:
    """A window of 80 or 200 columns."""
    made = Window(tmp_path / "tmux", request.param)
    yield made
    made.tmux("kill-server")


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """The trail of a real run in which one symbol could not be closed."""
    with program(tmp_path, load_scenario("closed_symbol"), timeout_s=2.0) as running:
        running.run("liquidate", "--json", "--correlation-id", RUN, "--reason", "drill")
        return running.trail


def command(*arguments: object) -> str:
    """Return the command line for a shell."""
    home = Path(liqctl.__file__).parent.parent
    words = " ".join(map(str, arguments))
    return f"env -u NO_COLOR PYTHONPATH={home} {sys.executable} -m liqctl audit {words}"


def plain(shown: str) -> list[str]:
    """Return the lines without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()


def test_tail_is_aligned_and_coloured_and_goes_on(window: Window, trail: Path) -> None:
    """Failures in red, events in a column of their own; a new line appears by itself."""
    window.open(command("tail", "-f", "-n", "0", "--log", trail))
    shown = window.wait_for("LIQUIDATION_PARTIAL")
    AuditLogger(trail.parent).log_event(event_type="VERIFIED", correlation_id="x", details={})
    later = window.wait_for("VERIFIED")

    lines = [line for line in plain(shown) if re.match(r"[0-9T:.-]+Z?  ", line)]
    columns = {re.search(r"(ORDER|LIQUIDATION|SNAPSHOT|POSITION)_", line) for line in lines}
    assert len({match.start() for match in columns if match}) == 1
    assert "\x1b[31mORDER_REJECTED" in shown
    assert "\x1b[32mVERIFIED" in later
    assert "ETHUSDT" in shown


def test_show_reads_as_a_story_at_any_width(window: Window, trail: Path) -> None:
    """Who, why, each symbol with its end, what was sent and answered after how long."""
    window.open(command("show", RUN, "--log", trail))
    shown = window.wait_for("[ended]")

    lines = plain(shown)
    text = " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= window.columns
    assert f"Run {RUN} in simulator, " in text
    assert "Reason: drill" in text
    assert re.search(r"\bETHUSDT closed: 1 order sent, ", text)
    assert re.search(r"BTCUSDT NOT CLOSED: \d orders? sent, ", text)
    assert re.search(r"ORDER_SENT +SELL 0\.\d+ MARKET, reduce only", text)
    assert re.search(r"ORDER_PLACED +FILLED, [0-9.]+ of [0-9.]+, after [0-9.]+ m?s", text)
    assert "(code -4141)" in text
    assert "\x1b[31mPOSITION_FAILED" in shown
    assert "\x1b[31mLIQUIDATION_PARTIAL" in shown


def test_verify_says_intact_in_green_and_broken_in_red(window: Window, trail: Path) -> None:
    """The verdict is the first thing seen."""
    check = command("verify", "--log", trail)
    window.open(f"{check}; sed -i 's/SELL/BUY/' {trail}; {check}")
    intact, _, broken = window.wait_for("[ended]").partition("head ")

    assert "\x1b[32mintact" in intact
    assert "\x1b[31mBROKEN" in broken
    assert "prev_hash does not fit" in " ".join(plain(broken))
