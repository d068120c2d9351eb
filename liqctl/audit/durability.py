"""Getting what was appended onto the disk, without ever waiting long for a dying one.

fdatasync can block without limit, in a state that no signal ends. It therefore runs in a daemon
thread, which nobody joins at exit, and callers wait a bounded time.
"""

import asyncio
import contextlib
import errno
import os
import queue
import threading
from pathlib import Path
from typing import Final

SYNC_MAX_S: Final = 0.2

_NOT_SUPPORTED: Final = frozenset({errno.EINVAL, errno.EROFS, errno.ENOSYS, errno.EOPNOTSUPP})
"""The file system has nothing to sync: no reason to call the trail incomplete."""


class Syncer:
    """Syncs descriptors one after another in a thread of its own, started when first used."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._jobs: queue.SimpleQueue[tuple[int, Path | None, _Ticket]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._overdue: _Ticket | None = None
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """Why what was appended may not be on disk; None when all is well."""
        if self._failure is not None:
            return self._failure
        if self._overdue is not None and not self._overdue.done.is_set():
            return "the disk did not confirm in time"
        return None

    async def sync(self, fd: int, new_directory: Path | None) -> None:
        """Return once the descriptor's data is on disk, failed to get there, or 200 ms went by.

        Args:
            fd: an open descriptor; it is duplicated, so it may be closed meanwhile.
            new_directory: where a file was just created, to be synced as well.
        """
        if self._overdue is not None and not self._overdue.done.is_set():
            return
        ticket = _Ticket()
        try:
            own_fd = os.dup(fd)
            self._start()
        except (OSError, RuntimeError) as error:
            self._failure = f"cannot sync: {error.__class__.__name__}"
            return
        self._jobs.put((own_fd, new_directory, ticket))
        try:
            await asyncio.wait_for(ticket.finished(), SYNC_MAX_S)
        except TimeoutError:
            self._overdue = ticket

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="audit-sync", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            fd, new_directory, ticket = self._jobs.get()
            try:
                os.fdatasync(fd)
                if new_directory is not None:
                    _sync_directory(new_directory)
                    _sync_directory(new_directory.parent)
            except OSError as error:
                if error.errno not in _NOT_SUPPORTED:
                    # The kernel reports a lost write once: a later sync that succeeds proves
                    # nothing, so this is never taken back.
                    self._failure = os.strerror(error.errno or errno.EIO)
            finally:
                os.close(fd)
                ticket.finish()


class _Ticket:
    """One sync asked for from a loop and answered from a thread."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    async def finished(self) -> None:
        await self._future

    def finish(self) -> None:
        self.done.set()
        with contextlib.suppress(RuntimeError):  # The loop has gone: nobody waits any more.
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
