"""What every test stands on: no key, file or setting of the person who runs it gets in."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import QUICK_SETTLE

settings.register_profile(
    "liqctl", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("liqctl")

LONG_FIRST = (
    "test_served_catalogue.py",
    "test_docs.py",
    "test_seeds.py",
    "test_wheel.py",
    "test_day.py",
)
"""Files of the longest tests. Begun last, one of them would run alone while other workers idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with other long tests; the rest keeps its order.

    Of n workers each is given an n-th of the list, and takes from the others when it is done.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine: list[list[pytest.Item]] = [[] for _ in range(workers)]
    rest = []
    for item in items:
        if item.path.name in LONG_FIRST:
            mine[LONG_FIRST.index(item.path.name) % workers].append(item)
        else:
            rest.append(item)
    share = len(items) // workers
    ordered: list[pytest.Item] = []
    for long in mine:
        room = max(share - len(long), 0)
        ordered += [*long, *rest[:room]]
        rest = rest[room:]
    items[:] = ordered + rest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the tests' program would read from its surroundings; give it a home."""
    for name in list(os.environ):
        if name.startswith("LIQCTL_") or name == "NO_COLOR":
            monkeypatch.delenv(name)
    for name, value in QUICK_SETTLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
