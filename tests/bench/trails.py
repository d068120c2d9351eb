"""The commands that read, on a trail of a gigabyte, against Typer's own import and jq."""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench.runs import LIQCTL, Ended, spawn
from tests.bench.tables import Target

RUNS: Final = 5
BIG_BYTES: Final = 1_000_000_000
RECORDS: Final = 1_000_000
_PER_RUN: Final = 100
WANTED: Final = "liq_20260101_000000_000042"


def write_trail(path: Path, *, records: int = 0, size: int = 0) -> int:
    """Write a chained trail of so many records or bytes; return the number of records."""
    written = 0
    previous: str | None = None
    last: str | None = None
    with path.open("wb", buffering=1 << 20) as stream:
        while (written < records) if records else (stream.tell() < size):
            seq = written % _PER_RUN + 1
            details = {"symbol": f"C{written % 200:03d}USDT", "quantity": "1.250", "note": "x" * 80}
            line = json.dumps(
                {
                    "timestamp": "2026-01-01T00:00:00.000000Z",
                    "event_type": "CLOSE_ORDER_SENT",
                    "correlation_id": f"liq_20260101_000000_{written // _PER_RUN:06x}",
                    "environment": "production",
                    "seq": seq,
                    "prev_hash": last if seq == 1 else previous,
                    "details": details,
                }
            ).encode()
            stream.write(line + b"\n")
            previous = last = hashlib.sha256(line).hexdigest()
            written += 1
    return written


def targets(quick: bool) -> list[Target]:
    """Measure the reading commands; the quick mode leaves the gigabyte out."""
    python = str(LIQCTL.with_name("python"))
    with tempfile.TemporaryDirectory(prefix="liqctl-trail-") as name:
        folder = Path(name)
        import_typer = _median([python, "-c", "import typer"], folder)
        rows = [
            Target(
                name="`liqctl --help` / `import typer`",
                limit=2,
                measured=_median([str(LIQCTL), "--help"], folder) / import_typer,
            )
        ]
        if not quick:
            rows += _big(folder, import_typer)
        return rows


def _big(folder: Path, import_typer: float) -> list[Target]:
    trail = folder / "audit.jsonl"
    write_trail(trail, size=BIG_BYTES)
    log = ["--log", str(trail)]
    tail = [str(LIQCTL), "audit", "tail", "-n", "10", *log]
    rows = [
        Target(
            name="`audit tail -n 10` of 1 GB / `import typer`",
            limit=2,
            measured=_median(tail, folder) / import_typer,
        ),
        Target(name="its memory, MB", limit=60, measured=_run(tail, folder).memory_mb),
    ]
    if jq := shutil.which("jq"):
        choose = f'select(.correlation_id == "{WANTED}")'
        of_run = [str(LIQCTL), "audit", "tail", "--correlation-id", WANTED, "-n", "0", *log]
        rows.append(
            Target(
                name="`audit tail --correlation-id` of 1 GB / jq",
                limit=0.2,
                measured=_run(of_run, folder).seconds
                / _run([jq, "-c", choose, str(trail)], folder).seconds,
            )
        )
    trail.unlink()
    write_trail(trail, records=RECORDS)
    seconds = _run([str(LIQCTL), "audit", "verify", *log], folder).seconds
    rows.append(
        Target(name="`audit verify`: seconds for 1,000,000 records", limit=20, measured=seconds)
    )
    return rows


def _median(command: list[str], folder: Path) -> float:
    return median(_run(command, folder).seconds for _ in range(RUNS))


def _run(command: list[str], folder: Path) -> Ended:
    environ = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "LANG": "C.UTF-8"}
    with (folder / "output").open("wb") as stream:
        ended = spawn(command, environ, str(folder), stream)
    if ended.code != 0:
        said = (folder / "output").read_text(errors="replace")[-400:]
        sys.stderr.write(f"\n{' '.join(command[:4])} ended with {ended.code}: {said}\n")
    return ended
