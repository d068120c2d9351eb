"""The audit trail as the engine sees it: events go in, nothing ever comes back as an exception.

Each correlation id has a chain of its own, `prev_hash` being the SHA-256 of its previous line, and
its first line hashes the last line standing in the file. No lock is needed for one process a run.
Where several processes write under one id, each looks for the others' lines before its own.

What a reader would get wrong: a failing trail does not stop a liquidation. The event goes to stderr
instead, `complete` turns false, and the next event tries the file again.
"""

import contextlib
import hashlib
import os
import select
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from liqctl.audit.durability import Syncer
from liqctl.audit.file import Link, TrailFile, open_trail
from liqctl.audit.record import Record, make_record
from liqctl.domain.events import TRAIL_NAME, AuditEventType

_OPENINGS_MAX: Final = 20
_APPENDS_MAX: Final = 2
_LOCK_MAX_S: Final = 0.2
_LOOK_BACK_BYTES: Final = 1024 * 1024
_RESUME_BYTES: Final = 64 * 1024 * 1024
_CHAINS_MAX: Final = 256
_STDERR: Final = 2
_STDERR_CHUNK_BYTES: Final = 4096
_STDERR_MAX_MS: Final = 50


@dataclass(slots=True, kw_only=True)
class _Chain:
    """Where one correlation id stands. Bytes before `seen_to` hold none of its later lines."""

    file: TrailFile | None = None
    seq: int = 0
    head: str | None = None
    seen_to: int = 0


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the clock of those who bring none


class AuditLogger:
    """The trail `<log_dir>/audit.jsonl`; implements `ports.EventSink`.

    Nothing is opened before the first event. May be used from several threads.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        *,
        environment: str = "",
        now: Callable[[], datetime] = utc_now,
        spill: Callable[[bytes], None] | None = None,
    ) -> None:
        """Write to `audit.jsonl` in `log_dir`, which is created when the first event comes.

        Args:
            log_dir: the directory, relative to the working directory of now, not of later.
            environment: what the field of that name says in every line.
            now: the calendar clock.
            spill: where a line goes that the file did not take; stderr by default. Must not raise.
        """
        self.path = Path(os.path.abspath(os.fspath(log_dir))) / TRAIL_NAME  # noqa: PTH100 - no links
        self._environment = environment
        self._now = now
        self._write_aside = spill or write_stderr
        self._lock = threading.Lock()
        self._file: TrailFile | None = None
        self._openings = 0
        self._chains: OrderedDict[str, _Chain] = OrderedDict()
        self._failure: str | None = None
        self._syncer: Syncer | None = None

    @property
    def complete(self) -> bool:
        """Whether every event so far reached the trail and no sync is known to have failed."""
        return self.failure is None

    @property
    def failure(self) -> str | None:
        """Why the trail is not complete, in words; None when it is."""
        if self._failure is None and self._syncer is not None:
            return self._syncer.failure
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
        """Append one event; it is with the operating system, or on stderr, when this returns."""
        record = self._record(event_type, correlation_id, details)
        try:
            with self._held():
                self._append(record)
        except OSError as error:
            self._spill(record, error)

    async def sync(self) -> None:
        """Return once all that was appended is on disk, or after 200 ms; never raises."""
        file = self._file
        if file is None:
            return
        if self._syncer is None:
            self._syncer = Syncer()
        new_directory = file.path.parent if file.is_new else None
        file.is_new = False
        await self._syncer.sync(file.fd, new_directory)

    def resume(self, correlation_id: str) -> str | None:
        """Continue the chain of a run that another process began; return its last event's type.

        Looks through the last 64 MB of the trail, where an ordinary event looks through the last
        one. An id that is not found (None) would begin a chain of its own.
        """
        try:
            with self._held():
                file = self._open()
                chain = _Chain(file=file)
                last = self._catch_up(chain, correlation_id, _RESUME_BYTES, file.size())
                self._keep(correlation_id, chain)
        except OSError:
            return None
        return last.event_type if last else None

    def unanswered(self, correlation_id: str) -> tuple[tuple[str, str], ...]:
        """Return symbol and client order id of each order that a run sent and heard nothing of."""
        from liqctl.audit.dead_run import unanswered_orders

        return unanswered_orders(self.path, correlation_id)

    def close(self) -> None:
        """Close the file; a later event opens it again. Calling twice is safe."""
        with contextlib.suppress(OSError), self._held():
            self._chains.clear()
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def _record(
        self, event_type: str, correlation_id: str, details: Mapping[str, Any] | None
    ) -> Record:
        now, environment = self._now(), self._environment
        try:
            return make_record(
                timestamp=now,
                event_type=event_type,
                correlation_id=correlation_id,
                environment=environment,
                details={} if details is None else details,
            )
        except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
            # A foreign mapping or text that cannot even be walked through.
            return make_record(
                timestamp=now,
                event_type=event_type,
                correlation_id=correlation_id,
                environment=environment,
                details={"unreadable_details": type(error).__name__},
            )

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the lock between threads; a thread stuck in a dead disk must not stop the others."""
        if not self._lock.acquire(timeout=_LOCK_MAX_S):
            raise OSError(0, "another thread is still writing")
        try:
            yield
        finally:
            self._lock.release()

    def _append(self, record: Record) -> None:
        correlation_id = record.correlation_id
        chain = self._chain(correlation_id)
        file = chain.file
        if file is None:
            raise OSError(0, "the file could not be opened")
        with file.courtesy() as is_alone:
            size = file.size()
            self._catch_up(chain, correlation_id, _LOOK_BACK_BYTES, size)
            for _ in range(_APPENDS_MAX):
                if self._write(file, chain, record, is_alone=is_alone, size=size):
                    return
                size = file.size()
        raise OSError(0, "the record was written in part only")

    def _write(
        self, file: TrailFile, chain: _Chain, record: Record, *, is_alone: bool, size: int
    ) -> bool:
        """Append the record as its chain's next line; return whether it is whole in the file.

        Only who is alone can tell the stump of a crash from a record in the making, and names it.
        """
        size, after_newline = file.settle(size)
        prev_hash, torn_hash = chain.head, None
        if chain.seq == 0:
            prev_hash = file.last_line_digest(size, whole=not is_alone)
        elif is_alone and not after_newline:
            last = file.last_line_digest(size)
            torn_hash = None if last == chain.head else last
        line = record.line(seq=chain.seq + 1, prev_hash=prev_hash, torn_hash=torn_hash)
        end = file.append(line, after_newline=after_newline, alone_at=size if is_alone else None)
        if end is None:
            return False
        chain.seq += 1
        chain.head = digest(line)
        is_next = end - size - len(line) in {0, 1, 2}  # With or without newlines; else others came.
        chain.seen_to = end if is_next else size
        return True

    def _chain(self, correlation_id: str) -> _Chain:
        chain = self._chains.get(correlation_id)
        if chain is None:
            chain = _Chain(file=self._open())
            self._keep(correlation_id, chain)
        elif chain.file is None:
            chain.file = self._open()
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

    @staticmethod
    def _catch_up(chain: _Chain, correlation_id: str, span: int, size: int) -> Link | None:
        """Take over lines of the same id that others appended since this process last looked."""
        file = chain.file
        if file is None:
            return None
        if size <= chain.seen_to:
            return None
        found = file.find_last(correlation_id, max(chain.seen_to, size - span), size)
        if found is not None and found.seq > chain.seq:
            chain.seq, chain.head = found.seq, found.digest
        chain.seen_to = size
        return found

    def _spill(self, record: Record, error: OSError) -> None:
        """Say once what is wrong, and write the event to stderr instead."""
        first = self._failure is None
        self._failure = error.strerror or type(error).__name__
        chain = self._chains.get(record.correlation_id) or _Chain()
        line = record.line(seq=chain.seq + 1, prev_hash=chain.head)
        if first:
            words = f"liqctl: the audit trail {self.path} cannot be written: {self._failure}; "
            self._write_aside(words.encode("utf-8", "replace") + b"its events follow here\n")
        self._write_aside(line + b"\n")


def digest(line: bytes) -> str:
    """Return the SHA-256 of a line's bytes in hex, as `prev_hash` and `audit_head` hold it."""
    return hashlib.sha256(line).hexdigest()


def write_stderr(block: bytes) -> None:
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
