"""The only place that chooses between the real venue and the simulated one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liqctl.kernel.errors import MASK, CredentialsError, Secret
from liqctl.kernel.states import Environment, Margin

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
    name: str | None = None
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
    from liqctl import __version__

    key = secret = Secret("")
    base_url = settings.exchange.base_url
    with ExitStack() as stack:
        if settings.is_embedded:
            from liqctl.sim.server import EmbeddedServer

            server = stack.enter_context(EmbeddedServer())
            key, secret, base_url = Secret(server.api_key), Secret(server.api_secret), server.url
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
        from liqctl.kernel.endpoints import Endpoint, spec_of
        from liqctl.venue.client import CcxtTransport
        from liqctl.venue.exchange import BinanceExchange

        policy = settings.liquidation
        transport = CcxtTransport(
            key=key,
            secret=secret,
            environment=settings.environment,
            base_url=base_url,
            recv_window_ms=settings.exchange.recv_window_ms,
            proxy=settings.exchange.proxy,
            user_agent=f"liqctl/{__version__}",
            owns_process=True,
            early_apis=[
                spec_of(Endpoint.POSITIONS, product, policy.margin or Margin.STANDARD).api
                for product in policy.by_product
            ],
        )
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
