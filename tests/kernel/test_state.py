"""When flat is proven: a window of readings, both sources, and both books swept at its end."""

import pytest

from liqctl.kernel.gateway import Account, Gateway
from liqctl.kernel.ledger import SweepRecord, first_seen
from liqctl.kernel.limits import Deadline
from liqctl.kernel.machine import Due, Machine
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.proof import Look, Streak
from liqctl.kernel.reading import Questions, Reader
from liqctl.kernel.state import RunState, Watch
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import OrderKind
from tests.kernel.builders import leg, position, snapshot

BOTH = frozenset({"account", "positionRisk"})


def watch(
    *readings_at: float, settle_s: float = 2.0, swept_at: float | None = 2.4
) -> tuple[RunState, Watch]:
    """Return the watch of a run that closed BTCUSDT at 0.4 s and read flat at these moments."""
    policy = LiquidationConfig(settle_seconds=settle_s)
    machine = Machine(Deadline.after(5.0, began=0.0, epoch_s=0.0))
    machine.feed(Due(3.0))
    gateway = Gateway(Account(machine, [Product.USDM], Margin.STANDARD), Product.USDM)
    state = RunState(gateway, policy, "tag")
    seen = first_seen(position("1"), 0.1)
    state.legs[leg()] = seen._replace(current=None, closed_at=0.4, gone_at=0.5)
    state.streak = Streak(looks=tuple(Look(at, BOTH, frozenset()) for at in readings_at))
    if swept_at is not None:
        state.sweeps = {
            ("BTCUSDT", book): SweepRecord(sent_at=swept_at)
            for book in (OrderKind.REGULAR, OrderKind.ALGO)
        }
    return state, Watch(state, Questions(Reader(gateway, policy), policy, ()))


@pytest.mark.parametrize(
    ("readings_at", "settle_s", "swept_at", "proven"),
    [
        ((), 2.0, 2.4, False),  # Nothing was read.
        ((0.5, 2.4), 2.0, 2.4, False),  # The window is a tenth of a second short.
        ((0.5, 2.5), 2.0, 2.4, True),
        ((0.5, 2.5), 2.0, None, False),  # The books were not swept,
        ((0.5, 2.5), 2.0, 0.4, False),  # or before the account read flat.
        ((0.5,), 0.0, None, True),  # Nobody asked for a watch.
    ],
)
def test_flat_is_proven_by_a_window_and_a_sweep(
    readings_at: tuple[float, ...], settle_s: float, swept_at: float | None, proven: bool
) -> None:
    """Each of them alone was wrong once."""
    _, it = watch(*readings_at, settle_s=settle_s, swept_at=swept_at)

    assert it.is_proven() is proven


def test_what_vanished_a_moment_ago_is_waited_for_again() -> None:
    """No fill of ours closed it: the list may be the one that is wrong."""
    state, it = watch(0.5, 2.5)
    state.legs[leg()] = state.legs[leg()]._replace(closed_at=None, last_open_at=1.0)

    assert not it.is_proven(late=True)
    assert it.due_at == pytest.approx(3.001)


def test_a_lag_that_was_seen_lengthens_the_window() -> None:
    """A venue that lagged for three seconds may do so again."""
    state, it = watch(0.5, 2.5)
    state.legs[leg()] = state.legs[leg()]._replace(lag_s=3.0)

    assert it.window_s == 3.0
    assert not it.is_proven()


def test_what_somebody_entered_keeps_its_stops() -> None:
    """A stop that no list shows may protect it: the conditional book is not swept."""
    state, it = watch(0.5, 2.5, swept_at=None)
    streak = state.streak
    state.absorb(snapshot(started_at=2.5))
    state.streak, state.entered["BTCUSDT"] = streak, 0.0

    assert [[*plan.books] for plan in it.unswept()] == [[OrderKind.REGULAR]]


def test_a_regular_book_that_was_never_read_may_hold_the_stop_of_an_open_leg() -> None:
    """Brief readings list no orders: its cancel would take the older stops of COIN-M with it."""
    state, it = watch(0.5, 2.5, swept_at=None)
    state.legs[leg()] = first_seen(position("1"), 0.1)

    assert not it.unswept()

    state.absorb(snapshot(position("1"))._replace(started_at=2.6, finished_at=2.7))
    state.streak = Streak(looks=(Look(2.6, BOTH, frozenset()),))
    assert [[*plan.books] for plan in it.unswept()] == [[OrderKind.REGULAR]]
