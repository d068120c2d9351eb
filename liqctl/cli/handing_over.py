"""The runs of a `liquidate`, one for each account, and how armed processes do their work.

Nothing heavy is imported here: an armed process has the first orders out before this one could have
loaded a library. Whatever goes wrong, the work comes back to who asked.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.output import STDERR, STDOUT, out
from liqctl.kernel.errors import CredentialsError
from liqctl.kernel.states import ExitCode, FailureCause

if TYPE_CHECKING:
    from liqctl.cli.liquidate import ResultPrinter
    from liqctl.cli.options import Options
    from liqctl.cli.wiring import Account
    from liqctl.kernel.limits import Deadline
    from liqctl.kernel.result import LiquidationResult
    from liqctl.run.driver import Known
    from liqctl.run.manager import LiquidationManager
    from liqctl.settings.credentials import Credentials
    from liqctl.settings.values import Settings
    from liqctl.standby.handover import Handover

    _Door = tuple[str, Credentials]
    """By which name an armed process listens, and the key of its account."""

NOTHING_SENT: Final = "interrupted: nothing was sent"
GOES_ON: Final = "the armed process goes on with it; see `liqctl status` and the audit trail"
_Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True, kw_only=True, eq=False)
class AccountRun:
    """The run of one account, and how it ended.

    `account` is None where it has no usable key; then it has its result from the beginning. What is
    a `twin_of` another name, by its key, is closed under that name. What was `handed` to an armed
    process is closed there; where it came back, the process `taker` had it under the name
    `handed_as`. What `passes_over` waits for no lock any more.
    """

    settings: "Settings"
    correlation_id: str
    account: "Account | None" = None
    twin_of: str | None = None
    manager: "LiquidationManager | None" = None
    result: "LiquidationResult | None" = None
    deadline: "Deadline | None" = None
    known: "Known | None" = None
    handed: "HandingOver | None" = None
    handed_as: str | None = None
    taker: int | None = None
    passes_over: bool = False

    @property
    def name(self) -> str | None:
        """The account's name, None where it has none."""
        return self.settings.account

    @property
    def on_whom(self) -> str:
        """Of which account something is said, where accounts have names."""
        return f" on {self.name}" if self.name else ""


def hand_over_runs(
    options: "Options", runs: Sequence[AccountRun], printer: "ResultPrinter"
) -> ExitCode | None:
    """Let armed processes do the work of runs, where they may.

    They are looked for by their sockets: without one this costs the look at a folder. One account's
    answer is waited for and printed; of several each is `handed`, and the others wait for nothing.

    Returns:
        The exit code, if all was done; None where there is work left, or an answer to wait for.
    """
    if options.dry_run or options.no_handover:
        return None
    if not printer.are_several:
        return _hand_over_only(options, runs[0], printer)
    doors = [_door_of(run.settings) for run in runs]
    identities = [door[0] for door in doors if door]
    for run, door in zip(runs, doors, strict=True):
        # One key under several names is left to this process, which closes for all at once.
        if door is None or identities.count(door[0]) > 1:
            continue
        try:
            run.handed = HandingOver(door[0], _make_handover(options, run, door, {"as_data": True}))
        except RuntimeError:  # What has no thread is done here.
            break

    def leave_word() -> None:
        goes_on = [run for run in runs if run.handed and not run.handed.is_refused]
        _leave_word(options, printer, runs, goes_on)

    if any(run.handed for run in runs):
        process.signals.last_word(leave_word)
    return None


def _hand_over_only(
    options: "Options", run: AccountRun, printer: "ResultPrinter"
) -> ExitCode | None:
    door = _door_of(run.settings)
    if door is None:
        return None
    from liqctl.standby.handover import hand_over

    width = out.width_of(STDOUT)
    screen = {
        "as_json": options.as_json,
        "width": width,
        "height": out.height_of(STDOUT),
        "colour": options.colour and width is not None,
    }
    process.signals.last_word(lambda: _leave_word(options, printer, [run], [run]))
    is_aloud = options.verbose or out.is_terminal(STDERR)
    taker: int | None = None

    def show(event_type: str, details: Mapping[str, Any]) -> None:
        if is_aloud:
            from liqctl.trail.durability import describe_event

            out.progress(describe_event(event_type, details))

    def note_taker(pid: int) -> None:
        nonlocal taker
        taker = pid

    asked = _make_handover(options, run, door, screen)
    answer = hand_over(door[0], asked, show, note_taker)
    if answer is None:
        process.signals.last_word(printer.interrupted)
        printer.take_back(run, taker)
        return None
    out.answer(str(answer["document"]))
    return process.signals.received or ExitCode(int(answer["exit_code"]))


class HandingOver:
    """The work of one of several accounts, asked of its armed process in a thread of its own.

    The others wait for nothing of it. `answer` is what it answered, None where the work comes back.
    """

    def __init__(self, identity: str, asked: "Handover") -> None:
        """Ask at once.

        Raises:
            RuntimeError: no thread can be had.
        """
        self.answer: Future[dict[str, Any] | None] = Future()
        self.taker: int | None = None
        """The process that took the work, or did not answer."""
        self._lock = threading.RLock()
        self._untold: list[tuple[str, Mapping[str, Any]]] = []
        self._tell: _Tell = lambda *event: self._untold.append(event)

        def note_taker(pid: int) -> None:
            self.taker = pid

        def ask() -> None:
            from liqctl.standby.handover import hand_over

            answer = None
            try:
                answer = hand_over(identity, asked, self._hear, note_taker)
            finally:
                self.answer.set_result(answer)

        threading.Thread(target=ask, daemon=True).start()

    @property
    def is_refused(self) -> bool:
        """Whether the work came back already."""
        return self.answer.done() and self.answer.result() is None

    def listen(self, tell: _Tell) -> None:
        """Let events be told from now on, in the thread that hears them, those before now here."""
        with self._lock:
            self._tell = tell
            for event in self._untold:
                self._hear(*event)

    def _hear(self, event_type: str, details: Mapping[str, Any]) -> None:
        # What cannot be told, of another version maybe, must not cost anybody the result.
        with self._lock, contextlib.suppress(Exception):
            self._tell(event_type, details)


def result_of(answer: Mapping[str, Any] | None) -> "LiquidationResult | None":
    """Return the result that an armed process answered; None where that is none."""
    from liqctl.kernel.as_json import from_json
    from liqctl.kernel.result import LiquidationResult

    try:
        result = from_json(LiquidationResult, json.loads(answer["document"] if answer else "0"))
    except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError):
        return None
    assert isinstance(result, LiquidationResult)  # noqa: S101 - what was asked for
    return result


def _door_of(settings: "Settings") -> "_Door | None":
    """Return where the account's armed process listens, None where none does."""
    if settings.is_embedded or not settings.liquidation.emergency_liquidation:
        return None
    from liqctl.cli.wiring import identity_of
    from liqctl.run import state_folders
    from liqctl.settings.credentials import load_credentials

    try:
        credentials = load_credentials(settings.environment, os.environ, settings.account)
    except CredentialsError:
        return None  # Told by who opens the account.
    identity = identity_of(settings, credentials)
    is_there = (state_folders()[0] / f"{identity}.sock").exists()
    return (identity, credentials) if is_there else None


def _make_handover(
    options: "Options", run: AccountRun, door: "_Door", screen: Mapping[str, Any]
) -> "Handover":
    from liqctl.settings.credentials import hide_keys
    from liqctl.standby.handover import Handover, scope_of

    own = door[1].api_key, door[1].api_secret
    return Handover(
        scope=scope_of(run.settings.liquidation),
        reason=hide_keys(options.reason, own, os.environ),
        correlation_id=run.correlation_id,
        hold=options.hold,
        screen=screen,
    )


def _leave_word(
    options: "Options",
    printer: "ResultPrinter",
    runs: Sequence[AccountRun],
    going_on: Sequence[AccountRun],
) -> None:
    """Say on a signal that the armed processes go on with what they were given."""
    why = f"interrupted: {GOES_ON}"
    out.error(why if going_on else NOTHING_SENT)
    if options.as_json and not out.is_answered:
        each = []
        for run in runs:
            told = why if run in going_on else NOTHING_SENT
            name = run.correlation_id
            each.append(printer.refusal(FailureCause.NONE, told, run.settings, name=name))
        printer.end(printer.joined(each))
