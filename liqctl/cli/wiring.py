"""The only place that chooses between the real venue and the simulated one."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from liqctl.kernel.errors import CredentialsError, Secret
from liqctl.kernel.states import Environment, Margin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqctl.kernel.machine import Exchange, Transport
    from liqctl.settings.credentials import Credentials
    from liqctl.settings.values import Settings
    from liqctl.sim.server import EmbeddedServer
    from liqctl.venue.client import CcxtTransport
    from liqctl.venue.stream import WebSocketDoor

_CREDENTIALS: Final = ("API_KEY", "API_SECRET")


class Account(NamedTuple):
    """One account on one venue, ready to be spoken to.

    `identity` names the account for the lock: environment, key fingerprint and base URL.
    `embedded` tells that the venue lives in this process and ends with it.
    """

    exchange: "Exchange"
    transport: "Transport"
    environment: Environment
    base_url: str
    key_fingerprint: str
    name: str | None = None
    has_key: bool = True
    embedded: bool = False
    secrets: tuple[Secret, ...] = ()

    def hide(self, text: str) -> str:
        """Return the operator's words without a key or secret, this account's or another's."""
        from liqctl.settings.credentials import hide_keys

        return hide_keys(text, self.secrets, os.environ)

    @property
    def key(self) -> Secret:
        """The API key: a master's key knows by it which sub-account this is."""
        return self.secrets[0]

    @property
    def identity(self) -> str:
        """Return what the lock is for, in a form that is safe in a file name."""
        from liqctl.run.lock import lock_identity

        return lock_identity(
            environment=self.environment.value,
            key_fingerprint=self.key_fingerprint,
            base_url=self.base_url,
        )

    def describe(self, settings: "Settings") -> dict[str, str | None]:
        """Return what the first record of a run, or of an armed process, says of the account."""
        from liqctl import __version__

        return {
            "version": __version__,
            "base_url": self.base_url,
            "key_fingerprint": self.key_fingerprint,
            "config_file": str(settings.file) if settings.file else None,
        }

    def stream_door(self, settings: "Settings") -> "WebSocketDoor":
        """Return what opens the account's streams; nothing is connected yet."""
        from liqctl.venue.stream import WebSocketDoor

        reached = settings.exchange
        if self.embedded:
            reached = replace(reached, base_url=self.base_url)
        return WebSocketDoor(
            settings.environment, base_url=reached.stream_base_url, proxy=reached.proxy
        )


def identity_of(settings: "Settings", credentials: "Credentials") -> str:
    """Return what the account's lock and socket are named by, without opening the account."""
    from liqctl.kernel.requests import HOSTS
    from liqctl.run.lock import lock_identity

    own = HOSTS[settings.environment].get("fapi", "")
    return lock_identity(
        environment=settings.environment.value,
        key_fingerprint=credentials.api_key.fingerprint(),
        base_url=settings.exchange.base_url or own,
    )


def identities_of(settings: "Settings") -> dict[str | None, str]:
    """Return by which name each account's lock, socket and latch go, where it has a key."""
    from liqctl.settings.credentials import load_credentials

    found: dict[str | None, str] = {}
    if settings.is_embedded:
        return found
    for name in settings.accounts or (None,):
        with contextlib.suppress(CredentialsError):
            credentials = load_credentials(settings.environment, os.environ, name)
            found[name] = identity_of(settings, credentials)
    return found


def embedded_venue(accounts: "Sequence[Settings]") -> "EmbeddedServer":
    """Return the venue inside this process, with an account for each of the settings."""
    from liqctl.sim.scenario import Scenario, load_scenario
    from liqctl.sim.server import EmbeddedServer

    if len(accounts) <= 1:
        return EmbeddedServer()
    names = {_embedded_name(its): load_scenario("default") for its in accounts}
    return EmbeddedServer(Scenario(name="accounts", accounts=names))


def _embedded_name(settings: "Settings") -> str:
    """Return what the venue inside this process calls an account."""
    return f"account-{[*settings.accounts].index(settings.account or '') + 1}"


def has_master(settings: "Settings") -> bool:
    """Return whether the operator gave a master key; the venue in this process has none."""
    from liqctl.settings.credentials import MASTER, find_source

    given = (find_source(n, settings.environment, os.environ, MASTER) for n in _CREDENTIALS)
    return not settings.is_embedded and any(given)


def open_master(settings: "Settings", credentials: "Credentials") -> "Exchange":
    """Return the master's connection; nothing is begun before the first question.

    Raises:
        CredentialsError: the secret is a private key that cannot be read.
    """
    from liqctl.venue.exchange import BinanceExchange

    url = settings.exchange.base_url
    return BinanceExchange(_transport(settings, credentials.api_key, credentials.api_secret, url))


def _transport(
    settings: "Settings",
    key: Secret,
    secret: Secret,
    base_url: str | None,
    **more: Any,  # noqa: ANN401
) -> "CcxtTransport":
    from liqctl import __version__
    from liqctl.venue.client import CcxtTransport

    return CcxtTransport(
        key=key,
        secret=secret,
        environment=settings.environment,
        base_url=base_url,
        recv_window_ms=settings.exchange.recv_window_ms,
        proxy=settings.exchange.proxy,
        user_agent=f"liqctl/{__version__}",
        **more,
    )


@contextmanager
def open_account(
    settings: "Settings",
    environ: Mapping[str, str] | None = None,
    *,
    needs_key: bool = True,
    venue: "EmbeddedServer | None" = None,
) -> Iterator[Account]:
    """Yield the account the settings name; an embedded venue lives as long as the block.

    Where the embedded `venue` runs already, it holds several accounts, and this is one of them.

    Raises:
        CredentialsError: no usable key is set for the environment, and it `needs_key`.
    """
    key = secret = Secret("")
    base_url = settings.exchange.base_url
    with ExitStack() as stack:
        if settings.is_embedded:
            server = venue or stack.enter_context(embedded_venue([settings]))
            given = server.api_key, server.api_secret
            if server.address is not None:
                given = server.address.credentials[_embedded_name(settings)]
            key, secret, base_url = Secret(given[0]), Secret(given[1]), server.url
        else:
            from liqctl.settings.credentials import load_credentials

            try:
                credentials = load_credentials(
                    settings.environment, environ or os.environ, settings.account
                )
                key, secret = credentials.api_key, credentials.api_secret
            except CredentialsError:
                if needs_key:
                    raise
        from liqctl.kernel.requests import Endpoint, spec_of

        policy = settings.liquidation
        transport = _transport(
            settings,
            key,
            secret,
            base_url,
            owns_process=True,
            early_apis=[
                spec_of(Endpoint.POSITIONS, product, policy.margin or Margin.STANDARD).api
                for product in policy.by_product
            ],
        )
        # The early connections are on their way by now.
        from liqctl.venue.exchange import BinanceExchange

        yield Account(
            exchange=BinanceExchange(transport),
            transport=transport,
            environment=settings.environment,
            base_url=transport.base_url,
            key_fingerprint=key.fingerprint(),
            name=settings.account,
            has_key=bool(key),
            embedded=settings.is_embedded,
            secrets=(key, secret),
        )
