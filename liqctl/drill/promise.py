"""Where a run's end differs from what its scenario promises, and whether for the worse.

The promises were written for the default configuration. A longer deadline may end better than one:
that is a difference, and nothing to be alarmed at. A promised time is that until flat is seen for
good; the result is told `settle_seconds` later, or as much later as the deadline leaves.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from liqctl.drill.judges import WHOLE_ACCOUNT, kept_orders, what_is_left
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.result import LiquidationResult
from liqctl.kernel.states import LiquidationState
from liqctl.sim.scenario import Expectation
from liqctl.sim.venue import Venue

_ORDER_OF_ENDS: Final = (
    LiquidationState.SKIPPED.value,
    LiquidationState.FAILED.value,
    LiquidationState.PARTIAL.value,
    LiquidationState.COMPLETED.value,
)
"""From the worst to the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as promised."""

    text: str
    worse: bool


def compare(
    venue: Venue,
    result: LiquidationResult,
    expect: Expectation,
    *,
    policy: LiquidationConfig = WHOLE_ACCOUNT,
) -> tuple[Difference, ...]:
    """Return every difference between a run's end and the promise.

    A state better than every one promised takes exit code, words and duration with it. So does a
    scope of positions or orders only, where the promise is not COMPLETED: what can be closed and
    what is said of it depends on the scope. Something left open in scope that should not be is
    always for the worse.
    """
    state, code = result.state.value, int(result.exit_code())
    worse = _ORDER_OF_ENDS.index(state) <= max(map(_ORDER_OF_ENDS.index, expect.states))
    if policy.emergency_liquidation and not (policy.close_positions and policy.cancel_orders):
        completed = LiquidationState.COMPLETED.value
        worse = expect.states == (completed,) and state != completed
    found = []
    if state not in expect.states:
        found.append(f"state is {state}, expected {' or '.join(expect.states)}")
    if code not in expect.exits:
        found.append(f"exit code is {code}, expected {' or '.join(map(str, expect.exits))}")
    if expect.within_s and result.flat_after_seconds > expect.within_s:
        found.append(f"took {result.flat_after_seconds:.3f} s, expected {expect.within_s:g} s")
    told = "; ".join([result.error_message or "", *result.notes])
    found += [f"does not say {words!r}: {told}" for words in expect.says if words not in told]
    left = what_is_left(venue, policy)
    return (
        *(Difference(text=text, worse=worse) for text in found),
        *_compare_left(left, expect.left),
        *_compare_kept(venue, result),
    )


def _compare_left(left: Iterable[str], patterns: Iterable[str]) -> Iterator[Difference]:
    left, patterns = list(left), list(patterns)
    for name in left:
        if not any(fnmatchcase(name, pattern) for pattern in patterns):
            yield Difference(text=f"{name} is left open", worse=True)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in left):
            yield Difference(text=f"{pattern} should be left open", worse=False)


def _compare_kept(venue: Venue, result: LiquidationResult) -> Iterator[Difference]:
    """An order reported KEPT really rests."""
    resting = {str(algo.algo_id) for algo in venue.account.open_algo_orders()}
    for order_id in sorted(kept_orders(result) - resting):
        yield Difference(text=f"{order_id} is reported KEPT but is gone", worse=True)
