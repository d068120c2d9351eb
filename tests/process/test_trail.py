"""A trail that cannot be written: the liquidation goes on, and says so in every way it can."""

import ctypes
import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.program import Ended, Program, program, read_records

TRAIL_INCOMPLETE = 8
FAILED = 1
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1

HOME_IN = """
    import os, pwd
    original = pwd.getpwuid
    def moved(uid):
        found = list(original(uid))
        found[5] = {home!r}
        return pwd.struct_passwd(found)
    pwd.getpwuid = moved
"""
"""Gives the account another home, whatever the environment says."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Program]:
    """A small account and the program beside it."""
    with program(tmp_path) as made:
        yield made


def assert_went_on(running: Program, ended: Ended, missing: int = 1) -> list[dict[str, object]]:
    """The account is flat, the exit code tells, and the events are on stderr."""
    assert ended.code == TRAIL_INCOMPLETE, ended.stderr
    assert running.is_flat
    assert ended.result["state"] == "COMPLETED"
    assert ended.result["audit_complete"] is False
    assert "cannot be written" in ended.stderr
    ended.assert_clean()
    spilled = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    assert len(spilled) >= missing
    return spilled


@pytest.mark.parametrize("obstacle", ["file", "link", "fifo", "device", "folder"])
def test_something_else_at_the_trails_place_does_not_stop_the_run(
    running: Program, obstacle: str
) -> None:
    """What an attacker or an accident put there is neither followed nor waited for."""
    logs = running.folder / "logs"
    if obstacle == "file":
        logs.write_text("not a folder")
    else:
        logs.mkdir()
    if obstacle == "link":
        running.trail.symlink_to(running.folder / "elsewhere")
    elif obstacle == "fifo":
        os.mkfifo(running.trail)
    elif obstacle == "device":
        running.trail.symlink_to("/dev/full")
    elif obstacle == "folder":
        running.trail.mkdir()

    spilled = assert_went_on(running, running.run())

    names = [record["event_type"] for record in spilled]
    assert names[0] == "LIQUIDATION_START"
    assert "LIQUIDATION_COMPLETE" in names
    assert not (running.folder / "elsewhere").exists()


def test_a_failed_run_stays_failed_when_the_trail_fails_too(running: Program) -> None:
    """8 only says that nothing worse happened."""
    (running.folder / "logs").write_text("not a folder")
    running.timeout_s = 1.0
    running.hang(reads=True)

    assert running.run().code == FAILED


def limit(size: int) -> Callable[[], None]:
    """Return what lets the child write files up to this size only."""

    def apply() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return apply


def obey_modes() -> None:
    """Let even root be refused where a mode says so: no CAP_DAC_OVERRIDE after the next exec."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.mark.parametrize("size", [700, 1500, 2600])
def test_a_quota_in_the_middle_of_a_record_leaves_a_stump_and_the_rest_on_stderr(
    running: Program, size: int
) -> None:
    """The record that was cut is told in full elsewhere, and nothing after it is lost."""
    ended = running.run(preexec_fn=limit(size))

    spilled = assert_went_on(running, ended)
    written = read_records(running.trail)
    names = [r["event_type"] for r in written] + [r["event_type"] for r in spilled]
    assert running.trail.stat().st_size <= size
    assert names[0] == "LIQUIDATION_START"
    assert names[-1] == "LIQUIDATION_COMPLETE", names
    checked = running.run("audit", "verify", "--log", str(running.trail), "--json")
    assert checked.code == 0, checked.stdout


def test_the_run_after_a_full_disk_closes_the_record(running: Program) -> None:
    """Once there is room again the trail goes on as one proof."""
    running.run(preexec_fn=limit(1500))

    assert running.run().code == 0
    checked = running.run("audit", "verify", "--log", str(running.trail), "--json")
    assert checked.code == 0, checked.stdout


@pytest.mark.parametrize("unwritable", ["logs", "state", "everything"])
def test_folders_that_may_not_be_written_do_not_stop_the_run(
    running: Program, unwritable: str
) -> None:
    """The switch was installed by root and is pressed by somebody else."""
    running.hook(HOME_IN.format(home=str(running.folder / "home")))
    for name in ("logs", "state", "home"):
        place = running.folder / name
        place.mkdir(exist_ok=True)
        place.chmod(0o555 if unwritable in {name, "everything"} else 0o700)

    ended = running.run(preexec_fn=obey_modes)

    assert running.is_flat
    assert ended.code == (0 if unwritable == "state" else TRAIL_INCOMPLETE), ended.stderr
    ended.assert_clean()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_does_not_stop_the_run(running: Program) -> None:
    """The log partition is full in exactly the night it matters."""
    logs = running.folder / "logs"
    logs.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(logs)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (logs / "filler").write_bytes(b"x" * 4096)
        assert_went_on(running, running.run())
    finally:
        subprocess.run(["umount", str(logs)], check=True)


@pytest.mark.parametrize("home", [None, "", "/nonexistent"])
def test_an_empty_environment_works(running: Program, home: str | None) -> None:
    """Cron gives next to nothing; HOME may be empty or name nothing."""
    running.hook(HOME_IN.format(home=str(running.folder / "home")))
    environ = running.environ()
    kept = {name: environ[name] for name in environ if name.startswith(("LIQCTL", "PYTHON"))}

    ended = running.run(env=kept | ({} if home is None else {"HOME": home}))

    assert ended.code == 0, ended.stderr
    assert ended.stderr == ""
    assert list((running.folder / "home" / ".local" / "state" / "liqctl").iterdir())


def test_the_process_hides_its_memory_and_leaves_no_core(running: Program) -> None:
    """The key is in it: no core dump, no reading by other processes of the same user."""
    running.hook(
        """
        import ctypes, os, pathlib, resource
        leave = os._exit
        def told(code):
            dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
            core = resource.getrlimit(resource.RLIMIT_CORE)
            pathlib.Path("secrecy").write_text(f"{dumpable} {core}")
            leave(code)
        os._exit = told
        """
    )

    assert running.run().code == 0
    assert (running.folder / "secrecy").read_text() == "0 (0, 0)"
