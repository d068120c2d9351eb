"""From a trigger to closed and flat: the armed switch against cold ones, and what a handover gains.

    python -m tests.bench.armed [RUNS]             loopback, 60 ms a request
    sudo python -m tests.bench.armed [RUNS] line   a line that delays handshakes too (see far_away)

Cold ones count from their spawn, the armed one from the signal, a handover from the spawn of the
`liquidate` that hands over. `first` is until the first write leaves the process.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tests.bench.far_away import DELAY_S, NEAR, Venue, far_away
from tests.bench.runs import (
    LIQCTL,
    Setting,
    command_of,
    keep_settings,
    open_venues,
    our_environ,
    rival_environ,
    spawn,
)

_LATENCY_MS: Final = 60
_RUNS: Final = 7
_SYMBOLS: Final = (5, 60)
_TOOLS: Final = ("armed", "handed over", "cold", "bare aiohttp", "ccxt tuned")
_SETTLES_S: Final = 3.0


class Moments(NamedTuple):
    """Seconds from the trigger or the spawn."""

    first: float
    closed: float
    flat: float


class Bench:
    """One line: where the venue is, and how a process is started beside it."""

    def __init__(
        self, ask: Callable[..., dict[str, Any]], authority: Path, *, is_line: bool
    ) -> None:
        self._ask = ask
        self._authority = authority
        self._is_line = is_line
        self._prefix = ["ip", "netns", "exec", NEAR] if is_line else []

    def measure(self, tool: str, symbols: int) -> Moments:
        """Run a tool once against a fresh account."""
        setting = Setting(symbols=symbols, latency_ms=0 if self._is_line else _LATENCY_MS, tls=True)
        place = self._ask(
            act="open", symbols=symbols, latency_ms=setting.latency_ms, tls=True, faults=()
        )
        with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as stream:
            environ = {"PATH": os.environ["PATH"], "HOME": home, "XDG_STATE_HOME": home}
            if tool in {"bare aiohttp", "ccxt tuned"}:
                environ |= rival_environ(place, authority=self._authority)
                began_at = spawn([*self._prefix, *command_of(tool)], environ, home, stream).began_at
            else:
                environ |= our_environ(place, authority=self._authority)
                keep_settings("testnet", environ, home)
                began_at = self._run_ours(tool, environ, home, stream)
        seen = self._ask(act="close")
        late = DELAY_S if self._is_line else 0.0  # the way to the venue
        return Moments(
            seen["first_write_at"] - began_at - late,
            seen["closed_at"] - began_at,
            seen["flat_at"] - began_at,
        )

    def _run_ours(self, tool: str, environ: dict[str, str], home: str, stream: Any) -> float:
        liquidate = [*self._prefix, str(LIQCTL), "liquidate", "--env", "testnet", "--yes"]
        if tool == "cold":
            return spawn(liquidate, environ, home, stream).began_at
        with subprocess.Popen(
            [*self._prefix, str(LIQCTL), "arm", "--env", "testnet", "--yes"],
            env={**environ, "LIQCTL_ARM__HOLD_SECONDS": "0"},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        ) as post:
            assert post.stdout is not None
            post.stdout.readline()
            time.sleep(_SETTLES_S)  # readings, streams and spare connections
            if tool == "armed":
                began_at = time.time()
                post.send_signal(signal.SIGUSR1)
            else:
                began_at = spawn(liquidate, environ, home, stream).began_at
            post.stdout.read()
            return began_at


def main() -> None:
    """Measure every tool, interleaved, and print medians and ratios to bare aiohttp."""
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    runs = numbers[0] if numbers else _RUNS
    is_line = "line" in sys.argv
    with (
        tempfile.TemporaryDirectory() as folder,
        far_away() if is_line else nullcontext(),
        nullcontext(None) if is_line else open_venues() as near,
    ):
        far = Venue(Path(folder)) if is_line else None
        where = far or near
        assert where is not None
        bench = Bench(where.ask, where.authority, is_line=is_line)
        print("| symbols | tool | first | closed | flat | closed x | flat x |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for symbols in _SYMBOLS:
            seen: dict[str, list[Moments]] = {tool: [] for tool in _TOOLS}
            for _ in range(runs):
                for tool, measured in seen.items():
                    measured.append(bench.measure(tool, symbols))
            middle = {
                tool: Moments(*(median(each) for each in zip(*measured, strict=True)))
                for tool, measured in seen.items()
            }
            bare = middle["bare aiohttp"]
            for tool, its in middle.items():
                print(
                    f"| {symbols} | {tool} | {its.first * 1000:.0f} ms | {its.closed:.3f} s | "
                    f"{its.flat:.3f} s | {its.closed / bare.closed:.2f} | "
                    f"{its.flat / bare.flat:.2f} |"
                )
        if far is not None:
            far.end()


if __name__ == "__main__":
    main()
