"""`liqctl status --watch`: on a terminal, piped, slowed down, in the dark, and how it ends."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from liqctl.kernel.states import ExitCode
from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.scenario import Scenario, load_scenario
from tests.accounts import make_large_house
from tests.cli.documents import BY_TAG, check
from tests.process.program import SMALL, Program, command, house, program, wait_until

WATCH: Final = ("status", "--watch", "--every", "1")
NARROW: Final = {"LIQCTL_LIQUIDATION__SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT"}
"""Three symbols cost 26 weight a look, so that a second may be enough between two."""

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux, for a real terminal, is not installed"
)


@contextmanager
def watching(running: Program, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Watch with JSON Lines; the process is ended afterwards."""
    with running.start(*WATCH, "--json", *options) as started:
        try:
            yield started
        finally:
            started.kill()


def next_look(started: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Return the next line of a watch."""
    assert started.stdout is not None
    document = json.loads(started.stdout.readline())
    check(document, BY_TAG[document["schema"]])
    assert isinstance(document, dict)
    return document


class Counter:
    """Passes connections on to a venue and counts them."""

    def __init__(self, url: str) -> None:
        """Listen on loopback."""
        self._target = urlsplit(url)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            ours, _ = self._listening.accept()
            self.connections += 1
            theirs = socket.create_connection((self._target.hostname, self._target.port))
            for ends in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    @staticmethod
    def _pass_on(from_end: socket.socket, to_end: socket.socket) -> None:
        while block := from_end.recv(65536):
            to_end.sendall(block)
        to_end.close()


def test_piped_every_look_is_a_document_over_the_same_connections(tmp_path: Path) -> None:
    """A handshake for each look would cost more than the look."""
    with program(tmp_path, variables=NARROW) as running:
        counter = Counter(running.server.url)
        running.url = counter.url
        with watching(running) as started:
            first = next_look(started)
            connections = counter.connections
            looks = [next_look(started), next_look(started)]

    assert [look["account"]["flat"] for look in (first, *looks)] == [False, False, False]
    assert 0 < first["watch"]["weight_used"] <= 26
    assert looks[1]["watch"]["weight_used_by_others"] == 0
    assert counter.connections == connections == 11  # 3 lists of 3 symbols, account, executions


def test_a_failed_look_is_unknown_and_keeps_what_was_seen_with_its_age(tmp_path: Path) -> None:
    """In an outage the last reading is worth having, and worth nothing as a proof."""
    with (
        program(tmp_path, load_scenario("flat"), timeout_s=1.0, variables=NARROW) as running,
        watching(running) as started,
    ):
        before = next_look(started)
        running.hang(kind="service_unavailable", reads=True)
        after = next_look(started)
        while after["account_error"] is None:
            after = next_look(started)

    assert before["account"]["flat"] is True
    assert before["last_known"] is None
    assert after["account"] is None
    assert after["account_error"]
    assert after["last_known"]["account"]["flat"] is True
    assert 0 < after["last_known"]["age_seconds"] < 60


def test_others_at_the_address_slow_the_watch_down(tmp_path: Path) -> None:
    """What bots need to trade, and a liquidation to close, must not go into looking."""
    scenario = Scenario(name="", account=SMALL.account, venue={"other_weight": 1900})
    with program(tmp_path, scenario) as running, watching(running) as started:
        look = next_look(started)

    assert look["watch"]["slowed"] is True
    assert 1900 - 176 <= look["watch"]["weight_used_by_others"] <= 1900  # answers may overtake
    assert look["watch"]["next_look_seconds"] > 0  # the next minute, at the latest, has room


def test_without_a_key_the_trail_and_the_lock_are_told_and_nothing_is_asked(
    tmp_path: Path,
) -> None:
    """The on-call phone has no key; whether somebody is at it can be told all the same."""
    with program(tmp_path, timeout_s=30.0) as running:
        running.variables["LIQCTL_LIQUIDATION__MAX_RETRIES"] = "10"
        running.hang(method="POST", kind="service_unavailable")
        running.hang(method="DELETE", kind="service_unavailable")
        with running.start("liquidate", "--json", "--correlation-id", "other") as busy:
            running.wait_for("LIQUIDATION_START")
            running.variables |= {"LIQCTL_API_KEY": "", "LIQCTL_API_SECRET": ""}
            keyless = running.run("status", "--json", "--exit-code")
            shown = running.run("status")
            busy.kill()
            busy.communicate()
        asked = len(running.server.venue.account.journal.requests)
        dead = running.run("status", "--json")

        assert len(running.server.venue.account.journal.requests) == asked
    assert keyless.code == ExitCode.CREDENTIALS
    assert keyless.result["state"] == "IN_PROGRESS"
    assert keyless.result["in_progress"]["pid"] == busy.pid
    assert keyless.result["account"] is None
    assert shown.stdout.startswith("UNKNOWN: simulator, a liquidation is running")
    assert "no api key" in shown.stdout
    assert [run["correlation_id"] for run in dead.result["unfinished_runs"]] == ["other"]


def test_a_reader_that_goes_away_ends_the_watch(tmp_path: Path) -> None:
    """`| head -1` must not leave a process behind that asks for ever."""
    with program(tmp_path) as running:
        started = running.start("status", "--watch", "--every", "30")
        assert started.stdout is not None
        started.stdout.readline()
        started.stdout.close()
        code = started.wait(20)
        assert started.stderr is not None
        started.stderr.close()

    assert code == ExitCode.DONE


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_piped_watch_with_its_code(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """Also with --exit-code: the signal wins."""
    with program(tmp_path) as running, running.start(*WATCH, "--exit-code") as started:
        assert started.stdout is not None
        started.stdout.readline()
        started.send_signal(number)
        stdout, stderr = started.communicate(timeout=20)

    assert started.returncode == code
    assert b"\x1b" not in stdout + stderr


def test_a_run_past_its_deadline_is_said_to_hang_and_what_to_do(tmp_path: Path) -> None:
    """A frozen process would else look like help that is on its way."""
    with program(tmp_path, timeout_s=1.0) as running:
        running.hang(method="POST")
        with running.start("liquidate", "--json") as frozen:
            running.wait_for("LIQUIDATION_START")
            frozen.send_signal(signal.SIGSTOP)
            wait_until(
                lambda: running.run("status", "--json").result["in_progress"]["hung"], "no hang"
            )
            shown = running.run("status")
            frozen.kill()
            frozen.communicate()

    assert shown.stdout.splitlines()[0].endswith("a liquidation HANGS")
    assert f"kill -9 {frozen.pid}" in shown.stdout
    assert "past its deadline" in shown.stdout


@pytest.mark.parametrize("words", [["--json"], []])
def test_keys_typed_into_a_terminal_that_is_not_redrawn_change_nothing(
    tmp_path: Path, words: list[str]
) -> None:
    """With JSON, or on a dumb terminal, a look is printed when it was taken, and only then."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with program(tmp_path, variables={**NARROW, "TERM": "dumb"}) as running:
        started = running.start(*WATCH, *words, stdin=theirs, stdout=theirs)
        os.close(theirs)
        with started, os.fdopen(ours, "r+b", buffering=0) as terminal:
            seen = b""
            while seen.count(b"weight_used_by_others" if words else b"watching") < 3:
                seen += os.read(terminal.fileno(), 65536)
                terminal.write(b"x")
            started.terminate()
            code = started.wait(20)
            started.kill()

    marks = re.findall(rb'"looked_at":"([^"]+)"' if words else rb", (\d\d:\d\d:\d\d) UTC", seen)
    assert code == 143
    assert len(set(marks)) == len(marks) >= 3
    assert b"\x1b" not in seen


class Terminal:
    """A real terminal of 80 by 24, in tmux."""

    def __init__(self, name: str) -> None:
        """Name a tmux server of its own."""
        self._tmux = ["tmux", "-L", name, "-f", "/dev/null"]

    def run(self, *words: str) -> str:
        """Return what a tmux command prints."""
        return subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, timeout=20
        ).stdout

    def screen(self) -> list[str]:
        """Return the lines that are seen."""
        return self.run("capture-pane", "-p", "-t", "t").rstrip("\n").split("\n")

    def wait_for(self, word: str) -> list[str]:
        """Return the screen once it holds a word."""
        wait_until(lambda: word in "\n".join(self.screen()), f"never seen: {word}")
        return self.screen()

    @property
    def mode(self) -> str:
        """Whether the second page is shown, and the cursor: `10` while a watch draws."""
        return self.run("display-message", "-p", "-t", "t", "#{alternate_on}#{cursor_flag}").strip()


@contextmanager
def on_terminal(running: Program, *options: str) -> Iterator[Terminal]:
    """Yield a shell on a terminal that has watched since it began."""
    terminal = Terminal(f"liqctl-{os.getpid()}-{time.monotonic_ns()}")
    script = running.folder / "watch.sh"
    words = " ".join(f"'{word}'" for word in command(*WATCH, *options))
    script.write_text(f"trap : INT\necho stood before\n{words}\necho code $?\nexec sleep 60\n")
    size = ("-x", "80", "-y", "24")
    subprocess.run(
        [*terminal._tmux, "new-session", "-d", "-s", "t", *size, "sh", str(script)],
        check=True,
        env={**running.environ(), "TERM": "screen", "LANG": "C.UTF-8"},
        cwd=running.folder,
        timeout=20,
    )
    try:
        yield terminal
    finally:
        terminal.run("kill-server")


@needs_tmux
def test_one_screen_of_80_by_24_is_redrawn_and_given_back(tmp_path: Path) -> None:
    """Two hundred positions must not scroll the answer away; Ctrl-C leaves a usable shell."""
    with program(tmp_path, load_scenario("large")) as running, on_terminal(running) as terminal:
        first = terminal.wait_for("watching")
        assert terminal.mode == "10"
        wait_until(lambda: terminal.screen()[0] != first[0], "no second look")
        later = terminal.screen()
        terminal.run("resize-window", "-t", "t", "-x", "100", "-y", "40")
        wait_until(lambda: len(terminal.screen()) > 30, "the larger screen was not used")
        terminal.run("send-keys", "-t", "t", "C-c")
        after = terminal.wait_for("code")

        assert terminal.mode == "01"
    for screen in (first, later):
        assert len(screen) <= 24
        assert screen[0].startswith("OPEN: simulator")
        assert any(line.startswith("C047USDT") for line in screen[3:4])
        assert any("smaller positions of" in line for line in screen)
    assert "stood before" in after[0]
    assert after[1].startswith("OPEN: simulator")
    assert after[-1] == "code 130"


@needs_tmux
def test_the_stop_key_gives_the_terminal_back_for_a_while(tmp_path: Path) -> None:
    """A stopped watch on the second page would leave the shell there, without a cursor."""
    with program(tmp_path) as running, on_terminal(running) as terminal:
        terminal.wait_for("watching")
        pid = terminal.run("display-message", "-p", "-t", "t", "#{pane_pid}").strip()
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTSTP)
        wait_until(lambda: terminal.mode == "01", "the page was not given back")
        os.kill(int(child), signal.SIGCONT)
        wait_until(lambda: terminal.mode == "10", "the page was not taken again")
        os.kill(int(child), signal.SIGTERM)
        after = terminal.wait_for("code")

    assert after[-1] == "code 143"


def test_an_account_that_hangs_or_is_refused_holds_up_no_other_look(tmp_path: Path) -> None:
    """The others are told in time, again and again; a refused key is not tried each second."""
    with house(tmp_path, timeout_s=30.0, variables=NARROW) as running:
        address = running.server.address
        assert address is not None
        began_at = time.monotonic()
        with watching(running, "--all-accounts") as started:
            looks = [next_look(started)]
            first_s = time.monotonic() - began_at
            asked = {name: venue.requests for name, venue in address.venues.items()}
            looks += [next_look(started) for _ in range(3)]
            asked_later = {name: venue.requests for name, venue in address.venues.items()}

    assert first_s < 10.0  # A start and the wait; the hanging account has 30 s.
    for look in looks:
        found = {each["account_name"]: each for each in look["statuses"]}
        assert all(found[name]["account"]["positions"] for name in ("desk-a", "desk-b"))
        assert "refused the key" in found["refused"]["account_error"]
        assert found["silent"]["account"] is None
    assert "not answered yet" in looks[0]["statuses"][-1]["account_error"]
    assert asked_later["desk-a"] > asked["desk-a"]
    assert asked_later["refused"] == asked["refused"]


def test_the_pace_is_that_of_all_accounts_together(tmp_path: Path) -> None:
    """Six accounts use six times the weight of the one address: six looks a minute become one."""
    with house(tmp_path, make_large_house(accounts=6, symbols=2)) as running:
        with watching(running, "--all-accounts") as started:
            all_of_them = next_look(started)
        with watching(running, "--account", "desk-01") as started:
            one = next_look(started)

    assert 50 < all_of_them["watch"]["next_look_seconds"] <= 61
    assert one["watch"]["next_look_seconds"] > 5
    assert "watch" not in all_of_them["statuses"][0]


def test_an_account_that_fails_later_keeps_its_own_last_reading(tmp_path: Path) -> None:
    """The others' readings are of now."""
    with house(tmp_path, timeout_s=1.0, variables=NARROW) as running:
        address = running.server.address
        assert address is not None
        with watching(running, "--account", "desk-a", "--account", "desk-b") as started:
            before = next_look(started)
            down = Fault(name="", effect=KINDS["service_unavailable"], times=0)
            address.venues["desk-b"].faults.append(down)
            after = next_look(started)
            while after["statuses"][1]["account_error"] is None:
                after = next_look(started)

    assert [each["last_known"] for each in before["statuses"]] == [None, None]
    of_a, of_b = after["statuses"]
    assert (of_a["last_known"], of_a["account_error"]) == (None, None)
    assert of_b["last_known"]["account"] == before["statuses"][1]["account"]


@needs_tmux
def test_several_accounts_are_one_screen(tmp_path: Path) -> None:
    """Each account's row is seen, whatever is open in them, and what does not fit is left out."""
    with (
        house(tmp_path, variables=NARROW) as running,
        on_terminal(running, "--all-accounts") as terminal,
    ):
        first = terminal.wait_for("watching")
        wait_until(lambda: terminal.screen()[0] != first[0], "no second look")
        later = terminal.screen()

    for screen in (first, later):
        assert len(screen) <= 24
        assert screen[0].startswith("OPEN: simulator, 5 accounts: ")
        rows = [line.split()[0] for line in screen if re.match(r"\S+ +(OPEN|UNKNOWN) ", line)]
        assert rows == ["portfolio", "desk-a", "desk-b", "refused", "silent"]
