"""What follows a run: told after the result, never later than allowed, whatever a web hook does."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liqctl.notify.notice import plain_environment
from tests.notify.receiver import Receiver, receiver
from tests.process.program import Program, house, overshoot_max_s, overshoot_s, program, wait_until

KEY = "canaryKey0123456789canaryKey0123456789canaryKey0123456789canary"
SECRET = "canarySecret9876543210canarySecret9876543210canarySecret98765432"
PATH = "/canaryPath0123456789"
TOKEN = "canaryToken0123456789"


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A web hook that is there."""
    with receiver() as made:
        yield made


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account with a key that must not be seen anywhere."""
    with program(tmp_path, api_key=KEY, api_secret=SECRET) as made:
        yield made


def listen_to(running: Program, hook: Receiver, **target: Any) -> None:
    """Let the program tell the web hook, whose address and token are secrets."""
    running.variables |= {"HOOK_URL": f"{hook.url}{PATH}", "HOOK_TOKEN": TOKEN}
    item = {"type": "webhook", "url_env": "HOOK_URL", "token_env": "HOOK_TOKEN", **target}
    running.more = {"notifications": [item]}


def outcomes(running: Program, word: str = "NOTIFICATION") -> list[str]:
    """Return the lines of liqctl.log about what followed, without their time."""
    log = running.folder / "logs" / "liqctl.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line.partition(f" {word} ")[2] for line in lines if f" {word} " in line]


def test_the_end_is_told_with_the_start_and_the_log_says_so(
    running: Program, hook: Receiver
) -> None:
    """Whoever is not at the terminal must be able to read it on a telephone."""
    listen_to(running, hook)

    ended = running.run("--reason", "drill")

    assert ended.code == 0, ended.stderr
    assert ended.stderr == ""
    assert hook.events == ["start", "end"]
    start, end = (request.document for request in hook.received)
    assert "reason: drill" in start["text"]
    assert start["at"] == ended.result["started_at"]
    assert end["result"]["audit_head"] == ended.result["audit_head"]
    assert end["text"].endswith(f"head {ended.result['audit_head']}")
    assert [line.split(" seconds=")[0] for line in outcomes(running)] == [
        f"target=webhook-1 type=webhook event={event} result=delivered"
        for event in ("start", "end")
    ]
    assert hook.received[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_several_accounts_are_told_once_and_written_to_one_file(
    tmp_path: Path, hook: Receiver
) -> None:
    """Of five accounts one key is refused and one hangs: one message, one file, each by name."""
    with house(tmp_path) as running:
        listen_to(running, hook)
        running.more["accounts"] = {
            name: {} for name in ("desk-a", "desk-b", "portfolio", "refused", "silent")
        }
        running.more["metrics"] = {"textfile": str(tmp_path / "liqctl.prom")}
        ended = running.run("--all-accounts")
        _, end = hook.wait_for(2)
        figures = (tmp_path / "liqctl.prom").read_text()
        running.run("--account", "desk-a")
        alone = (tmp_path / "liqctl.prom").read_text()

    assert ended.code == end.document["exit_code"] == 1
    assert hook.events[:2] == ["start", "unknown"]
    assert {row["name"]: row["exit_code"] for row in end.document["accounts"]} == {
        "desk-a": 0,
        "desk-b": 0,
        "portfolio": 0,
        "refused": 7,
        "silent": 1,
    }
    assert "; 3 of 5 accounts flat in scope (7 positions closed, " in end.document["text"]
    flat = 'liqctl_account_flat{account="%s",environment="simulator"} 1.0'
    runs = 'liqctl_runs_total{account="%s",environment="simulator",state="%s"} %d.0'
    assert all(flat % name in figures for name in ("desk-a", "desk-b", "portfolio"))
    assert 'liqctl_account_flat{account="refused"' not in figures
    assert runs % ("desk-b", "COMPLETED", 1) in figures
    assert runs % ("silent", "FAILED", 1) in figures
    # A run of one account writes the same file: the others' counts must not vanish from it.
    assert runs % ("desk-a", "COMPLETED", 2) in alone
    assert runs % ("silent", "FAILED", 1) in alone
    assert hook.received[-1].document["text"].startswith("liqctl simulator desk-a COMPLETED: ")
    assert "accounts" not in hook.received[-1].document


def test_nothing_is_told_before_the_result_is_out(running: Program, hook: Receiver) -> None:
    """A message that came first could be wrong, and sending it could delay the end."""
    hook.silent = True
    listen_to(running, hook)
    with running.start(stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        first = os.read(started.stdout.fileno(), 1)
        hook.wait_for(1)
        records = [record["event_type"] for record in running.records()]
        hook.released.set()
        started.communicate(timeout=40)

    assert first == b"{"
    assert records[-1] == "LIQUIDATION_COMPLETE"
    assert started.returncode == 0


def test_a_dead_web_hook_costs_two_seconds_and_is_in_the_log(
    running: Program, hook: Receiver
) -> None:
    """It may cost nothing but that: neither the exit code nor the answer."""
    hook.silent = True
    listen_to(running, hook, events=["end"])

    ended = running.run()

    assert ended.code == 0
    assert ended.result["state"] == "COMPLETED"
    assert "not all notifications could be delivered, see " in ended.stderr
    (line,) = outcomes(running)
    assert line.startswith(
        "target=webhook-1 type=webhook event=end result=failed problem=timed out seconds="
    )
    assert float(line.rpartition("=")[2]) < 2.0


@pytest.mark.parametrize("trouble", ["venue hangs", "loop hangs"])
def test_the_deadline_holds_and_the_message_comes_all_the_same(
    running: Program, hook: Receiver, trouble: str
) -> None:
    """At the deadline the program leaves; what follows goes on alone."""
    running.timeout_s = 2.0
    running.hang(method="POST")
    if trouble == "loop hangs":
        running.hook(BUSY_LOOP)
    hook.silent = True
    listen_to(running, hook, events=["end"])

    ended = running.run()

    late_s = overshoot_s(running.records(), time.time(), running.timeout_s)
    assert late_s < overshoot_max_s()
    assert ended.code in {1, 3}
    assert ended.result["deadline_exceeded"] is True
    (told,) = hook.wait_for(1)
    assert told.document["exit_code"] == ended.code
    assert told.document["severity"] == "critical"
    assert told.document["correlation_id"] == ended.result["correlation_id"]
    wait_until(lambda: bool(outcomes(running)), "the outcome is not in the log")


BUSY_LOOP = """
    import asyncio
    make = asyncio.new_event_loop
    def made():
        loop = make()
        loop.call_later(1.3, lambda: [None for _ in iter(int, 1)])
        return loop
    asyncio.new_event_loop = made
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_while_waiting_leaves_at_once_and_the_message_comes_all_the_same(
    running: Program, hook: Receiver, number: signal.Signals, code: int
) -> None:
    """Everything is decided and printed; nobody should have to press twice."""
    hook.silent = True
    listen_to(running, hook, events=["end"])
    with running.start() as started:
        hook.wait_for(1)
        assert started.poll() is None
        started.send_signal(number)
        stdout, stderr = started.communicate(timeout=40)

    assert started.returncode == code
    assert b'"state": "COMPLETED"' in stdout
    assert stderr == b""  # neither "stopping" nor a word about the web hook that it did not await
    wait_until(lambda: bool(outcomes(running)), "the other process ended with this one")


def test_the_other_process_holds_neither_our_output_nor_our_terminal(
    running: Program, hook: Receiver
) -> None:
    """`$(liqctl …)`, cron and ssh wait until every holder of stdout is gone."""
    hook.silent = True
    listen_to(running, hook, events=["end"])
    with running.start() as started:
        hook.wait_for(1)
        (other,) = children(started.pid)
        words = Path(f"/proc/{other}/cmdline").read_bytes().split(b"\0")
        session = os.getsid(other)
        started.terminate()
        started.communicate(timeout=40)  # ends when both pipes have no holder left

        assert is_alive(other)
    assert session == other
    assert words[1:] == [b"-P", b"-m", b"liqctl.cli.courier", b""]
    wait_until(lambda: not is_alive(other), "it lives on")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in found.split()]


def is_alive(pid: int) -> bool:
    """Return whether the process is there and no zombie that nobody waits for."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_the_account_is_out_of_the_other_process_reach() -> None:
    """It speaks to strangers: keys and settings stay here, and no proxy listens."""
    given = {
        "LIQCTL_API_KEY": KEY,
        "LIQCTL_PRODUCTION_API_SECRET": SECRET,
        "LIQCTL_API_SECRET_FILE": "/run/secret",
        "https_proxy": "http://proxy",
        "HTTP_PROXY": "http://proxy",
        "SLACK_URL": "https://example.org",
        "PATH": "/bin",
    }

    assert plain_environment(given) == {"SLACK_URL": "https://example.org", "PATH": "/bin"}


def test_no_secret_is_left_anywhere(running: Program, hook: Receiver) -> None:
    """Neither the account's nor the web hook's, with every library's log switched on."""
    running.hook("import logging\nlogging.basicConfig(level=1)")
    hook.status = 500
    hook.body = f"{PATH} {TOKEN}".encode()
    listen_to(running, hook)

    ended = running.run("--verbose")

    written = {"stdout": ended.stdout.encode(), "stderr": ended.stderr.encode()}
    for path in running.folder.rglob("*"):
        if path.is_file() and "hook" not in path.parts:
            written[str(path)] = path.read_bytes()
    assert any(name.endswith("liqctl.log") for name in written)
    assert outcomes(running)[0].startswith(
        "target=webhook-1 type=webhook event=start result=failed"
    )
    for name, text in written.items():
        for secret in (KEY, SECRET, PATH, TOKEN):
            assert secret.encode() not in text, name
    sent = b"".join(request.body for request in hook.received)
    assert KEY.encode() not in sent
    assert SECRET.encode() not in sent


def test_a_dry_run_tells_nobody(running: Program, hook: Receiver) -> None:
    """It is a look, and looks are taken often."""
    listen_to(running, hook)
    running.more["metrics"] = {"textfile": str(running.folder / "liqctl.prom")}

    assert running.run("--dry-run").code == 0
    assert hook.received == []
    assert not (running.folder / "liqctl.prom").exists()


def test_a_missing_key_is_told_as_an_unknown_account(running: Program, hook: Receiver) -> None:
    """The emergency was asked for and nothing happened: somebody must hear of it."""
    listen_to(running, hook)
    running.variables["LIQCTL_API_KEY"] = ""

    ended = running.run()

    assert ended.code == 7
    (told,) = hook.received
    assert (told.document["event"], told.document["exit_code"]) == ("unknown", 7)
    assert told.document["severity"] == "critical"


def test_a_disarmed_switch_is_told_as_a_warning(running: Program, hook: Receiver) -> None:
    """Exit 0 alone would pass for success."""
    listen_to(running, hook)
    running.variables |= {
        f"LIQCTL_LIQUIDATION__{name}": "false"
        for name in ("EMERGENCY_LIQUIDATION", "CLOSE_POSITIONS", "CANCEL_ORDERS")
    }

    ended = running.run()

    assert ended.code == 0
    (told,) = hook.received
    assert (told.document["event"], told.document["severity"]) == ("end", "warning")
    assert " SKIPPED: " in told.document["text"]


def test_a_second_run_is_told_as_a_warning(running: Program, hook: Receiver) -> None:
    """Two people pressed; the one who was refused should know who is at it."""
    listen_to(running, hook, events=["end"])
    running.timeout_s = 30.0
    running.variables["LIQCTL_LIQUIDATION__MAX_RETRIES"] = "10"
    running.hang(method="POST", kind="service_unavailable")
    with running.start() as first:
        running.wait_for("LIQUIDATION_START")
        second = running.run()
        blocked = [request.document for request in hook.received]
        first.terminate()
        first.communicate(timeout=40)

    assert second.code == 5
    assert [(told["severity"], told["exit_code"]) for told in blocked] == [("warning", 5)]


def test_without_targets_and_figures_nothing_is_started(running: Program) -> None:
    """Nothing imported, nothing slower: the switch is what matters."""
    running.hook(
        """
        import atexit, os, sys
        leave = os._exit
        def left(code):
            with open("modules", "w") as file:
                file.write("\\n".join(sys.modules))
            leave(code)
        os._exit = left
        """
    )

    assert running.run().code == 0

    loaded = (running.folder / "modules").read_text().split()
    assert "liqctl.cli.execution" in loaded
    assert not {"liqctl.notify.send", "liqctl.notify.notice"} & {*loaded}


def test_figures_are_written_however_dead_the_web_hook_is(running: Program, hook: Receiver) -> None:
    """Two ways of being told must not share one trouble."""
    hook.silent = True
    listen_to(running, hook)
    textfile = running.folder / "liqctl.prom"
    running.more["metrics"] = {"textfile": str(textfile)}

    ended = running.run()

    assert ended.code == 0
    assert outcomes(running, "METRICS") == [f"file={textfile} result=written"]
    text = textfile.read_text()
    assert 'liqctl_account_flat{environment="simulator"} 1.0' in text
    assert 'liqctl_last_run_positions{environment="simulator",outcome="closed"} 3.0' in text


def test_figures_of_a_narrow_run_say_nothing_of_the_account(running: Program) -> None:
    """It saw one symbol; flat there is not flat."""
    textfile = running.folder / "liqctl.prom"
    running.more = {"metrics": {"textfile": str(textfile)}}

    assert running.run("--symbol", "BTCUSDT").code == 0

    text = textfile.read_text()
    assert "liqctl_account" not in text
    assert 'liqctl_last_run_verified_flat{environment="simulator"} 1.0' in text


def test_positions_that_were_never_read_are_no_zero_among_the_figures(running: Program) -> None:
    """Orders were read and stand; `open_positions 0` beside them would say that no money is in."""
    textfile = running.folder / "liqctl.prom"
    running.more = {"metrics": {"textfile": str(textfile)}}
    running.hang(path="/v3/positionRisk", kind="service_unavailable")
    running.hang(path="/v3/account", kind="service_unavailable")
    running.hang(method="DELETE", kind="service_unavailable")
    running.timeout_s = 2.0

    ended = running.run("--json")

    assert not ended.result["positions"]
    assert ended.result["residual"]["orders"]
    assert not ended.result["residual"]["positions"]
    wait_until(textfile.exists, "no figures came")  # after a run that used its deadline up
    text = textfile.read_text()
    assert 'liqctl_account_flat{environment="simulator"} 0.0' in text
    assert "liqctl_account_open_positions" not in text
    assert "liqctl_account_exposure" not in text


def test_a_folder_that_is_missing_is_said_and_changes_no_exit_code(running: Program) -> None:
    """The account is flat; the rest is a detail."""
    running.more = {"metrics": {"textfile": "/nowhere/liqctl.prom"}}

    ended = running.run()

    assert ended.code == 0
    assert "not all notifications could be delivered, see " in ended.stderr
    assert outcomes(running, "METRICS") == [
        "file=/nowhere/liqctl.prom result=failed problem=No such file or directory"
    ]


def test_no_module_of_the_working_folder_stands_in_for_ours(
    running: Program, hook: Receiver
) -> None:
    """`python -m` looks there first, and the folder may be anybody's."""
    (running.folder / "httpx.py").write_text("raise SystemExit(9)")
    listen_to(running, hook)

    assert running.run().code == 0
    assert hook.events == ["start", "end"]
