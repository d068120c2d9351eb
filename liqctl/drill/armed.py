"""The armed process in a drill: started like an operator starts it, tripped, hurt, and judged.

Each play is a real `liqctl arm` in a process of its own, with the operator's settings of a
liquidation and short waits, over HTTP and WebSocket on loopback and in real time, whatever the
drill's mode. The plays run side by side; the text of each says what is lost where it fails.

State, latch, socket and trail of a play lie in a folder of its own, under a key of its own, and
are gone afterwards. So are its processes: the kernel kills them where the drill dies first.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from liqctl.drill import fault_of
from liqctl.drill.judges import Case
from liqctl.drill.runs import (
    Conditions,
    Course,
    Difference,
    Exercise,
    Run,
    Score,
    Script,
    Stop,
    judged,
)
from liqctl.kernel.as_json import from_json
from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.requests import Endpoint, spec_of
from liqctl.kernel.result import LiquidationResult, Residual
from liqctl.kernel.states import ExitCode, LiquidationState, Margin, Product, TripCause
from liqctl.sim.events import make_event
from liqctl.sim.scenario import Scenario, load_scenario
from liqctl.sim.server import now_ms, start_server
from liqctl.sim.venue import Venue

_SIDE_BY_SIDE: Final = 6
"""How many plays run at once: each start takes a processor for a second. (guess)"""

_PLAY_MAX_S: Final = 45.0
"""How long a play may take beside its runs: twice what it takes on an idle machine."""

_LOOK_S: Final = 0.01
_CLOSE_MAX_S: Final = 0.5
_HOLD_S: Final = 1.0
_BEAT_S: Final = 2.0
_COMPARED_AFTER_S: Final = 2.5
"""A connection must be older than that before readings are compared with what it told."""

_LEVEL_READINGS: Final = 5
"""By then a loss has a level that it is measured from: three of a guard, and the first look."""

_READINGS: Final = 3
_LOSS: Final = 100
"""In quote currency; the account loses several times as much."""

_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH"})
"""Variables that a process needs. Whatever else there is, keys included, is not passed on."""

_MORTAL: Final = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
"""PR_SET_PDEATHSIG with SIGKILL, which outlasts the exec; a parent that is dead by then is seen."""


_LOOKED_AT: Final = (
    *("correlation_id", "environment", "state", "error_message", "products", "margin"),
    *("verified_flat", "deadline_exceeded", "settled_seconds", "held_seconds"),
    *("started_at", "finished_at", "duration_seconds", "timeout_seconds"),
    *("audit_complete", "notes"),
)
"""What judges look at in a result's document; what is open they see at the venue."""


class _StuckError(Exception):
    """What was waited for did not happen."""


@dataclass(frozen=True, slots=True)
class Program:
    """One process of liqctl and the file that it prints to."""

    process: "subprocess.Popen[bytes]"
    stdout: Path

    def said(self) -> list[dict[str, Any]]:
        """Return the documents that it printed, one a line; the last may be under way."""
        lines = self.stdout.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line[:1] == "{" and line.endswith("}")]

    def told(self, state: str) -> bool:
        """Return whether a line told this state."""
        return any(line.get("state") == state for line in self.said())


@dataclass(slots=True, kw_only=True)
class Post:
    """One account on its venue, who watches it, and what was found out."""

    exercise: Exercise
    conditions: Conditions
    folder: Path
    venue: Venue
    url: str
    policy: LiquidationConfig
    ends_at: float
    programs: list[Program] = field(default_factory=list)
    result: LiquidationResult | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        """A symbol in scope on which the account is long."""
        return "BTCUSDT" if Product.USDM in self.policy.products else "BTCUSD_PERP"

    @property
    def is_latched(self) -> bool:
        """Whether the latch is closed."""
        return any((self.folder / "liqctl").glob("*.latch"))

    @property
    def trail(self) -> Path:
        """The file of the trail."""
        return self.folder / "audit.jsonl"

    def records(self, event_type: str = "") -> list[dict[str, Any]]:
        """Return the trail's whole records, those of a type of event or all."""
        lines = self.trail.read_text(encoding="utf-8").splitlines() if self.trail.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("}")]
        return [each for each in records if event_type in {"", each["event_type"]}]

    def asked(self, endpoint: Endpoint, since: int = 0) -> int:
        """Return how often the venue was asked this before the first order; `since` skips some."""
        path = spec_of(endpoint, self.policy.products[0], Margin.STANDARD).path
        requests = self.venue.account.journal.requests[since:]
        # An armed process tests an order at its start, which places none.
        ordered = (
            n
            for n, row in enumerate(requests)
            if row[1] != "GET" and "rder" in row[2] and not row[2].endswith("/order/test")
        )
        return sum(row[2] == path for row in requests[: next(ordered, None)])

    def expect(self, holds: object, otherwise: str) -> None:
        """Note what is wrong unless it holds."""
        if not holds:
            self.wrong.append(otherwise)

    def act(self, act: str, **settings: Any) -> None:  # noqa: ANN401 - as in a scenario's events
        """Let something happen at the venue now."""
        self.venue.happen(make_event({"act": act, **settings}), now_ms())

    def start(self, *words: str) -> Program:
        """Start liqctl on this account."""
        stdout = self.folder / f"{len(self.programs)}.out"
        with stdout.open("wb") as out, stdout.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-ISc", _MORTAL, str(os.getpid()), "-m", "liqctl", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env={name: value for name, value in os.environ.items() if name in _KEPT}
                | {
                    "XDG_STATE_HOME": str(self.folder),
                    "LIQCTL_CONFIG": str(self.folder / "settings.yaml"),
                    "LIQCTL_API_KEY": self.venue.api_key,
                    "LIQCTL_API_SECRET": self.venue.api_secret,
                },
                # A Ctrl-C at the terminal is the drill's, which ends its processes itself.
                start_new_session=True,
            )
        self.programs.append(Program(process, stdout))
        return self.programs[-1]

    async def arm(self, **settings: Any) -> Program:  # noqa: ANN401 - of the section
        """Arm with these settings of `arm`, and return once the process says so."""
        own = asdict(self.policy)
        scope = [own.pop(name) for name in ("symbols", "margin", "products")]
        document = {
            "environment": "simulator",
            "exchange": {
                "base_url": self.url,
                "recv_window_ms": self.conditions.recv_window_ms,
                "products": [each.setting for each in scope[-1]],
            },
            "liquidation": own,
            "audit": {"log_dir": str(self.folder)},
            "arm": {"hold_seconds": _HOLD_S, **settings},
        }
        # JSON is YAML.
        (self.folder / "settings.yaml").write_text(json.dumps(document), encoding="utf-8")
        armed = self.start("arm", "--json")
        await self.until(lambda: armed.told("armed"), "it never said that it is armed", armed)
        return armed

    async def until(
        self, holds: Callable[[], object], otherwise: str, program: Program | None = None
    ) -> None:
        """Return once it holds; what it depends on may be a process that goes on."""
        while not holds():
            has_ended = program is not None and program.process.poll() is not None
            if (has_ended and not holds()) or time.monotonic() > self.ends_at:
                raise _StuckError(otherwise + self.last_words())
            await asyncio.sleep(_LOOK_S)

    def last_words(self) -> str:
        """Return what the process that was started last said last on stderr."""
        said = [each.stdout.with_suffix(".err") for each in self.programs[-1:]]
        lines = [line for file in said for line in file.read_text(encoding="utf-8").splitlines()]
        return "".join(f": {line}" for line in lines[-1:])

    async def ended(self, program: Program) -> int:
        """Return the exit code of a process once it has ended."""
        is_gone = f"process {self.programs.index(program) + 1} of it did not end"
        await self.until(lambda: program.process.poll() is not None, is_gone)
        return program.process.returncode

    async def judge_by(self, program: Program) -> None:
        """Wait for the end of a process; it is its result that is judged."""
        code = await self.ended(program)
        text = program.stdout.read_text(encoding="utf-8")
        if '"schema"' not in text:
            raise _StuckError(f"it exited {code} without a result{self.last_words()}")
        document = json.loads(text[text.rindex("\n{") :] if "\n{" in text else text)
        looked_at = {name: document[name] for name in _LOOKED_AT}
        self.result = from_json(LiquidationResult, looked_at)
        residual = document["residual"]
        if residual is not None and not any(residual.values()):
            self.result = replace(self.result, residual=Residual())
        self.expect(code == self.result.exit_code(), f"the process exited {code}")

    async def tripped(self, armed: Program, by: TripCause) -> None:
        """Wait until what tripped is flat, held and latched."""
        await self.judge_by(armed)
        trips = [record["details"]["by"] for record in self.records("ARM_TRIPPED")]
        self.expect(trips == [by], f"tripped by {', '.join(trips) or 'nothing'}, expected {by}")
        self.expect(self.result and self.result.held_seconds >= _HOLD_S, "it was not held flat")
        self.expect(self.is_latched, "no latch keeps a restart from arming again")


async def signal_trips(post: Post) -> None:
    """SIGUSR1 closes the account within the deadline.

    Where it fails, who sees a loss cannot end it at once.
    """
    armed = await post.arm()
    began_ms = now_ms()
    armed.process.send_signal(signal.SIGUSR1)
    await post.tripped(armed, TripCause.SIGNAL)
    closed_ms = [trade.time_ms for trade in post.venue.account.trades]
    flat_s = (max(closed_ms, default=began_ms) - began_ms) / 1000
    late = f"the venue saw the last close {flat_s:.3f} s after the signal"
    post.expect(flat_s <= post.policy.timeout_seconds, late)


async def stopped_bot(post: Post) -> None:
    """A bot stops touching its heartbeat file; the account ends flat, held and latched.

    Where it fails, positions of a dead bot stay open, with nobody to close them.
    """
    beat = post.folder / "heartbeat"

    async def work() -> None:
        while True:
            beat.touch()
            await asyncio.sleep(_BEAT_S / 10)

    working = asyncio.create_task(work())
    try:
        armed = await post.arm(heartbeat_file=str(beat), heartbeat_seconds=_BEAT_S)
        await asyncio.sleep(1.5 * _BEAT_S)
        post.expect(not post.records("ARM_TRIPPED"), "it tripped while the bot was at work")
    finally:
        working.cancel()
    await post.tripped(armed, TripCause.HEARTBEAT)


async def losing_account(post: Post) -> None:
    """Three readings agree on a loss over its limit; the account ends flat, held and latched.

    Where it fails, nothing bounds what a bot can lose.
    """
    # The equity of COIN-M is known as often as its coins' prices are read, which is seldom.
    post.policy = replace(post.policy, products=(Product.USDM,))
    guard = {"rule": "max_loss", "limit": _LOSS, "readings": _READINGS}
    armed = await post.arm(guards=[guard])
    await post.until(lambda: post.asked(Endpoint.EQUITY) >= _LEVEL_READINGS, "no equity was read")
    post.expect(not post.records("ARM_TRIPPED"), "it tripped without a loss")
    since = len(post.venue.account.journal.requests)
    post.act("set_mark", symbol=post.symbol, price="58500")
    await post.tripped(armed, TripCause.GUARD)
    agreed = post.asked(Endpoint.EQUITY, since)
    post.expect(agreed >= _READINGS, f"{agreed} readings were enough, {_READINGS} should agree")


async def handed_over(post: Post) -> None:
    """`liquidate` hands its run to the armed process.

    Where it fails, the price moves on while a program starts, connects and reads.
    """
    armed = await post.arm()
    asked = post.start("liquidate", "--json")
    code = await post.ended(asked)
    pids = [record["details"]["pid"] for record in post.records("LIQUIDATION_START")]
    if pids != [armed.process.pid]:
        raise _StuckError("the armed process did not do the work")
    await post.tripped(armed, TripCause.HANDOVER)
    post.expect(code == armed.process.returncode, f"liquidate exited {code}")


async def killed_in_a_run(post: Post) -> None:
    """The armed process is killed (kill -9) in a handed-over run; the command finishes it.

    Where it fails, what was not closed yet stays open.
    """
    method = "POST" if post.policy.close_positions else "DELETE"
    post.venue.add_fault("hang", method=method, symbol=post.symbol, times=1)
    armed = await post.arm()
    asked = post.start("liquidate", "--json")
    await post.until(lambda: post.venue.account.journal.faults, "nothing was sent", asked)
    armed.process.kill()
    await post.judge_by(asked)
    pids = [record["details"]["pid"] for record in post.records("LIQUIDATION_START")]
    post.expect(
        pids == [armed.process.pid, asked.process.pid],
        "it was not the command that finished what the armed process had begun",
    )


async def silent_stream(post: Post) -> None:
    """The stream is silent while the account changes; a reading notices, and a trip closes it all.

    Where it fails, what others open stays unseen, and open.
    """
    # One product is read more often than two.
    post.policy = replace(post.policy, products=post.policy.products[:1])
    armed = await post.arm()
    await asyncio.sleep(_COMPARED_AFTER_S)
    readings = post.asked(Endpoint.POSITIONS)
    await post.until(lambda: post.asked(Endpoint.POSITIONS) > readings, "nothing was read")
    post.venue.add_fault("stream_silent", times=0)
    post.act("add", symbol=post.symbol, quantity="1")
    await post.until(
        lambda: any("silent" in str(line.get("reasons")) for line in armed.said()),
        "it never said that the stream is silent",
        armed,
    )
    armed.process.send_signal(signal.SIGUSR1)
    await post.tripped(armed, TripCause.SIGNAL)


async def reopened_in_the_hold(post: Post) -> None:
    """A bot opens again after the trip; that is closed and named.

    Where it fails, the loss goes on after the switch reported flat.
    """
    armed = await post.arm(hold_seconds=5.0)
    armed.process.send_signal(signal.SIGUSR1)
    await post.until(lambda: armed.told("tripped"), "it never said that it tripped", armed)
    if post.policy.close_positions:
        name = f"a position on {post.symbol}"
        post.act("reopen", symbol=post.symbol, quantity="1")
    else:
        name = "an order gridbot"
        post.act("place", symbol=post.symbol, side="BUY", price="50000", quantity="1")
    await post.tripped(armed, TripCause.SIGNAL)
    told = " ".join(post.result.notes) if post.result else ""
    post.expect(name in told, f"{name} was not named")


async def latched(post: Post) -> None:
    """After a trip `arm` exits 9 until a human gives --rearm.

    Where it fails, a restart goes on after a loss that nobody looked at.
    """
    armed = await post.arm()
    armed.process.send_signal(signal.SIGUSR1)
    await post.tripped(armed, TripCause.SIGNAL)
    second = post.start("arm", "--json")
    await post.until(lambda: second.process.poll() is not None or second.said(), "arm hangs")
    code = second.process.poll()
    post.expect(code == ExitCode.LATCHED, f"arm without --rearm exited {code}, if at all")
    again = post.start("arm", "--json", "--rearm")
    await post.until(again.said, "--rearm did not arm it", again)
    post.expect(not post.is_latched, "the latch is still closed")
    again.process.send_signal(signal.SIGTERM)
    code = await post.ended(again)
    post.expect(code == ExitCode.TERMINATED, f"stopped without a trip it exited {code}")


SCRIPTS: Final[Mapping[str, Script]] = {
    f"armed_{script.__name__}": script
    for script in (
        # The longest first.
        *(losing_account, silent_stream, reopened_in_the_hold, latched),
        *(stopped_bot, killed_in_a_run, handed_over, signal_trips),
    )
}
"""What is played with an armed process, by the name of its scenario."""


def scenario_of(name: str) -> Scenario:
    """Return the account on an ordinary day, under the name of a script and with its text."""
    text = " ".join((SCRIPTS[name].__doc__ or "").split())
    return replace(load_scenario("default"), name=name, description=text)


def play(course: Course, stop: Stop, tell: Callable[[str], None]) -> Iterator[Score]:
    """Yield the score of each script, all played side by side; of none when stopped."""
    plays = [each for each in course.chosen if each.script is not None]
    if not plays or stop.requested:
        return
    total, trail = len(course.chosen), course.conditions.trail
    tell(f"{total - len(plays) + 1} of {total}: armed processes, side by side")

    async def main() -> list[Post]:
        turns = asyncio.Semaphore(_SIDE_BY_SIDE)
        played = (_play(each, course.conditions, Path(parent), turns) for each in plays)
        return await asyncio.gather(*played)

    beside = trail.path.parent.absolute() if trail else None
    with tempfile.TemporaryDirectory(dir=beside) as parent:
        for post in stop.run(main) or ():
            yield Score(exercise=post.exercise, runs=(_judge(post),))


async def _play(
    exercise: Exercise, conditions: Conditions, parent: Path, turns: asyncio.Semaphore
) -> Post:
    key, secret = (secrets.token_hex(32) for _ in range(2))
    venue = exercise.scenario.make_venue(api_key=key, api_secret=secret)
    folder = parent / exercise.scenario.name
    folder.mkdir(mode=0o700)
    async with turns:
        server = await start_server(venue, latency_ms=round(conditions.latency_s * 1000))
        post = Post(
            exercise=exercise,
            conditions=conditions,
            folder=folder,
            venue=venue,
            url=server.url,
            policy=exercise.policy,
            ends_at=time.monotonic() + _PLAY_MAX_S + 3 * exercise.policy.timeout_seconds,
        )
        try:
            assert exercise.script is not None  # noqa: S101 - asked by the caller
            await exercise.script(post)
        except (_StuckError, OSError, ValueError, LookupError) as problem:
            post.wrong.append(str(problem) or type(problem).__name__)
        finally:
            for program in post.programs:
                program.process.kill()
                program.process.wait()
            # Whoever asked is gone: an answer that a fault holds back is not waited for.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.close(), _CLOSE_MAX_S)
    return post


def _judge(post: Post) -> Run:
    """Return the run with everything that can be held against it."""
    now = datetime.fromtimestamp(now_ms() / 1000, tz=UTC)
    result = post.result or LiquidationResult(
        correlation_id="",
        environment="simulator",
        state=LiquidationState.FAILED,
        error_message="; ".join(post.wrong),
        started_at=now,
        finished_at=now,
        duration_seconds=0.0,
        timeout_seconds=post.policy.timeout_seconds,
    )
    case = Case(
        venue=post.venue,
        result=result,
        events=[
            (record["event_type"], record["details"])
            for record in post.records()
            if record["correlation_id"] == result.correlation_id
        ],
        duration_s=result.duration_seconds,
        # Not that of the process, which ends later.
        ended_ms=round(result.finished_at.timestamp() * 1000),
        latency_s=post.conditions.latency_s,
        policy=post.policy,
    )
    run = judged(case, post.exercise.scenario.expect, seed=1)
    fault = fault_of(post.trail)
    wrong = [*post.wrong, *([f"audit trail: {fault}"] if fault else [])]
    found = tuple(Difference(text=text, worse=True) for text in wrong)
    return replace(run, differences=(*found, *run.differences))
