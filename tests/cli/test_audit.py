"""`liqctl audit` as an operator or a script uses it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from liqctl.trail.writer import AuditLogger

_ROOT = Path(__file__).parents[2]
_PROGRAM = "import sys; from liqctl.cli.app import run; sys.exit(run(['audit', *sys.argv[1:]]))"
_RUN = "liq_20260102_103000_abc123"


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", _PROGRAM, *map(str, arguments)]


def _environment(**changes: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "XDG_STATE_HOME")}
    return {**kept, "PYTHONPATH": str(_ROOT), **changes}


def _run(
    *arguments: object, cwd: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*arguments),
        cwd=cwd,
        env=_environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _on_terminal(columns: int, *arguments: object, **changes: str) -> str:
    """Return what the command writes to a terminal of so many columns."""
    master, slave = pty.openpty()
    environment = _environment(COLUMNS=str(columns), **changes)
    with subprocess.Popen(_command(*arguments), stdout=slave, env=environment) as program:
        os.close(slave)
        written = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # Linux says so when the other end is closed.
                break
            if not part:
                break
            written += part
        os.close(master)
    assert program.returncode == 0
    return written.decode().replace("\r\n", "\n")


@pytest.fixture
def trail(tmp_path: Path) -> AuditLogger:
    """Return a trail in ./logs of one run that closed one symbol and was refused another."""
    made = AuditLogger(tmp_path / "logs", environment="testnet")
    events: tuple[tuple[str, dict[str, object]], ...] = (
        (
            "LIQUIDATION_START",
            {"pid": 7, "timeout_seconds": 5.0, "user": "ops", "host": "desk", "reason": "drill"},
        ),
        ("ORDER_SENT", {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.500"}),
        ("ORDER_SENT", {"symbol": "ETHUSDT", "side": "BUY", "quantity": "2"}),
        ("POSITION_CLOSED", {"symbol": "BTCUSDT"}),
        (
            "ORDER_REJECTED",
            {"symbol": "ETHUSDT", "code": -4131, "message": "\x1b[2J\u202eevil " * 9},
        ),
        ("LIQUIDATION_PARTIAL", {"state": "PARTIAL", "exit_code": 3}),
    )
    for event_type, details in events:
        made.log_event(event_type=event_type, correlation_id=_RUN, details=details)
    return made


def test_tail_prints_one_plain_line_an_event_when_piped(tmp_path: Path, trail: AuditLogger) -> None:
    """`./logs` is read when nothing else is named; nothing wraps and nothing is coloured."""
    ended = _run("tail", "-n", 2, cwd=tmp_path)

    lines = ended.stdout.splitlines()
    assert (ended.returncode, ended.stderr, len(lines)) == (0, "", 2)
    assert _RUN in lines[0]
    assert "ORDER_REJECTED         ETHUSDT" in lines[0]
    assert "code -4131" in lines[0]
    assert ended.stdout.replace("\n", "").isprintable()


def test_tail_json_is_the_trails_own_bytes(trail: AuditLogger) -> None:
    """So that a filtered excerpt can still be hashed."""
    ended = _run("tail", "--json", "--failed", "--log", trail.path)

    assert ended.stdout.splitlines() == trail.path.read_text().splitlines()[-2:]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("-n", "0"), 6),
        (("--event-type", "ORDER_SENT", "--event-type", "POSITION_CLOSED"), 3),
        (("--correlation-id", _RUN, "--lines", "4"), 4),
        (("--correlation-id", "other"), 0),
        (("--since", "10m"), 6),
        (("--since", "2999-01-01T00:00:00Z"), 0),
    ],
)
def test_tail_filters(trail: AuditLogger, options: tuple[str, ...], count: int) -> None:
    """Each filter of the contract."""
    ended = _run("tail", "--json", "--log", trail.path, *options)

    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, count)


@pytest.mark.parametrize("columns", [80, 200])
def test_tail_fits_the_terminal_and_escapes_what_the_venue_said(
    trail: AuditLogger, columns: int
) -> None:
    """A symbol or message may hold anything, and colours are for terminals."""
    plain = _on_terminal(columns, "tail", "--log", trail.path, "--no-color")
    coloured = _on_terminal(columns, "tail", "--log", trail.path)

    assert max(map(len, plain.splitlines())) <= columns
    assert "\x1b" not in plain
    assert "\x1b[31m" in coloured
    assert "\x1b[2J" not in coloured
    assert "\u202e" not in coloured
    assert "\x1b" not in _on_terminal(columns, "tail", "--log", trail.path, NO_COLOR="1")


def test_follow_shows_what_comes_and_ends_with_its_reader(trail: AuditLogger) -> None:
    """`tail -f | head -1` must not stay behind for ever."""
    with subprocess.Popen(
        _command("tail", "-f", "-n", 1, "--json", "--log", trail.path),
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert "LIQUIDATION_PARTIAL" in program.stdout.readline()
        trail.log_event(event_type="VERIFIED", correlation_id="later", details={})
        assert json.loads(program.stdout.readline())["correlation_id"] == "later"
        program.stdout.close()
        assert program.wait(timeout=30) == 0


def test_follow_goes_on_through_every_kind_of_rotation(tmp_path: Path, trail: AuditLogger) -> None:
    """Renamed while a run still writes into it, cut, replaced, and reached through a link."""
    link = tmp_path / "current"
    link.symlink_to(trail.path)
    with subprocess.Popen(
        _command("tail", "-f", "-n", 1, "--json", "--log", link),
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None

        def next_id() -> object:
            assert program.stdout is not None
            return json.loads(program.stdout.readline())["correlation_id"]

        def write(path: Path, mode: str, run: str) -> None:
            line = trail.path.with_name("audit.1").read_text().splitlines()[0]
            with path.open(mode) as file:
                file.write(line.replace(_RUN, run) + "\n")

        assert next_id() == _RUN
        trail.path.rename(trail.path.with_name("audit.1"))
        write(trail.path, "a", "in the new file")
        assert next_id() == "in the new file"
        write(trail.path.with_name("audit.1"), "a", "late in the old file")
        assert next_id() == "late in the old file"
        trail.path.write_bytes(b"")
        write(trail.path.with_name("audit.1"), "a", "after the cut")
        assert next_id() == "after the cut"
        write(trail.path, "a", "in the cut file")
        assert next_id() == "in the cut file"
        write(tmp_path / "next", "w", "in the replacement")
        (tmp_path / "next").rename(trail.path)
        assert next_id() == "in the replacement"
        program.stdout.close()
        assert program.wait(timeout=30) == 0


def test_show_tells_a_run_by_symbol(trail: AuditLogger) -> None:
    """Who, why, what happened to each symbol, how it ended."""
    ended = _run("show", _RUN, "--log", trail.path)

    shown = ended.stdout.splitlines()
    assert shown[0].startswith(f"Run {_RUN} in testnet, ")
    assert shown[1].endswith("by ops on desk")
    assert shown[2] == "Reason: drill"
    assert [line for line in shown if line in {"The run", "BTCUSDT", "ETHUSDT"}] == [
        "The run",
        "BTCUSDT",
        "ETHUSDT",
    ]
    assert shown[-1].endswith("LIQUIDATION_PARTIAL")
    document = json.loads(_run("show", _RUN, "--log", trail.path, "--json").stdout)
    assert [record["seq"] for record in document["records"]] == [1, 2, 3, 4, 5, 6]


def test_verify_prints_the_head_that_results_carry(trail: AuditLogger) -> None:
    """Both in words and as one JSON document."""
    head = trail.head(_RUN)
    ended = _run("verify", "--log", trail.path, "--head", head)
    document = json.loads(_run("verify", "--log", trail.path, "--json").stdout)

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == f"head {head}"
    assert (document["intact"], document["records"], document["head"]) == (True, 6, head)


def test_a_broken_chain_is_exit_8_with_its_line(trail: AuditLogger) -> None:
    """Also when nobody reads the answer."""
    trail.path.write_text(trail.path.read_text().replace('"0.500"', '"0.005"'))
    ended = _run("verify", "--log", trail.path)
    with subprocess.Popen(
        _command("verify", "--log", trail.path), env=_environment(), stdout=subprocess.PIPE
    ) as unread:
        assert unread.stdout is not None
        unread.stdout.close()

    assert ended.returncode == unread.returncode == 8
    assert "BROKEN" in ended.stdout
    assert "line 3: prev_hash does not fit" in ended.stdout


def test_a_head_that_is_not_in_the_file_is_exit_8(trail: AuditLogger) -> None:
    """Only this shows a cut end."""
    ended = _run("verify", "--log", trail.path, "--head", "0" * 64)

    assert ended.returncode == 8
    assert "cut, rewritten, or is another one" in ended.stdout


@pytest.mark.parametrize("command", [("tail",), ("show", _RUN), ("verify",)])
def test_a_missing_trail_is_explained(tmp_path: Path, command: tuple[str, ...]) -> None:
    """What it means and what to do, not a traceback."""
    ended = _run(*command, cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    missing = tmp_path / "state" / "liqctl" / "logs" / "audit.jsonl"
    assert f"no audit trail at {missing}" in ended.stderr
    assert "--log FILE" in ended.stderr


def test_a_missing_trail_or_run_in_json_is_one_document(tmp_path: Path, trail: AuditLogger) -> None:
    """With --json stdout holds one JSON document, whatever happens."""
    for ended in (
        _run("verify", "--json", "--log", tmp_path / "nothing"),
        _run("show", "unknown", "--json", "--log", trail.path),
    ):
        assert ended.returncode == 1
        assert json.loads(ended.stdout)["error_message"]


def test_every_command_helps_with_an_example() -> None:
    """Nobody reads a manual in an emergency."""
    for command in ("tail", "show", "verify"):
        assert "Example: liqctl audit " + command in _run(command, "--help").stdout
