"""Signing: the documented vector, equality with ccxt's own, and secrets copied badly."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from liqctl.kernel.errors import CredentialsError, Secret
from liqctl.venue.client import is_private_key, make_signer

QUERY = b"symbol=BTCUSDT&timestamp=1700000000000"
ED25519 = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)


def pem_of(key: Ed25519PrivateKey | RSAPrivateKey) -> str:
    """Return a key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="module")
def rsa() -> RSAPrivateKey:
    """A key of the smallest size Binance takes."""
    return generate_private_key(public_exponent=65537, key_size=2048)


def test_hmac_gives_the_documented_signature() -> None:
    """Binance USDS-M "General Info" page, example for POST order (read 2026-11-23)."""
    sign = make_signer(Secret("2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"))
    query = (
        b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
        b"&recvWindow=5000&timestamp=1591702613943"
    )

    assert sign(query) == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


def test_white_space_around_an_hmac_secret_is_ignored() -> None:
    """A file made by an editor ends with a newline, and every request would fail with -1022."""
    assert make_signer(Secret(" abc\r\n"))(QUERY) == make_signer(Secret("abc"))(QUERY)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: pem,
        lambda pem: pem.strip(),
        lambda pem: pem + "\n\n",
        lambda pem: "  " + pem,
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: pem.replace("\n", "\\n"),
    ],
    ids=["clean", "stripped", "newlines", "indented", "crlf", "escaped"],
)
def test_a_private_key_may_be_copied_in_any_of_the_usual_ways(spoil: object) -> None:
    """Left alone, ccxt guesses the kind by the length: one newline too many breaks it."""
    assert callable(spoil)
    secret = Secret(spoil(pem_of(ED25519)))

    assert is_private_key(secret)
    ED25519.public_key().verify(base64.b64decode(make_signer(secret)(QUERY)), QUERY)


def test_rsa_signs_as_documented(rsa: RSAPrivateKey) -> None:
    """RSASSA-PKCS1-v1_5 with SHA-256, base64."""
    signature = base64.b64decode(make_signer(Secret(pem_of(rsa)))(QUERY))

    rsa.public_key().verify(signature, QUERY, PKCS1v15(), SHA256())


def test_signatures_of_private_keys_equal_ccxts_own(rsa: RSAPrivateKey) -> None:
    """Ours replace them on the wire."""
    from ccxt.base.exchange import Exchange

    for key in (pem_of(ED25519), pem_of(rsa)):
        theirs = (
            Exchange.rsa(QUERY.decode(), key)
            if "RSA" in str(type(key)) or len(key) > 120
            else Exchange.eddsa(QUERY, key, "ed25519")
        )
        assert make_signer(Secret(key))(QUERY) == theirs


@pytest.mark.parametrize(
    "pem",
    [
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        "PRIVATE KEY",
        ED25519.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")
        ).decode(),
        "-----BEGIN PUBLIC KEY-----\nPRIVATE KEY\n-----END PUBLIC KEY-----",
    ],
    ids=["garbage", "words", "encrypted", "public"],
)
def test_an_unreadable_private_key_says_what_is_wanted_and_shows_nothing(pem: str) -> None:
    """Found before the emergency, by `validate`."""
    with pytest.raises(CredentialsError) as caught:
        make_signer(Secret(pem))

    assert "Ed25519 or RSA" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
