"""`status --watch`: looks again and again, at a pace that leaves the limits to those who need them.

On a terminal one screen is redrawn, on the terminal's second page, so that what stood there before
comes back at the end with the last look below it. Piped, every look is a block, or a JSON document
on one line. A look that failed keeps the last whole one, with its age, and is called UNKNOWN.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.output import STDOUT, out
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.as_json import rfc3339
from liqctl.kernel.costs import Pace, asked_to_wait_s, look_weight
from liqctl.run import SystemClock

if TYPE_CHECKING:
    from datetime import datetime

    from liqctl.cli.options import Options
    from liqctl.cli.status import StatusReaders, View

_PIPED_TICK_S: Final = 60.0
_OTHERS_WAIT_S: Final = 2.0
"""How long accounts that were read wait for one that hangs: it is told as unread until then."""

_ROWS_OF_PROMPT: Final = 3
"""Left below the last look, so that the shell's prompt does not push its first line out."""

_OPEN: Final = "\x1b[?1049h\x1b[?25l"
_CLOSE: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_TO_LINE_END: Final = "\x1b[K"
_TO_SCREEN_END: Final = "\x1b[J"


@dataclass(eq=False)
class Watch:
    """Looks until a signal ends the process, or nobody reads any more.

    It looks as often as the options say where the limits allow it. `also` is given each document
    once it is shown, and returns whether all is well.
    """

    options: "Options"
    readers: "StatusReaders"
    also: Callable[[dict[str, Any]], bool]
    is_well: bool = True

    def __post_init__(self) -> None:
        """Begin with a look at once."""
        weight = sum(look_weight(reader.settings.liquidation) for reader in self.readers.each)
        self._pace = Pace(wished_s=self.options.every, weight=weight)
        self._known: dict[int, tuple[datetime, dict[str, Any]]] = {}
        self._due_at = 0.0
        self._resting_until: dict[int, float] = {}
        self._views: list[View] = []
        self._document: dict[str, Any] | None = None
        can_redraw = out.is_terminal(STDOUT) and os.environ.get("TERM", "dumb") != "dumb"
        self._is_drawn = can_redraw and not self.options.as_json
        self._is_open = False
        self._wake = asyncio.Event()

    async def run(self) -> "View":
        """Return the last look, when stdout has lost its reader."""
        from liqctl.kernel.as_json import dump_line

        loop = asyncio.get_running_loop()
        if self._is_drawn:
            loop.add_signal_handler(signal.SIGWINCH, self._wake.set)
            # Every end by a signal gives the page back, the stop key for a while.
            process.signals.before_leaving(self._close)
            signal.signal(signal.SIGTSTP, self._pause)
            out.control(_OPEN)
            self._is_open = True
        elif not out.is_terminal(STDOUT):
            with contextlib.suppress(OSError):  # a regular file cannot lose its reader
                loop.add_reader(STDOUT, self._notice, loop)
        try:
            while True:
                view = await self._look(loop)
                if out.has_lost_reader():
                    return view
                pace = self._pace
                document = self._document = view.document | {
                    "watch": {
                        "next_look_seconds": round(max(self._due_at - loop.time(), 0.0), 1),
                        "slowed": pace.is_slowed,
                        "weight_used": pace.used if pace.used >= 0 else None,
                        "weight_used_by_others": pace.others,
                        "weight_limit": pace.limit,
                    }
                }
                if self._is_drawn:
                    self._draw()
                elif self.options.as_json:
                    out.answer(dump_line(document))
                else:
                    out.answer(self._text(document, None, None) + "\n")
                self.is_well = self.also(document)
                await self._rest(loop)
                if out.has_lost_reader():
                    return view
        finally:
            self._close()

    def _notice(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake up if stdout has lost its reader; a socket may only have something to say."""
        loop.remove_reader(STDOUT)
        if out.has_lost_reader():
            self._wake.set()

    async def _look(self, loop: asyncio.AbstractEventLoop) -> "View":
        """Ask the venue if it is its turn, and plan the next; else what lock and trail tell."""
        readers, now = self.readers, loop.time()
        if self._views and now < self._due_at:
            self._views = readers.look_aside_again(self._views)
        else:
            resting = {n: self._views[n] for n, until in self._resting_until.items() if now < until}
            patience_s = _OTHERS_WAIT_S if readers.are_several else None
            self._views = await readers.look(patience_s=patience_s, resting=resting)
            moment = SystemClock().now()
            stamp = moment.timestamp()
            self._pace.note(now=stamp, weight_1m=max(view.weight_1m for view in self._views))
            wait_s = self._pace.wait_s(now=stamp)
            for number, view in enumerate(self._views):
                if number in resting:
                    continue
                document = view.document
                if document["account"] is not None and document["account_error"] is None:
                    self._known[number] = moment, document["account"]
                asked_s = asked_to_wait_s(view.refusal, now=stamp)
                is_own = view.refusal is not None and view.refusal.kind is AnswerKind.RUN_FATAL
                if is_own and len(self._views) > 1:
                    # A refused key is one account's trouble; what concerns the address is
                    # everybody's.
                    self._resting_until[number] = loop.time() + asked_s
                else:
                    wait_s = max(wait_s, asked_s)
            self._due_at = loop.time() + wait_s
        for number, view in enumerate(self._views):
            last_known = None
            if number in self._known and view.document["account_error"] is not None:
                at, account = self._known[number]
                age_s = round((SystemClock().now() - at).total_seconds(), 1)
                last_known = {"at": rfc3339(at), "age_seconds": age_s, "account": account}
            view.document["last_known"] = last_known
        return readers.joined(self._views)

    async def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the next look; a resized terminal is redrawn at once."""
        tick_s = self.options.every if self._is_drawn else _PIPED_TICK_S
        until = min(self._due_at, loop.time() + tick_s)
        while (left_s := until - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), left_s)
            if not self._wake.is_set():
                return
            self._wake.clear()
            if not self._is_drawn:
                return
            self._draw()

    def _text(self, document: dict[str, Any], width: int | None, height: int | None) -> str:
        from liqctl.desk.status import render_status

        return render_status(
            document,
            width=width,
            height=height,
            colour=self.options.colour and self._is_drawn,
            verbose=self.options.verbose,
        )

    def _size(self) -> tuple[int, int]:
        return out.width_of(STDOUT) or 80, out.height_of(STDOUT) or 24

    def _draw(self) -> None:
        """Show the last look at the terminal's present size, over what stands there: no flicker."""
        if self._document is not None:
            lines = self._text(self._document, *self._size()).rstrip("\n").split("\n")
            body = "\n".join(line + _TO_LINE_END for line in lines)
            out.control(f"{_HOME}{body}{_TO_SCREEN_END}")

    def _close(self) -> None:
        """Give the page back, with the last look below what stood there; safe to call twice."""
        if not self._is_open:
            return
        self._is_open = False
        out.control(_CLOSE)
        if self._document is not None:
            columns, rows = self._size()
            # As it stays there, it no longer says what comes next.
            document = self._document | {"watch": {}}
            out.answer(self._text(document, columns, max(rows - _ROWS_OF_PROMPT, 1)))

    def _pause(self, _: int, __: FrameType | None) -> None:
        """Give the page back while the shell has the terminal; draw again when we go on."""
        out.control(_CLOSE)
        os.kill(os.getpid(), signal.SIGSTOP)
        out.control(_OPEN)
        self._draw()
