"""An armed process for as long as asked, in real time: `python -m tests.armed_soak MINUTES`.

The program runs beside a venue whose streams are cut, silenced and garbled while bots trade. Each
minute shows what the process is made of; at the end a signal trips it, and the account must be
flat. 1 when something grew or it did not close.
"""

import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from liqctl.sim.events import make_event
from tests.process.armed import ArmedProcess, armed
from tests.process.program import Program, program

MINUTE_S = 60.0
STREAM_FAULTS = ("stream_cut", "stream_silent", "stream_malformed", "stream_twice", "stream_late")
GROWTH_MAX_KB = 4096
"""How much the process may grow after its second minute: caches fill, and hours count, not this."""


def figures(post: ArmedProcess) -> dict[str, int]:
    """Return the process' memory in kB, its descriptors and threads."""
    folder = Path(f"/proc/{post.process.pid}")
    rows = (line.split() for line in (folder / "status").read_text().splitlines())
    status = {row[0]: row[1] for row in rows if len(row) > 1}
    return {
        "rss_kb": int(status["VmRSS:"]),
        "descriptors": sum(1 for _ in (folder / "fd").iterdir()),
        "threads": int(status["Threads:"]),
    }


def disturb(running: Program, rng: random.Random) -> None:
    """Let one thing go wrong in a stream, or a bot trade."""
    venue = running.server.venue
    now_ms = time.time_ns() // 1_000_000
    if rng.random() < 0.4:
        venue.add_fault(rng.choice(STREAM_FAULTS), times=rng.choice([1, 2]))
        return
    act = rng.choice(["add", "flip", "cut_streams", "expire_listen_keys", "lie", "place"])
    entry = {"act": act, "symbol": "BTCUSDT", "quantity": "0.1", "side": "SELL", "price": "70000"}
    venue.happen(make_event(entry), now_ms)


def main(minutes: float) -> int:
    """Run for so many minutes and print the figures."""
    rng = random.Random(1)
    samples: list[dict[str, int]] = []
    with tempfile.TemporaryDirectory() as name, program(Path(name)) as running:
        running.more["arm"] = {"hold_seconds": 0.0, "countdown_seconds": 60.0}
        with armed(running) as post:
            post.wait_for("armed")
            began = time.monotonic()
            while time.monotonic() - began < minutes * MINUTE_S:
                until = began + (len(samples) + 1) * MINUTE_S
                while time.monotonic() < min(until, began + minutes * MINUTE_S):
                    time.sleep(rng.uniform(1, 4))
                    disturb(running, rng)
                    if post.process.poll() is not None:
                        print(f"it ended by itself: {post.errors}")
                        return 1
                samples.append(figures(post))
                told = len(post.read())
                requests = len(running.server.venue.account.journal.requests)
                print(f"minute {len(samples)}: {samples[-1]}, {requests} requests, {told} lines")
            post.signal(signal.SIGUSR1)
            code = post.ended()
            print(f"tripped: exit {code}, flat {running.is_flat}, stderr {post.errors!r}")
            later = samples[1:] or samples
            grown_kb = later[-1]["rss_kb"] - later[0]["rss_kb"]
            is_flat = running.is_flat and code == 0
            is_small = grown_kb <= GROWTH_MAX_KB
            leaks = later[-1]["descriptors"] > later[0]["descriptors"] + 4
            print(f"grown by {grown_kb} kB since minute 2; descriptors leak: {leaks}")
            return int(not (is_flat and is_small) or leaks)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 8.0))
