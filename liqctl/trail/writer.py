"""The audit trail as a run sees it: events go in, nothing ever comes back as an exception.

Each correlation id has a chain of its own, `prev_hash` being the SHA-256 of its previous line, and
its first line hashes the last line standing in the file. No lock is needed for one process a run.
Where several processes write under one id, each looks for the others' lines before its own.

What a reader would get wrong:
- Every call on the file is made in a helper thread, in the order of the events. An event is kept in
  memory until its line is written; who must not send before that waits in `sync`, for a bounded
  time that a slow disk uses up once, not again at each wave of orders. A second thread does nothing
  but sync: where that hangs, lines can still be written.
- A failing trail does not stop a liquidation. The event goes to stderr instead, `complete` turns
  false, and the next event tries the file again.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import select
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from liqctl.kernel.events import TRAIL_NAME, AuditEventType
from liqctl.kernel.pacing import LOCK_WAIT_MAX_S
from liqctl.kernel.states import time_of_correlation_id
from liqctl.trail.durability import HelperThread, Ticket
from liqctl.trail.file import TrailFile, TrailRecord, make_record, open_trail

ORDERS_WAIT_MAX_S: Final = 0.025
"""How long all orders of a run together are held back for a slow disk. Measured: a sync takes
0.3 ms, one in a hundred 1 ms; a spinning disk needs 8 to 20 ms. A round trip to the venue takes
100 ms and more, so a disk that never answers costs a fraction of one round trip."""

_ORDERS_WAIT_SHARE: Final = 0.01
"""The share of a run's time that is added to it: a long run forgives its disk now and then."""

_FREE_S: Final = 0.005
"""What one wait may take without being counted: five times what a healthy disk needs at worst."""

END_WAIT_MAX_S: Final = 0.2
"""How long the end of a run waits for what is not on disk yet: long enough for a few writes of a
disk that needs 50 ms for each, and short of what an operator would notice."""

_LOOK_UP_MAX_S: Final = 2.0
"""How long the records of a dead run are looked for: the look-back below, at 30 MB a second."""

_LINGER_S: Final = 0.003
"""How long the first event waits for others to be written in one step with it, unless somebody asks
for the disk. A reading's event and the orders that follow from it are a millisecond apart."""

_WAITING_MAX: Final = 10_000
"""Events kept in memory for a disk that hangs: some 10 MB, and ten times a large run."""

_BLOCK_MAX_BYTES: Final = 256 * 1024
"""What is written in one step. Local file systems keep appends apart by a lock on the file, at any
length; 400 kB were tried with 16 processes at once."""

# A path that refuses is not asked for ever, and a block of which nothing fitted is tried once more.
_OPENINGS_MAX: Final = 20
_APPENDS_MAX: Final = 2
_LOOK_BACK_BYTES: Final = 1024 * 1024
_RESUME_BYTES: Final = 64 * 1024 * 1024
_NAMED_BYTES: Final = 1024 * 1024 * 1024
"""How far back the last line of a correlation id is looked for that the operator chose: it may have
been used at any time."""

_FRESH_S: Final = 600.0
"""A generated name that is younger has no lines older than that."""

# A program that logs under ever new names would keep all their chains.
_CHAINS_MAX: Final = 256
_STDERR: Final = 2
_STDERR_CHUNK_BYTES: Final = 4096
_STDERR_MAX_MS: Final = 50

_NOT_SUPPORTED: Final = frozenset({errno.EINVAL, errno.EROFS, errno.ENOSYS, errno.EOPNOTSUPP})
"""The file system has nothing to sync: no reason to call the trail incomplete."""


@dataclass(slots=True, kw_only=True)
class _Chain:
    """Where one correlation id stands. Bytes before `seen_to` hold none of its later lines."""

    file: TrailFile
    seq: int = 0
    head: str | None = None
    seen_to: int = 0
    account: str | None = None

    def catch_up(self, correlation_id: str, span: int, size: int) -> None:
        """Take over lines of the id that others appended since this process last looked."""
        if size <= self.seen_to:
            return
        found = self.file.find_last(correlation_id, max(self.seen_to, size - span), size)
        if found is not None and found[0].seq > self.seq:
            self.seq, self.head, self.account = found[0].seq, found[1], found[0].account
        self.seen_to = size


class _Line(NamedTuple):
    """A record that has its place in its chain."""

    chain: _Chain
    seq: int
    digest: str
    text: bytes


class AuditLogger:
    """The trail `<log_dir>/audit.jsonl`; implements `events.EventSink`.

    Nothing is opened before the first event. May be used from several threads.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        *,
        environment: str = "",
        # The clock of those who bring none.
        now: Callable[[], datetime] = lambda: datetime.now(UTC),  # noqa: TID251
        spill: Callable[[bytes], None] | None = None,
    ) -> None:
        """Write to `audit.jsonl` in `log_dir`, which is created when the first event comes.

        Relative to the working directory of now, not of later. `spill` takes the lines that the
        file did not, instead of stderr, and must not raise.
        """
        self.path = Path(os.path.abspath(os.fspath(log_dir))) / TRAIL_NAME  # noqa: PTH100 - no links
        self._environment = environment
        self.accounts: dict[str, str] = {}
        """Whose each run is, by correlation id, where accounts have names."""

        self._now = now
        self._write_aside = spill or _write_stderr
        self._thread = HelperThread("audit")
        self._sync_thread = HelperThread("audit-sync")
        self._failure: str | None = None
        self._has_spilled = False

        # Shared between the callers and the threads. The lock is never held across a call on
        # a file, and is re-entrant: a signal's last word may come in the middle of an event.
        self._guard = threading.RLock()
        self._waiting: deque[TrailRecord] = deque()
        self._is_appending = False
        self._leader: Ticket | None = None
        self._append: Ticket | None = None
        self._sync: Ticket | None = None
        self._hurry = threading.Event()
        self._is_unsynced = False
        self._dirty: set[TrailFile] = set()
        self._overdue: Ticket | None = None
        self._first_wait_at: float | None = None
        self._waited_s = 0.0
        self._end_wait_s = END_WAIT_MAX_S

        # The helper thread's own.
        self._file: TrailFile | None = None
        self._openings = 0
        self._chains: OrderedDict[str, _Chain] = OrderedDict()
        # What a program leaves behind at its end still gets a moment.
        weakref.finalize(self, self._thread.wait, END_WAIT_MAX_S)

    @property
    def complete(self) -> bool:
        """Whether every event so far reached the trail and no sync is known to have failed."""
        return self.failure is None

    @property
    def failure(self) -> str | None:
        """Why the trail is not complete, in words; None when it is."""
        if self._failure is None and self._is_stuck:
            return "the disk did not confirm in time"
        return self._failure

    def head(self, correlation_id: str) -> str | None:
        """Return the SHA-256 of the correlation id's last line, None when nothing was written."""
        chain = self._chains.get(str(correlation_id))
        return None if chain is None else chain.head

    def log_event(
        self,
        *,
        event_type: AuditEventType | str,
        correlation_id: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Take one event.

        Outside an event loop it is with the operating system, or on stderr, when this returns.
        Within one it is handed to the helper thread only; `sync` and `drain` wait for that.
        """
        self.post_event(event_type=event_type, correlation_id=correlation_id, details=details)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self.flush()

    def post_event(
        self,
        *,
        event_type: AuditEventType | str,
        correlation_id: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Take one event for the helper thread to append; never touches the disk."""
        record = make_record(
            timestamp=self._now(),
            event_type=event_type,
            correlation_id=correlation_id,
            environment=self._environment,
            account=self.accounts.get(str(correlation_id)),
            details={} if details is None else details,
        )
        with self._guard:
            has_room = len(self._waiting) < _WAITING_MAX
            if has_room:
                self._waiting.append(record)
                self._is_unsynced = True
                if not self._is_appending:
                    self._is_appending = True
                    self._hurry.clear()
                    self._append = self._thread.call(self._append_waiting)
        if not has_room:
            self._spill([record], "it answers too late, and memory for its events is used up")

    def follow(self, ticket: Ticket | None) -> None:
        """Write what comes from now on once a call is over, or took as long as it may."""
        with self._guard:
            self._leader = ticket or self._leader

    async def sync(self) -> None:
        """Return once all events so far are on disk, or when a run's patience with it is used up.

        Never raises. What is not on disk then is `complete` again once it is.
        """
        ticket = self._request_sync()
        if ticket is None or ticket.is_over:
            return
        if not self._is_stuck:
            began_at = time.monotonic()
            if self._first_wait_at is None:
                self._first_wait_at = began_at
            earned_s = (began_at - self._first_wait_at) * _ORDERS_WAIT_SHARE
            left_s = max(ORDERS_WAIT_MAX_S + earned_s - self._waited_s, 0.0)
            is_over = await ticket.finished(left_s)
            self._waited_s += max(time.monotonic() - began_at - _FREE_S, 0.0)
            if is_over:
                return
        self._overdue = ticket

    async def drain(self, wait_max_s: float = END_WAIT_MAX_S) -> None:
        """Return once all events so far are on disk; what is not by then goes to stderr."""
        ticket = self._request_sync()
        if ticket is not None:
            began_at = time.monotonic()
            # A run's end has nothing else to do: it waits as long as it may, whoever waited before.
            if not await ticket.finished(max(wait_max_s, self._end_left_s())):
                self._give_up(ticket, began_at)

    def finish(self, wait_max_s: float = END_WAIT_MAX_S) -> None:
        """Do as `drain` does, in a thread without a loop or for the last word of one."""
        self._wait_for(self._request_sync(), wait_max_s)

    def flush(self) -> None:
        """Return once all events so far are with the operating system, or on stderr."""
        self._hurry.set()
        self._wait_for(self._append, END_WAIT_MAX_S)

    async def continue_run(
        self, correlation_id: str, *, is_ours: bool
    ) -> tuple[str | None, tuple[tuple[str, str], ...]]:
        """Continue the chain of a run that died; return its last event and its unanswered orders.

        As `reading.last_event_and_unanswered` finds them. The chain's end is looked for in the last
        64 MB of the trail: an id that is not there would begin a chain of its own. `is_ours`: this
        process has begun a run of that name, so the one before it is meant, and the chain is known.
        """
        from liqctl.trail.reading import last_event_and_unanswered

        found: list[tuple[str | None, tuple[tuple[str, str], ...]]] = []

        def look_back() -> None:
            with contextlib.suppress(OSError):
                chain = _Chain(file=self._open())
                chain.catch_up(correlation_id, _RESUME_BYTES, chain.file.size())
                self._keep(correlation_id, chain)
                if chain.account:
                    self.accounts.setdefault(correlation_id, chain.account)

        def read() -> None:
            found.append(
                last_event_and_unanswered(self.path, correlation_id, before_latest=is_ours)
            )

        for step in (read,) if is_ours else (look_back, read):
            await self._thread.call(step).finished(0.0 if self._is_stuck else _LOOK_UP_MAX_S)
        return found[0] if found else (None, ())

    def close(self) -> None:
        """Close the file; a later event opens it again. Calling twice is safe."""

        def close_file() -> None:
            self._chains.clear()
            file, self._file = self._file, None
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()

        self.finish()
        self._thread.call(close_file).wait(END_WAIT_MAX_S)

    def _request_sync(self) -> Ticket | None:
        """Return the ticket of a sync that comes after all events so far; None without any."""

        def sync_dirty() -> None:
            # What was appended; for all who asked while an earlier sync took its time.
            with self._guard:
                dirty, self._dirty = self._dirty, set()
            try:
                for file in dirty:
                    file.sync()
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    # The kernel reports a lost write once: a later sync that succeeds proves
                    # nothing, so this is never taken back.
                    self._failure = os.strerror(error.errno or errno.EIO)
            finally:
                ticket.end()

        with self._guard:
            self._hurry.set()
            if self._is_unsynced:
                self._is_unsynced = False
                ticket = self._sync = Ticket()
                # By way of the first thread, so that it comes after what was appended.
                self._thread.call(lambda: self._sync_thread.call(sync_dirty))
            return self._sync

    @property
    def _is_stuck(self) -> bool:
        return self._overdue is not None and not self._overdue.is_over

    def _end_left_s(self) -> float:
        """Return how long an end may still wait: what one has waited in vain the next does not."""
        if not self._is_stuck:
            self._end_wait_s = END_WAIT_MAX_S
        return self._end_wait_s

    def _wait_for(self, ticket: Ticket | None, wait_max_s: float) -> None:
        began_at = time.monotonic()
        if ticket is not None and not ticket.wait(min(wait_max_s, self._end_left_s())):
            self._give_up(ticket, began_at)

    def _give_up(self, ticket: Ticket, began_at: float) -> None:
        """Give up on a disk that did not answer: what waits for it goes to stderr."""
        self._end_wait_s = max(self._end_wait_s - (time.monotonic() - began_at), 0.0)
        self._overdue = ticket
        with self._guard:
            records = list(self._waiting)
            self._waiting.clear()
        if records:
            self._spill(records, "the disk did not answer in time")

    # What follows runs in the helper thread.

    def _append_waiting(self) -> None:
        """Append what waits; what the file refuses goes to stderr."""
        self._hurry.wait(_LINGER_S)
        with self._guard:
            self._is_appending = False
            records = list(self._waiting)
            leader, self._leader = self._leader, None
        if leader is not None:
            leader.wait(LOCK_WAIT_MAX_S)
        while records:
            try:
                count, problem = self._append_block(records), None
            except OSError as error:
                count, problem = len(records), error.strerror or type(error).__name__
            with self._guard:
                if not (self._waiting and self._waiting[0] is records[0]):
                    return  # Given up meanwhile: they are on stderr.
                for _ in range(count):
                    self._waiting.popleft()
            if problem is not None:
                self._spill(records[:count], problem)
            records = records[count:]

    def _append_block(self, records: Sequence[TrailRecord]) -> int:
        """Append the first of the records, as many as fit one write; return how many, or raise."""
        file = self._chain(records[0].correlation_id).file
        with file.courtesy() as is_alone:
            for _ in range(_APPENDS_MAX):
                size, after_newline = file.settle(file.size())
                lines = self._lines(
                    file, records, size, is_alone=is_alone, after_newline=after_newline
                )
                whole, end = file.append(
                    [line.text for line in lines],
                    after_newline=after_newline,
                    alone_at=size if is_alone else None,
                )
                with self._guard:
                    self._dirty.add(file)
                length = sum(len(line.text) + 1 for line in lines)
                is_next = end - size - length in {-1, 0, 1}  # Newlines; else others came between.
                for line in lines[:whole]:
                    line.chain.seq, line.chain.head = line.seq, line.digest
                    line.chain.seen_to = end if is_next else size
                if whole:
                    return whole
        raise OSError(0, "the record was written in part only")

    def _lines(
        self,
        file: TrailFile,
        records: Sequence[TrailRecord],
        size: int,
        *,
        is_alone: bool,
        after_newline: bool,
    ) -> list[_Line]:
        """Return the first of the records as their chains' next lines, up to one block.

        Only who is alone can tell the stump of a crash from a record in the making, and names it.
        """
        lines: list[_Line] = []
        latest: dict[str, _Line] = {}
        length = 0
        for record in records:
            chain = self._chain(record.correlation_id)
            if chain.file is not file or length > _BLOCK_MAX_BYTES:
                break
            before = latest.get(record.correlation_id)
            if before is None:
                # A generated name that is young has no old lines; one that was chosen may.
                made_at = time_of_correlation_id(record.correlation_id)
                now = datetime.fromisoformat(record.timestamp).timestamp()
                is_fresh = made_at is not None and abs(now - made_at) < _FRESH_S
                span = _LOOK_BACK_BYTES if is_fresh else _NAMED_BYTES
                chain.catch_up(record.correlation_id, span, size)
            seq, prev_hash = (before.seq, before.digest) if before else (chain.seq, chain.head)
            torn_hash = None
            if seq == 0:
                prev_hash = (
                    lines[-1].digest if lines else file.last_line_digest(size, whole=not is_alone)
                )
            elif not lines and is_alone and not after_newline:
                last = file.last_line_digest(size)
                torn_hash = None if last == prev_hash else last
            placed = record._replace(seq=seq + 1, prev_hash=prev_hash, torn_hash=torn_hash)
            text = placed.line()
            digest = hashlib.sha256(text).hexdigest()
            latest[record.correlation_id] = _Line(chain, seq + 1, digest, text)
            lines.append(latest[record.correlation_id])
            length += len(text) + 1
        return lines

    def _chain(self, correlation_id: str) -> _Chain:
        chain = self._chains.get(correlation_id)
        if chain is None:
            chain = _Chain(file=self._open())
            self._keep(correlation_id, chain)
        return chain

    def _keep(self, correlation_id: str, chain: _Chain) -> None:
        self._chains[correlation_id] = chain
        while len(self._chains) > _CHAINS_MAX:
            self._chains.popitem(last=False)

    def _open(self) -> TrailFile:
        """Return the file that the path names now: a new run follows a rotation, an old one not."""
        if self._file is not None and self._file.is_current():
            return self._file
        if self._openings >= _OPENINGS_MAX:
            raise OSError(0, f"not opened in {_OPENINGS_MAX} attempts")
        self._openings += 1
        self._file = open_trail(self.path)
        self._openings = 0
        return self._file

    # What follows may run in any thread.

    def _spill(self, records: Sequence[TrailRecord], problem: str) -> None:
        """Say once what is wrong, and write the events to stderr instead."""
        block = []
        if not self._has_spilled:
            words = f"liqctl: the audit trail {self.path} cannot be written: {problem}; "
            block.append(words.encode("utf-8", "replace") + b"its events follow here")
        self._failure, self._has_spilled = problem, True
        for record in records:
            chain = self._chains.get(record.correlation_id)
            seq, head = (chain.seq, chain.head) if chain else (0, None)
            block.append(record._replace(seq=seq + 1, prev_hash=head).line())
        self._write_aside(b"\n".join([*block, b""]))


def _write_stderr(block: bytes) -> None:
    """Write to stderr what it takes at once; a reader that is gone or stuck loses the rest."""
    try:
        waiting = select.poll()
        waiting.register(_STDERR, select.POLLOUT)
        while block:
            if not waiting.poll(_STDERR_MAX_MS):
                return
            written = os.write(_STDERR, block[:_STDERR_CHUNK_BYTES])
            block = block[written:]
    except OSError:
        return
