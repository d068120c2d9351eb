"""TLS: who is trusted, and a refused certificate named in our own words, with nothing sent."""

import asyncio
import datetime as dt
import ssl
from asyncio.sslproto import SSLProtocol
from pathlib import Path

import pytest
import trustme

from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.errors import VenueError
from liqctl.kernel.requests import Endpoint
from liqctl.venue.session import certificate_trouble, make_tls_context
from tests.venue.venue import says, serving, transport_to

NOW = dt.datetime.now(dt.UTC)


def context_of(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """Return a server's context with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def ask_with(
    server: ssl.SSLContext, endpoint: Endpoint = Endpoint.SUBMIT_ORDER
) -> tuple[VenueAnswer | None, int]:
    """Return how a request ended, None for well, and how many requests the server saw."""

    async def run() -> tuple[VenueAnswer | None, int]:
        async with serving(says({}), tls=server) as venue, transport_to(venue.url) as transport:
            try:
                await transport.request(endpoint.value, {"newClientOrderId": "c"}, timeout_s=5.0)
            except VenueError as error:
                return error.answer, len(venue.seen)
            return None, len(venue.seen)

    return asyncio.run(run())


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that the operator's environment names as the only trusted one."""
    authority = trustme.CA()
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return authority


def test_a_good_certificate_of_a_named_authority_is_accepted(authority: trustme.CA) -> None:
    """SSL_CERT_FILE works as for any OpenSSL program, for gateways with their own authority."""
    assert ask_with(context_of(authority.issue_cert("127.0.0.1"))) == (None, 1)


@pytest.mark.parametrize("name", ["localhost", "fapi.binance.com", "127.0.0.2"])
def test_a_certificate_for_another_host_is_refused(name: str, authority: trustme.CA) -> None:
    """Whoever holds any valid certificate could otherwise stand in between."""
    answer, seen = ask_with(context_of(authority.issue_cert(name)))

    assert answer is not None
    assert answer.kind is AnswerKind.TRANSIENT
    assert answer.message.startswith("cannot reach 127.0.0.1: certificate made out for another ")
    assert seen == 0


def test_an_expired_certificate_is_refused(authority: trustme.CA) -> None:
    """Named, because the cure is somebody else's."""
    leaf = authority.issue_cert("127.0.0.1", not_after=NOW - dt.timedelta(days=1))

    answer, seen = ask_with(context_of(leaf))
    assert answer is not None
    assert answer.message == "cannot reach 127.0.0.1: certificate expired"
    assert seen == 0


def test_an_unknown_authority_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after the second look with certifi's authorities."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)

    answer, seen = ask_with(context_of(trustme.CA().issue_cert("127.0.0.1")))
    assert answer is not None
    assert answer.message == "cannot reach 127.0.0.1: certificate signed by an unknown authority"
    assert seen == 0


def test_what_is_not_tls_is_refused() -> None:
    """A plain HTTP port behind an https base_url."""

    async def run() -> tuple[VenueAnswer, int]:
        async with serving(says({})) as venue:
            async with transport_to(venue.url.replace("http", "https")) as transport:
                with pytest.raises(VenueError) as caught:
                    await transport.request(Endpoint.PING.value, {}, timeout_s=5.0)
            return caught.value.answer, len(venue.seen)

    answer, seen = asyncio.run(run())
    assert answer.message == "cannot reach 127.0.0.1: TLS handshake failed"
    assert seen == 0


def test_a_connection_takes_little_memory_and_an_answer_of_any_length(
    authority: trustme.CA,
) -> None:
    """Python reads through a buffer for each connection; 200 of its own take 50 MB."""
    rules = {"symbols": [{"symbol": f"S{number}USDT"} for number in range(20_000)]}

    async def run() -> tuple[int, object]:
        server = context_of(authority.issue_cert("127.0.0.1"))
        async with serving(says(rules), tls=server) as venue, transport_to(venue.url) as transport:
            answer = await transport.request(Endpoint.EXCHANGE_INFO.value, {}, timeout_s=5.0)
            loop = asyncio.get_running_loop()
            ended = loop.create_future()
            tls = SSLProtocol(loop, asyncio.Protocol(), make_tls_context(), ended)
            size = len(tls.get_buffer(-1))
            tls._app_transport.close()  # Collected while open it would warn, in any test.
            return size, answer

    size, answer = asyncio.run(run())
    assert answer == rules
    assert size <= 64 * 1024


def test_the_context_verifies_hosts_and_is_modern() -> None:
    """The defaults that matter, said out loud."""
    context = make_tls_context()

    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "certificate not yet valid"),
        (18, "certificate self-signed"),
        (23, "certificate revoked"),
        (1, "certificate not accepted (OpenSSL result 1)"),
        (None, "certificate not accepted"),
    ],
)
def test_openssls_results_are_put_into_words(code: int | None, words: str) -> None:
    """Its own text could hold anything the other side wrote into its certificate."""
    error = ssl.SSLCertVerificationError()
    if code is not None:
        error.verify_code = code

    assert certificate_trouble(error) == words
