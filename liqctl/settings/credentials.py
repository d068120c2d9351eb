"""The key and the secret, from the environment or from files, never from the settings file.

A name with the environment in it comes first, so that the production key cannot be taken for the
testnet one: LIQCTL_PRODUCTION_API_KEY, LIQCTL_PRODUCTION_API_KEY_FILE, LIQCTL_API_KEY,
LIQCTL_API_KEY_FILE, and the same for API_SECRET.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from liqctl.kernel.errors import MASK, CredentialsError, Secret
from liqctl.kernel.states import Environment

CREDENTIAL: Final = re.compile(
    r"LIQCTL_(?:(?:PRODUCTION|TESTNET|SIMULATOR)_)?API_(?:KEY|SECRET)(?:_FILE)?"
)
"""A variable that holds a key or a secret, or names its file."""

_FILE_MAX_BYTES: Final = 16_384
_PEM: Final = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(-----END [A-Z ]*PRIVATE KEY-----)", re.DOTALL
)
_LOOKS_SECRET: Final = re.compile(
    r"[0-9a-f]{32,}|(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=\D*\d)[A-Za-z0-9+=_-]{20,}"
)
"""A part of a path that is rather a key of Binance's or a token in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A key, its secret, and which variables they came from."""

    api_key: Secret
    api_secret: Secret
    key_source: str
    secret_source: str


def load_credentials(environment: Environment, environ: Mapping[str, str]) -> Credentials:
    """Return the key and secret of the environment.

    Raises:
        CredentialsError: one is missing, given twice, or its file cannot be read; the text names
            the variables to set.
    """
    key, key_source = _load("API_KEY", environment, environ)
    secret, secret_source = _load("API_SECRET", environment, environ)
    return Credentials(
        api_key=key,
        api_secret=Secret(normalise_secret(secret.reveal())),
        key_source=key_source,
        secret_source=secret_source,
    )


def find_source(name: str, environment: Environment, environ: Mapping[str, str]) -> str | None:
    """Return the variable that gives the key or secret, None when none does."""
    prefix = f"LIQCTL_{environment.upper()}_"
    for variable in (f"{prefix}{name}", f"LIQCTL_{name}"):
        for candidate in (variable, f"{variable}_FILE"):
            if environ.get(candidate):
                return candidate
    return None


def normalise_secret(text: str) -> str:
    r"""Return the secret as the signer wants it: stripped, and a PEM with plain line ends.

    >>> normalise_secret(" abc\r\n")
    'abc'
    >>> normalise_secret(r"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n\n")
    '-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n'
    """
    plain = text.strip().replace("\r\n", "\n").replace("\r", "\n")
    if "PRIVATE KEY" not in plain:
        return plain
    match = _PEM.search(plain.replace("\\n", "\n"))
    if match is None:
        return plain
    begin, body, end = match.groups()
    lines = [line.strip() for line in body.split("\n") if line.strip()]
    return "\n".join([begin, *lines, end]) + "\n"


def _load(name: str, environment: Environment, environ: Mapping[str, str]) -> tuple[Secret, str]:
    source = find_source(name, environment, environ)
    if source is None:
        raise CredentialsError(
            f"no {name.lower().replace('_', ' ')} for {environment}: set "
            f"LIQCTL_{environment.upper()}_{name} or LIQCTL_{name}, or one of them with _FILE and "
            "the path of a file that holds it"
        )
    if not source.endswith("_FILE"):
        if environ.get(f"{source}_FILE"):
            raise CredentialsError(f"{source} and {source}_FILE are both set; unset one")
        return Secret(environ[source].strip()), source
    return Secret(read_secret_file(Path(environ[source]), source)), source


def read_secret_file(path: Path, source: str) -> str:
    """Return the text of a secret file; a FIFO or device must not hang the switch.

    Raises:
        CredentialsError: it cannot be read or holds no text; `source` says who named it.
    """
    shown = _shown(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CredentialsError(f"{source}: {shown}: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise CredentialsError(f"{source}: {shown} is not a regular file")
        raw = os.read(fd, _FILE_MAX_BYTES + 1)
    finally:
        os.close(fd)
    if len(raw) > _FILE_MAX_BYTES:
        raise CredentialsError(f"{source}: {shown} is too large for a secret")
    try:
        text = raw.decode("utf-8-sig").strip()  # Editors on Windows put a byte order mark first.
    except UnicodeDecodeError:
        raise CredentialsError(f"{source}: {shown} is not text") from None
    if not text:
        raise CredentialsError(f"{source}: {shown} is empty")
    return text


def _shown(path: Path) -> str:
    """Return the path, without what looks like the secret itself in its place."""
    text = str(path)
    if "PRIVATE KEY" in text:
        return MASK
    return "/".join(MASK if _LOOKS_SECRET.fullmatch(part) else part for part in text.split("/"))
