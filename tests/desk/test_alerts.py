"""The example alert rules and the dashboard: the right shape, on figures that are exported."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from liqctl.desk.metrics import CATALOGUE
from liqctl.standby.mirror import Health

FILE: Final = Path(__file__).parents[2] / "configs" / "prometheus" / "liqctl.rules.yaml"
RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
_WORD: Final = re.compile(r"\bliqctl_\w+")
DASHBOARD: Final[dict[str, Any]] = json.loads(
    FILE.with_name("liqctl.dashboard.json").read_text(encoding="utf-8")
)
_HEALTHS: Final = set(Health)
_STATES: Final = {"COMPLETED", "PARTIAL", "FAILED", "ABANDONED"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_figures_that_are_exported(rule: dict[str, Any]) -> None:
    """An alert on a name that is not there never fires, and nobody notices."""
    names = _WORD.findall(rule["expr"])
    states = re.findall(r'state=~"([A-Z|]+)"', rule["expr"])

    assert names
    assert set(names) <= set(CATALOGUE)
    assert {state for group in states for state in group.split("|")} <= _STATES
    assert set(re.findall(r'health="(\w+)"', rule["expr"])) <= _HEALTHS
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

    assert len(names) == len(set(names)) == 14


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


def test_the_armed_process_is_watched_from_every_side() -> None:
    """Each way in which it stops to protect an account wakes somebody."""
    named = {word for rule in RULES for word in _WORD.findall(rule["expr"])}

    assert named >= {
        "liqctl_armed",
        "liqctl_armed_health",
        "liqctl_latched",
        "liqctl_heartbeat_age_seconds",
        "liqctl_heartbeat_limit_seconds",
        "liqctl_guard_used",
    }


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_shows_figures_that_are_exported(panel: dict[str, Any]) -> None:
    """A panel on a name that is not there stays empty, and an empty panel looks like calm."""
    exprs = [target["expr"] for target in panel["targets"]]
    names = {name for expr in exprs for name in _WORD.findall(expr)}

    assert exprs
    assert names
    assert names <= set(CATALOGUE)
    for expr in exprs:
        assert 'environment=~"$environment", account=~"$account"' in expr
        assert expr.count("(") == expr.count(")")
    assert panel["datasource"]["uid"] == "${datasource}"
    refs = [target["refId"] for target in panel["targets"]]
    assert len(refs) == len(set(refs))


def test_the_dashboard_shows_the_armed_process_and_the_runs_and_no_panel_covers_another() -> None:
    """Grafana stacks panels that claim the same place."""
    text = json.dumps(DASHBOARD)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert len(ids) == len(set(ids))
    assert {name for name in CATALOGUE if name in text} >= {
        *(name for name in CATALOGUE if "armed" in name or "guard" in name or "heartbeat" in name),
        *("liqctl_latched", "liqctl_trips_total", "liqctl_runs_total", "liqctl_last_run_state"),
    }
