"""Both products from the command line: what is in scope, what is closed, how each is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from liqctl.kernel.states import ExitCode
from liqctl.sim.scenario import Scenario, load_scenario
from tests.process.program import Program, program

BOTH: Final = Scenario(
    name="both",
    account={
        "positions": {"BTCUSDT": "0.5", "BTCUSD_PERP": "12", "ETHUSD_PERP": "-1"},
        "orders": [
            {"symbol": "BTCUSDT", "side": "SELL", "price": "61000", "quantity": "0.1"},
            {"symbol": "BTCUSD_PERP", "side": "BUY", "price": "51000", "quantity": "3"},
        ],
    },
)
"""A position and an order of each product, and a short of one contract."""

COINM: Final = {"BTCUSD_PERP", "ETHUSD_PERP"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Program]:
    """The program and an account with both products."""
    with program(tmp_path, BOTH) as running:
        yield running


def still_open(served: Program) -> set[str]:
    """Return the symbols on which the account has a position or an order."""
    account = served.run("status", "--json").result["account"]
    return {row["symbol"] for row in account["positions"] + account["orders"]}


def test_everything_is_closed_and_each_row_names_its_product(served: Program) -> None:
    """Without options the account is both products."""
    ended = served.run("liquidate", "--json")

    result = ended.result
    assert (ended.code, result["state"]) == (ExitCode.DONE, "COMPLETED")
    assert (result["products"], result["margin"]) == (["USDM", "COINM"], "STANDARD")
    assert {(row["symbol"], row["product"]) for row in result["positions"]} == {
        ("BTCUSDT", "USDM"),
        *((symbol, "COINM") for symbol in COINM),
    }
    assert still_open(served) == set()


def test_screens_call_contracts_contracts(served: Program) -> None:
    """Twelve contracts are 1,200 dollars; twelve bitcoins are not."""
    looked = served.run("status").stdout
    ended = served.run("liquidate", "--correlation-id", "both")
    told = served.run("audit", "show", "both").stdout
    tail = served.run("audit", "tail", "--lines", "0").stdout

    for screen in (looked, ended.stdout):
        line = next(line for line in screen.splitlines() if line.startswith("BTCUSD_PERP COIN-M"))
        assert "12 contracts" in line
        assert "1,200.00" in line
        assert "1 contract " in screen
    assert "BTCUSD_PERP COIN-M" in told
    assert "SELL 12 contracts MARKET" in told
    assert "COIN-M: nothing is listed" in told
    assert "product COINM" in tail
    assert "product USDM" not in tail


@pytest.mark.parametrize(
    ("options", "left", "told"),
    [
        (("--product", "usdm"), COINM, "flat in USDS-M, proven"),
        (("--product", "coinm"), {"BTCUSDT"}, "USDS-M was left alone"),
        (("--symbol", "BTC/USD:BTC"), {"BTCUSDT", "ETHUSD_PERP"}, "flat on BTCUSD_PERP"),
        (("--product", "usdm", "--product", "COINM"), set(), "flat, proven"),
    ],
)
def test_a_run_touches_what_is_in_scope_only(
    served: Program, options: tuple[str, ...], left: set[str], told: str
) -> None:
    """Flat is said of what was looked at, and of no more."""
    planned = served.run("liquidate", "--dry-run", *options)
    ended = served.run("liquidate", *options)

    assert planned.code == ended.code == ExitCode.DONE
    assert told in " ".join(ended.stdout.split())
    assert still_open(served) == left


def test_status_is_narrowed_by_the_same_options(served: Program) -> None:
    """`status --product usdm --exit-code && echo flat` must look at nothing else."""
    looked = served.run("status", "--json", "--product", "coinm").result["account"]
    one = served.run("status", "--symbol", "ETH/USD:ETH")

    assert looked["products"] == ["COINM"]
    assert {row["product"] for row in looked["positions"] + looked["orders"]} == {"COINM"}
    assert "(ETHUSD_PERP only)" in one.stdout
    assert "(COIN-M only)" in served.run("status", "--product", "coinm").stdout
    served.run("liquidate", "--product", "usdm")
    assert served.run("status", "--exit-code", "--product", "usdm").code == ExitCode.DONE
    assert served.run("status", "--exit-code").code == ExitCode.PARTIAL


def test_the_setting_narrows_as_the_option_does(served: Program) -> None:
    """One word of the file decides which half of an account is closed; screens say so."""
    served.variables["LIQCTL_EXCHANGE__PRODUCTS"] = "usdm"

    planned = served.run("liquidate", "--dry-run").stdout
    refused = served.run("liquidate", "--symbol", "BTCUSD_PERP")

    assert "scope     all USDS-M futures" in planned
    assert refused.code == ExitCode.USAGE
    assert "BTCUSD_PERP is a COIN-M contract, but products has only usdm" in refused.stderr
    assert not served.sent()


def test_a_report_knows_both(served: Program) -> None:
    """What is read after the emergency is read of both products."""
    served.run("liquidate", "--correlation-id", "both")

    report = served.run("report", "both", "--json", "--offline").result

    assert {(leg["symbol"], leg["product"]) for leg in report["legs"]} == {
        ("BTCUSDT", "USDM"),
        *((symbol, "COINM") for symbol in COINM),
    }
    assert {leg["outcome"] for leg in report["legs"]} == {"DONE"}
    assert (report["positions_found"], report["orders_found"]) == (3, 2)


def test_a_portfolio_margin_account_is_closed_and_the_rest_is_told(tmp_path: Path) -> None:
    """What stands beside the futures is a fact, not a failure."""
    with program(tmp_path, load_scenario("portfolio_both_products")) as running:
        ended = running.run("liquidate", "--json")
        screen = running.run("status")

    result = ended.result
    assert (ended.code, result["margin"]) == (ExitCode.DONE, "PORTFOLIO")
    assert {row["product"] for row in result["positions"]} == {"USDM", "COINM"}
    assert result["left_over"]["borrowed"] == {"BTC": "0.60000000"}
    assert result["left_over"]["negative_balances"]["BTC"].startswith("-3")
    assert result["left_over"]["margin_orders"]
    assert "PORTFOLIO" in screen.stdout


def test_a_key_that_may_not_trade_coin_m_ends_partial_and_names_the_way_out(
    tmp_path: Path,
) -> None:
    """The rest of the account is flat as fast as ever."""
    with program(tmp_path, load_scenario("coinm_refused")) as running:
        ended = running.run("liquidate", "--json")
        narrowed = running.run("liquidate", "--json", "--product", "usdm")

    assert (ended.code, narrowed.code) == (ExitCode.PARTIAL, ExitCode.DONE)
    assert "--product usdm" in ended.result["error_message"]
    assert [row["symbol"] for row in ended.result["positions"]] == ["BTCUSDT"]
