"""The key and the secret, and the hosts they may be sent to.

They come from the environment or from files, never from the settings file. A name with the
environment in it comes first, so that the production key cannot be taken for the testnet one:
LIQCTL_PRODUCTION_API_KEY, LIQCTL_PRODUCTION_API_KEY_FILE, LIQCTL_API_KEY, LIQCTL_API_KEY_FILE, and
the same for API_SECRET. One of several accounts has its own name in it and takes nothing else:
LIQCTL_PRODUCTION_DESK_A_API_KEY is desk-a's.

A host that looks right and is not (userinfo before an @, a trailing dot, other scripts' letters)
takes the key with it, so anything unusual is refused rather than understood.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from liqctl.kernel.errors import (
    MASK,
    ConfigurationError,
    CredentialsError,
    Secret,
    hide_secrets,
)
from liqctl.kernel.states import Environment
from liqctl.settings.yaml_file import read_bounded

CREDENTIAL: Final = re.compile(
    r"LIQCTL_(?:(PRODUCTION|TESTNET|SIMULATOR)_(?:([A-Z0-9_]+)_)?)?API_(?:KEY|SECRET)(?:_FILE)?"
)
"""A variable that holds a key or a secret, or names its file; of any account, also one that is in
another file."""

MASTER: Final = "master"
"""Whose key lists sub-accounts and their positions, and can close nothing in them."""

ELSEWHERE: Final = frozenset(
    {"LIQCTL_ENV", "LIQCTL_CONFIG", "LIQCTL_CONFIG_DIR", "LIQCTL_PLAIN_IMPORT"}
)
"""Variables that change no setting, or that only name the environment and the file."""

_NAMES_SECRET: Final = re.compile(
    r"secret|api[_-]?key|token|passw|private|credential|authori[sz]ation", re.IGNORECASE
)
_ACCOUNT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_FILE_MAX_BYTES: Final = 16_384
_PEM: Final = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(-----END [A-Z ]*PRIVATE KEY-----)", re.DOTALL
)
_LOOKS_SECRET: Final = re.compile(
    r"[0-9a-f]{32,}|(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=\D*\d)[A-Za-z0-9+=_-]{20,}"
)
"""A part of a path that is rather a key of Binance's or a token in its place."""

_PRODUCTION_HOST: Final = "fapi.binance.com"
_PRODUCTION_STREAMS: Final = frozenset({"fstream.binance.com", "dstream.binance.com"})
_DEMO_STREAMS: Final = frozenset(
    {"demo-fstream.binance.com", "demo-dstream.binance.com", "fstream.binancefuture.com"}
)
_DEMO_HOSTS: Final = frozenset({"demo-fapi.binance.com", "testnet.binancefuture.com"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A key and its secret."""

    api_key: Secret
    api_secret: Secret


def load_credentials(
    environment: Environment, environ: Mapping[str, str], account: str | None = None
) -> Credentials:
    """Return the key and secret of the environment, or of one of several accounts in it.

    Raises:
        CredentialsError: one is missing, given twice, or its file cannot be read; the text names
            the variables to set.
    """
    found = {}
    for name in ("API_KEY", "API_SECRET"):
        source = find_source(name, environment, environ, account)
        if source is None:
            whose = f"account {account} in {environment}" if account else environment
            own, *common = variables_of(name, environment, account)
            raise CredentialsError(
                f"no {name.lower().replace('_', ' ')} for {whose}: set "
                f"{' or '.join([own, *common])}, or {'one of them' if common else 'it'} with _FILE "
                "and the path of a file that holds it"
            )
        if source.endswith("_FILE"):
            found[name] = read_secret_file(Path(environ[source]), source)
        elif environ.get(f"{source}_FILE"):
            raise CredentialsError(f"{source} and {source}_FILE are both set; unset one")
        else:
            found[name] = environ[source].strip()
    return Credentials(
        api_key=Secret(found["API_KEY"]), api_secret=Secret(normalise_secret(found["API_SECRET"]))
    )


def hide_keys(text: str, own: Iterable[Secret], environ: Mapping[str, str]) -> str:
    """Return the operator's words without a key or secret: neither his account's nor another's."""
    others = (
        environ[name]
        for name in environ
        if CREDENTIAL.fullmatch(name) and not name.endswith("_FILE")
    )
    for key in (*(secret.reveal() for secret in own), *others):
        text = text.replace(key.strip(), MASK) if key.strip() else text
    return text


def find_source(
    name: str, environment: Environment, environ: Mapping[str, str], account: str | None = None
) -> str | None:
    """Return the variable that gives the key or secret, None when none does."""
    order = [
        each
        for variable in variables_of(name, environment, account)
        for each in (variable, f"{variable}_FILE")
    ]
    return next((variable for variable in order if environ.get(variable)), None)


def variables_of(name: str, environment: Environment, account: str | None) -> tuple[str, ...]:
    """Return the variables of a key or secret, the more specific one first."""
    if account:
        return (f"LIQCTL_{environment.upper()}_{variable_part(account)}_{name}",)
    return f"LIQCTL_{environment.upper()}_{name}", f"LIQCTL_{name}"


def variable_part(account: str) -> str:
    """Return how the variables of an account write its name.

    >>> variable_part("desk-a")
    'DESK_A'
    """
    return account.upper().replace("-", "_")


def account_part(variable: str, environment: Environment) -> str | None:
    """Return whose key a variable gives in the environment: an account's part of its name, or "".

    None where it gives none there.

    >>> account_part("LIQCTL_TESTNET_DESK_A_API_KEY_FILE", Environment.TESTNET)
    'DESK_A'
    """
    found = CREDENTIAL.fullmatch(variable)
    if found is None or found[1] not in {None, environment.upper()}:
        return None
    return found[2] or ""


def name_problems(accounts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each name that cannot be an account's, and why."""
    taken: dict[str, str] = {}
    for name in accounts:
        part = variable_part(name)
        if not _ACCOUNT.fullmatch(name):
            yield name, "an account's name is 1 to 32 letters, digits, - or _, a letter first"
        elif part == variable_part(MASTER):
            yield name, f"{MASTER} is no account's name: its variables are the master key's"
        elif part in taken:
            yield name, f"{name} and {taken[part]} would have the same variables; rename one"
        taken.setdefault(part, name)


def sounds_secret(name: str) -> bool:
    """Return whether the name is one of a secret or of something that leads to one."""
    return bool(_NAMES_SECRET.search(name))


def is_secret_name(name: str) -> bool:
    """Return whether a value under this name would be a secret, rather than lead to one."""
    return sounds_secret(name) and not name.endswith(("_file", "_env"))


def normalise_secret(text: str) -> str:
    r"""Return the secret as the signer wants it: stripped, and a PEM with plain line ends.

    >>> normalise_secret(" abc\r\n")
    'abc'
    >>> normalise_secret(r"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n\n")
    '-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n'
    """
    plain = text.strip().replace("\r\n", "\n").replace("\r", "\n")
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
    text = str(path)
    shown = "/".join(MASK if _LOOKS_SECRET.fullmatch(part) else part for part in text.split("/"))
    if "PRIVATE KEY" in text:  # The variable was set to the secret itself: an easy mistake.
        shown = MASK
    try:
        raw = read_bounded(path, _FILE_MAX_BYTES)
    except ConfigurationError:
        raise CredentialsError(f"{source}: {shown} is not a regular file") from None
    except OSError as error:
        raise CredentialsError(f"{source}: {shown}: {error.strerror}") from None
    if len(raw) > _FILE_MAX_BYTES:
        raise CredentialsError(f"{source}: {shown} is too large for a secret")
    try:
        text = raw.decode("utf-8-sig").strip()  # Editors on Windows put a byte order mark first.
    except UnicodeDecodeError:
        raise CredentialsError(f"{source}: {shown} is not text") from None
    if not text:
        raise CredentialsError(f"{source}: {shown} is empty")
    return text


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL, None where its host or port cannot be trusted."""
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port  # They are only parsed, and refused, when they are asked.
    except ValueError:
        return None
    return parts


def is_loopback_url(url: str) -> bool:
    """Return whether the URL leads to this machine."""
    parts = split_url(url)
    host = (parts and parts.hostname) or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_demo_host(url: str) -> bool:
    """Return whether the URL leads to Binance's demo environment."""
    parts = split_url(url)
    return parts is not None and parts.hostname in _DEMO_HOSTS


def address_problem(url: str) -> str | None:
    """Return why nothing may be sent to the URL, None when it may; the URL is never shown."""
    parts = split_url(url)
    if parts is None or not parts.hostname or not url.isascii() or re.search(r"[\\\s]", url):
        return "must be a URL such as https://host/path"
    # The scheme as it is written: urlsplit drops control characters before it.
    start = url.lower()
    if start.startswith("https://") or (start.startswith("http://") and is_loopback_url(url)):
        return None
    return "must be https, but for loopback addresses"


def url_problem(name: str, url: str, schemes: tuple[str, str] = ("http", "https")) -> str | None:
    """Return why the text is not a plain URL of a host, None when it is one."""
    if not url.isascii() or url != url.strip() or any(c in url for c in "\\\t\n\r "):
        return f"{name} must be a plain URL in ASCII"
    parts = split_url(url)
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        return f"{name} must be a URL such as {schemes[1]}://host:port"
    host = parts.hostname
    if "@" in parts.netloc:
        return f"{name} must not hold a user name or password"
    if host.endswith(".") or "xn--" in host or parts.port == 0 or set("%_") & set(parts.netloc):
        return f"{name} must name its host plainly, without a trailing dot or encoded letters"
    if parts.path not in {"", "/"} or "?" in url or "#" in url:
        return f"{name} must end after the host and port"
    return None


def host_problem(name: str, url: str, environment: Environment, allowed_host: str) -> str | None:
    """Return why a key of the environment may not be sent to the URL, None when it may.

    Whoever has a listen key reads every order and position; what it may not do is trade.

    Args:
        name: `base_url`, to which keys are sent, or `stream_url`, to which listen keys are.
        url: the URL as configured.
        environment: whose key it is.
        allowed_host: `LIQCTL_ALLOW_HOST`, the second naming of a host that is not Binance's.
    """
    is_stream = name == "stream_url"
    schemes = ("ws", "wss") if is_stream else ("http", "https")
    own = _PRODUCTION_STREAMS if is_stream else {_PRODUCTION_HOST}
    demo, key = (_DEMO_STREAMS, "listen key") if is_stream else (_DEMO_HOSTS, "key")
    problem = url_problem(name, url, schemes)
    if problem or is_loopback_url(url):
        return problem
    host = str(urlsplit(url).hostname)
    shown = hide_secrets(host)
    if environment is Environment.SIMULATOR:
        return f"{name} of the simulator must be a loopback address, got host {shown}"
    if not url.lower().startswith(f"{schemes[1]}://"):
        return f"{name} must be {schemes[1]}, but for loopback addresses, got host {shown}"
    if environment is Environment.TESTNET:
        # Real money may answer at any host of Binance's domains but the demo's own.
        is_production = f".{host}".endswith((".binance.com", ".binance.us"))
        if is_production and host not in demo:
            return f"{name} sends the testnet {key} to {shown}, which is production"
        return None
    if host in demo or host.endswith(".binancefuture.com"):
        return f"{name} sends the production {key} to {shown}, which is the testnet"
    if host not in {*own, allowed_host.strip().lower()}:
        return (
            f"{name} names {shown}, which is not Binance's: correct it or leave it out; only if "
            f"this host may receive the production {key}, set LIQCTL_ALLOW_HOST={shown}"
        )
    return None
