"""The man page tells what the program does, and every reader of man pages can show it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from liqctl.cli.root import COMMANDS, load
from liqctl.kernel.states import ExitCode
from liqctl.settings.model import TABLE

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "man" / "liqctl.1"
TEXT: Final = PAGE.read_text(encoding="utf-8")
SHOWN: Final = TEXT.replace("\\-", "-")
SECTIONS: Final = "NAME SYNOPSIS DESCRIPTION OPTIONS COMMANDS EXIT~STATUS CONFIGURATION ENVIRONMENT"
TIMEOUT_S: Final = 60


def options(command: Any) -> Iterator[str]:
    """Yield the long options of a command and of its subcommands."""
    for subcommand in getattr(command, "commands", {}).values():
        yield from options(subcommand)
    yield from (name for each in command.params for name in each.opts if name.startswith("--"))


def test_page_and_completion_scripts_are_what_the_program_says_now() -> None:
    """A page that lags behind the program is wrong in an emergency; `make docs` renews it."""
    ended = subprocess.run(
        [sys.executable, "docs/make_man.py", "--check"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert ended.returncode == 0, ended.stderr


def test_the_page_names_every_command_option_setting_and_exit_code() -> None:
    """What is missing here does not exist for who has only `man`."""
    sections = re.findall(r"(?m)^\.SH (.+)$", TEXT)

    assert sections[:8] == [name.replace("~", " ") for name in SECTIONS.split()]
    for name, entry in COMMANDS.items():
        assert f".SS liqctl {name}" in SHOWN
        missing = [each for each in options(load(name, entry)) if each not in SHOWN]
        assert missing == []
    assert [rule.key for rule in TABLE if f"\n.B {rule.key}\n" not in SHOWN] == []
    explained = " ".join(re.findall(r"(?m)^\.B ([\d, ]+)$", TEXT)).replace(",", " ").split()
    assert {str(int(code)) for code in ExitCode} <= set(explained)


def test_no_line_is_taken_for_a_request() -> None:
    """A text line that begins with a dot or an apostrophe would vanish from the page."""
    known = {"TH", "SH", "SS", "PP", "TP", "B", "I", "RI", "RS", "RE", "nf", "fi", '\\"'}
    requests = {line[1:].split(" ")[0] for line in TEXT.splitlines() if line[:1] in {".", "'"}}

    assert requests <= known
    assert TEXT.isascii()
    assert TEXT.count("\n.RS") == TEXT.count("\n.RE")
    assert TEXT.count("\n.nf") == TEXT.count("\n.fi")


@pytest.mark.parametrize(
    "command",
    [
        ("groff", "-ww", "-man", "-Tutf8"),
        ("mandoc", "-T", "lint", "-W", "warning"),
        ("man", "--warnings", "-l"),
    ],
    ids=lambda command: command[0],
)
def test_it_renders_without_a_warning(command: tuple[str, ...]) -> None:
    """A warning is a word that some reader does not see."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    ended = subprocess.run(
        [*command, str(PAGE)],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"},
    )

    said = [line for line in (ended.stderr + ended.stdout).splitlines() if "mandoc:" in line]
    if command[0] == "mandoc":
        assert [line for line in said if "missing date" not in line] == []
    else:
        assert ended.stderr == ""
        assert "Read any other code as failure." in ended.stdout
