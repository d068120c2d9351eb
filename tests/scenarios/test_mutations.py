"""The judges are judged: each way of breaking the engine turns one of them red."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parent.parent.parent
UNTIL_BROKEN: Final = """
import sys
from tests.soak import run_chunk
for seed, rules in run_chunk(int(sys.argv[1]), 500, is_enough=True).broken.items():
    print("BROKEN", seed, rules)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One line of the engine, broken."""

    file: str
    line: str
    broken: str
    first: int = 0
    """The seed to begin with: a rare case is looked for where it was found, and then on."""


MUTATIONS = {
    "flat is not watched": Mutation(
        file="kernel/state.py",
        line="return max(asked_s, *lags, 0.0) if asked_s else 0.0",
        broken="return 0.001",
    ),
    "a stop on a leg that reads flat is taken at once": Mutation(
        file="kernel/proof.py",
        line="return is_watched and is_confirmed(flat[::-1], is_doubted=True)",
        broken="return bool(flat)",
        first=390,
    ),
    "the books are not swept": Mutation(
        file="kernel/state.py",
        line="if not state.policy.cancel_orders or since is None:",
        broken="if True:",
        first=175,
    ),
    "the reduce-only flag is dropped": Mutation(
        file="kernel/sending.py",
        line="reduce_only=close.order_leg.position_side is PositionSide.BOTH",
        broken="reduce_only=False",
    ),
    "the look-up is skipped": Mutation(
        file="kernel/sending.py",
        line="found = await self._look_up(leg, order, once=once)",
        broken="found = False",
    ),
    "the deadline is ten times as long": Mutation(
        file="kernel/limits.py",
        line="ends = began + timeout_s",
        broken="ends = began + 10 * timeout_s",
    ),
    "a failed reading is taken for an empty one": Mutation(
        file="kernel/reading.py",
        line="return Reading(complete=False, error=rows, silent=source)",
        broken="return Reading(sources=source)",
    ),
    "the stops are cancelled first": Mutation(
        file="kernel/proof.py",
        line="position = positions.get(order.leg)",
        broken="position = None",
    ),
    "an answer is believed without a look": Mutation(
        file="kernel/rounds.py",
        line=" and await self._looks.sees_flat(plan.symbol)",
        broken="",
    ),
    "a client order id is used again": Mutation(
        file="kernel/sending.py",
        line="self._order_no += 1",
        broken="self._order_no = 1",
    ),
    "the end is recorded twice": Mutation(
        file="run/manager.py",
        line="self._record_end(current, result)",
        broken="self._record_end(current, result); self._record_end(current, result)",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_engine_turns_a_judge_red(name: str, tmp_path: Path) -> None:
    """A check that cannot fail proves nothing."""
    mutation = MUTATIONS[name]
    shutil.copytree(ROOT / "liqctl", tmp_path / "liqctl")
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("bench"))
    file = tmp_path / "liqctl" / mutation.file
    text = file.read_text()
    assert mutation.line in text
    file.write_text(text.replace(mutation.line, mutation.broken))

    run = subprocess.run(
        [sys.executable, "-c", UNTIL_BROKEN, str(mutation.first)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert run.stdout.startswith("BROKEN"), run.stdout + run.stderr
