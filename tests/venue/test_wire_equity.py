"""What an account is worth, as the venue's rows tell it: exactly, and never by half."""

from decimal import Decimal
from typing import Any

import pytest

from liqctl.kernel import requests
from liqctl.kernel.errors import VenueError
from liqctl.kernel.states import Margin, Product
from liqctl.kernel.values import CoinPrice, Equity, Pool, Transfer
from liqctl.venue import wire


def asset(name: str, balance: object = "0", maintenance: object = "0") -> dict[str, object]:
    """Return a row of an account's assets, of either product."""
    return {
        "asset": name,
        "walletBalance": "1",
        "unrealizedProfit": "0",
        "marginBalance": balance,
        "maintMargin": maintenance,
        "updateTime": 1760000000000,
    }


def account(balance: object, maintenance: object, *assets: dict[str, object]) -> dict[str, object]:
    """Return a `v3/account` answer."""
    totals = {"totalMarginBalance": balance, "totalMaintMargin": maintenance}
    return {**totals, "assets": [*assets], "positions": []}


def pool(name: str, balance: str, maintenance: str = "0", *, counts: bool = True) -> Pool:
    """Return a pool."""
    return Pool(
        asset=name, balance=Decimal(balance), maintenance=Decimal(maintenance), counts=counts
    )


def test_single_asset_mode_counts_what_the_totals_leave_out() -> None:
    """They are of USDT alone; who trades in USDC would have no equity."""
    row = account(
        "103.12345678", "2.5", asset("USDT", "103.12345678", "2.5"), asset("USDC", "-7", "1"),
        asset("BNB", "0.5"), asset("BTC"),
    )  # fmt: skip

    assert wire.parse_equity(row, Product.USDM) == Equity(
        pools=(
            pool("USDT", "103.12345678", "2.5"),
            pool("USDC", "-7", "1"),
            pool("BNB", "0.5", counts=False),
        )
    )


def test_multi_assets_mode_counts_the_totals_and_nothing_twice() -> None:
    """They are of all coins in dollars, after their haircuts."""
    row = account("995.5", "12", asset("USDT", "100"), asset("BTC", "0.02"))

    assert wire.parse_equity(row, Product.USDM) == Equity(pools=(pool("USD", "995.5", "12"),))


def test_an_empty_account_is_worth_nothing() -> None:
    """Which is known."""
    row = account("0.00000000", "0.00000000")

    assert wire.parse_equity(row, Product.USDM).pools == (pool("USD", "0.00000000", "0.00000000"),)


def test_coinm_is_told_in_its_coins() -> None:
    """What they are worth is asked elsewhere."""
    row = {"assets": [asset("BTC", "0.25", "0.01"), asset("ETH", "-0.1"), asset("XRP")]}

    equity = wire.parse_equity(row, Product.COINM)

    assert equity == Equity(pools=(pool("BTC", "0.25", "0.01"), pool("ETH", "-0.1")))
    assert equity.coins == ("BTC", "ETH")


def test_portfolio_margin_is_told_as_a_whole() -> None:
    """By the equity without haircut; the one with it moves when the venue changes a rate."""
    row = {
        "uniMMR": "5167.92171923",
        "accountEquity": "122607.35137903",
        "actualEquity": "142607.35137903",
        "accountMaintMargin": "23.72469206",
        "accountStatus": "NORMAL",
        "totalAvailableBalance": "",
    }

    assert wire.parse_equity(row, Product.COINM, Margin.PORTFOLIO) == Equity(
        pools=(pool("USD", "142607.35137903", "23.72469206"),),
        margin=Margin.PORTFOLIO,
        uni_mmr=Decimal("5167.92171923"),
        account_equity=Decimal("122607.35137903"),
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (asset("USDC", 0.5), "USDC: marginBalance and maintMargin float, '0'"),
        (asset("USDC", "1", None), "USDC: marginBalance and maintMargin '1', None"),
        ({"marginBalance": "3"}, "no asset: marginBalance '3'"),
    ],
)
def test_an_asset_that_cannot_be_read_is_named(row: dict[str, object], told: str) -> None:
    """It is unknown, not nothing."""
    assert wire.parse_equity(account("1", "0", row), Product.USDM).unreadable == (told,)


@pytest.mark.parametrize(
    ("row", "product", "margin"),
    [
        ([], Product.USDM, Margin.STANDARD),
        ({"totalMarginBalance": "1", "totalMaintMargin": "0"}, Product.USDM, None),
        (account("1,234.5", "0"), Product.USDM, None),
        (account("1", None), Product.USDM, None),
        ({"assets": None}, Product.COINM, None),
        ({"uniMMR": "2", "accountEquity": "1"}, Product.USDM, Margin.PORTFOLIO),
    ],
)
def test_an_answer_without_an_equity_is_none(
    row: Any, product: Product, margin: Margin | None
) -> None:
    """Zero would be a loss of everything."""
    with pytest.raises(VenueError):
        wire.parse_equity(row, product, margin)


def income(amount: object = "-100.5", kind: str = "TRANSFER", **others: object) -> dict[str, Any]:
    """Return a row of the income list."""
    row = {"symbol": "", "incomeType": kind, "income": amount, "asset": "USDT", "info": "TRANSFER"}
    return {**row, "time": 1760000000123, "tranId": 9689322392, "tradeId": "", **others}


def test_transfers_are_read_exactly() -> None:
    """Their sum is taken from the loss."""
    rows = [income(), income("0.00000001", asset="BTC")]

    found = wire.parse_transfers(rows)

    assert found.unreadable == ()
    assert found.items == (
        Transfer(asset="USDT", amount=Decimal("-100.5"), at_ms=1760000000123),
        Transfer(asset="BTC", amount=Decimal("0.00000001"), at_ms=1760000000123),
    )


@pytest.mark.parametrize(
    "row", [income(0.5), income("x"), income(kind="COMMISSION"), income(time="x"), income(asset="")]
)
def test_a_transfer_that_cannot_be_read_is_named(row: dict[str, Any]) -> None:
    """Without it the sum is not known."""
    assert len(wire.parse_transfers([income(), row]).unreadable) == 1


def test_a_full_page_of_transfers_may_lack_some() -> None:
    """What is on the next page would count as profit or loss."""
    assert wire.parse_transfers([income()] * 999).unreadable == ()
    assert wire.parse_transfers([income()] * 1000).unreadable == ("1000 transfers, and maybe more",)
    with pytest.raises(VenueError):
        wire.parse_transfers({"code": 0})


def test_coins_are_priced_by_their_perpetual_contracts() -> None:
    """A contract with a date trades at another price."""
    rows = [
        {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "markPrice": "50010", "indexPrice": "50000"},
        {"symbol": "BTCUSD_261225", "pair": "BTCUSD", "markPrice": "52000", "indexPrice": "50000"},
        {"symbol": "ETHUSD_PERP", "pair": "ETHUSD", "markPrice": "2000", "indexPrice": "0"},
        None,
    ]

    assert wire.parse_coin_prices(rows) == {"BTC": CoinPrice(Decimal(50010), Decimal(50000))}
    with pytest.raises(VenueError):
        wire.parse_coin_prices({"symbol": "BTCUSD_PERP"})


@pytest.mark.parametrize(
    ("product", "margin", "paths", "weights"),
    [
        (Product.USDM, Margin.STANDARD, ("/fapi/v3/account", "/fapi/v1/income"), (5, 30)),
        (Product.COINM, Margin.STANDARD, ("/dapi/v1/account", "/dapi/v1/income"), (5, 20)),
        (Product.USDM, Margin.PORTFOLIO, ("/papi/v1/account", "/papi/v1/um/income"), (20, 30)),
        (Product.COINM, Margin.PORTFOLIO, ("/papi/v1/account", "/papi/v1/cm/income"), (20, 30)),
    ],
)
def test_each_is_asked_where_it_stands(
    product: Product, margin: Margin, paths: tuple[str, str], weights: tuple[int, int]
) -> None:
    """And paid for as the venue counts it."""
    asked: list[requests.Request[object]] = [
        requests.Request(endpoint=each.endpoint, product=product, margin=margin)
        for each in (requests.equity(product), requests.transfers(product, 1))
    ]

    assert tuple(each.spec.path for each in asked) == paths
    assert tuple(each.weight for each in asked) == weights
    assert requests.coin_prices().spec.path == "/dapi/v1/premiumIndex"


def test_transfers_are_asked_from_a_moment_on() -> None:
    """The whole history would fill the page."""
    request = requests.transfers(Product.USDM, 1760000000123)

    assert wire.request_params(request) == {
        "incomeType": "TRANSFER",
        "limit": "1000",
        "startTime": "1760000000123",
    }
    assert wire.request_params(requests.equity(Product.USDM)) == {}
