"""The manifests: safe settings, nothing misspelt, and words that the program understands.

Names of fields are checked against the few that are used; `make wheel-check` asks the API's schema.
"""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import liqctl
from liqctl.cli.options import read_plain
from tests.deploy.containerfile import ROOT, only, stages

FOLDER: Final = ROOT / "docs" / "deploy" / "kubernetes"
WITH_PODS: Final = ("job.yaml", "cronjob.yaml")


def load(name: str) -> dict[str, Any]:
    """Return a manifest."""
    document = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def job(name: str) -> dict[str, Any]:
    """Return the specification of a manifest's job."""
    spec: dict[str, Any] = load(name)["spec"]
    return spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec


def pod(name: str) -> dict[str, Any]:
    """Return the specification of a manifest's pod."""
    spec: dict[str, Any] = job(name)["template"]["spec"]
    return spec


def test_every_manifest_is_of_a_kind_that_exists() -> None:
    """`kubectl` would find out, in the emergency."""
    kinds = {file.name: load(file.name) for file in FOLDER.glob("*.yaml")}

    assert {name: (doc["apiVersion"], doc["kind"]) for name, doc in kinds.items()} == {
        "job.yaml": ("batch/v1", "Job"),
        "cronjob.yaml": ("batch/v1", "CronJob"),
        "claim.yaml": ("v1", "PersistentVolumeClaim"),
    }
    assert load("claim.yaml")["metadata"]["name"] == "liqctl-state"


@pytest.mark.parametrize("name", WITH_PODS)
def test_a_run_happens_once_and_has_an_end(name: str) -> None:
    """The exit code is an answer to a person; a cluster must not try again by itself."""
    spec = job(name)

    assert set(spec) <= {
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "template",
    }
    assert spec["backoffLimit"] == 0
    assert 30 < spec["activeDeadlineSeconds"] <= 300
    assert pod(name)["restartPolicy"] == "Never"
    assert pod(name)["terminationGracePeriodSeconds"] > 30, "the longest run ends by itself"


@pytest.mark.parametrize("name", WITH_PODS)
def test_the_pod_may_do_nothing_but_run(name: str) -> None:
    """The restricted profile of Kubernetes, and no token of the cluster beside the key."""
    spec = pod(name)
    (container,) = spec["containers"]
    user = int(only(stages()[-1], "USER").text.partition(":")[0])

    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert "memory" in container["resources"]["limits"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


@pytest.mark.parametrize("name", WITH_PODS)
def test_keys_are_files_and_what_is_written_outlives_the_pod(name: str) -> None:
    """A variable is seen by every `kubectl describe`; a trail in the pod dies with it."""
    spec = pod(name)
    (container,) = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}

    assert set(volumes) == set(mounts)
    assert mounts["key"]["readOnly"] is True
    assert volumes["key"]["secret"] == {"secretName": "liqctl-key", "defaultMode": 0o400}
    claim = volumes["state"]["persistentVolumeClaim"]["claimName"]
    assert claim == load("claim.yaml")["metadata"]["name"]
    assert mounts["state"]["mountPath"] == only(stages()[-1], "VOLUME").text
    for variable in container["env"]:
        assert variable["name"].endswith("_FILE")
        assert Path(variable["value"]).parent == Path(mounts["key"]["mountPath"])


def test_the_arguments_are_what_the_program_takes() -> None:
    """The image's entry is `liqctl`; the arguments begin with the command."""
    command, *words = pod("job.yaml")["containers"][0]["args"]
    options = read_plain(words, {})

    assert command == "liquidate"
    assert options is not None
    assert (options.environment, options.yes, options.as_json) == ("production", True, True)
    assert pod("cronjob.yaml")["containers"][0]["args"][0] == "validate"


@pytest.mark.parametrize("name", WITH_PODS)
def test_the_image_is_of_this_version(name: str) -> None:
    """`latest` is another program tomorrow."""
    image = f"liqctl:{liqctl.__version__}"
    page = (ROOT / "docs" / "deployment.md").read_text()

    assert pod(name)["containers"][0]["image"] == image
    assert set(re.findall(r"liqctl:\d[\w.]*", page)) == {image}
