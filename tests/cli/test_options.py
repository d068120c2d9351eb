"""The table of options: everything that speaks of an option is made from it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from liqctl.cli.options import FLAG_NAMES, OPTIONS, Options
from liqctl.cli.root import COMMANDS, load
from liqctl.kernel.states import Environment
from liqctl.settings.model import BY_KEY

ROOT = Path(__file__).parents[2]
PRIVATE = re.compile(
    r"\b(?:typer|rich|pydantic|pydantic_settings)\.(?:\w+\.)*_[a-z]|_runtime_param"
)


def commands(command: Any) -> list[Any]:
    """Return a command, or its subcommands."""
    below = getattr(command, "commands", {}).values()
    return [each for one in below for each in commands(one)] or [command]


EVERY = [each for name, entry in COMMANDS.items() for each in commands(load(name, entry))]


def test_every_option_of_every_command_stands_in_the_table() -> None:
    """One place says what an option is called and takes."""
    used = {param.name: tuple(param.opts) for command in EVERY for param in command.params}

    assert used == {name: option.names or (name,) for name, option in OPTIONS.items()}


def test_a_flag_that_sets_something_sets_a_setting() -> None:
    """Errors name the flag by the setting's key."""
    assert set(FLAG_NAMES) <= set(BY_KEY)
    assert FLAG_NAMES["liquidation.timeout_seconds"] == "--timeout"


def test_options_become_settings_only_where_they_were_given() -> None:
    """What was not typed must not win over the file."""
    assert Options(environment=Environment.TESTNET, yes=True).flags == {}
    assert Options(symbols=["X"], settle=0.0, max_retries=0, orders_only=True).flags == {
        "liquidation.symbols": ["X"],
        "liquidation.settle_seconds": 0.0,
        "liquidation.max_retries": 0,
        "liquidation.close_positions": False,
        "liquidation.cancel_orders": True,
    }


@pytest.mark.parametrize("command", ["liquidate", "status", "validate"])
def test_help_shows_what_may_be_chosen(command: str) -> None:
    """`<str>` helps nobody at night."""
    shown = subprocess.run(
        [sys.executable, "-m", "liqctl", command, "--help"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert "--env [production|testnet|simulator]" in shown
    assert "<str>" not in shown


def test_no_private_name_of_a_library_is_used() -> None:
    """The next version of Typer, rich or pydantic may take it away."""
    files = [*ROOT.glob("liqctl/**/*.py"), *ROOT.glob("docs/*.py")]

    assert [str(file) for file in files if PRIVATE.search(file.read_text(encoding="utf-8"))] == []
