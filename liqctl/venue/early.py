"""Connections begun before the libraries that will use them are loaded.

Looking a name up and shaking hands takes a round trip or more, importing ccxt and aiohttp about as
long. So a thread looks the name up and tells some sockets to connect, waiting for none; aiohttp is
handed them where it would open its own. What goes wrong is not reported: then aiohttp looks up and
connects as ever, and its failure is the one that counts. TLS is aiohttp's in any case.
"""

import contextlib
import errno
import itertools
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.resolver import ThreadedResolver

EARLY_CONNECTIONS: Final = 9
"""One for each list of the first reading, and the spare ones of a run: with those left out, cancels
would wait for handshakes that the readings no longer need."""

AGE_MAX_S: Final = 5.0
"""A connection that was not wanted for so long, at a prompt perhaps, may have been given up by the
other side."""

AddressInfo = tuple[Any, Any, int, str, Any]
"""What `socket.getaddrinfo` returns: family, type, protocol, canonical name, address."""


class BegunSocket(socket.socket):
    """A socket that was told to connect already: telling it again only asks to wait for it."""

    @override
    def connect(self, address: Any, /) -> None:
        """Leave the loop to wait until the connection stands or has failed."""
        raise BlockingIOError(errno.EINPROGRESS, "the connection was begun before")


class EarlyConnections:
    """A look-up and connections to one host, on their way since this was made."""

    def __init__(self, host: str, port: int) -> None:
        """Begin; returns at once."""
        self.home = (host, port)
        self._found: Sequence[AddressInfo] = ()
        self._looked_up = threading.Event()
        self._lock = threading.Lock()
        self._begun: dict[Any, list[BegunSocket]] = {}
        self._began_at = time.monotonic()
        try:
            threading.Thread(target=self._begin, daemon=True, name="early connections").start()
        except RuntimeError:
            self._begin()  # No thread can be had: waiting here beats never knowing the address.

    @property
    def is_looked_up(self) -> bool:
        """Whether the name was looked up, successfully or not."""
        return self._looked_up.is_set()

    def addresses(self) -> "Sequence[AddressInfo]":
        """Return the host's addresses, none where the look-up failed; waits for it."""
        self._looked_up.wait()
        return self._found

    def make_socket(self, info: AddressInfo) -> socket.socket:
        """Return a socket for an address: one that is connecting there already, or a new one."""
        family, kind, protocol, _, address = info
        with self._lock:
            begun = self._begun.get(address)
            if begun and time.monotonic() - self._began_at < AGE_MAX_S:
                return begun.pop()
        return socket.socket(family, kind, protocol)

    def close(self) -> None:
        """Give up what nobody wanted."""
        with self._lock:
            unwanted = [each for begun in self._begun.values() for each in begun]
            self._begun.clear()
        for each in unwanted:
            each.close()

    def _begin(self) -> None:
        host, port = self.home
        try:
            # What goes wrong here goes wrong again for aiohttp, which reports it.
            with contextlib.suppress(OSError, ValueError):
                found = socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
                with self._lock:
                    self._found = found
                    # aiohttp goes round the addresses too, one further for each connection.
                    for info in itertools.islice(itertools.cycle(found), EARLY_CONNECTIONS):
                        family, kind, protocol, _, address = info
                        begun = BegunSocket(family, kind, protocol)
                        begun.settimeout(0.0)
                        if begun.connect_ex(address) in {0, errno.EINPROGRESS}:
                            self._begun.setdefault(address, []).append(begun)
                        else:
                            begun.close()
        finally:
            self._looked_up.set()


def make_resolver(early: EarlyConnections) -> "ThreadedResolver":
    """Return an aiohttp resolver that knows the early look-up's answer and asks for no other's."""
    import asyncio

    from aiohttp.abc import ResolveResult
    from aiohttp.resolver import ThreadedResolver as Resolver

    class EarlyResolver(Resolver):
        """Answers for one host from the look-up that was begun before."""

        @override
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            """Return the host's addresses."""
            found: Sequence[AddressInfo] = ()
            if (host, port) == early.home:
                if not early.is_looked_up:
                    await asyncio.get_running_loop().run_in_executor(None, early.addresses)
                found = early.addresses()
            if not found:
                return await super().resolve(host, port, family)
            return [
                ResolveResult(
                    hostname=host,
                    host=address[0],
                    port=port,
                    family=family_found,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
                for family_found, _, protocol, _, address in found
            ]

    return EarlyResolver()
