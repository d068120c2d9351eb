"""What is shipped: the wheel works by itself, and its parts are written down."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_works_in_a_clean_place(tmp_path: Path) -> None:
    """What users install is the wheel, not this tree; nothing of the tree may be needed."""
    build = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        str(tmp_path / "dist"),
    ]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    site = tmp_path / "site"
    subprocess.run([*install, "--target", str(site), str(wheel)], check=True, timeout=100)
    ccxt = find_spec("ccxt")
    assert ccxt is not None
    assert ccxt.origin is not None
    libraries = Path(ccxt.origin).parent.parent
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o500)

    run = subprocess.run(
        [sys.executable, "-S", "-m", "liqctl", "liquidate", "--env", "simulator", "--json"],
        cwd=empty,
        env={
            "PYTHONPATH": os.pathsep.join([str(site), str(libraries)]),
            "LIQCTL_AUDIT__LOG_DIR": str(tmp_path / "logs"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["state"] == "COMPLETED"
    assert not (site / "tests").exists()
    assert (site / "liqctl" / "_scenarios" / "default.yaml").is_file()


def test_the_bill_of_materials_names_every_locked_part() -> None:
    """An advisory for a part must be findable by anyone who has the bill."""
    code = (
        "import json, sys; sys.path.insert(0, '.ci'); import supply_chain; "
        "print(json.dumps(supply_chain.sbom()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    bill = json.loads(run.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {"ccxt", "aiohttp", "typer"} <= {part["name"] for part in bill["components"]}
    assert all(part["purl"].startswith("pkg:pypi/") for part in bill["components"])


def test_the_audit_lists_licences() -> None:
    """Without network it says so instead of failing."""
    run = subprocess.run(
        [sys.executable, ".ci/supply_chain.py", "audit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=150,
    )

    assert "ccxt" in run.stdout
    assert "known faults" in run.stdout or "No known vulnerabilities" in run.stdout
