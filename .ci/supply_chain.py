"""What liqctl is made of: `audit` lists it and looks for known faults, `sbom` writes it down.

The list is the run-time lock, described by what is installed in this environment.
"""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements" / "runtime.txt"
AUDIT_S = 120


def locked() -> dict[str, str]:
    """Return name and version of every run-time dependency, from the lock."""
    return dict(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", LOCK.read_text()))


def licence_of(name: str) -> str:
    """Return the licence a distribution states; one for another platform is not installed here."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed on this platform"
    stated = metadata.get("License-Expression") or ""
    classified = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    text = stated or "; ".join(c.rpartition(":: ")[2] for c in classified)
    return text or (metadata.get("License") or "not stated").splitlines()[0][:60]


def sbom() -> dict[str, object]:
    """Return the parts as a CycloneDX 1.6 document."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "liqctl",
                "name": "liqctl",
                "version": importlib.metadata.version("liqctl"),
            }
        },
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{name}@{version}",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "licenses": [{"license": {"name": licence_of(name)}}],
            }
            for name, version in locked().items()
        ],
    }


def audit() -> None:
    """Print the parts with their licences, then what is known against them, if one can ask."""
    for name, version in locked().items():
        print(f"{name:24} {version:14} {licence_of(name)}")
    if importlib.util.find_spec("pip_audit") is None:
        print("known faults: not looked up, pip-audit is not installed here")
        return
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "-r", str(LOCK)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_S, check=False)
    except subprocess.TimeoutExpired:
        print("known faults: not looked up, the service did not answer (no network?)")
        return
    if "Connection" in run.stderr or "Max retries" in run.stderr:
        print("known faults: not looked up, no network")
        return
    print(run.stdout + run.stderr)
    sys.exit(run.returncode)


if __name__ == "__main__":
    if sys.argv[1:] == ["sbom"]:
        place = ROOT / "dist" / "liqctl.cdx.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(sbom(), indent=2) + "\n")
        print(place.relative_to(ROOT))
    else:
        audit()
