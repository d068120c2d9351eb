"""The program from outside: help, versions, usage errors, broken descriptors, signals."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import liqctl
from liqctl.cli import app
from liqctl.cli.root import COMMANDS
from liqctl.kernel.states import ExitCode

TIMEOUT_S = 60


def run(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, "-m", "liqctl", *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
    )


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run a few lines in an interpreter of their own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def test_help_names_every_command_on_stdout() -> None:
    """Help is the first page an operator sees; it must be complete and greppable."""
    ended = run("--help")

    assert ended.returncode == ExitCode.DONE
    assert ended.stderr == ""
    for name, entry in COMMANDS.items():
        assert f"  {name}" in ended.stdout
        assert entry.summary in ended.stdout


def test_help_imports_neither_commands_nor_heavy_libraries() -> None:
    """Help, completion and typing errors must not cost what a liquidation costs."""
    ended = run_python(
        "import sys; from liqctl.cli.app import run; run(['--help'])\n"
        "heavy = {'ccxt', 'aiohttp', 'rich', 'pydantic', 'yaml', 'liqctl.cli.liquidate'}\n"
        "sys.stderr.write(repr(sorted(heavy & set(sys.modules))))"
    )

    assert ended.stderr == "[]"


def test_importing_the_library_loads_nothing() -> None:
    """`import liqctl` in somebody's bot must be free."""
    ended = run_python("import sys, liqctl; print([m for m in sys.modules if 'liqctl.' in m])")

    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [name for name in liqctl.__all__ if name != "__version__"])
def test_every_public_name_can_be_imported(name: str) -> None:
    """The lazy table and the promised names must agree."""
    assert getattr(liqctl, name).__name__ == name


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    """`hasattr` and autocompletion rely on it."""
    assert not hasattr(liqctl, "no_such_name")


def test_version_is_printed() -> None:
    """Bug reports begin with it."""
    assert run("--version").stdout == f"liqctl {liqctl.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("no-such-command",),
        ("--no-such-option",),
        ("simulator", "serve", "--port"),
        ("simulator", "serve", "--port", "70000"),
    ],
)
def test_wrong_usage_exits_2_and_speaks_on_stderr(arguments: tuple[str, ...]) -> None:
    """A cron job must be able to tell its own mistake from the venue's."""
    ended = run(*arguments)

    assert ended.returncode == ExitCode.USAGE
    assert ended.stdout == ""
    assert ended.stderr != ""
    assert "Traceback" not in ended.stderr


def test_a_mistyped_command_is_suggested() -> None:
    """In a hurry people type badly."""
    assert "Did you mean 'liquidate'" in run("liquidat").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--secret=hunter2hunter2hunter2hunter2",),
        ("--api-key", "hunter2hunter2hunter2hunter2"),
        ("hunter2hunter2hunter2hunter2",),
        ("simulator", "list", "hunter2hunter2hunter2hunter2"),
    ],
)
def test_a_secret_typed_as_an_argument_is_not_repeated(arguments: tuple[str, ...]) -> None:
    """Standard error ends up in mails and logs."""
    ended = run(*arguments)

    assert ended.returncode == ExitCode.USAGE
    assert "hunter2" not in ended.stdout + ended.stderr


def test_a_full_disk_under_stdout_keeps_the_exit_code() -> None:
    """Python alone would turn 0 into 120."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        assert run("--help", stdout=full.fileno()).returncode == ExitCode.DONE


def test_a_closed_pipe_keeps_the_exit_code() -> None:
    """`liqctl ... | head -1` must not look like a failure, nor stop a liquidation."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run("--help", stdout=writer).returncode == ExitCode.DONE
    finally:
        os.close(writer)


def test_closed_descriptors_are_filled_before_anything_is_opened() -> None:
    """Else the audit trail would become descriptor 1 and `print` would write into it."""
    ended = subprocess.run(
        f"{sys.executable} -c 'from liqctl.cli import process; process.prepare(); import os; "
        'os._exit(os.open("/dev/null", 0))\' <&- >&- 2>&-',
        shell=True,
        check=False,
        timeout=TIMEOUT_S,
    )

    assert ended.returncode > 2


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_a_signal_before_any_work_ends_the_program_with_its_code(
    number: signal.Signals, code: ExitCode
) -> None:
    """The exit codes hold from the first line on, during imports and at the prompt."""
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from liqctl.cli import process; process.prepare(); print('up', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        started.send_signal(number)
        assert started.wait(TIMEOUT_S) == code


def test_while_working_the_first_signal_calls_and_the_second_leaves() -> None:
    """A second Ctrl-C is the operator's last word."""
    code = (
        "from liqctl.cli import process; process.prepare()\n"
        "import os; process.signals.shield(lambda: os.write(1, b'stopping\\n'))\n"
        "print('up', flush=True)\n"
        "while True: input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        started.send_signal(signal.SIGHUP)
        started.send_signal(signal.SIGTERM)
        assert started.stdout.readline() == "stopping\n"
        started.send_signal(signal.SIGINT)
        assert started.wait(TIMEOUT_S) == ExitCode.TERMINATED


def test_the_deadline_ends_a_process_whose_main_thread_hangs() -> None:
    """No timeout inside an event loop ends a blocked name look-up."""
    ended = run_python(
        "from liqctl.cli import process; import threading, time\n"
        "from liqctl.kernel.limits import Deadline\n"
        "process.prepare()\n"
        "deadline = Deadline.after(0.2, began=time.monotonic(), epoch_s=0.0)\n"
        "process.Watchdog(deadline, lambda: 3)\n"
        "threading.Event().wait()"
    )

    assert ended.returncode == ExitCode.PARTIAL


def test_the_last_resort_ends_a_process_whose_watchdog_hangs() -> None:
    """A callback that waits for a dead disk must not keep the process alive."""
    ended = run_python(
        "from liqctl.cli import process; import threading, time\n"
        "from liqctl.kernel.limits import Deadline\n"
        "process.prepare()\n"
        "deadline = Deadline.after(0.2, began=time.monotonic(), epoch_s=0.0)\n"
        "process.Watchdog(deadline, lambda: threading.Event().wait())\n"
        "threading.Event().wait()"
    )

    assert ended.returncode == ExitCode.FAILED


@pytest.mark.parametrize("seconds", [0.0, 1e-10, -1.0])
def test_a_last_resort_whose_moment_is_past_ends_the_process_at_once(seconds: float) -> None:
    """A timer of 0 s never expires, and one of less was an error of ours."""
    ended = run_python(
        "from liqctl.cli import process; import time\n"
        f"process.LastResort({seconds}, 7)\n"
        "time.sleep(10)"
    )

    assert ended.returncode == 7, ended.stderr


def test_a_courier_that_began_too_late_has_an_end_all_the_same(tmp_path: Path) -> None:
    """On a busy machine an interpreter takes longer to start than all of a courier's time."""
    order = {"ends_at": 0.0, "log_dir": str(tmp_path), "correlation_id": "liq_1"}
    ended = run_python(
        "import io, json, sys, time; from liqctl.cli import courier\n"
        f"sys.stdin = io.StringIO({json.dumps(json.dumps(order))})\n"
        "courier.carry_out = lambda *_: time.sleep(10)\n"
        "courier.main()"
    )

    assert ended.returncode == ExitCode.FAILED
    assert not list(tmp_path.iterdir()), "it hung, and ended by an error then"


def test_a_process_that_was_stopped_until_after_its_deadline_says_what_is_known() -> None:
    """The watchdog did not start: a run ended by an error of ours instead."""
    ended = run_python(
        "from liqctl.cli import process; import threading, time\n"
        "from liqctl.kernel.limits import Deadline\n"
        "process.prepare()\n"
        "deadline = Deadline.after(0.2, began=time.monotonic() - 1.0, epoch_s=0.0)\n"
        "process.Watchdog(deadline, lambda: 3)\n"
        "threading.Event().wait()"
    )

    assert ended.returncode == ExitCode.PARTIAL, ended.stderr


def test_an_unexpected_error_shows_where_but_never_its_text() -> None:
    """A library's error text holds headers and signed addresses."""
    ended = run_python(
        "from liqctl.cli import app, root\n"
        "root.COMMANDS['liquidate'] = root.Entry('', 'app:canary_hunter2')\n"
        "raise SystemExit(app.run(['liquidate', '--help']))"
    )

    assert ended.returncode == ExitCode.FAILED
    assert "unexpected error, a bug in liqctl: AttributeError at liqctl.cli.app" in ended.stderr
    assert "may still be open" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_a_crash_of_a_command_that_sends_nothing_says_so() -> None:
    """Who only looked must not start to close by hand."""
    ended = run_python(
        "from liqctl.cli import app, root\n"
        "root.COMMANDS['status'] = root.Entry('', 'app:nothing')\n"
        "raise SystemExit(app.run(['status']))"
    )

    assert ended.returncode == ExitCode.FAILED
    assert "Nothing was sent to the account" in ended.stderr
    assert "may still be open" not in ended.stderr
    sending = COMMANDS.keys() - app._SENDS_NOTHING
    assert sending == {"arm", "liquidate"}, "say of a new command whether it sends anything"
