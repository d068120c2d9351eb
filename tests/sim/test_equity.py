"""What an account is worth follows from its wallets, its positions and their mark prices."""

from typing import Any

import pytest

from liqctl.sim.events import make_event
from liqctl.sim.venue import Venue
from tests.sim.asking import NOW_MS, ask, make_venue

# Bought at 58800, and marked at 60000.
SEED = """
account: {positions: {BTCUSDT: "0.5", BTCUSD_PERP: "588"}}
venue: {balance: "10000", coins: {BTC: "2"}}
"""
DAY_MS = 86_400_000


def _do(venue: Venue, act: str, **settings: Any) -> None:
    make_event({"act": act, **settings}).act(venue)


def _read(venue: Venue, path: str, *names: str, **params: Any) -> tuple[Any, ...]:
    status, answer = ask(venue, "GET", path, **params)
    assert status == 200
    return tuple(answer[name] for name in names)


def test_equity_is_the_wallet_and_what_positions_gain() -> None:
    """All readings of USDS-M say the same: 0.5 · (60000 - 58800) above the wallet."""
    venue = make_venue(SEED)
    names = (
        *("totalWalletBalance", "totalUnrealizedProfit", "totalMarginBalance"),
        *("totalInitialMargin", "totalMaintMargin", "availableBalance"),
    )
    expected = (
        *("10000.00000000", "600.00000000", "10600.00000000"),
        *("3000.00000000", "300.00000000", "7600.00000000"),
    )
    assert _read(venue, "/fapi/v3/account", *names) == expected
    assert _read(venue, "/fapi/v2/account", *names) == expected
    (assets,) = _read(venue, "/fapi/v3/account", "assets")
    assert (assets[0]["asset"], assets[0]["marginBalance"]) == ("USDT", "10600.00000000")
    _, (balance,) = ask(venue, "GET", "/fapi/v3/balance")
    assert (balance["balance"], balance["crossUnPnl"]) == ("10000.00000000", "600.00000000")


def test_a_mark_price_makes_a_loss() -> None:
    """What a guard is tried with: 0.5 · (50000 - 58800) below the wallet."""
    venue = make_venue(SEED)
    _do(venue, "set_mark", symbol="BTCUSDT", price="50000")

    names = ("totalUnrealizedProfit", "totalMarginBalance", "totalMaintMargin")
    told = _read(venue, "/fapi/v3/account", *names)
    assert told == ("-4400.00000000", "5600.00000000", "250.00000000")
    (row,) = ask(venue, "GET", "/fapi/v3/positionRisk")[1]
    assert row["unRealizedProfit"] == "-4400.00000000"


def test_equity_of_coinm_is_told_by_coin() -> None:
    """588 contracts of 100 dollars were 1 BTC, and are 0.98 at 60000, 1.2 at 49000."""
    venue = make_venue(SEED)
    names = ("walletBalance", "unrealizedProfit", "marginBalance", "initialMargin", "maintMargin")

    def read() -> dict[str, tuple[str, ...]]:
        (assets,) = _read(venue, "/dapi/v1/account", "assets")
        return {row["asset"]: tuple(row[name] for name in names) for row in assets}

    first = read()
    _do(venue, "set_mark", symbol="BTCUSD_PERP", price="49000")

    nothing = ("0.00000000",) * 5
    bitcoin = ("2.00000000", "0.02000000", "2.02000000", "0.09800000", "0.00980000")
    assert first == {"BTC": bitcoin, "ETH": nothing, "SOL": nothing}
    assert read()["BTC"][1:3] == ("-0.20000000", "1.80000000")


def test_portfolio_margin_has_one_equity_in_dollars() -> None:
    """10600 of USDS-M, 2.02 BTC of COIN-M, and margin's coin less what is owed."""
    venue = make_venue(
        SEED.replace(
            "account: {",
            "account: {margin: PORTFOLIO, margin_assets: {ETH: {free: 3, "
            "borrowed: 0.5, interest: 0.25, negative: -0.25}}, ",
        )
    )
    names = ("accountEquity", "actualEquity", "accountInitialMargin", "accountMaintMargin")
    # 10600 + 2.02 · 60000 + 2 · 3000; 3000 + 0.098 · 60000.
    assert _read(venue, "/papi/v1/account", *names, "uniMMR", "accountStatus") == (
        *("137800.00000000", "137800.00000000", "8880.00000000", "888.00000000"),
        *("155.18018018", "NORMAL"),
    )
    _, rows = ask(venue, "GET", "/papi/v1/balance")
    by_asset = {row["asset"]: row for row in rows}
    assert by_asset["USDT"]["umUnrealizedPNL"] == "600.00000000"
    assert by_asset["BTC"]["cmUnrealizedPNL"] == "0.02000000"
    _do(venue, "set_account_status", status="REDUCE_ONLY")
    assert _read(venue, "/papi/v1/account", "accountStatus") == ("REDUCE_ONLY",)


def test_without_positions_portfolio_margin_is_at_its_safest() -> None:
    """Nothing is divided by."""
    venue = make_venue("account: {margin: PORTFOLIO}")
    assert _read(venue, "/papi/v1/account", "uniMMR") == ("99999999.00000000",)


def test_a_lagging_account_gains_on_what_it_shows() -> None:
    """The totals belong to the rows beside them."""
    venue = make_venue(SEED.replace("venue: {", "venue: {lag_ms: {account: 2000}, "))
    ask(venue, "GET", "/fapi/v3/account")
    _do(venue, "close", symbol="BTCUSDT")

    told = _read(venue, "/fapi/v3/account", "totalUnrealizedProfit", now_ms=NOW_MS + 1000)
    assert told == ("600.00000000",)
    told = _read(venue, "/fapi/v3/account", "totalUnrealizedProfit", now_ms=NOW_MS + 2001)
    assert told == ("0.00000000",)


def test_a_transfer_changes_the_wallet_and_is_no_loss() -> None:
    """Without its row of income a withdrawal would look like one."""
    venue = make_venue(SEED)
    ask(venue, "GET", "/v1/time")
    _do(venue, "transfer", amount="-2500")
    _do(venue, "transfer", amount="0.5", asset="BTC")

    assert _read(venue, "/fapi/v3/account", "totalMarginBalance") == ("8100.00000000",)
    _, (row,) = ask(venue, "GET", "/fapi/v1/income", incomeType="TRANSFER")
    assert row.pop("tranId") > 0
    assert row == {
        "symbol": "",
        "incomeType": "TRANSFER",
        "income": "-2500.00000000",
        "asset": "USDT",
        "info": "TRANSFER",
        "time": NOW_MS,
        "tradeId": "",
    }
    (assets,) = _read(venue, "/dapi/v1/account", "assets")
    assert assets[0]["walletBalance"] == "2.50000000"
    _, (row,) = ask(venue, "GET", "/dapi/v1/income")
    assert (row["asset"], row["income"]) == ("BTC", "0.50000000")


def test_income_is_narrowed() -> None:
    """By time, by number and by kind; a week is shown where no start is given."""
    days = ", ".join(
        f"{{act: transfer, amount: {day}, at_ms: {day * DAY_MS}}}" for day in range(1, 11)
    )
    venue = make_venue(f"{SEED}events: [{days}]")
    ask(venue, "GET", "/v1/time")

    def read(**params: Any) -> list[int]:
        now_ms = NOW_MS + 10 * DAY_MS
        _, rows = ask(venue, "GET", "/fapi/v1/income", now_ms=now_ms, **params)
        return [int(row["income"].split(".")[0]) for row in rows]

    assert read() == [3, 4, 5, 6, 7, 8, 9, 10]
    assert read(limit=2) == [9, 10]
    assert read(startTime=NOW_MS + 2 * DAY_MS, limit=2) == [2, 3]
    assert read(startTime=NOW_MS + 2 * DAY_MS, endTime=NOW_MS + 4 * DAY_MS) == [2, 3, 4]
    assert read(incomeType="FUNDING_FEE") == read(symbol="BTCUSDT") == []


@pytest.mark.parametrize(
    ("params", "code"),
    [({"limit": 1001}, -1130), ({"limit": 0}, -1130), ({"startTime": 2, "endTime": 1}, -1023)],
)
def test_income_out_of_range_is_refused(params: dict[str, int], code: int) -> None:
    """As trades are."""
    status, answer = ask(make_venue(SEED), "GET", "/fapi/v1/income", **params)
    assert (status, answer["code"]) == (400, code)


@pytest.mark.parametrize(
    ("path", "header", "weight"),
    [("/fapi/v1/income", "futures", 30), ("/dapi/v1/income", "futures", 20)],
)
def test_income_is_dear(path: str, header: str, weight: int) -> None:
    """A guard has to spare it."""
    venue = make_venue(SEED)
    ask(venue, "GET", path)
    assert venue.weights.windows.describe() == {header: weight}
