"""Thousands of runs in which something goes wrong, and the seeds that once found a bug."""

import pytest

from tests.simulation import HOUSES, run_seed

SHARDS = 8
SEEDS_PER_SHARD = 125
"""Some five seconds a shard; `make soak` runs twenty times as many seeds in all."""

FOUND = {
    7: "gave up on stops that a late list still showed after their cancel was answered",
    11: "said nothing of readings that contradicted a fill until the deadline",
    46: "read as fast as it could until the weight of the minute was gone",
    59: "the same, after a bot re-opened",
    909: "cancelled a reduce-only stop when somebody flipped the position and flipped it back",
    4075: "dropped a position from the residual because the last reading of positions failed",
    7494: "swept stops it had not seen, of legs it had not read",
}
"""Seeds that showed a bug before the venue became harsh, and which; kept as they are."""

FOUND_HARSH = {
    700227: "took a plain stop by a list that was older than our own fill",
    722876: "took a stop when one source had missed its position's row three times",
    718805: "cancelled a whole book by a plan that had waited, though a list showed a position",
    404192: "believed one source three times about positions that had vanished by themselves",
    409933: "sent a cancel that had waited, though a list showed the stop's position by then",
    1000085: "took a stop without a quantity for one that opens: COIN-M in portfolio margin",
    1000664: "cancelled the regular book of COIN-M with an older stop on it that no list showed",
    1103538: "called a product flat by a reading from long before the other one was",
    1000831: "did so blindly, because the venue refused to reduce and the list had failed",
}
"""The same of the harsh venue."""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_seed_breaks_a_rule(shard: int) -> None:
    """Never opens, never flips, never lies, never outlives its deadline, whatever goes wrong."""
    # Half of them draw both products and the kind of account, too.
    first = (1000 if shard % 2 else HOUSES) + shard * SEEDS_PER_SHARD
    broken = {}
    for seed in range(first, first + SEEDS_PER_SHARD):
        outcome = run_seed(seed)
        if outcome.broken:
            broken[seed] = outcome.broken

    assert not broken, f"replay one with: python -m tests.simulation SEED; {broken}"


@pytest.mark.parametrize("seed", FOUND)
def test_a_seed_that_found_a_bug_stays_green(seed: int) -> None:
    """A bug found once is not found twice."""
    assert run_seed(seed, harsh=False).broken == []


@pytest.mark.parametrize("seed", FOUND_HARSH)
def test_a_seed_of_the_harsh_venue_that_found_a_bug_stays_green(seed: int) -> None:
    """A bug found once is not found twice."""
    assert run_seed(seed).broken == []
