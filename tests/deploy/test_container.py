"""The container file: what an image of it may and may not do, and a run in a stand-in for it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from liqctl.cli.root import COMMANDS
from tests.deploy import containerfile
from tests.deploy.containerfile import CONTAINERFILE, ROOT, only, rehearse, stages, steps

TIMEOUT_S = 100
IGNORED = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_it_runs_as_a_numbered_user_who_is_not_root() -> None:
    """Kubernetes can only refuse root where the user is a number."""
    last = stages()[-1]

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", only(last, "USER").text)
    words = [step.word for step in last]
    assert "RUN" not in words[words.index("USER") :], "nothing is done as that user"


def test_every_stage_starts_from_a_tagged_image_without_a_host() -> None:
    """`latest` is another program tomorrow; a host would be one that others cannot reach."""
    (base,) = (step.text for step in steps() if step.word == "ARG")

    assert re.fullmatch(r"BASE=python:3\.\d+-slim-[a-z]+", base)
    assert [only(stage, "FROM").arguments[0] for stage in stages()] == ["${BASE}"] * 2


def test_nothing_is_fetched_but_locked_packages() -> None:
    """An image is made of what was tried, and of nothing that an address on the way serves."""
    text = "\n".join(step.text for step in steps())

    assert "ADD" not in {step.word for step in steps()}
    assert not re.search(r"https?:|curl|wget|--index-url|--extra-index|apt-get", text)
    for install in re.findall(r"pip install (.+?)(?= && |\n|$)", text):
        assert "--require-hashes -r requirements/" in install or "--no-index --no-deps" in install


def test_what_is_copied_exists_and_is_let_in() -> None:
    """A source that .dockerignore keeps out fails the build on somebody else's machine."""
    sources = [
        source
        for step in steps()
        if step.word == "COPY" and "--from" not in step.text
        for source in step.arguments[:-1]
    ]

    assert IGNORED[1] == "*"
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in IGNORED, source


def test_no_secret_can_get_into_a_layer() -> None:
    """A layer is kept and copied around for ever."""
    for step in steps():
        if step.word in {"ENV", "ARG", "COPY", "RUN"}:
            assert not re.search(r"API_KEY|SECRET|PASSWORD|TOKEN|\.pem", step.text), step


def test_the_health_check_and_the_entry_are_commands_that_exist() -> None:
    """A check of a command that is not there is an alarm that nobody believes."""
    last = stages()[-1]
    check = only(last, "HEALTHCHECK").text
    command = json.loads(check[check.index("[") :])

    assert only(last, "ENTRYPOINT").arguments == ["liqctl"]
    assert command[0] == "liqctl"
    assert command[1] == "validate"
    assert "validate" in COMMANDS


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_the_linter_for_container_files_finds_nothing() -> None:
    """It knows mistakes that we have not made yet."""
    subprocess.run(["hadolint", str(CONTAINERFILE)], check=True, timeout=TIMEOUT_S)


def test_the_program_works_on_a_root_that_nobody_can_write_to(tmp_path: Path) -> None:
    """Another user, no rights at all, one folder to write to: everything it needs is in the image.

    The libraries are the locked ones of this environment; `make wheel-check` goes through the
    build steps as they stand, too.
    """
    missing = containerfile.what_is_missing()
    if missing:
        pytest.skip(missing)
    last = stages()[-1]
    check = only(last, "HEALTHCHECK").text
    healthy = shlex.join(json.loads(check[check.index("[") :]))
    locked = sysconfig.get_path("purelib")
    make = (
        "set -e; mkdir -p /var/lib/liqctl\n"
        f"{sys.executable} -m hatchling build -t wheel -d /tmp/dist > /dev/null 2>&1\n"
        f"{sys.base_prefix}/bin/python3 -m venv --without-pip /opt/liqctl\n"
        f"{sys.executable} -m pip --python /opt/liqctl/bin/python install -q --no-deps --no-index"
        " /tmp/dist/*.whl\n"
        f"echo {locked} > $(echo /opt/liqctl/lib/python*/site-packages)/locked.pth\n"
    )

    ended = rehearse(
        tmp_path,
        f"cd {ROOT}; {make}",
        [
            f"LIQCTL_ENV=simulator {healthy} > /tmp/ready; head -n 1 /tmp/ready",
            "liqctl liquidate --env simulator --json > /tmp/x; tr -d '\\n' < /tmp/x; echo",
            "id -u; stat -c '%u %a %n' logs/audit.jsonl; grep CapBnd /proc/self/status",
            "touch /opt/liqctl/x || echo /opt is read-only; touch /etc/x || echo /etc is read-only",
        ],
    )

    assert ended.returncode == 0, ended.stderr
    ready, result, *rest = ended.stdout.splitlines()
    assert ready.startswith("VALID: simulator, 0 blockers, 0 warnings"), "bytecode is there"
    assert json.loads(result)["state"] == "COMPLETED"
    assert rest == [
        "10001",
        "10001 600 logs/audit.jsonl",
        "CapBnd:\t0000000000000000",
        "/opt is read-only",
        "/etc is read-only",
    ]
