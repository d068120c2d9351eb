"""What a master's key is asked and answers: signed as it is sent, read strictly, never shown.

Shapes: the official SDK of sub-accounts 7.2.0, read 2026-11-23.
"""

import asyncio
import hashlib
import hmac
from typing import Any

import pytest

from liqctl.kernel import requests
from liqctl.kernel.errors import Secret, VenueError
from liqctl.kernel.requests import Endpoint, Request, SubAccount
from liqctl.kernel.states import Environment, Product
from liqctl.kernel.values import Rows
from liqctl.sim.address import Address, key_of, secret_of
from liqctl.sim.scenario import load_scenario
from liqctl.sim.server import EmbeddedServer
from liqctl.venue import wire
from liqctl.venue.client import CcxtTransport
from liqctl.venue.exchange import BinanceExchange
from tests.venue.venue import SECRET, TIMEOUT_S, says, serving, transport_to

ODD = "desk+a&b=1@simulator.invalid"
QUESTIONS = (
    requests.sub_accounts(2),
    requests.sub_positions(ODD, Product.USDM),
    requests.sub_positions(ODD, Product.COINM),
    requests.sub_keys(ODD),
)


def rename(address: Address, name: str, email: str) -> None:
    """Give an account of a house another email."""
    subs = {
        email if each is address.venues[name] else known: each
        for known, each in address.subs.items()
    }
    address.subs = address.master.subs = subs


def test_questions_about_sub_accounts_are_signed_as_they_are_sent() -> None:
    """An email is left as it is by ccxt: a + would arrive as a blank, with another signature."""

    async def run() -> list[tuple[str, str, str, dict[str, str]]]:
        seen = []
        async with serving(says({})) as venue, transport_to(venue.url) as transport:
            for question in QUESTIONS:
                params = wire.request_params(question)
                await transport.request(question.spec, params, timeout_s=TIMEOUT_S)
                last = venue.seen[-1]
                own = {k: v for k, v in last.params.items() if k not in {"timestamp", "signature"}}
                seen.append((last.path, *last.signed, own))
        return seen

    seen = asyncio.run(run())

    window = {"recvWindow": "5000"}
    assert [(path, own) for path, _, _, own in seen] == [
        ("/sapi/v1/sub-account/list", {"page": "2", "limit": "200"} | window),
        (
            "/sapi/v2/sub-account/futures/positionRisk",
            {"email": ODD, "futuresType": "1"} | window,
        ),
        (
            "/sapi/v2/sub-account/futures/positionRisk",
            {"email": ODD, "futuresType": "2"} | window,
        ),
        ("/sapi/v1/sub-account/subAccountApi", {"email": ODD, "size": "100"} | window),
    ]
    for _, payload, signature, _ in seen:
        assert hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest() == signature


def test_an_email_with_a_plus_reaches_its_account_over_http() -> None:
    """The simulator checks the signature and looks the decoded email up, as the venue does."""

    async def ask(url: str, address: Address) -> list[Any]:
        transport = CcxtTransport(
            key=Secret(address.master_key),
            secret=Secret(address.master_secret),
            environment=Environment.SIMULATOR,
            base_url=url,
        )
        exchange = BinanceExchange(transport)
        questions: list[Request[Any]] = [requests.sub_accounts(1), *QUESTIONS[1:]]
        try:
            return [await exchange.send(each, timeout_s=TIMEOUT_S) for each in questions]
        finally:
            await exchange.close()

    with EmbeddedServer(load_scenario("house_of_five")) as server:
        assert server.address is not None
        rename(server.address, "desk-a", ODD)
        listed, usdm, coinm, keys = asyncio.run(ask(server.url, server.address))

    assert [each.email for each in listed.items][:2] == [ODD, "desk-b@simulator.invalid"]
    assert usdm == Rows(items=("BTCUSDT", "ETHUSDT"))
    assert coinm == Rows(items=("BTCUSD_PERP",))
    assert keys == (Secret(key_of("desk-a")),)
    assert Secret(secret_of("desk-a")) not in keys


def test_an_email_is_personal_and_stands_in_no_repr() -> None:
    """What is shown of a request or a sub-account may end in a log."""
    shown = repr([*QUESTIONS, SubAccount(email=ODD, remark="desk")])
    assert "simulator.invalid" not in shown


def test_positions_of_a_sub_account_are_judged_by_their_symbol_alone() -> None:
    """Both legs of hedge mode have one symbol, no side, and may add up to nothing."""
    rows = [
        {"symbol": "BTCUSDT", "positionAmount": "0.500"},
        {"symbol": "BTCUSDT", "positionAmount": "-0.500"},
        {"symbol": "ETHUSDT", "positionAmount": "0.000"},
        {"symbol": "SOLUSDT", "positionAmount": "much"},
        {"positionAmount": "1"},
        "garbage",
    ]
    assert wire.parse_sub_positions({"futurePositionRiskVos": rows}, Product.USDM) == Rows(
        items=("BTCUSDT",),
        unreadable=("SOLUSDT: no amount", "no symbol", "a row that is not an object"),
    )


def test_a_list_of_sub_accounts_tells_what_is_needed_of_each() -> None:
    """A remark is the owner's text; it is shown on one line."""
    rows = [
        {"email": "a@b.c", "remark": "grid\nbot", "isFreeze": True},
        {"email": "d@e.f", "remark": None, "isFreeze": False},
        {"email": ""},
    ]
    assert wire.parse_sub_accounts({"subAccounts": rows}) == Rows(
        items=(
            SubAccount(email="a@b.c", remark="grid bot", is_frozen=True),
            SubAccount(email="d@e.f"),
        ),
        unreadable=("a sub-account without an email",),
    )


@pytest.mark.parametrize("body", [{}, [], {"rows": {}}, {"rows": ["x"]}, {"subAccounts": None}])
def test_what_is_not_of_the_promised_shape_is_no_empty_list(body: Any) -> None:
    """An account without positions is what an empty list would say."""
    for parse in (
        wire.parse_sub_accounts,
        lambda row: wire.parse_sub_positions(row, Product.USDM),
        lambda row: wire.parse_sub_positions(row, Product.COINM),
        lambda row: wire.parse_sub_keys(row, ODD),
    ):
        with pytest.raises(VenueError):
            parse(body)


def test_keys_of_another_sub_account_are_not_taken_for_its_own() -> None:
    """A gateway that mixes answers up would lead the witness to the wrong account."""
    rows = [{"email": "other@simulator.invalid", "apikey": "k" * 64}]
    with pytest.raises(VenueError):
        wire.parse_sub_keys({"total": 1, "rows": rows}, ODD)


def test_a_key_lists_cost_is_its_owners_not_the_addresses() -> None:
    """3,000 of a pool of their own; the futures' weight has nothing to do with it."""
    assert {each.spec.api for each in QUESTIONS} == {"sapi"}
    assert Endpoint.SUB_KEYS.value.weight == 1
