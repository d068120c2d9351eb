"""A machine that has no thread and no descriptor to spare: when it is needed most, it is so."""

import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from liqctl.sim.scenario import make_large_account
from tests.process.program import Program, overshoot_max_s, overshoot_s, program
from tests.process.test_deadline import INTERPRETER_HELD
from tests.terminal import needs_tmux, on_terminal

DONE = 0

NO_THREADS = """
    import threading
    def refuse(*args, **kwargs):
        raise RuntimeError("can't start new thread")
    threading._start_new_thread = refuse
"""
NO_THREADS_IN_C = """
    import faulthandler
    faulthandler.dump_traceback_later = refuse
    import liqctl.cli.process
    liqctl.cli.process.LastResort._start_timer = lambda *_: False
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account and the program beside it."""
    with program(tmp_path) as made:
        yield made


def limit_descriptors(soft: int, hard: int) -> Callable[[], None]:
    """Return what a process does before it becomes the program."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_account_is_closed_where_no_thread_can_be_had(running: Program, host: str) -> None:
    """A full process table must not keep positions open, nor their records off the disk."""
    running.hook(NO_THREADS + NO_THREADS_IN_C)
    running.url = running.server.url.replace("127.0.0.1", host)

    ended = running.run()

    assert ended.code == DONE, ended.stderr
    assert running.is_flat
    assert ended.result["state"] == "COMPLETED"
    ended.assert_clean()
    running.assert_trail_closed()


@needs_tmux
def test_a_run_on_a_terminal_does_without_its_view_where_no_thread_can_be_had(
    running: Program,
) -> None:
    """What is only shown must not decide whether anything is closed."""
    running.hook(NO_THREADS)
    with on_terminal(running, "liquidate", height=60) as terminal:
        code, shown = terminal.wait_for_end()

    assert code == DONE, shown
    assert "COMPLETED" in shown
    assert running.is_flat


def test_the_deadline_holds_where_no_thread_can_be_had(tmp_path: Path) -> None:
    """The last resort of all is the kernel's: an alarm that nobody handles."""
    with program(tmp_path, timeout_s=1.0) as running:
        running.hook(NO_THREADS + NO_THREADS_IN_C + INTERPRETER_HELD)
        running.hang(method="POST")

        ended = running.run()

        assert ended.code == -signal.SIGALRM
        assert overshoot_s(running.records(), time.time(), 1.0) < overshoot_max_s()


@pytest.mark.parametrize(("soft", "hard"), [(24, 24), (24, 256)])
def test_a_large_account_is_closed_with_few_descriptors(
    tmp_path: Path, soft: int, hard: int
) -> None:
    """A connection that takes the trail's descriptor away leaves a hole in the proof."""
    scenario = make_large_account(symbols=60, orders=2, algo=1, hedge=True, seed=1)
    with program(tmp_path, scenario) as running:
        ended = running.run(preexec_fn=limit_descriptors(soft, hard))

        assert ended.code == DONE, ended.stdout
        assert running.is_flat
        assert "too many open files" not in (tmp_path / "logs" / "liqctl.log").read_text()
        running.assert_trail_closed()
