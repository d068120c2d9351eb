"""Translates what a request can die of into a `VenueAnswer`; the only place that reads causes.

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
from collections.abc import Iterator

from liqctl.kernel.answers import AnswerKind, VenueAnswer, no_answer, not_sent
from liqctl.venue.tls import certificate_trouble

_CAUSES_MAX = 8


def translate_failure(error: BaseException, *, host: str, sent: bool) -> VenueAnswer:
    """Return what a failed request means.

    Args:
        error: what ccxt, aiohttp or the event loop raised.
        host: whom the request was for, as the operator knows it.
        sent: the request's first bytes may have left this machine.
    """
    if sent:
        return no_answer(f"{host} did not answer: {_trouble_after_sending(error)}")
    refusal = _refused_by_library(error)
    if refusal is not None:
        return refusal
    return not_sent(f"cannot reach {host}: {_trouble_before_sending(error)}")


def is_certificate_failure(error: BaseException) -> bool:
    """Return whether the connection failed because the certificate was not accepted."""
    from aiohttp import ClientConnectorCertificateError

    return any(isinstance(cause, ClientConnectorCertificateError) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was raised from, outermost first."""
    current: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if current is None:
            return
        yield current
        current = current.__cause__


def _trouble_after_sending(error: BaseException) -> str:
    import aiohttp

    for cause in _causes(error):
        match cause:
            case TimeoutError() | asyncio.TimeoutError():
                return "no complete answer in time"
            case aiohttp.ClientPayloadError():
                return "the answer was cut off"
            case aiohttp.ClientResponseError():
                return "the answer was not HTTP"
            case ConnectionResetError() | aiohttp.ServerDisconnectedError():
                return "connection lost"
            case aiohttp.ClientConnectionError():
                return "connection lost"
            case _:
                continue
    return "the answer could not be read"


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
            case TimeoutError() | asyncio.TimeoutError():
                return "no connection in time"
            case OSError() if cause.errno:
                return os.strerror(cause.errno).lower()
            case _:
                continue
    return "no connection"


def _refused_by_library(error: BaseException) -> VenueAnswer | None:
    """Return the answer for a request that ccxt would not even send; None for a network failure."""
    from ccxt.base.errors import (
        AccountSuspended,
        AuthenticationError,
        BaseError,
        OperationFailed,
        PermissionDenied,
    )

    if not isinstance(error, BaseError) or isinstance(error, OperationFailed):
        return None
    if error.__cause__ is not None:
        return None
    if isinstance(error, AccountSuspended) or (
        isinstance(error, AuthenticationError) and not isinstance(error, PermissionDenied)
    ):
        return VenueAnswer(
            kind=AnswerKind.RUN_FATAL, message="the request cannot be signed: no key or no secret"
        )
    name = type(error).__name__
    return VenueAnswer(kind=AnswerKind.REJECTED, message=f"refused before sending: {name}")
