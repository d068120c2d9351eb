"""Command lines that make no sense: one clear line, no traceback, and nothing is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOSTILE = [
    ["liquidate", "--env", "production\x1b[2J"],
    ["liquidate", "--env", "\u202e", "--json"],
    ["liquidate", "--env", "simulator", "--timeout", "nan"],
    ["liquidate", "--env", "simulator", "--timeout", "1e999"],
    ["liquidate", "--env", "simulator", "--max-retries", "9" * 400],
    ["liquidate", "--env", "simulator", "--correlation-id", "../../etc/passwd"],
    ["liquidate", "--env", "simulator", "--correlation-id", "x" * 65],
    ["liquidate", "--env", "simulator", "--config", "/dev/zero"],
    ["liquidate", "--env", "simulator", "--symbol", ""],
    ["liquidate", "--orders-only", "--positions-only", "--env", "simulator"],
    ["liquidate", "--env", "simulator", "--no-such-option", "x"],
    ["audit", "tail", "--lines", "-5"],
    ["audit", "tail", "--since", "yesterday"],
    ["audit", "verify", "--head", "no hash"],
    ["simulator", "serve", "--port", "99999999"],
    ["nonsense"],
    ["-" * 50],
]


@pytest.mark.parametrize("arguments", HOSTILE, ids=range(len(HOSTILE)))
def test_a_senseless_command_line_starts_nothing(arguments: list[str], tmp_path: Path) -> None:
    """A slip of the fingers must neither crash nor liquidate."""
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    environ["PYTHONPATH"] = str(Path(__file__).parent.parent.parent)

    run = subprocess.run(
        [sys.executable, "-m", "liqctl", *arguments],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )

    said = (run.stdout + run.stderr).decode()
    assert run.returncode in {1, 2, 4}, said
    assert "Traceback" not in said
    assert "unexpected error" not in said
    assert "\x1b[2J" not in said
    assert "\u202e" not in said
    assert not (tmp_path / "logs" / "audit.jsonl").exists()
