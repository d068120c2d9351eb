"""What a shell offers at Tab, asked as the shells ask; and what a Tab must never do."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

import liqctl
from liqctl.cli.root import COMMANDS, words
from liqctl.kernel.events import AuditEventType
from liqctl.sim.scenario import list_scenarios
from liqctl.trail.writer import AuditLogger

PATIENCE_S: Final = 40.0
HEAVY: Final = ("ccxt", "aiohttp", "rich", "liqctl.sim.server")

ALONE: Final = {"bash": ("--norc", "--noprofile", "-i"), "zsh": ("-f", "-i")}
"""What keeps a shell from reading the settings of whoever runs the tests."""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a shell that has `liqctl` on its path, as an installation does."""
    tool = tmp_path / "bin" / "liqctl"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m liqctl "$@"\n')
    tool.chmod(0o755)
    return {
        "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(liqctl.__file__).parent.parent),
        "HOME": str(tmp_path),
        "TERM": "xterm",
    }


def ask(line: str, environ: dict[str, str], cwd: Path | None = None, **variables: str) -> list[str]:
    """Return what is offered for the last word of the line, asked as Typer's bash script asks."""
    words = line.split(" ")
    ended = subprocess.run(
        ["liqctl"],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        env=environ
        | {
            "_LIQCTL_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        | variables,
    )
    assert ended.stderr == ""
    return ended.stdout.split()


def test_commands_options_and_values_are_offered(environ: dict[str, str]) -> None:
    """At 3 a.m. nobody remembers the name of a flag."""
    assert ask("liqctl ", environ) == list(COMMANDS)
    assert ask("liqctl s", environ) == ["status", "schema", "simulator"]
    assert ask("liqctl liquidate --dry", environ) == ["--dry-run"]
    assert ask("liqctl simulator ", environ) == ["serve", "list"]
    assert ask("liqctl liquidate --yes --env ", environ) == ["production", "testnet", "simulator"]
    for command in ("liquidate", "status"):
        assert ask(f"liqctl {command} --product ", environ) == ["usdm", "coinm"]
    assert ask("liqctl simulator serve --scenario ", environ) == list(list_scenarios())
    assert ask("liqctl explain ORDER_UNK", environ) == ["ORDER_UNKNOWN"]
    assert ask("liqctl audit tail --event-type ", environ) == [str(t) for t in AuditEventType]


@pytest.mark.parametrize("command", ["liquidate", "status", "validate", "audit tail", "audit show"])
def test_each_command_knows_the_environments(command: str, environ: dict[str, str]) -> None:
    """The word that decides whose account is closed must not be mistyped."""
    assert ask(f"liqctl {command} --env p", environ) == ["production"]
    assert ask(f"liqctl {command} --env = t", environ) == ["testnet"], "bash cuts at the ="


def test_runs_are_offered_by_the_trail(environ: dict[str, str], tmp_path: Path) -> None:
    """An identifier of 26 characters is not typed; the last run comes first."""
    for run in ("liq_first", "liq_second"):
        AuditLogger(log_dir=str(tmp_path / "logs")).log_event(
            event_type=AuditEventType.SNAPSHOT_TAKEN, correlation_id=run, details={}
        )
    elsewhere = str(tmp_path / "nowhere")

    assert ask("liqctl audit show ", environ, tmp_path) == ["liq_second", "liq_first"]
    assert ask("liqctl audit tail --correlation-id liq_f", environ, tmp_path) == ["liq_first"]
    assert ask("liqctl audit show --log logs ", environ, tmp_path) == ["liq_second", "liq_first"]
    assert ask("liqctl report --log logs ", environ, tmp_path) == ["liq_second", "liq_first"]
    assert ask("liqctl audit show --log nowhere ", environ, tmp_path) == []
    assert ask("liqctl liquidate --correlation-id ", environ, tmp_path) == [], "it names a new run"
    assert (
        ask("liqctl audit show --env testnet ", environ, LIQCTL_AUDIT__LOG_DIR=elsewhere) == []
    ), "the log_dir of the settings"


def test_words_of_the_trail_that_a_shell_would_run_are_not_offered() -> None:
    """Zsh evaluates what it is told, and anybody who may append to the trail could name a run."""
    hostile = [
        "$(reboot)",
        "`id`",
        "a'b",
        'a"b',
        "a;b",
        "a b",
        "a\nb",
        "-",
        "a" * 65,
        "",
        "\x1b[2J",
    ]

    offered = words(dict.fromkeys([*hostile, "liq_good"], ""), "")

    assert [name for name, _ in offered] == ["-", "liq_good"]


def test_a_tab_reads_no_key_and_starts_no_venue(environ: dict[str, str], tmp_path: Path) -> None:
    """Tab is pressed without thought, also on the machine with the production key."""
    AuditLogger(log_dir=str(tmp_path / "logs")).log_event(
        event_type=AuditEventType.SNAPSHOT_TAKEN, correlation_id="liq_one", details={}
    )
    key = tmp_path / "key"
    key.write_text("canary")
    script = tmp_path / "asked.py"
    script.write_text(
        "import sys\n"
        "def look(event, arguments):\n"
        "    said = f'{event} {arguments}'\n"
        f"    if event.startswith('socket.') or 'key' in said and {str(key)!r} in said:\n"
        "        sys.stderr.write(said)\n"
        f"    if event == 'import' and arguments[0] in {HEAVY!r}:\n"
        "        sys.stderr.write(said)\n"
        "sys.addaudithook(look)\n"
        "from liqctl.cli import app\n"
        "app.main()\n"
    )
    for line, offered in (
        ("liqctl liquidate --env simulator --sy", ["--symbol"]),
        ("liqctl simulator serve --scenario flat", ["flat"]),
        ("liqctl audit show --env testnet ", ["liq_one"]),
    ):
        words = line.split(" ")
        ended = subprocess.run(
            [sys.executable, str(script)],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            cwd=tmp_path,
            env=environ
            | {
                "_LIQCTL_COMPLETE": "complete_bash",
                "COMP_WORDS": "\n".join(words),
                "COMP_CWORD": str(len(words) - 1),
                "LIQCTL_API_KEY_FILE": str(key),
                "LIQCTL_AUDIT__LOG_DIR": "logs",
            },
        )

        assert ended.stdout.split() == offered
        assert ended.stderr == ""


def test_a_line_that_cannot_be_completed_says_and_does_nothing(environ: dict[str, str]) -> None:
    """A half-typed line is always wrong in some way; messages would ruin the screen."""
    for line in (
        "liqctl liquidate --nonsense ",
        "liqctl liquidate --timeout x ",
        "liqctl nonsense x",
    ):
        assert ask(line, environ) == []


@pytest.mark.parametrize(
    ("shell", "line", "shown"),
    [
        ("bash", "liqctl liqui", "liquidate"),
        ("bash", "liqctl status --env=tes", "testnet"),
        ("bash", "liqctl simulator serve --scenario bot_reopens_b", "bot_reopens_briefly"),
        ("zsh", "liqctl liqui", "liquidate"),
        ("zsh", "liqctl status --env tes", "testnet"),
    ],
)
def test_tab_goes_on_in_a_real_shell(
    shell: str, line: str, shown: str, environ: dict[str, str]
) -> None:
    """The script, the shell's own splitting and the program must fit together."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    prepare = "autoload -Uz compinit; compinit -u -D;" if shell == "zsh" else ""
    script = f'{prepare} eval "$(_LIQCTL_COMPLETE=source_{shell} liqctl)"; echo re""ady\n'

    assert shown in press_tab([program, *ALONE[shell]], script, line, shown, environ)


def press_tab(
    command: list[str], script: str, line: str, shown: str, environ: dict[str, str]
) -> str:
    """Return the screen after a Tab at the end of the line, in a shell on a terminal."""
    main, side = pty.openpty()
    with subprocess.Popen(
        command, stdin=side, stdout=side, stderr=side, env=environ, start_new_session=True
    ) as shell:
        os.close(side)
        try:
            os.write(main, script.encode())
            read_until(main, "ready")
            os.write(main, f"{line}\t".encode())
            return read_until(main, shown)
        finally:
            shell.kill()
            os.close(main)


def read_until(terminal: int, text: str) -> str:
    """Return what the terminal shows until the text is there, or all of it when it never comes."""
    seen = b""
    give_up_at = time.monotonic() + PATIENCE_S
    while text.encode() not in seen:
        left = give_up_at - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            break
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            break
    return seen.decode("utf-8", "replace")


def test_fish_offers_what_goes_on(environ: dict[str, str]) -> None:
    """Fish asks in its own way, and shows what each word means."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script = "_LIQCTL_COMPLETE=source_fish liqctl | source; complete -C 'liqctl status --env pro'"
    ended = subprocess.run(
        ["fish", "--no-config", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environ,
    )

    assert ended.stdout.split() == ["production"]


def test_installing_completion_twice_is_harmless(environ: dict[str, str], tmp_path: Path) -> None:
    """The way the pages name ends in a file that bash can read."""
    for _ in range(2):
        subprocess.run(
            ["bash", "-c", "liqctl --install-completion; exit $?"],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
            env=environ,
        )

    assert (tmp_path / ".bashrc").read_text().count("source '") == 1
    script = tmp_path / ".bash_completions" / "liqctl.sh"
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=PATIENCE_S)
