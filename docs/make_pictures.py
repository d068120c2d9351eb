# ruff: noqa: INP001 - a script, not a module
"""Draws the pictures of the README from what the program really prints on a terminal.

Run it with `.venv/bin/python docs/make_pictures.py` when a screen has changed.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path
from typing import Final

COLUMNS: Final = 84
ROWS: Final = 40
_FONT: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""A picture that fetches a font tells a stranger who looks at it."""

FOLDER: Final = Path(__file__).parent / "img"
REPOSITORY: Final = Path(__file__).parents[1]

PICTURES: Final = {
    "demo": ("make demo", ("liquidate", "--env", "simulator")),
}
"""File name, what the reader would type, and the arguments it stands for."""


def capture(*arguments: str) -> str:
    """Return what the program prints on a terminal, colours and all."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TERM": "xterm-256color",
            "PYTHONPATH": str(REPOSITORY),
        }
        with subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "liqctl", *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=folder,
            env=environ,
        ):
            os.close(side)
            shown = _read_all(main)
    os.close(main)
    return shown.replace("\r\n", "\n")


def _read_all(terminal: int) -> str:
    blocks = []
    while True:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # the program has left its side
            break
        if not block:
            break
        blocks.append(block)
    return b"".join(blocks).decode()


def draw(name: str, typed: str, arguments: tuple[str, ...]) -> Path:
    """Write one picture and return its file."""
    from rich.console import Console
    from rich.text import Text

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {typed}", style="bold"))
        console.print(Text.from_ansi(capture(*arguments)), end="")
    file = FOLDER / f"{name}.svg"
    console.save_svg(str(file), title="liqctl", unique_id=name)
    file.write_text(_FONT.sub("", file.read_text(encoding="utf-8")), encoding="utf-8")
    return file


def main() -> None:
    """Draw every picture."""
    FOLDER.mkdir(exist_ok=True)
    for name, (typed, arguments) in PICTURES.items():
        sys.stdout.write(f"{draw(name, typed, arguments).relative_to(REPOSITORY)}\n")


if __name__ == "__main__":
    main()
