"""Plausible mistakes, from the installed program: what happened, what of the money, what next."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from liqctl.kernel.states import ExitCode
from liqctl.sim.scenario import load_scenario
from tests.process.program import Program, program


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program beside a venue that no mistake may reach with an order."""
    with program(tmp_path_factory.mktemp("usage")) as running:
        yield running


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("liqudate", 2, ["Did you mean 'liquidate'", "Nothing was sent"]),
        ("liquidate --dryrun", 2, ["--dry-run", "Nothing was sent"]),
        ("liquidate production", 2, ["did you mean --env production?", "Nothing was sent"]),
        ("liquidate --reason", 2, ["requires an argument", "Nothing was sent"]),
        ("liquidate --orders-only --positions-only", 2, ["give one", "Nothing was sent"]),
        ("liquidate --env prod", 2, ["'production', 'testnet', 'simulator'", "Nothing was sent"]),
        ("liquidate --product spot", 2, ["'usdm', 'coinm'", "Nothing was sent"]),
        (
            "liquidate --product usdm --symbol BTC/USD:BTC",
            2,
            ["BTCUSD_PERP is a COIN-M contract, but products has only usdm", "Nothing was sent"],
        ),
        ("liquidate --timeout 60", 4, ["between 1.0 and 30.0", "stays open", "liqctl validate"]),
        ("simulator serve --scenario halted", 2, ["nearest: halted_symbol", "simulator list"]),
    ],
)
def test_a_mistake_is_told_with_what_it_means_and_what_to_do(
    served: Program, line: str, code: int, told: list[str]
) -> None:
    """At three in the morning nobody looks a message up."""
    ended = served.run(*line.split())

    assert ended.code == code
    assert [words for words in told if words not in ended.stderr] == []
    assert not served.sent()


def test_without_a_key_the_website_is_named(tmp_path: Path) -> None:
    """The account stays open until somebody closes it: here nobody can but by hand."""
    with program(tmp_path) as running:
        running.variables |= {"LIQCTL_CONFIG": "", "LIQCTL_API_KEY": ""}
        ended = running.run("liquidate", "--env", "production", "--yes")

    assert ended.code == ExitCode.CREDENTIALS
    for told in ("no api key", "stays open", "validate --env production", "www.binance.com"):
        assert told in ended.stderr


def test_a_symbol_in_small_letters_is_the_one_that_is_meant(served: Program) -> None:
    """Binance has no symbol with small letters in it: nothing else can be meant."""
    ended = served.run("liquidate", "--dry-run", "--json", "--symbol", "btcusdt")

    assert ended.code == ExitCode.DONE
    assert {each["symbol"] for each in ended.result["positions"]} == {"BTCUSDT"}


def test_no_match_in_the_trail_is_said(tmp_path: Path) -> None:
    """Silence reads as if nothing had happened; a typing error must not look like it."""
    with program(tmp_path) as running:
        running.run()
        found = running.run("audit", "tail", "--event-type", "FAILED", "--log", str(running.trail))

    assert (found.code, found.stdout) == (0, "")
    assert "'FAILED' is not an event type" in found.stderr
    assert "ORDER_REJECTED" in found.stderr


def test_against_a_ban_nobody_is_sent_at_once_again(tmp_path: Path) -> None:
    """The same command again sends nothing: the way out is another address, or to wait."""
    with program(tmp_path, load_scenario("ban_from_start")) as running:
        ended = running.run("liquidate")

    assert ended.code == ExitCode.FAILED
    assert "at once" not in ended.stdout
    assert "from another address now" in ended.stdout
    assert "banned until 2" in ended.stdout
    assert ended.stdout.count("could not read") <= 1
    assert "positions and regular orders and conditional orders (" in ended.stdout
