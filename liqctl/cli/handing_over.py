"""A `liquidate` whose work armed processes of the same accounts do.

Nothing heavy is imported here: an armed process has the first orders out before this one could have
loaded a library. Whatever goes wrong, the work comes back to who asked.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Container, Mapping, Sequence
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
    from liqctl.kernel.errors import Secret
    from liqctl.kernel.result import LiquidationResult
    from liqctl.settings.values import Settings
    from liqctl.standby.handover import Handover

NOTHING_SENT: Final = "interrupted: nothing was sent"
GOES_ON: Final = "the armed process goes on with it; see `liqctl status` and the audit trail"
_Tell = Callable[[str, Mapping[str, Any]], None]


def hand_over_liquidation(
    options: "Options", settings: "Settings", printer: "ResultPrinter"
) -> ExitCode | None:
    """Let an armed process do the work and print its answer; None where there is none.

    It is looked for by its socket: without one this costs the look at a folder.
    """
    screen = {
        "as_json": options.as_json,
        "width": out.width_of(STDOUT),
        "height": out.height_of(STDOUT),
        "colour": options.colour and out.width_of(STDOUT) is not None,
    }
    door = _door_of(settings)
    if door is None:
        return None
    from liqctl.standby.handover import hand_over

    names = [(settings, printer.correlation_id)]
    process.signals.last_word(lambda: _leave_word(options, printer, names, {settings.account}))
    is_aloud = options.verbose or out.is_terminal(STDERR)

    def show(event_type: str, details: Mapping[str, Any]) -> None:
        if is_aloud:
            from liqctl.trail.durability import describe_event

            out.progress(describe_event(event_type, details))

    asked = _make_handover(options, settings, door, printer.correlation_id, screen)
    answer = hand_over(door.identity, asked, show, printer.note_taker)
    if answer is None:
        process.signals.last_word(printer.interrupted)
        printer.take_back()
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
        self._lock = threading.Lock()
        self._tell: _Tell | None = None
        self._untold: list[tuple[str, Mapping[str, Any]]] = []
        asking = threading.Thread(target=self._ask, args=(identity, asked), daemon=True)
        asking.start()

    @property
    def is_refused(self) -> bool:
        """Whether the work came back already."""
        return self.answer.done() and self.answer.result() is None

    def listen(self, tell: _Tell) -> None:
        """Let events be told from now on, in the thread that hears them, those before now here."""
        with self._lock:
            self._tell = tell
            for event in self._untold:
                self._say(*event)

    def _hear(self, event_type: str, details: Mapping[str, Any]) -> None:
        with self._lock:
            if self._tell is not None:
                self._say(event_type, details)
            else:
                self._untold.append((event_type, details))

    def _say(self, event_type: str, details: Mapping[str, Any]) -> None:
        # What cannot be told, of another version maybe, must not cost anybody the result.
        with contextlib.suppress(Exception):
            if self._tell is not None:
                self._tell(event_type, details)

    def _note_taker(self, pid: int) -> None:
        self.taker = pid

    def _ask(self, identity: str, asked: "Handover") -> None:
        from liqctl.standby.handover import hand_over

        answer = None
        try:
            answer = hand_over(identity, asked, self._hear, self._note_taker)
        finally:
            self.answer.set_result(answer)


def hand_over_accounts(
    options: "Options",
    names: "Sequence[tuple[Settings, str]]",
    printer: "ResultPrinter",
) -> dict[str | None, HandingOver]:
    """Hand the work of each account over that has an armed process; return what was, by account.

    Each account comes with the correlation id of its run. One key under several names is left to
    this process, which closes for all of them at once.
    """
    doors = [_door_of(settings) for settings, _ in names]
    identities = [door.identity for door in doors if door]
    handed: dict[str | None, HandingOver] = {}
    for (settings, name), door in zip(names, doors, strict=True):
        if door is None or identities.count(door.identity) > 1:
            continue
        asked = _make_handover(options, settings, door, name, {"as_data": True})
        try:
            handed[settings.account] = HandingOver(door.identity, asked)
        except RuntimeError:  # What has no thread is done here.
            break
    if handed:

        def leave_word() -> None:
            goes_on = {account for account, each in handed.items() if not each.is_refused}
            _leave_word(options, printer, names, goes_on)

        process.signals.last_word(leave_word)
    return handed


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Door:
    """Where an armed process listens, by the key of its account."""

    identity: str
    own: "tuple[Secret, Secret]"


def _door_of(settings: "Settings") -> _Door | None:
    """Return where the account's armed process listens, None where none does."""
    if settings.is_embedded or not settings.liquidation.emergency_liquidation:
        return None
    from liqctl.cli.wiring import identity_of
    from liqctl.run.who import state_folders
    from liqctl.settings.credentials import load_credentials

    try:
        credentials = load_credentials(settings.environment, os.environ, settings.account)
    except CredentialsError:
        return None  # Told by who opens the account.
    identity = identity_of(settings, credentials)
    if not (state_folders()[0] / f"{identity}.sock").exists():
        return None
    return _Door(identity=identity, own=(credentials.api_key, credentials.api_secret))


def _make_handover(
    options: "Options", settings: "Settings", door: _Door, name: str, screen: Mapping[str, Any]
) -> "Handover":
    from liqctl.settings.credentials import hide_keys
    from liqctl.standby.handover import Handover, scope_of

    return Handover(
        scope=scope_of(settings.liquidation),
        reason=hide_keys(options.reason, door.own, os.environ),
        correlation_id=name,
        hold=options.hold,
        screen=screen,
    )


def _leave_word(
    options: "Options",
    printer: "ResultPrinter",
    names: "Sequence[tuple[Settings, str]]",
    handed: Container[str | None],
) -> None:
    """Say on a signal that the armed processes go on with what they were given."""
    why = f"interrupted: {GOES_ON}"
    out.error(why if any(its.account in handed for its, _ in names) else NOTHING_SENT)
    if options.as_json and not out.is_answered:
        each = []
        for its, name in names:
            told = why if its.account in handed else NOTHING_SENT
            each.append(printer.refusal(FailureCause.NONE, told, its, name=name))
        printer.end(printer.joined(each))
