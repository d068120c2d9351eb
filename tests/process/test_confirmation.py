"""The question before production, on a real terminal: what is shown, and every way to answer."""

import os
import pty
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from liqctl.kernel.errors import Secret
from liqctl.run.lock import lock_identity
from liqctl.sim.scenario import Scenario, load_scenario
from tests.process.program import PATIENCE_S, Program, command, program
from tests.terminal import needs_tmux, on_terminal

ASKED = "Type production to go on"


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    """The program and an account that it takes for production."""
    scenario: Scenario = load_scenario(getattr(request, "param", "default"))
    with program(tmp_path, scenario) as running:
        settings = Path(running.environ()["LIQCTL_CONFIG"])
        production = tmp_path / "production.yaml"
        production.write_text(settings.read_text().replace("simulator", "production"))
        running.variables |= {"LIQCTL_CONFIG": str(production), "TERM": "xterm", "CI": ""}
        yield running


@needs_tmux
@pytest.mark.parametrize(
    ("served", "size", "answer", "code"),
    [
        ("default", (80, 24), ("production", "Enter"), 0),
        ("large", (80, 24), ("C-c",), 130),
        ("large", (200, 50), ("no", "Enter"), 6),
    ],
    indirect=["served"],
)
def test_where_whose_what_and_how_long_stand_above_the_question(
    served: Program, size: tuple[int, int], answer: tuple[str, ...], code: int
) -> None:
    """One screen, the worst position at its top, and nothing scrolled away."""
    with on_terminal(served, "liquidate", width=size[0], height=size[1]) as terminal:
        shown = terminal.wait_for(ASKED)
        terminal.keys(*answer)
        ended, _ = terminal.wait_for_end()

    words = " ".join(shown.split())
    assert f"PRODUCTION {served.server.url} key " in words
    assert "notional PnL" in words
    for told in ("orders ", "cancel ", "round trips of", "weight", "expected", "at worst: "):
        assert told in words
    assert ended == code
    assert served.is_flat is (code == 0)


@needs_tmux
def test_the_interrupt_key_at_the_question_sends_nothing(served: Program) -> None:
    """Ctrl-C is the natural no."""
    with on_terminal(served, "liquidate") as terminal:
        terminal.wait_for(ASKED)
        terminal.keys("C-c")
        code, _ = terminal.wait_for_end()
        assert terminal.cursor_is_shown()

    assert code == 130
    assert not served.sent()
    assert not served.records()


@needs_tmux
def test_a_reading_that_hangs_does_not_keep_the_question_away(served: Program) -> None:
    """The operator may know enough; he is told that nothing could be read."""
    hanging = served.hang(reads=True)
    with on_terminal(served, "liquidate") as terminal:
        shown = terminal.wait_for(ASKED)
        served.server.venue.faults.remove(hanging)
        terminal.keys("production", "Enter")
        code, _ = terminal.wait_for_end()

    assert "NOTHING COULD BE READ" in shown
    assert "did not answer" in shown
    assert code == 0
    assert served.is_flat


def test_a_terminal_that_is_dropped_at_the_question_is_a_no(served: Program) -> None:
    """A lost SSH session has confirmed nothing."""
    ours, theirs = pty.openpty()
    with served.start(
        *command("liquidate")[3:],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as started:
        os.close(theirs)
        seen = b""
        while ASKED.encode() not in seen:
            seen += os.read(ours, 65536)
        os.close(ours)
        code = started.wait(PATIENCE_S)

    assert code == 6
    assert not served.sent()
    assert not served.records()


def test_a_piped_answer_is_none_even_where_a_terminal_looks_on(served: Program) -> None:
    """`echo production |` at a prompt is what --yes is for."""
    ours, theirs = pty.openpty()
    with served.start("liquidate", stdin=subprocess.PIPE, stderr=theirs) as started:
        stdout, _ = started.communicate(b"production\n", timeout=PATIENCE_S)
    seen = os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)

    assert started.returncode == 6
    assert b"--yes" in seen
    assert not stdout
    assert not served.sent()


def test_the_plan_of_a_dry_run_holds_the_same_forecast(served: Program) -> None:
    """What was rehearsed is what is asked about."""
    ended = served.run("liquidate", "--dry-run")

    assert "round trips of" in ended.stdout
    assert "at worst: fits the limit of 5 s" in ended.stdout
    assert not served.sent()


def test_a_testnet_that_is_somewhere_else_hands_nothing_over_unasked(tmp_path: Path) -> None:
    """It asks like production, so an armed process may not be told before the answer."""
    with program(tmp_path) as running:
        settings = Path(running.environ()["LIQCTL_CONFIG"])
        elsewhere = tmp_path / "elsewhere.yaml"
        text = settings.read_text().replace("simulator", "testnet")
        elsewhere.write_text(text.replace(running.server.url, "https://venue.example"))
        running.variables["LIQCTL_CONFIG"] = str(elsewhere)
        identity = lock_identity(
            environment="testnet",
            key_fingerprint=Secret(running.server.api_key).fingerprint(),
            base_url="https://venue.example",
        )
        folder = tmp_path / "state" / "liqctl"
        folder.mkdir(parents=True, mode=0o700)
        fd = os.open(folder, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{fd}/{identity}.sock")
            listening.listen()
            os.close(fd)
            listening.setblocking(False)
            ended = running.run()
            with pytest.raises(BlockingIOError):
                listening.accept()

    assert ended.code == 6
