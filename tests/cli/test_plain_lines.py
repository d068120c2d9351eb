"""The quick reader of `liquidate`'s options: it agrees with Typer, or leaves the line to it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.exceptions import TyperException

from liqctl.cli.options import _PLAIN_NAMES, LIQUIDATE, OPTIONS, Options, read_plain
from liqctl.cli.root import COMMANDS, load
from liqctl.kernel.states import Environment

WORDS = st.sampled_from(
    [
        *("--env", "--env=testnet", "testnet", "production", "--config", __file__, "missing.yaml"),
        *("--yes", "-y", "-v", "-yv", "--dry-run", "--dry", "--json", "--no-color", "--verbose"),
        *("--symbol", "BTCUSDT", "--symbol=BTC/USDT:USDT", "--symbol=", "--orders-only"),
        *("--product", "usdm", "COINM", "spot", "--product=coinm"),
        *("--positions-only", "--timeout", "5", "5.5", "1e1", "-1", "nan", "--timeout=2"),
        *("--max-retries", "3", "3.0", "--retry-delay", "0.5", "--settle", "0", "1.5"),
        *("--reason", "bot runs wild"),
        *("--reason=", "--reason=a=b", "--correlation-id", "a b", "", "--", "--help", "-h", "x"),
    ]
)
VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        "LIQCTL_ENV": st.sampled_from(["", "testnet"]),
        "LIQCTL_CONFIG": st.sampled_from(["", __file__, "missing.yaml"]),
    },
)


def typed() -> Any:
    """Return the command as Typer reads it."""
    return load("liquidate", COMMANDS["liquidate"])


def read_by_typer(words: list[str], environ: dict[str, str]) -> Options | None:
    """Return what Typer makes of the words, None when it refuses them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LIQCTL_ENV", "LIQCTL_CONFIG"):
            patch.delenv(name, raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        try:
            context = typed().make_context("liquidate", list(words))
        except (TyperException, SystemExit):
            return None
    return Options(**{name: v for name, v in context.params.items() if v is not None})


@given(words=st.lists(WORDS, max_size=6), environ=VARIABLES)
def test_a_line_read_quickly_is_read_as_typer_reads_it(
    words: list[str], environ: dict[str, str]
) -> None:
    """Two readers must not differ in what they close: any doubt is left to Typer."""
    options = read_plain(words, environ)

    assert options is None or options == read_by_typer(words, environ)


def test_every_option_of_the_emergency_is_read_quickly() -> None:
    """A new option would else slow the start of those who use it, unnoticed."""
    names = {name for param in typed().params for name in param.opts}

    assert (
        names == set(_PLAIN_NAMES) == {name for each in LIQUIDATE for name in OPTIONS[each].names}
    )


def test_what_people_type_at_three_in_the_morning_is_read_quickly() -> None:
    """The lines of the runbook are the ones that must be fast."""
    words = ["--env", "production", "--yes", "--symbol", "BTCUSDT", "--reason", "bot runs wild"]

    options = read_plain([*words, "--timeout=10", "--json"], {"LIQCTL_CONFIG": __file__})

    assert options == Options(
        environment=Environment.PRODUCTION,
        yes=True,
        symbols=["BTCUSDT"],
        reason="bot runs wild",
        timeout=10.0,
        as_json=True,
        config_file=Path(__file__),
    )
