"""A master's key lists the accounts below it, their positions and keys, and does nothing there."""

from typing import Any

import pytest

from liqctl.sim.address import MASTER, email_of, key_of
from tests.sim.asking import NOW_MS, ask, ask_as, knock, make_address, make_venue

HOUSE = """
accounts:
  desk-a:
    account:
      mode: hedge
      positions: {BTCUSDT LONG: "0.500", BTCUSDT SHORT: "-0.200", BTCUSD_PERP LONG: "30"}
    events: [{act: add, symbol: ETHUSDT, position_side: LONG, quantity: "1", at_ms: 100}]
  desk-b: {account: {margin: PORTFOLIO, positions: {ETHUSDT: "-2"}}}
  desk-c: {key_of: desk-a}
  forgotten: {account: {positions: {SOLUSDT: "40"}}}
uncovered: [forgotten]
"""
LIST = "/sapi/v1/sub-account/list"
POSITIONS = "/sapi/v2/sub-account/futures/positionRisk"
KEYS = "/sapi/v1/sub-account/subAccountApi"
EMAILS = ["desk-a@simulator.invalid", "desk-b@simulator.invalid", "forgotten@simulator.invalid"]


def read(path: str, **params: Any) -> Any:
    """Return what the master of a fresh house is answered."""
    return ask_as(make_address(HOUSE), MASTER, "GET", path, **params)[1]


def test_each_account_is_listed_once_also_one_whose_key_nobody_has() -> None:
    """That is how an account is found which was opened after the settings were written."""
    rows = read(LIST, limit=200)["subAccounts"]

    assert [row["email"] for row in rows] == EMAILS
    assert rows[0] == {
        "subUserId": 10_000_001,
        "email": "desk-a@simulator.invalid",
        "remark": "",
        "isFreeze": False,
        "createTime": 1_544_433_328_000,
        "isManagedSubAccount": False,
        "isAssetManagementSubAccount": False,
    }
    assert len({row["subUserId"] for row in rows}) == 3
    assert make_address(HOUSE).names == ("desk-a", "desk-b", "desk-c")


@pytest.mark.parametrize(
    ("params", "emails"),
    [
        ({}, EMAILS[:1]),
        ({"page": 2}, EMAILS[1:2]),
        ({"page": 2, "limit": 2}, EMAILS[2:]),
        ({"limit": 200, "email": EMAILS[1]}, EMAILS[1:2]),
        ({"limit": 200, "email": "stranger@simulator.invalid"}, []),
        ({"limit": 200, "isFreeze": "true"}, []),
        ({"limit": 200, "isFreeze": "false"}, EMAILS),
    ],
)
def test_the_list_comes_in_pages_of_one_unless_a_limit_is_sent(
    params: dict[str, Any], emails: list[str]
) -> None:
    """Whoever asks without a limit sees one account and may think that it is the only one."""
    assert [row["email"] for row in read(LIST, **params)["subAccounts"]] == emails


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        (LIST, {"limit": 201}, -1130),
        (LIST, {"limit": 0}, -1130),
        (LIST, {"page": 0}, -1130),
        (LIST, {"page": "x"}, -1102),
        (POSITIONS, {"futuresType": 1}, -1102),
        (POSITIONS, {"email": EMAILS[0]}, -1102),
        (POSITIONS, {"email": EMAILS[0], "futuresType": 3}, -1102),
        (POSITIONS, {"email": "stranger@simulator.invalid", "futuresType": 1}, -9000),
        (KEYS, {}, -1102),
        (KEYS, {"email": EMAILS[0], "size": 101}, -1130),
        (KEYS, {"email": "stranger@simulator.invalid"}, -9000),
    ],
)
def test_what_cannot_be_answered_is_refused(path: str, params: dict[str, Any], code: int) -> None:
    """Rather than answered with an empty list, which would read as flat."""
    assert read(path, **params)["code"] == code


def test_usdm_positions_do_not_tell_their_leg() -> None:
    """In hedge mode one symbol has two rows, told apart by the sign."""
    answer = read(POSITIONS, email=EMAILS[0], futuresType=1)
    (rows,) = answer.values()

    assert list(answer) == ["futurePositionRiskVos"]
    assert [(row["symbol"], row["positionAmount"]) for row in rows] == [
        ("BTCUSDT", "0.500"),
        ("BTCUSDT", "-0.200"),
    ]
    assert rows[0] == {
        "entryPrice": "58800.00",
        "leverage": "10",
        "maxNotional": "20000000",
        "liquidationPrice": "0",
        "markPrice": "60000.00000000",
        "positionAmount": "0.500",
        "symbol": "BTCUSDT",
        "unrealizedProfit": "600.00000000",
    }


def test_coinm_positions_tell_their_leg() -> None:
    """Under another name, with flags as texts."""
    assert read(POSITIONS, email=EMAILS[0], futuresType=2) == {
        "deliveryPositionRiskVos": [
            {
                "entryPrice": "58800.00",
                "markPrice": "60000.00000000",
                "leverage": "10",
                "isolated": "false",
                "isolatedWallet": "0",
                "isolatedMargin": "0",
                "isAutoAddMargin": "false",
                "positionSide": "LONG",
                "positionAmount": "30",
                "symbol": "BTCUSD_PERP",
                "unrealizedProfit": "0.00102041",
            }
        ]
    }


def test_the_master_sees_what_happened_since_anybody_asked_the_account() -> None:
    """A witness that only knew what the account was last asked would be none."""
    address = make_address(HOUSE)

    def symbols(now_ms: int) -> set[str]:
        (rows,) = ask_as(
            address, MASTER, "GET", POSITIONS, email=EMAILS[0], futuresType=1, now_ms=now_ms
        )[1].values()
        return {row["symbol"] for row in rows}

    assert symbols(NOW_MS) == {"BTCUSDT"}
    assert symbols(NOW_MS + 100) == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize(("email", "symbol"), [(EMAILS[1], "ETHUSDT"), (EMAILS[2], "SOLUSDT")])
def test_accounts_of_every_kind_and_uncovered_ones_show_their_positions(
    email: str, symbol: str
) -> None:
    """Assumed for portfolio margin."""
    ((row,),) = read(POSITIONS, email=email, futuresType=1).values()
    assert row["symbol"] == symbol


def test_a_key_leads_to_its_account() -> None:
    """The only way from a key to an email: by the list of each account's keys."""
    answer = read(KEYS, email=EMAILS[0])

    assert (answer["total"], [row["apikey"] for row in answer["rows"]]) == (
        2,
        [key_of("desk-a"), key_of("desk-c")],
    )
    assert answer["rows"][0] == {
        "email": EMAILS[0],
        "apiName": "key-1",
        "apikey": key_of("desk-a"),
        "canTrade": False,
        "canMarginLoanRepay": False,
        "canFuturesTrade": True,
        "canUniversalTransfer": False,
        "canVanillaOptions": False,
        "timestamp": 1_544_433_328_000,
    }
    found = read(KEYS, email=EMAILS[0], subAccountApiKey=key_of("desk-c"))
    assert (found["total"], found["rows"][0]["apikey"]) == (1, key_of("desk-c"))
    second = read(KEYS, email=EMAILS[0], page=2, size=1)
    assert (second["total"], [row["apiName"] for row in second["rows"]]) == (2, ["key-2"])


def test_lists_cost_the_address_and_keys_cost_the_account() -> None:
    """180000 a minute, of which each reading of keys takes 3000."""
    address = make_address(HOUSE)
    listed = knock(address, MASTER, "GET", LIST).headers
    replies = [knock(address, MASTER, "GET", KEYS, email=EMAILS[0]) for _ in range(61)]

    assert listed["X-SAPI-USED-IP-WEIGHT-1M"] == "1"
    assert knock(address, "desk-a", "GET", LIST).headers["X-SAPI-USED-IP-WEIGHT-1M"] == "2"
    assert [reply.headers.get("X-SAPI-USED-UID-WEIGHT-1M") for reply in replies[:2]] == [
        "3000",
        "6000",
    ]
    assert [reply.status for reply in replies[-2:]] == [200, 429]
    assert ask_as(address, MASTER, "GET", LIST)[0] == 200


@pytest.mark.parametrize("path", [LIST, POSITIONS, KEYS])
def test_only_a_masters_key_may_ask(path: str) -> None:
    """A sub-account's key is refused, and that of an account that stands alone."""
    params = {"email": email_of("desk-a"), "futuresType": "1"}
    status, answer = ask_as(make_address(HOUSE), "desk-a", "GET", path, **params)
    alone = ask(make_venue(), "GET", path, **params)

    assert (status, answer["code"]) == (401, -1002)
    assert alone == (status, answer)
