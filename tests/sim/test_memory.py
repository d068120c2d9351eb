"""Virtual time waits for nothing and tells a deadlock at once."""

import asyncio
import time

import pytest

from liqctl.sim.memory import DeadlockError, StandstillError, run_virtual


def test_an_hour_passes_at_once() -> None:
    """The clock jumps to the next timer, in the order of the timers."""
    order: list[tuple[str, float]] = []

    async def wait(name: str, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        order.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        await asyncio.gather(wait("hour", 3600), wait("second", 1))

    began_at = time.monotonic()
    run_virtual(main)

    assert order == [("second", 1.0), ("hour", 3600.0)]
    assert time.monotonic() - began_at < 1


def test_a_timeout_cuts_at_its_moment() -> None:
    """Deadlines are exact here, so their tests can be."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4.25):
                await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 4.25


def test_a_deadlock_is_an_error_at_once() -> None:
    """Nothing is due and everything waits: no test may hang for that."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run_virtual(main)


def test_an_error_comes_out_and_leftovers_are_cancelled() -> None:
    """A task that outlives the run must not outlive the loop."""
    cancelled = []

    async def straggler() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main() -> "asyncio.Task[None]":
        task = asyncio.create_task(straggler())
        await asyncio.sleep(0)
        return task

    task = run_virtual(main)

    assert cancelled == [True]
    assert task.cancelled()


def test_time_that_stands_still_is_an_error() -> None:
    """A loop that is always ready would run for ever, and no deadline could end it."""

    async def main() -> None:
        while True:  # noqa: ASYNC110 - this is what must be found
            await asyncio.sleep(0)

    with pytest.raises(StandstillError, match="time stands still"):
        run_virtual(main)


def test_time_that_hardly_moves_is_an_error_too() -> None:
    """A wait that is halved each time never comes to its end."""

    async def main() -> None:
        wait_s = 0.0005
        while True:
            wait_s /= 2
            await asyncio.sleep(wait_s)

    with pytest.raises(StandstillError):
        run_virtual(main)
