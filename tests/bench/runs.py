"""One measured run: a process from its spawn to its end, and what the venue saw of it.

The parent is kept small and imports nothing heavy: Linux counts the parent's size at the moment of
the spawn into the child's peak memory.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
RIVAL_PYTHON: Final = ROOT / ".venv-bench/bin/python"
LIQCTL: Final = Path(os.environ.get("BENCH_LIQCTL", str(ROOT / ".venv/bin/liqctl")))
RUN_MAX_S: Final = 120.0

SCRIPTS: Final[dict[str, tuple[str, ...]]] = {
    "ccxt naive": ("rival_ccxt.py", "naive"),
    "ccxt tuned": ("rival_ccxt.py", "tuned"),
    "python-binance": ("rival_python_binance.py",),
    "bare aiohttp": ("rival_aiohttp.py",),
}
"""The rivals; everything else that can be run is liqctl."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run is asked to do, and how far away the venue is."""

    symbols: int
    latency_ms: int
    tls: bool = False
    faults: tuple[dict[str, Any], ...] = ()
    spot: bool = False
    """Whether rivals make the spot calls of their libraries' defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run. Moments are seconds since the spawn, 0 for what never happened."""

    tool: str
    code: int
    signed_s: float
    closed_s: float
    flat_s: float
    gone_s: float
    cpu_s: float
    memory_mb: float
    requests: int
    kinds: dict[str, int]
    positions_left: int
    orders_left: int
    wrong_fills: int
    said: str


class Venues:
    """The other process, where each run finds a fresh account."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        """Speak to a venue process over its pipes."""
        self._process = process
        self.authority = folder / "authority.pem"
        self.folder = folder

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send one order and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the venue's process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def open_venues() -> Iterator[Venues]:
    """Yield the venue's process; it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="liqctl-bench-") as name:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.venue", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        try:
            yield Venues(process, Path(name))
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(10)


def measure(tool: str, venues: Venues, setting: Setting) -> Measured:
    """Run a tool once against a fresh account."""
    place = venues.ask(
        act="open",
        symbols=setting.symbols,
        latency_ms=setting.latency_ms,
        tls=setting.tls,
        faults=setting.faults,
    )
    with tempfile.TemporaryDirectory(dir=venues.folder) as home:
        output = Path(home, "output")
        environ = environ_of(tool, place, venues, setting, home)
        if tool not in SCRIPTS:
            keep_settings("simulator", environ, home)
        with output.open("wb") as stream:
            ended = spawn(command_of(tool), environ, home, stream)
        said = output.read_text(errors="replace")[-4000:]
    seen = venues.ask(act="close")

    def since_spawn(name: str) -> float:
        return float(seen[name]) - ended.began_at if seen[name] else 0.0

    return Measured(
        tool=tool,
        code=ended.code,
        signed_s=since_spawn("first_signed_at"),
        closed_s=since_spawn("closed_at"),
        flat_s=since_spawn("flat_at"),
        gone_s=ended.seconds,
        cpu_s=ended.cpu_s,
        memory_mb=ended.memory_mb,
        requests=seen["requests"],
        kinds=seen["kinds"],
        positions_left=seen["positions_left"],
        orders_left=seen["orders_left"],
        wrong_fills=seen["wrong_fills"],
        said=said,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A process that is gone, and what the kernel counted for it."""

    code: int
    began_at: float
    seconds: float
    cpu_s: float
    memory_mb: float


def spawn(command: list[str], environ: dict[str, str], folder: str, stream: Any) -> Ended:
    """Run a command to its end; killed after `RUN_MAX_S`."""
    began_at = time.time()
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stream,
        stderr=stream,
    )
    patience = threading.Timer(RUN_MAX_S, process.kill)
    patience.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    patience.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(
        code=process.returncode,
        began_at=began_at,
        seconds=seconds,
        cpu_s=usage.ru_utime + usage.ru_stime,
        memory_mb=usage.ru_maxrss / 1024,
    )


def command_of(tool: str) -> list[str]:
    """Return the command line of a tool."""
    script = SCRIPTS.get(tool)
    if script is None:
        return [str(LIQCTL), "liquidate", "--env", "simulator"]
    return [str(RIVAL_PYTHON), str(Path(__file__).with_name(script[0])), *script[1:]]


def environ_of(
    tool: str, place: dict[str, Any], venues: Venues, setting: Setting, home: str
) -> dict[str, str]:
    """Return a clean environment: no switch of the caller's makes one of them slower."""
    environ = {"PATH": os.environ.get("PATH", ""), "HOME": home, "LANG": "C.UTF-8"}
    environ["XDG_STATE_HOME"] = home
    authority = venues.authority if setting.tls else None
    if tool not in SCRIPTS:
        return environ | our_environ(place, authority=authority)
    return environ | rival_environ(place, authority=authority, spot=setting.spot)


def our_environ(place: dict[str, Any], *, authority: Path | None) -> dict[str, str]:
    """Return the variables that lead liqctl to a venue."""
    environ = {
        "LIQCTL_EXCHANGE__BASE_URL": place["url"],
        "LIQCTL_API_KEY": place["key"],
        "LIQCTL_API_SECRET": place["secret"],
    }
    return environ | ({"SSL_CERT_FILE": str(authority)} if authority else {})


def keep_settings(environment: str, environ: dict[str, str], folder: str) -> None:
    """Let `liqctl validate` read the settings once, as runbooks do before the emergency.

    It keeps them, so that what is measured is a `liquidate` of settings that were seen before.
    """
    subprocess.run(
        [str(LIQCTL), "validate", "--env", environment],
        check=False,
        env=environ,
        cwd=folder,
        capture_output=True,
        timeout=RUN_MAX_S,
    )


def rival_environ(
    place: dict[str, Any], *, authority: Path | None, spot: bool = False
) -> dict[str, str]:
    """Return the variables that lead a rival to a venue."""
    environ = {
        "BENCH_URL": place["url"],
        "BENCH_KEY": place["key"],
        "BENCH_SECRET": place["secret"],
    }
    if spot:
        environ["BENCH_SPOT"] = "1"
    return environ | ({"BENCH_AUTHORITY": str(authority)} if authority else {})
