"""Signs requests with the account's secret, whose text never enters the ccxt object.

Left alone, ccxt parses a private key anew for each request (45 ms for RSA-2048, 375 ms for
RSA-4096), guesses its kind by the length of the text, and keeps the text as an attribute. Here the
key is read once and its kind asked of the key itself; signatures are byte for byte the same.
"""

import hmac
from base64 import b64encode
from collections.abc import Callable

from liqctl.kernel.errors import CredentialsError, Secret

Sign = Callable[[bytes], str]
"""Returns the signature of a query: hex for HMAC, base64 for a private key."""


def is_private_key(secret: Secret) -> bool:
    """Return whether the secret is a PEM private key and not an HMAC secret."""
    return "PRIVATE KEY" in secret.reveal()


def make_signer(secret: Secret) -> Sign:
    r"""Return the function that signs with this secret.

    White space around the secret, Windows line ends and `\\n` written as two characters are
    put right first: each of them comes from copying a key, and each would fail every request.

    Raises:
        CredentialsError: the PEM is not a readable, unencrypted Ed25519 or RSA key.
    """
    text = secret.reveal().strip()
    if not is_private_key(secret):
        hmac_key = text.encode()
        return lambda query: hmac.digest(hmac_key, query, "sha256").hex()
    # Imported for private keys only: an HMAC secret, the usual one, starts without it.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = text.replace("\\n", "\n").replace("\r\n", "\n").encode()
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    match key:
        case Ed25519PrivateKey():
            return lambda query: b64encode(key.sign(query)).decode()
        case RSAPrivateKey():
            padding, algorithm = PKCS1v15(), SHA256()
            return lambda query: b64encode(key.sign(query, padding, algorithm)).decode()
        case _:
            message = (
                "the API secret looks like a private key but cannot be read; "
                "give an unencrypted Ed25519 or RSA key in PEM (PKCS#8)"
            )
            raise CredentialsError(message) from None
