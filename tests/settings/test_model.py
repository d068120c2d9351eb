"""The model is the one table of settings: what is not in it exists nowhere."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import liqctl
from liqctl.kernel.policy import LiquidationConfig
from liqctl.settings.model import BY_KEY, TABLE, Kind
from liqctl.settings.values import ArmSettings, ExchangeSettings, MetricsSettings

PACKAGE = Path(liqctl.__file__).parent

_ASK = """
import json, sys
from pathlib import Path
from liqctl.checks.document import check_environment
from liqctl.kernel.states import Environment
from liqctl.settings.model import SettingsModel
from liqctl.settings.model import markdown_table

def told(text):
    Path("s.yaml").write_text(text)
    return check_environment(Environment.SIMULATOR, config_file=Path("s.yaml"))

print(json.dumps({
    "table": markdown_table(),
    "schema": json.dumps(SettingsModel.model_json_schema()),
    "shown": sorted(told("")["config"]),
    "refused": told("exchange: {proxy: null}")["issues"][0]["message"],
}))
"""


def test_a_field_that_is_taken_out_of_the_model_is_gone_everywhere(tmp_path: Path) -> None:
    """A second list of settings would be the one that is stale."""
    shutil.copytree(PACKAGE, tmp_path / "liqctl", ignore=shutil.ignore_patterns("__pycache__"))
    model = tmp_path / "liqctl" / "settings" / "model.py"
    text, count = re.subn(
        r"    proxy: .*? = Field\(.*?\n    \)\n", "", model.read_text(), flags=re.DOTALL
    )
    assert count == 1
    model.write_text(text)

    ended = subprocess.run(
        [sys.executable, "-c", _ASK], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    found = json.loads(ended.stdout)
    assert "exchange.base_url" in found["table"]
    assert "exchange.proxy" not in found["table"]
    assert "proxy" not in re.sub(r"a proxy, ", "", found["schema"])
    assert "exchange.base_url" in found["shown"]
    assert "exchange.proxy" not in found["shown"]
    assert found["refused"].startswith("unknown key")


def test_what_commands_know_without_a_file_is_what_the_table_says() -> None:
    """The plain values carry defaults of their own, for the library's users."""
    for section, values in {
        "exchange": ExchangeSettings(),
        "arm": ArmSettings(),
        "liquidation": LiquidationConfig(),
        "metrics": MetricsSettings(),
    }.items():
        for setting in TABLE:
            if setting.key.startswith(f"{section}."):
                place = f"{type(values).__name__} in {type(values).__module__}"
                assert hasattr(values, setting.name), f"{setting.key} is missing in {place}"
                value = getattr(values, setting.name)
                told = list(value) if isinstance(value, tuple) else value
                assert told == setting.default or str(told) == setting.default, setting.key


def test_every_setting_has_a_kind_a_meaning_and_a_variable_of_its_own() -> None:
    """The README's table, the man page and completion have no gaps."""
    assert len({setting.variable for setting in TABLE}) == len(TABLE) == len(BY_KEY)
    assert all(setting.help and isinstance(setting.kind, Kind) for setting in TABLE)
