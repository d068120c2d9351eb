"""The score card of the shipped production settings, for the pages: what the program prints."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def card(*arguments: str) -> str:
    """Return what `liqctl drill --env production` prints where nobody looks; always the same."""
    with tempfile.TemporaryDirectory() as folder:
        configs = Path(folder) / "configs"
        configs.mkdir()
        shutil.copy(ROOT / "configs" / "production.yaml", configs)
        ended = subprocess.run(
            [sys.executable, "-m", "liqctl", "drill", "--env", "production", *arguments],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        )
    return ended.stdout


def wrapped_card(*arguments: str, width: int = 120) -> str:
    """Return the card with its last paragraph wrapped, as a terminal would."""
    import textwrap

    return "\n".join(
        part
        for line in card(*arguments).splitlines()
        for part in (textwrap.wrap(line, width) if len(line) > width else [line])
    )
