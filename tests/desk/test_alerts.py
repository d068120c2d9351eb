"""The example alert rules: valid YAML of the right shape, on figures that are really exported."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from liqctl.desk.metrics import CATALOGUE

FILE: Final = Path(__file__).parents[2] / "configs" / "prometheus" / "liqctl.rules.yaml"
RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
_WORD: Final = re.compile(r"\bliqctl_\w+")
_STATES: Final = {"COMPLETED", "PARTIAL", "FAILED", "ABANDONED"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_figures_that_are_exported(rule: dict[str, Any]) -> None:
    """An alert on a name that is not there never fires, and nobody notices."""
    names = _WORD.findall(rule["expr"])
    states = re.findall(r'state=~"([A-Z|]+)"', rule["expr"])

    assert names
    assert set(names) <= set(CATALOGUE)
    assert {state for group in states for state in group.split("|")} <= _STATES
    assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    """Whoever is woken by it has not read this file."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Liqctl[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "action"}


def test_each_alert_has_a_name_of_its_own() -> None:
    """Prometheus would take two of one name for one."""
    names = [rule["alert"] for rule in RULES]

    assert len(names) == len(set(names)) == 8


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_keeps_accounts_apart_unless_they_share_what_it_is_about(
    rule: dict[str, Any],
) -> None:
    """One account that was read must not hide another that was not, nor its name be missing."""
    shared = re.search("liqctl_(audit|drill)_", rule["expr"]) is not None
    kept = re.findall(r"\b(?:on|by) \(([^)]*)\)", rule["expr"])

    assert ("{{ $labels.account }}" in rule["annotations"]["summary"]) is not shared
    assert set(kept) <= ({"environment"} if shared else {"environment, account"})
    assert kept or not shared
