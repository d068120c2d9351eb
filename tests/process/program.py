"""The real program in a process of its own, against a venue that outlives it."""

import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import liqctl
from liqctl.kernel.events import RUN_ENDS
from liqctl.settings.credentials import variable_part
from liqctl.sim.faults import KINDS, Fault
from liqctl.sim.scenario import Scenario, load_scenario
from liqctl.sim.server import EmbeddedServer
from liqctl.trail.verify import verify
from tests import QUICK_SETTLE
from tests.cli.documents import BY_TAG, check, check_event

PATIENCE_S: Final = 40.0
"""How long a test waits for anything at most; far beyond what it expects."""

SMALL: Final = Scenario(
    name="small",
    account={
        "positions": {"BTCUSDT": "0.5", "ETHUSDT": "-2", "SOLUSDT": "10"},
        "orders": [{"symbol": "BTCUSDT", "side": "SELL", "price": "61000", "quantity": "0.1"}],
        "algo": [{"symbol": "ETHUSDT", "side": "BUY", "trigger": "3300", "close_position": True}],
    },
)
"""Three positions, a resting order and a stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run of the program ended; `seconds` runs from its start to when it was gone."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def result(self) -> dict[str, Any]:
        """The one JSON document on stdout, held to its published schema where it has one."""
        document = json.loads(self.stdout)
        assert isinstance(document, dict)
        schema = BY_TAG.get(document.get("schema", ""))
        if schema is not None:
            check(document, schema)
        return document

    def assert_clean(self) -> None:
        """No library's last words, no traceback, not Python's own exit code."""
        for word in ("Traceback", "Unclosed", "unexpected error", "Exception ignored", "Task "):
            assert word not in self.stderr, self.stderr
        assert self.code != 120


@dataclass(slots=True, kw_only=True)
class Program:
    """The program, the folder it lives in and the venue it speaks to."""

    folder: Path
    server: EmbeddedServer
    timeout_s: float = 5.0
    variables: dict[str, str] = field(default_factory=dict)
    url: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    """Further sections of the settings file."""

    @property
    def trail(self) -> Path:
        """The audit trail's file."""
        return self.folder / "logs" / "audit.jsonl"

    def environ(self) -> dict[str, str]:
        """Write the settings file and return the environment for the process."""
        settings = self.folder / "settings.yaml"
        settings.write_text(
            "environment: simulator\n"
            f"exchange: {{base_url: '{self.url or self.server.url}'}}\n"
            f"liquidation: {{timeout_seconds: {self.timeout_s}}}\n"
            f"audit: {{log_dir: '{self.folder / 'logs'}'}}\n"
            + "".join(f"{name}: {json.dumps(value)}\n" for name, value in self.more.items())
        )
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PYTHONPATH": os.pathsep.join(
                [str(self.folder / "hook"), str(Path(liqctl.__file__).parent.parent)]
            ),
            "PYTHONDONTWRITEBYTECODE": "1",  # a file size limit would cut it short
            "LIQCTL_CONFIG": str(settings),
            "LIQCTL_API_KEY": self.server.api_key,
            "LIQCTL_API_SECRET": self.server.api_secret,
            **QUICK_SETTLE,
            **self.variables,
        }

    def hook(self, code: str) -> None:
        """Run this code in the program before its first line, as `sitecustomize`."""
        place = self.folder / "hook" / "sitecustomize.py"
        place.parent.mkdir(exist_ok=True)
        place.write_text(textwrap.dedent(code))

    def hang(self, **which: Any) -> Fault:
        """Let the venue never answer the requests that match."""
        kind = which.pop("kind", "hang")
        fault = Fault(name=kind, effect=KINDS[kind], times=0, **which)
        self.server.venue.faults.append(fault)
        return fault

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start `liqctl liquidate --json`, or the command that is given."""
        merged: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "env": self.environ(),
            "cwd": self.folder,
        } | options
        return subprocess.Popen(command(*arguments), **merged)

    def run(self, *arguments: str, **options: Any) -> Ended:
        """Run the program to its end."""
        began_at = time.monotonic()
        with self.start(*arguments, **options) as started:
            return end(started, began_at)

    def sent(self) -> Counter[tuple[str, str]]:
        """Return how often each write reached the venue."""
        journal = self.server.venue.account.journal
        return Counter(
            (method, path) for _, method, path, _ in list(journal.requests) if method != "GET"
        )

    @property
    def is_flat(self) -> bool:
        """Whether the venue's truth is that nothing is left open."""
        return self.server.venue.account.is_flat

    def assert_never_overclosed(self) -> None:
        """No fill of ours opened, grew or turned a position."""
        for _, _, symbol, _, before, after in self.server.venue.account.journal.fills:
            assert abs(after) <= abs(before), symbol
            assert before * after >= 0, symbol

    def records(self) -> list[dict[str, Any]]:
        """Return the trail's records, without torn lines."""
        return read_records(self.trail)

    def wait_for(self, event_type: str, *, count: int = 1) -> None:
        """Return once the trail holds that many records of a type."""

        def is_there() -> bool:
            return [r["event_type"] for r in self.records()].count(event_type) >= count

        wait_until(is_there, f"no {event_type} in the trail")

    def assert_trail_closed(self) -> None:
        """Every START has exactly one end, every line keeps to its schema, the chain is whole."""
        assert_closed(self.records())
        for record in self.records():
            check_event(record)
        checked = verify(self.trail)
        assert checked.is_intact, checked


def command(*arguments: str) -> list[str]:
    """Return the command line of the program; `liquidate --json` without arguments."""
    if not arguments or arguments[0].startswith("-"):
        arguments = ("liquidate", "--json", *arguments)
    return [sys.executable, "-m", "liqctl", *arguments]


def end(started: "subprocess.Popen[bytes]", began_at: float) -> Ended:
    """Wait for the program's end and return what it said."""
    try:
        stdout, stderr = started.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        started.kill()
        raise
    return Ended(
        code=started.returncode,
        stdout=(stdout or b"").decode(),
        stderr=(stderr or b"").decode(),
        seconds=time.monotonic() - began_at,
    )


@contextmanager
def program(folder: Path, scenario: Scenario = SMALL, **options: Any) -> Iterator[Program]:
    """Yield the program and its venue."""
    timeout_s, variables = options.pop("timeout_s", 5.0), options.pop("variables", {})
    with EmbeddedServer(scenario, **options) as server:
        yield Program(folder=folder, server=server, timeout_s=timeout_s, variables=dict(variables))


@contextmanager
def house(folder: Path, scenario: Scenario | None = None, **options: Any) -> Iterator[Program]:
    """Yield the program with the accounts of a house, each with its key, and their venue."""
    scenario = scenario or load_scenario("house_of_five")
    with program(folder, scenario, **options) as running:
        address = running.server.address
        assert address is not None
        running.more["accounts"] = {account: {} for account in address.names}
        for account, pair in address.credentials.items():
            for kind, value in zip(("KEY", "SECRET"), pair, strict=True):
                variable = f"LIQCTL_SIMULATOR_{variable_part(account)}_API_{kind}"
                running.variables[variable] = value
        yield running


def read_records(trail: Path) -> list[dict[str, Any]]:
    """Return the whole records of a trail; a torn line is none."""
    try:
        lines = trail.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def assert_closed(records: Sequence[dict[str, Any]]) -> None:
    """Every START has exactly one end."""
    ends = Counter(r["correlation_id"] for r in records if r["event_type"] in RUN_ENDS)
    starts = Counter(r["correlation_id"] for r in records if r["event_type"] == "LIQUIDATION_START")
    assert starts == ends
    assert set(starts.values()) <= {1}


def overshoot_max_s() -> float:
    """Return how far past its deadline a process may live on a test machine; 0.25 s on an idle one.

    What hangs in these tests would hang for ever, so a machine that is busy beyond four processes
    a processor may have more.
    """
    return 1.5 * max(1.0, os.getloadavg()[0] / (4 * (os.cpu_count() or 1)))


def overshoot_s(records: Sequence[dict[str, Any]], gone_at: float, timeout_s: float) -> float:
    """Return how long past its deadline the process lived; `gone_at` in epoch seconds."""
    start = next(r for r in records if r["event_type"] == "LIQUIDATION_START")
    return gone_at - datetime.fromisoformat(start["timestamp"]).timestamp() - timeout_s


def wait_until(condition: Any, message: str) -> None:
    """Look until the condition holds."""
    ends_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends_at, message
        time.sleep(0.002)
