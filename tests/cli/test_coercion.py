"""Plain option values: what the quick way accepts, Typer accepts as the same value."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.exceptions import TyperException
from typer.main import get_command

from liqctl.cli.coercion import use_plain_values

VALUES = (
    "",
    "0",
    "1",
    "15",
    "16",
    "1.5",
    "-1",
    "+1",
    "1e3",
    "1_000",
    " 1",
    "nan",
    "inf",
    "x",
    "9" * 30,
    "0x1",
)


def _echo(
    *,
    text: str | None = None,
    whole: int | None = None,
    number: float | None = None,
    texts: Annotated[list[str] | None, typer.Option()] = None,
    flag: bool = False,
    path: Path | None = None,
    few: Annotated[int, typer.Option(min=0, max=15)] = 3,
) -> None:
    raise typer.Exit(code=repr((text, whole, number, texts, flag, path, few)))  # type: ignore[arg-type]


def _outcome(arguments: list[str], *, quick: bool) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(_echo)
    command = get_command(app)
    if quick:
        use_plain_values(command)
    try:
        return command.main(args=arguments, standalone_mode=False)
    except TyperException as error:
        return error.format_message(), error.exit_code


@pytest.mark.parametrize("option", ["--text", "--whole", "--number", "--texts", "--few"])
@pytest.mark.parametrize("value", VALUES)
def test_the_quick_way_and_typer_agree_on_every_value(option: str, value: str) -> None:
    """A value read differently in a hurry would be a different order in an emergency."""
    assert _outcome([option, value], quick=True) == _outcome([option, value], quick=False)


@pytest.mark.parametrize("name", ["file", "folder", "absent"])
def test_the_quick_way_and_typer_agree_on_paths(tmp_path: Path, name: str) -> None:
    """A settings file that cannot be read is refused in Typer's words either way."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    arguments = ["--path", str(tmp_path / name)]

    assert _outcome(arguments, quick=True) == _outcome(arguments, quick=False)


def test_nothing_given_and_everything_given_agree() -> None:
    """None, empty lists and repeated options reach the command as Typer would hand them over."""
    everything = ["--text", "a", "--texts", "b", "--texts", "c", "--flag", "--number", "2"]
    for arguments in ([], everything):
        assert _outcome(arguments, quick=True) == _outcome(arguments, quick=False)


@pytest.mark.parametrize(("options", "by_typer"), [(["--timeout", "10"], False), (["-yv"], True)])
def test_an_ordinary_command_line_never_imports_pydantic(
    options: list[str], *, by_typer: bool
) -> None:
    """That import alone is a fifth of the time to the first request; Typer is a fourteenth."""
    command = ["liquidate", "--env", "testnet", "--orders-only", "--positions-only", *options]

    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "liqctl", *command],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 2
    assert ("typer.core" in ended.stderr) is by_typer
    assert "pydantic" not in ended.stderr
