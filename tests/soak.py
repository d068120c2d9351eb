"""As many seeded runs as asked: `make soak SEEDS=20000`. Prints what ended how, and every break."""

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation import run_seed

CHUNK = 250


def run_chunk(first: int) -> tuple[Counter[str], Counter[str], float, dict[int, list[str]]]:
    """Run a chunk of seeds; return ends, faults, worst overshoot and what broke."""
    ends: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    worst_s = float("-inf")
    broken = {}
    for seed in range(first, first + CHUNK):
        outcome = run_seed(seed)
        ends[outcome.result.state] += 1
        faults += outcome.faults
        worst_s = max(worst_s, outcome.overshoot_s)
        if outcome.broken:
            broken[seed] = outcome.broken
    return ends, faults, worst_s, broken


def main(count: int) -> int:
    """Run `count` seeds from 0 and print the figures; 1 when a rule was broken."""
    began_at = time.monotonic()
    ends: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    worst_s = float("-inf")
    broken: dict[int, list[str]] = {}
    with ProcessPoolExecutor() as pool:
        for part in pool.map(run_chunk, range(0, count, CHUNK)):
            ends += part[0]
            faults += part[1]
            worst_s = max(worst_s, part[2])
            broken |= part[3]
    took_s = time.monotonic() - began_at
    runs = sum(ends.values())
    print(f"{runs} runs in {took_s:.0f} s: {', '.join(f'{n} {k}' for k, n in ends.most_common())}")
    print(f"{sum(faults.values())} faults of {len(faults)} kinds:")
    for kind, number in faults.most_common():
        print(f"  {number:7d} {kind}")
    print(f"worst overshoot of the deadline: {worst_s:+.3f} s of virtual time")
    for seed, rules in broken.items():
        print(f"BROKEN {seed}: {'; '.join(rules)}   replay: python -m tests.simulation {seed}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
