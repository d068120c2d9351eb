"""Documents as text: JSON stays ASCII."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from liqctl.kernel.as_json import as_json, dump, dump_line, from_json
from liqctl.kernel.result import LeftOver, LiquidationResult
from liqctl.kernel.states import FailureCause
from liqctl.kernel.witness import Says, Statement
from tests.simulation import HOUSES, run_seed


def test_json_is_ascii_and_reads_back_equal() -> None:
    """A terminal or log without UTF-8 must still show the whole document."""
    document = {"symbol": "龙虾USDT", "error": "a\x1b[2J"}

    assert dump(document).isascii()
    assert json.loads(dump(document)) == document
    assert json.loads(dump_line(document)) == document
    assert "\n" not in dump_line(document)


@pytest.mark.parametrize("seed", [*range(12), *range(HOUSES, HOUSES + 12)])
def test_a_result_that_goes_whole_comes_back_the_same(seed: int) -> None:
    """An armed process answers with it: the screen, the counts and the exit code come from it."""
    result = run_seed(seed).result
    assert result is not None
    result = replace(
        result,
        account="desk-a",
        cause=FailureCause.BLOCKED,
        never_read=frozenset({"positions"}),
        witness=Statement(says=Says.SILENT, why="late"),
        left_over=LeftOver(borrowed={"BTC": Decimal("1E-8")}, margin_orders=("a",)),
    )

    back = from_json(LiquidationResult, json.loads(dump_line(as_json(result, is_whole=True))))

    assert back == result
    assert back.as_json() == result.as_json()
    assert back.exit_code() is result.exit_code()


WHOLE: Any = as_json(run_seed(0).result, is_whole=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "NONE"},
        {"positions": 1},
        {"positions": [[]]},
        {"positions": [{}]},
        {"requests": "1"},
        {"started_at": "yesterday"},
        {"started_at": 1},
        {"residual": {"positions": [{"leg": ["B"], "quantity": "x", "notional": "1"}]}},
        {"residual": {"positions": [{"leg": ["B", "BOTH", "USDM"], "quantity": "x"}]}},
        {"never_read": {}},
        {"left_over": {"borrowed": {"BTC": 0.1}}},
    ],
)
def test_what_is_no_result_is_none(changes: dict[str, Any]) -> None:
    """It came from another process, maybe of another version."""
    assert from_json(LiquidationResult, {**WHOLE, "new_in_later_versions": 1})
    with pytest.raises((ValueError, TypeError, ArithmeticError, LookupError)):
        from_json(LiquidationResult, {**WHOLE, **changes})
