"""The wheel is what users install: it holds what the program needs, and works by itself."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import liqctl
from tests.once import make_once

ROOT: Final = Path(__file__).parent.parent
TIMEOUT_S: Final = 100
NOT_CODE: Final = (".py", ".pyc")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this tree, built as `make wheel` does."""

    def build(dist: Path) -> None:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=TIMEOUT_S,
        )

    (built,) = make_once(tmp_path_factory, "dist", build).glob("*.whl")
    return built


@pytest.fixture(scope="session")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an environment that holds the wheel and the locked libraries, nothing of the tree.

    pipx and uv do the same with libraries of their own choice; `make wheel-check` runs them.
    """

    def install(place: Path) -> None:
        create = [sys.executable, "-m", "venv", "--without-pip", str(place)]
        subprocess.run(create, check=True, timeout=TIMEOUT_S)
        pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install"]
        options = ["--quiet", "--no-deps", "--no-index"]
        subprocess.run([*pip, *options, str(wheel)], check=True, timeout=TIMEOUT_S)
        site = next((place / "lib").glob("python*/site-packages"))
        (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")

    return make_once(tmp_path_factory, "installed", install)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """Somebody with an installed liqctl, a home and a folder of their own, and nothing else."""

    program: Path
    home: Path
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program as the stranger does."""
        return subprocess.run(
            [self.program, *arguments],
            cwd=self.folder,
            # The state folder would be the one of the account that runs the tests.
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "XDG_STATE_HOME": str(self.home / "state"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )


@pytest.fixture
def stranger(venv: Path, tmp_path: Path) -> Stranger:
    """Return a stranger in an empty folder and an empty home."""
    home, folder = tmp_path / "stranger", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    return Stranger(program=venv / "bin" / "liqctl", home=home, folder=folder)


def test_the_wheel_holds_everything_that_is_no_code(wheel: Path) -> None:
    """A template, a scenario or the licence that stays behind is missed only where it is used."""
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"liqctl-{liqctl.__version__}"
    carried = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "liqctl").rglob("*")
        if file.is_file() and file.suffix not in NOT_CODE
    }
    scenarios = {
        f"liqctl/_scenarios/{file.name}" for file in (ROOT / "configs" / "scenarios").iterdir()
    }
    settings = {f"liqctl/_configs/{file.name}" for file in (ROOT / "configs").glob("*.*")}
    units = {
        f"liqctl/_deploy/{file.relative_to(ROOT / 'docs' / 'deploy')}"
        for folder in ("systemd", "cron")
        for file in (ROOT / "docs" / "deploy" / folder).iterdir()
    }

    assert "liqctl/py.typed" in carried
    assert carried | scenarios | settings | units <= names
    assert f"{info}.dist-info/licenses/LICENSE" in names
    shared = {name.partition(".data/data/share/")[2] for name in names}
    assert {
        "man/man1/liqctl.1",
        "bash-completion/completions/liqctl",
        "zsh/site-functions/_liqctl",
        "fish/vendor_completions.d/liqctl.fish",
    } <= shared, "where man and the shells look, and pipx takes them from"
    tops = {name.split("/")[0] for name in names}
    assert tops == {"liqctl", f"{info}.dist-info", f"{info}.data"}, "nothing but the package"


def test_the_readme_of_the_wheel_works_on_an_index_page(wheel: Path) -> None:
    """There are no files beside it: every image and link is an address, and each file exists."""
    packed = zipfile.ZipFile(wheel)
    (name,) = (each for each in packed.namelist() if each.endswith("/METADATA"))
    text = packed.read(name).decode()
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    ours = [each.partition("/main/")[2] for each in targets if "/OWNER/" in each]

    assert [each for each in targets if not each.startswith("https://")] == []
    assert len(re.findall(r"!\[[^\]]+\]\(https://[^)]+\.svg\)", text)) >= 3
    assert [each for each in ours if not (ROOT / each).exists()] == []


def test_the_version_is_the_one_of_the_changes(wheel: Path) -> None:
    """Who reads the changes of a version must have that version."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^## (.+)$", text)
    released = [
        re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", line) for line in headings[1:]
    ]

    assert headings[0] == "[Unreleased]"
    assert all(released), "each version has a date"
    assert released[0] is not None
    assert released[0][1] == liqctl.__version__
    assert wheel.name.startswith(f"liqctl-{liqctl.__version__}-")


def test_the_wheel_works_in_a_clean_place(venv: Path, stranger: Stranger) -> None:
    """Nothing of the tree may be needed, and nothing is written where the program was started."""
    stranger.folder.chmod(0o500)

    closed = stranger.run("liquidate", "--env", "simulator", "--json", "--settle", "0.1")
    imported = subprocess.run(
        [venv / "bin" / "python", "-c", "import liqctl; print(liqctl.__file__)"],
        cwd=stranger.folder,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert closed.returncode == 0, closed.stderr
    assert json.loads(closed.stdout)["state"] == "COMPLETED"
    assert imported.stdout.startswith(str(venv)), "not this tree"
    assert "bot_reopens" in stranger.run("simulator", "list").stdout
    assert (venv / "share" / "man" / "man1" / "liqctl.1").is_file()
    site = next((venv / "lib").glob("python*/site-packages"))
    assert list(site.glob("liqctl/cli/__pycache__/app.*.pyc")), "pip compiles"
    assert list(stranger.folder.iterdir()) == []


def test_the_first_hour(stranger: Stranger) -> None:
    """From the installed wheel to a closed account: what `init` names as next steps works."""
    too_early = stranger.run("audit", "tail")
    begun = stranger.run("init")
    own = stranger.home / ".config" / "liqctl" / "simulator.yaml"
    steps = re.findall(r"(?m)^  liqctl (.+)$", begun.stdout)
    valid, drilled, planned = (stranger.run(*step.split()) for step in steps)
    closed = stranger.run("liquidate", "--env", "simulator", "--settle", "0.1")
    exposed = stranger.run("status", "--env", "simulator", "--exit-code")
    told = stranger.run("audit", "tail")

    assert [step.split()[0] for step in steps] == ["validate", "drill", "liquidate"]
    ends = [too_early, begun, valid, drilled, planned, closed, exposed, told]
    assert [ended.returncode for ended in ends] == [1, 0, 0, 0, 0, 0, 3, 0], [
        ended.stderr for ended in ends
    ]
    assert f"{own} written" in begun.stdout
    for ended in (valid, drilled, planned, closed, exposed):
        assert str(own) in ended.stdout, "the settings in force are named"
    assert "COMPLETED" in closed.stdout
    assert "LIQUIDATION_COMPLETE" in told.stdout
    assert list(stranger.folder.iterdir()) == []


def test_the_first_hour_with_a_real_account_goes_wrong_as_the_contract_says(
    stranger: Stranger,
) -> None:
    """Each step that is left out has its exit code; nothing is asked of the real venue."""
    steps = {
        "liquidate": 2,
        "validate": 2,
        "init --env production": 0,
        "init --env production ": 2,
        "validate --strict": 4,
        "liquidate --env production": 7,
        "liquidate --env production --config none.yaml": 4,
        "status --env production": 7,
        "audit verify": 1,
    }

    ended = {line: stranger.run(*line.split()) for line in steps}

    assert {line: each.returncode for line, each in ended.items()} == steps
    assert "`liqctl init`" in ended["validate"].stderr
    assert "LIQCTL_PRODUCTION_API_KEY_FILE" in ended["init --env production"].stdout
    assert "LIQCTL_PRODUCTION_API_KEY" in ended["liquidate --env production"].stderr


def test_a_bots_configs_folder_is_taken_last_and_named(stranger: Stranger) -> None:
    """A folder that the program happens to be started in must not disarm the switch unseen."""
    foreign = stranger.folder / "configs" / "simulator.yaml"
    foreign.parent.mkdir()
    foreign.write_text(
        "environment: simulator\nliquidation:\n"
        "  {emergency_liquidation: false, close_positions: false, cancel_orders: false}\n"
    )
    line = ("liquidate", "--env", "simulator", "--settle", "0.1")

    disarmed = stranger.run(*line)
    shown = [
        stranger.run("validate", "--env", "simulator"),
        stranger.run("status", "--env", "simulator"),
        stranger.run(*line, "--dry-run"),
    ]
    begun = stranger.run("init")
    closed = stranger.run(*line)

    assert [each.returncode for each in (disarmed, *shown, begun, closed)] == [0] * 6
    assert "SKIPPED" in disarmed.stdout
    for ended in (disarmed, *shown):
        assert "configs/simulator.yaml" in ended.stdout + ended.stderr, "named where it is taken"
    assert "COMPLETED" in closed.stdout
    assert str(stranger.home / ".config" / "liqctl" / "simulator.yaml") in closed.stdout
