"""The TLS context of the venue's connections: which authorities are trusted, and what failed.

Parsing a bundle of authorities takes 50 ms, looking one up in OpenSSL's hashed directory 0.2 ms,
so the directory is used where there is one. certifi's bundle is added only when that was not
enough. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace both, as for any OpenSSL program.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

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


def trust_is_pinned() -> bool:
    """Return whether the operator named the trusted authorities in the environment."""
    return bool(os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"))


def add_bundled_authorities(context: ssl.SSLContext) -> None:
    """Trust certifi's authorities too."""
    import certifi

    context.load_verify_locations(cafile=certifi.where())


def certificate_trouble(error: BaseException) -> str:
    """Return in our own words why a certificate was refused."""
    code = getattr(error, "verify_code", None)
    otherwise = f" (OpenSSL result {code})" if isinstance(code, int) else ""
    return _CERTIFICATE_TROUBLE.get(code, f"certificate not accepted{otherwise}")
