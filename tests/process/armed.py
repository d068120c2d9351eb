"""The armed process, started and looked at as an operator does."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.process.program import PATIENCE_S, Program, end, wait_until


@dataclass
class ArmedProcess:
    """One `liqctl arm --json`, and what it said."""

    running: Program
    process: "subprocess.Popen[bytes]"
    folder: Path
    name: str = "armed"
    lines: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> list[dict[str, Any]]:
        """Return the lines so far."""
        text = (self.folder / f"{self.name}.out").read_text()
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def wait_for(self, state: str, *, count: int = 1) -> None:
        """Return once it has said so."""

        def is_said() -> bool:
            assert self.process.poll() is None or self.said(state) >= count, self.errors
            return self.said(state) >= count

        wait_until(is_said, f"it never said {state}: {self.read()} {self.errors}")

    def said(self, state: str) -> int:
        """Return how often a line told this state."""
        return sum(line.get("state") == state for line in self.read())

    @property
    def errors(self) -> str:
        """What stands on stderr."""
        return (self.folder / f"{self.name}.err").read_text()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, number)

    def ended(self) -> int:
        """Return its exit code once it has ended."""
        return self.process.wait(PATIENCE_S)


@contextmanager
def armed(running: Program, *arguments: str, name: str = "armed") -> Iterator[ArmedProcess]:
    """Yield an armed process that can see; it is ended at the end. Its output is in `name`.out."""
    folder = running.folder
    files = folder / f"{name}.out", folder / f"{name}.err"
    with files[0].open("wb") as stdout, files[1].open("wb") as stderr:
        process = running.start("arm", "--json", *arguments, stdout=stdout, stderr=stderr)
        try:
            yield ArmedProcess(running, process, folder, name)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
                try:
                    process.wait(PATIENCE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


__all__ = ["ArmedProcess", "armed", "end", "time"]
