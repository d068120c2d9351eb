"""A system that the program cannot run on gets one line that says so."""

from pathlib import Path

import pytest

from tests.process.program import program

HIDDEN = {
    "Windows": "import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None",
    "no fcntl": "import sys; sys.modules['fcntl'] = None",
}


@pytest.mark.parametrize("system", HIDDEN)
def test_an_unfit_system_is_told_what_to_do_instead(tmp_path: Path, system: str) -> None:
    """Not a word used to be said there, and nothing was closed."""
    with program(tmp_path) as running:
        running.hook(HIDDEN[system])

        ended = running.run()

        assert ended.code == 1
        assert ended.stdout == ""
        (line,) = ended.stderr.splitlines()
        assert "cannot run on this system" in line
        assert "WSL2" in line
        assert "Nothing was sent" in line
        assert not running.sent()
