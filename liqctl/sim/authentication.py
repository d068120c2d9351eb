"""Who may speak to the simulated venue: key, then timestamp, then signature, as the venue checks.

The signature covers the query string joined directly with the body, without itself (Binance
USDS-M "General Info", read 2026-11-23).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from liqctl.sim.refusal import Refused, malformed

_RECV_WINDOW_MAX_MS: Final = 60_000
_AHEAD_MAX_MS: Final = 1000
_PEM_MARK: Final = "PUBLIC KEY"


def check_key(headers: Mapping[str, str], api_key: str) -> None:
    """Refuse a header without the account's key."""
    sent = {name.lower(): value for name, value in headers.items()}
    key = sent.get("x-mbx-apikey", "")
    if not re.fullmatch(r"[A-Za-z0-9]{16,128}", key):
        raise Refused(-2014, "API-key format invalid.", status=401)
    if key != api_key:
        raise Refused(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


def check_timestamp(params: Mapping[str, str], now_ms: int) -> None:
    """Refuse what is older than its window, or from more than a second ahead.

    Accepted is `timestamp < now + 1000 and now - timestamp <= recvWindow`.
    """
    timestamp, window = params.get("timestamp", ""), params.get("recvWindow", "5000")
    if not timestamp.isdigit():
        raise malformed("timestamp")
    if not window.isdigit() or int(window) > _RECV_WINDOW_MAX_MS:
        raise Refused(-1131, "recvWindow must be less than 60000")
    if int(timestamp) >= now_ms + _AHEAD_MAX_MS:
        raise Refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - int(timestamp) > int(window):
        raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")


def check_signature(query: str, body: str, secret: str) -> None:
    """Refuse a wrong signature. `secret` is the HMAC secret, or an RSA or Ed25519 public key."""
    signed, _, signature = f"{query}{body}".rpartition("signature=")
    payload = signed.removesuffix("&").encode()
    if _PEM_MARK in secret:
        is_right = _is_signed(payload, unquote(signature), secret)
    else:
        is_right = hmac.compare_digest(sign(payload, secret).encode(), signature.lower().encode())
    if not is_right:
        raise Refused(-1022, "Signature for this request is not valid.")


def sign(payload: bytes, secret: str) -> str:
    """Return the HMAC-SHA256 of the payload in hex."""
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def _is_signed(payload: bytes, signature: str, public_key: str) -> bool:
    """Return whether the base64 signature is the key's: RSASSA-PKCS1-v1_5 with SHA-256, Ed25519."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(public_key.encode())
    try:
        proof = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(proof, payload)
        elif isinstance(key, RSAPublicKey):
            key.verify(proof, payload, PKCS1v15(), SHA256())
        else:
            return False
    except (InvalidSignature, binascii.Error):
        return False
    return True
