"""Which hosts a key may be sent to.

A host that looks right and is not (userinfo before an @, a trailing dot, other scripts' letters)
takes the key with it, so anything unusual is refused rather than understood.
"""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from liqctl.kernel.errors import hide_secrets
from liqctl.kernel.states import Environment

PRODUCTION_HOSTS: Final = frozenset({"fapi.binance.com"})
DEMO_HOSTS: Final = frozenset({"demo-fapi.binance.com", "testnet.binancefuture.com"})
_PRODUCTION_DOMAINS: Final = (".binance.com", ".binance.us")
_LOCALHOST: Final = "localhost"


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
    if host == _LOCALHOST:
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
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
    if environment is Environment.TESTNET and _is_production_host(host):
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


def _is_production_host(host: str | None) -> bool:
    """Return whether Binance answers there for real money: any host of its domain but the demo."""
    name = f".{host}"
    return name.endswith(_PRODUCTION_DOMAINS) and host not in DEMO_HOSTS
