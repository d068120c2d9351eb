"""The README's examples are run: a reader copies them before reading anything else."""

import doctest
from pathlib import Path

from liqctl.kernel.states import ExitCode

README = Path(__file__).parents[1] / "README.md"


def test_the_library_example_runs() -> None:
    """An example that fails costs more trust than none."""
    ended = doctest.testfile(str(README), module_relative=False)

    assert ended.attempted > 0
    assert ended.failed == 0


def test_every_exit_code_is_explained() -> None:
    """Runbooks are written from this table."""
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    explained = {cell for row in rows for cell in row.split("|")[1].replace(",", " ").split()}

    assert {str(int(code)) for code in ExitCode} <= explained
