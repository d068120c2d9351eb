"""The score card of the shipped production settings, for the pages: what the program prints."""

import os
import shutil
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Final

from liqctl.sim.scenario import list_scenarios

ROOT: Final = Path(__file__).parents[2]
_LINES: Final = 26  # room for ten scenarios, as many as a pipe gets


def wrapped_card(*arguments: str, width: int = 120) -> str:
    """Return what `liqctl drill --env production` prints on a terminal; always the same.

    Without armed processes, which take real time, that is never twice the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        configs = Path(folder) / "configs"
        configs.mkdir()
        shutil.copy(ROOT / "configs" / "production.yaml", configs)
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (_LINES, width))
        words = [sys.executable, "-m", "liqctl", "drill", "--env", "production", "--no-color"]
        words += [f"--scenario={name}" for name in list_scenarios()]
        with subprocess.Popen(
            [*words, *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(ROOT)},
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        ) as started:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # the other end was closed
                    break
            os.close(ours)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, started.args)
    return shown.decode().replace("\r\n", "\n").rstrip("\n")
