"""When readings that show nothing are enough of a confirmation."""

import pytest

from liqctl.kernel.proof import Look, is_confirmed

ONE = frozenset({"account"})
BOTH = frozenset({"account", "positionRisk"})


def looks(count: int, sources: frozenset[str]) -> list[Look]:
    """Return as many readings that showed nothing."""
    return [Look(number / 2, sources, frozenset()) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "sources", "is_doubted", "confirmed"),
    [
        (0, BOTH, False, False),
        (1, BOTH, False, True),
        (2, ONE, False, False),
        (3, ONE, False, True),
        # A position that vanished by itself: three wrong empty answers in a row were seen.
        (1, BOTH, True, True),
        (4, ONE, True, False),
        (5, ONE, True, True),
    ],
)
def test_one_source_alone_must_show_nothing_more_often(
    count: int, sources: frozenset[str], is_doubted: bool, confirmed: bool
) -> None:
    """A silent source is no second opinion."""
    assert is_confirmed(looks(count, sources), is_doubted=is_doubted) is confirmed
