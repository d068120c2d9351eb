"""The live view of a run: a thread that reads the events and draws, and never holds the run up.

What a reader would get wrong:
- The loop only appends to a queue; it waits for nothing. Reading, rich and the terminal are the
  thread's, which looks for events by itself a few times a second.
- A run that is over within `FIRST_FRAME_S`, as most are, pays for none of it: no import of rich,
  no frame, no flicker.
- The thread shares the interpreter with the loop. While it draws, the interpreter changes hands
  after a tenth of its usual 5 ms, or each answer of the venue would wait that much for its turn.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.output import STDERR, STDOUT, out

if TYPE_CHECKING:
    from liqctl.desk.live import LiveAccounts, LiveModel

FIRST_FRAME_S: Final = 0.4
"""How long a run must last before it is shown while it goes on."""

_INTERVAL_S: Final = 0.2
"""Five frames a second are read easily; one costs some milliseconds of processor time."""

_SWITCH_S: Final = 0.0005
_EVENTS_MAX: Final = 20_000
"""Ten times what 200 positions and a deadline's worth of retries make."""

_LAST_FRAME_S: Final = 0.1
_COLUMNS_MIN: Final = 40
_LINES_MIN: Final = 8
"""Below these there is nothing to be seen."""

_NO_CURSOR: Final = {"", "dumb", "unknown"}


def can_redraw(environ: Mapping[str, str]) -> bool:
    """Return whether lines on this kind of terminal can be drawn anew; a log of CI keeps them."""
    in_ci = environ.get("CI", "").lower() not in {"", "0", "false"}
    return not in_ci and environ.get("TERM", "") not in _NO_CURSOR


@dataclass(kw_only=True, eq=False)
class LiveView:
    """Shows one run on stderr's terminal, from the moment it is made until `close`.

    `began_at` is a moment of `time.monotonic`. Several `accounts` are shown a line each, one as its
    positions.
    """

    title: str
    timeout_s: float
    began_at: float
    colour: bool
    accounts: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Start watching."""
        self._events: deque[tuple[float, str, Mapping[str, Any]]] = deque(maxlen=_EVENTS_MAX)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="live view")
        self._thread.start()

    def note(self, event_type: str, details: Mapping[str, Any], account: str | None = None) -> None:
        """Take one event; costs an append."""
        if self.accounts:
            details = {**details, "account": account}
        self._events.append((time.monotonic(), event_type, details))

    def close(self) -> None:
        """Draw nothing more; safe to call from any thread, and twice.

        The result takes the frame's place. Where it goes elsewhere, a last frame stays.
        """
        self._done.set()
        if not out.is_terminal(STDOUT) and out.canvas.is_open:
            left_s = out.until - time.monotonic()
            self._thread.join(max(min(_LAST_FRAME_S, left_s), 0.0))
            out.aside(out.canvas.keep())
            return
        out.canvas.close()

    def _watch(self) -> None:
        waited_s = self.began_at + FIRST_FRAME_S - time.monotonic()
        if self._done.wait(max(waited_s, 0.0)) or not out.canvas.open(STDERR):
            return
        sys.setswitchinterval(_SWITCH_S)
        from liqctl.desk.live import LiveAccounts, LiveModel

        make = LiveAccounts if self.accounts else LiveModel
        model = make(began_at=self.began_at, timeout_s=self.timeout_s)
        while not self._done.is_set():
            self._draw(model)
            self._done.wait(_INTERVAL_S)
        if not out.is_terminal(STDOUT):
            self._draw(model)

    def _draw(self, model: "LiveModel | LiveAccounts") -> None:
        from liqctl.desk.live import draw

        while self._events:
            at, event_type, details = self._events.popleft()
            model.note(event_type, details, at)
        width, height = out.width_of(STDERR) or 0, out.height_of(STDERR) or 0
        if width < _COLUMNS_MIN or height < _LINES_MIN:
            return
        lines = draw(
            model,
            time.monotonic(),
            title=self.title,
            width=width,
            height=height - 1,
            colour=self.colour,
            stopping=process.signals.received is not None,
        )
        out.canvas.draw(lines)
