"""User data streams over WebSocket: text frames come out, and nothing is ever sent.

The address holds the listen key, which lets anybody read the account: no error text and no log may
show it. Addresses: Binance "User Data Streams", read 2026-01, and its change log of 2026-04-23: on
the old address of USDS-M the handshake succeeds and no private frame ever comes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from liqctl.kernel.errors import Secret
from liqctl.kernel.states import Environment, Margin, Product
from liqctl.venue.session import add_bundled_authorities, make_tls_context, trust_is_pinned

if TYPE_CHECKING:
    import ssl

HOSTS: Final[Mapping[Environment, Mapping[str, str]]] = {
    Environment.PRODUCTION: {
        "fapi": "wss://fstream.binance.com",
        "dapi": "wss://dstream.binance.com",
        "papi": "wss://fstream.binance.com",
    },
    Environment.TESTNET: {
        "fapi": "wss://demo-fstream.binance.com",
        "dapi": "wss://demo-dstream.binance.com",
    },
    Environment.SIMULATOR: {},
}
_PATHS: Final = {"fapi": "/private/ws/", "dapi": "/ws/", "papi": "/pm/ws/"}

_HANDSHAKE_MAX_S: Final = 10.0
_CLOSE_MAX_S: Final = 1.0
"""How long the other end may take to agree that a connection ends; aiohttp waits for 10 s."""

_FRAME_BYTES_MAX: Final = 1_048_576
_HEARTBEAT_S: Final = 20.0
"""How far apart we ask whether the connection lives; the venue's own pings come every 3 minutes."""


class StreamError(Exception):
    """There is no connection; the text is safe to show."""


class Frames(Protocol):
    """An open connection: frames come out of it until it ends."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Return the frames as they come."""

    async def close(self) -> None:
        """End it; never raises."""


class StreamDoor(Protocol):
    """Opens connections."""

    async def open(self, product: Product, margin: Margin, key: Secret) -> Frames:
        """Return a connection for a listen key.

        Raises:
            StreamError: there is none.
        """

    async def close(self) -> None:
        """Open no more; never raises."""


def api_of(product: Product, margin: Margin) -> str:
    """Return whose stream it is: portfolio margin has one for both products."""
    if margin is Margin.PORTFOLIO:
        return "papi"
    return "dapi" if product is Product.COINM else "fapi"


class WebSocketDoor:
    """Opens connections with aiohttp, which the REST requests use too."""

    def __init__(
        self,
        environment: Environment,
        *,
        base_url: str | None,
        proxy: str | None = None,
    ) -> None:
        """Connect to `base_url`, else the environment's own."""
        self._hosts = dict(HOSTS[environment])
        if base_url is not None:
            self._hosts = dict.fromkeys(_PATHS, base_url.rstrip("/"))
        self._proxy = proxy
        self._session: Any = None
        self._tls: ssl.SSLContext | None = None

    async def open(self, product: Product, margin: Margin, key: Secret) -> "WebSocketFrames":
        """Return a connection for a listen key.

        Raises:
            StreamError: there is none.
        """
        import aiohttp

        api = api_of(product, margin)
        host = self._hosts.get(api)
        if host is None:
            raise StreamError("this environment has no such stream")
        if self._session is None:
            # Of our own, as for requests: aiohttp's contexts are empty in this program.
            self._tls = make_tls_context() if host.startswith("wss") else None
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        failure: str
        try:
            async with asyncio.timeout(_HANDSHAKE_MAX_S):
                socket = await self._session.ws_connect(
                    host + _PATHS[api] + key.reveal(),
                    heartbeat=_HEARTBEAT_S,
                    max_msg_size=_FRAME_BYTES_MAX,
                    proxy=self._proxy,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_MAX_S),
                )
            return WebSocketFrames(socket)
        except TimeoutError:
            failure = "the handshake was not answered"
        except aiohttp.ClientConnectorCertificateError:
            failure = "its certificate is not trusted"
            if self._tls is not None and not trust_is_pinned():
                add_bundled_authorities(self._tls)  # certifi may know the issuer: tried again soon.
        except aiohttp.WSServerHandshakeError as error:
            failure = f"the handshake was refused (HTTP {error.status})"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = type(error).__name__
        # Raised outside of the handler: the libraries' own texts hold the address, and the key.
        raise StreamError(failure)

    async def close(self) -> None:
        """Open no more; never raises."""
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(Exception):
                await session.close()


class WebSocketFrames:
    """One open connection."""

    def __init__(self, socket: Any) -> None:  # noqa: ANN401 - aiohttp's own
        self._socket = socket

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield text frames until the connection ends; what is no text is an empty one."""
        import aiohttp

        ends = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING}
        while True:
            message = await self._socket.receive()
            if message.type in ends or message.type is aiohttp.WSMsgType.ERROR:
                return
            yield message.data if message.type is aiohttp.WSMsgType.TEXT else ""

    async def close(self) -> None:
        """End it; never raises."""
        with contextlib.suppress(Exception):
            await self._socket.close()
