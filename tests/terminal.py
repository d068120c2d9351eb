"""The program on a real terminal: tmux draws it, keys are pressed, the screen is read."""

import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.process.program import PATIENCE_S, Program, command

ENDED: Final = "EXIT CODE"
needs_tmux: Final = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed: no terminal to draw on"
)


class Terminal:
    """A tmux server of our own with one window."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        """Start nothing yet."""
        self._socket = folder / "tmux"
        self._size = ["-x", str(width), "-y", str(height)]

    def start(self, words: list[str], environ: Mapping[str, str], folder: Path) -> None:
        """Run a command; its exit code is shown when it has ended."""
        script = folder / "terminal.sh"
        script.write_text(
            # The interrupt key reaches the shell as well, which has to tell the exit code.
            f"cd {folder}\ntrap : INT\n{shlex.join(words)}\necho '{ENDED}' $?\ntrap - INT\ncat\n"
        )
        given = [word for name, value in environ.items() for word in ("-e", f"{name}={value}")]
        self._tmux("-f", "/dev/null", "new-session", "-d", *self._size, *given, f"sh {script}")

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    def text(self) -> str:
        """Return what is shown now."""
        return self._tmux("capture-pane", "-p")

    def history(self) -> str:
        """Return what is shown and what has left the screen at its top, wrapped lines joined."""
        return self._tmux("capture-pane", "-p", "-J", "-S", "-")

    def cursor_is_shown(self) -> bool:
        """Whether the cursor can be seen."""
        return self._tmux("display-message", "-p", "#{cursor_flag}").strip() == "1"

    def wait_for(self, *words: str) -> str:
        """Return the screen once it shows all the words."""
        ends_at = time.monotonic() + PATIENCE_S
        while True:
            shown = self.text()
            if all(word in shown for word in words):
                return shown
            assert time.monotonic() < ends_at, f"no {words} on:\n{shown}"
            time.sleep(0.03)

    def wait_for_end(self) -> tuple[int, str]:
        """Return the exit code and the screen once the program has ended."""
        shown = self.wait_for(ENDED)
        return int(shown.rpartition(ENDED)[2].split()[0]), shown

    def close(self) -> None:
        """End the server and with it the window."""
        self._tmux("kill-server")

    def _tmux(self, *words: str) -> str:
        ended = subprocess.run(
            ["tmux", "-u", "-S", str(self._socket), *words],
            check=True,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        return ended.stdout.decode()


@contextmanager
def on_terminal(
    running: Program, *arguments: str, width: int = 80, height: int = 24, redirect: str = ""
) -> Iterator[Terminal]:
    """Run the program on a terminal; `redirect` is what a shell adds to its line."""
    terminal = Terminal(running.folder, width, height)
    words = command(*arguments)
    if redirect:
        words = ["sh", "-c", f"exec {shlex.join(words)} {redirect}"]
    terminal.start(words, running.environ(), running.folder)
    try:
        yield terminal
    finally:
        terminal.close()
