"""What the live view costs: time to flat with it, without it, and with it from the first moment.

    python -m tests.bench.live_view

Every run has a terminal that is read. Ways are interleaved, and told as ratios of the medians to
the runs without a view. As shipped a view begins 0.4 s into a run: fast runs pay for nothing.
"""

import os
import pty
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from tests.bench.runs import Setting, Venues, environ_of, keep_settings, open_venues, spawn

RUNS: Final = 11
WAYS: Final = {"none": 1e9, "as shipped": 0.4, "from the start": 0.0}
SETTINGS: Final = ((5, 60), (60, 60), (5, 300), (60, 300), (200, 300))
"""Symbols, and milliseconds a request."""

_CODE: Final = (
    "import sys; from liqctl.cli import live; live.FIRST_FRAME_S = float(sys.argv.pop()); "
    "from liqctl.cli.app import main; main()"
)


@contextmanager
def read_terminal() -> Iterator[int]:
    """Yield the program's side of a terminal of 80x24 whose other side is read."""
    ours, theirs = pty.openpty()
    thread = threading.Thread(target=_drain, args=(ours,), daemon=True)
    thread.start()
    yield theirs
    os.close(theirs)
    thread.join(10)
    os.close(ours)


def _drain(ours: int) -> None:
    try:
        while os.read(ours, 65536):
            pass
    except OSError:  # the program's side is closed
        return


def run_once(venues: Venues, symbols: int, latency_ms: int, first_frame_s: float) -> float:
    """Return seconds from the first signed request to flat."""
    place = venues.ask(act="open", symbols=symbols, latency_ms=latency_ms, tls=False, faults=())
    setting = Setting(symbols=symbols, latency_ms=latency_ms)
    with tempfile.TemporaryDirectory(dir=venues.folder) as home, read_terminal() as terminal:
        environ = environ_of("liqctl", place, venues, setting, home) | {"TERM": "xterm"}
        environ["LIQCTL_LIQUIDATION__TIMEOUT_SECONDS"] = "20"
        keep_settings("simulator", environ, home)
        words = ["liquidate", "--env", "simulator", str(first_frame_s)]
        ended = spawn([sys.executable, "-c", _CODE, *words], environ, home, terminal)
        assert ended.code == 0
    seen = venues.ask(act="close")
    return float(seen["flat_at"]) - float(seen["first_signed_at"])


def main() -> None:
    """Measure all ways, interleaved."""
    with open_venues() as venues:
        for symbols, latency_ms in SETTINGS:
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(RUNS):
                for way, first_frame_s in WAYS.items():
                    seconds[way].append(run_once(venues, symbols, latency_ms, first_frame_s))
            without = median(seconds["none"])
            told = ", ".join(
                f"{way} {median(each):.3f} s ({median(each) / without:.2f})"
                for way, each in seconds.items()
            )
            print(f"{symbols} symbols, {latency_ms} ms: {told}", flush=True)


if __name__ == "__main__":
    main()
