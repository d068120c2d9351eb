"""`liqctl drill` through the program: what is judged, shown, recorded, and what is never done."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

import liqctl
from liqctl.drill import DRILLS_NAME
from liqctl.drill.armed import SCRIPTS
from liqctl.sim.scenario import Scenario, list_scenarios
from liqctl.sim.server import API_KEY, API_SECRET, EmbeddedServer
from tests.cli.documents import DRILL, check
from tests.once import make_once

ROOT: Final = Path(liqctl.__file__).parents[1]
TIMEOUT_S: Final = 100
SHORT: Final = "liquidation: {timeout_seconds: 1.0}"
QUICK: Final = ("--scenario", "flat", "--scenario", "lost_reply_after")

TROUBLE: Final = tuple(
    word
    for name in ("default", "all_closes_hang", "all_reads_down", "reads_hang", "ban_long")
    for word in ("--scenario", name)
)

NO_NETWORK: Final = """
import socket

def refuse(self, address, *more):
    if self.family == socket.AF_UNIX or address[0] == "127.0.0.1":
        return original(self, address, *more)
    open(HERE, "a").write(f"{address}")
    raise OSError("not from a drill")

def look_up(host, *more, **options):
    if host in ("127.0.0.1", "localhost", None):
        return looked_up(host, *more, **options)
    open(HERE, "a").write(f"{host}")
    raise OSError("not from a drill")

original, socket.socket.connect = socket.socket.connect, refuse
looked_up, socket.getaddrinfo = socket.getaddrinfo, look_up
"""
"""Run in the program before its first line: writes down every host that is not this machine."""


@dataclass(slots=True, kw_only=True)
class Desk:
    """A folder with the settings of an operator, and no key anywhere."""

    folder: Path
    settings: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        """Write the settings beside the shipped ones and return the environment."""
        configs = self.folder / "configs"
        configs.mkdir(exist_ok=True)
        shipped = (ROOT / "configs" / "production.yaml").read_text()
        (configs / "production.yaml").write_text(
            f"environment: production\n{self.settings}\n" if self.settings else shipped
        )
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PYTHONPATH": os.pathsep.join([str(self.folder / "hook"), str(ROOT)]),
            "TERM": "xterm-256color",
            "LIQCTL_AUDIT__LOG_DIR": "logs",
            **self.variables,
        }

    def run(self, *arguments: str, command: str = "drill") -> "subprocess.CompletedProcess[str]":
        """Run a command with the settings of production."""
        return subprocess.run(
            self.words(*arguments, command=command),
            cwd=self.folder,
            env=self.environ(),
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def words(self, *arguments: str, command: str = "drill") -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "liqctl", command, "--env", "production", *arguments]

    def drill(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Return exit code and document of a drill."""
        ended = self.run("--json", *arguments)
        assert "Traceback" not in ended.stderr, ended.stderr
        document = json.loads(ended.stdout)
        check(document, DRILL)
        return ended.returncode, document

    @property
    def log_dir(self) -> Path:
        """Where the trail would be."""
        return self.folder / "logs"

    def rows(self) -> list[dict[str, Any]]:
        """Return what is on record."""
        return [json.loads(line) for line in (self.log_dir / DRILLS_NAME).read_text().splitlines()]

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a drill in real time and yield once it runs."""
        with subprocess.Popen(
            self.words("--real", *arguments),
            cwd=self.folder,
            env=self.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stderr is not None
            assert program.stderr.readline().startswith("drill 1 of ")
            yield program

    def watch_hosts(self) -> None:
        """Let the program write down every other host that it speaks to, in `reached`."""
        hook = self.folder / "hook" / "sitecustomize.py"
        hook.parent.mkdir()
        hook.write_text(f"HERE = {str(self.folder / 'reached')!r}\n{NO_NETWORK}")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An operator's folder with the shipped settings of production."""
    return Desk(folder=tmp_path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A drill of the whole catalogue with the shipped settings: many tests look at the same."""

    desk: Desk
    code: int
    document: dict[str, Any]

    @property
    def worst(self) -> list[str]:
        """The options for the twelve scenarios that the card would show first: two too many."""
        names = [score["scenario"] for score in self.document["scenarios"][:12]]
        return [word for name in names for word in ("--scenario", name)]


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return the drill of the whole catalogue, held once for all workers, its hosts watched."""

    def hold(folder: Path) -> None:
        desk = Desk(folder=folder)
        desk.watch_hosts()
        (folder / "ended.json").write_text(json.dumps(desk.drill()))

    folder = make_once(tmp_path_factory, "whole-drill", hold)
    code, document = json.loads((folder / "ended.json").read_text())
    return Whole(desk=Desk(folder=folder), code=code, document=document)


def test_the_shipped_settings_pass_the_whole_catalogue(whole: Whole) -> None:
    """What is shipped must be enough for every trouble that is known; it is also recorded."""
    desk, code, document = whole.desk, whole.code, whole.document

    assert (code, document["passed"], document["complete"]) == (0, True, True), [
        (score["scenario"], score["wrong"]) for score in document["scenarios"] if score["wrong"]
    ]
    assert {score["scenario"] for score in document["scenarios"]} == {*list_scenarios(), *SCRIPTS}
    assert document["answer"].startswith("Would 5 s have been enough? Yes: ")
    assert document["margin_seconds"] == round(5 - document["slowest_seconds"], 3)
    (row,) = desk.rows()
    assert (row["passed"], row["environment"], row["settings"]["timeout_seconds"]) == (
        True,
        "production",
        5.0,
    )
    assert row["ends"].keys() == {*list_scenarios(), *SCRIPTS}
    assert (desk.log_dir / DRILLS_NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in desk.log_dir.iterdir()] == [DRILLS_NAME]
    # Latches and sockets of armed processes lie elsewhere, and are gone.
    kinds = {path.suffix for path in (desk.folder / "state").rglob("*")}
    assert not kinds & {".latch", ".sock", ".armed", ".guards"}


def test_one_second_is_too_short_and_the_drill_says_for_what(tmp_path: Path) -> None:
    """Whoever shortens the deadline must learn what it costs, before it costs it."""
    desk = Desk(folder=tmp_path, settings=SHORT)
    slow = ("everything_lags", "positions_lag", "slow_venue", "ban_short")
    named = [word for name in ("default", "flat", *slow) for word in ("--scenario", name)]

    code, document = desk.drill(*named)

    failed = {s["scenario"]: s for s in document["scenarios"] if not s["passed"]}
    assert code == 1
    assert failed.keys() == set(slow)
    assert all(1.0 < score["needs_seconds"] <= 5.0 for score in failed.values())
    assert not any(score["broken"] for score in failed.values())
    slowest = max(failed, key=lambda name: failed[name]["needs_seconds"])
    assert re.search(rf"No: \d+ of \d+ .* needs {slowest}", document["answer"])
    assert desk.rows()[0]["passed"] is False


def test_what_a_scenario_is_said_to_need_is_enough(tmp_path: Path) -> None:
    """The number is acted upon: it must have been tried."""
    desk = Desk(folder=tmp_path, settings=SHORT)
    _, document = desk.drill("--scenario", "everything_lags")
    needed_s = document["scenarios"][0]["needs_seconds"]

    enough, _ = desk.drill("--scenario", "everything_lags", "--timeout", str(needed_s))
    too_short, _ = desk.drill(
        "--scenario", "everything_lags", "--timeout", str(round(needed_s - 0.1, 1))
    )

    assert (enough, too_short) == (0, 1)


def test_no_host_but_this_machine_is_spoken_to_and_no_key_is_needed(
    whole: Whole, desk: Desk
) -> None:
    """A drill with the settings of production must not be able to touch production."""
    desk.watch_hosts()

    code, document = desk.drill("--real", *QUICK, "--latency", "20")

    assert (whole.code, code) == (0, 0)
    assert whole.document["environment"] == document["environment"] == "production"
    assert not (whole.desk.folder / "reached").exists()
    assert not (desk.folder / "reached").exists()
    # Processor, disk and ccxt of this machine took part in the second; the judges are the same.
    assert (document["mode"], document["latency_ms"], document["ran"]) == ("real", 20, 2)
    assert document["trail"]["events"] > 10
    assert document["trail"]["problem"] is None


def test_the_hook_would_have_seen_a_host(desk: Desk) -> None:
    """A check that cannot fail proves nothing: a liquidation does look for the venue."""
    desk.watch_hosts()
    desk.variables = {"LIQCTL_API_KEY": API_KEY, "LIQCTL_API_SECRET": API_SECRET}

    desk.run("--dry-run", "--timeout", "1", command="liquidate")

    assert "fapi.binance.com" in (desk.folder / "reached").read_text()


def test_ctrl_c_ends_with_130_and_what_was_run_is_recorded(desk: Desk) -> None:
    """A drill of minutes gets stopped; the record must not say that it passed."""
    with desk.started("--json") as program:
        program.send_signal(signal.SIGINT)
        stdout, _ = program.communicate(timeout=TIMEOUT_S)

    document = json.loads(stdout)
    assert program.returncode == 130
    assert (document["passed"], document["interrupted"]) == (False, True)
    assert document["ran"] < document["total"]
    assert [(row["passed"], row["complete"]) for row in desk.rows()] == [(False, False)]
    assert [path.name for path in desk.log_dir.iterdir()] == [DRILLS_NAME]


def test_what_a_killed_drill_left_behind_is_removed_by_the_next(desk: Desk) -> None:
    """A folder of logs must not fill up with old drills, nor lose that of a living one."""
    with desk.started() as program:
        desk.drill("--scenario", "flat")
        while_alive = list(desk.log_dir.glob(".drill-*"))
        program.kill()
        program.communicate(timeout=TIMEOUT_S)
    left_behind = list(desk.log_dir.glob(".drill-*"))

    desk.drill("--scenario", "flat")

    assert len(while_alive) == len(left_behind) == 1
    assert not list(desk.log_dir.glob(".drill-*"))


def test_an_unwritable_log_folder_is_found_out(desk: Desk) -> None:
    """In the emergency it would be exit 8 and no record."""
    desk.log_dir.write_text("a file where the folder should be")

    code, document = desk.drill(*QUICK)

    assert code == 1
    assert document["trail"]["problem"] is not None
    assert document["recorded"] is False
    assert "the audit trail cannot be kept" in document["answer"]


def test_a_planted_link_is_not_followed_and_the_exit_code_tells(desk: Desk) -> None:
    """What looks recorded and is not would be a false proof."""
    desk.log_dir.mkdir(mode=0o700)
    elsewhere = desk.folder / "elsewhere"
    (desk.log_dir / DRILLS_NAME).symlink_to(elsewhere)

    ended = desk.run(*QUICK)

    assert ended.returncode == 8
    assert "NOT RECORDED" in ended.stdout
    assert "could not be recorded" in ended.stderr
    assert not elsewhere.exists()


def test_a_full_disk_is_said_and_the_exit_code_tells(desk: Desk) -> None:
    """The drill is over: losing its record must neither crash it nor pass in silence."""
    limit_kib = 2000
    desk.log_dir.mkdir(mode=0o700)
    (desk.log_dir / DRILLS_NAME).write_bytes(b"\n" * (limit_kib * 1024 - 100))
    command = " ".join(desk.words(*QUICK, "--json"))

    ended = subprocess.run(
        ["bash", "-c", f"ulimit -f {limit_kib}; {command}"],
        cwd=desk.folder,
        env=desk.environ() | {"PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    document = json.loads(ended.stdout)
    assert (ended.returncode, document["passed"], document["recorded"]) == (8, True, False)


def test_an_unknown_scenario_exits_2_and_names_the_nearest(desk: Desk) -> None:
    """112 names are too many to remember."""
    ended = desk.run("--scenario", "lost_replay_after", "--json")

    assert ended.returncode == 2
    assert "lost_reply_after" in ended.stderr
    document = json.loads(ended.stdout)
    assert (document["passed"], document["scenarios"]) == (False, [])
    assert "lost_reply_after" in document["error_message"]


def test_there_is_no_default_environment(desk: Desk) -> None:
    """Nobody should drill settings that are not the ones in use."""
    ended = subprocess.run(
        [sys.executable, "-m", "liqctl", "drill"],
        cwd=desk.folder,
        env=desk.environ(),
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert ended.returncode == 2
    assert "--env" in ended.stderr


def test_invalid_settings_exit_4_with_one_document(tmp_path: Path) -> None:
    """Scripts read the document whatever happens."""
    desk = Desk(folder=tmp_path, settings="liquidation: {timeout_seconds: 0.5}")

    code, document = desk.drill()

    assert code == 4
    assert "timeout_seconds must be between 1.0 and 30.0, got 0.5" in document["error_message"]


def test_a_disarmed_switch_fails_the_drill_and_is_named(tmp_path: Path) -> None:
    """A drill that passes on a switch that does nothing would be the worst of answers."""
    desk = Desk(
        folder=tmp_path,
        settings="liquidation: {emergency_liquidation: false, close_positions: false, "
        "cancel_orders: false}",
    )

    ended = desk.run(*TROUBLE)

    assert ended.returncode == 1
    assert ended.stdout.splitlines()[0].startswith("FAILED: settings of production, 0 of 5 ")
    assert ended.stdout.splitlines()[1].startswith("DISARMED: emergency_liquidation is false")
    assert "BTCUSDT, ETHUSDT" in ended.stdout


@pytest.mark.parametrize(
    ("setting", "code", "left"),
    [
        ("close_positions: false", 0, []),
        ("cancel_orders: false", 1, ["BTCUSDT", "ETHUSDT", "BTCUSD_PERP"]),
    ],
)
def test_a_narrowed_switch_is_named_and_judged_by_its_scope(
    tmp_path: Path, setting: str, code: int, left: list[str]
) -> None:
    """Orders left alone keep positions from closing: that is found out here, not at 3 a.m."""
    desk = Desk(folder=tmp_path, settings=f"liquidation: {{{setting}}}")

    ended, document = desk.drill(*TROUBLE)

    (score,) = [each for each in document["scenarios"] if each["scenario"] == "default"]
    assert (ended, score["left"]) == (code, left)
    assert document["notes"][0].startswith(f"NARROWED: {setting.replace(':', ' is')}")


def test_symbols_of_the_settings_are_said_not_to_be_tried(tmp_path: Path) -> None:
    """The simulated accounts hold other symbols: closing none of them would prove nothing."""
    desk = Desk(folder=tmp_path, settings="liquidation: {symbols: [ADAUSDT]}")

    code, document = desk.drill(*QUICK)

    assert code == 0
    assert "ADAUSDT" in document["notes"][0]
    assert document["settings"]["symbols"] == ["ADAUSDT"]


ACCOUNTS: Final = """
accounts:
  usdm-only: {products: [usdm]}
  unified: {margin: portfolio, symbols: [ADAUSDT]}
  coinm-only: {products: [coinm]}
"""
HOLDING_BOTH: Final = (
    *("--scenario", "default", "--scenario", "coinm", "--scenario", "coinm_silent"),
    *("--scenario", "portfolio_both_products"),
)


def test_a_drill_takes_the_scope_of_the_account_that_is_named(tmp_path: Path) -> None:
    """What an account leaves out stays open in a real run: that breaks no rule in the drill."""
    desk = Desk(folder=tmp_path, settings=ACCOUNTS)

    code, narrow = desk.drill(*HOLDING_BOTH, "--account", "usdm-only")
    whole_code, whole = desk.drill(*HOLDING_BOTH)
    unified_code, unified = desk.drill(*HOLDING_BOTH, "--account", "unified")

    coinm_code, _ = desk.drill(
        "--scenario", "mistyped_symbol_rules_down", "--account", "coinm-only"
    )

    assert (code, whole_code, unified_code, coinm_code) == (0, 0, 0, 0), narrow
    assert "COIN-M out" in narrow["notes"][0]
    assert narrow["settings"]["account"] == "usdm-only"
    assert narrow["settings"]["products"] == ["usdm"]
    # With several accounts and no choice the settings of all are drilled.
    assert (whole["notes"], whole["settings"]["account"]) == ([], None)
    assert unified["settings"]["margin"] == "portfolio"
    assert ["ADAUSDT" in note for note in unified["notes"]] == [True, False]
    assert "margin is portfolio" in unified["notes"][1]


def test_a_drill_is_of_one_account(tmp_path: Path) -> None:
    """A scope that is nobody's would prove nothing."""
    desk = Desk(folder=tmp_path, settings=ACCOUNTS)

    two = desk.run(*QUICK, "--account", "usdm-only", "--account", "unified")
    unknown = desk.run(*QUICK, "--account", "usdm")
    shown = desk.run(*QUICK, "--account", "usdm-only")

    assert (two.returncode, unknown.returncode, shown.returncode) == (2, 2, 0)
    assert "give --account once" in two.stderr
    assert "no account is called usdm; the nearest known is usdm-only" in unknown.stderr
    assert "\nsettings  production usdm-only (" in shown.stdout


def test_arguments_of_a_scenario_are_followed(desk: Desk) -> None:
    """A scenario of one's own may be about one symbol or about orders only."""
    scenario = desk.folder / "mine.yaml"
    scenario.write_text(
        "description: Only one symbol.\n"
        "account: {positions: {BTCUSDT: '1', ETHUSDT: '2'}}\n"
        "expect: {left: [ETHUSDT], arguments: [--symbol, BTCUSDT]}\n"
    )

    code, document = desk.drill("--scenario", str(scenario))

    assert code == 0, document["scenarios"]
    assert document["scenarios"][0]["left"] == ["ETHUSDT"]


@pytest.mark.parametrize(
    "arguments", [("--real", "--scenario", "weight_exhausted"), ("--scenario", "key_refused")]
)
def test_no_deadline_is_called_enough_where_nothing_was_closed(
    desk: Desk, arguments: tuple[str, ...]
) -> None:
    """`Yes` is read, and the rest of the line is not."""
    _, document = desk.drill(*arguments)

    assert document["completed"] == 0
    assert "have been enough? Not known: no" in document["answer"]


def test_repeats_show_the_spread(desk: Desk) -> None:
    """One seed may have been lucky."""
    _, document = desk.drill("--scenario", "halted_for_a_while", "--repeat", "5")

    (score,) = document["scenarios"]
    assert score["seconds_min"] < score["seconds"]
    assert document["repeat"] == 5


def test_the_same_drill_is_the_same_card(desk: Desk) -> None:
    """Virtual time does not depend on the machine: a change on the card is a change."""
    cards = set()
    for number in range(2):
        desk.variables = {"PYTHONHASHSEED": str(number)}
        cards.add(desk.run("--verbose", "--scenario", "settled_by_venue", *TROUBLE).stdout)

    assert len(cards) == 1


@pytest.mark.parametrize(
    ("arguments", "level", "words"),
    [
        ((), "INFO", "passed less than a day ago"),
        (QUICK, "WARNING", "no drill is on record"),
        (("--scenario", "slow_venue", "--timeout", "1"), "WARNING", "failed"),
    ],
)
def test_validate_online_remembers_a_whole_drill(
    whole: Whole, desk: Desk, arguments: tuple[str, ...], level: str, words: str
) -> None:
    """A part of the catalogue can fail, and cannot pass for the whole."""
    if arguments:
        desk.run(*arguments)
    else:
        shutil.copytree(whole.desk.log_dir, desk.log_dir)

    with EmbeddedServer(Scenario(name="")) as server:
        desk.variables = {
            "LIQCTL_EXCHANGE__BASE_URL": server.url,
            "LIQCTL_API_KEY": server.api_key,
            "LIQCTL_API_SECRET": server.api_secret,
        }
        ended = desk.run("--online", "--json", command="validate")

    issues = {issue["field"]: issue for issue in json.loads(ended.stdout)["issues"]}
    assert (issues["drills"]["level"], words in issues["drills"]["message"]) == (level, True), (
        issues["drills"]
    )


def test_the_card_is_plain_where_nobody_looks(whole: Whole, desk: Desk) -> None:
    """Mails and tickets show escapes as dirt, and `grep` wants a row on a line."""
    ended = desk.run(*whole.worst)

    lines = ended.stdout.splitlines()
    assert "\x1b" not in ended.stdout
    assert lines[0] == ("PASSED: settings of production, 12 of 12 scenarios ended as they should")
    assert lines[2].split() == ["verdict", "scenario", "end", "time", "left", "open"]
    assert [line.split()[0] for line in lines[3:13]] == ["ok"] * 10
    assert lines[-1].startswith("Would 5 s have been enough? Yes: ")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_the_card_fits_a_small_terminal(whole: Whole, desk: Desk, no_color: str) -> None:
    """80 columns, 24 lines: verdict, worst scenarios and answer are seen without scrolling."""
    desk.variables = {"NO_COLOR": no_color}

    shown = on_terminal(desk, *whole.worst, columns=80, lines=24)

    plain = re.sub(r"\x1b\[\d*m", "", shown)
    assert ("\x1b[32mok\x1b[0m" in shown) is not bool(no_color)
    assert ("\x1b" in shown) is not bool(no_color)
    assert max(map(len, plain.splitlines())) <= 80
    assert len(plain.splitlines()) < 24
    assert "before the deadline" in " ".join(plain.splitlines()[-3:])


def on_terminal(desk: Desk, *arguments: str, columns: int, lines: int) -> str:
    """Return what a drill prints on a terminal of that size; progress goes elsewhere."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with subprocess.Popen(
        desk.words(*arguments),
        cwd=desk.folder,
        env=desk.environ(),
        stdin=side,
        stdout=side,
        stderr=subprocess.DEVNULL,
    ) as program:
        os.close(side)
        blocks, ends_at = [], time.monotonic() + TIMEOUT_S
        while time.monotonic() < ends_at:
            select.select([main], [], [], TIMEOUT_S)
            try:
                block = os.read(main, 65536)
            except OSError:
                break
            blocks.append(block)
        program.wait(TIMEOUT_S)
    os.close(main)
    return b"".join(blocks).decode().replace("\r\n", "\n")


BREAKS: Final = {
    "the stops are cancelled first": (
        "kernel/proof.py",
        "position = positions.get(order.leg)",
        "position = None",
    ),
    "a failed reading is taken for an empty one": (
        "kernel/reading.py",
        "return Reading(complete=False, error=rows, silent=source)",
        "return Reading()",
    ),
    "the deadline is ten times as long": (
        "kernel/limits.py",
        "ends = began + timeout_s",
        "ends = began + 10 * timeout_s",
    ),
    "a client order id is used again": (
        "kernel/sending.py",
        "self._order_no += 1",
        "self._order_no = 1",
    ),
}


def break_engine(desk: Desk, *breaks: tuple[str, str, str]) -> None:
    """Let the program run from a copy in which some lines are broken."""
    shutil.copytree(ROOT / "liqctl", desk.folder / "hook" / "liqctl")
    shutil.copytree(ROOT / "configs" / "scenarios", desk.folder / "hook" / "configs" / "scenarios")
    for file, line, broken in breaks:
        source = desk.folder / "hook" / "liqctl" / file
        text = source.read_text()
        assert line in text, line
        source.write_text(text.replace(line, broken))


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_engine_turns_the_drill_red(name: str, desk: Desk) -> None:
    """An operator's drill after an update is worth what it can find."""
    break_engine(desk, BREAKS[name])

    code, document = desk.drill(*TROUBLE)

    assert code == 1
    assert any(score["broken"] for score in document["scenarios"]), document["answer"]
    assert "do not rely on liqctl" in document["answer"]


def test_an_engine_that_closes_nothing_turns_the_drill_red(desk: Desk) -> None:
    """No rule is broken by doing nothing: then the promises are what is not kept."""
    flag = "reduce_only=close.order_leg.position_side is PositionSide.BOTH"
    break_engine(desk, ("kernel/sending.py", flag, "reduce_only=False"))

    code, document = desk.drill("--scenario", "default")

    assert code == 1
    assert "with every deadline up to 30 s" in document["answer"]


ARMED_BREAKS: Final = {
    "armed_signal_trips": (
        ("kernel/result.py", "held_seconds=held_s", "held_seconds=0.0"),
        "it was not held flat",
    ),
    "armed_stopped_bot": (
        ("standby/armed.py", "by=TripCause.HEARTBEAT", "by=TripCause.SIGNAL"),
        "tripped by SIGNAL, expected HEARTBEAT",
    ),
    "armed_losing_account": (
        ("kernel/guards.py", "counted_at = agreeing + 1, at", "counted_at = agreeing + 9, at"),
        "readings were enough, 3 should agree",
    ),
    "armed_reopened_in_the_hold": (
        ("kernel/result.py", "(*((note,) if reopened else ()), *self.notes)", "self.notes"),
        "a position on BTCUSDT was not named",
    ),
    "armed_handed_over": (
        ("cli/handing_over.py", 'ExitCode(int(answer["exit_code"]))', "ExitCode.PARTIAL"),
        "liquidate exited 3",
    ),
    "armed_killed_in_a_run": (
        (
            "cli/handing_over.py",
            "take_back(run, taker)\n        return None",
            "take_back(run, taker)\n        return 1",
        ),
        "it exited 1 without a result",
    ),
    "armed_latched": (
        ("standby/process.py", '{identity}.latch", _FLAGS', '{identity}.lost", _FLAGS'),
        "arm without --rearm exited None",
    ),
}


def test_a_broken_armed_process_turns_its_scenario_red(desk: Desk) -> None:
    """All broken at once, each scenario names what it found."""
    break_engine(desk, *(change for change, _ in ARMED_BREAKS.values()))

    code, document = desk.drill(*(w for name in ARMED_BREAKS for w in ("--scenario", name)))

    wrong = {score["scenario"]: " ".join(score["wrong"]) for score in document["scenarios"]}
    assert code == 1
    assert {n: words for n, (_, words) in ARMED_BREAKS.items() if words not in wrong[n]} == {}, (
        wrong
    )


def offspring(pid: int) -> dict[int, bytes]:
    """Return the processes that a process has started, each with its variables."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found[int(stat.parent.name)] = stat.with_name("environ").read_bytes()
    return found


def lives(pid: int) -> bool:
    """Return whether a process runs; one that is dead and that nobody waits for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_drill_or_sees_a_key(desk: Desk, number: int) -> None:
    """An armed process that stays behind would watch nothing for ever, with the drill's key."""
    desk.variables = {"LIQCTL_PRODUCTION_API_KEY": "canaryKey" * 7, "SLACK_URL": "canary"}
    ends_at = time.monotonic() + TIMEOUT_S
    with desk.started("--scenario", "armed_signal_trips") as program:
        while not (started := offspring(program.pid)):
            assert time.monotonic() < ends_at
        # Right after the fork its variables are still those of the drill.
        while not all(b"LIQCTL_CONFIG" in each for each in started.values()):
            started = offspring(program.pid)
        program.send_signal(number)
        program.communicate(timeout=TIMEOUT_S)
        while any(lives(pid) for pid in started):
            assert time.monotonic() < ends_at, "it goes on"

    assert program.returncode == (130 if number == signal.SIGINT else -number)
    assert not [pid for pid, variables in started.items() if b"canary" in variables]
