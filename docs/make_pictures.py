# ruff: noqa: INP001 - a script, not a module
"""Draws the pictures of the README from what the program really prints on a terminal.

Run it with `.venv/bin/python docs/make_pictures.py [NAME …]` when a screen has changed.
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

COLUMNS: Final = 84
ROWS: Final = 40
_FONT: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""A picture that fetches a font tells a stranger who looks at it."""

FOLDER: Final = Path(__file__).parent / "img"
REPOSITORY: Final = Path(__file__).parents[1]

FRAME: Final = re.compile(r"\r(?:\x1b\[\d+A)?")
"""What a frame of the live view begins with."""

_DRAWING: Final = re.compile(r"\x1b\[[KJ]")
SEEN: Final = "attempt 2 in"
QUESTION: Final = "anything else to leave:\n"


def capture(
    arguments: tuple[str, ...], variables: Mapping[str, str], *, until: str | None = None
) -> str:
    """Return what the program prints on a terminal, colours and all; up to a word, then it ends."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TERM": "xterm-256color",
            "PYTHONPATH": str(REPOSITORY),
            **variables,
        }
        with subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "liqctl", *arguments],
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=folder,
            env=environ,
        ) as program:
            os.close(side)
            shown = _read_all(main, until)
            if until is not None:
                program.terminate()
    os.close(main)
    return shown


def _read_all(terminal: int, until: str | None) -> str:
    shown = ""
    while until is None or until not in shown:
        try:
            block = os.read(terminal, 65536)
        except OSError:  # the program has left its side
            break
        if not block:
            break
        shown += block.decode().replace("\r\n", "\n")
    return shown


def capture_demo() -> str:
    """Return the end screen of a run in the program itself."""
    return capture(("liquidate", "--env", "simulator"), {})


def capture_live() -> str:
    """Return the frame that shows a halted symbol waiting for its second attempt."""
    with serving({"SOLUSDT": {"status": "TRADING_HALT"}}) as variables:
        shown = capture(("liquidate", "--env", "simulator"), variables, until=SEEN)
    frames = [_DRAWING.sub("", frame) for frame in FRAME.split(shown)]
    frame = next(frame for frame in frames if SEEN in frame)
    return frame.rstrip("\n") + " …\n" if not frame.endswith("\n") else frame


def capture_question() -> str:
    """Return the question before a production run; it is left unanswered."""
    with serving({}) as variables:
        return capture(("liquidate", "--env", "production"), variables, until=QUESTION)


@contextmanager
def serving(markets: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, str]]:
    """Yield the variables of the default account on a venue as far away as the real one."""
    from liqctl.sim.scenario import load_scenario
    from liqctl.sim.server import EmbeddedServer

    scenario = replace(load_scenario("default"), markets=markets)
    with EmbeddedServer(scenario, latency_ms=60) as server:
        yield {
            "LIQCTL_EXCHANGE__BASE_URL": server.url,
            "LIQCTL_API_KEY": server.api_key,
            "LIQCTL_API_SECRET": server.api_secret,
        }


PICTURES: Final = {
    "demo": ("make demo", capture_demo),
    "live": ("liqctl liquidate --env simulator", capture_live),
    "confirm": ("liqctl liquidate --env production", capture_question),
}
"""File name, what the reader would type, and what is shown then."""


def draw(name: str, typed: str, shown: str) -> Path:
    """Write one picture and return its file."""
    from rich.console import Console
    from rich.text import Text

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {typed}", style="bold"))
        console.print(Text.from_ansi(shown), end="")
    file = FOLDER / f"{name}.svg"
    console.save_svg(str(file), title="liqctl", unique_id=name)
    file.write_text(_FONT.sub("", file.read_text(encoding="utf-8")), encoding="utf-8")
    return file


def main() -> None:
    """Draw every picture."""
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or PICTURES:
        typed, take = PICTURES[name]
        sys.stdout.write(f"{draw(name, typed, take()).relative_to(REPOSITORY)}\n")


if __name__ == "__main__":
    main()
