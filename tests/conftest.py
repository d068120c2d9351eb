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
