"""What people are told of a run while it goes on: each event in words, or a view that is drawn.

This is loaded while the first reading is on its way; it must stay light.

What a reader would get wrong of the view:
- The loop only appends to a queue; it waits for nothing. A thread reads that a few times a second,
  and rich and the terminal are the thread's.
- A run that is over within `FIRST_FRAME_S`, as most are, pays for none of it: no import of rich,
  no frame, no flicker.
- The thread shares the interpreter with the loop. While it draws, the interpreter changes hands
  after a tenth of its usual 5 ms, or each answer of the venue would wait that much for its turn.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from liqctl.cli import process
from liqctl.cli.output import STDERR, STDOUT, out
from liqctl.kernel.events import AuditEventType
from liqctl.trail.durability import LogFile, describe_event
from liqctl.trail.writer import END_WAIT_MAX_S, AuditLogger

if TYPE_CHECKING:
    from liqctl.desk.live import LiveAccounts, LiveModel
    from liqctl.settings.values import Settings

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


class CommandSink(AuditLogger):
    """Hands each event to the trail, then tells it in `liqctl.log` and to who reads stderr."""

    def __init__(self, settings: "Settings", *, aloud: bool, view: "LiveView | None") -> None:
        """Tell events on stderr where they are wanted `aloud`, draw them where there is a view."""
        super().__init__(
            settings.audit.log_dir, environment=settings.environment.value, spill=out.aside
        )
        self.listeners: list[Callable[[str, Mapping[str, Any]], None]] = []
        """Who else hears of each event."""

        self._log = LogFile(settings.audit.log_dir)
        self._aloud = aloud
        self._view = view

    def log_event(
        self,
        *,
        event_type: AuditEventType | str,
        correlation_id: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Take one event; waits for nothing, also where no event loop runs."""
        self.post_event(event_type=event_type, correlation_id=correlation_id, details=details)
        name, details = str(event_type), details or {}
        self._log.write(correlation_id, describe_event(name, details))
        for listener in self.listeners:
            listener(name, details)
        self.tell(self.accounts.get(correlation_id), name, details)

    def tell(self, account: str | None, event_type: str, details: Mapping[str, Any]) -> None:
        """Tell an event, also one that another process records; from any thread."""
        if self._aloud:
            line = describe_event(event_type, details)
            out.progress(f"{account}: {line}" if account else line)
        if self._view is not None:
            self._view.note(event_type, details, account)

    def finish(self, wait_max_s: float = END_WAIT_MAX_S) -> None:
        """Write what is still to be recorded, and told in the log; wait for the disk (bounded)."""
        super().finish(wait_max_s)
        self._log.flush(wait_max_s)


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
