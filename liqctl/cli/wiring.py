"""The only place that chooses between the real venue and the simulated one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liqctl.kernel.errors import MASK, CredentialsError, Secret
from liqctl.kernel.states import Environment

if TYPE_CHECKING:
    from liqctl.kernel.ports import Exchange, Transport
    from liqctl.settings.values import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account on one venue, ready to be spoken to.

    `identity` names the account for the lock: environment, key fingerprint and base URL.
    `embedded` tells that the venue lives in this process and ends with it.
    """

    exchange: "Exchange"
    transport: "Transport"
    environment: Environment
    base_url: str
    key_fingerprint: str
    has_key: bool = True
    embedded: bool = False
    secrets: tuple[Secret, ...] = ()

    def hide(self, text: str) -> str:
        """Return the operator's words without the account's key and secret."""
        for secret in filter(None, self.secrets):
            text = text.replace(secret.reveal().strip(), MASK)
        return text

    @property
    def identity(self) -> str:
        """Return what the lock is for, in a form that is safe in a file name."""
        from liqctl.run.lock import lock_identity

        return lock_identity(
            environment=self.environment.value,
            key_fingerprint=self.key_fingerprint,
            base_url=self.base_url,
        )


@contextmanager
def open_account(
    settings: "Settings", environ: Mapping[str, str] | None = None, *, needs_key: bool = True
) -> Iterator[Account]:
    """Yield the account the settings name; an embedded venue lives as long as the block.

    Raises:
        CredentialsError: no usable key is set for the environment, and it `needs_key`.
    """
    if settings.is_embedded:
        yield from _open_embedded(settings)
        return
    from liqctl.settings.credentials import load_credentials

    key = secret = Secret("")
    try:
        credentials = load_credentials(settings.environment, environ or os.environ)
        key, secret = credentials.api_key, credentials.api_secret
    except CredentialsError:
        if needs_key:
            raise
    yield _connect(settings, key=key, secret=secret, base_url=settings.exchange.base_url)


def _open_embedded(settings: "Settings") -> Iterator[Account]:
    from liqctl.sim.server import EmbeddedServer

    with EmbeddedServer() as server:
        yield _connect(
            settings,
            key=Secret(server.api_key),
            secret=Secret(server.api_secret),
            base_url=server.url,
            embedded=True,
        )


def _connect(
    settings: "Settings",
    *,
    key: Secret,
    secret: Secret,
    base_url: str | None,
    embedded: bool = False,
) -> Account:
    from liqctl import __version__
    from liqctl.venue.client import CcxtTransport
    from liqctl.venue.exchange import BinanceExchange

    transport = CcxtTransport(
        key=key,
        secret=secret,
        environment=settings.environment,
        base_url=base_url,
        recv_window_ms=settings.exchange.recv_window_ms,
        proxy=settings.exchange.proxy,
        user_agent=f"liqctl/{__version__}",
        owns_process=True,
    )
    return Account(
        exchange=BinanceExchange(transport),
        transport=transport,
        environment=settings.environment,
        base_url=transport.base_url,
        key_fingerprint=key.fingerprint(),
        has_key=bool(key),
        embedded=embedded,
        secrets=(key, secret),
    )
