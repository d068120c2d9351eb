"""The wheel is what users install: it holds what the program needs, and works by itself."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Final

import pytest

import liqctl

ROOT: Final = Path(__file__).parent.parent
TIMEOUT_S: Final = 100
NOT_CODE: Final = (".py", ".pyc")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this tree, built as `make wheel` does."""
    dist = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    (built,) = dist.glob("*.whl")
    return built


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
    settings = {f"liqctl/_configs/{file.name}" for file in (ROOT / "configs").glob("*.yaml")}

    assert "liqctl/py.typed" in carried
    assert carried | scenarios | settings <= names
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


def test_the_wheel_works_in_a_clean_place(wheel: Path, tmp_path: Path) -> None:
    """Nothing of the tree may be needed: a venv, the locked libraries, an empty folder.

    pipx and uv do the same with libraries of their own choice; `make wheel-check` runs them.
    """
    venv = tmp_path / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=TIMEOUT_S
    )
    python = str(venv / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True, timeout=TIMEOUT_S)
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o500)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(venv / "bin" / "liqctl"), *arguments],
            cwd=empty,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "LIQCTL_AUDIT__LOG_DIR": str(tmp_path / "logs"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    closed = run("liquidate", "--env", "simulator", "--json")
    ready = run("validate", "--env", "simulator", "--strict")
    imported = subprocess.run(
        [python, "-c", "import liqctl; print(liqctl.__file__)"],
        cwd=empty,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )

    assert closed.returncode == 0, closed.stderr
    assert json.loads(closed.stdout)["state"] == "COMPLETED"
    assert ready.returncode == 0, ready.stdout + ready.stderr
    assert imported.stdout.startswith(str(venv)), "not this tree"
    assert "bot_reopens" in run("simulator", "list").stdout
    assert (venv / "share" / "man" / "man1" / "liqctl.1").is_file()
    assert list(site.glob("liqctl/cli/__pycache__/app.*.pyc")), "pip compiles"
