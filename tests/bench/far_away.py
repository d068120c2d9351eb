"""liqctl, its early and spare connections, and rivals, over TLS on a line that delays everything.

    sudo .venv/bin/python -m tests.bench.far_away

The benchmark's venue delays requests only, and loopback shakes hands at once. Here the program and
the venue live in two network namespaces of their own, joined by a line that holds every packet
back, handshakes too. Needs root, iproute2 and /dev/net/tun; touches no other network.
"""

import ctypes
import fcntl
import heapq
import json
import multiprocessing
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.bench.runs import ROOT, command_of, keep_settings, our_environ, rival_environ, spawn

RUNS: Final = 15
DELAY_S: Final = 0.03
"""One way: a round trip takes 60 ms."""

NEAR: Final = "liqctl-near"
FAR: Final = "liqctl-far"
_ADDRESSES: Final = {NEAR: "10.9.0.1", FAR: "10.9.0.2"}
_RIVALS: Final = ("ccxt tuned", "bare aiohttp")
_WAYS: Final = {
    "liqctl": "",
    "liqctl, none begun early": (
        "from functools import partialmethod\n"
        "from liqctl.venue.startup import EarlyConnections as Early\n"
        "Early.__init__ = partialmethod(lambda self, make, *to, count: make(self, *to, count=0), "
        "Early.__init__)"
    ),
    "liqctl, no spare ones": "from liqctl.kernel import pacing; pacing.WARM_CONNECTIONS = 0",
}
_VENUE: Final = (
    "import asyncio, tests.bench.venue as venue; "
    f"venue.LOOPBACK = '{_ADDRESSES[FAR]}'; asyncio.run(venue.main())"
)
_NEW_NETWORK: Final = 0x40000000
_MAKE_TUN: Final = 0x400454CA
_PLAIN_TUN: Final = 0x1001
_PACKET_MAX: Final = 65536


def _open_line(namespace: str) -> int:
    """Return a descriptor of packets that leave and enter a namespace."""
    place = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(place, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "the namespace cannot be entered")
    os.close(place)
    line = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(line, _MAKE_TUN, struct.pack("16sH", b"line", _PLAIN_TUN))
    return line


def _carry(ready: Any) -> None:
    """Pass packets on, late, until killed."""
    lines = [_open_line(namespace) for namespace in (NEAR, FAR)]
    across = dict(zip(lines, reversed(lines), strict=True))
    ready.set()
    under_way: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        wait_s = max(under_way[0][0] - time.monotonic(), 0.0) if under_way else None
        for line in select.select(lines, [], [], wait_s)[0]:
            with suppress(BlockingIOError):
                while packet := os.read(line, _PACKET_MAX):
                    number += 1
                    due_at = time.monotonic() + DELAY_S
                    heapq.heappush(under_way, (due_at, number, across[line], packet))
        while under_way and under_way[0][0] <= time.monotonic():
            *_, line, packet = heapq.heappop(under_way)
            with suppress(OSError):
                os.write(line, packet)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def far_away() -> Iterator[None]:
    """Have two namespaces with a slow line between them while the block runs."""
    ready = multiprocessing.Event()
    carrier = multiprocessing.Process(target=_carry, args=(ready,), daemon=True)
    made: list[str] = []
    try:
        for namespace in _ADDRESSES:
            _ip("netns", "add", namespace)
            made.append(namespace)
        carrier.start()
        assert ready.wait(10)
        for namespace, address in _ADDRESSES.items():
            _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "line")
            _ip("-n", namespace, "link", "set", "line", "up")
        yield
    finally:
        if carrier.pid:
            carrier.kill()
            carrier.join()
        for namespace in made:
            _ip("netns", "del", namespace)


class Venue:
    """The benchmark's venue at the far end."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        self.authority = folder / "authority.pem"
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", FAR, sys.executable, "-c", _VENUE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send one order and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def end(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def run_once(venue: Venue, symbols: int, tool: str) -> tuple[float, float]:
    """Return seconds from the spawn to the first signed request and to flat."""
    place = venue.ask(act="open", symbols=symbols, latency_ms=0, tls=True, faults=())
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryFile() as stream:
        environ = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(ROOT)}
        environ["XDG_STATE_HOME"] = home
        if tool in _RIVALS:
            command = command_of(tool)
            environ |= rival_environ(place, authority=venue.authority)
        else:
            code = f"{_WAYS[tool]}\nfrom liqctl.cli.app import main\nmain()"
            command = [sys.executable, "-c", code, "liquidate", "--env", "testnet", "--yes"]
            environ |= our_environ(place, authority=venue.authority)
            keep_settings("testnet", environ, home)
        ended = spawn(["ip", "netns", "exec", NEAR, *command], environ, home, stream)
        stream.seek(0)
        assert ended.code == 0, (tool, ended, stream.read()[-2000:])
    seen = venue.ask(act="close")
    return seen["first_signed_at"] - ended.began_at, seen["flat_at"] - ended.began_at


def main() -> None:
    """Measure all ways, interleaved, and print a table."""
    if os.geteuid() != 0 or shutil.which("ip") is None or not Path("/dev/net/tun").exists():
        sys.exit("needs root, iproute2 and /dev/net/tun, to make networks of its own")
    print("| symbols | tool | first request | flat |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, far_away():
        venue = Venue(Path(folder))
        for symbols in (1, 5, 60):
            seconds: dict[str, list[tuple[float, float]]] = {t: [] for t in (*_WAYS, *_RIVALS)}
            for _ in range(RUNS):
                for tool, measured in seconds.items():
                    measured.append(run_once(venue, symbols, tool))
            for tool, measured in seconds.items():
                first, flat = (median(each) for each in zip(*measured, strict=True))
                print(f"| {symbols} | {tool} | {first:.3f} s | {flat:.3f} s |")
        venue.end()


if __name__ == "__main__":
    main()
