"""Only who signs as the real venue demands gets in: HMAC, RSA and Ed25519."""

import asyncio
from collections.abc import Callable
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from liqctl.kernel import requests
from liqctl.kernel.answers import AnswerKind
from liqctl.kernel.errors import Secret, VenueError
from liqctl.kernel.states import Environment, Product
from liqctl.sim.checks import check_signature, check_timestamp, sign
from liqctl.sim.orders import Refused
from liqctl.sim.scenario import load_scenario
from liqctl.sim.server import API_KEY, API_SECRET, EmbeddedServer
from liqctl.sim.venue import Request, Venue
from liqctl.venue.client import CcxtTransport
from liqctl.venue.exchange import BinanceExchange
from tests.sim.asking import NOW_MS

USDM: Final = Product.USDM

SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
PAYLOAD = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
    "&timestamp=1591702613943"
)
SIGNATURE = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
"""The example of Binance's "General Info" page, read 2026-11-23."""


def test_the_documented_example_is_signed_alike() -> None:
    """The one vector that Binance publishes."""
    assert sign(PAYLOAD.encode(), SECRET) == SIGNATURE


@pytest.mark.parametrize("cut", [0, 14, len(PAYLOAD)])
def test_query_and_body_are_signed_joined_without_a_separator(cut: int) -> None:
    """Wherever the parameters stand, and in whichever case the digits are."""
    query, body = PAYLOAD[:cut], f"{PAYLOAD[cut:]}&signature={SIGNATURE.upper()}"
    check_signature(query, body, SECRET)


@pytest.mark.parametrize("signature", ["", "0" * 64, SIGNATURE[:-1], "ünfug"])
def test_another_signature_is_refused(signature: str) -> None:
    """-1022, also for what is no signature at all."""
    with pytest.raises(Refused) as caught:
        check_signature(f"{PAYLOAD}&signature={signature}", "", SECRET)
    assert caught.value.code == -1022


@pytest.mark.parametrize(
    ("age_ms", "window", "code"),
    [
        (0, "5000", None),
        (5000, "5000", None),
        (5001, "5000", -1021),
        (5001, "6000", None),
        (-999, "5000", None),
        (-1000, "5000", -1021),
        (-1000, "60000", -1021),
        (0, "60001", -1131),
        (0, "soon", -1131),
    ],
)
def test_the_timestamp_must_lie_in_its_window(age_ms: int, window: str, code: int | None) -> None:
    """At most the window old and less than a second ahead; a larger window helps no fast clock."""
    params = {"timestamp": str(NOW_MS - age_ms), "recvWindow": window}
    refused = None
    try:
        check_timestamp(params, NOW_MS)
    except Refused as refusal:
        refused = refusal.code
    assert refused == code


def _signed(query: str, secret: str = API_SECRET) -> str:
    return f"{query}&signature={sign(query.encode(), secret)}"


STAMP = f"timestamp={NOW_MS}"
OLD = f"timestamp={NOW_MS - 9000}"


@pytest.mark.parametrize(
    ("key", "query", "status", "code"),
    [
        (API_KEY, _signed(STAMP), 200, None),
        ("", _signed(STAMP), 401, -2014),
        ("short", _signed(STAMP), 401, -2014),
        ("A" * 64, _signed(STAMP), 401, -2015),
        ("A" * 64, _signed(OLD), 401, -2015),
        (API_KEY, _signed("a=1"), 400, -1102),
        (API_KEY, _signed(OLD, "wrong"), 400, -1021),
        (API_KEY, _signed(STAMP, "wrong"), 400, -1022),
        (API_KEY, STAMP, 400, -1022),
        (API_KEY, f"{_signed(STAMP)}&extra=1", 400, -1022),
    ],
)
def test_key_then_timestamp_then_signature(
    key: str, query: str, status: int, code: int | None
) -> None:
    """The order of the checks decides which error an operator sees first."""
    venue: Venue = load_scenario("flat").make_venue(api_key=API_KEY, api_secret=API_SECRET)
    request = Request(
        method="GET", path="/fapi/v3/positionRisk", query=query, headers={"X-Mbx-Apikey": key}
    )
    reply = venue.handle(request, NOW_MS)
    assert reply.status == status
    assert (f'"code": {code}' in reply.body) is (code is not None)


def _rsa() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("make_key", [Ed25519PrivateKey.generate, _rsa], ids=["ed25519", "rsa"])
def test_private_keys_sign_in_end_to_end(
    make_key: Callable[[], Ed25519PrivateKey | RSAPrivateKey],
) -> None:
    """The account knows the public key only; another private key is refused with -1022."""
    mine, others = make_key(), make_key()
    public = mine.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    async def read(server: EmbeddedServer, key: Ed25519PrivateKey | RSAPrivateKey) -> int:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        transport = CcxtTransport(
            key=Secret(server.api_key),
            secret=Secret(pem),
            environment=Environment.SIMULATOR,
            base_url=server.url,
        )
        try:
            return len(
                (
                    await BinanceExchange(transport).send(requests.positions(USDM), timeout_s=10)
                ).items
            )
        finally:
            await transport.close()

    with EmbeddedServer(api_secret=public.decode()) as server:
        assert asyncio.run(read(server, mine)) == 4
        with pytest.raises(VenueError) as caught:
            asyncio.run(read(server, others))
    assert (caught.value.answer.code, caught.value.answer.kind) == (-1022, AnswerKind.RUN_FATAL)
