# ruff: noqa: ANN401 - the border: what ccxt, aiohttp and JSON hand over has no types
"""What makes a start fast: one exchange of ccxt imported lean, connections begun meanwhile.

`import ccxt.async_support` executes every exchange of the library: about a second. Here the two
package `__init__` files are replaced by small parents that find submodules on disk, the names
ccxt takes from `requests` (its synchronous client) and `certifi` are placeholders, and aiohttp's
two default trust stores are opened lazily by directory instead of parsed: that is about 0.3 s.

The trick is contained. Third-party placeholders leave `sys.modules` before this returns, so a
later `import requests` gives the real library. Whatever goes wrong is undone and the ordinary
import is used instead, with the reason kept in `Loaded.error`. `LIQCTL_PLAIN_IMPORT=1` asks for
the ordinary import. Read in ccxt 4.5.90; the tests compare both ways on the installed version.

Looking a name up and shaking hands takes a round trip or more, importing ccxt and aiohttp about as
long. So a thread looks the name up and tells some sockets to connect, waiting for none; aiohttp is
handed them where it would open its own. What goes wrong is not reported: then aiohttp looks up and
connects as ever, and its failure is the one that counts. TLS is aiohttp's in any case.
"""

import contextlib
import errno
import gc
import importlib
import itertools
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NoReturn

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.resolver import ThreadedResolver

PLAIN_IMPORT_VARIABLE: Final = "LIQCTL_PLAIN_IMPORT"

_EXCHANGE_MODULE: Final = "ccxt.async_support.binanceusdm"
_EXCHANGE_CLASS: Final = "binanceusdm"
_PARENTS: Final = {
    "ccxt": "ccxt.base.exchange",
    "ccxt.async_support": "ccxt.async_support.base.exchange",
}
"""The packages whose `__init__` is skipped, and where their base class stands."""

_REQUESTS_NAMES: Final = {
    "requests": ("Session",),
    "requests.utils": ("default_user_agent",),
    "requests.exceptions": (
        "HTTPError",
        "Timeout",
        "TooManyRedirects",
        "RequestException",
        "ConnectionError",
    ),
}
_CRYPTOGRAPHY_MODULES: Final = (
    "cryptography",
    "cryptography.hazmat",
    "cryptography.hazmat.primitives",
    "cryptography.hazmat.primitives.asymmetric",
    "cryptography.hazmat.primitives.asymmetric.utils",
    "cryptography.hazmat.primitives.serialization",
)
_CALLED_AT_ONCE: Final = ("default_user_agent", "where")
"""Functions called without being needed: for a header of the synchronous client, and for the trust
store of a session that is never made. Both may answer with an empty text."""

_BLOCKED: Final = "aiohttp_fast_zlib"

EARLY_CONNECTIONS: Final = 9
"""One for each list of the first reading, and the spare ones of a run: with those left out, cancels
would wait for handshakes that the readings no longer need."""

EARLY_LISTS: Final = 4
"""Another product: one for each list of its first reading, which is enough for its orders."""

AGE_MAX_S: Final = 5.0
"""A connection that was not wanted for so long, at a prompt perhaps, may have been given up by the
other side."""

AddressInfo = tuple[Any, Any, int, str, Any]
"""What `socket.getaddrinfo` returns: family, type, protocol, canonical name, address."""


class Loaded(NamedTuple):
    """The exchange class, how it was imported, and why not lean if that was tried and failed."""

    cls: type[Any]
    mode: Literal["lean", "plain"]
    error: str | None = None


def load_exchange_class(*, hmac_only: bool, owns_process: bool = False) -> Loaded:
    """Return ccxt's `binanceusdm` class, imported as lean as can be.

    Args:
        hmac_only: the secret is no private key, so ccxt's use of `cryptography` is not needed.
        owns_process: nothing else in this process uses aiohttp's default TLS contexts.
    """
    if os.environ.get(PLAIN_IMPORT_VARIABLE) == "1" or "ccxt" in sys.modules:
        is_lean = isinstance(sys.modules.get("ccxt"), _Parent)
        return Loaded(_import_class(), "lean" if is_lean else "plain")
    before = set(sys.modules)
    collecting = gc.isenabled()
    gc.disable()  # What is imported is not garbage, and there is much of it to look through.
    try:
        with _placeholders(hmac_only=hmac_only), _lazy_trust_stores(owns_process=owns_process):
            return Loaded(_import_class(), "lean")
    except Exception as error:  # noqa: BLE001 - any difference at all means: import plainly
        for name in set(sys.modules) - before:
            if name == "ccxt" or name.startswith("ccxt."):
                del sys.modules[name]
        return Loaded(_import_class(), "plain", f"{type(error).__name__}: {error}")
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _import_class() -> type[Any]:
    cls: type[Any] = getattr(importlib.import_module(_EXCHANGE_MODULE), _EXCHANGE_CLASS)
    return cls


class _Parent(ModuleType):
    """A package whose own `__init__` never ran: submodules are found, names are looked up late."""

    def __init__(self, name: str, directory: Path, base_module: str) -> None:
        super().__init__(name)
        self.__path__ = [str(directory)]
        self.__file__ = str(directory / "__init__.py")
        self.__spec__ = ModuleSpec(name, None, origin=self.__file__, is_package=True)
        self.__spec__.submodule_search_locations = self.__path__
        self._base_module = base_module

    def __getattr__(self, name: str) -> Any:
        """Return an error class, the base class, or the exchange module's class."""
        if name in {"__version__", "Exchange"}:
            return getattr(importlib.import_module(self._base_module), name)
        if name.startswith("_"):
            raise AttributeError(name)
        errors = importlib.import_module("ccxt.base.errors")
        if hasattr(errors, name):
            return getattr(errors, name)
        try:
            module = importlib.import_module(f"{self.__name__}.{name}")
        except ModuleNotFoundError as error:
            raise AttributeError(name) from error
        return getattr(module, name, module)


class _Placeholder(ModuleType):
    """A module that hands out placeholders for a closed list of names, or for any name."""

    def __init__(self, name: str, names: tuple[str, ...] | None) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._names = names

    def __getattr__(self, name: str) -> Any:
        """Return a placeholder; a name that is not on the list fails the lean import."""
        if name.startswith("__") or (self._names is not None and name not in self._names):
            raise AttributeError(name)
        return str if name in _CALLED_AT_ONCE else _Anything()


class _Anything:
    """Stands for a class or a module that is named while importing and never used."""

    def __getattr__(self, name: str) -> "_Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()

    def __call__(self, *_: object, **__: object) -> NoReturn:
        message = "left out by the lean import"
        raise RuntimeError(message)


@contextmanager
def _placeholders(*, hmac_only: bool) -> Iterator[None]:
    """Put placeholders where the real modules are not imported yet; take them away afterwards."""
    spec = find_spec("ccxt")
    if spec is None or not spec.submodule_search_locations:
        message = "ccxt is not installed as a package"
        raise ImportError(message)
    root = Path(spec.submodule_search_locations[0])
    parents = {
        name: _Parent(name, root.joinpath(*name.split(".")[1:]), base)
        for name, base in _PARENTS.items()
    }
    third_party: dict[str, ModuleType | None] = {}
    if "requests" not in sys.modules:
        third_party |= {name: _Placeholder(name, names) for name, names in _REQUESTS_NAMES.items()}
    if hmac_only and "cryptography" not in sys.modules:
        third_party |= {name: _Placeholder(name, None) for name in _CRYPTOGRAPHY_MODULES}
    if "certifi" not in sys.modules:
        third_party["certifi"] = _Placeholder("certifi", ("where",))
    if _BLOCKED not in sys.modules:
        third_party[_BLOCKED] = None
    sys.modules.update(parents)
    sys.modules.update(third_party)  # type: ignore[arg-type]  # None blocks an import
    parents["ccxt"].async_support = parents["ccxt.async_support"]  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in third_party:
            sys.modules.pop(name, None)


@contextmanager
def _lazy_trust_stores(*, owns_process: bool) -> Iterator[None]:
    """Let default TLS contexts made meanwhile look certificates up by directory.

    aiohttp makes two contexts while it is imported, and each parses the whole bundle (50 ms).
    Looking up by hashed directory trusts the same authorities and costs nothing up front. Where
    there is no such directory nothing is changed, but in a process of our own: there nobody uses
    these contexts (connections have one of `venue.session`), so they trust nobody.
    """
    directory = hashed_directory()
    if directory is None and not owns_process:
        yield
        return
    original = ssl.SSLContext.load_default_certs

    def load_default_certs(
        context: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH
    ) -> None:
        del purpose
        set_default_verify_paths(context)

    def set_default_verify_paths(context: ssl.SSLContext) -> None:
        if directory is not None:
            context.load_verify_locations(capath=str(directory))

    context_class: Any = ssl.SSLContext
    context_class.load_default_certs = load_default_certs
    context_class.set_default_verify_paths = set_default_verify_paths
    try:
        yield
    finally:
        context_class.load_default_certs = original
        del context_class.set_default_verify_paths


def hashed_directory() -> Path | None:
    """Return OpenSSL's directory of hashed certificates, None when unset, missing or not hashed."""
    capath = ssl.get_default_verify_paths().capath
    if capath is None or os.environ.get("SSL_CERT_FILE"):
        return None
    directory = Path(capath)
    try:
        with os.scandir(directory) as entries:
            hashed = any(entry.name.endswith(".0") for entry in entries)
    except OSError:
        return None
    return directory if hashed else None


class BegunSocket(socket.socket):
    """A socket that was told to connect already: telling it again only asks to wait for it."""

    @override
    def connect(self, address: Any, /) -> None:
        """Leave the loop to wait until the connection stands or has failed."""
        raise BlockingIOError(errno.EINPROGRESS, "the connection was begun before")


class EarlyConnections:
    """A look-up and connections to one host, on their way since this was made."""

    def __init__(self, host: str, port: int, *, count: int = EARLY_CONNECTIONS) -> None:
        """Begin so many; returns at once."""
        self.home = (host, port)
        self._count = count
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

    def take(self, info: AddressInfo) -> socket.socket | None:
        """Return a socket that is connecting to the address already, None without one."""
        with self._lock:
            begun = self._begun.get(info[4])
            is_fresh = time.monotonic() - self._began_at < AGE_MAX_S
            return begun.pop() if begun and is_fresh else None

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
                    for info in itertools.islice(itertools.cycle(found), self._count):
                        family, kind, protocol, _, address = info
                        begun = BegunSocket(family, kind, protocol)
                        begun.settimeout(0.0)
                        if begun.connect_ex(address) in {0, errno.EINPROGRESS}:
                            self._begun.setdefault(address, []).append(begun)
                        else:
                            begun.close()
        finally:
            self._looked_up.set()


def make_socket(early: "Sequence[EarlyConnections]", info: AddressInfo) -> socket.socket:
    """Return a socket for an address: one that is connecting there already, or a new one."""
    taken = next((begun for each in early if (begun := each.take(info))), None)
    return taken or socket.socket(*info[:3])


def make_resolver(early: "Sequence[EarlyConnections]") -> "ThreadedResolver":
    """Return an aiohttp resolver that knows what the early look-ups found."""
    import asyncio

    from aiohttp.abc import ResolveResult
    from aiohttp.resolver import ThreadedResolver as Resolver

    class EarlyResolver(Resolver):
        """Answers from the look-ups that were begun before."""

        @override
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            """Return the host's addresses."""
            found: Sequence[AddressInfo] = ()
            for each in early:
                if (host, port) == each.home:
                    if not each.is_looked_up:
                        await asyncio.get_running_loop().run_in_executor(None, each.addresses)
                    found = each.addresses()
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
