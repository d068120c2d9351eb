"""`status --watch`: looks again and again, at a pace that leaves the limits to those who need them.

On a terminal one screen is redrawn, on the terminal's second page, so that what stood there before
comes back at the end with the last look below it. Piped, every look is a block, or a JSON document
on one line. A look that failed keeps the last whole one, with its age, and is called UNKNOWN.
"""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Callable
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.pace import Pace, asked_to_wait_s, look_weight
from liqctl.kernel.pacing import NARROW_SYMBOLS_MAX
from liqctl.run.who import SystemClock

if TYPE_CHECKING:
    from liqctl.cli.options import Options
    from liqctl.cli.status_reader import StatusReader, View

_STDOUT: Final = 1
_PIPED_TICK_S: Final = 60.0
_ROWS: Final = 24
_ROWS_OF_PROMPT: Final = 3
"""Left below the last look, so that the shell's prompt does not push its first line out."""

_OPEN: Final = "\x1b[?1049h\x1b[?25l"
_CLOSE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_TO_LINE_END: Final = "\x1b[K"
_TO_SCREEN_END: Final = "\x1b[J"


class Watch:
    """Looks until a signal ends the process, or nobody reads any more."""

    def __init__(
        self,
        options: "Options",
        reader: "StatusReader",
        *,
        every_s: float,
        also: Callable[[dict[str, Any]], bool],
    ) -> None:
        """Look every so many seconds where the limits allow it.

        Args:
            options: what the command line asked for.
            reader: looks at the account.
            every_s: how often, at most.
            also: is given each document once it is shown, and returns whether all is well.
        """
        self.is_well = True
        self._also = also
        self._options = options
        self._reader = reader
        self._every_s = every_s
        symbols = len(reader.settings.liquidation.symbols)
        narrow = symbols if symbols <= NARROW_SYMBOLS_MAX else 0
        self._pace = Pace(wished_s=every_s, weight=look_weight(narrow))
        self._known: tuple[datetime, dict[str, Any]] | None = None
        self._due_at = 0.0
        self._view: View | None = None
        self._screen = _Screen(self) if _can_redraw() and not options.as_json else None
        self._wake = asyncio.Event()

    async def run(self) -> "View":
        """Return the last look, when stdout has lost its reader."""
        loop = asyncio.get_running_loop()
        if self._screen is not None:
            loop.add_signal_handler(signal.SIGWINCH, self._wake.set)
            self._screen.open()
            try:
                return await self._look_on(loop)
            finally:
                self._screen.close()
        if not process.is_terminal(_STDOUT):
            with contextlib.suppress(OSError):  # a regular file cannot lose its reader
                loop.add_reader(_STDOUT, self._notice, loop)
        return await self._look_on(loop)

    async def _look_on(self, loop: asyncio.AbstractEventLoop) -> "View":
        from liqctl.kernel.as_json import dump_line

        while True:
            view = await self._look(loop.time())
            if _is_unread():
                return view
            if self._screen is not None:
                self.draw()
            elif self._options.as_json:
                process.print_answer(dump_line(view.document))
            else:
                process.print_answer(self._text(view.document, None, None) + "\n")
            self.is_well = self._also(view.document)
            await self._rest(loop)
            if _is_unread():
                return view

    def _notice(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake up if stdout has lost its reader; a socket may only have something to say."""
        loop.remove_reader(_STDOUT)
        if _is_unread():
            self._wake.set()

    def draw(self) -> None:
        """Show the last look again, at the terminal's present size."""
        if self._view is not None and self._screen is not None:
            self._screen.draw(self._text(self._view.document, *self._screen.size()))

    def last_words(self) -> str:
        """Return the last look as it stays on the terminal: it no longer says what comes next."""
        if self._view is None or self._screen is None:
            return ""
        columns, rows = self._screen.size()
        return self._text(
            self._view.document | {"watch": {}}, columns, max(rows - _ROWS_OF_PROMPT, 1)
        )

    async def _look(self, now: float) -> "View":
        """Ask the venue if it is its turn; else tell what the lock and the trail say."""
        clock = SystemClock()
        if self._view is not None and now < self._due_at:
            view = self._reader.look_aside_again(self._view)
        else:
            view = await self._reader.look()
            moment = clock.now()
            self._pace.note(now=moment.timestamp(), weight_1m=view.weight_1m)
            wait_s = max(
                self._pace.wait_s(now=moment.timestamp()),
                asked_to_wait_s(view.refusal, now=moment.timestamp()),
            )
            self._due_at = asyncio.get_running_loop().time() + wait_s
            account = view.document["account"]
            if account is not None and view.document["account_error"] is None:
                self._known = moment, account
        self._view = view
        view.document["last_known"] = self._last_known(view, clock.now())
        view.document["watch"] = {
            "next_look_seconds": round(
                max(self._due_at - asyncio.get_running_loop().time(), 0.0), 1
            ),
            "slowed": self._pace.is_slowed,
            "weight_used": self._pace.used if self._pace.used >= 0 else None,
            "weight_used_by_others": self._pace.others,
            "weight_limit": self._pace.limit,
        }
        return view

    def _last_known(self, view: "View", now: datetime) -> dict[str, Any] | None:
        """Return the last whole reading where this look did not give one."""
        if self._known is None or view.document["account_error"] is None:
            return None
        at, account = self._known
        age_s = round((now - at).total_seconds(), 1)
        return {"at": rfc3339(at), "age_seconds": age_s, "account": account}

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the next look; a resized terminal is redrawn at once."""
        tick_s = self._every_s if self._screen else _PIPED_TICK_S
        until = min(self._due_at, loop.time() + tick_s)
        while (left_s := until - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left_s)
            if not self._wake.is_set():
                return
            self._wake.clear()
            if self._screen is None:
                return
            self.draw()

    def _text(self, document: dict[str, Any], width: int | None, height: int | None) -> str:
        from liqctl.desk.status import render_status

        return render_status(
            document,
            width=width,
            height=height,
            colour=self._options.colour and self._screen is not None,
            verbose=self._options.verbose,
        )


class _Screen:
    """The terminal's second page, for as long as we look."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._is_open = False

    def open(self) -> None:
        """Take the page; every end by a signal gives it back, the stop key for a while."""
        process.signals.before_leaving(self.close)
        signal.signal(signal.SIGTSTP, self._pause)
        process.print_answer_as_it_is(_OPEN)
        self._is_open = True

    def draw(self, text: str) -> None:
        """Write over what stands there, so that nothing flickers."""
        lines = text.rstrip("\n").split("\n")
        body = "\n".join(line + _TO_LINE_END for line in lines)
        process.print_answer_as_it_is(f"{_HOME}{body}{_TO_SCREEN_END}")

    def size(self) -> tuple[int, int]:
        """Return columns and rows; a terminal that does not know them has 80 by 24."""
        try:
            found = os.get_terminal_size(_STDOUT)
        except OSError:
            found = os.terminal_size((0, 0))
        return found.columns or process.width_of(_STDOUT) or 80, found.lines or _ROWS

    def close(self) -> None:
        """Give the page back, with the last look below what stood there; safe to call twice."""
        if self._is_open:
            self._is_open = False
            process.print_answer_as_it_is(_CLOSE)
            words = self._watch.last_words()
            if words:
                process.print_answer(words)

    def _pause(self, _: int, __: FrameType | None) -> None:
        """Give the page back while the shell has the terminal; draw again when we go on."""
        process.print_answer_as_it_is(_CLOSE)
        os.kill(os.getpid(), signal.SIGSTOP)
        process.print_answer_as_it_is(_OPEN)
        self._watch.draw()


def _can_redraw() -> bool:
    """Return whether stdout is a terminal that can move its cursor."""
    return process.is_terminal(_STDOUT) and os.environ.get("TERM", "dumb") != "dumb"


def _is_unread() -> bool:
    """Return whether stdout has lost its reader; a terminal's end comes as a signal."""
    poll = select.poll()
    poll.register(_STDOUT, 0)
    return bool(poll.poll(0))
