"""Spare connections against none, over TLS through a line that delays handshakes too.

    python -m tests.bench.warm_up

The benchmark's venue delays requests only; here a relay holds every byte back for half a round
trip, so that a connection opened when a close is due costs its handshake. Prints the time from the
first signed request to the last position closed and to the last order gone, liqctl as installed.
"""

import asyncio
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

from tests.bench.runs import Setting, Venues, environ_of, open_venues, spawn

RUNS: Final = 9
TRIP_S: Final = 0.06
WAYS: Final = (6, 0)
_CODE: Final = (
    "import sys; from liqctl.engine import opening; "
    "opening.WARM_CONNECTIONS = int(sys.argv.pop()); "
    "from liqctl.cli.app import main; main()"
)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on, in order, half a round trip late."""
    loop = asyncio.get_running_loop()
    while block := await reader.read(65536):
        loop.call_later(TRIP_S / 2, writer.write, block)
    loop.call_later(TRIP_S / 2, writer.close)


async def _relay(venue_port: int, ports: "list[int]", ready: threading.Event) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", venue_port)
        await asyncio.gather(
            _carry(reader, far_writer), _carry(far_reader, writer), return_exceptions=True
        )

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    ports.append(server.sockets[0].getsockname()[1])
    ready.set()
    await server.serve_forever()


@contextmanager
def far_away(venue_port: int) -> Iterator[int]:
    """Yield the port of a relay to the venue."""
    ports: list[int] = []
    ready = threading.Event()
    threading.Thread(
        target=lambda: asyncio.run(_relay(venue_port, ports, ready)), daemon=True
    ).start()
    assert ready.wait(10)
    yield ports[0]


def run_once(venues: Venues, symbols: int, spares: int) -> tuple[float, float]:
    """Return seconds from the first signed request to closed and to flat."""
    place = venues.ask(act="open", symbols=symbols, latency_ms=0, tls=True, faults=())
    setting = Setting(symbols=symbols, latency_ms=0, tls=True)
    port = int(place["url"].rpartition(":")[2])
    with tempfile.TemporaryDirectory(dir=venues.folder) as home, far_away(port) as relayed:
        place["url"] = place["url"].replace(str(port), str(relayed))
        environ = environ_of("liqctl", place, venues, setting, home)
        command = [sys.executable, "-c", _CODE, "liquidate", "--env", "simulator", str(spares)]
        with tempfile.TemporaryFile() as stream:
            ended = spawn(command, environ, home, stream)
        assert ended.code == 0
    seen = venues.ask(act="close")
    began = float(seen["first_signed_at"])
    return float(seen["closed_at"]) - began, float(seen["flat_at"]) - began


def main() -> None:
    """Measure both ways, interleaved."""
    with open_venues() as venues:
        for symbols in (1, 5, 60):
            seconds: dict[int, list[tuple[float, float]]] = {spares: [] for spares in WAYS}
            for _ in range(RUNS):
                for spares in WAYS:
                    seconds[spares].append(run_once(venues, symbols, spares))
            for spares in WAYS:
                closed, flat = (median(each) for each in zip(*seconds[spares], strict=True))
                sys.stdout.write(
                    f"{symbols} symbols, {spares} spare connections: closed {closed:.3f} s, "
                    f"flat {flat:.3f} s\n"
                )


if __name__ == "__main__":
    main()
