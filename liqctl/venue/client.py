# ruff: noqa: ANN401 - the border: what ccxt, aiohttp and JSON hand over has no types
"""Carries one request to Binance through ccxt: signed, bounded, to its host, never repeated.

ccxt builds the URL, signs and sends; everything that decides is taken from it. Out of the box it
returns an HTML page of HTTP 524 as a success, follows redirects with the key in the header, reads
numbers as floats, names errors by the URL's prefix and waits seconds in its own throttle. Only its
raw ("implicit") methods are called: the convenient ones load markets first, drop positions without
an entry price, and ask the spot host. Facts: ccxt 4.5.90, read and run 2026-11-23.

The secret's text never enters the ccxt object. Left alone, ccxt parses a private key anew for each
request (45 ms for RSA-2048, 375 ms for RSA-4096), guesses its kind by the length of the text, and
keeps the text as an attribute. Here the key is read once and its kind asked of the key itself;
signatures are byte for byte the same.
"""

import asyncio
import hmac
import json
import logging
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlsplit

from liqctl.kernel.answers import element_refused, not_sent, refused, unreadable
from liqctl.kernel.errors import (
    MASK,
    CredentialsError,
    InvariantError,
    LiqctlError,
    Secret,
    VenueError,
    invariant,
)
from liqctl.kernel.limits import Usage
from liqctl.kernel.requests import HOSTS, EndpointSpec
from liqctl.kernel.states import Environment, Product
from liqctl.venue.session import (
    Flight,
    GuardedSession,
    Origin,
    connections_max,
    current_flight,
    is_certificate_failure,
    origin_of,
    translate_failure,
)
from liqctl.venue.startup import (
    EARLY_CONNECTIONS,
    EARLY_LISTS,
    EarlyConnections,
    load_exchange_class,
)

_ALL_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE"})
_METHODS: Final = {"sapi": frozenset({"GET", "DELETE"})}
"""Nothing is ever placed on the spot host."""

_CCXT_URL: Final = re.compile(r"([fdps]api)(?:Public|Private)?(?:V[0-9])?")

_SUB_ACCOUNT: Final = "/sub-account/"
"""ccxt leaves the parameters of these paths as they are: the @ of an email, and a + that the venue
takes for a blank. They are encoded before, so that what is signed is what is sent."""

_CALL_TIMEOUT_MAX_MS: Final = 60_000
"""ccxt's own cap on a call; the caller's `timeout_s` always ends it earlier."""

_MASKED_MIN: Final = 16
"""Shorter test keys may be part of any number or symbol; Binance's have 64 characters."""

_USAGE_HEADERS: Final = {
    "x-mbx-used-weight-1m": "weight_1m",
    "x-mbx-order-count-10s": "orders_10s",
    "x-mbx-order-count-1m": "orders_1m",
}


Sign = Callable[[bytes], str]
"""Returns the signature of a query: hex for HMAC, base64 for a private key."""


class CcxtTransport:
    """One account on one venue, reached by HTTP. Implements `liqctl.kernel.machine.Transport`.

    Args:
        key: the API key; may be empty for the endpoints that need none.
        secret: an HMAC secret, or an Ed25519 or RSA private key in PEM.
        environment: which of Binance's hosts; `simulator` has none and needs `base_url`.
        base_url: another scheme, host and path prefix for every request.
        recv_window_ms: how old a request may be when it arrives.
        proxy: URL of an HTTP proxy. The environment's proxy variables are never read.
        user_agent: what the venue is told of the program.
        owns_process: nothing else in this process uses aiohttp, so its own TLS contexts may stay
            empty: that saves parsing the trusted authorities twice. With a key and without a proxy
            connections to the hosts of `early_apis` are begun at once.

    Raises:
        CredentialsError: the secret is a private key that cannot be read.
    """

    def __init__(  # noqa: PLR0913 - all but three have defaults
        self,
        *,
        key: Secret,
        secret: Secret,
        environment: Environment,
        base_url: str | None = None,
        recv_window_ms: int = 5000,
        proxy: str | None = None,
        user_agent: str = "liqctl",
        owns_process: bool = False,
        early_apis: Iterable[str] = ("fapi", "dapi"),
    ) -> None:
        hosts = dict(HOSTS[environment])
        if base_url is not None:
            hosts = dict.fromkeys(HOSTS[Environment.PRODUCTION], base_url.rstrip("/"))
        invariant(bool(hosts), f"{environment} has no host of its own: base_url is needed")
        self._hosts = hosts
        self._counts: dict[str, int] = {}
        self._secrets = (key, secret)
        early: list[EarlyConnections] = []
        if owns_process and key and not proxy:
            wanted: Counter[Origin] = Counter()
            for number, api in enumerate(early_apis):
                wanted[origin_of(hosts[api])] += EARLY_LISTS if number else EARLY_CONNECTIONS
            most = (connections_max() or wanted.total()) // len(wanted)
            early = [
                EarlyConnections(*origin[1:], count=min(count, most))
                for origin, count in wanted.items()
            ]
        sign = make_signer(secret)
        logging.getLogger("ccxt").setLevel(logging.WARNING)  # its DEBUG lines hold the key
        loaded = load_exchange_class(
            hmac_only=not is_private_key(secret), owns_process=owns_process
        )
        origins: dict[Origin, frozenset[str]] = {}
        for api, url in hosts.items():
            origin = origin_of(url)
            methods = _METHODS.get(api, _ALL_METHODS)
            origins[origin] = origins.get(origin, frozenset()) | methods
        self._session = GuardedSession(origins=origins, proxy=proxy, early=early)
        self._client: Any = _harden(loaded.cls, sign, self._note_answer)(
            {
                "apiKey": key.reveal().strip(),
                # ccxt only asks whether there is a secret, and of which kind.
                "secret": ("PRIVATE KEY" if is_private_key(secret) else "HMAC") if secret else "",
                "session": self._session,
                "enableRateLimit": False,
                "timeout": _CALL_TIMEOUT_MAX_MS,
                "timeout_on_exit": 0,
                "userAgent": user_agent,
                "enableLastHttpResponse": False,
                "enableLastJsonResponse": False,
                "enableLastResponseHeaders": False,
                "options": {
                    "recvWindow": recv_window_ms,
                    "maxRetriesOnFailure": 0,
                    "fetchCurrencies": False,
                    "warnOnFetchOpenOrdersWithoutSymbol": False,
                },
            }
        )
        # Every URL of ccxt is pointed at our hosts, and those of other APIs are dropped.
        urls = {}
        for name, ccxt_url in self._client.urls["api"].items():
            known = _CCXT_URL.fullmatch(name)
            if known is not None and (host := hosts.get(known[1])) is not None:
                urls[name] = url = f"{host}{urlsplit(ccxt_url).path}"
                is_ours = url.startswith(f"{host}/{known[1]}/v")
                invariant(is_ours, f"ccxt's {name} leads elsewhere")
        self._client.urls["api"] = urls
        from aiohttp import ClientError
        from ccxt.base.errors import BaseError, NetworkError

        # Looked up once: a large account needs a thousand requests.
        self._host_names = {api: origin_of(url)[1] for api, url in hosts.items()}
        self._methods: dict[tuple[str, str], Any] = {}
        self._lost = NetworkError
        self._failures = (BaseError, ClientError, OSError, RuntimeError, ValueError)

    @property
    def base_url(self) -> str:
        """Scheme and host of the USDS-M API, and of all others with a host of one's own."""
        return self._hosts["fapi"]

    def serves(self, api: str) -> bool:
        """Whether there is a host for the API of this name."""
        return api in self._hosts

    @property
    def usage(self) -> Usage:
        """Requests sent so far and the venue's last word on its limits."""
        return Usage(requests=self._session.requests, **self._counts)

    async def request(
        self, spec: EndpointSpec, params: Mapping[str, Any], *, timeout_s: float
    ) -> Any:
        """Send one request and return the decoded JSON object or array of a success.

        Raises:
            VenueError: the venue refused, did not answer in time, or cannot be understood.
        """
        host = self._host_names.get(spec.api)
        if host is None:
            raise VenueError(not_sent("this environment has no such API"))
        if timeout_s <= 0:
            raise VenueError(not_sent(f"no time left to ask {host}"))
        if _SUB_ACCOUNT in spec.path:
            params = {name: quote(str(value), safe="") for name, value in params.items()}
        flight = Flight(asyncio.get_running_loop().time() + timeout_s)
        current_flight.set(flight)
        name = spec.method, spec.path
        method = self._methods.get(name) or getattr(self._client, ccxt_method(spec), None)
        if method is None:  # ccxt's general one, for an endpoint without an implicit method.
            _, api, version, path = spec.path.split("/", 3)
            access = api if version == "v1" else f"{api}{version.upper()}"
            method = partial(self._client.request, path, [access], spec.method)
        self._methods[name] = method
        failure: LiqctlError
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    return await method(dict(params))
                except self._lost as error:
                    # Refused before anything was sent; certifi may know the certificate's issuer.
                    if not (is_certificate_failure(error) and self._session.add_authorities()):
                        raise
                return await method(dict(params))
        except VenueError as error:
            failure = VenueError(error.answer)
        except InvariantError as error:
            failure = InvariantError(str(error))
        except self._failures as error:
            failure = VenueError(translate_failure(error, host=host, sent=flight.sent))
        # Made anew and raised outside every handler, it carries no traceback and no context of the
        # libraries, whose frames and texts hold the key and the signature.
        raise failure

    async def sync_clock(self, spec: EndpointSpec, *, timeout_s: float) -> float:
        """Measure and apply the clock difference; return it in seconds, positive if we are ahead.

        difference = (our time before + our time after) / 2 - venue's time
        """
        before_ms = self._client.milliseconds()
        row = await self.request(spec, {}, timeout_s=timeout_s)
        after_ms = self._client.milliseconds()
        venue_ms = row.get("serverTime") if isinstance(row, dict) else None
        if isinstance(venue_ms, bool) or not isinstance(venue_ms, int):
            raise VenueError(unreadable(200, "no serverTime"))
        difference_ms = float(before_ms + after_ms) / 2 - venue_ms
        self._client.options["timeDifference"] = round(difference_ms)
        return difference_ms / 1000

    async def close(self) -> None:
        """Close connections at once; never raises."""
        await self._session.close()

    def _note_answer(self, headers: Mapping[str, str], body: str) -> str:
        """Keep what the headers say of the limits; return the body, echoed secrets masked."""
        for name, value in headers.items():
            field = _USAGE_HEADERS.get(name.lower())
            if field is not None and value.strip().isdecimal():
                self._counts[field] = int(value)
        for secret in self._secrets:
            text = secret.reveal().strip()
            if len(text) >= _MASKED_MIN:
                body = body.replace(text, MASK)
        return body


def ccxt_method(endpoint: EndpointSpec) -> str:
    """Return the name of ccxt's implicit method for an endpoint.

    >>> from liqctl.kernel.requests import Endpoint, spec_of
    >>> from liqctl.kernel.states import Margin
    >>> ccxt_method(Endpoint.ACCOUNT.value), ccxt_method(Endpoint.API_RESTRICTIONS.value)
    ('fapiPrivateV3GetAccount', 'sapiGetAccountApiRestrictions')
    >>> ccxt_method(spec_of(Endpoint.CANCEL_ALGO_ORDERS, Product.USDM, Margin.PORTFOLIO))
    'papiDeleteUmAlgoAllOpenOrders'
    """
    _, api, version, *parts = endpoint.path.split("/")
    access = "" if api in {"papi", "sapi"} else "Private" if endpoint.signed else "Public"
    if version != "v1":
        access += version.upper()
    words = "".join(part[0].upper() + part[1:] for part in parts)
    return f"{api}{access}{endpoint.method.capitalize()}{words}"


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


def _harden(
    base: type[Any], sign: Sign, note_answer: Callable[[Mapping[str, str], str], str]
) -> type[Any]:
    """Return a subclass of ccxt's exchange that leaves every decision to us."""

    class Client(base):  # type: ignore[misc]  # the base is loaded at run time
        """ccxt's exchange with strict reading, our signatures and no memory of requests."""

        # ccxt keeps its last request, with the key and the signature; here it forgets it at once.
        last_request_headers = property(lambda _: None, lambda _, __: None)
        last_request_url = last_request_headers
        last_request_body = last_request_headers

        def __del__(self) -> None:
            """Leave quietly: ccxt would log advice here."""

        def open(self, *_: Any) -> None:
            """Skip ccxt's own session and its third parse of the trusted authorities."""

        def on_rest_response(self, *response: Any) -> str:
            """Return the body that is read from here on."""
            headers, body = response[4:6]
            return note_answer(headers, body)

        def parse_json(self, http_response: str) -> Any:
            """Return the decoded object or array with exact numbers, None for anything else."""
            try:
                decoded = _DECODER.decode(http_response)
            except (ValueError, RecursionError):
                return None
            return decoded if isinstance(decoded, dict | list) else None

        def handle_errors(self, *response: Any) -> None:
            """Raise unless the answer is a readable success."""
            status, url, headers, body, decoded = (response[place] for place in (0, 2, 4, 5, 6))
            # Portfolio margin speaks the numbers of USDS-M for both products.
            product = Product.COINM if "/dapi/v" in url.partition("?")[0] else Product.USDM
            if status not in range(200, 300):
                raise VenueError(refused(status, headers, body, product))
            if decoded is None:
                raise VenueError(unreadable(status, "not JSON" if body else "empty"))
            if isinstance(decoded, dict) and (answer := element_refused(decoded, product)):
                raise VenueError(answer)

        # ccxt asks one of these three for a signature, by the kind of the secret.
        def hmac(self, request: bytes, *_: Any, **__: Any) -> str:
            return sign(request)

        def rsa(self, request: str, *_: Any, **__: Any) -> str:
            return sign(request.encode())

        eddsa = hmac

    return Client


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant)
