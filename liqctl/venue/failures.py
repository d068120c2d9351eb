"""Translates what a request can die of into a `VenueAnswer`; the only place that reads causes.

    never left   no connection, name, certificate, proxy      TRANSIENT, send again
                 refused by ccxt itself before sending        REJECTED, or RUN_FATAL for the key
    left         time-out, reset, cut or broken answer        UNKNOWN, look up first

Easy to get wrong: ccxt wraps a refused connection and a reset after sending in the same class
(`ExchangeNotAvailable`), and a cut answer in `ExchangeError`. So what decides is whether the
request's headers were handed to the connection; classes only choose the words. The libraries'
own words are never used: their URLs hold signatures, their reprs the key.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from typing import Final

from liqctl.kernel.answers import AnswerKind, VenueAnswer, no_answer, not_sent

_CAUSES_MAX: Final = 8
_CERTIFICATE_TROUBLE: Final[Mapping[object, str]] = {
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


def _causes(error: BaseException) -> Iterator[BaseException]:
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
