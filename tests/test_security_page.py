"""The security page names tests: each must exist, and what it says of dependencies must hold."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_the_page_names_exists() -> None:
    """A control whose test is gone is a claim."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)

    assert len(named) >= 20
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_every_dependency_is_justified() -> None:
    """A dependency nobody can justify in a line should not be there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=!~\[ ;]", text)[0].lower() for text in project["dependencies"]}

    assert {name for name in names if f"| {name} |" not in PAGE} == set()


def test_every_dependency_is_locked_with_a_hash() -> None:
    """What is installed is what was tried."""
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text()
        for block in re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text)):
            if block.strip():
                assert "--hash=sha256:" in block, block.splitlines()[0]
        assert not re.search(r"https?://(?!.*#)|--index-url|--find-links", text), lock.name
