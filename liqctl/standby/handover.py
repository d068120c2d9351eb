"""The socket by which a `liquidate` hands its work to the armed process of the same account.

    client  ──▶ {"scope": …, "reason": …, "correlation_id": …, "screen": …, "hold": …}
    armed   ◀── {"accepted": true} or {"refused": why}, within 100 ms
            ◀── {"event": …, "details": …} as they are recorded; {"alive": true} in between
            ◀── {"document": …, "exit_code": …} once it is proven, or as far as it got

One JSON object a line. Only the same user can open the socket, by its mode and by what the kernel
says of who is at the other end. Whoever hears nothing for a second takes the work back: two runs at
once do no harm, since orders can only reduce.
"""

import asyncio
import contextlib
import json
import os
import select
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from liqctl.kernel.policy import LiquidationConfig
from liqctl.kernel.states import ExitCode, Product, is_correlation_id
from liqctl.run import make_private, state_folders

ACCEPT_MAX_S: Final = 0.1
"""How long an armed process may take to accept (the contract's number)."""

SILENT_MAX_S: Final = 1.0
"""How long it may say nothing before it is taken for dead: it speaks four times a second."""

ANSWER_MAX_S: Final = 71.0
"""How long its answer is waited for: a trip that this one joined waits 40 s for another run, takes
30 s at most for its own, and draws the result."""

_ALIVE_S: Final = 0.25
_LINE_BYTES_MAX: Final = 16 * 1024 * 1024
_REQUEST_BYTES_MAX: Final = 65_536
_CREDENTIALS: Final = struct.Struct("3i")
_UNREAD_MAX: Final = 1_048_576
"""Bytes that wait for a client that does not read, before it hears nothing more."""

_FLUSH_MAX_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What a `liquidate` asks for; `screen` is how its answer is to be drawn.

    `hold` is for how many seconds the account is to be held flat at least.
    """

    scope: Mapping[str, Any]
    reason: str
    correlation_id: str
    screen: Mapping[str, Any]
    hold: float = 0.0


def scope_of(policy: LiquidationConfig) -> dict[str, Any]:
    """Return a policy as it is handed over."""
    return {**asdict(policy), "products": [p.value for p in policy.products], "margin": None}


def policy_of(scope: Mapping[str, Any], watched: LiquidationConfig) -> LiquidationConfig:
    """Return the policy that was handed over; what it does not say is as it is watched."""
    fields = asdict(watched) | {
        name: value for name, value in scope.items() if name in asdict(watched)
    }
    fields["products"] = tuple(Product(each) for each in fields["products"])
    fields["symbols"], fields["margin"] = tuple(fields["symbols"]), watched.margin
    return LiquidationConfig(**fields)


@contextlib.contextmanager
def _address(identity: str) -> Iterator[str]:
    """Yield where the socket is, short enough for the kernel's 107 bytes."""
    folder = state_folders()[0]
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{identity}.sock"
    finally:
        os.close(fd)


def hand_over(
    identity: str,
    asked: Handover,
    on_event: Callable[[str, Mapping[str, Any]], None],
    on_ask: Callable[[int], None],
) -> dict[str, Any] | None:
    """Let the armed process of an account do the work; return its answer, None if it did not.

    Blocks until the answer is there, or nothing was said for too long. `on_ask` is told the
    process id of who has the work, or did not even answer; who refuses it lives.
    """
    try:
        with _connected(identity, ACCEPT_MAX_S) as (sock, pid):
            sock.sendall(json.dumps(asdict(asked)).encode() + b"\n")
            buffer = bytearray()
            first = _next_object(sock, buffer, ACCEPT_MAX_S)
            is_taken = first is not None and first.get("accepted") is True
            if is_taken or first is None:
                on_ask(pid)
            if not is_taken:
                return None
            until = time.monotonic() + ANSWER_MAX_S
            while time.monotonic() < until:
                said = _next_object(sock, buffer, SILENT_MAX_S)
                if said is None:
                    return None
                details = said.get("details")
                if "event" in said and isinstance(details, dict):
                    on_event(str(said["event"]), details)
                if "document" in said:
                    is_answer = isinstance(said["document"], str)
                    return said if is_answer and said.get("exit_code") in {*ExitCode} else None
    except (OSError, ValueError, RecursionError):
        return None
    return None


def ask_armed(identity: str, patience_s: float = SILENT_MAX_S) -> dict[str, Any] | None:
    """Return how the armed process of an account is, None where there is none.

    One that is there and does not answer in time, because it hangs, gives its `pid` alone, or
    nothing where not even that is known.
    """
    known: dict[str, Any] | None = None
    try:
        with _connected(identity, patience_s) as (sock, pid):
            known = {"pid": pid}
            sock.sendall(b'{"ask": "status"}\n')
            return _next_object(sock, bytearray(), patience_s) or known
    except (BlockingIOError, TimeoutError):
        return known or {}  # More wait already than it has room for.
    except (OSError, ValueError, RecursionError):
        return known


@contextlib.contextmanager
def _connected(identity: str, patience_s: float) -> Iterator[tuple[socket.socket, int]]:
    """Yield a connection to the armed process of an account, and its process id.

    Raises:
        OSError: there is none of this user.
    """
    with _address(identity) as address, socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(patience_s)
        sock.connect(address)
        pid, uid = _peer_of(sock)
        if uid != os.geteuid():
            raise PermissionError
        yield sock, pid


def _next_object(
    sock: socket.socket, buffer: bytearray, patience_s: float
) -> dict[str, Any] | None:
    """Return the next line's JSON object, None where none came in time or the other end is gone.

    The `buffer` holds what was read of later lines.
    """
    until = time.monotonic() + patience_s
    while b"\n" not in buffer:
        ready, _, _ = select.select([sock], [], [], max(until - time.monotonic(), 0.0))
        if not ready:
            return None
        block = sock.recv(65_536)
        if not block or len(buffer) > _LINE_BYTES_MAX:
            return None
        buffer += block
    line, _, rest = bytes(buffer).partition(b"\n")
    buffer[:] = rest
    found = json.loads(line)
    return found if isinstance(found, dict) else None


def _peer_of(sock: socket.socket) -> tuple[int, int]:
    """Return the process and the user at the other end, as the kernel knows them."""
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return pid, uid


class Client:
    """The other end of an accepted handover; never raises, for it may be gone."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._is_over = False

    def accept(self) -> None:
        """Say that the work is taken."""
        self._say({"accepted": True})

    def event(self, event_type: str, details: Mapping[str, Any]) -> None:
        """Tell of an event of the run."""
        self._say({"event": event_type, "details": details})

    def answer(self, document: str, exit_code: int) -> None:
        """Give the answer; nothing is said after it."""
        self._say({"document": document, "exit_code": exit_code})
        self._is_over = True

    async def stay_alive(self) -> None:
        """Say that the work goes on, until the answer was given or the other end is gone."""
        while not self._is_over:
            if not self._unread:
                self._say({"alive": True})
            await asyncio.sleep(_ALIVE_S)

    async def flush(self) -> None:
        """Wait, for a second at most, until what was said has left; never raises."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FLUSH_MAX_S):
                while not self._writer.is_closing() and self._unread:  # noqa: ASYNC110
                    await asyncio.sleep(_FLUSH_MAX_S / 100)

    @property
    def _unread(self) -> int:
        return int(self._writer.transport.get_write_buffer_size())

    def _say(self, said: Mapping[str, Any]) -> None:
        if self._writer.is_closing() or self._unread > _UNREAD_MAX:
            self._is_over = True
        if not self._is_over:
            with contextlib.suppress(Exception):
                self._writer.write(json.dumps(said, default=str).encode() + b"\n")


@dataclass(eq=False)
class Doorkeeper:
    """Listens for handovers of one account.

    `decide` is asked for each: it returns why not, or None once it has accepted the work, which is
    then answered through the `Client`. `describe` returns what `status` is told.
    """

    identity: str
    decide: Callable[[Handover, Client], Awaitable[str | None]]
    describe: Callable[[], Mapping[str, Any]]
    _server: asyncio.Server | None = field(default=None, init=False)

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: there can be no socket.
        """
        folder = state_folders()[0]
        make_private(folder, is_ours=True)
        with _address(self.identity) as address, socket.socket(socket.AF_UNIX) as sock:
            with contextlib.suppress(FileNotFoundError):
                (folder / f"{self.identity}.sock").unlink()
            before = os.umask(0o177)
            try:
                sock.bind(address)
            finally:
                os.umask(before)
            sock.listen()
            sock.settimeout(0.0)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=sock.dup(), limit=_REQUEST_BYTES_MAX
            )

    async def close(self) -> None:
        """Listen no more; never raises."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(OSError):
            (state_folders()[0] / f"{self.identity}.sock").unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        try:
            if _peer_of(writer.get_extra_info("socket"))[1] != os.geteuid():
                return
            async with asyncio.timeout(SILENT_MAX_S):
                said = json.loads(await reader.readline())
            if "ask" in said:
                writer.write(json.dumps(self.describe(), default=str).encode() + b"\n")
                await writer.drain()
                return
            asked = Handover(
                scope=dict(said["scope"]),
                reason=str(said["reason"]),
                correlation_id=str(said["correlation_id"]),
                screen=dict(said["screen"]),
                hold=float(said.get("hold", 0.0)),
            )
            poll = select.poll()
            poll.register(writer.get_extra_info("socket"), 0)
            if poll.poll(0):  # The other end was closed.
                return  # It does the work by itself, maybe long ago: this process was stopped.
            refusal: str | None = "its correlation id is none"
            if is_correlation_id(asked.correlation_id):
                refusal = await self.decide(asked, client)
            if refusal is not None:
                writer.write(json.dumps({"refused": refusal}).encode() + b"\n")
                await writer.drain()
                return
            await client.stay_alive()
            await writer.drain()
        except (OSError, ValueError, LookupError, TypeError, TimeoutError, RecursionError):
            pass  # Nobody of ours: who asks for work writes what can be read.
        finally:
            with contextlib.suppress(Exception):
                writer.close()
