"""The files beside the code agree with it: bounds and locks, the workflow, the recipes."""

import re
import tomllib
from pathlib import Path
from typing import Final

import yaml
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parent.parent
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BOUNDED: Final = {"aiohttp", "ccxt", "pydantic-settings", "rich", "typer"}


def test_the_locks_hold_what_the_project_allows() -> None:
    """A lock outside the bounds installs what `pip install` would refuse."""
    wanted = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}

    for lock in ("runtime.txt", "dev.txt"):
        text = (ROOT / "requirements" / lock).read_text()
        locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", text))
        assert wanted.keys() <= locked.keys()
        assert {n: locked[n] for n in wanted if not wanted[n].contains(locked[n])} == {}
    unbounded = {name for name, allowed in wanted.items() if "<" not in str(allowed)}
    assert BOUNDED.isdisjoint(unbounded)


def test_the_workflow_runs_the_gate_on_every_python_that_the_project_names() -> None:
    """A version that nobody tests must not be promised."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    jobs = workflow["jobs"]
    promised = re.findall(r":: (3\.\d+)", "\n".join(PROJECT["classifiers"]))

    assert jobs["locked"]["strategy"]["matrix"]["python"] == promised
    assert all(
        any("bash .ci/run" in step.get("run", "") for step in j["steps"]) for j in jobs.values()
    )
    for template in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(template.read_text())


def test_the_recipes_name_files_and_words_that_exist() -> None:
    """A recipe that leads nowhere costs a newcomer the first hour."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = set(re.findall(r"\b(?:liqctl|tests|docs|configs)/[\w/.]+\w", text))
    code = "\n".join(file.read_text() for file in (ROOT / "liqctl").rglob("*.py"))
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))

    assert {path for path in paths if not (ROOT / path).exists()} == set()
    assert [word for word in re.findall(r'git grep -n "([^"]+)"', text) if word not in code] == []
    for line in re.findall(r"(?m)^make ([a-z ]+?)(?: +#|$)", text):
        assert set(line.split()) <= targets
