"""As many seeded runs as asked: `make soak SEEDS=20000 FIRST=0`. Prints ends, faults, breaks.

`make soak SEEDS=5000 KIND=armed` runs armed processes that trip (`tests.armed`).

What others opened too late for any list is counted apart, and so is every run that said somebody
trades while nobody did.
"""

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests import armed
from tests.simulation import HOUSES, run_seed

CHUNK = 250
FALSE_ALARMS_MAX = 0.01
"""The share of runs that may cry wolf before the soak fails."""


@dataclass(slots=True)
class Tally:
    """What many runs came to."""

    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    false_alarms: list[int] = field(default_factory=list)
    worst_s: float = float("-inf")
    broken: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Take in another part of the seeds."""
        self.ends += other.ends
        self.faults += other.faults
        self.excused += other.excused
        self.false_alarms += other.false_alarms
        self.worst_s = max(self.worst_s, other.worst_s)
        self.broken |= other.broken


def run_chunk(first: int, count: int, *, is_enough: bool = False) -> Tally:
    """Run some seeds; with `is_enough` only until a rule is broken."""
    tally = Tally()
    for seed in range(first, first + count):
        outcome = run_seed(seed)
        tally.ends[outcome.end] += 1
        tally.faults += outcome.faults
        if outcome.excused:
            tally.excused["runs"] += 1
            stops = sum("was cancelled" in text for text in outcome.excused)
            tally.excused["stops"] += stops
            tally.excused["left open"] += len(outcome.excused) - stops
        if outcome.false_alarm:
            tally.false_alarms.append(seed)
        tally.worst_s = max(tally.worst_s, outcome.overshoot_s)
        if outcome.broken:
            tally.broken[seed] = outcome.broken
            if is_enough:
                break
    return tally


def run_armed_chunk(first: int, count: int) -> Tally:
    """Run some seeds of armed processes; every second one draws the kind of account, too."""
    tally = Tally()
    for seed in range(first, first + count):
        outcome = armed.run_seed(seed + HOUSES if seed % 2 else seed)
        tally.ends[outcome.end] += 1
        tally.faults += outcome.faults
        if outcome.broken:
            tally.broken[outcome.seed] = outcome.broken
    return tally


def main(count: int, first: int, kind: str = "runs") -> int:
    """Run `count` seeds and print the figures; 1 when a rule was broken or alarms were false."""
    run, module = (run_chunk, "simulation") if kind == "runs" else (run_armed_chunk, "armed")
    began_at, tally = time.monotonic(), Tally()
    with ProcessPoolExecutor() as pool:
        starts = range(first, first + count, CHUNK)
        counts = [min(CHUNK, first + count - start) for start in starts]
        for part in pool.map(run, starts, counts):
            tally.add(part)
    took_s = time.monotonic() - began_at
    ends = ", ".join(f"{number} {end}" for end, number in tally.ends.most_common())
    print(f"{count} runs in {took_s:.0f} s: {ends}")
    print(f"{sum(tally.faults.values())} faults of {len(tally.faults)} kinds:")
    for fault, number in tally.faults.most_common():
        print(f"  {number:7d} {fault}")
    excused = ", ".join(f"{number} {what}" for what, number in tally.excused.items()) or "nothing"
    print(f"opened by others too late to be seen, excused: {excused}")
    false_share = len(tally.false_alarms) / count
    shown = ", ".join(map(str, tally.false_alarms[:10]))
    print(f"false alarms of others trading: {false_share:.2%} of the runs ({shown})")
    print(f"worst overshoot of the deadline: {tally.worst_s:+.3f} s of virtual time")
    for seed, rules in tally.broken.items():
        print(f"BROKEN {seed}: {'; '.join(rules)}   replay: python -m tests.{module} {seed}")
    return int(bool(tally.broken) or false_share >= FALSE_ALARMS_MAX)


if __name__ == "__main__":
    given = [*sys.argv[1:], *["20000", "0", "runs"][len(sys.argv) - 1 :]]
    sys.exit(main(int(given[0]), int(given[1]), given[2]))
