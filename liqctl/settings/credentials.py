"""The key and the secret, never from the settings file, and the hosts that they may be sent to.

A name with the environment in it comes first, so that the production key cannot be taken for the
testnet one: LIQCTL_PRODUCTION_API_KEY, LIQCTL_PRODUCTION_API_KEY_FILE, LIQCTL_API_KEY,
LIQCTL_API_KEY_FILE, and the same for API_SECRET.

A host that looks right and is not (userinfo before an @, a trailing dot, other scripts' letters)
takes the key with it, so anything unusual is refused rather than understood.
"""

import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from liqctl.kernel.errors import MASK, CredentialsError, Secret, hide_secrets
from liqctl.kernel.states import Environment

CREDENTIAL: Final = re.compile(
    r"LIQCTL_(?:(?:PRODUCTION|TESTNET|SIMULATOR)_)?API_(?:KEY|SECRET)(?:_FILE)?"
)
"""A variable that holds a key or a secret, or names its file."""

ELSEWHERE: Final = frozenset(
    {"LIQCTL_ENV", "LIQCTL_CONFIG", "LIQCTL_CONFIG_DIR", "LIQCTL_PLAIN_IMPORT"}
)
"""Variables that change no setting, or that only name the environment and the file."""

PRODUCTION_HOSTS: Final = frozenset({"fapi.binance.com"})
DEMO_HOSTS: Final = frozenset({"demo-fapi.binance.com", "testnet.binancefuture.com"})
_PRODUCTION_DOMAINS: Final = (".binance.com", ".binance.us")
_SECRET_NAME: Final = re.compile(
    r"secret|api[_-]?key|token|passw|private|credential|authori[sz]ation", re.IGNORECASE
)
_REFERRING: Final = ("_file", "_env")
# The PEM of an RSA key of 4,096 bits takes a fifth of it.
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
    found: list[str] = []
    texts: list[str] = []
    for name in ("API_KEY", "API_SECRET"):
        source = find_source(name, environment, environ)
        if source is None:
            raise CredentialsError(
                f"no {name.lower().replace('_', ' ')} for {environment}: set "
                f"LIQCTL_{environment.upper()}_{name} or LIQCTL_{name}, or one of them with _FILE "
                "and the path of a file that holds it"
            )
        if source.endswith("_FILE"):
            texts.append(read_secret_file(Path(environ[source]), source))
        elif environ.get(f"{source}_FILE"):
            raise CredentialsError(f"{source} and {source}_FILE are both set; unset one")
        else:
            texts.append(environ[source].strip())
        found.append(source)
    return Credentials(
        api_key=Secret(texts[0]),
        api_secret=Secret(normalise_secret(texts[1])),
        key_source=found[0],
        secret_source=found[1],
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


def read_secret_file(path: Path, source: str) -> str:
    """Return the text of a secret file; a FIFO or device must not hang the switch.

    Raises:
        CredentialsError: it cannot be read or holds no text; `source` says who named it.
    """
    shown = "/".join(  # Not what looks like the secret itself in the path's place.
        MASK if _LOOKS_SECRET.fullmatch(part) else part for part in str(path).split("/")
    )
    shown = MASK if "PRIVATE KEY" in shown else shown
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


def sounds_secret(name: str) -> bool:
    """Return whether the name is one of a secret or of something that leads to one."""
    return bool(_SECRET_NAME.search(name))


def is_secret_name(name: str) -> bool:
    """Return whether a value under this name would be a secret, rather than lead to one."""
    return sounds_secret(name) and not name.endswith(_REFERRING)


# -- where a key may be sent -------------------------------------------------------------------


def host_of(url: str) -> str | None:
    """Return the host of a URL in lower case, None when it has none that can be trusted."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return host


def is_loopback_host(host: str | None) -> bool:
    """Return whether the host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def is_loopback_url(url: str) -> bool:
    """Return whether the URL leads to this machine."""
    return is_loopback_host(host_of(url))


def is_demo_host(url: str) -> bool:
    """Return whether the URL leads to Binance's demo environment."""
    return host_of(url) in DEMO_HOSTS


def url_problem(name: str, url: str) -> str | None:
    """Return why the text is not a plain URL of a host, None when it is one."""
    if not url.isascii() or url != url.strip() or any(c in url for c in "\\\t\n\r "):
        return f"{name} must be a plain URL in ASCII"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"{name} must be a URL such as https://host:port"
    if parts.scheme not in {"http", "https"} or not host:
        return f"{name} must be a URL such as https://host:port"
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return f"{name} must not hold a user name or password"
    if host.endswith(".") or "xn--" in host or port == 0 or set("%_") & set(parts.netloc):
        return f"{name} must name its host plainly, without a trailing dot or encoded letters"
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "?" in url or "#" in url:
        return f"{name} must end after the host and port"
    return None


def base_url_problem(url: str, environment: Environment, allowed_host: str) -> str | None:
    """Return why a key of the environment may not be sent to the URL, None when it may.

    Args:
        url: `base_url` as configured.
        environment: whose key it is.
        allowed_host: `LIQCTL_ALLOW_HOST`, the second naming of a host that is not Binance's.
    """
    problem = url_problem("base_url", url)
    if problem:
        return problem
    host = host_of(url)
    shown = hide_secrets(str(host))
    if is_loopback_host(host):
        return None
    if environment is Environment.SIMULATOR:
        return f"base_url of the simulator must be a loopback address, got host {shown}"
    if not url.lower().startswith("https://"):
        return f"base_url must be https, but for loopback addresses, got host {shown}"
    # Binance answers for real money at any host of its domain but the demo's.
    is_production = f".{host}".endswith(_PRODUCTION_DOMAINS) and host not in DEMO_HOSTS
    if environment is Environment.TESTNET and is_production:
        return f"base_url sends the testnet key to {shown}, which is production"
    if environment is Environment.PRODUCTION:
        if host in DEMO_HOSTS or str(host).endswith(".binancefuture.com"):
            return f"base_url sends the production key to {shown}, which is the testnet"
        if host not in PRODUCTION_HOSTS and host != allowed_host.strip().lower():
            return (
                f"base_url names {shown}, which is not Binance's: correct it or leave it out; only "
                "if this host may receive the production key, set "
                f"LIQCTL_ALLOW_HOST={shown}"
            )
    return None
