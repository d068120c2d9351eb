# ruff: noqa: ANN401 - the border: what ccxt, aiohttp and JSON hand over has no types
"""The HTTP connections to the venue, and what a request on them can die of.

To its hosts only, without redirects, cookies or second tries.

ccxt asks a session for `get`, `post`, `put` and `delete`; this one gives it these and nothing
else. Every request is checked against the expected schemes, hosts and ports at the last moment,
against the URL that really leaves, because a key sent to another host is a key given away.

A name lookup that hangs cannot be interrupted: it blocks one thread of the loop's pool. aiohttp
shares one lookup among all who wait for the same host, so it stays at one thread, and the
process leaves with `os._exit`, which does not wait for it.

Parsing a bundle of authorities takes 50 ms, looking one up in OpenSSL's hashed directory 0.2 ms,
so the directory is used where there is one. certifi's bundle is added only when that was not
enough. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace both, as for any OpenSSL program.

What a request died of is translated into a `VenueAnswer` here, the only place that reads causes:

    never left   no connection, name, certificate, proxy      TRANSIENT, send again
                 refused by ccxt itself before sending        REJECTED, or RUN_FATAL for the key
    left         time-out, reset, cut or broken answer        UNKNOWN, look up first

Easy to get wrong: ccxt wraps a refused connection and a reset after sending in the same class
(`ExchangeNotAvailable`), and a cut answer in `ExchangeError`. So what decides is whether the
request's headers were handed to the connection; classes only choose the words. The libraries'
own words are never used: their URLs hold signatures, their reprs the key.
"""

import asyncio
import os
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, partialmethod
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from liqctl.kernel.answers import AnswerKind, VenueAnswer, no_answer, not_sent
from liqctl.kernel.errors import invariant
from liqctl.venue.startup import hashed_directory, make_resolver, make_socket

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from liqctl.venue.startup import EarlyConnections

KEEPALIVE_S: Final = 60.0
DNS_CACHE_S: Final = 60
HAPPY_EYEBALLS_DELAY_S: Final = 0.1
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""An order of magnitude more than the largest answer (exchangeInfo, several MB)."""
_OTHER_FILES: Final = 16
"""Descriptors that the rest of a program needs: standard streams, event loop, trail, log, lock."""

_TLS_BUFFER_BYTES: Final = 32 * 1024
"""Two of TLS's records. asyncio's own 256 kB for each connection are half of the memory and a
fiftieth of the processor time of a run that opens 200 (measured)."""

_CONNECTIONS_MIN: Final = 4
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_CAUSES_MAX: Final = 8
_CERTIFICATE_TROUBLE: "Final[Mapping[object, str]]" = {
    9: "certificate not yet valid",
    10: "certificate expired",
    18: "certificate self-signed",
    19: "certificate signed by an unknown authority",
    20: "certificate signed by an unknown authority",
    21: "certificate signed by an unknown authority",
    23: "certificate revoked",
    62: "certificate made out for another host",
    64: "certificate made out for another address",
}
"""OpenSSL's verification results (X509_V_ERR_*), `man x509_verify_cert_error_string`."""

Origin = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(slots=True)
class Flight:
    """What is known of one request on its way: whether its first bytes may have left.

    From `until` on, in the loop's time, it must not leave any more, and who sends it ends it.
    """

    until: float
    sent: bool = False


current_flight: ContextVar[Flight] = ContextVar("current_flight")


def origin_of(url: str) -> Origin:
    """Return scheme, host and port of a URL.

    >>> origin_of("https://fapi.binance.com/fapi/v1/ping?a=1")
    ('https', 'fapi.binance.com', 443)
    """
    parts = urlsplit(url)
    return (parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 0))


def make_tls_context() -> ssl.SSLContext:
    """Return a verifying context of TLS 1.2 or newer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    directory = hashed_directory()
    if directory is not None:
        context.load_verify_locations(capath=str(directory))
    else:
        context.load_default_certs()
        if not trust_is_pinned() and not context.get_ca_certs():
            add_bundled_authorities(context)
    return context


def trust_is_pinned() -> bool:
    """Return whether the operator named the trusted authorities in the environment."""
    return bool(os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"))


def add_bundled_authorities(context: ssl.SSLContext) -> None:
    """Trust certifi's authorities too."""
    import certifi

    context.load_verify_locations(cafile=certifi.where())


def connections_max() -> int:
    """Return how many connections there may be at once; 0 is no limit.

    One more would take the descriptor that the trail needs, and fail; in the queue it only waits.
    """
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return 0
    return max(files - _OTHER_FILES, _CONNECTIONS_MIN)


class GuardedSession:
    """An aiohttp session for the venue's origins, opened by the first request.

    `origins` are where requests may go, with the methods that each may get; `early` are connections
    that were begun before. The environment's proxy is ignored.
    """

    def __init__(
        self,
        *,
        origins: "Mapping[Origin, frozenset[str]]",
        proxy: str | None,
        early: "Sequence[EarlyConnections]" = (),
    ) -> None:
        self.headers: dict[str, str] = {}
        self.requests = 0
        self._origins = origins
        self._proxy = proxy
        self._early = early
        self._session: Any = None
        self._tls: ssl.SSLContext | None = None
        self._bundled = False
        self._closed = False

    def _request(self, method: str, url: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        from yarl import URL

        # As aiohttp reads it, which is where the request goes.
        url = URL(url)
        target = (url.scheme, (url.raw_host or "").lower(), url.port or 0)
        allowed = method in self._origins.get(target, ())
        invariant(allowed, f"a request for {target[1]} was stopped: not our venue")
        if self._closed:
            message = "the session is closed"
            raise RuntimeError(message)
        self.requests += 1
        session = self._session or self._open()
        # The caller ends every call in time: aiohttp's four timers a request would be in vain.
        options |= {"proxy": self._proxy, "allow_redirects": False, "timeout": self._no_timeout}
        if options.get("data") is not None:
            options["data"] = self._body_class(options["data"])
        flight = current_flight.get(None)
        if flight is not None:
            # It may have left, unless the connector says that it has not got that far.
            flight.sent = True
        request: AbstractAsyncContextManager[Any] = session.request(method, url, **options)
        return request

    # What ccxt asks a session for.
    get = partialmethod(_request, "GET")
    post = partialmethod(_request, "POST")
    put = partialmethod(_request, "PUT")
    delete = partialmethod(_request, "DELETE")

    def add_authorities(self) -> bool:
        """Trust certifi's authorities too unless the operator named the trusted ones; say if so."""
        if self._tls is None or trust_is_pinned():
            return False
        if not self._bundled:
            self._bundled = True
            add_bundled_authorities(self._tls)
        return True

    async def close(self) -> None:
        """Drop every connection without a farewell."""
        self._closed = True
        for each in self._early:
            each.close()
        session, self._session = self._session, None
        if session is not None:
            await session.connector.close(abort_ssl=True)
            await session.close()

    def _open(self) -> Any:
        import aiohttp

        connection: dict[str, Any] = {
            "limit": connections_max(),
            "keepalive_timeout": KEEPALIVE_S,
            "ttl_dns_cache": DNS_CACHE_S,
            "happy_eyeballs_delay": HAPPY_EYEBALLS_DELAY_S,
        }
        schemes = {scheme for scheme, _, _ in self._origins}
        if "https" in schemes or (self._proxy or "").startswith("https"):
            self._tls = connection["ssl"] = make_tls_context()
            SSLProtocol.max_size = _TLS_BUFFER_BYTES
        if self._early:
            connection["socket_factory"] = partial(make_socket, self._early)
            connection["resolver"] = make_resolver(self._early)
        connector_class, self._body_class, response_class = _watched_classes()
        self._no_timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            connector=connector_class(**connection),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            response_class=response_class,
        )
        # aiohttp sends GET and DELETE again by itself after a lost connection; there is no
        # public switch (aiohttp/client.py, 3.14). Only planning decides to repeat.
        self._session._retry_connection = False  # noqa: SLF001
        return self._session


def _leave() -> None:
    """Note that the request of this task is about to be written, unless its time is over.

    A process that was stopped finds its connection made and its time over in the same turn of the
    loop: the timeout alone would come second.
    """
    flight = current_flight.get(None)
    if flight is not None:
        if asyncio.get_running_loop().time() >= flight.until:
            raise TimeoutError
        flight.sent = True


def _watched_classes() -> tuple[type[Any], type[Any], type[Any]]:
    """Return aiohttp's connector, body and answer, the first two watched, the last one bounded.

    aiohttp's own tracing tells the same moments, for a tenth of what a request costs (measured).
    """
    from aiohttp import BytesPayload, ClientPayloadError, ClientResponse, TCPConnector

    class WatchedConnector(TCPConnector):
        """A connector that knows what has left: nothing that has no connection."""

        async def connect(self, *request: Any, **options: Any) -> Any:
            """Return a connection; headers without a body are written before anything else runs."""
            flight = current_flight.get(None)
            if flight is not None:
                flight.sent = False
            connection = await super().connect(*request, **options)
            try:
                _leave()
            except TimeoutError:
                connection.close()
                raise
            return connection

    class WatchedBody(BytesPayload):
        """A body that is asked again: headers wait for it, and it for a turn of the loop."""

        async def write_with_length(self, *where: Any) -> None:
            """Write the body."""
            _leave()
            await super().write_with_length(*where)

    class BoundedResponse(ClientResponse):
        """An answer whose body, unpacked, must stay under the limit."""

        async def read(self) -> bytes:
            """Return the whole body."""
            if self._body is None:
                body = bytearray()
                async for chunk in self.content.iter_any():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        self.close()
                        message = "answer too large"
                        raise ClientPayloadError(message)
                self._body = bytes(body)
            return await super().read()

    return WatchedConnector, WatchedBody, BoundedResponse


# -- what a request can die of -----------------------------------------------------------------


def translate_failure(error: BaseException, *, host: str, sent: bool) -> VenueAnswer:
    """Return what a failed request means, by what ccxt, aiohttp or the event loop raised.

    `host` is whom it was for, as the operator knows it; `sent`: its first bytes may have left.
    """
    import aiohttp
    from ccxt.base import errors as ccxt_errors

    if sent:
        troubles: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
            (TimeoutError, "no complete answer in time"),
            (aiohttp.ClientPayloadError, "the answer was cut off"),
            (aiohttp.ClientResponseError, "the answer was not HTTP"),
            ((ConnectionResetError, aiohttp.ClientConnectionError), "connection lost"),
        )
        words = (
            words
            for cause in _causes(error)
            for kinds, words in troubles
            if isinstance(cause, kinds)
        )
        trouble = next(words, "the answer could not be read")
        return no_answer(f"{host} did not answer: {trouble}")
    is_of_library = isinstance(error, ccxt_errors.BaseError) and not isinstance(
        error, ccxt_errors.OperationFailed
    )
    if is_of_library and error.__cause__ is None:
        # ccxt would not even send it. Without a key it says so by these classes alone.
        is_about_key = isinstance(error, ccxt_errors.AuthenticationError)
        if isinstance(error, ccxt_errors.AccountSuspended) or (
            is_about_key and not isinstance(error, ccxt_errors.PermissionDenied)
        ):
            said = "the request cannot be signed: no key or no secret"
            return VenueAnswer(kind=AnswerKind.RUN_FATAL, message=said)
        name = type(error).__name__
        return VenueAnswer(kind=AnswerKind.REJECTED, message=f"refused before sending: {name}")
    return not_sent(f"cannot reach {host}: {_trouble_before_sending(error)}")


def is_certificate_failure(error: BaseException) -> bool:
    """Return whether the connection failed because the certificate was not accepted."""
    from aiohttp import ClientConnectorCertificateError

    return any(isinstance(cause, ClientConnectorCertificateError) for cause in _causes(error))


def certificate_trouble(error: BaseException) -> str:
    """Return in our own words why a certificate was refused."""
    code = getattr(error, "verify_code", None)
    otherwise = f" (OpenSSL result {code})" if isinstance(code, int) else ""
    return _CERTIFICATE_TROUBLE.get(code, f"certificate not accepted{otherwise}")


def _causes(error: BaseException) -> "Iterator[BaseException]":
    current: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if current is None:
            return
        yield current
        current = current.__cause__


def _trouble_before_sending(error: BaseException) -> str:
    import aiohttp

    for cause in _causes(error):
        match cause:
            case aiohttp.ClientConnectorCertificateError():
                return certificate_trouble(cause.certificate_error)
            case aiohttp.ClientConnectorSSLError():
                return "TLS handshake failed"
            case aiohttp.ClientConnectorDNSError() | socket.gaierror():
                return "name lookup failed"
            case aiohttp.ClientProxyConnectionError():
                return "the proxy cannot be reached"
            case aiohttp.ClientHttpProxyError():
                return f"the proxy refused the connection (HTTP {cause.status})"
            case TimeoutError():
                return "no connection in time"
            case OSError() if cause.errno:
                return os.strerror(cause.errno).lower()
            case _:
                continue
    return "no connection"
